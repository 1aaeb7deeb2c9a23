//! Brings an older file up to this program's layout: a slice of steps, all in one transaction, so that a file is either
//! as it was or wholly new. Never opens a file and never goes back.

use redb::{Database, ReadableDatabase, TableError, WriteTransaction};

use super::tables::{META, META_SCHEMA_VERSION, SCHEMA_VERSION, meta};

/// One step from a version to the next.
pub(super) struct Step {
    pub(super) from_version: u64,
    pub(super) run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// The steps that exist, oldest first. A step is added with every rise of [`SCHEMA_VERSION`] and never changed after.
pub(super) const STEPS: &[Step] = &[];

/// The layouts that a program can read: its own, and those it has steps from.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) version: u64,
    pub(super) steps: &'static [Step],
}

impl Layout {
    pub(super) const CURRENT: Layout = Layout { version: SCHEMA_VERSION, steps: STEPS };
}

/// The file's version; `None` when it is a redb database of somebody else's.
pub(super) fn version(db: &Database) -> Result<Option<u64>, redb::Error> {
    match db.begin_read()?.open_table(META) {
        Ok(table) => Ok(Some(meta(&table, META_SCHEMA_VERSION)?).filter(|version| *version > 0)),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Runs the steps from `found` up to `layout`; true when there were any. After an error the file is as it was.
pub(super) fn run(db: &Database, found: u64, layout: Layout) -> Result<bool, redb::Error> {
    if found == layout.version {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    for from_version in found..layout.version {
        let Some(step) = layout.steps.iter().find(|step| step.from_version == from_version) else {
            return Err(redb::Error::Corrupted(format!("no step leads on from layout {from_version}")));
        };
        (step.run)(&txn)?;
    }
    txn.open_table(META)?.insert(META_SCHEMA_VERSION, layout.version)?;
    txn.commit()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_ever_was_has_a_step() {
        let from: Vec<u64> = STEPS.iter().map(|step| step.from_version).collect();
        assert_eq!(from, (1..SCHEMA_VERSION).collect::<Vec<_>>());
    }
}
