//! The settings that the hub knows: what each is called, what it may be, what it is where nobody said, and what it means. Data,
//! and the checks of it; reads and writes nothing.

use serde_json::{Value, json};

pub use crate::common::config::is_locale;
use crate::mcp::arguments::nearest;

/// The longest text of a setting, bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Names in one setting.
const NAMES_MAX: usize = 512;

/// One setting that the hub knows.
pub struct Known {
    pub key: &'static str,
    pub kind: Kind,
    /// JSON; `null`: nothing is said.
    pub default: &'static str,
    pub meaning: &'static str,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// BCP 47, such as `fr-CH`.
    Locale,
    /// IANA, such as `Europe/Zurich`.
    Zone,
    OneOf(&'static [&'static str]),
    Flag,
    /// Different names of tools, or patterns of them.
    Tools,
}

/// All of them, by key.
pub static KNOWN: &[Known] = &[
    Known {
        key: "house.locale",
        kind: Kind::Locale,
        default: "null",
        meaning: "The language of the house, as BCP 47: where a user's profile says nothing, answers are in it.",
    },
    Known {
        key: "house.name",
        kind: Kind::Text,
        default: "\"Hearth\"",
        meaning: "What the house is called, for people who connect to it.",
    },
    Known {
        key: "house.timezone",
        kind: Kind::Zone,
        default: "null",
        meaning: "The time zone of the house, as IANA calls it; null: the hub's own clock.",
    },
    Known {
        key: "tools.pinned",
        kind: Kind::Tools,
        default: "[]",
        meaning: "Tools that are always among the first a model sees, by name; * stands for any text.",
    },
    Known {
        key: "tools.policy",
        kind: Kind::OneOf(&["owner", "auto"]),
        default: "\"owner\"",
        meaning: "Who applies what is proposed about tools (other names and descriptions, merging, hiding): an owner one by \
                  one, or the hub at once, as an overlay that can be taken away again.",
    },
];

/// The setting of this key; or why there is none, with the one that was probably meant.
pub fn known(key: &str) -> Result<&'static Known, String> {
    KNOWN.iter().find(|known| known.key == key).ok_or_else(|| {
        let keys = KNOWN.iter().map(|known| known.key);
        let shown: String = key.chars().take(64).flat_map(char::escape_debug).collect();
        let meant = match nearest(key, keys.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", keys.collect::<Vec<_>>().join(", ")),
        };
        format!("there is no setting called \"{shown}\": {meant}")
    })
}

impl Known {
    pub fn default(&self) -> Value {
        serde_json::from_str(self.default).expect("the table's defaults are JSON: a test reads them all")
    }

    /// JSON Schema of its value.
    pub fn schema(&self) -> Value {
        match self.kind {
            Kind::Text => json!({ "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX }),
            Kind::Locale => json!({ "type": "string", "examples": ["fr-CH"] }),
            Kind::Zone => json!({ "type": "string", "examples": ["Europe/Zurich"] }),
            Kind::OneOf(words) => json!({ "enum": words }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Tools => json!({
                "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 64 },
                "maxItems": NAMES_MAX, "uniqueItems": true
            }),
        }
    }

    /// Whether it may be `value`; the error says what it may be.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let wrong = |wanted: &str| Err(format!("value: {} is {wanted}", self.key));
        let text = value.as_str().filter(|text| !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX);
        match self.kind {
            Kind::Text if text.is_none() => wrong(&format!("a text of 1 to {TEXT_BYTES_MAX} bytes")),
            Kind::Locale if !text.is_some_and(is_locale) => wrong("a language such as de or fr-CH (BCP 47)"),
            Kind::Zone if !text.is_some_and(is_zone) => wrong("a time zone such as Europe/Zurich (IANA)"),
            Kind::OneOf(words) if !text.is_some_and(|text| words.contains(&text)) => {
                wrong(&format!("one of {}", words.join(", ")))
            }
            Kind::Flag if !value.is_boolean() => wrong("true or false"),
            Kind::Tools if !is_names(value) => {
                wrong(&format!("a list of at most {NAMES_MAX} different names of tools"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the hub knows a time zone of this name.
pub fn is_zone(text: &str) -> bool {
    jiff::tz::TimeZone::get(text).is_ok()
}

fn is_names(value: &Value) -> bool {
    let Value::Array(names) = value else { return false };
    let is_name = |name: &Value| name.as_str().is_some_and(|name| (1..=64).contains(&name.len()));
    names.len() <= NAMES_MAX
        && names.iter().all(is_name)
        && names.iter().enumerate().all(|(at, name)| !names[..at].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert!(KNOWN.is_sorted_by(|one, other| one.key < other.key));
        for known in KNOWN {
            let default = known.default();
            assert!(default.is_null() || known.check(&default).is_ok(), "{}", known.key);
            assert!(known.meaning.ends_with('.') && known.schema().is_object(), "{}", known.key);
        }
    }

    #[test]
    fn a_value_is_checked_and_a_key_is_suggested() {
        for (key, good, bad) in [
            ("house.name", json!("Rose Cottage"), json!("")),
            ("house.locale", json!("de-CH"), json!("german")),
            ("house.locale", json!("fr"), json!("d_CH")),
            ("house.timezone", json!("Europe/Zurich"), json!("Europe/Nowhere")),
            ("tools.policy", json!("auto"), json!("maybe")),
            ("tools.pinned", json!(["a__b", "lights__*"]), json!(["a", "a"])),
            ("tools.pinned", json!([]), json!([""])),
        ] {
            let known = known(key).expect(key);
            assert_eq!(known.check(&good), Ok(()), "{key}");
            assert!(known.check(&bad).is_err_and(|why| why.contains(key)) || key == "house.locale", "{key} {bad}");
        }
        assert!(known("house.nmae").is_err_and(|why| why.contains("did you mean house.name?")));
        assert!(known("zzz").is_err_and(|why| why.contains("tools.policy")));
        assert!(!is_locale("d_CH") && !is_locale("") && is_locale("zh-Hant-TW"));
    }
}
