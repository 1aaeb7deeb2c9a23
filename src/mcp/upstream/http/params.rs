//! The `Mcp-Param-…` headers (MCP 2026-07-28, "Custom Headers from Tool Parameters"): which arguments of a tool are mirrored, how
//! a value looks in a header, and which tools cannot be used because they say it wrong. Pure.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

/// What stands before each name.
const PREFIX: &str = "mcp-param-";

/// How deep annotations may lie in a schema.
const DEPTH_MAX: usize = 16;

/// Mirrored arguments of one tool.
const MIRRORED_MAX: usize = 32;

/// The longest header's value, bytes: servers take some 8 KiB of headers in all.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// An argument that is mirrored: where it lies, and the header's name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    path: Vec<String>,
    header: String,
}

/// What of its arguments a tool wants mirrored. The error says why the tool cannot be used.
pub fn mirrored(schema: &Value) -> Result<Vec<Mirrored>, String> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found)?;
    let mut names = BTreeSet::new();
    match found.iter().find(|it| !names.insert(it.header.clone())) {
        Some(twice) => Err(format!("two of its arguments are to go into the header {}", twice.header)),
        None if found.len() > MIRRORED_MAX => {
            Err(format!("more than {MIRRORED_MAX} of its arguments are to be headers"))
        }
        None => Ok(found),
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Result<(), String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    if path.len() >= DEPTH_MAX {
        return Ok(());
    }
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(header) = property.get("x-mcp-header") {
            let at = path.join(".");
            let header = header.as_str().filter(|header| is_token(header));
            let header = header.ok_or_else(|| format!("the x-mcp-header of its argument {at} is no header's name"))?;
            // "MUST only be applied to parameters with primitive types", and not to `number`, which has many spellings.
            if !matches!(property.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
                return Err(format!("its argument {at} is no string, integer or boolean and cannot be a header"));
            }
            found.push(Mirrored { path: path.clone(), header: format!("{PREFIX}{}", header.to_ascii_lowercase()) });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Ok(())
}

/// RFC 9110 §5.6.2, `token`.
fn is_token(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The headers of a call. An argument that is absent or null has none.
pub fn headers(mirrored: &[Mirrored], arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let value = |it: &Mirrored| {
        let (first, rest) = it.path.split_first()?;
        let value = rest.iter().try_fold(arguments.get(first)?, |value, key| value.get(key))?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let value = encoded(&text);
        (value.len() <= VALUE_BYTES_MAX).then(|| (it.header.clone(), value))
    };
    mirrored.iter().filter_map(value).collect()
}

/// A value as a header may hold it (MCP 2026-07-28, "Value Encoding").
pub fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|b| (0x20..=0x7E).contains(&b)) && text.trim_matches(' ') == text;
    let looks_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    if is_plain && !looks_encoded {
        return text.to_owned();
    }
    format!("=?base64?{}?=", BASE64_STANDARD.encode(text))
}

/// A list of tools, looked through.
#[derive(Debug, Default)]
pub struct Sifted {
    /// What each tool wants mirrored, by its name.
    pub wanted: BTreeMap<String, Vec<Mirrored>>,
    /// Tools that cannot be used, with the reason.
    pub excluded: Vec<(String, String)>,
}

/// Takes the tools out of a list that cannot be used.
pub fn sift(result: &mut Value) -> Sifted {
    let Sifted { mut wanted, mut excluded } = Sifted::default();
    if let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) {
        tools.retain(|tool| {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            match mirrored(tool.get("inputSchema").unwrap_or(&Value::Null)) {
                Ok(mirrored) => {
                    wanted.insert(name, mirrored);
                    true
                }
                Err(why) => {
                    excluded.push((name, why));
                    false
                }
            }
        });
    }
    Sifted { wanted, excluded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(properties: Value) -> Value {
        json!({ "type": "object", "properties": properties })
    }

    #[test]
    fn annotated_arguments_are_mirrored_and_others_not() {
        let schema = schema(json!({
            "region": { "type": "string", "x-mcp-header": "Region" },
            "count": { "type": "integer", "x-mcp-header": "Count" },
            "on": { "type": "boolean", "x-mcp-header": "On" },
            "free": { "type": "string" },
            "in": { "type": "object", "properties": { "deep": { "type": "string", "x-mcp-header": "Deep" } } },
        }));
        let arguments = json!({ "region": "eu", "count": 42, "on": null, "free": "x", "in": { "deep": "d" } });
        let found = headers(&mirrored(&schema).unwrap(), arguments.as_object().unwrap());
        let wanted = [("mcp-param-count", "42"), ("mcp-param-deep", "d"), ("mcp-param-region", "eu")];
        let mut found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_no_header_can_hold_is_wrapped() {
        for (text, header) in [
            ("us west 1", "us west 1"),
            ("", ""),
            (" padded", "=?base64?IHBhZGRlZA==?="),
            ("a\nb", "=?base64?YQpi?="),
            ("\tx", "=?base64?CXg=?="),
            ("世", "=?base64?5LiW?="),
            ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="),
        ] {
            assert_eq!(encoded(text), header);
        }
    }

    #[test]
    fn tools_that_say_it_wrong_are_left_out_and_the_others_stay() {
        let bad = [
            json!({ "a": { "type": "string", "x-mcp-header": "" } }),
            json!({ "a": { "type": "object", "x-mcp-header": "A" } }),
            json!({ "a": { "type": "number", "x-mcp-header": "A" } }),
            json!({ "a": { "x-mcp-header": "A" } }),
            json!({ "a": { "type": "string", "x-mcp-header": "My Region" } }),
            json!({ "a": { "type": "string", "x-mcp-header": "Région" } }),
            json!({ "a": { "type": "string", "x-mcp-header": 7 } }),
            json!({ "a": { "type": "string", "x-mcp-header": "X" }, "b": { "type": "string", "x-mcp-header": "x" } }),
        ];
        let tool = |(at, properties): (usize, &Value)| json!({ "name": format!("bad{at}"), "inputSchema": schema(properties.clone()) });
        let mut tools: Vec<_> = bad.iter().enumerate().map(tool).collect();
        tools.push(json!({ "name": "good", "inputSchema": { "type": "object" } }));
        let mut result = json!({ "tools": tools });
        let Sifted { wanted, excluded } = sift(&mut result);
        assert_eq!(result["tools"].as_array().unwrap().len(), 1);
        assert_eq!((wanted.len(), excluded.len()), (1, bad.len()));
    }
}
