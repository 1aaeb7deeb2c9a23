//! What was said, as words: without case, punctuation and apostrophes. Matches words and never parts of words.

/// An utterance.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    words: Vec<String>,
}

/// The words of a text, small. A point or a comma between figures belongs to the number.
pub fn words(text: &str) -> Vec<String> {
    let plain: Vec<char> = text.chars().filter(|c| !matches!(c, '\'' | '’')).flat_map(char::to_lowercase).collect();
    let is_figure = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let mut words = vec![String::new()];
    for (at, c) in plain.iter().enumerate() {
        let last = words.last_mut().expect("there is always one");
        let is_point = matches!(c, '.' | ',')
            && is_figure(at.checked_sub(1).and_then(|before| plain.get(before)))
            && is_figure(plain.get(at + 1));
        match c {
            _ if c.is_alphanumeric() => last.push(*c),
            _ if is_point => last.push('.'),
            // "30%" is two words, as "30 percent" is.
            '%' => words.extend(["percent".into(), String::new()]),
            '°' => words.extend(["degrees".into(), String::new()]),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The place is the number.
const NUMBERS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

/// From twenty on.
const TENS: [&str; 9] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"];

impl Heard {
    pub fn new(text: &str) -> Heard {
        Heard { words: words(text) }
    }

    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn words(&self) -> &[String] {
        &self.words
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

    /// Without these words at its beginning, however many there are.
    pub fn after(&self, polite: &[&str]) -> Heard {
        let rest = self.words.iter().skip_while(|word| polite.contains(&word.as_str()));
        Heard { words: rest.cloned().collect() }
    }

    /// With figures in the place of numbers in words: "twenty one" is 21.
    pub fn in_figures(&self) -> Heard {
        let mut words: Vec<String> = Vec::new();
        let mut tens = None;
        for word in &self.words {
            let place = NUMBERS.iter().position(|number| number == word);
            let unit = place.filter(|unit| (1..10).contains(unit));
            let number = match (tens.take(), place, TENS.iter().position(|ten| ten == word)) {
                (Some(tens), ..) if unit.is_some() => {
                    words.pop();
                    Some(tens + unit.unwrap_or_default())
                }
                (_, Some(number), _) => Some(number),
                (_, None, Some(ten)) => {
                    tens = Some((ten + 2) * 10);
                    tens
                }
                _ => None,
            };
            words.push(number.map_or_else(|| word.clone(), |number| number.to_string()));
        }
        Heard { words }
    }

    /// The number before one of these words, or the last one said.
    pub fn number(&self, before: &[&str]) -> Option<f64> {
        let number = |word: &String| word.parse::<f64>().ok().filter(|number| number.is_finite());
        let mut pairs = self.words.windows(2);
        let named = pairs.find_map(|pair| before.contains(&pair[1].as_str()).then(|| number(&pair[0])).flatten());
        named.or_else(|| self.words.iter().rev().find_map(number))
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

    #[test]
    fn numbers_are_one_word() {
        assert_eq!(words("to 21.5°, or 30%. 3,5. 1."), ["to", "21.5", "degrees", "or", "30", "percent", "3.5", "1"]);
        let number = |text: &str| Heard::new(text).number(&["percent", "degrees"]);
        assert_eq!(number("lamp 2 to 30 percent"), Some(30.0));
        assert_eq!(number("set lamp 2 to 7"), Some(7.0));
        assert_eq!(number("set it to nan"), None);
        let figures = |text: &str| Heard::new(text).in_figures().words.join(" ");
        assert_eq!(figures("to twenty one degrees or fifty percent"), "to 21 degrees or 50 percent");
        assert_eq!(figures("a hundred, thirty two three, forty, ten"), "a 100 32 3 40 10");
        assert_eq!(Heard::new("please could you open").after(&["please", "could", "you"]).words, ["open"]);
    }
}
