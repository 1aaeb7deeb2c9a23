//! Writes down every call: who called what, through which door, and what came of it. Gathers entries and brings them to the
//! store together, behind the back of the calls; never holds one up. Reads the clock; decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the entries")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::common::error::ErrorCode;
use crate::common::time::whole_ms;
use crate::mcp::call::{Call, Fault, Outcome};
use crate::mcp::definition::{Definition, Origin};
use crate::store::{AuditEntry, Reckoning, Store};

/// Entries that may wait. Past it they are lost, which is said in the log: a call is worth more than its entry.
const QUEUE_LEN: usize = 8192;

/// Entries brought to the store at once.
const TOGETHER_MAX: usize = 2048;

/// How long the first of them waits for others: a commit a call would wear a memory card. A crash loses so much.
const GATHER: Duration = Duration::from_secs(2);

/// The longest that a flush takes.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// Where entries go. Cheap to clone; the last one that is dropped ends the writing, after what waits.
#[derive(Clone)]
pub struct Bill {
    entries: mpsc::Sender<Order>,
    lost: Arc<AtomicU64>,
}

enum Order {
    Entry(AuditEntry),
    Flush(oneshot::Sender<()>),
}

/// An entry whose call still runs. Dropped before its end, it says that nobody waited for it.
pub struct Open<'a> {
    bill: Option<&'a Bill>,
    entry: Option<AuditEntry>,
    since: Instant,
}

impl Bill {
    /// Begins writing; wants a runtime.
    pub fn new(store: Store) -> Bill {
        let (entries, queue) = mpsc::channel(QUEUE_LEN);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(write(store, queue, lost.clone()));
        Bill { entries, lost }
    }

    /// Waits until everything up to now is on the disk: before the store is closed.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let flushing = async {
            if self.entries.send(Order::Flush(done)).await.is_ok() {
                // An error: the writing has ended.
                let _ = flushed.await;
            }
        };
        let _ = timeout(FLUSH_WAIT, flushing).await;
    }

    fn send(&self, entry: AuditEntry) {
        if self.entries.try_send(Order::Entry(entry)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> Open<'a> {
    /// Begins the entry of a call; without a bill it only measures.
    pub fn new(bill: Option<&'a Bill>, call: &Call) -> Open<'a> {
        let entry = bill.map(|_| AuditEntry {
            seq: 0,
            at_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms),
            user: call.who.user.to_string(),
            role: call.who.role,
            door: call.who.door,
            token: call.who.token.as_deref().map(str::to_owned),
            tool: call.tool.to_string(),
            origin: None,
            outcome: Reckoning::Cancelled,
            code: None,
            ms: 0,
            arguments: call.arguments.keys().cloned().collect(),
        });
        Open { bill, entry, since: Instant::now() }
    }

    /// Which tool it is, once that is known.
    pub fn found(&mut self, tool: &Definition) {
        if let Some(entry) = &mut self.entry {
            entry.origin = Some(match &tool.origin {
                Origin::Hub => "hub".into(),
                Origin::Server { slug, .. } => slug.to_string(),
            });
        }
    }

    /// Ends the entry.
    pub fn close(mut self, outcome: &Result<Outcome, Fault>) {
        let Some(entry) = &mut self.entry else { return };
        (entry.outcome, entry.code) = match outcome {
            Ok(Outcome::Done(output)) if output.is_error => (Reckoning::Failed, None),
            Ok(Outcome::Done(_)) => (Reckoning::Ok, None),
            Ok(Outcome::InputRequired { .. }) => (Reckoning::Asked, None),
            Err(fault) if fault.error.code == ErrorCode::Forbidden => (Reckoning::Denied, Some(fault.error.code)),
            Err(fault) => (Reckoning::Error, Some(fault.error.code)),
        };
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let (Some(bill), Some(mut entry)) = (self.bill, self.entry.take()) {
            entry.ms = whole_ms(self.since.elapsed());
            bill.send(entry);
        }
    }
}

async fn write(store: Store, mut queue: mpsc::Receiver<Order>, lost: Arc<AtomicU64>) {
    while let Some(first) = queue.recv().await {
        let (mut entries, mut flushed) = (Vec::new(), None);
        let until = Instant::now() + GATHER;
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Entry(entry) => entries.push(entry),
                // Somebody waits: nothing is gathered any more.
                Order::Flush(done) => {
                    flushed = Some(done);
                    break;
                }
            }
            if entries.len() >= TOGETHER_MAX {
                break;
            }
            next = tokio::select! {
                biased;
                next = queue.recv() => next,
                () = sleep_until(until.into()) => None,
            };
        }
        if let Err(error) = store.add_audit(entries).await {
            tracing::warn!(%error, "calls could not be written into the audit");
        }
        if let Some(done) = flushed {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => tracing::warn!(lost, "calls came faster than the audit could be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_the_end_waits_for_the_disk_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let bill = Bill::new(store);
        let since = Instant::now();
        bill.flush().await;
        assert!(since.elapsed() < GATHER / 2, "nothing is gathered for somebody who waits: {:?}", since.elapsed());
    }
}
