//! A session that goes on over another socket.

use super::*;
use crate::common::limits::REPLAY_BYTES_MAX;

#[test]
fn what_was_missed_comes_unchanged_and_in_order() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    let mut missed = played.text(key, "one");
    missed.extend(played.text(key, "two"));
    played.lose_socket();
    assert!(played.session.wants_news() && played.session.is_resumable());
    assert_eq!(played.text(key, "three"), [""; 0]);
    assert_eq!(played.done(key), [""; 0]);
    let answers = played.resume(2);
    assert_eq!(answers[..2], missed);
    assert_eq!(told(&answers), ["chunk", "chunk", "chunk", "complete", "complete"]);
    let end = parsed(&answers[4]);
    assert_eq!((&end["request_id"], &end["seq"]), (&json!("r"), &json!(7)));
    assert_eq!(end["chunk"]["metadata"], json!({"session_id":"s-fresh","replayed":4,"resume_ttl_s":90}));
    let seqs: Vec<_> = answers.iter().map(|text| parsed(text)["seq"].as_u64()).collect();
    assert_eq!(seqs, (3..=7).map(Some).collect::<Vec<_>>());
}

#[test]
fn who_missed_nothing_gets_nothing_twice() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    played.lose_socket();
    let answers = played.resume(2);
    assert_eq!(
        (told(&answers), parsed(&answers[0])["chunk"]["metadata"]["replayed"].as_u64()),
        (vec!["complete".into()], Some(0))
    );
    played.text(key, "x");
    played.done(key);
    played.assert_gapless();
}

#[test]
fn a_second_time_works_as_the_first() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    for round in 0..3 {
        played.lose_socket();
        played.text(key, "x");
        let answers = played.resume(2 + 2 * round);
        assert_eq!(told(&answers), ["chunk", "complete"], "round {round}");
    }
    played.assert_gapless();
}

#[test]
fn a_socket_that_is_still_open_is_left_for_the_new_one() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    played.reads = false;
    played.text(key, "never read");
    let answers = played.resume(2);
    assert_eq!(told(&answers), ["chunk", "complete"]);
    assert_eq!(told(&played.text(key, "x")), ["chunk"]);
    played.assert_gapless();
}

#[test]
fn who_missed_too_much_gets_the_state_as_it_is() {
    let mut played = Played::resumable();
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.text(b, "whole");
    played.done(b);
    let c = played.chat("c");
    played.failed(c, ErrorCode::Offline);
    let piece = "x".repeat(100_000);
    for _ in 0..12 {
        played.text(a, &piece);
    }
    let last_seq = played.session.seq;
    played.lose_socket();
    let [answer] = played.resume(3).try_into().expect("one answer");
    let answer = parsed(&answer);
    assert_eq!((&answer["request_id"], &answer["error"]["code"]), (&json!("r"), &json!("resume_gap")));
    assert_eq!(answer["seq"], last_seq + 1);
    let snapshot = &answer["error"]["snapshot"];
    assert_eq!(snapshot["last_seq"], answer["seq"]);
    let requests = snapshot["requests"].as_array().expect("a list");
    let row = |at: usize| {
        (requests[at]["request_id"].as_str(), requests[at]["status"].as_str(), requests[at]["cut"].as_bool())
    };
    assert_eq!(row(0), (Some("b"), Some("complete"), Some(false)));
    assert_eq!((&requests[0]["text"], &requests[0]["metadata"]["provider"]), (&json!("whole"), &json!("openai")));
    assert_eq!(row(1), (Some("c"), Some("error"), Some(false)));
    assert_eq!(requests[1]["error"]["code"], "offline");
    assert_eq!(row(2), (Some("a"), Some("processing"), Some(true)));
    assert_eq!(requests[2]["text"], piece.repeat(2), "as much as is kept");
    assert_eq!(requests.len(), 3);
    let [next] = played.text(a, "y").try_into().expect("it goes on");
    assert_eq!(parsed(&next)["seq"], last_seq + 2);
    played.lose_socket();
    assert_eq!(told(&played.resume(last_seq + 1)), ["chunk", "complete"], "the client goes on from there");
}

