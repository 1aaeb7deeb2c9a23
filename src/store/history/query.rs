//! Reading the history: reports, or steps of five minutes, an hour, a day. What is not packed yet is added up on the way, so
//! that an answer has everything up to the newest report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codec::{self, Damaged, Reading, Report, Step};
use super::keep::{FIVE_MINUTES_MS, GRAINS, HOUR_MS, TICK_MS, block, each_report, ticks};
use super::steps::{join, steps};
use crate::common::time::UnixMillis;
use crate::store::tables::{HISTORY_BLOCKS, HISTORY_LOG, HISTORY_RAW, HISTORY_SERIES};
use crate::store::{ReadError, Snapshot};

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct HistorySearch {
    pub device: Box<str>,
    pub property: Box<str>,
    /// From this moment on, and before that one. Steps are whole: the first may begin before, and the last end after it.
    pub from_ms: UnixMillis,
    pub to_ms: UnixMillis,
    /// The length of a step: 0 for the reports themselves, else a multiple of five minutes that divides an hour, or of an hour.
    pub step_ms: u64,
    /// Points in the answer.
    pub limit: usize,
    /// What was reported and is not in the store yet.
    pub fresh: Vec<(UnixMillis, Value)>,
}

/// What was found, by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    pub steps: Vec<HistoryStep>,
    /// There was more: go on here.
    pub next_from_ms: Option<UnixMillis>,
}

/// A report, or what happened in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryStep {
    /// Of the report to the tenth of a second; of a step its beginning.
    pub at_ms: UnixMillis,
    /// Reports in it.
    pub count: u32,
    pub last: Value,
    /// Least, mean and greatest, where all were numbers.
    pub range: Option<(f64, f64, f64)>,
}

/// Steps by their beginning.
type Found = BTreeMap<UnixMillis, Step>;

impl Snapshot {
    /// What a property was.
    pub fn device_history(&self, search: &HistorySearch) -> Result<HistoryPage, ReadError> {
        let key = (&*search.device, &*search.property);
        let series = self.0.open_table(HISTORY_SERIES)?.get(key)?.map(|number| number.value());
        match search.step_ms {
            0 => self.reports(series, search),
            step_ms => self.steps(series, search, step_ms),
        }
    }

    fn reports(&self, series: Option<u32>, search: &HistorySearch) -> Result<HistoryPage, ReadError> {
        let mut page = HistoryPage::default();
        let mut unpacked = self.unpacked(series, search)?;
        let mut hours: Vec<u32> = self.blocks(0, search)?;
        hours.extend(unpacked.keys());
        hours.sort();
        hours.dedup();
        for hour in hours {
            let begin = u64::from(hour) * HOUR_MS;
            let reports = self.of_hour(series, hour, unpacked.remove(&hour).unwrap_or_default())?;
            for (ticks, reading) in reports {
                let at_ms = begin + u64::from(ticks) * TICK_MS;
                // The tick of a moment begins before it.
                if at_ms + TICK_MS <= search.from_ms || at_ms >= search.to_ms {
                    continue;
                }
                if page.steps.len() >= search.limit {
                    page.next_from_ms = Some(at_ms);
                    return Ok(page);
                }
                page.steps.push(HistoryStep { at_ms, count: 1, last: reading.to_value(), range: None });
            }
        }
        Ok(page)
    }

