//! One WebSocket session as a state machine: frames, news of turns and the time come in; frames and [`Action`]s go out.
//! Holds no socket, no timer and no task; `ws` drives it. A v2 session outlives its socket.

mod actions;
mod asks;
mod frames;
mod media;
pub mod standing;
#[cfg(test)]
mod tests;
mod tools;
mod topics;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{News, TurnEvent};
use crate::common::limits::RESUME_TTL;
use crate::common::rate::TokenBucket;
use crate::common::time::UnixMillis;
use crate::gateway::session::attachments::Named;
use crate::gateway::session::close::{self, Close};
use crate::gateway::session::outbox::{Held, Outbox, Stamp};
use crate::gateway::session::replay::{Kept, Missed, Replay};
use crate::gateway::session::report::Report;
use crate::gateway::session::requests::Requests;
use crate::gateway::session::state::standing::{Shown, Standing};
use crate::gateway::session::topics::Topic;
use crate::gateway::session::transmit::Transmit;
use crate::gateway::session::wire::{self, ChunkType};
use crate::router::{Job, TurnKey};

pub use tools::{Called, RESULT_BYTES_MAX};

/// A socket that was silent for so long is asked whether it lives.
const PING_AFTER: Duration = Duration::from_secs(30);

/// A socket that was silent for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(75);

/// A client that takes not one byte for so long is too slow.
const BLOCKED_MAX: Duration = Duration::from_secs(10);

/// Messages waiting for a client that reads slowly, bytes. Pictures and sound are not among them.
const OUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages that may come at once, and how fast the right to more comes back.
const MESSAGES_BURST: u32 = 1024;
const MESSAGE_EVERY: Duration = Duration::from_millis(5);

/// Malformed messages in a row after which nobody sensible can be there.
const MALFORMED_MAX: u32 = 512;

/// Reports that wait for the delays of their last chunks. A client that never takes everything never tells them.
const REPORTS_MAX: usize = 256;

/// Running requests may end by themselves for so long when the hub goes down.
const DRAIN_FOR: Duration = Duration::from_secs(5);

/// What a session needs done.
#[derive(Debug, PartialEq)]
pub enum Action {
    Start {
        key: TurnKey,
        job: Job,
    },
    /// Get these from the store and call [`Session::handle_fetched`]. Its request may be gone by then.
    Fetch {
        key: TurnKey,
        named: Vec<Named>,
    },
    /// Call this tool; what comes of it goes to [`Session::handle_step`] and [`Session::handle_called`].
    Call {
        key: TurnKey,
        called: Called,
    },
    Cancel {
        key: TurnKey,
    },
    /// Ask the gate, read nothing until it has answered, and call [`Session::handle_authenticated`].
    Authenticate {
        request_id: Option<String>,
        shown: Shown,
    },
    /// Listen to these from now on, and to nothing else; what is there of those in `load` comes first. All of it goes to
    /// [`Session::handle_heard`].
    Watch {
        topics: Vec<Topic>,
        load: Vec<Topic>,
    },
    /// This session can be resumed from now on.
    Register {
        session_id: Box<str>,
    },
    /// And from now on not any more.
    Unregister,
    /// Hand the socket over to that session, or call [`Session::handle_not_resumed`].
    Resume {
        session_id: String,
        request_id: Option<String>,
        last_seq: u64,
    },
}

/// See the module.
pub struct Session {
    fresh_id: fn(char) -> String,
    standing: Standing,
    wrong_tokens: u8,
    /// Who speaks: for the log.
    client: Option<Box<str>>,
    version: u8,
    /// v2 only.
    session_id: Option<Box<str>>,
    resumable: bool,
    reasoning: bool,
    binary: bool,
    events: bool,
    confirms: bool,
    confirming: tools::Confirming,
    elicits: bool,
    asking: tools::Asking,
    watching: topics::Watching,
    seq: u64,
    /// Streams of binary frames so far.
    streams: u32,
    replay: Replay,
    /// The conversation of chats that name none.
    conversation_id: Option<Box<str>>,
    requests: Requests,
    unnamed: u32,
    out: Outbox,
    /// Chunks that are with the socket and not known to be sent.
    in_flight: Vec<Stamp>,
    ended: VecDeque<Report>,
    actions: VecDeque<Action>,
    bucket: TokenBucket,
    malformed_in_row: u32,
    attached: bool,
    closing: bool,
    drain_by: Option<Instant>,
    heard_at: Instant,
    pinged: bool,
    /// When the socket last took a byte, while it has more to take.
    blocked_since: Option<Instant>,
    written: u64,
    detached_at: Instant,
}

