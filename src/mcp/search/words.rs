//! Words of a text as the search compares them: split, folded to plain small letters, cut to their stems; which mean nearly
//! the same. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::meanings::MEANINGS;

/// Words longer than this are cut: no word of a person is longer.
const WORD_BYTES_MAX: usize = 32;

/// Words that say nothing about what a tool does.
const EMPTY: &[&str] = &[
    "a",
    "about",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "each",
    "every",
    "for",
    "from",
    "had",
    "has",
    "have",
    "hey",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "let",
    "like",
    "may",
    "me",
    "mine",
    "my",
    "need",
    "of",
    "on",
    "onto",
    "or",
    "our",
    "out",
    "please",
    "put",
    "so",
    "some",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "to",
    "us",
    "use",
    "used",
    "using",
    "via",
    "want",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "whose",
    "will",
    "with",
    "within",
    "would",
    "you",
    "your",
    "many",
    "much",
    "long",
    "now",
    "today",
    "tomorrow",
    "yesterday",
    "another",
    "everything",
    "anybody",
    "somebody",
    "someone",
    "something",
    "anything",
    "everybody",
    "per",
    "right",
    "too",
    "very",
    "there's",
    "want",
    "still",
    "again",
];

/// Stem → the lines of [`MEANINGS`] in which it stands.
static LINES: LazyLock<HashMap<Box<str>, Vec<u16>>> = LazyLock::new(|| {
    let mut lines: HashMap<Box<str>, Vec<u16>> = HashMap::new();
    for (line, words) in (0..).zip(MEANINGS) {
        words.split(' ').for_each(|word| lines.entry(stem(word)).or_default().push(line));
    }
    lines
});

/// The words of a text, in order, as stems; empty ones left out.
pub fn words(text: &str) -> Vec<Box<str>> {
    let mut words = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    let mut end = |word: &mut String| {
        if word.len() > 1 && !EMPTY.contains(&word.as_str()) || word.parse::<u32>().is_ok() {
            words.push(stem(word));
        }
        word.clear();
    };
    for letter in text.chars() {
        // readFile, HTTPServer2: a capital after a small letter begins a word.
        if letter.is_uppercase() && before.is_lowercase() || !letter.is_alphanumeric() {
            end(&mut word);
        }
        if letter.is_alphanumeric() && word.len() < WORD_BYTES_MAX {
            fold(letter, &mut word);
        }
        before = letter;
    }
    end(&mut word);
    words
}

/// A letter in small and without its accent (Latin-1 and Latin Extended-A; others as they are).
fn fold(letter: char, word: &mut String) {
    for letter in letter.to_lowercase() {
        let plain = match letter {
            'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
            'ç' | 'ć' | 'č' => 'c',
            'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
            'ì'..='ï' | 'ī' => 'i',
            'ñ' | 'ń' | 'ň' => 'n',
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => 'o',
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => 'u',
            'ý' | 'ÿ' => 'y',
            'š' | 'ś' => 's',
            'ž' | 'ź' | 'ż' => 'z',
            'ß' => return word.push_str("ss"),
            'æ' => return word.push_str("ae"),
            other => other,
        };
        word.push(plain);
    }
}

/// A word without the endings that English puts on it: `creating`, `created`, `creates`, `creation` are one.
pub fn stem(word: &str) -> Box<str> {
    if !word.is_ascii() || word.len() < 4 {
        return word.into();
    }
    let mut stem = word;
    let cut = |stem: &str, ending: &str, left: usize| {
        stem.strip_suffix(ending).filter(|rest| rest.len() >= left).map(str::len)
    };
    if let Some(len) = cut(stem, "ies", 2).or_else(|| cut(stem, "ied", 2)) {
        return format!("{}y", &stem[..len]).into();
    }
    if let Some(len) = cut(stem, "sses", 2) {
        stem = &stem[..len + 2];
    } else if !stem.ends_with("ss") && !stem.ends_with("ews") && !stem.ends_with("us") && !stem.ends_with("is") {
        stem = cut(stem, "s", 3).map_or(stem, |len| &stem[..len]);
    }
    for (ending, left) in [
        ("ations", 4),
        ("ation", 4),
        ("ing", 3),
        ("ment", 4),
        ("ed", 3),
        ("ness", 4),
        ("er", 4),
        ("or", 4),
        ("ion", 4),
        ("ly", 4),
    ] {
        if let Some(len) = cut(stem, ending, left) {
            stem = &stem[..len];
            break;
        }
    }
    // creat(e), running, stopped.
    let bytes = stem.as_bytes();
    let doubled = bytes.len() > 3
        && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
        && !matches!(bytes[bytes.len() - 1], b'l' | b's' | b'e' | b'o');
    if doubled {
        stem = &stem[..stem.len() - 1];
    }
    stem.strip_suffix('e').filter(|rest| rest.len() >= 3).unwrap_or(stem).into()
}

/// The stems of words that mean nearly the same as this one; not itself.
pub fn like(stem_of: &str) -> Vec<Box<str>> {
    let lines = LINES.get(stem_of).map_or(&[][..], Vec::as_slice);
    let words = lines.iter().flat_map(|line| MEANINGS[usize::from(*line)].split(' '));
    let mut found: Vec<_> = words.map(stem).filter(|other| &**other != stem_of).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).into_iter().map(String::from).collect()
    }

    #[test]
    fn words_are_split_folded_and_cut_to_their_stems() {
        assert_eq!(of("readFile, HTTPServer_v2"), ["read", "fil", "httpserv", "v2"]);
        assert_eq!(of("Éteins les lumières"), ["eteins", "les", "lumieres"].map(|word| stem(word).to_string()));
        for same in ["creating", "created", "creates", "create", "creation"] {
            assert_eq!(of(same), ["creat"], "{same}");
        }
        for same in ["directory", "directories"] {
            assert_eq!(of(same), ["directory"], "{same}");
        }
        assert_eq!(of("please show me all of my files"), ["show", "fil"]);
        assert_eq!(of(&"xy".repeat(250))[0].len(), WORD_BYTES_MAX);
    }

    #[test]
    fn words_have_their_like() {
        let like_of = |word: &str| like(&stem(word)).into_iter().map(String::from).collect::<Vec<_>>();
        assert!(like_of("remove").contains(&"delet".to_owned()));
        assert!(like_of("emails").contains(&"mail".to_owned()));
        assert!(like_of("xylophone").is_empty());
        assert!(MEANINGS.len() <= usize::from(u16::MAX), "a line's number has two bytes");
    }
}
