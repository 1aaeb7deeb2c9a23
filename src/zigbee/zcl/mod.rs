//! The Zigbee Cluster Library: frames with attributes and commands, from bytes and back, for both sides of a cluster. Knows no
//! network, no device and no house; keeps nothing.
//!
//! A frame that comes in is read whole by [`Message::decode`]:
//!
//! ```ignore
//! let message = Message::decode(incoming.cluster, &incoming.payload)?;
//! match &message.body {
//!     Body::General(General::Report(records)) => { /* records[0].attribute, records[0].value.known() */ }
//!     Body::Command { command: Some(command), fields, .. } if command.name == "statusChangeNotification" => {
//!         let zone_status = fields.u64("zonestatus");
//!     }
//!     _ => {}
//! }
//! ```
//!
//! One that goes out is a [`Message`] too. Names are zigbee-herdsman's, and stand in the tables of [`clusters`]:
//!
//! ```ignore
//! let on = Message::command(ClusterId(0x0006), Direction::ToServer, "on", &[])?;
//! let level = Message::command(ClusterId(0x0008), Direction::ToServer, "moveToLevelWithOnOff",
//!     &[("level", 128u8.into()), ("transtime", 10u16.into())])?;
//! let read = Message::general(Direction::ToServer, General::read([0x0000]));
//! let payload = read.with_seq(seq).encode()?;
//! ```
//!
//! An answer carries the number, the maker and the other direction of what it answers: [`Message::answer`]. Devices (the
//! simulator) do the same with `Direction::ToClient`.

pub mod clusters;
pub mod command;
pub mod data_type;
pub mod error;
pub mod foundation;
pub mod frame;
pub mod status;
pub mod value;

pub use crate::zigbee::bytes::Reader;
pub use command::Fields;
pub use data_type::DataType;
pub use error::DecodeError;
pub use foundation::{General, ReadRecord, Record, ReportingConfig};
pub use frame::{Direction, FrameKind, Header};
pub use status::Status;
pub use value::{EncodeError, Typed, Value};

use crate::zigbee::types::{ClusterId, MakerCode};

/// A whole frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub header: Header,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    General(General),
    Command {
        /// Its row in the tables; `None`: nobody knows it, and `payload` is all there is.
        command: Option<&'static clusters::Command>,
        fields: Fields,
        /// The parameters as they came, for those who know more than the tables; empty in what is built.
        payload: Box<[u8]>,
    },
}

impl PartialEq for clusters::Command {
    fn eq(&self, other: &clusters::Command) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Message {
    /// A general command, number 0; no default response is asked for.
    pub fn general(direction: Direction, general: General) -> Message {
        Message { header: Header::general(0, direction, general.id()), body: Body::General(general) }
    }

    /// A command of a cluster by its name, number 0; it asks for a default response. `Unknown` where the tables do not have it.
    pub fn command(
        cluster: ClusterId,
        direction: Direction,
        name: &str,
        given: &[(&str, Value)],
    ) -> Result<Message, EncodeError> {
        let found = clusters::command_named(cluster, direction, name).ok_or(EncodeError::Unknown("command"))?;
        let mut payload = Vec::new();
        command::encode(found, given, &mut payload)?;
        let fields =
            command::decode(found, &mut Reader::new(&payload)).map_err(|_| EncodeError::Unknown("parameter"))?;
        let body = Body::Command { command: Some(found), fields, payload: payload.into() };
        Ok(Message { header: Header::cluster(0, direction, found.id), body })
    }

    /// A command of a cluster by its number, with its parameters in bytes.
    pub fn raw_command(direction: Direction, id: u8, payload: &[u8]) -> Message {
        let body = Body::Command { command: None, fields: Fields::default(), payload: payload.into() };
        Message { header: Header::cluster(0, direction, id), body }
    }

    /// The default response to this message.
    pub fn default_response(&self, status: Status) -> Message {
        self.answer(General::default_response(self.header.command, status))
    }

    /// A general command that answers this message.
    pub fn answer(&self, general: General) -> Message {
        let header = self.header.answer(FrameKind::General, general.id());
        Message { header, body: Body::General(general) }
    }

    pub fn with_seq(mut self, seq: u8) -> Message {
        self.header.seq = seq;
        self
    }

    pub fn with_maker(mut self, maker: Option<MakerCode>) -> Message {
        self.header.maker = maker;
        self
    }

    /// Of a cluster's command whose maker is nobody's the tables of all are asked. An error is one of the frame: a command that no
    /// table has is a message with nothing but its payload.
    pub fn decode(cluster: ClusterId, bytes: &[u8]) -> Result<Message, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Header::decode(&mut reader)?;
        if header.kind == FrameKind::General {
            return Ok(Message { header, body: Body::General(General::decode(header.command, &mut reader)?) });
        }
        let found = clusters::command(cluster, header.maker, header.direction, header.command);
        let payload = reader.clone().rest().into();
        // What does not fit the table is given as bytes: many makers use a number for a thing of their own.
        let fields = found.map(|found| command::decode(found, &mut reader));
        let (command, fields) = match (found, fields) {
            (Some(found), Some(Ok(fields))) => (Some(found), fields),
            _ => (None, Fields::default()),
        };
        Ok(Message { header, body: Body::Command { command, fields, payload } })
    }

    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.header.encode(&mut out);
        match &self.body {
            Body::General(general) => general.encode(&mut out)?,
            Body::Command { payload, .. } => out.extend_from_slice(payload),
        }
        Ok(out)
    }

    /// The name of a cluster's command, where a table has one.
    pub fn command_name(&self) -> Option<&'static str> {
        if let Body::Command { command: Some(command), .. } = &self.body { Some(command.name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ON_OFF: ClusterId = ClusterId(0x0006);

    #[test]
    fn a_command_and_its_answer() {
        let toggle = Message::command(ON_OFF, Direction::ToServer, "toggle", &[]).expect("a command").with_seq(9);
        let bytes = toggle.encode().expect("it is whole");
        assert_eq!(bytes, [0x01, 9, 0x02]);
        let came = Message::decode(ON_OFF, &bytes).expect("a frame");
        assert_eq!((came.command_name(), &came), (Some("toggle"), &toggle));
        let answer = came.default_response(Status::SUCCESS).encode().expect("it is whole");
        assert_eq!(answer, [0x18, 9, 0x0b, 0x02, 0x00]);
        assert_eq!(Message::command(ON_OFF, Direction::ToServer, "explode", &[]), Err(EncodeError::Unknown("command")));
    }

    #[test]
    fn a_command_that_fits_no_table_is_its_bytes() {
        let message = Message::decode(ON_OFF, &[0x01, 1, 0xfd, 0x02]).expect("a frame");
        let Body::Command { payload, .. } = &message.body else { panic!("a command") };
        assert_eq!(payload[..], [0x02]);
        assert_eq!(message.encode(), Ok(vec![0x01, 1, 0xfd, 0x02]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_an_error(
            cluster in prop_oneof![any::<u16>(), proptest::sample::select(clusters::all().map(|one| one.id.0).collect::<Vec<_>>())],
            bytes in proptest::collection::vec(any::<u8>(), 0..90),
        ) {
            if let Ok(message) = Message::decode(ClusterId(cluster), &bytes) {
                message.encode().expect("it came from bytes");
            }
        }
    }
}
