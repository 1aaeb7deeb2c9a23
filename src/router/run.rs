//! Drives one turn: holds the upstream connection, the timer and the way to the store, and decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machine")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::adapters::llm::{Answer, Arrival};
use crate::common::chat::Role;
use crate::common::error::{ErrorBody, ErrorCode, Failure, ProviderError};
use crate::common::events::{News, TurnEvent, TurnFailure};
use crate::common::time::{UnixMillis, whole_ms};
use crate::router::choose::{Link, chain};
use crate::router::context;
use crate::router::turn::{Step, Turn};
use crate::router::{Ask, Roster, Shared, TURNS_MAX, TurnKey};
use crate::store::{
    DEFAULT_PROFILE, ModelProfile, NewMessage, Snapshot, StoredMessage, TEXT_BYTES_MAX, estimated_tokens,
};

/// Keeping the answer may delay its `complete` by at most so long.
const SAVE_DEADLINE: Duration = Duration::from_secs(5);

/// Where the news of one turn go.
pub struct Outlet {
    pub key: TurnKey,
    pub out: mpsc::Sender<(TurnKey, TurnEvent)>,
}

/// One turn from question to end. Ends early when the other half of `cancelled` is dropped.
pub async fn run(shared: Arc<Shared>, ask: Ask, outlet: Outlet, mut cancelled: oneshot::Receiver<Infallible>) {
    let asked_at = Instant::now();
    let Ok(_place) = shared.places.clone().try_acquire_owned() else {
        let busy = format!("the hub is answering {TURNS_MAX} requests already; try again in a moment");
        let body = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, busy) };
        return refuse(&outlet, asked_at, body).await;
    };
    let prepared = tokio::select! {
        biased;
        _ = &mut cancelled => Err(ErrorBody::new(ErrorCode::Cancelled, "stopped on request")),
        prepared = prepare(&shared, &ask) => prepared,
    };
    match prepared {
        Ok(prepared) => Box::new(Run::new(shared, ask, outlet, prepared, asked_at)).drive(cancelled).await,
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

/// What a turn needs to know before it can ask anybody.
struct Prepared {
    chain: Vec<Link>,
    roster: Arc<Roster>,
    profile: ModelProfile,
    history: Vec<StoredMessage>,
    inter_token: Duration,
    total: Duration,
}

async fn prepare(shared: &Shared, ask: &Ask) -> Result<Prepared, ErrorBody> {
    let config = shared.config.borrow().clone();
    let roster = shared.roster.borrow().clone();
    let name = ask.profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.into());
    let (conversation, question_tokens) = (ask.conversation_id.clone(), estimated_tokens(&ask.text));
    let look = move |store: &Snapshot| {
        let Some(profile) = store.profile(&name)? else { return Ok(Err(name.clone())) };
        let history = store.context(&conversation, context::history_tokens(&profile, question_tokens))?;
        Ok(Ok((profile, history)))
    };
    let (profile, history) = shared.store.read(look).await.map_err(internal)?.map_err(|name| {
        ErrorBody::new(ErrorCode::NotFound, format!("payload.profile: there is no model profile called {name:?}"))
    })?;
    let chain = chain(&config.providers, &profile, ask, |name| roster.contains_key(&name))?;
    let (inter_token, total) = (config.providers.inter_token_s, config.providers.total_s);
    Ok(Prepared {
        chain,
        roster,
        profile,
        history,
        inter_token: Duration::from_secs(inter_token),
        total: Duration::from_secs(total),
    })
}

/// The upstream side of a turn.
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
    async fn next(&mut self) -> Heard {
        match self {
            Upstream::Closed => std::future::pending().await,
            Upstream::Asked(asked) => match asked.await {
                Ok(answer) => Heard::Accepted(answer),
                Err(error) => Heard::Failed(error),
            },
            Upstream::Streaming(answer) => match answer.next().await {
                Some(Ok(arrival)) => Heard::Arrival(arrival),
                Some(Err(error)) => Heard::Failed(error),
                None => Heard::End,
            },
        }
    }
}

struct Run {
    shared: Arc<Shared>,
    ask: Ask,
    outlet: Outlet,
    prepared: Prepared,
    turn: Turn,
    upstream: Upstream,
    /// The session is gone: the turn ends as if cancelled, and nobody is told.
    unheard: bool,
}

