//! Both eras against a house of four tools, without a socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, watch};

use crate::common::who::{Door, Principal, Role};
use crate::mcp::call::{Call, Fault, Note, Outcome, Reach, ToolOutput};
use crate::mcp::definition::{Annotations, Definition};
use crate::mcp::rpc;
use crate::mcp::server::listen::{LISTENERS_MAX, OF_ONE_MAX};
use crate::mcp::server::session::{CALLS_MAX, SESSIONS_MAX};
use crate::mcp::server::version::{HEADER_MISMATCH, META_SUBSCRIPTION, MISSING_CAPABILITY, UNSUPPORTED_VERSION};
use crate::mcp::server::{Answer, Event, Head, RELEASE, STATELESS, Server, Stream};
use crate::mcp::service::Service;
use crate::mcp::source::{Changed, Method, Source};

/// Nothing here takes this long.
const SOON: Duration = Duration::from_secs(10);

#[derive(Default)]
struct House {
    dropped: Arc<AtomicUsize>,
    watched: Arc<Mutex<Vec<(Method, String)>>>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Source for House {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        let tool = |name: &str| {
            Arc::new(Definition::native::<Map<String, Value>, ()>(name, "t", "d", Annotations::READS, Role::Guest))
        };
        ["ask", "poll", "round", "slow", "steps"].map(tool).into()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let dropped = self.dropped.clone();
        async move {
            let Call { tool, reach, arguments, .. } = call;
            let peer = reach.peer.clone();
            match &*tool {
                "ask" => {
                    let peer = peer.expect("somebody to ask");
                    let first = peer.ask("elicitation/create", json!({ "message": "first?" })).await?;
                    let second = peer.ask("elicitation/create", json!({ "message": "second?" })).await?;
                    Ok(Outcome::Done(ToolOutput::text(format!("{} {}", first["n"], second["n"]))))
                }
                "round" => {
                    let given = reach.resumption.unwrap_or_default();
                    if given.state.as_deref() == Some("mine") && given.responses.contains_key("q") {
                        return Ok(Outcome::Done(ToolOutput::text("done")));
                    }
                    let request = json!({ "method": "elicitation/create", "params": { "message": "m" } });
                    Ok(Outcome::InputRequired {
                        requests: Map::from_iter([("q".into(), request)]),
                        state: Some("mine".into()),
                    })
                }
                "slow" => {
                    let _guard = OnDrop(dropped);
                    std::future::pending().await
                }
                "poll" => {
                    let peer = peer.expect("somebody to tell");
                    peer.notify("notifications/message", json!({ "level": "warning", "data": "wait" }));
                    peer.notify(RELEASE, json!({}));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok(Outcome::Done(ToolOutput::text("late")))
                }
                _ => {
                    if let Some(tell) = reach.progress {
                        tell(Note { progress: 1.0, total: None, message: Some("one".into()) });
                    }
                    if let Some(peer) = peer {
                        peer.notify("notifications/message", json!({ "level": "debug", "data": "quiet" }));
                        peer.notify("notifications/message", json!({ "level": "error", "data": "loud" }));
                    }
                    Ok(Outcome::Done(ToolOutput::structured(arguments.into())))
                }
            }
        }
        .boxed()
    }

    fn resources(&self, _: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        async { Ok(vec![json!({ "uri": "a://b", "name": "b" })]) }.boxed()
    }

    fn templates(&self, _: &Principal) -> Arc<[Value]> {
        [].into()
    }

    fn prompts(&self, _: &Principal) -> Arc<[Value]> {
        [].into()
    }

    fn owns_prompt(&self, _: &str) -> bool {
        false
    }

    fn owns_uri(&self, uri: &str) -> bool {
        uri.starts_with("a://")
    }

    fn request(
        &self,
        method: Method,
        params: Value,
        _: Arc<Principal>,
        _: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let uri = params["uri"].as_str().unwrap_or_default().to_owned();
        self.watched.lock().unwrap().push((method, uri.clone()));
        if method == Method::Subscribe && uri == "a://slow" {
            return std::future::pending().boxed();
        }
        async move { Ok(json!({ "contents": [{ "uri": uri, "text": "x" }] })) }.boxed()
    }
}

