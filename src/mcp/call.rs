//! A call of a tool, what it gives back, and how whoever called can be reached meanwhile. Carries; does nothing.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::mcp::rpc;

/// One call. Dropping its future cancels it, on whatever machine it runs.
#[derive(Clone)]
pub struct Call {
    pub tool: Box<str>,
    pub arguments: Map<String, Value>,
    pub who: Arc<Principal>,
    pub reach: Reach,
}

/// How whoever called can be reached while the call runs.
#[derive(Clone, Default)]
pub struct Reach {
    /// Gets every step that the tool tells of.
    pub progress: Option<Arc<dyn Fn(Note) + Send + Sync>>,
    /// Can be asked something; `None`: nobody is there who could answer.
    pub peer: Option<Arc<dyn Peer>>,
    /// What was asked before, answered: the call goes on from there.
    pub resumption: Option<Resumption>,
}

/// A step of a call (MCP `notifications/progress`).
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Rises with every step.
    pub progress: f64,
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// An MCP client that waits for an answer and can be asked for something itself.
pub trait Peer: Send + Sync {
    /// Its `capabilities`, as it said them.
    fn capabilities(&self) -> Value;

    /// Puts a request (`elicitation/create`, `sampling/createMessage`, `roots/list`) to it and waits for the result.
    fn ask(&self, method: &str, params: Value) -> BoxFuture<'static, Result<Value, Fault>>;

    /// Whether it takes an [`Outcome::InputRequired`] and comes back with the answers itself.
    fn comes_back(&self) -> bool {
        false
    }

    /// Sends it a notification (`notifications/message`) that belongs to this call.
    fn notify(&self, method: &str, params: Value);
}

/// Answers to what an [`Outcome::InputRequired`] asked (MCP 2026-07-28, `inputResponses` and `requestState`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resumption {
    pub responses: Map<String, Value>,
    pub state: Option<String>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done(ToolOutput),
    /// The tool needs something of the client first: MCP `InputRequiredResult`. Only for callers that know how to go on.
    InputRequired {
        requests: Map<String, Value>,
        state: Option<String>,
    },
}

/// What a tool gave back (MCP `CallToolResult`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolOutput {
    /// MCP `ContentBlock`s, as they came.
    pub content: Vec<Value>,
    /// Of the form of [`crate::mcp::Definition::output`].
    pub structured: Option<Value>,
    /// The tool itself failed, and says in `content` why.
    pub is_error: bool,
    /// Other fields of the result, given on unchanged.
    pub extra: Map<String, Value>,
}

/// Why a request of MCP has no result: a JSON-RPC error, and the same as the hub's other doors say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// JSON-RPC 2.0 or MCP code, such as -32602.
    pub code: i64,
    pub error: ErrorBody,
    pub data: Option<Value>,
}

impl ToolOutput {
    /// A structured result, which is its text as well (MCP asks for both).
    pub fn structured(value: Value) -> ToolOutput {
        ToolOutput { content: vec![text(value.to_string())], structured: Some(value), ..ToolOutput::default() }
    }

    /// Words alone.
    pub fn text(words: impl Into<String>) -> ToolOutput {
        ToolOutput { content: vec![text(words)], ..ToolOutput::default() }
    }

    /// A failure that a model can read and act on.
    pub fn failed(why: impl Into<String>) -> ToolOutput {
        ToolOutput { is_error: true, ..ToolOutput::text(why) }
    }

    /// The texts of its content, a line each.
    pub fn words(&self) -> String {
        let texts = self.content.iter().filter_map(|block| block.get("text").and_then(Value::as_str));
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A block of text (MCP `TextContent`).
pub fn text(words: impl Into<String>) -> Value {
    json!({ "type": "text", "text": words.into() })
}

impl Fault {
    /// A fault of the hub's own; the JSON-RPC code follows from the other.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Fault {
        ErrorBody::new(code, message).into()
    }

    /// A fault that another MCP server or client told of.
    pub fn of_rpc(code: i64, message: &str, data: Option<Value>) -> Fault {
        let own = match code {
            rpc::INVALID_PARAMS | rpc::INVALID_REQUEST => ErrorCode::BadRequest,
            rpc::METHOD_NOT_FOUND => ErrorCode::Unsupported,
            rpc::RESOURCE_NOT_FOUND => ErrorCode::NotFound,
            _ => ErrorCode::Internal,
        };
        Fault { code, error: ErrorBody::new(own, message), data }
    }
}

impl From<ErrorBody> for Fault {
    fn from(error: ErrorBody) -> Fault {
        let code = match error.code {
            ErrorCode::BadRequest | ErrorCode::NotFound | ErrorCode::Forbidden | ErrorCode::Conflict => {
                rpc::INVALID_PARAMS
            }
            ErrorCode::UnknownAction | ErrorCode::Unsupported => rpc::METHOD_NOT_FOUND,
            _ => rpc::INTERNAL_ERROR,
        };
        Fault { code, error, data: None }
    }
}
