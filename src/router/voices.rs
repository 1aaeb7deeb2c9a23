//! Who speaks: the config's choice, the client's wish, and who stands in. Pure policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapters::speech::{Voice, VoiceName};
use crate::common::config::{Config, ProviderName, SpeechChoice};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::speech::AudioFormat;
use crate::router::budget::Verdict;
use crate::router::{Mode, VoiceWish};

/// The longest name of a voice, bytes.
const VOICE_BYTES_MAX: usize = 128;

/// Somebody to be asked to speak.
#[derive(Clone)]
pub struct Link {
    pub name: VoiceName,
    /// Its own name of a voice; absent: the configured one.
    pub own: Option<String>,
    pub voice: Arc<dyn Voice>,
}

/// Who is asked to speak, and who instead where that fails; never empty.
pub fn chain(
    config: &Config,
    voices: &BTreeMap<VoiceName, Arc<dyn Voice>>,
    wish: &VoiceWish,
    mode: Mode,
) -> Result<Vec<Link>, ErrorBody> {
    let unsupported = |why: String| ErrorBody::new(ErrorCode::Unsupported, why);
    if config.speech.active == SpeechChoice::Off {
        return Err(unsupported("this hub does not speak: speech.active is off".into()));
    }
    let default = default_voice(config, voices, mode);
    let (name, own) = match wish.voice.as_deref().map(str::trim).filter(|voice| !voice.is_empty()) {
        None => (default, None),
        Some(voice) => named(voice, default)?,
    };
    if mode == Mode::Local && !name.is_local() {
        return Err(unsupported(format!("mode is local, and the voice of {} is not in the house", name.as_str())));
    }
    let link = |name: VoiceName, own| Some(Link { name, own, voice: Arc::clone(voices.get(&name)?) });
    let made_of = if wish.format == AudioFormat::Wav { AudioFormat::Pcm } else { wish.format };
    let gives = |link: &Link| link.voice.formats().contains(&made_of);
    let first = link(name, own).ok_or_else(|| unsupported(format!("this hub has no voice of {}", name.as_str())))?;
    if !gives(&first) {
        let formats = "ask for pcm or wav, or for the voice of openai";
        return Err(unsupported(format!("{} gives no {}: {formats}", name.as_str(), wish.format.as_str())));
    }
    let stands_in = link(VoiceName::Espeak, None).filter(|espeak| name != VoiceName::Espeak && gives(espeak));
    Ok([Some(first), stands_in].into_iter().flatten().collect())
}

/// The chain without the voices that cost money, and what the client is told where its first is among them.
pub fn narrow(chain: Vec<Link>, verdict: Verdict) -> Result<(Vec<Link>, Option<String>), ErrorBody> {
    let Verdict::OnlyLocal { why } = verdict else { return Ok((chain, None)) };
    let first = chain.first().map(|link| link.name);
    let local: Vec<Link> = chain.into_iter().filter(|link| link.name.is_local()).collect();
    match local.first() {
        Some(link) if Some(link.name) == first => Ok((local, None)),
        Some(link) => {
            let notice = format!("{} speaks, since {why}", link.name.as_str());
            Ok((local, Some(notice)))
        }
        None => {
            let first = first.map_or("nobody", VoiceName::as_str);
            let help = "ask for pcm or wav, which espeak speaks, or raise the limit";
            Err(ErrorBody::new(ErrorCode::BudgetExhausted, format!("{why}. {first} was not asked to speak; {help}")))
        }
    }
}

