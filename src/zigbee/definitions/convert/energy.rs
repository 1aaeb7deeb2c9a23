//! Power and energy (ZCL r8 §4.9 and §10.4): numbers that are true only with a multiplier and a divisor, which the device tells
//! once, or the table has because it would not tell the truth.

use serde_json::Value as Json;

use super::*;

pub const ELECTRICAL: ClusterId = ClusterId(0x0b04);
pub const METERING: ClusterId = ClusterId(0x0702);

/// A quantity: property, attribute, and the attributes of its multiplier and divisor.
struct Quantity {
    name: &'static str,
    cluster: ClusterId,
    attribute: u16,
    multiplier: u16,
    divisor: u16,
    /// The properties are so many times the quantity's unit: kW to W.
    unit: f64,
}

const fn q(name: &'static str, attribute: u16, multiplier: u16) -> Quantity {
    Quantity { name, cluster: ELECTRICAL, attribute, multiplier, divisor: multiplier + 1, unit: 1.0 }
}

const fn m(name: &'static str, attribute: u16, unit: f64) -> Quantity {
    Quantity { name, cluster: METERING, attribute, multiplier: 0x0301, divisor: 0x0302, unit }
}

const QUANTITIES: [Quantity; 29] = [
    q("power", 0x050b, 0x0604),
    q("power_phase_b", 0x090b, 0x0604),
    q("power_phase_c", 0x0a0b, 0x0604),
    q("power_apparent", 0x050f, 0x0604),
    q("power_apparent_phase_b", 0x090f, 0x0604),
    q("power_apparent_phase_c", 0x0a0f, 0x0604),
    q("power_reactive", 0x050e, 0x0604),
    q("power_reactive_phase_b", 0x090e, 0x0604),
    q("power_reactive_phase_c", 0x0a0e, 0x0604),
    q("current", 0x0508, 0x0602),
    q("current_phase_b", 0x0908, 0x0602),
    q("current_phase_c", 0x0a08, 0x0602),
    q("current_neutral", 0x0309, 0x0602),
    q("voltage", 0x0505, 0x0600),
    q("voltage_phase_b", 0x0905, 0x0600),
    q("voltage_phase_c", 0x0a05, 0x0600),
    q("ac_frequency", 0x0300, 0x0400),
    q("power", 0x0106, 0x0204),
    q("current", 0x0103, 0x0202),
    q("voltage", 0x0100, 0x0200),
    m("power", 0x0400, 1000.0),
    m("energy", 0x0000, 1.0),
    m("produced_energy", 0x0001, 1.0),
    m("energy_tier_1", 0x0100, 1.0),
    m("energy_tier_2", 0x0102, 1.0),
    m("energy_tier_3", 0x0104, 1.0),
    m("energy_tier_4", 0x0106, 1.0),
    m("produced_energy_tier_1", 0x0101, 1.0),
    m("produced_energy_tier_2", 0x0103, 1.0),
];

/// Power factors are in per cent.
const FACTORS: [(&str, u16); 3] =
    [("power_factor", 0x0510), ("power_factor_phase_b", 0x0910), ("power_factor_phase_c", 0x0a10)];

/// What one of the two clusters tells.
pub struct Told(pub ClusterId);

impl Convert for Told {
    fn access(&self, name: &str) -> u8 {
        let of_quantity = QUANTITIES.iter().any(|quantity| quantity.cluster == self.0 && quantity.name == name);
        let of_factor = self.0 == ELECTRICAL && FACTORS.iter().any(|(factor, _)| *factor == name);
        if of_quantity || of_factor { STATE } else { 0 }
    }

    fn decode(&self, context: &Context<'_>, heard: &Heard<'_>, memory: &mut Memory, out: &mut Decoded) {
        if heard.cluster != self.0 {
            return;
        }
        for quantity in QUANTITIES.iter().filter(|quantity| quantity.cluster == self.0) {
            for id in [quantity.multiplier, quantity.divisor] {
                let value = known(heard, self.0, id).and_then(Value::as_f64).filter(|value| *value > 0.0);
                if let Some(value) = value {
                    memory.notes.insert(note(heard.endpoint, self.0, id), number(value));
                }
            }
        }
        for quantity in QUANTITIES.iter().filter(|quantity| quantity.cluster == self.0) {
            let Some(raw) = known(heard, self.0, quantity.attribute).and_then(Value::as_f64) else { continue };
            let part = |id: u16| constant(context, heard.endpoint, memory, self.0, id);
            let value = match (part(quantity.multiplier), part(quantity.divisor)) {
                (Some(multiplier), Some(divisor)) => raw * multiplier * quantity.unit / divisor,
                // As nothing is known, the number is what it says.
                _ => raw,
            };
            out.changes.insert(context.property(quantity.name, heard.endpoint), number(rounded(value, 6)));
        }
        if self.0 == ELECTRICAL {
            for (name, id) in FACTORS {
                if let Some(raw) = known(heard, self.0, id).and_then(Value::as_f64) {
                    out.changes.insert(context.property(name, heard.endpoint), number(rounded(raw / 100.0, 2)));
                }
            }
        }
    }
}

fn note(endpoint: Endpoint, cluster: ClusterId, attribute: u16) -> String {
    format!("{}.{:04x}.{attribute:04x}", endpoint.0, cluster.0)
}

/// A multiplier or divisor: what the table fixes, or what the device told.
fn constant(context: &Context<'_>, endpoint: Endpoint, memory: &Memory, cluster: ClusterId, id: u16) -> Option<f64> {
    let fixed = context.traits.fixed.iter().find(|(of, of_cluster, attribute, _)| {
        (*of == 0 || *of == endpoint.0) && *of_cluster == cluster && attribute.0 == id
    });
    fixed
        .map(|(.., value)| *value)
        .or_else(|| memory.notes.get(&note(endpoint, cluster, id)).and_then(Json::as_f64))
        .filter(|value| *value > 0.0)
}

/// Reads a quantity.
pub struct Readable {
    pub name: &'static str,
    pub cluster: ClusterId,
    pub attribute: u16,
}

impl Convert for Readable {
    fn access(&self, name: &str) -> u8 {
        if name == self.name { GET } else { 0 }
    }

    fn reads(&self, context: &Context<'_>, name: &str, endpoint: Option<&str>) -> Vec<Read> {
        if name == self.name { context.read(endpoint, self.cluster, &[self.attribute]) } else { Vec::new() }
    }
}
