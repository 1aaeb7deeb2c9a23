//! One device as the network knows it, and the document by which it is found again after a restart. Sends nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::common::time::UnixMillis;
use crate::zigbee::definitions::{Definition, Definitions, Identity, Memory};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, GroupId, Ieee, Nwk};
use crate::zigbee::zdo::{LogicalType, NodeDescriptor};

/// Of the document; a later one that reads differently has another number.
const VERSION: u8 = 1;

/// `powerSource` of the basic cluster (ZCL r8 §3.2.2.2.8) without the bit of a second source.
const BATTERY: u8 = 0x03;

pub struct Device {
    pub identity: Identity,
    pub nwk: Nwk,
    pub node: Option<NodeDescriptor>,
    pub definition: Arc<dyn Definition>,
    pub memory: Memory,
    /// It has told what it is.
    pub interviewed: bool,
    /// It was told what to tell, and took it.
    pub is_set_up: bool,
    /// What it would not take, for engineers.
    pub refused: Vec<Box<str>>,
    pub reported: BTreeSet<(Endpoint, ClusterId, AttributeId)>,
    pub groups: BTreeSet<(GroupId, Endpoint)>,
    pub last_seen_ms: Option<UnixMillis>,
    pub lqi: Option<u8>,
    /// `None`: nobody knows.
    pub available: Option<bool>,
    /// Heard in this run.
    pub heard_at: Option<Instant>,
    /// When the house was last told that it was seen.
    pub told_seen: Option<Instant>,
    /// Since when the document on the disk is older than this.
    pub dirty_since: Option<Instant>,
}

/// The document.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u8,
    nwk: Nwk,
    identity: Identity,
    #[serde(default)]
    node: Option<NodeDescriptor>,
    #[serde(default)]
    memory: Memory,
    interviewed: bool,
    #[serde(default)]
    is_set_up: bool,
    #[serde(default)]
    refused: Vec<Box<str>>,
    #[serde(default)]
    reported: BTreeSet<(Endpoint, ClusterId, AttributeId)>,
    #[serde(default)]
    groups: BTreeSet<(GroupId, Endpoint)>,
    #[serde(default)]
    last_seen_ms: Option<UnixMillis>,
}

/// A document that is none of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is no device's document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it was written by a later version ({0})")]
    Version(u8),
}

impl Device {
    /// One of which nothing is known but its addresses.
    pub fn new(ieee: Ieee, nwk: Nwk, definitions: &dyn Definitions) -> Device {
        let identity = Identity {
            ieee,
            logical_type: None,
            maker: None,
            endpoints: Vec::new(),
            model_id: None,
            maker_name: None,
            power_source: None,
            zcl_version: None,
            app_version: None,
            stack_version: None,
            hardware_version: None,
            date_code: None,
            software_build: None,
        };
        Device {
            definition: definitions.find(&identity),
            identity,
            nwk,
            node: None,
            memory: Memory::default(),
            interviewed: false,
            is_set_up: false,
            refused: Vec::new(),
            reported: BTreeSet::new(),
            groups: BTreeSet::new(),
            last_seen_ms: None,
            lqi: None,
            available: None,
            heard_at: None,
            told_seen: None,
            dirty_since: None,
        }
    }

    pub fn from_document(document: &Value, definitions: &dyn Definitions) -> Result<Device, RecordError> {
        let record = Record::deserialize(document)?;
        if record.version != VERSION {
            return Err(RecordError::Version(record.version));
        }
        Ok(Device {
            definition: definitions.find(&record.identity),
            identity: record.identity,
            nwk: record.nwk,
            node: record.node,
            memory: record.memory,
            interviewed: record.interviewed,
            is_set_up: record.is_set_up,
            refused: record.refused,
            reported: record.reported,
            groups: record.groups,
            last_seen_ms: record.last_seen_ms,
            lqi: None,
            available: None,
            heard_at: None,
            told_seen: None,
            dirty_since: None,
        })
    }

    pub fn document(&self) -> Value {
        let record = Record {
            version: VERSION,
            nwk: self.nwk,
            identity: self.identity.clone(),
            node: self.node,
            memory: self.memory.clone(),
            interviewed: self.interviewed,
            is_set_up: self.is_set_up,
            refused: self.refused.clone(),
            reported: self.reported.clone(),
            groups: self.groups.clone(),
            last_seen_ms: self.last_seen_ms,
        };
        serde_json::to_value(record).expect("all keys of a record are strings")
    }

    pub fn ieee(&self) -> Ieee {
        self.identity.ieee
    }

    /// It listens only now and then. Of one that has not said what it is, nobody knows, and it is taken to listen.
    pub fn sleeps(&self) -> bool {
        self.node.is_some_and(|node| !node.capability.listens_when_idle())
    }

    pub fn is_router(&self) -> bool {
        self.node.is_some_and(|node| node.logical_type == LogicalType::Router)
    }

    /// `None`: unknown.
    pub fn has_battery(&self) -> Option<bool> {
        match (self.identity.power_source.map(|source| source & 0x7f), self.node) {
            (Some(BATTERY), _) => Some(true),
            (Some(1..), _) => Some(false),
            (_, Some(node)) => Some(!node.capability.has_mains()),
            (_, None) => None,
        }
    }

    /// The first endpoint that has this cluster as a server.
    pub fn endpoint_with(&self, cluster: ClusterId) -> Option<Endpoint> {
        self.endpoints_with(cluster).next()
    }

    pub fn endpoints_with(&self, cluster: ClusterId) -> impl Iterator<Item = Endpoint> + '_ {
        let endpoints = self.identity.endpoints.iter();
        endpoints.filter(move |endpoint| endpoint.inputs.contains(&cluster)).map(|endpoint| endpoint.endpoint)
    }

    /// What only an engineer asks for.
    pub fn details(&self) -> Map<String, Value> {
        let identity = &self.identity;
        let endpoints: Vec<Value> = identity
            .endpoints
            .iter()
            .map(|endpoint| {
                let shown = |clusters: &[ClusterId]| clusters.iter().map(ToString::to_string).collect::<Vec<_>>();
                json!({
                    "endpoint": endpoint.endpoint,
                    "profile": endpoint.profile.to_string(),
                    "device": format!("{:#06x}", endpoint.device),
                    "inputs": shown(&endpoint.inputs),
                    "outputs": shown(&endpoint.outputs),
                })
            })
            .collect();
        let groups: Vec<Value> =
            self.groups.iter().map(|(group, endpoint)| json!({"group": group.0, "endpoint": endpoint.0})).collect();
        let details = json!({
            "network_address": self.nwk.to_string(),
            "type": identity.logical_type,
            "maker_code": identity.maker.map(|maker| maker.to_string()),
            "model_id": identity.model_id,
            "maker_name": identity.maker_name,
            "firmware": identity.software_build,
            "date_code": identity.date_code,
            "application_version": identity.app_version,
            "hardware_version": identity.hardware_version,
            "sleeps": self.sleeps(),
            "set_up": self.is_set_up,
            "refused": self.refused,
            "linkquality": self.lqi,
            "endpoints": endpoints,
            "groups": groups,
        });
        match details {
            Value::Object(details) => details,
            _ => unreachable!("an object was written"),
        }
    }
}
