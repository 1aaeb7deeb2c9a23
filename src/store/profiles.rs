//! Model profiles: how a model is spoken to, under a name. Changed while the hub runs, by compare-and-set on a revision, and
//! read anew for every request. Knows no provider's own limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed::Kind;
use super::records::{Record, Table, keyed_by};
use super::tables::PROFILES;
use super::{Store, WriteError};
use crate::common::chat::Effort;
use crate::common::config::{ModelProfileSeed, ProviderName};

/// The profile of a request that names none. It cannot be deleted.
pub const DEFAULT_PROFILE: &str = "default";

/// Profiles kept: some for each member of a house and each task, not one for each request.
pub const PROFILES_MAX: u64 = 256;

/// The longest name, bytes.
pub const PROFILE_NAME_BYTES_MAX: usize = 64;

/// The longest system prompt, bytes. It is sent with every request.
pub const SYSTEM_PROMPT_BYTES_MAX: usize = 64 * 1024;

/// The longest name of a model, bytes.
pub const MODEL_BYTES_MAX: usize = 256;

/// The longest name of a voice, bytes.
pub const VOICE_BYTES_MAX: usize = 256;

/// Tokens of history, question and answer together, where a profile says nothing: what small local models are loaded with.
pub const CONTEXT_TOKENS_DEFAULT: u32 = 4096;

/// The shortest and the longest context, tokens.
pub const CONTEXT_TOKENS: std::ops::RangeInclusive<u32> = 256..=10_000_000;

/// How a model is spoken to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelProfile {
    /// 1 to 64 of `[a-z0-9_-]`.
    pub name: String,
    /// The provider's word in the config; absent: the configured order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The provider's own name of the model; absent: the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told before the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// 0.0 (the likeliest word each time) to 2.0; absent: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The longest answer, tokens, from 1 on; absent: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Whom to ask next, in this order, where the provider fails; absent: `providers.fallback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<String>>,
    /// When a provider breaks off in the midst of its answer, the next one goes on in a new message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_elsewhere: bool,
    /// How hard the model is to think; absent: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<Effort>,
    /// 0.0 to 1.0: only the likeliest words that make up this much together; absent: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// How answers are spoken: a voice's own name, or `espeak`, `openai`, …, alone or with a slash and a name; absent: the
    /// configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// US dollars that questions of this profile may cost from midnight to midnight; absent: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_day_usd: Option<f64>,
    /// Likewise in a calendar month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_month_usd: Option<f64>,
    /// Whether the model may call the hub's tools; absent: where it can, but not for programs that come through `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// What history, question and answer may take together, tokens.
    #[serde(default = "context_tokens_default")]
    pub context_tokens: u32,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

impl ModelProfile {
    /// A profile that leaves everything to the config and the provider.
    pub fn new(name: impl Into<String>) -> ModelProfile {
        ModelProfile {
            name: name.into(),
            provider: None,
            model: None,
            system_prompt: None,
            temperature: None,
            max_tokens: None,
            fallback: None,
            continue_elsewhere: false,
            reasoning_effort: None,
            top_p: None,
            voice: None,
            budget_day_usd: None,
            budget_month_usd: None,
            tools: None,
            context_tokens: CONTEXT_TOKENS_DEFAULT,
            revision: 0,
        }
    }

