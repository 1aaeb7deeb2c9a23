//! Tests of the request: bodies as they are sent, and what is left out where it is refused.

use serde_json::json;

use super::*;
use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::responses::manner::thinks;
use crate::common::chat::{Effort, Message, Part, Role, Sampling, Tool as Offered};

const OPENAI: Option<&str> = Some("api.openai.com");

fn question(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Héllo")],
        ..ChatRequest::default()
    }
}

fn body_of(request: &ChatRequest, manner: &Manner) -> String {
    serde_json::to_string(&body(request, manner)).unwrap()
}

fn blamed(param: &str) -> Complaint {
    Complaint { param: Some(param.into()), ..Complaint::default() }
}

fn told(message: &str) -> Complaint {
    Complaint { message: message.into(), ..Complaint::default() }
}

#[test]
fn the_body_as_openai_wants_it_and_as_all_others_do() {
    let ask = question("gpt-5-mini");
    insta::assert_snapshot!(body_of(&ask, &Manner::of(OPENAI, &ask)), @r#"{"model":"gpt-5-mini","instructions":"Be brief.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Héllo"}]}],"stream":true,"store":false,"include":["reasoning.encrypted_content"],"reasoning":{"summary":"auto"}}"#);
    let sampling = Sampling { temperature: Some(0.7), top_p: Some(0.9), max_tokens: Some(50), ..Sampling::default() };
    let plain = ChatRequest { sampling, ..question("gpt-4o-mini") };
    insta::assert_snapshot!(body_of(&plain, &Manner::of(OPENAI, &plain)), @r#"{"model":"gpt-4o-mini","instructions":"Be brief.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Héllo"}]}],"stream":true,"store":false,"temperature":0.7,"top_p":0.9,"max_output_tokens":50}"#);
    insta::assert_snapshot!(body_of(&plain, &Manner::of(None, &plain)), @r#"{"model":"gpt-4o-mini","instructions":"Be brief.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Héllo"}]}],"stream":true,"store":false,"include":["reasoning.encrypted_content"],"temperature":0.7,"top_p":0.9,"max_output_tokens":50}"#);
}

#[test]
fn tools_and_the_shape_of_the_answer() {
    let schema = json!({"type": "object", "properties": {}});
    let tool = Offered { name: "light".into(), description: None, schema: schema.clone().into(), strict: None };
    let strict = Offered { name: "dim".into(), description: Some("Dims".into()), strict: Some(true), ..tool.clone() };
    let mut ask = ChatRequest {
        tools: vec![tool.into(), strict.into()],
        tool_choice: ToolChoice::Named("dim".into()),
        parallel_tool_calls: Some(false),
        response_format: Some(ResponseFormat::Schema { name: "lamp".into(), schema, strict: Some(true) }),
        images: true,
        ..question("gpt-4o")
    };
    let sent: Value = serde_json::from_str(&body_of(&ask, &Manner::of(OPENAI, &ask))).unwrap();
    let want = json!([
        {"type": "function", "name": "light", "parameters": {"type": "object", "properties": {}}, "strict": false},
        {"type": "function", "name": "dim", "description": "Dims", "parameters": {"type": "object", "properties": {}}, "strict": true},
        {"type": "image_generation", "partial_images": 2},
    ]);
    assert_eq!(sent["tools"], want);
    assert_eq!(
        (&sent["tool_choice"], &sent["parallel_tool_calls"]),
        (&json!({"type": "function", "name": "dim"}), &json!(false))
    );
    let format =
        json!({"type": "json_schema", "name": "lamp", "schema": {"type": "object", "properties": {}}, "strict": true});
    assert_eq!(sent["text"], json!({"format": format}));

    ask = ChatRequest { tools: vec![], images: false, response_format: Some(ResponseFormat::Json), ..ask };
    let sent: Value = serde_json::from_str(&body_of(&ask, &Manner::of(OPENAI, &ask))).unwrap();
    assert_eq!((sent.get("tools"), sent.get("tool_choice"), sent.get("parallel_tool_calls")), (None, None, None));
    assert_eq!(sent["text"], json!({"format": {"type": "json_object"}}));
}

#[test]
fn models_that_think() {
    assert!(["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.4-nano", "gpt-6-astra"].into_iter().all(thinks));
    assert!(!["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "omni", "gpt-oss-20b", "llama"].into_iter().any(thinks));
    let thinking = |effort| {
        let sampling = Sampling { reasoning: Some(effort), temperature: Some(1.0), ..Sampling::default() };
        let ask = ChatRequest { sampling, ..question("gpt-5") };
        let manner = Manner::of(OPENAI, &ask);
        (ask, manner)
    };
    let (ask, manner) = thinking(Effort::High);
    let body = body_of(&ask, &manner);
    assert!(
        body.contains(r#""reasoning":{"effort":"high","summary":"auto"}"#) && !body.contains("temperature"),
        "{body}"
    );
    let (ask, mut manner) = thinking(Effort::None);
    for left in
        [r#"{"effort":"minimal","summary":"auto"}"#, r#"{"effort":"low","summary":"auto"}"#, r#"{"summary":"auto"}"#]
    {
        assert!(manner.concede(&blamed("reasoning.effort")));
        assert!(body_of(&ask, &manner).contains(&format!(r#""reasoning":{left}"#)), "{left}");
    }
    assert!(!manner.concede(&blamed("reasoning.effort")));
    assert!(manner.concede(&blamed("reasoning.summary")) && !manner.concede(&blamed("reasoning.summary")));
    assert!(!body_of(&ask, &manner).contains(r#""reasoning":"#));
}

#[test]
fn whatever_is_refused_is_given_up_once() {
    let sampling = Sampling {
        temperature: Some(1.0),
        top_p: Some(1.0),
        max_tokens: Some(9),
        reasoning: Some(Effort::Low),
        ..Sampling::default()
    };
    let ask = ChatRequest { sampling, images: true, ..question("m") };
    let mut manner = Manner::of(Some("127.0.0.1"), &ask);
    for complaint in [
        blamed("temperature"),
        blamed("top_p"),
        blamed("max_output_tokens"),
        told("Unrecognized request argument supplied: store."),
        blamed("include[0]"),
        told("Model m does not support parameter reasoningEffort."),
        blamed("reasoning"),
        blamed("tools[0].partial_images"),
    ] {
        assert!(manner.concede(&complaint), "{complaint:?}");
    }
    let body = body_of(&ask, &manner);
    let bare = r#"{"model":"m","instructions":"Be brief.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Héllo"}]}],"stream":true}"#;
    assert_eq!(body, bare);
    for complaint in
        [blamed("store"), blamed("include"), blamed("model"), blamed("input[0]"), told("No storekeeper"), told("")]
    {
        assert!(!manner.concede(&complaint), "{complaint:?}");
    }
}

#[test]
fn thoughts_that_a_server_cannot_read_stay_here() {
    let json =
        serde_json::value::RawValue::from_string(r#"{"type":"reasoning","encrypted_content":"e"}"#.into()).unwrap();
    let item = crate::common::chat::Verbatim {
        origin: crate::adapters::llm::responses::ORIGIN.into(),
        json,
        stands_for: None,
    };
    let mut ask = question("gpt-5");
    ask.messages.push(Message { role: Role::Assistant, parts: vec![Part::Verbatim(item)] });
    for complaint in [
        blamed("input[1].encrypted_content"),
        told("Encrypted content is not supported."),
        told("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."),
        told("Item 'rs_1' of type 'reasoning' was provided without its required following item."),
        Complaint { words: vec!["invalid_encrypted_content".into()], ..told("It could not be verified.") },
    ] {
        let mut manner = Manner::of(OPENAI, &ask);
        let gave_back = manner.gives_back;
        assert!(gave_back && manner.concede(&complaint), "{complaint:?}");
        assert!(!manner.gives_back, "{complaint:?}");
    }
    assert!(!Manner::of(OPENAI, &question("gpt-5")).gives_back, "there is nothing");
}
