//! JSON Schema put into what Gemini's older fields (`parameters`, `responseSchema`) take: a part of OpenAPI 3.0, where an
//! unknown word is an error. The newer fields take JSON Schema itself. Pure.
//! Source: Gemini API reference, "Schema".

use std::cell::Cell;

use serde_json::{Map, Value, json};

/// How deep a schema goes; what lies deeper may be anything. References that lead in a circle end here, too.
const DEPTH_MAX: usize = 24;

/// Schemas within a schema, references followed: one that names itself twice would double with each step.
const NODES_MAX: usize = 4096;

/// The words that are taken as they stand.
const PLAIN_WORDS: [&str; 14] = [
    "title",
    "description",
    "nullable",
    "required",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "pattern",
    "propertyOrdering",
];

/// Values of `format` that are known; any other is refused.
const FORMATS: [&str; 6] = ["float", "double", "int32", "int64", "enum", "date-time"];

/// The schema in the words of OpenAPI, as far as they reach.
pub fn reduced(schema: &Value) -> Value {
    reduce(schema, &Root { schema, nodes_left: Cell::new(NODES_MAX) }, DEPTH_MAX)
}

/// Whether a function with this schema takes nothing at all: `parameters` refuses an object without properties.
pub fn takes_nothing(schema: &Value) -> bool {
    schema["properties"].as_object().is_none_or(Map::is_empty)
}

/// The whole of a schema, into which its references point.
struct Root<'a> {
    schema: &'a Value,
    nodes_left: Cell<usize>,
}

fn reduce(schema: &Value, root: &Root<'_>, depth: usize) -> Value {
    let nodes_left = root.nodes_left.get();
    let Some(words) = schema.as_object().filter(|_| depth > 0 && nodes_left > 0) else { return json!({}) };
    root.nodes_left.set(nodes_left - 1);
    if let Some(target) = words.get("$ref").and_then(Value::as_str).and_then(|path| referred(path, root.schema)) {
        return reduce(target, root, depth - 1);
    }
    let mut out: Map<String, Value> =
        PLAIN_WORDS.iter().filter_map(|word| Some(((*word).to_owned(), words.get(*word)?.clone()))).collect();
    let below = |schema: &Value| reduce(schema, root, depth - 1);
    match words.get("type") {
        // OpenAPI has one type, and says elsewhere that it may be absent.
        Some(Value::Array(types)) => {
            let real: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
            if real.len() < types.len() {
                out.insert("nullable".into(), json!(true));
            }
            if let [one] = real[..] {
                out.insert("type".into(), one.clone());
            } else {
                out.insert("anyOf".into(), real.iter().map(|kind| json!({"type": kind})).collect());
            }
        }
        Some(kind) => drop(out.insert("type".into(), kind.clone())),
        None => {}
    }
    if let Some(format) = words.get("format").filter(|format| FORMATS.iter().any(|known| format == known)) {
        out.insert("format".into(), format.clone());
    }
    // Only strings are chosen from a list.
    let choices =
        words.get("enum").and_then(Value::as_array).cloned().or_else(|| Some(vec![words.get("const")?.clone()]));
    if let Some(choices) = choices.filter(|choices| choices.iter().all(Value::is_string)) {
        out.insert("enum".into(), choices.into());
        out.entry("type").or_insert_with(|| json!("string"));
    }
    if let Some(items) = words.get("items") {
        out.insert("items".into(), below(items));
    }
    if let Some(properties) = words.get("properties").and_then(Value::as_object) {
        let properties = properties.iter().map(|(name, schema)| (name.clone(), below(schema)));
        out.insert("properties".into(), Value::Object(properties.collect()));
    }
    if let Some(kinds) = ["anyOf", "oneOf"].iter().find_map(|word| words.get(*word)?.as_array()) {
        let (absent, real): (Vec<&Value>, Vec<&Value>) = kinds.iter().partition(|kind| kind["type"] == "null");
        if !absent.is_empty() {
            out.insert("nullable".into(), json!(true));
        }
        out.insert("anyOf".into(), real.into_iter().map(below).collect());
    }
    Value::Object(out)
}

/// What `#/$defs/name` stands for.
fn referred<'a>(path: &str, root: &'a Value) -> Option<&'a Value> {
    root.pointer(path.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_google_refuses_is_gone_and_what_it_means_is_kept() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
            "properties": {
                "room": {"$ref": "#/$defs/room"},
                "level": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 100, "format": "uint8"},
                "value": {"type": ["integer", "string"]},
                "at": {"type": "string", "format": "date-time"},
                "kind": {"const": "lamp"},
                "steps": {"type": "integer", "enum": [1, 2]},
                "who": {"oneOf": [{"type": "string"}, {"type": "null"}]},
                "list": {"type": "array", "items": {"type": "string", "examples": ["x"]}, "uniqueItems": true},
            },
            "required": ["room"],
            "$defs": {"room": {"type": "string", "enum": ["kitchen", "hall"], "description": "Where"}},
        });
        assert_eq!(
            reduced(&schema),
            json!({
                "type": "object", "required": ["room"],
                "properties": {
                    "room": {"type": "string", "enum": ["kitchen", "hall"], "description": "Where"},
                    "level": {"type": "integer", "nullable": true, "minimum": 0},
                    "value": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "at": {"type": "string", "format": "date-time"},
                    "kind": {"type": "string", "enum": ["lamp"]},
                    "steps": {"type": "integer"},
                    "who": {"nullable": true, "anyOf": [{"type": "string"}]},
                    "list": {"type": "array", "items": {"type": "string"}},
                },
            })
        );
    }

    #[test]
    fn a_circle_ends() {
        let schema = json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}}});
        let text = reduced(&schema).to_string();
        assert!(!text.contains("$ref") && text.matches("left").count() < DEPTH_MAX);
        for odd in [json!(true), json!("x"), json!({"$ref": "#"}), json!({"$ref": "http://x"}), json!({"type": 5})] {
            assert!(reduced(&odd).is_object());
        }
        assert!(takes_nothing(&json!({"type": "object", "properties": {}})) && takes_nothing(&json!({})));
        assert!(!takes_nothing(&json!({"properties": {"a": {}}})));
    }

    #[test]
    fn what_doubles_with_each_step_stays_bounded() {
        let schema =
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}});
        assert!(reduced(&schema).to_string().matches("anyOf").count() <= NODES_MAX);
    }
}
