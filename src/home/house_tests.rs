//! The house as a state machine: what sources tell, in any order, against a plain account of the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::home::testing::{bulb, climate, contact, fields, id, lamp_with_colour, plug};

fn home(devices: Vec<DeviceInfo>) -> Home {
    let mut home = Home::new([Backend::Zigbee, Backend::Zigbee2mqtt]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Up), 1);
    home.handle(1, SourceEvent::Radio(RadioStatus::Up), 1);
    home.handle(0, SourceEvent::All(devices), 1);
    home.news.clear();
    home
}

fn named(name: &str, info: DeviceInfo) -> DeviceInfo {
    DeviceInfo { name: Some(name.into()), ..info }
}

fn names(home: &mut Home) -> Vec<String> {
    home.list().iter().map(|device| device.name.to_string()).collect()
}

fn state(home: &Home, of: &str) -> Map<String, Value> {
    home.device(&id(of)).expect("it is there").state.clone()
}

#[test]
fn a_device_gets_a_better_name_when_it_has_told_what_it_is() {
    let mut home = home(vec![bulb("0x1")]);
    let fresh = DeviceInfo { interviewed: false, capabilities: Vec::new(), ..bulb("0x2") };
    home.handle(0, SourceEvent::Device(Box::new(fresh)), 2);
    assert_eq!(names(&mut home), ["Bulb", "New device"]);
    assert!(!home.unsaved.records.contains("0x2"), "a name for now is not written");
    home.handle(0, SourceEvent::Device(Box::new(bulb("0x2"))), 3);
    assert_eq!(names(&mut home), ["Bulb", "Bulb 2"]);
    assert!(home.unsaved.records.contains("0x2"));
    // It tells more: its name stays.
    home.handle(0, SourceEvent::Device(Box::new(lamp_with_colour("0x2"))), 4);
    assert_eq!(names(&mut home), ["Bulb", "Bulb 2"]);
}

#[test]
fn the_newest_word_on_a_name_counts_the_owners_or_the_sources() {
    let mut home = home(Vec::new());
    let tell = |home: &mut Home, name: &str| home.handle(1, SourceEvent::All(vec![named(name, bulb("0x1"))]), 2);
    tell(&mut home, "kitchen_lamp");
    assert_eq!(names(&mut home), ["kitchen_lamp"]);
    let mut record = (**home.record("0x1").expect("a record")).clone();
    (record.name, record.revision) = ("Lamp".into(), 7);
    home.apply_record("0x1", Some(record));
    tell(&mut home, "kitchen_lamp");
    assert_eq!(names(&mut home), ["Lamp"], "what the source always said is no news");
    tell(&mut home, "hall\u{202e}_lamp");
    assert_eq!(names(&mut home), ["hall_lamp"]);
    assert_eq!(home.record("0x1").expect("a record").revision, 7, "it is the same record");
    home.handle(0, SourceEvent::All(vec![named("HALL_lamp", plug("0x2"))]), 2);
    assert_eq!(names(&mut home), ["hall_lamp", "HALL_lamp 2"]);
}

#[test]
fn a_radio_that_is_down_takes_its_devices_along_and_brings_them_back_as_they_were() {
    let mut home = home(vec![bulb("0x1"), contact("0x2")]);
    home.handle(0, SourceEvent::Availability { id: id("0x2"), available: false }, 2);
    let available = |home: &Home| ["0x1", "0x2"].map(|one| home.device(&id(one)).expect("there").available);
    assert_eq!(available(&home), [Some(true), Some(false)]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Down { why: "unplugged".into() }), 3);
    assert_eq!(available(&home), [Some(false), Some(false)]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Starting), 4);
    assert_eq!(available(&home), [None, None]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Up), 5);
    assert_eq!(available(&home), [Some(true), Some(false)]);
}

