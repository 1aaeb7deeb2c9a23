//! Pictures and sound as they go over a socket: binary frames with a header, or base64 within a message. Cut only when they
//! are sent, so that nothing holds a second copy. Pure; knows no session.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::gateway::session::transmit::Transmit;

/// What stands before the payload of a binary frame, bytes.
pub const HEADER_BYTES: usize = 16;

/// The longest binary frame, header and all, and the longest fragment of a message with base64 in it, bytes. What else
/// waits comes between two of them, so that a picture keeps nobody waiting for longer than one takes.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// The first byte of every header.
pub const VERSION: u8 = 1;

/// Flags of a frame.
pub const FIRST: u8 = 1;
pub const LAST: u8 = 2;

const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;

/// Bytes whose base64 makes one fragment. Of threes, so that fragments need no padding but the last.
const SPELLED_BYTES_MAX: usize = FRAME_BYTES_MAX / 4 * 3;

/// What a binary frame holds. `2` (sound from a client) and `4` (a blob) are not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    AudioOut = 1,
    Image = 3,
}

/// Consecutive bytes of one stream, on their way into binary frames.
#[derive(Debug, Clone)]
pub struct Piece {
    pub kind: Kind,
    pub stream_id: u32,
    /// Of the next frame; counts in the stream.
    pub index: u32,
    pub at_ms: u32,
    /// The stream begins here.
    pub first: bool,
    /// The stream ends here.
    pub last: bool,
    pub data: Bytes,
}

impl Piece {
    /// How many frames it makes.
    pub fn frames(&self) -> u32 {
        u32::try_from(self.data.len().div_ceil(PAYLOAD_BYTES_MAX).max(1)).unwrap_or(u32::MAX)
    }

    /// Whether one frame holds it.
    pub fn is_small(&self) -> bool {
        self.data.len() <= PAYLOAD_BYTES_MAX
    }

    /// The next frame, and whether more follow. The payload is copied here and nowhere else.
    pub fn cut(&mut self) -> (Bytes, bool) {
        let payload = self.data.split_to(self.data.len().min(PAYLOAD_BYTES_MAX));
        let is_end = self.data.is_empty();
        let flags = if self.first { FIRST } else { 0 } | if self.last && is_end { LAST } else { 0 };
        let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        frame.put_slice(&[VERSION, self.kind as u8, flags, 0]);
        frame.put_u32_le(self.stream_id);
        frame.put_u32_le(self.index);
        frame.put_u32_le(self.at_ms);
        frame.put_slice(&payload);
        self.first = false;
        self.index = self.index.wrapping_add(1);
        (frame.freeze(), !is_end)
    }
}

/// A message with bytes in base64 in the middle of it.
#[derive(Debug, Clone)]
pub struct Spelled {
    /// The message, with nothing between the quotes of its `data`.
    text: Utf8Bytes,
    /// Where in `text` the base64 belongs.
    place: usize,
    data: Bytes,
    begun: bool,
}

impl Spelled {
    /// Of a frame that was written with `"data":""`.
    pub fn new(text: Utf8Bytes, data: Bytes) -> Spelled {
        const EMPTY: &str = r#""data":""#;
        // Within a JSON string each quote has a backslash before it, so that no client's word looks like this.
        let place = text.find(EMPTY).expect("a chunk with data was written") + EMPTY.len();
        Spelled { text, place, data, begun: false }
    }

