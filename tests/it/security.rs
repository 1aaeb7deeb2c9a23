//! `docs/SECURITY.md` promises with tests: each that it names is there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/SECURITY.md")).expect("the page");
    let missing = missing_tests(&page, &|path| fs::read_to_string(root.join(path)).ok());
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Tests that a page names as `path::name` and that are not there; a page that names none proves nothing.
fn missing_tests(page: &str, file: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(".rs::")).collect();
    let is_there = |path: &str, name: &str| {
        let text = file(&format!("{path}.rs")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_meant = |line: &&str| line.strip_prefix("async ").unwrap_or(line).starts_with(&format!("fn {name}("));
        let at = lines.iter().position(is_meant).unwrap_or(0);
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
        above.into_iter().any(|line| line.contains("test]"))
    };
    let missing = named.iter().filter(|(path, name)| !is_there(path, name));
    let mut found: Vec<_> = missing.map(|(path, name)| format!("there is no test {path}.rs::{name}")).collect();
    if named.is_empty() {
        found.push("it names no test".into());
    }
    found
}

#[test]
fn tests_that_are_not_there_are_found() {
    let text = "    #[tokio::test]\n    async fn it_holds() {}\n#[test]\nfn so_does_this() {}\n    fn helper() {}\n";
    let file = |path: &str| (path == "src/a.rs").then(|| text.to_owned());
    assert_eq!(missing_tests("| x | `src/a.rs::it_holds`, `src/a.rs::so_does_this` |", &file), [] as [String; 0]);
    for bad in ["`src/a.rs::it_hold`", "`src/b.rs::it_holds`", "`src/a.rs::helper`", "src/a.rs::it_holds", ""] {
        assert_eq!(missing_tests(bad, &file).len(), 1, "{bad}");
    }
}
