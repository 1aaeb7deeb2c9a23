//! What the tests of the state machine share: a house by its topics, with a clock of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bridge::Bridge;
use super::out::{Answer, Now, Out, Ticket};
use super::request::Request;
use crate::common::error::ErrorCode;
use crate::home::{DeviceId, RadioStatus, SourceEvent};

pub const LAMP: &str = "0x00158d0000000b01";
pub const PLUG: &str = "0x04cd150000000e04";
pub const SENSOR: &str = "0x00124b0000000c02";
pub const REMOTE: &str = "0x000b570000000f05";
pub const TUYA: &str = "0xa4c1380000001006";
pub const NEW: &str = "0x02ac3e0000001107";

/// Just so long that all that was to wait has waited.
const TICK_MS: u64 = 10;

pub fn id(text: &str) -> DeviceId {
    DeviceId(text.into())
}

pub struct World {
    pub bridge: Bridge,
    pub start: Instant,
    pub ms: u64,
    pub tickets: Ticket,
    pub told: Vec<SourceEvent>,
    pub sent: Vec<(String, Value)>,
    pub topics: Vec<String>,
    pub answers: BTreeMap<Ticket, Answer>,
}

impl World {
    /// Connected; the broker has sent nothing.
    #[expect(clippy::disallowed_methods, reason = "a start for a clock that the test moves")]
    pub fn new(base: &str) -> World {
        let mut world = World {
            bridge: Bridge::new(base, "hearth-test"),
            start: Instant::now(),
            ms: 0,
            tickets: 0,
            told: Vec::new(),
            sent: Vec::new(),
            topics: Vec::new(),
            answers: BTreeMap::new(),
        };
        world.bridge.handle_connected(world.now());
        world.drain();
        world
    }

    /// With a lamp, a plug, a sensor, a remote, and a Tuya switch; all known and quiet.
    pub fn home() -> World {
        let mut world = World::new("zigbee2mqtt");
        world.say("bridge/state", json!({"state": "online"}));
        world.say(
            "bridge/info",
            json!({"version": "2.14.1", "permit_join": false, "network": {"channel": 15}, "config": {}}),
        );
        world.say("bridge/groups", json!([]));
        world.say("bridge/devices", house());
        world.pass(5_000);
        world.say("hall/lamp", json!({"state": "OFF", "brightness": 100, "linkquality": 90}));
        world.say("plug", json!({"state": "OFF", "power": 0, "linkquality": 90}));
        world.say("switch", json!({"state": "OFF"}));
        world.told.clear();
        world.sent.clear();
        world
    }

    pub fn now(&self) -> Now {
        Now { at: self.start + Duration::from_millis(self.ms), unix_ms: 1_700_000_000_000 + self.ms }
    }

    pub fn drain(&mut self) {
        while let Some(out) = self.bridge.poll() {
            match out {
                Out::Tell(event) => self.told.push(event),
                Out::Publish { topic, payload } => self.sent.push((topic, serde_json::from_slice(&payload).unwrap())),
                Out::Subscribe(topics) => self.topics.extend(topics),
                Out::Unsubscribe(topics) => self.topics.retain(|topic| !topics.contains(topic)),
                Out::Answer(ticket, answer) => drop(self.answers.insert(ticket, answer)),
            }
        }
    }

    pub fn message(&mut self, topic: &str, payload: &[u8], is_retained: bool) {
        let topic = format!("{}/{topic}", self.bridge.base);
        self.bridge.handle_message(&topic, payload, is_retained, self.now());
        self.drain();
    }

    pub fn say(&mut self, topic: &str, payload: Value) {
        self.message(topic, payload.to_string().as_bytes(), false);
    }

    pub fn log(&mut self, message: &str) {
        self.say("bridge/logging", json!({"level": "error", "message": message, "namespace": "z2m"}));
    }

    /// Lets time go by, and what has waited for it happen.
    pub fn pass(&mut self, ms: u64) {
        let until = self.ms + ms;
        while self.ms < until {
            self.ms = (self.ms + TICK_MS).min(until);
            if self.bridge.poll_timeout().is_some_and(|at| at <= self.now().at) {
                self.bridge.handle_timeout(self.now());
                self.drain();
                let next = self.bridge.poll_timeout();
                assert!(
                    next.is_none_or(|at| at > self.now().at),
                    "what was due is done: a driver would go round and round"
                );
            }
        }
    }

