//! What the hub publishes about itself, and the doors beside the WebSocket. That the frames are as published is checked by
//! the client of every other test.

use hearth::gateway::session::wire;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::client::Client;
use crate::world::provider::{FakeProvider, Script};
use crate::world::{hub, schema, soon};

/// Status line and body of one request.
async fn get(address: std::net::SocketAddr, path: &str) -> (String, String) {
    soon("an answer", async {
        let mut stream = TcpStream::connect(address).await.expect("the hub listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("an open socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("a whole answer of text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    })
    .await
}

#[tokio::test]
async fn the_protocol_is_published_as_it_is_spoken() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let (status, body) = get(hub.address, "/api/protocol.json").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let published: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(published, wire::schemas());
    let actions =
        ["hello", "chat", "image", "speak", "tool", "subscribe", "unsubscribe", "confirm", "cancel", "resume", "ping"];
    for action in actions {
        assert!(published["client"]["actions"][action].is_object(), "{action}");
    }
    let (status, body) = get(hub.address, "/healthz").await;
    assert_eq!(
        (status.as_str(), &serde_json::from_str::<Value>(&body).unwrap()["status"]),
        ("HTTP/1.1 200 OK", &json!("ok"))
    );
    assert!(get(hub.address, "/nowhere").await.0.contains("404"));
    let (status, page) = get(hub.address, "/").await;
    assert!(status.contains("200") && page.contains("<!doctype html>"), "{status}");
}

#[tokio::test]
async fn what_clients_send_is_as_published() {
    let schemas = wire::schemas();
    let actions = &schemas["client"]["actions"];
    let good = [
        ("chat", json!({"text": "Tell me a joke"})),
        ("chat", json!({"text": "x", "conversation_id": "c", "mode": "local", "later": {"unknown": true}})),
        ("chat", json!({"text": "x", "voice": {"speak": true, "voice": "openai/nova", "lang": "en", "format": "mp3"}})),
        ("chat", json!({"text": "x", "attachments": [{"mime": "image/gif", "data": "R0lGODlh"}, {"blob_id": "b-1"}]})),
        ("image", json!({"prompt": "a cat"})),
        (
            "image",
            json!({"prompt": "a cat", "size": "16:9", "n": 4, "quality": "low", "partial_images": 3, "model": "m"}),
        ),
        ("speak", json!({"text": "Hello."})),
        ("speak", json!({"text": "Hello.", "voice": "espeak", "lang": "en-GB", "format": "wav"})),
        ("hello", json!({"protocol": [2], "client": {"name": "page"}, "features": ["resume"]})),
        ("tool", json!({"name": "status"})),
        ("tool", json!({"name": "lights.set", "arguments": {"on": true}})),
        ("subscribe", json!({"topics": ["settings", "conversation/c-1"], "snapshot": true})),
        ("unsubscribe", json!({"topics": ["settings"]})),
        ("confirm", json!({"confirm_id": "q-1", "accept": false})),
        ("cancel", json!({"target": "chat-1"})),
        ("resume", json!({"session_id": "s", "last_seq": 7})),
        ("ping", json!({})),
    ];
    let bad = [
        ("chat", json!({})),
        ("chat", json!({"text": 7})),
        ("chat", json!({"text": "x", "mode": "sideways"})),
        ("chat", json!({"text": "x", "voice": "nova"})),
        ("chat", json!({"text": "x", "voice": {"speak": "yes"}})),
        ("chat", json!({"text": "x", "attachments": "b-1"})),
        ("chat", json!({"text": "x", "attachments": [{"blob_id": 1}]})),
        ("chat", json!({"text": "x", "attachments": vec![json!({"blob_id": "b-1"}); 9]})),
        ("image", json!({})),
        ("image", json!({"prompt": "a cat", "n": 0})),
        ("image", json!({"prompt": "a cat", "n": 5})),
        ("image", json!({"prompt": "a cat", "quality": "best"})),
        ("image", json!({"prompt": "a cat", "partial_images": 4})),
        ("speak", json!({})),
        ("speak", json!({"text": "x", "format": "flac"})),
        ("auth", json!({})),
        ("auth", json!({"token": 7})),
        ("hello", json!({"protocol": "2"})),
        ("tool", json!({})),
        ("tool", json!({"name": "status", "arguments": [1]})),
        ("subscribe", json!({})),
        ("subscribe", json!({"topics": "settings"})),
        ("subscribe", json!({"topics": vec!["settings"; 65]})),
        ("subscribe", json!({"topics": ["settings"], "snapshot": "yes"})),
        ("unsubscribe", json!({"topics": [7]})),
        ("confirm", json!({"confirm_id": "q-1"})),
        ("confirm", json!({"accept": true})),
        ("cancel", json!({})),
        ("resume", json!({"session_id": "s"})),
        ("resume", json!({"session_id": "s", "last_seq": -1})),
    ];
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    for (is_good, (action, payload)) in
        good.into_iter().map(|row| (true, row)).chain(bad.into_iter().map(|row| (false, row)))
    {
        assert_eq!(schema::problems(&actions[action], &payload).is_empty(), is_good, "{action} {payload}");
        // The hub judges as its schema does.
        let mut client = Client::v1(hub.address).await;
        if ["tool", "subscribe", "unsubscribe", "confirm"].contains(&action) {
            client.upgrade(&json!({"protocol": [2]})).await;
        }
        client.send(&json!({"action": action, "request_id": "1", "payload": payload})).await;
        let refused = client.unnumbered().await["error"]["code"] == "bad_request";
        assert_eq!(refused, !is_good, "{action} {payload}");
    }
}

#[test]
fn the_check_of_frames_is_awake() {
    let frame = &wire::schemas()["server"]["frame"];
    let good = json!({"request_id": "1", "status": "chunk", "chunk": {"type": "text", "data": "a", "metadata": {}}});
    assert_eq!(schema::problems(frame, &good), [] as [String; 0]);
    for (path, value) in [
        ("/status", json!("done")),
        ("/request_id", json!(7)),
        ("/chunk", json!("a")),
        ("/chunk/type", json!("txt")),
        ("/chunk/data", json!(["a"])),
        ("/chunk/metadata", json!(null)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        assert!(!schema::problems(frame, &bad).is_empty(), "{path}");
    }
    let error =
        json!({"request_id": null, "status": "error", "error": {"code": "timeout", "message": "", "retryable": true}});
    assert_eq!(schema::problems(frame, &error), [] as [String; 0]);
    for (field, value) in
        [("code", json!("teapot")), ("message", json!(7)), ("retryable", json!("yes")), ("retry_after_ms", json!(-1))]
    {
        let mut bad = error.clone();
        bad["error"][field] = value;
        assert!(!schema::problems(frame, &bad).is_empty(), "{field}");
    }
    let mut bad = error;
    bad["error"].as_object_mut().unwrap().remove("retryable");
    assert!(!schema::problems(frame, &bad).is_empty());
}
