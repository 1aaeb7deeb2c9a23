//! The row `local` against what llama.cpp, LM Studio and vLLM send: bodies as those servers sent them to a plain client.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::chat::{
    ChatRequest, Effort, Event, FinishReason, Media, Message, Part, Progress, Role, Stage, Tool, ToolChoice, Usage,
};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::net::https::Https;
use serde_json::json;

use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

fn adapter(world: &FakeProvider) -> Arc<dyn Provider> {
    let row = config::Provider { base_url: world.base_url(), ..config::Provider::default() };
    llm::build(llm::Setup { name: ProviderName::Local, row: &row, key: None, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest { model: "local".into(), messages: vec![Message::new(Role::User, "Hi")], ..ChatRequest::default() }
}

async fn ask(world: &FakeProvider, request: ChatRequest) -> Result<Answer, ProviderError> {
    soon("an answer or a refusal", adapter(world).ask(request)).await
}

async fn listen(mut answer: Answer) -> (Vec<Event>, Option<ProviderError>) {
    let mut events = Vec::new();
    while let Some(item) = soon("the next event", answer.next()).await {
        match item {
            Ok(arrival) => events.push(arrival.event),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

#[tokio::test]
async fn how_far_the_prompt_is_read_is_told() {
    let chunk = |choice: &str, more: &str| {
        format!(
            r#"{{"choices":[{choice}],"created":1,"id":"chatcmpl-1","model":"m.gguf","system_fingerprint":"b1","object":"chat.completion.chunk"{more}}}"#
        )
    };
    let read = |processed: u64| {
        let progress = format!(r#","prompt_progress":{{"total":631,"cache":0,"processed":{processed},"time_ms":351}}"#);
        chunk(r#"{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}"#, &progress)
    };
    let script = Script::stream()
        .sse(&read(0))
        .sse(&read(64))
        .sse(&read(631))
        .sse(&chunk(r#"{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}"#, ""))
        .sse(&chunk(
            r#"{"finish_reason":"length","index":0,"delta":{}}"#,
            r#","timings":{"cache_n":30,"prompt_n":601,"prompt_ms":25.796,"predicted_n":2,"predicted_ms":28.639}"#,
        ))
        .sse("[DONE]")
        .body_end();
    let world = FakeProvider::start(script).await;
    let (events, error) = listen(ask(&world, question()).await.unwrap()).await;
    assert_eq!(error, None);
    let progress = |done| Event::Progress(Progress { stage: Stage::Prompt, done, total: 631 });
    let counted = Usage { input_tokens: 631, output_tokens: 2, cached_tokens: Some(30), ..Usage::default() };
    let want = [
        Event::Started { model: Some("m.gguf".into()) },
        progress(0),
        progress(64),
        progress(631),
        Event::Text("Hi".into()),
        Event::Finish(FinishReason::Length),
        Event::Usage(Box::new(counted)),
    ];
    assert_eq!(events, want);
    let body = world.request(0).await.body;
    assert_eq!((&body["return_progress"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[tokio::test]
async fn a_server_that_loads_its_model_says_when_to_come_back() {
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let world = FakeProvider::start(Script::status(503, &[("content-type", "application/json")], loading)).await;
    let error = ask(&world, question()).await.err().unwrap();
    assert_eq!((error.failure, error.retry_after), (Failure::Failed, Some(Duration::from_secs(1))));
    assert!(error.message.contains("being loaded"), "{error}");
    assert!(error.to_body("local").retryable);
}

#[tokio::test]
async fn a_wish_that_a_server_does_not_know_is_dropped() {
    let world = FakeProvider::start(Script::answer(&["ok"])).await;
    let refused = |param: &str| {
        let body = json!({"object": "error", "message": format!("[{{'type': 'extra_forbidden', 'loc': ('body', '{param}'), 'msg': 'Extra inputs are not permitted'}}]"),
            "type": "BadRequestError", "param": null, "code": 400});
        Script::status(400, &[("content-type", "application/json")], &body.to_string())
    };
    for param in ["return_progress", "stream_options", "chat_template_kwargs"] {
        world.once(refused(param));
    }
    let mut request = question();
    request.sampling.reasoning = Some(Effort::None);
    let (events, error) = listen(ask(&world, request).await.unwrap()).await;
    assert!(error.is_none() && events.contains(&Event::Text("ok".into())), "{error:?}");
    let last = world.request(3).await.body;
    assert_eq!(last, json!({"model": "local", "messages": [{"role": "user", "content": "Hi"}], "stream": true}));
}

#[tokio::test]
async fn one_tool_of_many_is_chosen_by_keeping_the_others_back() {
    let world = FakeProvider::start(Script::answer(&["ok"])).await;
    let tool = |name: &str| Tool { name: name.into(), description: None, schema: json!({}).into(), strict: None };
    let tools = ["lamp", "plug"].map(|name| tool(name).into()).into();
    let request = ChatRequest { tools, tool_choice: ToolChoice::Named("plug".into()), ..question() };
    listen(ask(&world, request).await.unwrap()).await;
    let body = world.request(0).await.body;
    assert_eq!((&body["tool_choice"], body["tools"].as_array().map(Vec::len)), (&json!("required"), Some(1)));
    assert_eq!(body["tools"][0]["function"]["name"], "plug");
}

#[tokio::test]
async fn each_servers_way_to_say_no() {
    let world = FakeProvider::start(Script::default()).await;
    let json = [("content-type", "application/json")];
    let no_mmproj = r#"{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}"#;
    let too_long = r#"{"error":{"code":400,"message":"request (6031 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":6031,"n_ctx":4096}}"#;
    let vllm = r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#;
    for (status, body, failure) in [
        (500, no_mmproj, Failure::Unsupported),
        (400, too_long, Failure::TooLarge),
        (404, vllm, Failure::Rejected),
        (400, r#"{"error":"Model does not support images. Please use a model that does."}"#, Failure::Unsupported),
    ] {
        world.once(Script::status(status, &json, body));
        let mut request = question();
        request.messages[0].parts.push(Part::Image(Media { mime: "image/png".into(), data: "hi".into() }));
        assert_eq!(ask(&world, request).await.err().unwrap().failure, failure, "{body}");
    }
    // LM Studio, in mid-stream.
    let said = Script::stream().words(&["a"], Duration::ZERO);
    world.once(said.chunk(b"event: error\ndata: {\"error\":{\"message\":\"Model unloaded.\"}}\n\n").stall());
    let (events, error) = listen(ask(&world, question()).await.unwrap()).await;
    assert_eq!(error.map(|error| (error.failure, error.message)), Some((Failure::Failed, "Model unloaded".to_owned())));
    assert!(events.contains(&Event::Text("a".into())));
}
