//! `history.query`: how a property of a device was. Times are read as people and models write them; what is kept for how long is
//! the house's own business.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::{Span, Timestamp, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tool;
use super::typed::{About, bad_request, tool};
use crate::common::time::UnixMillis;
use crate::common::who::{Principal, Role};
use crate::home::{HistoryAnswer, HistoryQuery, Keeper, POINTS_MAX, Resolution};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;

/// Points where nobody says how many: enough for a day by the quarter of an hour, and little to read.
const POINTS_DEFAULT: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Its name, another word for it, or its id.
    device: String,
    /// Such as `temperature`.
    property: String,
    /// From when on: how long ago (`90m`, `24h`, `7d`), a date, a time by the clock of the house (`2026-11-01T08:00`), one with its
    /// zone, or milliseconds since 1970. A day before `to` where nothing is said.
    from: Option<When>,
    /// Until when, likewise; now where nothing is said.
    to: Option<When>,
    /// The finest that fits into `limit` where nothing is said.
    resolution: Option<Resolution>,
    /// Points at most; 100 where nothing is said.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum When {
    Ms(UnixMillis),
    Words(String),
}

#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    device: Box<str>,
    /// Its name.
    name: Box<str>,
    property: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Box<str>>,
    resolution: Resolution,
    from_ms: UnixMillis,
    to_ms: UnixMillis,
    /// By time.
    points: Vec<Point>,
    /// There was more: ask again with this as `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_from_ms: Option<UnixMillis>,
}

/// One report (`raw`), or what happened in one step of the resolution.
#[derive(Debug, Serialize, JsonSchema)]
struct Point {
    /// When it was reported, or the beginning of the step; by the clock of the house.
    at: String,
    at_ms: UnixMillis,
    /// The report, or the last one of the step.
    value: Value,
    /// Of the reports of the step, for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

/// The house and its clock.
struct Clocked {
    home: Arc<Keeper>,
    now: fn() -> Zoned,
}

pub fn tools(home: &Arc<Keeper>, now: fn() -> Zoned) -> Vec<Arc<dyn Tool>> {
    let query = About {
        name: "history.query",
        title: "How it was",
        description: "How a property of a device was over time, such as the temperature of last night: points with value, and least, \
                      mean and most of each step. Kept for 7 days as reported, for 90 days by 5 minutes, for 2 years by the hour.",
        annotations: Annotations::READS,
        access: Role::Device,
    };
    vec![tool(&Arc::new(Clocked { home: home.clone(), now }), query, told)]
}

async fn told(clocked: Arc<Clocked>, input: Query, who: Arc<Principal>) -> Result<Told, Fault> {
    let now = (clocked.now)();
    let at = |key: &str, when: Option<When>| {
        when.map(|when| when.at(&now).map_err(|why| bad_request(format!("{key}: {why}"))))
    };
    let device = clocked.home.device(&who, &input.device)?;
    let query = HistoryQuery {
        device: device.id.to_string(),
        property: input.property,
        from_ms: at("from", input.from).transpose()?,
        to_ms: at("to", input.to).transpose()?,
        resolution: input.resolution,
        limit: Some(input.limit.unwrap_or(POINTS_DEFAULT).clamp(1, POINTS_MAX)),
    };
    let HistoryAnswer { device: id, property, unit, resolution, from_ms, to_ms, points, next_from_ms } =
        clocked.home.history(&who, query).await?;
    let shown = |at_ms: UnixMillis| {
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.map(|at| at.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
    };
    let points = points.into_iter().map(|point| Point {
        at: shown(point.at_ms),
        at_ms: point.at_ms,
        value: point.value,
        min: point.min,
        mean: point.mean,
        max: point.max,
    });
    Ok(Told {
        device: id.0,
        name: device.name.clone(),
        property,
        unit,
        resolution,
        from_ms,
        to_ms,
        points: points.collect(),
        next_from_ms,
    })
}

impl When {
    /// Milliseconds since 1970.
    fn at(self, now: &Zoned) -> Result<UnixMillis, String> {
        let words = match self {
            When::Ms(ms) => return Ok(ms),
            When::Words(words) => words.trim().to_owned(),
        };
        let odd =
            || format!("{words:?} is no time; say 24h, 7d, 2026-11-01, 2026-11-01T08:00, or milliseconds since 1970");
        if let Ok(ms) = words.parse::<UnixMillis>() {
            return Ok(ms);
        }
        let at = match ago(&words) {
            Some(span) => now.checked_sub(span).map_err(|_| odd())?.timestamp(),
            None => match words.parse::<Timestamp>() {
                Ok(at) => at,
                // Of a date the midnight with which it begins.
                Err(_) => {
                    let civil: DateTime = words.parse().map_err(|_| odd())?;
                    civil.to_zoned(now.time_zone().clone()).map_err(|_| odd())?.timestamp()
                }
            },
        };
        UnixMillis::try_from(at.as_millisecond()).map_err(|_| odd())
    }
}

/// `90m`, `24h`, `7d`, `2w`.
fn ago(words: &str) -> Option<Span> {
    let unit = words.chars().last()?;
    let number: i32 =
        words[..words.len() - unit.len_utf8()].trim().parse().ok().filter(|number| (0..=100_000).contains(number))?;
    let span = Span::new();
    match unit {
        's' => span.try_seconds(number),
        'm' => span.try_minutes(number),
        'h' => span.try_hours(number),
        'd' => span.try_days(number),
        'w' => span.try_weeks(number),
        _ => return None,
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Zoned = "2025-11-22T10:00:00+01:00[+01:00]".parse().expect("a time");
        let at = |words: &str| When::Words(words.into()).at(&now);
        let now_ms = 1_763_802_000_000;
        for (words, ms) in [
            ("0m", now_ms),
            ("90m", now_ms - 90 * 60_000),
            ("24h", now_ms - 86_400_000),
            (" 7d", now_ms - 7 * 86_400_000),
            ("2025-11-22", now_ms - 10 * 3_600_000),
            ("2025-11-22T08:00", now_ms - 2 * 3_600_000),
            ("2025-11-22 08:00", now_ms - 2 * 3_600_000),
            ("2025-11-22T08:00:00Z", now_ms - 3_600_000),
            ("1763802000000", now_ms),
        ] {
            assert_eq!(at(words), Ok(ms), "{words}");
        }
        for odd in ["", "h", "yesterday", "-1h", "5y", "99999999h", "2025-13-01", "ü", "1ü", "1900-01-01"] {
            assert!(at(odd).is_err_and(|why| why.contains("is no time")), "{odd}");
        }
    }
}
