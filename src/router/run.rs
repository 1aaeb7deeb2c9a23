//! Drives one turn: holds the upstream connections, the timer and the way to the store, and decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machine")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, join, join_all};
use futures_util::{FutureExt, StreamExt};
use jiff::Zoned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use crate::adapters::llm::schema::Dialect;
use crate::adapters::llm::{Answer, Arrival};
use crate::common::error::{ErrorBody, ErrorCode, Failure, ProviderError};
use crate::common::events::{Answerer, ConfirmNews, News, TurnEvent, TurnFailure};
use crate::common::ids;
use crate::common::time::{UnixMillis, whole_ms};
use crate::common::who::{Door, Principal};
use crate::mcp::{Call, Reach};
use crate::router::asking::{Slot, Used};
use crate::router::budget::Verdict;
use crate::router::calls::{Calls, Ended};
use crate::router::keep::{SAVE_DEADLINE, keep};
use crate::router::question::{Prepared, Question, Wish, prepare};
use crate::router::round::Deed;
use crate::router::tools::Offer;
use crate::router::tools::refusal::Standing;
use crate::router::turn::{Step, Turn};
use crate::router::usage::{End, Finished};
use crate::router::{Roster, Shared, TURNS_MAX, TurnKey};

/// For whom a turn is, and where its news go.
pub struct Outlet {
    pub key: TurnKey,
    pub who: Arc<Principal>,
    pub out: mpsc::Sender<(TurnKey, TurnEvent)>,
}

/// One turn from question to end. Ends early when the other half of `cancelled` is dropped.
pub async fn run(shared: Arc<Shared>, wish: Wish, outlet: Outlet, mut cancelled: oneshot::Receiver<Infallible>) {
    let asked_at = Instant::now();
    let Ok(_place) = shared.places.clone().try_acquire_owned() else {
        let busy = format!("the hub is answering {TURNS_MAX} requests already; try again in a moment");
        let body = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, busy) };
        return refuse(&outlet, asked_at, body).await;
    };
    // In a box of its own, which is gone when the answer begins: what a future once held, it holds to its end.
    let preparing = Box::pin(prepare(&shared, &outlet.who, wish, Zoned::now(), roll));
    let prepared = tokio::select! {
        biased;
        _ = &mut cancelled => Err(ErrorBody::new(ErrorCode::Cancelled, "stopped on request")),
        prepared = preparing => prepared,
    };
    match prepared {
        Ok(prepared) => Box::new(Run::new(shared, outlet, prepared, asked_at)).drive(cancelled).await,
        Err(error) => refuse(&outlet, asked_at, error).await,
    }
}

/// Ends a turn that never began.
async fn refuse(outlet: &Outlet, asked_at: Instant, error: ErrorBody) {
    let now = Instant::now();
    let total_ms = whole_ms(now - asked_at);
    let failure = TurnFailure { error, provider: None, model: None, first_token_ms: None, total_ms };
    let event = TurnEvent { received_at: now, news: News::Failed(Box::new(failure)) };
    // A session that is gone reads no refusal.
    let _ = outlet.out.send((outlet.key, event)).await;
}

/// One of the upstream connections of a turn.
enum Upstream {
    Closed,
    /// Waiting for the provider to accept.
    Asked(BoxFuture<'static, Result<Answer, ProviderError>>),
    Streaming(Answer),
}

enum Heard {
    Accepted(Answer),
    Arrival(Arrival),
    End,
    Failed(ProviderError),
}

impl Upstream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        match self {
            Upstream::Closed => Poll::Pending,
            Upstream::Asked(asked) => asked.poll_unpin(context).map(|answered| match answered {
                Ok(answer) => Heard::Accepted(answer),
                Err(error) => Heard::Failed(error),
            }),
            Upstream::Streaming(answer) => answer.poll_next_unpin(context).map(|said| match said {
                Some(Ok(arrival)) => Heard::Arrival(arrival),
                Some(Err(error)) => Heard::Failed(error),
                None => Heard::End,
            }),
        }
    }
}

/// Both places for an upstream connection; the second is taken only while a provider is raced.
struct Upstreams {
    first: Upstream,
    second: Upstream,
}

impl Upstreams {
    const CLOSED: Upstreams = Upstreams { first: Upstream::Closed, second: Upstream::Closed };

    fn at(&mut self, slot: Slot) -> &mut Upstream {
        match slot {
            Slot::First => &mut self.first,
            Slot::Second => &mut self.second,
        }
    }

    async fn next(&mut self) -> (Slot, Heard) {
        poll_fn(|context| match self.first.poll(context) {
            Poll::Ready(heard) => Poll::Ready((Slot::First, heard)),
            Poll::Pending => self.second.poll(context).map(|heard| (Slot::Second, heard)),
        })
        .await
    }
}

