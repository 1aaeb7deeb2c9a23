//! Slips of the keys: which word may be meant by one that nobody knows. Knows no tool. Pure.

use super::common::COMMON;
use super::words::{EMPTY, WORD_BYTES_MAX, Word};

/// The most slips that a word may have, and the longest word in which another letter makes another word.
const SLIPS_MAX: usize = 2;
const SHORT_BYTES_MAX: usize = 5;

/// How long a word of grammar has to be, to be seen in a slip.
const EMPTY_BYTES_MIN: usize = 4;

/// Endings that a word may have behind the stem that is meant, and the least that is before them.
const ENDINGS: [&str; 14] =
    ["s", "es", "e", "ed", "er", "ers", "ing", "ings", "ion", "ions", "ation", "ations", "ment", "ly"];
const ENDING_BYTES_MAX: usize = 6;
const BEFORE_ENDING_MIN: usize = 4;

/// Slips, and whether one of them is another letter, as in words that are no slips at all: `train` is not `brain`.
pub type Slips = (usize, bool);

/// How many letters of a word are wrong, missing, or too many, or have changed places (optimal string alignment), but for its ending,
/// where it is few enough that a stem may be meant by it.
pub fn slips(word: &str, stem: &str) -> Option<Slips> {
    let (a, b) = (word.as_bytes(), stem.as_bytes());
    let shorter = a.len().min(b.len());
    let most = match shorter {
        0..=2 => return None,
        3..=6 => 1,
        _ => SLIPS_MAX,
    };
    let is_long = a.len() > WORD_BYTES_MAX || b.len() > WORD_BYTES_MAX;
    if is_long || b.len() > a.len() + most || a.len() > b.len() + most + ENDING_BYTES_MAX {
        return None;
    }
    // A short word has to begin the same, and a long one with a letter that has come to the place of its neighbour at most.
    if a[0] != b[0] && (shorter <= 4 || a[0] != b[1] && a[1] != b[0]) {
        return None;
    }
    let mut rows = [[0_usize; WORD_BYTES_MAX + 1]; 3];
    (0..=b.len()).for_each(|at| rows[0][at] = at);
    let mut fewest = (usize::MAX, false);
    for i in 1..=a.len() {
        let (now, last, before) = (i % 3, (i - 1) % 3, (i + 1) % 3);
        rows[now][0] = i;
        let mut least = i;
        for j in 1..=b.len() {
            let wrong = rows[last][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = wrong.min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = cost;
            least = least.min(cost);
        }
        let is_end = i >= BEFORE_ENDING_MIN && ENDINGS.iter().any(|ending| ending.as_bytes() == &a[i..]);
        if i == a.len() || is_end {
            let is_other = i == b.len() && letters(&a[..i]) != letters(b);
            if !is_other || shorter > SHORT_BYTES_MAX {
                fewest = fewest.min((rows[now][b.len()], is_other));
            }
        }
        if least > most {
            break;
        }
    }
    Some(fewest).filter(|(slips, _)| *slips <= most)
}

/// Which letters a word has, a bit each; what is no small letter is none.
fn letters(word: &[u8]) -> u32 {
    word.iter().filter(|letter| letter.is_ascii_lowercase()).fold(0, |letters, letter| letters | 1 << (letter - b'a'))
}

/// Whether a word is a slip of one that says nothing: `plese`, `abuot`.
pub fn is_slip_of_empty(word: &str) -> bool {
    let is_meant = |empty: &&str| {
        let is_near = empty.len() >= EMPTY_BYTES_MIN && empty.len().abs_diff(word.len()) <= 1;
        is_near && slips(word, empty) == Some((1, false))
    };
    word.len() >= EMPTY_BYTES_MIN && EMPTY.iter().any(is_meant)
}

/// Whether everybody uses a word, so that it is no slip.
pub fn is_common(word: &Word) -> bool {
    COMMON.split_ascii_whitespace().any(|common| common == &*word.written || common == &*word.stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::search::stem::stem;
    use crate::mcp::search::words::all_words;

    #[test]
    fn slips_are_seen_also_before_an_ending() {
        for (word, meant) in [
            ("serach", "search"),
            ("custmer", "customer"),
            ("remvoe", "remove"),
            ("distnace", "distance"),
            ("uplaoded", "upload"),
            ("noteboook", "notebook"),
            ("membreship", "membership"),
            ("ubdget", "budget"),
            ("rtansfer", "transfer"),
            ("trun", "turn"),
        ] {
            assert!(matches!(slips(word, &stem(meant)), Some((1, _))), "{word} is {meant}");
        }
        assert_eq!(slips("servise", "servic"), Some((1, true)), "with another letter in it, and surer without");
    }

    #[test]
    fn another_word_is_no_slip() {
        for (word, other) in
            [("slip", "ship"), ("black", "block"), ("moment", "mop"), ("cat", "bat"), ("日本語", "日本")]
        {
            assert_eq!(slips(word, other), None, "{word} is not {other}");
        }
        for word in ["month", "quarter", "hands", "fine"] {
            assert!(is_common(&all_words(word)[0]), "{word} is a word");
        }
        for (word, is_slip) in [("plese", true), ("abuot", true), ("table", false), ("mail", false)] {
            assert_eq!(is_slip_of_empty(word), is_slip, "{word}");
        }
    }

    #[test]
    fn common_words_are_sorted_and_each_stands_once() {
        let words: Vec<_> = COMMON.split_ascii_whitespace().collect();
        assert!(words.is_sorted_by(|a, b| a < b));
    }
}
