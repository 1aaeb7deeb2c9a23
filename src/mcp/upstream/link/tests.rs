//! Connections over a wire of the tests' own: what goes out is written down, and what the test says comes in.

use std::collections::VecDeque;

use super::*;
use crate::mcp::Resumption;
use crate::mcp::upstream::client::era::NEWEST;

/// Keeps what is sent, and answers by the test's own rule.
struct Puppet {
    shared: std::sync::Weak<Shared>,
    sent: Mutex<VecDeque<Value>>,
    answers: fn(&Value) -> Vec<Value>,
}

impl Puppet {
    fn take(&self, letter: &Letter) {
        let message: Value = serde_json::from_str(&letter.text).unwrap();
        self.sent.lock().unwrap().push_back(message.clone());
        for answer in (self.answers)(&message) {
            self.shared.upgrade().unwrap().hear(&answer.to_string(), None).unwrap();
        }
    }

    /// The first message of this method that was sent, or of none.
    fn sent(&self, method: &str) -> Option<Value> {
        let sent = self.sent.lock().unwrap();
        sent.iter().find(|message| message["method"].as_str().unwrap_or_default() == method).cloned()
    }
}

impl Wire for Puppet {
    fn send(&self, letter: Letter) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.take(&letter);
        async { Ok(()) }.boxed()
    }

    fn post(&self, letter: Letter) {
        self.take(&letter);
    }

    fn forget(&self, _: i64) -> bool {
        true
    }

    fn hang_up(&self) {}
}

/// Counts how often it could not hear for a while.
#[derive(Default)]
struct Deaf(std::sync::atomic::AtomicUsize);

impl Ears for Deaf {
    fn notification(&self, _: &str, _: Value) {}

    fn was_deaf(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn result(message: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

async fn greeted(answers: fn(&Value) -> Vec<Value>) -> (Link, Arc<Puppet>) {
    heard_by(answers, Arc::default()).await
}

async fn heard_by(answers: fn(&Value) -> Vec<Value>, ears: Arc<Deaf>) -> (Link, Arc<Puppet>) {
    let shared = Shared::new("puppet", ears);
    let puppet = Arc::new(Puppet { shared: Arc::downgrade(&shared), sent: Mutex::default(), answers });
    shared.attach(Arc::clone(&puppet) as Arc<dyn Wire>);
    let link = Link::greet(shared, Prefer::Newest, Duration::from_secs(1)).await.unwrap();
    (link, puppet)
}

/// A server of today that asks once before it answers a call.
fn newest(message: &Value) -> Vec<Value> {
    match message["method"].as_str() {
        Some("server/discover") => {
            let capabilities = json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true } });
            vec![result(message, json!({ "supportedVersions": [NEWEST], "capabilities": capabilities }))]
        }
        Some("tools/call") if message["params"]["inputResponses"].is_null() => vec![result(
            message,
            json!({
                "resultType": "input_required",
                "requestState": "opaque",
                "inputRequests": { "who": { "method": "elicitation/create", "params": {
                    "message": "who?",
                    "requestedSchema": { "type": "object", "properties": { "n": { "type": "integer", "default": 7 } } },
                } } },
            }),
        )],
        Some("tools/call") => vec![result(message, json!({ "content": [], "structuredContent": message["params"] }))],
        Some("subscriptions/listen") => {
            let mut agreed = message["params"]["notifications"].clone();
            if let Some(uris) = agreed["resourceSubscriptions"].as_array_mut() {
                uris.retain(|uri| uri != "x://secret");
            }
            let meta = json!({ era::META_SUBSCRIPTION: message["id"] });
            let params = json!({ "_meta": meta, "notifications": agreed });
            vec![json!({ "jsonrpc": "2.0", "method": listen::ACKNOWLEDGED, "params": params })]
        }
        _ => Vec::new(),
    }
}

/// An older one that asks in the midst of a call, and answers with what it was told.
fn older(message: &Value) -> Vec<Value> {
    match message["method"].as_str() {
        Some("server/discover") => {
            vec![json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "what?" } })]
        }
        Some("initialize") => vec![result(message, json!({ "protocolVersion": "2025-06-18", "capabilities": {} }))],
        Some("tools/call") => {
            vec![
                json!({ "jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": { "message": "who?" } }),
            ]
        }
        None if message["id"] == "q" => {
            // The call is the third request of every test.
            vec![
                json!({ "jsonrpc": "2.0", "id": 3, "result": { "content": [], "structuredContent": message["result"] } }),
            ]
        }
        _ => Vec::new(),
    }
}

