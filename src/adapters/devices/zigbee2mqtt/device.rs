//! A device that Zigbee2MQTT has, as the state machine keeps it. Knows no topic but its own.

use std::collections::VecDeque;

use super::evidence::Believed;
use super::listed::Listed;
use super::order::{Command, Task};

/// A device with what is under way for it.
pub struct Device {
    pub listed: Listed,
    pub is_optimistic: bool,
    pub is_logged: bool,
    /// The first is under way; one at a time, for of two nobody could tell which was done.
    pub commands: VecDeque<Command>,
    /// Its state was published since the list came, whole as Zigbee2MQTT's memory of it is.
    pub is_whole: bool,
    /// Its state was published, or kept on the broker, since somebody listens again.
    pub is_heard: bool,
    /// It was asked for its state because nobody had listened: what comes back is old news.
    pub is_first_read: bool,
}

impl Device {
    pub fn believed(&self) -> Believed<'_> {
        Believed {
            capabilities: &self.listed.info.capabilities,
            state: &self.listed.info.state,
            is_logged: self.is_logged,
            is_optimistic: self.is_optimistic,
            is_tuya: self.listed.is_tuya,
        }
    }

    pub fn name(&self) -> &str {
        &self.listed.topic
    }

    pub fn is_away(&self) -> bool {
        self.listed.info.available == Some(false)
    }

    /// Whether the command sets nothing that the device has. A property that it has not (`transition`) may go with others; alone,
    /// nobody would tell what became of it.
    pub fn has_nothing_of(&self, command: &Command) -> bool {
        let Task::Set { set, .. } = &command.task else { return false };
        !self.listed.info.capabilities.iter().any(|capability| set.contains_key(&*capability.property))
    }
}
