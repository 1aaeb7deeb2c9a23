//! Mends a value that does not fit its schema, where only one thing can be meant: `"10"` is 10, `"true"` is true, `1.0` is 1, a
//! single value is an array of it, a text with JSON is what it says, and null for an optional field is no field. Only what
//! does not fit is touched, and only if it fits afterwards. Fills in no defaults.

use serde_json::{Map, Number, Value};

use super::check::{Check, DEPTH_MAX};
use super::equal::{equal, whole};
use super::schema::{Draft, branches, places};

impl<'s> Check<'s> {
    /// See the module.
    pub fn mend(&mut self, value: &mut Value) {
        self.mend_node(self.root, value, false);
    }

    /// `only_integers`: it fits as JSON Schema sees it, and is to be rewritten without a change of its worth.
    fn mend_node(&mut self, node: &'s Value, value: &mut Value, only_integers: bool) {
        if self.depth >= DEPTH_MAX || !self.step(1) || self.fits_strictly(node, value) {
            return;
        }
        self.depth += 1;
        let only_integers = only_integers || self.fits(node, value);
        self.mend_inner(node, value, only_integers);
        if !self.fits_strictly(node, value) {
            let mut found = self.meant(node, value, only_integers);
            if found.len() == 1 {
                *value = found.remove(0);
            }
        }
        self.depth -= 1;
    }

