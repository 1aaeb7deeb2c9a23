//! The whole hub between a client and every dialect, with every fault: what is told, how soon, that what came before stays,
//! that there is one end, and that nobody is left waiting. One table; the dialects side by side.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hearth::common::config::ProviderName;
use serde_json::json;

use crate::world::client::{Answer, Client};
use crate::world::dialects::{ALL, Dialect, row_mut};
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script, now};

/// What is no matter of a deadline is told within this, on however busy a machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// `first_token_s` and `inter_token_s` here.
const DEADLINE: Duration = Duration::from_secs(1);

/// From a client's cancel to the end of the provider's connection.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Each has a thread and a file of its own.
const HUBS_AT_ONCE: usize = 8;

/// A fault in whatever dialect, and what the client is told.
struct Fault {
    what: &'static str,
    script: fn(&Dialect) -> Script,
    /// What has been said before.
    said: &'static str,
    code: &'static str,
    retryable: bool,
    retry_after_ms: Option<u64>,
    /// Ends by a deadline of the hub's.
    slow: bool,
}

fn faults() -> Vec<Fault> {
    let fault = |what, code, retryable, script| Fault {
        what,
        script,
        said: "",
        code,
        retryable,
        retry_after_ms: None,
        slow: false,
    };
    let after = |said, fault| Fault { said, ..fault };
    let slow = |fault| Fault { slow: true, ..fault };
    vec![
        slow(fault("silence instead of a head", "timeout", true, |_| Script::default().stall())),
        slow(fault("silence instead of a word", "timeout", true, |dialect| (dialect.begin)().stall())),
        slow(after("half", fault("silence after a word", "timeout", true, |dialect| half(dialect).stall()))),
        fault("RST instead of a word", "provider_error", true, |dialect| (dialect.begin)().reset()),
        after("half", fault("RST after a word", "provider_error", true, |dialect| settled(dialect).reset())),
        fault("FIN instead of a word", "provider_error", true, |dialect| (dialect.begin)().hangup()),
        after("half", fault("FIN after a word", "provider_error", true, |dialect| half(dialect).hangup())),
        after("half", fault("an early end", "provider_error", true, |dialect| half(dialect).body_end())),
        fault("an error for a word", "provider_error", true, |dialect| (dialect.broken)((dialect.begin)(), "Broken")),
        after("half", fault("an error", "provider_error", true, |dialect| (dialect.broken)(half(dialect), "Broken"))),
        fault("401", "provider_auth", false, |dialect| (dialect.error)(401, "No such key")),
        fault("402", "budget_exhausted", false, |dialect| (dialect.error)(402, "Pay")),
        fault("404", "provider_error", false, |dialect| (dialect.error)(404, "No such model")),
        fault("413", "too_large", false, |dialect| (dialect.error)(413, "Too long")),
        fault("429", "rate_limited", true, |dialect| (dialect.error)(429, "Slow down")),
        Fault {
            retry_after_ms: Some(7000),
            ..fault("429 with a time", "rate_limited", true, |dialect| {
                (dialect.error)(429, "Slow down").header("retry-after", "7")
            })
        },
        fault("500", "provider_error", true, |dialect| (dialect.error)(500, "It broke")),
        fault("503", "provider_error", true, |dialect| (dialect.error)(503, "Busy")),
        fault("529", "provider_error", true, |dialect| (dialect.error)(529, "Overloaded")),
        fault("HTML with 200", "provider_error", false, |_| page(200)),
        fault("HTML with 502", "provider_error", true, |_| page(502)),
        fault("an empty body", "provider_error", true, |_| Script::status(200, &[], "")),
        fault("gzip", "provider_error", false, |dialect| dialect.answer(&["x"]).header("content-encoding", "gzip")),
    ]
}

fn half(dialect: &Dialect) -> Script {
    (dialect.word)((dialect.begin)(), "half")
}

/// An RST takes along what has not been read yet.
fn settled(dialect: &Dialect) -> Script {
    half(dialect).wait(Duration::from_millis(50))
}

