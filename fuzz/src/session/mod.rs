//! One session, driven by bytes as its driver would drive it, with a client at the other end that checks every message.

mod client;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::common::chat::{ImagePiece, Media, Progress, Stage, ToolCallDelta};
use hearth::common::error::{ErrorBody, ErrorCode};
use hearth::common::events::{Answerer, ConfirmNews, News, ToolResultNews, TurnEvent, TurnFailure, TurnSummary};
use hearth::common::limits::RESUME_TTL;
use hearth::common::speech::AudioPiece;
use hearth::common::who::{Door, Principal};
use hearth::gateway::session::close::Close;
use hearth::gateway::session::state::{Action, Session};
use hearth::gateway::session::topics::{Heard, Told, Topic};
use hearth::gateway::session::transmit::Transmit;
use hearth::mcp::{Fault, Note, Outcome, ToolOutput};
use hearth::router::TurnKey;
use serde_json::json;
use tokio::sync::oneshot;

use client::Client;

/// What may wait for a client, with one message more, bytes.
const WAITING_BYTES_MAX: usize = 5 * 1024 * 1024;

/// What a client may say. Inputs choose among these, change a byte, or write their own.
const SAYINGS: [&str; 33] = [
    r#"{"action":"chat","payload":{"text":"hi"},"request_id":"a"}"#,
    r#"{"action":"chat","payload":{"text":"ho"},"request_id":"a"}"#,
    r#"{"action":"chat","payload":{"text":"hi"},"request_id":"b"}"#,
    r#"{ "request_id":"b", "payload":{"text":"hi"}, "action":"chat" }"#,
    r#"{"action":"chat","payload":{"text":"hi","conversation_id":"k","mode":"local"}}"#,
    r#"{"action":"hello","payload":{"protocol":[2]},"request_id":"h"}"#,
    r#"{"action":"hello","payload":{"protocol":[1,2],"features":[]},"request_id":"h"}"#,
    r#"{"action":"hello","payload":{"protocol":[2],"features":["resume"],"client":{"name":"f"}}}"#,
    r#"{"action":"hello","payload":{"protocol":[1]},"request_id":"h"}"#,
    r#"{"action":"cancel","payload":{"target":"a"},"request_id":"x"}"#,
    r#"{"action":"cancel","payload":{"target":"b"}}"#,
    r#"{"action":"ping","payload":{"t":[1,{"a":null}]},"request_id":"p"}"#,
    r#"{"action":"resume","payload":{"session_id":"s-other","last_seq":3},"request_id":"r"}"#,
    r#"{"action":"resume","payload":{"session_id":"s-0","last_seq":0},"request_id":"r"}"#,
    r#"{"action":"dance","request_id":"a"}"#,
    r#"{"action":"chat","payload":{"text":7},"request_id":"a"}"#,
    r#"{"action":"hello","payload":{"protocol":[2],"features":["resume","binary"]},"request_id":"h"}"#,
    r#"{"action":"hello","payload":{"protocol":[2],"features":["binary"]},"request_id":"h"}"#,
    r#"{"action":"image","payload":{"prompt":"a cat","n":2,"partial_images":1},"request_id":"a"}"#,
    r#"{"action":"image","payload":{"prompt":"a cat","n":9},"request_id":"i"}"#,
    r#"{"action":"speak","payload":{"text":"hi","format":"wav"},"request_id":"b"}"#,
    r#"{"action":"chat","payload":{"text":"hi","voice":{"speak":true}},"request_id":"v"}"#,
    r#"{"action":"chat","payload":{"text":"hi","attachments":[{"blob_id":"b-1"},{"mime":"image/gif","data":"R0lGODlh"}]},"request_id":"f"}"#,
    r#"{"action":"cancel","payload":{"target":"f"},"request_id":"x"}"#,
    r#"{"action":"tool","payload":{"name":"lights.set","arguments":{"on":true}},"request_id":"a"}"#,
    r#"{"action":"tool","payload":{"name":"lights.set"},"request_id":"t"}"#,
    r#"{"action":"tool","payload":{"arguments":7},"request_id":"t"}"#,
    r#"{"action":"cancel","payload":{"target":"t"},"request_id":"x"}"#,
    r#"{"action":"hello","payload":{"protocol":[2],"features":["resume","events","confirm"]},"request_id":"h"}"#,
    r#"{"action":"subscribe","payload":{"topics":["settings","tools"],"snapshot":true},"request_id":"s"}"#,
    r#"{"action":"subscribe","payload":{"topics":["conversations","conversation/c-1","users"]},"request_id":"z"}"#,
    r#"{"action":"unsubscribe","payload":{"topics":["settings","conversation/c-1"]},"request_id":"u"}"#,
    r#"{"action":"confirm","payload":{"confirm_id":"q","accept":true},"request_id":"y"}"#,
];

