//! Programs that run at once, for the house as a whole. Who wants to start one more than may be gets the place of the one that was idle
//! for longest, or waits.
#![expect(clippy::disallowed_methods, reason = "a driver: it waits until a deadline")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{Instant as TokioInstant, timeout_at};

/// Programs become idle without a word; those who wait look again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Somebody who has a place and may be asked to give it up.
pub trait Holder: Send + Sync {
    /// Since when it does nothing; `None`: it is busy.
    fn idle_since(&self) -> Option<Instant>;

    /// Stops, if it is still idle.
    fn make_room(&self);
}

/// See the module.
pub struct Places {
    held: Mutex<Held>,
    freed: Notify,
}

struct Held {
    max: usize,
    last: u64,
    holders: BTreeMap<u64, Weak<dyn Holder>>,
}

/// A place. Dropping it frees it.
pub struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Places {
    pub fn new(max: usize) -> Arc<Places> {
        let held = Held { max: max.max(1), last: 0, holders: BTreeMap::new() };
        Arc::new(Places { held: Mutex::new(held), freed: Notify::new() })
    }

    /// From now on. Nobody is stopped because of it at once.
    pub fn set_max(&self, max: usize) {
        self.held().max = max.max(1);
        self.freed.notify_waiters();
    }

    /// How many are taken.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.held().holders.len()
    }

    /// A place for `holder`, if there is one before `until`.
    pub async fn take(self: &Arc<Self>, holder: Weak<dyn Holder>, until: TokioInstant) -> Option<Place> {
        loop {
            if let Some(place) = self.try_take(&holder) {
                return Some(place);
            }
            // Asked without the lock: a holder that stops gives its place back.
            if let Some(idlest) = self.idlest() {
                idlest.make_room();
                if let Some(place) = self.try_take(&holder) {
                    return Some(place);
                }
            }
            let now = TokioInstant::now();
            if now >= until {
                return None;
            }
            let _ = timeout_at(until.min(now + LOOK_AGAIN), self.freed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>, holder: &Weak<dyn Holder>) -> Option<Place> {
        let mut held = self.held();
        if held.holders.len() >= held.max {
            return None;
        }
        held.last += 1;
        let number = held.last;
        held.holders.insert(number, holder.clone());
        drop(held);
        Some(Place { number, places: self.clone() })
    }

    fn idlest(&self) -> Option<Arc<dyn Holder>> {
        let holders: Vec<_> = self.held().holders.values().filter_map(Weak::upgrade).collect();
        let idle = holders.into_iter().filter_map(|holder| Some((holder.idle_since()?, holder)));
        idle.min_by_key(|(since, _)| *since).map(|(_, holder)| holder)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().holders.remove(&self.number);
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Program {
        idle_since: Mutex<Option<Instant>>,
        place: Mutex<Option<Place>>,
    }

    impl Holder for Program {
        fn idle_since(&self) -> Option<Instant> {
            *self.idle_since.lock().unwrap()
        }

        fn make_room(&self) {
            self.place.lock().unwrap().take();
        }
    }

    async fn start(places: &Arc<Places>, idle_since: Option<Instant>) -> Option<Arc<Program>> {
        let program = Arc::new(Program { idle_since: Mutex::new(idle_since), place: Mutex::new(None) });
        let holder: Weak<dyn Holder> = Arc::downgrade(&(program.clone() as Arc<dyn Holder>));
        let place = places.take(holder, TokioInstant::now() + Duration::from_secs(5)).await?;
        *program.place.lock().unwrap() = Some(place);
        Some(program)
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_idle_for_longest_makes_room() {
        let (places, t) = (Places::new(3), Instant::now());
        let busy = start(&places, None).await.expect("there is room");
        let younger = start(&places, Some(t + Duration::from_secs(2))).await.expect("there is room");
        let older = start(&places, Some(t + Duration::from_secs(1))).await.expect("there is room");
        let fourth = start(&places, None).await.expect("room is made");
        assert!(older.place.lock().unwrap().is_none(), "it was stopped");
        assert!(younger.place.lock().unwrap().is_some() && busy.place.lock().unwrap().is_some());
        assert_eq!(places.taken(), 3);
        drop((younger, older, fourth));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_one_waits_and_not_for_ever() {
        let places = Places::new(1);
        let busy = start(&places, None).await.expect("there is room");
        let waited = TokioInstant::now();
        assert!(start(&places, None).await.is_none());
        assert_eq!(waited.elapsed().as_secs(), 5);
        let (next, ()) = tokio::join!(start(&places, None), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(busy);
        });
        assert!(next.is_some());
    }
}
