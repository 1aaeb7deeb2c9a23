//! The Responses adapter against a provider on a real socket: a whole answer, what goes back with the next question, faults,
//! and how soon a connection closes that nobody wants any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::assembly::Assembly;
use hearth::common::chat::{ChatRequest, Event, FinishReason, Message, Role, Sampling, Usage};
use hearth::common::config::{self, Api, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::json;
use tokio::time::timeout;

use crate::world::dialects::responses::{self, Answer as Fake};
use crate::world::provider::{FakeProvider, MODEL, Script, now};

const PATIENCE: Duration = Duration::from_secs(10);

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every timeout.
const CLOSE_MAX: Duration = Duration::from_millis(50);

fn adapter(name: ProviderName, base_url: &str) -> Arc<dyn Provider> {
    let row = config::Provider {
        base_url: base_url.into(),
        api_key_env: Some("FAKE_API_KEY".to_owned()),
        api: Some(Api::Responses),
        ..config::Provider::default()
    };
    let key = Some(Secret::new("sk-hunter2-secret"));
    llm::build(llm::Setup { name, row: &row, key, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest {
        model: "m".into(),
        messages: vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Say hello")],
        sampling: Sampling { temperature: Some(0.5), max_tokens: Some(9), ..Sampling::default() },
        ..ChatRequest::default()
    }
}

async fn ask(provider: &Arc<dyn Provider>, question: ChatRequest) -> Result<Answer, ProviderError> {
    timeout(PATIENCE, provider.ask(question)).await.expect("an answer or a refusal in time")
}

/// Everything of an answer, and how it ended.
async fn listen(mut answer: Answer) -> (Vec<Event>, Option<ProviderError>) {
    let mut events = Vec::new();
    while let Some(item) = timeout(PATIENCE, answer.next()).await.expect("the next event in time") {
        match item {
            Ok(arrival) => events.push(arrival.event),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

fn text(events: &[Event]) -> String {
    events.iter().filter_map(|event| if let Event::Text(text) = event { Some(&**text) } else { None }).collect()
}

#[tokio::test]
async fn a_whole_answer_from_either_row() {
    for name in [ProviderName::Openai, ProviderName::Local] {
        let world = FakeProvider::start(responses::answer(&["Hel", "lo", " wörld"])).await;
        let (events, error) = listen(ask(&adapter(name, &world.base_url()), question()).await.unwrap()).await;
        assert_eq!(error, None);
        assert_eq!(events[0], Event::Started { model: Some(MODEL.into()) });
        assert_eq!(text(&events), "Hello wörld");
        let usage = Usage {
            input_tokens: 7,
            output_tokens: 3,
            cached_tokens: Some(0),
            cache_write_tokens: Some(0),
            reasoning_tokens: Some(0),
            cost_usd: None,
        };
        assert_eq!(events[events.len() - 2..], [Event::Usage(Box::new(usage)), Event::Finish(FinishReason::Stop)]);

        let request = world.request(0).await;
        assert_eq!(request.line, "POST /v1/responses");
        assert_eq!(request.headers["authorization"], "Bearer sk-hunter2-secret");
        let want = json!({
            "model": "m", "instructions": "Be brief.", "stream": true, "store": false,
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello"}]}],
            "include": ["reasoning.encrypted_content"], "temperature": 0.5, "max_output_tokens": 9,
        });
        assert_eq!(request.body, want);
    }
}

#[tokio::test]
async fn what_was_thought_painted_and_called_goes_back_in_its_order() {
    let script = Fake::begin()
        .thoughts(&["Hm", "…"], "gAA=")
        .picture(&[b"half"], b"whole")
        .words(&["Wait"], Duration::ZERO)
        .call("call_1", "light", &["{\"on\"", ":true}"])
        .end();
    let world = FakeProvider::start(script).await;
    let provider = adapter(ProviderName::Openai, &world.base_url());
    let (events, error) = listen(ask(&provider, question()).await.unwrap()).await;
    assert_eq!(error, None);
    assert_eq!(events.last(), Some(&Event::Finish(FinishReason::ToolCalls)));
    let pictures: Vec<_> = events
        .iter()
        .filter_map(
            |event| if let Event::Image(piece) = event { Some((piece.partial, &*piece.media.data)) } else { None },
        )
        .collect();
    assert_eq!(pictures, [(Some(0), &b"half"[..]), (None, &b"whole"[..])]);

    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assert_eq!(assembly.reasoning, "Hm…");
    let mut next = question();
    next.messages.push(assembly.into_message());
    listen(ask(&provider, next).await.unwrap()).await;
    let input = world.request(1).await.body["input"].clone();
    let want = json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm…"}], "encrypted_content": "gAA="},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "png", "result": "d2hvbGU="},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait"}]},
        {"type": "function_call", "call_id": "call_1", "name": "light", "arguments": "{\"on\":true}"},
    ]);
    assert_eq!(input.as_array().unwrap()[1..], *want.as_array().unwrap());
}

#[tokio::test]
async fn a_connection_closes_at_once_when_the_answer_is_dropped() {
    let world = FakeProvider::start(Fake::begin().script().stall()).await;
    let provider = adapter(ProviderName::Openai, &world.base_url());
    let mut answer = ask(&provider, question()).await.unwrap();
    let first = timeout(PATIENCE, answer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.event, Event::Started { model: Some(MODEL.into()) }, "it is heard at once");
    let dropped_at = now();
    drop(answer);
    let took = world.closed(0).await.duration_since(dropped_at);
    assert!(took < CLOSE_MAX, "{took:?}");
}

#[tokio::test]
async fn the_answer_does_not_wait_for_the_end_of_the_body() {
    let pause = Duration::from_millis(200);
    let script = Fake::begin().words(&["a", "b"], Duration::from_millis(40)).completed().script();
    let world = FakeProvider::start(script.wait(pause).body_end()).await;
    let mut answer = ask(&adapter(ProviderName::Local, &world.base_url()), question()).await.unwrap();
    let (mut heard_at, mut ended_at) = (Vec::new(), now());
    while let Some(arrival) = timeout(PATIENCE, answer.next()).await.unwrap() {
        let arrival = arrival.unwrap();
        ended_at = arrival.received_at;
        if arrival.event.is_content() {
            heard_at.push(arrival.received_at);
        }
    }
    assert!(heard_at[1] - heard_at[0] >= Duration::from_millis(20), "held back: {heard_at:?}");
    assert!(ended_at.elapsed() < pause, "the answer waited for the end of the body");
}

#[tokio::test]
async fn streams_that_break() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(ProviderName::Openai, &world.base_url());
    let words = || Fake::begin().words(&["a", "b"], Duration::ZERO);
    for (what, script, said, failure) in [
        ("FIN without the end", words().script().hangup(), "ab", Failure::CutOff),
        ("RST", words().script().wait(Duration::from_millis(20)).reset(), "ab", Failure::CutOff),
        ("the end of the body alone", words().script().body_end(), "ab", Failure::CutOff),
        ("[DONE] alone", words().script().sse("[DONE]").stall(), "ab", Failure::CutOff),
        ("an empty body", Script::stream().body_end(), "", Failure::CutOff),
        (
            "an error event",
            words()
                .event("error", json!({"code": "server_error", "message": "It broke", "param": null}))
                .script()
                .stall(),
            "ab",
            Failure::Failed,
        ),
        (
            "a failed response",
            words().failed("rate_limit_exceeded", "Slow").script().stall(),
            "ab",
            Failure::RateLimited,
        ),
        ("bad JSON", words().script().sse("{\"type\":").stall(), "ab", Failure::BadStream),
        ("chunks of Chat Completions", Script::answer(&["a"]), "", Failure::BadStream),
        ("an error with 200", Script::error(200, "server_error", "Overloaded", &[]), "", Failure::Failed),
    ] {
        world.once(script);
        let (events, error) = listen(ask(&provider, question()).await.unwrap()).await;
        let error = error.unwrap_or_else(|| panic!("{what} was taken for a success"));
        assert_eq!((text(&events).as_str(), error.failure), (said, failure), "{what}: {error}");
    }
    world.once(words().incomplete("max_output_tokens").script().hangup());
    let (events, error) = listen(ask(&provider, question()).await.unwrap()).await;
    assert_eq!((events.last(), error), (Some(&Event::Finish(FinishReason::Length)), None));
}

