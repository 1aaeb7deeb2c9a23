//! How messages find their way: hop by hop with a delay each, kept by parents for those who sleep, acknowledged or not.

use std::time::{Duration, Instant};

use super::{AWAKE, Arrival, FAST_POLL, Happening, INDIRECT, Kept, World};
use crate::zigbee::sim::air::{Aps, Network, To, status};
use crate::zigbee::sim::device::{Draft, Out, Parent, Recipient};
use crate::zigbee::types::Nwk;

/// A sender waits so long for an acknowledgement of the application layer before it says it again.
const ACK_WAIT: Duration = Duration::from_millis(1_600);

/// And says it so many times more.
const ACK_RETRIES: u8 = 3;

/// Messages that the coordinator keeps for its sleepers.
const KEPT_BY_COORDINATOR_MAX: usize = 16;

/// Messages that a router keeps for one sleeper.
const KEPT_BY_ROUTER_MAX: usize = 4;

/// The coordinator's radio gives up on a neighbour that acknowledges nothing.
const MAC_TRIES: Duration = Duration::from_millis(30);

/// A search for a route ends without one.
const ROUTE_SEARCH: Duration = Duration::from_millis(200);

/// A message of the coordinator.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Comes back with the confirm.
    pub handle: u64,
    pub aps: Aps,
    pub network: Network,
    /// Its frame counter.
    pub counter: u32,
    /// The coordinator takes the receiver for a sleeping child of its own.
    pub as_child: bool,
}

pub(super) struct Unacknowledged {
    sending: Sending,
    tries: u8,
}

/// How far a frame comes.
enum Reach {
    /// After so many hops.
    Arrives(u32),
    /// The neighbour's radio is silent, or elsewhere.
    Nobody,
    /// Taken by the first hop and lost behind it, or thrown away for its key or counter.
    Swallowed,
}

impl World {
    /// Sends a message of the coordinator. Unicasts and groups are confirmed by an [`Arrival::Confirm`].
    pub fn send(&mut self, now: Instant, sending: Sending) {
        match sending.aps.to {
            To::Device(nwk) => self.send_to_device(now, nwk, sending),
            to => {
                self.confirm(now + self.latency, sending.handle, status::SUCCESS);
                for device in 0..self.devices.len() {
                    let is_meant = match to {
                        To::Group(group) => self.devices[device].is_in_group(group),
                        To::Broadcast(Nwk::ROUTERS) => self.devices[device].is_router(),
                        To::Broadcast(Nwk::AWAKE) => !self.devices[device].model.is_sleepy(),
                        _ => true,
                    };
                    let sleeps = self.devices[device].model.is_sleepy();
                    if !is_meant || (sleeps && to != To::Broadcast(Nwk::ALL)) {
                        continue;
                    }
                    if let Reach::Arrives(hops) = self.reach(now, device, &sending) {
                        let (aps, handle) = (sending.aps.clone(), None);
                        if sleeps {
                            let parent = self.parent(device).unwrap_or(Parent::Coordinator);
                            self.keep(now, parent, device, aps, handle);
                        } else {
                            self.plan(now + self.latency * hops, Happening::Hear { device, aps, handle });
                        }
                    }
                }
            }
        }
    }

    fn send_to_device(&mut self, now: Instant, nwk: Nwk, sending: Sending) {
        let handle = sending.handle;
        if self.lost_routes.contains(&nwk) {
            return self.confirm(now + self.latency, handle, status::NO_ROUTE);
        }
        let Some(device) = self.by_nwk(nwk) else {
            return self.confirm(now + ROUTE_SEARCH, handle, status::NO_ROUTE);
        };
        if sending.as_child && self.devices[device].model.is_sleepy() {
            // What the coordinator's own child does not hear, it does not hear when it asks.
            if self.kept_by(Parent::Coordinator) >= KEPT_BY_COORDINATOR_MAX {
                return self.confirm(now + self.latency, handle, status::MAC_OVERFLOW);
            }
            if !matches!(self.reach(now, device, &sending), Reach::Arrives(_)) {
                return self
                    .plan(now + INDIRECT, Happening::Arrive(Arrival::Confirm { handle, status: status::MAC_EXPIRED }));
            }
            return self.keep(now, Parent::Coordinator, device, sending.aps, Some(handle));
        }
        let wants_ack = sending.aps.ack;
        match self.reach(now, device, &sending) {
            Reach::Nobody => return self.confirm(now + MAC_TRIES, handle, status::MAC_NO_ACK),
            Reach::Swallowed if !wants_ack => return self.confirm(now + self.latency, handle, status::SUCCESS),
            Reach::Swallowed => {}
            Reach::Arrives(hops) => {
                if self.devices[device].quirks.no_ack && !wants_ack {
                    self.confirm(now + MAC_TRIES, handle, status::MAC_NO_ACK);
                } else if !wants_ack {
                    self.confirm(now + self.latency, handle, status::SUCCESS);
                }
                if !self.chance.happens(self.faults.lost) {
                    self.on_its_way(now, device, hops, &sending);
                    if self.chance.happens(self.faults.duplicated) {
                        self.on_its_way(now + self.latency, device, hops, &sending);
                    }
                }
            }
        }
        if wants_ack {
            let tries = self.unacknowledged.get(&handle).map_or(0, |waiting| waiting.tries);
            self.unacknowledged.insert(handle, Unacknowledged { sending, tries });
            self.plan(now + ACK_WAIT, Happening::AckWait { handle });
        }
    }

