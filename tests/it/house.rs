//! The doors of the house: the same device through the WebSocket, REST, MCP and the command line, with the same permission and the
//! same result, over a radio that does what the test says.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hearth::common::config::Auth;
use hearth::common::who::Role;
use hearth::home::{DeviceSource, PairingWish, RadioStatus, SourceEvent};
use hearth::store::User;
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::devices::{FakeRadio, LAMP, NETWORK_KEY, NEWCOMER, PLUG, REMOTE, SENSOR, SPOT, id};
use crate::world::hub::{self, Running};
use crate::world::process::{Process, hearth, run};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

/// A hub over a radio, when the radio's devices are there.
pub async fn furnished() -> (Running, Arc<FakeRadio>) {
    furnished_with(Auth::Off).await
}

pub async fn furnished_with(auth: Auth) -> (Running, Arc<FakeRadio>) {
    let provider = FakeProvider::start(Script::default()).await;
    let radio = FakeRadio::new();
    let sources: Vec<Arc<dyn DeviceSource>> = vec![radio.clone()];
    let hub = hub::start_over(&provider, sources, |config| config.gateway.auth = auth).await;
    // It listens once it has told all that it has.
    radio.tell(SourceEvent::Radio(RadioStatus::Up)).await;
    (hub, radio)
}

pub struct Asked {
    pub status: u16,
    pub body: Value,
}

pub async fn ask(address: SocketAddr, token: Option<&str>, method: &str, path: &str, body: Option<Value>) -> Asked {
    let url = format!("http://{address}{path}");
    let (method, token) = (method.to_owned(), token.map(str::to_owned));
    let asked = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut request = ureq::http::Request::builder().method(method.as_str()).uri(url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map(|body| body.to_string()).unwrap_or_default()).expect("a request");
        let mut answer = ureq::Agent::from(config).run(request).expect("an answer");
        Asked { status: answer.status().as_u16(), body: answer.body_mut().read_json().unwrap_or_default() }
    });
    asked.await.expect("no panic")
}

/// A call of a tool over MCP without a session; its result, or the error.
async fn mcp(address: SocketAddr, token: Option<&str>, method: &str, params: Value) -> Value {
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {} });
    let mut params = params;
    params["_meta"] = meta;
    let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default().to_owned();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let (url, method, token) = (format!("http://{address}/mcp"), method.to_owned(), token.map(str::to_owned));
    let asked = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut request = ureq::http::Request::builder().method("POST").uri(url);
        for (key, value) in [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", &method),
            ("mcp-name", &name),
        ] {
            request = request.header(key, value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut answer = ureq::Agent::from(config).run(request.body(body).expect("a request")).expect("an answer");
        answer.body_mut().read_to_string().expect("text")
    });
    let text = asked.await.expect("no panic");
    let json = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

async fn call(client: &mut Client, id: &str, tool: &str, arguments: Value) -> Value {
    let payload = json!({ "name": tool, "arguments": arguments });
    client.send(&json!({ "action": "tool", "request_id": id, "payload": payload })).await;
    client.answer(id).await.end().clone()
}

fn structured(end: &Value) -> &Value {
    &end["chunk"]["metadata"]["result"]["structured"]
}

pub fn asking(address: SocketAddr, words: &[&str]) -> Command {
    let mut command = hearth([]);
    command.args(words).arg("--url").arg(format!("http://{address}"));
    command
}

/// What came of setting one device, without how long it took.
fn gist(results: &Value) -> Value {
    let results = results.as_array().unwrap_or_else(|| panic!("no results: {results}"));
    let each = results.iter().map(|one| json!([one["name"], one["ok"], one["state"], one["error"]["code"]]));
    each.collect()
}

