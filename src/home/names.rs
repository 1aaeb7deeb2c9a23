//! What things are called: names cleaned of what is hostile in them, free names for new ones, and finding what somebody
//! means. Knows no device; a thing is an id, a name and other words for it.

use crate::common::error::{ErrorBody, ErrorCode};
use crate::store::HOME_NAME_CHARS_MAX;

/// What is proposed where nothing was found.
const PROPOSALS_MAX: usize = 3;

/// The longest text that is looked for, bytes: a name of 64 characters of four bytes, and some.
const SOUGHT_BYTES_MAX: usize = 512;

/// A text as a name: without control and invisible characters, one blank where there were some, at most 64 characters.
/// `None`: nothing is left.
pub(super) fn clean(raw: &str) -> Option<String> {
    let mut name = String::new();
    let mut chars = 0;
    // Whoever sends a megabyte is not read to its end.
    for c in raw.chars().take(16 * HOME_NAME_CHARS_MAX).filter(|c| c.is_whitespace() || !is_invisible(*c)) {
        if chars == HOME_NAME_CHARS_MAX {
            break;
        }
        match c.is_whitespace() {
            true if name.is_empty() || name.ends_with(' ') => continue,
            true => name.push(' '),
            false => name.push(c),
        }
        chars += 1;
    }
    name.truncate(name.trim_end().len());
    (!name.is_empty()).then_some(name)
}

/// Text of a device that is not a name: the same, of any length up to `chars_max`.
pub(super) fn clean_text(raw: &str, chars_max: usize) -> Option<Box<str>> {
    let text: String = raw.chars().filter(|c| !is_invisible(*c)).take(chars_max).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// Control characters, those that turn the direction of what follows, those that take no room, and what is no character.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The name by which names are compared.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// The words of a name alone: `Living_Room/lamp` and `living room lamp` are the same.
fn loose(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// `base`, or the first of `base 2`, `base 3`, … that is free.
pub(super) fn free(base: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let base = clean(base).unwrap_or_else(|| "Device".into());
    if !is_taken(&base) {
        return base;
    }
    let numbered = |number: u64| {
        let number = format!(" {number}");
        let room = HOME_NAME_CHARS_MAX - number.len();
        let end = base.char_indices().nth(room).map_or(base.len(), |(at, _)| at);
        format!("{}{number}", base[..end].trim_end())
    };
    (2..).map(numbered).find(|name| !is_taken(name)).expect("there are more numbers than things")
}

/// The id of a new thing: its name in lower case with `-` for all that is neither a letter nor a digit, numbered where taken.
pub(super) fn id_of(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let base = match loose(name).replace(' ', "-") {
        empty if empty.is_empty() => "unnamed".into(),
        base => base,
    };
    if !is_taken(&base) {
        return base;
    }
    let numbered = |number: u64| format!("{base}-{number}");
    (2..).map(numbered).find(|id| !is_taken(id)).expect("there are more numbers than things")
}

/// One thing that can be meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a, T> {
    pub id: &'a str,
    pub name: &'a str,
    pub aliases: &'a [Box<str>],
    pub thing: T,
}

/// What `sought` means: an id, else a name, else an alias in any case, else the words of one of them. `what`: of which kind of
/// thing, for the error, which proposes what is near.
pub(super) fn find<'a, T: Copy>(
    what: &str,
    sought: &str,
    all: impl Iterator<Item = Called<'a, T>> + Clone,
) -> Result<T, ErrorBody> {
    if sought.len() > SOUGHT_BYTES_MAX {
        return Err(ErrorBody::new(ErrorCode::BadRequest, format!("No {what} has so long a name.")));
    }
    let folded = fold(sought.trim());
    let called = |one: &Called<T>| fold(one.name) == folded;
    let also_called = |one: &Called<T>| one.aliases.iter().any(|alias| fold(alias) == folded);
    let exact = all.clone().find(|one| one.id == sought).or_else(|| all.clone().find(|one| fold(one.id) == folded));
    let exact = exact.or_else(|| all.clone().find(called)).or_else(|| all.clone().find(also_called));
    if let Some(found) = exact {
        return Ok(found.thing);
    }
    let words = loose(sought);
    let said = |one: &Called<T>| loose(one.name) == words || one.aliases.iter().any(|alias| loose(alias) == words);
    let mut near = all.clone().filter(|one| !words.is_empty() && said(one));
    match (near.next(), near.next()) {
        (Some(one), None) => return Ok(one.thing),
        (Some(one), Some(other)) => {
            let which = format!("\"{sought}\" may be \"{}\" or \"{}\". Say which.", one.name, other.name);
            return Err(ErrorBody::new(ErrorCode::BadRequest, which));
        }
        _ => {}
    }
    let sought = clean(sought).unwrap_or_default();
    let mut message = format!("There is no {what} \"{sought}\".");
    let proposals = proposals(&words, all);
    if !proposals.is_empty() {
        let quoted: Vec<_> = proposals.iter().map(|name| format!("\"{name}\"")).collect();
        message.push_str(&format!(" Did you mean {}?", quoted.join(" or ")));
    }
    Err(ErrorBody::new(ErrorCode::NotFound, message))
}

