//! The header lines of a request that mean something to MCP, and whether they say the same as its body. Pure; knows them
//! by name and not the library they came from. Source: MCP 2026-07-28, Streamable HTTP, "Standard Headers" (SEP-2243).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Header lines, their names in lower case, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Head {
    lines: Vec<(Box<str>, Option<Box<str>>)>,
    /// The other end is the hub's own bridge of standard input: nothing in between reads headers, so none are asked for.
    pub is_bridge: bool,
}

/// Of a name that may stand once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    Absent,
    One(&'a str),
    /// Twice, or with characters that no header has.
    Broken,
}

/// The key in a parameter's schema that names its header.
pub const PROMOTED: &str = "x-mcp-header";

/// A parameter of a tool that its schema wants as a header.
struct Promoted<'a> {
    path: Vec<&'a str>,
    header: &'a str,
}

/// How deep schemas are looked into for such parameters.
const DEPTH_MAX: usize = 16;

impl Head {
    /// Adds a line; `None`: its value is no text.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        self.lines.push((name.to_ascii_lowercase().into(), value.map(|value| value.trim_matches([' ', '\t']).into())));
    }

    /// The line `name` (lower case).
    pub fn line(&self, name: &str) -> Line<'_> {
        let mut found = self.lines.iter().filter(|(key, _)| &**key == name).map(|(_, value)| value.as_deref());
        match (found.next(), found.next()) {
            (None, _) => Line::Absent,
            (Some(Some(value)), None) => Line::One(value),
            _ => Line::Broken,
        }
    }

    /// The value of the line `name`, where it stands once.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.line(name) {
            Line::One(value) => Some(value),
            Line::Absent | Line::Broken => None,
        }
    }

    /// Whether answers of this media type are taken; with no `Accept` all are (RFC 9110 §12.5.1).
    pub fn accepts(&self, kind: &str, subtype: &str) -> bool {
        let lines = self.lines.iter().filter(|(name, _)| &**name == "accept");
        let mut ranges = lines.filter_map(|(_, value)| value.as_deref()).flat_map(|value| value.split(',')).peekable();
        if ranges.peek().is_none() {
            return true;
        }
        ranges.any(|range| {
            let mut pieces = range.split(';').map(str::trim);
            let essence = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let is_refused = pieces.any(|piece| matches!(piece, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            let (its_kind, its_subtype) = essence.split_once('/').unwrap_or((&essence, ""));
            !is_refused && (its_kind == "*" || its_kind == kind && (its_subtype == "*" || its_subtype == subtype))
        })
    }

    /// Whether the body is said to be JSON.
    pub fn is_json(&self) -> bool {
        let essence = self.get("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    }

    /// Whether `Mcp-Method`, `Mcp-Name` and, with the schema of a tool that is called, each `Mcp-Param-…` say what the body
    /// says; the error is for whoever sent them.
    pub fn check(&self, method: &str, params: &Map<String, Value>, schema: Option<&Value>) -> Result<(), String> {
        if self.is_bridge {
            return Ok(());
        }
        self.must_be("Mcp-Method", "mcp-method", Some(method), false)?;
        let named = match method {
            "tools/call" | "prompts/get" => params.get("name"),
            "resources/read" => params.get("uri"),
            _ => None,
        };
        if let Some(name) = named.and_then(Value::as_str) {
            self.must_be("Mcp-Name", "mcp-name", Some(name), true)?;
        }
        for Promoted { path, header } in schema.map(promoted).unwrap_or_default() {
            let value = path.iter().try_fold(params.get("arguments"), |value, key| Some(value?.get(*key))).flatten();
            let name = format!("Mcp-Param-{header}");
            self.must_be(&name, &name.to_ascii_lowercase(), value.and_then(as_text).as_deref(), true)?;
        }
        Ok(())
    }

    fn must_be(&self, shown: &str, name: &str, wanted: Option<&str>, encoded: bool) -> Result<(), String> {
        let value = match (self.line(name), wanted) {
            (Line::Absent, None) => return Ok(()),
            (Line::Absent, Some(_)) => {
                return Err(format!("the header {shown} is missing; the body has a value for it"));
            }
            (Line::Broken, _) => return Err(format!("the header {shown} stands twice or is no text")),
            (Line::One(_), None) => return Err(format!("the header {shown} has no counterpart in the body")),
            (Line::One(value), Some(_)) => value,
        };
        let plain = if encoded { decode(value) } else { Some(value.to_owned()) };
        match plain {
            None => Err(format!("the header {shown} is not the Base64 of a text")),
            Some(plain) if Some(plain.as_str()) == wanted => Ok(()),
            Some(_) => Err(format!("the header {shown} says something else than the body")),
        }
    }
}

/// SEP-2243, "Value Encoding": `=?base64?…?=` around what no header can carry, else the value itself.
fn decode(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// What a header says for a value; `null` and what is no single value have none.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The properties of a tool's schema that carry `x-mcp-header`, reached over `properties` alone.
fn promoted(schema: &Value) -> Vec<Promoted<'_>> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(schema: &'a Value, path: &mut Vec<&'a str>, found: &mut Vec<Promoted<'a>>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if path.len() == DEPTH_MAX {
        return;
    }
    for (name, schema) in properties {
        path.push(name);
        if let Some(header) = schema.get(PROMOTED).and_then(Value::as_str).filter(|name| !name.is_empty()) {
            found.push(Promoted { path: path.clone(), header });
        }
        collect(schema, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(lines: &[(&str, &str)]) -> Head {
        let mut head = Head::default();
        lines.iter().for_each(|(name, value)| head.push(name, Some(value)));
        head
    }

    fn check(lines: &[(&str, &str)], body: Value) -> Result<(), String> {
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "deep": { "properties": { "on": { "type": "boolean", "x-mcp-header": "On" } } },
        } });
        let params = json!({ "name": "t", "arguments": body });
        let mut all = vec![("MCP-Method", "tools/call"), ("mcp-name", " t ")];
        all.extend(lines);
        head(&all).check("tools/call", params.as_object().unwrap(), Some(&schema))
    }

    #[test]
    fn headers_say_what_the_body_says() {
        assert_eq!(check(&[], json!({})), Ok(()));
        assert_eq!(check(&[("Mcp-Param-Region", "eu")], json!({ "region": "eu" })), Ok(()));
        assert_eq!(check(&[("mcp-param-region", "=?base64?SGVsbG8=?=")], json!({ "region": "Hello" })), Ok(()));
        assert_eq!(check(&[("mcp-param-region", "=?base64?SGVs")], json!({ "region": "=?base64?SGVs" })), Ok(()));
        assert_eq!(check(&[("mcp-param-on", "true")], json!({ "deep": { "on": true } })), Ok(()));
        for (line, body) in [
            (("mcp-param-region", "us"), json!({ "region": "eu" })),
            (("mcp-param-region", "us"), json!({})),
            (("mcp-param-region", "us"), json!({ "region": null })),
            (("mcp-param-region", "=?base64?SGVsbG8?="), json!({ "region": "Hello" })),
            (("mcp-param-region", "=?base64?SGVs!!!bG8=?="), json!({ "region": "Hello" })),
            (("x", "y"), json!({ "region": "eu" })),
            (("x", "y"), json!({ "deep": { "on": false } })),
            (("mcp-name", "t"), json!({})),
        ] {
            assert!(check(&[line], body.clone()).is_err(), "{line:?} {body}");
        }
        let none = Map::new();
        assert!(head(&[]).check("tools/list", &none, None).is_err());
        assert!(head(&[("mcp-method", "TOOLS/LIST")]).check("tools/list", &none, None).is_err());
        let bridge = Head { is_bridge: true, ..Head::default() };
        assert_eq!(bridge.check("tools/list", &none, None), Ok(()));
    }

    #[test]
    fn what_is_accepted() {
        let both = head(&[("accept", "application/json, text/event-stream;q=0.5")]);
        assert!(both.accepts("application", "json") && both.accepts("text", "event-stream"));
        let one = head(&[("accept", "application/*"), ("accept", "text/event-stream; q=0")]);
        assert!(one.accepts("application", "json") && !one.accepts("text", "event-stream"));
        assert!(head(&[]).accepts("text", "event-stream") && head(&[("accept", "*/*")]).accepts("a", "b"));
        assert!(head(&[("content-type", "Application/JSON; charset=utf-8")]).is_json());
        assert!(!head(&[("content-type", "text/plain")]).is_json() && !head(&[]).is_json());
    }
}
