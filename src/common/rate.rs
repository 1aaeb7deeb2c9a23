//! A token bucket: how many of something may come, in a burst and over time. Pure; the caller brings the clock.

use std::time::{Duration, Instant};

/// Holds up to `burst` tokens and gains one each `refill`.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    burst: u32,
    refill: Duration,
    tokens: u32,
    /// When the newest token was gained.
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(burst: u32, refill: Duration, now: Instant) -> TokenBucket {
        assert!(!refill.is_zero(), "a bucket that fills at once limits nothing");
        TokenBucket { burst, refill, tokens: burst, filled_at: now }
    }

    /// Takes a token; false when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled_at).as_nanos() / self.refill.as_nanos();
        if gained >= u128::from(self.burst - self.tokens) {
            self.tokens = self.burst;
            self.filled_at = now;
        } else {
            self.tokens += gained as u32;
            self.filled_at += self.refill * gained as u32;
        }
        let taken = self.tokens > 0;
        self.tokens -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_each_refill() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, Duration::from_millis(10), start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(!bucket.take(start + Duration::from_millis(9)));
        assert!(bucket.take(start + Duration::from_millis(10)));
        assert!(!bucket.take(start + Duration::from_millis(19)));
        assert!(bucket.take(start + Duration::from_millis(20)));
        assert_eq!((0..5).filter(|_| bucket.take(start + Duration::from_secs(60))).count(), 3);
    }
}
