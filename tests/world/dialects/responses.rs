//! The Responses API as OpenAI streams it: items one after the other, each begun, told in pieces and ended, then all of them
//! once more. The official library reads it (`oracles`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hearth::common::config::{Api, ProviderName};
use serde_json::{Value, json};

use super::{Dialect, openai};
use crate::world::provider::{MODEL, Script};

/// Words are of the item 0, and a call is the item 1.
pub const DIALECT: Dialect = Dialect {
    name: "Responses",
    rows: &[ProviderName::Openai, ProviderName::Local],
    path: "/v1",
    api: Some(Api::Responses),
    begin: || {
        let item =
            json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []});
        Answer::begin().added(&item).script
    },
    word: |script, word| {
        let fields = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": word, "logprobs": []});
        on(script, 0).event("response.output_text.delta", fields).script
    },
    call: |script| on(script, 1).call("call_1", "lamp", &["{\"on\"", ":true}"]).script,
    end: |script| on(script, 0).end(),
    broken: |script, message| on(script, 0).failed("server_error", message).script.stall(),
    error: |status, message| Script::error(status, "", message, &[]),
    models: openai::models,
};

/// An answer that goes on where a script ends, after so many items.
fn on(script: Script, items: usize) -> Answer {
    Answer { script, events: 0, output: vec![Value::Null; items] }
}

/// An answer in the making. [`Answer::script`] leaves it as it is, for a fault to follow.
pub struct Answer {
    script: Script,
    events: u64,
    output: Vec<Value>,
}

/// A whole answer in these words, at once.
pub fn answer(words: &[&str]) -> Script {
    Answer::begin().words(words, Duration::ZERO).end()
}

impl Answer {
    /// The head of a stream, and the two events that say that the provider has begun.
    pub fn begin() -> Answer {
        let answer = Answer { script: Script::stream(), events: 0, output: Vec::new() };
        let response = answer.response("in_progress", Value::Null);
        answer
            .event("response.created", json!({"response": response}))
            .event("response.in_progress", json!({"response": response}))
    }

    /// A message, one event a word, each after a pause.
    pub fn words(self, words: &[&str], pause: Duration) -> Answer {
        let message = |status: &str, content: Value| json!({"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content});
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let place = json!({"item_id": "msg_1", "output_index": self.output.len(), "content_index": 0});
        let with = |mut fields: Value| {
            fields.as_object_mut().expect("an object").extend(place.as_object().expect("an object").clone());
            fields
        };
        let whole = words.concat();
        let begun = self
            .added(&message("in_progress", json!([])))
            .event("response.content_part.added", with(json!({"part": part("")})));
        let told = words.iter().fold(begun, |answer, word| {
            let answer = if pause.is_zero() { answer } else { answer.then(|script| script.wait(pause)) };
            answer.event("response.output_text.delta", with(json!({"delta": word, "logprobs": []})))
        });
        told.event("response.output_text.done", with(json!({"text": whole, "logprobs": []})))
            .event("response.content_part.done", with(json!({"part": part(&whole)})))
            .done(message("completed", json!([part(&whole)])))
    }

    /// What was thought: a summary in pieces, and the thoughts themselves for whoever gives them back.
    pub fn thoughts(self, summary: &[&str], encrypted: &str) -> Answer {
        let place = json!({"item_id": "rs_1", "output_index": self.output.len(), "summary_index": 0});
        let with = |mut fields: Value| {
            fields.as_object_mut().expect("an object").extend(place.as_object().expect("an object").clone());
            fields
        };
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        let whole = summary.concat();
        let begun = self
            .added(&json!({"id": "rs_1", "type": "reasoning", "summary": []}))
            .event("response.reasoning_summary_part.added", with(json!({"part": part("")})));
        let told = summary.iter().fold(begun, |answer, piece| {
            answer.event("response.reasoning_summary_text.delta", with(json!({"delta": piece})))
        });
        told.event("response.reasoning_summary_text.done", with(json!({"text": whole})))
            .event("response.reasoning_summary_part.done", with(json!({"part": part(&whole)})))
            .done(json!({"id": "rs_1", "type": "reasoning", "summary": [part(&whole)], "encrypted_content": encrypted}))
    }

    /// A call of a tool, its arguments in pieces.
    pub fn call(self, call_id: &str, name: &str, arguments: &[&str]) -> Answer {
        let id = format!("fc_{call_id}");
        let place = self.output.len();
        let item = |status: &str, arguments: &str| json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments});
        let whole = arguments.concat();
        let told = arguments.iter().fold(self.added(&item("in_progress", "")), |answer, piece| {
            let fields = json!({"item_id": id, "output_index": place, "delta": piece});
            answer.event("response.function_call_arguments.delta", fields)
        });
        let fields = json!({"item_id": id, "output_index": place, "name": name, "arguments": whole});
        told.event("response.function_call_arguments.done", fields).done(item("completed", &whole))
    }

