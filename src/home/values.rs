//! Whether a device takes a value: asked before anything is sent, so that the answer can say what it takes. Knows no device
//! but what it can do.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::common::capability::{Capability, CapabilityKind, Domain};
use crate::common::error::{ErrorBody, ErrorCode};

/// The longest text that a property takes, bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1_024;

/// The longest list or object that a property takes, bytes of JSON.
pub(super) const VALUE_BYTES_MAX: usize = 4_096;

/// Objects within objects; capabilities come from elsewhere.
const DEPTH_MAX: u8 = 4;

/// What is left of a wish when a device was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    /// In the device's own words: `on` has become `ON`, `coolest` a number.
    pub set: Map<String, Value>,
    /// Properties that it cannot be told.
    pub left_out: Vec<Box<str>>,
}

/// What the device called `name` takes of `set`. `strict`: all of it, or it is an error. Otherwise what it has, and by the name
/// of a property all of its endpoints that have it: `state` is `state_left` and `state_right`.
pub(super) fn fit(
    name: &str,
    capabilities: &[Capability],
    set: &Map<String, Value>,
    strict: bool,
) -> Result<Fit, ErrorBody> {
    let mut fit = Fit { set: Map::new(), left_out: Vec::new() };
    for (property, value) in set {
        let same: Vec<_> = capabilities.iter().filter(|one| *one.property == **property).collect();
        if !strict && !same.iter().any(|one| one.settable) {
            let of_endpoint = |one: &&Capability| one.endpoint.is_some() && *one.name == **property && one.settable;
            let endpoints: BTreeSet<_> = capabilities.iter().filter(of_endpoint).map(|one| &one.property).collect();
            if endpoints.is_empty() {
                fit.left_out.push(property.as_str().into());
            }
            let each = endpoints.into_iter().map(|one| (one.to_string(), value.clone())).collect();
            fit.set.extend(self::fit(name, capabilities, &each, true)?.set);
            continue;
        }
        match take(&same, value) {
            Ok(value) => {
                fit.set.insert(property.clone(), value);
            }
            Err(Some(wrong)) => return Err(bad(format!("{property} of \"{name}\": {wrong}."))),
            Err(None) => {
                let what = settable(capabilities);
                return Err(bad(match what.is_empty() {
                    true => format!("\"{name}\" has no property \"{}\", and nothing that can be set.", shown(property)),
                    false => format!("\"{name}\" has no property \"{}\". It takes: {what}.", shown(property)),
                }));
            }
        }
    }
    Ok(fit)
}

/// A property may be there in several ways, as a colour is: the value as the first one takes it, or the complaint of the one
/// that was most likely meant; none where there is no such property.
fn take(ways: &[&Capability], value: &Value) -> Result<Value, Option<String>> {
    let mut taken = Err(ways.first().map(|_| String::from("tells it and takes nothing")));
    let mut settable: Vec<_> = ways.iter().filter(|one| one.settable).collect();
    settable.sort_by_key(|one| !has_fields(one, value));
    for way in settable.into_iter().rev() {
        match value_of(way, value, 0) {
            Ok(value) => taken = Ok(value),
            Err(wrong) if taken.is_err() => taken = Err(Some(wrong)),
            Err(_) => {}
        }
    }
    taken
}

/// What can be set, each with its range, what a device is for first.
pub(super) fn settable(capabilities: &[Capability]) -> String {
    const SHOWN_MAX: usize = 12;
    let mut all: Vec<_> = capabilities.iter().filter(|one| one.settable).collect();
    all.sort_by_key(|one| one.category.is_some());
    let mut shown: Vec<_> =
        all.iter().take(SHOWN_MAX).map(|one| format!("{} ({})", one.property, range(one))).collect();
    if all.len() > SHOWN_MAX {
        shown.push(format!("and {} more", all.len() - SHOWN_MAX));
    }
    shown.join(", ")
}

/// Whether what a device says after a command plainly is not what it was told. Numbers may be rounded and colours turned into
/// others; one of two is one of two. What takes its time (a cover, a lock) is not looked at.
pub(super) fn contradicts(
    capabilities: &[Capability],
    set: &Map<String, Value>,
    told: &Map<String, Value>,
) -> Option<String> {
    for (property, wished) in set {
        let Some(found) = told.get(property) else { continue };
        for capability in capabilities.iter().filter(|one| *one.property == **property) {
            let moves = matches!(capability.part_of, Some(Domain::Cover | Domain::Lock));
            let CapabilityKind::Binary { value_on, value_off, .. } = &capability.kind else { continue };
            let is_one = |value: &Value| value == value_on || value == value_off;
            if !moves && is_one(wished) && is_one(found) && wished != found {
                return Some(format!("{property} is still {found}"));
            }
        }
    }
    None
}

