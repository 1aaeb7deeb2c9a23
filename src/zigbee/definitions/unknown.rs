//! Devices that nobody knows, made out of their clusters: what a cluster is for, it can be used for.

use serde_json::json;

use crate::common::capability::{Capability, CapabilityKind, Category, Domain};
use crate::zigbee::definitions::Identity;
use crate::zigbee::definitions::convert::{Convert, Traits, generic};
use crate::zigbee::definitions::exposes::{GET, SET, STATE};
use crate::zigbee::definitions::known::Known;
use crate::zigbee::definitions::steps::Step;
use crate::zigbee::types::{ClusterId, Endpoint};

/// A device of whose model nothing is known but what it said itself.
pub fn from_clusters(identity: &Identity) -> Known {
    let text = |own: &Option<Box<str>>| own.clone().filter(|text| !text.is_empty());
    let mut known = Known {
        model: text(&identity.model_id),
        vendor: text(&identity.maker_name),
        description: None,
        traits: Traits::default(),
        blocks: Vec::new(),
        capabilities: Vec::new(),
        steps: Vec::new(),
        is_whole: false,
    };
    let rows = generic::rows(identity);
    // Where two endpoints have one thing, its properties carry the names of their endpoints.
    let several = |name: &str| rows.iter().filter(|row| row.name == name).count() > 1;
    known.traits.is_multi = rows.iter().any(|row| several(row.name));
    known.traits.unnamed = rows.iter().map(|row| row.name).filter(|name| !several(name)).collect();
    for row in &rows {
        if known.traits.is_multi && !known.traits.endpoints.iter().any(|(_, number)| *number == row.endpoint) {
            known.traits.endpoints.push((number_word(row.endpoint), row.endpoint));
        }
        let endpoint = several(row.name).then(|| number_word(row.endpoint));
        known.capabilities.push(capability(row, endpoint));
    }
    for (blocks, steps) in generic::blocks(&rows, identity) {
        known.blocks.extend::<Vec<Box<dyn Convert>>>(blocks);
        known.steps.extend::<Vec<Step>>(steps);
    }
    known
}

fn capability(row: &generic::Row, endpoint: Option<&'static str>) -> Capability {
    let property = endpoint.map_or_else(|| row.name.into(), |endpoint| format!("{}_{endpoint}", row.name).into());
    Capability {
        property,
        name: row.name.into(),
        endpoint: endpoint.map(Into::into),
        part_of: row.part_of,
        kind: row.kind.clone(),
        reported: row.access & STATE != 0,
        settable: row.access & SET != 0,
        readable: row.access & GET != 0,
        unit: row.unit.map(Into::into),
        description: None,
        category: row.is_diagnostic.then_some(Category::Diagnostic),
    }
}

/// Endpoints are called by their numbers.
fn number_word(endpoint: Endpoint) -> &'static str {
    const WORDS: [&str; 17] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
    WORDS.get(usize::from(endpoint.0)).copied().unwrap_or("17")
}

/// Kinds that several rows have.
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
