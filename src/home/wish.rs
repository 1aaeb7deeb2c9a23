//! What is asked of devices and what came of it, in the words of the tools. Does nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::source::DeviceId;
use crate::common::capability::Domain;
use crate::common::error::ErrorBody;

/// Names in one wish.
pub const TARGETS_MAX: usize = 512;

/// Properties in one wish.
pub const PROPERTIES_MAX: usize = 64;

/// `devices.set`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    pub targets: Targets,
    /// Properties and the values that they are to have, such as `{"state": "ON", "brightness": 127}`.
    pub set: Map<String, Value>,
}

/// Which devices.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Targets {
    /// Ids, names or aliases of devices and groups. Each must be there and must take all that is set.
    Named(Vec<String>),
    /// All of a kind. Those that take nothing of what is set are left out; one that takes a part is told that part, and one with
    /// several of a kind (`state_left`, `state_right`) all of them.
    Where(Selection),
}

/// All devices that are not hidden, in a room, of a domain.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// A room's id, name or alias; absent: the whole house.
    pub room: Option<String>,
    /// Absent: all that take what is set.
    pub domain: Option<Domain>,
    /// Ids, names or aliases of devices and groups that stay as they are.
    pub except: Vec<String>,
}

/// What came of it for one device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SetResult {
    pub id: DeviceId,
    pub name: Box<str>,
    /// The device has confirmed it; of what stands in `taken`, that it has begun.
    pub ok: bool,
    /// What it confirmed or reported after the command; nothing where it failed.
    pub state: Map<String, Value>,
    /// Properties that it does not have and was not told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub left_out: Vec<Box<str>>,
    /// Properties of which it has confirmed that it took the command, and nothing more: it has not said that they are so. A
    /// cover tells by itself when it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub taken: Vec<Box<str>>,
    /// From the wish to this answer, the wait for earlier commands to the same device included.
    pub ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}
