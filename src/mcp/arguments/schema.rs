//! What is to be known of a schema before anything is checked against it: its draft, its anchors, its patterns, and whether it
//! is within the bounds. The schema itself is walked as it came. Fetches nothing.

use std::collections::HashMap;

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Values in a schema, large and small. The largest of real servers have some thousand.
const NODES_MAX: usize = 50_000;

/// Patterns of one schema; those past it are taken as fulfilled.
const PATTERNS_MAX: usize = 256;

/// The longest pattern, and what it may become, bytes. A state takes some 32 of them, and every letter of a text is held
/// against every state at worst.
const PATTERN_BYTES_MAX: usize = 4 * 1024;
const PATTERN_SIZE_MAX: usize = 32 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    pub draft: Draft,
    /// `$anchor`s and `$dynamicAnchor`s, each with the JSON Pointer of its schema.
    anchors: HashMap<Box<str>, String>,
    /// `None`: not of the kind that takes linear time (ECMA-262 look-around, back references), or too large.
    patterns: HashMap<Box<str>, Option<Regex>>,
    /// The schema's own address, by which it may call itself.
    id: Option<Box<str>>,
    /// Something in it depends on what other keywords have looked at.
    pub has_unevaluated: bool,
    /// Why it cannot be checked.
    pub unfit: Option<&'static str>,
}

/// What changed its meaning between drafts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Draft {
    /// Draft 4 to 7: what stands beside `$ref` is not looked at.
    Old,
    /// 2019-09 and later, and where nothing is said (MCP 2025-11-25: 2020-12 is meant).
    #[default]
    New,
}

impl Index {
    pub fn of(schema: &Value) -> Index {
        let mut index = Index::default();
        let said = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
        if ["draft-03", "draft-04", "draft-06", "draft-07"].iter().any(|old| said.contains(old)) {
            index.draft = Draft::Old;
        }
        index.id = schema.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#').into());
        let (mut nodes, mut has_ref, mut has_inner_id) = (0, false, false);
        let mut waiting = vec![(String::new(), schema)];
        while let Some((pointer, node)) = waiting.pop() {
            nodes += 1;
            if nodes + waiting.len() > NODES_MAX {
                index.unfit = Some("the schema is too large to be checked");
                return index;
            }
            match node {
                Value::Object(fields) => {
                    for (key, inner) in fields {
                        match (&**key, inner) {
                            ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                                index.anchors.entry(name.as_str().into()).or_insert_with(|| pointer.clone());
                            }
                            ("$id", Value::String(id)) if !pointer.is_empty() => match id.strip_prefix('#') {
                                Some(anchor) => {
                                    drop(index.anchors.insert(anchor.into(), pointer.clone()));
                                }
                                None => has_inner_id = true,
                            },
                            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(_)) => has_ref = true,
                            ("unevaluatedProperties" | "unevaluatedItems", _) => index.has_unevaluated = true,
                            ("pattern", Value::String(pattern)) => index.add_pattern(pattern),
                            ("patternProperties", Value::Object(patterns)) => {
                                patterns.keys().for_each(|pattern| index.add_pattern(pattern));
                            }
                            // What stands here is data.
                            ("enum" | "const" | "default" | "examples", _) => continue,
                            _ => {}
                        }
                        if inner.is_object() || inner.is_array() {
                            let step = key.replace('~', "~0").replace('/', "~1");
                            waiting.push((format!("{pointer}/{step}"), inner));
                        }
                    }
                }
                Value::Array(items) => {
                    let inner = items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array());
                    waiting.extend(inner.map(|(at, item)| (format!("{pointer}/{at}"), item)));
                }
                _ => {}
            }
        }
        if has_inner_id && has_ref {
            index.unfit = Some("the schema has documents within, each with references of its own");
        }
        index
    }

    /// The schema that a reference leads to, within this document alone.
    pub fn resolve<'s>(&self, root: &'s Value, reference: &str) -> Option<&'s Value> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !address.is_empty() && self.id.as_deref() != Some(address) {
            return None;
        }
        let fragment = percent_decoded(fragment)?;
        match fragment.is_empty() || fragment.starts_with('/') {
            true => root.pointer(&fragment),
            false => root.pointer(self.anchors.get(fragment.as_str())?),
        }
    }

    /// Whether `text` has what the pattern says; `None`: nobody knows.
    pub fn matches(&self, pattern: &str, text: &str) -> Option<bool> {
        Some(self.patterns.get(pattern)?.as_ref()?.is_match(text))
    }

    fn add_pattern(&mut self, pattern: &str) {
        if self.patterns.len() >= PATTERNS_MAX || self.patterns.contains_key(pattern) {
            return;
        }
        let regex = match pattern.len() <= PATTERN_BYTES_MAX {
            true => RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).nest_limit(32).build().ok(),
            false => None,
        };
        self.patterns.insert(pattern.into(), regex);
    }
}

/// The schemas of an array's first items, and of the others: 2020-12 says `prefixItems` and `items`, older drafts `items` and
/// `additionalItems`.
pub fn places(fields: &Map<String, Value>) -> (&[Value], Option<&Value>) {
    match (fields.get("prefixItems"), fields.get("items")) {
        (Some(Value::Array(first)), rest) => (first, rest),
        (_, Some(Value::Array(first))) => (first, fields.get("additionalItems")),
        (_, rest) => (&[], rest),
    }
}

pub fn branches<'s>(fields: &'s Map<String, Value>, key: &str) -> &'s [Value] {
    fields.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &after[2..];
            }
            byte => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
