//! The content blocks of an answer while they come, and the whole of those that must go back as they were. Pure; knows no
//! stream.
//!
//! Text, thinking and calls are told at once, piece by piece. Besides, each block is held until its end: thinking with its
//! signature, text with citations and whatever is none of the three (`redacted_thinking`, what the provider's own tools
//! were asked and answered, blocks that are newer than this file) is then told once more, whole, as
//! [`Event::Verbatim`](crate::common::chat::Event::Verbatim).

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::ORIGIN;
use super::event;
use crate::adapters::llm::lenient::Object;
use crate::adapters::llm::mend::mend;
use crate::common::chat::{Covers, Event, ToolCallDelta, VerbatimItem};

/// Blocks that have begun and not ended. There is one at a time.
const OPEN_MAX: usize = 64;

/// What all open blocks together hold, bytes.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The blocks go over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    #[error("more than {OPEN_MAX} content blocks have begun and not ended")]
    Open,
    #[error("content blocks are longer than {HELD_BYTES_MAX} bytes")]
    Held,
}

/// The open blocks of one answer.
#[derive(Debug, Default)]
pub struct Blocks {
    open: Vec<Block>,
    held_bytes: usize,
    /// Calls of tools that have begun.
    calls: u32,
    /// Whether any block has begun.
    pub begun: bool,
}

#[derive(Debug)]
struct Block {
    index: u64,
    kind: Kind,
    /// As it began.
    start: Box<RawValue>,
    /// Text or thinking so far.
    said: String,
    /// `partial_json` so far.
    json: String,
    signature: String,
    citations: Vec<Box<RawValue>>,
    /// What deltas of an unknown kind have said, by field.
    other: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// The call with this [`ToolCallDelta::index`].
    Call(u32),
    Other,
}

