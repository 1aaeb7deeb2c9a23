//! A request's path, query and body made into the arguments of a tool, by the tool's input schema. Pure: knows no HTTP but
//! how a path and a query are escaped, and leaves it to the tool's own check what the arguments may be.

use serde_json::{Map, Value};

use super::strict_json;

/// The argument that guards a write: comes from `If-Match` and `If-None-Match`, never from the query.
pub const IF_REVISION: &str = "if_revision";

/// What was sent, apart from the schema.
pub struct Sent<'a> {
    /// Names of the pattern's braces with what the path has there, as it was sent.
    pub path: Vec<(&'static str, String)>,
    /// Without the question mark; empty where there was none.
    pub query: &'a str,
    /// Whether the query holds arguments: of a GET or a DELETE. A request with a body has them there, and no query.
    pub is_asked_by_query: bool,
    pub if_revision: Option<u64>,
    /// The body, already found to be an object.
    pub body: Map<String, Value>,
}

/// All arguments together; the error says which one and what is meant.
pub fn gather(schema: &Value, sent: Sent<'_>) -> Result<Map<String, Value>, String> {
    let Sent { path, query, is_asked_by_query, if_revision, mut body } = sent;
    for (name, value) in pairs(query)? {
        if !is_asked_by_query {
            return Err(format!("the query says {name:?}; this takes its arguments in the body"));
        }
        let is_of_the_path = path.iter().any(|(placeholder, _)| *placeholder == name);
        let property = schema["properties"].get(&name).filter(|_| !is_of_the_path && name != IF_REVISION);
        let Some(property) = property else { return Err(unknown(&name, schema, &path)) };
        let value = typed(&name, &value, property)?;
        if body.insert(name.clone(), value).is_some() {
            return Err(format!("the query says {name:?} twice"));
        }
    }
    for (name, raw) in path {
        let text = unescape(&raw, false).ok_or_else(|| format!("{name}: the path's escapes are broken"))?;
        let value = match schema["properties"].get(name) {
            Some(property) => typed(name, &text, property)?,
            None => text.into(),
        };
        if body.get(name).is_some_and(|said| *said != value) {
            return Err(format!("the body names another {name} than the path, {value}"));
        }
        body.insert(name.into(), value);
    }
    if let Some(revision) = if_revision {
        if schema["properties"].get(IF_REVISION).is_none() {
            return Err("If-Match, If-None-Match: this has no revision that could be compared".into());
        }
        if body.get(IF_REVISION).is_some_and(|said| *said != revision) {
            return Err("the body's if_revision is another than the header's".into());
        }
        body.insert(IF_REVISION.into(), revision.into());
    }
    Ok(body)
}

fn unknown(name: &str, schema: &Value, path: &[(&'static str, String)]) -> String {
    let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
    let known: Vec<&str> = known
        .map(String::as_str)
        .filter(|known| *known != IF_REVISION && path.iter().all(|(placeholder, _)| placeholder != known))
        .collect();
    match known.is_empty() {
        true => format!("the query says {name:?}; nothing can be asked here"),
        false => format!("the query says {name:?}; what can be asked here: {}", known.join(", ")),
    }
}

/// The pairs of a query, unescaped (WHATWG URL §5.1), in the order in which they came.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let both = unescape(name, true).zip(unescape(value, true));
        both.ok_or_else(|| "the query's escapes are broken".to_owned())
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

/// Percent escapes undone (RFC 3986 §2.1), and in a query `+` for a blank; `None` where they are none or no UTF-8.
pub fn unescape(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                bytes.push((digit()? * 16 + digit()?) as u8);
            }
            b'+' if is_query => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// All but RFC 3986's unreserved characters as escapes: fits a path and a query.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Text as the kind of value that the schema means.
fn typed(name: &str, text: &str, schema: &Value) -> Result<Value, String> {
    let kinds = kinds(schema);
    let is = |kind: &str| kinds.contains(&kind);
    if is("integer") {
        if let Ok(number) = text.parse::<i64>() {
            return Ok(number.into());
        }
        if let Ok(number) = text.parse::<u64>() {
            return Ok(number.into());
        }
    }
    if is("number")
        && let Some(number) = text.parse().ok().and_then(serde_json::Number::from_f64)
    {
        return Ok(number.into());
    }
    if is("boolean") && (text == "true" || text == "false") {
        return Ok((text == "true").into());
    }
    if is("string") {
        return match choices(schema) {
            Some(choices) if !choices.contains(&text) => Err(format!("{name}: one of {} is meant", choices.join(", "))),
            _ => Ok(text.into()),
        };
    }
    if is("array") {
        let items = text.split(',').filter(|item| !item.is_empty());
        return items.map(|item| typed(name, item, list_items(schema))).collect();
    }
    if kinds.is_empty() || is("object") {
        // A schema that says nothing takes all: JSON where it is JSON.
        return match strict_json::parse(text.as_bytes()) {
            Ok(value) => Ok(value),
            Err(_) if kinds.is_empty() => Ok(text.into()),
            Err(error) => Err(format!("{name}: JSON is meant: {error}")),
        };
    }
    let meant = kinds.iter().map(|kind| match *kind {
        "integer" => "a whole number",
        "number" => "a number",
        _ => "true or false",
    });
    Err(format!("{name}: {} is meant", meant.collect::<Vec<_>>().join(" or ")))
}

/// The types that a schema allows, `null` apart: nobody can say it in a path or a query.
pub fn kinds(schema: &Value) -> Vec<&str> {
    let own: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let constant = |value: &Value| if value.is_string() { Some("string") } else { None };
    let named = schema["enum"].as_array().into_iter().flatten().filter_map(constant);
    let named = named.chain(schema.get("const").and_then(constant));
    let mut all: Vec<&str> = own.into_iter().chain(choices.flat_map(kinds)).chain(named).collect();
    all.retain(|kind| *kind != "null");
    all.sort_unstable();
    all.dedup();
    all
}

/// The words that a schema allows, where it allows no others.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(named) = schema["enum"].as_array() {
        return Some(named.iter().filter_map(Value::as_str).collect());
    }
    if let Some(one) = schema["const"].as_str() {
        return Some(vec![one]);
    }
    let branches = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array())?;
    let branches = branches.iter().filter(|branch| branch["type"] != "null");
    Some(branches.map(choices).collect::<Option<Vec<_>>>()?.concat())
}

