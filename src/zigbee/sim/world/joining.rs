//! Coming into a network and going out of it: the search for an open parent, the key, the announcement, another parent, leaving.

use std::time::{Duration, Instant};

use super::{AWAKE_AFTER_JOINING, Arrival, Happening, Seal, Threshold, World};
use crate::zigbee::sim::air::Network;
use crate::zigbee::sim::device::{Membership, Parent};
use crate::zigbee::types::{Ieee, Key, Nwk};

/// A device listens so long before it knows who is open.
const SCAN: Duration = Duration::from_millis(120);

/// A device without a key goes away again (`apsSecurityTimeOutPeriod` and more).
const KEY_WAIT: Duration = Duration::from_secs(5);

/// People take so long to unpack a device, once they have opened the house for it.
const UNPACKING: Duration = Duration::from_secs(2);

/// `bdbcMinCommissioningTime`, s.
const STEERING_S: u8 = 180;

impl World {
    /// The coordinator's radio is on this network, or off.
    pub fn set_coordinator(&mut self, coordinator: Option<(Ieee, Network)>) {
        if coordinator.is_none() {
            self.coordinator_open_until = None;
            self.unacknowledged.clear();
            self.kept.retain(|(holder, _), _| *holder != Parent::Coordinator);
        }
        self.coordinator = coordinator;
    }

    /// The coordinator lets devices in; 0 closes.
    pub fn open_coordinator(&mut self, now: Instant, seconds: u8) {
        let was_open = self.coordinator_is_open(now);
        self.coordinator_open_until = open_until(now, seconds);
        self.invite(now, seconds);
        if seconds > 0 && !was_open {
            self.openings += 1;
            self.unpack(now);
        }
    }

    pub(super) fn open_router(&mut self, now: Instant, device: usize, seconds: u8) {
        self.radios[device].open_until = open_until(now, seconds);
        self.invite(now, seconds);
    }

    pub fn coordinator_is_open(&self, now: Instant) -> bool {
        self.coordinator_open_until.is_some_and(|until| until > now)
    }

    fn invite(&mut self, now: Instant, seconds: u8) {
        if seconds == 0 || !self.auto_join {
            return;
        }
        for device in 0..self.devices.len() {
            let is_free = self.devices[device].membership.is_none() && self.radios[device].threshold.is_none();
            let is_ready = is_free && self.devices[device].is_on && !self.boxed.contains(&device);
            if is_ready && !self.will_scan(device) {
                // People put one after the other into their plug.
                self.plan(now + SCAN + Duration::from_millis(150) * device as u32, Happening::Scan { device });
            }
        }
    }

    /// The house is opened for what stands in it the first time. Whoever opens it again has something new: what finds it
    /// closed by then stays in its box for the next time.
    fn unpack(&mut self, now: Instant) {
        if self.openings == 1 || !self.auto_join {
            return;
        }
        for (before, device) in (1..).zip(self.boxed.clone()) {
            if !self.will_scan(device) {
                self.plan(now + UNPACKING * before, Happening::Scan { device });
            }
        }
    }

    fn will_scan(&self, device: usize) -> bool {
        self.agenda.values().any(|h| matches!(h, Happening::Scan { device: scanning } if *scanning == device))
    }

    /// A person makes a device look for a network: a new one, or one that was reset.
    pub fn pair(&mut self, now: Instant, device: usize) {
        if self.devices[device].membership.is_some() {
            self.devices[device].reset();
        }
        self.radios[device].threshold = None;
        self.plan(now + SCAN, Happening::Scan { device });
    }

    pub(super) fn scan(&mut self, at: Instant, device: usize) {
        let is_free = self.devices[device].membership.is_none() && self.radios[device].threshold.is_none();
        let Some((_, network)) = self.coordinator.filter(|_| is_free && self.devices[device].is_on) else {
            return;
        };
        let wanted = self.devices[device].model.parent.and_then(|name| self.find(name));
        let is_open = |world: &World, router: usize| {
            let membership = world.devices[router].membership;
            world.devices[router].is_on
                && membership.is_some_and(|membership| membership.network == network)
                && world.radios[router].open_until.is_some_and(|until| until > at)
        };
        let parent = match wanted {
            // It stands where it hears that router alone.
            Some(router) if is_open(self, router) => Some(Parent::Device(router)),
            Some(router) if self.coordinator_is_open(at) || self.devices[router].membership.is_none() => {
                return self.plan(at + SCAN * 4, Happening::Scan { device }); // its router may come yet
            }
            Some(_) => None,
            None if self.coordinator_is_open(at) => Some(Parent::Coordinator),
            None => (0..self.devices.len()).find(|router| is_open(self, *router)).map(Parent::Device),
        };
        let name = self.devices[device].name.clone();
        let Some(parent) = parent else {
            return self.tell(at, &name, "finds no open network");
        };
        self.boxed.remove(&device);
        let nwk = self.free_nwk();
        self.radios[device].threshold = Some(Threshold { nwk, parent });
        self.tell(at, &name, format!("asks to come in as {nwk}"));
        self.arrive(at, device, nwk, parent, false);
        self.plan(at + KEY_WAIT, Happening::GiveUp { device });
    }

