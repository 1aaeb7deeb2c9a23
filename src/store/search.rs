//! Finds messages by their words, in the order in which people look for them: the newest conversation first. There is no
//! index: the whole history is bounded, and one call goes through a bounded piece of it and says where to go on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tables::CONVERSATIONS_BY_TIME;
use super::{PAGE_LEN_MAX, ReadError, Snapshot, Store, UnixMillis, WriteError};
use crate::common::chat::Role;
use crate::common::fold::{fold, words};

/// Bytes of messages that one call goes through: some tens of milliseconds of a slow machine.
const SEARCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Conversations that one call goes through.
const SEARCH_CONVERSATIONS_MAX: usize = 2_000;

/// Words that are looked for at once, and the longest question, bytes.
const NEEDLES_MAX: usize = 16;
const QUESTION_BYTES_MAX: usize = 512;

/// Bytes shown before and after what was found.
const SNIPPET_BEFORE_BYTES: usize = 60;
const SNIPPET_AFTER_BYTES: usize = 140;

/// A message in which the words are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    pub conversation_id: String,
    /// Of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The message's place in it.
    pub seq: u64,
    pub role: Role,
    pub at_ms: UnixMillis,
    /// The words around the first that was found.
    pub snippet: String,
}

/// Where a search has come: everything newer has been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub updated_at_ms: UnixMillis,
    pub conversation_id: String,
    /// Messages before it are still to be seen; 0: the conversation is done.
    pub seq: u64,
}

/// What one call found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPage {
    pub found: Vec<Found>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Place>,
}

