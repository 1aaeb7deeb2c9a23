//! The face of MCP towards clients: both eras on one endpoint, everything from the one `Service`. Takes header lines and
//! bodies and gives messages; knows no socket, and of HTTP the numbers of its answers alone.
//! Source: MCP 2025-03-26 … 2025-11-25, "Transports", "Lifecycle"; MCP 2026-07-28, "Streamable HTTP".

pub mod head;

mod flight;
mod list;
mod listen;
mod outlet;
mod peer;
mod requests;
mod seal;
mod session;
mod sessions;
mod shape;
mod stateless;
mod stream;
mod version;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};

pub use self::head::Head;
pub use self::peer::RELEASE;
pub use self::stream::{Event, Stream};
pub use self::version::{SESSIONED, STATELESS};
use crate::common::who::Principal;
use crate::mcp::rpc::{self, INVALID_PARAMS, INVALID_REQUEST, Id, Message, RpcError};
use crate::mcp::server::flight::Parked;
use crate::mcp::server::listen::{LISTENERS_MAX, OF_ONE_MAX, Permits};
use crate::mcp::server::requests::Requests;
use crate::mcp::server::seal::Seal;
use crate::mcp::server::session::Session;
use crate::mcp::server::version::META_VERSION;
use crate::mcp::service::Service;
use crate::mcp::source::Method;

/// The longest body of a request, bytes: a picture among the arguments, or an answer with one.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An answer that is there by now goes out in one piece; one that takes longer as a stream.
const GRACE: Duration = Duration::from_millis(100);

/// What models are told of the hub.
const INSTRUCTIONS: &str = "The hub of a home. Its own tools have a dot in their names (users.list); those of the servers \
    behind it have two underscores (files__read). search_tools finds a tool by what it does.";

/// What goes back.
pub enum Answer {
    /// Nothing but the number.
    Status(u16),
    /// One message; `session`: the id of the session that it begins.
    Message { status: u16, text: Arc<str>, session: Option<Box<str>> },
    /// Messages as they come: `first`, and then the stream's, where there is one.
    Events { first: Event, stream: Option<Box<Stream>>, session: Option<Box<str>> },
}

/// See the module. One to a hub.
pub struct Server {
    requests: Requests,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    parked: Parked,
    seal: Seal,
    listeners: Arc<Semaphore>,
    /// Of each user who does not own the house. As many as there are users.
    listeners_of: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
    stopping: watch::Receiver<bool>,
    started_at: Instant,
}

/// What a message asks, with its params read.
struct Request {
    id: Id,
    method: Box<str>,
    params: Map<String, Value>,
}

impl Server {
    /// Of everything in `service`; ends its streams when `stopping` turns true.
    pub fn new(service: Service, version: &str, stopping: watch::Receiver<bool>) -> Arc<Server> {
        Arc::new(Server {
            requests: Requests::new(service, shape::server_info(version)),
            sessions: Mutex::default(),
            parked: Parked::default(),
            seal: Seal::new(),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            listeners_of: Mutex::default(),
            stopping,
            started_at: now(),
        })
    }

    /// `POST`: one message, or of 2025-03-26 an array of them.
    pub async fn post(self: &Arc<Server>, head: &Head, body: &[u8], who: Arc<Principal>) -> Answer {
        let can = Can { json: head.accepts("application", "json"), events: head.accepts("text", "event-stream") };
        if !can.json && !can.events {
            return Answer::Status(406);
        }
        if !head.is_json() {
            return Answer::Status(415);
        }
        let answer = match std::str::from_utf8(body) {
            Ok(text) if text.trim_start().starts_with('[') => self.batch(head, can, text, who).await,
            Ok(text) => self.one(head, can, text, who).await,
            Err(_) => refuse(None, &RpcError::new(rpc::PARSE_ERROR, "the body is not UTF-8")),
        };
        match answer {
            // A client that takes streams alone gets one of a single message.
            Answer::Message { status: 200, text, session } if !can.json => {
                let first = Event { id: None, text, retry_ms: None, is_last: true, status: 200 };
                Answer::Events { first, stream: None, session }
            }
            answer => answer,
        }
    }

    /// `GET`: the stream of a session that belongs to no request, or the rest of one that broke off.
    pub async fn get(self: &Arc<Server>, head: &Head, who: &Principal) -> Answer {
        if !head.accepts("text", "event-stream") {
            return Answer::Status(406);
        }
        self.session_stream(head, who).await
    }

    /// `DELETE`: the client is done with its session.
    pub fn delete(self: &Arc<Server>, head: &Head, who: &Arc<Principal>) -> Answer {
        if sessions::is_without_session(head) {
            return Answer::Status(405);
        }
        match self.session_of(head, who) {
            Ok(session) => {
                self.end(&session, who.clone());
                Answer::Status(204)
            }
            Err(answer) => answer,
        }
    }

