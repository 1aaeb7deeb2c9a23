//! What waits to be sent and what waits for its answer: how many at once, who goes first, when to try again, when to give up.
//! Knows no job: whoever asked finds the end of it in [`Queue::poll_finished`].

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::zigbee::ncp::{NcpCommand, SendStatus, Tag};
use crate::zigbee::network::exchange::{Answer, Failure, Frame, Message, To, Wants, zdo_answer};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::retry::{Next, next, patience};
use crate::zigbee::network::strays::Strays;
use crate::zigbee::types::{Ieee, Nwk};
use crate::zigbee::zdo;

/// Messages that wait, of all devices. A network of 200 whose interviews all begin at once needs half of it.
const QUEUE_MAX: usize = 2048;

/// Messages that wait for one device.
const LANE_MAX: usize = 64;

/// Exchanges under way with one device that listens: a command and the read behind it, which then cost one round trip.
const LANE_AWAKE: usize = 2;

/// With one that sleeps: its parent keeps few messages for it (Zigbee r22 §3.6.5 asks for one).
const LANE_ASLEEP: usize = 1;

/// After it was heard, for so long one that sleeps is taken to fetch what waits for it.
const AWAKE_AFTER_HEARD: Duration = Duration::from_secs(3);

/// A stick that has not said within this what became of a message will not say it any more.
const CONFIRM: Duration = Duration::from_secs(30);

/// A search for a route that has no end is over after this.
const ROUTE: Duration = Duration::from_secs(3);

/// A stick that starts anew by itself, or is plugged in again at once, is up again within this.
const HOPE: Duration = Duration::from_secs(6);

/// Tags of the queue have this bit; all other tags are of `network` itself.
pub const TAG_BIT: Tag = 1 << 63;

/// Who goes first. People wait for theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What a device waits for.
    Answer,
    Person,
    /// Of a device that has just joined.
    Interview,
    Housekeeping,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub to: To,
    pub message: Message,
    pub wants: Wants,
    pub priority: Priority,
    /// All in all, waiting for its turn and for a sleeper among it.
    pub within: Duration,
    /// Times that it goes out again when it was delivered and not answered.
    pub repeats: u8,
    /// It must not be done twice: what may have arrived does not go out again.
    pub is_once: bool,
    /// Comes back with what came of it.
    pub owner: Owner,
}

struct Exchange {
    ask: Ask,
    deadline: Instant,
    state: State,
    /// Of the ZCL frame; the same each time it goes out, so that a late answer still is one.
    seq: Option<u8>,
    tries: u8,
    repeats: u8,
    /// It was delivered at least once; of ZDO, taken by the stick.
    delivered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting {
        not_before: Option<Instant>,
        when_heard: bool,
    },
    /// Given to the stick, whose word on it is waited for so long.
    Sending {
        until: Instant,
    },
    /// Delivered; answered by then, or sent again.
    Answering {
        until: Instant,
    },
    /// A route is being looked for.
    Routing {
        until: Instant,
    },
}

impl Exchange {
    /// Why it has no answer although it went out. What a stick has taken of ZDO it has not delivered.
    fn unanswered(&self) -> Failure {
        if matches!(self.ask.message, Message::Zdo(_)) { Failure::Unsure } else { Failure::NoAnswer }
    }
}

/// What the queue knows of the way to one device.
#[derive(Default)]
struct Lane {
    seq: u8,
    /// One that sleeps fetches its messages until then.
    awake_until: Option<Instant>,
}

/// Where a device is, as far as sending goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts {
    pub nwk: Nwk,
    pub sleeps: bool,
}

/// The end of an exchange.
pub struct Finished {
    pub owner: Owner,
    pub to: To,
    pub end: Result<Answer, Failure>,
}

