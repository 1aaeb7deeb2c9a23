//! How the history lies in the file and stays within its bounds. The log has one entry an hour and a save; a pack of an hour
//! is made when the hour is over. Keys begin with the time, so that what is written at one time lies together: a save touches
//! the end of the log and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};

use super::codec::{self, Input, Reading, Report};
use super::steps::{join, steps};
use super::{HISTORY_BYTES_MAX, KEY_BYTES_MAX, QUARTERS_MAX, RAW_HOURS_MAX, SERIES_MAX, SeriesPoints, WEEKS_MAX};
use crate::common::time::UnixMillis;
use crate::store::tables::{
    HISTORY_BLOCKS, HISTORY_FIVE_MINUTES, HISTORY_HOURS, HISTORY_LOG, HISTORY_RAW, HISTORY_SERIES, META,
    META_HISTORY_SERIES, meta,
};
use crate::store::writer::Batch;

/// A tick: times are kept to the tenth of a second.
pub(super) const TICK_MS: u64 = 100;

pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const FIVE_MINUTES_MS: u64 = 300_000;
pub(super) const QUARTER_MS: u64 = 6 * HOUR_MS;
pub(super) const WEEK_MS: u64 = 7 * 24 * HOUR_MS;

/// An hour is packed this long after its end: the save that has its last reports has come by then.
const LATE_MS: u64 = 90_000;

/// Entries of the log. Past it all of it is packed, whatever the hour: so it is where the clock stands still.
const LOG_LEN_MAX: u64 = 256;

/// Reports in memory at once while hours are packed.
const REPORTS_AT_ONCE: usize = 50_000;

/// Blocks of each grain that are kept however many bytes there are: a day, a week, all weeks.
const KEPT_AT_LEAST: [u64; 3] = [24, 28, WEEKS_MAX];

/// (block, series) → a pack.
pub(super) type Packs = TableDefinition<'static, (u32, u32), &'static [u8]>;

/// The grains: the number in the table of blocks, the packs, the length of a block, how many are kept.
pub(super) const GRAINS: [(u8, Packs, u64, u64); 3] = [
    (0, HISTORY_RAW, HOUR_MS, RAW_HOURS_MAX),
    (1, HISTORY_FIVE_MINUTES, QUARTER_MS, QUARTERS_MAX),
    (2, HISTORY_HOURS, WEEK_MS, WEEKS_MAX),
];

/// The block of a time; the year 2106 and all after are the last one... of an hour's length it is far beyond.
pub(super) fn block(at_ms: UnixMillis, length_ms: u64) -> u32 {
    u32::try_from(at_ms / length_ms).unwrap_or(u32::MAX)
}

pub(super) fn ticks(at_ms: UnixMillis, length_ms: u64) -> u32 {
    // A block is at most an hour: it fits by far.
    ((at_ms % length_ms) / TICK_MS) as u32
}

/// Writes reports to the log, and packs the hours that are over.
pub(super) fn add(batch: &Batch, series: &[SeriesPoints], now_ms: UnixMillis) -> Result<(), redb::Error> {
    let mut hours: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for SeriesPoints { device, property, points } in series {
        let points: Vec<_> = points.iter().filter_map(|(at, value)| Some((*at, Reading::of(value)?))).collect();
        if points.is_empty() {
            continue;
        }
        let Some(number) = series_number(batch, device, property)? else { continue };
        // Runs of one hour.
        for run in points.chunk_by(|(a, _), (b, _)| block(*a, HOUR_MS) == block(*b, HOUR_MS)) {
            let out = hours.entry(block(run[0].0, HOUR_MS)).or_default();
            codec::put(out, u64::from(number));
            codec::put(out, run.len() as u64);
            for (at_ms, reading) in run {
                codec::put_report(out, ticks(*at_ms, HOUR_MS), reading);
            }
        }
    }
    let mut log = batch.txn.open_table(HISTORY_LOG)?;
    for (hour, bytes) in hours {
        let last = log.range((hour, 0)..=(hour, u32::MAX))?.next_back().transpose()?;
        let number = last.map_or(0, |(key, _)| key.value().1.saturating_add(1));
        log.insert((hour, number), bytes.as_slice())?;
    }
    let is_long = log.len()? > LOG_LEN_MAX;
    let end = if is_long { u32::MAX } else { block(now_ms.saturating_sub(LATE_MS), HOUR_MS) };
    let mut over: BTreeSet<u32> = BTreeSet::new();
    for entry in log.range((0, 0)..(end, 0))? {
        over.insert(entry?.0.value().0);
    }
    drop(log);
    for hour in &over {
        pack(batch, *hour)?;
    }
    if !over.is_empty() {
        forget_the_oldest(batch, HISTORY_BYTES_MAX)?;
    }
    Ok(())
}