struct World {
    server: Arc<Server>,
    changes: broadcast::Sender<Changed>,
    stop: watch::Sender<bool>,
    dropped: Arc<AtomicUsize>,
    watched: Arc<Mutex<Vec<(Method, String)>>>,
    who: Arc<Principal>,
}

/// What came back, read to its end.
struct Heard {
    status: u16,
    messages: Vec<Value>,
    session: Option<String>,
    ids: Vec<String>,
}

impl World {
    fn new() -> World {
        let house = House::default();
        let (dropped, watched) = (house.dropped.clone(), house.watched.clone());
        let changes = broadcast::channel(16).0;
        let service = Service::new(vec![Arc::new(house)], changes.clone());
        let (stop, stopping) = watch::channel(false);
        let who = Arc::new(Principal::new("ann", Role::Member, Door::Mcp));
        World { server: Server::new(service, "9", stopping), changes, stop, dropped, watched, who }
    }

    async fn send(&self, lines: &[(&str, &str)], body: &str) -> Answer {
        tokio::time::timeout(SOON, self.server.post(&head(lines), body.as_bytes(), self.who.clone()))
            .await
            .expect("soon")
    }

    async fn post(&self, lines: &[(&str, &str)], body: Value) -> Heard {
        read(self.send(lines, &body.to_string()).await).await
    }

    /// A session of this revision.
    async fn session(&self, version: &str, capabilities: Value) -> String {
        let params = json!({ "protocolVersion": version, "capabilities": capabilities });
        let heard = self.post(&[], request(0, "initialize", params)).await;
        assert_eq!(heard.messages[0]["result"]["protocolVersion"], version);
        heard.session.expect("a session")
    }

    async fn stateless(&self, id: u64, method: &str, params: Value) -> Heard {
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default().to_owned();
        let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", method), ("mcp-name", &name)];
        self.post(&lines, request(id, method, with_meta(params))).await
    }
}

fn head(lines: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.push("content-type", Some("application/json"));
    lines.iter().for_each(|(name, value)| head.push(name, Some(value)));
    head
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn with_meta(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        "io.modelcontextprotocol/logLevel": "error",
        "progressToken": 7,
    });
    params
}

async fn next(stream: &mut Option<Box<Stream>>) -> Option<Event> {
    tokio::time::timeout(SOON, stream.as_mut()?.next()).await.expect("something soon")
}

async fn read(answer: Answer) -> Heard {
    let mut heard = Heard { status: 200, messages: Vec::new(), session: None, ids: Vec::new() };
    let take = |heard: &mut Heard, event: &Event| {
        heard.ids.extend(event.id.clone());
        if !event.text.is_empty() {
            heard.messages.push(serde_json::from_str(&event.text).expect("JSON"));
        }
    };
    match answer {
        Answer::Status(status) => heard.status = status,
        Answer::Message { status, text, session } => {
            heard.status = status;
            heard.session = session.map(Into::into);
            heard.messages.push(serde_json::from_str(&text).expect("JSON"));
        }
        Answer::Events { first, mut stream, .. } => {
            take(&mut heard, &first);
            while let Some(event) = next(&mut stream).await {
                take(&mut heard, &event);
            }
        }
    }
    heard
}

