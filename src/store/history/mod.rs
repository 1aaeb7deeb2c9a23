//! What the devices of the house were: their newest values, and their history in three grains. Reports are written once a
//! minute into a log; hours that are over are taken from it, packed, and added up into steps of five minutes and of an hour.
//! Knows no device: properties are text. `docs/STORE.md` has the layout and the figures.

mod codec;
mod keep;
mod query;
mod steps;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::feed::Kind;
use super::tables::{DEVICE_INFOS, DEVICE_STATES, HISTORY_BLOCKS, HISTORY_SERIES};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, WriteError};
use crate::common::time::UnixMillis;

pub use query::{HistoryPage, HistorySearch, HistoryStep};

/// Bytes of the history. It is read whole at a start like the rest of the file.
pub const HISTORY_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// Hours of reports that are kept: a week in which something was reported each hour.
pub const RAW_HOURS_MAX: u64 = 7 * 24;

/// Quarters of days with steps of five minutes: 90 days.
pub const QUARTERS_MAX: u64 = 90 * 4;

/// Weeks with steps of an hour: two years.
pub const WEEKS_MAX: u64 = 105;

/// Properties with a history, of all devices. Past it those that are new have none.
pub const SERIES_MAX: u64 = 16_384;

/// The longest name of a device or a property here, bytes.
const KEY_BYTES_MAX: usize = 128;

/// One save: what is new since the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HouseSave {
    /// The time of the house's clock.
    pub now_ms: UnixMillis,
    /// What devices are, in the house's own words; `None`: it is gone.
    pub infos: Vec<(Box<str>, Option<Vec<u8>>)>,
    /// The newest values of devices, in the house's own words.
    pub states: Vec<(Box<str>, Option<Vec<u8>>)>,
    /// What they reported.
    pub series: Vec<SeriesPoints>,
}

/// What one property of one device was, by arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPoints {
    pub device: Box<str>,
    pub property: Box<str>,
    /// Numbers, words, yes and no; others are left out.
    pub points: Vec<(UnixMillis, Value)>,
}

/// A device as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMemory {
    pub id: Box<str>,
    pub info: Vec<u8>,
    pub state: Option<Vec<u8>>,
}

impl Store {
    /// Writes what is new of the house's devices, in one commit that others may share.
    pub async fn save_house(&self, save: HouseSave) -> Result<(), WriteError> {
        if save.is_empty() {
            return Ok(());
        }
        let bytes = save.len();
        self.accompany(bytes, move |batch| {
            write_memories(batch, &save)?;
            keep::add(batch, &save.series, save.now_ms)?;
            batch.changed(Kind::DeviceHistory, "");
            Ok(Ok(()))
        })
        .await
    }

    /// Forgets what a device was. What it reported lies there without a name until it is old.
    pub async fn forget_device(&self, id: &str) -> Result<(), WriteError> {
        let id = id.to_owned();
        self.write(id.len(), move |batch| {
            batch.txn.open_table(DEVICE_INFOS)?.remove(id.as_str())?;
            batch.txn.open_table(DEVICE_STATES)?.remove(id.as_str())?;
            // A zero byte follows no name: all properties of this device.
            let end = format!("{id}\0");
            batch.txn.open_table(HISTORY_SERIES)?.retain_in((id.as_str(), "")..(end.as_str(), ""), |_, _| false)?;
            batch.deleted(Kind::DeviceHistory, &id);
            Ok(Ok(()))
        })
        .await
    }

    /// See [`Snapshot::device_memories`].
    pub async fn device_memories(&self) -> Result<Vec<DeviceMemory>, ReadError> {
        self.read(Snapshot::device_memories).await
    }

    /// See [`Snapshot::history_bytes`].
    pub async fn history_bytes(&self) -> Result<[u64; 3], ReadError> {
        self.read(Snapshot::history_bytes).await
    }

    /// See [`Snapshot::device_history`].
    pub async fn device_history(&self, search: HistorySearch) -> Result<HistoryPage, ReadError> {
        self.read(move |snapshot| snapshot.device_history(&search)).await
    }
}

impl Snapshot {
    /// All devices as they were written, by id.
    pub fn device_memories(&self) -> Result<Vec<DeviceMemory>, ReadError> {
        let states = self.0.open_table(DEVICE_STATES)?;
        let mut memories = Vec::new();
        for entry in self.0.open_table(DEVICE_INFOS)?.range::<&str>(..)? {
            let (id, info) = entry?;
            let state = states.get(id.value())?.map(|state| state.value().to_vec());
            memories.push(DeviceMemory { id: id.value().into(), info: info.value().to_vec(), state });
        }
        Ok(memories)
    }
}

impl Snapshot {
    /// Bytes of the history: of reports, of steps of five minutes, of hours; without what waits to be packed.
    pub fn history_bytes(&self) -> Result<[u64; 3], ReadError> {
        let mut grains = [0; 3];
        for entry in self.0.open_table(HISTORY_BLOCKS)?.range::<(u8, u32)>(..)? {
            let (key, bytes) = entry?;
            if let Some(grain) = grains.get_mut(usize::from(key.value().0)) {
                *grain += bytes.value();
            }
        }
        Ok(grains)
    }
}

impl HouseSave {
    fn is_empty(&self) -> bool {
        self.infos.is_empty() && self.states.is_empty() && self.series.is_empty()
    }

    fn len(&self) -> usize {
        let document = |(id, bytes): &(Box<str>, Option<Vec<u8>>)| id.len() + bytes.as_ref().map_or(0, Vec::len);
        let points = |one: &SeriesPoints| one.points.len() * 8;
        self.infos.iter().chain(&self.states).map(document).sum::<usize>()
            + self.series.iter().map(points).sum::<usize>()
    }
}

/// Whether an entry of the log can be read.
pub(super) fn is_log(entry: &[u8]) -> bool {
    let mut input = codec::Input(entry);
    while !input.0.is_empty() {
        let (Ok(_series), Ok(count)) = (input.varint(), input.varint()) else { return false };
        if !(0..count).all(|_| input.report().is_ok()) {
            return false;
        }
    }
    true
}

/// Whether a pack of reports can be read.
pub(super) fn is_reports(pack: &[u8]) -> bool {
    codec::decode_reports(pack).is_ok()
}

/// Whether a pack of steps can be read.
pub(super) fn is_steps(pack: &[u8]) -> bool {
    codec::decode_steps(pack).is_ok()
}

fn write_memories(batch: &Batch, save: &HouseSave) -> Result<(), redb::Error> {
    for (table, documents) in [(DEVICE_INFOS, &save.infos), (DEVICE_STATES, &save.states)] {
        let mut table = batch.txn.open_table(table)?;
        for (id, document) in documents.iter().filter(|(id, _)| (1..=KEY_BYTES_MAX).contains(&id.len())) {
            match document {
                Some(document) => table.insert(&**id, document.as_slice())?,
                None => table.remove(&**id)?,
            };
        }
    }
    Ok(())
}
