//! The audit: who called which tool through which door, and what came of it. Keeps names and never a value; the oldest
//! entries go. Knows no rule about who may do what.

use redb::{ReadableTable, ReadableTableMetadata};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed::Kind;
use super::tables::{AUDIT, decode, encode};
use super::writer::Batch;
use super::{PAGE_LEN_MAX, ReadError, Snapshot, Store, UnixMillis, WriteError};
use crate::common::error::ErrorCode;
use crate::common::who::{Door, Role};

/// The longest name in an entry (a tool, a user, a token, an argument), bytes; the rest is cut off.
const NAME_BYTES_MAX: usize = 128;

/// Names of arguments in one entry; the others are left out.
const ARGUMENTS_MAX: usize = 32;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number, from 1 on: the newest has the highest. In the file it is the key alone.
    #[serde(default, skip_serializing_if = "is_in_the_file")]
    pub seq: u64,
    /// When the call came.
    pub at_ms: UnixMillis,
    pub user: String,
    pub role: Role,
    pub door: Door,
    /// The id of the token that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub tool: String,
    /// `hub`, or the server that the tool is of; absent: there is no such tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    pub outcome: Reckoning,
    /// The code, where there was an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// From the call to its end, milliseconds.
    pub ms: u64,
    /// The names of its arguments, sorted. Values are nobody's business.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reckoning {
    Ok,
    /// The tool ran and said that it failed, or its arguments were wrong.
    Failed,
    /// It could not be called, or gave no result: see `code`.
    Error,
    /// Whoever called may not call it.
    Denied,
    /// Whoever called did not wait for the end.
    Cancelled,
    /// It asked for something first (MCP `input_required`).
    Asked,
}

impl AuditEntry {
    /// Within the bounds.
    fn cut(mut self) -> AuditEntry {
        self.arguments.truncate(ARGUMENTS_MAX);
        let names = [Some(&mut self.user), Some(&mut self.tool), self.token.as_mut(), self.origin.as_mut()];
        for name in names.into_iter().flatten().chain(&mut self.arguments) {
            name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        }
        self.seq = 0;
        self
    }
}

impl Store {
    /// Adds entries, the oldest first. Waits a moment for another write, to share its commit.
    pub async fn add_audit(&self, entries: Vec<AuditEntry>) -> Result<(), WriteError> {
        if entries.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = entries.into_iter().map(|entry| encode(&entry.cut())).collect();
        let bytes = values.iter().map(Vec::len).sum();
        self.accompany(bytes, move |batch| add(batch, &values)).await
    }

    /// See [`Snapshot::audit`].
    pub async fn audit<F>(&self, before: Option<u64>, limit: usize, wanted: F) -> Result<Vec<AuditEntry>, ReadError>
    where
        F: Fn(&AuditEntry) -> bool + Send + 'static,
    {
        self.read(move |snapshot| snapshot.audit(before, limit, &wanted)).await
    }
}

impl Snapshot {
    /// Up to `limit` (at most [`PAGE_LEN_MAX`]) entries that are `wanted`, the newest first: those with a number below
    /// `before`.
    pub fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Result<Vec<AuditEntry>, ReadError> {
        let (mut page, limit) = (Vec::new(), limit.min(PAGE_LEN_MAX));
        for found in self.0.open_table(AUDIT)?.range(..before.unwrap_or(u64::MAX))?.rev() {
            if page.len() >= limit {
                break;
            }
            let (seq, value) = found?;
            let seq = seq.value();
            let entry: AuditEntry = decode(value.value(), &format!("audit entry {seq}")).map_err(ReadError::Corrupt)?;
            if wanted(&entry) {
                page.push(AuditEntry { seq, ..entry });
            }
        }
        Ok(page)
    }
}

fn add(batch: &mut Batch, values: &[Vec<u8>]) -> Result<Result<(), WriteError>, redb::Error> {
    let max = batch.bounds.audit;
    let newest = {
        let mut table = batch.txn.open_table(AUDIT)?;
        let mut newest = table.last()?.map_or(0, |(seq, _)| seq.value());
        for value in values {
            newest += 1;
            table.insert(newest, value.as_slice())?;
        }
        while table.len()? > max {
            table.pop_first()?;
        }
        newest
    };
    batch.changed(Kind::Audit, &newest.to_string());
    Ok(Ok(()))
}

fn is_in_the_file(seq: &u64) -> bool {
    *seq == 0
}

#[cfg(test)]
mod tests {
    use super::super::bounds::Bounds;
    use super::super::open::Opener;
    use super::*;
    use crate::store::{NewMessage, Seen};

    fn entry(at_ms: u64) -> AuditEntry {
        AuditEntry {
            seq: 0,
            at_ms,
            user: "ann".into(),
            role: Role::Member,
            door: Door::Mcp,
            token: Some("t-1".into()),
            tool: "settings.list".into(),
            origin: Some("hub".into()),
            outcome: Reckoning::Ok,
            code: None,
            ms: 3,
            arguments: vec!["limit".into()],
        }
    }

    #[tokio::test]
    async fn the_newest_are_kept_and_numbers_go_on() {
        let home = tempfile::tempdir().expect("a folder");
        let bounds = Bounds { audit: 5, ..Bounds::HOUSE };
        let opener = Opener::new(&home.path().join("hearth.redb"));
        let store = Store::start(opener, bounds).expect("a new file");
        let mut feed = store.subscribe();
        for first in [1, 4, 7] {
            store.add_audit((first..first + 3).map(entry).collect()).await.expect("room");
        }
        let all = store.audit(None, 99, |_| true).await.expect("readable");
        assert_eq!(
            all.iter().map(|entry| (entry.seq, entry.at_ms)).collect::<Vec<_>>(),
            [9, 8, 7, 6, 5].map(|n| (n, n))
        );
        assert_eq!(all[0], AuditEntry { seq: 9, ..entry(9) });
        let page = store.audit(Some(8), 2, |entry| entry.at_ms != 7).await.expect("readable");
        assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [6, 5]);
        let Seen::Change(change) = feed.recv().await else { panic!("no news") };
        assert_eq!((change.kind, &*change.key), (Kind::Audit, "3"));
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn names_are_cut_and_the_commit_is_shared() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        let long = AuditEntry {
            tool: "ü".repeat(500),
            arguments: (0..100).map(|n| format!("{n}{}", "x".repeat(500))).collect(),
            ..entry(1)
        };
        let before = store.commits();
        let said = vec![NewMessage::new(crate::common::chat::Role::User, "x", 1)];
        let (written, said) = tokio::join!(store.add_audit(vec![long]), store.append("ann", "c", said));
        written.and(said).expect("room");
        assert_eq!(store.commits() - before, 1);
        let kept = store.audit(None, 1, |_| true).await.expect("readable").remove(0);
        assert_eq!((kept.tool.len(), kept.arguments.len(), kept.arguments[0].len()), (128, 32, 128));
        assert!(store.close().await);
    }
}
