//! Commands of clusters: who carries them out, and the small ones themselves (identify, cover, intruder alarm).

use std::time::{Duration, Instant};

use super::frame::{self, Done, Heard, zcl};
use super::models::{self, *};
use super::{Device, Out, Target, groups, lighting, ota, switching, tuya};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::Ieee;

/// A shutter takes so long from end to end.
const SHUTTER_WAY: Duration = Duration::from_secs(10);

pub fn hear(device: &mut Device, now: Instant, heard: &Heard<'_>, out: &mut Out) {
    let is_question = matches!(
        (heard.aps.cluster, heard.command),
        (GROUPS, 0x01 | 0x02) | (SCENES, 0x01 | 0x06) | (IDENTIFY, 0x01) | (TUYA, 0x03 | 0x10 | 0x24) | (OTA, _)
    ) || heard.is_to_client();
    if !is_question {
        if let Some(status) = device.quirks.rejects {
            return frame::default_response(device, heard, status, out);
        }
        if device.quirks.lies {
            return frame::default_response(device, heard, zcl::SUCCESS, out);
        }
    }
    let done = match heard.aps.cluster {
        BASIC => basic(device, heard),
        IDENTIFY => identify(device, now, heard, out),
        GROUPS => groups::hear_group(device, heard, out),
        SCENES => groups::hear_scene(device, now, heard, out),
        ON_OFF => switching::on_off(device, now, heard),
        LEVEL => lighting::level(device, now, heard),
        COLOR => lighting::color(device, now, heard),
        COVERING => covering(device, now, heard),
        IAS_ZONE => zone(device, heard),
        TUYA => tuya::hear(device, heard, out),
        OTA => ota::hear(device, now, heard, out),
        _ => Some(Done::Status(zcl::UNSUP_COMMAND)),
    };
    match done {
        None => {
            let (command, cluster) = (heard.command, heard.aps.cluster);
            out.violations.push(format!("a malformed command {command:#04x} of cluster {cluster:#06x}"));
            frame::default_response(device, heard, zcl::MALFORMED, out);
        }
        Some(Done::Status(status)) => {
            if status == zcl::SUCCESS && !is_question {
                device.carried_out += 1;
            }
            frame::default_response(device, heard, status, out);
        }
        Some(Done::Answered) => {}
    }
}

/// An attribute was written.
pub fn written(device: &mut Device, now: Instant, heard: &Heard<'_>, id: u16, out: &mut Out) {
    match (heard.aps.cluster, id) {
        (IDENTIFY, 0) => begin_identifying(device, now, heard.endpoint),
        // Whoever writes its address into the zone is asked to take it in.
        (IAS_ZONE, 0x10) => {
            let owner = device.get(heard.endpoint, IAS_ZONE, 0x10) as u64;
            if owner != 0 && device.get(heard.endpoint, IAS_ZONE, 0) == 0 {
                let kind = device.get(heard.endpoint, IAS_ZONE, 1) as u16;
                let body = Writer::new().u16(kind).u16(device.model.maker_code);
                let frame = Writer::new().u8(0x09).u8(device.next_sequence()).u8(0x01).bytes(&body.0);
                let target = Target::Device { ieee: Ieee(owner), endpoint: 1 };
                let draft = device.draft(heard.endpoint, IAS_ZONE, target, frame.0, true);
                out.messages.push(draft);
            }
        }
        _ => {}
    }
}

fn basic(device: &mut Device, heard: &Heard<'_>) -> Option<Done> {
    if heard.command != 0x00 {
        return Some(Done::Status(zcl::UNSUP_COMMAND));
    }
    // Back to factory values of attributes; the network, bindings and groups stay (ZCL r8 §3.2.2.3.1).
    let specs: Vec<_> = device.endpoint(heard.endpoint)?.attributes.values().map(|attribute| attribute.spec).collect();
    for spec in specs {
        if let First::Number(number) = spec.first {
            device.put(heard.endpoint, spec.cluster, spec.id, number);
        }
    }
    Some(Done::Status(zcl::SUCCESS))
}