impl Session {
    /// A session whose socket has just been opened, by somebody who was let in. `v2`: the client asked for it with the subprotocol.
    pub fn new(now: Instant, fresh_id: fn(char) -> String, v2: bool) -> Session {
        let mut session = Session {
            fresh_id,
            standing: Standing::In { until: None },
            wrong_tokens: 0,
            client: None,
            version: 1,
            session_id: None,
            resumable: false,
            reasoning: false,
            binary: false,
            events: false,
            confirms: false,
            confirming: tools::Confirming::default(),
            elicits: false,
            asking: tools::Asking::default(),
            watching: topics::Watching::default(),
            seq: 0,
            streams: 0,
            replay: Replay::default(),
            conversation_id: None,
            requests: Requests::default(),
            unnamed: 0,
            out: Outbox::default(),
            in_flight: Vec::new(),
            ended: VecDeque::new(),
            actions: VecDeque::new(),
            bucket: TokenBucket::new(MESSAGES_BURST, MESSAGE_EVERY, now),
            malformed_in_row: 0,
            attached: true,
            closing: false,
            drain_by: None,
            heard_at: now,
            pinged: false,
            blocked_since: None,
            written: 0,
            detached_at: now,
        };
        let mut metadata = map(json!({
            "server": "hearth",
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": wire::VERSIONS,
        }));
        if v2 {
            // Nobody has said yet that the client takes binary frames, or that somebody is there to confirm.
            let features = wire::FEATURES
                .into_iter()
                .filter(|feature| ![wire::BINARY, wire::CONFIRM, wire::ELICIT].contains(feature));
            metadata.append(&mut session.become_v2(Some(&features.map(Into::into).collect::<Vec<_>>())));
            metadata.insert("protocol".into(), json!(wire::VERSIONS));
        }
        session.complete(Some("welcome"), &metadata);
        session
    }

    // What goes out.

    /// The next message for the socket. Once it has been handed over, call [`Session::handle_flushed`].
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let (transmit, stamp) = self.out.next()?;
        self.in_flight.extend(stamp);
        let released = self.out.take_released();
        self.release(released);
        Some(transmit)
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The story of a request that has ended, for the log.
    pub fn poll_report(&mut self) -> Option<Report> {
        // While its last chunks are with the socket, their delays are not known.
        let is_known = self.in_flight.is_empty() && self.out.is_empty();
        if is_known || self.ended.len() > REPORTS_MAX { self.ended.pop_front() } else { None }
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.attached {
            let ttl = self.detached_at + RESUME_TTL;
            return self.is_resumable().then_some(self.standing.ends_at().map_or(ttl, |end| end.min(ttl)));
        }
        if self.closing {
            return None;
        }
        let silence = self.heard_at + if self.pinged { DEAD_AFTER } else { PING_AFTER };
        let blocked = self.blocked_since.map(|since| since + BLOCKED_MAX);
        [Some(silence), blocked, self.drain_by, self.standing.ends_at()].into_iter().flatten().min()
    }

    /// Whether news of turns may be brought in. False holds the providers back.
    pub fn wants_news(&self) -> bool {
        !self.closing && self.out.wants_news()
    }

    /// A close frame has been queued; nothing comes after it. The socket is to be given what is queued, ready or not, and
    /// left: whoever makes us hang up need not take our goodbye.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether the session goes on when its socket is gone.
    pub fn is_resumable(&self) -> bool {
        self.resumable && self.drain_by.is_none() && !self.is_stranger()
    }

    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    // What comes in.

    /// A text message of the client's.
    pub fn handle_text(&mut self, now: Instant, unix_ms: UnixMillis, text: &str) {
        if !self.heard(now) {
            return;
        }
        let frame = match wire::parse(text) {
            Ok(frame) => frame,
            Err(bad) => return self.malformed(bad.request_id.as_deref(), bad.why),
        };
        self.malformed_in_row = 0;
        let id = frame.request_id.as_deref();
        if let Some(refused) = self.turned_away(&frame.action) {
            return self.error(id, refused);
        }
        let done = match &*frame.action {
            "chat" => self.chat(now, &frame),
            "image" => self.image(now, &frame),
            "speak" => self.speak(now, &frame),
            "hello" => wire::payload(&frame).map(|hello| self.hello(id, &hello)),
            "auth" => self.auth(&frame),
            "tool" => self.tool(now, &frame),
            "confirm" => self.confirm(&frame),
            "answer" => self.answer(&frame),
            "subscribe" => self.subscribe(&frame),
            "unsubscribe" => self.unsubscribe(&frame),
            "cancel" => self.cancel(now, &frame),
            "resume" => wire::payload(&frame).map(|resume| self.resume(id, resume)),
            "ping" => self.ping(&frame, unix_ms),
            action => {
                self.error(id, unknown(action));
                Ok(())
            }
        };
        if let Err(why) = done {
            self.error(id, ErrorBody::new(ErrorCode::BadRequest, why));
        }
    }

