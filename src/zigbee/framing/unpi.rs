//! UNPI, the frames of TI's network processors on a serial line (Z-Stack Monitor and Test API §2.1): `FE`, length, two bytes of
//! command, data, and the XOR of all between. Speaks both ways, for a host and for a stick. Knows no serial port, no clock, and
//! nothing of what a command means.
//!
//! A start byte is only a guess, for nothing is escaped: it may as well lie in the rubbish of a line or within a frame whose own
//! start was lost. So nothing that followed a guess is thrown away with it: the search goes on one byte after the false start.

use std::collections::VecDeque;

/// Start of frame.
pub const SOF: u8 = 0xfe;

/// The longest data of a frame, bytes (MT API §2.1.1: a frame is at most 256 bytes; its firmware takes 250 of data).
pub const DATA_LEN_MAX: usize = 250;

/// Start, length, two of command, checksum.
const OVERHEAD_LEN: usize = 5;

/// The longest frame, bytes.
pub const FRAME_LEN_MAX: usize = DATA_LEN_MAX + OVERHEAD_LEN;

/// The upper three bits of the first command byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Poll = 0,
    /// A request that is answered by exactly one `Srsp`.
    Sreq = 1,
    /// Asks for no answer, or tells something by itself.
    Areq = 2,
    Srsp = 3,
}

/// A frame, without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    /// 0 to 31.
    pub subsystem: u8,
    pub id: u8,
    /// At most [`DATA_LEN_MAX`] bytes.
    pub data: Vec<u8>,
}

impl Frame {
    /// The bytes for the line. `None` where the data is longer than a frame holds or the subsystem is none.
    pub fn encode(&self) -> Option<Vec<u8>> {
        if self.data.len() > DATA_LEN_MAX || self.subsystem > 0x1f {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.data.len() + OVERHEAD_LEN);
        bytes.extend([SOF, self.data.len() as u8, (self.kind as u8) << 5 | self.subsystem, self.id]);
        bytes.extend(&self.data);
        bytes.push(checksum(&bytes[1..]));
        Some(bytes)
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// Who is at the other end, which tells what kinds of frames can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Says `Areq` and `Srsp`.
    Stick,
    /// Says `Poll`, `Sreq` and `Areq`.
    Host,
}

impl Peer {
    fn kind(self, command: u8) -> Option<Kind> {
        match (self, command >> 5) {
            (Peer::Host, 0) => Some(Kind::Poll),
            (Peer::Host, 1) => Some(Kind::Sreq),
            (_, 2) => Some(Kind::Areq),
            (Peer::Stick, 3) => Some(Kind::Srsp),
            _ => None,
        }
    }
}

/// Cuts bytes, in pieces of any size, into frames. Holds less than one frame between calls of [`Decoder::next_frame`] that gave
/// `None`.
#[derive(Debug)]
pub struct Decoder {
    peer: Peer,
    held: VecDeque<u8>,
    rubbish_len: u64,
}

impl Decoder {
    pub fn new(peer: Peer) -> Decoder {
        Decoder { peer, held: VecDeque::new(), rubbish_len: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.guess() {
                Guess::Nothing => return None,
                Guess::Unfinished => return None,
                Guess::False => self.drop_rubbish(1),
                Guess::Frame(kind, data_len) => {
                    let mut bytes = self.held.drain(..data_len + OVERHEAD_LEN).skip(2);
                    let (command, id) = (bytes.next()?, bytes.next()?);
                    let data = bytes.take(data_len).collect();
                    return Some(Frame { kind, subsystem: command & 0x1f, id, data });
                }
            }
        }
    }

    /// A frame has begun and not ended. Where nothing more comes, it never will: see [`Decoder::give_up`].
    pub fn is_within_frame(&self) -> bool {
        !self.held.is_empty()
    }

    /// The line has been silent for longer than a frame takes, so the frame that seems to have begun is none: what was taken
    /// for its content is looked at again. Without this a false start with a great length would hold back the good frames
    /// behind it until that length was reached.
    pub fn give_up(&mut self) {
        if !self.held.is_empty() {
            self.drop_rubbish(1);
        }
    }

    /// Bytes so far that were in no frame.
    pub fn rubbish_len(&self) -> u64 {
        self.rubbish_len
    }

    /// What was held is of a connection that is gone.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    fn guess(&mut self) -> Guess {
        let start = self.held.iter().position(|byte| *byte == SOF).unwrap_or(self.held.len());
        self.drop_rubbish(start);
        if self.held.is_empty() {
            return Guess::Nothing;
        }
        let Some(data_len) = self.held.get(1).map(|len| usize::from(*len)) else { return Guess::Unfinished };
        if data_len > DATA_LEN_MAX {
            return Guess::False;
        }
        let Some(command) = self.held.get(2) else { return Guess::Unfinished };
        let Some(kind) = self.peer.kind(*command) else { return Guess::False };
        let frame_len = data_len + OVERHEAD_LEN;
        if self.held.len() < frame_len {
            return Guess::Unfinished;
        }
        // Over the checksum too, the XOR is nothing.
        let sum = self.held.iter().take(frame_len).skip(1).fold(0, |sum, byte| sum ^ byte);
        if sum == 0 { Guess::Frame(kind, data_len) } else { Guess::False }
    }

    fn drop_rubbish(&mut self, len: usize) {
        self.held.drain(..len);
        self.rubbish_len += len as u64;
    }
}

/// What the first start byte that is held may be.
enum Guess {
    Nothing,
    Unfinished,
    False,
    Frame(Kind, usize),
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Recorded = (&'static [u8], Peer, Kind, u8, u8, &'static [u8]);

