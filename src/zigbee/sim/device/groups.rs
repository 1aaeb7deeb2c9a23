//! Groups and scenes as they lie in a device (ZCL r8 §3.6 and §3.7).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::frame::{self, Done, Heard, zcl};
use super::models::{COLOR, COVERING, IDENTIFY, LEVEL, ON_OFF, SCENES};
use super::{Device, Out, switching};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::GroupId;

/// Rows of the group table.
const GROUPS_MAX: usize = 8;

/// Rows of the scene table.
const SCENES_MAX: usize = 16;

const FULL: u8 = 0x89;
const EXISTS: u8 = 0x8a;

/// What a scene keeps, of what the device has.
const KEPT: &[(u16, u16)] =
    &[(ON_OFF, 0), (LEVEL, 0), (COLOR, 3), (COLOR, 4), (COLOR, 7), (COLOR, 8), (COLOR, 0x4001), (COVERING, 8)];

pub fn hear_group(device: &mut Device, heard: &Heard<'_>, out: &mut Out) -> Option<Done> {
    let mut body = Reader(heard.payload);
    let endpoint = heard.endpoint;
    match heard.command {
        0x00 | 0x05 => {
            let group = GroupId(body.u16()?);
            let len = body.u8()?;
            body.take(len.into())?;
            let is_identifying = device.get(endpoint, IDENTIFY, 0) > 0;
            if heard.command == 0x05 && !is_identifying {
                return Some(Done::Status(zcl::SUCCESS));
            }
            let groups = &mut device.endpoint_mut(endpoint)?.groups;
            let status = if groups.contains(&group) {
                EXISTS
            } else if group.0 == 0 || group.0 > 0xfff7 {
                zcl::INVALID_VALUE
            } else if groups.len() >= GROUPS_MAX {
                FULL
            } else {
                groups.insert(group);
                zcl::SUCCESS
            };
            if heard.command == 0x05 {
                return Some(Done::Status(status));
            }
            answer(device, heard, 0x00, Writer::new().u8(status).u16(group.0), out)
        }
        0x01 => {
            let group = GroupId(body.u16()?);
            let is_in = device.endpoint(endpoint)?.groups.contains(&group);
            let status = if is_in { zcl::SUCCESS } else { zcl::NOT_FOUND };
            answer(device, heard, 0x01, Writer::new().u8(status).u16(group.0).u8(0), out)
        }
        0x02 => {
            let asked = body.words()?;
            let groups = &device.endpoint(endpoint)?.groups;
            let found: Vec<u16> =
                groups.iter().map(|group| group.0).filter(|g| asked.is_empty() || asked.contains(g)).collect();
            let free = (GROUPS_MAX - groups.len()) as u8;
            answer(device, heard, 0x02, Writer::new().u8(free).words(&found), out)
        }
        0x03 => {
            let group = GroupId(body.u16()?);
            let state = device.endpoint_mut(endpoint)?;
            let was_in = state.groups.remove(&group);
            state.scenes.retain(|(of, _), _| *of != group.0);
            let status = if was_in { zcl::SUCCESS } else { zcl::NOT_FOUND };
            answer(device, heard, 0x03, Writer::new().u8(status).u16(group.0), out)
        }
        0x04 => {
            let state = device.endpoint_mut(endpoint)?;
            state.groups.clear();
            state.scenes.retain(|(group, _), _| *group == 0);
            Some(Done::Status(zcl::SUCCESS))
        }
        _ => Some(Done::Status(zcl::UNSUP_COMMAND)),
    }
}

fn answer(device: &mut Device, heard: &Heard<'_>, command: u8, body: Writer, out: &mut Out) -> Option<Done> {
    if heard.is_unicast() {
        device.carried_out += 1;
        frame::respond(device, heard, command, body, out);
    }
    Some(Done::Answered)
}

