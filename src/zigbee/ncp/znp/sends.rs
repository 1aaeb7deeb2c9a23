//! Messages to devices, from the command to the confirm: so many at a time as the stick bears, the rest in a queue. Knows no line;
//! what it wants asked it hands out.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::zigbee::ncp::znp::line::AskError;
use crate::zigbee::ncp::znp::mt::Message;
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::zdo::{MODE_BROADCAST, MODE_GROUP};
use crate::zigbee::ncp::{Destination, Outgoing, SendStatus, Tag};
use crate::zigbee::types::Nwk;

/// Messages that wait for one of those under way. The network layer has a queue of its own; this is for bursts.
const WAITING_LEN_MAX: usize = 128;

/// How long a confirm may take: a message waits for its sleeper for 7.68 s, acknowledgements for 1.6 s three times over.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(13);

/// How long it may take where the stick has not said that it took the message: more likely than not it never heard of it.
const UNHEARD_PATIENCE: Duration = Duration::from_secs(3);

/// What fits into a request beside its fields.
const PAYLOAD_LEN_MAX: usize = 230;

/// `afStatus_INVALID_PARAMETER`.
const INVALID_PARAMETER: u8 = 0x02;

/// AF's options: the stick looks for a route if it has none, and routers on the way do not; an acknowledgement is asked for.
const OPTION_ROUTE_HERE: u8 = 0x20;
const OPTION_ACK: u8 = 0x10;

/// The endpoint of all.
const ENDPOINT_ALL: u8 = 0xff;

#[derive(Debug, Default)]
pub struct Sends {
    waiting: VecDeque<(Tag, Outgoing)>,
    under_way: BTreeMap<u8, UnderWay>,
    transaction: u8,
}

#[derive(Debug)]
struct UnderWay {
    tag: Tag,
    /// The one that it goes to, of a unicast.
    to: Option<Nwk>,
    /// Nobody confirms a broadcast: with the stick's word it is done.
    is_broadcast: bool,
    /// The hub's, and the device's: firmwares name the one or the other in the confirm.
    endpoints: [u8; 2],
    give_up_at: Instant,
}

impl Sends {
    /// Takes a message, or tells what becomes of it at once.
    pub fn push(&mut self, tag: Tag, message: Outgoing) -> Result<(), SendStatus> {
        if message.payload.len() > PAYLOAD_LEN_MAX {
            return Err(SendStatus::Refused(INVALID_PARAMETER));
        }
        if self.waiting.len() >= WAITING_LEN_MAX {
            return Err(SendStatus::Busy);
        }
        self.waiting.push_back((tag, message));
        Ok(())
    }

    /// The next request, with the transaction that stands for it, while fewer than `in_flight_max` are under way.
    pub fn poll_ask(&mut self, now: Instant, in_flight_max: usize) -> Option<(u8, Message)> {
        if self.under_way.len() >= in_flight_max.min(usize::from(u8::MAX)) {
            return None;
        }
        let (tag, message) = self.waiting.pop_front()?;
        loop {
            self.transaction = self.transaction.wrapping_add(1);
            if !self.under_way.contains_key(&self.transaction) {
                break;
            }
        }
        let give_up_at = now + CONFIRM_PATIENCE;
        let is_broadcast = matches!(message.to, Destination::Broadcast { .. });
        let (to, endpoint) = match message.to {
            Destination::Device { nwk, endpoint } => (Some(nwk), endpoint.0),
            Destination::Group(_) => (None, ENDPOINT_ALL),
            Destination::Broadcast { endpoint, .. } => (None, endpoint.0),
        };
        let under_way = UnderWay { tag, to, is_broadcast, endpoints: [message.from.0, endpoint], give_up_at };
        self.under_way.insert(self.transaction, under_way);
        Some((self.transaction, request(&message, self.transaction)))
    }

