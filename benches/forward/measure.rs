//! The measurements: each puts a load on somebody who forwards and gives back plain figures. Judges nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::client::{Client, PATIENCE, Seen, Speech};
use crate::clock::{now_ns, sleep_until};
use crate::process::{Process, machine_busy_ns, own_cpu_ns};
use crate::provider::{Plan, Provider, runtime};

/// From the requests until the window opens, in which the streams find their rhythm.
const WARM_UP: Duration = Duration::from_millis(700);

/// Connections that are opened at a time.
const OPENING_AT_ONCE: usize = 64;

/// Somebody who forwards.
pub struct Target<'a> {
    pub name: &'static str,
    pub address: SocketAddr,
    pub speech: Speech,
    /// Absent where nobody stands between.
    pub process: Option<&'a Process>,
}

/// A load at a pace.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub streams: usize,
    pub interval: Duration,
}

/// What was seen in one window, or in several of the same load.
#[derive(Debug, Default)]
pub struct Window {
    pub delays_ns: Vec<u64>,
    pub time_ns: u64,
    pub cpu_ns: u64,
    /// Of the thread that writes and of the one that reads.
    pub provider_cpu_ns: u64,
    pub client_cpu_ns: u64,
    /// Of whoever else is on this machine.
    pub others_cpu_ns: u64,
    /// The largest seen, bytes.
    pub pss_bytes: u64,
}

impl Window {
    pub fn add(&mut self, other: Window) {
        self.delays_ns.extend(other.delays_ns);
        self.time_ns += other.time_ns;
        self.cpu_ns += other.cpu_ns;
        self.provider_cpu_ns += other.provider_cpu_ns;
        self.client_cpu_ns += other.client_cpu_ns;
        self.others_cpu_ns += other.others_cpu_ns;
        self.pss_bytes = self.pss_bytes.max(other.pss_bytes);
    }

    pub fn chunks_per_s(&self) -> f64 {
        self.delays_ns.len() as f64 * 1e9 / self.time_ns as f64
    }

    pub fn cpu_us_per_chunk(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.delays_ns.len() as f64
    }

    /// How much of one processor something took.
    pub fn share(&self, cpu_ns: u64) -> f64 {
        cpu_ns as f64 / self.time_ns as f64
    }
}

/// The smallest figure that `q` (0.0 to 1.0) of all stay within. Sorts.
pub fn quantile(figures: &mut [u64], q: f64) -> u64 {
    assert!(!figures.is_empty(), "something was measured");
    figures.sort_unstable();
    figures[((figures.len() as f64 * q).ceil() as usize).clamp(1, figures.len()) - 1]
}

pub fn paced(target: &Target<'_>, provider: &Provider, pace: Pace, time: Duration) -> Window {
    let Pace { streams, interval } = pace;
    window(target, provider, streams, time, |until_ns| Plan::Paced { interval, streams, until_ns })
}

pub fn flat_out(target: &Target<'_>, provider: &Provider, streams: usize, time: Duration) -> Window {
    window(target, provider, streams, time, |until_ns| Plan::FlatOut { until_ns })
}

/// Runs `streams` at once and looks at them for some time. Fails where a single chunk is lost.
fn window(
    target: &Target<'_>,
    provider: &Provider,
    streams: usize,
    time: Duration,
    plan: impl FnOnce(u64) -> Plan,
) -> Window {
    let (ready, are_ready) = std::sync::mpsc::channel();
    let (go, told) = oneshot::channel();
    let (address, speech) = (target.address, target.speech);
    let clients = std::thread::Builder::new().name("clients".into()).spawn(move || {
        runtime().block_on(async {
            let clients = open(address, speech, streams).await;
            ready.send(()).expect("the starter waits");
            let (from_ns, until_ns) = told.await.expect("the starter says so");
            watch(clients, from_ns, until_ns).await
        })
    });
    let clients = clients.expect("a thread");
    are_ready.recv().expect("all could connect");
    let from_ns = now_ns() + WARM_UP.as_nanos() as u64;
    let until_ns = from_ns + time.as_nanos() as u64;
    provider.set(plan(until_ns));
    go.send((from_ns, until_ns)).expect("the clients wait");
    sleep_until(from_ns);
    let before = Usage::now(target);
    sleep_until(until_ns);
    let after = Usage::now(target);
    let pss_bytes = target.process.map_or(0, Process::pss_bytes);
    let (delays_ns, received) = clients.join().expect("the clients could read all");
    assert_eq!(received, provider.chunks(), "chunks were lost by {}", target.name);
    let own_ns = after.of_target + after.of_provider + after.of_clients;
    let own_ns = own_ns - before.of_target - before.of_provider - before.of_clients;
    Window {
        delays_ns,
        time_ns: after.at - before.at,
        cpu_ns: after.of_target - before.of_target,
        provider_cpu_ns: after.of_provider - before.of_provider,
        client_cpu_ns: after.of_clients - before.of_clients,
        others_cpu_ns: (after.of_machine - before.of_machine).saturating_sub(own_ns),
        pss_bytes,
    }
}

