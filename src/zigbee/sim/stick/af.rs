//! MT AF: endpoints, messages out with their confirms, messages in (Z-Stack MT API §3.1).

use std::time::Instant;

use super::nv::USER_ASSOCIATED;
use super::{Answer, Registered, Stick};
use crate::zigbee::sim::air::{Aps, To, status};
use crate::zigbee::sim::bytes::{Reader, Writer};
use crate::zigbee::sim::world::{Sending, World};
use crate::zigbee::types::{GroupId, Nwk};

const ACK: u8 = 0x10;

/// AF_STATUS: `afStatus_INVALID_PARAMETER`, and the endpoint is there already.
const INVALID: u8 = 0x02;
const THERE_ALREADY: u8 = 0xb8;

/// Confirms that say "full": wait and try again.
const BUFFER_FULL: u8 = 0x11;

/// Octets of a message that goes over the air in one piece.
const ASDU_LEN_MAX: usize = 100;

/// Messages heard lately.
const HEARD_LEN: usize = 64;

const ENDPOINTS_MAX: usize = 16;

impl Stick {
    pub(super) fn handle_af(&mut self, now: Instant, id: u8, data: &[u8], world: &mut World) -> Answer {
        let body = Reader(data);
        let answer = match id {
            0x00 => self.register(body),
            0x01 => self.data_request(now, body, world),
            0x02 => self.data_request_ext(now, body, world),
            0x03 => self.data_request_routed(now, body, world),
            0x04 => body.0.first().map(|endpoint| {
                Answer::status(if self.endpoints.remove(endpoint).is_some() { status::SUCCESS } else { INVALID })
            }),
            _ => return Answer::Unknown,
        };
        answer.unwrap_or(Answer::Malformed)
    }

    fn register(&mut self, mut body: Reader<'_>) -> Option<Answer> {
        let (endpoint, profile, device) = (body.u8()?, body.u16()?, body.u16()?);
        body.take(2)?;
        let (inputs, outputs) = (body.words()?, body.words()?);
        let is_whole = body.is_empty();
        let taken = match () {
            () if self.endpoints.contains_key(&endpoint) => THERE_ALREADY,
            () if endpoint == 0 || endpoint > 254 || self.endpoints.len() >= ENDPOINTS_MAX => INVALID,
            () => {
                self.endpoints.insert(endpoint, Registered { profile, device, inputs, outputs });
                status::SUCCESS
            }
        };
        is_whole.then(|| Answer::status(taken))
    }

    fn data_request(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (to, to_endpoint, from_endpoint, cluster) = (body.u16()?, body.u8()?, body.u8()?, body.u16()?);
        let (transaction, options, _radius) = (body.u8()?, body.u8()?, body.u8()?);
        let payload = take_counted(&mut body, 1)?;
        let to = if to >= 0xfff8 { To::Broadcast(Nwk(to)) } else { To::Device(Nwk(to)) };
        let aps = self.aps(to, to_endpoint, from_endpoint, cluster, options, payload);
        Some(Answer::status(self.send(now, aps, transaction, world)))
    }

    fn data_request_ext(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (mode, address, to_endpoint) = (body.u8()?, body.u64()?, body.u8()?);
        body.u16()?; // of another network, which nobody here is in
        let (from_endpoint, cluster, transaction) = (body.u8()?, body.u16()?, body.u8()?);
        let (options, _radius) = (body.u8()?, body.u8()?);
        let payload = take_counted(&mut body, 2)?;
        let short = address as u16;
        let to = match mode {
            1 => To::Group(GroupId(short)),
            2 if short >= 0xfff8 => To::Broadcast(Nwk(short)),
            2 => To::Device(Nwk(short)),
            3 => match self.address(crate::zigbee::types::Ieee(address)) {
                Some((_, known)) => To::Device(known.nwk),
                None => return Some(Answer::status(INVALID)),
            },
            15 => To::Broadcast(Nwk(short)),
            _ => return Some(Answer::status(INVALID)),
        };
        let aps = self.aps(to, to_endpoint, from_endpoint, cluster, options, payload);
        Some(Answer::status(self.send(now, aps, transaction, world)))
    }

    fn data_request_routed(&mut self, now: Instant, mut body: Reader<'_>, world: &mut World) -> Option<Answer> {
        let (to, to_endpoint, from_endpoint, cluster) = (body.u16()?, body.u8()?, body.u8()?, body.u16()?);
        let (transaction, options, _radius) = (body.u8()?, body.u8()?, body.u8()?);
        body.words()?; // the world finds the way by itself
        let payload = take_counted(&mut body, 1)?;
        let aps = self.aps(To::Device(Nwk(to)), to_endpoint, from_endpoint, cluster, options, payload);
        Some(Answer::status(self.send(now, aps, transaction, world)))
    }