#[derive(Default)]
pub struct Queue {
    exchanges: BTreeMap<u64, Exchange>,
    lanes: BTreeMap<Ieee, Lane>,
    /// Tags that the stick owes an answer for, with the exchange and when it is taken for lost.
    flying: BTreeMap<Tag, (u64, Instant)>,
    routes: BTreeMap<Tag, u64>,
    strays: Strays,
    finished: VecDeque<Finished>,
    next_id: u64,
    next_tag: Tag,
    /// `None`: the radio is down, and nothing is sent.
    in_flight_max: Option<usize>,
    /// It is down, and may be up again by then.
    hopeful_until: Option<Instant>,
    /// The stick was full: one at a time until then.
    gently_until: Option<Instant>,
}

impl Queue {
    /// The radio is up, and bears so many at once.
    pub fn up(&mut self, in_flight_max: usize) {
        self.in_flight_max = Some(in_flight_max.max(1));
    }

    /// It is not. A stick that has started anew is up again in a moment: what people wait for has so long, all else waits.
    pub fn down(&mut self, now: Instant) {
        if self.in_flight_max.take().is_some() {
            self.hopeful_until = Some(now + HOPE);
        }
        self.flying.clear();
        self.routes.clear();
        let ids: Vec<u64> = self.exchanges.keys().copied().collect();
        for id in ids {
            let Some(exchange) = self.exchanges.get_mut(&id) else { continue };
            let may_be_done = exchange.ask.is_once && exchange.tries > 0;
            if may_be_done || exchange.ask.priority == Priority::Answer {
                self.finish(id, Err(Failure::RadioDown));
                continue;
            }
            exchange.state = State::Waiting { not_before: None, when_heard: false };
            if exchange.ask.priority == Priority::Person {
                exchange.deadline = exchange.deadline.min(now + HOPE);
            }
        }
    }

    /// The radio is up, or was a moment ago.
    pub fn is_hopeful(&self, now: Instant) -> bool {
        self.in_flight_max.is_some() || self.hopeful_until.is_some_and(|until| now < until)
    }

    /// A person has to act first.
    pub fn give_up(&mut self) {
        self.hopeful_until = None;
        self.end_all(|exchange| exchange.ask.priority <= Priority::Person, &Failure::RadioDown);
    }

    pub fn push(&mut self, now: Instant, ask: Ask) {
        let lane = |exchange: &&Exchange| exchange.ask.to == ask.to;
        if self.exchanges.len() >= QUEUE_MAX || self.exchanges.values().filter(lane).count() >= LANE_MAX {
            let end = Err(Failure::Dropped("too much waits to be sent"));
            self.finished.push_back(Finished { owner: ask.owner, to: ask.to, end });
            return;
        }
        if !self.is_hopeful(now) && ask.priority <= Priority::Person {
            self.finished.push_back(Finished { owner: ask.owner, to: ask.to, end: Err(Failure::RadioDown) });
            return;
        }
        let state = State::Waiting { not_before: None, when_heard: false };
        let repeats = ask.repeats;
        let hope = self.hopeful_until.filter(|_| self.in_flight_max.is_none() && ask.priority <= Priority::Person);
        let deadline = hope.map_or(now + ask.within, |until| until.min(now + ask.within));
        let exchange = Exchange { ask, deadline, state, seq: None, tries: 0, repeats, delivered: false };
        self.exchanges.insert(self.next_id, exchange);
        self.next_id += 1;
    }

    /// The device has said something: if it sleeps, now is the time.
    pub fn heard(&mut self, now: Instant, ieee: Ieee) {
        self.lanes.entry(ieee).or_default().awake_until = Some(now + AWAKE_AFTER_HEARD);
        for exchange in self.exchanges.values_mut().filter(|exchange| exchange.ask.to == To::Device(ieee)) {
            if let State::Waiting { when_heard, .. } = &mut exchange.state {
                *when_heard = false;
            }
        }
    }

    /// It will listen for so long (poll control §3.16.5.4).
    pub fn stays_awake(&mut self, until: Instant, ieee: Ieee) {
        self.lanes.entry(ieee).or_default().awake_until = Some(until);
    }

