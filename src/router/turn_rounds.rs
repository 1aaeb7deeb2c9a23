//! The turn where its model calls tools: an answer with calls is not the end, but the beginning of a round. What a tool has
//! done is done: nobody begins anew after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Step, Turn};
use crate::common::chat::{self, Event, Message, Part, ToolCall, Usage};
use crate::common::error::{Failure, ProviderError};
use crate::common::events::News;
use crate::mcp::Note;
use crate::router::asking::{Asking, Said, Slot};
use crate::router::budget::Verdict;
use crate::router::round::{Deed, Made, Manners, Round};
use crate::router::tools::names::wire_name;
use crate::router::tools::output::Told;
use crate::router::tools::refusal::{self, Lesson, Standing};
use crate::router::tools::{Amount, Toolbox};
use crate::router::usage::End;

/// What a turn may do with tools.
#[derive(Clone)]
pub struct ToolPlan {
    pub toolbox: Arc<Toolbox>,
    /// `mcp.tool_rounds`.
    pub rounds_max: u32,
    /// [`crate::router::Ask::confirms`].
    pub confirms: bool,
    /// `mcp.confirm_s`.
    pub confirm_within: Duration,
    /// Whoever asks sees the calls.
    pub visible: bool,
}

/// Where the rounds of a turn stand.
pub struct Rounds {
    plan: ToolPlan,
    /// Rounds that are over.
    done: u32,
    /// The one that runs.
    round: Option<Round>,
    made: Made,
    /// Calls and pictures of the answers before.
    calls_before: u32,
    pictures_before: u32,
    /// The model is asked for words, and no call is made any more.
    in_words: bool,
    /// What each link was shown last.
    shown: BTreeMap<usize, Arc<[Arc<chat::Tool>]>>,
    /// Since when a person is being asked.
    asking_since: Option<Instant>,
    /// What comes next begins a paragraph.
    breaks_line: bool,
    pub spent: Option<Usage>,
}

/// What a link is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub standing: Standing,
    /// See [`crate::router::tools::Offer::in_words`].
    pub in_words: bool,
}

impl Rounds {
    pub fn new(plan: ToolPlan) -> Rounds {
        Rounds {
            plan,
            done: 0,
            round: None,
            made: Made::new(),
            calls_before: 0,
            pictures_before: 0,
            in_words: false,
            shown: BTreeMap::new(),
            asking_since: None,
            breaks_line: false,
            spent: None,
        }
    }
}

impl Turn {
    /// The tools of a turn that has any.
    pub fn toolbox(&self) -> Option<&Arc<Toolbox>> {
        self.rounds.as_ref().map(|rounds| &rounds.plan.toolbox)
    }

    /// What this link is to be shown; `None`: nothing.
    pub fn wanted(&self, link: usize, now: Instant) -> Option<Wanted> {
        let rounds = self.rounds.as_ref()?;
        let link = &self.plan.chain[link];
        if link.paints {
            return None;
        }
        let standing = self.plan.health.tools.standing(link.name, &link.model, now);
        (standing.amount > Amount::None).then_some(Wanted { standing, in_words: rounds.in_words })
    }

    /// It was shown these, and `left_out` is why others were not.
    pub fn handle_offered(&mut self, link: usize, now: Instant, shown: Arc<[Arc<chat::Tool>]>, left_out: Vec<String>) {
        if let Some(rounds) = &mut self.rounds {
            rounds.shown.insert(link, shown);
        }
        left_out.into_iter().for_each(|why| self.tell(now, News::Notice(why.into())));
    }

    /// A call tells how far it is.
    pub fn handle_step(&mut self, call: u32, now: Instant, note: Note) {
        let round = self.rounds.as_mut().and_then(|rounds| rounds.round.as_mut());
        if let Some(step) = round.and_then(|round| round.stepped(call, note, now)) {
            self.tell(now, News::ToolStep(Box::new(step)));
        }
    }

    /// A call has come to its end.
    pub fn handle_called(&mut self, call: u32, now: Instant, told: Told) {
        self.in_round(now, |round| round.called(call, told, now));
    }

