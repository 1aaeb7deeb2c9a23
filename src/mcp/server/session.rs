//! What the hub remembers of a client of the revisions with sessions: what it said at `initialize`, its streams, what runs
//! for it and what it was asked. Time comes in as an argument; starts nothing and sends nothing by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::ids;
use crate::mcp::call::Fault;
use crate::mcp::rpc::{self, Id};
use crate::mcp::server::outlet::{Log, Outlet, Said};
use crate::mcp::server::version::Level;
use crate::mcp::source::Changed;

/// Sessions at once. Past it the one that has been idle for longest goes.
pub const SESSIONS_MAX: usize = 256;

/// A session that nobody uses and nobody listens to ends after this.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// Requests of one session that run at once.
pub const CALLS_MAX: usize = 64;

/// Resources that one client is told of.
pub const WATCHED_MAX: usize = 256;

/// How long a stream can be asked for again after its end.
const STREAM_KEPT: Duration = Duration::from_secs(60);

/// Ended streams that are kept, and their bytes together.
const STREAMS_KEPT_MAX: usize = 32;
const STREAMS_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a call goes on whose client does not listen any more.
const DETACHED_MAX: Duration = Duration::from_secs(5 * 60);

/// The number of the stream that belongs to no request.
pub const STANDING: u64 = 0;

/// What a client asks for the rest of a stream with: `3-17` is message 17 of stream 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    pub stream: u64,
    pub seq: u64,
}

impl EventId {
    pub fn read(text: &str) -> Option<EventId> {
        let (stream, seq) = text.split_once('-')?;
        Some(EventId { stream: stream.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.stream, self.seq)
    }
}

/// See the module.
pub struct Session {
    pub id: Box<str>,
    /// Whose it is; to everybody else it is not there.
    pub user: Box<str>,
    pub version: &'static str,
    /// MCP `ClientCapabilities`.
    pub capabilities: Value,
    inner: Mutex<Inner>,
}

struct Inner {
    used_at: Instant,
    level: Level,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    running: HashMap<Id, Running>,
    asked: HashMap<i64, oneshot::Sender<Result<Value, Fault>>>,
    next_ask: i64,
    watched: BTreeSet<Box<str>>,
    watcher: Option<AbortHandle>,
    is_closed: bool,
}

struct Stream {
    outlet: Arc<Outlet>,
    /// Since when nobody reads it.
    detached_at: Option<Instant>,
}

struct Running {
    stream: u64,
    task: Option<AbortHandle>,
}

/// What was asked of the client; dropped before the answer has come, it is taken back.
pub struct Question {
    session: Arc<Session>,
    outlet: Arc<Outlet>,
    id: i64,
    answer: oneshot::Receiver<Result<Value, Fault>>,
}

impl Session {
    pub fn new(user: &str, version: &'static str, capabilities: Value, now: Instant) -> Session {
        let standing = Stream { outlet: Outlet::new(Log::default()), detached_at: Some(now) };
        let inner = Inner {
            used_at: now,
            level: Level::INFO,
            streams: BTreeMap::from([(STANDING, standing)]),
            next_stream: STANDING + 1,
            running: HashMap::new(),
            asked: HashMap::new(),
            next_ask: 1,
            watched: BTreeSet::new(),
            watcher: None,
            is_closed: false,
        };
        Session { id: ids::fresh('m').into(), user: user.into(), version, capabilities, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn touch(&self, now: Instant) {
        self.inner().used_at = now;
    }

    pub fn used_at(&self) -> Instant {
        self.inner().used_at
    }

    pub fn level(&self) -> Level {
        self.inner().level
    }

    pub fn set_level(&self, level: Level) {
        self.inner().level = level;
    }

    /// The task that looks after it, ended with it.
    pub fn set_watcher(&self, watcher: AbortHandle) {
        self.inner().watcher = Some(watcher);
    }

    /// A new stream for these requests; [`Session::start`] says what works on them.
    pub fn open(&self, ids: &[Id]) -> Result<(u64, Arc<Outlet>), Fault> {
        let mut inner = self.inner();
        if inner.running.len() + ids.len() > CALLS_MAX {
            let message = format!("this session has {CALLS_MAX} requests under way; wait for some of them");
            let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, message) };
            return Err(error.into());
        }
        let unique: BTreeSet<&Id> = ids.iter().collect();
        if unique.len() < ids.len() || ids.iter().any(|id| inner.running.contains_key(id)) {
            let fault = Fault::new(ErrorCode::BadRequest, "a request with this id is under way; each needs its own");
            return Err(Fault { code: rpc::INVALID_REQUEST, ..fault });
        }
        let stream = inner.next_stream;
        inner.next_stream += 1;
        let outlet = Outlet::new(Log::of_answers(ids.len()));
        inner.streams.insert(stream, Stream { outlet: outlet.clone(), detached_at: None });
        for id in ids {
            inner.running.insert(id.clone(), Running { stream, task: None });
        }
        Ok((stream, outlet))
    }

