//! What a stick may say: any bytes at all.

use std::time::{Duration, Instant};

use hearth::zigbee::framing::unpi::{DATA_LEN_MAX, Decoder, Frame, Kind, Peer};
use hearth::zigbee::ncp::znp::mt::{self, commands::COMMANDS};
use hearth::zigbee::ncp::znp::{Config, Znp};
use hearth::zigbee::ncp::{Ncp, Transmit};

use super::pieces;

/// Any cut of a line gives the same frames, each is as long as it says, and giving up a frame that has begun ends.
pub fn unpi(input: &[u8]) {
    let Some((piece_len, line)) = pieces(input) else { return };
    for peer in [Peer::Stick, Peer::Host] {
        let at_once = frames(peer, line, line.len().max(1));
        assert_eq!(frames(peer, line, piece_len), at_once, "the cut shows");
        for frame in at_once {
            let bytes = frame.encode().expect("what came in a frame fits into one");
            assert!(line.windows(bytes.len()).any(|window| window == bytes), "a frame that was never sent");
        }
    }
}

fn frames(peer: Peer, line: &[u8], piece_len: usize) -> Vec<Frame> {
    let mut decoder = Decoder::new(peer);
    let mut frames = Vec::new();
    for piece in line.chunks(piece_len) {
        decoder.push(piece);
        frames.extend(std::iter::from_fn(|| decoder.next_frame()));
    }
    while decoder.is_within_frame() {
        decoder.give_up();
        frames.extend(std::iter::from_fn(|| decoder.next_frame()));
    }
    frames
}

/// A command of the table with any data: what can be read is written as it was. And the whole host, spoken to by a stick that says
/// the commands that the input picks, answers to what was asked among them.
pub fn mt(input: &[u8]) {
    let mut now = start_of_time();
    let entropy = |bytes: &mut [u8]| bytes.fill(7);
    let mut host = Znp::new(Config::default(), None, Box::new(entropy));
    host.handle_open(now);
    let mut asked: Option<Frame> = None;
    let mut line = Decoder::new(Peer::Host);
    let mut rest = input;
    while let Some((&[what, row, len], left)) = rest.split_first_chunk::<3>() {
        let (data, left) = left.split_at(left.len().min(usize::from(len)).min(DATA_LEN_MAX));
        rest = left;
        let told = COMMANDS[usize::from(row) % COMMANDS.len()];
        let frame = match (&asked, what) {
            // The answer to what was asked last, with this data.
            (Some(asked), 0..128) => Frame { kind: Kind::Srsp, data: data.to_vec(), ..asked.clone() },
            _ => {
                let kind = if told.is_answered { Kind::Srsp } else { Kind::Areq };
                Frame { kind, subsystem: told.subsystem as u8, id: told.id, data: data.to_vec() }
            }
        };
        if let Ok(message) = mt::decode(&frame)
            && message.status().is_none_or(|status| status == 0)
        {
            assert_eq!(message.frame().as_ref(), Ok(&frame), "read and written");
        }
        let Some(bytes) = frame.encode() else { continue };
        host.handle_bytes(now, &bytes);
        if len % 7 == 6 {
            now = host.poll_timeout().unwrap_or(now + Duration::from_secs(1)).max(now);
            host.handle_timeout(now);
        }
        while let Some(transmit) = host.poll_transmit() {
            match transmit {
                Transmit::Bytes(bytes) => line.push(&bytes),
                Transmit::Lines { .. } => {}
                Transmit::Reopen { .. } => {
                    host.handle_closed(now);
                    host.handle_open(now);
                }
            }
        }
        asked = std::iter::from_fn(|| line.next_frame()).last().or(asked);
        while host.poll_event().is_some() {}
    }
}

/// The only clock that is read: from here on time is made by the input.
#[expect(clippy::disallowed_methods, reason = "a starting point for time that the input makes")]
fn start_of_time() -> Instant {
    Instant::now()
}
