//! Copies of the whole store in a folder beside it: taken while the hub runs or from a file that nobody has open, each read back
//! before it counts, few enough to be kept, and put in the store's place again. Works on paths and reads no clock.

mod copy;
mod keep;
mod restore;
#[cfg(test)]
mod tests;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use redb::{ReadTransaction, ReadableDatabase};

use super::open::{OpenError, Opener};
use super::{Elder, ReadError, Store};
use crate::common::files::{belong_like, folder_of, sync_folder_of};
use crate::common::time::UnixMillis;

pub use super::contents::Contents;
pub use copy::{Extent, FREE_BYTES_MIN};
pub use keep::{Rotation, due, prune};
pub use restore::{ASIDE_MAX, RestoreError, Restored, asides, newest_fit, restore};
pub use verify::{Unfit, verify};

/// The longest list of snapshots that is read: far more than are kept.
const LIST_LEN_MAX: usize = 4096;

/// Why a snapshot was taken. Its word stands in the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Time had passed and something had changed.
    Timer,
    /// The file was about to be brought up to a newer layout.
    Migration,
    /// Hearth itself was about to be replaced.
    Update,
    /// Something else was about to be put in the store's place.
    Restore,
    /// Somebody wanted it.
    Asked,
}

impl Reason {
    pub const ALL: [Reason; 5] = [Reason::Timer, Reason::Migration, Reason::Update, Reason::Restore, Reason::Asked];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Timer => "timer",
            Reason::Migration => "migration",
            Reason::Update => "update",
            Reason::Restore => "restore",
            Reason::Asked => "asked",
        }
    }
}

/// A snapshot as it lies in the folder; its name says all of this but the size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub path: PathBuf,
    /// Its place in the order in which they were taken, whatever clocks said. Never given twice.
    pub number: u64,
    pub reason: Reason,
    /// By the hub's clock, which may have been wrong.
    pub at_ms: UnixMillis,
    /// The store's, when it was taken.
    pub revision: u64,
    pub bytes: u64,
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("the store could not be read: {0}")]
    Source(String),
    #[error("there is no room for a snapshot in {} ({needed_mb} MiB must be free): make room", folder.display())]
    NoRoom { folder: PathBuf, needed_mb: u64 },
    #[error("{} cannot be written: {detail}", path.display())]
    Io { path: PathBuf, detail: String },
    /// It was written, and thrown away again.
    #[error("the snapshot was not kept: {0}")]
    Unfit(#[from] Unfit),
}

/// The folder of a store's snapshots, where nothing else is said.
pub fn folder_beside(store: &Path) -> PathBuf {
    folder_of(store).join("snapshots")
}

/// Takes a snapshot of the file at `store`, which nobody has open; it is opened, and stays of the layout that it has. The
/// folder is made where it is missing. Waits for the disk.
pub fn take(store: &Path, folder: &Path, reason: Reason, at_ms: UnixMillis) -> Result<Kept, SnapshotError> {
    let db = Opener::new(store).open_unchanged()?;
    let txn = db.begin_read().map_err(|error| SnapshotError::Source(error.to_string()))?;
    take_of(&txn, store, folder, reason, at_ms)
}

/// What is in the store, where there is one; an error where somebody has it open, too. Waits for the disk.
pub fn look(store: &Path) -> Result<Option<Contents>, OpenError> {
    let unreadable = |error: redb::Error| OpenError::Io { path: store.into(), detail: error.to_string() };
    if fs::symlink_metadata(store).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let db = Opener::new(store).open_unchanged()?;
    let txn = db.begin_read().map_err(|error| unreadable(error.into()))?;
    Contents::of(&txn).map(Some).map_err(unreadable)
}

/// Takes a snapshot of what the transaction sees.
pub(super) fn take_of(
    txn: &ReadTransaction,
    store: &Path,
    folder: &Path,
    reason: Reason,
    at_ms: UnixMillis,
) -> Result<Kept, SnapshotError> {
    make_folder(folder).map_err(|error| SnapshotError::of(folder, &error))?;
    sweep(store, folder);
    let number = list(store, folder).last().map_or(1, |newest| newest.number.saturating_add(1));
    let revision = super::contents::revision(txn).map_err(|error| SnapshotError::Source(error.to_string()))?;
    let path = folder.join(name(store, number, reason, at_ms, revision));
    copy::copy(txn, store, &path, Extent::Whole)?;
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    Ok(Kept { path, number, reason, at_ms, revision, bytes })
}

