//! What holds for every family of records, and what each takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::common::config::McpServer;
use crate::common::who::Role;
use crate::store::disks::Trouble;
use crate::store::{Change, Seen, ServerRecord, Setting, Token, ToolOverlay, User, UserProfile};

fn new_store() -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
    (home, store)
}

fn setting(key: &str, value: u64) -> Setting {
    Setting { key: key.into(), value: json!(value), revision: 0 }
}

fn user(name: &str) -> User {
    User {
        name: name.into(),
        display_name: None,
        role: Role::Member,
        password_hash: None,
        disabled: false,
        allow: Vec::new(),
        deny: Vec::new(),
        rooms: None,
        created_at_ms: 1,
        revision: 0,
    }
}

#[tokio::test]
async fn a_record_is_written_over_the_revision_that_was_read() {
    let (_home, store) = new_store();
    let mut feed = store.subscribe();
    let first = store.put(setting("a", 1), Some(0)).await.expect("there is none");
    assert_eq!(store.put(setting("a", 2), Some(0)).await, Err(WriteError::Conflict { current: first.revision }));
    let second = store.put(setting("a", 2), Some(first.revision)).await.expect("nobody was faster");
    let stale = Err(WriteError::Conflict { current: second.revision });
    assert_eq!(store.put(setting("a", 3), Some(first.revision)).await, stale);
    assert_eq!(store.delete::<Setting>("a", Some(first.revision)).await.map(|_| second.clone()), stale);
    assert_eq!(store.get::<Setting>("a").await, Ok(Some(second.clone())));
    assert_eq!(store.delete::<Setting>("a", Some(second.revision)).await, Ok(true));
    assert_eq!(store.delete::<Setting>("a", None).await, Ok(false));
    let anew = store.put(setting("a", 1), Some(0)).await.expect("it is gone");
    assert!(anew.revision > second.revision + 1, "it cannot be mistaken for the first");
    let mut news = Vec::new();
    for _ in 0..4 {
        let Seen::Change(Change { kind, key, revision, deleted }) = feed.recv().await else { panic!("no news") };
        assert_eq!((kind, &*key), (Kind::Setting, "a"));
        news.push((revision, deleted));
    }
    let of_deletion = second.revision + 1;
    let expected = [(first.revision, false), (second.revision, false), (of_deletion, true), (anew.revision, false)];
    assert_eq!(news, expected, "and nothing of what was refused");
    assert!(store.close().await);
}

#[tokio::test]
async fn changes_that_race_lose_none() {
    let (_home, store) = new_store();
    let mut changes = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        changes.spawn(async move {
            let add =
                |found: Option<Setting>| Ok(setting("n", found.and_then(|one| one.value.as_u64()).unwrap_or(0) + 1));
            store.update("n", add).await
        });
    }
    for done in changes.join_all().await {
        done.expect("room");
    }
    assert_eq!(store.get::<Setting>("n").await.expect("readable").expect("there").value, json!(50));
    let refused = store.update("n", |_: Option<Setting>| Err(WriteError::Invalid("no".into()))).await;
    assert_eq!(refused, Err(WriteError::Invalid("no".into())));
    assert!(store.update("n", |_| Ok(setting("other", 1))).await.is_err(), "a key stays");
    assert_eq!(store.get::<Setting>("n").await.expect("readable").expect("there").value, json!(50));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_family_has_an_end_and_a_change_always_room() {
    let (_home, store) = new_store();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..User::MAX {
        let store = store.clone();
        writes.spawn(async move { store.put(user(&format!("u{number:03}")), None).await });
    }
    for done in writes.join_all().await {
        done.expect("room");
    }
    assert!(matches!(store.put(user("one-more"), None).await, Err(WriteError::Invalid(why)) if why.contains("256")));
    store.put(User { disabled: true, ..user("u000") }, None).await.expect("no more than before");
    let listed = store.list::<User>().await.expect("readable");
    assert!(listed.len() as u64 == User::MAX && listed.is_sorted_by(|one, other| one.name < other.name));
    assert!(store.close().await);
}

