//! Servers behind a URL, written by hand: each test says what its server answers to which request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth::common::config::{McpServer, Transport};
use hearth::mcp::upstream::UpstreamError;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{open, request, with_binary};
use crate::world::provider::now;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    method: String,
    pub path: String,
    headers: hyper::HeaderMap,
    /// Null where it was no JSON.
    body: Value,
    /// The same as it came.
    pub text: String,
}

impl Asked {
    fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn result(&self, result: Value) -> Answer {
        answer(
            200,
            "application/json",
            &json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result }).to_string(),
        )
    }
}

pub type Answer = Response<Full<Bytes>>;

pub fn answer(status: u16, kind: &str, body: &str) -> Answer {
    Response::builder().status(status).header("content-type", kind).body(Full::from(body.to_owned())).unwrap()
}

/// A server on loopback, for as long as the test lasts.
pub struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub async fn start(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answers));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let asked = Asked {
                            method: head.method.to_string(),
                            path: head.uri.path().into(),
                            headers: head.headers,
                            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                            text: String::from_utf8_lossy(&body).into_owned(),
                        };
                        log.lock().unwrap().push(asked.clone());
                        Ok::<_, std::convert::Infallible>(answers(&asked))
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), serve));
            }
        });
        Server { url, asked }
    }

    pub fn row(&self) -> McpServer {
        McpServer { url: Some(self.url.clone()), ..McpServer::default() }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The last request of this method.
    fn last(&self, rpc: &str) -> Asked {
        let asked = self.asked();
        asked.iter().rfind(|asked| asked.rpc() == rpc).unwrap_or_else(|| panic!("{rpc}: {asked:?}")).clone()
    }
}

pub fn newest(asked: &Asked) -> Answer {
    match asked.rpc() {
        "server/discover" => {
            asked.result(json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }))
        }
        "tools/list" => asked.result(json!({ "tools": [
            { "name": "good", "inputSchema": { "type": "object", "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" } } } },
            { "name": "bad", "inputSchema": { "type": "object", "properties": {
                "region": { "type": "number", "x-mcp-header": "Region" } } } },
        ] })),
        "tools/call" if asked.header("mcp-param-region").is_empty() => {
            let error = json!({ "code": -32020, "message": "Mcp-Param-Region is missing" });
            answer(
                400,
                "application/json",
                &json!({ "jsonrpc": "2.0", "id": asked.body["id"], "error": error }).to_string(),
            )
        }
        "tools/call" => asked.result(json!({ "content": [] })),
        _ => answer(404, "text/plain", "?"),
    }
}

/// An older server with a session, which it forgets after the first call.
fn older(forgotten: &'static str) -> impl Fn(&Asked) -> Answer {
    let sessions = Mutex::new(0);
    move |asked| {
        let mut sessions = sessions.lock().unwrap();
        let current = format!("s{}", *sessions);
        match (&*asked.method, asked.rpc()) {
            ("GET", _) => answer(405, "text/plain", ""),
            ("DELETE", _) => answer(200, "text/plain", ""),
            (_, "initialize") => {
                *sessions += 1;
                let mut begun = asked.result(json!({ "protocolVersion": "2025-06-18", "capabilities": {} }));
                begun.headers_mut().insert("mcp-session-id", format!("s{}", *sessions).parse().unwrap());
                begun
            }
            (_, "server/discover") => answer(400, "text/plain", "Bad Request: no session"),
            _ if asked.header("mcp-session-id") != current => answer(404, "application/json", forgotten),
            (_, "notifications/initialized") => answer(202, "text/plain", ""),
            (_, "tools/call") => {
                *sessions += 10;
                asked.result(json!({ "content": [] }))
            }
            _ => asked.result(json!({ "tools": [] })),
        }
    }
}

#[tokio::test]
async fn each_request_of_the_newest_era_says_what_it_is() {
    let server = Server::start(newest).await;
    let mut row = server.row();
    // A variable that is surely there; what it holds does not matter.
    row.headers_env.insert("X-Key".into(), "CARGO_MANIFEST_DIR".into());
    let (connection, _) = open(&with_binary(), &row).await.unwrap();
    // The schema was never seen, as with a catalog from the disk: the server's word brings it.
    let arguments = json!({ "region": "eu" });
    let call = || request("tools/call", json!({ "name": "good", "arguments": arguments }));
    connection.request(call()).await.unwrap();
    let sent = server.last("tools/call");
    for (name, value) in [
        ("mcp-method", "tools/call"),
        ("mcp-name", "good"),
        ("mcp-param-region", "eu"),
        ("mcp-protocol-version", "2026-07-28"),
        ("x-key", env!("CARGO_MANIFEST_DIR")),
        ("mcp-session-id", ""),
    ] {
        assert_eq!(sent.header(name), value, "{name}");
    }
    let list = connection.request(request("tools/list", json!({}))).await.unwrap();
    assert_eq!(list["tools"].as_array().unwrap().len(), 1, "what cannot be called is not listed");
}

