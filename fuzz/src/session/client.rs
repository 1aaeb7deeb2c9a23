//! The client at the other end of a session: believes nothing, and checks every message and every frame against those before.

use std::collections::{BTreeMap, BTreeSet};

use hearth::common::error::{ErrorBody, ErrorCode};
use hearth::gateway::session::media::{FIRST, FRAME_BYTES_MAX, HEADER_BYTES, LAST};
use hearth::gateway::session::transmit::Transmit;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Who believes nothing.
#[derive(Default)]
pub struct Client {
    /// The highest number so far, and every numbered message by it.
    pub heard: u64,
    history: BTreeMap<u64, String>,
    /// After a resume: the number that must come first.
    pub expected: Option<u64>,
    /// Requests that were said to be processed and have not ended.
    pub open: BTreeSet<String>,
    /// The index of each request's next chunk; nobody knows it after a gap.
    indices: BTreeMap<String, Option<u64>>,
    /// It has said that it takes binary frames.
    pub binary: bool,
    streams: BTreeMap<u32, Stream>,
    /// Announcements were missed: frames of unknown streams may come.
    had_gap: bool,
    /// Of a text that comes in fragments.
    fragments: String,
    pub closed: bool,
    /// What it has subscribed to, as it was told last.
    topics: BTreeSet<String>,
}

/// Binary frames of one stream.
struct Stream {
    request_id: String,
    /// Of the next frame; nobody knows it after a gap.
    next: Option<u32>,
    is_sound: bool,
    /// Of a picture: what is still to come.
    missing: usize,
    ended: bool,
    /// The request was stopped: nothing more may come.
    stopped: bool,
}