/// CPU time used so far, nanoseconds.
struct Usage {
    at: u64,
    of_target: u64,
    of_provider: u64,
    of_clients: u64,
    of_machine: u64,
}

impl Usage {
    fn now(target: &Target<'_>) -> Usage {
        Usage {
            at: now_ns(),
            of_target: target.process.map_or(0, Process::cpu_ns),
            of_provider: own_cpu_ns("provider"),
            of_clients: own_cpu_ns("clients"),
            of_machine: machine_busy_ns(),
        }
    }
}

/// Opens so many connections.
async fn open(address: SocketAddr, speech: Speech, count: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let batch = (count - clients.len()).min(OPENING_AT_ONCE);
        let opening: Vec<_> = (0..batch).map(|_| tokio::spawn(Client::open(address, speech))).collect();
        for one in opening {
            let opened = tokio::time::timeout(PATIENCE, one).await.expect("in time");
            clients.push(opened.expect("no panic").expect("a connection"));
        }
    }
    clients
}

/// Asks on each connection and reads all to the end. The delays within the window, and how many chunks came in all.
async fn watch(clients: Vec<Client>, from_ns: u64, until_ns: u64) -> (Vec<u64>, u64) {
    let streams: Vec<_> = clients.into_iter().map(|client| tokio::spawn(read_all(client, from_ns, until_ns))).collect();
    let by = Duration::from_nanos(until_ns - now_ns()) + PATIENCE;
    let all = tokio::time::timeout(by, futures_util::future::join_all(streams)).await.expect("in time");
    let (mut delays_ns, mut received) = (Vec::new(), 0);
    for stream in all {
        let (of_stream, count) = stream.expect("no panic").expect("a whole answer");
        delays_ns.extend(of_stream);
        received += count;
    }
    (delays_ns, received)
}

async fn read_all(mut client: Client, from_ns: u64, until_ns: u64) -> std::io::Result<(Vec<u64>, u64)> {
    let (mut delays_ns, mut received) = (Vec::new(), 0);
    client.ask().await?;
    let mut see = |seen: Seen| {
        received += 1;
        if (from_ns..until_ns).contains(&seen.read_ns) {
            delays_ns.push(seen.read_ns.saturating_sub(seen.written_ns));
        }
    };
    while client.read(&mut see).await? {}
    Ok((delays_ns, received))
}

/// How a client gives a stream up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Sends `cancel` in mid-stream.
    Cancel,
    /// Sends `cancel` before the first token.
    CancelEarly,
    /// Closes its connection in mid-stream.
    Close,
}

/// From the client's word until the provider sees its connection closed, nanoseconds, one stream at a time.
pub fn leave(target: &Target<'_>, provider: &mut Provider, leaving: Leaving, times: usize) -> Vec<u64> {
    let run = async {
        let mut delays_ns = Vec::with_capacity(times);
        for time in 0..times {
            let mut client = Client::open(target.address, target.speech).await?;
            let early = leaving == Leaving::CancelEarly;
            let plan = Plan::Paced { interval: Duration::from_millis(20), streams: 1, until_ns: u64::MAX };
            provider.set(if early { Plan::Silent } else { plan });
            provider.forget_closed();
            client.ask().await?;
            let mut seen = 0;
            while !early && seen < 2 {
                client.read(|_| seen += 1).await?;
            }
            while provider.begun() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // At another moment between two chunks each time.
            tokio::time::sleep(Duration::from_millis(2 + time as u64 * 7 % 17)).await;
            let from_ns = now_ns();
            match leaving {
                Leaving::Close => drop(client),
                Leaving::Cancel | Leaving::CancelEarly => {
                    client.say(r#"{"action":"cancel","payload":{"target":"b"},"request_id":"c"}"#).await?;
                }
            }
            let at_ns = provider.closed(PATIENCE).await.ok_or(std::io::ErrorKind::TimedOut)?;
            delays_ns.push(at_ns - from_ns);
        }
        std::io::Result::Ok(delays_ns)
    };
    runtime().block_on(run).expect("each stream could be given up")
}

/// What each of so many idle WebSockets costs the hub, bytes; `hello` makes them sessions of v2.
pub fn idle(hub: &Process, count: usize, hello: bool) -> f64 {
    let before = hub.pss_bytes();
    let after = runtime().block_on(async {
        let mut clients = open(hub.address, Speech::WebSocket, count).await;
        if hello {
            for client in &mut clients {
                client
                    .say(r#"{"action":"hello","payload":{"protocol":[2]},"request_id":"hello"}"#)
                    .await
                    .expect("sent");
            }
            for client in &mut clients {
                client.hear(b"session_id").await.expect("an answer to hello");
            }
        }
        tokio::time::sleep(WARM_UP).await;
        let after = hub.pss_bytes();
        drop(clients);
        after
    });
    after.saturating_sub(before) as f64 / count as f64
}
