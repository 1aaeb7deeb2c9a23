//! Ollama against a provider on a real socket: its own language, thinking by yes or no, and a model that is not there.

use std::sync::Arc;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::chat::{ChatRequest, Effort, Event, FinishReason, ImageRequest, Media, Message, Part, Role, Usage};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::net::https::Https;
use serde_json::json;

use crate::world::dialects::ollama::{begin, broken, done, line, models, refusal};
use crate::world::provider::{FakeProvider, MODEL, Script};
use crate::world::soon;

/// The row as it stands in the config: no key, and an address that may have a path too many.
fn adapter(world: &FakeProvider, path: &str) -> Arc<dyn Provider> {
    let base_url = format!("{}{path}", world.base_url().trim_end_matches("/v1"));
    let row = config::Provider { base_url, ..config::Provider::default() };
    llm::build(llm::Setup { name: ProviderName::Ollama, row: &row, key: None, client: Https::new() }).unwrap()
}

fn question() -> ChatRequest {
    let picture = Part::Image(Media { mime: "image/png".into(), data: "hi".into() });
    let mut message = Message::new(Role::User, "What is this?");
    message.parts.push(picture);
    ChatRequest { model: "qwen3".into(), messages: vec![message], ..ChatRequest::default() }
}

async fn ask(provider: &Arc<dyn Provider>, request: ChatRequest) -> Result<Answer, ProviderError> {
    soon("an answer or a refusal", provider.ask(request)).await
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
async fn a_whole_answer_from_every_spelling_of_the_address() {
    let script = line(line(begin(), json!({"content": "", "thinking": "hm"})), json!({"content": "A cat"}));
    let world = FakeProvider::start(done(script, "length")).await;
    for (number, path) in ["", "/", "/v1", "/api"].into_iter().enumerate() {
        let (events, error) = listen(ask(&adapter(&world, path), question()).await.unwrap()).await;
        assert_eq!(error, None);
        let want = [
            Event::Started { model: Some(MODEL.into()) },
            Event::Reasoning("hm".into()),
            Event::Text("A cat".into()),
            Event::Usage(Box::new(Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() })),
            Event::Finish(FinishReason::Length),
        ];
        assert_eq!(events, want);
        let request = world.request(number).await;
        assert_eq!(request.line, "POST /api/chat");
        assert!(!request.headers.contains_key("authorization"));
        assert_eq!(request.headers["accept"], "application/x-ndjson");
        let messages = json!([{"role": "user", "content": "What is this?", "images": ["aGk="]}]);
        assert_eq!(request.body, json!({"model": "qwen3", "messages": messages, "stream": true, "options": {}}));
    }
    world.once(models(&["qwen3:4b"]));
    assert_eq!(soon("a list", adapter(&world, "/v1").models()).await, Ok(vec!["qwen3:4b".to_owned()]));
    assert_eq!(world.request(4).await.line, "GET /api/tags");
}

#[tokio::test]
async fn a_model_that_does_not_think_is_asked_again_without() {
    let world = FakeProvider::start(done(line(begin(), json!({"content": "ok"})), "stop")).await;
    world.once(refusal(400, "\"qwen3\" does not support thinking"));
    let mut request = question();
    request.sampling.reasoning = Some(Effort::High);
    let (events, error) = listen(ask(&adapter(&world, ""), request).await.unwrap()).await;
    assert!(error.is_none() && events.contains(&Event::Text("ok".into())));
    let think: Vec<_> = world.requests().iter().map(|request| request.body.get("think").cloned()).collect();
    assert_eq!(think, [Some(json!(true)), None]);
}

#[tokio::test]
async fn refusals_and_errors_within() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world, "");
    for (script, failure, message) in [
        (
            refusal(404, "model 'qwen3' not found"),
            Failure::Rejected,
            "the model qwen3 is not there (HTTP 404). Get it with `ollama pull qwen3`, or choose another.",
        ),
        (
            refusal(400, "registry.ollama.ai/library/qwen3 does not support tools"),
            Failure::Unsupported,
            "registry.ollama.ai/library/qwen3 does not support tools (HTTP 400). Choose another model for this.",
        ),
        (
            refusal(500, "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"),
            Failure::Failed,
            "model requires more system memory (5.6 GiB) than is available (3.1 GiB) (HTTP 500)",
        ),
    ] {
        world.once(script);
        let error = ask(&provider, question()).await.err().unwrap();
        assert_eq!((error.failure, error.message.as_str()), (failure, message));
    }
    world.once(broken(line(begin(), json!({"content": "a"})), "llama runner process has terminated: exit status 2"));
    let (events, error) = listen(ask(&provider, question()).await.unwrap()).await;
    let error = error.expect("an error");
    assert_eq!(error.failure, Failure::Failed);
    assert_eq!(error.message, "llama runner process has terminated: exit status 2");
    assert!(events.contains(&Event::Text("a".into())), "what came before holds");
}

#[tokio::test]
async fn what_ollama_cannot_do_is_refused_before_it_is_asked() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world, "");
    let mut heard = question();
    heard.messages[0].parts.push(Part::Audio(Media { mime: "audio/wav".into(), data: "hi".into() }));
    assert_eq!(ask(&provider, heard).await.err().unwrap().failure, Failure::Unsupported);
    let painting = soon("a refusal", provider.image(ImageRequest::default())).await;
    assert_eq!(painting.err().unwrap().failure, Failure::Unsupported);
    assert_eq!(world.requests().len(), 0);
}
