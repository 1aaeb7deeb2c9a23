//! Z-Stack sticks (CC2652 and CC2531 families), spoken to by TI's Monitor and Test (MT) commands. Sans-IO.
//!
//! `mt` is the commands as a table, `line` one request after the other, `desk` sequences of them. On those stand `start` (resume,
//! restore, form or refuse), `snapshot` (backup and restore), `jobs` (commands), `sends` (messages) and `zdo`. [`Znp`] below ties
//! them together and heals: a stick that starts anew by itself is started again, one that falls silent is opened again.
//!
//! ```no_run
//! use hearth::zigbee::ncp::znp::{Config, Znp};
//! use hearth::zigbee::ncp::Ncp;
//! # fn fill_by_chance(_: &mut [u8]) {}
//!
//! let known = None; // What the last `NcpEvent::Persist` held.
//! let ncp: Box<dyn Ncp> = Box::new(Znp::new(Config::default(), known, Box::new(fill_by_chance)));
//! ```

mod children;
mod desk;
mod due;
mod form;
mod jobs;
mod line;
pub mod mt;
mod nv;
mod records;
mod sends;
mod snapshot;
mod start;
mod zdo;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::zigbee::ncp::backup::frame_counter;
use crate::zigbee::ncp::znp::children::Children;
use crate::zigbee::ncp::znp::desk::{Say, Script, Trouble};
use crate::zigbee::ncp::znp::due::{Due, Errand};
use crate::zigbee::ncp::znp::form::NewNetwork;
use crate::zigbee::ncp::znp::jobs::{Client, Job, Outcome};
use crate::zigbee::ncp::znp::line::{AskError, Heard, Line, Patience};
use crate::zigbee::ncp::znp::mt::Message;
use crate::zigbee::ncp::znp::mt::commands::*;
use crate::zigbee::ncp::znp::sends::Sends;
pub use crate::zigbee::ncp::znp::start::Config;
use crate::zigbee::ncp::znp::start::{Chance, Started};
use crate::zigbee::ncp::{Incoming, Ncp, NcpCommand, NcpEvent, Persisted, Reply, SendStatus, Tag, Transmit};
use crate::zigbee::types::{ClusterId, Endpoint, GroupId, Nwk};

/// Fills bytes by chance that nobody can guess: keys are made of it.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// Waits before another start: the first is the least, the last is repeated.
const START_AGAIN_AFTER_MS: [u64; 5] = [500, 1_000, 3_000, 10_000, 30_000];

/// Starts that a stick may break off by starting anew itself, before it is given a rest.
const BROKEN_STARTS_MAX: u8 = 5;

/// Commands that wait for the one before; more is a fault of the asker.
const JOBS_LEN_MAX: usize = 32;

/// Jobs behind which a message that is too long for a frame is not fetched any more: the air must not fill the queue.
const FETCHES_LEN_MAX: usize = 8;

/// Events that nobody has fetched. A driver fetches after each call; where none does, the oldest messages go.
const EVENTS_LEN_MAX: usize = 4_096;

/// A stick that has not answered this is gone.
const LOOK_PATIENCE: Patience = Patience::new(500, 3);

/// A ZDO request goes onto the line once. Asked again it would be answered twice on the air, and nobody could tell what the second
/// answer is to; who asks again is for the network to say, which knows.
const ZDO_PATIENCE: Patience = Patience::new(500, 1);

/// Whose a request on the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Start,
    Job,
    Send(u8),
    Zdo(Tag),
    /// Whether the stick is there, and up.
    Look,
}

enum State {
    /// The port is closed, or is about to be.
    Closed,
    Starting(Box<Script<Result<Started, Trouble>>>),
    /// A start has failed; the next is due.
    Resting {
        until: Instant,
        reopen: Option<Box<str>>,
    },
    Up(Box<Started>),
    /// A person has to act.
    Refused,
}

/// The host's side of a Z-Stack stick.
pub struct Znp {
    config: Config,
    known: Option<Persisted>,
    entropy: Entropy,
    line: Line<Owner>,
    state: State,
    starts_failed: usize,
    starts_broken: u8,
    jobs: VecDeque<(Client, Job)>,
    job: Option<(Client, Script<Result<Outcome, Trouble>>)>,
    sends: Sends,
    children: Children,
    due: Due,
    echo: zdo::Echo,
    transmits: VecDeque<Transmit>,
    events: VecDeque<NcpEvent>,
    sequence: u8,
}

