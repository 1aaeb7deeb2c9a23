//! What a device answers (§2.4.4). What it answers with is there when the status is success, and only then.

use crate::zigbee::bytes::Reader;
use crate::zigbee::types::{ClusterId, Endpoint, Ieee, Nwk};
use crate::zigbee::zdo::{
    Binding, Neighbor, NodeDescriptor, PowerDescriptor, Route, SimpleDescriptor, Status, ZdoError, cluster,
};

/// A part of a table: `rows` from index `start`, of `total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub total: u8,
    pub start: u8,
    pub rows: Vec<T>,
}

/// An address response: who it is, and whom it was asked for besides.
type Children = Option<Page<Nwk>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    NwkAddr {
        status: Status,
        ieee: Ieee,
        nwk: Nwk,
        children: Children,
    },
    IeeeAddr {
        status: Status,
        ieee: Ieee,
        nwk: Nwk,
        children: Children,
    },
    NodeDescriptor {
        status: Status,
        nwk: Nwk,
        descriptor: Option<NodeDescriptor>,
    },
    PowerDescriptor {
        status: Status,
        nwk: Nwk,
        descriptor: Option<PowerDescriptor>,
    },
    SimpleDescriptor {
        status: Status,
        nwk: Nwk,
        descriptor: Option<SimpleDescriptor>,
    },
    ActiveEndpoints {
        status: Status,
        nwk: Nwk,
        endpoints: Vec<Endpoint>,
    },
    MatchDescriptors {
        status: Status,
        nwk: Nwk,
        endpoints: Vec<Endpoint>,
    },
    ParentAnnounce {
        status: Status,
        children: Vec<Ieee>,
    },
    Bind {
        status: Status,
    },
    Unbind {
        status: Status,
    },
    MgmtLqi {
        status: Status,
        page: Option<Page<Neighbor>>,
    },
    MgmtRtg {
        status: Status,
        page: Option<Page<Route>>,
    },
    MgmtBind {
        status: Status,
        page: Option<Page<Binding>>,
    },
    MgmtLeave {
        status: Status,
    },
    MgmtPermitJoining {
        status: Status,
    },
    /// Energies of the scanned channels, lowest channel first.
    MgmtNwkUpdate {
        status: Status,
        channels: u32,
        transmissions: u16,
        failures: u16,
        energies: Vec<u8>,
    },
}

impl Response {
    pub fn cluster(&self) -> ClusterId {
        cluster::response(match self {
            Response::NwkAddr { .. } => cluster::NWK_ADDR,
            Response::IeeeAddr { .. } => cluster::IEEE_ADDR,
            Response::NodeDescriptor { .. } => cluster::NODE_DESCRIPTOR,
            Response::PowerDescriptor { .. } => cluster::POWER_DESCRIPTOR,
            Response::SimpleDescriptor { .. } => cluster::SIMPLE_DESCRIPTOR,
            Response::ActiveEndpoints { .. } => cluster::ACTIVE_ENDPOINTS,
            Response::MatchDescriptors { .. } => cluster::MATCH_DESCRIPTORS,
            Response::ParentAnnounce { .. } => cluster::PARENT_ANNOUNCE,
            Response::Bind { .. } => cluster::BIND,
            Response::Unbind { .. } => cluster::UNBIND,
            Response::MgmtLqi { .. } => cluster::MGMT_LQI,
            Response::MgmtRtg { .. } => cluster::MGMT_RTG,
            Response::MgmtBind { .. } => cluster::MGMT_BIND,
            Response::MgmtLeave { .. } => cluster::MGMT_LEAVE,
            Response::MgmtPermitJoining { .. } => cluster::MGMT_PERMIT_JOINING,
            Response::MgmtNwkUpdate { .. } => cluster::MGMT_NWK_UPDATE,
        })
    }

    pub fn status(&self) -> Status {
        match self {
            Response::NwkAddr { status, .. }
            | Response::IeeeAddr { status, .. }
            | Response::NodeDescriptor { status, .. }
            | Response::PowerDescriptor { status, .. }
            | Response::SimpleDescriptor { status, .. }
            | Response::ActiveEndpoints { status, .. }
            | Response::MatchDescriptors { status, .. }
            | Response::ParentAnnounce { status, .. }
            | Response::Bind { status }
            | Response::Unbind { status }
            | Response::MgmtLqi { status, .. }
            | Response::MgmtRtg { status, .. }
            | Response::MgmtBind { status, .. }
            | Response::MgmtLeave { status }
            | Response::MgmtPermitJoining { status }
            | Response::MgmtNwkUpdate { status, .. } => *status,
        }
    }