/// Every message is of the protocol, numbers have no gap, each request ends once, nothing follows a close frame, nothing
/// waits without bound, no timer is always due. Binary frames belong to streams that were announced, have no gap, begin and end
/// once, and stop with a cancel. Events are of topics that were subscribed to, and every question to the user gets an answer.
pub fn session(input: &[u8]) {
    let mut bytes = input.iter().copied();
    let Some(first) = bytes.next() else { return };
    let mut world = World::new(first & 1 == 1);
    while let Some(op) = bytes.next()
        && !world.is_over
    {
        world.step(op, &mut bytes);
    }
    world.finish();
}

struct World {
    session: Session,
    now: Instant,
    client: Client,
    /// The client takes what it is sent.
    reads: bool,
    attached: bool,
    is_over: bool,
    /// Turns that wait for what their client has named.
    fetching: BTreeMap<TurnKey, usize>,
    /// Turns that are counted.
    counted: BTreeSet<TurnKey>,
    /// Turns that have been started and not told their last news.
    turns: BTreeSet<TurnKey>,
    cancelled: BTreeSet<TurnKey>,
    /// Tools that are at work.
    calls: BTreeSet<TurnKey>,
    topics: Vec<Topic>,
    /// What is still to be told of what is there.
    loading: VecDeque<Topic>,
    /// Who waits for the user's word.
    asked: Vec<oneshot::Receiver<bool>>,
    started: usize,
    reported: usize,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
    fn new(v2: bool) -> World {
        let now = Instant::now();
        let mut world = World {
            session: Session::new(now, |kind| format!("{kind}-0"), v2),
            now,
            client: Client::default(),
            reads: true,
            attached: true,
            is_over: false,
            fetching: BTreeMap::new(),
            counted: BTreeSet::new(),
            turns: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            calls: BTreeSet::new(),
            topics: Vec::new(),
            loading: VecDeque::new(),
            asked: Vec::new(),
            started: 0,
            reported: 0,
        };
        world.session.speaks_for(&Arc::new(Principal::house(Door::Websocket)));
        world.settle();
        world
    }

