//! What the failures of a provider mean for everybody: it is passed over for a while, it comes back, a new configuration
//! begins anew.

use std::time::Duration;

use hearth::common::config::ProviderName;
use serde_json::json;

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script, now};
use crate::world::soon;

/// The first pause, and a busy machine.
const PAUSE: Duration = Duration::from_millis(5300);

/// A hub that asks `first` as `openai`, and then `second` as `local`.
async fn hub_of(first: &FakeProvider, second: &FakeProvider) -> Running {
    hub::start_with(second, |config| {
        (config.providers.active, config.providers.fallback) = (ProviderName::Openai, vec![ProviderName::Local]);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.openai.first_token_s = Some(1);
    })
    .await
}

/// Asks; gives who answered, and what was told beside it.
async fn asked(client: &mut Client, id: &str) -> (String, Vec<String>) {
    let answer = client.chat(id, "Hello").await;
    (answer.provider().to_owned(), answer.notices())
}

async fn two() -> (FakeProvider, FakeProvider) {
    let first = FakeProvider::start(Script::answer(&["first"])).await;
    (first, FakeProvider::start(Script::answer(&["second"])).await)
}

#[tokio::test]
async fn one_that_keeps_failing_is_passed_over_for_all_and_then_tried_by_one() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    first.times(3, &Script::status(500, &[], ""));
    for id in ["1", "2", "3"] {
        assert_eq!(asked(&mut client, id).await.0, "local");
    }
    let (provider, notices) = asked(&mut other, "passed").await;
    assert_eq!((provider.as_str(), first.requests().len()), ("local", 3), "nobody asks it now");
    assert!(notices[0].contains("openai: passed over for ") && notices[0].contains("500"), "{notices:?}");
    // Whoever wants it and nobody else gets it.
    let named = other.chat_with("named", "Hello", json!({"provider": "openai"})).await;
    assert_eq!((named.text().as_str(), named.notices().len()), ("first", 0));
    assert_eq!(asked(&mut client, "well").await, ("openai".into(), vec![]), "that it answered is good news for all");

    first.times(3, &Script::status(500, &[], ""));
    for id in ["4", "5", "6"] {
        assert_eq!(asked(&mut client, id).await.0, "local");
    }
    tokio::time::sleep(PAUSE).await;
    assert_eq!(asked(&mut other, "again").await, ("openai".into(), vec![]));
    assert_eq!(asked(&mut client, "and again").await, ("openai".into(), vec![]));
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_shown_again_until_the_configuration_changes() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    first.once(Script::error(401, "invalid_api_key", "Incorrect API key", &[]));
    assert_eq!(asked(&mut client, "1").await.0, "local");
    let (provider, notices) = asked(&mut other, "1").await;
    assert_eq!((provider.as_str(), first.requests().len()), ("local", 1));
    assert!(notices[0].contains("Incorrect API key"), "{notices:?}");
    hub.configure(|config| config.providers.openai.model = "another".into());
    let back = async {
        for number in 0.. {
            // The hub hears of the change a moment later.
            if asked(&mut other, &format!("changed-{number}")).await.0 == "openai" {
                break;
            }
        }
    };
    soon("the first choice", back).await;
}

#[tokio::test]
async fn a_time_that_was_named_is_waited_for_and_no_longer() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    first.once(Script::error(429, "rate_limit_exceeded", "Slow down", &[("retry-after", "2")]));
    assert_eq!(asked(&mut client, "1").await.0, "local");
    assert_eq!(asked(&mut other, "1").await.0, "local");
    assert_eq!(first.requests().len(), 1);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(asked(&mut other, "2").await, ("openai".into(), vec![]));
}

#[tokio::test]
async fn an_allowance_that_is_used_up_is_respected_before_it_is_overrun() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-ratelimit-remaining-requests: 0\r\n\
                x-ratelimit-reset-requests: 30s\r\ntransfer-encoding: chunked\r\n\r\n";
    first.once(Script::default().raw(head.as_bytes()).words(&["last"], Duration::ZERO).end());
    assert_eq!(client.chat("1", "Hello").await.text(), "last");
    let (provider, notices) = asked(&mut client, "2").await;
    assert_eq!((provider.as_str(), first.requests().len()), ("local", 1));
    assert!(notices[0].contains("no requests left"), "{notices:?}");
}

#[tokio::test]
async fn one_that_said_nothing_until_its_deadline_costs_the_next_client_no_second() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    first.once(Script::stream().stall());
    assert_eq!(asked(&mut client, "1").await.0, "local");
    let asked_at = now();
    assert_eq!(asked(&mut other, "1").await.0, "local");
    assert!(asked_at.elapsed() < Duration::from_millis(900), "{:?}", asked_at.elapsed());
    assert_eq!(first.requests().len(), 1);
}

#[tokio::test]
async fn where_all_are_passed_over_one_is_asked_all_the_same() {
    let (first, second) = two().await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    first.once(Script::error(401, "invalid_api_key", "Incorrect API key", &[]));
    second.once(Script::error(429, "rate_limit_exceeded", "Slow down", &[("retry-after", "20")]));
    assert_eq!(client.chat("1", "Hello").await.code(), "provider_auth");
    assert_eq!(asked(&mut client, "2").await.0, "local", "its time is over first");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
}
