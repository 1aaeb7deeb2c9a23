//! What devices say: who it is, whether somebody waits for it, what it means, and what is answered at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::zigbee::bytes::Reader;
use crate::zigbee::definitions::{Decoded, Heard, Later, What};
use crate::zigbee::ncp::Incoming;
use crate::zigbee::network::answering;
use crate::zigbee::network::core::Core;
use crate::zigbee::network::exchange::{Frame, Zcl};
use crate::zigbee::network::ias;
use crate::zigbee::network::interview::note;
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::Priority;
use crate::zigbee::network::sleepy;
use crate::zigbee::types::{AttributeId, ClusterId, GroupId, Ieee, MakerCode};
use crate::zigbee::zcl::foundation::{General, ReadRecord};
use crate::zigbee::zcl::frame::{Direction, FrameKind, Header};
use crate::zigbee::zcl::value::Typed;

const BASIC: ClusterId = ClusterId(0x0000);

/// Devices that had something to be told later; the rest of a device's is the newest.
const LATER_MAX: usize = 32;

/// A frame that was heard twice within this is the same one: a network layer repeats what was not acknowledged.
const SAME_WITHIN: Duration = Duration::from_secs(2);

/// What is known of a message by now.
pub struct Understood {
    pub ieee: Ieee,
    /// Properties with new values, already told to the house.
    pub changes: Map<String, Value>,
}

/// What is to be told, and when.
type Waiting = (Instant, Map<String, Value>);

#[derive(Default)]
pub struct Hearing {
    later: BTreeMap<Ieee, Vec<Waiting>>,
    /// The last command of each device to the hub: sequence number, cluster, command.
    last: BTreeMap<Ieee, (Instant, u8, ClusterId, u8)>,
}

impl Hearing {
    pub fn forget(&mut self, ieee: Ieee) {
        self.later.remove(&ieee);
        self.last.remove(&ieee);
    }

