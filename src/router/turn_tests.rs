//! Tests of the turn: what it does in which order, with a clock of their own.
#![expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]

#[path = "turn_elsewhere_tests.rs"]
mod elsewhere;
#[path = "turn_rounds_tests.rs"]
mod with_tools;

use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::common::chat::{Allowance, FinishReason, RateLimits};
use crate::common::config::ProviderName;
use crate::router::budget::Verdict;
use crate::router::health::Health;

const SECOND: Duration = Duration::from_secs(1);

/// A turn with a clock of its own and everything that it said to do.
struct Played {
    turn: Turn,
    now: Instant,
    steps: Vec<Step>,
    /// What the budget says between rounds.
    verdict: Verdict,
}

/// Nobody is asked again, nobody raced; chance is always the same.
fn plan(names: &[ProviderName]) -> Plan {
    let link = |name: &ProviderName| Link { name: *name, model: "m".into(), paints: false, first_token: 10 * SECOND };
    Plan {
        chain: names.iter().map(link).collect(),
        conversation_id: "c-1".into(),
        inter_token: 5 * SECOND,
        total: 60 * SECOND,
        retries: 0,
        hedge_after: None,
        goes_on: false,
        paints: false,
        tools: None,
        notice: None,
        health: Arc::default(),
        roll: || 1.0,
    }
}

impl Played {
    fn new(names: &[ProviderName]) -> Played {
        Played::of(plan(names))
    }

    fn of(plan: Plan) -> Played {
        let now = Instant::now();
        let mut played = Played { turn: Turn::begin(plan, now, now), now, steps: Vec::new(), verdict: Verdict::Free };
        played.drain();
        played
    }

    fn drain(&mut self) {
        while let Some(step) = self.turn.poll_step() {
            let save = matches!(step, Step::Save { .. });
            let weigh = matches!(step, Step::Weigh);
            self.steps.push(step);
            if weigh {
                self.turn.handle_weighed(self.now, self.verdict.clone());
            }
            if save {
                self.turn.handle_saved(self.now, Saved::default());
            }
        }
    }

    /// Whoever was asked last is meant.
    fn slot(&self) -> Slot {
        let asked =
            self.steps.iter().rev().find_map(|step| if let Step::Ask { slot, .. } = step { Some(*slot) } else { None });
        asked.expect("somebody was asked")
    }

    fn hear(&mut self, event: Event) {
        self.hear_in(self.slot(), event);
    }

    fn hear_in(&mut self, slot: Slot, event: Event) {
        self.turn.handle_arrival(slot, Arrival { received_at: self.now, event });
        self.drain();
    }

    fn say(&mut self, text: &str) {
        self.hear(Event::Text(text.into()));
    }

    fn end(&mut self) {
        self.turn.handle_end(self.slot(), self.now);
        self.drain();
    }

    fn fail(&mut self, failure: Failure) {
        self.fail_in(self.slot(), failure);
    }

    fn fail_in(&mut self, slot: Slot, failure: Failure) {
        self.fail_with(slot, ProviderError::new(failure, "no"));
    }

    fn fail_with(&mut self, slot: Slot, error: ProviderError) {
        self.turn.handle_failure(slot, self.now, error);
        self.drain();
    }

