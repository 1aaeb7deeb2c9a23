//! Many at once: on one socket and on many. Every stream is whole, in order, and its own.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Script};

const STREAMS: usize = 100;

const WORDS: usize = 20;

/// An answer whose words say which one it is and where they stand.
fn script(number: usize) -> (Script, String) {
    let words: Vec<String> = (0..WORDS).map(|at| format!("{number}.{at} ")).collect();
    let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
    (Script::stream().words(&borrowed, Duration::from_millis(2)).end(), words.concat())
}

#[tokio::test]
async fn a_hundred_requests_on_one_socket() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    for mut client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
        let first = world.requests().len();
        let mut wanted = Vec::new();
        for number in 0..STREAMS {
            let (script, text) = script(number);
            world.once(script);
            wanted.push(text);
            let wish = json!({"conversation_id": format!("c-{number}")});
            client.ask_with(&format!("{number}"), &format!("question {number}"), wish).await;
        }
        // Which answer a request gets is the order in which the requests reached the provider.
        world.request(first + STREAMS - 1).await;
        let requests = world.requests();
        for (at, request) in requests[first..].iter().enumerate() {
            let question = request.body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
            let id = question.strip_prefix("question ").expect("our own words").to_owned();
            let answer = client.answer(&id).await;
            assert_eq!(answer.text(), wanted[at], "request {id}");
            assert_eq!(answer.0.len(), WORDS + 2, "each word is a chunk of its own");
        }
    }
}

#[tokio::test]
async fn a_hundred_sockets() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let mut wanted = Vec::new();
    for number in 0..STREAMS {
        let (script, text) = script(number);
        world.once(script);
        wanted.push(text);
    }
    let asking = (0..STREAMS).map(|number| async move {
        let mut client = if number % 2 == 0 { Client::v1(hub.address).await } else { Client::v2(hub.address).await };
        client.chat("same-id", "Hello").await.text()
    });
    let mut heard = join_all(asking).await;
    heard.sort();
    wanted.sort();
    assert_eq!(heard, wanted);
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_others_go_on() {
    let world = FakeProvider::start(Script::stream().stall()).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v2(hub.address).await;
    let max = hearth::common::limits::REQUESTS_IN_FLIGHT_MAX;
    for number in 0..max {
        client.ask(&format!("{number}"), "Hello").await;
    }
    world.request(max - 1).await;
    let refused = client.chat("too-many", "Hello").await;
    assert_eq!((refused.code(), refused.retryable()), ("rate_limited", true));
    assert!(client.cancel("0").await);
    assert_eq!(client.answer("0").await.code(), "cancelled");
    world.once(Script::answer(&["fine"]));
    assert_eq!(client.chat("now", "Hello").await.text(), "fine");
}
