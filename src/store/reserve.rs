//! Room kept for the day the disk is full: a file of zeros beside the database that is given up to let the last words be
//! written and the database be opened again. Its absence is never an error.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::common::files::{folder_of, free_bytes};

/// The reserve's size: the header, a repair's pages and some conversations fit in.
pub(super) const RESERVE_BYTES: usize = 256 * 1024;

/// Free room at which a used reserve is made again. Well above its size, or a full disk would take it at once.
const REFILL_FREE_BYTES: u64 = 8 * 1024 * 1024;

/// The file `<database>.reserve`.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn beside(database: &Path) -> Reserve {
        let mut name = database.as_os_str().to_owned();
        name.push(".reserve");
        Reserve { path: name.into() }
    }

    /// Makes the reserve if it is missing, not whole, and there is room for it.
    pub(super) fn refill(&self) {
        let whole = fs::metadata(&self.path).is_ok_and(|found| found.len() == RESERVE_BYTES as u64);
        let has_room = free_bytes(folder_of(&self.path)).is_ok_and(|free| free >= REFILL_FREE_BYTES);
        if whole || !has_room {
            return;
        }
        if let Err(error) = self.write() {
            tracing::debug!(%error, path = %self.path.display(), "no reserve could be kept for a full disk");
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Gives the room back, if there is any to give.
    pub(super) fn give_up(&self) {
        let _ = fs::remove_file(&self.path);
    }

    fn write(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        file.write_all(&vec![0; RESERVE_BYTES])?;
        file.sync_all()
    }
}
