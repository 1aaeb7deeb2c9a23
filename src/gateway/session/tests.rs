//! The door as a client meets it: real sockets and raw frames outside, a provider on strings inside.

mod media;
mod tools;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::close;
use crate::adapters::llm::{Answer, Arrival, Provider};
use crate::common::chat::{ChatRequest, Event};
use crate::common::config::{Config, ProviderName};
use crate::common::error::ProviderError;
use crate::common::limits::MESSAGE_BYTES_MAX;
use crate::common::who::{self, Principal};
use crate::gateway::context::Request;
use crate::gateway::session::Feeds;
use crate::gateway::testing::{HANG, Open, PATIENT, body, context, header, open_with, status};
use crate::mcp::{Changed, Service};
use crate::router::{Roster, Router};
use crate::store::Store;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A hub whose only provider says what the test lets it say.
struct House {
    open: Open,
    asked: mpsc::UnboundedReceiver<(ChatRequest, mpsc::Sender<Event>)>,
    store: Store,
    calls: tools::CallsSeen,
    tools_changed: tokio::sync::broadcast::Sender<Changed>,
    _roster: watch::Sender<Arc<Roster>>,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

/// Hands a string to the test with each question. To drop the string ends the answer.
struct Puppet {
    asked: mpsc::UnboundedSender<(ChatRequest, mpsc::Sender<Event>)>,
}

impl Provider for Puppet {
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (string, mut said) = mpsc::channel(1);
        self.asked.send((request, string)).expect("the test listens");
        #[expect(clippy::disallowed_methods, reason = "stands in for a driver")]
        let answer = futures_util::stream::poll_fn(move |cx| {
            said.poll_recv(cx).map(|event| Some(Ok(Arrival { received_at: Instant::now(), event: event? })))
        });
        Box::pin(std::future::ready(Ok(Box::pin(answer) as Answer)))
    }
}

impl House {
    async fn new() -> House {
        let mut config = Config::default();
        config.providers.active = ProviderName::Local;
        config.providers.fallback.clear();
        let (tell_asked, asked) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        store.seed_profile(&config.model_profile).await.expect("an empty store");
        let puppet: Arc<dyn Provider> = Arc::new(Puppet { asked: tell_asked });
        let (roster, roster_seen) =
            watch::channel(Arc::new(Roster { providers: [(ProviderName::Local, puppet)].into(), ..Roster::default() }));
        let (_, settings) = watch::channel(Arc::new(config.clone()));
        let (stop, stopping) = watch::channel(false);
        let mut context = context(settings.clone(), stopping);
        let (shed, calls) = tools::shed();
        let (tools_changed, _) = tokio::sync::broadcast::channel(16);
        context.tools = Service::new(vec![Arc::new(shed)], tools_changed.clone());
        context.sessions.tools = context.tools.clone();
        context.sessions.feeds = Feeds::new(store.clone(), context.tools.clone(), None);
        context.sessions.router = Router::new(settings, roster_seen, store.clone(), context.tools.clone());
        context.sessions.store = store.clone();
        let context = Arc::new(context);
        let answer = move |caller, request: Request| crate::gateway::chat::get(context.clone(), caller, request);
        let open = open_with(config, PATIENT, answer);
        House { open, asked, store, calls, tools_changed, _roster: roster, _stop: stop, _folder: folder }
    }

    /// The string of the next question.
    async fn asked(&mut self) -> mpsc::Sender<Event> {
        self.question().await.1
    }

    async fn question(&mut self) -> (ChatRequest, mpsc::Sender<Event>) {
        timeout(HANG, self.asked.recv()).await.expect("a question within reason").expect("the puppet lives")
    }

    async fn connect(&self) -> Client {
        self.connect_with("").await
    }

    async fn connect_with(&self, headers: &str) -> Client {
        let mut stream = self.open.connect().await;
        stream.write_all(opening("localhost", headers).as_bytes()).await.expect("an open connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(HANG, stream.read_u8()).await.expect("an answer within reason").expect("a head"));
        }
        let head = String::from_utf8(head).expect("a head is text");
        assert_eq!(status(&head), 101, "{head}");
        let (reader, writer) = stream.into_split();
        let mut client = Client { reader, writer, head };
        assert_eq!(client.hear().await["request_id"], "welcome");
        client
    }

