//! A device as every door shows it: what its source knows and what the owner says, in one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::source::{Backend, DeviceId, Power};
use crate::common::capability::{Capability, Domain};
use crate::common::json_text::Details;
use crate::common::time::UnixMillis;

/// A device of the house.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Device {
    pub id: DeviceId,
    /// Unique among devices and groups, whatever the case of its letters.
    pub name: Box<str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "shared")]
    #[schemars(with = "Vec<Box<str>>", default)]
    pub aliases: Arc<[Box<str>]>,
    /// The id of its room.
    pub room: Option<Box<str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub hidden: bool,
    pub model: Option<Box<str>>,
    pub vendor: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    pub backend: Backend,
    pub power: Power,
    /// `null`: nobody knows. A device whose radio is down is not available, whatever was heard of it.
    pub available: Option<bool>,
    /// False: it has not told yet what it is.
    pub interviewed: bool,
    /// False: no definition knows it; what it can do was made out from what it says of itself.
    pub supported: bool,
    pub is_router: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<UnixMillis>,
    /// What it is to people, the first being what it is mostly.
    pub domains: Box<[Domain]>,
    #[serde(serialize_with = "shared")]
    #[schemars(with = "Vec<Capability>")]
    pub capabilities: Arc<[Capability]>,
    /// What it reported.
    pub state: Map<String, Value>,
    /// What it was told and has not confirmed yet; absent: nothing.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(default)]
    pub desired: Map<String, Value>,
    /// What only an engineer asks for; the doors show it where one device is asked for.
    #[serde(skip)]
    pub details: Details,
    /// Of the owner's record.
    pub revision: u64,
}

/// What an owner changes of a device. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceEdit {
    /// 1 to 64 characters.
    pub name: Option<String>,
    pub aliases: Option<Vec<String>>,
    /// A room's id, name or alias; empty: none.
    pub room: Option<String>,
    pub hidden: Option<bool>,
}

impl Device {
    /// The capability of a property.
    pub fn capability(&self, property: &str) -> Option<&Capability> {
        self.capabilities.iter().find(|one| &*one.property == property)
    }

    pub fn is_a(&self, domain: Domain) -> bool {
        self.domains.contains(&domain)
    }
}

fn shared<T: Serialize, S: Serializer>(list: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
    (**list).serialize(serializer)
}
