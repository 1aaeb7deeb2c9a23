//! The Chat Completions adapter against a provider on a real socket: a whole answer, every fault, and how soon a
//! connection closes that nobody wants any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::chat::{ChatRequest, Event, FinishReason, Message, Role, Sampling, Usage};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::json;
use tokio::time::timeout;

use crate::world::provider::{FakeProvider, MODEL, Script, now};

const PATIENCE: Duration = Duration::from_secs(10);

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every timeout.
const CLOSE_MAX: Duration = Duration::from_millis(50);

/// A connection goes back to the pool a moment after its body has ended.
const BREATH: Duration = Duration::from_millis(20);

fn adapter(base_url: &str) -> Arc<dyn Provider> {
    let env = Some("FAKE_API_KEY".to_owned());
    let row = config::Provider { base_url: base_url.into(), api_key_env: env, ..config::Provider::default() };
    let key = Some(Secret::new("sk-hunter2-secret"));
    llm::build(llm::Setup { name: ProviderName::Local, row: &row, key, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest {
        model: "m".into(),
        messages: vec![Message::new(Role::User, "Say hello")],
        sampling: Sampling { temperature: Some(0.5), max_tokens: Some(9), ..Sampling::default() },
        ..ChatRequest::default()
    }
}

async fn ask(provider: &Arc<dyn Provider>) -> Result<Answer, ProviderError> {
    timeout(PATIENCE, provider.ask(question())).await.expect("an answer or a refusal in time")
}

/// Everything of an answer, and how it ended.
async fn listen(mut answer: Answer) -> (Vec<Event>, Option<ProviderError>) {
    let mut events = Vec::new();
    while let Some(item) = timeout(PATIENCE, answer.next()).await.expect("the next event in time") {
        match item {
            Ok(arrival) => events.push(arrival.event),
            Err(error) => {
                assert!(timeout(PATIENCE, answer.next()).await.unwrap().is_none(), "nothing comes after an error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

fn text(events: &[Event]) -> String {
    events.iter().filter_map(|event| if let Event::Text(text) = event { Some(&**text) } else { None }).collect()
}

#[tokio::test]
async fn a_whole_answer_and_a_warm_connection_for_the_next() {
    let world = FakeProvider::start(Script::answer(&["Hel", "lo", " wörld"])).await;
    let provider = adapter(&world.base_url());
    let (events, error) = listen(ask(&provider).await.unwrap()).await;
    assert_eq!(error, None);
    assert_eq!(events[0], Event::Started { model: Some(MODEL.into()) });
    assert_eq!(text(&events), "Hello wörld");
    let usage = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    assert_eq!(events[events.len() - 2..], [Event::Finish(FinishReason::Stop), Event::Usage(Box::new(usage))]);

    let request = world.request(0).await;
    assert_eq!(request.line, "POST /v1/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer sk-hunter2-secret");
    assert_eq!(request.headers["content-type"], "application/json");
    let want = json!({
        "model": "m", "messages": [{"role": "user", "content": "Say hello"}], "stream": true,
        "stream_options": {"include_usage": true}, "temperature": 0.5, "max_tokens": 9, "return_progress": true,
    });
    assert_eq!(request.body, want);

    // A body that ends a while after its answer keeps nobody waiting, and its connection is not thrown away.
    let pause = Duration::from_millis(100);
    world.once(Script::stream().words(&["b"], Duration::ZERO).done().wait(pause).body_end());
    tokio::time::sleep(BREATH).await;
    let asked_at = now();
    listen(ask(&provider).await.unwrap()).await;
    assert!(asked_at.elapsed() < pause, "the answer waited for the end of the body");
    tokio::time::sleep(pause + BREATH).await;
    listen(ask(&provider).await.unwrap()).await;
    let connections = [world.request(1).await.connection, world.request(2).await.connection];
    assert_eq!(connections, [0, 0], "the connection was kept");
}

#[tokio::test]
async fn a_connection_closes_at_once_when_the_answer_is_dropped() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world.base_url());

    // Before the head.
    world.once(Script::default().stall());
    let asking = tokio::spawn(provider.ask(question()));
    world.request(0).await;
    let dropped_at = now();
    asking.abort();
    let took = world.closed(0).await.duration_since(dropped_at);
    assert!(took < CLOSE_MAX, "before the head: {took:?}");

    // Before the first token, then in the midst of the words.
    for (number, script) in [(1, Script::stream().stall()), (2, Script::stream().words(&["a"], Duration::ZERO).stall())]
    {
        world.once(script);
        let mut answer = ask(&provider).await.unwrap();
        if number == 2 {
            while !timeout(PATIENCE, answer.next()).await.unwrap().unwrap().unwrap().event.is_content() {}
        } else {
            assert!(timeout(Duration::from_millis(20), answer.next()).await.is_err(), "nothing was said yet");
        }
        let dropped_at = now();
        drop(answer);
        let took = world.closed(number).await.duration_since(dropped_at);
        assert!(took < CLOSE_MAX, "request {number}: {took:?}");
    }
}

#[tokio::test]
async fn words_arrive_when_they_are_sent() {
    let pause = Duration::from_millis(40);
    let world = FakeProvider::start(Script::stream().words(&["a", "b", "c"], pause).end()).await;
    let mut answer = ask(&adapter(&world.base_url())).await.unwrap();
    let mut heard_at = Vec::new();
    while let Some(arrival) = timeout(PATIENCE, answer.next()).await.unwrap() {
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
    let provider = adapter(&world.base_url());
    let words = || Script::stream().words(&["a", "b"], Duration::ZERO);
    let overloaded = r#"{"error":{"message":"Overloaded","type":"server_error"}}"#;
    for (what, script, said, failure) in [
        ("FIN without the end of the body", words().hangup(), "ab", Failure::CutOff),
        ("RST", words().wait(Duration::from_millis(20)).reset(), "ab", Failure::CutOff),
        ("the end of the body without the end of the answer", words().body_end(), "ab", Failure::CutOff),
        ("an empty body", Script::stream().body_end(), "", Failure::CutOff),
        ("an empty body with a length", Script::status(200, &[], ""), "", Failure::CutOff),
        ("an error event", words().sse(overloaded).stall(), "ab", Failure::Failed),
        ("bad JSON", words().sse("{\"choices\":").stall(), "ab", Failure::BadStream),
        (
            "HTML with 200",
            Script::status(200, &[("content-type", "text/html")], "<title>Log in</title>"),
            "",
            Failure::BadStream,
        ),
        ("an error with 200", Script::error(200, "server_error", "Overloaded", &[]), "", Failure::Failed),
    ] {
        world.once(script);
        let (events, error) = listen(ask(&provider).await.unwrap()).await;
        let error = error.unwrap_or_else(|| panic!("{what} was taken for a success"));
        assert_eq!((text(&events).as_str(), error.failure), (said, failure), "{what}: {error}");
    }
    let after_the_reason = words().event(&json!({}), json!("length"));
    for (what, script) in
        [("FIN", after_the_reason.clone().hangup()), ("an end without [DONE]", after_the_reason.body_end())]
    {
        world.once(script);
        let (events, error) = listen(ask(&provider).await.unwrap()).await;
        assert_eq!((text(&events).as_str(), error), ("ab", None), "{what} after a finish_reason");
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world.base_url());
    let html = [("content-type", "text/html")];
    for (script, failure, status, wait, message) in [
        (
            Script::error(401, "invalid_api_key", "Incorrect API key provided: sk-hunt***cret.", &[]),
            Failure::Auth,
            401,
            None,
            "Incorrect API key provided: [key] (HTTP 401). Check the key in FAKE_API_KEY.",
        ),
        (
            Script::error(402, "", "Payment required", &[]),
            Failure::QuotaExhausted,
            402,
            None,
            "Payment required (HTTP 402). The account has no credit left: add some, or choose another provider.",
        ),
        (
            Script::error(429, "rate_limit_exceeded", "Slow down", &[("retry-after", "2"), ("retry-after-ms", "1500")]),
            Failure::RateLimited,
            429,
            Some(1500),
            "Slow down (HTTP 429). Try again later, or choose another model.",
        ),
        (
            Script::error(429, "insufficient_quota", "You exceeded your current quota", &[("retry-after", "2")]),
            Failure::QuotaExhausted,
            429,
            Some(2000),
            "You exceeded your current quota (HTTP 429). The account has no credit left: add some, or choose another provider.",
        ),
        (Script::status(500, &[], ""), Failure::Failed, 500, None, "Internal Server Error (HTTP 500)"),
        (
            Script::status(502, &html, "<html><title>502 Bad Gateway</title><body>x</body></html>"),
            Failure::Failed,
            502,
            None,
            "502 Bad Gateway (HTTP 502)",
        ),
        (
            Script::error(503, "unavailable_error", "Loading model", &[]),
            Failure::Failed,
            503,
            Some(1000),
            "Loading model (HTTP 503). The model is being loaded into memory: it will answer in a moment.",
        ),
    ] {
        world.once(script);
        let error = ask(&provider).await.err().expect("a refusal");
        assert_eq!((error.failure, error.status, error.message.as_str()), (failure, Some(status), message));
        assert_eq!(error.retry_after, wait.map(Duration::from_millis));
    }
}

#[tokio::test]
async fn a_server_that_fails_and_recovers_is_asked_as_often_as_the_caller_asks() {
    let world = FakeProvider::start(Script::answer(&["ok"])).await;
    world.times(2, &Script::error(500, "server_error", "It broke", &[]));
    let provider = adapter(&world.base_url());
    for _ in 0..2 {
        assert_eq!(ask(&provider).await.err().unwrap().failure, Failure::Failed);
    }
    assert_eq!(text(&listen(ask(&provider).await.unwrap()).await.0), "ok");
    assert_eq!(world.requests().len(), 3, "the adapter repeats nothing by itself");
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_and_the_answer_comes() {
    let world = FakeProvider::start(Script::answer(&["ok"])).await;
    let body = r#"{"error":{"message":"Unsupported value","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#;
    world.once(Script::status(400, &[], body));
    let (events, error) = listen(ask(&adapter(&world.base_url())).await.unwrap()).await;
    assert_eq!((text(&events).as_str(), error), ("ok", None));
    let bodies: Vec<bool> = world.requests().iter().map(|request| request.body.get("temperature").is_some()).collect();
    assert_eq!(bodies, [true, false]);
    world.times(2, &Script::status(400, &[], body));
    assert_eq!(ask(&adapter(&world.base_url())).await.err().unwrap().failure, Failure::Rejected, "once is enough");
}

#[tokio::test]
async fn nobody_there() {
    let world = FakeProvider::start(Script::default().hangup()).await;
    let provider = adapter(&world.base_url());
    assert_eq!(ask(&provider).await.err().unwrap().failure, Failure::CutOff, "closed before the head");
    let base_url = world.base_url();
    drop(world);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let error = ask(&provider).await.err().unwrap();
    assert_eq!(error.failure, Failure::Unreachable);
    let place = base_url.trim_start_matches("http://").trim_end_matches("/v1");
    assert_eq!(error.message, format!("{place}: nobody listens there. Is the server running?"));
}

#[test]
fn a_row_without_an_adapter_is_none() {
    let row = config::Provider::default();
    for name in ProviderName::ALL {
        let built = llm::build(llm::Setup { name, row: &row, key: None, client: Https::new() }).is_some();
        assert_eq!(built, llm::PROVIDERS.iter().any(|(adapter, _)| *adapter == name), "{name:?}");
    }
}
