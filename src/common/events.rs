//! What a running turn tells whoever asked. Made by the router, read by every door.

use std::time::Instant;

use crate::common::chat::{FinishReason, ImagePiece, Progress, ToolCallDelta, Usage};
use crate::common::error::ErrorBody;
use crate::common::speech::AudioPiece;

/// One piece of news of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnEvent {
    /// When its bytes came in from the provider: what the hub adds is counted from here.
    pub received_at: Instant,
    pub news: News,
}

/// Pieces, then exactly one of `Done` and `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Text(Box<str>),
    Reasoning(Box<str>),
    ToolCall(Box<ToolCallDelta>),
    Image(Box<ImagePiece>),
    /// Speech. Comes beside the text, a sentence behind it.
    Audio(Box<AudioPiece>),
    Progress(Progress),
    /// What follows belongs to the n-th message of the answer, from 1: the provider before broke off, and the next one goes
    /// on.
    Message(u32),
    /// For the user's eyes, and no part of the answer: another provider took over, history could not be saved.
    Notice(Box<str>),
    Done(Box<TurnSummary>),
    Failed(Box<TurnFailure>),
}

impl News {
    /// Whether nothing comes after this.
    pub fn is_last(&self) -> bool {
        matches!(self, News::Done(_) | News::Failed(_))
    }
}

/// A whole answer, looked back upon.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnSummary {
    pub conversation_id: Box<str>,
    pub provider: Box<str>,
    pub model: Box<str>,
    pub usage: Option<Usage>,
    pub finish: Option<FinishReason>,
    /// Of how many messages the answer is made: 1, and one more each time that a provider broke off and another went on.
    pub messages: u32,
    /// Where the pictures of the answer are kept: ids for `GET /api/v1/blobs/{id}`, in the order of their index.
    pub image_blobs: Vec<Box<str>>,
    /// The text is the provider's refusal and not the model's answer.
    pub refused: bool,
    /// Milliseconds from the request to the first content.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from the request to the end of the answer.
    pub total_ms: u64,
}

/// An answer that is missing or not whole. What was sent before stays sent.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnFailure {
    pub error: ErrorBody,
    /// Whom it was asked of last, if anybody.
    pub provider: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub first_token_ms: Option<u64>,
    pub total_ms: u64,
}