#[test]
fn a_snapshot_is_no_larger_than_a_client_takes() {
    let mut played = Played::resumable();
    let piece = "x".repeat(20_000);
    for at in 0..600 {
        let key = played.chat(&format!("{at}"));
        played.text(key, &piece);
        if at < 400 {
            played.done(key);
        }
    }
    played.lose_socket();
    let [answer] = played.resume(1).try_into().expect("one answer");
    assert_eq!(parsed(&answer)["error"]["code"], "resume_gap");
    assert!(answer.len() < REPLAY_BYTES_MAX, "{}", answer.len());
    let requests = parsed(&answer)["error"]["snapshot"]["requests"].as_array().expect("a list").len();
    assert_eq!(requests, 200 + 256);
}

#[test]
fn a_number_that_has_not_been_is_a_gap_too() {
    for last_seq in [3, u64::MAX] {
        let mut played = Played::resumable();
        played.chat("a");
        played.lose_socket();
        assert_eq!(code(&played.resume(last_seq)), "resume_gap");
    }
}

#[test]
fn the_driver_is_asked_for_another_session() {
    for mut played in [Played::v1(), Played::resumable(), Played::new(true)] {
        played.take_actions();
        let resume = r#"{"action":"resume","request_id":"r","payload":{"session_id":"s-other","last_seq":7}}"#;
        assert_eq!(played.say(resume), [""; 0]);
        let expected = Action::Resume { session_id: "s-other".into(), request_id: Some("r".into()), last_seq: 7 };
        assert_eq!(played.take_actions(), [expected]);
        played.session.handle_not_resumed(Some("r"));
        assert_eq!(code(&played.drain()), "not_found");
        played.chat("a");
        assert_eq!(code(&played.say(resume)), "conflict", "a request runs here");
    }
}

#[test]
fn a_session_does_not_resume_itself() {
    let mut played = Played::resumable();
    let resume = r#"{"action":"resume","request_id":"r","payload":{"session_id":"s-fresh","last_seq":1}}"#;
    assert_eq!(code(&played.say(resume)), "conflict");
    assert_eq!(played.take_actions(), []);
}

#[test]
fn nobody_waits_for_ever() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    played.lose_socket();
    played.wait(RESUME_TTL - SECOND);
    assert!(played.session.is_resumable() && played.actions.is_empty());
    played.wait(SECOND);
    assert!(!played.session.is_resumable() && played.session.poll_timeout().is_none());
    assert_eq!(played.take_actions(), [Action::Cancel { key }]);
    assert!(played.session.poll_report().is_some());
}

#[test]
fn without_room_the_socket_is_the_end() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    played.session.handle_detached(played.now, false);
    played.drain();
    assert!(!played.session.is_resumable());
    assert_eq!(played.take_actions(), [Action::Cancel { key }]);
}

#[test]
fn a_client_that_was_too_slow_gets_everything_afterwards() {
    let mut played = Played::resumable();
    let key = played.chat("a");
    played.reads = false;
    for at in 0..10 {
        played.text(key, &format!("piece {at}"));
    }
    played.session.handle_blocked(played.now, 0);
    played.wait(BLOCKED_MAX);
    assert!(played.session.is_closing() && played.session.poll_timeout().is_none());
    played.text(key, "while it closes");
    played.reads = true;
    played.drain();
    assert_eq!(played.closed(), Some(close::TOO_SLOW));
    played.heard.pop();
    played.lose_socket();
    played.text(key, "while nobody is there");
    let answers = played.resume(2);
    assert_eq!(told(&answers), [vec!["chunk"; 12], vec!["complete"]].concat());
    played.text(key, "and on");
    played.done(key);
    played.assert_gapless();
}
