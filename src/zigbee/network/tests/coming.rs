//! Joining, being interviewed, coming back, being silent, leaving.

use std::time::Duration;

use serde_json::json;

use super::air::{COORDINATOR, Fault, World};
use super::kinds::{LEVEL, ON_OFF};
use crate::common::error::ErrorCode;
use crate::zigbee::ncp::{NcpEvent, SendStatus};
use crate::zigbee::network::{Event, Pairing, Reply, Request, Step, View};
use crate::zigbee::types::{ClusterId, Ieee, Nwk};

fn pairing(world: &World) -> Vec<Pairing> {
    let news = world.events.iter().filter_map(|event| match event {
        Event::Pairing(news) => Some(news.clone()),
        _ => None,
    });
    news.collect()
}

fn view(world: &World, ieee: Ieee) -> View {
    world.network.devices().find(|view| view.ieee == ieee).expect("it is in the table")
}

#[test]
fn a_lamp_joins_is_asked_everything_and_tells_its_state() {
    let mut world = World::new();
    let lamp = world.add(0x1234, "lamp", false);
    world.announce(lamp);
    let began = world.now;
    while !pairing(&world).contains(&Pairing::Interviewed { ieee: lamp }) {
        world.run(Duration::from_millis(1));
        assert!(world.now - began < Duration::from_millis(150), "{:?}", pairing(&world));
    }
    let steps: Vec<Step> = pairing(&world)
        .into_iter()
        .filter_map(|news| match news {
            Pairing::Step { step, .. } => Some(step),
            _ => None,
        })
        .collect();
    assert_eq!(steps, Step::ALL);
    let view = view(&world, lamp);
    assert!(view.interviewed && view.supported && view.is_router);
    assert_eq!((view.model.as_deref(), view.available), (Some("LAMP-1"), Some(true)));
    assert_eq!(view.state["state"], "OFF", "it was read");
    assert!(world.real(lamp).bound.contains(&ON_OFF) && world.real(lamp).reports);
    assert_eq!(world.saved[&lamp]["is_set_up"], json!(true));
}

/// Sticks say both in either order.
#[test]
fn answers_that_come_before_the_stick_has_taken_the_request_count() {
    let mut world = World::new();
    world.stick_takes = Duration::from_millis(40);
    let lamp = world.add(0x1234, "lamp", false);
    world.announce(lamp);
    world.run(Duration::from_secs(1));
    assert!(pairing(&world).contains(&Pairing::Interviewed { ieee: lamp }), "{:?}", pairing(&world));
    assert!(world.real(lamp).bound.contains(&ON_OFF));
}

#[test]
fn the_trust_centre_may_speak_after_the_device() {
    let mut world = World::new();
    world.request(Request::Pairing { seconds: 60, via: None, install_code: None });
    let lamp = world.add(0x1234, "lamp", false);
    world.announce(lamp);
    world.come(Duration::from_millis(1), NcpEvent::Joined { ieee: lamp, nwk: Nwk(0x1234), parent: None });
    world.run(Duration::from_secs(30));
    let interviewed = pairing(&world).into_iter().filter(|news| *news == Pairing::Interviewed { ieee: lamp }).count();
    assert_eq!(interviewed, 1, "{:?}", pairing(&world));
}

#[test]
fn lost_answers_are_asked_for_again_and_a_failed_step_is_named() {
    let mut world = World::new();
    let lamp = world.add(0x1234, "lamp", false);
    world.real(lamp).faults.extend([Fault::Silent, Fault::Lost(SendStatus::NoAck), Fault::Lost(SendStatus::NoRoute)]);
    world.announce(lamp);
    world.run(Duration::from_secs(10));
    assert!(pairing(&world).contains(&Pairing::Interviewed { ieee: lamp }), "{:?}", pairing(&world));
    assert!(world.routes_searched > 0);

    let other = world.add(0x2345, "lamp", false);
    world.real(other).deaf = true;
    world.announce(other);
    world.run(Duration::from_secs(30));
    let failed = pairing(&world).into_iter().find_map(|news| match news {
        Pairing::Failed { ieee, step, why } if ieee == other => Some((step, why)),
        _ => None,
    });
    let (step, why) = failed.expect("it failed");
    assert_eq!((step, &*why), (Step::Node, "it is out of reach, or without power"));
    world.real(other).deaf = false;
    world.run(Duration::from_secs(60));
    assert!(view(&world, other).interviewed, "it is asked again by itself");
}

