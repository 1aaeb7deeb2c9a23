//! What lies in the file: every table, its key and its value. Knows no rule about what may be written; `docs/STORE.md`
//! says the same in prose.

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The layout that this program writes. An older file is brought up to it by [`super::migrate::STEPS`], a newer one is
/// refused.
pub(super) const SCHEMA_VERSION: u64 = 5;

/// Numbers about the file itself, under the `META_…` keys.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The layout's version; the first thing read.
pub(super) const META_SCHEMA_VERSION: &str = "schema_version";

/// The number of the newest write. Every write takes the next one, so that no two things ever share a revision, not
/// even one that was deleted and made again; after a failed commit it tells whether the commit reached the disk.
pub(super) const META_REVISION: &str = "revision";

/// Bytes of all values in `messages`.
pub(super) const META_HISTORY_BYTES: &str = "history_bytes";

/// Bytes of all blobs.
pub(super) const META_BLOB_BYTES: &str = "blob_bytes";

/// The number given last to a property with a history.
pub(super) const META_HISTORY_SERIES: &str = "history_series";

/// Conversation id → JSON of [`super::Conversation`].
pub(super) const CONVERSATIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("conversations");

/// (`updated_at_ms`, conversation id): one entry for each conversation, to list the newest and to find the oldest.
pub(super) const CONVERSATIONS_BY_TIME: TableDefinition<(u64, &str), ()> =
    TableDefinition::new("conversations_by_time");

/// (conversation id, `seq`) → JSON of [`super::StoredMessage`] without its `seq`. `seq` begins at 1 and has no holes but at its old end.
pub(super) const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");

/// Profile name → JSON of [`super::ModelProfile`].
pub(super) const PROFILES: TableDefinition<&str, &[u8]> = TableDefinition::new("model_profiles");

/// Blob id → JSON of [`super::blobs::Record`].
pub(super) const BLOBS: TableDefinition<&str, &[u8]> = TableDefinition::new("blobs");

/// (the revision of its last use, blob id): one entry for each blob, to find the one unused for longest.
pub(super) const BLOBS_BY_USE: TableDefinition<(u64, &str), ()> = TableDefinition::new("blobs_by_use");

/// (blob id, number from 0) → bytes: pieces of [`super::blobs::PIECE_BYTES`], the last one shorter.
pub(super) const BLOB_PIECES: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("blob_pieces");

/// (day as `2026-11-22`, user, profile, provider, model) → JSON of [`super::UsageSum`].
pub(super) const USAGE: TableDefinition<(&str, &str, &str, &str, &str), &[u8]> = TableDefinition::new("usage");

/// User name → JSON of [`super::User`].
pub(super) const USERS: TableDefinition<&str, &[u8]> = TableDefinition::new("users");

/// Token id → JSON of [`super::Token`].
pub(super) const TOKENS: TableDefinition<&str, &[u8]> = TableDefinition::new("tokens");

/// User name → JSON of [`super::UserProfile`].
pub(super) const USER_PROFILES: TableDefinition<&str, &[u8]> = TableDefinition::new("user_profiles");

/// Key → JSON of [`super::Setting`].
pub(super) const SETTINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("settings");

/// Slug → JSON of [`super::ServerRecord`].
pub(super) const MCP_SERVERS: TableDefinition<&str, &[u8]> = TableDefinition::new("mcp_servers");

/// A tool's persistent name → JSON of [`super::ToolOverlay`].
pub(super) const TOOL_OVERLAYS: TableDefinition<&str, &[u8]> = TableDefinition::new("tool_overlays");

/// Slug → JSON: what a server offered when it was last asked, and what of it is approved.
pub(super) const MCP_CATALOG: TableDefinition<&str, &[u8]> = TableDefinition::new("mcp_catalog");

/// Slug → JSON of [`super::SignIn`].
pub(super) const MCP_SIGN_INS: TableDefinition<&str, &[u8]> = TableDefinition::new("mcp_sign_ins");

/// (slug, kind and the server's own name of a tool or a prompt) → the name by which the hub knows it, for good.
pub(super) const MCP_NAMES: TableDefinition<(&str, &str), &str> = TableDefinition::new("mcp_names");

/// Number from 1 → JSON of [`super::AuditEntry`].
pub(super) const AUDIT: TableDefinition<u64, &[u8]> = TableDefinition::new("audit");

/// Device id → JSON of [`super::DeviceRecord`].
pub(super) const DEVICES: TableDefinition<&str, &[u8]> = TableDefinition::new("devices");

/// Room id → JSON of [`super::Room`].
pub(super) const ROOMS: TableDefinition<&str, &[u8]> = TableDefinition::new("rooms");

/// Group id → JSON of [`super::Group`].
pub(super) const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");

