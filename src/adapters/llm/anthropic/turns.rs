//! A conversation as Messages takes it: turns of the user and of the assistant one after the other, every call of a tool
//! answered in the turn after it, and nothing in them that is refused. Pure.
//! Source: Anthropic API reference, "Messages"; "Handle tool calls".

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ORIGIN;
use super::manner::{Kept, Manner};
use crate::adapters::llm::arguments;
use crate::adapters::llm::media::Base64;
use crate::common::chat::{ChatRequest, Media, Part, Role, Verbatim};

/// Begins a conversation of which only the later part is known: the first turn is the user's.
const EARLIER: &str = "(Earlier messages are left out.)";
/// Ends one that ends with the assistant's own words, where the model does not continue them by itself.
const GO_ON: &str = "Go on exactly where you stopped.";
/// Stands for what the assistant showed and cannot be shown again.
const PICTURE: &str = "(a picture was shown here)";
const SOUND: &str = "(a sound was played here)";
/// For calls whose answer was lost: a turn that leaves one open is refused.
const NO_ANSWER: &str = "The tool gave no answer.";

#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    role: Speaker,
    content: Vec<Block<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Assistant,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Verbatim(&'a RawValue),
    Plain(Plain<'a>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Plain<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: Cow<'a, str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: Base64<'a>,
}

/// The turns of a request.
pub fn of<'a>(request: &'a ChatRequest, manner: &Manner) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => continue,
            Role::User | Role::Tool => Speaker::User,
            Role::Assistant => Speaker::Assistant,
        };
        let blocks: Vec<Block<'a>> = message.parts.iter().filter_map(|part| block(part, role, manner)).collect();
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => turns.push(Turn { role, content: blocks }),
        }
    }
    if turns.first().is_none_or(|turn| turn.role == Speaker::Assistant) {
        turns.insert(0, Turn { role: Speaker::User, content: vec![text(EARLIER)] });
    }
    answer_calls(&mut turns);
    close(&mut turns, manner);
    turns
}

impl Turn<'_> {
    /// Whether a tool was called, or answered.
    pub fn uses_tools(&self) -> bool {
        let is_tool =
            |block: &Block<'_>| matches!(block, Block::Plain(Plain::ToolUse { .. } | Plain::ToolResult { .. }));
        self.content.iter().any(is_tool)
    }
}

fn text<'a>(text: impl Into<Cow<'a, str>>) -> Block<'a> {
    Block::Plain(Plain::Text { text: text.into() })
}

/// A part as a block; `None` for what is refused or says nothing.
fn block<'a>(part: &'a Part, role: Speaker, manner: &Manner) -> Option<Block<'a>> {
    if let Part::Verbatim(item) = part
        && goes_back(item, role, manner)
    {
        return Some(Block::Verbatim(&item.json));
    }
    let is_own = role == Speaker::Assistant;
    let plain = match part.plain()? {
        // "text content blocks must be non-empty", "must contain non-whitespace text"
        Part::Text(said) if said.trim().is_empty() => return None,
        Part::Text(said) => Plain::Text { text: said.into() },
        Part::Image(_) if is_own => Plain::Text { text: PICTURE.into() },
        Part::Image(Media { mime, data }) => {
            Plain::Image { source: Source { kind: "base64", media_type: mime, data: Base64(data) } }
        }
        Part::Audio(_) => Plain::Text { text: SOUND.into() },
        Part::ToolCall(call) => {
            Plain::ToolUse { id: wire_id(&call.id), name: &call.name, input: arguments::object(&call.arguments) }
        }
        Part::ToolResult(result) => {
            // "content cannot be empty if `is_error` is true"
            let content = if result.content.is_empty() && result.is_error { NO_ANSWER } else { &result.content };
            Plain::ToolResult {
                tool_use_id: wire_id(&result.call_id),
                content: content.into(),
                is_error: result.is_error,
            }
        }
        Part::Verbatim(_) => return None,
    };
    Some(Block::Plain(plain))
}

/// Whether an item is sent as it came.
fn goes_back(item: &Verbatim, role: Speaker, manner: &Manner) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    if !item.is_of(ORIGIN) || role != Speaker::Assistant {
        return false;
    }
    match manner.verbatim {
        Kept::All => true,
        Kept::NoThinking => {
            let Kind { kind } = serde_json::from_str(item.json.get()).unwrap_or_default();
            !matches!(&*kind, "thinking" | "redacted_thinking")
        }
        Kept::None => false,
    }
}

/// An id is letters, figures, `_` and `-`; other providers write others.
fn wire_id(id: &str) -> Cow<'_, str> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match id {
        "" => Cow::Borrowed("_"),
        id if id.chars().all(is_fine) => Cow::Borrowed(id),
        id => Cow::Owned(id.chars().map(|c| if is_fine(c) { c } else { '_' }).collect()),
    }
}

/// "`tool_use` ids were found without `tool_result` blocks immediately after", and the other way round: each call is answered
/// in the very next turn, answers first; an answer to a call that is not there (the history was cut) becomes words.
fn answer_calls(turns: &mut Vec<Turn<'_>>) {
    let mut at = 0;
    let mut open: Vec<Cow<'_, str>> = Vec::new();
    while at < turns.len() || !open.is_empty() {
        if turns.get(at).is_none_or(|turn| turn.role != Speaker::User) && !open.is_empty() {
            turns.insert(at, Turn { role: Speaker::User, content: Vec::new() });
        }
        let turn = &mut turns[at];
        if turn.role == Speaker::User {
            answer(turn, std::mem::take(&mut open));
        } else {
            open = turn.content.iter().filter_map(called).collect();
        }
        at += 1;
    }
}

fn called<'a>(block: &Block<'a>) -> Option<Cow<'a, str>> {
    match block {
        Block::Plain(Plain::ToolUse { id, .. }) => Some(id.clone()),
        _ => None,
    }
}

/// Puts the results of the `open` calls first, one each.
fn answer<'a>(turn: &mut Turn<'a>, open: Vec<Cow<'a, str>>) {
    let mut results = Vec::new();
    let mut rest = Vec::new();
    let mut missing: BTreeSet<&str> = open.iter().map(|id| &**id).collect();
    for block in std::mem::take(&mut turn.content) {
        match block {
            Block::Plain(Plain::ToolResult { tool_use_id, content, is_error }) => {
                if missing.remove(&*tool_use_id) {
                    results.push(Block::Plain(Plain::ToolResult { tool_use_id, content, is_error }));
                } else {
                    rest.push(text(format!("(A tool answered: {content})")));
                }
            }
            other => rest.push(other),
        }
    }
    let lost = missing.into_iter().map(|id| {
        let tool_use_id = Cow::Owned(id.to_owned());
        Block::Plain(Plain::ToolResult { tool_use_id, content: NO_ANSWER.into(), is_error: true })
    });
    results.extend(lost);
    results.append(&mut rest);
    turn.content = results;
}

/// "final assistant content cannot end with trailing whitespace"; and many models take no final assistant turn at all.
fn close(turns: &mut Vec<Turn<'_>>, manner: &Manner) {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == Speaker::Assistant) else { return };
    if !manner.prefill {
        turns.push(Turn { role: Speaker::User, content: vec![text(GO_ON)] });
    } else if let Some(Block::Plain(Plain::Text { text })) = last.content.last_mut() {
        *text = Cow::Owned(text.trim_end().to_owned());
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
