//! Limits that more than one room must agree upon. A limit of one room alone stands beside the code that keeps it.

use std::time::Duration;

/// The longest WebSocket message taken, bytes. Text of a chat is far below; uploads will be binary frames of this size.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Requests of one session that run at once.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// What a session keeps to send again after a lost connection, bytes.
pub const REPLAY_BYTES_MAX: usize = 1024 * 1024;

/// How long a session and its requests live on without a socket: the minute that clients are promised, and the time that
/// both sides need to notice the loss.
pub const RESUME_TTL: Duration = Duration::from_secs(90);

/// News of turns on the way to one session. A full queue holds the provider back, byte by byte to its socket.
pub const TURN_QUEUE_LEN: usize = 64;
