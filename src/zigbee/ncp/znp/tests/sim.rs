//! The host on the simulated house, which was written without a look at it: all faults, both generations, another stick.

use super::*;
use crate::zigbee::ncp::backup::Backup;
use crate::zigbee::sim::{AirFaults, Generation, LineFaults, MODELS, Model, SimConfig, Simulator};

struct House {
    now: Instant,
    znp: Znp,
    sim: Simulator,
    to_stick: VecDeque<(Instant, Vec<u8>)>,
    to_host: VecDeque<(Instant, Vec<u8>)>,
    events: Vec<NcpEvent>,
    reopened: u32,
}

const GENERATIONS: [Generation; 2] = [Generation::V3x0, Generation::V30x];

/// Of the serial line, one way.
const WIRE: Duration = Duration::from_millis(1);

fn znp(known: Option<Persisted>, config: Config) -> Znp {
    let mut chance = 3u8;
    let entropy = move |bytes: &mut [u8]| {
        for byte in bytes {
            chance = chance.wrapping_mul(29).wrapping_add(101);
            *byte = chance;
        }
    };
    Znp::new(config, known, Box::new(entropy))
}

#[expect(clippy::disallowed_methods, reason = "a starting point for time that the test makes itself")]
fn house(generation: Generation, devices: Vec<&'static Model>, seed: u64) -> House {
    let now = Instant::now();
    let config = SimConfig { generation, devices, ..SimConfig::default() };
    let mut house = House {
        now,
        znp: znp(None, Config::default()),
        sim: Simulator::new(config, seed, now),
        to_stick: VecDeque::new(),
        to_host: VecDeque::new(),
        events: Vec::new(),
        reopened: 0,
    };
    house.znp.handle_open(now);
    house
}

impl House {
    fn step(&mut self) {
        self.flush();
        let queues = [self.to_stick.front(), self.to_host.front()].into_iter().flatten().map(|(at, _)| *at);
        let next = queues.chain(self.znp.poll_timeout()).chain(self.sim.poll_timeout()).min();
        self.now = self.now.max(next.expect("something will happen"));
        if let Some((_, bytes)) = self.to_stick.pop_front_if(|(at, _)| *at <= self.now) {
            self.sim.handle_bytes(self.now, &bytes);
        } else if let Some((_, bytes)) = self.to_host.pop_front_if(|(at, _)| *at <= self.now) {
            self.znp.handle_bytes(self.now, &bytes);
        } else if self.znp.poll_timeout().is_some_and(|at| at <= self.now) {
            self.znp.handle_timeout(self.now);
        } else {
            self.sim.handle_timeout(self.now);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.znp.poll_transmit() {
            match transmit {
                Transmit::Bytes(bytes) => self.to_stick.push_back((self.now + WIRE, bytes)),
                Transmit::Lines { .. } => {}
                Transmit::Reopen { .. } => {
                    self.reopened += 1;
                    self.reopen();
                }
            }
        }
        while let Some(bytes) = self.sim.poll_transmit() {
            self.to_host.push_back((self.now + WIRE, bytes));
        }
        while let Some(event) = self.znp.poll_event() {
            self.events.push(event);
        }
    }

    fn reopen(&mut self) {
        self.to_host.clear();
        self.to_stick.clear();
        self.znp.handle_closed(self.now);
        self.sim.handle_closed(self.now);
        self.znp.handle_open(self.now);
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    fn run_until(&mut self, seconds: u64, what: &str, is_done: impl Fn(&House) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while !is_done(self) {
            self.step();
            assert!(
                self.now < end,
                "{what}: not within {seconds} s; {:?}",
                &self.events[self.events.len().saturating_sub(20)..]
            );
        }
    }

    fn is_up(&self) -> bool {
        let state = self
            .events
            .iter()
            .rev()
            .find(|event| matches!(event, NcpEvent::Up(_) | NcpEvent::Down { .. } | NcpEvent::Refused { .. }));
        matches!(state, Some(NcpEvent::Up(_)))
    }

    fn persisted(&self) -> Option<Persisted> {
        self.events.iter().rev().find_map(|event| match event {
            NcpEvent::Persist(persisted) => Some((**persisted).clone()),
            _ => None,
        })
    }

    fn refused(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            NcpEvent::Refused { why } => Some(&**why),
            _ => None,
        })
    }

