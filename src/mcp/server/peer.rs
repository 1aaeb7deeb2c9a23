//! A client as the tools see it that work for it: what it can be asked, and the asking within a session. The asking of
//! 2026-07-28 is in `flight`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Note, Peer};
use crate::mcp::rpc;
use crate::mcp::server::outlet::{Log, Outlet};
use crate::mcp::server::session::Session;
use crate::mcp::server::version::{Level, MISSING_CAPABILITY, PRIMED};

/// How long a client may take to answer: there may be a person behind it.
pub const ASK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// A line of a log.
pub const MESSAGE: &str = "notifications/message";

/// A person has done what they were sent to an address for (2025-11-25).
const ELICITED: &str = "notifications/elicitation/complete";

/// Not MCP, and never sent: whoever tells a peer of this will be a while, and its client may hang up and come again.
pub const RELEASE: &str = "hearth/release";

/// The fault where a client has not said that it can be asked this.
pub fn lacks(capabilities: &Value, method: &str, params: &Value) -> Option<Fault> {
    let can = |pointer: &str| capabilities.pointer(pointer).is_some_and(Value::is_object);
    let is_url = params.get("mode").and_then(Value::as_str) == Some("url");
    let (is_there, required) = match method {
        "sampling/createMessage" => (can("/sampling"), json!({ "sampling": {} })),
        "roots/list" => (can("/roots"), json!({ "roots": {} })),
        "elicitation/create" if is_url => (can("/elicitation/url"), json!({ "elicitation": { "url": {} } })),
        // Said without a mode, it is the form.
        "elicitation/create" => (
            can("/elicitation") && (can("/elicitation/form") || !can("/elicitation/url")),
            json!({ "elicitation": {} }),
        ),
        _ => {
            let message = format!("a client cannot be asked for {method}");
            return Some(Fault::new(ErrorCode::Unsupported, message));
        }
    };
    let message = format!("this needs a client that can be asked for {method}, which this one has not said it can");
    (!is_there).then(|| Fault {
        code: MISSING_CAPABILITY,
        data: Some(json!({ "requiredCapabilities": required })),
        ..Fault::new(ErrorCode::Unsupported, message)
    })
}

/// Whether a message of a log is as bad as `least` or worse; one without a level is.
pub fn is_heard(params: &Value, least: Level) -> bool {
    params.get("level").and_then(Value::as_str).and_then(Level::of).is_none_or(|level| level >= least)
}

/// Tells of progress under the token that the client gave; one that goes back is left out.
pub fn progress(outlet: Arc<Outlet>, token: impl Fn() -> Option<Value> + Send + Sync) -> impl Fn(Note) + Send + Sync {
    let last = std::sync::Mutex::new(f64::NEG_INFINITY);
    move |note: Note| {
        let Some(token) = token() else { return };
        {
            let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if note.progress <= *last || !note.progress.is_finite() {
                return;
            }
            *last = note.progress;
        }
        let mut params =
            Map::from_iter([("progressToken".to_owned(), token), ("progress".to_owned(), number(note.progress))]);
        if let Some(total) = note.total.filter(|total| total.is_finite()) {
            params.insert("total".into(), number(total));
        }
        if let Some(message) = note.message {
            params.insert("message".into(), message.into());
        }
        outlet.say(rpc::notification("notifications/progress", &params));
    }
}

/// `50`, not `50.0`.
fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value { json!(whole) } else { json!(value) }
}

/// The client of a session, on the stream of one call.
pub struct SessionPeer {
    pub session: Arc<Session>,
    pub outlet: Arc<Outlet>,
}

impl Peer for SessionPeer {
    fn capabilities(&self) -> Value {
        self.session.capabilities.clone()
    }

    fn ask(&self, method: &str, mut params: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        if let Some(fault) = lacks(&self.session.capabilities, method, &params) {
            return async { Err(fault) }.boxed();
        }
        if self.session.version < PRIMED && params.get("mode").and_then(Value::as_str) == Some("form") {
            // Earlier revisions know one mode, and no word for it.
            params.as_object_mut().map(|params| params.remove("mode"));
        }
        self.session.ask(&self.outlet, method, &params).answer(ASK_DEADLINE).boxed()
    }

    fn notify(&self, method: &str, params: Value) {
        match method {
            RELEASE if self.session.version >= PRIMED => self.outlet.change(Log::release),
            MESSAGE if is_heard(&params, self.session.level()) => self.outlet.say(rpc::notification(method, &params)),
            ELICITED if self.session.version >= PRIMED => self.outlet.say(rpc::notification(method, &params)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_asked_what_it_said_it_can() {
        let can = |capabilities: Value, method: &str, params: Value| lacks(&capabilities, method, &params).is_none();
        assert!(can(json!({ "elicitation": {} }), "elicitation/create", json!({})));
        assert!(can(json!({ "elicitation": { "form": {} } }), "elicitation/create", json!({ "mode": "form" })));
        assert!(can(json!({ "elicitation": { "url": {} } }), "elicitation/create", json!({ "mode": "url" })));
        assert!(!can(json!({ "elicitation": { "url": {} } }), "elicitation/create", json!({})));
        assert!(!can(json!({ "elicitation": {} }), "elicitation/create", json!({ "mode": "url" })));
        assert!(!can(json!({}), "sampling/createMessage", json!({})));
        assert!(can(json!({ "roots": { "listChanged": true } }), "roots/list", json!({})));
        assert!(!can(json!({ "roots": {} }), "tools/call", json!({})));
    }

    #[test]
    fn progress_goes_on_and_never_back() {
        let outlet = Outlet::new(Log::default());
        let tell = progress(outlet.clone(), || Some(json!("t")));
        let note = |progress| Note { progress, total: Some(100.0), message: None };
        for value in [0.0, 50.0, 50.0, 20.0, f64::NAN, 99.5] {
            tell(note(value));
        }
        let mut log = outlet.log();
        let reader = log.attach();
        let mut told = Vec::new();
        while let crate::mcp::server::outlet::Next::Item {
            seq,
            said: crate::mcp::server::outlet::Said::Message(text),
            ..
        } = log.next(reader, told.len() as u64)
        {
            assert_eq!(seq as usize, told.len() + 1);
            told.push(serde_json::from_str::<Value>(&text).expect("JSON")["params"].clone());
        }
        let wanted = |progress: Value| json!({ "progressToken": "t", "progress": progress, "total": 100 });
        assert_eq!(told, [wanted(json!(0)), wanted(json!(50)), wanted(json!(99.5))]);
    }
}
