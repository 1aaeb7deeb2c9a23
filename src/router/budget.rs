//! What may be spent, and what that means for a question: past a limit only what runs in the house answers. Pure: sums, limits
//! and the time come in.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SpanRound, Unit, Zoned};

use crate::common::config::Budget;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::router::choose::Link;
use crate::router::prices::NANO_PER_USD;
use crate::store::{ModelProfile, UsageKey, UsageSum};

/// How long a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight, by the clock of the house.
    Day,
    /// A calendar month.
    Month,
}

/// What was spent in the month of a day, by profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    day: Date,
    house: Spent,
    profiles: BTreeMap<String, Spent>,
}

/// Billionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    day: u64,
    month: u64,
}

/// A limit, and how far it is used up.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whose limit; `None`: the house's.
    pub profile: Option<String>,
    pub period: Period,
    pub limit_usd: f64,
    /// Billionths of a US dollar.
    pub spent_nano_usd: u64,
    /// When it begins anew.
    pub ends: Zoned,
}

/// Who may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Anybody.
    Free,
    /// Nobody who costs money; `why` is for the owner of the house.
    OnlyLocal { why: String },
}

impl Spending {
    /// As of `day`, from all rows of its month; rows of other months do not count.
    pub fn of<'a>(day: Date, rows: impl Iterator<Item = &'a (UsageKey, UsageSum)>) -> Spending {
        let mut spending = Spending { day, house: Spent::default(), profiles: BTreeMap::new() };
        rows.for_each(|(key, sum)| spending.add(key, sum));
        spending
    }

    /// The day whose sums these are.
    pub fn day(&self) -> Date {
        self.day
    }

    pub fn add(&mut self, key: &UsageKey, sum: &UsageSum) {
        if key.day.first_of_month() != self.day.first_of_month() || sum.cost_nano_usd == 0 {
            return;
        }
        let of_profile = self.profiles.entry(key.profile.clone()).or_default();
        for spent in [&mut self.house, of_profile] {
            spent.month = spent.month.saturating_add(sum.cost_nano_usd);
            if key.day == self.day {
                spent.day = spent.day.saturating_add(sum.cost_nano_usd);
            }
        }
    }
}

/// Whether anything is limited at all.
pub fn has_limit(budget: &Budget, profile: Option<&ModelProfile>) -> bool {
    let of_profile = profile.map(|profile| (profile.budget_day_usd, profile.budget_month_usd));
    (budget.day_usd, budget.month_usd) != (None, None) || of_profile.is_some_and(|limits| limits != (None, None))
}

/// Every limit of the house and of these profiles.
pub fn standings<'a>(
    budget: &Budget,
    profiles: impl Iterator<Item = &'a ModelProfile>,
    spending: &Spending,
    now: &Zoned,
) -> Vec<Standing> {
    let mut standings = Vec::new();
    let mut add = |profile: Option<&str>, limits: [Option<f64>; 2], spent: Spent| {
        let periods = [(Period::Day, spent.day), (Period::Month, spent.month)];
        for ((period, spent_nano_usd), limit_usd) in periods.into_iter().zip(limits) {
            let profile = profile.map(str::to_owned);
            let standing = |limit_usd| Standing { profile, period, limit_usd, spent_nano_usd, ends: end(period, now) };
            standings.extend(limit_usd.map(standing));
        }
    };
    add(None, [budget.day_usd, budget.month_usd], spending.house);
    for profile in profiles {
        let spent = spending.profiles.get(&profile.name).copied().unwrap_or_default();
        add(Some(&profile.name), [profile.budget_day_usd, profile.budget_month_usd], spent);
    }
    standings
}

