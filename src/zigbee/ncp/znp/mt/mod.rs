//! MT commands between bytes and names, by the table in [`commands`]. Used by the host and by the simulated stick, so each
//! command goes both ways. Knows no serial line and no order of events.
//!
//! ```
//! use hearth::zigbee::framing::unpi::Frame;
//! use hearth::zigbee::ncp::znp::mt::{self, commands::SYS_OSAL_NV_READ_EXT};
//!
//! // A host asks: fields that are not named are 0 or empty.
//! let frame: Frame = SYS_OSAL_NV_READ_EXT.request().with("id", 0x0021u16).frame()?;
//! // A stick looks at what came, and answers.
//! let asked = mt::decode(&frame)?;
//! assert!(asked.is(&SYS_OSAL_NV_READ_EXT));
//! assert_eq!(asked.u16("id"), 0x0021);
//! let frame = SYS_OSAL_NV_READ_EXT.response().with("value", vec![1u8, 2, 3]).frame()?;
//! // And the host reads the answer.
//! assert_eq!(mt::decode(&frame)?.bytes("value"), [1, 2, 3]);
//! // What a stick does not know it answers with an RPC error.
//! let error = mt::rpc_error(mt::RPC_UNKNOWN_COMMAND, &frame);
//! assert_eq!(mt::as_rpc_error(&error).map(|error| error.id), Some(frame.id));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod commands;

use crate::zigbee::framing::unpi::{self, Frame};
use crate::zigbee::ncp::znp::mt::commands::COMMANDS;
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Ieee, Nwk, ProfileId};

/// A part of the stick's firmware (the lower five bits of the first command byte).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subsystem {
    RpcError = 0,
    Sys = 1,
    Af = 4,
    Zdo = 5,
    Sapi = 6,
    Util = 7,
    AppCnf = 15,
    Gp = 21,
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// As TI and other hosts name it, without its subsystem.
    pub name: &'static str,
    pub subsystem: Subsystem,
    pub id: u8,
    /// It goes as an SREQ, and an SRSP with `response` comes back. Otherwise it is an AREQ, of either side.
    pub is_answered: bool,
    pub request: &'static [Field],
    pub response: &'static [Field],
}

#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

/// How a field lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    U8,
    I8,
    U16,
    U32,
    Ieee,
    /// A byte that counts, and as many bytes.
    Bytes,
    /// Two bytes that count, and as many bytes.
    Bytes16,
    /// A byte that counts, and as many numbers of 16 bits.
    Words,
    /// A byte that counts, and as many records of this size.
    Records(u8),
    /// This many bytes.
    Fixed(u8),
    /// All that is left of the frame. The last field only.
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Command {
    /// A request with every field 0 or empty.
    pub fn request(&'static self) -> Message {
        Message::new(self, self.request, if self.is_answered { unpi::Kind::Sreq } else { unpi::Kind::Areq })
    }

    /// An answer with every field 0 (so success, where there is a status) or empty.
    pub fn response(&'static self) -> Message {
        Message::new(self, self.response, unpi::Kind::Srsp)
    }
}

/// A command with its values, in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub command: &'static Command,
    fields: &'static [Field],
    kind: unpi::Kind,
    values: Vec<Value>,
    /// What followed the last field: firmwares append things that no manual has.
    pub trailing: Vec<u8>,
}

/// Values that their fields do not hold. The one that asked for it said too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} of {command} does not hold that")]
pub struct DoesNotFit {
    pub command: &'static str,
    pub field: &'static str,
}

/// A frame that is no message of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the command 0x{0:02x} 0x{1:02x} is in no manual")]
    Unknown(u8, u8),
    #[error("{0} is too short for its fields")]
    Short(&'static str),
}

/// Into a value of a field: numbers and their newtypes, bytes, words.
pub trait IntoValue {
    #[doc(hidden)]
    fn into_value(self) -> FieldValue;
}

/// What [`IntoValue`] makes.
pub struct FieldValue(Value);

macro_rules! numbers {
    ($($number:ty: |$value:ident| $as:expr),*) => {$(
        impl IntoValue for $number {
            fn into_value(self) -> FieldValue {
                let $value = self;
                FieldValue(Value::Number($as))
            }
        }
    )*};
}
numbers!(
    u8: |value| value.into(),
    u16: |value| value.into(),
    u32: |value| value.into(),
    u64: |value| value,
    bool: |value| value.into(),
    i8: |value| u64::from(value as u8),
    Ieee: |value| value.0,
    Nwk: |value| value.0.into(),
    GroupId: |value| value.0.into(),
    ClusterId: |value| value.0.into(),
    ProfileId: |value| value.0.into(),
    Endpoint: |value| value.0.into()
);

impl IntoValue for &[u8] {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Bytes(self.to_vec()))
    }
}

