//! Parts over a real file: what comes back, and what is left out.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::common::chat::{Message, Role};
use crate::common::who::HOUSE;
use crate::store::{IMAGE_TOKENS, NewMessage, Store, StoredMessage, estimated_tokens};

/// White space, escapes, a number and an order of keys that no tidying leaves as they are.
const ODD_JSON: &str = "{ \"type\":\"thinking\",\"signature\":\"\\u00e9\\/=\",\"n\":1.50e+00,\"a\":{},\"a\":[ ] }";

#[tokio::test]
async fn every_kind_of_part_comes_back_byte_for_byte() {
    let (_home, store) = new_store();
    let picture = Part::Image(media("image/png", b"\x89PNG..."));
    let question = Message { role: Role::User, parts: vec![picture.clone(), Part::Text("What is it?".into())] };
    let call = ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{\"at\": tru".into() };
    let answer = Message {
        role: Role::Assistant,
        parts: vec![
            verbatim(ODD_JSON, None),
            Part::Text("Let me see. ".into()),
            verbatim("[1,  2]", Some(Part::ToolCall(call.clone()))),
        ],
    };
    let result = ToolResult { call_id: "call_1".into(), name: "look".into(), content: "a cat".into(), is_error: true };
    let result = Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] };
    let last = Message {
        role: Role::Assistant,
        parts: vec![
            Part::Text("A cat.".into()),
            Part::Audio(media("audio/wav", b"RIFF")),
            verbatim("{}", Some(picture)),
        ],
    };
    let said = [question, answer, result, last];
    store.append(HOUSE, "c", said.iter().map(new).collect()).await.expect("room");
    let context = store.context("c", 100_000).await.expect("readable");
    assert_eq!(context, said);
    let Part::Verbatim(item) = &context[1].parts[0] else { panic!("{:?}", context[1]) };
    assert_eq!(item.json.get(), ODD_JSON);

    // The same picture lies there once, whoever shows it.
    let stored = store.messages("c", None, 9).await.expect("readable");
    let StoredPart::Image { blob_id, bytes: 7, .. } = &stored[0].parts[0] else { panic!("{:?}", stored[0]) };
    let StoredPart::Verbatim { stands_for: Some(part), .. } = &stored[3].parts[2] else { panic!("{:?}", stored[3]) };
    assert!(matches!(&**part, StoredPart::Image { blob_id: again, .. } if again == blob_id));
    let shown = serde_json::to_value(&stored[1].parts).expect("plain data");
    let types: Vec<_> = shown.as_array().expect("a list").iter().map(|part| part["type"].clone()).collect();
    assert_eq!(types, ["verbatim", "text", "verbatim"]);
    assert_eq!((&shown[0]["json"], &shown[2]["stands_for"]["type"]), (&ODD_JSON.into(), &"tool_call".into()));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_picture_that_is_gone_leaves_words() {
    let (_home, store) = new_store();
    let pictured =
        |data: &'static [u8]| Message { role: Role::User, parts: vec![Part::Image(media("image/png", data))] };
    store.append(HOUSE, "c", vec![new(&pictured(b"one"))]).await.expect("room");
    let stored = store.messages("c", None, 1).await.expect("readable").remove(0);
    let StoredPart::Image { blob_id, .. } = stored.parts[0].clone() else { panic!("{stored:?}") };
    store.write(0, move |batch| crate::store::blobs::delete(batch, &blob_id).map(Ok)).await.expect("room");
    let context = store.context("c", 10_000).await.expect("readable");
    assert_eq!(context[0].parts, [Part::Text("[a picture that is no longer kept]".into())]);
    assert!(store.close().await);
}