#[test]
fn one_that_sleeps_is_asked_when_it_is_heard() {
    let mut world = World::new();
    let contact = world.add(0x3456, "lamp", true);
    world.announce(contact);
    // It falls asleep in the midst of it.
    world.run(Duration::from_millis(20));
    world.real(contact).deaf = true;
    world.run(Duration::from_secs(60));
    assert!(!view(&world, contact).interviewed);
    world.real(contact).deaf = false;
    for _ in 0..6 {
        world.report(contact, ON_OFF);
        world.run(Duration::from_secs(25));
    }
    assert!(view(&world, contact).interviewed, "{:?}", pairing(&world));
    assert!(pairing(&world).contains(&Pairing::Interviewed { ieee: contact }));
}

/// Its first report may be an hour away.
#[test]
fn what_is_only_reported_is_read_once_when_it_is_set_up() {
    let mut world = World::new();
    let sensor = world.add(0x3456, "sensor", true);
    world.announce(sensor);
    world.run(Duration::from_secs(2));
    assert!(pairing(&world).contains(&Pairing::Interviewed { ieee: sensor }), "{:?}", pairing(&world));
    assert_eq!(view(&world, sensor).state["state"], "OFF");
    assert_eq!(world.real(sensor).reads, [ON_OFF], "once");
    let lamp = world.join(0x1234, "lamp");
    assert_eq!(
        world.real(lamp).reads,
        [ON_OFF, ON_OFF],
        "what its set-up and the refresh read is not read a third time"
    );
}

/// It is no part of the interview, and one that has fallen asleep is asked when it is heard.
#[test]
fn a_first_value_that_does_not_come_holds_up_nothing() {
    let mut world = World::new();
    let sensor = world.add(0x3456, "sensor", true);
    world.announce(sensor);
    while !pairing(&world).contains(&Pairing::Interviewed { ieee: sensor }) {
        world.run(Duration::from_millis(1));
    }
    assert!(!view(&world, sensor).state.contains_key("state"));
    world.real(sensor).deaf = true;
    world.run(Duration::from_secs(40));
    world.real(sensor).deaf = false;
    world.real(sensor).faults.push_back(Fault::Lost(SendStatus::Expired));
    world.report(sensor, LEVEL);
    world.run(Duration::from_secs(5));
    assert_eq!(view(&world, sensor).state["state"], "OFF", "asked again within the window");

    let silent = world.add(0x4567, "sensor", true);
    world.announce(silent);
    while !pairing(&world).contains(&Pairing::Interviewed { ieee: silent }) {
        world.run(Duration::from_millis(1));
    }
    world.real(silent).faults.extend([Fault::Silent; 20]);
    world.run(Duration::from_secs(120));
    let failed = |news: &Pairing| matches!(news, Pairing::Failed { .. });
    assert!(!pairing(&world).iter().any(failed), "{:?}", pairing(&world));
    assert_eq!(world.saved[&silent]["is_set_up"], json!(true));
}

#[test]
fn a_new_address_is_learned_and_what_waited_goes_there() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).nwk = Nwk(0x4321);
    world.announce(lamp);
    assert!(world.set_one(lamp, json!({"state": "ON"})).is_ok());
    assert!(world.real(lamp).on);
    assert_eq!(world.saved[&lamp]["nwk"], json!(0x4321));
    assert!(pairing(&world).is_empty(), "nobody interviews what is known");
}

#[test]
fn another_device_with_an_old_address_is_not_taken_for_the_old_one() {
    let mut world = World::new();
    let (first, second) = (world.join(0x1234, "lamp"), world.add(0x5555, "lamp", false));
    world.real(first).nwk = Nwk(0x9999);
    world.real(second).nwk = Nwk(0x1234);
    world.announce(second);
    world.run(Duration::from_secs(2));
    world.events.clear();
    let error = world.set_one(first, json!({"state": "ON"})).expect_err("nobody knows where it is");
    assert_eq!(error.code, ErrorCode::DeviceUnreachable);
    assert!(!world.real(second).on, "and its neighbour was left alone");
    world.announce(first);
    assert!(world.set_one(first, json!({"state": "ON"})).is_ok());
}

#[test]
fn a_stranger_is_asked_who_it_is() {
    let mut world = World::new();
    let lamp = world.add(0x1234, "lamp", false);
    world.report(lamp, ON_OFF);
    world.run(Duration::from_secs(3));
    assert!(view(&world, lamp).interviewed);
}

#[test]
fn a_restart_finds_all_again() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).on = true;
    world.report(lamp, ON_OFF);
    world.network.handle_shutdown();
    world.collect();
    let documents: Vec<_> = world.saved.values().cloned().collect();
    let mut again = World::of(&documents);
    again.devices = world.devices;
    let view = view(&again, lamp);
    assert_eq!((view.interviewed, view.state["state"].as_str()), (true, Some("ON")));
    assert!(again.set_one(lamp, json!({"state": "OFF"})).is_ok());
    let broken = World::of(&[json!({"version": 9}), json!("nonsense"), json!({"version": 1})]);
    assert_eq!(broken.network.devices().count(), 0);
}

