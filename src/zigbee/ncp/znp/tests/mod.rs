//! The host and a small stick on a line with a delay, in fake time.

mod healing;
mod restore;
mod sim;
mod stick;

use std::collections::VecDeque;

use self::stick::Stick;
use super::nv::{Family, item};
use super::*;
use crate::zigbee::ncp::{Destination, NetworkInfo, Outgoing};
use crate::zigbee::types::{Channel, Ieee, Key, ProfileId};

const HOP: Duration = Duration::from_millis(5);

/// What becomes of a frame on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    Lost,
    Garbled,
    Twice,
    /// In two pieces.
    TwiceApart,
}

type Fates = Box<dyn FnMut(&[u8]) -> Fate>;

struct Line {
    now: Instant,
    znp: Znp,
    stick: Stick,
    to_stick: VecDeque<(Instant, Vec<u8>)>,
    to_host: VecDeque<(Instant, Vec<u8>)>,
    events: Vec<NcpEvent>,
    reopened: u32,
    lines: Vec<(bool, bool)>,
    is_plugged: bool,
    fate: Fates,
}

#[expect(clippy::disallowed_methods, reason = "a starting point for time that the test makes itself")]
fn line(stick: Stick, config: Config, known: Option<Persisted>) -> Line {
    let mut chance = 7u8;
    let entropy = move |bytes: &mut [u8]| {
        for byte in bytes {
            chance = chance.wrapping_mul(17).wrapping_add(41);
            *byte = chance;
        }
    };
    let mut line = Line {
        now: Instant::now(),
        znp: Znp::new(config, known, Box::new(entropy)),
        stick,
        to_stick: VecDeque::new(),
        to_host: VecDeque::new(),
        events: Vec::new(),
        reopened: 0,
        lines: Vec::new(),
        is_plugged: true,
        fate: Box::new(|_| Fate::Passes),
    };
    line.znp.handle_open(line.now);
    line
}

impl Line {
    /// Until `is_done`, or it panics after this much of fake time.
    fn run_until(&mut self, seconds: u64, is_done: impl Fn(&Line) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while !is_done(self) {
            self.step();
            assert!(self.now < end, "not within {seconds} s; {:?}", self.events);
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let queues = [self.to_stick.front(), self.to_host.front()].into_iter().flatten().map(|(at, _)| *at);
        queues.chain(self.znp.poll_timeout()).min()
    }

    fn step(&mut self) {
        self.flush();
        let next = self.next().expect("something will happen");
        self.now = self.now.max(next);
        if self.to_stick.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.to_stick.pop_front().expect("it was seen");
            if self.is_plugged {
                self.stick.handle_bytes(&bytes);
            }
        } else if self.to_host.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.to_host.pop_front().expect("it was seen");
            self.znp.handle_bytes(self.now, &bytes);
        } else {
            self.znp.handle_timeout(self.now);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.znp.poll_transmit() {
            match transmit {
                Transmit::Bytes(bytes) => {
                    for bytes in self.on_line(bytes) {
                        self.to_stick.push_back((self.now + HOP, bytes));
                    }
                }
                Transmit::Lines { dtr, rts } => self.lines.push((dtr, rts)),
                Transmit::Reopen { .. } => {
                    self.reopened += 1;
                    self.to_host.clear();
                    self.to_stick.clear();
                    self.znp.handle_closed(self.now);
                    self.znp.handle_open(self.now);
                }
            }
        }
        while let Some(frame) = self.stick.out.pop_front() {
            for bytes in self.on_line(frame.encode().expect("it fits")) {
                self.to_host.push_back((self.now + HOP, bytes));
            }
        }
        self.events.extend(std::iter::from_fn(|| self.znp.poll_event()));
    }

    fn on_line(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        match (self.fate)(&bytes) {
            Fate::Passes => vec![bytes],
            Fate::Lost => vec![],
            Fate::Twice => vec![[bytes.clone(), bytes].concat()],
            Fate::TwiceApart => vec![bytes.clone(), bytes],
            Fate::Garbled => {
                let at = bytes.len() / 2;
                bytes[at] ^= 0x41;
                vec![bytes]
            }
        }
    }

    fn up(&self) -> Option<NetworkInfo> {
        self.events.iter().rev().find_map(|event| match event {
            NcpEvent::Up(info) => Some((**info).clone()),
            _ => None,
        })
    }

