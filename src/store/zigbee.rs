//! What the Zigbee stack wants to find again: its network, its devices, and backups of the network. Documents in the stack's
//! own words, which nobody here reads. They hold the network's key: they have no public form, are in no list and no log, and
//! leave the hub only where an owner asks for a backup.

use std::fmt;

use redb::{ReadableTable, ReadableTableMetadata};

use super::feed::Kind;
use super::tables::{ZIGBEE, ZIGBEE_BACKUPS};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, WriteError};
use crate::common::time::UnixMillis;

/// Backups kept: a week of daily ones and the last few changes of the network.
pub const ZIGBEE_BACKUPS_MAX: u64 = 16;

/// The longest document, bytes: a backup names all its devices with their keys, some 200 bytes each.
pub const ZIGBEE_DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Devices of one network: more than any stick holds.
const DEVICES_MAX: u64 = 2_048;

/// The longest name of a device's document, bytes.
const ID_BYTES_MAX: usize = 64;

const NETWORK: &str = "network";
const DEVICE: &str = "device/";

/// One thing to be written. Some at once are written in one transaction: all or nothing.
#[derive(Clone, PartialEq, Eq)]
pub enum ZigbeeChange {
    /// `None`: forget it.
    Network(Option<Vec<u8>>),
    /// The document of the device with this id; `None`: forget it.
    Device(Box<str>, Option<Vec<u8>>),
    /// Forget all devices, before those that follow.
    NoDevices,
    /// One more backup; the oldest goes where there are [`ZIGBEE_BACKUPS_MAX`].
    Backup(ZigbeeBackup),
}

/// A backup in the open coordinator backup format, and when it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct ZigbeeBackup {
    pub at_ms: UnixMillis,
    pub document: Vec<u8>,
}

/// All that was written, without the backups.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ZigbeeSaved {
    pub network: Option<Vec<u8>>,
    /// By id.
    pub devices: Vec<(Box<str>, Vec<u8>)>,
}

impl Store {
    /// Writes these, and answers when they are on the disk.
    pub async fn save_zigbee(&self, changes: Vec<ZigbeeChange>) -> Result<(), WriteError> {
        changes.iter().try_for_each(ZigbeeChange::check)?;
        let bytes = changes.iter().map(ZigbeeChange::len).sum();
        self.write(bytes, move |batch| save(batch, &changes)).await
    }

    /// The same for what may wait a moment for the company of another write.
    pub async fn save_zigbee_by_and_by(&self, changes: Vec<ZigbeeChange>) -> Result<(), WriteError> {
        changes.iter().try_for_each(ZigbeeChange::check)?;
        let bytes = changes.iter().map(ZigbeeChange::len).sum();
        self.accompany(bytes, move |batch| save(batch, &changes)).await
    }

    /// See [`Snapshot::zigbee`].
    pub async fn zigbee(&self) -> Result<ZigbeeSaved, ReadError> {
        self.read(Snapshot::zigbee).await
    }

    /// See [`Snapshot::zigbee_backups`].
    pub async fn zigbee_backups(&self) -> Result<Vec<ZigbeeBackup>, ReadError> {
        self.read(Snapshot::zigbee_backups).await
    }
}

impl Snapshot {
    /// The network and its devices.
    pub fn zigbee(&self) -> Result<ZigbeeSaved, ReadError> {
        let mut saved = ZigbeeSaved::default();
        for entry in self.0.open_table(ZIGBEE)?.range::<&str>(..)? {
            let (key, value) = entry?;
            match key.value().strip_prefix(DEVICE) {
                Some(id) => saved.devices.push((id.into(), value.value().to_vec())),
                None => saved.network = Some(value.value().to_vec()),
            }
        }
        Ok(saved)
    }

    /// The backups, the newest first.
    pub fn zigbee_backups(&self) -> Result<Vec<ZigbeeBackup>, ReadError> {
        let mut backups = Vec::new();
        for entry in self.0.open_table(ZIGBEE_BACKUPS)?.range::<u64>(..)?.rev() {
            let (at_ms, document) = entry?;
            backups.push(ZigbeeBackup { at_ms: at_ms.value(), document: document.value().to_vec() });
        }
        Ok(backups)
    }
}

impl ZigbeeChange {
    fn len(&self) -> usize {
        match self {
            ZigbeeChange::Network(document) => document.as_ref().map_or(0, Vec::len),
            ZigbeeChange::Device(id, document) => id.len() + document.as_ref().map_or(0, Vec::len),
            ZigbeeChange::NoDevices => 0,
            ZigbeeChange::Backup(backup) => backup.document.len(),
        }
    }

    fn check(&self) -> Result<(), WriteError> {
        match self {
            ZigbeeChange::Device(id, _) if !(1..=ID_BYTES_MAX).contains(&id.len()) => {
                Err(WriteError::Invalid(format!("a device's id has 1 to {ID_BYTES_MAX} bytes")))
            }
            _ if self.len() > ZIGBEE_DOCUMENT_BYTES_MAX => {
                let (size, max) = (self.len(), ZIGBEE_DOCUMENT_BYTES_MAX);
                Err(WriteError::TooLarge { what: "a document of the Zigbee network", size, max })
            }
            _ => Ok(()),
        }
    }
}

