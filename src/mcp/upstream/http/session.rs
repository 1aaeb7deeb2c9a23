//! The session of an older server: the id that it gave, and how another one is begun where it has forgotten it. Knows what
//! was said at the beginning, so that it can be said again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use super::{NOTE_DEADLINE, Place};
use crate::mcp::upstream::client::era::OLDER;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::http::body::{self, Position};
use crate::mcp::upstream::link::Letter;
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE};

const SESSION_ID: &str = "mcp-session-id";

/// The longest id, bytes.
const SESSION_ID_BYTES_MAX: usize = 1024;

/// How long a server's own stream is left alone after it has ended, where it does not say itself; and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Session {
    state: Mutex<State>,
    /// One at a time begins another.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    id: Option<String>,
    revision: Option<Box<str>>,
    /// The requests that made it what it is: `initialize`, and a subscription for each resource.
    first: Option<Letter>,
    subscriptions: BTreeMap<Box<str>, Letter>,
}

impl Session {
    pub fn id(&self) -> Option<String> {
        self.state().id.clone()
    }

    pub fn speak(&self, revision: &str) {
        self.state().revision = Some(revision.into());
    }

    /// The revision that an older server agreed to, where it reads the header (since 2025-06-18).
    pub fn revision(&self) -> Option<Box<str>> {
        self.state().revision.clone().filter(|revision| OLDER[..2].contains(&&**revision))
    }

    /// A request was answered well: remembers what would have to be said again.
    pub fn note(&self, letter: &Letter, headers: &HeaderMap) {
        let mut state = self.state();
        match (letter.method.as_deref(), uri_of(letter)) {
            (Some("initialize"), _) => {
                let id = headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
                state.id = id.filter(|id| (1..=SESSION_ID_BYTES_MAX).contains(&id.len())).map(str::to_owned);
                state.first = Some(letter.clone());
            }
            (Some("resources/subscribe"), Some(uri)) => drop(state.subscriptions.insert(uri, letter.clone())),
            (Some("resources/unsubscribe"), Some(uri)) => drop(state.subscriptions.remove(&uri)),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uri_of(letter: &Letter) -> Option<Box<str>> {
    let text: serde_json::Value = match letter.method.as_deref() {
        Some("resources/subscribe" | "resources/unsubscribe") => serde_json::from_str(&letter.text).ok()?,
        _ => return None,
    };
    text.pointer("/params/uri")?.as_str().map(Into::into)
}

impl Place {
    /// The server does not know this session any more: "When a client receives HTTP 404 in response to a request containing an
    /// `Mcp-Session-Id`, it MUST start a new session" (MCP, "Session Management"), whatever stands in the body: many servers put
    /// an error of JSON-RPC there.
    pub(super) async fn renew_session(&self, forgotten: &str) -> Result<(), UpstreamError> {
        let _one_at_a_time = self.session.renewing.lock().await;
        if self.session.id().as_deref() != Some(forgotten) {
            return Ok(());
        }
        // The old id stays until there is another one: whoever asked may be gone before, and the next one begins it then.
        let (first, subscriptions) = {
            let state = self.session.state();
            (state.first.clone(), state.subscriptions.values().cloned().collect::<Vec<_>>())
        };
        let gone = || UpstreamError::Gone("the server has forgotten the session and begins no other".into());
        let first = first.ok_or_else(gone)?;
        let answer = self.post(&first).await?;
        if answer.status() != StatusCode::OK {
            return Err(gone());
        }
        self.session.note(&first, answer.headers());
        https::drain(answer.into_body());
        let text = crate::mcp::rpc::notification("notifications/initialized", &serde_json::json!({}));
        let initialized =
            Letter { text, id: None, method: Some("notifications/initialized".into()), arguments: None, ..first };
        for letter in std::iter::once(initialized).chain(subscriptions) {
            https::drain(self.post(&letter).await?.into_body());
        }
        tracing::debug!(server = &*self.slug, "the server had forgotten the session; another one has begun");
        Ok(())
    }

    /// "Clients that no longer need a particular session SHOULD send an HTTP DELETE".
    pub(super) async fn end_session(&self) {
        if let Ok(request) = self.request(Method::DELETE, None, None) {
            // A server may refuse, or be gone.
            let _ = tokio::time::timeout(NOTE_DEADLINE, self.client.send(request)).await;
        }
    }

    /// The stream of an older server's own messages, as long as it has one.
    pub(super) async fn listen(self: Arc<Self>) {
        let (mut position, mut again, mut had_one) = (Position::default(), AGAIN, false);
        // What the server has said since the last stream may be lost: there is no place from which it could go on.
        let mut is_gap = false;
        loop {
            let Some(shared) = self.shared.upgrade().filter(|shared| !shared.is_closed()) else { return };
            let session = self.session.id();
            let Ok(request) = self.request(Method::GET, None, position.last_id.as_deref()) else { return };
            position.moved = false;
            match self.client.send(request).await {
                Ok(answer) if answer.status() == StatusCode::OK && super::exchange::is_stream(&answer) => {
                    had_one = true;
                    if std::mem::take(&mut is_gap) {
                        shared.heard_again();
                    }
                    let read = body::stream(&self, &shared, answer.into_body(), None, &mut position).await;
                    if let Err(error) = read {
                        tracing::warn!(server = &*self.slug, %error, "an MCP server's own stream cannot be read");
                        return;
                    }
                    is_gap = position.last_id.is_none();
                }
                // It had a stream, and does not know the session any more, as after a restart of its own.
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND && std::mem::take(&mut had_one) => {
                    https::drain(answer.into_body());
                    (position, is_gap) = (Position::default(), true);
                    // Where that fails, the next request says why.
                    let _ = self.renew_session(session.as_deref().unwrap_or_default()).await;
                    continue;
                }
                // Its token has run out; the next request gets another one.
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && self.authority.is_some() => {
                    https::drain(answer.into_body());
                    again = AGAIN_MAX;
                }
                // It does not know the place any more where the stream broke off.
                Ok(answer) if answer.status().is_client_error() && position.last_id.take().is_some() => {
                    https::drain(answer.into_body());
                    is_gap = true;
                }
                // 405: it has none.
                Ok(answer) if answer.status().is_client_error() => {
                    https::read_bounded(answer.into_body(), ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
                    return;
                }
                // Whoever was away may have forgotten what it said before.
                Ok(_) | Err(_) => is_gap = had_one,
            }
            drop(shared);
            again = if position.moved { AGAIN } else { (again * 2).min(AGAIN_MAX) };
            tokio::time::sleep(position.retry.unwrap_or(again)).await;
        }
    }
}
