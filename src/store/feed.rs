//! The change feed: what was written, told after it is safe on the disk. Never slows a write down and never loses news in
//! silence: a reader that falls behind is told to read everything again.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Changes kept for a reader that is busy. Past it the reader rereads, which costs about as much as so many changes.
pub(super) const FEED_LEN: usize = 1024;

/// One write that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    /// The conversation's id, the blob's id, the day of the usage, the newest number of the audit; empty for the history of
    /// devices; of all else the record's key.
    pub key: Box<str>,
    /// Of the thing as it now is; of the deletion when `deleted`. Rises over the whole store.
    pub revision: u64,
    pub deleted: bool,
}

/// Which family of things changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Conversation,
    Profile,
    Blob,
    Usage,
    User,
    Token,
    UserProfile,
    Setting,
    Server,
    Overlay,
    Catalog,
    /// Never shown: its records hold secrets.
    SignIn,
    Audit,
    /// What the owner says of a device.
    Device,
    Room,
    Group,
    Scene,
    /// Newest values and history of devices; of the Zigbee network, its devices and its backups. Nobody is shown these by themselves.
    DeviceHistory,
    Zigbee,
}

/// What [`Feed::recv`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Change(Change),
    /// Changes were missed: read again whatever you keep. The next change seen is newer than this.
    Lagged,
    /// The store is closed; nothing will come.
    Closed,
}

/// One reader's place in the news. Subscribe first and read after, so that nothing falls in between.
#[derive(Debug)]
pub struct Feed(broadcast::Receiver<Change>);

impl Feed {
    /// The news of `sender` from now on; of a closed store, where there is none.
    pub(super) fn new(sender: Option<&broadcast::Sender<Change>>) -> Feed {
        Feed(match sender {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        })
    }

    /// The next news. May be cancelled without losing any.
    pub async fn recv(&mut self) -> Seen {
        match self.0.recv().await {
            Ok(change) => Seen::Change(change),
            Err(RecvError::Closed) => Seen::Closed,
            Err(RecvError::Lagged(_)) => {
                // What is still queued is covered by the rereading.
                self.0 = self.0.resubscribe();
                Seen::Lagged
            }
        }
    }

    /// The next news, where there are some. What was answered as written before this is called has been told by then.
    pub fn try_recv(&mut self) -> Option<Seen> {
        match self.0.try_recv() {
            Ok(change) => Some(Seen::Change(change)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Seen::Closed),
            Err(TryRecvError::Lagged(_)) => {
                self.0 = self.0.resubscribe();
                Some(Seen::Lagged)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_once_and_goes_on_with_what_is_new() {
        let (sender, _) = broadcast::channel(FEED_LEN);
        let mut feed = Feed::new(Some(&sender));
        let change = |revision| Change { kind: Kind::Profile, key: "default".into(), revision, deleted: false };
        for revision in 0..=FEED_LEN as u64 {
            sender.send(change(revision)).expect("the feed listens");
        }
        assert_eq!(feed.recv().await, Seen::Lagged);
        sender.send(change(7_000)).expect("the feed listens");
        assert_eq!(feed.recv().await, Seen::Change(change(7_000)));
        assert_eq!(feed.try_recv(), None);
        for revision in 0..=FEED_LEN as u64 {
            sender.send(change(revision)).expect("the feed listens");
        }
        assert_eq!((feed.try_recv(), feed.try_recv()), (Some(Seen::Lagged), None));
        sender.send(change(8_000)).expect("the feed listens");
        assert_eq!(feed.try_recv(), Some(Seen::Change(change(8_000))));
        drop(sender);
        assert_eq!(feed.try_recv(), Some(Seen::Closed));
        assert_eq!(feed.recv().await, Seen::Closed);
    }

    #[tokio::test]
    async fn a_feed_of_a_closed_store_ends_at_once() {
        assert_eq!(Feed::new(None).recv().await, Seen::Closed);
    }
}
