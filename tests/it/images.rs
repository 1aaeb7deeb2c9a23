//! Pictures of the `openai` and `local` rows, from a provider on a real socket: previews and wholes, models that do not stream,
//! refusals, and rows that do not paint.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::adapters::llm::{self, Provider};
use hearth::common::chat::{Event, FinishReason, ImageRequest, Usage};
use hearth::common::config::{self, Api, ProviderName};
use hearth::common::error::{Failure, ProviderError};
use hearth::net::https::Https;
use serde_json::json;
use tokio::time::timeout;

use crate::world::dialects::images;
use crate::world::provider::{FakeProvider, Script};

const PATIENCE: Duration = Duration::from_secs(10);

fn adapter(api: Api, image_model: Option<&str>, base_url: &str) -> Arc<dyn Provider> {
    let row = config::Provider {
        base_url: base_url.into(),
        api: Some(api),
        image_model: image_model.map(Into::into),
        ..config::Provider::default()
    };
    llm::build(llm::Setup { name: ProviderName::Openai, row: &row, key: None, client: Https::new() }).unwrap()
}

fn wish() -> ImageRequest {
    ImageRequest { prompt: "a cat".into(), n: 1, partial_images: 2, ..ImageRequest::default() }
}

/// The pictures (which, which preview, their bytes), what else was said, and how it ended.
type Painted = (Vec<(u32, Option<u32>, Vec<u8>)>, Vec<Event>, Option<ProviderError>);

async fn paint(provider: &Arc<dyn Provider>, wish: ImageRequest) -> Painted {
    let mut answer = match timeout(PATIENCE, provider.image(wish)).await.expect("an answer in time") {
        Ok(answer) => answer,
        Err(error) => return (Vec::new(), Vec::new(), Some(error)),
    };
    let (mut pictures, mut rest) = (Vec::new(), Vec::new());
    while let Some(item) = timeout(PATIENCE, answer.next()).await.expect("the next event in time") {
        match item.map(|arrival| arrival.event) {
            Ok(Event::Image(piece)) => pictures.push((piece.index, piece.partial, piece.media.data.to_vec())),
            Ok(Event::Started { .. }) => {}
            Ok(event) => rest.push(event),
            Err(error) => return (pictures, rest, Some(error)),
        }
    }
    (pictures, rest, None)
}

const STOP: Event = Event::Finish(FinishReason::Stop);

#[tokio::test]
async fn previews_and_the_picture_whichever_way_the_row_chats() {
    for api in [Api::Chat, Api::Responses] {
        let world = FakeProvider::start(images::stream(&[b"one", b"two"], b"whole")).await;
        let provider = adapter(api, Some("gpt-image-1"), &world.base_url());
        let ask = ImageRequest { size: Some("16:9".into()), quality: Some("low".into()), ..wish() };
        let (pictures, rest, error) = paint(&provider, ask).await;
        assert_eq!(error, None);
        let want = [(0, Some(0), b"one".to_vec()), (0, Some(1), b"two".to_vec()), (0, None, b"whole".to_vec())];
        assert_eq!(pictures, want);
        let usage = Usage { input_tokens: 7, output_tokens: 272, ..Usage::default() };
        assert_eq!(rest, [Event::Usage(Box::new(usage)), STOP]);
        let request = world.request(0).await;
        assert_eq!(request.line, "POST /v1/images/generations");
        let want = json!({"model": "gpt-image-1", "prompt": "a cat", "size": "1536x1024", "quality": "low",
            "stream": true, "partial_images": 2});
        assert_eq!(request.body, want);
    }
}

#[tokio::test]
async fn several_pictures_come_in_one_document() {
    let world = FakeProvider::start(images::document(&[b"first", b"second"])).await;
    let provider = adapter(Api::Chat, Some("gpt-image-1"), &world.base_url());
    let (pictures, _, error) = paint(&provider, ImageRequest { n: 2, model: "gpt-image-2".into(), ..wish() }).await;
    assert_eq!((pictures.len(), error), (2, None));
    assert_eq!(pictures[1], (1, None, b"second".to_vec()));
    let want = json!({"model": "gpt-image-2", "prompt": "a cat", "n": 2});
    assert_eq!(world.request(0).await.body, want, "OpenAI streams one picture at a time");
}

#[tokio::test]
async fn a_model_by_another_name_and_a_server_that_does_not_stream() {
    let world = FakeProvider::start(images::document(&[b"whole"])).await;
    let refuse = |param: &str| {
        let error = json!({"error": {"message": format!("Unknown parameter: '{param}'."), "param": param}});
        Script::status(400, &[], &error.to_string())
    };
    world.once(refuse("response_format"));
    world.once(refuse("stream"));
    let (pictures, rest, error) = paint(&adapter(Api::Chat, Some("my-deployment"), &world.base_url()), wish()).await;
    assert_eq!((pictures.len(), rest.last(), error), (1, Some(&STOP), None));
    let sent = world.requests();
    assert_eq!(sent[0].body["response_format"], "b64_json");
    assert_eq!((&sent[1].body["stream"], sent[1].body.get("response_format")), (&json!(true), None));
    assert_eq!(sent[2].body, json!({"model": "my-deployment", "prompt": "a cat"}));
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let provider = adapter(Api::Chat, Some("gpt-image-1"), &world.base_url());
    let blocked =
        r#"{"error":{"message":"Your request was rejected by the safety system.","code":"moderation_blocked"}}"#;
    let url = r#"{"created":1,"data":[{"url":"https://x.example/1.png"}]}"#;
    for (what, script, previews, failure) in [
        ("moderation", Script::status(400, &[], blocked), 0, Failure::Rejected),
        ("an address", Script::status(200, &[], url), 0, Failure::Unsupported),
        ("FIN after the previews", images::begun(&[b"one"]).hangup(), 1, Failure::CutOff),
        ("an end after the previews", images::begun(&[b"one", b"two"]).body_end(), 2, Failure::CutOff),
        (
            "an error after the previews",
            images::begun(&[b"one"]).sse(r#"{"type":"error","error":{"message":"It broke"}}"#).stall(),
            1,
            Failure::Failed,
        ),
    ] {
        world.once(script);
        let (pictures, rest, error) = paint(&provider, wish()).await;
        let error = error.unwrap_or_else(|| panic!("{what} was taken for a success"));
        assert_eq!((pictures.len(), rest, error.failure), (previews, vec![], failure), "{what}: {error}");
    }
    let asked = world.requests().len();
    let (_, _, error) = paint(&provider, ImageRequest { size: Some("big".into()), ..wish() }).await;
    assert_eq!(error.unwrap().message, r#""big" is no size: say 1024x1024, auto, or a ratio such as 16:9"#);
    let (_, _, error) = paint(&adapter(Api::Responses, None, &world.base_url()), wish()).await;
    assert_eq!(error.unwrap().failure, Failure::Unsupported);
    assert_eq!(world.requests().len(), asked, "nothing was sent");
}
