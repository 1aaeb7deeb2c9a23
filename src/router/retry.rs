//! Whether and when a provider that failed is asked once more before the next one is: pure policy. Time and chance come in
//! as arguments.

use std::time::{Duration, Instant};

use crate::common::error::{Failure, ProviderError};

/// The longest first wait where the provider names none; each further one may be twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// The longest wait where the provider names none.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Added by chance to a wait that the provider named, so that not all who were sent away come back in one moment.
const JITTER_MAX: Duration = Duration::from_millis(250);

/// While somebody else could answer, nobody waits longer for one that fails.
const BESIDE_OTHERS: Duration = Duration::from_secs(2);

/// A server that is still loading its model is asked no more often.
const LOADING_WAIT_MIN: Duration = Duration::from_secs(1);

/// What a decision is made from.
pub struct Tried<'a> {
    pub error: &'a ProviderError,
    /// How often it was asked again already.
    pub tries: u32,
    /// `providers.retries`.
    pub retries: u32,
    /// Somebody else of the chain could be asked in its place.
    pub has_others: bool,
    /// When it was first asked.
    pub since: Instant,
    /// Until its first content.
    pub first_token: Duration,
}

/// When to ask it again; `None`: it has had its chance. To be asked only while nothing of an answer has come. `roll` is
/// chance, from 0.0 to 1.0.
pub fn again_at(tried: &Tried<'_>, now: Instant, roll: f64) -> Option<Instant> {
    let Tried { error, tries, retries, has_others, since, first_token } = *tried;
    let is_loading = error.status == Some(503) && error.retry_after.is_some();
    let asks_on = tries < retries || (is_loading && !has_others && retries > 0);
    if !may_pass(error) || !asks_on {
        return None;
    }
    let wait = match error.retry_after {
        Some(wait) if tries >= retries => wait.max(LOADING_WAIT_MIN) + JITTER_MAX.mul_f64(roll),
        Some(wait) => wait + JITTER_MAX.mul_f64(roll),
        None => backoff(tries).mul_f64(roll),
    };
    let patience = if has_others { BESIDE_OTHERS.min(first_token) } else { first_token };
    Some(now + wait).filter(|at| *at < since + patience)
}

/// "Full jitter": anything from nothing to this.
fn backoff(tries: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << tries.min(16)).min(BACKOFF_MAX)
}

/// Whether the same question may well be answered a moment later.
fn may_pass(error: &ProviderError) -> bool {
    match error.failure {
        Failure::Unreachable | Failure::CutOff | Failure::Failed | Failure::RateLimited => true,
        // Its own word. A deadline of ours has taken enough time.
        Failure::Timeout => error.status.is_some(),
        Failure::Auth
        | Failure::QuotaExhausted
        | Failure::TooLarge
        | Failure::Rejected
        | Failure::Unsupported
        | Failure::BadStream => false,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(failure: Failure, status: u16, retry_after: Option<Duration>) -> ProviderError {
        ProviderError { status: Some(status), retry_after, ..ProviderError::new(failure, "no") }
    }

    /// The wait, milliseconds, of one that has just failed for the `tries + 1`st time of three.
    fn wait_ms(error: &ProviderError, tries: u32, has_others: bool, roll: f64) -> Option<u128> {
        let now = Instant::now();
        let tried = Tried { error, tries, retries: 2, has_others, since: now, first_token: 60 * SECOND };
        again_at(&tried, now, roll).map(|at| (at - now).as_millis())
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for failure in [Failure::Unreachable, Failure::CutOff, Failure::Failed, Failure::RateLimited, Failure::Timeout]
        {
            assert_eq!(wait_ms(&error(failure, 500, None), 0, true, 1.0), Some(250), "{failure:?}");
            assert_eq!(wait_ms(&error(failure, 500, None), 2, true, 1.0), None, "{failure:?}: that was the last time");
        }
        for failure in [
            Failure::Auth,
            Failure::QuotaExhausted,
            Failure::TooLarge,
            Failure::Rejected,
            Failure::Unsupported,
            Failure::BadStream,
        ] {
            assert_eq!(wait_ms(&error(failure, 400, Some(Duration::ZERO)), 0, false, 0.0), None, "{failure:?}");
        }
        assert_eq!(wait_ms(&ProviderError::new(Failure::Timeout, "our own deadline"), 0, false, 0.0), None);
    }

    #[test]
    fn waits_double_and_are_left_to_chance() {
        let failed = error(Failure::Failed, 500, None);
        let waits = [(0, 1.0), (1, 1.0), (1, 0.5), (1, 0.0)].map(|(tries, roll)| wait_ms(&failed, tries, true, roll));
        assert_eq!(waits, [Some(250), Some(500), Some(250), Some(0)]);
        assert_eq!((0..40).map(backoff).max(), Some(BACKOFF_MAX));
    }

    #[test]
    fn a_wait_that_was_named_is_kept_to() {
        let limited = |wait_ms| error(Failure::RateLimited, 429, Some(Duration::from_millis(wait_ms)));
        assert_eq!(wait_ms(&limited(0), 0, true, 0.0), Some(0));
        assert_eq!(wait_ms(&limited(1500), 0, true, 0.0), Some(1500), "never too early");
        assert_eq!(wait_ms(&limited(1500), 0, true, 1.0), Some(1750));
        assert_eq!(wait_ms(&limited(2000), 0, true, 0.0), None, "another one answers sooner");
        assert_eq!(wait_ms(&limited(50_000), 1, false, 0.0), Some(50_000), "nobody else could");
        assert_eq!(wait_ms(&limited(60_000), 1, false, 0.0), None, "the deadline comes first");
    }

    #[test]
    fn a_model_that_loads_is_waited_for_where_nobody_else_is() {
        let loading = error(Failure::Failed, 503, Some(Duration::from_millis(500)));
        assert_eq!(wait_ms(&loading, 1, false, 0.0), Some(500));
        assert_eq!(wait_ms(&loading, 2, false, 0.0), Some(1000));
        assert_eq!(wait_ms(&loading, 99, false, 0.0), Some(1000));
        assert_eq!(wait_ms(&loading, 2, true, 0.0), None);
        assert_eq!(wait_ms(&error(Failure::Failed, 503, None), 2, false, 0.0), None, "it does not say that it loads");
        let now = Instant::now();
        let tried = |retries, since| Tried {
            error: &loading,
            tries: 9,
            retries,
            has_others: false,
            since,
            first_token: 9 * SECOND,
        };
        assert_eq!(again_at(&tried(2, now), now + 8 * SECOND, 0.0), None, "not past its deadline");
        assert_eq!(again_at(&tried(0, now), now, 0.0), None, "the owner wants none asked twice");
    }

    #[test]
    fn whoever_took_long_to_fail_is_not_waited_for_beside_others() {
        let (failed, now) = (error(Failure::Failed, 500, None), Instant::now());
        let tried = |has_others| Tried {
            error: &failed,
            tries: 0,
            retries: 2,
            has_others,
            since: now,
            first_token: 60 * SECOND,
        };
        assert_eq!(again_at(&tried(true), now + 2 * SECOND, 0.0), None);
        assert_eq!(again_at(&tried(false), now + 2 * SECOND, 0.0), Some(now + 2 * SECOND));
    }
}
