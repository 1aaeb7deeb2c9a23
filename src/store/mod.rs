//! One redb file: conversations, blobs, usage, records (users, profiles, settings, servers), and a feed of what changed. One thread writes and commits what is queued
//! in one go; anybody reads. An answer to a write means that it is on the disk. Reads no clock and no config, and nothing
//! here decides what is said to whom. `docs/STORE.md` describes the file.

mod audit;
mod backend;
mod blobs;
mod bounds;
mod catalog;
mod contents;
mod context;
mod conversations;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod disks;
mod export;
mod feed;
mod history;
mod messages;
mod migrate;
mod names;
mod open;
mod parts;
mod profiles;
mod records;
mod reserve;
mod rooms;
mod search;
mod servers;
mod settings;
mod sign_ins;
pub mod snapshots;
mod tables;
mod usage;
mod users;
mod writer;
mod zigbee;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{Database, ReadTransaction};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::UnixMillis;

pub use audit::{AuditEntry, Reckoning};
pub use blobs::{BLOB_BYTES_MAX, Blob, PIECE_BYTES};
pub use bounds::{AUDIT_LEN_MAX, BLOBS_BYTES_MAX, USAGE_DAYS_MAX};
pub use catalog::{
    CATALOG_BYTES_MAX, Catalog, ENTRIES_MAX, Entry, EntryKind, LEFT_OUT_MAX, LeftOut, Standing, URI_BYTES_MAX,
};
pub use context::{AUDIO_BYTES_PER_TOKEN, IMAGE_TOKENS, estimated_tokens};
pub use conversations::{Conversation, PAGE_BYTES_MAX, PAGE_LEN_MAX};
pub use export::{ExportFormat, ExportPiece};
pub use feed::{Change, Feed, Kind, Seen};
pub use history::{
    DeviceMemory, HISTORY_BYTES_MAX, HistoryPage, HistorySearch, HistoryStep, HouseSave, SERIES_MAX, SeriesPoints,
};
pub use messages::{NewMessage, StoredMessage, TEXT_BYTES_MAX};
pub use names::{GivenName, NAMES_AT_ONCE_MAX};
pub use open::OpenError;
pub use parts::{PARTS_BYTES_MAX, PARTS_MAX, StoredPart, TOOL_RESULT_BYTES_MAX, VERBATIM_BYTES_MAX};
pub use profiles::{CONTEXT_TOKENS_DEFAULT, DEFAULT_PROFILE, ModelProfile, PROFILES_MAX};
pub use records::{NAME_BYTES_MAX, Record, is_name};
pub use rooms::{
    ALIASES_MAX, DEVICES_MAX, DeviceRecord, GROUPS_MAX, Group, HOME_NAME_CHARS_MAX, MEMBERS_MAX, ROOMS_MAX, Room,
    SCENES_MAX, Scene, SceneSetting, is_home_name,
};
pub use search::{Found, Place, SearchPage};
pub use servers::{DESCRIPTION_BYTES_MAX, ServerRecord, ToolOverlay, is_tool_name};
pub use settings::Setting;
pub use sign_ins::SignIn;
pub use usage::{UsageKey, UsageSum};
pub use users::{LABEL_BYTES_MAX, Token, User, UserProfile};
pub use zigbee::{ZIGBEE_BACKUPS_MAX, ZIGBEE_DOCUMENT_BYTES_MAX, ZigbeeBackup, ZigbeeChange, ZigbeeSaved};

use bounds::Bounds;
use open::Opener;
use writer::{Batch, Order, Shared, Waiting};

/// Writes that may wait for the writer. Past it callers wait for a place.
pub const WRITE_QUEUE_LEN: usize = 1024;

/// Bytes of all writes that wait, rounded up to kB each. One write of more than this takes all of it and goes alone.
pub const WRITE_QUEUE_KB: u32 = 8 * 1024;

/// The longest wait for a write, its place in the queue included. A disk that takes longer is about to fail.
pub const WRITE_WAIT: Duration = Duration::from_secs(30);

/// The longest wait for a read from async code, its place included.
pub const READ_WAIT: Duration = Duration::from_secs(10);

