//! News of a turn in OpenAI's words: chunk by chunk, or one completion at the end. Pure. Reasoning goes out as
//! `reasoning_content` and pictures as `images` (both as OpenRouter and others have it, which clients that do not know them pass over).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error;
use crate::common::assembly::Assembly;
use crate::common::chat::{Event, FinishReason, ImagePiece, Part, ToolCallDelta, Usage};
use crate::common::events::{News, TurnSummary};

/// Writes `data:` lines.
pub struct Chunks {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    begun: bool,
    called: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<[Value; 1]>,
}

impl Chunks {
    pub fn new(id: String, model: String, created: u64, include_usage: bool) -> Chunks {
        Chunks { id, model, created, include_usage, begun: false, called: false }
    }

    /// Adds what one piece of news is in this dialect; news of which it knows nothing add nothing.
    pub fn write(&mut self, news: &News, bytes: &mut Vec<u8>) {
        match news {
            News::Text(text) => self.delta(Delta { content: Some(text), ..Delta::default() }, None, bytes),
            News::Reasoning(text) => {
                self.delta(Delta { reasoning_content: Some(text), ..Delta::default() }, None, bytes);
            }
            News::ToolCall(delta) => {
                self.called = true;
                self.delta(Delta { tool_calls: Some([call(delta)]), ..Delta::default() }, None, bytes);
            }
            News::Image(piece) if piece.partial.is_none() => {
                self.delta(Delta { images: Some([image(piece)]), ..Delta::default() }, None, bytes);
            }
            News::Done(summary) => self.end(summary, bytes),
            News::Failed(failure) => {
                data(&json!({ "error": error::body(&failure.error, None) }), bytes);
            }
            _ => {}
        }
    }

    fn delta(&mut self, mut delta: Delta<'_>, finish_reason: Option<&str>, bytes: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            delta.role = Some("assistant");
        }
        let choices = [Choice { index: 0, delta, finish_reason }];
        let (id, model) = (&self.id, &self.model);
        data(&Chunk { id, object: "chat.completion.chunk", created: self.created, model, choices }, bytes);
    }

    fn end(&mut self, summary: &TurnSummary, bytes: &mut Vec<u8>) {
        self.model = answered_by(summary);
        self.delta(Delta::default(), Some(&finish(summary.finish.as_ref(), self.called)), bytes);
        if self.include_usage {
            let usage = usage(summary.usage.as_ref());
            let (id, model, created) = (&self.id, &self.model, self.created);
            let object = "chat.completion.chunk";
            data(
                &json!({ "id": id, "object": object, "created": created, "model": model, "choices": [], "usage": usage }),
                bytes,
            );
        }
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn data(value: &impl Serialize, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *bytes, value).expect("the hub's own types have text keys only, and memory takes all");
    bytes.extend_from_slice(b"\n\n");
}

/// Gathers an answer that goes out in one piece.
pub struct Whole {
    id: String,
    model: String,
    created: u64,
    assembly: Assembly,
}

impl Whole {
    pub fn new(id: String, model: String, created: u64) -> Whole {
        Whole { id, model, created, assembly: Assembly::default() }
    }

    pub fn take(&mut self, news: &News) {
        let event = match news {
            News::Text(text) => Event::Text(text.clone()),
            News::Reasoning(text) => Event::Reasoning(text.clone()),
            News::ToolCall(delta) => Event::ToolCall(delta.clone()),
            News::Image(piece) => Event::Image(piece.clone()),
            _ => return,
        };
        self.assembly.take(&event);
    }

    /// The completion object.
    pub fn done(mut self, summary: &TurnSummary) -> Value {
        let reasoning = std::mem::take(&mut self.assembly.reasoning);
        let message = self.assembly.into_message();
        let (mut calls, mut images) = (Vec::new(), Vec::new());
        for part in &message.parts {
            match part {
                Part::ToolCall(one) => calls.push(json!({
                    "id": one.id, "type": "function", "function": { "name": one.name, "arguments": one.arguments },
                })),
                Part::Image(media) => images.push(image_url(&media.mime, &media.data)),
                _ => {}
            }
        }
        let text = message.text();
        let mut said = Map::new();
        said.insert("role".into(), "assistant".into());
        // A message of calls alone has no content, and a refusal stands in a field of its own.
        let said_text = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
        let (content, refusal) = if summary.refused { (Value::Null, said_text) } else { (said_text, Value::Null) };
        said.insert("content".into(), content);
        said.insert("refusal".into(), refusal);
        let called = !calls.is_empty();
        for (name, list) in [("tool_calls", calls), ("images", images)] {
            if !list.is_empty() {
                said.insert(name.into(), list.into());
            }
        }
        if !reasoning.is_empty() {
            said.insert("reasoning_content".into(), reasoning.into());
        }
        self.model = answered_by(summary);
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "message": said, "logprobs": null, "finish_reason": finish(summary.finish.as_ref(), called),
            }],
            "usage": usage(summary.usage.as_ref()),
        })
    }
}

fn call(delta: &ToolCallDelta) -> Value {
    let mut call = json!({ "index": delta.index, "function": { "arguments": delta.arguments } });
    if let Some(id) = &delta.id {
        call["id"] = json!(id);
        call["type"] = json!("function");
    }
    if let Some(name) = &delta.name {
        call["function"]["name"] = json!(name);
    }
    call
}

fn image(piece: &ImagePiece) -> Value {
    image_url(&piece.media.mime, &piece.media.data)
}

fn image_url(mime: &str, data: &[u8]) -> Value {
    let mut url = format!("data:{mime};base64,");
    STANDARD.encode_string(data, &mut url);
    json!({ "type": "image_url", "image_url": { "url": url } })
}

/// `openai/gpt-4o-mini-2024-07-18`: who it was in the end, under a name by which it can be asked again.
fn answered_by(summary: &TurnSummary) -> String {
    format!("{}/{}", summary.provider, summary.model)
}

fn finish(reason: Option<&FinishReason>, called: bool) -> String {
    match reason {
        Some(FinishReason::Length) => "length".into(),
        Some(FinishReason::ContentFilter) => "content_filter".into(),
        Some(FinishReason::ToolCalls) => "tool_calls".into(),
        // Clients run tools where this word stands, and some providers say `stop` after calls.
        _ if called => "tool_calls".into(),
        // OpenAI's libraries know no other words.
        Some(FinishReason::Stop | FinishReason::Other(_)) | None => "stop".into(),
    }
}

fn usage(usage: Option<&Usage>) -> Value {
    let Some(usage) = usage else { return Value::Null };
    let mut counted = json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens.unwrap_or(0) },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens.unwrap_or(0) },
    });
    if let Some(cost_usd) = usage.cost_usd {
        counted["cost"] = json!(cost_usd);
    }
    counted
}
