//! The stream of the Responses API, decoded: what each event means. Pure: knows no socket and no clock. Never holds an event
//! back, says nothing twice, and never calls an answer whole before the provider does.
//! Source: OpenAI API reference, "Streaming events".

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::ORIGIN;
use super::event::{Content, Frame, Item, Response};
use crate::adapters::llm::blame;
use crate::adapters::llm::complaint::{Complaint, KeyPlace};
use crate::adapters::llm::framing::{self, Dialect, Reader};
use crate::adapters::llm::images::picture;
use crate::adapters::llm::lenient::{Loose, object, objects};
use crate::common::chat::{Covers, Event, FinishReason, ImagePiece, ToolCallDelta, VerbatimItem};
use crate::common::error::{Failure, ProviderError};
use crate::net::sse;

/// Items of one answer. A model that works with many tools makes some dozens.
const ITEMS_MAX: usize = 1024;

/// The longest item kept to be given back, bytes: one with encrypted thoughts has some tens of KiB.
const KEPT_ITEM_BYTES_MAX: usize = 1024 * 1024;

/// What servers have done by themselves and want to be reminded of.
const KEPT_ITEMS: [&str; 9] = [
    "code_interpreter_call",
    "compaction",
    "file_search_call",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Turns the body of one answer into events.
pub type Decoder = Reader<Responses>;

impl Decoder {
    pub fn new(key: KeyPlace) -> Decoder {
        Reader::of(Responses { key, ..Responses::default() })
    }

    /// Of a server that calls an answer completed that it cut off at so many tokens (llama.cpp).
    pub fn with_limit(key: KeyPlace, tokens_max: Option<u32>) -> Decoder {
        Reader::of(Responses { key, tokens_max: tokens_max.map(u64::from), ..Responses::default() })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Responses {
    key: KeyPlace,
    items: Vec<Open>,
    calls_begun: u32,
    pictures_begun: u32,
    model_known: bool,
    /// The item whose text came last, with nothing else since, and how many bytes of it.
    run: Option<(usize, usize)>,
    /// As many tokens as this, and the answer was cut off, whatever is said of it.
    tokens_max: Option<u64>,
    whole: bool,
}

/// An item of which something has come.
#[derive(Debug, Default)]
struct Open {
    output_index: Option<u64>,
    id: Box<str>,
    /// How many of its parts have spoken; they speak one after the other.
    parts_said: u64,
    /// The same for the parts of a summary.
    summaries_said: u64,
    text_bytes: usize,
    call: Option<Call>,
    picture: Option<u32>,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    index: u32,
    named: bool,
    /// Pieces of its arguments have come.
    argued: bool,
}

impl Dialect for Responses {
    const NAME: &'static str = "answer of the Responses API";
    /// An answer with a picture in it is no longer than an event with one.
    const DOCUMENT_BYTES_MAX: usize = sse::EVENT_BYTES_MAX;
    const READS_LATER: bool = true;

    fn key(&self) -> &KeyPlace {
        &self.key
    }

    fn take(&mut self, _name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        if data.trim_ascii() == b"[DONE]" {
            return Some(Err(framing::cut_off(true)));
        }
        let frame = Frame::read(data)?;
        let before = events.len();
        let taken = match frame.kind.text() {
            "response.output_text.delta" => self.text(&frame, &frame.delta, false, Event::Text, events),
            "response.output_text.done" => self.text(&frame, &frame.text, true, Event::Text, events),
            "response.refusal.delta" => self.text(&frame, &frame.delta, false, Event::Refusal, events),
            "response.refusal.done" => self.text(&frame, &frame.refusal, true, Event::Refusal, events),
            "response.reasoning_summary_text.delta" => self.summary(&frame, &frame.delta, false, events),
            "response.reasoning_summary_text.done" => self.summary(&frame, &frame.text, true, events),
            "response.reasoning_text.delta" => self.text(&frame, &frame.delta, false, Event::Reasoning, events),
            "response.reasoning_text.done" => self.text(&frame, &frame.text, true, Event::Reasoning, events),
            "response.function_call_arguments.delta" => self.arguments(&frame, &frame.delta, false, events),
            "response.function_call_arguments.done" => self.arguments(&frame, &frame.arguments, true, events),
            "response.image_generation_call.partial_image" => self.preview(&frame, events),
            "response.output_item.added" => {
                let item = frame.item()?;
                self.added(&frame, &item, events)
            }
            "response.output_item.done" => {
                let (item, json) = (frame.item()?, frame.item?);
                self.done(&frame, item, json, events)
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                let response = frame.response()?;
                self.end(frame.kind.text(), response, events)
            }
            "error" => Err(self.complained(&Complaint::read(data))),
            "" if frame.object.text() == "response" => self.end("", object(data)?, events),
            "" => return None,
            _ => {
                if let Some(response) = frame.response() {
                    self.model(&response, events);
                }
                Ok(())
            }
        };
        if taken.is_ok() && events.len() == before {
            events.push_back(Event::Started { model: None });
        }
        Some(taken)
    }

    fn complained(&self, complaint: &Complaint) -> ProviderError {
        blame::complained(complaint, &self.key)
    }

    fn is_whole(&self) -> bool {
        self.whole
    }

    fn is_done(&self) -> bool {
        self.whole
    }
}

impl Responses {
    /// A piece of a part, or (`whole`) all of it, which is news only where no piece has come.
    fn text(
        &mut self,
        frame: &Frame<'_>,
        said: &Loose<'_>,
        whole: bool,
        event: fn(Box<str>) -> Event,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let at = self.find(frame, &frame.item_id)?;
        let part = frame.content_index.count().unwrap_or(0);
        let is_known = whole && part < self.items[at].parts_said;
        if !is_known && !said.text().is_empty() {
            self.items[at].parts_said = self.items[at].parts_said.max(part.saturating_add(1));
            self.say(at, event(said.text().into()), events);
        }
        Ok(())
    }

    fn summary(
        &mut self,
        frame: &Frame<'_>,
        said: &Loose<'_>,
        whole: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let at = self.find(frame, &frame.item_id)?;
        let part = frame.summary_index.count().unwrap_or(0);
        let is_known = whole && part < self.items[at].summaries_said;
        if !is_known && !said.text().is_empty() {
            self.items[at].summaries_said = self.items[at].summaries_said.max(part.saturating_add(1));
            self.say(at, Event::Reasoning(said.text().into()), events);
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        frame: &Frame<'_>,
        said: &Loose<'_>,
        whole: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let at = self.find(frame, &frame.item_id)?;
        let call = self.call(at);
        let is_known = whole && call.argued;
        if !is_known && !said.text().is_empty() {
            self.items[at].call = Some(Call { argued: true, ..call });
            let arguments = said.text().to_owned();
            let delta = ToolCallDelta { index: call.index, arguments, ..ToolCallDelta::default() };
            self.say(at, Event::ToolCall(Box::new(delta)), events);
        }
        Ok(())
    }

    fn preview(&mut self, frame: &Frame<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let at = self.find(frame, &frame.item_id)?;
        let media = picture::decode(frame.partial_image_b64.text(), frame.output_format.text())?;
        let partial = frame.partial_image_index.count().and_then(|nth| u32::try_from(nth).ok()).unwrap_or(0);
        let piece = ImagePiece { index: self.picture(at), partial: Some(partial), media };
        self.say(at, Event::Image(Box::new(piece)), events);
        Ok(())
    }

    fn added(&mut self, frame: &Frame<'_>, item: &Item<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let at = self.begin(frame, &item.id)?;
        match item.kind.text() {
            "function_call" => self.name(at, item, "", events),
            "image_generation_call" => _ = self.picture(at),
            _ => {}
        }
        Ok(())
    }

    /// A whole item: what it has that has not come in pieces, and the item itself where it must go back.
    fn done(
        &mut self,
        frame: &Frame<'_>,
        item: Item<'_>,
        json: &RawValue,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let known = self.seen(frame, &item.id);
        let at = match known {
            Some(at) if self.items[at].done && *self.items[at].id == *item.id.text() => return Ok(()),
            Some(at) if !self.items[at].done => at,
            _ => self.begin(frame, &item.id)?,
        };
        self.items[at].done = true;
        match item.kind.text() {
            "message" => self.message_done(at, &item, json, events),
            "reasoning" => self.reasoning_done(at, &item, json, events),
            "function_call" => self.call_done(at, &item, json, events),
            "image_generation_call" => return self.picture_done(at, item, json, events),
            kind if KEPT_ITEMS.contains(&kind) => self.keep(json, Covers::Nothing, events),
            "program_output" | "shell_call_output" => {}
            kind => {
                let name = item.name.text();
                let what = if name.is_empty() { kind } else { name };
                let what: String = what.chars().filter(|c| !c.is_control()).take(64).collect();
                events.push_back(Event::Notice(
                    format!("the model asked for something that it was not offered ({what})").into(),
                ));
            }
        }
        Ok(())
    }

    fn message_done(&mut self, at: usize, item: &Item<'_>, json: &RawValue, events: &mut VecDeque<Event>) {
        let said = self.items[at].parts_said;
        for (part, content) in (0..).zip(objects::<Content<'_>>(item.content)) {
            if part < said {
                continue;
            }
            self.items[at].parts_said = part + 1;
            for (text, event) in [
                (content.text, Event::Text as fn(Box<str>) -> Event),
                (content.refusal, Event::Refusal as fn(Box<str>) -> Event),
            ] {
                if let Some(text) = text.said() {
                    self.say(at, event(text.into()), events);
                }
            }
        }
        let bytes = self.items[at].text_bytes;
        if !item.phase.text().is_empty() && bytes > 0 && self.run == Some((at, bytes)) {
            self.keep(json, Covers::Text { bytes }, events);
        }
    }

    fn reasoning_done(&mut self, at: usize, item: &Item<'_>, json: &RawValue, events: &mut VecDeque<Event>) {
        let Open { parts_said, summaries_said, .. } = self.items[at];
        let summary = objects::<Content<'_>>(item.summary);
        let content = objects::<Content<'_>>(item.content);
        let is_open = content.iter().any(|part| !part.text.text().is_empty());
        // The summary and the thoughts themselves say the same: where nothing has come, one of the two.
        let rest = match (summaries_said, parts_said) {
            (0, 0) if summary.is_empty() => content,
            (0, 0) => summary,
            (0, parts) => content.into_iter().skip(usize::try_from(parts).unwrap_or(usize::MAX)).collect(),
            (summaries, _) => summary.into_iter().skip(usize::try_from(summaries).unwrap_or(usize::MAX)).collect(),
        };
        for part in rest {
            if let Some(text) = part.text.said() {
                self.say(at, Event::Reasoning(text.into()), events);
            }
        }
        // A summary alone is of no use to anybody who has not kept the thoughts.
        if is_open || !item.encrypted_content.text().is_empty() {
            self.keep(json, Covers::Nothing, events);
        }
    }

    fn call_done(&mut self, at: usize, item: &Item<'_>, json: &RawValue, events: &mut VecDeque<Event>) {
        let call = self.call(at);
        let missed = if call.argued { String::new() } else { item.arguments() };
        if !call.named || !missed.is_empty() {
            self.name(at, item, &missed, events);
        }
        if item.has_strings_attached() {
            self.keep(json, Covers::ToolCall { index: call.index }, events);
        }
    }

    /// The picture, and the item without it: it is put in again when the item goes back.
    fn picture_done(
        &mut self,
        at: usize,
        item: Item<'_>,
        json: &RawValue,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let index = self.picture(at);
        let Some(base64) = item.result.said() else {
            let why = item.error.map(|error| Complaint::read(error.get().as_bytes()).message).unwrap_or_default();
            let why = if why.is_empty() { "the provider does not say why".to_owned() } else { self.key.hide(&why) };
            events.push_back(Event::Notice(format!("a picture could not be made: {why}").into()));
            return Ok(());
        };
        let media = picture::decode(&base64, item.output_format.text())?;
        self.say(at, Event::Image(Box::new(ImagePiece { index, partial: None, media })), events);
        let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json.get()).unwrap_or_default();
        fields.remove("result");
        if let Ok(light) = serde_json::value::to_raw_value(&fields) {
            self.keep(&light, Covers::Image { index }, events);
        }
        Ok(())
    }

    /// The last event, or the whole of a document. `kind` says how it ended where the response does not.
    fn end(&mut self, kind: &str, response: Response<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let status = match (response.status.text(), kind) {
            ("", kind) => kind.strip_prefix("response.").unwrap_or_default(),
            (status, _) => status,
        };
        if let Some(error) = response.error {
            return Err(self.complained(&Complaint::read(error.get().as_bytes())));
        }
        self.model(&response, events);
        if self.items.is_empty() {
            let output = response.output.map_or("[]", RawValue::get);
            for (place, json) in (0..).zip(serde_json::from_str::<Vec<&RawValue>>(output).unwrap_or_default()) {
                if let Some(item) = object(json.get().as_bytes()) {
                    let frame = Frame { output_index: Loose::Count(place), ..Frame::default() };
                    self.done(&frame, item, json, events)?;
                }
            }
        }
        let usage = response.usage.and_then(|tokens| tokens.counted());
        let is_full = usage.zip(self.tokens_max).is_some_and(|(usage, max)| usage.output_tokens >= max);
        let finish = match (status, response.incomplete_details.and_then(|details| details.reason).as_deref()) {
            ("completed" | "done", _) if is_full => FinishReason::Length,
            ("completed" | "done", _) if self.calls_begun > 0 => FinishReason::ToolCalls,
            ("completed" | "done", _) => FinishReason::Stop,
            ("incomplete", Some("max_output_tokens")) => FinishReason::Length,
            ("incomplete", Some("content_filter")) => FinishReason::ContentFilter,
            ("incomplete", reason) => FinishReason::Other(reason.unwrap_or("incomplete").to_owned()),
            ("cancelled", _) => {
                return Err(ProviderError::new(Failure::CutOff, "the provider cancelled the answer"));
            }
            ("failed", _) => return Err(self.complained(&Complaint::default())),
            (_, _) => {
                let message = "the provider stopped before the answer was done";
                return Err(ProviderError::new(Failure::CutOff, message));
            }
        };
        events.extend(usage.map(|usage| Event::Usage(Box::new(usage))));
        events.push_back(Event::Finish(finish));
        self.whole = true;
        Ok(())
    }

    fn model(&mut self, response: &Response<'_>, events: &mut VecDeque<Event>) {
        let model = response.model.text();
        if !self.model_known && !model.is_empty() {
            self.model_known = true;
            events.push_back(Event::Started { model: Some(model.into()) });
        }
    }

    /// The name of a call, with what of its arguments comes along.
    fn name(&mut self, at: usize, item: &Item<'_>, arguments: &str, events: &mut VecDeque<Event>) {
        let call = self.call(at);
        let id = if item.call_id.text().is_empty() { item.id.text() } else { item.call_id.text() };
        let name = Some(item.name.text()).filter(|name| !name.is_empty() && !call.named);
        let named = call.named || name.is_some();
        self.items[at].call = Some(Call { named, argued: call.argued || !arguments.is_empty(), ..call });
        let delta = ToolCallDelta {
            index: call.index,
            id: name.and(Some(id.to_owned()).filter(|id| !id.is_empty())),
            name: name.map(ToOwned::to_owned),
            arguments: arguments.to_owned(),
        };
        self.say(at, Event::ToolCall(Box::new(delta)), events);
    }

    fn call(&mut self, at: usize) -> Call {
        let next = self.calls_begun;
        let call = *self.items[at].call.get_or_insert(Call { index: next, named: false, argued: false });
        self.calls_begun = next.max(call.index + 1);
        call
    }

    fn picture(&mut self, at: usize) -> u32 {
        let next = self.pictures_begun;
        let index = *self.items[at].picture.get_or_insert(next);
        self.pictures_begun = next.max(index + 1);
        index
    }

    /// Tells a piece of an item.
    fn say(&mut self, at: usize, event: Event, events: &mut VecDeque<Event>) {
        match &event {
            Event::Text(text) | Event::Refusal(text) => {
                self.items[at].text_bytes += text.len();
                self.run = match self.run {
                    Some((last, bytes)) if last == at => Some((at, bytes + text.len())),
                    _ => Some((at, text.len())),
                };
            }
            // Beside the answer: it does not part what is said.
            Event::Reasoning(_) => {}
            _ => self.run = None,
        }
        events.push_back(event);
    }

    fn keep(&mut self, json: &RawValue, covers: Covers, events: &mut VecDeque<Event>) {
        if json.get().len() <= KEPT_ITEM_BYTES_MAX {
            self.run = None;
            events.push_back(Event::Verbatim(Box::new(VerbatimItem {
                origin: ORIGIN.into(),
                json: json.to_owned(),
                covers,
            })));
        }
    }

    /// The item that an event speaks of, begun if need be.
    fn find(&mut self, frame: &Frame<'_>, id: &Loose<'_>) -> Result<usize, ProviderError> {
        match self.seen(frame, id) {
            Some(at) => Ok(at),
            None => self.begin(frame, id),
        }
    }

    /// By its place in the output; some servers (llama.cpp) say its id alone, others (GitHub Copilot) another id each time.
    fn seen(&self, frame: &Frame<'_>, id: &Loose<'_>) -> Option<usize> {
        match (frame.output_index.count(), id.text()) {
            (Some(place), _) => self.items.iter().rposition(|item| item.output_index == Some(place)),
            (None, "") => self.items.len().checked_sub(1),
            (None, id) => self.items.iter().rposition(|item| *item.id == *id),
        }
    }

    fn begin(&mut self, frame: &Frame<'_>, id: &Loose<'_>) -> Result<usize, ProviderError> {
        if self.items.len() == ITEMS_MAX {
            let message = format!("the answer has more than {ITEMS_MAX} items");
            return Err(ProviderError::new(Failure::BadStream, message));
        }
        self.items.push(Open { output_index: frame.output_index.count(), id: id.text().into(), ..Open::default() });
        Ok(self.items.len() - 1)
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
