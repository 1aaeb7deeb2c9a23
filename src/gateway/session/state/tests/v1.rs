//! What a client gets that never says `hello`: byte for byte what it has always got.

use super::*;
use crate::common::events::ToolResultNews;
use crate::router::{Ask, Input};

#[test]
fn a_conversation_is_byte_for_byte_the_original() {
    let mut played = Played::v1();
    let version = env!("CARGO_PKG_VERSION");
    let welcome = format!(
        r#"{{"request_id":"welcome","status":"complete","chunk":{{"type":"metadata","data":null,"metadata":{{"protocol":[1,2],"server":"hearth","version":"{version}"}}}}}}"#
    );
    assert_eq!(text_of(&played.heard[0]), Some(welcome));
    assert_eq!(
        played.say(r#"{"action":"chat","payload":{"text":"Tell me a joke"},"request_id":"chat-123"}"#),
        [r#"{"request_id":"chat-123","status":"processing"}"#]
    );
    let ask = Ask {
        input: Input::Said { text: "Tell me a joke".into(), attachments: vec![], conversation_id: "c-fresh".into() },
        speak: None,
        confirms: false,
        profile: None,
        provider: None,
        model: None,
        mode: Default::default(),
    };
    assert_eq!(played.take_actions(), [Action::Start { key: 0, job: Job::Chat(ask) }]);
    assert_eq!(
        played.text(0, " chicken"),
        [r#"{"request_id":"chat-123","status":"chunk","chunk":{"type":"text","data":" chicken","metadata":{}}}"#]
    );
    assert_eq!(
        played.done(0),
        [concat!(
            r#"{"request_id":"chat-123","status":"complete","chunk":{"type":"metadata","data":null,"metadata":{"#,
            r#""conversation_id":"c-fresh","finish_reason":"stop","first_token_ms":412,"model":"gpt-4o-mini","#,
            r#""provider":"openai","total_ms":980,"usage":{"input_tokens":9,"output_tokens":30}}}}"#
        )]
    );
}

#[test]
fn a_failure_is_byte_for_byte_the_original() {
    let mut played = Played::v1();
    let key = played.chat("a");
    assert_eq!(
        played.failed(key, ErrorCode::ProviderAuth),
        [r#"{"request_id":"a","status":"error","error":{"code":"provider_auth","message":"no","retryable":false}}"#]
    );
    let key = played.chat("b");
    let error =
        ErrorBody { retryable: true, retry_after_ms: Some(1500), ..ErrorBody::new(ErrorCode::RateLimited, "later") };
    assert_eq!(
        played.news(key, News::Failed(Box::new(TurnFailure { error, ..failure(ErrorCode::RateLimited) }))),
        [concat!(
            r#"{"request_id":"b","status":"error","error":{"code":"rate_limited","message":"later","#,
            r#""retryable":true,"retry_after_ms":1500}}"#
        )]
    );
}

#[test]
fn nothing_of_v2_is_ever_sent() {
    let mut played = Played::v1();
    let key = played.chat("a");
    let result = ToolResultNews {
        call_id: "x".into(),
        name: "f".into(),
        text: "found".into(),
        is_error: false,
        ms: 1,
        structured: None,
    };
    for news in [
        News::Reasoning("hm".into()),
        News::ToolCall(Box::default()),
        News::ToolResult(Box::new(result)),
        News::Notice("local answers instead".into()),
    ] {
        assert_eq!(played.news(key, news), [""; 0]);
    }
    played.text(key, "x");
    let [end] = played.done(key).try_into().expect("one end");
    assert_eq!(parsed(&end)["chunk"]["metadata"]["notices"], json!(["local answers instead"]));
    for text in played.heard.iter().filter_map(text_of) {
        assert!(!text.contains("\"seq\"") && !text.contains("\"index\""), "{text}");
    }
}

#[test]
fn a_hello_for_version_1_changes_nothing() {
    let mut played = Played::v1();
    let hello = r#"{"action":"hello","request_id":"h","payload":{"protocol":[1]}}"#;
    assert_eq!(
        played.say(hello),
        [r#"{"request_id":"h","status":"complete","chunk":{"type":"metadata","data":null,"metadata":{"protocol":1}}}"#]
    );
    assert!(played.session.session_id().is_none() && !played.session.is_resumable());
}

#[test]
fn an_id_may_come_again_once_its_request_has_ended() {
    let mut played = Played::v1();
    let key = played.chat("a");
    assert_eq!(code(&played.say(&chat("a", "hi"))), "id_reuse");
    assert_eq!(code(&played.say(&chat("a", "other"))), "id_reuse");
    played.text(key, "x");
    assert_eq!(told(&played.done(key)), ["complete"]);
    let again = played.chat("a");
    assert_ne!(key, again);
    assert_eq!(told(&played.text(key, "late")), [""; 0], "of a turn that has ended");
    assert_eq!(told(&played.text(again, "y")), ["chunk"]);
}

#[test]
fn all_chats_of_a_connection_are_one_conversation() {
    let mut played = Played::v1();
    for id in ["a", "b"] {
        played.say(&chat(id, "hi"));
    }
    for action in played.take_actions() {
        assert!(
            matches!(action, Action::Start { job: Job::Chat(ask), .. } if ask.input.conversation_id() == Some("c-fresh"))
        );
    }
}

#[test]
fn a_client_that_leaves_leaves_nothing_running() {
    let mut played = Played::v1();
    let keys = [played.chat("a"), played.chat("b")];
    played.now += SECOND;
    played.session.handle_detached(played.now, true);
    assert!(!played.session.is_resumable() && played.session.poll_timeout().is_none());
    played.drain();
    assert_eq!(played.take_actions(), keys.map(|key| Action::Cancel { key }));
    let reports: Vec<_> = std::iter::from_fn(|| played.session.poll_report()).collect();
    assert_eq!(reports.iter().map(|report| report.key).collect::<Vec<_>>(), keys, "one line for each");
}