/// Of what a device was told and took, what it tells by itself and has not said to be so: what moves says when it is there.
pub(super) fn taken(capabilities: &[Capability], set: &Map<String, Value>, told: &Map<String, Value>) -> Vec<Box<str>> {
    let is_so = |property: &str, wished: &Value, capability: &Capability| {
        let Some(found) = told.get(property) else { return false };
        match (wished.as_f64(), found.as_f64(), &capability.kind) {
            // As near as devices come to what they are told.
            (Some(wished), Some(found), CapabilityKind::Numeric { min: Some(min), max: Some(max), .. }) => {
                (wished - found).abs() <= (max - min) * 0.02
            }
            _ => wished == found || !matches!(capability.part_of, Some(Domain::Cover | Domain::Lock)),
        }
    };
    let is_open = |property: &str, wished: &Value| {
        let mut ways = capabilities.iter().filter(|one| one.reported && *one.property == *property).peekable();
        ways.peek().is_some() && !ways.any(|one| is_so(property, wished, one))
    };
    set.iter()
        .filter(|(property, wished)| is_open(property, wished))
        .map(|(property, _)| property.as_str().into())
        .collect()
}

/// The value in the device's words, or what is wrong with it.
fn value_of(capability: &Capability, value: &Value, depth: u8) -> Result<Value, String> {
    let takes = || format!("takes {}", range(capability));
    match &capability.kind {
        CapabilityKind::Binary { value_on, value_off, value_toggle } => {
            let words = [Some(value_on), Some(value_off), value_toggle.as_ref()];
            words.into_iter().flatten().find(|word| is_word(word, value)).cloned().ok_or_else(takes)
        }
        CapabilityKind::Numeric { min, max, presets, .. } => {
            if let Some(word) = value.as_str() {
                let preset = presets.iter().find(|preset| preset.name.eq_ignore_ascii_case(word));
                return preset.map(|preset| preset.value.clone()).ok_or_else(takes);
            }
            let number = value.as_f64().filter(|number| number.is_finite()).ok_or_else(takes)?;
            let is_in = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
            is_in.then(|| value.clone()).ok_or_else(takes)
        }
        CapabilityKind::Enum { values } => {
            let word = value.as_str().ok_or_else(takes)?;
            let exact = values.iter().find(|one| ***one == *word);
            let found = exact.or_else(|| values.iter().find(|one| one.eq_ignore_ascii_case(word)));
            found.map(|found| Value::from(&**found)).ok_or_else(takes)
        }
        CapabilityKind::Text {} => match value.as_str() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => Ok(value.clone()),
            _ => Err(takes()),
        },
        CapabilityKind::Composite { features } => {
            let fields =
                value.as_object().filter(|fields| !fields.is_empty() && depth < DEPTH_MAX).ok_or_else(takes)?;
            let mut object = Map::new();
            for (key, value) in fields {
                let feature = features.iter().find(|one| *one.property == **key || *one.name == **key);
                let feature = feature.ok_or_else(|| format!("has no \"{}\"; it {}", shown(key), takes()))?;
                let value = value_of(feature, value, depth + 1).map_err(|wrong| format!("{key} {wrong}"))?;
                object.insert(key.clone(), value);
            }
            Ok(Value::Object(object))
        }
        CapabilityKind::List {} => match value.is_array() && value.to_string().len() <= VALUE_BYTES_MAX {
            true => Ok(value.clone()),
            false => Err(takes()),
        },
    }
}

/// Whether an object is meant for this capability.
fn has_fields(capability: &Capability, value: &Value) -> bool {
    let (CapabilityKind::Composite { features }, Some(fields)) = (&capability.kind, value.as_object()) else {
        return false;
    };
    fields.keys().all(|key| features.iter().any(|one| *one.property == **key || *one.name == **key))
}

/// Words of a device are meant in any case.
fn is_word(word: &Value, value: &Value) -> bool {
    match (word, value) {
        (Value::String(word), Value::String(value)) => word.eq_ignore_ascii_case(value),
        _ => word == value,
    }
}

