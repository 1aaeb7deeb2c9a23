//! Conversations over real files, and the choice of context against a model.

use tempfile::TempDir;

use super::messages::{NAME_BYTES_MAX, REASONING_BYTES_MAX, TEXT_BYTES_MAX};
use super::*;
use crate::store::bounds::Bounds;
use crate::store::open::Opener;

#[tokio::test]
async fn what_was_said_comes_back_as_it_was() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let question = NewMessage::new(Role::User, "\n Wie spät ist es? \nBitte.", 1_000);
    let answer = NewMessage {
        reasoning: Some("hm".into()),
        partial: true,
        provider: Some("local".into()),
        model: Some("smollm2".into()),
        ..NewMessage::new(Role::Assistant, "Zwölf 🕛", 2_000)
    };
    store.append(HOUSE, "kitchen", vec![question.clone(), answer.clone()]).await.expect("room");
    let stored = store.messages("kitchen", None, 10).await.expect("readable");
    let numbered = |seq, said: NewMessage| StoredMessage { seq, ..said.into_stored(&mut Vec::new()) };
    assert_eq!(stored, [numbered(1, question), numbered(2, answer)]);
    let conversation = store.conversation("kitchen").await.expect("readable").expect("there");
    assert_eq!(conversation.title.as_deref(), Some("Wie spät ist es?"));
    assert_eq!((conversation.created_at_ms, conversation.updated_at_ms), (1_000, 2_000));
    assert_eq!((conversation.message_count, conversation.revision), (2, 1));
    assert!(store.close().await);
}

#[tokio::test]
async fn pages_go_through_all_conversations_and_messages_in_order() {
    let (_home, store) = new_store(Bounds::HOUSE);
    for number in 0..25 {
        store.append(HOUSE, &format!("c-{number}"), vec![user(number / 2)]).await.expect("room");
    }
    store.append(HOUSE, "c-3", vec![user(100)]).await.expect("room");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.conversations(None, after, 4).await.expect("readable");
        let Some(last) = page.last() else { break };
        after = Some((last.updated_at_ms, last.id.clone()));
        seen.extend(page.iter().map(|conversation| (conversation.updated_at_ms, conversation.id.clone())));
    }
    assert_eq!((seen.len(), seen[0].1.as_str()), (25, "c-3"));
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");

    let many = (0..50).map(user).collect();
    store.append(HOUSE, "long", many).await.expect("room");
    let page = store.messages("long", Some(21), 5).await.expect("readable");
    assert_eq!(page.iter().map(|message| message.seq).collect::<Vec<_>>(), [16, 17, 18, 19, 20]);
    assert!(store.messages("nobody", None, 5).await.expect("readable").is_empty());
    assert!(store.close().await);
}

