//! What can go wrong, in the words of the wire protocol (`docs/PROTOCOL.md`, "Errors"). Knows no HTTP and no WebSocket:
//! each door puts these codes into its own envelope.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The codes that clients act on. A contract: codes are added and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    BadRequest,
    UnknownAction,
    IdReuse,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    TooLarge,
    RateLimited,
    BudgetExhausted,
    Timeout,
    Cancelled,
    ResumeGap,
    Offline,
    ProviderError,
    ProviderAuth,
    DeviceUnreachable,
    DeviceRejected,
    RadioDown,
    Unsupported,
    Internal,
}

impl fmt::Display for ErrorCode {
    /// The word of the wire, such as `rate_limited`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An error as a client gets it: what, in which words, and whether to try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub code: ErrorCode,
    /// For the owner of the house: what happened, where, what to try.
    pub message: String,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// Milliseconds to wait before trying again, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `resume_gap`: the session as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<serde_json::Value>,
}

impl ErrorBody {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
        ErrorBody { code, message: message.into(), retryable: false, retry_after_ms: None, snapshot: None }
    }
}

/// Why a provider gave no (whole) answer, by what the router can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 401, 403, or no key: only the owner can mend it.
    Auth,
    /// 429: later, or another provider.
    RateLimited,
    /// 402 or 429 `insufficient_quota`: waiting does not help, another provider does.
    QuotaExhausted,
    /// 408, 504 or a deadline of ours.
    Timeout,
    /// 413 or the context is too long.
    TooLarge,
    /// No connection: refused, no route, no name, TLS.
    Unreachable,
    /// Any other 4xx: the request is at fault.
    Rejected,
    /// The adapter or the model cannot do what was asked (a picture, a tool): another one may.
    Unsupported,
    /// 5xx, or an error event in the stream.
    Failed,
    /// The stream ended without its terminator, or broke off.
    CutOff,
    /// What came is not the provider's protocol: HTML, broken JSON, an event over the limit.
    BadStream,
}

/// A provider's failure, with what its owner should read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    pub failure: Failure,
    /// What the provider said, shortened and without secrets.
    pub message: String,
    /// HTTP status, where one came.
    pub status: Option<u16>,
    /// `retry-after`, `retry-after-ms`, or the dialect's own field.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    pub fn new(failure: Failure, message: impl Into<String>) -> ProviderError {
        ProviderError { failure, message: message.into(), status: None, retry_after: None }
    }

    /// The error as a client gets it; `provider` names the row of the config.
    pub fn to_body(&self, provider: &str) -> ErrorBody {
        let (code, retryable) = match self.failure {
            Failure::Auth => (ErrorCode::ProviderAuth, false),
            Failure::RateLimited => (ErrorCode::RateLimited, true),
            Failure::QuotaExhausted => (ErrorCode::BudgetExhausted, false),
            Failure::Timeout => (ErrorCode::Timeout, true),
            Failure::TooLarge => (ErrorCode::TooLarge, false),
            Failure::Unreachable => (ErrorCode::Offline, true),
            Failure::Rejected => (ErrorCode::ProviderError, false),
            Failure::Unsupported => (ErrorCode::Unsupported, false),
            Failure::Failed | Failure::CutOff => (ErrorCode::ProviderError, true),
            Failure::BadStream => (ErrorCode::ProviderError, self.status.is_some_and(|status| status >= 500)),
        };
        ErrorBody {
            retryable,
            retry_after_ms: self.retry_after.map(|wait| wait.as_millis() as u64),
            ..ErrorBody::new(code, format!("{provider}: {}", self.message))
        }
    }
}
