//! How one server is doing, and what to do when a call comes: use it, start it, wait for it, or say at once that it is broken. A
//! state machine: time and chance come in as arguments; it starts nothing itself.
//!
//! A server that fails is tried again when somebody calls, at most once a second or so. A start that takes long may be a slow program
//! or a hanging one. So it goes on in peace, and once it is suspicious a second, short one is tried beside it when somebody calls: a server
//! that hung and works again is found by that.

use std::time::{Duration, Instant};

/// The longest start: a package runner may have to fetch a program first.
pub const START_MAX: Duration = Duration::from_secs(60);

/// A start that takes longer than this is suspicious, where the server is known to be quicker.
pub const START_USUAL: Duration = Duration::from_millis(1500);

/// The same where the server was never up: its program may have to be fetched, which a second start beside it would not hasten.
pub const START_FIRST: Duration = Duration::from_secs(5);

/// Between the beginnings of two starts of a broken server, and the longest that a caller is told to wait.
pub const RETRY_MAX: Duration = Duration::from_secs(1);

/// After the first failure.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// Having been up for so long, a server is well again whatever it did before.
const STEADY: Duration = Duration::from_secs(10);

/// Calls without an answer, one after the other, after which a server that is up is started anew.
const TIMEOUTS_MAX: u32 = 3;

/// How much of a new measurement goes into the average.
const WEIGHT: f64 = 0.2;

/// Starts at once: the patient one and the short one beside it.
const STARTS_MAX: usize = 2;

/// The number of a start, for as long as the hub runs.
pub type StartId = u64;

/// What to do for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It is there.
    Use,
    /// Start it, with this deadline, and wait as for [`Advice::Wait`].
    Start { id: StartId, deadline: Duration, patience: Duration },
    /// It is being started. Wait for that, but not longer than this.
    Wait { patience: Duration },
    /// It is broken; asking again is worth it after this time.
    Refuse { retry_after: Duration },
}

/// What a server is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Stopped,
    Starting,
    Up,
    Broken,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Health {
    starts: Vec<(StartId, Instant)>,
    last_id: StartId,
    last_start: Option<Instant>,
    up_since: Option<Instant>,
    /// Since it was last well.
    failures: u32,
    last_failure: Option<Box<str>>,
    retry_at: Option<Instant>,
    timeouts: u32,
    /// Averages.
    start_took: Option<Duration>,
    call_takes: Option<Duration>,
}

impl Health {
    /// A call came, or somebody else wants the server.
    pub fn want(&mut self, now: Instant) -> Advice {
        if self.up_since.is_some() {
            return Advice::Use;
        }
        let usual = self.usual_start();
        let Some((_, first)) = self.starts.first() else {
            return match self.retry_at.filter(|at| *at > now) {
                Some(at) => Advice::Refuse { retry_after: at - now },
                None => self.start(now, START_MAX),
            };
        };
        let is_suspicious = self.failures > 0 || now.duration_since(*first) >= usual;
        let is_due = self.last_start.is_none_or(|at| now.duration_since(at) >= RETRY_MAX.max(usual));
        if is_suspicious && is_due && self.starts.len() < STARTS_MAX {
            return self.start(now, usual);
        }
        Advice::Wait { patience: self.patience() }
    }

    /// A start came to its end: the server is ready.
    pub fn started(&mut self, id: StartId, now: Instant) {
        let Some(at) = self.starts.iter().position(|(of, _)| *of == id) else { return };
        let took = now.duration_since(self.starts[at].1);
        self.start_took = Some(average(self.start_took, took));
        self.starts.clear();
        self.up_since = Some(now);
        self.timeouts = 0;
    }

    /// A start failed. Says whether others still go on. `roll` is a random number from 0 to below 1.
    pub fn start_failed(&mut self, id: StartId, why: &str, now: Instant, roll: f64) -> bool {
        let was_known = self.starts.iter().any(|(of, _)| *of == id);
        self.starts.retain(|(of, _)| *of != id);
        if was_known && self.up_since.is_none() {
            self.fail(why, now, roll);
        }
        !self.starts.is_empty()
    }

    /// A start was called off for a reason that is not the server's.
    pub fn called_off(&mut self, id: StartId) {
        self.starts.retain(|(of, _)| *of != id);
    }

