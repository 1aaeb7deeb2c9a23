//! Chat Completions, as OpenAI and the servers of a house speak it.

use hearth::common::config::{Api, ProviderName};
use serde_json::{Value, json};

use super::Dialect;
use crate::world::provider::Script;

pub const DIALECT: Dialect = Dialect {
    name: "Chat Completions",
    rows: &[ProviderName::Openai, ProviderName::Local],
    path: "/v1",
    api: Some(Api::Chat),
    begin: || Script::stream().event(&json!({"role": "assistant", "content": ""}), Value::Null),
    word: |script, word| script.event(&json!({"content": word}), Value::Null),
    call,
    end: Script::end,
    broken: |script, message| {
        let error = json!({"message": message, "type": "server_error", "param": null, "code": null});
        script.sse(&json!({"error": error}).to_string()).stall()
    },
    error: |status, message| Script::error(status, "", message, &[]),
    models,
};

pub fn call(script: Script) -> Script {
    let fragment = |call: Value| json!({"tool_calls": [call]});
    let begun = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "lamp", "arguments": ""}});
    ["{\"on\"", ":true}"].iter().fold(script.event(&fragment(begun), Value::Null), |script, piece| {
        script.event(&fragment(json!({"index": 0, "function": {"arguments": piece}})), Value::Null)
    })
}

pub fn models(names: &[&str]) -> Script {
    let rows: Vec<Value> = names.iter().map(|name| json!({"id": name, "object": "model"})).collect();
    let body = json!({"object": "list", "data": rows}).to_string();
    Script::status(200, &[("content-type", "application/json")], &body)
}
