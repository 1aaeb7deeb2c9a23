//! The stream of Chat Completions, decoded: bytes in, [`Event`]s out. Pure: knows no socket and no clock. Never holds an
//! event back, and never calls an answer whole that ended without saying so.
//! Source: OpenAI API reference, "Chat completion chunk object"; the other servers' own words stand where they are read.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, Content, Object, Part, Tokens, ToolCall};
use crate::adapters::llm::complaint::{self, Complaint, KeyPlace};
use crate::common::chat::{Event, FinishReason, ToolCallDelta, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::net::sse;

/// The longest body taken that is one JSON document and no stream, bytes.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How much of a body is kept for the message, as long as nothing in it is an event, bytes.
const PREFACE_BYTES_MAX: usize = 1024;

/// Turns the body of one answer into events.
#[derive(Debug)]
pub struct Decoder {
    shape: Shape,
    key: KeyPlace,
    /// The first bytes, until the first event.
    preface: Vec<u8>,
    /// An event has come.
    begun: bool,
    model_known: bool,
    finish: Option<FinishReason>,
    /// `[DONE]` has come: what follows is none of ours.
    done: bool,
    /// Calls of tools that have begun, for servers that do not number them.
    calls_begun: u32,
}

/// What the body is, as its first byte tells: no stream begins with a brace, whatever its content type says.
#[derive(Debug)]
enum Shape {
    Unknown,
    Stream(sse::Parser),
    Document(Vec<u8>),
}

impl Decoder {
    pub fn new(key: KeyPlace) -> Decoder {
        Decoder {
            shape: Shape::Unknown,
            key,
            preface: Vec::new(),
            begun: false,
            model_known: false,
            finish: None,
            done: false,
            calls_begun: 0,
        }
    }

    /// Takes the next bytes and adds the events in them. After an error the rest of the body is worth nothing; the events
    /// before it hold.
    pub fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.done {
            return Ok(());
        }
        if let Shape::Unknown = self.shape {
            match bytes.trim_ascii_start().first() {
                None => return Ok(()),
                Some(b'{' | b'[' | b'"') => self.shape = Shape::Document(Vec::new()),
                Some(_) => self.shape = Shape::Stream(sse::Parser::default()),
            }
        }
        match &mut self.shape {
            Shape::Unknown => unreachable!("the first byte that is no blank has told"),
            Shape::Stream(_) => self.push_stream(bytes, events),
            Shape::Document(document) if document.len() + bytes.len() > DOCUMENT_BYTES_MAX => {
                let message = format!("the answer is no stream and longer than {DOCUMENT_BYTES_MAX} bytes");
                Err(ProviderError::new(Failure::BadStream, message))
            }
            Shape::Document(document) => {
                document.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The body has ended: whether what it held was a whole answer.
    pub fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Shape::Document(document) = std::mem::replace(&mut self.shape, Shape::Unknown) {
            self.take_data(&document, events)?;
        }
        if self.done || self.finish.is_some() {
            return Ok(());
        }
        let preface = self.preface.trim_ascii();
        if !self.begun && !preface.is_empty() && !preface.starts_with(b":") {
            return Err(self.no_chunk(preface));
        }
        let message = if self.begun { "the answer was cut off" } else { "the connection closed without an answer" };
        Err(ProviderError::new(Failure::CutOff, message))
    }

    /// Whether `[DONE]` has come: nothing of the body is needed any more.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn push_stream(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let Shape::Stream(mut parser) = std::mem::replace(&mut self.shape, Shape::Unknown) else {
            unreachable!("called for streams only");
        };
        let mut rest = bytes;
        let ended = loop {
            match parser.next(&mut rest) {
                Ok(Some(event)) => {
                    if let Err(error) = self.take_event(&event, events) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(too_long) => break Err(ProviderError::new(Failure::BadStream, too_long.to_string())),
            }
        };
        self.shape = Shape::Stream(parser);
        if !self.begun {
            let room = PREFACE_BYTES_MAX - self.preface.len();
            self.preface.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        ended
    }

    fn take_event(&mut self, event: &sse::Event<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.done {
            return Ok(());
        }
        self.begun = true;
        if event.name == b"error" {
            return Err(complaint::in_stream(&Complaint::read(event.data), &self.key));
        }
        self.take_data(event.data, events)
    }

    /// One event's data, or a whole document.
    fn take_data(&mut self, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        match data.trim_ascii() {
            b"" => return Ok(()),
            b"[DONE]" => {
                self.done = true;
                return Ok(());
            }
            _ => {}
        }
        if let Ok(Object(chunk)) = serde_json::from_slice::<Object<Chunk<'_>>>(data) {
            return self.take_chunk(chunk, data, events);
        }
        let mended = mend(data);
        match serde_json::from_str::<Object<Chunk<'_>>>(&mended) {
            Ok(Object(chunk)) => self.take_chunk(chunk, data, events),
            Err(_) => Err(self.no_chunk(data)),
        }
    }

    fn take_chunk(&mut self, chunk: Chunk<'_>, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let is_error = chunk.error.is_some_and(|error| !matches!(error.get(), "null" | "\"\"" | "false" | "{}"));
        if is_error || chunk.object.0 == "error" {
            return Err(complaint::in_stream(&Complaint::read(data), &self.key));
        }
        let usage = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage));
        if chunk.choices.is_none() && usage.is_none() {
            let complaint = Complaint::read(data);
            if !complaint.message.is_empty() {
                return Err(complaint::in_stream(&complaint, &self.key));
            }
        }
        let events_before = events.len();
        if !self.model_known && !chunk.model.0.is_empty() {
            self.model_known = true;
            events.push_back(Event::Started { model: Some(chunk.model.0.into()) });
        }
        if let Some(choice) = chunk.choices.and_then(|first| first.0) {
            self.take_choice(choice, events);
        }
        events.extend(usage.as_ref().and_then(counted).map(|usage| Event::Usage(Box::new(usage))));
        if events.len() == events_before {
            events.push_back(Event::Started { model: None });
        }
        Ok(())
    }

    fn take_choice(&mut self, choice: Choice<'_>, events: &mut VecDeque<Event>) {
        if let Some(mut delta) = choice.delta.or(choice.message) {
            said(delta.thinking(), Event::Reasoning, events);
            said(delta.content, Event::Text, events);
            piece(delta.refusal.0, Event::Refusal, events);
            for call in delta.tool_calls.into_iter().flatten() {
                self.take_call(call, events);
            }
        }
        if !choice.finish_reason.0.is_empty() {
            let reason = finish_reason(&choice.finish_reason.0);
            // OpenRouter says it a second time, with the usage.
            if self.finish.as_ref() != Some(&reason) {
                self.finish = Some(reason.clone());
                events.push_back(Event::Finish(reason));
            }
        }
    }

    fn take_call(&mut self, call: ToolCall<'_>, events: &mut VecDeque<Event>) {
        let function = call.function.unwrap_or_default();
        let word = |text: Cow<'_, str>| Some(text.into_owned()).filter(|text| !text.is_empty());
        let (id, name) = (word(call.id.0), word(function.name.0));
        let index =
            call.index.unwrap_or(if id.is_some() { self.calls_begun } else { self.calls_begun.saturating_sub(1) });
        self.calls_begun = self.calls_begun.max(index.saturating_add(1));
        let arguments = function.arguments.map(arguments).unwrap_or_default();
        events.push_back(Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments })));
    }

    fn no_chunk(&self, data: &[u8]) -> ProviderError {
        let said = self.key.hide(&Complaint::read(data).message);
        let said = if said.is_empty() { self.key.hide(&String::from_utf8_lossy(data)) } else { said };
        ProviderError::new(
            Failure::BadStream,
            format!("what came is no Chat Completions stream: {said}. Check base_url."),
        )
    }
}

