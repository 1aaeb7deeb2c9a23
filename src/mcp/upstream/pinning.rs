//! What a server offers against what was approved of it: who may be used, what waits for an owner's word, and what the difference
//! is in words. Bytes in, catalog out; reads no clock and no store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::common::config::McpServer;
use crate::common::hex::hex;
use crate::common::time::UnixMillis;
use crate::mcp::upstream::ServerInfo;
use crate::store::{CATALOG_BYTES_MAX, Catalog, ENTRIES_MAX, Entry, EntryKind, LEFT_OUT_MAX, LeftOut, Standing};

/// The longest definition taken, bytes of JSON. Schemas of real servers are below 20 kB.
pub const DEFINITION_BYTES_MAX: usize = 64 * 1024;

/// Things of one kind that are taken from one server.
pub const OFFERED_MAX: usize = 2048;

/// Definitions of one server, bytes: what a catalog holds less its head and the pins of changed ones.
pub const OFFERED_BYTES_MAX: usize = CATALOG_BYTES_MAX / 2;

/// The longest `instructions` kept, bytes, and the longest server info and capabilities.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Differences that are told of one definition.
pub const DIFFERENCES_MAX: usize = 64;

/// Characters of a value in a difference.
const DIFFERENCE_CHARS_MAX: usize = 600;

/// The fields that are pinned. Icons and `_meta` may change without anybody being asked: no model reads them.
const PINNED: [&str; 9] =
    ["name", "title", "description", "inputSchema", "outputSchema", "annotations", "arguments", "uri", "uriTemplate"];

/// What a server was found to offer.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub info: ServerInfo,
    pub definitions: Vec<(EntryKind, Value)>,
    /// What was not even read: a list that had no end.
    pub left_out: Vec<LeftOut>,
}

/// What is otherwise than before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    pub added: Vec<(EntryKind, String)>,
    pub changed: Vec<(EntryKind, String)>,
    pub removed: Vec<(EntryKind, String)>,
    /// Of those, what waits for an owner.
    pub quarantined: usize,
}

/// One field that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `inputSchema.properties.path.type`
    pub field: String,
    pub was: Option<String>,
    pub is: Option<String>,
}

/// What is to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    One {
        kind: EntryKind,
        name: String,
        /// What the owner saw: nothing else is approved.
        sha256: Option<String>,
    },
}

/// The catalog that follows from the one before and what is offered now. The same thing as before keeps its standing.
pub fn merge(
    old: Option<Catalog>,
    slug: &str,
    row: &str,
    offer: Offer,
    is_trusted: bool,
    now: UnixMillis,
) -> (Catalog, News) {
    let is_first = old.is_none();
    let old = old.unwrap_or_default();
    let admitted = old.admitted || is_trusted;
    let revision = old.revision;
    let mut known: BTreeMap<_, _> =
        old.entries.into_iter().map(|entry| ((entry.kind, entry.name.clone()), entry)).collect();
    let mut news = News::default();
    let (taken, left_out) = take(offer.definitions, offer.left_out);
    let mut entries = Vec::with_capacity(taken.len());
    for (kind, name, definition) in taken {
        let sha256 = fingerprint(&definition);
        let before = known.remove(&(kind, name.clone()));
        match &before {
            Some(entry) if entry.offered && entry.sha256 != sha256 => news.changed.push((kind, name.clone())),
            Some(entry) if entry.offered => {}
            _ => news.added.push((kind, name.clone())),
        }
        let standing = standing(kind, before, &sha256, is_trusted);
        news.quarantined += usize::from(standing != Standing::Approved);
        entries.push(Entry { kind, name, definition, sha256, standing, offered: true });
    }
    news.removed.extend(known.iter().filter(|(_, entry)| entry.offered).map(|(key, _)| key.clone()));
    // A pin outlives its tool, so that one that comes back in another shape is noticed.
    let gone = known.into_values().filter(|entry| is_pinned(entry.kind) && entry.standing != Standing::New);
    let room = ENTRIES_MAX.saturating_sub(entries.len());
    let mut bytes = OFFERED_BYTES_MAX / 2;
    let gone = gone.take_while(|entry| {
        let size = size_of(&entry.definition);
        bytes = bytes.saturating_sub(size);
        bytes > 0
    });
    entries.extend(gone.take(room).map(|entry| Entry { offered: false, ..entry }));
    entries.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    if is_first {
        news.changed.clear();
    }
    let ServerInfo { protocol, server, capabilities, instructions } = offer.info;
    let short = |value: Value| if size_of(&value) > HEAD_BYTES_MAX { Value::Null } else { value };
    let catalog = Catalog {
        slug: slug.into(),
        asked_at_ms: now,
        row: row.into(),
        admitted,
        protocol: protocol.chars().take(64).collect(),
        server: short(server),
        capabilities: short(capabilities),
        instructions: instructions.filter(|words| words.len() <= HEAD_BYTES_MAX),
        entries,
        left_out,
        revision,
    };
    (catalog, news)
}

