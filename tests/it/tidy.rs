//! The habits of this tree, kept by a test that reads it. Each rule is a pure function over text that returns what it
//! found, and each is shown something bad below, so that none can fall asleep.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use hearth::common::config::{Config, McpServer};
use serde_json::Value;

/// The rooms from the ground up. A room uses lower floors only; the parts of the top floor are one room.
const FLOORS: [(&str, u8); 15] = [
    ("common", 0),
    ("net", 1),
    ("store", 1),
    ("zigbee", 1),
    ("appliance", 2),
    ("auth", 2),
    ("backup", 2),
    ("home", 2),
    ("adapters", 3),
    ("mcp", 3),
    ("router", 4),
    ("gateway", 5),
    ("app", TOP),
    ("cli", TOP),
    ("main", TOP),
];

const TOP: u8 = 6;

/// Lines of a file; one that passes this holds two nouns.
const LINES_MAX: usize = 600;

/// Files that are data: they may be long.
const TABLES: [&str; 8] = [
    "src/mcp/search/hints.rs",
    "src/zigbee/zcl/clusters/additions.rs",
    "src/zigbee/zcl/clusters/energy.rs",
    "src/zigbee/zcl/clusters/general.rs",
    "src/zigbee/zcl/clusters/house.rs",
    "src/zigbee/zcl/clusters/makers.rs",
    "src/zigbee/zcl/clusters/measurement.rs",
    "src/zigbee/zcl/clusters/security.rs",
];

/// What production code does not say.
const BANNED: [(&str, &str); 5] = [
    (".unwrap()", "say why it cannot be: `expect(\"why\")`"),
    ("super::super", "name the path from `crate::`"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("dbg!(", "log it"),
];

/// What stands at the top of the tree.
const TOP_LEVEL: &str = ".ci .env.example .git .gitignore CHANGELOG.md Cargo.lock Cargo.toml Cross.toml LICENSE
    LICENSE-APACHE LICENSE-MIT README.md benches clippy.toml config.yaml deny.toml docs examples fuzz image rustfmt.toml
    src systemd tests";

/// What work leaves at the top of the tree; `.gitignore` has the same.
const LEFT_BY_WORK: [&str; 5] = ["target", ".env", ".venv", "__pycache__", "snapshots"];

/// Folders whose files are read.
const FOLDERS: [&str; 10] = [".ci", "benches", "docs", "examples", "fuzz", "image", "src", "systemd", "tests", "."];

/// Files that people write; others (recordings, corpora, snapshots) are as they came.
const WRITTEN: [&str; 11] = ["rs", "md", "toml", "yaml", "yml", "sh", "py", "mjs", "js", "html", "css"];

/// A file of the tree, by its path from the top.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// `net` of `src/net/sse.rs` and of `src/net.rs`.
    fn room(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }
}

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(root);
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the tree is read from {}", root.display());
    let (reached, mut found) = (reached(&files), Vec::new());
    for file in files.iter().filter(|file| file.is_rust()) {
        found.extend(floors(file));
        found.extend(header(file));
        found.extend(length(file));
        if reached.get(&file.path) == Some(&false) {
            found.extend(banned(file));
        }
    }
    found.extend(files.iter().flat_map(blanks));
    found.extend(orphans(&files, &reached));
    found.extend(orphan_assets(&files, &assets(root)));
    found.extend(undocumented(&read(root, "config.yaml"), &config_keys()));
    found.extend(forbidden_crates(&read(root, "Cargo.lock")));
    found.extend(top_level(&names(root)));
    assert!(found.is_empty(), "\n{}\n\n{}\n", found.join("\n"), floor_table());
}

