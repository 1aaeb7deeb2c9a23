//! What must hold for any input. The fuzz targets call these with inputs of their own making, and `tests/it/corpus.rs` with
//! those that were worth keeping.
//!
//! The first byte of an input for a parser says how long the pieces are in which the rest is fed (0: all at once).

mod air;
mod devices;
mod mcp;
mod session;
mod zigbee;

use std::collections::VecDeque;

use hearth::adapters::llm::complaint::KeyPlace;
use hearth::adapters::llm::exchange::Decode;
use hearth::adapters::llm::{anthropic, gemini, images, ollama, openai, responses};
use hearth::adapters::speech::wyoming::wire;
use hearth::common::chat::Event;
use hearth::common::error::{Failure, ProviderError};
use hearth::net::sse::{EventTooLong, Parser};

pub use air::network;
pub use devices::{tuya, zcl};
pub use mcp::mcp_server;
pub use session::session;
pub use zigbee::{mt, unpi};

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

/// Any cut of a speech server's bytes gives the same events and the same error, in words, and an error is for good.
pub fn wyoming(input: &[u8]) {
    let Some((piece_len, stream)) = pieces(input) else { return };
    let at_once = wyoming_events(stream, stream.len().max(1));
    assert_eq!(wyoming_events(stream, piece_len), at_once, "the cut shows");
    if let Err(error) = at_once.1 {
        assert_eq!(error.failure, Failure::BadStream);
        assert!(!error.message.is_empty() && !error.message.contains(char::is_control), "not for people: {error:?}");
    }
}

fn wyoming_events(stream: &[u8], piece_len: usize) -> (Vec<wire::Event>, Result<(), ProviderError>) {
    let (mut parser, mut events) = (wire::Parser::default(), Vec::new());
    for piece in stream.chunks(piece_len) {
        parser.push(piece);
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next_event(), Err(error.clone()), "an error that passes");
                    return (events, Err(error));
                }
            }
        }
    }
    (events, Ok(()))
}

/// Chat Completions.
pub fn openai_decode(input: &[u8]) {
    any_body(|| Box::new(openai::decode::Decoder::new(KeyPlace::default())), input);
}

/// Ollama's own chat.
pub fn ollama_decode(input: &[u8]) {
    any_body(|| Box::new(ollama::decode::Decoder::new(KeyPlace::default(), "call")), input);
}

/// Anthropic's Messages.
pub fn anthropic_decode(input: &[u8]) {
    any_body(|| Box::new(anthropic::decode::Decoder::new(KeyPlace::default())), input);
}

/// Gemini's `streamGenerateContent`.
pub fn gemini_decode(input: &[u8]) {
    any_body(|| Box::new(gemini::decode::Decoder::new(KeyPlace::default())), input);
}

/// The Responses API.
pub fn responses_decode(input: &[u8]) {
    any_body(|| Box::new(responses::decode::Decoder::new(KeyPlace::default())), input);
}

/// The Images API, asked for two pictures.
pub fn images_decode(input: &[u8]) {
    any_body(|| Box::new(images::decode::Decoder::new(KeyPlace::default(), 2)), input);
}

/// Any body is a whole answer or an error with a message for people; the cut does not show; no event is empty.
fn any_body(make: fn() -> Box<dyn Decode>, input: &[u8]) {
    let Some((piece_len, body)) = pieces(input) else { return };
    let (events, ended) = decode(make(), body, piece_len);
    let at_once = decode(make(), body, body.len().max(1));
    assert_eq!((&events, &ended), (&at_once.0, &at_once.1), "the cut shows");
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

fn decode(mut decoder: Box<dyn Decode>, body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let mut events = VecDeque::new();
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}
