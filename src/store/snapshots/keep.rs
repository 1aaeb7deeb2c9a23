//! When a snapshot is due, and which are kept. Pure but for the deleting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Kept, Reason, list};
use crate::common::time::UnixMillis;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What snapshots may write an hour in the mean, bytes: a memory card bears so many. A larger store is copied less often, but once
/// a day whatever its size.
const BYTES_PER_HOUR: u64 = 1024 * 1024;

/// Kept of those that were taken before something was done to the store, of each reason.
const OF_EACH_REASON: usize = 2;

/// Kept whatever their bytes are.
const KEPT_AT_LEAST: usize = 2;

/// How many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The newest ones.
    pub newest: usize,
    /// Of so many days before, one each.
    pub days: usize,
    /// All together; past it the oldest go.
    pub bytes_max: u64,
}

/// Whether it is time for one: something has changed since the newest, and it is old enough for the bytes of the store.
/// `up_ms`: how long the hub has been running, which counts where the clock was set back.
pub fn due(newest: Option<&Kept>, revision: u64, now_ms: UnixMillis, up_ms: u64) -> bool {
    let Some(newest) = newest else { return true };
    let age_ms = now_ms.checked_sub(newest.at_ms).unwrap_or(up_ms);
    let pace_ms = newest.bytes.saturating_mul(HOUR_MS) / BYTES_PER_HOUR;
    newest.revision != revision && age_ms >= pace_ms.clamp(HOUR_MS, DAY_MS)
}

/// Deletes what is past the rotation; returns what was deleted.
pub fn prune(store: &Path, folder: &Path, rotation: &Rotation) -> Vec<PathBuf> {
    let kept = list(store, folder);
    let going = beyond(&kept, rotation);
    going.into_iter().filter(|path| fs::remove_file(path).is_ok()).collect()
}

/// What is past the rotation, of snapshots in their order.
fn beyond(kept: &[Kept], rotation: &Rotation) -> Vec<PathBuf> {
    let mut staying: BTreeSet<u64> =
        kept.iter().rev().take(rotation.newest.max(KEPT_AT_LEAST)).map(|one| one.number).collect();
    // Later ones of a day take the place of earlier ones.
    let of_days: BTreeMap<u64, u64> = kept.iter().map(|one| (one.at_ms / DAY_MS, one.number)).collect();
    staying.extend(of_days.values().rev().take(rotation.days));
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::Timer) {
        staying.extend(kept.iter().rev().filter(|one| one.reason == reason).take(OF_EACH_REASON).map(|one| one.number));
    }
    let mut bytes = 0_u64;
    for (place, one) in kept.iter().rev().filter(|one| staying.contains(&one.number)).enumerate().collect::<Vec<_>>() {
        bytes = bytes.saturating_add(one.bytes);
        if bytes > rotation.bytes_max && place >= KEPT_AT_LEAST {
            staying.remove(&one.number);
        }
    }
    kept.iter().filter(|one| !staying.contains(&one.number)).map(|one| one.path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATION: Rotation = Rotation { newest: 3, days: 4, bytes_max: 1000 };

    fn taken(number: u64, hour: u64, reason: Reason) -> Kept {
        let at_ms = hour * HOUR_MS;
        Kept { path: format!("{number}").into(), number, reason, at_ms, revision: number, bytes: 10 }
    }

    fn staying(kept: &[Kept], rotation: &Rotation) -> Vec<u64> {
        let going = beyond(kept, rotation);
        kept.iter().filter(|one| !going.contains(&one.path)).map(|one| one.number).collect()
    }

    #[test]
    fn the_newest_stay_one_of_each_day_and_those_from_before_something_was_done() {
        let mut kept: Vec<Kept> = (1..=200).map(|n| taken(n, n, Reason::Timer)).collect();
        assert_eq!(staying(&kept, &ROTATION), [143, 167, 191, 198, 199, 200]);
        for update in [10, 11, 12] {
            kept[update - 1].reason = Reason::Update;
        }
        kept[19].reason = Reason::Migration;
        assert_eq!(staying(&kept, &ROTATION), [11, 12, 20, 143, 167, 191, 198, 199, 200]);
    }

    #[test]
    fn past_the_bytes_the_oldest_go_and_two_always_stay() {
        let kept: Vec<Kept> = (1..=9).map(|n| taken(n, 24 * n, Reason::Timer)).collect();
        assert_eq!(staying(&kept, &Rotation { bytes_max: 30, ..ROTATION }), [7, 8, 9]);
        assert_eq!(staying(&kept, &Rotation { bytes_max: 5, ..ROTATION }), [8, 9]);
        assert_eq!(staying(&kept[..1], &Rotation { newest: 0, days: 0, bytes_max: 0 }), [1]);
    }

    #[test]
    fn a_clock_that_went_back_deletes_nothing_new() {
        let mut kept: Vec<Kept> = (1..=6).map(|n| taken(n, 1000 + n, Reason::Timer)).collect();
        kept.extend([taken(7, 0, Reason::Timer), taken(8, 1, Reason::Timer)]);
        let staying = staying(&kept, &ROTATION);
        assert!(staying.ends_with(&[6, 7, 8]), "{staying:?}");
    }

    #[test]
    fn a_large_store_is_copied_less_often_but_every_day() {
        let newest = taken(1, 100, Reason::Timer);
        let due_after = |bytes: u64| {
            let newest = Kept { bytes, ..newest.clone() };
            (0..100).find(|hours| due(Some(&newest), 2, (100 + hours) * HOUR_MS, 0)).expect("some day")
        };
        assert_eq!([1, 3, 24, 400].map(|mb| due_after(mb * 1024 * 1024)), [1, 3, 24, 24]);
        assert!(due(None, 1, 0, 0), "the first at once");
        assert!(!due(Some(&newest), 1, 999 * HOUR_MS, 0), "nothing has changed");
        assert!(!due(Some(&newest), 2, 99 * HOUR_MS, HOUR_MS - 1));
        assert!(due(Some(&newest), 2, 99 * HOUR_MS, HOUR_MS), "the clock was set back an hour ago");
    }
}
