//! Devices that come, come back, and speak without being known. Knows their addresses and nothing else of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::zigbee::network::core::Core;
use crate::zigbee::network::device::Device;
use crate::zigbee::network::event::{Event, Pairing};
use crate::zigbee::network::exchange::{Message, To, Wants};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::{Ask, Priority};
use crate::zigbee::types::{Ieee, Nwk};
use crate::zigbee::zdo::{self, Capability};

/// A device that was let in announces itself within this; otherwise it is asked all the same.
const ANNOUNCE: Duration = Duration::from_secs(5);

/// A stranger is asked who it is at most this often.
const WHO_EVERY: Duration = Duration::from_secs(60);

/// Strangers that are remembered.
const STRANGERS_MAX: usize = 64;

#[derive(Default)]
pub struct Joining {
    /// Let in, and not announced.
    expected: BTreeMap<Ieee, Instant>,
    /// Let in anew although it is known, while new devices are wanted: it has been reset, most likely.
    anew: BTreeMap<Ieee, Instant>,
    /// Announced a moment ago: the trust centre's word on it is no news, should it come second.
    announced: BTreeMap<Ieee, Instant>,
    strangers: BTreeMap<Nwk, Instant>,
}

impl Joining {
    pub fn forget(&mut self, ieee: Ieee) {
        self.expected.remove(&ieee);
        self.anew.remove(&ieee);
        self.announced.remove(&ieee);
    }

    /// The trust centre has let it in.
    pub fn joined(&mut self, core: &mut Core, now: Instant, ieee: Ieee, nwk: Nwk, door_is_open: bool) {
        if is_none(core, ieee, nwk) {
            return;
        }
        if let Some(device) = core.table.get(ieee) {
            let is_late = device.nwk == nwk && self.announced.get(&ieee).is_some_and(|until| *until > now);
            moved(core, ieee, nwk);
            if door_is_open && !is_late {
                self.anew.insert(ieee, now + ANNOUNCE);
            }
        } else if welcome(core, ieee, nwk) {
            self.expected.insert(ieee, now + ANNOUNCE);
        }
    }

    /// `true`: it is to be interviewed.
    pub fn announced(
        &mut self,
        core: &mut Core,
        now: Instant,
        (ieee, nwk, capability): (Ieee, Nwk, Capability),
        door_is_open: bool,
    ) -> bool {
        if is_none(core, ieee, nwk) {
            return false;
        }
        self.expected.remove(&ieee);
        let is_anew = self.anew.remove(&ieee).is_some() && door_is_open;
        let is_known = core.table.get(ieee).is_some();
        if is_known {
            moved(core, ieee, nwk);
        } else if !welcome(core, ieee, nwk) {
            return false;
        }
        self.announced.retain(|_, until| *until > now);
        self.announced.insert(ieee, now + ANNOUNCE);
        core.heard(now, ieee, None);
        let Some(device) = core.table.get_mut(ieee) else { return false };
        // What it says of its power and ears holds from now on, also if its firmware is another one.
        if let Some(node) = &mut device.node {
            node.capability = capability;
        }
        is_anew || !is_known
    }

    /// Somebody speaks whose address nobody knows: it is asked for the other one.
    pub fn stranger(&mut self, core: &mut Core, now: Instant, nwk: Nwk) {
        if nwk == Nwk::COORDINATOR || nwk.0 >= 0xfff8 {
            return;
        }
        self.strangers.retain(|_, asked| now.saturating_duration_since(*asked) < WHO_EVERY);
        if self.strangers.contains_key(&nwk) || self.strangers.len() >= STRANGERS_MAX {
            return;
        }
        self.strangers.insert(nwk, now);
        core.queue.push(
            now,
            Ask {
                to: To::Address(nwk),
                message: Message::Zdo(zdo::Request::IeeeAddr { nwk, children: false, start: 0 }),
                wants: Wants::Delivery,
                priority: Priority::Housekeeping,
                within: Duration::from_secs(10),
                repeats: 0,
                is_once: false,
                owner: Owner::Who { nwk: nwk.0 },
            },
        );
    }

    /// The question has gone out; the answer comes by itself.
    pub fn looked(&self, nwk: Nwk) {
        tracing::debug!(%nwk, "a stranger was asked who it is");
    }

    /// Who has an address was said. `true`: it was asked for as a stranger and is in no book: it is to be interviewed.
    pub fn found(&mut self, core: &mut Core, now: Instant, ieee: Ieee, nwk: Nwk) -> bool {
        let was_asked = self.strangers.remove(&nwk).is_some();
        if is_none(core, ieee, nwk) {
            return false;
        }
        if core.table.get(ieee).is_some() {
            moved(core, ieee, nwk);
            core.heard(now, ieee, None);
            return false;
        }
        let is_new = was_asked && welcome(core, ieee, nwk);
        if is_new {
            core.heard(now, ieee, None);
        }
        is_new
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expected.values().chain(self.anew.values()).min().copied()
    }

    /// Those that were let in and have not announced themselves.
    pub fn handle_timeout(&mut self, core: &Core, now: Instant) -> Vec<Ieee> {
        let mut due: Vec<Ieee> = Vec::new();
        for waiting in [&mut self.expected, &mut self.anew] {
            due.extend(waiting.iter().filter(|(_, at)| **at <= now).map(|(ieee, _)| *ieee));
            waiting.retain(|_, at| *at > now);
        }
        due.retain(|ieee| core.table.get(*ieee).is_some());
        due
    }
}

/// Addresses that no device has.
fn is_none(core: &Core, ieee: Ieee, nwk: Nwk) -> bool {
    let is_hub = core.info.as_ref().is_some_and(|info| info.coordinator == ieee);
    is_hub || ieee.0 == 0 || ieee.0 == u64::MAX || nwk == Nwk::COORDINATOR || nwk.0 >= 0xfff8
}

/// Puts a new one into the table. `false`: there is no place.
fn welcome(core: &mut Core, ieee: Ieee, nwk: Nwk) -> bool {
    let device = Device::new(ieee, nwk, core.definitions.as_ref());
    if !core.table.insert(device) {
        tracing::warn!(%ieee, "a device has joined, and there is no place for more");
        return false;
    }
    tracing::info!(%ieee, %nwk, "a device has joined");
    core.tell(Event::Pairing(Pairing::Joined { ieee }));
    core.show(ieee);
    true
}

fn moved(core: &mut Core, ieee: Ieee, nwk: Nwk) {
    if core.table.moved(ieee, nwk) {
        tracing::info!(%ieee, %nwk, "a device has another network address");
        core.queue.moved(ieee);
        core.persist(ieee);
    }
}
