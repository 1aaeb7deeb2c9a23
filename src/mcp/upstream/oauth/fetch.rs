//! Small JSON documents over the network, bounded.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;

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