    fn step(&mut self, op: u8, bytes: &mut impl Iterator<Item = u8>) {
        let mut next = || bytes.next().unwrap_or_default();
        match op % 16 {
            0..=2 => self.say(SAYINGS[usize::from(next()) % SAYINGS.len()]),
            3 => {
                let mut text = SAYINGS[usize::from(next()) % SAYINGS.len()].as_bytes().to_vec();
                let at = usize::from(next()) % text.len();
                text[at] = next();
                self.say(&String::from_utf8_lossy(&text));
            }
            4 => {
                let len = next();
                let text: Vec<u8> = (0..len).map(|_| next()).collect();
                self.say(&String::from_utf8_lossy(&text));
            }
            5 if self.attached => match next() % 4 {
                0 => self.session.handle_binary(self.now, b"\0"),
                1 => self.session.handle_broken(Close::of(1002)),
                _ => self.session.handle_control(self.now),
            },
            6..=9 => {
                let (which, what, size) = (next(), next(), next());
                self.news(which, what, size);
            }
            10 => {
                let unit = [1, 100, 1_000, 20_000][usize::from(next()) % 4];
                self.wait(Duration::from_millis(unit * u64::from(next())));
            }
            11 if self.attached => self.lose_socket(next() % 8 != 0),
            12 => {
                let back = match next() {
                    way @ 0..=199 => self.client.heard.saturating_sub(u64::from(way % 8)),
                    // Never been: the session knows better.
                    way => self.client.heard + u64::from(way) * 1_000_000,
                };
                self.resume(back);
            }
            13 => self.reads = !self.reads,
            14 => match next() {
                0 => self.session.handle_shutdown(self.now),
                way @ 150..200 => self.heard(way),
                way @ 200.. => self.called(way),
                way => self.fetched(way % 3 > 0),
            },
            15 => {
                for _ in 0..next() {
                    self.say(SAYINGS[usize::from(op) % SAYINGS.len()]);
                }
            }
            _ => {}
        }
        self.settle();
    }

    fn say(&mut self, text: &str) {
        if self.attached && !self.client.would_be_confused_by(text) {
            self.client.binary |= client::asks_for_binary(text);
            self.session.handle_text(self.now, 0, text);
            self.settle();
        }
    }

    /// What the oldest request waits for has come, or not.
    fn fetched(&mut self, is_there: bool) {
        let Some((key, count)) = self.fetching.pop_first() else { return };
        let media = || Media { mime: "image/gif".into(), data: b"GIF89a"[..].into() };
        let gone = ErrorBody::new(ErrorCode::ProviderError, "gone");
        let fetched = if is_there { Ok((0..count).map(|_| media()).collect()) } else { Err(gone) };
        self.session.handle_fetched(self.now, key, fetched);
        self.settle();
    }

    /// A tool tells of a step, or comes to its end.
    fn called(&mut self, way: u8) {
        let Some(key) = self.calls.first().copied().filter(|_| self.session.wants_news()) else { return };
        if way.is_multiple_of(3) {
            let note =
                Note { progress: f64::from(way), total: None, message: Some("é".repeat(usize::from(way) * 100)) };
            return self.session.handle_step(self.now, key, &note);
        }
        self.calls.remove(&key);
        let outcome = match way % 3 {
            1 => Ok(Outcome::Done(ToolOutput::text("é".repeat([1, 300_000][usize::from(way) % 2])))),
            _ => Err(Fault::new(ErrorCode::ProviderError, "no")),
        };
        self.session.handle_called(self.now, key, outcome);
    }

    /// Something was there, changed or was missed.
    fn heard(&mut self, way: u8) {
        if !self.session.wants_events() {
            return;
        }
        let topic = self.topics[usize::from(way) % self.topics.len()].clone();
        let told = |topic: &Topic| {
            let family = topic.families()[0];
            let record =
                (!way.is_multiple_of(5)).then(|| json!({ "value": "é".repeat([1, 20_000][usize::from(way) % 2]) }));
            Arc::new(Told::new(family, "c-1", 1, record.is_none(), record))
        };
        let heard = match self.loading.pop_front() {
            Some(topic) if !way.is_multiple_of(4) => {
                let told = told(&topic);
                self.loading.push_front(topic.clone());
                Heard::There { topic, told }
            }
            Some(topic) => Heard::AllThere { topic, is_whole: !way.is_multiple_of(8) },
            None if way.is_multiple_of(7) => Heard::Missed(topic),
            None => Heard::Changed(told(&topic)),
        };
        self.session.handle_heard(&heard);
    }

    fn question(&mut self) -> News {
        let (answer, answered) = Answerer::new();
        self.asked.push(answered);
        News::Confirm(Box::new(ConfirmNews {
            confirm_id: "q".into(),
            tool: "lights.set".into(),
            title: None,
            arguments: json!({}),
            expires_in_s: 60,
            answer,
        }))
    }

