//! What a crash leaves: a process killed while it writes, a hub whose power fails, a disk that fills up or fails. What was
//! answered is there afterwards, once, and the file opens by itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::disks::{Trouble, after_power_cut, folder};
use super::{NewMessage, OpenError, ReadError, Store, WriteError};
use crate::common::chat::Role;
use crate::common::who::HOUSE;

const ID: &str = "kitchen";

/// Set in the child of [`a_killed_process_loses_nothing_that_was_answered`]: the file it writes to.
const CHILD_ENV: &str = "HEARTH_TEST_STORE_CHILD";

/// Answered writes after which the child is killed.
const ANSWERED_BEFORE_KILL: u64 = 40;

#[test]
fn a_killed_process_loses_nothing_that_was_answered() {
    if let Some(path) = std::env::var_os(CHILD_ENV) {
        return write_until_killed(Path::new(&path));
    }
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let mut child = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "store::crash::a_killed_process_loses_nothing_that_was_answered", "--nocapture"])
        .env(CHILD_ENV, &path)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("this test runs again");
    let mut answered = 0;
    for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
        let line = line.expect("the child writes text");
        answered = line.strip_prefix("answered ").and_then(|number| number.parse().ok()).unwrap_or(answered);
        if answered == ANSWERED_BEFORE_KILL {
            let refused = Store::open(&path).map(|_| ()).expect_err("the child has the file");
            assert_eq!(refused, OpenError::Locked { path: path.clone() });
            child.kill().expect("the child runs until it is killed");
        }
    }
    assert!(!child.wait().expect("the child has ended").success());
    assert!(answered >= ANSWERED_BEFORE_KILL, "{answered}");
    let store = Store::open(&path).expect("a killed process leaves a file that opens");
    assert!(texts(&store).len() as u64 >= answered, "{} of {answered}", texts(&store).len());
}

#[tokio::main(flavor = "current_thread")]
async fn write_until_killed(path: &Path) {
    let store = Store::open(path).expect("a new file");
    for number in 1.. {
        store.append(HOUSE, ID, vec![said(number)]).await.expect("the disk has room");
        eprintln!("answered {number}");
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_answered() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    runtime().block_on(async {
        let store = Store::open(&path).expect("a new file");
        store.append(HOUSE, ID, vec![said(1)]).await.expect("room");
        assert!(store.close().await);
    });
    let before = fs::read(&path).expect("the file");
    let disk = Arc::new(Trouble::default());
    // The length of the tape when each message was answered.
    let mut answered = vec![0];
    runtime().block_on(async {
        let store = disk.open(&path).expect("a whole file");
        for number in 2..=40 {
            store.append(HOUSE, ID, vec![said(number)]).await.expect("room");
            answered.push(disk.tape.lock().unwrap().len());
        }
        assert!(store.close().await);
    });
    let tape = disk.tape.lock().unwrap().clone();
    let cut = home.path().join("cut.redb");
    proptest!(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() }, |(
        done in 0..=tape.len(),
        survivors in any::<u64>(),
    )| {
        let mut state = survivors;
        let image = after_power_cut(&before, &tape[..done], || {
            // A linear congruential generator; its high bits are good enough to lose sectors by.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 63 == 1
        });
        fs::write(&cut, image).expect("the image");
        let store = Store::open(&cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let promised = answered.iter().filter(|at| **at <= done).count();
        let kept = texts(&store).len();
        prop_assert!(kept >= promised && kept <= promised + 1, "{kept} of {promised} after {done} steps");
        prop_assert!(runtime().block_on(store.close()));
    });
}

#[tokio::test]
async fn a_full_disk_is_said_and_writing_goes_on_when_there_is_room_again() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let disk = Arc::new(Trouble::default());
    let store = disk.open(&path).expect("a new file");
    store.append(HOUSE, ID, vec![said(1)]).await.expect("room");
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(store.append(HOUSE, ID, vec![said(2)]).await, Err(WriteError::DiskFull));
    }
    disk.full.store(false, Ordering::SeqCst);
    store.append(HOUSE, ID, vec![said(2)]).await.expect("room again");
    assert_eq!(texts(&store).len(), 2);
    assert!(store.close().await);
}

