//! The seam to those who know devices: the hub's own radio, Zigbee2MQTT, and whoever comes later. What they tell, what they
//! are asked. Knows no protocol.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::common::capability::Capability;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::json_text::Details;
use crate::common::time::UnixMillis;

/// A device for good, whatever it is called: of Zigbee the IEEE address as `0x00124b0014d9a1b2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeviceId(pub Box<str>);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who brings a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The stick on the hub's own port.
    Zigbee,
    Zigbee2mqtt,
    /// A stick that is a program.
    Simulated,
}

/// A device as its source knows it. Names in it are the device's own words, or those of another program: hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    pub id: DeviceId,
    /// The name that the source has for it; `None`: it has none, and the house gives one.
    pub name: Option<Box<str>>,
    /// As the vendor's catalogue says it; the device's own `modelId` where it is unknown.
    pub model: Option<Box<str>>,
    pub vendor: Option<Box<str>>,
    pub description: Option<Box<str>>,
    pub power: Power,
    /// False: it has not told yet what it is, and there is little to be done with it.
    pub interviewed: bool,
    /// False: no definition knows it; what it can do was made out from its clusters.
    pub supported: bool,
    /// It passes on what others say.
    pub is_router: bool,
    pub capabilities: Vec<Capability>,
    /// Newest value of each property, as far as the source knows.
    pub state: Map<String, Value>,
    /// `None`: nobody knows.
    pub available: Option<bool>,
    pub last_seen_ms: Option<UnixMillis>,
    /// What only an engineer asks for: network address, firmware, endpoints and clusters.
    pub details: Details,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Mains,
    Battery,
    Unknown,
}

/// How the source itself is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RadioStatus {
    /// No stick, or nobody has looked yet.
    Absent {
        why: Box<str>,
    },
    Starting,
    Up,
    /// It was up; it is being mended.
    Down {
        why: Box<str>,
    },
    /// It will not come up until a person does something.
    Refused {
        why: Box<str>,
    },
}

/// What a source tells, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    Radio(RadioStatus),
    /// All its devices: those that are not named are gone.
    All(Vec<DeviceInfo>),
    /// A new one, or more is known of it.
    Device(Box<DeviceInfo>),
    Left(DeviceId),
    /// Properties with new values. Events such as `action` come here, too, and are not kept as state. `is_old`: told again and
    /// not new (a retained message, a value from before the start): no history.
    State {
        id: DeviceId,
        changes: Map<String, Value>,
        is_old: bool,
    },
    Availability {
        id: DeviceId,
        available: bool,
    },
    Seen {
        id: DeviceId,
        at_ms: UnixMillis,
    },
    Pairing(PairingNews),
}

/// How the search for new devices goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PairingNews {
    /// Devices may join. Told again as the seconds go.
    Open {
        seconds_left: u16,
    },
    Closed,
    /// Somebody has joined.
    Joined {
        id: DeviceId,
    },
    /// A step of the interview begins: `node`, `endpoints`, `clusters`, `basic`, `binding`, `reporting`.
    Step {
        id: DeviceId,
        step: Box<str>,
        number: u8,
        of: u8,
    },
    Interviewed {
        id: DeviceId,
    },
    /// It stays joined and is asked again when it is heard of.
    Failed {
        id: DeviceId,
        step: Box<str>,
        why: Box<str>,
    },
}

/// What a device confirmed.
#[derive(Debug, Clone, PartialEq)]
pub struct SetDone {
    /// What it confirmed or reported after the command, and nothing else.
    pub state: Map<String, Value>,
}

/// What came of a wish for new firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Firmware {
    /// False: there is none for it that is newer than what it runs.
    pub updated: bool,
    /// What it runs now, in its maker's way of counting; `None`: it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub version: Option<Box<str>>,
}

/// Who is to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PairingWish {
    /// 0 closes; at most 254 (Zigbee `PermitDuration`).
    pub seconds: u16,
    /// Through this router alone.
    pub via: Option<DeviceId>,
    /// The IEEE address and install code (16 bytes and their CRC, in hexadecimal) of a device that needs one.
    pub install_code: Option<(DeviceId, Box<str>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkQuery {
    /// Channel, PAN id, stick and firmware, counters.
    Status,
    /// Who hears whom how well, and routes. Takes seconds.
    Map,
    /// The open coordinator backup format (zigpy/open-coordinator-backup).
    Backup,
}

/// What lies in the devices themselves for many of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Zigbee group id, 1 to 0xfff7.
    pub group: u16,
    pub members: Vec<DeviceId>,
}

