//! `GET /api/openapi.json`: OpenAPI 3.1 of what this hub answers, made from the table and the schemas of the tools that
//! stand behind it. Routes that are no tools are described in `openapi.json` beside this file. Answers no request itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use hyper::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::arguments::{IF_REVISION, kinds};
use super::table::{Answer, Operation, ROWS, Row};
use crate::gateway::respond::{Response, Static};
use crate::mcp::{Definition, Service};

/// What is written by hand: the frame, the parts that all operations share, and the operations that are no tools.
const BY_HAND: &str = include_str!("openapi.json");

/// The description as it was last made.
pub struct Description {
    version: &'static str,
    /// Paths and methods that are answered without the table.
    by_hand: BTreeSet<(&'static str, String)>,
    made: Mutex<Option<Made>>,
}

struct Made {
    /// The tools that it tells of. Held, so that the same place in memory is the same tool.
    of: Vec<Option<Arc<Definition>>>,
    file: Arc<Static>,
}

impl Description {
    /// For a hub of this version that answers these by hand-written routes.
    pub fn new(version: &'static str, by_hand: impl Iterator<Item = (&'static str, Method)>) -> Description {
        let by_hand = by_hand.map(|(pattern, method)| (pattern, method.as_str().to_lowercase())).collect();
        Description { version, by_hand, made: Mutex::new(None) }
    }

    /// The file, made anew only where a tool of the table has changed.
    pub fn answer(&self, tools: &Service, asked: &HeaderMap) -> Response {
        self.file(tools).answer(asked)
    }

    fn file(&self, tools: &Service) -> Arc<Static> {
        let rows = ROWS.iter().flat_map(|row| row.operations.iter().map(move |operation| (row, operation)));
        let now: Vec<_> = rows.clone().map(|(_, operation)| tools.tool(operation.tool)).collect();
        let is_same = |then: &[Option<Arc<Definition>>]| {
            then.iter().zip(&now).all(|pair| match pair {
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                (then, now) => then.is_none() && now.is_none(),
            })
        };
        // Nobody panics with it; and if, what lies in it is whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| is_same(&made.of)) {
            return made.file.clone();
        }
        let present = rows.zip(&now).filter_map(|((row, operation), tool)| Some((row, operation, tool.as_deref()?)));
        let text = serde_json::to_vec(&self.document(present)).expect("a JSON value is always JSON");
        let file = Arc::new(Static::new("application/json", text));
        *made = Some(Made { of: now, file: file.clone() });
        file
    }

    /// The whole document; its order is that of the alphabet.
    fn document<'a>(&self, rows: impl Iterator<Item = (&'static Row, &'static Operation, &'a Definition)>) -> Value {
        let mut document = by_hand();
        document["info"]["version"] = self.version.into();
        let mut schemas = std::mem::take(&mut document["components"]["schemas"]);
        let paths = document["paths"].as_object_mut().expect("the frame has paths, as a test has seen");
        paths.retain(|pattern, path| {
            let path = path.as_object_mut().expect("a path is an object, as a test has seen");
            path.retain(|method, _| self.by_hand.contains(&(pattern.as_str(), method.clone())));
            !path.is_empty()
        });
        for (row, operation, tool) in rows {
            let method = operation.method.as_str().to_lowercase();
            paths.entry(row.pattern).or_insert_with(|| json!({}))[method] =
                described(row, operation, tool, &mut schemas);
        }
        document["components"]["schemas"] = schemas;
        let tags = document["paths"].as_object().into_iter().flatten().flat_map(|(_, path)| path.as_object());
        let tags = tags.flatten().filter_map(|(_, operation)| operation["tags"][0].as_str().map(str::to_owned));
        let tags: BTreeSet<String> = tags.collect();
        document["tags"] = tags.into_iter().map(|name| json!({ "name": name })).collect();
        document
    }
}

fn by_hand() -> Value {
    serde_json::from_str(BY_HAND).expect("the file beside this one is JSON, as a test has seen")
}

