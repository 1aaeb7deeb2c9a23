//! The history over real files, against a plain list of all reports; what a crash leaves of it; that it stays within bounds.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use serde_json::json;

use super::keep::{self, FIVE_MINUTES_MS, HOUR_MS, WEEK_MS};
use super::*;
use crate::store::disks::{Trouble, after_power_cut};
use crate::store::tables::{HISTORY_BLOCKS, HISTORY_FIVE_MINUTES, HISTORY_HOURS, HISTORY_LOG, HISTORY_RAW};

/// 2026-11-22, midnight.
const BEGIN: u64 = 1_795_305_600_000;

const DAY_MS: u64 = 24 * HOUR_MS;

fn series(device: &str, property: &str, points: Vec<(u64, Value)>) -> SeriesPoints {
    SeriesPoints { device: device.into(), property: property.into(), points }
}

fn save(now_ms: u64, all: Vec<SeriesPoints>) -> HouseSave {
    HouseSave { now_ms, series: all, ..HouseSave::default() }
}

fn search(device: &str, property: &str, from_ms: u64, to_ms: u64, step_ms: u64) -> HistorySearch {
    let (device, property) = (device.into(), property.into());
    HistorySearch { device, property, from_ms, to_ms, step_ms, limit: usize::MAX, fresh: Vec::new() }
}

/// The same from a plain list.
fn plain(points: &[(u64, Value)], search: &HistorySearch) -> Vec<HistoryStep> {
    let step = search.step_ms;
    let (from, to) = match step {
        0 => (search.from_ms, search.to_ms),
        _ => (search.from_ms - search.from_ms % step, search.to_ms.next_multiple_of(step)),
    };
    let mut points: Vec<_> = points.iter().filter(|(at, _)| (from..to).contains(at)).cloned().collect();
    points.sort_by_key(|(at, _)| *at);
    if step == 0 {
        return points.into_iter().map(|(at_ms, last)| HistoryStep { at_ms, count: 1, last, range: None }).collect();
    }
    let mut steps: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for (at, value) in points {
        steps.entry(at - at % step).or_default().push(value);
    }
    let summed = |(at_ms, values): (u64, Vec<Value>)| {
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        let range = numbers.map(|numbers| {
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            (least, mean, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        });
        HistoryStep { at_ms, count: values.len() as u32, last: values[values.len() - 1].clone(), range }
    };
    steps.into_iter().map(summed).collect()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (-5_000_i32..5_000).prop_map(|whole| as_json(f64::from(whole) / 100.0)),
        1 => prop::sample::select(vec![json!("ON"), json!("OFF"), json!(true)]),
        1 => (1_u32..1_000).prop_map(|n| as_json(1.0 / f64::from(n) + 0.5)),
    ]
}

