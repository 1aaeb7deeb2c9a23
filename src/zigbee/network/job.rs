//! Who waits for the end of an exchange. Holds no state.

use crate::zigbee::types::Ieee;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Nobody,
    /// A part of the `round`th go at a step of an interview.
    Interview {
        ieee: Ieee,
        round: u32,
        part: u16,
    },
    /// A command (or a read) to one target of a job.
    Set {
        job: u64,
        target: u16,
        part: SetPart,
    },
    Read {
        job: u64,
    },
    /// Part of any other job.
    Job {
        job: u64,
        part: u16,
    },
    /// It is told that there may be new firmware.
    Firmware {
        ieee: Ieee,
    },
    Ping {
        ieee: Ieee,
    },
    /// A page of a router's table of neighbours, or of routes.
    Map {
        ieee: Ieee,
        routes: bool,
    },
    /// Who has this network address.
    Who {
        nwk: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetPart {
    Command(u16),
    Read { round: u16, read: u16 },
}