    /// The server that was up is gone.
    pub fn lost(&mut self, why: &str, now: Instant, roll: f64) {
        let Some(since) = self.up_since.take() else { return };
        if now.duration_since(since) >= STEADY {
            self.failures = 0;
        }
        self.fail(why, now, roll);
        // It worked a moment ago: the first loss costs nobody a wait.
        if self.failures == 1 {
            self.retry_at = None;
        }
    }

    /// It was stopped on purpose, or a start was called off: no fault of its own.
    pub fn stopped(&mut self) {
        self.up_since = None;
        self.starts.clear();
    }

    /// Why it failed is mended: it is tried again at once.
    pub fn forgiven(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    /// A call was answered.
    pub fn answered(&mut self, took: Duration) {
        self.call_takes = Some(average(self.call_takes, took));
        self.timeouts = 0;
        self.forgiven();
    }

    /// A call was not answered in time. True: the server is to be started anew.
    pub fn timed_out(&mut self) -> bool {
        self.timeouts += 1;
        self.timeouts >= TIMEOUTS_MAX
    }

    pub fn doing(&self) -> Doing {
        match (self.up_since, self.failures) {
            (Some(_), _) => Doing::Up,
            (None, 1..) => Doing::Broken,
            (None, 0) if self.starts.is_empty() => Doing::Stopped,
            (None, 0) => Doing::Starting,
        }
    }

    /// What went wrong last, until it is well again.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long a call takes, on average.
    pub fn call_takes(&self) -> Option<Duration> {
        self.call_takes
    }

    fn start(&mut self, now: Instant, deadline: Duration) -> Advice {
        self.last_id += 1;
        self.starts.push((self.last_id, now));
        self.last_start = Some(now);
        Advice::Start { id: self.last_id, deadline, patience: self.patience() }
    }

    /// How long a start may take without being suspicious.
    fn usual_start(&self) -> Duration {
        self.start_took.map_or(START_FIRST, |took| (4 * took).clamp(START_USUAL, START_MAX))
    }

    /// How long a caller waits for a start: where the server has failed, no longer than one usually takes.
    fn patience(&self) -> Duration {
        if self.failures > 0 { self.usual_start() } else { START_MAX }
    }

    fn fail(&mut self, why: &str, now: Instant, roll: f64) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(why.into());
        let doubled = RETRY_MIN * 2u32.pow((self.failures - 1).min(10));
        // Up to a fifth less, so that servers that failed together are not tried together.
        self.retry_at = Some(now + doubled.min(RETRY_MAX).mul_f64(1.0 - 0.2 * roll.clamp(0.0, 1.0)));
    }
}

