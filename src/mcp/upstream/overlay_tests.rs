//! What an owner lays over tools, and takes away again.

use serde_json::{Map, json};

use super::*;
use crate::common::who::Role;
use crate::mcp::definition::Annotations;

fn tool(slug: &str, own: &str) -> Arc<Definition> {
    Arc::new(Definition {
        name: format!("{slug}__{own}").into(),
        title: None,
        description: format!("{own} of {slug}"),
        input: json!({ "type": "object", "properties": { own: {} } }).into(),
        output: None,
        annotations: Annotations::default(),
        access: Role::Member,
        origin: Origin::Server { slug: slug.into(), tool: own.into() },
        pinned: false,
        extra: Map::new(),
    })
}

fn all() -> Vec<Arc<Definition>> {
    vec![tool("a", "read"), tool("a", "write"), tool("b", "read"), tool("c", "read")]
}

fn overlays(list: &[(&str, ToolOverlay)]) -> BTreeMap<String, ToolOverlay> {
    let named = |(tool, overlay): &(&str, ToolOverlay)| {
        ((*tool).to_owned(), ToolOverlay { tool: (*tool).into(), ..overlay.clone() })
    };
    list.iter().map(named).collect()
}

fn named(name: &str) -> ToolOverlay {
    ToolOverlay { name: Some(name.into()), ..ToolOverlay::default() }
}

fn merged(into: &str) -> ToolOverlay {
    ToolOverlay { merged_into: Some(into.into()), ..ToolOverlay::default() }
}

fn listed(laid: &Laid) -> Vec<&str> {
    laid.tools.iter().map(|tool| &*tool.name).collect()
}

#[test]
fn without_overlays_nothing_is_copied() {
    let tools = all();
    let laid = lay(tools.clone(), &BTreeMap::new());
    assert!(laid.tools.iter().zip(&tools).all(|(a, b)| Arc::ptr_eq(a, b)));
    assert!(laid.also.is_empty() && laid.refused.is_empty());
}

#[test]
fn a_renamed_tool_keeps_its_persistent_name_as_well() {
    let laid = lay(all(), &overlays(&[("b__read", named("read_b"))]));
    assert_eq!(listed(&laid), ["a__read", "a__write", "c__read", "read_b"]);
    assert_eq!(laid.also.get("b__read").map(|name| &**name), Some("read_b"));
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_tool_stays() {
    let wanted = overlays(&[
        ("a__read", named("read")),
        ("a__write", named("a__read")),
        ("b__read", named("read")),
        ("c__read", named("ask")),
    ]);
    let laid = lay(all(), &wanted);
    assert_eq!(listed(&laid), ["a__write", "b__read", "c__read", "read"]);
    assert_eq!(laid.refused.len(), 3, "{:?}", laid.refused);
}

#[test]
fn words_access_and_pins_are_laid_over_and_hidden_tools_are_gone() {
    let other = ToolOverlay {
        title: Some("Read".into()),
        description: Some("Reads a file of the house.".into()),
        pinned: true,
        access: Some(Role::Guest),
        ..ToolOverlay::default()
    };
    let hidden = ToolOverlay { hidden: true, ..ToolOverlay::default() };
    let laid = lay(all(), &overlays(&[("a__read", other), ("a__write", hidden)]));
    assert_eq!(listed(&laid), ["a__read", "b__read", "c__read"]);
    let read = &laid.tools[0];
    assert_eq!((read.title.as_deref(), read.pinned, read.access), (Some("Read"), true, Role::Guest));
    assert_eq!(read.description, "Reads a file of the house.");
}

#[test]
fn merged_tools_lead_to_one_and_mirrors_stand_in_for_it() {
    let laid = lay(
        all(),
        &overlays(&[
            ("a__read", named("read")),
            ("b__read", merged("read")),
            ("c__read", merged("b__read")),
            ("a__write", merged("a__read")),
        ]),
    );
    assert_eq!(listed(&laid), ["read"]);
    for name in ["a__read", "b__read", "c__read", "a__write"] {
        assert_eq!(laid.also.get(name).map(|name| &**name), Some("read"), "{name}");
    }
    let mirrors: Vec<_> = laid.mirrors["read"].iter().map(|tool| &*tool.name).collect();
    assert_eq!(mirrors, ["b__read", "c__read"], "a__write has another schema");
}

#[test]
fn a_merge_that_leads_nowhere_hides_nothing() {
    let hidden = ToolOverlay { hidden: true, ..ToolOverlay::default() };
    let wanted = overlays(&[
        ("a__read", merged("ghost")),
        ("b__read", merged("c__read")),
        ("c__read", merged("b__read")),
        ("a__write", hidden),
    ]);
    let laid = lay(all(), &wanted);
    assert_eq!(listed(&laid), ["a__read", "b__read", "c__read"]);
    assert_eq!(laid.refused.len(), 3, "{:?}", laid.refused);
}

#[test]
fn a_mirror_that_fewer_may_call_is_not_reached_by_a_merge() {
    let mut strict = merged("a__read");
    strict.access = Some(Role::Owner);
    let laid = lay(all(), &overlays(&[("b__read", strict)]));
    assert!(laid.mirrors.is_empty());
}
