//! The words about tools: called by a client, called by a model, and those that wait for the user's word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `tool`: a tool to be called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Tool {
    /// As `GET /api/v1/tools` lists it.
    pub name: String,
    /// By the tool's own schema; absent: `{}`.
    #[serde(default)]
    pub arguments: Option<Map<String, Value>>,
}

/// `confirm`: the user's word about a tool that a model wants to call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Confirm {
    pub confirm_id: String,
    pub accept: bool,
}

/// `answer`: what the user says to what a tool asks back.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Answer {
    pub elicit_id: String,
    pub action: AnswerAction,
    /// The form, filled in; with `accept`.
    #[serde(default)]
    pub content: Option<Map<String, Value>>,
}

/// MCP's words.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerAction {
    Accept,
    /// No.
    Decline,
    /// Neither yes nor no: the form was closed.
    Cancel,
}

/// The metadata of the `complete` of a `tool`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolMetadata<'a> {
    pub tool: &'a str,
    pub result: ToolResult<'a>,
    /// Milliseconds from the request to the result.
    pub total_ms: u64,
}

/// What a tool gave back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolResult<'a> {
    /// MCP `ContentBlock`s.
    pub content: &'a [Value],
    /// By the tool's schema of results, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured: Option<&'a Value>,
    /// The tool itself failed, and `content` says why.
    pub is_error: bool,
}

/// The metadata of a `metadata` chunk that tells how far a tool is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StepMetadata<'a> {
    pub progress: Step<'a>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step<'a> {
    /// `tool`.
    pub stage: &'static str,
    /// In a chat: the id of the model's call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<&'a str>,
    /// In a chat: the tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Rises with every step.
    pub done: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// The metadata of a `tool_call` chunk.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolCallMetadata<'a> {
    pub tool_call: ToolCallPiece<'a>,
}

/// A piece of a call that a model makes. Pieces of one `index` belong together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolCallPiece<'a> {
    /// Which call of the answer, from 0.
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// To be put behind what came before: JSON text, once it is whole.
    pub arguments: &'a str,
}

/// The metadata of a `tool_result` chunk, whose `data` is what the model reads.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolResultMetadata<'a> {
    pub tool_result: ToolResultHead<'a>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToolResultHead<'a> {
    /// That of the call.
    pub id: &'a str,
    pub name: &'a str,
    pub is_error: bool,
    pub ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured: Option<&'a Value>,
}

/// The metadata of a `metadata` chunk that asks for the user's word.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfirmMetadata<'a> {
    pub confirm: ConfirmAsk<'a>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfirmAsk<'a> {
    /// For the answer.
    pub confirm_id: &'a str,
    pub tool: &'a str,
    pub title: Option<&'a str>,
    pub arguments: &'a Value,
    /// After so many seconds the tool is not run.
    pub expires_in_s: u64,
}

/// The metadata of a `metadata` chunk that passes on what a tool asks back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ElicitMetadata<'a> {
    pub elicit: ElicitAsk<'a>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ElicitAsk<'a> {
    /// For the answer.
    pub elicit_id: &'a str,
    pub tool: &'a str,
    /// For the user, in the tool's words.
    pub message: &'a str,
    /// JSON Schema of the form: an object of plain fields.
    pub schema: &'a Value,
    /// After so many seconds the tool hears that nobody answered.
    pub expires_in_s: u64,
}