#[tokio::test]
async fn what_a_server_does_not_know_is_left_out_and_the_answer_comes() {
    let world = FakeProvider::start(responses::answer(&["ok"])).await;
    let refuse = |message: &str, param: &str| {
        let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": param}});
        Script::status(400, &[], &error.to_string())
    };
    world.once(refuse("Encrypted content is not supported with this model.", "include"));
    world.once(refuse("Unknown parameter: 'store'.", "store"));
    let provider = adapter(ProviderName::Local, &world.base_url());
    let (events, error) = listen(ask(&provider, question()).await.unwrap()).await;
    assert_eq!((text(&events).as_str(), error), ("ok", None));
    let has =
        |field: &str| world.requests().iter().map(|request| request.body.get(field).is_some()).collect::<Vec<_>>();
    assert_eq!((has("include"), has("store")), (vec![true, false, false], vec![true, true, false]));

    world.once(refuse("The requested model 'm' does not exist.", "model"));
    let error = ask(&provider, question()).await.err().expect("a refusal");
    assert_eq!((error.failure, error.status), (Failure::Rejected, Some(400)));
    world.once(Script::error(401, "invalid_api_key", "Incorrect API key provided: sk-hunt***cret.", &[]));
    let error = ask(&provider, question()).await.err().expect("a refusal");
    assert_eq!(error.message, "Incorrect API key provided: [key] (HTTP 401). Check the key in FAKE_API_KEY.");
}
