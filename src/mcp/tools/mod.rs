//! The hub's own tools, one file a family. Each is a definition and a handler; nothing here knows through which door it is
//! called.

mod audit;
mod bindings;
mod conversations;
pub mod devices;
mod groups;
mod history;
mod listing;
mod mcp_servers;
mod model_profiles;
mod network;
mod page;
mod pairing;
mod profiles;
mod rooms;
mod scenes;
pub mod search;
mod settings;
mod status;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
mod tool_overlays;
mod typed;
pub mod upstreams;
mod usage;
pub mod users;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::common::config::Config;
use crate::common::time::UnixMillis;
use crate::home::Keeper;
use crate::mcp::call::{Call, Fault, Outcome};
use crate::mcp::definition::Definition;
use crate::mcp::service::WeakService;
use crate::store::Store;

pub use typed::{Nothing, not_read, not_written, tool};

/// A tool of the hub's own.
pub trait Tool: Send + Sync {
    fn definition(&self) -> Arc<Definition>;

    /// Does it. The arguments fit the schema, and the caller has been let through. Dropping the future cancels.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>>;
}

/// What the hub's own tools work with.
pub struct House {
    pub store: Store,
    pub config: watch::Receiver<Arc<Config>>,
    pub version: &'static str,
    pub started_at_ms: UnixMillis,
    /// The house's clock.
    pub now: fn() -> jiff::Zoned,
    /// The devices; absent in a hub without any, as some tests have it.
    pub home: Option<Arc<Keeper>>,
    /// The service that holds these tools, once it is there.
    pub service: OnceLock<WeakService>,
}

/// The tools of the house itself: its devices, rooms, groups, scenes, and its radio.
pub fn of_the_home(home: &Arc<Keeper>, now: fn() -> jiff::Zoned) -> Vec<Arc<dyn Tool>> {
    [
        devices::tools(home),
        bindings::tools(home),
        rooms::tools(home),
        groups::tools(home),
        scenes::tools(home),
        history::tools(home, now),
        pairing::tools(home),
        network::tools(home),
    ]
    .concat()
}

/// The tools of all records, `status` and those about tools.
pub fn builtin(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    [
        status::tools(house),
        settings::tools(house),
        model_profiles::tools(house),
        profiles::tools(house),
        conversations::tools(house),
        usage::tools(house),
        audit::tools(house),
        mcp_servers::tools(house),
        tool_overlays::tools(house),
        listing::tools(house),
    ]
    .concat()
}
