//! One speaker of one request: text goes in, sound comes out, a sentence after the other and the next one asked for ahead. Holds
//! the voices' streams and their deadlines; knows no client and no turn.
#![expect(clippy::disallowed_methods, reason = "part of a driver: it reads the clock for its deadlines")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep_until;

use crate::adapters::speech::{Speech, Spoken};
use crate::common::chat::Usage;
use crate::common::error::{ErrorBody, Failure, ProviderError};
use crate::common::speech::{AudioFormat, AudioPiece, SpeechRequest};
use crate::router::VoiceWish;
use crate::router::sentences::Sentences;
use crate::router::sound::Cutter;
use crate::router::speaker_bill::Bill;
use crate::router::usage::{End, Finished};
use crate::router::voices::Link;

/// Text that waits to be spoken, bytes: an hour of speech. What goes beyond is not spoken.
pub const WAITING_BYTES_MAX: usize = 64 * 1024;

/// From the asking for a sentence to its first sound. The slowest voices of the cloud think about each sentence.
const FIRST_SOUND_DEADLINE: Duration = Duration::from_secs(20);

/// Without a sound within a sentence.
const GAP_DEADLINE: Duration = Duration::from_secs(10);

/// What comes of speaking.
#[derive(Debug)]
pub enum Heard {
    Piece(AudioPiece),
    /// For the user's eyes; the speaking goes on.
    Notice(String),
    /// Nothing more is spoken.
    Failed(ErrorBody),
    /// All is spoken.
    Finished,
}

/// See the top of this file.
pub struct Speaker {
    chain: Vec<Link>,
    /// What each of the chain is owed.
    bills: Vec<Bill>,
    /// Who of the chain speaks by now. Whoever has failed is not asked again in this request: voices do not alternate.
    at: usize,
    lang: Option<String>,
    format: AudioFormat,
    sentences: Sentences,
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    /// No more text will come, or none that is spoken.
    text_ended: bool,
    current: Option<Saying>,
    ahead: Option<Saying>,
    cutter: Cutter,
    /// A piece has gone out.
    sounded: bool,
    /// What is to be handed out next.
    heard: VecDeque<Heard>,
    first_sound: Duration,
    gap: Duration,
    /// When the current sentence has to be heard of again.
    due: Option<Instant>,
    received_at: Instant,
    /// Why the first of the chain did not speak.
    first_failure: Option<ErrorBody>,
    over: bool,
    /// Nobody of the chain is left.
    failed: bool,
}

/// One sentence with a voice.
struct Saying {
    text: String,
    state: State,
    /// Sound has come.
    sounded: bool,
    usage: Option<Usage>,
}

enum State {
    Asked(BoxFuture<'static, Result<Speech, ProviderError>>),
    Speaking(Speech),
    Refused(ProviderError),
}

impl Saying {
    /// Until the voice has accepted or refused; for ever where it has already.
    async fn accepted(&mut self) {
        let State::Asked(asked) = &mut self.state else { return std::future::pending().await };
        self.state = match asked.await {
            Ok(speech) => State::Speaking(speech),
            Err(error) => State::Refused(error),
        };
    }

    async fn next(&mut self) -> Step {
        match &mut self.state {
            State::Asked(_) => {
                self.accepted().await;
                Step::Accepted
            }
            State::Speaking(speech) => match speech.next().await {
                Some(Ok(Spoken::Sound(sound))) => Step::Sound(Ok(sound)),
                Some(Ok(Spoken::Counted(usage))) => Step::Counted(usage),
                Some(Err(error)) => Step::Sound(Err(error)),
                None => Step::End,
            },
            State::Refused(error) => Step::Sound(Err(error.clone())),
        }
    }
}

/// What comes of one sentence.
enum Step {
    /// The voice has said whether it speaks.
    Accepted,
    Sound(Result<Bytes, ProviderError>),
    Counted(Usage),
    End,
}

impl Speaker {
    /// `chain` is not empty.
    pub fn new(chain: Vec<Link>, wish: &VoiceWish) -> Speaker {
        Speaker {
            bills: vec![Bill::default(); chain.len()],
            chain,
            at: 0,
            lang: wish.lang.clone(),
            format: wish.format,
            sentences: Sentences::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            text_ended: false,
            current: None,
            ahead: None,
            cutter: Cutter::new(wish.format),
            sounded: false,
            heard: VecDeque::new(),
            first_sound: FIRST_SOUND_DEADLINE,
            gap: GAP_DEADLINE,
            due: None,
            received_at: Instant::now(),
            first_failure: None,
            over: false,
            failed: false,
        }
    }

