//! Which part of a conversation a model gets to read again. Knows no provider and no tokenizer; it guesses, on the high side.

use std::collections::BTreeSet;

use super::parts::StoredPart;
use super::{ReadError, Snapshot, Store, StoredMessage};
use crate::common::chat::{Message, Part, Role};

/// Tokens of a message beside its text: role and separators. Of a call or a result as well.
const MESSAGE_TOKENS: u64 = 4;

/// Tokens of a picture, whatever its size: what Anthropic counts for the largest that it does not shrink (1,568), and more
/// than OpenAI (765 at 1024 × 1024) and Gemini (258 a tile) count for a photograph.
pub const IMAGE_TOKENS: u64 = 1600;

/// Bytes of sound that are one token: Gemini counts 32 tokens a second, and an MP3 of speech has some 16 kB in one.
pub const AUDIO_BYTES_PER_TOKEN: u64 = 500;

/// Bytes of all pictures and sounds of one context. In base64 they are a third more, and Gemini takes 20 MB in one request.
/// Past it older ones become words.
const CONTEXT_MEDIA_BYTES_MAX: usize = 12 * 1024 * 1024;

/// Tokens that a message takes of a model's context, guessed without its tokenizer: four ASCII bytes or two others are one,
/// and four more for the message itself. English has about four letters to a token; a Chinese or Japanese character is
/// three bytes and one to two tokens in most vocabularies; Cyrillic, Greek and emoji come out a little high. The guess is
/// meant to be high rather than low: what is over a model's context fails, what is under it is only shorter memory.
pub fn estimated_tokens(text: &str) -> u64 {
    text_tokens(text) + MESSAGE_TOKENS
}

fn text_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let quarters = ascii + 2 * (text.len() as u64 - ascii);
    quarters.div_ceil(4)
}

fn message_tokens(message: &StoredMessage) -> u64 {
    match message.parts.is_empty() {
        true => estimated_tokens(&message.text),
        false => MESSAGE_TOKENS + message.parts.iter().map(part_tokens).sum::<u64>(),
    }
}

fn part_tokens(part: &StoredPart) -> u64 {
    match part {
        StoredPart::Text { text } => text_tokens(text),
        StoredPart::Image { .. } => IMAGE_TOKENS,
        StoredPart::Audio { bytes, .. } => bytes.div_ceil(AUDIO_BYTES_PER_TOKEN),
        StoredPart::ToolCall { name, arguments, .. } => MESSAGE_TOKENS + text_tokens(name) + text_tokens(arguments),
        StoredPart::ToolResult { name, content, .. } => MESSAGE_TOKENS + text_tokens(name) + text_tokens(content),
        StoredPart::Verbatim { json, stands_for, .. } => match stands_for.as_deref() {
            // The JSON has the picture in base64, which is not what a model counts.
            Some(media @ (StoredPart::Image { .. } | StoredPart::Audio { .. })) => part_tokens(media),
            // Who reads it is not known yet: the provider that made it, or another one.
            other => text_tokens(json).max(other.map_or(0, part_tokens)),
        },
    }
}

impl Store {
    /// See [`Snapshot::context`].
    pub async fn context(&self, conversation_id: &str, token_budget: u32) -> Result<Vec<Message>, ReadError> {
        let id = conversation_id.to_owned();
        self.read(move |snapshot| snapshot.context(&id, token_budget)).await
    }
}

impl Snapshot {
    /// What a model is to read again: the newest messages whose estimated tokens fit in the budget together, oldest first,
    /// beginning with a user's, without thinking and without what is empty. A call of a tool comes with all its results or
    /// not at all. It is read from the end, so that a long history costs no more than a short one.
    ///
    /// Pictures and sounds are read from the blobs; words stand where one is gone, or where newer ones have taken all the
    /// room.
    pub fn context(&self, conversation_id: &str, token_budget: u32) -> Result<Vec<Message>, ReadError> {
        let mut left = u64::from(token_budget);
        let mut kept = Vec::new();
        for message in self.backwards(conversation_id, None)? {
            let (message, _) = message?;
            if message.text.is_empty() && message.parts.is_empty() {
                continue;
            }
            let Some(rest) = left.checked_sub(message_tokens(&message)) else { break };
            left = rest;
            kept.push(message);
        }
        while kept.last().is_some_and(|oldest| oldest.role != Role::User) {
            kept.pop();
        }
        kept.reverse();
        let kept = with_whole_calls(kept);
        let mut media_left = CONTEXT_MEDIA_BYTES_MAX;
        let mut context = Vec::with_capacity(kept.len());
        for message in kept.into_iter().rev() {
            context.push(self.resolved(message, &mut media_left)?);
        }
        context.reverse();
        Ok(context)
    }

