//! What a provider is given to read: the profile's prompt, the last of the conversation, the question. Pure.

use crate::common::chat::{ChatRequest, Message, Role, Sampling};
use crate::router::choose::Link;
use crate::store::{ModelProfile, StoredMessage, estimated_tokens};

/// What the answer is given room for where the profile does not limit it.
const ANSWER_TOKENS: u64 = 1024;

/// Tokens of a profile's context that are left for history beside its prompt, the question and the answer.
pub fn history_tokens(profile: &ModelProfile, question_tokens: u64) -> u32 {
    let prompt_tokens = profile.system_prompt.as_deref().map_or(0, estimated_tokens);
    let whole = u64::from(profile.context_tokens);
    // A profile that lets an answer fill the whole context would have no memory at all.
    let answer_tokens = profile.max_tokens.map_or(ANSWER_TOKENS, u64::from).min(whole / 2);
    let left = whole.saturating_sub(prompt_tokens + question_tokens + answer_tokens);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// Puts one question together. `history` is the store's selection, oldest first, already within its budget.
pub fn request(link: &Link, profile: &ModelProfile, history: &[StoredMessage], question: &str) -> ChatRequest {
    let system = profile.system_prompt.iter().filter(|prompt| !prompt.trim().is_empty());
    let messages = system
        .map(|prompt| Message::new(Role::System, prompt.as_str()))
        .chain(history.iter().map(|said| Message::new(said.role, said.text.as_str())))
        .chain([Message::new(Role::User, question)])
        .collect();
    ChatRequest {
        model: link.model.clone(),
        messages,
        sampling: Sampling { temperature: profile.temperature, max_tokens: profile.max_tokens },
    }
}