impl Run {
    fn new(shared: Arc<Shared>, ask: Ask, outlet: Outlet, prepared: Prepared, asked_at: Instant) -> Run {
        let Prepared { chain, inter_token, total, .. } = &prepared;
        let turn = Turn::begin(chain.clone(), &ask.conversation_id, *inter_token, *total, asked_at, Instant::now());
        Run { shared, ask, outlet, prepared, turn, upstream: Upstream::Closed, unheard: false }
    }

    /// Boxed: an `async fn` keeps what it takes twice, and hundreds of turns may run.
    async fn drive(mut self: Box<Self>, mut cancelled: oneshot::Receiver<Infallible>) {
        // One timer for the whole turn, moved only when it fires too early and not once a chunk.
        let mut timer = std::pin::pin!(sleep_until(Instant::now().into()));
        while !self.carry_out(&mut cancelled).await {
            let due = self.turn.poll_timeout();
            tokio::select! {
                biased;
                _ = &mut cancelled, if !cancelled.is_terminated() => self.cancel(),
                heard = self.upstream.next() => self.hear(heard),
                () = &mut timer, if due.is_some() => {
                    let now = Instant::now();
                    self.turn.handle_timeout(now);
                    timer.as_mut().reset(self.turn.poll_timeout().unwrap_or(now).into());
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Accepted(answer) => self.upstream = Upstream::Streaming(answer),
            Heard::Arrival(arrival) => self.turn.handle_arrival(arrival),
            Heard::End => self.turn.handle_end(Instant::now()),
            Heard::Failed(error) => self.turn.handle_failure(Instant::now(), error),
        }
    }

    fn cancel(&mut self) {
        // Not left to the step: pieces that a slow client has not taken yet stand before it.
        self.upstream = Upstream::Closed;
        self.turn.handle_cancel(Instant::now());
    }

    /// Does what the turn says; true when that was the last of it.
    async fn carry_out(&mut self, cancelled: &mut oneshot::Receiver<Infallible>) -> bool {
        while let Some(step) = self.turn.poll_step() {
            match step {
                Step::Tell(event) => self.tell(event, cancelled).await,
                Step::Ask(at) => {
                    self.upstream = Upstream::Closed;
                    self.upstream = Upstream::Asked(self.ask_link(at));
                }
                Step::HangUp => self.upstream = Upstream::Closed,
                Step::Save { answer, partial } => {
                    let notice = self.save(answer, partial).await;
                    self.turn.handle_saved(Instant::now(), notice);
                }
                Step::End => return true,
            }
        }
        false
    }

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

    fn ask_link(&self, at: usize) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let link = &self.prepared.chain[at];
        let Some(provider) = self.prepared.roster.get(&link.name) else {
            let gone = ProviderError::new(Failure::Unreachable, "was taken out of the config meanwhile");
            return Box::pin(std::future::ready(Err(gone)));
        };
        let request = context::request(link, &self.prepared.profile, &self.prepared.history, &self.ask.text);
        tracing::debug!(provider = link.name.as_str(), model = link.model, messages = request.messages.len(), "asking");
        provider.ask(request)
    }

    /// Keeps question and answer together, so that the history never holds one without the other. What the user should
    /// know of it comes back.
    async fn save(&mut self, mut answer: String, partial: bool) -> Option<String> {
        if answer.is_empty() {
            return None;
        }
        let too_long = answer.len() > TEXT_BYTES_MAX;
        answer.truncate(answer.floor_char_boundary(TEXT_BYTES_MAX));
        let link = self.turn.link();
        let question = NewMessage::new(Role::User, self.ask.text.clone(), now_ms());
        let answer = NewMessage {
            partial: partial || too_long,
            provider: Some(link.name.as_str().to_owned()),
            model: Some(link.model.clone()),
            ..NewMessage::new(Role::Assistant, answer, now_ms())
        };
        let keeping = self.shared.store.append(&self.ask.conversation_id, vec![question, answer]);
        let problem = match timeout(SAVE_DEADLINE, keeping).await {
            Ok(Ok(())) if too_long => {
                return Some(format!("only the first {TEXT_BYTES_MAX} bytes of this answer were kept"));
            }
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the disk took longer than {} s", SAVE_DEADLINE.as_secs()),
        };
        tracing::warn!(conversation_id = self.ask.conversation_id, problem, "an exchange could not be kept");
        Some(format!("this exchange could not be kept in the history: {problem}"))
    }
}

fn internal(message: impl ToString) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, message.to_string())
}

fn now_ms() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