#[tokio::test]
async fn a_session_begins_is_used_and_ends() {
    let world = World::new();
    let without = world.post(&[], request(1, "ping", json!({}))).await;
    assert_eq!(without.status, 400, "no session");
    let id = world.session("2025-06-18", json!({})).await;
    let session = [("mcp-session-id", &*id), ("mcp-protocol-version", "2025-06-18")];
    let ping = world.post(&session, request(1, "ping", json!({}))).await;
    assert_eq!((ping.status, &ping.messages[0]["result"]), (200, &json!({})));
    let initialized = world.post(&session, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    assert_eq!((initialized.status, initialized.messages.len()), (202, 0));
    let tools = world.post(&session, request(2, "tools/list", json!({}))).await.messages.remove(0);
    assert_eq!(tools["result"]["tools"][0]["name"], "ask");
    assert!(tools["result"].get("resultType").is_none() && tools["result"].get("_meta").is_none());
    let unknown = world.post(&session, request(3, "tasks/list", json!({}))).await;
    assert_eq!((unknown.status, &unknown.messages[0]["error"]["code"]), (200, &json!(rpc::METHOD_NOT_FOUND)));
    let strange = [("mcp-session-id", &*id), ("mcp-protocol-version", "1999-01-01")];
    assert_eq!(world.post(&strange, request(4, "ping", json!({}))).await.status, 400);
    let bob = Arc::new(Principal::new("bob", Role::Owner, Door::Mcp));
    let body = request(5, "ping", json!({})).to_string();
    let foreign = read(world.server.post(&head(&session), body.as_bytes(), bob).await).await;
    assert_eq!(foreign.status, 404, "it is another's");
    let stateless = head(&[("mcp-protocol-version", STATELESS)]);
    assert!(matches!(world.server.delete(&stateless, &world.who), Answer::Status(405)), "there is nothing to end");
    assert!(matches!(world.server.delete(&head(&session), &world.who), Answer::Status(204)));
    assert_eq!(world.post(&session, request(6, "ping", json!({}))).await.status, 404);
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_words() {
    let world = World::new();
    assert!(matches!(world.server.post(&Head::default(), b"{}", world.who.clone()).await, Answer::Status(415)));
    assert!(matches!(world.send(&[("accept", "text/html")], "{}").await, Answer::Status(406)));
    for (body, code) in
        [("{", rpc::PARSE_ERROR), ("7", rpc::INVALID_REQUEST), (r#"{"jsonrpc":"2.0"}"#, rpc::INVALID_REQUEST)]
    {
        let heard = read(world.send(&[], body).await).await;
        assert_eq!((heard.status, &heard.messages[0]["error"]["code"]), (400, &json!(code)), "{body}");
    }
    assert_eq!(read(world.send(&[], "[]").await).await.status, 400, "an array without a session");
    let id = world.session("2025-11-25", json!({})).await;
    let batch = json!([request(1, "ping", json!({}))]);
    assert_eq!(world.post(&[("mcp-session-id", &id)], batch).await.status, 400, "this revision has none");
}

#[tokio::test]
async fn an_array_is_answered_message_by_message_where_there_are_such() {
    let world = World::new();
    let id = world.session("2025-03-26", json!({})).await;
    let call = request(2, "tools/call", json!({ "name": "steps", "arguments": { "a": 1 } }));
    let batch = json!([request(1, "ping", json!({})), { "jsonrpc": "2.0", "method": "notifications/x" }, call]);
    let heard = world.post(&[("mcp-session-id", &id)], batch).await;
    let mut answers: Vec<_> = heard.messages.iter().filter_map(|message| message["id"].as_i64()).collect();
    answers.sort_unstable();
    assert_eq!(answers, [1, 2]);
}

#[tokio::test]
async fn a_call_tells_what_it_does_and_is_asked_by_level() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*id)];
    let params = json!({ "name": "steps", "arguments": { "a": 1 }, "_meta": { "progressToken": "t" } });
    let heard = world.post(&session, request(1, "tools/call", params.clone())).await;
    let methods: Vec<_> = heard.messages.iter().map(|message| message["method"].as_str().unwrap_or("answer")).collect();
    assert_eq!(methods, ["notifications/progress", "notifications/message", "answer"], "info and worse");
    assert_eq!(heard.messages[0]["params"], json!({ "progressToken": "t", "progress": 1, "message": "one" }));
    assert_eq!(heard.messages[2]["result"]["structuredContent"], json!({ "a": 1 }));
    let untold = json!({ "name": "steps", "arguments": {}, "_meta": { "progressToken": null } });
    let quiet = world.post(&session, request(9, "tools/call", untold)).await;
    assert_eq!(quiet.messages[0]["method"], "notifications/message", "no progress without a token");
    assert!(heard.ids[0].ends_with("-0"), "an event to come again with is the first: {:?}", heard.ids);
    world.post(&session, request(2, "logging/setLevel", json!({ "level": "debug" }))).await;
    assert_eq!(world.post(&session, request(3, "tools/call", params.clone())).await.messages.len(), 4);
    let bad = world.post(&session, request(4, "logging/setLevel", json!({ "level": "loud" }))).await;
    assert_eq!(bad.messages[0]["error"]["code"], rpc::INVALID_PARAMS);
    // Of the other era: the level and the token are the request's own.
    let heard = world.stateless(5, "tools/call", json!({ "name": "steps", "arguments": {} })).await;
    let methods: Vec<_> = heard.messages.iter().map(|message| message["method"].as_str().unwrap_or("answer")).collect();
    assert_eq!(methods, ["notifications/progress", "notifications/message", "answer"]);
    assert_eq!(heard.messages[1]["params"]["data"], "loud");
    let quiet = json!({ "name": "steps", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {},
    } });
    let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "steps")];
    let heard = world.post(&lines, request(6, "tools/call", quiet)).await;
    assert_eq!(heard.messages.len(), 1, "nobody asked for a log");
}