    /// A binary message: nothing of this hub's takes one yet.
    pub fn handle_binary(&mut self, now: Instant, bytes: &[u8]) {
        if self.heard(now) {
            self.malformed(
                None,
                format!("a binary message of {} bytes; requests are text messages of JSON", bytes.len()),
            );
        }
    }

    /// A ping or a pong: somebody is there.
    pub fn handle_control(&mut self, now: Instant) {
        self.heard(now);
    }

    /// The client broke the WebSocket protocol itself.
    pub fn handle_broken(&mut self, close: Close) {
        self.close(close.code);
    }

    /// The socket took everything that it was given.
    pub fn handle_flushed(&mut self, now: Instant) {
        self.blocked_since = None;
        for stamp in std::mem::take(&mut self.in_flight) {
            let delay = now.saturating_duration_since(stamp.received_at);
            if let Some(running) = self.requests.get_mut(stamp.key) {
                running.delays.record(delay);
            } else if let Some(report) = self.ended.iter_mut().find(|report| report.key == stamp.key) {
                report.delays.record(delay);
            }
        }
    }

    /// The socket takes nothing more at the moment, and has taken `written` bytes since it was opened.
    pub fn handle_blocked(&mut self, now: Instant, written: u64) {
        if self.blocked_since.is_none() || written != self.written {
            // Who takes a large picture bit by bit is there, though its pong waits behind all of it.
            if self.blocked_since.is_some() {
                self.heard_at = now;
            }
            self.blocked_since = Some(now);
            self.written = written;
        }
    }

    /// News of a running turn.
    pub fn handle_news(&mut self, now: Instant, key: TurnKey, event: TurnEvent) {
        // Who has stopped a request waits for nothing more of it.
        if self.out.must_wait(key, &event.news) && self.requests.is_wanted(key) {
            return self.out.hold(now, key, event);
        }
        let TurnEvent { received_at, news } = event;
        match news {
            News::Done(summary) => self.turn_done(now, key, *summary),
            News::Failed(failure) => self.turn_failed(now, key, *failure),
            News::Text(text) => {
                if self.version >= 2 && self.requests.is_wanted(key) {
                    self.requests.keep_text(key, &text);
                }
                self.chunk(key, received_at, ChunkType::Text, Some(&text), &Map::new());
            }
            News::Reasoning(text) if self.reasoning => {
                self.chunk(key, received_at, ChunkType::Reasoning, Some(&text), &Map::new())
            }
            News::ToolCall(delta) => self.tool_call(key, received_at, &delta),
            News::ToolResult(result) => self.tool_result(key, received_at, &result),
            News::ToolStep(step) => self.tool_step(key, received_at, &step),
            News::Confirm(question) => self.ask_to_confirm(key, received_at, *question),
            News::Notice(text) => {
                self.requests.keep_notice(key, &text);
                if self.version >= 2 {
                    self.chunk(key, received_at, ChunkType::Notice, Some(&text), &Map::new());
                }
            }
            News::Image(piece) => self.picture(key, received_at, *piece),
            News::Audio(piece) => self.sound(key, received_at, *piece),
            News::Progress(progress) if self.version >= 2 => {
                let metadata = wire::metadata(&wire::ProgressMetadata { progress });
                self.chunk(key, received_at, ChunkType::Metadata, None, &metadata);
            }
            News::Message(number) => {
                if let Some(running) = self.requests.get_mut(key) {
                    running.message = number;
                    running.text.called.as_mut().into_iter().for_each(|called| called.begin_round());
                }
            }
            News::Reasoning(_) | News::Progress(_) => {}
        }
    }

