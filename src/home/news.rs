//! What happens in the house, told to whoever listens. A listener that falls behind is told to look again.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::device::Device;
use super::source::{Backend, DeviceId, PairingNews, RadioStatus};

/// News kept for a listener that is busy: a burst of a thousand reports fits.
pub const NEWS_LEN: usize = 2_048;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A device is new or differs from what it was.
    Device(Arc<Change>),
    /// It is gone from the house.
    Removed {
        id: DeviceId,
        name: Box<str>,
    },
    Pairing {
        backend: Backend,
        news: PairingNews,
    },
    Radio {
        backend: Backend,
        status: RadioStatus,
    },
}

/// A device that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// As it now is.
    pub device: Arc<Device>,
    /// Properties with new values, events such as `action` included (which are not in the device's state).
    pub changes: Map<String, Value>,
    /// More than values changed: its name, its room, whether it is available, what is wished of it.
    pub is_more: bool,
    /// It was not there before.
    pub is_new: bool,
}

/// What [`Listener::recv`] heard.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    News(News),
    /// Some was missed: read again whatever you show.
    Lagged,
    /// The house is closed.
    Closed,
}

/// One listener's place in the news. Subscribe first and read after, so that nothing falls in between.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<News>);

impl Listener {
    pub(super) fn new(sender: &broadcast::Sender<News>) -> Listener {
        Listener(sender.subscribe())
    }

    /// The next news. May be cancelled without losing any.
    pub async fn recv(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(news) => Heard::News(news),
            Err(RecvError::Closed) => Heard::Closed,
            Err(RecvError::Lagged(_)) => {
                // What is still queued is covered by the reading anew.
                self.0 = self.0.resubscribe();
                Heard::Lagged
            }
        }
    }

    /// The next news, where there are some.
    pub fn try_recv(&mut self) -> Option<Heard> {
        match self.0.try_recv() {
            Ok(news) => Some(Heard::News(news)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Heard::Closed),
            Err(TryRecvError::Lagged(_)) => {
                self.0 = self.0.resubscribe();
                Some(Heard::Lagged)
            }
        }
    }
}