/// What the limits mean for a question with this profile. An answer that comes is never stopped: it may
/// lead past a limit. A model that calls tools gets no further round then.
pub fn verdict(budget: &Budget, profile: Option<&ModelProfile>, spending: &Spending, now: &Zoned) -> Verdict {
    let standings = standings(budget, profile.into_iter(), spending, now);
    // Of several that are used up, the one that holds for longest is the one to tell.
    let used_up = standings.iter().filter(|standing| standing.is_used_up());
    match used_up.max_by(|a, b| a.ends.cmp(&b.ends)) {
        Some(standing) => Verdict::OnlyLocal { why: standing.words(now) },
        None => Verdict::Free,
    }
}

/// The chain without those who cost money, and what the client is told where its first choice is among them. `named`: the
/// client asked for this provider and nobody else.
pub fn narrow(chain: Vec<Link>, verdict: Verdict, named: bool) -> Result<(Vec<Link>, Option<String>), ErrorBody> {
    let Verdict::OnlyLocal { why } = verdict else { return Ok((chain, None)) };
    let first = chain.first().map(|link| link.name);
    let local: Vec<Link> = chain.into_iter().filter(|link| link.name.is_local()).collect();
    match local.first() {
        Some(link) if Some(link.name) == first => Ok((local, None)),
        Some(link) => {
            let notice = format!("{} answers, since {why}", link.name.as_str());
            Ok((local, Some(notice)))
        }
        None => {
            let first = first.map_or("nobody", |name| name.as_str());
            let help = match named {
                true => format!("{first} was not asked; a provider in the house may be"),
                false => "add one that runs in the house, such as local or assistant, to providers.fallback".into(),
            };
            Err(ErrorBody::new(ErrorCode::BudgetExhausted, format!("{why}. {help}, or raise the limit")))
        }
    }
}

impl Standing {
    pub fn is_used_up(&self) -> bool {
        self.spent_nano_usd as f64 >= self.limit_usd * NANO_PER_USD
    }

    /// Which limit, what was spent, when it ends.
    fn words(&self, now: &Zoned) -> String {
        let (budget, key) = match self.period {
            Period::Day => ("the day's budget", "budget_day_usd"),
            Period::Month => ("the month's budget", "budget_month_usd"),
        };
        let place = match &self.profile {
            Some(profile) => format!("{key} of the model profile {profile}"),
            None => format!("{} in config.yaml", key.replacen("budget_", "budget.", 1)),
        };
        let (spent, limit) = (dollars(self.spent_nano_usd), dollars((self.limit_usd * NANO_PER_USD) as u64));
        let left = now.until(&self.ends).and_then(|span| {
            let whole = SpanRound::new().largest(Unit::Day).smallest(Unit::Minute).relative(now);
            span.round(whole)
        });
        let left = left.map_or_else(
            |_| "later".into(),
            |left| match (left.get_days(), left.get_hours(), left.get_minutes()) {
                (0, 0, minutes) => format!("in {minutes} min"),
                (0, hours, minutes) => format!("in {hours} h {minutes} min"),
                (days, hours, _) => format!("in {days} d {hours} h"),
            },
        );
        format!("{budget} is used up: {spent} of {limit} US dollars were spent ({place}); it begins anew {left}")
    }
}

/// Dollars and cents, and two more digits where there are less than ten cents; the half is rounded up.
pub fn dollars(nano_usd: u64) -> String {
    let rounded = |unit: u64| nano_usd / unit + u64::from(nano_usd % unit >= unit / 2);
    match nano_usd {
        0 => "0.00".into(),
        1..50_000 => "<0.0001".into(),
        50_000..99_950_000 => format!("0.{:04}", rounded(100_000)),
        _ => {
            let cents = rounded(10_000_000);
            format!("{}.{:02}", cents / 100, cents % 100)
        }
    }
}

/// Midnight, or that before the first of the next month. At the end of all days it is now.
fn end(period: Period, now: &Zoned) -> Zoned {
    let last = match period {
        Period::Day => now.date(),
        Period::Month => now.date().last_of_month(),
    };
    let next = last.tomorrow().and_then(|day| day.to_zoned(now.time_zone().clone()));
    next.unwrap_or_else(|_| now.clone())
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