    /// A person has said whether a call is to be made; `None`: nobody could be asked.
    pub fn handle_confirmed(&mut self, call: u32, now: Instant, accept: Option<bool>) {
        self.in_round(now, |round| round.confirmed(call, accept, now));
    }

    /// Whether the budget still allows another round.
    pub fn handle_weighed(&mut self, now: Instant, verdict: Verdict) {
        if self.ended {
            return;
        }
        let (slot, link) = (self.asking.slot, self.asking.link);
        if let Verdict::OnlyLocal { why } = verdict
            && !self.plan.chain[link].name.is_local()
        {
            let error = ProviderError::new(Failure::QuotaExhausted, format!("is asked no further, since {why}"));
            self.failures.note(link, error, true);
            let paid = self.plan.chain.iter().enumerate().filter(|(_, link)| !link.name.is_local());
            self.asked |= paid.fold(0, |bits, (at, _)| bits | 1 << at);
            return self.go_on_or_fail(now);
        }
        self.asking = Asking::begin(slot, link, now);
        self.steps.push_back(Step::Ask { slot, link });
    }

    /// Whether tools have run: their results are part of the answer.
    pub(super) fn has_run_tools(&self) -> bool {
        self.rounds.as_ref().is_some_and(|rounds| rounds.done > 0)
    }

    /// Whether calls are being made.
    pub(super) fn is_calling(&self) -> bool {
        self.rounds.as_ref().is_some_and(|rounds| rounds.round.is_some())
    }

    /// Where nobody else may begin anew: the next one goes on, or the turn ends.
    pub(super) fn go_on_or_fail(&mut self, now: Instant) {
        if self.has_run_tools() && !self.plan.goes_on {
            return self.fail(now);
        }
        if self.has_run_tools() {
            self.breaks = self.breaks_told + 1;
        }
        self.go_on(now);
    }

    /// When the round wants to be woken, with the end of the turn where its clock runs.
    pub(super) fn round_timeout(&self) -> Option<Instant> {
        let round = self.rounds.as_ref()?.round.as_ref()?;
        let ends_by = (!round.is_asking()).then_some(self.ends_by);
        round.poll_timeout().into_iter().chain(ends_by).min()
    }

    pub(super) fn round_is_due(&mut self, now: Instant) {
        let is_asking = self.rounds.as_ref().and_then(|rounds| rounds.round.as_ref()).is_some_and(Round::is_asking);
        if now >= self.ends_by && !is_asking {
            return self.run_out(now);
        }
        self.in_round(now, |round| round.timeout(now));
    }

    /// The answer ended whole: where it calls tools, a round begins, and true is given back.
    pub(super) fn begins_round(&mut self, now: Instant) -> bool {
        let Some(rounds) = &mut self.rounds else { return false };
        if !self.asking.has_called {
            return false;
        }
        if rounds.in_words {
            self.asking.answer.forget_calls();
            let text =
                "the model still wanted to call tools when it was to answer; what it has said so far is all there is";
            self.tell(now, News::Notice(text.into()));
            return false;
        }
        let (slot, link) = (self.asking.slot, self.asking.link);
        let used = self.asking.used(End::Whole);
        rounds.pictures_before += self.asking.pictures.len() as u32;
        rounds.breaks_line = self.asking.answer.text_bytes > 0 || rounds.breaks_line;
        let Some(mut said) = self.asking.take_said(false) else { return false };
        let calls = calls_of(&mut said.message, rounds.calls_before, &rounds.plan.toolbox);
        let manners = Manners { confirms: rounds.plan.confirms, confirm_within: rounds.plan.confirm_within };
        let first = rounds.calls_before;
        rounds.calls_before += calls.len() as u32;
        let (round, deeds) = Round::begin(&calls, first, &rounds.plan.toolbox, manners, &mut rounds.made, now);
        rounds.round = Some(round);
        self.plan.health.whole(self.plan.chain[link].name);
        self.steps.push_back(Step::HangUp { slot });
        self.count(used);
        self.before.push(said);
        self.asking = Asking::new(slot, link, now);
        self.carry(now, deeds);
        true
    }

