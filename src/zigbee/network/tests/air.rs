//! A stick and an air that are one: commands go in, devices act upon them after a hop's time, and faults are asked for by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};

use super::kinds::{Kinds, LEVEL, ON_OFF};
use crate::common::error::ErrorBody;
use crate::zigbee::bytes::Reader;
use crate::zigbee::ncp::{
    Destination, Incoming, NcpCommand, NcpEvent, NetworkInfo, Outgoing, Reply as NcpReply, SendStatus, Tag,
};
use crate::zigbee::network::{Event, Network, Persist, Reply, Request, RequestId, WallClock};
use crate::zigbee::types::{Channel, ClusterId, Endpoint, GroupId, Ieee, MakerCode, Nwk, ProfileId};
use crate::zigbee::zcl::data_type::DataType;
use crate::zigbee::zcl::foundation::{General, ReadRecord, Record};
use crate::zigbee::zcl::frame::{Direction, FrameKind, Header};
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zcl::value::{Typed, Value};
use crate::zigbee::zdo::{self, Binding, Capability, LogicalType, NodeDescriptor, Page, SimpleDescriptor};

pub const COORDINATOR: Ieee = Ieee(0x0012_4b00_0000_0001);

/// One way.
pub const HOP: Duration = Duration::from_millis(5);

const BINDINGS_A_PAGE: usize = 2;

/// What goes wrong with a message to a device, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The stick says so, and the device gets nothing.
    Lost(SendStatus),
    /// The device does it, and the acknowledgement is lost.
    Unacknowledged,
    /// It does it, and its answers are lost.
    Silent,
    /// It answers with this status and does nothing.
    Refuse(Status),
    /// It says that it did it, and does not.
    Lie,
    /// Its answer comes twice.
    Twice,
    /// Its answer comes so much later.
    Late(Duration),
}

/// A device as it truly is.
pub struct Real {
    pub ieee: Ieee,
    pub nwk: Nwk,
    pub model: &'static str,
    pub sleeps: bool,
    pub on: bool,
    pub level: u8,
    /// Where it is on its way to, and when it is there.
    pub moving: Option<(u8, Instant)>,
    pub groups: BTreeSet<GroupId>,
    /// For the next messages to it, in order.
    pub faults: VecDeque<Fault>,
    pub bound: BTreeSet<ClusterId>,
    /// Its table.
    pub bindings: Vec<Binding>,
    pub reports: bool,
    /// Commands that it carried out.
    pub done: Vec<(ClusterId, u8)>,
    /// Clusters whose attributes it was asked for, less the basic one, in order.
    pub reads: Vec<ClusterId>,
    pub seq: u8,
    pub deaf: bool,
}

/// How setting one device ended.
pub type End = Result<Map<String, Json>, ErrorBody>;

pub struct World {
    pub now: Instant,
    pub network: Network,
    pub devices: BTreeMap<Ieee, Real>,
    /// What comes to the hub, by when.
    coming: BTreeMap<(Instant, u64), NcpEvent>,
    order: u64,
    pub events: Vec<Event>,
    pub saved: BTreeMap<Ieee, Json>,
    pub routes_searched: usize,
    pub multicasts: usize,
    pub permit: Vec<u8>,
    /// How long the stick takes to say that it has taken a ZDO request; the device answers after two hops all the same.
    pub stick_takes: Duration,
    next_id: RequestId,
}

impl World {
    pub fn new() -> World {
        World::of(&[])
    }

    /// After a restart with these documents.
    pub fn of(documents: &[Json]) -> World {
        #[expect(clippy::disallowed_methods, reason = "somewhere a made time has to begin")]
        let now = Instant::now();
        let clock = WallClock { at: now, unix_ms: 1_700_000_000_000, offset_s: 3600 };
        let network = Network::new(Arc::new(Kinds), clock, documents.iter().cloned());
        let mut world = World {
            now,
            network,
            devices: BTreeMap::new(),
            coming: BTreeMap::new(),
            order: 0,
            events: Vec::new(),
            saved: BTreeMap::new(),
            routes_searched: 0,
            multicasts: 0,
            permit: Vec::new(),
            stick_takes: HOP,
            next_id: 1,
        };
        world.up();
        world
    }

    pub fn up(&mut self) {
        let info = NetworkInfo {
            channel: Channel(15),
            pan_id: 0x1a62,
            extended_pan_id: Ieee(7),
            coordinator: COORDINATOR,
            firmware: "a test".into(),
            in_flight_max: 16,
            is_new: false,
        };
        self.network.handle_ncp(self.now, NcpEvent::Up(Box::new(info)));
        self.collect();
    }

