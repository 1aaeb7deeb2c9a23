//! What a device says of itself (ZDO, Zigbee R22 §2.4): addresses, descriptors, bindings, neighbours, routes; and what it does when
//! it is sent away.

use super::{Binding, Deed, Device, Draft, Out, Recipient, Target};
use crate::zigbee::sim::air::{Aps, To};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::{GroupId, Ieee, Nwk};

const SUCCESS: u8 = 0x00;
const INVALID_REQUEST: u8 = 0x80;
const DEVICE_NOT_FOUND: u8 = 0x81;
const INVALID_ENDPOINT: u8 = 0x82;
const NOT_ACTIVE: u8 = 0x83;
const NOT_SUPPORTED: u8 = 0x84;
const NO_ENTRY: u8 = 0x88;
const TABLE_FULL: u8 = 0x8c;

/// Rows of the binding table.
const BINDINGS_MAX: usize = 16;

/// Rows of neighbours, routes and bindings in one answer.
const ROWS: usize = 3;

/// A row of the neighbour table: who is heard, and how well.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    pub extended_pan_id: Ieee,
    pub ieee: Ieee,
    pub nwk: Nwk,
    /// 0 coordinator, 1 router, 2 end device.
    pub kind: u8,
    pub hears_always: bool,
    /// 0 parent, 1 child, 2 sibling.
    pub relation: u8,
    pub depth: u8,
    pub lqi: u8,
}

impl Neighbour {
    pub fn encode(&self, writer: Writer) -> Writer {
        let flags = self.kind | u8::from(self.hears_always) << 2 | self.relation << 4;
        let head = writer.u64(self.extended_pan_id.0).u64(self.ieee.0).u16(self.nwk.0);
        head.u8(flags).u8(2).u8(self.depth).u8(self.lqi)
    }
}

pub fn hear(device: &mut Device, aps: &Aps, surroundings: impl FnOnce() -> Vec<Neighbour>, out: &mut Out) {
    let mut body = Reader(&aps.payload);
    let Some(sequence) = body.u8() else {
        return out.violations.push("an empty ZDO message".into());
    };
    if aps.cluster & 0x8000 != 0 || aps.cluster == 0x0013 {
        return; // answers, and announcements of others
    }
    match answer(device, aps, &mut body, surroundings, out) {
        None => out.violations.push(format!("a malformed ZDO request {:#06x}", aps.cluster)),
        Some(None) => {}
        Some(Some(answer)) => {
            let message = Aps {
                to: To::Device(aps.from),
                from: device.nwk().unwrap_or(Nwk::ALL),
                from_endpoint: 0,
                to_endpoint: 0,
                profile: 0,
                cluster: aps.cluster | 0x8000,
                counter: device.next_aps_counter(),
                ack: false,
                payload: Writer::new().u8(sequence).bytes(&answer.0).0,
            };
            out.messages.push(Draft { to: Recipient::Addressed, aps: message });
        }
    }
}

