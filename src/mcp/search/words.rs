//! Words of a text as the search compares them: split, folded to plain small letters, cut to their stems. Pure.

use super::stem::stem;

/// Words longer than this are cut: no word of a person is longer.
pub const WORD_BYTES_MAX: usize = 32;

/// Words that say nothing about what a tool does, with those that people of other tongues leave in. Sorted.
#[rustfmt::skip]
pub const EMPTY: &[&str] = &[
    "a", "able", "about", "actually", "again", "all", "alle", "already", "also", "am", "an", "and", "another", "any",
    "anybody", "anything", "are", "around", "as", "at", "auch", "away", "back", "be", "been", "being", "bit", "bitte",
    "but", "by", "can", "cannot", "cant", "could", "couldn", "currently", "danke", "dans", "das", "dear", "del",
    "der", "did", "didn", "do", "does", "doesn", "don", "each", "ein", "eine", "einem", "einen", "el", "else", "ever",
    "every", "everybody", "everything", "exactly", "favor", "for", "from", "fuer", "gimme", "gonna", "got", "guy",
    "had", "has", "have", "he", "hello", "help", "her", "here", "hey", "hi", "him", "his", "how", "i", "if", "in",
    "into", "is", "isn", "ist", "it", "its", "just", "kindly", "las", "later", "les", "let", "lets", "like", "ll",
    "long", "los", "lot", "lots", "many", "may", "maybe", "me", "mein", "meine", "merci", "mes", "might", "mine",
    "mit", "moi", "mon", "much", "must", "my", "need", "nicht", "no", "noch", "not", "now", "of", "ok", "okay", "on",
    "once", "only", "onto", "or", "ought", "our", "out", "over", "para", "per", "plait", "please", "por", "possible",
    "possibly", "pour", "put", "que", "quel", "quelle", "quickly", "re", "really", "right", "shall", "she", "should",
    "simply", "since", "sind", "so", "some", "somebody", "someone", "something", "soon", "still", "stuff", "such",
    "sur", "sure", "than", "thank", "thanks", "that", "the", "their", "them", "then", "there", "these", "they",
    "thing", "things", "this", "those", "though", "through", "till", "to", "today", "tomorrow", "too", "una", "und",
    "une", "unser", "unsere", "until", "up", "upon", "us", "use", "used", "using", "ve", "very", "via", "von", "vous",
    "wanna", "want", "was", "wasn", "way", "we", "well", "wer", "were", "weren", "what", "whats", "when", "where",
    "which", "who", "whose", "why", "wie", "will", "wish", "with", "within", "won", "would", "wouldn", "yes",
    "yesterday", "yet", "you", "your", "zum", "zur",
];

/// How people are called: `Mr Lee` is no merge request.
const TITLES: [&str; 5] = ["mr", "mrs", "ms", "dr", "prof"];

/// Signs that are words.
const SYMBOLS: [(char, &str); 4] = [('%', "percent"), ('$', "dollar"), ('€', "euro"), ('£', "pound")];

/// What stands before the name of a channel: `#general`.
const CHANNEL: char = '#';

/// A word of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub stem: Box<str>,
    /// As it was written, but folded.
    pub written: Box<str>,
    /// Whether it says nothing by itself.
    pub is_empty: bool,
    /// Whether it begins with a capital and goes on small, as names of people and places do.
    pub is_name: bool,
}

/// The words of a text that say something, in order, as stems.
pub fn words(text: &str) -> Vec<Box<str>> {
    all_words(text).into_iter().filter(|word| !word.is_empty).map(|word| word.stem).collect()
}

/// All words of a text, in order.
pub fn all_words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_name = false;
    let end = |word: &mut String, is_name: &bool, words: &mut Vec<Word>| {
        if !word.is_empty() {
            let is_empty = is_empty(word) || *is_name && TITLES.contains(&&**word);
            let stem = if is_empty { word.as_str().into() } else { stem(word) };
            words.push(Word { stem, written: word.as_str().into(), is_empty, is_name: *is_name });
            word.clear();
        }
    };
    let mut letters = text.chars();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        // readFile, HTTPServer: a capital after a small letter begins a word, and one before a small letter ends a row of capitals.
        let mut rest = letters.clone().take_while(|next| next.is_lowercase());
        // The plural of a row of capitals (`PDFs`) is one word.
        let is_next_small = rest.next().is_some_and(|next| next != 's' || rest.next().is_some());
        let begins = letter.is_uppercase() && (before.is_lowercase() || before.is_uppercase() && is_next_small);
        if begins || !letter.is_alphanumeric() {
            end(&mut word, &is_name, &mut words);
        }
        if let Some((_, said)) = SYMBOLS.iter().find(|(symbol, _)| *symbol == letter) {
            words.push(Word { stem: stem(said), written: (*said).into(), is_empty: false, is_name: false });
        }
        let is_next_letter = letters.clone().next().is_some_and(char::is_alphabetic);
        if letter == CHANNEL && !before.is_alphanumeric() && is_next_letter {
            words.push(Word { stem: stem("channel"), written: "channel".into(), is_empty: false, is_name: false });
        }
        if word.is_empty() {
            is_name = letter.is_uppercase();
        } else if letter.is_uppercase() {
            is_name = false;
        }
        if letter.is_alphanumeric() && word.len() < WORD_BYTES_MAX {
            fold(letter, &mut word);
        }
        before = letter;
    }
    end(&mut word, &is_name, &mut words);
    words
}

/// Whether a word says nothing by itself: a word of grammar, a single letter.
fn is_empty(word: &str) -> bool {
    let is_letter = word.len() < 2 && !word.starts_with(|letter: char| letter.is_ascii_digit());
    is_letter || EMPTY.binary_search(&word).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).into_iter().map(String::from).collect()
    }

    #[test]
    fn words_are_split_folded_and_cut_to_their_stems() {
        assert_eq!(of("readFile, HTTPServer_v2"), ["read", "file", "http", "server", "v2"]);
        assert_eq!(of("Éteins les lumières"), ["eteins", "lumieres"].map(|word| stem(word).to_string()));
        assert_eq!(of("please show me all of my files"), ["show", "file"]);
        assert_eq!(
            of("Mr Lee in #general, MR 5, # 1"),
            ["lee", "channel", "general", "mr", "5", "1"].map(|word| stem(word).to_string())
        );
        assert_eq!(of(&"xy".repeat(250))[0].len(), WORD_BYTES_MAX);
        assert!(EMPTY.is_sorted(), "it is searched by halves");
    }
}