#[tokio::test]
async fn appends_that_race_lose_and_reorder_nothing() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let mut turns = tokio::task::JoinSet::new();
    for turn in 0..50 {
        let store = store.clone();
        turns.spawn(async move {
            store
                .append(HOUSE, "kitchen", vec![user(turn), NewMessage::new(Role::Assistant, turn.to_string(), turn)])
                .await
        });
    }
    for done in turns.join_all().await {
        done.expect("room");
    }
    let said = store.messages("kitchen", None, 200).await.expect("readable");
    assert_eq!(said.len(), 100);
    for (pair, at) in said.chunks(2).zip((1..).step_by(2)) {
        assert_eq!((pair[0].seq, pair[0].role, pair[1].role), (at, Role::User, Role::Assistant));
        assert_eq!(pair[0].at_ms, pair[1].at_ms, "a turn stays together");
    }
    assert!(store.close().await);
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_and_may_begin_anew() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let mut feed = store.subscribe();
    for id in ["kitchen", "kitchen2", "kitche"] {
        store.append(HOUSE, id, vec![user(1), user(2)]).await.expect("room");
    }
    assert_eq!(store.delete_conversation("kitchen", None).await, Ok(true));
    assert_eq!(store.delete_conversation("kitchen", None).await, Ok(false));
    assert_eq!(store.conversation("kitchen").await, Ok(None));
    assert!(store.messages("kitchen", None, 9).await.expect("readable").is_empty());
    assert_eq!(store.messages("kitchen2", None, 9).await.expect("readable").len(), 2);
    assert_eq!(store.messages("kitche", None, 9).await.expect("readable").len(), 2);
    assert_eq!(store.conversations(None, None, 9).await.expect("readable").len(), 2);
    store.append(HOUSE, "kitchen", vec![user(1)]).await.expect("room");
    let anew = store.conversation("kitchen").await.expect("readable").expect("there");
    assert_eq!((anew.message_count, anew.revision), (1, 5));
    let mut news = Vec::new();
    for _ in 0..5 {
        let super::super::Seen::Change(change) = feed.recv().await else { panic!("no news") };
        news.push((change.key.to_string(), change.revision, change.deleted));
    }
    let expected = [
        ("kitchen", 1, false),
        ("kitchen2", 2, false),
        ("kitche", 3, false),
        ("kitchen", 4, true),
        ("kitchen", 5, false),
    ];
    assert_eq!(news, expected.map(|(key, revision, deleted)| (key.to_owned(), revision, deleted)));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_conversation_is_its_users_alone_and_can_be_renamed() {
    let (_home, store) = new_store(Bounds::HOUSE);
    store.append("ann", "kitchen", vec![user(1)]).await.expect("room");
    store.append("ben", "cellar", vec![user(2)]).await.expect("room");
    let refused = store.append("ben", "kitchen", vec![user(3)]).await;
    assert_eq!(refused, Err(WriteError::NotFound("conversation kitchen".into())));
    assert_eq!(store.messages("kitchen", None, 9).await.expect("readable").len(), 1);
    let of = async |user| {
        let listed = store.conversations(user, None, 9).await.expect("readable");
        listed.into_iter().map(|conversation| conversation.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (of(Some("ann")).await, of(Some("cy")).await, of(None).await.len()),
        (vec!["kitchen".into()], vec![], 2)
    );
    let first = store.conversation("kitchen").await.expect("readable").expect("there").revision;
    let named = store.rename_conversation("kitchen", Some("Cooking"), Some(first)).await.expect("hers");
    assert_eq!((named.title.as_deref(), named.updated_at_ms), (Some("Cooking"), 1), "it stays where it is");
    let stale = store.rename_conversation("kitchen", None, Some(first)).await;
    assert_eq!(stale, Err(WriteError::Conflict { current: named.revision }));
    assert!(store.rename_conversation("kitchen", Some(&"x".repeat(257)), None).await.is_err());
    assert!(matches!(store.rename_conversation("nothing", None, None).await, Err(WriteError::NotFound(_))));
    store.append("ann", "kitchen", vec![user(5)]).await.expect("room");
    let kept = store.conversation("kitchen").await.expect("readable").expect("there");
    assert_eq!(kept.title.as_deref(), Some("Cooking"));
    assert!(store.delete_conversation("kitchen", Some(first)).await.is_err());
    assert_eq!(store.delete_conversation("kitchen", Some(kept.revision)).await, Ok(true));
    assert!(store.close().await);
}

#[tokio::test]
async fn the_oldest_is_forgotten_and_never_what_was_just_said() {
    let (_home, store) = new_store(Bounds {
        conversations: 3,
        messages_per_conversation: 4,
        conversation_bytes: 1_000,
        history_bytes: 2_000,
        ..Bounds::HOUSE
    });
    for number in 10..15 {
        store.append(HOUSE, &format!("c-{number}"), vec![user(number)]).await.expect("room");
    }
    assert_eq!(ids(&store).await, ["c-14", "c-13", "c-12"]);
    // A hub without a clock battery wakes up in 1970.
    store.append(HOUSE, "now", vec![user(0)]).await.expect("room");
    assert_eq!(ids(&store).await, ["c-14", "c-13", "now"]);
    for number in 1..=9 {
        store.append(HOUSE, "now", vec![user(number + 20)]).await.expect("room");
    }
    let kept = store.messages("now", None, 9).await.expect("readable");
    assert_eq!(kept.iter().map(|message| message.seq).collect::<Vec<_>>(), [7, 8, 9, 10]);
    let long = |at_ms| NewMessage::new(Role::User, "x".repeat(900), at_ms);
    for (id, at_ms) in [("now", 31), ("c-13", 32), ("c-14", 33)] {
        store.append(HOUSE, id, vec![long(at_ms)]).await.expect("room");
    }
    assert_eq!(ids(&store).await, ["c-14", "c-13"], "two long ones are all that fits");
    let held = store.conversation("c-13").await.expect("readable").expect("there");
    assert_eq!(held.message_count, 2);
    let longer = NewMessage { text: "y".repeat(5_000), ..long(34) };
    store.append(HOUSE, "c-13", vec![long(34), longer]).await.expect("room");
    assert_eq!(ids(&store).await, ["c-13"]);
    assert_eq!(store.messages("c-13", None, 9).await.expect("readable").len(), 1, "the newest stays, however long");
    assert!(store.close().await);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_whole() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let long = |bytes| NewMessage::new(Role::User, "x".repeat(bytes), 1);
    let refused = [
        store.append(HOUSE, "../x", vec![user(1)]).await,
        store.append(HOUSE, "", vec![user(1)]).await,
        store.append(HOUSE, "c", vec![NewMessage::new(Role::System, "be kind", 1)]).await,
        store.append(HOUSE, "c", vec![user(1), long(TEXT_BYTES_MAX + 1)]).await,
        store.append(HOUSE, "c", (0..=MESSAGES_PER_APPEND_MAX as u64).map(user).collect()).await,
        store.append(HOUSE, "c", vec![NewMessage { model: Some("m".repeat(NAME_BYTES_MAX + 1)), ..user(1) }]).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(WriteError::Invalid(_) | WriteError::TooLarge { .. })), "{refused:?}");
    }
    assert!(ids(&store).await.is_empty());
    let thinking = NewMessage { reasoning: Some("ü".repeat(REASONING_BYTES_MAX)), ..long(TEXT_BYTES_MAX) };
    store.append(HOUSE, "c", vec![thinking]).await.expect("the longest text fits");
    let kept = store.messages("c", None, 1).await.expect("readable").remove(0);
    assert_eq!(kept.text.len(), TEXT_BYTES_MAX);
    assert_eq!(kept.reasoning.map(|text| text.len()), Some(REASONING_BYTES_MAX));
    assert!(store.close().await);
}

