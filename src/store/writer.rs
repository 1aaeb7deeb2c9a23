//! The one thread that writes. It takes everything queued, commits once, and answers when that is on the disk. After a
//! failed disk it opens the file anew, finds out whether the commit is in it, and goes on. Knows nothing of what is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::bounds::Bounds;
use super::feed::{Change, FEED_LEN, Feed, Kind};
use super::open::{OpenError, Opener, is_disk_full};
use super::reserve::Reserve;
use super::tables::{META, META_REVISION, meta};
use super::{ReadError, WRITE_QUEUE_LEN, WriteError};

/// Tries of one batch: as queued, and once more in a file opened anew, where the first is known not to be in it.
const COMMIT_TRIES: u32 = 2;

/// How long a write that is in no hurry waits for another one to share its commit: each commit wears a memory card.
const COMPANY_WAIT: Duration = Duration::from_millis(10);

/// What is asked of the writer.
pub(super) enum Order {
    Write(Box<dyn Job>),
    /// A write that waits a moment for company.
    Accompany(Box<dyn Job>),
    /// A reader met a failed disk: open the file anew if redb has given up on it.
    Heal,
    /// Finish the queue, close the file, answer.
    Close(oneshot::Sender<()>),
}

/// A write in the queue. Applied again when a commit failed, so that it must change nothing but the batch.
pub(super) trait Job: Send {
    fn apply(&mut self, batch: &mut Batch) -> Result<(), redb::Error>;
    /// Tells whoever waits what `apply` came to, or that the batch failed.
    fn settle(self: Box<Self>, batch: Result<(), WriteError>);
}

/// A write and whom to tell.
pub(super) struct Waiting<T, F> {
    apply: F,
    outcome: Result<T, WriteError>,
    reply: oneshot::Sender<Result<T, WriteError>>,
    _room: OwnedSemaphorePermit,
}

/// One write transaction with the writes of everybody who was queued.
pub(super) struct Batch {
    pub(super) txn: WriteTransaction,
    pub(super) bounds: Bounds,
    /// Of the newest write.
    revision: u64,
    changes: Vec<Change>,
}

/// What readers and the writer share.
pub(super) struct Shared {
    /// Or why there is none: closed for good, or until a failed disk lets the file be opened anew.
    db: RwLock<Result<Database, ReadError>>,
    feed: broadcast::WeakSender<Change>,
    pub(super) commits: AtomicU64,
}

struct Writer {
    /// Has a clock and nothing else: to wait for an order, but not for ever.
    clock: Runtime,
    opener: Opener,
    reserve: Reserve,
    bounds: Bounds,
    shared: Arc<Shared>,
    feed: broadcast::Sender<Change>,
}

/// A commit that failed. `unsure`: it may have reached the disk, with these changes up to this revision.
struct Fault {
    error: redb::Error,
    unsure: Option<(u64, Vec<Change>)>,
}

/// What became of a batch whose commit failed.
enum Recovered {
    /// It is on the disk after all.
    Written(Vec<Change>),
    /// It is not; the file is open and another try may work.
    Again(WriteError),
    /// The file could not be opened.
    Lost(WriteError),
}

/// Opens the file and starts the thread, which ends when `queue` does.
pub(super) fn start(opener: Opener, bounds: Bounds, queue: mpsc::Receiver<Order>) -> Result<Arc<Shared>, OpenError> {
    let db = opener.open_or_create()?;
    let reserve = Reserve::beside(&opener.path);
    reserve.refill();
    let (feed, _) = broadcast::channel(FEED_LEN);
    let shared = Arc::new(Shared { db: RwLock::new(Ok(db)), feed: feed.downgrade(), commits: AtomicU64::new(0) });
    let path = opener.path.clone();
    let clock = Builder::new_current_thread().enable_time().build();
    let clock = clock.map_err(|error| OpenError::Io { path: path.clone(), detail: format!("no clock: {error}") })?;
    let writer = Writer { clock, opener, reserve, bounds, shared: Arc::clone(&shared), feed };
    let thread = std::thread::Builder::new().name("hearth-store".into()).spawn(move || writer.run(queue));
    thread.map_err(|error| OpenError::Io { path, detail: format!("no thread for the writer: {error}") })?;
    Ok(shared)
}