#[tokio::test]
async fn a_client_is_asked_on_the_stream_of_the_call() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({ "elicitation": {} })).await;
    let session = [("mcp-session-id", &*id)];
    for tool in ["ask", "round"] {
        let body = request(1, "tools/call", json!({ "name": tool })).to_string();
        let Answer::Events { mut stream, .. } = world.send(&session, &body).await else { panic!("a stream") };
        let mut answers = 0;
        let last = loop {
            let event = next(&mut stream).await.expect("more");
            let message: Value = serde_json::from_str(&event.text).expect("JSON");
            if event.is_last {
                break message;
            }
            assert_eq!(message["method"], "elicitation/create");
            answers += 1;
            let answer =
                json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "action": "accept", "n": answers } });
            assert_eq!(world.post(&session, answer).await.status, 202);
        };
        let words = if tool == "ask" { "1 2" } else { "done" };
        assert_eq!(last["result"]["content"][0]["text"], words);
    }
    let mute = world.session("2025-11-25", json!({})).await;
    let heard = world.post(&[("mcp-session-id", &mute)], request(1, "tools/call", json!({ "name": "ask" }))).await;
    assert_eq!(heard.messages[0]["error"]["code"], MISSING_CAPABILITY, "it cannot be asked");
}

#[tokio::test]
async fn a_call_is_given_up_at_its_clients_wish() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*id)];
    let body = request(9, "tools/call", json!({ "name": "slow" })).to_string();
    let Answer::Events { mut stream, .. } = world.send(&session, &body).await else { panic!("a stream") };
    let twice = world.post(&session, request(9, "tools/call", json!({ "name": "steps" }))).await;
    assert_eq!(twice.messages[0]["error"]["code"], rpc::INVALID_REQUEST, "the id is taken");
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } });
    world.post(&session, cancel).await;
    assert_eq!(next(&mut stream).await, None, "without an answer");
    // Hanging up is no cancelling with a session, and is without.
    let Answer::Events { stream, .. } = world.send(&session, &body).await else { panic!("a stream") };
    drop(stream);
    tokio::task::yield_now().await;
    assert_eq!(world.dropped.load(Ordering::SeqCst), 1);
    let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "slow")];
    let body = request(9, "tools/call", with_meta(json!({ "name": "slow" }))).to_string();
    let Answer::Events { stream, .. } = world.send(&lines, &body).await else { panic!("a stream") };
    drop(stream);
    while world.dropped.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_broke_off_is_gone_on_with() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*id)];
    let heard = world.post(&session, request(1, "tools/call", json!({ "name": "poll" }))).await;
    assert_eq!(heard.messages.len(), 1, "the hub hung up before the answer: {:?}", heard.messages);
    let last = heard.ids.last().expect("an id").clone();
    let again = [("mcp-session-id", &*id), ("last-event-id", &*last)];
    let rest = read(world.server.get(&head(&again), &world.who).await).await;
    assert_eq!(rest.messages[0]["result"]["content"][0]["text"], "late");
    let strange = [("mcp-session-id", &*id), ("last-event-id", "77-1")];
    assert_eq!(read(world.server.get(&head(&strange), &world.who).await).await.status, 400);
}