    /// The payload behind the sequence number.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.status().0];
        match self {
            Response::NwkAddr { ieee, nwk, children, .. } | Response::IeeeAddr { ieee, nwk, children, .. } => {
                out.extend(ieee.0.to_le_bytes());
                out.extend(nwk.0.to_le_bytes());
                if let Some(page) = children {
                    // Here the count comes before the index, and there is no index where there are none.
                    out.push(page.total);
                    if page.total > 0 {
                        out.push(page.start);
                        out.extend(page.rows.iter().flat_map(|child| child.0.to_le_bytes()));
                    }
                }
            }
            Response::NodeDescriptor { nwk, descriptor, .. } => {
                out.extend(nwk.0.to_le_bytes());
                if let Some(descriptor) = descriptor {
                    descriptor.encode(&mut out);
                }
            }
            Response::PowerDescriptor { nwk, descriptor, .. } => {
                out.extend(nwk.0.to_le_bytes());
                out.extend(descriptor.iter().flat_map(|descriptor| descriptor.0.to_le_bytes()));
            }
            Response::SimpleDescriptor { nwk, descriptor, .. } => {
                out.extend(nwk.0.to_le_bytes());
                let mut body = Vec::new();
                if let Some(descriptor) = descriptor {
                    descriptor.encode(&mut body);
                }
                out.push(u8::try_from(body.len()).unwrap_or(u8::MAX));
                out.extend(body);
            }
            Response::ActiveEndpoints { nwk, endpoints, .. } | Response::MatchDescriptors { nwk, endpoints, .. } => {
                out.extend(nwk.0.to_le_bytes());
                let count = u8::try_from(endpoints.len()).unwrap_or(u8::MAX);
                out.push(count);
                out.extend(endpoints.iter().take(usize::from(count)).map(|endpoint| endpoint.0));
            }
            Response::ParentAnnounce { children, .. } => {
                let count = u8::try_from(children.len()).unwrap_or(u8::MAX);
                out.push(count);
                out.extend(children.iter().take(usize::from(count)).flat_map(|child| child.0.to_le_bytes()));
            }
            Response::Bind { .. }
            | Response::Unbind { .. }
            | Response::MgmtLeave { .. }
            | Response::MgmtPermitJoining { .. } => {}
            Response::MgmtLqi { page, .. } => put_page(&mut out, page.as_ref(), Neighbor::encode),
            Response::MgmtRtg { page, .. } => put_page(&mut out, page.as_ref(), Route::encode),
            Response::MgmtBind { page, .. } => put_page(&mut out, page.as_ref(), Binding::encode),
            Response::MgmtNwkUpdate { channels, transmissions, failures, energies, .. } => {
                out.extend(channels.to_le_bytes());
                out.extend(transmissions.to_le_bytes());
                out.extend(failures.to_le_bytes());
                let count = u8::try_from(energies.len()).unwrap_or(u8::MAX);
                out.push(count);
                out.extend(energies.iter().take(usize::from(count)));
            }
        }
        out
    }

    /// Reads what stands behind the sequence number; `cluster` is the response's. Of a failure devices leave out what they
    /// please: no more than the status is asked for, and an address that is not there is 0xffff.
    pub fn decode(cluster: ClusterId, payload: &[u8]) -> Result<Response, ZdoError> {
        if cluster.0 & cluster::RESPONSE == 0 {
            return Err(ZdoError::Cluster(cluster));
        }
        let reader = &mut Reader::new(payload);
        let status = Status(reader.u8()?);
        let is_success = status.is_success();
        Ok(match ClusterId(cluster.0 & !cluster::RESPONSE) {
            cluster::NWK_ADDR => {
                let (ieee, nwk, children) = address(reader, is_success)?;
                Response::NwkAddr { status, ieee, nwk, children }
            }
            cluster::IEEE_ADDR => {
                let (ieee, nwk, children) = address(reader, is_success)?;
                Response::IeeeAddr { status, ieee, nwk, children }
            }
            cluster::NODE_DESCRIPTOR => Response::NodeDescriptor {
                status,
                nwk: nwk(reader, is_success)?,
                descriptor: if is_success { Some(NodeDescriptor::decode(reader)?) } else { None },
            },
            cluster::POWER_DESCRIPTOR => Response::PowerDescriptor {
                status,
                nwk: nwk(reader, is_success)?,
                descriptor: if is_success { Some(PowerDescriptor(reader.u16()?)) } else { None },
            },
            cluster::SIMPLE_DESCRIPTOR => {
                let nwk = nwk(reader, is_success)?;
                let descriptor = if is_success {
                    let len = usize::from(reader.u8()?);
                    Some(SimpleDescriptor::decode(&mut Reader::new(reader.take(len)?))?)
                } else {
                    None
                };
                Response::SimpleDescriptor { status, nwk, descriptor }
            }
            cluster::ACTIVE_ENDPOINTS => {
                let nwk = nwk(reader, is_success)?;
                Response::ActiveEndpoints { status, nwk, endpoints: endpoints(reader, is_success)? }
            }
            cluster::MATCH_DESCRIPTORS => {
                let nwk = nwk(reader, is_success)?;
                Response::MatchDescriptors { status, nwk, endpoints: endpoints(reader, is_success)? }
            }
            cluster::PARENT_ANNOUNCE => {
                let count = if is_success { usize::from(reader.u8()?) } else { 0 };
                let mut children = Vec::with_capacity(count.min(payload.len() / 8));
                for _ in 0..count {
                    children.push(reader.ieee()?);
                }
                Response::ParentAnnounce { status, children }
            }
            cluster::BIND => Response::Bind { status },
            cluster::UNBIND => Response::Unbind { status },
            cluster::MGMT_LQI => Response::MgmtLqi { status, page: page(reader, is_success, Neighbor::decode)? },
            cluster::MGMT_RTG => Response::MgmtRtg { status, page: page(reader, is_success, Route::decode)? },
            cluster::MGMT_BIND => Response::MgmtBind { status, page: page(reader, is_success, Binding::decode)? },
            cluster::MGMT_LEAVE => Response::MgmtLeave { status },
            cluster::MGMT_PERMIT_JOINING => Response::MgmtPermitJoining { status },
            cluster::MGMT_NWK_UPDATE if is_success => {
                let (channels, transmissions, failures) = (reader.u32()?, reader.u16()?, reader.u16()?);
                let count = usize::from(reader.u8()?);
                let energies = reader.take(count)?.to_vec();
                Response::MgmtNwkUpdate { status, channels, transmissions, failures, energies }
            }
            cluster::MGMT_NWK_UPDATE => {
                Response::MgmtNwkUpdate { status, channels: 0, transmissions: 0, failures: 0, energies: Vec::new() }
            }
            _ => return Err(ZdoError::Cluster(cluster)),
        })
    }
}

