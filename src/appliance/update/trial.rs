//! A trial: what an update has changed and nobody knows to be good yet. Its note lies on the data partition, where old and new system
//! see it; which system starts is the record's business (`slots`). Here is how a trial ends: kept, or given up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bundle::Kind;
use super::gate::Vitals;
use super::machine::{Machine, put, small, take_away};
use super::slots::{Slot, Trial};
use super::version::Version;
use super::{UpdateError, app, card, kept};

/// Starts that a trial has. Two, so that a plug pulled during the first is no failure of the update.
pub const TRIES: u8 = 2;

/// Versions that failed and are remembered; a house does not see more in its life.
const FAILED_MAX: usize = 32;

/// The note of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub kind: Kind,
    pub version: Version,
    /// Where its system is; of a program alone none.
    pub slot: Option<Slot>,
    /// What ran before.
    pub from: Version,
    /// That of its manifest.
    pub floor: Version,
    /// What worked before.
    pub before: Vitals,
    /// Starts that a program alone still has; those of a system are in the record.
    pub tries: u8,
}

impl Note {
    pub fn path(machine: &Machine) -> PathBuf {
        machine.notes().join("trial.json")
    }

    /// None: there is no trial, or its note cannot be read, and then it will not be kept.
    pub fn read(machine: &Machine) -> Option<Note> {
        serde_json::from_str(&small(&Note::path(machine)).ok()?).ok()
    }

    pub fn write(&self, machine: &Machine) -> Result<(), UpdateError> {
        put(&Note::path(machine), &serde_json::to_vec(self).expect("plain data"))
    }
}

/// The copies of what goes back.
pub fn kept(machine: &Machine) -> PathBuf {
    machine.notes().join("kept")
}

/// Versions that were tried and not kept, with the reason.
pub fn failed(machine: &Machine) -> BTreeMap<Version, String> {
    let text = small(&machine.notes().join("failed.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Remembers that a version was not kept. The first reason counts: that of the gate, and not that its system was left.
pub fn remember_failed(machine: &Machine, version: Version, why: &str) -> Result<(), UpdateError> {
    let mut failed = failed(machine);
    failed.entry(version).or_insert_with(|| why.into());
    while failed.len() > FAILED_MAX {
        failed.pop_first();
    }
    write_failed(machine, &failed)
}

fn write_failed(machine: &Machine, failed: &BTreeMap<Version, String>) -> Result<(), UpdateError> {
    put(&machine.notes().join("failed.json"), &serde_json::to_vec(failed).expect("plain data"))
}

/// The trial is over, and good. `step` is told what was done.
pub fn keep(machine: &Machine, note: &Note, step: &mut super::Steps) -> Result<(), UpdateError> {
    match note.slot {
        // From here on it is the one that starts; what follows can be done at the next start as well.
        Some(slot) => {
            let record = machine.record()?;
            let floor = record.floor.max(note.floor);
            machine.set_record(&super::slots::Record { good: slot, trial: None, floor, ..record })?;
            step(super::Stage::Kept)?;
            card::set_cpus(machine, slot.other(), false)?;
            card::set_prefix(machine, slot)?;
            step(super::Stage::FirmwareSet)?;
        }
        None => {
            let record = machine.record()?;
            machine.set_record(&super::slots::Record { floor: record.floor.max(note.floor), ..record })?;
            app::keep(machine, note.version)?;
            step(super::Stage::Kept)?;
        }
    }
    let mut failed = failed(machine);
    if failed.remove(&note.version).is_some() {
        write_failed(machine, &failed)?;
    }
    tidy(machine)
}

/// The trial of a system is over, and not good: the next start is that of the old one, which puts the data back.
pub fn give_up(machine: &Machine, note: &Note, why: &str) -> Result<(), UpdateError> {
    remember_failed(machine, note.version, why)?;
    let record = machine.record()?;
    let trial = record.trial.map(|trial| Trial { tries: 0, ..trial });
    machine.set_record(&super::slots::Record { trial, ..record })
}

/// The trial of a program alone is over, and not good. No hub may run meanwhile.
pub fn give_up_program(machine: &Machine, note: &Note, why: &str) -> Result<(), UpdateError> {
    remember_failed(machine, note.version, why)?;
    app::leave(machine)?;
    kept::put_back(&kept(machine))?;
    tidy(machine)
}

/// Nothing is on trial any more. The copies are kept until the next one: they are small, and somebody may want them.
pub fn tidy(machine: &Machine) -> Result<(), UpdateError> {
    take_away(&Note::path(machine))
}
