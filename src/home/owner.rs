//! What the owner says, laid over the house: names, rooms, groups, scenes. Whether it may be said was asked before.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::house::{Home, boxed};
use super::names::{self, fold};
use super::source::DeviceId;
use crate::store::{DeviceRecord, Group, Room, Scene};

impl Home {
    /// What the store says of a device. A name that the house gave and that is not written yet is newer.
    pub fn read_record(&mut self, id: &str, record: Option<DeviceRecord>) {
        if !self.unsaved.records.contains(id) {
            self.apply_record(id, record);
        }
    }

    /// What the owner says of a device now; `None`: nothing any more.
    pub fn apply_record(&mut self, id: &str, record: Option<DeviceRecord>) {
        let Some(record) = record else {
            self.records.remove(id);
            return;
        };
        let record = Arc::new(record);
        self.records.insert(id.into(), Arc::clone(&record));
        let room = record.room.as_deref().filter(|room| self.rooms.contains_key(*room)).map(Into::into);
        self.change(&DeviceId(id.into()), |device| {
            device.name = record.name.as_str().into();
            device.aliases = boxed(&record.aliases);
            device.room = room;
            device.hidden = record.hidden;
            device.revision = record.revision;
        });
    }

    pub fn apply_room(&mut self, id: &str, room: Option<Room>) {
        self.has_moved = true;
        match room {
            Some(room) => self.rooms.insert(id.into(), Arc::new(room)),
            None => self.rooms.remove(id),
        };
        // Devices that name a room are in it as long as it is there.
        let of_it = |record: &&Arc<DeviceRecord>| record.room.as_deref() == Some(id);
        let records: Vec<_> = self.records.values().filter(of_it).cloned().collect();
        for record in records {
            self.apply_record(&record.id.clone(), Some((*record).clone()));
        }
    }

    pub fn apply_group(&mut self, id: &str, group: Option<Group>) {
        self.has_moved = true;
        match group {
            Some(group) => self.groups.insert(id.into(), Arc::new(group)),
            None => self.groups.remove(id),
        };
    }

    pub fn apply_scene(&mut self, id: &str, scene: Option<Scene>) {
        match scene {
            Some(scene) => self.scenes.insert(id.into(), Arc::new(scene)),
            None => self.scenes.remove(id),
        };
    }

    /// All that the owner says, as it was read anew into `fresh`.
    pub fn take_over(&mut self, fresh: Home) {
        fn gone<T>(old: &BTreeMap<Box<str>, T>, new: &BTreeMap<Box<str>, T>) -> Vec<Box<str>> {
            old.keys().filter(|id| !new.contains_key(*id)).cloned().collect()
        }
        let rooms = gone(&self.rooms, &fresh.rooms);
        (self.groups, self.scenes, self.has_moved) = (fresh.groups, fresh.scenes, true);
        for (id, room) in &fresh.rooms {
            self.apply_room(id, Some((**room).clone()));
        }
        rooms.iter().for_each(|id| self.apply_room(id, None));
        for (id, record) in &fresh.records {
            self.read_record(id, Some((**record).clone()));
        }
        gone(&self.records, &fresh.records).iter().for_each(|id| self.read_record(id, None));
    }

    pub fn record(&self, id: &str) -> Option<&Arc<DeviceRecord>> {
        self.records.get(id)
    }

    /// Whether a device that is there, or a group, is called so, but for the one with this id.
    pub fn is_name_taken(&self, name: &str, but_for: Option<&str>) -> bool {
        let folded = fold(name);
        self.devices.values().any(|here| *here.folded == *folded && but_for != Some(&*here.device.id.0))
            || self.groups.values().any(|group| but_for != Some(&group.id) && fold(&group.name) == folded)
    }

    /// The first free one of `base`, `base 2`, … for the device with this id.
    pub fn free_name_like(&self, base: &str, id: &str) -> String {
        let others = self.devices.values().filter(|here| *here.device.id.0 != *id).map(|here| here.folded.clone());
        let groups = self.groups.values().map(|group| fold(&group.name).into());
        let taken: HashSet<Box<str>> = others.chain(groups).collect();
        names::free(base, |name| taken.contains(&*fold(name)))
    }
}