    fn status(&self, wanted: Tag) -> Option<SendStatus> {
        let mut statuses = self.events.iter().filter_map(|event| match event {
            NcpEvent::Sent { tag, status } if *tag == wanted => Some(*status),
            _ => None,
        });
        let status = statuses.next();
        assert_eq!(statuses.next(), None, "answered twice");
        status
    }

    fn send(&mut self, tag: Tag, nwk: Nwk, cluster: u16, payload: Vec<u8>) {
        let message = Outgoing {
            to: Destination::Device { nwk, endpoint: Endpoint(1) },
            profile: ProfileId::HOME_AUTOMATION,
            cluster: ClusterId(cluster),
            from: Endpoint(1),
            radius: 30,
            payload,
            ack: true,
        };
        self.znp.command(self.now, NcpCommand::Send { tag, message });
        self.flush();
    }

    /// Lets everybody in who wants to be.
    fn pair_all(&mut self) {
        self.znp.command(self.now, NcpCommand::PermitJoin { tag: 1 << 40, seconds: 60, via: None });
        let count = self.sim.devices().len();
        self.run_until(60, "all join", |house| {
            house.sim.devices().iter().filter(|device| device.nwk().is_some()).count() == count
        });
        // Their keys.
        self.run(Duration::from_secs(20));
    }

    fn back_up(&mut self, tag: Tag) -> Backup {
        self.znp.command(self.now, NcpCommand::Backup { tag });
        let find = move |house: &House| {
            house.events.iter().find_map(|event| match event {
                NcpEvent::Done { tag: done, result } if *done == tag => Some(result.clone()),
                _ => None,
            })
        };
        self.run_until(60, "a backup", |house| find(house).is_some());
        match find(self) {
            Some(Ok(Reply::Backup(json))) => Backup::from_json(&json).expect("it can be read"),
            other => panic!("{other:?}"),
        }
    }
}

fn models() -> Vec<&'static Model> {
    MODELS.iter().collect()
}

fn mains() -> Vec<&'static Model> {
    MODELS.iter().filter(|model| !model.is_sleepy()).collect()
}

#[test]
fn a_network_is_formed_and_all_come_in_without_a_rule_broken() {
    for generation in GENERATIONS {
        let mut house = house(generation, models(), 1);
        house.run_until(120, "up", House::is_up);
        assert_eq!(house.sim.network().map(|(channel, _)| [11, 15, 20, 25].contains(&channel)), Some(true));
        house.pair_all();
        for device in house.sim.devices() {
            let joined = |event: &NcpEvent| matches!(event, NcpEvent::Joined { ieee, .. } if *ieee == device.ieee);
            assert!(house.events.iter().any(joined), "{} was not told", device.name);
        }
        assert_eq!((house.sim.violations(), house.reopened), (0, 0), "{generation:?}");
        let backup = house.back_up(1);
        assert_eq!(backup.coordinator, house.sim.ieee());
        // The stick knows those that speak through it, and those that have a key of their own.
        for device in house.sim.devices().iter().filter(|device| house.sim.own_key_holds(&device.name) == Some(true)) {
            let kept = backup.devices.iter().find(|kept| kept.ieee == device.ieee);
            let kept = kept.unwrap_or_else(|| panic!("{} is not in the backup", device.name));
            assert_eq!(kept.link_key.as_ref().map(|key| key.key), device.link_key, "{}", device.name);
        }
        assert_eq!(house.sim.violations(), 0);
    }
}

