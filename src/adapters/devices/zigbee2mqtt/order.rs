//! What is under way for one device: a command or a question, of its own or of its group. Knows no device.

use std::time::Instant;

use serde_json::{Map, Value};

use super::evidence::Watch;
use super::out::Ticket;

/// One command, or question, for one device.
pub struct Command {
    pub ticket: Ticket,
    pub task: Task,
    pub asked_at: Instant,
    /// `None`: it waits for those before it.
    pub watch: Option<Watch>,
}

pub enum Task {
    /// The target of this number among those of its ticket.
    Set {
        slot: usize,
        set: Map<String, Value>,
    },
    /// The group was sent it.
    Member {
        slot: usize,
        group: u16,
    },
    Read {
        properties: Vec<Box<str>>,
    },
}

impl Command {
    /// When it is to be looked at; now, where it has not begun.
    pub fn wakes_at(&self) -> Instant {
        self.watch.as_ref().map_or(self.asked_at, Watch::wakes_at)
    }
}
