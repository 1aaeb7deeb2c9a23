//! Gemini's voices. Source: Gemini API reference, `models.streamGenerateContent`, "Speech generation": the answer's
//! `inlineData` parts are the sound, `audio/L16;codec=pcm;rate=24000` in base64.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::body::{self, Decode, Kind, Raw};
use super::pcm::rate_of;
use super::{Setup, Speech, Voice};
use crate::adapters::llm::complaint::KeyPlace;
use crate::adapters::llm::exchange::{self, Decode as _, KeyHeader, Target};
use crate::adapters::llm::gemini::decode::Decoder;
use crate::common::chat::{Event, FinishReason, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::{AudioFormat, SpeechRequest};
use crate::net::https::Https;

/// The prebuilt voices.
pub const NAMES: &[&str] = &[
    "Zephyr",
    "Puck",
    "Charon",
    "Kore",
    "Fenrir",
    "Leda",
    "Orus",
    "Aoede",
    "Callirrhoe",
    "Autonoe",
    "Enceladus",
    "Iapetus",
    "Umbriel",
    "Algieba",
    "Despina",
    "Erinome",
    "Algenib",
    "Rasalgethi",
    "Laomedeia",
    "Achernar",
    "Alnilam",
    "Schedar",
    "Gacrux",
    "Pulcherrima",
    "Achird",
    "Zubenelgenubi",
    "Vindemiatrix",
    "Sadachbia",
    "Sadaltager",
    "Sulafat",
];

/// A Gemini model that speaks.
pub struct Gemini {
    target: Arc<Target>,
    model: String,
    voice: String,
    client: Https,
}

pub fn build(Setup { config, key, client }: Setup<'_>) -> Arc<dyn Voice> {
    let row = &config.providers.gemini;
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let speech = &config.speech.gemini;
    let path = format!("/v1beta/models/{}:streamGenerateContent?alt=sse", speech.model);
    let target = Arc::new(Target::new(&row.base_url, &path, KeyHeader::Named("x-goog-api-key"), key));
    Arc::new(Gemini { target, model: speech.model.clone(), voice: speech.voice.clone(), client })
}

impl Voice for Gemini {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (target, client) = (Arc::clone(&self.target), self.client.clone());
        let voice = request.voice.clone().unwrap_or_else(|| self.voice.clone());
        async move {
            if request.format != AudioFormat::Pcm {
                let why = format!("gives no {}: ask for pcm or wav", request.format.as_str());
                return Err(ProviderError::new(Failure::Unsupported, why));
            }
            let body = json!({
                "contents": [{"role": "user", "parts": [{"text": request.text}]}],
                "generationConfig": {
                    "responseModalities": ["AUDIO"],
                    "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}},
                },
            });
            let write = |_: &()| target.post(&body);
            let response = exchange::converse(&client, &target.key, (), write, |_, _| false).await?;
            match body::sound_of(response, &target.key).await? {
                (Kind::Events, response) => Ok(body::speech(response, Spoken::new(target.key.clone()))),
                (Kind::Sound { .. }, _) => Err(bad("it sent no events")),
            }
        }
        .boxed()
    }

    fn formats(&self) -> &[AudioFormat] {
        &[AudioFormat::Pcm]
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_ready(&self) -> bool {
        self.target.key.key.is_some() || self.target.key.env.is_none()
    }
}

/// A spoken answer: what its sounds are once the interface's own decoder has found them.
struct Spoken {
    answer: Decoder,
    /// What the decoder has found, taken off at once.
    events: VecDeque<Event>,
    /// Once sound has come: its media type tells of which kind.
    raw: Option<Raw>,
    key: KeyPlace,
    /// The last that came: each count is the sum so far.
    usage: Option<Usage>,
}

impl Spoken {
    fn new(key: KeyPlace) -> Spoken {
        Spoken { answer: Decoder::new(key.clone()), events: VecDeque::new(), raw: None, key, usage: None }
    }

    /// Only sound is of use here, and the reason where it ends before all is said.
    fn take_events(&mut self, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Audio(media) => {
                    let raw = self.raw.get_or_insert_with(|| Raw::new(AudioFormat::Pcm, rate_of(&media.mime)));
                    raw.push(media.data, sound)?;
                }
                Event::Usage(usage) => self.usage = Some(*usage),
                Event::Finish(reason) => self.ended(&reason)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn ended(&self, reason: &FinishReason) -> Result<(), ProviderError> {
        let why = match reason {
            FinishReason::Stop => return Ok(()),
            FinishReason::Length => "the text is too long for it",
            FinishReason::ContentFilter => "its rules forbid the text",
            FinishReason::ToolCalls => "it called a tool instead",
            FinishReason::Other(word) => word,
        };
        Err(ProviderError::new(Failure::Failed, self.key.hide(&format!("it stopped speaking ({why})"))))
    }
}

impl Decode for Spoken {
    fn push(&mut self, bytes: Bytes, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        let ended = self.answer.push(&bytes, &mut self.events);
        self.take_events(sound)?;
        ended
    }

    fn finish(&mut self, sound: &mut VecDeque<Bytes>) -> Result<(), ProviderError> {
        let ended = self.answer.finish(&mut self.events);
        self.take_events(sound)?;
        ended?;
        self.raw.as_mut().map_or_else(|| Err(bad("it answered without a sound")), |raw| raw.finish(sound))
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn is_done(&self) -> bool {
        false
    }
}

fn bad(why: &str) -> ProviderError {
    ProviderError::new(Failure::BadStream, why)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn decode(stream: &str, piece_len: usize) -> Result<Vec<u8>, ProviderError> {
        let (mut events, mut sound) = (Spoken::new(KeyPlace::default()), VecDeque::new());
        for piece in stream.as_bytes().chunks(piece_len) {
            events.push(Bytes::copy_from_slice(piece), &mut sound)?;
        }
        events.finish(&mut sound)?;
        Ok(sound.into_iter().flatten().collect())
    }

    fn sound(mime: &str, base64: &str) -> String {
        let part = json!({"inlineData": {"mimeType": mime, "data": base64}});
        let event = json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]});
        format!("data: {event}\r\n\r\n")
    }

    fn finish(reason: &str) -> String {
        format!("data: {}\r\n\r\n", json!({"candidates": [{"finishReason": reason}], "usageMetadata": {}}))
    }

    #[test]
    fn parts_are_put_together_and_the_rate_is_heeded() {
        let mime = "audio/L16;codec=pcm;rate=24000";
        let stream = [sound(mime, "AQID"), sound("text/plain", "eHh4"), sound(mime, "BA=="), finish("STOP")].concat();
        for piece_len in [1, 33, 10_000] {
            assert_eq!(decode(&stream, piece_len).unwrap(), [1, 2, 3, 4]);
        }
        let slow = [sound("audio/L16;rate=12000", &STANDARD.encode([0; 200])), finish("STOP")].concat();
        assert_eq!(decode(&slow, 1000).unwrap().len(), 400);
    }

    #[test]
    fn the_last_count_holds() {
        let mut spoken = Spoken::new(KeyPlace::default());
        for tokens in [
            json!({"promptTokenCount": 3}),
            json!({"promptTokenCount": 3, "candidatesTokenCount": 50, "thoughtsTokenCount": 2}),
        ] {
            let event = json!({"candidates": [{}], "usageMetadata": tokens});
            spoken.push(format!("data: {event}\n\n").into(), &mut VecDeque::new()).unwrap();
        }
        let usage = spoken.usage().expect("a count");
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (3, 52, Some(2)));
    }

    #[test]
    fn half_an_answer_and_none_are_errors() {
        let half = sound("audio/L16;rate=24000", "AQID");
        let failure = |stream: &str| decode(stream, 1000).unwrap_err().failure;
        assert_eq!(failure(&half), Failure::CutOff);
        assert_eq!(failure(""), Failure::CutOff);
        assert_eq!(failure(&finish("STOP")), Failure::BadStream);
        assert_eq!(failure(&[half, finish("OTHER")].concat()), Failure::Failed);
        assert_eq!(failure("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n"), Failure::Rejected);
        assert_eq!(failure("data: {\"error\":{\"code\":429,\"message\":\"slow down\"}}\n\n"), Failure::RateLimited);
        assert_eq!(failure("data: <html>\n\n"), Failure::BadStream);
        assert_eq!(failure(&sound("audio/L16", "*")), Failure::BadStream);
    }
}