    fn persisted(&self) -> Option<Persisted> {
        self.events.iter().rev().find_map(|event| match event {
            NcpEvent::Persist(persisted) => Some((**persisted).clone()),
            _ => None,
        })
    }

    fn refused(&self) -> Option<String> {
        self.events.iter().find_map(|event| match event {
            NcpEvent::Refused { why } => Some(why.to_string()),
            _ => None,
        })
    }

    fn sent(&self, wanted: Tag) -> Vec<SendStatus> {
        let sent = self.events.iter().filter_map(|event| match event {
            NcpEvent::Sent { tag, status } if *tag == wanted => Some(*status),
            _ => None,
        });
        sent.collect()
    }

    fn send(&mut self, tag: Tag) {
        let message = Outgoing {
            to: Destination::Device { nwk: Nwk(0x1234), endpoint: Endpoint(11) },
            profile: ProfileId::HOME_AUTOMATION,
            cluster: ClusterId(6),
            from: Endpoint(1),
            radius: 30,
            payload: vec![1, 2, 2],
            ack: false,
        };
        self.znp.command(self.now, NcpCommand::Send { tag, message });
        self.flush();
    }
}

const FAMILIES: [Family; 2] = [Family::V3x0, Family::V30x];

fn fresh(family: Family) -> Stick {
    Stick::new(family, 0x0012_4b00_14d9_a1b2)
}

/// A stick with a network, and what is known of it.
fn settled(family: Family) -> (Stick, Persisted) {
    let mut line = line(fresh(family), Config::default(), None);
    line.run_until(120, |line| line.up().is_some());
    let persisted = line.persisted().expect("a new network is persisted");
    (line.stick, persisted)
}

#[test]
fn an_empty_stick_gets_a_network_on_the_quietest_channel() {
    for family in FAMILIES {
        let mut line = line(fresh(family), Config::default(), None);
        line.run_until(120, |line| line.up().is_some());
        let info = line.up().expect("it is up");
        let persisted = line.persisted().expect("it is persisted");
        assert_eq!(info.channel, Channel(20));
        assert!(info.is_new);
        assert_eq!(info.coordinator, Ieee(0x0012_4b00_14d9_a1b2));
        assert_eq!((persisted.pan_id, persisted.extended_pan_id), (info.pan_id, info.extended_pan_id));
        assert_eq!(line.stick.items[&item::ACTIVE_KEY][1..], persisted.key.0);
        assert_eq!(line.stick.items[&item::HAS_CONFIGURED], [0x55]);
        assert_eq!((line.stick.pan_id, line.stick.channel), (info.pan_id, 20));
        assert_eq!(line.stick.endpoints.iter().copied().collect::<Vec<_>>(), [1, 11, 12, 13, 242]);
        assert!(line.stick.groups.contains(&(242, 0x0b84)) && line.stick.callbacks);
        let (name, in_flight_max) =
            if family == Family::V3x0 { ("Z-Stack 3.x.0 20230507", 16) } else { ("Z-Stack 3.0.x 20230507", 2) };
        assert_eq!((&*info.firmware, info.in_flight_max), (name, in_flight_max));
        assert_eq!(line.reopened, 0);
    }
}

#[test]
fn a_channel_that_is_configured_is_taken_without_a_scan() {
    let config = Config { channel: Some(Channel(25)), restore: false };
    let mut line = line(fresh(Family::V3x0), config, None);
    line.run_until(120, |line| line.up().is_some());
    assert_eq!((line.stick.channel, line.stick.formed), (25, 1));
    assert!(!line.stick.asked.contains(&"mgmtNwkUpdateReq"));
}

#[test]
fn a_network_that_is_known_is_resumed() {
    for family in FAMILIES {
        let (mut stick, known) = settled(family);
        stick.reset();
        stick.out.clear();
        let formed = stick.formed;
        let mut line = line(stick, Config::default(), Some(known));
        line.run_until(30, |line| line.up().is_some());
        assert!(!line.up().expect("it is up").is_new);
        assert_eq!(line.stick.formed, formed);
        assert_eq!(line.persisted(), None, "nothing has changed");
    }
}