fn floor_table() -> String {
    let mut table = String::from("The floors; a room uses lower floors only, never a sibling, never up:");
    for floor in (0..=TOP).rev() {
        let rooms: Vec<_> = FLOORS.iter().filter(|(_, at)| *at == floor).map(|(room, _)| *room).collect();
        if !rooms.is_empty() {
            table.push_str(&format!("\n  F{floor}  {}", rooms.join("  ")));
        }
    }
    table
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Every path into another room leads to a lower floor.
fn floors(file: &Source) -> Vec<String> {
    let Some(room) = file.room().filter(|room| *room != "lib") else {
        return Vec::new();
    };
    let Some(floor) = floor_of(room) else {
        return vec![format!("{}: the room `{room}` stands on no floor", file.path)];
    };
    let code = code_only(&file.text);
    let is_door = file.path.split('/').count() == 2 || file.path.ends_with(&format!("src/{room}/mod.rs"));
    let mut found = Vec::new();
    for (line, name) in paths_after(&code, "crate::") {
        let is_fine =
            name == room || floor_of(&name).is_some_and(|below| below < floor || below == TOP && floor == TOP);
        if !is_fine {
            found.push(format!("{}:{line}: `{room}` uses `crate::{name}`", file.path));
        }
    }
    // From a room's door `super` is the whole house.
    for (line, name) in paths_after(&code, "super::") {
        if is_door && floor_of(&name).is_some() {
            found.push(format!("{}:{line}: say `crate::{name}`, not `super::{name}`", file.path));
        }
    }
    found
}

/// The first names of all paths that begin with `start`, `start{a::b, c}` taken apart, with their lines.
fn paths_after(code: &str, start: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + start.len()..];
        let name_of = |text: &str| {
            let text = text.trim_start();
            text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())].to_owned()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut names = vec![name_of(group)];
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(name_of(&group[at + 1..])),
                    _ => {}
                }
            }
            found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (line, name)));
        } else {
            found.push((line, name_of(rest)));
        }
    }
    found
}

/// A file says first what it is and what it never does.
fn header(file: &Source) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let is_fine = first.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty());
    if is_fine {
        Vec::new()
    } else {
        vec![format!("{}:1: begin with `//!`: what it is, what it never does", file.path)]
    }
}

fn length(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count();
    let is_fine = lines <= LINES_MAX || TABLES.contains(&file.path.as_str());
    if is_fine { Vec::new() } else { vec![format!("{}: {lines} lines; which two nouns does it hold?", file.path)] }
}

/// Words that production code does not say; in tests they may stand.
fn banned(file: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in production_only(&code_only(&file.text)).lines().enumerate() {
        let said = BANNED.iter().filter(|(word, _)| line.contains(word));
        found.extend(said.map(|(word, why)| format!("{}:{}: `{word}`: {why}", file.path, at + 1)));
    }
    found
}

/// Tabs and blanks at the ends of lines.
fn blanks(file: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in file.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found.push(format!("{}:{}: a blank at the line's end", file.path, at + 1));
        } else if line.contains('\t') {
            found.push(format!("{}:{}: a tab", file.path, at + 1));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        found.push(format!("{}: the last line has no end", file.path));
    }
    found
}

/// Rust files that no `mod` and no `path = "…"` of a Cargo.toml leads to: nobody compiles them.
fn orphans(files: &[Source], reached: &BTreeMap<String, bool>) -> Vec<String> {
    let all = files.iter().filter(|file| file.is_rust() && !reached.contains_key(&file.path));
    all.map(|file| format!("{}: nothing leads to it: no `mod`, no `path` in Cargo.toml", file.path)).collect()
}

/// The Rust files that Cargo.toml and `mod` lead to, with whether they are compiled for tests only.
fn reached(files: &[Source]) -> BTreeMap<String, bool> {
    let mut open: Vec<(String, bool)> = Vec::new();
    for manifest in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let folder = Path::new(&manifest.path).parent().unwrap_or(Path::new(""));
        let paths = manifest.text.split("path = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let roots = paths.filter(|path| path.ends_with(".rs")).map(|path| plain(&folder.join(path)));
        open.extend(roots.map(|path| (path.clone(), !path.starts_with("src/"))));
    }
    let mut reached = BTreeMap::new();
    while let Some((path, is_test)) = open.pop() {
        let text = files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
        let Some(text) = text.filter(|_| !reached.contains_key(&path)) else {
            continue;
        };
        reached.insert(path.clone(), is_test);
        let here = Path::new(&path).parent().expect("a file is in a folder");
        let stem = Path::new(&path).file_stem().expect("a file has a name").to_string_lossy();
        let is_root = ["mod", "lib", "main"].contains(&&*stem) || !path.starts_with("src/") && !path.contains("/it/");
        let below = if is_root { here.to_owned() } else { here.join(&*stem) };
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in code_only(text).lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["mod", name] = words[words.len().saturating_sub(2)..] else { continue };
            let Some(name) = name.strip_suffix(';') else { continue };
            let attributes = lines[..at].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with("#["));
            let attributes: Vec<&str> = attributes.collect();
            let is_test = is_test || attributes.contains(&"#[cfg(test)]");
            let given = attributes.iter().find_map(|line| line.strip_prefix("#[path = \"")?.split('"').next());
            let places = match given {
                Some(given) => vec![here.join(given)],
                None => vec![below.join(format!("{name}.rs")), below.join(name).join("mod.rs")],
            };
            open.extend(places.iter().map(|place| (plain(place), is_test)));
        }
    }
    reached
}

