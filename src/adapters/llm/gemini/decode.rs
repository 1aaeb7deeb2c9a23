//! The stream of `streamGenerateContent`, decoded: bytes in, [`Event`]s out. Pure: knows no socket and no clock. Never holds
//! an event back, and never calls an answer whole that ended without a `finishReason`: there is no other terminator.
//! Source: Gemini API reference, "GenerateContentResponse"; "Thought signatures", "Image generation".

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::ORIGIN;
use super::chunk::{Call, Candidate, Chunk, Data, Feedback, Part, Parts, Said, Tokens, raw_parts};
use crate::adapters::llm::complaint::{self, Complaint, KeyPlace};
use crate::adapters::llm::framing::{self, Dialect, Reader};
use crate::adapters::llm::lenient::Object;
use crate::adapters::llm::media;
use crate::adapters::llm::mend::mend;
use crate::common::chat::{Covers, Event, FinishReason, ImagePiece, Media, ToolCallDelta, Usage, VerbatimItem};
use crate::common::error::{Failure, ProviderError};
use crate::net::sse;

/// How much of an answer's id goes into the ids of its calls, characters; other providers take ids of up to 40.
const ID_CHARS_MAX: usize = 24;

/// Turns the body of one answer into events.
pub type Decoder = Reader<Answers>;

/// See the module.
#[derive(Debug, Default)]
pub struct Answers {
    key: KeyPlace,
    model_known: bool,
    /// `responseId`, as far as it may stand in an id.
    id: Box<str>,
    /// Calls and whole pictures so far.
    calls: u32,
    pictures: u32,
    /// Previews of the picture that is to come.
    previews: u32,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

impl Decoder {
    pub fn new(key: KeyPlace) -> Decoder {
        Reader::of(Answers { key, ..Answers::default() })
    }
}

impl Dialect for Answers {
    const NAME: &'static str = "stream of Gemini's";
    /// As long as a picture's event may be.
    const DOCUMENT_BYTES_MAX: usize = sse::EVENT_BYTES_MAX;

    fn key(&self) -> &KeyPlace {
        &self.key
    }

    /// A chunk, or a list of them: that is what comes without `alt=sse`.
    fn take(&mut self, _name: &[u8], data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        if data.trim_ascii() == b"[DONE]" {
            return Some(Ok(()));
        }
        if let Some(taken) = self.take_one(data, events) {
            return Some(taken);
        }
        let chunks: Vec<&RawValue> = serde_json::from_slice(data).ok()?;
        Some(chunks.into_iter().try_for_each(|chunk| {
            let chunk = chunk.get().as_bytes();
            let taken = self.take_one(chunk, events).or_else(|| self.take_one(mend(chunk).as_bytes(), events));
            taken.unwrap_or_else(|| Err(framing::unread(Self::NAME, chunk, &self.key)))
        }))
    }

    fn is_whole(&self) -> bool {
        self.finish.is_some()
    }

    /// Only the end of the body ends an answer: servers have been seen that give a reason with every chunk.
    fn is_done(&self) -> bool {
        false
    }
}

impl Answers {
    fn take_one(&mut self, data: &[u8], events: &mut VecDeque<Event>) -> Option<Result<(), ProviderError>> {
        let Object(chunk) = serde_json::from_slice(data).ok()?;
        Some(self.take_chunk(chunk, data, events))
    }

