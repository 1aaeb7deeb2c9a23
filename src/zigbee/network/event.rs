//! What the network is asked and what it tells, in words close to those of the house. Holds no state.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::common::capability::Capability;
use crate::common::error::ErrorBody;
use crate::common::time::UnixMillis;
use crate::zigbee::ncp::Persisted;
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee};
use crate::zigbee::zdo::Binding;

/// Goes with a request and comes back with its one answer.
pub type RequestId = u64;

#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Sets properties of some devices and waits until each has confirmed or has not. `group`: all of them are in it, and one
    /// multicast may do. Answered by [`Reply::Set`].
    Set {
        targets: Vec<Ieee>,
        set: Map<String, Value>,
        group: Option<GroupId>,
    },
    /// All that can be read where `properties` is empty. Answered by [`Reply::Values`].
    Read {
        ieee: Ieee,
        properties: Vec<Box<str>>,
    },
    Pairing {
        seconds: u8,
        via: Option<Ieee>,
        install_code: Option<(Ieee, [u8; 18])>,
    },
    /// `force`: it is forgotten also where it does not answer.
    Remove {
        ieee: Ieee,
        force: bool,
    },
    Interview {
        ieee: Ieee,
    },
    Status,
    Map,
    Backup,
    /// These and no others are to be in the group.
    Regroup {
        group: GroupId,
        members: Vec<Ieee>,
    },
    /// What a device itself says of its groups.
    Groups {
        ieee: Ieee,
    },
    /// Answered by [`Reply::Bound`].
    Bind(BindWish),
    /// What a device itself says of its bindings. Answered by [`Reply::Bindings`].
    Bindings {
        ieee: Ieee,
    },
    /// A person wants it to have the newest firmware there is. How it goes on is told as property `update`; answered by
    /// [`Reply::Firmware`] when the device says that it runs it, or that there is none for it.
    OfferFirmware {
        ieee: Ieee,
    },
    /// A scene that lies in the devices of a group. Answered by [`Reply::Members`].
    Scene {
        group: GroupId,
        scene: u8,
        what: SceneWish,
    },
}

/// To whom a device is to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindTo {
    Hub,
    Group(GroupId),
    /// `None`: the first endpoint that fits.
    Device {
        ieee: Ieee,
        endpoint: Option<Endpoint>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindWish {
    pub from: Ieee,
    /// `None`: the first that has something to bind.
    pub endpoint: Option<Endpoint>,
    pub to: BindTo,
    /// Those that are usual where there are none.
    pub clusters: Vec<ClusterId>,
    pub undo: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SceneWish {
    /// They remember how they are now.
    Store,
    Recall,
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Nothing,
    /// One for each target, in their order: what it confirmed.
    Set(Vec<Result<Map<String, Value>, ErrorBody>>),
    Values(Map<String, Value>),
    Document(Value),
    /// What each member of the group said, lowest address first; nobody where none of them is asked for a word.
    Members(Vec<(Ieee, Result<(), ErrorBody>)>),
    /// What the device said of each row.
    Bound(Vec<(Binding, Result<(), ErrorBody>)>),
    Bindings(Vec<Binding>),
    /// Which firmware a device runs; `is_new`: it did not before.
    Firmware {
        is_new: bool,
        version: u32,
    },
}

/// How the radio is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Radio {
    Starting,
    Up,
    Down { why: Box<str> },
    Refused { why: Box<str> },
}

/// A device as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub ieee: Ieee,
    pub model: Option<Box<str>>,
    pub vendor: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// `None`: unknown.
    pub has_battery: Option<bool>,
    pub interviewed: bool,
    pub supported: bool,
    pub is_router: bool,
    pub capabilities: Vec<Capability>,
    pub state: Map<String, Value>,
    pub available: Option<bool>,
    pub last_seen_ms: Option<UnixMillis>,
    pub details: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Radio(Radio),
    Device(Box<View>),
    Left { ieee: Ieee },
    State { ieee: Ieee, changes: Map<String, Value> },
    Availability { ieee: Ieee, available: bool },
    Seen { ieee: Ieee, at_ms: UnixMillis },
    Pairing(Pairing),
    Persist(Persist),
    Answer { id: RequestId, answer: Result<Reply, ErrorBody> },
}

/// What is to be on the disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Persist {
    Network(Box<Persisted>),
    Device {
        ieee: Ieee,
        document: Value,
    },
    Forget {
        ieee: Ieee,
    },
    /// The network is a new one: all devices of the old one.
    ForgetAll,
}

/// Steps of an interview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Node,
    Endpoints,
    Clusters,
    Basic,
    Binding,
    Reporting,
}

impl Step {
    pub const ALL: [Step; 6] =
        [Step::Node, Step::Endpoints, Step::Clusters, Step::Basic, Step::Binding, Step::Reporting];

    pub fn as_str(self) -> &'static str {
        match self {
            Step::Node => "node",
            Step::Endpoints => "endpoints",
            Step::Clusters => "clusters",
            Step::Basic => "basic",
            Step::Binding => "binding",
            Step::Reporting => "reporting",
        }
    }

    /// From 1.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    pub fn next(self) -> Option<Step> {
        Step::ALL.get(self as usize + 1).copied()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairing {
    Open {
        seconds_left: u8,
    },
    Closed,
    Joined {
        ieee: Ieee,
    },
    Step {
        ieee: Ieee,
        step: Step,
    },
    Interviewed {
        ieee: Ieee,
    },
    /// It stays joined and is asked again when it is heard of.
    Failed {
        ieee: Ieee,
        step: Step,
        why: Box<str>,
    },
}
