//! Tests of commands: what confirms one, what does not, and what they are answered with.

use serde_json::json;

use super::*;
use crate::adapters::devices::zigbee2mqtt::request::Request;
use crate::adapters::devices::zigbee2mqtt::testing::{LAMP, NEW, PLUG, REMOTE, SENSOR, TUYA, World, entry, house, id};
use crate::home::{NetworkQuery, RadioStatus, SourceEvent};

#[test]
fn a_command_is_done_when_the_device_shows_it() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"state": "ON", "transition": 1}), None);
    assert_eq!(world.sent(), [(format!("zigbee2mqtt/{LAMP}/set"), json!({"state": "ON", "transition": 1}))]);
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100, "linkquality": 91}));
    assert!(world.is_open(ticket), "something answered; whether it did so is not known");
    world.pass(1_010);
    assert_eq!(world.sent(), [(format!("zigbee2mqtt/{LAMP}/get"), json!({"state": ""}))], "after the transition");
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100, "linkquality": 91}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "ON"})));
    assert!(
        world.told().iter().any(|event| matches!(event, SourceEvent::State { id: whose, .. } if *whose == id(LAMP)))
    );
}

#[test]
fn a_report_of_something_else_confirms_nothing() {
    let mut world = World::home();
    world.say("plug", json!({"state": "ON", "power": 5}));
    // It is believed on, and switched on again; what Zigbee2MQTT remembers comes with every report.
    let ticket = world.set(&[PLUG], json!({"state": "ON"}), None);
    assert_eq!(world.sent().len(), 2, "the command, and a question behind it");
    world.say("plug", json!({"state": "ON", "power": 6}));
    world.say("plug", json!({"state": "ON", "power": 7}));
    assert!(world.is_open(ticket));
    world.log(&format!("Publish 'set' 'state' to 'plug' failed: 'Error: ZCL command {PLUG}/1 genOnOff.on({{}}, {{}}) failed (Data request failed with error: 'MAC_NO_ACK' (0xe9))'"));
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceUnreachable));
}

#[test]
fn what_was_so_already_is_confirmed_by_the_answer_to_a_question() {
    let mut world = World::home();
    let ticket = world.set(&[PLUG], json!({"state": "off"}), None);
    assert_eq!(world.sent().len(), 2);
    world.say("plug", json!({"state": "OFF", "power": 0}));
    assert!(world.is_open(ticket), "this may have been anything");
    world.say("plug", json!({"state": "OFF", "power": 0}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OFF"})));
}

#[test]
fn without_a_word_the_device_is_asked_again_and_then_it_has_failed() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"state": "ON"}), None);
    assert_eq!(world.sent()[1], (format!("zigbee2mqtt/{LAMP}/get"), json!({"state": ""})));
    world.pass(19_900);
    assert_eq!(world.sent().len(), 2, "asked three times in all");
    assert!(world.is_open(ticket));
    world.pass(200);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout));

    world.message("hall/lamp/availability", b"offline", false);
    let ticket = world.set(&[LAMP], json!({"state": "ON"}), None);
    world.pass(21_000);
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceUnreachable));
}

#[test]
fn a_device_that_refuses_or_lies_has_not_done_it() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"state": "ON"}), None);
    // As Zigbee2MQTT does whatever the status of the device's answer; and then as the device says itself.
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100}));
    world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    for wait_ms in [1_100, 2_100] {
        assert!(world.is_open(ticket));
        world.pass(wait_ms);
        world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    }
    world.pass(2_100);
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceRejected));
}

#[test]
fn a_lamp_that_fades_is_asked_again() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"brightness": 250}), None);
    for brightness in [250, 140, 250] {
        assert!(world.is_open(ticket));
        world.say("hall/lamp", json!({"state": "ON", "brightness": brightness}));
        world.pass(if brightness == 140 { 1_100 } else { 10 });
    }
    assert_eq!(world.result(ticket), Ok(json!({"brightness": 250})));
}

