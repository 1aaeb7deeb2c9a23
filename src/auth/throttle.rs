//! Who has guessed wrong lately, and how long they wait before the next guess. Pure: time comes in. Tokens are not counted
//! here: nobody guesses 256 bits, and a forgotten panel with an old token is not to lock out its neighbours.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong guesses that cost nothing: people mistype. A user's are counted over all addresses, and so there are more.
const FREE_OF_ADDRESS: u32 = 5;
const FREE_OF_USER: u32 = 10;

/// The longest wait. Long enough against guessing, short enough that a stranger cannot keep an owner out for good.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// After so long without a guess all is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// Addresses and users that are remembered; past it the one that was quiet for longest is forgotten.
pub const REMEMBERED_MAX: usize = 1024;

/// Whom a guess is counted against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guesser {
    Address(IpAddr),
    User(Box<str>),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Throttle {
    known: HashMap<Guesser, Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    guesses: u32,
    last_at: Instant,
    free_at: Instant,
}

impl Guesser {
    /// The network that one household gets: a whole IPv4 address, or the first half of an IPv6 one.
    pub fn address(address: IpAddr) -> Guesser {
        Guesser::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => v4,
        })
    }

    fn free(&self) -> u32 {
        match self {
            Guesser::Address(_) => FREE_OF_ADDRESS,
            Guesser::User(_) => FREE_OF_USER,
        }
    }
}

impl Throttle {
    /// Counts a guess before anybody looks whether it is right, so that many at once are counted, too. An error: how long to
    /// wait; then the guess is not to be looked at, and is not counted.
    pub fn guess(&mut self, now: Instant, by: &[Guesser]) -> Result<(), Duration> {
        let waits =
            by.iter().filter_map(|one| self.known.get(one)).map(|known| known.free_at.saturating_duration_since(now));
        if let Some(wait) = waits.max().filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        for one in by {
            self.count(now, one);
        }
        Ok(())
    }

    /// The guess was right.
    pub fn forgive(&mut self, by: &[Guesser]) {
        for one in by {
            self.known.remove(one);
        }
    }

    fn count(&mut self, now: Instant, one: &Guesser) {
        if self.known.len() >= REMEMBERED_MAX && !self.known.contains_key(one) {
            self.make_room(now);
        }
        let fresh = Record { guesses: 0, last_at: now, free_at: now };
        let known = self.known.entry(one.clone()).or_insert(fresh);
        if now.saturating_duration_since(known.last_at) >= FORGET_AFTER {
            *known = fresh;
        }
        known.guesses = known.guesses.saturating_add(1);
        known.last_at = now;
        if let Some(over) = known.guesses.checked_sub(one.free()) {
            known.free_at = now + Duration::from_secs(1 << over.min(6)).min(WAIT_MAX);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.known.retain(|_, known| now.saturating_duration_since(known.last_at) < FORGET_AFTER);
        while self.known.len() >= REMEMBERED_MAX {
            let quietest = self.known.iter().min_by_key(|(_, known)| known.last_at).map(|(one, _)| one.clone());
            self.known.remove(&quietest.expect("a full table has an entry"));
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> Guesser {
        Guesser::address(text.parse().expect("an address"))
    }

    #[test]
    fn a_few_are_free_then_each_waits_twice_as_long_up_to_a_minute() {
        let (mut throttle, mut now, by) = (Throttle::default(), Instant::now(), [address("192.168.1.5")]);
        for _ in 0..FREE_OF_ADDRESS {
            assert_eq!(throttle.guess(now, &by), Ok(()));
        }
        for wait_s in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(throttle.guess(now, &by), Err(wait_s * SECOND));
            now += wait_s * SECOND;
            assert_eq!(throttle.guess(now, &by), Ok(()));
        }
        assert_eq!(throttle.guess(now, &[address("192.168.1.6")]), Ok(()), "others do not wait");
        throttle.forgive(&by);
        assert_eq!(throttle.guess(now, &by), Ok(()));
    }

    #[test]
    fn a_user_is_guarded_against_many_addresses_and_addresses_by_their_household() {
        let (mut throttle, now, user) = (Throttle::default(), Instant::now(), Guesser::User("ann".into()));
        for host in 1..=FREE_OF_USER {
            assert_eq!(throttle.guess(now, &[address(&format!("10.0.0.{host}")), user.clone()]), Ok(()));
        }
        assert_eq!(throttle.guess(now, &[address("10.0.0.99"), user]), Err(SECOND));
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
    }

    #[test]
    fn what_was_long_ago_is_forgotten_and_the_table_stays_small() {
        let (mut throttle, now, by) = (Throttle::default(), Instant::now(), [address("192.168.1.5")]);
        (0..FREE_OF_ADDRESS).for_each(|_| throttle.guess(now, &by).expect("free"));
        let later = now + FORGET_AFTER;
        for _ in 0..FREE_OF_ADDRESS {
            assert_eq!(throttle.guess(later, &by), Ok(()));
        }
        for number in 0..3 * REMEMBERED_MAX {
            let _ = throttle.guess(later + SECOND, &[Guesser::User(format!("u{number}").into())]);
            assert!(throttle.known.len() <= REMEMBERED_MAX);
        }
    }
}
