//! How long the hub held each chunk of one stream: a small log-linear histogram. Pure.

use std::time::Duration;

/// Buckets to each doubling: a quantile is exact to a fifth.
const PER_OCTAVE: u32 = 4;

/// Doublings covered, from 1 µs: up to some 17 s, what is longer counts as that.
const OCTAVES: u32 = 24;

const BUCKETS: usize = (PER_OCTAVE * OCTAVES) as usize;

/// Delays of one stream. 400 bytes, so it is boxed by who holds many.
#[derive(Debug, Clone)]
pub struct Delays {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays { counts: [0; BUCKETS], total: 0 }
    }
}

impl Delays {
    pub fn record(&mut self, delay: Duration) {
        self.counts[bucket(delay)] += 1;
        self.total += 1;
    }

    /// The delay that `quantile` (0.0 to 1.0) of all stayed within, in microseconds; `None` before the first.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = (f64::from(self.total) * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(upper_us(at))
    }
}

fn bucket(delay: Duration) -> usize {
    let us = (delay.as_nanos() / 1000).clamp(1, u128::from(u32::MAX)) as u32;
    let octave = us.ilog2();
    // The two bits below the leading one.
    let quarter = if octave >= 2 { (us >> (octave - 2)) & 3 } else { (us << (2 - octave)) & 3 };
    ((octave * PER_OCTAVE + quarter) as usize).min(BUCKETS - 1)
}

/// The largest delay of a bucket, in microseconds.
fn upper_us(at: usize) -> u64 {
    let (octave, quarter) = (at as u32 / PER_OCTAVE, at as u32 % PER_OCTAVE);
    ((u64::from(quarter) + 5) << octave).div_ceil(u64::from(PER_OCTAVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_quarter_of_the_truth() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile_us(0.5), None);
        for us in 1..=1000 {
            delays.record(Duration::from_micros(us));
        }
        for (quantile, truth) in [(0.5, 500), (0.99, 990), (0.01, 10)] {
            let said = delays.quantile_us(quantile).expect("recorded");
            assert!(said >= truth && said <= truth * 5 / 4 + 2, "{quantile}: {said}");
        }
    }

    #[test]
    fn every_delay_has_its_bucket() {
        for delay in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(10), Duration::MAX] {
            let at = bucket(delay);
            assert!(at < BUCKETS, "{delay:?}");
        }
        for us in 1..100_000 {
            let at = bucket(Duration::from_micros(us));
            assert!(upper_us(at) >= us && (at == 0 || upper_us(at - 1) <= us), "{us} in {at}");
        }
    }
}