#[test]
fn a_cover_is_confirmed_when_it_moves() {
    let mut world = World::home();
    let mut list = house();
    let cover = json!([{"type": "cover", "features": [
        {"type": "enum", "name": "state", "property": "state", "access": 7, "values": ["OPEN", "CLOSE", "STOP"]},
        {"type": "numeric", "name": "position", "property": "position", "access": 7, "value_min": 0, "value_max": 100}]}]);
    list.as_array_mut().unwrap().push(entry(NEW, "blind", "Router", "Mains (single phase)", cover));
    world.say("bridge/devices", list);
    world.say("blind", json!({"state": "OPEN", "position": 100}));
    let ticket = world.set(&[NEW], json!({"state": "CLOSE"}), None);
    world.say("blind", json!({"state": "CLOSE", "position": 100}));
    assert!(world.is_open(ticket));
    world.say("blind", json!({"state": "OPEN", "position": 96}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OPEN"})), "as it is by now");

    let ticket = world.set(&[NEW], json!({"position": 10}), None);
    world.say("blind", json!({"state": "OPEN", "position": 10}));
    world.say("blind", json!({"state": "OPEN", "position": 96}));
    world.pass(5_500);
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceRejected), "it stands where it stood");
}

#[test]
fn a_cover_whose_state_cannot_be_asked_for_is_asked_where_it_is() {
    let mut world = World::home();
    let mut list = house();
    let cover = json!([{"type": "cover", "features": [
        {"type": "enum", "name": "state", "property": "state", "access": 3, "values": ["OPEN", "CLOSE", "STOP"]},
        {"type": "numeric", "name": "position", "property": "position", "access": 7, "value_min": 0, "value_max": 100}]}]);
    list.as_array_mut().unwrap().push(entry(NEW, "blind", "Router", "Mains (single phase)", cover));
    world.say("bridge/devices", list);
    world.say("blind", json!({"state": "OPEN", "position": 100}));
    let ticket = world.set(&[NEW], json!({"state": "CLOSE"}), None);
    assert_eq!(world.sent().last().unwrap().1, json!({"position": ""}));
    world.say("blind", json!({"state": "OPEN", "position": 100}));
    assert!(world.is_open(ticket));
    world.say("blind", json!({"state": "OPEN", "position": 98}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OPEN"})));
    let ticket = world.set(&[NEW], json!({"state": "STOP"}), None);
    world.say("blind", json!({"state": "OPEN", "position": 97}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OPEN"})));
}

#[test]
fn a_value_that_the_device_rounds_is_the_value() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"brightness": 200}), None);
    world.say("hall/lamp", json!({"state": "ON", "brightness": 199}));
    world.say("hall/lamp", json!({"state": "ON", "brightness": 199}));
    assert_eq!(world.result(ticket), Ok(json!({"brightness": 199})));
}

#[test]
fn a_toggle_is_done_when_it_is_the_other() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"state": "TOGGLE"}), None);
    world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    assert!(world.is_open(ticket));
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100}));
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "ON"})));
}

#[test]
fn a_tuya_device_has_to_report_what_it_took() {
    let mut world = World::home();
    let ticket = world.set(&[TUYA], json!({"state": "ON"}), None);
    world.say("switch", json!({"state": "ON"}));
    assert!(world.is_open(ticket), "this says that it was sent");
    world.say("switch", json!({"state": "ON"}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "ON"})));

    let ticket = world.set(&[TUYA], json!({"state": "OFF"}), None);
    world.say("switch", json!({"state": "OFF"}));
    world.pass(6_000);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout));
}

