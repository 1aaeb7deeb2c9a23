//! All servers' things together, as they are listed and found: a snapshot that costs nothing to take. Made anew with every change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth;
use crate::common::who::{Principal, Role};
use crate::mcp::definition::{Definition, Origin};
use crate::mcp::upstream::conflicts::mirror_groups;
use crate::mcp::upstream::names::{BORDER, fits_template, unmoved, words_of_template};
use crate::mcp::upstream::overlay::{Refused, lay};
use crate::mcp::upstream::policy::Policy;
use crate::mcp::upstream::roster::Server;
use crate::mcp::upstream::shelf::{Piece, Shelf};
use crate::store::ToolOverlay;

/// See the module.
#[derive(Debug)]
pub struct View {
    pub tools: Arc<[Arc<Definition>]>,
    /// Another name of a tool → the one that is listed.
    pub also: BTreeMap<Box<str>, Box<str>>,
    /// A listed name → tools that can stand in for it.
    pub mirrors: BTreeMap<Box<str>, Vec<Arc<Definition>>>,
    pub prompts: BTreeMap<Arc<str>, Arc<Piece>>,
    pub resources: BTreeMap<Arc<str>, Arc<Piece>>,
    pub templates: BTreeMap<Arc<str>, Arc<Piece>>,
    /// Servers whose resources may be read, and who may.
    admitted: BTreeMap<Box<str>, Role>,
    pub refused: Vec<Refused>,
}

/// Where a URI leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub slug: Box<str>,
    /// The server's own URI or template.
    pub own: Box<str>,
    pub access: Role,
}

impl Default for View {
    fn default() -> View {
        View {
            tools: Arc::from([]),
            also: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            prompts: BTreeMap::new(),
            resources: BTreeMap::new(),
            templates: BTreeMap::new(),
            admitted: BTreeMap::new(),
            refused: Vec::new(),
        }
    }
}

impl View {
    pub fn new(
        servers: &BTreeMap<Box<str>, Server>,
        shelves: &BTreeMap<Box<str>, Arc<Shelf>>,
        overlays: &BTreeMap<String, ToolOverlay>,
        policy: Policy,
    ) -> View {
        let mut view = View::default();
        let mut tools = Vec::new();
        for (slug, shelf) in shelves {
            let Some(server) = servers.get(slug).filter(|server| server.enabled) else { continue };
            let is_on = |tool: &&Arc<Definition>| match &tool.origin {
                Origin::Server { tool, .. } => !server.disabled_tools.contains(&**tool),
                Origin::Hub => true,
            };
            tools.extend(shelf.tools.iter().filter(is_on).cloned());
            for (pieces, into) in [
                (&shelf.prompts, &mut view.prompts),
                (&shelf.resources, &mut view.resources),
                (&shelf.templates, &mut view.templates),
            ] {
                into.extend(pieces.iter().map(|piece| (piece.exposed.clone(), piece.clone())));
            }
            if !(shelf.resources.is_empty() && shelf.templates.is_empty() && shelf.tools.is_empty()) {
                view.admitted.insert(slug.clone(), server.row.access);
            }
        }
        let merged;
        let overlays = match policy.merges_mirrors() {
            false => overlays,
            true => {
                merged = with_mirrors_merged(&tools, overlays);
                &merged
            }
        };
        let laid = lay(tools, overlays);
        View { tools: laid.tools.into(), also: laid.also, mirrors: laid.mirrors, refused: laid.refused, ..view }
    }

    /// Takes over the list of tools where it holds the same ones as before: what was made of it stays good.
    pub fn keep_same(&mut self, old: &View) {
        let is_same = self.tools.len() == old.tools.len()
            && self.tools.iter().zip(old.tools.iter()).all(|(a, b)| Arc::ptr_eq(a, b));
        if is_same {
            self.tools = old.tools.clone();
        }
    }

    /// A tool by its listed name or another one.
    pub fn tool(&self, name: &str) -> Option<&Arc<Definition>> {
        let name = self.also.get(name).map_or(name, |listed| listed);
        let at = self.tools.binary_search_by(|tool| (*tool.name).cmp(name)).ok()?;
        Some(&self.tools[at])
    }

    /// Whether `who` is refused a tool by any of its names: a tool that was renamed or merged is no other tool.
    pub fn is_denied(&self, who: &Principal, tool: &Definition) -> bool {
        let denies = |name: &str| who.deny.iter().any(|pattern| auth::matches(pattern, name));
        !who.deny.is_empty()
            && (denies(&tool.name) || self.also.iter().any(|(other, listed)| **listed == *tool.name && denies(other)))
    }

    /// Whose a resource or a template is.
    pub fn uri(&self, uri: &str) -> Option<Found> {
        let of =
            |piece: &Arc<Piece>, own: &str| Found { slug: piece.slug.clone(), own: own.into(), access: piece.access };
        if let Some(piece) = self.resources.get(uri).or_else(|| self.templates.get(uri)) {
            return Some(of(piece, &piece.own));
        }
        if let Some((slug, own)) = unmoved(uri) {
            let access = *self.admitted.get(slug)?;
            return Some(Found { slug: slug.into(), own: own.into(), access });
        }
        // The one that says most about it: `{+any}` takes nothing away from whoever names a place.
        let fitting = self.templates.values().filter(|piece| fits_template(&piece.exposed, uri));
        let piece = fitting.max_by(|a, b| {
            let words = |piece: &Piece| words_of_template(&piece.exposed);
            words(a).cmp(&words(b)).then_with(|| b.exposed.cmp(&a.exposed))
        })?;
        Some(of(piece, uri))
    }

    /// Who may read the resources of a server.
    pub fn access(&self, slug: &str) -> Option<Role> {
        self.admitted.get(slug).copied()
    }

    /// What is listed otherwise than in `other`: tools, prompts, resources and templates.
    pub fn differs(&self, other: &View) -> [bool; 3] {
        let same = |a: &BTreeMap<Arc<str>, Arc<Piece>>, b: &BTreeMap<Arc<str>, Arc<Piece>>| {
            a.len() == b.len() && a.values().zip(b.values()).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
        };
        let tools = self.tools.len() == other.tools.len()
            && self.tools.iter().zip(other.tools.iter()).all(|(a, b)| Arc::ptr_eq(a, b) || a == b);
        let resources = same(&self.resources, &other.resources) && same(&self.templates, &other.templates);
        [!tools, !same(&self.prompts, &other.prompts), !resources]
    }
}

/// Whether `who` may use the prompts and resources of a server, a prompt by its name: by the same patterns as its tools.
pub fn may_use(who: &Principal, slug: &str, name: &str, access: Role) -> bool {
    match name.is_empty() {
        true => auth::may_call(who, &format!("{slug}{BORDER}"), access).is_ok(),
        false => auth::may_call(who, name, access).is_ok(),
    }
}

/// The overlays, and a merge for each tool that does the same as one before it and has none.
fn with_mirrors_merged(
    tools: &[Arc<Definition>],
    overlays: &BTreeMap<String, ToolOverlay>,
) -> BTreeMap<String, ToolOverlay> {
    let mut merged = overlays.clone();
    for group in mirror_groups(tools) {
        let Some((first, others)) = group.split_first() else { continue };
        for other in others {
            merged.entry(other.name.to_string()).or_insert_with(|| ToolOverlay {
                tool: other.name.to_string(),
                merged_into: Some(first.name.to_string()),
                ..ToolOverlay::default()
            });
        }
    }
    merged
}
