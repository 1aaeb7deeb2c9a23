//! The words of a conversation with a model: what is asked of a provider and what it streams back. Knows no provider's
//! wire format; the adapters translate, and the docstrings name the fields they translate from.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Who says a message. `system` is the profile's prompt, never a client's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    /// What tools gave back (Chat Completions `tool`, Anthropic `tool_result`, Gemini `functionResponse`).
    Tool,
}

/// One message of a conversation, as a provider is to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    /// In the order said. A message without parts is not sent.
    pub parts: Vec<Part>,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(String),
    Image(Media),
    Audio(Media),
    /// A whole call that the model made.
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    /// An item of a provider's that must go back to it unchanged.
    Verbatim(Verbatim),
}

/// Bytes of a picture or of a sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `image/png`, `audio/wav`; lower case, without parameters.
    pub mime: Box<str>,
    pub data: Bytes,
}

/// A call of a tool, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id (`call_…`, `toolu_…`), or one of the hub's where the provider gives none (Gemini, Ollama).
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it, which need not be valid; empty means `{}`.
    pub arguments: String,
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// [`ToolCall::id`].
    pub call_id: String,
    /// [`ToolCall::name`]: Gemini and Ollama go by it.
    pub name: String,
    pub content: String,
    pub is_error: bool,
}

/// A provider's own JSON that must come back unchanged: an Anthropic `thinking` block with its `signature` or a
/// `redacted_thinking` one, a Gemini part with its `thoughtSignature`, a `reasoning` item of Responses with
/// `encrypted_content`, OpenRouter's `reasoning_details`.
#[derive(Debug, Clone)]
pub struct Verbatim {
    /// Who understands it, as the adapter calls itself: see [`crate::common::chat::Verbatim::is_of`].
    pub origin: Box<str>,
    /// Byte for byte as it came.
    pub json: Box<RawValue>,
    /// What everybody else reads in its place; `None`: nothing.
    pub stands_for: Option<Box<Part>>,
}

impl PartialEq for Verbatim {
    fn eq(&self, other: &Verbatim) -> bool {
        let key = |item: &Verbatim| (item.origin.clone(), item.json.get().to_owned());
        key(self) == key(other) && self.stands_for == other.stands_for
    }
}

impl Verbatim {
    /// Whether an adapter that calls itself `origin` (`anthropic`, `gemini`, `openai_responses`, `openrouter`, …) made it,
    /// and so may have it back.
    pub fn is_of(&self, origin: &str) -> bool {
        &*self.origin == origin
    }
}

impl Message {
    /// A message of text alone.
    pub fn new(role: Role, text: impl Into<String>) -> Message {
        Message { role, parts: vec![Part::Text(text.into())] }
    }

    /// Its text alone, parts put together as they stand. Verbatim items speak through what they stand for.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::text).collect()
    }
}

impl Part {
    /// The text of a part of text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Part::Text(text) => Some(text),
            Part::Verbatim(item) => item.stands_for.as_deref().and_then(Part::text),
            _ => None,
        }
    }

    /// The part as an adapter of another origin is to read it: a verbatim item gives way to what it stands for.
    pub fn plain(&self) -> Option<&Part> {
        match self {
            Part::Verbatim(item) => item.stands_for.as_deref(),
            part => Some(part),
        }
    }
}

/// How the next token is chosen. Absent: the provider's own default. What a provider does not know is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0.0 (the likeliest word each time) to 2.0.
    pub temperature: Option<f32>,
    /// 0.0 to 1.0: only the likeliest tokens that make up this much together.
    pub top_p: Option<f32>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// Texts before which the answer ends.
    #[serde(default)]
    pub stop: Vec<String>,
    pub seed: Option<i64>,
    /// -2.0 to 2.0.
    pub frequency_penalty: Option<f32>,
    /// -2.0 to 2.0.
    pub presence_penalty: Option<f32>,
    pub reasoning: Option<Effort>,
}

/// How hard a model is to think (Chat Completions `reasoning_effort`, Responses `reasoning.effort`, OpenRouter
/// `reasoning.effort`; Anthropic's and Gemini's budgets are derived from it; Ollama `think`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// No thinking, where the model can be told so.
    None,
    Low,
    Medium,
    High,
}

/// A JSON Schema, with its text: it is made once, and sent with every question.
#[derive(Debug, Clone)]
pub struct ToolSchema {
    value: Value,
    text: Box<RawValue>,
}

impl ToolSchema {
    pub fn text(&self) -> &str {
        self.text.get()
    }
}

impl From<Value> for ToolSchema {
    fn from(value: Value) -> ToolSchema {
        let text = serde_json::value::to_raw_value(&value).expect("a value has a text");
        ToolSchema { value, text }
    }
}

impl Deref for ToolSchema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for ToolSchema {
    fn eq(&self, other: &ToolSchema) -> bool {
        self.value == other.value
    }
}

impl Serialize for ToolSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// Of its arguments; an object.
    pub schema: ToolSchema,
    /// Ask the provider to hold the model to the schema, where it can.
    pub strict: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    /// Some tool, whichever.
    Required,
    /// This tool.
    Named(String),
}