struct Ada;

impl Peer for Ada {
    fn capabilities(&self) -> Value {
        json!({ "elicitation": {} })
    }

    fn ask(&self, method: &str, _: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        assert_eq!(method, "elicitation/create");
        async { Ok(json!({ "action": "accept", "content": { "name": "Ada" } })) }.boxed()
    }

    fn notify(&self, _: &str, _: Value) {}
}

fn call(reach: Reach) -> Request {
    Request { method: "tools/call".into(), params: json!({ "name": "t" }), reach, deadline: Duration::from_secs(5) }
}

fn asking() -> Reach {
    Reach { peer: Some(Arc::new(Ada)), ..Reach::default() }
}

#[tokio::test]
async fn a_question_of_the_newest_era_is_put_to_the_caller_and_its_state_echoed() {
    let (link, puppet) = greeted(newest).await;
    let done = link.request(call(asking())).await.unwrap();
    let sent = &done["structuredContent"];
    assert_eq!(sent["requestState"], "opaque");
    assert_eq!(sent["inputResponses"]["who"]["content"], json!({ "name": "Ada", "n": 7 }), "with its defaults");
    let first = puppet.sent("tools/call").unwrap();
    assert_eq!(first["params"]["_meta"][era::META_CAPABILITIES], json!({ "elicitation": {} }), "the caller's own");
}

#[tokio::test]
async fn a_question_goes_back_where_nobody_can_be_asked_and_the_call_goes_on_with_the_answer() {
    let (link, _) = greeted(newest).await;
    let asked = link.request(call(Reach::default())).await.unwrap();
    assert_eq!((&asked["resultType"], &asked["requestState"]), (&json!("input_required"), &json!("opaque")));
    let responses = json!({ "who": { "action": "decline" } }).as_object().unwrap().clone();
    let resumption = Some(Resumption { responses, state: Some("opaque".into()) });
    let done = link.request(call(Reach { resumption, ..Reach::default() })).await.unwrap();
    assert_eq!(done["structuredContent"]["inputResponses"], json!({ "who": { "action": "decline" } }));
}

#[tokio::test]
async fn an_older_servers_question_is_put_to_the_caller() {
    let (link, _) = greeted(older).await;
    let done = link.request(call(asking())).await.unwrap();
    assert_eq!(done["structuredContent"]["content"]["name"], "Ada");
}