    /// A picture with its previews, all PNG by their word.
    pub fn picture(self, previews: &[&[u8]], picture: &[u8]) -> Answer {
        let place = self.output.len();
        let item = |status: &str, result: Value| json!({"id": "ig_1", "type": "image_generation_call", "status": status, "result": result, "output_format": "png"});
        let begun = self
            .added(&item("in_progress", Value::Null))
            .event("response.image_generation_call.in_progress", json!({"item_id": "ig_1", "output_index": place}))
            .event("response.image_generation_call.generating", json!({"item_id": "ig_1", "output_index": place}));
        let shown = (0..).zip(previews).fold(begun, |answer, (nth, preview): (u32, _)| {
            let fields = json!({"item_id": "ig_1", "output_index": place, "partial_image_index": nth,
                "partial_image_b64": BASE64.encode(preview), "output_format": "png"});
            answer.event("response.image_generation_call.partial_image", fields)
        });
        shown
            .event("response.image_generation_call.completed", json!({"item_id": "ig_1", "output_index": place}))
            .done(item("completed", json!(BASE64.encode(picture))))
    }

    /// All that ends an answer, at once.
    pub fn end(self) -> Script {
        self.completed().script().body_end()
    }

    /// The whole of it once more, with what it cost.
    pub fn completed(self) -> Answer {
        let response = self.response("completed", usage());
        self.event("response.completed", json!({"response": response}))
    }

    /// The model had to stop: `max_output_tokens`, `content_filter`.
    pub fn incomplete(self, reason: &str) -> Answer {
        let mut response = self.response("incomplete", usage());
        response["incomplete_details"] = json!({"reason": reason});
        self.event("response.incomplete", json!({"response": response}))
    }

    /// The provider could not go on.
    pub fn failed(self, code: &str, message: &str) -> Answer {
        let mut response = self.response("failed", Value::Null);
        response["error"] = json!({"code": code, "message": message});
        self.event("response.failed", json!({"response": response}))
    }

    /// An event of another type.
    pub fn event(mut self, kind: &str, mut fields: Value) -> Answer {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.events);
        self.events += 1;
        self.then(|script| script.chunk(format!("event: {kind}\ndata: {fields}\n\n").as_bytes()))
    }

    /// What there is so far.
    pub fn script(self) -> Script {
        self.script
    }

    /// Something else in between, such as a fault.
    pub fn then(self, step: impl FnOnce(Script) -> Script) -> Answer {
        Answer { script: step(self.script), ..self }
    }

    fn added(self, item: &Value) -> Answer {
        let place = self.output.len();
        self.event("response.output_item.added", json!({"output_index": place, "item": item}))
    }

    fn done(self, item: Value) -> Answer {
        let place = self.output.len();
        let mut answer = self.event("response.output_item.done", json!({"output_index": place, "item": item}));
        answer.output.push(item);
        answer
    }

    fn response(&self, status: &str, usage: Value) -> Value {
        json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": MODEL, "output": self.output,
            "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage})
    }
}

fn usage() -> Value {
    json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10})
}
