//! Why a request to a server came to nothing, in words for whoever asked: which server, what happened, what to try. No secrets:
//! what servers and transports say is cut, and has no control characters.

use std::time::Duration;

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::whole_ms;
use crate::mcp::call::Fault;
use crate::mcp::upstream::UpstreamError;

/// Characters of a reason that are told.
const REASON_CHARS_MAX: usize = 300;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    Upstream(UpstreamError),
    /// It failed a moment ago, and is not tried again yet.
    Broken {
        why: Box<str>,
        retry_after: Duration,
    },
    /// It is being started, and takes longer than the caller can wait.
    Starting {
        waited: Duration,
        why: Option<Box<str>>,
    },
    /// Too many calls wait for it.
    Full {
        waiting: usize,
    },
    /// The call waited too long for its turn.
    Queued {
        waited: Duration,
    },
    /// It was started anew between the look at its tools and the call.
    Anew,
    /// It was switched off, changed or removed meanwhile.
    Retired,
}

/// A reason as it may be shown.
pub fn clean(reason: &str) -> String {
    let printable = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut clean: String = printable.take(REASON_CHARS_MAX).collect();
    clean.truncate(clean.trim_end().len());
    clean
}

impl Trouble {
    /// As the caller gets it.
    pub fn to_fault(&self, slug: &str) -> Fault {
        let (code, message) = match self {
            Trouble::Upstream(UpstreamError::Answered(fault)) => return fault.clone(),
            Trouble::Upstream(UpstreamError::Unreachable(why)) => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" cannot be reached: {}. Check its command or address; the hub tries again at the next call.",
                    clean(why)
                ),
            ),
            Trouble::Upstream(UpstreamError::Unauthorized(why)) => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" wants credentials: {}. Give it some in its row (headers_env, env_from), or sign in (hearth mcp sign-in {slug}).",
                    clean(why)
                ),
            ),
            Trouble::Upstream(UpstreamError::Timeout(after)) => (
                ErrorCode::Timeout,
                format!(
                    "The MCP server \"{slug}\" did not answer within {} s. Try again, or give it longer (call_s).",
                    after.as_secs_f32().ceil()
                ),
            ),
            Trouble::Upstream(UpstreamError::Gone(why)) => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" went away during the call: {}. Whether it had done its work is not known; it is started again at the next call.",
                    clean(why)
                ),
            ),
            Trouble::Upstream(UpstreamError::Garbage(why)) => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" says what is not MCP: {}. Check that its command prints nothing else on its standard output.",
                    clean(why)
                ),
            ),
            Trouble::Broken { why, .. } => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" does not work: {}. It is tried again in a moment; mcp_servers.status shows how it is.",
                    clean(why)
                ),
            ),
            Trouble::Starting { waited, why } => {
                let why = why.as_ref().map(|why| format!(" ({})", clean(why))).unwrap_or_default();
                let waited = waited.as_secs_f32();
                (
                    ErrorCode::Offline,
                    format!(
                        "The MCP server \"{slug}\" has not become ready within {waited:.1} s{why}. Try again in a moment."
                    ),
                )
            }
            Trouble::Full { waiting } => (
                ErrorCode::RateLimited,
                format!(
                    "{waiting} calls wait for the MCP server \"{slug}\" already. Try again in a moment, or allow it more at once (max_calls)."
                ),
            ),
            Trouble::Queued { waited } => (
                ErrorCode::RateLimited,
                format!(
                    "The MCP server \"{slug}\" was busy with other calls for {:.1} s. Try again in a moment, or allow it more at once (max_calls).",
                    waited.as_secs_f32()
                ),
            ),
            Trouble::Anew => (
                ErrorCode::Offline,
                format!(
                    "The MCP server \"{slug}\" was started anew just before the call, which was not made. Try again."
                ),
            ),
            Trouble::Retired => (
                ErrorCode::Offline,
                format!("The MCP server \"{slug}\" was switched off, changed or removed while the call ran."),
            ),
        };
        let retry_after_ms = match self {
            Trouble::Broken { retry_after, .. } => Some(whole_ms(*retry_after)),
            _ => None,
        };
        let retryable = !matches!(self, Trouble::Retired | Trouble::Upstream(UpstreamError::Unauthorized(_)));
        ErrorBody { retryable, retry_after_ms, ..ErrorBody::new(code, message) }.into()
    }

    /// The same in a few words, for the list of servers.
    pub fn in_short(&self) -> String {
        match self {
            Trouble::Upstream(error) => clean(&error.to_string()),
            Trouble::Broken { why, .. } => clean(why),
            Trouble::Starting { waited, .. } => format!("not ready within {:.1} s", waited.as_secs_f32()),
            Trouble::Full { .. } | Trouble::Queued { .. } => "busy with other calls".into(),
            Trouble::Anew => "started anew just now".into(),
            Trouble::Retired => "switched off, changed or removed".into(),
        }
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Trouble {
        Trouble::Upstream(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_which_server_and_what_to_try() {
        let long = format!("it ended with 1\x1b[2J{}", "x".repeat(1_000));
        let faults = [
            Trouble::Upstream(UpstreamError::Unreachable(long.clone())),
            Trouble::Upstream(UpstreamError::Garbage(long.clone())),
            Trouble::Broken { why: long.into(), retry_after: Duration::from_millis(700) },
            Trouble::Starting { waited: Duration::from_millis(1500), why: None },
            Trouble::Full { waiting: 256 },
        ];
        for fault in faults.map(|trouble| trouble.to_fault("files")) {
            let message = &fault.error.message;
            assert!(message.contains("\"files\"") && message.len() < 700, "{message}");
            assert!(!message.contains('\x1b') && fault.error.retryable, "{message}");
        }
        let own = Fault::of_rpc(-32602, "no such path", None);
        assert_eq!(Trouble::Upstream(UpstreamError::Answered(own.clone())).to_fault("files"), own, "as it was said");
    }
}
