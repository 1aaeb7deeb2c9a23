//! JSON Schemas of tools put into what each provider takes of them. A compiled schema accepts all that the original accepts:
//! what a provider has no word for is left out, and told in the description. Pure; knows no tool and no request.
//! Source: OpenAI guide "Function calling" and "Structured Outputs, supported schemas"; Anthropic "Tool use"; Gemini API
//! reference "Schema" and "FunctionDeclaration"; llama.cpp `grammars/README.md`; Ollama `api/types.go`.

mod brief;
mod dialect;
mod lower;
mod merge;
mod node;

use serde_json::{Map, Value, json};

pub use brief::cut;
pub use dialect::Dialect;

use lower::Walk;

/// How deep a schema goes, tried in this order until it is small enough; what lies deeper may be anything.
const DEPTHS: [usize; 5] = [16, 8, 4, 2, 1];

/// The longest compiled schema of one tool, bytes: half of what a small model is shown in all.
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// A schema as a provider takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Of an object.
    pub schema: Value,
    /// What the root says and the provider has no word for: for the tool's description.
    pub note: Option<String>,
}

/// Why a tool has to be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its arguments are no object, and a model can give nothing else")]
    NoObject,
    #[error(
        "the schema of its arguments is still over {SCHEMA_BYTES_MAX} bytes when everything below the top is left out"
    )]
    TooLarge,
    #[error("{0} is not closed, or has something optional in it: it cannot be held to strictly")]
    NotStrict(String),
}

/// The schema of a tool's arguments.
pub fn compile(schema: &Value, dialect: Dialect) -> Result<Compiled, Refused> {
    let nothing = json!({});
    let schema = if schema.is_null() { &nothing } else { schema };
    for depth in DEPTHS {
        let compiled = compile_to(schema, dialect, depth)?;
        if compiled.schema.to_string().len() <= SCHEMA_BYTES_MAX {
            return Ok(compiled);
        }
    }
    Err(Refused::TooLarge)
}

fn compile_to(schema: &Value, dialect: Dialect, depth: usize) -> Result<Compiled, Refused> {
    let mut walk = Walk::new(schema, dialect.rules());
    let node::Node { mut fields, lost, never, .. } = walk.root(schema, depth);
    let takes_objects = match fields.get("type") {
        None => true,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
    };
    if never || !takes_objects {
        return Err(Refused::NoObject);
    }
    fields.retain(|key, _| ["properties", "required", "additionalProperties", "description"].contains(&key.as_str()));
    fields.insert("type".into(), json!("object"));
    fields.entry("properties").or_insert_with(|| json!({}));
    if dialect == Dialect::OpenAiStrict {
        is_strict(&fields, "it")?;
    }
    let note = (!lost.is_empty()).then(|| brief::joined(&lost));
    Ok(Compiled { schema: Value::Object(fields), note })
}

/// A schema of whatever kind, such as that of an answer.
pub fn lowered(schema: &Value, dialect: Dialect) -> Value {
    Walk::new(schema, dialect.rules()).below(schema, DEPTHS[0]).into_value()
}

/// "All fields must be required", "additionalProperties: false must always be set in objects".
fn is_strict(schema: &Map<String, Value>, place: &str) -> Result<(), Refused> {
    let refused = || Err(Refused::NotStrict(place.to_owned()));
    if !["type", "anyOf", "enum"].iter().any(|key| schema.contains_key(*key)) {
        return refused();
    }
    let kind = schema.get("type");
    if kind
        .is_some_and(|kind| kind == "object" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("object"))))
    {
        let names = schema.get("properties").and_then(Value::as_object).map_or(0, Map::len);
        let required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
        if names != required || schema.get("additionalProperties") != Some(&json!(false)) {
            return refused();
        }
    }
    let below = |value: &Value, name: &str| match value.as_object() {
        Some(schema) => is_strict(schema, name),
        None => refused(),
    };
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        below(property, name)?;
    }
    for kind in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        below(kind, place)?;
    }
    schema.get("items").map_or(Ok(()), |items| below(items, place))
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
