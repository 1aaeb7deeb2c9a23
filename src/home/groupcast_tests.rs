//! Groups of the radio follow the house, are asked for again when they were refused, and never count before they are confirmed.

use super::*;
use crate::home::source::SourceEvent;
use crate::home::testing::{bulb, contact, id, plug};
use crate::home::{Backend, DeviceInfo};
use crate::store::{DeviceRecord, Group, Room};

const SECOND: Duration = Duration::from_secs(1);

fn home(backend: Backend) -> Home {
    let mut home = Home::new([backend]);
    home.handle(0, SourceEvent::Radio(RadioStatus::Up), 1);
    let battery = DeviceInfo { power: Power::Battery, ..bulb("4") };
    home.handle(0, SourceEvent::All(vec![bulb("1"), bulb("2"), bulb("3"), battery, plug("5"), contact("6")]), 1);
    home.apply_room(
        "den",
        Some(Room { id: "den".into(), name: "Den".into(), zigbee_group: Some(0x4000), ..Room::default() }),
    );
    for device in 1..=6 {
        let record = (**home.record(&device.to_string()).expect("a record")).clone();
        home.apply_record(&device.to_string(), Some(DeviceRecord { room: Some("den".into()), ..record }));
    }
    home.take_strangers();
    home
}

fn ids(all: &[&str]) -> Vec<DeviceId> {
    all.iter().map(|one| id(one)).collect()
}

#[test]
fn the_lights_of_a_room_are_a_group_once_they_have_said_so() {
    let mut home = home(Backend::Zigbee);
    let mut groups = Groupcast::default();
    let lights = ids(&["1", "2", "3"]);
    let (source, wish) = groups.next(&home, SECOND).expect("a group to be made");
    assert_eq!((source, &wish), (0, &Membership { group: 0x4000, members: lights.clone() }));
    assert_eq!(groups.reaching(0, lights.iter()), None, "nobody has said so yet");
    groups.confirm(source, wish);
    assert_eq!((groups.next(&home, SECOND), groups.reaching(0, lights.iter())), (None, Some(0x4000)));
    assert_eq!(groups.reaching(0, lights[..2].iter()), None, "not for a part of them");
    assert_eq!(groups.reaching(1, lights.iter()), None, "not through another radio");
    // One that was reset is in no group until it is put in again.
    groups.doubt(&id("2"));
    assert_eq!(groups.reaching(0, lights.iter()), None);
    let (source, wish) = groups.next(&home, SECOND).expect("to be made again");
    groups.confirm(source, wish);
    // A lamp moves out: two are no group, and the one that was is taken down.
    home.handle(0, SourceEvent::Left(id("3")), 2);
    let (source, wish) = groups.next(&home, SECOND).expect("a group to be emptied");
    assert_eq!(wish, Membership { group: 0x4000, members: Vec::new() });
    assert_eq!(groups.reaching(0, ids(&["1", "2"]).iter()), None);
    groups.confirm(source, wish);
    assert_eq!(groups.next(&home, SECOND), None);
}

#[test]
fn what_was_refused_is_asked_for_again_later_and_later() {
    let home = home(Backend::Zigbee);
    let mut groups = Groupcast::default();
    let mut now = SECOND;
    for wait in [60, 120, 240] {
        assert!(groups.next(&home, now).is_some());
        groups.refuse(0, 0x4000, false, now);
        assert_eq!(groups.next(&home, now), None);
        assert_eq!(groups.timeout(now), Some(now + wait * SECOND));
        now += wait * SECOND;
        assert_eq!(groups.timeout(now), None, "it is time");
    }
    for _ in 0..40 {
        groups.refuse(0, 0x4000, false, now);
    }
    assert_eq!(groups.timeout(now), Some(now + AGAIN_MAX));
    groups.refuse(0, 0x4000, true, now);
    assert_eq!((groups.next(&home, now + 100 * AGAIN_MAX), groups.timeout(now)), (None, None));
}

#[test]
fn a_group_of_the_owners_has_its_members_but_for_those_that_sleep() {
    let mut home = home(Backend::Zigbee);
    let members = ["1", "2", "4", "5", "6", "9"].map(String::from).to_vec();
    let group = Group { id: "g".into(), name: "G".into(), members, zigbee_group: Some(0x4001), ..Group::default() };
    home.apply_group("g", Some(group));
    let mut groups = Groupcast::default();
    let (source, wish) = groups.next(&home, SECOND).expect("the room's");
    groups.confirm(source, wish);
    let (_, wish) = groups.next(&home, SECOND).expect("the group's");
    assert_eq!(wish, Membership { group: 0x4001, members: ids(&["1", "2", "5"]) });
    assert_eq!(free_number(&home), Some(0x4002));
}

#[test]
fn another_programs_groups_are_left_alone_and_nobody_is_asked_through_a_radio_that_is_down() {
    assert_eq!(Groupcast::default().next(&home(Backend::Zigbee2mqtt), SECOND), None);
    let mut down = home(Backend::Zigbee);
    down.handle(0, SourceEvent::Radio(RadioStatus::Starting), 2);
    assert_eq!(Groupcast::default().next(&down, SECOND), None);
}