/// As the history gives it back: a whole number without a point, also where a float was reported.
fn as_json(number: f64) -> Value {
    if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// However reports come in and whenever they are packed, an answer is what a plain list of them gives.
    #[test]
    fn answers_are_those_of_a_plain_list(
        // Minutes between saves, and in each the reports: of which series, how long before it (in ticks), and what.
        saves in prop::collection::vec((0_u64..200, prop::collection::vec((0_usize..3, 0_u64..40_000, value()), 0..12)), 1..14),
        goes_back in any::<bool>(),
        asked in (0_u64..2_000, 1_u64..3_000, prop::sample::select(vec![0, FIVE_MINUTES_MS, HOUR_MS, DAY_MS])),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        const SERIES: [(&str, &str); 3] = [("0x1", "power"), ("0x1", "state"), ("0x2", "power")];
        let mut all: [Vec<(u64, Value)>; 3] = Default::default();
        let mut now = BEGIN + DAY_MS;
        let last = saves.len() - 1;
        let mut fresh: [Vec<(u64, Value)>; 3] = Default::default();
        for (at, (minutes, reports)) in saves.into_iter().enumerate() {
            now += minutes * 60_000;
            if goes_back && at == last / 2 {
                now -= 5 * HOUR_MS;
            }
            let mut new: [Vec<(u64, Value)>; 3] = Default::default();
            for (series, ticks, value) in reports {
                new[series].push((now - now % 100 - ticks * 100, value));
            }
            for (all, new) in all.iter_mut().zip(&new) {
                all.extend(new.iter().cloned());
            }
            if at == last {
                fresh = new;
                break;
            }
            let points = SERIES.iter().zip(new).map(|((device, property), points)| series(device, property, points)).collect();
            runtime.block_on(store.save_house(save(now, points))).expect("room");
        }
        let from = BEGIN + DAY_MS - 2 * HOUR_MS + asked.0 * 60_000;
        for ((of, all), fresh) in SERIES.iter().zip(&all).zip(fresh) {
            let mut search = search(of.0, of.1, from, from + asked.1 * 60_000, asked.2);
            search.fresh = fresh;
            let found = runtime.block_on(store.device_history(search.clone())).expect("readable");
            let expected = plain(all, &search);
            prop_assert_eq!(found.steps.len(), expected.len());
            for (found, expected) in found.steps.iter().zip(&expected) {
                let told = |step: &HistoryStep| (step.at_ms, step.count, step.last.clone(), step.range.map(|range| (range.0, range.2)));
                prop_assert_eq!(told(found), told(expected));
                if let (Some(found), Some(expected)) = (found.range, expected.range) {
                    prop_assert!((found.1 - expected.1).abs() < 0.02, "{} and not {}", found.1, expected.1);
                }
            }
            // The same in pages.
            let (mut pages, mut next) = (Vec::new(), Some(search.from_ms));
            while let Some(from_ms) = next {
                let page = HistorySearch { from_ms, limit: 5, ..search.clone() };
                let page = runtime.block_on(store.device_history(page)).expect("readable");
                next = page.next_from_ms;
                pages.extend(page.steps);
                prop_assert!(pages.len() <= found.steps.len() + 5 * found.steps.len(), "pages go on and on");
            }
            // Reports of one moment stay together on the next page, and are told again there.
            if asked.2 != 0 {
                prop_assert_eq!(pages, found.steps);
            }
        }
        prop_assert!(runtime.block_on(store.close()));
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_answered() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let empty = Store::open(&path).expect("a new file");
    assert!(runtime().block_on(empty.close()));
    let before = fs::read(&path).expect("the file");
    let disk = Arc::new(Trouble::default());
    // The length of the tape when each save was answered. They go over two ends of an hour, so that hours are packed.
    let mut answered = Vec::new();
    const SAVES: u64 = 30;
    const EVERY_MS: u64 = 5 * 60_000;
    runtime().block_on(async {
        let store = disk.open(&path).expect("a whole file");
        for number in 0..SAVES {
            let at = BEGIN + number * EVERY_MS;
            let state = vec![("0x1".into(), Some(number.to_string().into_bytes()))];
            let points = vec![series("0x1", "power", vec![(at, json!(number)), (at + 100, json!(number))])];
            let save = HouseSave { infos: state.clone(), states: state, ..save(at + 1_000, points) };
            store.save_house(save).await.expect("room");
            answered.push(disk.tape.lock().unwrap().len());
        }
        assert!(store.close().await);
    });
    let tape = disk.tape.lock().unwrap().clone();
    let cut = home.path().join("cut.redb");
    proptest!(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() }, |(
        done in 0..=tape.len(),
        survivors in any::<u64>(),
    )| {
        let mut state = survivors;
        let image = after_power_cut(&before, &tape[..done], || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 63 == 1
        });
        fs::write(&cut, image).expect("the image");
        let store = Store::open(&cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let promised = answered.iter().filter(|at| **at <= done).count();
        let snapshot = store.snapshot().expect("open");
        let found = snapshot.device_history(&search("0x1", "power", BEGIN, BEGIN + DAY_MS, 0)).expect("readable").steps;
        prop_assert!(found.len() / 2 >= promised && found.len() / 2 <= promised + 1, "{} of {promised}", found.len());
        for (at, step) in found.iter().enumerate() {
            prop_assert_eq!(&step.last, &json!(at / 2), "each once, in its place");
        }
        // The steps are of the same reports, and the state is that of the same save.
        let hours = snapshot.device_history(&search("0x1", "power", BEGIN, BEGIN + DAY_MS, HOUR_MS)).expect("readable").steps;
        prop_assert_eq!(hours.iter().map(|step| step.count as usize).sum::<usize>(), found.len());
        let memories = snapshot.device_memories().expect("readable");
        let newest = (found.len() / 2).checked_sub(1).map(|number| number.to_string().into_bytes());
        prop_assert_eq!(memories.first().and_then(|one| one.state.clone()), newest);
        drop(snapshot);
        prop_assert!(runtime().block_on(store.close()));
    });
}

/// Lengths of the tables: log, reports, five minutes, hours.
fn lengths(path: &std::path::Path) -> [u64; 4] {
    let db = Database::open(path).expect("a whole file");
    let txn = db.begin_read().expect("a transaction");
    let packs = [HISTORY_LOG, HISTORY_RAW, HISTORY_FIVE_MINUTES, HISTORY_HOURS];
    packs.map(|table| txn.open_table(table).expect("a table").len().expect("readable"))
}

