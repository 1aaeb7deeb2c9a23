//! `cargo bench --bench parse`: what the pure parts cost without sockets: the SSE parser, the decoder of Chat Completions,
//! the session. The median of many runs of each; a series of long events shows that time grows with length and no faster.
//! Prints, and never fails on a figure.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; that is what it is for")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use hearth::adapters::llm::complaint::KeyPlace;
use hearth::adapters::llm::openai::decode::Decoder;
use hearth::common::events::{News, TurnEvent};
use hearth::gateway::session::state::{Action, Session};
use hearth::net::sse::Parser;

/// Runs of which the median is taken, after a few that only warm up.
const RUNS: usize = 31;
const WARM_UP_RUNS: usize = 3;

/// Chunks to a run.
const CHUNKS: usize = 10_000;

/// Long events are cut into pieces of this size, bytes: what the hub's client reads of a quick stream.
const PIECE_BYTES: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;

fn main() {
    let one = chunk(" chicken");
    let stream = one.repeat(CHUNKS);
    per_chunk("SSE parser, a read for each event", || parse(stream.as_bytes(), one.len()));
    per_chunk("SSE parser, reads of 64 KiB", || parse(stream.as_bytes(), PIECE_BYTES));
    per_chunk("decoder, a read for each event", || decode(stream.as_bytes(), one.len()));
    per_chunk("decoder, reads of 64 KiB", || decode(stream.as_bytes(), PIECE_BYTES));
    let bytewise = one.repeat(CHUNKS / 100);
    let ns = median_ns(|| parse(bytewise.as_bytes(), 1));
    show("SSE parser, byte by byte", ns / bytewise.len() as f64, "ns/byte");
    per_chunk("session v1, news in, frame out", || session(CHUNKS, false));
    per_chunk("session v2, news in, frame out", || session(CHUNKS, true));
    let mut before = None;
    for mib in [1, 2, 4, 8] {
        let long = chunk(&"x".repeat(mib * MIB));
        let (parsing, decoding) =
            (median_ns(|| parse(long.as_bytes(), PIECE_BYTES)), median_ns(|| decode(long.as_bytes(), PIECE_BYTES)));
        show(&format!("SSE parser, one event of {mib} MiB"), parsing / 1e6, "ms");
        show(&format!("decoder, one event of {mib} MiB"), decoding / 1e6, "ms");
        if let Some((parsing_before, decoding_before)) = before.replace((parsing, decoding)) {
            show("  times the half of it (linear: 2): parser", parsing / parsing_before, "x");
            show("  times the half of it (linear: 2): decoder", decoding / decoding_before, "x");
        }
    }
}

/// One event as OpenAI sends it.
fn chunk(text: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,"model":"gpt-4o-mini","system_fingerprint":"fp_1","choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":null}}]}}"#
    ) + "\n\n"
}

fn parse(stream: &[u8], piece_bytes: usize) -> usize {
    let (mut parser, mut events) = (Parser::default(), 0);
    for piece in stream.chunks(piece_bytes) {
        let mut rest = piece;
        while let Some(event) = parser.next(&mut rest).expect("within the limit") {
            events += usize::from(!event.data.is_empty());
        }
    }
    events
}

fn decode(stream: &[u8], piece_bytes: usize) -> usize {
    let (mut decoder, mut events, mut count) = (Decoder::new(KeyPlace::default()), VecDeque::new(), 0);
    for piece in stream.chunks(piece_bytes) {
        decoder.push(piece, &mut events).expect("a good stream");
        count += events.drain(..).count();
    }
    count
}

/// A running request whose chunks are each taken off at once, as a quick client does.
fn session(chunks: usize, v2: bool) -> usize {
    let now = Instant::now();
    let mut session = Session::new(now, |kind| format!("{kind}-1"), v2);
    session.handle_text(now, 0, r#"{"action":"chat","payload":{"text":"Tell me a joke"},"request_id":"chat-123"}"#);
    let mut key = None;
    while let Some(action) = session.poll_action() {
        if let Action::Start { key: started, .. } = action {
            key = Some(started);
        }
    }
    let (key, mut frames) = (key.expect("the chat began"), 0);
    for _ in 0..chunks {
        session.handle_news(now, key, TurnEvent { received_at: now, news: News::Text(" chicken".into()) });
        while let Some(frame) = session.poll_transmit() {
            black_box(frame);
            frames += 1;
        }
        session.handle_flushed(now);
    }
    frames
}

fn per_chunk(name: &str, run: impl FnMut() -> usize) {
    show(name, median_ns(run) / CHUNKS as f64, "ns/chunk");
}

/// The median time of a run, nanoseconds.
fn median_ns(mut run: impl FnMut() -> usize) -> f64 {
    let mut times_ns = Vec::with_capacity(RUNS);
    for at in 0..WARM_UP_RUNS + RUNS {
        let began_at = Instant::now();
        let done = black_box(run());
        let time_ns = began_at.elapsed().as_nanos();
        assert!(done > 0, "something was done");
        if at >= WARM_UP_RUNS {
            times_ns.push(time_ns);
        }
    }
    times_ns.sort_unstable();
    times_ns[RUNS / 2] as f64
}

fn show(name: &str, figure: f64, unit: &str) {
    println!("{name:<48} {figure:>12.2} {unit}");
}