    /// What can be meant by a value, each different from the others; all of them fit.
    fn meant(&mut self, node: &'s Value, value: &Value, only_integers: bool) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        let mut add = |candidate: Value| {
            if !found.iter().any(|known| equal(known, &candidate)) {
                found.push(candidate);
            }
        };
        for mut candidate in conversions(value, only_integers) {
            // Only what the schema names: that it does not forbid a text is no wish for one.
            if !self.wants(node, &candidate) {
                continue;
            }
            self.mend_inner(node, &mut candidate, only_integers);
            if self.fits(node, &candidate) {
                add(candidate);
            }
        }
        for branch in self.alternatives(node) {
            let mut candidate = value.clone();
            self.mend_node(branch, &mut candidate, only_integers);
            if candidate != *value && self.fits(node, &candidate) {
                add(candidate);
            }
        }
        if found.is_empty()
            && !only_integers
            && !value.is_array()
            && !value.is_null()
            && self.wants(node, &Value::Array(Vec::new()))
        {
            let mut candidate = Value::Array(vec![value.clone()]);
            self.mend_inner(node, &mut candidate, false);
            if self.fits(node, &candidate) {
                found.push(candidate);
            }
        }
        found
    }

    /// Mends what is within a value.
    fn mend_inner(&mut self, node: &'s Value, value: &mut Value, only_integers: bool) {
        let parts = self.parts(node);
        match value {
            Value::Object(members) => {
                let names: Vec<String> = members.keys().cloned().collect();
                for name in names {
                    let schemas = self.schemas_of(&parts, &name);
                    if !self.step(1 + schemas.len()) {
                        return;
                    }
                    let is_required = || parts.iter().any(|part| requires(part, &name));
                    let Some(member) = members.get_mut(&name) else { continue };
                    let is_refused = member.is_null() && !schemas.iter().all(|schema| self.fits(schema, &Value::Null));
                    if is_refused && !only_integers && !is_required() {
                        members.remove(&name);
                        continue;
                    }
                    schemas.iter().for_each(|schema| self.mend_node(schema, member, only_integers));
                }
            }
            Value::Array(items) => {
                for part in parts {
                    let (first, rest) = places(part);
                    for (number, item) in items.iter_mut().enumerate() {
                        let Some(schema) = first.get(number).or(rest) else { break };
                        self.mend_node(schema, item, only_integers);
                    }
                }
            }
            _ => {}
        }
    }

    /// A schema and all that hold beside it: what it refers to, and `allOf`.
    fn parts(&mut self, node: &'s Value) -> Vec<&'s Map<String, Value>> {
        let (mut parts, mut waiting): (Vec<&Map<_, _>>, _) = (Vec::new(), vec![node]);
        while let Some(node) = waiting.pop() {
            let Value::Object(fields) = node else { continue };
            // A schema that refers to itself would be met again and again.
            if parts.iter().any(|known| std::ptr::eq(*known, fields)) || !self.step(1) {
                continue;
            }
            let referred = self.referred(fields);
            waiting.extend(referred);
            if referred.is_some() && self.index.draft == Draft::Old {
                continue;
            }
            parts.push(fields);
            waiting.extend(branches(fields, "allOf"));
        }
        parts
    }

    fn alternatives(&mut self, node: &'s Value) -> Vec<&'s Value> {
        let parts = self.parts(node);
        parts.iter().flat_map(|part| branches(part, "anyOf").iter().chain(branches(part, "oneOf"))).collect()
    }

    fn schemas_of(&mut self, parts: &[&'s Map<String, Value>], name: &str) -> Vec<&'s Value> {
        let mut schemas = Vec::new();
        for part in parts {
            let before = schemas.len();
            schemas.extend(part.get("properties").and_then(|known| known.get(name)));
            if let Some(Value::Object(patterns)) = part.get("patternProperties") {
                let fitting = patterns.iter().filter(|(pattern, _)| self.index.matches(pattern, name) == Some(true));
                schemas.extend(fitting.map(|(_, schema)| schema));
            }
            if schemas.len() == before {
                schemas.extend(part.get("additionalProperties").filter(|schema| schema.is_object()));
            }
        }
        schemas
    }

    /// Whether a schema names the kind of `value`, itself or in an alternative.
    fn wants(&mut self, node: &'s Value, value: &Value) -> bool {
        let mut nodes = vec![node];
        nodes.extend(self.alternatives(node));
        nodes.into_iter().any(|node| self.parts(node).into_iter().any(|part| names_kind(part, value)))
    }
}

fn names_kind(part: &Map<String, Value>, value: &Value) -> bool {
    let is_alike = |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(value);
    let is = |word: &str| match value {
        Value::Null => word == "null",
        Value::Bool(_) => word == "boolean",
        Value::Number(_) => word == "integer" || word == "number",
        Value::String(_) => word == "string",
        Value::Array(_) => word == "array",
        Value::Object(_) => word == "object",
    };
    let of_keywords = match value {
        Value::Array(_) => part.contains_key("items") || part.contains_key("prefixItems"),
        Value::Object(_) => part.contains_key("properties"),
        _ => false,
    };
    match part.get("type") {
        Some(Value::String(word)) => is(word),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).any(is),
        _ => of_keywords || branches(part, "enum").iter().any(is_alike) || part.get("const").is_some_and(is_alike),
    }
}

fn requires(part: &Map<String, Value>, name: &str) -> bool {
    branches(part, "required").iter().any(|required| required == name)
}

/// What a value may stand for; the likeliest first.
fn conversions(value: &Value, only_integers: bool) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let integer = as_integer(number).map(Value::Number);
            let text = (!only_integers).then(|| Value::from(number.to_string()));
            integer.into_iter().chain(text).collect()
        }
        Value::String(text) if !only_integers => {
            let parsed = match text.trim() {
                // As Python writes them, and with it many models.
                "True" | "TRUE" => Value::Bool(true),
                "False" | "FALSE" => Value::Bool(false),
                text => match serde_json::from_str(text) {
                    // A text within a text is not meant.
                    Ok(Value::String(_)) | Err(_) => return Vec::new(),
                    Ok(parsed) => parsed,
                },
            };
            match &parsed {
                Value::Number(number) => match as_integer(number) {
                    Some(integer) => vec![Value::Number(integer)],
                    None => vec![parsed],
                },
                _ => vec![parsed],
            }
        }
        _ => Vec::new(),
    }
}

/// `1` for `1.0`; `None` where it is written as an integer already, or is none.
fn as_integer(number: &Number) -> Option<Number> {
    if number.is_i64() || number.is_u64() {
        return None;
    }
    i64::try_from(whole(number)?).ok().map(Number::from)
}