    /// Something waits for it, or is under way.
    pub fn has_for(&self, ieee: Ieee) -> bool {
        self.exchanges.values().any(|exchange| exchange.ask.to == To::Device(ieee))
    }

    /// It is gone, or has another address: nothing that was said to it holds. What is `kept` waits for it.
    pub fn forget(&mut self, ieee: Ieee) {
        self.lanes.remove(&ieee);
        self.end_all(|exchange| exchange.ask.to == To::Device(ieee), &Failure::Dropped("it has left"));
    }

    /// It has another network address: what was under way to the old one goes out again, but for what may have got there and must
    /// not be done twice.
    pub fn moved(&mut self, ieee: Ieee) {
        let is_done_perhaps = |exchange: &Exchange| exchange.ask.is_once && exchange.tries > 0;
        self.end_all(|exchange| exchange.ask.to == To::Device(ieee) && is_done_perhaps(exchange), &Failure::Unsure);
        for exchange in self.exchanges.values_mut().filter(|exchange| exchange.ask.to == To::Device(ieee)) {
            exchange.state = State::Waiting { not_before: None, when_heard: false };
            exchange.tries = 0;
        }
    }

    /// Ends all of one owner without telling it.
    pub fn cancel(&mut self, is_of: impl Fn(&Owner) -> bool) {
        self.exchanges.retain(|_, exchange| !is_of(&exchange.ask.owner));
        self.finished.retain(|finished| !is_of(&finished.owner));
    }

    fn end_all(&mut self, which: impl Fn(&Exchange) -> bool, failure: &Failure) {
        let ids: Vec<u64> = self.exchanges.iter().filter(|(_, exchange)| which(exchange)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.finish(id, Err(failure.clone())));
    }

    fn finish(&mut self, id: u64, end: Result<Answer, Failure>) {
        if let Some(exchange) = self.exchanges.remove(&id) {
            self.finished.push_back(Finished { owner: exchange.ask.owner, to: exchange.ask.to, end });
        }
    }