impl Znp {
    /// `known` is the network that was persisted last, if any.
    pub fn new(config: Config, known: Option<Persisted>, entropy: Entropy) -> Znp {
        Znp {
            config,
            known,
            entropy,
            line: Line::new(),
            state: State::Closed,
            starts_failed: 0,
            starts_broken: 0,
            jobs: VecDeque::new(),
            job: None,
            sends: Sends::default(),
            children: Children::default(),
            due: Due::default(),
            echo: zdo::Echo::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            sequence: 0,
        }
    }

    fn start(&mut self, now: Instant) {
        let chance = Chance {
            network: NewNetwork::by_chance(&mut self.entropy),
            provisional: NewNetwork::by_chance(&mut self.entropy),
        };
        let (config, known) = (self.config.clone(), self.known.clone());
        let script = Script::new(now, |desk| start::start(desk, config, known, chance));
        self.state = State::Starting(Box::new(script));
    }

    /// What waited is failed, and the network is down.
    fn drop_all(&mut self, why: &str) {
        self.line.reset();
        self.due = Due::default();
        for tag in self.sends.drain() {
            self.event(NcpEvent::Sent { tag, status: SendStatus::RadioDown });
        }
        let clients: Vec<_> = self.job.take().map(|(client, _)| client).into_iter().collect();
        let waiting: Vec<_> = self.jobs.drain(..).map(|(client, _)| client).collect();
        for client in clients.into_iter().chain(waiting) {
            if let Client::Tag(tag) = client {
                self.event(NcpEvent::Done { tag, result: Err("the radio is down".into()) });
            }
        }
        if matches!(self.state, State::Up(_)) {
            self.event(NcpEvent::Down { why: why.into() });
        }
    }

    /// The stick does not answer: nothing but another opening of the port is left to try.
    fn reopen(&mut self, why: Box<str>) {
        tracing::warn!(%why, "the stick's port is opened anew");
        self.drop_all(&why);
        self.state = State::Closed;
        self.transmits.push_back(Transmit::Reopen { why });
    }

    fn rest(&mut self, now: Instant, reopen: Option<Box<str>>) {
        let wait = START_AGAIN_AFTER_MS[self.starts_failed.min(START_AGAIN_AFTER_MS.len() - 1)];
        self.starts_failed += 1;
        self.state = State::Resting { until: now + Duration::from_millis(wait), reopen };
    }

    fn event(&mut self, event: NcpEvent) {
        if self.events.len() >= EVENTS_LEN_MAX && matches!(event, NcpEvent::Message(_) | NcpEvent::Zdo { .. }) {
            return;
        }
        self.events.push_back(event);
    }

    /// Does all that can be done now.
    fn turn(&mut self, now: Instant) {
        loop {
            while let Some(heard) = self.line.poll_heard() {
                match heard {
                    Heard::Answer(owner, answer) => self.take_answer(now, owner, answer),
                    Heard::Told(message) => self.take_told(now, &message),
                }
            }
            self.turn_start(now);
            self.turn_job(now);
            self.ask_sends(now);
            // A request that cannot be asked is answered at once.
            let Some(heard) = self.line.poll_heard() else { return };
            match heard {
                Heard::Answer(owner, answer) => self.take_answer(now, owner, answer),
                Heard::Told(message) => self.take_told(now, &message),
            }
        }
    }

    fn take_answer(&mut self, now: Instant, owner: Owner, answer: Result<Message, AskError>) {
        let mut is_odd = answer == Err(AskError::Silent);
        match owner {
            Owner::Start => {
                if let State::Starting(script) = &mut self.state {
                    script.answer(answer);
                }
                return;
            }
            Owner::Job => {
                if let Some((_, script)) = &mut self.job {
                    script.answer(answer);
                }
            }
            Owner::Send(transaction) => {
                if let Some((tag, status)) = self.sends.answered(now, transaction, &answer) {
                    is_odd |= matches!(status, SendStatus::Refused(_));
                    self.event(NcpEvent::Sent { tag, status });
                }
            }
            Owner::Zdo(tag) => {
                let status = sends::taken(&answer);
                is_odd |= matches!(status, SendStatus::Refused(_));
                self.event(NcpEvent::Sent { tag, status });
            }
            Owner::Look => return self.take_look(now, &answer),
        }
        // One that was asked in vain may be gone, and one that does not take what it took before may have started anew.
        if is_odd && matches!(self.state, State::Up(_)) {
            self.due.look_now(now);
        }
    }

