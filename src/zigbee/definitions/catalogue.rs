//! Which definition a device has: by its model id first, then by what else it says of itself. As Zigbee2MQTT matches, so that
//! a device has one name in both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::zigbee::definitions::known::Known;
use crate::zigbee::definitions::table::{self, Fact};
use crate::zigbee::definitions::{Definition, Definitions, Identity, unknown};
use crate::zigbee::types::ClusterId;
use crate::zigbee::zdo::LogicalType;

/// The table in the binary. Keeps what is in use, and nothing else.
#[derive(Default)]
pub struct Catalogue {
    /// Of devices of one kind and name there is one.
    used: Mutex<BTreeMap<Kind, Weak<Known>>>,
}

/// A row of the table, and which of its other names.
type Kind = (usize, Option<usize>);

impl Catalogue {
    pub fn new() -> Catalogue {
        Catalogue::default()
    }

    fn in_use(&self, kind: Kind) -> Option<Arc<Known>> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&kind).and_then(Weak::upgrade)
    }

    fn share(&self, kind: Kind, known: Known) -> Arc<Known> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, known| known.strong_count() > 0);
        let known = Arc::new(known);
        used.insert(kind, Arc::downgrade(&known));
        known
    }
}

impl Definitions for Catalogue {
    fn find(&self, identity: &Identity) -> Arc<dyn Definition> {
        let Some((place, row)) = matching(identity) else { return Arc::new(unknown::from_clusters(identity)) };
        let label = label(&row, identity);
        let kind = (place, label.map(|(at, _)| at));
        if let Some(known) = self.in_use(kind) {
            return known;
        }
        let mut known = Known::of_row(&row);
        if let Some((_, label)) = label {
            let text = |name: &str| label.get(name).text().map(Into::into);
            known.model = text("m").or(known.model);
            known.vendor = text("v").or(known.vendor);
            known.description = text("d").or(known.description);
        }
        if known.is_whole {
            return self.share(kind, known);
        }
        // What is made out of its clusters is this device's alone.
        Arc::new(known.filled(unknown::from_clusters(identity)))
    }
}

/// The definition that fits best.
fn matching(identity: &Identity) -> Option<(usize, Fact)> {
    let model = identity.model_id.as_deref().unwrap_or_default();
    let lower = model.to_lowercase();
    let mut places = table::candidates(&lower);
    if places.is_empty() {
        places = table::candidates(plain(&lower));
    }
    let candidates: Vec<_> = places.into_iter().map(|place| (place, table::fields(place, &["z", "f"]))).collect();
    if let [(place, row)] = &candidates[..]
        && !row.get("z").is_null()
    {
        return Some((*place, table::definition(*place)));
    }
    let mut best: Option<(f64, usize)> = None;
    for (at, (_, row)) in candidates.iter().enumerate() {
        for fingerprint in row.get("f").list() {
            let priority = fingerprint.get("priority").number().unwrap_or(0.0);
            if fits(fingerprint, identity) && best.is_none_or(|(other, _)| priority > other) {
                best = Some((priority, at));
            }
        }
    }
    let by_model = |(_, row): &&(usize, Fact)| {
        row.get("z").list().iter().any(|one| one.text().is_some_and(|one| one == model || one == plain(model)))
    };
    let found = match best {
        Some((_, at)) => candidates.get(at),
        None => candidates.iter().find(by_model),
    };
    found.map(|(place, _)| (*place, table::definition(*place)))
}

/// Without what stands behind a NUL, and without blanks around it.
fn plain(model: &str) -> &str {
    model.split('\0').next().unwrap_or_default().trim()
}

/// The name under which another sells it, of those who can be told, and which one of the row's it is.
fn label<'a>(row: &'a Fact, identity: &Identity) -> Option<(usize, &'a Fact)> {
    let mut labels = row.get("w").list().iter().enumerate();
    labels.find(|(_, label)| label.get("f").list().iter().any(|fingerprint| fits(fingerprint, identity)))
}

/// Whether a device is what a fingerprint says; what it does not say fits all.
fn fits(fingerprint: &Fact, identity: &Identity) -> bool {
    let text = |name: &str, own: Option<&str>| fingerprint.get(name).text().is_none_or(|wanted| own == Some(wanted));
    let number = |name: &str, own: Option<f64>| fingerprint.get(name).number().is_none_or(|wanted| own == Some(wanted));
    let kind = identity.logical_type.map(|kind| match kind {
        LogicalType::Coordinator => "Coordinator",
        LogicalType::Router => "Router",
        LogicalType::EndDevice => "EndDevice",
    });
    text("type", kind)
        && text("modelID", identity.model_id.as_deref())
        && text("manufacturerName", identity.maker_name.as_deref())
        && text("softwareBuildID", identity.software_build.as_deref())
        && text("powerSource", identity.power_source.and_then(power_source))
        && number("manufacturerID", identity.maker.map(|maker| f64::from(maker.0)))
        && text("dateCode", identity.date_code.as_deref())
        && number("zclVersion", identity.zcl_version.map(f64::from))
        && number("applicationVersion", identity.app_version.map(f64::from))
        && number("stackVersion", identity.stack_version.map(f64::from))
        && number("hardwareVersion", identity.hardware_version.map(f64::from))
        && fingerprint.get("ieeeAddr").text().is_none_or(|start| identity.ieee.to_string().starts_with(start))
        && endpoints_fit(fingerprint.get("endpoints"), identity)
}

/// The basic cluster's attribute 0x0007 in words.
fn power_source(number: u8) -> Option<&'static str> {
    Some(match number & 0x7f {
        0 => "Unknown",
        1 => "Mains (single phase)",
        2 => "Mains (3 phase)",
        3 => "Battery",
        4 => "DC Source",
        5 => "Emergency mains constantly powered",
        6 => "Emergency mains and transfer switch",
        _ => return None,
    })
}

/// All of the endpoints in any order, each with what is said of it.
fn endpoints_fit(wanted: &Fact, identity: &Identity) -> bool {
    if wanted.is_null() {
        return true;
    }
    let same = |wanted: &Fact, own: &[ClusterId]| {
        let mut wanted: Vec<u16> = wanted.list().iter().filter_map(Fact::int).collect();
        let mut own: Vec<u16> = own.iter().map(|cluster| cluster.0).collect();
        wanted.sort_unstable();
        own.sort_unstable();
        wanted == own
    };
    wanted.list().len() == identity.endpoints.len()
        && wanted.list().iter().all(|wanted| {
            let own = identity.endpoints.iter().find(|own| Some(own.endpoint.0) == wanted.get("ID").int());
            own.is_some_and(|own| {
                wanted.get("deviceID").int().is_none_or(|device: u16| device == own.device)
                    && wanted.get("profileID").int().is_none_or(|profile: u16| profile == own.profile.0)
                    && (wanted.get("inputClusters").is_null() || same(wanted.get("inputClusters"), &own.inputs))
                    && (wanted.get("outputClusters").is_null() || same(wanted.get("outputClusters"), &own.outputs))
            })
        })
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
