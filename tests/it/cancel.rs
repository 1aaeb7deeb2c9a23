//! Stopping: by message, by leaving, at every moment of an answer. The provider's connection closes, and only the one that
//! was meant stops.

use std::time::Duration;

use hearth::common::chat::Role;
use serde_json::json;

use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Gate, Script, now};

/// The bar is 5 ms on an idle machine; this leaves room for a busy one and is far below every deadline of the hub's.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// An answer at each moment at which it can be stopped, with the text that has come by then.
fn moments() -> [(&'static str, Script, &'static str); 3] {
    [
        ("before the head", Script::default().stall(), ""),
        ("before the first word", Script::stream().stall(), ""),
        ("within the words", Script::stream().words(&["a", "b"], Duration::ZERO).stall(), "ab"),
    ]
}

#[tokio::test]
async fn a_message_stops_the_one_that_is_meant() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    for mut client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
        world.once(Script::stream().words(&["be"], Duration::ZERO).gate(&gate).words(&["fore"], Duration::ZERO).end());
        client.ask("neighbour", "Hello").await;
        client.until_text("neighbour", "be").await;
        for (what, script, text) in moments() {
            let number = world.requests().len();
            world.once(script);
            client.ask(what, "Hello").await;
            world.request(number).await;
            client.until_text(what, text).await;
            let stopped_at = now();
            assert!(client.cancel(what).await, "{what}");
            let answer = client.answer(what).await;
            assert_eq!(
                (answer.text().as_str(), answer.code(), answer.retryable()),
                (text, "cancelled", false),
                "{what}"
            );
            let took = world.closed(number).await.duration_since(stopped_at);
            assert!(took < CLOSE_MAX, "{what}: the provider was left after {took:?}");
            assert!(!client.cancel(what).await, "{what}: it has ended");
        }
        assert!(!client.cancel("nobody").await);
        assert_eq!(client.chat("then", "Hello").await.text(), "fine");
        gate.open();
        assert_eq!(client.answer("neighbour").await.text(), "before");
    }
}

#[tokio::test]
async fn what_came_before_a_stop_is_kept_as_a_part() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    world.once(Script::stream().words(&["a", "b"], Duration::ZERO).stall());
    client.ask_with("1", "Hello", json!({"conversation_id": "c"})).await;
    client.until_text("1", "ab").await;
    client.cancel("1").await;
    client.answer("1").await;
    let kept = hub.store.messages("c", None, 9).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|message| (message.role, message.text.as_str(), message.partial)).collect();
    assert_eq!(kept, [(Role::User, "Hello", false), (Role::Assistant, "ab", true)]);
}

#[tokio::test]
async fn a_fallback_can_be_stopped_as_well() {
    let first = FakeProvider::start(Script::status(500, &[], "")).await;
    let second = FakeProvider::start(Script::stream().stall()).await;
    let hub = hub::start_with(&second, |config| {
        use hearth::common::config::ProviderName::{Local, Openai};
        (config.providers.active, config.providers.fallback) = (Openai, vec![Local]);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
    })
    .await;
    let mut client = Client::v1(hub.address).await;
    client.ask("1", "Hello").await;
    second.request(0).await;
    assert!(client.cancel("1").await);
    assert_eq!(client.answer("1").await.code(), "cancelled");
    second.closed(0).await;
}

#[tokio::test]
async fn a_v1_client_that_leaves_stops_its_requests_and_nobody_elses() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    let mut other = Client::v1(hub.address).await;
    world.once(Script::stream().words(&["be"], Duration::ZERO).gate(&gate).words(&["fore"], Duration::ZERO).end());
    other.ask("neighbour", "Hello").await;
    other.until_text("neighbour", "be").await;
    for rudely in [false, true] {
        let mut client = Client::v1(hub.address).await;
        let first = world.requests().len();
        for (at, (what, script, text)) in moments().into_iter().enumerate() {
            world.once(script);
            client.ask(what, "Hello").await;
            world.request(first + at).await;
            client.until_text(what, text).await;
        }
        let left_at = now();
        if rudely {
            client.abort();
        } else {
            drop(client);
        }
        for number in first..first + moments().len() {
            let took = world.closed(number).await.duration_since(left_at);
            assert!(took < CLOSE_MAX, "request {number}: the provider was left after {took:?}");
        }
    }
    gate.open();
    assert_eq!(other.answer("neighbour").await.text(), "before");
}

#[tokio::test]
async fn a_v2_client_without_resume_stops_its_requests_by_leaving() {
    let world = FakeProvider::start(Script::stream().words(&["a"], Duration::ZERO).stall()).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v1(hub.address).await;
    let payload = json!({"protocol": [2], "features": []});
    client.upgrade(&payload).await;
    client.ask("1", "Hello").await;
    client.until_text("1", "a").await;
    client.abort();
    world.closed(0).await;
}
