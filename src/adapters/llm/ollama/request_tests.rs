//! Tests of the request: every part of a question as Ollama's own chat writes it.

use serde_json::json;

use super::*;
use crate::common::chat::{Media, Message, Sampling, ToolCall, ToolResult};

fn sent(request: &ChatRequest) -> Value {
    sent_so(request, &Manner::of(request))
}

fn sent_so(request: &ChatRequest, manner: &Manner) -> Value {
    serde_json::to_value(body(request, manner).unwrap()).unwrap()
}

fn question(model: &str) -> ChatRequest {
    ChatRequest { model: model.into(), messages: vec![Message::new(Role::User, "Hi")], ..ChatRequest::default() }
}

fn lamp() -> chat::Tool {
    chat::Tool { name: "lamp".into(), description: None, schema: json!({"type": "object"}).into(), strict: Some(true) }
}

#[test]
fn a_bare_question_and_one_with_every_wish() {
    let bare = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true, "options": {}});
    assert_eq!(sent(&question("m")), bare);
    let all = ChatRequest {
        sampling: Sampling {
            temperature: Some(0.7),
            top_p: Some(0.9),
            max_tokens: Some(5),
            stop: vec!["END".into()],
            seed: Some(7),
            frequency_penalty: Some(0.5),
            presence_penalty: Some(-0.5),
            reasoning: Some(Effort::High),
        },
        tools: vec![lamp().into()],
        response_format: Some(ResponseFormat::Schema { name: "x".into(), schema: json!({"a": 1}), strict: None }),
        ..question("m")
    };
    let mut want = bare;
    want.as_object_mut().unwrap().extend(
        json!({
            "tools": [{"type": "function", "function": {"name": "lamp", "parameters": {"type": "object"}}}],
            "format": {"a": 1}, "think": true,
            "options": {"temperature": 0.7, "top_p": 0.9, "num_predict": 5, "stop": ["END"], "seed": 7,
                "frequency_penalty": 0.5, "presence_penalty": -0.5},
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    assert_eq!(sent(&all), want);
    let json = ChatRequest { response_format: Some(ResponseFormat::Json), ..question("m") };
    assert_eq!(sent(&json)["format"], "json");
}

#[test]
fn messages_of_every_kind() {
    let media = |mime: &str| Media { mime: mime.into(), data: "hi".into() };
    let call = |arguments: &str| {
        Part::ToolCall(ToolCall { id: "a-0".into(), name: "lamp".into(), arguments: arguments.into() })
    };
    let result = |is_error| {
        Part::ToolResult(ToolResult { call_id: "a-0".into(), name: "lamp".into(), content: "x".into(), is_error })
    };
    let message = |role, parts| Message { role, parts };
    let text = |text: &str| Part::Text(text.into());
    let messages = vec![
        Message::new(Role::System, "Be brief."),
        message(Role::User, vec![text("What"), text(" is it?"), Part::Image(media("image/png"))]),
        message(
            Role::Assistant,
            vec![text("Look: "), Part::Image(media("image/png")), call("{\"on\": true}"), call("{")],
        ),
        message(Role::Tool, vec![result(false), result(true)]),
        message(Role::User, vec![]),
    ];
    let function = |arguments: Value| json!({"id": "a-0", "function": {"name": "lamp", "arguments": arguments}});
    let want = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?", "images": ["aGk="]},
        {"role": "assistant", "content": "Look: [a picture]",
            "tool_calls": [function(json!({"on": true})), function(json!({"invalid_json": "{"}))]},
        {"role": "tool", "content": "x", "tool_name": "lamp", "tool_call_id": "a-0"},
        {"role": "tool", "content": "Error: x", "tool_name": "lamp", "tool_call_id": "a-0"},
    ]);
    assert_eq!(sent(&ChatRequest { messages, ..question("m") })["messages"], want);
    let heard = vec![message(Role::User, vec![Part::Audio(media("audio/wav"))])];
    let request = ChatRequest { messages: heard, ..question("m") };
    assert_eq!(body(&request, &Manner::of(&request)).err().unwrap().failure, Failure::Unsupported);
}

#[test]
fn a_choice_of_tools_is_made_by_keeping_the_others_back() {
    let names = |tool_choice| {
        let tools = vec![lamp().into(), chat::Tool { name: "plug".into(), ..lamp() }.into()];
        let sent = sent(&ChatRequest { tools, tool_choice, ..question("m") });
        sent["tools"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(names(ToolChoice::Auto), 2);
    assert_eq!(names(ToolChoice::Required), 2);
    assert_eq!(names(ToolChoice::Named("plug".into())), 1);
    assert_eq!(names(ToolChoice::None), 0);
}

#[test]
fn thinking_is_asked_for_as_the_model_understands_it() {
    let think = |model: &str, reasoning, concessions: usize| {
        let mut request = question(model);
        request.sampling.reasoning = reasoning;
        let mut manner = Manner::of(&request);
        let complaint = Complaint { message: "\"m\" does not support thinking".into(), ..Complaint::default() };
        for _ in 0..concessions {
            assert!(manner.concede(&complaint));
        }
        sent_so(&request, &manner).get("think").cloned()
    };
    assert_eq!(think("qwen3", None, 0), None);
    assert_eq!(think("qwen3", Some(Effort::None), 0), Some(json!(false)));
    assert_eq!(think("qwen3", Some(Effort::Low), 0), Some(json!(true)));
    assert_eq!(think("qwen3", Some(Effort::Low), 1), None);
    assert_eq!(think("gpt-oss:20b", Some(Effort::Low), 0), Some(json!("low")));
    assert_eq!(think("gpt-oss:20b", Some(Effort::Low), 1), Some(json!(true)));
    assert_eq!(think("gpt-oss:20b", Some(Effort::Low), 2), None);
    let mut unsaid = Manner { think: Think::Unsaid };
    assert!(!unsaid.concede(&Complaint { message: "cannot think".into(), ..Complaint::default() }));
    assert!(!Manner { think: Think::Level }.concede(&Complaint::default()));
}

#[test]
fn the_address_is_found_from_every_spelling() {
    for base_url in ["", "/", "/v1", "/api", "/api/", "/api/chat", "/v1/chat/completions", "/api/tags"] {
        assert_eq!(root(&format!(" http://127.0.0.1:11434{base_url}")), "http://127.0.0.1:11434", "{base_url}");
    }
    assert_eq!(root("https://x.example/ollama/api"), "https://x.example/ollama");
}
