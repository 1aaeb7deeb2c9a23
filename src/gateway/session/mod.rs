//! `/ws/chat`: the WebSocket session. `wire` is its words, `state` its rules (sans-IO), `outbox` what waits for the
//! socket, `media` the form of pictures and sound, `ws` the driver, `socket` the WebSocket itself. Knows no provider: questions go to the router.

pub mod attachments;
mod called;
mod calls;
pub mod close;
mod delay;
mod elicit;
mod feeds;
pub mod handshake;
mod house;
mod inbox;
pub mod media;
mod outbox;
mod registry;
mod replay;
mod report;
mod requests;
pub mod socket;
pub mod state;
pub mod topics;
pub mod transmit;
mod watch;
pub mod wire;
mod ws;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Pass;
use crate::common::limits::MESSAGE_BYTES_MAX;
use crate::gateway::listen::Guard;
use crate::gateway::session::handshake::Opening;
use crate::gateway::session::socket::Socket;

pub use feeds::Feeds;
pub use registry::Registry;
pub use state::standing::AUTH_WITHIN;
pub use ws::Door;

/// From the answer to the handshake until the socket is ours: the caller has to take some 200 bytes.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);

/// Waits for the socket of an accepted handshake and begins its session. `pass`: who the client is, where it is known;
/// `v2`: the client asked for it there.
pub async fn begin(door: Door, pass: Option<Pass>, guard: Arc<Guard>, opening: Opening, v2: bool) {
    match tokio::time::timeout(OPENING_DEADLINE, opening).await {
        Ok(Ok((stream, read_ahead))) => {
            let socket = Socket::new(stream, read_ahead, MESSAGE_BYTES_MAX).await;
            // A task of its own, without the room that the handshake took.
            tokio::spawn(ws::run(door, pass, socket, guard, v2));
        }
        Ok(Err(error)) => tracing::debug!(%error, "the caller left during the handshake"),
        Err(_) => tracing::debug!("the caller did not take the handshake"),
    }
}
