//! Strangers, who they become, and how they are sent away.

use std::sync::Arc;

use super::*;
use crate::auth::Pass;
use crate::common::error::ErrorBody;
use crate::common::secret::Secret;
use crate::common::who::{Door, Principal, Role};
use crate::gateway::session::state::standing::{AUTH_WITHIN, Shown};

fn stranger() -> Played {
    let mut played = Played::v1();
    let session = Session::new(played.now, |kind| format!("{kind}-fresh"), false);
    played.session = session.with_stranger(played.now + AUTH_WITHIN);
    played.drain();
    played
}

fn pass(user: &str) -> Pass {
    Pass { who: Arc::new(Principal::new(user, Role::Member, Door::Rest)), expires_at_ms: Some(7) }
}

fn refusal() -> ErrorBody {
    ErrorBody::new(ErrorCode::Unauthenticated, "no")
}

fn auth(played: &mut Played, user: Option<&str>, answer: Result<(&Pass, Option<Instant>), ErrorBody>) -> bool {
    let accepted = played.session.handle_authenticated(Some("a"), user, answer);
    played.drain();
    accepted
}

fn last(played: &Played) -> Value {
    parsed(&played.heard.iter().rev().find_map(text_of).expect("something was said"))
}

#[test]
fn a_stranger_may_greet_and_say_who_it_is_and_nothing_else() {
    let mut played = stranger();
    for (at, action) in
        ["chat", "image", "speak", "cancel", "resume", "tool", "subscribe", "confirm", "no such"].iter().enumerate()
    {
        played.say(&format!(r#"{{"action":"{action}","request_id":"{at}","payload":{{"text":"Hello"}}}}"#));
        let frame = last(&played);
        assert_eq!(
            (&frame["request_id"], &frame["error"]["code"]),
            (&json!(at.to_string()), &json!("unauthenticated"))
        );
    }
    assert!(played.take_actions().is_empty(), "nothing is done for a stranger");
    played.say(r#"{"action":"ping","request_id":"p"}"#);
    assert_eq!(last(&played)["status"], "complete");
    played.say(r#"{"action":"hello","request_id":"h","payload":{"protocol":[2]}}"#);
    assert_eq!(last(&played)["status"], "complete");
    assert!(!played.session.is_resumable(), "a stranger leaves nothing behind");
}

#[test]
fn a_token_goes_to_the_gate_and_its_answer_lets_in() {
    let mut played = stranger();
    played.say(r#"{"action":"auth","request_id":"a","payload":{"token":"hth_x"}}"#);
    played.say(r#"{"action":"auth","payload":{"ticket":"y"}}"#);
    assert_eq!(
        played.take_actions(),
        [
            Action::Authenticate { request_id: Some("a".into()), shown: Shown::Token(Secret::new("hth_x")) },
            Action::Authenticate { request_id: None, shown: Shown::Ticket(Secret::new("y")) },
        ]
    );
    assert!(auth(&mut played, None, Ok((&pass("ann"), None))));
    let metadata = last(&played)["chunk"]["metadata"].clone();
    assert_eq!(metadata, json!({"user": "ann", "role": "member", "rooms": null, "expires_at_ms": 7}));
    played.say(r#"{"action":"chat","request_id":"1","payload":{"text":"Hello"}}"#);
    assert!(matches!(played.take_actions()[..], [Action::Start { .. }]));
    played.wait(AUTH_WITHIN);
    assert_eq!(played.closed(), None);

    assert!(auth(&mut played, Some("ann"), Ok((&pass("ann"), None))), "the same again");
    assert!(!auth(&mut played, Some("ann"), Ok((&pass("bob"), None))));
    assert_eq!(last(&played)["error"]["code"], "conflict");
}

#[test]
fn a_stranger_who_says_nothing_is_sent_away() {
    let mut played = stranger();
    assert_eq!(played.session.poll_timeout(), Some(played.now + AUTH_WITHIN));
    played.say(r#"{"action":"ping","request_id":"p"}"#);
    played.wait(AUTH_WITHIN - Duration::from_millis(1));
    assert_eq!(played.closed(), None);
    played.wait(Duration::from_millis(1));
    assert_eq!(played.closed(), Some(4401));
}

#[test]
fn the_third_wrong_token_is_the_last_and_trouble_of_the_hubs_own_is_none() {
    let mut played = stranger();
    let trouble = || ErrorBody::new(ErrorCode::Internal, "the disk");
    for answer in [refusal(), trouble(), trouble(), refusal()] {
        assert!(!auth(&mut played, None, Err(answer)));
        assert_eq!(played.closed(), None);
    }
    auth(&mut played, None, Err(refusal()));
    assert_eq!(played.closed(), Some(4401));
}

#[test]
fn a_revoked_token_ends_the_session_and_all_that_it_runs() {
    let mut played = Played::resumable();
    played.say(r#"{"action":"chat","request_id":"1","payload":{"text":"Hello"}}"#);
    played.take_actions();
    played.session.handle_void(played.now);
    played.drain();
    assert_eq!(played.closed(), Some(4401));
    let actions = played.take_actions();
    assert!(actions.contains(&Action::Unregister) && actions.iter().any(|one| matches!(one, Action::Cancel { .. })));
    played.session.handle_detached(played.now, true);
    assert!(!played.session.is_resumable());
}

#[test]
fn a_token_that_ends_takes_the_session_along() {
    let mut played = Played::resumable();
    played.session.let_in(Some(played.now + SECOND));
    played.wait(SECOND);
    assert_eq!(played.closed(), Some(4401));
    played.session.handle_detached(played.now, true);
    assert!(!played.session.is_resumable());
    // Without a socket, too.
    let mut away = Played::resumable();
    away.session.let_in(Some(away.now + SECOND));
    away.session.handle_detached(away.now, true);
    assert!(away.session.is_resumable());
    assert_eq!(away.session.poll_timeout(), Some(away.now + SECOND));
    away.session.handle_timeout(away.now + SECOND);
    assert!(!away.session.is_resumable());
}