/// The number of a property; a new one is given where there is room.
fn series_number(batch: &Batch, device: &str, property: &str) -> Result<Option<u32>, redb::Error> {
    if device.is_empty() || device.len().max(property.len()) > KEY_BYTES_MAX || device.contains('\0') {
        return Ok(None);
    }
    let mut table = batch.txn.open_table(HISTORY_SERIES)?;
    if let Some(number) = table.get((device, property))?.map(|number| number.value()) {
        return Ok(Some(number));
    }
    if table.len()? >= SERIES_MAX {
        return Ok(None);
    }
    // A number is never given twice: what lies under an old one is not the new property's.
    let mut numbers = batch.txn.open_table(META)?;
    let number = meta(&numbers, META_HISTORY_SERIES)? + 1;
    let Ok(short) = u32::try_from(number) else { return Ok(None) };
    numbers.insert(META_HISTORY_SERIES, number)?;
    table.insert((device, property), short)?;
    Ok(Some(short))
}

/// Takes the reports of an hour out of the log and adds them to its packs and to the steps.
fn pack(batch: &Batch, hour: u32) -> Result<(), redb::Error> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    {
        let mut log = batch.txn.open_table(HISTORY_LOG)?;
        for entry in log.range((hour, 0)..=(hour, u32::MAX))? {
            entries.push(entry?.1.value().to_vec());
        }
        log.retain_in((hour, 0)..=(hour, u32::MAX), |_, _| false)?;
    }
    // How many reports each has, to take them in bites.
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for entry in &entries {
        each_report(entry, |series, _| *counts.entry(series).or_default() += 1);
    }
    let mut series = counts.into_iter().peekable();
    while let Some((first, count)) = series.next() {
        let (mut last, mut together) = (first, count);
        while let Some((next, _)) =
            series.next_if(|(_, count)| together + count <= REPORTS_AT_ONCE).inspect(|(_, count)| together += count)
        {
            last = next;
        }
        let mut reports: BTreeMap<u32, Vec<Report>> = BTreeMap::new();
        for entry in &entries {
            each_report(entry, |series, report| {
                if (first..=last).contains(&series) {
                    reports.entry(series).or_default().push(report);
                }
            });
        }
        for (series, reports) in reports {
            pack_series(batch, hour, series, reports)?;
        }
    }
    Ok(())
}

/// All reports of an entry of the log. One that is damaged ends there: the rest of it cannot be told apart.
pub(super) fn each_report(entry: &[u8], mut each: impl FnMut(u32, Report)) {
    let mut input = Input(entry);
    while !input.0.is_empty() {
        let (Ok(series), Ok(count)) = (input.small(), input.varint()) else { return };
        for _ in 0..count {
            let Ok(report) = input.report() else { return };
            each(series, report);
        }
    }
}

