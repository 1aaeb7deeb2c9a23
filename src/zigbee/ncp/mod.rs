//! What a network co-processor (the stick) does for the host, whatever it speaks: Z-Stack's MT today, EZSP tomorrow. The seam
//! between those who speak to sticks and `network`, which knows none. Sans-IO.

pub mod backup;
pub mod znp;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::zigbee::types::{Channel, ClusterId, Endpoint, GroupId, Ieee, Key, Nwk, ProfileId};

/// A stick's protocol, from the first byte to a network that is up, and again from the beginning when the stick resets. The
/// five verbs of a sans-IO machine, and [`Ncp::command`].
pub trait Ncp: Send {
    /// The port is open, for the first time or again: start, resume, or commission.
    fn handle_open(&mut self, now: Instant);
    /// The port is gone. All that waited is failed with [`SendStatus::RadioDown`].
    fn handle_closed(&mut self, now: Instant);
    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    /// When to call `handle_timeout`.
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn poll_event(&mut self) -> Option<NcpEvent>;
    /// Asks for something. Whatever has a tag is answered by exactly one event with it, however it ends.
    fn command(&mut self, now: Instant, command: NcpCommand);
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    Bytes(Vec<u8>),
    /// Modem lines of the port, for sticks that have to be woken or kept out of their boot loader.
    Lines {
        dtr: bool,
        rts: bool,
    },
    /// Close the port and open it anew: nothing that was said has been answered.
    Reopen {
        why: Box<str>,
    },
}

/// Goes with a request and comes back with what came of it.
pub type Tag = u64;

#[derive(Debug, Clone, PartialEq)]
pub enum NcpCommand {
    Send {
        tag: Tag,
        message: Outgoing,
    },
    /// A ZDO request (`zdo::Request`) as it goes on the air behind its sequence number, for the stick to put in its own words.
    Zdo {
        tag: Tag,
        to: Nwk,
        cluster: ClusterId,
        payload: Vec<u8>,
    },
    /// Devices may join through the coordinator and all routers (`via` None), or through one. 0 closes.
    PermitJoin {
        tag: Tag,
        seconds: u8,
        via: Option<Nwk>,
    },
    InstallCode {
        tag: Tag,
        ieee: Ieee,
        code: [u8; 18],
    },
    /// Takes a device out of the tables of the stick, so that it may join anew as if never seen.
    Forget {
        tag: Tag,
        ieee: Ieee,
        nwk: Nwk,
    },
    /// Look for a (new) route (Z-Stack `ZDO_EXT_ROUTE_DISC`).
    DiscoverRoute {
        tag: Tag,
        to: Nwk,
    },
    Backup {
        tag: Tag,
    },
    /// Radio power, dBm.
    TransmitPower {
        tag: Tag,
        dbm: i8,
    },
}

/// A message to devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub to: Destination,
    pub profile: ProfileId,
    pub cluster: ClusterId,
    pub from: Endpoint,
    /// Hops.
    pub radius: u8,
    pub payload: Vec<u8>,
    /// An APS acknowledgement is asked for (unicasts only).
    pub ack: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    Device { nwk: Nwk, endpoint: Endpoint },
    Group(GroupId),
    Broadcast { to: Nwk, endpoint: Endpoint },
}

/// A message from a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub from: Nwk,
    pub from_endpoint: Endpoint,
    pub to_endpoint: Endpoint,
    pub group: Option<GroupId>,
    pub was_broadcast: bool,
    pub profile: Option<ProfileId>,
    pub cluster: ClusterId,
    /// Link quality of the last hop, 0 to 255.
    pub lqi: u8,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NcpEvent {
    /// The network is up, and commands are carried out.
    Up(Box<NetworkInfo>),
    /// It is not, for the moment: what waited was answered with [`SendStatus::RadioDown`].
    Down {
        why: Box<str>,
    },
    /// It cannot be brought up until a person acts, such as a backup that does not match the stick.
    Refused {
        why: Box<str>,
    },
    Message(Incoming),
    /// A ZDO message that came in: a response to a [`NcpCommand::Zdo`], or a request or an announcement of a device. `payload` as on
    /// the air behind its sequence number.
    Zdo {
        from: Nwk,
        cluster: ClusterId,
        payload: Vec<u8>,
    },
    /// Answers [`NcpCommand::Send`] (the APS confirm) and [`NcpCommand::Zdo`] (the stick has taken it, or not).
    Sent {
        tag: Tag,
        status: SendStatus,
    },
    /// Answers all else.
    Done {
        tag: Tag,
        result: Result<Reply, Box<str>>,
    },
    /// The trust centre has let a device in (Z-Stack `ZDO_TC_DEV_IND`). `parent` is the one that it joined through.
    Joined {
        ieee: Ieee,
        nwk: Nwk,
        parent: Option<Nwk>,
    },
    /// It has left, and will come back by itself where `rejoin`.
    Left {
        ieee: Ieee,
        nwk: Nwk,
        rejoin: bool,
    },
    /// The stick itself tells for how long devices may join.
    PermitJoin {
        seconds: u8,
    },
    /// To be kept beside the database's devices, and given to `new` at the next start.
    Persist(Box<Persisted>),
}

#[derive(Clone, PartialEq)]
pub enum Reply {
    Nothing,
    /// With the keys of the network, so that it cannot be printed.
    Backup(Box<serde_json::Value>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reply::Nothing => "Nothing",
            Reply::Backup(_) => "Backup(…)",
        })
    }
}

/// How a message fared. What can be done about it is in the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    Delivered,
    /// No APS acknowledgement (0xb7) or no MAC one (0xe9, 0xa7): out of reach, or asleep.
    NoAck,
    /// No route (0xcd and its like): look for one and try again.
    NoRoute,
    /// The stick is full (0x11, 0x1a, 0xe1, 0xf3, …): wait and try again.
    Busy,
    /// A child's message was thrown away unfetched (0xf0): it sleeps, or has another parent now.
    Expired,
    RadioDown,
    /// The stick would not take it, with its code.
    Refused(u8),
}

/// The network that is up.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkInfo {
    pub channel: Channel,
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub coordinator: Ieee,
    /// `Z-Stack 3.x.0 20230507`.
    pub firmware: Box<str>,
    /// Messages under way at once that the stick can bear.
    pub in_flight_max: usize,
    /// It was formed just now: there are no devices.
    pub is_new: bool,
}

/// What the host must know of a network to tell it from another, and to bring it back.
#[derive(Clone, PartialEq)]
pub struct Persisted {
    pub coordinator: Ieee,
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub channel: Channel,
    pub key: Key,
    /// The whole backup (open coordinator backup format) that was verified last, as JSON: as a tree that of a large house takes
    /// more than a megabyte, and there are several who hold it.
    pub backup: Option<Arc<str>>,
}

impl fmt::Debug for Persisted {
    /// Without what is secret: the backup has all keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Persisted");
        shown.field("coordinator", &self.coordinator).field("pan_id", &self.pan_id);
        shown.field("extended_pan_id", &self.extended_pan_id).field("channel", &self.channel);
        shown.field("has_backup", &self.backup.is_some()).finish_non_exhaustive()
    }
}
