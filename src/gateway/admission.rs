//! Whether a socket may stay: how many there are, how many of them from one address, and whether the caller is of the local
//! network. Pure: knows addresses and counts, never a socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::common::config::Gateway;
use crate::net::lan::Lan;

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the hub has all the connections it takes (gateway.max_connections); try again soon")]
    Full,
    #[error("this address has all the connections it may have (gateway.max_connections_per_address); try again soon")]
    AddressFull,
    #[error("the hub answers its local network only (gateway.lan_only)")]
    NotLan,
}

/// Keeps the count of who is in.
#[derive(Debug)]
pub struct Admission {
    lan: Lan,
    open: Arc<Mutex<Open>>,
}

impl Admission {
    pub fn new(lan: Lan) -> Admission {
        Admission { lan, open: Arc::default() }
    }

    /// Lets a caller in, for as long as the permit is kept. Settings are those of now: a changed cap holds for the next
    /// caller and closes nobody's connection.
    pub fn admit(&mut self, peer: IpAddr, settings: &Gateway, now: Instant) -> Result<Permit, Refusal> {
        let address = peer.to_canonical();
        if settings.lan_only && !self.lan.contains(address, now) {
            return Err(Refusal::NotLan);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= settings.max_connections {
            return Err(Refusal::Full);
        }
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= settings.max_connections_per_address && !address.is_loopback() {
            return Err(Refusal::AddressFull);
        }
        open.total += 1;
        open.by_address.insert(address, of_address + 1);
        Ok(Permit { open: self.open.clone(), address })
    }

    /// How many are in now.
    pub fn total(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place taken. Whoever owns the socket owns this; dropped, the place is free.
#[derive(Debug)]
pub struct Permit {
    open: Arc<Mutex<Open>>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        let Entry::Occupied(mut of_address) = open.by_address.entry(self.address) else {
            unreachable!("an address with a permit is counted")
        };
        *of_address.get_mut() -= 1;
        if *of_address.get() == 0 {
            of_address.remove();
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    fn settings(total: usize, per_address: usize, lan_only: bool) -> Gateway {
        Gateway { max_connections: total, max_connections_per_address: per_address, lan_only, ..Gateway::default() }
    }

    fn admission() -> Admission {
        Admission::new(Lan::reading(Vec::new))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_caps_hold_and_places_come_back() {
        let (mut admission, settings, now) = (admission(), settings(3, 2, true), Instant::now());
        let mut admit = |address| admission.admit(ip(address), &settings, now);
        let first = admit("192.168.1.5").expect("room");
        let _second = admit("::ffff:192.168.1.5").expect("room");
        assert_eq!(admit("192.168.1.5").unwrap_err(), Refusal::AddressFull);
        let _third = admit("192.168.1.6").expect("room");
        assert_eq!(admit("192.168.1.7").unwrap_err(), Refusal::Full);
        drop(first);
        let _again = admit("192.168.1.5").expect("room again");
        assert_eq!(admission.total(), 3);
    }

    #[test]
    fn loopback_is_held_by_the_total_only() {
        let (mut admission, settings, now) = (admission(), settings(5, 1, true), Instant::now());
        let permits: Vec<Permit> =
            (0..5).map(|_| admission.admit(ip("127.0.0.1"), &settings, now).expect("room")).collect();
        assert_eq!(admission.admit(ip("::1"), &settings, now).unwrap_err(), Refusal::Full);
        drop(permits);
        assert_eq!(admission.total(), 0);
        assert!(admission.open.lock().expect("whole").by_address.is_empty(), "no address is remembered for ever");
    }

    #[test]
    fn strangers_stay_out_while_lan_only() {
        let now = Instant::now();
        let mut admission = admission();
        for stranger in ["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert_eq!(admission.admit(ip(stranger), &settings(9, 9, true), now).unwrap_err(), Refusal::NotLan);
            admission.admit(ip(stranger), &settings(9, 9, false), now).expect("anybody");
        }
        admission.admit(ip("fe80::1"), &settings(9, 9, true), now).expect("a neighbour");
    }
}
