//! A message to a device and what is waited for: what it looks like on the air, and which of the messages that come in is its
//! answer. Sends nothing and waits for nothing.

use crate::zigbee::definitions::{Body, Command, Read};
use crate::zigbee::ncp::{Destination, NcpCommand, Outgoing, Tag};
use crate::zigbee::types::{AttributeId, ClusterId, Endpoint, GroupId, Ieee, MakerCode, Nwk, ProfileId};
use crate::zigbee::zcl::foundation::{General, Record, WriteKind, id};
use crate::zigbee::zcl::frame::{Direction, FrameKind, Header};
use crate::zigbee::zcl::status::Status;
use crate::zigbee::zcl::value::{EncodeError, Typed};
use crate::zigbee::zdo;

/// Clusters whose commands are answered by a command of the same number that begins with a status: groups, scenes, door lock
/// (ZCL r8 §3.6.2.4, §3.7.2.5, §7.3.2.17).
const ANSWERED_IN_KIND: [ClusterId; 3] = [ClusterId(0x0004), ClusterId(0x0005), ClusterId(0x0101)];

/// Hops.
const RADIUS: u8 = 30;

/// The hub's endpoint for all applications.
pub const HUB_ENDPOINT: Endpoint = Endpoint(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Device(Ieee),
    Group(GroupId),
    /// All of a kind, or one of whom no more is known.
    Address(Nwk),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Zcl(Zcl),
    /// It answers a frame of the device, whose number it has in its header.
    Answer(Zcl),
    Zdo(zdo::Request),
}

impl Message {
    /// For the stick. `nwk` is where the device is, `seq` the number of a ZCL frame.
    pub fn command(&self, tag: Tag, to: To, nwk: Nwk, seq: u8) -> NcpCommand {
        match self {
            Message::Zcl(zcl) | Message::Answer(zcl) => {
                let ack = matches!(to, To::Device(_));
                let to = match to {
                    To::Device(_) => Destination::Device { nwk, endpoint: zcl.endpoint },
                    To::Group(group) => Destination::Group(group),
                    To::Address(to) => Destination::Broadcast { to, endpoint: zcl.endpoint },
                };
                let (profile, cluster, payload) = (zcl.profile, zcl.cluster, zcl.encode(seq));
                let message = Outgoing { to, profile, cluster, from: HUB_ENDPOINT, radius: RADIUS, payload, ack };
                NcpCommand::Send { tag, message }
            }
            Message::Zdo(request) => {
                let to = match to {
                    To::Device(_) | To::Group(_) => nwk,
                    To::Address(to) => to,
                };
                NcpCommand::Zdo { tag, to, cluster: request.cluster(), payload: request.encode() }
            }
        }
    }
}

/// A ZCL frame; its number is given to it when it goes out, unless it answers one.
#[derive(Debug, Clone, PartialEq)]
pub struct Zcl {
    /// Of the device; 255 of groups and broadcasts.
    pub endpoint: Endpoint,
    pub profile: ProfileId,
    pub cluster: ClusterId,
    pub header: Header,
    pub payload: Vec<u8>,
}

