//! The words of speech: what is to be said, and in which form it is heard. Knows no voice.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Samples a second of [`AudioFormat::Pcm`].
pub const PCM_SAMPLE_RATE: u32 = 24_000;

/// The form in which speech goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// Signed 16 bit, little-endian, mono, 24 kHz, without a header.
    #[default]
    Pcm,
    /// Ogg Opus.
    Opus,
    Mp3,
    /// A RIFF header, then as `pcm`; a file of its own for each sentence.
    Wav,
}

impl AudioFormat {
    pub const ALL: [AudioFormat; 4] = [AudioFormat::Pcm, AudioFormat::Opus, AudioFormat::Mp3, AudioFormat::Wav];

    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            AudioFormat::Pcm => "pcm",
            AudioFormat::Opus => "opus",
            AudioFormat::Mp3 => "mp3",
            AudioFormat::Wav => "wav",
        }
    }

    /// `audio/pcm` after RFC 2586's fashion, with what a player needs; `audio/ogg;codecs=opus`, `audio/mpeg`, `audio/wav`.
    pub fn mime(self) -> &'static str {
        match self {
            AudioFormat::Pcm => "audio/pcm;rate=24000;channels=1;encoding=s16le",
            AudioFormat::Opus => "audio/ogg;codecs=opus",
            AudioFormat::Mp3 => "audio/mpeg",
            AudioFormat::Wav => "audio/wav",
        }
    }
}

/// One sentence for one voice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpeechRequest {
    /// Plain words, no markup; never empty.
    pub text: String,
    /// The voice's own name; absent: the configured one.
    pub voice: Option<String>,
    /// BCP 47, such as `de` or `zh-CN`, where the client said it.
    pub lang: Option<String>,
    pub format: AudioFormat,
}

/// A piece of speech on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioPiece {
    pub format: AudioFormat,
    /// Which sentence of the request, from 0.
    pub sentence: u32,
    /// With the first piece of a sentence: what is said in it.
    pub text: Option<Box<str>>,
    /// Where in the request's speech it begins, milliseconds; exact for `pcm`, and that of the sentence's start for others.
    pub at_ms: u32,
    /// The last piece of the request.
    pub last: bool,
    /// For `pcm` 40 to 60 ms, and whole samples; may be empty where `last`.
    pub data: Bytes,
}
