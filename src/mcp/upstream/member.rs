//! One server behind the hub while it is there: its connection, the starts that are under way, the calls that wait. Drives
//! [`Health`], which decides; knows no catalog and no names.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the state machine")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant as TokioInstant, timeout, timeout_at};

use crate::common::config::McpServer;
use crate::mcp::call::Reach;
use crate::mcp::upstream::chance::{NowStd, roll};
use crate::mcp::upstream::ears::{Listener, MemberEars};
use crate::mcp::upstream::health::{Advice, Doing, Health, StartId};
use crate::mcp::upstream::live::{Lease, Live};
use crate::mcp::upstream::places::{Holder, Place, Places};
use crate::mcp::upstream::trouble::{Trouble, clean};
use crate::mcp::upstream::{Connect, Connection, Request, UpstreamError};

/// Calls that wait for their turn at one server.
pub const WAITING_MAX: usize = 256;

/// The longest wait for a turn.
pub const TURN_WAIT: Duration = Duration::from_secs(30);

/// The longest wait for a place among the programs that run.
pub const PLACE_WAIT: Duration = Duration::from_secs(20);

/// A start for discovery alone that takes longer gives up its place when another program needs it.
const DISCOVERY_HOLDS_PLACE: Duration = Duration::from_secs(2);

/// While a call waits for a start, it asks again what to do: a start that hangs gets one beside it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// For the answer to a `ping` after a call that was not answered.
const PING_WAIT: Duration = Duration::from_secs(2);

/// What a connection has beyond a call's deadline to say itself that it is over.
const GRACE: Duration = Duration::from_millis(250);

/// What all servers share.
pub struct House {
    pub connector: Arc<dyn Connect>,
    pub places: Arc<Places>,
    pub listener: Weak<dyn Listener>,
}

/// A request as the aggregator puts it.
pub struct Ask {
    pub method: &'static str,
    pub params: Value,
    pub reach: Reach,
    pub deadline: Duration,
    /// It may run twice: it changes nothing, or twice is as good as once.
    pub repeatable: bool,
    /// Only at a start of the server of which somebody has seen what it offers: see [`Member::check_first`].
    pub checked: bool,
}

/// See the module.
pub struct Member {
    pub slug: Box<str>,
    pub row: McpServer,
    house: Arc<House>,
    state: Mutex<State>,
    /// Something in `state` is otherwise.
    news: Notify,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// One check at a time; calls wait for it.
    checking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    health: Health,
    live: Option<Live>,
    starts: Vec<(StartId, AbortHandle)>,
    /// Calls that run or wait for the start.
    busy: usize,
    /// Since the last call; `None` while there is one.
    idle_since: Option<Instant>,
    /// Discoveries that run, and since when there is one.
    looks: usize,
    looking_since: Option<Instant>,
    /// How often it was stopped on purpose.
    stops: u64,
    /// Somebody called it, and not only discovery.
    is_used: bool,
    /// It is to be there even when nobody calls: somebody subscribed to a resource of it.
    is_held: bool,
    is_retired: bool,
    generation: u64,
    /// Of which start somebody has seen what it offers.
    checked: u64,
}

/// Counts as a call or a discovery that runs, until it is dropped.
struct Busy<'a> {
    member: &'a Member,
    is_call: bool,
}

/// How a server is, for people.
#[derive(Debug, Clone)]
pub struct Vitals {
    pub doing: Doing,
    pub why: Option<String>,
    pub failures: u32,
    pub call_takes: Option<Duration>,
    pub pid: Option<u32>,
    pub running: usize,
}

impl Member {
    pub fn new(slug: &str, row: McpServer, house: Arc<House>) -> Arc<Member> {
        let turns = Arc::new(Semaphore::new(row.max_calls.max(1)));
        let state = Mutex::new(State { idle_since: Some(Instant::now_std()), ..State::default() });
        let (news, waiting, checking) = Default::default();
        Arc::new(Member { slug: slug.into(), row, house, state, news, turns, waiting, checking })
    }

    /// Puts a request, starting the server if need be.
    pub async fn request(self: &Arc<Self>, ask: Ask) -> Result<Value, Trouble> {
        let until = TokioInstant::now() + ask.deadline;
        let _turn = self.turn(until).await?;
        let _busy = self.begin(true);
        let first = self.attempt(&ask, until).await;
        let Err(Trouble::Upstream(error)) = &first else { return first };
        // It surely did not arrive, or may arrive twice.
        let again = match error {
            UpstreamError::Unreachable(_) => true,
            UpstreamError::Gone(_) => ask.repeatable,
            _ => false,
        };
        if again { self.attempt(&ask, until).await } else { first }
    }

