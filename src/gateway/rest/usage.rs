//! `/api/v1/usage`: what was asked for, what it cost, and how far the budgets are used up. Adds up; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};
use serde::Serialize;

use super::{not_read, problem, require};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Role;
use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};
use crate::router::budget::{self, Period, Spending, Standing};
use crate::router::prices::{self, NANO_PER_USD};
use crate::store::{ModelProfile, USAGE_DAYS_MAX, UsageKey, UsageSum};

/// Days shown where nobody says which.
const DAYS_DEFAULT: i32 = 30;

/// What makes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Day,
    Provider,
    /// And its provider: two may sell a model of the same name.
    Model,
    Profile,
}

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Query {
    from: Date,
    to: Date,
    by: By,
}

#[derive(Debug, Serialize)]
struct Report {
    from: String,
    to: String,
    by: By,
    /// By day from the oldest on, otherwise the dearest first.
    rows: Vec<Row>,
    totals: Sum,
    /// The day on which the hub's prices were compared with the providers'.
    prices_as_of: &'static str,
    budgets: Vec<Limit>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Debug, Serialize)]
struct Sum {
    #[serde(flatten)]
    sum: UsageSum,
    cost_usd: f64,
}

impl From<UsageSum> for Sum {
    fn from(sum: UsageSum) -> Sum {
        Sum { sum, cost_usd: sum.cost_nano_usd as f64 / NANO_PER_USD }
    }
}

/// A budget and how far it is used up.
#[derive(Debug, Serialize)]
struct Limit {
    /// A model profile's name; absent: of the whole house.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    period: &'static str,
    limit_usd: f64,
    spent_usd: f64,
    left_usd: f64,
    /// RFC 3339.
    ends_at: String,
}

impl From<Standing> for Limit {
    fn from(standing: Standing) -> Limit {
        let Standing { profile, period, limit_usd, spent_nano_usd, ends } = standing;
        let spent_usd = spent_nano_usd as f64 / NANO_PER_USD;
        let period = match period {
            Period::Day => "day",
            Period::Month => "month",
        };
        let left_usd = (limit_usd - spent_usd).max(0.0);
        let ends_at = ends.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        Limit { profile, period, limit_usd, spent_usd, left_usd, ends_at }
    }
}

/// `GET /api/v1/usage?from=2026-11-01&to=2026-11-30&by=day|provider|model|profile`: both days included, by the clock of the
/// house; without them the last 30 days.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    if let Err(refused) = require(&request, Role::Member) {
        return *refused;
    }
    let now = Zoned::now();
    let Query { from, to, by } = match read_query(request.uri().query().unwrap_or_default(), now.date()) {
        Ok(query) => query,
        Err(why) => return problem(&ErrorBody::new(ErrorCode::BadRequest, why)),
    };
    let today = now.date();
    let looked = context.store.read(move |snapshot| {
        let month = snapshot.usage(today.first_of_month(), today.last_of_month())?;
        Ok((snapshot.usage(from, to)?, month, snapshot.list::<ModelProfile>()?))
    });
    let (usage, month, profiles) = match looked.await {
        Ok(looked) => looked,
        Err(error) => return not_read(&error),
    };
    let config = context.config.borrow().clone();
    let spending = Spending::of(today, month.iter());
    let standings = budget::standings(&config.budget, profiles.iter(), &spending, &now);
    let mut totals = UsageSum::default();
    usage.iter().for_each(|(_, sum)| totals.add(sum));
    let report = Report {
        from: from.to_string(),
        to: to.to_string(),
        by,
        rows: rows(by, usage),
        totals: totals.into(),
        prices_as_of: prices::table().as_of(),
        budgets: standings.into_iter().map(Limit::from).collect(),
    };
    respond::json(StatusCode::OK, &report)
}

fn read_query(query: &str, today: Date) -> Result<Query, String> {
    let (mut from, mut to, mut by) = (None, None, By::Day);
    for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        let day = || -> Result<Date, String> {
            let wrong = || format!("{name}: a day such as {today} is meant");
            // jiff takes a time behind the day, too.
            value.parse().ok().filter(|day: &Date| day.to_string() == value).ok_or_else(wrong)
        };
        match name {
            "from" => from = Some(day()?),
            "to" => to = Some(day()?),
            "by" => {
                by = match value {
                    "day" => By::Day,
                    "provider" => By::Provider,
                    "model" => By::Model,
                    "profile" => By::Profile,
                    _ => return Err("by: one of day, provider, model, profile is meant".into()),
                }
            }
            _ => {}
        }
    }
    let to = to.unwrap_or(today.max(from.unwrap_or(today)));
    let from = from.unwrap_or_else(|| to.saturating_sub((DAYS_DEFAULT - 1).days()));
    if from > to {
        return Err(format!("from: {from} comes after to, {to}"));
    }
    let days = from.until(to).map_or(i32::MAX, |span| span.get_days());
    if days as usize >= USAGE_DAYS_MAX {
        return Err(format!("from: at most {USAGE_DAYS_MAX} days are kept, and answered at once"));
    }
    Ok(Query { from, to, by })
}

