//! What every adapter owes the router, whatever language it speaks: the same assertions for each row of the config that has
//! one, against a fake provider that speaks its dialect. A newcomer adds a row to `world::dialects::ALL`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Arrival, Provider};
use hearth::common::assembly::Assembly;
use hearth::common::chat::{ChatRequest, Event, FinishReason, Message, Part, Role, Tool, Usage};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::json;

use crate::world::dialects::{ALL, Dialect};
use crate::world::provider::{FakeProvider, Gate, MODEL, Script, now};
use crate::world::soon;

/// After an answer is dropped its connection is closed within this, on however busy a machine.
const CLOSE_MAX: Duration = Duration::from_millis(200);

const KEY_ENV: &str = "FAKE_API_KEY";

/// One row before one fake.
struct Case {
    what: String,
    dialect: &'static Dialect,
    world: FakeProvider,
    provider: Arc<dyn Provider>,
}

async fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dialect in ALL {
        for &name in dialect.rows {
            let world = FakeProvider::start(Script::default()).await;
            let provider = adapter(name, dialect, &world, Some("sk-hunter2-secret"));
            cases.push(Case { what: format!("{} as {}", dialect.name, name.as_str()), dialect, world, provider });
        }
    }
    cases
}

fn adapter(name: ProviderName, dialect: &Dialect, world: &FakeProvider, key: Option<&str>) -> Arc<dyn Provider> {
    let row = config::Provider { api_key_env: Some(KEY_ENV.to_owned()), ..dialect.row(name, world) };
    let setup = llm::Setup { name, row: &row, key: key.map(Secret::new), client: Https::new() };
    llm::build(setup).unwrap_or_else(|| panic!("{name:?} has no adapter"))
}

fn question() -> ChatRequest {
    let schema = json!({"type": "object", "properties": {"on": {"type": "boolean"}}});
    let tool = Tool { name: "lamp".into(), description: None, schema: schema.into(), strict: None };
    let messages = vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Say hello")];
    ChatRequest { model: "m".into(), messages, tools: vec![tool.into()], ..ChatRequest::default() }
}

async fn ask(case: &Case) -> Result<Answer, ProviderError> {
    soon("an answer or a refusal", case.provider.ask(question())).await
}

async fn next(answer: &mut Answer) -> Option<Result<Arrival, ProviderError>> {
    soon("the next event", answer.next()).await
}

