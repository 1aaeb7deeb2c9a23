//! Drives one session: holds its socket, its timer and its running turns, and decides nothing.
#![expect(clippy::disallowed_methods, reason = "a driver: it reads the clocks for the state machine")]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Sleep, sleep_until};

use crate::auth::{Gate, Pass, Refused};
use crate::common::chat::Media;
use crate::common::error::ErrorBody;
use crate::common::events::TurnEvent;
use crate::common::ids;
use crate::common::limits::TURN_QUEUE_LEN;
use crate::common::time::{UnixMillis, whole_ms};
use crate::common::who::{self, HOUSE, Principal};
use crate::gateway::identity;
use crate::gateway::listen::{Guard, stopped};
use crate::gateway::session::attachments::{self, Named};
use crate::gateway::session::calls::{CallNews, Calls};
use crate::gateway::session::close::{self, Close};
use crate::gateway::session::feeds::Feeds;
use crate::gateway::session::registry::{Handover, Registration, Registry};
use crate::gateway::session::socket::{Incoming, Socket};
use crate::gateway::session::state::standing::Shown;
use crate::gateway::session::state::{Action, Session};
use crate::gateway::session::transmit::Transmit;
use crate::gateway::session::watch::Watch;
use crate::mcp::Service;
use crate::router::{Router, TurnHandle, TurnKey};
use crate::store::Store;

/// Chats whose attachments have come and were not taken yet; others wait with theirs.
const FETCHED_LEN: usize = 4;

/// What a session needs of the house.
#[derive(Clone)]
pub struct Door {
    pub router: Router,
    pub registry: Registry,
    /// Where blobs are.
    pub store: Store,
    /// Whom a client is, that says so after the handshake.
    pub gate: Gate,
    /// How long a stranger may stay.
    pub auth_within: Duration,
    pub tools: Service,
    /// Changes, for those who subscribe.
    pub feeds: Feeds,
    /// True when the hub is going down.
    pub shutdown: watch::Receiver<bool>,
}

/// Runs a session from its first socket to its end. `pass`: who the client is, where the handshake said it; `v2`: the client
/// asked for it there.
///
/// Not an `async fn`, which would keep its arguments beside what becomes of them: idle sockets are counted in thousands.
pub fn run(
    door: Door,
    pass: Option<Pass>,
    socket: Socket,
    guard: Arc<Guard>,
    v2: bool,
) -> impl Future<Output = ()> + Send {
    let mut shutdown = door.shutdown.clone();
    let mut rights = door.gate.changes();
    let mut life = Life::new(door, pass, socket, guard, v2);
    // What changed since the handshake was told before we listened.
    life.renew();
    async move {
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut shutdown), if !told => {
                    told = true;
                    life.session.handle_shutdown(Instant::now());
                }
                // The gate lives as long as the door that we hold.
                _ = rights.changed() => life.renew(),
                outcome = poll_fn(|cx| life.poll(cx)) => match outcome {
                    Outcome::Over => break,
                    Outcome::SocketLost => {
                        if let Some(line) = life.line.take() {
                            // Beside us: the turns end now, not after the goodbye, or go on meanwhile.
                            tokio::spawn(line.say_goodbye());
                        }
                        if !life.live_on() {
                            break;
                        }
                    }
                }
            }
        }
        // The socket may be another session's by now: what was asked here has its line in the log all the same.
        life.session.handle_detached(Instant::now(), false);
        life.log();
    }
}

enum Outcome {
    /// The peer left it, or has been sent a close frame.
    SocketLost,
    /// The session has come to its end, or its socket is another session's.
    Over,
}

/// A socket that is open.
struct Line {
    socket: Socket,
    guard: Arc<Guard>,
    /// Something was given to the socket and not yet flushed.
    unflushed: bool,
    /// The socket was not ready when it was last asked. When it is again, it has taken everything.
    blocked: bool,
}

impl Line {
    fn new(socket: Socket, guard: Arc<Guard>) -> Line {
        Line { socket, guard, unflushed: false, blocked: false }
    }

    /// Lets what was given to the socket arrive. The connection counts as open for so long.
    async fn say_goodbye(self) {
        self.socket.linger().await;
        drop(self.guard);
    }
}

/// News on their way from the turns. Made with the first request: most sockets are idle.
struct News {
    sender: mpsc::Sender<(TurnKey, TurnEvent)>,
    receiver: mpsc::Receiver<(TurnKey, TurnEvent)>,
}

