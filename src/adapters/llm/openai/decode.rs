//! The stream of Chat Completions, decoded: bytes in, [`Event`]s out. Pure: knows no socket and no clock. Never holds an
//! event back, and never calls an answer whole that ended without saying so.
//! Source: OpenAI API reference, "Chat completion chunk object"; the other servers' own words stand where they are read.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, Content, Delta, Part, Picture, PromptProgress, Speech, Timings, Tokens, ToolCall};
use super::keepsake::Keepsake;
use crate::adapters::llm::complaint::{self, Complaint, KeyPlace};
use crate::adapters::llm::framing::{Dialect, Reader};
use crate::adapters::llm::lenient::Object;
use crate::adapters::llm::media;
use crate::common::chat::{Event, FinishReason, ImagePiece, Media, Progress, Stage, ToolCallDelta, Usage};
use crate::common::error::{Failure, ProviderError};

/// What a streamed `audio` holds: 16 bits, little-endian, mono, 24 kHz.
const PCM_MIME: &str = "audio/pcm";

/// Turns the body of one answer into events.
pub type Decoder = Reader<Completions>;

/// See the module.
#[derive(Debug, Default)]
pub struct Completions {
    key: KeyPlace,
    model_known: bool,
    finish: Option<FinishReason>,
    /// `[DONE]` has come: what follows is none of ours.
    done: bool,
    /// Calls of tools that have begun, for servers that do not number them.
    calls_begun: u32,
    /// Pictures that have come.
    images: u32,
    /// What has to go back with the next request.
    keepsake: Keepsake,
}

impl Decoder {
    pub fn new(key: KeyPlace) -> Decoder {
        Reader::of(Completions { key, ..Completions::default() })
    }
}

impl Dialect for Completions {
    const NAME: &'static str = "Chat Completions stream";

    fn key(&self) -> &KeyPlace {
        &self.key
    }

    fn take(&mut self, _name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            self.end(events);
            return Some(Ok(()));
        }
        let Object(chunk) = serde_json::from_slice(data).ok()?;
        Some(self.take_chunk(chunk, data, events))
    }

    fn is_whole(&self) -> bool {
        self.done || self.finish.is_some()
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.keepsake.take(self.calls_begun > 0));
    }
}

impl Completions {
    fn take_chunk(&mut self, chunk: Chunk<'_>, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let is_error = chunk.error.is_some_and(|error| !matches!(error.get(), "null" | "\"\"" | "false" | "{}"));
        if is_error || chunk.object.0 == "error" {
            return Err(complaint::in_stream(&Complaint::read(data), &self.key));
        }
        let groq = chunk.x_groq.unwrap_or_default();
        if !groq.error.0.is_empty() {
            let complaint = Complaint { message: groq.error.0.into(), ..Complaint::default() };
            return Err(complaint::in_stream(&complaint, &self.key));
        }
        let usage = chunk.usage.or(groq.usage);
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
        events.extend(chunk.prompt_progress.and_then(progress));
        if let Some(choice) = chunk.choices.and_then(|first| first.0) {
            self.take_choice(choice, events)?;
        }
        let usage = usage.as_ref().and_then(counted).or_else(|| timed(chunk.timings?));
        events.extend(usage.map(|usage| Event::Usage(Box::new(usage))));
        if events.len() == events_before {
            events.push_back(Event::Started { model: None });
        }
        Ok(())
    }

    fn take_choice(&mut self, choice: Choice<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Some(delta) = choice.delta.or(choice.message) {
            self.take_delta(delta, events)?;
        }
        let error = choice.error.map(|error| Complaint::read(error.get().as_bytes()));
        if error.is_some() || choice.finish_reason.0 == "error" {
            let broke_off =
                || Complaint { message: "the provider broke its answer off".into(), ..Complaint::default() };
            return Err(complaint::in_stream(&error.unwrap_or_else(broke_off), &self.key));
        }
        if !choice.finish_reason.0.is_empty() {
            let reason = finish_reason(&choice.finish_reason.0);
            // OpenRouter says it a second time, with the usage.
            if self.finish.as_ref() != Some(&reason) {
                self.finish = Some(reason.clone());
                self.end(events);
                events.push_back(Event::Finish(reason));
            }
        }
        Ok(())
    }