    /// What the stick said to the request. Where its answer was lost, it may have sent the message all the same: the confirm tells.
    pub fn answered(
        &mut self,
        now: Instant,
        transaction: u8,
        answer: &Result<Message, AskError>,
    ) -> Option<(Tag, SendStatus)> {
        let status = match answer {
            Ok(answer) => match status_of(answer.status().unwrap_or(0)) {
                SendStatus::Delivered if !self.under_way.get(&transaction)?.is_broadcast => return None,
                status => status,
            },
            Err(AskError::Silent) => {
                let under_way = self.under_way.get_mut(&transaction)?;
                under_way.give_up_at = under_way.give_up_at.min(now + UNHEARD_PATIENCE);
                return None;
            }
            Err(AskError::Rpc(code)) => SendStatus::Refused(*code),
            Err(AskError::Gone) => SendStatus::RadioDown,
            Err(AskError::Full) => SendStatus::Busy,
        };
        Some((self.under_way.remove(&transaction)?.tag, status))
    }

    /// The stick tells how a message fared: whose it was, and the device that it was for.
    pub fn confirmed(&mut self, transaction: u8, endpoint: u8, status: u8) -> Option<(Tag, Option<Nwk>, SendStatus)> {
        let is_it = |under_way: &&UnderWay| under_way.endpoints.contains(&endpoint);
        self.under_way.get(&transaction).filter(is_it)?;
        let UnderWay { tag, to, .. } = self.under_way.remove(&transaction)?;
        Some((tag, to, status_of(status)))
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.values().map(|under_way| under_way.give_up_at).min()
    }

    /// The next whose confirm does not come any more.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<(Tag, SendStatus)> {
        let (&transaction, _) = self.under_way.iter().find(|(_, under_way)| under_way.give_up_at <= now)?;
        Some((self.under_way.remove(&transaction)?.tag, SendStatus::NoAck))
    }

    /// All that are waiting or under way: the stick is gone.
    pub fn drain(&mut self) -> Vec<Tag> {
        let under_way = std::mem::take(&mut self.under_way).into_values().map(|under_way| under_way.tag);
        under_way.chain(self.waiting.drain(..).map(|(tag, _)| tag)).collect()
    }
}

fn request(message: &Outgoing, transaction: u8) -> Message {
    let (mode, address, endpoint) = match message.to {
        Destination::Device { nwk, endpoint } => {
            let ack = if message.ack { OPTION_ACK } else { 0 };
            let request = AF_DATA_REQUEST.request().with("dstaddr", nwk).with("destendpoint", endpoint);
            let request = request.with("srcendpoint", message.from).with("clusterid", message.cluster);
            let request = request.with("transid", transaction).with("options", OPTION_ROUTE_HERE | ack);
            return request.with("radius", message.radius).with("data", &message.payload);
        }
        Destination::Group(group) => (MODE_GROUP, group.0, ENDPOINT_ALL),
        Destination::Broadcast { to, endpoint } => (MODE_BROADCAST, to.0, endpoint.0),
    };
    let request = AF_DATA_REQUEST_EXT.request().with("dstaddrmode", mode).with("dstaddr", u64::from(address));
    let request = request.with("destendpoint", endpoint).with("srcendpoint", message.from);
    let request = request.with("clusterid", message.cluster).with("transid", transaction);
    request.with("radius", message.radius).with("data", &message.payload)
}

/// Codes of Z-Stack (`ZComDef.h`, `ZMAC.h`, `aps_frames.h`) in words.
pub fn status_of(code: u8) -> SendStatus {
    match code {
        0x00 => SendStatus::Delivered,
        // APS: no acknowledgement. MAC: no acknowledgement.
        0xb7 | 0xa7 | 0xe9 => SendStatus::NoAck,
        // No route, route discovery failed, unknown device.
        0xcd | 0xd0 | 0xd1 | 0xc8 => SendStatus::NoRoute,
        // Out of memory, buffers, resources, table entries; the channel is busy.
        0x10 | 0x11 | 0x1a | 0xc7 | 0xe1 | 0xf1 | 0xf3 => SendStatus::Busy,
        0xf0 => SendStatus::Expired,
        code => SendStatus::Refused(code),
    }
}

/// How the stick took a ZDO request. What it comes to is told by the response.
pub fn taken(answer: &Result<Message, AskError>) -> SendStatus {
    match answer {
        Ok(answer) => status_of(answer.status().unwrap_or(0)),
        Err(AskError::Silent) => SendStatus::NoAck,
        Err(AskError::Rpc(code)) => SendStatus::Refused(*code),
        Err(AskError::Gone) => SendStatus::RadioDown,
        Err(AskError::Full) => SendStatus::Busy,
    }
}