/// Attachments on their way from the store. Made with the first that is only named.
struct Fetches {
    sender: mpsc::Sender<Fetched>,
    receiver: mpsc::Receiver<Fetched>,
}

type Fetched = (TurnKey, Result<Vec<Media>, ErrorBody>);

/// What the gate says to what a client has shown, for the request of this id.
type Checking = BoxFuture<'static, (Option<String>, Result<Pass, Refused>)>;

struct Life {
    door: Door,
    who: Arc<Principal>,
    session: Session,
    /// Nothing is read meanwhile: what a client says after its token is said as whoever it is.
    checking: Option<Checking>,
    line: Option<Line>,
    turns: BTreeMap<TurnKey, TurnHandle>,
    news: Option<News>,
    fetches: Option<Box<Fetches>>,
    /// Made with the first tool, and with the first subscription.
    calls: Option<Box<Calls>>,
    watch: Option<Box<Watch>>,
    resumable: Option<(Registration, mpsc::Receiver<Box<Handover>>)>,
    /// Held while there is no socket.
    place: Option<OwnedSemaphorePermit>,
    timer: Pin<Box<Sleep>>,
}

impl Life {
    fn new(door: Door, pass: Option<Pass>, socket: Socket, guard: Arc<Guard>, v2: bool) -> Life {
        let now = Instant::now();
        let mut session = Session::new(now, ids::fresh, v2);
        let who = match pass {
            Some(pass) => {
                session.let_in(end_of(&pass));
                pass.who.through(who::Door::Websocket)
            }
            None => {
                session = session.with_stranger(now + door.auth_within);
                identity::nobody(who::Door::Websocket)
            }
        };
        Life {
            door,
            who: Arc::new(who),
            session,
            checking: None,
            line: Some(Line::new(socket, guard)),
            turns: BTreeMap::new(),
            news: None,
            fetches: None,
            calls: None,
            watch: None,
            resumable: None,
            place: None,
            timer: Box::pin(sleep_until(now.into())),
        }
    }

