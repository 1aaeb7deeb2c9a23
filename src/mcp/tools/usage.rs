//! `usage.get`: what was asked for and what it cost. A user sees their own, owners the whole house's.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::typed::{About, bad_request, not_found, not_read};
use super::{House, Tool, tool};
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::{USAGE_DAYS_MAX, UsageKey, UsageSum};

/// Days shown where nobody says which.
const DAYS_DEFAULT: i32 = 30;

/// Rows of an answer: the dearest, or the newest days; the totals count all.
const ROWS_MAX: usize = 1000;

const NANO_PER_USD: f64 = 1e9;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum By {
    #[default]
    Day,
    Provider,
    Model,
    Profile,
    User,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The first day, such as `2026-11-01`; absent: the last 30 days.
    from: Option<String>,
    /// The last day; absent: today.
    to: Option<String>,
    /// What makes a row.
    #[serde(default)]
    by: By,
    /// Only this user's; absent: your own, and the whole house's for an owner.
    user: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    from: String,
    to: String,
    by: By,
    /// By day from the oldest on, otherwise the dearest first.
    rows: Vec<Row>,
    /// There are more rows; the totals count them all.
    cut: bool,
    totals: Sum,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    /// The day, or the name of what makes the row; a model with its provider before it.
    name: String,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Sum {
    requests: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    images: u64,
    speech_characters: u64,
    cost_usd: f64,
    /// Requests whose cost nobody knows.
    unpriced_requests: u64,
}

impl From<UsageSum> for Sum {
    fn from(sum: UsageSum) -> Sum {
        Sum {
            requests: sum.requests,
            failed: sum.failed,
            input_tokens: sum.input_tokens,
            output_tokens: sum.output_tokens,
            images: sum.images,
            speech_characters: sum.speech_characters,
            cost_usd: sum.cost_nano_usd as f64 / NANO_PER_USD,
            unpriced_requests: sum.unpriced_requests,
        }
    }
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let about = About {
        name: "usage.get",
        title: "Usage and cost",
        description: "What was asked of language models, how many tokens that took and what it cost, by day, provider, model, \
                      profile or user.",
        annotations: Annotations::READS,
        access: Role::Member,
    };
    vec![tool(house, about, get)]
}

async fn get(house: Arc<House>, input: Get, who: Arc<Principal>) -> Result<Report, Fault> {
    let user = match (input.user, who.is_owner()) {
        (Some(user), _) if !who.may_see(&user) => return Err(not_found("user of this name whose usage you may see")),
        (Some(user), _) => Some(user),
        (None, true) => None,
        (None, false) => Some(who.user.to_string()),
    };
    let today = (house.now)().date();
    let to = input.to.map_or(Ok(today), |text| day("to", &text))?;
    let from =
        input.from.map_or_else(|| Ok(to.saturating_sub((DAYS_DEFAULT - 1).days())), |text| day("from", &text))?;
    if from > to {
        return Err(bad_request(format!("from: {from} comes after to, {to}")));
    }
    let days = from.until(to).map_or(i32::MAX, |span| span.get_days());
    if days as usize >= USAGE_DAYS_MAX {
        return Err(bad_request(format!("from: at most {USAGE_DAYS_MAX} days are kept, and answered at once")));
    }
    let mut usage = house.store.usage(from, to).await.map_err(not_read)?;
    usage.retain(|(key, _)| user.as_ref().is_none_or(|user| *user == key.user));
    let mut totals = UsageSum::default();
    let mut sums: BTreeMap<String, UsageSum> = BTreeMap::new();
    for (key, sum) in &usage {
        totals.add(sum);
        sums.entry(name(key, input.by)).or_default().add(sum);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    if input.by != By::Day {
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.cost_nano_usd, sum.requests)));
    }
    let cut = sums.len() > ROWS_MAX;
    sums.truncate(ROWS_MAX);
    let rows = sums.into_iter().map(|(name, sum)| Row { name, sum: sum.into() }).collect();
    Ok(Report { from: from.to_string(), to: to.to_string(), by: input.by, rows, cut, totals: totals.into() })
}

fn day(field: &str, text: &str) -> Result<Date, Fault> {
    let wrong = || bad_request(format!("{field}: a day such as 2026-11-22 is wanted"));
    // jiff takes a time behind the day, too.
    text.parse().ok().filter(|day: &Date| day.to_string() == text).ok_or_else(wrong)
}

fn name(key: &UsageKey, by: By) -> String {
    match by {
        By::Day => key.day.to_string(),
        By::Provider => key.provider.clone(),
        By::Model => format!("{}/{}", key.provider, key.model),
        By::Profile => key.profile.clone(),
        By::User => key.user.clone(),
    }
}