/// Of another host, such as Zigbee2MQTT: it is gone on with, never formed over.
#[test]
fn a_network_that_nobody_here_knows_is_adopted() {
    let (mut stick, known) = settled(Family::V3x0);
    stick.items.remove(&item::HAS_CONFIGURED);
    let formed = stick.formed;
    let mut line = line(stick, Config::default(), None);
    line.run_until(30, |line| line.up().is_some());
    assert_eq!(line.stick.formed, formed);
    assert_eq!(line.persisted().expect("it is new here").key, known.key);
}

#[test]
fn a_stick_with_another_network_is_refused_and_left_as_it_is() {
    for family in FAMILIES {
        let (stick, known) = settled(family);
        let other = Persisted { extended_pan_id: Ieee(0x4711), pan_id: 0x0815, ..known.clone() };
        let (items, tables) = (stick.items.clone(), stick.tables.clone());
        let mut line = line(stick, Config::default(), Some(other));
        line.run_until(30, |line| line.refused().is_some());
        let why = line.refused().expect("it was refused");
        assert!(why.contains("another network") && why.contains("0x0815") && why.contains("restore"), "{why}");
        line.run(Duration::from_secs(300));
        assert_eq!((&line.stick.items, &line.stick.tables), (&items, &tables));
        assert_eq!(line.up(), None);

        let key = Persisted { key: Key([1; 16]), ..known.clone() };
        let mut line = self::line(line.stick, Config::default(), Some(key));
        line.run_until(30, |line| line.refused().is_some());
        assert!(line.refused().expect("it was refused").contains("another key"));
    }
}

#[test]
fn an_empty_stick_without_a_backup_of_the_known_network_is_refused() {
    let (_, known) = settled(Family::V3x0);
    let mut line = line(fresh(Family::V3x0), Config::default(), Some(known));
    line.run_until(30, |line| line.refused().is_some());
    assert_eq!(line.stick.formed, 0);
}

#[test]
fn firmware_that_is_too_old_is_refused() {
    let mut stick = fresh(Family::V30x);
    stick.product = 0;
    let mut line = line(stick, Config::default(), None);
    line.run_until(30, |line| line.refused().is_some());
    assert!(line.refused().expect("it was refused").contains("1.2"));
}

/// Firmwares differ in what they know, and in whether they say so.
#[test]
fn what_can_be_done_without_is() {
    let unknown = &["getExtAddr", "extFindGroup", "msgCbRegister", "mgmtNwkUpdateReq"];
    for family in FAMILIES {
        let mut stick = fresh(family);
        (stick.unknown, stick.locks_key) = (unknown, true);
        let mut line = line(stick, Config::default(), None);
        line.run_until(120, |line| line.up().is_some());
        let info = line.up().expect("it is up");
        assert_eq!((info.coordinator, info.channel), (Ieee(0x0012_4b00_14d9_a1b2), Channel(15)));
        assert_eq!(line.reopened, 0);
    }
    for family in FAMILIES {
        let (mut stick, known) = settled(family);
        stick.unknown = &["extFindGroup", "msgCbRegister", "nvLength"];
        stick.ignores_unknown = true;
        let mut line = line(stick, Config::default(), Some(known));
        line.run_until(60, |line| line.up().is_some());
        let in_flight_max = if family == Family::V3x0 { 16 } else { 2 };
        assert_eq!((line.up().expect("it is up").in_flight_max, line.reopened), (in_flight_max, 0));
    }
}

/// Any frame of the start may be lost or garbled, one at a time.
#[test]
fn the_start_survives_the_loss_of_any_frame() {
    let (stick, known) = settled(Family::V3x0);
    let snapshot = || {
        let mut copy = Stick::new(Family::V3x0, stick.address);
        copy.items = stick.items.clone();
        copy.tables = stick.tables.clone();
        copy
    };
    for fate in [Fate::Lost, Fate::Garbled, Fate::Twice, Fate::TwiceApart] {
        for victim in 0..70 {
            let mut line = line(snapshot(), Config::default(), Some(known.clone()));
            let mut at = 0;
            line.fate = Box::new(move |_| {
                at += 1;
                if at == victim + 1 { fate } else { Fate::Passes }
            });
            line.run_until(60, |line| line.up().is_some());
            assert_eq!((line.stick.formed, line.refused()), (0, None), "{fate:?} {victim}");
        }
    }
}

