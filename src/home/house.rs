//! The house as it is: what sources tell and what the owner says, laid together. A state machine: news come out, nothing is
//! done. Knows no store and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::device::Device;
use super::kinds::Kinds;
use super::lanes::Lanes;
use super::names::{Called, fold};
use super::news::{Change, News};
use super::recorder::{Pace, Points, Recorder};
use super::source::{Backend, DeviceId, DeviceInfo, PairingNews, RadioStatus, SourceEvent};
use super::told;
use crate::common::capability::{CapabilityKind, Category};
use crate::common::error::ErrorBody;
use crate::common::time::UnixMillis;
use crate::common::who::Principal;
use crate::store::{DeviceRecord, Group, Room, Scene};

/// Devices that are there. More than any stick or broker of a home has.
pub const DEVICES_HERE_MAX: usize = 1_024;

/// Records of devices, those of absent ones included; below what the store takes. Past it the one that was absent and
/// unchanged for longest is forgotten.
pub(super) const RECORDS_MAX: usize = 1_536;

/// The house.
pub(super) struct Home {
    pub sources: Vec<Source>,
    pub devices: BTreeMap<DeviceId, Here>,
    /// What the owner says, of devices that are there and of others.
    pub records: BTreeMap<Box<str>, Arc<DeviceRecord>>,
    pub rooms: BTreeMap<Box<str>, Arc<Room>>,
    pub groups: BTreeMap<Box<str>, Arc<Group>>,
    pub scenes: BTreeMap<Box<str>, Arc<Scene>>,
    pub lanes: Lanes,
    kinds: Kinds,
    /// All devices by name, until something changes.
    listed: Option<Arc<[Arc<Device>]>>,
    /// What happened and was not told yet.
    pub news: Vec<News>,
    pub recorder: Recorder,
    /// What was not written yet.
    pub unsaved: Unsaved,
    /// Devices that may have forgotten their groups.
    strangers: BTreeSet<DeviceId>,
    /// Rooms or groups are others than they were.
    pub has_moved: bool,
}

/// Somebody who tells of devices.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub backend: Backend,
    pub status: RadioStatus,
    pub pairing_seconds_left: u16,
}

/// A device that is there.
pub(super) struct Here {
    pub device: Arc<Device>,
    source: usize,
    /// What was heard of it; whether that counts is a matter of its radio.
    heard_available: Option<bool>,
    /// What its source calls it.
    source_name: Option<Box<str>>,
    /// Its name, as names are compared.
    pub folded: Box<str>,
}

/// What has to be written when there is time.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub records: BTreeSet<Box<str>>,
    pub infos: BTreeSet<DeviceId>,
    pub states: BTreeSet<DeviceId>,
}

/// A device as it was when the house was last open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Remembered {
    pub backend: Backend,
    pub info: DeviceInfo,
}

/// By how much what a source remembers of a device has to be older than what was heard of it to count for less: the two clocks are not read at once.
const OLDER_MS: u64 = 60_000;

impl Home {
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Home {
        let status = || RadioStatus::Absent { why: "Nobody has looked yet.".into() };
        let source = |backend| Source { backend, status: status(), pairing_seconds_left: 0 };
        Home {
            sources: backends.into_iter().map(source).collect(),
            devices: BTreeMap::new(),
            records: BTreeMap::new(),
            rooms: BTreeMap::new(),
            groups: BTreeMap::new(),
            scenes: BTreeMap::new(),
            lanes: Lanes::default(),
            kinds: Kinds::default(),
            listed: None,
            news: Vec::new(),
            recorder: Recorder::default(),
            unsaved: Unsaved::default(),
            strangers: BTreeSet::new(),
            has_moved: false,
        }
    }

    /// Takes in a device as it was, before its source says anything. Of a source that is not there, nothing is kept.
    pub fn remember(&mut self, remembered: Remembered) {
        let Some(source) = self.sources.iter().position(|one| one.backend == remembered.backend) else { return };
        if let Some(info) = told::bounded(remembered.info) {
            self.upsert(source, DeviceInfo { available: None, ..info });
        }
        self.unsaved = Unsaved { records: std::mem::take(&mut self.unsaved.records), ..Unsaved::default() };
    }

