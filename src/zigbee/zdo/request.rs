//! What is asked of a device, and what devices tell all others (§2.4.3). Both directions: the hub sends them, devices send
//! some to the hub, the simulator reads them.

use crate::zigbee::bytes::Reader;
use crate::zigbee::types::{ClusterId, Endpoint, Ieee, Nwk, ProfileId};
use crate::zigbee::zdo::descriptor::{clusters, put_clusters};
use crate::zigbee::zdo::{Binding, Capability, ZdoError, cluster};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who has this IEEE address. `children`: with those that sleep behind it, from index `start`.
    NwkAddr {
        ieee: Ieee,
        children: bool,
        start: u8,
    },
    IeeeAddr {
        nwk: Nwk,
        children: bool,
        start: u8,
    },
    NodeDescriptor {
        nwk: Nwk,
    },
    PowerDescriptor {
        nwk: Nwk,
    },
    SimpleDescriptor {
        nwk: Nwk,
        endpoint: Endpoint,
    },
    ActiveEndpoints {
        nwk: Nwk,
    },
    /// Which endpoints are servers of one of `inputs` or clients of one of `outputs`.
    MatchDescriptors {
        nwk: Nwk,
        profile: ProfileId,
        inputs: Vec<ClusterId>,
        outputs: Vec<ClusterId>,
    },
    /// Broadcast by who joined or rejoined; has no response.
    DeviceAnnounce {
        nwk: Nwk,
        ieee: Ieee,
        capability: Capability,
    },
    /// Broadcast by a router that started again: these are its children.
    ParentAnnounce {
        children: Vec<Ieee>,
    },
    Bind(Binding),
    Unbind(Binding),
    MgmtLqi {
        start: u8,
    },
    MgmtRtg {
        start: u8,
    },
    MgmtBind {
        start: u8,
    },
    /// `ieee` zero: whoever is asked.
    MgmtLeave {
        ieee: Ieee,
        remove_children: bool,
        rejoin: bool,
    },
    MgmtPermitJoining {
        seconds: u8,
        is_trust_center: bool,
    },
    MgmtNwkUpdate {
        channels: u32,
        scan: Scan,
    },
}

/// `ScanDuration` and what it makes of the request (§2.4.3.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Listen for 2^`duration` (0 to 5) superframes a channel, `count` (1 to 5) times.
    Energy { duration: u8, count: u8 },
    /// Go to the channel of the mask.
    ChangeChannel { update_id: u8 },
    /// New channel mask and manager.
    Manage { update_id: u8, manager: Nwk },
}

const CHANGE_CHANNEL: u8 = 0xfe;
const MANAGE: u8 = 0xff;
const ENERGY_DURATION_MAX: u8 = 5;
/// Flags of a leave request (figure 2-83).
const REMOVE_CHILDREN: u8 = 0x40;
const REJOIN: u8 = 0x80;

impl Request {
    pub fn cluster(&self) -> ClusterId {
        match self {
            Request::NwkAddr { .. } => cluster::NWK_ADDR,
            Request::IeeeAddr { .. } => cluster::IEEE_ADDR,
            Request::NodeDescriptor { .. } => cluster::NODE_DESCRIPTOR,
            Request::PowerDescriptor { .. } => cluster::POWER_DESCRIPTOR,
            Request::SimpleDescriptor { .. } => cluster::SIMPLE_DESCRIPTOR,
            Request::ActiveEndpoints { .. } => cluster::ACTIVE_ENDPOINTS,
            Request::MatchDescriptors { .. } => cluster::MATCH_DESCRIPTORS,
            Request::DeviceAnnounce { .. } => cluster::DEVICE_ANNOUNCE,
            Request::ParentAnnounce { .. } => cluster::PARENT_ANNOUNCE,
            Request::Bind(_) => cluster::BIND,
            Request::Unbind(_) => cluster::UNBIND,
            Request::MgmtLqi { .. } => cluster::MGMT_LQI,
            Request::MgmtRtg { .. } => cluster::MGMT_RTG,
            Request::MgmtBind { .. } => cluster::MGMT_BIND,
            Request::MgmtLeave { .. } => cluster::MGMT_LEAVE,
            Request::MgmtPermitJoining { .. } => cluster::MGMT_PERMIT_JOINING,
            Request::MgmtNwkUpdate { .. } => cluster::MGMT_NWK_UPDATE,
        }
    }

