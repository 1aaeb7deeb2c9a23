//! Puts a copy in the store's place, at one stroke: whenever the power fails, the old file is there or the new one. What was there
//! before is kept: as a snapshot where it opens, under another name beside it where it does not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};

use super::copy::{FREE_BYTES_MIN, unfinished};
use super::{Contents, Kept, Reason, SnapshotError, Unfit, list, take_of, verify};
use crate::common::files::{belong_like, folder_of, free_bytes, sync_folder_of};
use crate::common::time::UnixMillis;
use crate::store::open::{OpenError, Opener, is_disk_full};
use crate::store::tables::SCHEMA_VERSION;

/// Files that would not open and were moved aside. They are never deleted, so past this nothing is moved aside any more: a store
/// that is damaged again and again is a disk that wants to be replaced.
pub const ASIDE_MAX: usize = 5;

/// What the name of such a file has behind the store's.
const ASIDE: &str = ".damaged-";

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What is in the store now.
    pub contents: Contents,
    /// The snapshot of what was there before, if it opened.
    pub before: Option<Kept>,
    /// Where the file lies that was there before, if it did not open.
    pub aside: Option<PathBuf>,
}

/// Why nothing was put in the store's place, which is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What is in the store's place cannot be moved away: another hearth runs on it, or the system forbids it.
    #[error(transparent)]
    Store(OpenError),
    #[error("what is in the store now could not be kept: {0}")]
    Before(SnapshotError),
    #[error(
        "{ASIDE_MAX} files that would not open lie beside {} already (…{ASIDE}…): the disk is failing. Replace it, or move them away",
        path.display()
    )]
    TooManyAside { path: PathBuf },
    #[error("there is no room in {} ({needed_mb} MiB must be free): make room", folder.display())]
    NoRoom { folder: PathBuf, needed_mb: u64 },
    #[error("{} cannot be put in place: {detail}", path.display())]
    Io { path: PathBuf, detail: String },
}

/// Puts a copy of the file `from` at `store`, once it was looked through and brought up to this program's layout. What was there
/// goes to `folder` as a snapshot, or aside. Nobody may have the store open. Waits for the disk.
pub fn restore(from: &Path, store: &Path, folder: &Path, at_ms: UnixMillis) -> Result<Restored, RestoreError> {
    let failed = |error: io::Error| failed(store, &error);
    let needed = fs::metadata(from).map_or(0, |file| file.len()).saturating_add(FREE_BYTES_MIN);
    if free_bytes(folder_of(store)).is_ok_and(|free| free < needed) {
        return Err(RestoreError::NoRoom { folder: folder_of(store).into(), needed_mb: needed.div_ceil(1024 * 1024) });
    }
    let holding = hold(store)?;
    let fresh = unfinished(store);
    let tried = copy_over(from, &fresh).map_err(failed).and_then(|()| try_out(&fresh));
    let replaced = tried.and_then(|contents| {
        belong_like(&fresh, folder_of(store)).map_err(failed)?;
        let (before, aside) = put_away(&holding, store, folder, at_ms)?;
        fs::rename(&fresh, store).map_err(failed)?;
        sync_folder_of(store).map_err(failed)?;
        Ok(Restored { contents, before, aside })
    });
    if replaced.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    // Only now may another program have the file that was there.
    drop(holding);
    replaced
}

/// The newest snapshot that could be put in the store's place. One in which everything makes sense is preferred to a newer one;
/// the error says what is wrong with each.
pub fn newest_fit(store: &Path, folder: &Path) -> Result<(Kept, Contents), Vec<Unfit>> {
    let (mut second_choice, mut unfit) = (None, Vec::new());
    for kept in list(store, folder).into_iter().rev() {
        match verify(&kept.path) {
            Ok(contents) if contents.unreadable == 0 => return Ok((kept, contents)),
            Ok(contents) => drop(second_choice.get_or_insert((kept, contents))),
            Err(why) => unfit.push(why),
        }
    }
    second_choice.ok_or(unfit)
}

