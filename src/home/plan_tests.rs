//! Who is meant by a wish, against a plain account of it, and that nobody reaches what is not theirs.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::common::capability::Domain;
use crate::common::who::{Door, Role};
use crate::home::source::{Backend, RadioStatus, SourceEvent};
use crate::home::testing::{bulb, contact, fields, id, lamp_with_colour, plug};
use crate::store::DeviceRecord;

/// Eight devices in two rooms and none; a group of each kind.
fn house() -> Home {
    let mut home = Home::new([Backend::Zigbee]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Up), 1);
    let all =
        vec![bulb("0"), lamp_with_colour("1"), plug("2"), contact("3"), bulb("4"), plug("5"), contact("6"), bulb("7")];
    home.handle(0, SourceEvent::All(all), 1);
    for room in ["kitchen", "study"] {
        home.apply_room(room, Some(Room { id: room.into(), name: room.to_uppercase(), ..Room::default() }));
    }
    for device in 0..8 {
        let room = [Some("kitchen"), Some("study"), None][device % 3].map(String::from);
        let record = (**home.record(&device.to_string()).expect("a record")).clone();
        let record = DeviceRecord { room, hidden: device == 7, ..record };
        home.apply_record(&device.to_string(), Some(record));
    }
    for (group, members) in
        [("g-kitchen", vec!["0", "3", "6"]), ("g-all", vec!["0", "1", "2", "4"]), ("g-gone", vec!["9"])]
    {
        let members = members.into_iter().map(String::from).collect();
        home.apply_group(group, Some(Group { id: group.into(), name: group.into(), members, ..Group::default() }));
    }
    home
}

fn who(rooms: Option<&[&str]>) -> Principal {
    let rooms = rooms.map(|rooms| rooms.iter().map(|room| (*room).into()).collect());
    Principal { rooms, ..Principal::new("ann", Role::Member, Door::Rest) }
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.devices.iter().map(|planned| planned.device.id.0.to_string()).collect()
}

proptest! {
    #[test]
    fn a_selection_is_what_it_says(
        rooms in prop::option::of(prop::sample::subsequence(vec!["kitchen", "STUDY"], 0..=2)),
        room in prop::option::of(prop::sample::select(vec!["Kitchen", "study"])),
        domain in prop::option::of(prop::sample::select(vec![Domain::Light, Domain::Switch, Domain::Sensor])),
        except in prop::sample::subsequence(vec!["0", "1", "2", "g-kitchen"], 0..=4),
        property in prop::sample::select(vec![("state", json!("ON")), ("color_temp", json!(200)), ("brightness", json!(3))]),
    ) {
        let home = house();
        let who = who(rooms.as_deref());
        let selection = Selection { room: room.map(String::from), domain, except: except.iter().map(|one| one.to_string()).collect() };
        let wish = Wish { targets: Targets::Where(selection), set: fields(json!({ property.0: property.1 })) };
        let plan = home.plan(&who, &wish, &Groupcast::default());
        // The plain account.
        let may = |device: usize| match &rooms {
            None => true,
            Some(rooms) => match device % 3 {
                0 => rooms.contains(&"kitchen"),
                1 => rooms.contains(&"STUDY"),
                _ => false,
            },
        };
        let is_spared = |device: usize| except.iter().any(|one| match *one {
            "g-kitchen" => [0, 3, 6].contains(&device),
            one => one == device.to_string(),
        });
        let is_a = |device: usize| match device {
            0 | 1 | 4 | 7 => Domain::Light,
            2 | 5 => Domain::Switch,
            _ => Domain::Sensor,
        };
        let takes = |device: usize| match property.0 {
            "state" => is_a(device) != Domain::Sensor,
            "brightness" => is_a(device) == Domain::Light,
            _ => device == 1,
        };
        let meant: Vec<_> = (0..7)
            .filter(|device| may(*device) && !is_spared(*device) && takes(*device))
            .filter(|device| domain.is_none_or(|domain| is_a(*device) == domain))
            .filter(|device| room.is_none_or(|room| device % 3 == usize::from(room == "study")))
            .collect();
        // Whoever spares what they may not see is told that it is not there.
        let spares_others = except.iter().any(|one| match *one {
            "g-kitchen" => rooms.as_ref().is_some_and(|rooms| !rooms.contains(&"kitchen")),
            one => !may(one.parse().expect("a number")),
        });
        match plan {
            Ok(plan) => {
                let mut found = ids(&plan);
                found.sort();
                prop_assert_eq!(found, meant.iter().map(ToString::to_string).collect::<Vec<_>>());
                prop_assert!(!spares_others);
                let told: usize = plan.parts.iter().map(|part| part.members.len()).sum();
                prop_assert_eq!(told, meant.len());
            }
            Err(_) => {
                let no_room = room.is_some_and(|room| !may(usize::from(room == "study")));
                prop_assert!(meant.is_empty() || spares_others || no_room);
            }
        }
    }

    /// Whatever is asked by somebody of the kitchen, nothing elsewhere is planned.
    #[test]
    fn nobody_reaches_what_is_not_theirs(
        names in prop::collection::vec(prop::sample::select(vec!["0", "1", "2", "3", "Bulb", "bulb 2", "plug", "g-all", "g-kitchen", "g-gone"]), 1..5),
    ) {
        let home = house();
        let wish = Wish { targets: Targets::Named(names.iter().map(|name| name.to_string()).collect()), set: fields(json!({"state": "ON"})) };
        if let Ok(plan) = home.plan(&who(Some(&["Kitchen"])), &wish, &Groupcast::default()) {
            for id in ids(&plan) {
                prop_assert!(["0", "3", "6"].contains(&id.as_str()), "{}", id);
            }
        }
        prop_assert!(home.plan(&who(Some(&[])), &wish, &Groupcast::default()).is_err());
    }
}

