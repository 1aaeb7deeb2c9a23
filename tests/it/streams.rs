//! Recorded bodies of real providers, replayed in every cut: what is assembled must be what the providers' own libraries
//! assemble. The recordings lie beside the repository and are no part of it; without them this says so and passes.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use hearth::adapters::llm::complaint::{self, KeyPlace};
use hearth::adapters::llm::openai::decode::Decoder;
use hearth::common::chat::{Event, Usage};
use hearth::common::error::{Failure, ProviderError};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// Random cuts of each recording.
const RANDOM_ROUNDS: usize = 20;

/// Rows with one of these have no one right answer: a clear error or a part of it will do.
const AMBIGUOUS: [&str; 4] = ["multi_message", "partial_args", "bad_json", "no_finish"];

struct Recording {
    name: String,
    body: Vec<u8>,
    status: u16,
    expected: Value,
    ambiguous: bool,
}

/// The `openai_chat` rows; `None` where the recordings are not here.
fn recordings() -> Option<Vec<Recording>> {
    let shared = std::env::var_os("HEARTH_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    let folder = shared.join("provider-streams");
    let Ok(manifest) = std::fs::read(folder.join("MANIFEST.json")) else {
        println!("skipped: no recordings at {} (HEARTH_SHARED names their folder)", folder.display());
        return None;
    };
    let rows: Vec<Value> = serde_json::from_slice(&manifest).expect("the manifest is a list");
    let word = |row: &Value, field: &str| row[field].as_str().expect("a row names its files").to_owned();
    let chat = rows.iter().filter(|row| row["dialect"] == "openai_chat");
    let recordings = chat.map(|row| {
        let name = format!("{}/{}", word(row, "provider"), word(row, "name"));
        let body = std::fs::read(folder.join(format!("{name}{}", word(row, "ext")))).expect("a row's body is there");
        let row: Value =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).expect("and its row"))
                .expect("a row is JSON");
        let tags = row["tags"].as_array().expect("tags are a list");
        Recording {
            name,
            body,
            status: row["status"].as_u64().expect("a status is a number") as u16,
            expected: row["expected"].clone(),
            ambiguous: tags.iter().any(|tag| AMBIGUOUS.iter().any(|ambiguous| tag == ambiguous)),
        }
    });
    Some(recordings.collect())
}

#[test]
fn every_recorded_stream_assembles_exactly_in_every_cut() {
    let Some(recordings) = recordings() else { return };
    let seed =
        std::env::var("HEARTH_SEED").ok().map_or_else(|| getrandom::u64().unwrap(), |seed| seed.parse().unwrap());
    println!("HEARTH_SEED={seed} repeats this run");
    let mut random = Random(seed | 1);
    let mut assembled = 0;
    for recording in recordings.iter().filter(|recording| recording.status == 200) {
        let len = recording.body.len();
        let mut cuts = vec![vec![], (1..len).collect(), inside_utf8(&recording.body), at_newlines(&recording.body)];
        cuts.extend((0..RANDOM_ROUNDS).map(|_| random.cuts(len)));
        for cut in cuts {
            let (events, ended) = decode(&recording.body, &cut);
            let what = format!("{} cut {} times, seed {seed}", recording.name, cut.len());
            if recording.ambiguous {
                assert!(ended.is_err() || !events.is_empty(), "{what}: neither an error nor a part");
                continue;
            }
            assert_eq!(ended, Ok(()), "{what}");
            assert_eq!(assemble(&events), wanted(&recording.expected), "{what}");
        }
        assembled += 1;
    }
    println!("{assembled} streams assembled, each in {} cuts", 4 + RANDOM_ROUNDS);
    assert!(assembled > 0);
}

#[test]
fn every_recorded_refusal_is_understood() {
    let Some(recordings) = recordings() else { return };
    for recording in recordings.iter().filter(|recording| recording.status != 200) {
        let status = StatusCode::from_u16(recording.status).unwrap();
        let error = complaint::refused(status, &HeaderMap::new(), &recording.body, &KeyPlace::default());
        let failure = match recording.status {
            401 | 403 => Failure::Auth,
            500.. => Failure::Failed,
            _ => Failure::Rejected,
        };
        assert_eq!(error.failure, failure, "{}: {error}", recording.name);
        let said: Vec<String> = strings(&serde_json::from_slice(&recording.body).unwrap());
        assert!(said.iter().any(|said| error.message.contains(said.as_str())), "{}: {error}", recording.name);
        assert!(!error.message.contains('{'), "{}: {error}", recording.name);
    }
}