/// Reads from async code at once. Each holds a thread of tokio's pool while it waits for the disk.
pub const READS_AT_ONCE: usize = 8;

/// The longest wait for the writer to end.
pub const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Why a write was not done. Only after [`WriteError::Timeout`] it may have been, or may yet be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("{0}")]
    Invalid(String),
    #[error("{what} is {size} long; the store takes up to {max}")]
    TooLarge { what: &'static str, size: usize, max: usize },
    /// There is no such thing, or none that whoever writes may know of.
    #[error("there is no {0}")]
    NotFound(String),
    /// Somebody else wrote in between. 0: it does not exist.
    #[error("it was changed meanwhile (revision {current}): read it again and repeat the change")]
    Conflict { current: u64 },
    #[error("the disk is full: make room on the hub's disk")]
    DiskFull,
    #[error("the disk failed: {0}")]
    Disk(String),
    #[error("the disk did not answer within {} s", WRITE_WAIT.as_secs())]
    Timeout,
    #[error("the store is closed")]
    Closed,
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The disk failed. The writer has been asked to open the file anew; trying again may work.
    #[error("the disk failed: {0}")]
    Disk(String),
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("the store is closed")]
    Closed,
}

/// The open store. Clones share it; when the last one is dropped, the writer finishes its queue and closes the file.
#[derive(Clone)]
pub struct Store {
    orders: mpsc::Sender<Order>,
    /// One permit for each kB that may wait.
    room: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// Of whole copies: one at a time.
    copies: Arc<Semaphore>,
    path: Arc<Path>,
    shared: Arc<Shared>,
}

/// The store as it was at one moment, however much is written meanwhile. Its reads may wait for the disk. To be held
/// for a short time only: pages that it sees are not used again.
pub struct Snapshot(ReadTransaction);

/// A file of an older layout that is open and as it was.
pub struct Elder<'a> {
    db: &'a Database,
    path: &'a Path,
}

