//! The tools that ask their client for something: while they run, or (in the words of 2026-07-28) by what they give back.

use serde_json::{Map, Value, json};

use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Outcome, Reach, Resumption, ToolOutput};

/// A form of one field, as a request of `inputRequests`.
pub fn form(message: &str, field: &str, kind: &str) -> Value {
    json!({ "method": "elicitation/create", "params": {
        "message": message,
        "requestedSchema": { "type": "object", "properties": { field: { "type": kind } }, "required": [field] },
    } })
}

fn sampling(prompt: &str, tokens_max: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": tokens_max } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// Asks while the call runs.
pub async fn ask(reach: &Reach, method: &str, params: Value) -> Result<Value, Fault> {
    let Some(peer) = &reach.peer else {
        return Err(Fault::new(ErrorCode::Unsupported, "there is nobody here who could be asked"));
    };
    peer.ask(method, params).await
}

pub async fn sample(reach: &Reach, prompt: &str) -> Result<Outcome, Fault> {
    let request = sampling(prompt, 100);
    let answer = ask(reach, "sampling/createMessage", request["params"].clone()).await?;
    let words = answer.pointer("/content/text").and_then(Value::as_str).unwrap_or("nothing");
    Ok(Outcome::Done(ToolOutput::text(format!("LLM response: {words}"))))
}

pub async fn elicit(reach: &Reach, message: &str, properties: Value, required: &[&str]) -> Result<Outcome, Fault> {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let answer = ask(reach, "elicitation/create", json!({ "message": message, "requestedSchema": schema })).await?;
    let content = answer.get("content").cloned().unwrap_or(json!({}));
    let action = answer.get("action").and_then(Value::as_str).unwrap_or("cancel");
    Ok(Outcome::Done(ToolOutput::text(format!("Elicitation completed: action={action}, content={content}"))))
}

/// SEP-1034: a default for each primitive type.
pub fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

/// SEP-1330: the five kinds of choices.
pub fn choices() -> Value {
    let titled = |values: [(&str, &str); 3]| values.map(|(value, title)| json!({ "const": value, "title": title }));
    let options = ["option1", "option2", "option3"];
    json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": { "type": "string", "oneOf": titled([
            ("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"),
        ]) },
        "legacyEnum": {
            "type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled([
            ("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"),
        ]) } },
    })
}

/// The tools `test_input_required_result_…`, by the rest of their names.
pub fn input_required(kind: &str, reach: &Reach) -> Result<Outcome, Fault> {
    let Resumption { responses, state } = reach.resumption.clone().unwrap_or_default();
    let state = state.as_deref();
    let name = form("What is your name?", "name", "string");
    let confirm = form("Please confirm", "ok", "boolean");
    let capabilities = reach.peer.as_ref().map(|peer| peer.capabilities()).unwrap_or_default();
    let can = |capability: &str| capabilities.get(capability).is_some();
    match kind {
        "elicitation" => match responses.get("user_name").and_then(|answer| answer.pointer("/content/name")) {
            Some(Value::String(name)) => done(&format!("Hello, {name}!")),
            _ => asks([("user_name", name)], None),
        },
        "sampling" => match responses.get("capital_question").and_then(|answer| answer.pointer("/content/text")) {
            Some(Value::String(words)) => done(words),
            _ => asks([("capital_question", sampling("What is the capital of France?", 100))], None),
        },
        "list_roots" => match responses.get("client_roots").and_then(|answer| answer.get("roots")) {
            Some(Value::Array(roots)) => done(&format!("Roots: {}", Value::from(roots.clone()))),
            _ => asks([("client_roots", roots())], None),
        },
        "request_state" | "tampered_state" => match (responses.get("confirm"), state) {
            (Some(_), Some("asked")) => done("state-ok"),
            _ => asks([("confirm", confirm)], Some("asked")),
        },
        "multiple_inputs" => {
            let all = ["user_name", "greeting", "client_roots"].iter().all(|key| responses.contains_key(*key));
            match (all, state) {
                (true, Some("asked")) => done("all three are here"),
                _ => {
                    let greeting = sampling("Generate a greeting", 50);
                    asks([("user_name", name), ("greeting", greeting), ("client_roots", roots())], Some("asked"))
                }
            }
        }
        "multi_round" => match state {
            Some("round-2") if responses.contains_key("step2") => done("two rounds are done"),
            Some("round-1") if responses.contains_key("step1") => {
                asks([("step2", form("Step 2: What is your favorite color?", "color", "string"))], Some("round-2"))
            }
            _ => asks([("step1", form("Step 1: What is your name?", "name", "string"))], Some("round-1")),
        },
        "capabilities" if !responses.is_empty() => done("thank you"),
        "capabilities" => {
            let all = [
                ("user_name", "elicitation", name),
                ("greeting", "sampling", sampling("Generate a greeting", 50)),
                ("client_roots", "roots", roots()),
            ];
            let possible = all.into_iter().filter(|(_, capability, _)| can(capability));
            asks(possible.map(|(key, _, request)| (key, request)), None)
        }
        _ => Err(Fault::new(ErrorCode::NotFound, "there is no such tool")),
    }
}

fn done(words: &str) -> Result<Outcome, Fault> {
    Ok(Outcome::Done(ToolOutput::text(words)))
}

fn asks<'a>(requests: impl IntoIterator<Item = (&'a str, Value)>, state: Option<&str>) -> Result<Outcome, Fault> {
    let requests: Map<_, _> = requests.into_iter().map(|(key, request)| (key.to_owned(), request)).collect();
    Ok(Outcome::InputRequired { requests, state: state.map(ToOwned::to_owned) })
}
