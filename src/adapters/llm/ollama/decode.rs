//! The stream of Ollama's own chat, decoded: lines of JSON in, [`Event`]s out. Pure: knows no socket and no clock. Never
//! holds an event back, and never calls an answer whole that ended without `done`.
//! Source: Ollama `docs/api.md`, "Generate a chat completion" and "Generate a completion".

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapters::llm::complaint::{self, Complaint, KeyPlace};
use crate::adapters::llm::exchange::Decode;
use crate::adapters::llm::framing;
use crate::adapters::llm::lenient::{Count, Object, Text};
use crate::adapters::llm::mend::mend;
use crate::common::chat::{Event, FinishReason, ToolCallDelta, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::net::ndjson;

/// What an answer is called: "what came is no …".
const NAME: &str = "stream of Ollama's";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    /// `/api/generate` has no message: its text is here, its thinking in `thinking`.
    #[serde(borrow)]
    response: Text<'a>,
    #[serde(borrow)]
    thinking: Text<'a>,
    done: Option<bool>,
    #[serde(borrow)]
    done_reason: Text<'a>,
    prompt_eval_count: Count,
    eval_count: Count,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    content: Text<'a>,
    #[serde(borrow)]
    thinking: Text<'a>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Object<ToolCall<'a>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToolCall<'a> {
    /// Since 0.12; before, calls have none.
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    /// An object, whole.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Turns the body of one answer into events.
#[derive(Debug)]
pub struct Decoder {
    parser: ndjson::Parser,
    key: KeyPlace,
    /// What ids of calls begin with that have none of their own: no two answers of a conversation share it.
    call_prefix: Box<str>,
    calls: u32,
    begun: bool,
    model_known: bool,
    done: bool,
}

impl Decoder {
    pub fn new(key: KeyPlace, call_prefix: impl Into<Box<str>>) -> Decoder {
        Decoder {
            parser: ndjson::Parser::default(),
            key,
            call_prefix: call_prefix.into(),
            calls: 0,
            begun: false,
            model_known: false,
            done: false,
        }
    }

    fn take_line(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.done {
            return Ok(());
        }
        if let Ok(Object(line)) = serde_json::from_slice::<Object<Line<'_>>>(bytes) {
            return self.take(line, bytes, events);
        }
        let mended = mend(bytes);
        match serde_json::from_str::<Object<Line<'_>>>(&mended) {
            Ok(Object(line)) => self.take(line, bytes, events),
            Err(_) => Err(framing::unread(NAME, bytes, &self.key)),
        }
    }

    fn take(&mut self, line: Line<'_>, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if line.error.is_some_and(|error| !matches!(error.get(), "null" | "\"\"")) {
            return Err(complaint::in_stream(&Complaint::read(bytes), &self.key));
        }
        let known = line.message.is_some() || line.done.is_some();
        if !known && line.response.0.is_empty() && line.thinking.0.is_empty() {
            return Err(framing::unread(NAME, bytes, &self.key));
        }
        self.begun = true;
        let events_before = events.len();
        if !self.model_known && !line.model.0.is_empty() {
            self.model_known = true;
            events.push_back(Event::Started { model: Some(line.model.0.into()) });
        }
        let message = line.message.unwrap_or_default();
        for thinking in [message.thinking.0, line.thinking.0].into_iter().filter(|text| !text.is_empty()) {
            events.push_back(Event::Reasoning(thinking.into()));
        }
        for text in [message.content.0, line.response.0].into_iter().filter(|text| !text.is_empty()) {
            events.push_back(Event::Text(text.into()));
        }
        for Object(call) in message.tool_calls.into_iter().flatten() {
            let call = self.call(call);
            events.push_back(call);
        }
        if line.done == Some(true) {
            self.done = true;
            if line.prompt_eval_count.0.or(line.eval_count.0).is_some() {
                // A prompt that was read before is not counted again, and then not named.
                let input_tokens = line.prompt_eval_count.0.unwrap_or(0);
                let output_tokens = line.eval_count.0.unwrap_or(0);
                events.push_back(Event::Usage(Box::new(Usage { input_tokens, output_tokens, ..Usage::default() })));
            }
            events.push_back(Event::Finish(finish_reason(&line.done_reason.0)));
        }
        if events.len() == events_before {
            events.push_back(Event::Started { model: None });
        }
        Ok(())
    }

    fn call(&mut self, call: ToolCall<'_>) -> Event {
        let function = call.function.unwrap_or_default();
        let index = self.calls;
        self.calls += 1;
        let id = if call.id.0.is_empty() { format!("{}-{index}", self.call_prefix) } else { call.id.0.into_owned() };
        let arguments = match function.arguments.map(RawValue::get) {
            None | Some("null") => String::new(),
            Some(text) => serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()),
        };
        let name = function.name.0.into_owned();
        Event::ToolCall(Box::new(ToolCallDelta { index, id: Some(id), name: Some(name), arguments }))
    }
}

impl Decode for Decoder {
    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let mut parser = std::mem::take(&mut self.parser);
        let mut rest = bytes;
        let ended = loop {
            match parser.next(&mut rest) {
                Ok(Some(line)) => {
                    if let Err(error) = self.take_line(line, events) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(too_long) => break Err(ProviderError::new(Failure::BadStream, too_long.to_string())),
            }
        };
        self.parser = parser;
        // What follows the end is none of ours, however long.
        if self.done { Ok(()) } else { ended }
    }

    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let parser = std::mem::take(&mut self.parser);
        let rest = parser.rest();
        if !rest.is_empty() && !self.done {
            self.take_last(rest, events)?;
        }
        if self.done {
            return Ok(());
        }
        Err(framing::cut_off(self.begun))
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Decoder {
    /// A last line without an end: whole, or cut in two.
    fn take_last(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let broken = serde_json::from_str::<&RawValue>(&mend(line)).is_err();
        if broken && line.starts_with(b"{") { Ok(()) } else { self.take_line(line, events) }
    }
}

fn finish_reason(word: &str) -> FinishReason {
    match word {
        // Versions before 0.1.45 say no reason.
        "stop" | "" => FinishReason::Stop,
        "length" => FinishReason::Length,
        // `load` and `unload`: no question was asked.
        other => FinishReason::Other(other.to_owned()),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