/// Who speaks where the client names nobody.
pub fn default_voice(config: &Config, voices: &BTreeMap<VoiceName, Arc<dyn Voice>>, mode: Mode) -> VoiceName {
    let chosen = match config.speech.active {
        SpeechChoice::Openai => VoiceName::Openai,
        SpeechChoice::Gemini => VoiceName::Gemini,
        SpeechChoice::Wyoming => VoiceName::Wyoming,
        SpeechChoice::Espeak | SpeechChoice::Off => VoiceName::Espeak,
        SpeechChoice::Auto => {
            let own = match config.providers.active {
                ProviderName::Openai => Some(VoiceName::Openai),
                ProviderName::Gemini => Some(VoiceName::Gemini),
                _ => None,
            };
            own.filter(|name| voices.get(name).is_some_and(|voice| voice.is_ready())).unwrap_or(VoiceName::Espeak)
        }
    };
    if mode == Mode::Local && !chosen.is_local() { VoiceName::Espeak } else { chosen }
}

/// `openai`, `openai/nova`, `nova`, or a name that only the voice itself knows.
fn named(voice: &str, default: VoiceName) -> Result<(VoiceName, Option<String>), ErrorBody> {
    if voice.len() > VOICE_BYTES_MAX || voice.contains(char::is_control) {
        return Err(ErrorBody::new(ErrorCode::BadRequest, "voice: no voice has such a name"));
    }
    if let Some(name) = VoiceName::parse(voice) {
        return Ok((name, None));
    }
    if let Some((word, own)) = voice.split_once('/')
        && let Some(name) = VoiceName::parse(word)
    {
        return Ok((name, Some(own.trim().to_owned()).filter(|own| !own.is_empty())));
    }
    Ok(match VoiceName::of(voice) {
        Some((name, own)) => (name, Some(own.to_owned())),
        None => (default, Some(voice.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::adapters::speech::Speech;
    use crate::common::error::{Failure, ProviderError};
    use crate::common::speech::SpeechRequest;

    /// Speaks never; has its formats, and a key or not.
    struct Mute(&'static [AudioFormat], bool);

    impl Voice for Mute {
        fn say(&self, _: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
            Box::pin(std::future::ready(Err(ProviderError::new(Failure::Unsupported, "mute"))))
        }

        fn formats(&self) -> &[AudioFormat] {
            self.0
        }

        fn model(&self) -> &str {
            "mute"
        }

        fn is_ready(&self) -> bool {
            self.1
        }
    }

    fn voices(keys: bool) -> BTreeMap<VoiceName, Arc<dyn Voice>> {
        const PCM: &[AudioFormat] = &[AudioFormat::Pcm];
        let all: [(VoiceName, Arc<dyn Voice>); 4] = [
            (VoiceName::Openai, Arc::new(Mute(&[AudioFormat::Pcm, AudioFormat::Opus], keys))),
            (VoiceName::Gemini, Arc::new(Mute(PCM, keys))),
            (VoiceName::Espeak, Arc::new(Mute(PCM, true))),
            (VoiceName::Wyoming, Arc::new(Mute(PCM, true))),
        ];
        all.into_iter().collect()
    }

    fn config(active: SpeechChoice, provider: ProviderName) -> Config {
        let mut config = Config::default();
        (config.speech.active, config.providers.active) = (active, provider);
        config
    }

    /// The chain as words, or the error's code.
    fn who(config: &Config, keys: bool, voice: &str, format: AudioFormat, mode: Mode) -> Result<String, ErrorCode> {
        let wish = VoiceWish { voice: Some(voice.into()), lang: None, format };
        let chain = chain(config, &voices(keys), &wish, mode).map_err(|error| error.code)?;
        let words = chain.iter().map(|link| match &link.own {
            Some(own) => format!("{}/{own}", link.name.as_str()),
            None => link.name.as_str().to_owned(),
        });
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_config_chooses_and_espeak_stands_in() {
        use ProviderName::{Anthropic, Gemini, Openai};
        for (active, provider, keys, want) in [
            (SpeechChoice::Auto, Openai, true, "openai espeak"),
            (SpeechChoice::Auto, Openai, false, "espeak"),
            (SpeechChoice::Auto, Gemini, true, "gemini espeak"),
            (SpeechChoice::Auto, Anthropic, true, "espeak"),
            (SpeechChoice::Openai, Gemini, false, "openai espeak"),
            (SpeechChoice::Wyoming, Openai, true, "wyoming espeak"),
            (SpeechChoice::Espeak, Openai, true, "espeak"),
        ] {
            let got = who(&config(active, provider), keys, "", AudioFormat::Pcm, Mode::Auto);
            assert_eq!(got.as_deref(), Ok(want), "{active:?} {provider:?} {keys}");
        }
        let off = who(&config(SpeechChoice::Off, Openai), true, "espeak", AudioFormat::Pcm, Mode::Auto);
        assert_eq!(off, Err(ErrorCode::Unsupported));
    }

    #[test]
    fn a_wish_names_a_system_a_voice_or_both() {
        let config = config(SpeechChoice::Wyoming, ProviderName::Openai);
        for (wish, want) in [
            ("openai", "openai espeak"),
            ("openai/nova", "openai/nova espeak"),
            ("openai/", "openai espeak"),
            ("nova", "openai/nova espeak"),
            ("Kore", "gemini/Kore espeak"),
            ("espeak/de+f3", "espeak/de+f3"),
            ("de_DE-thorsten-high", "wyoming/de_DE-thorsten-high espeak"),
            ("a/b", "wyoming/a/b espeak"),
        ] {
            assert_eq!(who(&config, true, wish, AudioFormat::Pcm, Mode::Auto).as_deref(), Ok(want), "{wish}");
        }
        let long = "x".repeat(129);
        for odd in [long.as_str(), "a\nb"] {
            assert_eq!(who(&config, true, odd, AudioFormat::Pcm, Mode::Auto), Err(ErrorCode::BadRequest));
        }
    }

    #[test]
    fn past_a_limit_only_the_house_speaks() {
        let config = config(SpeechChoice::Auto, ProviderName::Openai);
        let narrowed = |voice: &str, format, verdict| {
            let wish = VoiceWish { voice: Some(voice.into()), lang: None, format };
            let (chain, notice) = narrow(chain(&config, &voices(true), &wish, Mode::Auto)?, verdict)?;
            Ok::<_, ErrorBody>((chain.iter().map(|link| link.name).collect::<Vec<_>>(), notice))
        };
        let out = || Verdict::OnlyLocal { why: "all is spent".into() };
        let both = vec![VoiceName::Openai, VoiceName::Espeak];
        assert_eq!(narrowed("", AudioFormat::Pcm, Verdict::Free), Ok((both, None)));
        let instead = Some("espeak speaks, since all is spent".into());
        assert_eq!(narrowed("nova", AudioFormat::Wav, out()), Ok((vec![VoiceName::Espeak], instead)));
        let house = vec![VoiceName::Wyoming, VoiceName::Espeak];
        assert_eq!(narrowed("wyoming", AudioFormat::Pcm, out()), Ok((house, None)));
        let refused = narrowed("", AudioFormat::Opus, out()).expect_err("nobody in the house gives it");
        assert_eq!(refused.code, ErrorCode::BudgetExhausted);
        assert!(refused.message.starts_with("all is spent. openai was not asked"), "{}", refused.message);
    }

    #[test]
    fn formats_and_the_mode_narrow_it() {
        let config = config(SpeechChoice::Auto, ProviderName::Openai);
        let who = |voice, format, mode| who(&config, true, voice, format, mode);
        assert_eq!(who("", AudioFormat::Opus, Mode::Auto).as_deref(), Ok("openai"), "nobody can stand in");
        assert_eq!(who("", AudioFormat::Wav, Mode::Auto).as_deref(), Ok("openai espeak"));
        assert_eq!(who("espeak", AudioFormat::Mp3, Mode::Auto), Err(ErrorCode::Unsupported));
        assert_eq!(who("", AudioFormat::Pcm, Mode::Local).as_deref(), Ok("espeak"));
        assert_eq!(who("nova", AudioFormat::Pcm, Mode::Local), Err(ErrorCode::Unsupported));
        assert_eq!(who("wyoming", AudioFormat::Pcm, Mode::Local).as_deref(), Ok("wyoming espeak"));
    }
}