    /// Goes on without a socket, where the session may.
    fn live_on(&mut self) -> bool {
        self.place = self.door.registry.place_without_socket();
        self.session.handle_detached(Instant::now(), self.place.is_some());
        self.log();
        self.session.is_resumable()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let mut progress = self.take_news(cx) | self.take_fetched(cx) | self.take_called(cx);
            progress |= self.take_heard(cx) | self.take_checked(cx);
            if let Some(outcome) = self.act() {
                return Poll::Ready(outcome);
            }
            if let Poll::Ready(Err(outcome)) = self.write(cx) {
                return Poll::Ready(outcome);
            }
            self.log();
            match self.read(cx) {
                Poll::Ready(Err(outcome)) => return Poll::Ready(outcome),
                Poll::Ready(Ok(())) => progress = true,
                Poll::Pending => {}
            }
            if let Some((_, handovers)) = &mut self.resumable
                && let Poll::Ready(Some(handover)) = handovers.poll_recv(cx)
            {
                self.take_over(*handover);
                progress = true;
            }
            progress |= self.pass_time(cx);
            if self.line.is_none() && !self.session.is_resumable() {
                self.log();
                return Poll::Ready(Outcome::Over);
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Brings in what the turns have to tell, as much as is there and wanted.
    fn take_news(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.session.wants_news()
            && let Some(news) = &mut self.news
            && let Poll::Ready(Some((key, event))) = news.receiver.poll_recv(cx)
        {
            if event.news.is_last() {
                self.turns.remove(&key);
            }
            self.session.handle_news(Instant::now(), key, event);
            progress = true;
        }
        progress
    }

    fn take_fetched(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(fetches) = &mut self.fetches
            && let Poll::Ready(Some((key, fetched))) = fetches.receiver.poll_recv(cx)
        {
            self.session.handle_fetched(Instant::now(), key, fetched);
            progress = true;
        }
        progress
    }

    /// Brings in what the gate says.
    fn take_checked(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(checking) = &mut self.checking else { return false };
        let Poll::Ready((request_id, checked)) = checking.as_mut().poll(cx) else { return false };
        self.checking = None;
        let user = Some(&*self.who.user).filter(|_| !self.is_anybodys());
        let answer = checked.as_ref().map(|pass| (pass, end_of(pass))).map_err(Refused::to_body);
        if self.session.handle_authenticated(request_id.as_deref(), user, answer)
            && let Ok(pass) = checked
        {
            self.become_who(&pass);
        }
        true
    }

    /// Whether the client may yet become somebody: a stranger, or the house at a door that is open.
    fn is_anybodys(&self) -> bool {
        self.session.is_stranger() || (self.who.token.is_none() && &*self.who.user == HOUSE)
    }

    fn become_who(&mut self, pass: &Pass) {
        self.who = Arc::new(pass.who.through(who::Door::Websocket));
        if let Some((registration, _)) = &self.resumable {
            registration.belongs_to(&self.who.user);
        }
    }

    /// Somebody's rights have changed: perhaps our client's.
    fn renew(&mut self) {
        if self.session.is_stranger() {
            return;
        }
        match self.door.gate.renew(&self.who) {
            Ok(pass) => self.become_who(&pass),
            Err(_) => self.session.handle_void(Instant::now()),
        }
    }

    fn take_called(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.session.wants_news()
            && let Some(calls) = &mut self.calls
            && let Poll::Ready(news) = calls.poll(cx)
        {
            match news {
                CallNews::Step(key, note) => self.session.handle_step(Instant::now(), key, &note),
                CallNews::Asks(key, question) => self.session.handle_question(Instant::now(), key, question),
                CallNews::Ended(key, outcome) => self.session.handle_called(Instant::now(), key, outcome),
            }
            progress = true;
        }
        progress
    }

    fn take_heard(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        self.session.speaks_for(&self.who);
        while self.session.wants_events()
            && let Some(watch) = &mut self.watch
            && let Poll::Ready(heard) = watch.poll(cx, &self.who, &self.door.store, &self.door.tools)
        {
            self.session.handle_heard(&heard);
            progress = true;
        }
        progress
    }

    /// Puts on the socket what it takes. `Pending` when it takes no more.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        let Some(line) = &mut self.line else { return Poll::Ready(Ok(())) };
        loop {
            let is_closing = self.session.is_closing();
            match line.socket.poll_ready(cx) {
                Poll::Ready(Ok(())) if line.blocked => {
                    line.blocked = false;
                    self.session.handle_flushed(Instant::now());
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Outcome::SocketLost)),
                // The goodbye has a deadline of its own.
                Poll::Pending if is_closing => {}
                Poll::Pending => {
                    line.blocked = true;
                    self.session.handle_blocked(Instant::now(), line.socket.written());
                    return Poll::Pending;
                }
            }
            let Some(transmit) = self.session.poll_transmit() else {
                if is_closing {
                    return Poll::Ready(Err(Outcome::SocketLost));
                }
                break;
            };
            if line.socket.start_send(transmit).is_err() {
                return Poll::Ready(Err(Outcome::SocketLost));
            }
            line.unflushed = true;
        }
        if line.unflushed {
            match line.socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    (line.unflushed, line.blocked) = (false, false);
                    self.session.handle_flushed(Instant::now());
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Outcome::SocketLost)),
                Poll::Pending => {
                    self.session.handle_blocked(Instant::now(), line.socket.written());
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn log(&mut self) {
        while let Some(report) = self.session.poll_report() {
            report.log();
        }
    }

    /// Takes one message of the client's.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        if self.checking.is_some() {
            return Poll::Pending;
        }
        let Some(line) = &mut self.line else { return Poll::Pending };
        let Poll::Ready(incoming) = line.socket.poll_receive(cx) else { return Poll::Pending };
        let now = Instant::now();
        self.session.speaks_for(&self.who);
        match incoming {
            Incoming::Text(text) => self.session.handle_text(now, unix_ms(), &text),
            Incoming::Binary(bytes) => self.session.handle_binary(now, &bytes),
            Incoming::Control => self.session.handle_control(now),
            Incoming::Closed => return Poll::Ready(Err(Outcome::SocketLost)),
            Incoming::Broken(close) => self.session.handle_broken(close),
        }
        // At once: a `resume` means this very socket.
        Poll::Ready(self.act().map_or(Ok(()), Err))
    }

    /// Does what the session needs done.
    fn act(&mut self) -> Option<Outcome> {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Start { key, job } => {
                    let news = self.news.get_or_insert_with(|| {
                        let (sender, receiver) = mpsc::channel(TURN_QUEUE_LEN);
                        News { sender, receiver }
                    });
                    self.turns.insert(key, self.door.router.start(job, self.who.clone(), key, news.sender.clone()));
                }
                Action::Fetch { key, named } => self.fetch(key, named),
                Action::Call { key, called } => {
                    let (tools, who) = (self.door.tools.clone(), self.who.clone());
                    self.calls.get_or_insert_default().start(tools, who, key, called);
                }
                Action::Cancel { key } => {
                    self.turns.remove(&key);
                    self.calls.iter_mut().for_each(|calls| calls.cancel(key));
                }
                Action::Watch { topics, .. } if topics.is_empty() => self.watch = None,
                Action::Watch { topics, load } => {
                    let watch = self.watch.get_or_insert_with(|| Box::new(Watch::new(&self.door.feeds)));
                    watch.turn_to(topics, load);
                }
                Action::Authenticate { request_id, shown } => self.authenticate(request_id, shown),
                Action::Register { session_id } => {
                    self.resumable = Some(self.door.registry.register(session_id, &self.who.user));
                }
                Action::Unregister => self.resumable = None,
                Action::Resume { session_id, request_id, last_seq } => {
                    if let Some(outcome) = self.hand_over(&session_id, request_id, last_seq) {
                        return Some(outcome);
                    }
                }
            }
        }
        None
    }

    /// Beside us: a slow disk holds nobody up but who asked for what is on it.
    fn fetch(&mut self, key: TurnKey, named: Vec<Named>) {
        let fetches = self.fetches.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(FETCHED_LEN);
            Box::new(Fetches { sender, receiver })
        });
        let (sender, store) = (fetches.sender.clone(), self.door.store.clone());
        tokio::spawn(async move {
            let fetched = attachments::fetch(&store, named).await;
            // A session that has ended needs nothing.
            let _ = sender.send((key, fetched)).await;
        });
    }

    /// Shows the gate what the client has shown.
    fn authenticate(&mut self, request_id: Option<String>, shown: Shown) {
        let gate = self.door.gate.clone();
        self.checking = Some(Box::pin(async move {
            let checked = match &shown {
                Shown::Token(token) => gate.by_token(token.expose()).await,
                Shown::Ticket(ticket) => gate.by_ticket(ticket.expose()).await,
            };
            (request_id, checked)
        }));
    }

    /// Gives the socket to the session that its client wants back.
    fn hand_over(&mut self, session_id: &str, request_id: Option<String>, last_seq: u64) -> Option<Outcome> {
        let Line { mut socket, guard, .. } = self.line.take()?;
        while let Some(transmit) = self.session.poll_transmit() {
            if socket.start_send(transmit).is_err() {
                return Some(Outcome::SocketLost);
            }
        }
        let (who, until) = (self.who.clone(), self.session.let_in_until());
        let handover = Box::new(Handover { socket, guard, who, until, request_id, last_seq });
        let Err(refused) = self.door.registry.hand_over(session_id, handover) else { return Some(Outcome::Over) };
        let Handover { socket, guard, request_id, .. } = *refused;
        self.line = Some(Line { unflushed: true, ..Line::new(socket, guard) });
        self.session.handle_not_resumed(request_id.as_deref());
        None
    }

    /// Takes the socket of a client that came back. One that was still open is closed: the client has left it.
    fn take_over(&mut self, handover: Handover) {
        if let Some(mut left) = self.line.take() {
            // The peer may be gone without a word.
            let _ = left.socket.start_send(Transmit::Close(Close::of(close::NORMAL)));
            tokio::spawn(left.say_goodbye());
        }
        let Handover { socket, guard, who, until, request_id, last_seq } = handover;
        self.who = who;
        self.session.let_in(until);
        self.line = Some(Line { unflushed: true, ..Line::new(socket, guard) });
        self.place = None;
        self.session.handle_attached(Instant::now(), request_id.as_deref(), last_seq);
    }

    fn pass_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.session.poll_timeout() else { return false };
        // Moved when it fires too early, not each time the deadline moves away.
        if self.timer.deadline().into_std() > due {
            self.timer.as_mut().reset(due.into());
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = Instant::now();
        self.session.handle_timeout(now);
        if let Some(due) = self.session.poll_timeout() {
            self.timer.as_mut().reset(due.max(now).into());
        }
        true
    }
}

/// When somebody who was let in is to go, by the clock that never jumps.
fn end_of(pass: &Pass) -> Option<Instant> {
    let left = Duration::from_millis(pass.expires_at_ms?.saturating_sub(unix_ms()));
    Instant::now().checked_add(left)
}

fn unix_ms() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}