/// The names nearest to `words`, the nearest first: those that share a word, and those that differ by few letters.
fn proposals<'a, T>(words: &str, all: impl Iterator<Item = Called<'a, T>>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = Vec::new();
    for one in all {
        let names = std::iter::once(one.name).chain(one.aliases.iter().map(|alias| &**alias));
        let distance = names.filter_map(|name| distance(words, &loose(name))).min();
        near.extend(distance.map(|distance| (distance, one.name)));
    }
    near.sort();
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter().take(PROPOSALS_MAX).map(|(_, name)| name).collect()
}

/// How far two names are apart; `None`: they have nothing to do with each other.
fn distance(sought: &str, name: &str) -> Option<usize> {
    let letters = edits(sought, name);
    if letters <= 1 + sought.chars().count() / 4 {
        return Some(letters);
    }
    let shares_a_word = sought.split(' ').any(|word| word.chars().count() > 2 && name.split(' ').any(|of| of == word));
    shares_a_word.then_some(100 + letters)
}

/// Levenshtein's distance in characters; names are short.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, of_a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, of_b) in b.iter().enumerate() {
            let change = diagonal + usize::from(of_a != *of_b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::is_home_name;

    proptest! {
        #[test]
        fn whatever_comes_is_cleaned_to_a_name_or_to_nothing(raw in any::<String>()) {
            if let Some(name) = clean(&raw) {
                prop_assert!(is_home_name(&name), "{name:?}");
                prop_assert!(!name.chars().any(is_invisible), "{name:?}");
                prop_assert_eq!(clean(&name), Some(name));
            } else {
                prop_assert!(raw.chars().all(|c| c.is_whitespace() || is_invisible(c)) || raw.chars().count() > 1_000);
            }
        }

        #[test]
        fn a_free_name_is_a_name_and_is_free(base in ".{0,80}", taken in 0_usize..30) {
            let mut names: Vec<String> = Vec::new();
            for _ in 0..=taken {
                let is_taken = |name: &str| names.iter().any(|one| fold(one) == fold(name));
                let name = free(&base, is_taken);
                prop_assert!(is_home_name(&name), "{name:?}");
                prop_assert!(!is_taken(&name), "{name:?} of {names:?}");
                names.push(name);
            }
        }

        #[test]
        fn ids_are_free_and_never_empty(names in prop::collection::vec(".{1,64}", 1..20)) {
            let mut ids: Vec<String> = Vec::new();
            for name in &names {
                let id = id_of(name, |id| ids.iter().any(|one| one == id));
                prop_assert!(!id.is_empty() && !ids.contains(&id));
                ids.push(id);
            }
        }

        #[test]
        fn the_distance_is_one(a in "[a-c]{0,8}", b in "[a-c]{0,8}", c in "[a-c]{0,8}") {
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
            prop_assert!(edits(&a, &c) <= edits(&a, &b) + edits(&b, &c));
        }
    }

    #[test]
    fn a_name_is_found_as_people_write_it() {
        let lamp: [Box<str>; 1] = ["ceiling".into()];
        let none: [Box<str>; 0] = [];
        let things = [
            Called { id: "0x1", name: "Living_Room/lamp", aliases: &lamp[..], thing: 1 },
            Called { id: "0x2", name: "Küche", aliases: &none, thing: 2 },
            Called { id: "0x3", name: "Plug", aliases: &none, thing: 3 },
            Called { id: "0x4", name: "Plug 2", aliases: &none, thing: 4 },
            Called { id: "0x5", name: "a-b", aliases: &none, thing: 5 },
            Called { id: "0x6", name: "a b", aliases: &none, thing: 6 },
        ];
        let find = |sought: &str| find("device", sought, things.iter().copied());
        for (sought, thing) in [
            ("0x1", 1),
            ("0X2", 2),
            ("living room lamp", 1),
            (" CEILING ", 1),
            ("KÜCHE", 2),
            ("plug", 3),
            ("plug 2", 4),
            ("plug-2", 4),
            ("A-B", 5),
        ] {
            assert_eq!(find(sought), Ok(thing), "{sought}");
        }
        let error = find("a_b").expect_err("two are meant");
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::BadRequest, "\"a_b\" may be \"a-b\" or \"a b\". Say which.")
        );
        let error = find("plag").expect_err("there is none");
        assert_eq!(error.code, ErrorCode::NotFound);
        assert_eq!(error.message, "There is no device \"plag\". Did you mean \"Plug\"?");
        let error = find("lamp of the hall").expect_err("there is none");
        assert_eq!(error.message, "There is no device \"lamp of the hall\". Did you mean \"Living_Room/lamp\"?");
        let error = find("xyzzy\u{202e}\n").expect_err("there is none");
        assert_eq!(error.message, "There is no device \"xyzzy\".");
        assert_eq!(find(&"x".repeat(10_000)).expect_err("no name").code, ErrorCode::BadRequest);
    }
}
