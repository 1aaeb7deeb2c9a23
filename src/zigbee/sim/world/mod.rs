//! The house: devices where they stand, what is in the air between them, and time. Knows no stick; whoever is the coordinator
//! sends and hears through it.

mod joining;
mod routes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use self::routes::Sending;
use crate::zigbee::sim::air::{Aps, Network};
use crate::zigbee::sim::chance::Chance;
use crate::zigbee::sim::device::models::{Logical, Model};
use crate::zigbee::sim::device::{Deed, Device, Neighbour, Out, Parent};
use crate::zigbee::types::{Ieee, Key, Nwk};

/// A parent keeps a sleeper's message so long (`macTransactionPersistenceTime` of Zigbee: 7.68 s).
pub const INDIRECT: Duration = Duration::from_millis(7_680);

/// While it expects something, a sleeper asks its parent so often.
const FAST_POLL: Duration = Duration::from_millis(250);

/// So long after it has spoken or was spoken to.
const AWAKE: Duration = Duration::from_millis(1_500);

/// So long after it has joined: there will be questions.
const AWAKE_AFTER_JOINING: Duration = Duration::from_secs(30);

/// Things to tell that nobody fetched; the oldest go.
const NEWS_MAX: usize = 4096;

/// What goes wrong in the air, as shares of 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AirFaults {
    pub lost: f64,
    pub duplicated: f64,
}

/// What comes to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    Message {
        aps: Aps,
        lqi: u8,
    },
    Confirm {
        handle: u64,
        status: u8,
    },
    /// A device has been associated and wants in. `parent` is nought where it is the coordinator. `rejoin`: it has the key.
    Joining {
        ieee: Ieee,
        nwk: Nwk,
        parent: Nwk,
        is_sleepy: bool,
        rejoin: bool,
    },
    /// It asks the trust centre for a key of its own.
    WantsKey {
        ieee: Ieee,
    },
    Left {
        ieee: Ieee,
        nwk: Nwk,
        rejoin: bool,
    },
}

/// How the network key was sealed for a device that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// The key that everybody knows (`ZigBeeAlliance09`).
    WellKnown,
    /// What is printed on it.
    InstallCode([u8; 18]),
}

/// Something that a person would like to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub at: Instant,
    /// A device, or `stick`.
    pub who: Box<str>,
    pub what: Box<str>,
    /// The host broke a rule.
    pub is_violation: bool,
}

enum Happening {
    /// A message reaches the radio of a device.
    Hear {
        device: usize,
        aps: Aps,
        handle: Option<u64>,
    },
    /// A message reaches the router that keeps it for its child.
    Keep {
        device: usize,
        aps: Aps,
        handle: Option<u64>,
    },
    Poll {
        device: usize,
    },
    Expire {
        holder: Parent,
        device: usize,
        id: u64,
    },
    Arrive(Arrival),
    AckWait {
        handle: u64,
    },
    Scan {
        device: usize,
    },
    Unlocked {
        device: usize,
        network: Network,
        seal: Option<Seal>,
    },
    OwnKey {
        device: usize,
        key: Key,
    },
    Say {
        device: usize,
        aps: Aps,
    },
    Announce {
        device: usize,
    },
    AskForKey {
        device: usize,
    },
    GiveUp {
        device: usize,
    },
    Gone {
        device: usize,
        rejoin: bool,
    },
    /// It says what it measures, and again after a while.
    Chatter {
        device: usize,
    },
    /// The radios move to another channel together.
    Channel {
        device: usize,
        channel: u8,
    },
}

struct Kept {
    id: u64,
    aps: Aps,
    /// Of the coordinator's own message, which it has to confirm.
    handle: Option<u64>,
}

/// A device on the threshold: associated, without a key.
#[derive(Debug, Clone, Copy)]
struct Threshold {
    nwk: Nwk,
    parent: Parent,
}

/// What belongs to the radio of a device and not to the device.
#[derive(Default)]
struct Radio {
    threshold: Option<Threshold>,
    /// A router lets others in until then.
    open_until: Option<Instant>,
    awake_until: Option<Instant>,
    is_poll_planned: bool,
    due: Option<Instant>,
}

pub struct World {
    pub devices: Vec<Device>,
    pub faults: AirFaults,
    /// Unpaired devices join by themselves as soon as somebody lets them.
    pub auto_join: bool,
    /// Devices in their boxes.
    boxed: BTreeSet<usize>,
    /// How often the coordinator was opened.
    openings: u64,
    radios: Vec<Radio>,
    latency: Duration,
    chance: Chance,
    began: Instant,
    agenda: BTreeMap<(Instant, u64), Happening>,
    count: u64,
    /// Devices by when they want to be woken.
    wakes: BTreeSet<(Instant, usize)>,
    /// The coordinator's network while it runs.
    coordinator: Option<(Ieee, Network)>,
    coordinator_open_until: Option<Instant>,
    kept: BTreeMap<(Parent, usize), VecDeque<Kept>>,
    unacknowledged: BTreeMap<u64, routes::Unacknowledged>,
    /// Routes that the coordinator has lost.
    lost_routes: BTreeSet<Nwk>,
    arrivals: VecDeque<Arrival>,
    news: VecDeque<News>,
    violations: u64,
    chatter_every: Option<Duration>,
}