    fn take_delta(&mut self, mut delta: Delta<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Content::One(thinking) = &delta.reasoning_content
            && !thinking.is_empty()
        {
            self.keepsake.think(thinking);
        }
        if let Some(details) = delta.reasoning_details {
            self.keepsake.detail(details);
        }
        said(delta.thinking(), Event::Reasoning, events);
        said(delta.content, Event::Text, events);
        piece(delta.refusal.0, Event::Refusal, events);
        for call in delta.tool_calls.into_iter().flatten() {
            self.take_call(call, events);
        }
        if let Some(images) = delta.images {
            self.take_images(images, events)?;
        }
        if let Some(audio) = delta.audio {
            take_audio(audio, events)?;
        }
        Ok(())
    }

    fn take_images(&mut self, images: &RawValue, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let pictures: Option<Vec<Object<Picture<'_>>>> =
            serde_json::from_str(images.get()).map_err(|_| broken("a picture"))?;
        for Object(picture) in pictures.into_iter().flatten() {
            let url = &picture.image_url.url.0;
            if url.starts_with("http") {
                let place = self.key.hide(url);
                events.push_back(Event::Notice(format!("the picture is not sent along, it lies at {place}").into()));
                continue;
            }
            let media = media::from_data_url(url, "image/png").ok_or_else(|| broken("a picture"))?;
            events.push_back(Event::Image(Box::new(ImagePiece { index: self.images, partial: None, media })));
            self.images += 1;
        }
        Ok(())
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

fn take_audio(audio: &RawValue, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
    let speech: Option<Object<Speech<'_>>> = serde_json::from_str(audio.get()).map_err(|_| broken("the sound"))?;
    let Some(Object(speech)) = speech else { return Ok(()) };
    piece(speech.transcript.0, Event::Text, events);
    if !speech.data.0.is_empty() {
        let data = media::decode(&speech.data.0).ok_or_else(|| broken("the sound"))?;
        events.push_back(Event::Audio(Box::new(Media { mime: PCM_MIME.into(), data })));
    }
    Ok(())
}

fn broken(what: &str) -> ProviderError {
    ProviderError::new(Failure::BadStream, format!("{what} of the answer came broken"))
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
    let (read, wrote) = (tokens.prompt_tokens_details.as_ref(), tokens.completion_tokens_details.as_ref());
    let upstream = tokens.cost_details.as_ref().and_then(|details| details.upstream_inference_cost.0);
    Some(Usage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cached_tokens: read
            .and_then(|details| details.cached_tokens.0)
            .or(tokens.prompt_cache_hit_tokens.0)
            .or(tokens.cached_tokens.0)
            .or(tokens.num_cached_tokens.0)
            .or(tokens.cache_read_input_tokens.0),
        cache_write_tokens: read
            .and_then(|details| details.cache_write_tokens.0)
            .or(tokens.cache_creation_input_tokens.0),
        reasoning_tokens: wrote.and_then(|details| details.reasoning_tokens.0),
        cost_usd: match (tokens.cost.0, upstream.filter(|_| tokens.is_byok == Some(true))) {
            (Some(fee), Some(upstream)) => Some(fee + upstream),
            (cost, upstream) => cost.or(upstream),
        },
    })
}

/// What llama.cpp counted, where it says no usage.
fn timed(timings: &RawValue) -> Option<Usage> {
    let Object(timings): Object<Timings> = serde_json::from_str(timings.get()).ok()?;
    Some(Usage {
        input_tokens: timings.prompt_n.0?.saturating_add(timings.cache_n.0.unwrap_or(0)),
        output_tokens: timings.predicted_n.0?,
        cached_tokens: timings.cache_n.0,
        ..Usage::default()
    })
}

fn progress(progress: &RawValue) -> Option<Event> {
    let Object(PromptProgress { total, processed }) = serde_json::from_str(progress.get()).ok()?;
    Some(Event::Progress(Progress { stage: Stage::Prompt, done: processed.0?, total: total.0? }))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
