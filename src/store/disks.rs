//! Disks for tests: one that can be full, fail, hang and forget. Under it lies a real file.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::{fs, io};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::Store;
use super::bounds::Bounds;
use super::open::{OpenError, Opener};

/// What a disk writes at once or not at all, bytes.
const SECTOR_BYTES: usize = 512;

/// A disk that does what a test says, in the middle of everything.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// No room at all.
    pub(super) full: AtomicBool,
    /// No room while this file exists.
    pub(super) full_beside: Mutex<Option<PathBuf>>,
    /// Reads fail.
    pub(super) unreadable: AtomicBool,
    /// So many syncs do their work and say that they failed.
    pub(super) lying_syncs: AtomicUsize,
    /// A sync waits while this is true.
    hung: Mutex<bool>,
    hung_changed: Condvar,
    /// All that was asked of the disk.
    pub(super) tape: Mutex<Vec<Step>>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
    Sync,
}

#[derive(Debug)]
struct Troubled(FileBackend, Arc<Trouble>);

impl Trouble {
    /// Opens a store on this disk.
    pub(super) fn open(self: &Arc<Trouble>, path: &Path) -> Result<Store, OpenError> {
        Store::start(self.opener(path), Bounds::HOUSE)
    }

    pub(super) fn opener(self: &Arc<Trouble>, path: &Path) -> Opener {
        let trouble = Arc::clone(self);
        let disk = Arc::new(move |file| Box::new(Troubled(file, Arc::clone(&trouble))) as Box<dyn StorageBackend>);
        Opener { disk, ..Opener::new(path) }
    }

    /// Lets syncs wait from now on.
    pub(super) fn hang(&self) {
        *self.hung.lock().unwrap() = true;
    }

    /// Lets them go on.
    pub(super) fn go_on(&self) {
        *self.hung.lock().unwrap() = false;
        self.hung_changed.notify_all();
    }

    fn check_room(&self) -> io::Result<()> {
        let beside = self.full_beside.lock().unwrap().as_ref().is_some_and(|path| path.exists());
        if beside || self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn note(&self, step: Step) {
        self.tape.lock().unwrap().push(step);
    }
}

impl StorageBackend for Troubled {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.1.unreadable.load(Ordering::SeqCst) {
            return Err(io::Error::other("the test's disk cannot be read"));
        }
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.check_room()?;
        self.1.note(Step::SetLen(len as usize));
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut hung = self.1.hung.lock().unwrap();
        while *hung {
            hung = self.1.hung_changed.wait(hung).unwrap();
        }
        drop(hung);
        self.1.note(Step::Sync);
        self.0.sync_data()?;
        let lies = self.1.lying_syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lies.is_ok() { Err(io::Error::other("the test's disk says it failed")) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.1.check_room()?;
        self.1.note(Step::Write { offset: offset as usize, bytes: data.to_vec() });
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}

/// The file after the power failed when `done` steps of the tape had been asked for: what was synced is there, and of the
/// rest every sector of a write, and every new length, for which `survives` says so.
pub(super) fn after_power_cut(before: &[u8], done: &[Step], mut survives: impl FnMut() -> bool) -> Vec<u8> {
    let synced = done.iter().rposition(|step| matches!(step, Step::Sync)).map_or(0, |last| last + 1);
    let mut image = before.to_vec();
    for (index, step) in done.iter().enumerate() {
        match step {
            Step::Write { offset, bytes } => {
                for (sector, bytes) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if index < synced || survives() {
                        let start = offset + sector * SECTOR_BYTES;
                        image.resize(image.len().max(start + bytes.len()), 0);
                        image[start..start + bytes.len()].copy_from_slice(bytes);
                    }
                }
            }
            Step::SetLen(len) => {
                if index < synced || survives() {
                    image.resize(*len, 0);
                }
            }
            Step::Sync => {}
        }
    }
    image
}

/// Every file in a folder with its bytes, to be compared.
pub(super) fn folder(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(path).expect("a test's folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> =
        entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    files
}
