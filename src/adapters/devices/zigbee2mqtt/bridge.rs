//! Zigbee2MQTT's side of the broker as a state machine: topics and payloads in, what to tell the house and what to publish out.
//! Knows no socket and no clock; time comes in as an argument. Topics are those of its guide, "MQTT Topics and Messages".
//!
//! Only topics of known names are subscribed to, so that rubbish elsewhere under the base topic never comes here.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::device::Device;
use super::job::Job;
use super::listed::{Group, device_id};
use super::out::{Now, Out, Ticket};
use super::refusal::{body, failed};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::UnixMillis;
use crate::home::{DeviceId, PairingNews, RadioStatus, SetDone, SourceEvent};

/// Bytes of the list of devices, and of answers to requests. An entry has some 8 KiB; a network map of 200 devices 300 KiB.
pub const BRIDGE_PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a device's state; the largest that are known have some 10 KiB.
const STATE_PAYLOAD_BYTES_MAX: usize = 128 * 1024;

/// Bytes of a line of its log; those that tell of a failure have some 400.
const LOG_PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// How long the broker has to send what it keeps, before it is said what is missing.
const RETAINED: Duration = Duration::from_secs(5);

/// While devices may join, how often the seconds left are told.
const TICK: Duration = Duration::from_secs(1);

pub struct Bridge {
    pub(super) base: Box<str>,
    pub(super) out: VecDeque<Out>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) by_topic: BTreeMap<Box<str>, DeviceId>,
    pub(super) groups: BTreeMap<u16, Group>,
    pub(super) batches: BTreeMap<Ticket, Vec<Option<Result<SetDone, ErrorBody>>>>,
    pub(super) jobs: Vec<Job>,
    pub(super) jobs_begun: u64,
    /// What makes transactions this hub's own.
    pub(super) name: Box<str>,
    /// Since when; `None`: not connected.
    connected: Option<Instant>,
    /// Why not.
    lost: RadioStatus,
    /// `bridge/state`; `None`: nobody has said.
    is_online: Option<bool>,
    /// Its list has come, at any time.
    pub(super) is_listed: bool,
    /// The house was told of all devices since the connection began.
    pub(super) is_told: bool,
    pub(super) told: Option<RadioStatus>,
    /// `bridge/info`, without the schema of its settings.
    pub(super) info: Value,
    permit_until_ms: Option<UnixMillis>,
    tick_at: Option<Instant>,
    pub(super) first_reads: VecDeque<DeviceId>,
    pub(super) first_read_at: Option<Instant>,
}

impl Bridge {
    /// `name`: the client's, one of its own in the house.
    pub fn new(base_topic: &str, name: &str) -> Bridge {
        Bridge {
            base: base_topic.into(),
            out: VecDeque::new(),
            devices: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            groups: BTreeMap::new(),
            batches: BTreeMap::new(),
            jobs: Vec::new(),
            jobs_begun: 0,
            name: name.into(),
            connected: None,
            lost: RadioStatus::Starting,
            is_online: None,
            is_listed: false,
            is_told: false,
            told: None,
            info: Value::Null,
            permit_until_ms: None,
            tick_at: None,
            first_reads: VecDeque::new(),
            first_read_at: None,
        }
    }

    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    pub fn handle_connected(&mut self, now: Now) {
        self.connected = Some(now.at);
        self.is_online = None;
        self.was_deaf();
        // What the broker keeps comes first, and then nobody is asked for it.
        self.first_read_at = None;
        self.is_told = false;
        let bridge = ["state", "info", "devices", "groups", "event", "logging", "response/#"];
        let mut topics: Vec<String> = bridge.iter().map(|topic| format!("{}/bridge/{topic}", self.base)).collect();
        topics.extend(self.devices.values().flat_map(|device| self.topics_of(device.name())));
        topics.extend(self.groups.values().map(|group| format!("{}/{}", self.base, group.topic)));
        self.out.push_back(Out::Subscribe(topics));
        self.refresh(now);
    }

    /// The broker is gone, or was not there; `status` says why.
    pub fn handle_disconnected(&mut self, status: RadioStatus, now: Now) {
        self.connected = None;
        self.is_online = None;
        self.lost = status;
        self.refresh(now);
    }

