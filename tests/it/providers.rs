//! A whole hub before providers that fail in every way: which code the client gets, what is kept of the answer, and that
//! neither the next request nor a neighbour notices.

use std::time::Duration;

use hearth::common::chat::Role;
use hearth::store::StoredMessage;
use serde_json::{Value, json};

use crate::world::client::{Answer, Client};
use crate::world::faults::{Fault, before_content};
use crate::world::hub;
use crate::world::provider::{FakeProvider, Gate, Script};

#[tokio::test]
async fn each_fault_before_content_has_its_code_and_disturbs_nobody() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    let (mut client, mut other) = (Client::v2(hub.address).await, Client::v1(hub.address).await);
    for neighbour in [&mut client, &mut other] {
        world.once(Script::stream().words(&["be"], Duration::ZERO).gate(&gate).words(&["fore"], Duration::ZERO).end());
        neighbour.ask("neighbour", "Tell me something long").await;
        neighbour.until_text("neighbour", "be").await;
    }

    for (at, fault) in before_content().into_iter().filter(|fault| !fault.slow).enumerate() {
        let asked = world.requests().len();
        world.once(fault.script.clone());
        let named = json!({"conversation_id": "faults"});
        let answer = client.chat_with(&format!("fault-{at}"), "Hello", named).await;
        check(&fault, &answer);
        assert_eq!(world.requests().len(), asked + 1, "{} was asked more than once", fault.what);
        assert_eq!(client.chat(&format!("then-{at}"), "Hello").await.text(), "fine", "after {}", fault.what);
    }
    assert_eq!(hub.store.messages("faults", None, 100).await, Ok(vec![]), "a turn without an answer leaves nothing");

    gate.open();
    for neighbour in [&mut client, &mut other] {
        let answer = neighbour.answer("neighbour").await;
        assert_eq!((answer.text().as_str(), answer.provider()), ("before", "local"));
    }
}

fn check(fault: &Fault, answer: &Answer) {
    let what = fault.what;
    assert_eq!((answer.code(), answer.retryable()), (fault.code, fault.retryable), "{what}: {}", answer.message());
    let retry_after_ms = answer.end()["error"].get("retry_after_ms").and_then(|wait| wait.as_u64());
    assert_eq!(retry_after_ms, fault.retry_after_ms, "{what}");
    assert_eq!((answer.text().as_str(), answer.0.len()), ("", 2), "{what}");
    let message = answer.message();
    assert!(message.starts_with("local: ") && message.len() > 10, "{what}: {message:?}");
    assert!(!message.contains(['<', '\n', '\0']), "{what}: not for people: {message:?}");
}

