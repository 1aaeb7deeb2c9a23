//! The opening handshake of a WebSocket (RFC 6455 §4.2), from request to bare socket. Knows no session.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::listen::into_socket;
use crate::gateway::respond::{self, Response};

/// The one version of the WebSocket protocol (RFC 6455 §4.1).
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// The bare socket of an accepted handshake, and what was read of it beyond the request's head.
pub type Opening = BoxFuture<'static, hyper::Result<(TcpStream, Bytes)>>;

/// The answer to a handshake, and the socket that it opens once the answer is sent. Or why it is none.
pub fn accept(request: &mut Request<Incoming>) -> Result<(Response, Opening), Box<Response>> {
    let key = accept_key(request.headers())?;
    let upgrade = hyper::upgrade::on(request);
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    Ok((response, Box::pin(async move { Ok(into_socket(upgrade.await?)) })))
}

/// Whether the client offers a subprotocol (RFC 6455 §1.9); one that is taken must be named in the answer.
pub fn offers_protocol(headers: &HeaderMap, protocol: &str) -> bool {
    // Here case counts: a browser hangs up on an answer that it did not offer letter by letter.
    offers(headers).any(|one| one == protocol)
}

/// What follows `start` in the first subprotocol that begins so.
pub fn offered_after<'a>(headers: &'a HeaderMap, start: &str) -> Option<&'a str> {
    offers(headers).find_map(|one| one.strip_prefix(start))
}

fn offers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|offers| offers.split(',')).map(str::trim)
}

/// The answer to the client's key, or why this is no handshake.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Box<Response>> {
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        let mut response = refusal(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket: connect with ws://");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return Err(response);
    }
    if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        let mut response = refusal(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13 (RFC 6455)");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, VERSION);
        return Err(response);
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes())) else {
        let why = "Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 §4.1)";
        return Err(refusal(StatusCode::BAD_REQUEST, why));
    };
    Ok(HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value"))
}

fn refusal(status: StatusCode, why: &str) -> Box<Response> {
    Box::new(respond::problem(status, &ErrorBody::new(ErrorCode::BadRequest, why)))
}

/// 16 bytes in base64 are 22 letters and two signs of equality.
fn is_key(key: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_letter)
}

/// Whether a comma-separated header, given once or more, lists a word; case does not count.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}