    /// The task that works on a request of an open stream.
    pub fn start(&self, id: &Id, task: AbortHandle) {
        let mut inner = self.inner();
        match inner.running.get_mut(id) {
            Some(running) => running.task = Some(task),
            // It is done already, or was cancelled in the meantime.
            None => task.abort(),
        }
    }

    /// Says the answer to a request, unless it was cancelled.
    pub fn finish(&self, id: &Id, said: Said) {
        let outlet = {
            let mut inner = self.inner();
            let Some(running) = inner.running.remove(id) else { return };
            inner.streams.get(&running.stream).map(|stream| stream.outlet.clone())
        };
        if let Some(outlet) = outlet {
            outlet.change(|log| log.push(said));
        }
    }

    /// Ends a request at its client's wish; there is no answer.
    pub fn cancel(&self, id: &Id) {
        let outlet = {
            let mut inner = self.inner();
            let Some(running) = inner.running.remove(id) else { return };
            running.task.inspect(AbortHandle::abort);
            let is_last = !inner.running.values().any(|other| other.stream == running.stream);
            inner.streams.get(&running.stream).filter(|_| is_last).map(|stream| stream.outlet.clone())
        };
        if let Some(outlet) = outlet {
            outlet.change(Log::close);
        }
    }

    /// A stream to be read, by its number.
    pub fn stream(&self, stream: u64) -> Option<Arc<Outlet>> {
        let mut inner = self.inner();
        let found = inner.streams.get_mut(&stream)?;
        found.detached_at = None;
        Some(found.outlet.clone())
    }

    /// Its reader is gone; `is_answered`: in one piece, so that nobody will ask for it again.
    pub fn detach(&self, stream: u64, is_answered: bool, now: Instant) {
        let mut inner = self.inner();
        inner.used_at = now;
        if is_answered && stream != STANDING {
            inner.streams.remove(&stream);
        } else if let Some(found) = inner.streams.get_mut(&stream) {
            found.detached_at = Some(now);
        }
    }

    /// Asks the client for something, on the stream of the call that wants to know.
    pub fn ask(self: &Arc<Session>, outlet: &Arc<Outlet>, method: &str, params: &Value) -> Question {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut inner = self.inner();
            let id = inner.next_ask;
            inner.next_ask += 1;
            inner.asked.insert(id, sender);
            id
        };
        outlet.say(rpc::request(&Id::Number(id), method, params));
        Question { session: self.clone(), outlet: outlet.clone(), id, answer }
    }

    /// The client's answer; one that nobody waits for is passed over.
    pub fn answered(&self, id: &Id, answer: Result<Value, Fault>) {
        let Id::Number(id) = id else { return };
        let waiting = self.inner().asked.remove(id);
        // Whoever asked may have gone meanwhile.
        let _ = waiting.map(|waiting| waiting.send(answer));
    }

    /// Whether there is room for one more resource to be told of; false where it is told of already.
    pub fn may_watch(&self, uri: &str) -> Result<bool, Fault> {
        let inner = self.inner();
        if inner.watched.contains(uri) {
            return Ok(false);
        }
        if inner.watched.len() == WATCHED_MAX {
            let message = format!("this session is told of {WATCHED_MAX} resources; unsubscribe from some");
            return Err(Fault::new(ErrorCode::TooLarge, message));
        }
        Ok(true)
    }

    /// It is told of this from now on. False: it is already, has ended, or others came first and there is no room any more.
    pub fn watch(&self, uri: &str) -> bool {
        let mut inner = self.inner();
        !inner.is_closed && inner.watched.len() < WATCHED_MAX && inner.watched.insert(uri.into())
    }

    /// Whether it was told of.
    pub fn unwatch(&self, uri: &str) -> bool {
        self.inner().watched.remove(uri)
    }

