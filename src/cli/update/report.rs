//! What `hearth update` says of a machine and of a bundle. Changes nothing.

use std::process::ExitCode;

use serde_json::json;

use super::Place;
use crate::appliance::update::app;
use crate::appliance::update::bundle::{Kind, Manifest};
use crate::appliance::update::machine::small;
use crate::appliance::update::trial::{self, Note};
use crate::appliance::update::version::Version;

pub(super) fn status(place: &Place) -> anyhow::Result<ExitCode> {
    let machine = place.machine()?;
    let (record, note, failed) = (machine.record()?, Note::read(&machine), trial::failed(&machine));
    let other = machine.running.other();
    let in_other = small(&machine.boot().join(other.to_string()).join("version")).ok();
    let in_other = in_other.and_then(|text| text.trim().parse::<Version>().ok());
    let (system, program) = (machine.version(), app::version(&machine));
    if place.json {
        let report = json!({
            "slot": machine.running, "good": record.good, "version": system, "program": program,
            "other": { "slot": other, "version": in_other },
            "on_trial": note.as_ref().map(|note| json!({
                "version": note.version, "from": note.from, "slot": note.slot,
                "tries": record.trial.map_or(note.tries, |trial| trial.tries),
            })),
            "floor": record.floor, "failed": failed, "keys": machine.keys()?.len(),
        });
        println!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("slot {} runs: system {system}, program {program}", machine.running);
    match in_other {
        Some(version) => println!("slot {other}: {version}"),
        None => println!("slot {other}: nothing"),
    }
    match note {
        Some(note) => println!("on trial: {}, over {}", note.version, note.from),
        None => println!("on trial: nothing"),
    }
    if machine.keys()?.is_empty() {
        println!(
            "no key is trusted: put the public key of whoever makes updates into /etc/hearth/update-keys/NAME.pub"
        );
    }
    for (version, why) in failed {
        println!("{version} was tried and not kept: {why}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn would_install(place: &Place, manifest: &Manifest, from: Version) {
    if place.json {
        println!("{}", json!({ "ok": true, "kind": manifest.kind, "version": manifest.version, "from": from }));
        return;
    }
    let what = match manifest.kind {
        Kind::System => "the system: the machine would start anew",
        Kind::App => "the program: the hub would start anew",
    };
    println!("{} over {from}, {what}. Nothing was changed", manifest.version);
}