/// A network that is on the stick is never formed over, whatever becomes of the frames that tell of it.
#[test]
fn no_frame_that_is_lost_or_told_twice_makes_a_stick_look_empty() {
    let (stick, known) = settled(Family::V3x0);
    for fate in [Fate::Lost, Fate::Garbled, Fate::Twice, Fate::TwiceApart] {
        for victim in 0..70 {
            let mut copy = Stick::new(Family::V3x0, stick.address);
            copy.items = stick.items.clone();
            // Two requests for a length follow each other then, and the answer to the first is 0.
            copy.items.remove(&item::HAS_CONFIGURED);
            let mut line = line(copy, Config::default(), None);
            let mut at = 0;
            line.fate = Box::new(move |_| {
                at += 1;
                if at == victim + 1 { fate } else { Fate::Passes }
            });
            line.run_until(60, |line| line.up().is_some());
            assert_eq!(line.stick.formed, 0, "{fate:?} {victim}");
            assert_eq!(line.persisted().expect("it is new here").key, known.key, "{fate:?} {victim}");
            assert_eq!(line.refused(), None, "{fate:?} {victim}");
        }
    }
}

#[test]
fn forming_survives_bad_lines() {
    for family in FAMILIES {
        for fate in [Fate::Lost, Fate::Garbled, Fate::Twice, Fate::TwiceApart] {
            for seed in 1..6u32 {
                let mut line = line(fresh(family), Config::default(), None);
                let mut chance = seed;
                // One in twelve.
                line.fate = Box::new(move |_| {
                    chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if (chance >> 16) % 12 == 0 { fate } else { Fate::Passes }
                });
                line.run_until(900, |line| line.up().is_some());
                assert_eq!(line.up().expect("it is up").pan_id, line.stick.pan_id, "{family:?} {fate:?} {seed}");
            }
        }
    }
}

#[test]
fn a_message_is_confirmed() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    let before = line.now;
    line.send(1);
    line.run_until(1, |line| !line.sent(1).is_empty());
    assert_eq!(line.sent(1), [SendStatus::Delivered]);
    assert_eq!(line.now - before, 2 * HOP, "nothing waits for anything else");
    (line.stick.confirms, line.stick.confirms_device) = (Some(0xcd), true);
    line.send(2);
    line.run_until(1, |line| !line.sent(2).is_empty());
    assert_eq!(line.sent(2), [SendStatus::NoRoute]);
    line.stick.confirms = None;
    line.send(3);
    line.run_until(20, |line| !line.sent(3).is_empty());
    assert_eq!(line.sent(3), [SendStatus::NoAck], "a confirm that does not come is no success");
}

#[test]
fn a_broadcast_is_not_confirmed_and_a_group_is() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.stick.confirms = None;
    let all = Destination::Broadcast { to: Nwk::AWAKE, endpoint: Endpoint(255) };
    for (tag, to) in [(1, all), (2, Destination::Group(GroupId(7)))] {
        let message = Outgoing {
            to,
            profile: ProfileId::HOME_AUTOMATION,
            cluster: ClusterId(6),
            from: Endpoint(1),
            radius: 30,
            payload: vec![1, 2, 2],
            ack: false,
        };
        line.znp.command(line.now, NcpCommand::Send { tag, message });
        line.flush();
    }
    line.run(Duration::from_secs(1));
    assert_eq!((line.sent(1), line.sent(2)), (vec![SendStatus::Delivered], vec![]));
}

/// The answer to the request is lost, but not the confirm: the message was sent, once.
#[test]
fn a_confirm_settles_a_request_whose_answer_was_lost() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.fate = Box::new(|bytes| if bytes[2..4] == [0x64, 0x01] { Fate::Lost } else { Fate::Passes });
    line.send(1);
    line.send(2);
    line.run_until(1, |line| !line.sent(2).is_empty());
    assert_eq!((line.sent(1), line.sent(2)), (vec![SendStatus::Delivered], vec![SendStatus::Delivered]));
    assert_eq!(line.stick.asked.iter().filter(|name| **name == "dataRequest").count(), 2);
}

#[test]
fn no_more_are_under_way_than_the_stick_bears() {
    let (stick, known) = settled(Family::V30x);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.stick.confirms = None;
    for tag in 0..200 {
        line.send(tag);
    }
    line.run(Duration::from_secs(1));
    assert_eq!(line.stick.asked.iter().filter(|name| **name == "dataRequest").count(), 2);
    assert_eq!(line.sent(199), [SendStatus::Busy], "the queue has an end");
}

