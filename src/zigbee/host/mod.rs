//! The whole stack as one machine: a stick's protocol below, the network above, nothing between them but their own words. Five
//! verbs, requests in, events out; decides nothing itself.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use crate::zigbee::machine::Machine;
use crate::zigbee::ncp::{Ncp, Transmit};
use crate::zigbee::network::{Event, Network, Request, RequestId, View, WallClock};

/// What a driver's owner asks of the host.
#[derive(Debug, Clone, PartialEq)]
pub enum HostCommand {
    /// Answered by one [`Event::Answer`] with the same id.
    Request { id: RequestId, request: Request },
    /// The clock on the wall, at the start and when it has jumped.
    Clock(WallClock),
    /// All that is not on the disk yet is told now.
    Flush,
}

pub struct Host {
    ncp: Box<dyn Ncp>,
    network: Network,
    events: VecDeque<Event>,
}

impl Host {
    pub fn new(ncp: Box<dyn Ncp>, network: Network) -> Host {
        Host { ncp, network, events: VecDeque::new() }
    }

    /// All devices as they are known now.
    pub fn devices(&self) -> impl Iterator<Item = View> + '_ {
        self.network.devices()
    }

    /// Carries words between the two until neither has any.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut moved = false;
            while let Some(event) = self.ncp.poll_event() {
                self.network.handle_ncp(now, event);
                moved = true;
            }
            while let Some(command) = self.network.poll_command() {
                self.ncp.command(now, command);
                moved = true;
            }
            if !moved {
                break;
            }
        }
        while let Some(event) = self.network.poll_event() {
            self.events.push_back(event);
        }
    }
}

impl Machine for Host {
    type Command = HostCommand;
    type Event = Event;

    fn handle_open(&mut self, now: Instant) {
        self.ncp.handle_open(now);
        self.settle(now);
    }

    fn handle_closed(&mut self, now: Instant) {
        self.ncp.handle_closed(now);
        self.settle(now);
    }

    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.ncp.handle_bytes(now, bytes);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.ncp.poll_timeout().is_some_and(|at| at <= now) {
            self.ncp.handle_timeout(now);
        }
        self.settle(now);
        if self.network.poll_timeout().is_some_and(|at| at <= now) {
            self.network.handle_timeout(now);
        }
        self.settle(now);
    }

    fn handle_command(&mut self, now: Instant, command: HostCommand) {
        match command {
            HostCommand::Request { id, request } => self.network.handle_request(now, id, request),
            HostCommand::Clock(clock) => self.network.set_clock(clock),
            HostCommand::Flush => self.network.handle_shutdown(),
        }
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.ncp.poll_timeout(), self.network.poll_timeout()].into_iter().flatten().min()
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.ncp.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
