//! What the assistant recognises, a row each: when it is meant, what is said, and utterances that must lead to it. The
//! order is the order of preference: what can be acted upon comes before what is merely polite.

use jiff::Zoned;

use super::hear::Heard;

/// One thing that can be meant.
pub struct Intent {
    pub is_meant: fn(&Heard) -> bool,
    pub say: fn(&Zoned) -> String,
    #[cfg(test)]
    examples: &'static [&'static str],
}

/// Said to everything else: what it can do, and how to get more.
pub const NOT_UNDERSTOOD: &str = "I cannot answer that: I am the small assistant built into this hub, and I know the time, \
the date and the devices of this house, and little else. For free conversation, give the hub a language model: set OPENAI_API_KEY, or run a local model \
server, as config.yaml describes under providers.";

/// Said where something in the house is meant, and the one who asks has no way to it.
pub const NO_HOUSE: &str =
    "I cannot do that: from here I have no way to the devices of the house, so nothing was switched or measured.";

pub const INTENTS: &[Intent] = &[
    Intent {
        is_meant: |heard| {
            heard.says(&["what time", "whats the time", "is the time", "me the time", "time is it", "current time"])
                || heard.is(&["time", "the time", "time please", "time now", "clock"])
        },
        say: |now| format!("It is {} here ({}).", now.strftime("%H:%M"), zone(now)),
        #[cfg(test)]
        examples: &[
            "What time is it?",
            "what's the time",
            "Tell me the time please",
            "time?",
            "hi, do you know what time it is",
        ],
    },
    Intent {
        is_meant: |heard| {
            heard.says(&[
                "what day",
                "what date",
                "todays date",
                "the date",
                "date is it",
                "date today",
                "day is it",
                "day is today",
            ]) || heard.is(&["date", "today", "day"])
        },
        say: |now| format!("Today is {}.", now.strftime("%A, %-d %B %Y")),
        #[cfg(test)]
        examples: &["What's the date today?", "which day is it", "what day is it", "today's date", "Date!"],
    },
    Intent {
        is_meant: |heard| {
            heard.says(&[
                "who are you",
                "what are you",
                "your name",
                "who am i talking to",
                "are you chatgpt",
                "are you an ai",
            ])
        },
        say: |_| {
            "I am the small assistant built into Hearth, the service of this hub. I work without the internet and I am no \
             language model."
                .to_owned()
        },
        #[cfg(test)]
        examples: &["Who are you?", "what's your name", "what are you exactly"],
    },
    Intent {
        is_meant: |heard| {
            heard.len() == 0
                || heard.is(&["help", "help me", "please help"])
                || heard.says(&[
                    "what can you do",
                    "can you help",
                    "what do you do",
                    "what can i say",
                    "what can i ask",
                ])
        },
        say: |_| {
            "Say what I should switch, such as \"turn on the kitchen lamp\" or \"all lights off in the kitchen\", or ask me how the \
             devices are, for the time or for the date. I also give names and rooms: \"rename Bulb to kitchen lamp\", \"make a room \
             called Attic\", \"put the kitchen lamp into the kitchen\". For free conversation, give the hub a language model, as config.yaml \
             describes under providers."
                .to_owned()
        },
        #[cfg(test)]
        examples: &["help", "What can you do?", "Can you help me?", ""],
    },
    Intent {
        is_meant: |heard| {
            heard.len() <= SHORT_LEN && heard.has(&["bye", "goodbye", "goodnight"])
                || heard.is(&["good night", "see you"])
        },
        say: |_| "Goodbye!".to_owned(),
        #[cfg(test)]
        examples: &["bye", "Goodbye!", "thanks, bye", "good night"],
    },
    Intent {
        is_meant: |heard| {
            heard.len() <= SHORT_LEN && (heard.has(&["thanks", "thx", "cheers"]) || heard.says(&["thank you"]))
        },
        say: |_| "You are welcome.".to_owned(),
        #[cfg(test)]
        examples: &["Thanks", "thank you very much!", "ok thanks"],
    },
    Intent {
        is_meant: |heard| {
            let greets = heard.begins(&["hi", "hello", "hey", "hiya", "howdy", "greetings"])
                || heard.says(&["good morning", "good afternoon", "good evening", "good day"]);
            heard.len() <= SHORT_LEN && greets
        },
        say: |now| format!("{}! How can I help?", greeting(now)),
        #[cfg(test)]
        examples: &["Hi", "hello there", "Hey!", "Good morning", "good evening, hub"],
    },
];

/// The most words of a remark that is nothing but polite.
const SHORT_LEN: usize = 4;

fn zone(now: &Zoned) -> String {
    now.time_zone().iana_name().map_or_else(|| now.strftime("UTC%:z").to_string(), str::to_owned)
}

fn greeting(now: &Zoned) -> &'static str {
    match now.hour() {
        5..12 => "Good morning",
        12..18 => "Good afternoon",
        18..23 => "Good evening",
        _ => "Hello",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_leads_to_its_own_intent() {
        for (row, intent) in INTENTS.iter().enumerate() {
            for example in intent.examples {
                let heard = Heard::new(example);
                let meant = INTENTS.iter().position(|intent| (intent.is_meant)(&heard));
                assert_eq!(meant, Some(row), "{example:?}");
            }
        }
    }

    #[test]
    fn nothing_is_heard_into_what_means_something_else() {
        for text in [
            "Tell me a joke",
            "Tell me a story about time travel",
            "Write a poem about a lamp",
            "How do sometimes times tables help children?",
            "What is a light year?",
            "explain thanksgiving to a child from France",
            "dates are sweet, are they not, when they come from Tunisia",
            "hello world programs in Rust and in C",
            "Qu'est-ce que tu fais ?",
        ] {
            let heard = Heard::new(text);
            assert!(!INTENTS.iter().any(|intent| (intent.is_meant)(&heard)), "{text}");
        }
    }
}
