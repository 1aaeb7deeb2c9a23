//! Tests of the request: what each flavour of server is sent, field by field.

use super::*;
use crate::adapters::llm::complaint::Complaint;
use crate::common::chat::{Message, Role, Sampling};

fn question(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Héllo \"you\"")],
        sampling: Sampling { temperature: Some(0.7), max_tokens: Some(50), ..Sampling::default() },
        ..ChatRequest::default()
    }
}

/// A question with all that can be wished.
fn wishes(model: &str) -> ChatRequest {
    let tool = |name: &str, strict| chat::Tool {
        name: name.into(),
        description: Some("Switches.".into()),
        schema: json!({"type": "object"}).into(),
        strict,
    };
    ChatRequest {
        sampling: Sampling {
            temperature: Some(0.1),
            top_p: Some(0.9),
            max_tokens: Some(7),
            stop: vec!["END".into()],
            seed: Some(-1),
            frequency_penalty: Some(0.5),
            presence_penalty: Some(-0.5),
            reasoning: Some(Effort::Low),
        },
        tools: vec![tool("lamp", Some(true)).into(), tool("plug", None).into()],
        tool_choice: ToolChoice::Named("lamp".into()),
        parallel_tool_calls: Some(false),
        response_format: Some(ResponseFormat::Schema { name: "x".into(), schema: json!({"a": 1}), strict: Some(true) }),
        images: true,
        ..question(model)
    }
}

fn sent(request: &ChatRequest, manner: &Manner) -> Value {
    let text = serde_json::to_string(&body(request, manner).unwrap()).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text_of(request: &ChatRequest, flavour: Flavour) -> String {
    serde_json::to_string(&body(request, &Manner::of(flavour, request)).unwrap()).unwrap()
}

#[test]
fn the_body_as_openai_wants_it_and_as_all_others_do() {
    let ask = question("gpt-4o-mini");
    insta::assert_snapshot!(text_of(&ask, Flavour::OpenAi), @r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Héllo \"you\""}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"max_completion_tokens":50}"#);
    let sampling = Sampling { max_tokens: Some(5), ..Sampling::default() };
    let plain = ChatRequest { sampling, ..ask };
    insta::assert_snapshot!(text_of(&plain, Flavour::Other), @r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Héllo \"you\""}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":5}"#);
}