    /// What the stick is. Where its word that it has started anew was lost, this tells.
    fn take_look(&mut self, now: Instant, answer: &Result<Message, AskError>) {
        match answer {
            Err(AskError::Silent) => self.reopen("the stick does not answer".into()),
            Ok(info) if matches!(self.state, State::Up(_)) && !form::is_up(info) => {
                tracing::warn!("the stick has started anew without a word");
                self.drop_all("the stick has started anew by itself");
                self.start(now);
            }
            Ok(_) | Err(AskError::Rpc(_) | AskError::Gone | AskError::Full) => {}
        }
    }

    fn take_told(&mut self, now: Instant, message: &Message) {
        match &mut self.state {
            State::Starting(script) => {
                script.told(message);
                if message.is(&SYS_RESET_IND) && !script.expects_reset() {
                    self.begin_again(now);
                }
            }
            State::Up(_) if message.is(&SYS_RESET_IND) => {
                tracing::warn!(reason = message.u8("reason"), "the stick has started anew by itself");
                self.drop_all("the stick has started anew by itself");
                self.start(now);
            }
            State::Up(_) if message.is(&ZDO_STATE_CHANGE_IND) && message.u8("state") != form::STATE_COORDINATOR => {
                tracing::warn!(state = message.u8("state"), "the stick's network is down");
                self.drop_all("the stick's network is down");
                self.start(now);
            }
            State::Up(_) => {
                if let Some((_, script)) = &mut self.job {
                    script.told(message);
                }
                self.take_message(now, message);
            }
            State::Closed | State::Resting { .. } | State::Refused => {}
        }
    }

    /// The stick has broken off its start.
    fn begin_again(&mut self, now: Instant) {
        self.line.reset();
        self.starts_broken += 1;
        if self.starts_broken < BROKEN_STARTS_MAX {
            self.start(now);
        } else {
            self.starts_broken = 0;
            self.rest(now, None);
        }
    }

    fn take_message(&mut self, now: Instant, message: &Message) {
        let nwk = |field| Nwk(message.u16(field));
        if message.is(&AF_INCOMING_MSG) {
            let incoming = incoming(message, nwk("srcaddr"), message.bytes("data"));
            self.event(NcpEvent::Message(incoming));
        } else if message.is(&AF_INCOMING_MSG_EXT) {
            self.take_long(message);
        } else if message.is(&AF_DATA_CONFIRM) {
            let (transaction, endpoint) = (message.u8("transid"), message.u8("endpoint"));
            if let Some((tag, to, status)) = self.sends.confirmed(transaction, endpoint, message.u8("status")) {
                // Its request was heard, whether or not the answer to it was.
                self.line.settle(now, &Owner::Send(transaction));
                if let Some((nwk, child)) = to.and_then(|nwk| Some((nwk, self.children.heard_of(nwk, status)?))) {
                    self.push_job(Client::Own, Job::TakeBack { nwk, child });
                }
                self.event(NcpEvent::Sent { tag, status });
            }
        } else if message.is(&ZDO_TC_DEVICE_IND) {
            let parent = Some(nwk("parentaddr")).filter(|parent| parent.0 < 0xfff8);
            self.event(NcpEvent::Joined { ieee: message.ieee("extaddr"), nwk: nwk("nwkaddr"), parent });
            self.due.backup_after_change(now);
        } else if message.is(&ZDO_LEAVE_IND) {
            let rejoin = message.u8("rejoin") != 0;
            self.event(NcpEvent::Left { ieee: message.ieee("extaddr"), nwk: nwk("srcaddr"), rejoin });
            self.due.backup_after_change(now);
        } else if message.is(&ZDO_PERMIT_JOIN_IND) {
            self.event(NcpEvent::PermitJoin { seconds: message.u8("duration") });
        } else if let Some(told) = zdo::told(message)
            && self.echo.is_news(now, message.is(&ZDO_MSG_CB_INCOMING), &told)
        {
            let (from, cluster, payload) = told;
            self.event(NcpEvent::Zdo { from, cluster, payload });
        }
    }

    fn take_long(&mut self, message: &Message) {
        const MODE_64_BIT: u8 = 3;
        if message.u8("srcaddrmode") == MODE_64_BIT {
            return;
        }
        let (from, len, data) = (Nwk(message.u16("srcaddr")), message.u16("len"), message.bytes("data"));
        match data.get(..usize::from(len)) {
            Some(data) => self.event(NcpEvent::Message(incoming(message, from, data))),
            // Nobody sends so many of them at a time but to be a nuisance.
            None if self.jobs.len() >= FETCHES_LEN_MAX => tracing::debug!("a long message is passed over"),
            None => {
                let timestamp = message.u32("timestamp");
                self.push_job(Client::Own, Job::Fetch { timestamp, len, message: incoming(message, from, &[]) });
            }
        }
    }