/// What would not open and lies beside the store, the oldest first.
pub fn asides(store: &Path) -> Vec<PathBuf> {
    let prefix = aside_prefix(store);
    let is_aside = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    let entries = fs::read_dir(folder_of(store)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(is_aside).collect();
    found.sort();
    found
}

fn aside_prefix(store: &Path) -> String {
    format!("{}{ASIDE}", store.file_name().unwrap_or_default().to_string_lossy())
}

/// What is in the store's place, held so that nobody else opens it.
enum Holding {
    Nothing,
    Whole(Box<Database>),
    Damaged { _lock: File },
}

fn hold(store: &Path) -> Result<Holding, RestoreError> {
    if !store.try_exists().map_err(|error| failed(store, &error))? {
        return Ok(Holding::Nothing);
    }
    match Opener::new(store).open_unchanged() {
        Ok(db) => Ok(Holding::Whole(Box::new(db))),
        Err(error) if error.is_damage() || matches!(error, OpenError::Newer { .. }) => {
            let file = File::open(store).map_err(|error| failed(store, &error))?;
            match file.try_lock() {
                Ok(()) => Ok(Holding::Damaged { _lock: file }),
                Err(TryLockError::WouldBlock) => Err(RestoreError::Store(OpenError::Locked { path: store.into() })),
                Err(TryLockError::Error(error)) => Err(failed(store, &error)),
            }
        }
        Err(other) => Err(RestoreError::Store(other)),
    }
}

/// Sees to it that what is in the store's place is somewhere else as well.
fn put_away(
    holding: &Holding,
    store: &Path,
    folder: &Path,
    at_ms: UnixMillis,
) -> Result<(Option<Kept>, Option<PathBuf>), RestoreError> {
    match holding {
        Holding::Nothing => Ok((None, None)),
        Holding::Whole(db) => {
            let txn =
                db.begin_read().map_err(|error| RestoreError::Before(SnapshotError::Source(error.to_string())))?;
            let kept = take_of(&txn, store, folder, Reason::Restore, at_ms).map_err(RestoreError::Before)?;
            Ok((Some(kept), None))
        }
        Holding::Damaged { .. } => link_aside(store, at_ms).map(|path| (None, Some(path))),
    }
}

/// Gives the file in the store's place a second name, which is its only one once another takes its place.
fn link_aside(store: &Path, at_ms: UnixMillis) -> Result<PathBuf, RestoreError> {
    let beside = asides(store);
    if beside.len() >= ASIDE_MAX {
        return Err(RestoreError::TooManyAside { path: store.into() });
    }
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    let name = format!("{}{}", aside_prefix(store), at.strftime("%Y%m%dT%H%M%SZ"));
    // A clock that was set back may bring the same name again.
    let mut free = (0..).map(|number| match number {
        0 => store.with_file_name(&name),
        number => store.with_file_name(format!("{name}-{number}")),
    });
    let path = free.find(|path| !beside.contains(path)).expect("there are fewer than numbers");
    let linked = fs::hard_link(store, &path).or_else(|_| {
        // A file system without links: twice the bytes, but at no moment is there no store.
        copy_over(store, &path)
    });
    linked.map_err(|error| failed(&path, &error))?;
    Ok(path)
}

/// Copies a file's bytes to another that is its owner's alone, and on the disk when this returns.
fn copy_over(from: &Path, to: &Path) -> io::Result<()> {
    let _ = fs::remove_file(to);
    let mut source = File::open(from)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    io::copy(&mut source, &mut file)?;
    file.sync_all()
}

/// Looks through a copy that nobody uses, and brings it up to this program's layout.
fn try_out(path: &Path) -> Result<Contents, RestoreError> {
    let found = verify(path)?;
    if found.layout == SCHEMA_VERSION {
        return Ok(found);
    }
    let db = Opener::new(path).reopen().map_err(RestoreError::Store)?;
    db.close().map_err(|error| RestoreError::Io { path: path.into(), detail: error.to_string() })?;
    Ok(verify(path)?)
}

fn failed(path: &Path, error: &io::Error) -> RestoreError {
    let path = path.to_owned();
    match error.kind() {
        _ if is_disk_full(error) => {
            RestoreError::NoRoom { folder: folder_of(&path).into(), needed_mb: FREE_BYTES_MIN / (1024 * 1024) }
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            RestoreError::Store(OpenError::Permission { path, detail: error.to_string() })
        }
        ErrorKind::NotFound => RestoreError::Store(OpenError::NoFolder { path }),
        _ => RestoreError::Io { path, detail: error.to_string() },
    }
}
