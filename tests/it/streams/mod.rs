//! Recorded bodies of real providers, replayed in every cut: what is assembled must be what the providers' own libraries
//! assemble. The recordings lie beside the repository and are no part of it; without them this says so and passes.

mod anthropic;
mod gemini;
mod ollama;
mod openai_chat;
mod responses;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use hearth::adapters::llm::complaint::{self, KeyPlace};
use hearth::adapters::llm::exchange::Decode;
use hearth::common::chat::{Event, Usage};
use hearth::common::error::{Failure, ProviderError};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// Random cuts of each recording.
const RANDOM_ROUNDS: usize = 20;

/// Rows with one of these have no one right answer: a clear error or a part of it will do.
const AMBIGUOUS: [&str; 4] = ["multi_message", "partial_args", "bad_json", "no_finish"];

/// Dialects that send the arguments of a call as JSON and not as text, often without an id, and have no reason of their own for
/// an end in calls.
const WITHOUT_CALL_TEXT: [&str; 2] = ["gemini", "ollama"];

struct Recording {
    name: String,
    body: Vec<u8>,
    status: u16,
    expected: Value,
    ambiguous: bool,
}

/// The rows of a dialect; `None` where the recordings are not here.
fn recordings(dialect: &str) -> Option<Vec<Recording>> {
    let shared = std::env::var_os("HEARTH_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    let folder = shared.join("provider-streams");
    let Ok(manifest) = std::fs::read(folder.join("MANIFEST.json")) else {
        println!("skipped: no recordings at {} (HEARTH_SHARED names their folder)", folder.display());
        return None;
    };
    let rows: Vec<Value> = serde_json::from_slice(&manifest).expect("the manifest is a list");
    let word = |row: &Value, field: &str| row[field].as_str().expect("a row names its files").to_owned();
    let chat = rows.iter().filter(|row| row["dialect"] == dialect);
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

/// How a dialect is played: one file of this folder each.
struct Dialect {
    /// The word of the manifest.
    name: &'static str,
    decoder: fn() -> Box<dyn Decode>,
    /// The provider's reason for its end in our words.
    finish: fn(&Value) -> Value,
    /// The provider's counts as we count.
    usage: fn(&Value) -> Usage,
}

/// Plays all streams of a dialect in every cut.
fn every_stream_assembles_exactly_in_every_cut(dialect: &Dialect) {
    let Some(recordings) = recordings(dialect.name) else { return };
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
            let (events, ended) = decode((dialect.decoder)(), &recording.body, &cut);
            let what = format!("{} cut {} times, seed {seed}", recording.name, cut.len());
            if recording.ambiguous {
                assert!(ended.is_err() || !events.is_empty(), "{what}: neither an error nor a part");
                continue;
            }
            let expected = &recording.expected;
            assert_eq!(ended.is_err(), !expected["error"].is_null(), "{what}: {ended:?}");
            let (mut assembled, mut wanted) = (assemble(&events), wanted(dialect, expected));
            if WITHOUT_CALL_TEXT.contains(&dialect.name) {
                compare_calls_by_meaning(&mut assembled, &mut wanted);
            }
            assert_eq!(assembled, wanted, "{what}");
        }
        assembled += 1;
    }
    println!("{assembled} streams assembled, each in {} cuts", 4 + RANDOM_ROUNDS);
    assert!(assembled > 0);
}

