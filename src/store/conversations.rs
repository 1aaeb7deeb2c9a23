//! Conversations and their messages: what is remembered, and for how long. Knows no provider and no model.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blobs::{self, Kept};
use super::feed::Kind;
use super::messages::{self, NewMessage, StoredMessage};
use super::records::{check_text, compare};
use super::tables::{CONVERSATIONS, CONVERSATIONS_BY_TIME, MESSAGES, META, META_HISTORY_BYTES, decode, encode, meta};
use super::writer::Batch;
use super::{ReadError, Snapshot, Store, UnixMillis, WriteError};
use crate::common::chat::Role;
use crate::common::ids;
use crate::common::who::HOUSE;

/// Messages of one `append`: a turn has two, and two more for each time that it called tools.
pub const MESSAGES_PER_APPEND_MAX: usize = 64;

/// Entries of one page of a list.
pub const PAGE_LEN_MAX: usize = 200;

/// Bytes of messages on one page, the last one beyond it included.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A title made from the user's first words, characters.
const TITLE_CHARS_MAX: usize = 60;

/// A title that somebody gives, bytes.
const TITLE_BYTES_MAX: usize = 256;

/// A conversation, without its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    pub id: String,
    /// Whose it is: a user's name, or `house`. Nobody else finds it, but for an owner.
    #[serde(default = "house")]
    pub user: String,
    /// The beginning of what the user said first, or what it was called since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub created_at_ms: UnixMillis,
    pub updated_at_ms: UnixMillis,
    /// Rises with every change; no two things of the store ever share one.
    pub revision: u64,
    /// Messages kept, the oldest of a very long conversation being dropped.
    pub message_count: u64,
    /// Bytes they take in the file.
    pub bytes: u64,
}

impl Store {
    /// Adds messages to the end of a conversation of `user`, which begins with them where there was none; their pictures and
    /// sounds go among the blobs. All or none. [`WriteError::NotFound`]: it is somebody else's.
    pub async fn append(&self, user: &str, conversation_id: &str, messages: Vec<NewMessage>) -> Result<(), WriteError> {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
        let (from_ms, to_ms) = (first.at_ms, last.at_ms);
        check(conversation_id, &messages)?;
        let (id, user) = (conversation_id.to_owned(), user.to_owned());
        let title = messages.iter().find(|message| message.role == Role::User).and_then(|message| title(&message.text));
        let (values, media) = match messages.iter().all(|message| message.parts.is_empty()) {
            true => lay_out(messages),
            // The digest of a large picture takes long enough to hold everybody up.
            false => {
                let laid_out = tokio::task::spawn_blocking(|| lay_out(messages)).await;
                laid_out.map_err(|_| WriteError::Closed)?
            }
        };
        let bytes = values.iter().map(Vec::len).sum::<usize>() + media.iter().map(Kept::len).sum::<usize>();
        self.write(bytes, move |batch| {
            for kept in &media {
                blobs::put(batch, kept)?;
            }
            append(batch, (&user, &id), title.as_deref(), (from_ms, to_ms), &values)
        })
        .await
    }

    /// Forgets a conversation, with `if_revision` as in [`Store::put`]; false when there was none.
    pub async fn delete_conversation(&self, id: &str, if_revision: Option<u64>) -> Result<bool, WriteError> {
        let id = id.to_owned();
        self.write(id.len(), move |batch| {
            // What cannot be read has no revision that anybody could know.
            let current = record(batch, &id)?.map(|found| found.map_or(u64::MAX, |stored| stored.revision));
            match compare(current, if_revision) {
                Ok(()) => delete(batch, &id).map(Ok),
                Err(conflict) => Ok(Err(conflict)),
            }
        })
        .await
    }

    /// Gives a conversation another title, or none: then the next question becomes it. It stays where it is in the list.
    pub async fn rename_conversation(
        &self,
        id: &str,
        title: Option<&str>,
        if_revision: Option<u64>,
    ) -> Result<Conversation, WriteError> {
        check_text("title", title, TITLE_BYTES_MAX)?;
        let (id, title) = (id.to_owned(), title.map(str::to_owned));
        self.write(id.len(), move |batch| {
            let mut conversation = match record(batch, &id)? {
                Some(Ok(conversation)) => conversation,
                Some(Err(detail)) => return Ok(Err(WriteError::Disk(detail))),
                None => return Ok(Err(WriteError::NotFound(described(&id)))),
            };
            if let Err(conflict) = compare(Some(conversation.revision), if_revision) {
                return Ok(Err(conflict));
            }
            conversation.title.clone_from(&title);
            conversation.revision = batch.changed(Kind::Conversation, &id);
            batch.txn.open_table(CONVERSATIONS)?.insert(id.as_str(), encode(&conversation).as_slice())?;
            Ok(Ok(conversation))
        })
        .await
    }

