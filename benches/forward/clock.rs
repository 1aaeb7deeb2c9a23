//! The one clock of the whole benchmark: provider and clients are threads of one process, so a delay is a difference.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; that is what it is for")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static BEGINNING: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the first call.
pub fn now_ns() -> u64 {
    BEGINNING.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Sleeps this thread until then.
pub fn sleep_until(then_ns: u64) {
    std::thread::sleep(Duration::from_nanos(then_ns.saturating_sub(now_ns())));
}
