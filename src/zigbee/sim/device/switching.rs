//! On and off (ZCL r8 §3.8), and the meter in which the load is seen that runs.

use std::time::{Duration, Instant};

use super::Device;
use super::frame::{Done, Heard, zcl};
use super::models::{ELECTRICAL, METERING, ON_OFF};
use crate::zigbee::sim::bytes::Reader;

/// A plug counts its energy so often while something runs.
const METER_EVERY: Duration = Duration::from_secs(10);

pub fn on_off(device: &mut Device, now: Instant, heard: &Heard<'_>) -> Option<Done> {
    let endpoint = heard.endpoint;
    let mut body = Reader(heard.payload);
    let is_on = device.get(endpoint, ON_OFF, 0) != 0;
    let target = match heard.command {
        0x00 => false,
        0x01 => true,
        0x02 => !is_on,
        0x40 => {
            body.u16()?;
            false
        }
        0x42 => {
            let (accept_only_when_on, on_tenths) = (body.u8()? & 1 != 0, body.u16()?);
            body.u16()?;
            if accept_only_when_on && !is_on {
                return Some(Done::Status(zcl::SUCCESS));
            }
            device.off_at = Some(now + Duration::from_millis(100 * u64::from(on_tenths)));
            true
        }
        _ => return Some(Done::Status(zcl::UNSUP_COMMAND)),
    };
    if heard.command != 0x42 {
        device.off_at = None;
    }
    switch(device, now, endpoint, target);
    Some(Done::Status(zcl::SUCCESS))
}

pub fn switch(device: &mut Device, now: Instant, endpoint: u8, is_on: bool) {
    device.put(endpoint, ON_OFF, 0, is_on.into());
    power(device, now);
}

/// The load that runs is seen in the meter.
pub fn power(device: &mut Device, now: Instant) {
    if !device.has_cluster(ELECTRICAL) {
        return;
    }
    meter(device, now);
    let endpoint = device.endpoints[0].spec.id;
    let watts = if device.get(endpoint, ON_OFF, 0) != 0 { device.load_w } else { 0 };
    device.put(endpoint, ELECTRICAL, 0x050b, watts);
    device.put(endpoint, ELECTRICAL, 0x0508, watts * 1000 / 231);
    device.put(endpoint, METERING, 0x0400, watts);
    device.metered_at = (watts > 0).then(|| now + METER_EVERY);
}

/// Counts the energy of the time that went by (0.01 kWh each).
pub fn meter(device: &mut Device, now: Instant) {
    let Some(at) = device.metered_at.filter(|at| *at <= now) else {
        return;
    };
    let endpoint = device.endpoints[0].spec.id;
    let watts = device.get(endpoint, ELECTRICAL, 0x050b);
    let counted = device.get(endpoint, METERING, 0);
    // Ten seconds of 3.6 kW are 0.01 kWh; less is rounded up, so that something is seen to happen.
    device.put(endpoint, METERING, 0, counted + (watts / 3_600).max(1));
    device.metered_at = Some(at.max(now) + METER_EVERY);
}
