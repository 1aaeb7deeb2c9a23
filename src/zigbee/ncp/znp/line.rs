//! Requests on the serial line, one at a time as Z-Stack wants it (MT API §2.2): sent, answered by the SRSP of the same command,
//! repeated where that does no harm, given up at a deadline. Knows no order of commands and no network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::zigbee::framing::unpi::{self, Decoder, Frame, Peer};
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::mt::{self, Command, Message};

/// Requests that wait for the line. Scripts wait with one each, sends are bounded by what is in flight; more is a fault.
const QUEUE_LEN_MAX: usize = 64;

/// Silence after which a frame that has begun will not end. A frame takes 22 ms at 115,200 baud; the rest is for sticks on a
/// network, whose bytes come in pieces.
const FRAME_PAUSE_MAX: Duration = Duration::from_millis(120);

/// How long the answers to a repeated request may lag behind the first answer. Until then no other request of the same command
/// goes out, since answers do not say which request they belong to.
const LATE_ANSWER_MAX: Duration = Duration::from_millis(400);

/// An answer that was garbled is asked for again after this, where asking again does no harm.
const GARBLED_PATIENCE: Duration = Duration::from_millis(60);

/// How long one try may take, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub timeout: Duration,
    pub tries: u8,
}

impl Patience {
    pub const fn new(timeout_ms: u64, tries: u8) -> Patience {
        Patience { timeout: Duration::from_millis(timeout_ms), tries }
    }

    /// What a command is given. Whatever makes the stick say something on the air that must not be said twice is tried once.
    pub fn of(command: &Command) -> Patience {
        let is = |other: &Command| std::ptr::eq(command, other);
        if is(&SYS_PING) {
            Patience::new(500, 3)
        } else if is(&AF_DATA_REQUEST) || is(&AF_DATA_REQUEST_EXT) {
            // The confirm tells as well, so the line need not be held for the answer.
            Patience::new(500, 1)
        } else if is(&ZDO_STARTUP_FROM_APP) || is(&APP_CNF_BDB_START_COMMISSIONING) {
            // Answered when the network layer is through: seconds on a CC2531.
            Patience::new(10_000, 1)
        } else if is(&SYS_OSAL_NV_WRITE_EXT) || is(&SYS_OSAL_NV_ITEM_INIT) || is(&SYS_NV_WRITE) || is(&SYS_NV_CREATE) {
            // Flash is tidied up at times.
            Patience::new(3_000, 3)
        } else {
            Patience::new(1_500, 3)
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("no answer")]
    Silent,
    /// Not understood (MT API §2.3), with the code.
    #[error("the stick does not know the command (code {0})")]
    Rpc(u8),
    /// The line is gone, or the stick has started anew.
    #[error("the stick is gone")]
    Gone,
    #[error("too much is waiting for the stick")]
    Full,
}

/// What came of bytes.
#[derive(Debug, PartialEq)]
pub enum Heard<O> {
    Answer(O, Result<Message, AskError>),
    /// An AREQ.
    Told(Message),
}

/// The line. `O` says whose a request is.
#[derive(Debug)]
pub struct Line<O> {
    decoder: Decoder,
    queue: VecDeque<Ask<O>>,
    pending: Option<Pending<O>>,
    /// Answers that may still come to requests that were repeated.
    late: Option<Late>,
    out: VecDeque<Vec<u8>>,
    heard: VecDeque<Heard<O>>,
    /// When the frame that has begun is given up.
    frame_ends_at: Option<Instant>,
}

#[derive(Debug)]
struct Ask<O> {
    owner: O,
    command: &'static Command,
    bytes: Vec<u8>,
    patience: Patience,
}

#[derive(Debug)]
struct Pending<O> {
    ask: Ask<O>,
    sent: u8,
    give_up_at: Instant,
}

#[derive(Debug)]
struct Late {
    command: &'static Command,
    answers: u8,
    until: Instant,
}

impl<O: PartialEq> Line<O> {
    pub fn new() -> Line<O> {
        Line {
            decoder: Decoder::new(Peer::Stick),
            queue: VecDeque::new(),
            pending: None,
            late: None,
            out: VecDeque::new(),
            heard: VecDeque::new(),
            frame_ends_at: None,
        }
    }

    /// Asks; the answer comes as [`Heard::Answer`] with `owner`, exactly once.
    pub fn ask(&mut self, now: Instant, owner: O, message: &Message, patience: Patience) {
        let bytes = message.frame().ok().and_then(|frame| frame.encode());
        let Some(bytes) = bytes.filter(|_| self.queue.len() < QUEUE_LEN_MAX) else {
            self.heard.push_back(Heard::Answer(owner, Err(AskError::Full)));
            return;
        };
        self.queue.push_back(Ask { owner, command: message.command, bytes, patience });
        self.send_next(now);
    }

    /// Says what nobody answers.
    pub fn tell(&mut self, message: &Message) {
        self.out.extend(message.frame().ok().and_then(|frame| frame.encode()));
    }

