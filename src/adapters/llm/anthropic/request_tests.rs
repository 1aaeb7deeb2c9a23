//! Tests of the body that is sent.

use super::*;
use crate::adapters::llm::complaint::KeyPlace;
use crate::adapters::llm::exchange::{KeyHeader, Target};
use crate::common::chat::{Message, Sampling, ToolCall, ToolResult};

fn manner_at(base_url: &str, request: &ChatRequest) -> Manner {
    let target = Target::new(base_url, "/v1/messages", KeyHeader::Named("x-api-key"), KeyPlace::default());
    Manner::of(&target, request)
}

fn manner(request: &ChatRequest) -> Manner {
    manner_at("https://api.anthropic.com", request)
}

fn sent(request: &ChatRequest) -> Value {
    serde_json::to_value(body(request, &manner(request))).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest {
        model: "claude-haiku-4-5".into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Héllo \"you\"")],
        ..ChatRequest::default()
    }
}

fn tool(strict: Option<bool>) -> Tool {
    Tool {
        name: "lamp".into(),
        description: Some("Switches.".into()),
        schema: json!({"properties": {"on": {}}}).into(),
        strict,
    }
}

#[test]
fn the_body_of_a_question() {
    let text = |request: &ChatRequest| serde_json::to_string(&body(request, &manner(request))).unwrap();
    insta::assert_snapshot!(text(&question()), @r#"{"model":"claude-haiku-4-5","max_tokens":8192,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"Héllo \"you\""}]}],"stream":true}"#);
    let sampling = Sampling {
        temperature: Some(1.7),
        max_tokens: Some(50),
        stop: vec!["END".into(), "\n".into()],
        seed: Some(1),
        ..Sampling::default()
    };
    insta::assert_snapshot!(text(&ChatRequest { sampling, ..question() }), @r#"{"model":"claude-haiku-4-5","max_tokens":50,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"Héllo \"you\""}]}],"stream":true,"temperature":1.0,"stop_sequences":["END"]}"#);
    let sampling = Sampling { top_p: Some(0.9), max_tokens: Some(50), ..Sampling::default() };
    insta::assert_snapshot!(text(&ChatRequest { sampling, ..question() }), @r#"{"model":"claude-haiku-4-5","max_tokens":50,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"Héllo \"you\""}]}],"stream":true,"top_p":0.9}"#);
}

#[test]
fn thinking_in_its_two_forms() {
    let thinking = |model: &str, effort| {
        let sampling = Sampling { reasoning: Some(effort), temperature: Some(0.5), ..Sampling::default() };
        let body = sent(&ChatRequest { model: model.into(), sampling, ..question() });
        assert!(body.get("temperature").is_none() || effort == Effort::None);
        json!([body["thinking"], body["output_config"], body["max_tokens"]])
    };
    assert_eq!(
        thinking("claude-haiku-4-5", Effort::Low),
        json!([{"type": "enabled", "budget_tokens": 2048}, null, 8192 + 2048])
    );
    assert_eq!(
        thinking("claude-opus-4-8", Effort::High),
        json!([{"type": "adaptive", "display": "summarized"}, {"effort": "high"}, 8192 + 16384])
    );
    assert_eq!(thinking("claude-haiku-4-5", Effort::None), json!([{"type": "disabled"}, null, 8192]));
}

#[test]
fn tools_and_whether_they_are_to_be_called() {
    let with = |tool_choice, parallel_tool_calls| {
        let tools = vec![
            tool(Some(true)).into(),
            Tool { schema: Value::Null.into(), description: None, ..tool(Some(false)) }.into(),
        ];
        sent(&ChatRequest { tools, tool_choice, parallel_tool_calls, ..question() })
    };
    let body = with(ToolChoice::Auto, None);
    let schema = json!({"type": "object", "properties": {"on": {}}});
    let want = json!([
        {"name": "lamp", "description": "Switches.", "input_schema": schema, "strict": true},
        {"name": "lamp", "input_schema": {"type": "object"}},
    ]);
    assert_eq!((&body["tools"], body.get("tool_choice")), (&want, None));
    assert_eq!(
        with(ToolChoice::Auto, Some(false))["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(with(ToolChoice::Required, None)["tool_choice"], json!({"type": "any"}));
    let named = with(ToolChoice::Named("lamp".into()), Some(true));
    assert_eq!(named["tool_choice"], json!({"type": "tool", "name": "lamp", "disable_parallel_tool_use": false}));
    let none = with(ToolChoice::None, None);
    assert_eq!((none.get("tools"), none.get("tool_choice")), (None, None), "none are needed");

    let call = ToolCall { id: "a".into(), name: "lamp".into(), arguments: String::new() };
    let result = ToolResult { call_id: "a".into(), name: "lamp".into(), content: "on".into(), is_error: false };
    let mut messages = question().messages;
    messages.push(Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] });
    messages.push(Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] });
    let tools = vec![tool(None).into()];
    let body = sent(&ChatRequest { messages, tools, tool_choice: ToolChoice::None, ..question() });
    assert_eq!(body["tool_choice"], json!({"type": "none"}), "calls that were made must be explained");
    assert_eq!(body["tools"].as_array().map(Vec::len), Some(1));
    assert!(sent(&ChatRequest { tool_choice: ToolChoice::Required, ..question() }).get("tool_choice").is_none());
}

#[test]
fn the_form_of_the_answer() {
    let schema = json!({"type": "object"});
    let format = ResponseFormat::Schema { name: "s".into(), schema: schema.clone(), strict: None };
    let request = ChatRequest { response_format: Some(format), ..question() };
    let body = sent(&request);
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    assert_eq!(body["system"], "Be brief.");

    let told = "Answer with JSON after this JSON Schema and nothing else: no explanation, no code fence.\n{\"type\":\"object\"}";
    let elsewhere = manner_at("http://127.0.0.1:8080", &request);
    let body = serde_json::to_value(super::body(&request, &elsewhere)).unwrap();
    assert!(body["output_config"]["format"].is_object());
    assert_eq!(body["system"], format!("Be brief.\n\n{told}"), "who does not know the field reads the words");

    let mut refused = manner(&request);
    refused.native_schema = false;
    let body = serde_json::to_value(super::body(&request, &refused)).unwrap();
    assert_eq!((body.get("output_config"), &body["system"]), (None, &json!(format!("Be brief.\n\n{told}"))));

    let messages = vec![Message::new(Role::User, "Hi")];
    let json = sent(&ChatRequest { messages, response_format: Some(ResponseFormat::Json), ..question() });
    assert_eq!(json["system"], "Answer with one JSON object and nothing else: no explanation, no code fence.");
}

#[test]
fn what_cannot_be_said_is_refused_before_it_is_sent() {
    let media = |mime: &str| Media { mime: mime.into(), data: bytes::Bytes::from_static(b"x") };
    let asked = |role, part| {
        let message = Message { role, parts: vec![part] };
        can_be_asked(&ChatRequest { messages: vec![message], ..question() })
            .map_err(|error| (error.failure, error.message))
    };
    let (failure, message) = asked(Role::User, Part::Audio(media("audio/wav"))).unwrap_err();
    assert_eq!((failure, message.as_str()), (Failure::Unsupported, "takes no sound (model claude-haiku-4-5)"));
    let (failure, message) = asked(Role::User, Part::Image(media("image/tiff"))).unwrap_err();
    assert!(failure == Failure::Unsupported && message.contains("image/tiff, only image/jpeg"), "{message}");
    assert_eq!(asked(Role::User, Part::Image(media("image/webp"))), Ok(()));
    assert_eq!(asked(Role::Assistant, Part::Audio(media("audio/wav"))), Ok(()), "an old answer is no reason to fail");
}