fn rows(by: By, usage: Vec<(UsageKey, UsageSum)>) -> Vec<Row> {
    let mut sums: BTreeMap<[Option<String>; 4], UsageSum> = BTreeMap::new();
    for (key, sum) in usage {
        let UsageKey { day, profile, provider, model, .. } = key;
        let names = match by {
            By::Day => [Some(day.to_string()), None, None, None],
            By::Provider => [None, Some(provider), None, None],
            By::Model => [None, Some(provider), Some(model), None],
            By::Profile => [None, None, None, Some(profile)],
        };
        sums.entry(names).or_default().add(&sum);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    if by != By::Day {
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.cost_nano_usd, sum.requests)));
    }
    let row = |(names, sum): ([Option<String>; 4], UsageSum)| {
        let [day, provider, model, profile] = names;
        Row { day, provider, model, profile, sum: sum.into() }
    };
    sums.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::{Budget, Config};
    use crate::gateway::testing::{body, open, status};

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    #[test]
    fn a_query_is_read_or_refused_with_the_reason() {
        let today = day("2026-11-22");
        let read =
            |query| read_query(query, today).map(|query| (query.from.to_string(), query.to.to_string(), query.by));
        let is = |from: &str, to: &str, by| Ok((from.to_owned(), to.to_owned(), by));
        assert_eq!(read(""), is("2026-10-24", "2026-11-22", By::Day));
        assert_eq!(read("by=model&other=1"), is("2026-10-24", "2026-11-22", By::Model));
        assert_eq!(read("from=2026-11-01&to=2026-11-01&by=profile"), is("2026-11-01", "2026-11-01", By::Profile));
        assert_eq!(read("from=2026-12-01"), is("2026-12-01", "2026-12-01", By::Day));
        assert_eq!(read("from=2024-11-22"), is("2024-11-22", "2026-11-22", By::Day));
        for (query, says) in [
            ("from=yesterday", "from: "),
            ("to=2026-02-30", "to: "),
            ("to=2026-11-22T10:00", "to: "),
            ("from=2026-11-02&to=2026-11-01", "comes after"),
            ("from=2024-11-21", "731"),
            ("from=-009999-01-01&to=9999-12-31", "731"),
            ("by=user", "one of day"),
        ] {
            assert!(read(query).expect_err(query).contains(says), "{query}");
        }
    }

    #[test]
    fn rows_add_up_and_the_dearest_comes_first() {
        let entry = |day_of: &str, provider: &str, model: &str, profile: &str, cost_nano_usd| {
            let key = UsageKey {
                day: day(day_of),
                user: "house".into(),
                profile: profile.into(),
                provider: provider.into(),
                model: model.into(),
            };
            (key, UsageSum { requests: 1, cost_nano_usd, ..UsageSum::default() })
        };
        let usage = vec![
            entry("2026-11-01", "openai", "a", "default", 5),
            entry("2026-11-01", "openai", "b", "default", 1),
            entry("2026-11-02", "gemini", "a", "evening", 20),
            entry("2026-11-02", "openai", "a", "evening", 2),
        ];
        let told = |by| {
            let rows = rows(by, usage.clone());
            let name = |row: &Row| {
                [&row.day, &row.provider, &row.model, &row.profile].map(|name| name.clone().unwrap_or_default())
            };
            rows.iter().map(|row| (name(row).join("|"), row.sum.sum.cost_nano_usd)).collect::<Vec<_>>()
        };
        let is = |rows: &[(&str, u64)]| rows.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect::<Vec<_>>();
        assert_eq!(told(By::Day), is(&[("2026-11-01|||", 6), ("2026-11-02|||", 22)]));
        assert_eq!(told(By::Provider), is(&[("|gemini||", 20), ("|openai||", 8)]));
        assert_eq!(told(By::Model), is(&[("|gemini|a|", 20), ("|openai|a|", 7), ("|openai|b|", 1)]));
        assert_eq!(told(By::Profile), is(&[("|||evening", 22), ("|||default", 6)]));
    }

    #[tokio::test]
    async fn a_house_that_asked_nothing_has_an_empty_table_and_its_budgets() {
        let budget = Budget { day_usd: Some(0.5), month_usd: Some(3.0), ..Budget::default() };
        let open = open(Config { budget, ..Config::default() });
        let heard = open.get("GET", "/api/v1/usage?by=provider", "").await;
        assert_eq!(status(&heard), 200, "{heard}");
        let report: serde_json::Value = serde_json::from_str(body(&heard)).expect("JSON");
        assert_eq!((&report["by"], &report["rows"]), (&"provider".into(), &serde_json::json!([])));
        assert_eq!((&report["totals"]["requests"], &report["totals"]["cost_usd"]), (&0.into(), &0.0.into()));
        assert_eq!(report["prices_as_of"], prices::table().as_of());
        let budgets = report["budgets"].as_array().expect("a list");
        assert_eq!((budgets.len(), &budgets[0]["period"], &budgets[1]["period"]), (2, &"day".into(), &"month".into()));
        assert_eq!((&budgets[1]["left_usd"], &budgets[1]["spent_usd"]), (&3.0.into(), &0.0.into()));
        let heard = open.get("GET", "/api/v1/usage?by=sideways", "").await;
        assert_eq!(status(&heard), 400);
        assert!(body(&heard).contains(r#""code":"bad_request""#), "{heard}");
    }
}
