//! The stem of an English word: `creating`, `created`, `creates`, `creation` are one. Porter's second algorithm ("English" in
//! Snowball, 2001), after spelling is made American and irregular forms regular. A stem need not be a word. Pure.

/// Forms that no rule finds, and what they are forms of.
#[rustfmt::skip]
const IRREGULAR: &[(&str, &str)] = &[
    ("ate", "eat"), ("began", "begin"), ("begun", "begin"), ("blew", "blow"), ("bought", "buy"), ("broke", "break"),
    ("broken", "break"), ("brought", "bring"), ("built", "build"), ("burnt", "burn"), ("buses", "bus"), ("came", "come"),
    ("caught", "catch"), ("children", "child"), ("chose", "choose"), ("chosen", "choose"), ("creation", "create"), ("drank", "drink"),
    ("drawn", "draw"), ("drew", "draw"), ("driven", "drive"), ("drove", "drive"), ("eaten", "eat"), ("fed", "feed"),
    ("feet", "foot"), ("fell", "fall"), ("felt", "feel"), ("flew", "fly"), ("flown", "fly"), ("forgot", "forget"),
    ("forgotten", "forget"), ("fought", "fight"), ("found", "find"), ("froze", "freeze"), ("frozen", "freeze"),
    ("gave", "give"), ("given", "give"), ("gone", "go"), ("got", "get"), ("gotten", "get"), ("grew", "grow"),
    ("grown", "grow"), ("heard", "hear"), ("held", "hold"), ("hid", "hide"), ("hidden", "hide"), ("indices", "index"),
    ("kept", "keep"), ("knew", "know"), ("known", "know"), ("knives", "knife"), ("laid", "lay"), ("learnt", "learn"),
    ("lent", "lend"), ("lit", "light"), ("lost", "lose"), ("made", "make"), ("matrices", "matrix"), ("men", "man"),
    ("met", "meet"), ("mice", "mouse"), ("paid", "pay"), ("people", "person"), ("ran", "run"), ("rang", "ring"),
    ("ridden", "ride"), ("rode", "ride"), ("said", "say"), ("sang", "sing"), ("sat", "sit"), ("saw", "see"),
    ("seen", "see"), ("sent", "send"), ("shot", "shoot"), ("shown", "show"), ("shut", "shut"), ("slept", "sleep"),
    ("sold", "sell"), ("sought", "seek"), ("spelt", "spell"), ("spent", "spend"), ("spoke", "speak"),
    ("spoken", "speak"), ("stole", "steal"), ("stolen", "steal"), ("stood", "stand"), ("stuck", "stick"),
    ("sung", "sing"), ("swam", "swim"), ("swept", "sweep"), ("taken", "take"), ("taught", "teach"), ("teeth", "tooth"),
    ("thieves", "thief"), ("thought", "think"), ("threw", "throw"), ("thrown", "throw"), ("told", "tell"),
    ("took", "take"), ("torn", "tear"), ("vertices", "vertex"), ("went", "go"), ("wives", "wife"), ("woke", "wake"),
    ("woken", "wake"), ("women", "woman"), ("won", "win"), ("wore", "wear"), ("worn", "wear"), ("written", "write"),
    ("wrote", "write"),
    // British words, and words that the rules below would take for others.
    ("aeroplane", "airplane"), ("aluminium", "aluminum"), ("analyse", "analyze"), ("analysis", "analyze"),
    ("artefact", "artifact"), ("catalogue", "catalog"), ("centre", "center"), ("centres", "center"),
    ("cheque", "check"), ("cheques", "check"), ("defence", "defense"), ("dialogue", "dialog"), ("fulfil", "fulfill"),
    ("gray", "grey"), ("jewellery", "jewelry"), ("kerb", "curb"), ("licence", "license"), ("licences", "license"),
    ("litre", "liter"), ("litres", "liter"), ("metre", "meter"), ("metres", "meter"), ("kilometre", "kilometer"),
    ("kilometres", "kilometer"), ("news", "news"), ("organisation", "organization"), ("practise", "practice"),
    ("programme", "program"), ("programmes", "program"), ("theatre", "theater"), ("theatres", "theater"),
    ("tyre", "tire"), ("tyres", "tire"), ("yoghurt", "yogurt"), ("enrolment", "enrollment"),
    ("one", "1"), ("two", "2"), ("three", "3"), ("four", "4"), ("five", "5"), ("six", "6"), ("seven", "7"),
    ("eight", "8"), ("nine", "9"), ("ten", "10"), ("twelve", "12"), ("twenty", "20"), ("thirty", "30"),
    ("hundred", "100"), ("thousand", "1000"),
];

