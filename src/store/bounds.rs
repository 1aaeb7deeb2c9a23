//! How much the store remembers.

/// Bytes of all blobs together.
pub const BLOBS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Entries kept: some 3 MB, and weeks of a busy house.
pub const AUDIT_LEN_MAX: u64 = 10_000;

/// Days with usage that are kept: two years, and more where on some days nothing was asked. They are counted and not
/// measured from today, so that a hub whose clock was wrong for an hour forgets one day and not all.
pub const USAGE_DAYS_MAX: usize = 731;

/// Rows of one day. What comes past it is added up in a row whose profile and model are [`OTHERS`].
pub const USAGE_ROWS_PER_DAY_MAX: usize = 128;

/// How much is remembered before the oldest is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) conversations: u64,
    pub(super) messages_per_conversation: u64,
    pub(super) conversation_bytes: u64,
    /// Of all conversations together: some hundred thousand turns. The file, which may be twice as long, is read whole at a
    /// start, and this keeps that to seconds on a slow memory card.
    pub(super) history_bytes: u64,
    pub(super) blobs: u64,
    /// Of all blobs together: a hundred photographs. They are read at a start like the rest.
    pub(super) blob_bytes: u64,
    /// Days with usage; a day on which nothing was asked takes none.
    pub(super) usage_days: usize,
    /// Rows of one day, before the rest of it becomes one: whoever names models at random must not fill the disk.
    pub(super) usage_rows_per_day: usize,
    /// Entries of the audit.
    pub(super) audit: u64,
}

impl Bounds {
    pub(super) const HOUSE: Bounds = Bounds {
        conversations: 10_000,
        messages_per_conversation: 10_000,
        conversation_bytes: 8 * 1024 * 1024,
        history_bytes: 64 * 1024 * 1024,
        blobs: 10_000,
        blob_bytes: BLOBS_BYTES_MAX,
        usage_days: USAGE_DAYS_MAX,
        usage_rows_per_day: USAGE_ROWS_PER_DAY_MAX,
        audit: AUDIT_LEN_MAX,
    };
}