    /// From the wire of real sticks: a ping, its answer, a reset indication, and an RPC error.
    const RECORDED: [Recorded; 4] = [
        (&[0xfe, 0x00, 0x21, 0x01, 0x20], Peer::Host, Kind::Sreq, 1, 0x01, &[]),
        (&[0xfe, 0x02, 0x61, 0x01, 0x79, 0x07, 0x1c], Peer::Stick, Kind::Srsp, 1, 0x01, &[0x79, 0x07]),
        (
            &[0xfe, 0x06, 0x41, 0x80, 0x00, 0x02, 0x01, 0x02, 0x07, 0x01, 0xc0],
            Peer::Stick,
            Kind::Areq,
            1,
            0x80,
            &[0x00, 0x02, 0x01, 0x02, 0x07, 0x01],
        ),
        (&[0xfe, 0x03, 0x60, 0x00, 0x02, 0x21, 0x33, 0x73], Peer::Stick, Kind::Srsp, 0, 0, &[0x02, 0x21, 0x33]),
    ];

    #[test]
    fn recorded_frames() {
        for (bytes, peer, kind, subsystem, id, data) in RECORDED {
            let frame = Frame { kind, subsystem, id, data: data.to_vec() };
            assert_eq!(frame.encode().as_deref(), Some(bytes));
            assert_eq!(frames(peer, [bytes]), [frame]);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_encoded() {
        let frame = |subsystem, data_len| Frame { kind: Kind::Sreq, subsystem, id: 0, data: vec![0; data_len] };
        assert!(frame(1, 250).encode().is_some());
        assert!(frame(1, 251).encode().is_none());
        assert!(frame(0x20, 0).encode().is_none());
    }

    /// The start of a frame was lost, and its data has a start byte: 0x44 frames behind it must not be taken for content.
    #[test]
    fn a_false_start_swallows_nothing() {
        let good = Frame { kind: Kind::Areq, subsystem: 4, id: 0x81, data: vec![1, 2, 3] };
        let bytes = good.encode().expect("it fits");
        for rubbish in [
            &[0xfe][..],
            &[0xfe, 0xfe],
            &[0xfe, 0x03],
            &[0xfe, 0x03, 0x44],
            &[0xfe, 0x01, 0x44, 0x80, 0x00, 0x00],
            &[0xfe, 0xff, 0x44],
            &[0xfe, 0x05, 0x21, 0x01],
        ] {
            let stream = [rubbish, &bytes[..], &bytes[..]].concat();
            assert_eq!(frames(Peer::Stick, [&stream[..]]), [good.clone(), good.clone()], "after {rubbish:02x?}");
        }
    }

    #[test]
    fn a_corrupt_length_holds_frames_back_only_until_the_line_is_silent() {
        let good = Frame { kind: Kind::Srsp, subsystem: 1, id: 1, data: vec![0x79, 0x07] };
        let mut decoder = Decoder::new(Peer::Stick);
        decoder.push(&[0xfe, 0xf0, 0x44, 0x80]);
        decoder.push(&good.encode().expect("it fits"));
        assert_eq!(decoder.next_frame(), None);
        assert!(decoder.is_within_frame());
        decoder.give_up();
        assert_eq!(decoder.next_frame(), Some(good));
        assert!(!decoder.is_within_frame());
        assert_eq!(decoder.rubbish_len(), 4);
    }

    fn frames<'a>(peer: Peer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
        let mut decoder = Decoder::new(peer);
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame() {
                found.push(frame);
            }
            assert!(decoder.held.len() < FRAME_LEN_MAX);
        }
        while decoder.is_within_frame() {
            decoder.give_up();
            while let Some(frame) = decoder.next_frame() {
                found.push(frame);
            }
        }
        found
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        (prop_oneof![Just(Kind::Areq), Just(Kind::Srsp)], 0u8..0x20, any::<u8>(), vec(any::<u8>(), 0..=DATA_LEN_MAX))
            .prop_map(|(kind, subsystem, id, data)| Frame { kind, subsystem, id, data })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_come_out_as_they_went_in(sent in vec(any_frame(), 0..5), piece_len in 1usize..300) {
            let stream: Vec<u8> = sent.iter().flat_map(|frame| frame.encode().expect("it fits")).collect();
            prop_assert_eq!(frames(Peer::Stick, stream.chunks(piece_len)), sent);
        }

        /// Rubbish without a whole frame in it costs no frame behind it.
        #[test]
        fn rubbish_before_a_frame_costs_nothing(
            rubbish in vec(prop_oneof![Just(SOF), 0u8..4, Just(0x44u8), any::<u8>()], 0..40), sent in any_frame(),
            piece_len in 1usize..300,
        ) {
            prop_assume!(frames(Peer::Stick, [&rubbish[..]]).is_empty());
            let stream = [rubbish, sent.encode().expect("it fits")].concat();
            let found = frames(Peer::Stick, stream.chunks(piece_len));
            // By chance a false start may end within the good frame with a checksum that fits: one in 256.
            let is_chance = found.iter().any(|frame| *frame != sent);
            prop_assert!(found.contains(&sent) || is_chance, "{:02x?}", found);
        }

        #[test]
        fn any_bytes(pieces in vec(vec(any::<u8>(), 0..80), 0..10)) {
            for peer in [Peer::Stick, Peer::Host] {
                frames(peer, pieces.iter().map(Vec::as_slice));
            }
        }
    }
}