    fn take_chunk(&mut self, chunk: Chunk<'_>, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if chunk.error.is_some_and(|error| error.get() != "null") {
            return Err(complaint::in_stream(&Complaint::read(data), &self.key));
        }
        if chunk.candidates.is_none() && chunk.usage_metadata.is_none() && chunk.prompt_feedback.is_none() {
            let complaint = Complaint::read(data);
            if !complaint.message.is_empty() {
                return Err(complaint::in_stream(&complaint, &self.key));
            }
        }
        let events_before = events.len();
        if !self.model_known && !chunk.model_version.0.is_empty() {
            self.model_known = true;
            events.push_back(Event::Started { model: Some(chunk.model_version.0.into()) });
        }
        if self.id.is_empty() && !chunk.response_id.0.is_empty() {
            let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            self.id = chunk.response_id.0.chars().filter(fits).take(ID_CHARS_MAX).collect();
        }
        let usage = chunk.usage_metadata.as_ref().and_then(counted);
        let told = usage.filter(|_| usage != self.usage).map(|usage| Event::Usage(Box::new(usage)));
        self.usage = usage.or(self.usage);
        match chunk.candidates.and_then(|first| first.0) {
            Some(candidate) => {
                // What came before an error holds, the tokens that it cost among it.
                let taken = self.take_candidate(candidate, data, events);
                events.extend(told);
                taken?;
            }
            None => {
                events.extend(told);
                if let Some(feedback) = chunk.prompt_feedback.filter(|feedback| !feedback.block_reason.0.is_empty()) {
                    return Err(self.blocked(&feedback));
                }
            }
        }
        if events.len() == events_before {
            events.push_back(Event::Started { model: None });
        }
        Ok(())
    }

    fn take_candidate(
        &mut self,
        candidate: Candidate<'_>,
        data: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let Parts { first, others } = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        let mut raw: Option<Vec<&RawValue>> = None;
        for (at, part) in first.into_iter().chain(others).enumerate() {
            let Some(covers) = self.take_part(part, events)? else { continue };
            // Read a second time, which few chunks need.
            if let Some(part) = raw.get_or_insert_with(|| raw_parts(data)).get(at) {
                let item = VerbatimItem { origin: ORIGIN.into(), json: (*part).to_owned(), covers };
                events.push_back(Event::Verbatim(Box::new(item)));
            }
        }
        if candidate.finish_reason.0.is_empty() {
            return Ok(());
        }
        let word = candidate.finish_reason.0;
        let reason = self.finish_reason(&word);
        // Some servers give a reason with every chunk.
        if self.finish.as_ref() == Some(&reason) {
            return Ok(());
        }
        let is_usual = matches!(reason, FinishReason::Stop | FinishReason::Length | FinishReason::ToolCalls);
        if !is_usual {
            let said = with_words(self.key.hide(&candidate.finish_message.0));
            events.push_back(Event::Notice(
                format!("Gemini ended its answer early ({}){said}", self.key.hide(&word)).into(),
            ));
        }
        self.finish = Some(reason.clone());
        events.push_back(Event::Finish(reason));
        Ok(())
    }

    /// Tells what a part says; `Some` where it must be kept as it is, with what of it that covers.
    fn take_part(&mut self, part: Part<'_>, events: &mut VecDeque<Event>) -> Result<Option<Covers>, ProviderError> {
        let Part { said, thought, signed } = part;
        let (covers, keep) = match said {
            Said::Nothing => (Covers::Nothing, signed),
            Said::Other => (Covers::Nothing, true),
            Said::Text(text) => {
                let (bytes, event): (_, fn(Box<str>) -> Event) =
                    if thought { (0, Event::Reasoning) } else { (text.0.len(), Event::Text) };
                if !text.0.is_empty() {
                    events.push_back(event(text.0.into()));
                }
                (if bytes == 0 { Covers::Nothing } else { Covers::Text { bytes } }, signed)
            }
            Said::Call(call) => {
                let (index, has_id) = (self.calls, !call.id.0.is_empty());
                self.take_call(call, events)?;
                (Covers::ToolCall { index }, signed || has_id)
            }
            Said::Data(data) => {
                let index = self.pictures;
                match self.take_media(&data, thought, events)? {
                    Seen::Picture => (Covers::Image { index }, signed),
                    Seen::Preview => return Ok(None),
                    Seen::Sound => (Covers::Nothing, signed),
                    Seen::Other => (Covers::Nothing, true),
                }
            }
        };
        Ok(keep.then_some(covers))
    }

