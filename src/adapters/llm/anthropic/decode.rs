//! The stream of Messages, decoded: bytes in, [`Event`]s out. Pure: knows no socket and no clock. Never holds an event back,
//! and never calls an answer whole that ended without saying so.
//! Source: Anthropic API reference, "Streaming Messages" and "Messages".

use std::borrow::Cow;
use std::collections::VecDeque;

use serde_json::Value;
use serde_json::value::RawValue;

use super::block::{Blocks, Overflow};
use super::event::{self, Delta, Message, StopDetails, Tokens};
use crate::adapters::llm::complaint::{self, Complaint, KeyPlace};
use crate::adapters::llm::framing::{self, Dialect, Reader};
use crate::adapters::llm::lenient::{Count, Object};
use crate::common::chat::{Event, FinishReason, Usage};
use crate::common::error::{Failure, ProviderError};

/// Turns the body of one answer into events.
pub type Decoder = Reader<Messages>;

/// See the module.
#[derive(Debug, Default)]
pub struct Messages {
    key: KeyPlace,
    /// `message_start` has come.
    message_begun: bool,
    blocks: Blocks,
    /// Counted so far: later events leave out what has not changed.
    tokens: Tokens,
    finish: Option<FinishReason>,
    /// `message_stop` has come: what follows is none of ours.
    done: bool,
}

impl Decoder {
    pub fn new(key: KeyPlace) -> Decoder {
        Reader::of(Messages { key, ..Messages::default() })
    }
}

impl Dialect for Messages {
    const NAME: &'static str = "stream of Anthropic's Messages";

    fn key(&self) -> &KeyPlace {
        &self.key
    }

    fn take(&mut self, name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        // Gateways that also speak Chat Completions end with it. It says nothing that `message_stop` has not said.
        if data.trim_ascii() == b"[DONE]" {
            return Some(Ok(()));
        }
        let Object(event) = serde_json::from_slice(data).ok()?;
        Some(self.take_event(name, event, data, events))
    }

    fn is_whole(&self) -> bool {
        self.done || self.finish.is_some()
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Messages {
    fn take_event(
        &mut self,
        name: &[u8],
        event: event::Event<'_>,
        data: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let is_error = event.error.is_some_and(|error| !matches!(error.get(), "null" | "\"\"" | "false" | "{}"));
        let kind = if event.kind.0.is_empty() { String::from_utf8_lossy(name) } else { event.kind.0 };
        if is_error || kind == "error" {
            return Err(complaint::in_stream(&Complaint::read(data), &self.key));
        }
        let events_before = events.len();
        let index = event.index.0;
        match kind.as_ref() {
            "content_block_delta" => {
                let Some(delta) = event.delta else { return Ok(()) };
                self.take_delta(index, delta, data, events).map_err(overflow)?;
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    let index = index.unwrap_or(u64::MAX);
                    self.blocks.start(index, block, events).map_err(overflow)?;
                }
            }
            "content_block_stop" => self.blocks.stop(index, events),
            "message_start" => {
                if let Some(message) = event.message {
                    self.begin(message, events)?;
                }
            }
            "message_delta" => {
                let delta = event.delta.unwrap_or_default();
                self.count(event.usage, events);
                self.end(delta.stop_reason.0, delta.stop_details, events);
            }
            "message_stop" => self.done = true,
            "message" => self.take_whole(data, events)?,
            "" => {
                let complaint = Complaint::read(data);
                if !complaint.message.is_empty() {
                    return Err(complaint::in_stream(&complaint, &self.key));
                }
                return Err(framing::unread(Self::NAME, data, &self.key));
            }
            // `ping`, and what is newer than this file.
            _ => {}
        }
        if events.len() == events_before && !self.done {
            events.push_back(Event::Started { model: None });
        }
        Ok(())
    }

    /// `message_start`. Gateways that try again elsewhere begin a second message in the same stream.
    fn begin(&mut self, raw: &RawValue, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let Object(message) = serde_json::from_str(raw.get()).unwrap_or(Object(Message::default()));
        if self.blocks.begun {
            let what = "the answer was cut off: another one begins in its midst";
            return Err(ProviderError::new(Failure::CutOff, what));
        }
        if !std::mem::replace(&mut self.message_begun, true) && !message.model.0.is_empty() {
            events.push_back(Event::Started { model: Some(message.model.0.into()) });
        }
        self.count(message.usage, events);
        Ok(())
    }

    fn take_delta(
        &mut self,
        index: Option<u64>,
        delta: Delta<'_>,
        data: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), Overflow> {
        match delta.kind.0.as_ref() {
            "text_delta" => self.blocks.text(index, delta.text.0, events),
            "thinking_delta" => self.blocks.thinking(index, delta.thinking.0, events),
            "input_json_delta" => self.blocks.input(index, &delta.partial_json.0, events),
            "signature_delta" => self.blocks.signature(index, &delta.signature.0),
            "citations_delta" => match delta.citation {
                Some(citation) => self.blocks.citation(index, citation),
                None => Ok(()),
            },
            _ => {
                let tree: Value = serde_json::from_slice(data).unwrap_or_default();
                self.blocks.other(index, &tree["delta"])
            }
        }
    }

    /// A whole message, of a server that does not stream.
    fn take_whole(&mut self, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let Ok(Object(message)) = serde_json::from_slice::<Object<Message<'_>>>(data) else {
            return Err(framing::unread(Self::NAME, data, &self.key));
        };
        if !message.model.0.is_empty() {
            events.push_back(Event::Started { model: Some(message.model.0.into()) });
        }
        for (index, block) in (0..).zip(message.content.unwrap_or_default()) {
            self.blocks.start(index, block, events).map_err(overflow)?;
            self.blocks.stop(Some(index), events);
        }
        self.count(message.usage, events);
        self.end(message.stop_reason.0, message.stop_details, events);
        Ok(())
    }

