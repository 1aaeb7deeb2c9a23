//! Whose fault it is that an answer of OpenAI's newer interfaces (Responses, Images) broke off, as their codes tell. Knows no
//! event.

use super::complaint::{self, Complaint, KeyPlace};
use crate::common::error::{Failure, ProviderError};

/// A complaint in the midst of an answer. What the asker is to blame for no other provider can mend.
pub fn complained(complaint: &Complaint, key: &KeyPlace) -> ProviderError {
    let error = complaint::in_stream(complaint, key);
    let rejected = error.failure == Failure::Failed && complaint.words.iter().any(|word| is_askers_fault(word));
    if rejected { ProviderError { failure: Failure::Rejected, ..error } } else { error }
}

/// Codes that blame what was asked, and not the provider's health: `invalid_prompt`, `image_content_policy_violation`,
/// `moderation_blocked`, `image_generation_user_error`, ….
fn is_askers_fault(word: &str) -> bool {
    let starts = ["invalid_", "image_", "unsupported_", "empty_"];
    let ends = ["_policy", "_policy_violation", "_not_found", "_blocked"];
    !word.contains("server")
        && (starts.iter().any(|start| word.starts_with(start)) || ends.iter().any(|end| word.ends_with(end)))
}
