//! Where an update finds what it needs on a card: the disk with its slots, the boot partition, its own notes. Also how a file is
//! written so that a power cut leaves the old or the new one. Decides nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::minisign::PublicKey;
use super::slots::{self, Record, Slot};
use super::version::Version;
use super::{UpdateError, io_at};
use crate::common::files;

/// Of what the machine notes: there is no secret in it.
const MODE: u32 = 0o644;

/// The longest of the small files that are read, bytes.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// Where keys of others than the makers of the program are.
const KEYS: &str = "etc/hearth/update-keys";

/// The key that was given to the build (`HEARTH_UPDATE_KEY`), if one was: whoever releases a hub signs for it.
const BUILT_IN_KEY: Option<&str> = option_env!("HEARTH_UPDATE_KEY");

/// One that runs from a card with slots.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
    /// As a whole, not one of its partitions.
    pub disk: PathBuf,
    /// The slot that runs.
    pub running: Slot,
    /// The initramfs wanted to start the other one, and the kernel did not let it.
    pub refused: Option<Slot>,
}

impl Machine {
    /// By what the initramfs has left in `run/hearth-slot` below the root.
    pub fn find(root: &Path) -> Result<Machine, UpdateError> {
        let note = root.join("run/hearth-slot");
        let text = small(&note).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => UpdateError::Machine(
                "this machine does not run from a card with two slots, as `image/build` makes it: update it with its package".into(),
            ),
            _ => UpdateError::Io { what: note.display().to_string(), source: error },
        })?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (running, disk) = (field("slot").and_then(Slot::parse), field("disk"));
        let (Some(running), Some(disk)) = (running, disk) else {
            return Err(UpdateError::Machine(format!("{} does not say slot and disk", note.display())));
        };
        Ok(Machine {
            root: root.to_owned(),
            disk: disk.into(),
            running,
            refused: field("refused").and_then(Slot::parse),
        })
    }

    /// Where the boot partition is mounted.
    pub fn boot(&self) -> PathBuf {
        self.root.join("boot/firmware")
    }

    /// The notes of updates, on the data partition.
    pub fn notes(&self) -> PathBuf {
        self.root.join("var/lib/hearth-update")
    }

    /// Programs that came without a system.
    pub fn programs(&self) -> PathBuf {
        self.root.join("var/lib/hearth-app")
    }

    /// Of the system that runs; that of this program where the system says none.
    pub fn version(&self) -> Version {
        let said = small(&self.root.join("usr/lib/hearth/version")).ok();
        said.and_then(|text| text.trim().parse().ok()).unwrap_or_else(Version::of_this_program)
    }

    /// The record of its slots; the first one where there is none yet.
    pub fn record(&self) -> Result<Record, UpdateError> {
        let record = slots::read(&self.disk).map_err(io_at(self.disk.display().to_string()))?;
        Ok(record.unwrap_or_else(|| Record::first(self.running)))
    }

    pub fn set_record(&self, record: &Record) -> Result<(), UpdateError> {
        slots::write(&self.disk, record).map_err(io_at(self.disk.display().to_string()))
    }

    /// Whose bundles are taken.
    pub fn keys(&self) -> Result<Vec<PublicKey>, UpdateError> {
        let mut keys = Vec::new();
        if let Some(key) = BUILT_IN_KEY {
            keys.push(
                PublicKey::parse(key).map_err(|error| UpdateError::Machine(format!("the built-in key: {error}")))?,
            );
        }
        let folder = self.root.join(KEYS);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(keys) };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "pub"));
        files.sort();
        for file in files {
            let text = small(&file).map_err(io_at(file.display().to_string()))?;
            let key = PublicKey::parse(&text)
                .map_err(|error| UpdateError::Machine(format!("{}: {error}", file.display())))?;
            keys.push(key);
        }
        Ok(keys)
    }
}

/// A partition of the disk's MBR, from 1: where it begins and how long it is, bytes.
pub fn partition(disk: &File, number: usize) -> io::Result<(u64, u64)> {
    let mbr = mbr(disk)?;
    let entry = &mbr[446 + 16 * (number - 1)..][..16];
    let number_at = |at: usize| u64::from(u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes")));
    match (number_at(8) * 512, number_at(12) * 512) {
        (at, bytes) if at > 0 && bytes > 0 => Ok((at, bytes)),
        _ => Err(io::Error::other(format!("the disk has no partition {number}"))),
    }
}

/// How the kernel names a partition by the disk's own number.
pub fn partuuid(disk: &File, number: usize) -> io::Result<String> {
    let id = u32::from_le_bytes(mbr(disk)?[440..444].try_into().expect("four bytes"));
    Ok(format!("{id:08x}-{number:02}"))
}

fn mbr(disk: &File) -> io::Result<[u8; 512]> {
    let mut mbr = [0; 512];
    disk.read_exact_at(&mut mbr, 0)?;
    match mbr[510..] == [0x55, 0xAA] {
        true => Ok(mbr),
        false => Err(io::Error::other("the disk has no MBR")),
    }
}

/// A small file of text.
pub fn small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SMALL_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Puts a file in the place of another, or where there is none. It is on the disk when this returns; a power cut before that leaves
/// the one before.
pub fn put(path: &Path, content: &[u8]) -> Result<(), UpdateError> {
    files::put(path, content, MODE).map(drop).map_err(io_at(path.display().to_string()))
}

/// Takes a file or a folder away, whether or not it is there.
pub fn take_away(path: &Path) -> Result<(), UpdateError> {
    let gone = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    gone.and_then(|()| files::sync_folder_of(path)).map_err(io_at(path.display().to_string()))
}