#[tokio::test]
async fn silence_ends_in_a_timeout_and_the_provider_is_left() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start_with(&world, |config| {
        config.providers.local.first_token_s = Some(1);
        config.providers.inter_token_s = 1;
    })
    .await;
    let mut client = Client::v2(hub.address).await;
    let silent: Vec<Fault> = before_content().into_iter().filter(|fault| fault.slow).collect();
    assert!(silent.len() >= 3);
    for (at, fault) in silent.iter().enumerate() {
        world.once(fault.script.clone());
        client.ask_with(&format!("silent-{at}"), "Hello", json!({"conversation_id": "silent"})).await;
        world.request(at).await;
    }
    let words = Script::stream().words(&["a", "b"], Duration::ZERO);
    world.once(words.stall());
    client.ask_with("within", "Hello", json!({"conversation_id": "within"})).await;
    world.request(silent.len()).await;
    assert_eq!(client.chat("meanwhile", "Hello").await.text(), "fine");

    for (at, fault) in silent.iter().enumerate() {
        check(fault, &client.answer(&format!("silent-{at}")).await);
        world.closed(at).await;
    }
    let within = client.answer("within").await;
    assert_eq!((within.text().as_str(), within.code(), within.retryable()), ("ab", "timeout", true));
    assert!(within.message().contains("inter_token_s"), "{}", within.message());
    world.closed(silent.len()).await;
    assert_eq!(hub.store.messages("silent", None, 100).await, Ok(vec![]));
    assert_partial(&hub.store.messages("within", None, 100).await.unwrap(), "ab");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_ended() {
    let chatter = ["x"; 200];
    let world = FakeProvider::start(Script::stream().words(&chatter, Duration::from_millis(20)).end()).await;
    let hub = hub::start_with(&world, |config| config.providers.total_s = 1).await;
    let answer = Client::v1(hub.address).await.chat("1", "Hello").await;
    assert_eq!((answer.code(), answer.retryable()), ("timeout", true));
    assert!(answer.message().contains("total_s") && !answer.text().is_empty(), "{}", answer.message());
    world.closed(0).await;
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_what_came_and_says_that_it_broke() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    let words = || Script::stream().words(&["a", "b"], Duration::ZERO);
    let overloaded = json!({"error": {"message": "Overloaded", "type": "server_error"}}).to_string();
    for (at, (what, script, retryable)) in [
        ("RST", words().wait(Duration::from_millis(20)).reset(), true),
        ("FIN", words().hangup(), true),
        ("FIN within an event", words().chunk(b"data: {\"choi").hangup(), true),
        ("the end of the body without the end of the answer", words().body_end(), true),
        ("an error event", words().sse(&overloaded).stall(), true),
        ("broken JSON", words().sse("{\"choices\":").stall(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let conversation = format!("broken-{at}");
        world.once(script);
        let answer = client.chat_with(&conversation, "Hello", json!({"conversation_id": conversation})).await;
        assert_eq!((answer.text().as_str(), answer.code()), ("ab", "provider_error"), "{what}: {}", answer.message());
        assert_eq!(answer.retryable(), retryable, "{what}: {}", answer.message());
        assert_partial(&hub.store.messages(&conversation, None, 100).await.unwrap(), "ab");
        assert_eq!(client.chat(&format!("then-{at}"), "Hello").await.text(), "fine", "after {what}");
    }
}

/// Question and the part of an answer, which is said to be one.
fn assert_partial(kept: &[StoredMessage], text: &str) {
    let kept: Vec<_> = kept.iter().map(|message| (message.role, message.text.as_str(), message.partial)).collect();
    assert_eq!(kept, [(Role::User, "Hello", false), (Role::Assistant, text, true)]);
}

#[tokio::test]
async fn a_provider_that_does_not_listen_is_offline() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v1(hub.address).await;
    drop(world);
    // The port is closed by the runtime, at its next turn.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = client.chat("1", "Hello").await;
    assert_eq!((answer.code(), answer.retryable()), ("offline", true), "{}", answer.message());
    assert!(answer.message().contains("Is the server running?"), "{}", answer.message());
}

#[tokio::test]
async fn a_provider_that_needs_a_key_and_has_none_says_which() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start_with(&world, |config| {
        config.providers.local.api_key_env = Some("A_VARIABLE_THAT_NOBODY_SETS".into());
    })
    .await;
    let answer = Client::v1(hub.address).await.chat("1", "Hello").await;
    assert_eq!((answer.code(), answer.retryable()), ("provider_auth", false));
    assert!(answer.message().contains("A_VARIABLE_THAT_NOBODY_SETS"), "{}", answer.message());
    assert_eq!(world.requests().len(), 0);
}