    fn news(&mut self, which: u8, what: u8, size: u8) {
        if !self.session.wants_news() {
            assert!(self.attached, "without a socket there is nobody to wait for");
            return;
        }
        let len = self.turns.len().max(1);
        let known = self.turns.iter().nth(usize::from(which) % len).copied();
        let Some(key) = known.filter(|_| which != 255) else {
            // Of a turn that has ended, or never was.
            let event = TurnEvent { received_at: self.now, news: News::Text("late".into()) };
            return self.session.handle_news(self.now, TurnKey::MAX - 1, event);
        };
        let text = "é".repeat([1, 1, 50, 20_000][usize::from(size % 4)]).into();
        let news = match what % 20 {
            0..=2 => News::Text(text),
            3 => News::Reasoning(text),
            4 => News::ToolCall(Box::default()),
            5 => News::Notice(text),
            6 => done(),
            7 => failed(),
            8..=10 => picture(size),
            11..=13 => sound(size),
            16 => News::ToolCall(Box::new(tool_call(size))),
            17 => News::ToolResult(Box::new(tool_result(text))),
            18 => self.question(),
            14 => News::Progress(Progress { stage: Stage::Prompt, done: 1, total: 2 }),
            _ => News::Message(u32::from(size)),
        };
        if news.is_last() {
            self.turns.remove(&key);
        }
        self.session.handle_news(self.now, key, TurnEvent { received_at: self.now, news });
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while !self.is_over
            && let Some(due) = self.session.poll_timeout().filter(|due| *due <= end)
        {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            assert!(self.session.poll_timeout().is_none_or(|due| due > self.now), "a timer that is always due");
            self.settle();
        }
        self.now = end;
    }

    fn lose_socket(&mut self, has_place: bool) {
        self.session.handle_detached(self.now, has_place);
        self.attached = false;
        self.settle();
        self.is_over = !self.session.is_resumable();
    }

    fn resume(&mut self, last_seq: u64) {
        // A client that has heard no number does not know the session's name either.
        if !self.session.is_resumable() || self.client.heard == 0 {
            return;
        }
        self.session.handle_attached(self.now, None, last_seq);
        (self.attached, self.reads) = (true, true);
        self.client.closed = false;
        self.client.expected = Some(last_seq + 1);
    }

