//! A Z-Stack stick: what the host says to it over the serial line and what it answers, its memory, and its part as coordinator and
//! trust centre. Knows the air by `World` alone, and no clock.

mod af;
mod net;
pub mod nv;
mod sys;
mod util;
mod zdo;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use self::nv::{Nib, Nv, item};
use super::air::Network;
use super::chance::Chance;
use super::unpi::{AREQ, Frame, Parsed, Parser, SREQ, SRSP};
use super::world::World;
use crate::zigbee::types::{Ieee, Key};

/// From the reset to the indication of it.
const BOOT: Duration = Duration::from_millis(80);

/// From the wish to be a coordinator to being one.
const FORMING: Duration = Duration::from_millis(120);

/// Bytes that the host has not fetched; a stick whose host is away throws away what is more.
const OUT_LEN_MAX: usize = 1 << 20;

/// Generations of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Z-Stack 3.x.0, as on CC2652 and CC1352.
    V3x0,
    /// Z-Stack 3.0.x, as on CC2531.
    V30x,
}

impl Generation {
    /// Structures begin their words at even addresses, or anywhere.
    pub fn alignment(self) -> usize {
        match self {
            Generation::V3x0 => 2,
            Generation::V30x => 1,
        }
    }

    /// `product` of SYS_VERSION.
    fn product(self) -> u8 {
        match self {
            Generation::V3x0 => 1,
            Generation::V30x => 2,
        }
    }

    fn revision(self) -> u32 {
        match self {
            Generation::V3x0 => 20_230_507,
            Generation::V30x => 20_190_619,
        }
    }