    fn on_its_way(&mut self, now: Instant, device: usize, hops: u32, sending: &Sending) {
        let handle = sending.aps.ack.then_some(sending.handle);
        let aps = sending.aps.clone();
        let is_kept = self.devices[device].model.is_sleepy();
        if is_kept {
            self.plan(now + self.latency * (hops - 1), Happening::Keep { device, aps, handle });
        } else {
            self.plan(now + self.latency * hops, Happening::Hear { device, aps, handle });
        }
    }

    pub(super) fn ack_wait(&mut self, at: Instant, handle: u64) {
        let Some(waiting) = self.unacknowledged.get_mut(&handle) else {
            return;
        };
        waiting.tries += 1;
        if waiting.tries > ACK_RETRIES {
            self.unacknowledged.remove(&handle);
            return self.confirm(at, handle, status::APS_NO_ACK);
        }
        let sending = waiting.sending.clone();
        if let To::Device(nwk) = sending.aps.to {
            self.send_to_device(at, nwk, sending);
        }
    }

    pub(super) fn confirm(&mut self, at: Instant, handle: u64, status: u8) {
        self.plan(at, Happening::Arrive(Arrival::Confirm { handle, status }));
    }

    /// Whether a frame of the coordinator gets to a device. The first hop checks key and counter, and remembers it.
    fn reach(&mut self, now: Instant, device: usize, sending: &Sending) -> Reach {
        let ancestors = self.ancestors(device);
        let first = ancestors.last().copied().unwrap_or(device);
        let is_on = self.devices[first].is_on;
        let Some(membership) = self.devices[first].membership.as_mut().filter(|_| is_on) else {
            return Reach::Nobody;
        };
        let (theirs, ours) = (membership.network, sending.network);
        if (theirs.channel, theirs.pan_id) != (ours.channel, ours.pan_id) {
            return Reach::Nobody;
        }
        if theirs.key != ours.key || sending.counter <= membership.heard_counter {
            let name = self.devices[first].name.clone();
            let why = if theirs.key != ours.key { "its key is another" } else { "its frame counter went back" };
            self.tell(now, &name, format!("does not hear the coordinator: {why}"));
            return Reach::Swallowed;
        }
        membership.heard_counter = sending.counter;
        let all_are_on = ancestors.iter().all(|router| self.devices[*router].is_on) && self.devices[device].is_on;
        if all_are_on { Reach::Arrives(ancestors.len() as u32 + 1) } else { Reach::Swallowed }
    }

    fn kept_by(&self, holder: Parent) -> usize {
        self.kept.iter().filter(|((of, _), _)| *of == holder).map(|(_, mail)| mail.len()).sum()
    }

    pub(super) fn keep(&mut self, at: Instant, holder: Parent, device: usize, aps: Aps, handle: Option<u64>) {
        let mail = self.kept.entry((holder, device)).or_default();
        if holder != Parent::Coordinator && mail.len() >= KEPT_BY_ROUTER_MAX {
            return; // a full router says nothing
        }
        self.count += 1;
        let id = self.count;
        mail.push_back(Kept { id, aps, handle });
        self.plan(at + INDIRECT, Happening::Expire { holder, device, id });
        self.plan_poll(at, device);
    }

    /// The sleeper asks its parent, and gets one message; while there are more, it asks again at once.
    pub(super) fn fetch(&mut self, at: Instant, device: usize) {
        self.radios[device].is_poll_planned = false;
        let Some(membership) = self.devices[device].membership.filter(|_| self.devices[device].is_on) else {
            return;
        };
        if let Parent::Device(router) = membership.parent
            && !self.devices[router].is_on
        {
            return self.lose_parent(at, device);
        }
        let Some(mail) = self.kept.get_mut(&(membership.parent, device)) else {
            return self.plan_poll(at, device);
        };
        if let Some(kept) = mail.pop_front() {
            let is_own = membership.parent == Parent::Coordinator;
            if let Some(handle) = kept.handle.filter(|_| is_own && !kept.aps.ack) {
                self.confirm(at + self.latency, handle, status::SUCCESS);
            }
            let happening = Happening::Hear { device, aps: kept.aps, handle: kept.handle };
            self.plan(at + self.latency, happening);
            let radio = &mut self.radios[device];
            radio.awake_until = radio.awake_until.max(Some(at + AWAKE));
            if self.kept.get(&(membership.parent, device)).is_some_and(|mail| !mail.is_empty()) {
                self.radios[device].is_poll_planned = true;
                self.plan(at + self.latency * 2, Happening::Poll { device });
            }
            return;
        }
        self.plan_poll(at + FAST_POLL, device);
    }

