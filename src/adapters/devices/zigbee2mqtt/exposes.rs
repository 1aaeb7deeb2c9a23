//! Zigbee2MQTT's `exposes` (its guide, "Exposes") in the hub's own words. Takes any JSON: what it does not know or what is
//! too much is left out, never an error, so that a device of tomorrow is shown with what is understood of it.

use serde_json::Value;

use crate::common::capability::{Capability, CapabilityKind, Category, Domain, Preset};

/// Properties of one device; the largest that are known have some 150.
pub const CAPABILITIES_MAX: usize = 256;

/// Composites within composites; schedules of thermostats have 3 levels.
const DEPTH_MAX: usize = 4;

/// Words of an enum, presets of a number.
const VALUES_MAX: usize = 512;

/// Bytes of a property's name; as names are JSON keys of the device's state.
pub const NAME_BYTES_MAX: usize = 128;

/// Bytes of a description or a unit, beyond which it is cut.
const TEXT_BYTES_MAX: usize = 512;

/// Bits of `access`.
const PUBLISHED: u64 = 1;
const SET: u64 = 2;
const GET: u64 = 4;

/// All properties, in their order, each once: features with the same property (`color` as x and y, and as hue and
/// saturation) become one composite of all their parts.
pub fn capabilities(exposes: &Value) -> Vec<Capability> {
    let mut found = Vec::new();
    for item in items(exposes) {
        match (domain(item), item.get("features")) {
            (Some(domain), Some(features)) => {
                for feature in items(features) {
                    add(&mut found, one(feature, Some(domain), None, 0));
                }
            }
            (Some(_), None) => {}
            (None, _) => add(&mut found, one(item, None, None, 0)),
        }
    }
    found
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten().take(CAPABILITIES_MAX)
}

fn add(found: &mut Vec<Capability>, new: Option<Capability>) {
    let Some(new) = new else { return };
    let Some(known) = found.iter_mut().find(|known| known.property == new.property) else {
        if found.len() < CAPABILITIES_MAX {
            found.push(new);
        }
        return;
    };
    known.reported |= new.reported;
    known.settable |= new.settable;
    known.readable |= new.readable;
    if let (CapabilityKind::Composite { features }, CapabilityKind::Composite { features: more }) =
        (&mut known.kind, new.kind)
    {
        for feature in more {
            if features.len() < CAPABILITIES_MAX && features.iter().all(|known| known.property != feature.property) {
                features.push(feature);
            }
        }
    }
}

/// The types that stand for a part of a device and hold features.
fn domain(item: &Value) -> Option<Domain> {
    Some(match item.get("type")?.as_str()? {
        "light" => Domain::Light,
        "switch" => Domain::Switch,
        "cover" => Domain::Cover,
        "climate" => Domain::Climate,
        "lock" => Domain::Lock,
        "fan" => Domain::Fan,
        _ => return None,
    })
}

/// A property; `outer` is the access of the composite around it, which its parts often do not repeat.
fn one(item: &Value, part_of: Option<Domain>, outer: Option<u64>, depth: usize) -> Option<Capability> {
    let word = |key: &str| item.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
    let property = word("property").or_else(|| word("name")).filter(|name| name.len() <= NAME_BYTES_MAX)?;
    let endpoint = word("endpoint").filter(|name| name.len() <= NAME_BYTES_MAX);
    let name = endpoint
        .and_then(|endpoint| property.strip_suffix(endpoint)?.strip_suffix('_'))
        .filter(|name| !name.is_empty())
        .unwrap_or(property);
    let access = item.get("access").and_then(Value::as_u64).filter(|access| *access != 0).or(outer).unwrap_or(0);
    Some(Capability {
        property: property.into(),
        name: name.into(),
        endpoint: endpoint.map(Into::into),
        part_of,
        kind: kind(item, access, depth)?,
        reported: access & PUBLISHED != 0,
        settable: access & SET != 0,
        readable: access & GET != 0,
        unit: word("unit").map(cut),
        description: word("description").map(cut),
        category: match word("category") {
            Some("config") => Some(Category::Config),
            Some("diagnostic") => Some(Category::Diagnostic),
            _ => None,
        },
    })
}

