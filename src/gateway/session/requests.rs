//! The requests of one session: those that run, and those that ended lately, so that nothing runs twice. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::error::ErrorBody;
use crate::common::rate::TokenBucket;
use crate::gateway::session::called::Called;
use crate::gateway::session::delay::Delays;
use crate::router::{Ask, TurnKey};

/// How long an ended request answers a repeat of itself.
pub const FINISHED_TTL: Duration = Duration::from_secs(5 * 60);

/// Ended requests kept, each some 100 bytes beside its text.
const FINISHED_MAX: usize = 1024;

/// Text of ended requests kept, all together.
const FINISHED_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Text of one request kept for a repeat or a snapshot. What is longer is cut there and said to be.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Text of running requests kept, all together: some 250 answers of the usual length.
const RUNNING_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The field of a tool's end that holds its result.
pub const RESULT: &str = "result";

/// Notices kept of one request.
const NOTICES_MAX: usize = 16;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Chat,
    Image,
    Speak,
    Tool,
}

impl Kind {
    /// The word of the wire.
    pub fn action(self) -> &'static str {
        match self {
            Kind::Chat => "chat",
            Kind::Image => "image",
            Kind::Speak => "speak",
            Kind::Tool => "tool",
        }
    }
}

/// A request that runs.
#[derive(Debug)]
pub struct Running {
    pub request_id: Box<str>,
    pub kind: Kind,
    /// Chats have one.
    pub conversation_id: Option<Box<str>>,
    fingerprint: u64,
    pub asked_at: Instant,
    /// Chunks sent, and so the next one's index.
    pub chunks: u64,
    pub text: KeptText,
    notices: Vec<Value>,
    /// The client has stopped it: what still comes is not for its eyes.
    pub cancelled: bool,
    /// Which message of the answer is coming: more than 0 where another provider went on.
    pub message: u32,
    /// What is still to be fetched before it can begin. Rare, and so boxed, as what follows.
    pub waiting: Option<Box<Ask>>,
    pub media: Option<Box<MediaSent>>,
    /// Of a `tool`.
    pub call: Option<Box<OwnCall>>,
    pub delays: Box<Delays>,
}

/// The call of a `tool`.
#[derive(Debug)]
pub struct OwnCall {
    pub tool: Box<str>,
    /// Steps of it that may be told.
    pub steps: TokenBucket,
    /// Of its result, once that is there: what keeping it costs.
    pub result_bytes: usize,
}

/// What a request has sent beside its text.
#[derive(Debug, Default)]
pub struct MediaSent {
    pub bytes: u64,
    /// The number of the message whose picture may still be on its way.
    pub open_picture: Option<u64>,
    pub sound: Option<Sound>,
}

impl MediaSent {
    /// The numbers of the messages whose frames may still be on their way.
    pub fn open(&self) -> impl Iterator<Item = u64> {
        [self.open_picture, self.sound.and_then(|sound| sound.announced)].into_iter().flatten()
    }
}

/// The speech of a request: one stream.
#[derive(Debug, Clone, Copy)]
pub struct Sound {
    pub stream_id: u32,
    /// Of the next frame.
    pub index: u32,
    /// The sentence that was announced last, and the number of that message.
    pub sentence: u32,
    pub announced: Option<u64>,
    /// The client has been told of the stream.
    pub is_named: bool,
}

/// The text of an answer as far as it is kept.
#[derive(Debug, Clone, Default)]
pub struct KeptText {
    pub text: String,
    pub cut: bool,
    /// Tools that the model called for it. Rare, and so boxed.
    pub called: Option<Box<Called>>,
    /// Of a tool's result, which lies in the end of its request.
    result_bytes: usize,
}

impl Running {
    /// The notices so far, as a field of the end; `None` where there were none.
    pub fn take_notices(&mut self) -> Option<Value> {
        (!self.notices.is_empty()).then(|| Value::Array(std::mem::take(&mut self.notices)))
    }
}