#[test]
fn two_sources_do_not_share_a_device() {
    let mut home = home(vec![bulb("0x1")]);
    home.handle(1, SourceEvent::All(vec![named("other", plug("0x1")), named("mine", plug("0x2"))]), 2);
    let bulb = home.device(&id("0x1")).expect("there");
    assert_eq!((bulb.backend, &*bulb.name), (Backend::Zigbee, "Bulb"));
    for event in [
        SourceEvent::State { id: id("0x1"), changes: fields(json!({"state": "ON"})), is_old: false },
        SourceEvent::Availability { id: id("0x1"), available: false },
        SourceEvent::Left(id("0x1")),
    ] {
        home.handle(1, event, 3);
    }
    let bulb = home.device(&id("0x1")).expect("there");
    assert_eq!((bulb.available, bulb.state.len()), (Some(true), 0));
    // Its radio is gone: then the other has it.
    home.handle(0, SourceEvent::Radio(RadioStatus::Refused { why: "another network".into() }), 4);
    home.handle(1, SourceEvent::All(vec![named("other", plug("0x1"))]), 5);
    assert_eq!(home.device(&id("0x1")).expect("there").backend, Backend::Zigbee2mqtt);
    assert_eq!(home.device(&id("0x2")), None);
}

#[test]
fn an_old_value_is_shown_and_not_recorded() {
    let mut home = home(vec![climate("0x1")]);
    let old = |changes| SourceEvent::State { id: id("0x1"), changes: fields(changes), is_old: true };
    home.handle(0, old(json!({"temperature": 20, "action": "on"})), 5);
    assert_eq!((state(&home, "0x1"), home.recorder.waiting()), (fields(json!({"temperature": 20})), 0));
    assert_eq!(home.device(&id("0x1")).expect("there").last_seen_ms, None);
    home.handle(0, SourceEvent::State { id: id("0x1"), changes: fields(json!({"temperature": 21})), is_old: false }, 6);
    assert_eq!(home.recorder.waiting(), 1);
    assert_eq!(home.device(&id("0x1")).expect("there").last_seen_ms, Some(6));
    // Told again what it is, it keeps what it reported.
    home.handle(0, SourceEvent::Device(Box::new(DeviceInfo { supported: false, ..climate("0x1") })), 7);
    assert_eq!(state(&home, "0x1"), fields(json!({"temperature": 21})));
}

#[test]
fn events_are_bounded_like_all_that_a_source_tells() {
    let mut home = home(vec![plug("0x1")]);
    let mut changes: Map<_, _> = (0..1_000).map(|at| (format!("action_{at}"), json!("x"))).collect();
    changes.insert(format!("action_{}", "x".repeat(100_000)), json!("x"));
    home.handle(0, SourceEvent::State { id: id("0x1"), changes, is_old: false }, 2);
    let Some(News::Device(change)) = home.news.pop() else { panic!("it is told") };
    assert!((1..=told::EVENTS_LEN_MAX).contains(&change.changes.len()), "{}", change.changes.len());
    assert!(change.changes.keys().all(|property| property.len() <= told::PROPERTY_BYTES_MAX));
}

#[test]
fn what_is_wished_goes_when_it_is_reported_and_a_toggle_is_no_wish() {
    let mut home = home(vec![bulb("0x1")]);
    let lamp = id("0x1");
    let wish = |property: &str, value: Value| [(property.to_owned(), Some(value))];
    home.wish(&lamp, wish("state", json!("TOGGLE")));
    assert!(home.news.is_empty());
    home.wish(&lamp, wish("state", json!("ON")));
    home.wish(&lamp, wish("brightness", json!(9)));
    let desired = |home: &Home| home.device(&lamp).expect("there").desired.clone();
    assert_eq!(desired(&home), fields(json!({"state": "ON", "brightness": 9})));
    home.report(&lamp, fields(json!({"brightness": 5})), Some(2));
    assert_eq!(desired(&home), fields(json!({"state": "ON", "brightness": 9})));
    home.report(&lamp, fields(json!({"state": "ON"})), Some(3));
    assert_eq!(desired(&home), fields(json!({"brightness": 9})));
    home.wish(&lamp, wish("state", json!("ON")));
    assert_eq!(desired(&home), fields(json!({"brightness": 9})), "it is so already");
    home.wish(&lamp, [("brightness".to_owned(), None)]);
    assert!(desired(&home).is_empty());
}

