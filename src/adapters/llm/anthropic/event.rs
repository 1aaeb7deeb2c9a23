//! One event of a Messages stream as serde reads it: borrowed from the event's bytes, without a tree. Takes what servers
//! send in Anthropic's name; says nothing of what it means.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::llm::lenient::{Count, Text};

/// Any event, or a whole message of a server that does not stream. What comes once in an answer is left unread here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Of the content block.
    pub index: Count,
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    /// Of `message_start`: a [`Message`].
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    /// A [`Block`].
    #[serde(borrow)]
    pub content_block: Option<&'a RawValue>,
    pub usage: Option<Tokens>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

/// Of `content_block_delta` and of `message_delta`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delta<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Text<'a>,
    #[serde(borrow)]
    pub thinking: Text<'a>,
    #[serde(borrow)]
    pub partial_json: Text<'a>,
    #[serde(borrow)]
    pub signature: Text<'a>,
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub stop_reason: Text<'a>,
    pub stop_details: Option<StopDetails>,
}

/// A message: its beginning in a stream, or the whole of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub model: Text<'a>,
    #[serde(borrow)]
    pub content: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub stop_reason: Text<'a>,
    pub stop_details: Option<StopDetails>,
    pub usage: Option<Tokens>,
}

/// Why policy cut an answer, where it says so.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StopDetails {
    pub explanation: Option<String>,
}

/// A content block as it begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub text: Text<'a>,
    #[serde(borrow)]
    pub thinking: Text<'a>,
    #[serde(borrow)]
    pub signature: Text<'a>,
    #[serde(borrow)]
    pub citations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

/// Tokens counted: cumulative, and absent where nothing has changed.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Tokens {
    pub input_tokens: Count,
    pub output_tokens: Count,
    pub cache_read_input_tokens: Count,
    pub cache_creation_input_tokens: Count,
    pub output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    pub thinking_tokens: Count,
}