#[tokio::test]
async fn what_is_over_a_bound_is_left_out_and_the_text_is_kept() {
    let (_home, store) = new_store();
    let long = |bytes| "x".repeat(bytes);
    let json = |bytes: usize| format!("\"{}\"", long(bytes - 2));
    let kept = |parts| {
        let mut media = Vec::new();
        let message = NewMessage { parts, ..NewMessage::new(Role::Assistant, "text", 1) };
        let stored = message.into_stored(&mut media);
        (stored.parts, media.len())
    };
    let half = VERBATIM_BYTES_MAX / 2;
    let two = |bytes: usize| {
        vec![
            verbatim(&json(half), Some(Part::Text("text".into()))),
            verbatim(&json(bytes), None),
            Part::Text("!".into()),
        ]
    };
    assert_eq!(kept(two(half)).0.len(), 3);
    let text = |text: &str| StoredPart::Text { text: text.into() };
    assert_eq!(kept(two(half + 1)).0, [text("text"), text("!")], "all of them or none");

    let calls = |bytes| {
        let call = ToolCall { id: "1".into(), name: String::new(), arguments: long(bytes) };
        vec![Part::ToolCall(call), Part::Image(media("image/png", b"x"))]
    };
    assert_eq!(kept(calls(PARTS_BYTES_MAX - 1)).0.len(), 2);
    let (parts, media_len) = kept(calls(PARTS_BYTES_MAX));
    assert!(matches!(&parts[..], [StoredPart::Image { .. }, StoredPart::Text { text }] if text == "text"), "{parts:?}");
    assert_eq!(media_len, 1);
    assert_eq!(kept(vec![Part::Text("x".into()); PARTS_MAX]).0.len(), PARTS_MAX);
    assert!(kept(vec![Part::Text("x".into()); PARTS_MAX + 1]).0.is_empty());

    let result = ToolResult {
        call_id: "1".into(),
        name: "f".into(),
        content: "ü".repeat(TOOL_RESULT_BYTES_MAX),
        is_error: false,
    };
    let (parts, _) = kept(vec![Part::ToolResult(result)]);
    assert!(matches!(&parts[0], StoredPart::ToolResult { content, .. } if content.len() == TOOL_RESULT_BYTES_MAX));

    let huge = Media { mime: "image/png".into(), data: Bytes::from(vec![0; BLOB_BYTES_MAX + 1]) };
    let odd = media("text/html; x", b"<script>");
    let (parts, media_len) = kept(vec![Part::Image(huge), Part::Audio(odd)]);
    let words = [text("[a picture that was too large to be kept]"), text("[a sound that was too large to be kept]")];
    assert_eq!((parts, media_len), (words.to_vec(), 0));
    assert!(store.close().await);
}

#[tokio::test]
async fn a_call_comes_with_all_its_results_or_not_at_all() {
    let (_home, store) = new_store();
    let call = |id: &str| Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() });
    let result = |id: &str| {
        let result = ToolResult { call_id: id.into(), name: "f".into(), content: "r".into(), is_error: false };
        Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
    };
    let assistant = |parts| Message { role: Role::Assistant, parts };
    let said = |text: &str| Part::Text(text.into());
    let question = Message::new(Role::User, "q");
    for (what, told, expected) in [
        (
            "answered in two messages",
            vec![assistant(vec![call("1"), call("2")]), result("1"), result("2")],
            vec![assistant(vec![call("1"), call("2")]), result("1"), result("2")],
        ),
        (
            "stopped between",
            vec![assistant(vec![said("so"), call("1"), call("2")]), result("1")],
            vec![assistant(vec![said("so")])],
        ),
        ("stopped before, without a word", vec![assistant(vec![call("1")])], vec![]),
        ("a result of nobody's", vec![assistant(vec![said("so")]), result("1")], vec![assistant(vec![said("so")])]),
        (
            "a result of another call",
            vec![assistant(vec![said("so"), call("1")]), result("2")],
            vec![assistant(vec![said("so")])],
        ),
        ("a result right after the question", vec![result("1")], vec![]),
    ] {
        let told: Vec<Message> = [vec![question.clone()], told].concat();
        store.append(HOUSE, "c", told.iter().map(new).collect()).await.expect("room");
        let expected: Vec<Message> = [vec![question.clone()], expected].concat();
        assert_eq!(store.context("c", 10_000).await.expect("readable"), expected, "{what}");
        store.delete_conversation("c", None).await.expect("room");
    }
    assert!(store.close().await);
}

