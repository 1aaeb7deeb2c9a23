//! Brightness and colour (ZCL r8 §3.10 and §5.2): what the commands do to the attributes, in their time.

use std::time::{Duration, Instant};

use super::frame::{Done, Heard, zcl};
use super::models::{COLOR, LEVEL, ON_OFF};
use super::{Device, switching};
use crate::zigbee::sim::bytes::Reader;

const LEVEL_MAX: i64 = 254;

/// Tenths of a second; 0xffff: as fast as it can.
fn tenths(number: u16) -> Duration {
    if number == 0xffff { Duration::ZERO } else { Duration::from_millis(100 * u64::from(number)) }
}

/// Commands are not carried out while it is off, unless the options say so (`ExecuteIfOff`).
fn runs(device: &Device, endpoint: u8, cluster: u16, body: &mut Reader<'_>) -> bool {
    let own = device.get(endpoint, cluster, 0x000f) as u8;
    let (mask, given) = (body.u8().unwrap_or(0), body.u8().unwrap_or(0));
    device.get(endpoint, ON_OFF, 0) != 0 || (own & !mask | given & mask) & 1 != 0
}

pub fn level(device: &mut Device, now: Instant, heard: &Heard<'_>) -> Option<Done> {
    let endpoint = heard.endpoint;
    let mut body = Reader(heard.payload);
    let with_on_off = (4..=7).contains(&heard.command);
    let is_now = device.get(endpoint, LEVEL, 0);
    let (target, takes) = match heard.command {
        0x00 | 0x04 => {
            let (level, time) = (body.u8()?, body.u16()?);
            if level == 0xff {
                return Some(Done::Status(zcl::INVALID_VALUE));
            }
            (i64::from(level), tenths(time))
        }
        0x01 | 0x05 => {
            let (mode, rate) = (body.u8()?, i64::from(body.u8()?));
            let end = if mode == 0 { LEVEL_MAX } else { 1 };
            let rate = if rate == 0xff || rate == 0 { 50 } else { rate };
            (end, Duration::from_millis(((end - is_now).abs() * 1000 / rate) as u64))
        }
        0x02 | 0x06 => {
            let (mode, step, time) = (body.u8()?, i64::from(body.u8()?), body.u16()?);
            let end = if mode == 0 { is_now + step } else { is_now - step };
            (end.clamp(if with_on_off { 0 } else { 1 }, LEVEL_MAX), tenths(time))
        }
        0x03 | 0x07 => {
            device.halt(now, LEVEL);
            return Some(Done::Status(zcl::SUCCESS));
        }
        _ => return Some(Done::Status(zcl::UNSUP_COMMAND)),
    };
    if !with_on_off && !runs(device, endpoint, LEVEL, &mut body) {
        return Some(Done::Status(zcl::SUCCESS));
    }
    if with_on_off {
        switching::switch(device, now, endpoint, target > 0);
    }
    // It is off at level 0 and remembers the last one that gave light.
    if target > 0 || !with_on_off {
        device.course(now, (endpoint, LEVEL, 0), target.clamp(1, LEVEL_MAX), takes);
    }
    Some(Done::Status(zcl::SUCCESS))
}

pub fn color(device: &mut Device, now: Instant, heard: &Heard<'_>) -> Option<Done> {
    const HUE: u16 = 0;
    const SATURATION: u16 = 1;
    const X: u16 = 3;
    const Y: u16 = 4;
    const WARMTH: u16 = 7;
    const ENHANCED_HUE: u16 = 0x4000;
    let endpoint = heard.endpoint;
    let mut body = Reader(heard.payload);
    let (mode, wishes, takes): (i64, Vec<(u16, i64)>, Duration) = match heard.command {
        0x00 => {
            let (hue, _, time) = (body.u8()?, body.u8()?, body.u16()?);
            (0, vec![(HUE, hue.into()), (ENHANCED_HUE, i64::from(hue) << 8)], tenths(time))
        }
        0x03 => {
            let (saturation, time) = (body.u8()?, body.u16()?);
            (0, vec![(SATURATION, saturation.into())], tenths(time))
        }
        0x06 => {
            let (hue, saturation, time) = (body.u8()?, body.u8()?, body.u16()?);
            let wishes = vec![(HUE, hue.into()), (ENHANCED_HUE, i64::from(hue) << 8), (SATURATION, saturation.into())];
            (0, wishes, tenths(time))
        }
        0x07 => {
            let (x, y, time) = (body.u16()?, body.u16()?, body.u16()?);
            (1, vec![(X, x.into()), (Y, y.into())], tenths(time))
        }
        0x0a => {
            let (mireds, time) = (body.u16()?, body.u16()?);
            let (min, max) = (device.get(endpoint, COLOR, 0x400b), device.get(endpoint, COLOR, 0x400c));
            (2, vec![(WARMTH, i64::from(mireds).clamp(min, max))], tenths(time))
        }
        0x40 => {
            let (hue, _, time) = (body.u16()?, body.u8()?, body.u16()?);
            (3, vec![(ENHANCED_HUE, hue.into()), (HUE, i64::from(hue) >> 8)], tenths(time))
        }
        0x43 => {
            let (hue, saturation, time) = (body.u16()?, body.u8()?, body.u16()?);
            let wishes = vec![(ENHANCED_HUE, hue.into()), (HUE, i64::from(hue) >> 8), (SATURATION, saturation.into())];
            (3, wishes, tenths(time))
        }
        0x47 => {
            device.halt(now, COLOR);
            return Some(Done::Status(zcl::SUCCESS));
        }
        0x4b | 0x4c => {
            // Moves by a rate, steps by a size; ends at the limits.
            let (direction, size) = (body.u8()?, i64::from(body.u16()?));
            let time = if heard.command == 0x4c { tenths(body.u16()?) } else { Duration::from_secs(2) };
            let (low, high) = (device.get(endpoint, COLOR, 0x400b), device.get(endpoint, COLOR, 0x400c));
            let is_now = device.get(endpoint, COLOR, WARMTH);
            let target = match (heard.command, direction) {
                (0x4b, 0) => {
                    device.halt(now, COLOR);
                    return Some(Done::Status(zcl::SUCCESS));
                }
                (0x4b, 1) => high,
                (0x4b, _) => low,
                (_, 1) => is_now + size,
                _ => is_now - size,
            };
            (2, vec![(WARMTH, target.clamp(low, high))], time)
        }
        _ => return Some(Done::Status(zcl::UNSUP_COMMAND)),
    };
    if !runs(device, endpoint, COLOR, &mut body) {
        return Some(Done::Status(zcl::SUCCESS));
    }
    // The mode of colour as the first three count it; the enhanced one has four.
    device.put(endpoint, COLOR, 0x0008, if mode == 3 { 0 } else { mode });
    device.put(endpoint, COLOR, 0x4001, mode);
    for (id, value) in wishes {
        device.course(now, (endpoint, COLOR, id), value, takes);
    }
    Some(Done::Status(zcl::SUCCESS))
}
