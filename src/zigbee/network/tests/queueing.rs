//! The queue by itself: answers without a number, what must not happen twice, and when it wants to be woken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::zigbee::ncp::{NcpCommand, SendStatus, Tag};
use crate::zigbee::network::exchange::{Answer, Failure, Message, To, Wants, Zcl};
use crate::zigbee::network::job::Owner;
use crate::zigbee::network::queue::{Ask, Priority, Queue, Whereabouts};
use crate::zigbee::types::{ClusterId, Endpoint, Ieee, Nwk, ProfileId};
use crate::zigbee::zdo::{Binding, BindingTarget, Request, Response, SimpleDescriptor, Status};

const LAMP: Ieee = Ieee(7);
const HALL: Duration = Duration::from_millis(10);

struct Desk {
    now: Instant,
    queue: Queue,
    out: VecDeque<NcpCommand>,
}

impl Desk {
    fn new() -> Desk {
        #[expect(clippy::disallowed_methods, reason = "somewhere a made time has to begin")]
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.up(16);
        Desk { now, queue, out: VecDeque::new() }
    }

    fn push(&mut self, message: Message, is_once: bool) {
        let (wants, priority, within) = (Wants::Default, Priority::Person, Duration::from_secs(10));
        let owner = Owner::Nobody;
        let repeats = if is_once { 0 } else { 3 };
        self.queue
            .push(self.now, Ask { to: To::Device(LAMP), message, wants, priority, within, repeats, is_once, owner });
    }

    /// What goes out after this long, time passing as the queue wishes.
    fn after(&mut self, span: Duration) -> Vec<Tag> {
        let until = self.now + span;
        let whereabouts = |_| Some(Whereabouts { nwk: Nwk(0x1234), sleeps: false });
        let mut woken = 0;
        loop {
            self.queue.handle_timeout(self.now);
            self.queue.pump(self.now, whereabouts, &mut self.out);
            let Some(next) = self.queue.poll_timeout().filter(|next| *next <= until) else { break };
            assert!(next > self.now || woken == 0, "woken for nothing");
            woken += 1;
            self.now = self.now.max(next);
        }
        self.now = until;
        let tags = self.out.drain(..).filter_map(|command| match command {
            NcpCommand::Send { tag, .. } | NcpCommand::Zdo { tag, .. } => Some(tag),
            _ => None,
        });
        tags.collect()
    }

    fn sent(&mut self, tag: Tag, status: SendStatus) {
        let whereabouts = |_| Some(Whereabouts { nwk: Nwk(0x1234), sleeps: false });
        self.queue.sent(self.now, tag, status, whereabouts);
    }

    fn end(&mut self) -> Option<Result<Answer, Failure>> {
        self.queue.poll_finished().map(|finished| finished.end)
    }
}

fn bind(cluster: u16) -> Message {
    let to = BindingTarget::Device { ieee: Ieee(1), endpoint: Endpoint(1) };
    let (from, endpoint, cluster) = (LAMP, Endpoint(1), ClusterId(cluster));
    Message::Zdo(Request::Bind(Binding { from, endpoint, cluster, to }))
}

fn toggle() -> Message {
    Message::Zcl(Zcl::command(Endpoint(1), ClusterId(6), 2, Vec::new()))
}