impl Client {
    /// Whether the answer to something else would look like the end of an open request: names are the client's to choose.
    pub fn would_be_confused_by(&self, text: &str) -> bool {
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return false };
        let is_long = ["chat", "image", "speak", "tool"].iter().any(|action| frame["action"] == *action);
        !is_long && frame["request_id"].as_str().is_some_and(|id| self.open.contains(id))
    }

    pub fn take(&mut self, transmit: &Transmit) {
        assert!(!self.closed, "something after the close frame: {transmit:?}");
        match transmit {
            Transmit::Text(text) => {
                assert!(self.fragments.is_empty(), "amid a message: {text}");
                self.take_text(text);
            }
            Transmit::Fragment { text, is_first, is_last } => {
                assert_eq!(*is_first, self.fragments.is_empty(), "{text}");
                self.fragments.push_str(text);
                if *is_last {
                    let text = std::mem::take(&mut self.fragments);
                    self.take_text(&text);
                }
            }
            Transmit::Binary(bytes) => self.take_binary(bytes),
            Transmit::Ping => {}
            Transmit::Close(_) => (self.closed, self.fragments) = (true, String::new()),
        }
    }

    fn take_binary(&mut self, bytes: &[u8]) {
        assert!(self.binary && self.fragments.is_empty(), "nobody asked for it");
        assert!((HEADER_BYTES..=FRAME_BYTES_MAX).contains(&bytes.len()), "{}", bytes.len());
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (stream_id, index, flags) = (number(4), number(8), bytes[2]);
        assert!(bytes[0] == 1 && bytes[3] == 0 && flags & !(FIRST | LAST) == 0, "{:?}", &bytes[..HEADER_BYTES]);
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return assert!(self.had_gap, "stream {stream_id} was not announced");
        };
        assert_eq!(bytes[1], if stream.is_sound { 1 } else { 3 });
        assert!(!stream.stopped, "stream {stream_id} was stopped");
        assert_eq!(flags & FIRST > 0, index == 0, "the first of {stream_id}");
        match stream.next {
            // It came before the connection was lost.
            Some(next) if index < next => return,
            Some(next) => assert_eq!(index, next, "a gap in stream {stream_id}"),
            None => {}
        }
        stream.next = Some(index + 1);
        if stream.is_sound {
            return;
        }
        assert!(!stream.ended, "after the last of {stream_id}");
        stream.missing = stream.missing.checked_sub(bytes.len() - HEADER_BYTES).expect("no more than was announced");
        stream.ended = flags & LAST > 0;
        assert_eq!(stream.ended, stream.missing == 0, "{stream_id}");
    }

    fn announced(&mut self, chunk: &Chunk, request_id: &str, text: &str) {
        let stream_id = chunk.metadata["stream_id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a number");
        assert!(chunk.data.is_none() && self.binary, "{text}");
        let is_sound = chunk.kind == "audio";
        let missing = chunk.metadata.get("bytes").and_then(Value::as_u64).unwrap_or_default() as usize;
        let next = if is_sound && self.had_gap { None } else { Some(0) };
        let known = self.streams.contains_key(&stream_id);
        assert!(is_sound || !known, "a second picture in one stream: {text}");
        let request_id = request_id.to_owned();
        let stream = Stream { request_id, next, is_sound, missing, ended: false, stopped: false };
        self.streams.entry(stream_id).or_insert(stream);
    }

    fn take_text(&mut self, text: &str) {
        let frame: Frame = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if let Some(seq) = frame.seq {
            let expected = self.expected.take().unwrap_or(self.heard + 1);
            let is_gap = frame.error.as_ref().is_some_and(|error| error.code == ErrorCode::ResumeGap);
            if is_gap {
                let snapshot =
                    frame.error.as_ref().and_then(|error| error.snapshot.as_ref()).expect("the state as it is");
                self.start_over(snapshot, seq);
            } else {
                assert_eq!(seq, expected, "a gap: {text}");
                self.expected = Some(seq + 1);
                if seq <= self.heard {
                    // What fell into an earlier gap has not been seen.
                    let before = self.history.get(&seq).map_or(text, String::as_str);
                    return assert!(text == before || without_media(text) == without_media(before), "changed: {text}");
                }
            }
            self.heard = seq;
            self.history.insert(seq, text.to_owned());
        } else {
            assert_eq!(self.heard, 0, "numbers stopped: {text}");
            assert!(frame.chunk.as_ref().is_none_or(|chunk| chunk.index.is_none()), "an index in v1: {text}");
        }
        self.check(&frame, text);
    }

    fn check(&mut self, frame: &Frame, text: &str) {
        let id = frame.request_id.clone().unwrap_or_default();
        match (&*frame.status, &frame.chunk, &frame.error) {
            ("processing", None, None) => drop(self.open.insert(id)),
            ("processing", Some(chunk), None) if frame.seq.is_some() => {
                assert!(chunk.kind == "metadata" && chunk.index.is_none(), "{text}");
                self.open.insert(id);
            }
            ("chunk", Some(chunk), None) => {
                let is_v2 = frame.seq.is_some();
                match &*chunk.kind {
                    "image" | "audio" if chunk.metadata.contains_key("stream_id") => self.announced(chunk, &id, text),
                    "image" | "audio" => assert!(chunk.data.is_some(), "{text}"),
                    "text" => assert!(chunk.data.as_deref().is_some_and(|data| !data.is_empty()), "{text}"),
                    "reasoning" | "tool_result" | "notice" if is_v2 => assert!(chunk.data.is_some(), "{text}"),
                    "tool_call" if is_v2 => {
                        assert!(chunk.data.is_none() && chunk.metadata["tool_call"].is_object(), "{text}");
                    }
                    "metadata" if is_v2 => {
                        let says = ["progress", "confirm"].iter().any(|key| chunk.metadata.contains_key(*key));
                        assert!(chunk.data.is_none() && says, "{text}");
                    }
                    _ => panic!("{text}"),
                }
                assert!(self.open.contains(&id), "a chunk of nothing: {text}");
                self.count(&id, chunk, text);
            }
            ("complete", Some(chunk), None) => {
                assert!(chunk.kind == "metadata" && chunk.data.is_none(), "{text}");
                if let Some(topics) = chunk.metadata.get("topics").and_then(Value::as_array) {
                    self.topics = topics.iter().filter_map(|topic| topic.as_str().map(ToOwned::to_owned)).collect();
                }
                if chunk.metadata.contains_key("provider") || chunk.metadata.contains_key("tool") {
                    self.count(&id, chunk, text);
                    let whole = |stream: &Stream| stream.is_sound || stream.missing == 0;
                    assert!(self.streams.values().all(|stream| stream.request_id != id || whole(stream)), "{text}");
                    self.end(&id, text);
                }
                if chunk.metadata.get("cancelled") == Some(&Value::Bool(true)) {
                    let stopped = |stream: &&mut Stream| stream.request_id == chunk.metadata["target"];
                    self.streams.values_mut().filter(stopped).for_each(|stream| stream.stopped = true);
                }
            }
            ("error", None, Some(error)) => {
                assert!(!error.message.is_empty(), "{text}");
                if matches!(error.code, ErrorCode::ProviderError | ErrorCode::Cancelled) {
                    self.end(&id, text);
                }
            }
            ("event", None, None) => {
                let event = frame.event.as_ref().expect("an event");
                let topic = event["topic"].as_str().expect("a topic");
                assert!(self.topics.contains(topic), "nobody asked for it: {text}");
                assert!(event.contains_key("reread") != event.contains_key("key"), "{text}");
            }
            _ => panic!("this is no message of the protocol: {text}"),
        }
    }

    fn count(&mut self, id: &str, chunk: &Chunk, text: &str) {
        let next = self.indices.entry(id.to_owned()).or_insert(Some(0));
        if let (Some(next), Some(index)) = (*next, chunk.index) {
            assert_eq!(index, next, "a gap in a request: {text}");
        }
        *next = chunk.index.or(*next).map(|index| index + 1);
    }

    fn end(&mut self, id: &str, text: &str) {
        assert!(self.open.remove(id), "a second end: {text}");
        self.indices.remove(id);
        // Frames may still come twice; the name is free.
        let of_it = self.streams.values_mut().filter(|stream| stream.request_id == id);
        of_it.for_each(|stream| stream.request_id.clear());
    }

    /// What a client does after a gap.
    fn start_over(&mut self, snapshot: &Value, seq: u64) {
        let topics = snapshot["topics"].as_array().into_iter().flatten();
        self.topics = topics.map(|topic| topic.as_str().expect("a name").to_owned()).collect();
        assert_eq!(snapshot["last_seq"].as_u64(), Some(seq));
        self.open.clear();
        self.indices.clear();
        self.streams.clear();
        self.had_gap = true;
        for request in snapshot["requests"].as_array().expect("a list") {
            let id = request["request_id"].as_str().expect("a name").to_owned();
            assert!(request["text"].is_string() && request["cut"].is_boolean(), "{request}");
            match request["status"].as_str() {
                Some("processing") => {
                    self.indices.insert(id.clone(), None);
                    self.open.insert(id);
                }
                Some("complete") => assert!(request["metadata"].is_object(), "{request}"),
                Some("error") => assert!(request["error"].is_object(), "{request}"),
                _ => panic!("{request}"),
            }
        }
    }
}

/// A message of the hub's; nothing else may be in one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    request_id: Option<String>,
    status: String,
    seq: Option<u64>,
    chunk: Option<Chunk>,
    error: Option<ErrorBody>,
    event: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunk {
    #[serde(rename = "type")]
    kind: String,
    data: Option<String>,
    index: Option<u64>,
    metadata: Map<String, Value>,
}

/// A `hello` that the hub may take as such, and with it the feature.
pub fn asks_for_binary(text: &str) -> bool {
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    let features = frame["payload"]["features"].as_array();
    frame["action"] == "hello" && features.is_none_or(|list| list.iter().any(|feature| feature == "binary"))
}

/// A message without what a cancel takes from it.
fn without_media(text: &str) -> Value {
    let mut frame: Value = serde_json::from_str(text).expect("it was read before");
    if ["image", "audio"].iter().any(|kind| frame["chunk"]["type"] == *kind) {
        frame["chunk"]["data"].take();
    }
    frame
}
