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
    let words = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = words.filter_map(|word| word.split_once("::").filter(|(path, _)| is_source(path))).collect();
    let is_there = |path: &str, name: &str| {
        let text = file(path).unwrap_or_default();
        // The checks of peers are in a list.
        if path.ends_with(".py") {
            let list = text.lines().find(|line| line.starts_with("CHECKS = [")).unwrap_or_default();
            return list.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name);
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_meant = |line: &&str| line.strip_prefix("async ").unwrap_or(line).starts_with(&format!("fn {name}("));
        let at = lines.iter().position(is_meant).unwrap_or(0);
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
        above.into_iter().any(|line| line.contains("test]"))
    };
    let missing = named.iter().filter(|(path, name)| !is_there(path, name));
    let mut found: Vec<_> = missing.map(|(path, name)| format!("there is no test {path}::{name}")).collect();
    if named.is_empty() {
        found.push("it names no test".into());
    }
    found
}

fn is_source(path: &str) -> bool {
    path.ends_with(".rs") || path.ends_with(".py")
}

#[test]
fn tests_that_are_not_there_are_found() {
    let text = "    #[tokio::test]\n    async fn it_holds() {}\n#[test]\nfn so_does_this() {}\n    fn helper() {}\n";
    let checks = "def good(x):\n    pass\ndef unused(x):\n    pass\nCHECKS = [good, better]\n";
    let file = |path: &str| match path {
        "src/a.rs" => Some(text.to_owned()),
        "b.py" => Some(checks.to_owned()),
        _ => None,
    };
    let page = "| x | `src/a.rs::it_holds`, `src/a.rs::so_does_this`, `b.py::good` |";
    assert_eq!(missing_tests(page, &file), [] as [String; 0]);
    for bad in [
        "`src/a.rs::it_hold`",
        "`b.py::unused`",
        "`src/b.rs::it_holds`",
        "`src/a.rs::helper`",
        "src/a.rs::it_holds",
        "",
    ] {
        assert_eq!(missing_tests(bad, &file).len(), 1, "{bad}");
    }
}
