//! The requests of the revisions with sessions: a session begins with `initialize`, is named by `Mcp-Session-Id` from then
//! on, and ends by `DELETE`, by idleness or with the hub.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use crate::common::who::Principal;
use crate::mcp::call::{Fault, Peer, Reach, Resumption};
use crate::mcp::rpc::{self, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Id, Message, RpcError};
use crate::mcp::server::head::{Head, Line};
use crate::mcp::server::listen::OF_ONE_MAX;
use crate::mcp::server::outlet::{Outlet, Said};
use crate::mcp::server::peer::{self, SessionPeer};
use crate::mcp::server::requests::{Asked, Done, is_work};
use crate::mcp::server::session::{EventId, SESSIONS_MAX, STANDING, Session};
use crate::mcp::server::shape;
use crate::mcp::server::stream::{RETRY_MS, Stream};
use crate::mcp::server::version::{BATCHED, Era, Level, PRIMED, known, negotiate};
use crate::mcp::server::{Answer, Can, Event, INSTRUCTIONS, Request, Server, refuse};
use crate::mcp::source::{Changed, Method};

/// Messages of one array.
const BATCH_LEN_MAX: usize = 64;

/// How often a session is looked after.
const SWEEP_PERIOD: Duration = Duration::from_secs(30);

/// How often one call may ask its client for something, in the words of 2026-07-28.
const ROUNDS_MAX: usize = 16;

impl Server {
    /// A request that is not of 2026-07-28.
    pub(super) async fn in_session(
        self: &Arc<Server>,
        head: &Head,
        can: Can,
        request: Request,
        who: Arc<Principal>,
    ) -> Answer {
        if &*request.method == "initialize" {
            return self.initialize(&request, &who);
        }
        let session = match self.session_of(head, &who) {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        if is_work(&request.method) {
            return self.work(&session, can, vec![request], who).await;
        }
        let result = self.at_once(&session, &request, who).await;
        let text: Arc<str> = match result {
            Ok(result) => shape::envelope(&request.id, &result).into(),
            Err(error) => rpc::error(Some(&request.id), &error).into(),
        };
        Answer::Message { status: 200, text, session: None }
    }

    /// A notification or an answer.
    pub(super) fn heard(self: &Arc<Server>, head: &Head, message: Message<'_>, who: &Arc<Principal>) -> Answer {
        if is_without_session(head) && matches!(message, Message::Notification { .. }) {
            // Without a session there is nothing that it could be about: a request ends with its stream.
            return Answer::Status(202);
        }
        match self.session_of(head, who) {
            Ok(session) => {
                take(&session, message);
                Answer::Status(202)
            }
            Err(answer) => answer,
        }
    }

    /// An array of messages, as one revision has them.
    pub(super) async fn batch(self: &Arc<Server>, head: &Head, can: Can, text: &str, who: Arc<Principal>) -> Answer {
        let session = match self.session_of(head, &who) {
            Ok(session) if session.version == BATCHED => session,
            Ok(_) => return refuse(None, &RpcError::new(INVALID_REQUEST, "this revision has no arrays of messages")),
            Err(answer) => return answer,
        };
        let wrong = |why: &str| refuse(None, &RpcError::new(INVALID_REQUEST, why));
        let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return refuse(None, &RpcError::new(rpc::PARSE_ERROR, "this is no array of JSON"));
        };
        if messages.is_empty() || messages.len() > BATCH_LEN_MAX {
            return wrong(&format!("an array has 1 to {BATCH_LEN_MAX} messages"));
        }
        let mut requests = Vec::new();
        for message in messages {
            match rpc::parse(message.get()) {
                Ok(Message::Request { method, .. }) if &*method == "initialize" => {
                    return wrong("initialize stands alone");
                }
                Ok(Message::Request { id, method, params }) => match rpc::params(params) {
                    Ok(params) => requests.push(Request { id, method, params }),
                    Err(error) => return refuse(Some(&id), &error),
                },
                Ok(message) => take(&session, message),
                Err((id, error)) => return refuse(id.as_ref(), &error),
            }
        }
        if requests.is_empty() { Answer::Status(202) } else { self.work(&session, can, requests, who).await }
    }