/// Scene id → JSON of [`super::Scene`].
pub(super) const SCENES: TableDefinition<&str, &[u8]> = TableDefinition::new("scenes");

/// Device id → JSON: what the device was when it was last told what it is; see [`super::StateSave`].
pub(super) const DEVICE_INFOS: TableDefinition<&str, &[u8]> = TableDefinition::new("device_infos");

/// Device id → JSON: the newest values of its properties. Apart from what it is, since it changes all the time.
pub(super) const DEVICE_STATES: TableDefinition<&str, &[u8]> = TableDefinition::new("device_states");

/// `network`, or `device/` and an IEEE address → what the Zigbee stack says of it, in its own words.
pub(super) const ZIGBEE: TableDefinition<&str, &[u8]> = TableDefinition::new("zigbee");

/// Time (ms since 1970) → a backup of the Zigbee network. Has the network's key.
pub(super) const ZIGBEE_BACKUPS: TableDefinition<u64, &[u8]> = TableDefinition::new("zigbee_backups");

/// (device id, property) → the number under which its history lies.
pub(super) const HISTORY_SERIES: TableDefinition<(&str, &str), u32> = TableDefinition::new("history_series");

/// (hour since 1970, number of the save) → reports in their order; see [`super::history`].
pub(super) const HISTORY_LOG: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("history_log");

/// (hour since 1970, series) → the reports of the hour.
pub(super) const HISTORY_RAW: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("history_raw");

/// (quarter of a day since 1970, series) → its steps of five minutes.
pub(super) const HISTORY_FIVE_MINUTES: TableDefinition<(u32, u32), &[u8]> =
    TableDefinition::new("history_five_minutes");

/// (week of 1970-01-01 and on, series) → its steps of an hour.
pub(super) const HISTORY_HOURS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("history_hours");

/// (grain: 0 reports, 1 five minutes, 2 hours; block) → bytes of its packs. Tells which blocks there are.
pub(super) const HISTORY_BLOCKS: TableDefinition<(u8, u32), u64> = TableDefinition::new("history_blocks");

/// Makes every table, so that readers find them all, and writes the version.
pub(super) fn lay_out(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(CONVERSATIONS)?;
    txn.open_table(CONVERSATIONS_BY_TIME)?;
    txn.open_table(MESSAGES)?;
    txn.open_table(PROFILES)?;
    add_blobs_and_usage(txn)?;
    add_users_and_servers(txn)?;
    add_the_house(txn)?;
    add_sign_ins(txn)?;
    txn.open_table(META)?.insert(META_SCHEMA_VERSION, SCHEMA_VERSION)?;
    Ok(())
}

/// What layout 2 has and layout 1 had not.
pub(super) fn add_blobs_and_usage(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(BLOBS)?;
    txn.open_table(BLOBS_BY_USE)?;
    txn.open_table(BLOB_PIECES)?;
    txn.open_table(USAGE)?;
    Ok(())
}

/// What layout 3 has and layout 2 had not.
pub(super) fn add_users_and_servers(txn: &WriteTransaction) -> Result<(), redb::Error> {
    for table in [USERS, TOKENS, USER_PROFILES, SETTINGS, MCP_SERVERS, TOOL_OVERLAYS, MCP_CATALOG] {
        txn.open_table(table)?;
    }
    txn.open_table(MCP_NAMES)?;
    txn.open_table(AUDIT)?;
    Ok(())
}

/// What layout 4 has and layout 3 had not.
pub(super) fn add_the_house(txn: &WriteTransaction) -> Result<(), redb::Error> {
    for table in [DEVICES, ROOMS, GROUPS, SCENES, DEVICE_INFOS, DEVICE_STATES, ZIGBEE] {
        txn.open_table(table)?;
    }
    txn.open_table(ZIGBEE_BACKUPS)?;
    txn.open_table(HISTORY_SERIES)?;
    for table in [HISTORY_LOG, HISTORY_RAW, HISTORY_FIVE_MINUTES, HISTORY_HOURS] {
        txn.open_table(table)?;
    }
    txn.open_table(HISTORY_BLOCKS)?;
    Ok(())
}

/// What layout 5 has and layout 4 had not.
pub(super) fn add_sign_ins(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(MCP_SIGN_INS)?;
    Ok(())
}

/// A number of [`META`]; 0 before its first write.
pub(super) fn meta(table: &impl ReadableTable<&'static str, u64>, key: &str) -> Result<u64, redb::Error> {
    Ok(table.get(key)?.map_or(0, |value| value.value()))
}

/// A value as it lies in the file. JSON names its own fields, so that a field can be added without touching what was
/// written before, and a person can read it in ten years; next to the sync of a commit its cost is nothing.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("the store's own types have string keys and finite numbers")
}

/// The reverse of [`encode`]; the error names what was unreadable.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{what} cannot be read: {error}"))
}
