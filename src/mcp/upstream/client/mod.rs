//! The client's side of MCP as a state machine: which requests wait, what a message means, and how much a server may say
//! unasked. Text in, text out: knows no wire, no clock and no task.

pub mod elicit;
pub mod era;
pub mod greeting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::common::rate::TokenBucket;
use crate::mcp::call::{Fault, Note};
use crate::mcp::rpc::{self, Id, Message, RpcError};

use era::Era;

/// The longest message taken, bytes. A picture in a result is some megabytes. How deep one nests is bounded by `serde_json`
/// (128).
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests that wait for one server's answer; `max_calls` of a row is at most this, and lists come beside.
pub const WAITING_MAX: usize = 2048;

/// Requests of one server that wait for our answer.
pub const ASKED_MAX: usize = 64;

/// Messages in one batch of JSON-RPC (2025-03-26 alone has them).
const BATCH_LEN_MAX: usize = 256;

/// What a server may say unasked: a burst, and one more each while. Beyond it, notifications are dropped and counted; a
/// progress bar that stutters is no loss, and a log is not the hub's work.
const VOICE_BURST: u32 = 512;
const VOICE_REFILL: Duration = Duration::from_millis(4);

/// One server's client. Ids rise and are never used twice.
#[derive(Debug)]
pub struct Client {
    era: Era,
    revision: Box<str>,
    last_id: i64,
    waiting: BTreeMap<i64, Waiting>,
    /// Requests of the server's that have no answer yet.
    asked: BTreeSet<Id>,
    voice: TokenBucket,
    dropped: u64,
}

#[derive(Debug)]
struct Waiting {
    method: Box<str>,
    /// It is a request in whose midst a server may ask for something.
    is_call: bool,
}

/// A request, ready for the wire.
#[derive(Debug)]
pub struct Outgoing {
    pub id: i64,
    pub text: String,
}

/// What a message meant.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Answer {
        id: i64,
        answer: Result<Value, Fault>,
    },
    Progress {
        id: i64,
        note: Note,
    },
    /// The server asks for something, in the midst of the call `of`. It is to be answered through [`Client::answer`].
    Asked {
        of: i64,
        id: Id,
        method: Box<str>,
        params: Value,
    },
    Notified {
        of: Option<i64>,
        method: Box<str>,
        params: Value,
    },
    /// To be sent back at once.
    Reply(String),
}

/// There is no room for another request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING_MAX} requests wait for this server already")]
pub struct Full;

/// What came is no message of MCP.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub String);

impl Client {
    pub fn new(now: Instant) -> Client {
        Client {
            era: Era::Older,
            revision: era::OLDER[0].into(),
            last_id: 0,
            waiting: BTreeMap::new(),
            asked: BTreeSet::new(),
            voice: TokenBucket::new(VOICE_BURST, VOICE_REFILL, now),
            dropped: 0,
        }
    }

    /// From now on requests are of this era and revision.
    pub fn speak(&mut self, era: Era, revision: &str) {
        self.era = era;
        self.revision = revision.into();
    }

