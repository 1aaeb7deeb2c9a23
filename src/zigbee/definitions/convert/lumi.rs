//! Xiaomi's own reports: numbered values behind each other in an attribute of the basic cluster (0xff01, which says it is a text)
//! or of cluster 0xfcc0 (0x00f7). What a number means depends on what the device is; only what it is said to have is told.

use serde_json::Value as Json;

use super::*;
use crate::zigbee::zcl::Reader;

const LUMI: ClusterId = ClusterId(0xfcc0);
const OWN: u16 = 0x00f7;
const IN_BASIC: u16 = 0xff01;
/// Voltage of a cell that is full and of one that is empty, mV.
const FULL_MV: f64 = 3000.0;
const EMPTY_MV: f64 = 2850.0;

pub struct Report;

/// Properties that may be told, each by one number.
const NAMES: [&str; 16] = [
    "voltage",
    "battery",
    "device_temperature",
    "power_outage_count",
    "trigger_count",
    "state",
    "temperature",
    "humidity",
    "pressure",
    "contact",
    "water_leak",
    "illuminance",
    "energy",
    "current",
    "power",
    "consumption",
];

impl Convert for Report {
    fn access(&self, name: &str) -> u8 {
        if NAMES.contains(&name) { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, _memory: &mut Memory, out: &mut Decoded) {
        let bytes = match heard.cluster {
            LUMI => attribute(heard, LUMI, OWN),
            BASIC => attribute(heard, BASIC, IN_BASIC),
            _ => return,
        };
        let Some(bytes) = bytes.and_then(Value::as_bytes) else { return };
        let values = values(bytes);
        for (index, value) in &values {
            let told = told(context, *index, value);
            out.changes.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
    }
}

/// The numbered values until the first that is none.
fn values(bytes: &[u8]) -> Vec<(u8, Value)> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while let Ok(index) = reader.u8() {
        let Ok(typed) = Typed::decode(&mut reader) else { break };
        values.push((index, typed.value));
    }
    values
}

fn told(context: &Context<'_>, index: u8, value: &Value) -> Vec<(&'static str, Json)> {
    let has = |name: &str| context.traits.exposed.contains(&name);
    let Some(raw) = value.as_f64() else { return Vec::new() };
    let mut told = Vec::new();
    let mut tell = |name: &'static str, value: Json| {
        if has(name) {
            told.push((name, value));
        }
    };
    match index {
        1 => {
            // Of those on the mains `voltage` is theirs, in volts.
            if !has("power") {
                tell("voltage", number(raw));
            }
            let battery = ((raw - EMPTY_MV) / (FULL_MV - EMPTY_MV) * 100.0).round().clamp(0.0, 100.0);
            tell("battery", number(battery));
        }
        3 => tell("device_temperature", number(raw)),
        5 => tell("power_outage_count", number(raw - 1.0)),
        6 => tell("trigger_count", number(f64::from(raw as u32 & 0xffff) - 1.0)),
        11 => tell("illuminance", number(raw)),
        100 if has("temperature") && has("humidity") => {
            let celsius = raw / 100.0;
            if celsius > -65.0 && celsius < 65.0 {
                tell("temperature", number(celsius));
            }
        }
        100 if has("contact") => tell("contact", (raw == 0.0).into()),
        100 if has("water_leak") => tell("water_leak", (raw == 1.0).into()),
        100 if !context.traits.is_multi && has("power") => tell("state", if raw == 1.0 { "ON" } else { "OFF" }.into()),
        101 if has("temperature") && has("humidity") => {
            let percent = raw / 100.0;
            if (0.0..=100.0).contains(&percent) {
                tell("humidity", number(percent));
            }
        }
        102 if has("temperature") => tell("pressure", number(raw / 100.0)),
        149 => {
            tell("energy", number(rounded(raw, 6)));
            tell("consumption", number(rounded(raw, 6)));
        }
        150 => tell("voltage", number(rounded(raw * 0.1, 3))),
        151 => tell("current", number(rounded(raw * 0.001, 6))),
        152 => tell("power", number(rounded(raw, 3))),
        _ => {}
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_as_recorded() {
        // A WSDCGQ11LM: battery 3 005 mV, 25.84 °C, 47.57 %, 1 008.13 hPa.
        let bytes = [
            0x01, 0x21, 0xbd, 0x0b, 0x04, 0x21, 0xa8, 0x13, 0x05, 0x21, 0x01, 0x00, 0x06, 0x24, 0x01, 0x00, 0x00, 0x00,
            0x00, 0x64, 0x29, 0x18, 0x0a, 0x65, 0x21, 0x95, 0x12, 0x66, 0x2b, 0xcd, 0x89, 0x01, 0x00, 0x0a, 0x21, 0x00,
        ];
        let values = values(&bytes);
        assert_eq!(values.len(), 7, "the last is not whole");
        assert_eq!(values[4], (0x64, Value::Signed(2584)));
        assert_eq!(values[6], (0x66, Value::Signed(100_813)));
    }
}
