//! A conversation as a file to take along: for people (Markdown) or for programs (JSON). It is given in pieces, which make
//! the whole when they are put together, so that the longest one never lies in memory at once.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tables::{MESSAGES, decode};
use super::{Conversation, ReadError, Snapshot, Store, StoredMessage, StoredPart, UnixMillis};
use crate::common::chat::Role;

/// A piece ends with the message that passes this, bytes.
const PIECE_BYTES: usize = 512 * 1024;

/// How a conversation is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// What was said, for people.
    #[default]
    Markdown,
    /// Everything that is kept: `{"conversation", "messages"}`.
    Json,
}

/// A piece of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPiece {
    pub text: String,
    /// What [`Snapshot::export`] is to be given for the next one; `None`: that was the last.
    pub next: Option<u64>,
}

impl ExportFormat {
    /// The kind of the whole file.
    pub fn mime(self) -> &'static str {
        match self {
            ExportFormat::Markdown => "text/markdown; charset=utf-8",
            ExportFormat::Json => "application/json",
        }
    }
}

impl Store {
    /// See [`Snapshot::export`].
    pub async fn export(
        &self,
        id: &str,
        format: ExportFormat,
        from_seq: Option<u64>,
    ) -> Result<Option<ExportPiece>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| snapshot.export(&id, format, from_seq)).await
    }
}

impl Snapshot {
    /// The first piece of a conversation, or the one that [`ExportPiece::next`] named; `None`: there is no such
    /// conversation. What is said between two pieces is in the second.
    pub fn export(
        &self,
        id: &str,
        format: ExportFormat,
        from_seq: Option<u64>,
    ) -> Result<Option<ExportPiece>, ReadError> {
        let Some(conversation) = self.conversation(id)? else { return Ok(None) };
        let mut piece = ExportPiece { text: String::new(), next: None };
        if from_seq.is_none() {
            piece.text = head(format, &conversation);
        }
        let mut is_first = from_seq.is_none();
        for found in self.0.open_table(MESSAGES)?.range((id, from_seq.unwrap_or(0))..=(id, u64::MAX))? {
            let (key, value) = found?;
            let seq = key.value().1;
            if piece.text.len() >= PIECE_BYTES {
                piece.next = Some(seq);
                return Ok(Some(piece));
            }
            let message: StoredMessage =
                decode(value.value(), &format!("conversation {id}")).map_err(ReadError::Corrupt)?;
            add(format, &mut piece.text, is_first, &StoredMessage { seq, ..message });
            is_first = false;
        }
        if format == ExportFormat::Json {
            piece.text.push_str("]}\n");
        }
        Ok(Some(piece))
    }
}

fn head(format: ExportFormat, conversation: &Conversation) -> String {
    match format {
        ExportFormat::Json => {
            let conversation = serde_json::to_string(conversation).expect("a record has text keys only");
            format!("{{\"conversation\":{conversation},\"messages\":[")
        }
        ExportFormat::Markdown => {
            let title = conversation.title.as_deref().unwrap_or("Conversation").replace(char::is_control, " ");
            format!("# {title}\n\n{} to {} UTC\n", day(conversation.created_at_ms), day(conversation.updated_at_ms))
        }
    }
}

fn add(format: ExportFormat, text: &mut String, is_first: bool, message: &StoredMessage) {
    match format {
        ExportFormat::Json => {
            if !is_first {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(message).expect("a record has text keys only"));
        }
        ExportFormat::Markdown => markdown(text, message),
    }
}

fn markdown(text: &mut String, message: &StoredMessage) {
    let who = match message.role {
        Role::User => "You",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
        Role::System => "System",
    };
    let model = message.model.as_deref().map(|model| format!(" ({model})")).unwrap_or_default();
    let cut = if message.partial { ", cut off" } else { "" };
    let _ = write!(text, "\n## {who}{model}, {}{cut}\n\n", day(message.at_ms));
    if !message.text.is_empty() {
        text.push_str(message.text.trim_end());
        text.push('\n');
    }
    for part in &message.parts {
        let part = match part {
            StoredPart::Verbatim { stands_for, .. } => stands_for.as_deref(),
            part => Some(part),
        };
        let _ = match part {
            Some(StoredPart::Image { mime, blob_id, .. }) => write!(text, "\n*[a picture: {mime}, {blob_id}]*\n"),
            Some(StoredPart::Audio { mime, blob_id, .. }) => write!(text, "\n*[a sound: {mime}, {blob_id}]*\n"),
            Some(StoredPart::ToolCall { name, .. }) => write!(text, "\n*[called {name}]*\n"),
            Some(StoredPart::ToolResult { name, is_error, .. }) => {
                write!(text, "\n*[{name} {}]*\n", if *is_error { "failed" } else { "answered" })
            }
            Some(StoredPart::Text { .. } | StoredPart::Verbatim { .. }) | None => Ok(()),
        };
    }
}

/// Year to minute, in UTC: the file says so, and needs no clock.
fn day(at_ms: UnixMillis) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "some day".into(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewMessage;

    async fn whole(store: &Store, format: ExportFormat) -> (String, usize) {
        let (mut text, mut pieces, mut from) = (String::new(), 0, None);
        loop {
            let piece = store.export("c", format, from).await.expect("readable").expect("there");
            assert!(piece.text.len() < 2 * PIECE_BYTES, "{}", piece.text.len());
            text += &piece.text;
            pieces += 1;
            from = piece.next;
            if from.is_none() {
                return (text, pieces);
            }
        }
    }

    #[tokio::test]
    async fn a_conversation_is_written_for_people_and_for_programs() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        let answer = NewMessage {
            model: Some("smollm2".into()),
            partial: true,
            ..NewMessage::new(Role::Assistant, "Twelve.\n", 1_764_000_060_000)
        };
        let said = vec![NewMessage::new(Role::User, "What time\nis it?", 1_764_000_000_000), answer];
        store.append("ann", "c", said).await.expect("room");
        let (markdown, _) = whole(&store, ExportFormat::Markdown).await;
        let expected = "# What time\n\n2025-11-24 16:00 to 2025-11-24 16:01 UTC\n\n## You, 2025-11-24 16:00\n\nWhat time\nis it?\n\n## Assistant (smollm2), 2025-11-24 16:01, cut off\n\nTwelve.\n";
        assert_eq!(markdown, expected);
        let (json, _) = whole(&store, ExportFormat::Json).await;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&json["conversation"]["user"], &json["messages"][1]["seq"]), (&"ann".into(), &2.into()));
        assert_eq!(store.export("nobody", ExportFormat::Json, None).await, Ok(None));
        assert!(store.close().await);
    }

    #[tokio::test]
    async fn a_long_one_comes_in_pieces_that_make_the_whole() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        for at_ms in 1..=20 {
            let long = NewMessage::new(Role::User, format!("{at_ms} {}", "x".repeat(100_000)), at_ms);
            store.append("ann", "c", vec![long]).await.expect("room");
        }
        let (json, pieces) = whole(&store, ExportFormat::Json).await;
        assert!(pieces > 3, "{pieces}");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let seqs: Vec<_> =
            json["messages"].as_array().expect("a list").iter().map(|said| said["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=20).map(Some).collect::<Vec<_>>());
        let (markdown, _) = whole(&store, ExportFormat::Markdown).await;
        assert_eq!(markdown.matches("## You").count(), 20);
        assert!(store.close().await);
    }
}
