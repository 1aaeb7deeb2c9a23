//! `cargo bench --bench parse`: what the pure parts cost without sockets: the SSE parser, the decoder of each dialect, the
//! session. The median of many runs of each; a dialect's cost stands beside that of Chat Completions, and a series of long
//! events and pictures shows that time grows with length and no faster. Prints, and never fails on a figure.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; that is what it is for")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use hearth::adapters::llm::complaint::KeyPlace;
use hearth::adapters::llm::exchange::Decode;
use hearth::adapters::llm::{anthropic, gemini, images, ollama, openai, responses};
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

/// The sizes of the pictures, each twice the one before it, MiB.
const PICTURES_MIB: [usize; 3] = [2, 4, 8];

/// A language of providers: its decoder, and what it sends. A newcomer adds one row.
struct Dialect {
    name: &'static str,
    decoder: fn() -> Box<dyn Decode>,
    /// One word of an answer; `None` where the language has only pictures.
    delta: Option<fn(&str) -> String>,
    /// One event with a picture, base64 within; `None` where the language has none.
    image: Option<fn(&str) -> String>,
}

/// The first is what all others are measured by.
const DIALECTS: [Dialect; 7] = [
    Dialect {
        name: "Chat Completions",
        decoder: || Box::new(openai::decode::Decoder::new(KeyPlace::default())),
        delta: Some(chunk),
        image: None,
    },
    Dialect {
        name: "OpenRouter",
        decoder: || Box::new(openai::decode::Decoder::new(KeyPlace::default())),
        delta: Some(|text| openrouter(&format!(r#""content":"{text}""#))),
        image: Some(|base64| {
            openrouter(&format!(
                r#""content":"","images":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{base64}"}},"index":0}}]"#
            ))
        }),
    },
    Dialect {
        name: "Ollama",
        decoder: || Box::new(ollama::decode::Decoder::new(KeyPlace::default(), "call")),
        delta: Some(|text| {
            format!(
                r#"{{"model":"qwen3:4b","created_at":"2026-08-17T15:59:50.05206Z","message":{{"role":"assistant","content":"{text}"}},"done":false}}"#
            ) + "\n"
        }),
        image: None,
    },
    Dialect {
        name: "Anthropic",
        decoder: || Box::new(anthropic::decode::Decoder::new(KeyPlace::default())),
        delta: Some(|text| {
            named("content_block_delta", &format!(r#""index":0,"delta":{{"type":"text_delta","text":"{text}"}}"#))
        }),
        image: None,
    },
    Dialect {
        name: "Gemini",
        decoder: || Box::new(gemini::decode::Decoder::new(KeyPlace::default())),
        delta: Some(|text| gemini_chunk(&format!(r#""text":"{text}""#))),
        image: Some(|base64| gemini_chunk(&format!(r#""inlineData":{{"mimeType":"image/png","data":"{base64}"}}"#))),
    },
    Dialect {
        name: "Responses",
        decoder: || Box::new(responses::decode::Decoder::new(KeyPlace::default())),
        delta: Some(|text| {
            named(
                "response.output_text.delta",
                &format!(
                    r#""sequence_number":4,"item_id":"msg_68af2a3fd1f8819","output_index":0,"content_index":0,"delta":"{text}","logprobs":[],"obfuscation":"k7Vq2m""#
                ),
            )
        }),
        image: Some(|base64| {
            named(
                "response.image_generation_call.partial_image",
                &format!(
                    r#""sequence_number":4,"item_id":"ig_68af2a3fd1f8819","output_index":0,"partial_image_index":0,"partial_image_b64":"{base64}""#
                ),
            )
        }),
    },
    Dialect {
        name: "Images",
        decoder: || Box::new(images::decode::Decoder::new(KeyPlace::default(), 1)),
        delta: None,
        image: Some(|base64| {
            named(
                "image_generation.completed",
                &format!(r#""b64_json":"{base64}","created_at":1764000000,"size":"1024x1024","output_format":"png""#),
            )
        }),
    },
];

fn main() {
    let one = chunk(" chicken");
    let stream = one.repeat(CHUNKS);
    per_chunk("SSE parser, a read for each event", || parse(stream.as_bytes(), one.len()));
    per_chunk("SSE parser, reads of 64 KiB", || parse(stream.as_bytes(), PIECE_BYTES));
    dialects();
    let bytewise = one.repeat(CHUNKS / 100);
    let ns = median_ns(|| parse(bytewise.as_bytes(), 1));
    show("SSE parser, byte by byte", ns / bytewise.len() as f64, "ns/byte");
    per_chunk("session v1, news in, frame out", || session(CHUNKS, false));
    per_chunk("session v2, news in, frame out", || session(CHUNKS, true));
    let mut before = None;
    for mib in [1, 2, 4, 8] {
        let long = chunk(&"x".repeat(mib * MIB));
        let parsing = median_ns(|| parse(long.as_bytes(), PIECE_BYTES));
        let decoding = median_ns(|| decode(&DIALECTS[0], long.as_bytes(), PIECE_BYTES));
        show(&format!("SSE parser, one event of {mib} MiB"), parsing / 1e6, "ms");
        show(&format!("decoder, one event of {mib} MiB"), decoding / 1e6, "ms");
        if let Some((parsing_before, decoding_before)) = before.replace((parsing, decoding)) {
            show("  times the half of it (linear: 2): parser", parsing / parsing_before, "x");
            show("  times the half of it (linear: 2): decoder", decoding / decoding_before, "x");
        }
    }
}

/// What each language costs, and how much more than the first.
fn dialects() {
    let mut first = None;
    for dialect in &DIALECTS {
        if let Some(delta) = dialect.delta {
            let one = delta(" chicken");
            let stream = one.repeat(CHUNKS);
            let each = median_ns(|| decode(dialect, stream.as_bytes(), one.len())) / CHUNKS as f64;
            let many = median_ns(|| decode(dialect, stream.as_bytes(), PIECE_BYTES)) / CHUNKS as f64;
            show(&format!("{}, a read for each event", dialect.name), each, "ns/chunk");
            show(&format!("{}, reads of 64 KiB", dialect.name), many, "ns/chunk");
            show("  times Chat Completions (at most 1.3)", each / *first.get_or_insert(each), "x");
        }
        if let Some(image) = dialect.image {
            pictures(dialect, image);
        }
    }
}

/// What a picture costs in one event, and how that grows with its size.
fn pictures(dialect: &Dialect, image: fn(&str) -> String) {
    let mut before = None;
    for mib in PICTURES_MIB {
        let event = image(&"A".repeat(mib * MIB / 3 * 4));
        let ns = median_ns(|| decode(dialect, event.as_bytes(), PIECE_BYTES));
        show(&format!("{}, a picture of {mib} MiB", dialect.name), ns / 1e6, "ms");
        if let Some(half) = before.replace(ns) {
            show("  times the half of it (linear: 2)", ns / half, "x");
        }
    }
}

/// One event whose data repeat its name, as Anthropic and OpenAI's newer interfaces send it.
fn named(name: &str, fields: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n")
}

/// One event as Gemini sends it.
fn gemini_chunk(part: &str) -> String {
    format!(
        r#"data: {{"candidates": [{{"content": {{"parts": [{{{part}}}],"role": "model"}},"index": 0}}],"usageMetadata": {{"promptTokenCount": 12,"candidatesTokenCount": 3,"totalTokenCount": 15,"promptTokensDetails": [{{"modality": "TEXT","tokenCount": 12}}]}},"modelVersion": "gemini-2.5-flash","responseId": "k7Vq2mXxrxOREw"}}"#
    ) + "\r\n\r\n"
}

/// One event as OpenRouter sends it.
fn openrouter(delta: &str) -> String {
    format!(
        r#"data: {{"id":"gen-1762064096-m5VxL2xrxOREwashCey6","provider":"OpenAI","model":"openai/gpt-4o-mini","object":"chat.completion.chunk","created":1762064097,"choices":[{{"index":0,"delta":{{"role":"assistant",{delta}}},"finish_reason":null,"native_finish_reason":null,"logprobs":null}}]}}"#
    ) + "\n\n"
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

fn decode(dialect: &Dialect, stream: &[u8], piece_bytes: usize) -> usize {
    let (mut decoder, mut events, mut count) = ((dialect.decoder)(), VecDeque::new(), 0);
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