#[test]
fn there_is_room_for_so_many_and_the_longest_absent_is_forgotten() {
    let mut home = home((0..DEVICES_HERE_MAX + 50).map(|n| bulb(&format!("0x{n}"))).collect());
    assert_eq!(home.all_devices().count(), DEVICES_HERE_MAX);
    assert_eq!(names(&mut home).len(), DEVICES_HERE_MAX);
    for (id, revision) in (0..DEVICES_HERE_MAX).map(|n| (format!("0x{n}"), n as u64 + 1)) {
        let record = DeviceRecord { revision, ..(**home.record(&id).expect("a record")).clone() };
        home.apply_record(&id, Some(record));
    }
    home.unsaved = Unsaved::default();
    home.handle(0, SourceEvent::All((0..RECORDS_MAX).map(|n| bulb(&format!("1x{n}"))).collect()), 2);
    assert_eq!(home.all_devices().count(), DEVICES_HERE_MAX);
    assert!(home.record("0x0").is_none() && home.unsaved.records.contains("0x0"), "the oldest is to be forgotten");
    assert!(home.record(&format!("0x{}", DEVICES_HERE_MAX - 1)).is_some());
    assert!(home.record("1x0").is_some());
}

/// What can happen, with devices and names from a few.
#[derive(Debug, Clone)]
enum Happens {
    All(usize, Vec<(u8, Option<String>)>),
    Device(usize, u8, Option<String>, bool),
    Left(usize, u8),
    State(usize, u8, u8),
    Radio(usize, bool),
    Rename(u8, String),
    Removed(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    let name =
        || prop::option::of(prop::sample::select(vec!["lamp", "LAMP", "a\nb", "", "lamp 2"]).prop_map(String::from));
    prop_oneof![
        (0_usize..2, prop::collection::vec((0_u8..6, name()), 0..6))
            .prop_map(|(source, all)| Happens::All(source, all)),
        (0_usize..2, 0_u8..6, name(), any::<bool>())
            .prop_map(|(source, one, name, is_known)| Happens::Device(source, one, name, is_known)),
        (0_usize..2, 0_u8..6).prop_map(|(source, one)| Happens::Left(source, one)),
        (0_usize..2, 0_u8..6, any::<u8>()).prop_map(|(source, one, value)| Happens::State(source, one, value)),
        (0_usize..2, any::<bool>()).prop_map(|(source, is_up)| Happens::Radio(source, is_up)),
        (0_u8..6, "[a-c]{1,2}").prop_map(|(one, name)| Happens::Rename(one, name)),
        (0_u8..6).prop_map(Happens::Removed),
    ]
}

proptest! {
    /// Whatever happens: names are unique, and who only listens to the news knows exactly the devices that are there.
    #[test]
    fn whoever_hears_the_news_knows_the_house(all in prop::collection::vec(happens(), 1..60)) {
        let mut home = home(Vec::new());
        let mut heard: BTreeMap<DeviceId, Arc<Device>> = BTreeMap::new();
        let mut last_values: BTreeMap<DeviceId, Map<String, Value>> = BTreeMap::new();
        for (at, one) in all.into_iter().enumerate() {
            let device = |one: u8| id(&format!("0x{one}"));
            let info = |one: u8, name: Option<String>, interviewed| {
                DeviceInfo { name: name.map(Into::into), interviewed, ..bulb(&format!("0x{one}")) }
            };
            match one {
                Happens::All(source, all) => {
                    let infos = all.into_iter().map(|(one, name)| info(one, name, true)).collect();
                    home.handle(source, SourceEvent::All(infos), at as u64);
                }
                Happens::Device(source, one, name, is_known) => {
                    home.handle(source, SourceEvent::Device(Box::new(info(one, name, is_known))), at as u64);
                }
                Happens::Left(source, one) => home.handle(source, SourceEvent::Left(device(one)), at as u64),
                Happens::State(source, one, value) => {
                    let changes = fields(json!({"brightness": value, "state": if value > 99 { "ON" } else { "OFF" }}));
                    home.handle(source, SourceEvent::State { id: device(one), changes, is_old: false }, at as u64);
                }
                Happens::Radio(source, is_up) => {
                    let status = if is_up { RadioStatus::Up } else { RadioStatus::Down { why: "x".into() } };
                    home.handle(source, SourceEvent::Radio(status), at as u64);
                }
                Happens::Rename(one, name) => {
                    // As an owner does it: only to a name that is free.
                    let record = home.record(&format!("0x{one}")).cloned();
                    if let Some(record) = record.filter(|record| !home.is_name_taken(&name, Some(&record.id))) {
                        home.apply_record(&record.id, Some(DeviceRecord { name, revision: at as u64, ..(*record).clone() }));
                    }
                }
                Happens::Removed(one) => {
                    home.remove(&device(one));
                    home.apply_record(&format!("0x{one}"), None);
                }
            }
            for news in home.news.drain(..) {
                match news {
                    News::Device(change) => {
                        prop_assert_eq!(change.is_new, !heard.contains_key(&change.device.id));
                        let values = last_values.entry(change.device.id.clone()).or_default();
                        for (property, value) in &change.changes {
                            values.insert(property.clone(), value.clone());
                        }
                        heard.insert(change.device.id.clone(), Arc::clone(&change.device));
                    }
                    News::Removed { id, .. } => {
                        prop_assert!(heard.remove(&id).is_some());
                        last_values.remove(&id);
                    }
                    News::Pairing { .. } | News::Radio { .. } => {}
                }
            }
            let here: BTreeMap<_, _> = home.all_devices().map(|one| (one.id.clone(), Arc::clone(one))).collect();
            let plain = |all: &BTreeMap<DeviceId, Arc<Device>>| -> Vec<Device> {
                // When it was last seen is no news.
                all.values().map(|one| Device { last_seen_ms: None, ..(**one).clone() }).collect()
            };
            prop_assert_eq!(plain(&here), plain(&heard));
            for (id, device) in &here {
                prop_assert_eq!(&device.state, &last_values.get(id).cloned().unwrap_or_default());
            }
            let mut folded: Vec<_> = here.values().map(|one| fold(&one.name)).collect();
            folded.sort();
            let before = folded.len();
            folded.dedup();
            prop_assert_eq!(folded.len(), before, "names are unique");
            prop_assert_eq!(home.list().len(), here.len());
        }
    }
}

/// After a crash the stick's own memory of a device may be half an hour old, and the house's three minutes.
#[test]
fn what_a_source_remembers_counts_for_less_than_what_was_heard_since() {
    let mut home = home(Vec::new());
    let sensor = |state: Value, last_seen_ms: UnixMillis| DeviceInfo {
        state: fields(state),
        last_seen_ms: Some(last_seen_ms),
        ..climate("0x5")
    };
    home.remember(Remembered { backend: Backend::Zigbee, info: sensor(json!({ "temperature": 21 }), 5_000_000) });
    let tell = |home: &mut Home, info: DeviceInfo| home.handle(0, SourceEvent::All(vec![info]), 6_000_000);
    tell(&mut home, sensor(json!({ "temperature": 17, "humidity": 40 }), 4_000_000));
    assert_eq!(state(&home, "0x5"), fields(json!({ "temperature": 21, "humidity": 40 })));
    assert_eq!(home.device(&id("0x5")).expect("there").last_seen_ms, Some(5_000_000));
    tell(&mut home, sensor(json!({ "temperature": 18 }), 5_000_000 - OLDER_MS));
    assert_eq!(state(&home, "0x5")["temperature"], 18, "two clocks are not read at once");
    tell(&mut home, sensor(json!({ "temperature": 19 }), 5_500_000));
    assert_eq!(state(&home, "0x5")["temperature"], 19);
}