#[test]
fn an_effect_is_confirmed_by_an_answer_behind_it() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"effect": "blink"}), None);
    let question = (format!("zigbee2mqtt/{LAMP}/get"), json!({"state": ""}));
    assert_eq!(world.sent()[1], question);
    world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    assert_eq!(world.result(ticket), Ok(json!({})));

    let ticket = world.set(&[LAMP], json!({"effect": "blink"}), None);
    world.log("z2m: Publish 'set' 'effect' to 'hall/lamp' failed: 'Error: … failed (Status 'FAILURE')'");
    assert!(world.is_open(ticket), "the next such line would be left out if nothing came between");
    world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceRejected));

    let ticket = world.set(&[LAMP], json!({"effect": "blink"}), None);
    world.log("z2m: Publish 'set' 'effect' to 'hall/lamp' failed: 'Error: … failed (Timeout after 10000ms)'");
    world.pass(2_100);
    assert_eq!(world.result(ticket), Err(ErrorCode::DeviceUnreachable));

    world.say("bridge/info", json!({"log_level": "error", "config": {}}));
    let ticket = world.set(&[LAMP], json!({"effect": "blink"}), None);
    world.say("hall/lamp", json!({"state": "OFF", "brightness": 100}));
    world.pass(5_100);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout), "with such a log nobody knows");
}

#[test]
fn what_a_device_has_not_is_not_sent() {
    let mut world = World::home();
    let ticket = world.set(&[LAMP], json!({"wings": 3, "transition": 1}), None);
    assert_eq!(world.result(ticket), Err(ErrorCode::Unsupported));
    assert_eq!(world.sent(), []);
}

#[test]
fn of_what_nothing_can_be_seen_nothing_is_claimed() {
    let mut world = World::home();
    let ticket = world.set(&[REMOTE], json!({"identify": "identify"}), None);
    world.say("remote", json!({"battery": 80}));
    world.pass(5_100);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout));
}

#[test]
fn a_device_that_is_not_published_optimistically_is_asked_at_once() {
    let mut world = World::home();
    world.say("bridge/info", json!({"config": {"devices": {LAMP: {"optimistic": false}}}}));
    let ticket = world.set(&[LAMP], json!({"state": "ON"}), None);
    assert_eq!(world.sent().len(), 2);
    world.say("hall/lamp", json!({"state": "ON"}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "ON"})));
}

#[test]
fn commands_for_one_device_go_one_after_another() {
    let mut world = World::home();
    let on = world.set(&[LAMP], json!({"state": "ON"}), None);
    let off = world.set(&[LAMP], json!({"state": "OFF"}), None);
    assert_eq!(world.sent().len(), 2, "the first, and its question");
    world.say("hall/lamp", json!({"state": "ON"}));
    world.say("hall/lamp", json!({"state": "ON"}));
    assert_eq!(world.result(on), Ok(json!({"state": "ON"})));
    assert_eq!(world.sent()[0], (format!("zigbee2mqtt/{LAMP}/set"), json!({"state": "OFF"})));
    world.say("hall/lamp", json!({"state": "OFF"}));
    world.say("hall/lamp", json!({"state": "OFF"}));
    assert_eq!(world.result(off), Ok(json!({"state": "OFF"})));
    // And no more of them than can be waited for.
    let tickets: Vec<_> = (0..40).map(|_| world.set(&[LAMP], json!({"state": "ON"}), None)).collect();
    assert_eq!(world.result(*tickets.last().unwrap()), Err(ErrorCode::Timeout));
    world.pass(60_000);
    assert!(tickets[..39].iter().all(|ticket| !world.is_open(*ticket)), "each has ended");
}

#[test]
fn targets_are_answered_each_for_itself() {
    let mut world = World::home();
    let ticket = world.set(&[PLUG, NEW, LAMP], json!({"state": "ON"}), None);
    world.say("hall/lamp", json!({"state": "ON"}));
    world.say("hall/lamp", json!({"state": "ON"}));
    world.say("plug", json!({"state": "ON", "power": 0}));
    world.say("plug", json!({"state": "ON", "power": 0}));
    assert_eq!(
        world.results(ticket),
        [Ok(json!({"state": "ON"})), Err(ErrorCode::NotFound), Ok(json!({"state": "ON"}))]
    );
}