fn identify(device: &mut Device, now: Instant, heard: &Heard<'_>, out: &mut Out) -> Option<Done> {
    let mut body = Reader(heard.payload);
    match heard.command {
        0x00 => {
            let seconds = body.u16()?;
            device.put(heard.endpoint, IDENTIFY, 0, seconds.into());
            begin_identifying(device, now, heard.endpoint);
        }
        0x01 => {
            let left = device.get(heard.endpoint, IDENTIFY, 0) as u16;
            if left == 0 {
                return Some(Done::Status(zcl::SUCCESS));
            }
            frame::respond(device, heard, 0x00, Writer::new().u16(left), out);
            return Some(Done::Answered);
        }
        0x40 => {
            body.u16()?;
            out.notes.push("blinks".into());
        }
        _ => return Some(Done::Status(zcl::UNSUP_COMMAND)),
    }
    Some(Done::Status(zcl::SUCCESS))
}

fn begin_identifying(device: &mut Device, now: Instant, endpoint: u8) {
    let seconds = device.get(endpoint, IDENTIFY, 0);
    device.course(now, (endpoint, IDENTIFY, 0), 0, Duration::from_secs(seconds as u64));
}

fn covering(device: &mut Device, now: Instant, heard: &Heard<'_>) -> Option<Done> {
    let endpoint = heard.endpoint;
    let target = match heard.command {
        0x00 => 0,
        0x01 => 100,
        0x02 => {
            device.halt(now, COVERING);
            return Some(Done::Status(zcl::SUCCESS));
        }
        0x05 => {
            let percent = Reader(heard.payload).u8()?;
            if percent > 100 {
                return Some(Done::Status(zcl::INVALID_VALUE));
            }
            i64::from(percent)
        }
        _ => return Some(Done::Status(zcl::UNSUP_COMMAND)),
    };
    let way = (target - device.get(endpoint, COVERING, 8)).unsigned_abs() as u32;
    device.course(now, (endpoint, COVERING, 8), target, SHUTTER_WAY * way / 100);
    Some(Done::Status(zcl::SUCCESS))
}

/// Answers to a zone that asked to be taken in: code and zone id.
fn zone(device: &mut Device, heard: &Heard<'_>) -> Option<Done> {
    if heard.command != 0x00 {
        return Some(Done::Status(zcl::UNSUP_COMMAND));
    }
    let mut body = Reader(heard.payload);
    let (code, id) = (body.u8()?, body.u8()?);
    let has_owner = device.get(heard.endpoint, IAS_ZONE, 0x10) != 0;
    if code == 0 && has_owner {
        device.put(heard.endpoint, IAS_ZONE, 0, 1);
        device.put(heard.endpoint, IAS_ZONE, 0x11, id.into());
    }
    Some(Done::Status(zcl::SUCCESS))
}

/// Opens or closes the contact. Told to whom it is enrolled with, and to nobody before.
pub fn trip(device: &mut Device, now: Instant, is_open: bool, out: &mut Out) {
    let Some(endpoint) = device.endpoints.iter().find(|e| e.spec.inputs.contains(&IAS_ZONE)).map(|e| e.spec.id) else {
        return;
    };
    let status = device.get(endpoint, IAS_ZONE, 2) & !1 | i64::from(is_open);
    device.put(endpoint, IAS_ZONE, 2, status);
    let owner = device.get(endpoint, IAS_ZONE, 0x10) as u64;
    if device.get(endpoint, IAS_ZONE, 0) == 1 && owner != 0 && !device.quirks.silent {
        let id = device.get(endpoint, IAS_ZONE, 0x11) as u8;
        let body = Writer::new().u16(status as u16).u8(0).u8(id).u16(0);
        let frame = Writer::new().u8(0x19).u8(device.next_sequence()).u8(0x00).bytes(&body.0);
        let draft =
            device.draft(endpoint, models::IAS_ZONE, Target::Device { ieee: Ieee(owner), endpoint: 1 }, frame.0, true);
        out.messages.push(draft);
    } else {
        out.notes.push("is not enrolled, and says nothing".into());
    }
    device.report(now, out);
}