    /// The stick is pulled out: nothing that was under way comes any more.
    pub fn pull(&mut self) {
        self.coming.clear();
        self.network.handle_ncp(self.now, NcpEvent::Down { why: "it was pulled".into() });
        self.collect();
    }

    /// Puts a device into the air, which does not know the hub yet.
    pub fn add(&mut self, number: u16, model: &'static str, sleeps: bool) -> Ieee {
        let ieee = Ieee(0x00aa_0000_0000_0000 | u64::from(number));
        let (groups, faults, bound, done, reads) = Default::default();
        let (nwk, on, level, moving, seq) = (Nwk(number), false, 0, None, 0);
        let (reports, deaf, bindings) = (false, false, Vec::new());
        let real = Real {
            ieee,
            nwk,
            model,
            sleeps,
            on,
            level,
            moving,
            groups,
            faults,
            bound,
            bindings,
            reports,
            done,
            reads,
            seq,
            deaf,
        };
        self.devices.insert(ieee, real);
        ieee
    }

    pub fn real(&mut self, ieee: Ieee) -> &mut Real {
        self.devices.get_mut(&ieee).expect("it was added")
    }

    /// It joins and is interviewed, all going well.
    pub fn join(&mut self, number: u16, model: &'static str) -> Ieee {
        let ieee = self.add(number, model, false);
        self.announce(ieee);
        self.run(Duration::from_secs(2));
        self.events.clear();
        ieee
    }

    pub fn announce(&mut self, ieee: Ieee) {
        let real = &self.devices[&ieee];
        let capability = if real.sleeps { Capability::SLEEPER } else { Capability::ROUTER };
        let announce = zdo::Request::DeviceAnnounce { nwk: real.nwk, ieee, capability };
        let (from, cluster, payload) = (real.nwk, announce.cluster(), announce.encode());
        self.come(Duration::ZERO, NcpEvent::Zdo { from, cluster, payload });
        self.run(Duration::ZERO);
    }

    pub fn request(&mut self, request: Request) -> RequestId {
        let id = self.next_id;
        self.next_id += 1;
        self.network.handle_request(self.now, id, request);
        self.collect();
        id
    }

    pub fn answer(&self, id: RequestId) -> Option<Result<Reply, ErrorBody>> {
        self.events.iter().find_map(|event| match event {
            Event::Answer { id: its, answer } if *its == id => Some(answer.clone()),
            _ => None,
        })
    }

    /// Sets and waits for the answer: one end for each target, and how long it took.
    pub fn set(&mut self, targets: &[Ieee], set: Json, group: Option<GroupId>) -> (Vec<End>, Duration) {
        let set = set.as_object().expect("an object").clone();
        let began = self.now;
        let id = self.request(Request::Set { targets: targets.to_vec(), set, group });
        for _ in 0..100_000 {
            if let Some(answer) = self.answer(id) {
                let Ok(Reply::Set(ends)) = answer else { panic!("{answer:?}") };
                return (ends, self.now - began);
            }
            assert!(self.step(), "nothing moves, and nothing was answered");
        }
        panic!("no end");
    }

    pub fn set_one(&mut self, ieee: Ieee, set: Json) -> Result<Map<String, Json>, ErrorBody> {
        self.set(&[ieee], set, None).0.pop().expect("one target")
    }

