//! Kinds of device: a lamp, one of which nothing can be read, one that tells by itself, and whatever nobody knows.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::common::capability::{Capability, CapabilityKind};
use crate::zigbee::definitions::{
    Body, Command, Decoded, Definition, Definitions, Expect, Expected, Heard, Identity, Memory, Plan, Read, Refusal,
    Reporting, Setup, What,
};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::value::Value;

pub const ON_OFF: ClusterId = ClusterId(0x0006);
pub const LEVEL: ClusterId = ClusterId(0x0008);

pub struct Kinds;

impl Definitions for Kinds {
    fn find(&self, identity: &Identity) -> Arc<dyn Definition> {
        Arc::new(match identity.model_id.as_deref() {
            Some("lamp") => Kind::Lamp,
            Some("mute") => Kind::Mute,
            Some("sensor") => Kind::Sensor,
            _ => Kind::Unknown,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lamp,
    /// Takes commands, and cannot be asked.
    Mute,
    /// Tells by itself, and cannot be asked as far as its definition knows.
    Sensor,
    Unknown,
}

const ENDPOINT: Endpoint = Endpoint(1);

impl Definition for Kind {
    fn model(&self) -> Option<&str> {
        (*self != Kind::Unknown).then_some("LAMP-1")
    }

    fn vendor(&self) -> Option<&str> {
        None
    }

    fn description(&self) -> Option<&str> {
        None
    }

    fn is_supported(&self) -> bool {
        *self != Kind::Unknown
    }

    fn capabilities(&self, _: &Identity) -> Vec<Capability> {
        let kind = CapabilityKind::Binary { value_on: json!("ON"), value_off: json!("OFF"), value_toggle: None };
        vec![Capability {
            property: "state".into(),
            name: "state".into(),
            endpoint: None,
            part_of: None,
            kind,
            reported: true,
            settable: true,
            readable: true,
            unit: None,
            description: None,
            category: None,
        }]
    }

    fn setup(&self, _: &Identity) -> Vec<Setup> {
        let reporting =
            Reporting { attribute: AttributeId(0), data_type: DataType::Bool, min_s: 0, max_s: 3600, change: None };
        let mut setup = vec![
            Setup::Bind { endpoint: ENDPOINT, cluster: ON_OFF },
            Setup::Report { endpoint: ENDPOINT, cluster: ON_OFF, maker: None, attributes: vec![reporting] },
        ];
        match self {
            Kind::Lamp => setup.push(Setup::Read(read(ON_OFF))),
            Kind::Sensor => {}
            Kind::Mute | Kind::Unknown => setup.clear(),
        }
        setup
    }

    fn decode(&self, _: &Identity, heard: &Heard<'_>, _: &mut Memory) -> Decoded {
        let mut decoded = Decoded::default();
        match heard.what {
            What::Attributes { attributes, .. } => {
                for (_, typed) in attributes {
                    match (heard.cluster, &typed.value) {
                        (ON_OFF, Value::Bool(on)) => {
                            decoded.changes.insert("state".into(), json!(if *on { "ON" } else { "OFF" }));
                        }
                        (LEVEL, Value::Unsigned(level)) => {
                            decoded.changes.insert("brightness".into(), json!(level));
                        }
                        _ => {}
                    }
                }
            }
            What::Command { header, .. } if heard.cluster == ON_OFF => {
                decoded.changes.insert("action".into(), json!(format!("command_{}", header.command)));
            }
            What::Command { .. } => {}
        }
        decoded
    }

    fn encode(&self, _: &Identity, set: &Map<String, Json>, _: &Memory) -> Result<Plan, Refusal> {
        let mut plan = Plan::default();
        for (property, value) in set {
            let (command, value) = match (property.as_str(), value.as_str()) {
                ("state", Some("ON")) => (on_off(1), Expect::Value { value: json!("ON"), tolerance: 0.0 }),
                ("state", Some("OFF")) => (on_off(0), Expect::Value { value: json!("OFF"), tolerance: 0.0 }),
                ("state", Some("TOGGLE")) => (on_off(2), Expect::Any),
                ("brightness", _) => {
                    let level = value.as_u64().and_then(|level| u8::try_from(level).ok()).unwrap_or(0);
                    let tenths = set.get("transition").and_then(Json::as_u64).unwrap_or(0) * 10;
                    plan.lasts = Duration::from_millis(tenths * 100);
                    let [low, high] = u16::try_from(tenths).unwrap_or(0).to_le_bytes();
                    let body = Body::Cluster { command: 4, payload: vec![level, low, high] };
                    let command = Command { endpoint: ENDPOINT, cluster: LEVEL, maker: None, body, is_answered: true };
                    (command, Expect::Value { value: json!(level), tolerance: 1.0 })
                }
                ("transition", _) => continue,
                ("state", _) => return Err(Refusal::Value { property: "state".into(), why: "ON or OFF".into() }),
                _ => return Err(Refusal::Unknown(property.as_str().into())),
            };
            let value = match (self, value) {
                (Kind::Mute, Expect::Value { value, .. }) => Expect::Taken { value },
                (_, value) => value,
            };
            if *self != Kind::Mute {
                plan.reads.push(read(command.cluster));
            }
            plan.commands.push(command);
            plan.expect.push(Expected { property: property.as_str().into(), value });
        }
        Ok(plan)
    }

    fn reads(&self, _: &Identity, _: &[Box<str>]) -> Vec<Read> {
        if matches!(self, Kind::Mute | Kind::Sensor) { Vec::new() } else { vec![read(ON_OFF)] }
    }
}

fn on_off(command: u8) -> Command {
    let body = Body::Cluster { command, payload: Vec::new() };
    Command { endpoint: ENDPOINT, cluster: ON_OFF, maker: None, body, is_answered: true }
}

fn read(cluster: ClusterId) -> Read {
    Read { endpoint: ENDPOINT, cluster, maker: None, attributes: vec![AttributeId(0)] }
}
