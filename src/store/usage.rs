//! What was asked for and what it cost, added up by day, user, profile, provider and model. Knows no price; reads no clock.

use jiff::civil::Date;
use redb::ReadableTable;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed::Kind;
use super::messages::NAME_BYTES_MAX;
use super::tables::{USAGE, decode, encode};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, WriteError};

/// See [`super::bounds::USAGE_ROWS_PER_DAY_MAX`].
pub const OTHERS: &str = "(others)";

/// Whose usage it is, and of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    /// By the clock of the house.
    pub day: Date,
    pub user: String,
    /// A model profile's name; empty where none was in play.
    pub profile: String,
    /// The provider's word in the config, or the voice's.
    pub provider: String,
    /// The provider's own name of the model.
    pub model: String,
}

/// What was used. Tokens are as in [`crate::common::chat::Usage`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UsageSum {
    /// Requests that a provider was asked.
    pub requests: u64,
    /// Those of them that ended in an error, or were stopped.
    pub failed: u64,
    pub input_tokens: u64,
    /// Part of `input_tokens`.
    pub cached_tokens: u64,
    /// Part of `input_tokens`.
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    /// Part of `output_tokens`.
    pub reasoning_tokens: u64,
    /// Pictures made.
    pub images: u64,
    /// Characters spoken.
    pub speech_characters: u64,
    /// Billionths of a US dollar.
    pub cost_nano_usd: u64,
    /// Requests whose cost is not known, and not in `cost_nano_usd`.
    pub unpriced_requests: u64,
    /// Requests whose tokens the provider did not tell, so that they are guessed.
    pub estimated_requests: u64,
}

impl UsageSum {
    /// Adds another to it; a number that would be too large stays at the largest.
    pub fn add(&mut self, other: &UsageSum) {
        let mut other = *other;
        for (mine, theirs) in self.numbers_mut().into_iter().zip(other.numbers_mut()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// All of them: a number that is added to the type and not here is a compiler error.
    fn numbers_mut(&mut self) -> [&mut u64; 12] {
        let UsageSum {
            requests,
            failed,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            images,
            speech_characters,
            cost_nano_usd,
            unpriced_requests,
            estimated_requests,
        } = self;
        [
            requests,
            failed,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            images,
            speech_characters,
            cost_nano_usd,
            unpriced_requests,
            estimated_requests,
        ]
    }
}

impl Store {
    /// Adds to what is known of a key. Names that are too long are cut. Waits a moment for another write, to share its commit.
    pub async fn add_usage(&self, mut key: UsageKey, sum: UsageSum) -> Result<(), WriteError> {
        for name in [&mut key.user, &mut key.profile, &mut key.provider, &mut key.model] {
            name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        }
        self.accompany(size_of::<UsageSum>(), move |batch| add(batch, &key, &sum)).await
    }

    /// See [`Snapshot::usage`].
    pub async fn usage(&self, from: Date, to: Date) -> Result<Vec<(UsageKey, UsageSum)>, ReadError> {
        self.read(move |snapshot| snapshot.usage(from, to)).await
    }
}

impl Snapshot {
    /// Everything from the day `from` to the day `to`, both included, by day and then by name. At most
    /// [`super::bounds::USAGE_DAYS_MAX`] × [`super::bounds::USAGE_ROWS_PER_DAY_MAX`] entries.
    pub fn usage(&self, from: Date, to: Date) -> Result<Vec<(UsageKey, UsageSum)>, ReadError> {
        let mut found = Vec::new();
        for entry in self.0.open_table(USAGE)?.range((from.to_string().as_str(), "", "", "", "")..)? {
            let (key, value) = entry?;
            let (day, user, profile, provider, model) = key.value();
            let of_day: Date =
                day.parse().map_err(|error| ReadError::Corrupt(format!("usage of the day {day:?}: {error}")))?;
            if of_day > to {
                break;
            }
            let [user, profile, provider, model] = [user, profile, provider, model].map(str::to_owned);
            let sum = decode(value.value(), &described(day)).map_err(ReadError::Corrupt)?;
            found.push((UsageKey { day: of_day, user, profile, provider, model }, sum));
        }
        Ok(found)
    }
}

fn add(batch: &mut Batch, key: &UsageKey, sum: &UsageSum) -> Result<Result<(), WriteError>, redb::Error> {
    // Before year 0 and after 9999 text does not sort by time.
    if !(0..=9999).contains(&key.day.year()) {
        return Ok(Err(WriteError::Invalid(format!("usage of the year {}", key.day.year()))));
    }
    let day = key.day.to_string();
    let bounds = batch.bounds;
    {
        let mut table = batch.txn.open_table(USAGE)?;
        let mut row =
            (day.as_str(), key.user.as_str(), key.profile.as_str(), key.provider.as_str(), key.model.as_str());
        let is_new = table.get(row)?.is_none();
        let of_day = if is_new { rows_of(&table, &day)? } else { 0 };
        if of_day >= bounds.usage_rows_per_day {
            (row.2, row.4) = (OTHERS, OTHERS);
        }
        let mut total = match table.get(row)? {
            Some(value) => match decode::<UsageSum>(value.value(), &described(&day)) {
                Ok(known) => known,
                Err(detail) => return Ok(Err(WriteError::Disk(detail))),
            },
            None => UsageSum::default(),
        };
        total.add(sum);
        table.insert(row, encode(&total).as_slice())?;
        if is_new && of_day == 0 {
            forget_the_oldest_days(&mut table, bounds.usage_days, &day)?;
        }
    }
    batch.changed(Kind::Usage, &day);
    Ok(Ok(()))
}

type Table<'a> = redb::Table<'a, (&'static str, &'static str, &'static str, &'static str, &'static str), &'static [u8]>;

fn rows_of(table: &Table<'_>, day: &str) -> Result<usize, redb::Error> {
    let mut rows = 0;
    for entry in table.range((day, "", "", "", "")..)? {
        if entry?.0.value().0 != day {
            break;
        }
        rows += 1;
    }
    Ok(rows)
}

/// Goes through the days and not through the rows, once a day; never forgets `kept`, whatever its clock says.
fn forget_the_oldest_days(table: &mut Table<'_>, days_max: usize, kept: &str) -> Result<(), redb::Error> {
    let mut days: Vec<String> = Vec::new();
    loop {
        // A name begins with no character before '\u{1}', so that this lies behind all rows of the last day seen.
        let after = days.last().map(|day| format!("{day}\u{1}")).unwrap_or_default();
        let next = table.range((after.as_str(), "", "", "", "")..)?.next().transpose()?;
        let Some((key, _)) = next else { break };
        days.push(key.value().0.to_owned());
    }
    let over = days.len().saturating_sub(days_max);
    for day in days.iter().filter(|day| *day != kept).take(over) {
        table.retain_in((day.as_str(), "", "", "", "")..(format!("{day}\u{1}").as_str(), "", "", "", ""), |_, _| {
            false
        })?;
    }
    Ok(())
}

fn described(day: &str) -> String {
    format!("usage of {day}")
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
