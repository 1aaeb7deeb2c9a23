//! Which part of a conversation a model gets to read again. Knows no provider and no tokenizer; it guesses, on the high side.

use super::{ReadError, Snapshot, Store, StoredMessage};
use crate::common::chat::Role;

/// Tokens of a message beside its text: role and separators.
const MESSAGE_TOKENS: u64 = 4;

/// Tokens that a message takes of a model's context, guessed without its tokenizer: four ASCII bytes or two others are one,
/// and four more for the message itself. English has about four letters to a token; a Chinese or Japanese character is
/// three bytes and one to two tokens in most vocabularies; Cyrillic, Greek and emoji come out a little high. The guess is
/// meant to be high rather than low: what is over a model's context fails, what is under it is only shorter memory.
pub fn estimated_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let quarters = ascii + 2 * (text.len() as u64 - ascii);
    quarters.div_ceil(4) + MESSAGE_TOKENS
}

impl Store {
    /// See [`Snapshot::context`].
    pub async fn context(&self, conversation_id: &str, token_budget: u32) -> Result<Vec<StoredMessage>, ReadError> {
        let id = conversation_id.to_owned();
        self.read(move |snapshot| snapshot.context(&id, token_budget)).await
    }
}

impl Snapshot {
    /// What a model is to read again: the newest messages whose [`estimated_tokens`] fit in the budget together, oldest
    /// first, beginning with a user's, without thinking and without empty texts. It is read from the end, so that a long
    /// history costs no more than a short one.
    pub fn context(&self, conversation_id: &str, token_budget: u32) -> Result<Vec<StoredMessage>, ReadError> {
        let mut left = u64::from(token_budget);
        let mut context = Vec::new();
        for message in self.backwards(conversation_id, None)? {
            let (message, _) = message?;
            if message.text.is_empty() {
                continue;
            }
            let Some(rest) = left.checked_sub(estimated_tokens(&message.text)) else { break };
            left = rest;
            context.push(StoredMessage { reasoning: None, ..message });
        }
        while context.last().is_some_and(|oldest| oldest.role != Role::User) {
            context.pop();
        }
        context.reverse();
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::NewMessage;
    use super::*;

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
                    store.append("c", vec![message]).await.expect("room");
                }
                // A neighbour whose messages must not be taken for ours.
                store.append("b", vec![NewMessage::new(Role::User, "hello", 1)]).await.expect("room");
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
            prop_assert_eq!(context.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), expected);
            prop_assert!(context.iter().all(|message| message.reasoning.is_none()));
        }
    }
}