    /// A message of a device that is known. `ota` is asked for what is its own.
    pub fn handle(
        &mut self,
        core: &mut Core,
        now: Instant,
        ieee: Ieee,
        incoming: &Incoming,
        mut ota: impl FnMut(&mut Core, Ieee, &Frame<'_>) -> bool,
    ) -> Option<Understood> {
        core.heard(now, ieee, Some(incoming.lqi));
        let mut reader = Reader::new(&incoming.payload);
        let header = Header::decode(&mut reader).ok()?;
        let payload = reader.rest();
        let general = match header.kind {
            FrameKind::General => General::decode(header.command, &mut Reader::new(payload)).ok(),
            FrameKind::Cluster => None,
        };
        let (endpoint, cluster) = (incoming.from_endpoint, incoming.cluster);
        let frame = Frame { endpoint, cluster, header, payload, general: general.as_ref() };
        let is_again = header.kind == FrameKind::Cluster && self.is_again(now, ieee, &frame);
        let mut is_known = false;
        let mut changes = Map::new();
        if ota(core, ieee, &frame) {
            core.queue.handle_frame(ieee, &frame);
            return None;
        }
        if sleepy::is_check_in(&frame) {
            sleepy::check_in(core, now, ieee, &frame);
            return None;
        }
        if cluster == ias::ZONE && header.kind == FrameKind::Cluster && header.command == ias::ENROLL_REQUEST {
            let mut response = ias::response(endpoint);
            response.header.seq = header.seq;
            core.reply(now, ieee, response);
            return None;
        }
        match (&general, header.kind) {
            (Some(General::Report(records)), _) if header.direction == Direction::ToClient => {
                let attributes: Vec<_> =
                    records.iter().map(|record| (record.attribute, record.value.clone())).collect();
                is_known = true;
                self.attributes(core, now, ieee, incoming, header.maker, &attributes, &mut changes);
            }
            // One that nobody waits for is late, or was said twice: how things were, perhaps, and not how they are.
            (Some(General::ReadRsp(_)), _) if !core.queue.awaits(ieee, &frame) => return None,
            (Some(General::ReadRsp(records)), _) if header.direction == Direction::ToClient => {
                let values = records.iter().filter_map(|record| Some((record.attribute, record.value.clone().ok()?)));
                let attributes: Vec<_> = values.collect();
                self.attributes(core, now, ieee, incoming, header.maker, &attributes, &mut changes);
            }
            (_, FrameKind::Cluster) if !is_again => {
                let what = What::Command { header: &header, payload };
                is_known = self.decode(core, now, ieee, incoming, what, &mut changes);
            }
            (_, FrameKind::Cluster) => is_known = true,
            _ => {}
        }
        // First what it says, then that it was the answer: whoever waits for the answer finds the values there.
        let is_answer = core.queue.handle_frame(ieee, &frame);
        if !is_answer {
            let many = incoming.was_broadcast || incoming.group.is_some();
            let time = answering::Now { unix_ms: core.clock.unix_ms(now), offset_s: core.clock.offset_s };
            if let Some(zcl) = answering::answer(&frame, time, many, is_known) {
                core.reply(now, ieee, zcl);
            }
        }
        Some(Understood { ieee, changes })
    }

    /// A command that came a moment ago, with the same number: a button was pressed once.
    fn is_again(&mut self, now: Instant, ieee: Ieee, frame: &Frame<'_>) -> bool {
        let this = (frame.header.seq, frame.cluster, frame.header.command);
        let last = self.last.insert(ieee, (now, this.0, this.1, this.2));
        last.is_some_and(|(at, seq, cluster, command)| {
            now.saturating_duration_since(at) < SAME_WITHIN && (seq, cluster, command) == this
        })
    }

    #[expect(clippy::too_many_arguments, reason = "they are what a message consists of")]
    fn attributes(
        &mut self,
        core: &mut Core,
        now: Instant,
        ieee: Ieee,
        incoming: &Incoming,
        maker: Option<MakerCode>,
        attributes: &[(AttributeId, Typed)],
        changes: &mut Map<String, Value>,
    ) {
        if incoming.cluster == BASIC && maker.is_none() {
            self.identity(core, now, ieee, attributes);
        }
        self.decode(core, now, ieee, incoming, What::Attributes { maker, attributes }, changes);
    }

    /// Some say what they are only by themselves, when a button is pressed.
    fn identity(&self, core: &mut Core, now: Instant, ieee: Ieee, attributes: &[(AttributeId, Typed)]) {
        let definitions = core.definitions.clone();
        let Some(device) = core.table.get_mut(ieee) else { return };
        let mut is_new = false;
        for (attribute, value) in attributes {
            is_new |= note(&mut device.identity, ReadRecord { attribute: *attribute, value: Ok(value.clone()) });
        }
        if is_new {
            device.dirty_since.get_or_insert(now);
            let definition = definitions.find(&device.identity);
            let (old, new) = (device.definition.model(), definition.model());
            if old != new || !device.interviewed {
                // A definition that knows it by name needs no more to be of use.
                device.interviewed |= definition.is_supported();
                device.definition = definition;
                core.show(ieee);
            }
        }
    }

    /// `true`: the definition made something of it.
    fn decode(
        &mut self,
        core: &mut Core,
        now: Instant,
        ieee: Ieee,
        incoming: &Incoming,
        what: What<'_>,
        changes: &mut Map<String, Value>,
    ) -> bool {
        let (utc_s, utc_offset_s) = (core.clock.unix_ms(now) / 1000, core.clock.offset_s);
        let Some(device) = core.table.get_mut(ieee) else { return false };
        let group: Option<GroupId> = incoming.group;
        let (endpoint, cluster, lqi) = (incoming.from_endpoint, incoming.cluster, incoming.lqi);
        let heard = Heard { endpoint, cluster, group, lqi, what, utc_s, utc_offset_s };
        let definition = device.definition.clone();
        let notes_before = device.memory.notes.clone();
        let decoded = definition.decode(&device.identity, &heard, &mut device.memory);
        if device.memory.notes != notes_before {
            device.dirty_since.get_or_insert(now);
        }
        let Decoded { changes: new, later, answers } = decoded;
        let is_known = !new.is_empty() || !answers.is_empty() || !later.is_empty();
        if !new.is_empty() {
            self.outdate(ieee, &new);
            core.changed(now, ieee, new.clone());
            changes.extend(new);
        }
        for Later { after, changes } in later {
            self.outdate(ieee, &changes);
            let waiting = self.later.entry(ieee).or_default();
            waiting.push((now + after, changes));
            if waiting.len() > LATER_MAX {
                waiting.remove(0);
            }
        }
        for command in &answers {
            match Zcl::of(command) {
                Ok(zcl) => core.zcl(now, ieee, zcl, Priority::Answer, Owner::Nobody),
                Err(error) => tracing::warn!(%ieee, %error, "a definition's answer cannot be written"),
            }
        }
        is_known
    }

    /// What is said now stands against what was to be said later.
    fn outdate(&mut self, ieee: Ieee, changes: &Map<String, Value>) {
        if let Some(waiting) = self.later.get_mut(&ieee) {
            waiting.iter_mut().for_each(|(_, later)| later.retain(|property, _| !changes.contains_key(property)));
            waiting.retain(|(_, later)| !later.is_empty());
            if waiting.is_empty() {
                self.later.remove(&ieee);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.later.values().flatten().map(|(at, _)| *at).min()
    }

    pub fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        let mut due = Vec::new();
        for (ieee, waiting) in &mut self.later {
            let (now_due, later) = std::mem::take(waiting).into_iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
            *waiting = later;
            due.extend(now_due.into_iter().map(|(_, changes)| (*ieee, changes)));
        }
        self.later.retain(|_, waiting| !waiting.is_empty());
        due.into_iter().for_each(|(ieee, changes)| core.changed(now, ieee, changes));
    }
}