    /// The owner has learned by another way that its request was heard: it need not wait for the answer, which may come yet.
    pub fn settle(&mut self, now: Instant, owner: &O) {
        if let Some(pending) = self.pending.take_if(|pending| pending.ask.owner == *owner) {
            self.expect_late(now, &pending, pending.sent);
            self.send_next(now);
        }
    }

    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let rubbish = self.decoder.rubbish_len();
        self.decoder.push(bytes);
        self.take_frames(now);
        if self.decoder.rubbish_len() != rubbish {
            self.expect_no_more(now);
        }
        self.frame_ends_at = self.decoder.is_within_frame().then(|| now + FRAME_PAUSE_MAX);
        // Only now: an answer that came twice in one piece must not be taken for that to the next request.
        self.send_next(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.frame_ends_at.is_some_and(|at| at <= now) {
            self.decoder.give_up();
            self.take_frames(now);
            self.expect_no_more(now);
            self.frame_ends_at = self.decoder.is_within_frame().then(|| now + FRAME_PAUSE_MAX);
        }
        if let Some(mut pending) = self.pending.take_if(|pending| pending.give_up_at <= now) {
            if pending.sent < pending.ask.patience.tries {
                tracing::debug!(command = pending.ask.command.name, "no answer; asked again");
                pending.sent += 1;
                pending.give_up_at = now + pending.ask.patience.timeout;
                self.out.push_back(pending.ask.bytes.clone());
                self.pending = Some(pending);
            } else {
                self.close(now, pending, Err(AskError::Silent));
            }
        }
        self.late.take_if(|late| late.until <= now);
        self.send_next(now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let late = self.late.as_ref().filter(|_| self.pending.is_none() && !self.queue.is_empty());
        let pending = self.pending.as_ref().map(|pending| pending.give_up_at);
        [self.frame_ends_at, pending, late.map(|late| late.until)].into_iter().flatten().min()
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub fn poll_heard(&mut self) -> Option<Heard<O>> {
        self.heard.pop_front()
    }

    /// The stick has started anew or is gone: nothing that was asked will be answered. What it has said before is kept.
    pub fn reset(&mut self) {
        let asks = self.pending.take().map(|pending| pending.ask).into_iter().chain(self.queue.drain(..));
        self.heard.extend(asks.map(|ask| Heard::Answer(ask.owner, Err(AskError::Gone))));
        self.late = None;
        self.out.clear();
    }

    /// As [`Line::reset`], and what is left of the bytes of the old connection goes, too.
    pub fn clear(&mut self) {
        self.reset();
        self.decoder.clear();
        self.frame_ends_at = None;
    }

    fn take_frames(&mut self, now: Instant) {
        while let Some(frame) = self.decoder.next_frame() {
            if frame.kind == unpi::Kind::Srsp {
                self.take_answer(now, &frame);
                continue;
            }
            match mt::decode(&frame) {
                Ok(message) => self.heard.push_back(Heard::Told(message)),
                Err(error) => tracing::debug!(%error, "the stick said something that is passed over"),
            }
        }
    }

    fn take_answer(&mut self, now: Instant, frame: &Frame) {
        let error = mt::as_rpc_error(frame);
        let key = error.map_or((frame.subsystem, frame.id), |error| (error.command & 0x1f, error.id));
        let is_it = |command: &Command| (command.subsystem as u8, command.id) == key;
        if let Some(pending) = self.pending.take_if(|pending| is_it(pending.ask.command)) {
            let answer = match error {
                Some(error) => Err(AskError::Rpc(error.code)),
                None => match mt::decode(frame) {
                    Ok(message) => Ok(message),
                    Err(error) => {
                        tracing::debug!(%error, "an answer that cannot be read");
                        self.pending = Some(pending);
                        return;
                    }
                },
            };
            self.close(now, pending, answer);
        } else if let Some(late) = self.late.as_mut().filter(|late| is_it(late.command)) {
            late.answers -= 1;
            self.late.take_if(|late| late.answers == 0);
        } else {
            tracing::debug!(subsystem = frame.subsystem, id = frame.id, "an answer that nobody asked for");
        }
    }

    fn close(&mut self, now: Instant, pending: Pending<O>, answer: Result<Message, AskError>) {
        let answers = if answer == Err(AskError::Silent) { pending.sent } else { pending.sent - 1 };
        self.expect_late(now, &pending, answers);
        self.heard.push_back(Heard::Answer(pending.ask.owner, answer));
    }

    fn expect_late(&mut self, now: Instant, pending: &Pending<O>, answers: u8) {
        if answers > 0 {
            self.late = Some(Late { command: pending.ask.command, answers, until: now + LATE_ANSWER_MAX });
        }
    }

    /// Something was garbled, and it may well have been the answer.
    fn expect_no_more(&mut self, now: Instant) {
        if let Some(pending) = &mut self.pending
            && pending.sent < pending.ask.patience.tries
        {
            pending.give_up_at = pending.give_up_at.min(now + GARBLED_PATIENCE);
        }
    }

    fn send_next(&mut self, now: Instant) {
        if self.pending.is_some() {
            return;
        }
        let Some(next) = self.queue.front() else { return };
        if self.late.as_ref().is_some_and(|late| std::ptr::eq(late.command, next.command) && now < late.until) {
            return;
        }
        let Some(ask) = self.queue.pop_front() else { return };
        self.out.push_back(ask.bytes.clone());
        self.pending = Some(Pending { give_up_at: now + ask.patience.timeout, ask, sent: 1 });
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
