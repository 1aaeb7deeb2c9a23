//! Which devices one multicast reaches: groups of the radio that follow the house's groups and the lights of its rooms. A
//! group counts only as long as every device has confirmed that it is in it. Pure; who asks the devices is `run`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::house::Home;
use super::source::{Backend, DeviceId, Membership, Power, RadioStatus};
use crate::common::capability::Domain;

/// Devices for which one multicast is worth a group: two are as fast one after the other.
pub const GROUP_LEN_MIN: usize = 3;

/// The house's groups of the radio begin here, so that those that remotes and other programs make (from 1 on) stay theirs.
const GROUP_FIRST: u16 = 0x4000;

/// The last group of Zigbee that is free (Zigbee 3.0 BDB: 0xfff8 and above are reserved).
const GROUP_LAST: u16 = 0xfff7;

/// After a refusal a group is asked for again after this, twice as long each time.
const AGAIN_MIN: Duration = Duration::from_secs(60);
const AGAIN_MAX: Duration = Duration::from_secs(3_600);

/// Of which source, and its number.
type Key = (usize, u16);

#[derive(Debug, Default)]
pub(super) struct Groupcast {
    /// What the devices have confirmed.
    confirmed: BTreeMap<Key, BTreeSet<DeviceId>>,
    /// What was refused: how often, and until when (monotonic) it is not asked again.
    refused: BTreeMap<Key, (u32, Duration)>,
    /// Sources that know no groups.
    without: BTreeSet<usize>,
}

impl Groupcast {
    /// The group of exactly these devices, if it is known to be one.
    pub fn reaching<'a>(&self, source: usize, members: impl Iterator<Item = &'a DeviceId>) -> Option<u16> {
        let members: BTreeSet<_> = members.cloned().collect();
        if members.len() < GROUP_LEN_MIN {
            return None;
        }
        let mut of_source = self.confirmed.range((source, 0)..=(source, u16::MAX));
        of_source.find(|(_, confirmed)| **confirmed == members).map(|((_, group), _)| *group)
    }

    /// The next group whose devices have to be told, at this time of a monotonic clock.
    pub fn next(&self, home: &Home, now: Duration) -> Option<(usize, Membership)> {
        let wanted = wanted(home);
        let empty = BTreeSet::new();
        let keys: BTreeSet<Key> = wanted.keys().chain(self.confirmed.keys()).copied().collect();
        for key in keys {
            let (source, group) = key;
            let is_up = matches!(home.sources[source].status, RadioStatus::Up);
            let waits = self.refused.get(&key).is_some_and(|(_, until)| now < *until);
            let members = wanted.get(&key).unwrap_or(&empty);
            if is_up
                && !waits
                && !self.without.contains(&source)
                && members != self.confirmed.get(&key).unwrap_or(&empty)
            {
                return Some((source, Membership { group, members: members.iter().cloned().collect() }));
            }
        }
        None
    }

    /// The earliest time after `now` at which a refused group is asked for again.
    pub fn timeout(&self, now: Duration) -> Option<Duration> {
        self.refused.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }

    /// The devices have confirmed it.
    pub fn confirm(&mut self, source: usize, wish: Membership) {
        self.refused.remove(&(source, wish.group));
        match wish.members.is_empty() {
            true => self.confirmed.remove(&(source, wish.group)),
            false => self.confirmed.insert((source, wish.group), wish.members.into_iter().collect()),
        };
    }

    /// Not all have. `for_good`: the source knows no groups.
    pub fn refuse(&mut self, source: usize, group: u16, for_good: bool, now: Duration) {
        self.confirmed.remove(&(source, group));
        if for_good {
            self.without.insert(source);
            self.refused.retain(|(of, _), _| *of != source);
            return;
        }
        let (times, until) = self.refused.entry((source, group)).or_default();
        *until = now + (AGAIN_MIN * 2_u32.saturating_pow(*times)).min(AGAIN_MAX);
        *times = times.saturating_add(1);
    }

    /// This device may have forgotten its groups.
    pub fn doubt(&mut self, id: &DeviceId) {
        self.confirmed.retain(|_, members| !members.contains(id));
        self.refused.clear();
    }
}

/// A number that no group and no room has.
pub(super) fn free_number(home: &Home) -> Option<u16> {
    let of_rooms = home.rooms.values().filter_map(|room| room.zigbee_group);
    let taken: BTreeSet<_> = of_rooms.chain(home.groups.values().filter_map(|group| group.zigbee_group)).collect();
    (GROUP_FIRST..=GROUP_LAST).find(|number| !taken.contains(number))
}

/// What groups there are to be: all members of a group that have mains power, all lights of a room, by their source. Zigbee2MQTT
/// keeps groups of its own, which are its owner's, but for those to which something was bound here.
fn wanted(home: &Home) -> BTreeMap<Key, BTreeSet<DeviceId>> {
    let mut wanted: BTreeMap<Key, BTreeSet<DeviceId>> = BTreeMap::new();
    let bound = home.groups.values().filter(|group| group.is_bound);
    let bound: BTreeSet<u16> = bound.filter_map(|group| group.zigbee_group).collect();
    let mut add = |number: u16, id: &DeviceId| {
        let Some(source) = home.source_of(id) else { return };
        if home.sources[source].backend != Backend::Zigbee2mqtt || bound.contains(&number) {
            wanted.entry((source, number)).or_default().insert(id.clone());
        }
    };
    for group in home.groups.values() {
        let members = group.members.iter().filter_map(|id| home.device(&DeviceId(id.as_str().into())));
        for device in members.filter(|device| device.interviewed && device.power != Power::Battery) {
            group.zigbee_group.into_iter().for_each(|number| add(number, &device.id));
        }
    }
    let lights = home.all_devices().filter(|device| {
        device.interviewed && !device.hidden && device.power != Power::Battery && device.is_a(Domain::Light)
    });
    for device in lights {
        let room = device.room.as_deref().and_then(|room| home.rooms.get(room));
        room.and_then(|room| room.zigbee_group).into_iter().for_each(|number| add(number, &device.id));
    }
    wanted.retain(|(_, number), members| members.len() >= GROUP_LEN_MIN || bound.contains(number));
    wanted
}

#[cfg(test)]
#[path = "groupcast_tests.rs"]
mod tests;
