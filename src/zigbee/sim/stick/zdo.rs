//! MT ZDO: questions to devices and to the stick itself, and what comes back (Z-Stack MT API §3.12). The stick takes addresses out
//! of the messages and puts them in front, and turns two bytes of one answer round.

use std::time::Instant;

use super::nv::item;
use super::{Answer, Generation, Phase, Stick};
use crate::zigbee::sim::air::{Aps, To};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::sim::world::World;
use crate::zigbee::types::{Channel, Ieee, Nwk};

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// What an energy scan finds on channels 11 to 26: 20 is quiet.
const ENERGY: [u8; 16] = [150, 148, 140, 120, 96, 118, 124, 110, 84, 58, 88, 122, 118, 110, 92, 132];

/// Questions that go on as they are behind the receiver's address: command of MT, cluster of ZDO, octets.
const PLAIN: &[(u8, u16, usize)] = &[
    (0x02, 0x0002, 2),
    (0x03, 0x0003, 2),
    (0x04, 0x0004, 3),
    (0x05, 0x0005, 2),
    (0x31, 0x0031, 1),
    (0x32, 0x0032, 1),
    (0x33, 0x0033, 1),
    (0x34, 0x0034, 9),
];

impl Stick {
    pub(super) fn handle_zdo(&mut self, now: Instant, id: u8, data: &[u8], world: &mut World) -> Answer {
        let mut body = Reader(data);
        if let Some((_, cluster, len)) = PLAIN.iter().find(|(command, _, _)| *command == id) {
            let Some(to) = body.u16().filter(|_| body.0.len() == *len) else {
                return Answer::Malformed;
            };
            return self.ask(now, Nwk(to), *cluster, body.rest(), world);
        }
        let answer = match id {
            0x00 => (data.len() == 10).then(|| self.ask(now, Nwk::AWAKE, 0x0000, data, world)),
            0x01 => (data.len() == 4).then(|| {
                let to = Nwk(u16::from_le_bytes([data[0], data[1]]));
                self.ask(now, to, 0x0001, data, world)
            }),
            0x06 => body.u16().map(|to| self.ask(now, Nwk(to), 0x0006, body.rest(), world)),
            0x21 | 0x22 => self.bind(now, id, body, world),
            0x36 => self.permit_join(now, body, world),
            0x37 => self.network_update(now, body, world),
            0x3e => body.u16().map(|_| {
                self.wants_all_zdo = true;
                Answer::status(SUCCESS)
            }),
            0x3f => body.u16().map(|_| {
                self.wants_all_zdo = false;
                Answer::status(SUCCESS)
            }),
            // 0: restored, 1: new.
            0x40 => body.u16().map(|_| {
                let is_known = self.read_nib().is_some();
                self.start(now);
                Answer::status(if is_known { SUCCESS } else { FAILURE })
            }),
            0x45 => body.u16().map(|to| {
                world.discover_route(Nwk(to));
                Answer::status(SUCCESS)
            }),
            0x46 => body.u16().map(|to| Answer::status(if world.has_route(Nwk(to)) { SUCCESS } else { 4 })),
            0x47..=0x4b => self.group(id, body),
            0x50 => Some(self.network_information()),
            _ => return Answer::Unknown,
        };
        answer.unwrap_or(Answer::Malformed)
    }