impl KeptText {
    /// Keeps a piece if it is within the limits, `room` among them; gives back the bytes kept.
    fn push(&mut self, piece: &str, room: usize) -> usize {
        self.cut |= piece.len() > room.min(TEXT_BYTES_MAX - self.text.len());
        if self.cut {
            return 0;
        }
        self.text.push_str(piece);
        piece.len()
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.result_bytes + self.called.as_ref().map_or(0, |called| called.bytes())
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Complete(Map<String, Value>),
    Error(ErrorBody),
}

/// A request that has ended.
#[derive(Debug)]
pub struct Finished {
    pub request_id: Box<str>,
    pub conversation_id: Option<Box<str>>,
    fingerprint: u64,
    ended_at: Instant,
    pub text: KeptText,
    pub end: End,
}

/// What a request_id means when it comes (again).
#[derive(Debug)]
pub enum Known<'a> {
    New,
    /// Runs already, with the same payload.
    Runs(&'a Running),
    Ended(&'a Finished),
    /// Stands for another request.
    Reused,
}

#[derive(Debug, Default)]
pub struct Requests {
    running: BTreeMap<TurnKey, Running>,
    running_text_bytes: usize,
    finished: VecDeque<Finished>,
    finished_text_bytes: usize,
    next_key: TurnKey,
}

/// The same action with the same payload has the same fingerprint. Not for enemies: a client that finds a collision
/// gets its own earlier answer.
pub fn fingerprint(action: &str, payload: Option<&str>) -> u64 {
    let text = payload.unwrap_or_default();
    // Parsed and written again, so that white space and the order of keys do not count. A number or a depth that cannot be
    // held in memory is possible in fields that nobody reads: then they do count.
    let canonical = serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string());
    let mut hasher = DefaultHasher::new();
    (action, canonical).hash(&mut hasher);
    hasher.finish()
}

impl Requests {
    /// What `request_id` stands for by now.
    pub fn look_up(&mut self, now: Instant, request_id: &str, fingerprint: u64) -> Known<'_> {
        self.forget_old(now);
        if let Some(running) = self.running.values().find(|one| &*one.request_id == request_id) {
            return if running.fingerprint == fingerprint { Known::Runs(running) } else { Known::Reused };
        }
        match self.finished.iter().find(|one| &*one.request_id == request_id) {
            Some(finished) if finished.fingerprint == fingerprint => Known::Ended(finished),
            Some(_) => Known::Reused,
            None => Known::New,
        }
    }

    /// Whether `request_id` stands for anything.
    pub fn knows(&self, request_id: &str) -> bool {
        self.key_of(request_id).is_some() || self.finished.iter().any(|one| &*one.request_id == request_id)
    }

    pub fn begin(
        &mut self,
        now: Instant,
        request_id: &str,
        kind: Kind,
        conversation_id: Option<Box<str>>,
        fingerprint: u64,
    ) -> TurnKey {
        let key = self.next_key;
        self.next_key = key.wrapping_add(1);
        let running = Running {
            request_id: request_id.into(),
            kind,
            conversation_id,
            fingerprint,
            asked_at: now,
            chunks: 0,
            text: KeptText::default(),
            notices: Vec::new(),
            cancelled: false,
            message: 0,
            waiting: None,
            media: None,
            call: None,
            delays: Box::default(),
        };
        self.running.insert(key, running);
        key
    }

    pub fn get_mut(&mut self, key: TurnKey) -> Option<&mut Running> {
        self.running.get_mut(&key)
    }

    /// Whether a request runs that its client has not stopped.
    pub fn is_wanted(&self, key: TurnKey) -> bool {
        self.running.get(&key).is_some_and(|running| !running.cancelled)
    }

    /// Keeps a piece of a running request's answer.
    pub fn keep_text(&mut self, key: TurnKey, piece: &str) {
        if let Some(running) = self.running.get_mut(&key) {
            self.running_text_bytes +=
                running.text.push(piece, RUNNING_TEXT_BYTES_MAX.saturating_sub(self.running_text_bytes));
        }
    }

    /// Changes what is kept of the tools that a running request called; `change` gets the room for it and returns the bytes that
    /// it took.
    pub fn keep_called(&mut self, key: TurnKey, change: impl FnOnce(&mut Called, usize) -> usize) {
        if let Some(running) = self.running.get_mut(&key) {
            let room = RUNNING_TEXT_BYTES_MAX.saturating_sub(self.running_text_bytes);
            self.running_text_bytes += change(running.text.called.get_or_insert_default(), room);
        }
    }

    /// Keeps a notice for the end of a running request.
    pub fn keep_notice(&mut self, key: TurnKey, notice: &str) {
        if let Some(running) = self.running.get_mut(&key).filter(|running| running.notices.len() < NOTICES_MAX) {
            running.notices.push(notice.into());
        }
    }

    /// From now on texts are kept: of what has begun they are not whole.
    pub fn cut_begun(&mut self) {
        for running in self.running.values_mut() {
            running.text.cut |= running.chunks > 0;
        }
    }

    /// The running request of this name.
    pub fn key_of(&self, request_id: &str) -> Option<TurnKey> {
        self.running.iter().find(|(_, one)| &*one.request_id == request_id).map(|(key, _)| *key)
    }

    pub fn running(&self) -> impl ExactSizeIterator<Item = &Running> + DoubleEndedIterator {
        self.running.values()
    }

    /// Ended ones, oldest first.
    pub fn finished(&self) -> impl DoubleEndedIterator<Item = &Finished> {
        self.finished.iter()
    }

    /// Takes an ended request from the running ones; its end is kept where `keep`, for repeats.
    pub fn finish(&mut self, now: Instant, key: TurnKey, end: &End, keep: bool) -> Option<Running> {
        let mut running = self.running.remove(&key)?;
        self.running_text_bytes -= running.text.bytes();
        if keep {
            let mut text = std::mem::take(&mut running.text);
            text.result_bytes = running.call.as_ref().map_or(0, |call| call.result_bytes);
            self.finished_text_bytes += text.bytes();
            self.finished.push_back(Finished {
                request_id: running.request_id.clone(),
                conversation_id: running.conversation_id.clone(),
                fingerprint: running.fingerprint,
                ended_at: now,
                text,
                end: end.clone(),
            });
            self.forget_old(now);
        }
        Some(running)
    }