    /// Messages under way at once.
    pub fn in_flight_max(self) -> usize {
        match self {
            Generation::V3x0 => 16,
            Generation::V30x => 4,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Booting(Instant),
    /// Answers, has no network.
    Idle,
    Forming(Instant),
    Up,
}

/// What answers a request.
enum Answer {
    Reply(Vec<u8>),
    /// This stick says nothing to it.
    Silence,
    /// It has no such command: an RPC error.
    Unknown,
    /// The request is cut off or too long: an RPC error.
    Malformed,
}

impl Answer {
    fn status(status: u8) -> Answer {
        Answer::Reply(vec![status])
    }
}

/// An endpoint that the host has registered.
#[derive(Debug, Clone)]
struct Registered {
    profile: u16,
    device: u16,
    inputs: Vec<u16>,
    outputs: Vec<u16>,
}

pub struct Stick {
    pub generation: Generation,
    /// The address in its silicon, which counts where none is in the memory.
    pub hardware: Ieee,
    pub nv: Nv,
    /// Rows of the address manager and of the trust centre's keys.
    tables_len: usize,
    /// Nothing gets through to it, nor out of it.
    pub is_hung: bool,
    phase: Phase,
    parser: Parser,
    out: VecDeque<Vec<u8>>,
    out_len: usize,
    /// While a request is carried out: what is told besides comes behind its answer.
    behind: Option<Vec<Frame>>,
    /// The answer to the last request has not been fetched: another request breaks the rule of one at a time.
    answers_waiting: usize,
    pub requests: u64,
    pub unknown_commands: u64,
    chance: Chance,
    /// RAM, gone with a reset:
    endpoints: BTreeMap<u8, Registered>,
    groups: BTreeSet<(u8, u16)>,
    wants_all_zdo: bool,
    channels_wanted: Option<u32>,
    install_codes: BTreeMap<Ieee, [u8; 18]>,
    only_install_codes: bool,
    /// Message handles and what the host knows them by: endpoint and transaction.
    in_flight: BTreeMap<u64, (u8, u8)>,
    handles: u64,
    sequence: u8,
    aps_counter: u8,
    network: Option<Network>,
    nib: Option<Nib>,
    /// Frame counter of the network key.
    counter: u32,
    counter_kept: u32,
    /// Messages heard lately, so that what is repeated is told once.
    heard: VecDeque<(u16, u8)>,
}

impl Stick {
    pub fn new(generation: Generation, hardware: Ieee, nv: Option<Nv>, tables_len: usize, seed: u64) -> Stick {
        let mut stick = Stick {
            generation,
            hardware,
            nv: nv.unwrap_or_default(),
            tables_len,
            is_hung: false,
            phase: Phase::Idle,
            parser: Parser::default(),
            out: VecDeque::new(),
            out_len: 0,
            behind: None,
            answers_waiting: 0,
            requests: 0,
            unknown_commands: 0,
            chance: Chance::new(seed),
            endpoints: BTreeMap::new(),
            groups: BTreeSet::new(),
            wants_all_zdo: false,
            channels_wanted: None,
            install_codes: BTreeMap::new(),
            only_install_codes: false,
            in_flight: BTreeMap::new(),
            handles: 0,
            sequence: 0,
            aps_counter: 0,
            network: None,
            nib: None,
            counter: 0,
            counter_kept: 0,
            heard: VecDeque::new(),
        };
        stick.boot();
        stick
    }

    pub fn ieee(&self) -> Ieee {
        let kept = self.nv.get(item::EXTADDR).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        Ieee(kept.unwrap_or(self.hardware.0))
    }

    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// The counter that its next message goes out with.
    pub fn frame_counter(&self) -> u32 {
        self.counter
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let bytes = self.out.pop_front()?;
        self.out_len -= bytes.len();
        if self.out.is_empty() {
            self.answers_waiting = 0;
        }
        Some(bytes)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Booting(at) | Phase::Forming(at) => Some(at),
            Phase::Idle | Phase::Up => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant, world: &mut World) {
        match self.phase {
            Phase::Booting(at) if at <= now => {
                self.phase = Phase::Idle;
                self.boot();
                // Reason, transport, product, major, minor, hardware.
                self.tell(1, 0x80, vec![0, 2, self.generation.product(), 2, 7, 1]);
            }
            Phase::Forming(at) if at <= now => self.formed(now, world),
            _ => {}
        }
    }

    /// Starts anew, as when asked or when its power was away. What was in its RAM is gone.
    pub fn reset(&mut self, now: Instant, world: &mut World) {
        self.phase = Phase::Booting(now + BOOT);
        self.network = None;
        self.in_flight.clear();
        self.parser.clear();
        self.out.clear();
        (self.out_len, self.answers_waiting) = (0, 0);
        self.endpoints.clear();
        self.groups.clear();
        self.wants_all_zdo = false;
        self.channels_wanted = None;
        self.install_codes.clear();
        self.only_install_codes = false;
        self.heard.clear();
        world.set_coordinator(None);
        world.tell(now, "stick", "starts anew");
    }

    /// The line was cut: half a frame on it is nothing.
    pub fn forget_line(&mut self) {
        self.parser.clear();
        self.answers_waiting = 0;
    }

    /// Bytes from the host.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8], world: &mut World) {
        if self.is_hung || matches!(self.phase, Phase::Booting(_)) {
            return;
        }
        self.parser.push(bytes);
        while let Some(parsed) = self.parser.next() {
            match parsed {
                Parsed::Frame(frame) => self.handle_frame(now, frame, world),
                // Hosts wake boot loaders with these.
                Parsed::Stray(0xef | 0x00 | 0x07) => {}
                Parsed::Stray(byte) => world.violation(now, "stick", format!("a stray byte {byte:#04x}")),
                Parsed::BadCheck => world.violation(now, "stick", "a frame whose check does not hold"),
            }
            if matches!(self.phase, Phase::Booting(_)) {
                break;
            }
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame, world: &mut World) {
        let Frame { kind, subsystem, id, data } = frame;
        if kind == AREQ && (subsystem, id) == (1, 0x00) {
            return self.reset(now, world);
        }
        if kind != SREQ {
            let what = format!("a frame of kind {kind} for subsystem {subsystem}, which no host sends");
            return world.violation(now, "stick", what);
        }
        self.requests += 1;
        if self.answers_waiting > 0 {
            world.violation(now, "stick", "a request before the answer to the last one");
        }
        self.behind = Some(Vec::new());
        let answer = match subsystem {
            1 => self.handle_sys(id, &data),
            4 => self.handle_af(now, id, &data, world),
            5 => self.handle_zdo(now, id, &data, world),
            7 => self.handle_util(id, &data, world),
            15 => self.handle_app_cnf(now, id, &data, world),
            _ => Answer::Unknown,
        };
        let behind = self.behind.take().unwrap_or_default();
        let cmd0 = SREQ << 5 | subsystem;
        match answer {
            Answer::Reply(reply) => self.reply(subsystem, id, reply),
            Answer::Silence => {}
            Answer::Unknown => {
                self.unknown_commands += 1;
                world.tell(now, "stick", format!("has no command {subsystem}/{id:#04x}"));
                let known = matches!(subsystem, 1 | 4 | 5 | 7 | 15);
                self.reply(0, 0, vec![if known { 2 } else { 1 }, cmd0, id]);
            }
            Answer::Malformed => {
                world.violation(now, "stick", format!("a malformed command {subsystem}/{id:#04x}: {data:02x?}"));
                self.reply(0, 0, vec![4, cmd0, id]);
            }
        }
        behind.into_iter().for_each(|frame| self.put(frame));
    }

    fn reply(&mut self, subsystem: u8, id: u8, data: Vec<u8>) {
        self.answers_waiting += 1;
        self.put(Frame { kind: SRSP, subsystem, id, data });
    }

    /// Something of its own accord.
    fn tell(&mut self, subsystem: u8, id: u8, data: Vec<u8>) {
        let frame = Frame { kind: AREQ, subsystem, id, data };
        match &mut self.behind {
            Some(behind) => behind.push(frame),
            None => self.put(frame),
        }
    }

    fn put(&mut self, frame: Frame) {
        if self.is_hung {
            return;
        }
        let bytes = frame.encode();
        while self.out_len + bytes.len() > OUT_LEN_MAX {
            match self.out.pop_front() {
                Some(old) => self.out_len -= old.len(),
                None => break,
            }
        }
        self.out_len += bytes.len();
        self.out.push_back(bytes);
    }

    fn key(&self) -> Option<Key> {
        let bytes = self.nv.get(item::ACTIVE_KEY)?.get(1..17)?;
        bytes.try_into().ok().map(Key)
    }
}
