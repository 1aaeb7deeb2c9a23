//! Names of tools as models write them: letters, figures, `_` and `-` are all that every provider takes. The same tool has
//! the same name in every request. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::common::hex::hex;
use crate::mcp::Definition;

/// OpenAI, Anthropic and Gemini take no longer name, bytes.
const WIRE_NAME_BYTES_MAX: usize = 64;

/// Figures of the hash that tells two names apart that would be one.
const SUFFIX_CHARS: usize = 6;

/// What models put before a name when they confuse it with a module's.
const PREFIXES: [&str; 6] = ["functions.", "functions:", "default_api.", "default_api:", "tools.", "tool."];

/// Names that are shown to a model which called one that is not there.
const NEAR_MAX: usize = 5;

/// The tools of one user and their names on the wire.
pub struct Names {
    by_wire: BTreeMap<String, Arc<Definition>>,
    wire_of: BTreeMap<Box<str>, String>,
}

/// Why a call has no tool: for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Names {
    /// A name that has to be changed, and would then be that of another tool, gets a suffix made of itself: whoever comes first
    /// does not matter.
    pub fn of(tools: &[Arc<Definition>]) -> Names {
        let mut wishes: BTreeMap<String, Vec<&Arc<Definition>>> = BTreeMap::new();
        for tool in tools {
            wishes.entry(wire_name(&tool.name)).or_default().push(tool);
        }
        let mut names = Names { by_wire: BTreeMap::new(), wire_of: BTreeMap::new() };
        for (wire, tools) in wishes {
            let is_alone = tools.len() == 1;
            for tool in tools {
                let own = is_alone || *tool.name == *wire;
                let name = if own { wire.clone() } else { suffixed(&wire, &tool.name) };
                names.wire_of.insert(tool.name.clone(), name.clone());
                names.by_wire.insert(name, tool.clone());
            }
        }
        names
    }

    /// The name that a model is to use.
    pub fn wire(&self, tool: &str) -> &str {
        self.wire_of.get(tool).map_or("", String::as_str)
    }

    /// The tool that a model means: by its name on the wire, by its own, in another spelling, or without its prefix where
    /// only one can be meant.
    pub fn find(&self, called: &str) -> Result<&Arc<Definition>, Unknown> {
        let called = called.trim();
        let called = PREFIXES.iter().find_map(|prefix| called.strip_prefix(prefix)).unwrap_or(called);
        if let Some(tool) = self.by_wire.get(called) {
            return Ok(tool);
        }
        if let Some(tool) = self.wire_of.get(called).and_then(|wire| self.by_wire.get(wire)) {
            return Ok(tool);
        }
        let plain = plain(called);
        let only = |fits: &dyn Fn(&str) -> bool| {
            let mut found =
                self.by_wire.iter().filter(|(wire, tool)| fits(wire) || fits(&tool.name)).map(|(_, tool)| tool);
            found.next().filter(|_| found.next().is_none())
        };
        let same = only(&|name| self::plain(name) == plain);
        let without_prefix = || only(&|name| name.split_once("__").is_some_and(|(_, rest)| self::plain(rest) == plain));
        match same.or_else(without_prefix).filter(|_| !plain.is_empty()) {
            Some(tool) => Ok(tool),
            None => Err(self.unknown(called)),
        }
    }

    fn unknown(&self, called: &str) -> Unknown {
        let wanted = words(called);
        let mut near: Vec<(usize, &str)> = self
            .by_wire
            .keys()
            .map(|wire| {
                let common = words(wire).iter().filter(|word| wanted.contains(word)).count();
                (common, wire.as_str())
            })
            .filter(|(common, _)| *common > 0)
            .collect();
        near.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let names: Vec<&str> = near.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect();
        let shown: String = called.chars().take(WIRE_NAME_BYTES_MAX).flat_map(char::escape_debug).collect();
        let help = match names.is_empty() {
            true => "Use only tools that you were given.".to_owned(),
            false => format!("Did you mean {}?", names.join(", ")),
        };
        Unknown(format!("There is no tool called \"{shown}\", and nothing was done. {help}"))
    }
}

/// The name with every other character as `_`; Gemini wants a letter or `_` first.
pub fn wire_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let mut wire: String = name.chars().map(fits).collect();
    if !wire.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        wire.insert(0, '_');
    }
    if wire.len() > WIRE_NAME_BYTES_MAX { suffixed(&wire, name) } else { wire }
}

fn suffixed(wire: &str, name: &str) -> String {
    let hash = hex(&Sha256::digest(name.as_bytes()));
    let room = WIRE_NAME_BYTES_MAX - SUFFIX_CHARS - 1;
    format!("{}_{}", &wire[..wire.len().min(room)], &hash[..SUFFIX_CHARS])
}

/// Letters and figures alone, small.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() > 1)
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::router::tools::testing::tool;

    fn names(all: &[&str]) -> Names {
        Names::of(&all.iter().map(|name| tool(name)).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_is_kept_where_it_can_be_and_told_apart_where_it_must() {
        let names = names(&["users.list", "files__read", "users_list", "1st", "a.b_c", "a_b.c"]);
        let wires = ["users.list", "users_list", "files__read", "1st", "a.b_c", "a_b.c"].map(|name| names.wire(name));
        assert_eq!(wires, ["users_list_921fdb", "users_list", "files__read", "_1st", "a_b_c_5b8f93", "a_b_c_a37152"]);
    }

    #[test]
    fn a_name_that_is_slightly_wrong_is_understood() {
        let names =
            names(&["users.list", "files__read_text", "memory__read_text", "files__list_directory", "call_tool"]);
        let found = |called: &str| names.find(called).map(|tool| tool.name.to_string());
        for (called, name) in [
            ("users_list", "users.list"),
            ("users.list", "users.list"),
            ("Users-List", "users.list"),
            ("functions.users_list", "users.list"),
            ("list_directory", "files__list_directory"),
            ("ListDirectory", "files__list_directory"),
            ("files.read_text", "files__read_text"),
        ] {
            assert_eq!(found(called), Ok(name.to_owned()), "{called}");
        }
        let Err(Unknown(words)) = found("read_text") else { panic!("two have this name") };
        assert!(words.contains("files__read_text, memory__read_text"), "{words}");
        for odd in ["", "...", "x\"\n"] {
            let Err(Unknown(words)) = found(odd) else { panic!("{odd}") };
            assert!(words.contains("Use only tools") && !words.contains('\n'), "{words}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_tool_has_a_wire_name_of_its_own(all in proptest::collection::btree_set("[a-c._0-1-]{1,5}|[a._]{60,64}", 1..30)) {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let names = names(&all);
            prop_assert_eq!(names.by_wire.len(), all.len());
            for name in all {
                let wire = names.wire(name);
                prop_assert!((1..=64).contains(&wire.len()) && wire.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
                prop_assert_eq!(&*names.find(wire).expect("its own name").name, name);
            }
        }
    }
}