#[tokio::test]
async fn each_family_says_what_it_does_not_take() {
    let (_home, store) = new_store();
    let profile = |user: &str| UserProfile { user: user.into(), ..UserProfile::default() };
    let server = |slug: &str, command: &[&str]| {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let server = Some(McpServer { command, ..McpServer::default() });
        ServerRecord { slug: slug.into(), server, enabled: None, disabled_tools: BTreeSet::new(), revision: 0 }
    };
    let overlay = |name: Option<&str>| ToolOverlay {
        tool: "a__b".into(),
        name: name.map(str::to_owned),
        ..ToolOverlay::default()
    };
    let long = "x".repeat(70_000);
    let token = |name: &str| Token {
        id: "t-1".into(),
        user: "ann".into(),
        name: name.into(),
        hash: "0".into(),
        created_at_ms: 1,
        expires_at_ms: None,
        last_seen_ms: None,
        revision: 0,
    };
    for name in ["ann", "a-b_1", &"x".repeat(64)] {
        store.put(user(name), None).await.expect(name);
        store.put(profile(name), None).await.expect(name);
    }
    store.put(token("the phone"), None).await.expect("sound");
    store.put(server("files", &["files"]), None).await.expect("sound");
    store.put(overlay(Some("read_file")), None).await.expect("sound");
    for name in ["", "Ann", "a b", "../x", "ü", &"x".repeat(65)] {
        assert!(store.put(user(name), None).await.is_err(), "{name}");
        assert!(store.put(profile(name), None).await.is_err(), "{name}");
    }
    for key in ["", "A", "a b", "a/b", &"x".repeat(65)] {
        assert!(store.put(setting(key, 1), None).await.is_err(), "{key}");
    }
    let refused = [
        store.put(User { allow: vec![String::new()], ..user("ann") }, None).await.map(|_| ()),
        store.put(User { deny: vec!["x".into(); 129], ..user("ann") }, None).await.map(|_| ()),
        store.put(User { rooms: Some(vec![long.clone()]), ..user("ann") }, None).await.map(|_| ()),
        store.put(UserProfile { system_prompt: Some(long.clone()), ..profile("ann") }, None).await.map(|_| ()),
        store.put(UserProfile { locale: Some(String::new()), ..profile("ann") }, None).await.map(|_| ()),
        store.put(Setting { value: json!(long), ..setting("a", 1) }, None).await.map(|_| ()),
        store.put(token(""), None).await.map(|_| ()),
        store.put(server("a__b", &["x"]), None).await.map(|_| ()),
        store.put(server("a", &[]), None).await.map(|_| ()),
        store.put(overlay(Some("with space")), None).await.map(|_| ()),
        store.put(ToolOverlay { description: Some(long), ..overlay(None) }, None).await.map(|_| ()),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(WriteError::Invalid(_) | WriteError::TooLarge { .. })), "{number}: {refused:?}");
    }
    assert!(store.close().await);
}

#[tokio::test]
async fn a_record_outlives_a_disk_that_fills_up_or_lies() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let disk = Arc::new(Trouble::default());
    let store = disk.open(&path).expect("a new file");
    let first = store.put(setting("a", 1), Some(0)).await.expect("room");
    disk.full.store(true, Ordering::SeqCst);
    assert_eq!(store.put(setting("a", 2), Some(first.revision)).await, Err(WriteError::DiskFull));
    disk.full.store(false, Ordering::SeqCst);
    // A write opens the file anew.
    let other = store.put(setting("b", 1), Some(0)).await.expect("room again");
    assert_eq!(store.get::<Setting>("a").await, Ok(Some(first.clone())), "what was refused is not there");
    disk.lying_syncs.store(1, Ordering::SeqCst);
    let second = store.put(setting("a", 2), Some(first.revision)).await.expect("it is on the disk after all");
    assert_eq!(second.revision, other.revision + 1, "and was written once");
    assert!(store.close().await);
    let store = Store::open(&path).expect("a whole file");
    assert_eq!(store.get::<Setting>("a").await, Ok(Some(second)));
    assert!(store.close().await);
}
