//! Commands: what is claimed against what is true.

use std::time::Duration;

use serde_json::{Value, json};

use super::air::{Fault, HOP, World};
use super::kinds::ON_OFF;
use crate::common::error::ErrorCode;
use crate::zigbee::ncp::{NcpEvent, SendStatus};
use crate::zigbee::network::{Event, Radio, Reply, Request};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Nwk};
use crate::zigbee::zcl::status::Status;

fn code(end: &Result<serde_json::Map<String, Value>, crate::common::error::ErrorBody>) -> Option<ErrorCode> {
    end.as_ref().err().map(|error| error.code)
}

#[test]
fn a_lamp_that_reports_is_confirmed_with_its_default_response() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert_eq!(ends[0].as_ref().expect("done")["state"], "ON");
    assert_eq!(took, HOP * 2, "one way there and one back");
    assert!(world.real(lamp).on);
}

#[test]
fn one_that_does_not_report_costs_no_second_round_trip() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).reports = false;
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert_eq!(ends[0].as_ref().expect("done")["state"], "ON");
    assert_eq!(took, HOP * 2, "the read went right behind the command");
}

#[test]
fn a_refusal_is_told_in_words() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).faults.push_back(Fault::Refuse(Status::INVALID_VALUE));
    let error = world.set_one(lamp, json!({"state": "ON"})).expect_err("it refused");
    assert_eq!((error.code, &*error.message), (ErrorCode::DeviceRejected, "the device refused: invalid value"));
    let error = world.set_one(lamp, json!({"state": "PURPLE"})).expect_err("no such value");
    assert_eq!(error.code, ErrorCode::BadRequest);
    let error = world.set_one(lamp, json!({"colour": 1})).expect_err("no such property");
    assert_eq!(error.code, ErrorCode::Unsupported);
}

#[test]
fn one_that_says_yes_and_does_nothing_is_found_out() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).faults.push_back(Fault::Lie);
    let error = world.set_one(lamp, json!({"state": "ON"})).expect_err("it is off");
    assert_eq!(error.code, ErrorCode::DeviceRejected);
    assert_eq!(error.message, r#"it took the command, but says that `state` is "OFF""#);
}

#[test]
fn what_is_lost_goes_out_again_and_is_done_once_it_is() {
    let faults: &[&[Fault]] = &[
        &[Fault::Lost(SendStatus::NoAck)],
        &[Fault::Lost(SendStatus::NoRoute)],
        &[Fault::Lost(SendStatus::Busy)],
        &[Fault::Lost(SendStatus::Expired)],
        &[Fault::Unacknowledged],
        &[Fault::Silent],
        &[Fault::Silent, Fault::Silent],
        &[Fault::Twice],
        &[Fault::Late(Duration::from_secs(2))],
        &[Fault::Lost(SendStatus::NoAck), Fault::Silent, Fault::Twice],
    ];
    for faults in faults {
        let mut world = World::new();
        let lamp = world.join(0x1234, "lamp");
        world.real(lamp).faults.extend(faults.iter().copied());
        let end = world.set_one(lamp, json!({"state": "ON"}));
        assert_eq!(end.as_ref().map(|state| &state["state"]), Ok(&json!("ON")), "{faults:?}");
        assert!(world.real(lamp).on, "{faults:?}");
    }
}

#[test]
fn a_toggle_is_never_done_twice() {
    for fault in [Fault::Silent, Fault::Unacknowledged, Fault::Twice, Fault::Late(Duration::from_secs(3))] {
        let mut world = World::new();
        let lamp = world.join(0x1234, "lamp");
        world.real(lamp).reports = false;
        world.real(lamp).faults.push_back(fault);
        let end = world.set_one(lamp, json!({"state": "TOGGLE"}));
        let toggles = world.real(lamp).done.iter().filter(|done| **done == (ON_OFF, 2)).count();
        assert_eq!(toggles, 1, "{fault:?}");
        if let Ok(state) = end {
            assert_eq!(state["state"], "ON", "{fault:?}");
        }
    }
}

#[test]
fn out_of_reach_is_said_so() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).deaf = true;
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert_eq!(code(&ends[0]), Some(ErrorCode::DeviceUnreachable));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.network.devices().next().expect("the lamp").available, Some(false));
}

