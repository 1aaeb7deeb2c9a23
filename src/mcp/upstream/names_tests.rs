//! Names are unique, valid, stable and reversible, whatever servers call their things.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::store::is_tool_name;

const TOOL: EntryKind = EntryKind::Tool;

/// Names as servers make them, and as hostile ones do: short alphabets, so that they meet.
fn own() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab_.]{0,4}",
        "[A-Za-z0-9_-]{1,64}",
        "[a-c]{50,60}",
        any::<String>(),
        // What another one's name with a hash may look like.
        ("[ab.]{1,3}", Just("files")).prop_map(|(own, slug)| {
            let hashed = candidates(slug, &own, false).last().expect("there is one");
            hashed.strip_prefix("files__").expect("it has the server's name").to_owned()
        }),
    ]
}

fn slug() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["files", "f", "file-s", "a_b", "abcdefghijklmnopqrstuvwx"]).prop_map(String::from)
}

proptest! {
    #[test]
    fn names_are_unique_valid_stable_and_reversible(
        things in prop::collection::vec((slug(), own()), 1..40),
    ) {
        let mut names = Names::default();
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for (at, (slug, own)) in things.iter().enumerate() {
            kept.extend(names.give(slug, TOOL, false, std::iter::once(own.as_str())));
            let name = names.get(slug, TOOL, own).expect("nothing is dropped");
            prop_assert!(is_tool_name(&name), "{name}");
            let has_head = name.starts_with(&format!("{slug}__"));
            prop_assert!(has_head, "{name}");
            prop_assert_eq!(names.owner(TOOL, &name), Some((slug.as_str(), own.as_str())));
            seen.insert(name);
            let distinct: BTreeSet<_> = things[..=at].iter().collect();
            prop_assert_eq!(seen.len(), distinct.len(), "no name is given twice");
        }
        // Kept and read again, they are the same, and nothing new is given.
        let mut again = Names::new(kept);
        for (slug, own) in &things {
            prop_assert_eq!(again.get(slug, TOOL, own), names.get(slug, TOOL, own));
            prop_assert!(again.give(slug, TOOL, false, std::iter::once(own.as_str())).is_empty());
        }
    }

    #[test]
    fn the_order_in_which_things_are_offered_does_not_matter(
        owns in prop::collection::vec("[ab_.ü]{0,6}", 1..30).prop_map(|owns| owns.into_iter().collect::<BTreeSet<_>>()),
        backwards in any::<bool>(),
    ) {
        let list: Vec<_> = owns.iter().map(String::as_str).collect();
        let mut at_once = Names::default();
        at_once.give("s", TOOL, false, list.iter().copied());
        let mut one_by_one = Names::default();
        let order: Vec<_> = if backwards { list.iter().rev().copied().collect() } else { list.clone() };
        for own in order {
            one_by_one.give("s", TOOL, false, std::iter::once(own));
        }
        for own in list {
            prop_assert_eq!(at_once.get("s", TOOL, own), one_by_one.get("s", TOOL, own));
        }
    }

    #[test]
    fn a_second_server_changes_no_name_and_no_uri(
        first in prop::collection::vec(own(), 1..20),
        second in prop::collection::vec(own(), 1..20),
    ) {
        let mut names = Names::default();
        names.give("files", TOOL, false, first.iter().map(String::as_str));
        names.give_uris("files", EntryKind::Resource, first.iter().map(String::as_str));
        let shown = |names: &Names| -> Vec<_> {
            let both = |own: &String| (names.get("files", TOOL, own), names.uri("files", EntryKind::Resource, own));
            first.iter().map(both).collect()
        };
        let before = shown(&names);
        names.give("f", TOOL, false, second.iter().map(String::as_str));
        names.give_uris("f", EntryKind::Resource, second.iter().map(String::as_str));
        prop_assert_eq!(shown(&names), before);
        for own in first.iter().filter(|own| second.contains(own)) {
            let (mine, others) = (names.uri("files", EntryKind::Resource, own), names.uri("f", EntryKind::Resource, own));
            prop_assert_ne!(mine, others);
        }
    }

    #[test]
    fn a_moved_uri_leads_back(slug in slug(), uri in any::<String>()) {
        let elsewhere = moved(&slug, &uri);
        prop_assert_eq!(unmoved(&elsewhere), Some((slug.as_str(), uri.as_str())));
    }

    #[test]
    fn no_template_and_no_uri_panics(template in any::<String>(), uri in any::<String>()) {
        fits_template(&template, &uri);
    }
}