#[tokio::test]
async fn news_come_to_those_who_want_them() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*id)];
    let subscribed = world.post(&session, request(1, "resources/subscribe", json!({ "uri": "a://b" }))).await;
    assert_eq!(subscribed.messages[0]["result"], json!({}));
    let nowhere = world.post(&session, request(2, "resources/subscribe", json!({ "uri": "c://d" }))).await;
    assert_eq!(nowhere.messages[0]["error"]["code"], rpc::RESOURCE_NOT_FOUND);
    let Answer::Events { mut stream, .. } = world.server.get(&head(&session), &world.who).await else { panic!() };
    let wanted = json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": ["a://b", "c://d"] } });
    let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", "subscriptions/listen")];
    let body = request(7, "subscriptions/listen", with_meta(wanted)).to_string();
    let Answer::Events { first, stream: mut listening, .. } = world.send(&lines, &body).await else { panic!() };
    let first: Value = serde_json::from_str(&first.text).expect("JSON");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let honoured = json!({ "toolsListChanged": true, "resourceSubscriptions": ["a://b"] });
    assert_eq!(first["params"], json!({ "notifications": honoured, "_meta": { META_SUBSCRIPTION: 7 } }));
    for changed in
        [Changed::Prompts, Changed::Resource("a://x".into()), Changed::Tools, Changed::Resource("a://b".into())]
    {
        world.changes.send(changed).expect("listeners");
    }
    for (stream, methods) in [
        (&mut stream, &["prompts/list_changed", "tools/list_changed", "resources/updated"][..]),
        (&mut listening, &["tools/list_changed", "resources/updated"][..]),
    ] {
        for method in methods {
            let event = next(stream).await.expect("news");
            assert!(event.text.contains(&format!("notifications/{method}")), "{method}: {}", event.text);
        }
    }
    world.stop.send_replace(true);
    let end: Value = serde_json::from_str(&next(&mut listening).await.expect("a goodbye").text).expect("JSON");
    assert_eq!((&end["id"], &end["result"]["_meta"][META_SUBSCRIPTION]), (&json!(7), &json!(7)));
    assert_eq!(next(&mut stream).await, None, "the session ends with the hub");
    drop(listening);
    let both_gone = || {
        let watched = world.watched.lock().unwrap();
        watched.iter().filter(|(method, _)| *method == Method::Unsubscribe).count() == 2
    };
    while !both_gone() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_left_before_the_answer_takes_nobody_elses_news_away() {
    let world = World::new();
    let id = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*id)];
    let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", "subscriptions/listen")];
    let wanted = with_meta(json!({ "notifications": { "resourceSubscriptions": ["a://slow"] } }));
    let listen = request(1, "subscriptions/listen", wanted).to_string();
    let subscribe = request(1, "resources/subscribe", json!({ "uri": "a://slow" })).to_string();
    assert!(world.send(&lines, &listen).now_or_never().is_none(), "its server takes its time");
    assert!(world.send(&session, &subscribe).now_or_never().is_none());
    world.server.delete(&head(&session), &world.who);
    tokio::task::yield_now().await;
    assert!(world.watched.lock().unwrap().iter().all(|(method, _)| *method == Method::Subscribe));
}