#[test]
fn silence_is_noticed_and_a_word_ends_it() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.run(Duration::from_secs(1300));
    assert_eq!(view(&world, lamp).available, Some(true), "it answered when it was asked");
    world.real(lamp).deaf = true;
    world.run(Duration::from_secs(1300));
    assert_eq!(view(&world, lamp).available, Some(false));
    assert!(world.events.contains(&Event::Availability { ieee: lamp, available: false }));
    world.report(lamp, ON_OFF);
    assert_eq!(view(&world, lamp).available, Some(true));
}

#[test]
fn a_device_is_sent_away_or_forgotten() {
    let mut world = World::new();
    let (lamp, broken) = (world.join(0x1234, "lamp"), world.join(0x2345, "lamp"));
    let id = world.request(Request::Remove { ieee: lamp, force: false });
    world.run(Duration::from_secs(1));
    assert_eq!(world.answer(id), Some(Ok(Reply::Nothing)));
    assert!(world.events.contains(&Event::Left { ieee: lamp }) && !world.saved.contains_key(&lamp));

    world.real(broken).deaf = true;
    let id = world.request(Request::Remove { ieee: broken, force: false });
    world.run(Duration::from_secs(20));
    assert!(matches!(world.answer(id), Some(Err(error)) if error.code == ErrorCode::DeviceUnreachable));
    assert!(world.saved.contains_key(&broken), "it may come back");
    let id = world.request(Request::Remove { ieee: broken, force: true });
    world.run(Duration::from_secs(20));
    assert_eq!(world.answer(id), Some(Ok(Reply::Nothing)));
    assert!(!world.saved.contains_key(&broken));
}

#[test]
fn one_that_leaves_by_itself_is_gone_and_what_waited_for_it_fails() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.real(lamp).deaf = true;
    let set = json!({"state": "ON"}).as_object().expect("an object").clone();
    let id = world.request(Request::Set { targets: vec![lamp], set, group: None });
    let nwk = Nwk(0x1234);
    world.come(Duration::from_millis(1), NcpEvent::Left { ieee: lamp, nwk, rejoin: false });
    world.run(Duration::from_secs(1));
    let Some(Ok(Reply::Set(ends))) = world.answer(id) else { panic!("no answer") };
    assert_eq!(ends[0].as_ref().map_err(|error| error.code), Err(ErrorCode::DeviceUnreachable));
    assert_eq!(world.network.devices().count(), 0);
}

#[test]
fn the_door_is_open_for_a_while_and_closes_by_itself() {
    let mut world = World::new();
    let id = world.request(Request::Pairing { seconds: 3, via: None, install_code: None });
    world.run(Duration::from_secs(1));
    assert_eq!(world.answer(id), Some(Ok(Reply::Nothing)));
    world.run(Duration::from_secs(5));
    assert_eq!(world.permit, [3, 0]);
    let news = pairing(&world);
    assert_eq!(news.first(), Some(&Pairing::Open { seconds_left: 3 }));
    assert_eq!(news.last(), Some(&Pairing::Closed));
    assert!(news.contains(&Pairing::Open { seconds_left: 1 }), "{news:?}");
}

#[test]
fn one_that_is_reset_and_joins_anew_is_set_up_anew() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    world.request(Request::Pairing { seconds: 60, via: None, install_code: None });
    world.run(Duration::from_secs(1));
    (world.real(lamp).reports, world.real(lamp).nwk) = (false, Nwk(0x7777));
    world.real(lamp).bound.clear();
    world.come(Duration::ZERO, NcpEvent::Joined { ieee: lamp, nwk: Nwk(0x7777), parent: None });
    world.run(Duration::from_millis(10));
    world.announce(lamp);
    world.run(Duration::from_secs(3));
    assert!(world.real(lamp).reports && world.real(lamp).bound.contains(&ON_OFF));
}

#[test]
fn rubbish_from_the_air_does_no_harm() {
    let mut world = World::new();
    let lamp = world.join(0x1234, "lamp");
    for cluster in [0, 4, 6, 0x0019, 0x0500, 0xef00, 0xffff] {
        for length in 0..40usize {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
            let event = super::air::incoming(
                Nwk(0x1234),
                crate::zigbee::types::Endpoint(1),
                ClusterId(cluster),
                payload.clone(),
            );
            world.come(Duration::ZERO, event);
            for cluster in [0x0013, 0x8000, 0x8001, 0x8002, 0x8004, 0x8031] {
                let event = NcpEvent::Zdo { from: Nwk(0x1234), cluster: ClusterId(cluster), payload: payload.clone() };
                world.come(Duration::ZERO, event);
            }
        }
    }
    world.run(Duration::from_secs(5));
    assert!(world.set_one(lamp, json!({"state": "ON"})).is_ok());
    assert!(!world.network.devices().any(|view| view.ieee == COORDINATOR));
}
