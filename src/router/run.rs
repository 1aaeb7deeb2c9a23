//! Drives one turn: holds the upstream connections, the timer and the way to the store, and decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machine")]

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

use crate::adapters::llm::{Answer, Arrival};
use crate::common::error::{ErrorBody, ErrorCode, Failure, ProviderError};
use crate::common::events::{News, TurnEvent, TurnFailure};
use crate::common::time::{UnixMillis, whole_ms};
use crate::router::asking::{Slot, Used};
use crate::router::keep::{SAVE_DEADLINE, keep};
use crate::router::question::{Prepared, Question, Wish, prepare};
use crate::router::turn::{Step, Turn};
use crate::router::usage::{End, Finished};
use crate::router::{Roster, Shared, TURNS_MAX, TurnKey};

/// Where the news of one turn go.
pub struct Outlet {
    pub key: TurnKey,
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
    let preparing = Box::pin(prepare(&shared, wish, Zoned::now(), roll));
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

    fn ask(&self, link: usize) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let link = self.turn.link(link);
        let Some(provider) = self.roster.providers.get(&link.name) else {
            let gone = ProviderError::new(Failure::Unreachable, "was taken out of the config meanwhile");
            return Box::pin(std::future::ready(Err(gone)));
        };
        tracing::debug!(provider = link.name.as_str(), model = link.model, "a provider is asked");
        self.question.put(&**provider, link, self.turn.before())
    }

    /// Writes down what one request used; the turn hears what a whole answer cost.
    fn count(&mut self, used: Used) {
        let link = self.turn.link(used.link);
        let guess = || self.question.asked_tokens(link, self.turn.before());
        let finished = Finished {
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
