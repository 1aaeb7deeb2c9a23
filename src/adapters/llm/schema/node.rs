//! A schema while it is lowered: its fields, and what of it has no field any more. Knows no dialect.

use serde_json::{Map, Value};

use super::brief;

/// The longest description of one place, characters.
const DESCRIPTION_CHARS_MAX: usize = 1000;

/// A lowered schema.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub fields: Map<String, Value>,
    /// What it means besides, in words.
    pub lost: Vec<String>,
    /// Takes nothing.
    pub never: bool,
    /// Takes null and nothing else, where that has no word.
    pub only_null: bool,
}

impl Node {
    pub fn any() -> Node {
        Node::default()
    }

    pub fn of(lost: String) -> Node {
        Node { lost: vec![lost], ..Node::default() }
    }

    /// With its words in the description.
    pub fn into_value(mut self) -> Value {
        let said = self.fields.get("description").and_then(Value::as_str).unwrap_or_default();
        let words = brief::joined(&self.lost);
        let description = match (said.is_empty(), words.is_empty()) {
            (_, true) => said.to_owned(),
            (true, false) => words,
            (false, false) => format!("{said} ({words})"),
        };
        if !description.is_empty() {
            self.fields.insert("description".into(), brief::cut(&description, DESCRIPTION_CHARS_MAX).into());
        }
        Value::Object(self.fields)
    }
}
