//! What words mean to the search: which are said for the same thing, and what somebody wants who says them. Reads the tables of
//! `meanings` and `hints` once; gives no word for one that they do not have. Pure.

use std::sync::LazyLock;

use super::hints::HINTS;
use super::meanings::MEANINGS;
use super::words::all_words;

/// What a word is worth that only means nearly the same as the one asked for.
const LIKE: f32 = 0.5;

/// What the words are worth that a hint leads to: the first of them, and the last.
const HINT: f32 = 0.85;
const HINT_LAST: f32 = 0.5;

/// The most words of a phrase.
pub const PHRASE_WORDS_MAX: usize = 4;

/// Between the words that are said and those they lead to.
const LEADS_TO: char = '>';

/// The stems that the tables know, in one text: thousands of small strings would be three times as large.
struct Lexicon {
    text: String,
    /// Sorted by stem and line.
    entries: Box<[Entry]>,
}

struct Entry {
    start: u32,
    len: u16,
    /// A line of [`MEANINGS`], and after these of [`HINTS`].
    line: u16,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut all: Vec<(Box<str>, u16)> = Vec::new();
    for (line, words) in (0..).zip(MEANINGS.iter().chain(HINTS)) {
        let said = words.split(LEADS_TO).next().unwrap_or_default();
        all.extend(said.split_whitespace().map(|said| (key(said), line)));
    }
    all.sort_unstable();
    all.dedup();
    let (mut text, mut entries) = (String::new(), Vec::<Entry>::with_capacity(all.len()));
    for (stem, line) in all {
        let again = entries.last().filter(|last| text[last.start as usize..] == *stem).map(|last| last.start);
        let start = again.unwrap_or(text.len() as u32);
        if again.is_none() {
            text.push_str(&stem);
        }
        entries.push(Entry { start, len: stem.len() as u16, line });
    }
    text.shrink_to_fit();
    Lexicon { text, entries: entries.into() }
});

impl Lexicon {
    fn stem(&self, entry: &Entry) -> &str {
        &self.text[entry.start as usize..][..usize::from(entry.len)]
    }

    fn lines(&self, stem: &str) -> &[Entry] {
        let from = self.entries.partition_point(|entry| self.stem(entry) < stem);
        let count = self.entries[from..].iter().take_while(|entry| self.stem(entry) == stem).count();
        &self.entries[from..from + count]
    }
}

/// A word or a phrase of the tables as it is looked up: its stems with blanks between.
fn key(said: &str) -> Box<str> {
    all_words(said).iter().map(|word| &*word.stem).collect::<Vec<_>>().join(" ").into()
}

/// Whether the tables know a stem, or a phrase: stems with blanks between.
pub fn is_known(stem: &str) -> bool {
    !LEXICON.lines(stem).is_empty()
}

/// Single stems that the tables know, sorted.
pub fn stems() -> impl Iterator<Item = &'static str> {
    LEXICON.entries.iter().map(|entry| LEXICON.stem(entry)).filter(|stem| !stem.contains(' '))
}

/// The stems that a stem or phrase may stand for, each with its worth below 1; not itself. Two words that name one thing are
/// given as one (`turnon`).
pub fn like(stem: &str) -> Vec<(Box<str>, f32)> {
    let mut found: Vec<(Box<str>, f32)> = Vec::new();
    for entry in LEXICON.lines(stem) {
        let at = usize::from(entry.line);
        let line = MEANINGS.get(at).unwrap_or_else(|| &HINTS[at - MEANINGS.len()]);
        let (is_hint, meant) = line.split_once(LEADS_TO).map_or((false, *line), |(_, meant)| (true, meant));
        let count = meant.split_whitespace().count().max(2) - 1;
        for (nth, word) in meant.split_whitespace().enumerate() {
            let worth = if is_hint { HINT - (HINT - HINT_LAST) * nth as f32 / count as f32 } else { LIKE };
            let term: String = all_words(word).iter().map(|word| &*word.stem).collect();
            if term == stem {
                continue;
            }
            match found.iter_mut().find(|(other, _)| **other == *term) {
                Some((_, other)) => *other = other.max(worth),
                None => found.push((term.into(), worth)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::search::stem::stem;

    #[test]
    fn words_have_their_like() {
        let like_of = |word: &str| like(&stem(word)).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
        assert!(like_of("remove").contains(&stem("delete")));
        assert!(like_of("emails").contains(&stem("mail")));
        assert!(like_of("xylophone").is_empty());
        assert!(like("get rid of").iter().any(|(word, _)| *word == stem("delete")), "phrases too");
        assert!(MEANINGS.len() + HINTS.len() <= usize::from(u16::MAX), "a line's number has two bytes");
    }

    #[test]
    fn a_hint_leads_one_way() {
        assert!(like(&stem("gloomy")).iter().any(|(word, _)| *word == stem("lamp")));
        assert!(like(&stem("lamp")).iter().all(|(word, _)| *word != stem("gloomy")));
    }

    #[test]
    fn the_tables_say_what_can_be_found() {
        for line in MEANINGS.iter().chain(HINTS) {
            let (said, meant) = line.split_once(LEADS_TO).unwrap_or((line, line));
            assert!(!said.trim().is_empty() && !meant.trim().is_empty(), "{line}");
            for word in said.split_whitespace() {
                let words = all_words(word);
                assert!(words.len() <= PHRASE_WORDS_MAX && !words.is_empty(), "{word} of {line}");
                assert!(words.iter().any(|word| !word.is_empty) || words.len() > 1, "{word} of {line} is never asked");
            }
        }
    }
}
