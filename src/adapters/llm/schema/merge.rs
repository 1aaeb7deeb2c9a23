//! Schemas joined: `meet` says that both hold, `join` that one of them does. Where that cannot be said exactly, the outcome
//! takes more and never less. Works on lowered schemas, which have no tuples, references or conditions.

use serde_json::{Map, Value, json};

use super::brief;
use super::node::Node;

type Fields = Map<String, Value>;

/// Both hold.
pub fn meet(mut a: Node, b: Node) -> Node {
    meet_fields(&mut a.fields, b.fields);
    a.lost.extend(b.lost);
    a.never |= b.never;
    a.only_null |= b.only_null;
    a
}

fn meet_fields(a: &mut Fields, b: Fields) {
    for (key, theirs) in b {
        let Some(ours) = a.get_mut(&key) else {
            a.insert(key, theirs);
            continue;
        };
        match (key.as_str(), ours, theirs) {
            ("properties", Value::Object(ours), Value::Object(theirs)) => {
                for (name, theirs) in theirs {
                    match (ours.get_mut(&name), theirs) {
                        (Some(Value::Object(ours)), Value::Object(theirs)) => meet_fields(ours, theirs),
                        (_, theirs) => drop(ours.insert(name, theirs)),
                    }
                }
            }
            ("required", Value::Array(ours), Value::Array(theirs)) => {
                for name in theirs {
                    if !ours.contains(&name) {
                        ours.push(name);
                    }
                }
            }
            ("items", Value::Object(ours), Value::Object(theirs)) => meet_fields(ours, theirs),
            ("additionalProperties", ours, Value::Bool(false)) => *ours = Value::Bool(false),
            ("additionalProperties", ours @ Value::Bool(true), theirs) => *ours = theirs,
            ("description", Value::String(ours), Value::String(theirs)) if *ours != theirs => {
                ours.push(' ');
                ours.push_str(&theirs);
            }
            ("type", ours, theirs) => match both(&kinds(ours), &kinds(&theirs)) {
                Some(kinds) => *ours = kinds,
                // Nothing fits; that is the server's business to say.
                None => drop(a.remove("type")),
            },
            // Of two that hold, one alone takes more.
            _ => {}
        }
    }
}

/// One of them holds.
pub fn join(branches: Vec<Node>) -> Node {
    let forms: Vec<String> = branches.iter().map(|branch| brief::of(&Value::Object(branch.fields.clone()))).collect();
    let lost = vec![format!("either {}", forms.join(", or "))];
    let all: Vec<Fields> = branches.into_iter().map(|branch| branch.fields).collect();
    let mut fields = Fields::new();
    if let Some(kinds) = all.iter().map(|branch| branch.get("type").map(kinds)).collect::<Option<Vec<_>>>() {
        let mut union: Vec<Value> = Vec::new();
        for kind in kinds.into_iter().flatten() {
            if !union.contains(&kind) {
                union.push(kind);
            }
        }
        fields.insert("type".into(), one_or_list(union));
    }
    if all.iter().any(|branch| branch.contains_key("nullable")) {
        fields.insert("nullable".into(), json!(true));
    }
    let objects: Vec<&Fields> = all.iter().filter(|branch| takes_objects(branch)).collect();
    if !objects.is_empty() {
        join_objects(&objects, &mut fields);
    }
    Node { fields, lost, ..Node::default() }
}

fn join_objects(branches: &[&Fields], out: &mut Fields) {
    let is_closed = |branch: &&&Fields| branch.get("additionalProperties") == Some(&json!(false));
    let properties_of =
        |branch: &Fields| branch.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut properties = Fields::new();
    for branch in branches {
        for name in properties_of(branch).keys() {
            if !properties.contains_key(name) {
                properties.insert(name.clone(), form_of(name, branches));
            }
        }
    }
    let required_of = |branch: &Fields| branch.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut required = required_of(branches[0]);
    required.retain(|name| branches.iter().all(|branch| required_of(branch).contains(name)));
    if !required.is_empty() {
        out.insert("required".into(), required.into());
    }
    if branches.iter().all(|branch| is_closed(&branch)) {
        out.insert("additionalProperties".into(), json!(false));
    }
    if !properties.is_empty() {
        out.insert("properties".into(), properties.into());
    }
}

/// A property that some of the branches know. Where another one leaves it open, it may be anything.
fn form_of(name: &str, branches: &[&Fields]) -> Value {
    let mut forms: Vec<Value> = Vec::new();
    let mut is_open = false;
    for branch in branches {
        match branch.get("properties").and_then(|properties| properties.get(name)) {
            Some(form) if !forms.contains(form) => forms.push(form.clone()),
            Some(_) => {}
            None => is_open |= branch.get("additionalProperties") != Some(&json!(false)),
        }
    }
    if !is_open && forms.len() == 1 {
        return forms.remove(0);
    }
    if !is_open {
        return json!({ "anyOf": forms });
    }
    let described = |form: &Value| form.get("description").and_then(Value::as_str).map(|text| format!(": {text}"));
    let words = forms.iter().map(|form| brief::of(form) + &described(form).unwrap_or_default());
    json!({ "description": words.collect::<Vec<_>>().join(", or ") })
}

fn takes_objects(branch: &Fields) -> bool {
    branch.get("type").is_none_or(|kind| kinds(kind).contains(&json!("object")))
}

fn kinds(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    }
}

/// The types that are in both; an integer is a number.
fn both(ours: &[Value], theirs: &[Value]) -> Option<Value> {
    let fits = |kind: &Value, others: &[Value]| {
        others.contains(kind) || (kind == "integer" && others.contains(&json!("number")))
    };
    let mut common: Vec<Value> = ours.iter().filter(|kind| fits(kind, theirs)).cloned().collect();
    for kind in theirs.iter().filter(|kind| fits(kind, ours)) {
        if !common.contains(kind) {
            common.push(kind.clone());
        }
    }
    (!common.is_empty()).then(|| one_or_list(common))
}

fn one_or_list(mut kinds: Vec<Value>) -> Value {
    if kinds.len() == 1 { kinds.remove(0) } else { Value::Array(kinds) }
}