#[test]
fn every_wish_as_each_flavour_reads_it() {
    let core = json!({
        "model": "gpt-5.1", "stream": true, "temperature": 0.1, "top_p": 0.9, "stop": ["END"], "seed": -1,
        "frequency_penalty": 0.5, "presence_penalty": -0.5, "parallel_tool_calls": false,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Héllo \"you\""}],
        "tools": [
            {"type": "function", "function": {"name": "lamp", "description": "Switches.", "parameters": {"type": "object"}, "strict": true}},
            {"type": "function", "function": {"name": "plug", "description": "Switches.", "parameters": {"type": "object"}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "lamp"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": 1}, "strict": true}},
    });
    let with = |more: Value| {
        let mut all = core.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let ask = wishes("gpt-5.1");
    let usage = json!({"include_usage": true});
    let openai = json!({"stream_options": usage, "max_completion_tokens": 7, "reasoning_effort": "low"});
    assert_eq!(sent(&ask, &Manner::of(Flavour::OpenAi, &ask)), with(openai));
    let other = json!({"stream_options": usage, "max_tokens": 7, "reasoning_effort": "low"});
    assert_eq!(sent(&ask, &Manner::of(Flavour::Other, &ask)), with(other));
    let openrouter = json!({"usage": {"include": true}, "max_tokens": 7, "reasoning": {"effort": "low"}, "modalities": ["image", "text"]});
    assert_eq!(sent(&ask, &Manner::of(Flavour::OpenRouter, &ask)), with(openrouter));
    let local = json!({
        "stream_options": usage, "max_tokens": 7, "reasoning_effort": "low", "return_progress": true,
        "chat_template_kwargs": {"enable_thinking": true, "reasoning_effort": "low"},
        "tools": [core["tools"][0]], "tool_choice": "required",
    });
    assert_eq!(sent(&ask, &Manner::of(Flavour::Local, &ask)), with(local));
}

#[test]
fn no_thinking_has_many_words() {
    let mut ask = question("gpt-5-mini");
    ask.sampling.reasoning = Some(Effort::None);
    let of = |flavour| sent(&ask, &Manner::of(flavour, &ask));
    assert_eq!(of(Flavour::OpenAi)["reasoning_effort"], "minimal");
    assert_eq!(of(Flavour::Other)["reasoning_effort"], "none");
    assert_eq!(of(Flavour::OpenRouter)["reasoning"], json!({"effort": "none"}));
    let local = of(Flavour::Local);
    assert_eq!(local["chat_template_kwargs"], json!({"enable_thinking": false}));
    assert_eq!(local.get("reasoning_effort"), None);
}

#[test]
fn choices_of_tools() {
    let choice = |tool_choice, tools: bool| {
        let mut ask = ChatRequest { tool_choice, ..wishes("m") };
        if !tools {
            ask.tools.clear();
        }
        sent(&ask, &Manner::of(Flavour::Other, &ask)).get("tool_choice").cloned()
    };
    assert_eq!(choice(ToolChoice::Auto, true), None);
    assert_eq!(choice(ToolChoice::None, true), Some(json!("none")));
    assert_eq!(choice(ToolChoice::Required, true), Some(json!("required")));
    assert_eq!(choice(ToolChoice::Required, false), None, "OpenAI refuses a choice among no tools");
}

#[test]
fn what_is_given_up_is_not_sent() {
    let ask = wishes("m");
    let mut manner = Manner::of(Flavour::OpenRouter, &ask);
    for param in ["temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "usage", "reasoning"]
        .into_iter()
        .chain(["tool_choice", "parallel_tool_calls", "strict", "modalities", "max_tokens"])
    {
        let complaint = Complaint { param: Some(param.into()), ..Complaint::default() };
        assert!(manner.concede(&complaint), "{param}");
        let body = sent(&ask, &manner);
        match param {
            "modalities" => assert_eq!(body["modalities"], json!(["image"])),
            "strict" => assert_eq!(body["tools"][0]["function"].get("strict"), None),
            _ => assert_eq!(body.get(param), None),
        }
    }
    assert_eq!(sent(&ask, &manner)["max_completion_tokens"], 7);
}

#[test]
fn a_format_that_a_server_does_not_know_becomes_words() {
    let ask = wishes("m");
    let mut manner = Manner::of(Flavour::Other, &ask);
    let complaint = Complaint { param: Some("response_format".into()), ..Complaint::default() };
    let told = "Be brief.\n\nAnswer with one JSON object that is valid after this JSON Schema, and with nothing else: {\"a\":1}";
    for format in [Some(json!({"type": "json_object"})), None] {
        assert!(manner.concede(&complaint));
        let body = sent(&ask, &manner);
        assert_eq!((body.get("response_format"), &body["messages"][0]["content"]), (format.as_ref(), &json!(told)));
    }
    let mut bare = ChatRequest { response_format: Some(ResponseFormat::Json), ..question("m") };
    bare.messages.remove(0);
    let system = json!({"role": "system", "content": "Answer with one JSON object, and with nothing else."});
    assert_eq!(
        sent(&bare, &Manner::of(Flavour::OpenAi, &bare))["messages"][0],
        system,
        "the word JSON must stand there"
    );
    bare.messages.push(Message::new(Role::User, "Give me JSON."));
    let body = sent(&bare, &Manner::of(Flavour::OpenAi, &bare));
    assert_eq!(
        (&body["messages"][0]["role"], &body["response_format"]["type"]),
        (&json!("user"), &json!("json_object"))
    );
}
