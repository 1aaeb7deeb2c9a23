//! Pictures end to end: made by each kind of painter, byte for byte at every kind of client, kept, given back, and shown to a
//! provider in its own form.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hearth::common::config::{Api, ProviderName};
use serde_json::{Value, json};

use super::{hub_of, png};
use crate::world::client::{Answer, Client};
use crate::world::dialects::{self, ALL, images, openrouter, responses, row_mut};
use crate::world::hub;
use crate::world::provider::{FakeProvider, Script, now};

const KIB: usize = 1024;

/// What a picture's chunks say: which it is, whether a preview, and its bytes.
type Seen = Vec<(u64, bool, Vec<u8>)>;

fn seen(client: &Client, answer: &Answer) -> Seen {
    let told = |chunk: &Value| {
        let metadata = &chunk["metadata"];
        let (image, partial) = (metadata["image"].as_u64(), metadata["partial"].as_bool());
        let data = client.data_of(chunk);
        assert_eq!(metadata["bytes"], data.len());
        (image.expect("a number"), partial.expect("true or false"), data)
    };
    answer.chunks("image").into_iter().map(told).collect()
}

async fn get_blob(address: SocketAddr, id: &str) -> (String, Vec<u8>) {
    let url = format!("http://{address}/api/v1/blobs/{id}");
    let asking = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        let mime = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
        (mime, answer.body_mut().with_config().limit(16 << 20).read_to_vec().expect("a body"))
    });
    asking.await.expect("no panic")
}

async fn post_blob(address: SocketAddr, data: Vec<u8>) -> String {
    let url = format!("http://{address}/api/v1/blobs");
    let asking = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::post(&url).header("content-type", "image/png").send(&data[..]).expect("it is kept");
        answer.body_mut().read_json::<Value>().expect("JSON")
    });
    asking.await.expect("no panic")["blob_id"].as_str().expect("an id").to_owned()
}

fn gemini_picture(script: Script, picture: &[u8], thought: bool) -> Script {
    let data = json!({"mimeType": "image/png", "data": BASE64.encode(picture)});
    script.gemini_parts(&json!([{"inlineData": data, "thought": thought}]))
}

async fn paint(client: &mut Client, id: &str) -> Answer {
    let payload = json!({"prompt": "a cat", "partial_images": 2});
    client.send(&json!({"action": "image", "request_id": id, "payload": payload})).await;
    client.answer(id).await
}

#[tokio::test]
async fn every_painters_picture_is_the_same_at_every_client_and_in_the_store() {
    let (sketches, picture) = ([png(20 * KIB), png(90 * KIB)], png(300 * KIB));
    let previews: Vec<&[u8]> = sketches.iter().map(Vec::as_slice).collect();
    let begun = sketches.iter().fold(Script::stream(), |script, sketch| gemini_picture(script, sketch, true));
    let usage = openrouter::usage(0.04);
    for (name, script, sketches) in [
        (ProviderName::Openai, images::stream(&previews, &picture), &sketches[..]),
        (ProviderName::Gemini, gemini_picture(begun, &picture, false).gemini_end("STOP"), &sketches[..]),
        (ProviderName::Openrouter, openrouter::done(openrouter::picture(Script::stream(), &picture), &usage), &[]),
    ] {
        let world = FakeProvider::start(script).await;
        let hub = hub_of(name, &world, |_| ()).await;
        let partial = sketches.iter().map(|sketch| (0, true, sketch.clone()));
        let expected: Seen = partial.chain([(0, false, picture.clone())]).collect();
        for (which, mut client) in [
            ("v1", Client::v1(hub.address).await),
            ("v2 without binary", Client::v2_without_binary(hub.address).await),
            ("v2", Client::v2(hub.address).await),
        ] {
            let answer = paint(&mut client, "1").await;
            let what = format!("{} at {which}", name.as_str());
            assert_eq!(answer.provider(), name.as_str(), "{what}");
            assert!(seen(&client, &answer) == expected, "{what}: not the same pictures");
            assert_eq!(client.streams.len(), if which == "v2" { expected.len() } else { 0 }, "{what}");
            assert!(client.streams.values().all(|stream| stream.ended), "{what}");
            let [blob] = &answer.metadata()["blobs"].as_array().expect("a list")[..] else { panic!("{what}") };
            let (mime, kept) = get_blob(hub.address, blob.as_str().expect("an id")).await;
            assert!(mime == "image/png" && kept == picture, "{what}: the store has another one ({mime})");
        }
        assert_eq!(world.requests().len(), 3, "{}", name.as_str());
    }
}