    /// Runs until nothing happens within `span`.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.next().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    fn next(&self) -> Option<Instant> {
        let coming = self.coming.keys().next().map(|(at, _)| *at);
        [coming, self.network.poll_timeout()].into_iter().flatten().min()
    }

    /// The next thing that happens.
    fn step(&mut self) -> bool {
        let Some(at) = self.next() else { return false };
        self.now = self.now.max(at);
        if let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            self.network.handle_ncp(self.now, event);
        } else {
            self.network.handle_timeout(self.now);
        }
        self.collect();
        true
    }

    pub fn come(&mut self, after: Duration, event: NcpEvent) {
        self.order += 1;
        self.coming.insert((self.now + after, self.order), event);
    }

    pub fn collect(&mut self) {
        while let Some(command) = self.network.poll_command() {
            self.command(command);
        }
        while let Some(event) = self.network.poll_event() {
            match &event {
                Event::Persist(Persist::Device { ieee, document }) => {
                    self.saved.insert(*ieee, document.clone());
                }
                Event::Persist(Persist::Forget { ieee }) => {
                    self.saved.remove(ieee);
                }
                _ => {}
            }
            self.events.push(event);
        }
    }

    fn sent(&mut self, after: Duration, tag: Tag, status: SendStatus) {
        self.come(after, NcpEvent::Sent { tag, status });
    }

    fn command(&mut self, command: NcpCommand) {
        match command {
            NcpCommand::Send { tag, message } => self.send(tag, &message),
            NcpCommand::Zdo { tag, to, cluster, payload } => self.zdo(tag, to, cluster, &payload),
            NcpCommand::PermitJoin { tag, seconds, .. } => {
                self.permit.push(seconds);
                self.come(HOP, NcpEvent::Done { tag, result: Ok(NcpReply::Nothing) });
            }
            NcpCommand::DiscoverRoute { tag, .. } => {
                self.routes_searched += 1;
                self.come(HOP, NcpEvent::Done { tag, result: Ok(NcpReply::Nothing) });
            }
            NcpCommand::InstallCode { tag, .. }
            | NcpCommand::Forget { tag, .. }
            | NcpCommand::Backup { tag }
            | NcpCommand::TransmitPower { tag, .. } => {
                self.come(HOP, NcpEvent::Done { tag, result: Ok(NcpReply::Nothing) });
            }
        }
    }

    fn send(&mut self, tag: Tag, message: &Outgoing) {
        match message.to {
            Destination::Device { nwk, endpoint } => {
                let Some(ieee) = self.devices.values().find(|real| real.nwk == nwk).map(|real| real.ieee) else {
                    return self.sent(HOP, tag, SendStatus::NoAck);
                };
                let fault = self.real(ieee).faults.pop_front();
                match fault {
                    _ if self.devices[&ieee].deaf => return self.sent(HOP, tag, SendStatus::NoAck),
                    Some(Fault::Lost(status)) => return self.sent(HOP, tag, status),
                    Some(Fault::Unacknowledged) => self.sent(HOP * 3, tag, SendStatus::NoAck),
                    _ => self.sent(HOP, tag, SendStatus::Delivered),
                }
                self.hear(ieee, endpoint, message, fault, true);
            }
            Destination::Group(group) => {
                self.multicasts += 1;
                self.sent(Duration::from_millis(1), tag, SendStatus::Delivered);
                let members: Vec<Ieee> =
                    self.devices.values().filter(|real| real.groups.contains(&group)).map(|real| real.ieee).collect();
                for ieee in members {
                    match self.real(ieee).faults.pop_front() {
                        Some(Fault::Lost(_)) => {}
                        fault => self.hear(ieee, Endpoint(1), message, fault, false),
                    }
                }
            }
            Destination::Broadcast { .. } => self.sent(HOP, tag, SendStatus::Delivered),
        }
    }

    /// The device hears a ZCL frame.
    fn hear(&mut self, ieee: Ieee, endpoint: Endpoint, message: &Outgoing, fault: Option<Fault>, unicast: bool) {
        let now = self.now;
        let mut reader = Reader::new(&message.payload);
        let header = Header::decode(&mut reader).expect("the hub writes frames");
        let payload = reader.rest().to_vec();
        let real = self.devices.get_mut(&ieee).expect("it was looked up");
        if let Some((level, at)) = real.moving.filter(|(_, at)| *at <= now) {
            let _ = at;
            (real.level, real.moving) = (level, None);
        }
        let mut answers: Vec<(Header, General)> = Vec::new();
        let mut in_kind = None;
        let default =
            |status| (header.answer(FrameKind::General, 0x0b), General::default_response(header.command, status));
        match header.kind {
            _ if header.direction == Direction::ToClient => {}
            FrameKind::Cluster => {
                let status = match fault {
                    Some(Fault::Refuse(status)) => status,
                    Some(Fault::Lie) => Status::SUCCESS,
                    _ => {
                        real.done.push((message.cluster, header.command));
                        in_kind = real.act(now, message.cluster, header.command, &payload);
                        Status::SUCCESS
                    }
                };
                if !header.disable_default_response && unicast && in_kind.is_none() {
                    answers.push(default(status));
                }
                if real.reports
                    && message.cluster == ON_OFF
                    && real.bound.contains(&ON_OFF)
                    && fault != Some(Fault::Lie)
                {
                    real.seq = real.seq.wrapping_add(1);
                    let record = Record {
                        attribute: crate::zigbee::types::AttributeId(0),
                        value: real.value(ON_OFF).expect("it has one"),
                    };
                    let report = Header::general(real.seq, Direction::ToClient, 0x0a);
                    answers.insert(0, (report, General::Report(vec![record])));
                }
            }
            FrameKind::General => {
                let general = General::decode(header.command, &mut Reader::new(&payload)).expect("the hub's");
                match general {
                    General::Read(attributes) => {
                        if message.cluster != ClusterId(0) {
                            real.reads.push(message.cluster);
                        }
                        let records = attributes.iter().map(|attribute| ReadRecord {
                            attribute: *attribute,
                            value: real.attribute(message.cluster, attribute.0).ok_or(Status::UNSUPPORTED_ATTRIBUTE),
                        });
                        let general = General::ReadRsp(records.collect());
                        answers.push((header.answer(FrameKind::General, general.id()), general));
                    }
                    General::ConfigureReporting(_) => {
                        real.reports = true;
                        let general = General::ConfigureReportingRsp(Vec::new());
                        answers.push((header.answer(FrameKind::General, general.id()), general));
                    }
                    _ => {}
                }
            }
        }
        if fault == Some(Fault::Silent) {
            return;
        }
        let (from, cluster) = (real.nwk, message.cluster);
        let after = match fault {
            Some(Fault::Late(after)) => after,
            _ => HOP * 2,
        };
        let mut frames: Vec<Vec<u8>> = Vec::new();
        if let Some(payload) = in_kind {
            let mut out = Vec::new();
            header.answer(FrameKind::Cluster, header.command).encode(&mut out);
            out.extend(payload);
            frames.push(out);
        }
        for (header, general) in answers {
            let mut out = Vec::new();
            header.encode(&mut out);
            general.encode(&mut out).expect("it fits");
            frames.push(out);
        }
        for frame in frames {
            let event = incoming(from, endpoint, cluster, frame);
            if fault == Some(Fault::Twice) {
                self.come(after, event.clone());
            }
            self.come(after, event);
        }
    }

    /// It says something of its own accord.
    pub fn report(&mut self, ieee: Ieee, cluster: ClusterId) {
        let real = self.real(ieee);
        real.seq = real.seq.wrapping_add(1);
        let mut frame = Vec::new();
        Header::general(real.seq, Direction::ToClient, 0x0a).encode(&mut frame);
        let record =
            Record { attribute: crate::zigbee::types::AttributeId(0), value: real.value(cluster).expect("a value") };
        General::Report(vec![record]).encode(&mut frame).expect("it fits");
        let event = incoming(real.nwk, Endpoint(1), cluster, frame);
        self.come(Duration::ZERO, event);
        self.run(Duration::ZERO);
    }

    fn zdo(&mut self, tag: Tag, to: Nwk, cluster: ClusterId, payload: &[u8]) {
        let Some(ieee) = self.devices.values().find(|real| real.nwk == to).map(|real| real.ieee) else {
            return self.sent(HOP, tag, SendStatus::NoAck);
        };
        match self.real(ieee).faults.pop_front() {
            _ if self.devices[&ieee].deaf => return self.sent(HOP, tag, SendStatus::NoAck),
            Some(Fault::Lost(status)) => return self.sent(HOP, tag, status),
            Some(Fault::Silent) => return self.sent(HOP, tag, SendStatus::Delivered),
            _ => self.sent(self.stick_takes, tag, SendStatus::Delivered),
        }
        let real = self.real(ieee);
        let (status, nwk) = (zdo::Status::SUCCESS, real.nwk);
        let request = zdo::Request::decode(cluster, payload).expect("the hub writes requests");
        let response = match request {
            zdo::Request::NodeDescriptor { .. } => {
                zdo::Response::NodeDescriptor { status, nwk, descriptor: Some(node(real.sleeps)) }
            }
            zdo::Request::ActiveEndpoints { .. } => {
                zdo::Response::ActiveEndpoints { status, nwk, endpoints: vec![Endpoint(1)] }
            }
            zdo::Request::SimpleDescriptor { endpoint, .. } => {
                let is_remote = real.model == "remote";
                let inputs: &[u16] =
                    if is_remote { &[0x0000, 0x0003] } else { &[0x0000, 0x0003, 0x0004, 0x0005, 0x0006, 0x0008] };
                let outputs: &[u16] = if is_remote { &[0x0019, 0x0006, 0x0008] } else { &[0x0019] };
                let [inputs, outputs] =
                    [inputs, outputs].map(|numbers| numbers.iter().copied().map(ClusterId).collect());
                let (profile, device, version) = (ProfileId::HOME_AUTOMATION, 0x0100, 1);
                let descriptor = SimpleDescriptor { endpoint, profile, device, version, inputs, outputs };
                zdo::Response::SimpleDescriptor { status, nwk, descriptor: Some(descriptor) }
            }
            zdo::Request::Bind(binding) => {
                real.bound.insert(binding.cluster);
                real.bindings.push(binding);
                zdo::Response::Bind { status }
            }
            zdo::Request::Unbind(binding) => {
                let was_there = real.bindings.contains(&binding);
                real.bindings.retain(|row| *row != binding);
                zdo::Response::Unbind { status: if was_there { status } else { zdo::Status::NO_ENTRY } }
            }
            zdo::Request::MgmtBind { start } => {
                let rows = real.bindings.iter().skip(start.into()).take(BINDINGS_A_PAGE).copied().collect();
                let total = u8::try_from(real.bindings.len()).expect("a few");
                zdo::Response::MgmtBind { status, page: Some(Page { total, start, rows }) }
            }
            zdo::Request::MgmtLeave { .. } => zdo::Response::MgmtLeave { status },
            zdo::Request::IeeeAddr { .. } => zdo::Response::IeeeAddr { status, ieee, nwk, children: None },
            _ => zdo::Response::MgmtLeave { status: zdo::Status::NOT_SUPPORTED },
        };
        let (cluster, payload) = (response.cluster(), response.encode());
        self.come(HOP * 2, NcpEvent::Zdo { from: nwk, cluster, payload });
    }
}