#[tokio::test]
async fn a_forgotten_session_is_begun_again_and_ended_in_the_end() {
    a_session_forgotten_with("no such session").await;
    // As the official SDK's servers say it: an error of the protocol, which is the answer to nothing.
    a_session_forgotten_with(r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#)
        .await;
}

async fn a_session_forgotten_with(body: &'static str) {
    let server = Server::start(older(body)).await;
    let (connection, _) = open(&with_binary(), &server.row()).await.unwrap();
    assert_eq!(&*connection.info().protocol, "2025-06-18");
    connection.request(request("tools/call", json!({ "name": "t" }))).await.unwrap();
    assert_eq!(server.last("tools/call").header("mcp-session-id"), "s1");
    assert_eq!(server.last("tools/call").header("mcp-protocol-version"), "2025-06-18");
    connection.request(request("tools/list", json!({}))).await.expect("in a session of its own");
    assert_eq!(server.last("tools/list").header("mcp-session-id"), "s12");
    drop(connection);
    let began = now();
    while !server.asked().iter().any(|asked| asked.method == "DELETE" && asked.header("mcp-session-id") == "s12") {
        assert!(began.elapsed() < Duration::from_secs(5), "the session is ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_session_is_begun_again_for_its_stream_alone() {
    let began = Mutex::new(0);
    let server = Server::start(move |asked| {
        let mut began = began.lock().unwrap();
        match (&*asked.method, asked.rpc()) {
            // It is started anew after its first stream.
            ("GET", _) if asked.header("mcp-session-id") == "s1" && std::mem::replace(&mut *began, 2) == 2 => {
                answer(404, "text/plain", "no such session")
            }
            ("GET", _) => answer(200, "text/event-stream", "retry: 20\ndata:\n\n"),
            (_, "initialize") => {
                *began += 1;
                let mut first = asked.result(json!({ "protocolVersion": "2025-06-18", "capabilities": {} }));
                let id = if *began == 1 { "s1" } else { "s2" };
                first.headers_mut().insert("mcp-session-id", id.parse().unwrap());
                first
            }
            (_, "server/discover") => answer(400, "text/plain", "Bad Request: no session"),
            _ => answer(202, "text/plain", ""),
        }
    })
    .await;
    let (_connection, _) = open(&with_binary(), &server.row()).await.unwrap();
    let from = now();
    while !server.asked().iter().any(|asked| asked.method == "GET" && asked.header("mcp-session-id") == "s2") {
        assert!(from.elapsed() < Duration::from_secs(5), "{:?}", server.asked());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.asked().iter().filter(|asked| asked.rpc() == "initialize").count(), 2);
}

/// Streams of an older server, one after the other; the last is there again and again.
async fn heard(streams: &'static [(&'static str, &'static str)]) -> (Server, Arc<super::Ear>, impl Sized) {
    let count = Mutex::new(0);
    let server = Server::start(move |asked| match (&*asked.method, asked.rpc()) {
        ("GET", _) => {
            let mut count = count.lock().unwrap();
            *count += 1;
            match streams[usize::min(*count, streams.len()) - 1] {
                ("", body) => answer(200, "text/event-stream", body),
                (status, body) => answer(status.parse().unwrap(), "text/plain", body),
            }
        }
        (_, "initialize") => asked.result(json!({ "protocolVersion": "2025-06-18", "capabilities": {} })),
        (_, "server/discover") => answer(400, "text/plain", "what?"),
        _ => answer(202, "text/plain", ""),
    })
    .await;
    let (connection, ear) = open(&with_binary(), &server.row()).await.unwrap();
    (server, ear, connection)
}

async fn streams_asked_for(server: &Server, count: usize) -> Vec<Asked> {
    let from = now();
    loop {
        let asked: Vec<_> = server.asked().into_iter().filter(|asked| asked.method == "GET").collect();
        if asked.len() >= count {
            return asked;
        }
        assert!(from.elapsed() < Duration::from_secs(8), "{asked:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_may_have_been_missed_between_two_streams_is_said() {
    let (server, ear, _connection) = heard(&[("", "retry: 20\ndata:\n\n")]).await;
    streams_asked_for(&server, 3).await;
    assert!(ear.heard().iter().any(|(method, _)| method == "(was deaf)"));

    // Where the server goes on from the same place, nothing is missed.
    let (server, ear, _connection) = heard(&[("", "id: e1\nretry: 20\ndata:\n\n")]).await;
    assert_eq!(streams_asked_for(&server, 3).await[2].header("last-event-id"), "e1");
    assert!(ear.heard().is_empty(), "{:?}", ear.heard());

    // It has forgotten the place: from now on, without it.
    let streams = &[("", "id: e1\nretry: 20\ndata:\n\n"), ("400", "which event?"), ("", "retry: 20\ndata:\n\n")];
    let (server, ear, _connection) = heard(streams).await;
    assert_eq!(streams_asked_for(&server, 4).await[2].header("last-event-id"), "");
    assert!(ear.heard().iter().any(|(method, _)| method == "(was deaf)"));
}

/// A hundred in a row are too many, and thousands in a year are not.
#[tokio::test]
async fn nonsense_now_and_then_ends_no_stream() {
    static STREAM: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let pair = "data: what?\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
        format!("retry: 20\n{}", pair.repeat(150))
    });
    static STREAMS: std::sync::LazyLock<[(&str, &str); 1]> = std::sync::LazyLock::new(|| [("", STREAM.as_str())]);
    let (server, _ear, _connection) = heard(&*STREAMS).await;
    streams_asked_for(&server, 2).await;
}

#[tokio::test]
async fn what_may_have_been_done_is_not_taken_for_what_did_not_arrive() {
    for (status, arrived) in [(502, true), (504, true), (503, false), (429, false)] {
        let server = Server::start(move |asked| match asked.rpc() {
            "server/discover" => newest(asked),
            _ => answer(status, "text/plain", "somebody before it"),
        })
        .await;
        let (connection, _) = open(&with_binary(), &server.row()).await.unwrap();
        let error = connection.request(request("tools/call", json!({ "name": "t" }))).await.unwrap_err();
        assert_eq!(matches!(error, UpstreamError::Gone(_)), arrived, "{status}: {error:?}");
        assert_eq!(matches!(error, UpstreamError::Unreachable(_)), !arrived, "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_taken_up_again() {
    let server = Server::start(|asked| match (&*asked.method, asked.rpc()) {
        (_, "server/discover") => newest(asked),
        ("POST", _) => answer(200, "text/event-stream", "id: e1\nretry: 20\ndata:\n\n"),
        _ if asked.header("last-event-id") == "e1" => {
            let result = json!({ "jsonrpc": "2.0", "id": 2, "result": { "content": [] } });
            answer(200, "text/event-stream", &format!("id: e2\ndata: {result}\n\n"))
        }
        _ => answer(405, "text/plain", ""),
    })
    .await;
    let (connection, _) = open(&with_binary(), &server.row()).await.unwrap();
    connection.request(request("tools/call", json!({ "name": "t" }))).await.unwrap();
    let without = Server::start(|asked| match asked.rpc() {
        "server/discover" => newest(asked),
        _ => answer(200, "text/event-stream", ": nothing to say\n\n"),
    })
    .await;
    let (connection, _) = open(&with_binary(), &without.row()).await.unwrap();
    let gone = connection.request(request("tools/call", json!({ "name": "t" }))).await;
    assert!(matches!(gone, Err(UpstreamError::Gone(_))), "{gone:?}");
}

#[tokio::test]
async fn what_is_no_server_says_so_in_words() {
    for (status, kind, body, word) in [
        (200, "text/html", "<html>Welcome</html>", "no message of MCP"),
        (404, "text/plain", "nothing here", "404"),
        (500, "text/plain", "oops", "500"),
        (401, "text/plain", "who are you?", "401"),
        (302, "text/plain", "", "not followed"),
    ] {
        let server = Server::start(move |_| answer(status, kind, body)).await;
        let Err(error) = open(&with_binary(), &server.row()).await.map(|_| ()) else { panic!("{status}") };
        assert!(error.to_string().contains(word), "{status}: {error}");
        assert_eq!(matches!(error, UpstreamError::Unauthorized(_)), status == 401, "{error:?}");
    }
    let nobody = McpServer { url: Some("http://127.0.0.1:1/mcp".into()), ..McpServer::default() };
    assert!(matches!(open(&with_binary(), &nobody).await.map(|_| ()), Err(UpstreamError::Unreachable(_))));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Server::start(|asked| match asked.rpc() {
        "server/discover" => newest(asked),
        _ => answer(200, "application/json", &" ".repeat(17 * 1024 * 1024)),
    })
    .await;
    let (connection, _) = open(&with_binary(), &server.row()).await.unwrap();
    let answer = connection.request(request("tools/call", json!({ "name": "t" }))).await;
    assert!(matches!(&answer, Err(UpstreamError::Garbage(why)) if why.contains("longer than")), "{answer:?}");
}

#[tokio::test]
async fn the_oldest_way_is_found_and_kept_to_its_place() {
    // It has no stream that lasts; that the way is found, and where messages may go, is what counts here.
    let server = Server::start(|asked| match (&*asked.method, &*asked.path) {
        ("GET", "/mcp") => answer(200, "text/event-stream", "event: endpoint\ndata: http://evil.example/messages\n\n"),
        _ => answer(405, "text/plain", "use GET"),
    })
    .await;
    let row = McpServer { transport: Transport::Sse, ..server.row() };
    let Err(error) = open(&with_binary(), &row).await.map(|_| ()) else { panic!() };
    assert!(matches!(&error, UpstreamError::Garbage(why) if why.contains("another place")), "{error:?}");
    assert!(open(&with_binary(), &server.row()).await.is_err());
    let ways: Vec<_> = server.asked().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(ways, ["GET", "POST", "POST", "GET"], "the newer eras first, then the oldest");
    assert_eq!(server.asked()[0].header("accept"), "text/event-stream");
}