/// What a property takes, for a person.
fn range(capability: &Capability) -> String {
    const SHOWN_MAX: usize = 24;
    let unit = capability.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    match &capability.kind {
        CapabilityKind::Binary { value_on, value_off, value_toggle } => match value_toggle {
            Some(toggle) => format!("{value_on}, {value_off} or {toggle}"),
            None => format!("{value_on} or {value_off}"),
        },
        CapabilityKind::Numeric { min, max, presets, .. } => {
            let mut range = match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}{unit}"),
                (Some(min), None) => format!("{min}{unit} and more"),
                (None, Some(max)) => format!("up to {max}{unit}"),
                (None, None) => format!("a number{unit}"),
            };
            for preset in presets.iter().take(SHOWN_MAX) {
                range.push_str(&format!(", \"{}\"", preset.name));
            }
            range
        }
        CapabilityKind::Enum { values } => {
            let shown: Vec<_> = values.iter().take(SHOWN_MAX).map(|value| format!("\"{value}\"")).collect();
            let more = if values.len() > SHOWN_MAX { ", …" } else { "" };
            format!("{}{more}", shown.join(", "))
        }
        CapabilityKind::Text {} => format!("text of at most {TEXT_BYTES_MAX} bytes"),
        CapabilityKind::Composite { features } => {
            let fields: Vec<_> = features.iter().take(SHOWN_MAX).map(|one| format!("\"{}\"", one.name)).collect();
            format!("an object of {}", fields.join(", "))
        }
        CapabilityKind::List {} => format!("an array of at most {VALUE_BYTES_MAX} bytes"),
    }
}