/// What counts as the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Nothing more than that it was delivered (or sent, to many).
    Delivery,
    /// A default response, or the command of the same number where the cluster answers in kind.
    Default,
    /// A general command of this number, or a default response that says why not.
    General(u8),
    /// A command of the cluster, or a default response that says why not.
    Command(u8),
    Zdo,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Delivered,
    /// Of a default response, or of an answer in kind.
    Status(Status),
    General(General),
    Command {
        command: u8,
        payload: Vec<u8>,
    },
    Zdo(zdo::Response),
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    RadioDown,
    /// Its messages do not reach it.
    Unreachable(&'static str),
    /// It was reached, and said nothing in time.
    NoAnswer,
    /// It said nothing, and nobody knows whether it was reached.
    Unsure,
    /// The stick would not send it, with its code.
    Stick(u8),
    /// It is no device any more, or too much waits for it.
    Dropped(&'static str),
}

impl Zcl {
    pub fn general(endpoint: Endpoint, cluster: ClusterId, command: &General) -> Result<Zcl, EncodeError> {
        let mut payload = Vec::new();
        command.encode(&mut payload)?;
        let header = Header::general(0, Direction::ToServer, command.id());
        Ok(Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload })
    }

    pub fn read(endpoint: Endpoint, cluster: ClusterId, attributes: &[AttributeId]) -> Zcl {
        let payload = attributes.iter().flat_map(|attribute| attribute.0.to_le_bytes()).collect();
        let header = Header::general(0, Direction::ToServer, id::READ);
        Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload }
    }

    pub fn write(
        endpoint: Endpoint,
        cluster: ClusterId,
        attribute: AttributeId,
        value: Typed,
    ) -> Result<Zcl, EncodeError> {
        Zcl::general(endpoint, cluster, &General::Write(WriteKind::Plain, vec![Record { attribute, value }]))
    }

    pub fn command(endpoint: Endpoint, cluster: ClusterId, command: u8, payload: Vec<u8>) -> Zcl {
        let header = Header::cluster(0, Direction::ToServer, command);
        Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload }
    }

    pub fn of(command: &Command) -> Result<Zcl, EncodeError> {
        let zcl = match &command.body {
            Body::Cluster { command: number, payload } => {
                Zcl::command(command.endpoint, command.cluster, *number, payload.clone())
            }
            Body::ToClient { command: number, payload } => {
                let header =
                    Header { disable_default_response: true, ..Header::cluster(0, Direction::ToClient, *number) };
                let (endpoint, cluster, payload) = (command.endpoint, command.cluster, payload.clone());
                Zcl { endpoint, profile: ProfileId::HOME_AUTOMATION, cluster, header, payload }
            }
            Body::Write { attributes } => {
                let records = attributes.iter();
                let records = records.map(|(attribute, value)| Record { attribute: *attribute, value: value.clone() });
                Zcl::general(command.endpoint, command.cluster, &General::Write(WriteKind::Plain, records.collect()))?
            }
        };
        Ok(Zcl { header: zcl.header.with_maker(command.maker), ..zcl })
    }

    pub fn of_read(read: &Read) -> Zcl {
        Zcl::read(read.endpoint, read.cluster, &read.attributes).with_maker(read.maker)
    }

    pub fn with_maker(self, maker: Option<MakerCode>) -> Zcl {
        Zcl { header: self.header.with_maker(maker), ..self }
    }

    /// No default response is wanted, as of whatever goes to many.
    pub fn quiet(self) -> Zcl {
        Zcl { header: Header { disable_default_response: true, ..self.header }, ..self }
    }

    /// What is to be waited for when nobody says otherwise.
    pub fn wants(&self) -> Wants {
        match (self.header.kind, self.header.command) {
            (FrameKind::Cluster, _) if self.header.disable_default_response => Wants::Delivery,
            (FrameKind::Cluster, _) => Wants::Default,
            (FrameKind::General, id::READ) => Wants::General(id::READ_RSP),
            (FrameKind::General, id::WRITE | id::WRITE_UNDIVIDED) => Wants::General(id::WRITE_RSP),
            (FrameKind::General, id::CONFIGURE_REPORTING) => Wants::General(id::CONFIGURE_REPORTING_RSP),
            (FrameKind::General, id::READ_REPORTING) => Wants::General(id::READ_REPORTING_RSP),
            (FrameKind::General, id::DISCOVER) => Wants::General(id::DISCOVER_RSP),
            (FrameKind::General, _) => Wants::Delivery,
        }
    }

    /// The frame with its number.
    pub fn encode(&self, seq: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 5);
        Header { seq, ..self.header }.encode(&mut out);
        out.extend_from_slice(&self.payload);
        out
    }

    /// What a frame of the device is as an answer to this one that went with `seq`: `None` where it is none. The sender has
    /// been looked at already.
    pub fn answer(&self, seq: u8, wants: Wants, frame: &Frame<'_>) -> Option<Answer> {
        let (mine, its) = (&self.header, &frame.header);
        let is_of_it = its.seq == seq
            && its.direction == mine.direction.reversed()
            && frame.endpoint == self.endpoint
            && frame.cluster == self.cluster;
        if !is_of_it {
            return None;
        }
        // Some leave the maker out of a default response.
        if let Some(General::Default { command, status }) = frame.general {
            let is_wanted = wants != Wants::Delivery && *command == mine.command;
            return is_wanted.then_some(Answer::Status(*status));
        }
        if its.maker != mine.maker {
            return None;
        }
        match (wants, its.kind) {
            (Wants::General(number), FrameKind::General) if its.command == number => {
                frame.general.cloned().map(Answer::General)
            }
            (Wants::Command(number), FrameKind::Cluster) if its.command == number => {
                Some(Answer::Command { command: number, payload: frame.payload.to_vec() })
            }
            (Wants::Default, FrameKind::Cluster)
                if its.command == mine.command
                    && mine.kind == FrameKind::Cluster
                    && ANSWERED_IN_KIND.contains(&self.cluster) =>
            {
                frame.payload.first().map(|status| Answer::Status(Status(*status)))
            }
            _ => None,
        }
    }
}

/// A ZCL frame that came in, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub endpoint: Endpoint,
    pub cluster: ClusterId,
    pub header: Header,
    /// Behind the header.
    pub payload: &'a [u8],
    /// The payload of a general command that could be read.
    pub general: Option<&'a General>,
}

/// What a ZDO response is to a request: `None` where it answers another one.
pub fn zdo_answer(request: &zdo::Request, response: &zdo::Response) -> Option<Answer> {
    use zdo::{Request, Response};
    if response.cluster() != zdo::cluster::response(request.cluster()) {
        return None;
    }
    // Of a failure devices leave out what they please: what is there must fit.
    let is_success = response.status().is_success();
    let fits = match (request, response) {
        (Request::NodeDescriptor { nwk: asked }, Response::NodeDescriptor { nwk, .. })
        | (Request::PowerDescriptor { nwk: asked }, Response::PowerDescriptor { nwk, .. })
        | (Request::ActiveEndpoints { nwk: asked }, Response::ActiveEndpoints { nwk, .. })
        | (Request::MatchDescriptors { nwk: asked, .. }, Response::MatchDescriptors { nwk, .. })
        | (Request::IeeeAddr { nwk: asked, .. }, Response::IeeeAddr { nwk, .. }) => !is_success || asked == nwk,
        (Request::SimpleDescriptor { nwk: asked, endpoint }, Response::SimpleDescriptor { nwk, descriptor, .. }) => {
            !is_success
                || (asked == nwk && descriptor.as_ref().is_some_and(|descriptor| descriptor.endpoint == *endpoint))
        }
        (Request::NwkAddr { ieee: asked, .. }, Response::NwkAddr { ieee, .. }) => !is_success || asked == ieee,
        (Request::MgmtLqi { start }, Response::MgmtLqi { page, .. }) => {
            page.as_ref().is_none_or(|page| page.start == *start)
        }
        (Request::MgmtRtg { start }, Response::MgmtRtg { page, .. }) => {
            page.as_ref().is_none_or(|page| page.start == *start)
        }
        (Request::MgmtBind { start }, Response::MgmtBind { page, .. }) => {
            page.as_ref().is_none_or(|page| page.start == *start)
        }
        _ => true,
    };
    fits.then(|| Answer::Zdo(response.clone()))
}