/// Files of the page that no `include_str!` or `include_bytes!` puts into the binary.
fn orphan_assets(files: &[Source], assets: &[String]) -> Vec<String> {
    let mut included = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && file.is_rust()) {
        let folder = Path::new(&file.path).parent().expect("a file is in a folder");
        for start in ["include_str!(\"", "include_bytes!(\""] {
            let names = file.text.split(start).skip(1).filter_map(|rest| rest.split('"').next());
            included.extend(names.map(|name| plain(&folder.join(name))));
        }
    }
    let unused = assets.iter().filter(|asset| !included.contains(*asset));
    unused.map(|asset| format!("{asset}: no include_str! or include_bytes! takes it")).collect()
}

/// Keys that `config.yaml` does not have, or has without a word: a comment on the line, or right above it.
fn undocumented(yaml: &str, keys: &[String]) -> Vec<String> {
    let mut documented = BTreeSet::new();
    let (mut path, mut commented): (Vec<(usize, &str)>, bool) = (Vec::new(), false);
    for line in yaml.lines() {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        if words.is_empty() || words.starts_with('#') {
            // A key within a commented example is there, too.
            commented = words.len() > 1;
            let example = words.trim_start_matches(['#', ' ']).split(':').next().unwrap_or_default();
            documented.extend(path.iter().map(|(_, key)| format!("{key}.*.{example}")));
            continue;
        }
        let key = words.split(':').next().unwrap_or_default();
        path.retain(|(at, _)| *at < indent);
        path.push((indent, key));
        if commented || words.contains(" # ") {
            documented.insert(path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("."));
        }
        commented = false;
    }
    let missing = keys.iter().filter(|key| !documented.contains(key.as_str()));
    missing.map(|key| format!("config.yaml: `{key}` is missing, or no comment says what it is")).collect()
}

/// Every key of the configuration, as `providers.openai.model`; those of an MCP server as `servers.*.url`.
fn config_keys() -> Vec<String> {
    fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                entries.iter().for_each(|(key, value)| leaves(&join(key), value, found));
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    leaves("", &serde_json::to_value(Config::default()).expect("the defaults are plain data"), &mut found);
    leaves("servers.*", &serde_json::to_value(McpServer::default()).expect("the defaults are plain data"), &mut found);
    found
}

/// aws-lc breaks cross builds and adds 2 MB to the binary; rustls runs on ring.
fn forbidden_crates(lock: &str) -> Vec<String> {
    let names = lock.lines().filter(|line| line.starts_with("name = \"aws-lc"));
    names.map(|line| format!("Cargo.lock: {line}: find who asks for it, and turn that feature off")).collect()
}

fn top_level(names: &[String]) -> Vec<String> {
    let is_known = |name: &&String| {
        TOP_LEVEL.split_whitespace().any(|known| known == *name) || LEFT_BY_WORK.contains(&name.as_str())
    };
    let others = names.iter().filter(|name| !is_known(name) && !name.ends_with(".redb"));
    others.map(|name| format!("{name}: the top of the tree holds only what the design names")).collect()
}

/// The code with comments and the contents of strings blanked, line by line as it was.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_len(rest),
            '"' => string_len(rest),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw_string_len(rest),
            // A char, and not a lifetime.
            '\'' if rest[1..].starts_with('\\') => {
                2 + rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
            }
            '\'' if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at),
            _ => 0,
        };
        if len == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[len..];
        }
    }
    code
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