    /// What a source tells, at this time of the house's clock.
    pub fn handle(&mut self, source: usize, event: SourceEvent, now_ms: UnixMillis) {
        match event {
            SourceEvent::Radio(status) => self.radio(source, status),
            SourceEvent::All(infos) => self.all(source, infos),
            SourceEvent::Device(info) => {
                if let Some(info) = told::bounded(*info) {
                    self.upsert(source, info);
                }
            }
            SourceEvent::Left(id) => {
                if self.is_of(&id, source) {
                    self.remove(&id);
                }
            }
            SourceEvent::State { id, changes, is_old } => {
                if self.is_of(&id, source) {
                    self.report(&id, changes, (!is_old).then_some(now_ms));
                }
            }
            SourceEvent::Availability { id, available } => self.availability(source, &id, available),
            SourceEvent::Seen { id, at_ms } => {
                let seen = self.devices.get_mut(&id).filter(|here| here.source == source);
                if let Some(here) = seen.filter(|here| here.device.last_seen_ms != Some(at_ms)) {
                    self.listed = None;
                    Arc::make_mut(&mut here.device).last_seen_ms = Some(at_ms);
                    self.unsaved.states.insert(id);
                }
            }
            SourceEvent::Pairing(news) => self.pairing(source, news),
        }
    }

    fn is_of(&self, id: &DeviceId, source: usize) -> bool {
        self.devices.get(id).is_some_and(|here| here.source == source)
    }