/// Another stick of either generation, empty, takes the old one's place; the devices notice nothing.
#[test]
fn devices_go_on_with_another_stick() {
    for (from, to) in GENERATIONS.into_iter().flat_map(|from| GENERATIONS.map(|to| (from, to))) {
        let mut house = house(from, mains(), 2);
        house.run_until(120, "up", House::is_up);
        house.pair_all();
        house.back_up(1);
        let known = house.persisted().expect("it was persisted");
        let network = house.sim.network();
        let counter = house.sim.frame_counter();
        house.sim.swap_stick(house.now, to, None);
        house.znp = znp(Some(known), Config::default());
        house.events.clear();
        house.znp.handle_open(house.now);
        house.to_host.clear();
        house.to_stick.clear();
        house.run_until(300, "up again", House::is_up);
        assert_eq!(house.sim.network(), network, "{from:?} to {to:?}");
        assert!(house.sim.frame_counter() >= counter, "{} < {counter}", house.sim.frame_counter());
        let nwks: Vec<_> = house.sim.devices().iter().map(|device| (device.name.clone(), device.nwk())).collect();
        for (tag, (name, nwk)) in (10..).zip(nwks) {
            // Read the model; a device that does not take the counter or the key says nothing.
            house.send(tag, nwk.expect("it is in the network"), 0, vec![0x00, tag as u8, 0x00, 0x05, 0x00]);
            house.run_until(20, &name, |house| house.status(tag).is_some());
            assert_eq!(house.status(tag), Some(SendStatus::Delivered), "{name}, {from:?} to {to:?}");
            assert_ne!(house.sim.own_key_holds(&name), Some(false), "{name}'s own key, {from:?} to {to:?}");
        }
        assert_eq!(house.sim.violations(), 0);
    }
}

#[test]
fn a_stick_with_another_network_is_left_as_it_is() {
    let mut other = house(Generation::V3x0, vec![], 3);
    other.run_until(120, "up", House::is_up);
    let nv = other.sim.nv().clone();
    let mut house = house(Generation::V3x0, vec![], 4);
    house.run_until(120, "up", House::is_up);
    house.back_up(1);
    let known = house.persisted().expect("it was persisted");
    let known = Persisted { key: Key([9; 16]), ..known };
    house.sim.swap_stick(house.now, Generation::V3x0, Some(nv.clone()));
    house.znp = znp(Some(known), Config::default());
    house.events.clear();
    house.znp.handle_open(house.now);
    house.run_until(60, "refused", |house| house.refused().is_some());
    assert_eq!(*house.sim.nv(), nv);
}

/// How many messages were told to have been delivered that were not.
fn wrongly_done(generation: Generation, line: LineFaults, air: AirFaults, resets: bool, seed: u64) -> (usize, usize) {
    let lamp = Model::by_name("bulb").or_else(|| mains().first().copied()).expect("there are models");
    let mut house = house(generation, vec![lamp], seed);
    house.run_until(120, "up", House::is_up);
    house.pair_all();
    let nwk = house.sim.devices()[0].nwk().expect("it has joined");
    let name = house.sim.devices()[0].name.clone();
    house.sim.line = line;
    house.sim.set_air_faults(air);
    let (mut failed, mut wrong) = (0, 0);
    for tag in 0..200u64 {
        if resets && tag % 40 == 20 {
            house.sim.reset_stick(house.now);
        }
        let wanted = (tag % 2) as u8;
        house.run_until(600, "up", House::is_up);
        house.send(tag, nwk, 6, vec![0x11, tag as u8, wanted]);
        house.run_until(120, "an answer", |house| house.status(tag).is_some());
        if house.status(tag) == Some(SendStatus::Delivered) {
            let truth = house.sim.truth(&name, 6, 0).expect("a lamp has a state");
            wrong += usize::from(truth != i64::from(wanted));
        } else {
            failed += 1;
        }
    }
    assert!(failed < 100, "{failed} of 200 failed: nothing works any more");
    (failed, wrong)
}

#[test]
fn nothing_is_told_as_done_that_was_not() {
    let line = LineFaults { garbled: 0.05, lost: 0.05, duplicated: 0.05, resets: 0.0 };
    let air = AirFaults { lost: 0.05, duplicated: 0.05 };
    for generation in GENERATIONS {
        let mut figures = Vec::new();
        for (at, (line, air, resets)) in [
            (LineFaults::default(), AirFaults::default(), false),
            (line, AirFaults::default(), false),
            (LineFaults::default(), air, false),
            (line, air, true),
            (LineFaults { resets: 0.01, ..line }, air, false),
        ]
        .into_iter()
        .enumerate()
        {
            let (failed, wrong) = wrongly_done(generation, line, air, resets, 50 + at as u64);
            assert_eq!(wrong, 0, "{generation:?} {at}");
            figures.push(failed);
        }
        eprintln!("{generation:?}: of 200 messages failed, and were told so: {figures:?}");
        assert_eq!(figures[0], 0, "{generation:?}: on a good line");
    }
}

