//! Words that the assistant knows beside the names of the house, by what they do in a sentence. Data alone.

/// Words for kinds of devices: what is said, and what it means.
pub const KINDS: &[(&[&str], &str)] = &[
    (&["light", "lights", "lamp", "lamps", "bulb", "bulbs"], "light"),
    (&["plug", "plugs", "socket", "sockets", "outlet", "outlets", "switch", "switches"], "switch"),
    (&["blind", "blinds", "shutter", "shutters", "curtain", "curtains", "cover", "covers"], "cover"),
    (&["lock", "locks"], "lock"),
    (&["thermostat", "thermostats", "radiator", "radiators", "heating", "heater"], "climate"),
    (&["fan", "fans"], "fan"),
];

/// One thing, whatever it is called: "the desk light" is the "desk lamp".
pub const ALIKE: &[&str] = &["light", "lamp", "bulb"];

pub const ALL: &[&str] = &["all", "every", "everything", "everywhere"];
pub const EXCEPT: &[&str] = &["except", "but", "without", "excluding"];
pub const POLITE: &[&str] = &[
    "please",
    "could",
    "can",
    "would",
    "will",
    "you",
    "hey",
    "hi",
    "hello",
    "ok",
    "okay",
    "just",
    "now",
    "hearth",
    "and",
    "then",
    "i",
    "id",
    "want",
    "need",
    "like",
    "to",
    "lets",
    "good",
    "night",
    "goodnight",
    "morning",
    "evening",
    "thanks",
];

/// Words with which a command begins.
pub const VERBS: &[&str] = &[
    "turn",
    "switch",
    "dim",
    "brighten",
    "set",
    "open",
    "close",
    "lock",
    "unlock",
    "raise",
    "lower",
    "toggle",
    "put",
    "shut",
    "start",
    "stop",
    "activate",
    "deactivate",
    "increase",
    "decrease",
    "reduce",
    "pull",
    "power",
    "make",
    "heat",
];

/// Which way something goes: by verbs, and by words beside [`WITH_A_WAY`].
pub const UP: &[&str] = &["brighten", "raise", "increase"];
pub const DOWN: &[&str] = &["dim", "lower", "decrease", "reduce"];
pub const WITH_A_WAY: &[&str] = &["turn", "put", "pull", "make", "set"];
pub const UPWARDS: &[&str] = &["up", "brighter", "lighter", "warmer", "hotter", "higher"];
pub const DOWNWARDS: &[&str] = &["down", "dimmer", "darker", "cooler", "colder", "lower"];
/// What goes with a way: "a bit".
pub const A_BIT: &[&str] = &["bit", "little"];

/// Levels in words, percent.
pub const LEVELS: &[(&str, f64)] =
    &[("half", 50.0), ("halfway", 50.0), ("full", 100.0), ("maximum", 100.0), ("max", 100.0), ("minimum", 1.0)];

/// Words of heating.
pub const WARMTH: &[&str] =
    &["degrees", "celsius", "temperature", "heat", "heating", "warmer", "hotter", "cooler", "colder"];

/// Words for colours, with what is set: the longest words first.
pub const COLOURS: &[(&[&str], Colour)] = &[
    (&["warm", "white"], Colour::Mireds(370)),
    (&["cool", "white"], Colour::Mireds(250)),
    (&["cold", "white"], Colour::Mireds(250)),
    (&["white"], Colour::Mireds(300)),
    (&["red"], Colour::Hue(0)),
    (&["orange"], Colour::Hue(30)),
    (&["yellow"], Colour::Hue(60)),
    (&["green"], Colour::Hue(120)),
    (&["turquoise"], Colour::Hue(180)),
    (&["blue"], Colour::Hue(240)),
    (&["purple"], Colour::Hue(280)),
    (&["pink"], Colour::Hue(320)),
];

/// See [`COLOURS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colour {
    /// Degrees of the wheel, as full as can be.
    Hue(u16),
    /// White, so warm.
    Mireds(u16),
}

/// Words that turn a command without a verb into a question, a story or its opposite: "why is the lamp on", "do not switch it off".
pub const NO_COMMAND: &[&str] = &[
    "why", "who", "when", "where", "what", "whats", "which", "how", "whether", "is", "are", "was", "were", "be",
    "been", "does", "did", "has", "have", "had", "should", "shall", "not", "dont", "never", "isnt", "doesnt", "didnt",
    "wont", "cant", "cannot", "turned", "switched", "went", "goes", "stays", "keeps",
];

pub const NOT: &[&str] = &["not", "dont", "never"];

/// Words of another time than now.
pub const LATER: &[&str] = &[
    "if", "when", "whenever", "unless", "until", "till", "after", "before", "later", "tomorrow", "tonight", "minute",
    "minutes", "min", "mins", "hour", "hours", "second", "seconds", "oclock", "am", "pm", "daily", "sunset", "sunrise",
    "noon", "midnight",
];

/// Words that a command to many devices may have beside its verb, its kind and its places. Any other may be a place or a limit
/// that is not known here, and without it too much would be done.
pub const SMALL: &[&str] = &[
    "the",
    "a",
    "an",
    "my",
    "our",
    "your",
    "of",
    "in",
    "on",
    "at",
    "to",
    "by",
    "for",
    "from",
    "off",
    "up",
    "down",
    "it",
    "them",
    "me",
    "us",
    "i",
    "we",
    "want",
    "need",
    "whole",
    "house",
    "home",
    "both",
    "each",
    "any",
    "also",
    "too",
    "percent",
    "degrees",
    "celsius",
    "brightness",
    "level",
    "right",
    "away",
    "immediately",
    "again",
    "kindly",
    "good",
    "night",
    "thanks",
    "thank",
];

/// With these an "if" is only polite.
pub const IF_POLITE: &[&str] = &["if you can", "if you could", "if you please", "if you would", "if possible"];

/// What is locked by the lock that there is.
pub const DOORS: &[&str] = &["door", "doors"];

/// Words that may stand about those that are left out.
pub const SPARED: &[&str] = &["one", "ones", "those", "not", "leave", "keep"];
