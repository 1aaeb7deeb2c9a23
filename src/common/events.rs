//! What a running turn tells whoever asked. Made by the router, read by every door.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::oneshot;

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
    /// A piece of a call. Indexes go on counting over the rounds of one answer.
    ToolCall(Box<ToolCallDelta>),
    /// The hub has made a call that the model asked for, or says why it has not.
    ToolResult(Box<ToolResultNews>),
    /// How far a call is that runs.
    ToolStep(Box<ToolStepNews>),
    /// A call waits for a person's word.
    Confirm(Box<ConfirmNews>),
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

/// What came of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResultNews {
    /// That of the call's pieces.
    pub call_id: Box<str>,
    /// As the model wrote it.
    pub name: Box<str>,
    /// What the model reads.
    pub text: Box<str>,
    pub is_error: bool,
    /// Milliseconds that the call took; 0 where it was not made.
    pub ms: u64,
    /// MCP `structuredContent`.
    pub structured: Option<Value>,
}

/// A step of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolStepNews {
    /// That of the call's pieces.
    pub call_id: Box<str>,
    /// The name by which the model called it.
    pub name: Box<str>,
    /// Rises with every step.
    pub done: f64,
    pub total: Option<f64>,
    pub message: Option<Box<str>>,
}

/// A call that is made only once a person agrees.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfirmNews {
    pub confirm_id: Box<str>,
    /// The tool's own name.
    pub tool: Box<str>,
    pub title: Option<Box<str>>,
    pub arguments: Value,
    pub expires_in_s: u64,
    pub answer: Answerer,
}

/// Takes one answer to a question. Clones are one: whoever answers first is heard.
#[derive(Clone)]
pub struct Answerer(pub Arc<Mutex<Option<oneshot::Sender<bool>>>>);

impl Answerer {
    /// One that nobody has answered, and where its answer comes out.
    pub fn new() -> (Answerer, oneshot::Receiver<bool>) {
        let (tell, told) = oneshot::channel();
        (Answerer(Arc::new(Mutex::new(Some(tell)))), told)
    }

    /// Answers; false where somebody has already, or nobody waits any more.
    pub fn answer(&self, accept: bool) -> bool {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        tell.is_some_and(|tell| tell.send(accept).is_ok())
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answerer")
    }
}

impl PartialEq for Answerer {
    fn eq(&self, other: &Answerer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