fn page(status: u16) -> Script {
    Script::status(status, &[("content-type", "text/html")], "<html><title>Café network</title>Log in</html>")
}

/// A hub that asks `world` in this dialect, and then those.
async fn hub_of(dialect: &Dialect, world: &FakeProvider, fallback: Vec<ProviderName>) -> Running {
    hub::start_with(world, |config| {
        let name = dialect.rows[0];
        *row_mut(config, name) = dialect.row(name, world);
        row_mut(config, name).first_token_s = Some(DEADLINE.as_secs());
        (config.providers.active, config.providers.fallback) = (name, fallback);
        config.providers.inter_token_s = DEADLINE.as_secs();
    })
    .await
}

/// The same test with every dialect, all at once.
async fn with_each<F: Future<Output = ()>>(test: impl Fn(&'static Dialect) -> F) {
    stream::iter(ALL).for_each_concurrent(HUBS_AT_ONCE, test).await;
}

#[tokio::test]
async fn every_fault_is_told_once_and_in_time() {
    with_each(async |dialect| {
        let world = FakeProvider::start(dialect.answer(&["fi", "ne"])).await;
        let hub = hub_of(dialect, &world, Vec::new()).await;
        let (mut v1, mut v2) = (Client::v1(hub.address).await, Client::v2(hub.address).await);
        for (number, fault) in faults().into_iter().enumerate() {
            let id = format!("c-{number}");
            let script = (fault.script)(dialect);
            for client in [&mut v2, &mut v1] {
                world.once(script.clone());
                let asked_at = now();
                let answer = client.chat_with(&id, "Hello", json!({"conversation_id": id})).await;
                told(dialect, &fault, &answer, asked_at.elapsed());
                if fault.slow {
                    world.closed(world.requests().len() - 1).await;
                }
            }
            let kept = hub.store.messages(&id, None, 9).await.expect("readable");
            let halves: Vec<_> = kept.iter().filter(|message| message.partial).map(|message| &*message.text).collect();
            let expected = if fault.said.is_empty() { Vec::new() } else { vec![fault.said; 2] };
            assert_eq!(halves, expected, "{}: {} in the history", dialect.name, fault.what);
        }
        for client in [&mut v1, &mut v2] {
            let answer = client.chat("afterwards", "Hello").await;
            assert_eq!((answer.text().as_str(), client.left_over().len()), ("fine", 0), "{}", dialect.name);
        }
    })
    .await;
}

fn told(dialect: &Dialect, fault: &Fault, answer: &Answer, took: Duration) {
    let what = format!("{}: {}", dialect.name, fault.what);
    assert_eq!((answer.code(), answer.retryable()), (fault.code, fault.retryable), "{what}: {}", answer.end());
    assert_eq!(answer.text(), fault.said, "{what}");
    assert_eq!(answer.end()["error"]["retry_after_ms"].as_u64(), fault.retry_after_ms, "{what}");
    assert!(answer.message().starts_with(dialect.rows[0].as_str()), "{what}: {}", answer.message());
    let in_time = if fault.slow { DEADLINE..DEADLINE + AT_ONCE } else { Duration::ZERO..AT_ONCE };
    assert!(in_time.contains(&took), "{what}: {took:?}");
}

#[tokio::test]
async fn a_good_body_is_an_answer_whatever_it_is_called() {
    with_each(async |dialect| {
        let answer = dialect.answer(&["fi", "ne"]);
        let world = FakeProvider::start(answer.clone().header("content-type", "application/octet-stream")).await;
        let hub = hub_of(dialect, &world, Vec::new()).await;
        assert_eq!(Client::v2(hub.address).await.chat("1", "Hello").await.text(), "fine", "{}", dialect.name);
    })
    .await;
}

#[tokio::test]
async fn the_third_time_is_well_and_nobody_notices() {
    with_each(async |dialect| {
        let world = FakeProvider::start(dialect.answer(&["fi", "ne"])).await;
        let hub = hub_of(dialect, &world, Vec::new()).await;
        hub.configure(|config| {
            config.providers.retries = 2;
            row_mut(config, dialect.rows[0]).first_token_s = Some(9);
        });
        let mut client = Client::v2(hub.address).await;
        let passes = |fault: &Fault| fault.said.is_empty() && fault.retryable && !fault.slow;
        for fault in faults().into_iter().filter(|fault| passes(fault) && fault.retry_after_ms.is_none()) {
            let asked = world.requests().len();
            world.times(2, &(fault.script)(dialect));
            let answer = client.chat(fault.what, "Hello").await;
            let what = format!("{}: {}", dialect.name, fault.what);
            assert_eq!((answer.text().as_str(), answer.notices().len()), ("fine", 0), "{what}: {}", answer.end());
            assert_eq!(world.requests().len(), asked + 3, "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn whatever_fails_before_content_the_assistant_answers_and_says_so() {
    let pairs = ALL.iter().flat_map(|dialect| faults().into_iter().map(move |fault| (dialect, fault)));
    let before_content = pairs.filter(|(_, fault)| fault.said.is_empty());
    stream::iter(before_content)
        .for_each_concurrent(HUBS_AT_ONCE, async |(dialect, fault)| {
            let world = FakeProvider::start((fault.script)(dialect)).await;
            let hub = hub_of(dialect, &world, vec![ProviderName::Assistant]).await;
            let answer = Client::v2(hub.address).await.chat("1", "What time is it?").await;
            let what = format!("{}: {}", dialect.name, fault.what);
            assert_eq!((answer.provider(), answer.notices().len()), ("assistant", 1), "{what}: {answer:?}");
            let notice = format!("assistant answers instead of the first choice ({}: ", dialect.rows[0].as_str());
            assert!(answer.notices()[0].starts_with(&notice), "{what}: {:?}", answer.notices());
            assert!(!answer.text().is_empty() && !world.requests().is_empty(), "{what}");
        })
        .await;
}

#[tokio::test]
async fn nobody_at_home_is_offline() {
    with_each(async |dialect| {
        let world = FakeProvider::start(Script::default()).await;
        let hub = hub::start_with(&world, |config| {
            let name = dialect.rows[0];
            *row_mut(config, name) = dialect.row(name, &world);
            row_mut(config, name).base_url = format!("http://127.0.0.1:1{}", dialect.path);
            config.providers.active = name;
        })
        .await;
        let asked_at = now();
        let answer = Client::v2(hub.address).await.chat("1", "Hello").await;
        assert_eq!((answer.code(), answer.retryable()), ("offline", true), "{}: {}", dialect.name, answer.end());
        assert!(asked_at.elapsed() < AT_ONCE, "{}", dialect.name);
    })
    .await;
}

#[tokio::test]
async fn a_cancel_closes_the_connection_wherever_the_answer_is() {
    with_each(async |dialect| {
        let world = FakeProvider::start(Script::default()).await;
        let hub = hub_of(dialect, &world, Vec::new()).await;
        hub.configure(|config| row_mut(config, dialect.rows[0]).first_token_s = Some(60));
        let mut client = Client::v2(hub.address).await;
        for (number, (script, said)) in
            [(Script::default(), ""), ((dialect.begin)(), ""), (half(dialect), "half")].into_iter().enumerate()
        {
            world.once(script.stall());
            let id = format!("{number}");
            client.ask(&id, "Hello").await;
            world.request(number).await;
            client.until_text(&id, said).await;
            let stopped_at = now();
            assert!(client.cancel(&id).await, "{}: it ran", dialect.name);
            let answer = client.answer(&id).await;
            assert_eq!((answer.code(), answer.text().as_str()), ("cancelled", said), "{}", dialect.name);
            let took = world.closed(number).await.duration_since(stopped_at);
            assert!(took < CLOSE_MAX, "{}, {number}: {took:?}", dialect.name);
        }
    })
    .await;
}
