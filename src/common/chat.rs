//! The words of a conversation with a model: what is asked of a provider and what it streams back. Knows no provider's
//! wire format; the adapters translate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who says a message. `system` is the profile's prompt, never a client's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// One message of a conversation, as a provider is to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

impl Message {
    pub fn new(role: Role, text: impl Into<String>) -> Message {
        Message { role, text: text.into() }
    }
}

/// How the next token is chosen. Absent: the provider's own default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0.0 (the likeliest word each time) to 2.0.
    pub temperature: Option<f32>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
}

/// One question to one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The provider's own name of the model.
    pub model: String,
    /// Oldest first; the last is what the user has just said.
    pub messages: Vec<Message>,
    pub sampling: Sampling,
}

/// What a provider streams, in the order it said it. Only [`Event::is_content`] binds a turn to its provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The provider is alive: lifecycle and role-only events, `content: null`, keep-alives with a body. `model` is the
    /// exact model that answers, where it says so.
    Started { model: Option<Box<str>> },
    /// A piece of the answer, never empty.
    Text(Box<str>),
    /// A piece of the model's thinking (`reasoning_content`, `reasoning`), never empty.
    Reasoning(Box<str>),
    /// A piece of a refusal (`delta.refusal`): the provider's policy speaks and not the model.
    Refusal(Box<str>),
    /// A piece of a call of a tool.
    ToolCall(Box<ToolCallDelta>),
    /// Counted so far; the last one holds.
    Usage(Box<Usage>),
    /// Why the answer ended. Usage may still follow.
    Finish(FinishReason),
}

impl Event {
    /// Whether the user would have seen something: after this no other provider may begin anew.
    pub fn is_content(&self) -> bool {
        matches!(self, Event::Text(_) | Event::Reasoning(_) | Event::Refusal(_) | Event::ToolCall(_))
    }
}

/// A fragment of a tool call. Fragments of one `index` belong together; `arguments` are to be concatenated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ToolCallDelta {
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub arguments: String,
}

/// Tokens of one answer, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Part of `input_tokens` that the provider had in its cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Part of `output_tokens` spent on thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// US dollars, where the provider says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    ToolCalls,
    /// The provider's policy cut the answer.
    ContentFilter,
    /// A word of the provider's that the hub does not know, as sent.
    #[serde(untagged)]
    Other(String),
}