    /// [`Record::check`].
    fn is_sound(&self) -> Result<(), WriteError> {
        let invalid = |text: String| Err(WriteError::Invalid(text));
        let name_is_good = (1..=PROFILE_NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !name_is_good {
            return invalid(format!("name: 1 to {PROFILE_NAME_BYTES_MAX} of a-z, 0-9, _ and -"));
        }
        let fallback = self.fallback.as_deref().unwrap_or_default();
        let words = self.provider.iter().map(|word| ("provider", word));
        for (field, word) in words.chain(fallback.iter().map(|word| ("fallback", word))) {
            if ProviderName::parse(word).is_none() {
                let known = ProviderName::ALL.map(ProviderName::as_str).join(", ");
                return invalid(format!("{field}: \"{}\" is none of {known}", word.escape_debug()));
            }
        }
        if let Some(twice) = fallback.iter().enumerate().find(|(at, word)| fallback[..*at].contains(word)) {
            return invalid(format!("fallback: {} stands in it twice", twice.1));
        }
        if self.model.as_ref().is_some_and(|model| !(1..=MODEL_BYTES_MAX).contains(&model.len())) {
            return invalid(format!("model: 1 to {MODEL_BYTES_MAX} bytes; leave it out for the configured one"));
        }
        let prompt_bytes = self.system_prompt.as_ref().map_or(0, String::len);
        if prompt_bytes > SYSTEM_PROMPT_BYTES_MAX {
            return Err(WriteError::TooLarge {
                what: "system_prompt",
                size: prompt_bytes,
                max: SYSTEM_PROMPT_BYTES_MAX,
            });
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return invalid("temperature: 0.0 to 2.0".into());
        }
        if self.max_tokens == Some(0) {
            return invalid("max_tokens: 1 or more; leave it out for the provider's default".into());
        }
        if self.top_p.is_some_and(|top_p| !(0.0..=1.0).contains(&top_p)) {
            return invalid("top_p: 0.0 to 1.0".into());
        }
        if self.voice.as_ref().is_some_and(|voice| !(1..=VOICE_BYTES_MAX).contains(&voice.len())) {
            return invalid(format!("voice: 1 to {VOICE_BYTES_MAX} bytes; leave it out for the configured one"));
        }
        for (field, usd) in [("budget_day_usd", self.budget_day_usd), ("budget_month_usd", self.budget_month_usd)] {
            if usd.is_some_and(|usd| !(usd.is_finite() && usd >= 0.0)) {
                return invalid(format!("{field}: 0 or more dollars; leave it out for no limit"));
            }
        }
        if !CONTEXT_TOKENS.contains(&self.context_tokens) {
            return invalid(format!("context_tokens: {} to {}", CONTEXT_TOKENS.start(), CONTEXT_TOKENS.end()));
        }
        Ok(())
    }
}

impl Store {
    /// Writes the profile [`DEFAULT_PROFILE`] from the config, unless there is one; true when it was written.
    pub async fn seed_profile(&self, seed: &ModelProfileSeed) -> Result<bool, WriteError> {
        let profile = ModelProfile {
            system_prompt: seed.system_prompt.clone(),
            temperature: seed.temperature,
            max_tokens: seed.max_tokens,
            tools: seed.tools,
            ..ModelProfile::new(DEFAULT_PROFILE)
        };
        match self.put(profile, Some(0)).await {
            Ok(_) => Ok(true),
            Err(WriteError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Record for ModelProfile {
    const KIND: Kind = Kind::Profile;
    const TABLE: Table = PROFILES;
    const WHAT: &'static str = "model profile";
    const MAX: u64 = PROFILES_MAX;

    keyed_by!(name);

    fn check(&self) -> Result<(), WriteError> {
        self.is_sound()
    }

    fn may_go(key: &str) -> Result<(), WriteError> {
        match key {
            DEFAULT_PROFILE => {
                Err(WriteError::Invalid("the profile \"default\" can be changed and not deleted".into()))
            }
            _ => Ok(()),
        }
    }
}

fn context_tokens_default() -> u32 {
    CONTEXT_TOKENS_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::super::tables::decode;
    use super::super::{Change, Seen};
    use super::*;

    #[tokio::test]
    async fn the_config_seeds_once_and_the_store_holds_from_then_on() {
        let (_home, store) = new_store();
        let seed = ModelProfileSeed {
            system_prompt: Some("Be brief.".into()),
            temperature: Some(0.7),
            max_tokens: Some(300),
            tools: None,
        };
        assert_eq!(store.seed_profile(&seed).await, Ok(true));
        let seeded = store.get::<ModelProfile>(DEFAULT_PROFILE).await.expect("readable").expect("seeded");
        assert_eq!((seeded.temperature, seeded.max_tokens, seeded.context_tokens), (Some(0.7), Some(300), 4096));
        let changed = ModelProfile { temperature: Some(1.5), ..seeded.clone() };
        let changed = store.put(changed, Some(seeded.revision)).await.expect("nobody was faster");
        assert_eq!(store.seed_profile(&seed).await, Ok(false));
        assert_eq!(store.get::<ModelProfile>(DEFAULT_PROFILE).await, Ok(Some(changed)));
        assert!(matches!(store.delete::<ModelProfile>(DEFAULT_PROFILE, None).await, Err(WriteError::Invalid(_))));
        let bad = ModelProfileSeed { temperature: Some(9.0), ..seed };
        assert!(matches!(store.seed_profile(&bad).await, Err(WriteError::Invalid(_))));
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn of_two_that_change_the_same_profile_one_is_told() {
        let (_home, store) = new_store();
        let first = store.put(ModelProfile::new("evening"), Some(0)).await.expect("new");
        let current = first.revision;
        let (one, other) = tokio::join!(
            store.put(ModelProfile { max_tokens: Some(1), ..first.clone() }, Some(current)),
            store.put(ModelProfile { max_tokens: Some(2), ..first.clone() }, Some(current)),
        );
        let (won, told) = if one.is_ok() { (one, other) } else { (other, one) };
        let won = won.expect("one was first");
        assert_eq!(told, Err(WriteError::Conflict { current: won.revision }));
        let again = store.put(first.clone(), Some(current)).await;
        assert_eq!(again, Err(WriteError::Conflict { current: won.revision }));
        assert_eq!(store.get::<ModelProfile>("evening").await, Ok(Some(won.clone())));
        assert_eq!(store.put(first.clone(), Some(0)).await, Err(WriteError::Conflict { current: won.revision }));
        assert_eq!(
            store.delete::<ModelProfile>("evening", Some(current)).await,
            Err(WriteError::Conflict { current: won.revision })
        );
        assert_eq!(store.delete::<ModelProfile>("evening", Some(won.revision)).await, Ok(true));
        assert_eq!(store.delete::<ModelProfile>("evening", None).await, Ok(false));
        // Made again it is another one, which an old revision must not overwrite.
        let anew = store.put(first.clone(), Some(0)).await.expect("gone before");
        assert!(anew.revision > won.revision);
        let stale = store.put(first, Some(current)).await;
        assert_eq!(stale, Err(WriteError::Conflict { current: anew.revision }));
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn counting_by_compare_and_set_loses_no_count() {
        const WRITERS: u32 = 20;
        let (_home, store) = new_store();
        store.put(ModelProfile { max_tokens: Some(1), ..ModelProfile::new("count") }, None).await.expect("room");
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let store = store.clone();
            writers.spawn(async move {
                loop {
                    let read = store.get::<ModelProfile>("count").await.expect("readable").expect("there");
                    let counted = ModelProfile { max_tokens: read.max_tokens.map(|count| count + 1), ..read.clone() };
                    match store.put(counted, Some(read.revision)).await {
                        Err(WriteError::Conflict { .. }) => {}
                        other => return other.map(|_| ()),
                    }
                }
            });
        }
        for done in writers.join_all().await {
            done.expect("room");
        }
        let counted = store.get::<ModelProfile>("count").await.expect("readable").expect("there");
        assert_eq!(counted.max_tokens, Some(1 + WRITERS));
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn a_change_is_told_when_it_can_be_read() {
        let (_home, store) = new_store();
        let mut feed = store.subscribe();
        for temperature in [0.0, 0.5, 2.0] {
            let profile = ModelProfile { temperature: Some(temperature), ..ModelProfile::new("evening") };
            let writing = tokio::spawn({
                let store = store.clone();
                async move { store.put(profile, None).await }
            });
            let Seen::Change(Change { kind, key, revision, deleted }) = feed.recv().await else { panic!("no news") };
            let read = store.get::<ModelProfile>("evening").await.expect("readable").expect("there");
            assert_eq!((kind, &*key, revision, deleted), (Kind::Profile, "evening", read.revision, false));
            assert_eq!(read.temperature, Some(temperature));
            writing.await.expect("no panic").expect("room");
        }
        store.delete::<ModelProfile>("evening", None).await.expect("room");
        assert!(matches!(feed.recv().await, Seen::Change(Change { revision: 4, deleted: true, .. })));
        assert!(store.close().await);
        assert_eq!(feed.recv().await, Seen::Closed);
    }

    #[tokio::test]
    async fn profiles_are_listed_by_name_and_not_without_end() {
        let (_home, store) = new_store();
        for number in (0..PROFILES_MAX).rev() {
            store.put(ModelProfile::new(format!("p{number:03}")), None).await.expect("room");
        }
        let one_more = store.put(ModelProfile::new("p999"), None).await;
        assert!(matches!(one_more, Err(WriteError::Invalid(_))), "{one_more:?}");
        store.put(ModelProfile::new("p000"), None).await.expect("an old one may change");
        let names: Vec<_> =
            store.list::<ModelProfile>().await.expect("readable").into_iter().map(|profile| profile.name).collect();
        assert_eq!(names.len() as u64, PROFILES_MAX);
        assert!(names.is_sorted());
        assert!(store.close().await);
    }

    #[test]
    fn a_profile_says_what_is_wrong_with_it() {
        let good = || ModelProfile::new("evening-2_x");
        let text = |bytes| Some("x".repeat(bytes));
        let whole = ModelProfile {
            provider: Some("local".into()),
            model: text(MODEL_BYTES_MAX),
            system_prompt: text(SYSTEM_PROMPT_BYTES_MAX),
            temperature: Some(2.0),
            max_tokens: Some(1),
            fallback: Some(vec!["assistant".into(), "openai".into()]),
            continue_elsewhere: true,
            reasoning_effort: Some(Effort::Low),
            top_p: Some(1.0),
            voice: text(VOICE_BYTES_MAX),
            budget_day_usd: Some(0.0),
            budget_month_usd: Some(12.5),
            ..good()
        };
        assert_eq!(whole.check(), Ok(()));
        let bad = [
            ("name", ModelProfile::new("")),
            ("name", ModelProfile::new("Evening")),
            ("name", ModelProfile::new("a".repeat(PROFILE_NAME_BYTES_MAX + 1))),
            ("provider", ModelProfile { provider: Some("opnai".into()), ..good() }),
            ("model", ModelProfile { model: text(MODEL_BYTES_MAX + 1), ..good() }),
            ("model", ModelProfile { model: text(0), ..good() }),
            ("system_prompt", ModelProfile { system_prompt: text(SYSTEM_PROMPT_BYTES_MAX + 1), ..good() }),
            ("temperature", ModelProfile { temperature: Some(2.1), ..good() }),
            ("temperature", ModelProfile { temperature: Some(-0.1), ..good() }),
            ("temperature", ModelProfile { temperature: Some(f32::NAN), ..good() }),
            ("max_tokens", ModelProfile { max_tokens: Some(0), ..good() }),
            ("fallback", ModelProfile { fallback: Some(vec!["opnai".into()]), ..good() }),
            ("fallback", ModelProfile { fallback: Some(vec!["local".into(), "local".into()]), ..good() }),
            ("top_p", ModelProfile { top_p: Some(1.1), ..good() }),
            ("top_p", ModelProfile { top_p: Some(f32::NAN), ..good() }),
            ("voice", ModelProfile { voice: text(0), ..good() }),
            ("voice", ModelProfile { voice: text(VOICE_BYTES_MAX + 1), ..good() }),
            ("budget_day_usd", ModelProfile { budget_day_usd: Some(-0.01), ..good() }),
            ("budget_month_usd", ModelProfile { budget_month_usd: Some(f64::INFINITY), ..good() }),
            ("context_tokens", ModelProfile { context_tokens: 10, ..good() }),
        ];
        for (field, profile) in bad {
            let told = profile.check().expect_err(field).to_string();
            assert!(told.starts_with(field), "{told}");
        }
    }

    #[test]
    fn fields_may_be_missing_and_unknown() {
        let profile: ModelProfile = decode(br#"{"name":"x","later":1}"#, "a profile").expect("additive");
        assert_eq!(profile, ModelProfile::new("x"));
    }

    fn new_store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        (home, store)
    }
}