    pub fn era(&self) -> Era {
        self.era
    }

    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Notifications that were dropped because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A request's text. `capabilities` are what whoever stands behind it can do; `progress`: steps are wanted.
    pub fn request(
        &mut self,
        method: &str,
        params: &mut Map<String, Value>,
        capabilities: &Value,
        progress: bool,
    ) -> Result<Outgoing, Full> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Full);
        }
        self.last_id += 1;
        let id = self.last_id;
        match self.era {
            Era::Newest => era::stamp(params, &self.revision, capabilities),
            Era::Older => era::unstamp(params),
        }
        if progress {
            era::meta_of(params).insert("progressToken".into(), json!(id));
        }
        let is_call = matches!(method, "tools/call" | "prompts/get" | "resources/read");
        self.waiting.insert(id, Waiting { method: method.into(), is_call });
        Ok(Outgoing { id, text: rpc::request(&Id::Number(id), method, params) })
    }

    /// Nobody waits for this request any more. What to tell the server, where it should hear of it.
    pub fn cancel(&mut self, id: i64) -> Option<String> {
        let waiting = self.waiting.remove(&id)?;
        // "The initialize request MUST NOT be cancelled by clients" (MCP, "Cancellation"). And an older server that has said
        // nothing to `server/discover` waits for `initialize`, and for nothing else.
        (!["initialize", "server/discover"].contains(&&*waiting.method)).then(|| {
            let params = json!({ "requestId": id, "reason": "nobody waits for the answer any more" });
            rpc::notification("notifications/cancelled", &params)
        })
    }

    /// The text of a notification.
    pub fn notification(&self, method: &str, params: &Value) -> String {
        if params.is_null() { rpc::notification(method, &json!({})) } else { rpc::notification(method, params) }
    }

    /// What to send for an answer to [`Heard::Asked`]; nothing where the server has taken its request back.
    pub fn answer(&mut self, id: &Id, answer: Result<Value, RpcError>) -> Option<String> {
        self.asked.remove(id).then(|| match answer {
            Ok(result) => rpc::result(id, &result),
            Err(error) => rpc::error(Some(id), &error),
        })
    }

    /// What a message means. `via`: the request on whose own answer it came, where the wire tells them apart.
    pub fn take(&mut self, text: &str, via: Option<i64>, now: Instant) -> Result<Vec<Heard>, Nonsense> {
        if !text.trim_start().starts_with('[') {
            return Ok(self.take_one(text, via, now)?.into_iter().collect());
        }
        let batch: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| Nonsense(format!("it sent no JSON: {error}")))?;
        if batch.len() > BATCH_LEN_MAX {
            return Err(Nonsense(format!("it sent {} messages at once, and {BATCH_LEN_MAX} are taken", batch.len())));
        }
        let (mut heard, mut nonsense) = (Vec::new(), None);
        for message in batch {
            match self.take_one(message.get(), via, now) {
                Ok(meant) => heard.extend(meant),
                Err(error) => nonsense = Some(error),
            }
        }
        // One that nobody understands takes no answer with it that stands beside it.
        nonsense.filter(|_| heard.is_empty()).map_or(Ok(heard), Err)
    }

    fn take_one(&mut self, text: &str, via: Option<i64>, now: Instant) -> Result<Option<Heard>, Nonsense> {
        let message = rpc::parse(text).map_err(|(_, error)| Nonsense(error.message))?;
        Ok(match message {
            Message::Result { id, result } => self.answered(&id, result)?,
            Message::Error { id, error } => {
                let id = id.as_ref().and_then(number).or(via);
                id.and_then(|id| {
                    self.waiting.remove(&id)?;
                    let answer = Err(Fault::of_rpc(error.code, &error.message, error.data));
                    Some(Heard::Answer { id, answer })
                })
            }
            Message::Request { id, method, params } => Some(self.asked(id, method, read(params)?, via)),
            Message::Notification { method, params } => self.notified(method, read(params)?, via, now),
        })
    }

    fn answered(&mut self, id: &Id, result: &RawValue) -> Result<Option<Heard>, Nonsense> {
        // An answer to what was cancelled meanwhile, or to nothing, is nobody's.
        let Some(id) = number(id).filter(|id| self.waiting.contains_key(id)) else { return Ok(None) };
        let mut result: Value = serde_json::from_str(result.get())
            .map_err(|error| Nonsense(format!("a result cannot be read: {error}")))?;
        let waiting = self.waiting.remove(&id).expect("it was just found");
        let answer = if result.is_object() {
            era::modernize(&waiting.method, &mut result);
            Ok(result)
        } else {
            Err(Fault::of_rpc(rpc::INTERNAL_ERROR, "the server's result is no object", None))
        };
        Ok(Some(Heard::Answer { id, answer }))
    }

    /// The call that a request of the server's belongs to: the one on whose stream it came, the one that it names, or the
    /// only one there is. A question is never put to the wrong person.
    fn call_of(&self, params: &Value, via: Option<i64>) -> Option<i64> {
        let is_call = |id: &i64| self.waiting.get(id).is_some_and(|waiting| waiting.is_call);
        let named = params.pointer("/_meta/progressToken").and_then(Value::as_i64);
        via.filter(is_call).or(named.filter(is_call)).or_else(|| {
            let mut calls = self.waiting.iter().filter(|(_, waiting)| waiting.is_call);
            let only = *calls.next()?.0;
            calls.next().is_none().then_some(only)
        })
    }

    fn asked(&mut self, id: Id, method: Box<str>, params: Value, via: Option<i64>) -> Heard {
        let refuse = |code: i64, why: &str| Heard::Reply(rpc::error(Some(&id), &RpcError::new(code, why)));
        let of = self.call_of(&params, via);
        match (&*method, of) {
            ("ping", _) => Heard::Reply(rpc::result(&id, &json!({}))),
            ("roots/list", None) => Heard::Reply(rpc::result(&id, &json!({ "roots": [] }))),
            ("roots/list" | "sampling/createMessage" | "elicitation/create", Some(of)) => {
                if self.asked.len() >= ASKED_MAX {
                    return refuse(rpc::INTERNAL_ERROR, "too many requests wait for an answer already");
                }
                if !self.asked.insert(id.clone()) {
                    return refuse(rpc::INVALID_REQUEST, "another request with this id waits for its answer");
                }
                Heard::Asked { of, id, method, params }
            }
            ("sampling/createMessage" | "elicitation/create", None) => {
                refuse(rpc::INVALID_REQUEST, "it cannot be told which call this belongs to: name its progressToken")
            }
            _ => refuse(rpc::METHOD_NOT_FOUND, "the client has no such method"),
        }
    }

    fn notified(&mut self, method: Box<str>, params: Value, via: Option<i64>, now: Instant) -> Option<Heard> {
        if &*method == "notifications/cancelled" {
            // It takes back what it asked for.
            let id = params.get("requestId").and_then(|id| serde_json::from_value::<Id>(id.clone()).ok())?;
            self.asked.remove(&id);
            return None;
        }
        if !self.voice.take(now) {
            self.dropped += 1;
            return None;
        }
        if &*method == "notifications/progress" {
            let id = params.get("progressToken").and_then(Value::as_i64).filter(|id| self.waiting.contains_key(id))?;
            let note = Note {
                progress: params.get("progress").and_then(Value::as_f64)?,
                total: params.get("total").and_then(Value::as_f64),
                message: params.get("message").and_then(Value::as_str).map(str::to_owned),
            };
            return Some(Heard::Progress { id, note });
        }
        let of = via.filter(|id| self.waiting.contains_key(id));
        Some(Heard::Notified { of, method, params })
    }
}

/// Our ids are numbers; some servers give them back as text.
fn number(id: &Id) -> Option<i64> {
    match id {
        Id::Number(number) => Some(*number),
        Id::Text(text) => text.parse().ok(),
    }
}

fn read(params: Option<&RawValue>) -> Result<Value, Nonsense> {
    let params: Value = rpc::params(params).map_err(|error| Nonsense(error.message))?;
    if params.is_object() || params.is_null() { Ok(params) } else { Err(Nonsense("its params are no object".into())) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
