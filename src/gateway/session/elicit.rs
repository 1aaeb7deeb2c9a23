//! What a tool asks back while it runs (MCP, "Elicitation"), on its way to the one client of a session and back. Decides nothing
//! about what is asked.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::common::error::ErrorCode;
use crate::common::ids;
use crate::mcp::{Fault, Peer};
use crate::router::TurnKey;

/// How long an answer is waited for. A form is longer to fill in than a yes.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// What one call asks.
#[derive(Debug)]
pub struct Question {
    pub elicit_id: Box<str>,
    /// For the person.
    pub message: Box<str>,
    /// JSON Schema of the form: an object of plain fields.
    pub schema: Value,
    /// Takes MCP's `ElicitResult`; dropped, nobody answers.
    pub answer: oneshot::Sender<Value>,
}

/// The client of a session, as the server of a tool sees it: somebody who can fill in a form.
pub struct Person {
    pub key: TurnKey,
    pub ask: mpsc::Sender<(TurnKey, Question)>,
}

impl Peer for Person {
    fn capabilities(&self) -> Value {
        json!({ "elicitation": { "form": {} } })
    }

    fn ask(&self, method: &str, params: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        let is_form = params.get("mode").and_then(Value::as_str).is_none_or(|mode| mode == "form");
        let known = method == "elicitation/create" && is_form;
        let (answer, answered) = oneshot::channel();
        let question = Question {
            elicit_id: ids::fresh('e').into(),
            message: params.get("message").and_then(Value::as_str).unwrap_or_default().into(),
            schema: params.get("requestedSchema").cloned().unwrap_or_else(|| json!({ "type": "object" })),
            answer,
        };
        let sent = known && self.ask.try_send((self.key, question)).is_ok();
        Box::pin(async move {
            if !known {
                return Err(Fault::new(ErrorCode::Unsupported, "whoever called can fill in a form, and nothing else"));
            }
            let cancelled = json!({ "action": "cancel" });
            match timeout(ANSWER_WITHIN, answered).await {
                Ok(Ok(answer)) if sent => Ok(answer),
                // Nobody was there, had time, or had room.
                _ => Ok(cancelled),
            }
        })
    }

    fn notify(&self, _: &str, _: Value) {}
}
