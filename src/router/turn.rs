//! One turn as a state machine: ask, stream, fall back, end. Events and the time come in, [`Step`]s go out; `run` carries
//! them out. Holds no socket, no timer and no store.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::adapters::llm::Arrival;
use crate::common::chat::{Event, FinishReason, Usage};
use crate::common::error::{ErrorBody, ErrorCode, Failure, ProviderError};
use crate::common::events::{News, TurnEvent, TurnFailure, TurnSummary};
use crate::common::time::whole_ms;
use crate::router::choose::Link;

/// The longest answer kept, bytes. No model writes so much: a stream that does has lost its mind.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// After the reason why it stopped, a provider has so long for its last words (the usage) and its goodbye. Some say none.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the driver is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Ask the link of this index; whatever was open is closed first.
    Ask(usize),
    /// Close the upstream connection.
    HangUp,
    Tell(TurnEvent),
    /// Keep question and answer; then call [`Turn::saved`].
    Save {
        answer: String,
        partial: bool,
    },
    /// Nothing more will come.
    End,
}

/// See the module.
pub struct Turn {
    chain: Vec<Link>,
    conversation_id: Box<str>,
    inter_token: Duration,
    ends_by: Instant,
    asked_at: Instant,
    /// The link that is being asked.
    at: usize,
    link_asked_at: Instant,
    /// When this link was last heard, or when we were last ready to hear it.
    heard_at: Instant,
    first_content_at: Option<Instant>,
    answer: String,
    refused: bool,
    model: Option<Box<str>>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    /// Why each link before this one gave no answer.
    failures: Vec<(Link, ProviderError)>,
    steps: VecDeque<Step>,
    /// The last news, once it is known and while the store is being asked to keep the answer.
    ending: Option<News>,
    ended: bool,
}

impl Turn {
    /// A turn that asks the first link of `chain` (never empty).
    pub fn begin(
        chain: Vec<Link>,
        conversation_id: &str,
        inter_token: Duration,
        total: Duration,
        asked_at: Instant,
        now: Instant,
    ) -> Turn {
        assert!(!chain.is_empty(), "`choose` gives a chain of one at least, or an error");
        let mut turn = Turn {
            chain,
            conversation_id: conversation_id.into(),
            inter_token,
            ends_by: asked_at + total,
            asked_at,
            at: 0,
            link_asked_at: now,
            heard_at: now,
            first_content_at: None,
            answer: String::new(),
            refused: false,
            model: None,
            usage: None,
            finish: None,
            failures: Vec::new(),
            steps: VecDeque::new(),
            ending: None,
            ended: false,
        };
        turn.steps.push_back(Step::Ask(0));
        turn
    }

    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Who is being asked, or was asked last.
    pub fn link(&self) -> &Link {
        &self.chain[self.at]
    }

