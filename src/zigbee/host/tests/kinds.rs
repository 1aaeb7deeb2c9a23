//! Each kind of device with what is its own: those that sleep, speak in data points, move slowly, or are in no catalogue; and those
//! that change their place. What the host says is held against the truth of the simulated house.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::zigbee::network::RequestId;

/// Clusters and attributes of the truth.
const POWER: (u16, u16) = (0x0001, 0x0021);
const LEVEL: (u16, u16) = (0x0008, 0x0000);
const CLOSED_PERCENT: (u16, u16) = (0x0102, 0x0008);
const TEMPERATURE: (u16, u16) = (0x0402, 0x0000);
const ENROLLED: (u16, u16) = (0x0500, 0x0000);
const CIE: (u16, u16) = (0x0500, 0x0010);

fn house(names: &[&str], seed: u64) -> House {
    let mut house = House::settled(SimConfig { devices: models(names), ..SimConfig::default() }, seed);
    house.run(Duration::from_secs(5));
    house
}

fn order(house: &mut House, words: &str) {
    house.sim.order(house.now, words).expect("an order");
    house.run(Duration::from_secs(1));
}

fn truth(house: &House, name: &str, (cluster, attribute): (u16, u16)) -> Option<i64> {
    house.sim.truth(name, cluster, attribute)
}

fn state(house: &House, name: &str) -> serde_json::Map<String, Value> {
    house.view(name).state
}

/// All that was told of one property of a device, in its order.
fn told(house: &House, name: &str, property: &str) -> Vec<Value> {
    let of = |event: &Event| match event {
        Event::State { ieee, changes } if *ieee == house.ieee(name) => changes.get(property).cloned(),
        _ => None,
    };
    house.events.iter().filter_map(of).collect()
}

fn read(house: &mut House, name: &str, property: &str) -> RequestId {
    let (ieee, properties) = (house.ieee(name), vec![property.into()]);
    house.request(Request::Read { ieee, properties })
}

