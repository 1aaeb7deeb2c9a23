//! What must hold for any input. The fuzz targets call these with inputs of their own making, and `tests/it/corpus.rs` with
//! those that were worth keeping.
//!
//! The first byte of an input for a parser says how long the pieces are in which the rest is fed (0: all at once).

mod session;

use std::collections::VecDeque;

use hearth::adapters::llm::complaint::KeyPlace;
use hearth::adapters::llm::openai::decode::Decoder;
use hearth::common::chat::Event;
use hearth::common::error::{Failure, ProviderError};
use hearth::net::sse::{EventTooLong, Parser};

pub use session::session;

/// Small, so that inputs of a fuzzer's size go over it.
const EVENT_BYTES_MAX: usize = 256;

fn pieces(input: &[u8]) -> Option<(usize, &[u8])> {
    let (&piece_len, stream) = input.split_first()?;
    Some((if piece_len == 0 { stream.len().max(1) } else { usize::from(piece_len) }, stream))
}

/// Any cut of a stream gives the same events and the same end, and no event is over the limit.
pub fn sse(input: &[u8]) {
    let Some((piece_len, stream)) = pieces(input) else { return };
    assert_eq!(parse(stream, piece_len), parse(stream, stream.len().max(1)), "the cut shows");
}

type Parsed = (Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>, Result<(), EventTooLong>);

fn parse(stream: &[u8], piece_len: usize) -> Parsed {
    let mut parser = Parser::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    for mut piece in stream.chunks(piece_len) {
        loop {
            match parser.next(&mut piece) {
                Ok(Some(event)) => {
                    assert!(event.name.len() + event.data.len() <= EVENT_BYTES_MAX, "an event is over the limit");
                    assert!(!event.name.iter().chain(event.data).any(|&byte| byte == b'\r'), "a line end in a field");
                    events.push((event.name.to_vec(), event.data.to_vec(), event.id.to_vec()));
                }
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, Ok(()))
}

/// Any body is a whole answer or an error with a message for people; the cut does not show; no event is empty.
pub fn openai_decode(input: &[u8]) {
    let Some((piece_len, body)) = pieces(input) else { return };
    let (events, ended) = decode(body, piece_len);
    assert_eq!(
        (&events, &ended),
        (&decode(body, body.len().max(1)).0, &decode(body, body.len().max(1)).1),
        "the cut shows"
    );
    for event in &events {
        if let Event::Text(text) | Event::Reasoning(text) | Event::Refusal(text) = event {
            assert!(!text.is_empty(), "an empty piece");
        }
    }
    match ended {
        Ok(()) => {}
        Err(error) => {
            assert!(
                !error.message.is_empty() && !error.message.contains(char::is_control),
                "not for people: {error:?}"
            );
            assert!(events.iter().all(|event| !matches!(event, Event::Finish(_))) || error.failure != Failure::CutOff);
        }
    }
}

fn decode(body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let (mut decoder, mut events) = (Decoder::new(KeyPlace::default()), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}
