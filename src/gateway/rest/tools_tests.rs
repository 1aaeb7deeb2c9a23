//! Calls of tools by name, through real sockets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::common::config::Config;
use crate::gateway::rest::fake::fake;
use crate::gateway::testing::{HANG, Open, body, header, hear, hear_until, open_tools, status};

fn post(name: &str, headers: &str, json: &str) -> String {
    let head = format!("POST /api/v1/tools/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    format!("{head}Content-Length: {}\r\n\r\n{json}", json.len())
}

async fn call(open: &Open, name: &str, json: &str) -> (u16, Value) {
    let heard = open.ask(post(name, "", json)).await;
    (status(&heard), serde_json::from_str(body(&heard)).unwrap_or_else(|_| panic!("no JSON: {heard}")))
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, waiting).await.expect("it happens");
}

#[tokio::test]
async fn any_tool_is_called_by_its_name() {
    let open = open_tools(Config::default(), fake().1);
    let (code, set) = call(&open, "settings.set", r#"{"key":"a","value":[1]}"#).await;
    assert_eq!((code, &set["structured"]), (200, &json!({ "key": "a", "value": [1], "revision": 1 })));
    assert_eq!((&set["is_error"], &set["content"][0]["type"]), (&json!(false), &json!("text")));
    let (code, words) = call(&open, "files__read", "").await;
    assert_eq!(
        (code, words),
        (200, json!({ "content": [{ "type": "text", "text": "words alone" }], "is_error": false }))
    );
    let (code, failed) = call(&open, "settings.set", r#"{"key":"a"}"#).await;
    assert_eq!((code, &failed["code"]), (400, &json!("bad_request")), "what cannot be called was not");
    assert!(failed["detail"].as_str().is_some_and(|why| why.contains("value")), "{failed}");
    for (name, json, meant) in [
        ("settings.get", r#"{"key":"b"}"#, (404, "not_found")),
        ("nothing", "{}", (404, "not_found")),
        ("asks", "{}", (422, "unsupported")),
        ("slow?x=1", "{}", (400, "bad_request")),
        ("slow", "[]", (400, "bad_request")),
        ("slow", "{", (400, "bad_request")),
    ] {
        let (code, problem) = call(&open, name, json).await;
        assert_eq!((code, problem["code"].as_str()), (meant.0, Some(meant.1)), "{name} {json}: {problem}");
    }
    assert_eq!(status(&open.ask(post("slow", "Content-Type: text/plain\r\n", "{}")).await), 415);
}

#[tokio::test]
async fn steps_come_as_they_happen_and_then_the_result() {
    let (tools, service) = fake();
    let open = open_tools(Config::default(), service);
    let mut stream = open.connect().await;
    let accept = "Accept: application/json;q=0.5, text/event-stream\r\n";
    stream.write_all(post("slow", accept, "{}").as_bytes()).await.expect("sent");
    let first = hear_until(&mut stream, "\n\n").await;
    assert_eq!((status(&first), header(&first, "content-type")), (200, Some("text/event-stream")), "{first}");
    let step = "event: progress\ndata: {\"message\":\"half way\\nthere\",\"progress\":1.0,\"total\":2.0}\n\n";
    assert!(first.contains(step), "{first}");
    tools.go.notify_one();
    let rest = hear(&mut stream).await;
    let (second, result) = rest.split_once("event: result\ndata: ").expect("a result");
    assert!(second.contains("event: progress\ndata: {\"progress\":2.0}\n\n"), "{rest}");
    let result: Value = serde_json::from_str(result.split('\n').next().expect("a line")).expect("JSON");
    assert_eq!((&result["structured"], &result["is_error"]), (&json!({ "done": true }), &json!(false)));
    // What is refused at once is refused with a status.
    let refused = open.ask(post("settings.get", accept, r#"{"key":"b"}"#)).await;
    assert_eq!((status(&refused), header(&refused, "content-type")), (404, Some("application/problem+json")));
    assert_eq!(tools.cancelled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_hangs_up_cancels() {
    let (tools, service) = fake();
    let open = open_tools(Config::default(), service);
    for (turn, headers) in ["", "Accept: text/event-stream\r\n"].into_iter().enumerate() {
        let mut stream = open.connect().await;
        stream.write_all(post("slow", headers, "{}").as_bytes()).await.expect("sent");
        until(|| tools.begun.load(Ordering::SeqCst) == turn + 1).await;
        assert_eq!(tools.cancelled.load(Ordering::SeqCst), turn);
        drop(stream);
        until(|| tools.cancelled.load(Ordering::SeqCst) == turn + 1).await;
    }
}

#[tokio::test]
async fn tools_are_listed_page_by_page_and_found_by_words() {
    let open = open_tools(Config::default(), fake().1);
    let list = async |query: &str| {
        let heard = open.get("GET", &format!("/api/v1/tools{query}"), "").await;
        let json: Value = serde_json::from_str(body(&heard)).unwrap_or_else(|_| panic!("no JSON: {heard}"));
        (heard, json)
    };
    let (_, all) = list("").await;
    let all = all["tools"].as_array().expect("tools").clone();
    assert_eq!(all.len(), 9);
    assert_eq!(
        (&all[1]["name"], &all[1]["server"], &all[1]["access"]),
        (&json!("files__read"), &json!("files"), &json!("member"))
    );
    let (mut place, mut seen) = ("?limit=4".to_owned(), Vec::new());
    loop {
        let (heard, page) = list(&place).await;
        seen.extend(page["tools"].as_array().expect("tools").iter().cloned());
        let Some(link) = header(&heard, "link") else { break };
        assert!(page["next_cursor"].is_string());
        place = link.split(['?', '>']).nth(1).map(|query| format!("?{query}")).expect("a query");
    }
    assert_eq!(seen, all);
    let (_, found) = list("?search=SETTINGS+get").await;
    assert_eq!(found["tools"].as_array().map(Vec::len), Some(1), "{found}");
    for query in ["?limit=0", "?limit=201", "?limit=x", "?size=1", "?limit=1&limit=2", "?search=%zz"] {
        assert_eq!(list(query).await.1["status"], 400, "{query}");
    }
    let one = open.get("GET", "/api/v1/tools/settings%2Eget", "").await;
    assert_eq!((status(&one), serde_json::from_str::<Value>(body(&one)).ok()), (200, Some(all[4].clone())));
    assert_eq!(status(&open.get("GET", "/api/v1/tools/none", "").await), 404);
}