    /// A provider that refuses the question for its tools is asked again without what it minds; true where that is so.
    pub(super) fn sheds_tools(&mut self, slot: Slot, now: Instant, error: &ProviderError) -> bool {
        let link = self.asking.link;
        if self.asking.slot != slot || self.asking.has_content {
            return false;
        }
        let Some(standing) = self.wanted(link, now).map(|wanted| wanted.standing) else { return false };
        let Some(rounds) = &mut self.rounds else { return false };
        let shown = rounds.shown.remove(&link).unwrap_or_default();
        let (name, model) = (self.plan.chain[link].name, self.plan.chain[link].model.as_str());
        // Elsewhere it is the conversation that is too long, and not what the tools add to it.
        if error.failure == Failure::TooLarge && !name.is_local() {
            return false;
        }
        let Some(lesson) = refusal::lesson(error, &shown, standing.amount) else { return false };
        let notice = match &lesson {
            Lesson::Except(tool) => format!("{} refuses the tool {tool}, which is left out: {error}", name.as_str()),
            Lesson::Only(Amount::None) => format!("{} ({model}) is asked without tools: {error}", name.as_str()),
            Lesson::Only(_) => format!("{} ({model}) is asked with fewer tools: {error}", name.as_str()),
        };
        tracing::info!(provider = name.as_str(), model, ?lesson, "a provider refuses tools");
        self.plan.health.tools.learn(name, model, lesson, now);
        self.steps.push_back(Step::HangUp { slot });
        let used = self.asking.used(End::Failed);
        self.count(used);
        self.tell(now, News::Notice(notice.into()));
        self.asking = Asking::begin(slot, link, now);
        self.steps.push_back(Step::Ask { slot, link });
        true
    }

    /// The turn ends in the midst of a round: what was done is kept, and what was not is said.
    pub(super) fn abandon_round(&mut self) {
        let Some(rounds) = &mut self.rounds else { return };
        let Some(mut round) = rounds.round.take() else { return };
        self.steps.push_back(Step::StopCalls);
        round.abandon();
        self.before.push(results(self.asking.link, round));
    }

    /// Where the numbers of calls and pictures go on.
    pub(super) fn numbers(&self) -> Numbers {
        let rounds = self.rounds.as_ref();
        rounds.map_or(Numbers::default(), |rounds| Numbers {
            calls: rounds.calls_before,
            pictures: rounds.pictures_before,
        })
    }

    /// Whether whoever asks is shown the calls.
    pub(super) fn shows_calls(&self) -> bool {
        self.rounds.as_ref().is_none_or(|rounds| rounds.plan.visible)
    }

    /// What is said after a round begins a paragraph of its own.
    pub(super) fn begins_paragraph(&mut self) -> bool {
        let rounds = self.rounds.as_mut().filter(|rounds| rounds.done > 0);
        rounds.is_some_and(|rounds| std::mem::take(&mut rounds.breaks_line))
    }

    /// What all rounds have cost together.
    pub(super) fn add_spent(&mut self, usage: Usage) -> Usage {
        let Some(rounds) = &mut self.rounds else { return usage };
        let sum = rounds.spent.map_or(usage, |spent| sum(spent, usage));
        rounds.spent = Some(sum);
        sum
    }

    /// The same with what the last provider has counted, which is not priced yet.
    pub(super) fn used_so_far(&self, last: Option<Usage>) -> Option<Usage> {
        match (self.rounds.as_ref().and_then(|rounds| rounds.spent), last) {
            (Some(spent), Some(last)) => Some(sum(spent, last)),
            (spent, last) => spent.or(last),
        }
    }

    fn in_round(&mut self, now: Instant, deed: impl FnOnce(&mut Round) -> Vec<Deed>) {
        if self.ended {
            return;
        }
        let Some(round) = self.rounds.as_mut().and_then(|rounds| rounds.round.as_mut()) else { return };
        let deeds = deed(round);
        self.carry(now, deeds);
    }