    pub fn handle_message(&mut self, topic: &str, payload: &[u8], is_retained: bool, now: Now) {
        let Some(rest) = topic.strip_prefix(&*self.base).and_then(|rest| rest.strip_prefix('/')) else { return };
        let limit = match rest {
            "bridge/logging" => LOG_PAYLOAD_BYTES_MAX,
            _ if rest.starts_with("bridge/") => BRIDGE_PAYLOAD_BYTES_MAX,
            _ => STATE_PAYLOAD_BYTES_MAX,
        };
        if payload.len() > limit {
            tracing::debug!(topic, bytes = payload.len(), "a message is too long and is not read");
            return;
        }
        match rest.strip_prefix("bridge/") {
            Some("state") => self.state(payload, now),
            Some("info") => self.bridge_info(payload, now),
            Some("devices") => self.listing(payload, now),
            Some("groups") => self.grouping(payload),
            Some("event") if !is_retained => self.event(payload, now),
            Some("logging") if !is_retained => self.logging(payload, now),
            Some(other) => {
                if let (Some(path), false) = (other.strip_prefix("response/"), is_retained) {
                    self.response(path, payload, now);
                }
            }
            None => self.of_device(rest, payload, is_retained, now),
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let retained = self.connected.map(|at| at + RETAINED).filter(|_| self.told == Some(RadioStatus::Starting));
        let commands = self.devices.values().filter_map(|device| Some(device.commands.front()?.wakes_at()));
        let jobs = self.jobs.iter().map(|job| job.deadline);
        let first_read = self.first_read_at.filter(|_| self.is_up() && !self.first_reads.is_empty());
        retained.into_iter().chain(commands).chain(jobs).chain(self.tick_at).chain(first_read).min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.refresh(now);
        self.jobs_due(now);
        self.commands_due(now);
        if self.tick_at.is_some_and(|at| at <= now.at) {
            self.tick(now);
        }
        self.first_read(now);
    }

    pub fn is_up(&self) -> bool {
        self.told == Some(RadioStatus::Up)
    }

    /// Why nothing can be asked of it now.
    pub(super) fn down(&self) -> ErrorBody {
        let why = match &self.told {
            Some(RadioStatus::Absent { why } | RadioStatus::Down { why } | RadioStatus::Refused { why }) => {
                why.to_string()
            }
            _ => "Zigbee2MQTT has not been heard of yet".to_owned(),
        };
        body(ErrorCode::RadioDown, why)
    }

    pub(super) fn topic(&self, of: &str, end: &str) -> String {
        format!("{}/{of}/{end}", self.base)
    }

    pub(super) fn publish(&mut self, topic: String, payload: &Value) {
        self.out.push_back(Out::Publish { topic, payload: payload.to_string().into_bytes() });
    }

    pub(super) fn tell(&mut self, event: SourceEvent) {
        self.out.push_back(Out::Tell(event));
    }

    /// Makes out how it is, and tells when that is news.
    pub(super) fn refresh(&mut self, now: Now) {
        let late = self.connected.is_some_and(|since| now.at >= since + RETAINED);
        let down = |why: String| RadioStatus::Down { why: why.into() };
        let output = self.info.pointer("/config/advanced/output").and_then(Value::as_str);
        let status = match (self.connected, self.is_online, self.is_listed) {
            (None, ..) => self.lost.clone(),
            (_, Some(false), _) => down("Zigbee2MQTT is offline; look at its log".into()),
            (_, Some(true), _) if output == Some("attribute") => RadioStatus::Refused {
                why: "Zigbee2MQTT publishes attributes alone (`advanced.output: attribute`); set it to `json` or `attribute_and_json`"
                    .into(),
            },
            (_, Some(true), true) => RadioStatus::Up,
            (_, Some(true), false) if late => {
                down("Zigbee2MQTT is online, and the broker has lost its list of devices; restart Zigbee2MQTT".into())
            }
            (_, None, _) if late => {
                down(format!("there is no Zigbee2MQTT under `{}` on the broker; does it run, and is that its `base_topic`?", self.base))
            }
            _ => RadioStatus::Starting,
        };
        if self.told.as_ref() == Some(&status) {
            return;
        }
        self.told = Some(status.clone());
        self.tell(SourceEvent::Radio(status));
        if !self.is_up() {
            let why = self.down();
            self.fail_all(&why);
            self.set_permit(None, now);
        }
    }

    /// Everything under way fails.
    fn fail_all(&mut self, why: &ErrorBody) {
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        for id in ids {
            self.fail_commands(&id, why);
        }
        self.fail_jobs(why);
    }

    fn state(&mut self, payload: &[u8], now: Now) {
        if let Some(is_online) = online(payload) {
            if self.is_online.replace(is_online) == Some(false) && is_online {
                self.was_deaf();
            }
            self.refresh(now);
        }
    }

    fn bridge_info(&mut self, payload: &[u8], now: Now) {
        let Ok(Value::Object(mut info)) = serde_json::from_slice(payload) else { return };
        info.remove("config_schema");
        self.info = Value::Object(info);
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        for id in ids {
            let is_optimistic = self.is_optimistic(&id);
            let is_logged = self.is_logged();
            let is_watched = self.is_watched(&id);
            let device = self.devices.get_mut(&id).expect("it is of the list");
            (device.is_optimistic, device.is_logged) = (is_optimistic, is_logged);
            if !is_watched && device.listed.info.available.take().is_some() {
                let info = device.listed.info.clone();
                self.tell(SourceEvent::Device(Box::new(info)));
            }
        }
        let is_open = self.info["permit_join"].as_bool().unwrap_or(false);
        let until = self.info["permit_join_end"].as_u64().filter(|until| *until > now.unix_ms);
        self.set_permit(until.filter(|_| is_open), now);
        self.refresh(now);
    }

    /// Its options of a device; a missing one is that of all devices, and then true.
    pub(super) fn is_optimistic(&self, id: &DeviceId) -> bool {
        let config = &self.info["config"];
        let own = config["devices"][&*id.0]["optimistic"].as_bool();
        own.or(config["device_options"]["optimistic"].as_bool()).unwrap_or(true)
    }

    /// Whether it looks after the device's reach. Where it does not any more, its last word of it stays on the broker for good.
    pub(super) fn is_watched(&self, id: &DeviceId) -> bool {
        let config = &self.info["config"];
        let is_on = |setting: &Value| match setting {
            Value::Null => None,
            Value::Object(all) => Some(all.get("enabled").is_none_or(|enabled| *enabled != false)),
            setting => Some(*setting != false),
        };
        let own = is_on(&config["devices"][&*id.0]["availability"]);
        own.or_else(|| is_on(&config["availability"])).unwrap_or(true)
    }

    fn set_permit(&mut self, until_ms: Option<UnixMillis>, now: Now) {
        if self.permit_until_ms == until_ms {
            return;
        }
        let was_open = self.permit_until_ms.is_some();
        self.permit_until_ms = until_ms;
        if until_ms.is_some() {
            self.tick(now);
        } else {
            self.tick_at = None;
            if was_open {
                self.tell(SourceEvent::Pairing(PairingNews::Closed));
            }
        }
    }

    /// Tells how long devices may still join. It closes by Zigbee2MQTT's own word, and by the clock where that is late.
    fn tick(&mut self, now: Now) {
        let Some(until_ms) = self.permit_until_ms else { return };
        let left_ms = until_ms.saturating_sub(now.unix_ms);
        if left_ms == 0 {
            return self.set_permit(None, now);
        }
        self.tick_at = Some(now.at + TICK.min(Duration::from_millis(left_ms)));
        let seconds_left = u16::try_from(left_ms.div_ceil(1000)).unwrap_or(u16::MAX);
        self.tell(SourceEvent::Pairing(PairingNews::Open { seconds_left }));
    }

    /// A line of its log: that a command failed is said nowhere else.
    fn logging(&mut self, payload: &[u8], now: Now) {
        if !payload.windows(7).any(|word| word == b"\"error\"") {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Value>(payload) else { return };
        if line["level"] != "error" {
            return;
        }
        let Some(failed) = line["message"].as_str().and_then(failed) else { return };
        let device = self.by_topic.get(failed.name).cloned().or_else(|| device_id(failed.name));
        match device {
            Some(id) => self.command_failed(&id, failed.is_get, &failed.why, now),
            None => self.multicast_failed(failed.name, &failed.why, now),
        }
    }

    /// A topic of a device or a group: its state, or whether it is there.
    fn of_device(&mut self, rest: &str, payload: &[u8], is_retained: bool, now: Now) {
        if let Some(id) = self.by_topic.get(rest).cloned() {
            if let Ok(Value::Object(state)) = serde_json::from_slice(payload) {
                self.published(&id, state, is_retained, now);
            }
        } else if let Some(id) = rest.strip_suffix("/availability").and_then(|name| self.by_topic.get(name)).cloned() {
            if let Some(available) = online(payload) {
                self.available(&id, available);
            }
        } else if let Some(group) = self.groups.values().find(|group| *group.topic == *rest).map(|group| group.id) {
            self.group_published(group, now);
        }
    }
}

/// `{"state":"online"}`, or the bare word of older versions.
fn online(payload: &[u8]) -> Option<bool> {
    let state = serde_json::from_slice::<Value>(payload).ok();
    let word = state.as_ref().and_then(|state| state.get("state")?.as_str());
    match word.or_else(|| std::str::from_utf8(payload).ok())?.trim().trim_matches('"') {
        "online" => Some(true),
        "offline" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "replay_tests.rs"]
mod replay;