    pub fn set(&mut self, targets: &[&str], set: Value, group: Option<u16>) -> Ticket {
        self.tickets += 1;
        let targets: Vec<_> = targets.iter().map(|target| id(target)).collect();
        let Value::Object(set) = set else { panic!("{set}") };
        self.bridge.set(self.tickets, &targets, &set, group, self.now());
        self.drain();
        self.tickets
    }

    pub fn read(&mut self, target: &str, properties: &[&str]) -> Ticket {
        self.tickets += 1;
        let properties = properties.iter().map(|property| (*property).into()).collect();
        self.bridge.read(self.tickets, &id(target), properties, self.now());
        self.drain();
        self.tickets
    }

    pub fn request(&mut self, request: Request) -> Ticket {
        self.tickets += 1;
        self.bridge.request(self.tickets, request, self.now());
        self.drain();
        self.tickets
    }

    /// Answers the last request as Zigbee2MQTT would.
    pub fn respond(&mut self, mut response: Value) {
        let (topic, payload) = self.sent.last().unwrap().clone();
        response["transaction"] = payload["transaction"].clone();
        let topic = topic.replace("/request/", "/response/");
        let topic = topic.strip_prefix("zigbee2mqtt/").unwrap().to_owned();
        self.say(&topic, response);
    }

    pub fn sent(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.sent)
    }

    pub fn is_open(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    /// What the only target of a command confirmed, or why not.
    pub fn result(&mut self, ticket: Ticket) -> Result<Value, ErrorCode> {
        self.results(ticket).remove(0)
    }

    pub fn results(&mut self, ticket: Ticket) -> Vec<Result<Value, ErrorCode>> {
        match self.answers.remove(&ticket) {
            Some(Answer::Set(results)) => {
                results.into_iter().map(|result| result.map(|done| done.state.into()).map_err(|why| why.code)).collect()
            }
            Some(Answer::Read(result)) => vec![result.map(Value::Object).map_err(|why| why.code)],
            Some(Answer::Request(result)) => vec![result.map_err(|why| why.code)],
            None => panic!("it is not answered"),
        }
    }

    pub fn told(&mut self) -> Vec<SourceEvent> {
        std::mem::take(&mut self.told)
    }

    /// The last word on how it is.
    pub fn status(&self) -> &RadioStatus {
        self.bridge.told.as_ref().unwrap()
    }
}

pub fn binary(property: &str, access: u8) -> Value {
    json!({"type": "binary", "name": property, "property": property, "access": access,
           "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE"})
}

pub fn numeric(property: &str, access: u8) -> Value {
    json!({"type": "numeric", "name": property, "property": property, "access": access, "value_min": 0, "value_max": 254})
}

pub fn entry(id: &str, name: &str, kind: &str, power: &str, exposes: Value) -> Value {
    json!({"ieee_address": id, "friendly_name": name, "type": kind, "power_source": power, "supported": true,
           "interview_state": "SUCCESSFUL", "disabled": false, "model_id": "M", "manufacturer": "Acme",
           "definition": {"model": "M-1", "vendor": "Acme", "description": "it", "exposes": exposes}})
}

pub fn house() -> Value {
    let lamp = json!([{"type": "light", "features": [binary("state", 7), numeric("brightness", 7)]},
                      {"type": "enum", "name": "effect", "property": "effect", "access": 2, "values": ["blink"]}]);
    let plug = json!([{"type": "switch", "features": [binary("state", 7)]}, numeric("power", 5)]);
    let remote = json!([{"type": "enum", "name": "action", "property": "action", "access": 1, "values": ["on"]},
                        {"type": "enum", "name": "identify", "property": "identify", "access": 2, "values": ["identify"]}]);
    let mut tuya = entry(
        TUYA,
        "switch",
        "Router",
        "Mains (single phase)",
        json!([{"type": "switch", "features": [binary("state", 3)]}]),
    );
    tuya["model_id"] = "TS0601".into();
    json!([
        {"ieee_address": "0x00124b0014b5c001", "type": "Coordinator", "friendly_name": "Coordinator"},
        entry(LAMP, "hall/lamp", "Router", "Mains (single phase)", lamp),
        entry(PLUG, "plug", "Router", "Mains (single phase)", plug),
        entry(SENSOR, "climate", "EndDevice", "Battery", json!([numeric("temperature", 1), numeric("humidity", 1)])),
        entry(REMOTE, "remote", "EndDevice", "Battery", remote),
        tuya,
    ])
}