#[tokio::test]
async fn an_older_servers_question_is_turned_into_one_of_the_newest_era_and_back() {
    let (link, puppet) = greeted(older).await;
    let asked = link.request(call(Reach::default())).await.unwrap();
    assert_eq!(asked["resultType"], "input_required");
    assert_eq!(asked["inputRequests"]["1"]["method"], "elicitation/create");
    assert_eq!(puppet.sent("notifications/cancelled"), None, "the call waits at its server");
    let state = asked["requestState"].as_str().map(str::to_owned);
    let responses = json!({ "1": { "action": "accept", "content": { "name": "Bo" } } }).as_object().unwrap().clone();
    let resumption = Some(Resumption { responses, state });
    let again = || Reach { resumption: resumption.clone(), ..Reach::default() };
    let done = link.request(call(again())).await.unwrap();
    assert_eq!(done["structuredContent"]["content"]["name"], "Bo");
    let twice = link.request(call(again())).await.unwrap_err();
    assert!(matches!(twice, UpstreamError::Answered(_)), "a question is answered once");
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_call() {
    let (link, puppet) = greeted(|message| match message["method"].as_str() {
        Some("tools/call") => Vec::new(),
        _ => newest(message),
    })
    .await;
    let asking = tokio::spawn(link.request(call(Reach::default())));
    while puppet.sent("tools/call").is_none() {
        tokio::task::yield_now().await;
    }
    asking.abort();
    let _ = asking.await;
    let told = puppet.sent("notifications/cancelled").expect("the server is told");
    assert_eq!(told["params"]["requestId"], puppet.sent("tools/call").unwrap()["id"]);
}

#[tokio::test]
async fn one_stream_stands_in_for_all_subscriptions() {
    let (link, puppet) = greeted(newest).await;
    let subscribe = |uri: &str, on: bool| {
        let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
        let (params, reach) = (json!({ "uri": uri }), Reach::default());
        link.request(Request { method: method.into(), params, reach, deadline: Duration::from_secs(5) })
    };
    subscribe("x://a", true).await.unwrap();
    subscribe("x://b", true).await.unwrap();
    let wrong = subscribe("x://secret", true).await.unwrap_err();
    assert!(matches!(wrong, UpstreamError::Answered(fault) if fault.error.code == ErrorCode::Unsupported));
    subscribe("x://a", false).await.unwrap();
    let filters: Vec<_> = {
        let sent = puppet.sent.lock().unwrap();
        let listens = sent.iter().filter(|message| message["method"] == "subscriptions/listen");
        listens.map(|message| message["params"]["notifications"].clone()).collect()
    };
    assert!(filters.iter().all(|filter| filter["toolsListChanged"] == true), "{filters:?}");
    assert_eq!(filters.last().unwrap()["resourceSubscriptions"], json!(["x://b"]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_asked_for_again_soon_where_it_was_good() {
    let ears = Arc::new(Deaf::default());
    let (_link, puppet) = heard_by(newest, ears.clone()).await;
    let asked = || -> Vec<Value> {
        let sent = puppet.sent.lock().unwrap();
        sent.iter().filter(|message| message["method"] == "subscriptions/listen").cloned().collect()
    };
    // Ends the newest stream; how long it takes until there is another.
    let again = async || {
        let before = asked();
        let end = result(before.last().unwrap(), json!({ "resultType": "complete" }));
        let began = tokio::time::Instant::now();
        puppet.shared.upgrade().unwrap().hear(&end.to_string(), None).unwrap();
        while asked().len() == before.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    };
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(ears.0.load(std::sync::atomic::Ordering::SeqCst), 0, "the first one misses nothing");
    for seconds in [1, 2, 4, 8] {
        assert!(again().await <= Duration::from_secs(seconds));
    }
    assert!(again().await > Duration::from_secs(4), "one that ends them all at once is left alone");
    assert_eq!(ears.0.load(std::sync::atomic::Ordering::SeqCst), 5, "each may have missed something");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(again().await < Duration::from_secs(1), "the last one was good for an hour");
}

#[tokio::test]
async fn a_lost_connection_ends_everything_that_waits() {
    let (link, puppet) = greeted(|message| match message["method"].as_str() {
        Some("tools/call") => Vec::new(),
        _ => newest(message),
    })
    .await;
    let waiting = tokio::spawn(link.request(call(Reach::default())));
    while puppet.sent("tools/call").is_none() {
        tokio::task::yield_now().await;
    }
    puppet.shared.upgrade().unwrap().lost(UpstreamError::Gone("crash".into()));
    assert_eq!(waiting.await.unwrap(), Err(UpstreamError::Gone("crash".into())));
    assert_eq!(link.closed().await, UpstreamError::Gone("crash".into()));
    assert_eq!(link.request(call(Reach::default())).await, Err(UpstreamError::Gone("crash".into())));
}

#[tokio::test]
async fn silence_has_an_end() {
    let (link, _) = greeted(|message| match message["method"].as_str() {
        Some("tools/call") => Vec::new(),
        _ => newest(message),
    })
    .await;
    let deadline = Duration::from_millis(30);
    let silent = link.request(Request { deadline, ..call(Reach::default()) }).await;
    assert_eq!(silent, Err(UpstreamError::Timeout(deadline)));
}

/// Thinks for ever, and counts how often it was asked.
#[derive(Default)]
struct Ponders(std::sync::atomic::AtomicUsize);

impl Peer for Ponders {
    fn capabilities(&self) -> Value {
        json!({ "elicitation": {} })
    }

    fn ask(&self, _: &str, _: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::pending().boxed()
    }

    fn notify(&self, _: &str, _: Value) {}
}

#[tokio::test]
async fn a_server_cannot_pile_up_questions_by_asking_and_taking_back() {
    let (link, puppet) = greeted(|message| match message["method"].as_str() {
        Some("tools/call") => Vec::new(),
        _ => older(message),
    })
    .await;
    let peer = Arc::new(Ponders::default());
    let reach = Reach { peer: Some(peer.clone()), ..Reach::default() };
    let calling = tokio::spawn(link.request(call(reach)));
    while puppet.sent("tools/call").is_none() {
        tokio::task::yield_now().await;
    }
    for n in 0..500 {
        let shared = puppet.shared.upgrade().unwrap();
        let id = format!("q{n}");
        let ask = json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": { "message": "?" } });
        let back = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
        shared.hear(&ask.to_string(), None).unwrap();
        shared.hear(&back.to_string(), None).unwrap();
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    let asked = peer.0.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(asked, input::QUESTIONS_MAX, "people are asked so many things at once and no more");
    assert!(!calling.is_finished());
    calling.abort();
}
