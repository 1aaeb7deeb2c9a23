//! What a voice is owed for one request, summed over its sentences. Knows no price and no store.

use crate::common::chat::Usage;
use crate::router::usage::{End, Finished};
use crate::router::voices::Link;

/// See the top of this file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bill {
    /// A sentence was asked for.
    asked: bool,
    /// Of the sentences that it took on.
    characters: u64,
    /// What the provider counted, and for how many of the characters.
    counted: Option<(Usage, u64)>,
}

impl Bill {
    /// A sentence is asked for.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// A sentence that was taken on, and is paid even where it is not heard to its end.
    pub fn add(&mut self, text: &str, usage: Option<Usage>) {
        let characters = text.chars().count() as u64;
        self.characters += characters;
        if let Some(usage) = usage {
            let (sum, of) = self.counted.unwrap_or_default();
            self.counted = Some((plus(sum, usage), of + characters));
        }
    }

    /// For the books; `None` where nothing was asked.
    pub fn finished<'a>(&self, user: &'a str, profile: &'a str, link: &'a Link, end: End) -> Option<Finished<'a>> {
        self.asked.then(|| Finished {
            user,
            profile,
            provider: link.name.as_str(),
            model: link.voice.model(),
            end,
            usage: self.counted.map(|(usage, _)| usage),
            asked_tokens: 0,
            answered_tokens: self.answered_tokens(),
            images: 0,
            speech_characters: self.characters,
        })
    }

    /// Guessed from what was counted, where a sentence was broken off before its count came; else that.
    fn answered_tokens(&self) -> u64 {
        let Some((usage, of)) = self.counted else { return 0 };
        let tokens = u128::from(usage.output_tokens) * u128::from(self.characters) / u128::from(of.max(1));
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

fn plus(one: Usage, other: Usage) -> Usage {
    let reasoning_tokens = match (one.reasoning_tokens, other.reasoning_tokens) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    Usage {
        input_tokens: one.input_tokens.saturating_add(other.input_tokens),
        output_tokens: one.output_tokens.saturating_add(other.output_tokens),
        reasoning_tokens,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, ..Usage::default() }
    }

    #[test]
    fn sentences_are_summed_and_one_without_a_count_is_guessed() {
        let mut bill = Bill::default();
        bill.add("Grüße", Some(usage(2, 10)));
        assert_eq!((bill.characters, bill.answered_tokens()), (5, 10), "letters, not bytes");
        bill.add("12345", Some(usage(3, 30)));
        assert_eq!((bill.counted, bill.answered_tokens()), (Some((usage(5, 40), 10)), 40));
        bill.add("12345", None);
        assert_eq!((bill.characters, bill.answered_tokens()), (15, 60));
    }

    #[test]
    fn no_count_overflows() {
        let mut bill = Bill::default();
        for _ in 0..2 {
            bill.add("x", Some(usage(u64::MAX, u64::MAX)));
            bill.add("many more", None);
        }
        assert_eq!(bill.answered_tokens(), u64::MAX);
    }
}