fn string_len(text: &str) -> usize {
    let mut escaped = true; // the quote that opens
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// 0 where this is no raw string but a name that begins with `r`.
fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|b| *b == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let from = 2 + hashes;
    text[from..].find(&end).map_or(text.len(), |at| from + at + end.len())
}

/// The code with every item after a `#[cfg(test)]` at the line's start blanked.
fn production_only(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut in_test = false;
    for line in code.lines() {
        in_test |= line.starts_with("#[cfg(test)]");
        kept.push_str(if in_test { "" } else { line });
        kept.push('\n');
        let ends = line.starts_with('}') || (line.ends_with(';') && !line.starts_with([' ', '#', '}']));
        in_test &= !ends;
    }
    kept
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_string_lossy().into()),
            _ => {}
        }
    }
    parts.join("/")
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All files below a folder, which may be absent.
fn files_below(root: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(&root.join(folder)) {
        let path = if folder == "." { name.clone() } else { format!("{folder}/{name}") };
        let is_left_by_work = LEFT_BY_WORK.contains(&name.as_str()) || name == "artifacts" || name == "corpus";
        match root.join(&path).is_dir() {
            true if folder == "." || is_left_by_work => {}
            true => found.extend(files_below(root, &path)),
            false => found.push(path),
        }
    }
    found
}

fn sources(root: &Path) -> Vec<Source> {
    let is_written = |path: &String| {
        let extension = Path::new(path).extension().map(|extension| extension.to_string_lossy().into_owned());
        extension.map_or(path.starts_with(".ci/"), |extension| WRITTEN.contains(&extension.as_str()))
    };
    let paths = FOLDERS.iter().flat_map(|folder| files_below(root, folder)).filter(is_written);
    paths.map(|path| Source { text: read(root, &path), path }).collect()
}

