//! Plays a session with a clock of its own: what a client says, what turns tell, and what comes of it, word for word.
#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]

mod asks;
mod limits;
mod media;
mod requests;
mod resume;
mod standing;
mod tools;
mod topics;
mod v1;
mod v2;

use serde_json::Value;

use super::*;
use crate::common::chat::{FinishReason, Usage};
use crate::common::events::{TurnFailure, TurnSummary};
use crate::router::Job;

const SECOND: Duration = Duration::from_secs(1);
const UNIX_MS: UnixMillis = 1_700_000_000_000;

/// A session, its clock, and a client that reads (unless told not to).
struct Played {
    session: Session,
    now: Instant,
    /// Everything that the client has read, texts and more.
    heard: Vec<Transmit>,
    fragments: String,
    actions: Vec<Action>,
    reads: bool,
}

impl Played {
    fn new(v2: bool) -> Played {
        let now = Instant::now();
        let session = Session::new(now, |kind| format!("{kind}-fresh"), v2);
        let mut played =
            Played { session, now, heard: Vec::new(), fragments: String::new(), actions: Vec::new(), reads: true };
        played.drain();
        played
    }

    /// After a v1 client's welcome.
    fn v1() -> Played {
        Played::new(false)
    }

    /// After a `hello` with these features, given as JSON.
    fn v2(features: &str) -> Played {
        let mut played = Played::new(false);
        played.say(&format!(
            r#"{{"action":"hello","request_id":"h","payload":{{"protocol":[2],"features":{features}}}}}"#
        ));
        played.take_actions();
        played
    }

    /// What a client that can be resumed has said and heard so far.
    fn resumable() -> Played {
        Played::v2(r#"["resume"]"#)
    }

    /// Brings out what is there; gives back the new texts.
    fn drain(&mut self) -> Vec<String> {
        let before = self.heard.len();
        while self.reads && self.read_one() {}
        if self.reads {
            self.session.handle_flushed(self.now);
        }
        self.actions.extend(std::iter::from_fn(|| self.session.poll_action()));
        self.heard[before..].iter().filter_map(text_of).collect()
    }

    /// Takes one frame, if there is one. Fragments of a text are put together.
    fn read_one(&mut self) -> bool {
        let Some(transmit) = self.session.poll_transmit() else { return false };
        let Transmit::Fragment { text, is_first, is_last } = transmit else {
            assert!(self.fragments.is_empty() || transmit == Transmit::Ping, "amid a message: {transmit:?}");
            self.heard.push(transmit);
            return true;
        };
        assert_eq!(is_first, self.fragments.is_empty());
        self.fragments.push_str(&text);
        if is_last {
            self.heard.push(Transmit::Text(std::mem::take(&mut self.fragments).into()));
        }
        true
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        self.session.handle_text(self.now, UNIX_MS, text);
        self.drain()
    }

    /// A chat of this name, and the key of its turn.
    fn chat(&mut self, id: &str) -> TurnKey {
        self.say(&chat(id, "hi"));
        match self.actions.pop() {
            Some(Action::Start { key, .. }) => key,
            other => panic!("a start was expected: {other:?}"),
        }
    }

    fn news(&mut self, key: TurnKey, news: News) -> Vec<String> {
        self.session.handle_news(self.now, key, TurnEvent { received_at: self.now, news });
        self.drain()
    }

    fn text(&mut self, key: TurnKey, text: &str) -> Vec<String> {
        self.news(key, News::Text(text.into()))
    }

    fn done(&mut self, key: TurnKey) -> Vec<String> {
        self.news(key, News::Done(Box::new(summary())))
    }

    fn failed(&mut self, key: TurnKey, code: ErrorCode) -> Vec<String> {
        self.news(key, News::Failed(Box::new(failure(code))))
    }

    /// Lets time pass, with every deadline on the way.
    fn wait(&mut self, time: Duration) -> Vec<String> {
        let (end, mut texts) = (self.now + time, Vec::new());
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer that is always due");
            texts.extend(self.drain());
        }
        self.now = end;
        texts
    }

    fn lose_socket(&mut self) {
        self.session.handle_detached(self.now, true);
        self.drain();
    }

    fn resume(&mut self, last_seq: u64) -> Vec<String> {
        self.reads = true;
        self.session.handle_attached(self.now, Some("r"), last_seq);
        self.drain()
    }

    fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The code of the close frame, which must be the last that was heard.
    fn closed(&self) -> Option<u16> {
        let at = self.heard.iter().position(|transmit| matches!(transmit, Transmit::Close(_)))?;
        assert_eq!(at, self.heard.len() - 1, "something came after the close frame");
        match &self.heard[at] {
            Transmit::Close(close) => Some(close.code),
            _ => None,
        }
    }

    /// All messages since the first `hello`, numbered from 1 without a gap.
    fn assert_gapless(&self) {
        let texts = self.heard.iter().filter_map(text_of);
        let seqs: Vec<u64> = texts.filter_map(|text| parsed(&text)["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
}

fn text_of(transmit: &Transmit) -> Option<String> {
    if let Transmit::Text(text) = transmit { Some(text.to_string()) } else { None }
}

fn chat(id: &str, text: &str) -> String {
    format!(r#"{{"action":"chat","payload":{{"text":"{text}"}},"request_id":"{id}"}}"#)
}

fn cancel(id: &str, target: &str) -> String {
    format!(r#"{{"action":"cancel","payload":{{"target":"{target}"}},"request_id":"{id}"}}"#)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("every message is JSON")
}

/// `status` of each message, or the code of an error.
fn told(texts: &[String]) -> Vec<String> {
    let word = |text: &String| {
        let frame = parsed(text);
        let word = frame["error"]["code"].as_str().or(frame["status"].as_str());
        word.expect("a message has a status").to_owned()
    };
    texts.iter().map(word).collect()
}

fn code(texts: &[String]) -> String {
    let [one] = told(texts).try_into().expect("one message");
    one
}

fn summary() -> TurnSummary {
    TurnSummary {
        image_blobs: Vec::new(),
        messages: 1,
        conversation_id: "c-fresh".into(),
        provider: "openai".into(),
        model: "gpt-4o-mini".into(),
        usage: Some(Usage { input_tokens: 9, output_tokens: 30, ..Usage::default() }),
        finish: Some(FinishReason::Stop),
        refused: false,
        first_token_ms: Some(412),
        total_ms: 980,
    }
}

fn failure(code: ErrorCode) -> TurnFailure {
    TurnFailure { error: ErrorBody::new(code, "no"), provider: None, model: None, first_token_ms: None, total_ms: 5 }
}