/// `None`: malformed. `Some(None)`: nothing to say.
fn answer(
    device: &mut Device,
    aps: &Aps,
    body: &mut Reader<'_>,
    surroundings: impl FnOnce() -> Vec<Neighbour>,
    out: &mut Out,
) -> Option<Option<Writer>> {
    let own = device.nwk().unwrap_or(Nwk::ALL);
    let is_unicast = matches!(aps.to, To::Device(_));
    let w = Writer::new();
    Some(match aps.cluster {
        // Where is …?
        0x0000 => {
            let ieee = body.u64()?;
            body.take(2)?;
            (ieee == device.ieee.0).then(|| w.u8(SUCCESS).u64(ieee).u16(own.0))
        }
        0x0001 => {
            let asked = body.u16()?;
            body.take(2)?;
            match asked == own.0 {
                true => Some(w.u8(SUCCESS).u64(device.ieee.0).u16(own.0)),
                false => is_unicast.then(|| w.u8(DEVICE_NOT_FOUND).u64(0).u16(asked)),
            }
        }
        0x0002 => Some(of_interest(body.u16()?, own, w, |w| node_descriptor(device, w))),
        0x0003 => {
            let is_mains = !device.model.is_sleepy();
            let power: u16 = if is_mains { 0xc110 } else { 0xc440 };
            Some(of_interest(body.u16()?, own, w, |w| w.u16(power)))
        }
        0x0004 => {
            let (asked, endpoint) = (body.u16()?, body.u8()?);
            Some(simple_descriptor(device, asked, endpoint, w))
        }
        0x0005 => {
            let endpoints: Vec<u8> = device.endpoints.iter().map(|endpoint| endpoint.spec.id).collect();
            Some(of_interest(body.u16()?, own, w, |w| w.u8(endpoints.len() as u8).bytes(&endpoints)))
        }
        0x0006 => {
            let (asked, profile) = (body.u16()?, body.u16()?);
            let (inputs, outputs) = (body.words()?, body.words()?);
            let matching = device.endpoints.iter().map(|endpoint| endpoint.spec).filter(|spec| {
                spec.profile == profile
                    && (spec.inputs.iter().any(|cluster| inputs.contains(cluster))
                        || spec.outputs.iter().any(|cluster| outputs.contains(cluster)))
            });
            let endpoints: Vec<u8> = matching.map(|spec| spec.id).collect();
            (is_unicast || !endpoints.is_empty())
                .then(|| w.u8(SUCCESS).u16(asked).u8(endpoints.len() as u8).bytes(&endpoints))
        }
        0x0021 | 0x0022 => Some(w.u8(bind(device, aps.cluster == 0x0021, body)?)),
        0x0031 if device.is_router() => {
            let (start, rows) = (body.u8()?, surroundings());
            Some(w.u8(SUCCESS).page(start, &rows, ROWS, |w, row| row.encode(w)))
        }
        0x0032 if device.is_router() => {
            let start = body.u8()?;
            // One row: to the coordinator, straight.
            Some(w.u8(SUCCESS).page(start, &[()], ROWS, |w, ()| w.u16(0).u8(0).u16(0)))
        }
        0x0033 => {
            let (start, ieee) = (body.u8()?, device.ieee);
            Some(w.u8(SUCCESS).page(start, &device.bindings, ROWS, |w, row| {
                let head = w.u64(ieee.0).u8(row.endpoint).u16(row.cluster);
                match row.target {
                    Target::Group(group) => head.u8(1).u16(group.0),
                    Target::Device { ieee, endpoint } => head.u8(3).u64(ieee.0).u8(endpoint),
                }
            }))
        }
        0x0034 => {
            let (ieee, flags) = (body.u64()?, body.u8()?);
            if ieee != 0 && ieee != device.ieee.0 {
                return Some(Some(w.u8(DEVICE_NOT_FOUND)));
            }
            out.deeds.push(Deed::Leave { rejoin: flags & 0x80 != 0 });
            Some(w.u8(SUCCESS))
        }
        0x0036 => {
            let seconds = body.u8()?;
            body.u8()?;
            if device.is_router() {
                out.deeds.push(Deed::PermitJoin { seconds });
            }
            is_unicast.then(|| w.u8(if device.is_router() { SUCCESS } else { NOT_SUPPORTED }))
        }
        0x0038 => {
            let (channels, duration) = (body.u32()?, body.u8()?);
            if duration == 0xfe && channels.count_ones() == 1 {
                out.deeds.push(Deed::Channel(channels.trailing_zeros() as u8));
                return Some(None);
            }
            is_unicast.then(|| w.u8(NOT_SUPPORTED).u32(channels).u16(0).u16(0).u8(0))
        }
        _ => is_unicast.then(|| w.u8(NOT_SUPPORTED)),
    })
}

fn of_interest(asked: u16, own: Nwk, w: Writer, rest: impl FnOnce(Writer) -> Writer) -> Writer {
    match asked == own.0 {
        true => rest(w.u8(SUCCESS).u16(asked)),
        false => w.u8(DEVICE_NOT_FOUND).u16(asked),
    }
}

fn node_descriptor(device: &Device, w: Writer) -> Writer {
    let kind = if device.is_router() { 1 } else { 2 };
    let head = w.u8(kind).u8(0x40).u8(device.capability()).u16(device.model.maker_code);
    head.u8(82).u16(128).u16(0).u16(128).u8(0)
}

fn simple_descriptor(device: &Device, asked: u16, endpoint: u8, w: Writer) -> Writer {
    let own = device.nwk().unwrap_or(Nwk::ALL);
    let refuse = |w: Writer, status: u8| w.u8(status).u16(asked).u8(0);
    if asked != own.0 {
        return refuse(w, DEVICE_NOT_FOUND);
    }
    if !(1..=254).contains(&endpoint) {
        return refuse(w, INVALID_ENDPOINT);
    }
    let Some(spec) = device.endpoint(endpoint).map(|state| state.spec) else {
        return refuse(w, NOT_ACTIVE);
    };
    let text = Writer::new().u8(spec.id).u16(spec.profile).u16(spec.device).u8(1);
    let text = text.words(spec.inputs).words(spec.outputs);
    w.u8(SUCCESS).u16(asked).u8(text.0.len() as u8).bytes(&text.0)
}

fn bind(device: &mut Device, is_bind: bool, body: &mut Reader<'_>) -> Option<u8> {
    let (source, endpoint, cluster, mode) = (body.u64()?, body.u8()?, body.u16()?, body.u8()?);
    let target = match mode {
        1 => Target::Group(GroupId(body.u16()?)),
        3 => Target::Device { ieee: Ieee(body.u64()?), endpoint: body.u8()? },
        _ => return Some(INVALID_REQUEST),
    };
    if source != device.ieee.0 {
        return Some(DEVICE_NOT_FOUND);
    }
    let Some(spec) = device.endpoint(endpoint).map(|state| state.spec) else {
        return Some(INVALID_ENDPOINT);
    };
    if !spec.inputs.contains(&cluster) && !spec.outputs.contains(&cluster) {
        return Some(INVALID_REQUEST);
    }
    let binding = Binding { endpoint, cluster, target };
    let was_there = device.bindings.contains(&binding);
    if !is_bind {
        device.bindings.retain(|row| *row != binding);
        return Some(if was_there { SUCCESS } else { NO_ENTRY });
    }
    if !was_there && device.bindings.len() >= BINDINGS_MAX {
        return Some(TABLE_FULL);
    }
    if !was_there && !device.quirks.lies {
        device.bindings.push(binding);
    }
    Some(SUCCESS)
}
