//! `conversations.*`: what was said. A user sees their own conversations, owners everybody's; another's is not there, whatever
//! id is guessed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{bad_cursor, len};
use super::typed::{About, Deleted, not_found, not_read, not_written};
use super::{House, Tool, tool};
use crate::common::ids::is_conversation_id;
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::{Conversation, ExportFormat, Found, Place, StoredMessage};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only this user's; absent: your own, and everybody's for an owner.
    user: Option<String>,
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// The newest first.
    conversations: Vec<Conversation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Id {
    id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    id: String,
    /// Another title; absent or null: none, until the next question gives one.
    title: Option<String>,
    /// Write only over this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    id: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Messages {
    id: String,
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before, which leads to older messages.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MessagesListed {
    /// Oldest first; the first page is the newest of them.
    messages: Vec<StoredMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export {
    id: String,
    #[serde(default)]
    format: ExportFormat,
    /// `next_cursor` of the piece before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Exported {
    id: String,
    format: ExportFormat,
    /// Of the whole file.
    mime: String,
    /// A piece of the file: all pieces one behind the other are the whole.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words, or the beginnings of words; all of them must be in a message. Case and accents make no difference.
    q: String,
    /// Messages at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SearchFound {
    /// The newest first. A page may be empty and not the last.
    messages: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let reads = |name, title, description| About {
        name,
        title,
        description,
        annotations: Annotations::READS,
        access: Role::Member,
    };
    let set = About {
        annotations: Annotations::SETS,
        ..reads("conversations.set", "Rename a conversation", "Gives a conversation another title.")
    };
    let delete = About {
        annotations: Annotations::DESTROYS,
        ..reads("conversations.delete", "Delete a conversation", "Forgets a conversation with all its messages.")
    };
    vec![
        tool(
            house,
            reads("conversations.list", "All conversations", "Conversations with the assistant, newest first."),
            list,
        ),
        tool(house, reads("conversations.get", "One conversation", "A conversation without its messages."), get),
        tool(house, set, rename),
        tool(house, delete, take),
        tool(
            house,
            reads("conversations.messages", "Messages", "The messages of a conversation, the newest page first."),
            messages,
        ),
        tool(
            house,
            reads(
                "conversations.export",
                "Export a conversation",
                "A conversation as a file, in Markdown to be read or in JSON with everything that is kept. Long ones come in pieces.",
            ),
            export,
        ),
        tool(
            house,
            reads(
                "conversations.search",
                "Search in conversations",
                "Finds messages of all conversations by their words, the newest first, each with the words around what was found.",
            ),
            search,
        ),
    ]
}

async fn list(house: Arc<House>, input: List, who: Arc<Principal>) -> Result<Listed, Fault> {
    let user = match (input.user, who.is_owner()) {
        (Some(user), _) if !who.may_see(&user) => {
            return Err(not_found("user of this name whose conversations you may see"));
        }
        (Some(user), _) => Some(user),
        (None, true) => None,
        (None, false) => Some(who.user.to_string()),
    };
    let after = match input.cursor.as_deref().map(|cursor| cursor.split_once('.')) {
        None => None,
        Some(Some((at_ms, id))) if is_conversation_id(id) => {
            Some((at_ms.parse().map_err(|_| bad_cursor())?, id.to_owned()))
        }
        Some(_) => return Err(bad_cursor()),
    };
    let len = len(input.limit);
    let conversations = house.store.conversations(user.as_deref(), after, len).await.map_err(not_read)?;
    let last = conversations.last().filter(|_| conversations.len() == len);
    let next_cursor = last.map(|last| format!("{}.{}", last.updated_at_ms, last.id));
    Ok(Listed { conversations, next_cursor })
}

async fn get(house: Arc<House>, input: Id, who: Arc<Principal>) -> Result<Conversation, Fault> {
    find(&house, &input.id, &who).await
}

async fn rename(house: Arc<House>, input: Set, who: Arc<Principal>) -> Result<Conversation, Fault> {
    find(&house, &input.id, &who).await?;
    house.store.rename_conversation(&input.id, input.title.as_deref(), input.if_revision).await.map_err(not_written)
}

async fn take(house: Arc<House>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    find(&house, &input.id, &who).await?;
    let deleted = house.store.delete_conversation(&input.id, input.if_revision).await.map_err(not_written)?;
    Ok(Deleted { deleted })
}

async fn messages(house: Arc<House>, input: Messages, who: Arc<Principal>) -> Result<MessagesListed, Fault> {
    find(&house, &input.id, &who).await?;
    let before = input.cursor.map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()?;
    let messages = house.store.messages(&input.id, before, len(input.limit)).await.map_err(not_read)?;
    let first = match messages.first().map(|first| first.seq) {
        // A long one loses its oldest; whether there are any before is asked.
        Some(seq) => !house.store.messages(&input.id, Some(seq), 1).await.map_err(not_read)?.is_empty(),
        None => false,
    };
    let next_cursor = messages.first().filter(|_| first).map(|first| first.seq.to_string());
    Ok(MessagesListed { messages, next_cursor })
}

async fn export(house: Arc<House>, input: Export, who: Arc<Principal>) -> Result<Exported, Fault> {
    let Export { id, format, cursor } = input;
    find(&house, &id, &who).await?;
    let from = cursor.map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()?;
    let piece = house.store.export(&id, format, from).await.map_err(not_read)?.ok_or_else(nothing)?;
    let next_cursor = piece.next.map(|seq| seq.to_string());
    Ok(Exported { id, format, mime: format.mime().into(), text: piece.text, next_cursor })
}

async fn search(house: Arc<House>, input: Search, who: Arc<Principal>) -> Result<SearchFound, Fault> {
    let user = (!who.is_owner()).then_some(&*who.user);
    let after = input.cursor.as_deref().map(|cursor| place(cursor).ok_or_else(bad_cursor)).transpose()?;
    let found = house.store.search(user, &input.q, after, len(input.limit)).await.map_err(not_read)?;
    let page = found.map_err(not_written)?;
    let next_cursor = page.next.map(|next| format!("{}.{}.{}", next.updated_at_ms, next.seq, next.conversation_id));
    Ok(SearchFound { messages: page.found, next_cursor })
}

fn place(cursor: &str) -> Option<Place> {
    let mut parts = cursor.splitn(3, '.');
    let (updated_at_ms, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let conversation_id = parts.next().filter(|id| is_conversation_id(id))?.to_owned();
    Some(Place { updated_at_ms, conversation_id, seq })
}

async fn find(house: &House, id: &str, who: &Principal) -> Result<Conversation, Fault> {
    let found = house.store.conversation(id).await.map_err(not_read)?;
    found.filter(|found| who.may_see(&found.user)).ok_or_else(nothing)
}

fn nothing() -> Fault {
    not_found("conversation of yours with this id; conversations.list shows them")
}