    fn turn_start(&mut self, now: Instant) {
        let State::Starting(script) = &mut self.state else { return };
        let result = script.turn(now);
        while let Some(say) = script.poll_say() {
            match say {
                Say::Tell(message) => self.line.tell(&message),
                // In its place behind what was said before.
                Say::Transmit(transmit) => {
                    self.transmits.extend(std::iter::from_fn(|| self.line.poll_transmit()).map(Transmit::Bytes));
                    self.transmits.push_back(transmit);
                }
            }
        }
        if let Some((message, patience)) = script.poll_ask() {
            self.line.ask(now, Owner::Start, &message, patience);
        }
        match result {
            None => {}
            Some(Ok(started)) => self.come_up(now, started),
            Some(Err(Trouble::Owner(why))) => {
                tracing::error!(%why, "the stick is not used");
                self.state = State::Refused;
                self.event(NcpEvent::Refused { why });
            }
            Some(Err(trouble)) => {
                tracing::warn!(%trouble, "the stick could not be started");
                let why = trouble.to_string().into_boxed_str();
                self.event(NcpEvent::Down { why: why.clone() });
                self.rest(now, matches!(trouble, Trouble::Silent(_) | Trouble::NoStick).then_some(why));
            }
        }
    }

    fn come_up(&mut self, now: Instant, started: Started) {
        self.starts_failed = 0;
        self.starts_broken = 0;
        // What it was asked to do is done; the next start must not do it again.
        self.config.restore = false;
        if self.known.as_ref() != Some(&started.persisted) {
            self.known = Some(started.persisted.clone());
            self.event(NcpEvent::Persist(Box::new(started.persisted.clone())));
        }
        self.event(NcpEvent::Up(Box::new(started.info.clone())));
        self.state = State::Up(Box::new(started));
        self.due = Due::after_start(now);
    }

    fn look_at_counter(&mut self) {
        let known = self.known.as_ref().and_then(|known| Some((known.extended_pan_id, known.backup.as_ref()?)));
        let Some((network, backup)) = known else { return };
        let backed_up = frame_counter(backup);
        self.push_job(Client::Own, Job::Counter { network, backed_up });
    }

    fn push_job(&mut self, client: Client, job: Job) {
        if self.jobs.len() >= JOBS_LEN_MAX {
            if let Client::Tag(tag) = client {
                self.event(NcpEvent::Done { tag, result: Err("too much is waiting for the stick".into()) });
            }
            return;
        }
        self.jobs.push_back((client, job));
    }

    fn turn_job(&mut self, now: Instant) {
        let State::Up(started) = &self.state else { return };
        let family = started.family;
        loop {
            if self.job.is_none() {
                let Some((client, job)) = self.jobs.pop_front() else { return };
                let script = job.begin(now, family);
                self.job = Some((client, script));
            }
            let Some((client, script)) = &mut self.job else { return };
            let (client, result) = (*client, script.turn(now));
            if let Some((message, patience)) = script.poll_ask() {
                self.line.ask(now, Owner::Job, &message, patience);
            }
            let Some(result) = result else { return };
            self.job = None;
            self.end_job(client, result);
        }
    }

    fn end_job(&mut self, client: Client, result: Result<Outcome, Trouble>) {
        let result = match result {
            Ok(Outcome::Message(message)) => return self.event(NcpEvent::Message(message)),
            Ok(Outcome::Reply(reply)) => Ok(reply),
            Ok(Outcome::LetGo(nwk, child)) => {
                self.children.let_go(nwk, child);
                Ok(Reply::Nothing)
            }
            Ok(Outcome::Backup(backup)) => {
                let json = backup.to_json();
                if let Some(known) = &mut self.known {
                    known.pan_id = backup.pan_id;
                    known.channel = backup.channel;
                    known.backup = Some(json.to_string().into());
                    let known = Box::new(known.clone());
                    self.event(NcpEvent::Persist(known));
                }
                Ok(Reply::Backup(Box::new(json)))
            }
            Err(trouble) => Err(trouble.to_string().into_boxed_str()),
        };
        match client {
            Client::Tag(tag) => self.event(NcpEvent::Done { tag, result }),
            Client::Own => {
                if let Err(why) = result {
                    tracing::warn!(%why, "the stick did not go along");
                }
            }
        }
    }

