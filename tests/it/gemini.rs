//! The Gemini adapter against a provider on a real socket: whole answers, a conversation that goes back, pictures, every
//! fault, and how soon a connection closes that nobody wants any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::assembly::Assembly;
use hearth::common::chat::{
    ChatRequest, Event, FinishReason, ImageRequest, Message, Part, Role, Sampling, Tool, ToolResult, Usage,
};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::{Value, json};

use crate::world::dialects::gemini::{RESPONSE_ID, base_url, gemini_error};
use crate::world::provider::{FakeProvider, MODEL, Script, now};
use crate::world::soon;

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every timeout.
const CLOSE_MAX: Duration = Duration::from_millis(50);

const ASK: &str = "POST /v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse";

fn adapter(base_url: &str) -> Arc<dyn Provider> {
    let env = Some("FAKE_API_KEY".to_owned());
    let row = config::Provider { base_url: base_url.into(), api_key_env: env, ..config::Provider::default() };
    let key = Some(Secret::new("AIza-hunter2"));
    llm::build(llm::Setup { name: ProviderName::Gemini, row: &row, key, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest {
        model: "gemini-3-flash-preview".into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Say hello")],
        sampling: Sampling { max_tokens: Some(9), ..Sampling::default() },
        ..ChatRequest::default()
    }
}

async fn ask(provider: &Arc<dyn Provider>) -> Result<Answer, ProviderError> {
    soon("an answer or a refusal", provider.ask(question())).await
}

/// Everything of an answer, and how it ended.
async fn listen(mut answer: Answer) -> (Vec<Event>, Option<ProviderError>) {
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

async fn whole(answer: Answer) -> Vec<Event> {
    let (events, error) = listen(answer).await;
    assert_eq!(error, None);
    events
}

fn text(events: &[Event]) -> String {
    events.iter().filter_map(|event| if let Event::Text(text) = event { Some(&**text) } else { None }).collect()
}

#[tokio::test]
async fn a_whole_answer_and_a_warm_connection_for_the_next() {
    let world = FakeProvider::start(Script::gemini_answer(&["Hel", "lo", " wörld"])).await;
    let provider = adapter(&base_url(&world));
    let events = whole(ask(&provider).await.unwrap()).await;
    assert_eq!(events[0], Event::Started { model: Some(MODEL.into()) });
    assert_eq!(text(&events), "Hello wörld");
    let usage = Usage { input_tokens: 7, output_tokens: 5, reasoning_tokens: Some(2), ..Usage::default() };
    assert_eq!(events[events.len() - 2..], [Event::Finish(FinishReason::Stop), Event::Usage(Box::new(usage))]);

    let request = world.request(0).await;
    assert_eq!(request.line, ASK);
    assert_eq!(request.headers["x-goog-api-key"], "AIza-hunter2");
    assert_eq!((request.headers.get("authorization"), &*request.headers["content-type"]), (None, "application/json"));
    let want = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Say hello"}]}],
        "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"includeThoughts": true}},
    });
    assert_eq!(request.body, want);
    whole(ask(&provider).await.unwrap()).await;
    assert_eq!(world.request(1).await.connection, 0, "the connection was kept");
}

#[tokio::test]
async fn an_answer_goes_back_as_it_came() {
    let spoken = json!({"text": "Dimming.", "thoughtSignature": "c2ln=="});
    let first = json!({"functionCall": {"name": "dim", "args": {"to": 10}}, "thoughtSignature": "Y2FsbA=="});
    let second = json!({"functionCall": {"name": "dim", "args": {"to": 20}}});
    let thought = json!([{"text": "Let me see", "thought": true}]);
    let calls = json!([first, second]);
    let stream = Script::stream().gemini_parts(&thought).gemini_words(&["So: "], Duration::ZERO);
    let world =
        FakeProvider::start(stream.gemini_parts(&json!([spoken])).gemini_parts(&calls).gemini_end("STOP")).await;
    let provider = adapter(&base_url(&world));
    let events = whole(ask(&provider).await.unwrap()).await;
    assert!(events.contains(&Event::Finish(FinishReason::ToolCalls)));
    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assert_eq!((assembly.whole_text().as_str(), assembly.reasoning.as_str()), ("So: Dimming.", "Let me see"));

    let answer = assembly.into_message();
    let called = answer.parts.iter().filter_map(|part| match part.plain() {
        Some(Part::ToolCall(call)) => Some(call.clone()),
        _ => None,
    });
    let results: Vec<Message> = called
        .map(|call| {
            let result = ToolResult { call_id: call.id, name: call.name, content: call.arguments, is_error: false };
            Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
        })
        .collect();
    let tool = Tool { name: "dim".into(), description: None, schema: json!({"type": "object"}).into(), strict: None };
    let mut next = ChatRequest { tools: vec![tool.into()], ..question() };
    next.messages.extend([&[answer], &results[..]].concat());
    whole(soon("the next answer", provider.ask(next)).await.unwrap()).await;

    let body = world.request(1).await.body;
    let said = json!({"role": "model", "parts": [{"text": "So: "}, spoken, first, second]});
    let output = |to: u32| json!({"functionResponse": {"name": "dim", "response": {"output": {"to": to}}}});
    let gave = json!({"role": "user", "parts": [output(10), output(20)]});
    assert_eq!(body["contents"].as_array().unwrap()[1..], [said, gave]);
    let function = json!({"name": "dim", "parametersJsonSchema": {"type": "object"}});
    assert_eq!(body["tools"], json!([{"functionDeclarations": [function]}]));
}

#[tokio::test]
async fn a_connection_closes_at_once_when_the_answer_is_dropped() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&base_url(&world));
    let words = || Script::stream().gemini_words(&["a"], Duration::ZERO);
    for (number, script) in
        [(0, Script::default().stall()), (1, words().stall()), (2, words().gemini_done("STOP").stall())]
    {
        world.once(script);
        let provider = Arc::clone(&provider);
        let asking = tokio::spawn(async move {
            let mut answer = ask(&provider).await.unwrap();
            while answer.next().await.is_some() {}
        });
        world.request(number).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!asking.is_finished(), "only the end of the body is the end");
        let dropped_at = now();
        asking.abort();
        let took = world.closed(number).await.duration_since(dropped_at);
        assert!(took < CLOSE_MAX, "request {number}: {took:?}");
    }
}

