//! The words for what is wrong with a value and what is wanted in its place, for a model or a person. Decides nothing.

use serde_json::Value;

/// The longest value that is shown, characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Allowed values or fields that are named.
const NAMED_MAX: usize = 12;

/// What a value is.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if super::equal::is_whole(number) => "an integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What is meant by a word of `type`.
pub fn type_name(word: &str) -> &str {
    match word {
        "null" => "null",
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        "object" => "an object",
        other => other,
    }
}

/// A value, shortened.
pub fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `a, b or c`, and how many more there are.
pub fn one_of<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<_> = names.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    match (&shown[..], names.len() > shown.len()) {
        ([], _) => "nothing".into(),
        ([one], false) => (*one).into(),
        (many, true) => format!("{} or {} others", many.join(", "), names.len() - many.len()),
        ([first @ .., last], false) => format!("{} or {last}", first.join(", ")),
    }
}

/// What a schema wants, in a few words.
pub fn wanted(schema: &Value) -> String {
    let kind = kinds(schema);
    match schema.get("description").and_then(Value::as_str) {
        Some(description) if !description.is_empty() => {
            let line = description.lines().next().unwrap_or_default();
            format!("{kind} ({})", cut(line))
        }
        _ => kind,
    }
}

fn kinds(schema: &Value) -> String {
    if let Some(only) = schema.get("const") {
        return shown(only);
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return one_of(&values.iter().map(shown).collect::<Vec<_>>());
    }
    match schema.get("type") {
        Some(Value::String(word)) => return type_name(word).to_owned(),
        Some(Value::Array(words)) => {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).map(type_name).collect();
            return one_of(&words);
        }
        _ => {}
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = schema.get(key) {
            let mut names: Vec<_> = branches.iter().map(kinds).collect();
            names.dedup();
            return one_of(&names);
        }
    }
    match schema.get("properties") {
        Some(_) => "an object".into(),
        None => "another value".into(),
    }
}

/// The known name that is nearest to a mistaken one, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let far = (name.len() / 3).max(1);
    let near = known.into_iter().map(|known| (distance(&name, known), known));
    near.filter(|(distance, _)| *distance <= far).min().map(|(_, known)| known)
}

/// Letters to change, add or take away (Levenshtein); `-` and `_` are as good as nothing.
fn distance(name: &[char], known: &str) -> usize {
    let plain = |letter: &char| !matches!(letter, '_' | '-' | ' ');
    let known: Vec<char> = known.chars().take(64).flat_map(char::to_lowercase).filter(plain).collect();
    let name: Vec<char> = name.iter().copied().filter(plain).collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (at, letter) in name.iter().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (column, other) in known.iter().enumerate() {
            let changed = before + usize::from(letter != other);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[known.len()]
}
