//! How each provider has been doing, for all turns together: one that keeps failing is passed over for a while, one that
//! said when to come back is left alone until then. Reads no clock and asks nobody.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::common::chat::{Allowance, RateLimits};
use crate::common::config::ProviderName;
use crate::common::error::{Failure, ProviderError};
use crate::router::tools::refusal::Refusals;

/// Failures in a row after which a provider is passed over. One or two happen to the best.
const STRIKES_MAX: u32 = 3;

/// The first pause of a provider that failed so often; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The longest of these pauses: a provider that is back should not stay unused for longer.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The pause of a provider whose key or account is at fault. Only its owner can mend that; a new configuration ends the
/// pause, and credit that was added is found after so long.
const PAUSE_KEY: Duration = Duration::from_secs(900);

/// The longest pause that a provider can ask for with `retry-after`: a figure that is wrong should not cost a day.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(3600);

/// The longest pause because nothing was left of an allowance. Its reset says when all is there again, and not when
/// something is.
const PAUSE_USED_UP_MAX: Duration = Duration::from_secs(60);

/// For so long the one question that tries a provider out keeps the others away. It may have been cancelled since.
const PROBE: Duration = Duration::from_secs(10);

/// See the module. One for each roster: what was learned of the old configuration says nothing of the new one.
#[derive(Default)]
pub struct Health {
    states: Mutex<BTreeMap<ProviderName, State>>,
    /// Who refuses tools.
    pub tools: Refusals,
}

/// What is known of one provider; absent where there is nothing to remember.
#[derive(Default)]
struct State {
    /// Failures since the last whole answer.
    strikes: u32,
    /// Pauses since then.
    pauses: u32,
    /// Ends with an answer, tried out by one question once its time is over.
    pause: Option<Pause>,
    /// Ends with its time and by nothing else: the provider or its headers named it.
    rated: Option<Pause>,
}

struct Pause {
    until: Instant,
    why: ProviderError,
    /// Its time was over, and one question is out to see.
    tried: bool,
}

impl Health {
    /// Whether the provider may be asked. `Ok` may be the one question that tries it out; the error says why it is passed
    /// over, and in `retry_after` for how long.
    pub fn admit(&self, name: ProviderName, now: Instant) -> Result<(), ProviderError> {
        let mut states = self.lock();
        let Some(state) = states.get_mut(&name) else { return Ok(()) };
        if let Some(pause) = state.current(now) {
            let left = pause.until - now;
            let message = format!("passed over for {} s more: {}", left.as_secs_f64().ceil(), pause.why.message);
            return Err(ProviderError { message, retry_after: Some(left), ..pause.why.clone() });
        }
        if let Some(pause) = &mut state.pause {
            (pause.until, pause.tried) = (now + PROBE, true);
            tracing::info!(provider = name.as_str(), "a provider that was passed over is tried again");
        }
        Ok(())
    }

    /// Whether [`Health::admit`] would let it be asked.
    pub fn is_fit(&self, name: ProviderName, now: Instant) -> bool {
        self.fit_at(name, now) <= now
    }

    /// When it would.
    pub fn fit_at(&self, name: ProviderName, now: Instant) -> Instant {
        self.lock().get(&name).and_then(|state| state.current(now)).map_or(now, |pause| pause.until)
    }

    /// It has begun to answer.
    pub fn answers(&self, name: ProviderName) {
        if let Some(state) = self.lock().get_mut(&name)
            && state.pause.take().is_some()
        {
            // If it breaks off, the next pause is the longer one.
            state.strikes = STRIKES_MAX - 1;
            tracing::info!(provider = name.as_str(), "a provider answers again");
        }
    }

    /// Its answer was whole.
    pub fn whole(&self, name: ProviderName) {
        let mut states = self.lock();
        let Some(state) = states.get_mut(&name) else { return };
        if state.rated.is_none() {
            states.remove(&name);
        } else {
            *state = State { rated: state.rated.take(), ..State::default() };
        }
    }

    /// It gave no answer, or, where it had `begun`, not all of one.
    pub fn failed(&self, name: ProviderName, now: Instant, error: &ProviderError, begun: bool) {
        let is_paused = |state: &State| state.pause.as_ref().is_some_and(|pause| now < pause.until && !pause.tried);
        if self.lock().get(&name).is_some_and(is_paused) {
            // Was asked before the pause began, or by somebody who wanted nobody else: nothing new.
            return;
        }
        let asked_for = error.retry_after.filter(|wait| !wait.is_zero()).map(|wait| wait.min(PAUSE_ASKED_MAX));
        match (error.failure, asked_for) {
            // The request's own fault.
            (Failure::Rejected | Failure::TooLarge | Failure::Unsupported, _) => {}
            (Failure::Auth | Failure::QuotaExhausted, _) => self.pause(name, now, PAUSE_KEY, error),
            (Failure::RateLimited, Some(wait)) => self.rate(name, now, wait, error),
            // Somebody has waited long enough for one that said nothing until our deadline.
            (Failure::Timeout, _) if error.status.is_none() && !begun => self.strike(name, now, error, STRIKES_MAX),
            _ => self.strike(name, now, error, 1),
        }
    }

