//! What was said, as words: without case, punctuation and apostrophes. Matches words and never parts of words.

/// An utterance.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    words: Vec<String>,
}

impl Heard {
    pub fn new(text: &str) -> Heard {
        let plain: String = text.chars().filter(|c| !matches!(c, '\'' | '’')).flat_map(char::to_lowercase).collect();
        let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Heard { words: words.map(str::to_owned).collect() }
    }

    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// One of these words, anywhere.
    pub fn has(&self, any: &[&str]) -> bool {
        self.words.iter().any(|word| any.contains(&word.as_str()))
    }

    /// One of these phrases, its words side by side.
    pub fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| {
            let phrase: Vec<&str> = phrase.split(' ').collect();
            self.words.windows(phrase.len()).any(|words| words.iter().zip(&phrase).all(|(word, want)| word == want))
        })
    }

    /// One of these phrases and nothing else.
    pub fn is(&self, phrases: &[&str]) -> bool {
        let whole = self.words.join(" ");
        phrases.contains(&whole.as_str())
    }

    /// One of these words to begin with.
    pub fn begins(&self, any: &[&str]) -> bool {
        self.words.first().is_some_and(|word| any.contains(&word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_not_parts_of_words() {
        let heard = Heard::new("  What’s the TIME, sometimes?! ");
        assert_eq!(heard.words, ["whats", "the", "time", "sometimes"]);
        assert!(heard.has(&["x", "time"]) && !heard.has(&["some", "times"]));
        assert!(heard.says(&["the time"]) && !heard.says(&["whats time", "time the", "time sometimes what"]));
        assert!(heard.begins(&["whats"]) && !heard.begins(&["what", "the"]));
        assert!(Heard::new("Time?").is(&["time"]) && !heard.is(&["time"]));
        assert_eq!(Heard::new(" .,! ").len(), 0);
        assert!(!Heard::new("").says(&["a"]) && !Heard::new("").begins(&["a"]));
    }
}
