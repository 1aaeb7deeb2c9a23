//! What a session is yet to hear of the topics it listens to: the newest state of each thing, in the order of the changes.
//! Bounded; what is too much for it becomes "read it again". Knows no socket and reads nothing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::gateway::session::topics::{Family, Heard, Told, Topic};

/// Things that wait for a client that reads slowly. Past it, it rereads.
const WAITING_MAX: usize = 256;

/// Properties of one device that wait as changes: more than any device has. Past it, it is read again.
const CHANGES_LEN_MAX: usize = 512;

/// Filled by the hub, emptied by one session.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    topics: BTreeSet<Topic>,
    told: VecDeque<Arc<Told>>,
    missed: BTreeSet<Topic>,
}

impl Inbox {
    /// From now on what belongs to these comes in, and nothing else is in it.
    pub fn listen_to(&self, topics: BTreeSet<Topic>) {
        let mut waiting = self.lock();
        waiting.missed.retain(|topic| topics.contains(topic));
        waiting.told.retain(|told| topics.iter().any(|topic| topic.has(told.family, &told.key)));
        waiting.topics = topics;
    }

    /// Whether a thing is of interest.
    pub fn wants(&self, family: Family, key: &str) -> bool {
        self.lock().topics.iter().any(|topic| topic.has(family, key))
    }

    /// Brings in a change, in the place of what was known of the same thing.
    pub fn push(&self, told: &Arc<Told>) {
        let mut waiting = self.lock();
        let Waiting { topics, told: waits, missed } = &mut *waiting;
        if !topics.iter().any(|topic| topic.has(told.family, &told.key)) {
            return;
        }
        let mut told = told.clone();
        let same = |old: &Arc<Told>| old.family == told.family && old.key == told.key;
        if let Some(at) = waits.iter().position(same).filter(|_| !told.stands_alone()) {
            let old = waits.remove(at).expect("it is there");
            // Of a device what changed adds up.
            told = told.over(&old).map_or(told, Arc::new);
        }
        let is_long = told.changes.as_ref().is_some_and(|changes| changes.state.len() > CHANGES_LEN_MAX);
        if waits.len() >= WAITING_MAX {
            let crowded = |topic: &&Topic| waits.iter().any(|old| topic.has(old.family, &old.key));
            missed.extend(topics.iter().filter(crowded).cloned());
            waits.clear();
        }
        match is_long {
            true => missed.extend(topics.iter().filter(|topic| topic.has(told.family, &told.key)).cloned()),
            false => waits.push_back(told),
        }
        drop(waiting);
        self.waker.wake();
    }

    /// Notes that changes of these families were not told, or of all where `None`.
    pub fn miss(&self, families: Option<&[Family]>) {
        let mut waiting = self.lock();
        let Waiting { topics, told, missed } = &mut *waiting;
        let is_meant = |family: &Family| families.is_none_or(|families| families.contains(family));
        let before = missed.len();
        missed.extend(topics.iter().filter(|topic| topic.families().iter().any(is_meant)).cloned());
        told.retain(|told| !is_meant(&told.family));
        let is_news = missed.len() > before;
        drop(waiting);
        if is_news {
            self.waker.wake();
        }
    }

    /// The next of it. What is to be read again comes first: what follows is newer.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.waker.register(cx.waker());
        let mut waiting = self.lock();
        if let Some(topic) = waiting.missed.pop_first() {
            return Poll::Ready(Heard::Missed(topic));
        }
        match waiting.told.pop_front() {
            Some(told) => Poll::Ready(Heard::Changed(told)),
            None => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::session::topics::Changes;

    fn one_told(family: Family) -> Told {
        Told::new(family, "0x1", 0, false, None)
    }

    fn told(family: Family, key: &str, revision: u64) -> Arc<Told> {
        Arc::new(Told::new(family, key, revision, false, None))
    }

    fn all(inbox: &Inbox) -> Vec<Heard> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        std::iter::from_fn(|| match inbox.poll(&mut cx) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        })
        .collect()
    }

    fn listening(topics: &[Topic]) -> Inbox {
        let inbox = Inbox::default();
        inbox.listen_to(topics.iter().cloned().collect());
        inbox
    }

    #[test]
    fn of_each_thing_the_newest_state_comes_in_the_order_of_the_changes() {
        let inbox = listening(&[Topic::Settings, Topic::Users]);
        for (family, key, revision) in [
            (Family::Setting, "a", 1),
            (Family::User, "a", 2),
            (Family::Setting, "b", 3),
            (Family::Setting, "a", 4),
            (Family::ModelProfile, "a", 5),
        ] {
            inbox.push(&told(family, key, revision));
        }
        let expected = [told(Family::User, "a", 2), told(Family::Setting, "b", 3), told(Family::Setting, "a", 4)]
            .map(Heard::Changed);
        assert_eq!(all(&inbox), expected);
        assert_eq!(all(&inbox), []);
    }

    #[test]
    fn too_much_is_to_be_read_again_and_what_comes_after_is_told() {
        let inbox = listening(&[Topic::Settings, Topic::Users, Topic::Mcp]);
        inbox.push(&told(Family::User, "ann", 1));
        for at in 0..WAITING_MAX as u64 {
            inbox.push(&told(Family::Setting, &at.to_string(), 10 + at));
        }
        let last = told(Family::Setting, "255", 265);
        assert_eq!(
            all(&inbox),
            [Heard::Missed(Topic::Settings), Heard::Missed(Topic::Users), Heard::Changed(last)],
            "and nothing of a topic of which nothing waited"
        );
    }

    #[test]
    fn a_device_that_never_says_the_same_twice_is_read_again_and_costs_no_memory_without_end() {
        let inbox = listening(&[Topic::Devices, Topic::Settings]);
        let change = Changes { state: [("p".to_owned(), 1.into())].into_iter().collect(), ..Changes::default() };
        let state = (0..=CHANGES_LEN_MAX).map(|at| (format!("p{at}"), at.into())).collect();
        inbox.push(&Arc::new(Told { changes: Some(Changes { state, ..change.clone() }), ..one_told(Family::Device) }));
        let small = Arc::new(Told { changes: Some(change), ..one_told(Family::Device) });
        inbox.push(&small);
        assert_eq!(all(&inbox), [Heard::Missed(Topic::Devices), Heard::Changed(small)]);
    }

    #[test]
    fn what_was_missed_comes_first_and_covers_what_waited() {
        let inbox = listening(&[Topic::Settings, Topic::Users]);
        inbox.push(&told(Family::Setting, "a", 1));
        inbox.push(&told(Family::User, "ann", 2));
        inbox.miss(Some(&[Family::User]));
        inbox.push(&told(Family::User, "bob", 3));
        let expected = [
            Heard::Missed(Topic::Users),
            Heard::Changed(told(Family::Setting, "a", 1)),
            Heard::Changed(told(Family::User, "bob", 3)),
        ];
        assert_eq!(all(&inbox), expected);
        inbox.miss(None);
        inbox.listen_to([Topic::Users].into());
        assert_eq!(all(&inbox), [Heard::Missed(Topic::Users)]);
    }
}
