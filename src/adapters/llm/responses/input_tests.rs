//! Tests of the conversation: each kind of part in the place where the interface wants it.

use serde_json::{Value, json};

use super::*;
use crate::common::chat::{ToolCall, ToolResult};

const OPENAI: Option<&str> = Some("api.openai.com");

fn media(mime: &str) -> Media {
    Media { mime: mime.into(), data: vec![0, 0, 0].into() }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn kept(origin: &str, json: &str, stands_for: Option<Part>) -> Part {
    let json = RawValue::from_string(json.into()).unwrap();
    Part::Verbatim(Verbatim { origin: origin.into(), json, stands_for: stands_for.map(Box::new) })
}

fn written(host: Option<&str>, messages: Vec<Message>) -> Value {
    let request = ChatRequest { model: "gpt-5".into(), messages, ..ChatRequest::default() };
    let input = input(&request.messages, &Manner::of(host, &request));
    json!({"instructions": input.instructions, "items": input.items})
}

fn items(host: Option<&str>, parts: Vec<Part>) -> Value {
    written(host, vec![message(Role::Assistant, parts)])["items"].take()
}

#[test]
fn a_conversation_with_everything_in_it() {
    let call = ToolCall { id: "call_1".into(), name: "light".into(), arguments: String::new() };
    let result = ToolResult { call_id: "call_1".into(), name: "light".into(), content: "on".into(), is_error: false };
    let messages = vec![
        Message::new(Role::System, "Be brief."),
        Message::new(Role::System, "Be kind."),
        message(
            Role::User,
            vec![Part::Text("Look".into()), Part::Image(media("image/png")), Part::Text(String::new())],
        ),
        message(
            Role::Assistant,
            vec![Part::Text("I see.".into()), Part::ToolCall(call), Part::Audio(media("audio/wav"))],
        ),
        message(Role::Tool, vec![Part::ToolResult(result)]),
        Message::new(Role::System, "It is night."),
        message(Role::User, vec![Part::Audio(media("audio/mpeg"))]),
        message(Role::User, vec![]),
    ];
    let want = json!({
        "instructions": "Be brief.\n\nBe kind.",
        "items": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            ]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I see."}]},
            {"type": "function_call", "call_id": "call_1", "name": "light", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "on"},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "It is night."}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            ]},
        ],
    });
    assert_eq!(written(None, messages), want);
    assert_eq!(written(None, vec![])["instructions"], Value::Null);
}

#[test]
fn items_of_ours_go_back_byte_for_byte_and_in_their_order() {
    let thought = r#"{"type":"reasoning",  "id":"rs_1","encrypted_content":"gAA=","summary":[]}"#;
    let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}","namespace":"n"}"#;
    let plain = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
    let parts = vec![
        kept(ORIGIN, thought, None),
        Part::Text("Wait.".into()),
        kept(ORIGIN, call, Some(Part::ToolCall(plain.clone()))),
        kept("anthropic", r#"{"type":"thinking"}"#, None),
        kept("gemini", "{}", Some(Part::Text("Done.".into()))),
    ];
    let request = ChatRequest { messages: vec![message(Role::Assistant, parts.clone())], ..ChatRequest::default() };
    let mut manner = Manner::of(OPENAI, &request);
    let text = serde_json::to_string(&input(&request.messages, &manner).items).unwrap();
    let said = |text: &str| {
        format!(r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{text}"}}]}}"#)
    };
    assert_eq!(text, format!("[{thought},{},{call},{}]", said("Wait."), said("Done.")));

    manner.gives_back = false;
    let without = json!(input(&request.messages, &manner).items);
    let kinds: Vec<&str> = without.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "function_call", "message"], "what they stand for goes instead");
}

#[test]
fn thoughts_in_plain_words_go_to_those_who_read_them() {
    let open = r#"{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}]}"#;
    assert_eq!(items(OPENAI, vec![kept(ORIGIN, open, None)]), json!([]));
    assert_eq!(items(Some("127.0.0.1"), vec![kept(ORIGIN, open, None)])[0]["content"][0]["text"], "Hm");
}

#[test]
fn the_last_pictures_of_the_models_own_get_their_bytes_back() {
    let picture = |id: &str| {
        let json = format!(r#"{{"type":"image_generation_call","id":"{id}","status":"completed"}}"#);
        kept(ORIGIN, &json, Some(Part::Image(media("image/png"))))
    };
    let sent = items(OPENAI, vec![picture("a"), picture("b"), picture("c")]);
    let back = |id: &str| json!({"type": "image_generation_call", "id": id, "status": "completed", "result": "AAAA"});
    assert_eq!(sent, json!([back("b"), back("c")]));
    let lost = kept(ORIGIN, r#"{"type":"image_generation_call","id":"a"}"#, None);
    assert_eq!(items(OPENAI, vec![lost]), json!([]), "its bytes are not there any more");
    let foreign = items(OPENAI, vec![Part::Text("Here:".into()), Part::Image(media("image/png"))]);
    assert_eq!((&foreign[0]["role"], &foreign[1]["role"]), (&json!("assistant"), &json!("user")), "of another model");
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_is_sent() {
    let asks = |host, role, part: Part| {
        let messages = vec![message(role, vec![part])];
        let request = ChatRequest { model: "m".into(), messages, ..ChatRequest::default() };
        check(&request, &Manner::of(host, &request)).map_err(|error| (error.failure, error.message))
    };
    let refused = |what: &str| Err((Failure::Unsupported, format!("{what} (model m)")));
    assert_eq!(asks(OPENAI, Role::User, Part::Image(media("image/webp"))), Ok(()));
    assert_eq!(asks(OPENAI, Role::User, Part::Image(media("image/tiff"))), refused("takes no image/tiff"));
    let sound = Part::Audio(media("audio/wav"));
    assert_eq!(asks(OPENAI, Role::User, sound.clone()), refused("takes no sound over the Responses API"));
    assert_eq!(asks(OPENAI, Role::Assistant, sound.clone()), Ok(()));
    assert_eq!(asks(None, Role::User, sound), Ok(()));
    assert_eq!(asks(None, Role::User, Part::Audio(media("audio/ogg"))), refused("takes no audio/ogg"));
}
