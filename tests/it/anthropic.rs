//! The Messages adapter against a provider on a real socket: a whole answer, what goes back of it with the next question,
//! what is given up when the provider refuses, and every end that is none.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Provider};
use hearth::common::assembly::Assembly;
use hearth::common::chat::{
    Allowance, ChatRequest, Effort, Event, FinishReason, Media, Message, Part, RateLimits, Role, Sampling, ToolResult,
    Usage,
};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::{Value, json};

use crate::world::dialects::anthropic::{self as fake, Answer, INPUT, OUTPUT_TOKENS};
use crate::world::provider::{FakeProvider, MODEL, Script, now};
use crate::world::soon;

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every timeout.
const CLOSE_MAX: Duration = Duration::from_millis(50);

fn adapter(base_url: &str) -> Arc<dyn Provider> {
    let env = Some("FAKE_API_KEY".to_owned());
    let row = config::Provider { base_url: base_url.into(), api_key_env: env, ..config::Provider::default() };
    built(&row, Some(Secret::new("sk-ant-hunter2-secret")))
}

fn built(row: &config::Provider, key: Option<Secret>) -> Arc<dyn Provider> {
    llm::build(llm::Setup { name: ProviderName::Anthropic, row, key, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest {
        model: "claude-haiku-4-5".into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Say hello")],
        ..ChatRequest::default()
    }
}

/// Everything of an answer, and how it ended.
async fn hear(provider: &Arc<dyn Provider>, request: ChatRequest) -> (Vec<Event>, Option<ProviderError>) {
    let mut answer = match soon("an answer or a refusal", provider.ask(request)).await {
        Ok(answer) => answer,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut events = Vec::new();
    while let Some(item) = soon("the next event", answer.next()).await {
        match item {
            Ok(arrival) => events.push(arrival.event),
            Err(error) => {
                assert!(soon("the end", answer.next()).await.is_none(), "nothing comes after an error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

async fn whole(provider: &Arc<dyn Provider>, request: ChatRequest) -> Vec<Event> {
    let (events, error) = hear(provider, request).await;
    assert_eq!(error, None);
    events
}

fn text(events: &[Event]) -> String {
    events.iter().filter_map(|event| if let Event::Text(text) = event { Some(&**text) } else { None }).collect()
}

#[tokio::test]
async fn a_whole_answer() {
    let world = FakeProvider::start(Script::default()).await;
    let address = world.base_url();
    let root = address.trim_end_matches("/v1");
    for (number, base_url) in
        [root, &address, &format!("{address}/messages"), &format!("{root}/")].into_iter().enumerate()
    {
        world.once(fake::answer(&["Hel", "lo", " wörld"]));
        let events = whole(&adapter(base_url), question()).await;
        assert_eq!(events[0], Event::Started { model: Some(MODEL.into()) });
        assert_eq!(text(&events), "Hello wörld");
        let (input_tokens, cached, written) = INPUT;
        let usage = Usage {
            input_tokens: input_tokens + cached + written,
            output_tokens: OUTPUT_TOKENS,
            cached_tokens: Some(cached),
            cache_write_tokens: Some(written),
            ..Usage::default()
        };
        assert_eq!(events[events.len() - 2..], [Event::Usage(Box::new(usage)), Event::Finish(FinishReason::Stop)]);
        let request = world.request(number).await;
        assert_eq!(request.line, "POST /v1/messages", "{base_url}");
        assert_eq!(request.headers["x-api-key"], "sk-ant-hunter2-secret");
        assert_eq!(request.headers["anthropic-version"], "2023-06-01");
        assert!(!request.headers.contains_key("authorization"));
        let content = json!([{"type": "text", "text": "Say hello"}]);
        let want = json!({"model": "claude-haiku-4-5", "max_tokens": 8192, "system": "Be brief.", "stream": true,
            "messages": [{"role": "user", "content": content}]});
        assert_eq!(request.body, want);
    }
}

#[tokio::test]
async fn a_server_of_ones_own_needs_no_key_and_the_service_does() {
    let world = FakeProvider::start(fake::answer(&["ok"])).await;
    let row = config::Provider { base_url: world.base_url(), ..config::Provider::default() };
    assert_eq!(text(&whole(&built(&row, None), question()).await), "ok");
    assert!(!world.request(0).await.headers.contains_key("x-api-key"));
    let (_, error) =
        hear(&built(&config::Provider { api_key_env: Some("NO_KEY".into()), ..row }, None), question()).await;
    assert_eq!(error.map(|error| error.failure), Some(Failure::Auth));
}

#[tokio::test]
async fn thoughts_and_calls_go_back_as_they_came() {
    let thinks = Answer::begin().thinking(&["The lamp", " is meant."], "EqQB").redacted("Emw=");
    let world = FakeProvider::start(fake::answer(&["It is on."])).await;
    world.once(thinks.call("toolu_1", "lamp", &["{\"on\":", " true}"]).end("tool_use"));
    let provider = adapter(&world.base_url());
    let sampling = Sampling { reasoning: Some(Effort::Low), ..Sampling::default() };
    let asked = ChatRequest { sampling, ..question() };
    let events = whole(&provider, asked.clone()).await;
    assert_eq!(events.last(), Some(&Event::Finish(FinishReason::ToolCalls)));

    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assert_eq!(assembly.reasoning, "The lamp is meant.");
    let result = ToolResult { call_id: "toolu_1".into(), name: "lamp".into(), content: "done".into(), is_error: false };
    let result = Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] };
    let messages = [asked.messages.clone(), vec![assembly.into_message(), result]].concat();
    assert_eq!(text(&whole(&provider, ChatRequest { messages, ..asked }).await), "It is on.");
    let body = world.request(1).await.body;
    let said = json!([
        {"type": "thinking", "thinking": "The lamp is meant.", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "Emw="},
        {"type": "tool_use", "id": "toolu_1", "name": "lamp", "input": {"on": true}},
    ]);
    assert_eq!(body["messages"][1], json!({"role": "assistant", "content": said}));
    let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}]);
    assert_eq!(body["messages"][2], json!({"role": "user", "content": result}));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 2048}));
}