#[test]
fn what_the_stick_tells_is_told_once() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.events.clear();
    let raw = ZDO_MSG_CB_INCOMING.request().with("srcaddr", 0x1234u16).with("clusterid", 0x8005u16);
    line.stick.tell(raw.with("msgdata", [0, 0x34, 0x12, 1, 1]));
    let parsed = ZDO_ACTIVE_EP_RSP.request().with("srcaddr", 0x1234u16).with("nwkaddr", 0x1234u16);
    line.stick.tell(parsed.with("activeeplist", [1]));
    line.stick.tell(ZDO_TC_DEVICE_IND.request().with("nwkaddr", 0x1234u16).with("extaddr", 7u64));
    line.stick.tell(ZDO_LEAVE_IND.request().with("srcaddr", 0x1234u16).with("extaddr", 7u64).with("rejoin", 1u8));
    line.stick.tell(ZDO_PERMIT_JOIN_IND.request().with("duration", 60u8));
    line.flush();
    line.run(HOP);
    let payload = vec![0, 0x34, 0x12, 1, 1];
    assert_eq!(
        line.events,
        [
            NcpEvent::Zdo { from: Nwk(0x1234), cluster: ClusterId(0x8005), payload },
            NcpEvent::Joined { ieee: Ieee(7), nwk: Nwk(0x1234), parent: Some(Nwk(0)) },
            NcpEvent::Left { ieee: Ieee(7), nwk: Nwk(0x1234), rejoin: true },
            NcpEvent::PermitJoin { seconds: 60 },
        ]
    );
}

#[test]
fn a_child_whose_messages_expire_is_let_go_and_taken_back_where_that_does_not_help() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.stick.asked.clear();
    line.stick.confirms = Some(0xf0);
    line.send(1);
    line.run(4 * HOP);
    assert_eq!(line.sent(1), [SendStatus::Expired]);
    line.znp.command(line.now, NcpCommand::DiscoverRoute { tag: 2, to: Nwk(0x1234) });
    line.flush();
    line.run(10 * HOP);
    line.stick.confirms = Some(0xcd);
    line.send(3);
    line.run(10 * HOP);
    let asked =
        ["addrmgrNwkAddrLookup", "assocGetWithAddress", "assocRemove", "extRouteDisc", "dataRequest", "assocAdd"];
    assert_eq!(line.stick.asked[1..], asked);
    assert!(line.events.contains(&NcpEvent::Done { tag: 2, result: Ok(Reply::Nothing) }));
    // Of one whose messages do not expire, nobody thinks so.
    line.stick.asked.clear();
    line.znp.command(line.now, NcpCommand::DiscoverRoute { tag: 4, to: Nwk(0x1234) });
    line.flush();
    line.run(4 * HOP);
    assert_eq!(line.stick.asked, ["extRouteDisc"]);
}

#[test]
fn commands_become_what_the_manual_says() {
    let (stick, known) = settled(Family::V3x0);
    let mut line = line(stick, Config::default(), Some(known));
    line.run_until(30, |line| line.up().is_some());
    line.stick.asked.clear();
    let ieee = Ieee(7);
    for command in [
        NcpCommand::PermitJoin { tag: 1, seconds: 60, via: None },
        NcpCommand::InstallCode { tag: 2, ieee, code: [1; 18] },
        NcpCommand::Forget { tag: 3, ieee, nwk: Nwk(0x1234) },
        NcpCommand::DiscoverRoute { tag: 4, to: Nwk(0x1234) },
        NcpCommand::TransmitPower { tag: 5, dbm: -5 },
    ] {
        line.znp.command(line.now, command);
    }
    line.flush();
    line.run(Duration::from_millis(200));
    let asked = [
        "mgmtPermitJoinReq",
        "bdbAddInstallCode",
        "assocRemove",
        "secDeviceRemove",
        "removeLinkKey",
        "extRouteDisc",
        "setTxPower",
    ];
    assert_eq!(line.stick.asked, asked);
    for wanted in 1..=5 {
        let done = NcpEvent::Done { tag: wanted, result: Ok(Reply::Nothing) };
        assert_eq!(line.events.iter().filter(|event| **event == done).count(), 1, "{wanted}");
    }
}
