//! Tools that a client calls, tools that a model calls, and the user's word.

use tokio::sync::oneshot;

use super::*;
use crate::common::chat::ToolCallDelta;
use crate::common::events::{Answerer, ConfirmNews, ToolResultNews, ToolStepNews};
use crate::common::limits::{REPLAY_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX};
use crate::gateway::session::elicit::Question;
use crate::mcp::{Fault, Note, Outcome, ToolOutput};

fn tool(id: &str, arguments: &str) -> String {
    let payload = format!(r#"{{"name":"lights.set","arguments":{arguments}}}"#);
    format!(r#"{{"action":"tool","request_id":"{id}","payload":{payload}}}"#)
}

impl Played {
    /// A call of this name, and its key.
    fn call(&mut self, id: &str) -> TurnKey {
        assert_eq!(told(&self.say(&tool(id, "{}"))), ["processing"]);
        match self.actions.pop() {
            Some(Action::Call { key, .. }) => key,
            other => panic!("a call was expected: {other:?}"),
        }
    }

    fn called(&mut self, key: TurnKey, outcome: Result<Outcome, Fault>) -> Vec<String> {
        self.session.handle_called(self.now, key, outcome);
        self.drain()
    }

    fn step(&mut self, key: TurnKey, progress: f64, total: Option<f64>, message: Option<&str>) -> Vec<String> {
        let note = Note { progress, total, message: message.map(Into::into) };
        self.session.handle_step(self.now, key, &note);
        self.drain()
    }
}

fn done(output: ToolOutput) -> Result<Outcome, Fault> {
    Ok(Outcome::Done(output))
}

#[test]
fn a_call_is_taken_tells_of_its_steps_and_ends_with_its_result() {
    let mut played = Played::v2("[]");
    let answers = played.say(&tool("t", r#"{"on":true}"#));
    assert_eq!(told(&answers), ["processing"]);
    assert_eq!(parsed(&answers[0])["chunk"]["metadata"], json!({}), "no conversation");
    let arguments = map(json!({ "on": true }));
    let called = Called { tool: "lights.set".into(), arguments, can_answer: false };
    assert_eq!(played.take_actions(), [Action::Call { key: 0, called }]);
    let [chunk] = played.step(0, 1.0, Some(3.0), Some("the kitchen")).try_into().expect("one chunk");
    let progress = json!({"stage":"tool","done":1.0,"total":3.0,"message":"the kitchen"});
    assert_eq!(
        parsed(&chunk)["chunk"],
        json!({"type":"metadata","data":null,"index":0,"metadata":{"progress":progress}})
    );
    let [chunk] = played.step(0, 2.0, None, None).try_into().expect("one chunk");
    assert_eq!(parsed(&chunk)["chunk"]["metadata"]["progress"], json!({"stage":"tool","done":2.0}));
    played.now += 2 * SECOND;
    let [end] = played.called(0, done(ToolOutput::structured(json!({"lit": 3})))).try_into().expect("one end");
    let result = json!({"content":[{"type":"text","text":"{\"lit\":3}"}],"structured":{"lit":3},"is_error":false});
    let metadata = json!({"tool":"lights.set","total_ms":2000,"result":result});
    let chunk = json!({"type":"metadata","data":null,"index":2,"metadata":metadata});
    assert_eq!((&parsed(&end)["status"], &parsed(&end)["chunk"]), (&json!("complete"), &chunk));
    assert_eq!(played.step(0, 3.0, None, None), [""; 0], "it has ended");
    played.assert_gapless();
    assert!(played.session.poll_report().is_some());
}

#[test]
fn a_tool_that_fails_by_itself_is_complete_and_other_faults_are_errors() {
    let mut played = Played::v2("[]");
    let key = played.call("a");
    let [end] = played.called(key, done(ToolOutput::failed("no such lamp"))).try_into().expect("one end");
    let result = &parsed(&end)["chunk"]["metadata"]["result"];
    assert_eq!((&result["is_error"], result.get("structured")), (&json!(true), None));
    for (id, code) in [
        ("b", ErrorCode::NotFound),
        ("c", ErrorCode::Forbidden),
        ("d", ErrorCode::BadRequest),
        ("e", ErrorCode::Offline),
        ("f", ErrorCode::Timeout),
    ] {
        let key = played.call(id);
        let long = format!("on: must be true or false {}", "é".repeat(10_000));
        let [end] = played.called(key, Err(Fault::new(code, long))).try_into().expect("one end");
        assert_eq!(parsed(&end)["error"]["code"], json!(code));
        assert!(parsed(&end)["error"]["message"].as_str().expect("words").starts_with("on: must"));
        assert!(end.len() < 5_000, "somebody else's words are bounded");
    }
    let key = played.call("g");
    let asks = Outcome::InputRequired { requests: Map::new(), state: None };
    assert_eq!(told(&played.called(key, Ok(asks))), ["unsupported"]);
}

#[test]
fn a_result_that_is_too_long_is_said_to_be() {
    let mut played = Played::v2("[]");
    for (id, bytes, expected) in
        [("fits", RESULT_BYTES_MAX - 100, "complete"), ("not", RESULT_BYTES_MAX + 1, "too_large")]
    {
        let key = played.call(id);
        let answers = played.called(key, done(ToolOutput::text("x".repeat(bytes))));
        assert_eq!(told(&answers), [expected], "{id}");
        assert!(answers[0].len() < REPLAY_BYTES_MAX);
    }
    assert!(played.closed().is_none());
}

#[test]
fn a_flood_of_steps_is_thinned_out() {
    let mut played = Played::v2("[]");
    let key = played.call("a");
    let chunks: usize = (0..10_000).map(|at| played.step(key, f64::from(at), None, None).len()).sum();
    assert_eq!(chunks, 32);
    played.now += SECOND;
    assert_eq!(played.step(key, f64::NAN, None, None), [""; 0], "no number of JSON's");
    let [chunk] = played.step(key, 1e9, Some(f64::INFINITY), Some(&"é".repeat(9_000))).try_into().expect("one chunk");
    assert!(chunk.len() < 5_000 && parsed(&chunk)["chunk"]["metadata"]["progress"].get("total").is_none());
}

#[test]
fn a_stopped_call_ends_at_once_and_is_dropped() {
    let mut played = Played::v2("[]");
    let key = played.call("a");
    let answers = played.say(&cancel("c", "a"));
    assert_eq!(told(&answers), ["complete", "cancelled"]);
    assert_eq!(parsed(&answers[0])["chunk"]["metadata"]["cancelled"], true);
    assert_eq!(played.take_actions(), [Action::Cancel { key }]);
    assert_eq!(played.called(key, done(ToolOutput::text("late"))), [""; 0]);
    assert_eq!(told(&played.say(&tool("a", "{}"))), ["processing", "cancelled"], "as it ended");
}

#[test]
fn nothing_is_called_twice() {
    let mut played = Played::v2("[]");
    let key = played.call("a");
    assert_eq!(told(&played.say(&tool("a", "{}"))), ["processing"], "it joins the one that runs");
    assert_eq!(code(&played.say(&tool("a", r#"{"on":true}"#))), "id_reuse");
    let end = parsed(&played.called(key, done(ToolOutput::text("done")))[0]);
    let again = played.say(&tool("a", "{}"));
    assert_eq!(told(&again), ["processing", "complete"]);
    let mut expected = end["chunk"]["metadata"].clone();
    expected["replayed"] = json!(true);
    assert_eq!(parsed(&again[1])["chunk"]["metadata"], expected);
    assert_eq!(played.take_actions(), []);
}

#[test]
fn results_are_kept_for_a_repeat_as_far_as_there_is_room() {
    let mut played = Played::v2("[]");
    for at in 0..20 {
        let key = played.call(&at.to_string());
        played.called(key, done(ToolOutput::text("x".repeat(300_000))));
        played.heard.clear();
    }
    let repeat = |played: &mut Played, id: &str| parsed(&played.say(&tool(id, "{}"))[1])["chunk"]["metadata"].take();
    let (first, last) = (repeat(&mut played, "0"), repeat(&mut played, "19"));
    assert_eq!((first.get("result"), &first["cut"], &first["replayed"]), (None, &json!(true), &json!(true)));
    assert!(last["result"].is_object() && last.get("cut").is_none());
    assert_eq!(played.take_actions(), [], "and still none ran again");
}

#[test]
fn what_is_no_call_is_said() {
    for (payload, expected) in [
        ("{}", "bad_request"),
        (r#"{"name":""}"#, "bad_request"),
        (r#"{"name":7}"#, "bad_request"),
        (r#"{"name":"a\u0000b"}"#, "bad_request"),
        (r#"{"name":"a","arguments":[]}"#, "bad_request"),
        (r#"{"name":"a","arguments":"{}"}"#, "bad_request"),
    ] {
        let mut played = Played::v2("[]");
        let answers = played.say(&format!(r#"{{"action":"tool","request_id":"t","payload":{payload}}}"#));
        assert_eq!(code(&answers), expected, "{payload}");
        assert_eq!(played.take_actions(), [], "{payload}");
    }
    let mut v1 = Played::v1();
    for action in ["tool", "confirm", "subscribe", "unsubscribe"] {
        let answers = v1.say(&format!(r#"{{"action":"{action}","request_id":"t","payload":{{}}}}"#));
        assert_eq!(code(&answers), "unsupported");
        assert!(answers[0].contains("hello"), "{answers:?}");
    }
}

#[test]
fn calls_count_among_the_requests_that_run() {
    let mut played = Played::v2("[]");
    let keys: Vec<_> = (0..REQUESTS_IN_FLIGHT_MAX).map(|at| played.call(&at.to_string())).collect();
    assert_eq!(code(&played.say(&tool("more", "{}"))), "rate_limited");
    played.called(keys[9], done(ToolOutput::text("done")));
    played.call("more");
}

#[test]
fn a_hub_that_goes_down_waits_for_a_call_a_while() {
    let mut played = Played::v2("[]");
    let key = played.call("a");
    played.session.handle_shutdown(played.now);
    assert_eq!(code(&played.say(&tool("b", "{}"))), "offline");
    assert!(!played.session.is_closing());
    assert_eq!(told(&played.called(key, done(ToolOutput::text("done")))), ["complete"]);
    assert_eq!(played.closed(), Some(close::GOING_AWAY));
}

#[test]
fn a_call_goes_on_without_a_socket_and_its_result_is_there_afterwards() {
    let mut played = Played::resumable();
    let key = played.call("a");
    played.lose_socket();
    played.step(key, 1.0, None, None);
    played.called(key, done(ToolOutput::text("done")));
    let answers = played.resume(2);
    assert_eq!(told(&answers), ["chunk", "complete", "complete"]);
    played.assert_gapless();
}

#[test]
fn a_snapshot_has_results_and_what_a_model_called() {
    let mut played = Played::resumable();
    for (id, len) in [("a", 10), ("b", 200_000), ("c", 200_000)] {
        let key = played.call(id);
        played.called(key, done(ToolOutput::text("x".repeat(len))));
    }
    let chat = played.chat("d");
    played.news(chat, piece(0, Some("x"), r#"{"on":"#));
    played.news(chat, piece(0, None, "1}"));
    played.news(chat, result("x", "lit"));
    played.text(chat, &"y".repeat(REPLAY_BYTES_MAX));
    played.lose_socket();
    let [answer] = played.resume(1).try_into().expect("one answer");
    assert!(answer.len() < REPLAY_BYTES_MAX, "{}", answer.len());
    let requests = parsed(&answer)["error"]["snapshot"]["requests"].take();
    let of =
        |id: &str| requests.as_array().expect("a list").iter().find(|one| one["request_id"] == id).expect(id).clone();
    assert_eq!(of("a")["metadata"]["result"]["content"][0]["text"], "x".repeat(10));
    assert_eq!((&of("b")["cut"], of("b")["metadata"].get("result")), (&json!(true), None));
    assert!(of("c")["metadata"]["result"].is_object(), "the newest first");
    let call = json!([{"index":0,"id":"x","name":"lights","arguments":"{\"on\":1}","cut":false,
        "result":{"text":"lit","is_error":false,"ms":7}}]);
    assert_eq!(of("d")["tool_calls"], call);
}

fn piece(index: u32, id: Option<&str>, arguments: &str) -> News {
    let (id, name) = (id.map(Into::into), id.map(|_| "lights".into()));
    News::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments: arguments.into() }))
}

fn result(id: &str, text: &str) -> News {
    let (call_id, name, text) = (id.into(), "lights".into(), text.into());
    News::ToolResult(Box::new(ToolResultNews {
        call_id,
        name,
        text,
        is_error: false,
        ms: 7,
        structured: Some(json!({"lit": 1})),
    }))
}

#[test]
fn a_models_calls_and_their_results_are_shown_and_numbered_over_the_rounds() {
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let mut indices = Vec::new();
    for (news, is_call) in [
        (piece(0, Some("x"), "{"), true),
        (piece(0, None, "}"), true),
        (piece(1, Some("y"), "{}"), true),
        (result("x", "one"), false),
        (result("y", "two"), false),
        (piece(0, Some("z"), "{}"), true),
        (result("z", "three"), false),
    ] {
        let [chunk] = played.news(key, news).try_into().expect("one chunk");
        let chunk = parsed(&chunk)["chunk"].take();
        if is_call {
            indices.push(chunk["metadata"]["tool_call"]["index"].as_u64());
        } else {
            assert_eq!(chunk["type"], "tool_result");
        }
    }
    assert_eq!(indices, [0, 0, 1, 2].map(Some));
    let [chunk] = played.news(key, result("z", "again")).try_into().expect("one chunk");
    let head = json!({"id":"z","name":"lights","is_error":false,"ms":7,"structured":{"lit":1}});
    assert_eq!(
        parsed(&chunk)["chunk"],
        json!({"type":"tool_result","data":"again","index":7,"metadata":{"tool_result":head}})
    );
    let [chunk] = played.news(key, result("z", &"é".repeat(300_000))).try_into().expect("one chunk");
    assert!(chunk.len() < 300_000, "as much as anybody looks at");
    played.text(key, "Lit.");
    played.done(key);
    let again = played.say(&chat("a", "hi"));
    let kinds: Vec<_> =
        again.iter().map(|text| parsed(text)["chunk"]["type"].as_str().map(ToOwned::to_owned)).collect();
    let pair = ["tool_call", "tool_result"];
    let expected = [&["metadata"][..], &pair, &pair, &pair, &["text", "metadata"]].concat();
    assert_eq!(kinds, expected.iter().map(|kind| Some((*kind).to_owned())).collect::<Vec<_>>());
    played.assert_gapless();
}

fn question(id: &str) -> (News, oneshot::Receiver<bool>) {
    let (answer, answered) = Answerer::new();
    let news = ConfirmNews {
        confirm_id: id.into(),
        tool: "files__delete".into(),
        title: Some("Delete a file".into()),
        arguments: json!({"path": "/a"}),
        expires_in_s: 60,
        answer,
    };
    (News::Confirm(Box::new(news)), answered)
}

fn confirm(id: &str, accept: bool) -> String {
    format!(r#"{{"action":"confirm","request_id":"y","payload":{{"confirm_id":"{id}","accept":{accept}}}}}"#)
}

#[test]
fn the_users_word_reaches_who_waits_for_it_once() {
    let mut played = Played::v2(r#"["confirm"]"#);
    played.say(&chat("a", "hi"));
    let Some(Action::Start { key, job: Job::Chat(ask) }) = played.actions.pop() else { panic!("a start") };
    assert!(ask.confirms);
    for accept in [true, false] {
        let (news, mut answered) = question("q-1");
        let [chunk] = played.news(key, news).try_into().expect("one chunk");
        let asked = json!({"confirm_id":"q-1","tool":"files__delete","title":"Delete a file","arguments":{"path":"/a"},
            "expires_in_s":60});
        assert_eq!(
            (&parsed(&chunk)["status"], &parsed(&chunk)["chunk"]["metadata"]["confirm"]),
            (&json!("chunk"), &asked)
        );
        let [answer] = played.say(&confirm("q-1", accept)).try_into().expect("one answer");
        let metadata = json!({"confirm_id":"q-1","accepted":accept});
        assert_eq!((&parsed(&answer)["request_id"], &parsed(&answer)["chunk"]["metadata"]), (&json!("y"), &metadata));
        assert_eq!(answered.try_recv(), Ok(accept));
        assert_eq!(code(&played.say(&confirm("q-1", accept))), "not_found", "once");
    }
    assert_eq!(code(&played.say(&confirm("never", true))), "not_found");
    let (news, answered) = question("late");
    played.news(key, news);
    drop(answered);
    assert_eq!(code(&played.say(&confirm("late", true))), "not_found", "nobody waits any more");
    for odd in [r#"{}"#, r#"{"confirm_id":"x"}"#, r#"{"confirm_id":"x","accept":"yes"}"#] {
        let answers = played.say(&format!(r#"{{"action":"confirm","payload":{odd}}}"#));
        assert_eq!(code(&answers), "bad_request", "{odd}");
    }
}

#[test]
fn who_cannot_be_asked_says_no() {
    for (mut played, why) in
        [(Played::v1(), "v1"), (Played::v2("[]"), "not on the list"), (Played::new(true), "nobody said hello")]
    {
        played.take_actions();
        played.say(&chat("a", "hi"));
        let Some(Action::Start { key, job: Job::Chat(ask) }) = played.actions.pop() else { panic!("a start") };
        assert!(!ask.confirms, "{why}");
        let (news, mut answered) = question("q");
        assert_eq!(played.news(key, news), [""; 0], "{why}");
        assert_eq!(answered.try_recv(), Ok(false), "{why}");
    }
    let mut played = Played::v2(r#"["confirm"]"#);
    let key = played.chat("a");
    let (News::Confirm(mut news), mut answered) = question("q") else { panic!("a question") };
    news.arguments = json!("x".repeat(100_000));
    assert_eq!(played.news(key, News::Confirm(news)), [""; 0], "nobody reads so much");
    assert_eq!(answered.try_recv(), Ok(false));
}

#[test]
fn with_its_request_a_question_is_void() {
    for end in ["stopped", "over", "failed", "left"] {
        let mut played = Played::v2(r#"["confirm"]"#);
        let (key, other) = (played.chat("a"), played.chat("b"));
        let ((mine, mut answered), (theirs, mut waits)) = (question("q"), question("r"));
        played.news(key, mine);
        played.news(other, theirs);
        match end {
            "stopped" => drop(played.say(&cancel("c", "a"))),
            "over" => drop(played.done(key)),
            "failed" => drop(played.failed(key, ErrorCode::Timeout)),
            _ => {
                played.session.handle_detached(played.now, false);
                assert!(answered.try_recv() != Ok(true) && waits.try_recv() != Ok(true));
                continue;
            }
        }
        assert_eq!(answered.try_recv(), Ok(false), "{end}");
        assert_eq!(code(&played.say(&confirm("q", true))), "not_found", "{end}");
        assert_eq!(told(&played.say(&confirm("r", true))), ["complete"], "{end}: the other waits on");
        assert_eq!(waits.try_recv(), Ok(true));
    }
}

#[test]
fn a_client_that_lost_the_question_finds_it_in_the_snapshot() {
    let mut played = Played::v2(r#"["confirm","resume"]"#);
    let key = played.chat("a");
    let (news, mut answered) = question("q");
    played.news(key, news);
    played.text(key, &"x".repeat(REPLAY_BYTES_MAX));
    played.lose_socket();
    let answers = played.resume(1);
    let request = &parsed(&answers[0])["error"]["snapshot"]["requests"][0];
    assert_eq!(request["confirm"][0]["confirm_id"], "q");
    played.say(&confirm("q", true));
    assert_eq!(answered.try_recv(), Ok(true));
}

fn form(id: &str) -> (Question, oneshot::Receiver<Value>) {
    let (answer, answered) = oneshot::channel();
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    (Question { elicit_id: id.into(), message: "Where?".into(), schema, answer }, answered)
}

fn answer(payload: &Value) -> String {
    json!({"action": "answer", "request_id": "y", "payload": payload}).to_string()
}

#[test]
fn what_a_tool_asks_back_is_answered_once() {
    let mut played = Played::v2(r#"["elicit"]"#);
    played.say(&tool("t", "{}"));
    let Some(Action::Call { key, called }) = played.actions.pop() else { panic!("a call") };
    assert!(called.can_answer);
    for (payload, result) in [
        (
            json!({"elicit_id": "q", "action": "accept", "content": {"city": "Bern"}}),
            json!({"action": "accept", "content": {"city": "Bern"}}),
        ),
        (json!({"elicit_id": "q", "action": "decline"}), json!({"action": "decline"})),
        (json!({"elicit_id": "q", "action": "cancel", "content": {"city": "x"}}), json!({"action": "cancel"})),
    ] {
        let (question, mut answered) = form("q");
        played.session.handle_question(played.now, key, question);
        let [chunk] = played.drain().try_into().expect("one chunk");
        let asked = json!({"elicit_id": "q", "tool": "lights.set", "message": "Where?",
            "schema": {"type": "object", "properties": {"city": {"type": "string"}}}, "expires_in_s": 300});
        assert_eq!(parsed(&chunk)["chunk"]["metadata"]["elicit"], asked);
        assert_eq!(told(&played.say(&answer(&payload))), ["complete"]);
        assert_eq!(answered.try_recv(), Ok(result));
        assert_eq!(code(&played.say(&answer(&payload))), "not_found", "once");
    }
    let (question, mut answered) = form("q");
    played.session.handle_question(played.now, key, question);
    played.drain();
    for odd in [json!({}), json!({"elicit_id": "q", "action": "yes"}), json!({"elicit_id": "q", "action": "accept"})] {
        assert_eq!(code(&played.say(&answer(&odd))), "bad_request", "{odd}");
    }
    assert_eq!(answered.try_recv(), Err(oneshot::error::TryRecvError::Empty), "it waits on");
    played.say(&cancel("c", "t"));
    assert_eq!(answered.try_recv(), Err(oneshot::error::TryRecvError::Closed), "with its call it is void");
    played.assert_gapless();
}

#[test]
fn who_cannot_fill_in_a_form_is_not_asked() {
    let mut played = Played::v2(r#"["confirm"]"#);
    played.say(&tool("t", "{}"));
    let Some(Action::Call { key, called }) = played.actions.pop() else { panic!("a call") };
    assert!(!called.can_answer);
    let (question, mut answered) = form("q");
    played.session.handle_question(played.now, key, question);
    assert_eq!(played.drain(), [""; 0]);
    assert!(answered.try_recv().is_err());
    let mut played = Played::v2(r#"["elicit"]"#);
    let key = played.call("a");
    let (mut question, mut answered) = form("q");
    question.message = "x".repeat(100_000).into();
    played.session.handle_question(played.now, key, question);
    assert_eq!(played.drain(), [""; 0], "nobody reads so much");
    assert_eq!(answered.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert_eq!(code(&Played::v1().say(&answer(&json!({"elicit_id": "q", "action": "decline"})))), "unsupported");
}

#[test]
fn a_form_that_was_lost_stands_in_the_snapshot() {
    let mut played = Played::v2(r#"["elicit","resume"]"#);
    let key = played.call("a");
    let (question, mut answered) = form("q");
    played.session.handle_question(played.now, key, question);
    let other = played.chat("b");
    played.text(other, &"x".repeat(REPLAY_BYTES_MAX));
    played.lose_socket();
    let answers = played.resume(1);
    let snapshot = parsed(&answers[0])["error"]["snapshot"].take();
    let mine = snapshot["requests"].as_array().expect("requests").iter().find(|one| one["request_id"] == "a");
    assert_eq!(mine.expect("the call")["elicit"][0]["message"], "Where?");
    played.say(&answer(&json!({"elicit_id": "q", "action": "decline"})));
    assert_eq!(answered.try_recv(), Ok(json!({"action": "decline"})));
}

#[test]
fn a_step_of_a_models_call_is_told_to_v2_clients() {
    let news = |done| {
        let (call_id, name, message) = ("c-1".into(), "files__copy".into(), Some("half".into()));
        News::ToolStep(Box::new(ToolStepNews { call_id, name, done, total: Some(2.0), message }))
    };
    let mut played = Played::v2("[]");
    let key = played.chat("a");
    let [chunk] = played.news(key, news(1.0)).try_into().expect("one chunk");
    let step =
        json!({"stage": "tool", "call": "c-1", "name": "files__copy", "done": 1.0, "total": 2.0, "message": "half"});
    assert_eq!(parsed(&chunk)["chunk"]["metadata"]["progress"], step);
    assert_eq!(played.news(key, news(f64::NAN)), [""; 0]);
    let mut played = Played::v1();
    let key = played.chat("a");
    assert_eq!(played.news(key, news(1.0)), [""; 0]);
}