/// A scene that lies in the devices of a group, where a remote's button finds it also while the hub is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptScene {
    /// Zigbee group id.
    pub group: u16,
    /// Its number among those of the group.
    pub scene: u8,
    pub what: KeptSceneWish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptSceneWish {
    /// The devices remember how they are now.
    Store,
    /// They are so again.
    Recall,
    /// They forget it.
    Remove,
}

/// To whom a device speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BindTarget {
    Hub,
    /// Zigbee group id.
    Group(u16),
    /// `endpoint`: of a wish the first that fits where none is named.
    Device {
        id: DeviceId,
        endpoint: Option<u8>,
    },
}

/// A device is to speak straight to another, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindWish {
    pub from: DeviceId,
    /// The first that fits where none is named.
    pub endpoint: Option<u8>,
    pub to: BindTarget,
    /// Clusters by the names of Zigbee2MQTT (`genOnOff`), or their numbers; those that are usual where there are none.
    pub clusters: Vec<Box<str>>,
    pub undo: bool,
}

/// What a device said of a wish, for one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct BindEnd {
    pub cluster: Box<str>,
    pub end: Result<(), ErrorBody>,
}

/// What a member of a group said.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberEnd {
    pub id: DeviceId,
    pub end: Result<(), ErrorBody>,
}

/// A row of what a device is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub endpoint: u8,
    pub cluster: Box<str>,
    pub to: BindTarget,
}

/// Somebody who knows devices. All errors are for the owner of the house; the codes are `device_unreachable`,
/// `device_rejected`, `radio_down`, `not_found`, `unsupported`, `timeout`, `bad_request`.
pub trait DeviceSource: Send + Sync {
    fn backend(&self) -> Backend;

    /// Works until nobody listens to `events` any more, and tells everything through them, first how it is and all that it has.
    /// At the end it puts away what it holds and comes back; one that takes long over it is dropped. Comes back before only when
    /// there is nothing more to do for good.
    fn run(self: Arc<Self>, events: mpsc::Sender<SourceEvent>) -> BoxFuture<'static, ()>;

    /// Sets properties and waits until each device has confirmed, or has not. One answer for each target, in their order.
    /// `group`: the targets are its members, and one multicast may reach them all.
    fn set(
        &self,
        targets: Vec<DeviceId>,
        set: Map<String, Value>,
        group: Option<u16>,
    ) -> BoxFuture<'static, Vec<Result<SetDone, ErrorBody>>>;

    /// Asks a device for the values of these properties; all that can be read where there are none.
    fn read(
        &self,
        id: DeviceId,
        properties: Vec<Box<str>>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, ErrorBody>>;

    fn pairing(&self, wish: PairingWish) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// Gives the source's own name for it, where it keeps names.
    fn rename(&self, id: DeviceId, name: Box<str>) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// Sends it away. `force`: forgets it where it does not answer.
    fn remove(&self, id: DeviceId, force: bool) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// Asks it anew what it is.
    fn interview(&self, id: DeviceId) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// Gives it the newest firmware that there is for it, and waits until it runs it: minutes to hours. How far it is stands in
    /// its property `update`. One that a source has begun goes on also where nobody waits any more.
    fn update_firmware(&self, id: DeviceId) -> BoxFuture<'static, Result<Firmware, ErrorBody>> {
        let why = format!("the source of {id} has no way to new firmware");
        Box::pin(async move { Err(ErrorBody::new(ErrorCode::Unsupported, why)) })
    }

    fn network(&self, query: NetworkQuery) -> BoxFuture<'static, Result<Value, ErrorBody>>;

    /// Makes the devices' own group what it is said to be.
    fn regroup(&self, wish: Membership) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// What each device said of it; a device without a word is one that nobody has heard.
    fn kept_scene(&self, wish: KeptScene) -> BoxFuture<'static, Result<Vec<MemberEnd>, ErrorBody>> {
        let why = format!("the source of group {} knows no scenes", wish.group);
        Box::pin(async move { Err(ErrorBody::new(ErrorCode::Unsupported, why)) })
    }

    /// Binds or unbinds what fits, and says for each cluster what the device answered. An error: nothing was asked.
    fn bind(&self, wish: BindWish) -> BoxFuture<'static, Result<Vec<BindEnd>, ErrorBody>> {
        let why = format!("the source of {} knows no bindings", wish.from);
        Box::pin(async move { Err(ErrorBody::new(ErrorCode::Unsupported, why)) })
    }

    /// What a device is bound to.
    fn bindings(&self, id: DeviceId) -> BoxFuture<'static, Result<Vec<Bound>, ErrorBody>> {
        let why = format!("the source of {id} knows no bindings");
        Box::pin(async move { Err(ErrorBody::new(ErrorCode::Unsupported, why)) })
    }
}
