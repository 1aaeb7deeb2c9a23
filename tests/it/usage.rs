//! What was asked is counted, priced, kept and shown; and limits hold, from question to question.

use std::net::SocketAddr;
use std::time::Duration;

use hearth::common::config::{Config, Price, ProviderName};
use hearth::store::ModelProfile;
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::process::{hearth, run};
use crate::world::provider::{FakeProvider, Gate, MODEL, Script};

/// What an answer of the fake costs at [`priced`]: 7 tokens read, 3 said.
const ANSWER_USD: f64 = 0.013;

/// A tenth of a cent for a token read, two for one said.
fn priced(config: &mut Config) {
    let price = Price { input: 1000.0, output: 2000.0, cached: None };
    config.budget.prices.insert(MODEL.into(), price);
}

/// A hub that asks `paid` as `openai`, and then `house` as `local`.
async fn hub_of(paid: &FakeProvider, house: &FakeProvider) -> Running {
    hub::start_with(house, |config| {
        config.providers.active = ProviderName::Openai;
        config.providers.fallback = vec![ProviderName::Local];
        config.providers.openai.base_url = paid.base_url();
        config.providers.openai.api_key_env = None;
        priced(config);
    })
    .await
}

/// `GET` on the hub, whose answer is JSON.
async fn get(address: SocketAddr, path: &str) -> Value {
    let url = format!("http://{address}{path}");
    let asking = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        answer.body_mut().read_json().expect("JSON")
    });
    asking.await.expect("no panic")
}

fn nano(sum: &Value) -> u64 {
    sum["cost_nano_usd"].as_u64().expect("a number")
}

