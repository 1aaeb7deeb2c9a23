//! Clients that are slow, silent, loud or senseless, and a hub that goes down.

use super::*;
use crate::gateway::session::outbox::BYTES_ENOUGH;

#[test]
fn a_slow_client_holds_the_providers_back() {
    let mut played = Played::v1();
    let key = played.chat("a");
    played.reads = false;
    let piece = "x".repeat(1000);
    let mut pieces = 0;
    while played.session.wants_news() {
        played.text(key, &piece);
        pieces += 1;
    }
    assert_eq!(pieces, BYTES_ENOUGH.div_ceil(piece.len() + chunk_bytes()));
    played.reads = true;
    assert_eq!(played.drain().len(), pieces, "no text is dropped");
    assert!(played.session.wants_news());
}

fn chunk_bytes() -> usize {
    r#"{"request_id":"a","status":"chunk","chunk":{"type":"text","data":"","metadata":{}}}"#.len()
}

#[test]
fn with_too_much_waiting_the_socket_is_closed() {
    let mut played = Played::v1();
    let key = played.chat("a");
    played.reads = false;
    let piece = "x".repeat(1024 * 1024);
    for _ in 0..4 {
        assert!(!played.session.is_closing());
        played.text(key, &piece);
    }
    assert!(played.session.is_closing() && !played.session.wants_news());
    played.heard.clear();
    played.reads = true;
    played.drain();
    assert_eq!(played.heard.len(), 1, "only the goodbye");
    assert_eq!(played.closed(), Some(close::TOO_SLOW));
}

#[test]
fn a_client_that_takes_no_byte_is_too_slow_and_one_that_takes_some_is_not() {
    let mut played = Played::v1();
    played.reads = false;
    for written in [0, 1, 2] {
        played.session.handle_blocked(played.now, written);
        played.wait(BLOCKED_MAX - SECOND);
        assert!(!played.session.is_closing(), "{written}");
    }
    played.session.handle_blocked(played.now, 2);
    played.wait(SECOND);
    assert!(played.session.is_closing());
    played.reads = true;
    played.drain();
    assert_eq!(played.closed(), Some(close::TOO_SLOW));
}

#[test]
fn who_took_everything_is_not_slow() {
    let mut played = Played::v1();
    played.session.handle_blocked(played.now, 0);
    played.wait(BLOCKED_MAX - SECOND);
    played.session.handle_flushed(played.now);
    played.wait(BLOCKED_MAX);
    assert!(!played.session.is_closing());
}

#[test]
fn a_silent_socket_is_asked_and_then_closed() {
    let mut played = Played::v1();
    played.heard.clear();
    played.wait(PING_AFTER - SECOND);
    assert_eq!(played.heard, []);
    played.wait(SECOND);
    assert_eq!(played.heard, [Transmit::Ping]);
    played.session.handle_control(played.now);
    played.wait(PING_AFTER);
    assert_eq!(played.heard, [Transmit::Ping, Transmit::Ping]);
    played.wait(DEAD_AFTER - PING_AFTER - SECOND);
    assert!(!played.session.is_closing());
    played.wait(SECOND);
    assert_eq!(played.closed(), Some(close::TOO_SLOW));
}

#[test]
fn a_flood_is_closed_and_a_busy_client_is_not() {
    let mut played = Played::v1();
    for _ in 0..3000 {
        played.now += MESSAGE_EVERY;
        assert_eq!(told(&played.say(r#"{"action":"ping"}"#)), ["complete"]);
    }
    let mut answered = 0;
    while played.closed().is_none() {
        answered += played.say(r#"{"action":"ping"}"#).len();
    }
    assert_eq!(
        (played.closed(), answered),
        (Some(close::FLOOD), MESSAGES_BURST as usize - 1),
        "one was the price of being on time"
    );
    assert_eq!(played.say(r#"{"action":"ping"}"#), [""; 0]);
    let mut pings = Played::v1();
    for _ in 0..=MESSAGES_BURST {
        pings.session.handle_control(pings.now);
    }
    pings.drain();
    assert_eq!(pings.closed(), Some(close::FLOOD), "control frames count");
}

#[test]
fn malformed_messages_in_a_row_are_closed() {
    let mut played = Played::v1();
    for _ in 0..MALFORMED_MAX {
        assert_eq!(code(&played.say("nonsense")), "bad_request");
    }
    assert_eq!(told(&played.say(r#"{"action":"ping"}"#)), ["complete"], "one good one in between");
    for _ in 0..MALFORMED_MAX / 2 {
        assert_eq!(code(&played.say("nonsense")), "bad_request");
    }
    played.wait(20 * SECOND);
    for _ in 0..MALFORMED_MAX / 2 {
        played.session.handle_binary(played.now, b"nonsense");
        assert_eq!(code(&played.drain()), "bad_request");
    }
    played.say("one more");
    assert_eq!(played.closed(), Some(close::MALFORMED));
}

#[test]
fn a_broken_protocol_is_closed_with_its_code() {
    for code in [close::PROTOCOL_ERROR, close::NOT_UTF8, close::TOO_BIG] {
        let mut played = Played::v1();
        played.session.handle_broken(Close::of(code));
        played.drain();
        assert_eq!(played.closed(), Some(code));
        assert_eq!(played.session.poll_timeout(), None);
    }
}

#[test]
fn going_down_with_nothing_to_do_is_at_once() {
    let mut played = Played::resumable();
    played.session.handle_shutdown(played.now);
    played.drain();
    assert_eq!(played.closed(), Some(close::GOING_AWAY));
    assert!(!played.session.is_resumable(), "nobody will be there to resume it");
}

#[test]
fn going_down_lets_running_requests_end_and_begins_no_other() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    played.session.handle_shutdown(played.now);
    let [refused] = played.say(&chat("b", "hi")).try_into().expect("one answer");
    assert_eq!(parsed(&refused)["error"]["code"], "offline");
    assert_eq!(parsed(&refused)["error"]["retryable"], true);
    assert_eq!(told(&played.text(key, "last words")), ["chunk"]);
    assert_eq!(played.closed(), None);
    assert_eq!(told(&played.done(key)), ["complete"]);
    assert_eq!(played.closed(), Some(close::GOING_AWAY));
}

#[test]
fn going_down_has_a_deadline() {
    let mut played = Played::v1();
    played.chat("a");
    played.session.handle_shutdown(played.now);
    played.wait(DRAIN_FOR - SECOND);
    played.session.handle_shutdown(played.now);
    assert_eq!(played.closed(), None);
    played.wait(SECOND);
    assert_eq!(played.closed(), Some(close::GOING_AWAY));
}

#[test]
fn reports_wait_for_their_delays_but_not_for_ever() {
    let mut played = Played::v1();
    let key = played.chat("a");
    played.reads = false;
    played.text(key, "x");
    played.done(key);
    assert!(played.session.poll_report().is_none());
    while played.session.poll_transmit().is_some() {}
    assert!(played.session.poll_report().is_none(), "with the socket, and not known to be taken");
    played.now += SECOND;
    played.session.handle_flushed(played.now);
    let report = played.session.poll_report().expect("one request ended");
    assert!(report.delays.quantile_us(0.5).is_some_and(|us| us >= 1_000_000));
    for at in 0..=REPORTS_MAX {
        let key = played.chat(&format!("r{at}"));
        played.done(key);
    }
    assert!(played.session.poll_report().is_some() && played.session.poll_report().is_none());
}
