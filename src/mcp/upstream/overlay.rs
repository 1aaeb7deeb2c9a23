//! Lays an owner's overlays over the servers' tools: other names and words, hidden, pinned, merged. Takes nothing away for good: without the
//! overlay a tool is what it was. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::mcp::definition::{Definition, Origin};
use crate::store::{ToolOverlay, is_tool_name};

/// Tools of the hub whose names have no dot: no other tool may be called so.
pub const RESERVED: [&str; 5] = ["ask", "status", "search_tools", "describe_tool", "call_tool"];

/// Merges followed from one tool to the next.
const MERGES_MAX: usize = 8;

/// What came of it.
#[derive(Debug, Default)]
pub struct Laid {
    /// What is listed, by name.
    pub tools: Vec<Arc<Definition>>,
    /// Another name that is listed → the listed one: of what was renamed or merged.
    pub also: BTreeMap<Box<str>, Box<str>>,
    /// A listed name → the persistent ones of tools with the same schemas that were merged into it.
    pub mirrors: BTreeMap<Box<str>, Vec<Arc<Definition>>>,
    /// What could not be done, and why.
    pub refused: Vec<Refused>,
}

/// An overlay that has (in part) no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub tool: Box<str>,
    pub why: String,
}

/// Lays all overlays over all tools, whose names are the persistent ones.
pub fn lay(tools: Vec<Arc<Definition>>, overlays: &BTreeMap<String, ToolOverlay>) -> Laid {
    let mut laid = Laid::default();
    let known: BTreeMap<Box<str>, Arc<Definition>> = tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect();
    let is_hidden = |name: &str| overlays.get(name).is_some_and(|overlay| overlay.hidden);
    let mut shown: BTreeMap<&str, Box<str>> = BTreeMap::new();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    for (name, tool) in known.iter().filter(|(name, _)| !is_hidden(name)) {
        let wanted =
            overlays.get(&**name).and_then(|overlay| overlay.name.as_deref()).filter(|wanted| *wanted != &**name);
        let why = wanted.and_then(|wanted| match () {
            () if !is_tool_name(wanted) => Some("it is no name of a tool"),
            () if RESERVED.contains(&wanted) => Some("a tool of the hub is called so"),
            () if known.contains_key(wanted) => Some("another tool is called so"),
            () if given.contains(wanted) => Some("another tool was renamed to it"),
            () => None,
        });
        match (wanted, why) {
            (Some(wanted), None) => {
                given.insert(wanted);
                shown.insert(name, wanted.into());
            }
            (Some(wanted), Some(why)) => {
                laid.refused
                    .push(Refused { tool: name.clone(), why: format!("it cannot be called {wanted:?}: {why}") });
                shown.insert(name, tool.name.clone());
            }
            (None, _) => drop(shown.insert(name, tool.name.clone())),
        }
    }
    for (name, tool) in &known {
        let Some(listed) = shown.get(&**name) else { continue };
        let overlay = overlays.get(&**name);
        match overlay
            .and_then(|overlay| overlay.merged_into.as_deref())
            .map(|into| target(into, &known, &shown, overlays))
        {
            Some(Ok(into)) if *into != **name => {
                let listed_target = shown[into].clone();
                laid.also.insert(name.clone(), listed_target.clone());
                if listed != name {
                    laid.also.insert(listed.clone(), listed_target.clone());
                }
                let tool = dressed(tool, name, overlay);
                let target = dressed(&known[into], into, overlays.get(into));
                if is_mirror(&tool, &target) && tool.access <= target.access {
                    laid.mirrors.entry(listed_target).or_default().push(tool);
                }
                continue;
            }
            Some(Ok(_)) => laid.refused.push(Refused { tool: name.clone(), why: "it is merged into itself".into() }),
            Some(Err(why)) => laid.refused.push(Refused { tool: name.clone(), why }),
            None => {}
        }
        if listed != name {
            laid.also.insert(name.clone(), listed.clone());
        }
        laid.tools.push(dressed(tool, listed, overlay));
    }
    laid.tools.sort_by(|a, b| a.name.cmp(&b.name));
    laid
}

/// Whether one can do the other's work: the same schemas at different servers.
pub fn is_mirror(a: &Definition, b: &Definition) -> bool {
    let elsewhere = match (&a.origin, &b.origin) {
        (Origin::Server { slug: a, .. }, Origin::Server { slug: b, .. }) => a != b,
        _ => false,
    };
    elsewhere && a.input == b.input && a.output == b.output
}

/// The persistent name of the tool into which another one goes.
fn target<'a>(
    into: &str,
    known: &'a BTreeMap<Box<str>, Arc<Definition>>,
    shown: &BTreeMap<&str, Box<str>>,
    overlays: &BTreeMap<String, ToolOverlay>,
) -> Result<&'a str, String> {
    let persistent = |name: &str| match shown.iter().find(|(_, shown)| ***shown == *name) {
        Some((persistent, _)) => (*persistent).to_owned(),
        None => name.to_owned(),
    };
    let mut name = persistent(into);
    for _ in 0..MERGES_MAX {
        if !shown.contains_key(name.as_str()) {
            return Err(format!("there is no tool {into:?} into which it could be merged"));
        }
        match overlays.get(&name).and_then(|overlay| overlay.merged_into.as_deref()) {
            Some(next) if known.contains_key(persistent(next).as_str()) => name = persistent(next),
            _ => return Ok(&known.get(name.as_str()).expect("what is shown is known").name),
        }
    }
    Err("it is merged in a circle".into())
}

/// The tool in an owner's words; the same one where there are none.
fn dressed(tool: &Arc<Definition>, listed: &str, overlay: Option<&ToolOverlay>) -> Arc<Definition> {
    let Some(overlay) = overlay else { return tool.clone() };
    let mut dressed = Definition::clone(tool);
    dressed.name = listed.into();
    dressed.title = overlay.title.clone().or(dressed.title);
    if let Some(description) = &overlay.description {
        dressed.description.clone_from(description);
    }
    dressed.pinned = overlay.pinned;
    dressed.access = overlay.access.unwrap_or(dressed.access);
    if dressed == **tool { tool.clone() } else { Arc::new(dressed) }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
