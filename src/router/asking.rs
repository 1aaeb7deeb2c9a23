//! One provider while it is asked and while it answers: what it has said so far, and how long it may stay silent. Pure.

use std::time::{Duration, Instant};

use crate::common::assembly::Assembly;
use crate::common::chat::{Event, FinishReason, Message, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::router::usage::End;
use crate::store::estimated_tokens;

/// The longest answer kept, bytes, pictures apart. No model writes so much: a stream that does has lost its mind.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The pictures of one answer, bytes: four of the largest that are kept.
pub const PICTURES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// After the reason why it stopped, a provider has so long for its last words (the usage) and its goodbye. Some say none.
const GOODBYE: Duration = Duration::from_secs(5);

/// Calls of tools, pictures and items of one answer, each kind for itself.
const PIECES_MAX: usize = 4096;

/// Names and JSON of a call have about so many bytes to a token.
const CALL_BYTES_PER_TOKEN: u64 = 4;

/// One of the two places for an upstream connection: while a second provider is raced against the first, both are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    First,
    Second,
}

impl Slot {
    pub fn other(self) -> Slot {
        match self {
            Slot::First => Slot::Second,
            Slot::Second => Slot::First,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Asking {
    pub slot: Slot,
    /// Its place in the chain.
    pub link: usize,
    /// When it was first asked. Asking again does not move it.
    pub since: Instant,
    /// When it was last heard, or when we were last ready to hear it.
    pub heard_at: Instant,
    /// It failed, and is to be asked again then.
    pub again_at: Option<Instant>,
    /// How often it was asked again.
    pub tries: u32,
    /// Why it was asked again: its own last word.
    refusal: Option<Box<ProviderError>>,
    /// The question is on its way to it, or there: it may have to be paid for.
    pub asked: bool,
    pub has_content: bool,
    /// It has called tools: nobody else can go on from there.
    pub has_called: bool,
    pub refused: bool,
    pub model: Option<Box<str>>,
    pub usage: Option<Usage>,
    pub finish: Option<FinishReason>,
    pub answer: Assembly,
    /// The index of each picture that is whole, in the order in which they came.
    pub pictures: Vec<u32>,
    /// Of text, thinking and calls.
    answer_bytes: usize,
    picture_bytes: usize,
    /// Items of the provider's own.
    items: usize,
    item_bytes: usize,
}

/// One message of an answer. There are several where one provider broke off and another went on.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Who said it: a place in the chain.
    pub link: usize,
    pub message: Message,
    /// The [`crate::common::chat::ImagePiece::index`] of each picture in `message`, in the order of its parts.
    pub pictures: Vec<u32>,
    pub reasoning: String,
    pub partial: bool,
}

/// What one request to a provider came to: for whoever counts what is spent.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    /// A place in the chain.
    pub link: usize,
    /// The exact model, where it said so.
    pub model: Option<Box<str>>,
    pub end: End,
    /// As it counted; `None`: it did not come so far.
    pub usage: Option<Usage>,
    /// Guessed tokens of what came.
    pub answered_tokens: u64,
    pub pictures: u32,
}

impl Asking {
    /// Nobody yet: what stands in the slot between two that are asked.
    pub fn new(slot: Slot, link: usize, now: Instant) -> Asking {
        Asking {
            slot,
            link,
            since: now,
            heard_at: now,
            again_at: None,
            tries: 0,
            refusal: None,
            asked: false,
            has_content: false,
            has_called: false,
            refused: false,
            model: None,
            usage: None,
            finish: None,
            answer: Assembly::default(),
            pictures: Vec::new(),
            answer_bytes: 0,
            picture_bytes: 0,
            items: 0,
            item_bytes: 0,
        }
    }

    /// Ready to be asked in this slot, at once.
    pub fn begin(slot: Slot, link: usize, now: Instant) -> Asking {
        Asking { asked: true, ..Asking::new(slot, link, now) }
    }

    /// The same provider is to be asked once more at `at`: what it said is void, but for why.
    pub fn again(&mut self, at: Instant, refusal: ProviderError) {
        let again = Asking::new(self.slot, self.link, self.since);
        *self = Asking { again_at: Some(at), tries: self.tries + 1, refusal: Some(Box::new(refusal)), ..again };
    }

