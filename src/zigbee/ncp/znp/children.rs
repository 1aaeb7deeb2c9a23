//! Sleepy devices that have gone to another parent without the stick having heard of it. Z-Stack keeps them in its table of
//! children, holds their messages for them until they expire (0xf0), and looks for no route, so they would never be reached again.
//! Here is kept who is suspected, and who was let go on suspicion. Knows no line.

use std::collections::{BTreeMap, BTreeSet};

use crate::zigbee::ncp::SendStatus;
use crate::zigbee::types::{Ieee, Nwk};

/// A stick has room for some fifty children; suspects beyond that are forgotten, the lowest address first.
const CHILDREN_MAX: usize = 64;

/// A child that was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub ieee: Ieee,
    /// Z-Stack's `nodeRelation`: 1 to 4 are children.
    pub relation: u8,
}

#[derive(Debug, Default)]
pub struct Children {
    suspects: BTreeSet<Nwk>,
    let_go: BTreeMap<Nwk, Child>,
}

impl Children {
    /// How a message to a device fared. `Some`: it was let go in vain, and the stick has to take it back.
    pub fn heard_of(&mut self, nwk: Nwk, status: SendStatus) -> Option<Child> {
        match status {
            SendStatus::Delivered => {
                self.suspects.remove(&nwk);
                self.let_go.remove(&nwk);
                None
            }
            SendStatus::Expired => {
                if self.suspects.len() >= CHILDREN_MAX {
                    self.suspects.pop_first();
                }
                self.suspects.insert(nwk);
                self.let_go.remove(&nwk)
            }
            SendStatus::NoAck | SendStatus::NoRoute => self.let_go.remove(&nwk),
            SendStatus::Busy | SendStatus::RadioDown | SendStatus::Refused(_) => None,
        }
    }

    /// A message to it has expired, so a search for a route must begin with letting it go. Says so once for each such message.
    pub fn take_suspect(&mut self, nwk: Nwk) -> bool {
        self.suspects.remove(&nwk)
    }

    pub fn let_go(&mut self, nwk: Nwk, child: Child) {
        if self.let_go.len() >= CHILDREN_MAX {
            self.let_go.pop_first();
        }
        self.let_go.insert(nwk, child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_let_go_in_vain_is_taken_back_once() {
        let (nwk, child) = (Nwk(0x1234), Child { ieee: Ieee(7), relation: 1 });
        let mut children = Children::default();
        assert!(!children.take_suspect(nwk));
        assert_eq!(children.heard_of(nwk, SendStatus::Expired), None);
        assert!(children.take_suspect(nwk));
        assert!(!children.take_suspect(nwk));
        children.let_go(nwk, child);
        assert_eq!(children.heard_of(nwk, SendStatus::Busy), None, "that says nothing of it");
        assert_eq!(children.heard_of(nwk, SendStatus::NoRoute), Some(child));
        assert_eq!(children.heard_of(nwk, SendStatus::NoRoute), None);
        // It has another parent indeed.
        children.let_go(nwk, child);
        assert_eq!(children.heard_of(nwk, SendStatus::Delivered), None);
        assert_eq!(children.heard_of(nwk, SendStatus::NoRoute), None);
        for nwk in 0..1_000 {
            children.heard_of(Nwk(nwk), SendStatus::Expired);
            children.let_go(Nwk(nwk), child);
        }
        assert_eq!((children.suspects.len(), children.let_go.len()), (CHILDREN_MAX, CHILDREN_MAX));
    }
}