    pub fn poll_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// The stick says what became of a message.
    pub fn sent(
        &mut self,
        now: Instant,
        tag: Tag,
        status: SendStatus,
        whereabouts: impl Fn(Ieee) -> Option<Whereabouts>,
    ) {
        let Some((id, _)) = self.flying.remove(&tag) else { return };
        if status == SendStatus::Busy {
            self.gently_until = Some(now + Duration::from_secs(5));
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if !matches!(exchange.state, State::Sending { .. }) {
            return;
        }
        let sleeps = match exchange.ask.to {
            To::Device(ieee) => whereabouts(ieee).is_some_and(|whereabouts| whereabouts.sleeps),
            To::Group(_) | To::Address(_) => false,
        };
        let waiting = |after: Option<Duration>, when_heard| State::Waiting {
            not_before: after.map(|after| now + after),
            when_heard,
        };
        match next(status, sleeps, exchange.tries) {
            // It may have arrived all the same: only the acknowledgement is missing.
            _ if status == SendStatus::NoAck && exchange.ask.is_once => self.finish(id, Err(Failure::Unsure)),
            Next::Await if exchange.ask.wants == Wants::Delivery => self.finish(id, Ok(Answer::Delivered)),
            Next::Await => {
                exchange.delivered = true;
                exchange.state = State::Answering { until: now + patience(sleeps, exchange.tries) };
            }
            Next::Again { after } => {
                if status == SendStatus::Busy {
                    exchange.tries -= 1;
                }
                exchange.state = waiting(Some(after), false);
            }
            Next::Route | Next::Parent => exchange.state = State::Routing { until: now + ROUTE },
            Next::WhenHeard => {
                // Whoever slept through this is not awake now.
                if let To::Device(ieee) = exchange.ask.to {
                    self.lanes.entry(ieee).or_default().awake_until = None;
                }
                exchange.state = waiting(None, true);
            }
            // `down` comes right behind it, and says how long there is hope.
            Next::Fail(Failure::RadioDown) if !exchange.ask.is_once => exchange.state = waiting(None, false),
            Next::Fail(failure) => {
                self.expect_strays(now, id, None);
                self.finish(id, Err(failure));
            }
        }
    }

    /// A search for a route is over; it is tried whatever came of it.
    pub fn done(&mut self, tag: Tag) {
        if let Some(id) = self.routes.remove(&tag)
            && let Some(exchange) = self.exchanges.get_mut(&id)
            && matches!(exchange.state, State::Routing { .. })
        {
            exchange.state = State::Waiting { not_before: None, when_heard: false };
        }
    }

    /// A frame of this device: whether it was an answer.
    pub fn handle_frame(&mut self, ieee: Ieee, frame: &Frame<'_>) -> bool {
        let Some((id, answer)) = self.answered(ieee, frame) else { return false };
        self.finish(id, Ok(answer));
        true
    }

    /// Whether [`Queue::handle_frame`] would take it.
    pub fn awaits(&self, ieee: Ieee, frame: &Frame<'_>) -> bool {
        self.answered(ieee, frame).is_some()
    }

    fn answered(&self, ieee: Ieee, frame: &Frame<'_>) -> Option<(u64, Answer)> {
        let of_it =
            self.exchanges.iter().filter(|(_, exchange)| exchange.ask.to == To::Device(ieee) && exchange.tries > 0);
        of_it.into_iter().find_map(|(id, exchange)| match &exchange.ask.message {
            Message::Zcl(zcl) => Some((*id, zcl.answer(exchange.seq?, exchange.ask.wants, frame)?)),
            Message::Answer(_) | Message::Zdo(_) => None,
        })
    }

    /// A ZDO response of this device: whether somebody waited for it. Sticks pass one on before their own word on the request, too.
    pub fn handle_zdo(&mut self, now: Instant, ieee: Ieee, response: &zdo::Response) -> bool {
        let answer = self.exchanges.iter().filter(|(_, exchange)| exchange.ask.to == To::Device(ieee)).find_map(
            |(id, exchange)| match &exchange.ask.message {
                Message::Zdo(request) if exchange.tries > 0 => Some((*id, zdo_answer(request, response)?)),
                Message::Zcl(_) | Message::Answer(_) | Message::Zdo(_) => None,
            },
        );
        let Some((id, answer)) = answer else { return false };
        self.expect_strays(now, id, Some(response));
        self.finish(id, Ok(answer));
        true
    }

    /// It is over.
    fn expect_strays(&mut self, now: Instant, id: u64, answer: Option<&zdo::Response>) {
        if let Some(Exchange { ask, tries, .. }) = self.exchanges.get(&id)
            && let (To::Device(ieee), Message::Zdo(request)) = (ask.to, &ask.message)
            && *tries > u8::from(answer.is_some())
        {
            self.strays.expect(now, ieee, request, answer.is_some_and(|answer| answer.status().is_success()));
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let lost: Vec<Tag> = self.flying.iter().filter(|(_, (_, until))| *until <= now).map(|(tag, _)| *tag).collect();
        for tag in lost {
            if let Some((id, _)) = self.flying.remove(&tag)
                && let Some(exchange) = self.exchanges.get_mut(&id)
                && matches!(exchange.state, State::Sending { .. })
            {
                exchange.state = State::Waiting { not_before: None, when_heard: false };
            }
        }
        self.strays.handle_timeout(now);
        let mut over = Vec::new();
        for (id, exchange) in &mut self.exchanges {
            if exchange.deadline <= now {
                let failure = match exchange.state {
                    _ if self.in_flight_max.is_none() => Failure::RadioDown,
                    _ if exchange.delivered => exchange.unanswered(),
                    State::Sending { .. } if exchange.ask.is_once => Failure::Unsure,
                    State::Waiting { when_heard: true, .. } => Failure::Unreachable("it sleeps, and was not heard of"),
                    _ if exchange.tries > 0 => Failure::Unreachable("nothing that was sent to it has arrived"),
                    _ => Failure::Unreachable("its turn to be sent to did not come in time"),
                };
                over.push((*id, failure));
                continue;
            }
            match exchange.state {
                // The stick's word is lost, or the stick is slow; what must not be done twice waits for it.
                State::Sending { until } if until <= now && !exchange.ask.is_once && exchange.repeats > 0 => {
                    exchange.repeats -= 1;
                    exchange.state = State::Waiting { not_before: None, when_heard: false };
                }
                // It may go now; whether it can is for `pump` to say, and no reason to be woken again.
                State::Waiting { not_before: Some(at), when_heard } if at <= now => {
                    exchange.state = State::Waiting { not_before: None, when_heard };
                }
                State::Answering { until } if until <= now => {
                    if exchange.repeats == 0 {
                        over.push((*id, exchange.unanswered()));
                    } else {
                        exchange.repeats -= 1;
                        exchange.state = State::Waiting { not_before: None, when_heard: false };
                    }
                }
                State::Routing { until } if until <= now => {
                    exchange.state = State::Waiting { not_before: None, when_heard: false };
                }
                _ => {}
            }
        }
        for (id, failure) in over {
            self.expect_strays(now, id, None);
            self.finish(id, Err(failure));
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let states = self.exchanges.values().filter_map(|exchange| match exchange.state {
            State::Answering { until } | State::Routing { until } => Some(until),
            State::Waiting { not_before, .. } => not_before,
            State::Sending { until } => Some(until).filter(|_| !exchange.ask.is_once && exchange.repeats > 0),
        });
        let deadlines = self.exchanges.values().map(|exchange| exchange.deadline);
        let flying = self.flying.values().map(|(_, until)| *until);
        states.chain(deadlines).chain(flying).chain(self.strays.poll_timeout()).min()
    }

    /// Gives the stick what may go now. `out` takes it.
    pub fn pump(
        &mut self,
        now: Instant,
        whereabouts: impl Fn(Ieee) -> Option<Whereabouts>,
        out: &mut VecDeque<NcpCommand>,
    ) {
        let Some(in_flight_max) = self.in_flight_max else { return };
        let in_flight_max = if self.gently_until.is_some_and(|until| now < until) { 1 } else { in_flight_max };
        self.search_routes(now, &whereabouts, out);
        if self.flying.len() >= in_flight_max || self.exchanges.is_empty() {
            return;
        }
        let mut busy: BTreeMap<Ieee, usize> = BTreeMap::new();
        let mut ready: Vec<(Priority, u64)> = Vec::new();
        for (id, exchange) in &self.exchanges {
            match (exchange.state, exchange.ask.to) {
                (State::Waiting { not_before, when_heard: false }, _) if not_before.is_none_or(|at| at <= now) => {
                    ready.push((exchange.ask.priority, *id));
                }
                (State::Sending { .. } | State::Answering { .. } | State::Routing { .. }, To::Device(ieee)) => {
                    *busy.entry(ieee).or_default() += 1;
                }
                _ => {}
            }
        }
        ready.sort_unstable();
        for (_, id) in ready {
            if self.flying.len() >= in_flight_max {
                return;
            }
            let Some(exchange) = self.exchanges.get(&id) else { continue };
            match exchange.ask.to {
                To::Device(ieee) => {
                    let Some(whereabouts) = whereabouts(ieee) else {
                        self.finish(id, Err(Failure::Dropped("nobody knows where it is")));
                        continue;
                    };
                    let under_way = busy.entry(ieee).or_default();
                    if *under_way < if whereabouts.sleeps { LANE_ASLEEP } else { LANE_AWAKE }
                        && self.may_go(now, id, ieee, whereabouts)
                        && !self.is_like_one_under_way(id, ieee)
                    {
                        *under_way += 1;
                        self.send(now, id, whereabouts, out);
                    }
                }
                To::Group(_) | To::Address(_) => {
                    self.send(now, id, Whereabouts { nwk: Nwk::ALL, sleeps: false }, out);
                }
            }
        }
    }

    /// One that sleeps is sent to when it has just been heard. What people wait for goes out once at once: many of them look for
    /// messages every few seconds without a word.
    fn may_go(&self, now: Instant, id: u64, ieee: Ieee, whereabouts: Whereabouts) -> bool {
        let is_awake = || self.lanes.get(&ieee).and_then(|lane| lane.awake_until).is_some_and(|until| now < until);
        let is_persons = || {
            let exchange = &self.exchanges[&id];
            exchange.ask.priority <= Priority::Person && exchange.tries == 0
        };
        !whereabouts.sleeps || is_persons() || is_awake()
    }

    /// ZDO responses have no number here: of two of a kind nobody could tell which is answered.
    fn is_like_one_under_way(&self, id: u64, ieee: Ieee) -> bool {
        let exchange = &self.exchanges[&id];
        let Message::Zdo(request) = &exchange.ask.message else { return false };
        let has_strays = exchange.tries == 0 && self.strays.may_come(ieee, request);
        has_strays
            || self.exchanges.values().any(|other| {
                let Message::Zdo(other_request) = &other.ask.message else { return false };
                other.ask.to == exchange.ask.to
                    && !matches!(other.state, State::Waiting { .. })
                    && other_request.cluster() == request.cluster()
            })
    }

    fn send(
        &mut self,
        now: Instant,
        id: u64,
        Whereabouts { nwk, sleeps }: Whereabouts,
        out: &mut VecDeque<NcpCommand>,
    ) {
        let seq = self.number(id);
        let tag = self.next_tag | TAG_BIT;
        self.next_tag += 1;
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.seq = Some(seq);
        exchange.tries = exchange.tries.saturating_add(1);
        exchange.state = State::Sending { until: now + patience(sleeps, exchange.tries) };
        self.flying.insert(tag, (id, now + CONFIRM));
        out.push_back(exchange.ask.message.command(tag, exchange.ask.to, nwk, seq));
    }

    /// The number of the frame: that of what it answers, its own from before, or one that the device has not been given for the last 200.
    fn number(&mut self, id: u64) -> u8 {
        let exchange = &self.exchanges[&id];
        if let Message::Answer(zcl) = &exchange.ask.message {
            return zcl.header.seq;
        }
        if let Some(seq) = exchange.seq {
            return seq;
        }
        let To::Device(ieee) = exchange.ask.to else { return u8::try_from(id % 255).unwrap_or(0) };
        let is_taken =
            |seq: u8| self.exchanges.values().any(|other| other.ask.to == To::Device(ieee) && other.seq == Some(seq));
        let first = self.lanes.get(&ieee).map_or(0, |lane| lane.seq);
        let free = (1..=u8::MAX).map(|step| first.wrapping_add(step)).find(|seq| !is_taken(*seq));
        // At most `LANE_MAX` are taken.
        let seq = free.unwrap_or(first);
        self.lanes.entry(ieee).or_default().seq = seq;
        seq
    }

    fn search_routes(
        &mut self,
        now: Instant,
        whereabouts: &impl Fn(Ieee) -> Option<Whereabouts>,
        out: &mut VecDeque<NcpCommand>,
    ) {
        let wanting: Vec<(u64, Ieee)> = self
            .exchanges
            .iter()
            .filter_map(|(id, exchange)| match (exchange.state, exchange.ask.to) {
                (State::Routing { until }, To::Device(ieee)) if until > now => Some((*id, ieee)),
                _ => None,
            })
            .collect();
        for (id, ieee) in wanting {
            let Some(Whereabouts { nwk, .. }) = whereabouts(ieee) else { continue };
            if self.routes.values().any(|other| *other == id) {
                continue;
            }
            let tag = self.next_tag | TAG_BIT;
            self.next_tag += 1;
            self.routes.insert(tag, id);
            out.push_back(NcpCommand::DiscoverRoute { tag, to: nwk });
        }
    }
}