/// The stick's word is lost, so the first goes out twice and is answered twice; the second answer is not to the second binding.
#[test]
fn an_answer_to_a_binding_is_not_taken_for_that_to_the_next() {
    let mut desk = Desk::new();
    let (bound, refused) = (Response::Bind { status: Status::SUCCESS }, Response::Bind { status: Status(0x84) });
    desk.push(bind(6), false);
    let first = desk.after(HALL);
    desk.sent(first[0], SendStatus::NoAck);
    let again = desk.after(Duration::from_secs(1));
    assert_eq!((first.len(), again.len()), (1, 1));
    desk.push(bind(8), false);
    assert!(desk.after(HALL).is_empty(), "one of a kind at a time");
    assert!(desk.queue.handle_zdo(desk.now, LAMP, &bound));
    assert_eq!(desk.end(), Some(Ok(Answer::Zdo(bound.clone()))));
    assert!(desk.after(Duration::from_secs(1)).is_empty(), "an answer may come yet");
    assert!(!desk.queue.handle_zdo(desk.now, LAMP, &bound), "and nobody takes it");
    let next = desk.after(Duration::from_millis(1_100));
    assert_eq!(next.len(), 1);
    assert!(desk.queue.handle_zdo(desk.now, LAMP, &refused), "this may come before the stick's own word");
    assert_eq!(desk.end(), Some(Ok(Answer::Zdo(refused))));
}

/// A refusal does not say which endpoint it is about.
#[test]
fn a_refusal_of_one_endpoint_is_not_taken_for_that_of_the_next() {
    let nwk = Nwk(0x1234);
    let ask = |endpoint| Message::Zdo(Request::SimpleDescriptor { nwk, endpoint: Endpoint(endpoint) });
    let answer = |endpoint: Option<u8>| {
        let (profile, device, version, inputs, outputs) = (ProfileId::HOME_AUTOMATION, 0x0100, 1, vec![], vec![]);
        let descriptor = endpoint.map(Endpoint);
        let descriptor =
            descriptor.map(|endpoint| SimpleDescriptor { endpoint, profile, device, version, inputs, outputs });
        let status = if descriptor.is_some() { Status::SUCCESS } else { Status::NOT_ACTIVE };
        Response::SimpleDescriptor { status, nwk, descriptor }
    };
    for (first, is_free) in [(answer(None), false), (answer(Some(1)), true)] {
        let mut desk = Desk::new();
        desk.push(ask(1), false);
        let tags = desk.after(HALL);
        desk.sent(tags[0], SendStatus::NoAck);
        assert_eq!(desk.after(Duration::from_secs(1)).len(), 1);
        assert!(desk.queue.handle_zdo(desk.now, LAMP, &first));
        desk.push(ask(2), false);
        assert_eq!(desk.after(HALL).len() == 1, is_free);
        assert!(!desk.queue.handle_zdo(desk.now, LAMP, &first), "it was answered before");
    }
}

#[test]
fn what_may_have_been_done_is_not_done_again_elsewhere() {
    let mut desk = Desk::new();
    desk.push(toggle(), true);
    assert_eq!(desk.after(HALL).len(), 1);
    desk.push(toggle(), true);
    desk.queue.moved(LAMP);
    assert_eq!(desk.end(), Some(Err(Failure::Unsure)));
    assert_eq!(desk.end(), None, "the other one has not gone out");
    assert_eq!(desk.after(HALL).len(), 1);
}

#[test]
fn a_request_that_the_stick_took_was_not_delivered_by_that() {
    let mut desk = Desk::new();
    desk.push(bind(6), false);
    for _ in 0..4 {
        let tags = desk.after(Duration::from_secs(3));
        tags.into_iter().for_each(|tag| desk.sent(tag, SendStatus::Delivered));
    }
    desk.after(Duration::from_secs(10));
    assert_eq!(desk.end(), Some(Err(Failure::Unsure)));
}

/// A stick that is full takes one at a time: the others are due, and are not a reason to be woken.
#[test]
fn what_is_due_and_cannot_go_wakes_nobody() {
    let mut desk = Desk::new();
    (0..2).for_each(|_| desk.push(toggle(), false));
    let tags = desk.after(HALL);
    assert_eq!(tags.len(), 2);
    tags.into_iter().for_each(|tag| desk.sent(tag, SendStatus::Busy));
    let first = desk.after(Duration::from_millis(2_500));
    assert_eq!(first.len(), 1, "one at a time");
    assert!(desk.queue.poll_timeout().is_some_and(|at| at > desk.now));
}
