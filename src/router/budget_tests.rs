//! Limits against sums, at times that are given.

use std::time::Duration;

use super::*;
use crate::common::config::ProviderName;

fn at(text: &str) -> Zoned {
    text.parse().expect("a time")
}

fn spent(rows: &[(&str, &str, u64)]) -> Vec<(UsageKey, UsageSum)> {
    let row = |(day, profile, cents): &(&str, &str, u64)| {
        let key = UsageKey {
            day: day.parse().expect("a day"),
            user: "house".into(),
            profile: (*profile).into(),
            provider: "openai".into(),
            model: "m".into(),
        };
        (key, UsageSum { requests: 1, cost_nano_usd: cents * 10_000_000, ..UsageSum::default() })
    };
    rows.iter().map(row).collect()
}

fn why(budget: &Budget, profile: Option<&ModelProfile>, rows: &[(&str, &str, u64)], now: &str) -> Option<String> {
    let (now, rows) = (at(now), spent(rows));
    match verdict(budget, profile, &Spending::of(now.date(), rows.iter()), &now) {
        Verdict::Free => None,
        Verdict::OnlyLocal { why } => Some(why),
    }
}

const NOON: &str = "2026-11-22T12:00:00+01:00[+01:00]";

#[test]
fn the_words_say_which_limit_what_was_spent_and_when_it_ends() {
    let day = Budget { day_usd: Some(1.0), ..Budget::default() };
    let rows = [("2026-11-22", "default", 61), ("2026-11-22", "evening", 41), ("2026-11-21", "default", 900)];
    assert_eq!(
        why(&day, None, &rows, NOON).as_deref(),
        Some(
            "the day's budget is used up: 1.02 of 1.00 US dollars were spent (budget.day_usd in config.yaml); it begins \
             anew in 12 h 0 min"
        )
    );
    let month = Budget { month_usd: Some(10.0), ..Budget::default() };
    assert_eq!(
        why(&month, None, &rows, NOON).as_deref(),
        Some(
            "the month's budget is used up: 10.02 of 10.00 US dollars were spent (budget.month_usd in config.yaml); it \
             begins anew in 8 d 12 h"
        )
    );
    let profile = ModelProfile { budget_day_usd: Some(0.4), ..ModelProfile::new("evening") };
    let told = why(&Budget::default(), Some(&profile), &rows, "2026-11-22T23:59:20+01:00[+01:00]").expect("used up");
    assert!(told.contains("0.41 of 0.40") || told.contains("0.4100 of 0.4000"), "{told}");
    assert!(told.contains("budget_day_usd of the model profile evening"), "{told}");
    assert!(told.ends_with("in 0 min") || told.ends_with("in 1 min"), "{told}");
}

#[test]
fn a_limit_is_used_up_when_it_is_reached_and_not_before() {
    let day = |usd| Budget { day_usd: Some(usd), ..Budget::default() };
    let rows = [("2026-11-22", "default", 50)];
    assert_eq!(why(&day(0.51), None, &rows, NOON), None);
    assert!(why(&day(0.5), None, &rows, NOON).is_some());
    assert!(why(&day(0.0), None, &[], NOON).is_some(), "no dollar is no dollar");
    assert_eq!(why(&Budget::default(), None, &rows, NOON), None);
    // Other days, other months and other profiles are not this one's.
    let profile = |name: &str| ModelProfile { budget_month_usd: Some(0.5), ..ModelProfile::new(name) };
    assert!(why(&Budget::default(), Some(&profile("default")), &rows, NOON).is_some());
    assert_eq!(why(&Budget::default(), Some(&profile("evening")), &rows, NOON), None);
    assert_eq!(why(&day(0.5), None, &[("2026-11-21", "default", 50)], NOON), None);
    let month = Budget { month_usd: Some(0.5), ..Budget::default() };
    assert_eq!(why(&month, None, &[("2026-10-31", "default", 50), ("2026-12-01", "default", 50)], NOON), None);
    // Of two the longer one is told.
    let both = Budget { day_usd: Some(0.1), month_usd: Some(0.2), ..Budget::default() };
    assert!(why(&both, None, &rows, NOON).expect("used up").contains("month"));
}