    fn aps(&mut self, to: To, to_endpoint: u8, from_endpoint: u8, cluster: u16, options: u8, payload: Vec<u8>) -> Aps {
        self.aps_counter = self.aps_counter.wrapping_add(1);
        Aps {
            to,
            from: Nwk::COORDINATOR,
            from_endpoint,
            to_endpoint,
            profile: self.endpoints.get(&from_endpoint).map_or(0, |registered| registered.profile),
            cluster,
            counter: self.aps_counter,
            ack: options & ACK != 0 && matches!(to, To::Device(_)),
            payload,
        }
    }

    /// Sends a message; what comes of it is told by a confirm. Returns what the request is answered with.
    fn send(&mut self, now: Instant, aps: Aps, transaction: u8, world: &mut World) -> u8 {
        let is_zdo = aps.from_endpoint == 0 && aps.to_endpoint == 0;
        if !is_zdo && !self.endpoints.contains_key(&aps.from_endpoint) {
            world.violation(
                now,
                "stick",
                format!("a message from endpoint {}, which is not registered", aps.from_endpoint),
            );
            return INVALID;
        }
        if aps.payload.len() > ASDU_LEN_MAX {
            world.tell(now, "stick", format!("takes no message of {} bytes", aps.payload.len()));
            return status::MEMORY;
        }
        if self.network.is_none() {
            return status::INVALID_PARAMETER;
        }
        let endpoint = aps.from_endpoint;
        if is_zdo && (aps.to == To::Device(Nwk::COORDINATOR) || matches!(aps.to, To::Broadcast(_))) {
            self.answer_itself(now, aps.cluster, &aps.payload, world);
        }
        if aps.to == To::Device(Nwk::COORDINATOR) {
            self.tell(4, 0x80, vec![status::SUCCESS, endpoint, transaction]);
            return status::SUCCESS;
        }
        if self.in_flight.len() >= self.generation.in_flight_max() {
            self.tell(4, 0x80, vec![BUFFER_FULL, endpoint, transaction]);
            return status::SUCCESS;
        }
        self.transmit(now, aps, Some((endpoint, transaction)), world);
        status::SUCCESS
    }

    /// Puts a message on the air. `known_as`: what to confirm to the host.
    pub(super) fn transmit(&mut self, now: Instant, aps: Aps, known_as: Option<(u8, u8)>, world: &mut World) {
        let Some(network) = self.network else {
            return;
        };
        let as_child = match aps.to {
            To::Device(nwk) => self.address_by_nwk(nwk).is_some_and(|(_, row)| row.user & USER_ASSOCIATED != 0),
            _ => false,
        };
        self.handles += 1;
        let handle = self.handles;
        if let Some(known_as) = known_as {
            self.in_flight.insert(handle, known_as);
        }
        let counter = self.count();
        world.send(now, Sending { handle, aps, network, counter, as_child });
    }

    /// A message of a device.
    pub(super) fn heard(&mut self, now: Instant, aps: Aps, lqi: u8, world: &mut World) {
        if self.heard.contains(&(aps.from.0, aps.counter)) {
            return;
        }
        self.heard.push_back((aps.from.0, aps.counter));
        if self.heard.len() > HEARD_LEN {
            self.heard.pop_front();
        }
        if aps.profile == 0 {
            return self.heard_zdo(now, &aps, world);
        }
        let (group, to_endpoint, was_broadcast) = match aps.to {
            To::Device(_) if aps.to_endpoint == 0xff || self.endpoints.contains_key(&aps.to_endpoint) => {
                (0, aps.to_endpoint, 0)
            }
            To::Device(_) => {
                let what = format!("throws away a message for endpoint {}, which is not registered", aps.to_endpoint);
                return world.tell(now, "stick", what);
            }
            To::Group(group) => match self.groups.iter().find(|(_, of)| *of == group.0) {
                Some((endpoint, _)) => (group.0, *endpoint, 0),
                None => return,
            },
            To::Broadcast(_) => (0, aps.to_endpoint, 1),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let told = Writer::new().u16(group).u16(aps.cluster).u16(aps.from.0).u8(aps.from_endpoint).u8(to_endpoint);
        let told = told.u8(was_broadcast).u8(lqi).u8(0).u32(0).u8(self.sequence).u8(aps.payload.len() as u8);
        // Who sent the last hop, and what is left of the radius.
        self.tell(4, 0x81, told.bytes(&aps.payload).u16(aps.from.0).u8(29).0);
    }
}

/// A payload behind its length of so many bytes; `None` where that is not what follows.
fn take_counted(body: &mut Reader<'_>, width: usize) -> Option<Vec<u8>> {
    let len = body.number(width)? as usize;
    let payload = body.take(len)?.to_vec();
    body.is_empty().then_some(payload)
}
