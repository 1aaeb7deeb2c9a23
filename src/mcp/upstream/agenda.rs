//! What is to be done soon about the servers: whom to ask what it has, which updates to tell. Whatever servers shout, it stays small
//! and nobody is asked too often. A state machine behind a lock; the loop that works it off is in `following`.
#![expect(clippy::disallowed_methods, reason = "notes when something was said")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::EntryKind;

/// A server that changes a list often changes it once more.
const SETTLES: Duration = Duration::from_millis(200);

/// After its start a server is asked what it has when its first call is over, usually.
const AFTER_START: Duration = Duration::from_millis(500);

/// Between two questions to a server that says its lists have changed; doubled while they have not.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The longest of these pauses.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(300);

/// Between two announcements of the same list of one server; doubled while it goes on shouting.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);

/// The longest of these pauses.
const ANNOUNCE_EVERY_MAX: Duration = Duration::from_secs(30);

/// Silence of so many pauses, and it is heard at once again.
const CALM_PAUSES: u32 = 4;

/// Between two tries with a server of which nothing is known yet: the first ones, and later.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(60);

/// Tries at the first pace.
const QUICK_TRIES: u32 = 10;

/// Updates of resources that wait to be told. Past it, all resources are said to have changed.
const UPDATES_MAX: usize = 1024;

/// See the module.
#[derive(Default)]
pub struct Agenda {
    notes: Mutex<Notes>,
    news: Notify,
}

#[derive(Default)]
struct Notes {
    due: BTreeMap<Box<str>, Instant>,
    /// Being asked now.
    asking: BTreeSet<Box<str>>,
    pace: BTreeMap<Box<str>, Pace>,
    updates: BTreeSet<Box<str>>,
    /// Lists that a server said are others now, and when that is to be told; what is new in them comes once it has been asked.
    lists: BTreeMap<EntryKind, Instant>,
    announced: BTreeMap<(Box<str>, EntryKind), Announced>,
    is_flooded: bool,
}

/// How often one server is asked.
#[derive(Clone, Copy)]
struct Pace {
    last: Option<Instant>,
    pause: Duration,
    failures: u32,
}

/// How often one list of a server is said to be another.
#[derive(Clone, Copy)]
struct Announced {
    /// It was told then, or is about to be.
    last: Instant,
    pause: Duration,
}

/// Updates to tell.
#[derive(Debug, PartialEq, Eq)]
pub enum Updates {
    Of(BTreeSet<Box<str>>),
    /// Too many to name.
    All,
}

impl Agenda {
    /// Of this server nothing is known: ask it.
    pub fn discover(&self, slug: &str) {
        let mut notes = self.notes();
        notes.due.insert(slug.into(), Instant::now());
        notes.pace.remove(slug);
        drop(notes);
        self.news.notify_one();
    }

    /// It was started: see whether it still is what it was. Not while it is being asked already.
    pub fn check_again(&self, slug: &str) {
        self.ask_after(slug, AFTER_START);
    }

    /// It was not heard for a while: see whether it still is what it was. Nobody is told unless it is not.
    pub fn look_again(&self, slug: &str) {
        self.ask_after(slug, SETTLES);
    }

    /// It says that a list has changed. That is told on, at once where it does not say so all the time: a server that shouts is not to
    /// have every client of the hub read all lists again and again.
    pub fn list_changed(&self, slug: &str, kind: EntryKind) {
        let (mut notes, now) = (self.notes(), Instant::now());
        let fresh = Announced { last: now, pause: ANNOUNCE_EVERY };
        let said = match notes.announced.get(&(slug.into(), kind)).copied() {
            Some(Announced { last, .. }) if last > now => None,
            Some(Announced { last, pause }) if now < last + pause * CALM_PAUSES => {
                let pause_after = (pause * 2).min(ANNOUNCE_EVERY_MAX);
                Some(Announced { last: now.max(last + pause), pause: pause_after })
            }
            _ => Some(fresh),
        };
        // What waits to be told anyway is told for this change as well.
        if let Some(said) = said.filter(|said| notes.lists.get(&kind).is_none_or(|at| *at > said.last)) {
            notes.announced.insert((slug.into(), kind), said);
            notes.lists.insert(kind, said.last);
        }
        drop(notes);
        self.ask_after(slug, SETTLES);
    }

