//! What has to be put in order at a start, before the hub comes up: an update that did not come to its end. The one place where data
//! of a system that was given up goes back, however it ended: by the gate, by a panic, by a plug that was pulled too often.

use super::bundle::Kind;
use super::machine::Machine;
use super::slots::Record;
use super::trial::{self, Note};
use super::version::Version;
use super::{UpdateError, app, card, kept};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is on trial.
    Nothing,
    /// This is a trial: the gate has to judge it.
    OnTrial(Version),
    /// A trial was not kept; what was before is there again, and its data.
    GoneBack { version: Version, why: String },
}

/// Puts in order what is to be. May be cut off anywhere and done again.
pub fn settle(machine: &Machine) -> Result<Settled, UpdateError> {
    let (record, note) = (machine.record()?, Note::read(machine));
    if let Some(on_trial) = record.trial {
        let mine = note.as_ref().filter(|note| note.slot == Some(on_trial.slot));
        if machine.running == on_trial.slot {
            // The program of an older system is none of the new one's.
            app::leave(machine)?;
            return Ok(Settled::OnTrial(mine.map_or_else(|| machine.version(), |note| note.version)));
        }
        let why = match machine.refused {
            Some(_) => "the kernel of this board could not start another one",
            None => "the machine did not come up with it, or did not stay up",
        };
        let version = mine.map_or_else(Version::default, |note| note.version);
        if let Some(note) = mine {
            trial::remember_failed(machine, note.version, why)?;
            kept::put_back(&trial::kept(machine))?;
        }
        machine.set_record(&Record { trial: None, ..record })?;
        in_order(machine)?;
        let why = trial::failed(machine).remove(&version).unwrap_or_else(|| why.into());
        return Ok(Settled::GoneBack { version, why });
    }
    match note {
        Some(note) if note.kind == Kind::App && note.tries > 0 => {
            Note { tries: note.tries - 1, ..note.clone() }.write(machine)?;
            card::set_cpus(machine, machine.running, false)?;
            app::enter(machine, note.version)?;
            Ok(Settled::OnTrial(note.version))
        }
        Some(note) if note.kind == Kind::App => {
            trial::give_up_program(machine, &note, "the machine did not stay up with it")?;
            in_order(machine)?;
            let why = trial::failed(machine).remove(&note.version).unwrap_or_default();
            Ok(Settled::GoneBack { version: note.version, why })
        }
        // It was written and never armed, or kept and not yet tidied up.
        _ => in_order(machine).map(|()| Settled::Nothing),
    }
}

/// Nothing is on trial: the firmware starts the good slot with all processors, and the program is the right one.
fn in_order(machine: &Machine) -> Result<(), UpdateError> {
    let record = machine.record()?;
    if machine.boot().join("config.txt").exists() {
        card::set_cpus(machine, record.good, false)?;
        card::set_cpus(machine, record.good.other(), false)?;
        card::set_prefix(machine, record.good)?;
    }
    app::leave(machine)?;
    trial::tidy(machine)
}