    /// Sends a question with a sequence number of its own.
    fn ask(&mut self, now: Instant, to: Nwk, cluster: u16, body: &[u8], world: &mut World) -> Answer {
        if self.network.is_none() {
            return Answer::status(FAILURE);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let payload = Writer::new().u8(self.sequence).bytes(body).0;
        let is_broadcast = to.0 >= 0xfff8;
        if to == Nwk::COORDINATOR || is_broadcast {
            self.answer_itself(now, cluster, &payload, world);
        }
        if to != Nwk::COORDINATOR {
            self.aps_counter = self.aps_counter.wrapping_add(1);
            let aps = Aps {
                to: if is_broadcast { To::Broadcast(to) } else { To::Device(to) },
                from: Nwk::COORDINATOR,
                from_endpoint: 0,
                to_endpoint: 0,
                profile: 0,
                cluster,
                counter: self.aps_counter,
                ack: false,
                payload,
            };
            self.transmit(now, aps, None, world);
        }
        Answer::status(SUCCESS)
    }

    fn bind(&mut self, now: Instant, id: u8, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let to = Nwk(body.u16()?);
        let (source, endpoint, cluster, mode) = (body.u64()?, body.u8()?, body.u16()?, body.u8()?);
        let (target, target_endpoint) = (body.u64()?, body.u8()?);
        if !body.is_empty() {
            return None;
        }
        let head = Writer::new().u64(source).u8(endpoint).u16(cluster).u8(mode);
        let on_air = if mode == 1 { head.u16(target as u16) } else { head.u64(target).u8(target_endpoint) };
        Some(self.ask(now, to, u16::from(id), &on_air.0, world))
    }

    /// FFFC by short address stands for the stick alone, by broadcast for all.
    fn permit_join(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (mode, to, seconds, significance) = (body.u8()?, body.u16()?, body.u8()?, body.u8()?);
        if !body.is_empty() {
            return None;
        }
        if self.network.is_none() {
            return Some(Answer::status(FAILURE));
        }
        let is_everybody = mode == 15;
        if is_everybody || to == 0 || to == 0xfffc {
            world.open_coordinator(now, seconds);
            world.tell(now, "stick", format!("lets devices in for {seconds} s"));
            self.tell(5, 0xb6, vec![0, 0, SUCCESS]);
            self.tell_raw_zdo(self.sequence, 0x8036, &[SUCCESS]);
            if self.generation == Generation::V30x {
                self.tell(5, 0xcb, vec![seconds]);
            }
        }
        if is_everybody || (to != 0 && to != 0xfffc) {
            let to = if is_everybody { Nwk::ROUTERS } else { Nwk(to) };
            self.sequence = self.sequence.wrapping_add(1);
            self.aps_counter = self.aps_counter.wrapping_add(1);
            let aps = Aps {
                to: if is_everybody { To::Broadcast(to) } else { To::Device(to) },
                from: Nwk::COORDINATOR,
                from_endpoint: 0,
                to_endpoint: 0,
                profile: 0,
                cluster: 0x0036,
                counter: self.aps_counter,
                ack: false,
                payload: vec![self.sequence, seconds, significance],
            };
            self.transmit(now, aps, None, world);
        }
        Some(Answer::status(SUCCESS))
    }

    fn network_update(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (to, _mode, channels, duration) = (body.u16()?, body.u8()?, body.u32()?, body.u8()?);
        let (count, manager) = (body.u8()?, body.u16()?);
        if !body.is_empty() {
            return None;
        }
        let on_air = Writer::new().u32(channels).u8(duration);
        let on_air = match duration {
            0xfe => on_air.u8(self.nib.map_or(0, |nib| nib.update_id.wrapping_add(1))),
            0xff => on_air.u8(0).u16(manager),
            _ => on_air.u8(count),
        };
        if duration != 0xfe {
            return Some(self.ask(now, Nwk(to), 0x0038, &on_air.0, world));
        }
        // Whoever it is said to, all devices must follow, or they are lost.
        if channels.count_ones() != 1 {
            return Some(Answer::status(FAILURE));
        }
        let answer = self.ask(now, Nwk::ALL, 0x0038, &on_air.0, world);
        self.move_to(now, Channel(channels.trailing_zeros() as u8), world);
        Some(answer)
    }

    fn group(&mut self, id: u8, mut body: Reader<'_>) -> Option<Answer> {
        let endpoint = body.u8()?;
        if id == 0x49 {
            let groups: Vec<u16> =
                self.groups.iter().filter(|(of, _)| *of == endpoint).map(|(_, group)| *group).collect();
            return Some(Answer::Reply(Writer::new().words(&groups).0));
        }
        if id == 0x48 {
            self.groups.retain(|(of, _)| *of != endpoint);
            return Some(Answer::status(SUCCESS));
        }
        let group = body.u16()?;
        let is_there = self.groups.contains(&(endpoint, group));
        Some(match id {
            0x4a if is_there => Answer::Reply(Writer::new().u8(SUCCESS).u16(group).u8(0).0),
            0x4a => Answer::Reply(Writer::new().u8(FAILURE).u16(group).u8(0).0),
            0x4b => {
                self.groups.insert((endpoint, group));
                Answer::status(SUCCESS)
            }
            _ => {
                self.groups.remove(&(endpoint, group));
                Answer::status(SUCCESS)
            }
        })
    }

    fn network_information(&self) -> Answer {
        let state = if self.phase == Phase::Up { 9 } else { 0 };
        let (pan_id, extended, channel) = match self.network {
            Some(network) => (network.pan_id, network.extended_pan_id, network.channel.0),
            None => (0xffff, Ieee(0), 0),
        };
        let w = Writer::new().u16(0).u8(state).u16(pan_id).u16(0).u64(extended.0).u64(0).u8(channel);
        Answer::Reply(w.0)
    }

    /// The stick's own answer to a question of its host; nothing where it has none.
    pub(super) fn answer_itself(&mut self, now: Instant, cluster: u16, payload: &[u8], world: &mut World) {
        let mut body = Reader(payload);
        let Some(sequence) = body.u8() else {
            return;
        };
        let Some(answer) = self.own_answer(now, cluster, body, world) else {
            return;
        };
        self.tell_zdo(Nwk::COORDINATOR, cluster | 0x8000, &answer.0);
        self.tell_raw_zdo(sequence, cluster | 0x8000, &answer.0);
    }

    fn own_answer(&mut self, now: Instant, cluster: u16, mut body: Reader<'_>, world: &mut World) -> Option<Writer> {
        let w = Writer::new();
        Some(match cluster {
            0x0000 => {
                let ieee = body.u64()?;
                (ieee == self.ieee().0).then_some(())?;
                w.u8(SUCCESS).u64(ieee).u16(0)
            }
            0x0001 => {
                (body.u16()? == 0).then_some(())?;
                w.u8(SUCCESS).u64(self.ieee().0).u16(0)
            }
            // Coordinator, with its capabilities, of Texas Instruments, trust centre and network manager.
            0x0002 => w.u8(SUCCESS).u16(0).u8(0).u8(0x40).u8(0x8f).u16(0).u8(80).u16(160).u16(0x2c01).u16(160).u8(0),
            0x0003 => w.u8(SUCCESS).u16(0).u16(0xc110),
            0x0004 => {
                let endpoint = body.u16().and_then(|_| body.u8())?;
                match self.endpoints.get(&endpoint) {
                    None => w.u8(0x83).u16(0).u8(0),
                    Some(registered) => {
                        let head = Writer::new().u8(endpoint).u16(registered.profile).u16(registered.device).u8(0);
                        let text = head.words(&registered.inputs).words(&registered.outputs);
                        w.u8(SUCCESS).u16(0).u8(text.0.len() as u8).bytes(&text.0)
                    }
                }
            }
            0x0005 => {
                let endpoints: Vec<u8> = self.endpoints.keys().copied().collect();
                w.u8(SUCCESS).u16(0).u8(endpoints.len() as u8).bytes(&endpoints)
            }
            0x0031 => {
                let rows = world.neighbours_of_coordinator();
                w.u8(SUCCESS).page(body.u8()?, &rows, 3, |w, row| row.encode(w))
            }
            0x0032 => {
                // A row for each device: active, through its parent.
                let rows: Vec<Nwk> = self.addresses().into_iter().map(|(_, row)| row.nwk).collect();
                w.u8(SUCCESS).page(body.u8()?, &rows, 10, |w, nwk| w.u16(nwk.0).u8(0).u16(nwk.0))
            }
            0x0033 => w.u8(SUCCESS).page(body.u8()?, &[(); 0], 3, |w, ()| w),
            0x0038 => {
                let (channels, duration) = (body.u32()?, body.u8()?);
                (duration <= 5).then_some(())?;
                world.tell(now, "stick", "listens on all channels");
                let asked = (11..=26u32).filter(|channel| channels >> channel & 1 == 1);
                let energies: Vec<u8> = asked.map(|channel| ENERGY[channel as usize - 11]).collect();
                let w = w.u8(SUCCESS).u32(channels).u16(42).u16(1);
                w.u8(energies.len() as u8).bytes(&energies)
            }
            0x0034 => w.u8(0x84),
            _ => return None,
        })
    }

    /// A ZDO message of a device.
    pub(super) fn heard_zdo(&mut self, now: Instant, aps: &Aps, world: &mut World) {
        let Some((sequence, rest)) = aps.payload.split_first() else {
            return;
        };
        if aps.cluster == 0x0013 {
            self.announced(now, rest, world);
        }
        if aps.cluster == 0x0013 || aps.cluster & 0x8000 != 0 {
            self.tell_zdo(aps.from, aps.cluster, rest);
        }
        if self.wants_all_zdo {
            let was_broadcast = matches!(aps.to, To::Broadcast(_));
            let told = Writer::new().u16(aps.from.0).u8(was_broadcast.into()).u16(aps.cluster).u8(0);
            self.tell(5, 0xff, told.u8(*sequence).u16(0).bytes(rest).0);
        }
    }

    /// A device says where it is: the tables follow it.
    fn announced(&mut self, _now: Instant, body: &[u8], world: &mut World) {
        let mut body = Reader(body);
        if let (Some(nwk), Some(ieee)) = (body.u16(), body.u64())
            && self.address(Ieee(ieee)).is_some()
        {
            let is_child = world.is_child_of_coordinator(Ieee(ieee));
            self.remember(Ieee(ieee), Nwk(nwk), is_child);
        }
    }

    /// The stick's own as a raw message, to hosts that want all of them.
    fn tell_raw_zdo(&mut self, sequence: u8, cluster: u16, body: &[u8]) {
        if self.wants_all_zdo {
            let told = Writer::new().u16(0).u8(0).u16(cluster).u8(0).u8(sequence);
            self.tell(5, 0xff, told.u16(0).bytes(body).0);
        }
    }

    /// As MT has a command for it, where the host has asked for these (`ZDO_DIRECT_CB`).
    fn tell_zdo(&mut self, from: Nwk, cluster: u16, body: &[u8]) {
        if self.nv.byte(item::ZDO_DIRECT_CB) == 0 {
            return;
        }
        let behind_sender = Writer::new().u16(from.0).bytes(body).0;
        match cluster {
            0x8000 | 0x8001 => {
                let mut reader = Reader(body);
                let head = reader.take(reader.0.len().min(11)).unwrap_or_default();
                // The count comes first on the air and second here.
                let (count, start) = (reader.u8().unwrap_or(0), reader.u8().unwrap_or(0));
                let told = Writer::new().bytes(head).u8(start).u8(count).bytes(reader.rest());
                self.tell(5, 0x80 | cluster as u8 & 1, told.0);
            }
            0x8002..=0x8006 => self.tell(5, 0x80 | cluster as u8, behind_sender),
            0x8021 | 0x8022 => self.tell(5, 0x80 | cluster as u8, behind_sender),
            0x8031..=0x8034 | 0x8036 => self.tell(5, 0x80 | cluster as u8, behind_sender),
            0x8038 => self.tell(5, 0xb8, behind_sender),
            0x0013 => self.tell(5, 0xc1, behind_sender),
            _ => {}
        }
    }
}
