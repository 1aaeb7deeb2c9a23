//! What passes through the air, with its security as facts and not as ciphertext: which key sealed it, and the counter that must
//! have grown. Knows no device and no stick.

use crate::zigbee::types::{Channel, GroupId, Ieee, Key, Nwk};

/// The network that somebody is in, or looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub pan_id: u16,
    pub extended_pan_id: Ieee,
    pub channel: Channel,
    pub key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Device(Nwk),
    Group(GroupId),
    Broadcast(Nwk),
}

/// A message of the application support layer, which carries ZCL and ZDO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aps {
    pub to: To,
    pub from: Nwk,
    pub from_endpoint: u8,
    /// 255 of all endpoints of a broadcast; of no meaning for a group.
    pub to_endpoint: u8,
    pub profile: u16,
    pub cluster: u16,
    /// Of the sender; the receiver throws away what it has had before.
    pub counter: u8,
    /// The receiver acknowledges it.
    pub ack: bool,
    pub payload: Vec<u8>,
}

/// Status codes of the stick's confirms.
pub mod status {
    pub const SUCCESS: u8 = 0x00;
    pub const INVALID_PARAMETER: u8 = 0x02;
    /// The stick's memory is full.
    pub const MEMORY: u8 = 0x10;
    pub const APS_NO_ACK: u8 = 0xb7;
    pub const NO_ROUTE: u8 = 0xcd;
    pub const MAC_NO_ACK: u8 = 0xe9;
    /// A sleeper has not fetched it in time.
    pub const MAC_EXPIRED: u8 = 0xf0;
    /// The queue for sleepers is full.
    pub const MAC_OVERFLOW: u8 = 0xf1;
}