    fn resolved(&self, message: StoredMessage, media_left: &mut usize) -> Result<Message, ReadError> {
        let StoredMessage { role, text, parts, .. } = message;
        if parts.is_empty() {
            return Ok(Message { role, parts: vec![Part::Text(text)] });
        }
        let parts = parts.into_iter().map(|part| self.resolve(part, media_left));
        Ok(Message { role, parts: parts.collect::<Result<_, _>>()? })
    }
}

/// Takes out the calls that got no answer, since the turn was stopped between, and the answers whose call is not there:
/// providers refuse the one without the other. Such a message keeps its text, where it has any.
pub(super) fn with_whole_calls(messages: Vec<StoredMessage>) -> Vec<StoredMessage> {
    let mut whole: Vec<StoredMessage> = Vec::with_capacity(messages.len());
    let mut rest = messages.into_iter().peekable();
    while let Some(message) = rest.next() {
        let mut answers = Vec::new();
        while let Some(answer) = rest.next_if(|next| next.role == Role::Tool) {
            answers.push(answer);
        }
        let calls = ids(&message, |part| match part {
            StoredPart::ToolCall { id, .. } => Some(id),
            _ => None,
        });
        let answered: BTreeSet<String> = answers.iter().flat_map(results).collect();
        if calls.is_empty() {
            whole.push(message);
        } else if calls == answered {
            whole.push(message);
            whole.extend(answers.into_iter().filter(|answer| !results(answer).is_empty()));
        } else if !message.text.is_empty() {
            whole.push(StoredMessage { parts: Vec::new(), ..message });
        }
    }
    whole
}

fn results(message: &StoredMessage) -> BTreeSet<String> {
    ids(message, |part| match part {
        StoredPart::ToolResult { call_id, .. } => Some(call_id),
        _ => None,
    })
}

/// The ids that parts have, or what they stand for.
fn ids(message: &StoredMessage, id: impl Fn(&StoredPart) -> Option<&String>) -> BTreeSet<String> {
    let plain = message.parts.iter().filter_map(|part| match part {
        StoredPart::Verbatim { stands_for, .. } => stands_for.as_deref(),
        part => Some(part),
    });
    plain.filter_map(|part| id(part).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::NewMessage;
    use super::*;
    use crate::common::who::HOUSE;

    #[test]
    fn tokens_are_guessed_on_the_high_side() {
        assert_eq!(estimated_tokens(""), 4);
        assert_eq!(estimated_tokens("What time is it?"), 8);
        // Two a character at most, as vocabularies without many Chinese words have it.
        assert_eq!(estimated_tokens("今天天气怎么样"), 4 + 11);
        assert_eq!(estimated_tokens("Который час?"), 4 + 11);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_context_is_the_newest_that_fits(
            said in proptest::collection::vec((any::<bool>(), "[a-z ü今]{0,40}"), 0..30),
            budget in 0..300u32,
        ) {
            let home = tempfile::tempdir().expect("a folder");
            let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let context = runtime.block_on(async {
                for (at, (user, text)) in said.iter().enumerate() {
                    let role = if *user { Role::User } else { Role::Assistant };
                    let message = NewMessage { reasoning: Some("long ".repeat(99)), ..NewMessage::new(role, text, at as u64) };
                    store.append(HOUSE, "c", vec![message]).await.expect("room");
                }
                // A neighbour whose messages must not be taken for ours.
                store.append(HOUSE, "b", vec![NewMessage::new(Role::User, "hello", 1)]).await.expect("room");
                let context = store.context("c", budget).await.expect("readable");
                store.close().await;
                context
            });
            // The longest suffix that fits and begins with the user.
            let spoken: Vec<_> = said.iter().filter(|(_, text)| !text.is_empty()).collect();
            let fits = |from: usize| {
                let tokens = spoken[from..].iter().map(|(_, text)| estimated_tokens(text)).sum::<u64>();
                tokens <= u64::from(budget) && spoken[from].0
            };
            let from = (0..spoken.len()).find(|from| fits(*from)).unwrap_or(spoken.len());
            let expected: Vec<_> = spoken[from..].iter().map(|(_, text)| text.as_str()).collect();
            prop_assert_eq!(context.iter().map(Message::text).collect::<Vec<_>>(), expected);
        }
    }
}
