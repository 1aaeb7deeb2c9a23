//! From a wish to commands: who is meant, whether whoever asks may, what each device takes of it, and whom one multicast
//! reaches. Everything is looked at before anything is sent. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::device::Device;
use super::groupcast::Groupcast;
use super::house::{Home, called};
use super::names::{self, Called, fold};
use super::source::DeviceId;
use super::values::{self, Fit};
use super::wish::{PROPERTIES_MAX, Selection, TARGETS_MAX, Targets, Wish};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::store::{Group, Room};

/// One device of a wish.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub device: Arc<Device>,
    pub source: usize,
    /// What it is told, or why it is told nothing.
    pub fit: Result<Fit, ErrorBody>,
}

/// What is sent in one go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub source: usize,
    /// Places in [`Plan::devices`]; several only with a group.
    pub members: Vec<usize>,
    pub set: Map<String, Value>,
    pub group: Option<u16>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// In the order in which they were named; by name where they were not.
    pub devices: Vec<Planned>,
    pub parts: Vec<Part>,
    /// Devices of a scene that are not there.
    pub absent: Vec<DeviceId>,
}

/// A device or a group: they share their names.
#[derive(Debug, Clone, Copy)]
enum Thing<'a> {
    Device(&'a Arc<Device>),
    Group(&'a Arc<Group>),
}

impl Home {
    /// Whether `who` may see and move what is in this room. Somebody with rooms of their own sees nothing that is in none.
    pub fn permits(&self, who: &Principal, room: Option<&str>) -> bool {
        let Some(rooms) = &who.rooms else { return true };
        let Some(room) = room.and_then(|id| self.rooms.get(id)) else { return false };
        rooms.iter().any(|one| fold(one) == fold(&room.id) || fold(one) == fold(&room.name))
    }

    pub fn may_see(&self, who: &Principal, device: &Device) -> bool {
        self.permits(who, device.room.as_deref())
    }

    /// Whether all members of a group are `who`'s.
    pub fn may_see_group(&self, who: &Principal, group: &Group) -> bool {
        who.rooms.is_none() || self.are_seen(who, group.members.iter().map(String::as_str))
    }

    /// Whether all of these devices are `who`'s to see; those that are not there are nobody's.
    pub fn are_seen<'a>(&self, who: &Principal, ids: impl IntoIterator<Item = &'a str>) -> bool {
        ids.into_iter().all(|id| match self.device(&DeviceId(id.into())) {
            Some(device) => self.may_see(who, device),
            None => who.rooms.is_none(),
        })
    }

    /// The device that `sought` means to `who`. What they may not see is not there.
    pub fn find_device(&self, who: &Principal, sought: &str) -> Result<&Arc<Device>, ErrorBody> {
        names::find("device", sought, self.all_devices().filter(|device| self.may_see(who, device)).map(called))
    }

    pub fn find_room(&self, who: &Principal, sought: &str) -> Result<&Arc<Room>, ErrorBody> {
        let seen = self.rooms.values().filter(|room| self.permits(who, Some(&room.id)));
        let named: Vec<_> = seen.map(|room| (room, boxed(&room.aliases))).collect();
        let called =
            named.iter().map(|(room, aliases)| Called { id: &room.id, name: &room.name, aliases, thing: *room });
        names::find("room", sought, called)
    }

    pub fn find_group(&self, who: &Principal, sought: &str) -> Result<&Arc<Group>, ErrorBody> {
        let named = self.seen_groups(who);
        let called =
            named.iter().map(|(group, aliases)| Called { id: &group.id, name: &group.name, aliases, thing: *group });
        names::find("group", sought, called)
    }

    fn seen_groups(&self, who: &Principal) -> Vec<(&Arc<Group>, Vec<Box<str>>)> {
        let seen = self.groups.values().filter(|group| self.may_see_group(who, group));
        seen.map(|group| (group, boxed(&group.aliases))).collect()
    }

    /// The devices that these names mean, groups taken apart. With each whether it was named itself.
    pub fn find_all<'a>(
        &self,
        who: &Principal,
        sought: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<(&Arc<Device>, bool)>, ErrorBody> {
        let groups = self.seen_groups(who);
        let devices = self.all_devices().filter(|device| self.may_see(who, device));
        let devices = devices.map(|device| Called {
            id: &device.id.0,
            name: &device.name,
            aliases: &device.aliases,
            thing: Thing::Device(device),
        });
        let of_groups = groups.iter().map(|(group, aliases)| Called {
            id: &group.id,
            name: &group.name,
            aliases,
            thing: Thing::Group(group),
        });
        let all = devices.chain(of_groups);
        let mut found: Vec<(&Arc<Device>, bool)> = Vec::new();
        let mut places: BTreeMap<&DeviceId, usize> = BTreeMap::new();
        for sought in sought {
            let (ids, is_named): (Vec<DeviceId>, bool) = match names::find("device or group", sought, all.clone())? {
                Thing::Device(device) => (vec![device.id.clone()], true),
                Thing::Group(group) => (group.members.iter().map(|id| DeviceId(id.as_str().into())).collect(), false),
            };
            for device in ids.iter().filter_map(|id| self.device(id)) {
                match places.get(&device.id) {
                    Some(place) => found[*place].1 |= is_named,
                    None => {
                        places.insert(&device.id, found.len());
                        found.push((device, is_named));
                    }
                }
            }
        }
        Ok(found)
    }

    /// What has to be sent for a wish. An error: nothing is.
    pub fn plan(&self, who: &Principal, wish: &Wish, groupcast: &Groupcast) -> Result<Plan, ErrorBody> {
        if wish.set.is_empty() || wish.set.len() > PROPERTIES_MAX {
            return Err(bad(format!(
                "set: name 1 to {PROPERTIES_MAX} properties and the values that they are to have."
            )));
        }
        let mut plan = Plan::default();
        let mut passed_over = None;
        for (device, is_strict) in self.targets(who, &wish.targets)? {
            let Some(source) = self.source_of(&device.id) else { continue };
            let fit = values::fit(&device.name, &device.capabilities, &wish.set, is_strict);
            match fit {
                Err(error) if is_strict => return Err(error),
                Ok(fit) if fit.set.is_empty() => passed_over = Some(device),
                fit => plan.devices.push(Planned { device: Arc::clone(device), source, fit }),
            }
        }
        // Nobody can do it: then it is the wish that is wrong.
        if plan.devices.iter().all(|planned| planned.fit.is_err()) {
            let first = plan.devices.into_iter().find_map(|planned| planned.fit.err());
            return Err(first.unwrap_or_else(|| {
                let properties: Vec<_> = wish.set.keys().map(|key| format!("\"{key}\"")).collect();
                let nobody = format!("None of the devices that are meant can be told {}.", properties.join(", "));
                let example = passed_over.map(|device| (&device.name, values::settable(&device.capabilities)));
                match example.filter(|(_, takes)| !takes.is_empty()) {
                    Some((name, takes)) => bad(format!("{nobody} \"{name}\" takes: {takes}.")),
                    None => bad(nobody),
                }
            }));
        }
        plan.parts = self.parts(&plan.devices, groupcast);
        Ok(plan)
    }

    fn targets(&self, who: &Principal, targets: &Targets) -> Result<Vec<(&Arc<Device>, bool)>, ErrorBody> {
        match targets {
            Targets::Named(names) if names.is_empty() || names.len() > TARGETS_MAX => {
                Err(bad(format!("targets: name 1 to {TARGETS_MAX} devices or groups.")))
            }
            Targets::Named(names) => {
                let found = self.find_all(who, names.iter().map(String::as_str))?;
                match found.is_empty() {
                    true => Err(bad("There is no device in that group.".into())),
                    false => Ok(found),
                }
            }
            Targets::Where(selection) => self.select(who, selection),
        }
    }

    /// All devices of a selection, by name. A hidden one is moved only by its name.
    fn select(&self, who: &Principal, selection: &Selection) -> Result<Vec<(&Arc<Device>, bool)>, ErrorBody> {
        let Selection { room, domain, except } = selection;
        if except.len() > TARGETS_MAX {
            return Err(bad(format!("except: name at most {TARGETS_MAX} devices or groups.")));
        }
        let room = room.as_deref().map(|room| self.find_room(who, room)).transpose()?;
        let spared: BTreeSet<_> =
            self.find_all(who, except.iter().map(String::as_str))?.into_iter().map(|(device, _)| &device.id).collect();
        let is_meant = |device: &&Arc<Device>| {
            !device.hidden
                && self.may_see(who, device)
                && room.is_none_or(|room| device.room.as_deref() == Some(&room.id))
                && domain.is_none_or(|domain| device.is_a(domain))
                && !spared.contains(&device.id)
        };
        let mut meant: Vec<_> = self.all_devices().filter(is_meant).map(|device| (device, false)).collect();
        meant.sort_by_cached_key(|(device, _)| fold(&device.name));
        if meant.is_empty() {
            let place = room.map_or("the house".into(), |room| format!("\"{}\"", room.name));
            let what = domain.map_or("device".into(), |domain| format!("{domain:?}").to_lowercase());
            let spare = if spared.is_empty() { "" } else { " beside those that are spared" };
            return Err(ErrorBody::new(ErrorCode::NotFound, format!("There is no {what} in {place}{spare}.")));
        }
        Ok(meant)
    }

    /// Devices that are told the same and share a group of the radio are told at once, the others each by itself.
    pub fn parts(&self, devices: &[Planned], groupcast: &Groupcast) -> Vec<Part> {
        let mut alike: Vec<Part> = Vec::new();
        for (place, planned) in devices.iter().enumerate() {
            let Ok(fit) = &planned.fit else { continue };
            match alike.iter_mut().find(|part| part.source == planned.source && part.set == fit.set) {
                Some(part) => part.members.push(place),
                None => {
                    alike.push(Part { source: planned.source, members: vec![place], set: fit.set.clone(), group: None })
                }
            }
        }
        let mut parts = Vec::new();
        for part in alike {
            let members = part.members.iter().map(|place| &devices[*place].device.id);
            match groupcast.reaching(part.source, members) {
                Some(group) => parts.push(Part { group: Some(group), ..part }),
                None => parts.extend(part.members.iter().map(|place| Part { members: vec![*place], ..part.clone() })),
            }
        }
        parts
    }
}

fn boxed(texts: &[String]) -> Vec<Box<str>> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn bad(message: String) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, message)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
