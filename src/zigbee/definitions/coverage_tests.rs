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

/// Why a static definition is not what the package's list says.
fn explained(vendor: &str, model: &str) -> Option<&'static str> {
    match (vendor, model) {
        ("AduroSmart", _) => Some("the package has other blocks for them since the list was made"),
        ("Philips", _) => Some("gone since, or the list has words of its effects twice"),
        ("Aqara", "ZNMHLDJ01LM") | ("Schneider Electric", "CCTFR6000") | ("Third Reality", "3RDP01072Z") => {
            Some("the package has more properties of it since the list was made")
        }
        ("Custom devices (DiY)", "MiCASAGasCounter")
        | ("ELKO", "4523430")
        | ("LinknLink", "eMotion Air")
        | ("Salus Controls", "SP600")
        | ("Somfy", "9028412A") => Some("its blocks are given programs in place of the usual converters"),
        ("Namron", "4512785")
        | ("Schneider Electric", "NH3526" | "NH3527A" | "NHMOTION/UNIDIM/1")
        | ("SONOFF", "SNZB-03PR2") => Some("a number's conversion is a program"),
        _ => None,
    }
}

/// Those of the package's list, class A, whose properties, access, units, ranges and words are exactly what it says.
const STATIC_EQUAL: usize = 1_926;
const STATIC: usize = 1_968;

#[test]
fn static_definitions_are_what_the_package_says() {
    let Some(path) = shared("device-definitions.jsonl.gz") else { return };
    let unpacked = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip runs");
    let text = String::from_utf8(unpacked.stdout).expect("it is text");
    let all = all();
    let (mut equal, mut count, mut differ) = (0, 0, Vec::new());
    for line in text.lines() {
        let row: Json = serde_json::from_str(line).expect("a row");
        if row["class"] != "A" {
            continue;
        }
        count += 1;
        let [vendor, model] = [&row["vendor"], &row["model"]].map(|text| text.as_str().unwrap_or_default().to_owned());
        let mut wanted = BTreeSet::new();
        said(&row["exposes"], &mut wanted);
        let found = all.get(&(vendor.clone(), model.clone())).map_or(&[][..], Vec::as_slice);
        if found.iter().any(|known| works(known) == wanted) {
            equal += 1;
        } else if explained(&vendor, &model).is_none() {
            let lacks =
                found.iter().map(|known| wanted.symmetric_difference(&works(known)).cloned().collect::<Vec<_>>());
            differ.push(format!("{vendor} {model}: {:?}", lacks.collect::<Vec<_>>()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!((equal, count), (STATIC_EQUAL, STATIC));
}

/// Data-point tables whose every conversion has a name, and how many of them the hub reads and writes whole.
const NAMED_TABLES: usize = 352;
const NAMED_TABLES_WORK: usize = 342;

#[test]
fn named_tuya_tables_work() {
    let Some(path) = shared("tuya-datapoints.json") else { return };
    let text = std::fs::read_to_string(path).expect("a file");
    let tables: BTreeMap<String, Json> = serde_json::from_str(&text).expect("JSON");
    let mut points: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for place in 0..table::count() {
        let row = table::definition(place);
        let name = format!("{} {}", row.get("v").text().unwrap_or_default(), row.get("m").text().unwrap_or_default());
        for block in row.get("r").list().iter().filter(|block| block.at(0).text() == Some("points")) {
            points.insert(name.clone(), convert::known_points(block.at(1)));
        }
    }
    let named: Vec<_> = tables.iter().filter(|(_, table)| table["all"] == true).map(|(name, _)| name).collect();
    let works = named.iter().filter(|name| points.get(**name).is_some_and(|(all, known)| all == known));
    assert_eq!((works.count(), named.len()), (NAMED_TABLES_WORK, NAMED_TABLES));
}

/// What the README says.
const DEFINITIONS: usize = 4_516;
const VENDORS: usize = 462;
const WHOLE: usize = 3_564;
/// Those that do something of what they are said to do.
const USABLE: usize = 4_418;

#[test]
fn the_readme_says_what_works() {
    let all = all();
    let vendors: BTreeSet<_> = all.keys().map(|(vendor, _)| vendor).collect();
    let known = || all.values().flatten();
    let whole = known().filter(|known| known.is_whole).count();
    let usable = known().filter(|known| !known.capabilities.is_empty()).count();
    assert_eq!((table::count(), vendors.len(), whole, usable), (DEFINITIONS, VENDORS, WHOLE, USABLE));
    let readme = include_str!("../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let said = |number: usize| {
        let digits = number.to_string();
        if digits.len() > 3 {
            format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..])
        } else {
            digits
        }
    };
    for words in [
        format!("{} definitions of {} vendors", said(DEFINITIONS), said(VENDORS)),
        format!("{} of them work whole", said(WHOLE)),
        format!("{} of {} static ones", said(STATIC_EQUAL), said(STATIC)),
        format!("{} of {} Tuya tables", said(NAMED_TABLES_WORK), said(NAMED_TABLES)),
    ] {
        assert!(readme.contains(&words), "the README does not say `{words}`");
    }
}
