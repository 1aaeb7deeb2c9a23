//! Why somebody is not let in, in words for whoever stands at the door. Says nothing that helps to guess.

use std::time::Duration;

use crate::auth::password::Busy;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::whole_ms;
use crate::store::{ReadError, WriteError};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this hub asks who you are: show a token (Authorization: Bearer hth_…); `hearth login` gets one")]
    NoToken,
    #[error("this token opens nothing: it is mistyped, or was revoked; `hearth login` gets a new one")]
    WrongToken,
    #[error("this token has expired; `hearth login` gets a new one")]
    ExpiredToken,
    #[error("this account is switched off; an owner can switch it on again")]
    Disabled,
    #[error("this ticket is not good (any more): each is good once, for 30 s")]
    WrongTicket,
    #[error("the name or the password is wrong")]
    WrongPassword,
    #[error("this is not the code; the hub's console and log show it")]
    WrongCode,
    #[error("no code is good at the moment; the hub's console and log show a new one (at most one a minute)")]
    NoCode,
    #[error("this hub is not to be claimed: {0}")]
    NotClaimable(&'static str),
    #[error("too many tries; wait a little")]
    TooMany { wait: Duration },
    #[error(transparent)]
    Busy(#[from] Busy),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be as things are.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Write(#[from] WriteError),
}

impl Refused {
    /// As every door says it.
    pub fn to_body(&self) -> ErrorBody {
        let code = match self {
            Refused::NoToken
            | Refused::WrongToken
            | Refused::ExpiredToken
            | Refused::Disabled
            | Refused::WrongTicket
            | Refused::WrongPassword => ErrorCode::Unauthenticated,
            Refused::WrongCode | Refused::NoCode => ErrorCode::Forbidden,
            Refused::NotClaimable(_) | Refused::Conflict(_) => ErrorCode::Conflict,
            Refused::TooMany { .. } | Refused::Busy(_) => ErrorCode::RateLimited,
            Refused::Invalid(_) => ErrorCode::BadRequest,
            Refused::Read(_) => ErrorCode::Internal,
            Refused::Write(error) => return error.to_body(),
        };
        let retry_after_ms = match self {
            Refused::TooMany { wait } => Some(whole_ms(*wait)),
            Refused::Busy(_) => Some(2_000),
            _ => None,
        };
        let retryable = retry_after_ms.is_some() || matches!(self, Refused::Read(_));
        ErrorBody { retryable, retry_after_ms, ..ErrorBody::new(code, self.to_string()) }
    }
}
