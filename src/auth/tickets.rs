//! Tickets: what a browser shows in the handshake of a WebSocket, where it can set no header. Good once and for half a
//! minute. Pure: time comes in. Keeps a ticket's hash and who got it; whether they may still come in is asked again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::token::{self, Hash};
use crate::common::who::Principal;

/// How long a ticket is good.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// Tickets that nobody has used yet; past it the oldest goes.
pub const TICKETS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Tickets {
    open: HashMap<Hash, Ticket>,
}

#[derive(Debug)]
struct Ticket {
    who: Arc<Principal>,
    ends_at: Instant,
}

impl Tickets {
    /// A ticket for `who`: 43 characters of base64url.
    pub fn issue(&mut self, now: Instant, who: Arc<Principal>) -> String {
        self.open.retain(|_, ticket| now < ticket.ends_at);
        if self.open.len() >= TICKETS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, ticket)| ticket.ends_at).map(|(hash, _)| *hash);
            self.open.remove(&oldest.expect("a full table has an entry"));
        }
        let ticket = token::chance();
        self.open.insert(token::hash(&ticket), Ticket { who, ends_at: now + TICKET_LIFE });
        ticket
    }

    /// Whoever got this ticket, once.
    pub fn redeem(&mut self, now: Instant, ticket: &str) -> Option<Arc<Principal>> {
        if !token::is_chance(ticket) {
            return None;
        }
        let found = self.open.remove(&token::hash(ticket))?;
        (now < found.ends_at).then_some(found.who)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;
    use crate::common::who::Door;

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let who = Arc::new(Principal::house(Door::Rest));
        let (one, other) = (tickets.issue(now, who.clone()), tickets.issue(now, who.clone()));
        assert_eq!(tickets.redeem(now, &one), Some(who.clone()));
        assert_eq!(tickets.redeem(now, &one), None);
        assert_eq!(tickets.redeem(now + TICKET_LIFE, &other), None);
        for bad in ["", "x", &"x".repeat(1 << 20)] {
            assert_eq!(tickets.redeem(now, bad), None);
        }
    }

    #[test]
    fn many_tickets_drop_the_oldest() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let who = Arc::new(Principal::house(Door::Rest));
        let first = tickets.issue(now, who.clone());
        let later = now + Duration::from_secs(1);
        let rest: Vec<_> = (0..TICKETS_MAX).map(|_| tickets.issue(later, who.clone())).collect();
        assert_eq!((tickets.open.len(), tickets.redeem(later, &first)), (TICKETS_MAX, None));
        assert!(rest.iter().all(|ticket| tickets.redeem(later, ticket).is_some()));
    }
}
