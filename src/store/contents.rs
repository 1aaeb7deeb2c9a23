//! Everything that lies in the file, table by table, each with the reader of its records: for whoever copies or looks through
//! all of it, whatever it is. Changes nothing.

use std::str::FromStr;

use jiff::civil::Date;
use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value};
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::{Digest, Sha256};

use super::audit::AuditEntry;
use super::blobs::{self, PIECE_BYTES};
use super::catalog::Catalog;
use super::conversations::Conversation;
use super::history;
use super::messages::StoredMessage;
use super::profiles::ModelProfile;
use super::rooms::{DeviceRecord, Group, Room, Scene};
use super::servers::{ServerRecord, ToolOverlay};
use super::settings::Setting;
use super::sign_ins::SignIn;
use super::tables::*;
use super::usage::UsageSum;
use super::users::{Token, User, UserProfile};

/// Unreadable records that are named; the others are counted.
const NAMED_MAX: usize = 16;

/// Tables in which a hub that nobody lives with has nothing.
const OF_THE_HOUSE: [&str; 9] =
    ["users", "devices", "rooms", "groups", "scenes", "conversations", "mcp_servers", "device_infos", "zigbee"];

/// Reads one record; the error says what it is not.
pub(super) type Reader<K, V> =
    for<'k, 'v> fn(<K as Value>::SelfType<'k>, <V as Value>::SelfType<'v>) -> Result<(), String>;

/// What is done with each table.
pub(super) trait Visitor {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
        reader: Reader<K, V>,
    ) -> Result<(), redb::Error>;
}

/// Shows every table of this layout to a visitor, always in the same order.
pub(super) fn every_table(visitor: &mut impl Visitor) -> Result<(), redb::Error> {
    visitor.table(META, |_, _| Ok(()))?;
    visitor.table(CONVERSATIONS, |_, value| json::<Conversation>(value))?;
    visitor.table(CONVERSATIONS_BY_TIME, |_, ()| Ok(()))?;
    visitor.table(MESSAGES, |_, value| json::<StoredMessage>(value))?;
    visitor.table(PROFILES, |_, value| json::<ModelProfile>(value))?;
    visitor.table(BLOBS, |_, value| json::<blobs::Record>(value))?;
    visitor.table(BLOBS_BY_USE, |_, ()| Ok(()))?;
    visitor.table(BLOB_PIECES, |_, piece| is_said(piece.len() <= PIECE_BYTES, "it is too long"))?;
    visitor.table(USAGE, |(day, ..), value| {
        Date::from_str(day).map_err(|error| error.to_string())?;
        json::<UsageSum>(value)
    })?;
    visitor.table(USERS, |_, value| json::<User>(value))?;
    visitor.table(TOKENS, |_, value| json::<Token>(value))?;
    visitor.table(USER_PROFILES, |_, value| json::<UserProfile>(value))?;
    visitor.table(SETTINGS, |_, value| json::<Setting>(value))?;
    visitor.table(MCP_SERVERS, |_, value| json::<ServerRecord>(value))?;
    visitor.table(TOOL_OVERLAYS, |_, value| json::<ToolOverlay>(value))?;
    visitor.table(MCP_CATALOG, |_, value| json::<Catalog>(value))?;
    visitor.table(MCP_SIGN_INS, |_, value| json::<SignIn>(value))?;
    visitor.table(MCP_NAMES, |_, name| is_said(!name.is_empty(), "it is empty"))?;
    visitor.table(AUDIT, |_, value| json::<AuditEntry>(value))?;
    visitor.table(DEVICES, |_, value| json::<DeviceRecord>(value))?;
    visitor.table(ROOMS, |_, value| json::<Room>(value))?;
    visitor.table(GROUPS, |_, value| json::<Group>(value))?;
    visitor.table(SCENES, |_, value| json::<Scene>(value))?;
    // The words of the house and of the stack: here they are documents.
    visitor.table(DEVICE_INFOS, |_, value| json::<IgnoredAny>(value))?;
    visitor.table(DEVICE_STATES, |_, value| json::<IgnoredAny>(value))?;
    visitor.table(ZIGBEE, |_, document| is_said(!document.is_empty(), "it is empty"))?;
    visitor.table(ZIGBEE_BACKUPS, |_, value| json::<IgnoredAny>(value))?;
    visitor.table(HISTORY_SERIES, |_, _| Ok(()))?;
    visitor.table(HISTORY_LOG, |_, entry| is_said(history::is_log(entry), DAMAGED))?;
    visitor.table(HISTORY_RAW, |_, pack| is_said(history::is_reports(pack), DAMAGED))?;
    visitor.table(HISTORY_FIVE_MINUTES, |_, pack| is_said(history::is_steps(pack), DAMAGED))?;
    visitor.table(HISTORY_HOURS, |_, pack| is_said(history::is_steps(pack), DAMAGED))?;
    visitor.table(HISTORY_BLOCKS, |_, _| Ok(()))?;
    Ok(())
}