#[test]
fn a_group_is_sent_once_and_its_members_are_asked() {
    let mut world = World::home();
    world.say(
        "bridge/groups",
        json!([{"id": 5, "friendly_name": "g1", "members": [{"ieee_address": LAMP}, {"ieee_address": PLUG}]}]),
    );
    assert!(world.topics.contains(&"zigbee2mqtt/g1".to_owned()));
    let ticket = world.set(&[PLUG, LAMP], json!({"state": "ON"}), Some(5));
    assert_eq!(world.sent(), [("zigbee2mqtt/g1/set".to_owned(), json!({"state": "ON"}))]);
    // As recorded: members are published with the group, whether they heard it or not.
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100}));
    world.say("g1", json!({"state": "ON"}));
    world.say("plug", json!({"state": "ON", "power": 0}));
    assert!(world.is_open(ticket));
    world.pass(200);
    assert_eq!(world.sent().len(), 2, "each is asked");
    world.say("hall/lamp", json!({"state": "ON", "brightness": 100}));
    assert!(world.is_open(ticket));
    world.log("z2m: Publish 'get' 'state' to 'plug' failed: 'Error: Read … failed (Data request failed with error: 'MAC_NO_ACK' (0xe9))'");
    assert_eq!(world.results(ticket), [Err(ErrorCode::DeviceUnreachable), Ok(json!({"state": "ON"}))]);

    let ticket = world.set(&[PLUG], json!({"state": "OFF"}), Some(5));
    assert_eq!(world.sent()[0].0, format!("zigbee2mqtt/{PLUG}/set"), "a part of the group is not the group");
    world.say("plug", json!({"state": "OFF", "power": 0}));
    world.say("plug", json!({"state": "OFF", "power": 0}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OFF"})));

    let ticket = world.set(&[PLUG, LAMP], json!({"state": "OFF"}), Some(5));
    world.log("z2m: Publish 'set' 'state' to 'g1' failed: 'Error: SRSP - AF - dataRequestExt after 6000ms'");
    assert_eq!(world.results(ticket), [Err(ErrorCode::RadioDown), Err(ErrorCode::RadioDown)]);
}

#[test]
fn nothing_is_sent_while_it_is_down_and_what_was_under_way_has_failed() {
    let mut world = World::home();
    let set = world.set(&[LAMP], json!({"state": "ON"}), None);
    let map = world.request(Request::Network(NetworkQuery::Map));
    world.say("bridge/state", json!({"state": "offline"}));
    assert_eq!(world.result(set), Err(ErrorCode::RadioDown));
    assert_eq!(world.result(map), Err(ErrorCode::RadioDown));
    world.sent();
    let set = world.set(&[LAMP], json!({"state": "ON"}), None);
    let read = world.read(LAMP, &[]);
    let rename = world.request(Request::Rename(id(LAMP), "x".into()));
    for ticket in [set, read, rename] {
        assert_eq!(world.result(ticket), Err(ErrorCode::RadioDown));
    }
    world.bridge.handle_disconnected(RadioStatus::Down { why: "broken".into() }, world.now());
    world.drain();
    assert_eq!(world.status(), &RadioStatus::Down { why: "broken".into() });
    world.topics.clear();
    world.bridge.handle_connected(world.now());
    world.drain();
    assert!(world.topics.contains(&"zigbee2mqtt/hall/lamp".to_owned()), "known topics are subscribed to again");
    assert_eq!(world.sent(), []);
}

#[test]
fn a_question_is_answered_by_what_comes_after_it() {
    let mut world = World::home();
    let ticket = world.read(PLUG, &["state", "power"]);
    assert_eq!(world.sent(), [(format!("zigbee2mqtt/{PLUG}/get"), json!({"state": "", "power": ""}))]);
    world.say("plug", json!({"state": "OFF", "power": 3}));
    assert!(world.is_open(ticket), "power has come, state not yet");
    world.say("plug", json!({"state": "OFF", "power": 3}));
    assert_eq!(world.result(ticket), Ok(json!({"state": "OFF", "power": 3})));
    let ticket = world.read(SENSOR, &["temperature"]);
    assert_eq!(world.result(ticket), Err(ErrorCode::Unsupported));
    let ticket = world.read(LAMP, &[]);
    world.pass(13_000);
    assert_eq!(world.result(ticket), Err(ErrorCode::Timeout));
}
