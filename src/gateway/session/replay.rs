//! What a v2 session has sent lately, kept for a client that comes back. Pure; bounded in bytes.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::common::limits::REPLAY_BYTES_MAX;
use crate::gateway::session::media::{Piece, Spelled};
use crate::router::TurnKey;

/// What one kept message costs beside its text, and one piece of a stream beside its bytes.
const OVERHEAD_BYTES: usize = 64;

/// A message as it is kept.
#[derive(Debug, Clone)]
pub enum Kept {
    Text(Utf8Bytes),
    /// Names a stream, whose frames it has with it.
    Announced(Box<Announced>),
    /// Has its bytes in base64.
    Spelled(Box<(TurnKey, Spelled)>),
}

/// See [`Kept::Announced`].
#[derive(Debug, Clone)]
pub struct Announced {
    pub key: TurnKey,
    pub text: Utf8Bytes,
    pub pieces: Vec<Piece>,
    /// The message by which all frames of this one have been sent: a client that has it has them. Until there is one, `MAX`.
    until: u64,
}

impl Announced {
    pub fn new(key: TurnKey, text: Utf8Bytes) -> Announced {
        Announced { key, text, pieces: Vec::new(), until: u64::MAX }
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                Kept::Text(text) => text.len(),
                Kept::Announced(one) => one.text.len() + one.pieces.iter().map(bytes_of).sum::<usize>(),
                Kept::Spelled(one) => one.1.bytes(),
            }
    }
}

fn bytes_of(piece: &Piece) -> usize {
    piece.data.len() + OVERHEAD_BYTES
}

/// What a client has missed, oldest first.
#[derive(Debug, Default)]
pub struct Missed {
    /// Frames of messages that it has; it may have some of these, too, and knows them by stream and index.
    pub pieces: Vec<(TurnKey, Piece)>,
    pub messages: Vec<Kept>,
}

/// The messages of a session's last numbers, without a gap up to the newest.
#[derive(Debug, Default)]
pub struct Replay {
    messages: VecDeque<Kept>,
    bytes: usize,
    /// The number of the newest message; 0 before the first.
    last_seq: u64,
    /// Announced by a message that is gone, from its number to its `until`: who has that and nothing later may lack frames
    /// that are gone, too. No more than requests that run and messages that are kept.
    torn: Vec<(u64, u64)>,
}

impl Replay {
    /// Keeps what comes after `seq`.
    pub fn from(seq: u64) -> Replay {
        Replay { last_seq: seq, ..Replay::default() }
    }

    /// Keeps the message of the next number and forgets the oldest ones beyond the limit.
    pub fn push(&mut self, seq: u64, message: Kept) {
        assert_eq!(seq, self.last_seq + 1, "numbers have no gap");
        self.last_seq = seq;
        self.bytes += message.bytes();
        self.messages.push_back(message);
        self.forget_oldest();
    }

    /// Keeps a piece of the stream that message `seq` announced, if that is still here.
    pub fn push_piece(&mut self, seq: u64, piece: Piece) {
        if let Some(Kept::Announced(announced)) = self.get_mut(seq) {
            let bytes = bytes_of(&piece);
            announced.pieces.push(piece);
            self.bytes += bytes;
            self.forget_oldest();
        }
    }

    /// All frames that belong to message `seq` are sent before message `until`.
    pub fn close(&mut self, seq: u64, until: u64) {
        if let Some(Kept::Announced(announced)) = self.get_mut(seq) {
            announced.until = until;
        } else {
            self.torn.iter_mut().filter(|range| range.0 == seq).for_each(|range| range.1 = until);
        }
    }

    /// Message `seq`, which was not kept, announced frames that are still to be sent or are on their way.
    pub fn tear(&mut self, seq: u64) {
        self.torn.push((seq, u64::MAX));
    }

    /// Drops pictures and sound of one request: its client wants no more of them.
    pub fn drop_media(&mut self, key: TurnKey) {
        for message in &mut self.messages {
            let before = message.bytes();
            match message {
                Kept::Announced(one) if one.key == key => one.pieces.clear(),
                Kept::Spelled(one) if one.0 == key => one.1.clear(),
                _ => continue,
            }
            self.bytes -= before - message.bytes();
        }
    }

    /// What comes after `seq`; `None` where some of it is gone or `seq` is not yet.
    pub fn after(&self, seq: u64) -> Option<Missed> {
        let missing = usize::try_from(self.last_seq.checked_sub(seq)?).ok()?;
        let first = self.messages.len().checked_sub(missing)?;
        if self.torn.iter().any(|(from, until)| (*from..*until).contains(&seq)) {
            return None;
        }
        let mut pieces = Vec::new();
        for message in self.messages.range(..first) {
            if let Kept::Announced(one) = message
                && seq < one.until
            {
                pieces.extend(one.pieces.iter().map(|piece| (one.key, piece.clone())));
            }
        }
        Some(Missed { pieces, messages: self.messages.range(first..).cloned().collect() })
    }

    fn get_mut(&mut self, seq: u64) -> Option<&mut Kept> {
        let back = usize::try_from(self.last_seq.checked_sub(seq)?).ok()?;
        let at = self.messages.len().checked_sub(back + 1)?;
        self.messages.get_mut(at)
    }