impl Real {
    /// Does what a command says; what it answers in kind.
    fn act(&mut self, now: Instant, cluster: ClusterId, command: u8, payload: &[u8]) -> Option<Vec<u8>> {
        match (cluster, command) {
            (ON_OFF, 0) => self.on = false,
            (ON_OFF, 1) => self.on = true,
            (ON_OFF, 2) => self.on = !self.on,
            (LEVEL, 4) => {
                let tenths = u16::from_le_bytes([payload[1], payload[2]]);
                self.moving = Some((payload[0], now + Duration::from_millis(u64::from(tenths) * 100)));
            }
            (ClusterId(4), 0) => {
                self.groups.insert(GroupId(u16::from_le_bytes([payload[0], payload[1]])));
                return Some(vec![0, payload[0], payload[1]]);
            }
            (ClusterId(4), 3) => {
                self.groups.remove(&GroupId(u16::from_le_bytes([payload[0], payload[1]])));
                return Some(vec![0, payload[0], payload[1]]);
            }
            _ => {}
        }
        if let Some((level, _)) = self.moving.filter(|(_, at)| *at <= now) {
            (self.level, self.moving) = (level, None);
        }
        None
    }

    fn value(&self, cluster: ClusterId) -> Option<Typed> {
        match cluster {
            ON_OFF => Some(Typed::new(DataType::Bool, Value::Bool(self.on))),
            LEVEL => Some(Typed::new(DataType::U8, Value::Unsigned(self.level.into()))),
            _ => None,
        }
    }

