//! One turn as a state machine: ask, stream, try again, race, fall back, go on elsewhere, end. Events, the time and chance
//! come in, [`Step`]s go out; `run` carries them out. Holds no socket, no timer and no store.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::adapters::llm::Arrival;
use crate::common::chat::{Event, Usage};
use crate::common::error::{ErrorBody, ErrorCode, Failure, ProviderError};
use crate::common::events::{News, TurnEvent, TurnFailure, TurnSummary};
use crate::common::time::whole_ms;
use crate::router::asking::{Asking, Said, Slot, Used};
use crate::router::choose::Link;
use crate::router::failures::Failures;
use crate::router::retry::{self, Tried};
use crate::router::usage::End;

#[path = "turn_rounds.rs"]
mod rounds;
#[path = "turn_steps.rs"]
mod steps;

pub use rounds::ToolPlan;
pub use steps::{Plan, Saved, Step};

use rounds::Rounds;

/// Whoever waits longer than this for a provider that is asked again is told why.
const WAIT_TOLD: Duration = Duration::from_secs(3);

/// See the module.
pub struct Turn {
    plan: Plan,
    asked_at: Instant,
    ends_by: Instant,
    /// Who answers, or is to.
    asking: Asking,
    /// Who races it, while neither has said anything.
    rival: Option<Box<Asking>>,
    hedge_at: Option<Instant>,
    /// Bit n: link n of the chain has had its chance.
    asked: u32,
    first_content_at: Option<Instant>,
    /// The messages of the answer before the one that comes now.
    before: Vec<Said>,
    /// How often one provider broke off and another went on, and how much of that was told.
    breaks: u32,
    breaks_told: u32,
    rounds: Option<Rounds>,
    /// Why links gave no answer.
    failures: Failures,
    said: Told,
    steps: VecDeque<Step>,
    /// The last news, once it is known and while the store is being asked to keep the answer.
    ending: Option<News>,
    ended: bool,
}

/// What the user is told once.
#[derive(Default)]
struct Told {
    waiting: bool,
    sound: bool,
}

impl Turn {
    /// A turn that asks the first link that is fit.
    pub fn begin(plan: Plan, asked_at: Instant, now: Instant) -> Turn {
        assert!(!plan.chain.is_empty(), "`choose` gives a chain of one at least, or an error");
        assert!(plan.chain.len() <= u32::BITS as usize, "`choose` names each provider once");
        let mut turn = Turn {
            ends_by: asked_at + plan.total,
            rounds: plan.tools.clone().map(Rounds::new),
            breaks: 0,
            breaks_told: 0,
            plan,
            asked_at,
            asking: Asking::new(Slot::First, 0, now),
            rival: None,
            hedge_at: None,
            asked: 0,
            first_content_at: None,
            before: Vec::new(),
            failures: Failures::default(),
            said: Told::default(),
            steps: VecDeque::new(),
            ending: None,
            ended: false,
        };
        if let Some(notice) = turn.plan.notice.take() {
            turn.tell(now, News::Notice(notice.into()));
        }
        turn.go_on(now);
        turn
    }

    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// A link by its place in the chain.
    pub fn link(&self, at: usize) -> &Link {
        &self.plan.chain[at]
    }

    /// The messages of the answer so far: what a provider is to go on from.
    pub fn before(&self) -> &[Said] {
        &self.before
    }

