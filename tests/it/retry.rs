//! Asking one provider again: where that is safe, how long it takes, and that nobody is asked after he has begun to answer.

use std::time::Duration;

use hearth::common::config::ProviderName;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::client::{Answer, Client};
use crate::world::faults::lifecycle;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script, now};

/// Two short waits and a busy machine.
const QUICK: Duration = Duration::from_secs(3);

/// A hub that asks `provider`, and nobody else, up to three times.
async fn patient(provider: &FakeProvider) -> Running {
    hub::start_with(provider, |config| config.providers.retries = 2).await
}

async fn timed(client: &mut Client, id: &str) -> (Answer, Duration) {
    let asked_at = now();
    let answer = client.chat(id, "Hello").await;
    (answer, asked_at.elapsed())
}

fn limited(headers: &[(&str, &str)]) -> Script {
    Script::error(429, "rate_limit_exceeded", "Slow down", headers)
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_nobody_notices() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = patient(&world).await;
    let mut client = Client::v2(hub.address).await;
    let overloaded = json!({"error": {"message": "Overloaded", "type": "server_error"}}).to_string();
    for (what, script) in [
        ("500", Script::error(500, "server_error", "It broke", &[])),
        ("503", Script::status(503, &[], "")),
        ("529", Script::error(529, "overloaded_error", "Overloaded", &[])),
        ("408", Script::status(408, &[], "")),
        ("RST instead of a head", Script::default().reset()),
        ("FIN instead of a word", lifecycle().hangup()),
        ("an empty body", Script::stream().body_end()),
        ("an error event", lifecycle().sse(&overloaded).stall()),
        ("429", limited(&[])),
        ("429 with no time to wait", limited(&[("retry-after", "0")])),
    ] {
        let asked = world.requests().len();
        world.times(2, &script);
        let (answer, took) = timed(&mut client, what).await;
        assert_eq!((answer.text().as_str(), answer.notices().len()), ("fine", 0), "{what}: {}", answer.end());
        assert_eq!(world.requests().len(), asked + 3, "{what}");
        assert!(took < QUICK, "{what}: {took:?}");
    }
}

#[tokio::test]
async fn the_third_time_is_the_last() {
    let world = FakeProvider::start(Script::error(500, "server_error", "It broke", &[])).await;
    let hub = patient(&world).await;
    let (answer, took) = timed(&mut Client::v2(hub.address).await, "1").await;
    assert_eq!((answer.code(), world.requests().len()), ("provider_error", 3));
    assert!(took < QUICK, "{took:?}");
}

#[tokio::test]
async fn what_no_second_time_mends_is_not_tried_again() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = patient(&world).await;
    let mut client = Client::v2(hub.address).await;
    for (at, (code, script)) in [
        ("provider_auth", Script::error(401, "invalid_api_key", "Incorrect API key", &[])),
        ("budget_exhausted", Script::error(402, "insufficient_quota", "No credit", &[("retry-after", "0")])),
        ("provider_error", Script::error(404, "model_not_found", "There is no such model", &[])),
        ("too_large", Script::status(413, &[], "")),
        ("provider_error", Script::status(200, &[("content-type", "text/html")], "<html><title>Log in</title></html>")),
        // The user has seen something of it.
        ("provider_error", Script::stream().words(&["part"], Duration::ZERO).hangup()),
        ("provider_error", Script::stream().event(&json!({"reasoning_content": "hm"}), Value::Null).reset()),
    ]
    .into_iter()
    .enumerate()
    {
        world.once(script);
        assert_eq!(client.chat(&format!("{at}"), "Hello").await.code(), code, "{at}");
        assert_eq!(world.requests().len(), at + 1, "{at}");
    }
}