/// Everything of an answer, and how it ended.
async fn listen(mut answer: Answer) -> (Vec<Event>, Option<ProviderError>) {
    let mut events = Vec::new();
    while let Some(item) = next(&mut answer).await {
        match item {
            Ok(arrival) => events.push(arrival.event),
            Err(error) => {
                assert!(next(&mut answer).await.is_none(), "something came after an error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

fn text(events: &[Event]) -> String {
    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assembly.whole_text()
}

#[test]
fn every_row_with_an_adapter_is_held_to_the_contract() {
    let held: Vec<ProviderName> = ALL.iter().flat_map(|dialect| dialect.rows.iter().copied()).collect();
    for (name, _) in llm::PROVIDERS {
        assert!(held.contains(name), "{name:?} stands in no row of world::dialects::ALL");
    }
}

#[tokio::test]
async fn text_arrives_in_pieces_as_soon_as_it_is_said() {
    for case in cases().await {
        let (what, dialect, gate) = (&case.what, case.dialect, Gate::new());
        let script = (dialect.word)((dialect.word)((dialect.begin)(), "Hel"), "lo").gate(&gate);
        case.world.once((dialect.end)((dialect.word)(script, " wörld")));
        let mut answer = ask(&case).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            if let Event::Text(piece) = next(&mut answer).await.unwrap().unwrap().event {
                heard.push(piece);
            }
        }
        assert_eq!(heard, ["Hel".into(), "lo".into()], "{what}: before the third word was said");
        gate.open();
        let (rest, error) = listen(answer).await;
        assert_eq!((text(&rest).as_str(), error), (" wörld", None), "{what}");
    }
}

#[tokio::test]
async fn model_usage_and_reason_are_told() {
    for case in cases().await {
        let (what, dialect) = (&case.what, case.dialect);
        case.world.once((dialect.end)((dialect.word)((dialect.begin)(), "Hello")));
        let (events, error) = listen(ask(&case).await.unwrap()).await;
        assert_eq!(error, None, "{what}");
        let model = Event::Started { model: Some(MODEL.into()) };
        assert!(events.contains(&model), "{what}: {events:?}");
        let usage = |event: &Event| if let Event::Usage(usage) = event { Some(**usage) } else { None };
        let counted: Usage = events.iter().rev().find_map(usage).unwrap_or_else(|| panic!("{what}: {events:?}"));
        assert_eq!((counted.input_tokens, counted.output_tokens), (7, 3), "{what}");
        let reasons: Vec<_> = events.iter().filter(|event| matches!(event, Event::Finish(_))).collect();
        assert_eq!(reasons, [&Event::Finish(FinishReason::Stop)], "{what}: once");
    }
}

#[tokio::test]
async fn a_call_of_a_tool_is_whole() {
    for case in cases().await {
        let (what, dialect) = (&case.what, case.dialect);
        case.world.once((dialect.end)((dialect.call)((dialect.begin)())));
        let (events, error) = listen(ask(&case).await.unwrap()).await;
        assert_eq!(error, None, "{what}");
        let mut assembly = Assembly::default();
        events.iter().for_each(|event| assembly.take(event));
        let message = assembly.into_message();
        let calls = message.parts.iter().filter_map(|part| match part.plain() {
            Some(Part::ToolCall(call)) => Some(call),
            _ => None,
        });
        let [call] = &calls.collect::<Vec<_>>()[..] else { panic!("{what}: {message:?}") };
        let arguments: serde_json::Value = serde_json::from_str(&call.arguments).expect("JSON");
        assert_eq!((call.name.as_str(), arguments), ("lamp", json!({"on": true})), "{what}");
        assert!(!call.id.is_empty(), "{what}: a result could not name its call");
    }
}

#[tokio::test]
async fn a_status_says_what_can_be_done() {
    for case in cases().await {
        for (status, failure) in [
            (400, Failure::Rejected),
            (401, Failure::Auth),
            (402, Failure::QuotaExhausted),
            (403, Failure::Auth),
            (404, Failure::Rejected),
            (408, Failure::Timeout),
            (413, Failure::TooLarge),
            (429, Failure::RateLimited),
            (500, Failure::Failed),
            (502, Failure::Failed),
            (503, Failure::Failed),
            (504, Failure::Timeout),
            (529, Failure::Failed),
        ] {
            case.world.once((case.dialect.error)(status, "It went wrong, sk-hunter2-secret"));
            let error = ask(&case).await.err().expect("a refusal");
            assert_eq!((error.failure, error.status), (failure, Some(status)), "{}: {error}", case.what);
            assert!(error.message.contains("It went wrong"), "{}: {error}", case.what);
            assert!(!error.message.contains("hunter2"), "{}: {error}", case.what);
        }
    }
}

#[tokio::test]
async fn half_an_answer_is_never_a_whole_one() {
    for case in cases().await {
        let dialect = case.dialect;
        let said = || (dialect.word)((dialect.begin)(), "half");
        for (how, script, heard) in [
            ("the end of the body", said().body_end(), "half"),
            ("FIN", said().hangup(), "half"),
            ("FIN within an event", said().chunk(b"{").hangup(), "half"),
            ("an empty body", (dialect.begin)().body_end(), ""),
        ] {
            case.world.once(script);
            let (events, error) = listen(ask(&case).await.unwrap()).await;
            let error = error.unwrap_or_else(|| panic!("{}: {how} was taken for a success", case.what));
            assert_eq!((text(&events).as_str(), error.failure), (heard, Failure::CutOff), "{}: {how}", case.what);
        }
    }
}

#[tokio::test]
async fn a_dropped_answer_closes_its_connection() {
    for case in cases().await {
        case.world.once((case.dialect.word)((case.dialect.begin)(), "a").stall());
        let mut answer = ask(&case).await.unwrap();
        while !next(&mut answer).await.unwrap().unwrap().event.is_content() {}
        let dropped_at = now();
        drop(answer);
        let took = case.world.closed(0).await.duration_since(dropped_at);
        assert!(took < CLOSE_MAX, "{}: {took:?}", case.what);

        case.world.once(Script::default().stall());
        let asking = tokio::spawn(case.provider.ask(question()));
        case.world.request(1).await;
        let dropped_at = now();
        asking.abort();
        let took = case.world.closed(1).await.duration_since(dropped_at);
        assert!(took < CLOSE_MAX, "{}, before the head: {took:?}", case.what);
    }
}

#[tokio::test]
async fn without_its_key_nobody_is_asked() {
    for case in cases().await {
        for &name in case.dialect.rows {
            let provider = adapter(name, case.dialect, &case.world, None);
            let error = soon("a refusal", provider.ask(question())).await.err().expect("a refusal");
            assert_eq!(error.failure, Failure::Auth, "{}", case.what);
            assert!(error.message.contains(KEY_ENV), "{}: {error}", case.what);
            let error = soon("a refusal", provider.models()).await.expect_err("a refusal");
            assert_eq!(error.failure, Failure::Auth, "{}", case.what);
        }
        assert_eq!(case.world.requests().len(), 0, "{}", case.what);
    }
}

#[tokio::test]
async fn models_are_listed_and_a_bad_key_shows() {
    for case in cases().await {
        let what = &case.what;
        case.world.once((case.dialect.models)(&["one", "two"]));
        let models = soon("a list", case.provider.models()).await;
        assert_eq!(models, Ok(vec!["one".to_owned(), "two".to_owned()]), "{what}");
        assert!(case.world.request(0).await.line.starts_with("GET /"), "{what}");
        case.world.once((case.dialect.error)(401, "No such key"));
        assert_eq!(soon("a list", case.provider.models()).await.unwrap_err().failure, Failure::Auth, "{what}");
    }
}

#[tokio::test]
async fn a_compressed_answer_that_nobody_asked_for_is_refused() {
    for case in cases().await {
        let headers = [("content-type", "text/event-stream"), ("content-encoding", "gzip")];
        case.world.once(Script::status(200, &headers, "\u{1f}\u{8b}packed"));
        let error = ask(&case).await.err().expect("a refusal");
        assert_eq!(error.failure, Failure::BadStream, "{}", case.what);
        assert!(error.message.contains("compressed (gzip)"), "{}: {error}", case.what);
    }
}
