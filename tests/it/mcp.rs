//! MCP as a client on the network finds it, and as a program that starts `hearth mcp --stdio` does.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hearth::home::{DeviceSource, RadioStatus, SourceEvent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::devices::{FakeRadio, LAMP, PLUG, SPOT};
use crate::world::hub::{self, Running};
use crate::world::process::hearth;
use crate::world::provider::{FakeProvider, Script, now};
use crate::world::soon;

const STATELESS: &str = "2026-07-28";

/// Without TCP_NODELAY an answer waits 40 ms; this leaves room for a busy machine.
const ANSWER_MAX: Duration = Duration::from_millis(30);

struct Heard {
    status: u16,
    head: String,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}{}", self.head, self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

async fn hub() -> Running {
    hub::start(&FakeProvider::start(Script::answer(&["ok"])).await).await
}

async fn send(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the hub listens");
    let host = headers.iter().find(|(name, _)| *name == "Host").map_or("localhost", |(_, host)| host);
    let mut request = format!("{method} /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
    request.push_str("Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| *name != "Host") {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await.expect("the hub reads");
    stream
}

async fn ask(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &str) -> Heard {
    let mut stream = send(address, method, headers, body).await;
    let mut heard = String::new();
    soon("an answer", stream.read_to_string(&mut heard)).await.expect("a whole answer");
    let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
    Heard { status: head[9..12].parse().expect("a status"), head: head.into(), body: body.into() }
}

async fn until(stream: &mut TcpStream, mark: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(mark) {
        let mut piece = [0; 4096];
        let len = soon(mark, stream.read(&mut piece)).await.expect("an open stream");
        assert!(len > 0, "it ended after {heard}");
        heard.push_str(std::str::from_utf8(&piece[..len]).expect("UTF-8"));
    }
    heard
}

fn request(id: u64, method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn meta() -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {} })
}

