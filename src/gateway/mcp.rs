//! `/mcp`: what comes over HTTP, given to the face of MCP, and its messages written as JSON or as server-sent events.
//! Decides nothing about MCP. Source: MCP, "Streamable HTTP"; HTML standard, "Server-sent events".
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for tokens that end")]

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::watch;

use crate::auth::Gate;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::{UnixMillis, whole_ms};
use crate::common::who::{Door, Principal};
use crate::gateway::context::{Context, Request, principal, read_body_of};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Body, Response};
use crate::mcp::server::{Answer, BODY_BYTES_MAX, Event, Head, Server, Stream};

/// A stream without a word for so long gets a comment, so that no proxy takes it for dead, and a reader that is gone is
/// noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// By this header the hub's own bridge of standard input says what it is.
pub const DOOR_HEADER: &str = "hearth-door";
pub const DOOR_STDIO: &str = "stdio";

const SESSION_HEADER: &str = "mcp-session-id";

/// `POST /mcp`.
pub async fn post(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let leave = Leave::new(&context.gate, &request);
    post_as(&context.mcp, request, Some(leave)).await
}

/// `GET /mcp`.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let leave = Leave::new(&context.gate, &request);
    get_as(&context.mcp, request, Some(leave)).await
}

/// `DELETE /mcp`.
pub async fn delete(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    delete_at(&context.mcp, &request)
}

/// The same of any server of MCP.
pub async fn post_to(server: &Arc<Server>, request: Request) -> Response {
    post_as(server, request, None).await
}

async fn post_as(server: &Arc<Server>, request: Request, leave: Option<Leave>) -> Response {
    let head = head_of(request.headers());
    let who = who(&head, &request);
    match read_body_of(request, BODY_BYTES_MAX).await {
        Ok(body) => respond(server.post(&head, &body, who).await, leave),
        Err(refused) => refused,
    }
}

pub async fn get_from(server: &Arc<Server>, request: Request) -> Response {
    get_as(server, request, None).await
}

async fn get_as(server: &Arc<Server>, request: Request, leave: Option<Leave>) -> Response {
    let head = head_of(request.headers());
    let who = who(&head, &request);
    respond(server.get(&head, &who).await, leave)
}

pub fn delete_at(server: &Arc<Server>, request: &Request) -> Response {
    let head = head_of(request.headers());
    let who = who(&head, request);
    respond(server.delete(&head, &who), None)
}

fn who(head: &Head, request: &Request) -> Arc<Principal> {
    let door = if head.is_bridge { Door::Stdio } else { Door::Mcp };
    Arc::new(principal(request).through(door))
}

/// The lines that mean something to MCP.
fn head_of(headers: &HeaderMap) -> Head {
    let mut head = Head::default();
    for (name, value) in headers {
        let name = name.as_str();
        if name.starts_with("mcp-") || matches!(name, "accept" | "content-type" | "last-event-id") {
            head.push(name, value.to_str().ok());
        }
    }
    head.is_bridge = headers.get(DOOR_HEADER).is_some_and(|door| door == DOOR_STDIO);
    head
}

fn respond(answer: Answer, leave: Option<Leave>) -> Response {
    match answer {
        Answer::Status(status) => without_message(status),
        Answer::Message { status, text, session } => {
            let mut response = Response::new(respond::whole(Bytes::from_owner(Text(text))));
            *response.status_mut() = StatusCode::from_u16(status).expect("the face of MCP gives numbers of HTTP");
            with_headers(response, HeaderValue::from_static("application/json"), session)
        }
        Answer::Events { first, stream, session } => {
            let response = Response::new(body(first, stream, leave));
            with_headers(response, HeaderValue::from_static("text/event-stream"), session)
        }
    }
}

/// A shared text as the bytes of a body.
struct Text(Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn with_headers(mut response: Response, mime: HeaderValue, session: Option<Box<str>>) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, mime);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(session) = session {
        let id = HeaderValue::try_from(session.as_ref()).expect("the hub's ids are visible ASCII");
        headers.insert(SESSION_HEADER, id);
    }
    response
}

