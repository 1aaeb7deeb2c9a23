//! The defaults of an elicitation (SEP-1034): what an accepted form left out is filled in as its schema says. Asks nobody.

use serde_json::{Map, Value};

/// `result`, an `ElicitResult`, with the defaults of `params.requestedSchema` for the fields that it does not have.
pub fn with_defaults(params: &Value, mut result: Value) -> Value {
    if result.get("action").and_then(Value::as_str) != Some("accept") {
        return result;
    }
    let Some(properties) = params.pointer("/requestedSchema/properties").and_then(Value::as_object) else {
        return result;
    };
    let Some(fields) = result.as_object_mut() else { return result };
    let content = fields.entry("content").or_insert_with(|| Map::new().into());
    let Some(content) = content.as_object_mut() else { return result };
    for (name, schema) in properties {
        if let Some(default) = schema.get("default").filter(|default| fits(schema, default))
            && !content.contains_key(name)
        {
            content.insert(name.clone(), default.clone());
        }
    }
    result
}

/// Whether a default is of its own schema's type: one that is not would be refused as an answer.
fn fits(schema: &Value, default: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => default.is_string(),
        Some("integer") => default.is_i64() || default.is_u64(),
        Some("number") => default.is_number(),
        Some("boolean") => default.is_boolean(),
        Some("array") => default.is_array(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_left_out_is_filled_in() {
        let params = json!({ "requestedSchema": { "type": "object", "properties": {
            "name": { "type": "string", "default": "John" },
            "age": { "type": "integer", "default": 30 },
            "odd": { "type": "integer", "default": "thirty" },
            "free": { "type": "string" },
        } } });
        let filled = with_defaults(&params, json!({ "action": "accept", "content": { "age": 7 } }));
        assert_eq!(filled["content"], json!({ "name": "John", "age": 7 }));
        let bare = with_defaults(&params, json!({ "action": "accept" }));
        assert_eq!(bare["content"], json!({ "name": "John", "age": 30 }));
        let declined = json!({ "action": "decline" });
        assert_eq!(with_defaults(&params, declined.clone()), declined);
    }
}
