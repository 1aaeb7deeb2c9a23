//! Tools and changes over the WebSocket of a whole hub. That every frame is as published is checked by the client.

use hearth::common::who::Role;
use hearth::store::{ModelProfile, Setting, User};
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Script};

async fn event(client: &mut Client) -> Value {
    let frame = client.frame().await;
    assert_eq!(frame["status"], "event", "{frame}");
    frame["event"].clone()
}

async fn subscribe(client: &mut Client, topics: Value, snapshot: bool) {
    let payload = json!({"topics": topics, "snapshot": snapshot});
    client.send(&json!({"action": "subscribe", "request_id": "s", "payload": payload})).await;
    assert_eq!(client.frame().await["chunk"]["metadata"]["topics"], topics);
}

#[tokio::test]
async fn a_change_of_the_house_is_told_and_secrets_are_not() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    subscribe(&mut client, json!(["profiles", "settings", "users"]), true).await;
    let there = event(&mut client).await;
    assert_eq!(
        (&there["kind"], &there["key"], &there["snapshot"]),
        (&json!("model_profile"), &json!("default"), &json!(true))
    );

    let kept = hub.store.put(Setting { key: "a.b".into(), value: json!(7), revision: 0 }, None).await.expect("kept");
    let expected = json!({"topic": "settings", "kind": "setting", "key": "a.b", "revision": kept.revision, "deleted": false,
        "record": {"key": "a.b", "value": 7, "revision": kept.revision}});
    assert_eq!(event(&mut client).await, expected);
    hub.store.delete::<Setting>("a.b", None).await.expect("gone");
    let gone = event(&mut client).await;
    assert_eq!((&gone["key"], &gone["deleted"], gone.get("record")), (&json!("a.b"), &json!(true), None));

    let ann = User {
        name: "ann".into(),
        display_name: None,
        role: Role::Member,
        password_hash: Some("$argon2id$v=19$secret".into()),
        disabled: false,
        allow: Vec::new(),
        deny: Vec::new(),
        rooms: None,
        created_at_ms: 1,
        revision: 0,
    };
    hub.store.put(ann, None).await.expect("kept");
    let told = event(&mut client).await;
    assert_eq!(told["record"]["name"], "ann");
    assert!(!told.to_string().contains("argon2"), "{told}");

    hub.store.put(ModelProfile::new("quick"), None).await.expect("kept");
    assert_eq!(event(&mut client).await["record"]["name"], "quick");
    client
        .send(&json!({"action": "unsubscribe", "request_id": "u", "payload": {"topics": ["settings", "users"]}}))
        .await;
    assert_eq!(client.frame().await["chunk"]["metadata"]["topics"], json!(["profiles"]));
}

#[tokio::test]
async fn what_is_said_in_a_conversation_is_told_to_who_watches_it() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let (mut watcher, mut talker) = (Client::v2(hub.address).await, Client::v2(hub.address).await);
    subscribe(&mut watcher, json!(["conversations", "conversation/c-door", "usage"]), false).await;
    talker.chat_with("1", "Is the door shut?", json!({"conversation_id": "c-door"})).await;
    let mut topics = Vec::new();
    while topics.len() < 3 {
        let event = event(&mut watcher).await;
        if event["kind"] == "conversation" {
            assert_eq!((&event["key"], &event["record"]["title"]), (&json!("c-door"), &json!("Is the door shut?")));
        }
        if !topics.contains(&event["topic"]) {
            topics.push(event["topic"].clone());
        }
    }
    topics.sort_by_key(ToString::to_string);
    assert_eq!(json!(topics), json!(["conversation/c-door", "conversations", "usage"]));
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_not_found() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    client.send(&json!({"action": "tool", "request_id": "t", "payload": {"name": "nobodys.tool"}})).await;
    assert_eq!(client.answer("t").await.code(), "not_found");
    client.send(&json!({"action": "confirm", "request_id": "c", "payload": {"confirm_id": "q", "accept": true}})).await;
    assert_eq!(client.one("c").await["error"]["code"], "not_found");
}