/// British endings and their American ones: `colour`, `summarise`.
const BRITISH: &[(&str, &str)] = &[
    ("isations", "izations"),
    ("isation", "ization"),
    ("ising", "izing"),
    ("ised", "ized"),
    ("ises", "izes"),
    ("ise", "ize"),
    ("yse", "yze"),
    ("ysed", "yzed"),
    ("ysing", "yzing"),
    ("ours", "ors"),
    ("our", "or"),
    ("oured", "ored"),
    ("ouring", "oring"),
    ("ourite", "orite"),
    ("ourites", "orites"),
];

/// Step 2 of the algorithm, and step 3: endings that are made shorter where enough of a word is before them.
#[rustfmt::skip]
const LONG: &[(&str, &str)] = &[
    ("ational", "ate"), ("tional", "tion"), ("ization", "ize"), ("fulness", "ful"), ("ousness", "ous"),
    ("iveness", "ive"), ("biliti", "ble"), ("lessli", "less"), ("ation", "ate"), ("alism", "al"), ("aliti", "al"),
    ("ousli", "ous"), ("iviti", "ive"), ("fulli", "ful"), ("entli", "ent"), ("enci", "ence"), ("anci", "ance"),
    ("abli", "able"), ("izer", "ize"), ("ator", "ate"), ("alli", "al"), ("bli", "ble"), ("ogi", "og"), ("li", ""),
];
#[rustfmt::skip]
const SHORTER: &[(&str, &str)] = &[
    ("alize", "al"), ("icate", "ic"), ("iciti", "ic"), ("ical", "ic"), ("ness", ""), ("ful", ""),
];

/// Step 4: endings that go where more of a word is before them.
#[rustfmt::skip]
const LAST: &[&str] = &[
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive", "ize", "ion", "al",
    "er", "ic",
];

/// See the module. Words that are not plain small letters are their own stems.
pub fn stem(word: &str) -> Box<str> {
    if let Some((_, of)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return if of.len() == word.len() && *of == word { word.into() } else { stem(of) };
    }
    if word.len() < 3 || !word.bytes().all(|letter| letter.is_ascii_lowercase()) {
        return word.into();
    }
    let mut stem = word.to_owned();
    if let Some((british, american)) =
        BRITISH.iter().find(|(british, _)| word.len() > british.len() + 2 && word.ends_with(british))
    {
        replace(&mut stem, british, american);
    }
    // A `y` that stands for a consonant is not one of the vowels.
    if stem.starts_with('y') {
        stem.replace_range(..1, "Y");
    }
    for at in 1..stem.len() {
        if stem.as_bytes()[at] == b'y' && is_vowel(stem.as_bytes()[at - 1]) {
            stem.replace_range(at..=at, "Y");
        }
    }
    let first = region(&stem, 0);
    let second = region(&stem, first);
    plural(&mut stem);
    past(&mut stem, first);
    let len = stem.len();
    if len > 2 && matches!(stem.as_bytes()[len - 1], b'y' | b'Y') && !is_vowel(stem.as_bytes()[len - 2]) {
        stem.truncate(len - 1);
        stem.push('i');
    }
    for endings in [LONG, SHORTER] {
        let Some((ending, by)) = endings.iter().find(|(ending, _)| stem.ends_with(ending)) else { continue };
        let before = stem.len() - ending.len();
        let is_li = *ending == "li" && !stem[..before].ends_with(['c', 'd', 'e', 'g', 'h', 'k', 'm', 'n', 'r', 't']);
        let is_ogi = *ending == "ogi" && !stem[..before].ends_with('l');
        if before >= first && !is_li && !is_ogi {
            replace(&mut stem, ending, by);
        }
    }
    if let Some(ending) = LAST.iter().find(|ending| stem.ends_with(**ending)) {
        let before = stem.len() - ending.len();
        if before >= second && (*ending != "ion" || stem[..before].ends_with(['s', 't'])) {
            stem.truncate(before);
        }
    }
    let before = stem.len() - 1;
    let is_silent =
        stem.ends_with('e') && (before >= second || before >= first && !is_short(&stem.as_bytes()[..before]));
    if is_silent || stem.ends_with("ll") && before >= second {
        stem.truncate(before);
    }
    stem.make_ascii_lowercase();
    stem.into()
}