    /// The payload behind the sequence number.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        match self {
            Request::NwkAddr { ieee, children, start } => {
                out.extend(ieee.0.to_le_bytes());
                out.extend([u8::from(*children), *start]);
            }
            Request::IeeeAddr { nwk, children, start } => {
                out.extend(nwk.0.to_le_bytes());
                out.extend([u8::from(*children), *start]);
            }
            Request::NodeDescriptor { nwk } | Request::PowerDescriptor { nwk } | Request::ActiveEndpoints { nwk } => {
                out.extend(nwk.0.to_le_bytes());
            }
            Request::SimpleDescriptor { nwk, endpoint } => {
                out.extend(nwk.0.to_le_bytes());
                out.push(endpoint.0);
            }
            Request::MatchDescriptors { nwk, profile, inputs, outputs } => {
                out.extend(nwk.0.to_le_bytes());
                out.extend(profile.0.to_le_bytes());
                put_clusters(&mut out, inputs);
                put_clusters(&mut out, outputs);
            }
            Request::DeviceAnnounce { nwk, ieee, capability } => {
                out.extend(nwk.0.to_le_bytes());
                out.extend(ieee.0.to_le_bytes());
                out.push(capability.0);
            }
            Request::ParentAnnounce { children } => {
                let count = u8::try_from(children.len()).unwrap_or(u8::MAX);
                out.push(count);
                out.extend(children.iter().take(usize::from(count)).flat_map(|child| child.0.to_le_bytes()));
            }
            Request::Bind(binding) | Request::Unbind(binding) => binding.encode(&mut out),
            Request::MgmtLqi { start } | Request::MgmtRtg { start } | Request::MgmtBind { start } => out.push(*start),
            Request::MgmtLeave { ieee, remove_children, rejoin } => {
                out.extend(ieee.0.to_le_bytes());
                let flags = if *remove_children { REMOVE_CHILDREN } else { 0 } | if *rejoin { REJOIN } else { 0 };
                out.push(flags);
            }
            Request::MgmtPermitJoining { seconds, is_trust_center } => {
                out.extend([*seconds, u8::from(*is_trust_center)]);
            }
            Request::MgmtNwkUpdate { channels, scan } => {
                out.extend(channels.to_le_bytes());
                match scan {
                    Scan::Energy { duration, count } => out.extend([*duration, *count]),
                    Scan::ChangeChannel { update_id } => out.extend([CHANGE_CHANNEL, *update_id]),
                    Scan::Manage { update_id, manager } => {
                        out.extend([MANAGE, *update_id]);
                        out.extend(manager.0.to_le_bytes());
                    }
                }
            }
        }
        out
    }

    /// Reads what stands behind the sequence number. Bytes behind the end are passed over: later revisions add some.
    pub fn decode(cluster: ClusterId, payload: &[u8]) -> Result<Request, ZdoError> {
        let reader = &mut Reader::new(payload);
        Ok(match cluster {
            cluster::NWK_ADDR => {
                let (ieee, kind) = (reader.ieee()?, reader.u8()?);
                Request::NwkAddr { ieee, children: is_extended(kind)?, start: reader.u8()? }
            }
            cluster::IEEE_ADDR => {
                let (nwk, kind) = (nwk(reader)?, reader.u8()?);
                Request::IeeeAddr { nwk, children: is_extended(kind)?, start: reader.u8()? }
            }
            cluster::NODE_DESCRIPTOR => Request::NodeDescriptor { nwk: nwk(reader)? },
            cluster::POWER_DESCRIPTOR => Request::PowerDescriptor { nwk: nwk(reader)? },
            cluster::SIMPLE_DESCRIPTOR => {
                Request::SimpleDescriptor { nwk: nwk(reader)?, endpoint: Endpoint(reader.u8()?) }
            }
            cluster::ACTIVE_ENDPOINTS => Request::ActiveEndpoints { nwk: nwk(reader)? },
            cluster::MATCH_DESCRIPTORS => Request::MatchDescriptors {
                nwk: nwk(reader)?,
                profile: ProfileId(reader.u16()?),
                inputs: clusters(reader)?,
                outputs: clusters(reader)?,
            },
            cluster::DEVICE_ANNOUNCE => Request::DeviceAnnounce {
                nwk: nwk(reader)?,
                ieee: reader.ieee()?,
                capability: Capability(reader.u8()?),
            },
            cluster::PARENT_ANNOUNCE => {
                let count = usize::from(reader.u8()?);
                let mut children = Vec::with_capacity(count.min(payload.len() / 8));
                for _ in 0..count {
                    children.push(reader.ieee()?);
                }
                Request::ParentAnnounce { children }
            }
            cluster::BIND => Request::Bind(Binding::decode(reader)?),
            cluster::UNBIND => Request::Unbind(Binding::decode(reader)?),
            cluster::MGMT_LQI => Request::MgmtLqi { start: reader.u8()? },
            cluster::MGMT_RTG => Request::MgmtRtg { start: reader.u8()? },
            cluster::MGMT_BIND => Request::MgmtBind { start: reader.u8()? },
            cluster::MGMT_LEAVE => {
                let (ieee, flags) = (reader.ieee()?, reader.u8()?);
                let (remove_children, rejoin) = (flags & REMOVE_CHILDREN != 0, flags & REJOIN != 0);
                Request::MgmtLeave { ieee, remove_children, rejoin }
            }
            cluster::MGMT_PERMIT_JOINING => {
                Request::MgmtPermitJoining { seconds: reader.u8()?, is_trust_center: reader.u8()? != 0 }
            }
            cluster::MGMT_NWK_UPDATE => {
                let channels = reader.u32()?;
                let scan = match reader.u8()? {
                    duration @ ..=ENERGY_DURATION_MAX => Scan::Energy { duration, count: reader.u8()? },
                    CHANGE_CHANNEL => Scan::ChangeChannel { update_id: reader.u8()? },
                    MANAGE => Scan::Manage { update_id: reader.u8()?, manager: nwk(reader)? },
                    duration => return Err(ZdoError::Reserved(duration)),
                };
                Request::MgmtNwkUpdate { channels, scan }
            }
            other => return Err(ZdoError::Cluster(other)),
        })
    }
}

fn nwk(reader: &mut Reader<'_>) -> Result<Nwk, ZdoError> {
    Ok(Nwk(reader.u16()?))
}

/// `RequestType`: 0 a single device, 1 with its children.
fn is_extended(kind: u8) -> Result<bool, ZdoError> {
    match kind {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(ZdoError::Reserved(other)),
    }
}
