//! Devices that nobody knows, made out of their clusters: what a cluster is for, it can be used for.

use crate::common::capability::{Capability, Category};
use crate::zigbee::definitions::Identity;
use crate::zigbee::definitions::convert::{Convert, Traits, generic};
use crate::zigbee::definitions::exposes::{GET, SET, STATE};
use crate::zigbee::definitions::known::Known;
use crate::zigbee::definitions::steps::Step;
use crate::zigbee::types::Endpoint;

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
    static DIGITS: [[u8; 3]; 256] = digits();
    let number = endpoint.0;
    let zeros = usize::from(number < 100) + usize::from(number < 10);
    std::str::from_utf8(&DIGITS[usize::from(number)][zeros..]).expect("digits are ASCII")
}

const fn digits() -> [[u8; 3]; 256] {
    let mut all = [[0; 3]; 256];
    let mut number = 0;
    while number < all.len() {
        let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
        all[number] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        number += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_called_by_its_number() {
        for number in 0..=u8::MAX {
            assert_eq!(number_word(Endpoint(number)), number.to_string());
        }
    }
}