    /// See [`Snapshot::conversation`].
    pub async fn conversation(&self, id: &str) -> Result<Option<Conversation>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| snapshot.conversation(&id)).await
    }

    /// See [`Snapshot::conversations`].
    pub async fn conversations(
        &self,
        user: Option<&str>,
        after: Option<(UnixMillis, String)>,
        limit: usize,
    ) -> Result<Vec<Conversation>, ReadError> {
        let user = user.map(str::to_owned);
        self.read(move |snapshot| {
            let after = after.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
            snapshot.conversations(user.as_deref(), after, limit)
        })
        .await
    }

    /// See [`Snapshot::messages`].
    pub async fn messages(
        &self,
        conversation_id: &str,
        before_seq: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, ReadError> {
        let id = conversation_id.to_owned();
        self.read(move |snapshot| snapshot.messages(&id, before_seq, limit)).await
    }
}

impl Snapshot {
    /// One conversation, if it is there.
    pub fn conversation(&self, id: &str) -> Result<Option<Conversation>, ReadError> {
        let found = self.0.open_table(CONVERSATIONS)?.get(id)?;
        found.map(|value| decode(value.value(), &described(id)).map_err(ReadError::Corrupt)).transpose()
    }

    /// Up to `limit` (at most [`PAGE_LEN_MAX`]) conversations of `user`, or of everybody, the newest first; `after` is
    /// `updated_at_ms` and `id` of the last one seen.
    pub fn conversations(
        &self,
        user: Option<&str>,
        after: Option<(UnixMillis, &str)>,
        limit: usize,
    ) -> Result<Vec<Conversation>, ReadError> {
        let by_time = self.0.open_table(CONVERSATIONS_BY_TIME)?;
        let entries = match after {
            Some(seen) => by_time.range(..seen)?,
            None => by_time.range::<(u64, &str)>(..)?,
        };
        let (mut page, limit) = (Vec::new(), limit.min(PAGE_LEN_MAX));
        for entry in entries.rev() {
            if page.len() >= limit {
                break;
            }
            let (key, _) = entry?;
            let (_, id) = key.value();
            let found = self.conversation(id)?;
            page.extend(found.filter(|conversation| user.is_none_or(|user| user == conversation.user)));
        }
        Ok(page)
    }

