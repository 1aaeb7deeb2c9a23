//! Tests of the state machine: how it is, what the devices say, pairing, names, groups.

use serde_json::json;

use super::*;
use crate::adapters::devices::zigbee2mqtt::request::{Request, bind_ends, firmware};
use crate::adapters::devices::zigbee2mqtt::testing::{
    LAMP, NEW, PLUG, REMOTE, SENSOR, World, binary, entry, house, id,
};
use crate::home::{BindTarget, BindWish, Bound, Firmware, KeptScene, KeptSceneWish, Membership, PairingWish};

#[test]
fn it_is_up_when_it_is_online_and_its_list_has_come() {
    let mut world = World::new("zigbee2mqtt");
    assert_eq!(world.status(), &RadioStatus::Starting);
    world.message("bridge/state", b"online", true);
    assert_eq!(world.status(), &RadioStatus::Starting);
    world.message("bridge/devices", house().to_string().as_bytes(), true);
    assert_eq!(world.status(), &RadioStatus::Up);
    let told = world.told();
    let [SourceEvent::Radio(RadioStatus::Starting), SourceEvent::All(all), SourceEvent::Radio(RadioStatus::Up)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    let names: Vec<_> = all.iter().map(|device| device.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["remote", "climate", "hall/lamp", "plug", "switch"], "by address, and without the coordinator");
    assert!(world.topics.contains(&"zigbee2mqtt/hall/lamp".to_owned()));
    assert!(world.topics.contains(&"zigbee2mqtt/hall/lamp/availability".to_owned()));
    assert!(!world.topics.iter().any(|topic| topic.ends_with("/#") && !topic.ends_with("bridge/response/#")));

    world.say("bridge/state", json!({"state": "offline"}));
    assert!(matches!(world.status(), RadioStatus::Down { why } if why.contains("offline")));
    world.say("bridge/state", json!({"state": "online"}));
    assert_eq!(world.status(), &RadioStatus::Up);
}

#[test]
fn what_is_missing_on_the_broker_is_said() {
    let mut world = World::new("a/b");
    world.pass(6_000);
    assert!(matches!(world.status(), RadioStatus::Down { why } if why.contains("no Zigbee2MQTT under `a/b`")));
    world.say("bridge/state", json!({"state": "online"}));
    assert!(matches!(world.status(), RadioStatus::Down { why } if why.contains("lost its list")));
    world.say("bridge/devices", json!([]));
    assert_eq!(world.status(), &RadioStatus::Up);
    world.say("bridge/info", json!({"config": {"advanced": {"output": "attribute"}}}));
    assert!(matches!(world.status(), RadioStatus::Refused { why } if why.contains("advanced.output")));
}

#[test]
fn a_state_is_told_where_it_changed_and_rubbish_is_not() {
    let mut world = World::home();
    world.say("climate", json!({"temperature": 21.5, "humidity": null, "linkquality": 80, "device": {"model": "x"}}));
    let told = world.told();
    let [SourceEvent::Seen { .. }, SourceEvent::State { id: whose, changes, is_old: false }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(whose, &id(SENSOR));
    assert_eq!(Value::Object(changes.clone()), json!({"temperature": 21.5, "linkquality": 80}));
    world.say("climate", json!({"temperature": 21.5, "linkquality": 80}));
    assert_eq!(world.told(), [], "nothing is new");
    for (topic, payload) in [
        ("climate", &b"{\"temperature\": 22"[..]),
        ("climate", b""),
        ("climate", b"\xff\xfe"),
        ("climate", b"[1,2]"),
        ("climate/availability", b"perhaps"),
        ("nobody", b"{\"temperature\": 1}"),
        ("bridge/devices", b"{}"),
        ("bridge/devices", b"nonsense"),
        ("bridge/groups", b"7"),
        ("bridge/info", b"[]"),
        ("bridge/event", b"{\"type\": 7}"),
        ("bridge/state", b"sleeping"),
        ("bridge/response/permit_join", b"\"ok\""),
        ("bridge/nonsense", b"x"),
        ("", b"x"),
    ] {
        world.message(topic, payload, true);
        world.message(topic, payload, false);
    }
    let long = format!("{{\"temperature\": 5, \"pad\": \"{}\"}}", "x".repeat(200_000));
    world.message("climate", long.as_bytes(), false);
    assert_eq!(world.told(), []);
    assert_eq!(world.status(), &RadioStatus::Up);
}

#[test]
fn what_was_kept_on_the_broker_is_old_news() {
    let mut world = World::home();
    world.message("climate", br#"{"temperature": 20}"#, true);
    world.message("remote", br#"{"action": "on", "battery": 80}"#, true);
    let told = world.told();
    assert!(told.iter().all(|event| matches!(event, SourceEvent::State { is_old: true, .. })), "{told:?}");
    let SourceEvent::State { changes, .. } = &told[1] else { panic!() };
    assert!(!changes.contains_key("action"), "a key that was pressed last week is not pressed now");
}

#[test]
fn each_press_of_a_remote_is_told_and_none_is_state() {
    let mut world = World::home();
    for _ in 0..2 {
        world.say("remote", json!({"action": "on", "battery": 80}));
    }
    world.say("remote", json!({"action": "", "battery": 80}));
    let presses = world
        .told()
        .iter()
        .filter(|event| matches!(event, SourceEvent::State { changes, .. } if changes.contains_key("action")))
        .count();
    assert_eq!(presses, 2);
    assert!(!world.bridge.devices[&id(REMOTE)].listed.info.state.contains_key("action"));
}

#[test]
fn availability_comes_in_both_forms() {
    let mut world = World::home();
    world.message("plug/availability", br#"{"state":"offline"}"#, true);
    world.message("hall/lamp/availability", b"online", true);
    assert_eq!(
        world.told(),
        [
            SourceEvent::Availability { id: id(PLUG), available: false },
            SourceEvent::Availability { id: id(LAMP), available: true },
        ]
    );
}

#[test]
fn at_the_start_what_has_mains_is_asked_once() {
    let mut world = World::new("zigbee2mqtt");
    world.say("bridge/state", json!({"state": "offline"}));
    world.say("bridge/devices", house());
    world.pass(5_000);
    assert_eq!(world.sent(), [], "nobody is there who could be asked");

    let mut world = World::new("zigbee2mqtt");
    world.say("bridge/state", json!({"state": "online"}));
    world.say("bridge/devices", house());
    world.message("hall/lamp", br#"{"state":"ON"}"#, true);
    world.pass(5_000);
    // The lamp's state was kept on the broker, the Tuya switch cannot be asked, the others have batteries.
    assert_eq!(world.sent(), [(format!("zigbee2mqtt/{PLUG}/get"), json!({"state": ""}))]);
    world.told();
    world.say("plug", json!({"state": "ON", "power": 5}));
    assert!(matches!(&world.told()[..], [SourceEvent::State { is_old: true, .. }]));
}

#[test]
fn after_a_silence_what_has_mains_is_asked_again() {
    let asked = |world: &mut World| {
        world.pass(5_000);
        let topics = world.sent().into_iter().map(|(topic, _)| topic);
        topics.filter(|topic| topic.ends_with("/get")).collect::<Vec<_>>()
    };
    let get = |id: &str| format!("zigbee2mqtt/{id}/get");
    let mut world = World::home();
    assert_eq!(asked(&mut world), [""; 0], "nothing was missed");

    let gone = RadioStatus::Down { why: "the broker is away".into() };
    world.bridge.handle_disconnected(gone, world.now());
    world.bridge.handle_connected(world.now());
    world.drain();
    world.message("bridge/state", br#"{"state":"online"}"#, true);
    world.message("bridge/devices", house().to_string().as_bytes(), true);
    world.message("hall/lamp", br#"{"state":"ON"}"#, true);
    assert_eq!(asked(&mut world), [get(PLUG)], "the lamp's state was kept on the broker");
    world.told();
    world.say("plug", json!({"state": "ON", "power": 3}));
    assert!(matches!(&world.told()[..], [SourceEvent::State { is_old: true, .. }]), "it is not known since when");
    world.say("plug", json!({"state": "OFF", "power": 0}));
    assert!(world.told().iter().any(|event| matches!(event, SourceEvent::State { is_old: false, .. })));

    world.say("bridge/state", json!({"state": "offline"}));
    world.say("bridge/state", json!({"state": "online"}));
    world.say("plug", json!({"state": "OFF", "power": 0}));
    assert_eq!(asked(&mut world), [get(LAMP)], "the plug has spoken");
    world.say("bridge/state", json!({"state": "online"}));
    assert_eq!(asked(&mut world), [""; 0], "it was online before");
}

#[test]
fn a_reach_that_nobody_looks_after_is_not_known() {
    let mut world = World::home();
    let available = |world: &World, of: &str| world.bridge.devices[&id(of)].listed.info.available;
    world.message("plug/availability", br#"{"state":"offline"}"#, true);
    world.message("hall/lamp/availability", br#"{"state":"offline"}"#, true);
    world.told();
    let config = json!({"availability": {"enabled": false}, "devices": {LAMP: {"availability": true}}});
    world.say("bridge/info", json!({"config": config}));
    assert_eq!((available(&world, PLUG), available(&world, LAMP)), (None, Some(false)));
    let told = world.told();
    assert!(matches!(&told[..], [SourceEvent::Device(info)] if info.id == id(PLUG)), "{told:?}");
    world.message("plug/availability", br#"{"state":"offline"}"#, true);
    assert_eq!(world.told(), []);
    world.say("bridge/info", json!({"config": {"availability": {"enabled": true}}}));
    world.message("plug/availability", br#"{"state":"online"}"#, true);
    assert_eq!(available(&world, PLUG), Some(true));
    for (config, is_watched) in [
        (json!({}), true),
        (json!({"availability": false}), false),
        (json!({"availability": {"active": {"timeout": 10}}}), true),
        (json!({"availability": {"enabled": true}, "devices": {PLUG: {"availability": false}}}), false),
    ] {
        world.say("bridge/info", json!({"config": config}));
        assert_eq!(world.bridge.is_watched(&id(PLUG)), is_watched, "{config}");
    }
}

#[test]
fn a_clock_that_is_ahead_hides_nothing() {
    let mut world = World::home();
    let now_ms = world.now().unix_ms;
    world.say("climate", json!({"temperature": 20, "last_seen": now_ms + 3_600_000}));
    assert!(world.told().contains(&SourceEvent::Seen { id: id(SENSOR), at_ms: now_ms }));
    world.pass(1_000);
    world.say("climate", json!({"temperature": 21, "last_seen": now_ms + 3_601_000}));
    assert!(world.told().contains(&SourceEvent::Seen { id: id(SENSOR), at_ms: now_ms + 1_000 }));
}

#[test]
fn a_long_list_is_few_packets() {
    let mut bridge = Bridge::new("zigbee2mqtt", "hearth-test");
    let now = World::home().now();
    bridge.handle_connected(now);
    while bridge.poll().is_some() {}
    let list: Vec<Value> = (0..1024)
        .map(|number| {
            entry(&format!("0x{number:016x}"), &format!("d{number}"), "Router", "Mains (single phase)", json!([]))
        })
        .collect();
    bridge.handle_message("zigbee2mqtt/bridge/devices", Value::from(list).to_string().as_bytes(), true, now);
    let subscribes = std::iter::from_fn(|| bridge.poll()).filter(|out| matches!(out, Out::Subscribe(_))).count();
    assert_eq!(subscribes, 1);
}

#[test]
fn pairing_is_told_step_by_step() {
    let mut world = World::home();
    let ticket = world.request(Request::Pairing(PairingWish { seconds: 60, ..PairingWish::default() }));
    let (topic, payload) = &world.sent[0];
    assert_eq!((topic.as_str(), &payload["time"]), ("zigbee2mqtt/bridge/request/permit_join", &json!(60)));
    let until = world.now().unix_ms + 60_000;
    world.say("bridge/info", json!({"permit_join": true, "permit_join_end": until}));
    world.respond(json!({"status": "ok", "data": {"time": 60}}));
    assert_eq!(world.result(ticket), Ok(Value::Null));
    assert_eq!(world.told(), [SourceEvent::Pairing(PairingNews::Open { seconds_left: 60 })]);
    world.pass(1_000);
    assert_eq!(world.told(), [SourceEvent::Pairing(PairingNews::Open { seconds_left: 59 })]);

    let event = |kind: &str, more: Value| {
        let mut data = json!({"ieee_address": NEW, "friendly_name": NEW});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": kind, "data": data})
    };
    world.say("bridge/event", event("device_joined", json!({})));
    world.say("bridge/event", event("device_interview", json!({"status": "started"})));
    let definition = json!({"model": "E1", "vendor": "Acme", "exposes": [binary("state", 7)]});
    world.say(
        "bridge/event",
        event("device_interview", json!({"status": "successful", "supported": true, "definition": definition})),
    );
    let told = world.told();
    let [
        SourceEvent::Device(first),
        SourceEvent::Pairing(PairingNews::Joined { .. }),
        SourceEvent::Pairing(PairingNews::Step { .. }),
        SourceEvent::Device(whole),
        SourceEvent::Pairing(PairingNews::Interviewed { .. }),
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert!(!first.interviewed && whole.interviewed);
    assert_eq!((whole.model.as_deref(), whole.capabilities.len()), (Some("E1"), 1));
    world.pass(60_000);
    assert_eq!(world.told().last(), Some(&SourceEvent::Pairing(PairingNews::Closed)));
    world.say("bridge/event", event("device_leave", json!({})));
    assert_eq!(world.told(), [SourceEvent::Left(id(NEW))]);
}

#[test]
fn a_device_is_let_in_by_code_through_a_router() {
    let mut world = World::home();
    let code = "83FED3407A939723A5C639B26916D505C3B5";
    let wish = PairingWish { seconds: 30, via: Some(id(LAMP)), install_code: Some((id(NEW), code.into())) };
    let ticket = world.request(Request::Pairing(wish.clone()));
    assert_eq!(world.sent[0].0, "zigbee2mqtt/bridge/request/install_code/add");
    assert_eq!(world.sent[0].1["value"], format!("02ac3e0000001107|{code}"));
    world.respond(json!({"status": "ok"}));
    assert_eq!((&world.sent[1].1["time"], &world.sent[1].1["device"]), (&json!(30), &json!(LAMP)));
    world.respond(json!({"status": "error", "error": "Device 'x' does not exist"}));
    assert_eq!(world.result(ticket), Err(ErrorCode::NotFound));
    for (wish, code) in [
        (PairingWish { seconds: 255, ..wish.clone() }, ErrorCode::BadRequest),
        (PairingWish { via: Some(id(SENSOR)), ..wish.clone() }, ErrorCode::NotFound),
        (PairingWish { install_code: Some((id(NEW), "12".into())), ..wish }, ErrorCode::BadRequest),
    ] {
        let ticket = world.request(Request::Pairing(wish));
        assert_eq!(world.result(ticket), Err(code));
    }
}

#[test]
fn new_firmware_is_asked_for_and_what_came_of_it_is_said() {
    let mut world = World::home();
    let from_to = json!({"id": LAMP, "from": {"software_build_id": "1.0"}, "to": {"software_build_id": "1.1"}});
    let done = Firmware { updated: true, version: Some("1.1".into()) };
    for (response, end) in [
        (json!({"status": "ok", "data": from_to}), Ok(done)),
        (
            json!({"status": "ok", "data": {"id": LAMP, "to": {"file_version": 7}}}),
            Ok(Firmware { updated: true, version: Some("7".into()) }),
        ),
        (
            json!({"status": "error", "error": "Update of 'lamp' failed (No image currently available)"}),
            Ok(Firmware { updated: false, version: None }),
        ),
        (
            json!({"status": "error", "error": "Update of 'lamp' failed (Timeout after 60000ms)"}),
            Err(ErrorCode::DeviceUnreachable),
        ),
    ] {
        let ticket = world.request(Request::UpdateFirmware(id(LAMP)));
        let (topic, payload) = world.sent.last().expect("it was asked");
        assert_eq!(topic, "zigbee2mqtt/bridge/request/device/ota_update/update");
        assert_eq!(payload["id"], LAMP);
        world.respond(response);
        assert_eq!(world.result(ticket).map(|data| firmware(&data)), end);
    }
    let ticket = world.request(Request::UpdateFirmware(id("0x1")));
    assert_eq!(world.result(ticket), Err(ErrorCode::NotFound));
}

#[test]
fn a_name_moves_with_its_topics() {
    let mut world = World::home();
    let ticket = world.request(Request::Rename(id(PLUG), "kitchen/kettle".into()));
    assert_eq!(world.sent.last().unwrap().1["to"], "kitchen/kettle");
    let mut list = house();
    list[2]["friendly_name"] = "kitchen/kettle".into();
    world.say("bridge/devices", list);
    world.respond(json!({"status": "ok"}));
    assert_eq!(world.result(ticket), Ok(Value::Null));
    assert!(world.topics.contains(&"zigbee2mqtt/kitchen/kettle".to_owned()));
    assert!(!world.topics.contains(&"zigbee2mqtt/plug".to_owned()));
    let told = world.told();
    let [SourceEvent::Device(info)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((info.name.as_deref(), &info.state["power"]), (Some("kitchen/kettle"), &json!(0)), "with its state");
    world.say("kitchen/kettle", json!({"power": 2000}));
    assert!(
        world.told().iter().any(|event| matches!(event, SourceEvent::State { id: whose, .. } if *whose == id(PLUG)))
    );
    let ticket = world.request(Request::Rename(id(PLUG), "a+b".into()));
    assert_eq!(world.result(ticket), Err(ErrorCode::BadRequest));
}

#[test]
fn two_that_swap_their_names_are_still_heard() {
    let mut world = World::home();
    let mut list = house();
    list[1]["friendly_name"] = "plug".into();
    list[2]["friendly_name"] = "hall/lamp".into();
    world.say("bridge/devices", list);
    world.told();
    world.say("plug", json!({"brightness": 7}));
    assert!(
        world.told().iter().any(|event| matches!(event, SourceEvent::State { id: whose, .. } if *whose == id(LAMP)))
    );
    for topic in ["zigbee2mqtt/plug", "zigbee2mqtt/hall/lamp"] {
        assert!(world.topics.contains(&topic.to_owned()), "{topic}: {:?}", world.topics);
    }
}

#[test]
fn who_is_not_listed_any_more_has_left() {
    let mut world = World::home();
    let set = world.set(&[PLUG], json!({"state": "ON"}), None);
    let mut list = house();
    list.as_array_mut().unwrap().remove(2);
    world.say("bridge/devices", list);
    assert_eq!(world.told(), [SourceEvent::Left(id(PLUG))]);
    assert_eq!(world.result(set), Err(ErrorCode::NotFound));
}

#[test]
fn a_disabled_device_is_shown_and_takes_no_command() {
    let mut world = World::home();
    let mut list = house();
    list[2]["disabled"] = true.into();
    world.say("bridge/devices", list);
    let told = world.told();
    let [SourceEvent::Device(info)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(info.details.to_map()["disabled"], true);
    let ticket = world.set(&[PLUG], json!({"state": "ON"}), None);
    assert_eq!(world.result(ticket), Err(ErrorCode::Unsupported));
}

#[test]
fn a_group_is_made_what_it_shall_be() {
    let mut world = World::home();
    let ticket = world.request(Request::Regroup(Membership { group: 7, members: vec![id(LAMP), id(PLUG)] }));
    for path in ["group/add", "group/members/add", "group/members/add"] {
        assert!(world.is_open(ticket));
        assert_eq!(world.sent.last().unwrap().0, format!("zigbee2mqtt/bridge/request/{path}"));
        world.respond(json!({"status": "ok"}));
    }
    assert_eq!(world.result(ticket), Ok(Value::Null));
    world.say(
        "bridge/groups",
        json!([{"id": 7, "friendly_name": "hearth_7", "members": [{"ieee_address": LAMP}, {"ieee_address": PLUG}]}]),
    );
    world.sent();
    let ticket = world.request(Request::Regroup(Membership { group: 7, members: vec![id(LAMP)] }));
    assert_eq!(world.sent[0].1["device"], PLUG);
    world.respond(json!({"status": "error", "error": "Failed to remove from group (… Timeout after 10000ms)"}));
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceUnreachable));
    let ticket = world.request(Request::Regroup(Membership { group: 0, members: vec![] }));
    assert_eq!(world.result(ticket), Err(ErrorCode::BadRequest));
}

#[test]
fn a_scene_of_a_group_is_said_to_the_group() {
    let mut world = World::home();
    world.say("bridge/groups", json!([{"id": 7, "friendly_name": "evening", "members": [{"ieee_address": LAMP}]}]));
    world.sent();
    let words = [
        (KeptSceneWish::Store, "scene_store"),
        (KeptSceneWish::Recall, "scene_recall"),
        (KeptSceneWish::Remove, "scene_remove"),
    ];
    for (what, word) in words {
        let ticket = world.request(Request::Scene(KeptScene { group: 7, scene: 3, what }));
        assert_eq!(world.sent(), [("zigbee2mqtt/evening/set".into(), json!({ word: 3 }))]);
        assert_eq!(world.result(ticket), Ok(Value::Null), "nobody answers it");
    }
    let ticket = world.request(Request::Scene(KeptScene { group: 8, scene: 3, what: KeptSceneWish::Recall }));
    assert_eq!(world.result(ticket), Err(ErrorCode::NotFound));
}

#[test]
fn a_remote_is_bound_by_zigbee2mqtt_and_what_came_of_it_is_said() {
    let mut world = World::home();
    let wish = |to: BindTarget| BindWish { from: id(REMOTE), endpoint: None, to, clusters: Vec::new(), undo: false };
    let lamp = BindTarget::Device { id: id(LAMP), endpoint: None };
    let ticket = world.request(Request::Bind(wish(lamp.clone())));
    let (topic, mut payload) = world.sent.last().unwrap().clone();
    payload.as_object_mut().unwrap().remove("transaction");
    assert_eq!(topic, "zigbee2mqtt/bridge/request/device/bind");
    assert_eq!(payload, json!({"from": REMOTE, "to": LAMP}));
    let data = json!({"from": REMOTE, "to": LAMP, "clusters": ["genOnOff"], "failed": ["genLevelCtrl"]});
    world.respond(json!({"status": "ok", "data": data}));
    let ends: Vec<_> = bind_ends(&world.result(ticket).unwrap())
        .into_iter()
        .map(|one| (one.cluster, one.end.map_err(|why| why.code)))
        .collect();
    assert_eq!(ends, [("genOnOff".into(), Ok(())), ("genLevelCtrl".into(), Err(ErrorCode::DeviceRejected))]);

    for (words, code) in [("Nothing to unbind", ErrorCode::BadRequest), ("Failed to unbind", ErrorCode::DeviceRejected)]
    {
        let ticket = world.request(Request::Bind(BindWish {
            endpoint: Some(2),
            clusters: vec!["genOnOff".into()],
            undo: true,
            ..wish(BindTarget::Hub)
        }));
        let (topic, payload) = world.sent.last().unwrap();
        assert_eq!(topic, "zigbee2mqtt/bridge/request/device/unbind");
        assert_eq!(payload["to"], "Coordinator");
        assert_eq!((&payload["from_endpoint"], &payload["clusters"]), (&json!(2), &json!(["genOnOff"])));
        world.respond(json!({"status": "error", "error": words, "data": {}}));
        assert_eq!(world.result(ticket), Err(code), "{words}");
    }
    let ticket = world.request(Request::Bind(wish(BindTarget::Group(7))));
    assert_eq!(world.result(ticket), Err(ErrorCode::NotFound));
    world.say("bridge/groups", json!([{"id": 7, "friendly_name": "hearth_7", "members": []}]));
    world.request(Request::Bind(wish(BindTarget::Group(7))));
    assert_eq!(world.sent.last().unwrap().1["to"], "hearth_7");

    let hub = "0x00124b0014b5c001";
    let mut entries = house();
    let row =
        |to: &str| json!({"cluster": "genOnOff", "target": {"type": "endpoint", "ieee_address": to, "endpoint": 1}});
    entries[4]["endpoints"] = json!({"1": {"bindings": [row(hub), row(LAMP)]}});
    world.say("bridge/devices", entries);
    world.say("bridge/info", json!({"coordinator": {"ieee_address": hub}, "config": {}}));
    let ticket = world.request(Request::Bindings(id(REMOTE)));
    let rows: Vec<Bound> = serde_json::from_value(world.result(ticket).unwrap()).unwrap();
    let lamp = BindTarget::Device { id: id(LAMP), endpoint: Some(1) };
    assert_eq!(rows.into_iter().map(|row| row.to).collect::<Vec<_>>(), [BindTarget::Hub, lamp]);
    let ticket = world.request(Request::Bindings(id(NEW)));
    assert_eq!(world.result(ticket), Err(ErrorCode::NotFound));
}

#[test]
fn an_answer_of_somebody_elses_request_is_not_ours() {
    let mut world = World::home();
    let ticket = world.request(Request::Remove { id: id(PLUG), force: true });
    assert_eq!(world.sent[0].1["force"], true);
    world.say("bridge/response/device/remove", json!({"status": "ok", "transaction": "other-1"}));
    world.say("bridge/response/device/remove", json!({"status": "ok"}));
    assert!(world.is_open(ticket));
    world.pass(31_000);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout));
}