/// What a caller wrote, for an error: not all of a megabyte.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn bad(message: String) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::home::testing::{bulb, contact, lamp_with_colour};

    fn set(value: Value) -> Map<String, Value> {
        let Value::Object(set) = value else { panic!("{value} is no object") };
        set
    }

    #[test]
    fn values_are_taken_in_the_devices_words() {
        let bulb = lamp_with_colour("0x1").capabilities;
        for (wished, sent) in [
            (json!({"state": "on", "brightness": 0}), json!({"state": "ON", "brightness": 0})),
            (json!({"state": "Toggle"}), json!({"state": "TOGGLE"})),
            (json!({"color_temp": "coolest"}), json!({"color_temp": 153})),
            (json!({"effect": "BLINK"}), json!({"effect": "blink"})),
            (json!({"color": {"x": 0.3, "y": 0.3}}), json!({"color": {"x": 0.3, "y": 0.3}})),
            (json!({"color": {"hue": 20, "saturation": 100}}), json!({"color": {"hue": 20, "saturation": 100}})),
        ] {
            let fit = fit("Lamp", &bulb, &set(wished), true).expect("it takes it");
            assert_eq!(Value::Object(fit.set), sent);
        }
    }

    #[test]
    fn what_is_not_taken_is_refused_with_what_is() {
        let bulb = lamp_with_colour("0x1").capabilities;
        for (wished, message) in [
            (json!({"state": true}), "state of \"Lamp\": takes \"ON\", \"OFF\" or \"TOGGLE\"."),
            (json!({"brightness": 255}), "brightness of \"Lamp\": takes 0 to 254."),
            (json!({"brightness": "200"}), "brightness of \"Lamp\": takes 0 to 254."),
            (json!({"color_temp": 100}), "color_temp of \"Lamp\": takes 153 to 500 mired, \"coolest\", \"warmest\"."),
            (json!({"linkquality": 1}), "linkquality of \"Lamp\": tells it and takes nothing."),
            (json!({"effect": "dance"}), "effect of \"Lamp\": takes \"blink\", \"breathe\"."),
            (json!({"color": {}}), "color of \"Lamp\": takes an object of \"x\", \"y\"."),
            (json!({"color": {"x": 2, "y": 0}}), "color of \"Lamp\": x takes 0 to 1."),
        ] {
            let error = fit("Lamp", &bulb, &set(wished), true).expect_err(message);
            assert_eq!((error.code, error.message.as_str()), (ErrorCode::BadRequest, message));
        }
        let error = fit("Lamp", &bulb, &set(json!({"colour": 1})), true).expect_err("there is none");
        assert!(
            error.message.starts_with("\"Lamp\" has no property \"colour\". It takes: state (\"ON\", "),
            "{error:?}"
        );
        let error = fit("Door", &contact("0x2").capabilities, &set(json!({"state": "ON"})), true).expect_err("none");
        assert_eq!(error.message, "\"Door\" has no property \"state\", and nothing that can be set.");
    }

    #[test]
    fn of_many_devices_each_is_told_what_it_has() {
        let wish = set(json!({"state": "ON", "color_temp": 300}));
        let fit_of = |capabilities: &[Capability]| fit("X", capabilities, &wish, false).expect("in range");
        let bulb = fit_of(&bulb("0x1").capabilities);
        assert_eq!((bulb.set.len(), bulb.left_out), (1, vec!["color_temp".into()]));
        assert_eq!(fit_of(&contact("0x2").capabilities).set.len(), 0);
        let wish = set(json!({"brightness": 999}));
        assert!(
            fit("X", &lamp_with_colour("0x1").capabilities, &wish, false).is_err(),
            "out of range is no matter of kind"
        );
    }

    #[test]
    fn of_many_devices_one_with_two_switches_is_told_both() {
        let one = bulb("0x1").capabilities[0].clone();
        let of = |endpoint: &str| Capability {
            property: format!("state_{endpoint}").into(),
            endpoint: Some(endpoint.into()),
            ..one.clone()
        };
        let double = [of("left"), of("right")];
        let wish = set(json!({"state": "off"}));
        let fit_of = fit("Wall", &double, &wish, false).expect("it has both");
        assert_eq!(Value::Object(fit_of.set), json!({"state_left": "OFF", "state_right": "OFF"}));
        let error = fit("Wall", &double, &wish, true).expect_err("which one?");
        assert!(error.message.contains("It takes: state_left"), "{error:?}");
        assert!(fit("Wall", &double, &set(json!({"state": "DIM"})), false).is_err());
    }

    #[test]
    fn a_device_that_says_the_opposite_has_not_done_it() {
        let bulb = bulb("0x1").capabilities;
        let told = |told: Value| contradicts(&bulb, &set(json!({"state": "ON", "brightness": 200})), &set(told));
        assert_eq!(told(json!({"state": "OFF"})).as_deref(), Some("state is still \"OFF\""));
        assert_eq!(told(json!({"state": "ON", "brightness": 199})), None);
        assert_eq!(told(json!({})), None);
        assert_eq!(contradicts(&bulb, &set(json!({"state": "TOGGLE"})), &set(json!({"state": "OFF"}))), None);
    }

    #[test]
    fn what_was_begun_is_not_said_to_be_so() {
        let mut blind = lamp_with_colour("0x1").capabilities;
        let position = blind.iter_mut().find(|one| *one.property == *"brightness").expect("a lamp has one");
        (position.property, position.part_of) = ("position".into(), Some(Domain::Cover));
        position.kind = CapabilityKind::Numeric { min: Some(0.0), max: Some(100.0), step: None, presets: vec![] };
        let taken = |wish: Value, told: Value| taken(&blind, &set(wish), &set(told));
        let wish = json!({"position": 30});
        assert_eq!(taken(wish.clone(), json!({})), ["position".into()], "it said yes and nothing more");
        assert_eq!(taken(wish.clone(), json!({"position": 80})), ["position".into()], "it is on its way");
        assert_eq!(taken(wish, json!({"position": 31})), []);
        assert_eq!(taken(json!({"state": "TOGGLE"}), json!({"state": "OFF"})), []);
        assert_eq!(taken(json!({"color": {"hue": 20}}), json!({"color": {"x": 0.3}})), [], "said in another way");
        assert_eq!(taken(json!({"transition": 20}), json!({})), [], "that is no state");
    }

    proptest::proptest! {
        #[test]
        fn what_was_taken_is_taken_again_unchanged(number in proptest::num::f64::ANY, word in ".{0,12}") {
            let bulb = lamp_with_colour("0x1").capabilities;
            for value in [json!(number), json!(word), json!({"x": number, "y": number})] {
                for property in ["state", "brightness", "color_temp", "effect", "color"] {
                    let wish = set(json!({property: value}));
                    if let Ok(once) = fit("Lamp", &bulb, &wish, true) {
                        let again = fit("Lamp", &bulb, &once.set, true).expect("it was taken");
                        proptest::prop_assert_eq!(once, again);
                    }
                }
            }
        }
    }
}
