//! What each server behind the hub offered when it was last asked, and what of it an owner has approved. Kept, so that the
//! tools of hundreds of servers are known while none of them runs. Knows no MCP: definitions are JSON as they came.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::feed::Kind;
use super::records::{Record, Table, keyed_by};
use super::servers::TOOL_NAME_BYTES_MAX;
use super::tables::{MCP_CATALOG, encode};
use super::{ReadError, Snapshot, WriteError};
use crate::common::config::is_server_name;
use crate::common::time::UnixMillis;

/// Catalogs kept: of servers in the store and in the file.
pub const CATALOGS_MAX: u64 = 2048;

/// Entries of one catalog, those included that are offered no more.
pub const ENTRIES_MAX: usize = 8192;

/// One catalog as JSON, bytes. A server with a thousand large tools is below it.
pub const CATALOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest URI or template of a resource, bytes.
pub const URI_BYTES_MAX: usize = 2048;

/// Things that were left out of one catalog and are told of one by one.
pub const LEFT_OUT_MAX: usize = 64;

/// What one server offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    pub slug: String,
    pub asked_at_ms: UnixMillis,
    /// SHA-256 of the row by which the server was reached: with another row it is another server, and is asked anew.
    #[serde(default)]
    pub row: String,
    /// An owner has approved something of it, or trusts it: its resources may be seen.
    #[serde(default)]
    pub admitted: bool,
    /// The revision of MCP that it speaks.
    #[serde(default)]
    pub protocol: String,
    /// MCP `Implementation`.
    #[serde(default)]
    pub server: Value,
    /// MCP `ServerCapabilities`.
    #[serde(default)]
    pub capabilities: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// By kind and name.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// What it offered and the hub did not take, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    #[serde(default)]
    pub revision: u64,
}

/// One thing that a server offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: EntryKind,
    /// The server's own name, its URI or its template.
    pub name: String,
    /// As it was offered last.
    pub definition: Value,
    /// Of the definition's canonical form, hexadecimal.
    pub sha256: String,
    pub standing: Standing,
    /// False: it was offered once, and is not any more. What was approved of it stays so, should it come back.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub offered: bool,
}

/// What can be offered. The order is that of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    Tool,
    Prompt,
    Resource,
    Template,
}

/// What an owner has said of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Standing {
    /// It may be used as it is offered.
    Approved,
    /// Nobody has looked at it yet.
    New,
    /// What was approved is not what is offered: that is kept beside it, to be compared.
    Changed { approved: Value, approved_sha256: String },
}

/// Something that the hub did not take from a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    pub kind: EntryKind,
    pub name: String,
    pub why: String,
}

fn yes() -> bool {
    true
}

impl EntryKind {
    /// The word of the store and of errors.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Tool => "tool",
            EntryKind::Prompt => "prompt",
            EntryKind::Resource => "resource",
            EntryKind::Template => "template",
        }
    }

    /// The longest name of one, bytes.
    pub fn name_bytes_max(self) -> usize {
        match self {
            EntryKind::Tool | EntryKind::Prompt => TOOL_NAME_BYTES_MAX,
            EntryKind::Resource | EntryKind::Template => URI_BYTES_MAX,
        }
    }
}

impl Catalog {
    /// What is offered of a kind, by name.
    pub fn offered(&self, kind: EntryKind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind == kind && entry.offered)
    }
}

impl Snapshot {
    /// Of which servers there is a catalog.
    pub fn catalog_slugs(&self) -> Result<Vec<Box<str>>, ReadError> {
        let mut slugs = Vec::new();
        for entry in self.0.open_table(MCP_CATALOG)?.range::<&str>(..)? {
            slugs.push(entry?.0.value().into());
        }
        Ok(slugs)
    }
}

impl Record for Catalog {
    const KIND: Kind = Kind::Catalog;
    const TABLE: Table = MCP_CATALOG;
    const WHAT: &'static str = "catalog";
    const MAX: u64 = CATALOGS_MAX;

    keyed_by!(slug);

    fn check(&self) -> Result<(), WriteError> {
        if !is_server_name(&self.slug) {
            return Err(WriteError::Invalid("slug: this is no server's name".into()));
        }
        if self.entries.len() > ENTRIES_MAX {
            let size = self.entries.len();
            return Err(WriteError::TooLarge { what: "entries", size, max: ENTRIES_MAX });
        }
        if let Some(entry) = self.entries.iter().find(|entry| entry.name.len() > entry.kind.name_bytes_max()) {
            let (size, max) = (entry.name.len(), entry.kind.name_bytes_max());
            return Err(WriteError::TooLarge { what: "name", size, max });
        }
        match encode(self).len() {
            size if size > CATALOG_BYTES_MAX => {
                Err(WriteError::TooLarge { what: "catalog", size, max: CATALOG_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_catalog_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let changed = Standing::Changed { approved: json!({ "name": "a" }), approved_sha256: "00".into() };
        let entry = |kind, name: &str, standing, offered| {
            let definition = json!({ "name": name, "inputSchema": {} });
            Entry { kind, name: name.into(), definition, sha256: "ff".into(), standing, offered }
        };
        let catalog = Catalog {
            slug: "files".into(),
            entries: vec![
                entry(EntryKind::Tool, "a", changed, true),
                entry(EntryKind::Tool, "b", Standing::New, true),
                entry(EntryKind::Prompt, "c", Standing::Approved, false),
            ],
            ..Catalog::default()
        };
        let written = store.put(catalog, Some(0)).await.expect("a write");
        assert_eq!(store.get::<Catalog>("files").await.expect("a read"), Some(written.clone()));
        assert_eq!(written.offered(EntryKind::Prompt).count(), 0, "what is not offered is not counted");
        let long = Entry { name: "x".repeat(TOOL_NAME_BYTES_MAX + 1), ..written.entries[0].clone() };
        let refused = store.put(Catalog { entries: vec![long], ..written }, None).await;
        assert!(matches!(refused, Err(WriteError::TooLarge { what: "name", .. })), "{refused:?}");
    }
}
