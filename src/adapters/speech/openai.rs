//! OpenAI's voices, and those of every server that speaks like it. Source: OpenAI API reference, "Create speech" and its
//! streaming events `speech.audio.delta` and `speech.audio.done`.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{ACCEPT, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::body::{self, Decode, Kind, Raw};
use super::{Setup, Speech, Voice};
use crate::adapters::llm::complaint::{Complaint, KeyPlace, in_stream};
use crate::adapters::llm::exchange::{self, KeyHeader, Target};
use crate::common::chat::Usage;
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::{AudioFormat, SpeechRequest};
use crate::net::https::Https;
use crate::net::sse::Parser;

const PATH: &str = "/audio/speech";

/// The built-in voices.
pub const NAMES: &[&str] =
    &["alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"];

/// The longest event of an answer, bytes: sound comes in pieces of some KiB.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A server that speaks.
pub struct OpenAi {
    target: Arc<Target>,
    model: String,
    voice: String,
    client: Https,
}

pub fn build(Setup { config, key, client }: Setup<'_>) -> Arc<dyn Voice> {
    let row = &config.providers.openai;
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let target = Arc::new(Target::new(&row.base_url, PATH, KeyHeader::Bearer, key));
    let speech = &config.speech.openai;
    Arc::new(OpenAi { target, model: speech.model.clone(), voice: speech.voice.clone(), client })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    voice: &'a str,
    input: &'a str,
    response_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_format: Option<&'static str>,
}

impl Voice for OpenAi {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (target, client) = (Arc::clone(&self.target), self.client.clone());
        let (model, voice) = (self.model.clone(), request.voice.unwrap_or_else(|| self.voice.clone()));
        async move {
            let format = request.format;
            let write = |streamed: &bool| {
                let body = Body {
                    model: &model,
                    voice: &voice,
                    input: &request.text,
                    response_format: format.as_str(),
                    stream_format: streamed.then_some("audio"),
                };
                let mut post = target.post(&body)?;
                post.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
                Ok(post)
            };
            // The one parameter that a server which only speaks like OpenAI's may not know.
            let concede = |streamed: &mut bool, complaint: &Complaint| {
                let named = complaint.param.as_deref() == Some("stream_format");
                (named || complaint.message.contains("stream_format")) && std::mem::replace(streamed, false)
            };
            let response = exchange::converse(&client, &target.key, true, write, concede).await?;
            let (kind, response) = body::sound_of(response, &target.key).await?;
            Ok(match kind {
                Kind::Sound { rate_hz } => body::speech(response, Raw::new(format, rate_hz)),
                Kind::Events => body::speech(response, Events::new(format, target.key.clone())),
            })
        }
        .boxed()
    }

    fn formats(&self) -> &[AudioFormat] {
        &[AudioFormat::Pcm, AudioFormat::Opus, AudioFormat::Mp3]
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_ready(&self) -> bool {
        self.target.key.key.is_some() || self.target.key.env.is_none()
    }
}

/// An answer of server-sent events.
struct Events {
    parser: Parser,
    raw: Raw,
    key: KeyPlace,
    done: bool,
    usage: Option<Usage>,
}

impl Events {
    fn new(format: AudioFormat, key: KeyPlace) -> Events {
        Events { parser: Parser::new(EVENT_BYTES_MAX), raw: Raw::new(format, None), key, done: false, usage: None }
    }