    /// Takes out whatever runs.
    pub fn abandon(&mut self) -> impl Iterator<Item = (TurnKey, Running)> {
        self.running_text_bytes = 0;
        std::mem::take(&mut self.running).into_iter()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(oldest) = self.finished.front()
            && (now.saturating_duration_since(oldest.ended_at) > FINISHED_TTL || self.finished.len() > FINISHED_MAX)
        {
            self.finished_text_bytes -= oldest.text.bytes();
            self.finished.pop_front();
        }
        // Over the limit the oldest texts go and the ends stay: what ran does still not run again.
        let mut at = 0;
        while self.finished_text_bytes > FINISHED_TEXT_BYTES_MAX && at < self.finished.len() {
            let finished = &mut self.finished[at];
            let bytes = finished.text.bytes();
            self.finished_text_bytes -= bytes;
            finished.text = KeptText { cut: finished.text.cut || bytes > 0, ..KeptText::default() };
            if let End::Complete(metadata) = &mut finished.end {
                metadata.remove(RESULT);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    #[test]
    fn the_same_payload_has_the_same_fingerprint_in_any_order() {
        let one = fingerprint("chat", Some(r#"{"text":"a","mode":"auto"}"#));
        assert_eq!(one, fingerprint("chat", Some(r#"{ "mode" : "auto", "text":"\u0061" }"#)));
        assert_ne!(one, fingerprint("chat", Some(r#"{"text":"b","mode":"auto"}"#)));
        assert_ne!(one, fingerprint("tool", Some(r#"{"text":"a","mode":"auto"}"#)));
    }

    #[test]
    fn payloads_that_no_value_can_hold_differ_too() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        for odd in ["1e999", &deep] {
            let of = |text: &str| fingerprint("chat", Some(&format!(r#"{{"text":"{text}","later":{odd}}}"#)));
            assert_eq!(of("a"), of("a"));
            assert_ne!(of("a"), of("b"));
        }
    }

    #[test]
    fn an_ended_request_is_known_for_its_time() {
        let now = Instant::now();
        let mut requests = Requests::default();
        let key = requests.begin(now, "a", Kind::Chat, None, 1);
        assert!(matches!(requests.look_up(now, "a", 1), Known::Runs(_)));
        assert!(matches!(requests.look_up(now, "a", 2), Known::Reused));
        requests.finish(now, key, &End::Complete(Map::new()), true).expect("it ran");
        assert!(matches!(requests.look_up(now + FINISHED_TTL, "a", 1), Known::Ended(_)));
        assert!(matches!(requests.look_up(now, "a", 2), Known::Reused));
        assert!(matches!(requests.look_up(now + FINISHED_TTL + Duration::from_millis(1), "a", 2), Known::New));
    }

    #[test]
    fn kept_texts_and_requests_are_bounded() {
        let now = Instant::now();
        let mut requests = Requests::default();
        for at in 0..2000 {
            let key = requests.begin(now, &at.to_string(), Kind::Chat, None, 1);
            requests.keep_text(key, &"x".repeat(100_000));
            requests.keep_text(key, &"x".repeat(TEXT_BYTES_MAX));
            assert!(requests.get_mut(key).expect("it runs").text.cut);
            requests.finish(now, key, &End::Complete(Map::new()), true).expect("it ran");
        }
        assert_eq!(requests.finished.len(), FINISHED_MAX);
        let bytes: usize = requests.finished.iter().map(|one| one.text.text.len()).sum();
        assert_eq!(bytes, requests.finished_text_bytes);
        assert!(bytes <= FINISHED_TEXT_BYTES_MAX);
        assert!(matches!(requests.look_up(now, "1999", 1), Known::Ended(one) if !one.text.text.is_empty()));
        assert!(matches!(requests.look_up(now, "0", 1), Known::New));
    }

    #[test]
    fn texts_of_running_requests_are_bounded_together() {
        let now = Instant::now();
        let mut requests = Requests::default();
        let keys: Vec<_> = (0..100).map(|at| requests.begin(now, &at.to_string(), Kind::Chat, None, 1)).collect();
        for key in &keys {
            requests.keep_text(*key, &"x".repeat(100_000));
        }
        let kept = |requests: &Requests| requests.running().map(|one| one.text.text.len()).sum::<usize>();
        assert_eq!((kept(&requests), requests.running_text_bytes), (1_000_000, 1_000_000));
        assert_eq!(requests.running().filter(|one| one.text.cut).count(), 90);
        requests.finish(now, keys[0], &End::Complete(Map::new()), false).expect("it ran");
        let key = requests.begin(now, "new", Kind::Chat, None, 1);
        requests.keep_text(key, &"x".repeat(100_000));
        assert_eq!((kept(&requests), requests.running_text_bytes), (1_000_000, 1_000_000));
        assert_eq!(requests.abandon().count(), 100);
        assert_eq!(requests.running_text_bytes, 0);
    }
}
