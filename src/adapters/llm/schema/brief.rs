//! A schema in words, short enough for a description. For whatever a provider's own schema cannot say.

use serde_json::{Map, Value};

/// What is told of one place of a schema, characters.
const WORDS_CHARS_MAX: usize = 400;

/// How deep words go.
const DEPTH_MAX: usize = 3;

/// Names or values listed.
const LISTED_MAX: usize = 12;

/// All of it in one line.
pub fn joined(lost: &[String]) -> String {
    let mut seen: Vec<&String> = Vec::with_capacity(lost.len());
    for words in lost {
        if !seen.contains(&words) {
            seen.push(words);
        }
    }
    let line = seen.iter().map(|words| words.as_str()).collect::<Vec<_>>().join("; ");
    cut(&line, WORDS_CHARS_MAX)
}

/// At most so many characters.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

/// What a schema takes.
pub fn of(schema: &Value) -> String {
    cut(&words(schema, DEPTH_MAX), WORDS_CHARS_MAX / 2)
}

fn words(schema: &Value, depth: usize) -> String {
    let schema = match schema {
        Value::Bool(false) => return "nothing".into(),
        Value::Object(schema) if depth > 0 => schema,
        _ => return "anything".into(),
    };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return target.rsplit('/').next().unwrap_or(target).to_owned();
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices_of(choices);
    }
    for (key, between) in [("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")] {
        if let Some(kinds) = schema.get(key).and_then(Value::as_array) {
            let kinds = kinds.iter().take(LISTED_MAX).map(|kind| words(kind, depth - 1));
            return kinds.collect::<Vec<_>>().join(between);
        }
    }
    let mut said = kind(schema, depth);
    let bounds: Vec<String> = BOUNDS.iter().filter_map(|(key, _)| bound(key, schema.get(*key)?)).collect();
    if !bounds.is_empty() {
        said = format!("{said} {}", bounds.join(", "));
    }
    said
}

fn kind(schema: &Map<String, Value>, depth: usize) -> String {
    let list =
        |values: &Vec<Value>| values.iter().filter_map(Value::as_str).take(LISTED_MAX).collect::<Vec<_>>().join(" or ");
    let named = match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => list(kinds),
        _ => String::new(),
    };
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let names =
            properties.iter().take(LISTED_MAX).map(|(name, schema)| format!("{name}: {}", words(schema, depth - 1)));
        return format!("{{{}}}", names.collect::<Vec<_>>().join(", "));
    }
    if let Some(required) = schema.get("required").and_then(Value::as_array) {
        let names: Vec<&str> = required.iter().filter_map(Value::as_str).take(LISTED_MAX).collect();
        return format!("with {}", names.join(", "));
    }
    match schema.get("items") {
        Some(items @ Value::Object(_)) => format!("list of {}", words(items, depth - 1)),
        _ if named.is_empty() => "anything".into(),
        _ => named,
    }
}

/// A list of values to choose from.
pub fn choices_of(choices: &[Value]) -> String {
    let shown: Vec<String> = choices.iter().take(LISTED_MAX).map(Value::to_string).collect();
    let more = if choices.len() > LISTED_MAX { ", …" } else { "" };
    format!("one of {}{more}", shown.join(", "))
}

/// Words with a value behind them, and how that is said.
const BOUNDS: [(&str, &str); 14] = [
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("exclusiveMinimum", "more than {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} fields"),
    ("maxProperties", "at most {} fields"),
    ("format", "format {}"),
    ("pattern", "matches {}"),
    ("default", "default {}"),
];

/// A bound in words; `None` where it is none.
pub fn bound(key: &str, value: &Value) -> Option<String> {
    let (_, words) = BOUNDS.iter().find(|(known, _)| *known == key)?;
    let value = match value {
        // An older draft: it belongs to the word beside it.
        Value::Bool(_) if key != "default" => return None,
        Value::String(text) if key != "default" => text.clone(),
        other => other.to_string(),
    };
    Some(words.replace("{}", &cut(&value, WORDS_CHARS_MAX / 4)))
}