    /// Why it gave no answer, for people. A deadline of ours that ends it while it is asked again is not the reason: that is what
    /// it said before.
    pub fn reason(&self, error: ProviderError) -> ProviderError {
        let is_ours = error.failure == Failure::Timeout && error.status.is_none() && !self.has_content;
        match self.refusal.as_deref().filter(|_| is_ours) {
            Some(refusal) => {
                let message = format!("{}; asked again: {}", refusal.message, error.message);
                ProviderError { message, ..refusal.clone() }
            }
            None => error,
        }
    }

    /// Until when it may be silent.
    pub fn due(&self, first_token: Duration, inter_token: Duration) -> Instant {
        if self.finish.is_some() {
            self.heard_at + GOODBYE
        } else if self.has_content {
            self.heard_at + inter_token
        } else {
            let first_token_by = self.since + first_token;
            self.again_at.map_or(first_token_by, |at| at.min(first_token_by))
        }
    }

    /// Keeps what belongs to the answer; the error says what there is too much of. Previews and sound do not belong to it:
    /// the one is replaced, the other is not passed on.
    pub fn keep(&mut self, event: &Event) -> Result<(), String> {
        let mut number = 0;
        match event {
            Event::Text(text) | Event::Refusal(text) | Event::Reasoning(text) => self.answer_bytes += text.len(),
            Event::ToolCall(delta) => {
                let names = [&delta.id, &delta.name].into_iter().flatten().map(String::len).sum::<usize>();
                self.answer_bytes += names + delta.arguments.len();
                number = delta.index as usize + 1;
            }
            Event::Verbatim(item) => {
                self.item_bytes += item.json.get().len();
                self.items += 1;
                number = self.items;
            }
            Event::Image(piece) if piece.partial.is_none() => {
                self.picture_bytes += piece.media.data.len();
                self.pictures.push(piece.index);
                number = self.pictures.len();
            }
            _ => return Ok(()),
        }
        if number > PIECES_MAX {
            return Err(format!("the answer has more than {PIECES_MAX} pieces and was stopped"));
        }
        if self.answer_bytes + self.item_bytes > ANSWER_BYTES_MAX {
            return Err(format!("the answer passed {ANSWER_BYTES_MAX} bytes and was stopped"));
        }
        if self.picture_bytes > PICTURES_BYTES_MAX {
            return Err(format!("the pictures of the answer passed {PICTURES_BYTES_MAX} bytes, and it was stopped"));
        }
        self.answer.take(event);
        Ok(())
    }

    /// Its answer as a message, where there is one to keep; it has none afterwards.
    pub fn take_said(&mut self, partial: bool) -> Option<Said> {
        let mut answer = std::mem::take(&mut self.answer);
        let reasoning = std::mem::take(&mut answer.reasoning);
        let pictures = std::mem::take(&mut self.pictures);
        let is_there = !answer.is_empty();
        is_there.then(|| Said { link: self.link, message: answer.into_message(), pictures, reasoning, partial })
    }

    /// What is to be counted at its end; `None` where nothing was asked.
    pub fn used(&self, end: End) -> Option<Used> {
        // Where the provider has counted all, there is nothing to guess.
        let is_counted = self.usage.is_some() && end == End::Whole;
        let answered_tokens = if is_counted { 0 } else { self.answered_tokens() };
        self.asked.then(|| Used {
            link: self.link,
            model: self.model.clone(),
            end,
            usage: self.usage,
            answered_tokens,
            pictures: self.pictures.len() as u32,
        })
    }

    fn answered_tokens(&self) -> u64 {
        let (text, reasoning) = (self.answer.whole_text(), &self.answer.reasoning);
        let calls_bytes = self.answer_bytes.saturating_sub(self.answer.text_bytes + reasoning.len());
        let tokens = [&text, reasoning].into_iter().filter(|text| !text.is_empty()).map(|text| estimated_tokens(text));
        tokens.sum::<u64>() + (calls_bytes as u64).div_ceil(CALL_BYTES_PER_TOKEN)
    }
}
