//! Takes the backup of a store that is open: what belongs into it, and what only where an owner gives a passphrase.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::{Backup, KeyError, Keys, MakeError, Settings, check_passphrase, collect, seal};
use crate::common::config::Config;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::UnixMillis;
use crate::store::snapshots::{Extent, SnapshotError};
use crate::store::{ReadError, SignIn, Store};

/// Whose backup it is to be.
pub struct Wanted<'a> {
    pub config: &'a Config,
    /// Where the configuration was read from, if it was.
    pub config_file: Option<&'a Path>,
    /// Variables of the environment, in which keys are looked for.
    pub env: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Keys go along, sealed under it; absent: none do.
    pub passphrase: Option<String>,
    pub hearth: &'a str,
    pub now_ms: UnixMillis,
}

/// Why no backup was taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error(transparent)]
    Copy(#[from] SnapshotError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("{} cannot be read: {why}", path.display())]
    Config { path: PathBuf, why: String },
    #[error("the machine could not do it: {0}")]
    Machine(String),
}

/// Takes a backup of an open store. One at a time: its copy has one name, which is gone when this returns. What goes on meanwhile goes
/// on.
pub async fn take(store: &Store, wanted: Wanted<'_>) -> Result<Backup, TakeError> {
    if let Some(passphrase) = &wanted.passphrase {
        // Before the work.
        check_passphrase(passphrase)?;
    }
    let config = wanted.config_file.map(read).transpose()?.flatten();
    let zigbee = store.zigbee_backups().await?.into_iter().next().map(|newest| newest.document);
    let keys = match wanted.passphrase {
        None => None,
        Some(passphrase) => {
            let (by_name, unreadable) = collect(wanted.config, wanted.env);
            for error in unreadable {
                tracing::warn!(error, "a key is not in the backup");
            }
            let keys = Keys { by_name, sign_ins: store.list::<SignIn>().await? };
            Some(blocking(move || seal(&keys, &passphrase)).await??)
        }
    };
    let copy = copy_beside(store.path());
    let contents = store.copy_to(&copy, Extent::WithoutSignIns).await?;
    let settings = Settings { hearth: wanted.hearth.into(), made_at_ms: wanted.now_ms, config, zigbee, keys };
    Ok(blocking(move || Backup::of(&copy, &contents, settings)).await??)
}

/// Where the copy lies for a moment. What a crash leaves there is overwritten by the next.
fn copy_beside(store: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(store.file_name().unwrap_or_default());
    name.push(".backup");
    store.with_file_name(name)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, TakeError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TakeError::Config { path: path.into(), why: error.to_string() }),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TakeError> {
    spawn_blocking(work).await.map_err(|error| TakeError::Machine(error.to_string()))
}

impl TakeError {
    /// The error as a client gets it.
    pub fn to_body(&self) -> ErrorBody {
        match self {
            TakeError::Keys(KeyError::Passphrase) => {
                ErrorBody::new(ErrorCode::BadRequest, format!("passphrase: {self}"))
            }
            _ => ErrorBody {
                retryable: true,
                ..ErrorBody::new(ErrorCode::Internal, format!("there is no backup: {self}"))
            },
        }
    }
}