#[test]
fn a_day_ends_at_midnight_of_the_house() {
    for (now, period, ends) in [
        ("2026-11-22T12:00:00-05:00[-05:00]", Period::Day, "2026-11-23T00:00:00-05:00[-05:00]"),
        ("2026-12-31T23:59:59+01:00[+01:00]", Period::Month, "2027-01-01T00:00:00+01:00[+01:00]"),
        ("2028-02-29T00:00:00+00:00[UTC]", Period::Month, "2028-03-01T00:00:00+00:00[UTC]"),
    ] {
        assert_eq!(end(period, &at(now)), at(ends), "{now}");
    }
    let last = at("9999-12-30T12:00:00+00:00[UTC]");
    assert_eq!(end(Period::Month, &last), last, "time itself ends before that month does");
}

#[test]
fn standings_are_those_that_have_a_limit() {
    let budget = Budget { day_usd: Some(2.0), ..Budget::default() };
    let profiles =
        [ModelProfile::new("default"), ModelProfile { budget_month_usd: Some(1.0), ..ModelProfile::new("evening") }];
    let now = at(NOON);
    let rows = spent(&[("2026-11-01", "evening", 30), ("2026-11-22", "default", 150)]);
    let standings = standings(&budget, profiles.iter(), &Spending::of(now.date(), rows.iter()), &now);
    let told: Vec<_> = standings
        .iter()
        .map(|standing| (standing.profile.as_deref(), standing.period, standing.spent_nano_usd / 10_000_000))
        .collect();
    assert_eq!(told, [(None, Period::Day, 150), (Some("evening"), Period::Month, 30)]);
    assert!(!has_limit(&Budget::default(), Some(&profiles[0])) && !has_limit(&Budget::default(), None));
    assert!(has_limit(&Budget::default(), Some(&profiles[1])) && has_limit(&budget, None));
}

#[test]
fn a_chain_is_narrowed_to_the_house() {
    let link = |name| Link { name, model: "m".into(), paints: false, first_token: Duration::from_secs(1) };
    let chain = |names: &[ProviderName]| names.iter().copied().map(link).collect::<Vec<_>>();
    let names = |links: &[Link]| links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>();
    let used_up = || Verdict::OnlyLocal { why: "the day's budget is used up".into() };
    use ProviderName::{Anthropic, Assistant, Local, Openai};

    let (free, notice) = narrow(chain(&[Openai, Local]), Verdict::Free, false).expect("a chain");
    assert_eq!((names(&free), notice), (vec!["openai", "local"], None));
    let (left, notice) = narrow(chain(&[Openai, Local, Anthropic, Assistant]), used_up(), false).expect("a chain");
    assert_eq!(names(&left), ["local", "assistant"]);
    assert_eq!(notice.as_deref(), Some("local answers, since the day's budget is used up"));
    let (left, notice) = narrow(chain(&[Local, Openai]), used_up(), false).expect("a chain");
    assert_eq!((names(&left), notice), (vec!["local"], None), "nobody misses what was not asked first");
    for (names, named, says) in
        [(vec![Openai], true, "openai was not asked"), (vec![Openai, Anthropic], false, "providers.fallback")]
    {
        let error = narrow(chain(&names), used_up(), named).expect_err("nobody is left");
        assert_eq!((error.code, error.retryable), (ErrorCode::BudgetExhausted, false));
        assert!(error.message.starts_with("the day's budget") && error.message.contains(says), "{}", error.message);
    }
}

#[test]
fn dollars_are_shown_to_the_cent_or_finer() {
    for (nano, shown) in [
        (0, "0.00"),
        (1, "<0.0001"),
        (49_999, "<0.0001"),
        (50_000, "0.0001"),
        (1_950_000, "0.0020"),
        (99_949_999, "0.0999"),
        (99_950_000, "0.10"),
        (123_456_789, "0.12"),
        (12_345_000_000, "12.35"),
        (999_999_999_999, "1000.00"),
        (u64::MAX, "18446744073.71"),
    ] {
        assert_eq!(dollars(nano), shown, "{nano}");
    }
}
