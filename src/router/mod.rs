//! Who answers: a question comes in, news of the turn go out. Policy is pure (`choose`, `context`, `turn`); `run` is the one
//! driver. Knows no WebSocket, no HTTP and no provider's dialect.

mod choose;
mod context;
mod run;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::adapters::llm::Provider;
use crate::common::config::{Config, ProviderName};
use crate::common::events::TurnEvent;
use crate::store::Store;

/// Turns that run at once, all clients together. Each holds an upstream connection and its buffers (some 40 KiB).
pub const TURNS_MAX: usize = 1024;

/// Whom the router may ask, by the rows of the config. Built anew when the config changes.
pub type Roster = BTreeMap<ProviderName, Arc<dyn Provider>>;

/// A user's question, with the wishes that came along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub text: String,
    pub conversation_id: String,
    /// A model profile's name; absent: `default`.
    pub profile: Option<String>,
    /// A provider's name. Then nobody else is asked.
    pub provider: Option<String>,
    /// A model of the first provider asked.
    pub model: Option<String>,
    pub mode: Mode,
}

/// Which kind of provider may answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Auto,
    /// Only what runs on this machine or beside it.
    Local,
    /// A language model, never the built-in assistant.
    Llm,
}

/// Tells one running turn from another on the same queue.
pub type TurnKey = u32;

/// A running turn. Dropping it cancels the turn: the upstream connection closes within milliseconds, and the last
/// news is `Failed` with `cancelled`.
pub struct TurnHandle {
    _alive: oneshot::Sender<std::convert::Infallible>,
}

/// Starts turns. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

struct Shared {
    config: watch::Receiver<Arc<Config>>,
    roster: watch::Receiver<Arc<Roster>>,
    store: Store,
    places: Arc<Semaphore>,
}

impl Router {
    pub fn new(config: watch::Receiver<Arc<Config>>, roster: watch::Receiver<Arc<Roster>>, store: Store) -> Router {
        Router { shared: Arc::new(Shared { config, roster, store, places: Arc::new(Semaphore::new(TURNS_MAX)) }) }
    }

    /// Starts a turn. Its news come on `out` under `key`; a full `out` holds the provider back. Never blocks and never
    /// fails: what goes wrong is news too.
    pub fn start(&self, ask: Ask, key: TurnKey, out: mpsc::Sender<(TurnKey, TurnEvent)>) -> TurnHandle {
        let (alive, cancelled) = oneshot::channel();
        tokio::spawn(run::run(self.shared.clone(), ask, run::Outlet { key, out }, cancelled));
        TurnHandle { _alive: alive }
    }
}
