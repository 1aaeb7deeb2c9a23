//! Requests: what is wrong with one, many at once, stopped, repeated.

use super::*;
use crate::common::limits::{MESSAGE_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX};

#[test]
fn what_is_no_request_is_said_and_harms_nobody() {
    let long_id = "x".repeat(129);
    let deep = "[".repeat(200_000);
    for (text, id, expected) in [
        ("", Value::Null, "bad_request"),
        ("{", Value::Null, "bad_request"),
        ("[]", Value::Null, "bad_request"),
        (&deep, Value::Null, "bad_request"),
        (r#"{"request_id":"a"}"#, json!("a"), "bad_request"),
        (r#"{"action":7,"request_id":"a"}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":7,"payload":{"text":"x"}}"#, Value::Null, "bad_request"),
        (r#"{"action":"chat","request_id":"","payload":{"text":"x"}}"#, Value::Null, "bad_request"),
        (&chat(&long_id, "x"), Value::Null, "bad_request"),
        (r#"{"action":"chat","request_id":"a"}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":"a","payload":[]}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":"a","payload":"x"}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":"a","payload":{"text":5}}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":"a","payload":{"text":" \n"}}"#, json!("a"), "bad_request"),
        (r#"{"action":"chat","request_id":"a","payload":{"text":"x","mode":"fast"}}"#, json!("a"), "bad_request"),
        (
            r#"{"action":"chat","request_id":"a","payload":{"text":"x","conversation_id":"a b"}}"#,
            json!("a"),
            "bad_request",
        ),
        (
            r#"{"action":"chat","request_id":"a","payload":{"text":"x","conversation_id":""}}"#,
            json!("a"),
            "bad_request",
        ),
        (r#"{"action":"chat","request_id":"a","payload":{"text":"x","attachments":[{}]}}"#, json!("a"), "bad_request"),
        (r#"{"action":"cancel","request_id":"a","payload":{}}"#, json!("a"), "bad_request"),
        (&cancel("a", &long_id), json!("a"), "bad_request"),
        (
            r#"{"action":"resume","request_id":"a","payload":{"session_id":"s","last_seq":-1}}"#,
            json!("a"),
            "bad_request",
        ),
        (r#"{"action":"dance","request_id":"a"}"#, json!("a"), "unknown_action"),
        (r#"{"action":"subscribe","request_id":"a"}"#, json!("a"), "unsupported"),
        (r#"{"action":"tool"}"#, Value::Null, "unsupported"),
    ] {
        let mut played = Played::v1();
        let shown = &text[..text.len().min(80)];
        let [answer] = played.say(text).try_into().expect(shown);
        let answer = parsed(&answer);
        assert_eq!((&answer["request_id"], answer["error"]["code"].as_str()), (&id, Some(expected)), "{shown}");
        assert_eq!(played.take_actions(), [], "{shown}");
        played.chat("a");
    }
}

#[test]
fn a_binary_message_is_no_request() {
    let mut played = Played::v1();
    played.session.handle_binary(played.now, &[0, 159, 146, 150]);
    assert_eq!(code(&played.drain()), "bad_request");
    played.chat("a");
}

#[test]
fn what_is_said_about_a_long_mistake_is_short() {
    let long = "x".repeat(MESSAGE_BYTES_MAX - 200);
    for text in [
        format!(r#"{{"action":"{long}"}}"#),
        format!(r#"{{"action":"chat","payload":{{"text":"a","mode":"{long}"}}}}"#),
        format!(r#"{{"action":"chat","payload":{{"text":"a","conversation_id":"{long}"}}}}"#),
        format!(r#"{{"action":"cancel","payload":"{long}"}}"#),
        format!(r#"{{"action":"hello","payload":{{"protocol":[{}3]}}}}"#, "3,".repeat(400_000)),
        format!(r#""{long}""#),
    ] {
        let mut played = Played::v1();
        let answers = played.say(&text);
        assert_eq!(told(&answers).len(), 1);
        assert!(answers[0].len() < 1000, "{}", answers[0].len());
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let mut played = Played::v1();
    let text = r#"{"v":9,"action":"chat","payload":{"text":"x","voice":{"speak":true}},"request_id":"a","later":[{}]}"#;
    assert_eq!(told(&played.say(text)), ["processing"]);
}

#[test]
fn a_chat_without_an_id_gets_a_free_one() {
    let mut played = Played::v1();
    let unnamed = r#"{"action":"chat","payload":{"text":"x"}}"#;
    assert_eq!(parsed(&played.say(unnamed)[0])["request_id"], "req-1");
    played.chat("req-2");
    assert_eq!(parsed(&played.say(unnamed)[0])["request_id"], "req-3", "the client has taken req-2");
}

#[test]
fn wishes_reach_the_router() {
    let mut played = Played::v1();
    let payload = r#"{"text":"x","conversation_id":"k-1","profile":"p","provider":"local","model":"m","mode":"local"}"#;
    played.say(&format!(r#"{{"action":"chat","payload":{payload},"request_id":"a"}}"#));
    let [Action::Start { job: Job::Chat(ask), .. }] = &played.take_actions()[..] else {
        panic!("a start was expected")
    };
    assert_eq!(
        (ask.input.conversation_id(), ask.profile.as_deref(), ask.provider.as_deref()),
        (Some("k-1"), Some("p"), Some("local"))
    );
    assert_eq!((ask.model.as_deref(), ask.mode), (Some("m"), crate::router::Mode::Local));
}

#[test]
fn many_requests_run_at_once_and_one_too_many_is_told_to_wait() {
    let mut played = Played::v1();
    let keys: Vec<_> = (0..REQUESTS_IN_FLIGHT_MAX).map(|at| played.chat(&format!("r{at}"))).collect();
    let [refused] = played.say(&chat("more", "hi")).try_into().expect("one answer");
    assert_eq!(parsed(&refused)["error"]["code"], "rate_limited");
    assert_eq!(parsed(&refused)["error"]["retryable"], true);
    for (at, key) in keys.iter().enumerate().rev() {
        let [chunk] = played.text(*key, "x").try_into().expect("one chunk");
        assert_eq!(parsed(&chunk)["request_id"], format!("r{at}"));
    }
    played.done(keys[7]);
    played.chat("more");
}

#[test]
fn a_stopped_request_ends_as_cancelled_whatever_comes() {
    for last in [News::Done(Box::new(summary())), News::Failed(Box::new(failure(ErrorCode::ProviderError)))] {
        let mut played = Played::v2("[]");
        let key = played.chat("a");
        played.text(key, "shown");
        let [answer] = played.say(&cancel("c", "a")).try_into().expect("one answer");
        assert_eq!(parsed(&answer)["chunk"]["metadata"], json!({"target":"a","cancelled":true}));
        assert_eq!(played.take_actions(), [Action::Cancel { key }]);
        assert_eq!(told(&played.text(key, "late")), [""; 0]);
        let again = played.say(&cancel("c2", "a"));
        assert_eq!(parsed(&again[0])["chunk"]["metadata"]["cancelled"], true, "as often as one likes");
        let [end] = played.news(key, last).try_into().expect("one end");
        assert_eq!((&parsed(&end)["request_id"], &parsed(&end)["error"]["code"]), (&json!("a"), &json!("cancelled")));
        let answers = played.say(&cancel("c3", "a"));
        assert_eq!(parsed(&answers[0])["chunk"]["metadata"]["cancelled"], false, "it does not run any more");
        let repeat = played.say(&chat("a", "hi"));
        assert_eq!(told(&repeat), ["processing", "chunk", "cancelled"]);
        assert_eq!(parsed(&repeat[1])["chunk"]["data"], "shown", "what was not shown is not kept");
    }
}

#[test]
fn to_stop_what_never_ran_is_no_mistake() {
    let mut played = Played::v1();
    let [answer] = played.say(&cancel("c", "nobody")).try_into().expect("one answer");
    assert_eq!(
        answer,
        r#"{"request_id":"c","status":"complete","chunk":{"type":"metadata","data":null,"metadata":{"cancelled":false,"target":"nobody"}}}"#
    );
    assert_eq!(played.take_actions(), []);
}

#[test]
fn a_repeat_gets_the_same_answer_and_nothing_runs_twice() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    assert_eq!(told(&played.say(&chat("a", "hi"))), ["processing"], "it joins the one that runs");
    assert_eq!(code(&played.say(&chat("a", "other"))), "id_reuse");
    played.text(key, "one ");
    played.text(key, "two");
    let end = parsed(&played.done(key)[0]);
    let reordered = r#"{"request_id":"a", "payload": {  "text":"h\u0069" }, "action":"chat"}"#;
    played.now += 300 * SECOND;
    for repeat in [&chat("a", "hi"), reordered] {
        let answers: Vec<_> = played.say(repeat).iter().map(|text| parsed(text)).collect();
        let [processing, chunk, again] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(processing["status"], "processing");
        assert_eq!((&chunk["chunk"]["data"], &chunk["chunk"]["index"]), (&json!("one two"), &json!(0)));
        let mut expected = end["chunk"]["metadata"].clone();
        expected["replayed"] = json!(true);
        assert_eq!((&again["chunk"]["metadata"], &again["chunk"]["index"]), (&expected, &json!(1)));
    }
    assert_eq!(code(&played.say(&chat("a", "other"))), "id_reuse");
    assert_eq!(played.take_actions(), []);
    played.now += SECOND;
    played.chat("a");
    played.assert_gapless();
}

#[test]
fn a_repeat_of_a_failure_fails_again() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let first = parsed(&played.failed(key, ErrorCode::Offline)[0]);
    let answers = played.say(&chat("a", "hi"));
    assert_eq!(told(&answers), ["processing", "offline"]);
    assert_eq!(parsed(&answers[1])["error"], first["error"]);
    assert_eq!(played.take_actions(), []);
}

#[test]
fn a_request_that_never_ran_may_come_again() {
    let mut played = Played::v2("[]");
    assert_eq!(code(&played.say(&chat("a", " "))), "bad_request");
    played.chat("a");
}

#[test]
fn a_long_answer_comes_again_in_pieces_as_far_as_it_is_kept() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let piece = "é".repeat(5000);
    for _ in 0..40 {
        played.text(key, &piece);
    }
    played.done(key);
    let frames: Vec<_> = played.say(&chat("a", "hi")).iter().map(|text| parsed(text)).collect();
    let texts: Vec<_> = frames.iter().filter_map(|frame| frame["chunk"]["data"].as_str()).collect();
    assert!(texts.iter().all(|text| text.len() <= 16 * 1024));
    assert_eq!(texts.concat(), piece.repeat(26), "256 KiB of it");
    let indices: Vec<_> = frames.iter().filter_map(|frame| frame["chunk"]["index"].as_u64()).collect();
    assert_eq!(indices, (0..=texts.len() as u64).collect::<Vec<_>>());
    assert_eq!(frames.last().expect("an end")["chunk"]["metadata"]["cut"], true);
}
