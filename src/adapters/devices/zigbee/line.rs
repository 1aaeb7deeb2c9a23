//! The line to a stick that is a program: no port and no thread, but the same machine at its end. Reads the clock and decides
//! nothing.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::adapters::devices::zigbee::{Send, now};
use crate::zigbee::driver::News;
use crate::zigbee::host::{Host, HostCommand};
use crate::zigbee::machine::Machine;
use crate::zigbee::ncp::Transmit;
use crate::zigbee::network::Event;
use crate::zigbee::sim::Simulator;

/// Commands that wait for the host.
const COMMANDS_LEN: usize = 1024;

/// News that nobody has fetched.
const NEWS_LEN: usize = 1024;

/// Nothing is due: it is looked at all the same.
const IDLE: Duration = Duration::from_secs(60);

/// Runs until the news are not fetched any more.
pub fn spawn(host: Host, simulator: Simulator) -> (Send, mpsc::Receiver<News<Event>>) {
    let (commands, inbox) = mpsc::channel(COMMANDS_LEN);
    let (news, outbox) = mpsc::channel(NEWS_LEN);
    tokio::spawn(run(host, simulator, inbox, news));
    (Box::new(move |command| commands.try_send(command).is_ok()), outbox)
}

async fn run(
    mut host: Host,
    mut simulator: Simulator,
    mut inbox: mpsc::Receiver<HostCommand>,
    news: mpsc::Sender<News<Event>>,
) {
    host.handle_open(now());
    loop {
        exchange(&mut host, &mut simulator);
        while let Some(event) = host.poll_event() {
            if news.send(News::Event(event)).await.is_err() {
                return;
            }
        }
        let due = [host.poll_timeout(), simulator.poll_timeout()].into_iter().flatten().min();
        let pause = due.map_or(IDLE, |due| due.saturating_duration_since(now()));
        tokio::select! {
            command = inbox.recv() => match command {
                Some(command) => host.handle_command(now(), command),
                None => return,
            },
            () = tokio::time::sleep(pause) => {
                let now = now();
                simulator.handle_timeout(now);
                host.handle_timeout(now);
            }
            () = news.closed() => return,
        }
    }
}

/// Carries bytes until neither end has any.
fn exchange(host: &mut Host, simulator: &mut Simulator) {
    loop {
        let now: Instant = now();
        let mut moved = false;
        while let Some(transmit) = host.poll_transmit() {
            moved = true;
            match transmit {
                Transmit::Bytes(bytes) => simulator.handle_bytes(now, &bytes),
                Transmit::Lines { .. } => {}
                Transmit::Reopen { .. } => {
                    simulator.handle_closed(now);
                    host.handle_closed(now);
                    host.handle_open(now);
                }
            }
        }
        while let Some(bytes) = simulator.poll_transmit() {
            moved = true;
            host.handle_bytes(now, &bytes);
        }
        if !moved {
            return;
        }
    }
}
