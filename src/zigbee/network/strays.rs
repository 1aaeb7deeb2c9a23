//! Answers to bindings that may come although nobody waits for them any more. They say nothing of which binding they are about, so
//! the device is asked for no other until then. Knows no queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::zigbee::types::{ClusterId, Ieee};
use crate::zigbee::zdo::Request;

/// For so long an answer may come that was given already, or given up.
const STRAY: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Strays(BTreeMap<(Ieee, ClusterId), Instant>);

impl Strays {
    /// A request is over that went out more often than it was answered.
    pub fn expect(&mut self, now: Instant, ieee: Ieee, request: &Request) {
        if matches!(request, Request::Bind(_) | Request::Unbind(_)) {
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
