//! The door for programs that speak OpenAI's API, as such a program finds it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script, now};
use crate::world::soon;

/// The bar is 5 ms on an idle machine; this leaves room for a busy one.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// What came back: status, and the body without its framing.
struct Heard {
    status: u16,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of the events of a stream; `[DONE]` as a string.
    fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
    }

    fn text(&self) -> String {
        self.events().iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the hub listens");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer none\r\n");
    let request = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("the hub reads");
    stream
}

async fn ask(hub: &Running, request: &Value) -> Heard {
    fetch(hub.address, "POST", "/v1/chat/completions", &request.to_string()).await
}

async fn fetch(address: SocketAddr, method: &str, path: &str, body: &str) -> Heard {
    let mut stream = send(address, method, path, body).await;
    let mut heard = Vec::new();
    soon("an answer", stream.read_to_end(&mut heard)).await.expect("a whole answer");
    let heard = String::from_utf8(heard).expect("UTF-8");
    let (head, rest) = heard.split_once("\r\n\r\n").expect("a head");
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(rest) } else { rest.to_owned() };
    Heard { status: head[9..12].parse().expect("a status"), body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((len, after)) = rest.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).expect("a chunk's length");
        body.push_str(&after[..len]);
        rest = &after[len + 2..];
    }
    body
}

fn question(stream: bool) -> Value {
    json!({ "model": "hearth", "stream": stream, "messages": [{ "role": "user", "content": "Tell me a joke" }] })
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece_and_is_done() {
    let provider = FakeProvider::start(Script::answer(&["Why", " did", " it"])).await;
    let hub = hub::start(&provider).await;
    let heard = ask(&hub, &question(true)).await;
    assert_eq!((heard.status, heard.text().as_str()), (200, "Why did it"));
    let events = heard.events();
    assert_eq!(events.last(), Some(&json!("[DONE]")));
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert!(events.iter().all(|event| event.get("usage").is_none()), "nobody asked for the usage");
    let counted = json!({ "stream_options": { "include_usage": true } });
    let mut with_usage = question(true);
    with_usage.as_object_mut().unwrap().append(&mut counted.as_object().unwrap().clone());
    let events = ask(&hub, &with_usage).await.events();
    assert_eq!(events[events.len() - 2]["usage"]["total_tokens"], 10);
}

#[tokio::test]
async fn a_whole_answer_and_nothing_of_it_in_the_history() {
    let provider = FakeProvider::start(Script::answer(&["Why", " not"])).await;
    let hub = hub::start(&provider).await;
    let heard = ask(&hub, &question(false)).await.json();
    assert_eq!(heard["choices"][0]["message"]["content"], "Why not");
    assert_eq!((&heard["object"], &heard["usage"]["prompt_tokens"]), (&json!("chat.completion"), &json!(7)));
    assert!(hub.store.conversations(None, None, 9).await.expect("readable").is_empty());
}

#[tokio::test]
async fn what_the_client_brought_reaches_the_provider() {
    let provider = FakeProvider::start(Script::answer(&["ok"])).await;
    let hub = hub::start(&provider).await;
    let request = json!({
        "model": "local/tiny", "temperature": 0.5, "max_tokens": 9, "stop": ["END"], "seed": 4,
        "messages": [
            { "role": "system", "content": "Be brief, in JSON." },
            { "role": "user", "content": "Weather?" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Bern\"}" } }] },
            { "role": "tool", "tool_call_id": "c1", "content": "sunny" },
        ],
        "tools": [{ "type": "function", "function": { "name": "weather", "description": "d", "parameters": { "type": "object" } } }],
        "tool_choice": "auto",
        "response_format": { "type": "json_object" },
    });
    assert_eq!(ask(&hub, &request).await.status, 200);
    let sent = provider.request(0).await.body;
    assert_eq!((&sent["model"], &sent["temperature"], &sent["max_tokens"]), (&json!("tiny"), &json!(0.5), &json!(9)));
    assert_eq!((&sent["stop"], &sent["seed"]), (&json!(["END"]), &json!(4)));
    assert_eq!(sent["messages"], request["messages"]);
    assert_eq!((&sent["tools"], &sent["response_format"]), (&request["tools"], &request["response_format"]));
}

