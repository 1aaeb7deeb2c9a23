//! A house in one file: a plain tar of a manifest, the store, the Zigbee network, the configuration and, where an owner asks for it,
//! the keys under a passphrase. Made, looked through and taken apart here. Knows no hub, no command line and no clock.

mod keys;
mod make;
mod read;
mod take;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use keys::{KeyError, Keys, PASSPHRASE_CHARS_MIN, check_passphrase, collect, seal, unseal};
pub use make::{Backup, MakeError, Settings};
pub use read::{Opened, Problem, open};
pub use take::{TakeError, Wanted, take};

use crate::common::time::UnixMillis;

/// What the manifest calls the format.
const FORMAT: &str = "hearth-backup";

/// The version that is written. A reader takes this one and older ones.
const VERSION: u64 = 1;

/// The members, in the order in which they are written.
pub const MANIFEST: &str = "manifest.json";
pub const CONFIG: &str = "config.yaml";
pub const ZIGBEE: &str = "zigbee.json";
pub const KEYS: &str = "keys.json";
pub const STORE: &str = "store.redb";

/// The longest member that is held in memory, bytes: a Zigbee backup has some 200 bytes a device.
const SMALL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The longest store, bytes: all that its bounds allow, and more than twice of it.
const STORE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// The first member: what the others are, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub version: u64,
    /// The version of Hearth that made it.
    pub hearth: String,
    /// RFC 3339.
    pub made_at: String,
    pub made_at_ms: UnixMillis,
    /// The store's layout (`docs/STORE.md`).
    pub layout: u64,
    /// Records in the store.
    pub records: u64,
    /// All others, in their order.
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}