const DAMAGED: &str = "its bytes are damaged";

fn json<T: DeserializeOwned>(value: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<T>(value).map(drop).map_err(|error| error.to_string())
}

fn is_said(is_fine: bool, otherwise: &str) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err(otherwise.into()) }
}

/// All that was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The layout of the tables.
    pub layout: u64,
    /// Of the newest write.
    pub revision: u64,
    pub records: u64,
    /// Of them those that are of a house somebody lives in: users, devices, rooms, conversations and the like.
    pub of_the_house: u64,
    /// Whether a Zigbee network is among them.
    pub has_network: bool,
    /// Of all keys and values.
    pub bytes: u64,
    /// SHA-256 of all of it in order: the same records have the same, however they lie in the file.
    pub digest: [u8; 32],
    /// Records that are there and make no sense.
    pub unreadable: u64,
    /// The first of them, with what is wrong.
    pub first_unreadable: Vec<String>,
}

impl Contents {
    /// Reads every record that the transaction sees, in memory that does not grow with them.
    pub(super) fn of(txn: &ReadTransaction) -> Result<Contents, redb::Error> {
        let mut look = Look { txn, sum: Sum::default() };
        every_table(&mut look)?;
        let sum = look.sum;
        sum.finish(txn)
    }
}

struct Look<'a> {
    txn: &'a ReadTransaction,
    sum: Sum,
}

impl Visitor for Look<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
        reader: Reader<K, V>,
    ) -> Result<(), redb::Error> {
        let Some(found) = open(self.txn, table)? else { return Ok(()) };
        self.sum.begin(&table);
        for entry in found.iter()? {
            let (key, value) = entry?;
            self.sum.add::<K, V>(&table, key.value(), value.value(), reader);
        }
        Ok(())
    }
}

/// The number of the newest write that the transaction sees.
pub(super) fn revision(txn: &ReadTransaction) -> Result<u64, redb::Error> {
    open(txn, META)?.map_or(Ok(0), |table| meta(&table, META_REVISION))
}

/// A table that may not be there yet, in a file of an older layout.
pub(super) fn open<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, redb::Error> {
    match txn.open_table(table) {
        Ok(found) => Ok(Some(found)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Adds up records one by one.
#[derive(Default)]
pub(super) struct Sum {
    contents: Contents,
    digest: Sha256,
}

impl Sum {
    pub(super) fn begin<K: Key + 'static, V: Value + 'static>(&mut self, table: &TableDefinition<'static, K, V>) {
        self.digest(redb::TableHandle::name(table).as_bytes());
    }

    pub(super) fn add<'a, K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: &TableDefinition<'static, K, V>,
        key: K::SelfType<'a>,
        value: V::SelfType<'a>,
        reader: Reader<K, V>,
    ) {
        let (key_bytes, value_bytes) = (K::as_bytes(&key), V::as_bytes(&value));
        self.digest(key_bytes.as_ref());
        self.digest(value_bytes.as_ref());
        self.contents.records += 1;
        let name = redb::TableHandle::name(table);
        self.contents.of_the_house += u64::from(OF_THE_HOUSE.contains(&name));
        self.contents.has_network |= name == redb::TableHandle::name(&ZIGBEE);
        self.contents.bytes += (key_bytes.as_ref().len() + value_bytes.as_ref().len()) as u64;
        if let Err(why) = reader(K::from_bytes(key_bytes.as_ref()), V::from_bytes(value_bytes.as_ref())) {
            self.contents.unreadable += 1;
            if self.contents.first_unreadable.len() < NAMED_MAX {
                let key = format_key(key_bytes.as_ref());
                self.contents.first_unreadable.push(format!("{name} {key}: {why}"));
            }
        }
    }

    /// With its length, so that no two sequences are the same bytes.
    fn digest(&mut self, bytes: &[u8]) {
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// `txn` sees what was added up.
    pub(super) fn finish(mut self, txn: &ReadTransaction) -> Result<Contents, redb::Error> {
        if let Some(meta_table) = open(txn, META)? {
            self.contents.layout = meta(&meta_table, META_SCHEMA_VERSION)?;
            self.contents.revision = meta(&meta_table, META_REVISION)?;
        }
        self.contents.digest = self.digest.finalize().into();
        Ok(self.contents)
    }
}

/// A key as a person may read it.
fn format_key(key: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&key[..key.len().min(KEY_SHOWN_BYTES)]);
    shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Of a key in an error, bytes.
const KEY_SHOWN_BYTES: usize = 64;
