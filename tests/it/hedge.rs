//! Two providers asked at once: the first word wins, and the other connection is closed at once.

use std::time::Duration;

use hearth::common::config::ProviderName;
use hearth::store::UsageSum;
use jiff::civil::Date;

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Gate, Script, now};

/// From the first word to the end of the other connection.
const CLOSE_MAX: Duration = Duration::from_millis(200);

const HEDGE: Duration = Duration::from_millis(150);

/// A hub that asks `first` as `openai`, after a while `second` as `local`, and then the assistant.
async fn hub_of(first: &FakeProvider, second: &FakeProvider) -> Running {
    hub::start_with(second, |config| {
        let fallback = vec![ProviderName::Local, ProviderName::Assistant];
        (config.providers.active, config.providers.fallback) = (ProviderName::Openai, fallback);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.hedge_after_ms = Some(HEDGE.as_millis() as u64);
    })
    .await
}

#[tokio::test]
async fn the_second_answers_where_the_first_is_silent() {
    for silent in [Script::default().stall(), Script::stream().stall()] {
        let first = FakeProvider::start(silent).await;
        let second = FakeProvider::start(Script::answer(&["second"])).await;
        let hub = hub_of(&first, &second).await;
        let mut client = Client::v2(hub.address).await;
        let asked_at = now();
        client.ask("1", "Hello").await;
        client.until_text("1", "second").await;
        let answered_at = now();
        assert!(first.closed(0).await < answered_at + CLOSE_MAX, "the loser was kept");
        let took = answered_at - asked_at;
        assert!((HEDGE..HEDGE + Duration::from_secs(2)).contains(&took), "{took:?}");
        let answer = client.answer("1").await;
        assert_eq!((answer.provider(), answer.notices().len()), ("local", 1));
        assert!(answer.notices()[0].contains("another one was quicker"), "{:?}", answer.notices());
        let spent = spent(&hub).await;
        assert_eq!((spent.requests, spent.failed), (2, 1), "both are counted: the loser may have to be paid, too");
    }
}

async fn spent(hub: &Running) -> UsageSum {
    let mut all = UsageSum::default();
    let rows = hub.store.usage(Date::MIN, Date::MAX).await.expect("readable");
    rows.iter().for_each(|(_, sum)| all.add(sum));
    all
}

#[tokio::test]
async fn the_first_answers_where_it_is_quicker_after_all() {
    let gate = Gate::new();
    let first = FakeProvider::start(Script::stream().gate(&gate).words(&["fir", "st"], Duration::ZERO).end()).await;
    let second = FakeProvider::start(Script::stream().stall()).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    second.request(0).await;
    gate.open();
    client.until_text("1", "first").await;
    assert!(second.closed(0).await < now() + CLOSE_MAX);
    let answer = client.answer("1").await;
    assert_eq!((answer.provider(), answer.notices().len()), ("openai", 0));
}

#[tokio::test]
async fn a_quick_first_one_is_raced_by_nobody() {
    let slowly = Script::stream().words(&["a", "b", "c"], HEDGE / 2).end();
    let first = FakeProvider::start(slowly).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub_of(&first, &second).await;
    assert_eq!(Client::v2(hub.address).await.chat("1", "Hello").await.text(), "abc");
    assert_eq!(second.requests().len(), 0);
}

#[tokio::test]
async fn one_that_fails_leaves_the_race_to_the_other_and_both_to_the_next() {
    let gate = Gate::new();
    let first = FakeProvider::start(Script::stream().gate(&gate).hangup()).await;
    let second_gate = Gate::new();
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    second.once(Script::stream().gate(&second_gate).words(&["second"], Duration::ZERO).end());
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    second.request(0).await;
    gate.open();
    first.closed(0).await;
    second_gate.open();
    assert_eq!(client.answer("1").await.text(), "second");

    second.once(Script::stream().gate(&second_gate).reset());
    let answer = client.chat("2", "What time is it?").await;
    assert_eq!(answer.provider(), "assistant");
}

#[tokio::test]
async fn a_cancel_leaves_both() {
    let first = FakeProvider::start(Script::stream().stall()).await;
    let second = FakeProvider::start(Script::stream().stall()).await;
    let hub = hub::start_with(&second, |config| {
        (config.providers.active, config.providers.fallback) = (ProviderName::Openai, vec![ProviderName::Local]);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.hedge_after_ms = Some(50);
    })
    .await;
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    second.request(0).await;
    let stopped_at = now();
    assert!(client.cancel("1").await);
    assert_eq!(client.answer("1").await.code(), "cancelled");
    for provider in [&first, &second] {
        let took = provider.closed(0).await - stopped_at;
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}
