//! Frames of the stick's serial line (UNPI): `FE len cmd0 cmd1 data… fcs`. Finds the next frame again after rubbish. Shares
//! nothing with the host's framing, whose double it is.

const START: u8 = 0xfe;

/// Bytes of `data`, as the length byte of Z-Stack's MT allows.
pub const DATA_LEN_MAX: usize = 250;

pub const SREQ: u8 = 1;
pub const AREQ: u8 = 2;
pub const SRSP: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub subsystem: u8,
    pub id: u8,
    pub data: Vec<u8>,
}

impl Frame {
    pub fn encode(&self) -> Vec<u8> {
        debug_assert!(self.data.len() <= DATA_LEN_MAX, "the stick makes no longer frames");
        let mut bytes = vec![START, self.data.len() as u8, self.kind << 5 | self.subsystem, self.id];
        bytes.extend_from_slice(&self.data);
        bytes.push(checksum(&bytes[1..]));
        bytes
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// What came of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    Frame(Frame),
    /// A start byte led to a frame whose check does not hold.
    BadCheck,
    /// A byte between frames.
    Stray(u8),
}

#[derive(Default)]
pub struct Parser {
    waiting: Vec<u8>,
}

impl Parser {
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    pub fn next(&mut self) -> Option<Parsed> {
        let first = *self.waiting.first()?;
        if first != START {
            self.waiting.remove(0);
            return Some(Parsed::Stray(first));
        }
        let len = *self.waiting.get(1)? as usize;
        if len > DATA_LEN_MAX {
            self.waiting.remove(0);
            return Some(Parsed::BadCheck);
        }
        if self.waiting.len() < len + 5 {
            return None;
        }
        if checksum(&self.waiting[1..len + 4]) != self.waiting[len + 4] {
            self.waiting.remove(0); // what follows the start byte may be a frame
            return Some(Parsed::BadCheck);
        }
        let frame = Frame {
            kind: self.waiting[2] >> 5,
            subsystem: self.waiting[2] & 0x1f,
            id: self.waiting[3],
            data: self.waiting[4..len + 4].to_vec(),
        };
        self.waiting.drain(..len + 5);
        Some(Parsed::Frame(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ping_of_the_manual_is_read_behind_rubbish() {
        let mut parser = Parser::default();
        parser.push(&[0xef, 0xfe, 0x03, 0xfe, 0x00, 0x21, 0x01, 0x20]);
        assert_eq!(parser.next(), Some(Parsed::Stray(0xef)));
        parser.push(&[0xfe, 0x00, 0x21, 0x01, 0x20]);
        let ping = Frame { kind: SREQ, subsystem: 1, id: 1, data: vec![] };
        let frames: Vec<_> =
            std::iter::from_fn(|| parser.next()).filter(|p| *p == Parsed::Frame(ping.clone())).collect();
        assert_eq!(frames.len(), 2, "a false start byte swallows no frame");
        assert_eq!(ping.encode(), [0xfe, 0x00, 0x21, 0x01, 0x20]);
    }
}