    /// News for the stream that belongs to no request, where the client wants them.
    pub fn tell(&self, changed: &Changed) {
        let standing = {
            let inner = self.inner();
            let is_wanted = match changed {
                Changed::Resource(uri) => inner.watched.contains(uri),
                Changed::Tools | Changed::Prompts | Changed::Resources => true,
            };
            is_wanted.then(|| inner.streams[&STANDING].outlet.clone())
        };
        let Some(standing) = standing else { return };
        // Twice the same before anybody has looked is as good as once.
        let text = notification(changed, None);
        standing.change(|log| log.push_once(&text));
    }

    /// News were lost: everything may have changed.
    pub fn tell_all(&self) {
        let watched: Vec<_> = self.inner().watched.iter().cloned().map(Changed::Resource).collect();
        for changed in [Changed::Tools, Changed::Prompts, Changed::Resources].iter().chain(&watched) {
            self.tell(changed);
        }
    }

    /// Lets go of what nobody comes back for. False: the session itself has run out.
    pub fn sweep(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        let mut late = Vec::new();
        for (number, stream) in &inner.streams {
            let gone_for = stream.detached_at.map(|at| now.saturating_duration_since(at));
            let is_over = stream.outlet.log().is_over();
            if *number != STANDING && gone_for.is_some_and(|gone| is_over && gone > STREAM_KEPT || gone > DETACHED_MAX)
            {
                late.push(*number);
            }
        }
        // Of those that are over, the newest stay as long as there is room.
        let (mut kept, mut bytes) = (0, 0);
        for (number, stream) in inner.streams.iter().rev() {
            let log = stream.outlet.log();
            if *number == STANDING || stream.detached_at.is_none() || !log.is_over() {
                continue;
            }
            (kept, bytes) = (kept + 1, bytes + log.bytes());
            if kept > STREAMS_KEPT_MAX || bytes > STREAMS_KEPT_BYTES_MAX {
                late.push(*number);
            }
        }
        for number in &late {
            inner.streams.remove(number);
        }
        let left = |running: &Running| late.contains(&running.stream);
        inner
            .running
            .values()
            .filter(|running| left(running))
            .filter_map(|one| one.task.as_ref())
            .for_each(AbortHandle::abort);
        inner.running.retain(|_, running| !left(running));
        let is_heard = inner.streams.values().any(|stream| stream.detached_at.is_none());
        is_heard || !inner.running.is_empty() || now.saturating_duration_since(inner.used_at) < SESSION_IDLE
    }

    /// Whether it could go where room is needed.
    pub fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.running.is_empty() && inner.streams.values().all(|stream| stream.detached_at.is_some())
    }

    /// Ends everything that belongs to it; gives back the resources that it was told of.
    pub fn close(&self) -> Vec<Box<str>> {
        let mut inner = self.inner();
        inner.is_closed = true;
        inner.running.drain().filter_map(|(_, running)| running.task).for_each(|task| task.abort());
        inner.asked.clear();
        inner.streams.values().for_each(|stream| stream.outlet.change(Log::close));
        inner.watcher.take().inspect(AbortHandle::abort);
        std::mem::take(&mut inner.watched).into_iter().collect()
    }

    pub fn is_closed(&self) -> bool {
        self.inner().is_closed
    }
}

/// News as MCP says them; `meta` where their stream has some.
pub fn notification(changed: &Changed, meta: Option<Value>) -> String {
    let (method, mut params) = match changed {
        Changed::Tools => ("notifications/tools/list_changed", json!({})),
        Changed::Prompts => ("notifications/prompts/list_changed", json!({})),
        Changed::Resources => ("notifications/resources/list_changed", json!({})),
        Changed::Resource(uri) => ("notifications/resources/updated", json!({ "uri": uri })),
    };
    if let Some(meta) = meta {
        params["_meta"] = meta;
    }
    rpc::notification(method, &params)
}

impl Question {
    /// The client's answer, or why there is none.
    pub async fn answer(mut self, deadline: Duration) -> Result<Value, Fault> {
        match tokio::time::timeout(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Fault::new(ErrorCode::Cancelled, "the client ended its session")),
            Err(_) => {
                let message = format!("the client gave no answer within {} s", deadline.as_secs());
                Err(Fault::new(ErrorCode::Timeout, message))
            }
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.session.inner().asked.remove(&self.id).is_some() {
            let params = json!({ "requestId": self.id, "reason": "nobody waits for the answer any more" });
            self.outlet.say(rpc::notification("notifications/cancelled", &params));
        }
    }
}
