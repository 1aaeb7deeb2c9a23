//! Snapshots are taken, read back, kept and put in place: of whole stores and damaged ones, and whenever the program is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use redb::Database;
use tempfile::TempDir;

use super::*;
use crate::common::chat::Role;
use crate::common::who::HOUSE;
use crate::store::contents::{Reader, Visitor, every_table};
use crate::store::disks::folder as files;
use crate::store::tables::{META, META_SCHEMA_VERSION, SCHEMA_VERSION, SETTINGS};
use crate::store::{NewMessage, Room, Setting, SignIn};

/// 2026-11-22T10:15:00Z.
const NOW_MS: UnixMillis = 1_795_342_500_000;

#[test]
fn every_table_is_looked_at() {
    struct Names(Vec<String>);
    impl Visitor for Names {
        fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
            &mut self,
            table: redb::TableDefinition<'static, K, V>,
            _reader: Reader<K, V>,
        ) -> Result<(), redb::Error> {
            self.0.push(redb::TableHandle::name(&table).to_owned());
            Ok(())
        }
    }
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    run(Store::open(&path).expect("a new file").close());
    let db = Database::open(&path).expect("a file");
    let txn = db.begin_read().expect("a transaction");
    let mut there: Vec<String> =
        txn.list_tables().expect("readable").map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    let mut looked_at = Names(Vec::new());
    every_table(&mut looked_at).expect("nothing fails");
    looked_at.0.sort();
    there.sort();
    assert_eq!(looked_at.0, there);
}

#[tokio::test]
async fn a_snapshot_of_a_store_in_use_is_the_store_at_that_moment() {
    let (_home, path, folder) = house();
    let store = Store::open(&path).expect("a store");
    say(&store, 1).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 2..=30 {
                say(&store, number).await;
            }
        }
    });
    let kept = store.take_snapshot(&folder, Reason::Timer, NOW_MS).await.expect("room");
    writing.await.expect("writers are not held up");
    assert_eq!(kept.path, folder.join(format!("hearth-000001-timer-20261122T101500Z-r{}.redb", kept.revision)));
    assert_eq!(list(&path, &folder), std::slice::from_ref(&kept));
    let contents = verify(&kept.path).expect("whole");
    assert_eq!((contents.layout, contents.revision, contents.unreadable), (SCHEMA_VERSION, kept.revision, 0));
    assert!(store.close().await);
    let copy = Store::open(&kept.path).expect("a store like any other");
    let said = copy.messages("kitchen", None, 99).await.expect("readable");
    assert!((1..=30).contains(&said.len()));
    assert_eq!(said.last().expect("one at least").text, text(said.len() as u64));
    assert!(copy.close().await);
}

#[tokio::test]
async fn keys_of_others_are_left_out_where_they_are_not_wanted() {
    let (home, path, _) = house();
    let store = Store::open(&path).expect("a store");
    let sign_in =
        br#"{"slug":"docs","server":"s","issuer":"i","client_id":"c","method":"none","token":"s3cret-t0ken"}"#;
    store.put::<SignIn>(serde_json::from_slice(sign_in).expect("one"), None).await.expect("room");
    let [whole, without] = ["whole.redb", "without.redb"].map(|name| home.path().join(name));
    let all = store.copy_to(&whole, Extent::Whole).await.expect("room");
    let some = store.copy_to(&without, Extent::WithoutSignIns).await.expect("room");
    assert_eq!(all.records, some.records + 1);
    let holds = |path: &Path| fs::read(path).expect("a file").windows(12).any(|bytes| bytes == b"s3cret-t0ken");
    assert!(holds(&whole) && !holds(&without));
    assert!(store.close().await);
    let store = Store::open(&without).expect("a store like any other");
    assert!(store.list::<SignIn>().await.expect("the table is there").is_empty());
    assert!(store.close().await);
}

