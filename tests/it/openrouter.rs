//! OpenRouter against a provider on a real socket: who asks, what it cost, pictures, and its own ways to fail.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Answer, Provider};
use hearth::common::assembly::Assembly;
use hearth::common::chat::{ChatRequest, Effort, Event, FinishReason, ImageRequest, Message, Part, Role, Usage};
use hearth::common::config::{self, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::common::secret::Secret;
use hearth::net::https::Https;
use serde_json::{Value, json};

use crate::world::dialects::openrouter::{broken, delta, done, processing, refusal, usage};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

/// One white pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

fn adapter(world: &FakeProvider) -> Arc<dyn Provider> {
    let (base_url, image_model) = (world.base_url(), Some("flux".to_owned()));
    let row = config::Provider { base_url, image_model, ..config::Provider::default() };
    let key = Some(Secret::new("sk-or-hunter2"));
    llm::build(llm::Setup { name: ProviderName::Openrouter, row: &row, key, client: Https::new() }).unwrap()
}

fn question(model: &str) -> ChatRequest {
    let messages = vec![Message::new(Role::User, "Say hello")];
    ChatRequest { model: model.into(), messages, images: true, ..ChatRequest::default() }
}

fn painting(n: u32) -> ImageRequest {
    ImageRequest {
        model: "flux".into(),
        prompt: "A cat".into(),
        size: Some("1536x1024".into()),
        n,
        ..ImageRequest::default()
    }
}

async fn listen(answer: Result<Answer, ProviderError>) -> (Vec<Event>, Option<ProviderError>) {
    let (mut answer, mut events) = (answer.unwrap(), Vec::new());
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

fn picture(script: Script) -> Script {
    let url = format!("data:image/png;base64,{PNG}");
    delta(script, &json!({"content": "", "images": [{"type": "image_url", "index": 0, "image_url": {"url": url}}]}))
}

#[tokio::test]
async fn an_answer_with_its_price_and_thoughts_that_go_back() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world);
    let detail = |fields: &str| serde_json::from_str::<Value>(fields).unwrap();
    let script = processing(processing(Script::stream()));
    let first = detail(r#"{"type":"reasoning.text","text":"h","format":"anthropic-claude-v1","index":0}"#);
    let second = detail(r#"{"type":"reasoning.text","text":"m","signature":"c2ln","index":0}"#);
    let script = delta(script, &json!({"reasoning": "h", "reasoning_details": [first]}));
    let script = delta(script, &json!({"reasoning": "m", "reasoning_details": [second]}));
    world.once(done(delta(script, &json!({"content": "Hello"})), &usage(0.25)));
    let mut request = question("m");
    request.sampling.reasoning = Some(Effort::High);
    let (events, error) = listen(soon("an answer", provider.ask(request)).await).await;
    assert_eq!(error, None);
    assert_eq!(events[0], Event::Started { model: None }, "a comment is a sign of life");
    let spent = Usage {
        input_tokens: 7,
        output_tokens: 3,
        cached_tokens: Some(2),
        cache_write_tokens: Some(1),
        reasoning_tokens: Some(0),
        cost_usd: Some(0.25),
    };
    assert_eq!(events[events.len() - 2..], [Event::Finish(FinishReason::Stop), Event::Usage(Box::new(spent))]);
    let asked = world.request(0).await;
    assert_eq!(asked.line, "POST /v1/chat/completions");
    let headers = ["authorization", "x-title", "http-referer"].map(|name| asked.headers[name].as_str());
    assert_eq!(headers, ["Bearer sk-or-hunter2", "Hearth", "http://hearth.local"]);
    let want = json!({"model": "m", "messages": [{"role": "user", "content": "Say hello"}], "stream": true,
        "usage": {"include": true}, "reasoning": {"effort": "high"}});
    assert_eq!(asked.body, want, "a model that does not paint is not asked to");

    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    let mut request = question("m");
    request.messages.push(assembly.into_message());
    world.once(done(Script::stream(), &usage(0.0)));
    listen(soon("an answer", provider.ask(request)).await).await;
    let back = json!({"role": "assistant", "content": "Hello", "reasoning_details": [
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "signature": "c2ln", "index": 0}]});
    assert_eq!(world.request(1).await.body["messages"][1], back);
}

#[tokio::test]
async fn life_is_seen_while_the_provider_behind_is_silent() {
    let pause = Duration::from_millis(20);
    let waiting = (0..3).fold(Script::stream(), |script, _| processing(script).wait(pause));
    let world = FakeProvider::start(waiting.stall()).await;
    let mut answer = soon("an answer", adapter(&world).ask(question("m"))).await.unwrap();
    for _ in 0..3 {
        let event = soon("a sign of life", answer.next()).await.unwrap().unwrap().event;
        assert_eq!(event, Event::Started { model: None });
    }
}

#[tokio::test]
async fn errors_in_mid_stream_name_who_failed() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world);
    let said = || delta(processing(Script::stream()), &json!({"content": "Hel"}));
    for (error, failure, message) in [
        (json!({"code": "server_error", "message": "Provider disconnected"}), Failure::Failed, "Provider disconnected"),
        (
            json!({"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "Azure", "raw": "{\"error\":{\"message\":\"out of memory\"}}"}}),
            Failure::Failed,
            "Provider returned error: out of memory",
        ),
        (
            json!({"code": 429, "message": "Rate limited", "metadata": {"provider_name": "Azure"}}),
            Failure::RateLimited,
            "Rate limited (from Azure). Try again later, or choose another model.",
        ),
    ] {
        world.once(broken(said(), &error).stall());
        let (events, ended) = listen(soon("an answer", provider.ask(question("m"))).await).await;
        let ended = ended.expect("an error");
        assert_eq!((ended.failure, ended.message.as_str()), (failure, message));
        assert!(events.contains(&Event::Text("Hel".into())), "what came before holds");
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world);
    let flagged = json!({"reasons": ["violence"], "flagged_input": "x", "provider_name": "OpenAI", "model_slug": "m"});
    let limited = json!({"headers": {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1784111779000"}});
    for (script, failure, wait_s, message) in [
        (
            refusal(402, "This request requires more credits, or fewer max_tokens", &Value::Null),
            Failure::QuotaExhausted,
            None,
            "This request requires more credits, or fewer max_tokens (HTTP 402). The account has no credit left: add some, or choose another provider.",
        ),
        (
            refusal(403, "Your input was flagged", &flagged),
            Failure::Rejected,
            None,
            "Your input was flagged (violence) (HTTP 403)",
        ),
        (refusal(408, "Timed out", &Value::Null), Failure::Timeout, None, "Timed out (HTTP 408)"),
        (
            refusal(429, "Rate limit exceeded: free-models-per-min", &limited),
            Failure::RateLimited,
            Some(19),
            "Rate limit exceeded: free-models-per-min (HTTP 429). Try again later, or choose another model.",
        ),
        (
            refusal(502, "Provider returned error", &json!({"provider_name": "Azure"})),
            Failure::Failed,
            None,
            "Provider returned error (from Azure) (HTTP 502)",
        ),
        (
            refusal(404, "No endpoints found that support image input", &Value::Null),
            Failure::Unsupported,
            None,
            "No endpoints found that support image input (HTTP 404). Choose another model for this.",
        ),
    ] {
        world.once(script);
        let error = soon("a refusal", provider.ask(question("m"))).await.err().unwrap();
        assert_eq!((error.failure, error.message.as_str()), (failure, message));
        assert_eq!(error.retry_after, wait_s.map(Duration::from_secs), "{message}");
    }
}

#[tokio::test]
async fn pictures_come_one_after_the_other_and_cost_what_all_cost() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(&world);
    let text_refused = "No endpoints found that support the requested output modalities: image, text";
    world.once(refusal(404, text_refused, &Value::Null));
    world.once(done(picture(processing(Script::stream())), &usage(0.25)));
    world.once(refusal(404, text_refused, &Value::Null));
    world.once(done(picture(delta(Script::stream(), &json!({"content": "Here"}))), &usage(0.5)));
    let (events, error) = listen(soon("an answer", provider.image(painting(2))).await).await;
    assert_eq!(error, None);
    let pictures: Vec<_> =
        events.iter().filter_map(|event| if let Event::Image(piece) = event { Some(piece) } else { None }).collect();
    assert_eq!(pictures.iter().map(|piece| piece.index).collect::<Vec<_>>(), [0, 1]);
    assert!(pictures.iter().all(|piece| &*piece.media.mime == "image/png" && piece.media.data.starts_with(b"\x89PNG")));
    assert!(!events.iter().any(|event| matches!(event, Event::Text(_))), "nobody asked for words");
    let Some(Event::Usage(spent)) = events.iter().rev().find(|event| matches!(event, Event::Usage(_))) else {
        panic!("{events:?}")
    };
    assert_eq!((spent.input_tokens, spent.output_tokens, spent.cost_usd), (14, 6, Some(0.75)));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Finish(_))).count(), 1);
    let modalities: Vec<Value> = world.requests().iter().map(|request| request.body["modalities"].clone()).collect();
    assert_eq!(modalities, [json!(["image", "text"]), json!(["image"]), json!(["image", "text"]), json!(["image"])]);
    let body = world.request(0).await.body;
    assert_eq!(
        (&body["image_config"], &body["messages"][0]["content"]),
        (&json!({"aspect_ratio": "3:2"}), &json!("A cat"))
    );
}