    pub(super) fn expire(&mut self, at: Instant, holder: Parent, device: usize, id: u64) {
        let Some(mail) = self.kept.get_mut(&(holder, device)) else {
            return;
        };
        let Some(place) = mail.iter().position(|kept| kept.id == id) else {
            return;
        };
        let kept = mail.remove(place).expect("it was just found");
        if let Some(handle) = kept.handle.filter(|_| holder == Parent::Coordinator) {
            self.unacknowledged.remove(&handle);
            self.confirm(at, handle, status::MAC_EXPIRED);
        }
    }

    /// A message is at the radio of its receiver.
    pub(super) fn deliver(&mut self, at: Instant, device: usize, aps: &Aps, handle: Option<u64>) {
        if !self.devices[device].is_on || self.devices[device].membership.is_none() {
            return;
        }
        let no_ack = self.devices[device].quirks.no_ack;
        if let Some(handle) = handle.filter(|_| aps.ack && !no_ack) {
            let way = self.way(device);
            self.confirm(at + way, handle, status::SUCCESS);
        }
        self.stay_awake(at, device, AWAKE);
        let rows = if aps.profile == 0 && aps.cluster == 0x0031 { self.neighbours(device) } else { Vec::new() };
        let mut out = Out::default();
        self.devices[device].hear(at, aps, || rows, &mut out);
        self.carry_out(at, device, out);
    }

    /// A device says something: its receiver is found, and it goes on its way after the device has thought.
    pub(super) fn dispatch(&mut self, at: Instant, device: usize, draft: Draft) {
        let mut aps = draft.aps;
        if let Recipient::Ieee(ieee) = draft.to {
            let is_coordinator = self.coordinator.is_some_and(|(coordinator, _)| coordinator == ieee);
            let nwk = if is_coordinator {
                Some(Nwk::COORDINATOR)
            } else {
                self.by_ieee(ieee).and_then(|found| self.devices[found].nwk())
            };
            let Some(nwk) = nwk else {
                return; // nobody has this address here
            };
            aps.to = To::Device(nwk);
        }
        let thinks = self.devices[device].quirks.slow.unwrap_or(Duration::ZERO);
        self.plan(at + thinks, Happening::Say { device, aps });
    }

    pub(super) fn carry(&mut self, at: Instant, device: usize, mut aps: Aps) {
        let Some(membership) = self.devices[device].membership.filter(|_| self.devices[device].is_on) else {
            return;
        };
        aps.from = membership.nwk;
        if self.ancestors(device).iter().any(|router| !self.devices[*router].is_on) {
            return self.lose_parent(at, device);
        }
        self.stay_awake(at, device, AWAKE);
        if self.chance.happens(self.faults.lost) {
            return;
        }
        let is_home = self.coordinator.is_some_and(|(_, network)| network == membership.network);
        let way = self.way(device);
        let to_coordinator = match aps.to {
            To::Device(nwk) => nwk == Nwk::COORDINATOR,
            To::Group(_) | To::Broadcast(_) => true,
        };
        if to_coordinator && is_home {
            let lqi = self.lqi(device);
            if self.chance.happens(self.faults.duplicated) {
                let again = Arrival::Message { aps: aps.clone(), lqi };
                self.plan(at + way + self.latency, Happening::Arrive(again));
            }
            self.plan(at + way, Happening::Arrive(Arrival::Message { aps: aps.clone(), lqi }));
        }
        let receivers: Vec<usize> = match aps.to {
            To::Device(nwk) => self.by_nwk(nwk).into_iter().collect(),
            To::Group(group) => {
                (0..self.devices.len()).filter(|other| self.devices[*other].is_in_group(group)).collect()
            }
            To::Broadcast(_) => Vec::new(), // announcements: nobody but the coordinator makes anything of them
        };
        for other in receivers.into_iter().filter(|other| *other != device) {
            let is_there = self.devices[other].membership.is_some_and(|theirs| theirs.network == membership.network);
            if is_there && !self.devices[other].model.is_sleepy() {
                let hops = self.depth(device) + self.depth(other) - 1;
                let happening = Happening::Hear { device: other, aps: aps.clone(), handle: None };
                self.plan(at + self.latency * hops, happening);
            }
        }
    }

    /// The coordinator loses the route to a device, until it looks for one.
    pub fn lose_route(&mut self, nwk: Nwk) {
        self.lost_routes.insert(nwk);
    }

    /// It looks for a route. Whether there is one.
    pub fn discover_route(&mut self, nwk: Nwk) -> bool {
        self.lost_routes.remove(&nwk);
        self.by_nwk(nwk).is_some_and(|device| self.devices[device].is_on)
    }

    pub fn has_route(&self, nwk: Nwk) -> bool {
        !self.lost_routes.contains(&nwk) && self.by_nwk(nwk).is_some()
    }
}
