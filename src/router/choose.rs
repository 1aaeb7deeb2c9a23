//! Whom to ask, in which order: pure policy over the config, the profile and the client's wish. Asks nobody itself.

use std::time::Duration;

use crate::common::config::{ProviderName, Providers};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::router::{Ask, ImageAsk, Mode};
use crate::store::ModelProfile;

/// How long the first content may take where a row does not say.
const FIRST_TOKEN: Duration = Duration::from_secs(60);

/// How long the first picture may take at least, whatever the row says of words: without previews it is the whole picture,
/// for which OpenAI says to allow two minutes.
const FIRST_PICTURE: Duration = Duration::from_secs(180);

/// One provider of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: ProviderName,
    /// The provider's own name of the model.
    pub model: String,
    /// The model is the one of the row that makes pictures.
    pub paints: bool,
    /// From the question to the first content.
    pub first_token: Duration,
}

/// The chain for one question, never empty. `on_roster` says whether a row can be asked at all.
///
/// - A client that names a provider gets that one or an error: another one's answer would be a lie.
/// - Else the profile's provider, then `active`, then the profile's `fallback` or else the config's, each once, as far as the
///   mode allows.
/// - The client's model, or the profile's, is meant for the first link; the others take their row's.
pub fn chain(
    config: &Providers,
    profile: &ModelProfile,
    ask: &Ask,
    on_roster: impl Fn(ProviderName) -> bool,
) -> Result<Vec<Link>, ErrorBody> {
    let names = match &ask.provider {
        Some(word) => vec![named(word, &on_roster)?],
        None => in_order(config, profile, ask.mode, &on_roster)?,
    };
    let mut links: Vec<Link> = names.into_iter().map(|name| link(config, name)).collect();
    let for_first = &mut links[0];
    if let Some(model) = &ask.model {
        for_first.model.clone_from(model);
    } else if let Some(model) = &profile.model
        && profile.provider.as_deref().is_none_or(|provider| provider == for_first.name.as_str())
    {
        for_first.model.clone_from(model);
    }
    for link in &mut links {
        let painter = config.row(link.name).and_then(|row| row.image_model.as_ref());
        link.paints = painter == Some(&link.model);
    }
    Ok(links)
}

