//! Tests of the messages: every part of a conversation as Chat Completions writes it.

use serde_json::{Value, json};

use super::*;
use crate::common::chat::Verbatim;

fn request(messages: Vec<chat::Message>) -> ChatRequest {
    ChatRequest { messages, images: true, ..ChatRequest::default() }
}

fn message(role: Role, parts: Vec<Part>) -> chat::Message {
    chat::Message { role, parts }
}

fn sent(request: &ChatRequest, manner: &Manner) -> Value {
    serde_json::to_value(messages(request, manner).unwrap()).unwrap()
}

fn sent_to(flavour: Flavour, messages: Vec<chat::Message>) -> Value {
    let request = request(messages);
    sent(&request, &Manner::of(flavour, &request))
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn media(mime: &str) -> Media {
    Media { mime: mime.into(), data: "hi".into() }
}

fn call(arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: "call_1".into(), name: "lamp".into(), arguments: arguments.into() })
}

fn result(content: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: "call_1".into(), name: "lamp".into(), content: content.into(), is_error })
}

fn verbatim(origin: &str, json: &str, stands_for: Option<Part>) -> Part {
    let json = RawValue::from_string(json.into()).unwrap();
    Part::Verbatim(Verbatim { origin: origin.into(), json, stands_for: stands_for.map(Box::new) })
}

#[test]
fn text_is_one_string_and_the_rest_a_list() {
    let messages = vec![
        message(Role::User, vec![text("a"), text("b")]),
        message(Role::User, vec![text("What is this?"), Part::Image(media("image/png"))]),
        message(Role::User, vec![Part::Audio(media("audio/x-wav")), Part::Audio(media("audio/mpeg"))]),
        message(Role::User, vec![text("")]),
        message(Role::User, vec![]),
    ];
    let want = json!([
        {"role": "user", "content": "ab"},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ]},
        {"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        ]},
    ]);
    assert_eq!(sent_to(Flavour::Other, messages), want);
}

#[test]
fn sound_of_another_kind_is_refused_before_anything_is_sent() {
    let request = request(vec![message(Role::User, vec![Part::Audio(media("audio/ogg"))])]);
    let error = messages(&request, &Manner::of(Flavour::OpenAi, &request)).err().unwrap();
    assert_eq!(error.failure, Failure::Unsupported);
    assert_eq!(error.message, "hears sound as WAV and MP3 only, and this is audio/ogg");
}

#[test]
fn calls_and_their_results() {
    let messages = vec![
        message(Role::Assistant, vec![text("I will."), call("{\"on\":true}"), call("")]),
        message(Role::Tool, vec![result("done", false), result("no lamp", true)]),
        message(Role::Assistant, vec![call("{\"on\":")]),
        message(Role::Tool, vec![result("seen", false), text("Look:"), Part::Image(media("image/png"))]),
    ];
    let function = |arguments: &str| json!({"id": "call_1", "type": "function", "function": {"name": "lamp", "arguments": arguments}});
    let want = json!([
        {"role": "assistant", "content": "I will.", "tool_calls": [function("{\"on\":true}"), function("{}")]},
        {"role": "tool", "content": "done", "tool_call_id": "call_1"},
        {"role": "tool", "content": "Error: no lamp", "tool_call_id": "call_1"},
        {"role": "assistant", "content": null, "tool_calls": [function("{\"invalid_json\":\"{\\\"on\\\":\"}")]},
        {"role": "tool", "content": "seen", "tool_call_id": "call_1"},
        {"role": "user", "content": [
            {"type": "text", "text": "Look:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ]},
    ]);
    assert_eq!(sent_to(Flavour::OpenAi, messages), want);
}

#[test]
fn ids_are_shortened_alike_in_call_and_result() {
    let request =
        request(vec![message(Role::Assistant, vec![call("{}")]), message(Role::Tool, vec![result("x", false)])]);
    let mut manner = Manner::of(Flavour::Other, &request);
    manner.short_ids = true;
    let sent = sent(&request, &manner);
    let id = sent[0]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    assert_eq!(sent[1]["tool_call_id"], id);
}

#[test]
fn what_the_assistant_made_is_shown_to_models_that_paint_and_named_to_others() {
    let messages = || {
        vec![message(
            Role::Assistant,
            vec![text("Here: "), Part::Image(media("image/png")), Part::Audio(media("audio/pcm"))],
        )]
    };
    assert_eq!(sent_to(Flavour::OpenAi, messages()), json!([{"role": "assistant", "content": "Here: [a picture]"}]));
    let want = json!([
        {"role": "assistant", "content": "Here: "},
        {"role": "user", "content": [
            {"type": "text", "text": "This is the picture that you made:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ]},
    ]);
    assert_eq!(sent_to(Flavour::OpenRouter, messages()), want);
}

#[test]
fn thoughts_go_back_to_whom_they_belong() {
    let messages = || {
        vec![message(
            Role::Assistant,
            vec![
                verbatim("anthropic", "{\"thinking\":\"a\"}", None),
                verbatim("gemini", "{\"text\":\"b\"}", Some(text("b"))),
                verbatim(OPENROUTER, "[{\"text\": 1.0},{}]", None),
                verbatim(OPENROUTER, "[{\"data\":\"x\"}]", None),
                verbatim(OPENROUTER, "\"odd\"", None),
                verbatim(OPENAI_CHAT, "\"hm\"", None),
                call("{}"),
            ],
        )]
    };
    let of = |flavour| sent_to(flavour, messages())[0].clone();
    let fields =
        |message: &Value| (message.get("reasoning_details").cloned(), message.get("reasoning_content").cloned());
    assert_eq!(fields(&of(Flavour::OpenAi)), (None, None));
    assert_eq!(of(Flavour::OpenAi)["content"], "b");
    assert_eq!(fields(&of(Flavour::OpenRouter)), (Some(json!([{"text": 1.0}, {}, {"data": "x"}])), None));
    assert_eq!(fields(&of(Flavour::Local)), (None, Some(json!("hm"))));
    assert_eq!(fields(&of(Flavour::Other)), (None, Some(json!("hm"))));

    let foreign = request(vec![message(Role::Assistant, vec![call("{}")]), message(Role::Assistant, vec![text("a")])]);
    let mut manner = Manner::of(Flavour::Other, &foreign);
    manner.thoughts = Thoughts::WithEveryCall;
    let sent = sent(&foreign, &manner);
    assert_eq!((&sent[0]["reasoning_content"], sent[1].get("reasoning_content")), (&json!(""), None));
}