#[tokio::test]
async fn a_device_is_set_through_every_door_with_the_same_result() {
    let (hub, radio) = furnished().await;
    let done = json!([["kitchen lamp", true, { "state": "ON" }, null]]);
    let targets = json!({ "targets": ["Kitchen Lamp"], "set": { "state": "ON" } });
    let mut client = Client::v2(hub.address).await;
    let end = call(&mut client, "set", "devices.set", targets.clone()).await;
    assert_eq!(gist(&structured(&end)["results"]), done);
    let path = format!("/api/v1/devices/{LAMP}/state");
    let asked = ask(hub.address, None, "PUT", &path, Some(json!({ "state": "ON" }))).await;
    assert_eq!((asked.status, gist(&asked.body["results"])), (200, done.clone()));
    let answer = mcp(hub.address, None, "tools/call", json!({ "name": "devices.set", "arguments": targets })).await;
    assert_eq!(gist(&answer["result"]["structuredContent"]["results"]), done);
    let ended = run(asking(hub.address, &["devices", "set", "kitchen lamp", "state=on", "--json"])).await;
    assert_eq!((ended.code(), gist(&ended.json()["results"])), (Some(0), done));
    let set: Vec<_> = radio.set();
    assert_eq!(set, vec![(vec![id(LAMP)], json!({ "state": "ON" })); 4]);

    let ended =
        run(asking(hub.address, &["devices", "set", "kitchen lamp", "brightness=50%", "color_temp=warm"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert_eq!(radio.set()[4].1, json!({ "brightness": 127, "color_temp": 454 }));
    assert!(ended.out.contains("kitchen lamp") && ended.out.contains("done"), "{}", ended.out);
}

#[tokio::test]
async fn what_is_not_there_and_what_refuses_is_said_through_every_door() {
    let (hub, radio) = furnished().await;
    radio.silence(LAMP);
    radio.refuse(SPOT);
    let mut client = Client::v2(hub.address).await;
    for (device, name, code, status) in
        [(LAMP, "kitchen lamp", "device_unreachable", 504), (SPOT, "kitchen spot", "device_rejected", 422)]
    {
        let failed = json!([[name, false, {}, code]]);
        let targets = json!({ "targets": [device], "set": { "state": "ON" } });
        let end = call(&mut client, code, "devices.set", targets.clone()).await;
        assert_eq!(end["chunk"]["metadata"]["result"]["is_error"], true, "{end}");
        assert_eq!(
            (gist(&structured(&end)["results"]), &structured(&end)["error"]["code"]),
            (failed.clone(), &json!(code))
        );
        let path = format!("/api/v1/devices/{device}/state");
        let asked = ask(hub.address, None, "PUT", &path, Some(json!({ "state": "ON" }))).await;
        assert_eq!((asked.status, &asked.body["code"]), (status, &json!(code)), "{}", asked.body);
        assert_eq!(gist(&asked.body["results"]), failed);
        let answer = mcp(hub.address, None, "tools/call", json!({ "name": "devices.set", "arguments": targets })).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert_eq!(gist(&answer["result"]["structuredContent"]["results"]), failed);
        let ended = run(asking(hub.address, &["devices", "set", device, "state=on"])).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.out);
        assert!(ended.out.contains(code), "{}", ended.out);
    }
    // Of several, the one that is there is done.
    let all = json!({ "targets": ["kitchen lamp", "plug"], "set": { "state": "ON" } });
    let end = call(&mut client, "both", "devices.set", all).await;
    assert_eq!(end["chunk"]["metadata"]["result"]["is_error"], false);
    let both = json!([["kitchen lamp", false, {}, "device_unreachable"], ["plug", true, { "state": "ON" }, null]]);
    assert_eq!(gist(&structured(&end)["results"]), both);
}

#[tokio::test]
async fn where_nothing_is_meant_it_is_said_what_there_is() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    let none = json!({ "targets": ["kitchen lmap"], "set": { "state": "ON" } });
    let end = call(&mut client, "none", "devices.set", none).await;
    assert_eq!(end["error"]["code"], "not_found");
    assert!(end["error"]["message"].as_str().unwrap().contains("kitchen lamp"), "{end}");
    let asked = ask(hub.address, None, "PUT", "/api/v1/devices/climate/state", Some(json!({ "state": "ON" }))).await;
    assert_eq!(asked.status, 400, "a sensor takes nothing: {}", asked.body);
    assert_eq!(asked.body.get("results"), None);
    let ended = run(asking(hub.address, &["devices", "set", "kitchen lmap", "state=on"])).await;
    assert_eq!(ended.code(), Some(1));
    assert!(ended.err.contains("kitchen lamp"), "{}", ended.err);
    assert_eq!(radio.set(), [], "nothing was sent");
}

#[tokio::test]
async fn a_repeated_request_sets_once() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    let toggle = json!({ "targets": [PLUG], "set": { "state": "TOGGLE" } });
    let first = call(&mut client, "same", "devices.set", toggle.clone()).await;
    let again = call(&mut client, "same", "devices.set", toggle).await;
    assert_eq!(structured(&first)["results"], structured(&again)["results"]);
    assert_eq!((radio.set().len(), &again["chunk"]["metadata"]["replayed"]), (1, &json!(true)));
}

