//! ZCL's frame as a device hears it, and the two answers that every command may have: by a command of the cluster, or by the
//! default response (ZCL r8 §2.4 and §2.5.12).

use super::{Device, Out};
use crate::zigbee::sim::air::{Aps, To};
use crate::zigbee::sim::bytes::{Reader, Writer};

/// ZCL status codes (ZCL r8 §2.6.3).
pub mod zcl {
    pub const SUCCESS: u8 = 0x00;
    pub const MALFORMED: u8 = 0x80;
    pub const UNSUP_COMMAND: u8 = 0x81;
    pub const INVALID_FIELD: u8 = 0x85;
    pub const UNSUP_ATTRIBUTE: u8 = 0x86;
    pub const INVALID_VALUE: u8 = 0x87;
    pub const READ_ONLY: u8 = 0x88;
    pub const NOT_FOUND: u8 = 0x8b;
    pub const UNREPORTABLE: u8 = 0x8c;
    pub const INVALID_TYPE: u8 = 0x8d;
    pub const UNSUP_CLUSTER: u8 = 0xc3;
}

/// A ZCL frame, taken apart.
pub struct Heard<'a> {
    pub aps: &'a Aps,
    /// The endpoint that hears.
    pub endpoint: u8,
    pub control: u8,
    pub maker: Option<u16>,
    pub sequence: u8,
    pub command: u8,
    pub payload: &'a [u8],
}

impl Heard<'_> {
    pub fn is_for_cluster(&self) -> bool {
        self.control & 3 == 1
    }

    pub fn is_to_client(&self) -> bool {
        self.control & 8 != 0
    }

    /// Whether "success" is to be said as well, and not errors alone (ZCL r8 §2.5.12.2).
    pub fn wants_success(&self) -> bool {
        self.control & 0x10 == 0
    }

    pub fn is_unicast(&self) -> bool {
        matches!(self.aps.to, To::Device(_))
    }
}

/// What a command came to.
pub enum Done {
    /// Said by a default response.
    Status(u8),
    /// Said by a command of the cluster.
    Answered,
}

/// `None`: it is no ZCL.
pub fn parse(endpoint: u8, aps: &Aps) -> Option<Heard<'_>> {
    let mut reader = Reader(&aps.payload);
    let control = reader.u8()?;
    let maker = if control & 4 != 0 { Some(reader.u16()?) } else { None };
    let (sequence, command) = (reader.u8()?, reader.u8()?);
    (control & 3 < 2).then_some(())?;
    Some(Heard { aps, endpoint, control, maker, sequence, command, payload: reader.rest() })
}

/// Says how it went, where that is wanted: never to a group, success only where it is not disabled.
pub fn default_response(device: &mut Device, heard: &Heard<'_>, status: u8, out: &mut Out) {
    if !heard.is_unicast() || (status == zcl::SUCCESS && !heard.wants_success()) {
        return;
    }
    let direction = if heard.is_to_client() { 0 } else { 8 };
    let mut header = Writer::new().u8(0x10 | direction | u8::from(heard.maker.is_some()) << 2);
    if let Some(maker) = heard.maker {
        header = header.u16(maker);
    }
    let payload = header.u8(heard.sequence).u8(0x0b).u8(heard.command).u8(status);
    let draft = device.answer(heard.aps, heard.endpoint, payload.0);
    out.messages.push(draft);
}

/// A command of the cluster as the answer to `heard`.
pub fn respond(device: &mut Device, heard: &Heard<'_>, command: u8, body: Writer, out: &mut Out) {
    let direction = if heard.is_to_client() { 0 } else { 8 };
    let payload = Writer::new().u8(0x11 | direction).u8(heard.sequence).u8(command).bytes(&body.0);
    let draft = device.answer(heard.aps, heard.endpoint, payload.0);
    out.messages.push(draft);
}