#[tokio::test]
async fn each_grain_is_kept_for_its_time_and_a_wrong_clock_costs_an_hour() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hearth.redb");
    let store = Store::open(&path).expect("a store");
    // A report an hour for 100 days, written four times a day; in between the clock says 1970 and 2099 for an hour each.
    for hours in (0..100 * 24_u64).collect::<Vec<_>>().chunks(6) {
        let at = |hour: u64| match hour {
            700 => 5 * HOUR_MS,
            701 => BEGIN + 73 * 365 * DAY_MS,
            hour => BEGIN + hour * HOUR_MS,
        };
        let points = hours.iter().map(|hour| (at(*hour), json!(hour))).collect();
        store.save_house(save(at(hours[5]), vec![series("0x1", "power", points)])).await.expect("room");
    }
    let all = |step| search("0x1", "power", BEGIN, BEGIN + 101 * DAY_MS, step);
    let raw = store.device_history(all(0)).await.expect("readable").steps;
    // Two hours are in the log: the one that runs, and the one before, for those who come late.
    assert_eq!(raw.len() as u64, RAW_HOURS_MAX + 2);
    assert_eq!(raw.last().map(|step| step.last.clone()), Some(json!(100 * 24 - 1)));
    let fine = store.device_history(all(FIVE_MINUTES_MS)).await.expect("readable").steps;
    assert!((89 * 24..=90 * 24).contains(&fine.len()), "{}", fine.len());
    let hours = store.device_history(all(HOUR_MS)).await.expect("readable").steps;
    assert_eq!(hours.len(), 100 * 24 - 2);
    let future = search("0x1", "power", BEGIN + 70 * 365 * DAY_MS, u64::MAX, 0);
    assert_eq!(store.device_history(future).await.expect("readable").steps.len(), 1);
    assert!(store.close().await);
    let [log, raw, fine, hours] = lengths(&path);
    // And that of 2099, until there is much else.
    assert_eq!((log, raw, fine), (3, RAW_HOURS_MAX, QUARTERS_MAX));
    assert!(hours <= 100 / 7 + 4, "{hours}");
}

#[tokio::test]
async fn the_oldest_goes_where_there_are_too_many_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    for hour in 0..60_u64 {
        let at = BEGIN + hour * HOUR_MS;
        let points = (0..50).map(|n| (at + n * 60_000, json!(n * 7919 % 1000))).collect();
        store.save_house(save(at + HOUR_MS - 1, vec![series("0x1", "power", points)])).await.expect("room");
    }
    let bytes = |batch: &Batch| -> Result<u64, redb::Error> {
        let mut bytes = 0;
        for entry in batch.txn.open_table(HISTORY_BLOCKS)?.iter()? {
            bytes += entry?.1.value();
        }
        Ok(bytes)
    };
    let (before, after, none) = store
        .write(0, move |batch| {
            let before = bytes(batch)?;
            keep::forget_the_oldest(batch, before * 3 / 4)?;
            let after = bytes(batch)?;
            keep::forget_the_oldest(batch, 0)?;
            let none = bytes(batch)?;
            batch.txn.open_table(HISTORY_RAW)?.len()?;
            batch.changed(Kind::DeviceHistory, "");
            Ok(Ok((before, after, none)))
        })
        .await
        .expect("room");
    assert!(after <= before * 3 / 4 && after > before / 2, "{after} of {before}");
    assert_eq!(none, 0, "even what is kept at least goes where there is no room at all");
    let left = store.device_history(search("0x1", "power", 0, u64::MAX, 0)).await.expect("readable").steps;
    assert_eq!(left.len(), 50, "what is not packed yet");
}

#[tokio::test]
async fn the_log_is_packed_where_the_clock_stands_still_and_what_is_forgotten_does_not_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hearth.redb");
    let store = Store::open(&path).expect("a store");
    for number in 0..600_u64 {
        let state = vec![("0x1".into(), Some(b"{}".to_vec()))];
        let save =
            HouseSave { infos: state, ..save(BEGIN, vec![series("0x1", "power", vec![(BEGIN, json!(number))])]) };
        store.save_house(save).await.expect("room");
    }
    let of = |property: &str| search("0x1", property, 0, u64::MAX, 0);
    let found = store.device_history(of("power")).await.expect("readable").steps;
    assert_eq!(
        found.iter().map(|step| step.last.as_u64().expect("a number")).collect::<Vec<_>>(),
        (0..600).collect::<Vec<_>>()
    );
    store.forget_device("0x1").await.expect("room");
    assert_eq!(store.device_history(of("power")).await.expect("readable"), HistoryPage::default());
    assert_eq!(store.device_memories().await.expect("readable"), []);
    store.save_house(save(BEGIN, vec![series("0x1", "power", vec![(BEGIN, json!(7))])])).await.expect("room");
    let found = store.device_history(of("power")).await.expect("readable").steps;
    assert_eq!(found.len(), 1, "a number is not given twice");
    // What is no history is left out, and what is no name.
    let odd = vec![
        series("0x1", "color", vec![(BEGIN, json!({"x": 1}))]),
        series("", "power", vec![(BEGIN, json!(1))]),
        series("0x1", &"x".repeat(1_000), vec![(BEGIN, json!(1))]),
    ];
    store.save_house(save(BEGIN + WEEK_MS, odd)).await.expect("room");
    assert_eq!(store.device_history(of("color")).await.expect("readable").steps, []);
    assert!(store.close().await);
    assert_eq!(lengths(&path)[0], 0, "all is packed");
}

#[tokio::test]
async fn a_save_without_anything_costs_no_commit_and_one_shares_anothers() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let before = store.commits();
    store.save_house(save(BEGIN, Vec::new())).await.expect("nothing to do");
    assert_eq!(store.commits(), before);
    let power = || save(BEGIN, vec![series("0x1", "power", vec![(BEGIN, json!(1))])]);
    let (one, other) = tokio::join!(store.save_house(power()), store.save_house(power()));
    one.and(other).expect("room");
    assert_eq!(store.commits(), before + 1);
}
