//! The revisions of MCP that are served, and the words in which 2026-07-28 and those before it differ. Facts only.

use std::fmt;

/// The revision without sessions.
pub const STATELESS: &str = "2026-07-28";

/// The revisions that begin with `initialize`, the newest first. 2024-11-05 says nothing that 2025-03-26 does not, and
/// programs that speak it over stdio are still about.
pub const SESSIONED: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The one revision in which several messages may come as an array.
pub const BATCHED: &str = "2025-03-26";

/// The first one whose clients know an event without data (SEP-1699).
pub const PRIMED: &str = "2025-11-25";

/// `_meta` of every request of 2026-07-28.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const META_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// `_meta` of every result of 2026-07-28.
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// `_meta` of what goes out on a stream of `subscriptions/listen`.
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// 2026-07-28, `HeaderMismatchError`, `MissingRequiredClientCapabilityError`, `UnsupportedProtocolVersionError`.
pub const HEADER_MISMATCH: i64 = -32020;
pub const MISSING_CAPABILITY: i64 = -32021;
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// What a client that asks for `wanted` is answered: the same where it is known, else the newest (lifecycle, version
/// negotiation).
pub fn negotiate(wanted: &str) -> &'static str {
    known(wanted).unwrap_or(SESSIONED[0])
}

/// A revision with sessions, by its name.
pub fn known(version: &str) -> Option<&'static str> {
    SESSIONED.into_iter().find(|known| *known == version)
}

/// In which form results are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// With sessions, up to 2025-11-25.
    Sessions,
    /// 2026-07-28.
    Stateless,
}

/// How bad a message in a log is (RFC 5424, as MCP names them), the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(usize);

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Level {
    /// What a session hears that has not said anything.
    pub const INFO: Level = Level(1);

    pub fn of(word: &str) -> Option<Level> {
        LEVELS.iter().position(|level| *level == word).map(Level)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LEVELS[self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_spoken_and_else_the_newest() {
        assert_eq!(negotiate("2025-03-26"), "2025-03-26");
        for strange in ["1999-01-01", "", STATELESS] {
            assert_eq!(negotiate(strange), "2025-11-25", "{strange}");
        }
        assert!(Level::of("debug") < Some(Level::INFO) && Level::of("emergency") > Some(Level::INFO));
        assert_eq!((Level::of("loud"), Level::INFO.to_string().as_str()), (None, "info"));
    }
}
