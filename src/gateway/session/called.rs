//! The tools that a model called while it made one answer, as far as they are kept for a repeat or a snapshot. Pure.

use serde_json::{Value, json};

use crate::common::chat::ToolCallDelta;
use crate::common::events::ToolResultNews;

/// Calls kept of one answer.
const CALLS_MAX: usize = 64;

/// Arguments and result kept of one call, bytes each. The client has had the whole; this is for one that lost it.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// What a call costs beside its texts, bytes.
const OVERHEAD_BYTES: usize = 128;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Called {
    calls: Vec<KeptCall>,
    bytes: usize,
    /// What is added to the model's own numbers: those of a new round may begin anew.
    base: u32,
    /// The number after the highest so far.
    next: u32,
    is_new_round: bool,
}

/// One call.
#[derive(Debug, Clone, Default)]
pub struct KeptCall {
    pub index: u32,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
    pub result: Option<KeptResult>,
    /// Not all of it is here.
    pub cut: bool,
}

#[derive(Debug, Clone)]
pub struct KeptResult {
    pub text: String,
    pub is_error: bool,
    pub ms: u64,
}

impl Called {
    /// The number in the answer of a call that a model numbered `index`.
    pub fn index(&mut self, index: u32) -> u32 {
        if std::mem::take(&mut self.is_new_round) {
            // Whoever counts on over the rounds is believed.
            self.base = if index < self.next { self.next } else { 0 };
        }
        let index = self.base.saturating_add(index);
        self.next = self.next.max(index.saturating_add(1));
        index
    }

    /// Calls that come from now on are others than those before.
    pub fn begin_round(&mut self) {
        self.is_new_round = true;
    }

    /// Keeps a piece of call `index` if there is room, `room` bytes at the most; gives back the bytes kept.
    pub fn keep_piece(&mut self, index: u32, delta: &ToolCallDelta, room: usize) -> usize {
        let before = self.bytes;
        let at = match self.calls.iter().position(|call| call.index == index) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX || room < OVERHEAD_BYTES + 2 * PIECE_BYTES_MAX => return 0,
            None => {
                self.bytes += OVERHEAD_BYTES;
                self.calls.push(KeptCall { index, ..KeptCall::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        for (kept, said) in [(&mut call.id, &delta.id), (&mut call.name, &delta.name)] {
            if let (None, Some(said)) = (&kept, said)
                && said.len() <= PIECE_BYTES_MAX
            {
                self.bytes += said.len();
                *kept = Some(said.clone());
            }
        }
        call.cut |= call.arguments.len() + delta.arguments.len() > PIECE_BYTES_MAX;
        if !call.cut {
            call.arguments.push_str(&delta.arguments);
            self.bytes += delta.arguments.len();
        }
        self.bytes - before
    }

    /// Keeps what came of a call, if that is kept; gives back the bytes.
    pub fn keep_result(&mut self, news: &ToolResultNews) -> usize {
        let is_it = |call: &&mut KeptCall| call.result.is_none() && call.id.as_deref() == Some(&*news.call_id);
        let Some(call) = self.calls.iter_mut().find(is_it) else { return 0 };
        let end = news.text.floor_char_boundary(PIECE_BYTES_MAX);
        call.cut |= end < news.text.len();
        call.result = Some(KeptResult { text: news.text[..end].to_owned(), is_error: news.is_error, ms: news.ms });
        self.bytes += end;
        end
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn calls(&self) -> &[KeptCall] {
        &self.calls
    }

    /// As a snapshot has it.
    pub fn to_value(&self) -> Value {
        self.calls
            .iter()
            .map(|call| {
                let mut value = json!({ "index": call.index, "arguments": call.arguments, "cut": call.cut });
                for (key, text) in [("id", &call.id), ("name", &call.name)] {
                    if let Some(text) = text {
                        value[key] = json!(text);
                    }
                }
                if let Some(result) = &call.result {
                    value["result"] = json!({ "text": result.text, "is_error": result.is_error, "ms": result.ms });
                }
                value
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(id: &str, arguments: &str) -> ToolCallDelta {
        ToolCallDelta { index: 0, id: Some(id.into()), name: Some("lights".into()), arguments: arguments.into() }
    }

    fn result(id: &str, text: &str) -> ToolResultNews {
        let (text, structured) = (text.into(), None);
        ToolResultNews { call_id: id.into(), name: "lights".into(), text, is_error: false, ms: 3, structured }
    }

    #[test]
    fn numbers_go_on_over_the_rounds_whoever_counts() {
        let mut called = Called::default();
        assert_eq!([0, 0, 1, 0].map(|index| called.index(index)), [0, 0, 1, 0]);
        called.begin_round();
        assert_eq!([0, 1, 1].map(|index| called.index(index)), [2, 3, 3], "begun anew");
        called.begin_round();
        assert_eq!([4, 5].map(|index| called.index(index)), [4, 5], "counted on");
        called.begin_round();
        assert_eq!(called.index(u32::MAX), u32::MAX);
        called.begin_round();
        assert_eq!(called.index(7), u32::MAX, "nonsense ends somewhere");
    }

    #[test]
    fn a_call_is_kept_with_its_result_and_within_bounds() {
        let mut called = Called::default();
        called.keep_piece(0, &delta("a", r#"{"on":"#), usize::MAX);
        called.keep_piece(0, &ToolCallDelta { arguments: "true}".into(), ..ToolCallDelta::default() }, usize::MAX);
        called.keep_result(&result("a", "done"));
        called.keep_result(&result("b", "of a call that nobody made"));
        let expected = json!([{"index": 0, "id": "a", "name": "lights", "arguments": r#"{"on":true}"#, "cut": false,
            "result": {"text": "done", "is_error": false, "ms": 3}}]);
        assert_eq!(called.to_value(), expected);
        assert_eq!(called.keep_piece(1, &delta("c", ""), 1000), 0, "no room");
        let mut bytes = called.bytes();
        for index in 1..1000 {
            let id = index.to_string();
            bytes += called.keep_piece(index, &delta(&id, &"é".repeat(5000)), usize::MAX);
            bytes += called.keep_result(&result(&id, &"é".repeat(5000)));
        }
        assert_eq!((bytes, called.calls().len()), (called.bytes(), CALLS_MAX));
        assert!(called.calls()[1..].iter().all(|call| call.cut));
        assert!(bytes < CALLS_MAX * (OVERHEAD_BYTES + 2 * PIECE_BYTES_MAX + 16), "{bytes}");
    }
}