fn save(batch: &mut Batch, changes: &[ZigbeeChange]) -> Result<Result<(), WriteError>, redb::Error> {
    for change in changes {
        let key = match change {
            ZigbeeChange::Network(document) => {
                put(batch, NETWORK, document.as_deref())?;
                NETWORK.into()
            }
            ZigbeeChange::Device(id, document) => {
                let key = format!("{DEVICE}{id}");
                put(batch, &key, document.as_deref())?;
                key
            }
            ZigbeeChange::NoDevices => {
                // `0` follows `/`: all keys that begin with `device/`.
                batch.txn.open_table(ZIGBEE)?.retain_in::<&str, _>(DEVICE.."device0", |_, _| false)?;
                DEVICE.into()
            }
            ZigbeeChange::Backup(backup) => {
                let mut table = batch.txn.open_table(ZIGBEE_BACKUPS)?;
                table.insert(backup.at_ms, backup.document.as_slice())?;
                while table.len()? > ZIGBEE_BACKUPS_MAX {
                    // Not the one just made, should the clock have gone back.
                    let mut all = table.iter()?.map(|entry| entry.map(|entry| entry.0.value()));
                    let Some(oldest) = all.find(|at| !matches!(at, Ok(at) if *at == backup.at_ms)) else {
                        break;
                    };
                    drop(all);
                    table.remove(oldest?)?;
                }
                "backup".into()
            }
        };
        batch.changed(Kind::Zigbee, &key);
    }
    if batch.txn.open_table(ZIGBEE)?.len()? > DEVICES_MAX + 1 {
        // Written by nobody but the stack, which has fewer.
        return Ok(Err(WriteError::Invalid(format!("there are {DEVICES_MAX} devices already"))));
    }
    Ok(Ok(()))
}

fn put(batch: &Batch, key: &str, document: Option<&[u8]>) -> Result<(), redb::Error> {
    let mut table = batch.txn.open_table(ZIGBEE)?;
    match document {
        Some(document) => table.insert(key, document)?,
        None => table.remove(key)?,
    };
    Ok(())
}

// Without their documents: they hold the network's key.
impl fmt::Debug for ZigbeeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZigbeeChange::Network(document) => write!(f, "Network({} bytes)", document.as_ref().map_or(0, Vec::len)),
            ZigbeeChange::Device(id, document) => {
                write!(f, "Device({id}, {} bytes)", document.as_ref().map_or(0, Vec::len))
            }
            ZigbeeChange::NoDevices => f.write_str("NoDevices"),
            ZigbeeChange::Backup(backup) => backup.fmt(f),
        }
    }
}

impl fmt::Debug for ZigbeeBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backup(of {}, {} bytes)", self.at_ms, self.document.len())
    }
}

impl fmt::Debug for ZigbeeSaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.network.as_ref().map_or(0, Vec::len);
        write!(f, "Saved({length} bytes, {} devices)", self.devices.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn documents_come_back_byte_for_byte_and_all_of_a_save_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hearth.redb");
        let store = Store::open(&path).expect("a store");
        let device = |id: &str, document: Option<&[u8]>| ZigbeeChange::Device(id.into(), document.map(<[u8]>::to_vec));
        let first =
            vec![ZigbeeChange::Network(Some(b"net".to_vec())), device("0x1", Some(b"a")), device("0x2", Some(b"b"))];
        store.save_zigbee(first).await.expect("room");
        store.save_zigbee_by_and_by(vec![device("0x1", None)]).await.expect("room");
        assert!(store.clone().close().await);
        let store = Store::open(&path).expect("a store");
        let expected = ZigbeeSaved { network: Some(b"net".to_vec()), devices: vec![("0x2".into(), b"b".to_vec())] };
        assert_eq!(store.zigbee().await.expect("readable"), expected);
        let large =
            vec![device("0x3", Some(b"c")), ZigbeeChange::Network(Some(vec![0; ZIGBEE_DOCUMENT_BYTES_MAX + 1]))];
        assert!(matches!(store.save_zigbee(large).await, Err(WriteError::TooLarge { .. })));
        assert_eq!(store.zigbee().await.expect("readable"), expected);
        store.save_zigbee(vec![ZigbeeChange::NoDevices, device("0x9", Some(b"z"))]).await.expect("room");
        let saved = store.zigbee().await.expect("readable");
        assert_eq!((saved.network.as_deref(), saved.devices), (Some(&b"net"[..]), vec![("0x9".into(), b"z".to_vec())]));
    }

    #[tokio::test]
    async fn the_newest_backups_are_kept_even_by_a_clock_that_went_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        for at_ms in (100..100 + ZIGBEE_BACKUPS_MAX + 3).chain([7]) {
            let backup = ZigbeeBackup { at_ms, document: at_ms.to_string().into() };
            store.save_zigbee(vec![ZigbeeChange::Backup(backup)]).await.expect("room");
        }
        let kept = store.zigbee_backups().await.expect("readable");
        assert_eq!(kept.len() as u64, ZIGBEE_BACKUPS_MAX);
        assert_eq!((kept[0].at_ms, kept.last().expect("some").at_ms), (102 + ZIGBEE_BACKUPS_MAX, 7));
        assert_eq!(kept[0].document, kept[0].at_ms.to_string().into_bytes());
    }

    #[test]
    fn the_key_is_in_no_log() {
        let said = format!(
            "{:?} {:?} {:?} {:?}",
            ZigbeeChange::Network(Some(b"secret".to_vec())),
            ZigbeeChange::Device("0x1".into(), Some(b"secret".to_vec())),
            ZigbeeChange::Backup(ZigbeeBackup { at_ms: 1, document: b"secret".to_vec() }),
            ZigbeeSaved { network: Some(b"secret".to_vec()), devices: vec![("0x1".into(), b"secret".to_vec())] },
        );
        assert!(!said.contains("secret") && !said.contains("115"), "{said}");
    }
}