#[tokio::test]
async fn an_answer_without_a_picture_is_no_success() {
    let world = FakeProvider::start(Script::default()).await;
    world.once(done(delta(Script::stream(), &json!({"content": "I cannot paint."})), &usage(0.25)));
    let (_, error) = listen(soon("an answer", adapter(&world).image(painting(1))).await).await;
    let error = error.expect("an error");
    assert_eq!(error.failure, Failure::Rejected);
    assert!(error.message.contains("I cannot paint"), "{error}");
    let odd = ImageRequest { size: Some("7:5".into()), ..painting(1) };
    assert_eq!(soon("a refusal", adapter(&world).image(odd)).await.err().unwrap().failure, Failure::Unsupported);
    assert_eq!(world.requests().len(), 1, "a shape that nobody makes is not asked for");
}

#[tokio::test]
async fn a_painter_is_asked_for_pictures_in_a_chat() {
    let world = FakeProvider::start(done(picture(Script::stream()), &usage(0.25))).await;
    let (events, error) = listen(soon("an answer", adapter(&world).ask(question("google/gemini-image"))).await).await;
    assert_eq!(error, None);
    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assert!(matches!(assembly.into_message().parts[..], [Part::Image(_)]), "{events:?}");
    assert_eq!(world.request(0).await.body["modalities"], json!(["image", "text"]));
}