    /// "The token counts shown in the usage field of the message_delta event are cumulative."
    fn count(&mut self, counted: Option<Tokens>, events: &mut VecDeque<Event>) {
        let Some(counted) = counted else { return };
        let later = |so_far: &mut Count, now: Count| so_far.0 = now.0.or(so_far.0);
        let all = &mut self.tokens;
        later(&mut all.input_tokens, counted.input_tokens);
        later(&mut all.output_tokens, counted.output_tokens);
        later(&mut all.cache_read_input_tokens, counted.cache_read_input_tokens);
        later(&mut all.cache_creation_input_tokens, counted.cache_creation_input_tokens);
        all.output_tokens_details = counted.output_tokens_details.or(all.output_tokens_details);
        events.extend(usage(all).map(|usage| Event::Usage(Box::new(usage))));
    }

    fn end(&mut self, reason: Cow<'_, str>, details: Option<StopDetails>, events: &mut VecDeque<Event>) {
        if reason.is_empty() {
            return;
        }
        let reason = finish_reason(&reason);
        if self.finish.as_ref() != Some(&reason) {
            let why = details.and_then(|details| details.explanation).filter(|why| !why.is_empty());
            events.extend(why.map(|why| Event::Notice(why.into())));
            self.finish = Some(reason.clone());
            events.push_back(Event::Finish(reason));
        }
    }
}

fn overflow(overflow: Overflow) -> ProviderError {
    ProviderError::new(Failure::BadStream, format!("the answer is no honest one: {overflow}"))
}

fn finish_reason(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        // `pause_turn`: a tool of the provider's takes its time, and the turn is to be sent back as it is.
        other => FinishReason::Other(other.to_owned()),
    }
}

/// The counts, where there are any. "Total input tokens in a request is the summation of `input_tokens`,
/// `cache_creation_input_tokens`, and `cache_read_input_tokens`."
fn usage(tokens: &Tokens) -> Option<Usage> {
    tokens.input_tokens.0.or(tokens.output_tokens.0)?;
    let (cached, written) = (tokens.cache_read_input_tokens.0, tokens.cache_creation_input_tokens.0);
    let read = [tokens.input_tokens.0, cached, written].into_iter().flatten();
    Some(Usage {
        input_tokens: read.fold(0, u64::saturating_add),
        output_tokens: tokens.output_tokens.0.unwrap_or(0),
        cached_tokens: cached,
        cache_write_tokens: written,
        reasoning_tokens: tokens.output_tokens_details.and_then(|details| details.thinking_tokens.0),
        cost_usd: None,
    })
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
