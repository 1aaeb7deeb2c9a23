//! The world outside, simulated: what the hub goes out to and who comes to it, on real sockets, with faults on demand.

pub mod client;
pub mod devices;
pub mod dialects;
pub mod faults;
pub mod hub;
pub mod process;
pub mod provider;
pub mod puppets;
pub mod schema;

use std::time::Duration;

/// Nothing that a test waits for takes this long, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what comes in its time, and fails the test where it does not.
pub async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