    fn attribute(&self, cluster: ClusterId, attribute: u16) -> Option<Typed> {
        match (cluster.0, attribute) {
            (0, 0) => Some(Typed::new(DataType::U8, Value::Unsigned(3))),
            (0, 4) => Some(Typed::new(DataType::CharString, Value::Text("Tests".into()))),
            (0, 5) => Some(Typed::new(DataType::CharString, Value::Text(self.model.into()))),
            (0, 7) => Some(Typed::new(DataType::Enum8, Value::Unsigned(if self.sleeps { 3 } else { 1 }))),
            (_, 0) => self.value(cluster),
            _ => None,
        }
    }
}

pub fn incoming(from: Nwk, endpoint: Endpoint, cluster: ClusterId, payload: Vec<u8>) -> NcpEvent {
    NcpEvent::Message(Incoming {
        from,
        from_endpoint: endpoint,
        to_endpoint: Endpoint(1),
        group: None,
        was_broadcast: false,
        profile: Some(ProfileId::HOME_AUTOMATION),
        cluster,
        lqi: 120,
        payload,
    })
}

fn node(sleeps: bool) -> NodeDescriptor {
    NodeDescriptor {
        logical_type: if sleeps { LogicalType::EndDevice } else { LogicalType::Router },
        has_complex_descriptor: false,
        has_user_descriptor: false,
        flags_and_band: 0x40,
        capability: if sleeps { Capability::SLEEPER } else { Capability::ROUTER },
        maker: MakerCode(0x1002),
        buffer_max: 82,
        incoming_max: 82,
        server_mask: 0,
        outgoing_max: 82,
        descriptor_capability: 0,
    }
}