#[test]
fn a_file_that_nobody_has_open_is_copied_as_it_is_and_one_in_use_is_not() {
    let (_home, path, folder) = house();
    let kept = take(&path, &folder, Reason::Update, NOW_MS).expect("room");
    assert_eq!((kept.number, kept.reason, kept.at_ms), (1, Reason::Update, NOW_MS));
    assert_eq!(take(&path, &folder, Reason::Update, 0).expect("room").number, 2, "whatever the clock says");
    let store = Store::open(&path).expect("free again");
    let refused = take(&path, &folder, Reason::Asked, NOW_MS).expect_err("it is in use");
    assert_eq!(refused, SnapshotError::Store(OpenError::Locked { path: path.clone() }));
    assert!(matches!(restore(&kept.path, &path, &folder, NOW_MS), Err(RestoreError::Store(OpenError::Locked { .. }))));
    assert!(run(store.close()));
    assert_eq!(list(&path, &folder).len(), 2);
    assert!(list(Path::new("other.redb"), &folder).is_empty(), "each store has its own");
}

#[test]
fn what_is_restored_is_what_was_there_and_what_was_there_is_kept() {
    let (_home, path, folder) = house();
    let before = verify(&path).expect("whole");
    let kept = take(&path, &folder, Reason::Asked, NOW_MS).expect("room");
    let store = Store::open(&path).expect("a store");
    run(say(&store, 1));
    assert!(run(store.close()));
    let changed = verify(&path).expect("whole");
    assert_ne!(changed.digest, before.digest);
    let restored = restore(&kept.path, &path, &folder, NOW_MS).expect("room");
    assert_eq!((&restored.contents, verify(&path)), (&before, Ok(before.clone())));
    let saved = restored.before.expect("it opened");
    assert_eq!((verify(&saved.path), saved.number, saved.reason), (Ok(changed.clone()), 2, Reason::Restore));
    assert_eq!(restored.aside, None);
    // And back again.
    assert_eq!(restore(&saved.path, &path, &folder, NOW_MS).expect("room").contents, changed);
    fs::remove_file(&path).expect("the file");
    let into_nothing = restore(&kept.path, &path, &folder, NOW_MS).expect("a fresh card");
    assert_eq!((into_nothing.before, into_nothing.aside), (None, None));
    assert_eq!(verify(&path), Ok(before));
}

#[test]
fn a_file_that_does_not_open_is_moved_aside_and_never_lost() {
    let (_home, path, folder) = house();
    let whole = fs::read(&path).expect("the file");
    let good = verify(&path).expect("whole");
    let kept = take(&path, &folder, Reason::Timer, NOW_MS).expect("room");
    let mut zeroed = whole.clone();
    let third = whole.len() / 3;
    zeroed[third..third * 2].fill(0);
    let mut headless = whole.clone();
    headless[..4096].fill(0);
    for (number, damaged) in [&b""[..], &whole[..whole.len() / 2], &zeroed, &headless, b"dear diary"].iter().enumerate()
    {
        fs::write(&path, damaged).expect("a file");
        let refused = Store::open(&path).map(|_| ()).expect_err("damaged");
        assert!(refused.is_damage(), "{refused}");
        let (newest, _) = newest_fit(&path, &folder).expect("the snapshot is whole");
        assert_eq!(newest, kept);
        let restored = restore(&newest.path, &path, &folder, NOW_MS).expect("room");
        assert_eq!(verify(&path), Ok(good.clone()));
        assert_eq!(fs::read(restored.aside.expect("it did not open")).expect("the damaged file"), *damaged);
        assert_eq!(asides(&path).len(), number + 1);
    }
    fs::write(&path, b"").expect("a file");
    let refused = restore(&kept.path, &path, &folder, NOW_MS).expect_err("there are enough");
    assert_eq!(refused, RestoreError::TooManyAside { path: path.clone() });
    assert_eq!(fs::read(&path).expect("the file"), b"", "it is as it was");
}

#[test]
fn a_store_that_is_not_damaged_is_not_taken_for_one() {
    let (home, path, _) = house();
    let store = Store::open(&path).expect("a store");
    let refusal = |path: &Path| Store::open(path).map(|_| ()).expect_err("refused");
    assert!(!refusal(&path).is_damage(), "it is in use");
    assert!(run(store.close()));
    assert!(!refusal(home.path()).is_damage(), "a folder");
    let others = home.path().join("other.redb");
    let db = Database::create(&others).expect("somebody else's database");
    let txn = db.begin_write().expect("a transaction");
    txn.open_table(redb::TableDefinition::<&str, &str>::new("diary")).expect("a table");
    txn.commit().expect("a commit");
    drop(db);
    assert!(!refusal(&others).is_damage(), "another program's");
    write(&path, |txn| {
        txn.open_table(META).expect("a table").insert(META_SCHEMA_VERSION, SCHEMA_VERSION + 1).expect("room");
    });
    assert!(!refusal(&path).is_damage(), "a newer one's");
    assert!(matches!(verify(&path), Err(Unfit::Newer { .. })));
}