async fn event(client: &mut Client) -> Value {
    let frame = client.frame().await;
    assert_eq!(frame["status"], "event", "{frame}");
    frame["event"].clone()
}

async fn subscribe(client: &mut Client, topics: Value, snapshot: bool) {
    let payload = json!({ "topics": topics, "snapshot": snapshot });
    client.send(&json!({ "action": "subscribe", "request_id": "s", "payload": payload })).await;
    assert_eq!(client.frame().await["chunk"]["metadata"]["topics"], topics);
}

#[tokio::test]
async fn what_is_there_comes_first_and_then_small_changes() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    subscribe(&mut client, json!(["devices"]), true).await;
    let mut names = Vec::new();
    while names.len() < 6 {
        let there = event(&mut client).await;
        assert_eq!((&there["snapshot"], &there["deleted"]), (&json!(true), &json!(false)), "{there}");
        match there["kind"].as_str() {
            Some("radio") => assert_eq!(there["record"]["status"], "up"),
            _ => assert!(there["record"]["capabilities"].is_array(), "{there}"),
        }
        names.push(there["record"]["name"].as_str().unwrap_or("(radio)").to_owned());
    }
    names.sort();
    assert_eq!(names, ["(radio)", "climate", "kitchen lamp", "kitchen spot", "plug", "remote"]);

    radio.report(SENSOR, json!({ "temperature": 21.5 })).await;
    let told = event(&mut client).await;
    assert_eq!((&told["key"], &told["changes"]["state"]), (&json!(SENSOR), &json!({ "temperature": 21.5 })));
    assert!(told.get("record").is_none() && told.to_string().len() < 300, "{told}");
    radio.tell(SourceEvent::Availability { id: id(LAMP), available: false }).await;
    let told = event(&mut client).await;
    assert_eq!((&told["key"], &told["changes"]["available"], told.get("record")), (&json!(LAMP), &json!(false), None));
    radio.report(REMOTE, json!({ "action": "single" })).await;
    let told = event(&mut client).await;
    assert_eq!((&told["key"], &told["changes"]["state"]["action"]), (&json!(REMOTE), &json!("single")));
    let asked = ask(hub.address, None, "GET", "/api/v1/devices/remote", None).await;
    assert_eq!(asked.body["state"].get("action"), None, "an event is no state");

    let renamed = ask(hub.address, None, "PATCH", "/api/v1/devices/plug", Some(json!({ "name": "Kettle" }))).await;
    assert_eq!(renamed.status, 200, "{}", renamed.body);
    let told = event(&mut client).await;
    assert_eq!((&told["key"], &told["record"]["name"]), (&json!(PLUG), &json!("Kettle")), "the whole record");
    radio.tell(SourceEvent::Radio(RadioStatus::Down { why: "unplugged".into() })).await;
    let radio_told = loop {
        let told = event(&mut client).await;
        if told["kind"] == "radio" {
            break told;
        }
    };
    assert_eq!((&radio_told["record"]["status"], &radio_told["record"]["why"]), (&json!("down"), &json!("unplugged")));
}

