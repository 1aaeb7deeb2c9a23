//! A connection while it is used: who uses it, and how all of them hear that it is over. Knows no server and no deadline of
//! its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::mcp::upstream::places::Place;
use crate::mcp::upstream::{Connection, UpstreamError};

/// The connection that the next request gets.
pub struct Live {
    pub connection: Arc<dyn Connection>,
    /// Whether it is over for all that use it. Each of them holds it as well: a connection on which one request failed is given to
    /// nobody any more, and the others on it come to their ends.
    is_over: Arc<watch::Sender<bool>>,
    watcher: AbortHandle,
    pub generation: u64,
    _place: Option<Arc<Place>>,
}

/// A connection that is being used.
pub struct Lease {
    pub connection: Arc<dyn Connection>,
    is_over: Arc<watch::Sender<bool>>,
    pub generation: u64,
}

impl Live {
    /// `watcher` is ended with it.
    pub fn new(
        connection: Arc<dyn Connection>,
        watcher: AbortHandle,
        generation: u64,
        place: Option<Arc<Place>>,
    ) -> Live {
        Live { connection, is_over: Arc::new(watch::Sender::new(false)), watcher, generation, _place: place }
    }

    pub fn lease(&self) -> Lease {
        let (connection, is_over) = (self.connection.clone(), self.is_over.clone());
        Lease { connection, is_over, generation: self.generation }
    }

    /// Ends it for all that use it.
    pub fn end(&self) {
        self.is_over.send_replace(true);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Lease {
    /// Done when the connection is over.
    pub async fn over(&self) {
        // The sender is in hand.
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Does something with it, until `until`, which is so long after the beginning.
    pub async fn work<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        until: Instant,
        deadline: Duration,
        work: impl FnOnce(Arc<dyn Connection>) -> F,
    ) -> Result<T, UpstreamError> {
        tokio::select! {
            done = timeout_at(until, work(self.connection.clone())) => done.unwrap_or(Err(UpstreamError::Timeout(deadline))),
            () = self.over() => Err(UpstreamError::Gone("its connection was closed".into())),
        }
    }
}
