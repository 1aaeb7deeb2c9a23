//! What is learned from a provider that refuses a question for the tools that came with it, and for how long. Pure, but for
//! the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::common::chat;
use crate::common::config::ProviderName;
use crate::common::error::{Failure, ProviderError};

/// A model is asked again with its tools after so long: a server may have been set up better meanwhile.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Models of which something is remembered.
const KEPT_MAX: usize = 64;

/// Tools that one model refuses by name; past it, it gets none.
const EXCEPT_MAX: usize = 32;

/// How many of the tools a model is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    None,
    /// What a small context has room for.
    Few,
    #[default]
    All,
}

/// What a refusal teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lesson {
    /// Not this one, by its name on the wire.
    Except(Box<str>),
    Only(Amount),
}

/// What is known of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    pub amount: Amount,
    /// Names on the wire.
    pub except: BTreeSet<Box<str>>,
}

/// What is known of all.
#[derive(Default)]
pub struct Refusals(Mutex<BTreeMap<(ProviderName, String), (Standing, Instant)>>);

impl Refusals {
    pub fn standing(&self, provider: ProviderName, model: &str, now: Instant) -> Standing {
        let known = self.lock();
        let known = known.get(&(provider, model.to_owned())).filter(|(_, until)| *until > now);
        known.map(|(standing, _)| standing.clone()).unwrap_or_default()
    }

    pub fn learn(&self, provider: ProviderName, model: &str, lesson: Lesson, now: Instant) {
        let mut standing = self.standing(provider, model, now);
        match lesson {
            Lesson::Only(amount) => standing.amount = standing.amount.min(amount),
            Lesson::Except(_) if standing.except.len() >= EXCEPT_MAX => standing.amount = Amount::None,
            Lesson::Except(name) => drop(standing.except.insert(name)),
        }
        let mut known = self.lock();
        if known.len() >= KEPT_MAX {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert((provider, model.to_owned()), (standing, now + REMEMBERED));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ProviderName, String), (Standing, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Words by which a refusal shows that it minds what it names.
const MINDS: [&str; 16] = [
    "not support",
    "unsupported",
    "not enabled",
    "--jinja",
    "no endpoints found",
    "unknown",
    "unrecognized",
    "unexpected",
    "extra inputs",
    "not permitted",
    "not allowed",
    "invalid",
    "must be",
    "should be",
    "too many",
    "cannot",
];

/// What an error says about the tools that were sent; `None`: something else is wrong. `shown` are they, in the order
/// sent.
pub fn lesson(error: &ProviderError, shown: &[Arc<chat::Tool>], amount: Amount) -> Option<Lesson> {
    if shown.is_empty() {
        return None;
    }
    let said = error.message.to_lowercase();
    match error.failure {
        // The conversation alone may be too long as well; then it fails once more.
        Failure::TooLarge if amount == Amount::All => return Some(Lesson::Only(Amount::Few)),
        Failure::TooLarge => return Some(Lesson::Only(Amount::None)),
        Failure::Rejected | Failure::Unsupported => {}
        // llama.cpp: "tools param requires --jinja flag", with 500.
        Failure::Failed if said.contains("--jinja") => {}
        _ => return None,
    }
    let is_about = ["tool", "function", "input_schema"].iter().any(|word| said.contains(word));
    if !is_about || !MINDS.iter().any(|word| said.contains(word)) {
        return None;
    }
    if let Some(name) = shown.iter().map(|tool| &*tool.name).find(|name| is_named(&error.message, name)) {
        return Some(Lesson::Except(name.into()));
    }
    if let Some(tool) = numbered(&said).and_then(|number| shown.get(number)) {
        return Some(Lesson::Except(tool.name.as_str().into()));
    }
    Some(Lesson::Only(Amount::None))
}

/// "Invalid schema for function 'lamp'": a name in quotes.
fn is_named(message: &str, name: &str) -> bool {
    ["'", "\"", "`"].iter().any(|quote| message.contains(&format!("{quote}{name}{quote}")))
}

/// `tools.3.custom.input_schema`, `tools[3].function`, `function_declarations[3].parameters`.
fn numbered(said: &str) -> Option<usize> {
    ["tools.", "tools[", "function_declarations["].iter().find_map(|word| {
        let (_, rest) = said.split_once(word)?;
        let figures: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // Gemini: `tools[0].function_declarations[3]`; there the second one counts.
        if word.starts_with("tools") && said.contains("function_declarations[") {
            return None;
        }
        figures.parse().ok()
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;
    use crate::router::tools::testing::shown;

    fn of(failure: Failure, message: &str) -> Option<Lesson> {
        let shown = ["lamp", "door", "users_list"].map(shown);
        lesson(&ProviderError::new(failure, message), &shown, Amount::All)
    }

    #[test]
    fn a_refusal_says_whether_it_minds_one_tool_or_all() {
        let none = Some(Lesson::Only(Amount::None));
        let except = |name: &str| Some(Lesson::Except(name.into()));
        for (message, lesson) in [
            ("registry.ollama.ai/library/gemma3:1b does not support tools", none.clone()),
            ("No endpoints found that support tool use. Try disabling \"lamp_x\".", none.clone()),
            ("Function calling is not enabled for models/gemma-3-27b-it", none.clone()),
            ("`tools` is not supported with this model", none),
            ("Invalid schema for function 'door': In context=(), array schema missing items", except("door")),
            ("tools.2.custom.input_schema: JSON schema is invalid", except("users_list")),
            ("Invalid 'tools[0].function.parameters'", except("lamp")),
            (
                "GenerateContentRequest.tools[0].function_declarations[1].parameters.required[0]: should be defined",
                except("door"),
            ),
            ("The model `x` does not exist", None),
            ("messages with role 'tool' are fine", None),
        ] {
            assert_eq!(of(Failure::Rejected, message), lesson, "{message}");
        }
        assert_eq!(of(Failure::Failed, "tools param requires --jinja flag"), Some(Lesson::Only(Amount::None)));
        assert_eq!(of(Failure::Failed, "the tool server is unknown"), None);
        assert_eq!(of(Failure::TooLarge, "the context is too long"), Some(Lesson::Only(Amount::Few)));
        assert_eq!(lesson(&ProviderError::new(Failure::TooLarge, "x"), &[], Amount::All), None);
    }

    #[test]
    fn what_was_learned_holds_for_a_while_and_grows() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let of = |at| refusals.standing(ProviderName::Local, "m", at);
        refusals.learn(ProviderName::Local, "m", Lesson::Except("lamp".into()), now);
        refusals.learn(ProviderName::Local, "m", Lesson::Only(Amount::Few), now);
        assert_eq!(of(now), Standing { amount: Amount::Few, except: [Box::from("lamp")].into() });
        assert_eq!(refusals.standing(ProviderName::Local, "n", now), Standing::default());
        assert_eq!(of(now + REMEMBERED), Standing::default());
    }
}
