//! A lost socket: the answer goes on, nothing is missed, nothing comes twice, and nothing is asked twice.

use std::time::Duration;

use serde_json::json;

use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Gate, Script};

#[tokio::test]
async fn a_socket_that_was_cut_in_mid_stream_is_taken_up_where_it_was() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    for rudely in [true, false] {
        let (gate, end) = (Gate::new(), Gate::new());
        let words = Script::stream().words(&["a ", "b "], Duration::ZERO).gate(&gate);
        world.once(words.words(&["c ", "d "], Duration::ZERO).gate(&end).words(&["e"], Duration::ZERO).end());
        let number = world.requests().len();
        let mut client = Client::v2(hub.address).await;
        client.ask("chat", "Hello").await;
        client.until_text("chat", "a b ").await;
        // The client saw a part of it only.
        let seen = client.last_seq - 1;
        let session_id = client.session_id.clone();
        if rudely {
            client.abort();
        } else {
            drop(client);
        }
        gate.open();

        let mut client = Client::resume(hub.address, &session_id, seen).await;
        client.until_text("chat", "b c d ").await;
        let resumed = client.one("resume").await;
        assert_eq!(
            (&resumed["status"], &resumed["chunk"]["metadata"]["session_id"]),
            (&json!("complete"), &json!(session_id))
        );
        end.open();
        let answer = client.rest("chat").await;
        assert_eq!((answer.text().as_str(), answer.end()["status"].as_str()), ("b c d e", Some("complete")));

        // Everything again, from the first message on: the numbers have no gap, the text is whole.
        let seen_all = client.last_seq;
        drop(client);
        let mut client = Client::resume(hub.address, &session_id, 1).await;
        let whole = client.answer("chat").await;
        assert_eq!(whole.text(), "a b c d e");
        client.one("resume").await;
        client.one("resume").await;
        assert_eq!(client.last_seq, seen_all + 1);

        // The same request again: the stored answer, and nobody is asked.
        let repeated = client.chat("chat", "Hello").await;
        assert_eq!((repeated.text().as_str(), &repeated.metadata()["replayed"]), ("a b c d e", &json!(true)));
        assert_eq!(client.chat("chat", "Something else").await.code(), "id_reuse");
        assert_eq!(world.requests().len(), number + 1, "the provider was asked once");
    }
}

#[tokio::test]
async fn an_answer_that_ended_while_nobody_listened_is_there() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    world.once(Script::stream().words(&["a"], Duration::ZERO).gate(&gate).words(&["b"], Duration::ZERO).end());
    let mut client = Client::v2(hub.address).await;
    client.ask_with("chat", "Hello", json!({"conversation_id": "c"})).await;
    client.until_text("chat", "a").await;
    let (session_id, seen) = (client.session_id.clone(), client.last_seq);
    client.abort();
    gate.open();
    world.request(0).await;
    // The answer is kept when it has ended: from then on all of it waits for the client.
    crate::world::soon("the end of the answer", async {
        while hub.store.messages("c", None, 9).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut client = Client::resume(hub.address, &session_id, seen).await;
    let rest = client.rest("chat").await;
    assert_eq!((rest.text().as_str(), rest.end()["status"].as_str()), ("b", Some("complete")));
}

#[tokio::test]
async fn a_repeat_while_it_runs_joins_it() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    world.once(Script::stream().words(&["a"], Duration::ZERO).gate(&gate).words(&["b"], Duration::ZERO).end());
    let mut client = Client::v2(hub.address).await;
    client.ask("chat", "Hello").await;
    client.until_text("chat", "a").await;
    client.ask("chat", "Hello").await;
    client.one("chat").await;
    gate.open();
    let rest = client.rest("chat").await;
    assert_eq!(rest.0.iter().filter(|frame| frame["status"] == "processing").count(), 1, "the repeat is heard");
    assert_eq!(rest.text(), "ab");
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn sessions_that_are_not_there_and_messages_that_are_gone() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let mut client = Client::v1(hub.address).await;
    let resume = |session_id: &str, last_seq: u64| json!({"action": "resume", "request_id": "r", "payload": {"session_id": session_id, "last_seq": last_seq}});
    client.send(&resume("s-nobody", 0)).await;
    assert_eq!(client.one("r").await["error"]["code"], "not_found");
    assert_eq!(client.chat("1", "Hello").await.text(), "fine", "the connection stays");

    let mut lost = Client::v2(hub.address).await;
    lost.chat("old", "Hello").await;
    let session_id = lost.session_id.clone();
    lost.abort();
    // A number that has not been: what the client saw was another session.
    let mut client = Client::resume(hub.address, &session_id, 1000).await;
    let gap = client.unnumbered().await;
    assert_eq!((&gap["request_id"], &gap["error"]["code"]), (&json!("resume"), &json!("resume_gap")));
    let snapshot = &gap["error"]["snapshot"];
    assert_eq!(snapshot["last_seq"], gap["seq"]);
    let old = &snapshot["requests"][0];
    assert_eq!((&old["request_id"], &old["status"], &old["text"]), (&json!("old"), &json!("complete"), &json!("fine")));
    assert_eq!(client.chat("new", "Hello").await.text(), "fine");
}

#[tokio::test]
async fn a_session_that_is_taken_over_leaves_its_old_socket() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let gate = Gate::new();
    world.once(Script::stream().words(&["a"], Duration::ZERO).gate(&gate).words(&["b"], Duration::ZERO).end());
    let mut old = Client::v2(hub.address).await;
    old.ask("chat", "Hello").await;
    old.until_text("chat", "a").await;
    let mut new = Client::resume(hub.address, &old.session_id, old.last_seq).await;
    new.one("resume").await;
    assert_eq!(old.closed().await, Some(1000), "nobody listens to two sockets");
    gate.open();
    assert_eq!(new.rest("chat").await.text(), "b");
    assert_eq!(world.requests().len(), 1);
}