    /// The stream of a session that a client opens, or comes back to.
    pub(super) async fn session_stream(self: &Arc<Server>, head: &Head, who: &Principal) -> Answer {
        if is_without_session(head) {
            return Answer::Status(405);
        }
        let session = match self.session_of(head, who) {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let last = match head.line("last-event-id") {
            Line::Absent => None,
            Line::One(text) => Some(EventId::read(text)),
            Line::Broken => Some(None),
        };
        let (number, taken) = match last {
            None => (STANDING, None),
            Some(Some(EventId { stream, seq })) => (stream, Some(seq)),
            Some(None) => return wrong_id(),
        };
        let Some(outlet) = session.stream(number) else { return wrong_id() };
        let taken = taken.unwrap_or_else(|| outlet.log().taken());
        let is_primed = session.version >= PRIMED;
        let stream = Stream::of_session(self.clone(), session, number, outlet, taken);
        let first = stream.priming().filter(|_| is_primed).unwrap_or(Event {
            id: None,
            text: Arc::default(),
            retry_ms: Some(RETRY_MS),
            is_last: false,
            status: 200,
        });
        Answer::Events { first, stream: Some(Box::new(stream)), session: None }
    }

    /// The session that a request names, or the answer where there is none of this user's.
    pub(super) fn session_of(&self, head: &Head, who: &Principal) -> Result<Arc<Session>, Answer> {
        let refuse = |status, why: &str| {
            let text = rpc::error(None, &RpcError::new(INVALID_REQUEST, why)).into();
            Err(Answer::Message { status, text, session: None })
        };
        let id = match head.line("mcp-session-id") {
            Line::One(id) => id,
            Line::Absent => return refuse(400, "there is no Mcp-Session-Id; begin with initialize"),
            Line::Broken => return refuse(400, "Mcp-Session-Id stands twice or is no text"),
        };
        let session =
            self.sessions().get(id).filter(|session| session.user == who.user && !session.is_closed()).cloned();
        let Some(session) = session else {
            return refuse(404, "this session is not there, or has ended; begin with initialize");
        };
        match head.line("mcp-protocol-version") {
            Line::One(version) if known(version).is_none() => {
                return refuse(400, "MCP-Protocol-Version is not one that was agreed upon by initialize");
            }
            Line::Broken => return refuse(400, "MCP-Protocol-Version stands twice or is no text"),
            Line::One(_) | Line::Absent => {}
        }
        session.touch(self.now());
        Ok(session)
    }

    /// Ends a session and all that belongs to it.
    pub(super) fn end(self: &Arc<Server>, session: &Session, who: Arc<Principal>) {
        self.sessions().remove(&session.id);
        self.clone().unwatch(session.close().into_iter().collect(), who);
    }

    fn initialize(self: &Arc<Server>, request: &Request, who: &Arc<Principal>) -> Answer {
        let Some(wanted) = request.params.get("protocolVersion").and_then(Value::as_str) else {
            return refuse(Some(&request.id), &RpcError::new(INVALID_PARAMS, "params.protocolVersion must be a text"));
        };
        let capabilities = match request.params.get("capabilities") {
            Some(capabilities @ Value::Object(_)) => capabilities.clone(),
            None | Some(Value::Null) => json!({}),
            Some(_) => {
                return refuse(
                    Some(&request.id),
                    &RpcError::new(INVALID_PARAMS, "params.capabilities must be an object"),
                );
            }
        };
        self.make_room(who);
        let version = negotiate(wanted);
        let session = Arc::new(Session::new(&who.user, version, capabilities, self.now()));
        let result = json!({
            "protocolVersion": version,
            "capabilities": shape::capabilities(),
            "serverInfo": self.requests.server,
            "instructions": INSTRUCTIONS,
        });
        let watcher =
            look_after(Arc::downgrade(self), Arc::downgrade(&session), self.requests.service.changes(), who.clone());
        session.set_watcher(tokio::spawn(watcher).abort_handle());
        self.sessions().insert(session.id.clone(), session.clone());
        let text = shape::envelope(&request.id, &result.to_string()).into();
        Answer::Message { status: 200, text, session: Some(session.id.clone()) }
    }

    /// Where there are too many, the one goes that has been idle for longest; where none is idle, the oldest. Whoever has many
    /// and does not own the house loses one of their own: nobody pushes all others out.
    fn make_room(self: &Arc<Server>, who: &Arc<Principal>) {
        let gone = {
            let sessions = self.sessions();
            if sessions.len() < SESSIONS_MAX {
                return;
            }
            let is_own = |session: &&Arc<Session>| session.user == who.user;
            let is_greedy = !who.is_owner() && sessions.values().filter(is_own).count() >= OF_ONE_MAX;
            let may_go = sessions.values().filter(|session| !is_greedy || is_own(session));
            may_go.min_by_key(|session| (!session.is_idle(), session.used_at())).cloned()
        };
        if let Some(session) = gone {
            tracing::info!(user = %session.user, "an MCP session ends: there are too many");
            self.end(&session, who.clone());
        }
    }

    /// Answers what needs no waiting.
    async fn at_once(&self, session: &Session, request: &Request, who: Arc<Principal>) -> Result<Arc<str>, RpcError> {
        let uri = || {
            let uri = request.params.get("uri").and_then(Value::as_str);
            uri.ok_or_else(|| RpcError::new(INVALID_PARAMS, "params.uri must be a text"))
        };
        let fault = |fault: Fault| shape::error(Era::Sessions, "resources/read", fault);
        match &*request.method {
            "ping" => {}
            "logging/setLevel" => {
                let level = request.params.get("level").and_then(Value::as_str).and_then(Level::of);
                session.set_level(level.ok_or_else(|| RpcError::new(INVALID_PARAMS, "params.level is no level"))?);
            }
            "resources/subscribe" => {
                let uri = uri()?;
                if session.may_watch(uri).map_err(fault)? {
                    self.requests.watch(Method::Subscribe, uri, who.clone()).await.map_err(fault)?;
                    if !session.watch(uri) {
                        self.requests.watch(Method::Unsubscribe, uri, who).await.map_err(fault)?;
                        session.may_watch(uri).map_err(fault)?;
                    }
                }
            }
            "resources/unsubscribe" => {
                let uri = uri()?;
                if session.unwatch(uri) {
                    self.requests.watch(Method::Unsubscribe, uri, who).await.map_err(fault)?;
                }
            }
            _ => {
                let asked = self.asked(request, who);
                return match self.requests.answer(&asked, Reach::default()).await? {
                    Done::Result(result) => Ok(result),
                    Done::Input { .. } => Err(RpcError::new(INTERNAL_ERROR, "a list asks nothing")),
                };
            }
        }
        Ok("{}".into())
    }

    /// Works on requests that may take their time, on a stream of their own.
    async fn work(
        self: &Arc<Server>,
        session: &Arc<Session>,
        can: Can,
        requests: Vec<Request>,
        who: Arc<Principal>,
    ) -> Answer {
        let ids: Vec<Id> = requests.iter().map(|request| request.id.clone()).collect();
        let (number, outlet) = match session.open(&ids) {
            Ok(opened) => opened,
            Err(fault) => {
                let error = shape::error(Era::Sessions, "", fault);
                let text = rpc::error(ids.first(), &error).into();
                return Answer::Message { status: 200, text, session: None };
            }
        };
        let stream = Stream::of_session(self.clone(), session.clone(), number, outlet.clone(), 0);
        for request in requests {
            let id = request.id.clone();
            let working = self.clone().run(session.clone(), outlet.clone(), request, who.clone(), can);
            session.start(&id, tokio::spawn(working).abort_handle());
        }
        // Several answers are several messages.
        let can = Can { json: can.json && (ids.len() == 1 || !can.events), ..can };
        self.send(stream, can, session.version >= PRIMED).await
    }

    async fn run(
        self: Arc<Server>,
        session: Arc<Session>,
        outlet: Arc<Outlet>,
        request: Request,
        who: Arc<Principal>,
        can: Can,
    ) {
        let said = if is_work(&request.method) {
            let asked = self.asked(&request, who);
            let token = request.params.get("_meta").and_then(|meta| meta.get("progressToken")).cloned();
            // "MUST be a string or integer value".
            let token = token.filter(|token| token.is_string() || token.is_number());
            let peer = Arc::new(SessionPeer { session: session.clone(), outlet: outlet.clone() });
            let reach = Reach {
                progress: token.map(|token| -> Arc<dyn Fn(_) + Send + Sync> {
                    Arc::new(peer::progress(outlet, move || Some(token.clone())))
                }),
                peer: can.events.then_some(peer as Arc<dyn Peer>),
                resumption: None,
            };
            self.rounds(&asked, reach).await
        } else {
            self.at_once(&session, &request, who).await
        };
        let id = request.id;
        let said = match said {
            Ok(result) => Said::Result(id.clone(), result),
            Err(error) => Said::Error(id.clone(), error),
        };
        session.finish(&id, said);
    }

    /// Puts to the client, one by one, what is asked in the words of 2026-07-28, and goes on with its answers.
    async fn rounds(&self, asked: &Asked, reach: Reach) -> Result<Arc<str>, RpcError> {
        let mut resumption = None;
        for _ in 0..ROUNDS_MAX {
            let (requests, state) = match self.requests.answer(asked, Reach { resumption, ..reach.clone() }).await? {
                Done::Result(result) => return Ok(result),
                Done::Input { requests, state } => (requests, state),
            };
            let Some(peer) = &reach.peer else {
                let why = "this asks for something, and the client takes no stream on which it could be asked";
                return Err(RpcError::new(rpc::INVALID_REQUEST, why));
            };
            let mut responses = Map::new();
            for (key, mut request) in requests {
                let method = request.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
                let params = request.get_mut("params").map(Value::take).unwrap_or_else(|| json!({}));
                let answer = peer.ask(&method, params).await;
                responses.insert(key, answer.map_err(|fault| shape::error(asked.era, &asked.method, fault))?);
            }
            resumption = Some(Resumption { responses, state });
        }
        Err(RpcError::new(INTERNAL_ERROR, format!("this has asked for something {ROUNDS_MAX} times and is not done")))
    }

    fn asked(&self, request: &Request, who: Arc<Principal>) -> Asked {
        Asked { era: Era::Sessions, method: request.method.clone(), params: request.params.clone(), who }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Box<str>, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is of a client that speaks a revision without sessions.
pub(super) fn is_without_session(head: &Head) -> bool {
    let is_stateless = head.get("mcp-protocol-version").is_some_and(|version| known(version).is_none());
    is_stateless && head.line("mcp-session-id") == Line::Absent
}

/// What a client says that wants no answer.
fn take(session: &Session, message: Message<'_>) {
    match message {
        Message::Notification { method, params } if &*method == "notifications/cancelled" => {
            let id = rpc::params::<Map<String, Value>>(params).ok().and_then(|mut params| params.remove("requestId"));
            if let Some(Ok(id)) = id.map(serde_json::from_value::<Id>) {
                session.cancel(&id);
            }
        }
        Message::Result { id, result } => {
            let result = serde_json::from_str(result.get());
            let read =
                result.map_err(|error| Fault::of_rpc(INVALID_REQUEST, &format!("the client's answer: {error}"), None));
            session.answered(&id, read);
        }
        Message::Error { id: Some(id), error } => {
            session.answered(&id, Err(Fault::of_rpc(error.code, &error.message, error.data)));
        }
        Message::Notification { .. } | Message::Request { .. } | Message::Error { id: None, .. } => {}
    }
}

fn wrong_id() -> Answer {
    let why = "there is no such stream any more; ask for the result anew";
    refuse(None, &RpcError::new(INVALID_REQUEST, format!("Last-Event-ID: {why}")))
}

/// Brings a session its news, and ends it when it has run out or the hub stops.
async fn look_after(server: Weak<Server>, session: Weak<Session>, mut changes: Receiver<Changed>, who: Arc<Principal>) {
    let Some(mut stopping) = server.upgrade().map(|server| server.stopping.clone()) else { return };
    let mut sweep = tokio::time::interval(SWEEP_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            changed = changes.recv() => Some(changed),
            _ = sweep.tick() => None,
            // A sender that is gone says as much.
            _ = stopping.wait_for(|is_stopping| *is_stopping) => Some(Err(RecvError::Closed)),
        };
        let (Some(server), Some(session)) = (server.upgrade(), session.upgrade()) else { return };
        let is_on = match changed {
            Some(Ok(changed)) => {
                session.tell(&changed);
                true
            }
            Some(Err(RecvError::Lagged(_))) => {
                session.tell_all();
                true
            }
            Some(Err(RecvError::Closed)) => false,
            None => session.sweep(server.now()),
        };
        if !is_on {
            // The last act: this task ends with the session.
            server.end(&session, who);
            return;
        }
    }
}