#[tokio::test]
async fn words_arrive_when_they_are_sent() {
    let pause = Duration::from_millis(40);
    let world = FakeProvider::start(Script::stream().gemini_words(&["a", "b", "c"], pause).gemini_end("STOP")).await;
    let mut answer = ask(&adapter(&base_url(&world))).await.unwrap();
    let mut heard_at = Vec::new();
    while let Some(arrival) = soon("the next event", answer.next()).await {
        let arrival = arrival.unwrap();
        if arrival.event.is_content() {
            heard_at.push(arrival.received_at);
        }
    }
    assert_eq!(heard_at.len(), 3);
    assert!(heard_at.windows(2).all(|pair| pair[1] - pair[0] >= pause / 2), "held back: {heard_at:?}");
}

#[tokio::test]
async fn streams_that_break() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&base_url(&world));
    let words = || Script::stream().gemini_words(&["a", "b"], Duration::ZERO);
    let overloaded = gemini_error(503, "UNAVAILABLE", "The model is overloaded.", &json!([]));
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}});
    let html = [("content-type", "text/html")];
    for (what, script, said, failure) in [
        ("FIN without the end of the body", words().hangup(), "ab", Failure::CutOff),
        ("RST", words().wait(Duration::from_millis(20)).reset(), "ab", Failure::CutOff),
        ("the end of the body without a reason", words().body_end(), "ab", Failure::CutOff),
        ("an empty body", Script::stream().body_end(), "", Failure::CutOff),
        ("an empty body with a length", Script::status(200, &[], ""), "", Failure::CutOff),
        ("an error event", words().gemini_event(&overloaded).stall(), "ab", Failure::Failed),
        ("a list of an error", words().gemini_event(&json!([overloaded])).stall(), "ab", Failure::Failed),
        ("a question that is refused", Script::stream().gemini_event(&blocked).body_end(), "", Failure::Rejected),
        ("bad JSON", words().sse("{\"candidates\":").stall(), "ab", Failure::BadStream),
        ("HTML with 200", Script::status(200, &html, "<title>Log in</title>"), "", Failure::BadStream),
        ("an error with 200", Script::status(200, &[], &overloaded.to_string()), "", Failure::Failed),
    ] {
        world.once(script);
        let (events, error) = listen(ask(&provider).await.unwrap()).await;
        let error = error.unwrap_or_else(|| panic!("{what} was taken for a success"));
        assert_eq!((text(&events).as_str(), error.failure), (said, failure), "{what}: {error}");
    }
    world.once(words().gemini_done("MAX_TOKENS").hangup());
    let events = whole(ask(&provider).await.unwrap()).await;
    assert!(events.contains(&Event::Finish(FinishReason::Length)), "whole, though the connection broke after it");
    let list =
        Script::status(200, &[], r#"[{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}]"#);
    world.once(list);
    assert_eq!(text(&whole(ask(&provider).await.unwrap()).await), "a", "without alt=sse");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&base_url(&world));
    let info = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let wait = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"});
    let quota =
        |id: &str| json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]});
    for (status, word, message, details, failure, wait_ms, said) in [
        (
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            info,
            Failure::Auth,
            None,
            "API key not valid. Please pass a valid API key (HTTP 400). Check the key in FAKE_API_KEY.",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Consumer 'api_key:AIza-hunter2' has been suspended.",
            json!([]),
            Failure::Auth,
            None,
            "Consumer 'api_key:[key]' has been suspended (HTTP 403). Check the key in FAKE_API_KEY.",
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Slow down",
            json!([quota("GenerateRequestsPerMinute"), wait]),
            Failure::RateLimited,
            Some(34_500),
            "Slow down (HTTP 429). Try again later, or choose another model.",
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Not today",
            json!([quota("GenerateRequestsPerDay-FreeTier"), wait]),
            Failure::QuotaExhausted,
            Some(34_500),
            "Not today (HTTP 429). The account has no credit left: add some, or choose another provider.",
        ),
        (
            503,
            "UNAVAILABLE",
            "The model is overloaded.",
            json!([]),
            Failure::Failed,
            None,
            "The model is overloaded (HTTP 503). The server is busy or still starting: try again in a moment.",
        ),
    ] {
        world.once(Script::gemini_error(status, word, message, &details));
        let error = ask(&provider).await.err().expect("a refusal");
        assert_eq!((error.failure, error.status, error.message.as_str()), (failure, Some(status), said));
        assert_eq!(error.retry_after, wait_ms.map(Duration::from_millis));
    }
    let odd = ChatRequest { model: "../x".into(), ..question() };
    let error = soon("a refusal", provider.ask(odd)).await.err().unwrap();
    assert_eq!((error.failure, world.requests().len()), (Failure::Rejected, 5), "nothing was sent");
}