pub fn hear_scene(device: &mut Device, now: Instant, heard: &Heard<'_>, out: &mut Out) -> Option<Done> {
    let mut body = Reader(heard.payload);
    let endpoint = heard.endpoint;
    let group = body.u16()?;
    let is_member = group == 0 || device.endpoint(endpoint)?.groups.contains(&GroupId(group));
    if heard.command == 0x06 {
        let state = device.endpoint(endpoint)?;
        let free = (SCENES_MAX - state.scenes.len()) as u8;
        let found: Vec<u8> = state.scenes.keys().filter(|(of, _)| *of == group).map(|(_, scene)| *scene).collect();
        let answered = match is_member {
            true => Writer::new().u8(zcl::SUCCESS).u8(free).u16(group).u8(found.len() as u8).bytes(&found),
            false => Writer::new().u8(zcl::INVALID_FIELD).u8(free).u16(group),
        };
        return answer(device, heard, 0x06, answered, out);
    }
    if heard.command == 0x03 {
        device.endpoint_mut(endpoint)?.scenes.retain(|(of, _), _| *of != group);
        let status = if is_member { zcl::SUCCESS } else { zcl::INVALID_FIELD };
        return answer(device, heard, 0x03, Writer::new().u8(status).u16(group), out);
    }
    let scene = body.u8()?;
    let at = (group, scene);
    let count = device.endpoint(endpoint)?.scenes.len();
    let is_there = device.endpoint(endpoint)?.scenes.contains_key(&at);
    let status = match heard.command {
        _ if !is_member => zcl::INVALID_FIELD,
        0x00 | 0x04 if count >= SCENES_MAX && !is_there => FULL,
        0x01 | 0x02 | 0x05 if !is_there => zcl::NOT_FOUND,
        _ => zcl::SUCCESS,
    };
    match heard.command {
        0x00 => {
            body.u16()?;
            let len = body.u8()?;
            body.take(len.into())?;
            let mut kept = BTreeMap::new();
            while !body.is_empty() {
                let (cluster, len) = (body.u16()?, body.u8()?);
                extension(cluster, body.take(len.into())?, &mut kept);
            }
            if status == zcl::SUCCESS {
                device.endpoint_mut(endpoint)?.scenes.insert(at, kept);
            }
            answer(device, heard, 0x00, Writer::new().u8(status).u16(group).u8(scene), out)
        }
        0x01 => {
            let answered = Writer::new().u8(status).u16(group).u8(scene);
            let answered = if status == zcl::SUCCESS { answered.u16(0).u8(0) } else { answered };
            answer(device, heard, 0x01, answered, out)
        }
        0x02 => {
            device.endpoint_mut(endpoint)?.scenes.remove(&at);
            answer(device, heard, 0x02, Writer::new().u8(status).u16(group).u8(scene), out)
        }
        0x04 => {
            if status == zcl::SUCCESS {
                let state = device.endpoint_mut(endpoint)?;
                let kept = KEPT.iter().filter_map(|key| Some((*key, state.attributes.get(key)?.number()))).collect();
                state.scenes.insert(at, kept);
            }
            answer(device, heard, 0x04, Writer::new().u8(status).u16(group).u8(scene), out)
        }
        0x05 => {
            let takes = body.u16().filter(|tenths| *tenths != 0xffff).unwrap_or(0);
            let takes = Duration::from_millis(100 * u64::from(takes));
            if let Some(kept) = device.endpoint(endpoint)?.scenes.get(&at).filter(|_| status == zcl::SUCCESS).cloned() {
                for ((cluster, id), value) in kept {
                    device.course(now, (endpoint, cluster, id), value, takes);
                }
                switching::power(device, now);
                device.put(endpoint, SCENES, 1, scene.into());
                device.put(endpoint, SCENES, 2, group.into());
            }
            Some(Done::Status(status))
        }
        _ => Some(Done::Status(zcl::UNSUP_COMMAND)),
    }
}

/// The fields that a scene has of a cluster, in the order of the standard.
fn extension(cluster: u16, fields: &[u8], kept: &mut BTreeMap<(u16, u16), i64>) {
    let mut fields = Reader(fields);
    let row: &[(u16, usize)] = match cluster {
        ON_OFF => &[(0, 1)],
        LEVEL => &[(0, 1)],
        COLOR => &[(3, 2), (4, 2), (0x4000, 2), (1, 1)],
        COVERING => &[(8, 1)],
        _ => &[],
    };
    for (id, width) in row {
        if let Some(value) = fields.number(*width) {
            kept.insert((cluster, *id), value as i64);
        }
    }
}