fn initialize() -> String {
    let client = json!({ "name": "test", "version": "1" });
    request(1, "initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client }))
}

#[tokio::test]
async fn a_session_over_http() {
    let hub = hub().await;
    let begun = ask(hub.address, "POST", &[], &initialize()).await;
    assert_eq!((begun.status, &begun.json()["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
    assert_eq!(begun.json()["result"]["serverInfo"]["name"], "hearth");
    let id = begun.header("mcp-session-id").expect("a session").to_owned();
    let session = [("Mcp-Session-Id", &*id), ("MCP-Protocol-Version", "2025-11-25")];
    let told = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let accepted = ask(hub.address, "POST", &session, told).await;
    assert_eq!((accepted.status, accepted.body.as_str()), (202, ""));
    let mut news = send(hub.address, "GET", &session, "").await;
    let opened = until(&mut news, "id: 0-0").await;
    assert!(opened.contains("text/event-stream") && opened.contains("retry: "), "{opened}");
    let tools = ask(hub.address, "POST", &session, &request(2, "tools/list", json!({}))).await;
    assert!(tools.json()["result"]["tools"].is_array() && tools.header("content-type") == Some("application/json"));
    assert_eq!(ask(hub.address, "DELETE", &session, "").await.status, 204);
    let mut rest = String::new();
    soon("the stream's end", news.read_to_string(&mut rest)).await.expect("it ends with its session");
    assert_eq!(ask(hub.address, "POST", &session, &request(3, "ping", json!({}))).await.status, 404);
}

#[tokio::test]
async fn without_a_session_over_http() {
    let hub = hub().await;
    let head = |method| [("MCP-Protocol-Version", STATELESS), ("Mcp-Method", method)];
    let body = request(1, "server/discover", json!({ "_meta": meta() }));
    let discovered = ask(hub.address, "POST", &head("server/discover"), &body).await.json();
    assert_eq!(discovered["result"]["supportedVersions"], json!([STATELESS]));
    let mismatch = ask(hub.address, "POST", &head("tools/list"), &body).await;
    assert_eq!((mismatch.status, &mismatch.json()["error"]["code"]), (400, &json!(-32020)));
    let gone = ask(hub.address, "POST", &head("ping"), &request(2, "ping", json!({ "_meta": meta() }))).await;
    assert_eq!((gone.status, &gone.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(ask(hub.address, "GET", &head("x"), "").await.status, 405);
    let wanted = json!({ "_meta": meta(), "notifications": { "toolsListChanged": true } });
    let body = request(3, "subscriptions/listen", wanted);
    let mut news = send(hub.address, "POST", &head("subscriptions/listen"), &body).await;
    until(&mut news, "notifications/subscriptions/acknowledged").await;
    hub.stop().await;
    let mut rest = String::new();
    soon("the stream's end", news.read_to_string(&mut rest)).await.expect("it ends with the hub");
    assert!(rest.contains(r#""resultType":"complete""#), "with a goodbye: {rest}");
}

#[tokio::test]
async fn devices_that_are_watched_are_told_of_in_both_eras() {
    let radio = FakeRadio::new();
    let sources: Vec<Arc<dyn DeviceSource>> = vec![radio.clone()];
    let hub = hub::start_over(&FakeProvider::start(Script::answer(&["ok"])).await, sources, |_| {}).await;
    radio.tell(SourceEvent::Radio(RadioStatus::Up)).await;
    let uri = |device: &str| format!("hearth://devices/{device}");
    let mark = |uri: &str| format!(r#""uri":"{uri}""#);
    let begun = ask(hub.address, "POST", &[], &initialize()).await;
    let id = begun.header("mcp-session-id").expect("a session").to_owned();
    let session = [("Mcp-Session-Id", &*id), ("MCP-Protocol-Version", "2025-11-25")];
    for (number, watched) in [(2, "hearth://devices".to_owned()), (3, uri(LAMP))] {
        let body = request(number, "resources/subscribe", json!({ "uri": watched }));
        let subscribed = ask(hub.address, "POST", &session, &body).await;
        assert!(subscribed.json()["result"].is_object(), "{}", subscribed.body);
    }
    let mut old = send(hub.address, "GET", &session, "").await;
    until(&mut old, "id: 0-0").await;
    let nobody = request(4, "resources/subscribe", json!({ "uri": uri("0x9") }));
    assert!(ask(hub.address, "POST", &session, &nobody).await.json()["error"].is_object(), "there is none");

    let wanted = json!({ "_meta": meta(), "notifications": { "resourceSubscriptions": [uri(SPOT), uri("0x9")] } });
    let head = [("MCP-Protocol-Version", STATELESS), ("Mcp-Method", "subscriptions/listen")];
    let mut new = send(hub.address, "POST", &head, &request(5, "subscriptions/listen", wanted)).await;
    let acknowledged = until(&mut new, "notifications/subscriptions/acknowledged").await;
    assert!(acknowledged.contains(&uri(SPOT)) && !acknowledged.contains(&uri("0x9")), "{acknowledged}");

    radio.report(PLUG, json!({ "power": 5 })).await;
    until(&mut old, &mark("hearth://devices")).await;
    radio.report(LAMP, json!({ "state": "ON" })).await;
    let heard = until(&mut old, &mark(&uri(LAMP))).await;
    assert!(heard.contains("notifications/resources/updated") && !heard.contains(PLUG), "{heard}");
    radio.report(SPOT, json!({ "state": "ON" })).await;
    let heard = until(&mut new, &mark(&uri(SPOT))).await;
    assert!(heard.contains("notifications/resources/updated") && !heard.contains(LAMP), "{heard}");
    let body = request(6, "resources/unsubscribe", json!({ "uri": uri(LAMP) }));
    assert!(ask(hub.address, "POST", &session, &body).await.json()["result"].is_object());
    radio.report(LAMP, json!({ "state": "OFF" })).await;
    let heard = until(&mut old, &mark("hearth://devices")).await;
    radio.report(LAMP, json!({ "state": "ON" })).await;
    let heard = heard + &until(&mut old, &mark("hearth://devices")).await;
    assert!(!heard.contains(&uri(LAMP)), "{heard}");
}

#[tokio::test]
async fn strange_pages_and_strange_names_do_not_come_in() {
    let hub = hub().await;
    for (name, value) in [("Origin", "http://evil.example"), ("Host", "evil.example")] {
        let refused = ask(hub.address, "POST", &[(name, value)], &initialize()).await;
        assert!((400..500).contains(&refused.status) && refused.header("mcp-session-id").is_none(), "{}", refused.head);
    }
    let own = ask(hub.address, "POST", &[("Origin", "http://localhost")], &initialize()).await;
    let exposed = own.header("access-control-expose-headers").unwrap_or_default();
    assert!(own.status == 200 && exposed.contains("mcp-session-id"), "{}", own.head);
    let form = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let mut stream = TcpStream::connect(hub.address).await.expect("the hub listens");
    stream.write_all(form.as_bytes()).await.expect("the hub reads");
    assert!(until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 415"), "a form of a page is no JSON");
}

#[tokio::test]
async fn answers_go_out_at_once() {
    let hub = hub().await;
    let begun = ask(hub.address, "POST", &[], &initialize()).await;
    let id = begun.header("mcp-session-id").expect("a session");
    let body = request(2, "ping", json!({}));
    let one = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {id}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(hub.address).await.expect("the hub listens");
    stream.set_nodelay(true).expect("open");
    let mut took = Vec::new();
    for _ in 0..21 {
        let asked_at = now();
        stream.write_all(one.as_bytes()).await.expect("the hub reads");
        until(&mut stream, r#""result":{}"#).await;
        took.push(now().duration_since(asked_at));
    }
    took.sort();
    assert!(took[10] < ANSWER_MAX, "{took:?}");
}

fn bridge(url: &str) -> Child {
    let mut command = hearth(["mcp", "--stdio", "--url", url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the bridge starts")
}

/// What the bridge says to these lines, after which the input ends.
async fn talk(url: &str, lines: &[String]) -> (bool, Vec<Value>, String) {
    let mut child = bridge(url);
    let mut input = child.stdin.take().expect("piped");
    for line in lines {
        // A bridge that does not start reads nothing.
        let _ = writeln!(input, "{line}");
    }
    drop(input);
    let ended = soon("the bridge's end", tokio::task::spawn_blocking(|| child.wait_with_output())).await;
    let ended = ended.expect("a thread").expect("an end");
    let out = String::from_utf8(ended.stdout).expect("UTF-8");
    let messages = out.lines().map(|line| serde_json::from_str(line).expect("each line is a message")).collect();
    (ended.status.success(), messages, String::from_utf8(ended.stderr).expect("UTF-8"))
}

#[tokio::test]
async fn the_bridge_carries_both_eras() {
    let hub = hub().await;
    let url = format!("http://{}", hub.address);
    let lines = [initialize(), request(2, "ping", json!({})), request(3, "nothing", json!({})), "{".into()];
    let (ok, messages, err) = talk(&url, &lines).await;
    assert!(ok && err.is_empty(), "{err}");
    let answer =
        |id: Value| messages.iter().find(|message| message["id"] == id).unwrap_or_else(|| panic!("{id}: {messages:?}"));
    assert_eq!(answer(json!(1))["result"]["serverInfo"]["name"], "hearth");
    assert_eq!(answer(json!(2))["result"], json!({}));
    assert_eq!(answer(json!(3))["error"]["code"], -32601);
    assert_eq!(answer(Value::Null)["error"]["code"], -32700);
    let stateless = [request(7, "tools/list", json!({ "_meta": meta() })), request(8, "tools/list", json!({}))];
    let (_, messages, _) = talk(&url, &stateless).await;
    let answer = |id: u64| messages.iter().find(|message| message["id"] == id).expect("an answer");
    assert_eq!(answer(7)["result"]["resultType"], "complete", "no headers are asked of a bridge");
    assert!(answer(8)["error"]["message"].as_str().is_some_and(|why| why.contains("initialize")), "{messages:?}");
}

#[tokio::test]
async fn without_a_hub_the_bridge_says_so() {
    let (ok, messages, err) = talk("http://127.0.0.1:1", &[initialize()]).await;
    assert!(!ok && messages.is_empty());
    assert!(err.contains("no hub at http://127.0.0.1:1") && err.contains("hearth serve"), "{err}");
}

/// The streams of one that is let in by this token: of the older era, and of the newest.
async fn streams(hub: &Running, token: &str) -> Vec<TcpStream> {
    let bearer = format!("Bearer {token}");
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let hello = ask(hub.address, "POST", &[("Authorization", &bearer)], &request(1, "initialize", hello)).await;
    let id = hello.header("mcp-session-id").expect("a session").to_owned();
    let session = [("Authorization", &*bearer), ("Mcp-Session-Id", &*id), ("MCP-Protocol-Version", "2025-11-25")];
    let older = send(hub.address, "GET", &session, "").await;
    let listen = json!({ "notifications": { "toolsListChanged": true }, "_meta": meta() });
    let head =
        [("Authorization", &*bearer), ("MCP-Protocol-Version", STATELESS), ("Mcp-Method", "subscriptions/listen")];
    let newest = send(hub.address, "POST", &head, &request(2, "subscriptions/listen", listen)).await;
    let mut streams = vec![older, newest];
    for stream in &mut streams {
        let heard = until(stream, "\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("text/event-stream"), "{heard}");
    }
    streams
}

async fn ends(mut stream: TcpStream) {
    let mut rest = Vec::new();
    soon("the stream's end", stream.read_to_end(&mut rest)).await.expect("an orderly end");
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let world = FakeProvider::start(Script::answer(&["ok"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let bob = hub.let_in("bob", hearth::common::who::Role::Member).await;
    let mut others = streams(&hub, &ann).await;
    for stream in streams(&hub, &bob).await.into_iter().enumerate() {
        if stream.0 == 0 {
            hub.revoke(&bob).await;
        }
        ends(stream.1).await;
    }
    #[expect(clippy::disallowed_methods, reason = "a token that ends soon ends by the hub's own clock")]
    let now = std::time::SystemTime::now();
    let now_ms = now.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let short = hub.token_for("ann", Some(now_ms + 1_500)).await;
    for stream in streams(&hub, &short).await {
        ends(stream).await;
    }
    // Ann's own go on.
    let mut byte = [0; 1];
    for stream in &mut others {
        let more = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        assert!(!matches!(more, Ok(Ok(0) | Err(_))), "{more:?}");
    }
}
