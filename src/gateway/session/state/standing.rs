//! Who a session's client is to the hub: somebody who was let in, or a stranger who has a few seconds to say so. Decides
//! what a stranger may do; whether somebody may come in, the gate does.

use std::time::{Duration, Instant};

use crate::auth::Pass;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::secret::Secret;
use crate::gateway::session::close;
use crate::gateway::session::state::{Action, Session};
use crate::gateway::session::wire;

/// How long a stranger may stay.
pub const AUTH_WITHIN: Duration = Duration::from_secs(5);

/// Wrong tokens after which a client is not listened to any more.
const WRONG_MAX: u8 = 3;

/// What a stranger may ask for.
const FOR_STRANGERS: [&str; 3] = ["auth", "hello", "ping"];

/// What a client shows to be let in.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Token(Secret),
    Ticket(Secret),
}

/// See the module.
#[derive(Debug)]
pub enum Standing {
    /// Let in, where there is an end to it until then.
    In { until: Option<Instant> },
    /// To be gone by then.
    Stranger { by: Instant },
}

impl Standing {
    /// When it ends by itself.
    pub fn ends_at(&self) -> Option<Instant> {
        match *self {
            Standing::In { until } => until,
            Standing::Stranger { by } => Some(by),
        }
    }
}

impl Session {
    /// The same session with a client that nobody has let in.
    pub fn with_stranger(mut self, by: Instant) -> Session {
        self.standing = Standing::Stranger { by };
        self
    }

    /// Whether the client still has to say who it is.
    pub fn is_stranger(&self) -> bool {
        matches!(self.standing, Standing::Stranger { .. })
    }

    /// Until when the client is let in.
    pub fn let_in_until(&self) -> Option<Instant> {
        self.standing.ends_at()
    }

    /// The client is let in; `None`: without an end.
    pub fn let_in(&mut self, until: Option<Instant>) {
        self.standing = Standing::In { until };
    }

    /// The error of an action that a stranger may not ask for.
    pub(super) fn turned_away(&self, action: &str) -> Option<ErrorBody> {
        if !self.is_stranger() || FOR_STRANGERS.contains(&action) {
            return None;
        }
        let text = "this hub asks who you are: say `auth` with a token or a ticket first";
        Some(ErrorBody::new(ErrorCode::Unauthenticated, text))
    }

    pub(super) fn auth(&mut self, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let shown = match wire::payload(frame)? {
            wire::Auth::Token { token } => Shown::Token(Secret::new(token)),
            wire::Auth::Ticket { ticket } => Shown::Ticket(Secret::new(ticket)),
        };
        let request_id = frame.request_id.as_deref().map(ToOwned::to_owned);
        self.actions.push_back(Action::Authenticate { request_id, shown });
        Ok(())
    }

    /// What the gate says to an [`Action::Authenticate`]. `user`: whose the session is by now, unless it is the house's or a
    /// stranger's. True: from now on it is that of the pass.
    pub fn handle_authenticated(
        &mut self,
        id: Option<&str>,
        user: Option<&str>,
        answer: Result<(&Pass, Option<Instant>), ErrorBody>,
    ) -> bool {
        match answer {
            Ok((pass, _)) if user.is_some_and(|user| user != &*pass.who.user) => {
                let text = "this connection is somebody else's already; open a new one";
                self.error(id, ErrorBody::new(ErrorCode::Conflict, text));
                false
            }
            Ok((pass, until)) => {
                self.let_in(until);
                let who = &pass.who;
                let rooms = who.rooms.as_deref().map(|rooms| rooms.iter().map(|room| &**room).collect());
                let (user, role, expires_at_ms) = (&*who.user, who.role, pass.expires_at_ms);
                self.complete(id, &wire::metadata(&wire::AuthMetadata { user, role, rooms, expires_at_ms }));
                true
            }
            Err(error) => {
                // What is the hub's own trouble is no guess.
                self.wrong_tokens += u8::from(error.code == ErrorCode::Unauthenticated);
                self.error(id, error);
                if self.wrong_tokens >= WRONG_MAX {
                    self.close(close::UNAUTHENTICATED);
                }
                false
            }
        }
    }

    /// The client is not let in any more: its token was revoked or has ended, or the door was closed.
    pub fn handle_void(&mut self, now: Instant) {
        if std::mem::take(&mut self.resumable) {
            self.actions.push_back(Action::Unregister);
        }
        self.abandon(now);
        self.close(close::UNAUTHENTICATED);
    }
}