/// A user who has only the kitchen.
async fn kitchen_maid(hub: &Running) -> String {
    let token = hub.let_in("maid", Role::Member).await;
    let user = hub.store.get::<User>("maid").await.expect("a read").expect("she is there");
    let user = User { rooms: Some(vec!["kitchen".into()]), ..user };
    hub.store.put(user, None).await.expect("kept");
    token
}

#[tokio::test]
async fn who_has_a_room_sees_and_moves_what_is_in_it() {
    let (hub, radio) = furnished_with(Auth::Required).await;
    let owner = hub.let_in("ann", Role::Owner).await;
    for (method, path, body) in [
        ("PUT", "/api/v1/rooms/Kitchen", json!({})),
        ("PUT", "/api/v1/rooms/Hall", json!({})),
        ("PATCH", &*format!("/api/v1/devices/{LAMP}"), json!({ "room": "Kitchen" })),
        ("PATCH", &*format!("/api/v1/devices/{PLUG}"), json!({ "room": "hall" })),
    ] {
        let asked = ask(hub.address, Some(&owner), method, path, Some(body)).await;
        assert_eq!(asked.status, 200, "{path}: {}", asked.body);
    }
    let maid = kitchen_maid(&hub).await;
    let token = Some(maid.as_str());
    let listed = ask(hub.address, token, "GET", "/api/v1/devices", None).await;
    assert_eq!((listed.body["total"].as_u64(), &listed.body["devices"][0]["room"]), (Some(1), &json!("Kitchen")));
    let rooms = ask(hub.address, token, "GET", "/api/v1/rooms", None).await;
    assert_eq!(rooms.body["rooms"].as_array().map(Vec::len), Some(1), "{}", rooms.body);
    for (method, path, body) in [
        ("GET", format!("/api/v1/devices/{PLUG}"), None),
        ("PUT", format!("/api/v1/devices/{PLUG}/state"), Some(json!({ "state": "ON" }))),
        ("PATCH", format!("/api/v1/devices/{PLUG}"), Some(json!({ "name": "mine" }))),
        ("GET", format!("/api/v1/history?device={PLUG}&property=power"), None),
        ("GET", "/api/v1/rooms/Hall".to_owned(), None),
    ] {
        let asked = ask(hub.address, token, method, &path, body).await;
        assert_eq!(asked.status, 404, "{method} {path}: {}", asked.body);
    }
    for (method, path) in [
        ("DELETE", format!("/api/v1/devices/{LAMP}")),
        ("GET", "/api/v1/zigbee/backup".into()),
        ("GET", "/api/v1/zigbee/map".into()),
    ] {
        let asked = ask(hub.address, token, method, &path, None).await;
        assert_eq!(asked.status, 403, "{method} {path}: {}", asked.body);
    }
    let set =
        json!({ "name": "devices.set", "arguments": { "targets": { "domain": "switch" }, "set": { "state": "ON" } } });
    let answer = mcp(hub.address, token, "tools/call", set).await;
    assert!(answer["result"]["isError"] == true || answer.get("error").is_some(), "{answer}");
    assert_eq!(radio.set(), []);
    let found = mcp(hub.address, token, "resources/list", json!({})).await;
    let uris: Vec<&str> =
        found["result"]["resources"].as_array().unwrap().iter().filter_map(|one| one["uri"].as_str()).collect();
    assert!(uris.contains(&&*format!("hearth://devices/{LAMP}")), "{uris:?}");
    assert!(!uris.contains(&&*format!("hearth://devices/{PLUG}")), "{uris:?}");

    let mut client = Client::open(hub.address, &[("authorization", &format!("Bearer {maid}"))]).await.expect("let in");
    client.frame().await;
    client.upgrade(&json!({ "protocol": [2] })).await;
    subscribe(&mut client, json!(["devices"]), false).await;
    radio.report(PLUG, json!({ "power": 5 })).await;
    radio.report(LAMP, json!({ "state": "ON" })).await;
    let told = event(&mut client).await;
    assert_eq!(told["key"], LAMP, "the plug's is not hers to hear: {told}");
    // It leaves her room: to her it is gone.
    let moved = json!({ "room": "hall" });
    let asked = ask(hub.address, Some(&owner), "PATCH", &format!("/api/v1/devices/{LAMP}"), Some(moved)).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let told = event(&mut client).await;
    assert_eq!((&told["key"], &told["deleted"], told.get("record")), (&json!(LAMP), &json!(true), None));
    radio.report(LAMP, json!({ "state": "OFF" })).await;
    let asked =
        ask(hub.address, Some(&owner), "PATCH", &format!("/api/v1/devices/{PLUG}"), Some(json!({ "room": "kitchen" })))
            .await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let told = event(&mut client).await;
    assert_eq!(
        (&told["key"], &told["record"]["room"]),
        (&json!(PLUG), &json!("Kitchen")),
        "whole, since it is new to her"
    );
}

