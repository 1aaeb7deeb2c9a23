//! OpenRouter: Chat Completions with comments, a reason said twice, a price, and its own words for errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hearth::common::config::ProviderName;
use serde_json::{Value, json};

use super::{Dialect, openai};
use crate::world::provider::{MODEL, Script};

pub const DIALECT: Dialect = Dialect {
    name: "OpenRouter",
    rows: &[ProviderName::Openrouter],
    path: "/api/v1",
    api: None,
    begin: || processing(Script::stream()),
    word: |script, word| delta(script, &json!({"role": "assistant", "content": word})),
    call: openai::call,
    end: |script| done(script, &usage(0.000_25)),
    broken: |script, message| broken(script, &json!({"code": 502, "message": message})).stall(),
    error: |status, message| refusal(status, message, &Value::Null),
    models: openai::models,
};

/// What OpenRouter sends as long as the provider behind it is silent.
pub fn processing(script: Script) -> Script {
    script.chunk(b": OPENROUTER PROCESSING\n\n")
}

pub fn delta(script: Script, delta: &Value) -> Script {
    script.sse(&chunk(delta, &Value::Null).to_string())
}

/// A whole picture, PNG by its word.
pub fn picture(script: Script, picture: &[u8]) -> Script {
    let url = format!("data:image/png;base64,{}", BASE64.encode(picture));
    delta(script, &json!({"content": "", "images": [{"type": "image_url", "index": 0, "image_url": {"url": url}}]}))
}

/// The reason, the reason again with the usage, and `[DONE]`.
pub fn done(script: Script, usage: &Value) -> Script {
    let nothing = json!({"role": "assistant", "content": ""});
    let mut last = chunk(&nothing, &json!("stop"));
    let script = script.sse(&last.to_string());
    last["usage"] = usage.clone();
    script.sse(&last.to_string()).sse("[DONE]").body_end()
}

pub fn usage(cost: f64) -> Value {
    json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": cost, "is_byok": false,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "cost_details": {"upstream_inference_cost": cost}, "completion_tokens_details": {"reasoning_tokens": 0}})
}

/// An error in the midst of a stream that began with 200.
pub fn broken(script: Script, error: &Value) -> Script {
    let mut last = chunk(&json!({"content": ""}), &json!("error"));
    last["error"] = error.clone();
    script.sse(&last.to_string())
}

/// An error instead of an answer.
pub fn refusal(status: u16, message: &str, metadata: &Value) -> Script {
    let mut error = json!({"message": message, "code": status});
    if !metadata.is_null() {
        error["metadata"] = metadata.clone();
    }
    let body = json!({"error": error, "user_id": "user_1"}).to_string();
    let date = ("date", "Wed, 15 Jul 2026 10:36:00 GMT");
    Script::status(status, &[("content-type", "application/json"), date], &body)
}

fn chunk(delta: &Value, finish_reason: &Value) -> Value {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason, "native_finish_reason": finish_reason, "logprobs": null});
    json!({"id": "gen-1", "provider": "OpenAI", "model": MODEL, "object": "chat.completion.chunk", "created": 1, "choices": [choice]})
}