    /// What its headers say of the questions that are left.
    pub fn limits(&self, name: ProviderName, now: Instant, limits: &RateLimits) {
        for (what, allowance) in [("requests", limits.requests), ("tokens", limits.tokens)] {
            if let Some(Allowance { remaining: 0, reset: Some(reset) }) = allowance
                && !reset.is_zero()
            {
                let why = ProviderError::new(Failure::RateLimited, format!("it has no {what} left for us"));
                self.rate(name, now, reset.min(PAUSE_USED_UP_MAX), &why);
            }
        }
    }

    fn strike(&self, name: ProviderName, now: Instant, error: &ProviderError, strikes: u32) {
        let mut states = self.lock();
        let state = states.entry(name).or_default();
        state.strikes = state.strikes.saturating_add(strikes);
        if state.strikes < STRIKES_MAX {
            return;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << state.pauses.min(16)).min(PAUSE_MAX);
        state.pauses += 1;
        drop(states);
        self.pause(name, now, pause, error);
    }

    fn pause(&self, name: ProviderName, now: Instant, pause: Duration, why: &ProviderError) {
        let begun = Pause { until: now + pause, why: why.clone(), tried: false };
        self.lock().entry(name).or_default().pause = Some(begun);
        log(name, pause, why);
    }

    fn rate(&self, name: ProviderName, now: Instant, wait: Duration, why: &ProviderError) {
        let mut states = self.lock();
        let rated = &mut states.entry(name).or_default().rated;
        if rated.as_ref().is_some_and(|rated| rated.until >= now + wait) {
            return;
        }
        *rated = Some(Pause { until: now + wait, why: why.clone(), tried: false });
        drop(states);
        log(name, wait, why);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderName, State>> {
        self.states.lock().expect("nothing panics with the lock held")
    }
}

fn log(name: ProviderName, pause: Duration, why: &ProviderError) {
    let (provider, failure, pause_s) = (name.as_str(), tracing::field::debug(why.failure), pause.as_secs());
    match why.failure {
        Failure::Auth | Failure::QuotaExhausted => {
            tracing::warn!(provider, failure, pause_s, "a provider is passed over: its key or account is to be mended");
        }
        _ => tracing::info!(provider, failure, pause_s, "a provider is passed over for a while"),
    }
}

impl State {
    /// The pause that lasts longest of those that last.
    fn current(&self, now: Instant) -> Option<&Pause> {
        let lasting = [&self.pause, &self.rated].into_iter().flatten().filter(|pause| now < pause.until);
        lasting.max_by_key(|pause| pause.until)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LOCAL: ProviderName = ProviderName::Local;
    const OPENAI: ProviderName = ProviderName::Openai;

    fn error(failure: Failure) -> ProviderError {
        ProviderError { status: Some(500), ..ProviderError::new(failure, "no") }
    }

    fn after(wait: Duration) -> ProviderError {
        ProviderError { retry_after: Some(wait), ..error(Failure::RateLimited) }
    }

    /// Fails until it is passed over.
    fn fail_out(health: &Health, now: Instant) {
        (0..STRIKES_MAX).for_each(|_| health.failed(LOCAL, now, &error(Failure::Failed), false));
    }

    #[test]
    fn three_failures_in_a_row_are_too_many_and_a_whole_answer_between_them_counts() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..5 {
            health.failed(LOCAL, now, &error(Failure::CutOff), false);
            health.failed(LOCAL, now, &error(Failure::Unreachable), false);
            assert!(health.is_fit(LOCAL, now));
            health.whole(LOCAL);
        }
        fail_out(&health, now);
        let why = health.admit(LOCAL, now).expect_err("passed over");
        assert_eq!((why.failure, why.retry_after), (Failure::Failed, Some(PAUSE_FIRST)));
        assert_eq!(why.message, "passed over for 5 s more: no");
        assert!(health.is_fit(OPENAI, now), "its neighbour is well");
    }

    #[test]
    fn the_requests_own_fault_is_nobody_elses() {
        let (health, now) = (Health::default(), Instant::now());
        for failure in [Failure::Rejected, Failure::TooLarge, Failure::Unsupported] {
            (0..9).for_each(|_| health.failed(LOCAL, now, &error(failure), false));
        }
        assert!(health.is_fit(LOCAL, now));
    }

