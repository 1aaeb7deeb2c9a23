//! What the model is given to read again: the conversation so far, in order, within its budget, also after a restart.

use std::time::Duration;

use hearth::common::config::Config;
use hearth::store::{ModelProfile, estimated_tokens};
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Gate, Recorded, Script};

/// Role and text of each message that the provider was sent.
fn messages(request: &Recorded) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().expect("a string").to_owned();
    let list = request.body["messages"].as_array().expect("a list of messages");
    list.iter().map(|message| (word(&message["role"]), word(&message["content"]))).collect()
}

fn said<const N: usize>(messages: [(&str, &str); N]) -> Vec<(String, String)> {
    messages.map(|(role, text)| (role.to_owned(), text.to_owned())).to_vec()
}

fn prompted(config: &mut Config) {
    config.model_profile.system_prompt = Some("Be brief.".into());
}

#[tokio::test]
async fn the_second_turn_has_the_first_one_and_a_new_conversation_has_nothing() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start_with(&world, prompted).await;
    world.once(Script::answer(&["I am ", "Ada."]));
    world.times(4, &Script::answer(&["Yes."]));
    let mut client = Client::v1(hub.address).await;
    client.chat("1", "Who are you?").await;
    client.chat("2", "Really?").await;
    let first = [("system", "Be brief."), ("user", "Who are you?")];
    assert_eq!(messages(&world.request(0).await), said(first));
    let both = [first[0], first[1], ("assistant", "I am Ada."), ("user", "Really?")];
    assert_eq!(messages(&world.request(1).await), said(both));

    // Another connection is another conversation; so is another name.
    Client::v1(hub.address).await.chat("1", "Hello").await;
    assert_eq!(messages(&world.request(2).await), said([("system", "Be brief."), ("user", "Hello")]));
    let mut client = Client::v2(hub.address).await;
    client.chat_with("1", "Hello", json!({"conversation_id": "kitchen"})).await;
    assert_eq!(messages(&world.request(3).await).len(), 2);
    client.chat_with("2", "Hello", json!({"conversation_id": "cellar"})).await;
    assert_eq!(messages(&world.request(4).await).len(), 2);
}

#[tokio::test]
async fn a_conversation_survives_a_restart_and_is_the_same_for_every_client() {
    let world = FakeProvider::start(Script::answer(&["Noted."])).await;
    let hub = hub::start_with(&world, prompted).await;
    let named = || json!({"conversation_id": "house"});
    let answer = Client::v2(hub.address).await.chat_with("1", "The key is under the mat.", named()).await;
    assert_eq!(answer.metadata()["conversation_id"], "house");
    let hub = hub.restart().await;
    let mut client = Client::v1(hub.address).await;
    client.chat_with("1", "Where is the key?", named()).await;
    let wanted = [
        ("system", "Be brief."),
        ("user", "The key is under the mat."),
        ("assistant", "Noted."),
        ("user", "Where is the key?"),
    ];
    assert_eq!(messages(&world.request(1).await), said(wanted));
    drop(client);
    hub.stop().await;
}

#[tokio::test]
async fn a_turn_that_failed_is_forgotten_and_one_that_broke_off_is_read_again() {
    let world = FakeProvider::start(Script::answer(&["Fine."])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v1(hub.address).await;
    world.once(Script::status(500, &[], ""));
    assert_eq!(client.chat("1", "lost").await.code(), "provider_error");
    world.once(Script::stream().words(&["half"], Duration::ZERO).hangup());
    assert_eq!(client.chat("2", "broken").await.code(), "provider_error");
    client.chat("3", "and now?").await;
    assert_eq!(
        messages(&world.request(2).await),
        said([("user", "broken"), ("assistant", "half"), ("user", "and now?")])
    );
}

#[tokio::test]
async fn turns_that_run_at_once_are_each_kept_whole() {
    let world = FakeProvider::start(Script::answer(&["Fine."])).await;
    let hub = hub::start(&world).await;
    let gates: Vec<Gate> = (0..8).map(|_| Gate::new()).collect();
    let mut client = Client::v2(hub.address).await;
    for (at, gate) in gates.iter().enumerate() {
        world.once(Script::stream().gate(gate).words(&[&format!("answer {at}")], Duration::ZERO).end());
        client.ask_with(&format!("{at}"), &format!("question {at}"), json!({"conversation_id": "c"})).await;
        // A turn reads no more than what has ended before it.
        assert_eq!(messages(&world.request(at).await), said([("user", &*format!("question {at}"))]));
    }
    for (at, gate) in gates.iter().enumerate().rev() {
        gate.open();
        assert_eq!(client.answer(&format!("{at}")).await.text(), format!("answer {at}"));
    }
    client.chat_with("last", "and?", json!({"conversation_id": "c"})).await;
    let read = messages(&world.request(gates.len()).await);
    let order = (0..gates.len()).rev();
    let kept =
        order.flat_map(|at| said([("user", &*format!("question {at}")), ("assistant", &*format!("answer {at}"))]));
    assert_eq!(read, kept.chain(said([("user", "and?")])).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_oldest_turns_make_room_within_the_budget() {
    let world = FakeProvider::start(Script::answer(&["A word of about ten letters and some more of them."])).await;
    let hub = hub::start(&world).await;
    let profile = ModelProfile { context_tokens: 256, max_tokens: Some(100), ..ModelProfile::new("default") };
    hub.store.put(profile, None).await.unwrap();
    let mut client = Client::v1(hub.address).await;
    for at in 0..12 {
        client.chat(&format!("{at}"), &format!("This is the question number {at}, and a rather long one.")).await;
    }
    let last = messages(&world.request(11).await);
    let tokens: u64 = last.iter().map(|(_, text)| estimated_tokens(text)).sum();
    assert!(tokens + 100 <= 256, "{tokens} tokens and an answer of 100");
    assert!(last.len() >= 5 && last.len() < 23, "{} messages", last.len());
    assert_eq!(last[0].0, "user", "history begins with a question");
    assert!(last.last().unwrap().1.contains("number 11,") && last[last.len() - 3].1.contains("number 10,"));
}