impl IntoValue for &Vec<u8> {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Bytes(self.clone()))
    }
}

impl IntoValue for Vec<u8> {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Bytes(self))
    }
}

impl<const N: usize> IntoValue for [u8; N] {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Bytes(self.to_vec()))
    }
}

impl IntoValue for &[u16] {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Words(self.to_vec()))
    }
}

impl IntoValue for Vec<u16> {
    fn into_value(self) -> FieldValue {
        FieldValue(Value::Words(self))
    }
}

impl Message {
    fn new(command: &'static Command, fields: &'static [Field], kind: unpi::Kind) -> Message {
        Message { command, fields, kind, values: fields.iter().map(nothing).collect(), trailing: Vec::new() }
    }

    pub fn is(&self, command: &Command) -> bool {
        std::ptr::eq(self.command, command)
    }

    /// This message with a field set. `name` is one of the table; anything else is a slip of the pen that the first test
    /// to come by finds.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl IntoValue) -> Message {
        let at = self.at(name);
        self.values[at] = value.into_value().0;
        self
    }

    fn at(&self, name: &str) -> usize {
        let at = self.fields.iter().position(|field| field.name == name);
        at.unwrap_or_else(|| panic!("{} has no field {name}", self.command.name))
    }

    /// The number in a field, 0 where the field holds none.
    pub fn number(&self, name: &str) -> u64 {
        match &self.values[self.at(name)] {
            Value::Number(number) => *number,
            Value::Bytes(_) | Value::Words(_) => 0,
        }
    }

    pub fn u8(&self, name: &str) -> u8 {
        self.number(name) as u8
    }

    pub fn u16(&self, name: &str) -> u16 {
        self.number(name) as u16
    }

    pub fn u32(&self, name: &str) -> u32 {
        self.number(name) as u32
    }

    pub fn ieee(&self, name: &str) -> Ieee {
        Ieee(self.number(name))
    }

    /// The bytes in a field, none where the field holds no bytes.
    pub fn bytes(&self, name: &str) -> &[u8] {
        match &self.values[self.at(name)] {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) | Value::Words(_) => &[],
        }
    }

    pub fn words(&self, name: &str) -> &[u16] {
        match &self.values[self.at(name)] {
            Value::Words(words) => words,
            Value::Number(_) | Value::Bytes(_) => &[],
        }
    }

    /// The field `status`, `None` where there is none.
    pub fn status(&self) -> Option<u8> {
        self.fields.iter().any(|field| field.name == "status").then(|| self.u8("status"))
    }

    /// This message with its fields as they lie in `data`; `None` where they do not.
    pub fn with_data(self, data: &[u8]) -> Option<Message> {
        let (subsystem, id) = (self.command.subsystem as u8, self.command.id);
        decode(&Frame { kind: self.kind, subsystem, id, data: data.to_vec() }).ok()
    }

    pub fn frame(&self) -> Result<Frame, DoesNotFit> {
        let command = self.command.name;
        let mut data = Vec::new();
        for (field, value) in self.fields.iter().zip(&self.values) {
            encode(field.kind, value, &mut data).ok_or(DoesNotFit { command, field: field.name })?;
        }
        data.extend(&self.trailing);
        if data.len() > unpi::DATA_LEN_MAX {
            return Err(DoesNotFit { command, field: self.fields.last().map_or("", |field| field.name) });
        }
        Ok(Frame { kind: self.kind, subsystem: self.command.subsystem as u8, id: self.command.id, data })
    }
}

fn nothing(field: &Field) -> Value {
    match field.kind {
        Kind::U8 | Kind::I8 | Kind::U16 | Kind::U32 | Kind::Ieee => Value::Number(0),
        Kind::Bytes | Kind::Bytes16 | Kind::Records(_) | Kind::Rest => Value::Bytes(Vec::new()),
        Kind::Fixed(len) => Value::Bytes(vec![0; usize::from(len)]),
        Kind::Words => Value::Words(Vec::new()),
    }
}

fn number_len(kind: Kind) -> usize {
    match kind {
        Kind::U8 | Kind::I8 | Kind::Bytes | Kind::Words | Kind::Records(_) => 1,
        Kind::U16 | Kind::Bytes16 => 2,
        Kind::U32 => 4,
        Kind::Ieee => 8,
        Kind::Fixed(_) | Kind::Rest => 0,
    }
}

fn put_number(number: u64, len: usize, data: &mut Vec<u8>) -> Option<()> {
    if len < 8 && number >> (8 * len) != 0 {
        return None;
    }
    data.extend(&number.to_le_bytes()[..len]);
    Some(())
}