fn average(known: Option<Duration>, measured: Duration) -> Duration {
    known.map_or(measured, |known| known.mul_f64(1.0 - WEIGHT) + measured.mul_f64(WEIGHT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
    fn begin() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn id_of(advice: Advice) -> StartId {
        let Advice::Start { id, .. } = advice else { panic!("{advice:?}") };
        id
    }

    #[test]
    fn a_server_starts_at_its_first_call_and_the_second_waits_for_that() {
        let (mut health, t) = (Health::default(), begin());
        let id = id_of(health.want(t));
        assert_eq!(health.want(t + ms(5)), Advice::Wait { patience: START_MAX });
        assert_eq!(health.doing(), Doing::Starting);
        health.started(id, t + ms(40));
        assert_eq!((health.want(t + ms(50)), health.doing()), (Advice::Use, Doing::Up));
    }

    #[test]
    fn what_crashes_at_its_start_is_tried_once_a_second_at_most() {
        let (mut health, mut t) = (Health::default(), begin());
        let (from, mut starts) = (t, 0);
        while t < from + ms(20_000) {
            if let Advice::Start { id, .. } = health.want(t) {
                starts += 1;
                assert!(!health.start_failed(id, "it ended with 1", t + ms(1), 0.5));
            }
            t += ms(10);
        }
        assert!((15..=30).contains(&starts), "{starts}");
        let Advice::Refuse { retry_after } = health.want(t) else { panic!("it was tried just now") };
        assert!(retry_after <= RETRY_MAX);
        assert_eq!(health.doing(), Doing::Broken);
    }

    #[test]
    fn what_hangs_is_tried_beside_and_found_within_two_seconds() {
        // Was well, and hangs at each start from then on; can start again from `mends_at` on, in 100 ms.
        for mends_at in (3_000..9_000).step_by(70) {
            let (mut health, from) = (Health::default(), begin());
            let id = id_of(health.want(from));
            health.started(id, from + ms(100));
            health.stopped();
            let mut running: Vec<(StartId, u64, u64)> = Vec::new();
            let up_at = (0u64..).step_by(10).find(|at| {
                let now = from + ms(*at);
                running.retain(|(id, began, deadline)| match () {
                    () if *began >= mends_at && *at >= began + 100 => {
                        health.started(*id, now);
                        false
                    }
                    () if at >= deadline => {
                        health.start_failed(*id, "it hangs", now, 0.0);
                        false
                    }
                    () => true,
                });
                if let Advice::Start { id, deadline, .. } = health.want(now) {
                    running.push((id, *at, at + u64::try_from(deadline.as_millis()).expect("short")));
                }
                assert!(running.len() <= STARTS_MAX);
                health.doing() == Doing::Up
            });
            let took = up_at.expect("it gets up") - mends_at;
            assert!(took < 2_000, "{took} ms after {mends_at}");
        }
    }

    #[test]
    fn a_slow_server_is_waited_for() {
        let (mut health, t) = (Health::default(), begin());
        let id = id_of(health.want(t));
        assert!(matches!(health.want(t + ms(2_000)), Advice::Wait { .. }));
        let beside = id_of(health.want(t + ms(6_000)));
        health.start_failed(beside, "no greeting within 5 s", t + ms(11_000), 0.0);
        health.started(id, t + ms(20_000));
        assert_eq!(health.want(t + ms(20_001)), Advice::Use);
        // From now on it is known to be slow.
        health.stopped();
        let id = id_of(health.want(t + ms(30_000)));
        assert!(matches!(health.want(t + ms(45_000)), Advice::Wait { .. }));
        health.started(id, t + ms(50_000));
    }

    #[test]
    fn one_that_was_well_and_is_killed_is_started_at_once() {
        let (mut health, t) = (Health::default(), begin());
        let id = id_of(health.want(t));
        health.started(id, t);
        health.answered(ms(3));
        health.lost("it was killed", t + ms(100), 0.0);
        let id = id_of(health.want(t + ms(101)));
        health.started(id, t + ms(150));
        health.lost("it was killed", t + ms(200), 0.0);
        assert!(matches!(health.want(t + ms(201)), Advice::Refuse { .. }), "the second time is no accident");
        assert_eq!(health.last_failure(), Some("it was killed"));
    }

    #[test]
    fn calls_without_an_answer_end_in_a_new_start() {
        let mut health = Health::default();
        assert!(!health.timed_out() && !health.timed_out());
        health.answered(ms(10));
        assert!(!health.timed_out() && !health.timed_out() && health.timed_out());
    }

    proptest! {
        #[test]
        fn whatever_happens_somebody_who_waits_waits_for_something(steps in prop::collection::vec((0u8..6, 0u64..3_000), 0..200)) {
            let (mut health, mut now) = (Health::default(), begin());
            let mut running = Vec::new();
            for (step, later) in steps {
                now += ms(later);
                match step {
                    0 | 1 => match health.want(now) {
                        Advice::Start { id, .. } => running.push(id),
                        Advice::Wait { .. } => prop_assert!(!running.is_empty()),
                        Advice::Refuse { retry_after } => prop_assert!(retry_after <= RETRY_MAX),
                        Advice::Use => prop_assert_eq!(health.doing(), Doing::Up),
                    },
                    2 => if let Some(id) = running.pop() {
                        health.started(id, now);
                        running.clear();
                    },
                    3 => if let Some(id) = running.pop() {
                        prop_assert_eq!(health.start_failed(id, "x", now, 0.3), !running.is_empty());
                    },
                    4 => health.lost("y", now, 0.9),
                    _ => {
                        health.stopped();
                        running.clear();
                    }
                }
                prop_assert!(running.len() <= STARTS_MAX);
            }
        }
    }
}
