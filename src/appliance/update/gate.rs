//! Whether what worked before an update works after it: a judge that is told how the hub is every few seconds, and says at some time
//! that it is good or why it is not. Reads no clock, asks nobody. Providers do not count: they may be away for reasons of their own.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All has to be well for so long, without a break.
pub const HOLD: Duration = Duration::from_secs(10 * 60);

/// What the hub has besides: to start (a store is read as a whole), and to find its devices again.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Between two looks.
pub const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// The hub says how it is a few times in half a minute. One that has said nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A hub that was started so often in the time of a trial is not going to stay up.
const STARTS_MAX: u32 = 4;

/// The file in the hub's runtime folder (`/run/hearth-hub`).
pub const PULSE_FILE: &str = "pulse.json";

/// What of the hub has to work. It writes this into its runtime folder whenever its watchdog is fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// Sources of devices (a stick, a broker) that are up.
    pub radios_up: u32,
    /// Devices that it knows.
    pub devices: u32,
    /// Devices that can be reached.
    pub available: u32,
}

/// One saying of a hub: `beat` is 1 after its start, and one more each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    pub beat: u64,
    /// Where its gateway listens.
    pub address: SocketAddr,
    #[serde(flatten)]
    pub vitals: Vitals,
}

/// What a look found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// The gateway answers, as a hub.
    pub answers: bool,
    pub pulse: Option<Pulse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet; what is missing, or that all is well so far.
    Wait(String),
    Good,
    /// Why it is not kept.
    Bad(String),
}

/// See the module. Times are since the trial began.
#[derive(Debug)]
pub struct Gate {
    before: Vitals,
    hold: Duration,
    patience: Duration,
    pulse: Option<(Pulse, Duration)>,
    starts: u32,
    well_since: Option<Duration>,
}

impl Gate {
    pub fn new(before: Vitals, hold: Duration, patience: Duration) -> Gate {
        Gate { before, hold, patience, pulse: None, starts: 0, well_since: None }
    }

    pub fn look(&mut self, now: Duration, look: Look) -> Verdict {
        if let Some(pulse) = look.pulse
            && self.pulse.is_none_or(|(last, _)| last != pulse)
        {
            let is_anew = self.pulse.is_none_or(|(last, _)| pulse.beat < last.beat);
            if is_anew {
                self.starts += 1;
                self.well_since = None;
            }
            self.pulse = Some((pulse, now));
        }
        if self.starts >= STARTS_MAX {
            return Verdict::Bad(format!("the hub was started {STARTS_MAX} times"));
        }
        let missing = self.missing(now, look);
        match &missing {
            Some(_) => self.well_since = None,
            None => {
                let since = *self.well_since.get_or_insert(now);
                if now - since >= self.hold {
                    return Verdict::Good;
                }
            }
        }
        let missing = missing.unwrap_or_else(|| "all is well so far".into());
        match now >= self.hold + self.patience {
            true => Verdict::Bad(missing),
            false => Verdict::Wait(missing),
        }
    }

    /// What does not work that worked before.
    fn missing(&self, now: Duration, look: Look) -> Option<String> {
        if !look.answers {
            return Some("the gateway does not answer".into());
        }
        let Some((pulse, _)) = self.pulse.filter(|(_, at)| now - *at <= SILENCE_MAX) else {
            return Some("the hub does not say how it is".into());
        };
        let (before, after) = (self.before, pulse.vitals);
        if after.radios_up < before.radios_up {
            return Some(format!("{} of {} radios are up", after.radios_up, before.radios_up));
        }
        if after.devices < before.devices {
            return Some(format!("{} of {} devices are known", after.devices, before.devices));
        }
        // Not all: in these minutes somebody may switch lamps off at the wall, and what sleeps is not heard of for hours.
        let wanted = before.available.div_ceil(2);
        (after.available < wanted)
            .then(|| format!("{} of {} devices can be reached", after.available, before.available))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Vitals = Vitals { radios_up: 1, devices: 9, available: 7 };
    const WELL: Vitals = Vitals { radios_up: 1, devices: 9, available: 4 };

    /// Looks every five seconds at what `at` says, until there is a verdict: when, and which.
    fn judged(at: impl Fn(u64) -> Look) -> (u64, Verdict) {
        let mut gate = Gate::new(BEFORE, HOLD, PATIENCE);
        (0..)
            .step_by(5)
            .find_map(|s| match gate.look(Duration::from_secs(s), at(s)) {
                Verdict::Wait(_) => None,
                verdict => Some((s, verdict)),
            })
            .expect("it comes to an end")
    }

    fn saying(beat: u64, vitals: Vitals) -> Look {
        Look { answers: true, pulse: Some(Pulse { beat, address: SocketAddr::from(([0, 0, 0, 0], 80)), vitals }) }
    }

    fn bad(why: &str) -> Verdict {
        Verdict::Bad(why.into())
    }

    #[test]
    fn what_works_for_ten_minutes_is_good() {
        assert_eq!(judged(|s| saying(s / 5 + 1, WELL)), (600, Verdict::Good));
        let slow = |s: u64| if s < 120 { Look::default() } else { saying(s / 5, WELL) };
        assert_eq!(judged(slow), (720, Verdict::Good));
    }

    #[test]
    fn what_worked_before_has_to_work_after() {
        let cases = [
            (Vitals { radios_up: 0, ..WELL }, "0 of 1 radios are up"),
            (Vitals { devices: 8, ..WELL }, "8 of 9 devices are known"),
            (Vitals { available: 3, ..WELL }, "3 of 7 devices can be reached"),
        ];
        for (vitals, why) in cases {
            assert_eq!(judged(|s| saying(s, vitals)), (1500, bad(why)));
        }
        assert_eq!(judged(|_| Look::default()), (1500, bad("the gateway does not answer")));
        assert_eq!(judged(|_| Look { answers: true, pulse: None }), (1500, bad("the hub does not say how it is")));
    }

    #[test]
    fn what_did_not_work_before_need_not() {
        let mut gate = Gate::new(Vitals::default(), HOLD, PATIENCE);
        let verdicts = (0..=600).step_by(5).map(|s| gate.look(Duration::from_secs(s), saying(s, Vitals::default())));
        assert_eq!(verdicts.last(), Some(Verdict::Good));
    }

    #[test]
    fn a_hub_that_hangs_or_falls_is_not_good() {
        assert_eq!(judged(|s| saying(s.min(60) + 1, WELL)), (1500, bad("the hub does not say how it is")));
        // It falls every minute.
        assert_eq!(judged(|s| saying(s % 60 / 5 + 1, WELL)), (180, bad("the hub was started 4 times")));
    }

    #[test]
    fn a_break_begins_the_time_anew() {
        let broken = |s: u64| saying(s + 1, if s == 300 { Vitals { radios_up: 0, ..WELL } } else { WELL });
        assert_eq!(judged(broken), (905, Verdict::Good));
    }
}