#[test]
fn a_radio_that_is_down_is_waited_for_a_moment_and_then_said_so() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    let set = json!({"state": "ON"}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![lamp], set, group: None });
    world.pull();
    world.run(Duration::from_millis(5900));
    assert_eq!(world.answer(id), None, "there is hope");
    world.run(Duration::from_millis(200));
    let Some(Ok(Reply::Set(ends))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(code(&ends[0]), Some(ErrorCode::RadioDown));
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert_eq!((code(&ends[0]), took), (Some(ErrorCode::RadioDown), Duration::ZERO), "there is no hope any more");
    world.up();
    assert!(world.events.contains(&Event::Radio(Radio::Up)));
    assert!(world.set_one(lamp, json!({"state": "ON"})).is_ok());

    // One that starts anew by itself is up again in a moment.
    let set = json!({"state": "OFF"}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![lamp], set, group: None });
    world.pull();
    world.run(Duration::from_secs(2));
    world.up();
    world.run(Duration::from_millis(100));
    let Some(Ok(Reply::Set(ends))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(ends[0].as_ref().expect("done")["state"], "OFF");
    world.network.handle_ncp(world.now, NcpEvent::Refused { why: "another network".into() });
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert_eq!((code(&ends[0]), took), (Some(ErrorCode::RadioDown), Duration::ZERO));
}

#[test]
fn a_movement_is_done_when_it_has_arrived() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    let (ends, took) = world.set(&[lamp], json!({"brightness": 200, "transition": 2}), None);
    assert_eq!(ends[0].as_ref().expect("done")["brightness"], 200);
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2500), "{took:?}");
    let (ends, took) = world.set(&[lamp], json!({"brightness": 10, "transition": 60}), None);
    assert!(took < Duration::from_secs(1), "nobody waits for a minute");
    assert_eq!(ends[0].as_ref().expect("it was begun").get("brightness"), None, "and nobody says that it is there");
}

#[test]
fn a_newer_wish_does_not_wait_for_an_older_movement() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    let slow = json!({"brightness": 200, "transition": 9}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![lamp], set: slow, group: None });
    world.run(Duration::from_millis(100));
    let (ends, took) = world.set(&[lamp], json!({"state": "ON"}), None);
    assert!(ends[0].is_ok() && took < Duration::from_millis(50), "{took:?}");
    let Some(Ok(Reply::Set(old))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(code(&old[0]), Some(ErrorCode::Cancelled));
}

#[test]
fn what_cannot_be_read_is_confirmed_by_its_answer_alone() {
    let mut world = World::new();
    let mute = world.join(0x1234, "mute");
    assert_eq!(world.set_one(mute, json!({"state": "ON"})).expect("taken")["state"], "ON");
    world.real(mute).faults.extend([Fault::Silent; 9]);
    let error = world.set_one(mute, json!({"state": "OFF"})).expect_err("it said nothing");
    assert_eq!(error.code, ErrorCode::Timeout);
}

#[test]
fn the_answer_of_another_and_an_old_answer_count_for_nothing() {
    let mut world = World::new();
    let (lamp, other) = (world.join(0x1234, "mute"), world.join(0x2345, "mute"));
    let _ = other;
    world.real(lamp).faults.extend([Fault::Silent; 9]);
    let set = json!({"state": "ON"}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![lamp], set, group: None });
    for seq in 0..=255u8 {
        // Every number from another device, from another endpoint, of another cluster, to another command.
        let default = |command| vec![0x18, seq, 0x0b, command, 0x00];
        let events = [
            super::air::incoming(Nwk(0x2345), Endpoint(1), ON_OFF, default(1)),
            super::air::incoming(Nwk(0x1234), Endpoint(2), ON_OFF, default(1)),
            super::air::incoming(Nwk(0x1234), Endpoint(1), ClusterId(8), default(1)),
            super::air::incoming(Nwk(0x1234), Endpoint(1), ON_OFF, default(0)),
            super::air::incoming(Nwk(0x1234), Endpoint(1), ON_OFF, vec![0x10, seq, 0x0b, 1, 0]),
        ];
        events.into_iter().for_each(|event| world.come(Duration::ZERO, event));
    }
    world.run(Duration::from_secs(30));
    let Some(Ok(Reply::Set(ends))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(code(&ends[0]), Some(ErrorCode::Timeout));
}

