//! The way of a bundle onto a machine, in steps of which each is on the disk before the next begins. Until the last one nothing that
//! runs is touched: a power cut anywhere before it leaves what was, after it what is new begins its trial. Starts and stops nothing:
//! the caller ends the hub between [`write`] and [`arm`].

use std::fs;
use std::path::PathBuf;

use super::bundle::{Bundle, Kind, Manifest};
use super::gate::Vitals;
use super::machine::Machine;
use super::slots::{Record, Trial};
use super::trial::{self, Note, TRIES};
use super::version::Version;
use super::{Stage, Steps, UpdateError, app, card, io_at, kept};

/// Whether this machine wants what this manifest has. Written is nothing.
pub fn check(machine: &Machine, manifest: &Manifest) -> Result<(), UpdateError> {
    let record = machine.record()?;
    if record.trial.is_some() || Note::read(machine).is_some() {
        return Err(UpdateError::Machine("an update is on trial: wait for its end (`hearth update status`)".into()));
    }
    if record.good != machine.running {
        return Err(UpdateError::Machine(format!(
            "slot {} runs and {} is the good one: start the machine anew",
            machine.running, record.good
        )));
    }
    if manifest.arch != std::env::consts::ARCH {
        return Err(UpdateError::Bundle(format!(
            "the bundle is for {}, and this is {}",
            manifest.arch,
            std::env::consts::ARCH
        )));
    }
    let installed = installed(machine, manifest.kind);
    let wanted = manifest.version;
    if wanted <= installed {
        return Err(UpdateError::NotNewer(format!("{wanted} is not newer than {installed}, which is installed")));
    }
    if wanted < record.floor {
        return Err(UpdateError::Bundle(format!(
            "{wanted} is older than {}, the oldest that is safe here",
            record.floor
        )));
    }
    if installed < manifest.needs {
        return Err(UpdateError::Bundle(format!(
            "it is put over {} or later, and this is {installed}",
            manifest.needs
        )));
    }
    Ok(())
}

/// What a bundle of this kind would replace.
pub fn installed(machine: &Machine, kind: Kind) -> Version {
    match kind {
        Kind::System => machine.version(),
        Kind::App => app::version(machine),
    }
}

/// Verifies a bundle, and writes it where nothing runs from. The hub may go on.
pub fn write(machine: &Machine, bundle: &Bundle, step: &mut Steps) -> Result<(), UpdateError> {
    check(machine, &bundle.manifest)?;
    bundle.verify()?;
    step(Stage::Verified)?;
    match bundle.manifest.kind {
        Kind::System => {
            let other = machine.running.other();
            card::write_boot(machine, other, bundle)?;
            step(Stage::BootWritten)?;
            card::write_root(machine, other, bundle)?;
            card::write_version(machine, other, bundle.manifest.version)?;
            step(Stage::RootWritten)
        }
        Kind::App => {
            app::write(machine, bundle)?;
            step(Stage::ProgramWritten)
        }
    }
}

/// What was written begins its trial with the next start: of the machine, or of the hub. No hub may run; `data` are the files that go
/// back with the old one.
pub fn arm(
    machine: &Machine,
    manifest: &Manifest,
    before: Vitals,
    data: &[PathBuf],
    step: &mut Steps,
) -> Result<(), UpdateError> {
    fs::create_dir_all(machine.notes()).map_err(io_at(machine.notes().display().to_string()))?;
    kept::take(data, &trial::kept(machine))?;
    step(Stage::DataKept)?;
    let slot = (manifest.kind == Kind::System).then(|| machine.running.other());
    let note = Note {
        kind: manifest.kind,
        version: manifest.version,
        slot,
        from: installed(machine, manifest.kind),
        floor: manifest.floor,
        before,
        tries: TRIES,
    };
    note.write(machine)?;
    step(Stage::Noted)?;
    match slot {
        Some(slot) => {
            card::set_cpus(machine, machine.running, true)?;
            step(Stage::CpusSet)?;
            let record = machine.record()?;
            machine.set_record(&Record { trial: Some(Trial { slot, tries: TRIES }), ..record })?;
        }
        None => app::enter(machine, manifest.version)?,
    }
    step(Stage::Armed)
}

/// Undoes what [`arm`] may have done when it failed on its way: nothing is on trial.
pub fn disarm(machine: &Machine) -> Result<(), UpdateError> {
    let record = machine.record()?;
    if record.trial.is_some() {
        machine.set_record(&Record { trial: None, ..record })?;
    }
    card::set_cpus(machine, machine.running, false)?;
    app::leave(machine)?;
    trial::tidy(machine)
}
