//! A copy of the store as it was at one moment, record by record into a new file: smaller than the original, which has pages to
//! spare, and made while others write. Under its own name only when it is whole and was read back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, Key, ReadTransaction, TableDefinition, Value, WriteTransaction};
use rustix::fs::{Advice, fadvise};

use super::SnapshotError;
use super::verify::{self, Unfit};
use crate::common::files::{belong_like, folder_of, free_bytes, sync};
use crate::store::contents::{Contents, Reader, Sum, Visitor, every_table, open};
use crate::store::open::is_disk_full;
use crate::store::tables::MCP_SIGN_INS;

/// Pages in memory while a copy is written, bytes.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// Room that a copy leaves on the disk, bytes: the store itself goes on.
pub const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Its owner alone may read it, as the store.
const FILE_MODE: u32 = 0o600;

/// What of the store is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// All but the tokens by which the hub is signed in to MCP servers: keys of others, which leave the hub only where an owner asks.
    WithoutSignIns,
}

/// Copies what `txn` sees to `path`, which is there when it is whole, and then at once. `source` is the file that is copied: its
/// size says how much room is needed.
pub(super) fn copy(
    txn: &ReadTransaction,
    source: &Path,
    path: &Path,
    extent: Extent,
) -> Result<Contents, SnapshotError> {
    let folder = folder_of(path);
    let needed = fs::metadata(source).map_or(0, |file| file.len()).saturating_add(FREE_BYTES_MIN);
    if free_bytes(folder).is_ok_and(|free| free < needed) {
        return Err(SnapshotError::NoRoom { folder: folder.into(), needed_mb: needed.div_ceil(1024 * 1024) });
    }
    let unfinished = unfinished(path);
    let copied = write(txn, &unfinished, extent).and_then(|expected| {
        let found = verify::verify(&unfinished)?;
        if found != expected {
            return Err(SnapshotError::Unfit(Unfit::Differs { path: path.into() }));
        }
        let failed = |error: io::Error| SnapshotError::of(path, &error);
        belong_like(&unfinished, folder).map_err(failed)?;
        fs::rename(&unfinished, path).map_err(failed)?;
        sync(folder).map_err(failed)?;
        Ok(found)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    copied
}

/// The name under which a file is made that has none yet. The same for the same file, so that what a crash left is overwritten.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".unfinished");
    path.with_file_name(name)
}

fn write(txn: &ReadTransaction, path: &Path, extent: Extent) -> Result<Contents, SnapshotError> {
    let failed = |error: io::Error| SnapshotError::of(path, &error);
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path).map_err(failed)?;
    let again = file.try_clone().map_err(failed)?;
    let contents = fill(txn, file, extent).map_err(|error| match error {
        redb::Error::Io(error) => failed(error),
        redb::Error::Corrupted(detail) => SnapshotError::Source(detail),
        other => SnapshotError::Io { path: path.into(), detail: other.to_string() },
    })?;
    again.sync_all().map_err(failed)?;
    // What is read back is to come from the disk and not from memory; where that is not to be had, it is still read.
    let _ = fadvise(&again, 0, None, Advice::DontNeed);
    Ok(contents)
}

/// All records in one transaction: beside an empty file there is no state that could be taken for the copy.
fn fill(txn: &ReadTransaction, file: File, extent: Extent) -> Result<Contents, redb::Error> {
    let mut db = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?;
    let into = db.begin_write()?;
    let mut copying = Copying { from: txn, into: &into, extent, sum: Sum::default() };
    every_table(&mut copying)?;
    let contents = copying.sum.finish(txn)?;
    into.commit()?;
    // The file grew ahead of what was written: up to half of it is empty.
    db.compact()?;
    Database::close(db)?;
    Ok(contents)
}

struct Copying<'a> {
    from: &'a ReadTransaction,
    into: &'a WriteTransaction,
    extent: Extent,
    sum: Sum,
}

impl Visitor for Copying<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
        reader: Reader<K, V>,
    ) -> Result<(), redb::Error> {
        let Some(found) = open(self.from, table)? else { return Ok(()) };
        let mut copy = self.into.open_table(table)?;
        self.sum.begin(&table);
        let is_wanted =
            self.extent == Extent::Whole || redb::TableHandle::name(&table) != redb::TableHandle::name(&MCP_SIGN_INS);
        if !is_wanted {
            return Ok(());
        }
        for entry in redb::ReadableTable::iter(&found)? {
            let (key, value) = entry?;
            copy.insert(key.value(), value.value())?;
            self.sum.add::<K, V>(&table, key.value(), value.value(), reader);
        }
        Ok(())
    }
}

impl SnapshotError {
    pub(super) fn of(path: &Path, error: &io::Error) -> SnapshotError {
        match is_disk_full(error) {
            true => SnapshotError::NoRoom { folder: folder_of(path).into(), needed_mb: FREE_BYTES_MIN / (1024 * 1024) },
            false => SnapshotError::Io { path: path.into(), detail: error.to_string() },
        }
    }
}