#[tokio::test]
async fn the_reserve_takes_the_last_words_of_a_full_disk() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let reserve = home.path().join("hearth.redb.reserve");
    let disk = Arc::new(Trouble::default());
    let store = disk.open(&path).expect("a new file");
    assert_eq!(fs::metadata(&reserve).expect("a reserve").len(), super::reserve::RESERVE_BYTES as u64);
    *disk.full_beside.lock().unwrap() = Some(reserve.clone());
    store.append(HOUSE, ID, vec![said(1)]).await.expect("the reserve is room");
    assert_eq!(texts(&store).len(), 1);
    assert!(store.close().await);
    // The test's real disk has room, so that the reserve is whole again.
    assert!(reserve.exists());
}

#[tokio::test]
async fn a_commit_that_says_it_failed_and_did_not_is_not_done_twice() {
    let home = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(Trouble::default());
    let store = disk.open(&home.path().join("hearth.redb")).expect("a new file");
    let mut feed = store.subscribe();
    for number in 1..=5 {
        disk.lying_syncs.store(1, Ordering::SeqCst);
        store.append(HOUSE, ID, vec![said(number)]).await.expect("it is on the disk");
        assert!(matches!(feed.recv().await, super::Seen::Change(change) if change.revision == number));
    }
    assert_eq!(disk.lying_syncs.load(Ordering::SeqCst), 0, "every lie was told");
    assert_eq!(texts(&store).len(), 5);
    assert!(store.close().await);
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_is_opened_anew_when_it_can() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let disk = Arc::new(Trouble::default());
    let store = disk.open(&path).expect("a new file");
    // More than redb keeps in memory, so that reading has to touch the disk.
    for number in 0..40 {
        let text = "x".repeat(900_000);
        store.append(HOUSE, &format!("c-{number}"), vec![NewMessage::new(Role::User, text, 1)]).await.expect("room");
    }
    disk.unreadable.store(true, Ordering::SeqCst);
    let failed = async {
        for number in 0..40 {
            store.messages(&format!("c-{number}"), None, 1).await?;
        }
        Ok(())
    };
    assert!(matches!(failed.await, Err(ReadError::Disk(_))));
    disk.unreadable.store(false, Ordering::SeqCst);
    // A write behind the writer's healing, so that it is done.
    store.append(HOUSE, ID, vec![said(1)]).await.expect("a disk that works");
    for number in 0..40 {
        assert_eq!(store.messages(&format!("c-{number}"), None, 1).await.expect("readable").len(), 1);
    }
    assert!(store.close().await);
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_said_and_changes_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let disk = Arc::new(Trouble::default());
    disk.full.store(true, Ordering::SeqCst);
    assert_eq!(disk.open(&path).map(|_| ()), Err(OpenError::DiskFull { path: path.clone() }));
    assert_eq!(folder(home.path()), [], "a file that could not be made leaves nothing");
    let store = Store::open(&path).expect("a new file");
    assert!(store.close().await);
    let before = folder(home.path());
    assert_eq!(disk.open(&path).map(|_| ()), Err(OpenError::DiskFull { path: path.clone() }));
    assert_eq!(folder(home.path()), before);
}

/// A message whose number can be checked; every fourth is long enough to make the file grow.
fn said(number: u64) -> NewMessage {
    let length = if number.is_multiple_of(4) { 60_000 } else { 10 };
    NewMessage::new(Role::User, format!("{number} {}", "x".repeat(length)), number)
}

/// The texts of the conversation, each checked to be the one that belongs there.
fn texts(store: &Store) -> Vec<String> {
    let snapshot = store.snapshot().expect("an open store");
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = snapshot.messages(ID, before, 200).expect("readable");
        let Some(first) = page.first() else { break };
        before = Some(first.seq);
        found.splice(0..0, page);
    }
    for (number, message) in (1..).zip(&found) {
        assert_eq!((message.seq, &message.text), (number, &said(number).text));
    }
    let counted = snapshot.conversation(ID).expect("readable").map_or(0, |conversation| conversation.message_count);
    assert_eq!(counted, found.len() as u64);
    found.into_iter().map(|message| message.text).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