#[tokio::test]
async fn rooms_scenes_and_groups_are_made_told_and_recalled() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    subscribe(&mut client, json!(["rooms"]), false).await;
    let room =
        ask(hub.address, None, "PUT", "/api/v1/rooms/Living%20room", Some(json!({ "aliases": ["lounge"] }))).await;
    assert_eq!((room.status, &room.body["name"]), (200, &json!("Living room")), "{}", room.body);
    let told = event(&mut client).await;
    assert_eq!((&told["kind"], &told["record"]["name"]), (&json!("room"), &json!("Living room")));
    ask(hub.address, None, "PATCH", &format!("/api/v1/devices/{LAMP}"), Some(json!({ "room": "lounge" }))).await;
    radio.report(LAMP, json!({ "state": "ON", "brightness": 40 })).await;
    soon("the state", async {
        while ask(hub.address, None, "GET", &format!("/api/v1/devices/{LAMP}"), None).await.body["state"]["brightness"]
            != 40
        {}
    })
    .await;
    let scene =
        ask(hub.address, None, "POST", "/api/v1/scenes/Cosy/capture", Some(json!({ "room": "Living room" }))).await;
    assert_eq!(scene.status, 200, "{}", scene.body);
    assert_eq!(scene.body["settings"][0]["set"], json!({ "state": "ON", "brightness": 40 }), "{}", scene.body);
    assert_eq!(event(&mut client).await["kind"], "scene");
    let recalled = ask(hub.address, None, "POST", "/api/v1/scenes/cosy/recall", None).await;
    assert_eq!((recalled.status, &recalled.body["results"][0]["ok"]), (200, &json!(true)), "{}", recalled.body);
    let members = json!({ "members": ["kitchen spot", PLUG] });
    let group = ask(hub.address, None, "PUT", "/api/v1/groups/Pair", Some(members)).await;
    assert_eq!(group.body["members"][0]["name"], "kitchen spot", "{}", group.body);
    let set = json!({ "state": "OFF" });
    let asked = ask(hub.address, None, "PUT", "/api/v1/devices/pair/state", Some(set)).await;
    assert_eq!(asked.body["results"].as_array().map(Vec::len), Some(2), "{}", asked.body);
    let set = json!({ "name": "devices.set", "arguments": { "targets": ["pair"], "set": { "state": "ON" } } });
    client.send(&json!({ "action": "tool", "request_id": "pair", "payload": set })).await;
    let answer = client.answer("pair").await;
    let steps: Vec<_> =
        answer.chunks("metadata").iter().filter_map(|chunk| chunk["metadata"]["progress"]["done"].as_f64()).collect();
    assert_eq!(steps, [1.0, 2.0], "each device as it confirms");
    for path in ["/api/v1/scenes/Cosy", "/api/v1/groups/Pair", "/api/v1/rooms/lounge"] {
        assert_eq!(ask(hub.address, None, "DELETE", path, None).await.status, 204, "{path}");
        assert_eq!(ask(hub.address, None, "GET", path, None).await.status, 404, "{path}");
    }
    let stale = ask(hub.address, None, "GET", &format!("/api/v1/devices/{LAMP}"), None).await;
    assert_eq!(stale.body.get("room"), None, "its room is gone, the lamp is not: {}", stale.body);
}

