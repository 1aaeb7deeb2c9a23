//! Rows of the tables that a device shows to who manages the network: neighbours, routes, bindings (§2.4.4.3).

use serde::{Deserialize, Serialize};

use crate::zigbee::bytes::Reader;
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee, Nwk};
use crate::zigbee::zdo::{LogicalType, ZdoError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relationship {
    Parent,
    Child,
    Sibling,
    None,
    PreviousChild,
}

/// One whom a device hears (table 2-126): 22 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    pub extended_pan_id: Ieee,
    pub ieee: Ieee,
    pub nwk: Nwk,
    /// `None`: unknown.
    pub logical_type: Option<LogicalType>,
    /// 0 off, 1 on, 2 unknown.
    pub listens_when_idle: u8,
    pub relationship: Relationship,
    /// 0 no, 1 yes, 2 unknown.
    pub permits_joining: u8,
    /// Hops to the coordinator.
    pub depth: u8,
    pub lqi: u8,
}

impl Neighbor {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Neighbor, ZdoError> {
        let (extended_pan_id, ieee, nwk) = (reader.ieee()?, reader.ieee()?, Nwk(reader.u16()?));
        let (kind, permits) = (reader.u8()?, reader.u8()?);
        Ok(Neighbor {
            extended_pan_id,
            ieee,
            nwk,
            logical_type: match kind & 0x03 {
                0 => Some(LogicalType::Coordinator),
                1 => Some(LogicalType::Router),
                2 => Some(LogicalType::EndDevice),
                _ => None,
            },
            listens_when_idle: kind >> 2 & 0x03,
            relationship: match kind >> 4 & 0x07 {
                0 => Relationship::Parent,
                1 => Relationship::Child,
                2 => Relationship::Sibling,
                4 => Relationship::PreviousChild,
                _ => Relationship::None,
            },
            permits_joining: permits & 0x03,
            depth: reader.u8()?,
            lqi: reader.u8()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.extended_pan_id.0.to_le_bytes());
        out.extend(self.ieee.0.to_le_bytes());
        out.extend(self.nwk.0.to_le_bytes());
        let logical_type = match self.logical_type {
            Some(LogicalType::Coordinator) => 0,
            Some(LogicalType::Router) => 1,
            Some(LogicalType::EndDevice) => 2,
            None => 3,
        };
        let relationship = match self.relationship {
            Relationship::Parent => 0,
            Relationship::Child => 1,
            Relationship::Sibling => 2,
            Relationship::None => 3,
            Relationship::PreviousChild => 4,
        };
        out.push(logical_type | (self.listens_when_idle & 0x03) << 2 | relationship << 4);
        out.extend([self.permits_joining & 0x03, self.depth, self.lqi]);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    Active,
    DiscoveryUnderway,
    DiscoveryFailed,
    Inactive,
    ValidationUnderway,
    Reserved,
}

/// Where a router sends what is for `to` (table 2-128): 5 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub to: Nwk,
    pub state: RouteState,
    /// Memory constrained, many-to-one, route record required, and two reserved bits.
    pub flags: u8,
    pub next_hop: Nwk,
}

impl Route {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Route, ZdoError> {
        let to = Nwk(reader.u16()?);
        let state = reader.u8()?;
        Ok(Route {
            to,
            state: match state & 0x07 {
                0 => RouteState::Active,
                1 => RouteState::DiscoveryUnderway,
                2 => RouteState::DiscoveryFailed,
                3 => RouteState::Inactive,
                4 => RouteState::ValidationUnderway,
                _ => RouteState::Reserved,
            },
            flags: state >> 3,
            next_hop: Nwk(reader.u16()?),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to.0.to_le_bytes());
        let state = match self.state {
            RouteState::Active => 0,
            RouteState::DiscoveryUnderway => 1,
            RouteState::DiscoveryFailed => 2,
            RouteState::Inactive => 3,
            RouteState::ValidationUnderway => 4,
            RouteState::Reserved => 5,
        };
        out.push(state | self.flags << 3);
        out.extend(self.next_hop.0.to_le_bytes());
    }
}

/// To whom a device tells what happens on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingTarget {
    Group(GroupId),
    Device { ieee: Ieee, endpoint: Endpoint },
}

/// A row of a binding table, and what bind and unbind requests ask for (§2.4.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Binding {
    pub from: Ieee,
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    pub to: BindingTarget,
}

/// `DstAddrMode` of a group and of a device's endpoint.
const MODE_GROUP: u8 = 0x01;
const MODE_DEVICE: u8 = 0x03;

impl Binding {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Binding, ZdoError> {
        Ok(Binding {
            from: reader.ieee()?,
            endpoint: Endpoint(reader.u8()?),
            cluster: ClusterId(reader.u16()?),
            to: match reader.u8()? {
                MODE_GROUP => BindingTarget::Group(GroupId(reader.u16()?)),
                MODE_DEVICE => BindingTarget::Device { ieee: reader.ieee()?, endpoint: Endpoint(reader.u8()?) },
                mode => return Err(ZdoError::Reserved(mode)),
            },
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.from.0.to_le_bytes());
        out.push(self.endpoint.0);
        out.extend(self.cluster.0.to_le_bytes());
        match self.to {
            BindingTarget::Group(group) => {
                out.push(MODE_GROUP);
                out.extend(group.0.to_le_bytes());
            }
            BindingTarget::Device { ieee, endpoint } => {
                out.push(MODE_DEVICE);
                out.extend(ieee.0.to_le_bytes());
                out.push(endpoint.0);
            }
        }
    }
}