    /// A resource is not what it was.
    pub fn updated(&self, uri: &str) {
        let mut notes = self.notes();
        if notes.updates.len() >= UPDATES_MAX && !notes.updates.contains(uri) {
            notes.is_flooded = true;
        } else {
            notes.updates.insert(uri.into());
        }
        drop(notes);
        self.news.notify_one();
    }

    /// Something else happened.
    pub fn look_around(&self) {
        self.news.notify_one();
    }

    /// Forgets a server.
    pub fn forget(&self, slug: &str) {
        let mut notes = self.notes();
        notes.due.remove(slug);
        notes.pace.remove(slug);
        notes.announced.retain(|(of, _), _| **of != *slug);
    }

    /// The servers to be asked now. Each is asked until [`Agenda::asked`].
    pub fn take_due(&self) -> Vec<Box<str>> {
        let (mut notes, now) = (self.notes(), Instant::now());
        let due: Vec<_> = notes.due.iter().filter(|(_, at)| **at <= now).map(|(slug, _)| slug.clone()).collect();
        let due: Vec<_> = due.into_iter().filter(|slug| !notes.asking.contains(slug)).collect();
        for slug in &due {
            notes.due.remove(slug);
            notes.asking.insert(slug.clone());
        }
        due
    }

    /// A server was asked: it has something else than before, or not; or it gave no answer, and is asked again where `must` says that
    /// nothing is known of it.
    pub fn asked(&self, slug: &str, differs: Option<bool>, must: bool) {
        let (mut notes, now) = (self.notes(), Instant::now());
        notes.asking.remove(slug);
        let mut pace = notes.pace.get(slug).copied().unwrap_or(Pace { last: None, pause: ASK_AGAIN, failures: 0 });
        pace.last = Some(now);
        match differs {
            Some(differs) => {
                pace.failures = 0;
                pace.pause = if differs { ASK_AGAIN } else { (pace.pause * 2).min(ASK_AGAIN_MAX) };
            }
            None => {
                pace.failures = pace.failures.saturating_add(1);
                if must {
                    let slower = pace.failures.saturating_sub(QUICK_TRIES).min(10);
                    let pause = (TRY_AGAIN * 2u32.pow(slower)).min(TRY_AGAIN_MAX);
                    notes.due.insert(slug.into(), now + pause);
                }
            }
        }
        notes.pace.insert(slug.into(), pace);
        drop(notes);
        self.news.notify_one();
    }

    /// What is to be told now.
    pub fn take_updates(&self) -> Updates {
        let mut notes = self.notes();
        let updates = std::mem::take(&mut notes.updates);
        match std::mem::take(&mut notes.is_flooded) {
            true => Updates::All,
            false => Updates::Of(updates),
        }
    }

    /// The lists that are to be announced now.
    pub fn take_lists(&self) -> BTreeSet<EntryKind> {
        let (mut notes, now) = (self.notes(), Instant::now());
        let told = notes.lists.iter().filter(|(_, at)| **at <= now).map(|(kind, _)| *kind).collect();
        notes.lists.retain(|_, at| *at > now);
        told
    }

    /// When there is something to do, as far as is known.
    pub fn next(&self) -> Option<Instant> {
        let notes = self.notes();
        let due = notes.due.iter().filter(|(slug, _)| !notes.asking.contains(*slug)).map(|(_, at)| *at);
        let due = due.chain(notes.lists.values().copied()).min();
        if notes.updates.is_empty() && !notes.is_flooded { due } else { Some(Instant::now()) }
    }

