//! One server's connection over whatever wire: requests that run side by side, and what becomes of each. Decides nothing
//! about the protocol, which `client` does, and moves no byte, which the wire does.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machine")]

mod input;
mod listen;
mod park;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Note, Peer, Reach};
use crate::mcp::rpc::{Id, RpcError};
use crate::mcp::upstream::client::era::{self, Era};
use crate::mcp::upstream::client::greeting::{Greeting, Prefer, Step};
use crate::mcp::upstream::client::{ASKED_MAX, Client, Heard, Nonsense};
use crate::mcp::upstream::connection::{Connection, Ears, Request, ServerInfo, UpstreamError};

/// What carries messages to one server, and brings its own to [`Shared::hear`].
pub trait Wire: Send + Sync {
    /// Sends a request or a notification. Done when it is on its way; waits while the server takes nothing.
    fn send(&self, letter: Letter) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Sends without waiting; what does not fit is lost.
    fn post(&self, letter: Letter);

    /// Nobody waits for this request's answer any more. True where the server is to be told so by a message.
    fn forget(&self, id: i64) -> bool;

    /// The greeting is done.
    fn greeted(&self, _era: Era, _revision: &str) {}

    /// Looks at a result before it is given on.
    fn learn(&self, _method: &str, _result: &mut Value) {}

    /// Ends everything that belongs to it.
    fn hang_up(&self);

    fn pid(&self) -> Option<u32> {
        None
    }
}

/// A message on its way, with what a wire may have to know of it.
#[derive(Debug, Clone)]
pub struct Letter {
    pub text: String,
    /// Of a request.
    pub id: Option<i64>,
    /// Absent in an answer.
    pub method: Option<Box<str>>,
    /// What is named in it: a tool, a prompt, a resource (MCP 2026-07-28, `Mcp-Name`).
    pub name: Option<Box<str>>,
    /// `Mcp-Param-…` headers, by name.
    pub arguments: Option<Map<String, Value>>,
    pub era: Era,
    pub revision: Box<str>,
}

/// What the wire and the requests have in common.
pub struct Shared {
    pub slug: Box<str>,
    state: Mutex<State>,
    wire: OnceLock<Arc<dyn Wire>>,
    ears: Arc<dyn Ears>,
    closed: watch::Sender<Option<UpstreamError>>,
    parked: park::Lot,
    listening: listen::Listening,
}

struct State {
    client: Client,
    slots: BTreeMap<i64, Slot>,
    /// MCP `LoggingLevel`, as the last `logging/setLevel` wished.
    log_level: Option<Value>,
}

/// Somebody who waits for an answer.
struct Slot {
    answer: oneshot::Sender<Result<Value, UpstreamError>>,
    /// Has room for as many as the client lets through.
    asks: mpsc::Sender<Ask>,
    progress: Option<Arc<dyn Fn(Note) + Send + Sync>>,
    peer: Option<Arc<dyn Peer>>,
}

/// Something that a server asks in the midst of a call.
struct Ask {
    id: Id,
    method: Box<str>,
    params: Value,
}

/// A request on its way. Dropping it cancels the request.
struct Ticket {
    shared: Arc<Shared>,
    id: i64,
    answer: oneshot::Receiver<Result<Value, UpstreamError>>,
    asks: mpsc::Receiver<Ask>,
}

/// The connection; see [`Connection`].
pub struct Link {
    shared: Arc<Shared>,
    info: ServerInfo,
}