fn pack_series(batch: &Batch, hour: u32, series: u32, mut reports: Vec<Report>) -> Result<(), redb::Error> {
    {
        let raw = batch.txn.open_table(HISTORY_RAW)?;
        if let Some(packed) = raw.get((hour, series))? {
            let mut before = codec::decode_reports(packed.value()).unwrap_or_default();
            before.append(&mut reports);
            reports = before;
        }
    }
    // Those of one moment stay in the order in which they came.
    reports.sort_by_key(|(ticks, _)| *ticks);
    put_pack(batch, GRAINS[0], hour, series, &codec::encode_reports(&reports))?;
    let of_hour = u64::from(hour) * HOUR_MS;
    for (grain, step_ms) in [(GRAINS[1], FIVE_MINUTES_MS), (GRAINS[2], HOUR_MS)] {
        let (_, packs, length_ms, _) = grain;
        let new = steps(&reports, (step_ms / TICK_MS) as u32);
        let place = block(of_hour, length_ms);
        let first = ((of_hour % length_ms) / step_ms) as u32;
        let after = first + (HOUR_MS / step_ms) as u32;
        let old = {
            let table = batch.txn.open_table(packs)?;
            let packed = table.get((place, series))?;
            packed.map(|packed| codec::decode_steps(packed.value()).unwrap_or_default()).unwrap_or_default()
        };
        let mut all = Vec::new();
        let (before, later): (Vec<_>, Vec<_>) =
            old.into_iter().filter(|step| !(first..after).contains(&step.index)).partition(|step| step.index < first);
        let new = new.into_iter().map(|step| codec::Step { index: first + step.index, ..step });
        before.into_iter().chain(new).chain(later).for_each(|step| join(&mut all, step));
        put_pack(batch, grain, place, series, &codec::encode_steps(&all))?;
    }
    Ok(())
}

/// Bytes of a pack beside its value: its key.
const PACK_KEY_BYTES: u64 = 8;

fn put_pack(
    batch: &Batch,
    (grain, packs, ..): (u8, Packs, u64, u64),
    place: u32,
    series: u32,
    pack: &[u8],
) -> Result<(), redb::Error> {
    let before = {
        let mut table = batch.txn.open_table(packs)?;
        let before = table.insert((place, series), pack)?;
        before.map_or(0, |before| before.value().len() as u64 + PACK_KEY_BYTES)
    };
    let mut blocks = batch.txn.open_table(HISTORY_BLOCKS)?;
    let bytes = blocks.get((grain, place))?.map_or(0, |bytes| bytes.value());
    blocks.insert((grain, place), (bytes + pack.len() as u64 + PACK_KEY_BYTES).saturating_sub(before))?;
    Ok(())
}

/// Drops the oldest blocks of each grain past their number, and of all past their bytes. They are counted and not measured
/// from today: a clock that was wrong for an hour costs an hour.
pub(super) fn forget_the_oldest(batch: &Batch, bytes_max: u64) -> Result<(), redb::Error> {
    let mut all: [BTreeMap<u32, u64>; 3] = Default::default();
    for entry in batch.txn.open_table(HISTORY_BLOCKS)?.iter()? {
        let (key, bytes) = entry?;
        let (grain, place) = key.value();
        if let Some(blocks) = all.get_mut(usize::from(grain)) {
            blocks.insert(place, bytes.value());
        }
    }
    for (blocks, (grain, packs, _, kept)) in all.iter_mut().zip(GRAINS) {
        while blocks.len() as u64 > kept {
            drop_oldest(batch, grain, packs, blocks)?;
        }
    }
    let bytes = |all: &[BTreeMap<u32, u64>; 3]| all.iter().flat_map(BTreeMap::values).sum::<u64>();
    while bytes(&all) > bytes_max {
        // The finest first; when each has only what it must have, a month of years is given up.
        let spare = all.iter().zip(KEPT_AT_LEAST).position(|(blocks, least)| blocks.len() as u64 > least);
        let largest = (0..all.len()).max_by_key(|at| all[*at].values().sum::<u64>()).unwrap_or(0);
        let at = spare.unwrap_or(largest);
        if all[at].is_empty() {
            break;
        }
        drop_oldest(batch, GRAINS[at].0, GRAINS[at].1, &mut all[at])?;
    }
    Ok(())
}

fn drop_oldest(batch: &Batch, grain: u8, packs: Packs, blocks: &mut BTreeMap<u32, u64>) -> Result<(), redb::Error> {
    let Some((place, _)) = blocks.pop_first() else { return Ok(()) };
    batch.txn.open_table(packs)?.retain_in((place, 0)..=(place, u32::MAX), |_, _| false)?;
    batch.txn.open_table(HISTORY_BLOCKS)?.remove((grain, place))?;
    Ok(())
}