/// The sentences of a body: its strings with a blank in them.
fn strings(json: &Value) -> Vec<String> {
    match json {
        Value::String(text) if text.contains(' ') => vec![text.trim_end_matches('.').to_owned()],
        Value::Object(object) => object.values().flat_map(strings).collect(),
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn decode(body: &[u8], cuts: &[usize]) -> (Vec<Event>, Result<(), ProviderError>) {
    let (mut decoder, mut events) = (Decoder::new(KeyPlace::default()), VecDeque::new());
    let bounds: Vec<usize> = [&[0], cuts, &[body.len()]].concat();
    let ended = bounds.windows(2).try_for_each(|pair| decoder.push(&body[pair[0]..pair[1]], &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

/// Events put together, in the shape of a row's `expected`.
fn assemble(events: &[Event]) -> Value {
    let (mut text, mut reasoning, mut refusal) = (String::new(), String::new(), String::new());
    let (mut finish, mut usage) = (Value::Null, Usage::default());
    let mut calls: BTreeMap<u32, (String, String, String)> = BTreeMap::new();
    for event in events {
        match event {
            Event::Started { .. } => {}
            Event::Text(piece) => text += piece,
            Event::Reasoning(piece) => reasoning += piece,
            Event::Refusal(piece) => refusal += piece,
            Event::ToolCall(delta) => {
                let call = calls.entry(delta.index).or_default();
                call.0 += delta.id.as_deref().unwrap_or("");
                call.1 += delta.name.as_deref().unwrap_or("");
                call.2 += &delta.arguments;
            }
            Event::Usage(counted) => usage = **counted,
            Event::Finish(reason) => finish = serde_json::to_value(reason).unwrap(),
        }
        assert!(!matches!(event, Event::Text(piece) | Event::Reasoning(piece) if piece.is_empty()), "an empty piece");
    }
    let calls: Vec<Value> = calls
        .into_values()
        .map(|(id, name, arguments)| json!({"id": id, "name": name, "arguments": arguments}))
        .collect();
    json!({"text": text, "reasoning": reasoning, "refusal": refusal, "tool_calls": calls, "finish": finish, "usage": usage})
}

/// The same from a row, with the provider's own words for usage put into ours.
fn wanted(expected: &Value) -> Value {
    let sent = &expected["usage"];
    let details = |part: &str, field: &str| sent[part][field].as_u64();
    let usage = Usage {
        input_tokens: sent["prompt_tokens"].as_u64().unwrap_or(0),
        output_tokens: sent["completion_tokens"].as_u64().unwrap_or(0),
        cached_tokens: details("prompt_tokens_details", "cached_tokens").or(sent["prompt_cache_hit_tokens"].as_u64()),
        reasoning_tokens: details("completion_tokens_details", "reasoning_tokens"),
        cost_usd: sent["cost"].as_f64(),
    };
    let same = |field: &str| expected[field].clone();
    json!({
        "text": same("text"), "reasoning": same("reasoning"), "refusal": same("refusal"),
        "tool_calls": same("tool_calls"), "finish": same("finish"), "usage": usage,
    })
}

/// Before every byte that is in the midst of a character.
fn inside_utf8(body: &[u8]) -> Vec<usize> {
    (1..body.len()).filter(|&at| body[at] & 0xC0 == 0x80).collect()
}

/// On both sides of every byte of a line end.
fn at_newlines(body: &[u8]) -> Vec<usize> {
    (1..body.len()).filter(|&at| matches!(body[at - 1], b'\r' | b'\n') || matches!(body[at], b'\r' | b'\n')).collect()
}

/// xorshift64: enough to cut with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize
    }

    /// Up to forty places, in order.
    fn cuts(&mut self, len: usize) -> Vec<usize> {
        let mut cuts: Vec<usize> = (0..1 + self.next() % 40).map(|_| self.next() % (len + 1)).collect();
        cuts.sort_unstable();
        cuts
    }
}