    /// When [`Turn::handle_timeout`] is due, if nothing is heard before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let silence = match self.first_content_at {
            _ if self.finish.is_some() => self.heard_at + GOODBYE,
            None => self.link_asked_at + self.chain[self.at].first_token,
            Some(_) => self.heard_at + self.inter_token,
        };
        Some(silence.min(self.ends_by))
    }

    /// The provider said something.
    pub fn handle_arrival(&mut self, arrival: Arrival) {
        if self.ended {
            return;
        }
        let Arrival { received_at, event } = arrival;
        self.heard_at = received_at;
        if event.is_content() && self.first_content_at.is_none() {
            self.first_content_at = Some(received_at);
            self.own_up(received_at);
        }
        match event {
            Event::Started { model } => self.model = model.or(self.model.take()),
            Event::Text(text) => self.piece(received_at, text),
            Event::Refusal(text) => {
                self.refused = true;
                self.piece(received_at, text);
            }
            Event::Reasoning(text) => self.tell(received_at, News::Reasoning(text)),
            Event::ToolCall(delta) => self.tell(received_at, News::ToolCall(delta)),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish(reason) => self.finish = Some(reason),
        }
    }

    /// The consumer has taken what it was told: silence counts from here, so that a slow client is not held against
    /// the provider.
    pub fn handle_taken(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The stream ended with its terminator.
    pub fn handle_end(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        let link = &self.chain[self.at];
        let done = News::Done(Box::new(TurnSummary {
            conversation_id: self.conversation_id.clone(),
            provider: link.name.as_str().into(),
            model: self.model.take().unwrap_or_else(|| link.model.as_str().into()),
            usage: self.usage,
            finish: self.finish.take(),
            refused: self.refused,
            first_token_ms: self.first_token_ms(),
            total_ms: whole_ms(now - self.asked_at),
        }));
        self.finish_with(done, false);
    }

    /// The provider refused, broke off, or could not be reached.
    pub fn handle_failure(&mut self, now: Instant, error: ProviderError) {
        if self.ended {
            return;
        }
        self.failures.push((self.chain[self.at].clone(), error));
        if self.first_content_at.is_none() && self.at + 1 < self.chain.len() {
            self.at += 1;
            self.link_asked_at = now;
            self.heard_at = now;
            (self.model, self.usage, self.finish) = (None, None, None);
            self.steps.push_back(Step::Ask(self.at));
        } else {
            self.fail(now);
        }
    }

    /// A deadline may have passed: call it when [`Turn::poll_timeout`] says so, or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        if now < due {
            return;
        }
        if self.finish.is_some() {
            return self.handle_end(now);
        }
        if now >= self.ends_by {
            let total = whole_ms(self.ends_by - self.asked_at) / 1000;
            let why = timed_out(format!("the answer was not whole after {total} s (providers.total_s)"));
            self.failures.push((self.chain[self.at].clone(), why));
            return self.fail(now);
        }
        let why = match self.first_content_at {
            None => format!("no word after {} s (first_token_s)", self.chain[self.at].first_token.as_secs()),
            Some(_) => format!("went silent for {} s (providers.inter_token_s)", self.inter_token.as_secs()),
        };
        self.handle_failure(now, timed_out(why));
    }

    /// The client stopped the turn, or left.
    pub fn handle_cancel(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        let failed = self.failed(now, ErrorBody::new(ErrorCode::Cancelled, "stopped on request"), self.at);
        self.finish_with(failed, true);
    }

    /// The store has kept the answer; `notice` says where it has not, or not all of it.
    pub fn handle_saved(&mut self, now: Instant, notice: Option<String>) {
        if let Some(notice) = notice {
            self.tell(now, News::Notice(notice.into()));
        }
        if let Some(ending) = self.ending.take() {
            self.tell(now, ending);
            self.steps.push_back(Step::End);
        }
    }

    fn piece(&mut self, received_at: Instant, text: Box<str>) {
        if self.answer.len() + text.len() > ANSWER_BYTES_MAX {
            let message = format!("the answer passed {ANSWER_BYTES_MAX} bytes and was stopped");
            return self.handle_failure(received_at, ProviderError::new(Failure::BadStream, message));
        }
        self.answer.push_str(&text);
        self.tell(received_at, News::Text(text));
    }

    /// Says who stands in for whom, once somebody does.
    fn own_up(&mut self, now: Instant) {
        if self.failures.is_empty() {
            return;
        }
        let here = self.chain[self.at].name.as_str();
        let before: Vec<String> =
            self.failures.iter().map(|(link, error)| format!("{}: {error}", link.name.as_str())).collect();
        self.tell(
            now,
            News::Notice(format!("{here} answers instead of the first choice ({})", before.join("; ")).into()),
        );
    }

    fn fail(&mut self, now: Instant) {
        // The owner chose the first provider: its failure is the one to mend. Once content has come, the one that broke
        // off is what the user saw fail.
        let shown = if self.first_content_at.is_some() { self.failures.len() - 1 } else { 0 };
        let (link, error) = &self.failures[shown];
        let mut body = error.to_body(link.name.as_str());
        for (link, error) in self.failures.iter().skip(shown + 1) {
            body.message.push_str(&format!("; then {}: {error}", link.name.as_str()));
        }
        let at = self.chain.iter().position(|one| one == link).unwrap_or(self.at);
        let failed = self.failed(now, body, at);
        self.finish_with(failed, true);
    }

    fn failed(&self, now: Instant, error: ErrorBody, at: usize) -> News {
        let link = &self.chain[at];
        News::Failed(Box::new(TurnFailure {
            error,
            provider: Some(link.name.as_str().into()),
            model: Some(link.model.as_str().into()),
            first_token_ms: self.first_token_ms(),
            total_ms: whole_ms(now - self.asked_at),
        }))
    }

    fn finish_with(&mut self, news: News, partial: bool) {
        self.ended = true;
        self.ending = Some(news);
        self.steps.push_back(Step::HangUp);
        self.steps.push_back(Step::Save { answer: std::mem::take(&mut self.answer), partial });
    }

    fn first_token_ms(&self) -> Option<u64> {
        self.first_content_at.map(|at| whole_ms(at - self.asked_at))
    }

    fn tell(&mut self, received_at: Instant, news: News) {
        self.steps.push_back(Step::Tell(TurnEvent { received_at, news }));
    }
}