    /// Looks at the server for discovery: as many requests as it takes, which need no turn and do not keep it up.
    pub async fn look<T, F>(
        self: &Arc<Self>,
        deadline: Duration,
        look: impl FnOnce(Arc<dyn Connection>) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let until = TokioInstant::now() + deadline;
        let _busy = self.begin(false);
        let lease = self.lease(until, true).await?;
        let looked = lease.work(until, deadline, look).await;
        match &looked {
            Ok(_) | Err(UpstreamError::Answered(_)) => {}
            // Many servers do one thing at a time: what hangs is found out by the calls themselves.
            Err(UpstreamError::Timeout(_)) if self.state().busy > 0 => {}
            Err(error) => self.give_up(lease.generation, &clean(&error.to_string())),
        }
        Ok(looked?)
    }

    /// Has a server that was started anew looked at before a call goes out to it, starting it if need be: its tools may not be
    /// what was approved any more. Calls that come meanwhile wait for the same look.
    pub async fn check_first<F>(
        self: &Arc<Self>,
        deadline: Duration,
        check: impl FnOnce(Arc<dyn Connection>) -> F,
    ) -> Result<(), Trouble>
    where
        F: Future<Output = Result<(), UpstreamError>>,
    {
        let until = TokioInstant::now() + deadline;
        let _busy = self.begin(true);
        let late = |_| Trouble::Upstream(UpstreamError::Timeout(deadline));
        let _alone = timeout_at(until, self.checking.lock()).await.map_err(late)?;
        let lease = self.lease(until, false).await?;
        if self.state().checked == lease.generation {
            return Ok(());
        }
        let checked = lease.work(until, deadline, check).await;
        match &checked {
            Ok(()) => self.state().checked = lease.generation,
            Err(UpstreamError::Answered(_)) => {}
            Err(error) => self.give_up(lease.generation, &clean(&error.to_string())),
        }
        Ok(checked?)
    }

    /// Whether somebody has seen what it offers since it was started.
    pub fn is_checked(&self) -> bool {
        let state = self.state();
        state.live.as_ref().is_some_and(|live| live.generation == state.checked)
    }

    /// Whether requests can be put without a start.
    pub fn is_up(&self) -> bool {
        self.state().live.is_some()
    }

    /// From now on the server is to be there even when nobody calls, or only when somebody does.
    pub fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    /// Starts it where it is to be there and is not, as far as it is not broken.
    pub fn wake(self: &Arc<Self>) {
        let mut state = self.state();
        if state.is_held && !state.is_retired {
            let _ = self.advise(&mut state);
        }
    }

    /// Stops it, where it has been idle for so long, or was only looked at.
    pub fn rest(&self, idle: Duration) {
        self.stop_if(|state| {
            let is_due = state.idle_since.is_some_and(|since| Instant::now_std().duration_since(since) >= idle);
            state.is_stoppable() && (is_due || !state.is_used)
        });
    }

    /// Stops it and forgets what was wrong with it: it is reached otherwise from now on, by other keys.
    pub fn renew(&self, why: &str) {
        self.stop(why);
        self.state().health.forgiven();
    }

    /// Stops it for good; who waits for it is told.
    pub fn retire(&self) {
        self.state().is_retired = true;
        self.stop("it was switched off, changed or removed");
    }

    pub fn vitals(&self) -> Vitals {
        let state = self.state();
        Vitals {
            doing: state.health.doing(),
            why: state.health.last_failure().map(clean),
            failures: state.health.failures(),
            call_takes: state.health.call_takes(),
            pid: state.live.as_ref().and_then(|live| live.connection.pid()),
            running: state.busy,
        }
    }

    async fn attempt(self: &Arc<Self>, ask: &Ask, until: TokioInstant) -> Result<Value, Trouble> {
        let lease = self.lease(until, false).await?;
        if ask.checked && self.state().checked != lease.generation {
            return Err(Trouble::Anew);
        }
        let began = TokioInstant::now();
        let left = until.saturating_duration_since(began);
        let request =
            Request { method: ask.method.into(), params: ask.params.clone(), reach: ask.reach.clone(), deadline: left };
        let answer = lease.connection.request(request);
        let answer = tokio::select! {
            biased;
            answer = timeout(left + GRACE, answer) => answer.unwrap_or(Err(UpstreamError::Timeout(ask.deadline))),
            () = lease.over() => match self.state().is_retired {
                true => return Err(Trouble::Retired),
                false => Err(UpstreamError::Gone(self.last_words())),
            },
        };
        match &answer {
            Ok(_) | Err(UpstreamError::Answered(_)) => self.state().health.answered(began.elapsed()),
            Err(UpstreamError::Timeout(_)) => self.doubt(lease),
            Err(error) => self.give_up(lease.generation, &clean(&error.to_string())),
        }
        Ok(answer?)
    }

