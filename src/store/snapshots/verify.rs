//! Looks through a file that nobody writes to, without changing a byte of it: every page against its checksum, every record by
//! its own reader.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redb::{Builder, ReadableDatabase, StorageBackend};

use crate::store::backend::Held;
use crate::store::contents::Contents;
use crate::store::tables::SCHEMA_VERSION;

/// Pages in memory while a file is looked through, bytes.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// Why a file is no store that could be put in place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("there is no {}", path.display())]
    Missing { path: PathBuf },
    #[error("{} is damaged: {detail}", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("{} is not a Hearth database: {detail}", path.display())]
    NotADatabase { path: PathBuf, detail: String },
    #[error("{} is of a newer Hearth (layout {found}; this one reads up to {known}): update Hearth", path.display())]
    Newer { path: PathBuf, found: u64, known: u64 },
    /// What was read back is not what was written.
    #[error("{} was written and read back as something else: the disk is failing, or its memory is", path.display())]
    Differs { path: PathBuf },
    #[error("{} cannot be read: {detail}", path.display())]
    Io { path: PathBuf, detail: String },
}

/// Looks through a file of this layout or an older one. Pages are whole where this is no error; records that make no sense
/// are counted in what is returned, since the store itself may have them. Waits for the disk. A file that was not closed in
/// order is repaired in memory and stays as it is.
pub fn verify(path: &Path) -> Result<Contents, Unfit> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Unfit::NotADatabase { path: path.into(), detail: "it is no plain file".into() });
    }
    if metadata.len() == 0 {
        return Err(Unfit::NotADatabase { path: path.into(), detail: "it is empty".into() });
    }
    // Never released: what redb would write ends with this function.
    let (held, _release) = Held::new(Box::new(ReadOnly(file))).map_err(|error| unreadable(path, &error))?;
    let db = Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(held);
    let db = db.map_err(|error| unfit(path, error.into()))?;
    let found = db.begin_read().map_err(redb::Error::from).and_then(|txn| Contents::of(&txn));
    let found = found.map_err(|error| unfit(path, error))?;
    match found.layout {
        0 => Err(Unfit::NotADatabase { path: path.into(), detail: "it belongs to another program".into() }),
        layout if layout > SCHEMA_VERSION => {
            Err(Unfit::Newer { path: path.into(), found: layout, known: SCHEMA_VERSION })
        }
        _ => Ok(found),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Unfit {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unfit::Missing { path },
        ErrorKind::InvalidData => Unfit::NotADatabase { path, detail: "it does not begin like one".into() },
        ErrorKind::UnexpectedEof => Unfit::Damaged { path, detail: "its end is missing".into() },
        _ => Unfit::Io { path, detail: error.to_string() },
    }
}

fn unfit(path: &Path, error: redb::Error) -> Unfit {
    match error {
        redb::Error::Io(error) => unreadable(path, &error),
        redb::Error::Corrupted(detail) => Unfit::Damaged { path: path.into(), detail },
        redb::Error::UpgradeRequired(version) => {
            Unfit::NotADatabase { path: path.into(), detail: format!("it is of redb's old file format {version}") }
        }
        // Tables of our names and of other types are somebody else's.
        redb::Error::TableTypeMismatch { table, .. } => {
            Unfit::NotADatabase { path: path.into(), detail: format!("its table {table} is of another kind") }
        }
        other => Unfit::Io { path: path.into(), detail: other.to_string() },
    }
}

/// A file that is read. Whoever writes to it is unknown to it: no locks.
#[derive(Debug)]
struct ReadOnly(File);

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}
