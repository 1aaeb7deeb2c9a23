//! One message and what comes back: the headers that it needs, tokens and sessions that have to be got first, and a stream
//! that is taken up again where it broke off (SEP-1699).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{self, Position};
use super::{Challenge, Place, params};
use crate::common::secret::Secret;
use crate::mcp::rpc::{self, Message};
use crate::mcp::upstream::client::era::Era;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::link::Letter;
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE, Why};

/// Times that one request asks for another token: for the first, for one more scope, and once more.
const CHALLENGES_MAX: usize = 3;

/// Times that a stream is taken up again without anything new on it.
const RESUMES_MAX: u32 = 5;

/// How long a stream that ended is left alone, where its server does not say.
const RESUME_AFTER: Duration = Duration::from_secs(1);

const BOTH_KINDS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

impl Place {
    /// A request and its answer, which goes to the client.
    pub(super) async fn exchange(&self, id: i64, letter: Letter) -> Result<(), UpstreamError> {
        let answer = self.authorized(&letter).await?;
        let shared = self.shared.upgrade().ok_or_else(|| UpstreamError::Gone("the connection is gone".into()))?;
        let status = answer.status();
        if status != StatusCode::OK {
            let body = https::read_bounded(answer.into_body(), ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
            let text = String::from_utf8_lossy(&body);
            // An error of the protocol comes with a status of its own (400, 404), and says more than that.
            let says_error = matches!(rpc::parse(&text), Ok(Message::Error { .. }));
            if says_error && status.is_client_error() && shared.hear(&text, Some(id)).is_ok() && !shared.is_awaited(id)
            {
                return Ok(());
            }
            if status.is_success() {
                return Err(UpstreamError::Garbage(format!("it answers a request with {status} and without a result")));
            }
            return Err(self.refusal(status, &text));
        }
        self.session.note(&letter, answer.headers());
        if !is_stream(&answer) {
            let body = body::whole(answer.into_body()).await?;
            let garbage = |why: String| UpstreamError::Garbage(format!("its answer is no message of MCP: {why}"));
            let text = std::str::from_utf8(&body).map_err(|_| garbage("it is no UTF-8".into()))?;
            shared.hear(text, Some(id)).map_err(|nonsense| garbage(self.shown(&nonsense.0)))?;
            return if shared.is_awaited(id) { Err(garbage("it answers something else".into())) } else { Ok(()) };
        }
        let mut position = Position::default();
        let mut answered = body::stream(self, &shared, answer.into_body(), Some(id), &mut position).await?;
        let mut in_vain = 0;
        while !answered {
            in_vain = if std::mem::take(&mut position.moved) { 0 } else { in_vain + 1 };
            if position.last_id.is_none() || in_vain >= RESUMES_MAX {
                return Err(UpstreamError::Gone("the stream ended before the answer came".into()));
            }
            tokio::time::sleep(position.retry.unwrap_or(RESUME_AFTER)).await;
            let request = self.request(Method::GET, Some(&letter), position.last_id.as_deref())?;
            if let Ok(answer) = self.client.send(request).await {
                if answer.status() == StatusCode::OK && is_stream(&answer) {
                    answered = body::stream(self, &shared, answer.into_body(), Some(id), &mut position).await?;
                } else if answer.status().is_client_error() {
                    return Err(UpstreamError::Gone("the stream ended and cannot be taken up again".into()));
                }
            }
        }
        Ok(())
    }

    /// A notification or an answer of ours.
    pub(super) async fn note(&self, letter: Letter) -> Result<(), UpstreamError> {
        let answer = self.authorized(&letter).await?;
        let status = answer.status();
        let body = https::read_bounded(answer.into_body(), ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
        if status.is_success() { Ok(()) } else { Err(self.refusal(status, &String::from_utf8_lossy(&body))) }
    }

    /// Posts a message, and once more where a token or a session had to be got first.
    async fn authorized(&self, letter: &Letter) -> Result<Response<Incoming>, UpstreamError> {
        let (mut challenges, mut renewed) = (0, false);
        loop {
            let session = self.session.id();
            let token = self.authority.as_ref().and_then(|authority| authority.token());
            let answer = self.post(letter).await?;
            let status = answer.status();
            if let Some(session) = session.filter(|_| status == StatusCode::NOT_FOUND && !renewed) {
                renewed = true;
                https::drain(answer.into_body());
                self.renew_session(&session).await?;
                continue;
            }
            let Some(authority) = self.authority.as_ref().filter(|_| is_challenge(&answer)) else { return Ok(answer) };
            if challenges == CHALLENGES_MAX {
                return Ok(answer);
            }
            challenges += 1;
            let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
            let headers = headers.filter_map(|header| header.to_str().ok().map(str::to_owned)).collect();
            https::drain(answer.into_body());
            authority.challenged(Challenge { status: status.as_u16(), headers, token }).await?;
        }
    }

    /// Posts a message as it is.
    pub(super) async fn post(&self, letter: &Letter) -> Result<Response<Incoming>, UpstreamError> {
        let request = self.request(Method::POST, Some(letter), None)?;
        self.client.send(request).await.map_err(|error| match error.why {
            // The server may have done all that was asked of it: whether it may be asked again is for the caller to know.
            Why::BrokeOff(_) => UpstreamError::Gone(error.to_string()),
            _ => UpstreamError::Unreachable(error.to_string()),
        })
    }

    /// A request with all its headers. `letter` is what it carries, or on whose behalf it is.
    pub(super) fn request(
        &self,
        method: Method,
        letter: Option<&Letter>,
        last_event_id: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let is_post = method == Method::POST;
        let body = letter.filter(|_| is_post).map(|letter| Bytes::from(letter.text.clone())).unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(ACCEPT, if is_post { BOTH_KINDS } else { STREAM });
        if is_post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = self.authority.as_ref().and_then(|authority| authority.token()) {
            headers.insert(AUTHORIZATION, bearer(&token)?);
        }
        let mut wanted = Vec::new();
        match letter {
            Some(letter) if letter.era == Era::Newest => self.standard(letter, &mut wanted),
            _ => {
                let is_first = letter.and_then(|letter| letter.method.as_deref()) == Some("initialize");
                let revision = self.session.revision().filter(|_| !is_first);
                wanted.extend(revision.map(|revision| ("mcp-protocol-version".to_owned(), revision.into_string())));
                wanted.extend(self.session.id().filter(|_| !is_first).map(|id| ("mcp-session-id".to_owned(), id)));
            }
        }
        wanted.extend(last_event_id.map(|id| ("last-event-id".to_owned(), id.to_owned())));
        for (name, value) in wanted {
            let pair = HeaderName::try_from(&name).ok().zip(HeaderValue::from_str(&value).ok());
            let (name, value) = pair.ok_or_else(|| {
                UpstreamError::Garbage(format!("the server wants a header {name} that cannot be sent"))
            })?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// MCP 2026-07-28, "Standard MCP Request Headers".
    fn standard(&self, letter: &Letter, wanted: &mut Vec<(String, String)>) {
        wanted.push(("mcp-protocol-version".into(), letter.revision.to_string()));
        if let Some(method) = &letter.method {
            wanted.push(("mcp-method".into(), params::encoded(method)));
        }
        let Some(name) = &letter.name else { return };
        wanted.push(("mcp-name".into(), params::encoded(name)));
        if let (Some(arguments), Some(mirrored)) = (&letter.arguments, self.tools().get(&**name)) {
            wanted.extend(params::headers(mirrored, arguments));
        }
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, UpstreamError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value = value.map_err(|_| UpstreamError::Unauthorized("its token cannot be a header's value".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// 401, or 403 for want of scope (RFC 6750 §3.1).
fn is_challenge(answer: &Response<Incoming>) -> bool {
    let says_scope = |header: &HeaderValue| header.to_str().is_ok_and(|header| header.contains("insufficient_scope"));
    match answer.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => answer.headers().get_all(WWW_AUTHENTICATE).iter().any(says_scope),
        _ => false,
    }
}

pub(super) fn is_stream(answer: &Response<Incoming>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}
