//! What the handle and the tasks of the house share: the house behind its lock, whoever waits, and what wakes whom. Waits for nothing.
#![expect(clippy::disallowed_methods, reason = "it gives the house its clock")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::task::JoinSet;

use super::groupcast::Groupcast;
use super::house::Home;
use super::lanes::Ticket;
use super::news::News;
use super::recorder::WAITING_MANY;
use super::source::DeviceSource;
use crate::common::time::{UnixMillis, whole_ms};
use crate::store::Store;

/// What the handle and the tasks share.
pub(super) struct Shared {
    pub(super) home: Mutex<Home>,
    pub(super) groups: Mutex<Groupcast>,
    /// Whoever waits for a turn.
    pub(super) waiting: Mutex<BTreeMap<Ticket, oneshot::Sender<()>>>,
    pub(super) sources: Vec<Arc<dyn DeviceSource>>,
    pub(super) store: Store,
    pub(super) news: broadcast::Sender<News>,
    /// One change of an owner's at a time.
    pub(super) edits: tokio::sync::Mutex<()>,
    /// There are names to be written.
    pub(super) records: Notify,
    /// Many points wait to be written.
    pub(super) crowded: Notify,
    /// Rooms, groups or devices are others than they were.
    pub(super) moved: Notify,
    pub(super) started: Instant,
    pub(super) closing: watch::Sender<bool>,
    pub(super) tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Shared {
    /// Looks at the house, or changes it, and tells what came of it in its order. Never waits for anything.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Home) -> T) -> T {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look(&mut home);
        let mut has_moved = false;
        for news in home.news.drain(..) {
            has_moved |= match &news {
                News::Device(change) => change.is_more,
                News::Removed { .. } | News::Radio { .. } => true,
                News::Pairing { .. } => false,
            };
            // An error: nobody listens.
            let _ = self.news.send(news);
        }
        if has_moved || home.has_moved() {
            self.moved.notify_one();
        }
        if !home.unsaved.records.is_empty() {
            self.records.notify_one();
        }
        if home.recorder.waiting() >= WAITING_MANY {
            self.crowded.notify_one();
        }
        found
    }

    pub(super) fn with_now<T>(&self, look: impl FnOnce(&mut Home, UnixMillis) -> T) -> T {
        let now_ms = now_ms();
        self.with(|home| look(home, now_ms))
    }

    pub(super) fn with_groups<T>(&self, look: impl FnOnce(&mut Home, &mut Groupcast) -> T) -> T {
        self.with(|home| {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            look(home, &mut groups)
        })
    }

    /// Gives a place up and wakes those whose turn it is.
    pub(super) fn leave(&self, ticket: Ticket) {
        let next = self.with(|home| home.lanes.leave(ticket));
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&ticket);
        for ticket in next {
            // An error: it has stopped waiting, and gives its place up itself.
            waiting.remove(&ticket).map(|waker| waker.send(()));
        }
    }
}

/// The house's clock.
pub(super) fn now_ms() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