/// The chain for pictures, never empty: the named one, or `active` and then `fallback`, those that have a model for it.
pub fn image_chain(
    config: &Providers,
    ask: &ImageAsk,
    on_roster: impl Fn(ProviderName) -> bool,
) -> Result<Vec<Link>, ErrorBody> {
    let painter = |name| config.row(name).and_then(|row| row.image_model.clone());
    let mut names = Vec::new();
    match &ask.provider {
        Some(word) => {
            let name = named(word, &on_roster)?;
            if painter(name).or(ask.model.clone()).is_none() {
                let why = format!("provider {word} makes no pictures: name a model in providers.{word}.image_model");
                return Err(ErrorBody::new(ErrorCode::Unsupported, why));
            }
            names.push(name);
        }
        None => {
            for name in [config.active].into_iter().chain(config.fallback.iter().copied()) {
                if on_roster(name) && painter(name).is_some() && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    if names.is_empty() {
        let why = "nobody here makes pictures: give providers.active, or one of providers.fallback, an image_model";
        return Err(ErrorBody::new(ErrorCode::Unsupported, why));
    }
    let links = names.into_iter().enumerate().map(|(at, name)| {
        let wish = ask.model.clone().filter(|_| at == 0);
        let (model, link) = (wish.or_else(|| painter(name)).unwrap_or_default(), link(config, name));
        Link { model, paints: true, first_token: link.first_token.max(FIRST_PICTURE), ..link }
    });
    Ok(links.collect())
}

fn named(word: &str, on_roster: &impl Fn(ProviderName) -> bool) -> Result<ProviderName, ErrorBody> {
    let known = || ProviderName::ALL.map(ProviderName::as_str).join(", ");
    match ProviderName::parse(word) {
        Some(name) if on_roster(name) => Ok(name),
        Some(name) => Err(ErrorBody::new(
            ErrorCode::Unsupported,
            format!("provider {}: this hub has no adapter for it yet", name.as_str()),
        )),
        None => Err(ErrorBody::new(
            ErrorCode::BadRequest,
            format!("payload.provider: no provider is called {word:?}; one of {} is meant", known()),
        )),
    }
}

fn in_order(
    config: &Providers,
    profile: &ModelProfile,
    mode: Mode,
    on_roster: &impl Fn(ProviderName) -> bool,
) -> Result<Vec<ProviderName>, ErrorBody> {
    let first = profile.provider.as_deref().and_then(ProviderName::parse);
    let of_profile = |words: &Vec<String>| words.iter().filter_map(|word| ProviderName::parse(word)).collect();
    let fallback: Vec<ProviderName> = profile.fallback.as_ref().map_or_else(|| config.fallback.clone(), of_profile);
    let mut names = Vec::new();
    for name in first.into_iter().chain([config.active]).chain(fallback) {
        let allowed = match mode {
            Mode::Auto => true,
            Mode::Local => name.is_local(),
            Mode::Llm => name != ProviderName::Assistant,
        };
        if allowed && on_roster(name) && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(ErrorBody::new(
            ErrorCode::Unsupported,
            "nobody can answer in this mode: name a provider of that kind in config.yaml, providers.active or providers.fallback",
        ));
    }
    Ok(names)
}

fn link(config: &Providers, name: ProviderName) -> Link {
    let row = config.row(name);
    Link {
        name,
        model: row.map_or_else(|| name.as_str().to_owned(), |row| row.model.clone()),
        paints: false,
        first_token: row.and_then(|row| row.first_token_s).map_or(FIRST_TOKEN, Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Input;

    fn ask() -> Ask {
        Ask {
            input: Input::Said { text: "hello".into(), attachments: Vec::new(), conversation_id: "c".into() },
            speak: None,
            confirms: false,
            profile: None,
            provider: None,
            model: None,
            mode: Mode::Auto,
        }
    }

    fn names(chain: &[Link]) -> Vec<&str> {
        chain.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn the_active_one_comes_first_and_nobody_twice() {
        let config = Providers {
            fallback: vec![ProviderName::Local, ProviderName::Openai, ProviderName::Assistant],
            ..Providers::default()
        };
        let chain = chain(&config, &ModelProfile::new("default"), &ask(), |_| true).expect("a chain");
        assert_eq!(names(&chain), ["openai", "local", "assistant"]);
        assert_eq!(chain[0].model, "gpt-4o-mini");
    }

    #[test]
    fn a_mode_narrows_the_chain() {
        let config = Providers::default();
        let of =
            |mode| chain(&config, &ModelProfile::new("default"), &Ask { mode, ..ask() }, |_| true).expect("a chain");
        assert_eq!(names(&of(Mode::Local)), ["local", "assistant"]);
        assert_eq!(names(&of(Mode::Llm)), ["openai", "anthropic", "local"]);
    }

    #[test]
    fn a_row_without_an_adapter_is_passed_over_unless_it_was_named() {
        let config = Providers::default();
        let built = |name| name != ProviderName::Anthropic;
        let passed = chain(&config, &ModelProfile::new("default"), &ask(), built).expect("a chain");
        assert_eq!(names(&passed), ["openai", "local", "assistant"]);
        let named = Ask { provider: Some("anthropic".into()), ..ask() };
        let refused = chain(&config, &ModelProfile::new("default"), &named, built).expect_err("no adapter");
        assert_eq!(refused.code, ErrorCode::Unsupported);
    }

    #[test]
    fn a_named_provider_is_asked_alone_and_an_unknown_one_is_refused() {
        let config = Providers::default();
        let one = Ask { provider: Some("local".into()), model: Some("tiny".into()), ..ask() };
        let chain_of_one = chain(&config, &ModelProfile::new("default"), &one, |_| true).expect("a chain");
        assert_eq!(names(&chain_of_one), ["local"]);
        assert_eq!(chain_of_one[0].model, "tiny");
        let odd = Ask { provider: Some("skynet".into()), ..ask() };
        let refused = chain(&config, &ModelProfile::new("default"), &odd, |_| true).expect_err("unknown");
        assert_eq!(refused.code, ErrorCode::BadRequest);
    }

    #[test]
    fn a_profile_puts_its_provider_first_and_its_model_there_alone() {
        let config = Providers::default();
        let profile =
            ModelProfile { provider: Some("local".into()), model: Some("m".into()), ..ModelProfile::new("default") };
        let chain = chain(&config, &profile, &ask(), |_| true).expect("a chain");
        assert_eq!(names(&chain), ["local", "openai", "anthropic", "assistant"]);
        assert_eq!((chain[0].model.as_str(), chain[1].model.as_str()), ("m", "gpt-4o-mini"));
    }
    #[test]
    fn a_profiles_own_fallback_stands_in_place_of_the_configs() {
        let config = Providers::default();
        let of = |fallback: Option<&[&str]>| {
            let fallback = fallback.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            let profile = ModelProfile { fallback, ..ModelProfile::new("default") };
            chain(&config, &profile, &ask(), |_| true).expect("a chain")
        };
        assert_eq!(names(&of(Some(&["gemini", "local", "openai"]))), ["openai", "gemini", "local"]);
        assert_eq!(names(&of(Some(&[]))), ["openai"], "nobody else is wanted");
        assert_eq!(names(&of(None)), ["openai", "anthropic", "local", "assistant"]);
    }

    #[test]
    fn pictures_are_made_by_those_who_have_a_model_for_it() {
        let config = Providers {
            fallback: vec![ProviderName::Local, ProviderName::Gemini, ProviderName::Assistant],
            ..Providers::default()
        };
        let ask = ImageAsk { prompt: "a cat".into(), n: 1, ..ImageAsk::default() };
        let of = |ask: &ImageAsk| image_chain(&config, ask, |_| true);
        let both = of(&ask).expect("a chain");
        assert_eq!(names(&both), ["openai", "gemini"]);
        assert_eq!((both[0].model.as_str(), both[1].model.as_str()), ("gpt-image-2.5-flare", "gemini-2.5-flash-image"));
        assert!(both.iter().all(|link| link.first_token == FIRST_PICTURE));
        let wish = of(&ImageAsk { model: Some("dall-e-3".into()), ..ask.clone() }).expect("a chain");
        assert_eq!((wish[0].model.as_str(), wish[1].model.as_str()), ("dall-e-3", "gemini-2.5-flash-image"));
        let named = |provider: &str, model: Option<&str>| {
            of(&ImageAsk { provider: Some(provider.into()), model: model.map(Into::into), ..ask.clone() })
        };
        assert_eq!(names(&named("openrouter", None).expect("a chain")), ["openrouter"]);
        assert_eq!(named("local", None).expect_err("no model").code, ErrorCode::Unsupported);
        assert_eq!(named("local", Some("sd")).expect("a chain")[0].model, "sd");
        let none = Providers { active: ProviderName::Local, fallback: Vec::new(), ..config.clone() };
        assert_eq!(image_chain(&none, &ask, |_| true).expect_err("nobody").code, ErrorCode::Unsupported);
    }
}
