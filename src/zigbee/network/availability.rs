//! Who is there: what listens is asked when it has been silent for a while, what sleeps is taken at its last word.

use std::time::{Duration, Instant};

use crate::zigbee::network::core::Core;
use crate::zigbee::network::exchange::{Answer, Failure, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, Ieee};

/// One that listens is asked for a sign of life after this silence.
const SILENCE: Duration = Duration::from_secs(600);

/// One that sleeps counts as gone after this: the slowest report daily.
const SILENCE_ASLEEP_MS: u64 = 25 * 3600 * 1000;

/// How often all are looked at.
const ROUND: Duration = Duration::from_secs(10);

/// Of those that are silent, asked in one round: a house whose power comes back is not asked all at once.
const PINGS_MAX: usize = 16;

const BASIC: ClusterId = ClusterId(0x0000);
const ZCL_VERSION: AttributeId = AttributeId(0x0000);

#[derive(Default)]
pub struct Availability {
    next_round: Option<Instant>,
    /// When each was last asked.
    asked: std::collections::BTreeMap<Ieee, Instant>,
}

impl Availability {
    /// The network is up.
    pub fn start(&mut self, now: Instant) {
        self.next_round = Some(now + ROUND);
        self.asked.clear();
    }

    pub fn stop(&mut self) {
        self.next_round = None;
    }

    pub fn forget(&mut self, ieee: Ieee) {
        self.asked.remove(&ieee);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_round
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        if self.next_round.is_none_or(|at| now < at) {
            return;
        }
        self.next_round = Some(now + ROUND);
        let unix_ms = core.clock.unix_ms(now);
        let (mut silent, mut gone) = (Vec::new(), Vec::new());
        for device in core.table.iter().filter(|device| device.interviewed) {
            let ieee = device.ieee();
            if device.sleeps() || device.has_battery() == Some(true) {
                let silence = device.last_seen_ms.map_or(u64::MAX, |seen| unix_ms.saturating_sub(seen));
                if silence > SILENCE_ASLEEP_MS {
                    gone.push(ieee);
                }
                continue;
            }
            let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            let last_word = since(device.heard_at).min(since(self.asked.get(&ieee).copied()));
            if last_word >= SILENCE && !core.queue.has_for(ieee) {
                silent.push((ieee, device.endpoint_with(BASIC).unwrap_or(Endpoint(1))));
            }
        }
        gone.into_iter().for_each(|ieee| core.unavailable(ieee));
        for (ieee, endpoint) in silent.into_iter().take(PINGS_MAX) {
            if self.asked.insert(ieee, now).is_none() {
                // For the first time since the radio is up: whatever it has said since the hub was stopped, nobody heard.
                core.refresh(now, ieee);
            }
            let read = Zcl::read(endpoint, BASIC, &[ZCL_VERSION]);
            core.zcl(now, ieee, read, Priority::Housekeeping, Owner::Ping { ieee });
        }
    }

    /// A sign of life came, or not. That it was heard has been noted already.
    pub fn ended(&mut self, core: &mut Core, ieee: Ieee, end: &Result<Answer, Failure>) {
        if let Err(Failure::Unreachable(_) | Failure::NoAnswer) = end {
            core.unavailable(ieee);
        }
    }
}