#[tokio::test]
async fn what_a_model_says_comes_as_it_was_said() {
    let pieces = ["Hel", "lo ", "wörld ", "\u{1F600}", " \"q\" \\ \u{2028}", "\n\ttail", " 中文"];
    let world = FakeProvider::start(Script::answer(&pieces)).await;
    let hub = hub::start(&world).await;
    for mut client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
        let answer = client.chat("1", "Hello").await;
        assert_eq!(answer.text(), pieces.concat());
        assert_eq!(answer.0.len(), pieces.len() + 2, "each piece is a chunk of its own");
        let metadata = answer.metadata();
        assert_eq!((&metadata["provider"], &metadata["model"]), (&json!("local"), &json!("fake-1")));
        assert_eq!((&metadata["finish_reason"], &metadata["usage"]["input_tokens"]), (&json!("stop"), &json!(7)));
        assert!(metadata["first_token_ms"].as_u64() <= metadata["total_ms"].as_u64());
    }
}

#[tokio::test]
async fn a_provider_that_closes_each_connection_is_asked_on_a_new_one() {
    let world = FakeProvider::start(Script::answer(&["fine"]).hangup()).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    for number in 0..100 {
        let answer = client.chat(&format!("{number}"), "Hello").await;
        assert_eq!(answer.text(), "fine", "request {number}: {}", answer.end());
    }
    assert_eq!(world.requests().len(), 100);
}

#[tokio::test]
async fn a_stream_is_known_by_what_it_says_and_not_by_its_label() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    for label in ["", "content-type: text/plain\r\n", "content-type: application/json\r\n"] {
        let head = format!("HTTP/1.1 200 OK\r\n{label}transfer-encoding: chunked\r\n\r\n");
        world.once(Script::default().raw(head.as_bytes()).words(&["fi", "ne"], Duration::ZERO).end());
        assert_eq!(client.chat(&format!("label {label}"), "Hello").await.text(), "fine", "{label:?}");
    }
}

#[tokio::test]
async fn thinking_and_tool_calls_are_for_those_who_know_them() {
    let call = json!({"tool_calls": [{"index": 0, "id": "call-1", "type": "function", "function": {"name": "lamp", "arguments": "{}"}}]});
    let script = Script::stream().event(&json!({"role": "assistant", "reasoning_content": "hm"}), Value::Null);
    let world = FakeProvider::start(script.event(&call, Value::Null).words(&["fine"], Duration::ZERO).end()).await;
    let hub = hub::start(&world).await;
    let kinds = |answer: &Answer| {
        let chunks = answer.0.iter().filter(|frame| frame["status"] == "chunk");
        chunks.map(|frame| frame["chunk"]["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answer = Client::v1(hub.address).await.chat("1", "Hello").await;
    assert_eq!((kinds(&answer), answer.text().as_str()), (vec!["text".to_owned()], "fine"));
    let answer = Client::v2(hub.address).await.chat("1", "Hello").await;
    assert_eq!(kinds(&answer), ["reasoning", "tool_call", "text"]);
    let lamp = &answer.0[2]["chunk"];
    assert_eq!(
        (&lamp["data"], &lamp["metadata"]),
        (&Value::Null, &json!({"tool_call": {"index": 0, "id": "call-1", "name": "lamp", "arguments": "{}"}}))
    );
    let mut plain = Client::v1(hub.address).await;
    plain.upgrade(&json!({"protocol": [2], "features": ["resume"]})).await;
    assert_eq!(kinds(&plain.chat("1", "Hello").await), ["tool_call", "text"]);
}

#[tokio::test]
async fn an_answer_too_long_to_be_kept_whole_is_given_and_that_is_said() {
    let word = "x".repeat(64 * 1024);
    let world = FakeProvider::start(Script::answer(&[word.as_str(); 32])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    let answer = client.chat("1", "Hello").await;
    assert_eq!(answer.text().len(), 32 * word.len());
    let notice = &answer.notices()[0];
    assert_eq!(notice, "only the first 1048576 bytes of this answer were kept");
    assert_eq!(answer.metadata()["notices"], json!([notice]));
    world.once(Script::answer(&["fine"]));
    client.chat("2", "And now?").await;
    assert_eq!(world.request(1).await.body["messages"], json!([{"role": "user", "content": "And now?"}]));
}