#[tokio::test]
async fn what_was_asked_is_known_to_the_cent_at_every_door_and_after_a_restart() {
    let paid = FakeProvider::start(Script::answer(&["Hel", "lo"])).await;
    let house = FakeProvider::start(Script::answer(&["Hello"])).await;
    let hub = hub_of(&paid, &house).await;
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat("1", "Hello").await;
    assert_eq!(answer.metadata()["usage"]["cost_usd"], ANSWER_USD);
    client.chat("2", "Hello").await;
    let answer = client.chat_with("3", "Hello", json!({"provider": "local"})).await;
    assert_eq!(answer.metadata()["usage"]["cost_usd"], 0.0, "the house is paid already");
    // The first one fails, the second one answers: two requests.
    paid.once(Script::status(500, &[], ""));
    assert_eq!(client.chat("4", "Hello").await.provider(), "local");

    let report = get(hub.address, "/api/v1/usage?by=model").await;
    let rows = report["rows"].as_array().expect("rows");
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (row["provider"].as_str().unwrap(), row["model"].as_str().unwrap(), row["requests"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told, [("openai", MODEL, 2), ("local", MODEL, 2), ("openai", "gpt-4o-mini", 1)]);
    assert_eq!((nano(&rows[0]), nano(&rows[1]), nano(&rows[2])), (26_000_000, 0, 0));
    let totals = &report["totals"];
    assert_eq!((&totals["cost_usd"], &totals["requests"], &totals["failed"]), (&0.026.into(), &5.into(), &1.into()));
    assert_eq!((&totals["input_tokens"], &totals["output_tokens"]), (&28.into(), &12.into()));
    assert_eq!((&totals["unpriced_requests"], &totals["estimated_requests"]), (&0.into(), &0.into()));
    let by_profile = get(hub.address, "/api/v1/usage?by=profile").await;
    assert_eq!(by_profile["rows"][0]["profile"], "default");

    let usage = |address: SocketAddr, arguments: &[&str]| {
        let mut command = hearth(["usage", "--url"]);
        command.arg(format!("http://{address}")).args(arguments);
        run(command)
    };
    let ended = usage(hub.address, &["--by", "model", "--json"]).await;
    assert_eq!((ended.code(), &ended.json()["rows"]), (Some(0), &report["rows"]), "{}", ended.err);
    let ended = usage(hub.address, &["--by", "provider", "--days", "7"]).await;
    let line = ended.out.lines().find(|line| line.starts_with("openai")).unwrap_or_else(|| panic!("{}", ended.out));
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["openai", "3", "1", "14", "6", "0.0260"]);
    assert!(ended.out.is_ascii(), "plain, since this is no terminal: {}", ended.out);
    assert!(ended.out.contains("US dollars a day") && ended.out.contains('#'), "{}", ended.out);

    drop(client);
    let hub = hub.restart().await;
    let again = get(hub.address, "/api/v1/usage?by=model").await;
    assert_eq!(again["rows"], report["rows"]);
    Client::v1(hub.address).await.chat("1", "Hello").await;
    let more = get(hub.address, "/api/v1/usage").await;
    assert_eq!(nano(&more["totals"]), 39_000_000);
    let ended = usage(hub.address, &["--month"]).await;
    assert!(ended.out.contains("0.0390"), "{}", ended.out);
    hub.stop().await;

    let ended = run(hearth(["usage", "--url", "http://127.0.0.1:9"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("no hub at http://127.0.0.1:9; is it running?"), "{}", ended.err);
    assert_eq!(run(hearth(["usage", "--by", "moon"])).await.code(), Some(2));
}

#[tokio::test]
async fn what_has_no_price_is_said_and_what_was_stopped_is_guessed() {
    let paid = FakeProvider::start(Script::answer(&["Hello"])).await;
    let house = FakeProvider::start(Script::answer(&["Hello"])).await;
    let hub = hub_of(&paid, &house).await;
    hub.configure(|config| config.budget.prices.clear());
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat("1", "Hello").await;
    assert!(answer.metadata()["usage"].get("cost_usd").is_none(), "{}", answer.metadata());

    hub.configure(priced);
    let gate = Gate::new();
    paid.once(Script::stream().words(&["a long answer"], Duration::ZERO).gate(&gate).end());
    client.ask_with("2", "Hello", json!({"model": MODEL})).await;
    client.until_text("2", "a long answer").await;
    assert!(client.cancel("2").await);
    assert_eq!(client.answer("2").await.code(), "cancelled");
    gate.open();
    let totals = get(hub.address, "/api/v1/usage").await["totals"].clone();
    assert_eq!((&totals["requests"], &totals["unpriced_requests"]), (&2.into(), &1.into()));
    assert_eq!((&totals["failed"], &totals["estimated_requests"]), (&1.into(), &1.into()));
    assert!(nano(&totals) > 0, "an answer that was stopped is paid for: {totals}");

    let mut command = hearth(["usage", "--url"]);
    command.arg(format!("ws://{}/ws/chat", hub.address));
    let ended = run(command).await;
    assert!(ended.out.contains("+?: 1 of 2 requests have no known price"), "{}", ended.out);
    assert!(ended.out.contains("~: 1 requests were stopped"), "{}", ended.out);
}

#[tokio::test]
async fn a_budget_that_is_used_up_leaves_the_house_to_answer_until_it_is_raised() {
    let paid = FakeProvider::start(Script::answer(&["paid"])).await;
    let house = FakeProvider::start(Script::answer(&["house"])).await;
    let hub = hub_of(&paid, &house).await;
    hub.configure(|config| config.budget.day_usd = Some(1.5 * ANSWER_USD));
    let mut client = Client::v2(hub.address).await;
    assert_eq!(client.chat("1", "Hello").await.text(), "paid");
    assert_eq!(client.chat("2", "Hello").await.text(), "paid", "the limit is not reached yet");
    let answer = client.chat("3", "Hello").await;
    assert_eq!((answer.text().as_str(), answer.provider()), ("house", "local"));
    let notices = answer.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("0.0260 of 0.0195 US dollars") && notices[0].contains("budget.day_usd"), "{notices:?}");
    assert_eq!(paid.requests().len(), 2, "nobody asks whom nobody may pay");

    let answer = client.chat_with("4", "Hello", json!({"provider": "openai"})).await;
    assert_eq!((answer.code(), answer.retryable()), ("budget_exhausted", false));
    assert!(answer.message().contains("openai was not asked"), "{}", answer.message());
    assert_eq!(client.chat_with("5", "Hello", json!({"provider": "local"})).await.text(), "house");
    hub.configure(|config| config.providers.fallback.clear());
    assert_eq!(client.chat("6", "Hello").await.code(), "budget_exhausted");

    let report = get(hub.address, "/api/v1/usage").await;
    let budget = &report["budgets"][0];
    assert_eq!(
        (&budget["period"], &budget["spent_usd"], &budget["left_usd"]),
        (&"day".into(), &0.026.into(), &0.0.into())
    );
    let mut command = hearth(["usage", "--url"]);
    command.arg(format!("http://{}", hub.address));
    let ended = run(command).await;
    let says =
        "Budget of the house, this day: 0.0260 of 0.0195 spent, nothing is left: only what runs in the house answers";
    assert!(ended.out.contains(says), "{}", ended.out);

    // A limit that is raised holds from the next question on; so does one that was there at a restart.
    hub.configure(|config| config.budget.day_usd = Some(1.0));
    assert_eq!(client.chat("7", "Hello").await.text(), "paid");
    hub.configure(|config| config.budget.month_usd = Some(2.5 * ANSWER_USD));
    drop(client);
    let hub = hub.restart().await;
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat("8", "Hello").await;
    assert_eq!(answer.code(), "budget_exhausted");
    assert!(answer.message().contains("budget.month_usd"), "{}", answer.message());
    drop(client);
    hub.stop().await;
}

#[tokio::test]
async fn a_profile_has_a_budget_of_its_own() {
    let paid = FakeProvider::start(Script::answer(&["paid"])).await;
    let house = FakeProvider::start(Script::answer(&["house"])).await;
    let hub = hub_of(&paid, &house).await;
    let child = ModelProfile { budget_day_usd: Some(ANSWER_USD), ..ModelProfile::new("child") };
    hub.store.put(child.clone(), None).await.unwrap();
    let mut client = Client::v2(hub.address).await;
    let of_child = || json!({"profile": "child"});
    assert_eq!(client.chat_with("1", "Hello", of_child()).await.text(), "paid");
    let answer = client.chat_with("2", "Hello", of_child()).await;
    assert_eq!(answer.text(), "house");
    assert!(answer.notices()[0].contains("budget_day_usd of the model profile child"), "{:?}", answer.notices());
    assert_eq!(client.chat("3", "Hello").await.text(), "paid", "others are free");
    hub.store.put(ModelProfile { budget_day_usd: Some(1.0), ..child }, None).await.unwrap();
    assert_eq!(client.chat_with("4", "Hello", of_child()).await.text(), "paid");
}

#[tokio::test]
async fn a_blob_comes_back_byte_for_byte_also_after_a_restart() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    picture.extend((0..3_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8));
    let (url, sent) = (format!("http://{}/api/v1/blobs", hub.address), picture.clone());
    let made: Value = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::post(&url).content_type("image/png").send(&sent[..]).expect("a whole upload");
        assert_eq!(answer.status(), 201);
        answer.body_mut().read_json().expect("JSON")
    })
    .await
    .expect("no panic");
    assert_eq!((&made["mime"], &made["bytes"]), (&"image/png".into(), &picture.len().into()));
    let hub = hub.restart().await;
    let url = format!("http://{}/api/v1/blobs/{}", hub.address, made["blob_id"].as_str().expect("an id"));
    let got = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(&url).call().expect("a whole answer");
        assert_eq!(answer.headers()["content-type"], "image/png");
        answer.body_mut().read_to_vec().expect("all of it")
    });
    assert!(got.await.expect("no panic") == picture);
    hub.stop().await;
}
