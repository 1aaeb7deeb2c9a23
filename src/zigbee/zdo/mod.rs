//! The Zigbee device profile: what every device says of itself, whatever it is made for (Zigbee specification r22, §2.4).
//! Requests and responses as they go on the air behind their sequence number. Knows no stick and keeps no state.

mod descriptor;
mod request;
mod response;
mod table;
#[cfg(test)]
mod tests;

pub use descriptor::{Capability, LogicalType, NodeDescriptor, PowerDescriptor, PowerSource, SimpleDescriptor};
pub use request::{Request, Scan};
pub use response::{Page, Response};
pub use table::{Binding, BindingTarget, Neighbor, Relationship, Route, RouteState};

use crate::zigbee::bytes::Short;
use crate::zigbee::types::ClusterId;

/// Cluster of a request; its response has [`RESPONSE`] added.
pub mod cluster {
    use crate::zigbee::types::ClusterId;

    /// The bit that makes a response of a request.
    pub const RESPONSE: u16 = 0x8000;

    pub const NWK_ADDR: ClusterId = ClusterId(0x0000);
    pub const IEEE_ADDR: ClusterId = ClusterId(0x0001);
    pub const NODE_DESCRIPTOR: ClusterId = ClusterId(0x0002);
    pub const POWER_DESCRIPTOR: ClusterId = ClusterId(0x0003);
    pub const SIMPLE_DESCRIPTOR: ClusterId = ClusterId(0x0004);
    pub const ACTIVE_ENDPOINTS: ClusterId = ClusterId(0x0005);
    pub const MATCH_DESCRIPTORS: ClusterId = ClusterId(0x0006);
    pub const DEVICE_ANNOUNCE: ClusterId = ClusterId(0x0013);
    pub const PARENT_ANNOUNCE: ClusterId = ClusterId(0x001f);
    pub const BIND: ClusterId = ClusterId(0x0021);
    pub const UNBIND: ClusterId = ClusterId(0x0022);
    pub const MGMT_LQI: ClusterId = ClusterId(0x0031);
    pub const MGMT_RTG: ClusterId = ClusterId(0x0032);
    pub const MGMT_BIND: ClusterId = ClusterId(0x0033);
    pub const MGMT_LEAVE: ClusterId = ClusterId(0x0034);
    pub const MGMT_PERMIT_JOINING: ClusterId = ClusterId(0x0036);
    pub const MGMT_NWK_UPDATE: ClusterId = ClusterId(0x0038);

    /// The response's cluster of a request's.
    pub const fn response(request: ClusterId) -> ClusterId {
        ClusterId(request.0 | RESPONSE)
    }
}

/// Why a message is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZdoError {
    #[error("the message is shorter than what it says")]
    Short,
    #[error("no ZDO message has cluster {0}")]
    Cluster(ClusterId),
    #[error("a field has the reserved value {0:#04x}")]
    Reserved(u8),
}

impl From<Short> for ZdoError {
    fn from(_: Short) -> ZdoError {
        ZdoError::Short
    }
}

/// How a device took a request (§2.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    pub const SUCCESS: Status = Status(0x00);
    pub const INVALID_REQUEST: Status = Status(0x80);
    pub const DEVICE_NOT_FOUND: Status = Status(0x81);
    pub const INVALID_ENDPOINT: Status = Status(0x82);
    pub const NOT_ACTIVE: Status = Status(0x83);
    pub const NOT_SUPPORTED: Status = Status(0x84);
    pub const NO_MATCH: Status = Status(0x86);
    pub const NO_ENTRY: Status = Status(0x88);
    pub const TABLE_FULL: Status = Status(0x8c);
    pub const NOT_AUTHORIZED: Status = Status(0x8d);

    pub fn is_success(self) -> bool {
        self == Status::SUCCESS
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            0x00 => "success",
            0x80 => "invalid request",
            0x81 => "it does not know the device",
            0x82 => "it has no such endpoint",
            0x83 => "the endpoint is not active",
            0x84 => "not supported",
            0x85 => "it timed out",
            0x86 => "nothing matches",
            0x88 => "no such entry",
            0x89 => "no descriptor",
            0x8a => "insufficient space",
            0x8b => "not permitted",
            0x8c => "its table is full",
            0x8d => "not authorized",
            0x8e => "its binding table is full",
            0x8f => "invalid index",
            code => return write!(f, "status {code:#04x}"),
        })
    }
}