fn assets(root: &Path) -> Vec<String> {
    files_below(root, "src/gateway/web").into_iter().filter(|path| !path.ends_with(".rs")).collect()
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[test]
fn floors_are_kept() {
    let found = |path: &str, text: &str| floors(&source(path, text)).len();
    assert_eq!(found("src/net/sse.rs", "use crate::common::ids;\nuse crate::net::x;\nuse super::y;"), 0);
    assert_eq!(found("src/net/sse.rs", "// crate::gateway\nlet a = \"crate::gateway\"; let b = r#\"crate::app\"#;"), 0);
    assert_eq!(found("src/net/sse.rs", "let c = '\"'; use crate::gateway;"), 1);
    assert_eq!(found("src/net/sse.rs", "use crate::gateway::ws;"), 1, "up");
    assert_eq!(found("src/net/sse.rs", "fn f(x: crate::store::Db) {}"), 1, "a sibling");
    assert_eq!(found("src/net/sse.rs", "use crate::{\n    common::{ids, router},\n    router::turn,\n    app,\n};"), 2);
    assert_eq!(found("src/net/sse.rs", "use crate::nowhere;"), 1);
    assert_eq!(found("src/net/mod.rs", "use super::store;"), 1);
    assert_eq!(found("src/net/sse.rs", "use super::store;"), 0, "its own room's");
    assert_eq!(found("src/attic/mod.rs", ""), 1, "a room without a floor");
    assert_eq!(found("src/cli/mod.rs", "use crate::app; use crate::gateway;"), 0);
    assert_eq!(found("src/gateway/mod.rs", "use crate::app;"), 1);
    assert!(floor_table().contains("F1  net  store"), "{}", floor_table());
}

#[test]
fn headers_and_lengths_are_kept() {
    assert!(header(&source("a.rs", "//! What it is.\nfn main() {}\n")).is_empty());
    for bad in ["", "fn main() {}", "\n//! Late.", "//!\n//! Empty.", "// Not a doc."] {
        assert_eq!(header(&source("a.rs", bad)).len(), 1, "{bad:?}");
    }
    assert!(length(&source("a.rs", &"\n".repeat(LINES_MAX))).is_empty());
    assert_eq!(length(&source("a.rs", &"\n".repeat(LINES_MAX + 1))).len(), 1);
}

#[test]
fn words_are_kept() {
    let found = |path: &str, text: &str| banned(&source(path, text)).len();
    for bad in ["let a = b.unwrap();", "use super::super::x;", "todo!()", "unimplemented!()", "dbg!(a);"] {
        assert_eq!(found("src/a.rs", bad), 1, "{bad}");
    }
    assert_eq!(found("src/a.rs", "a.expect(\"why\"); a.unwrap_or(b); // .unwrap()\n\"todo!()\""), 0);
    let test = "#[cfg(test)]\n#[expect(x)]\nmod tests {\n    fn a() {\n        b.unwrap();\n    }\n}\n";
    assert_eq!(found("src/a.rs", test), 0);
    assert_eq!(found("src/a.rs", &format!("{test}fn c() {{ d.unwrap() }}")), 1, "after the tests");
    assert_eq!(found("src/a.rs", "#[cfg(test)]\nmod tests;\nfn c() { d.unwrap() }"), 1, "after the tests' name");
}

#[test]
fn lines_end_clean() {
    let found = |text: &str| blanks(&source("a.md", text)).len();
    assert_eq!(found("a\nb\n"), 0);
    assert_eq!(found("a \n\tb\nc\r\nd"), 4);
}

#[test]
fn orphans_are_found() {
    let files = [
        source("Cargo.toml", "[lib]\npath = \"src/lib.rs\"\n[[test]]\npath = \"tests/it/main.rs\"\n"),
        source("src/lib.rs", "pub mod a;\n// mod ghost;\n#[path = \"odd/name.rs\"]\nmod c;\n"),
        source("src/a/mod.rs", "pub(crate) mod b;\n#[cfg(test)]\nmod tests;\n"),
        source("src/a/b.rs", "mod deep;"),
        source("src/a/b/deep.rs", ""),
        source("src/a/tests.rs", ""),
        source("src/odd/name.rs", ""),
        source("tests/it/main.rs", "mod tidy;"),
        source("tests/it/tidy.rs", ""),
    ];
    assert_eq!(orphans(&files, &reached(&files)), [] as [String; 0]);
    let tests_only = reached(&files).into_iter().filter(|(_, is_test)| *is_test).map(|(path, _)| path);
    assert_eq!(tests_only.collect::<Vec<_>>(), ["src/a/tests.rs", "tests/it/main.rs", "tests/it/tidy.rs"]);
    let mut more: Vec<_> = files.into_iter().collect();
    more.extend(["src/ghost.rs", "src/a/deep.rs", "examples/x.rs"].map(|path| source(path, "")));
    let found = orphans(&more, &reached(&more));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn unused_assets_are_found() {
    let files =
        [source("src/gateway/web.rs", "include_str!(\"web/page.html\"); include_bytes!(\"../gateway/web/a.png\")")];
    let assets = ["src/gateway/web/page.html", "src/gateway/web/a.png", "src/gateway/web/old.js"].map(String::from);
    assert_eq!(orphan_assets(&files, &assets).len(), 1);
}

#[test]
fn undocumented_keys_are_found() {
    let keys = ["a.b", "a.c", "a.d.e", "f", "servers.*.url"].map(String::from);
    let good = "# A.\na:\n  # B.\n  b: 1\n  c: 2  # C.\n  d:\n    # E.\n    e: 3\n# F.\nf: 1\nservers:\n  # x:\n  #   url: y\n";
    assert_eq!(undocumented(good, &keys), [] as [String; 0]);
    for (line, without) in
        [("  # B.\n", ""), ("  # C.", ""), ("    e: 3\n", ""), ("# F.\n", "\n"), ("  #   url: y\n", "")]
    {
        assert_eq!(undocumented(&good.replace(line, without), &keys).len(), 1, "{line}");
    }
    assert!(config_keys().iter().any(|key| key == "providers.openai.api_key_env"), "{:?}", config_keys());
}

#[test]
fn forbidden_crates_and_strangers_are_found() {
    assert_eq!(forbidden_crates("name = \"ring\"\nname = \"aws-lc-sys\"\nname = \"aws-lc-rs\"\n").len(), 2);
    let names = ["src", "target", "x.redb", "Makefile", "notes.txt"].map(String::from);
    assert_eq!(top_level(&names).len(), 2);
}
