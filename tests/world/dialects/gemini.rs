//! Gemini's language as Google's servers speak it: CRLF at the ends of lines, blanks after colons, tokens counted with every
//! chunk, and no terminator but the end of the body.

use std::time::Duration;

use hearth::common::config::ProviderName;
use serde_json::{Value, json};

use super::Dialect;
use crate::world::provider::{FakeProvider, MODEL, Script};

pub const DIALECT: Dialect = Dialect {
    name: "Gemini",
    rows: &[ProviderName::Gemini],
    path: "",
    api: None,
    begin: Script::stream,
    word: |script, word| script.gemini_parts(&json!([{"text": word}])),
    call: |script| script.gemini_parts(&json!([{"functionCall": {"name": "lamp", "args": {"on": true}}}])),
    end: |script| {
        let usage = json!({"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10});
        script.gemini_last("STOP", &usage).body_end()
    },
    broken: |script, message| script.gemini_event(&gemini_error(503, "UNAVAILABLE", message, &json!([]))).stall(),
    error: |status, message| Script::gemini_error(status, word(status), message, &json!([])),
    models: |names| {
        let rows: Vec<Value> = names.iter().map(|name| json!({"name": format!("models/{name}")})).collect();
        let body = json!({"models": rows}).to_string();
        Script::status(200, &[("content-type", "application/json; charset=UTF-8")], &body)
    },
};

/// The word of a status (google.rpc `Code`).
fn word(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    }
}

/// `responseId` of every answer.
pub const RESPONSE_ID: &str = "fake_Id-1";

/// For `base_url` of Gemini's row: without a version.
pub fn base_url(provider: &FakeProvider) -> String {
    provider.root()
}

impl Script {
    /// A whole answer in these words, at once.
    pub fn gemini_answer(words: &[&str]) -> Script {
        Script::stream().gemini_words(words, Duration::ZERO).gemini_end("STOP")
    }

    /// One chunk a word, each after a pause.
    pub fn gemini_words(self, words: &[&str], pause: Duration) -> Script {
        words.iter().fold(self, |script, word| {
            let script = if pause.is_zero() { script } else { script.wait(pause) };
            script.gemini_parts(&json!([{"text": word}]))
        })
    }

    /// One chunk with these parts.
    pub fn gemini_parts(self, parts: &Value) -> Script {
        let candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        self.gemini_event(&json!({
            "candidates": [candidate], "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}, "modelVersion": MODEL,
            "responseId": RESPONSE_ID,
        }))
    }

    /// The reason and the usage, which the end of the body is to follow.
    pub fn gemini_done(self, reason: &str) -> Script {
        let usage = json!({
            "promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 12,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
        });
        self.gemini_last(reason, &usage)
    }

    fn gemini_last(self, reason: &str, usage: &Value) -> Script {
        let candidate =
            json!({"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": reason, "index": 0});
        self.gemini_event(&json!({
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": RESPONSE_ID,
        }))
    }

    /// All that ends an answer, at once.
    pub fn gemini_end(self, reason: &str) -> Script {
        self.gemini_done(reason).body_end()
    }

    /// One event.
    pub fn gemini_event(self, response: &Value) -> Script {
        self.chunk(format!("data: {response}\r\n\r\n").as_bytes())
    }

    /// An error as Google words it.
    pub fn gemini_error(status: u16, word: &str, message: &str, details: &Value) -> Script {
        let body = gemini_error(status, word, message, details);
        Script::status(status, &[("content-type", "application/json; charset=UTF-8")], &format!("{body:#}\n"))
    }
}

/// The body of an error, which may also be an event of a stream.
pub fn gemini_error(status: u16, word: &str, message: &str, details: &Value) -> Value {
    json!({"error": {"code": status, "message": message, "status": word, "details": details}})
}