#[tokio::test]
async fn what_a_model_refuses_is_given_up_and_the_answer_comes() {
    let world = FakeProvider::start(Script::gemini_answer(&["ok"])).await;
    let refusal = |message: &str| Script::gemini_error(400, "INVALID_ARGUMENT", message, &json!([]));
    world.once(refusal("Thinking_config.include_thoughts is only enabled when thinking is enabled."));
    world.once(refusal("Developer instruction is not enabled for models/gemini-3-flash-preview"));
    let provider = adapter(&base_url(&world));
    assert_eq!(text(&whole(ask(&provider).await.unwrap()).await), "ok");
    let bodies: Vec<Value> = world.requests().into_iter().map(|request| request.body).collect();
    let has = |field: &str| bodies.iter().map(|body| body.pointer(field).is_some()).collect::<Vec<bool>>();
    assert_eq!(has("/generationConfig/thinkingConfig"), [true, false, false]);
    assert_eq!(has("/systemInstruction"), [true, true, false]);
    world.once(refusal("Something else"));
    assert_eq!(ask(&provider).await.err().unwrap().failure, Failure::Rejected);
}

#[tokio::test]
async fn pictures_to_order() {
    let picture = |data: &str| json!([{"inlineData": {"mimeType": "image/png", "data": data}}]);
    let painted = |data: &str| Script::stream().gemini_words(&["Here"], Duration::ZERO).gemini_parts(&picture(data));
    let world = FakeProvider::start(painted("aGk=").gemini_end("STOP")).await;
    let provider = adapter(&base_url(&world));
    let order = ImageRequest {
        model: "gemini-2.5-flash-image".into(),
        prompt: "A lamp".into(),
        size: Some("1536x1024".into()),
        n: 3,
        ..ImageRequest::default()
    };
    let events = whole(soon("pictures", provider.image(order.clone())).await.unwrap()).await;
    let mut seen: Vec<(u32, &[u8])> = events
        .iter()
        .filter_map(|event| match event {
            Event::Image(piece) => Some((piece.index, &*piece.media.data)),
            _ => None,
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(0, &b"hi"[..]), (1, b"hi"), (2, b"hi")]);
    let usage = Usage { input_tokens: 21, output_tokens: 15, reasoning_tokens: Some(6), ..Usage::default() };
    let last_usage = events.iter().rev().find(|event| matches!(event, Event::Usage(_)));
    assert_eq!(last_usage, Some(&Event::Usage(Box::new(usage))));
    assert_eq!((events.last(), text(&events).as_str()), (Some(&Event::Finish(FinishReason::Stop)), ""));
    let request = &world.requests()[0];
    assert!(request.line.contains("/models/gemini-2.5-flash-image:streamGenerateContent"), "{}", request.line);
    let config = json!({"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "3:2"}});
    assert_eq!((&request.body["generationConfig"], world.requests().len()), (&config, 3));

    // Nobody waits for the others when one is refused, or when the whole is dropped.
    world.once(Script::default().stall());
    world.once(Script::gemini_error(429, "RESOURCE_EXHAUSTED", "Slow down", &json!([])));
    let two = ImageRequest { n: 2, ..order.clone() };
    let error = soon("a refusal", provider.image(two.clone())).await.err().unwrap();
    assert_eq!(error.failure, Failure::RateLimited);
    world.closed(3).await;
    world.times(2, &painted("aGk=").stall());
    let answer = soon("pictures", provider.image(two)).await.unwrap();
    let dropped_at = now();
    drop(answer);
    for number in [5, 6] {
        let took = world.closed(number).await.duration_since(dropped_at);
        assert!(took < CLOSE_MAX, "request {number}: {took:?}");
    }
    world.once(Script::gemini_answer(&["I only write"]));
    let (_, error) = listen(soon("words", provider.image(ImageRequest { n: 1, ..order })).await.unwrap()).await;
    assert!(error.as_ref().is_some_and(|error| error.message.contains("I only write")), "{error:?}");
}

#[tokio::test]
async fn the_models_by_their_bare_names() {
    let list = json!({"models": [{"name": "models/gemini-2.5-flash"}, {"name": "tunedModels/mine"}, {"name": "bare"}]});
    let world = FakeProvider::start(Script::status(200, &[], &list.to_string())).await;
    let provider = adapter(&base_url(&world));
    let names = soon("the list", provider.models()).await.unwrap();
    assert_eq!(names, ["gemini-2.5-flash", "tunedModels/mine", "bare"]);
    let request = world.request(0).await;
    assert_eq!(request.line, "GET /v1beta/models?pageSize=1000");
    assert_eq!(request.headers["x-goog-api-key"], "AIza-hunter2");
}

#[tokio::test]
async fn calls_have_ids_of_their_answer() {
    let calls = json!([{"functionCall": {"name": "a", "args": {}}}, {"functionCall": {"id": "own", "name": "b"}}]);
    let world = FakeProvider::start(Script::stream().gemini_parts(&calls).gemini_end("STOP")).await;
    let events = whole(ask(&adapter(&base_url(&world))).await.unwrap()).await;
    let ids: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::ToolCall(delta) => delta.id,
            _ => None,
        })
        .collect();
    assert_eq!(ids, [format!("call_{RESPONSE_ID}_0"), "own".into()]);
}
