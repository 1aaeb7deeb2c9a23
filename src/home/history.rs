//! What a property was: the question, the answer, and how fine it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keeper::{Keeper, bad};
use super::shared;
use super::source::DeviceId;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::UnixMillis;
use crate::common::who::Principal;
use crate::store::{HistoryPage, HistorySearch, ReadError};

/// Points of one answer; a longer time is answered with coarser steps.
pub const POINTS_MAX: usize = 1_000;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// What is asked for where nobody says.
const SPAN_MS: u64 = DAY_MS;

/// `history.query`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// A device's id, name or alias.
    pub device: String,
    /// Such as `temperature`.
    pub property: String,
    /// Milliseconds since 1970; absent: a day before `to_ms`.
    pub from_ms: Option<UnixMillis>,
    /// Milliseconds since 1970; absent: now.
    pub to_ms: Option<UnixMillis>,
    /// Absent: the finest that gives no more points than `limit` for the whole time.
    pub resolution: Option<Resolution>,
    /// 1 to 1000 points; absent: 1000.
    pub limit: Option<usize>,
}

/// How far points are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Resolution {
    /// As it was reported; kept for 7 days.
    #[serde(rename = "raw")]
    Raw,
    /// Kept for 90 days.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Kept for two years.
    #[serde(rename = "1h")]
    Hour,
    /// Made of hours; a day of UTC.
    #[serde(rename = "1d")]
    Day,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HistoryAnswer {
    pub device: DeviceId,
    pub property: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
    pub resolution: Resolution,
    pub from_ms: UnixMillis,
    pub to_ms: UnixMillis,
    /// By time.
    pub points: Vec<HistoryPoint>,
    /// There was more than `limit`: go on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_from_ms: Option<UnixMillis>,
}

/// One report (`raw`), or what happened in one step of the resolution.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HistoryPoint {
    /// When it was reported; the beginning of the step.
    pub at_ms: UnixMillis,
    /// The report, or the last one of the step.
    pub value: Value,
    /// Of the reports of the step, for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Resolution {
    const ALL: [Resolution; 4] = [Resolution::Raw, Resolution::FiveMinutes, Resolution::Hour, Resolution::Day];

    /// The length of a step; 0: reports.
    fn step_ms(self) -> u64 {
        match self {
            Resolution::Raw => 0,
            Resolution::FiveMinutes => 5 * MINUTE_MS,
            Resolution::Hour => 60 * MINUTE_MS,
            Resolution::Day => DAY_MS,
        }
    }

    /// How long it is kept.
    fn kept_ms(self) -> u64 {
        match self {
            Resolution::Raw => 7 * DAY_MS,
            Resolution::FiveMinutes => 90 * DAY_MS,
            Resolution::Hour | Resolution::Day => 735 * DAY_MS,
        }
    }

    /// Those that may answer, the finest first: they are still kept from `from_ms` on, and have no more steps than `limit`.
    fn fitting(from_ms: UnixMillis, to_ms: UnixMillis, now_ms: UnixMillis, limit: usize) -> Vec<Resolution> {
        let span_ms = to_ms - from_ms;
        let fits = |one: &Resolution| {
            let is_short = one.step_ms() == 0 || span_ms.div_ceil(one.step_ms()) < limit as u64;
            is_short && now_ms.saturating_sub(from_ms) <= one.kept_ms()
        };
        let fitting: Vec<_> = Resolution::ALL.into_iter().filter(fits).collect();
        if fitting.is_empty() { vec![Resolution::Day] } else { fitting }
    }
}

impl Keeper {
    /// What a property was, up to the newest report.
    pub async fn history(&self, who: &Principal, query: HistoryQuery) -> Result<HistoryAnswer, ErrorBody> {
        let now_ms = shared::now_ms();
        let device = self.device(who, &query.device)?;
        let to_ms = query.to_ms.unwrap_or(now_ms.saturating_add(1));
        let from_ms = query.from_ms.unwrap_or(to_ms.saturating_sub(SPAN_MS));
        if from_ms >= to_ms {
            return Err(bad("from_ms: is not before to_ms.".into()));
        }
        let limit = query.limit.unwrap_or(POINTS_MAX);
        if !(1..=POINTS_MAX).contains(&limit) {
            return Err(bad(format!("limit: 1 to {POINTS_MAX}.")));
        }
        let capability = device.capability(&query.property);
        if capability.is_none() && !device.state.contains_key(&query.property) {
            let known: Vec<_> = device.capabilities.iter().map(|one| &*one.property).collect();
            let (name, known) = (&device.name, known.join(", "));
            return Err(bad(format!("\"{name}\" has no such property. It has: {known}.")));
        }
        let fresh = self.0.with(|home| home.recorder.waiting_of(&device.id, &query.property));
        let search = HistorySearch {
            device: device.id.0.clone(),
            property: query.property.as_str().into(),
            from_ms,
            to_ms,
            step_ms: 0,
            limit,
            fresh,
        };
        let tried = match query.resolution {
            Some(resolution) => vec![resolution],
            None => Resolution::fitting(from_ms, to_ms, now_ms, limit),
        };
        let mut found = (Resolution::Day, HistoryPage::default());
        for resolution in tried {
            let search = HistorySearch { step_ms: resolution.step_ms(), ..search.clone() };
            found = (resolution, self.0.store.device_history(search).await.map_err(not_read)?);
            if found.1.next_from_ms.is_none() {
                break;
            }
        }
        let (resolution, page) = found;
        let points = page.steps.into_iter().map(|step| {
            let range = step.range.filter(|_| resolution != Resolution::Raw);
            let (min, mean, max) =
                range.map_or((None, None, None), |(min, mean, max)| (Some(min), Some(mean), Some(max)));
            HistoryPoint { at_ms: step.at_ms, value: step.last, min, mean, max }
        });
        Ok(HistoryAnswer {
            device: device.id.clone(),
            property: query.property.into(),
            unit: capability.and_then(|one| one.unit.clone()),
            resolution,
            from_ms,
            to_ms,
            points: points.collect(),
            next_from_ms: page.next_from_ms,
        })
    }
}

fn not_read(error: ReadError) -> ErrorBody {
    ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Internal, format!("The history was not read: {error}.")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_that_is_kept_and_short_enough_answers() {
        let now = 1_000 * DAY_MS;
        let finest = |days_ago: u64, days: u64, limit| {
            let from = now - days_ago * DAY_MS;
            Resolution::fitting(from, from + days * DAY_MS, now, limit)[0]
        };
        assert_eq!(finest(1, 1, 1_000), Resolution::Raw);
        assert_eq!(finest(8, 1, 1_000), Resolution::FiveMinutes);
        assert_eq!(finest(8, 4, 1_000), Resolution::Hour);
        assert_eq!(finest(91, 1, 1_000), Resolution::Hour);
        assert_eq!(finest(91, 60, 1_000), Resolution::Day);
        assert_eq!(finest(900, 900, 100), Resolution::Day);
        assert_eq!(Resolution::fitting(0, 1, 0, 1_000), Resolution::ALL);
    }
}
