//! Records: small things under a name, each family in a table of its own, changed by compare-and-set on a revision. One
//! way for all of them to be written, read, listed and deleted. Knows no family's rules but that it has some.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::feed::Kind;
use super::tables::{decode, encode};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, WriteError};

/// The table of a family: key → JSON of the record.
pub type Table = TableDefinition<'static, &'static str, &'static [u8]>;

/// A family of records.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: Kind;
    const TABLE: Table;
    /// What one is called in an error: `model profile`.
    const WHAT: &'static str;
    /// Kept at once.
    const MAX: u64;

    fn key(&self) -> &str;

    /// Of the last write; 0 before the first.
    fn revision(&self) -> u64;

    fn set_revision(&mut self, revision: u64);

    /// Whether the store takes it; the error says which field and which range.
    fn check(&self) -> Result<(), WriteError>;

    /// Whether the record of this key may be deleted.
    fn may_go(_key: &str) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Of an `impl Record`: the field that is the key, and that the revision stands in the field of that name.
macro_rules! keyed_by {
    ($key:ident) => {
        fn key(&self) -> &str {
            &self.$key
        }

        fn revision(&self) -> u64 {
            self.revision
        }

        fn set_revision(&mut self, revision: u64) {
            self.revision = revision;
        }
    };
}
pub(super) use keyed_by;

impl Store {
    /// Writes a record and returns it with its new revision. With `if_revision` only if that is the stored one's (0: if
    /// there is none); otherwise [`WriteError::Conflict`] says which is.
    pub async fn put<R: Record>(&self, record: R, if_revision: Option<u64>) -> Result<R, WriteError> {
        record.check()?;
        let bytes = encode(&record).len();
        self.write(bytes, move |batch| put(batch, record.clone(), if_revision)).await
    }

    /// Reads, changes and writes a record with nobody in between; `change` gets what is there and returns what is to be
    /// there, or why nothing is to change. It may run more than once.
    pub async fn update<R, F>(&self, key: &str, change: F) -> Result<R, WriteError>
    where
        R: Record,
        F: Fn(Option<R>) -> Result<R, WriteError> + Send + 'static,
    {
        let key = key.to_owned();
        self.write(key.len(), move |batch| {
            let found = match stored::<R>(batch, &key)? {
                Some(Err(why)) => return Ok(Err(WriteError::Invalid(why))),
                found => found.and_then(Result::ok),
            };
            let changed = change(found).and_then(|record| match record.key() == key {
                true => record.check().map(|()| record),
                false => Err(WriteError::Invalid(format!("a {} cannot change its key", R::WHAT))),
            });
            match changed {
                Ok(record) => put(batch, record, None),
                Err(why) => Ok(Err(why)),
            }
        })
        .await
    }

    /// Deletes a record, with `if_revision` as in [`Store::put`]; false when there was none.
    pub async fn delete<R: Record>(&self, key: &str, if_revision: Option<u64>) -> Result<bool, WriteError> {
        R::may_go(key)?;
        let key = key.to_owned();
        self.write(key.len(), move |batch| delete::<R>(batch, &key, if_revision)).await
    }

    /// See [`Snapshot::get`].
    pub async fn get<R: Record>(&self, key: &str) -> Result<Option<R>, ReadError> {
        let key = key.to_owned();
        self.read(move |snapshot| snapshot.get(&key)).await
    }

    /// See [`Snapshot::list`].
    pub async fn list<R: Record>(&self) -> Result<Vec<R>, ReadError> {
        self.read(Snapshot::list).await
    }
}

impl Snapshot {
    /// One record, if it is there.
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, ReadError> {
        let found = self.0.open_table(R::TABLE)?.get(key)?;
        found.map(|value| decode(value.value(), &described::<R>(key)).map_err(ReadError::Corrupt)).transpose()
    }

    /// All records of a family, by key; at most [`Record::MAX`].
    pub fn list<R: Record>(&self) -> Result<Vec<R>, ReadError> {
        let mut records = Vec::new();
        for entry in self.0.open_table(R::TABLE)?.range::<&str>(..)? {
            let (key, value) = entry?;
            records.push(decode(value.value(), &described::<R>(key.value())).map_err(ReadError::Corrupt)?);
        }
        Ok(records)
    }
}

fn put<R: Record>(
    batch: &mut Batch,
    mut record: R,
    if_revision: Option<u64>,
) -> Result<Result<R, WriteError>, redb::Error> {
    let current = revision::<R>(batch, record.key())?;
    if let Err(conflict) = compare(current, if_revision) {
        return Ok(Err(conflict));
    }
    if current.is_none() && batch.txn.open_table(R::TABLE)?.len()? >= R::MAX {
        return Ok(Err(WriteError::Invalid(format!("there are {} {}s already: delete one first", R::MAX, R::WHAT))));
    }
    let revision = batch.changed(R::KIND, record.key());
    record.set_revision(revision);
    batch.txn.open_table(R::TABLE)?.insert(record.key(), encode(&record).as_slice())?;
    Ok(Ok(record))
}

fn delete<R: Record>(
    batch: &mut Batch,
    key: &str,
    if_revision: Option<u64>,
) -> Result<Result<bool, WriteError>, redb::Error> {
    let current = revision::<R>(batch, key)?;
    if let Err(conflict) = compare(current, if_revision) {
        return Ok(Err(conflict));
    }
    if current.is_none() {
        return Ok(Ok(false));
    }
    batch.txn.open_table(R::TABLE)?.remove(key)?;
    batch.deleted(R::KIND, key);
    Ok(Ok(true))
}

/// The stored record, or why it cannot be read.
fn stored<R: Record>(batch: &Batch, key: &str) -> Result<Option<Result<R, String>>, redb::Error> {
    let table = batch.txn.open_table(R::TABLE)?;
    let found = table.get(key)?;
    Ok(found.map(|value| decode(value.value(), &described::<R>(key))))
}

/// The stored record's revision. One that cannot be read has none that anybody could know, and may be overwritten.
fn revision<R: Record>(batch: &Batch, key: &str) -> Result<Option<u64>, redb::Error> {
    Ok(stored::<R>(batch, key)?.map(|found| found.map_or(u64::MAX, |record| record.revision())))
}

/// Compare-and-set: 0 stands for what is not there.
pub(super) fn compare(current: Option<u64>, if_revision: Option<u64>) -> Result<(), WriteError> {
    let current = current.unwrap_or(0);
    match if_revision {
        Some(expected) if expected != current => Err(WriteError::Conflict { current }),
        _ => Ok(()),
    }
}

fn described<R: Record>(key: &str) -> String {
    format!("{} {key}", R::WHAT)
}

/// Whether `name` may be the name of a record: 1 to 64 of `[a-z0-9_-]`.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// The longest name of a record that a person names, bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The error of a text field that is too long or empty.
pub(super) fn check_text(field: &'static str, text: Option<&str>, max: usize) -> Result<(), WriteError> {
    match text {
        Some(text) if text.len() > max => Err(WriteError::TooLarge { what: field, size: text.len(), max }),
        Some("") => Err(WriteError::Invalid(format!("{field}: is empty; leave it out"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
