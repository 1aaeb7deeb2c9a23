//! What `driver` drives: any sans-IO machine that speaks to a stick over a line of bytes. The host stack is one, and so is a bare
//! [`Ncp`]. Holds no state itself.

use std::time::Instant;

use crate::zigbee::ncp::{Ncp, NcpCommand, NcpEvent, Transmit};

/// The verbs of a sans-IO machine. After each `handle_…` the driver does all that `poll_transmit` gives, in order and at once,
/// then hands on all that `poll_event` gives, then sleeps until `poll_timeout` or until something comes.
pub trait Machine: Send {
    type Command: Send;
    type Event: Send;

    /// The port is open, for the first time or again.
    fn handle_open(&mut self, now: Instant);
    /// The port is gone, or it was closed since the machine asked for [`Transmit::Reopen`]. Not called when the driver ends.
    fn handle_closed(&mut self, now: Instant);
    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn handle_command(&mut self, now: Instant, command: Self::Command);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn poll_event(&mut self) -> Option<Self::Event>;
}

impl Machine for Box<dyn Ncp> {
    type Command = NcpCommand;
    type Event = NcpEvent;

    fn handle_open(&mut self, now: Instant) {
        (**self).handle_open(now);
    }

    fn handle_closed(&mut self, now: Instant) {
        (**self).handle_closed(now);
    }

    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        (**self).handle_bytes(now, bytes);
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn handle_command(&mut self, now: Instant, command: NcpCommand) {
        (**self).command(now, command);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        (**self).poll_transmit()
    }

    fn poll_event(&mut self) -> Option<NcpEvent> {
        (**self).poll_event()
    }
}
