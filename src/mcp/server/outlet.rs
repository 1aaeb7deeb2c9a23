//! What is said to a client on one stream: kept until it is taken, and after that for as long as a client may ask for it
//! again (`Last-Event-ID`). `Log` is pure; `Outlet` is it with a bell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::mcp::rpc::{Id, RpcError};

/// Kept of one stream, bytes. Past it the oldest go, answers last of all.
const LOG_BYTES_MAX: usize = 1024 * 1024;

/// Messages kept of one stream.
const LOG_LEN_MAX: usize = 1024;

/// Something that is said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A notification, or a request to the client, as it goes out.
    Message(Arc<str>),
    /// The answer to the request of this id.
    Result(Id, Arc<str>),
    Error(Id, RpcError),
}

impl Said {
    fn is_answer(&self) -> bool {
        !matches!(self, Said::Message(_))
    }

    fn len(&self) -> usize {
        match self {
            Said::Message(text) | Said::Result(_, text) => text.len(),
            Said::Error(_, error) => error.message.len() + 64,
        }
    }
}

/// What a reader finds.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// The message after the one it had, by its number; `is_last`: nothing comes after it.
    Item {
        seq: u64,
        said: Said,
        is_last: bool,
    },
    Nothing,
    /// Nothing will come, or another reader has taken its place.
    Over,
}

/// See the module. A message's number is its place on the stream, from 1.
#[derive(Debug, Default)]
pub struct Log {
    kept: VecDeque<(u64, Said)>,
    last_seq: u64,
    bytes: usize,
    /// The last one that a reader has taken.
    taken: u64,
    /// Answers that are still to come; `None`: the stream has no end of its own.
    awaited: Option<usize>,
    /// The reader is to go and come again.
    is_released: bool,
    /// Of the reader that counts.
    reader: u64,
}

impl Log {
    /// A stream that ends with so many answers.
    pub fn of_answers(awaited: usize) -> Log {
        Log { awaited: Some(awaited), ..Log::default() }
    }

    pub fn push(&mut self, said: Said) {
        if self.is_over() {
            return;
        }
        if said.is_answer() {
            self.awaited = self.awaited.map(|awaited| awaited.saturating_sub(1));
        }
        self.last_seq += 1;
        self.bytes += said.len();
        self.kept.push_back((self.last_seq, said));
        while self.bytes > LOG_BYTES_MAX || self.kept.len() > LOG_LEN_MAX {
            let Some(at) = self.kept.iter().position(|(_, said)| !said.is_answer()) else { break };
            if let Some((_, gone)) = self.kept.remove(at) {
                self.bytes -= gone.len();
            }
        }
    }

    /// Says it, unless the same waits to be taken already.
    pub fn push_once(&mut self, text: &str) {
        let untaken = self.kept.iter().rev().take_while(|(seq, _)| *seq > self.taken);
        let is_new = !untaken.into_iter().any(|(_, said)| matches!(said, Said::Message(waiting) if &**waiting == text));
        if is_new {
            self.push(Said::Message(text.into()));
        }
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Notes how far the reader that counts has come.
    pub fn took(&mut self, seq: u64) {
        self.taken = self.taken.max(seq);
    }

    /// Ends the stream without the answers that are still awaited.
    pub fn close(&mut self) {
        self.awaited = Some(0);
    }

    pub fn is_over(&self) -> bool {
        self.awaited == Some(0)
    }

    /// Sends the reader away; what is said meanwhile is there when it comes again (SEP-1699).
    pub fn release(&mut self) {
        self.is_released = true;
    }

    /// A new reader, in the place of the one before.
    pub fn attach(&mut self) -> u64 {
        self.is_released = false;
        self.reader += 1;
        self.reader
    }

    pub fn is_reader(&self, reader: u64) -> bool {
        reader == self.reader
    }

    pub fn next(&self, reader: u64, taken: u64) -> Next {
        if reader != self.reader {
            return Next::Over;
        }
        match self.kept.iter().find(|(seq, _)| *seq > taken) {
            Some((seq, said)) => {
                let is_last = self.is_over() && *seq == self.last_seq;
                Next::Item { seq: *seq, said: said.clone(), is_last }
            }
            None if self.is_over() || self.is_released => Next::Over,
            None => Next::Nothing,
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A log and a bell that rings with every change. Whoever waits for the bell looks at the log first.
#[derive(Debug, Default)]
pub struct Outlet {
    log: Mutex<Log>,
    bell: Notify,
}

impl Outlet {
    pub fn new(log: Log) -> Arc<Outlet> {
        Arc::new(Outlet { log: Mutex::new(log), bell: Notify::new() })
    }

    /// Changes the log, and rings.
    pub fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(&mut self.log());
        self.ring();
        result
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ring(&self) {
        self.bell.notify_waiters();
    }

    /// Says a notification or a request.
    pub fn say(&self, text: String) {
        self.change(|log| log.push(Said::Message(text.into())));
    }

    /// Waits until `look` finds something; it is asked again at every change.
    pub async fn wait<T>(&self, mut look: impl FnMut(&Log) -> Option<T>) -> T {
        loop {
            let mut bell = std::pin::pin!(self.bell.notified());
            bell.as_mut().enable();
            if let Some(found) = look(&self.log()) {
                return found;
            }
            bell.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Said {
        Said::Message(text.into())
    }

    fn result(text: &str) -> Said {
        Said::Result(Id::Number(1), text.into())
    }

    #[test]
    fn a_stream_ends_with_its_last_answer_and_can_be_read_again() {
        let mut log = Log::of_answers(2);
        let first = log.attach();
        assert_eq!(log.next(first, 0), Next::Nothing);
        for said in [message("a"), result("b"), result("c"), message("too late")] {
            log.push(said);
        }
        assert_eq!(log.next(first, 0), Next::Item { seq: 1, said: message("a"), is_last: false });
        assert_eq!(log.next(first, 2), Next::Item { seq: 3, said: result("c"), is_last: true });
        assert_eq!(log.next(first, 3), Next::Over);
        let second = log.attach();
        assert_eq!(log.next(first, 0), Next::Over, "the place is taken");
        assert!(matches!(log.next(second, 1), Next::Item { seq: 2, .. }));
    }

    #[test]
    fn a_reader_that_is_sent_away_finds_the_rest_when_it_comes_again() {
        let mut log = Log::of_answers(1);
        let first = log.attach();
        log.release();
        assert_eq!(log.next(first, 0), Next::Over);
        log.push(result("b"));
        let second = log.attach();
        assert!(matches!(log.next(second, 0), Next::Item { is_last: true, .. }));
    }

    #[test]
    fn what_is_kept_is_bounded_and_answers_stay() {
        let mut log = Log::of_answers(2);
        log.push(result(&"r".repeat(LOG_BYTES_MAX)));
        for number in 0..3 * LOG_LEN_MAX {
            log.push(message(&format!("{number}")));
        }
        let reader = log.attach();
        assert!(matches!(log.next(reader, 0), Next::Item { seq: 1, .. }));
        assert!(log.bytes() <= LOG_BYTES_MAX + 8 && log.kept.len() <= LOG_LEN_MAX);
        let mut many = Log::default();
        (0..2 * LOG_LEN_MAX).for_each(|number| many.push(message(&format!("{number}"))));
        assert_eq!(many.kept.len(), LOG_LEN_MAX);
        many.push_once("2047");
        assert_eq!(many.last_seq, 2048, "it waits already");
        many.took(2048);
        many.push_once("2047");
        assert_eq!(many.last_seq, 2049, "the one before has been taken");
    }
}
