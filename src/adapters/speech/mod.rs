//! Voices: the one trait behind which each speaks, and the slice of those that the hub has. Knows no sentence's neighbours, no
//! chain and no client.

pub mod body;
pub mod espeak;
pub mod gemini;
pub mod openai;
pub mod pcm;
pub mod resample;
pub mod wav;
pub mod wyoming;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::common::chat::Usage;
use crate::common::config::Config;
use crate::common::error::ProviderError;
use crate::common::secret::Secret;
use crate::common::speech::{AudioFormat, SpeechRequest};
use crate::net::https::Https;

/// What comes of a sentence.
#[derive(Debug, Clone, PartialEq)]
pub enum Spoken {
    Sound(Bytes),
    /// The provider's own count for the sentence, where it says one: once, behind the sound.
    Counted(Usage),
}

/// A sentence while it is spoken, in the format asked for: for `pcm` as in [`AudioFormat::Pcm`], in pieces of any length. The
/// stream ends (`None`) only after the whole sentence: one that is cut off ends in an error. Dropping it ends the work for
/// it within milliseconds. What is not read holds its source back.
pub type Speech = Pin<Box<dyn Stream<Item = Result<Spoken, ProviderError>> + Send>>;

/// Somebody who speaks.
pub trait Voice: Send + Sync {
    /// Speaks one sentence. The future ends when the voice has accepted or refused; deadlines are the caller's. A format that
    /// is not in [`Voice::formats`] ends in [`crate::common::error::Failure::Unsupported`].
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>>;

    /// The formats that it gives of itself. `wav` is made of `pcm` by the router, for every voice alike.
    fn formats(&self) -> &[AudioFormat];

    /// Whose work it is, for the books: a model's name.
    fn model(&self) -> &str;

    /// Whether it has what it needs to be asked at all, such as a key.
    fn is_ready(&self) -> bool {
        true
    }
}

/// The voices of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoiceName {
    Openai,
    Gemini,
    Espeak,
    Wyoming,
}

impl VoiceName {
    pub const ALL: [VoiceName; 4] = [VoiceName::Openai, VoiceName::Gemini, VoiceName::Espeak, VoiceName::Wyoming];

    /// The word of the config file and of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            VoiceName::Openai => "openai",
            VoiceName::Gemini => "gemini",
            VoiceName::Espeak => "espeak",
            VoiceName::Wyoming => "wyoming",
        }
    }

    pub fn parse(word: &str) -> Option<VoiceName> {
        VoiceName::ALL.into_iter().find(|name| name.as_str() == word)
    }

    /// Speaks without the internet.
    pub fn is_local(self) -> bool {
        matches!(self, VoiceName::Espeak | VoiceName::Wyoming)
    }

    /// Whose the voice of this name is, with the name as they write it; `None` where nobody's list has it.
    pub fn of(voice: &str) -> Option<(VoiceName, &'static str)> {
        let find = |names: &'static [&'static str]| names.iter().find(|name| name.eq_ignore_ascii_case(voice));
        let openai = find(openai::NAMES).map(|name| (VoiceName::Openai, *name));
        openai.or_else(|| find(gemini::NAMES).map(|name| (VoiceName::Gemini, *name)))
    }
}

/// What a voice is made of.
pub struct Setup<'a> {
    pub config: &'a Config,
    /// The key of `providers.openai` or `providers.gemini`.
    pub key: Option<Secret>,
    pub client: Https,
}

/// Makes a voice. One that cannot work says so when it is asked.
type Build = fn(Setup<'_>) -> Arc<dyn Voice>;

/// A newcomer adds one file and one line.
pub const VOICES: &[(VoiceName, Build)] = &[
    (VoiceName::Openai, openai::build),
    (VoiceName::Gemini, gemini::build),
    (VoiceName::Espeak, espeak::build),
    (VoiceName::Wyoming, wyoming::build),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_has_its_row() {
        let built: Vec<_> = VOICES.iter().map(|(name, _)| *name).collect();
        assert_eq!(built, VoiceName::ALL);
        for (name, build) in VOICES {
            assert_eq!(VoiceName::parse(name.as_str()), Some(*name));
            let voice = build(Setup { config: &Config::default(), key: None, client: Https::new() });
            assert!(voice.formats().contains(&AudioFormat::Pcm), "{name:?}");
            assert!(!voice.formats().contains(&AudioFormat::Wav) && !voice.model().is_empty(), "{name:?}");
            assert_eq!(voice.is_ready(), name.is_local(), "{name:?} needs a key, or none");
        }
    }

    #[test]
    fn a_name_is_known_by_its_owner() {
        assert_eq!(VoiceName::of("Nova"), Some((VoiceName::Openai, "nova")));
        assert_eq!(VoiceName::of("kore"), Some((VoiceName::Gemini, "Kore")));
        assert_eq!(VoiceName::of("de+f3"), None);
    }
}
