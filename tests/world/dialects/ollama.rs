//! Ollama in its own language: lines of JSON, calls whole, errors as one sentence.

use hearth::common::config::ProviderName;
use serde_json::{Value, json};

use super::Dialect;
use crate::world::provider::{MODEL, Script};

pub const DIALECT: Dialect = Dialect {
    name: "Ollama",
    rows: &[ProviderName::Ollama],
    path: "",
    api: None,
    begin,
    word: |script, word| line(script, json!({"content": word})),
    call: |script| {
        let call = json!({"function": {"name": "lamp", "arguments": {"on": true}}});
        line(script, json!({"content": "", "tool_calls": [call]}))
    },
    end: |script| done(script, "stop"),
    broken,
    error: refusal,
    models,
};

pub fn begin() -> Script {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    Script::default().raw(head.as_bytes())
}

/// One line of a chat with these fields of its message.
pub fn line(script: Script, mut message: Value) -> Script {
    message["role"] = json!("assistant");
    let line = json!({"model": MODEL, "created_at": "2026-08-17T15:59:50.05206Z", "message": message, "done": false});
    script.chunk(format!("{line}\n").as_bytes())
}

pub fn done(script: Script, reason: &str) -> Script {
    let message = json!({"role": "assistant", "content": ""});
    let line = json!({"model": MODEL, "created_at": "2026-08-17T15:59:51Z", "message": message, "done": true,
        "done_reason": reason, "total_duration": 5, "load_duration": 1, "prompt_eval_count": 7,
        "prompt_eval_duration": 1, "eval_count": 3, "eval_duration": 3});
    script.chunk(format!("{line}\n").as_bytes()).body_end()
}

/// An error in the midst of an answer.
pub fn broken(script: Script, message: &str) -> Script {
    script.chunk(format!("{}\n", json!({"error": message})).as_bytes()).body_end()
}

pub fn refusal(status: u16, message: &str) -> Script {
    let body = json!({"error": message}).to_string();
    Script::status(status, &[("content-type", "application/json; charset=utf-8")], &body)
}

pub fn models(names: &[&str]) -> Script {
    let details =
        json!({"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"});
    let row = |name: &&str| {
        json!({"name": name, "model": name, "modified_at": "2026-08-17T15:59:50.05206Z", "size": 2_019_393_189_u64,
            "digest": "a80c4f17acd5", "details": details})
    };
    let rows: Vec<Value> = names.iter().map(row).collect();
    let body = json!({"models": rows}).to_string();
    Script::status(200, &[("content-type", "application/json; charset=utf-8")], &body)
}