    /// Up to `limit` (at most [`PAGE_LEN_MAX`], and some [`PAGE_BYTES_MAX`]) messages, oldest first: the newest, or the
    /// newest before `before_seq`.
    pub fn messages(
        &self,
        conversation_id: &str,
        before_seq: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, ReadError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for message in self.backwards(conversation_id, before_seq)?.take(limit.min(PAGE_LEN_MAX)) {
            let (message, size) = message?;
            page.push(message);
            bytes += size;
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        page.reverse();
        Ok(page)
    }

    /// Messages from the end on, each with its bytes in the file.
    pub(super) fn backwards(
        &self,
        id: &str,
        before_seq: Option<u64>,
    ) -> Result<impl Iterator<Item = Result<(StoredMessage, usize), ReadError>>, ReadError> {
        let table: ReadOnlyTable<(&str, u64), &[u8]> = self.0.open_table(MESSAGES)?;
        let range = table.range((id, 0)..(id, before_seq.unwrap_or(u64::MAX)))?;
        Ok(range.rev().map(|entry| {
            let (key, value) = entry?;
            let (id, seq) = key.value();
            let said: StoredMessage = decode(value.value(), &described(id)).map_err(ReadError::Corrupt)?;
            Ok((StoredMessage { seq, ..said }, value.value().len()))
        }))
    }
}

fn append(
    batch: &mut Batch,
    (user, id): (&str, &str),
    title: Option<&str>,
    (from_ms, to_ms): (UnixMillis, UnixMillis),
    values: &[Vec<u8>],
) -> Result<Result<(), WriteError>, redb::Error> {
    let bounds = batch.bounds;
    let stored = match record(batch, id)? {
        Some(Ok(conversation)) if conversation.user != user => {
            return Ok(Err(WriteError::NotFound(described(id))));
        }
        Some(Ok(conversation)) => Some(conversation),
        Some(Err(detail)) => return Ok(Err(WriteError::Disk(detail))),
        None => None,
    };
    let listed_at = stored.as_ref().map(|conversation| conversation.updated_at_ms);
    let mut conversation = stored.unwrap_or_else(|| Conversation {
        id: id.to_owned(),
        user: user.to_owned(),
        title: None,
        created_at_ms: from_ms,
        updated_at_ms: to_ms,
        revision: 0,
        message_count: 0,
        bytes: 0,
    });
    let bytes_before = conversation.bytes;
    {
        let mut messages = batch.txn.open_table(MESSAGES)?;
        let newest = messages.range((id, 0)..=(id, u64::MAX))?.next_back().transpose()?;
        let mut seq = newest.map_or(0, |(key, _)| key.value().1);
        for value in values {
            seq += 1;
            messages.insert((id, seq), value.as_slice())?;
            conversation.message_count += 1;
            conversation.bytes += value.len() as u64;
        }
        let mut oldest = seq + 1 - conversation.message_count;
        while conversation.message_count > bounds.messages_per_conversation
            || (conversation.bytes > bounds.conversation_bytes && conversation.message_count > 1)
        {
            let dropped = messages.remove((id, oldest))?.map_or(0, |value| value.value().len() as u64);
            conversation.bytes = conversation.bytes.saturating_sub(dropped);
            conversation.message_count -= 1;
            oldest += 1;
        }
    }
    conversation.title = conversation.title.or_else(|| title.map(str::to_owned));
    conversation.updated_at_ms = to_ms;
    conversation.revision = batch.changed(Kind::Conversation, id);
    {
        let mut by_time = batch.txn.open_table(CONVERSATIONS_BY_TIME)?;
        if let Some(listed_at) = listed_at {
            by_time.remove((listed_at, id))?;
        }
        by_time.insert((to_ms, id), ())?;
    }
    batch.txn.open_table(CONVERSATIONS)?.insert(id, encode(&conversation).as_slice())?;
    add_history_bytes(batch, conversation.bytes as i64 - bytes_before as i64)?;
    forget_the_oldest(batch, id)?;
    Ok(Ok(()))
}

/// Keeps the history within its bounds; never forgets `kept`, the one just written, whatever its clock says.
fn forget_the_oldest(batch: &mut Batch, kept: &str) -> Result<(), redb::Error> {
    loop {
        let count = batch.txn.open_table(CONVERSATIONS)?.len()?;
        let bytes = meta(&batch.txn.open_table(META)?, META_HISTORY_BYTES)?;
        if count <= batch.bounds.conversations && bytes <= batch.bounds.history_bytes {
            return Ok(());
        }
        let oldest = {
            let by_time = batch.txn.open_table(CONVERSATIONS_BY_TIME)?;
            let mut found = None;
            for entry in by_time.iter()? {
                let (key, _) = entry?;
                if key.value().1 != kept {
                    found = Some(key.value().1.to_owned());
                    break;
                }
            }
            found
        };
        let Some(oldest) = oldest else { return Ok(()) };
        delete(batch, &oldest)?;
    }
}

fn delete(batch: &mut Batch, id: &str) -> Result<bool, redb::Error> {
    let Some(stored) = record(batch, id)? else { return Ok(false) };
    batch.txn.open_table(CONVERSATIONS)?.remove(id)?;
    {
        let mut by_time = batch.txn.open_table(CONVERSATIONS_BY_TIME)?;
        match stored {
            Ok(conversation) => drop(by_time.remove((conversation.updated_at_ms, id))?),
            // What cannot be read must be possible to delete.
            Err(_) => by_time.retain(|(_, listed), ()| listed != id)?,
        }
    }
    let mut bytes = 0;
    batch.txn.open_table(MESSAGES)?.retain_in((id, 0)..=(id, u64::MAX), |_, value| {
        bytes += value.len() as i64;
        false
    })?;
    add_history_bytes(batch, -bytes)?;
    batch.deleted(Kind::Conversation, id);
    Ok(true)
}

/// The record of a conversation, or why it cannot be read.
fn record(batch: &Batch, id: &str) -> Result<Option<Result<Conversation, String>>, redb::Error> {
    let table = batch.txn.open_table(CONVERSATIONS)?;
    let found = table.get(id)?;
    Ok(found.map(|value| decode(value.value(), &described(id))))
}

fn add_history_bytes(batch: &mut Batch, bytes: i64) -> Result<(), redb::Error> {
    let mut table = batch.txn.open_table(META)?;
    let now = meta(&table, META_HISTORY_BYTES)?.saturating_add_signed(bytes);
    table.insert(META_HISTORY_BYTES, now)?;
    Ok(())
}

fn described(id: &str) -> String {
    format!("conversation {id}")
}

/// Whose everything is that was said before there were users.
fn house() -> String {
    HOUSE.into()
}

fn check(id: &str, messages: &[NewMessage]) -> Result<(), WriteError> {
    if !ids::is_conversation_id(id) {
        return Err(WriteError::Invalid("a conversation's id is 1 to 64 of A-Z, a-z, 0-9, _ and -".into()));
    }
    if messages.len() > MESSAGES_PER_APPEND_MAX {
        let (what, size, max) = ("a list of messages", messages.len(), MESSAGES_PER_APPEND_MAX);
        return Err(WriteError::TooLarge { what, size, max });
    }
    messages.iter().try_for_each(messages::check)
}

/// The messages as they lie in the file, and what lies beside them.
fn lay_out(messages: Vec<NewMessage>) -> (Vec<Vec<u8>>, Vec<Kept>) {
    let mut media = Vec::new();
    let values = messages.into_iter().map(|message| encode(&message.into_stored(&mut media))).collect();
    (values, media)
}

/// The first line with something in it, shortened.
fn title(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(match line.char_indices().nth(TITLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    })
}

#[cfg(test)]
mod tests;