    /// The hub is going down: what runs may end, nothing new begins.
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.drain_by.get_or_insert(now + DRAIN_FOR);
        if !self.attached {
            self.abandon(now);
        }
        self.close_if_drained();
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.drain_by.is_some_and(|by| now >= by) {
            return self.close(close::GOING_AWAY);
        }
        if self.standing.ends_at().is_some_and(|end| now >= end) {
            return self.handle_void(now);
        }
        if !self.attached {
            if now >= self.detached_at + RESUME_TTL {
                self.resumable = false;
                self.abandon(now);
            }
            return;
        }
        if self.blocked_since.is_some_and(|since| now >= since + BLOCKED_MAX) || now >= self.heard_at + DEAD_AFTER {
            self.close(close::TOO_SLOW);
        } else if !self.pinged && now >= self.heard_at + PING_AFTER {
            self.pinged = true;
            self.out.push(Transmit::Ping, None);
        }
    }

    /// The socket is gone. `has_place`: there is room for one more session without a socket. See then whether it
    /// [is resumable](Session::is_resumable); if not, this was its end and the end of what it ran.
    pub fn handle_detached(&mut self, now: Instant, has_place: bool) {
        self.resumable &= has_place;
        self.attached = false;
        self.detached_at = now;
        self.forget_socket(now);
        if !self.is_resumable() {
            self.abandon(now);
        }
    }

    /// Another socket is there, whose client has everything up to `last_seq`.
    pub fn handle_attached(&mut self, now: Instant, request_id: Option<&str>, last_seq: u64) {
        // Before the new socket is there: what waited for the old one is numbered and kept, and comes with all the rest.
        self.attached = false;
        self.forget_socket(now);
        self.attached = true;
        if let Some(Missed { pieces, messages }) = self.replay.after(last_seq) {
            let count = messages.len();
            pieces.into_iter().for_each(|(key, piece)| self.out.push_piece(key, piece));
            for message in messages {
                match message {
                    Kept::Text(text) => self.out.push(Transmit::Text(text), None),
                    Kept::Announced(one) => {
                        self.out.push(Transmit::Text(one.text), None);
                        one.pieces.into_iter().for_each(|piece| self.out.push_piece(one.key, piece));
                    }
                    Kept::Spelled(one) => self.out.push_spelled(one.0, one.1, None),
                }
            }
            let ttl_s = RESUME_TTL.as_secs();
            let metadata = map(json!({ "session_id": self.session_id, "replayed": count, "resume_ttl_s": ttl_s }));
            self.complete(request_id, &metadata);
        } else {
            let text = format!(
                "of this session, message {} is not here (any more); take the state as it is now",
                last_seq.saturating_add(1)
            );
            let error = ErrorBody { snapshot: Some(self.snapshot()), ..ErrorBody::new(ErrorCode::ResumeGap, text) };
            self.error(request_id, error);
            self.reread_all();
        }
        self.close_if_drained();
    }

    /// There is no such session to hand the socket to.
    pub fn handle_not_resumed(&mut self, request_id: Option<&str>) {
        let text = format!(
            "there is no such session (any more; one lives {} s without a socket): say hello",
            RESUME_TTL.as_secs()
        );
        self.error(request_id, ErrorBody::new(ErrorCode::NotFound, text));
    }

    // What waits, and the socket.

    /// Brings in what had to wait.
    fn release(&mut self, held: VecDeque<Held>) {
        for (came_at, key, event) in held {
            self.handle_news(came_at, key, event);
        }
    }

    /// Notes a sign of life; false when it is one too many.
    fn heard(&mut self, now: Instant) -> bool {
        self.heard_at = now;
        self.pinged = false;
        if !self.closing && !self.bucket.take(now) {
            self.close(close::FLOOD);
        }
        !self.closing
    }

    fn malformed(&mut self, id: Option<&str>, why: String) {
        self.malformed_in_row += 1;
        self.error(id, ErrorBody::new(ErrorCode::BadRequest, why));
        if self.malformed_in_row > MALFORMED_MAX {
            self.close(close::MALFORMED);
        }
    }

    /// Closes the socket after what is queued, or at once where the client does not read anyway.
    fn close(&mut self, code: u16) {
        if self.closing || !self.attached {
            return;
        }
        // Who is too slow takes nothing more, and a picture would keep everybody else waiting.
        let held = if code == close::TOO_SLOW { self.out.clear() } else { self.out.drop_picture() };
        self.closing = true;
        self.out.push(Transmit::Close(Close::of(code)), None);
        self.release(held);
    }

    fn close_if_drained(&mut self) {
        if self.drain_by.is_some() && self.requests.running().len() == 0 {
            self.close(close::GOING_AWAY);
        }
    }

    fn forget_socket(&mut self, now: Instant) {
        let held = self.out.clear();
        self.in_flight.clear();
        self.closing = false;
        self.blocked_since = None;
        self.pinged = false;
        self.heard_at = now;
        self.malformed_in_row = 0;
        self.release(held);
    }
}

fn unknown(action: &str) -> ErrorBody {
    let shown = wire::shown(action);
    ErrorBody::new(ErrorCode::UnknownAction, format!("there is no action {shown:?}; GET /api/protocol.json lists them"))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => unreachable!("written above as an object: {other}"),
    }
}
