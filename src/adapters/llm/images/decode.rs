//! The stream of the Images API, decoded: previews, pictures and what they cost; or the one document of a model or a server
//! that does not stream. Pure.
//! Source: OpenAI API reference, "Image generation streaming events", "Create image".

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::picture;
use crate::adapters::llm::blame;
use crate::adapters::llm::complaint::{Complaint, KeyPlace};
use crate::adapters::llm::framing::{self, Dialect, Reader};
use crate::adapters::llm::lenient::{Loose, object, objects};
use crate::common::chat::{Event, FinishReason, ImagePiece, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::net::sse;

/// Turns the body of one answer into events.
pub type Decoder = Reader<Images>;

impl Decoder {
    /// Of a request for `wanted` pictures.
    pub fn new(key: KeyPlace, wanted: u32) -> Decoder {
        Reader::of(Images { key, wanted: wanted.max(1), ..Images::default() })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Images {
    key: KeyPlace,
    wanted: u32,
    /// Pictures that are done.
    made: u32,
    usage: Option<Usage>,
    whole: bool,
}

/// An event, or a document.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Loose<'a>,
    #[serde(borrow)]
    b64_json: Loose<'a>,
    #[serde(borrow)]
    partial_image_index: Loose<'a>,
    #[serde(borrow)]
    output_format: Loose<'a>,
    #[serde(borrow)]
    usage: Option<Tokens<'a>>,
    /// Of a document: its pictures.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Picture<'a> {
    #[serde(borrow)]
    b64_json: Loose<'a>,
    #[serde(borrow)]
    url: Loose<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens<'a> {
    #[serde(borrow)]
    input_tokens: Loose<'a>,
    #[serde(borrow)]
    output_tokens: Loose<'a>,
    /// US dollars (OpenRouter).
    #[serde(borrow)]
    cost: Loose<'a>,
}

impl Dialect for Images {
    const NAME: &'static str = "answer of the Images API";
    /// Four pictures, each as long as an event may be.
    const DOCUMENT_BYTES_MAX: usize = 4 * sse::EVENT_BYTES_MAX;
    const READS_LATER: bool = true;

    fn key(&self) -> &KeyPlace {
        &self.key
    }

    fn take(&mut self, _name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        if data.trim_ascii() == b"[DONE]" {
            return Some(Err(framing::cut_off(true)));
        }
        let frame: Frame<'_> = object(data)?;
        let taken = match frame.kind.text() {
            "image_generation.partial_image" => self.preview(&frame, events),
            "image_generation.completed" => self.completed(&frame, events),
            "error" => Err(self.complained(&Complaint::read(data))),
            "" => self.document(&frame, events)?,
            _ => {
                events.push_back(Event::Started { model: None });
                Ok(())
            }
        };
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

impl Images {
    fn preview(&self, frame: &Frame<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let media = picture::decode(frame.b64_json.text(), frame.output_format.text())?;
        let partial = frame.partial_image_index.count().and_then(|nth| u32::try_from(nth).ok()).unwrap_or(0);
        events.push_back(Event::Image(Box::new(ImagePiece { index: self.made, partial: Some(partial), media })));
        Ok(())
    }

    fn completed(&mut self, frame: &Frame<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        self.made(frame.b64_json.text(), frame, events)?;
        self.count(frame);
        if self.made == self.wanted {
            self.end(events);
        }
        Ok(())
    }

    /// Of one that is none of ours: `None`.
    fn document(&mut self, frame: &Frame<'_>, events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        let pictures: Vec<Picture<'_>> = objects(Some(frame.data?));
        for picture in pictures.iter().take(self.wanted as usize) {
            let base64 = if picture.b64_json.text().is_empty() { picture.url.text() } else { picture.b64_json.text() };
            if picture.b64_json.text().is_empty() && !base64.starts_with("data:") {
                return Some(Err(no_picture(base64)));
            }
            if let Err(error) = self.made(base64, frame, events) {
                return Some(Err(error));
            }
        }
        if self.made == 0 {
            return Some(Err(no_picture("")));
        }
        if self.made < self.wanted {
            let notice = format!("{} of {} pictures were made", self.made, self.wanted);
            events.push_back(Event::Notice(notice.into()));
        }
        self.count(frame);
        self.end(events);
        Some(Ok(()))
    }

    fn made(&mut self, base64: &str, frame: &Frame<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let media = picture::decode(base64, frame.output_format.text())?;
        events.push_back(Event::Image(Box::new(ImagePiece { index: self.made, partial: None, media })));
        self.made += 1;
        Ok(())
    }

    /// Each picture of a stream has a bill of its own.
    fn count(&mut self, frame: &Frame<'_>) {
        let Some(tokens) = &frame.usage else { return };
        let (input, output) = (tokens.input_tokens.count(), tokens.output_tokens.count());
        if input.or(output).is_some() {
            let usage = self.usage.get_or_insert_default();
            usage.input_tokens = usage.input_tokens.saturating_add(input.unwrap_or(0));
            usage.output_tokens = usage.output_tokens.saturating_add(output.unwrap_or(0));
            usage.cost_usd = tokens.cost.number().map(|cost| usage.cost_usd.unwrap_or(0.0) + cost).or(usage.cost_usd);
        }
    }

    fn end(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.usage.map(|usage| Event::Usage(Box::new(usage))));
        events.push_back(Event::Finish(FinishReason::Stop));
        self.whole = true;
    }
}

fn no_picture(url: &str) -> ProviderError {
    let (failure, message) = match url {
        "" => (Failure::BadStream, "the answer holds no picture"),
        _ => (
            Failure::Unsupported,
            "the server sends the address of a picture and not the picture. Choose a model or a server that sends base64 (b64_json).",
        ),
    };
    ProviderError::new(failure, message)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
