//! What a v2 session has sent lately, kept for a client that comes back. Pure; bounded in bytes.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::common::limits::REPLAY_BYTES_MAX;

/// What one kept message costs beside its text.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// The messages of a session's last numbers, without a gap up to the newest.
#[derive(Debug, Default)]
pub struct Replay {
    messages: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// The number of the newest message; 0 before the first.
    last_seq: u64,
}

impl Replay {
    /// Keeps what comes after `seq`.
    pub fn from(seq: u64) -> Replay {
        Replay { last_seq: seq, ..Replay::default() }
    }

    /// Keeps the message of the next number and forgets the oldest ones beyond the limit.
    pub fn push(&mut self, seq: u64, text: Utf8Bytes) {
        assert_eq!(seq, self.last_seq + 1, "numbers have no gap");
        self.last_seq = seq;
        self.bytes += text.len() + MESSAGE_OVERHEAD_BYTES;
        self.messages.push_back(text);
        while self.bytes > REPLAY_BYTES_MAX
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.len() + MESSAGE_OVERHEAD_BYTES;
        }
    }

    /// The messages after `seq`, oldest first; `None` where one of them is gone or `seq` is not yet.
    pub fn after(&self, seq: u64) -> Option<impl ExactSizeIterator<Item = &Utf8Bytes>> {
        let missing = usize::try_from(self.last_seq.checked_sub(seq)?).ok()?;
        let first = self.messages.len().checked_sub(missing)?;
        Some(self.messages.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(replay: &Replay, seq: u64) -> Option<Vec<String>> {
        Some(replay.after(seq)?.map(ToString::to_string).collect())
    }

    #[test]
    fn what_was_missed_comes_again_and_the_future_does_not() {
        let mut replay = Replay::default();
        assert_eq!(of(&replay, 0), Some(vec![]));
        for seq in 1..=3 {
            replay.push(seq, format!("m{seq}").into());
        }
        assert_eq!(of(&replay, 0), Some(vec!["m1".into(), "m2".into(), "m3".into()]));
        assert_eq!(of(&replay, 2), Some(vec!["m3".into()]));
        assert_eq!(of(&replay, 3), Some(vec![]));
        assert_eq!(of(&replay, 4), None);
        assert_eq!(of(&replay, u64::MAX), None);
    }

    #[test]
    fn the_oldest_go_and_are_missed() {
        let mut replay = Replay::default();
        let long = "x".repeat(REPLAY_BYTES_MAX / 4);
        for seq in 1..=10 {
            replay.push(seq, long.clone().into());
        }
        assert!(replay.bytes <= REPLAY_BYTES_MAX);
        assert_eq!(of(&replay, 6), None);
        assert_eq!(of(&replay, 7).map(|kept| kept.len()), Some(3));
    }
}
