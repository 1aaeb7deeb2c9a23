//! What a device shows and does, from the words of the table into those of the house. Knows no device.

use serde_json::Value;

use crate::common::capability::{Capability, CapabilityKind, Category, Domain, Preset};
use crate::zigbee::definitions::table::Fact;

/// Bits of an expose's access.
pub const STATE: u8 = 1;
pub const SET: u8 = 2;
pub const GET: u8 = 4;

/// All capabilities of a list of exposes; those within a light, switch or the like know what they are a part of.
pub fn capabilities(exposes: &Fact) -> Vec<Capability> {
    let mut all = Vec::new();
    for expose in exposes.list() {
        match domain(expose) {
            Some(domain) => {
                let features = expose.get("features").list().iter();
                all.extend(
                    features.filter_map(|feature| capability(feature, Some(domain), expose.get("endpoint").text())),
                );
            }
            None => all.extend(capability(expose, None, None)),
        }
    }
    all
}

/// The thing of which its features are parts; `None`: it is one property.
pub fn domain(expose: &Fact) -> Option<Domain> {
    match expose.get("type").text()? {
        "light" => Some(Domain::Light),
        "switch" => Some(Domain::Switch),
        "cover" => Some(Domain::Cover),
        "climate" => Some(Domain::Climate),
        "lock" => Some(Domain::Lock),
        "fan" => Some(Domain::Fan),
        _ => None,
    }
}

fn capability(expose: &Fact, part_of: Option<Domain>, endpoint: Option<&'static str>) -> Option<Capability> {
    let property = expose.get("property").text().or_else(|| expose.get("name").text())?;
    let access: u8 = expose.get("access").int().unwrap_or(0);
    Some(Capability {
        property: property.into(),
        name: expose.get("name").text().unwrap_or(property).into(),
        endpoint: expose.get("endpoint").text().or(endpoint).map(Into::into),
        part_of,
        kind: kind(expose)?,
        reported: access & STATE != 0,
        settable: access & SET != 0,
        readable: access & GET != 0,
        unit: expose.get("unit").text().filter(|unit| !unit.is_empty()).map(Into::into),
        description: expose.get("description").text().map(Into::into),
        category: match expose.get("category").text() {
            Some("config") => Some(Category::Config),
            Some("diagnostic") => Some(Category::Diagnostic),
            _ => None,
        },
    })
}

fn kind(expose: &Fact) -> Option<CapabilityKind> {
    Some(match expose.get("type").text()? {
        "binary" => CapabilityKind::Binary {
            value_on: expose.get("value_on").to_json(),
            value_off: expose.get("value_off").to_json(),
            value_toggle: Some(expose.get("value_toggle").to_json()).filter(|value| !value.is_null()),
        },
        "numeric" => CapabilityKind::Numeric {
            min: expose.get("value_min").number(),
            max: expose.get("value_max").number(),
            step: expose.get("value_step").number(),
            presets: expose.get("presets").list().iter().filter_map(preset).collect(),
        },
        "enum" => {
            let words = expose.get("values").list().iter().map(|value| match value.to_json() {
                Value::String(word) => word.into(),
                other => other.to_string().into(),
            });
            CapabilityKind::Enum { values: words.collect() }
        }
        "text" => CapabilityKind::Text {},
        "composite" => {
            let features = expose.get("features").list().iter();
            CapabilityKind::Composite {
                features: features.filter_map(|feature| capability(feature, None, None)).collect(),
            }
        }
        "list" => CapabilityKind::List {},
        _ => return None,
    })
}

fn preset(preset: &Fact) -> Option<Preset> {
    Some(Preset { name: preset.get("name").text()?.into(), value: preset.get("value").to_json() })
}