#[tokio::test]
async fn what_the_provider_does_not_take_is_given_up_and_the_answer_comes() {
    let world = FakeProvider::start(fake::answer(&["ok"])).await;
    let provider = adapter(&world.base_url());
    let refuse = |message: &str| world.once(fake::refusal(400, "invalid_request_error", message, &[]));
    let sampling = Sampling { temperature: Some(0.5), ..Sampling::default() };
    let warm = ChatRequest { sampling, ..question() };
    refuse("`temperature` is deprecated for this model.");
    assert_eq!(text(&whole(&provider, warm).await), "ok");

    let sampling = Sampling { reasoning: Some(Effort::High), ..Sampling::default() };
    let thinks = ChatRequest { sampling, ..question() };
    refuse(
        "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
    );
    refuse("max_tokens: 24576 > 8000, which is the maximum allowed number of output tokens for claude-x");
    assert_eq!(text(&whole(&provider, thinks).await), "ok");

    let bodies: Vec<Value> = world.requests().into_iter().map(|request| request.body).collect();
    let temperatures: Vec<_> = bodies[..2].iter().map(|body| body.get("temperature")).collect();
    assert_eq!(temperatures, [Some(&json!(0.5)), None]);
    let thinking: Vec<_> = bodies[2..].iter().map(|body| body["thinking"]["type"].as_str()).collect();
    assert_eq!(thinking, [Some("enabled"), Some("adaptive"), Some("adaptive")]);
    assert_eq!((&bodies[4]["output_config"]["effort"], &bodies[4]["max_tokens"]), (&json!("high"), &json!(8000)));

    refuse("model: claude-9 is unknown");
    assert_eq!(hear(&provider, question()).await.1.map(|error| error.failure), Some(Failure::Rejected));
    assert_eq!(world.requests().len(), 6, "nothing to give in with");
}

