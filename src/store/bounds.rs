//! How much the store remembers.

/// How much is remembered before the oldest is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) conversations: u64,
    pub(super) messages_per_conversation: u64,
    pub(super) conversation_bytes: u64,
    /// Of all conversations together: some hundred thousand turns. The file, which may be twice as long, is read whole at a
    /// start, and this keeps that to seconds on a slow memory card.
    pub(super) history_bytes: u64,
}

impl Bounds {
    pub(super) const HOUSE: Bounds = Bounds {
        conversations: 10_000,
        messages_per_conversation: 10_000,
        conversation_bytes: 8 * 1024 * 1024,
        history_bytes: 64 * 1024 * 1024,
    };
}