#[tokio::test]
async fn a_picture_of_8_mb_arrives_whole() {
    let picture = png(8 << 20);
    let world = FakeProvider::start(images::stream(&[], &picture)).await;
    let hub = hub_of(ProviderName::Openai, &world, |_| ()).await;
    let mut client = Client::v2(hub.address).await;
    let answer = paint(&mut client, "1").await;
    assert!(seen(&client, &answer) == [(0, false, picture.clone())]);
    let blob = answer.metadata()["blobs"][0].as_str().expect("an id").to_owned();
    assert!(get_blob(hub.address, &blob).await.1 == picture);
}

#[tokio::test]
async fn a_picture_in_an_answer_goes_back_to_its_painter() {
    let (sketch, picture) = (png(9 * KIB), png(200 * KIB));
    let painted = responses::Answer::begin().words(&["Here:"], Duration::ZERO).picture(&[&sketch], &picture).end();
    let world = FakeProvider::start(responses::answer(&["A cat."])).await;
    world.once(painted);
    let hub = hub_of(ProviderName::Openai, &world, |config| {
        let row = row_mut(config, ProviderName::Openai);
        // A model that paints where it is asked to talk.
        (row.api, row.image_model) = (Some(Api::Responses), Some(row.model.clone()));
    })
    .await;
    let conversation = json!({"conversation_id": "cats"});
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat_with("1", "Paint a cat", conversation.clone()).await;
    assert_eq!(answer.text(), "Here:");
    assert!(seen(&client, &answer) == [(0, true, sketch), (0, false, picture.clone())]);
    assert_eq!(world.request(0).await.body["tools"][0]["type"], "image_generation");
    let blob = answer.metadata()["blobs"][0].as_str().expect("an id").to_owned();
    assert!(get_blob(hub.address, &blob).await.1 == picture);

    client.chat_with("2", "What is it?", conversation.clone()).await;
    drop(client);
    let hub = hub.restart().await;
    Client::v2(hub.address).await.chat_with("3", "Really?", conversation).await;
    let item = json!({"id": "ig_1", "type": "image_generation_call", "status": "completed", "output_format": "png",
        "result": BASE64.encode(&picture)});
    for number in [1, 2] {
        let input = world.request(number).await.body["input"].clone();
        assert!(input.as_array().expect("a list").contains(&item), "request {number} is without the picture");
    }
}

#[tokio::test]
async fn painters_that_talk_show_what_they_paint_and_see_it_again() {
    let picture = png(100 * KIB);
    let usage = openrouter::usage(0.04);
    for (name, script) in [
        (
            ProviderName::Gemini,
            gemini_picture(Script::stream().gemini_words(&["Here:"], Duration::ZERO), &picture, false)
                .gemini_end("STOP"),
        ),
        (ProviderName::Openrouter, {
            let begun = openrouter::delta(Script::stream(), &json!({"content": "Here:"}));
            openrouter::done(openrouter::picture(begun, &picture), &usage)
        }),
    ] {
        let world = FakeProvider::start(script).await;
        let hub = hub_of(name, &world, |config| {
            let row = row_mut(config, name);
            row.model = row.image_model.clone().expect("these rows paint");
        })
        .await;
        for (which, mut client) in [("v1", Client::v1(hub.address).await), ("v2", Client::v2(hub.address).await)] {
            let what = format!("{} at {which}", name.as_str());
            let asked = world.requests().len();
            for (id, question) in [("1", "Paint a cat"), ("2", "Once more")] {
                let answer = client.chat(id, question).await;
                assert_eq!(answer.text(), "Here:", "{what}");
                assert!(seen(&client, &answer) == [(0, false, picture.clone())], "{what}: another picture");
            }
            let base64 = BASE64.encode(&picture);
            let times = |number: usize| world.requests()[asked + number].text.matches(&base64).count();
            assert_eq!((times(0), times(1)), (0, 1), "{what}: the picture is seen again, once");
        }
    }
}