#[tokio::test]
async fn a_request_without_session_is_whole_in_itself() {
    let world = World::new();
    let discovered = world.stateless(1, "server/discover", json!({})).await;
    assert_eq!(discovered.messages[0]["result"]["supportedVersions"], json!([STATELESS]));
    let codes = [
        ([("mcp-protocol-version", STATELESS), ("mcp-method", "tools/list")], json!({}), rpc::INVALID_PARAMS, 400),
        (
            [("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/list")],
            with_meta(json!({})),
            HEADER_MISMATCH,
            400,
        ),
        ([("x", ""), ("mcp-method", "tools/list")], with_meta(json!({})), HEADER_MISMATCH, 400),
        (
            [("mcp-protocol-version", STATELESS), ("mcp-method", "prompts/list")],
            with_meta(json!({})),
            HEADER_MISMATCH,
            400,
        ),
    ];
    for (lines, params, code, status) in codes {
        let heard = world.post(&lines, request(2, "tools/list", params)).await;
        assert_eq!((heard.status, &heard.messages[0]["error"]["code"]), (status, &json!(code)), "{lines:?}");
        assert_eq!(heard.messages[0]["id"], 2);
    }
    let mut later = with_meta(json!({}));
    later["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let lines = [("mcp-protocol-version", "2099-01-01"), ("mcp-method", "tools/list")];
    let heard = world.post(&lines, request(3, "tools/list", later)).await;
    assert_eq!((heard.status, &heard.messages[0]["error"]["code"]), (400, &json!(UNSUPPORTED_VERSION)));
    assert_eq!(heard.messages[0]["error"]["data"], json!({ "supported": [STATELESS], "requested": "2099-01-01" }));
    for gone in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "nothing"] {
        let heard = world.stateless(4, gone, json!({})).await;
        assert_eq!((heard.status, &heard.messages[0]["error"]["code"]), (404, &json!(rpc::METHOD_NOT_FOUND)), "{gone}");
    }
    let read = world.stateless(5, "resources/read", json!({ "uri": "a://b" })).await.messages.remove(0);
    assert_eq!((&read["result"]["cacheScope"], &read["result"]["ttlMs"]), (&json!("private"), &json!(0)));
    assert!(matches!(world.server.get(&head(&lines[..1]), &world.who).await, Answer::Status(405)));
}

#[tokio::test]
async fn a_tool_that_asks_waits_for_the_client_that_comes_back() {
    let world = World::new();
    let ask = || json!({ "name": "ask", "arguments": { "x": 1 } });
    let answer = |n: u64| json!({ "action": "accept", "n": n });
    let first = world.stateless(1, "tools/call", ask()).await.messages.remove(0);
    let result = &first["result"];
    assert_eq!(
        (&result["resultType"], &result["inputRequests"]["input-1"]["params"]["message"]),
        (&json!("input_required"), &json!("first?"))
    );
    let with = |state: &Value, responses: Value| {
        let mut params = ask();
        params["requestState"] = state.clone();
        params["inputResponses"] = responses;
        params
    };
    let bent = json!(format!("{}x", result["requestState"].as_str().expect("a state")));
    let refused = world.stateless(2, "tools/call", with(&bent, json!({ "input-1": answer(1) }))).await;
    assert_eq!((refused.status, &refused.messages[0]["error"]["code"]), (400, &json!(rpc::INVALID_PARAMS)));
    let mut other = with(&result["requestState"], json!({ "input-1": answer(1) }));
    other["arguments"] = json!({ "x": 2 });
    assert_eq!(world.stateless(3, "tools/call", other).await.status, 400, "another request");
    let broken = with(&result["requestState"], json!({ "input-1": 5 }));
    assert_eq!(world.stateless(4, "tools/call", broken).await.status, 400);
    // What was not answered is asked again.
    let again = world.stateless(5, "tools/call", with(&result["requestState"], json!({}))).await.messages.remove(0);
    assert!(again["result"]["inputRequests"].get("input-1").is_some());
    let state = &again["result"]["requestState"];
    let second =
        world.stateless(6, "tools/call", with(state, json!({ "input-1": answer(1) }))).await.messages.remove(0);
    assert_eq!(second["result"]["inputRequests"]["input-2"]["params"]["message"], "second?");
    let state = &second["result"]["requestState"];
    let done = world.stateless(8, "tools/call", with(state, json!({ "input-2": answer(2) }))).await.messages.remove(0);
    assert_eq!((&done["id"], &done["result"]["content"][0]["text"]), (&json!(8), &json!("1 2")));
    let late = world.stateless(9, "tools/call", with(state, json!({ "input-2": answer(2) }))).await;
    assert_eq!(late.status, 400, "it is over");
}