fn kind(item: &Value, access: u64, depth: usize) -> Option<CapabilityKind> {
    let number = |key: &str| item.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
    Some(match item.get("type")?.as_str()? {
        "binary" => CapabilityKind::Binary {
            value_on: plain(item.get("value_on")).unwrap_or(Value::Bool(true)),
            value_off: plain(item.get("value_off")).unwrap_or(Value::Bool(false)),
            value_toggle: plain(item.get("value_toggle")),
        },
        "numeric" => CapabilityKind::Numeric {
            min: number("value_min"),
            max: number("value_max"),
            step: number("value_step").filter(|step| *step > 0.0),
            presets: item.get("presets").map(presets).unwrap_or_default(),
        },
        "enum" => CapabilityKind::Enum {
            values: item.get("values")?.as_array()?.iter().take(VALUES_MAX).filter_map(in_words).collect(),
        },
        "text" => CapabilityKind::Text {},
        "list" => CapabilityKind::List {},
        "composite" if depth < DEPTH_MAX => {
            let mut features = Vec::new();
            for feature in item.get("features").into_iter().flat_map(items) {
                add(&mut features, one(feature, None, Some(access), depth + 1));
            }
            CapabilityKind::Composite { features }
        }
        _ => return None,
    })
}

fn presets(list: &Value) -> Vec<Preset> {
    let preset = |item: &Value| {
        let name = item.get("name")?.as_str().filter(|name| name.len() <= NAME_BYTES_MAX)?;
        Some(Preset { name: name.into(), value: plain(item.get("value"))? })
    };
    list.as_array().into_iter().flatten().take(VALUES_MAX).filter_map(preset).collect()
}

/// A value that is no structure.
fn plain(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => None,
        value @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => Some(value.clone()),
        _ => None,
    }
}

fn in_words(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(word) if word.len() <= TEXT_BYTES_MAX => Some(word.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(truth.to_string().into()),
        _ => None,
    }
}

