//! What a property was: the question and the answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source::DeviceId;
use crate::common::time::UnixMillis;

/// Points of one answer; a longer time is answered with coarser steps.
pub const POINTS_MAX: usize = 1_000;

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