    fn steps(&self, series: Option<u32>, search: &HistorySearch, step_ms: u64) -> Result<HistoryPage, ReadError> {
        if search.to_ms <= search.from_ms {
            return Ok(HistoryPage::default());
        }
        // From the beginning of the first step to the end of the last one: a step that is cut in two would tell half the truth.
        let from_ms = search.from_ms - search.from_ms % step_ms;
        let to_ms = search.to_ms.checked_next_multiple_of(step_ms).unwrap_or(u64::MAX);
        let search = &HistorySearch { from_ms, to_ms, ..search.clone() };
        let (grain, fine_ms) = if step_ms < HOUR_MS { (GRAINS[1], FIVE_MINUTES_MS) } else { (GRAINS[2], HOUR_MS) };
        let mut found = Found::new();
        if let Some(series) = series {
            let table = self.0.open_table(grain.1)?;
            for place in self.blocks(grain.0, search)? {
                let begin = u64::from(place) * grain.2;
                let Some(packed) = table.get((place, series))? else { continue };
                for step in codec::decode_steps(packed.value()).map_err(damaged)? {
                    found.insert(begin + u64::from(step.index) * fine_ms, step);
                }
            }
        }
        for (hour, reports) in self.unpacked(series, search)? {
            let begin = u64::from(hour) * HOUR_MS;
            let reports = self.of_hour(series, hour, reports)?;
            for step in steps(&reports, (fine_ms / TICK_MS) as u32) {
                found.insert(begin + u64::from(step.index) * fine_ms, step);
            }
        }
        let mut page = HistoryPage::default();
        let mut joined: Vec<Step> = Vec::new();
        for (at_ms, step) in found.range(search.from_ms..search.to_ms) {
            let index = u32::try_from(at_ms / step_ms).unwrap_or(u32::MAX);
            let is_new = joined.last().is_none_or(|last| last.index != index);
            if is_new && joined.len() >= search.limit {
                page.next_from_ms = Some(at_ms - at_ms % step_ms);
                break;
            }
            join(&mut joined, Step { index, ..step.clone() });
        }
        page.steps = joined
            .into_iter()
            .map(|step| HistoryStep {
                at_ms: u64::from(step.index) * step_ms,
                count: step.count,
                last: step.last.to_value(),
                range: step.range,
            })
            .collect();
        Ok(page)
    }

    /// The reports of an hour: those that are packed and these.
    fn of_hour(&self, series: Option<u32>, hour: u32, mut unpacked: Vec<Report>) -> Result<Vec<Report>, ReadError> {
        let Some(series) = series else { return Ok(unpacked) };
        if let Some(packed) = self.0.open_table(HISTORY_RAW)?.get((hour, series))? {
            let mut reports = codec::decode_reports(packed.value()).map_err(damaged)?;
            reports.append(&mut unpacked);
            unpacked = reports;
        }
        unpacked.sort_by_key(|(ticks, _)| *ticks);
        Ok(unpacked)
    }

    /// Reports in the log and those that are not in the store at all, by hour.
    fn unpacked(&self, series: Option<u32>, search: &HistorySearch) -> Result<BTreeMap<u32, Vec<Report>>, ReadError> {
        let mut found: BTreeMap<u32, Vec<Report>> = BTreeMap::new();
        if let Some(wanted) = series {
            let (first, last) = (block(search.from_ms, HOUR_MS), block(search.to_ms, HOUR_MS));
            if first <= last {
                for entry in self.0.open_table(HISTORY_LOG)?.range((first, 0)..=(last, u32::MAX))? {
                    let (key, value) = entry?;
                    let hour = key.value().0;
                    each_report(value.value(), |series, report| {
                        if series == wanted {
                            found.entry(hour).or_default().push(report);
                        }
                    });
                }
            }
        }
        for (at_ms, value) in search.fresh.iter().filter(|(at, _)| (search.from_ms..search.to_ms).contains(at)) {
            if let Some(reading) = Reading::of(value) {
                found.entry(block(*at_ms, HOUR_MS)).or_default().push((ticks(*at_ms, HOUR_MS), reading));
            }
        }
        found.values_mut().for_each(|reports| reports.sort_by_key(|(ticks, _)| *ticks));
        Ok(found)
    }

    /// The blocks of a grain that are there and have to do with the search.
    fn blocks(&self, grain: u8, search: &HistorySearch) -> Result<Vec<u32>, ReadError> {
        let length_ms = GRAINS[usize::from(grain)].2;
        let (first, last) = (block(search.from_ms, length_ms), block(search.to_ms, length_ms));
        let mut blocks = Vec::new();
        if first <= last {
            for entry in self.0.open_table(HISTORY_BLOCKS)?.range((grain, first)..=(grain, last))? {
                blocks.push(entry?.0.value().1);
            }
        }
        Ok(blocks)
    }
}

fn damaged(_: Damaged) -> ReadError {
    ReadError::Corrupt("a piece of the devices' history cannot be read".into())
}
