//! What properties are that clusters alone tell of: a number, a flag, one of some words; a lamp's or a switch's.

use serde_json::json;

use crate::common::capability::{CapabilityKind, Domain};
use crate::zigbee::types::ClusterId;

pub fn numeric(min: Option<f64>, max: Option<f64>) -> CapabilityKind {
    CapabilityKind::Numeric { min, max, step: None, presets: Vec::new() }
}

pub fn flag() -> CapabilityKind {
    CapabilityKind::Binary { value_on: json!(true), value_off: json!(false), value_toggle: None }
}

pub fn on_off(on: &str, off: &str, toggle: Option<&str>) -> CapabilityKind {
    CapabilityKind::Binary { value_on: json!(on), value_off: json!(off), value_toggle: toggle.map(|word| json!(word)) }
}

pub fn words(words: &[&str]) -> CapabilityKind {
    CapabilityKind::Enum { values: words.iter().map(|word| (*word).into()).collect() }
}

/// What an endpoint is in the house, by its clusters and its device id.
pub fn domain(inputs: &[ClusterId], device: u16) -> Domain {
    let is_lamp = matches!(device, 0x0100..=0x010d | 0x0200 | 0x0210 | 0x0220) && device != 0x0103 && device != 0x0104;
    let has = |id: u16| inputs.contains(&ClusterId(id));
    if has(0x0300) || is_lamp && has(0x0008) || has(0x0008) && !has(0x0102) { Domain::Light } else { Domain::Switch }
}
