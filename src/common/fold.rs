//! Words as people look for them: without case and without accents. Knows Latin, Greek and Cyrillic letters; what it does
//! not know stays as it is. Pure.

/// The letters of `word` in lower case and without accents.
pub fn fold(word: &str, into: &mut String) {
    into.clear();
    for letter in word.chars() {
        if letter.is_ascii() {
            into.push(letter.to_ascii_lowercase());
            continue;
        }
        for lower in letter.to_lowercase() {
            match lower {
                // Accents that stand for themselves.
                '\u{300}'..='\u{36f}' => {}
                'ß' => into.push_str("ss"),
                'æ' => into.push_str("ae"),
                'œ' => into.push_str("oe"),
                'þ' => into.push_str("th"),
                lower => into.push(plain(lower)),
            }
        }
    }
}

/// The words of a text, each with the byte where it begins: letters and digits, and the accents upon them.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_a_word = |letter: char| letter.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&letter);
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_of_a_word)?;
        let len = text[start..].find(|letter| !is_of_a_word(letter)).unwrap_or(text.len() - start);
        at = start + len;
        Some((start, &text[start..at]))
    })
}

/// The letter under an accent: Unicode's canonical decompositions of what Europe's languages write, and the letters with a
/// stroke.
fn plain(letter: char) -> char {
    match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ạ'..='ặ' => 'a',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ĥ' | 'ħ' => 'h',
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' | 'ỉ' | 'ị' => 'i',
        'ĵ' => 'j',
        'ķ' => 'k',
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ǒ' | 'ọ'..='ợ' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => 's',
        'ţ' | 'ť' | 'ŧ' | 'ț' => 't',
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ǔ' | 'ụ'..='ự' => 'u',
        'ŵ' => 'w',
        'ý' | 'ÿ' | 'ŷ' | 'ỳ'..='ỹ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        'ѐ' | 'ё' => 'е',
        'ѝ' => 'и',
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(word: &str) -> String {
        let mut into = String::from("before");
        fold(word, &mut into);
        into
    }

    #[test]
    fn case_and_accents_make_no_difference() {
        for (one, other) in [
            ("Été", "ete"),
            ("STRASSE", "Straße"),
            ("Żółw", "zolw"),
            ("ĐIỆN", "dien"),
            ("e\u{301}", "É"),
            ("Ἀ", "Ἀ"),
            ("Ёлка", "елка"),
            ("ΈΝΑΣ", "ενας"),
            ("今天", "今天"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("й"), folded("и"), "another letter, and no accent");
    }

    #[test]
    fn a_text_is_words_with_their_places() {
        let text = "L'e\u{301}té, 22°: «oui»";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found.iter().map(|(_, word)| *word).collect::<Vec<_>>(), ["L", "e\u{301}té", "22", "oui"]);
        assert!(found.iter().all(|(at, word)| text[*at..].starts_with(word)));
        assert_eq!(words(" .,").count(), 0);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,60}") {
            for (at, word) in words(&text) {
                prop_assert!(text[at..].starts_with(word));
                let once = folded(word);
                prop_assert_eq!(folded(&once), once.clone(), "folding twice changes nothing");
            }
        }
    }
}
