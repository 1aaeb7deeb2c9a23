//! Models that call the tools of the house: the router with a provider of each language behind it, and a source of tools that
//! does what the test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth::adapters::llm;
use hearth::common::chat::{Message, Role, Tool as ChatTool};
use hearth::common::config::{Config, ProviderName};
use hearth::common::events::{News, TurnEvent};
use hearth::common::who::{Door, Principal, Role as UserRole};
use hearth::mcp::{
    Annotations, Call, Definition, Fault, Method, Note, Origin, Outcome, Reach, Service, Source, Tool, ToolOutput,
};
use hearth::net::https::Https;
use hearth::router::{Ask, AskTool, Brought, Input, Job, Likely, Mode, Roster, Router, TurnHandle};
use hearth::store::{ModelProfile, Store};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::world::dialects::{self, row_mut};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

/// Tools that remember how they were called.
struct House {
    tools: Arc<[Arc<Definition>]>,
    called: Mutex<Vec<Call>>,
    /// Calls of `hang` that run now, and when that changes.
    hanging: AtomicUsize,
    changed: Notify,
}

struct Hanging(Arc<House>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

struct Tools(Arc<House>);

fn definition(name: &str, annotations: Annotations, access: UserRole) -> Definition {
    Definition {
        name: name.into(),
        title: Some(format!("The {name}")),
        description: format!("Does {name}."),
        input: json!({"type": "object", "properties": {"on": {"type": "boolean"}}}).into(),
        output: None,
        annotations,
        access,
        origin: Origin::Hub,
        pinned: false,
        extra: Map::new(),
    }
}

fn house(more: impl IntoIterator<Item = Definition>) -> Arc<House> {
    let own = [
        definition("big", Annotations::READS, UserRole::Guest),
        definition("door.state", Annotations::READS, UserRole::Guest),
        definition("fails", Annotations::READS, UserRole::Guest),
        definition("hang", Annotations::READS, UserRole::Guest),
        definition("lamp", Annotations::SETS, UserRole::Guest),
        definition("panics", Annotations::READS, UserRole::Guest),
        definition("reset", Annotations::DESTROYS, UserRole::Guest),
        definition("secrets", Annotations::READS, UserRole::Owner),
        definition("slow", Annotations::READS, UserRole::Guest),
    ];
    let mut tools: Vec<Arc<Definition>> = own.into_iter().chain(more).map(Arc::new).collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let (called, hanging, changed) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
    Arc::new(House { tools: tools.into(), called, hanging, changed })
}

impl House {
    fn calls(&self) -> Vec<String> {
        let called = self.called.lock().expect("nothing panics with the lock held");
        called.iter().map(|call| format!("{} {}", call.tool, json!(call.arguments))).collect()
    }

    async fn until_hanging(&self, count: usize) {
        soon("a call", async {
            loop {
                let changed = self.changed.notified();
                if self.hanging.load(Ordering::SeqCst) == count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }
}

impl Source for Tools {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.0.tools.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let house = self.0.clone();
        async move {
            let tool = call.tool.clone();
            let on = call.arguments.get("on") == Some(&json!(true));
            house.called.lock().expect("nothing panics with the lock held").push(call.clone());
            Ok(Outcome::Done(match &*tool {
                "lamp" => ToolOutput::structured(json!({"lamp": if on { "is lit" } else { "is dark" }})),
                "big" => ToolOutput::text("x".repeat(1_000_000)),
                "fails" => ToolOutput::failed("the bulb is broken"),
                "slow" => {
                    for done in 1..=2_000 {
                        let note = Note { progress: f64::from(done), total: Some(2_000.0), message: None };
                        call.reach.progress.as_ref().expect("somebody listens")(note);
                        tokio::task::yield_now().await;
                    }
                    ToolOutput::text("at last")
                }
                "panics" => panic!("as it was told to"),
                "hang" => {
                    house.hanging.fetch_add(1, Ordering::SeqCst);
                    house.changed.notify_waiters();
                    let _hanging = Hanging(house.clone());
                    std::future::pending().await
                }
                other => ToolOutput::text(format!("{other}: fine")),
            }))
        }
        .boxed()
    }

    fn resources(&self, _: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        std::future::ready(Ok(Vec::new())).boxed()
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
        unreachable!("the source owns nothing else")
    }
}

/// A router with one provider, and the tools behind it.
struct Hub {
    router: Router,
    store: Store,
    house: Arc<House>,
    _config: watch::Sender<Arc<Config>>,
    _roster: watch::Sender<Arc<Roster>>,
    _folder: tempfile::TempDir,
}

fn hub(
    name: ProviderName,
    dialect: &dialects::Dialect,
    world: &FakeProvider,
    house: &Arc<House>,
    change: impl FnOnce(&mut Config),
) -> Hub {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    *row_mut(&mut config, name) = dialect.row(name, world);
    (config.providers.active, config.providers.fallback, config.providers.retries) = (name, Vec::new(), 0);
    change(&mut config);
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a new file");
    let row = config.providers.row(name).expect("a row");
    let provider = llm::build(llm::Setup { name, row, key: None, client: Https::new() }).expect("an adapter");
    let roster = Roster { providers: BTreeMap::from([(name, provider)]), ..Roster::default() };
    let (roster, rostered) = watch::channel(Arc::new(roster));
    let (config, configured) = watch::channel(Arc::new(config));
    let tools = Service::new(vec![Arc::new(Tools(house.clone()))], broadcast::channel(8).0);
    let router = Router::new(configured, rostered, store.clone(), tools);
    Hub { router, store, house: house.clone(), _config: config, _roster: roster, _folder: folder }
}

/// One that speaks Chat Completions.
async fn chatting(world: &FakeProvider, change: impl FnOnce(&mut Config)) -> Hub {
    let hub = hub(ProviderName::Openai, &dialects::openai::DIALECT, world, &house([]), change);
    hub.store.put(ModelProfile::new("default"), None).await.expect("room");
    hub
}

fn ask(text: &str) -> Ask {
    Ask {
        input: Input::Said { text: text.into(), attachments: Vec::new(), conversation_id: "c".into() },
        profile: None,
        provider: None,
        model: None,
        mode: Mode::Auto,
        speak: None,
        confirms: false,
    }
}

/// A turn as its client hears it.
struct Turn {
    news: mpsc::Receiver<(u32, TurnEvent)>,
    handle: Option<TurnHandle>,
}

impl Hub {
    fn start(&self, ask: Ask, who: Principal) -> Turn {
        let (out, news) = mpsc::channel(16);
        let handle = Some(self.router.start(Job::Chat(ask), Arc::new(who), 7, out));
        Turn { news, handle }
    }

    async fn asked(&self, text: &str) -> Heard {
        self.start(ask(text), Principal::house(Door::Websocket)).heard().await
    }
}

impl Turn {
    async fn next(&mut self) -> Option<News> {
        soon("news", self.news.recv()).await.map(|(_, event)| event.news)
    }

    async fn heard(mut self) -> Heard {
        let mut heard = Vec::new();
        while let Some(news) = self.next().await {
            heard.push(news);
        }
        Heard(heard)
    }
}

#[derive(Debug)]
struct Heard(Vec<News>);

impl Heard {
    fn text(&self) -> String {
        self.0.iter().filter_map(|news| if let News::Text(text) = news { Some(&**text) } else { None }).collect()
    }

    /// Texts of results, and whether they are errors.
    fn results(&self) -> Vec<(String, bool)> {
        let result = |news: &News| match news {
            News::ToolResult(result) => Some((result.text.to_string(), result.is_error)),
            _ => None,
        };
        self.0.iter().filter_map(result).collect()
    }

    fn notices(&self) -> Vec<&str> {
        self.0.iter().filter_map(|news| if let News::Notice(text) = news { Some(&**text) } else { None }).collect()
    }

    fn is_done(&self) -> bool {
        matches!(self.0.last(), Some(News::Done(_)))
    }
}

/// An answer of Chat Completions that makes these calls.
fn calls(calls: &[(&str, &str)]) -> Script {
    let call = |(at, (name, arguments)): (usize, &(&str, &str))| json!({"index": at, "id": format!("call_{at}"), "type": "function", "function": {"name": name, "arguments": arguments}});
    let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
    Script::stream().event(&json!({"tool_calls": calls}), Value::Null).end()
}

#[tokio::test]
async fn a_model_of_every_language_calls_a_tool_and_reads_what_came_of_it() {
    for dialect in dialects::ALL {
        let (name, what) = (dialect.rows[0], dialect.name);
        let world = FakeProvider::start(dialect.answer(&["It is ", "on."])).await;
        world.once((dialect.end)((dialect.call)((dialect.begin)())));
        let hub = hub(name, dialect, &world, &house([]), |_| ());
        hub.store.put(ModelProfile::new("default"), None).await.expect("room");
        let heard = hub.asked("Light, please!").await;
        assert!(heard.is_done() && heard.text() == "It is on.", "{what}: {heard:?}");
        assert_eq!(heard.results(), [(r#"{"lamp":"is lit"}"#.to_owned(), false)], "{what}");
        assert_eq!(hub.house.calls(), [r#"lamp {"on":true}"#], "{what}");
        let called = hub.house.called.lock().expect("nothing panics with it held")[0].who.clone();
        assert_eq!((called.door, &*called.user), (Door::Model, "house"), "{what}");
        let (first, second) = (world.request(0).await, world.request(1).await);
        for wire in ["lamp", "door_state", "Does lamp."] {
            assert!(first.text.contains(wire) && second.text.contains(wire), "{what}: {}", first.text);
        }
        assert!(second.text.contains("is lit") && !first.text.contains("is lit"), "{what}: {}", second.text);
        // The next question has call and result in its history, in the same words.
        assert!(hub.asked("Thanks.").await.is_done(), "{what}");
        assert!(world.request(2).await.text.contains("is lit"), "{what}");
        let kept = hub.store.messages("c", None, 9).await.expect("readable");
        let roles: Vec<Role> = kept.iter().map(|message| message.role).collect();
        assert_eq!(roles[..4], [Role::User, Role::Assistant, Role::Tool, Role::Assistant], "{what}");
        let usage = match heard.0.last() {
            Some(News::Done(done)) => done.usage.map(|usage| (usage.input_tokens, usage.output_tokens)),
            _ => None,
        };
        assert_eq!(usage, Some((14, 6)), "{what}: of both rounds");
    }
}

#[tokio::test]
async fn calls_run_side_by_side_and_what_cannot_be_made_is_told() {
    let world = FakeProvider::start(Script::answer(&["Well."])).await;
    world.once(calls(&[
        ("lamp", r#"{"on":true}"#),
        ("Door.State", ""),
        ("lamp", r#"{"on":"#),
        ("lantern_lamp", "{}"),
        ("fails", "{}"),
        ("panics", "{}"),
        ("secrets", "{}"),
    ]));
    let hub = chatting(&world, |_| ()).await;
    let guest = Principal::new("ann", UserRole::Guest, Door::Websocket);
    let heard = hub.start(ask("All of it!"), guest).heard().await;
    assert!(heard.is_done() && heard.text() == "Well.", "{heard:?}");
    let mut made = hub.house.calls();
    made.sort();
    assert_eq!(made, ["door.state {}", "fails {}", r#"lamp {"on":true}"#, "panics {}"]);
    let request = world.request(1).await.body;
    let results: Vec<String> = (0..7)
        .map(|at| {
            let of = |message: &&Value| message["tool_call_id"] == format!("call_{at}");
            let messages = request["messages"].as_array().expect("messages");
            messages.iter().find(of).expect("each call is answered")["content"].as_str().expect("text").to_owned()
        })
        .collect();
    for (at, words) in [
        "is lit",
        "door.state: fine",
        "no valid JSON",
        "There is no tool called \"lantern_lamp\", and nothing was done. Did you mean lamp?",
        "Error: the bulb is broken",
        "the tool broke down",
        "There is no tool called \"secrets\"",
    ]
    .iter()
    .enumerate()
    {
        assert!(results[at].contains(words), "{at}: {}", results[at]);
    }
    assert!(!world.request(0).await.text.contains("secrets"), "a guest's model never hears of it");
}

#[tokio::test]
async fn what_destroys_is_run_only_once_a_person_agrees() {
    let world = FakeProvider::start(Script::answer(&["Well."])).await;
    let hub = chatting(&world, |_| ()).await;
    for (accept, text, made) in [
        (Some(true), "reset: fine", 1),
        (Some(false), "not made: the user said no. Do not try it again.", 1),
        (None, "not made: the user could not be asked to confirm it.", 1),
    ] {
        world.once(calls(&[("reset", r#"{"on":true}"#)]));
        let mut turn = hub.start(Ask { confirms: true, ..ask("Reset it!") }, Principal::house(Door::Websocket));
        let confirm = loop {
            if let Some(News::Confirm(confirm)) = turn.next().await {
                break confirm;
            }
        };
        assert_eq!((&*confirm.tool, confirm.title.as_deref(), confirm.expires_in_s), ("reset", Some("The reset"), 60));
        assert_eq!(confirm.arguments, json!({"on": true}));
        match accept {
            Some(accept) => assert!(confirm.answer.answer(accept) && !confirm.answer.answer(true), "one answer"),
            None => drop(confirm),
        }
        let heard = turn.heard().await;
        assert_eq!((heard.results()[0].0.as_str(), hub.house.calls().len()), (text, made), "{heard:?}");
        assert!(heard.is_done());
    }
    world.once(calls(&[("reset", "{}")]));
    let heard = hub.asked("Reset it!").await;
    assert!(heard.results()[0].0.contains("nobody can be asked") && heard.is_done(), "{heard:?}");
    assert_eq!(hub.house.calls().len(), 1);
}

#[tokio::test]
async fn a_model_that_only_calls_is_made_to_answer() {
    let world = FakeProvider::start(Script::answer(&["Enough."])).await;
    for number in 0..3 {
        world.once(calls(&[("lamp", &json!({ "n": number }).to_string())]));
    }
    let hub = chatting(&world, |config| config.mcp.tool_rounds = 3).await;
    let heard = hub.asked("Go on!").await;
    assert_eq!((heard.text().as_str(), hub.house.calls().len()), ("Enough.", 3));
    assert!(heard.notices()[0].starts_with("after 3 rounds of calls"), "{:?}", heard.notices());
    assert_eq!(world.request(3).await.body["tool_choice"], "none");
    assert_eq!(world.request(2).await.body.get("tool_choice"), None);
}

#[tokio::test]
async fn a_stop_drops_the_calls_that_run() {
    let world = FakeProvider::start(Script::answer(&["Well."])).await;
    world.once(calls(&[("hang", "{}"), ("hang", r#"{"n":1}"#)]));
    let hub = chatting(&world, |_| ()).await;
    let mut turn = hub.start(ask("Wait!"), Principal::house(Door::Websocket));
    hub.house.until_hanging(2).await;
    drop(turn.handle.take());
    hub.house.until_hanging(0).await;
    let heard = turn.heard().await;
    let Some(News::Failed(failed)) = heard.0.last() else { panic!("{heard:?}") };
    assert_eq!(failed.error.message, "stopped on request");
    // The next question reads that it may have been done.
    assert!(hub.asked("And now?").await.is_done());
    let read = world.request(1).await;
    assert_eq!(read.text.matches("it may or may not have been done").count(), 2, "{}", read.text);
}

#[tokio::test]
async fn too_much_of_a_result_is_cut() {
    let world = FakeProvider::start(Script::answer(&["Well."])).await;
    world.once(calls(&[("big", "{}")]));
    let hub = chatting(&world, |_| ()).await;
    assert!(hub.asked("All!").await.is_done());
    let read = world.request(1).await;
    assert!(read.text.len() < 100_000 && read.text.contains("[cut: these are the first 65536 of 1000000 bytes"));
}

#[tokio::test]
async fn a_model_without_tools_answers_without_and_one_bad_tool_is_left_out() {
    let world = FakeProvider::start(Script::answer(&["Hello."])).await;
    world.once(Script::error(400, "invalid_request_error", "Invalid schema for function 'lamp': no", &[]));
    world.once(Script::error(400, "invalid_request_error", "fake-1 does not support tools", &[]));
    let odd = Definition {
        input: json!({"type": "string"}).into(),
        ..definition("odd", Annotations::READS, UserRole::Guest)
    };
    let hub = hub(ProviderName::Openai, &dialects::openai::DIALECT, &world, &house([odd]), |_| ());
    hub.store.put(ModelProfile::new("default"), None).await.expect("room");
    let heard = hub.asked("Hi").await;
    assert_eq!(heard.text(), "Hello.");
    let notices = heard.notices();
    for (at, words) in
        ["the tool odd cannot be shown", "refuses the tool lamp", "is asked without tools"].iter().enumerate()
    {
        assert!(notices[at].contains(words), "{notices:?}");
    }
    let names = |request: &Value| request["tools"].as_array().map_or(0, Vec::len);
    assert_eq!(names(&world.request(0).await.body), 9, "all but the odd one");
    assert_eq!(names(&world.request(1).await.body), 8);
    assert_eq!(names(&world.request(2).await.body), 0);
    assert_eq!(hub.asked("Hi again").await.notices(), [""; 0], "it is remembered");
    assert_eq!(world.requests().len(), 4);
}

#[tokio::test]
async fn whoever_brings_tools_gets_theirs_and_whoever_switches_them_off_none() {
    let world = FakeProvider::start(Script::answer(&["Hello."])).await;
    let hub = chatting(&world, |_| ()).await;
    let theirs =
        ChatTool { name: "mine".into(), description: None, schema: json!({"type": "object"}).into(), strict: None };
    let brought = |tools: Vec<Arc<ChatTool>>| Brought {
        messages: vec![Message::new(Role::User, "Hi")],
        tools,
        ..Brought::default()
    };
    let of = |brought| Ask { input: Input::Brought(Box::new(brought)), ..ask("") };
    world.once(calls(&[("mine", "{}")]));
    let heard = hub.start(of(brought(vec![theirs.into()])), Principal::house(Door::Openai)).heard().await;
    assert!(heard.is_done() && heard.0.iter().any(|news| matches!(news, News::ToolCall(_))), "{heard:?}");
    let tools = world.request(0).await.body["tools"].clone();
    assert_eq!((tools.as_array().map(Vec::len), &tools[0]["function"]["name"]), (Some(1), &json!("mine")));
    assert_eq!(world.requests().len(), 1, "no loop");

    assert!(hub.start(of(brought(Vec::new())), Principal::house(Door::Openai)).heard().await.is_done());
    assert_eq!(world.request(1).await.body.get("tools"), None, "a program expects a model and no more");
    let on = ModelProfile { tools: Some(true), ..ModelProfile::new("handy") };
    hub.store.put(on, None).await.expect("room");
    world.once(calls(&[("lamp", "{}")]));
    let handy = Ask { profile: Some("handy".into()), ..of(brought(Vec::new())) };
    let heard = hub.start(handy, Principal::house(Door::Openai)).heard().await;
    assert_eq!(heard.text(), "Hello.");
    assert!(!heard.0.iter().any(|news| matches!(news, News::ToolCall(_) | News::ToolResult(_))), "{heard:?}");
    assert_eq!(hub.house.calls().len(), 1);

    let off = ModelProfile { tools: Some(false), ..ModelProfile::new("quiet") };
    hub.store.put(off, None).await.expect("room");
    let quiet = Ask { profile: Some("quiet".into()), ..ask("Hi") };
    assert!(hub.start(quiet, Principal::house(Door::Websocket)).heard().await.is_done());
    assert_eq!(world.request(4).await.body.get("tools"), None);
}

/// Says that one tool is likely.
struct Guess(Arc<Definition>);

impl Likely for Guess {
    fn likely(&self, question: &str, _: &Principal, _: usize) -> Vec<Arc<Definition>> {
        if question.contains("garden") { vec![self.0.clone()] } else { Vec::new() }
    }
}

#[tokio::test]
async fn of_many_tools_a_model_sees_those_that_find_the_others_and_the_likely_ones() {
    let world = FakeProvider::start(Script::answer(&["Hello."])).await;
    let many = (0..300).map(|at| definition(&format!("many__t{at:03}"), Annotations::READS, UserRole::Guest));
    let finders = ["call_tool", "describe_tool", "search_tools"]
        .map(|name| definition(name, Annotations::READS, UserRole::Guest));
    let pinned = Definition { pinned: true, ..definition("pinned", Annotations::READS, UserRole::Guest) };
    let house = house(many.chain(finders).chain([pinned]));
    let hub = hub(ProviderName::Openai, &dialects::openai::DIALECT, &world, &house, |_| ());
    hub.store.put(ModelProfile::new("default"), None).await.expect("room");
    let likely = house.tools.iter().find(|tool| &*tool.name == "many__t123").expect("it is there").clone();
    hub.router.find_tools_with(Arc::new(Guess(likely)));
    world.once(calls(&[("call_tool", r#"{"name":"many__t200","arguments":{"on":true}}"#)]));
    assert!(hub.asked("Water the garden.").await.is_done());
    let tools = world.request(0).await.body["tools"].clone();
    let names: Vec<&str> =
        tools.as_array().expect("tools").iter().filter_map(|tool| tool["function"]["name"].as_str()).collect();
    assert_eq!(names, ["call_tool", "describe_tool", "many__t123", "pinned", "search_tools"]);
    assert_eq!(house.calls(), [r#"many__t200 {"on":true}"#], "called by its own name");
}

#[tokio::test]
async fn the_tool_ask_asks_but_never_itself_and_advice_has_a_form() {
    let world = FakeProvider::start(Script::answer(&["Forty", "-two."])).await;
    let hub = chatting(&world, |_| ()).await;
    let tool = AskTool::new();
    let call = |door, arguments: Value| Call {
        tool: "ask".into(),
        arguments: arguments.as_object().expect("an object").clone(),
        who: Arc::new(Principal::house(door)),
        reach: Reach::default(),
    };
    assert!(tool.call(call(Door::Mcp, json!({"question": "What?"}))).await.is_err(), "not bound yet");
    tool.bind(&hub.router);
    let Ok(Outcome::Done(output)) = tool.call(call(Door::Mcp, json!({"question": "What?"}))).await else {
        panic!("no answer")
    };
    let structured = output.structured.clone().expect("structured");
    assert_eq!((output.words().as_str(), &structured["provider"]), ("Forty-two.", &json!("openai")));
    assert_eq!(structured["usage"]["input_tokens"], 7);
    let refused = tool.call(call(Door::Model, json!({"question": "What?"}))).await.expect_err("itself");
    assert!(refused.error.message.contains("answer the question yourself"), "{refused:?}");
    let empty = tool.call(call(Door::Mcp, json!({"question": " "}))).await.expect_err("nothing");
    assert!(empty.error.message.contains("question"), "{empty:?}");

    world.once(Script::answer(&["{\"name\":", "\"read_file\"}"]));
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false});
    assert_eq!(hub.router.advise("A name?", &schema).await, Ok(json!({"name": "read_file"})));
    let asked = world.request(1).await.body;
    assert_eq!((&asked["response_format"]["json_schema"]["strict"], asked.get("tools")), (&json!(true), None));
    assert!(hub.router.advise("A name?", &schema).await.is_err(), "words are no JSON");
}

#[tokio::test]
async fn who_waits_for_a_slow_tool_hears_how_far_it_is() {
    let world = FakeProvider::start(Script::answer(&["done"])).await;
    world.once(calls(&[("slow", "{}")]));
    let hub = chatting(&world, |_| ()).await;
    let heard = hub.asked("copy it").await;
    let steps: Vec<_> =
        heard.0.iter().filter_map(|news| if let News::ToolStep(step) = news { Some(step) } else { None }).collect();
    assert!((1..200).contains(&steps.len()), "thinned out: {}", steps.len());
    assert!(steps.is_sorted_by(|a, b| a.done < b.done), "in order");
    assert_eq!((&*steps[0].call_id, &*steps[0].name, steps[0].total), ("call_0", "slow", Some(2_000.0)));
    let last = heard.0.iter().rposition(|news| matches!(news, News::ToolStep(_))).expect("steps");
    let result = heard.0.iter().position(|news| matches!(news, News::ToolResult(_))).expect("a result");
    assert!(last < result, "none comes after the result");
    assert_eq!((heard.results(), heard.text().as_str()), (vec![("at last".into(), false)], "done"));
}
