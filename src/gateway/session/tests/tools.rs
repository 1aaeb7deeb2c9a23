//! Tools and changes through real sockets: a source of tools on strings inside.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::*;
use crate::common::error::ErrorCode;
use crate::common::who::Role;
use crate::gateway::session::calls::{CallNews, Calls};
use crate::gateway::session::state::Called;
use crate::mcp::{Annotations, Call, Definition, Fault, Method, Note, Origin, Outcome, Reach, Source, ToolOutput};
use crate::store::Setting;

/// One tool of each role, whose calls the test answers.
pub struct Shed {
    tools: Arc<[Arc<Definition>]>,
    called: mpsc::UnboundedSender<(Call, oneshot::Sender<Result<Outcome, Fault>>)>,
}

pub type CallsSeen = mpsc::UnboundedReceiver<(Call, oneshot::Sender<Result<Outcome, Fault>>)>;

pub fn shed() -> (Shed, CallsSeen) {
    let (called, calls) = mpsc::unbounded_channel();
    let tool = |name: &str, access| {
        Arc::new(Definition {
            name: name.into(),
            title: None,
            description: "for a test".into(),
            input: json!({"type": "object"}).into(),
            output: None,
            annotations: Annotations::READS,
            access,
            origin: Origin::Hub,
            pinned: false,
            extra: Default::default(),
        })
    };
    let tools = [tool("guests.do", Role::Guest), tool("members.do", Role::Member), tool("owners.do", Role::Owner)];
    (Shed { tools: tools.into(), called }, calls)
}

impl Source for Shed {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.tools.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let (answer, answered) = oneshot::channel();
        self.called.send((call, answer)).expect("the test listens");
        Box::pin(async move { answered.await.expect("the tool falls over") })
    }

    fn resources(&self, _: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn templates(&self, _: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn prompts(&self, _: &Principal) -> Arc<[Value]> {
        Arc::default()
    }

    fn owns_prompt(&self, _: &str) -> bool {
        false
    }

    fn owns_uri(&self, _: &str) -> bool {
        false
    }

    fn request(&self, _: Method, _: Value, _: Arc<Principal>, _: Reach) -> BoxFuture<'static, Result<Value, Fault>> {
        Box::pin(std::future::ready(Err(Fault::new(ErrorCode::NotFound, "nothing"))))
    }
}

impl House {
    async fn called(&mut self) -> (Call, oneshot::Sender<Result<Outcome, Fault>>) {
        timeout(HANG, self.calls.recv()).await.expect("a call within reason").expect("the shed stands")
    }
}

