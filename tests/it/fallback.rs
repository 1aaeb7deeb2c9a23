//! Who answers: the next in the chain while nothing has been said, nobody else once something has; modes, names, profiles.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hearth::common::config::ProviderName;
use hearth::store::ModelProfile;
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::faults::{Fault, before_content, lifecycle};
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Gate, Script};

/// Each has a thread and a file of its own.
const HUBS_AT_ONCE: usize = 8;

/// A hub that asks `first` as `openai`, and then `second` as `local`.
async fn hub_of(first: &FakeProvider, second: &FakeProvider) -> Running {
    hub::start_with(second, |config| {
        config.providers.active = ProviderName::Openai;
        config.providers.fallback = vec![ProviderName::Local];
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.openai.first_token_s = Some(1);
    })
    .await
}

/// Each fault has a hub of its own: what the first ones did to a provider's name must not be held against it.
#[tokio::test]
async fn whatever_fails_before_content_the_next_one_answers() {
    let second = FakeProvider::start(Script::answer(&["sec", "ond"])).await;
    stream::iter(before_content()).for_each_concurrent(HUBS_AT_ONCE, |fault| stood_in_for(fault, &second)).await;
}

async fn stood_in_for(fault: Fault, second: &FakeProvider) {
    let first = FakeProvider::start(fault.script).await;
    let hub = hub_of(&first, second).await;
    let (mut v1, mut v2) = (Client::v1(hub.address).await, Client::v2(hub.address).await);
    for client in [&mut v1, &mut v2] {
        client.ask("1", "Hello").await;
    }
    let (old, new) = (v1.answer("1").await, v2.answer("1").await);
    let what = fault.what;
    for answer in [&old, &new] {
        assert_eq!((answer.text().as_str(), answer.provider()), ("second", "local"), "{what}");
        assert_eq!(answer.metadata()["usage"]["input_tokens"], 7, "{what}: the usage of the one that answered");
        let notice = answer.metadata()["notices"][0].as_str().expect("it says who stands in for whom");
        assert!(notice.starts_with("local answers instead of the first choice (openai: "), "{what}: {notice}");
    }
    assert!(old.notices().is_empty(), "v1 knows no notice chunks");
    assert_eq!(new.notices().len(), 1, "{what}");
    assert!((1..=2).contains(&first.requests().len()), "{what}: asked at most once for each question");
    hub.stop().await;
}

#[tokio::test]
async fn after_content_nobody_else_is_asked() {
    let first = FakeProvider::start(Script::default()).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    let thinking = lifecycle().event(&json!({"reasoning_content": "hm"}), Value::Null);
    for (id, script, text) in
        [("text", lifecycle().words(&["par", "t"], Duration::ZERO), "part"), ("thinking", thinking, "")]
    {
        first.once(script.hangup());
        let answer = client.chat(id, "Hello").await;
        assert_eq!((answer.text().as_str(), answer.code(), answer.retryable()), (text, "provider_error", true), "{id}");
        assert!(answer.message().starts_with("openai: "), "{}", answer.message());
    }
    assert_eq!(second.requests().len(), 0);
}