#[test]
fn names_look_as_people_expect() {
    let mut names = Names::default();
    let long = "a_very_long_name_that_some_generator_made_out_of_a_path_and_a_verb";
    names.give("files", TOOL, false, ["read_file", "read.file", long, ""].into_iter());
    let shown = |own| names.get("files", TOOL, own).expect("it has a name").to_string();
    assert_eq!(shown("read_file"), "files__read_file");
    assert_eq!(shown("read.file").len(), "files__read_file_123456".len());
    assert!(shown("read.file").starts_with("files__read_file_"), "{}", shown("read.file"));
    assert_eq!(shown(long).len(), NAME_BYTES_MAX);
    assert_eq!(shown("").len(), "files___123456".len());
}

#[test]
fn a_uri_moves_only_where_it_must_and_then_for_good() {
    let mut names = Names::default();
    let resource = EntryKind::Resource;
    assert!(names.give_uris("a", resource, ["file:///x"].into_iter()).is_empty());
    let kept = names.give_uris("b", resource, ["file:///x", "HEARTH://settings"].into_iter());
    assert_eq!(kept.len(), 1, "what must move always needs no record");
    assert_eq!(&*names.uri("a", resource, "file:///x"), "file:///x");
    assert_eq!(&*names.uri("b", resource, "file:///x"), "upstream://b/file:///x");
    assert_eq!(&*names.uri("b", resource, "HEARTH://settings"), "upstream://b/HEARTH://settings");
    names.leave_uris("a");
    names.give_uris("b", resource, ["file:///x"].into_iter());
    assert_eq!(&*names.uri("b", resource, "file:///x"), "upstream://b/file:///x", "it does not move back");
}

#[test]
fn names_that_nobody_uses_make_room() {
    let mut names = Names::default();
    names.give("a", TOOL, false, ["x", "y", "z"].into_iter());
    assert!(names.surplus("a", 3, |_, _| false).is_empty());
    let surplus = names.surplus("a", 2, |_, own| own == "x");
    assert_eq!(surplus, ["tool:y".into()]);
    names.release("a", &surplus[0]);
    assert_eq!(names.get("a", TOOL, "y"), None);
    assert_eq!(names.owner(TOOL, "a__y"), None);
}

#[test]
fn a_template_knows_its_uris() {
    for (template, uri) in [
        ("file:///{path}", "file:///a/b"),
        ("test://template/{id}/data", "test://template/7/data"),
        ("x://{a}/{b}", "x://1/2"),
        ("x://fixed", "x://fixed"),
    ] {
        assert!(fits_template(template, uri), "{template} {uri}");
    }
    for (template, uri) in [("file:///{path}", "http://a"), ("t://{id}/data", "t://7/other"), ("x://{", "x://1")] {
        assert!(!fits_template(template, uri), "{template} {uri}");
    }
}

#[test]
fn a_bare_server_keeps_its_own_names_where_nobody_has_them() {
    let mut names = Names::default();
    names.give("a", TOOL, true, ["read", "ask", "b.c", "b__write"].into_iter());
    names.give("b", TOOL, true, ["read", "write"].into_iter());
    let of = |slug, own| names.get(slug, TOOL, own).map(|name| name.to_string());
    assert_eq!(of("a", "read").as_deref(), Some("read"));
    assert_eq!(of("a", "ask").as_deref(), Some("a__ask"), "a tool of the hub is called so");
    assert!(of("a", "b.c").is_some_and(|name| name.starts_with("a__b_c_")));
    assert!(
        of("a", "b__write").is_some_and(|name| name.starts_with("a__")),
        "what may be called of b is said by that name"
    );
    assert_eq!((of("b", "read").as_deref(), of("b", "write").as_deref()), (Some("b__read"), Some("write")));
}