    /// Lets time pass, and wakes the turn where it wants to be woken.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.turn.poll_timeout().filter(|due| *due <= until) {
            assert!(due > self.now || self.now == due, "it wants to be woken in the past");
            self.now = due;
            self.turn.handle_timeout(self.now);
            self.drain();
            assert!(self.turn.poll_timeout().is_none_or(|next| next > due), "it would never sleep again");
        }
        self.now = until;
    }

    /// All that was done, a line each.
    fn told(&self) -> String {
        let mut lines = String::new();
        for step in &self.steps {
            let _ = match step {
                Step::Ask { slot, link } => writeln!(lines, "ask {link} in {slot:?}"),
                Step::HangUp { slot } => writeln!(lines, "hang up {slot:?}"),
                Step::Tell(TurnEvent { news: News::Done(done), .. }) => {
                    writeln!(lines, "done: {} of {}", done.messages, done.provider)
                }
                Step::Tell(TurnEvent { news: News::Failed(failed), .. }) => {
                    writeln!(lines, "failed: {} {}", failed.error.code, failed.error.message)
                }
                Step::Tell(event) => writeln!(lines, "{:?}", event.news),
                Step::Count(used) => writeln!(lines, "count {}: {:?}", used.link, used.end),
                Step::Save(said) => {
                    let said: Vec<_> = said.iter().map(|one| (one.link, one.message.text(), one.partial)).collect();
                    writeln!(lines, "save {said:?}")
                }
                Step::Tool(deed) => writeln!(lines, "{deed:?}"),
                Step::StopCalls => writeln!(lines, "stop the calls"),
                Step::Weigh => writeln!(lines, "weigh"),
                Step::End => writeln!(lines, "end"),
            };
        }
        lines
    }

    fn asked(&self) -> Vec<usize> {
        self.steps
            .iter()
            .filter_map(|step| if let Step::Ask { link, .. } = step { Some(*link) } else { None })
            .collect()
    }

    /// Text of each message that was kept, and whether it is a part only.
    fn saved(&self) -> Vec<(String, bool)> {
        let saves = self.steps.iter().filter_map(|step| if let Step::Save(said) = step { Some(said) } else { None });
        saves.flatten().map(|said| (said.message.text(), said.partial)).collect()
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
    played.say("Hel");
    played.say("lo");
    played.hear(Event::Finish(FinishReason::Stop));
    played.now += SECOND;
    played.end();
    insta::assert_snapshot!(played.told(), @r#"
    ask 0 in First
    Text("Hel")
    Text("lo")
    hang up First
    count 0: Whole
    save [(0, "Hello", false)]
    done: 1 of openai
    end
    "#);
    let Some(News::Done(done)) = played.news().pop() else { panic!("{:?}", played.steps) };
    assert_eq!((&*done.model, done.first_token_ms, done.total_ms, done.messages), ("m-2026", Some(1000), 2000, 1));
}

#[test]
fn the_next_one_is_asked_while_there_was_no_content() {
    let mut played = Played::new(&[OPENAI, LOCAL]);
    played.hear(Event::Started { model: Some("gpt".into()) });
    played.hear(Event::Usage(Box::default()));
    played.fail(Failure::CutOff);
    assert_eq!(played.asked(), [0, 1]);
    played.say("hi");
    played.end();
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
        let kept = if matches!(event, Event::Text(_)) { vec![("par".to_owned(), true)] } else { vec![] };
        let called = matches!(event, Event::ToolCall(_));
        played.hear(event);
        played.fail(Failure::CutOff);
        assert_eq!(played.asked(), [0]);
        assert!(called || played.saved() == kept, "{:?}", played.saved());
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
    played.say("a");
    played.wait(4 * SECOND);
    played.say("b");
    played.wait(5 * SECOND);
    assert_eq!(played.error().code, ErrorCode::Timeout);
}

#[test]
fn the_total_deadline_ends_a_stream_that_never_stops() {
    let mut played = Played::new(&[OPENAI, LOCAL]);
    for _ in 0..59 {
        played.say("x");
        played.wait(SECOND);
    }
    assert!(played.turn.poll_timeout().is_some());
    played.say("x");
    played.wait(SECOND);
    assert_eq!(played.error().code, ErrorCode::Timeout);
    assert!(played.error().message.contains("60 s"), "{}", played.error().message);
}

#[test]
fn a_finished_answer_without_a_goodbye_is_whole() {
    let mut played = Played::new(&[OPENAI]);
    played.say("a");
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
    played.say("a");
    played.now += 20 * SECOND;
    played.turn.handle_taken(played.now);
    played.wait(4 * SECOND);
    assert_eq!(played.turn.poll_timeout(), Some(played.now + SECOND));
}

#[test]
fn a_cancelled_turn_hangs_up_at_once_and_nothing_comes_after() {
    let mut played = Played::new(&[OPENAI, LOCAL]);
    played.say("par");
    played.turn.handle_cancel(played.now);
    assert_eq!(played.turn.poll_step(), Some(Step::HangUp { slot: Slot::First }));
    played.drain();
    assert_eq!(played.error().code, ErrorCode::Cancelled);
    let before = played.steps.len();
    played.say("late");
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

fn failed(status: u16, retry_after: Option<Duration>) -> ProviderError {
    let failure = if status == 429 { Failure::RateLimited } else { Failure::Failed };
    ProviderError { status: Some(status), retry_after, ..ProviderError::new(failure, "no") }
}

#[test]
fn one_that_fails_is_asked_again_before_content_and_never_after() {
    let mut played = Played::of(Plan { retries: 2, ..plan(&[OPENAI, LOCAL]) });
    played.hear(Event::Usage(Box::default()));
    played.fail(Failure::CutOff);
    assert_eq!(played.asked(), [0], "not at once");
    played.wait(SECOND / 4);
    played.fail(Failure::Failed);
    played.wait(SECOND / 2);
    assert_eq!(played.asked(), [0, 0, 0]);
    played.say("at last");
    played.fail(Failure::CutOff);
    assert_eq!(played.asked(), [0, 0, 0]);
    assert_eq!((played.saved(), played.error().message.as_str()), (vec![("at last".into(), true)], "openai: no"));
    let mut played = Played::of(Plan { retries: 2, ..plan(&[OPENAI, LOCAL]) });
    for _ in 0..3 {
        played.fail(Failure::Unreachable);
        played.wait(SECOND / 2);
    }
    assert_eq!(played.asked(), [0, 0, 0, 1]);
    for (failure, asked) in [(Failure::Auth, vec![0, 1]), (Failure::Rejected, vec![0, 1]), (Failure::Failed, vec![0])] {
        let mut played = Played::of(Plan { retries: 2, ..plan(&[OPENAI, LOCAL]) });
        played.fail(failure);
        assert_eq!(played.asked(), asked, "{failure:?}");
    }
}

#[test]
fn the_only_one_is_waited_for_until_its_deadline_and_the_user_is_told_why() {
    let mut played = Played::of(Plan { retries: 2, ..plan(&[LOCAL]) });
    for _ in 0..9 {
        played.fail_with(Slot::First, failed(503, Some(SECOND)));
        played.wait(SECOND * 5 / 4);
    }
    assert_eq!(played.asked().len(), 8);
    let notices: Vec<_> = played.news().into_iter().filter(|news| matches!(news, News::Notice(_))).collect();
    assert!(
        matches!(notices[..], [News::Notice(text)] if &**text == "local cannot answer yet and is asked again until 10 s are over: no"),
        "{notices:?}"
    );
    assert_eq!(played.error().message, "local: no", "the reason, and not that the time was over");
}

#[test]
fn a_deadline_that_falls_into_another_try_hides_no_reason() {
    let mut played = Played::of(Plan { retries: 2, ..plan(&[LOCAL]) });
    played.fail_with(Slot::First, failed(503, Some(SECOND)));
    played.wait(11 * SECOND);
    assert_eq!(played.asked().len(), 2, "the second one was never answered");
    let error = played.error();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::ProviderError, "local: no; asked again: no word after 10 s (first_token_s)")
    );
    // What has begun to answer broke off there.
    let mut played = Played::of(Plan { retries: 2, ..plan(&[LOCAL]) });
    played.fail_with(Slot::First, failed(503, Some(SECOND)));
    played.wait(2 * SECOND);
    played.say("well");
    played.wait(11 * SECOND);
    assert_eq!(played.error().code, ErrorCode::Timeout);
}