#[test]
fn a_page_ends_before_it_fills_the_memory() {
    let (_home, store) = new_store(Bounds::HOUSE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..8 {
            let long = NewMessage::new(Role::User, "x".repeat(TEXT_BYTES_MAX), 1);
            store.append(HOUSE, "c", vec![long]).await.expect("room");
        }
        let page = store.messages("c", None, 200).await.expect("readable");
        assert_eq!(page.iter().map(|message| message.seq).collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert!(store.close().await);
    });
}

#[test]
fn a_title_is_the_first_words() {
    assert_eq!(title("\n\n  Hello there \nmore"), Some("Hello there".to_owned()));
    assert_eq!(title(" \n "), None);
    let long = title(&"ä".repeat(100)).expect("a title");
    assert_eq!(long.chars().count(), TITLE_CHARS_MAX + 1);
}

fn user(at_ms: u64) -> NewMessage {
    NewMessage::new(Role::User, "hello", at_ms)
}

async fn ids(store: &Store) -> Vec<String> {
    let listed = store.conversations(None, None, 99).await.expect("readable");
    listed.into_iter().map(|conversation| conversation.id).collect()
}

fn new_store(bounds: Bounds) -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::start(Opener::new(&home.path().join("hearth.redb")), bounds).expect("a new file");
    (home, store)
}
