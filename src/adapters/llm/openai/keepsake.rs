//! What a model thought, kept while it streams, because the next request must bring it back: OpenRouter's
//! `reasoning_details`, and the `reasoning_content` before a call of a tool (DeepSeek: "the reasoning_content must be fully
//! passed back to the API"). Pure; what is sent of it is `message`'s business.
//! Source: OpenRouter docs, "Preserving reasoning"; DeepSeek API docs, "Thinking mode, tool calls".

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::common::chat::{Covers, Event, VerbatimItem};

/// Who understands `reasoning_details`.
pub const OPENROUTER: &str = "openrouter";

/// Who understands `reasoning_content`; the item is a JSON string.
pub const OPENAI_CHAT: &str = "openai_chat";

/// Of each kind; what is longer is not kept at all, since a part of it is worth nothing. Bytes.
pub const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Fields that stream in pieces. All others come whole.
const STREAMED: [&str; 2] = ["text", "summary"];

/// The thoughts of one answer.
#[derive(Debug, Default)]
pub struct Keepsake {
    details: Vec<Map<String, Value>>,
    details_bytes: usize,
    thinking: String,
}

impl Keepsake {
    /// A piece of `reasoning_content`.
    pub fn think(&mut self, piece: &str) {
        if self.thinking.len() <= KEPT_BYTES_MAX {
            self.thinking.push_str(piece);
        }
    }

    /// A piece of `reasoning_details`. What is no list of objects is none.
    pub fn detail(&mut self, pieces: &RawValue) {
        self.details_bytes = self.details_bytes.saturating_add(pieces.get().len());
        if self.details_bytes > KEPT_BYTES_MAX {
            self.details.clear();
            return;
        }
        for piece in serde_json::from_str::<Vec<Map<String, Value>>>(pieces.get()).unwrap_or_default() {
            match self.details.last_mut().filter(|last| goes_on(last, &piece)) {
                Some(last) => join(last, piece),
                None => self.details.push(piece),
            }
        }
    }

    /// What there is to keep, once: `called` says whether the answer has calls of tools.
    pub fn take(&mut self, called: bool) -> impl Iterator<Item = Event> {
        let kept = std::mem::take(self);
        let details = (!kept.details.is_empty()).then(|| item(OPENROUTER, &kept.details));
        let has_thinking = called && !kept.thinking.is_empty() && kept.thinking.len() <= KEPT_BYTES_MAX;
        let thinking = has_thinking.then(|| item(OPENAI_CHAT, &kept.thinking));
        details.into_iter().chain(thinking)
    }
}

/// Whether a piece belongs to the detail before it: the same kind and place, and a kind that streams.
fn goes_on(last: &Map<String, Value>, piece: &Map<String, Value>) -> bool {
    let streams = matches!(last.get("type").and_then(Value::as_str), Some("reasoning.text" | "reasoning.summary"));
    streams && last.get("type") == piece.get("type") && last.get("index") == piece.get("index")
}

/// Text is put together; of all else the newest holds, which is how a signature comes after its text.
fn join(last: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (field, value) in piece {
        match (last.get_mut(&field), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if STREAMED.contains(&field.as_str()) => {
                text.push_str(&more);
            }
            (_, value) => {
                last.insert(field, value);
            }
        }
    }
}

fn item(origin: &str, value: &impl serde::Serialize) -> Event {
    let json = to_raw_value(value).expect("what was JSON is JSON");
    Event::Verbatim(Box::new(VerbatimItem { origin: origin.into(), json, covers: Covers::Nothing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pieces: &[&str], thinking: &str, called: bool) -> Vec<(String, String)> {
        let mut keepsake = Keepsake::default();
        keepsake.think(thinking);
        for piece in pieces {
            keepsake.detail(serde_json::from_str(piece).unwrap());
        }
        let told: Vec<_> = keepsake.take(called).collect();
        assert_eq!(keepsake.take(true).count(), 0, "once");
        let plain = |event| match event {
            Event::Verbatim(item) => (item.origin.into(), item.json.get().to_owned()),
            other => panic!("{other:?}"),
        };
        told.into_iter().map(plain).collect()
    }

    #[test]
    fn pieces_of_one_thought_become_one_with_its_signature() {
        let pieces = [
            r#"[{"type":"reasoning.text","text":"Let me","format":"anthropic-claude-v1","index":0}]"#,
            r#"[{"type":"reasoning.text","text":" see","signature":null,"index":0}]"#,
            r#"[{"type":"reasoning.text","signature":"c2ln","index":0},{"type":"reasoning.text","text":"Then","index":1}]"#,
            r#"[{"type":"reasoning.encrypted","data":"eA==","index":1}]"#,
            r#"[{"type":"reasoning.encrypted","data":"eQ==","index":1}]"#,
            r#"[]"#,
            r#""odd""#,
            "null",
        ];
        let want = r#"[{"format":"anthropic-claude-v1","index":0,"signature":"c2ln","text":"Let me see","type":"reasoning.text"},{"index":1,"text":"Then","type":"reasoning.text"},{"data":"eA==","index":1,"type":"reasoning.encrypted"},{"data":"eQ==","index":1,"type":"reasoning.encrypted"}]"#;
        assert_eq!(kept(&pieces, "", false), [(OPENROUTER.to_owned(), want.to_owned())]);
    }

    #[test]
    fn thinking_is_kept_for_calls_alone() {
        assert_eq!(kept(&[], "hm \"so\"", true), [(OPENAI_CHAT.to_owned(), r#""hm \"so\"""#.to_owned())]);
        assert_eq!(kept(&[], "hm", false), []);
        assert_eq!(kept(&[], "", true), []);
    }

    #[test]
    fn what_is_too_long_is_not_kept_in_part() {
        let long = format!(r#"[{{"type":"reasoning.encrypted","data":"{}"}}]"#, "x".repeat(KEPT_BYTES_MAX));
        assert_eq!(kept(&[&long, r#"[{"type":"reasoning.encrypted"}]"#], &long, true), []);
    }
}
