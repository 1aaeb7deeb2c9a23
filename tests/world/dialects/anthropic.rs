//! Anthropic's Messages, as its service streams them (API reference, "Streaming Messages"): a script for the fake provider,
//! block by block. Knows nothing of the hub.

use std::time::Duration;

use hearth::common::config::ProviderName;
use serde_json::{Value, json};

use super::{Dialect, openai};
use crate::world::provider::{MODEL, Script};

/// Words are of the block 0, which is open until the end; a call is the block 1.
pub const DIALECT: Dialect = Dialect {
    name: "Messages",
    rows: &[ProviderName::Anthropic],
    path: "",
    api: None,
    begin: || {
        Answer::of(json!({"input_tokens": 7, "output_tokens": 1})).start(&json!({"type": "text", "text": ""})).script
    },
    word: |script, word| on(script, 1).delta(&json!({"type": "text_delta", "text": word})).script,
    call: |script| on(script, 1).call("toolu_1", "lamp", &["{\"on\"", ":true}"]).script,
    end: |script| on(script, 1).stop().ended("end_turn", &json!({"output_tokens": 3})),
    broken: |script, message| on(script, 1).error("api_error", message).stall(),
    error: |status, message| refusal(status, kind(status), message, &[]),
    models: openai::models,
};

/// The word of a status (API reference, "Errors").
fn kind(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}

/// An answer that goes on where a script ends, after so many blocks.
fn on(script: Script, blocks: u32) -> Answer {
    Answer { script, blocks }
}

/// What a request has cost so far in every answer of this file: `input_tokens`, read from the cache, written into it.
pub const INPUT: (u64, u64, u64) = (7, 40, 2);
/// And the tokens of the answer at its end.
pub const OUTPUT_TOKENS: u64 = 12;

/// An answer in the making. Blocks are numbered as they come.
#[derive(Debug, Clone)]
pub struct Answer {
    script: Script,
    blocks: u32,
}

/// A whole answer in these words.
pub fn answer(words: &[&str]) -> Script {
    Answer::begin().text(words, Duration::ZERO).end("end_turn")
}

/// An error as the service words it, with its status.
pub fn refusal(status: u16, kind: &str, message: &str, headers: &[(&str, &str)]) -> Script {
    let json = [("content-type", "application/json"), ("request-id", "req_fake")];
    Script::status(status, &[headers, &json].concat(), &complaint(kind, message).to_string())
}

fn complaint(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"})
}

impl Answer {
    /// The head of the stream and `message_start`, with the rate-limit headers of the service.
    pub fn begin() -> Answer {
        let (input_tokens, read, written) = INPUT;
        let usage = json!({"input_tokens": input_tokens, "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read, "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1, "service_tier": "standard"});
        Answer::of(usage)
    }

    /// The head of the stream and a `message_start` that counts so much.
    fn of(usage: Value) -> Answer {
        let message = json!({"id": "msg_fake", "type": "message", "role": "assistant", "model": MODEL, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage});
        let answer = Answer { script: Script::stream(), blocks: 0 };
        answer.event(&json!({"type": "message_start", "message": message}))
    }

    /// A block of text, one delta a word, each after a pause.
    pub fn text(self, words: &[&str], pause: Duration) -> Answer {
        words
            .iter()
            .fold(self.start(&json!({"type": "text", "text": ""})), |answer, word| {
                answer.wait(pause).delta(&json!({"type": "text_delta", "text": word}))
            })
            .stop()
    }

    /// A block of text that leans on a document.
    pub fn cited(self, text: &str, citation: &Value) -> Answer {
        self.start(&json!({"type": "text", "text": "", "citations": []}))
            .delta(&json!({"type": "citations_delta", "citation": citation}))
            .delta(&json!({"type": "text_delta", "text": text}))
            .stop()
    }

    /// A block of thinking, with its signature in one piece at its end.
    pub fn thinking(self, pieces: &[&str], signature: &str) -> Answer {
        let begun = self.start(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        let said = pieces
            .iter()
            .fold(begun, |answer, piece| answer.delta(&json!({"type": "thinking_delta", "thinking": piece})));
        said.delta(&json!({"type": "signature_delta", "signature": signature})).stop()
    }

    /// Thinking that nobody may read.
    pub fn redacted(self, data: &str) -> Answer {
        self.start(&json!({"type": "redacted_thinking", "data": data})).stop()
    }

    /// A call of a tool, its arguments in these pieces; the service sends an empty one first.
    pub fn call(self, id: &str, name: &str, pieces: &[&str]) -> Answer {
        let begun = self.start(&json!({"type": "tool_use", "id": id, "name": name, "input": {}}));
        let input =
            |answer: Answer, piece: &str| answer.delta(&json!({"type": "input_json_delta", "partial_json": piece}));
        pieces.iter().fold(input(begun, ""), |answer, piece| input(answer, piece)).stop()
    }

    /// A search that the service makes itself, with what it found.
    pub fn search(self, id: &str, query: &str) -> Answer {
        let input = json!({"query": query}).to_string();
        let found = json!([{"type": "web_search_result", "title": "T", "url": "https://example.org/", "encrypted_content": "Eq",
            "page_age": null}]);
        self.start(&json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {}}))
            .delta(&json!({"type": "input_json_delta", "partial_json": input}))
            .stop()
            .start(&json!({"type": "web_search_tool_result", "tool_use_id": id, "content": found}))
            .stop()
    }

    pub fn ping(self) -> Answer {
        self.event(&json!({"type": "ping"}))
    }

    /// All that ends an answer.
    pub fn end(self, stop_reason: &str) -> Script {
        let (input_tokens, read, written) = INPUT;
        let usage = json!({"input_tokens": input_tokens, "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read, "output_tokens": OUTPUT_TOKENS});
        self.ended(stop_reason, &usage)
    }

    fn ended(self, stop_reason: &str, usage: &Value) -> Script {
        let delta = json!({"stop_reason": stop_reason, "stop_sequence": null});
        self.event(&json!({"type": "message_delta", "delta": delta, "usage": usage}))
            .event(&json!({"type": "message_stop"}))
            .script
            .body_end()
    }

    /// An error in the midst of the stream; nothing follows, and the connection stays.
    pub fn error(self, kind: &str, message: &str) -> Script {
        self.event(&complaint(kind, message)).script
    }

    /// For faults of the connection, or gates.
    pub fn script(self, fault: impl FnOnce(Script) -> Script) -> Script {
        fault(self.script)
    }

    /// The beginning of a block.
    pub fn start(mut self, block: &Value) -> Answer {
        let index = self.blocks;
        self.blocks += 1;
        self.event(&json!({"type": "content_block_start", "index": index, "content_block": block}))
    }

    /// A piece of the block that was begun last.
    pub fn delta(self, delta: &Value) -> Answer {
        let index = self.blocks - 1;
        self.event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
    }

    /// The end of the block that was begun last.
    pub fn stop(self) -> Answer {
        let index = self.blocks - 1;
        self.event(&json!({"type": "content_block_stop", "index": index}))
    }

    fn wait(self, pause: Duration) -> Answer {
        if pause.is_zero() { self } else { Answer { script: self.script.wait(pause), ..self } }
    }

    /// An event, whose name is its type.
    pub fn event(self, data: &Value) -> Answer {
        let name = data["type"].as_str().expect("every event names its type");
        Answer { script: self.script.chunk(format!("event: {name}\ndata: {data}\n\n").as_bytes()), ..self }
    }
}
