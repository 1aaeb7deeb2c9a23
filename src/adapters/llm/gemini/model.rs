//! What the name of a Gemini model tells: where it is asked, how old it is, whether it thinks and whether it paints. Pure.
//! Source: Gemini API, "Gemini models", "Thinking", "Image generation".

use crate::common::chat::Effort;
use crate::common::error::{Failure, ProviderError};

/// The longest name asked for, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Models of this generation and later are told how hard to think by a word and no longer by a budget of tokens, and insist
/// on having the signatures of their calls back.
pub const GENERATION_OF_LEVELS: (u32, u32) = (3, 0);

/// The first generation that thinks.
const GENERATION_OF_THOUGHT: (u32, u32) = (2, 5);

/// From here on a Flash model knows no level below `LOW`.
const GENERATION_WITHOUT_MINIMAL: (u32, u32) = (3, 7);

/// What is asked of a model's thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinking {
    /// Its thoughts are to be told, in summary.
    pub told: bool,
    pub depth: Depth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As deep as the model likes.
    Own,
    /// Tokens.
    Budget(u32),
    /// `MINIMAL`, `LOW`, `MEDIUM`, `HIGH`.
    Level(&'static str),
}

/// Where a model is asked, after the version of the API: `/models/{model}:{method}`. A name may have its collection in front
/// of it (`models/…`, `tunedModels/…`).
pub fn path(model: &str, method: &str) -> Result<String, ProviderError> {
    let (collection, name) = model.split_once('/').unwrap_or(("models", model));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~@:".contains(c);
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.');
    if !is_name || !matches!(collection, "models" | "tunedModels") {
        let said: String = model.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect();
        let message = format!("no Gemini model has the name {said:?}. Correct `model`; one is gemini-2.5-flash.");
        return Err(ProviderError::new(Failure::Rejected, message));
    }
    // A colon would begin the method.
    let name = name.replace(':', "%3A").replace('@', "%40");
    Ok(format!("/{collection}/{name}:{method}"))
}

/// 2.5 of `gemini-2.5-flash`, 3.0 of `gemini-3-pro-preview`; the newest of `gemini-flash-latest`; `None` for other families.
pub fn generation(model: &str) -> Option<(u32, u32)> {
    let rest = bare(model).strip_prefix("gemini-")?;
    if rest.ends_with("-latest") && !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return Some((u32::MAX, 0));
    }
    let number = rest.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether it answers in pictures.
pub fn paints(model: &str) -> bool {
    let name = bare(model);
    name.contains("-image") || name.starts_with("nano-banana")
}

/// Whether it is known for answering in words alone.
pub fn only_writes(model: &str) -> bool {
    !paints(model) && (generation(model).is_some() || bare(model).starts_with("gemma"))
}

/// How it is asked to think; `None` where it does not, or where nobody knows. The budgets are those that Google itself takes
/// for the three words ("OpenAI compatibility", "Thinking").
pub fn thinking(model: &str, effort: Option<Effort>) -> Option<Thinking> {
    let generation = generation(model).filter(|generation| *generation >= GENERATION_OF_THOUGHT)?;
    let (name, of_levels) = (bare(model), generation >= GENERATION_OF_LEVELS);
    if name.contains("-tts") || name.contains("-audio") || (paints(model) && !of_levels) {
        return None;
    }
    let told = effort != Some(Effort::None);
    let depth = match effort.filter(|_| !paints(model)) {
        None => Depth::Own,
        Some(Effort::None) if of_levels => {
            let has_minimal = name.contains("flash") && generation < GENERATION_WITHOUT_MINIMAL;
            Depth::Level(if has_minimal { "MINIMAL" } else { "LOW" })
        }
        Some(Effort::Low) if of_levels => Depth::Level("LOW"),
        Some(Effort::Medium) if of_levels => Depth::Level("MEDIUM"),
        Some(Effort::High) if of_levels => Depth::Level("HIGH"),
        // 2.5 Pro cannot be told not to think.
        Some(Effort::None) => Depth::Budget(if name.contains("pro") { 128 } else { 0 }),
        Some(Effort::Low) => Depth::Budget(1024),
        Some(Effort::Medium) => Depth::Budget(8192),
        Some(Effort::High) => Depth::Budget(24_576),
    };
    Some(Thinking { told, depth })
}

