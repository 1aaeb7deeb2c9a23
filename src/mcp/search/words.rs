//! Words of a text as the search compares them: split, folded to plain small letters, cut to their stems; which mean nearly
//! the same. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

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

/// Words that people and tool writers use for the same thing. Each line is one meaning; a word may have several.
const MEANINGS: &[&str] = &[
    "create add new remember make insert register open start draft write schedule book compose generate",
    "delete remove erase drop destroy purge trash rid clear wipe discard forget",
    "update edit change modify patch alter adjust correct revise fix replace set",
    "get fetch read retrieve load show display view see look tell check obtain give inspect",
    "list enumerate show browse display overview view available",
    "search find query lookup look locate discover seek grep hunt",
    "send post deliver transmit publish dispatch notify tell",
    "rename name relabel title",
    "move transfer relocate shift",
    "copy duplicate clone fork replicate",
    "stop halt end terminate kill abort cancel quit shut",
    "start begin launch run execute trigger invoke boot",
    "restart reboot reset",
    "close finish complete resolve done",
    "convert transform translate change",
    "compute calculate count sum total evaluate add plus",
    "summary summarise summarize overview digest brief report recap",
    "file document doc",
    "folder directory dir",
    "mail email inbox letter",
    "message msg chat dm text note",
    "picture image photo snapshot screenshot img",
    "video film movie clip",
    "song music track tune audio",
    "lamp light bulb",
    "bright brightness dim dimmer luminosity",
    "heat warm thermostat temperature climate heating",
    "humid humidity moisture",
    "blind cover shutter shade curtain",
    "plug socket outlet switch",
    "lock secure bolt unlock",
    "meeting appointment event calendar",
    "contact person people address",
    "task todo ticket issue card",
    "bug issue ticket defect error",
    "pull pr merge",
    "repository repo project",
    "money payment pay charge bill",
    "invoice bill receipt",
    "buy purchase order checkout",
    "price cost fee quote",
    "refund reimburse return",
    "stock share equity inventory",
    "customer client buyer",
    "user member person account people",
    "password credential secret login",
    "weather forecast rain sun temperature",
    "route directions navigate way travel",
    "map place location geocode position",
    "trip travel journey flight vacation holiday",
    "hotel room lodging accommodation stay",
    "page web site website url link",
    "browse web internet online",
    "time clock hour date timezone",
    "reminder alarm timer alert notification",
    "log trace audit history",
    "metric usage statistics stats analytics figures",
    "table sheet spreadsheet excel",
    "row record entry line",
    "column field attribute property",
    "database db sql",
    "upload import attach ingest",
    "download export save backup",
    "branch fork",
    "commit checkin change revision",
    "deploy release rollout ship publish",
    "server machine instance host vm container",
    "cache redis",
    "subscribe follow watch",
    "invite add onboard",
    "assign delegate give",
    "comment reply respond answer note",
    "like favourite favorite star upvote",
    "translate language translation",
    "conversation chat thread talk discussion",
    "share permission access grant",
    "remember forget memory recall knowledge fact",
    "relation link connect edge relationship",
    "size large big byte length space",
    "turn switch toggle set power make",
    "route way directions navigate get",
    "word term text",
    "lyrics words song",
    "calorie nutrition",
    "warmer heat thermostat temperature",
    "colder cool cold air conditioner",
    "hot heat warm",
    "red green blue color colour",
    "drive car travel trip",
    "kids children family child",
    "aloud speak say speech voice read pronounce talk",
    "reschedule move postpone update",
    "visitor guest",
    "pollute pollution quality air",
    "run workout jog exercise sport training",
    "water irrigate sprinkler sprinkle",
    "bitcoin crypto cryptocurrency coin",
    "worth price value cost quote",
    "expense cost spend spending",
    "request call query",
    "synonym another",
    "checkout switch",
    "allow permit add enable",
    "block deny forbid disable",
    "enable on activate",
    "disable off deactivate",
    "phone telephone call",
    "boss manager",
    "column field schema describe",
    "newest latest last recent",
    "internet network wifi wireless",
    "password passphrase pin code",
    "learn study course lesson quiz",
    "pair join connect onboard",
    "battery charge power",
    "energy power watt electricity consumption",
    "door gate garage contact doorbell visitor",
    "motion moving presence occupancy movement",
    "vacuum clean hoover robot",
    "cook recipe food meal dish",
    "shop grocery cart basket",
    "news headline article story",
    "tweet post status",
    "ping echo alive reach",
    "env environment variable config",
    "settings configuration preference option config configure",
    "volume loud sound quiet",
    "play resume listen",
    "pause hold stop",
    "next skip",
    "first begin head top",
    "last end tail recent latest",
    "employee staff worker colleague",
    "vacancy job position opening",
    "compress zip archive pack",
    "extract unzip unpack decompress",
    "encrypt cipher protect",
    "parse decode read",
    "label tag category",
    "permission role right",
    "approve accept confirm allow",
    "reject decline deny refuse",
    "schedule plan cron calendar",
    "archive hide",
    "restore recover undo revert",
    "monitor watch observe track",
    "currency money exchange",
    "definition meaning dictionary",
    "book reserve reservation",
    "shipment parcel package delivery tracking",
    "survey form questionnaire poll",
    "lead prospect opportunity deal",
];

/// Stem → the lines of [`MEANINGS`] in which it stands.
static LINES: LazyLock<HashMap<Box<str>, Vec<u8>>> = LazyLock::new(|| {
    let mut lines: HashMap<Box<str>, Vec<u8>> = HashMap::new();
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
        assert!(MEANINGS.len() <= usize::from(u8::MAX), "a line's number is a byte");
    }
}