    fn ask_sends(&mut self, now: Instant) {
        let State::Up(started) = &self.state else { return };
        while let Some((transaction, message)) = self.sends.poll_ask(now, started.info.in_flight_max) {
            self.line.ask(now, Owner::Send(transaction), &message, Patience::of(message.command));
        }
    }

    fn send_zdo(&mut self, now: Instant, tag: Tag, to: Nwk, cluster: ClusterId, payload: &[u8]) {
        if !matches!(self.state, State::Up(_)) {
            return self.event(NcpEvent::Sent { tag, status: SendStatus::RadioDown });
        }
        self.sequence = self.sequence.wrapping_add(1);
        match zdo::request(to, cluster, payload, self.sequence) {
            Some(message) => {
                self.line.ask(now, Owner::Zdo(tag), &message, ZDO_PATIENCE);
            }
            None => self.event(NcpEvent::Sent { tag, status: SendStatus::Refused(0) }),
        }
    }
}

impl Ncp for Znp {
    fn handle_open(&mut self, now: Instant) {
        self.line.clear();
        self.start(now);
        self.turn(now);
    }

    fn handle_closed(&mut self, now: Instant) {
        self.drop_all("the stick's port is gone");
        self.line.clear();
        self.state = State::Closed;
        self.transmits.clear();
        self.turn(now);
    }

    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.line.handle_bytes(now, bytes);
        self.turn(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.line.handle_timeout(now);
        while let Some((tag, status)) = self.sends.poll_overdue(now) {
            self.event(NcpEvent::Sent { tag, status });
        }
        if let State::Resting { until, reopen } = &mut self.state
            && *until <= now
        {
            match reopen.take() {
                Some(why) => self.reopen(why),
                None => self.start(now),
            }
        }
        while let Some(errand) = self.due.poll(now) {
            match errand {
                Errand::Look => {
                    let request = UTIL_GET_DEVICE_INFO.request();
                    self.line.ask(now, Owner::Look, &request, LOOK_PATIENCE);
                }
                Errand::Backup => self.push_job(Client::Own, Job::Backup),
                Errand::Counter => self.look_at_counter(),
            }
        }
        self.turn(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let script = match &self.state {
            State::Starting(script) => script.poll_timeout(),
            State::Resting { until, .. } => Some(*until),
            State::Up(_) => self.job.as_ref().and_then(|(_, script)| script.poll_timeout()),
            State::Closed | State::Refused => None,
        };
        let line = self.line.poll_timeout();
        [script, line, self.sends.poll_timeout(), self.due.poll_timeout()].into_iter().flatten().min()
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front().or_else(|| self.line.poll_transmit().map(Transmit::Bytes))
    }

    fn poll_event(&mut self) -> Option<NcpEvent> {
        self.events.pop_front()
    }

    fn command(&mut self, now: Instant, command: NcpCommand) {
        match command {
            NcpCommand::Send { tag, message } => {
                let is_up = matches!(self.state, State::Up(_));
                let pushed = if is_up { self.sends.push(tag, message) } else { Err(SendStatus::RadioDown) };
                if let Err(status) = pushed {
                    self.event(NcpEvent::Sent { tag, status });
                }
            }
            NcpCommand::Zdo { tag, to, cluster, payload } => self.send_zdo(now, tag, to, cluster, &payload),
            NcpCommand::PermitJoin { tag, .. }
            | NcpCommand::InstallCode { tag, .. }
            | NcpCommand::Forget { tag, .. }
            | NcpCommand::DiscoverRoute { tag, .. }
            | NcpCommand::Backup { tag }
            | NcpCommand::TransmitPower { tag, .. } => {
                if matches!(self.state, State::Up(_)) {
                    let job = match command {
                        NcpCommand::DiscoverRoute { to, .. } if self.children.take_suspect(to) => Job::LetGo(to),
                        command => Job::Command(command),
                    };
                    self.push_job(Client::Tag(tag), job);
                } else {
                    self.event(NcpEvent::Done { tag, result: Err("the radio is down".into()) });
                }
            }
        }
        self.turn(now);
    }
}

fn incoming(message: &Message, from: Nwk, data: &[u8]) -> Incoming {
    let group = message.u16("groupid");
    Incoming {
        from,
        from_endpoint: Endpoint(message.u8("srcendpoint")),
        to_endpoint: Endpoint(message.u8("dstendpoint")),
        group: (group != 0).then_some(GroupId(group)),
        was_broadcast: message.u8("wasbroadcast") != 0,
        profile: None,
        cluster: ClusterId(message.u16("clusterid")),
        lqi: message.u8("linkquality"),
        payload: data.to_vec(),
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