fn timed_out(message: String) -> ProviderError {
    ProviderError::new(Failure::Timeout, message)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;
    use crate::common::config::ProviderName;

    const SECOND: Duration = Duration::from_secs(1);

    /// A turn with a clock of its own and everything that it said to do.
    struct Played {
        turn: Turn,
        now: Instant,
        steps: Vec<Step>,
    }

    impl Played {
        fn new(names: &[ProviderName]) -> Played {
            let now = Instant::now();
            let link = |name: &ProviderName| Link { name: *name, model: "m".into(), first_token: 10 * SECOND };
            let turn = Turn::begin(names.iter().map(link).collect(), "c-1", 5 * SECOND, 60 * SECOND, now, now);
            let mut played = Played { turn, now, steps: Vec::new() };
            played.drain();
            played
        }

        fn drain(&mut self) {
            while let Some(step) = self.turn.poll_step() {
                let save = matches!(step, Step::Save { .. });
                self.steps.push(step);
                if save {
                    self.turn.handle_saved(self.now, None);
                }
            }
        }

        fn hear(&mut self, event: Event) {
            self.turn.handle_arrival(Arrival { received_at: self.now, event });
            self.drain();
        }

        fn fail(&mut self, failure: Failure) {
            self.turn.handle_failure(self.now, ProviderError::new(failure, "no"));
            self.drain();
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
            self.turn.handle_timeout(self.now);
            self.drain();
        }

        fn asked(&self) -> Vec<usize> {
            self.steps.iter().filter_map(|step| if let Step::Ask(at) = step { Some(*at) } else { None }).collect()
        }

        fn news(&self) -> Vec<&News> {
            self.steps
                .iter()
                .filter_map(|step| if let Step::Tell(event) = step { Some(&event.news) } else { None })
                .collect()
        }

        fn error(&self) -> &ErrorBody {
            let ends: Vec<_> =
                self.news().into_iter().filter(|news| matches!(news, News::Done(_) | News::Failed(_))).collect();
            assert_eq!(self.steps.last(), Some(&Step::End));
            match ends[..] {
                [News::Failed(failure)] => &failure.error,
                _ => panic!("one failure was expected: {ends:?}"),
            }
        }
    }

    const OPENAI: ProviderName = ProviderName::Openai;
    const LOCAL: ProviderName = ProviderName::Local;

    #[test]
    fn a_whole_answer_is_told_kept_and_done_in_this_order() {
        let mut played = Played::new(&[OPENAI]);
        played.hear(Event::Started { model: Some("m-2026".into()) });
        played.now += SECOND;
        played.hear(Event::Text("Hel".into()));
        played.hear(Event::Text("lo".into()));
        played.hear(Event::Finish(FinishReason::Stop));
        played.turn.handle_end(played.now + SECOND);
        played.drain();
        let end = played.steps.len();
        assert_eq!(played.steps[end - 4], Step::HangUp);
        assert_eq!(played.steps[end - 3], Step::Save { answer: "Hello".into(), partial: false });
        let Step::Tell(TurnEvent { news: News::Done(done), .. }) = &played.steps[end - 2] else {
            panic!("{:?}", played.steps)
        };
        assert_eq!((&*done.model, done.first_token_ms, done.total_ms), ("m-2026", Some(1000), 2000));
        assert_eq!(played.steps[end - 1], Step::End);
    }

    #[test]
    fn the_next_one_is_asked_while_there_was_no_content() {
        let mut played = Played::new(&[OPENAI, LOCAL]);
        played.hear(Event::Started { model: Some("gpt".into()) });
        played.hear(Event::Usage(Box::default()));
        played.fail(Failure::CutOff);
        assert_eq!(played.asked(), [0, 1]);
        played.hear(Event::Text("hi".into()));
        played.turn.handle_end(played.now);
        played.drain();
        let news = played.news();
        assert!(matches!(news[0], News::Notice(text) if text.starts_with("local answers instead")), "{news:?}");
        assert!(
            matches!(news.last(), Some(News::Done(done)) if &*done.provider == "local" && &*done.model == "m" && done.usage.is_none())
        );
    }

    #[test]
    fn after_content_nobody_else_is_asked_and_the_part_is_kept() {
        for event in [Event::Text("par".into()), Event::Reasoning("hm".into()), Event::ToolCall(Box::default())] {
            let mut played = Played::new(&[OPENAI, LOCAL]);
            let kept = if matches!(event, Event::Text(_)) { "par" } else { "" };
            played.hear(event);
            played.fail(Failure::CutOff);
            assert_eq!(played.asked(), [0]);
            assert!(played.steps.contains(&Step::Save { answer: kept.into(), partial: true }));
            assert_eq!((played.error().code, played.error().retryable), (ErrorCode::ProviderError, true));
        }
    }

    #[test]
    fn when_all_fail_the_first_choice_is_the_one_shown() {
        let mut played = Played::new(&[OPENAI, LOCAL]);
        played.fail(Failure::Auth);
        played.fail(Failure::Unreachable);
        assert_eq!(played.error().code, ErrorCode::ProviderAuth);
        assert_eq!(played.error().message, "openai: no; then local: no");
    }

    #[test]
    fn silence_before_the_first_token_moves_on_and_after_it_ends_the_turn() {
        let mut played = Played::new(&[OPENAI, LOCAL]);
        played.wait(9 * SECOND);
        played.hear(Event::Started { model: None });
        played.wait(SECOND);
        assert_eq!(played.asked(), [0, 1], "a sign of life is no token");
        played.hear(Event::Text("a".into()));
        played.wait(4 * SECOND);
        played.hear(Event::Text("b".into()));
        played.wait(5 * SECOND);
        assert_eq!(played.error().code, ErrorCode::Timeout);
    }

    #[test]
    fn the_total_deadline_ends_a_stream_that_never_stops() {
        let mut played = Played::new(&[OPENAI, LOCAL]);
        for _ in 0..59 {
            played.hear(Event::Text("x".into()));
            played.wait(SECOND);
        }
        assert!(played.turn.poll_timeout().is_some());
        played.hear(Event::Text("x".into()));
        played.wait(SECOND);
        assert_eq!(played.error().code, ErrorCode::Timeout);
        assert!(played.error().message.contains("60 s"), "{}", played.error().message);
    }

    #[test]
    fn a_finished_answer_without_a_goodbye_is_whole() {
        let mut played = Played::new(&[OPENAI]);
        played.hear(Event::Text("a".into()));
        played.hear(Event::Finish(FinishReason::Stop));
        played.wait(4 * SECOND);
        played.hear(Event::Usage(Box::default()));
        played.wait(4 * SECOND);
        assert!(!played.steps.contains(&Step::End));
        played.wait(SECOND);
        assert!(matches!(played.news().last(), Some(News::Done(done)) if done.usage.is_some()));
    }

    #[test]
    fn a_slow_client_is_not_held_against_the_provider() {
        let mut played = Played::new(&[OPENAI]);
        played.hear(Event::Text("a".into()));
        played.now += 20 * SECOND;
        played.turn.handle_taken(played.now);
        played.wait(4 * SECOND);
        assert_eq!(played.turn.poll_timeout(), Some(played.now + SECOND));
    }

    #[test]
    fn a_cancelled_turn_hangs_up_at_once_and_nothing_comes_after() {
        let mut played = Played::new(&[OPENAI, LOCAL]);
        played.hear(Event::Text("par".into()));
        played.turn.handle_cancel(played.now);
        assert_eq!(played.turn.poll_step(), Some(Step::HangUp));
        played.drain();
        assert_eq!(played.error().code, ErrorCode::Cancelled);
        let before = played.steps.len();
        played.hear(Event::Text("late".into()));
        played.fail(Failure::CutOff);
        played.wait(600 * SECOND);
        played.turn.handle_cancel(played.now);
        played.drain();
        assert_eq!(played.steps.len(), before);
    }

    #[test]
    fn an_answer_without_end_is_stopped() {
        let mut played = Played::new(&[OPENAI]);
        let piece: Box<str> = "x".repeat(1024 * 1024).into();
        for _ in 0..=16 {
            played.hear(Event::Text(piece.clone()));
        }
        assert_eq!(played.error().code, ErrorCode::ProviderError);
    }
}