    /// What it holds in memory, bytes.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.data.len()
    }

    /// A part of it has been sent, and the rest must be before anything else.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Drops the bytes that have not been sent.
    pub fn clear(&mut self) {
        self.data = Bytes::new();
    }

    /// The next part, and whether more follow: the whole message where that is short, else fragments of one (RFC 6455 §5.4).
    /// tungstenite moves what a socket does not take at once to the front of its buffer, again and again: with the whole of
    /// a large picture in there, each write would cost as much as the picture is long.
    pub fn cut(&mut self) -> (Transmit, bool) {
        let raw = self.data.split_to(self.data.len().min(SPELLED_BYTES_MAX));
        let (is_first, is_last) = (!self.begun, self.data.is_empty());
        let mut text = String::with_capacity(raw.len().div_ceil(3) * 4 + self.text.len());
        if is_first {
            text.push_str(&self.text[..self.place]);
        }
        STANDARD.encode_string(&raw, &mut text);
        if is_last {
            text.push_str(&self.text[self.place..]);
        }
        self.begun = true;
        let transmit = match is_first && is_last {
            true => Transmit::Text(text.into()),
            false => Transmit::Fragment { text: text.into(), is_first, is_last },
        };
        (transmit, !is_last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(len: usize) -> Piece {
        let data: Vec<u8> = (0..len).map(|at| at as u8).collect();
        Piece { kind: Kind::Image, stream_id: 7, index: 3, at_ms: 9, first: true, last: true, data: data.into() }
    }

    fn frames(mut piece: Piece) -> Vec<Bytes> {
        let mut frames = Vec::new();
        loop {
            let (frame, more) = piece.cut();
            frames.push(frame);
            if !more {
                return frames;
            }
        }
    }

    #[test]
    fn a_header_is_as_published() {
        let mut one = piece(2);
        (one.stream_id, one.index, one.at_ms) = (0x0403_0201, 0x0807_0605, 0x0c0b_0a09);
        let [frame] = frames(one).try_into().expect("one frame");
        assert_eq!(&frame[..], [1, 3, FIRST | LAST, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 1]);
        let [empty] = frames(Piece { first: false, data: Bytes::new(), ..piece(0) }).try_into().expect("one frame");
        assert_eq!((empty.len(), empty[2]), (HEADER_BYTES, LAST));
    }

    #[test]
    fn a_stream_is_cut_without_a_gap() {
        for len in [0, 1, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1, 3 * PAYLOAD_BYTES_MAX] {
            let whole = piece(len);
            let frames = frames(whole.clone());
            assert_eq!(frames.len(), whole.frames() as usize, "{len}");
            assert_eq!(whole.is_small(), frames.len() == 1, "{len}");
            for (at, frame) in frames.iter().enumerate() {
                let flags = if at == 0 { FIRST } else { 0 } | if at + 1 == frames.len() { LAST } else { 0 };
                assert!(frame.len() <= FRAME_BYTES_MAX && frame[2] == flags, "{len}");
                assert_eq!(frame[8..12], (3 + at as u32).to_le_bytes(), "{len}");
            }
            let payloads: Vec<u8> = frames.iter().flat_map(|frame| frame[HEADER_BYTES..].to_vec()).collect();
            assert_eq!(payloads, whole.data, "{len}");
        }
    }

    fn spelled(id: &str, data: &[u8]) -> (Vec<Transmit>, String) {
        let id = serde_json::Value::from(id);
        let text = format!(r#"{{"request_id":{id},"chunk":{{"data":"","metadata":{{"data":""}}}}}}"#);
        let mut spelled = Spelled::new(text.into(), Bytes::copy_from_slice(data));
        let (mut parts, mut whole) = (Vec::new(), String::new());
        loop {
            let (part, more) = spelled.cut();
            match &part {
                Transmit::Text(text) | Transmit::Fragment { text, .. } => whole.push_str(text),
                other => panic!("{other:?}"),
            }
            parts.push(part);
            if !more {
                return (parts, whole);
            }
        }
    }

    #[test]
    fn a_long_message_comes_in_fragments_and_a_short_one_does_not() {
        let (parts, _) = spelled("a", &[1; SPELLED_BYTES_MAX]);
        assert!(matches!(parts[..], [Transmit::Text(_)]));
        let (parts, whole) = spelled("a", &vec![7; 2 * SPELLED_BYTES_MAX + 1]);
        let marks = parts.iter().map(|part| match part {
            Transmit::Fragment { is_first, is_last, text } if text.len() < FRAME_BYTES_MAX + 200 => {
                (*is_first, *is_last)
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(marks.collect::<Vec<_>>(), [(true, false), (false, false), (false, true)]);
        assert!(serde_json::from_str::<serde_json::Value>(&whole).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_spelled_reads_back(id in ".*", data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (_, whole) = spelled(&id, &data);
            let message: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
            prop_assert_eq!(message["request_id"].as_str(), Some(&*id));
            let read = STANDARD.decode(message["chunk"]["data"].as_str().expect("text")).expect("base64");
            prop_assert_eq!(read, data);
        }
    }
}
