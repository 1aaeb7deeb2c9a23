//! What is written of the house now and then, and read at the start: names that it gave, devices as they were, history. Owns
//! no rhythm; that is `run`'s.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::house::{Home, Remembered};
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
/// One after the other: all at once they would take several times what the house makes of them.
pub(super) async fn memories(store: &Store) -> Result<impl Iterator<Item = Remembered>, ReadError> {
    let memories = store.device_memories().await?;
    let read = |memory: DeviceMemory| {
        let Kept { backend, mut info } = serde_json::from_slice(&memory.info).ok()?;
        if let Some(values) = memory.state.and_then(|state| serde_json::from_slice::<Values>(&state).ok()) {
            (info.state, info.last_seen_ms) = (values.state, values.last_seen_ms);
        }
        Some(Remembered { backend, info })
    };
    Ok(memories.into_iter().filter_map(read))
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
    let points = shared.with(Home::take_points);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::common::who::{Door, Principal};
    use crate::home::source::Backend;
    use crate::home::testing::{Script, bulb, fields, id, lock};
    use crate::home::{Heard, Keeper, Targets, Wish};
    use crate::store::Store;

    /// A copy of the open file stands for what a kill leaves.
    #[tokio::test]
    async fn what_was_written_outlives_a_kill_and_what_was_only_wished_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, left) = (folder.path().join("hearth.redb"), folder.path().join("left.redb"));
        let source = Script::new(Backend::Simulated);
        let keeper = Keeper::start(Store::open(&path).expect("a store"), vec![source.clone()]).await.expect("a house");
        let mut news = keeper.subscribe();
        source.begin(vec![bulb("0x1")]).await;
        source.state("0x1", json!({ "state": "OFF", "brightness": 40 })).await;
        while keeper.devices().first().is_none_or(|bulb| bulb.state.is_empty()) {
            assert!(matches!(news.recv().await, Heard::News(_)));
        }
        lock(&source.slow).insert(id("0x1"), std::time::Duration::from_secs(600));
        let wish = Wish { targets: Targets::Named(vec!["0x1".into()]), set: fields(json!({ "state": "ON" })) };
        let asking = keeper.clone();
        tokio::spawn(async move { asking.set(&Principal::house(Door::Hub), wish, |_, _, _| {}).await });
        while keeper.devices()[0].desired.is_empty() {
            news.recv().await;
        }
        super::rest(&keeper.0, 1_000).await;
        std::fs::copy(&path, &left).expect("a copy");

        let source = Script::new(Backend::Simulated);
        let keeper = Keeper::start(Store::open(&left).expect("whole"), vec![source.clone()]).await.expect("a house");
        let bulb = &keeper.devices()[0];
        assert_eq!(bulb.state, fields(json!({ "state": "OFF", "brightness": 40 })), "as it last said");
        assert_eq!((bulb.available, bulb.desired.len()), (None, 0), "nobody knows, and nobody claims");
    }
}