    fn event(&mut self, data: &[u8], sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let bad = |why: String| ProviderError::new(Failure::BadStream, why);
        let event: Value =
            serde_json::from_slice(data).map_err(|error| bad(format!("an event that is no JSON: {error}")))?;
        match event["type"].as_str() {
            Some("speech.audio.delta") => {
                let text = event["audio"].as_str().unwrap_or_default();
                let bytes = STANDARD.decode(text).map_err(|error| bad(format!("sound that is no base64: {error}")))?;
                self.raw.push(bytes.into(), sound)?;
            }
            Some("speech.audio.done") => {
                self.done = true;
                self.usage = counted(&event["usage"]);
            }
            _ if event["type"] == "error" || !event["error"].is_null() => {
                return Err(in_stream(&Complaint::read(data), &self.key));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Decode for Events {
    fn push(&mut self, bytes: Bytes, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        let mut input: &[u8] = &bytes;
        while !self.done {
            let event = match self.parser.next(&mut input) {
                Ok(Some(event)) => event.data.to_vec(),
                Ok(None) => break,
                Err(error) => return Err(ProviderError::new(Failure::BadStream, error.to_string())),
            };
            self.event(&event, sound)?;
        }
        Ok(())
    }

    fn finish(&mut self, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        if !self.done {
            return Err(ProviderError::new(Failure::CutOff, "the sound broke off before its end"));
        }
        self.raw.finish(sound)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn counted(tokens: &Value) -> Option<Usage> {
    let (input, output) = (tokens["input_tokens"].as_u64(), tokens["output_tokens"].as_u64());
    input.or(output)?;
    let (input_tokens, output_tokens) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage { input_tokens, output_tokens, ..Usage::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stream: &str, piece_len: usize) -> Result<Vec<u8>, ProviderError> {
        read(stream, piece_len).map(|(sound, _)| sound)
    }

    fn read(stream: &str, piece_len: usize) -> Result<(Vec<u8>, Option<Usage>), ProviderError> {
        let key = KeyPlace { key: Some(crate::common::secret::Secret::new("sk-hunter2-secret")), env: None };
        let (mut events, mut sound) = (Events::new(AudioFormat::Pcm, key), VecDeque::new());
        for piece in stream.as_bytes().chunks(piece_len) {
            events.push(Bytes::copy_from_slice(piece), &mut sound)?;
        }
        events.finish(&mut sound)?;
        Ok((sound.into_iter().flatten().collect(), events.usage()))
    }

    #[test]
    fn events_of_odd_lengths_make_whole_samples() {
        let stream = "event: speech.audio.delta\ndata: {\"type\":\"speech.audio.delta\",\"audio\":\"AQID\"}\n\n\
            data: {\"type\":\"later\"}\n\n\
            data: {\"type\":\"speech.audio.delta\",\"audio\":\"BA==\"}\n\n\
            data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}\n\n";
        for piece_len in [1, 10, 1000] {
            let (sound, usage) = read(stream, piece_len).unwrap();
            assert_eq!(sound, [1, 2, 3, 4]);
            assert_eq!(usage, Some(Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() }));
        }
        let cut = &stream[..stream.find("data: {\"type\":\"speech.audio.done").unwrap()];
        assert_eq!(decode(cut, 1000).unwrap_err().failure, Failure::CutOff);
    }

    #[test]
    fn a_count_that_is_none_is_passed_over() {
        for odd in ["null", "[]", "{}", r#"{"input_tokens":-1}"#, r#"{"input_tokens":"7","output_tokens":1e99}"#] {
            assert_eq!(counted(&serde_json::from_str(odd).unwrap()), None, "{odd}");
        }
    }

    #[test]
    fn what_is_no_sound_is_an_error_in_words() {
        let error =
            "data: {\"error\":{\"message\":\"Key sk-hunter2-secret is out\",\"code\":\"rate_limit_exceeded\"}}\n\n";
        let failed = decode(error, 1000).unwrap_err();
        assert_eq!(failed.failure, Failure::RateLimited);
        assert!(!failed.message.contains("hunter2"), "{failed}");
        for odd in ["data: {\n\n", "data: {\"type\":\"speech.audio.delta\",\"audio\":\"*\"}\n\n", "data: [DONE]\n\n"] {
            assert_eq!(decode(odd, 1000).unwrap_err().failure, Failure::BadStream, "{odd}");
        }
    }
}