    fn radio(&mut self, source: usize, status: RadioStatus) {
        let Some(of) = self.sources.get_mut(source).filter(|one| one.status != status) else { return };
        if !matches!(status, RadioStatus::Up) {
            of.pairing_seconds_left = 0;
        }
        of.status = status.clone();
        self.news.push(News::Radio { backend: of.backend, status });
        let ids: Vec<_> =
            self.devices.iter().filter(|(_, here)| here.source == source).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.judge(&id);
        }
    }

    fn pairing(&mut self, source: usize, news: PairingNews) {
        let Some(of) = self.sources.get_mut(source) else { return };
        match news {
            PairingNews::Open { seconds_left } => of.pairing_seconds_left = seconds_left,
            PairingNews::Closed => of.pairing_seconds_left = 0,
            _ => {}
        }
        let backend = of.backend;
        self.news.push(News::Pairing { backend, news });
    }

    fn all(&mut self, source: usize, infos: Vec<DeviceInfo>) {
        let infos: Vec<_> = infos.into_iter().take(DEVICES_HERE_MAX).filter_map(told::bounded).collect();
        let named: BTreeSet<_> = infos.iter().map(|info| info.id.clone()).collect();
        let is_gone = |(id, here): &(&DeviceId, &Here)| here.source == source && !named.contains(*id);
        let gone: Vec<_> = self.devices.iter().filter(is_gone).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.remove(&id);
        }
        for info in infos {
            self.upsert(source, info);
        }
    }

    /// A device that is new, or of which more is known. Its id has been looked at.
    fn upsert(&mut self, source: usize, info: DeviceInfo) {
        let before = self.devices.get(&info.id);
        let is_anothers = before
            .is_some_and(|here| here.source != source && matches!(self.sources[here.source].status, RadioStatus::Up));
        if is_anothers || before.is_none() && self.devices.len() >= DEVICES_HERE_MAX {
            // The radio that has it keeps it: two that command one device would undo each other's work.
            return;
        }
        let record = self.record_for(&info);
        let capabilities = self.kinds.shared(info.model.as_deref(), info.capabilities);
        let before = self.devices.get(&info.id);
        let was_interviewed = before.is_some_and(|here| here.device.interviewed);
        let DeviceInfo { id, name, state: newest, .. } = info;
        let mut state = before.map(|here| here.device.state.clone()).unwrap_or_default();
        let mut changes = Map::new();
        // What a source remembers may be older than what was heard of it, and is then but for what nobody knows.
        let heard = before.and_then(|here| here.device.last_seen_ms);
        let is_older = heard.zip(info.last_seen_ms).is_some_and(|(heard, remembered)| heard > remembered + OLDER_MS);
        let mut newest = without_events(newest);
        newest.retain(|property, _| !is_older || !state.contains_key(property));
        told::overlay(&mut state, newest, |property, value| {
            changes.insert(property.into(), value.clone());
        });
        let device = Device {
            id: id.clone(),
            name: record.name.as_str().into(),
            aliases: boxed(&record.aliases),
            room: record.room.as_deref().filter(|room| self.rooms.contains_key(*room)).map(Into::into),
            hidden: record.hidden,
            model: info.model,
            vendor: info.vendor,
            description: info.description,
            backend: self.sources[source].backend,
            power: info.power,
            available: self.believed(source, info.available),
            interviewed: info.interviewed,
            supported: info.supported,
            is_router: info.is_router,
            last_seen_ms: if is_older { heard } else { info.last_seen_ms.or(heard) },
            domains: told::domains(&capabilities),
            capabilities,
            state,
            desired: before.map(|here| here.device.desired.clone()).unwrap_or_default(),
            details: info.details,
            revision: record.revision,
        };
        let is_new = before.is_none();
        if before.is_some_and(|here| *here.device == device && here.source == source && here.source_name == name) {
            return;
        }
        if device.interviewed && !was_interviewed {
            // Fresh, or back after it was reset: nobody knows what lies in it.
            self.strangers.insert(id.clone());
        }
        let is_more = before.is_none_or(|here| {
            Device { state: Map::new(), last_seen_ms: None, ..(*here.device).clone() }
                != Device { state: Map::new(), last_seen_ms: None, ..device.clone() }
        });
        let device = Arc::new(device);
        let folded = fold(&device.name).into();
        let here =
            Here { device: Arc::clone(&device), source, heard_available: info.available, source_name: name, folded };
        self.devices.insert(id.clone(), here);
        self.unsaved.infos.insert(id.clone());
        self.unsaved.states.insert(id);
        self.tell(Change { device, changes, is_more, is_new });
    }

    /// What the owner says of this device, or what is said as long as nobody says anything. A device that has not told yet
    /// what it is gets a name for now, and a better one when it has.
    fn record_for(&mut self, info: &DeviceInfo) -> Arc<DeviceRecord> {
        let known = self.records.get(&info.id.0).cloned();
        let source_name = info.name.as_deref();
        let is_here = self.devices.contains_key(&info.id);
        if let Some(record) = &known {
            let is_renamed = source_name.is_some() && record.source_name.as_deref() != source_name;
            // One that comes back may find its name taken.
            let is_taken = !is_here && self.is_name_taken(&record.name, Some(&info.id.0));
            if !is_renamed && !is_taken {
                return Arc::clone(record);
            }
        }
        let base = match (source_name, &known) {
            (Some(name), _) => name.to_owned(),
            (None, Some(record)) => record.name.clone(),
            (None, None) => told::base_name(info),
        };
        let name = self.free_name_like(&base, &info.id.0);
        let was_known = known.is_some();
        let known = known.map_or_else(DeviceRecord::default, |record| (*record).clone());
        let source_name = source_name.map(Into::into).or(known.source_name);
        let record = DeviceRecord { id: info.id.0.as_ref().into(), name, source_name, ..known };
        let record = Arc::new(record);
        if info.interviewed || record.source_name.is_some() || was_known {
            self.make_room_for_a_record();
            self.unsaved.records.insert(info.id.0.clone());
            self.records.insert(info.id.0.clone(), Arc::clone(&record));
        }
        record
    }

    fn make_room_for_a_record(&mut self) {
        if self.records.len() < RECORDS_MAX {
            return;
        }
        let is_absent = |record: &&Arc<DeviceRecord>| !self.devices.contains_key(&DeviceId(record.id.as_str().into()));
        let oldest = self.records.values().filter(is_absent).min_by_key(|record| record.revision);
        if let Some(id) = oldest.map(|record| record.id.clone().into_boxed_str()) {
            self.records.remove(&id);
            self.unsaved.records.insert(id);
        }
    }

    /// Values that a device reported; `at_ms`: now, for the history; none for what is old. Also what it confirmed.
    pub fn report(&mut self, id: &DeviceId, changes: Map<String, Value>, at_ms: Option<UnixMillis>) {
        let Some(here) = self.devices.get_mut(id) else { return };
        let mut told = Map::new();
        let (events, values): (Map<_, _>, Map<_, _>) =
            changes.into_iter().partition(|(property, _)| told::is_event(property));
        let is_name = |(property, _): &(String, Value)| property.len() <= told::PROPERTY_BYTES_MAX;
        for (property, value) in events.into_iter().filter(is_name).take(told::EVENTS_LEN_MAX) {
            // An old press of a button is nobody's business, and an empty one is none.
            let is_pressed = value.as_str().is_some_and(|text| (1..=told::PROPERTY_BYTES_MAX).contains(&text.len()));
            if let Some(at_ms) = at_ms.filter(|_| is_pressed || value.is_number()) {
                self.recorder.note(id, &property, &value, at_ms, Pace::Event);
                told.insert(property, value);
            }
        }
        if let Some(at_ms) = at_ms {
            for (property, value) in &values {
                let pace = match here.device.capability(property).and_then(|one| one.category) {
                    Some(Category::Diagnostic) => Pace::Diagnostic,
                    _ if property == "linkquality" || property == "last_seen" => Pace::Diagnostic,
                    _ => Pace::Value,
                };
                self.recorder.note(id, property, value, at_ms, pace);
            }
        }
        let device = Arc::make_mut(&mut here.device);
        // What it says now is what counts, whatever was wished of it.
        let wished = device.desired.len();
        device.desired.retain(|property, wish| values.get(property) != Some(wish));
        let is_more = device.desired.len() != wished;
        told::overlay(&mut device.state, values, |property, value| {
            told.insert(property.into(), value.clone());
        });
        if let Some(at_ms) = at_ms {
            device.last_seen_ms = Some(at_ms);
            self.unsaved.states.insert(id.clone());
        }
        self.listed = None;
        if told.is_empty() && !is_more {
            return;
        }
        self.unsaved.states.insert(id.clone());
        let device = Arc::clone(&here.device);
        self.tell(Change { device, changes: told, is_more, is_new: false });
    }

    /// What is wished of a device and not confirmed yet; `None` for a property: no longer.
    pub fn wish(&mut self, id: &DeviceId, properties: impl IntoIterator<Item = (String, Option<Value>)>) {
        let Some(here) = self.devices.get_mut(id) else { return };
        let mut desired = here.device.desired.clone();
        // The other one, whichever that is: what is wished can only be told by who knows what is.
        let toggles = |property: &str, value: &Value| {
            let of_it = here.device.capabilities.iter().filter(|one| *one.property == *property);
            of_it.into_iter().any(
                |one| matches!(&one.kind, CapabilityKind::Binary { value_toggle: Some(toggle), .. } if toggle == value),
            )
        };
        for (property, value) in properties {
            match value {
                Some(value) if here.device.state.get(&property) != Some(&value) && !toggles(&property, &value) => {
                    desired.insert(property, value)
                }
                _ => desired.remove(&property),
            };
        }
        if desired != here.device.desired {
            Arc::make_mut(&mut here.device).desired = desired;
            let device = Arc::clone(&here.device);
            self.tell(Change { device, changes: Map::new(), is_more: true, is_new: false });
        }
    }

    fn availability(&mut self, source: usize, id: &DeviceId, available: bool) {
        if let Some(here) = self.devices.get_mut(id).filter(|here| here.source == source) {
            here.heard_available = Some(available);
            self.judge(id);
        }
    }

    /// Says anew whether a device is available.
    fn judge(&mut self, id: &DeviceId) {
        let Some(here) = self.devices.get(id) else { return };
        let available = self.believed(here.source, here.heard_available);
        self.change(id, |device| device.available = available);
    }

    /// Through a radio that is down nobody is reached.
    fn believed(&self, source: usize, heard: Option<bool>) -> Option<bool> {
        match self.sources[source].status {
            RadioStatus::Up => heard,
            RadioStatus::Absent { .. } | RadioStatus::Starting => None,
            RadioStatus::Down { .. } | RadioStatus::Refused { .. } => Some(false),
        }
    }

    /// Changes a device in other things than its values, and tells of it if it is different after.
    pub fn change(&mut self, id: &DeviceId, change: impl FnOnce(&mut Device)) {
        let Some(here) = self.devices.get_mut(id) else { return };
        let mut device = (*here.device).clone();
        change(&mut device);
        if device != *here.device {
            here.folded = fold(&device.name).into();
            here.device = Arc::new(device);
            let device = Arc::clone(&here.device);
            self.tell(Change { device, changes: Map::new(), is_more: true, is_new: false });
        }
    }

    fn tell(&mut self, change: Change) {
        self.listed = None;
        self.news.push(News::Device(Arc::new(change)));
    }

    /// A device is gone. What the owner said of it stays, should it come back.
    pub fn remove(&mut self, id: &DeviceId) {
        let Some(here) = self.devices.remove(id) else { return };
        self.listed = None;
        self.unsaved.infos.insert(id.clone());
        self.unsaved.states.insert(id.clone());
        self.news.push(News::Removed { id: id.clone(), name: here.device.name.clone() });
    }

    /// Whether rooms or groups changed since this was last asked.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Devices that came fresh or came back since this was last asked.
    pub fn take_strangers(&mut self) -> BTreeSet<DeviceId> {
        std::mem::take(&mut self.strangers)
    }

    pub fn has_strangers(&self) -> bool {
        !self.strangers.is_empty()
    }

    /// A device that is to be asked something, and its source.
    pub fn to_ask(&self, who: &Principal, which: &str) -> Result<(Arc<Device>, usize), ErrorBody> {
        let device = Arc::clone(self.find_device(who, which)?);
        let source = self.source_of(&device.id).expect("a device that was found is there");
        Ok((device, source))
    }

    /// All devices by name.
    pub fn list(&mut self) -> Arc<[Arc<Device>]> {
        if let Some(listed) = &self.listed {
            return Arc::clone(listed);
        }
        let mut all: Vec<_> = self.devices.values().collect();
        all.sort_by(|a, b| a.folded.cmp(&b.folded));
        let listed: Arc<[_]> = all.into_iter().map(|here| Arc::clone(&here.device)).collect();
        self.listed = Some(Arc::clone(&listed));
        listed
    }

    pub fn device(&self, id: &DeviceId) -> Option<&Arc<Device>> {
        self.devices.get(id).map(|here| &here.device)
    }

    pub fn all_devices(&self) -> impl Iterator<Item = &Arc<Device>> + Clone {
        self.devices.values().map(|here| &here.device)
    }

    /// Of which source a device is.
    pub fn source_of(&self, id: &DeviceId) -> Option<usize> {
        self.devices.get(id).map(|here| here.source)
    }

    pub fn count_of(&self, source: usize) -> usize {
        self.devices.values().filter(|here| here.source == source).count()
    }

    /// What is to be written of what was reported.
    pub fn take_points(&mut self) -> Vec<Points> {
        let devices = &self.devices;
        self.recorder.take(|id| devices.contains_key(id))
    }

    /// A device as it is to be remembered.
    pub fn remembered(&self, id: &DeviceId) -> Option<Remembered> {
        let here = self.devices.get(id)?;
        let device = &here.device;
        let info = DeviceInfo {
            id: device.id.clone(),
            name: here.source_name.clone(),
            model: device.model.clone(),
            vendor: device.vendor.clone(),
            description: device.description.clone(),
            power: device.power,
            interviewed: device.interviewed,
            supported: device.supported,
            is_router: device.is_router,
            capabilities: device.capabilities.to_vec(),
            state: device.state.clone(),
            available: here.heard_available,
            last_seen_ms: device.last_seen_ms,
            details: device.details.clone(),
        };
        Some(Remembered { backend: device.backend, info })
    }
}

pub(super) fn called(device: &Arc<Device>) -> Called<'_, &Arc<Device>> {
    Called { id: &device.id.0, name: &device.name, aliases: &device.aliases, thing: device }
}

pub(super) fn boxed(texts: &[String]) -> Arc<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn without_events(state: Map<String, Value>) -> Map<String, Value> {
    state.into_iter().filter(|(property, _)| !told::is_event(property)).collect()
}

#[cfg(test)]
#[path = "house_tests.rs"]
mod tests;
