//! Usage over real files: nothing is lost, and nothing grows without end.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::bounds::Bounds;
use crate::store::open::Opener;

#[tokio::test]
async fn what_is_added_at_once_is_added_whole() {
    let (home, store) = new_store(Bounds::HOUSE);
    let before = store.commits();
    let mut adding = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        adding.spawn(async move { store.add_usage(key("2026-11-22", "openai", "m"), numbered(number)).await });
    }
    for done in adding.join_all().await {
        done.expect("room");
    }
    assert!(store.commits() - before < 100, "they share commits");
    let mut expected = UsageSum::default();
    (0..200).for_each(|number| expected.add(&numbered(number)));
    assert_eq!(expected.requests, 200 * 199 / 2);
    let day = date("2026-11-22");
    let wanted = vec![(key("2026-11-22", "openai", "m"), expected)];
    assert_eq!(store.usage(day, day).await, Ok(wanted.clone()));
    assert!(store.close().await);
    let store = Store::open(&home.path().join("hearth.redb")).expect("a whole file");
    assert_eq!(store.usage(day, day).await, Ok(wanted));
    assert!(store.close().await);
}

#[tokio::test]
async fn days_are_read_from_the_first_to_the_last() {
    let (_home, store) = new_store(Bounds::HOUSE);
    for day in ["2026-11-21", "2026-11-22", "2026-12-01", "2027-01-01", "1970-01-01"] {
        store.add_usage(key(day, "openai", "m"), numbered(1)).await.expect("room");
    }
    let days = async |from: &str, to: &str| -> Vec<String> {
        let rows = store.usage(date(from), date(to)).await.expect("readable");
        rows.into_iter().map(|(key, _)| key.day.to_string()).collect()
    };
    assert_eq!(days("2026-11-22", "2026-12-01").await, ["2026-11-22", "2026-12-01"]);
    assert_eq!(days("2026-11-23", "2026-11-30").await, [""; 0]);
    assert_eq!(days("0000-01-01", "9999-12-31").await.len(), 5);
    assert_eq!(days("2026-12-01", "2026-11-01").await, [""; 0]);
    assert!(store.close().await);
}

#[tokio::test]
async fn names_without_end_become_one_row_and_cost_nothing() {
    let (_home, store) = new_store(Bounds { usage_rows_per_day: 3, ..Bounds::HOUSE });
    for number in 0..10 {
        store.add_usage(key("2026-11-22", "openai", &format!("m{number}")), numbered(1)).await.expect("room");
    }
    store.add_usage(key("2026-11-22", "openai", "m0"), numbered(1)).await.expect("room");
    store.add_usage(key("2026-11-23", "openai", "m9"), numbered(1)).await.expect("room");
    let rows = store.usage(date("2026-11-22"), date("2026-11-22")).await.expect("readable");
    let told: Vec<_> = rows.iter().map(|(key, sum)| (key.model.as_str(), sum.requests)).collect();
    assert_eq!(told, [(OTHERS, 7), ("m0", 2), ("m1", 1), ("m2", 1)]);
    let long = "ü".repeat(NAME_BYTES_MAX);
    store.add_usage(key("2026-11-24", "openai", &long), numbered(1)).await.expect("room");
    let rows = store.usage(date("2026-11-24"), date("2026-11-24")).await.expect("readable");
    assert_eq!(rows[0].0.model.len(), NAME_BYTES_MAX);
    assert!(store.close().await);
}

#[tokio::test]
async fn a_clock_that_was_wrong_costs_one_day_and_not_all() {
    let (_home, store) = new_store(Bounds { usage_days: 3, ..Bounds::HOUSE });
    let days = async || -> Vec<String> {
        let rows = store.usage(date("0000-01-01"), date("9999-12-31")).await.expect("readable");
        rows.into_iter().map(|(key, _)| format!("{} {}", key.day, key.model)).collect()
    };
    for (day, model) in [("2026-11-01", "a"), ("2026-11-01", "b"), ("2026-11-02", "a"), ("2026-11-03", "a")] {
        store.add_usage(key(day, "openai", model), numbered(1)).await.expect("room");
    }
    assert_eq!(days().await, ["2026-11-01 a", "2026-11-01 b", "2026-11-02 a", "2026-11-03 a"]);
    store.add_usage(key("2099-01-01", "openai", "a"), numbered(1)).await.expect("room");
    assert_eq!(days().await, ["2026-11-02 a", "2026-11-03 a", "2099-01-01 a"]);
    // What is being written is never forgotten, even in 1970.
    store.add_usage(key("1970-01-01", "openai", "a"), numbered(1)).await.expect("room");
    assert_eq!(days().await, ["1970-01-01 a", "2026-11-03 a", "2099-01-01 a"]);
    let never = UsageKey { day: jiff::civil::date(-1, 1, 1), ..key("2026-11-01", "openai", "a") };
    assert!(matches!(store.add_usage(never, numbered(1)).await, Err(WriteError::Invalid(_))));
    assert!(store.close().await);
}

#[test]
fn a_sum_stays_at_the_largest_number() {
    let mut sum = UsageSum { cost_nano_usd: u64::MAX - 1, ..UsageSum::default() };
    sum.add(&UsageSum { cost_nano_usd: 5, requests: 1, ..UsageSum::default() });
    assert_eq!((sum.cost_nano_usd, sum.requests), (u64::MAX, 1));
    let read: UsageSum = serde_json::from_str(r#"{"requests":2,"later":1}"#).expect("additive");
    assert_eq!(read, UsageSum { requests: 2, ..UsageSum::default() });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rows_are_the_sums_of_what_was_added(added in proptest::collection::vec((1..5u8, 0..3u8, 0..1000u64), 0..40)) {
        let (_home, store) = new_store(Bounds::HOUSE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = std::collections::BTreeMap::<UsageKey, UsageSum>::new();
            for (day, name, number) in added {
                let key = key(&format!("2026-11-0{day}"), "openai", &format!("m{name}"));
                store.add_usage(key.clone(), numbered(number)).await.expect("room");
                model.entry(key).or_default().add(&numbered(number));
            }
            let rows = store.usage(date("2026-11-01"), date("2026-11-30")).await.expect("readable");
            assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
            assert!(store.close().await);
        });
    }
}

/// Every number another one.
fn numbered(number: u64) -> UsageSum {
    let mut sum = UsageSum::default();
    for (at, field) in (1..).zip(sum.numbers_mut()) {
        *field = at * number;
    }
    sum
}

fn key(day: &str, provider: &str, model: &str) -> UsageKey {
    let [user, profile] = ["house", "default"].map(str::to_owned);
    UsageKey { day: date(day), user, profile, provider: provider.into(), model: model.into() }
}

fn date(text: &str) -> Date {
    text.parse().expect("a day")
}

fn new_store(bounds: Bounds) -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::start(Opener::new(&home.path().join("hearth.redb")), bounds).expect("a new file");
    (home, store)
}