    #[test]
    fn one_question_tries_it_out_and_its_end_decides() {
        let (health, mut now) = (Health::default(), Instant::now());
        fail_out(&health, now);
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            health.failed(LOCAL, now + SECOND, &error(Failure::Failed), false);
            assert!(health.admit(LOCAL, now + pause * SECOND - SECOND / 2).is_err(), "{pause}");
            now += pause * SECOND;
            assert_eq!(health.admit(LOCAL, now), Ok(()), "the one that tries it out");
            assert!(health.admit(LOCAL, now).is_err(), "one is enough");
            health.failed(LOCAL, now, &error(Failure::Failed), false);
        }
        now += PAUSE_MAX;
        assert_eq!(health.admit(LOCAL, now), Ok(()));
        health.answers(LOCAL);
        assert_eq!(health.admit(LOCAL, now), Ok(()), "open to all");
        health.failed(LOCAL, now, &error(Failure::CutOff), false);
        assert!(health.admit(LOCAL, now + PAUSE_MAX - SECOND).is_err(), "it broke off");
        now += PAUSE_MAX;
        assert_eq!(health.admit(LOCAL, now), Ok(()));
        health.whole(LOCAL);
        health.failed(LOCAL, now, &error(Failure::Failed), false);
        assert!(health.is_fit(LOCAL, now), "all is forgotten");
    }

    #[test]
    fn a_trial_that_never_ends_keeps_nobody_away() {
        let (health, now) = (Health::default(), Instant::now());
        fail_out(&health, now);
        assert_eq!(health.admit(LOCAL, now + PAUSE_FIRST), Ok(()));
        assert!(health.admit(LOCAL, now + PAUSE_FIRST + PROBE - SECOND).is_err());
        assert_eq!(health.admit(LOCAL, now + PAUSE_FIRST + PROBE), Ok(()));
    }

    #[test]
    fn a_key_or_an_account_at_fault_is_left_for_long_at_once() {
        for failure in [Failure::Auth, Failure::QuotaExhausted] {
            let (health, now) = (Health::default(), Instant::now());
            health.failed(LOCAL, now, &error(failure), false);
            assert_eq!(health.fit_at(LOCAL, now), now + PAUSE_KEY, "{failure:?}");
        }
    }

    #[test]
    fn whoever_says_when_is_left_alone_until_then_whatever_others_get() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed(LOCAL, now, &after(7 * SECOND), false);
        health.failed(LOCAL, now, &after(3 * SECOND), false);
        assert_eq!(health.fit_at(LOCAL, now), now + 7 * SECOND);
        // One that was asked before is answered.
        health.answers(LOCAL);
        health.whole(LOCAL);
        assert_eq!(health.fit_at(LOCAL, now), now + 7 * SECOND);
        let then = now + 7 * SECOND;
        assert_eq!((health.admit(LOCAL, then), health.admit(LOCAL, then)), (Ok(()), Ok(())));
        health.failed(LOCAL, now, &after(Duration::from_secs(86_400)), false);
        assert_eq!(health.fit_at(LOCAL, now), now + PAUSE_ASKED_MAX);
        // 429 without a time, or with none to wait, is a failure like others.
        health.failed(OPENAI, now, &after(Duration::ZERO), false);
        health.failed(OPENAI, now, &error(Failure::RateLimited), false);
        assert!(health.is_fit(OPENAI, now));
    }

    #[test]
    fn an_allowance_that_is_used_up_is_waited_for() {
        let (health, now) = (Health::default(), Instant::now());
        let left = |remaining, reset| Some(Allowance { remaining, reset });
        for nothing in [left(1, Some(SECOND)), left(0, None), left(0, Some(Duration::ZERO)), None] {
            health.limits(LOCAL, now, &RateLimits { requests: nothing, tokens: None });
        }
        assert!(health.is_fit(LOCAL, now));
        health.limits(LOCAL, now, &RateLimits { requests: left(9, Some(SECOND)), tokens: left(0, Some(2 * SECOND)) });
        assert_eq!(health.fit_at(LOCAL, now), now + 2 * SECOND);
        health.limits(LOCAL, now, &RateLimits { requests: left(0, Some(600 * SECOND)), tokens: None });
        assert_eq!(health.fit_at(LOCAL, now), now + PAUSE_USED_UP_MAX);
        let why = health.admit(LOCAL, now).expect_err("used up").message;
        assert_eq!(why, "passed over for 60 s more: it has no requests left for us");
    }

    #[test]
    fn a_deadline_that_passed_is_enough() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed(LOCAL, now, &error(Failure::Timeout), false);
        assert!(health.is_fit(LOCAL, now), "its own 504 is one of three");
        health.failed(OPENAI, now, &ProviderError::new(Failure::Timeout, "no word"), false);
        assert!(!health.is_fit(OPENAI, now));
        let health = Health::default();
        health.failed(OPENAI, now, &ProviderError::new(Failure::Timeout, "went silent"), true);
        assert!(health.is_fit(OPENAI, now), "it had begun");
    }
}
