//! The documents of the Zigbee network in the store: what was known of the network and of each device, and who writes them. They
//! hold the network's key, and are shown to nobody.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::common::time::UnixMillis;
use crate::store::{Store, ZigbeeBackup, ZigbeeChange, ZigbeeSaved};
use crate::zigbee::ncp::Persisted;
use crate::zigbee::network::Persist;
use crate::zigbee::types::{Channel, Ieee, Key};

/// Changes that wait for the disk. Where there are more, whoever tells them waits.
const WAITING_MAX: usize = 1024;

/// Changes in one write.
const BATCH_MAX: usize = 256;

/// The network's document.
#[derive(Serialize, Deserialize)]
struct NetworkRecord {
    coordinator: Ieee,
    pan_id: u16,
    extended_pan_id: Ieee,
    channel: Channel,
    /// 32 hexadecimal digits.
    key: String,
    #[serde(default)]
    backup: Option<Box<RawValue>>,
}

/// The error is for the owner: without the network's document nobody could tell the stick's network from another.
pub fn known(saved: &ZigbeeSaved) -> Result<Option<Persisted>, Box<str>> {
    let Some(bytes) = &saved.network else { return Ok(None) };
    let known = network(bytes).ok_or("what was kept of the Zigbee network is damaged; restore a backup")?;
    Ok(Some(known))
}

/// What was kept of the devices, one after the other: all at once they would take several times what they are made into.
pub fn documents(saved: &ZigbeeSaved) -> impl Iterator<Item = Value> + '_ {
    saved.devices.iter().filter_map(|(id, bytes)| {
        serde_json::from_slice(bytes)
            // It is asked anew when it is heard of.
            .inspect_err(|error| tracing::warn!(%id, %error, "a device's document is damaged"))
            .ok()
    })
}

fn network(bytes: &[u8]) -> Option<Persisted> {
    let record: NetworkRecord = serde_json::from_slice(bytes).ok()?;
    let key = u128::from_str_radix(&record.key, 16).ok().filter(|_| record.key.len() == 32)?.to_be_bytes();
    let NetworkRecord { coordinator, pan_id, extended_pan_id, channel, backup, .. } = record;
    let backup = backup.map(|backup| backup.get().into());
    Some(Persisted { coordinator, pan_id, extended_pan_id, channel, key: Key(key), backup })
}

fn network_bytes(persisted: &Persisted) -> Vec<u8> {
    let record = NetworkRecord {
        coordinator: persisted.coordinator,
        pan_id: persisted.pan_id,
        extended_pan_id: persisted.extended_pan_id,
        channel: persisted.channel,
        key: format!("{:032x}", u128::from_be_bytes(persisted.key.0)),
        backup: persisted.backup.as_deref().and_then(raw),
    };
    serde_json::to_vec(&record).expect("all keys of a record are strings")
}

/// `None`: it is no JSON, which the host does not give.
fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}

/// Writes what changes, in order, apart from those who wait for answers.
pub struct Writer {
    changes: mpsc::Sender<ZigbeeChange>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Ends when this is dropped and all is written.
    pub fn start(store: Store) -> Writer {
        let (changes, mut inbox) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            let mut batch = Vec::new();
            while inbox.recv_many(&mut batch, BATCH_MAX).await > 0 {
                if let Err(error) = store.save_zigbee(std::mem::take(&mut batch)).await {
                    tracing::error!(%error, "what changed in the Zigbee network is not on the disk");
                }
            }
        });
        Writer { changes, task }
    }

    pub async fn write(&self, persist: Persist, at_ms: UnixMillis) {
        for change in changes(&persist, at_ms) {
            // It ends only with its channel.
            let _ = self.changes.send(change).await;
        }
    }

    /// Comes back when everything is on the disk.
    pub async fn finish(self) {
        drop(self.changes);
        // A panic was told by the panic hook.
        let _ = self.task.await;
    }
}

fn changes(persist: &Persist, at_ms: UnixMillis) -> Vec<ZigbeeChange> {
    match persist {
        Persist::Network(persisted) => {
            let backup = persisted.backup.as_ref().map(|backup| {
                let document = backup.as_bytes().to_vec();
                ZigbeeChange::Backup(ZigbeeBackup { at_ms, document })
            });
            [Some(ZigbeeChange::Network(Some(network_bytes(persisted)))), backup].into_iter().flatten().collect()
        }
        Persist::Device { ieee, document } => {
            let document = serde_json::to_vec(document).expect("all keys of a document are strings");
            vec![ZigbeeChange::Device(ieee.to_string().into(), Some(document))]
        }
        Persist::Forget { ieee } => vec![ZigbeeChange::Device(ieee.to_string().into(), None)],
        Persist::ForgetAll => vec![ZigbeeChange::NoDevices],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persisted() -> Persisted {
        let backup = Some(r#"{"metadata":{"format":"zigpy/open-coordinator-backup"}}"#.into());
        let (coordinator, extended_pan_id) = (Ieee(0x0012_4b00_14d9_a1b2), Ieee(0xdddd));
        Persisted { coordinator, pan_id: 0x1a62, extended_pan_id, channel: Channel(15), key: Key([7; 16]), backup }
    }

    #[test]
    fn the_network_is_read_as_it_was_written() {
        let changes = changes(&Persist::Network(Box::new(persisted())), 5);
        let [ZigbeeChange::Network(Some(bytes)), ZigbeeChange::Backup(backup)] = &changes[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(backup.at_ms, 5);
        let saved = ZigbeeSaved { network: Some(bytes.clone()), devices: vec![("0x1".into(), b"{".to_vec())] };
        assert_eq!(known(&saved), Ok(Some(persisted())));
        assert_eq!(documents(&saved).count(), 0, "a damaged device is left out, and the others stay");
    }

    #[test]
    fn a_damaged_network_is_refused() {
        for bytes in [&b"{}"[..], b"", br#"{"coordinator":"0x0000000000000001","pan_id":1,"extended_pan_id":"0x0000000000000001","channel":15,"key":"1"}"#] {
            let saved = ZigbeeSaved { network: Some(bytes.to_vec()), devices: Vec::new() };
            assert!(known(&saved).is_err());
        }
    }
}