#[test]
fn a_stick_that_hangs_is_opened_anew_and_comes_back() {
    for generation in GENERATIONS {
        let mut house = house(generation, vec![], 5);
        house.run_until(120, "up", House::is_up);
        let network = house.sim.network();
        house.sim.hang_stick(house.now, true);
        house.run_until(90, "down", |house| !house.is_up());
        house.run(Duration::from_secs(60));
        house.sim.hang_stick(house.now, false);
        house.run_until(120, "up again", House::is_up);
        assert_eq!(house.sim.network(), network);
        assert!(house.reopened > 0);
    }
}

/// A sleeper that has gone to a router and told nobody: the stick thinks it is its child still.
#[test]
fn a_child_that_has_moved_is_reached_again() {
    for generation in GENERATIONS {
        let sleepy = MODELS.iter().find(|model| model.is_sleepy()).expect("there is one");
        let router = mains()[0];
        let mut house = house(generation, vec![router, sleepy], 8);
        house.run_until(120, "up", House::is_up);
        house.pair_all();
        let name = |house: &House, at: usize| house.sim.devices()[at].name.clone();
        let (router, sleeper) = (name(&house, 0), name(&house, 1));
        let nwk = house.sim.device(&sleeper).and_then(|device| device.nwk()).expect("it has joined");
        house.sim.move_to(house.now, &sleeper, None, true);
        house.run(Duration::from_secs(5));
        let try_it = |house: &mut House, tag: Tag| {
            house.send(tag, nwk, 0, vec![0x00, tag as u8, 0x00, 0x05, 0x00]);
            house.run_until(60, "an answer", |house| house.status(tag).is_some());
            house.status(tag)
        };
        house.sim.move_to(house.now, &sleeper, Some(&router), false);
        assert_eq!(try_it(&mut house, 1), Some(SendStatus::Expired), "{generation:?}");
        house.znp.command(house.now, NcpCommand::DiscoverRoute { tag: 2, to: nwk });
        house.run_until(10, "a route", |house| {
            house.events.iter().any(|event| matches!(event, NcpEvent::Done { tag: 2, .. }))
        });
        house.run(Duration::from_secs(2));
        // The older firmware cannot let go.
        let status = if generation == Generation::V3x0 { SendStatus::Delivered } else { SendStatus::Expired };
        assert_eq!(try_it(&mut house, 3), Some(status), "{generation:?}");
    }
}

/// From the plug to the network that is up: what a person waits for.
#[test]
fn a_stick_that_was_plugged_in_again_is_up_in_two_seconds() {
    for generation in GENERATIONS {
        let mut house = house(generation, models(), 6);
        house.run_until(120, "up", House::is_up);
        house.pair_all();
        house.events.clear();
        house.sim.reset_stick(house.now);
        house.reopen();
        house.events.clear();
        let before = house.now;
        house.run_until(10, "up again", House::is_up);
        let took = house.now - before;
        assert!(took < Duration::from_secs(2), "{generation:?}: {took:?}");
    }
}

#[test]
fn forming_and_pairing_bear_a_bad_line() {
    let line = LineFaults { garbled: 0.04, lost: 0.04, duplicated: 0.04, resets: 0.002 };
    for generation in GENERATIONS {
        for seed in 0..4 {
            let mut house = house(generation, vec![], 60 + seed);
            house.sim.line = line;
            house.run_until(1_800, "up", House::is_up);
            let (_, pan_id) = house.sim.network().expect("a network");
            let known = house.persisted().expect("it was persisted");
            assert_eq!(known.pan_id, pan_id, "{generation:?} {seed}");
        }
    }
}