    /// What the driver does after everything.
    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Start { key, .. } => {
                    assert!(self.turns.insert(key), "two turns with one key");
                    self.started += usize::from(self.counted.insert(key));
                }
                Action::Fetch { key, named } => {
                    self.fetching.insert(key, named.len());
                    self.counted.insert(key);
                    self.started += 1;
                }
                Action::Call { key, .. } => {
                    self.calls.insert(key);
                    self.started += usize::from(self.counted.insert(key));
                }
                Action::Cancel { key } => {
                    self.calls.remove(&key);
                    self.cancelled.insert(key);
                }
                Action::Watch { topics, load } => {
                    self.loading.extend(load);
                    self.loading.retain(|topic| topics.contains(topic));
                    self.topics = topics;
                }
                Action::Authenticate { request_id, .. } => {
                    let refused = ErrorBody::new(ErrorCode::Unauthenticated, "no");
                    self.session.handle_authenticated(request_id.as_deref(), None, Err(refused));
                }
                Action::Resume { request_id, .. } => self.session.handle_not_resumed(request_id.as_deref()),
                Action::Register { .. } | Action::Unregister => {}
            }
        }
        if self.attached && self.session.is_closing() {
            self.deliver();
            assert!(self.client.closed, "a session that closes says so");
            return self.lose_socket(true);
        }
        if self.attached && self.reads {
            self.deliver();
            self.session.handle_flushed(self.now);
        } else if self.attached {
            self.session.handle_blocked(self.now, 0);
        } else {
            assert!(self.session.poll_transmit().is_none(), "something for a socket that is not there");
        }
        while self.session.poll_report().is_some() {
            self.reported += 1;
        }
        self.is_over |= !self.attached && !self.session.is_resumable();
    }

    fn deliver(&mut self) {
        let mut waiting = 0;
        while let Some(transmit) = self.session.poll_transmit() {
            waiting += match &transmit {
                Transmit::Text(text) | Transmit::Fragment { text, .. } => text.len(),
                Transmit::Binary(bytes) => bytes.len(),
                Transmit::Ping | Transmit::Close(_) => 0,
            };
            self.client.take(&transmit);
        }
        assert!(waiting <= WAITING_BYTES_MAX, "{waiting} bytes were waiting");
    }

    /// Lets everything end, and counts.
    fn finish(mut self) {
        if !self.is_over && !self.attached {
            self.resume(self.client.heard);
        }
        if !self.attached {
            self.wait(RESUME_TTL);
        }
        self.reads = true;
        self.settle();
        while !self.fetching.is_empty() {
            self.fetched(false);
        }
        for key in std::mem::take(&mut self.calls) {
            if !self.is_over {
                self.session.handle_called(self.now, key, Ok(Outcome::Done(ToolOutput::text("done"))));
                self.settle();
            }
        }
        for key in std::mem::take(&mut self.turns) {
            if !self.is_over {
                self.session.handle_news(self.now, key, TurnEvent { received_at: self.now, news: done() });
                self.settle();
            }
        }
        if !self.is_over {
            assert_eq!(self.client.open, BTreeSet::new(), "some request never ended");
            self.lose_socket(false);
        }
        self.settle();
        assert_eq!(self.reported, self.started, "one report for each request");
        for mut asked in self.asked.drain(..) {
            assert_ne!(asked.try_recv(), Err(oneshot::error::TryRecvError::Empty), "somebody waits for ever");
        }
        let before = self.now;
        self.wait(RESUME_TTL * 2);
        assert!(self.now > before && self.session.poll_timeout().is_none(), "over, and still waiting");
    }
}

fn done() -> News {
    News::Done(Box::new(TurnSummary {
        image_blobs: Vec::new(),
        messages: 1,
        conversation_id: "c-0".into(),
        provider: "p".into(),
        model: "m".into(),
        usage: None,
        finish: None,
        refused: false,
        first_token_ms: None,
        total_ms: 1,
    }))
}

fn tool_call(size: u8) -> ToolCallDelta {
    let id = (size & 8 > 0).then(|| "x".to_owned());
    ToolCallDelta { index: u32::from(size % 4), name: id.clone(), id, arguments: "é".repeat(usize::from(size) * 20) }
}

fn tool_result(text: Box<str>) -> ToolResultNews {
    ToolResultNews { call_id: "x".into(), name: "x".into(), text, is_error: false, ms: 1, structured: None }
}

fn failed() -> News {
    let error = ErrorBody::new(ErrorCode::ProviderError, "no");
    News::Failed(Box::new(TurnFailure { error, provider: None, model: None, first_token_ms: None, total_ms: 1 }))
}

fn picture(size: u8) -> News {
    let data = vec![size; [0, 10, 70_000, 600_000][usize::from(size % 4)]].into();
    let media = Media { mime: "image/png".into(), data };
    News::Image(Box::new(ImagePiece { index: u32::from(size / 64), partial: (size & 4 > 0).then_some(0), media }))
}

fn sound(size: u8) -> News {
    let data = vec![size; [0, 2, 2_400, 300_000][usize::from(size % 4)]].into();
    let (sentence, text) = (u32::from(size / 64), (size & 4 > 0).then(|| "é.".into()));
    let (format, last) = (Default::default(), size & 8 > 0);
    News::Audio(Box::new(AudioPiece { format, sentence, text, at_ms: 7, last, data }))
}