#[test]
fn a_device_that_is_named_twice_is_told_once_and_all_of_it() {
    let home = house();
    let plan = |names: &[&str], set| {
        let wish =
            Wish { targets: Targets::Named(names.iter().map(|name| (*name).into()).collect()), set: fields(set) };
        home.plan(&who(None), &wish, &Groupcast::default())
    };
    let found = plan(&["bulb", "0", "g-all"], json!({"state": "ON"})).expect("a plan");
    assert_eq!(ids(&found), ["0", "1", "2", "4"]);
    // Of a group each takes what it can; who is named takes all or nothing is done.
    let found = plan(&["g-all"], json!({"brightness": 5})).expect("a plan");
    assert_eq!(ids(&found), ["0", "1", "4"]);
    assert_eq!(
        plan(&["g-all", "2"], json!({"brightness": 5})).map(drop).expect_err("a plug").code,
        ErrorCode::BadRequest
    );
    let gone = plan(&["g-gone"], json!({"state": "ON"})).map(drop).expect_err("nobody is in it");
    assert_eq!(gone.message, "There is no device in that group.");
}

#[test]
fn those_that_are_told_the_same_and_share_a_group_are_one_part() {
    let home = house();
    let mut groups = Groupcast::default();
    let members = vec![id("0"), id("1"), id("4")];
    groups.confirm(0, crate::home::Membership { group: 0x4000, members });
    let plan = |set| {
        let wish = Wish { targets: Targets::Named(vec!["g-all".into()]), set: fields(set) };
        home.plan(&who(None), &wish, &groups).expect("a plan").parts
    };
    let parts = plan(json!({"brightness": 5}));
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].group, parts[0].members.len()), (Some(0x4000), 3));
    // With the plug they are not the group's members: each by itself.
    let parts = plan(json!({"state": "ON"}));
    assert!(parts.len() == 4 && parts.iter().all(|part| part.group.is_none()));
    // Told different things (one has no colour), they do not share the wish.
    let parts = plan(json!({"brightness": 5, "color_temp": 200}));
    assert!(parts.len() == 3 && parts.iter().all(|part| part.group.is_none()));
}
