//! What of one server's catalog may be used, as it is listed: made when the catalog changes, kept in memory instead of it.
//! What waits for an owner's word is counted and not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::common::config::McpServer;
use crate::common::time::UnixMillis;
use crate::common::who::Role;
use crate::mcp::definition::{Annotations, Definition, Origin};
use crate::mcp::upstream::names::Names;
use crate::store::{Catalog, Entry, EntryKind, Standing};

/// See the module.
#[derive(Debug, Default)]
pub struct Shelf {
    pub tools: Vec<Arc<Definition>>,
    pub prompts: Vec<Arc<Piece>>,
    pub resources: Vec<Arc<Piece>>,
    pub templates: Vec<Arc<Piece>>,
    pub counts: Counts,
    pub asked_at_ms: UnixMillis,
    /// The fingerprint of the row by which it was asked.
    pub row: Box<str>,
    /// What of its server's row it was made by.
    pub trust: bool,
    pub access: Option<Role>,
    /// Name and version, as the server says them.
    pub server: Value,
    pub protocol: Box<str>,
}

/// How many of what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub tools: usize,
    pub prompts: usize,
    pub resources: usize,
    /// Tools and prompts that nobody has approved yet.
    pub new: usize,
    /// Tools and prompts that are not what was approved.
    pub changed: usize,
    pub left_out: usize,
}

/// A prompt, a resource or a template of a server.
#[derive(Debug, PartialEq)]
pub struct Piece {
    pub slug: Box<str>,
    /// The server's own name, URI or template.
    pub own: Box<str>,
    /// The hub's.
    pub exposed: Arc<str>,
    pub access: Role,
    /// As it is listed.
    pub value: Value,
}

impl Shelf {
    /// What may be used of a catalog; without `trust` only what was approved.
    pub fn new(catalog: Catalog, row: &McpServer, names: &Names) -> Shelf {
        let mut shelf = Shelf {
            asked_at_ms: catalog.asked_at_ms,
            row: catalog.row.into(),
            trust: row.trust,
            access: Some(row.access),
            server: catalog.server,
            protocol: catalog.protocol.into(),
            ..Shelf::default()
        };
        shelf.counts.left_out = catalog.left_out.len();
        let slug: Box<str> = catalog.slug.into();
        for entry in catalog.entries.into_iter().filter(|entry| entry.offered) {
            let is_approved = row.trust || entry.standing == Standing::Approved;
            let count = match (entry.kind, &entry.standing) {
                (EntryKind::Tool, _) if is_approved => &mut shelf.counts.tools,
                (EntryKind::Prompt, _) if is_approved => &mut shelf.counts.prompts,
                (EntryKind::Resource | EntryKind::Template, _) => &mut shelf.counts.resources,
                (_, Standing::Changed { .. }) => &mut shelf.counts.changed,
                _ => &mut shelf.counts.new,
            };
            *count += 1;
            let is_admitted = match entry.kind {
                EntryKind::Tool | EntryKind::Prompt => is_approved,
                EntryKind::Resource | EntryKind::Template => row.trust || catalog.admitted,
            };
            if is_admitted {
                shelf.put(&slug, entry, row.access, names);
            }
        }
        shelf
    }

    /// Takes over what is as it was on the shelf before, so that whoever holds it holds nothing twice.
    pub fn keep_same(&mut self, old: &Shelf) {
        fn keep<T: PartialEq>(new: &mut [Arc<T>], old: &[Arc<T>], key: impl Fn(&T) -> &str) {
            let known: BTreeMap<&str, &Arc<T>> = old.iter().map(|one| (key(one), one)).collect();
            for one in new {
                if let Some(same) = known.get(key(one)).filter(|known| ***known == *one) {
                    *one = Arc::clone(same);
                }
            }
        }
        keep(&mut self.tools, &old.tools, |tool| &tool.name);
        keep(&mut self.prompts, &old.prompts, |piece| &piece.exposed);
        keep(&mut self.resources, &old.resources, |piece| &piece.exposed);
        keep(&mut self.templates, &old.templates, |piece| &piece.exposed);
    }

    fn put(&mut self, slug: &str, entry: Entry, access: Role, names: &Names) {
        let Entry { kind, name, definition, .. } = entry;
        match kind {
            EntryKind::Tool => {
                let Some(exposed) = names.get(slug, kind, &name) else { return };
                self.tools.push(Arc::new(tool(slug, &name, &exposed, definition, access)));
            }
            EntryKind::Prompt => {
                let Some(exposed) = names.get(slug, kind, &name) else { return };
                self.prompts.push(piece(slug, &name, exposed, "name", definition, access));
            }
            EntryKind::Resource => {
                let uri = names.uri(slug, kind, &name);
                self.resources.push(piece(slug, &name, uri, "uri", definition, access));
            }
            EntryKind::Template => {
                let uri = names.uri(slug, kind, &name);
                self.templates.push(piece(slug, &name, uri, "uriTemplate", definition, access));
            }
        }
    }
}

fn piece(slug: &str, own: &str, exposed: Arc<str>, field: &str, mut value: Value, access: Role) -> Arc<Piece> {
    if let Some(shown) = value.get_mut(field)
        && shown.as_str() != Some(&*exposed)
    {
        *shown = json!(&*exposed);
    }
    Arc::new(Piece { slug: slug.into(), own: own.into(), exposed, access, value })
}

/// A server's tool as everybody sees it. Its words and schemas stay as they came.
fn tool(slug: &str, own: &str, exposed: &str, definition: Value, access: Role) -> Definition {
    let mut fields = match definition {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.remove("name");
    let words = |fields: &mut Map<String, Value>, key: &str| match fields.remove(key) {
        Some(Value::String(words)) => Some(words),
        _ => None,
    };
    let description = words(&mut fields, "description").unwrap_or_default();
    let hints = fields.remove("annotations").unwrap_or_default();
    let title = words(&mut fields, "title").or_else(|| hints.get("title")?.as_str().map(Into::into));
    let input = fields.remove("inputSchema").filter(Value::is_object).unwrap_or_else(|| json!({ "type": "object" }));
    let output = fields.remove("outputSchema").filter(Value::is_object);
    Definition {
        name: exposed.into(),
        title,
        description,
        input: input.into(),
        output: output.map(Into::into),
        annotations: Annotations::from_value(&hints),
        access,
        origin: Origin::Server { slug: slug.into(), tool: own.into() },
        pinned: false,
        extra: fields,
    }
}
