//! Who a frame is for, and the commands that all clusters have (ZCL r8 §2.5): read, write, configure, discover.

use std::time::Instant;

use super::frame::{Heard, default_response, parse, zcl};
use super::models::{self, READ, REPORT, WRITE};
use super::reporting::Reporting;
use super::{Device, Out, clusters};
use crate::zigbee::sim::air::Aps;
use crate::zigbee::sim::bytes::{Reader, Writer};

/// Octets of attributes in one answer; the rest is asked for again.
const ANSWER_LEN_MAX: usize = 70;

pub fn hear(device: &mut Device, now: Instant, endpoint: u8, aps: &Aps, out: &mut Out) {
    let Some(frame) = parse(endpoint, aps) else {
        out.violations.push(format!("a frame of {} bytes that is no ZCL", aps.payload.len()));
        return;
    };
    let spec = device.endpoint(endpoint).expect("the caller found it").spec;
    let is_known =
        if frame.is_to_client() { spec.outputs.contains(&aps.cluster) } else { spec.inputs.contains(&aps.cluster) };
    if frame.is_for_cluster() {
        if frame.maker.is_some() {
            return default_response(device, &frame, zcl::UNSUP_COMMAND, out);
        }
        if !is_known {
            return default_response(device, &frame, zcl::UNSUP_CLUSTER, out);
        }
        return clusters::hear(device, now, &frame, out);
    }
    let is_response = matches!(frame.command, 0x01 | 0x04 | 0x07 | 0x09 | 0x0a | 0x0b | 0x0d | 0x12 | 0x14 | 0x16);
    if is_response {
        return; // of a client's question, or somebody's report
    }
    if !is_known || frame.is_to_client() {
        return default_response(device, &frame, zcl::UNSUP_CLUSTER, out);
    }
    if !frame.is_unicast() && frame.command != 0x05 {
        return; // nobody answers a broadcast of this kind
    }
    let answer = match frame.command {
        0x00 => read(device, &frame).map(|body| (0x01, body)),
        0x02 | 0x03 | 0x05 => write(device, now, &frame, out).map(|body| (0x04, body)),
        0x06 => configure(device, now, &frame).map(|body| (0x07, body)),
        0x08 => read_configuration(device, &frame).map(|body| (0x09, body)),
        0x0c => discover(device, &frame).map(|body| (0x0d, body)),
        _ => return default_response(device, &frame, zcl::UNSUP_COMMAND, out),
    };
    match answer {
        None => {
            out.violations.push(format!("a malformed {:#04x} to cluster {:#06x}", frame.command, aps.cluster));
            default_response(device, &frame, zcl::MALFORMED, out);
        }
        Some(_) if frame.command == 0x05 => {}
        Some((command, body)) => {
            let mut header = Writer::new().u8(0x18 | u8::from(frame.maker.is_some()) << 2);
            if let Some(maker) = frame.maker {
                header = header.u16(maker);
            }
            let payload = header.u8(frame.sequence).u8(command).bytes(&body.0);
            let draft = device.answer(aps, endpoint, payload.0);
            out.messages.push(draft);
        }
    }
}

fn read(device: &Device, heard: &Heard<'_>) -> Option<Writer> {
    let mut asked = Reader(heard.payload);
    let mut answer = Writer::new();
    while !asked.is_empty() {
        let id = asked.u16()?;
        let attributes = &device.endpoint(heard.endpoint)?.attributes;
        let found = attributes.get(&(heard.aps.cluster, id)).filter(|_| heard.maker.is_none());
        if answer.0.len() > ANSWER_LEN_MAX {
            break;
        }
        answer = match found {
            Some(attribute) if attribute.spec.access & READ != 0 => {
                answer.u16(id).u8(zcl::SUCCESS).u8(attribute.spec.kind).bytes(&attribute.value)
            }
            _ => answer.u16(id).u8(zcl::UNSUP_ATTRIBUTE),
        };
    }
    Some(answer)
}

fn write(device: &mut Device, now: Instant, heard: &Heard<'_>, out: &mut Out) -> Option<Writer> {
    let cluster = heard.aps.cluster;
    let mut asked = Reader(heard.payload);
    let (mut failures, mut wishes) = (Writer::new(), Vec::new());
    while !asked.is_empty() {
        let (id, kind) = (asked.u16()?, asked.u8()?);
        let value = take_value(&mut asked, kind)?.to_vec();
        let found = device.endpoint(heard.endpoint)?.attributes.get(&(cluster, id)).filter(|_| heard.maker.is_none());
        let status = match found {
            None => zcl::UNSUP_ATTRIBUTE,
            Some(_) if device.quirks.rejects.is_some() => device.quirks.rejects.unwrap_or(zcl::READ_ONLY),
            Some(attribute) if attribute.spec.access & WRITE == 0 => zcl::READ_ONLY,
            Some(attribute) if attribute.spec.kind != kind => zcl::INVALID_TYPE,
            Some(_) => zcl::SUCCESS,
        };
        match status {
            zcl::SUCCESS => wishes.push((id, value)),
            status => failures = failures.u8(status).u16(id),
        }
    }
    let is_undivided = heard.command == 0x03;
    if device.quirks.lies || (is_undivided && !failures.0.is_empty()) {
        wishes.clear();
    }
    for (id, value) in wishes {
        let attributes = &mut device.endpoint_mut(heard.endpoint)?.attributes;
        attributes.get_mut(&(cluster, id))?.value = value;
        device.carried_out += 1;
        clusters::written(device, now, heard, id, out);
    }
    Some(if failures.0.is_empty() { Writer::new().u8(zcl::SUCCESS) } else { failures })
}