async fn hello(house: &House, features: &str) -> Client {
    let mut client = house.connect().await;
    let payload = format!(r#"{{"protocol":[2],"features":{features}}}"#);
    client.say(&format!(r#"{{"action":"hello","request_id":"h","payload":{payload}}}"#)).await;
    assert_eq!(client.hear().await["request_id"], "h");
    client
}

fn tool(id: &str, name: &str) -> String {
    json!({"action": "tool", "request_id": id, "payload": {"name": name, "arguments": {"n": 1}}}).to_string()
}

#[tokio::test]
async fn a_tool_is_called_as_who_speaks_and_tells_of_its_steps() {
    let mut house = House::new().await;
    let mut client = hello(&house, "[]").await;
    client.say(&tool("a", "owners.do")).await;
    assert_eq!(client.hear().await["status"], "processing");
    let (call, answer) = house.called().await;
    assert_eq!((&*call.who.user, call.who.door), (who::HOUSE, who::Door::Websocket));
    assert_eq!(json!(call.arguments), json!({"n": 1}));
    let progress = call.reach.progress.expect("somebody listens");
    progress(Note { progress: 1.0, total: Some(2.0), message: Some("half".into()) });
    let heard = client.hear().await;
    assert_eq!(heard["chunk"]["metadata"]["progress"]["message"], "half");
    answer.send(Ok(Outcome::Done(ToolOutput::structured(json!({"n": 2}))))).expect("it waits");
    let heard = client.hear().await;
    assert_eq!(
        (&heard["status"], &heard["chunk"]["metadata"]["result"]["structured"]),
        (&json!("complete"), &json!({"n": 2}))
    );
    client.say(&tool("b", "nobodys.do")).await;
    assert_eq!(client.hear().await["status"], "processing");
    assert_eq!(client.hear().await["error"]["code"], "not_found");
}

fn called(tool: &str) -> Called {
    Called { tool: tool.into(), arguments: Default::default(), can_answer: false }
}

#[tokio::test]
async fn a_guest_calls_a_guests_tools_alone() {
    let (shed, mut seen) = shed();
    let tools = Service::new(vec![Arc::new(shed)], tokio::sync::broadcast::channel(1).0);
    let guest = Arc::new(Principal::new("ann", Role::Guest, who::Door::Websocket));
    let mut calls = Calls::default();
    for (key, name) in ["members.do", "owners.do"].into_iter().enumerate() {
        calls.start(tools.clone(), guest.clone(), key as u32, called(name));
        let news = timeout(HANG, std::future::poll_fn(|cx| calls.poll(cx))).await.expect("news within reason");
        let CallNews::Ended(_, Err(fault)) = news else { panic!("{news:?}") };
        assert_eq!(fault.error.code, ErrorCode::Forbidden, "{name}");
    }
    calls.start(tools, guest, 2, called("guests.do"));
    let polled = std::future::poll_fn(|cx| {
        let _ = calls.poll(cx);
        seen.poll_recv(cx)
    });
    let (call, _answer) = timeout(HANG, polled).await.expect("a call within reason").expect("the shed stands");
    assert_eq!(&*call.who.user, "ann");
}

#[tokio::test]
async fn a_stopped_call_is_dropped_and_so_is_that_of_a_client_that_left() {
    let mut house = House::new().await;
    let mut client = hello(&house, "[]").await;
    client.say(&tool("a", "owners.do")).await;
    let (_, mut answer) = house.called().await;
    client.say(r#"{"action":"cancel","request_id":"c","payload":{"target":"a"}}"#).await;
    assert_eq!(client.hear().await["status"], "processing");
    assert_eq!(client.hear().await["request_id"], "c");
    assert_eq!(client.hear().await["error"]["code"], "cancelled");
    timeout(HANG, answer.closed()).await.expect("the call was dropped");
    client.say(&tool("b", "owners.do")).await;
    let (_, mut answer) = house.called().await;
    drop(client);
    timeout(HANG, answer.closed()).await.expect("the call was dropped");
}

#[tokio::test]
async fn a_tool_that_falls_over_harms_nobody() {
    let mut house = House::new().await;
    let mut client = hello(&house, "[]").await;
    client.say(&tool("a", "owners.do")).await;
    client.say(&tool("b", "owners.do")).await;
    let (_, falls) = house.called().await;
    let (_, stands) = house.called().await;
    drop(falls);
    let ends = async {
        loop {
            let heard = client.hear().await;
            if heard["status"] != "processing" {
                break heard;
            }
        }
    };
    let heard = ends.await;
    assert_eq!((&heard["request_id"], &heard["error"]["code"]), (&json!("a"), &json!("internal")));
    stands.send(Ok(Outcome::Done(ToolOutput::text("fine")))).expect("it waits");
    assert_eq!(client.hear().await["chunk"]["metadata"]["result"]["content"][0]["text"], "fine");
}

fn subscribe(topics: Value, snapshot: bool) -> String {
    let payload = json!({"topics": topics, "snapshot": snapshot});
    json!({"action": "subscribe", "request_id": "s", "payload": payload}).to_string()
}

fn setting(key: &str, value: impl Into<Value>) -> Setting {
    Setting { key: key.into(), value: value.into(), revision: 0 }
}

#[tokio::test]
async fn changes_are_told_to_all_who_subscribed_and_what_is_there_first() {
    let house = House::new().await;
    let mut clients = [hello(&house, r#"["events"]"#).await, hello(&house, r#"["events"]"#).await];
    let first = house.store.put(setting("a.one", 1), None).await.expect("kept");
    for client in &mut clients {
        client.say(&subscribe(json!(["settings", "tools"]), true)).await;
        assert_eq!(client.hear().await["chunk"]["metadata"]["topics"], json!(["settings", "tools"]));
        let event = client.hear().await["event"].take();
        assert_eq!(
            (&event["key"], &event["snapshot"], &event["record"]["value"]),
            (&json!("a.one"), &json!(true), &json!(1))
        );
        for name in ["guests.do", "members.do", "owners.do"] {
            assert_eq!(client.hear().await["event"]["key"], name);
        }
    }
    let second = house.store.put(setting("a.one", 2), Some(first.revision)).await.expect("kept");
    for client in &mut clients {
        let event = client.hear().await["event"].take();
        assert_eq!((&event["revision"], &event["record"]["value"]), (&json!(second.revision), &json!(2)));
    }
    house.tools_changed.send(crate::mcp::Changed::Tools).expect("somebody listens");
    for client in &mut clients {
        assert_eq!(client.hear().await["event"], json!({"topic": "tools", "reread": true}));
    }
}

#[tokio::test]
async fn a_client_that_was_away_hears_the_newest_state_of_each_thing() {
    let house = House::new().await;
    let mut client = hello(&house, r#"["events","resume"]"#).await;
    client
        .say(r#"{"action":"hello","request_id":"i","payload":{"protocol":[2],"features":["events","resume"]}}"#)
        .await;
    let session_id = client.hear().await["chunk"]["metadata"]["session_id"].as_str().expect("an id").to_owned();
    client.say(&subscribe(json!(["settings"]), false)).await;
    assert_eq!(client.hear().await["seq"], 3);
    drop(client);
    // Until the hub has seen that the socket is gone, a change may still be numbered.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for value in 0..20 {
        house.store.put(setting("a.one", value), None).await.expect("kept");
        house.store.put(setting("a.two", value), None).await.expect("kept");
    }
    let mut back = house.connect().await;
    back.say(&resume(&session_id, 3)).await;
    assert_eq!(back.hear().await["request_id"], "r");
    // The last changes may be told one by one, if they come after the client.
    let (mut newest, mut heard) = (std::collections::BTreeMap::new(), 0);
    while newest.values().filter(|value| **value == 19).count() < 2 {
        let event = back.hear().await["event"].take();
        newest.insert(event["key"].to_string(), event["record"]["value"].as_i64().expect("a number"));
        heard += 1;
        assert!(heard <= 10, "not every state of it: {newest:?}");
    }
}

#[tokio::test]
async fn a_tool_asks_back_and_goes_on_with_the_answer() {
    let mut house = House::new().await;
    let mut client = hello(&house, r#"["elicit"]"#).await;
    client.say(&tool("a", "owners.do")).await;
    assert_eq!(client.hear().await["status"], "processing");
    let (call, _answer) = house.called().await;
    let peer = call.reach.peer.expect("somebody is there");
    assert_eq!(peer.capabilities(), json!({"elicitation": {"form": {}}}));
    let refused = peer.ask("sampling/createMessage", json!({})).await.expect_err("no model is lent");
    assert_eq!(refused.error.code, ErrorCode::Unsupported);
    assert!(peer.ask("elicitation/create", json!({"mode": "url", "url": "https://x"})).await.is_err());
    let asked = tokio::spawn(
        peer.ask("elicitation/create", json!({"message": "Where?", "requestedSchema": {"type": "object"}})),
    );
    let heard = client.hear().await;
    let elicit = &heard["chunk"]["metadata"]["elicit"];
    assert_eq!((&elicit["message"], &elicit["tool"]), (&json!("Where?"), &json!("owners.do")));
    let payload = json!({"elicit_id": elicit["elicit_id"], "action": "accept", "content": {"n": 1}});
    client.say(&json!({"action": "answer", "request_id": "b", "payload": payload}).to_string()).await;
    assert_eq!(client.hear().await["chunk"]["metadata"]["action"], "accept");
    let answered = timeout(HANG, asked).await.expect("within reason").expect("no panic").expect("an answer");
    assert_eq!(answered, json!({"action": "accept", "content": {"n": 1}}));
    // Who closes the form has said so.
    let asked = tokio::spawn(peer.ask("elicitation/create", json!({"message": "Again?"})));
    client.hear().await;
    client.say(r#"{"action":"cancel","request_id":"c","payload":{"target":"a"}}"#).await;
    let answered = timeout(HANG, asked).await.expect("within reason").expect("no panic").expect("an answer");
    assert_eq!(answered, json!({"action": "cancel"}));
}
