//! Updates of a machine that is a hub: a signed bundle is written where nothing runs from, tried, and kept only when what worked
//! before works after; otherwise everything is as it was, the data too. `docs/UPDATES.md` says how. Works below a root folder and on
//! a disk that the caller names; starts and stops nothing itself.

pub mod app;
pub mod bundle;
pub mod card;
pub mod fetch;
pub mod gate;
pub mod install;
pub mod kept;
pub mod machine;
pub mod minisign;
pub mod settle;
pub mod slots;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod version;

use std::io;

/// A step that is done and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Verified,
    BootWritten,
    RootWritten,
    ProgramWritten,
    DataKept,
    Noted,
    CpusSet,
    Armed,
    Kept,
    FirmwareSet,
}

/// Is told each step, and may end it there: with an error the work goes no further.
pub type Steps<'a> = dyn FnMut(Stage) -> Result<(), UpdateError> + 'a;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Of another bundle it might be true.
    #[error("{0}")]
    Bundle(String),
    /// It was installed already, or something newer was.
    #[error("{0}")]
    NotNewer(String),
    /// This machine, as it is, takes no bundle.
    #[error("{0}")]
    Machine(String),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// For `map_err`: where it went wrong.
pub(crate) fn io_at(what: impl Into<String>) -> impl FnOnce(io::Error) -> UpdateError {
    move |source| UpdateError::Io { what: what.into(), source }
}
