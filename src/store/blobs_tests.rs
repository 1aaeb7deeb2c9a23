//! Blobs over real files: sameness, bounds, and what a crash leaves.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::common::chat::{Part, Role};
use crate::common::who::HOUSE;
use crate::store::bounds::Bounds;
use crate::store::open::Opener;
use crate::store::{NewMessage, Seen};

#[tokio::test]
async fn the_same_bytes_of_the_same_kind_are_one_blob() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let data = Bytes::from_static(b"\x89PNG");
    let id = store.put_blob("image/png", data.clone()).await.expect("room");
    assert!(id.len() == 34 && id.starts_with("b-") && id[2..].bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(store.put_blob("image/png", data.clone()).await.expect("room"), id);
    assert_ne!(store.put_blob("image/gif", data.clone()).await.expect("room"), id);
    assert_ne!(store.put_blob("image/pn", Bytes::from_static(b"g\x89PNG")).await.expect("room"), id);
    assert_eq!(store.blob(&id).await, Ok(Some(Media { mime: "image/png".into(), data })));
    assert_eq!(store.blob("b-0").await, Ok(None));
    assert_eq!(bytes_kept(&store).await, 4 + 4 + 5);
    assert!(store.close().await);
}

#[tokio::test]
async fn what_is_no_blob_is_refused() {
    let (_home, store) = new_store(Bounds::HOUSE);
    for mime in ["", "image", "image/", "/png", "Image/png", "image/png; q=1", "image/p\r\nX: y", "a/b/c"] {
        assert!(matches!(store.put_blob(mime, Bytes::new()).await, Err(WriteError::Invalid(_))), "{mime}");
    }
    let long = Bytes::from(vec![0; BLOB_BYTES_MAX + 1]);
    assert!(matches!(store.put_blob("image/png", long).await, Err(WriteError::TooLarge { .. })));
    assert_eq!(bytes_kept(&store).await, 0);
    assert!(store.close().await);
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first() {
    let (_home, store) = new_store(Bounds { blobs: 3, blob_bytes: 100, ..Bounds::HOUSE });
    let put =
        async |byte: u8, len: usize| store.put_blob("image/png", Bytes::from(vec![byte; len])).await.expect("room");
    let [a, b, c] = [put(1, 10).await, put(2, 10).await, put(3, 10).await];
    assert_eq!(put(1, 10).await, a, "used again");
    let d = put(4, 10).await;
    assert_eq!(kept(&store, [&a, &b, &c, &d]).await, [true, false, true, true]);
    // A message that shows it uses it, too.
    let picture = Part::Image(Media { mime: "image/png".into(), data: Bytes::from(vec![3; 10]) });
    let shown = NewMessage { parts: vec![picture], ..NewMessage::new(Role::User, "", 1) };
    store.append(HOUSE, "c", vec![shown]).await.expect("room");
    let mut feed = store.subscribe();
    let e = put(5, 85).await;
    assert_eq!(kept(&store, [&a, &c, &d, &e]).await, [false, true, false, true]);
    assert_eq!(bytes_kept(&store).await, 95);
    let mut news = Vec::new();
    for _ in 0..3 {
        let Seen::Change(change) = feed.recv().await else { panic!("no news") };
        assert_eq!(change.kind, Kind::Blob);
        news.push((change.key.to_string(), change.deleted));
    }
    assert_eq!(news, [(e.clone(), false), (a, true), (d, true)]);
    // One that is larger than everything may be stays alone, rather than being lost on the way in.
    let f = put(6, 200).await;
    assert_eq!(kept(&store, [&c, &e, &f]).await, [false, false, true]);
    // A conversation that is deleted leaves its blobs to their age.
    assert_eq!(store.delete_conversation("c", None).await, Ok(true));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_large_one_lies_in_pieces_and_survives_a_restart() {
    let (home, store) = new_store(Bounds::HOUSE);
    let data: Bytes = (0..3 * PIECE_BYTES + 7).map(|at| (at % 251) as u8).collect();
    let id = store.put_blob("image/jpeg", data.clone()).await.expect("room");
    assert!(store.close().await);
    let store = Store::open(&home.path().join("hearth.redb")).expect("a whole file");
    let snapshot = store.snapshot().expect("open");
    let info = snapshot.blob_info(&id).expect("readable").expect("there");
    assert_eq!((&*info.mime, info.bytes), ("image/jpeg", data.len() as u64));
    let pieces: Vec<usize> = (0..5)
        .map_while(|number| snapshot.blob_piece(&id, number).expect("readable"))
        .map(|piece| piece.len())
        .collect();
    assert_eq!(pieces, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 7]);
    assert_eq!(snapshot.blob(&id).expect("readable").expect("there").data, data);
    drop(snapshot);
    assert!(store.close().await);
}

#[test]
fn a_piece_fills_its_page() {
    // redb rounds up: with the entry's key and the page's header, a piece must stay below the power of two.
    let (home, store) = new_store(Bounds::HOUSE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for at in 0..4 {
            store.put_blob("image/png", Bytes::from(vec![at; 4 * 1024 * 1024])).await.expect("room");
        }
        assert!(store.close().await);
    });
    let file = std::fs::metadata(home.path().join("hearth.redb")).expect("the file").len();
    assert!(file < 24 * 1024 * 1024, "16 MiB take {file} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_newest_are_kept_within_the_bounds(puts in proptest::collection::vec((0..8u8, 1..40usize), 1..40)) {
        let (_home, store) = new_store(Bounds { blobs: 4, blob_bytes: 80, ..Bounds::HOUSE });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // The newest last; a model of what must be there.
        let mut model: Vec<(String, u64)> = Vec::new();
        runtime.block_on(async {
            for (byte, len) in &puts {
                let id = store.put_blob("audio/wav", Bytes::from(vec![*byte; *len])).await.expect("room");
                model.retain(|(known, _)| *known != id);
                model.push((id, *len as u64));
                while model.len() > 4 || model.iter().map(|(_, len)| len).sum::<u64>() > 80 {
                    model.remove(0);
                }
            }
            for (id, len) in &model {
                let found = store.blob(id).await.expect("readable").map(|media| media.data.len() as u64);
                assert_eq!(found, Some(*len));
            }
            assert_eq!(bytes_kept(&store).await, model.iter().map(|(_, len)| len).sum::<u64>());
            assert_eq!(count(&store), model.len() as u64);
            assert!(store.close().await);
        });
    }
}

fn count(store: &Store) -> u64 {
    use redb::ReadableTableMetadata;
    let snapshot = store.snapshot().expect("open");
    let of = |len: Result<u64, redb::StorageError>| len.expect("readable");
    let blobs = of(snapshot.0.open_table(BLOBS).expect("a table").len());
    assert_eq!(of(snapshot.0.open_table(BLOBS_BY_USE).expect("a table").len()), blobs);
    assert_eq!(of(snapshot.0.open_table(BLOB_PIECES).expect("a table").len()), blobs, "each is one piece");
    blobs
}

async fn kept<const N: usize>(store: &Store, ids: [&String; N]) -> [bool; N] {
    let mut found = [false; N];
    for (found, id) in found.iter_mut().zip(ids) {
        *found = store.blob(id).await.expect("readable").is_some();
    }
    found
}

async fn bytes_kept(store: &Store) -> u64 {
    store.read(|snapshot| Ok(meta(&snapshot.0.open_table(META)?, META_BLOB_BYTES)?)).await.expect("readable")
}

fn new_store(bounds: Bounds) -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::start(Opener::new(&home.path().join("hearth.redb")), bounds).expect("a new file");
    (home, store)
}