fn encode(kind: Kind, value: &Value, data: &mut Vec<u8>) -> Option<()> {
    match (kind, value) {
        (Kind::U8 | Kind::I8 | Kind::U16 | Kind::U32 | Kind::Ieee, Value::Number(number)) => {
            put_number(*number, number_len(kind), data)
        }
        (Kind::Bytes | Kind::Bytes16, Value::Bytes(bytes)) => {
            put_number(bytes.len() as u64, number_len(kind), data)?;
            data.extend(bytes);
            Some(())
        }
        (Kind::Records(len), Value::Bytes(bytes)) if bytes.len().is_multiple_of(usize::from(len)) => {
            put_number((bytes.len() / usize::from(len)) as u64, 1, data)?;
            data.extend(bytes);
            Some(())
        }
        (Kind::Words, Value::Words(words)) => {
            put_number(words.len() as u64, 1, data)?;
            data.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            Some(())
        }
        (Kind::Fixed(len), Value::Bytes(bytes)) if bytes.len() == usize::from(len) => {
            data.extend(bytes);
            Some(())
        }
        (Kind::Rest, Value::Bytes(bytes)) => {
            data.extend(bytes);
            Some(())
        }
        _ => None,
    }
}

/// The row of a frame.
pub fn command_of(frame: &Frame) -> Option<&'static Command> {
    let is_answered = match frame.kind {
        unpi::Kind::Sreq | unpi::Kind::Srsp => true,
        unpi::Kind::Areq => false,
        unpi::Kind::Poll => return None,
    };
    let is_it = |command: &&&Command| {
        command.id == frame.id && command.subsystem as u8 == frame.subsystem && command.is_answered == is_answered
    };
    COMMANDS.iter().find(is_it).copied()
}

/// A frame's values. Where a status tells of a failure, fields behind it may be missing, as sticks leave them out; they are 0 or
/// empty then.
pub fn decode(frame: &Frame) -> Result<Message, DecodeError> {
    let command = command_of(frame).ok_or(DecodeError::Unknown(frame.subsystem, frame.id))?;
    let mut message = match frame.kind {
        unpi::Kind::Srsp => command.response(),
        _ => command.request(),
    };
    let mut rest = &frame.data[..];
    let mut has_failed = false;
    for at in 0..message.fields.len() {
        let field = &message.fields[at];
        let mut left = rest;
        let Some(value) = take(field.kind, &mut left) else {
            if has_failed {
                return Ok(message);
            }
            return Err(DecodeError::Short(command.name));
        };
        rest = left;
        has_failed |= field.name == "status" && value != Value::Number(0);
        message.values[at] = value;
    }
    message.trailing = rest.to_vec();
    Ok(message)
}

fn take(kind: Kind, rest: &mut &[u8]) -> Option<Value> {
    let number = take_number(number_len(kind), rest)?;
    Some(match kind {
        Kind::U8 | Kind::I8 | Kind::U16 | Kind::U32 | Kind::Ieee => Value::Number(number),
        Kind::Bytes | Kind::Bytes16 => Value::Bytes(take_bytes(number as usize, rest)?),
        Kind::Records(len) => Value::Bytes(take_bytes(number as usize * usize::from(len), rest)?),
        Kind::Words => {
            let bytes = take_bytes(number as usize * 2, rest)?;
            Value::Words(bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect())
        }
        Kind::Fixed(len) => Value::Bytes(take_bytes(usize::from(len), rest)?),
        Kind::Rest => Value::Bytes(take_bytes(rest.len(), rest)?),
    })
}

fn take_number(len: usize, rest: &mut &[u8]) -> Option<u64> {
    let (bytes, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take_bytes(len: usize, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (bytes, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(bytes.to_vec())
}

/// Codes of RPC errors (MT API §2.3).
pub const RPC_UNKNOWN_SUBSYSTEM: u8 = 1;
pub const RPC_UNKNOWN_COMMAND: u8 = 2;
pub const RPC_WRONG_PARAMETER: u8 = 3;
pub const RPC_WRONG_LENGTH: u8 = 4;

/// A stick's word that it did not understand a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcError {
    pub code: u8,
    /// Of the request: its first byte on the wire, with the kind in its upper bits.
    pub command: u8,
    pub id: u8,
}

/// What an SRSP of subsystem 0 says; `None` for any other frame.
pub fn as_rpc_error(frame: &Frame) -> Option<RpcError> {
    if frame.kind != unpi::Kind::Srsp || frame.subsystem != 0 || frame.id != 0 {
        return None;
    }
    let &[code, command, id, ..] = &frame.data[..] else { return None };
    Some(RpcError { code, command, id })
}

/// The answer to a request that is not understood.
pub fn rpc_error(code: u8, request: &Frame) -> Frame {
    let command = (request.kind as u8) << 5 | request.subsystem;
    Frame { kind: unpi::Kind::Srsp, subsystem: 0, id: 0, data: vec![code, command, request.id] }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