#[tokio::test]
async fn groups_are_made_changed_and_taken_away_from_the_command_line() {
    let (hub, radio) = furnished().await;
    let groups = async |words: &[&str], code: i32| {
        let ended = run(asking(hub.address, &[&["groups"], words].concat())).await;
        assert_eq!(ended.code(), Some(code), "{words:?}: {}{}", ended.out, ended.err);
        ended.out + &ended.err
    };
    assert!(groups(&[], 0).await.contains("no groups yet"));
    groups(&["set", "Spots", "kitchen lamp", "kitchen spot", "--alias", "all spots"], 0).await;
    let listed = groups(&["list"], 0).await;
    assert!(listed.contains("Spots") && listed.contains("kitchen lamp, kitchen spot"), "{listed}");
    assert_eq!(groups(&["scene", "spots", "3", "store"], 0).await, "kitchen lamp: done\nkitchen spot: done");
    radio.refuse(SPOT);
    assert_eq!(groups(&["scene", "spots", "3", "remove"], 1).await, "kitchen lamp: done\nkitchen spot: It refused.");
    let recalled =
        ask(hub.address, None, "POST", "/api/v1/groups/Spots/scene", Some(json!({ "scene": 3, "action": "recall" })))
            .await;
    let results = [(LAMP, "kitchen lamp"), (SPOT, "kitchen spot")]
        .map(|(id, name)| json!({ "id": id, "name": name, "ok": null, "state": { "state": "ON" } }));
    assert_eq!((recalled.status, &recalled.body["results"]), (200, &json!(results)));
    assert!(groups(&["scene", "spots", "0", "store"], 2).await.contains("1..=255"));
    groups(&["set", "all spots", "plug", "--rename", "Plugs"], 0).await;
    let listed: Value = serde_json::from_str(&groups(&["--json"], 0).await).expect("JSON");
    let group = &listed["groups"][0];
    assert_eq!((&group["name"], &group["members"]), (&json!("Plugs"), &json!([{ "id": PLUG, "name": "plug" }])));
    assert!(groups(&["set", "Other", "nobody"], 1).await.contains("nobody"));
    groups(&["delete", "Plugs"], 0).await;
    groups(&["delete", "Plugs"], 1).await;
}

#[tokio::test]
async fn a_new_device_is_let_in_and_seen_step_by_step() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    subscribe(&mut client, json!(["pairing"]), true).await;
    let pairing = Process::start(asking(hub.address, &["devices", "pair", "--seconds", "60"]), "");
    let told = event(&mut client).await;
    assert_eq!((&told["record"]["event"], &told["record"]["seconds_left"]), (&json!("open"), &json!(60)));
    assert_eq!(radio.wishes(), [PairingWish { seconds: 60, ..PairingWish::default() }]);
    radio.join().await;
    let mut steps = Vec::new();
    loop {
        let told = event(&mut client).await;
        match told["record"]["event"].as_str() {
            Some("step") => steps.push(told["record"]["step"].as_str().unwrap().to_owned()),
            Some("interviewed") => {
                assert_eq!((&told["key"], &told["record"]["model"]), (&json!(NEWCOMER), &json!("LAMP-1")));
                break;
            }
            _ => {}
        }
    }
    assert_eq!(steps, ["node", "endpoints", "clusters", "basic", "binding", "reporting"]);
    let ended = pairing.ended().await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    for words in ["has joined", "basic (4 of 6)", "is ready: Acme LAMP-1"] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    assert_eq!(radio.wishes().last(), Some(&PairingWish::default()), "one was found, and the network is closed again");
}