/// Statuses that say it all, with words for whoever looks.
fn without_message(status: u16) -> Response {
    let (code, detail) = match status {
        405 => (ErrorCode::Unsupported, "this revision of MCP has POST alone"),
        406 => (ErrorCode::Unsupported, "accept application/json and text/event-stream"),
        415 => (ErrorCode::BadRequest, "send application/json"),
        _ => return respond::empty(StatusCode::from_u16(status).expect("the face of MCP gives numbers of HTTP")),
    };
    let status = StatusCode::from_u16(status).expect("one of the three above");
    let mut response = respond::problem(status, &ErrorBody::new(code, detail));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn body(first: Event, rest: Option<Box<Stream>>, leave: Option<Leave>) -> Body {
    let frames = stream::unfold((Some(first), rest, leave), |(first, mut rest, mut leave)| async move {
        let bytes = match first {
            Some(event) => written(&event),
            None => {
                let next = rest.as_mut()?.next();
                tokio::select! {
                    biased;
                    () = Leave::ended(&mut leave) => return None,
                    event = next => written(&event?),
                    () = tokio::time::sleep(KEEP_ALIVE) => ":\n\n".into(),
                }
            }
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(bytes))), (None, rest, leave)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// That somebody may go on listening: a stream outlives the request that was let in.
struct Leave {
    gate: Gate,
    /// As they were let in.
    who: Arc<Principal>,
    rights: watch::Receiver<u64>,
}

impl Leave {
    fn new(gate: &Gate, request: &Request) -> Leave {
        Leave { gate: gate.clone(), who: principal(request), rights: gate.changes() }
    }

    /// Waits until the token is revoked or over, or its user may do other things than when they came; then the stream ends, and a
    /// client that comes again is let in as who they are now, or not. May be dropped and asked again.
    async fn ended(leave: &mut Option<Leave>) {
        let Some(Leave { gate, who, rights }) = leave else { return std::future::pending().await };
        loop {
            rights.mark_unchanged();
            let Ok(pass) = gate.renew(who) else { return };
            if pass.who.through(who.door) != **who {
                return;
            }
            let over = async {
                match pass.expires_at_ms {
                    Some(at_ms) => tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(unix_ms()))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // The gate lives as long as we hold it.
                _ = rights.changed() => {}
            }
        }
    }
}

fn unix_ms() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

/// One event; its text is JSON, so it has no line ends. One that says nothing at all is a comment.
fn written(event: &Event) -> String {
    let mut text = String::with_capacity(event.text.len() + 48);
    if event.id.is_none() && event.text.is_empty() && event.retry_ms.is_none() {
        return ":\n\n".into();
    }
    if let Some(id) = &event.id {
        writeln!(text, "id: {id}").expect("a String takes any text");
    }
    if let Some(retry_ms) = event.retry_ms {
        writeln!(text, "retry: {retry_ms}").expect("a String takes any text");
    }
    if event.id.is_some() || !event.text.is_empty() {
        writeln!(text, "data: {}", event.text).expect("a String takes any text");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_as_the_standard_reads_them() {
        let event = Event {
            id: Some("1-2".into()),
            text: r#"{"a":1}"#.into(),
            retry_ms: Some(500),
            is_last: false,
            status: 200,
        };
        assert_eq!(written(&event), "id: 1-2\nretry: 500\ndata: {\"a\":1}\n\n");
        let priming = Event { text: Arc::default(), ..event.clone() };
        assert_eq!(written(&priming), "id: 1-2\nretry: 500\ndata: \n\n");
        let waits = Event { id: None, ..priming };
        assert_eq!(written(&waits), "retry: 500\n\n");
        assert_eq!(written(&Event { retry_ms: None, ..waits }), ":\n\n");
    }
}