struct Run {
    shared: Arc<Shared>,
    outlet: Outlet,
    question: Question,
    roster: Arc<Roster>,
    turn: Turn,
    upstreams: Upstreams,
    /// Calls of tools, and people who are asked about them.
    calls: Calls,
    /// What went with the last question to each link.
    offers: BTreeMap<usize, Offer>,
    /// What was used, on its way to the disk.
    counted: Vec<JoinHandle<()>>,
    /// The session is gone: the turn ends as if cancelled, and nobody is told.
    unheard: bool,
}

impl Run {
    fn new(shared: Arc<Shared>, outlet: Outlet, prepared: Prepared, asked_at: Instant) -> Run {
        let Prepared { question, plan, roster } = prepared;
        let turn = Turn::begin(plan, asked_at, Instant::now());
        Run {
            shared,
            outlet,
            question,
            roster,
            turn,
            upstreams: Upstreams::CLOSED,
            calls: Calls::default(),
            offers: BTreeMap::new(),
            counted: Vec::new(),
            unheard: false,
        }
    }

    /// Boxed: an `async fn` keeps what it takes twice, and hundreds of turns may run.
    async fn drive(mut self: Box<Self>, mut cancelled: oneshot::Receiver<Infallible>) {
        // One timer for the whole turn, moved only when it fires too early or would fire too late, and not once a chunk.
        let mut timer = std::pin::pin!(sleep_until(Instant::now().into()));
        while !self.carry_out(&mut cancelled).await {
            let due = self.turn.poll_timeout();
            if let Some(due) = due.filter(|due| *due < timer.deadline().into_std()) {
                timer.as_mut().reset(due.into());
            }
            tokio::select! {
                biased;
                _ = &mut cancelled, if !cancelled.is_terminated() => self.cancel(),
                (slot, heard) = self.upstreams.next() => self.hear(slot, heard),
                ended = self.calls.next() => {
                    let now = Instant::now();
                    match ended {
                        Ended::Stepped { call, note } => self.turn.handle_step(call, now, note),
                        Ended::Called { call, told } => self.turn.handle_called(call, now, told),
                        Ended::Confirmed { call, accept } => self.turn.handle_confirmed(call, now, accept),
                    }
                }
                () = &mut timer, if due.is_some() => {
                    let now = Instant::now();
                    self.turn.handle_timeout(now);
                    timer.as_mut().reset(self.turn.poll_timeout().unwrap_or(now).into());
                }
            }
        }
    }

    fn hear(&mut self, slot: Slot, heard: Heard) {
        match heard {
            Heard::Accepted(answer) => *self.upstreams.at(slot) = Upstream::Streaming(answer),
            Heard::Arrival(arrival) => self.turn.handle_arrival(slot, arrival),
            Heard::End => {
                *self.upstreams.at(slot) = Upstream::Closed;
                self.turn.handle_end(slot, Instant::now());
            }
            Heard::Failed(error) => {
                *self.upstreams.at(slot) = Upstream::Closed;
                self.turn.handle_failure(slot, Instant::now(), error);
            }
        }
    }

    fn cancel(&mut self) {
        // Not left to the step: pieces that a slow client has not taken yet stand before it.
        self.upstreams = Upstreams::CLOSED;
        self.calls.stop();
        self.turn.handle_cancel(Instant::now());
    }

    /// Does what the turn says; true when that was the last of it.
    async fn carry_out(&mut self, cancelled: &mut oneshot::Receiver<Infallible>) -> bool {
        while let Some(step) = self.turn.poll_step() {
            match step {
                Step::Tell(event) => self.tell(event, cancelled).await,
                Step::Ask { slot, link } => {
                    *self.upstreams.at(slot) = Upstream::Closed;
                    *self.upstreams.at(slot) = Upstream::Asked(self.ask(link));
                }
                Step::HangUp { slot } => *self.upstreams.at(slot) = Upstream::Closed,
                Step::Count(used) => self.count(*used),
                Step::Tool(deed) => self.call(*deed, cancelled).await,
                Step::StopCalls => self.calls.stop(),
                Step::Weigh => Box::pin(self.weigh()).await,
                Step::Save(said) => {
                    // Rare beside the chunks, and large: not in the future of every turn.
                    let counted = timeout(SAVE_DEADLINE, join_all(std::mem::take(&mut self.counted)));
                    let keeping = keep(&self.shared.store, &self.question, &self.turn, said, now_ms());
                    // A disk that takes longer to count does so without us; what fails is in the log.
                    let (saved, _) = Box::pin(join(keeping, counted)).await;
                    self.turn.handle_saved(Instant::now(), saved);
                }
                Step::End => return true,
            }
        }
        false
    }