#[test]
fn a_damaged_snapshot_is_seen_or_is_whole_and_nothing_is_written() {
    let (home, path, folder) = house();
    let kept = take(&path, &folder, Reason::Timer, NOW_MS).expect("room");
    let good = verify(&kept.path).expect("whole");
    let whole = fs::read(&kept.path).expect("the file");
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let damaged_path = home.path().join("damaged.redb");
    let seen = std::cell::Cell::new(0);
    proptest!(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }, |(
        at in proptest::sample::select(used),
        flip in 1..=255u8,
        len in 1..5000usize,
        cut in proptest::option::weighted(0.2, 1..whole.len()),
    )| {
        let mut damaged = whole.clone();
        damaged.iter_mut().skip(at).take(len).for_each(|byte| *byte ^= flip);
        damaged.truncate(cut.unwrap_or(whole.len()));
        fs::write(&damaged_path, &damaged).expect("a file");
        match verify(&damaged_path) {
            Ok(found) => prop_assert_eq!(found, good.clone()),
            Err(_) => seen.set(seen.get() + 1),
        }
        prop_assert!(fs::read(&damaged_path).expect("the file") == damaged);
    });
    assert!(seen.get() > 100, "{}", seen.get());
}

#[test]
fn the_newest_that_is_whole_and_makes_sense_is_chosen() {
    let (_home, path, folder) = house();
    let first = take(&path, &folder, Reason::Timer, NOW_MS).expect("room");
    write(&path, |txn| {
        txn.open_table(SETTINGS).expect("a table").insert("house.name", &b"{nonsense"[..]).expect("room");
    });
    let second = take(&path, &folder, Reason::Timer, NOW_MS).expect("what the store has, its snapshot has");
    let contents = verify(&second.path).expect("its pages are whole");
    assert_eq!(contents.unreadable, 1);
    assert!(contents.first_unreadable[0].starts_with("settings house.name: "), "{contents:?}");
    assert_eq!(newest_fit(&path, &folder).expect("one").0, first);
    fs::write(&first.path, b"").expect("a file");
    assert_eq!(newest_fit(&path, &folder).expect("better than none").0, second);
    fs::write(&second.path, b"x").expect("a file");
    assert_eq!(newest_fit(&path, &folder).expect_err("none").len(), 2);
}

#[test]
fn an_older_layout_is_kept_before_it_is_changed_and_restored_as_this_one() {
    let (_home, path, folder) = house();
    write(&path, |txn| {
        txn.delete_table(crate::store::tables::MCP_SIGN_INS).expect("a table");
        txn.open_table(META).expect("a table").insert(META_SCHEMA_VERSION, SCHEMA_VERSION - 1).expect("room");
    });
    let old = verify(&path).expect("an older layout is no damage");
    let into = folder.clone();
    let store = Store::open_with(&path, move |elder| {
        elder.take_snapshot(&into, NOW_MS).expect("room");
    });
    assert!(run(store.expect("a way").close()));
    let [kept] = list(&path, &folder).try_into().expect("one");
    assert_eq!((kept.reason, verify(&kept.path)), (Reason::Migration, Ok(old)));
    assert!(run(Store::open_with(&path, |_| panic!("nothing to change")).expect("this layout").close()));
    let restored = restore(&kept.path, &path, &folder, NOW_MS).expect("room");
    assert_eq!(restored.contents.layout, SCHEMA_VERSION);
    assert_eq!(verify(&kept.path).expect("untouched").layout, SCHEMA_VERSION - 1);
}

/// Set in the child of [`a_killed_process_leaves_a_whole_store_and_whole_snapshots`]: the folder in which it works.
const CHILD_ENV: &str = "HEARTH_TEST_SNAPSHOTS_CHILD";