    /// Until something is new here.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn ask_after(&self, slug: &str, wait: Duration) {
        let (mut notes, now) = (self.notes(), Instant::now());
        if notes.asking.contains(slug) && wait == AFTER_START {
            return; // This start is because it is being asked.
        }
        let pace = notes.pace.get(slug);
        let earliest = pace.and_then(|pace| Some(pace.last? + pace.pause)).unwrap_or(now);
        let at = (now + wait).max(earliest);
        let due = notes.due.entry(slug.into()).or_insert(at);
        *due = (*due).min(at);
        drop(notes);
        self.news.notify_one();
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_shouts_is_asked_less_and_less() {
        let agenda = Agenda::default();
        let (mut asked, mut told, from) = (0, 0, Instant::now());
        while from.elapsed() < Duration::from_secs(600) {
            agenda.list_changed("loud", EntryKind::Tool);
            told += agenda.take_lists().len();
            for slug in agenda.take_due() {
                asked += 1;
                agenda.asked(&slug, Some(false), false);
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!((3..=12).contains(&asked), "{asked}");
        assert!((20..=30).contains(&told), "at first at once, and then every half a minute: {told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_now_and_then_is_told_at_once_and_one_behind_another_a_little_later() {
        let agenda = Agenda::default();
        let changed = || agenda.list_changed("lively", EntryKind::Tool);
        for _ in 0..10 {
            changed();
            assert_eq!(agenda.take_lists().len(), 1, "whether or not it has been asked since");
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        changed();
        agenda.take_lists();
        tokio::time::advance(Duration::from_millis(100)).await;
        (0..3).for_each(|_| changed());
        assert!(
            agenda.take_lists().is_empty() && agenda.next().is_some_and(|at| at <= Instant::now() + ANNOUNCE_EVERY)
        );
        tokio::time::advance(ANNOUNCE_EVERY).await;
        assert_eq!(agenda.take_lists(), BTreeSet::from([EntryKind::Tool]), "none is lost");
        assert!(agenda.take_lists().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_which_nothing_is_known_is_tried_each_second_and_later_each_minute() {
        let agenda = Agenda::default();
        agenda.discover("new");
        let (mut tries, from) = (Vec::new(), Instant::now());
        while from.elapsed() < Duration::from_secs(600) {
            for slug in agenda.take_due() {
                tries.push(from.elapsed().as_secs());
                agenda.asked(&slug, None, true);
            }
            tokio::time::advance(Duration::from_millis(250)).await;
        }
        assert_eq!(tries[..5], [0, 1, 2, 3, 4]);
        assert!((15..30).contains(&tries.len()), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn updates_are_told_once_and_a_flood_as_one() {
        let agenda = Agenda::default();
        for _ in 0..3 {
            agenda.updated("file:///a");
        }
        assert_eq!(agenda.take_updates(), Updates::Of(BTreeSet::from(["file:///a".into()])));
        (0..5_000).for_each(|n| agenda.updated(&format!("file:///{n}")));
        assert_eq!(agenda.take_updates(), Updates::All);
        assert_eq!(agenda.take_updates(), Updates::Of(BTreeSet::new()));
        assert_eq!(agenda.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_stream_breaks_off_all_the_time_is_asked_less_and_less_and_nothing_is_told() {
        let agenda = Agenda::default();
        let (mut asked, from) = (0, Instant::now());
        while from.elapsed() < Duration::from_secs(600) {
            agenda.look_again("fragile");
            for slug in agenda.take_due() {
                asked += 1;
                agenda.asked(&slug, Some(false), false);
            }
            assert!(agenda.take_lists().is_empty());
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert!((3..=12).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_is_because_it_is_asked_asks_no_second_time() {
        let agenda = Agenda::default();
        agenda.discover("new");
        assert_eq!(agenda.take_due().len(), 1);
        agenda.check_again("new");
        assert_eq!(agenda.next(), None);
        agenda.list_changed("new", EntryKind::Tool);
        agenda.take_lists();
        agenda.asked("new", Some(true), false);
        assert!(agenda.next().is_some(), "what changes meanwhile is asked afterwards");
    }
}