    /// When [`Turn::handle_timeout`] is due, if nothing is heard before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        if self.is_calling() {
            return self.round_timeout();
        }
        let due = self.due(&self.asking).min(self.ends_by);
        let due = self.rival.as_ref().map_or(due, |rival| due.min(self.due(rival)));
        Some(self.hedge_at.map_or(due, |at| due.min(at)))
    }

    /// The provider said something.
    pub fn handle_arrival(&mut self, slot: Slot, arrival: Arrival) {
        if self.ended {
            return;
        }
        let Arrival { received_at, event } = arrival;
        if event.is_content() && !self.asking.has_content {
            self.first_content(slot, received_at);
        }
        let numbers = self.numbers();
        let Some(asking) = self.in_slot(slot) else { return };
        asking.heard_at = received_at;
        let link = asking.link;
        if let Err(too_much) = asking.keep(&event) {
            return self.stop(slot, received_at, ProviderError::new(Failure::BadStream, too_much));
        }
        match numbers.go_on(event) {
            Event::Started { model } => asking.model = model.or(asking.model.take()),
            Event::Usage(usage) => asking.usage = Some(*usage),
            Event::Finish(reason) => asking.finish = Some(reason),
            Event::Limits(limits) => {
                let name = self.plan.chain[link].name;
                self.plan.health.limits(name, received_at, &limits);
            }
            // Before content nobody speaks for the one that is raced.
            _ if slot != self.asking.slot => {}
            Event::Text(text) => {
                if self.begins_paragraph() {
                    self.tell(received_at, News::Text("\n\n".into()));
                }
                self.tell(received_at, News::Text(text));
            }
            Event::Refusal(text) => {
                self.asking.refused = true;
                self.tell(received_at, News::Text(text));
            }
            Event::Reasoning(text) => self.tell(received_at, News::Reasoning(text)),
            Event::ToolCall(delta) => {
                self.asking.has_called = true;
                if self.shows_calls() {
                    self.tell(received_at, News::ToolCall(delta));
                }
            }
            Event::Image(piece) => self.tell(received_at, News::Image(piece)),
            Event::Progress(progress) => self.tell(received_at, News::Progress(progress)),
            Event::Notice(text) => self.tell(received_at, News::Notice(text)),
            // The hub's own voices speak: what they say can be stopped, and has one form whatever the model.
            Event::Audio(_) if !std::mem::replace(&mut self.said.sound, true) => {
                let text =
                    "the model sent sound of its own, which was left out; with voice.speak the hub speaks the text";
                self.tell(received_at, News::Notice(text.into()));
            }
            Event::Audio(_) | Event::Verbatim(_) => {}
        }
    }

    /// The consumer has taken what it was told: silence counts from here, so that a slow client is not held against
    /// the provider.
    pub fn handle_taken(&mut self, now: Instant) {
        self.asking.heard_at = now;
    }

    /// The stream ended with its terminator.
    pub fn handle_end(&mut self, slot: Slot, now: Instant) {
        if self.ended || self.in_slot(slot).is_none() {
            return;
        }
        if self.plan.paints && self.in_slot(slot).is_some_and(|asking| asking.pictures.is_empty()) {
            let error = ProviderError::new(Failure::Failed, "answered without a picture");
            return self.handle_failure(slot, now, error);
        }
        self.lead(slot);
        if self.begins_round(now) {
            return;
        }
        let link = &self.plan.chain[self.asking.link];
        self.plan.health.whole(link.name);
        let done = TurnSummary {
            conversation_id: self.plan.conversation_id.clone(),
            provider: link.name.as_str().into(),
            model: self.asking.model.clone().unwrap_or_else(|| link.model.as_str().into()),
            usage: self.used_so_far(self.asking.usage),
            finish: self.asking.finish.take(),
            messages: 1 + self.breaks,
            image_blobs: Vec::new(),
            refused: self.asking.refused,
            first_token_ms: self.first_token_ms(),
            total_ms: whole_ms(now - self.asked_at),
        };
        self.finish_with(News::Done(Box::new(done)), End::Whole);
    }

    /// The provider refused, broke off, or could not be reached.
    pub fn handle_failure(&mut self, slot: Slot, now: Instant, error: ProviderError) {
        if self.ended {
            return;
        }
        if let Some(rival) = self.rival.take_if(|rival| rival.slot == slot) {
            // The one that it raced is still there: nobody waits for this one to come to itself.
            self.give_up(&rival, now, error);
            return self.hedge(now);
        }
        if self.asking.slot != slot {
            return;
        }
        if self.asking.has_content {
            return self.break_off(now, error);
        }
        if self.rival.is_none() && self.sheds_tools(slot, now, &error) {
            return;
        }
        if let Some(rival) = self.rival.take() {
            let failed = std::mem::replace(&mut self.asking, *rival);
            self.hedge_at = self.plan.hedge_after.map(|after| now + after);
            return self.give_up(&failed, now, error);
        }
        let tried = Tried {
            error: &error,
            tries: self.asking.tries,
            retries: self.plan.retries,
            has_others: self.has_others(now),
            since: self.asking.since,
            first_token: self.plan.chain[self.asking.link].first_token,
        };
        match retry::again_at(&tried, now, (self.plan.roll)()) {
            Some(at) => self.wait(now, at, error),
            None => {
                let failed = self.set_down(now);
                self.give_up(&failed, now, error);
                self.go_on_or_fail(now);
            }
        }
    }

    /// A deadline may have passed: call it when [`Turn::poll_timeout`] says so, or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if self.is_calling() {
            return self.round_is_due(now);
        }
        if now >= self.ends_by && self.asking.finish.is_none() {
            return self.run_out(now);
        }
        if let Some(rival) = self.rival.as_ref().filter(|rival| self.due(rival) <= now) {
            self.overdue(rival.slot, now);
        }
        if !self.ended && self.due(&self.asking).min(self.ends_by) <= now {
            self.overdue(self.asking.slot, now);
        }
        if !self.ended && self.hedge_at.is_some_and(|at| at <= now) {
            self.hedge(now);
        }
    }

    /// The client stopped the turn, or left.
    pub fn handle_cancel(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        let error = ErrorBody::new(ErrorCode::Cancelled, "stopped on request");
        let failed = self.failed(now, error, self.asking.link);
        self.finish_with(failed, End::Cancelled);
    }

    /// What the usage of a whole answer of the provider cost.
    pub fn handle_priced(&mut self, usage: Usage) {
        let usage = self.add_spent(usage);
        if let Some(News::Done(summary)) = &mut self.ending {
            summary.usage = Some(usage);
        }
    }

    /// The store has kept the answer, or said why it has not.
    pub fn handle_saved(&mut self, now: Instant, saved: Saved) {
        if let Some(notice) = saved.notice {
            self.tell(now, News::Notice(notice.into()));
        }
        let Some(mut ending) = self.ending.take() else { return };
        if let News::Done(summary) = &mut ending {
            summary.image_blobs = saved.image_blobs;
        }
        self.tell(now, ending);
        self.steps.push_back(Step::End);
    }

    // Who is asked.

    /// Asks the next one, or gives up where there is none.
    fn go_on(&mut self, now: Instant) {
        let Some(link) = self.pick(now).or_else(|| self.last_resort(now)) else { return self.fail(now) };
        self.asking = Asking::begin(self.asking.slot, link, now);
        // What was done for one is not done twice to see who is quicker.
        self.hedge_at = self.plan.hedge_after.filter(|_| !self.has_run_tools()).map(|after| now + after);
        self.steps.push_back(Step::Ask { slot: self.asking.slot, link });
    }

    /// The next link that is fit; those before it that are not are noted.
    fn pick(&mut self, now: Instant) -> Option<usize> {
        for link in 0..self.plan.chain.len() {
            if self.has_asked(link) {
                continue;
            }
            match self.plan.health.admit(self.plan.chain[link].name, now) {
                Ok(()) => {
                    self.asked |= 1 << link;
                    return Some(link);
                }
                Err(why) => self.failures.note(link, why, false),
            }
        }
        None
    }

    /// Where nobody is fit and nobody has been asked: the one that will be fit first.
    fn last_resort(&mut self, now: Instant) -> Option<usize> {
        if self.asked != 0 {
            return None;
        }
        let (at, _) =
            self.plan.chain.iter().enumerate().min_by_key(|(_, link)| self.plan.health.fit_at(link.name, now))?;
        self.asked |= 1 << at;
        self.failures.forget(at);
        Some(at)
    }

    fn has_asked(&self, link: usize) -> bool {
        self.asked & (1 << link) != 0
    }

    /// Whether somebody else could be asked now.
    fn has_others(&self, now: Instant) -> bool {
        if self.has_run_tools() && !self.plan.goes_on {
            return false;
        }
        let mut chain = self.plan.chain.iter().enumerate();
        chain.any(|(at, link)| !self.has_asked(at) && self.plan.health.is_fit(link.name, now))
    }

    /// Asks a second one beside the first, which has been silent for long.
    fn hedge(&mut self, now: Instant) {
        self.hedge_at = None;
        if self.rival.is_some() || self.asking.has_content || self.asking.finish.is_some() {
            return;
        }
        let Some(link) = self.pick(now) else { return };
        let slot = self.asking.slot.other();
        self.rival = Some(Box::new(Asking::begin(slot, link, now)));
        self.steps.push_back(Step::Ask { slot, link });
    }

    /// Lets the provider be, to ask it again at `at`.
    fn wait(&mut self, now: Instant, at: Instant, error: ProviderError) {
        let link = &self.plan.chain[self.asking.link];
        let (provider, wait_ms, by_s) = (link.name.as_str(), whole_ms(at - now), link.first_token.as_secs());
        let failure = tracing::field::debug(error.failure);
        tracing::debug!(provider, failure, status = error.status, wait_ms, "a provider is asked again");
        self.count(self.asking.used(End::Failed));
        self.steps.push_back(Step::HangUp { slot: self.asking.slot });
        let is_long = at - self.asking.since >= WAIT_TOLD;
        if is_long && !std::mem::replace(&mut self.said.waiting, true) {
            let text = format!("{provider} cannot answer yet and is asked again until {by_s} s are over: {error}");
            self.tell(now, News::Notice(text.into()));
        }
        self.asking.again(at, error);
    }

    // What becomes of those that were asked.

    /// It has let its time pass: to be asked again, to say something, or to say goodbye.
    fn overdue(&mut self, slot: Slot, now: Instant) {
        let inter_token = self.plan.inter_token;
        let Some(asking) = self.in_slot(slot) else { return };
        if asking.finish.is_some() {
            return self.handle_end(slot, now);
        }
        let (link, has_content, is_late) = (asking.link, asking.has_content, asking.again_at.take().is_none());
        if !is_late {
            asking.asked = true;
            return self.steps.push_back(Step::Ask { slot, link });
        }
        let why = match has_content {
            false => format!("no word after {} s (first_token_s)", self.plan.chain[link].first_token.as_secs()),
            true => format!("went silent for {} s (providers.inter_token_s)", inter_token.as_secs()),
        };
        self.handle_failure(slot, now, timed_out(why));
    }

    /// One of two speaks first: it goes on alone.
    fn lead(&mut self, slot: Slot) {
        let Some(rival) = self.rival.take() else { return };
        let mut loser = *rival;
        if loser.slot == slot {
            std::mem::swap(&mut loser, &mut self.asking);
            let after_ms = self.plan.hedge_after.map_or(0, whole_ms);
            let slower = format!("no word after {after_ms} ms, and another one was quicker (providers.hedge_after_ms)");
            self.failures.note(loser.link, timed_out(slower), false);
        }
        self.steps.push_back(Step::HangUp { slot: loser.slot });
        self.count(loser.used(End::Cancelled));
    }

    fn first_content(&mut self, slot: Slot, now: Instant) {
        self.lead(slot);
        if self.asking.slot != slot {
            return;
        }
        self.asking.has_content = true;
        self.hedge_at = None;
        self.first_content_at.get_or_insert(now);
        self.plan.health.answers(self.plan.chain[self.asking.link].name);
        if let Some(notice) = self.failures.own_up(&self.plan.chain, self.asking.link) {
            self.tell(now, News::Notice(notice.into()));
        }
        if self.breaks > std::mem::replace(&mut self.breaks_told, self.breaks) {
            self.tell(now, News::Message(self.breaks));
        }
    }

    /// Takes the one that is asked out of its place.
    fn set_down(&mut self, now: Instant) -> Asking {
        let blank = Asking::new(self.asking.slot, self.asking.link, now);
        std::mem::replace(&mut self.asking, blank)
    }

    /// It gave no answer, or not all of it, and will not be asked again.
    fn give_up(&mut self, asking: &Asking, now: Instant, error: ProviderError) {
        self.steps.push_back(Step::HangUp { slot: asking.slot });
        self.count(asking.used(End::Failed));
        let begun = asking.has_content || self.has_run_tools();
        self.note(asking.link, now, &error, begun);
        self.failures.note(asking.link, asking.reason(error), begun);
    }

    /// Remembers a failure for other turns and for the log.
    fn note(&self, link: usize, now: Instant, error: &ProviderError, begun: bool) {
        let Link { name, model, .. } = &self.plan.chain[link];
        let (provider, failure, status) = (name.as_str(), tracing::field::debug(error.failure), error.status);
        tracing::info!(provider, model, failure, status, begun, "a provider gave no whole answer");
        self.plan.health.failed(*name, now, error, begun);
    }

    /// It broke off in the midst of its answer: the next one goes on, or what came is all there is.
    fn break_off(&mut self, now: Instant, error: ProviderError) {
        let mut broken = self.set_down(now);
        let can_go_on = self.plan.goes_on && !broken.has_called;
        self.give_up(&broken, now, error);
        let said = broken.take_said(true);
        if can_go_on && said.is_some() {
            self.breaks = self.breaks_told + 1;
        }
        self.before.extend(said);
        if can_go_on { self.go_on(now) } else { self.fail(now) }
    }

    /// `providers.total_s` is over.
    fn run_out(&mut self, now: Instant) {
        let total = whole_ms(self.ends_by - self.asked_at) / 1000;
        let why = timed_out(format!("the answer was not whole after {total} s (providers.total_s)"));
        self.stop(self.asking.slot, now, why);
    }

    /// Ends the turn for what nobody else could do better.
    fn stop(&mut self, slot: Slot, now: Instant, error: ProviderError) {
        if self.asking.slot != slot {
            return self.handle_failure(slot, now, error);
        }
        let begun = self.asking.has_content || self.has_run_tools();
        self.note(self.asking.link, now, &error, begun);
        self.failures.note(self.asking.link, self.asking.reason(error), begun);
        self.fail(now);
    }

    // How it ends.

    fn fail(&mut self, now: Instant) {
        let (body, link) = self.failures.body(&self.plan.chain);
        let failed = self.failed(now, body, link);
        self.finish_with(failed, End::Failed);
    }

    fn failed(&self, now: Instant, error: ErrorBody, link: usize) -> News {
        let link = &self.plan.chain[link];
        News::Failed(Box::new(TurnFailure {
            error,
            provider: Some(link.name.as_str().into()),
            model: Some(link.model.as_str().into()),
            first_token_ms: self.first_token_ms(),
            total_ms: whole_ms(now - self.asked_at),
        }))
    }

    fn finish_with(&mut self, news: News, end: End) {
        self.ended = true;
        self.ending = Some(news);
        self.steps.push_back(Step::HangUp { slot: self.asking.slot });
        self.count(self.asking.used(end));
        if let Some(rival) = self.rival.take() {
            self.steps.push_back(Step::HangUp { slot: rival.slot });
            self.count(rival.used(End::Cancelled));
        }
        self.abandon_round();
        self.before.extend(self.asking.take_said(end != End::Whole));
        self.steps.push_back(Step::Save(std::mem::take(&mut self.before)));
    }

    // Small things.

    fn in_slot(&mut self, slot: Slot) -> Option<&mut Asking> {
        if self.asking.slot == slot {
            return Some(&mut self.asking);
        }
        self.rival.as_deref_mut().filter(|rival| rival.slot == slot)
    }

    fn due(&self, asking: &Asking) -> Instant {
        asking.due(self.plan.chain[asking.link].first_token, self.plan.inter_token)
    }

    fn first_token_ms(&self) -> Option<u64> {
        self.first_content_at.map(|at| whole_ms(at - self.asked_at))
    }

    fn count(&mut self, used: Option<Used>) {
        self.steps.extend(used.map(|used| Step::Count(Box::new(used))));
    }

    fn tell(&mut self, received_at: Instant, news: News) {
        self.steps.push_back(Step::Tell(TurnEvent { received_at, news }));
    }
}

fn timed_out(message: String) -> ProviderError {
    ProviderError::new(Failure::Timeout, message)
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
