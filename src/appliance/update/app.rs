//! The hub's program without a system around it: it lies on the data partition, in a folder named by its version, and the unit starts what
//! `current` leads to. Which that is follows from what is there: the program on trial, else the newer one of the kept one and the
//! system's own. So a new system is not held back by an older program, and an old one that comes back has its program again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::bundle::{Bundle, PROGRAM};
use super::machine::{Machine, put, small, take_away};
use super::version::Version;
use super::{UpdateError, io_at};
use crate::common::files::{self, sync_folder_of};

/// Where the system's own is.
const SYSTEM: &str = "/usr/bin";

fn link(machine: &Machine) -> PathBuf {
    machine.programs().join("current")
}

/// The program that was kept, if one was and is there.
pub fn kept(machine: &Machine) -> Option<Version> {
    let version: Version = small(&machine.programs().join("kept")).ok()?.trim().parse().ok()?;
    machine.programs().join(version.to_string()).join(PROGRAM).is_file().then_some(version)
}

/// What would run without a trial: the kept one, where it is newer than the system's.
pub fn version(machine: &Machine) -> Version {
    kept(machine).unwrap_or_default().max(Version::of_this_program())
}

/// Writes the program of a bundle beside the others. Nothing leads to it yet.
pub fn write(machine: &Machine, bundle: &Bundle) -> Result<(), UpdateError> {
    let folder = machine.programs().join(bundle.manifest.version.to_string());
    take_away(&folder)?;
    let mut reading = bundle.read(PROGRAM).expect("the manifest was examined");
    let mut write = || {
        fs::create_dir_all(&folder)?;
        let path = folder.join(PROGRAM);
        let mut file = File::create(&path)?;
        io::copy(&mut reading, &mut file)?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        sync_folder_of(&path)?;
        sync_folder_of(&folder)
    };
    write().map_err(io_at(folder.display().to_string()))?;
    reading.check()
}

/// The next start of the hub is of this version.
pub fn enter(machine: &Machine, version: Version) -> Result<(), UpdateError> {
    point(machine, Path::new(&version.to_string()))
}

/// The next start of the hub is of what is known to be good.
pub fn leave(machine: &Machine) -> Result<(), UpdateError> {
    match kept(machine).filter(|kept| *kept > Version::of_this_program()) {
        Some(version) => enter(machine, version),
        None => point(machine, Path::new(SYSTEM)),
    }
}

/// What is on trial is good, and the others go.
pub fn keep(machine: &Machine, version: Version) -> Result<(), UpdateError> {
    put(&machine.programs().join("kept"), version.to_string().as_bytes())?;
    let entries = fs::read_dir(machine.programs()).map_err(io_at(machine.programs().display().to_string()))?;
    for entry in entries.flatten() {
        let other = entry.file_name().to_str().and_then(|name| name.parse::<Version>().ok());
        if other.is_some_and(|other| other != version) {
            take_away(&entry.path())?;
        }
    }
    Ok(())
}

/// Back to the system's own; what was kept goes.
pub fn forget(machine: &Machine) -> Result<(), UpdateError> {
    take_away(&machine.programs().join("kept"))?;
    leave(machine)
}

fn point(machine: &Machine, to: &Path) -> Result<(), UpdateError> {
    let link = link(machine);
    files::link(&link, to).map(drop).map_err(io_at(link.display().to_string()))
}