    /// A turn at the server: `max_calls` run at once, some more wait, the rest is refused.
    async fn turn(&self, until: TokioInstant) -> Result<OwnedSemaphorePermit, Trouble> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        if waiting >= WAITING_MAX {
            return Err(Trouble::Full { waiting });
        }
        let began = TokioInstant::now();
        let turn = timeout_at(until.min(began + TURN_WAIT), self.turns.clone().acquire_owned()).await;
        let late = |_| Trouble::Queued { waited: began.elapsed() };
        turn.map_err(late)?.map_err(|_| Trouble::Retired)
    }

    /// A connection, once there is one. A discovery whose start was stopped, to make room, does not begin again.
    async fn lease(self: &Arc<Self>, until: TokioInstant, is_look: bool) -> Result<Lease, Trouble> {
        let began = TokioInstant::now();
        let stops = self.state().stops;
        loop {
            let heard = self.news.notified();
            tokio::pin!(heard);
            heard.as_mut().enable();
            let patience = {
                let mut state = self.state();
                if state.is_retired {
                    return Err(Trouble::Retired);
                }
                if is_look && state.stops != stops {
                    return Err(Trouble::Starting {
                        waited: began.elapsed(),
                        why: Some("it made room for others".into()),
                    });
                }
                match self.advise(&mut state) {
                    Advice::Use => {
                        let live = state.live.as_ref().expect("a server is up while it has a connection");
                        return Ok(live.lease());
                    }
                    Advice::Refuse { retry_after } => {
                        let why = state.health.last_failure().unwrap_or("it failed").into();
                        return Err(Trouble::Broken { why, retry_after });
                    }
                    Advice::Wait { patience } | Advice::Start { patience, .. } => patience,
                }
            };
            let (now, last) = (TokioInstant::now(), until.min(began + patience));
            let heard = timeout_at(last.min(now + LOOK_AGAIN), heard).await;
            if heard.is_err() && TokioInstant::now() >= last {
                let why = self.state().health.last_failure().map(Into::into);
                return Err(Trouble::Starting { waited: began.elapsed(), why });
            }
        }
    }

    /// Asks what to do, and starts the server where that is it.
    fn advise(self: &Arc<Self>, state: &mut State) -> Advice {
        let advice = state.health.want(Instant::now_std());
        if let Advice::Start { id, deadline, .. } = advice {
            let start = tokio::spawn(self.clone().start(id, deadline));
            state.starts.push((id, start.abort_handle()));
        }
        advice
    }

    /// Starts the server: a place, where it is a program, and then the greeting.
    async fn start(self: Arc<Self>, id: StartId, deadline: Duration) {
        let mut place = None;
        if !self.row.command.is_empty() {
            let holder: Weak<dyn Holder> = Arc::downgrade(&(self.clone() as Arc<dyn Holder>));
            place = self.house.places.take(holder, TokioInstant::now() + PLACE_WAIT).await.map(Arc::new);
            if place.is_none() {
                let mut state = self.state();
                state.starts.retain(|(of, _)| *of != id);
                state.health.called_off(id);
                drop(state);
                return self.news.notify_waiters();
            }
        }
        let ears = Arc::new(MemberEars::new(&self.slug, &self.house.listener));
        let connecting = self.house.connector.connect(&self.slug, &self.row, ears);
        let connected = timeout(deadline, connecting).await.unwrap_or(Err(UpstreamError::Timeout(deadline)));
        match connected {
            Ok(connection) => self.started(id, connection, place),
            Err(error) => {
                let why = match &error {
                    UpstreamError::Timeout(after) => format!("it did not greet within {:.1} s", after.as_secs_f32()),
                    error => clean(&error.to_string()),
                };
                let mut state = self.state();
                state.starts.retain(|(of, _)| *of != id);
                state.health.start_failed(id, &why, Instant::now_std(), roll());
                drop(state);
                tracing::debug!(server = %self.slug, why, "an MCP server did not start");
                self.news.notify_waiters();
            }
        }
    }

    fn started(self: &Arc<Self>, id: StartId, connection: Arc<dyn Connection>, place: Option<Arc<Place>>) {
        let mut state = self.state();
        let is_known = state.starts.iter().any(|(of, _)| *of == id);
        if state.is_retired || state.live.is_some() || !is_known {
            return; // `connection` ends here, as does its place.
        }
        let others: Vec<_> = state.starts.drain(..).filter(|(of, _)| *of != id).collect();
        state.health.started(id, Instant::now_std());
        state.generation += 1;
        let (generation, member) = (state.generation, Arc::downgrade(self));
        let closed = connection.closed();
        let watcher = tokio::spawn(async move {
            let error = closed.await;
            if let Some(member) = member.upgrade() {
                member.lose(generation, &clean(&error.to_string()));
            }
        });
        state.live = Some(Live::new(connection, watcher.abort_handle(), generation, place));
        if state.busy == 0 {
            state.idle_since = Some(Instant::now_std());
        }
        drop(state);
        others.into_iter().for_each(|(_, start)| start.abort());
        self.news.notify_waiters();
        if let Some(listener) = self.house.listener.upgrade() {
            listener.is_up(&self.slug);
        }
    }

    /// The connection is of no use any more, for nobody.
    fn lose(&self, generation: u64, why: &str) {
        self.dropped(self.lost(generation, why));
    }

    /// A request has failed for a reason of the wire's: the next one gets another connection. Those that run on this one are not
    /// touched, for where the wire is a request each (HTTP), another one's failure is none of theirs.
    fn give_up(&self, generation: u64, why: &str) {
        self.left(self.lost(generation, why));
    }

    fn lost(&self, generation: u64, why: &str) -> Option<Live> {
        let mut state = self.state();
        if state.live.as_ref().is_none_or(|live| live.generation != generation) {
            return None;
        }
        state.health.lost(why, Instant::now_std(), roll());
        tracing::debug!(server = %self.slug, why, "an MCP server is gone");
        state.live.take()
    }

    /// Finds out whether a server that did not answer is there at all, without holding anybody up.
    fn doubt(self: &Arc<Self>, lease: Lease) {
        if self.state().health.timed_out() {
            return self.lose(lease.generation, "it does not answer any more");
        }
        let ping = lease.connection.request(Request {
            method: "ping".into(),
            params: json!({}),
            reach: Reach::default(),
            deadline: PING_WAIT,
        });
        let member = Arc::downgrade(self);
        tokio::spawn(async move {
            let answer = timeout(PING_WAIT + GRACE, ping).await;
            let is_there = matches!(answer, Ok(Ok(_) | Err(UpstreamError::Answered(_))));
            if let (false, Some(member)) = (is_there, member.upgrade()) {
                member.lose(lease.generation, "it does not answer any more");
            }
        });
    }

    fn stop_if(&self, is_due: impl Fn(&State) -> bool) {
        let state = self.state();
        let stops = is_due(&state);
        drop(state);
        if stops {
            self.stop("it was stopped, being idle");
        }
    }

    fn stop(&self, why: &str) {
        let mut state = self.state();
        let (live, starts) = (state.live.take(), std::mem::take(&mut state.starts));
        state.health.stopped();
        state.is_used = false;
        state.stops += 1;
        drop(state);
        let was_there = live.is_some() || !starts.is_empty();
        starts.into_iter().for_each(|(_, start)| start.abort());
        if was_there {
            tracing::debug!(server = %self.slug, why, "an MCP server is stopped");
        }
        self.dropped(live);
    }

    /// Ends a connection for all that wait for it.
    fn dropped(&self, live: Option<Live>) {
        live.iter().for_each(Live::end);
        self.left(live);
    }

    /// Lets a connection go, without the lock: its place goes back as well.
    fn left(&self, live: Option<Live>) {
        let was_up = live.is_some();
        drop(live);
        self.news.notify_waiters();
        if was_up && let Some(listener) = self.house.listener.upgrade() {
            listener.is_down(&self.slug);
        }
    }

    fn begin(&self, is_call: bool) -> Busy<'_> {
        let mut state = self.state();
        if is_call {
            state.busy += 1;
            state.is_used = true;
            state.idle_since = None;
        } else {
            state.looks += 1;
            state.looking_since.get_or_insert_with(Instant::now_std);
        }
        Busy { member: self, is_call }
    }

    fn last_words(&self) -> String {
        self.state().health.last_failure().map_or_else(|| "its connection was closed".into(), clean)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.member.state();
        if self.is_call {
            state.busy -= 1;
            if state.busy == 0 {
                state.idle_since = Some(Instant::now_std());
            }
        } else {
            state.looks -= 1;
            if state.looks == 0 {
                state.looking_since = None;
            }
        }
    }
}

impl State {
    /// Whether nobody would miss it.
    fn is_stoppable(&self) -> bool {
        self.looks == 0 && self.may_make_room()
    }

    /// Whether nobody would miss it much. A discovery is missed for a moment only: one that hangs must not keep others from starting.
    fn may_make_room(&self) -> bool {
        let now = Instant::now_std();
        let looks = self.looking_since.is_some_and(|since| now.duration_since(since) < DISCOVERY_HOLDS_PLACE);
        let is_there = self.live.is_some() || !self.starts.is_empty();
        self.busy == 0 && !self.is_held && !looks && is_there
    }
}

impl Holder for Member {
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.idle_since.filter(|_| state.may_make_room())
    }

    fn make_room(&self) {
        self.stop_if(State::may_make_room);
    }
}
