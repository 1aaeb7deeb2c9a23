//! The header of a ZCL frame (ZCL r8 §2.4.1) before its payload. Knows no command.

use crate::zigbee::bytes::Reader;
use crate::zigbee::types::MakerCode;
use crate::zigbee::zcl::error::DecodeError;

/// Whom a frame is for: the one that has the cluster's attributes, or the one that uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    pub fn reversed(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A command of every cluster, such as read attributes.
    General,
    /// A command of this cluster.
    Cluster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: FrameKind,
    /// The command, or the attributes that it is about, are a maker's own.
    pub maker: Option<MakerCode>,
    pub direction: Direction,
    /// A default response is wanted only if something went wrong.
    pub disable_default_response: bool,
    /// Comes back in the answer.
    pub seq: u8,
    pub command: u8,
}

impl Header {
    pub fn general(seq: u8, direction: Direction, command: u8) -> Header {
        let kind = FrameKind::General;
        Header { kind, maker: None, direction, disable_default_response: true, seq, command }
    }

    /// A default response is asked for: it is how a device says that it took a command.
    pub fn cluster(seq: u8, direction: Direction, command: u8) -> Header {
        let kind = FrameKind::Cluster;
        Header { kind, maker: None, direction, disable_default_response: false, seq, command }
    }

    pub fn with_maker(self, maker: Option<MakerCode>) -> Header {
        Header { maker, ..self }
    }

    /// The header of an answer: the same number and maker, the other way, and nothing more wanted.
    pub fn answer(&self, kind: FrameKind, command: u8) -> Header {
        let (direction, seq, maker) = (self.direction.reversed(), self.seq, self.maker);
        Header { kind, maker, direction, disable_default_response: true, seq, command }
    }

    /// Leaves `reader` at the payload. Reserved bits of the frame control are ignored, as the specification asks.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
        let control = reader.u8()?;
        let kind = match control & 0b11 {
            0b00 => FrameKind::General,
            0b01 => FrameKind::Cluster,
            other => return Err(DecodeError::FrameType(other)),
        };
        let maker = if control & 0b100 != 0 { Some(MakerCode(reader.u16()?)) } else { None };
        let direction = if control & 0b1000 != 0 { Direction::ToClient } else { Direction::ToServer };
        let disable_default_response = control & 0b1_0000 != 0;
        Ok(Header { kind, maker, direction, disable_default_response, seq: reader.u8()?, command: reader.u8()? })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = u8::from(self.kind == FrameKind::Cluster);
        let direction = u8::from(self.direction == Direction::ToClient) << 3;
        let quiet = u8::from(self.disable_default_response) << 4;
        out.push(kind | u8::from(self.maker.is_some()) << 2 | direction | quiet);
        if let Some(maker) = self.maker {
            out.extend_from_slice(&maker.0.to_le_bytes());
        }
        out.extend_from_slice(&[self.seq, self.command]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_as_recorded() {
        let header = Header::decode(&mut Reader::new(&[0x18, 0x2a, 0x0a])).expect("a header");
        assert_eq!(header, Header::general(0x2a, Direction::ToClient, 0x0a));
        let header = Header::decode(&mut Reader::new(&[0x1c, 0x5f, 0x11, 0x01, 0x0a])).expect("a header");
        assert_eq!(header.maker, Some(MakerCode(0x115f)));
        assert_eq!(Header::decode(&mut Reader::new(&[0x03, 1, 2])), Err(DecodeError::FrameType(3)));
        assert_eq!(Header::decode(&mut Reader::new(&[0x04, 1])), Err(DecodeError::Short));
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(
            bits in 0u8..8, maker in proptest::option::of(any::<u16>()), seq in any::<u8>(), command in any::<u8>(),
        ) {
            let header = Header {
                kind: if bits & 1 == 0 { FrameKind::General } else { FrameKind::Cluster },
                maker: maker.map(MakerCode),
                direction: if bits & 2 == 0 { Direction::ToServer } else { Direction::ToClient },
                disable_default_response: bits & 4 != 0,
                seq,
                command,
            };
            let mut out = Vec::new();
            header.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Header::decode(&mut reader), Ok(header));
            prop_assert!(reader.is_empty());
        }
    }
}