    /// Has this told before anything is heard.
    pub fn notify(&mut self, notice: String) {
        self.heard.push_back(Heard::Notice(notice));
    }

    /// Takes the next piece of text.
    pub fn give(&mut self, text: &str) {
        if !self.text_ended {
            self.queue(|sentences, out| sentences.push(text, out));
        }
    }

    /// No more text will come.
    pub fn end_text(&mut self) {
        if !self.text_ended {
            self.queue(Sentences::finish);
        }
        self.text_ended = true;
    }

    fn queue(&mut self, split: impl FnOnce(&mut Sentences, &mut VecDeque<String>)) {
        let mut new = VecDeque::new();
        split(&mut self.sentences, &mut new);
        for sentence in new {
            if self.waiting_bytes + sentence.len() > WAITING_BYTES_MAX {
                self.text_ended = true;
                let why = "the text comes much faster than it can be spoken: what follows is not spoken";
                self.heard.push_back(Heard::Notice(why.into()));
                return;
            }
            self.waiting_bytes += sentence.len();
            self.waiting.push_back(sentence);
        }
    }

    /// Whether anything waits to be spoken.
    pub fn has_words(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether anything has been heard.
    pub fn has_sounded(&self) -> bool {
        self.sounded
    }

    /// Who speaks.
    pub fn voice(&self) -> &Link {
        &self.chain[self.at]
    }

    /// Falls silent at once, and hands what each voice did to `record`. What a voice has taken on is paid, heard or not.
    pub fn close(mut self, user: &str, profile: &str, mut record: impl FnMut(&Finished<'_>)) {
        for saying in [self.current.take(), self.ahead.take()].into_iter().flatten() {
            self.bill(&saying);
        }
        for (at, (bill, link)) in self.bills.iter().zip(&self.chain).enumerate() {
            let end = if at < self.at || self.failed {
                End::Failed
            } else if self.over {
                End::Whole
            } else {
                End::Cancelled
            };
            bill.finished(user, profile, link, end).iter().for_each(&mut record);
        }
    }

    fn bill(&mut self, saying: &Saying) {
        if matches!(saying.state, State::Speaking(_)) {
            self.bills[self.at].add(&saying.text, saying.usage);
        }
    }

    /// When the bytes of what was handed out last had come.
    pub fn received_at(&self) -> Instant {
        self.received_at
    }

    /// The end of the sound, where the speaking is broken off after it had begun.
    pub fn last_piece(&mut self) -> Option<AudioPiece> {
        self.sounded.then(|| self.cutter.last())
    }

    /// What comes next. Waits as long as there is nothing to say and more text may come; can be dropped and called again.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if self.over {
                return Heard::Finished;
            }
            if self.current.is_none() && !self.begin() {
                if !self.text_ended {
                    return std::future::pending().await;
                }
                self.over = true;
                let last = self.last_piece();
                self.heard.extend(last.map(Heard::Piece));
                continue;
            }
            self.ask_ahead();
            let wait = if self.cutter.is_heard() { self.gap } else { self.first_sound };
            let due = *self.due.get_or_insert_with(|| Instant::now() + wait);
            let current = self.current.as_mut().expect("one was begun just now, or before");
            let ahead = async {
                match &mut self.ahead {
                    Some(saying) => saying.accepted().await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                step = current.next() => step,
                () = ahead => continue,
                () = sleep_until(due.into()) => {
                    let why = format!("no sound within {} s", wait.as_secs_f32());
                    Step::Sound(Err(ProviderError::new(Failure::Timeout, why)))
                }
            };
            match step {
                // The deadline is for the sound, and the next sentence can be asked for now.
                Step::Accepted => continue,
                Step::Sound(Ok(sound)) => self.hear(&sound),
                Step::Sound(Err(error)) => self.fail(error),
                Step::Counted(usage) => current.usage = Some(usage),
                Step::End => self.end_sentence(),
            }
            self.due = None;
        }
    }

