//! Time as data. The clocks themselves are read by drivers and by `app.rs` only (see `clippy.toml`).

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;

/// Whole milliseconds for logs and the wire; a duration over 584 million years saturates.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
