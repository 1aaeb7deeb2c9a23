//! The walk through a schema: what a provider takes stays, references are put in their places, the rest becomes words.

use serde_json::{Map, Value, json};

use super::brief;
use super::dialect::{Choices, Rules, Types};
use super::merge::{join, meet};
use super::node::Node;

/// Schemas within a schema, references followed: one that names itself twice would double with each step.
const NODES_MAX: usize = 4096;

/// Values of one `enum`; more are told in words.
const CHOICES_MAX: usize = 250;

/// The longest key of a property that Anthropic takes, bytes.
const PLAIN_KEY_BYTES_MAX: usize = 64;

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Words that say something of a value, and have no place in what providers take: told by their names and in short.
const CONDITIONS: [&str; 9] =
    ["not", "if", "then", "else", "contains", "propertyNames", "dependentSchemas", "dependentRequired", "dependencies"];

/// See the module.
pub struct Walk<'a> {
    document: &'a Value,
    rules: &'static Rules,
    nodes_left: usize,
    /// References that are being followed.
    open: Vec<&'a str>,
    /// Within a schema that has a name of its own: references lead elsewhere.
    foreign: bool,
}

impl<'a> Walk<'a> {
    pub fn new(document: &'a Value, rules: &'static Rules) -> Walk<'a> {
        Walk { document, rules, nodes_left: NODES_MAX, open: Vec::new(), foreign: false }
    }

    /// The whole of a tool's arguments, where several forms of it cannot stand beside each other.
    pub fn root(&mut self, schema: &'a Value, depth: usize) -> Node {
        self.lower(schema, depth, true)
    }

    /// A schema within another.
    pub fn below(&mut self, schema: &'a Value, depth: usize) -> Node {
        self.lower(schema, depth, false)
    }

    fn lower(&mut self, schema: &'a Value, depth: usize, is_root: bool) -> Node {
        let words = match schema {
            Value::Bool(false) => return Node { never: true, ..Node::of("nothing fits here".into()) },
            Value::Object(words) => words,
            _ => return Node::any(),
        };
        if depth == 0 || self.nodes_left == 0 {
            return if words.is_empty() { Node::any() } else { Node::of(brief::of(schema)) };
        }
        self.nodes_left -= 1;
        let was_foreign = self.foreign;
        self.foreign |= words.get("$id").is_some_and(Value::is_string) && !std::ptr::eq(schema, self.document);
        let mut node = match words.get("$ref").and_then(Value::as_str) {
            Some(path) => self.referred(path, words, depth, is_root),
            None => self.own(words, depth, is_root),
        };
        self.foreign = was_foreign;
        self.tidy(&mut node);
        node
    }

    /// What a reference stands for. What stands beside it counts in newer drafts and not in older ones: it becomes words.
    fn referred(&mut self, path: &'a str, words: &'a Map<String, Value>, depth: usize, is_root: bool) -> Node {
        let name = path.rsplit('/').next().unwrap_or(path);
        let found = if self.foreign { None } else { self.find(path) };
        let mut node = match found {
            None => Node::of(format!("of the form {}, which is not given here", brief::cut(name, 64))),
            Some(_) if self.open.contains(&path) => Node::of(format!("again {}", brief::cut(name, 64))),
            Some((target, foreign)) => {
                let was_foreign = std::mem::replace(&mut self.foreign, foreign);
                self.open.push(path);
                let node = self.lower(target, depth - 1, is_root);
                self.open.pop();
                self.foreign = was_foreign;
                node
            }
        };
        if let Some(description) = words.get("description").filter(|text| text.is_string()) {
            node.fields.insert("description".into(), description.clone());
        }
        let beside: Map<String, Value> = words
            .iter()
            .filter(|(key, _)| {
                ["type", "enum", "const", "properties", "required", "anyOf", "oneOf"].contains(&key.as_str())
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !beside.is_empty() {
            node.lost.push(brief::of(&Value::Object(beside)));
        }
        node.lost.extend(words.get("default").and_then(|value| brief::bound("default", value)));
        node
    }

    /// What `#/$defs/name` stands for, and whether it lies in a schema with a name of its own.
    fn find(&self, path: &str) -> Option<(&'a Value, bool)> {
        let mut at = self.document;
        let mut foreign = false;
        let pointer = path.strip_prefix('#')?;
        if pointer.is_empty() {
            return Some((at, false));
        }
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = percent_decoded(token)?.replace("~1", "/").replace("~0", "~");
            at = match at {
                Value::Object(fields) => fields.get(&token)?,
                Value::Array(list) => list.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
            foreign |= at.get("$id").is_some_and(Value::is_string);
        }
        Some((at, foreign))
    }

    fn own(&mut self, words: &'a Map<String, Value>, depth: usize, is_root: bool) -> Node {
        let mut node = Node::any();
        if let Some(description) = words.get("description").filter(|text| text.is_string()) {
            node.fields.insert("description".into(), description.clone());
        }
        self.types(words, &mut node);
        self.choices(words, &mut node);
        self.object(words, depth, is_root, &mut node);
        self.list(words, depth, &mut node);
        self.bounds(words, &mut node);
        for key in CONDITIONS {
            if let Some(condition) = words.get(key) {
                node.lost.push(condition_words(key, condition));
            }
        }
        for branch in words.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let branch = self.lower(branch, depth - 1, is_root);
            node = meet(node, branch);
        }
        for key in ["anyOf", "oneOf"] {
            let Some(kinds) = words.get(key).and_then(Value::as_array).filter(|kinds| !kinds.is_empty()) else {
                continue;
            };
            node = self.one_of(kinds, depth, is_root, node);
        }
        node
    }

    fn one_of(&mut self, kinds: &'a [Value], depth: usize, is_root: bool, mut node: Node) -> Node {
        let all = kinds.iter().map(|kind| self.lower(kind, depth - 1, is_root));
        let mut branches: Vec<Node> = all.filter(|branch| !branch.never).collect();
        if branches.is_empty() {
            return Node { never: true, ..node };
        }
        if self.rules.types == Types::Nullable {
            let count = branches.len();
            branches.retain(|branch| !branch.only_null);
            if branches.len() < count {
                node.fields.insert("nullable".into(), json!(true));
            }
            if branches.is_empty() {
                return node;
            }
        }
        if branches.len() == 1 {
            return meet(node, branches.remove(0));
        }
        if is_root || node.fields.contains_key("anyOf") {
            return meet(node, join(branches));
        }
        let forms: Vec<Value> = branches.into_iter().map(Node::into_value).collect();
        node.fields.insert("anyOf".into(), forms.into());
        node
    }

    fn types(&self, words: &Map<String, Value>, node: &mut Node) {
        let kinds: Vec<Value> = match words.get("type") {
            Some(Value::Array(kinds)) => kinds.clone(),
            Some(kind) => vec![kind.clone()],
            None => Vec::new(),
        };
        if !kinds.is_empty() && kinds.iter().all(|kind| kind.as_str().is_some_and(|kind| TYPES.contains(&kind))) {
            node.fields.insert("type".into(), Value::Array(kinds));
        }
        if self.rules.types == Types::Nullable && words.get("nullable") == Some(&json!(true)) {
            node.fields.insert("nullable".into(), json!(true));
        }
    }

    fn choices(&self, words: &Map<String, Value>, node: &mut Node) {
        let mut choices: Vec<Value> = match (words.get("const"), words.get("enum")) {
            (Some(only), _) => vec![only.clone()],
            (None, Some(Value::Array(choices))) => choices.clone(),
            _ => return,
        };
        if choices.is_empty() {
            return node.lost.push("nothing fits here".into());
        }
        let mut distinct: Vec<Value> = Vec::with_capacity(choices.len().min(CHOICES_MAX));
        choices.drain(..).take(CHOICES_MAX + 1).for_each(|choice| {
            if !distinct.contains(&choice) {
                distinct.push(choice);
            }
        });
        let had = distinct.len();
        if self.rules.types == Types::Nullable {
            distinct.retain(|choice| !choice.is_null());
        }
        let fits = |choice: &Value| match self.rules.choices {
            Choices::Any => true,
            Choices::StringsAndNumbers => choice.is_string() || choice.is_number(),
            Choices::Strings => choice.is_string(),
        };
        if distinct.len() > CHOICES_MAX || distinct.is_empty() || !distinct.iter().all(fits) {
            return node.lost.push(brief::choices_of(&distinct));
        }
        if distinct.len() < had {
            node.fields.insert("nullable".into(), json!(true));
        }
        if self.rules.choices != Choices::Any
            && !node.fields.contains_key("type")
            && distinct.iter().all(Value::is_string)
        {
            node.fields.insert("type".into(), json!("string"));
        }
        node.fields.insert("enum".into(), distinct.into());
    }

    fn object(&mut self, words: &'a Map<String, Value>, depth: usize, is_root: bool, node: &mut Node) {
        let mut properties = Map::new();
        let mut is_closed = words.get("additionalProperties") == Some(&json!(false));
        let mut takes_others = true;
        for (name, schema) in words.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let property = self.below(schema, depth - 1);
            if property.never {
                node.lost.push(format!("{name:?} must not be given"));
            } else if is_root && self.rules.plain_keys && !is_plain_key(name) {
                (is_closed, takes_others) = (false, false);
                node.lost.push(format!("also takes {name:?}: {}", brief::of(schema)));
            } else {
                properties.insert(name.clone(), property.into_value());
            }
        }
        let mut required: Vec<Value> = Vec::new();
        for name in words.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if is_root && self.rules.plain_keys && !is_plain_key(name) {
                (is_closed, takes_others) = (false, false);
                node.lost.push(format!("{name:?} must be given"));
            } else if !required.iter().any(|known| known == name) {
                // "property is not defined"
                properties.entry(name).or_insert_with(|| json!({}));
                required.push(name.into());
            }
        }
        let patterns = words.get("patternProperties").and_then(Value::as_object);
        for (pattern, schema) in patterns.into_iter().flatten() {
            takes_others = false;
            node.lost.push(format!("names that match {} are {}", brief::cut(pattern, 80), brief::of(schema)));
        }
        let others = words.get("additionalProperties").filter(|others| others.is_object() || others.is_boolean());
        match others {
            Some(_) if !takes_others => {}
            Some(Value::Bool(true)) if self.rules.additional => {
                // A grammar without it takes no others.
                node.fields.insert("additionalProperties".into(), json!(true));
            }
            Some(Value::Bool(false)) if self.rules.additional && is_closed => {
                node.fields.insert("additionalProperties".into(), json!(false));
            }
            Some(schema @ Value::Object(_)) => {
                let lowered = self.below(schema, depth - 1);
                if self.rules.additional && !lowered.never {
                    node.fields.insert("additionalProperties".into(), lowered.into_value());
                } else {
                    node.lost.push(format!("other names are {}", brief::of(schema)));
                }
            }
            _ => {}
        }
        if !properties.is_empty() || words.get("properties").is_some_and(Value::is_object) {
            node.fields.insert("properties".into(), properties.into());
        }
        if !required.is_empty() {
            node.fields.insert("required".into(), required.into());
        }
    }

    fn list(&mut self, words: &'a Map<String, Value>, depth: usize, node: &mut Node) {
        let places = words.get("prefixItems").or(words.get("items")).and_then(Value::as_array);
        if let Some(places) = places {
            let said: Vec<String> = places.iter().map(brief::of).collect();
            return node.lost.push(format!("a list of, in this order: {}", said.join(", ")));
        }
        match words.get("items") {
            Some(items @ Value::Object(_)) => {
                let items = self.below(items, depth - 1);
                if items.never {
                    node.lost.push("an empty list".into());
                } else {
                    node.fields.insert("items".into(), items.into_value());
                }
            }
            Some(Value::Bool(false)) => node.lost.push("an empty list".into()),
            _ => {}
        }
    }

    fn bounds(&self, words: &Map<String, Value>, node: &mut Node) {
        let is_integer = words.get("type") == Some(&json!("integer"));
        for (key, value) in words {
            let counts = ["Length", "Items", "Properties"].iter().any(|what| key.ends_with(what));
            let is_number = match key.as_str() {
                "multipleOf" => value.as_f64().is_some_and(|step| step > 0.0),
                _ if counts => value.is_u64(),
                _ => value.is_number(),
            };
            let is_kept = self.rules.bounds.contains(&key.as_str())
                && is_number
                && (!self.rules.integers_only || (is_integer && value.is_i64()));
            let is_format = key == "format" && self.rules.formats.iter().any(|known| value == known);
            if is_kept || is_format {
                node.fields.insert(key.clone(), value.clone());
            } else {
                node.lost.extend(brief::bound(key, value));
            }
        }
        if words.get("uniqueItems") == Some(&json!(true)) {
            node.lost.push("each item once".into());
        }
        if words.get("unevaluatedProperties") == Some(&json!(false)) {
            node.lost.push("no other names".into());
        }
        if let Some(examples) = words.get("examples").and_then(Value::as_array).filter(|examples| !examples.is_empty())
        {
            let shown: Vec<String> =
                examples.iter().take(3).map(|example| brief::cut(&example.to_string(), 80)).collect();
            node.lost.push(format!("such as {}", shown.join(", ")));
        }
    }

    /// Types as this provider writes them, and what it wants beside them.
    fn tidy(&self, node: &mut Node) {
        let kinds = match node.fields.remove("type") {
            Some(Value::Array(kinds)) => kinds,
            Some(kind) => vec![kind],
            None => Vec::new(),
        };
        let mut kinds: Vec<Value> = kinds.into_iter().fold(Vec::new(), |mut kinds, kind| {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
            kinds
        });
        let is_list = kinds.iter().any(|kind| kind == "array");
        if self.rules.types == Types::Nullable && kinds.iter().any(|kind| kind == "null") {
            kinds.retain(|kind| kind != "null");
            node.only_null |= kinds.is_empty();
            node.fields.insert("nullable".into(), json!(true));
        }
        let plain = kinds.iter().filter(|kind| *kind != "null").count();
        let has_room = !node.fields.contains_key("anyOf");
        match (&kinds[..], self.rules.types) {
            ([], _) => {}
            ([one], _) => drop(node.fields.insert("type".into(), one.clone())),
            (_, Types::List) => drop(node.fields.insert("type".into(), kinds.into())),
            (_, Types::OneOrNull) if plain == 1 => drop(node.fields.insert("type".into(), kinds.into())),
            _ if has_room && !is_list => {
                let forms: Vec<Value> = kinds.into_iter().map(|kind| json!({ "type": kind })).collect();
                node.fields.insert("anyOf".into(), forms.into());
            }
            _ => {
                let words: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
                node.lost.push(words.join(" or "));
            }
        }
        if self.rules.wants_items && is_list && node.fields.contains_key("type") {
            node.fields.entry("items").or_insert_with(|| json!({}));
        }
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        if self.rules.no_empty_objects
            && node.fields.get("type") == Some(&json!("object"))
            && node.fields.get("properties").is_none_or(is_empty)
        {
            node.fields.remove("properties");
        }
    }
}

fn is_plain_key(key: &str) -> bool {
    (1..=PLAIN_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn condition_words(key: &str, condition: &Value) -> String {
    let names = |list: &Value| -> String {
        let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        names.join(", ")
    };
    match (key, condition) {
        ("dependentRequired" | "dependencies", Value::Object(fields)) => {
            let each = fields
                .iter()
                .filter(|(_, list)| list.is_array())
                .map(|(name, list)| format!("{name} with {}", names(list)));
            format!("needs {}", each.collect::<Vec<_>>().join(" and "))
        }
        ("propertyNames", _) => format!("names are {}", brief::of(condition)),
        ("contains", _) => format!("contains {}", brief::of(condition)),
        ("dependentSchemas", Value::Object(fields)) => {
            let each = fields.iter().map(|(name, schema)| format!("with {name}: {}", brief::of(schema)));
            each.collect::<Vec<_>>().join(" and ")
        }
        _ => format!("{key} {}", brief::of(condition)),
    }
}

fn percent_decoded(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