/// One operation of the table.
fn described(row: &'static Row, operation: &'static Operation, tool: &Definition, schemas: &mut Value) -> Value {
    let Operation { method, answer, .. } = operation;
    let input = embedded(&tool.input.to_value(), &format!("{}.arguments", tool.name), schemas);
    let output =
        tool.output.as_ref().map(|output| embedded(&output.to_value(), &format!("{}.result", tool.name), schemas));
    let output = output.unwrap_or_else(|| json!({ "type": "object" }));
    let in_path: Vec<&str> = row.placeholders().collect();
    let has_guard = *method != Method::GET && input["properties"].get(IF_REVISION).is_some();
    let has_body = !matches!(*method, Method::GET | Method::DELETE);
    let has_tag = output["properties"].get("revision").is_some();
    let mut parameters: Vec<Value> = in_path.iter().map(|name| in_path_of(name, &input["properties"][*name])).collect();
    if !has_body {
        parameters.extend(in_query_of(&input, &in_path));
    }
    let mut described = json!({
        "operationId": tool.name,
        "tags": [tool.name.split('.').next().unwrap_or_default()],
        "summary": tool.title.as_deref().unwrap_or(&tool.name),
        "description": tool.description,
    });
    if *method == Method::GET && has_tag {
        parameters.push(reference("parameters", "IfNoneMatch"));
    }
    if has_guard {
        parameters.push(reference("parameters", "IfMatch"));
        if *method == Method::PUT {
            parameters.push(reference("parameters", "IfNothingThere"));
        }
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    let body = match operation.body {
        Some(argument) => Some(whole_body(&input["properties"][argument])),
        None => body_of(&input, &in_path).filter(|_| has_body),
    };
    if let Some(body) = body {
        described["requestBody"] = body;
    }
    let mut responses = Map::new();
    let (status, success) = success(*answer, output, has_tag);
    responses.insert(status.into(), success);
    if *method == Method::GET && has_tag {
        responses.insert("304".into(), reference("responses", "NotModified"));
    }
    let mut problems = vec!["400", "401", "403", "404", "422", "429", "500", "503", "504"];
    if has_guard {
        problems.push("409");
    }
    if has_body {
        problems.extend(["408", "409", "413", "415"]);
    }
    responses.extend(problems.into_iter().map(|status| (status.to_owned(), problem(status))));
    described["responses"] = responses.into();
    described
}

fn problem(status: &str) -> Value {
    reference("responses", if status == "401" { "Unauthenticated" } else { "Problem" })
}

fn reference(family: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{family}/{name}") })
}

fn success(answer: Answer, output: Value, has_tag: bool) -> (&'static str, Value) {
    let mut headers = Map::new();
    if has_tag {
        headers.insert("ETag".into(), reference("headers", "ETag"));
    }
    if output["properties"].get("next_cursor").is_some() {
        headers.insert("Link".into(), reference("headers", "Link"));
    }
    let (status, words) = match answer {
        Answer::Gone => return ("204", json!({ "description": "It is gone." })),
        Answer::Shown => ("200", "What was asked for, or what was written."),
        Answer::Made(place) => {
            if place.is_some() {
                headers.insert("Location".into(), reference("headers", "Location"));
            }
            ("201", "What was made.")
        }
    };
    let mut success = json!({ "description": words, "content": { "application/json": { "schema": output } } });
    if !headers.is_empty() {
        success["headers"] = headers.into();
    }
    (status, success)
}

fn in_path_of(name: &str, property: &Value) -> Value {
    let mut schema = if property.is_null() { json!({ "type": "string" }) } else { sayable(property) };
    // A path is words: a list is written with commas, and what else there may be is for a body.
    if kinds(&schema).iter().any(|kind| ["array", "object"].contains(kind)) {
        let words = schema["description"].take();
        schema = json!({ "type": "string", "minLength": 1 });
        if words.is_string() {
            schema["description"] = words;
        }
    }
    parameter("path", name, true, schema)
}

fn parameter(place: &str, name: &str, is_required: bool, mut schema: Value) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "required": is_required });
    if let Some(words) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
        parameter["description"] = words;
    }
    match kinds(&schema).as_slice() {
        ["object"] => parameter["content"] = json!({ "application/json": { "schema": schema } }),
        kinds => {
            if kinds.contains(&"array") {
                parameter["style"] = if place == "path" { "simple" } else { "form" }.into();
                parameter["explode"] = false.into();
            }
            parameter["schema"] = schema;
        }
    }
    parameter
}

fn in_query_of(input: &Value, in_path: &[&str]) -> Vec<Value> {
    let required = |name: &str| input["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let properties = input["properties"].as_object().into_iter().flatten();
    let asked = properties.filter(|(name, _)| *name != IF_REVISION && !in_path.contains(&name.as_str()));
    asked.map(|(name, schema)| parameter("query", name, required(name), sayable(schema))).collect()
}

/// A schema of what a path or a query can say, which is not `null`.
fn sayable(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(fields) = schema.as_object_mut() else { return schema };
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if let Some(types) = fields.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            fields.insert("type".into(), one);
        }
    }
    for key in ["anyOf", "oneOf"] {
        let Some(choices) = fields.get_mut(key).and_then(Value::as_array_mut) else { continue };
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            fields.remove(key);
            for (key, value) in one {
                fields.entry(key).or_insert(value);
            }
        }
    }
    schema
}

/// The input without what the path and the headers say; `None` where nothing is left.
fn body_of(input: &Value, in_path: &[&str]) -> Option<Value> {
    let is_elsewhere = |name: &str| name == IF_REVISION || in_path.contains(&name);
    let mut schema = input.clone();
    let fields = schema.as_object_mut()?;
    fields.remove("title");
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !is_elsewhere(name));
        if properties.is_empty() {
            return None;
        }
    }
    let mut is_required = false;
    if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !name.as_str().is_some_and(is_elsewhere));
        is_required = !required.is_empty();
    }
    Some(json!({ "required": is_required, "content": { "application/json": { "schema": schema } } }))
}

/// The body that is one argument as a whole.
fn whole_body(schema: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// A tool's schema as a part of this document: its definitions become components, and its references lead there.
fn embedded(schema: &Value, name: &str, schemas: &mut Value) -> Value {
    let mut own = schema.clone();
    let Some(fields) = own.as_object_mut() else { return own };
    fields.remove("$schema");
    let definitions = fields.remove("$defs").or_else(|| fields.remove("definitions"));
    let mut is_recursive = false;
    redirect(&mut own, name, &mut is_recursive);
    for (key, definition) in definitions.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let mut definition = definition.clone();
        redirect(&mut definition, name, &mut is_recursive);
        schemas[format!("{name}.{}", component(key))] = definition;
    }
    if is_recursive {
        schemas[name] = own.clone();
    }
    own
}

fn redirect(schema: &mut Value, name: &str, is_recursive: &mut bool) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let Some(target) = value.as_str().filter(|_| key == "$ref") else {
                    redirect(value, name, is_recursive);
                    continue;
                };
                let inner = target.strip_prefix("#/$defs/").or_else(|| target.strip_prefix("#/definitions/"));
                *is_recursive |= target == "#";
                *value = match inner {
                    Some(inner) => format!("#/components/schemas/{name}.{}", component(inner)).into(),
                    None => format!("#/components/schemas/{name}").into(),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, name, is_recursive)),
        _ => {}
    }
}

/// OpenAPI 3.1 §4.8.7: names of components are of `[A-Za-z0-9._-]`.
fn component(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }).collect()
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
