//! The words about changes of the house.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway::session::topics::{Changes, Family};

/// `subscribe`: what the client wants to hear of from now on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// `conversations`, `conversation/<id>`, `devices`, `device/<id>`, `mcp`, `pairing`, `profiles`, `rooms`, `settings`, `tools`,
    /// `usage`, `users`.
    #[schemars(length(max = 64))]
    pub topics: Vec<String>,
    /// What is there comes first.
    #[serde(default)]
    pub snapshot: bool,
}

/// `unsubscribe`: what it wants to hear of no more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Unsubscribe {
    #[schemars(length(max = 64))]
    pub topics: Vec<String>,
}

/// Something changed. Either `reread`, or one thing as it is now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Event<'a> {
    pub topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Family>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// Rises with every change in the house; an event with a lower one than the last of its key is older than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
    /// The thing itself, without secrets; absent where it is gone, is to be read elsewhere, or only `changes` of it are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<&'a Value>,
    /// Of a device: what changed. To be put over the record that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<&'a Changes>,
    /// It was there already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
    /// Something was missed or cannot be told: read the topic's things again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reread: bool,
}

impl<'a> Event<'a> {
    /// That a topic is to be read again.
    pub fn reread(topic: &'a str) -> Event<'a> {
        Event {
            topic,
            kind: None,
            key: None,
            revision: None,
            deleted: None,
            record: None,
            changes: None,
            snapshot: false,
            reread: true,
        }
    }
}
