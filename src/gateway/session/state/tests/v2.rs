//! What `hello` changes: numbers, features, chunk types.

use super::*;

#[test]
fn hello_is_answered_with_all_that_a_client_needs() {
    let mut played = Played::v1();
    let hello = concat!(
        r#"{"action":"hello","request_id":"h","payload":{"protocol":[2],"client":{"name":"page","version":"1"},"#,
        r#""features":["resume","reasoning"]}}"#
    );
    assert_eq!(
        played.say(hello),
        [concat!(
            r#"{"request_id":"h","status":"complete","seq":1,"chunk":{"type":"metadata","data":null,"index":0,"metadata":{"#,
            r#""features":["resume","reasoning"],"#,
            r#""limits":{"message_bytes":1048576,"replay_bytes":1048576,"requests_in_flight":256},"#,
            r#""protocol":2,"resume_ttl_s":90,"session_id":"s-fresh"}}}"#
        )]
    );
    assert_eq!(played.take_actions(), [Action::Register { session_id: "s-fresh".into() }]);
}

#[test]
fn features_are_those_on_both_lists() {
    for (payload, features, ttl_s) in [
        (r#"{"protocol":[2]}"#, json!(["resume", "reasoning", "binary", "events"]), 90),
        (r#"{"protocol":[1,2,300],"features":["reasoning","binary","later"]}"#, json!(["reasoning", "binary"]), 0),
        (r#"{"protocol":[2],"features":[]}"#, json!([]), 0),
        (r#"{"protocol":[2],"features":null}"#, json!(["resume", "reasoning", "binary", "events"]), 90),
        (r#"{"protocol":[2],"features":["confirm","events"]}"#, json!(["events", "confirm"]), 0),
        (r#"{"protocol":[2],"features":["elicit"]}"#, json!(["elicit"]), 0),
    ] {
        let mut played = Played::v1();
        let answers = played.say(&format!(r#"{{"action":"hello","payload":{payload}}}"#));
        let metadata = parsed(&answers[0])["chunk"]["metadata"].take();
        assert_eq!((&metadata["features"], &metadata["resume_ttl_s"]), (&features, &json!(ttl_s)), "{payload}");
        let registers = matches!(played.take_actions()[..], [Action::Register { .. }]);
        assert_eq!((registers, played.session.is_resumable()), (ttl_s > 0, ttl_s > 0), "{payload}");
    }
}

#[test]
fn a_hello_that_cannot_be_met_changes_nothing() {
    for (payload, expected) in [
        (r#"{"protocol":[3,4]}"#, "unsupported"),
        (r#"{"protocol":[]}"#, "unsupported"),
        (r#"{}"#, "bad_request"),
        (r#"{"protocol":2}"#, "bad_request"),
        (r#"{"protocol":[2],"features":"resume"}"#, "bad_request"),
    ] {
        let mut played = Played::v1();
        let answers = played.say(&format!(r#"{{"action":"hello","request_id":"h","payload":{payload}}}"#));
        assert_eq!(code(&answers), expected, "{payload}");
        assert!(parsed(&answers[0]).get("seq").is_none() && played.take_actions().is_empty(), "{payload}");
    }
}

#[test]
fn a_second_hello_may_choose_other_features_but_not_go_back() {
    let mut played = Played::resumable();
    let hello = |protocol: u8, features: &str| {
        format!(r#"{{"action":"hello","payload":{{"protocol":[{protocol}],"features":{features}}}}}"#)
    };
    assert_eq!(told(&played.say(&hello(2, r#"["resume"]"#))), ["complete"]);
    assert_eq!(played.take_actions(), []);
    assert_eq!(told(&played.say(&hello(2, "[]"))), ["complete"]);
    assert_eq!((played.take_actions(), played.session.is_resumable()), (vec![Action::Unregister], false));
    assert_eq!(code(&played.say(&hello(1, "[]"))), "conflict");
    let answers = played.say(&hello(2, r#"["resume"]"#));
    assert_eq!(parsed(&answers[0])["chunk"]["metadata"]["session_id"], "s-fresh", "the session is the same");
    assert_eq!(played.take_actions(), [Action::Register { session_id: "s-fresh".into() }]);
    played.assert_gapless();
    played.lose_socket();
    assert_eq!(code(&played.resume(3)), "resume_gap", "it was not kept then");
}

#[test]
fn with_the_subprotocol_the_welcome_is_v2() {
    let played = Played::new(true);
    let version = env!("CARGO_PKG_VERSION");
    let welcome = text_of(&played.heard[0]).expect("a welcome");
    assert_eq!(
        welcome,
        format!(
            concat!(
                r#"{{"request_id":"welcome","status":"complete","seq":1,"chunk":{{"type":"metadata","data":null,"index":0,"#,
                r#""metadata":{{"features":["resume","reasoning","events"],"#,
                r#""limits":{{"message_bytes":1048576,"replay_bytes":1048576,"requests_in_flight":256}},"#,
                r#""protocol":[1,2],"resume_ttl_s":90,"server":"hearth","session_id":"s-fresh","version":"{}"}}}}}}"#
            ),
            version
        )
    );
    assert_eq!(played.actions, [Action::Register { session_id: "s-fresh".into() }]);
}

#[test]
fn messages_are_numbered_in_the_session_and_chunks_in_their_request() {
    let mut played = Played::v2(r#"["reasoning"]"#);
    let (a, b) = (played.chat("a"), played.chat("b"));
    played.text(a, "1");
    played.news(b, News::Reasoning("2".into()));
    played.text(b, "3");
    played.text(a, "4");
    played.done(b);
    played.say("no json");
    played.failed(a, ErrorCode::Timeout);
    played.assert_gapless();
    let frames: Vec<_> = played.heard.iter().filter_map(text_of).map(|text| parsed(&text)).collect();
    let indices = |id: &str| -> Vec<_> {
        let of_it = frames.iter().filter(|frame| frame["request_id"] == id);
        of_it.filter_map(|frame| frame["chunk"]["index"].as_u64()).collect()
    };
    assert_eq!((indices("a"), indices("b")), (vec![0, 1], vec![0, 1, 2]));
}

#[test]
fn every_piece_of_news_has_its_chunk_type() {
    let mut played = Played::v2(r#"["reasoning"]"#);
    let key = played.chat("a");
    let call = crate::common::chat::ToolCallDelta {
        index: 0,
        id: Some("x".into()),
        name: Some("f".into()),
        arguments: "{}".into(),
    };
    for (news, chunk) in [
        (News::Text("t".into()), json!({"type":"text","data":"t","index":0,"metadata":{}})),
        (News::Reasoning("r".into()), json!({"type":"reasoning","data":"r","index":1,"metadata":{}})),
        (
            News::ToolCall(Box::new(call)),
            json!({"type":"tool_call","data":null,"index":2,
                "metadata":{"tool_call":{"index":0,"id":"x","name":"f","arguments":"{}"}}}),
        ),
        (News::Notice("n".into()), json!({"type":"notice","data":"n","index":3,"metadata":{}})),
    ] {
        let [text] = played.news(key, news).try_into().expect("one chunk");
        assert_eq!(parsed(&text)["chunk"], chunk);
    }
    let mut quiet = Played::v2("[]");
    let key = quiet.chat("a");
    assert_eq!(told(&quiet.news(key, News::Reasoning("r".into()))), [""; 0], "not on its list");
}

#[test]
fn a_hello_amid_a_request_goes_on_with_it() {
    let mut played = Played::v1();
    let key = played.chat("a");
    played.text(key, "one");
    played.say(r#"{"action":"hello","payload":{"protocol":[2]}}"#);
    let [text] = played.text(key, "two").try_into().expect("one chunk");
    assert_eq!((parsed(&text)["seq"].as_u64(), parsed(&text)["chunk"]["index"].as_u64()), (Some(2), Some(1)));
    played.done(key);
    let again = played.say(&chat("a", "hi"));
    assert_eq!(told(&again), ["processing", "complete"]);
    assert_eq!(parsed(&again[1])["chunk"]["metadata"]["cut"], true, "its text was not kept from the beginning");
}

#[test]
fn ping_gives_back_what_it_got() {
    let mut played = Played::v1();
    for (payload, t) in [
        (r#"{"t":1234}"#, json!(1234)),
        (r#"{"t":{"a":[1]}}"#, json!({"a":[1]})),
        ("{}", json!(null)),
        ("null", json!(null)),
    ] {
        let answers = played.say(&format!(r#"{{"action":"ping","request_id":"p","payload":{payload}}}"#));
        let expected = json!({"request_id":"p","status":"complete",
            "chunk":{"type":"metadata","data":null,"metadata":{"t":t,"server_t":UNIX_MS}}});
        assert_eq!(parsed(&answers[0]), expected);
    }
    assert_eq!(told(&played.say(r#"{"action":"ping"}"#)), ["complete"]);
    let long = format!(r#"{{"action":"ping","payload":{{"t":"{}"}}}}"#, "x".repeat(wire::PING_BYTES_MAX));
    assert_eq!(code(&played.say(&long)), "bad_request");
}