/// A piece of what is said, unless it is empty.
fn piece(text: Cow<'_, str>, event: fn(Box<str>) -> Event, events: &mut VecDeque<Event>) {
    if !text.is_empty() {
        events.push_back(event(text.into()));
    }
}

/// A string as `event`; of a list each part as what it calls itself, and a part of text as `event`.
fn said(content: Content<'_>, event: fn(Box<str>) -> Event, events: &mut VecDeque<Event>) {
    match content {
        Content::One(text) => piece(text, event, events),
        Content::Parts(parts) => {
            for Part { kind, text, thinking, refusal } in parts {
                match kind.0.as_ref() {
                    "thinking" | "reasoning" => {
                        said(thinking, Event::Reasoning, events);
                        piece(text.0, Event::Reasoning, events);
                    }
                    "refusal" => piece(refusal.0, Event::Refusal, events),
                    // Others, such as Mistral's references, have no text of the answer.
                    _ => piece(text.0, event, events),
                }
            }
        }
    }
}

fn finish_reason(word: &str) -> FinishReason {
    match word {
        "stop" => FinishReason::Stop,
        // `model_length`: Mistral, when the context is full.
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}

fn arguments(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        text => serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()),
    }
}

/// The counts, where there are any: a `usage` without a figure says nothing.
fn counted(tokens: &Tokens) -> Option<Usage> {
    let (input, output) = (tokens.prompt_tokens.0, tokens.completion_tokens.0);
    input.or(output)?;
    Some(Usage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cached_tokens: tokens
            .prompt_tokens_details
            .as_ref()
            .and_then(|details| details.cached_tokens.0)
            .or(tokens.prompt_cache_hit_tokens.0),
        reasoning_tokens: tokens.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens.0),
        cost_usd: tokens.cost,
    })
}

/// What strict JSON refuses and servers send: bytes that are no UTF-8, and one half of a surrogate pair, left by a server
/// that cuts its text between two `\u` escapes. Both become U+FFFD.
fn mend(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let taken = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(High), Some(Low)) => 12,
            (Some(_), _) => {
                mended.push('\u{FFFD}');
                rest = &escape[6..];
                continue;
            }
            // A backslash and whatever it escapes, which may be a backslash.
            (None, _) => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    mended.push_str(rest);
    mended
}

use Half::{High, Low};

enum Half {
    High,
    Low,
}

/// Whether a text begins with the escape of half a surrogate pair.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..0xDC00 => Some(High),
        0xDC00..0xE000 => Some(Low),
        _ => None,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
