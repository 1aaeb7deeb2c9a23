//! The cluster EF00 of Tuya: data points in place of attributes. Every setting is told back, and a question brings all.

use std::collections::BTreeMap;

use super::frame::{self, Done, Heard, zcl};
use super::models::TUYA;
use super::{Device, Out, Recipient, Target};
use crate::zigbee::sim::air::To;
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::Nwk;

const BOOL: u8 = 1;
const VALUE: u8 = 2;

/// The switch (1) and the brightness (3, 0 to 1000) of the dimmer.
pub fn first_points() -> BTreeMap<u8, (u8, Vec<u8>)> {
    BTreeMap::from([(1, (BOOL, vec![0])), (3, (VALUE, 500u32.to_be_bytes().to_vec()))])
}

pub fn hear(device: &mut Device, heard: &Heard<'_>, out: &mut Out) -> Option<Done> {
    let mut body = Reader(heard.payload);
    match heard.command {
        // A setting, or several.
        0x00 => {
            let sequence = body.take(2)?;
            let mut told = Writer::new().bytes(sequence);
            while !body.is_empty() {
                let (number, kind) = (body.u8()?, body.u8()?);
                let len = u16::from_be_bytes(body.take(2)?.try_into().ok()?);
                let value = body.take(len.into())?;
                let Some(point) = device.data_points.get_mut(&number).filter(|point| point.0 == kind) else {
                    continue; // real ones say nothing to what they do not have
                };
                point.1 = value.to_vec();
                told = told.u8(number).u8(kind).bytes(&len.to_be_bytes()).bytes(value);
            }
            device.carried_out += 1;
            frame::default_response(device, heard, zcl::SUCCESS, out);
            if told.0.len() > 2 {
                report(device, heard, told, out);
            }
            Some(Done::Answered)
        }
        0x03 => {
            for (number, (kind, value)) in device.data_points.clone() {
                let sequence = u16::from(device.next_sequence());
                let len = (value.len() as u16).to_be_bytes();
                let told = Writer::new().bytes(&sequence.to_be_bytes()).u8(number).u8(kind).bytes(&len).bytes(&value);
                report(device, heard, told, out);
            }
            Some(Done::Status(zcl::SUCCESS))
        }
        0x10 => {
            let sequence = body.take(2)?;
            let told = Writer::new().bytes(sequence).u8(0x40); // version 1.0.0
            let frame = Writer::new().u8(0x19).u8(device.next_sequence()).u8(0x11).bytes(&told.0);
            let draft = device.answer(heard.aps, heard.endpoint, frame.0);
            out.messages.push(draft);
            Some(Done::Status(zcl::SUCCESS))
        }
        0x24 | 0x25 => Some(Done::Status(zcl::SUCCESS)), // the time, and that there is an internet
        _ => Some(Done::Status(zcl::UNSUP_COMMAND)),
    }
}

fn report(device: &mut Device, heard: &Heard<'_>, told: Writer, out: &mut Out) {
    let frame = Writer::new().u8(0x19).u8(device.next_sequence()).u8(0x01).bytes(&told.0);
    let draft = device.answer(heard.aps, heard.endpoint, frame.0);
    out.messages.push(draft);
}

/// A person turns it: told to the coordinator, bound or not, as these do.
pub fn turn(device: &mut Device, number: u8, value: i64, out: &mut Out) {
    let Some(point) = device.data_points.get_mut(&number) else {
        return;
    };
    point.1 = if point.0 == BOOL { vec![u8::from(value != 0)] } else { (value as u32).to_be_bytes().to_vec() };
    let (kind, value) = point.clone();
    let sequence = u16::from(device.next_sequence());
    let len = (value.len() as u16).to_be_bytes();
    let told = Writer::new().bytes(&sequence.to_be_bytes()).u8(number).u8(kind).bytes(&len).bytes(&value);
    let frame = Writer::new().u8(0x19).u8(device.next_sequence()).u8(0x02).bytes(&told.0);
    let mut draft = device.draft(1, TUYA, Target::Device { ieee: device.ieee, endpoint: 1 }, frame.0, false);
    (draft.to, draft.aps.to) = (Recipient::Addressed, To::Device(Nwk::COORDINATOR));
    out.messages.push(draft);
}
