//! The whole of an answer, put together from the pieces in which it came. Pure; knows no provider.

use crate::common::chat::{Covers, Event, Media, Message, Part, Role, ToolCall, ToolCallDelta, Verbatim, VerbatimItem};

/// Grows by [`Assembly::take`]; at the end [`Assembly::into_message`] is what a provider may read again.
#[derive(Debug, Clone, Default)]
pub struct Assembly {
    parts: Vec<Piece>,
    /// Bytes of text so far, refusals among them.
    pub text_bytes: usize,
    pub reasoning: String,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Call { index: u32, call: ToolCall },
    Image { index: u32, media: Media },
    Audio(Media),
    Verbatim(Verbatim),
}

impl Assembly {
    /// Takes one event; those that are no part of the answer change nothing.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Text(text) | Event::Refusal(text) => self.text(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::ToolCall(delta) => self.call(delta),
            Event::Image(piece) if piece.partial.is_none() => {
                self.parts.push(Piece::Image { index: piece.index, media: piece.media.clone() });
            }
            Event::Audio(media) => self.parts.push(Piece::Audio((**media).clone())),
            Event::Verbatim(item) => self.verbatim(item),
            _ => {}
        }
    }

    /// All text, as the user saw it.
    pub fn whole_text(&self) -> String {
        let text_of = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Verbatim(item) => item.stands_for.as_deref().and_then(Part::text).map(ToOwned::to_owned),
            _ => None,
        };
        self.parts.iter().filter_map(text_of).collect()
    }

    /// Whether there is nothing that a history would keep.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|piece| matches!(piece, Piece::Verbatim(item) if item.stands_for.is_none()))
    }

    /// The answer as a message of the assistant's.
    pub fn into_message(self) -> Message {
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Call { call, .. } => Part::ToolCall(call),
            Piece::Image { media, .. } => Part::Image(media),
            Piece::Audio(media) => Part::Audio(media),
            Piece::Verbatim(item) => Part::Verbatim(item),
        };
        Message { role: Role::Assistant, parts: self.parts.into_iter().map(part).collect() }
    }

    /// Takes the calls out again: nobody will answer them.
    pub fn forget_calls(&mut self) {
        let is_call = |piece: &Piece| match piece {
            Piece::Call { .. } => true,
            Piece::Verbatim(item) => matches!(item.stands_for.as_deref(), Some(Part::ToolCall(_))),
            _ => false,
        };
        self.parts.retain(|piece| !is_call(piece));
    }

    fn text(&mut self, text: &str) {
        self.text_bytes += text.len();
        match self.parts.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.parts.push(Piece::Text(text.to_owned())),
        }
    }

    fn call(&mut self, delta: &ToolCallDelta) {
        let open = self.parts.iter_mut().rev().find_map(|piece| match piece {
            Piece::Call { index, call } if *index == delta.index => Some(call),
            _ => None,
        });
        let call = match open {
            Some(call) => call,
            None => {
                let call = ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
                self.parts.push(Piece::Call { index: delta.index, call });
                let Some(Piece::Call { call, .. }) = self.parts.last_mut() else { unreachable!("just pushed") };
                call
            }
        };
        // Some servers repeat id and name with every fragment: the first one holds.
        if call.id.is_empty() {
            call.id.push_str(delta.id.as_deref().unwrap_or_default());
        }
        if call.name.is_empty() {
            call.name.push_str(delta.name.as_deref().unwrap_or_default());
        }
        call.arguments.push_str(&delta.arguments);
    }

    fn verbatim(&mut self, item: &VerbatimItem) {
        let covered = match item.covers {
            Covers::Nothing => None,
            Covers::Text { bytes } => self.cut_text(bytes),
            Covers::ToolCall { index } => {
                self.remove(|piece| matches!(piece, Piece::Call { index: at, .. } if *at == index))
            }
            Covers::Image { index } => {
                self.remove(|piece| matches!(piece, Piece::Image { index: at, .. } if *at == index))
            }
        };
        let (at, stands_for) = match covered {
            Some((at, part)) => (at, Some(Box::new(part))),
            None => (self.parts.len(), None),
        };
        let item = Verbatim { origin: item.origin.clone(), json: item.json.clone(), stands_for };
        self.parts.insert(at, Piece::Verbatim(item));
    }

    /// Takes the last `bytes` of text out, where the last piece is text and has so many.
    fn cut_text(&mut self, bytes: usize) -> Option<(usize, Part)> {
        let Some(Piece::Text(last)) = self.parts.last_mut() else { return None };
        let from = last.len().checked_sub(bytes).filter(|from| last.is_char_boundary(*from))?;
        let covered = last.split_off(from);
        if last.is_empty() {
            self.parts.pop();
        }
        Some((self.parts.len(), Part::Text(covered)))
    }

    fn remove(&mut self, is_it: impl Fn(&Piece) -> bool) -> Option<(usize, Part)> {
        let at = self.parts.iter().rposition(is_it)?;
        let part = match self.parts.remove(at) {
            Piece::Call { call, .. } => Part::ToolCall(call),
            Piece::Image { media, .. } => Part::Image(media),
            _ => unreachable!("only calls and pictures are looked for"),
        };
        Some((at, part))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn item(json: &str, covers: Covers) -> Event {
        let json = RawValue::from_string(json.into()).expect("JSON");
        Event::Verbatim(Box::new(VerbatimItem { origin: "gemini".into(), json, covers }))
    }

    fn assembled(events: &[Event]) -> Message {
        let mut assembly = Assembly::default();
        events.iter().for_each(|event| assembly.take(event));
        assembly.into_message()
    }

    #[test]
    fn pieces_of_one_kind_become_one_part_in_the_order_said() {
        let call = |index, id: Option<&str>, name: Option<&str>, arguments: &str| {
            let (id, name) = (id.map(Into::into), name.map(Into::into));
            Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments: arguments.into() }))
        };
        let message = assembled(&[
            Event::Text("a".into()),
            Event::Text("b".into()),
            call(0, Some("1"), Some("f"), "{"),
            call(1, Some("2"), Some("g"), "{}"),
            call(0, Some("1"), None, "}"),
        ]);
        let call = |id: &str, name: &str| ToolCall { id: id.into(), name: name.into(), arguments: "{}".into() };
        let parts = vec![Part::Text("ab".into()), Part::ToolCall(call("1", "f")), Part::ToolCall(call("2", "g"))];
        assert_eq!(message.parts, parts);
    }

    #[test]
    fn a_verbatim_item_takes_the_place_of_what_it_covers() {
        let message = assembled(&[
            Event::Text("one ".into()),
            Event::Text("two".into()),
            item(r#"{"text":"two","thoughtSignature":"s"}"#, Covers::Text { bytes: 3 }),
            Event::Text("three".into()),
        ]);
        assert_eq!(message.text(), "one twothree");
        assert_eq!(message.parts.len(), 3);
        let Part::Verbatim(kept) = &message.parts[1] else { panic!("{:?}", message.parts) };
        assert_eq!((kept.is_of("gemini"), kept.stands_for.as_deref()), (true, Some(&Part::Text("two".into()))));
        assert_eq!(message.parts[1].plain(), Some(&Part::Text("two".into())));
    }

    #[test]
    fn an_item_that_covers_what_never_came_says_something_of_its_own() {
        let message = assembled(&[
            Event::Text("ü".into()),
            item("{}", Covers::Text { bytes: 1 }),
            item("{}", Covers::Text { bytes: 9 }),
            item("{}", Covers::ToolCall { index: 4 }),
        ]);
        assert_eq!((message.text().as_str(), message.parts.len()), ("ü", 4));
    }
}