#[tokio::test]
async fn pictures_count_and_the_oldest_become_words_where_there_are_too_many() {
    let (_home, store) = new_store();
    let picture = |at: u8| media("image/png", &vec![at; 5 * 1024 * 1024]);
    for at in 0..3 {
        let parts = vec![Part::Image(picture(at)), Part::Text("see".into())];
        store.append(HOUSE, "c", vec![new(&Message { role: Role::User, parts })]).await.expect("room");
    }
    let context = store.context("c", 100_000).await.expect("readable");
    let first: Vec<_> = context.iter().map(|message| message.parts[0].clone()).collect();
    let further_back = Part::Text("[a picture from further back]".into());
    assert_eq!(first, [further_back, Part::Image(picture(1)), Part::Image(picture(2))]);
    let each = (IMAGE_TOKENS + estimated_tokens("see")) as u32;
    assert_eq!(store.context("c", 2 * each).await.expect("readable").len(), 2);
    assert_eq!(store.context("c", 2 * each - 1).await.expect("readable").len(), 1);
    assert!(store.close().await);
}

#[tokio::test]
async fn a_message_of_parts_without_text_is_remembered() {
    let (_home, store) = new_store();
    let picture = Message { role: Role::User, parts: vec![Part::Image(media("image/gif", b"GIF89a"))] };
    store.append(HOUSE, "c", vec![new(&picture)]).await.expect("room");
    assert_eq!(store.context("c", 10_000).await.expect("readable"), [picture]);
    assert!(store.close().await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever was said and done, and however small the room: a provider takes it.
    #[test]
    fn a_context_is_always_one_that_providers_take(
        messages in proptest::collection::vec((0..4u8, proptest::collection::vec(0..3u8, 0..3), any::<bool>()), 0..24),
    ) {
        // A context begins with a question.
        let first = [made(0, &[], true)];
        let stored = messages.iter().map(|(kind, ids, has_text)| made(*kind, ids, *has_text));
        let stored: Vec<StoredMessage> = first.into_iter().chain(stored).collect();
        let whole = crate::store::context::with_whole_calls(stored);
        let mut open = BTreeSet::new();
        for message in &whole {
            for part in &message.parts {
                match part {
                    StoredPart::ToolCall { id, .. } => {
                        prop_assert!(message.role == Role::Assistant);
                        open.insert(id.clone());
                    }
                    StoredPart::ToolResult { call_id, .. } => prop_assert!(open.contains(call_id), "{whole:?}"),
                    _ => {}
                }
            }
        }
        for (at, message) in whole.iter().enumerate() {
            let calls: BTreeSet<_> = message.parts.iter().filter_map(|part| match part {
                StoredPart::ToolCall { id, .. } => Some(id.clone()),
                _ => None,
            }).collect();
            let answers = whole[at + 1..].iter().take_while(|next| next.role == Role::Tool);
            let answered: BTreeSet<_> = answers.flat_map(|answer| &answer.parts).filter_map(|part| match part {
                StoredPart::ToolResult { call_id, .. } => Some(call_id.clone()),
                _ => None,
            }).collect();
            prop_assert!(message.role == Role::Tool || calls == answered, "{whole:?}");
        }
    }
}

fn made(kind: u8, ids: &[u8], has_text: bool) -> StoredMessage {
    let (role, parts) = match kind {
        0 => (Role::User, Vec::new()),
        1 => {
            let call =
                |id: &u8| StoredPart::ToolCall { id: id.to_string(), name: "f".into(), arguments: String::new() };
            (Role::Assistant, ids.iter().map(call).collect())
        }
        _ => {
            let result = |id: &u8| StoredPart::ToolResult {
                call_id: id.to_string(),
                name: "f".into(),
                content: String::new(),
                is_error: false,
            };
            (Role::Tool, ids.iter().map(result).collect())
        }
    };
    let text = if has_text { "text" } else { "" };
    StoredMessage { parts, ..NewMessage::new(role, text, 1).into_stored(&mut Vec::new()) }
}

fn media(mime: &str, data: &[u8]) -> Media {
    Media { mime: mime.into(), data: Bytes::copy_from_slice(data) }
}

fn verbatim(json: &str, stands_for: Option<Part>) -> Part {
    let json = RawValue::from_string(json.to_owned()).expect("JSON");
    Part::Verbatim(Verbatim { origin: "anthropic".into(), json, stands_for: stands_for.map(Box::new) })
}

fn new(message: &Message) -> NewMessage {
    NewMessage { parts: message.parts.clone(), ..NewMessage::new(message.role, message.text(), 1) }
}

fn new_store() -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
    (home, store)
}