#[tokio::test]
async fn an_interview_tells_its_steps_and_a_device_is_sent_away() {
    let (hub, radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    let payload = json!({ "name": "devices.interview", "arguments": { "device": "plug" } });
    client.send(&json!({ "action": "tool", "request_id": "i", "payload": payload })).await;
    let answer = client.answer("i").await;
    assert_eq!(structured(answer.end())["id"], PLUG, "{}", answer.end());
    let steps: Vec<_> =
        answer.chunks("metadata").iter().filter_map(|chunk| chunk["metadata"]["progress"]["done"].as_f64()).collect();
    assert_eq!(steps, [1.0, 2.0]);
    let ended = run(asking(hub.address, &["devices", "remove", "plug", "--force"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert_eq!(radio.removed(), [(id(PLUG), true)]);
    assert_eq!(ask(hub.address, None, "GET", "/api/v1/devices/plug", None).await.status, 404);
}

#[tokio::test]
async fn new_firmware_tells_how_far_it_is_and_what_came_of_it() {
    let (hub, _radio) = furnished().await;
    let mut client = Client::v2(hub.address).await;
    let payload = json!({ "name": "devices.update", "arguments": { "device": LAMP } });
    client.send(&json!({ "action": "tool", "request_id": "u", "payload": payload })).await;
    let answer = client.answer("u").await;
    let told = structured(answer.end());
    assert_eq!((&told["id"], &told["updated"], &told["version"]), (&json!(LAMP), &json!(true), &json!("7")));
    let steps: Vec<_> =
        answer.chunks("metadata").iter().filter_map(|chunk| chunk["metadata"]["progress"]["done"].as_f64()).collect();
    assert_eq!(steps, [40.0, 90.0]);
    let none = ask(hub.address, None, "POST", "/api/v1/devices/plug/update", None).await;
    assert_eq!(none.status, 200);
    let ended = run(asking(hub.address, &["devices", "update", LAMP])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(ended.out.contains("runs its new firmware 7"), "{}", ended.out);
    let ended = run(asking(hub.address, &["devices", "update", "plug"])).await;
    assert!(ended.out.contains("There is no newer firmware for"), "{}{}", ended.out, ended.err);
}

#[tokio::test]
async fn only_owners_give_new_firmware() {
    let (hub, _radio) = furnished_with(Auth::Required).await;
    let member = hub.let_in("bob", Role::Member).await;
    let answer = ask(hub.address, Some(&member), "POST", "/api/v1/devices/plug/update", None).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn the_key_of_the_network_is_for_owners_and_stands_in_no_audit() {
    let (hub, _radio) = furnished_with(Auth::Required).await;
    let (owner, member) = (hub.let_in("ann", Role::Owner).await, hub.let_in("bob", Role::Member).await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("network.json");
    for (token, is_fine) in [(&member, false), (&owner, true)] {
        let mut command = asking(hub.address, &["network", "backup"]);
        command.arg(&file).env("HEARTH_TOKEN", token);
        let ended = run(command).await;
        assert_eq!((ended.code() == Some(0), file.exists()), (is_fine, is_fine), "{}", ended.err);
        assert!(!ended.out.contains(NETWORK_KEY));
    }
    let kept = std::fs::read_to_string(&file).expect("a file");
    assert!(kept.contains(NETWORK_KEY), "{kept}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    let entries = soon("the audit", async {
        loop {
            let audit = ask(hub.address, Some(&owner), "GET", "/api/v1/audit", None).await.body.to_string();
            if audit.contains("network.backup") {
                return audit;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(!entries.await.contains(NETWORK_KEY));
}

#[tokio::test]
async fn ids_are_completed_and_a_resource_tells_of_its_changes() {
    let (hub, radio) = furnished().await;
    let reference = json!({ "type": "ref/resource", "uri": "hearth://devices/{device}" });
    let asked = json!({ "ref": reference, "argument": { "name": "device", "value": "spot" } });
    let answer = mcp(hub.address, None, "completion/complete", asked).await;
    assert_eq!(answer["result"]["completion"]["values"], json!([SPOT]), "{answer}");
    let read = mcp(hub.address, None, "resources/read", json!({ "uri": format!("hearth://devices/{SPOT}") })).await;
    let text = read["result"]["contents"][0]["text"].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON")["name"], "kitchen spot");
    radio.report(SPOT, json!({ "brightness": 3 })).await;
    soon("the new value", async {
        loop {
            let read =
                mcp(hub.address, None, "resources/read", json!({ "uri": format!("hearth://devices/{SPOT}") })).await;
            if read["result"]["contents"][0]["text"].as_str().is_some_and(|text| text.contains("\"brightness\":3")) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_short_and_can_be_asked_for_more() {
    let (hub, _radio) = furnished().await;
    let listed = ask(hub.address, None, "GET", "/api/v1/devices?domain=light&query=spot", None).await;
    assert_eq!((listed.status, &listed.body["total"]), (200, &json!(1)), "{}", listed.body);
    let spot = &listed.body["devices"][0];
    assert_eq!((&spot["name"], spot.get("capabilities")), (&json!("kitchen spot"), None));
    assert_eq!(spot["settable"], json!(["state", "brightness", "color_temp"]));
    let listed = ask(hub.address, None, "GET", "/api/v1/devices?detail=true&limit=2", None).await;
    assert!(listed.body["devices"][1]["capabilities"].is_array(), "{}", listed.body);
    let cursor = listed.body["next_cursor"].as_str().expect("there are more").replace(' ', "%20");
    let rest = ask(hub.address, None, "GET", &format!("/api/v1/devices?cursor={cursor}"), None).await;
    assert_eq!(rest.body["devices"].as_array().map(Vec::len), Some(3), "{}", rest.body);
    let ended = run(asking(hub.address, &["devices"])).await;
    assert!(ended.out.contains("kitchen lamp") && ended.out.contains("light"), "{}", ended.out);
    let ended = run(asking(hub.address, &["devices", "get", "climate"])).await;
    assert!(ended.out.contains("CLIMATE-1") && ended.out.contains("temperature"), "{}", ended.out);
    let status = ask(hub.address, None, "GET", "/api/v1/zigbee", None).await;
    assert_eq!(
        (&status.body["radios"][0]["status"], &status.body["radios"][0]["network"]["channel"]),
        (&json!("up"), &json!(15))
    );
    let ended = run(asking(hub.address, &["network", "map"])).await;
    assert!(ended.out.contains("200"), "{}", ended.out);
}

#[tokio::test]
async fn names_and_rooms_outlive_the_hub() {
    let (hub, _radio) = furnished().await;
    ask(hub.address, None, "PUT", "/api/v1/rooms/Kitchen", Some(json!({}))).await;
    let change = json!({ "name": "big lamp", "room": "kitchen" });
    assert_eq!(ask(hub.address, None, "PATCH", &format!("/api/v1/devices/{LAMP}"), Some(change)).await.status, 200);
    let hub = hub.restart().await;
    let asked = soon("the device", async {
        loop {
            let asked = ask(hub.address, None, "GET", "/api/v1/devices/big%20lamp", None).await;
            if asked.status == 200 {
                return asked;
            }
        }
    })
    .await;
    assert_eq!((&asked.body["id"], &asked.body["room"]), (&json!(LAMP), &json!("Kitchen")));
}
