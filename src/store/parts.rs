//! The pieces of a message in the file: words in the message itself, pictures and sounds beside it as blobs, a provider's own
//! JSON byte for byte. Knows no provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blobs::{BLOB_BYTES_MAX, Kept, is_mime};
use super::{ReadError, Snapshot};
use crate::common::chat::{Media, Part, ToolCall, ToolResult, Verbatim};

/// Parts of one message. Past it only its text, its pictures and its sounds are kept.
pub const PARTS_MAX: usize = 512;

/// Bytes of all parts of one message, without pictures and sounds. Past it only its text, its pictures and its sounds are
/// kept.
pub const PARTS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a provider's own JSON in one message. Past it all of it is dropped, and what it stands for is kept: half of a
/// provider's items are no use to it, and some refuse them.
pub const VERBATIM_BYTES_MAX: usize = 1024 * 1024;

/// What one tool gave back, bytes; the rest is cut off.
pub const TOOL_RESULT_BYTES_MAX: usize = 256 * 1024;

/// A piece of a message, as it lies in the file and as clients get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StoredPart {
    Text {
        text: String,
    },
    /// A picture: `GET /api/v1/blobs/{blob_id}`, as long as it is kept.
    Image {
        mime: Box<str>,
        blob_id: String,
        bytes: u64,
    },
    /// A sound, likewise.
    Audio {
        mime: Box<str>,
        blob_id: String,
        bytes: u64,
    },
    /// A call that the model made.
    ToolCall {
        id: String,
        name: String,
        /// JSON text as the model wrote it, which need not be valid.
        arguments: String,
    },
    ToolResult {
        call_id: String,
        name: String,
        content: String,
        #[serde(default)]
        is_error: bool,
    },
    /// A provider's own item.
    Verbatim {
        origin: Box<str>,
        /// JSON text, byte for byte as it came. Text, so that nothing on the way takes it for JSON and tidies it.
        json: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stands_for: Option<Box<StoredPart>>,
    },
}

/// The parts as they lie in the file; pictures and sounds are added to `media`. What is over a bound is left out.
pub(super) fn lay_out(text: &str, parts: Vec<Part>, media: &mut Vec<Kept>) -> Vec<StoredPart> {
    let verbatim_bytes: usize = parts.iter().map(|part| verbatim(part).map_or(0, |item| item.json.get().len())).sum();
    let parts: Vec<Part> = match verbatim_bytes > VERBATIM_BYTES_MAX {
        true => parts.iter().filter_map(Part::plain).cloned().collect(),
        false => parts,
    };
    let mut parts: Vec<StoredPart> = parts.into_iter().map(|part| store(part, media)).collect();
    if parts.len() > PARTS_MAX || parts.iter().map(StoredPart::bytes).sum::<usize>() > PARTS_BYTES_MAX {
        parts.retain(|part| matches!(part, StoredPart::Image { .. } | StoredPart::Audio { .. }));
        parts.truncate(PARTS_MAX);
        if !parts.is_empty() && !text.is_empty() {
            parts.push(StoredPart::Text { text: text.to_owned() });
        }
    }
    parts
}

fn verbatim(part: &Part) -> Option<&Verbatim> {
    match part {
        Part::Verbatim(item) => Some(item),
        _ => None,
    }
}

fn store(part: Part, media: &mut Vec<Kept>) -> StoredPart {
    let mut keep = |found: Media, too_large: &str, kept: fn(Box<str>, String, u64) -> StoredPart| {
        if found.data.len() > BLOB_BYTES_MAX || !is_mime(&found.mime) {
            return StoredPart::Text { text: too_large.to_owned() };
        }
        let (mime, bytes) = (found.mime.clone(), found.data.len() as u64);
        media.push(Kept::new(found));
        let blob_id = media.last().map(|kept| kept.id.clone()).unwrap_or_default();
        kept(mime, blob_id, bytes)
    };
    match part {
        Part::Text(text) => StoredPart::Text { text },
        Part::Image(found) => keep(found, "[a picture that was too large to be kept]", |mime, blob_id, bytes| {
            StoredPart::Image { mime, blob_id, bytes }
        }),
        Part::Audio(found) => keep(found, "[a sound that was too large to be kept]", |mime, blob_id, bytes| {
            StoredPart::Audio { mime, blob_id, bytes }
        }),
        Part::ToolCall(ToolCall { id, name, arguments }) => StoredPart::ToolCall { id, name, arguments },
        Part::ToolResult(ToolResult { call_id, name, mut content, is_error }) => {
            content.truncate(content.floor_char_boundary(TOOL_RESULT_BYTES_MAX));
            StoredPart::ToolResult { call_id, name, content, is_error }
        }
        Part::Verbatim(Verbatim { origin, json, stands_for }) => StoredPart::Verbatim {
            origin,
            json: Box::<str>::from(json).into_string(),
            stands_for: stands_for.map(|part| Box::new(store(*part, media))),
        },
    }
}

impl StoredPart {
    /// Bytes of its words.
    fn bytes(&self) -> usize {
        match self {
            StoredPart::Text { text } => text.len(),
            StoredPart::Image { .. } | StoredPart::Audio { .. } => 0,
            StoredPart::ToolCall { id, name, arguments } => id.len() + name.len() + arguments.len(),
            StoredPart::ToolResult { call_id, name, content, .. } => call_id.len() + name.len() + content.len(),
            StoredPart::Verbatim { json, stands_for, .. } => {
                json.len() + stands_for.as_ref().map_or(0, |part| part.bytes())
            }
        }
    }
}

impl Snapshot {
    /// The part as a provider is to read it. `media_left` is what pictures and sounds may have yet, bytes.
    pub(super) fn resolve(&self, part: StoredPart, media_left: &mut usize) -> Result<Part, ReadError> {
        let mut found = |blob_id: &str, bytes: u64, what: &str| {
            let Some(left) = usize::try_from(bytes).ok().and_then(|bytes| media_left.checked_sub(bytes)) else {
                return Ok(Err(Part::Text(format!("[{what} from further back]"))));
            };
            let media = self.blob(blob_id)?;
            if media.is_some() {
                *media_left = left;
            }
            Ok::<_, ReadError>(media.ok_or_else(|| Part::Text(format!("[{what} that is no longer kept]"))))
        };
        Ok(match part {
            StoredPart::Text { text } => Part::Text(text),
            StoredPart::Image { blob_id, bytes, .. } => {
                found(&blob_id, bytes, "a picture")?.map_or_else(|text| text, Part::Image)
            }
            StoredPart::Audio { blob_id, bytes, .. } => {
                found(&blob_id, bytes, "a sound")?.map_or_else(|text| text, Part::Audio)
            }
            StoredPart::ToolCall { id, name, arguments } => Part::ToolCall(ToolCall { id, name, arguments }),
            StoredPart::ToolResult { call_id, name, content, is_error } => {
                Part::ToolResult(ToolResult { call_id, name, content, is_error })
            }
            StoredPart::Verbatim { origin, json, stands_for } => {
                let stands_for = stands_for.map(|part| self.resolve(*part, media_left).map(Box::new)).transpose()?;
                let json = RawValue::from_string(json).map_err(|error| ReadError::Corrupt(error.to_string()))?;
                Part::Verbatim(Verbatim { origin, json, stands_for })
            }
        })
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
