//! Checks a value against a JSON Schema, as far as the published ones use it. A keyword that it does not know is a panic,
//! so that nothing is passed over in silence.

use serde_json::Value;

/// What only tells people something.
const WORDS: [&str; 7] = ["$schema", "$defs", "title", "description", "default", "format", "examples"];

/// What is wrong with `value`; empty where it is as the schema says.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "$", &mut found);
    found
}

fn fits(root: &Value, schema: &Value, value: &Value, path: &str) -> bool {
    let mut found = Vec::new();
    check(root, schema, value, path, &mut found);
    found.is_empty()
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let rules = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return found.push(format!("{path}: nothing may stand here, and {value} does")),
        schema => schema.as_object().expect("a schema is a boolean or an object"),
    };
    for (keyword, rule) in rules {
        let list = || rule.as_array().expect("a list of schemas").iter();
        let is_fine = match keyword.as_str() {
            "$ref" => {
                let place = rule.as_str().and_then(|place| place.strip_prefix('#')).expect("a place within the schema");
                let target = root.pointer(place).unwrap_or_else(|| panic!("{place} leads nowhere"));
                check(root, target, value, path, found);
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_of_type(name, value)),
                name => is_of_type(name, value),
            },
            "enum" => rule.as_array().expect("a list of values").contains(value),
            "const" => rule == value,
            "anyOf" => list().any(|schema| fits(root, schema, value, path)),
            "oneOf" => list().filter(|schema| fits(root, schema, value, path)).count() == 1,
            "allOf" => list().all(|schema| fits(root, schema, value, path)),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
            "maxItems" => value.as_array().is_none_or(|list| Some(list.len() as u64) <= rule.as_u64()),
            "required" => {
                let missing = |name: &Value| value.get(name.as_str().expect("a name")).is_none();
                !value.is_object() || !rule.as_array().expect("a list of names").iter().any(missing)
            }
            "properties" => {
                let properties = rule.as_object().expect("schemas by name");
                for (name, schema) in properties {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{path}.{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &str| rules.get("properties").is_some_and(|known| known.get(name).is_some());
                for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| !known(name)) {
                    check(root, rule, value, &format!("{path}.{name}"), found);
                }
                true
            }
            "items" => {
                for (at, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{path}[{at}]"), found);
                }
                true
            }
            word if WORDS.contains(&word) => true,
            other => panic!("the schema says {other:?} at {path}, which this check does not know"),
        };
        if !is_fine {
            found.push(format!("{path}: {value} is against {keyword} {rule}"));
        }
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other:?} is no type"),
    }
}