    /// A client of v2 that can be resumed, and its session.
    async fn connect_v2(&self) -> (Client, String) {
        let mut client = self.connect().await;
        client.say(r#"{"action":"hello","request_id":"h","payload":{"protocol":[2],"features":["resume"]}}"#).await;
        let session_id = client.hear().await["chunk"]["metadata"]["session_id"].as_str().expect("an id").to_owned();
        (client, session_id)
    }
}

fn opening(host: &str, headers: &str) -> String {
    format!(
        "GET /ws/chat HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

struct Client {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    head: String,
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        timeout(HANG, self.writer.write_all(bytes)).await.expect("taken within reason").expect("an open connection");
    }

    async fn say(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes())).await;
    }

    async fn chat(&mut self, id: &str) {
        self.say(&format!(r#"{{"action":"chat","request_id":"{id}","payload":{{"text":"hi"}}}}"#)).await;
        let heard = self.hear().await;
        assert_eq!((&heard["request_id"], &heard["status"]), (&json!(id), &json!("processing")));
    }

    /// The next frame: opcode and payload; `None` at a clean end.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(HANG, read_frame(&mut self.reader)).await.expect("a frame within reason").expect("no reset")
    }

    /// The next message, which must be a text of JSON.
    async fn hear(&mut self) -> Value {
        let (opcode, payload) = self.next().await.expect("an open connection");
        assert_eq!(opcode, TEXT, "{}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// Reads on until the close frame and gives back its code; then the connection must end without a reset.
    async fn hear_close(&mut self) -> u16 {
        let payload = loop {
            match self.next().await.expect("a close frame first") {
                (CLOSE, payload) => break payload,
                _ => continue,
            }
        };
        assert_eq!(self.next().await, None, "something after the close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// A whole message: what comes in fragments is put together.
async fn read_frame(reader: &mut OwnedReadHalf) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let Some((first, mut payload)) = read_fragment(reader).await? else { return Ok(None) };
    let mut is_last = first & 0x80 > 0;
    while !is_last {
        let (first, more) = read_fragment(reader).await?.expect("a message has an end");
        assert_eq!(first & 0x0f, 0, "nothing between fragments");
        is_last = first & 0x80 > 0;
        payload.extend(more);
    }
    Ok(Some((first & 0x0f, payload)))
}

async fn read_fragment(reader: &mut OwnedReadHalf) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 2];
    if reader.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut head[1..]).await?;
    assert_eq!(head[0] & 0x70, 0, "no reserved bit");
    let len = match head[1] {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        len => u64::from(len),
    };
    let mut payload = vec![0; len as usize];
    reader.read_exact(&mut payload).await?;
    Ok(Some((head[0], payload)))
}

/// A whole frame of a client's. Masked with zeros, which leave the payload as it is.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload)
}

fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

/// The provider's connection is closed: nobody listens to it any more.
async fn assert_hung_up(string: &mpsc::Sender<Event>) {
    timeout(Duration::from_secs(5), string.closed()).await.expect("the turn was dropped");
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_and_said() {
    use crate::gateway::testing::open;
    let open = open(Config::default());
    let whole = opening("localhost", "Connection: close\r\n");
    for (from, to, expected, names) in [
        ("Upgrade: websocket\r\n", "", 426, "upgrade"),
        ("Upgrade: websocket", "Upgrade: h2c", 426, "upgrade"),
        ("Connection: keep-alive, Upgrade\r\n", "", 426, "upgrade"),
        ("Version: 13", "Version: 12", 426, "sec-websocket-version"),
        ("Sec-WebSocket-Version: 13\r\n", "", 426, "sec-websocket-version"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400, ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=", 400, ""),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400, ""),
        ("Host: localhost", "Host: evil.example", 421, ""),
        ("Host: localhost", "Origin: https://evil.example\r\nHost: localhost", 403, ""),
    ] {
        assert!(whole.contains(from), "{from}");
        let heard = open.ask(whole.replace(from, to)).await;
        assert_eq!(status(&heard), expected, "{from:?} to {to:?}: {heard}");
        assert!(names.is_empty() || header(&heard, names).is_some(), "{heard}");
        let problem: Value = serde_json::from_str(body(&heard)).expect("a problem document");
        assert!(problem["code"].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn the_handshake_is_that_of_the_rfc_and_names_the_subprotocol_it_takes() {
    let house = House::new().await;
    let client = house.connect().await;
    assert_eq!(header(&client.head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455 §1.3");
    assert_eq!(header(&client.head, "sec-websocket-protocol"), None);
    for offer in ["hearth.v2", "chat, hearth.v2", "chat\r\nSec-WebSocket-Protocol: hearth.v2"] {
        let client = house.connect_with(&format!("Sec-WebSocket-Protocol: {offer}\r\n")).await;
        assert_eq!(header(&client.head, "sec-websocket-protocol"), Some("hearth.v2"), "{offer}");
    }
    let client = house.connect_with("Sec-WebSocket-Protocol: chat, Hearth.V2\r\n").await;
    assert_eq!(header(&client.head, "sec-websocket-protocol"), None);
}

#[tokio::test]
async fn words_come_as_they_are_said_and_many_requests_run_at_once() {
    let mut house = House::new().await;
    let mut client = house.connect().await;
    client.chat("a").await;
    let a = house.asked().await;
    client.chat("b").await;
    let b = house.asked().await;
    for (string, id, word) in [(&b, "b", "one"), (&a, "a", "two"), (&b, "b", "three")] {
        string.send(text(word)).await.expect("heard");
        let heard = client.hear().await;
        assert_eq!((&heard["request_id"], &heard["chunk"]["data"]), (&json!(id), &json!(word)));
    }
    drop(a);
    let heard = client.hear().await;
    assert_eq!((&heard["request_id"], &heard["status"]), (&json!("a"), &json!("complete")));
    client.say(r#"{"action":"cancel","request_id":"c","payload":{"target":"b"}}"#).await;
    assert_eq!(client.hear().await["request_id"], "c");
    let heard = client.hear().await;
    assert_eq!((&heard["request_id"], &heard["error"]["code"]), (&json!("b"), &json!("cancelled")));
    assert_hung_up(&b).await;
}

#[tokio::test]
async fn messages_and_control_frames_in_any_cut() {
    let house = House::new().await;
    let mut client = house.connect().await;
    let (ping, whole) = (br#"{"action":"ping","request_id":"p"}"#, MESSAGE_BYTES_MAX);
    let mut bytes = raw_frame(TEXT, &ping[..5]);
    bytes.extend(frame(PING, b"amid"));
    bytes.extend(raw_frame(0, &ping[5..20]));
    bytes.extend(raw_frame(0x80, &ping[20..]));
    for byte in bytes {
        client.send(&[byte]).await;
    }
    assert_eq!(client.next().await, Some((PONG, b"amid".to_vec())));
    assert_eq!(client.hear().await["request_id"], "p");
    client.send(&frame(BINARY, &vec![7; whole])).await;
    assert_eq!(client.hear().await["error"]["code"], "bad_request", "the longest that is taken");
    client.say("nonsense").await;
    assert_eq!(client.hear().await["error"]["code"], "bad_request");
}

#[tokio::test]
async fn a_broken_rule_is_answered_with_its_code_and_no_reset() {
    let house = House::new().await;
    let too_big = vec![b'x'; MESSAGE_BYTES_MAX + 1];
    let half = raw_frame(0, &too_big[..MESSAGE_BYTES_MAX / 2]);
    for (what, bytes, code) in [
        ("10 MB in one frame", frame(TEXT, &vec![b'x'; 10_000_000]), close::TOO_BIG),
        ("a byte too many", frame(BINARY, &too_big), close::TOO_BIG),
        ("fragments without end", [raw_frame(TEXT, b""), half.repeat(20)].concat(), close::TOO_BIG),
        ("no UTF-8", frame(TEXT, b"\xff"), close::NOT_UTF8),
        ("no UTF-8 in a fragment", [raw_frame(TEXT, b"\xf0\x9f"), raw_frame(0, b"x")].concat(), close::NOT_UTF8),
        ("half a character", frame(TEXT, b"\xe2\x82"), close::NOT_UTF8),
        ("no mask", vec![0x81, 2, b'{', b'}'], close::PROTOCOL_ERROR),
        ("a reserved opcode", frame(3, b""), close::PROTOCOL_ERROR),
        ("a reserved control opcode", frame(11, b""), close::PROTOCOL_ERROR),
        ("a reserved bit", raw_frame(0xc1, b"{}"), close::PROTOCOL_ERROR),
        ("a continuation of nothing", raw_frame(0x80, b"x"), close::PROTOCOL_ERROR),
        ("a message within a message", [raw_frame(TEXT, b"x"), frame(TEXT, b"y")].concat(), close::PROTOCOL_ERROR),
        ("a ping in fragments", raw_frame(PING, b"x"), close::PROTOCOL_ERROR),
        ("a long ping", frame(PING, &[0; 126]), close::PROTOCOL_ERROR),
        ("a close frame of one byte", frame(CLOSE, &[3]), close::PROTOCOL_ERROR),
    ] {
        let Client { reader, mut writer, head } = house.connect().await;
        // What follows the mistake is not taken, and need not be.
        let writing = tokio::spawn(async move {
            let _ = writer.write_all(&bytes).await;
            writer
        });
        let writer = timeout(HANG, writing).await.expect("taken within reason").expect("no panic");
        let mut client = Client { reader, writer, head };
        assert_eq!(client.hear_close().await, code, "{what}");
    }
}

#[tokio::test]
async fn fragments_without_end_end_and_starve_nobody() {
    let house = House::new().await;
    let Client { mut reader, mut writer, .. } = house.connect().await;
    let mut other = house.connect().await;
    let flood = tokio::spawn(async move {
        let many = raw_frame(0, b"").repeat(10_000);
        let _ = writer.write_all(&raw_frame(TEXT, b"")).await;
        // Until a write fails: the hub has had enough.
        while writer.write_all(&many).await.is_ok() {}
    });
    let last = tokio::spawn(async move { read_frame(&mut reader).await });
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let before = now();
        other.say(r#"{"action":"ping","request_id":"p"}"#).await;
        assert_eq!(other.hear().await["request_id"], "p");
        slowest = slowest.max(before.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let last = timeout(HANG, last).await.expect("an end").expect("no panic").expect("no reset before the close frame");
    let (opcode, payload) = last.expect("a close frame");
    assert_eq!((opcode, &payload[..2]), (CLOSE, &close::TOO_BIG.to_be_bytes()[..]));
    timeout(HANG, flood).await.expect("an end").expect("no panic");
}

#[expect(clippy::disallowed_methods, reason = "a test measures")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_goodbye_is_answered_and_ends_what_runs() {
    let mut house = House::new().await;
    let mut client = house.connect().await;
    client.chat("a").await;
    let string = house.asked().await;
    client.send(&frame(CLOSE, b"\x03\xe8bye")).await;
    assert_eq!(client.next().await, Some((CLOSE, b"\x03\xe8bye".to_vec())));
    assert_eq!(client.next().await, None);
    assert_hung_up(&string).await;
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_turns_along() {
    let mut house = House::new().await;
    for words in 0..2 {
        let mut client = house.connect().await;
        client.chat("a").await;
        let string = house.asked().await;
        for _ in 0..words {
            string.send(text("x")).await.expect("heard");
            client.hear().await;
        }
        drop(client);
        assert_hung_up(&string).await;
    }
}

#[tokio::test]
async fn a_lost_session_goes_on_and_is_found_again() {
    let mut house = House::new().await;
    let (mut client, session_id) = house.connect_v2().await;
    client.chat("a").await;
    let string = house.asked().await;
    string.send(text("one")).await.expect("heard");
    assert_eq!(client.hear().await["seq"], 3);
    drop(client);
    // The queue on the way holds some; that these are taken shows that the turn goes on.
    for _ in 0..200 {
        string.send(text("x")).await.expect("the turn goes on");
    }
    for (is_new_session, last_seq) in [(false, 203), (true, 204)] {
        let mut back = if is_new_session { house.connect_v2().await.0 } else { house.connect().await };
        back.say(&resume(&session_id, 2)).await;
        for seq in 3..=last_seq {
            assert_eq!(back.hear().await["seq"], seq);
        }
        let resumed = back.hear().await;
        assert_eq!((&resumed["request_id"], &resumed["status"]), (&json!("r"), &json!("complete")));
        assert_eq!(resumed["seq"], last_seq + 1);
        if is_new_session {
            drop(string);
            assert_eq!(back.hear().await["status"], "complete");
            return;
        }
        drop(back);
    }
}

fn resume(session_id: &str, last_seq: u64) -> String {
    let payload = json!({ "session_id": session_id, "last_seq": last_seq });
    json!({ "action": "resume", "request_id": "r", "payload": payload }).to_string()
}

#[tokio::test]
async fn a_new_socket_takes_over_from_one_that_is_still_open() {
    let mut house = House::new().await;
    let (mut old, session_id) = house.connect_v2().await;
    old.chat("a").await;
    let string = house.asked().await;
    let mut new = house.connect().await;
    new.say(&resume(&session_id, 2)).await;
    assert_eq!(new.hear().await["seq"], 3);
    assert_eq!(old.hear_close().await, close::NORMAL);
    string.send(text("x")).await.expect("the turn goes on");
    assert_eq!(new.hear().await["chunk"]["data"], "x");
    // With the socket, the new client has the session: it can be lost and found once more.
    drop(new);
    let mut again = house.connect().await;
    again.say(&resume(&session_id, 4)).await;
    assert_eq!(again.hear().await["seq"], 5);
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_found_and_the_connection_stays() {
    let house = House::new().await;
    let (client, session_id) = house.connect_v2().await;
    drop(client);
    let mut other = house.connect().await;
    for unknown in ["", "s-0", &session_id.to_uppercase()] {
        other.say(&resume(unknown, 0)).await;
        assert_eq!(other.hear().await["error"]["code"], "not_found", "{unknown}");
    }
    other.say(r#"{"action":"hello","payload":{"protocol":[2]}}"#).await;
    assert_eq!(other.hear().await["seq"], 1);
}

#[tokio::test]
async fn going_down_says_so_when_all_is_said() {
    let mut house = House::new().await;
    let (mut idle, mut busy) = (house.connect().await, house.connect_v2().await.0);
    busy.chat("a").await;
    let string = house.asked().await;
    house._stop.send_replace(true);
    assert_eq!(idle.hear_close().await, close::GOING_AWAY);
    string.send(text("last words")).await.expect("heard");
    assert_eq!(busy.hear().await["chunk"]["data"], "last words");
    drop(string);
    assert_eq!(busy.hear().await["status"], "complete");
    assert_eq!(busy.hear_close().await, close::GOING_AWAY);
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let mut house = House::new().await;
    let mut client = house.connect().await;
    let (mut resumable, session_id) = house.connect_v2().await;
    client.chat("a").await;
    let dropped = house.asked().await;
    resumable.chat("b").await;
    let kept = house.asked().await;
    let piece = "x".repeat(32 * 1024);
    let mut sent = 0;
    // Both are held back once the kernel's buffers and the session's queue are full.
    for string in [&dropped, &kept] {
        while timeout(Duration::from_secs(1), string.send(text(&piece))).await.is_ok() {
            sent += 1;
            assert!(sent < 2_000, "nothing holds the provider back");
        }
    }
    let held_back_at = now();
    timeout(Duration::from_secs(20), dropped.closed())
        .await
        .expect("the turn of a client that cannot come back is dropped");
    assert!(held_back_at.elapsed() < Duration::from_secs(12));
    // The other one goes on without its socket: it takes words again.
    timeout(Duration::from_secs(20), kept.send(text("and on"))).await.expect("it goes on").expect("heard");
    let mut back = house.connect().await;
    back.say(&resume(&session_id, 2)).await;
    assert_eq!(back.hear().await["error"]["code"], "resume_gap", "far more than is kept");
}