#[test]
fn one_that_names_a_long_wait_is_left_for_another() {
    let mut played = Played::of(Plan { retries: 2, ..plan(&[OPENAI, LOCAL]) });
    played.fail_with(Slot::First, failed(429, Some(5 * SECOND)));
    assert_eq!(played.asked(), [0, 1]);
    let health = played.turn.plan.health.clone();
    assert_eq!(health.fit_at(OPENAI, played.now), played.now + 5 * SECOND, "and for others, too");
}

#[test]
fn one_that_keeps_failing_is_passed_over_and_that_is_said() {
    let health: Arc<Health> = Arc::default();
    let of = |names: &[ProviderName]| Played::of(Plan { health: health.clone(), ..plan(names) });
    for _ in 0..3 {
        let mut played = of(&[OPENAI]);
        played.fail(Failure::Failed);
    }
    let mut played = of(&[OPENAI, LOCAL]);
    assert_eq!(played.asked(), [1]);
    played.say("hi");
    let reason = "local answers instead of the first choice (openai: passed over for 5 s more: no)";
    assert!(matches!(played.news()[0], News::Notice(text) if &**text == reason), "{:?}", played.news());
    // Whoever wants nobody else gets it, and so does everybody where nobody is fit.
    assert_eq!(of(&[OPENAI]).asked(), [0]);
    for _ in 0..3 {
        of(&[LOCAL]).fail(Failure::Auth);
    }
    let mut played = of(&[LOCAL, OPENAI]);
    assert_eq!(played.asked(), [1], "the one whose time is over first");
    played.fail(Failure::Failed);
    assert_eq!(played.asked(), [1]);
    let message = "local: passed over for 900 s more: no; then openai: no";
    assert_eq!((played.error().code, played.error().message.as_str()), (ErrorCode::ProviderAuth, message));
    // It recovers: one question tries it out, and then all may.
    let trial = Plan { health: health.clone(), ..plan(&[OPENAI, LOCAL]) };
    let now = Instant::now() + 11 * SECOND;
    let mut played = Played { turn: Turn::begin(trial, now, now), now, steps: Vec::new(), verdict: Verdict::Free };
    played.drain();
    assert_eq!(played.asked(), [0]);
    played.say("back");
    played.end();
    assert!(health.is_fit(OPENAI, now));
}

#[test]
fn limits_that_are_used_up_leave_a_provider_alone() {
    let mut played = Played::new(&[OPENAI]);
    let requests = Some(Allowance { remaining: 0, reset: Some(7 * SECOND) });
    played.hear(Event::Limits(Box::new(RateLimits { requests, tokens: None })));
    played.say("fine");
    played.end();
    assert_eq!(played.turn.plan.health.fit_at(OPENAI, played.now), played.now + 7 * SECOND);
}
