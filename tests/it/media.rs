//! Pictures and sound as a client of the whole hub meets them. What frames look like is checked by the client itself.

mod keepsakes;
mod pictures;
mod voice;

use hearth::common::chat::Media;
use hearth::common::config::{Config, ProviderName};
use serde_json::json;

use crate::world::client::Client;
use crate::world::dialects::{self, row_mut};
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script};

/// A hub that asks `world` as `name`, in the language of that row.
async fn hub_of(name: ProviderName, world: &FakeProvider, change: impl FnOnce(&mut Config)) -> Running {
    hub::start_with(world, |config| {
        *row_mut(config, name) = dialects::of(name).row(name, world);
        config.providers.active = name;
        change(config);
    })
    .await
}

/// A picture of so many bytes, as far as anybody looks.
fn png(len: usize) -> Vec<u8> {
    let noise = (0..).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"\x89PNG\r\n\x1a\n".iter().copied().chain(noise).take(len).collect()
}

#[tokio::test]
async fn attachments_are_fetched_and_checked_before_anybody_is_asked() {
    let world = FakeProvider::start(Script::answer(&["A", " cat."])).await;
    let hub = hub::start(&world).await;
    let gif = Media { mime: "image/gif".into(), data: b"GIF89a"[..].into() };
    let blob_id = hub.store.put_blob(&gif.mime, gif.data).await.expect("kept");
    let text = hub.store.put_blob("text/plain", b"words"[..].into()).await.expect("kept");
    for (number, (attachments, code)) in [
        (json!([{"blob_id": "b-gone"}]), "not_found"),
        (json!([{"blob_id": blob_id}, {"blob_id": text}]), "bad_request"),
        (json!([{"mime": "image/png", "data": "R0lGODlh"}]), "bad_request"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::v2(hub.address).await;
        let answer = client.chat_with(&format!("{number}"), "What is it?", json!({"attachments": attachments})).await;
        assert_eq!((answer.code(), answer.retryable()), (code, false), "{attachments}");
        assert!(answer.message().contains("payload.attachments["), "{}", answer.message());
    }
    assert_eq!(world.requests().len(), 0);
    let attachments = json!([{"blob_id": blob_id}, {"mime": "image/gif", "data": "R0lGODlh"}]);
    for mut client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
        let answer = client.chat_with("1", "What is it?", json!({"attachments": attachments})).await;
        assert_eq!((answer.text().as_str(), answer.provider()), ("A cat.", "local"));
    }
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_painted_or_spoken_ends_with_words() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    // Nobody here paints, and the voice that is asked for does not exist.
    let hub = hub::start(&world).await;
    for (action, payload) in
        [("image", json!({"prompt": "a cat"})), ("speak", json!({"text": "Hello.", "voice": "nobody/at-all"}))]
    {
        for mut client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
            client.send(&json!({"action": action, "request_id": "1", "payload": payload})).await;
            let answer = client.answer("1").await;
            assert!(!answer.code().is_empty() && !answer.message().is_empty(), "{action}");
            assert!(answer.0[0]["status"] == "processing" && answer.0.len() == 2, "{action}: {answer:?}");
            assert_eq!(client.chat("2", "Hello").await.text(), "fine", "the connection stays");
        }
    }
}

#[tokio::test]
async fn a_request_for_a_picture_is_stopped_and_repeated_as_any_other() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    let image = json!({"action": "image", "request_id": "1", "payload": {"prompt": "a cat", "n": 2}});
    client.send(&image).await;
    let first = client.answer("1").await;
    client.send(&image).await;
    let second = client.answer("1").await;
    assert_eq!(first.end()["error"], second.end()["error"], "as it was");
    client.send(&json!({"action": "image", "request_id": "1", "payload": {"prompt": "a dog"}})).await;
    assert_eq!(client.one("1").await["error"]["code"], "id_reuse");
    assert!(!client.cancel("1").await, "it does not run any more");
    assert_eq!(client.streams.len(), 0, "no frame came unasked");
}
