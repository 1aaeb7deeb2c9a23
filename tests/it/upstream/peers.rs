//! The servers that everybody uses, behind all three wires. `HEARTH_MCP_PEERS` names the folder that npm installed them to
//! (`.ci/peers/mcp-client` does); without it these say that they are skipped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth::common::config::{McpServer, Transport};
use hearth::mcp::upstream::Connection;
use hearth::mcp::{Fault, Peer, Reach};
use serde_json::{Value, json};

use super::{open, request, with_binary};
use crate::world::provider::now;

fn peer(package: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("HEARTH_MCP_PEERS") else {
        println!("skipped: HEARTH_MCP_PEERS names no folder with {package}");
        return None;
    };
    Some(PathBuf::from(folder).join(format!("node_modules/@modelcontextprotocol/{package}/dist/index.js")))
}

fn program(script: &Path, arguments: &[&str]) -> McpServer {
    let mut command = vec!["node".to_owned(), script.to_str().unwrap().to_owned()];
    command.extend(arguments.iter().map(|argument| String::from(*argument)));
    McpServer { command, ..McpServer::default() }
}

/// Somebody who answers what a server asks.
struct Answers;

impl Peer for Answers {
    fn capabilities(&self) -> Value {
        json!({ "sampling": {}, "elicitation": { "form": {} }, "roots": {} })
    }

    fn ask(&self, method: &str, _: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        let answer = match method {
            "sampling/createMessage" => {
                json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "forty-two" } })
            }
            _ => json!({ "action": "accept", "content": { "name": "Ada" } }),
        };
        std::future::ready(Ok(answer)).boxed()
    }

    fn notify(&self, _: &str, _: Value) {}
}

/// Everything that the server has, through one connection.
async fn everything(connection: &Arc<dyn Connection>) {
    let tools = connection.request(request("tools/list", json!({}))).await.unwrap();
    let names: Vec<_> = tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"echo") && names.len() > 5, "{names:?}");
    let called = json!({ "name": "echo", "arguments": { "message": "hello" } });
    let result = connection.request(request("tools/call", called)).await.unwrap();
    assert!(result["content"][0]["text"].as_str().unwrap().contains("hello"), "{result}");
    let prompts = connection.request(request("prompts/list", json!({}))).await.unwrap();
    assert!(!prompts["prompts"].as_array().unwrap().is_empty());
    let resources = connection.request(request("resources/list", json!({}))).await.unwrap();
    let uri = &resources["resources"][0]["uri"];
    let read = connection.request(request("resources/read", json!({ "uri": uri }))).await.unwrap();
    assert!(read["contents"].is_array() && read["cacheScope"] == "private", "{read}");
    let steps = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&steps);
    let long =
        names.iter().find(|name| name.contains("long") || name.contains("Long")).unwrap_or_else(|| panic!("{names:?}"));
    let mut call = request("tools/call", json!({ "name": long, "arguments": { "duration": 1, "steps": 4 } }));
    call.reach = Reach { progress: Some(Arc::new(move |_| *seen.lock().unwrap() += 1)), ..Reach::default() };
    let result = connection.request(call).await.unwrap();
    println!("{long}: {result}");
    assert!(*steps.lock().unwrap() >= 3, "{} steps", steps.lock().unwrap());
    if let Some(sample) = names.iter().find(|name| name.contains("ampling") && !name.contains("async")) {
        let mut call =
            request("tools/call", json!({ "name": sample, "arguments": { "prompt": "what?", "maxTokens": 10 } }));
        call.reach = Reach { peer: Some(Arc::new(Answers)), ..Reach::default() };
        let result = connection.request(call).await.unwrap();
        assert!(result.to_string().contains("forty-two"), "{result}");
    }
}

#[tokio::test]
async fn everything_as_a_program() {
    let Some(script) = peer("server-everything") else { return };
    let began = now();
    let (connection, _) = open(&with_binary(), &program(&script, &["stdio"])).await.unwrap();
    println!("greeted after {:?} as {}", began.elapsed(), connection.info().protocol);
    everything(&connection).await;
    let began = now();
    for _ in 0..200 {
        let called = json!({ "name": "echo", "arguments": { "message": "hello" } });
        connection.request(request("tools/call", called)).await.unwrap();
    }
    println!("a call takes {:?}", began.elapsed() / 200);
}

async fn over_http(kind: &str, port: u16, path: &str, transport: Transport) {
    let Some(script) = peer("server-everything") else { return };
    let mut server = std::process::Command::new("node")
        .arg(&script)
        .arg(kind)
        .env("PORT", port.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(15), "it does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let row = McpServer { url: Some(format!("http://127.0.0.1:{port}{path}")), transport, ..McpServer::default() };
    let checked = async {
        let (connection, _) = open(&with_binary(), &row).await.unwrap();
        println!("{kind}: {}", connection.info().protocol);
        everything(&connection).await;
    };
    let checked = std::panic::AssertUnwindSafe(checked).catch_unwind().await;
    server.kill().unwrap();
    server.wait().unwrap();
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}

#[tokio::test]
async fn everything_over_streamable_http() {
    over_http("streamableHttp", 39_401, "/mcp", Transport::Auto).await;
}

#[tokio::test]
async fn everything_over_http_with_sse() {
    over_http("sse", 39_402, "/sse", Transport::Auto).await;
}

#[tokio::test]
async fn files_and_memories() {
    let Some(files) = peer("server-filesystem") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "remember the milk").unwrap();
    let (connection, _) = open(&with_binary(), &program(&files, &[folder.path().to_str().unwrap()])).await.unwrap();
    let path = folder.path().join("note.txt");
    let called = json!({ "name": "read_text_file", "arguments": { "path": path } });
    let result = connection.request(request("tools/call", called)).await.unwrap();
    assert!(result.to_string().contains("remember the milk"), "{result}");
    let Some(memory) = peer("server-memory") else { return };
    let mut row = program(&memory, &[]);
    row.env.insert("MEMORY_FILE_PATH".into(), folder.path().join("memory.jsonl").to_str().unwrap().into());
    let (connection, _) = open(&with_binary(), &row).await.unwrap();
    let result =
        connection.request(request("tools/call", json!({ "name": "read_graph", "arguments": {} }))).await.unwrap();
    assert!(result["structuredContent"]["entities"].is_array() || result.to_string().contains("entities"), "{result}");
}