#[test]
fn a_late_reading_does_not_confirm_a_newer_command() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).reports = false;
    world.real(lamp).on = true;
    // A reading of before is on its way for long: when it comes, nobody waits for it any more.
    let read = vec![0x18, 77, 0x01, 0, 0, 0, 0x10, 1];
    world.real(lamp).on = false;
    world.real(lamp).faults.extend([Fault::Lie]);
    world.come(Duration::from_millis(20), super::air::incoming(Nwk(0x1234), Endpoint(1), ON_OFF, read));
    let error = world.set_one(lamp, json!({"state": "ON"})).expect_err("it is off");
    assert_eq!(error.code, ErrorCode::DeviceRejected);
}

#[test]
fn a_group_is_told_at_once_and_each_member_answers_for_itself() {
    let mut world = World::new();
    let lamps: Vec<_> = (1..=5).map(|number| world.join(number, "lamp")).collect();
    let group = GroupId(7);
    let id = world.request(Request::Regroup { group, members: lamps.clone() });
    world.run(Duration::from_secs(2));
    assert_eq!(world.answer(id), Some(Ok(Reply::Nothing)));
    assert!(world.devices.values().all(|real| real.groups.contains(&group)));
    let (ends, took) = world.set(&lamps, json!({"state": "ON"}), Some(group));
    assert!(ends.iter().all(Result::is_ok) && took < Duration::from_millis(50), "{took:?} {ends:?}");
    assert_eq!(world.multicasts, 1);
    // One does not hear it, and one is without power.
    world.real(lamps[2]).faults.push_back(Fault::Lost(SendStatus::NoAck));
    world.real(lamps[4]).deaf = true;
    world.real(lamps[4]).faults.push_back(Fault::Lost(SendStatus::NoAck));
    let (ends, _) = world.set(&lamps, json!({"state": "OFF"}), Some(group));
    let codes: Vec<_> = ends.iter().map(code).collect();
    assert_eq!(codes, [None, None, None, None, Some(ErrorCode::DeviceUnreachable)]);
    for lamp in &lamps[..4] {
        assert!(!world.real(*lamp).on);
    }
    let id = world.request(Request::Regroup { group, members: lamps[..2].to_vec() });
    world.run(Duration::from_secs(20));
    assert!(matches!(world.answer(id), Some(Err(error)) if error.code == ErrorCode::DeviceUnreachable));
    assert_eq!(world.devices.values().filter(|real| real.groups.contains(&group)).count(), 3);
}

#[test]
fn one_that_sleeps_is_told_when_it_wakes() {
    let mut world = World::new();
    let sleeper = world.add(0x1234, "lamp", true);
    world.announce(sleeper);
    world.run(Duration::from_secs(2));
    world.run(Duration::from_secs(10));
    world.real(sleeper).faults.extend([Fault::Lost(SendStatus::Expired), Fault::Lost(SendStatus::Expired)]);
    let set = json!({"state": "ON"}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![sleeper], set, group: None });
    world.run(Duration::from_secs(8));
    assert_eq!(world.answer(id), None);
    world.report(sleeper, ON_OFF);
    world.run(Duration::from_millis(200));
    let Some(Ok(Reply::Set(ends))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(ends[0].as_ref().expect("done")["state"], "ON");
}

#[test]
fn reading_gives_what_it_says_now() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).on = true;
    let id = world.request(Request::Read { ieee: lamp, properties: vec!["state".into()] });
    world.run(Duration::from_secs(1));
    let Some(Ok(Reply::Values(values))) = world.answer(id) else { panic!("no values") };
    assert_eq!(values["state"], "ON");
    world.real(lamp).deaf = true;
    let id = world.request(Request::Read { ieee: lamp, properties: vec!["state".into()] });
    world.run(Duration::from_secs(20));
    assert!(matches!(world.answer(id), Some(Err(error)) if error.code == ErrorCode::DeviceUnreachable));
}

#[test]
fn a_button_pressed_once_is_told_once() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    let _ = lamp;
    let press = vec![0x01, 9, 0x02];
    for _ in 0..3 {
        world.come(Duration::ZERO, super::air::incoming(Nwk(0x1234), Endpoint(1), ON_OFF, press.clone()));
    }
    world.run(Duration::from_millis(10));
    let told = world.events.iter().filter(|event| matches!(event, Event::State { .. })).count();
    assert_eq!(told, 1);
}