#[test]
fn a_killed_process_leaves_a_whole_store_and_whole_snapshots() {
    if let Some(home) = std::env::var_os(CHILD_ENV) {
        return copy_until_killed(Path::new(&home));
    }
    let (home, path, folder) = house();
    let store = Store::open(&path).expect("a store");
    for number in 1..=40 {
        run(say(&store, number));
    }
    assert!(run(store.close()));
    let good = verify(&path).expect("whole");
    let first = take(&path, &folder, Reason::Asked, NOW_MS).expect("room");
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this test's program"))
            .args(["--exact", "store::snapshots::tests::a_killed_process_leaves_a_whole_store_and_whole_snapshots"])
            .arg("--nocapture")
            .env(CHILD_ENV, home.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("this test runs again");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(lines.any(|line| line.expect("text") == "working"), "the child has begun");
        // At another moment each time.
        std::thread::sleep(std::time::Duration::from_millis(7 * round));
        child.kill().expect("the child runs until it is killed");
        child.wait().expect("it has ended");
        assert_eq!(verify(&path), Ok(good.clone()), "round {round}");
        for kept in list(&path, &folder) {
            assert_eq!(verify(&kept.path), Ok(good.clone()), "round {round}");
        }
        let restored = restore(&first.path, &path, &folder, NOW_MS).expect("what was left is in nobody's way");
        assert_eq!(restored.contents, good);
        prune(&path, &folder, &Rotation { newest: 2, days: 0, bytes_max: u64::MAX });
    }
    let left: Vec<_> = files(home.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, [path.clone(), home.path().join("hearth.redb.reserve")]);
    assert!(files(&folder).iter().all(|(path, _)| path.extension().is_some_and(|end| end == "redb")));
}

fn copy_until_killed(home: &Path) {
    let (path, folder) = (home.join("hearth.redb"), home.join("snapshots"));
    let first = list(&path, &folder)[0].path.clone();
    eprintln!("working");
    loop {
        take(&path, &folder, Reason::Timer, NOW_MS).expect("room");
        restore(&first, &path, &folder, NOW_MS).expect("room");
        prune(&path, &folder, &Rotation { newest: 2, days: 0, bytes_max: u64::MAX });
    }
}

#[test]
fn a_store_of_many_megabytes_is_copied_in_hardly_more_bytes() {
    let (home, path, _) = house();
    let store = Store::open(&path).expect("a store");
    for number in 0..200 {
        run(store.append(HOUSE, &format!("c-{number}"), vec![NewMessage::new(Role::User, "x".repeat(20_000), 1)]))
            .expect("room");
    }
    let copy = home.path().join("copy.redb");
    let contents = run(store.copy_to(&copy, Extent::Whole)).expect("room");
    let bytes = fs::metadata(&copy).expect("a file").len();
    eprintln!("{} bytes of records are a file of {bytes}", contents.bytes);
    assert!(bytes < 2 * contents.bytes, "{bytes} for {}", contents.bytes);
    assert!(run(store.close()));
}

/// A store with a room in it, and the folder of its snapshots, which is not there yet.
fn house() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("hearth.redb");
    let store = Store::open(&path).expect("a new file");
    let furnished = async {
        let room = Room { id: "kitchen".into(), name: "Kitchen".into(), ..Room::default() };
        store.put(room, None).await.expect("room");
        let setting = Setting { key: "house.name".into(), value: "Ours".into(), revision: 0 };
        store.put(setting, None).await.expect("room");
        assert!(store.close().await);
    };
    // In a thread of its own: tests that are async have a runtime already.
    std::thread::scope(|scope| scope.spawn(|| run(furnished)).join().expect("no panic"));
    let folder = folder_beside(&path);
    (home, path, folder)
}

fn write(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::create(path).expect("the file");
    let txn = db.begin_write().expect("a transaction");
    change(&txn);
    txn.commit().expect("a commit");
}

fn text(number: u64) -> String {
    format!("{number} {}", "x".repeat(5000))
}

async fn say(store: &Store, number: u64) {
    store.append(HOUSE, "kitchen", vec![NewMessage::new(Role::User, text(number), number)]).await.expect("room");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
