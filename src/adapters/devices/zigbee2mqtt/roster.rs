//! The devices and groups that Zigbee2MQTT has: its lists, its events, what the devices say. Part of the state machine (`bridge`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bridge::Bridge;
use super::device::Device;
use super::evidence::marker;
use super::exposes::NAME_BYTES_MAX;
use super::listed::{Group, Listed, device_id, group, is_topic, joined, listed};
use super::out::{Now, Out};
use super::refusal::body;
use crate::common::error::ErrorCode;
use crate::common::time::UnixMillis;
use crate::home::{DeviceId, DeviceInfo, PairingNews, SourceEvent};

/// Devices taken; a Zigbee network has rarely more than 200.
const DEVICES_MAX: usize = 1024;

/// Groups taken.
const GROUPS_MAX: usize = 512;

/// Properties of a device's state.
const STATE_KEYS_MAX: usize = 512;

/// Between two questions at the start, when nothing is known of what is plugged in; a lamp's answer takes some 20 ms.
const FIRST_READ: Duration = Duration::from_millis(200);

impl Bridge {
    pub(super) fn topics_of(&self, name: &str) -> [String; 2] {
        [format!("{}/{name}", self.base), self.topic(name, "availability")]
    }

    /// All devices, by its own word.
    pub(super) fn listing(&mut self, payload: &[u8], now: Now) {
        // Entry by entry, so that a large list is never in memory as a tree.
        let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(payload) else { return };
        let entry = |raw: &&RawValue| listed(&serde_json::from_str::<Value>(raw.get()).ok()?);
        let mut found = BTreeMap::new();
        for new in entries.iter().filter_map(entry).take(DEVICES_MAX) {
            found.insert(new.info.id.clone(), new);
        }
        let gone: Vec<_> = self.devices.keys().filter(|id| !found.contains_key(id)).cloned().collect();
        let is_first = !self.is_told;
        self.is_listed = true;
        self.is_told = true;
        for id in gone {
            self.left(&id);
        }
        for new in found.into_values() {
            self.put(new, !is_first);
        }
        if is_first {
            let all = self.devices.values().map(|device| device.listed.info.clone()).collect();
            self.tell(SourceEvent::All(all));
        }
        self.refresh(now);
        self.first_read_at.get_or_insert(now.at + FIRST_READ);
    }

    /// Takes what is known of a device; what it says itself stays.
    fn put(&mut self, mut new: Listed, is_told: bool) {
        let id = new.info.id.clone();
        if let Some(device) = self.devices.get_mut(&id) {
            new.info.state = std::mem::take(&mut device.listed.info.state);
            new.info.available = device.listed.info.available.filter(|_| !new.is_disabled);
            new.info.last_seen_ms = device.listed.info.last_seen_ms;
            let old = std::mem::replace(&mut device.listed, new);
            let device = &self.devices[&id];
            let (topic, info) = (device.listed.topic.clone(), device.listed.info.clone());
            if old.topic != topic {
                self.unsubscribe(&id, &old.topic);
                self.subscribe(&id, &topic);
            }
            // The state was taken out of the old one.
            let is_news = DeviceInfo { state: Map::new(), ..info.clone() } != old.info;
            if is_news && is_told {
                self.tell(SourceEvent::Device(Box::new(info)));
            }
            return;
        }
        if self.devices.len() >= DEVICES_MAX {
            return;
        }
        let (topic, info) = (new.topic.clone(), new.info.clone());
        let is_optimistic = self.is_optimistic(&id);
        if new.is_awake() {
            self.first_reads.push_back(id.clone());
        }
        let is_logged = self.is_logged();
        let device = Device {
            listed: new,
            is_optimistic,
            is_logged,
            commands: VecDeque::new(),
            is_whole: false,
            is_heard: false,
            is_first_read: false,
        };
        self.devices.insert(id.clone(), device);
        self.subscribe(&id, &topic);
        if is_told {
            self.tell(SourceEvent::Device(Box::new(info)));
        }
    }

