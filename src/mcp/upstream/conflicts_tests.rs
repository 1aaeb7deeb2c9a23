//! Who is in whose way, and who stands in for whom.

use serde_json::{Map, json};

use super::*;
use crate::common::who::Role;
use crate::mcp::definition::Annotations;

fn tool(slug: &str, own: &str, description: &str, argument: &str) -> Arc<Definition> {
    Arc::new(Definition {
        name: format!("{slug}__{own}").into(),
        title: None,
        description: description.into(),
        input: json!({ "type": "object", "properties": { argument: { "type": "string" } } }).into(),
        output: None,
        annotations: Annotations::default(),
        access: Role::Member,
        origin: Origin::Server { slug: slug.into(), tool: own.into() },
        pinned: false,
        extra: Map::new(),
    })
}

fn found(tools: &[Arc<Definition>]) -> Vec<(ConflictKind, Vec<String>)> {
    conflicts(tools).into_iter().map(|conflict| (conflict.kind, conflict.tools)).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_ledger_knows_namesakes_mirrors_and_near_duplicates() {
    let tools = [
        tool("a", "search", "Searches the web for pages.", "query"),
        tool("b", "search", "Looks into the mail archive.", "text"),
        tool("a", "fetch", "Fetches a page.", "url"),
        tool("c", "fetch", "Gets something by its address.", "url"),
        tool("a", "list_issues", "Lists open issues of a repository on the forge, newest first.", "repo"),
        tool("d", "issues_list", "Lists open issues of a repository on the forge, newest first.", "repository"),
        tool("a", "alone", "Nothing is like it.", "x"),
    ];
    assert_eq!(
        found(&tools),
        [
            (ConflictKind::SameName, names(&["a__search", "b__search"])),
            (ConflictKind::Mirror, names(&["a__fetch", "c__fetch"])),
            (ConflictKind::NearDuplicate, names(&["a__list_issues", "d__issues_list"])),
        ]
    );
}

#[test]
fn tools_of_one_server_are_its_own_business() {
    let tools = [
        tool("a", "get_user", "Gets a user of the house by name.", "name"),
        tool("a", "get_users", "Gets a user of the house by name.", "name"),
    ];
    assert!(found(&tools).is_empty());
}

#[test]
fn ten_thousand_tools_that_say_the_same_are_not_compared_with_each_other() {
    let tools: Vec<_> = (0..10_000)
        .map(|n| tool(&format!("s{}", n % 200), &format!("t{n}"), "Does what it does with the thing.", "x"))
        .collect();
    assert!(conflicts(&tools).len() <= CONFLICTS_MAX);
}

#[test]
fn the_mirror_that_works_and_is_quickest_comes_first() {
    let fit =
        |is_broken, is_up, ms: Option<u64>| Fitness { is_broken, is_up, call_takes: ms.map(Duration::from_millis) };
    assert_eq!(order(&[]), [0; 0]);
    assert_eq!(order(&[fit(false, false, None), fit(false, false, None)]), [0, 1]);
    assert_eq!(order(&[fit(true, false, Some(1)), fit(false, false, None)]), [1, 0], "what is broken is last");
    assert_eq!(order(&[fit(false, false, Some(1)), fit(false, true, Some(50))]), [1, 0], "what is up is first");
    assert_eq!(order(&[fit(false, true, Some(50)), fit(false, true, Some(10))]), [1, 0]);
    assert_eq!(order(&[fit(false, true, Some(50)), fit(false, true, Some(45))]), [0, 1], "about the same");
}