    async fn one(self: &Arc<Server>, head: &Head, can: Can, text: &str, who: Arc<Principal>) -> Answer {
        let (id, method, params) = match rpc::parse(text) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            // Only a session has asked anything, and only it hears of what its client did.
            Ok(message) => return self.heard(head, message, &who),
            Err((id, error)) => return refuse(id.as_ref(), &error),
        };
        let params = match rpc::params::<Map<String, Value>>(params) {
            Ok(params) => params,
            Err(error) => return refuse(Some(&id), &error),
        };
        let request = Request { id, method, params };
        match is_stateless(head, &request) {
            true => self.stateless(head, can, request, who).await,
            false => self.in_session(head, can, request, who).await,
        }
    }

    /// A place to listen, where there is one for this user.
    fn place_to_listen(&self, who: &Principal) -> Option<Permits> {
        let all = self.listeners.clone().try_acquire_owned().ok()?;
        if who.is_owner() {
            return Some((all, None));
        }
        let own = {
            let mut users = self.listeners_of.lock().unwrap_or_else(PoisonError::into_inner);
            users.entry(who.user.as_ref().into()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE_MAX))).clone()
        };
        Some((all, Some(own.try_acquire_owned().ok()?)))
    }

    fn now(&self) -> Instant {
        now()
    }

    /// For the seal.
    fn uptime(&self) -> Duration {
        now().saturating_duration_since(self.started_at)
    }

    /// Is told of these resources no more.
    fn unwatch(self: Arc<Server>, uris: BTreeSet<Box<str>>, who: Arc<Principal>) {
        if uris.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for uri in uris {
                // One that is gone needs no goodbye.
                let _ = self.requests.watch(Method::Unsubscribe, &uri, who.clone()).await;
            }
        });
    }

    /// What a stream gives first decides how it goes out: one answer in one piece, all else as it comes.
    async fn send(&self, mut stream: Stream, can: Can, primed: bool) -> Answer {
        if !can.events {
            // Nobody hears what comes before the answer.
            loop {
                match stream.next().await {
                    Some(event) if event.is_last => return answered(stream, event),
                    Some(_) => {}
                    None => return Answer::Status(202),
                }
            }
        }
        let priming = if primed { stream.priming() } else { None };
        let events = |first, stream| Answer::Events { first, stream: Some(Box::new(stream)), session: None };
        if !can.json
            && let Some(priming) = priming
        {
            return events(priming, stream);
        }
        match tokio::time::timeout(GRACE, stream.next()).await {
            Ok(Some(event)) if event.is_last && can.json => answered(stream, event),
            Ok(Some(event)) => match priming {
                // What was taken is taken again, after the event that comes first.
                Some(priming) => {
                    stream.rewind();
                    events(priming, stream)
                }
                None => events(event, stream),
            },
            Ok(None) => match priming {
                Some(priming) => events(priming, stream),
                None => Answer::Status(202),
            },
            Err(_) => {
                let silent = Event { id: None, text: Arc::default(), retry_ms: None, is_last: false, status: 200 };
                events(priming.unwrap_or(silent), stream)
            }
        }
    }
}

/// What a client takes.
#[derive(Debug, Clone, Copy)]
struct Can {
    json: bool,
    events: bool,
}

fn answered(mut stream: Stream, event: Event) -> Answer {
    stream.settle();
    Answer::Message { status: event.status, text: event.text, session: None }
}

/// Whether a request is of 2026-07-28: it says so itself, it is one that only this revision has, or its header names a
/// revision without sessions, known or not.
fn is_stateless(head: &Head, request: &Request) -> bool {
    let says_so = request.params.get("_meta").and_then(|meta| meta.get(META_VERSION)).is_some();
    if says_so || &*request.method == "initialize" {
        return says_so;
    }
    let is_named = head.get("mcp-protocol-version").is_some_and(|version| version::known(version).is_none());
    let has_session = head.line("mcp-session-id") != head::Line::Absent;
    !has_session && (is_named || matches!(&*request.method, "server/discover" | "subscriptions/listen"))
}

/// An error that is the request's own fault before anything was done.
fn refuse(id: Option<&Id>, error: &RpcError) -> Answer {
    let status = match error.code {
        rpc::PARSE_ERROR | INVALID_REQUEST | INVALID_PARAMS => 400,
        _ => stream::status_of(error),
    };
    Answer::Message { status, text: rpc::error(id, error).into(), session: None }
}

#[expect(clippy::disallowed_methods, reason = "the one place of this face that reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
