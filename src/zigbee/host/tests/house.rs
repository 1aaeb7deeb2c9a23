//! The whole stack and the simulated house at the two ends of a serial line, in made time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::error::ErrorBody;
use crate::zigbee::definitions::Catalogue;
use crate::zigbee::host::{Host, HostCommand};
use crate::zigbee::machine::Machine;
use crate::zigbee::ncp::Transmit;
use crate::zigbee::ncp::znp::{Config, Znp};
use crate::zigbee::network::ota::{Images, NoImages};
use crate::zigbee::network::{Event, Network, Pairing, Persist, Reply, Request, RequestId, View, WallClock};
use crate::zigbee::sim::{SimConfig, Simulator};
use crate::zigbee::types::Ieee;

pub type End = Result<Map<String, Value>, ErrorBody>;

pub struct House {
    pub now: Instant,
    pub host: Host,
    pub sim: Simulator,
    pub events: Vec<Event>,
    next_id: RequestId,
    pub saved: std::collections::BTreeMap<Ieee, Value>,
}

impl House {
    pub fn new(config: SimConfig, seed: u64) -> House {
        House::with_images(config, seed, Box::new(NoImages))
    }

    pub fn with_images(config: SimConfig, seed: u64, images: Box<dyn Images>) -> House {
        #[expect(clippy::disallowed_methods, reason = "somewhere a made time has to begin")]
        let now = Instant::now();
        let clock = WallClock { at: now, unix_ms: 1_700_000_000_000, offset_s: 3600 };
        let mut network = Network::new(Arc::new(Catalogue::new()), clock, []);
        network.set_images(images);
        let mut chance = seed;
        let entropy = move |bytes: &mut [u8]| {
            for byte in bytes {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (chance >> 56) as u8;
            }
        };
        let host = Host::new(Box::new(Znp::new(Config::default(), None, Box::new(entropy))), network);
        let (sim, events, saved) = (Simulator::new(config, seed, now), Vec::new(), Default::default());
        let mut house = House { now, host, sim, events, next_id: 1, saved };
        house.host.handle_open(now);
        house.exchange();
        house
    }

    /// A house whose stick is up and whose devices have all joined and been interviewed.
    pub fn settled(config: SimConfig, seed: u64) -> House {
        House::new(config, seed).settle()
    }

    pub fn settle(self) -> House {
        let (count, mut house) = (self.sim.devices().len(), self);
        house.until(Duration::from_secs(60), |house| house.sim.is_up());
        house.run(Duration::from_secs(1));
        let id = house.request(Request::Pairing { seconds: 250, via: None, install_code: None });
        house.until(Duration::from_secs(5), |house| house.answer(id).is_some());
        house.until(Duration::from_secs(240), |house| house.interviewed() == count);
        house
    }

    pub fn interviewed(&self) -> usize {
        let is_end = |event: &&Event| matches!(event, Event::Pairing(Pairing::Interviewed { .. }));
        self.events.iter().filter(is_end).count()
    }

    /// Runs until something is so; panics where it does not come to be.
    pub fn until(&mut self, within: Duration, mut is_so: impl FnMut(&House) -> bool) {
        let end = self.now + within;
        while !is_so(self) {
            assert!(self.now < end, "it did not come to be: {:#?}", self.troubles());
            self.step(end);
        }
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step(end);
        }
    }

    /// What went wrong, for whoever reads the panic.
    pub fn troubles(&self) -> Vec<&Event> {
        let is_trouble = |event: &&Event| {
            matches!(event, Event::Pairing(Pairing::Failed { .. }) | Event::Radio(_) | Event::Answer { .. })
        };
        let all: Vec<&Event> = self.events.iter().filter(is_trouble).collect();
        all[all.len().saturating_sub(12)..].to_vec()
    }

    fn step(&mut self, end: Instant) {
        let due = [self.host.poll_timeout(), self.sim.poll_timeout()].into_iter().flatten().min();
        self.now = due.map_or(end, |due| due.clamp(self.now, end));
        self.sim.handle_timeout(self.now);
        if self.host.poll_timeout().is_some_and(|at| at <= self.now) {
            self.host.handle_timeout(self.now);
        }
        self.exchange();
    }

    pub fn exchange(&mut self) {
        loop {
            let mut moved = false;
            while let Some(transmit) = self.host.poll_transmit() {
                moved = true;
                match transmit {
                    Transmit::Bytes(bytes) => self.sim.handle_bytes(self.now, &bytes),
                    Transmit::Lines { .. } => {}
                    Transmit::Reopen { .. } => {
                        self.sim.handle_closed(self.now);
                        self.host.handle_closed(self.now);
                        self.host.handle_open(self.now);
                    }
                }
            }
            while let Some(bytes) = self.sim.poll_transmit() {
                moved = true;
                self.host.handle_bytes(self.now, &bytes);
            }
            if !moved {
                break;
            }
        }
        while let Some(event) = self.host.poll_event() {
            if let Event::Persist(Persist::Device { ieee, document }) = &event {
                self.saved.insert(*ieee, document.clone());
            }
            self.events.push(event);
        }
    }

    pub fn request(&mut self, request: Request) -> RequestId {
        let id = self.next_id;
        self.next_id += 1;
        self.host.handle_command(self.now, HostCommand::Request { id, request });
        self.exchange();
        id
    }

    pub fn answer(&self, id: RequestId) -> Option<Result<Reply, ErrorBody>> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Answer { id: its, answer } if *its == id => Some(answer.clone()),
            _ => None,
        })
    }

    pub fn ask(&mut self, request: Request) -> Result<Reply, ErrorBody> {
        let id = self.request(request);
        self.until(Duration::from_secs(120), |house| house.answer(id).is_some());
        self.answer(id).expect("it was waited for")
    }

    pub fn ieee(&self, name: &str) -> Ieee {
        self.sim.device(name).expect("it is in the house").ieee
    }

    pub fn view(&self, name: &str) -> View {
        let ieee = self.ieee(name);
        self.host.devices().into_iter().find(|view| view.ieee == ieee).expect("it is in the network")
    }

    /// Sets properties of one device: how it ended and how long it took.
    pub fn set(&mut self, name: &str, set: Value) -> (End, Duration) {
        let began = self.now;
        let (targets, set) = (vec![self.ieee(name)], set.as_object().expect("an object").clone());
        let answer = self.ask(Request::Set { targets, set, group: None });
        let Ok(Reply::Set(mut ends)) = answer else { panic!("{answer:?}") };
        (ends.pop().expect("one target"), self.now - began)
    }
}