    fn take_call(&mut self, call: Call<'_>, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let is_piece = call.partial_args.is_some() || call.will_continue == Some(true);
        if is_piece || call.name.0.is_empty() {
            let message = "the arguments of a function call came in pieces (partialArgs), which was not asked for";
            return Err(ProviderError::new(Failure::BadStream, message));
        }
        let index = self.calls;
        self.calls += 1;
        let id = match (&*call.id.0, &*self.id) {
            ("", "") => format!("call_{index}"),
            ("", answer) => format!("call_{answer}_{index}"),
            (id, _) => id.to_owned(),
        };
        let arguments = call.args.map(RawValue::get).filter(|args| *args != "null").unwrap_or("{}").to_owned();
        let delta = ToolCallDelta { index, id: Some(id), name: Some(call.name.0.into_owned()), arguments };
        events.push_back(Event::ToolCall(Box::new(delta)));
        Ok(())
    }

    /// A picture or a sound, whole. Pictures among the thoughts are sketches of the one that is to come.
    fn take_media(
        &mut self,
        data: &Data<'_>,
        thought: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<Seen, ProviderError> {
        let mime = data.mime_type.0.to_ascii_lowercase();
        let (is_picture, is_sound) = (mime.starts_with("image/"), mime.starts_with("audio/"));
        if !is_picture && !is_sound {
            return Ok(Seen::Other);
        }
        // From the event's own bytes into the picture's, and no copy besides.
        let bytes = media::decode(&data.data.0).ok_or_else(|| {
            let message = format!("a part of the answer ({}) is no base64 and cannot be read", self.key.hide(&mime));
            ProviderError::new(Failure::BadStream, message)
        })?;
        if is_sound {
            // `audio/L16;codec=pcm;rate=24000`: a player needs the rate.
            let media = Media { mime: data.mime_type.0.as_ref().into(), data: bytes };
            events.push_back(Event::Audio(Box::new(media)));
            return Ok(Seen::Sound);
        }
        let mime = mime.split(';').next().expect("a split has a first piece").trim().into();
        let (index, media) = (self.pictures, Media { mime, data: bytes });
        let (seen, partial) = if thought { (Seen::Preview, Some(self.previews)) } else { (Seen::Picture, None) };
        (self.pictures, self.previews) = if thought { (index, self.previews + 1) } else { (index + 1, 0) };
        events.push_back(Event::Image(Box::new(ImagePiece { index, partial, media })));
        Ok(seen)
    }

    /// Google has no word for an answer that ends in calls; a client of the hub acts on ours.
    fn finish_reason(&self, word: &str) -> FinishReason {
        match word {
            "STOP" if self.calls > 0 => FinishReason::ToolCalls,
            "STOP" => FinishReason::Stop,
            // `CONTINUATION`: the limit of one request, where more was allowed.
            "MAX_TOKENS" | "CONTINUATION" => FinishReason::Length,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR"
            | "ESCALATION" => FinishReason::ContentFilter,
            other => FinishReason::Other(other.to_owned()),
        }
    }

    fn blocked(&self, feedback: &Feedback<'_>) -> ProviderError {
        let word = self.key.hide(&feedback.block_reason.0);
        let said = with_words(self.key.hide(&feedback.block_reason_message.0));
        let message =
            format!("Gemini refused the question ({word}){said}. Put it in other words, or ask another provider.");
        ProviderError::new(Failure::Rejected, message)
    }
}

/// What an `inlineData` was.
enum Seen {
    Picture,
    Preview,
    Sound,
    Other,
}

fn with_words(said: String) -> String {
    if said.is_empty() { said } else { format!(": {said}") }
}

/// The counts, where there are any; each is of the whole answer so far.
fn counted(tokens: &Tokens) -> Option<Usage> {
    let (prompt, said, thought) =
        (tokens.prompt_token_count.0, tokens.candidates_token_count.0, tokens.thoughts_token_count.0);
    prompt.or(said)?;
    let sum = |one: Option<u64>, other: Option<u64>| one.unwrap_or(0).saturating_add(other.unwrap_or(0));
    Some(Usage {
        input_tokens: sum(prompt, tokens.tool_use_prompt_token_count.0),
        output_tokens: sum(said, thought),
        cached_tokens: tokens.cached_content_token_count.0,
        cache_write_tokens: None,
        reasoning_tokens: thought,
        cost_usd: None,
    })
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