impl Store {
    /// See [`Snapshot::search`].
    pub async fn search(
        &self,
        user: Option<&str>,
        question: &str,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Result<SearchPage, WriteError>, ReadError> {
        let (user, needles) = (
            user.map(str::to_owned),
            match needles(question) {
                Ok(needles) => needles,
                Err(refused) => return Ok(Err(refused)),
            },
        );
        self.read(move |snapshot| snapshot.search(user.as_deref(), &needles, after.as_ref(), limit).map(Ok)).await
    }
}

impl Snapshot {
    /// Messages of `user`, or of everybody, in which there is a word that begins with each of the words of the question,
    /// whatever their case and accents. A page may be empty and not the last.
    fn search(
        &self,
        user: Option<&str>,
        needles: &[String],
        after: Option<&Place>,
        limit: usize,
    ) -> Result<SearchPage, ReadError> {
        let by_time = self.0.open_table(CONVERSATIONS_BY_TIME)?;
        let entries = match after {
            // The conversation itself is looked at again, from where the search has come.
            Some(place) => by_time.range(..=(place.updated_at_ms, place.conversation_id.as_str()))?,
            None => by_time.range::<(u64, &str)>(..)?,
        };
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        let (mut page, mut bytes, mut folded) = (SearchPage::default(), 0, String::new());
        for (looked_at, entry) in entries.rev().enumerate() {
            let (key, ()) = entry.map(|(key, _)| (key, ()))?;
            let (updated_at_ms, id) = key.value();
            let place = |seq| Place { updated_at_ms, conversation_id: id.to_owned(), seq };
            if looked_at >= SEARCH_CONVERSATIONS_MAX {
                page.next = Some(place(u64::MAX));
                return Ok(page);
            }
            let resumed = after.filter(|place| place.conversation_id == id && place.updated_at_ms == updated_at_ms);
            let Some(conversation) = self.conversation(id)? else { continue };
            if user.is_some_and(|user| user != conversation.user) {
                continue;
            }
            for message in self.backwards(id, resumed.map(|place| place.seq))? {
                let (message, size) = message?;
                bytes += size;
                if let Some(at) = first_of_all(&message.text, needles, &mut folded) {
                    page.found.push(Found {
                        conversation_id: id.to_owned(),
                        title: conversation.title.clone(),
                        seq: message.seq,
                        role: message.role,
                        at_ms: message.at_ms,
                        snippet: snippet(&message.text, at),
                    });
                }
                if page.found.len() >= limit || bytes >= SEARCH_BYTES_MAX {
                    page.next = Some(place(message.seq));
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}

/// The words of a question, folded.
fn needles(question: &str) -> Result<Vec<String>, WriteError> {
    if question.len() > QUESTION_BYTES_MAX {
        return Err(WriteError::TooLarge { what: "the question", size: question.len(), max: QUESTION_BYTES_MAX });
    }
    let mut needles: Vec<String> = Vec::new();
    for (_, word) in words(question) {
        let mut needle = String::new();
        fold(word, &mut needle);
        if !needle.is_empty() && !needles.contains(&needle) {
            needles.push(needle);
        }
    }
    match needles.len() {
        0 => Err(WriteError::Invalid("there is no word in the question: name at least one".into())),
        1..=NEEDLES_MAX => Ok(needles),
        size => Err(WriteError::TooLarge { what: "the words of the question", size, max: NEEDLES_MAX }),
    }
}

/// Where the first word begins that is looked for, where all are there.
fn first_of_all(text: &str, needles: &[String], folded: &mut String) -> Option<usize> {
    let (mut seen, mut first) = (0u32, None);
    let all = (1u32 << needles.len()) - 1;
    for (at, word) in words(text) {
        fold(word, folded);
        for (number, needle) in needles.iter().enumerate() {
            if folded.starts_with(needle.as_str()) {
                seen |= 1 << number;
                first = first.or(Some(at));
            }
        }
        if seen == all {
            return first;
        }
    }
    None
}

/// The text around a place, on one line.
fn snippet(text: &str, at: usize) -> String {
    let from = text.floor_char_boundary(at.saturating_sub(SNIPPET_BEFORE_BYTES));
    let to = text.floor_char_boundary((at + SNIPPET_AFTER_BYTES).min(text.len()));
    let words: Vec<_> = text[from..to].split_whitespace().collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if to < text.len() { "…" } else { "" };
    format!("{before}{}{after}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewMessage;

    async fn filled() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        for (user, id, at_ms, text) in [
            ("ann", "a", 1, "Où est le café de l'été ?"),
            ("ben", "b", 2, "The CAFE is closed in summer"),
            ("ann", "c", 3, "No coffee"),
            ("ann", "a", 4, "A cafeteria. And an Ete, in capitals"),
        ] {
            store.append(user, id, vec![NewMessage::new(Role::User, text, at_ms)]).await.expect("room");
        }
        (home, store)
    }

    async fn all(store: &Store, user: Option<&str>, question: &str, limit: usize) -> Vec<(String, u64)> {
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..50 {
            let page = store.search(user, question, after, limit).await.expect("readable").expect("words");
            assert!(page.found.len() <= limit);
            found.extend(page.found.into_iter().map(|found| (found.conversation_id, found.seq)));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
        panic!("a search without end");
    }

    #[tokio::test]
    async fn words_are_found_newest_first_and_only_ones_own() {
        let (_home, store) = filled().await;
        let expected = [("a", 2), ("a", 1), ("b", 1)].map(|(id, seq)| (id.to_owned(), seq));
        for limit in [1, 2, 9] {
            assert_eq!(all(&store, None, "cafe", limit).await, expected, "{limit} at a time");
        }
        assert_eq!(all(&store, Some("ann"), "CAFÉ ete", 9).await, expected[..2]);
        assert_eq!(all(&store, Some("ben"), "café", 9).await, expected[2..]);
        assert_eq!(all(&store, Some("nobody"), "café", 9).await, []);
        assert_eq!(all(&store, None, "afe", 9).await, [], "the beginning of a word is looked for");
        let page = store.search(Some("ben"), "summer", None, 9).await.expect("readable").expect("a word");
        assert_eq!(page.found[0].snippet, "The CAFE is closed in summer");
        for bad in ["", " ?! ", &"word ".repeat(200), &(0..17).map(|n| format!("w{n} ")).collect::<String>()] {
            assert!(store.search(None, bad, None, 9).await.expect("readable").is_err(), "{bad}");
        }
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn one_call_goes_through_a_bounded_piece() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        store.append("ann", "c", vec![NewMessage::new(Role::User, "needle", 1)]).await.expect("room");
        for at_ms in 2..8 {
            let hay = NewMessage::new(Role::User, "hay ".repeat(250_000), at_ms);
            store.append("ann", "c", vec![hay]).await.expect("room");
        }
        let page = store.search(None, "needle", None, 9).await.expect("readable").expect("a word");
        assert!(page.found.is_empty() && page.next.is_some());
        assert_eq!(all(&store, None, "needle", 9).await, [("c".to_owned(), 1)]);
        assert!(store.close().await);
    }

    #[test]
    fn a_snippet_is_cut_between_letters() {
        let text = format!("{}needle{}", "ü".repeat(100), "ü".repeat(100));
        let cut = snippet(&text, 200);
        assert!(cut.starts_with('…') && cut.ends_with('…') && cut.contains("needle"), "{cut}");
    }
}