impl Thinking {
    /// What to try when the model has refused this. Google's own tables go the same way: less than a model has becomes its
    /// least, and a middle that it lacks becomes its most.
    pub fn conceded(self) -> Option<Thinking> {
        let depth = match self.depth {
            Depth::Level("MINIMAL") => Depth::Level("LOW"),
            Depth::Level("MEDIUM") => Depth::Level("HIGH"),
            Depth::Level(_) | Depth::Budget(_) => Depth::Own,
            Depth::Own => return None,
        };
        // Thoughts that were not asked for are not told either.
        (self.told || depth != Depth::Own).then_some(Thinking { depth, ..self })
    }
}

fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_path_or_is_refused() {
        for (model, want) in [
            ("gemini-2.5-flash", "/models/gemini-2.5-flash:go"),
            ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:go"),
            ("tunedModels/mine-1", "/tunedModels/mine-1:go"),
            ("gemini@001:x", "/models/gemini%40001%3Ax:go"),
        ] {
            assert_eq!(path(model, "go").unwrap_or_default(), want, "{model}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for odd in ["", "models/", "..", "a/b", "models/a/b", "a b", "a?key=1", "a#b", "a%2Fb", "gemïni", "a\nb", &long]
        {
            let error = path(odd, "go").expect_err(odd);
            assert_eq!(error.failure, Failure::Rejected);
            assert!(!error.message.contains(char::is_control) && error.message.len() < 300, "{}", error.message);
        }
    }

    #[test]
    fn a_name_tells_the_generation() {
        assert_eq!(generation("gemini-2.5-flash-lite"), Some((2, 5)));
        assert_eq!(generation("models/gemini-3-pro-preview"), Some((3, 0)));
        assert_eq!(generation("gemini-4-argon"), Some((4, 0)));
        assert!(generation("gemini-flash-latest") > Some((4, 0)));
        for other in ["gemini-robotics-er-2", "gemma-3-27b-it", "gemini-", "gpt-4o", "gemini-x.y", "gemini-99999999999"]
        {
            assert_eq!(generation(other), None, "{other}");
        }
        let painters = ["gemini-2.5-flash-image", "gemini-3-pro-image-preview", "nano-banana-pro-preview"];
        assert!(painters.into_iter().all(|model| paints(model) && !only_writes(model)));
        assert!(["gemini-2.5-flash", "gemma-3-27b-it"].into_iter().all(only_writes) && !only_writes("mine"));
    }

    #[test]
    fn thinking_by_family() {
        use Depth::{Budget, Level, Own};
        use Effort::{High, Low, Medium};
        for (model, effort, want) in [
            ("gemini-2.0-flash", Some(High), None),
            ("gemma-3-27b-it", Some(High), None),
            ("gemini-2.5-flash-image", Some(High), None),
            ("gemini-2.5-flash-preview-tts", None, None),
            ("gemini-2.5-flash", None, Some((true, Own))),
            ("gemini-2.5-flash", Some(Effort::None), Some((false, Budget(0)))),
            ("gemini-2.5-pro", Some(Effort::None), Some((false, Budget(128)))),
            ("gemini-2.5-pro", Some(Low), Some((true, Budget(1024)))),
            ("gemini-2.5-flash", Some(Medium), Some((true, Budget(8192)))),
            ("gemini-2.5-flash", Some(High), Some((true, Budget(24_576)))),
            ("gemini-3-flash-preview", Some(Effort::None), Some((false, Level("MINIMAL")))),
            ("gemini-3.8-flash", Some(Effort::None), Some((false, Level("LOW")))),
            ("gemini-3-pro-preview", Some(Medium), Some((true, Level("MEDIUM")))),
            ("gemini-4-neon", Some(High), Some((true, Level("HIGH")))),
            ("gemini-3-pro-image-preview", Some(High), Some((true, Own))),
        ] {
            let want = want.map(|(told, depth)| Thinking { told, depth });
            assert_eq!(thinking(model, effort), want, "{model} {effort:?}");
        }
    }

    #[test]
    fn concessions_come_to_an_end() {
        for depth in [Depth::Own, Depth::Budget(1), Depth::Level("MINIMAL"), Depth::Level("MEDIUM")] {
            for told in [true, false] {
                let steps = std::iter::successors(Some(Thinking { told, depth }), |thinking| thinking.conceded());
                assert!(steps.take(9).count() <= 4);
            }
        }
    }
}