#[tokio::test]
async fn a_painter_that_breaks_off_is_told_and_left() {
    let (sketch, picture) = (png(20 * KIB), png(30 * KIB));
    let (begun, limited) = (images::begun(&[&sketch]), Script::error(429, "rate_limit_exceeded", "Slow down", &[]));
    let broken = json!({"type": "error", "error": {"type": "server_error", "code": "x", "message": "Broken"}});
    let gemini = FakeProvider::start(gemini_picture(Script::stream(), &picture, false).gemini_end("STOP")).await;
    let world = FakeProvider::start(Script::default()).await;
    // A hub of its own for each: after three failures a painter is passed over.
    let both = || {
        hub_of(ProviderName::Openai, &world, |config| {
            *row_mut(config, ProviderName::Gemini) =
                dialects::of(ProviderName::Gemini).row(ProviderName::Gemini, &gemini);
            config.providers.fallback = vec![ProviderName::Gemini];
            config.providers.inter_token_s = 1;
        })
    };
    for (what, script, code) in [
        ("RST", begun.clone().wait(Duration::from_millis(50)).reset(), "provider_error"),
        ("FIN", begun.clone().hangup(), "provider_error"),
        ("an error", begun.clone().sse(&broken.to_string()).stall(), "provider_error"),
        ("silence", begun.clone().stall(), "timeout"),
    ] {
        world.once(script);
        let hub = both().await;
        let mut client = Client::v2(hub.address).await;
        let answer = paint(&mut client, what).await;
        assert_eq!((answer.code(), answer.retryable()), (code, true), "{what}: {}", answer.end());
        assert!(seen(&client, &answer) == [(0, true, sketch.clone())], "{what}: the preview stays");
    }
    assert_eq!(gemini.requests().len(), 0, "after a preview nobody else is asked");

    let hub = both().await;
    let mut client = Client::v2(hub.address).await;
    let asked = world.requests().len();
    world.once(begun.stall());
    client
        .send(&json!({"action": "image", "request_id": "c", "payload": {"prompt": "a cat", "partial_images": 1}}))
        .await;
    while client.one("c").await["chunk"]["type"] != "image" {}
    let stopped_at = now();
    assert!(client.cancel("c").await);
    assert_eq!(client.rest("c").await.code(), "cancelled");
    let took = world.closed(asked).await.duration_since(stopped_at);
    assert!(took < Duration::from_millis(500), "{took:?}");

    world.once(limited);
    let answer = paint(&mut client, "f").await;
    assert_eq!((answer.provider(), answer.notices().len()), ("gemini", 1), "{:?}", answer.notices());
    assert!(seen(&client, &answer) == [(0, false, picture)]);
}

#[tokio::test]
async fn an_attached_picture_reaches_every_dialect_in_its_own_form() {
    let picture = png(200 * KIB);
    let base64 = BASE64.encode(&picture);
    let url = format!("data:image/png;base64,{base64}");
    for dialect in ALL {
        let world = FakeProvider::start(dialect.answer(&["A cat."])).await;
        let name = dialect.rows[0];
        let hub = hub::start_with(&world, |config| {
            *row_mut(config, name) = dialect.row(name, &world);
            config.providers.active = name;
        })
        .await;
        let (place, form) = match dialect.name {
            "Chat Completions" | "OpenRouter" => {
                ("/messages/0/content/0", json!({"type": "image_url", "image_url": {"url": url}}))
            }
            "Responses" => ("/input/0/content/0", json!({"type": "input_image", "image_url": url})),
            "Messages" => {
                let source = json!({"type": "base64", "media_type": "image/png", "data": base64});
                ("/messages/0/content/0", json!({"type": "image", "source": source}))
            }
            "Gemini" => ("/contents/0/parts/0", json!({"inlineData": {"mimeType": "image/png", "data": base64}})),
            "Ollama" => ("/messages/0/images/0", json!(base64)),
            other => panic!("how does {other} take a picture?"),
        };
        let blob_id = post_blob(hub.address, picture.clone()).await;
        let mut client = Client::v2(hub.address).await;
        for (number, attachment) in
            [json!({"mime": "image/png", "data": base64}), json!({"blob_id": blob_id})].into_iter().enumerate()
        {
            let id = format!("{number}");
            let wishes = json!({"attachments": [attachment], "conversation_id": id});
            assert_eq!(client.chat_with(&id, "What is it?", wishes).await.text(), "A cat.", "{}", dialect.name);
            let body = world.request(number).await.body;
            assert!(body.pointer(place) == Some(&form), "{}, {number}: another form", dialect.name);
        }
    }
}
