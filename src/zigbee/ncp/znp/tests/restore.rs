//! Backups, and their way onto other sticks.

use std::sync::Arc;

use super::super::records::*;
use super::*;
use crate::zigbee::ncp::backup::Backup;

fn read(backup: Option<Arc<str>>) -> Backup {
    let json = serde_json::from_str(&backup.expect("a backup")).expect("it is JSON");
    Backup::from_json(&json).expect("it can be read")
}

/// Puts devices into a stick's memory: one with a key from the seed, a child with a key of its own, a child without.
fn with_devices(stick: &mut Stick) -> [Ieee; 3] {
    let devices = [Ieee(0x0015_8d00_0000_0001), Ieee(0x0015_8d00_0000_0002), Ieee(0x0015_8d00_0000_0003)];
    let is_new = stick.family == Family::V3x0;
    let address = |users, nwk, ieee| Address { users, nwk: Nwk(nwk), ieee };
    let addresses = [
        address(USER_SECURITY, 0x1111, devices[0]),
        address(USER_CHILD | USER_SECURITY, 0x2222, devices[1]),
        address(USER_CHILD, 0x3333, devices[2]),
        address(4, 0x4444, Ieee(0x99)),
    ];
    let tc = TcKey { tx_counter: 10, rx_counter: 20, ieee: devices[0], attributes: 2, kind: 0, shift: 3 };
    let aps = ApsKey { key: Key([0x42; 16]), tx_counter: 30, rx_counter: 40 };
    let key_at = if is_new { 0 } else { item::LEGACY_APS_KEY_DATA };
    let links = [KeyLink { address_at: 1, key_at, authentication: 2 }];
    let len = stick.items[&item::APS_LINK_KEY_TABLE].len();
    stick.items.insert(item::APS_LINK_KEY_TABLE, encode_key_links(&links, len, is_new).expect("there is room"));
    let counter = FrameCounter { counter: 12_500, extended_pan_id: Ieee(stick.extended_pan_id) }.encode();
    if is_new {
        for (at, address) in addresses.iter().enumerate() {
            stick.tables.insert((1, at as u16), address.encode(12));
        }
        stick.tables.insert((4, 0), tc.encode(20));
        stick.tables.insert((6, 0), aps.encode());
        stick.tables.insert((7, 0), counter);
    } else {
        let manager = stick.items.get_mut(&item::ADDRMGR).expect("there is one");
        let bytes: Vec<u8> = addresses.iter().flat_map(|address| address.encode(11)).collect();
        manager[..bytes.len()].copy_from_slice(&bytes);
        stick.items.insert(item::LEGACY_TCLK, tc.encode(19));
        stick.items.insert(item::LEGACY_APS_KEY_DATA, aps.encode());
        stick.items.insert(item::LEGACY_NWK_SEC_MATERIAL, counter);
    }
    devices
}

fn backed_up(family: Family) -> (Stick, Persisted) {
    let (mut stick, known) = settled(family);
    with_devices(&mut stick);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(60, |line| line.persisted().is_some_and(|persisted| persisted.backup.is_some()));
    (
        line.stick,
        line.events
            .iter()
            .rev()
            .find_map(|event| match event {
                NcpEvent::Persist(persisted) => Some((**persisted).clone()),
                _ => None,
            })
            .expect("it was persisted"),
    )
}

#[test]
fn the_network_is_backed_up_by_itself() {
    for family in FAMILIES {
        let (stick, persisted) = backed_up(family);
        let backup = read(persisted.backup);
        assert_eq!(backup.coordinator, Ieee(stick.address));
        assert_eq!((backup.pan_id, backup.channel, backup.frame_counter), (stick.pan_id, Channel(20), 12_500));
        let devices: Vec<_> = backup.devices.iter().map(|device| (device.nwk, device.is_child)).collect();
        assert_eq!(devices, [(Some(Nwk(0x1111)), false), (Some(Nwk(0x2222)), true), (Some(Nwk(0x3333)), true)]);
        let seed = backup.tclk_seed.expect("a seed");
        let key = |at: usize| backup.devices[at].link_key.clone();
        assert_eq!(key(0).expect("a key").key, link_key(seed, 3, backup.devices[0].ieee));
        let own = key(1).expect("a key");
        assert_eq!((own.key, own.tx_counter, own.rx_counter), (Key([0x42; 16]), 30, 40));
        assert_eq!(key(2), None);
    }
}

