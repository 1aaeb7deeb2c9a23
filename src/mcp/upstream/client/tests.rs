//! The client without a wire: what goes out, what an answer means, and what a server may not do.
#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]

use super::*;
use crate::mcp::upstream::client::era::{META_CAPABILITIES, META_VERSION, NEWEST};

fn client(era: Era) -> (Client, Instant) {
    let now = Instant::now();
    let mut client = Client::new(now);
    client.speak(era, if era == Era::Newest { NEWEST } else { "2025-06-18" });
    (client, now)
}

fn ask(client: &mut Client, method: &str) -> i64 {
    client.request(method, &mut Map::new(), &json!({}), false).unwrap().id
}

fn only(client: &mut Client, text: &str, via: Option<i64>, now: Instant) -> Heard {
    let mut heard = client.take(text, via, now).unwrap();
    assert_eq!(heard.len(), 1, "{text}");
    heard.remove(0)
}

#[test]
fn requests_carry_what_their_era_wants() {
    let (mut newest, _) = client(Era::Newest);
    let roots = json!({ "roots": {} });
    let out = newest.request("tools/call", &mut Map::new(), &roots, true).unwrap();
    let sent: Value = serde_json::from_str(&out.text).unwrap();
    assert_eq!(sent["params"]["_meta"][META_VERSION], NEWEST);
    assert_eq!(sent["params"]["_meta"][META_CAPABILITIES], roots);
    assert_eq!(sent["params"]["_meta"]["progressToken"], out.id);
    let (mut older, _) = client(Era::Older);
    let mut params = json!({ "_meta": { META_CAPABILITIES: {} }, "cursor": "c" }).as_object().unwrap().clone();
    let out = older.request("tools/list", &mut params, &roots, false).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&out.text).unwrap()["params"], json!({ "cursor": "c" }));
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let (mut client, now) = client(Era::Older);
    let (first, second) = (ask(&mut client, "tools/list"), ask(&mut client, "tools/call"));
    assert_ne!(first, second);
    let heard =
        only(&mut client, &format!(r#"{{"jsonrpc":"2.0","id":{second},"result":{{"content":[]}}}}"#), None, now);
    assert_eq!(
        heard,
        Heard::Answer { id: second, answer: Ok(json!({ "content": [], "resultType": "complete" })) },
        "in the newest shape"
    );
    let text = format!(r#"{{"jsonrpc":"2.0","id":"{first}","error":{{"code":-32602,"message":"no"}}}}"#);
    let Heard::Answer { id, answer: Err(fault) } = only(&mut client, &text, None, now) else { panic!() };
    assert_eq!((id, fault.code), (first, -32602));
    assert_eq!(client.take(&text, None, now).unwrap(), [], "twice is nobody's");
    assert_eq!(client.waiting(), 0);
}

#[test]
fn a_batch_is_taken_apart() {
    let (mut client, now) = client(Era::Older);
    let (a, b) = (ask(&mut client, "tools/list"), ask(&mut client, "tools/list"));
    let text = format!(r#"[{{"jsonrpc":"2.0","id":{b},"result":{{}}}},{{"jsonrpc":"2.0","id":{a},"result":{{}}}}]"#);
    assert_eq!(client.take(&text, None, now).unwrap().len(), 2);
    let c = ask(&mut client, "tools/list");
    let mixed = format!(r#"[{{"jsonrpc":"2.0","id":{c},"result":{{}}}},{{"jsonrpc":"2.0"}}]"#);
    assert_eq!(client.take(&mixed, None, now).map(|heard| heard.len()), Ok(1), "the answer is one");
    assert!(client.take(r#"[{"jsonrpc":"2.0"}]"#, None, now).is_err());
    let flood = format!("[{}]", vec![r#"{"jsonrpc":"2.0","method":"x"}"#; BATCH_LEN_MAX + 1].join(","));
    assert!(client.take(&flood, None, now).is_err());
}

#[test]
fn what_nobody_waits_for_is_cancelled_and_then_nobodys() {
    let (mut client, now) = client(Era::Older);
    let id = ask(&mut client, "tools/call");
    let told = client.cancel(id).unwrap();
    assert!(told.contains("notifications/cancelled") && told.contains(&format!("\"requestId\":{id}")), "{told}");
    assert_eq!(client.cancel(id), None);
    let late = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    assert_eq!(client.take(&late, None, now).unwrap(), []);
    let greeting = ask(&mut client, "initialize");
    assert_eq!(client.cancel(greeting), None, "MCP forbids it");
}

#[test]
fn a_question_goes_to_the_call_it_belongs_to_and_to_no_other() {
    let (mut client, now) = client(Era::Older);
    let elicit = |id: i64, meta: Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": { "_meta": meta } }).to_string()
    };
    assert!(
        matches!(only(&mut client, &elicit(1, json!({})), None, now), Heard::Reply(text) if text.contains("error"))
    );
    let first = ask(&mut client, "tools/call");
    ask(&mut client, "tools/list");
    assert!(matches!(only(&mut client, &elicit(2, json!({})), None, now), Heard::Asked { of, .. } if of == first));
    let second = ask(&mut client, "tools/call");
    assert!(matches!(only(&mut client, &elicit(3, json!({})), None, now), Heard::Reply(_)), "two calls: nobody knows");
    assert!(
        matches!(only(&mut client, &elicit(4, json!({})), Some(second), now), Heard::Asked { of, .. } if of == second)
    );
    let named = elicit(5, json!({ "progressToken": first }));
    assert!(matches!(only(&mut client, &named, None, now), Heard::Asked { of, .. } if of == first));
    assert!(client.answer(&Id::Number(5), Ok(json!({ "action": "decline" }))).unwrap().contains("decline"));
    assert_eq!(client.answer(&Id::Number(5), Ok(json!({}))), None, "once");
    let taken_back = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4}}"#;
    assert_eq!(client.take(taken_back, None, now).unwrap(), []);
    assert_eq!(client.answer(&Id::Number(4), Ok(json!({}))), None, "it does not want it any more");
}

#[test]
fn pings_and_roots_are_answered_at_once_and_strange_methods_refused() {
    let (mut client, now) = client(Era::Older);
    for (method, part) in [("ping", "\"result\":{}"), ("roots/list", "\"roots\":[]"), ("x/y", "-32601")] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":"s","method":"{method}"}}"#);
        let Heard::Reply(reply) = only(&mut client, &text, None, now) else { panic!("{method}") };
        assert!(reply.contains(part), "{reply}");
    }
}

#[test]
fn a_server_cannot_ask_for_ever() {
    let (mut client, now) = client(Era::Older);
    ask(&mut client, "tools/call");
    let asked = (0..ASKED_MAX as i64 + 10)
        .filter(|id| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{{}}}}"#);
            matches!(only(&mut client, &text, None, now), Heard::Asked { .. })
        })
        .count();
    assert_eq!(asked, ASKED_MAX);
}

#[test]
fn progress_reaches_its_request_and_a_flood_is_dropped_and_counted() {
    let (mut client, now) = client(Era::Newest);
    let id = ask(&mut client, "tools/call");
    let step = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":1,"total":4}}}}"#
    );
    let Heard::Progress { id: of, note } = only(&mut client, &step, None, now) else { panic!() };
    assert_eq!((of, note.progress, note.total), (id, 1.0, Some(4.0)));
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let heard = (0..5000).map(|_| client.take(log, None, now).unwrap().len()).sum::<usize>();
    assert_eq!(heard, VOICE_BURST as usize - 1);
    assert_eq!(client.dropped(), 5000 - heard as u64);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    assert!(matches!(only(&mut client, &answer, None, now), Heard::Answer { .. }), "answers are no noise");
}

#[test]
fn nonsense_is_told_as_such_and_harms_nobody() {
    let (mut client, now) = client(Era::Older);
    let id = ask(&mut client, "tools/call");
    let deep = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for text in ["", "hello", "{}", "[1]", "\u{0}", r#"{"jsonrpc":"2.0","method":"x","params":[1]}"#, &deep] {
        assert!(client.take(text, None, now).is_err(), "{:.40}", text);
    }
    assert_eq!(client.waiting(), 1);
    let odd = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":7}}"#);
    assert!(matches!(only(&mut client, &odd, None, now), Heard::Answer { answer: Err(_), .. }));
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let (mut client, _) = client(Era::Older);
    for _ in 0..WAITING_MAX {
        ask(&mut client, "tools/call");
    }
    assert_eq!(client.request("tools/call", &mut Map::new(), &json!({}), false).unwrap_err(), Full);
}