impl World {
    pub fn new(now: Instant, latency: Duration, seed: u64) -> World {
        World {
            devices: Vec::new(),
            faults: AirFaults::default(),
            auto_join: true,
            boxed: BTreeSet::new(),
            openings: 0,
            radios: Vec::new(),
            latency,
            chance: Chance::new(seed),
            began: now,
            agenda: BTreeMap::new(),
            count: 0,
            wakes: BTreeSet::new(),
            coordinator: None,
            coordinator_open_until: None,
            kept: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            lost_routes: BTreeSet::new(),
            arrivals: VecDeque::new(),
            news: VecDeque::new(),
            violations: 0,
            chatter_every: None,
        }
    }

    /// Puts a device into the house, not paired. Returns its index.
    pub fn place(&mut self, model: &'static Model) -> usize {
        let same = self.devices.iter().filter(|device| device.model.name == model.name).count() as u64;
        let name = if same == 0 { model.name.to_owned() } else { format!("{}{}", model.name, same + 1) };
        self.devices.push(Device::new(model, name, Ieee(model.oui | (same + 1))));
        self.radios.push(Radio::default());
        self.devices.len() - 1
    }

    /// As [`World::place`], in its box: it does not come in with the others.
    pub fn keep_boxed(&mut self, model: &'static Model) {
        let device = self.place(model);
        self.boxed.insert(device);
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.name == name || device.ieee.to_string() == name)
    }

    /// The device called so: tests read the truth from it.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.find(name).map(|index| &self.devices[index])
    }

    pub fn device_mut(&mut self, name: &str) -> Option<&mut Device> {
        self.find(name).map(|index| &mut self.devices[index])
    }

    /// Rules of Zigbee that the host broke.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        let wake = self.wakes.first().map(|(at, _)| *at);
        [next, wake].into_iter().flatten().min()
    }

    /// Lets everything happen that was due by now, each at its time. Stops where something has arrived at the coordinator,
    /// which acts at that time; returns the time that it is, `None` when all is done.
    pub fn step(&mut self, now: Instant) -> Option<Instant> {
        let at = self.poll_timeout().filter(|at| *at <= now)?;
        if let Some((wake, device)) = self.wakes.first().copied().filter(|(wake, _)| *wake <= at) {
            self.wakes.remove(&(wake, device));
            self.radios[device].due = None;
            let mut out = Out::default();
            if self.devices[device].is_on {
                self.devices[device].handle_timeout(at, &mut out);
            }
            self.carry_out(at, device, out);
            return Some(at);
        }
        if let Some((_, happening)) = self.agenda.pop_first() {
            self.happen(at, happening);
        }
        Some(at)
    }

    fn plan(&mut self, at: Instant, happening: Happening) {
        self.count += 1;
        self.agenda.insert((at, self.count), happening);
    }

    pub fn tell(&mut self, at: Instant, who: &str, what: impl Into<Box<str>>) {
        self.put_news(News { at, who: who.into(), what: what.into(), is_violation: false });
    }

    pub fn violation(&mut self, at: Instant, who: &str, what: impl Into<Box<str>>) {
        self.violations += 1;
        self.put_news(News { at, who: who.into(), what: what.into(), is_violation: true });
    }

    fn put_news(&mut self, news: News) {
        if self.news.len() >= NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }

    fn happen(&mut self, at: Instant, happening: Happening) {
        match happening {
            Happening::Arrive(arrival) => {
                if let Arrival::Confirm { handle, .. } = arrival {
                    self.unacknowledged.remove(&handle);
                }
                if self.coordinator.is_some() {
                    self.arrivals.push_back(arrival);
                }
            }
            Happening::Hear { device, aps, handle } => self.deliver(at, device, &aps, handle),
            Happening::Keep { device, aps, handle } => {
                let parent = self.devices[device].membership.map(|membership| membership.parent);
                if let Some(parent) = parent.filter(|parent| *parent != Parent::Coordinator) {
                    self.keep(at, parent, device, aps, handle);
                }
            }
            Happening::Poll { device } => self.fetch(at, device),
            Happening::Expire { holder, device, id } => self.expire(at, holder, device, id),
            Happening::AckWait { handle } => self.ack_wait(at, handle),
            Happening::Scan { device } => self.scan(at, device),
            Happening::Unlocked { device, network, seal } => self.unlocked(at, device, network, seal),
            Happening::OwnKey { device, key } => self.devices[device].link_key = Some(key),
            Happening::Say { device, aps } => self.carry(at, device, aps),
            Happening::Announce { device } => self.announce(at, device),
            Happening::AskForKey { device } => {
                let ieee = self.devices[device].ieee;
                let way = self.way(device);
                self.plan(at + way, Happening::Arrive(Arrival::WantsKey { ieee }));
            }
            Happening::GiveUp { device } => self.radios[device].threshold = None,
            Happening::Gone { device, rejoin } => self.gone(at, device, rejoin),
            Happening::Chatter { device } => {
                if let Some(every) = self.chatter_every {
                    self.touch(at, device, |device, out| {
                        device.chatter(out);
                    });
                    self.plan(at + every, Happening::Chatter { device });
                }
            }
            Happening::Channel { device, channel } => {
                if let Some(membership) = self.devices[device].membership.as_mut() {
                    membership.network.channel.0 = channel;
                }
            }
        }
    }

    /// Does what came out of a device, and plans its next wake.
    pub fn carry_out(&mut self, at: Instant, device: usize, out: Out) {
        let name = self.devices[device].name.clone();
        for note in out.notes {
            self.tell(at, &name, note);
        }
        for violation in out.violations {
            self.violation(at, &name, violation);
        }
        for draft in out.messages {
            self.dispatch(at, device, draft);
        }
        for deed in out.deeds {
            match deed {
                Deed::Leave { rejoin } => self.plan(at + self.latency * 4, Happening::Gone { device, rejoin }),
                Deed::PermitJoin { seconds } => self.open_router(at, device, seconds),
                Deed::Channel(channel) => {
                    self.plan(at + self.latency * 10, Happening::Channel { device, channel });
                }
            }
        }
        self.reindex(device);
    }

    /// Keeps the list of wakes true after anything was done to a device.
    fn reindex(&mut self, device: usize) {
        let due = if self.devices[device].is_on { self.devices[device].poll_timeout() } else { None };
        let radio = &mut self.radios[device];
        if radio.due == due {
            return;
        }
        if let Some(was) = radio.due {
            self.wakes.remove(&(was, device));
        }
        radio.due = due;
        if let Some(due) = due {
            self.wakes.insert((due, device));
        }
    }

    /// Does something to a device from the world outside, such as a person's finger.
    pub fn touch(&mut self, now: Instant, device: usize, act: impl FnOnce(&mut Device, &mut Out)) {
        let mut out = Out::default();
        act(&mut self.devices[device], &mut out);
        if !self.devices[device].is_on {
            out.messages.clear();
        }
        self.carry_out(now, device, out);
        self.stay_awake(now, device, AWAKE); // whoever is touched looks whether there is mail
    }

    /// Takes its power, or gives it back: then it comes back by itself into the network that it knows.
    pub fn power(&mut self, now: Instant, device: usize, is_on: bool) {
        if std::mem::replace(&mut self.devices[device].is_on, is_on) == is_on {
            return;
        }
        if is_on && self.devices[device].membership.is_some() {
            self.plan(now + self.latency * 20, Happening::Announce { device });
        }
        self.reindex(device);
    }

    /// All say what they measure every so often, each at a moment of its own; `None`: no more.
    pub fn chatter(&mut self, now: Instant, every: Option<Duration>) {
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Chatter { .. }));
        self.chatter_every = every;
        let count = self.devices.len() as u32;
        for device in 0..self.devices.len() {
            if let Some(every) = every {
                self.plan(now + every * device as u32 / count, Happening::Chatter { device });
            }
        }
    }

    /// So many reports at once, of one device after the other. Returns how many there were.
    pub fn burst(&mut self, now: Instant, count: usize) -> usize {
        let paired: Vec<usize> = (0..self.devices.len()).filter(|at| self.devices[*at].membership.is_some()).collect();
        let mut told = 0;
        for device in paired.iter().cycle().take(if paired.is_empty() { 0 } else { count }) {
            self.touch(now, *device, |device, out| told += usize::from(device.chatter(out)));
        }
        told
    }

    /// How many hops it is away from the coordinator.
    fn depth(&self, device: usize) -> u32 {
        self.ancestors(device).len() as u32 + 1
    }

    /// The routers between the coordinator and the device, the nearest to the device first. A circle ends where it closes.
    fn ancestors(&self, device: usize) -> Vec<usize> {
        let (mut found, mut at) = (Vec::new(), device);
        while let Some(Parent::Device(parent)) = self.parent(at) {
            if found.contains(&parent) || parent == device {
                break;
            }
            found.push(parent);
            at = parent;
        }
        found
    }

    fn parent(&self, device: usize) -> Option<Parent> {
        let member = self.devices[device].membership.map(|membership| membership.parent);
        member.or_else(|| self.radios[device].threshold.map(|threshold| threshold.parent))
    }

    fn way(&self, device: usize) -> Duration {
        self.latency * self.depth(device)
    }

    /// Link quality of its last hop, 0 to 255: what is far is heard badly.
    pub fn lqi(&self, device: usize) -> u8 {
        let spread = (self.devices[device].ieee.0 as u8).wrapping_mul(37) % 60;
        220 - 20 * self.depth(device).min(5) as u8 - spread
    }

    fn by_nwk(&self, nwk: Nwk) -> Option<usize> {
        self.devices.iter().position(|device| device.nwk() == Some(nwk))
    }

    fn by_ieee(&self, ieee: Ieee) -> Option<usize> {
        self.devices.iter().position(|device| device.ieee == ieee)
    }

    /// Whom a device hears.
    fn neighbours(&self, device: usize) -> Vec<Neighbour> {
        let Some(membership) = self.devices[device].membership else {
            return Vec::new();
        };
        let extended_pan_id = membership.network.extended_pan_id;
        let coordinator = self.coordinator.map(|(ieee, _)| ieee);
        let relation = if membership.parent == Parent::Coordinator { 0 } else { 2 };
        let mut rows: Vec<Neighbour> = coordinator
            .map(|ieee| Neighbour {
                extended_pan_id,
                ieee,
                nwk: Nwk::COORDINATOR,
                kind: 0,
                hears_always: true,
                relation,
                depth: 0,
                lqi: self.lqi(device),
            })
            .into_iter()
            .collect();
        rows.extend((0..self.devices.len()).filter(|other| *other != device).filter_map(|other| {
            let is_child = self.parent(other) == Some(Parent::Device(device));
            (is_child || self.devices[other].is_router())
                .then(|| self.row(other, extended_pan_id, if is_child { 1 } else { 2 }))?
        }));
        rows
    }

    /// Whom the coordinator hears: routers, and its own children.
    pub fn neighbours_of_coordinator(&self) -> Vec<Neighbour> {
        let Some((_, network)) = self.coordinator else {
            return Vec::new();
        };
        let near = (0..self.devices.len()).filter(|device| self.parent(*device) == Some(Parent::Coordinator));
        near.filter_map(|device| {
            let relation = if self.devices[device].is_router() { 2 } else { 1 };
            self.row(device, network.extended_pan_id, relation)
        })
        .collect()
    }

    fn row(&self, device: usize, extended_pan_id: Ieee, relation: u8) -> Option<Neighbour> {
        let other = &self.devices[device];
        other.membership.filter(|membership| membership.network.extended_pan_id == extended_pan_id)?;
        Some(Neighbour {
            extended_pan_id,
            ieee: other.ieee,
            nwk: other.nwk()?,
            kind: if other.is_router() { 1 } else { 2 },
            hears_always: !other.model.is_sleepy(),
            relation,
            depth: self.depth(device).min(15) as u8,
            lqi: self.lqi(device),
        })
    }

    /// When a sleeper asks its parent next.
    fn next_poll(&self, at: Instant, device: usize) -> Instant {
        if self.radios[device].awake_until.is_some_and(|until| until > at) {
            return at + FAST_POLL;
        }
        let Logical::Sleeper { poll_ms } = self.devices[device].model.logical else {
            return at;
        };
        // Each has a phase of its own.
        let phase_ms = (device as u64 * 1_237) % poll_ms;
        let gone_ms = at.saturating_duration_since(self.began).as_millis() as u64;
        let rounds = gone_ms.saturating_sub(phase_ms) / poll_ms + 1;
        self.began + Duration::from_millis(phase_ms + rounds * poll_ms)
    }

    fn stay_awake(&mut self, at: Instant, device: usize, long: Duration) {
        if !self.devices[device].model.is_sleepy() {
            return;
        }
        let radio = &mut self.radios[device];
        radio.awake_until = radio.awake_until.max(Some(at + long));
        radio.is_poll_planned = false; // what waits is asked for sooner now
        self.plan_poll(at, device);
    }

    fn plan_poll(&mut self, at: Instant, device: usize) {
        let has_mail = self.kept.iter().any(|((_, child), mail)| *child == device && !mail.is_empty());
        if has_mail && !std::mem::replace(&mut self.radios[device].is_poll_planned, true) {
            let next = self.next_poll(at, device);
            self.plan(next, Happening::Poll { device });
        }
    }
}

/// What the coordinator's own radio sees of devices.
impl World {
    pub fn is_router(&self, ieee: Ieee) -> bool {
        self.by_ieee(ieee).is_some_and(|device| self.devices[device].is_router())
    }

    pub fn is_child_of_coordinator(&self, ieee: Ieee) -> bool {
        self.by_ieee(ieee).is_some_and(|device| self.parent(device) == Some(Parent::Coordinator))
    }
}
