//! Tests of the turns: every kind of part, and every conversation that the service would refuse as it stands.

use serde_json::{Value, json};

use super::*;
use crate::adapters::llm::complaint::KeyPlace;
use crate::adapters::llm::exchange::{KeyHeader, Target};
use crate::common::chat::{Message, ToolCall, ToolResult};

fn request(messages: Vec<Message>) -> ChatRequest {
    ChatRequest { model: "claude-haiku-4-5".into(), messages, ..ChatRequest::default() }
}

fn manner(request: &ChatRequest) -> Manner {
    Manner::of(&Target::new("http://x", "/v1/messages", KeyHeader::Bearer, KeyPlace::default()), request)
}

fn turns_with(messages: Vec<Message>, change: impl Fn(&mut Manner)) -> Value {
    let request = request(messages);
    let mut manner = manner(&request);
    change(&mut manner);
    serde_json::to_value(of(&request, &manner)).unwrap()
}

fn turns(messages: Vec<Message>) -> Value {
    turns_with(messages, |_| {})
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into() })
}

fn result(id: &str, content: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: id.into(), name: "f".into(), content: content.into(), is_error })
}

fn verbatim(origin: &str, json: &str, stands_for: Option<&str>) -> Part {
    let json = RawValue::from_string(json.into()).unwrap();
    let stands_for = stands_for.map(|text| Box::new(Part::Text(text.into())));
    Part::Verbatim(Verbatim { origin: origin.into(), json, stands_for })
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn turns_alternate_and_say_something() {
    let said = turns(vec![
        Message::new(Role::System, "Be brief."),
        user("a"),
        user(" \n"),
        user("b"),
        Message::new(Role::Assistant, ""),
        user("c"),
        message(Role::Assistant, vec![Part::Text("d ".into()), Part::Text(String::new())]),
        Message::new(Role::System, "Later."),
        user("e"),
    ]);
    let want = json!([
        {"role": "user", "content": [text("a"), text("b"), text("c")]},
        {"role": "assistant", "content": [text("d ")]},
        {"role": "user", "content": [text("e")]},
    ]);
    assert_eq!(said, want);
}

#[test]
fn the_first_turn_is_the_users_and_the_last_one_ends_as_it_must() {
    let earlier = json!({"role": "user", "content": [text(EARLIER)]});
    let said = turns(vec![Message::new(Role::Assistant, "Well, \n")]);
    assert_eq!(said, json!([earlier, {"role": "assistant", "content": [text("Well,")]}]));
    let said = turns_with(vec![Message::new(Role::Assistant, "Well, ")], |manner| manner.prefill = false);
    let go_on = json!({"role": "user", "content": [text(GO_ON)]});
    assert_eq!(said, json!([earlier, {"role": "assistant", "content": [text("Well, ")]}, go_on]));
    assert_eq!(turns(vec![]), json!([earlier]));
}

#[test]
fn pictures_go_in_base64_and_what_the_assistant_showed_goes_in_words() {
    let media = |mime: &str| Media { mime: mime.into(), data: bytes::Bytes::from_static(b"\x89PNG") };
    let said = turns(vec![
        message(Role::User, vec![Part::Image(media("image/png")), Part::Text("What is it?".into())]),
        message(Role::Assistant, vec![Part::Image(media("image/png")), Part::Audio(media("audio/wav"))]),
        user("And this?"),
    ]);
    let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw=="});
    assert_eq!(said[0]["content"], json!([{"type": "image", "source": source}, text("What is it?")]));
    assert_eq!(said[1]["content"], json!([text(PICTURE), text(SOUND)]));
}

#[test]
fn arguments_go_as_they_were_written_where_they_are_an_object() {
    let input = |arguments: &str| {
        let request = request(vec![user("a"), message(Role::Assistant, vec![call("c", arguments)])]);
        let body = serde_json::to_string(&of(&request, &manner(&request))).unwrap();
        let (_, rest) = body.split_once("\"input\":").expect("an input");
        rest[..rest.find("}]}").expect("its end")].to_owned()
    };
    assert_eq!(input(r#"{"x": 1.50, "x":2}"#), r#"{"x": 1.50, "x":2}"#);
    assert_eq!(input(" "), "{}");
    assert_eq!(input("[1]"), r#"{"invalid_json":"[1]"}"#);
    assert_eq!(input(r#"{"x":"#), r#"{"invalid_json":"{\"x\":"}"#);
}

#[test]
fn calls_are_answered_in_the_next_turn_and_answers_come_first() {
    let said = turns(vec![
        user("a"),
        message(Role::Assistant, vec![Part::Text("b".into()), call("c.1", "{}"), call("d", "{}")]),
        message(Role::Tool, vec![result("d", "", true)]),
        user("go on"),
        message(Role::Tool, vec![result("c.1", "fine", false)]),
    ]);
    let want = json!([
        {"type": "tool_result", "tool_use_id": "d", "content": NO_ANSWER, "is_error": true},
        {"type": "tool_result", "tool_use_id": "c_1", "content": "fine"},
        text("go on"),
    ]);
    assert_eq!(said[1]["content"][1]["id"], "c_1");
    assert_eq!((said.as_array().map(Vec::len), &said[2]["content"]), (Some(3), &want));
}

#[test]
fn a_history_that_was_cut_is_mended() {
    let lost = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": NO_ANSWER, "is_error": true});
    // The call was cut off, its answer was not.
    let said = turns(vec![message(Role::Tool, vec![result("x", "21 °C", false)]), user("So?")]);
    assert_eq!(said, json!([{"role": "user", "content": [text("(A tool answered: 21 °C)"), text("So?")]}]));
    // The answer never came: in the midst, and at the end.
    let said = turns(vec![
        user("a"),
        message(Role::Assistant, vec![call("x", "{}")]),
        user("b"),
        message(Role::Assistant, vec![call("y", "{}")]),
    ]);
    assert_eq!(said[2]["content"], json!([lost("x"), text("b")]));
    assert_eq!(said[4], json!({"role": "user", "content": [lost("y")]}));
    assert_eq!(said.as_array().map(Vec::len), Some(5));
}

#[test]
fn own_items_go_back_byte_for_byte_and_others_as_what_they_stand_for() {
    let thinking = r#"{"type":"thinking",  "thinking":"hm","signature":"E"}"#;
    let cited = r#"{"type":"text","text":"Two","citations":[{"n":1.0}]}"#;
    let messages = || {
        let parts = vec![
            verbatim("anthropic", thinking, None),
            verbatim("gemini", r#"{"text":"One","thoughtSignature":"s"}"#, Some("One")),
            verbatim("anthropic", cited, Some("Two")),
            verbatim("openai_responses", r#"{"type":"reasoning"}"#, None),
        ];
        vec![user("a"), message(Role::Assistant, parts), user("b")]
    };
    let request = request(messages());
    let body = serde_json::to_string(&of(&request, &manner(&request))).unwrap();
    assert!(body.contains(&format!(r#"[{thinking},{{"type":"text","text":"One"}},{cited}]"#)), "{body}");

    let no_thinking = turns_with(messages(), |manner| manner.verbatim = Kept::NoThinking);
    assert_eq!(no_thinking[1]["content"][0], text("One"));
    assert_eq!(no_thinking[1]["content"][1]["citations"], json!([{"n": 1.0}]));
    let none = turns_with(messages(), |manner| manner.verbatim = Kept::None);
    assert_eq!(none[1]["content"], json!([text("One"), text("Two")]));
    // In the user's mouth it is no item of the model's.
    let odd = turns(vec![message(Role::User, vec![verbatim("anthropic", thinking, Some("said"))])]);
    assert_eq!(odd[0]["content"], json!([text("said")]));
}
