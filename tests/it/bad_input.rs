//! What no good client sends: each has its code, and neither the other requests of that socket, where it stays, nor any other
//! socket notice.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Gate, Script};
use crate::world::soon;

/// An answer in the making on a socket, which goes on when the test has done its worst.
struct Neighbour {
    client: Client,
    gate: Gate,
}

impl Neighbour {
    async fn new(world: &FakeProvider, mut client: Client) -> Neighbour {
        let gate = Gate::new();
        world.once(Script::stream().words(&["be"], Duration::ZERO).gate(&gate).words(&["fore"], Duration::ZERO).end());
        client.ask("neighbour", "Hello").await;
        client.until_text("neighbour", "be").await;
        Neighbour { client, gate }
    }

    async fn assert_well(mut self) {
        self.gate.open();
        assert_eq!(self.client.answer("neighbour").await.text(), "before");
    }
}

async fn hub() -> (FakeProvider, Running) {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    (world, hub)
}

#[tokio::test]
async fn what_is_no_request_gets_an_error_and_the_connection_stays() {
    let (world, hub) = hub().await;
    for client in [Client::v1(hub.address).await, Client::v2(hub.address).await] {
        let mut neighbour = Neighbour::new(&world, client).await;
        let client = &mut neighbour.client;
        let deep = "[".repeat(100_000);
        let long = format!(r#"{{"action":"chat","request_id":"{}","payload":{{"text":"x"}}}}"#, "i".repeat(129));
        for (text, id, code) in [
            ("", None, "bad_request"),
            ("{", None, "bad_request"),
            ("null", None, "bad_request"),
            ("[1,2]", None, "bad_request"),
            (deep.as_str(), None, "bad_request"),
            (long.as_str(), None, "bad_request"),
            (r#"{"action":"chat","request_id":7,"payload":{"text":"x"}}"#, None, "bad_request"),
            (r#"{"action":"chat","request_id":"","payload":{"text":"x"}}"#, None, "bad_request"),
            (r#"{"request_id":"a","payload":{"text":"x"}}"#, Some("a"), "bad_request"),
            (r#"{"action":7,"request_id":"b"}"#, Some("b"), "bad_request"),
            (r#"{"action":"chat","request_id":"c"}"#, Some("c"), "bad_request"),
            (r#"{"action":"chat","request_id":"d","payload":"x"}"#, Some("d"), "bad_request"),
            (r#"{"action":"chat","request_id":"e","payload":{"text":["x"]}}"#, Some("e"), "bad_request"),
            (r#"{"action":"chat","request_id":"f","payload":{"text":"  "}}"#, Some("f"), "bad_request"),
            (r#"{"action":"chat","request_id":"k","payload":{"text":"\ud800"}}"#, Some("k"), "bad_request"),
            (r#"{"action":"cancel","request_id":"g","payload":{}}"#, Some("g"), "bad_request"),
            (r#"{"action":"launch","request_id":"h"}"#, Some("h"), "unknown_action"),
            (r#"{"action":"","request_id":"i"}"#, Some("i"), "unknown_action"),
            (
                r#"{"action":"chat","request_id":"neighbour","payload":{"text":"another"}}"#,
                Some("neighbour"),
                "id_reuse",
            ),
        ] {
            client.send_raw(Message::text(text)).await;
            let frame = client.frame().await;
            let shown: String = text.chars().take(80).collect();
            assert_eq!((&frame["request_id"], &frame["error"]["code"]), (&json!(id), &json!(code)), "{shown}: {frame}");
            assert_eq!(frame["error"]["retryable"], false, "{shown}");
            assert!(frame.to_string().len() < 2048, "a long answer to {shown}");
        }
        client.send_raw(Message::binary(vec![0, 159, 146, 150])).await;
        assert_eq!(client.frame().await["error"]["code"], "bad_request");
        assert_eq!(client.chat("then", "Hello").await.text(), "fine");
        neighbour.assert_well().await;
    }
}

#[tokio::test]
async fn a_chat_without_an_id_gets_one() {
    let (_world, hub) = hub().await;
    let mut client = Client::v1(hub.address).await;
    for id in ["req-1", "req-2"] {
        client.send(&json!({"action": "chat", "payload": {"text": "Hello"}})).await;
        assert_eq!(client.answer(id).await.text(), "fine");
    }
}

#[tokio::test]
async fn an_id_of_a_v1_client_may_come_again_once_it_is_free() {
    let (world, hub) = hub().await;
    let mut neighbour = Neighbour::new(&world, Client::v1(hub.address).await).await;
    let client = &mut neighbour.client;
    for _ in 0..3 {
        assert_eq!(client.chat("same", "Hello").await.text(), "fine");
    }
    client.ask("neighbour", "Hello").await;
    assert_eq!(client.frame().await["error"]["code"], "id_reuse");
    neighbour.assert_well().await;
}

/// A masked frame's head (RFC 6455 §5.2) with a mask of zeros.
fn head(first_byte: u8, len: u64) -> Vec<u8> {
    [&[first_byte, 0x80 | 127][..], &len.to_be_bytes(), &[0; 4]].concat()
}

#[tokio::test]
async fn what_breaks_the_socket_breaks_no_other() {
    let (world, hub) = hub().await;
    let neighbour = Neighbour::new(&world, Client::v2(hub.address).await).await;
    let text = |len: usize| [head(0x81, len as u64), vec![b'x'; len]].concat();
    let fragments: Vec<u8> = std::iter::once(head(0x01, 1000))
        .chain((0..1500).map(|_| head(0x00, 1000)))
        .flat_map(|head| [head, vec![b'x'; 1000]].concat())
        .collect();
    for (what, bytes, code) in [
        ("a frame of 10 MB", text(10 * 1024 * 1024), 1009),
        ("the head of a frame of 2^62 bytes", head(0x82, 1 << 62), 1009),
        ("a message over 1 MiB", text(1024 * 1024 + 1), 1009),
        ("fragments without an end", fragments, 1009),
        ("text that is not UTF-8", [head(0x81, 2), vec![0xC3, 0x28]].concat(), 1007),
        ("an unknown opcode", head(0x83, 0), 1002),
        ("a frame without a mask", vec![0x81, 1, b'x'], 1002),
        ("a reserved bit", [head(0xC1, 1), vec![b'x']].concat(), 1002),
        ("a continuation of nothing", head(0x80, 0), 1002),
        ("a ping of 126 bytes", [head(0x89, 126), vec![0; 126]].concat(), 1002),
    ] {
        let mut client = Client::v1(hub.address).await;
        client.send_bytes(&bytes).await;
        assert_eq!(client.closed().await, Some(code), "{what}");
    }
    let mut client = Client::v1(hub.address).await;
    client.send_bytes(&head(0x81, 1024 * 1024)[..6]).await;
    client.abort();

    let mut client = Client::v1(hub.address).await;
    let longest = "x".repeat(1024 * 1024 - 100);
    assert_eq!(client.chat("1", &longest).await.text(), "fine", "a message within the limit is a question");
    neighbour.assert_well().await;
}

#[tokio::test]
async fn a_flood_ends_the_socket_that_it_comes_from() {
    let (world, hub) = hub().await;
    let neighbour = Neighbour::new(&world, Client::v2(hub.address).await).await;
    for (what, frame, code) in [
        ("messages", json!({"action": "ping", "request_id": "p"}).to_string(), 4429),
        ("malformed messages", "nonsense".to_owned(), 4400),
    ] {
        let mut client = Client::v1(hub.address).await;
        let one = [head(0x81, frame.len() as u64), frame.into_bytes()].concat();
        client.send_bytes(&one.repeat(if code == 4400 { 600 } else { 4000 })).await;
        assert_eq!(client.closed().await, Some(code), "{what}");
    }
    neighbour.assert_well().await;
}

#[tokio::test]
async fn sockets_that_never_ask_hold_nobody_up() {
    let (world, hub) = hub().await;
    let neighbour = Neighbour::new(&world, Client::v2(hub.address).await).await;
    let slow = join_all((0..200).map(|at| async move {
        let mut stream = TcpStream::connect(hub.address).await.expect("the hub takes it");
        let begun = ["", "G", "GET / HTTP/1.1\r\n", "GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: 1"][at % 4];
        stream.write_all(begun.as_bytes()).await.expect("an open socket");
        stream
    }))
    .await;
    assert_eq!(Client::v1(hub.address).await.chat("1", "Hello").await.text(), "fine");
    // Each is shown the door in its time.
    let gone = join_all(slow.into_iter().map(|mut stream| async move {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
    }));
    soon("the end of slow sockets", gone).await;
    neighbour.assert_well().await;
}

#[tokio::test]
async fn strangers_are_refused_before_the_socket() {
    let (_world, hub) = hub().await;
    let port = hub.address.port();
    let own = format!("127.0.0.1:{port}");
    for (host, origin, status) in [
        (own.as_str(), None, "101"),
        (own.as_str(), Some(format!("http://127.0.0.1:{port}")), "101"),
        (own.as_str(), Some("https://evil.example".into()), "403"),
        (own.as_str(), Some("null".into()), "403"),
        ("evil.example", None, "421"),
        ("169.254.169.254", None, "421"),
    ] {
        let origin_line = origin.as_ref().map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
        let request = format!(
            "GET /ws/chat HTTP/1.1\r\nHost: {host}\r\n{origin_line}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut stream = TcpStream::connect(hub.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        soon("a status", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{host} {origin:?}");
    }
}

#[tokio::test]
async fn hello_may_come_late_twice_or_in_vain() {
    let (_world, hub) = hub().await;
    let mut client = Client::v1(hub.address).await;
    client.send(&json!({"action": "hello", "request_id": "h", "payload": {"protocol": [3, 4]}})).await;
    assert_eq!(client.one("h").await["error"]["code"], "unsupported");
    assert_eq!(client.chat("v1", "Hello").await.text(), "fine", "it is a v1 client still");
    client.upgrade(&json!({"protocol": [1, 2, 3], "features": ["resume", "telepathy"]})).await;
    assert_eq!(client.chat("v2", "Hello").await.text(), "fine");
    let session_id = client.session_id.clone();
    client.upgrade(&json!({"protocol": [2]})).await;
    assert_eq!(client.session_id, session_id);
    client.send(&json!({"action": "ping", "request_id": "p", "payload": {"t": {"any": [1]}}})).await;
    let pong: Value = client.one("p").await;
    assert_eq!(pong["chunk"]["metadata"]["t"], json!({"any": [1]}));
    assert!(pong["chunk"]["metadata"]["server_t"].as_u64() > Some(1_735_689_600_000));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_providers_back_and_is_shown_the_door() {
    let word = "x".repeat(64 * 1024);
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let hub = hub::start(&world).await;
    let neighbour = Neighbour::new(&world, Client::v2(hub.address).await).await;
    // Larger than all buffers on the way.
    world.times(2, &Script::answer(&[word.as_str(); 240]));
    let (mut client, mut plain) = (Client::v2(hub.address).await, Client::v1(hub.address).await);
    client.ask("much", "Hello").await;
    world.request(1).await;
    plain.ask("much", "Hello").await;
    // Where a session ends with its socket, the provider is left: that is how it can be seen from outside.
    world.closed(2).await;
    assert_eq!(plain.closed().await, Some(4408));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (session_id, seen) = (client.session_id.clone(), client.last_seq);
    assert_eq!(client.closed().await, Some(4408));
    assert!(client.last_seq < 200, "{} chunks were taken in", client.last_seq);
    drop(client);
    let mut client = Client::resume(hub.address, &session_id, seen).await;
    let gap = client.unnumbered().await;
    assert_eq!((&gap["request_id"], &gap["error"]["code"]), (&json!("resume"), &json!("resume_gap")));
    let snapshot = &gap["error"]["snapshot"];
    assert_eq!((&snapshot["last_seq"], &snapshot["requests"][0]["request_id"]), (&gap["seq"], &json!("much")));
    if snapshot["requests"][0]["status"] == "processing" {
        let rest = client.rest("much").await;
        assert_eq!(rest.end()["status"], "complete", "{}", rest.end());
    }
    assert_eq!(client.chat("then", "Hello").await.text(), "fine");
    neighbour.assert_well().await;
}