fn replace(stem: &mut String, ending: &str, by: &str) {
    stem.truncate(stem.len() - ending.len());
    stem.push_str(by);
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

/// Where the part begins that is after the first consonant that follows a vowel, from a place on.
fn region(word: &str, from: usize) -> usize {
    let letters = word.as_bytes();
    for beginning in ["gener", "commun", "arsen"] {
        if from == 0 && word.starts_with(beginning) {
            return beginning.len();
        }
    }
    let at = (from + 1..letters.len()).find(|at| is_vowel(letters[at - 1]) && !is_vowel(letters[*at]));
    at.map_or(letters.len(), |at| at + 1)
}

/// Whether it ends in a short syllable: a consonant, a vowel, a consonant that is not w, x or Y; or begins with a vowel and a consonant.
fn is_short(word: &[u8]) -> bool {
    match *word {
        [a, b] => is_vowel(a) && !is_vowel(b),
        [.., a, b, c] => !is_vowel(a) && is_vowel(b) && !is_vowel(c) && !matches!(c, b'w' | b'x' | b'Y'),
        _ => false,
    }
}

/// Step 1a.
fn plural(stem: &mut String) {
    if stem.ends_with("sses") {
        replace(stem, "es", "");
    } else if stem.ends_with("ied") || stem.ends_with("ies") {
        let cut = if stem.len() > 4 { 2 } else { 1 };
        stem.truncate(stem.len() - cut);
    } else if stem.ends_with('s') && !stem.ends_with("us") && !stem.ends_with("ss") {
        let before = &stem.as_bytes()[..stem.len() - 1];
        if before[..before.len() - 1].iter().any(|letter| is_vowel(*letter)) {
            stem.pop();
        }
    }
}

/// Step 1b.
fn past(stem: &mut String, first: usize) {
    for ending in ["eedly", "eed"] {
        if stem.ends_with(ending) {
            if stem.len() - ending.len() >= first {
                replace(stem, ending, "ee");
            }
            return;
        }
    }
    let Some(ending) = ["ingly", "edly", "ing", "ed"].into_iter().find(|ending| stem.ends_with(ending)) else { return };
    let before = stem.len() - ending.len();
    if !stem.as_bytes()[..before].iter().any(|letter| is_vowel(*letter)) {
        return;
    }
    stem.truncate(before);
    let bytes = stem.as_bytes();
    if stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz") {
        stem.push('e');
    } else if let [.., a, b] = *bytes
        && a == b
        && b"bdfgmnprt".contains(&b)
    {
        stem.pop();
    } else if first >= stem.len() && is_short(bytes) {
        stem.push('e');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        let families: [&[&str]; 16] = [
            &["create", "creating", "created", "creates", "creation"],
            &["translate", "translation", "translations", "translating"],
            &["directory", "directories"],
            &["run", "running", "ran", "runs"],
            &["cancel", "cancelled", "canceled", "cancelling"],
            &["summarise", "summarize", "summarised"],
            &["colour", "colors"],
            &["child", "children"],
            &["send", "sent", "sending"],
            &["stop", "stopped"],
            &["write", "written", "wrote", "writing"],
            &["organise", "organize", "organisation", "organization"],
            &["tyre", "tires"],
            &["configure", "configured", "configures"],
            &["two", "2"],
            &["pay", "paid", "pays"],
        ];
        for family in families {
            family.iter().for_each(|word| assert_eq!(stem(word), stem(family[0]), "{word}"));
        }
        for (one, other) in
            [("new", "news"), ("email", "emit"), ("light", "lid"), ("server", "service"), ("note", "not")]
        {
            assert_ne!(stem(one), stem(other), "{one} is not {other}");
        }
    }

    #[test]
    fn odd_words_are_left_as_they_are() {
        for word in ["", "s", "ss", "42", "größe", "k8s", "日本", "ing", "eed", "yyyy", "sses", "ied"] {
            let _ = stem(word);
        }
        assert_eq!(&*stem("k8s"), "k8s");
        assert_eq!(&*stem("日本"), "日本");
    }
}