#[tokio::test]
async fn where_all_fail_the_first_one_is_the_one_to_mend() {
    let first = FakeProvider::start(Script::error(401, "invalid_api_key", "Incorrect API key", &[])).await;
    let second = FakeProvider::start(Script::status(503, &[], "")).await;
    let hub = hub_of(&first, &second).await;
    let answer = Client::v1(hub.address).await.chat("1", "Hello").await;
    assert_eq!((answer.code(), answer.retryable()), ("provider_auth", false));
    let message = answer.message();
    assert!(message.starts_with("openai: Incorrect API key") && message.contains("; then local: "), "{message}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_client_chooses_within_what_there_is() {
    let first = FakeProvider::start(Script::answer(&["first"])).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub_of(&first, &second).await;
    hub.configure(|config| config.providers.fallback.push(ProviderName::Assistant));
    let mut client = Client::v2(hub.address).await;
    for (at, (wish, provider)) in [
        (json!({}), "openai"),
        (json!({"mode": "auto"}), "openai"),
        (json!({"mode": "llm"}), "openai"),
        (json!({"mode": "local"}), "local"),
        (json!({"provider": "local"}), "local"),
        (json!({"provider": "assistant"}), "assistant"),
        (json!({"provider": "local", "model": "tiny"}), "local"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = client.chat_with(&format!("good-{at}"), "What time is it?", wish.clone()).await;
        assert_eq!(answer.provider(), provider, "{wish}");
        assert!(!answer.text().is_empty() && answer.notices().is_empty(), "{wish}");
    }
    assert_eq!(second.requests().last().unwrap().body["model"], "tiny");

    for (at, (wish, code)) in [
        (json!({"provider": "skynet"}), "bad_request"),
        (json!({"provider": "gemini"}), "provider_auth"),
        (json!({"profile": "nobody"}), "not_found"),
        (json!({"mode": "sideways"}), "bad_request"),
        (json!({"conversation_id": "../etc"}), "bad_request"),
        (json!({"attachments": [{"mime": "image/png", "data": ""}]}), "bad_request"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = client.chat_with(&format!("bad-{at}"), "Hello", wish.clone()).await;
        assert_eq!((answer.code(), answer.retryable()), (code, false), "{wish}: {}", answer.message());
    }

    // A named provider that fails is not stood in for: another's answer would be a lie.
    second.once(Script::status(500, &[], ""));
    assert_eq!(client.chat_with("named", "Hello", json!({"provider": "local"})).await.code(), "provider_error");
    // Without the network only the assistant is left, and not where a model was asked for.
    hub.configure(|config| config.providers.fallback.clear());
    hub.configure(|config| config.providers.active = ProviderName::Assistant);
    assert_eq!(client.chat_with("llm", "Hello", json!({"mode": "llm"})).await.code(), "unsupported");
    assert_eq!(client.chat("assistant", "Hello").await.provider(), "assistant");
}

#[tokio::test]
async fn a_profile_chooses_the_provider_and_the_model_and_takes_effect_at_once() {
    let first = FakeProvider::start(Script::answer(&["first"])).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    assert_eq!(client.chat("1", "Hello").await.provider(), "openai");
    let body = first.request(0).await.body;
    assert_eq!(body["messages"], json!([{"role": "user", "content": "Hello"}]));
    assert!(body.get("temperature").is_none() && body.get("max_tokens").is_none(), "{body}");

    let profile = ModelProfile {
        model: Some("gpt-special".into()),
        system_prompt: Some("Be brief.".into()),
        temperature: Some(0.5),
        max_tokens: Some(77),
        ..ModelProfile::new("default")
    };
    let put = hub.store.put(profile.clone(), None).await.unwrap();
    client.chat_with("2", "Hello", json!({"conversation_id": "new"})).await;
    let body = first.request(1).await.body;
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("gpt-special"), &json!(0.5), &json!(77))
    );
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);

    hub.store.put(ModelProfile { temperature: None, ..profile.clone() }, Some(put.revision)).await.unwrap();
    client.chat_with("3", "Hello", json!({"conversation_id": "new2"})).await;
    assert!(first.request(2).await.body.get("temperature").is_none());

    // Another profile leads elsewhere, and its model is meant for that provider alone.
    let house =
        ModelProfile { provider: Some("local".into()), model: Some("tiny".into()), ..ModelProfile::new("house") };
    hub.store.put(house, None).await.unwrap();
    second.once(Script::status(500, &[], ""));
    let answer = client.chat_with("4", "Hello", json!({"profile": "house"})).await;
    assert_eq!((answer.provider(), answer.text().as_str()), ("openai", "first"));
    assert_eq!(second.request(0).await.body["model"], "tiny");
    assert_eq!(first.request(3).await.body["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn a_change_of_the_configuration_leaves_running_answers_alone() {
    let first = FakeProvider::start(Script::default()).await;
    let second = FakeProvider::start(Script::answer(&["second"])).await;
    let hub = hub_of(&first, &second).await;
    let gate = Gate::new();
    first.once(Script::stream().words(&["be"], Duration::ZERO).gate(&gate).words(&["fore"], Duration::ZERO).end());
    let mut client = Client::v2(hub.address).await;
    client.ask("1", "Hello").await;
    client.until_text("1", "be").await;
    hub.configure(|config| config.providers.active = ProviderName::Local);
    assert_eq!(client.chat("2", "Hello").await.provider(), "local");
    gate.open();
    let answer = client.answer("1").await;
    assert_eq!((answer.text().as_str(), answer.provider()), ("before", "openai"));
}
