//! Whose turn it is: commands to one device are done in the order in which they were given, commands to others beside them.
//! A command to several devices waits for all of them and holds nobody up who came before. Pure.

use std::collections::{BTreeMap, VecDeque};

use super::source::DeviceId;

/// Commands that may wait for one device. Past it the device does not keep up, and more would be old when they came.
pub(super) const LANE_LEN_MAX: usize = 32;

/// A place in the lanes of some devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    newest: u64,
    lanes: BTreeMap<DeviceId, VecDeque<Ticket>>,
    /// Of whom each ticket is.
    places: BTreeMap<Ticket, Box<[DeviceId]>>,
}

impl Lanes {
    /// A lane with no place, if there is one among these.
    pub fn full<'a>(&self, devices: impl IntoIterator<Item = &'a DeviceId>) -> Option<&'a DeviceId> {
        devices.into_iter().find(|id| self.lanes.get(id).is_some_and(|lane| lane.len() >= LANE_LEN_MAX))
    }

    /// Takes the last place for all of these.
    pub fn enter(&mut self, devices: &[DeviceId]) -> Ticket {
        self.newest += 1;
        let ticket = Ticket(self.newest);
        for id in devices {
            let lane = self.lanes.entry(id.clone()).or_default();
            // A device that is named twice has one place.
            if lane.back() != Some(&ticket) {
                lane.push_back(ticket);
            }
        }
        self.places.insert(ticket, devices.into());
        ticket
    }

    /// Whether all devices of this ticket are free for it.
    pub fn is_first(&self, ticket: Ticket) -> bool {
        let Some(devices) = self.places.get(&ticket) else { return false };
        devices.iter().all(|id| self.lanes.get(id).and_then(VecDeque::front) == Some(&ticket))
    }

    /// Gives the places up, wherever they are; the tickets whose turn has come by it.
    pub fn leave(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let mut next = Vec::new();
        for id in self.places.remove(&ticket).unwrap_or_default() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.retain(|place| *place != ticket);
            match lane.front() {
                Some(first) => next.push(*first),
                None => {
                    self.lanes.remove(&id);
                }
            }
        }
        next.sort();
        next.dedup();
        next.retain(|ticket| self.is_first(*ticket));
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> DeviceId {
        DeviceId(format!("0x{number}").into())
    }

    proptest! {
        /// Whoever comes, whoever goes: at each moment every device has one command at most, in the order of arrival, and
        /// somebody's turn it is.
        #[test]
        fn commands_come_in_order_and_nobody_waits_for_ever(
            steps in prop::collection::vec((prop::collection::vec(0_u8..5, 1..5), any::<bool>(), any::<prop::sample::Index>()), 1..60)
        ) {
            let mut lanes = Lanes::default();
            let mut here: Vec<(Ticket, BTreeSet<u8>)> = Vec::new();
            for (devices, leaves, which) in steps {
                if leaves && !here.is_empty() {
                    let (ticket, _) = here.remove(which.index(here.len()));
                    let woken = lanes.leave(ticket);
                    for ticket in woken {
                        prop_assert!(lanes.is_first(ticket));
                    }
                } else {
                    let ids: Vec<_> = devices.iter().copied().map(id).collect();
                    let ticket = lanes.enter(&ids);
                    here.push((ticket, devices.into_iter().collect()));
                }
                for (at, (ticket, devices)) in here.iter().enumerate() {
                    let is_first = here[..at].iter().all(|(_, earlier)| earlier.is_disjoint(devices));
                    prop_assert_eq!(lanes.is_first(*ticket), is_first);
                }
            }
            for (ticket, _) in here {
                lanes.leave(ticket);
            }
            prop_assert!(lanes.lanes.is_empty() && lanes.places.is_empty());
        }
    }

    #[test]
    fn leaving_wakes_exactly_those_whose_turn_it_becomes() {
        let mut lanes = Lanes::default();
        let first = lanes.enter(&[id(1), id(2)]);
        let second = lanes.enter(&[id(1)]);
        let third = lanes.enter(&[id(2), id(1)]);
        assert_eq!((lanes.is_first(first), lanes.is_first(second), lanes.is_first(third)), (true, false, false));
        assert_eq!(lanes.leave(first), [second]);
        assert_eq!(lanes.leave(second), [third]);
        assert_eq!(lanes.leave(third), []);
        assert_eq!(lanes.leave(third), [], "leaving twice is leaving");
        for _ in 0..LANE_LEN_MAX {
            lanes.enter(&[id(3)]);
        }
        assert_eq!(lanes.full(&[id(1), id(3)]), Some(&id(3)));
    }
}