/// The value of a type at the front; `None`: it is cut off, or of a type that is not known.
fn take_value<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<&'a [u8]> {
    if let Some(width) = models::width(kind) {
        return reader.take(width);
    }
    let whole = reader.0;
    let len = match kind {
        0x41 | 0x42 => 1 + usize::from(reader.u8()?),
        0x43 | 0x44 => 2 + usize::from(reader.u16()?),
        _ => return None,
    };
    *reader = Reader(whole);
    reader.take(len)
}

fn configure(device: &mut Device, now: Instant, heard: &Heard<'_>) -> Option<Writer> {
    let cluster = heard.aps.cluster;
    let mut asked = Reader(heard.payload);
    let mut failures = Writer::new();
    while !asked.is_empty() {
        let (direction, id) = (asked.u8()?, asked.u16()?);
        if direction == 1 {
            asked.u16()?; // reports to be expected: a server has none
            failures = failures.u8(zcl::UNREPORTABLE).u8(direction).u16(id);
            continue;
        }
        let (kind, min_s, max_s) = (asked.u8()?, asked.u16()?, asked.u16()?);
        let change = if models::is_analog(kind) { asked.number(models::width(kind)?)? as i64 } else { 0 };
        let found = device.endpoint(heard.endpoint)?.attributes.get(&(cluster, id)).filter(|_| heard.maker.is_none());
        let status = match found {
            None => zcl::UNSUP_ATTRIBUTE,
            Some(attribute) if attribute.spec.access & REPORT == 0 => zcl::UNREPORTABLE,
            Some(attribute) if attribute.spec.kind != kind => zcl::INVALID_TYPE,
            Some(_) if min_s > max_s && max_s != 0 => zcl::INVALID_VALUE,
            Some(_) => zcl::SUCCESS,
        };
        if status != zcl::SUCCESS {
            failures = failures.u8(status).u8(direction).u16(id);
            continue;
        }
        let reporting = Reporting::new(heard.endpoint, cluster, id, (min_s, max_s, change), now);
        device.configure(reporting);
    }
    Some(if failures.0.is_empty() { Writer::new().u8(zcl::SUCCESS) } else { failures })
}

fn read_configuration(device: &Device, heard: &Heard<'_>) -> Option<Writer> {
    let mut asked = Reader(heard.payload);
    let mut answer = Writer::new();
    while !asked.is_empty() {
        let (direction, id) = (asked.u8()?, asked.u16()?);
        let attribute = device.endpoint(heard.endpoint)?.attributes.get(&(heard.aps.cluster, id));
        let configured = device.reporting.iter().find(|r| r.at == (heard.endpoint, heard.aps.cluster, id));
        answer = match (attribute, configured) {
            (None, _) => answer.u8(zcl::UNSUP_ATTRIBUTE).u8(direction).u16(id),
            (Some(_), None) => answer.u8(zcl::NOT_FOUND).u8(direction).u16(id),
            (Some(attribute), Some(configured)) => {
                let kind = attribute.spec.kind;
                let width = if models::is_analog(kind) { models::width(kind)? } else { 0 };
                let rest = Writer::new().u8(kind).u16(configured.min_s).u16(configured.max_s);
                let change = &configured.change.to_le_bytes()[..width];
                answer.u8(zcl::SUCCESS).u8(direction).u16(id).bytes(&rest.0).bytes(change)
            }
        };
    }
    Some(answer)
}

fn discover(device: &Device, heard: &Heard<'_>) -> Option<Writer> {
    let mut asked = Reader(heard.payload);
    let (start, count) = (asked.u16()?, usize::from(asked.u8()?));
    let attributes = &device.endpoint(heard.endpoint)?.attributes;
    let cluster = heard.aps.cluster;
    let found: Vec<_> = attributes.range((cluster, start)..=(cluster, u16::MAX)).collect();
    let is_whole = found.len() <= count;
    let listed = found.into_iter().take(count);
    Some(listed.fold(Writer::new().u8(u8::from(is_whole)), |w, ((_, id), a)| w.u16(*id).u8(a.spec.kind)))
}
