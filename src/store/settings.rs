//! Settings: single values that a user changes while the hub runs, each under a dotted name. Knows no setting's meaning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::feed::Kind;
use super::records::{NAME_BYTES_MAX, Record, Table, keyed_by};
use super::tables::{SETTINGS, encode};
use super::{Store, WriteError};

/// Settings kept.
pub const SETTINGS_MAX: u64 = 512;

/// The longest value, bytes of JSON.
pub const SETTING_BYTES_MAX: usize = 64 * 1024;

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// 1 to 64 of `[a-z0-9_.-]`, such as `tools.policy`.
    pub key: String,
    pub value: Value,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

impl Store {
    /// Sets what nobody has set; true when it was written.
    pub async fn seed_setting(&self, key: &str, value: Value) -> Result<bool, WriteError> {
        match self.put(Setting { key: key.into(), value, revision: 0 }, Some(0)).await {
            Ok(_) => Ok(true),
            Err(WriteError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Record for Setting {
    const KIND: Kind = Kind::Setting;
    const TABLE: Table = SETTINGS;
    const WHAT: &'static str = "setting";
    const MAX: u64 = SETTINGS_MAX;

    keyed_by!(key);

    fn check(&self) -> Result<(), WriteError> {
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        if !(1..=NAME_BYTES_MAX).contains(&self.key.len()) || !self.key.bytes().all(is_good) {
            return Err(WriteError::Invalid(format!("key: 1 to {NAME_BYTES_MAX} of a-z, 0-9, _, - and .")));
        }
        let size = encode(&self.value).len();
        match size > SETTING_BYTES_MAX {
            true => Err(WriteError::TooLarge { what: "value", size, max: SETTING_BYTES_MAX }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_seed_grows_where_nothing_stands() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("hearth.redb")).unwrap();
        assert_eq!(store.seed_setting("house.locale", "de".into()).await, Ok(true));
        assert_eq!(store.seed_setting("house.locale", "fr".into()).await, Ok(false));
        let kept = store.get::<Setting>("house.locale").await.unwrap().unwrap();
        assert_eq!(kept.value, "de");
        assert!(store.close().await);
    }
}