fn value(house: &House, id: RequestId, property: &str) -> Option<Value> {
    match house.answer(id)? {
        Ok(Reply::Values(values)) => values.get(property).cloned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contact_is_enrolled_reports_and_is_asked_when_it_wakes() {
    let mut house = house(&["contact"], 41);
    assert_eq!(truth(&house, "contact", ENROLLED), Some(1), "it knows its zone");
    let hub = house.sim.ieee().0 as i64;
    assert_eq!(truth(&house, "contact", CIE), Some(hub), "it knows whom to tell");
    house.events.clear();
    for (order_, contact) in [("open contact", false), ("close contact", true), ("open contact", false)] {
        order(&mut house, order_);
        assert_eq!(state(&house, "contact")["contact"], contact, "{order_}");
    }
    assert_eq!(told(&house, "contact", "contact"), [json!(false), json!(true), json!(false)]);
    // Long asleep: what is asked waits, and is not lost.
    house.run(Duration::from_secs(25));
    let id = read(&mut house, "contact", "battery");
    house.run(Duration::from_secs(2));
    assert_eq!(house.answer(id), None, "it sleeps");
    order(&mut house, "close contact");
    let half_percent = truth(&house, "contact", POWER).expect("it has a battery");
    assert_eq!(value(&house, id, "battery").and_then(|value| value.as_f64()), Some(half_percent as f64 / 2.0));
}

#[test]
fn a_remote_tells_each_press_by_name_and_once() {
    let mut house = house(&["remote"], 42);
    house.events.clear();
    for button in ["on", "on", "off", "up", "stop", "down", "stop", "off"] {
        order(&mut house, &format!("press remote {button}"));
    }
    let names =
        ["on", "on", "off", "brightness_move_up", "brightness_stop", "brightness_move_down", "brightness_stop", "off"];
    assert_eq!(told(&house, "remote", "action"), names);
    assert!(!state(&house, "remote").contains_key("action"), "what has happened is not how it is");
}

#[test]
fn presses_that_arrive_twice_are_told_once() {
    let mut house = house(&["remote"], 43);
    house.events.clear();
    house.sim.set_air_faults(AirFaults { duplicated: 1.0, ..AirFaults::default() });
    for button in ["on", "on", "off"] {
        order(&mut house, &format!("press remote {button}"));
    }
    assert_eq!(told(&house, "remote", "action"), ["on", "on", "off"]);
}

#[test]
fn a_device_of_data_points_is_set_and_told_of() {
    let mut house = house(&["tuya"], 44);
    let point = |house: &House, number: u8| {
        let value = &house.sim.device("tuya").expect("it is there").data_points[&number].1;
        value.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    for is_on in [true, false, true] {
        let word = if is_on { "ON" } else { "OFF" };
        let (end, _) = house.set("tuya", json!({"state": word}));
        assert_eq!((&end.expect("done")["state"], point(&house, 1)), (&json!(word), u64::from(is_on)));
    }
    let (end, _) = house.set("tuya", json!({"brightness": 254}));
    assert_eq!((&end.expect("done")["brightness"], point(&house, 3)), (&json!(254), 1000));
    let (end, _) = house.set("tuya", json!({"brightness": 127}));
    assert_eq!((&end.expect("done")["brightness"], point(&house, 3)), (&json!(127), 500));
    house.events.clear();
    order(&mut house, "turn tuya 1 0");
    order(&mut house, "turn tuya 3 1000");
    assert_eq!((&state(&house, "tuya")["state"], &state(&house, "tuya")["brightness"]), (&json!("OFF"), &json!(254)));
    house.sim.set_quirks("tuya", Quirks { silent: true, ..Quirks::default() });
    let (end, _) = house.set("tuya", json!({"state": "ON"}));
    end.expect_err("it has told nothing back");
    assert_eq!(house.sim.violations(), 0);
}

#[test]
fn a_cover_is_where_it_says_and_not_where_it_was_told_to_go() {
    let mut house = house(&["cover"], 45);
    for position in [30, 80, 0] {
        house.events.clear();
        let (end, took) = house.set("cover", json!({"position": position}));
        assert_eq!(end.expect("it has begun").get("position"), None, "it is not there yet, and nobody says so");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_ne!(truth(&house, "cover", CLOSED_PERCENT), Some(100 - position));
        house.run(Duration::from_secs(60));
        assert_eq!(truth(&house, "cover", CLOSED_PERCENT), Some(100 - position));
        assert_eq!(state(&house, "cover")["position"], position);
        assert_eq!(told(&house, "cover", "position").last(), Some(&json!(position)));
    }
    // It says yes and stays where it is.
    house.sim.set_quirks("cover", Quirks { lies: true, ..Quirks::default() });
    let (end, _) = house.set("cover", json!({"position": 60}));
    assert!(end.is_ok_and(|state| !state.contains_key("position")), "more than its yes is not known");
    house.run(Duration::from_secs(60));
    assert_eq!(truth(&house, "cover", CLOSED_PERCENT), Some(100));
    assert_eq!(state(&house, "cover")["position"], 0);
    house.sim.set_quirks("cover", Quirks { rejects: Some(0x87), ..Quirks::default() });
    let (end, _) = house.set("cover", json!({"position": 60}));
    assert_eq!(end.map_err(|error| error.code), Err(ErrorCode::DeviceRejected));
}

#[test]
fn one_that_no_catalogue_knows_is_of_use() {
    let mut house = house(&["unknown"], 46);
    let view = house.view("unknown");
    assert!(!view.supported && view.interviewed);
    for property in ["state", "brightness", "temperature"] {
        assert!(view.capabilities.iter().any(|one| *one.property == *property), "{property}");
    }
    let (end, _) = house.set("unknown", json!({"state": "ON", "brightness": 90}));
    let done = end.expect("done");
    assert_eq!((&done["state"], &done["brightness"]), (&json!("ON"), &json!(90)));
    assert_eq!((truth(&house, "unknown", (ON_OFF, 0)), truth(&house, "unknown", LEVEL)), (Some(1), Some(90)));
    house.sim.order(house.now, "temperature unknown 31.5").expect("an order");
    let id = read(&mut house, "unknown", "temperature");
    house.until(Duration::from_secs(10), |house| house.answer(id).is_some());
    assert_eq!(value(&house, id, "temperature"), Some(json!(31.5)));
    // And told by itself, since it was asked to.
    house.sim.order(house.now, "temperature unknown 12").expect("an order");
    house.run(Duration::from_secs(120));
    assert_eq!(state(&house, "unknown")["temperature"], json!(12));
}

#[test]
fn a_child_that_moves_without_a_word_is_found_below_its_new_parent() {
    let mut house = house(&["router", "router", "attic"], 47);
    let ieee = house.ieee("attic");
    for (old, new, warmth) in [("router", "router2", 17.5), ("router2", "router", 23.5)] {
        order(&mut house, &format!("plug {new}"));
        order(&mut house, &format!("move attic {new}"));
        order(&mut house, &format!("unplug {old}"));
        house.sim.order(house.now, &format!("temperature attic {warmth}")).expect("an order");
        // What it is asked arrives: all the questions of an interview. And what it tells.
        let before = house.interviewed();
        assert_eq!(house.ask(Request::Interview { ieee }), Ok(Reply::Nothing));
        house.until(Duration::from_secs(240), |house| house.interviewed() > before);
        house.run(Duration::from_secs(60));
        assert_eq!(state(&house, "attic")["temperature"], json!(warmth), "{new}");
        assert_eq!(truth(&house, "attic", TEMPERATURE), Some((warmth * 100.0) as i64));
    }
    // Below the stick itself, which does not know that it has a new child: it is heard all the same.
    order(&mut house, "move attic coordinator");
    house.sim.order(house.now, "temperature attic 5.5").expect("an order");
    house.run(Duration::from_secs(120));
    assert_eq!(state(&house, "attic")["temperature"], json!(5.5));
    assert_eq!(house.sim.violations(), 0);
}

#[test]
fn what_waits_for_one_that_comes_back_with_another_address_reaches_it() {
    let mut house = house(&["bulb", "contact"], 48);
    let before = house.sim.device("bulb").and_then(|bulb| bulb.nwk());
    let (targets, set) = (vec![house.ieee("bulb")], json!({"state": "ON"}).as_object().expect("an object").clone());
    house.set("bulb", json!({"state": "OFF"})).0.expect("it is well");
    house.sim.set_air_faults(AirFaults { lost: 1.0, ..AirFaults::default() });
    let id = house.request(Request::Set { targets, set, group: None });
    house.run(Duration::from_millis(300));
    assert_eq!((house.answer(id), truth(&house, "bulb", (ON_OFF, 0))), (None, Some(0)));
    house.sim.set_air_faults(AirFaults::default());
    house.sim.rejoin(house.now, "bulb");
    house.until(Duration::from_secs(30), |house| house.answer(id).is_some());
    let Some(Ok(Reply::Set(ends))) = house.answer(id) else { panic!("{:?}", house.answer(id)) };
    assert_eq!(ends[0].as_ref().expect("done")["state"], "ON");
    assert_eq!(truth(&house, "bulb", (ON_OFF, 0)), Some(1));
    assert_ne!(house.sim.device("bulb").and_then(|bulb| bulb.nwk()), before, "it has another address");
    // One that sleeps is reached at its new address when it is back.
    house.run(Duration::from_secs(25));
    let id = read(&mut house, "contact", "battery");
    house.run(Duration::from_secs(2));
    assert_eq!(house.answer(id), None);
    house.sim.rejoin(house.now, "contact");
    house.until(Duration::from_secs(60), |house| house.answer(id).is_some());
    assert!(value(&house, id, "battery").is_some());
}