impl Link {
    /// Greets the server at the other end of the wire that `shared` was given. `silence` is how long the first question
    /// may stay without an answer before the other era is tried.
    pub async fn greet(shared: Arc<Shared>, prefer: Prefer, silence: Duration) -> Result<Link, UpstreamError> {
        // Whatever was started ends where the greeting fails or is given up.
        let mut link = Link { shared, info: ServerInfo::default() };
        let nobody = Reach::default();
        let (mut greeting, mut step) = Greeting::new(prefer);
        loop {
            step = match step {
                Step::Ask { method, params, era, revision } => {
                    link.shared.state().client.speak(era, revision);
                    let asking = link.shared.put(method, params, &nobody).boxed();
                    let answer = match era {
                        Era::Newest if prefer == Prefer::Newest => {
                            let timely = tokio::time::timeout(silence, asking).await;
                            timely.unwrap_or(Err(UpstreamError::Timeout(silence)))
                        }
                        _ => asking.await,
                    };
                    greeting.answered(answer)
                }
                Step::Done { info, era } => {
                    link.shared.state().client.speak(era, &info.protocol);
                    if let Some(wire) = link.shared.wire.get() {
                        wire.greeted(era, &info.protocol);
                    }
                    link.info = info;
                    break;
                }
                Step::Failed(error) => return Err(error),
            };
        }
        if link.shared.era() == Era::Older {
            let letter = link.shared.notification("notifications/initialized", &Value::Null);
            link.shared.wire().send(letter).await?;
        }
        link.shared.listen_to_lists(&link.info.capabilities);
        Ok(link)
    }

    /// The era that the greeting came to.
    pub fn era(&self) -> Era {
        self.shared.era()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lost(UpstreamError::Gone("the hub has ended the connection".into()));
        if let Some(wire) = self.shared.wire.get() {
            wire.hang_up();
        }
    }
}

impl Connection for Link {
    fn info(&self) -> &ServerInfo {
        &self.info
    }

    fn request(&self, request: Request) -> BoxFuture<'static, Result<Value, UpstreamError>> {
        let (shared, discovered) = (Arc::clone(&self.shared), self.discovered(&request.method));
        async move {
            if let Some(result) = discovered {
                return Ok(result);
            }
            let deadline = request.deadline;
            let answer = tokio::time::timeout(deadline, shared.talk(request)).await;
            answer.unwrap_or(Err(UpstreamError::Timeout(deadline)))
        }
        .boxed()
    }

    fn notify(&self, method: &str, params: Value) {
        let letter = self.shared.notification(method, &params);
        self.shared.wire().post(letter);
    }

    fn closed(&self) -> BoxFuture<'static, UpstreamError> {
        let mut closed = self.shared.closed.subscribe();
        async move {
            let gone = || UpstreamError::Gone("the connection is gone".into());
            closed.wait_for(Option::is_some).await.map_or_else(|_| gone(), |why| why.clone().unwrap_or_else(gone))
        }
        .boxed()
    }

    fn pid(&self) -> Option<u32> {
        self.shared.wire.get()?.pid()
    }
}

impl Link {
    /// `server/discover` of a server that does not have it: what its handshake said.
    fn discovered(&self, method: &str) -> Option<Value> {
        (method == "server/discover" && self.shared.era() == Era::Older).then(|| {
            let mut result = json!({
                "supportedVersions": [self.info.protocol],
                "capabilities": self.info.capabilities,
                "_meta": { era::META_SERVER: self.info.server },
            });
            if let Some(instructions) = &self.info.instructions {
                result["instructions"] = json!(instructions);
            }
            era::modernize(method, &mut result);
            result
        })
    }
}

impl State {
    fn only_peer(&self) -> Option<Arc<dyn Peer>> {
        let mut peers = self.slots.values().filter_map(|slot| slot.peer.as_ref());
        let only = peers.next()?;
        peers.next().is_none().then(|| only.clone())
    }
}

impl Shared {
    pub fn new(slug: &str, ears: Arc<dyn Ears>) -> Arc<Shared> {
        Arc::new(Shared {
            slug: slug.into(),
            state: Mutex::new(State { client: Client::new(Instant::now()), slots: BTreeMap::new(), log_level: None }),
            wire: OnceLock::new(),
            ears,
            closed: watch::Sender::new(None),
            parked: park::Lot::default(),
            listening: listen::Listening::default(),
        })
    }

    /// Gives it its wire, once, before anything is sent.
    pub fn attach(&self, wire: Arc<dyn Wire>) {
        let _ = self.wire.set(wire);
    }