    fn forget_oldest(&mut self) {
        while self.bytes > REPLAY_BYTES_MAX
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.bytes();
            let first = self.last_seq + 1 - self.messages.len() as u64;
            if let Kept::Announced(gone) = oldest {
                self.torn.push((first - 1, gone.until));
                // Who has not got so far as to `until` would lack messages as well.
                self.torn.retain(|(_, until)| *until >= first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::gateway::session::media::Kind;

    fn text(text: impl Into<String>) -> Kept {
        Kept::Text(text.into().into())
    }

    fn piece(index: u32, data: Vec<u8>) -> Piece {
        let data = Bytes::from(data);
        Piece { kind: Kind::AudioOut, stream_id: 1, index, at_ms: 0, first: false, last: false, data }
    }

    /// Indices of the frames that come first, and the texts after them.
    fn of(replay: &Replay, seq: u64) -> Option<(Vec<u32>, Vec<String>)> {
        let missed = replay.after(seq)?;
        let texts = missed.messages.iter().map(|kept| match kept {
            Kept::Text(text) => text.to_string(),
            Kept::Announced(one) => format!("{}+{}", one.text, one.pieces.len()),
            Kept::Spelled(_) => panic!("none was kept"),
        });
        Some((missed.pieces.iter().map(|(_, piece)| piece.index).collect(), texts.collect()))
    }

    fn some(indices: &[u32], texts: &[&str]) -> Option<(Vec<u32>, Vec<String>)> {
        Some((indices.to_vec(), texts.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn what_was_missed_comes_again_and_the_future_does_not() {
        let mut replay = Replay::default();
        assert_eq!(of(&replay, 0), some(&[], &[]));
        for seq in 1..=3 {
            replay.push(seq, text(format!("m{seq}")));
        }
        assert_eq!(of(&replay, 0), some(&[], &["m1", "m2", "m3"]));
        assert_eq!(of(&replay, 2), some(&[], &["m3"]));
        assert_eq!(of(&replay, 3), some(&[], &[]));
        assert_eq!(of(&replay, 4), None);
        assert_eq!(of(&replay, u64::MAX), None);
    }

    #[test]
    fn the_oldest_go_and_are_missed() {
        let mut replay = Replay::default();
        let long = "x".repeat(REPLAY_BYTES_MAX / 4);
        for seq in 1..=10 {
            replay.push(seq, text(long.clone()));
        }
        assert!(replay.bytes <= REPLAY_BYTES_MAX);
        assert_eq!(of(&replay, 6), None);
        assert_eq!(of(&replay, 7).map(|(_, kept)| kept.len()), Some(3));
    }

    #[test]
    fn frames_come_again_until_a_later_message_shows_that_they_came() {
        let mut replay = Replay::default();
        replay.push(1, Kept::Announced(Box::new(Announced::new(7, "a".into()))));
        replay.push_piece(1, piece(0, vec![0; 10]));
        replay.push(2, text("of another"));
        replay.push_piece(1, piece(1, vec![0; 10]));
        assert_eq!(of(&replay, 0), some(&[], &["a+2", "of another"]));
        assert_eq!(of(&replay, 2), some(&[0, 1], &[]));
        replay.push(3, text("the end of the request"));
        replay.close(1, 3);
        assert_eq!(of(&replay, 2), some(&[0, 1], &["the end of the request"]));
        assert_eq!(of(&replay, 3), some(&[], &[]));
        replay.drop_media(8);
        assert_eq!(of(&replay, 1).map(|(indices, _)| indices.len()), Some(2));
        let before = replay.bytes;
        replay.drop_media(7);
        assert_eq!(of(&replay, 1), some(&[], &["of another", "the end of the request"]));
        assert_eq!(before - replay.bytes, 2 * (10 + OVERHEAD_BYTES));
    }

    #[test]
    fn a_picture_that_is_not_kept_is_a_gap_only_for_who_may_lack_it() {
        let mut replay = Replay::default();
        replay.push(1, text("before"));
        replay.push(2, Kept::Announced(Box::new(Announced::new(7, "a".into()))));
        replay.push_piece(2, piece(0, vec![0; REPLAY_BYTES_MAX]));
        assert_eq!((replay.bytes, replay.messages.len()), (0, 0));
        assert_eq!((of(&replay, 1), of(&replay, 2)), (None, None), "its frames may be on their way");
        replay.push(3, text("of another"));
        replay.push(4, text("the end of the request"));
        replay.close(2, 4);
        assert_eq!((of(&replay, 2), of(&replay, 3)), (None, None));
        assert_eq!(of(&replay, 4), some(&[], &[]));
        for seq in 5..=8 {
            replay.push(seq, text("x".repeat(REPLAY_BYTES_MAX / 2)));
        }
        replay.push(9, Kept::Announced(Box::new(Announced::new(8, "b".into()))));
        replay.push_piece(9, piece(0, vec![0; REPLAY_BYTES_MAX]));
        assert_eq!(replay.torn, [(9, u64::MAX)], "what no client can ask for is forgotten");
    }
}