impl Writer {
    fn run(self, mut queue: mpsc::Receiver<Order>) {
        let mut closing = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let (mut jobs, mut hurry) = (Vec::new(), false);
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Write(job) => {
                        hurry = true;
                        jobs.push(job);
                    }
                    Order::Accompany(job) => jobs.push(job),
                    Order::Heal => hurry = true,
                    Order::Close(done) => {
                        hurry = true;
                        queue.close();
                        closing.push(done);
                    }
                }
                next = match jobs.len() < WRITE_QUEUE_LEN {
                    true => queue.try_recv().ok().or_else(|| (!hurry).then(|| self.company(&mut queue))?),
                    false => None,
                };
            }
            self.write(jobs);
        }
        self.close();
        for done in closing {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// The next order, if it comes soon.
    fn company(&self, queue: &mut mpsc::Receiver<Order>) -> Option<Order> {
        self.clock.block_on(async { timeout(COMPANY_WAIT, queue.recv()).await.ok().flatten() })
    }

    /// Does a batch, through a failing disk if need be, and answers everybody in it.
    fn write(&self, mut jobs: Vec<Box<dyn Job>>) {
        let outcome = self.write_through(&mut jobs);
        for job in jobs {
            job.settle(outcome.clone());
        }
        self.reserve.refill();
    }

    fn write_through(&self, jobs: &mut [Box<dyn Job>]) -> Result<(), WriteError> {
        let mut failed = Ok(());
        for _ in 0..COMMIT_TRIES {
            let written = match self.commit(jobs) {
                Ok(changes) => Recovered::Written(changes),
                Err(fault) => self.recover(fault),
            };
            match written {
                Recovered::Written(changes) => {
                    self.publish(changes);
                    return Ok(());
                }
                Recovered::Again(error) => failed = Err(error),
                Recovered::Lost(error) => return Err(error),
            }
        }
        failed
    }

    /// One transaction with all jobs; nothing is committed when nothing changed.
    fn commit(&self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Change>, Fault> {
        let early = |error| Fault { error, unsure: None };
        let txn = self.begin().map_err(early)?;
        let mut batch = Batch::new(txn, self.bounds).map_err(early)?;
        for job in jobs {
            job.apply(&mut batch).map_err(early)?;
        }
        batch.commit(&self.shared.commits)
    }

    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        let db = self.shared.db.read().unwrap_or_else(PoisonError::into_inner);
        Ok(db.as_ref().map_err(|_| redb::Error::DatabaseClosed)?.begin_write()?)
    }

    /// Opens the file anew, since redb does no work after a failed one, and finds out whether the commit is in it.
    fn recover(&self, fault: Fault) -> Recovered {
        let Fault { error, unsure } = fault;
        let full = matches!(&error, redb::Error::Io(error) if is_disk_full(error));
        tracing::error!(%error, "the store could not write; opening it anew");
        if full {
            self.reserve.give_up();
        }
        let mut db = self.shared.db.write().unwrap_or_else(PoisonError::into_inner);
        // Closed before it is opened: a file has one owner.
        *db = Err(ReadError::Disk(error.to_string()));
        let reopened = match self.opener.reopen() {
            Ok(reopened) => reopened,
            Err(refused) => {
                *db = Err(ReadError::Disk(refused.to_string()));
                let no_room = matches!(refused, OpenError::DiskFull { .. });
                let told = if no_room { WriteError::DiskFull } else { WriteError::Disk(refused.to_string()) };
                return Recovered::Lost(told);
            }
        };
        let written = |revision| stored_revision(&reopened).is_ok_and(|stored| stored >= revision);
        let written = unsure.filter(|(revision, _)| written(*revision));
        *db = Ok(reopened);
        if let Some((_, changes)) = written {
            return Recovered::Written(changes);
        }
        Recovered::Again(if full { WriteError::DiskFull } else { WriteError::Disk(error.to_string()) })
    }

    fn publish(&self, changes: Vec<Change>) {
        for change in changes {
            // An error: nobody listens.
            let _ = self.feed.send(change);
        }
    }

    fn close(&self) {
        let mut db = self.shared.db.write().unwrap_or_else(PoisonError::into_inner);
        let closed = std::mem::replace(&mut *db, Err(ReadError::Closed)).map(Database::close);
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the store was not closed in order; it is repaired at the next start");
        }
    }
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<ReadTransaction, ReadError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = db.as_ref().map_err(ReadError::clone)?.begin_read();
        snapshot.map_err(|error| redb::Error::from(error).into())
    }

    pub(super) fn subscribe(&self) -> Feed {
        Feed::new(self.feed.upgrade().as_ref())
    }
}

