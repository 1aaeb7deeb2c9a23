//! One message as it is remembered: what it may hold, and how it lies in the file. Knows no conversation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blobs::Kept;
use super::parts::{self, StoredPart};
use super::{UnixMillis, WriteError};
use crate::common::chat::{Part, Role};

/// The longest text of one message, bytes: the longest a socket lets in.
pub const TEXT_BYTES_MAX: usize = crate::common::limits::MESSAGE_BYTES_MAX;

/// Thinking kept with an answer, bytes; the rest is cut off. It is for the eye and never read by a model again.
pub const REASONING_BYTES_MAX: usize = 256 * 1024;

/// The longest provider or model name kept with a message, bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// A message to be remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Not `system`: a system prompt belongs to the model profile.
    pub role: Role,
    /// What a person reads.
    pub text: String,
    /// What a model reads again, whole and in order, text included; empty where `text` says all.
    pub parts: Vec<Part>,
    pub reasoning: Option<String>,
    pub at_ms: UnixMillis,
    pub partial: bool,
    pub provider: Option<String>,
    pub model: Option<String>,
}

/// A message as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredMessage {
    /// Its place in the conversation, from 1 on. In the file it is part of the key alone.
    #[serde(default, skip_serializing_if = "is_in_the_file")]
    pub seq: u64,
    pub role: Role,
    pub text: String,
    /// Everything that it is made of, its text included, where that is more than `text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<StoredPart>,
    /// The model's thinking, which no model reads again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    pub at_ms: UnixMillis,
    /// Cut off: by the user, by an error, or by a limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl NewMessage {
    /// A message that is whole and of nobody in particular.
    pub fn new(role: Role, text: impl Into<String>, at_ms: UnixMillis) -> NewMessage {
        NewMessage {
            role,
            text: text.into(),
            parts: Vec::new(),
            reasoning: None,
            at_ms,
            partial: false,
            provider: None,
            model: None,
        }
    }

    /// The message as it lies in the file; what lies beside it is added to `media`.
    pub(super) fn into_stored(self, media: &mut Vec<Kept>) -> StoredMessage {
        let NewMessage { role, text, parts, mut reasoning, at_ms, partial, provider, model } = self;
        if let Some(reasoning) = &mut reasoning {
            reasoning.truncate(reasoning.floor_char_boundary(REASONING_BYTES_MAX));
        }
        let parts = parts::lay_out(&text, parts, media);
        StoredMessage { seq: 0, role, text, parts, reasoning, at_ms, partial, provider, model }
    }
}

/// Whether the store takes it; parts that are too long are shortened instead.
pub(super) fn check(message: &NewMessage) -> Result<(), WriteError> {
    if message.role == Role::System {
        return Err(WriteError::Invalid("a system prompt belongs to a model profile, not to a conversation".into()));
    }
    let within = |what, size, max| if size <= max { Ok(()) } else { Err(WriteError::TooLarge { what, size, max }) };
    within("a message", message.text.len(), TEXT_BYTES_MAX)?;
    for name in [&message.provider, &message.model] {
        within("a name", name.as_ref().map_or(0, String::len), NAME_BYTES_MAX)?;
    }
    Ok(())
}

fn is_in_the_file(seq: &u64) -> bool {
    *seq == 0
}
