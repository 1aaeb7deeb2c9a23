//! ZDO answers that may come although nobody waits for them any more, of kinds that do not say what they answer: the device is asked
//! for nothing else of the kind until then. Knows no queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::zigbee::types::{ClusterId, Ieee};
use crate::zigbee::zdo::Request;

/// For so long an answer may come that was given already, or given up.
const STRAY: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Strays(BTreeMap<(Ieee, ClusterId), Instant>);

impl Strays {
    /// A request is over that went out more often than it was answered. `is_success`: its answer, which will be the same.
    pub fn expect(&mut self, now: Instant, ieee: Ieee, request: &Request, is_success: bool) {
        let says_whose = match request {
            Request::Bind(_) | Request::Unbind(_) => false,
            // A refusal names neither the endpoint nor the page.
            Request::SimpleDescriptor { .. }
            | Request::MgmtLqi { .. }
            | Request::MgmtRtg { .. }
            | Request::MgmtBind { .. } => is_success,
            // There is one such question to a device.
            _ => true,
        };
        if !says_whose {
            self.0.insert((ieee, request.cluster()), now + STRAY);
        }
    }

    /// An answer of this kind may come that is to another one.
    pub fn may_come(&self, ieee: Ieee, request: &Request) -> bool {
        self.0.contains_key(&(ieee, request.cluster()))
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.0.retain(|_, until| *until > now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}