#[tokio::test]
async fn ends_that_are_none() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world.base_url());
    let words = || Answer::begin().text(&["a", "b"], Duration::ZERO);
    let html = Script::status(200, &[("content-type", "text/html")], "<title>Log in</title>");
    for (what, script, said, failure) in [
        ("FIN without the end of the body", words().script(Script::hangup), "ab", Failure::CutOff),
        ("RST", words().script(|script| script.wait(Duration::from_millis(20)).reset()), "ab", Failure::CutOff),
        ("the end of the body without an end", words().script(Script::body_end), "ab", Failure::CutOff),
        ("an empty body", Script::stream().body_end(), "", Failure::CutOff),
        ("overloaded", words().error("overloaded_error", "Overloaded").stall(), "ab", Failure::Failed),
        ("out of credit", words().error("billing_error", "x").stall(), "ab", Failure::QuotaExhausted),
        ("bad JSON", words().script(|script| script.sse("{\"type\":").stall()), "ab", Failure::BadStream),
        ("another's dialect", Script::answer(&["a"]), "", Failure::BadStream),
        ("HTML with 200", html, "", Failure::BadStream),
        ("an error with 200", fake::refusal(200, "api_error", "It broke", &[]), "", Failure::Failed),
    ] {
        world.once(script);
        let (events, error) = hear(&provider, question()).await;
        let error = error.unwrap_or_else(|| panic!("{what} was taken for a success"));
        assert_eq!((text(&events).as_str(), error.failure), (said, failure), "{what}: {error}");
    }
    let reason = json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}});
    world.once(words().event(&reason).script(Script::hangup));
    let events = whole(&provider, question()).await;
    assert_eq!(events.last(), Some(&Event::Finish(FinishReason::Length)), "the reason is enough");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world.base_url());
    let refuse = fake::refusal;
    for (script, failure, wait_ms, message) in [
        (
            refuse(401, "authentication_error", "invalid x-api-key", &[]),
            Failure::Auth,
            None,
            "invalid x-api-key (HTTP 401, req_fake). Check the key in FAKE_API_KEY.",
        ),
        (
            refuse(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", &[]),
            Failure::QuotaExhausted,
            None,
            "Your credit balance is too low to access the Anthropic API (HTTP 400, req_fake). The account has no credit left: add some, or choose another provider.",
        ),
        (
            refuse(429, "rate_limit_error", "Slow down", &[("retry-after", "3")]),
            Failure::RateLimited,
            Some(3000),
            "Slow down (HTTP 429, req_fake). Try again later, or choose another model.",
        ),
        (
            refuse(529, "overloaded_error", "Overloaded", &[]),
            Failure::Failed,
            None,
            "Overloaded (HTTP 529, req_fake). The provider has too much to do: try again in a moment, or choose another model.",
        ),
    ] {
        world.once(script);
        let error = hear(&provider, question()).await.1.expect("a refusal");
        let wait = wait_ms.map(Duration::from_millis);
        assert_eq!((error.failure, error.retry_after, error.message.as_str()), (failure, wait, message));
    }
}

#[tokio::test]
async fn what_is_left_to_ask_is_told_first() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ndate: Wed, 15 Jul 2026 10:36:00 GMT\r\n\
        anthropic-ratelimit-requests-remaining: 49\r\nanthropic-ratelimit-requests-reset: 2026-07-15T10:36:02Z\r\n\r\n";
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let world = FakeProvider::start(Script::default().raw(head.as_bytes()).raw(end.as_bytes()).hangup()).await;
    let events = whole(&adapter(&world.base_url()), question()).await;
    let requests = Some(Allowance { remaining: 49, reset: Some(Duration::from_secs(2)) });
    assert_eq!(events, [Event::Limits(Box::new(RateLimits { requests, tokens: None }))]);
}

#[tokio::test]
async fn sound_is_refused_before_anything_is_sent() {
    let world = FakeProvider::start(fake::answer(&["ok"])).await;
    let sound = Part::Audio(Media { mime: "audio/wav".into(), data: bytes::Bytes::from_static(b"RIFF") });
    let messages = vec![Message { role: Role::User, parts: vec![sound] }];
    let error = hear(&adapter(&world.base_url()), ChatRequest { messages, ..question() }).await.1.expect("a refusal");
    assert_eq!((error.failure, world.requests().len()), (Failure::Unsupported, 0));
}

#[tokio::test]
async fn the_models_are_listed() {
    let world = FakeProvider::start(Script::default()).await;
    let list = json!({"data": [{"type": "model", "id": "claude-haiku-4-5", "display_name": "x"}], "has_more": false});
    world.once(Script::status(200, &[], &list.to_string()));
    let models = soon("a list", adapter(&world.base_url()).models()).await;
    assert_eq!(models, Ok(vec!["claude-haiku-4-5".to_owned()]));
    let request = world.request(0).await;
    assert_eq!(request.line, "GET /v1/models?limit=1000");
    assert_eq!(request.headers["anthropic-version"], "2023-06-01");
}

#[tokio::test]
async fn a_connection_closes_at_once_when_the_answer_is_dropped() {
    let world = FakeProvider::start(Answer::begin().text(&["a"], Duration::ZERO).script(Script::stall)).await;
    let mut answer = soon("an answer", adapter(&world.base_url()).ask(question())).await.unwrap();
    while !soon("a word", answer.next()).await.unwrap().unwrap().event.is_content() {}
    let dropped_at = now();
    drop(answer);
    let took = world.closed(0).await.duration_since(dropped_at);
    assert!(took < CLOSE_MAX, "{took:?}");
}
