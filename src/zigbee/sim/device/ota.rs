//! The side of a device that takes new firmware over the air (ZCL r8 §11): asks when it is told that there is something, fetches
//! block after block, and starts anew with the new version.

use std::time::{Duration, Instant};

use super::frame::{Done, Heard, zcl};
use super::models::OTA;
use super::{Device, Out};
use crate::zigbee::sim::air::{Aps, To};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::types::Nwk;

pub const FIRST_VERSION: u32 = 0x0100_0001;

/// What it calls its own images.
const IMAGE_TYPE: u16 = 0x0211;

/// Octets that it asks for at a time.
const BLOCK_LEN: u8 = 64;

/// It asks again where no block came.
const BLOCK_WAIT: Duration = Duration::from_secs(5);

/// It gives up after so many times.
const TRIES_MAX: u8 = 3;

pub struct Download {
    server_endpoint: u8,
    own_endpoint: u8,
    version: u32,
    size: u32,
    offset: u32,
    tries: u8,
    pub due: Instant,
}

pub fn hear(device: &mut Device, now: Instant, heard: &Heard<'_>, out: &mut Out) -> Option<Done> {
    let mut body = Reader(heard.payload);
    match heard.command {
        // ImageNotify: is there something new?
        0x00 => {
            let query = Writer::new().u8(0).u16(device.model.maker_code).u16(IMAGE_TYPE).u32(device.firmware);
            say(device, heard.endpoint, heard.aps.from_endpoint, 0x01, &query.0, out);
            Some(Done::Answered)
        }
        0x02 => {
            if body.u8()? != zcl::SUCCESS {
                return Some(Done::Answered);
            }
            let (maker, image, version, size) = (body.u16()?, body.u16()?, body.u32()?, body.u32()?);
            if (maker, image) != (device.model.maker_code, IMAGE_TYPE) {
                out.notes.push("is offered firmware that is not its own, and does not take it".into());
                return Some(Done::Answered);
            }
            device.ota = Some(Download {
                server_endpoint: heard.aps.from_endpoint,
                own_endpoint: heard.endpoint,
                version,
                size,
                offset: 0,
                tries: 0,
                due: now + BLOCK_WAIT,
            });
            ask(device, now, out);
            Some(Done::Answered)
        }
        0x05 => {
            let Some(download) = device.ota.as_mut() else {
                return Some(Done::Answered);
            };
            match body.u8()? {
                zcl::SUCCESS => {
                    body.take(8)?;
                    let (offset, len) = (body.u32()?, body.u8()?);
                    body.take(len.into())?;
                    if offset == download.offset {
                        download.offset += u32::from(len);
                        download.tries = 0;
                    }
                    ask(device, now, out);
                }
                0x97 => download.due = now + BLOCK_WAIT, // WAIT_FOR_DATA
                _ => device.ota = None,
            }
            Some(Done::Answered)
        }
        // UpgradeEndResponse: start anew.
        0x07 => {
            if let Some(download) = device.ota.take().filter(|download| download.offset >= download.size) {
                device.firmware = download.version;
                out.notes.push(format!("runs firmware {:#010x} now", download.version));
                let announcement = device.announcement();
                out.messages.push(announcement);
            }
            Some(Done::Answered)
        }
        _ => Some(Done::Status(zcl::UNSUP_COMMAND)),
    }
}

pub fn handle_timeout(device: &mut Device, now: Instant, out: &mut Out) {
    let Some(download) = device.ota.as_mut().filter(|download| download.due <= now) else {
        return;
    };
    download.tries += 1;
    if download.tries > TRIES_MAX {
        device.ota = None;
        return;
    }
    ask(device, now, out);
}

/// Asks for the next block, or says that it has all.
fn ask(device: &mut Device, now: Instant, out: &mut Out) {
    let maker = device.model.maker_code;
    let Some(download) = device.ota.as_mut() else {
        return;
    };
    download.due = now + BLOCK_WAIT;
    let (own, server) = (download.own_endpoint, download.server_endpoint);
    let head = Writer::new();
    let (command, body) = if download.offset >= download.size {
        (0x06, head.u8(zcl::SUCCESS).u16(maker).u16(IMAGE_TYPE).u32(download.version))
    } else {
        let left = download.size - download.offset;
        let len = u8::try_from(left).unwrap_or(BLOCK_LEN).min(BLOCK_LEN);
        (0x03, head.u8(0).u16(maker).u16(IMAGE_TYPE).u32(download.version).u32(download.offset).u8(len))
    };
    say(device, own, server, command, &body.0, out);
}

fn say(device: &mut Device, from: u8, to: u8, command: u8, body: &[u8], out: &mut Out) {
    let frame = Writer::new().u8(0x01).u8(device.next_sequence()).u8(command).bytes(body);
    let aps = Aps {
        to: To::Device(Nwk::COORDINATOR),
        from: device.nwk().unwrap_or(Nwk::ALL),
        from_endpoint: from,
        to_endpoint: to,
        profile: 0x0104,
        cluster: OTA,
        counter: device.next_aps_counter(),
        ack: false,
        payload: frame.0,
    };
    out.messages.push(super::Draft { to: super::Recipient::Addressed, aps });
}