impl Blocks {
    /// `content_block_start`. A block of the same index that never ended is given up.
    pub fn start(&mut self, index: u64, raw: &RawValue, events: &mut VecDeque<Event>) -> Result<(), Overflow> {
        // Half a surrogate pair shows only where text is read.
        let mended = read(raw).is_none().then(|| RawValue::from_string(mend(raw.get().as_bytes())).unwrap_or_default());
        let raw = mended.as_deref().unwrap_or(raw);
        // What is no object is nothing.
        let Some(begun) = read(raw) else { return Ok(()) };
        self.begun = true;
        self.open.retain(|block| block.index != index);
        if self.open.len() == OPEN_MAX {
            return Err(Overflow::Open);
        }
        self.hold(raw.get().len())?;
        let kind = match begun.kind.0.as_ref() {
            "text" => Kind::Text,
            "thinking" => Kind::Thinking,
            "tool_use" => {
                self.calls += 1;
                Kind::Call(self.calls - 1)
            }
            _ => Kind::Other,
        };
        let citations = begun.citations.unwrap_or_default().into_iter().map(ToOwned::to_owned).collect();
        self.open.push(Block {
            index,
            kind,
            start: raw.to_owned(),
            said: String::new(),
            json: String::new(),
            signature: begun.signature.0.into_owned(),
            citations,
            other: BTreeMap::new(),
        });
        match kind {
            Kind::Text => self.text(Some(index), begun.text.0, events)?,
            Kind::Thinking => self.thinking(Some(index), begun.thinking.0, events)?,
            Kind::Call(call) => {
                let word = |text: Cow<'_, str>| Some(text.into_owned()).filter(|text| !text.is_empty());
                events.push_back(piece_of_call(call, word(begun.id.0), word(begun.name.0), String::new()));
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// `text_delta`. Text is told even where no block was begun for it.
    pub fn text(
        &mut self,
        index: Option<u64>,
        text: Cow<'_, str>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Overflow> {
        if text.is_empty() {
            return Ok(());
        }
        self.said(index, Kind::Text, &text)?;
        events.push_back(Event::Text(text.into()));
        Ok(())
    }

    /// `thinking_delta`.
    pub fn thinking(
        &mut self,
        index: Option<u64>,
        text: Cow<'_, str>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Overflow> {
        if text.is_empty() {
            return Ok(());
        }
        self.said(index, Kind::Thinking, &text)?;
        events.push_back(Event::Reasoning(text.into()));
        Ok(())
    }

    /// `input_json_delta`.
    pub fn input(&mut self, index: Option<u64>, json: &str, events: &mut VecDeque<Event>) -> Result<(), Overflow> {
        if json.is_empty() {
            return Ok(());
        }
        self.hold(json.len())?;
        let Some(block) = self.at(index) else { return Ok(()) };
        block.json.push_str(json);
        if let Kind::Call(call) = block.kind {
            events.push_back(piece_of_call(call, None, None, json.to_owned()));
        }
        Ok(())
    }

    /// `signature_delta`.
    pub fn signature(&mut self, index: Option<u64>, signature: &str) -> Result<(), Overflow> {
        self.hold(signature.len())?;
        if let Some(block) = self.at(index) {
            signature.clone_into(&mut block.signature);
        }
        Ok(())
    }

    /// `citations_delta`.
    pub fn citation(&mut self, index: Option<u64>, citation: &RawValue) -> Result<(), Overflow> {
        self.hold(citation.get().len())?;
        if let Some(block) = self.at(index) {
            block.citations.push(citation.to_owned());
        }
        Ok(())
    }

    /// A delta of another kind (`compaction_delta`): strings go on where they stopped, all else replaces what was there.
    pub fn other(&mut self, index: Option<u64>, delta: &Value) -> Result<(), Overflow> {
        self.hold(delta.to_string().len())?;
        let (Some(block), Some(fields)) = (self.at(index), delta.as_object()) else { return Ok(()) };
        for (field, value) in fields.iter().filter(|(field, _)| *field != "type") {
            match (block.other.get_mut(field), value) {
                (Some(Value::String(so_far)), Value::String(more)) => so_far.push_str(more),
                _ => {
                    block.other.insert(field.clone(), value.clone());
                }
            }
        }
        Ok(())
    }

    /// `content_block_stop`.
    pub fn stop(&mut self, index: Option<u64>, events: &mut VecDeque<Event>) {
        let Some(at) = self.position(index) else { return };
        let block = self.open.remove(at);
        if self.open.is_empty() {
            self.held_bytes = 0;
        }
        if let Kind::Call(call) = block.kind
            && block.json.is_empty()
        {
            let input = read(&block.start)
                .and_then(|begun| begun.input)
                .map(RawValue::get)
                .filter(|input| input.starts_with('{'))
                .unwrap_or("{}");
            events.push_back(piece_of_call(call, None, None, input.to_owned()));
        }
        events.extend(block.covers().and_then(|covers| {
            let json = block.whole()?;
            Some(Event::Verbatim(Box::new(VerbatimItem { origin: ORIGIN.into(), json, covers })))
        }));
    }

    fn said(&mut self, index: Option<u64>, kind: Kind, text: &str) -> Result<(), Overflow> {
        if let Some(block) = self.at(index).filter(|block| block.kind == kind) {
            block.said.push_str(text);
            self.hold(text.len())?;
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.held_bytes += bytes;
        if self.held_bytes > HELD_BYTES_MAX { Err(Overflow::Held) } else { Ok(()) }
    }

    /// The block of an index; where a server does not number them, the last one begun.
    fn position(&self, index: Option<u64>) -> Option<usize> {
        match index {
            Some(index) => self.open.iter().rposition(|block| block.index == index),
            None => self.open.len().checked_sub(1),
        }
    }

    fn at(&mut self, index: Option<u64>) -> Option<&mut Block> {
        self.position(index).map(|at| &mut self.open[at])
    }
}

impl Block {
    /// What the block, told whole, stands for; `None` where it need not be told again.
    fn covers(&self) -> Option<Covers> {
        match self.kind {
            Kind::Text if self.citations.is_empty() => None,
            Kind::Text => Some(Covers::Text { bytes: self.said.len() }),
            // Nobody takes thinking back that is not signed. Signed thinking may be empty: it is then kept from sight.
            Kind::Thinking if self.signature.is_empty() => None,
            Kind::Call(_) => None,
            Kind::Thinking | Kind::Other => Some(Covers::Nothing),
        }
    }

    /// The block as it would be without streaming. One that came whole stays as it came, byte for byte.
    fn whole(self) -> Option<Box<RawValue>> {
        let mut fields: Fields = serde_json::from_str(self.start.get()).ok()?;
        let mut changes: Vec<(&str, Box<RawValue>)> = Vec::new();
        match self.kind {
            Kind::Text => {
                changes.push(("text", to_raw_value(&self.said).ok()?));
                changes.push(("citations", to_raw_value(&self.citations).ok()?));
            }
            Kind::Thinking => {
                changes.push(("thinking", to_raw_value(&self.said).ok()?));
                changes.push(("signature", to_raw_value(&self.signature).ok()?));
            }
            Kind::Call(_) | Kind::Other => {
                // Where the model wrote no JSON, the block keeps the input it began with.
                changes.extend(RawValue::from_string(self.json).ok().map(|input| ("input", input)));
                let others = self.other.iter().filter_map(|(field, value)| Some((&**field, to_raw_value(value).ok()?)));
                changes.extend(others);
            }
        }
        if changes.is_empty() {
            return Some(self.start);
        }
        for (field, value) in changes {
            fields.set(field, value);
        }
        to_raw_value(&fields).ok()
    }
}

fn read(raw: &RawValue) -> Option<event::Block<'_>> {
    serde_json::from_str(raw.get()).ok().map(|Object(block)| block)
}

fn piece_of_call(index: u32, id: Option<String>, name: Option<String>, arguments: String) -> Event {
    Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments }))
}

/// An object whose fields stay in their order and whose values stay as they were written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn set(&mut self, field: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(name, _)| name == field) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.to_owned(), value)),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Maps;
        impl<'de> Visitor<'de> for Maps {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Maps)
    }
}
