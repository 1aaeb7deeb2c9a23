//! Backups are made, opened and damaged.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::common::ustar;
use crate::store::snapshots::{Contents, Extent, verify};
use crate::store::{Room, Store};

#[test]
fn a_backup_is_opened_as_it_was_made() {
    let (home, path, contents) = backup();
    let scratch = home.path().join("scratch.redb");
    let opened = open(&path, &scratch).expect("whole");
    assert_eq!(opened.contents, contents);
    assert_eq!(verify(&scratch), Ok(contents));
    assert_eq!(opened.config.as_deref(), Some(&b"store: {}\n"[..]));
    assert_eq!((opened.zigbee.as_deref(), opened.keys.is_some()), (Some(&b"{}"[..]), false));
    assert_eq!(opened.manifest.made_at, "2026-11-22T10:15:00Z");
    let names: Vec<&str> = opened.manifest.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, [CONFIG, ZIGBEE, STORE]);
}

#[test]
fn any_tar_unpacks_it() {
    let (home, path, contents) = backup();
    let folder = home.path().join("unpacked");
    fs::create_dir(&folder).expect("a folder");
    let unpacked = std::process::Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(&folder).output();
    let unpacked = unpacked.expect("a tar on this machine");
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    assert_eq!(verify(&folder.join(STORE)), Ok(contents));
    assert_eq!(fs::read(folder.join(CONFIG)).expect("a file"), b"store: {}\n");
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).expect("a file")).expect("JSON");
    assert_eq!((manifest.format.as_str(), manifest.version), (FORMAT, VERSION));
}

#[test]
fn damage_anywhere_is_seen() {
    let (home, path, _) = backup();
    let whole = fs::read(&path).expect("the file");
    let scratch = home.path().join("scratch.redb");
    let damaged_path = home.path().join("damaged.tar");
    // Not the two blocks of zeros behind the last member.
    let end = whole.len() - 1024;
    let used: Vec<usize> = (0..end).filter(|at| whole[*at] != 0).collect();
    proptest!(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }, |(
        at in proptest::sample::select(used),
        flip in 1..=255u8,
        cut in proptest::option::weighted(0.3, 0..end),
    )| {
        let mut damaged = whole.clone();
        match cut {
            Some(cut) => damaged.truncate(cut),
            None => damaged[at] ^= flip,
        }
        fs::write(&damaged_path, &damaged).expect("a file");
        match open(&damaged_path, &scratch) {
            Err(Problem::Damaged { .. } | Problem::NotABackup { .. } | Problem::Newer { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
            // What a manifest says of the hour and the maker, and a header of the time and the owner, is nobody's proof.
            Ok(opened) => prop_assert!(at < 8192 && opened.contents.records > 0, "{at}"),
        }
    });
}

#[test]
fn what_is_no_backup_is_said_to_be_none() {
    let home = tempfile::tempdir().expect("a folder");
    let (path, scratch) = (home.path().join("x.tar"), home.path().join("scratch.redb"));
    for bytes in [&b""[..], b"dear diary", &[0; 4096], &[7; 4096]] {
        fs::write(&path, bytes).expect("a file");
        assert!(matches!(open(&path, &scratch), Err(Problem::NotABackup { .. })), "{bytes:?}");
    }
    assert!(matches!(open(home.path(), &scratch), Err(Problem::NotABackup { .. })));
    assert!(matches!(open(&home.path().join("none"), &scratch), Err(Problem::Unreadable { .. })));
    let manifest = |text: &str| {
        let mut tar = ustar::header(MANIFEST, text.len() as u64, 0).to_vec();
        tar.extend(text.as_bytes());
        tar.extend(vec![0; ustar::padding(text.len() as u64)]);
        fs::write(&path, tar).expect("a file");
        open(&path, &scratch).map(|_| ()).expect_err("no backup")
    };
    assert!(matches!(manifest(r#"{"format":"photos"}"#), Problem::NotABackup { .. }));
    assert!(matches!(manifest(r#"{"format":"hearth-backup","version":2,"new":[]}"#), Problem::Newer { found: 2, .. }));
    let told = manifest(
        r#"{"format":"hearth-backup","version":1,"hearth":"","made_at":"","made_at_ms":0,"layout":5,"records":0,
            "members":[{"name":"../../etc/passwd","bytes":9,"sha256":""}]}"#,
    );
    assert!(matches!(told, Problem::Damaged { .. }), "{told}");
}

/// A backup of a house with one room.
fn backup() -> (TempDir, PathBuf, Contents) {
    let home = tempfile::tempdir().expect("a folder");
    let copy = home.path().join("copy.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let contents = runtime.block_on(async {
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        let room = Room { id: "kitchen".into(), name: "Kitchen".into(), ..Room::default() };
        store.put(room, None).await.expect("room");
        let contents = store.copy_to(&copy, Extent::WithoutSignIns).await.expect("room");
        assert!(store.close().await);
        contents
    });
    let settings = Settings {
        hearth: "0.1.0".into(),
        made_at_ms: 1_795_342_500_000,
        config: Some(b"store: {}\n".to_vec()),
        zigbee: Some(b"{}".to_vec()),
        keys: None,
    };
    let mut backup = Backup::of(&copy, &contents, settings).expect("room");
    assert!(!copy.exists(), "it has no name any more");
    let path = home.path().join("house.tar");
    write(&mut backup, &path);
    assert_eq!(fs::metadata(&path).expect("a file").len(), backup.length());
    (home, path, contents)
}

fn write(backup: &mut impl Read, path: &Path) {
    io::copy(backup, &mut fs::File::create(path).expect("a file")).expect("room");
}
