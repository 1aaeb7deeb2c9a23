//! The REST face of a real hub, its description, and the commands that ask it. What a tool of the table does is tested
//! beside the handler.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use hearth::common::config::Auth;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::world::hub;
use crate::world::process::{Process, hearth, run};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, Value) {
    let url = format!("http://{address}{path}");
    let method = method.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let request = ureq::http::Request::builder().method(method.as_str()).uri(url).body(()).expect("a request");
        let mut answer = ureq::Agent::from(config).run(request).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or_default())
    });
    asked.await.expect("no panic")
}

/// What the description says, the tools and the routes are.
#[tokio::test]
async fn the_description_fits_the_hub() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start(&world).await;
    let (status, document) = ask(hub.address, "GET", "/api/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id), "{id} stands once");
            for named in operation["parameters"].as_array().into_iter().flatten() {
                let in_path = named["in"] == "path";
                assert_eq!(in_path, in_path && path.contains(&format!("{{{}}}", named["name"].as_str().unwrap())));
            }
            let method = method.to_uppercase();
            let (status, answer) = ask(hub.address, &method, path).await;
            assert!(!matches!(status, 405 | 500..), "{method} {path}: {answer}");
            let is_documented = operation["responses"].get(status.to_string()).is_some();
            assert!(is_documented, "{method} {path} answers {status}, which is not described: {answer}");
            // Where the operation is a tool, what the path names is one of its arguments.
            let (found, tool) = ask(hub.address, "GET", &format!("/api/v1/tools/{id}")).await;
            let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            for name in names.filter(|_| found == 200) {
                assert!(tool["inputSchema"]["properties"].get(name).is_some(), "{method} {path}: {id} has no {name}");
            }
        }
    }
    for known in ["health", "openapi", "protocol", "tools.list", "tools.call", "blobs.put", "usage.get"] {
        assert!(ids.contains(known), "{known}: {ids:?}");
    }
    hub.stop().await;
}

fn asking(address: SocketAddr, words: &[&str]) -> Command {
    let mut command = hearth([]);
    command.args(words).arg("--url").arg(format!("http://{address}"));
    command
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do() {
    let world = FakeProvider::start(Script::default()).await;
    let hub = hub::start_with(&world, |config| config.gateway.auth = Auth::Required).await;
    let ended = run(asking(hub.address, &["tools", "list"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("sign in with `hearth login`, or show a token with --token"), "{}", ended.err);
    let mut wrong = asking(hub.address, &["tools", "show", "x"]);
    wrong.env("HEARTH_TOKEN", "hth_wrong");
    let ended = run(wrong).await;
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.err.contains("`hearth login` gets another token") && !ended.err.contains("hth_wrong"),
        "{}",
        ended.err
    );
    let home = tempfile::tempdir().expect("a folder");
    let kept = home.path().join(".config/hearth");
    std::fs::create_dir_all(&kept).expect("a folder");
    let line = format!("http://{} hth_kept\n", hub.address);
    std::fs::write(kept.join("token"), line).expect("a file");
    let mut with_kept = asking(hub.address, &["tools", "list"]);
    with_kept.env("HOME", home.path());
    assert!(run(with_kept).await.err.contains("gets another token"), "the kept one was shown");
    hub.stop().await;
    for words in [&["tools", "list"][..], &["tools", "call", "x"], &["mcp", "servers", "list"], &["settings", "list"]] {
        let ended = run(asking("127.0.0.1:9".parse().expect("an address"), words)).await;
        assert_eq!(ended.code(), Some(1), "{words:?}");
        assert!(ended.err.contains("no hub at http://127.0.0.1:9; is it running?"), "{words:?}: {}", ended.err);
    }
}

/// Answers each request with the next of these, and tells what was asked. `HOLD` at the end keeps the connection open.
async fn canned(answers: Vec<(&'static str, String)>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::channel(16);
    tokio::spawn(async move {
        for (head, body) in answers {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let request = hear(&mut stream).await;
            let _ = sender.send(request).await;
            let (body, is_held) = match body.strip_suffix(HOLD) {
                Some(body) => (body, true),
                None => (body.as_str(), false),
            };
            let text = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
            let _ = stream.write_all(text.as_bytes()).await;
            if is_held {
                let _ = sender.send(format!("hung up: {}", hear(&mut stream).await)).await;
            }
        }
    });
    (address, asked)
}

const HOLD: &str = "\0";
const JSON: &str = "200 OK\r\nContent-Type: application/json";
const EVENTS: &str = "200 OK\r\nContent-Type: text/event-stream";

/// One request, or nothing where the other end closes.
async fn hear(stream: &mut TcpStream) -> String {
    let (mut heard, mut piece) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).await.unwrap_or(0);
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        let whole = heard.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            match head.contains("transfer-encoding: chunked") {
                true => body.ends_with("0\r\n\r\n"),
                false => body.len() >= length.unwrap_or(0),
            }
        });
        if read == 0 || whole {
            return heard;
        }
    }
}

/// Method, path and JSON of a request.
fn short(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").expect("a request");
    let json = body.find('{').map_or("", |at| &body[at..=body.rfind('}').expect("it ends")]);
    let json = if json.is_empty() { Value::Null } else { serde_json::from_str(json).expect("JSON") };
    format!("{} {json}", head.split(" HTTP").next().expect("a line"))
}