/// Whether the two differ in more than when the server was asked.
pub fn is_same(a: &Catalog, b: &Catalog) -> bool {
    let Catalog { asked_at_ms: _, revision: _, .. } = a;
    Catalog { asked_at_ms: b.asked_at_ms, revision: b.revision, ..a.clone() } == *b
}

/// Puts an owner's word into a catalog; how many entries it was about, or why it says nothing.
pub fn approve(catalog: &mut Catalog, which: &Which) -> Result<usize, String> {
    let mut approved = 0;
    match which {
        Which::All => {
            for entry in catalog.entries.iter_mut().filter(|entry| entry.offered) {
                approved += usize::from(entry.standing != Standing::Approved);
                entry.standing = Standing::Approved;
            }
        }
        Which::One { kind, name, sha256 } => {
            let mut offered = catalog.entries.iter_mut().filter(|entry| entry.offered && entry.kind == *kind);
            let Some(entry) = offered.find(|entry| entry.name == *name) else {
                return Err(format!("{} offers no {} called {name:?}", catalog.slug, kind.as_str()));
            };
            if sha256.as_ref().is_some_and(|seen| *seen != entry.sha256) {
                return Err(format!("{name:?} has changed since you looked: see mcp_servers.changes again"));
            }
            approved += usize::from(entry.standing != Standing::Approved);
            entry.standing = Standing::Approved;
        }
    }
    catalog.admitted = true;
    Ok(approved)
}

/// What is different between what was approved and what is offered, field by field.
pub fn differences(was: &Value, is: &Value) -> Vec<Difference> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), &canonical(was), &mut old);
    flatten(String::new(), &canonical(is), &mut new);
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let different = fields.into_iter().filter(|field| old.get(*field) != new.get(*field));
    let shown = |value: Option<&String>| value.map(|value| value.chars().take(DIFFERENCE_CHARS_MAX).collect());
    different
        .take(DIFFERENCES_MAX)
        .map(|field| Difference { field: field.clone(), was: shown(old.get(field)), is: shown(new.get(field)) })
        .collect()
}

/// SHA-256 of what is pinned of a definition, hexadecimal: whatever the order of its keys.
pub fn fingerprint(definition: &Value) -> String {
    hex_sha256(canonical(definition).to_string().as_bytes())
}

/// What a server is reached by. A row that was changed in anything else leads to the same server.
pub fn row_fingerprint(row: &McpServer) -> String {
    let McpServer { command, url, headers_env, transport, env, env_from, cwd, .. } = row;
    hex_sha256(json!([command, url, headers_env, transport, env, env_from, cwd]).to_string().as_bytes())
}

pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn standing(kind: EntryKind, before: Option<Entry>, sha256: &str, is_trusted: bool) -> Standing {
    if is_trusted || !is_pinned(kind) {
        return Standing::Approved;
    }
    match before {
        None => Standing::New,
        Some(entry) => match entry.standing {
            Standing::New => Standing::New,
            Standing::Approved if entry.sha256 == sha256 => Standing::Approved,
            Standing::Approved => Standing::Changed { approved: entry.definition, approved_sha256: entry.sha256 },
            Standing::Changed { approved_sha256, .. } if approved_sha256 == sha256 => Standing::Approved,
            changed @ Standing::Changed { .. } => changed,
        },
    }
}

/// A model reads tools and prompts as instructions. Resources come and go with the files of a folder.
fn is_pinned(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Tool | EntryKind::Prompt)
}

/// What can be taken of an offer, each once, and what cannot, with the reason.
fn take(
    definitions: Vec<(EntryKind, Value)>,
    mut left_out: Vec<LeftOut>,
) -> (Vec<(EntryKind, String, Value)>, Vec<LeftOut>) {
    let mut taken: Vec<(EntryKind, String, Value)> = Vec::new();
    let (mut seen, mut counts, mut bytes) = (BTreeSet::new(), BTreeMap::new(), 0);
    for (kind, definition) in definitions {
        let name = definition.get(name_field(kind)).and_then(Value::as_str).unwrap_or_default().to_owned();
        let size = size_of(&definition);
        let count: &mut usize = counts.entry(kind).or_default();
        let why = match () {
            () if name.is_empty() => Some(format!("it has no {}", name_field(kind))),
            () if name.len() > kind.name_bytes_max() => {
                Some(format!("its name is longer than {} bytes", kind.name_bytes_max()))
            }
            () if size > DEFINITION_BYTES_MAX => {
                Some(format!("its definition has {size} bytes, and {DEFINITION_BYTES_MAX} are taken"))
            }
            () if kind == EntryKind::Tool && !has_schema(&definition) => Some("its inputSchema is no object".into()),
            () if seen.contains(&(kind, name.clone())) => Some("there is another one of this name".into()),
            () if *count >= OFFERED_MAX => Some(format!("the server offers more than {OFFERED_MAX}")),
            () if bytes + size > OFFERED_BYTES_MAX => {
                Some(format!("the server's definitions are longer than {OFFERED_BYTES_MAX} bytes"))
            }
            () => None,
        };
        if let Some(why) = why {
            if left_out.len() < LEFT_OUT_MAX {
                left_out.push(LeftOut { kind, name: name.chars().take(128).collect(), why });
            }
            continue;
        }
        *count += 1;
        bytes += size;
        seen.insert((kind, name.clone()));
        taken.push((kind, name, definition));
    }
    left_out.truncate(LEFT_OUT_MAX);
    (taken, left_out)
}

fn name_field(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Tool | EntryKind::Prompt => "name",
        EntryKind::Resource => "uri",
        EntryKind::Template => "uriTemplate",
    }
}

fn has_schema(tool: &Value) -> bool {
    tool.get("inputSchema").is_none_or(Value::is_object)
}

/// The pinned fields, keys in order.
fn canonical(definition: &Value) -> Value {
    let Some(fields) = definition.as_object() else { return Value::Null };
    let pinned = fields.iter().filter(|(key, _)| PINNED.contains(&key.as_str()));
    sorted(&Value::Object(pinned.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// The same value with the keys of all its objects in order, whatever map serde_json was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ordered: BTreeMap<_, _> = fields.iter().collect();
            let fields: Map<_, _> = ordered.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(fields)
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn flatten(path: String, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| flatten(below(key), value, into));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(below(&at.to_string()), value, into));
        }
        Value::String(words) => drop(into.insert(path, words.clone())),
        other => drop(into.insert(path, other.to_string())),
    }
}

/// Bytes of JSON.
fn size_of(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("counting does not fail");
    count.0
}

#[cfg(test)]
#[path = "pinning_tests.rs"]
mod tests;