/// Reads all recorded refusals of a dialect.
fn every_refusal_is_understood(dialect: &str) {
    let Some(recordings) = recordings(dialect) else { return };
    for recording in recordings.iter().filter(|recording| recording.status != 200) {
        let status = StatusCode::from_u16(recording.status).unwrap();
        let error = complaint::refused(status, &HeaderMap::new(), &recording.body, &KeyPlace::default());
        let said: Vec<String> = strings(&serde_json::from_slice(&recording.body).unwrap());
        let body = String::from_utf8_lossy(&recording.body);
        let cannot = |said: &String| {
            ["input is not supported", "requires --jinja", "unknown variant `image_url`"]
                .iter()
                .any(|no| said.contains(no))
        };
        let failure = match recording.status {
            401 | 403 => Failure::Auth,
            // Google says 400 of a wrong key and of a question that is too long.
            400 if body.contains("API_KEY_INVALID") => Failure::Auth,
            400 if body.contains("exceeds the maximum number of tokens") => Failure::TooLarge,
            _ if said.iter().any(cannot) => Failure::Unsupported,
            500.. => Failure::Failed,
            _ if String::from_utf8_lossy(&recording.body).contains("context_length_exceeded") => Failure::TooLarge,
            _ => Failure::Rejected,
        };
        assert_eq!(error.failure, failure, "{}: {error}", recording.name);
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

fn decode(mut decoder: Box<dyn Decode>, body: &[u8], cuts: &[usize]) -> (Vec<Event>, Result<(), ProviderError>) {
    let mut events = VecDeque::new();
    let bounds: Vec<usize> = [&[0], cuts, &[body.len()]].concat();
    let ended = bounds.windows(2).try_for_each(|pair| decoder.push(&body[pair[0]..pair[1]], &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

/// Events put together, in the shape of a row's `expected`.
fn assemble(events: &[Event]) -> Value {
    let (mut text, mut reasoning, mut refusal) = (String::new(), String::new(), String::new());
    let (mut finish, mut usage) = (Value::Null, Usage::default());
    let (mut images, mut audio_bytes) = (Vec::new(), 0);
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
            Event::Image(piece) => {
                let data = &piece.media.data;
                let (mime, partial) = (&piece.media.mime, piece.partial);
                images.push(json!({"mime": mime, "partial": partial, "bytes": data.len(), "sha256": sha256(data)}));
            }
            Event::Audio(media) => audio_bytes += media.data.len(),
            Event::Verbatim(_) | Event::Progress(_) | Event::Notice(_) | Event::Limits(_) => {}
            Event::Usage(counted) => usage = **counted,
            Event::Finish(reason) => finish = serde_json::to_value(reason).unwrap(),
        }
        assert!(!matches!(event, Event::Text(piece) | Event::Reasoning(piece) if piece.is_empty()), "an empty piece");
    }
    let calls: Vec<Value> = calls
        .into_values()
        .map(|(id, name, arguments)| json!({"id": id, "name": name, "arguments": arguments}))
        .collect();
    json!({"text": text, "reasoning": reasoning, "refusal": refusal, "tool_calls": calls, "finish": finish,
        "usage": usage, "images": images, "audio_bytes": audio_bytes})
}

/// The same from a row, with the provider's own words put into ours.
fn wanted(dialect: &Dialect, expected: &Value) -> Value {
    let same = |field: &str| expected[field].clone();
    json!({
        "text": same("text"), "reasoning": same("reasoning"), "refusal": same("refusal"), "tool_calls": same("tool_calls"),
        "finish": (dialect.finish)(&expected["finish"]), "usage": (dialect.usage)(&expected["usage"]),
        "images": same("images"), "audio_bytes": same("audio_bytes"),
    })
}

/// Arguments are the same JSON, an id that the provider did not give is the hub's own business (but there is one), and an
/// ordinary end with calls is ours for calls.
fn compare_calls_by_meaning(assembled: &mut Value, wanted: &mut Value) {
    let parse = |call: &mut Value| {
        let text = call["arguments"].as_str().expect("arguments are text").to_owned();
        call["arguments"] = serde_json::from_str(&text).expect("and JSON");
    };
    if wanted["finish"] == "stop" && wanted["tool_calls"] != json!([]) {
        wanted["finish"] = json!("tool_calls");
    }
    let ids: Vec<String> =
        assembled["tool_calls"].as_array().into_iter().flatten().map(|call| call["id"].to_string()).collect();
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert!(distinct.len() == ids.len() && !ids.iter().any(|id| id == "\"\""), "each call has an id: {ids:?}");
    let calls = |side: &mut Value| side["tool_calls"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let (mut ours, mut theirs) = (calls(assembled), calls(wanted));
    for (our, their) in ours.iter_mut().zip(&mut theirs) {
        if their["id"].is_null() {
            our["id"] = Value::Null;
        }
        parse(our);
        parse(their);
    }
    (assembled["tool_calls"], wanted["tool_calls"]) = (ours.into(), theirs.into());
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
