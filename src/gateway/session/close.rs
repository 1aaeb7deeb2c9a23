//! Why a socket is closed: WebSocket close codes (RFC 6455 §7.4; 4000–4999 are the application's own).

pub const NORMAL: u16 = 1000;
pub const GOING_AWAY: u16 = 1001;
pub const PROTOCOL_ERROR: u16 = 1002;
pub const NOT_UTF8: u16 = 1007;
pub const TOO_BIG: u16 = 1009;
pub const RESTARTING: u16 = 1012;
pub const MALFORMED: u16 = 4400;
pub const UNAUTHENTICATED: u16 = 4401;
pub const FORBIDDEN: u16 = 4403;
pub const TOO_SLOW: u16 = 4408;
pub const FLOOD: u16 = 4429;

/// Every code that a client may see, with what it means.
pub const TABLE: [(u16, &str); 11] = [
    (NORMAL, "the client said goodbye, or its session goes on over another socket"),
    (GOING_AWAY, "the hub is going down"),
    (PROTOCOL_ERROR, "not the WebSocket protocol"),
    (NOT_UTF8, "a text message was not UTF-8"),
    (TOO_BIG, "a message was too big"),
    (RESTARTING, "the hub restarts"),
    (MALFORMED, "too many malformed messages in a row"),
    (UNAUTHENTICATED, "no valid credentials in time"),
    (FORBIDDEN, "origin or host is not allowed"),
    (TOO_SLOW, "the client reads too slowly; resume works"),
    (FLOOD, "too many messages in too short a time"),
];

/// A close frame to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    /// At most 123 bytes (RFC 6455 §5.5).
    pub reason: &'static str,
}

impl Close {
    /// The code with the reason of the table.
    pub fn of(code: u16) -> Close {
        let reason = TABLE.iter().find(|row| row.0 == code).map_or("", |row| row.1);
        Close { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_a_control_frame_and_codes_are_unique() {
        for (at, (code, why)) in TABLE.iter().enumerate() {
            assert!(!why.is_empty() && why.len() <= 123, "{code}");
            assert!(TABLE[at + 1..].iter().all(|row| row.0 != *code), "{code}");
        }
    }
}
