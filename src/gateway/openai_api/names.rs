//! What a client may write as `model`. Pure.
//!
//! - `hearth`: the profile `default` and the chain of the config; `hearth/<profile>`: another profile.
//! - `<provider>`: that provider with its configured model; `<provider>/<model>`: with this one.
//! - The name of a configured model alone: its provider.

use crate::common::config::ProviderName;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::store::DEFAULT_PROFILE;

/// The hub itself, as a model.
const HUB: &str = "hearth";

/// Everything that has a name now.
pub struct Names {
    profiles: Vec<String>,
    /// Providers that can be asked, with their configured models.
    rows: Vec<(ProviderName, String)>,
}

/// What a name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub profile: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
}

impl Names {
    pub fn new(profiles: impl Iterator<Item = String>, rows: Vec<(ProviderName, String)>) -> Names {
        Names { profiles: profiles.collect(), rows }
    }

    pub fn find(&self, name: &str) -> Option<Choice> {
        let asks = |provider: ProviderName, model: Option<&str>| Choice {
            provider: Some(provider.as_str().into()),
            model: model.map(Into::into),
            ..Choice::default()
        };
        let row_of = |word: &str| self.rows.iter().map(|(row, _)| *row).find(|row| row.as_str() == word);
        if name == HUB {
            return Some(Choice::default());
        }
        let (first, rest) = name.split_once('/').map_or((name, None), |(first, rest)| (first, Some(rest)));
        if first == HUB {
            let profile = self.profiles.iter().find(|profile| Some(profile.as_str()) == rest)?;
            return Some(Choice { profile: Some(profile.clone()), ..Choice::default() });
        }
        // OpenRouter's own names have a slash: `openai/gpt-4o-mini` is the row's model, if it is set so.
        let configured = self.rows.iter().find(|(_, model)| model == name).map(|(row, _)| asks(*row, None));
        match (row_of(first), rest) {
            (Some(row), None) => Some(asks(row, None)),
            (Some(row), Some(model)) if !model.is_empty() => Some(asks(row, Some(model))),
            _ => configured,
        }
    }

    /// As a list shows them.
    pub fn all(&self) -> impl Iterator<Item = String> {
        let profiles = self.profiles.iter().filter(|name| *name != DEFAULT_PROFILE);
        let profiles = profiles.map(|name| format!("{HUB}/{name}"));
        let rows = self.rows.iter().map(|(row, model)| match row {
            ProviderName::Assistant => row.as_str().to_owned(),
            row => format!("{}/{model}", row.as_str()),
        });
        [HUB.to_owned()].into_iter().chain(profiles).chain(rows)
    }

    /// The error for a name that nobody has.
    pub fn missing(&self, name: &str) -> ErrorBody {
        let some: Vec<_> = self.all().take(12).collect();
        let shown: String = name.chars().take(80).collect();
        ErrorBody::new(ErrorCode::NotFound, format!("there is no model {shown:?} here; there are {}", some.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let rows = vec![
            (ProviderName::Openai, "gpt-4o-mini".into()),
            (ProviderName::Openrouter, "meta/llama-4".into()),
            (ProviderName::Assistant, "assistant".into()),
        ];
        Names::new(["default".to_owned(), "brief".to_owned()].into_iter(), rows)
    }

    fn found(name: &str) -> Option<(Option<String>, Option<String>, Option<String>)> {
        names().find(name).map(|choice| (choice.profile, choice.provider, choice.model))
    }

    #[test]
    fn every_form_of_name_is_found() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found("hearth"), Some((None, None, None)));
        assert_eq!(found("hearth/brief"), Some((some("brief"), None, None)));
        assert_eq!(found("openai"), Some((None, some("openai"), None)));
        assert_eq!(found("openai/o3"), Some((None, some("openai"), some("o3"))));
        assert_eq!(found("openrouter/meta/llama-4"), Some((None, some("openrouter"), some("meta/llama-4"))));
        assert_eq!(found("gpt-4o-mini"), Some((None, some("openai"), None)));
        assert_eq!(found("meta/llama-4"), Some((None, some("openrouter"), None)));
        for nobody in ["", "gpt-9", "hearth/nobody", "hearth/", "openai/", "gemini", "gemini/x", "/"] {
            assert_eq!(found(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn every_name_of_the_list_can_be_asked_for() {
        let names = names();
        let all: Vec<_> = names.all().collect();
        assert_eq!(all, ["hearth", "hearth/brief", "openai/gpt-4o-mini", "openrouter/meta/llama-4", "assistant"]);
        assert!(all.iter().all(|name| names.find(name).is_some()));
        assert!(names.missing("gpt-9").message.contains("openai/gpt-4o-mini"));
    }
}