/// At most [`TEXT_BYTES_MAX`] of it, cut between characters.
pub fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_lamp_has_one_colour_of_all_its_parts() {
        let found = capabilities(&json!([{
            "type": "light",
            "features": [
                {"type": "binary", "name": "state", "property": "state", "access": 7,
                 "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE"},
                {"type": "numeric", "name": "brightness", "property": "brightness", "access": 7, "value_min": 0, "value_max": 254},
                {"type": "numeric", "name": "color_temp", "property": "color_temp", "access": 7, "unit": "mired",
                 "value_min": 153, "value_max": 500, "presets": [{"name": "coolest", "value": 153, "description": "Cool"}]},
                {"type": "composite", "name": "color_xy", "property": "color", "access": 7, "features": [
                    {"type": "numeric", "name": "x", "property": "x", "access": 7},
                    {"type": "numeric", "name": "y", "property": "y", "access": 7}]},
                {"type": "composite", "name": "color_hs", "property": "color", "access": 7, "features": [
                    {"type": "numeric", "name": "hue", "property": "hue"},
                    {"type": "numeric", "name": "saturation", "property": "saturation"}]},
            ],
        }, {"type": "numeric", "name": "linkquality", "property": "linkquality", "access": 1, "category": "diagnostic",
            "unit": "lqi", "value_min": 0, "value_max": 255}]));
        let names: Vec<_> = found.iter().map(|capability| &*capability.property).collect();
        assert_eq!(names, ["state", "brightness", "color_temp", "color", "linkquality"]);
        assert!(found[0].settable && found[0].readable && found[0].reported);
        assert_eq!(found[0].part_of, Some(Domain::Light));
        let CapabilityKind::Numeric { min, max, presets, .. } = &found[2].kind else { panic!("{:?}", found[2]) };
        assert_eq!((*min, *max), (Some(153.0), Some(500.0)));
        assert_eq!(presets[0], Preset { name: "coolest".into(), value: json!(153) });
        let CapabilityKind::Composite { features } = &found[3].kind else { panic!("{:?}", found[3]) };
        let parts: Vec<_> = features.iter().map(|part| &*part.property).collect();
        assert_eq!(parts, ["x", "y", "hue", "saturation"]);
        assert!(features[2].settable, "a part without access has that of its whole");
        assert_eq!((found[4].settable, found[4].category), (false, Some(Category::Diagnostic)));
    }

    #[test]
    fn an_endpoint_is_told_from_its_property() {
        let found = capabilities(&json!([
            {"type": "switch", "endpoint": "left", "features": [
                {"type": "binary", "name": "state", "property": "state_left", "endpoint": "left", "access": 7,
                 "value_on": "ON", "value_off": "OFF"}]},
            {"type": "numeric", "name": "power", "property": "power", "endpoint": "left", "access": 1},
        ]));
        assert_eq!(
            (&*found[0].property, &*found[0].name, found[0].endpoint.as_deref()),
            ("state_left", "state", Some("left"))
        );
        assert_eq!((&*found[1].property, &*found[1].name), ("power", "power"));
    }

    #[test]
    fn the_other_types_come_through() {
        let found = capabilities(&json!([
            {"type": "enum", "name": "effect", "property": "effect", "access": 2, "values": ["blink", 2, true, null, {}]},
            {"type": "text", "name": "note", "property": "note", "access": 3},
            {"type": "list", "name": "codes", "property": "codes", "access": 3, "item_type": {"type": "numeric"}},
            {"type": "composite", "name": "warning", "property": "warning", "access": 2, "features": [
                {"type": "enum", "name": "mode", "property": "mode", "access": 2, "values": ["stop"]},
                {"type": "composite", "name": "inner", "property": "inner", "access": 2, "features": []}]},
        ]));
        let CapabilityKind::Enum { values } = &found[0].kind else { panic!("{:?}", found[0]) };
        assert_eq!(values, &["blink".into(), "2".into(), Box::<str>::from("true")]);
        assert!(!found[0].reported && found[0].settable && !found[0].readable);
        assert_eq!(found[1].kind, CapabilityKind::Text {});
        assert_eq!(found[2].kind, CapabilityKind::List {});
        let CapabilityKind::Composite { features } = &found[3].kind else { panic!("{:?}", found[3]) };
        assert_eq!(features.len(), 2);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let mut deep = json!({"type": "numeric", "name": "n"});
        for _ in 0..100 {
            deep = json!({"type": "composite", "name": "c", "features": [deep]});
        }
        let found = capabilities(&json!([
            null, 7, "light", [], {}, {"type": "hologram", "name": "h"}, {"type": "light"}, {"type": "light", "features": 3},
            {"type": "numeric"}, {"type": "numeric", "name": ""}, {"type": "numeric", "name": long},
            {"type": "enum", "name": "e"}, {"type": "enum", "name": "e", "values": "abc"}, {"type": 4, "name": "n"}, deep,
            {"type": "numeric", "name": "kept", "value_min": "low", "value_step": -1, "presets": {"a": 1}, "access": "all"},
        ]));
        let names: Vec<_> = found.iter().map(|capability| &*capability.property).collect();
        assert_eq!(names, ["c", "kept"]);
        let many: Vec<Value> = (0..2000).map(|n| json!({"type": "text", "name": format!("t{n}")})).collect();
        assert_eq!(capabilities(&Value::Array(many)).len(), CAPABILITIES_MAX);
        assert_eq!(capabilities(&json!("exposes")), []);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "type",
            "name",
            "property",
            "features",
            "access",
            "values",
            "endpoint",
            "light",
            "composite",
            "numeric",
            "enum",
            "binary",
            "presets",
            "value",
            "value_min",
            "é",
            "",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            words.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(words.clone().prop_map(String::from), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_panics(exposes in any_json()) {
            let found = capabilities(&Value::Array(vec![exposes]));
            prop_assert!(found.len() <= CAPABILITIES_MAX);
        }
    }
}