#[tokio::test]
async fn tools_are_listed_page_by_page() {
    let tool = |name: &str| json!({ "name": name, "description": "Does it. Well.", "access": "member", "server": "files", "inputSchema": {} });
    let first = json!({ "tools": [tool("files__read")], "next_cursor": "files__read" }).to_string();
    let last = json!({ "tools": [tool("files__write")] }).to_string();
    let (address, mut asked) = canned(vec![(JSON, first), (JSON, last)]).await;
    let ended = run(asking(address, &["tools", "list", "--search", "a file", "--token", "hth_x"])).await;
    let meant = "tool          from   for     what it does\n\
                 files__read   files  member  Does it\n\
                 files__write  files  member  Does it";
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(0), meant, ""));
    let request = asked.recv().await.expect("a request");
    assert!(request.starts_with("GET /api/v1/tools?search=a%20file HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("\r\nauthorization: bearer hth_x\r\n"), "{request}");
    let request = asked.recv().await.expect("a request");
    assert!(request.starts_with("GET /api/v1/tools?search=a%20file&cursor=files__read "), "{request}");
}

#[tokio::test]
async fn a_call_gives_its_result_or_its_error() {
    let progress = "event: progress\ndata: {\"progress\":1,\"total\":2}\n\n: alive\n\n";
    let result = |json: &Value| format!("{progress}event: result\ndata: {json}\n\n");
    let content = json!([{ "type": "text", "text": "words" }]);
    let done = json!({ "content": content, "structured": { "a": 1 }, "is_error": false });
    let failed = json!({ "content": content, "is_error": true });
    let refused = json!({ "detail": "a.b is for owners of the house", "code": "forbidden" }).to_string();
    let (address, mut asked) = canned(vec![
        (EVENTS, result(&done)),
        (EVENTS, result(&done)),
        (EVENTS, result(&failed)),
        (EVENTS, format!("{progress}event: error\ndata: {{\"code\":\"timeout\",\"message\":\"too slow\"}}\n\n")),
        (EVENTS, progress.to_owned()),
        ("403 Forbidden\r\nContent-Type: application/problem+json", refused),
    ])
    .await;
    let call = async |more: &[&str]| run(asking(address, &[&["tools", "call", "a.b"], more].concat())).await;
    let ended = call(&["n=10", "text=some words", "list=[1]"]).await;
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(0), "{\n  \"a\": 1\n}", ""));
    let request = asked.recv().await.expect("a request");
    assert_eq!(short(&request), r#"POST /api/v1/tools/a.b {"list":[1],"n":10,"text":"some words"}"#);
    let ended = call(&["--json", r#"{"n": 1}"#]).await;
    assert_eq!((ended.code(), ended.json()), (Some(0), done));
    let ended = call(&[]).await;
    assert_eq!((ended.code(), ended.out.as_str(), ended.err.as_str()), (Some(1), "", "hearth: the tool failed: words"));
    for says in ["too slow", "hung up before the tool was done", "a.b is for owners of the house"] {
        let ended = call(&[]).await;
        assert_eq!((ended.code(), ended.out.as_str()), (Some(1), ""));
        assert!(ended.err.contains(says), "{says}: {}", ended.err);
    }
    let ended = call(&["word"]).await;
    assert!(ended.code() == Some(1) && ended.err.contains("neither a JSON object nor key=value"), "{}", ended.err);
}

#[tokio::test]
async fn ctrl_c_hangs_up() {
    let (address, mut asked) = canned(vec![(EVENTS, format!(": alive\n\n{HOLD}"))]).await;
    let process = Process::start(asking(address, &["tools", "call", "slow"]), "");
    asked.recv().await.expect("a request");
    // Whatever it does with the first bytes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    process.signal(Signal::INT);
    let ended = process.ended().await;
    assert_eq!((ended.code(), ended.err.as_str()), (Some(130), "cancelled"));
    assert_eq!(soon("the end of the connection", asked.recv()).await.as_deref(), Some("hung up: "));
}

#[tokio::test]
async fn servers_and_settings_are_looked_after() {
    let server =
        json!({ "slug": "files", "enabled": true, "server": { "command": ["x"] }, "revision": 7, "state": "idle" });
    let (address, mut asked) = canned(vec![
        (JSON, "{}".into()),
        (JSON, server.to_string()),
        (JSON, "{}".into()),
        (JSON, "{}".into()),
        ("204 No Content", String::new()),
        (JSON, "{}".into()),
        (JSON, json!({ "key": "a", "value": [1], "revision": 1 }).to_string()),
    ])
    .await;
    let ask = async |words: &[&str]| {
        let ended = run(asking(address, words)).await;
        assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""), "{words:?}");
        ended.out
    };
    ask(&["mcp", "servers", "add", "docs", "--at", "https://docs/mcp"]).await;
    ask(&["mcp", "servers", "disable", "files"]).await;
    ask(&["mcp", "servers", "approve", "files", "read"]).await;
    ask(&["mcp", "servers", "remove", "files"]).await;
    ask(&["settings", "set", "a.b", "some words"]).await;
    assert_eq!(ask(&["settings", "get", "a"]).await, "[1]");
    let mut requests = Vec::new();
    while let Ok(request) = asked.try_recv() {
        requests.push(short(&request));
    }
    assert_eq!(
        requests,
        [
            r#"PUT /api/v1/mcp-servers/docs {"enabled":true,"if_revision":0,"server":{"url":"https://docs/mcp"}}"#,
            "GET /api/v1/mcp-servers/files null",
            r#"PUT /api/v1/mcp-servers/files {"enabled":false,"if_revision":7,"server":{"command":["x"]}}"#,
            r#"POST /api/v1/mcp-servers/files/approve {"tool":"read"}"#,
            "DELETE /api/v1/mcp-servers/files null",
            r#"PUT /api/v1/settings/a.b {"value":"some words"}"#,
            "GET /api/v1/settings/a null",
        ]
    );
}