impl Batch {
    fn new(txn: WriteTransaction, bounds: Bounds) -> Result<Batch, redb::Error> {
        let revision = meta(&txn.open_table(META)?, META_REVISION)?;
        Ok(Batch { txn, bounds, revision, changes: Vec::new() })
    }

    /// Takes the next revision for a thing that was written, and notes the news of it.
    pub(super) fn changed(&mut self, kind: Kind, key: &str) -> u64 {
        self.note(kind, key, false)
    }

    /// Notes that a thing is gone.
    pub(super) fn deleted(&mut self, kind: Kind, key: &str) {
        self.note(kind, key, true);
    }

    fn note(&mut self, kind: Kind, key: &str, deleted: bool) -> u64 {
        self.revision += 1;
        self.changes.push(Change { kind, key: key.into(), revision: self.revision, deleted });
        self.revision
    }

    fn commit(self, commits: &AtomicU64) -> Result<Vec<Change>, Fault> {
        let Batch { txn, revision, changes, .. } = self;
        let early = |error| Fault { error, unsure: None };
        if changes.is_empty() {
            txn.abort().map_err(|error| early(error.into()))?;
            return Ok(changes);
        }
        note_revision(&txn, revision).map_err(early)?;
        if let Err(error) = txn.commit() {
            return Err(Fault { error: error.into(), unsure: Some((revision, changes)) });
        }
        commits.fetch_add(1, Ordering::Relaxed);
        Ok(changes)
    }
}

impl<T, F> Waiting<T, F> {
    pub(super) fn new(
        apply: F,
        reply: oneshot::Sender<Result<T, WriteError>>,
        room: OwnedSemaphorePermit,
    ) -> Waiting<T, F> {
        Waiting { apply, outcome: Err(WriteError::Closed), reply, _room: room }
    }
}

impl<T, F> Job for Waiting<T, F>
where
    T: Send,
    F: Fn(&mut Batch) -> Result<Result<T, WriteError>, redb::Error> + Send,
{
    fn apply(&mut self, batch: &mut Batch) -> Result<(), redb::Error> {
        self.outcome = (self.apply)(batch)?;
        Ok(())
    }

    fn settle(self: Box<Self>, batch: Result<(), WriteError>) {
        // An error: the caller has stopped waiting.
        let _ = self.reply.send(batch.and(self.outcome));
    }
}

fn note_revision(txn: &WriteTransaction, revision: u64) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(META_REVISION, revision)?;
    Ok(())
}