    /// The one place where a turn's news leave.
    async fn tell(&mut self, event: TurnEvent, cancelled: &mut oneshot::Receiver<Infallible>) {
        if self.unheard {
            return;
        }
        let key = self.outlet.key;
        let Err(full) = self.outlet.out.try_send((key, event)) else { return };
        let mpsc::error::TrySendError::Full(event) = full else { return self.leave() };
        // The client is slower than the provider, who is not read meanwhile and so is held back too.
        let out = self.outlet.out.clone();
        loop {
            tokio::select! {
                biased;
                _ = &mut *cancelled, if !cancelled.is_terminated() => self.cancel(),
                place = out.reserve() => {
                    let Ok(place) = place else { return self.leave() };
                    place.send(event);
                    return self.turn.handle_taken(Instant::now());
                }
            }
        }
    }

    fn leave(&mut self) {
        self.unheard = true;
        self.cancel();
    }

    /// Makes a call, or asks a person about it.
    async fn call(&mut self, deed: Deed, cancelled: &mut oneshot::Receiver<Infallible>) {
        match deed {
            Deed::Call { call, tool, arguments } => {
                let who = Arc::new(self.outlet.who.through(Door::Model));
                self.calls.make(&self.shared.tools, call, Call { tool, arguments, who, reach: Reach::default() });
            }
            Deed::Confirm { call, tool, title, arguments } => {
                let (answer, answered) = Answerer::new();
                let confirm = ConfirmNews {
                    confirm_id: ids::fresh('f').into(),
                    tool,
                    title,
                    arguments: arguments.into(),
                    expires_in_s: self.shared.config.borrow().mcp.confirm_s,
                    answer,
                };
                self.calls.await_word(call, answered);
                let event = TurnEvent { received_at: Instant::now(), news: News::Confirm(Box::new(confirm)) };
                self.tell(event, cancelled).await;
            }
            Deed::Stop { call } => self.calls.stop_one(call),
            Deed::Tell(_) => unreachable!("the turn tells its news itself"),
        }
    }

    /// Whether the budget allows another round.
    async fn weigh(&mut self) {
        let config = self.shared.config.borrow().clone();
        let profile = self.question.model_profile();
        let verdict = self.shared.ledger.verdict(&config.budget, profile, &Zoned::now()).await;
        let verdict = verdict.unwrap_or_else(|error| {
            // The first question of the turn was allowed; a disk that fails is in the log.
            tracing::warn!(%error, "what was spent could not be read");
            Verdict::Free
        });
        self.turn.handle_weighed(Instant::now(), verdict);
    }

    /// What goes with the question to this link.
    fn offer(&mut self, link: usize, dialect: Dialect) {
        let now = Instant::now();
        let wanted = self.turn.wanted(link, now);
        let offer = match (wanted, self.turn.toolbox().cloned()) {
            (Some(wanted), Some(toolbox)) => {
                let Standing { amount, except } = wanted.standing;
                let (tools, left_out) = toolbox.offer(dialect, amount, &except, &self.shared.schemas);
                self.turn.handle_offered(link, now, tools.clone(), left_out);
                Offer { tools, in_words: wanted.in_words }
            }
            _ => Offer::default(),
        };
        self.offers.insert(link, offer);
    }

    fn ask(&mut self, at: usize) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let name = self.turn.link(at).name;
        if let Some(dialect) = self.roster.providers.get(&name).map(|provider| provider.dialect()) {
            self.offer(at, dialect);
        }
        let link = self.turn.link(at);
        let Some(provider) = self.roster.providers.get(&link.name) else {
            let gone = ProviderError::new(Failure::Unreachable, "was taken out of the config meanwhile");
            return Box::pin(std::future::ready(Err(gone)));
        };
        tracing::debug!(provider = link.name.as_str(), model = link.model, "a provider is asked");
        let nothing = Offer::default();
        self.question.put(&**provider, link, self.turn.before(), self.offers.get(&at).unwrap_or(&nothing))
    }

    /// Writes down what one request used; the turn hears what a whole answer cost.
    fn count(&mut self, used: Used) {
        let link = self.turn.link(used.link);
        let nothing = Offer::default();
        let offer = self.offers.get(&used.link).unwrap_or(&nothing);
        let guess = || self.question.asked_tokens(link, self.turn.before(), offer);
        let finished = Finished {
            user: &self.outlet.who.user,
            profile: self.question.profile(),
            provider: link.name.as_str(),
            model: used.model.as_deref().unwrap_or(&link.model),
            end: used.end,
            usage: used.usage,
            asked_tokens: if used.usage.is_none() { guess() } else { 0 },
            answered_tokens: used.answered_tokens,
            images: used.pictures.into(),
            speech_characters: 0,
        };
        let config = self.shared.config.borrow().clone();
        let recorded = self.shared.ledger.record(&config.budget, &finished, Zoned::now().date());
        self.counted.push(recorded.kept);
        if used.end == End::Whole
            && let Some(usage) = recorded.usage
        {
            self.turn.handle_priced(usage);
        }
    }
}

/// Chance, from 0.0 to 1.0.
fn roll() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the kernel's random source does not fail once the system is up");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

fn now_ms() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
