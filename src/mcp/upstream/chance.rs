//! What a driver brings to the state machines: the time and chance.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machines")]

use std::time::Instant;

use tokio::time::Instant as TokioInstant;

/// Tokio's clock, which tests hold still, as the state machine wants it.
pub trait NowStd {
    fn now_std() -> Instant;
}

impl NowStd for Instant {
    fn now_std() -> Instant {
        TokioInstant::now().into_std()
    }
}

/// A random number from 0 to below 1.
pub fn roll() -> f64 {
    let mut bytes = [0u8; 4];
    getrandom::fill(&mut bytes).expect("the kernel's random source does not fail once the system is up");
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