    fn arrive(&mut self, at: Instant, device: usize, nwk: Nwk, parent: Parent, rejoin: bool) {
        let parent = match parent {
            Parent::Coordinator => Nwk::COORDINATOR,
            Parent::Device(router) => self.devices[router].nwk().unwrap_or(Nwk::COORDINATOR),
        };
        let (ieee, is_sleepy) = (self.devices[device].ieee, self.devices[device].model.is_sleepy());
        let arrival = Arrival::Joining { ieee, nwk, parent, is_sleepy, rejoin };
        let way = self.way(device);
        self.plan(at + way, Happening::Arrive(arrival));
    }

    /// A network address that nobody has.
    fn free_nwk(&mut self) -> Nwk {
        loop {
            let nwk = Nwk(self.chance.below(0xfff0) as u16 + 1);
            if self.by_nwk(nwk).is_none() {
                return nwk;
            }
        }
    }

    /// The trust centre sends the network key to a device on the threshold.
    pub fn give_network_key(&mut self, now: Instant, ieee: Ieee, network: Network, seal: Seal) {
        if let Some(device) = self.by_ieee(ieee) {
            let way = self.way(device);
            self.plan(now + way, Happening::Unlocked { device, network, seal: Some(seal) });
        }
    }

    /// The trust centre sends a device a key of its own.
    pub fn give_own_key(&mut self, now: Instant, ieee: Ieee, key: Key) {
        if let Some(device) = self.by_ieee(ieee) {
            let way = self.way(device);
            self.plan(now + way, Happening::OwnKey { device, key });
        }
    }

    pub(super) fn unlocked(&mut self, at: Instant, device: usize, network: Network, seal: Option<Seal>) {
        let Some(threshold) = self.radios[device].threshold.take() else {
            return;
        };
        let expected = self.devices[device].install_code.map_or(Seal::WellKnown, Seal::InstallCode);
        let name = self.devices[device].name.clone();
        if seal.is_some_and(|seal| seal != expected) {
            return self.tell(at, &name, "cannot read the key that it was sent, and stays out");
        }
        let Threshold { nwk, parent } = threshold;
        self.devices[device].membership = Some(Membership { network, nwk, parent, heard_counter: 0 });
        self.tell(at, &name, format!("is in the network as {nwk}"));
        self.stay_awake(at, device, AWAKE_AFTER_JOINING);
        self.plan(at + self.latency * 2, Happening::Announce { device });
        if self.devices[device].is_router() {
            // A router opens itself to others for a while when it has come in (BDB §8.2, network steering).
            self.open_router(at, device, STEERING_S);
        }
        if self.devices[device].model.wants_own_key {
            self.plan(at + self.latency * 6, Happening::AskForKey { device });
        }
    }

    pub(super) fn announce(&mut self, at: Instant, device: usize) {
        if !self.devices[device].is_on || self.devices[device].membership.is_none() {
            return;
        }
        let draft = self.devices[device].announcement();
        self.dispatch(at, device, draft);
        self.touch(at, device, |_, _| {});
    }

    /// It has said good-bye, and is gone; or comes back with a new address.
    pub(super) fn gone(&mut self, at: Instant, device: usize, rejoin: bool) {
        let Some(membership) = self.devices[device].membership else {
            return;
        };
        let (ieee, name) = (self.devices[device].ieee, self.devices[device].name.clone());
        let way = self.way(device);
        if self.coordinator.is_some_and(|(_, network)| network == membership.network) {
            let arrival = Arrival::Left { ieee, nwk: membership.nwk, rejoin };
            self.plan(at + way, Happening::Arrive(arrival));
        }
        self.kept.retain(|(_, child), _| *child != device);
        if rejoin {
            self.rejoin(at + way, device, membership.parent);
        } else {
            self.devices[device].reset();
            self.tell(at, &name, "has left");
            self.touch(at, device, |_, _| {});
        }
    }

    /// A person makes it leave by itself.
    pub fn leave(&mut self, now: Instant, device: usize) {
        self.gone(now, device, false);
    }

    /// It comes back through this parent with a new network address, as after a conflict or a reset of its own.
    pub fn rejoin(&mut self, at: Instant, device: usize, parent: Parent) {
        let nwk = self.free_nwk();
        let Some(membership) = self.devices[device].membership.as_mut() else {
            return;
        };
        (membership.nwk, membership.parent) = (nwk, parent);
        let name = self.devices[device].name.clone();
        self.tell(at, &name, format!("is back as {nwk}"));
        self.arrive(at, device, nwk, parent, true);
        self.stay_awake(at, device, AWAKE_AFTER_JOINING);
        self.plan(at + self.latency * 2, Happening::Announce { device });
    }

    /// It changes to another parent and keeps its address. `tells`: it announces itself; where not, nobody knows.
    pub fn move_to(&mut self, at: Instant, device: usize, parent: Parent, tells: bool) {
        if let Some(membership) = self.devices[device].membership.as_mut() {
            membership.parent = parent;
        }
        if tells {
            self.plan(at + self.latency, Happening::Announce { device });
        }
    }

    /// Its router is silent: it looks for another, and finds the coordinator.
    pub(super) fn lose_parent(&mut self, at: Instant, device: usize) {
        let name = self.devices[device].name.clone();
        self.tell(at, &name, "has lost its parent, and takes the coordinator");
        self.move_to(at + SCAN, device, Parent::Coordinator, true);
    }
}

fn open_until(now: Instant, seconds: u8) -> Option<Instant> {
    match seconds {
        0 => None,
        0xff => Some(now + Duration::from_secs(3600 * 24 * 365)),
        seconds => Some(now + Duration::from_secs(seconds.into())),
    }
}
