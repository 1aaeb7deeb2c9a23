//! What is written of the house now and then, and read at the start: names that it gave, devices as they were, history. Owns
//! no rhythm; that is `run`'s.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::house::Remembered;
use super::shared::Shared;
use super::source::{Backend, DeviceInfo};
use crate::common::time::UnixMillis;
use crate::store::{DeviceMemory, DeviceRecord, HouseSave, ReadError, SeriesPoints, Store};

/// A device but for its values: it changes hardly ever.
#[derive(Serialize, Deserialize)]
struct Kept {
    backend: Backend,
    info: DeviceInfo,
}

/// A device's values: they change all the time.
#[derive(Serialize, Deserialize)]
struct Values {
    state: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen_ms: Option<UnixMillis>,
}

/// Devices as they were. What cannot be read is left out: its source tells of it again.
pub(super) async fn memories(store: &Store) -> Result<Vec<Remembered>, ReadError> {
    let memories = store.device_memories().await?;
    let read = |memory: DeviceMemory| {
        let Kept { backend, mut info } = serde_json::from_slice(&memory.info).ok()?;
        if let Some(values) = memory.state.and_then(|state| serde_json::from_slice::<Values>(&state).ok()) {
            (info.state, info.last_seen_ms) = (values.state, values.last_seen_ms);
        }
        Some(Remembered { backend, info })
    };
    Ok(memories.into_iter().filter_map(read).collect())
}

/// Writes the names that the house gave; false where the disk failed, and they wait on.
pub(super) async fn records(shared: &Arc<Shared>) -> bool {
    let _turn = shared.edits.lock().await;
    let unsaved: Vec<_> = shared.with(|home| {
        let ids = std::mem::take(&mut home.unsaved.records);
        ids.into_iter().map(|id| (home.record(&id).map(|record| (**record).clone()), id)).collect()
    });
    let mut all_written = true;
    for (record, id) in unsaved {
        let written = match record {
            Some(record) => shared.store.put(record, None).await.map(Some),
            None => shared.store.delete::<DeviceRecord>(&id, None).await.map(|_| None),
        };
        match written {
            Ok(record) => shared.with(|home| match home.record(&id) {
                // Another name was given meanwhile, which waits to be written itself.
                Some(_) if home.unsaved.records.contains(&id) => {}
                _ => home.apply_record(&id, record),
            }),
            Err(error) => {
                tracing::warn!(%error, device = %id, "the name of a device was not written");
                all_written = false;
                shared.with(|home| home.unsaved.records.insert(id));
            }
        }
    }
    all_written
}

/// Writes states and history.
pub(super) async fn rest(shared: &Arc<Shared>, now_ms: UnixMillis) {
    let (save, ids) = shared.with(|home| {
        let infos = std::mem::take(&mut home.unsaved.infos);
        let states = std::mem::take(&mut home.unsaved.states);
        let mut save = HouseSave { now_ms, ..HouseSave::default() };
        for id in &infos {
            let kept = home.remembered(id).map(|Remembered { backend, info }| {
                json(&Kept { backend, info: DeviceInfo { state: Map::new(), last_seen_ms: None, ..info } })
            });
            save.infos.push((id.0.clone(), kept));
        }
        for id in &states {
            let values = home
                .device(id)
                .map(|device| json(&Values { state: device.state.clone(), last_seen_ms: device.last_seen_ms }));
            save.states.push((id.0.clone(), values));
        }
        (save, (infos, states))
    });
    let points = shared.with(|home| home.recorder.take());
    let save = HouseSave {
        series: points
            .iter()
            .map(|one| SeriesPoints {
                device: one.device.0.clone(),
                property: one.property.clone(),
                points: one.points.clone(),
            })
            .collect(),
        ..save
    };
    if let Err(error) = shared.store.save_house(save).await {
        tracing::warn!(%error, "the newest values of the devices were not written");
        shared.with(|home| {
            home.unsaved.infos.extend(ids.0);
            home.unsaved.states.extend(ids.1);
            home.recorder.put_back(points);
        });
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("devices have text keys and finite numbers")
}