#[tokio::test]
async fn a_state_of_somebody_else_is_wrapped_and_comes_back_whole() {
    let world = World::new();
    let first = world.stateless(1, "tools/call", json!({ "name": "round" })).await.messages.remove(0);
    let state = &first["result"]["requestState"];
    assert!(first["result"]["inputRequests"].get("q").is_some() && state != "mine");
    let params = json!({ "name": "round", "requestState": state, "inputResponses": { "q": {} } });
    let done = world.stateless(2, "tools/call", params).await.messages.remove(0);
    assert_eq!(done["result"]["content"][0]["text"], "done");
    let forged = json!({ "name": "round", "requestState": "mine", "inputResponses": { "q": {} } });
    assert_eq!(world.stateless(3, "tools/call", forged).await.status, 400);
}

#[tokio::test]
async fn what_one_client_can_take_up_is_bounded() {
    let world = World::new();
    let first = world.session("2025-11-25", json!({})).await;
    let session = [("mcp-session-id", &*first)];
    let mut streams = Vec::new();
    for id in 0..CALLS_MAX {
        let outcome = world
            .send(&session, &request(id as u64, "tools/call", json!({ "name": "slow" })).to_string())
            .now_or_never();
        // Each waits out its grace; that it is under way is enough here.
        streams.push(outcome.is_none());
    }
    assert!(streams.iter().all(|is_waiting| *is_waiting));
    let more = world.post(&session, request(999, "tools/call", json!({ "name": "slow" }))).await;
    assert!(more.messages[0]["error"]["message"].as_str().is_some_and(|why| why.contains("64")), "{:?}", more.messages);
    for _ in 0..SESSIONS_MAX + 5 {
        world.session("2025-11-25", json!({})).await;
    }
    assert_eq!(world.server.sessions.lock().unwrap().len(), SESSIONS_MAX);
    let busy = world.post(&session, request(1000, "ping", json!({}))).await;
    assert_eq!(busy.status, 200, "the busy one stays");
}

#[tokio::test]
async fn a_guest_does_not_take_all_places_from_the_others() {
    let guest = World::new();
    let hello = request(0, "initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {} })).to_string();
    let others = Arc::new(Principal::new("bob", Role::Owner, Door::Mcp));
    let bobs = read(guest.server.post(&head(&[]), hello.as_bytes(), others.clone()).await).await;
    let bobs = bobs.session.expect("a session");
    for _ in 0..2 * SESSIONS_MAX {
        guest.session("2025-11-25", json!({})).await;
    }
    let ping = request(1, "ping", json!({})).to_string();
    let session = [("mcp-session-id", &*bobs)];
    let heard = read(guest.server.post(&head(&session), ping.as_bytes(), others.clone()).await).await;
    assert_eq!(heard.status, 200, "bob's is there, idle for longest as it is");
    let mut kept = Vec::new();
    let lines = [("mcp-protocol-version", STATELESS), ("mcp-method", "subscriptions/listen")];
    let listen = request(2, "subscriptions/listen", with_meta(json!({ "notifications": {} }))).to_string();
    let refused = loop {
        match guest.send(&lines, &listen).await {
            Answer::Events { stream, .. } if kept.len() < LISTENERS_MAX => kept.push(stream),
            answer => break read(answer).await,
        }
    };
    assert_eq!((refused.status, kept.len()), (503, OF_ONE_MAX));
    let answer = guest.server.post(&head(&lines), listen.as_bytes(), others).await;
    assert!(matches!(answer, Answer::Events { .. }), "there is room for bob");
}
