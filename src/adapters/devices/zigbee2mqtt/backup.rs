//! Zigbee2MQTT's backup: a ZIP archive (APPNOTE 6.3) of its data folder in base64, of which the hub wants one file, the
//! coordinator's backup in the open format. Every offset and length in it is taken for a lie until it fits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::inflate::inflate;

/// The file of a coordinator's backup within the archive.
const FILE: &str = "coordinator_backup.json";

/// Bytes of that file: some 300 for each device.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Files of the archive that are looked at; the folder holds logs of many days at worst.
const ENTRIES_MAX: usize = 10_000;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// Bytes of the records without what they name.
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// Methods.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The backup, of the archive in base64. The error is for the owner.
pub fn coordinator_backup(zip: &str) -> Result<Value, &'static str> {
    let zip = STANDARD.decode(zip).map_err(|_| "it is no base64")?;
    let file = file(&zip, FILE)?.ok_or("there is no coordinator_backup.json in it; not every adapter can make one")?;
    serde_json::from_slice(&file).map_err(|_| "its coordinator_backup.json is no JSON")
}

/// A file of the archive by its name; `None`: there is none.
fn file(zip: &[u8], name: &str) -> Result<Option<Vec<u8>>, &'static str> {
    const BROKEN: &str = "it is no whole ZIP archive";
    // The end is the last thing in it, before a comment of at most 65,535 bytes.
    let from = zip.len().saturating_sub(END_BYTES + usize::from(u16::MAX));
    let end = zip[from..].windows(END.len()).rposition(|at| at == END).ok_or(BROKEN)? + from;
    let (count, mut at) = (short(zip, end + 10).ok_or(BROKEN)?, long(zip, end + 16).ok_or(BROKEN)?);
    for _ in 0..usize::from(count).min(ENTRIES_MAX) {
        if zip.get(at..at + 4) != Some(&CENTRAL) {
            return Err(BROKEN);
        }
        let lengths = [28, 30, 32].map(|offset| short(zip, at + offset));
        let [Some(name_len), Some(extra_len), Some(comment_len)] = lengths.map(|len| len.map(usize::from)) else {
            return Err(BROKEN);
        };
        let found = zip.get(at + CENTRAL_BYTES..at + CENTRAL_BYTES + name_len).ok_or(BROKEN)?;
        if found == name.as_bytes() {
            return content(zip, at).ok_or(BROKEN).map(Some);
        }
        at += CENTRAL_BYTES + name_len + extra_len + comment_len;
    }
    Ok(None)
}

/// What an entry of the central directory holds.
fn content(zip: &[u8], entry: usize) -> Option<Vec<u8>> {
    let (method, packed_len, local) = (short(zip, entry + 10)?, long(zip, entry + 20)?, long(zip, entry + 42)?);
    if zip.get(local..local.checked_add(4)?)? != LOCAL {
        return None;
    }
    let names = usize::from(short(zip, local + 26)?) + usize::from(short(zip, local + 28)?);
    let from = local + LOCAL_BYTES + names;
    let packed = zip.get(from..from.checked_add(packed_len)?)?;
    match method {
        STORED if packed.len() <= FILE_BYTES_MAX => Some(packed.to_vec()),
        DEFLATED => inflate(packed, FILE_BYTES_MAX),
        _ => None,
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with Python's `zipfile`: `configuration.yaml`, deflated, and `coordinator_backup.json`, 2 kB of JSON, deflated.
    const ARCHIVE: &str = include_str!("testdata/backup.zip.base64");

    #[test]
    fn the_coordinators_backup_is_found_in_the_archive() {
        let found = coordinator_backup(ARCHIVE.trim()).unwrap();
        assert_eq!(found["metadata"]["format"], "zigpy/open-coordinator-backup");
        assert_eq!(found["devices"].as_array().unwrap().len(), 12);
    }

    #[test]
    fn an_archive_without_it_says_so() {
        assert!(
            coordinator_backup("UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==").unwrap_err().contains("no coordinator_backup.json")
        );
        assert_eq!(coordinator_backup("%").unwrap_err(), "it is no base64");
        assert_eq!(coordinator_backup("").unwrap_err(), "it is no whole ZIP archive");
    }

    proptest! {
        #[test]
        fn a_damaged_archive_is_an_error_and_no_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            let mut zip = STANDARD.decode(ARCHIVE.trim()).unwrap();
            let at = at.index(zip.len());
            zip[at] = byte;
            let _ = file(&zip, FILE);
            let _ = file(&zip[..cut.index(zip.len())], FILE);
        }
    }
}
