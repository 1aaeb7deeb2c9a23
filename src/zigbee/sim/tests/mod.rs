//! The double itself, spoken to in bytes by the smallest host there can be. What it must refuse is tried as well as what it must do.

mod house;
mod memory;

use std::time::{Duration, Instant};

use super::unpi::{AREQ, Frame, Parsed, Parser, SREQ, SRSP};
use super::*;
use crate::zigbee::sim::bytes::{Reader, Writer};

/// Time that stands still until somebody moves it.
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
fn epoch() -> Instant {
    Instant::now()
}

/// A host that knows a handful of commands and waits for nothing but what it is told to.
struct Host {
    sim: Simulator,
    now: Instant,
    parser: Parser,
    /// What has come, in its order.
    came: Vec<Frame>,
    transaction: u8,
}

impl Host {
    fn new(config: SimConfig) -> Host {
        let now = epoch();
        Host { sim: Simulator::new(config, 7, now), now, parser: Parser::default(), came: Vec::new(), transaction: 0 }
    }

    fn with(generation: Generation, devices: &[&str]) -> Host {
        let devices = devices.iter().map(|name| Model::by_name(name).expect("a model")).collect();
        Host::new(SimConfig { generation, devices, ..SimConfig::default() })
    }

    fn collect(&mut self) {
        while let Some(bytes) = self.sim.poll_transmit() {
            self.parser.push(&bytes);
        }
        while let Some(parsed) = self.parser.next() {
            if let Parsed::Frame(frame) = parsed {
                self.came.push(frame);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.sim.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.sim.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
        self.sim.handle_timeout(until);
        self.collect();
    }

    /// A request and its answer; `None`: there was none.
    fn ask(&mut self, subsystem: u8, id: u8, data: &[u8]) -> Option<Frame> {
        let frame = Frame { kind: SREQ, subsystem, id, data: data.to_vec() };
        self.sim.handle_bytes(self.now, &frame.encode());
        self.collect();
        let place = self.came.iter().position(|frame| frame.kind == SRSP)?;
        Some(self.came.remove(place))
    }

    fn reset(&mut self) {
        let frame = Frame { kind: AREQ, subsystem: 1, id: 0, data: vec![1] };
        self.sim.handle_bytes(self.now, &frame.encode());
        self.pass(Duration::from_millis(200));
        assert!(self.take(1, 0x80).is_some(), "the stick says that it has started");
    }

    /// Takes the first thing told by this number.
    fn take(&mut self, subsystem: u8, id: u8) -> Option<Vec<u8>> {
        let place = self.came.iter().position(|f| (f.kind, f.subsystem, f.id) == (AREQ, subsystem, id))?;
        Some(self.came.remove(place).data)
    }

    fn nv(&mut self, id: u16) -> Vec<u8> {
        let request = Writer::new().u16(id).u16(0);
        let answer = self.ask(1, 0x1c, &request.0).expect("an answer").data;
        answer.get(2..).unwrap_or_default().to_vec()
    }

    fn set_nv(&mut self, id: u16, value: &[u8]) {
        let request = Writer::new().u16(id).u16(0).u16(value.len() as u16).bytes(value);
        assert_eq!(self.ask(1, 0x1d, &request.0).expect("an answer").data, [0], "item {id:#06x}");
    }

    /// A network on channel 15, as a host that starts for the first time makes one.
    fn form(&mut self) {
        self.set_nv(0x8f, &[1]);
        self.set_nv(0x83, &[0x62, 0x1a]);
        self.set_nv(0x62, &[7; 16]);
        let channels = Writer::new().u8(1).u32(1 << 15);
        assert_eq!(self.ask(15, 8, &channels.0).expect("an answer").data, [0]);
        self.start();
    }

    fn start(&mut self) {
        assert_eq!(self.ask(15, 5, &[4]).expect("an answer").data, [0]);
        self.pass(Duration::from_millis(300));
        assert!(self.came.iter().any(|f| (f.subsystem, f.id, &f.data[..]) == (5, 0xc0, &[9])), "it is a coordinator");
        self.came.clear();
        // Endpoint 1, Home Automation.
        let endpoint = Writer::new().u8(1).u16(0x0104).u16(5).u8(0).u8(0).words(&[0, 0x0500]).words(&[6]);
        assert_eq!(self.ask(4, 0, &endpoint.0).expect("an answer").data, [0]);
    }

    fn permit(&mut self, seconds: u8) {
        let request = Writer::new().u8(15).u16(0xfffc).u8(seconds).u8(0);
        assert_eq!(self.ask(5, 0x36, &request.0).expect("an answer").data, [0]);
    }

    /// A network with all devices in it.
    fn home(generation: Generation, devices: &[&str]) -> Host {
        let mut host = Host::with(generation, devices);
        host.form();
        host.permit(60);
        host.pass(Duration::from_secs(40));
        host.permit(0);
        host.pass(Duration::from_secs(1));
        for name in devices {
            assert!(host.sim.device(name).expect("it is there").membership.is_some(), "{name} has not joined");
        }
        host.came.clear();
        host
    }

    fn nwk(&self, name: &str) -> u16 {
        self.sim.device(name).and_then(Device::nwk).expect("it is paired").0
    }

    /// Sends a ZCL frame to a device's only endpoint; returns the transaction.
    fn say(&mut self, name: &str, cluster: u16, zcl: &[u8]) -> u8 {
        self.transaction += 1;
        let endpoint = self.sim.device(name).expect("a device").endpoints[0].spec.id;
        let request = Writer::new().u16(self.nwk(name)).u8(endpoint).u8(1).u16(cluster).u8(self.transaction);
        let request = request.u8(0).u8(30).u8(zcl.len() as u8).bytes(zcl);
        assert_eq!(self.ask(4, 1, &request.0).expect("an answer").data, [0]);
        self.transaction
    }

    /// The status of the confirm, as soon as it comes within `wait`.
    fn confirm(&mut self, wait: Duration) -> Option<u8> {
        self.pass(wait);
        self.take(4, 0x80).map(|data| data[0])
    }

    /// The next message of a device: cluster and ZCL frame.
    fn hear(&mut self) -> Option<(u16, Vec<u8>)> {
        let data = self.take(4, 0x81)?;
        let len = usize::from(data[16]);
        Some((u16::from_le_bytes([data[2], data[3]]), data[17..17 + len].to_vec()))
    }

    fn bind(&mut self, name: &str, cluster: u16) {
        let device = self.sim.device(name).expect("a device");
        let (ieee, endpoint) = (device.ieee.0, device.endpoints[0].spec.id);
        let request = Writer::new().u16(self.nwk(name)).u64(ieee).u8(endpoint).u16(cluster).u8(3);
        let request = request.u64(self.sim.ieee().0).u8(1);
        assert_eq!(self.ask(5, 0x21, &request.0).expect("an answer").data, [0]);
    }
}

#[test]
fn the_generations_answer_as_their_firmware_does() {
    let (mut new, mut old) = (Host::with(Generation::V3x0, &[]), Host::with(Generation::V30x, &[]));
    let row = [1, 4, 0, 0, 0];
    assert_eq!(new.ask(1, 0x32, &row).expect("a length").data, [20, 0, 0, 0]);
    let refused = old.ask(1, 0x32, &row).expect("an RPC error");
    assert_eq!((refused.subsystem, refused.id, &refused.data[..]), (0, 0, &[2, 0x21, 0x32][..]));
    assert_eq!(new.ask(7, 0x49, &[0]).expect("a child").data.len(), 36);
    assert_eq!(old.ask(7, 0x49, &[0]).expect("a child").data.len(), 28);
    assert_eq!(new.nv(0x82).len(), 24);
    assert_eq!(old.nv(0x82).len(), 21);
    assert!(new.ask(7, 0x0a, &[3, 1]).is_none(), "built without lamps, it never answers");
    assert_eq!(old.ask(7, 0x0a, &[3, 1]).expect("an answer").data, [0]);
    assert!(old.ask(7, 0x63, &[0; 8]).is_some_and(|answer| answer.subsystem == 0), "it has no ASSOC_REMOVE");
    assert_eq!((new.sim.violations(), old.sim.violations()), (0, 0));
    assert_eq!(old.sim.unknown_commands(), 2);
}

#[test]
fn rules_of_the_line_that_are_broken_are_counted() {
    let mut host = Host::with(Generation::V3x0, &[]);
    host.sim.handle_bytes(host.now, &[0x55]);
    assert_eq!(host.sim.violations(), 1, "a stray byte");
    host.sim.handle_bytes(host.now, &[0xfe, 0x00, 0x21, 0x01, 0x21]);
    let after_bad_check = host.sim.violations();
    assert!(after_bad_check > 1, "a check that does not hold");
    let before = host.sim.violations();
    host.ask(1, 0x13, &[1]).expect("an RPC error");
    assert_eq!(host.sim.violations(), before + 1, "a request that is cut off");
    // Two requests in one breath: the second did not wait.
    let ping = Frame { kind: SREQ, subsystem: 1, id: 1, data: vec![] }.encode();
    host.sim.handle_bytes(host.now, &[ping.clone(), ping].concat());
    assert_eq!(host.sim.violations(), before + 2);
}

#[test]
fn the_same_seed_brings_the_same_bytes() {
    let run = |seed: u64| {
        let now = epoch();
        let line = LineFaults { garbled: 0.2, lost: 0.1, duplicated: 0.1, resets: 0.0 };
        let mut sim = Simulator::new(SimConfig { line, ..SimConfig::default() }, seed, now);
        let ping = Frame { kind: SREQ, subsystem: 1, id: 1, data: vec![] }.encode();
        let mut out = Vec::new();
        for _ in 0..50 {
            sim.handle_bytes(now, &ping);
            out.extend(std::iter::from_fn(|| sim.poll_transmit()).flatten());
        }
        out
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

proptest::proptest! {
    #[test]
    fn no_bytes_bring_it_down(chunks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0..20)) {
        let mut host = Host::home(Generation::V3x0, &["bulb"]);
        for chunk in chunks {
            host.sim.handle_bytes(host.now, &chunk);
            host.pass(Duration::from_millis(3));
        }
    }

    #[test]
    fn no_command_brings_it_down(
        commands in proptest::collection::vec(
            (proptest::sample::select(vec![1_u8, 4, 5, 7, 15]), 0..0x60_u8, proptest::collection::vec(proptest::num::u8::ANY, 0..24)), 0..20)
    ) {
        let mut host = Host::home(Generation::V30x, &["bulb"]);
        for (subsystem, id, data) in commands {
            host.ask(subsystem, id, &data);
            host.pass(Duration::from_millis(20));
        }
    }

    #[test]
    fn no_message_brings_a_device_down(
        frames in proptest::collection::vec(
            (proptest::sample::select(vec![0_u16, 3, 4, 5, 6, 8, 0x102, 0x300, 0x500, 0xef00]), proptest::collection::vec(proptest::num::u8::ANY, 0..20)), 0..20)
    ) {
        let mut host = Host::home(Generation::V3x0, &["bulb", "cover", "tuya"]);
        for (cluster, zcl) in frames {
            for name in ["bulb", "cover", "tuya"] {
                host.say(name, cluster, &zcl);
            }
            host.pass(Duration::from_secs(1));
        }
    }
}