fn stored_revision(db: &Database) -> Result<u64, redb::Error> {
    meta(&db.begin_read()?.open_table(META)?, META_REVISION)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::disks::Trouble;
    use super::super::{NewMessage, Seen, Store, UsageKey, UsageSum, WRITE_QUEUE_KB};
    use super::*;
    use crate::common::chat::Role;
    use crate::common::who::HOUSE;

    #[tokio::test]
    async fn a_thousand_appends_cost_two_commits() {
        let (_home, disk, store) = troubled_store();
        let before = store.commits();
        disk.hang();
        let mut appends = tokio::task::JoinSet::new();
        for number in 0..1_000 {
            appends.spawn(append(store.clone(), format!("c-{number}")));
        }
        // Each holds some room from the moment it is queued until it is answered.
        while store.room.available_permits() > WRITE_QUEUE_KB as usize - 1_000 {
            tokio::task::yield_now().await;
        }
        assert!(appends.try_join_next().is_none(), "nothing is answered before it is on the disk");
        disk.go_on();
        for done in appends.join_all().await {
            done.expect("room");
        }
        // What the writer had in hand when the disk hung, and all the rest.
        assert!((1..=2).contains(&(store.commits() - before)), "{}", store.commits() - before);
        assert_eq!(store.conversations(None, None, 200).await.expect("readable").len(), 200);
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn a_write_without_hurry_shares_the_commit_of_what_follows() {
        let (_home, _, store) = troubled_store();
        let before = store.commits();
        let usage = || {
            let name = || String::from("x");
            let day = jiff::civil::date(2026, 11, 22);
            let key = UsageKey { day, user: name(), profile: name(), provider: name(), model: name() };
            store.add_usage(key, UsageSum::default())
        };
        for turn in 1..=20 {
            let (counted, kept) = tokio::join!(usage(), append(store.clone(), "kitchen".into()));
            counted.and(kept).expect("room");
            assert_eq!(store.commits() - before, turn, "one commit a turn");
        }
        // Alone it is written, too.
        usage().await.expect("room");
        assert_eq!(store.commits() - before, 21);
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_and_loses_nobody() {
        const CALLERS: usize = 2 * WRITE_QUEUE_LEN + 100;
        let (_home, disk, store) = troubled_store();
        disk.hang();
        let mut appends = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            appends.spawn(append(store.clone(), "kitchen".into()));
        }
        while store.orders.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        disk.go_on();
        for done in appends.join_all().await {
            done.expect("room");
        }
        let kept = store.conversation("kitchen").await.expect("readable").expect("there");
        assert_eq!(kept.message_count, CALLERS as u64);
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn closing_finishes_the_queue_and_ends_everything() {
        let (home, disk, store) = troubled_store();
        let mut feed = store.subscribe();
        disk.hang();
        let mut appends = tokio::task::JoinSet::new();
        for _ in 0..50 {
            appends.spawn(append(store.clone(), "kitchen".into()));
        }
        while store.room.available_permits() > WRITE_QUEUE_KB as usize - 50 {
            tokio::task::yield_now().await;
        }
        let left = store.clone();
        let closing = tokio::spawn(store.close());
        while left.orders.capacity() > WRITE_QUEUE_LEN - 1 {
            tokio::task::yield_now().await;
        }
        disk.go_on();
        assert!(closing.await.expect("no panic"));
        for done in appends.join_all().await {
            done.expect("queued before the end");
        }
        assert_eq!(append(left.clone(), "kitchen".into()).await, Err(WriteError::Closed));
        assert_eq!(left.conversation("kitchen").await, Err(ReadError::Closed));
        for _ in 0..50 {
            assert!(matches!(feed.recv().await, Seen::Change(_)));
        }
        assert_eq!(feed.recv().await, Seen::Closed);
        assert_eq!(left.subscribe().recv().await, Seen::Closed);
        let again = Store::open(&home.path().join("hearth.redb")).expect("the file is free");
        assert_eq!(again.conversation("kitchen").await.expect("readable").expect("there").message_count, 50);
        assert!(again.close().await);
        assert!(left.close().await, "closing twice is closing");
    }

    #[tokio::test]
    async fn the_last_handle_closes_the_store() {
        let (home, _, store) = troubled_store();
        let mut feed = store.subscribe();
        let other = store.clone();
        drop(store);
        append(other.clone(), "kitchen".into()).await.expect("another handle is left");
        drop(other);
        assert!(matches!(feed.recv().await, Seen::Change(_)));
        // The writer drops its end of the feed after it has closed the file.
        assert_eq!(feed.recv().await, Seen::Closed);
        let again = Store::open(&home.path().join("hearth.redb")).expect("the file is free");
        assert!(again.close().await);
    }

    #[tokio::test]
    async fn a_write_that_changes_nothing_costs_no_commit() {
        let (_home, _, store) = troubled_store();
        let before = store.commits();
        assert_eq!(store.delete_conversation("nobody", None).await, Ok(false));
        assert_eq!(store.commits(), before);
        assert!(store.close().await);
    }

    async fn append(store: Store, id: String) -> Result<(), WriteError> {
        store.append(HOUSE, &id, vec![NewMessage::new(Role::User, "hello", 1)]).await
    }

    fn troubled_store() -> (TempDir, Arc<Trouble>, Store) {
        let home = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(Trouble::default());
        let store = disk.open(&home.path().join("hearth.redb")).expect("a new file");
        (home, disk, store)
    }
}