impl Store {
    /// Opens the file, or makes it in a folder that exists. Waits for the disk; for the start of a program.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        Store::start(Opener::new(path), Bounds::HOUSE)
    }

    /// The same, and before a file is brought up from an older layout `before_migration` sees it.
    pub fn open_with(
        path: &Path,
        before_migration: impl Fn(&Elder<'_>) + Send + Sync + 'static,
    ) -> Result<Store, OpenError> {
        let before_migration = Arc::new(move |db: &Database, path: &Path| before_migration(&Elder { db, path }));
        Store::start(Opener { before_migration, ..Opener::new(path) }, Bounds::HOUSE)
    }

    fn start(opener: Opener, bounds: Bounds) -> Result<Store, OpenError> {
        let (orders, queue) = mpsc::channel(WRITE_QUEUE_LEN);
        let path = opener.path.as_path().into();
        let shared = writer::start(opener, bounds, queue)?;
        Ok(Store {
            orders,
            room: Arc::new(Semaphore::new(WRITE_QUEUE_KB as usize)),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            copies: Arc::new(Semaphore::new(1)),
            path,
            shared,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// News of every write from now on.
    pub fn subscribe(&self) -> Feed {
        self.shared.subscribe()
    }

    /// The number of the newest write. Another number is another store.
    pub async fn revision(&self) -> Result<u64, ReadError> {
        self.read(|snapshot| Ok(contents::revision(&snapshot.0)?)).await
    }

    /// Commits since the store was opened: fewer than writes, where many came at once.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Finishes what is queued and closes the file. False when the disk kept the writer beyond [`CLOSE_WAIT`].
    pub async fn close(self) -> bool {
        let (done, closed) = oneshot::channel();
        let closing = async {
            if self.orders.send(Order::Close(done)).await.is_ok() {
                // An error: the writer has ended, through another handle's `close`.
                let _ = closed.await;
            }
        };
        tokio::time::timeout(CLOSE_WAIT, closing).await.is_ok()
    }

    /// A look at the store, for code that may wait for the disk.
    pub fn snapshot(&self) -> Result<Snapshot, ReadError> {
        self.shared.snapshot().map(Snapshot)
    }

    /// Runs `look` where waiting for the disk holds nobody up.
    pub async fn read<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Fn(&Snapshot) -> Result<T, ReadError> + Send + 'static,
    {
        let reading = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| ReadError::Closed)?;
            let store = self.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                store.look(look)
            });
            looking.await.map_err(|error| ReadError::Disk(error.to_string()))?
        };
        let late = || ReadError::Disk(format!("no answer within {} s", READ_WAIT.as_secs()));
        tokio::time::timeout(READ_WAIT, reading).await.unwrap_or_else(|_| Err(late()))
    }

    fn look<T>(&self, look: impl Fn(&Snapshot) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let mut found = self.snapshot().and_then(|snapshot| look(&snapshot));
        if let Err(ReadError::Closed) = found {
            // The writer may have opened the file anew under this snapshot; the next one is of the new opening.
            found = self.snapshot().and_then(|snapshot| look(&snapshot));
        }
        if let Err(ReadError::Disk(_)) = found {
            // redb refuses all work after a failed read. A full queue has a write in it that finds out as well.
            let _ = self.orders.try_send(Order::Heal);
        }
        found
    }

    /// Queues a write of about `bytes` and waits until it is on the disk. Once queued it is done, even if nobody waits.
    async fn write<T, F>(&self, bytes: usize, apply: F) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: Fn(&mut Batch) -> Result<Result<T, WriteError>, redb::Error> + Send + 'static,
    {
        self.order(bytes, apply, Order::Write).await
    }

    /// The same for a write that may wait a moment, so that it costs no commit of its own.
    async fn accompany<T, F>(&self, bytes: usize, apply: F) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: Fn(&mut Batch) -> Result<Result<T, WriteError>, redb::Error> + Send + 'static,
    {
        self.order(bytes, apply, Order::Accompany).await
    }

    async fn order<T, F>(
        &self,
        bytes: usize,
        apply: F,
        order: fn(Box<dyn writer::Job>) -> Order,
    ) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: Fn(&mut Batch) -> Result<Result<T, WriteError>, redb::Error> + Send + 'static,
    {
        let waiting = async {
            let room = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, WRITE_QUEUE_KB);
            let room = Arc::clone(&self.room).acquire_many_owned(room).await.map_err(|_| WriteError::Closed)?;
            let (reply, answer) = oneshot::channel();
            let job = Waiting::new(apply, reply, room);
            self.orders.send(order(Box::new(job))).await.map_err(|_| WriteError::Closed)?;
            answer.await.map_err(|_| WriteError::Closed)?
        };
        tokio::time::timeout(WRITE_WAIT, waiting).await.unwrap_or(Err(WriteError::Timeout))
    }
}

impl WriteError {
    /// The error as a client gets it.
    pub fn to_body(&self) -> ErrorBody {
        let (code, retryable) = match self {
            WriteError::Invalid(_) => (ErrorCode::BadRequest, false),
            WriteError::NotFound(_) => (ErrorCode::NotFound, false),
            WriteError::TooLarge { .. } => (ErrorCode::TooLarge, false),
            WriteError::Conflict { .. } => (ErrorCode::Conflict, false),
            WriteError::DiskFull | WriteError::Disk(_) | WriteError::Closed => (ErrorCode::Internal, true),
            WriteError::Timeout => (ErrorCode::Timeout, true),
        };
        ErrorBody { retryable, ..ErrorBody::new(code, format!("The store did not take it: {self}.")) }
    }
}

impl From<redb::Error> for ReadError {
    fn from(error: redb::Error) -> ReadError {
        match error {
            redb::Error::DatabaseClosed => ReadError::Closed,
            redb::Error::Corrupted(detail) => ReadError::Corrupt(detail),
            other => ReadError::Disk(other.to_string()),
        }
    }
}

impl From<redb::StorageError> for ReadError {
    fn from(error: redb::StorageError) -> ReadError {
        redb::Error::from(error).into()
    }
}

impl From<redb::TableError> for ReadError {
    fn from(error: redb::TableError) -> ReadError {
        redb::Error::from(error).into()
    }
}
