//! How much of the table works, counted, and compared with what the package itself says of its devices. The README says the
//! same figures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use super::known::Known;
use super::*;
use crate::common::capability::CapabilityKind;

/// The facts that are not in the tree: `HEARTH_SHARED`, or a folder beside the checkout.
fn shared(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HEARTH_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    let path = folder.join("zigbee").join(file);
    let is_there = path.exists();
    if !is_there {
        eprintln!("skipped: there is no {}", path.display());
    }
    is_there.then_some(path)
}

/// Vendor and model, and what was made of it.
fn all() -> BTreeMap<(String, String), Vec<Known>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for place in 0..table::count() {
        let known = Known::of_row(&table::definition(place));
        let name = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        all.entry((name(&known.vendor), name(&known.model))).or_default().push(known);
    }
    all
}

/// Property, access, unit, range or words: what must be equal.
fn said(exposes: &Json, out: &mut BTreeSet<String>) {
    for one in exposes.as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        if one["property"].is_null() && !one["features"].is_null() {
            said(&one["features"], out);
            continue;
        }
        let property = if text("property").is_empty() { text("name") } else { text("property") };
        let access = one["access"].as_u64().unwrap_or(0);
        let shape = match text("type") {
            "numeric" => {
                let number = |name: &str| one[name].as_f64();
                format!("{:?} {:?} {:?}", number("value_min"), number("value_max"), number("value_step"))
            }
            "enum" => format!("{:?}", one["values"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>()),
            "binary" => format!("{} {}", one["value_on"], one["value_off"]),
            kind => kind.to_owned(),
        };
        out.insert(format!("{property} {access} {} {shape}", text("unit")));
    }
}

fn word(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn works(known: &Known) -> BTreeSet<String> {
    let line = |one: &Capability| {
        let access = u8::from(one.reported) | u8::from(one.settable) << 1 | u8::from(one.readable) << 2;
        let shape = match &one.kind {
            CapabilityKind::Numeric { min, max, step, .. } => format!("{min:?} {max:?} {step:?}"),
            CapabilityKind::Enum { values } => {
                format!("{:?}", values.iter().map(|value| value.to_string()).collect::<Vec<_>>())
            }
            CapabilityKind::Binary { value_on, value_off, .. } => format!("{value_on} {value_off}"),
            CapabilityKind::Text {} => "text".to_owned(),
            CapabilityKind::Composite { .. } => "composite".to_owned(),
            CapabilityKind::List {} => "list".to_owned(),
        };
        format!("{} {access} {} {shape}", one.property, one.unit.as_deref().unwrap_or_default())
    };
    known.capabilities.iter().map(line).collect()
}

#[test]
fn static_definitions_are_what_the_package_says() {
    let Some(path) = shared("device-definitions.jsonl.gz") else { return };
    let unpacked = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip runs");
    let text = String::from_utf8(unpacked.stdout).expect("it is text");
    let all = all();
    let (mut equal, mut differ) = (0, Vec::new());
    for line in text.lines() {
        let row: Json = serde_json::from_str(line).expect("a row");
        if row["class"] != "A" || row["extend"].to_string().contains("<code>") {
            continue;
        }
        let name = [&row["vendor"], &row["model"]].map(|text| text.as_str().unwrap_or_default().to_owned());
        let found = all.get(&name.clone().into()).map_or(&[][..], Vec::as_slice);
        let mut wanted = BTreeSet::new();
        said(&row["exposes"], &mut wanted);
        if found.iter().any(|known| works(known) == wanted) {
            equal += 1;
        } else {
            let lacks: Vec<_> =
                found.iter().flat_map(|known| wanted.difference(&works(known)).cloned().collect::<Vec<_>>()).collect();
            differ.push(format!("{} {}: {lacks:?}", name[0], name[1]));
        }
    }
    println!("equal {equal} differ {}\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn named_tuya_tables_work() {
    let Some(path) = shared("tuya-datapoints.json") else { return };
    let tables: BTreeMap<String, Json> =
        serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
    let all = all();
    let by_name: BTreeMap<String, &Vec<Known>> =
        all.iter().map(|((vendor, model), known)| (format!("{vendor} {model}"), known)).collect();
    let mut whole = 0;
    let mut rest = Vec::new();
    for (name, _) in tables.iter().filter(|(_, table)| table["all"] == true) {
        let found = by_name.get(name).map_or(&[][..], |known| known.as_slice());
        if found.iter().any(|known| known.is_whole) {
            whole += 1
        } else {
            let row = (0..table::count()).map(table::definition).find(|row| {
                format!("{} {}", row.get("v").text().unwrap_or(""), row.get("m").text().unwrap_or("")) == *name
            });
            let lacks = row.map(|row| {
                let known = Known::of_row(&row);
                exposes::capabilities(row.get("e"))
                    .into_iter()
                    .filter(|said| !known.capabilities.contains(said))
                    .map(|said| said.property.to_string())
                    .collect::<Vec<_>>()
            });
            rest.push(format!("{name} {lacks:?}"));
        }
    }
    println!("tuya whole {whole} rest {}\n{}", rest.len(), rest.join("\n"));
}