/// Whoever did not say.
const NOBODY: Nwk = Nwk(0xffff);

fn nwk(reader: &mut Reader<'_>, is_success: bool) -> Result<Nwk, ZdoError> {
    match reader.u16() {
        Ok(nwk) => Ok(Nwk(nwk)),
        Err(_) if !is_success => Ok(NOBODY),
        Err(short) => Err(short.into()),
    }
}

fn address(reader: &mut Reader<'_>, is_success: bool) -> Result<(Ieee, Nwk, Children), ZdoError> {
    let ieee = match reader.ieee() {
        Ok(ieee) => ieee,
        Err(_) if !is_success => Ieee(u64::MAX),
        Err(short) => return Err(short.into()),
    };
    let nwk = nwk(reader, is_success)?;
    if !is_success || reader.is_empty() {
        return Ok((ieee, nwk, None));
    }
    let total = reader.u8()?;
    let start = if total > 0 { reader.u8()? } else { 0 };
    // As many as came: `total` counts those of later pages, too.
    let rows = reader.rest().chunks_exact(2).take(usize::from(total));
    let rows = rows.map(|pair| Nwk(u16::from_le_bytes([pair[0], pair[1]]))).collect();
    Ok((ieee, nwk, Some(Page { total, start, rows })))
}

fn endpoints(reader: &mut Reader<'_>, is_success: bool) -> Result<Vec<Endpoint>, ZdoError> {
    if !is_success {
        return Ok(Vec::new());
    }
    let count = usize::from(reader.u8()?);
    Ok(reader.take(count)?.iter().copied().map(Endpoint).collect())
}

fn page<T>(
    reader: &mut Reader<'_>,
    is_success: bool,
    row: fn(&mut Reader<'_>) -> Result<T, ZdoError>,
) -> Result<Option<Page<T>>, ZdoError> {
    if !is_success {
        return Ok(None);
    }
    let (total, start, count) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let rows = (0..count).map(|_| row(reader)).collect::<Result<Vec<T>, ZdoError>>()?;
    Ok(Some(Page { total, start, rows }))
}

fn put_page<T>(out: &mut Vec<u8>, page: Option<&Page<T>>, row: fn(&T, &mut Vec<u8>)) {
    let Some(page) = page else { return };
    let count = u8::try_from(page.rows.len()).unwrap_or(u8::MAX);
    out.extend([page.total, page.start, count]);
    for item in page.rows.iter().take(usize::from(count)) {
        row(item, out);
    }
}
