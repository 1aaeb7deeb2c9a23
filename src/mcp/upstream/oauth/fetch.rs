//! Small JSON documents over the network, bounded.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{Refused, refused};
use crate::net::https::{self, Https};

/// The longest document, bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// For one of them.
const DEADLINE: Duration = Duration::from_secs(10);

/// A document; `None` where there is none.
pub(super) async fn get(client: &Https, url: &str) -> Result<Option<Value>, Refused> {
    let (status, document) = send(client, Method::GET, url, None, None, None).await?;
    Ok(document.filter(|document| status.is_success() && document.is_object()))
}

/// Posts a body; gives the status and what came back, where it is JSON. `basic` is what stands behind `Basic `.
pub(super) async fn post(
    client: &Https,
    url: &str,
    kind: &'static str,
    body: String,
    basic: Option<&str>,
) -> Result<(StatusCode, Option<Value>), Refused> {
    send(client, Method::POST, url, Some(kind), Some(body), basic).await
}

async fn send(
    client: &Https,
    method: Method,
    url: &str,
    kind: Option<&'static str>,
    body: Option<String>,
    basic: Option<&str>,
) -> Result<(StatusCode, Option<Value>), Refused> {
    let Ok(uri) = url.parse() else { return refused(format!("{url} is no URL")) };
    let mut request = Request::new(Full::new(Bytes::from(body.unwrap_or_default())));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
    if let Some(mut basic) = basic.and_then(|basic| HeaderValue::from_str(&format!("Basic {basic}")).ok()) {
        basic.set_sensitive(true);
        headers.insert(AUTHORIZATION, basic);
    }
    let asking = async {
        let answer = client.send(request).await.map_err(|error| Refused(error.to_string()))?;
        let status = answer.status();
        let body = https::read_bounded(answer.into_body(), DOCUMENT_BYTES_MAX, DEADLINE).await;
        Ok((status, serde_json::from_slice(&body).ok()))
    };
    let asked = tokio::time::timeout(DEADLINE, asking).await;
    asked.unwrap_or_else(|_| refused(format!("{url} does not answer")))
}

/// What a server says to whoever comes without a token (`WWW-Authenticate`); an error where it lets everybody in.
pub(super) async fn challenge(client: &Https, server: &str) -> Result<Vec<String>, Refused> {
    let Ok(uri) = server.parse() else { return refused(format!("{server} is no URL")) };
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "hearth", "version": env!("CARGO_PKG_VERSION") },
    } });
    let mut request = Request::new(Full::new(Bytes::from(hello.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let Ok(asked) = tokio::time::timeout(DEADLINE, client.send(request)).await else {
        return refused(format!("{server} does not answer"));
    };
    let answer = asked.map_err(|error| Refused(error.to_string()))?;
    if answer.status().is_success() {
        return refused("the server lets everybody in: it asks for no sign-in");
    }
    let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    Ok(headers.filter_map(|header| header.to_str().ok().map(str::to_owned)).collect())
}
