//! Which sessions can be resumed, and the way to each. Holds no session: those live in their own tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::common::who::Principal;
use crate::gateway::listen::Guard;
use crate::gateway::session::socket::Socket;

/// Sessions that may live on without a socket at once. Each may keep a megabyte for its client.
const DETACHED_MAX: usize = 64;

/// Sockets on their way to one session. It takes them at once; more come only from many clients that all want it.
const HANDOVERS_MAX: usize = 4;

/// A socket on its way to the session that its client wants back.
pub struct Handover {
    pub socket: Socket,
    /// The connection's place among the open ones.
    pub guard: Arc<Guard>,
    /// Who came, and until when they are let in.
    pub who: Arc<Principal>,
    pub until: Option<Instant>,
    pub request_id: Option<String>,
    pub last_seq: u64,
}

/// The way to a session, and whose it is.
struct Entry {
    user: Box<str>,
    way: mpsc::Sender<Box<Handover>>,
}

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Registry {
    ways: Arc<Mutex<HashMap<Box<str>, Entry>>>,
    detached: Arc<Semaphore>,
}

/// A session's entry; dropping it takes it out.
pub struct Registration {
    registry: Registry,
    session_id: Box<str>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry { ways: Arc::default(), detached: Arc::new(Semaphore::new(DETACHED_MAX)) }
    }
}

impl Registry {
    /// Enters a session of this user's, whose new sockets come out of the receiver.
    pub fn register(&self, session_id: Box<str>, user: &str) -> (Registration, mpsc::Receiver<Box<Handover>>) {
        let (way, handovers) = mpsc::channel(HANDOVERS_MAX);
        self.ways().insert(session_id.clone(), Entry { user: user.into(), way });
        (Registration { registry: self.clone(), session_id }, handovers)
    }

    /// Sends a socket to a session of the same user's; gives it back where there is none.
    pub fn hand_over(&self, session_id: &str, handover: Box<Handover>) -> Result<(), Box<Handover>> {
        let way = {
            let ways = self.ways();
            ways.get(session_id).filter(|entry| *entry.user == *handover.who.user).map(|entry| entry.way.clone())
        };
        match way {
            Some(way) => way.try_send(handover).map_err(mpsc::error::TrySendError::into_inner),
            None => Err(handover),
        }
    }

    fn ways(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a session that has lost its socket, if there is one.
    pub fn place_without_socket(&self) -> Option<OwnedSemaphorePermit> {
        self.detached.clone().try_acquire_owned().ok()
    }
}

impl Registration {
    /// The session is this user's from now on.
    pub fn belongs_to(&self, user: &str) {
        if let Some(entry) = self.registry.ways().get_mut(&self.session_id) {
            entry.user = user.into();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.ways().remove(&self.session_id);
    }
}
