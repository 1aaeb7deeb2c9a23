//! Whether what a device has said since a command bears out that it was carried out. Holds no time and sends nothing.

use serde_json::{Map, Value};

use crate::zigbee::definitions::{Expect, Expected};

/// What a device has said since the first command of a plan went out.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Newest value of each property.
    said: Map<String, Value>,
    /// The same, of what was said after it had taken all commands.
    said_after: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is as it was wished.
    Confirmed,
    /// It has not said all that is to be known.
    Open,
    /// It says otherwise, so far: the property, and what it says.
    Otherwise { property: Box<str>, says: Value },
}

impl Evidence {
    /// Properties that happen and are not.
    const EVENTS: [&'static str; 1] = ["action"];

    pub fn add(&mut self, changes: &Map<String, Value>, has_taken: bool) {
        for (property, value) in changes.iter().filter(|(property, _)| !Self::EVENTS.contains(&property.as_str())) {
            self.said.insert(property.clone(), value.clone());
            if has_taken {
                self.said_after.insert(property.clone(), value.clone());
            }
        }
    }

    /// `has_taken`: the device has answered all commands with success.
    pub fn judge(&self, expect: &[Expected], has_taken: bool) -> Verdict {
        let mut verdict = Verdict::Confirmed;
        for Expected { property, value } in expect {
            match value {
                Expect::Value { value, tolerance } => match self.said.get(&**property) {
                    Some(said) if is_near(said, value, *tolerance) => {}
                    Some(said) => return Verdict::Otherwise { property: property.clone(), says: said.clone() },
                    None => verdict = Verdict::Open,
                },
                // Said before the command was taken, it may be how it was before.
                Expect::Any if self.said_after.contains_key(&**property) => {}
                Expect::Taken { .. } | Expect::Begun { .. } if has_taken => {}
                Expect::Any | Expect::Taken { .. } | Expect::Begun { .. } => verdict = Verdict::Open,
            }
        }
        verdict
    }

    /// What was said so far is no evidence any more.
    pub fn clear(&mut self) {
        self.said.clear();
        self.said_after.clear();
    }

    /// All that it said, and what it took where that is all there is.
    pub fn state(&self, expect: &[Expected], has_taken: bool) -> Map<String, Value> {
        let mut state = self.said.clone();
        for Expected { property, value } in expect {
            if let Expect::Taken { value } = value
                && has_taken
                && !state.contains_key(&**property)
            {
                state.insert(property.to_string(), value.clone());
            }
        }
        state
    }
}

/// Equal, but for numbers that a device rounds. Of objects, all that is wished must be there.
pub fn is_near(said: &Value, wished: &Value, tolerance: f64) -> bool {
    match (said, wished) {
        (Value::Number(said), Value::Number(wished)) => match (said.as_f64(), wished.as_f64()) {
            (Some(said), Some(wished)) => (said - wished).abs() <= tolerance,
            _ => false,
        },
        (Value::Object(said), Value::Object(wished)) => {
            wished.iter().all(|(key, wished)| said.get(key).is_some_and(|said| is_near(said, wished, tolerance)))
        }
        _ => said == wished,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn expected(property: &str, value: Expect) -> Expected {
        Expected { property: property.into(), value }
    }

    #[test]
    fn a_value_counts_whenever_it_is_said_and_the_last_word_counts() {
        let expect = [expected("brightness", Expect::Value { value: json!(200), tolerance: 1.0 })];
        let mut evidence = Evidence::default();
        assert_eq!(evidence.judge(&expect, true), Verdict::Open);
        evidence.add(&map(json!({"brightness": 199, "action": "on"})), false);
        assert_eq!(evidence.judge(&expect, true), Verdict::Confirmed);
        assert_eq!(evidence.state(&expect, true), map(json!({"brightness": 199})), "an action is no state");
        evidence.add(&map(json!({"brightness": 12})), true);
        let otherwise = Verdict::Otherwise { property: "brightness".into(), says: json!(12) };
        assert_eq!(evidence.judge(&expect, true), otherwise);
    }

    #[test]
    fn of_a_toggle_only_what_is_said_after_it_was_taken_counts() {
        let expect = [expected("state", Expect::Any)];
        let mut evidence = Evidence::default();
        evidence.add(&map(json!({"state": "ON"})), false);
        assert_eq!(evidence.judge(&expect, true), Verdict::Open);
        evidence.add(&map(json!({"state": "ON"})), true);
        assert_eq!(evidence.judge(&expect, true), Verdict::Confirmed);
    }

    #[test]
    fn what_cannot_be_read_is_confirmed_by_being_taken_and_by_nothing_less() {
        let expect = [expected("effect", Expect::Taken { value: json!("blink") })];
        let mut evidence = Evidence::default();
        evidence.add(&map(json!({"state": "ON"})), false);
        assert_eq!(evidence.judge(&expect, false), Verdict::Open);
        assert_eq!(evidence.judge(&expect, true), Verdict::Confirmed);
        assert_eq!(evidence.state(&expect, false).get("effect"), None);
        assert_eq!(evidence.state(&expect, true)["effect"], "blink");
        let begun = [expected("position", Expect::Begun { value: json!(30) })];
        assert_eq!((evidence.judge(&begun, false), evidence.judge(&begun, true)), (Verdict::Open, Verdict::Confirmed));
        assert_eq!(evidence.state(&begun, true).get("position"), None, "it is not there yet");
    }

    #[test]
    fn a_colour_is_near_when_all_of_it_is() {
        let wished = json!({"x": 0.3, "y": 0.4});
        assert!(is_near(&json!({"x": 0.301, "y": 0.4, "hue": 20}), &wished, 0.002));
        assert!(!is_near(&json!({"x": 0.301, "y": 0.5}), &wished, 0.002));
        assert!(!is_near(&json!({"x": 0.3}), &wished, 0.002));
    }
}