impl Elder<'_> {
    /// Takes a snapshot of the file before it is changed.
    pub fn take_snapshot(&self, folder: &Path, at_ms: UnixMillis) -> Result<Kept, SnapshotError> {
        let txn = self.db.begin_read().map_err(|error| SnapshotError::Source(error.to_string()))?;
        take_of(&txn, self.path, folder, Reason::Migration, at_ms)
    }
}

impl Store {
    /// Takes a snapshot while everything goes on. Waits for the disk, without a bound: seconds for each 100 MB.
    pub async fn take_snapshot(&self, folder: &Path, reason: Reason, at_ms: UnixMillis) -> Result<Kept, SnapshotError> {
        let folder = folder.to_owned();
        self.copying(move |txn, store| take_of(txn, store, &folder, reason, at_ms)).await
    }

    /// Copies the store as it is now to a file of its own, which is there when it is whole and was read back.
    pub async fn copy_to(&self, path: &Path, extent: Extent) -> Result<Contents, SnapshotError> {
        let path = path.to_owned();
        self.copying(move |txn, store| copy::copy(txn, store, &path, extent)).await
    }

    async fn copying<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction, &Path) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        // One at a time: two would need room for two, and give themselves the same number.
        let permit = self.copies.clone().acquire_owned().await.map_err(|_| closed())?;
        let store = self.clone();
        let working = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let txn = store.shared.snapshot().map_err(|error| SnapshotError::Source(error.to_string()))?;
            work(&txn, store.path())
        });
        working.await.map_err(|error| SnapshotError::Source(error.to_string()))?
    }
}

fn closed() -> SnapshotError {
    SnapshotError::Source(ReadError::Closed.to_string())
}

/// The snapshots of a store, in the order in which they were taken. What cannot be read is not there.
pub fn list(store: &Path, folder: &Path) -> Vec<Kept> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut kept: Vec<Kept> = entries
        .take(LIST_LEN_MAX)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let bytes = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
            parse(store, &path).map(|kept| Kept { bytes, ..kept })
        })
        .collect();
    kept.sort_by_key(|kept| kept.number);
    kept
}

/// `hearth-000042-timer-20261122T101500Z-r1234.redb`, of the store `hearth.redb`.
fn name(store: &Path, number: u64, reason: Reason, at_ms: UnixMillis, revision: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    format!("{}-{number:06}-{}-{}-r{revision}.redb", stem(store), reason.as_str(), at.strftime("%Y%m%dT%H%M%SZ"))
}

fn parse(store: &Path, path: &Path) -> Option<Kept> {
    let rest = path.file_name()?.to_str()?.strip_prefix(&*stem(store))?.strip_prefix('-')?.strip_suffix(".redb")?;
    let [number, reason, at, revision] = rest.split('-').collect::<Vec<_>>().try_into().ok()?;
    let reason = Reason::ALL.into_iter().find(|known| known.as_str() == reason)?;
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", at).ok()?;
    let at_ms = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some(Kept {
        path: path.into(),
        number: number.parse().ok()?,
        reason,
        at_ms: u64::try_from(at_ms).ok()?,
        revision: revision.strip_prefix('r')?.parse().ok()?,
        bytes: 0,
    })
}

/// What names of a store's snapshots begin with.
fn stem(store: &Path) -> std::borrow::Cow<'_, str> {
    store.file_stem().unwrap_or_default().to_string_lossy()
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    belong_like(folder, folder_of(folder))?;
    sync_folder_of(folder)
}

/// Takes away what a crash left half made.
fn sweep(store: &Path, folder: &Path) {
    let prefix = format!(".{}-", stem(store));
    for entry in fs::read_dir(folder).into_iter().flatten().take(LIST_LEN_MAX).flatten() {
        let name = entry.file_name();
        let is_left = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".unfinished"));
        if is_left {
            let _ = fs::remove_file(entry.path());
        }
    }
}