/// A backup whose frame counter has been left far behind would bring a network back that devices take for a replay.
#[test]
fn a_counter_that_has_run_away_brings_another_backup() {
    for family in FAMILIES {
        let (stick, known) = backed_up(family);
        let mut line = line(stick, Config::default(), Some(known));
        line.run_until(30, |line| line.up().is_some());
        // The backup after the start.
        line.run(Duration::from_secs(60));
        let set = |line: &mut Line, counter| {
            let entry = FrameCounter { counter, extended_pan_id: Ieee(line.stick.extended_pan_id) }.encode();
            match family {
                Family::V3x0 => line.stick.tables.insert((7, 0), entry).map(drop),
                Family::V30x => line.stick.items.insert(item::LEGACY_NWK_SEC_MATERIAL, entry).map(drop),
            }
        };
        line.events.clear();
        set(&mut line, 12_500 + 1_000);
        line.run(Duration::from_secs(600));
        assert_eq!(line.persisted(), None, "not far enough");
        set(&mut line, 12_500 + 1_250);
        line.run(Duration::from_secs(600));
        assert_eq!(read(line.persisted().and_then(|persisted| persisted.backup)).frame_counter, 13_750);
    }
}

/// Every family onto every other.
#[test]
fn a_backup_goes_onto_a_new_stick_with_counters_ahead() {
    for (from, to) in FAMILIES.into_iter().flat_map(|from| FAMILIES.map(|to| (from, to))) {
        let (old, known) = backed_up(from);
        let mut line = line(Stick::new(to, 0x0012_4b00_9999_9999), Config::default(), Some(known.clone()));
        line.run_until(120, |line| line.up().is_some());
        let info = line.up().expect("it is up");
        assert!(!info.is_new);
        assert_eq!(info.coordinator, Ieee(old.address), "the new stick has the old one's address");
        assert_eq!((line.stick.pan_id, line.stick.extended_pan_id), (old.pan_id, old.extended_pan_id));
        assert_eq!(line.stick.channel, old.channel);
        assert_eq!(line.stick.items[&item::ACTIVE_KEY], old.items[&item::ACTIVE_KEY]);
        assert_eq!(line.stick.items[&item::TCLK_SEED], old.items[&item::TCLK_SEED]);
        line.run_until(60, |line| line.persisted().is_some());
        let backup = read(line.persisted().and_then(|persisted| persisted.backup));
        assert_eq!(backup.frame_counter, 15_000);
        let key = |at: usize| backup.devices[at].link_key.clone().expect("a key");
        assert_eq!((key(0).tx_counter, key(0).rx_counter), (2_510, 20));
        assert_eq!((key(1).key, key(1).tx_counter), (Key([0x42; 16]), 2_530));
        assert_eq!(backup.devices[1].nwk, Some(Nwk(0x2222)));
    }
}

#[test]
fn a_restore_over_another_network_wants_to_be_asked_for() {
    let (_, known) = backed_up(Family::V3x0);
    let (mut other, _) = settled(Family::V3x0);
    other.items.insert(item::EXTADDR, 0x55u64.to_le_bytes().to_vec());
    other.reset();
    other.out.clear();
    let config = Config { restore: true, channel: None };
    let mut refused = line(other, Config::default(), Some(known.clone()));
    refused.run_until(30, |line| line.refused().is_some());
    let mut line = line(refused.stick, config, Some(known.clone()));
    line.run_until(120, |line| line.up().is_some());
    assert_eq!(line.up().expect("it is up").coordinator, known.coordinator);
}

/// A restore that is broken off goes on at the next start; what it has left on the stick is no network.
#[test]
fn a_restore_that_was_broken_off_is_done_anew() {
    let (_, known) = backed_up(Family::V3x0);
    let mut line = line(fresh(Family::V3x0), Config::default(), Some(known.clone()));
    line.run_until(60, |line| line.stick.asked.iter().filter(|name| **name == "nvWrite").count() > 3);
    assert_eq!(line.stick.items[&item::HAS_CONFIGURED], [form::UNFINISHED]);
    let mut line = self::line(line.stick, Config::default(), Some(known.clone()));
    line.run_until(120, |line| line.up().is_some());
    assert_eq!(line.up().expect("it is up").extended_pan_id, known.extended_pan_id);
    assert_eq!(line.stick.items[&item::HAS_CONFIGURED], [0x55]);
}

/// Some firmwares show another transport key than was written, and are right all the same.
#[test]
fn a_key_that_the_stick_does_not_show_is_no_obstacle() {
    let mut stick = fresh(Family::V3x0);
    stick.hides_key = true;
    let mut line = line(stick, Config::default(), None);
    line.run_until(120, |line| line.up().is_some());
    assert_eq!(line.stick.items[&item::ACTIVE_KEY][1..], line.persisted().expect("it is persisted").key.0);
}