#[tokio::test]
async fn a_tool_call_comes_back_whole() {
    let call = |delta: Value| json!({ "tool_calls": [delta] });
    let first =
        json!({ "index": 0, "id": "c1", "type": "function", "function": { "name": "weather", "arguments": "" } });
    let script = Script::stream()
        .event(&call(first), Value::Null)
        .event(&call(json!({ "index": 0, "function": { "arguments": "{\"city\":" } })), Value::Null)
        .event(&call(json!({ "index": 0, "function": { "arguments": "\"Bern\"}" } })), json!("tool_calls"))
        .sse("[DONE]")
        .body_end();
    let provider = FakeProvider::start(script).await;
    let hub = hub::start(&provider).await;
    let heard = ask(&hub, &question(false)).await.json();
    let choice = &heard["choices"][0];
    let function = json!({ "name": "weather", "arguments": "{\"city\":\"Bern\"}" });
    assert_eq!(choice["message"]["tool_calls"], json!([{ "id": "c1", "type": "function", "function": function }]));
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let events = ask(&hub, &question(true)).await.events();
    let arguments = |event: &Value| {
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(ToOwned::to_owned)
    };
    assert_eq!(events.iter().filter_map(arguments).collect::<String>(), "{\"city\":\"Bern\"}");
}

#[tokio::test]
async fn failures_have_a_status_before_the_first_word_and_an_error_event_after_it() {
    let provider = FakeProvider::start(Script::error(401, "invalid_api_key", "wrong key", &[])).await;
    let hub = hub::start_with(&provider, |config| config.providers.retries = 0).await;
    for stream in [false, true] {
        let heard = ask(&hub, &question(stream)).await;
        assert_eq!((heard.status, &heard.json()["error"]["code"]), (502, &json!("provider_auth")));
    }
    provider.once(Script::stream().words(&["Hel"], Duration::ZERO).reset());
    let heard = ask(&hub, &json!({ "model": "local", "stream": true, "messages": question(true)["messages"] })).await;
    let events = heard.events();
    assert_eq!((heard.status, heard.text().as_str()), (200, "Hel"));
    assert_eq!(events.last().expect("an error")["error"]["code"], "provider_error");
    assert!(!events.contains(&json!("[DONE]")), "half an answer is not done");
    provider.once(Script::stream().words(&["Hel"], Duration::ZERO).reset());
    let whole = json!({ "model": "local", "messages": question(true)["messages"] });
    assert_eq!(ask(&hub, &whole).await.status, 502, "half an answer is not a whole one");
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_provider() {
    for stream in [true, false] {
        let provider = FakeProvider::start(Script::stream().words(&["a", "b"], Duration::ZERO).stall()).await;
        let hub = hub::start(&provider).await;
        let socket = send(hub.address, "POST", "/v1/chat/completions", &question(stream).to_string()).await;
        provider.request(0).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let left_at = now();
        drop(socket);
        let took = provider.closed(0).await.duration_since(left_at);
        assert!(took < CLOSE_MAX, "stream {stream}: the provider was left after {took:?}");
    }
}

#[tokio::test]
async fn the_models_are_those_that_can_be_asked() {
    let provider = FakeProvider::start(Script::answer(&["ok"])).await;
    let hub = hub::start(&provider).await;
    let models = fetch(hub.address, "GET", "/v1/models", "").await.json();
    let names: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(names.contains(&"hearth") && names.contains(&"local/local") && names.contains(&"assistant"), "{names:?}");
    for name in names.iter().filter(|name| name.starts_with("local") || **name == "hearth" || **name == "assistant") {
        let mut request = question(false);
        request["model"] = json!(name);
        assert_eq!(ask(&hub, &request).await.status, 200, "{name}");
    }
    let one = fetch(hub.address, "GET", "/v1/models/local/local", "").await;
    assert_eq!((one.status, &one.json()["id"]), (200, &json!("local/local")));
    assert_eq!(fetch(hub.address, "GET", "/v1/models/nobody", "").await.status, 404);
}