fn list_items(schema: &Value) -> &Value {
    let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let own = schema.get("items");
    own.or_else(|| choices.filter_map(|choice| choice.get("items")).next()).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "id": { "type": "string" },
            "limit": { "type": ["integer", "null"] },
            "ratio": { "anyOf": [{ "type": "number" }, { "type": "null" }] },
            "full": { "type": "boolean" },
            "kinds": { "type": "array", "items": { "enum": ["a", "b"] } },
            "numbers": { "type": ["array", "null"], "items": { "type": "integer" } },
            "mode": { "anyOf": [{ "oneOf": [{ "const": "fast" }, { "const": "slow" }] }, { "type": "null" }] },
            "filter": { "type": "object" },
            "value": true,
            "if_revision": { "type": ["integer", "null"] },
        } })
    }

    fn asked(query: &str) -> Result<Value, String> {
        let path = vec![("id", "x%20y".to_owned())];
        let sent = Sent { path, query, is_asked_by_query: true, if_revision: None, body: Map::new() };
        gather(&schema(), sent).map(Value::Object)
    }

    #[test]
    fn a_query_becomes_what_the_schema_means() {
        let query = "limit=10&ratio=0.5&full=true&kinds=a,b&numbers=1,2&filter=%7B%22a%22:1%7D&value=free+text";
        let meant = json!({
            "id": "x y", "limit": 10, "ratio": 0.5, "full": true, "kinds": ["a", "b"], "numbers": [1, 2],
            "filter": { "a": 1 }, "value": "free text",
        });
        assert_eq!(asked(query), Ok(meant));
        assert_eq!(asked("&value=18446744073709551615&"), Ok(json!({ "id": "x y", "value": u64::MAX })));
        for (query, says) in [
            ("limit=ten", "limit: a whole number is meant"),
            ("limit=1.5", "limit: a whole number"),
            ("limit", "limit: a whole number"),
            ("ratio=inf", "ratio: a number"),
            ("full=yes", "full: true or false"),
            ("numbers=1,x", "numbers: a whole number"),
            ("kinds=a,c", "kinds: one of a, b is meant"),
            ("mode=null", "mode: one of fast, slow is meant"),
            ("filter=x", "filter: JSON is meant"),
            ("limit=1&limit=1", "\"limit\" twice"),
            ("limits=1", "what can be asked here: filter, full, kinds, limit, mode, numbers, ratio, value"),
            ("id=other", "the query says \"id\""),
            ("if_revision=7", "the query says \"if_revision\""),
            ("value=%zz", "escapes"),
            ("value=%ff", "escapes"),
            ("value=%f", "escapes"),
        ] {
            let why = asked(query).expect_err(query);
            assert!(why.contains(says), "{query}: {why}");
        }
    }

    #[test]
    fn a_body_goes_with_the_path_and_never_against_it() {
        let told = |path: &str, query, if_revision, body: Value| {
            let Value::Object(body) = body else { panic!("an object") };
            let path = vec![("id", path.to_owned())];
            gather(&schema(), Sent { path, query, is_asked_by_query: false, if_revision, body }).map(Value::Object)
        };
        let all = told("a", "", Some(7), json!({ "id": "a", "full": "kept as it is" }));
        assert_eq!(all, Ok(json!({ "id": "a", "full": "kept as it is", "if_revision": 7 })));
        assert!(told("a", "", None, json!({ "id": "b" })).is_err_and(|why| why.contains("another id than the path")));
        assert!(told("%", "", None, json!({})).is_err_and(|why| why.contains("escapes")));
        assert!(told("a", "full=true", None, json!({})).is_err_and(|why| why.contains("in the body")));
        assert!(told("a", "", Some(7), json!({ "if_revision": 8 })).is_err_and(|why| why.contains("header")));
        let plain = json!({ "properties": {} });
        let sent = Sent { path: vec![], query: "", is_asked_by_query: false, if_revision: Some(1), body: Map::new() };
        assert!(gather(&plain, sent).is_err_and(|why| why.contains("no revision")));
        let sent = Sent { path: vec![], query: "x", is_asked_by_query: true, if_revision: None, body: Map::new() };
        assert!(gather(&plain, sent).is_err_and(|why| why.contains("nothing can be asked")));
    }

    proptest! {
        #[test]
        fn escapes_are_undone(text in any::<String>()) {
            prop_assert_eq!(unescape(&escape(&text), true), Some(text.clone()));
            prop_assert_eq!(unescape(&escape(&text), false), Some(text));
        }

        #[test]
        fn no_query_panics(query in any::<String>()) {
            let _ = asked(&query);
        }
    }
}