    /// Begins the next sentence; false where there is none.
    fn begin(&mut self) -> bool {
        self.current = self.ahead.take().or_else(|| self.ask_next());
        if let Some(saying) = &self.current {
            self.cutter.begin(&saying.text);
        }
        self.current.is_some()
    }

    /// Asks for the next sentence while this one is spoken, so that there is no gap between them.
    fn ask_ahead(&mut self) {
        let is_speaking = self.current.as_ref().is_some_and(|saying| matches!(saying.state, State::Speaking(_)));
        if is_speaking && self.ahead.is_none() {
            self.ahead = self.ask_next();
        }
    }

    fn ask_next(&mut self) -> Option<Saying> {
        let text = self.waiting.pop_front()?;
        self.waiting_bytes -= text.len();
        Some(self.ask(text))
    }

    fn ask(&mut self, text: String) -> Saying {
        self.bills[self.at].ask();
        let link = self.voice();
        // The header of a `wav` is written here, over samples.
        let format = if self.format == AudioFormat::Wav { AudioFormat::Pcm } else { self.format };
        let (voice, lang) = (link.own.clone(), self.lang.clone());
        tracing::debug!(voice = link.name.as_str(), bytes = text.len(), "speaking");
        let asked = link.voice.say(SpeechRequest { text: text.clone(), voice, lang, format });
        Saying { text, state: State::Asked(asked), sounded: false, usage: None }
    }

    fn hear(&mut self, sound: &Bytes) {
        self.received_at = Instant::now();
        if let Some(saying) = &mut self.current {
            saying.sounded = true;
        }
        match self.cutter.push(sound) {
            Ok(pieces) => self.hand_out(pieces),
            Err(too_long) => self.fail(ProviderError::new(Failure::BadStream, too_long.to_string())),
        }
    }

    fn end_sentence(&mut self) {
        if let Some(saying) = self.current.take() {
            self.bill(&saying);
        }
        let mut pieces = self.cutter.end();
        if self.text_ended && self.waiting.is_empty() && self.ahead.is_none() {
            self.over = true;
            match pieces.last_mut() {
                Some(piece) => piece.last = true,
                None => pieces.extend(self.last_piece()),
            }
        }
        self.hand_out(pieces);
    }

    fn hand_out(&mut self, pieces: Vec<AudioPiece>) {
        self.sounded |= !pieces.is_empty();
        self.heard.extend(pieces.into_iter().map(Heard::Piece));
    }

    /// The voice has failed: another begins the sentence anew, as long as nothing of it has been heard.
    fn fail(&mut self, error: ProviderError) {
        let saying = self.current.take().expect("only a sentence that is spoken fails");
        // Nobody is paid for silence.
        if saying.sounded {
            self.bill(&saying);
        }
        let name = self.voice().name.as_str();
        tracing::warn!(voice = name, error = %error, "a sentence could not be spoken");
        if !self.cutter.is_heard() && self.at + 1 < self.chain.len() {
            self.first_failure.get_or_insert_with(|| error.to_body(name));
            self.at += 1;
            let instead = self.voice().name.as_str();
            self.heard.push_back(Heard::Notice(format!("{name} does not speak: {error}; {instead} speaks instead")));
            if let Some(ahead) = self.ahead.take() {
                self.waiting_bytes += ahead.text.len();
                self.waiting.push_front(ahead.text);
            }
            self.cutter.begin(&saying.text);
            self.current = Some(self.ask(saying.text));
            return;
        }
        (self.over, self.failed, self.text_ended) = (true, true, true);
        if let Some(ahead) = self.ahead.take() {
            self.bill(&ahead);
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
        let body = error.to_body(name);
        let body = match self.first_failure.take() {
            Some(first) => ErrorBody { message: format!("{}; {}", first.message, body.message), ..first },
            None => body,
        };
        let last = self.last_piece();
        self.heard.extend(last.map(Heard::Piece));
        self.heard.push_back(Heard::Failed(body));
    }
}

#[cfg(test)]
#[path = "speaker_tests.rs"]
mod tests;