    /// Somebody gave a device another name. The list says so, too, and mostly before.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        let known = self.by_topic.get(from).and_then(|id| self.devices.get(id)).map(|device| &device.listed);
        let Some(mut new) = known.filter(|_| is_topic(to)).cloned() else { return };
        new.topic = to.into();
        new.info.name = (*to != *new.info.id.0).then(|| to.into());
        self.put(new, true);
    }

    fn subscribe(&mut self, id: &DeviceId, topic: &str) {
        self.by_topic.insert(topic.into(), id.clone());
        let topics = self.topics_of(topic);
        // A long list is a few packets, and not two for each of its devices.
        match self.out.back_mut() {
            Some(Out::Subscribe(waiting)) => waiting.extend(topics),
            _ => self.out.push_back(Out::Subscribe(topics.into())),
        }
    }

    fn unsubscribe(&mut self, id: &DeviceId, topic: &str) {
        // Another may have the name already: two that swap theirs are one list.
        if self.by_topic.get(topic) == Some(id) {
            self.by_topic.remove(topic);
            self.out.push_back(Out::Unsubscribe(self.topics_of(topic).into()));
        }
    }

    fn left(&mut self, id: &DeviceId) {
        let Some(topic) = self.devices.get(id).map(|device| device.listed.topic.clone()) else { return };
        self.fail_commands(id, &body(ErrorCode::NotFound, format!("{topic} has left")));
        self.devices.remove(id);
        self.unsubscribe(id, &topic);
        self.first_reads.retain(|other| other != id);
        self.tell(SourceEvent::Left(id.clone()));
    }

    pub(super) fn grouping(&mut self, payload: &[u8]) {
        let Ok(Value::Array(entries)) = serde_json::from_slice(payload) else { return };
        let groups: BTreeMap<u16, Group> =
            entries.iter().filter_map(group).take(GROUPS_MAX).map(|group| (group.id, group)).collect();
        let topics = |groups: &BTreeMap<u16, Group>| -> BTreeSet<Box<str>> {
            groups.values().map(|group| group.topic.clone()).collect()
        };
        let (old, new) = (topics(&self.groups), topics(&groups));
        self.groups = groups;
        let full =
            |base: &str, topics: Vec<&Box<str>>| topics.into_iter().map(|topic| format!("{base}/{topic}")).collect();
        let gone: Vec<String> =
            full(&self.base, old.difference(&new).filter(|topic| !self.by_topic.contains_key(*topic)).collect());
        let come: Vec<String> = full(&self.base, new.difference(&old).collect());
        if !gone.is_empty() {
            self.out.push_back(Out::Unsubscribe(gone));
        }
        if !come.is_empty() {
            self.out.push_back(Out::Subscribe(come));
        }
    }

    /// `bridge/event`: somebody joined, is asked what it is, has left.
    pub(super) fn event(&mut self, payload: &[u8], now: Now) {
        let Ok(event) = serde_json::from_slice::<Value>(payload) else { return };
        let data = &event["data"];
        let Some(id) = data["ieee_address"].as_str().and_then(device_id) else { return };
        let name = data["friendly_name"].as_str().filter(|name| is_topic(name)).unwrap_or(&id.0);
        match event["type"].as_str() {
            Some("device_joined") => {
                self.known(&id, name);
                self.tell(SourceEvent::Pairing(PairingNews::Joined { id }));
            }
            Some("device_interview") => {
                self.known(&id, name);
                self.interview(id, data);
            }
            Some("device_announce") if self.devices.contains_key(&id) => {
                self.seen(&id, now.unix_ms);
            }
            Some("device_leave") => self.left(&id),
            _ => {}
        }
    }

    /// A device that the list does not have yet.
    fn known(&mut self, id: &DeviceId, name: &str) {
        if !self.devices.contains_key(id) {
            self.put(joined(id.clone(), name), true);
        }
    }

    fn interview(&mut self, id: DeviceId, data: &Value) {
        let step: Box<str> = "interview".into();
        let news = match data["status"].as_str() {
            Some("started") => PairingNews::Step { id, step, number: 1, of: 1 },
            Some("successful") => {
                self.interviewed(&id, data);
                PairingNews::Interviewed { id }
            }
            Some("failed") => {
                let why = "it did not tell Zigbee2MQTT what it is; keep it close and wake it, then try again".into();
                PairingNews::Failed { id, step, why }
            }
            _ => return,
        };
        self.tell(SourceEvent::Pairing(news));
    }

    /// The event says what the list will say; it may come before it.
    fn interviewed(&mut self, id: &DeviceId, data: &Value) {
        let Some(known) = self.devices.get(id).map(|device| &device.listed) else { return };
        let mut new = known.clone();
        let entry = serde_json::json!({
            "ieee_address": id.0, "friendly_name": known.topic, "interview_completed": true,
            "supported": data["supported"], "definition": data["definition"],
        });
        let Some(told) = listed(&entry) else { return };
        new.info.interviewed = true;
        new.info.supported = told.info.supported;
        new.info.model = told.info.model.or(new.info.model);
        new.info.vendor = told.info.vendor.or(new.info.vendor);
        new.info.description = told.info.description.or(new.info.description);
        if !told.info.capabilities.is_empty() {
            new.info.capabilities = told.info.capabilities;
        }
        self.put(new, true);
    }

    /// Whether it logs what it publishes (`log_level`); its default.
    pub(super) fn is_logged(&self) -> bool {
        !matches!(self.info["log_level"].as_str(), Some("warning" | "error"))
    }

    /// Zigbee2MQTT publishes all that it remembers of a device (`advanced.cache_state`); its default.
    fn has_cache(&self) -> bool {
        self.info["config"]["advanced"]["cache_state"].as_bool().unwrap_or(true)
    }

    pub(super) fn available(&mut self, id: &DeviceId, available: bool) {
        if !self.is_watched(id) {
            return;
        }
        let Some(device) = self.devices.get_mut(id).filter(|device| !device.listed.is_disabled) else { return };
        if device.listed.info.available.replace(available) != Some(available) {
            self.tell(SourceEvent::Availability { id: id.clone(), available });
        }
    }

    fn seen(&mut self, id: &DeviceId, at_ms: UnixMillis) {
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.listed.info.last_seen_ms.is_none_or(|known| known < at_ms) {
            device.listed.info.last_seen_ms = Some(at_ms);
            self.tell(SourceEvent::Seen { id: id.clone(), at_ms });
        }
    }

    /// A device's state, whole or in part.
    pub(super) fn published(&mut self, id: &DeviceId, mut state: Map<String, Value>, is_retained: bool, now: Now) {
        let Some(device) = self.devices.get_mut(id) else { return };
        device.is_heard = true;
        state.remove("device"); // `mqtt.include_device_information`
        let last_seen_ms = state.remove("last_seen").as_ref().and_then(moment);
        let known = &device.listed.info.state;
        let mut changes = Map::new();
        for (key, value) in &state {
            let is_event = key == "action" || key.starts_with("action_");
            let is_news = match (value, known.get(key)) {
                (Value::Null, before) => before.is_some_and(|before| !before.is_null()),
                _ if is_event => !is_retained && value != "",
                (value, before) => before != Some(value),
            };
            if is_news && changes.len() < STATE_KEYS_MAX && key.len() <= NAME_BYTES_MAX {
                changes.insert(key.clone(), value.clone());
            }
        }
        let is_old = is_retained || std::mem::take(&mut device.is_first_read);
        let is_own = changes.keys().any(|key| {
            key == "action"
                || device.believed().capabilities.iter().any(|known| *known.property == **key && !known.settable)
        });
        if !is_retained {
            self.command_published(id, &state, &changes, now);
        }
        // Its clock may be another: what is yet to come would hide all that is.
        if let Some(at_ms) =
            last_seen_ms.map(|at_ms| at_ms.min(now.unix_ms)).or((is_own && !is_old).then_some(now.unix_ms))
        {
            self.seen(id, at_ms);
        }
        let is_whole = !is_retained && self.has_cache();
        let Some(device) = self.devices.get_mut(id) else { return };
        device.is_whole |= is_whole;
        let known = &mut device.listed.info.state;
        for (key, value) in &changes {
            if value.is_null() {
                known.remove(key);
            } else if (known.len() < STATE_KEYS_MAX || known.contains_key(key)) && !key.starts_with("action") {
                known.insert(key.clone(), value.clone());
            }
        }
        if !changes.is_empty() {
            self.tell(SourceEvent::State { id: id.clone(), changes, is_old });
        }
        self.command_next(id, now);
    }

    /// Nobody has listened for a while: to the broker, or to the devices. What was said meanwhile is said to nobody again.
    pub(super) fn was_deaf(&mut self) {
        for device in self.devices.values_mut() {
            (device.is_whole, device.is_heard) = (false, false);
        }
        let awake = self.devices.iter().filter(|(_, device)| device.listed.is_awake());
        self.first_reads = awake.map(|(id, _)| id.clone()).collect();
    }

    /// At the start and after a silence nobody knows what stands in the house, for Zigbee2MQTT keeps states on the broker only where
    /// it is told to (`retain`). What has mains is asked for one property, one device after another; with the answer comes all that
    /// is remembered.
    pub(super) fn first_read(&mut self, now: Now) {
        if !self.is_up() || self.first_read_at.is_none_or(|at| now.at < at) {
            return;
        }
        while let Some(id) = self.first_reads.pop_front() {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            let property = marker(&device.believed());
            let (Some(property), true, false) = (property, !device.is_heard, device.is_away()) else {
                continue;
            };
            device.is_first_read = true;
            let topic = self.topic(&id.0, "get");
            self.publish(topic, &serde_json::json!({ &*property: "" }));
            self.first_read_at = Some(now.at + FIRST_READ);
            return;
        }
    }
}

/// `last_seen` in each of its forms: milliseconds, or ISO 8601 with or without a zone's offset.
fn moment(value: &Value) -> Option<UnixMillis> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let at = text.parse::<jiff::Timestamp>().ok()?;
            u64::try_from(at.as_millisecond()).ok()
        }
        _ => None,
    }
}
