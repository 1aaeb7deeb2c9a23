//! An answer that one provider begins and another ends, where the profile allows it.

use std::time::Duration;

use hearth::common::chat::Role;
use hearth::common::config::ProviderName;
use hearth::store::{ModelProfile, StoredMessage};
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script};

/// A hub that asks `first` as `openai`, then `second` as `local`, and goes on elsewhere where a stream breaks.
async fn hub_of(first: &FakeProvider, second: &FakeProvider) -> Running {
    let hub = hub::start_with(second, |config| {
        (config.providers.active, config.providers.fallback) = (ProviderName::Openai, vec![ProviderName::Local]);
        config.providers.openai.base_url = first.base_url();
        config.providers.openai.api_key_env = None;
        config.providers.inter_token_s = 1;
    })
    .await;
    let profile = ModelProfile { continue_elsewhere: true, ..ModelProfile::new("default") };
    hub.store.put(profile, None).await.expect("room");
    hub
}

fn kept(messages: &[StoredMessage]) -> Vec<(Role, &str, bool, Option<&str>)> {
    let of = |one: &'_ StoredMessage| (one.role, one.partial);
    messages.iter().map(|one| (of(one).0, one.text.as_str(), of(one).1, one.provider.as_deref())).collect()
}

#[tokio::test]
async fn the_next_one_goes_on_and_both_parts_are_kept() {
    let first = FakeProvider::start(Script::default()).await;
    let second = FakeProvider::start(Script::answer(&["three", ", four."])).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    let begun = || Script::stream().words(&["One, ", "two, "], Duration::ZERO);
    let overloaded = json!({"error": {"message": "Overloaded", "type": "server_error"}}).to_string();
    for (at, (what, script)) in [
        ("RST", begun().wait(Duration::from_millis(20)).reset()),
        ("an error event", begun().sse(&overloaded).stall()),
        ("silence", begun().stall()),
    ]
    .into_iter()
    .enumerate()
    {
        first.once(script);
        let id = format!("c{at}");
        let answer = client.chat_with(what, "Count to four.", json!({"conversation_id": id})).await;
        assert_eq!((answer.text().as_str(), answer.provider()), ("One, two, three, four.", "local"), "{what}");
        let [notice] = &answer.notices()[..] else { panic!("{what}: {:?}", answer.notices()) };
        assert!(notice.starts_with("local goes on where another one broke off (openai: "), "{what}: {notice}");

        let read = second.request(at).await.body["messages"].clone();
        let read: Vec<_> =
            read.as_array().expect("messages").iter().map(|one| (&one["role"], &one["content"])).collect();
        let (user, assistant) = (json!("user"), json!("assistant"));
        assert_eq!(read[..2], [(&user, &json!("Count to four.")), (&assistant, &json!("One, two, "))], "{what}");
        assert!(
            read[2].0 == &user && read[2].1.as_str().is_some_and(|text| text.contains("Go on")),
            "{what}: {read:?}"
        );
        assert_eq!(read.len(), 3, "{what}");

        let messages = hub.store.messages(&id, None, 9).await.expect("readable");
        let want = [
            (Role::User, "Count to four.", false, None),
            (Role::Assistant, "One, two, ", true, Some("openai")),
            (Role::Assistant, "three, four.", false, Some("local")),
        ];
        assert_eq!(kept(&messages), want, "{what}");
    }
}

#[tokio::test]
async fn where_nobody_can_go_on_the_answer_is_no_whole_one() {
    let first = FakeProvider::start(Script::stream().words(&["One"], Duration::ZERO).hangup()).await;
    let second = FakeProvider::start(Script::status(500, &[], "")).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat_with("1", "Count.", json!({"conversation_id": "c"})).await;
    assert_eq!((answer.text().as_str(), answer.code()), ("One", "provider_error"));
    let message = answer.message();
    assert!(message.starts_with("openai: ") && message.contains("; then local: "), "{message}");
    let messages = hub.store.messages("c", None, 9).await.expect("readable");
    assert_eq!(kept(&messages)[1], (Role::Assistant, "One", true, Some("openai")));

    // A call of a tool cannot be gone on from.
    let call = json!({"tool_calls": [{"index": 0, "id": "call-1", "type": "function", "function": {"name": "lamp", "arguments": "{"}}]});
    first.once(Script::stream().event(&call, Value::Null).hangup());
    let asked = second.requests().len();
    assert_eq!(client.chat("2", "Light!").await.code(), "provider_error");
    assert_eq!(second.requests().len(), asked);
}

#[tokio::test]
async fn a_stop_in_the_second_part_keeps_both() {
    let first = FakeProvider::start(Script::stream().words(&["One, "], Duration::ZERO).hangup()).await;
    let second = FakeProvider::start(Script::stream().words(&["two"], Duration::ZERO).stall()).await;
    let hub = hub_of(&first, &second).await;
    let mut client = Client::v2(hub.address).await;
    client.ask_with("1", "Count.", json!({"conversation_id": "c"})).await;
    client.until_text("1", "One, two").await;
    assert!(client.cancel("1").await);
    assert_eq!(client.answer("1").await.code(), "cancelled");
    let messages = hub.store.messages("c", None, 9).await.expect("readable");
    let parts: Vec<_> = messages.iter().map(|one| (one.text.as_str(), one.partial)).collect();
    assert_eq!(parts, [("Count.", false), ("One, ", true), ("two", true)]);
}