/// Structured output: what the answer's text must be.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Any JSON object.
    Json,
    /// JSON after this schema.
    Schema { name: String, schema: Value, strict: Option<bool> },
}

/// One question to one provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The provider's own name of the model.
    pub model: String,
    /// Oldest first; the last is what the user has just said.
    pub messages: Vec<Message>,
    pub sampling: Sampling,
    /// Shared with all other questions that offer them: dozens of schemas are larger than what is asked.
    pub tools: Vec<Arc<Tool>>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<ResponseFormat>,
    /// Pictures are welcome in the answer, where the model paints.
    pub images: bool,
}

/// A picture to be made by one provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageRequest {
    /// The provider's own name of the model.
    pub model: String,
    pub prompt: String,
    /// `1024x1024`, `auto`, or an aspect ratio such as `16:9`, as the client wrote it; the adapter translates or refuses.
    pub size: Option<String>,
    /// How many, from 1.
    pub n: u32,
    /// `low`, `medium`, `high`, `auto`.
    pub quality: Option<String>,
    /// Previews wanted of each, 0 to 3; as far as the provider has them.
    pub partial_images: u8,
}

/// What a provider streams, in the order it said it. Only [`Event::is_content`] binds a turn to its provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The provider is alive: lifecycle and role-only events, `content: null`, pings, keep-alive comments. `model` is the
    /// exact model that answers, where it says so.
    Started { model: Option<Box<str>> },
    /// A piece of the answer, never empty.
    Text(Box<str>),
    /// A piece of the model's thinking (`reasoning_content`, `reasoning`, `thinking_delta`, a Gemini part with `thought`,
    /// `response.reasoning_summary_text.delta`), never empty.
    Reasoning(Box<str>),
    /// A piece of a refusal (`delta.refusal`): the provider's policy speaks and not the model.
    Refusal(Box<str>),
    /// A piece of a call of a tool.
    ToolCall(Box<ToolCallDelta>),
    /// A picture, or a preview of one.
    Image(Box<ImagePiece>),
    /// A piece of speech that the model itself made (a Gemini `inlineData` part of `audio/*`, Chat Completions `audio`).
    Audio(Box<Media>),
    /// An item to keep with the answer and to give back unchanged. Comes after the pieces that it covers.
    Verbatim(Box<VerbatimItem>),
    /// How far the provider is with reading (llama.cpp `prompt_progress`) or loading.
    Progress(Progress),
    /// For the user's eyes, and no part of the answer.
    Notice(Box<str>),
    /// What the provider lets us ask yet (its rate-limit headers).
    Limits(Box<RateLimits>),
    /// Counted so far; the last one holds.
    Usage(Box<Usage>),
    /// Why the answer ended. Usage may still follow.
    Finish(FinishReason),
}

impl Event {
    /// Whether the user would have seen something: after this no other provider may begin anew.
    pub fn is_content(&self) -> bool {
        matches!(
            self,
            Event::Text(_)
                | Event::Reasoning(_)
                | Event::Refusal(_)
                | Event::ToolCall(_)
                | Event::Image(_)
                | Event::Audio(_)
        )
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

/// A picture while it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePiece {
    /// Which picture of the answer, from 0. Previews and the whole of one picture share it.
    pub index: u32,
    /// `Some(n)`: the n-th preview (`partial_image_index`), to be replaced by what follows.
    pub partial: Option<u32>,
    pub media: Media,
}

/// An item to be kept, and how much of what came before it is the same thing in plain words.
#[derive(Debug, Clone)]
pub struct VerbatimItem {
    /// [`Verbatim::origin`].
    pub origin: Box<str>,
    pub json: Box<RawValue>,
    pub covers: Covers,
}

impl PartialEq for VerbatimItem {
    fn eq(&self, other: &VerbatimItem) -> bool {
        self.origin == other.origin && self.json.get() == other.json.get() && self.covers == other.covers
    }
}

/// See [`VerbatimItem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// It says something of its own.
    Nothing,
    /// The last so many bytes of text.
    Text { bytes: usize },
    /// The tool call of this [`ToolCallDelta::index`].
    ToolCall { index: u32 },
    /// The picture of this [`ImagePiece::index`].
    Image { index: u32 },
}

/// How far a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub stage: Stage,
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Tokens of the prompt that have been read.
    Prompt,
    /// Parts of a picture.
    Image,
}

/// What may be asked of a provider before it says 429. Absent: it did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests left, and until there are all again.
    pub requests: Option<Allowance>,
    /// Tokens left (the scarcest kind where there are several), and until there are all again.
    pub tokens: Option<Allowance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub remaining: u64,
    pub reset: Option<std::time::Duration>,
}

/// Tokens of one answer, as the provider counted them. `input_tokens` is all that was read, cached or not, whatever the
/// provider's own word means (Anthropic's `input_tokens` leaves the cache out).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Part of `input_tokens` that the provider had in its cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Part of `input_tokens` that was written into the provider's cache, where that has a price of its own (Anthropic
    /// `cache_creation_input_tokens`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Part of `output_tokens` spent on thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// US dollars: where the provider says it, that; else by the hub's table of prices; absent where that has none.
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