    fn wire(&self) -> &Arc<dyn Wire> {
        self.wire.get().expect("a wire is attached before anything is sent")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    pub fn era(&self) -> Era {
        self.state().client.era()
    }

    /// A message has come. `via`: the request on whose own answer it came, where the wire tells them apart.
    pub fn hear(&self, text: &str, via: Option<i64>) -> Result<(), Nonsense> {
        let heard = self.state().client.take(text, via, Instant::now())?;
        for heard in heard {
            self.pass_on(heard);
        }
        Ok(())
    }

    fn pass_on(&self, heard: Heard) {
        match heard {
            Heard::Answer { id, answer } => {
                if let Some(slot) = self.state().slots.remove(&id) {
                    // Whoever has gone meanwhile has cancelled it already.
                    let _ = slot.answer.send(answer.map_err(UpstreamError::Answered));
                }
            }
            Heard::Progress { id, note } => {
                let progress = self.state().slots.get(&id).and_then(|slot| slot.progress.clone());
                if let Some(progress) = progress {
                    progress(note);
                }
            }
            Heard::Asked { of, id, method, params } => {
                let asks = self.state().slots.get(&of).map(|slot| slot.asks.clone());
                let refused = asks.is_none_or(|asks| asks.try_send(Ask { id: id.clone(), method, params }).is_err());
                if refused {
                    self.answer(&id, Err(RpcError::new(crate::mcp::rpc::INTERNAL_ERROR, "nobody can be asked")));
                }
            }
            Heard::Notified { of, method, params } => {
                let peer = match of {
                    Some(of) => self.state().slots.get(&of).and_then(|slot| slot.peer.clone()),
                    // A program does not say to which call its words belong: where there is one alone, to that.
                    None => self.state().only_peer(),
                };
                match peer {
                    Some(peer) if &*method == "notifications/message" => peer.notify(&method, params),
                    _ if &*method == listen::ACKNOWLEDGED => self.acknowledged(&params),
                    _ => self.ears.notification(&method, params),
                }
            }
            Heard::Reply(text) => {
                let letter = self.letter(text);
                self.wire().post(letter);
            }
        }
    }

    /// The wire hears the server again, and may have missed something.
    pub fn heard_again(&self) {
        self.ears.was_deaf();
    }

    /// This request cannot be answered.
    pub fn fail(&self, id: i64, error: UpstreamError) {
        let mut state = self.state();
        state.client.cancel(id);
        if let Some(slot) = state.slots.remove(&id) {
            drop(state);
            let _ = slot.answer.send(Err(error));
        }
    }

    /// Whether somebody waits for this answer still.
    pub fn is_awaited(&self, id: i64) -> bool {
        self.state().slots.contains_key(&id)
    }

    /// The connection is of no use any more. The first reason counts.
    pub fn lost(&self, why: UpstreamError) {
        let is_first = self.closed.send_if_modified(|closed| {
            let is_first = closed.is_none();
            closed.get_or_insert_with(|| why.clone());
            is_first
        });
        if !is_first {
            return;
        }
        let slots = std::mem::take(&mut self.state().slots);
        for slot in slots.into_values() {
            let _ = slot.answer.send(Err(why.clone()));
        }
        self.parked.clear();
        self.stop_listening();
        let dropped = self.state().client.dropped();
        if dropped > 0 {
            tracing::warn!(
                server = &*self.slug,
                dropped,
                "notifications of an MCP server came too fast and were dropped"
            );
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// A request from beginning to end, with everything that the server asks meanwhile.
    async fn talk(self: Arc<Shared>, request: Request) -> Result<Value, UpstreamError> {
        let Request { method, params, reach, .. } = request;
        match (self.era(), &*method) {
            (Era::Newest, "resources/subscribe") => self.subscribe(&params, true).await,
            (Era::Newest, "resources/unsubscribe") => self.subscribe(&params, false).await,
            (Era::Newest, "logging/setLevel") => {
                self.state().log_level = params.get("level").cloned();
                Ok(json!({ "resultType": "complete" }))
            }
            // The newest era has no ping: this is its cheapest question.
            (Era::Newest, "ping") => {
                self.put("server/discover", json!({}), &reach).await.map(|_| json!({ "resultType": "complete" }))
            }
            (_, method) => self.rounds(method, params, reach).await,
        }
    }

    /// One request and its answer.
    async fn put(self: &Arc<Shared>, method: &str, params: Value, reach: &Reach) -> Result<Value, UpstreamError> {
        let ticket = self.issue(method, params, reach).await?;
        self.wait(ticket, method, reach).await
    }

    /// Puts a request on the wire.
    async fn issue(self: &Arc<Shared>, method: &str, params: Value, reach: &Reach) -> Result<Ticket, UpstreamError> {
        let mut params = match params {
            Value::Object(params) => params,
            Value::Null => Map::new(),
            _ => return Err(UpstreamError::Answered(Fault::new(ErrorCode::BadRequest, "params is an object"))),
        };
        let capabilities = reach.peer.as_ref().map_or_else(era::everything, |peer| peer.capabilities());
        let (tell, answer) = oneshot::channel();
        let (ask, asks) = mpsc::channel(ASKED_MAX);
        let (letter, id) = {
            let mut state = self.state();
            if let Some(why) = self.closed.borrow().clone() {
                return Err(why);
            }
            // Without a level nothing is said; whoever listens hears what they asked for of it.
            let level = state.log_level.clone().or_else(|| reach.peer.is_some().then(|| json!("debug")));
            if let Some(level) = level.filter(|_| state.client.era() == Era::Newest) {
                era::meta_of(&mut params).entry(era::META_LOG_LEVEL).or_insert(level);
            }
            let out = state.client.request(method, &mut params, &capabilities, reach.progress.is_some());
            let out =
                out.map_err(|full| UpstreamError::Answered(Fault::new(ErrorCode::RateLimited, full.to_string())))?;
            let slot = Slot { answer: tell, asks: ask, progress: reach.progress.clone(), peer: reach.peer.clone() };
            state.slots.insert(out.id, slot);
            let letter = Letter {
                id: Some(out.id),
                method: Some(method.into()),
                name: named(method, &params),
                arguments: match params.remove("arguments") {
                    Some(Value::Object(arguments)) if method == "tools/call" => Some(arguments),
                    _ => None,
                },
                era: state.client.era(),
                revision: state.client.revision().into(),
                text: out.text,
            };
            (letter, out.id)
        };
        let ticket = Ticket { shared: Arc::clone(self), id, answer, asks };
        let sending = self.wire().send(letter);
        sending.await?;
        Ok(ticket)
    }

    /// Sends an answer to something that the server asked.
    fn answer(&self, id: &Id, answer: Result<Value, RpcError>) {
        let text = self.state().client.answer(id, answer);
        if let Some(text) = text {
            let letter = self.letter(text);
            self.wire().post(letter);
        }
    }

    fn notification(&self, method: &str, params: &Value) -> Letter {
        let text = self.state().client.notification(method, params);
        Letter { method: Some(method.into()), ..self.letter(text) }
    }

    fn letter(&self, text: String) -> Letter {
        let state = self.state();
        let (era, revision) = (state.client.era(), state.client.revision().into());
        Letter { text, id: None, method: None, name: None, arguments: None, era, revision }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let told = {
            let mut state = self.shared.state();
            state.slots.remove(&self.id);
            state.client.cancel(self.id)
        };
        let is_wanted = self.shared.wire().forget(self.id);
        if let Some(text) = told.filter(|_| is_wanted && !self.shared.is_closed()) {
            let letter = Letter { method: Some("notifications/cancelled".into()), ..self.shared.letter(text) };
            self.shared.wire().post(letter);
        }
    }
}

/// What a request names (MCP 2026-07-28, "Standard MCP Request Headers").
fn named(method: &str, params: &Map<String, Value>) -> Option<Box<str>> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    params.get(key)?.as_str().map(Into::into)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