    /// Passes on what a round says, and ends it where nothing is left to wait for.
    fn carry(&mut self, now: Instant, deeds: Vec<Deed>) {
        let visible = self.shows_calls();
        for deed in deeds {
            match deed {
                Deed::Tell(news) if visible => self.tell(now, News::ToolResult(news)),
                Deed::Tell(_) => {}
                deed => self.steps.push_back(Step::Tool(Box::new(deed))),
            }
        }
        let Some(rounds) = &mut self.rounds else { return };
        let Some(round) = &mut rounds.round else { return };
        match (round.is_asking(), rounds.asking_since) {
            (true, None) => rounds.asking_since = Some(now),
            // Nobody's time runs out while a person thinks.
            (false, Some(since)) => {
                self.ends_by += now - since;
                rounds.asking_since = None;
            }
            _ => {}
        }
        if !round.is_over() {
            return;
        }
        let Some(round) = rounds.round.take() else { return };
        rounds.done += 1;
        let is_last = rounds.done >= rounds.plan.rounds_max;
        rounds.in_words = is_last || round.only_repeats;
        self.before.push(results(self.asking.link, round));
        if is_last {
            let text =
                format!("after {} rounds of calls the model is asked to answer (mcp.tool_rounds)", self.rounds_done());
            self.tell(now, News::Notice(text.into()));
        }
        self.steps.push_back(Step::Weigh);
    }

    fn rounds_done(&self) -> u32 {
        self.rounds.as_ref().map_or(0, |rounds| rounds.done)
    }
}

/// How many there were in the rounds before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    calls: u32,
    pictures: u32,
}

impl Numbers {
    /// Puts a piece of a call, or of a picture, in its place among all of the answer.
    pub fn go_on(self, event: Event) -> Event {
        match event {
            Event::ToolCall(mut delta) => {
                delta.index = delta.index.saturating_add(self.calls);
                Event::ToolCall(delta)
            }
            Event::Image(mut piece) => {
                piece.index = piece.index.saturating_add(self.pictures);
                Event::Image(piece)
            }
            event => event,
        }
    }
}

fn results(link: usize, round: Round) -> Said {
    Said { link, message: round.into_message(), pictures: Vec::new(), reasoning: String::new(), partial: false }
}

/// The calls of an answer, each with an id and a name that every provider takes back: some give neither.
fn calls_of(message: &mut Message, first: u32, toolbox: &Toolbox) -> Vec<ToolCall> {
    let mut calls: Vec<ToolCall> = Vec::new();
    for part in &mut message.parts {
        let (call, is_own) = match part {
            Part::ToolCall(call) => (call, true),
            Part::Verbatim(item) => match item.stands_for.as_deref_mut() {
                Some(Part::ToolCall(call)) => (call, false),
                _ => continue,
            },
            _ => continue,
        };
        // What goes back byte for byte keeps its id.
        if is_own && (call.id.is_empty() || calls.iter().any(|other| other.id == call.id)) {
            call.id = format!("call_{}", first as usize + calls.len());
        }
        if is_own && wire_name(&call.name) != call.name {
            call.name = match toolbox.find(&call.name) {
                Ok(tool) => toolbox.wire(&tool.name).to_owned(),
                Err(_) => wire_name(&call.name),
            };
        }
        calls.push(call.clone());
    }
    calls
}

/// Costs that are not known make the whole unknown.
fn sum(a: Usage, b: Usage) -> Usage {
    let some = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
    };
    Usage {
        input_tokens: a.input_tokens + b.input_tokens,
        output_tokens: a.output_tokens + b.output_tokens,
        cached_tokens: some(a.cached_tokens, b.cached_tokens),
        cache_write_tokens: some(a.cache_write_tokens, b.cache_write_tokens),
        reasoning_tokens: some(a.reasoning_tokens, b.reasoning_tokens),
        cost_usd: a.cost_usd.zip(b.cost_usd).map(|(a, b)| a + b),
    }
}