#[tokio::test]
async fn the_wait_that_a_provider_names_is_kept_to() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = patient(&world).await;
    let mut client = Client::v2(hub.address).await;
    for (header, wait, least_ms) in [("retry-after-ms", "400", 400), ("retry-after", "1", 1000)] {
        world.once(limited(&[(header, wait)]));
        let (answer, took) = timed(&mut client, header).await;
        assert_eq!(answer.text(), "fine");
        let least = Duration::from_millis(least_ms);
        assert!((least..least + QUICK).contains(&took), "{header}: {took:?}");
    }
    // Past its deadline nobody waits: the client may.
    hub.configure(|config| config.providers.local.first_token_s = Some(5));
    world.once(limited(&[("retry-after", "30")]));
    let (answer, took) = timed(&mut client, "long").await;
    assert_eq!((answer.code(), &answer.end()["error"]["retry_after_ms"]), ("rate_limited", &json!(30_000)));
    assert!(took < QUICK, "{took:?}");
}

#[tokio::test]
async fn a_long_wait_is_not_for_those_who_have_somebody_else() {
    let first = FakeProvider::start(limited(&[("retry-after", "20")])).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub::start_with(&second, |config| {
        (config.providers.active, config.providers.fallback) = (ProviderName::Openai, vec![ProviderName::Local]);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.retries = 2;
    })
    .await;
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    for client in [&mut client, &mut other] {
        let (answer, took) = timed(client, "1").await;
        assert_eq!((answer.provider(), answer.notices().len()), ("local", 1));
        assert!(took < QUICK, "{took:?}");
    }
    assert_eq!(first.requests().len(), 1, "the other client was not sent to it again");
}

#[tokio::test]
async fn a_model_that_is_being_loaded_is_waited_for_and_the_user_is_told() {
    let loading = Script::error(503, "unavailable_error", "Loading model", &[("retry-after-ms", "700")]);
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    world.times(5, &loading);
    let hub = patient(&world).await;
    let (answer, took) = timed(&mut Client::v2(hub.address).await, "1").await;
    assert_eq!((answer.text().as_str(), world.requests().len()), ("fine", 6));
    assert!(took >= Duration::from_millis(700 + 700 + 3000), "{took:?}");
    let [notice] = &answer.notices()[..] else { panic!("told once: {:?}", answer.notices()) };
    assert!(notice.starts_with("local cannot answer yet") && notice.contains("Loading model"), "{notice}");
}

#[tokio::test]
async fn a_model_that_loads_for_ever_is_given_up_at_its_deadline() {
    let loading = Script::error(503, "unavailable_error", "Loading model", &[("retry-after-ms", "300")]);
    let world = FakeProvider::start(loading).await;
    let hub = hub::start_with(&world, |config| {
        config.providers.retries = 2;
        config.providers.local.first_token_s = Some(2);
    })
    .await;
    let (answer, took) = timed(&mut Client::v2(hub.address).await, "1").await;
    assert_eq!((answer.code(), answer.retryable()), ("provider_error", true), "{}", answer.message());
    assert!(answer.message().contains("Loading model"), "{}", answer.message());
    assert!(took < Duration::from_secs(2) + QUICK && world.requests().len() >= 3, "{took:?}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let world = FakeProvider::start_on(listener, Script::answer(&["before"]));
    let hub = hub::start_with(&world, |config| config.providers.retries = 10).await;
    drop(world);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listener = TcpListener::bind(address).await.expect("the port is free again");
    let _world = FakeProvider::start_on(listener, Script::answer(&["back"]));
    assert_eq!(client.answer("1").await.text(), "back");
}

#[tokio::test]
async fn a_wait_can_be_stopped_and_nobody_is_asked_afterwards() {
    let world = FakeProvider::start(limited(&[("retry-after", "1")])).await;
    let hub = patient(&world).await;
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    world.request(0).await;
    // Its 429 is on the way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopped_at = now();
    assert!(client.cancel("1").await);
    assert_eq!(client.answer("1").await.code(), "cancelled");
    assert!(stopped_at.elapsed() < Duration::from_millis(500));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.requests().len(), 1);
}
