//! What a device is: its node, power and simple descriptors (§2.3.2), and the capability byte of its announcement.

use serde::{Deserialize, Serialize};

use crate::zigbee::bytes::Reader;
use crate::zigbee::types::{ClusterId, Endpoint, MakerCode, ProfileId};
use crate::zigbee::zdo::ZdoError;

/// What it does in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogicalType {
    Coordinator,
    Router,
    EndDevice,
}

/// MAC capability flags (§2.3.2.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capability(pub u8);

impl Capability {
    pub const ROUTER: Capability = Capability(0x8e);
    pub const SLEEPER: Capability = Capability(0x80);

    /// It can pass on what others say.
    pub fn is_router(self) -> bool {
        self.0 & 0x02 != 0
    }

    pub fn has_mains(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// False: it sleeps, and fetches its messages when it wakes.
    pub fn listens_when_idle(self) -> bool {
        self.0 & 0x08 != 0
    }
}

/// §2.3.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDescriptor {
    pub logical_type: LogicalType,
    pub has_complex_descriptor: bool,
    pub has_user_descriptor: bool,
    /// 3 bits of APS flags (never used) and 5 of frequency bands.
    pub flags_and_band: u8,
    pub capability: Capability,
    pub maker: MakerCode,
    /// Bytes of the largest NSDU that it takes unfragmented.
    pub buffer_max: u8,
    pub incoming_max: u16,
    pub server_mask: u16,
    pub outgoing_max: u16,
    pub descriptor_capability: u8,
}

impl NodeDescriptor {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<NodeDescriptor, ZdoError> {
        let kind = reader.u8()?;
        let logical_type = match kind & 0x07 {
            0 => LogicalType::Coordinator,
            1 => LogicalType::Router,
            2 => LogicalType::EndDevice,
            other => return Err(ZdoError::Reserved(other)),
        };
        Ok(NodeDescriptor {
            logical_type,
            has_complex_descriptor: kind & 0x08 != 0,
            has_user_descriptor: kind & 0x10 != 0,
            flags_and_band: reader.u8()?,
            capability: Capability(reader.u8()?),
            maker: MakerCode(reader.u16()?),
            buffer_max: reader.u8()?,
            incoming_max: reader.u16()?,
            server_mask: reader.u16()?,
            outgoing_max: reader.u16()?,
            descriptor_capability: reader.u8()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let logical_type = match self.logical_type {
            LogicalType::Coordinator => 0,
            LogicalType::Router => 1,
            LogicalType::EndDevice => 2,
        };
        out.push(logical_type | u8::from(self.has_complex_descriptor) << 3 | u8::from(self.has_user_descriptor) << 4);
        out.extend([self.flags_and_band, self.capability.0]);
        out.extend(self.maker.0.to_le_bytes());
        out.push(self.buffer_max);
        out.extend(self.incoming_max.to_le_bytes());
        out.extend(self.server_mask.to_le_bytes());
        out.extend(self.outgoing_max.to_le_bytes());
        out.push(self.descriptor_capability);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerSource {
    Mains,
    Rechargeable,
    Battery,
    Unknown,
}

/// §2.3.2.4: four nibbles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerDescriptor(pub u16);

impl PowerDescriptor {
    pub fn source(self) -> PowerSource {
        match self.0 >> 8 & 0x0f {
            1 => PowerSource::Mains,
            2 => PowerSource::Rechargeable,
            4 => PowerSource::Battery,
            _ => PowerSource::Unknown,
        }
    }
}

/// What one endpoint speaks (§2.3.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimpleDescriptor {
    pub endpoint: Endpoint,
    pub profile: ProfileId,
    /// What it is in its profile, such as 0x0100 of a lamp.
    pub device: u16,
    /// 4 bits.
    pub version: u8,
    /// Clusters of which it is the server.
    pub inputs: Vec<ClusterId>,
    /// Clusters of which it is the client.
    pub outputs: Vec<ClusterId>,
}

impl SimpleDescriptor {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<SimpleDescriptor, ZdoError> {
        Ok(SimpleDescriptor {
            endpoint: Endpoint(reader.u8()?),
            profile: ProfileId(reader.u16()?),
            device: reader.u16()?,
            version: reader.u8()? & 0x0f,
            inputs: clusters(reader)?,
            outputs: clusters(reader)?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.endpoint.0);
        out.extend(self.profile.0.to_le_bytes());
        out.extend(self.device.to_le_bytes());
        out.push(self.version & 0x0f);
        put_clusters(out, &self.inputs);
        put_clusters(out, &self.outputs);
    }
}

/// A count and as many cluster ids.
pub(super) fn clusters(reader: &mut Reader<'_>) -> Result<Vec<ClusterId>, ZdoError> {
    let count = usize::from(reader.u8()?);
    let bytes = reader.take(count * 2)?;
    Ok(bytes.chunks_exact(2).map(|pair| ClusterId(u16::from_le_bytes([pair[0], pair[1]]))).collect())
}

/// At most 255 of them: the count is a byte.
pub(super) fn put_clusters(out: &mut Vec<u8>, clusters: &[ClusterId]) {
    let count = u8::try_from(clusters.len()).unwrap_or(u8::MAX);
    out.push(count);
    out.extend(clusters.iter().take(usize::from(count)).flat_map(|cluster| cluster.0.to_le_bytes()));
}
