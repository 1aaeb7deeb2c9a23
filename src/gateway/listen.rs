//! The accept loop: takes connections within limits, speaks HTTP/1 on each with a deadline on every wait, and drains at the
//! end. Knows no route; whoever answers is given to [`Listener::serve`].

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::common::config::Config;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::rate::TokenBucket;
use crate::gateway::admission::{Admission, Permit, Refusal};
use crate::gateway::respond::{self, Response};
use crate::gateway::wire::{Patience, Wire};
use crate::net::lan::Lan;

/// From the first moment of a connection, or from the last answer on it, to the last byte of a request's head. So it is
/// also how long a silent socket lives, and an idle kept-alive one.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// For a peer that does not take its answer.
const STALL_DEADLINE: Duration = Duration::from_secs(10);

/// For a peer's goodbye, after ours.
const LINGER_DEADLINE: Duration = Duration::from_secs(1);

/// From the order to stop until what is still open is cut.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The longest head of a request, and what a connection buffers each way, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Connections the kernel holds for us while we are busy.
const BACKLOG_LEN: u32 = 1024;

/// Refused callers who are told why at the same time; over that, they are only cut off.
const FAREWELLS_MAX: usize = 64;

/// What a refused caller is told to wait, milliseconds.
const RETRY_AFTER_MS: u64 = 5_000;

/// The pause after the kernel could not give us a connection (no descriptors, no memory), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Of each kind of trouble at the door, one line a minute is enough.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// How long each wait may be. The defaults are the constants above; tests are less patient.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    pub head: Duration,
    pub stall: Duration,
    pub linger: Duration,
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { head: HEAD_DEADLINE, stall: STALL_DEADLINE, linger: LINGER_DEADLINE, drain: DRAIN_DEADLINE }
    }
}

/// Who asks. Comes with each request, as far as the handler.
#[derive(Debug, Clone)]
pub struct Caller {
    pub peer: SocketAddr,
    /// The address the caller dialled.
    pub local: SocketAddr,
    /// When the head of this request was read.
    pub at: Instant,
    /// The connection's place. A handler that takes the socket over keeps this for as long as the socket.
    pub guard: Arc<Guard>,
}

/// A connection counts as open, and holds up the end of a drain, until this is dropped.
#[derive(Debug)]
pub struct Guard {
    _permit: Permit,
    _alive: mpsc::Sender<Infallible>,
}

/// Why the hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{0} is in use by another program, perhaps another hearth; stop that one (`ss -ltnp` shows who it is) or set \
         another gateway.port"
    )]
    InUse(SocketAddr),
    #[error(
        "ports below 1024 need a permission that this program does not have: set gateway.port of {0} to 1024 or above"
    )]
    Privileged(SocketAddr),
    #[error(
        "{0} is no address of this machine; set gateway.host to one of those that `ip address` shows, or to 0.0.0.0 for all"
    )]
    NotHere(IpAddr),
    #[error("this machine has IPv6 switched off; set gateway.host to 0.0.0.0 instead of {0}")]
    NoIpv6(IpAddr),
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, io::Error),
}

/// A bound socket that nobody answers yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    deadlines: Deadlines,
}

impl Listener {
    /// Binds; `::` takes IPv4 too, port 0 takes a free one. Needs a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Listener, BindError> {
        let bound = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            if address.ip().is_unspecified() && address.is_ipv6() {
                rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
            }
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG_LEN)?;
            let address = socket.local_addr()?;
            Ok(Listener { socket, address, deadlines: Deadlines::default() })
        };
        bound().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::Privileged(address),
            io::ErrorKind::AddrNotAvailable if address.is_ipv6() && address.ip().is_loopback() => {
                BindError::NoIpv6(address.ip())
            }
            io::ErrorKind::AddrNotAvailable => BindError::NotHere(address.ip()),
            _ if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
                BindError::NoIpv6(address.ip())
            }
            _ => BindError::Other(address, error),
        })
    }

    /// With other patience.
    pub fn with_deadlines(self, deadlines: Deadlines) -> Listener {
        Listener { deadlines, ..self }
    }

    /// Where it listens, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` turns true (or its sender is gone), then stops listening at once and waits for what is open.
    /// Gives back how many connections were still open at the deadline; they end with their tasks.
    pub async fn serve<A, F>(
        self,
        config: watch::Receiver<Arc<Config>>,
        mut shutdown: watch::Receiver<bool>,
        answer: A,
    ) -> usize
    where
        A: Fn(Caller, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let Listener { socket, deadlines, .. } = self;
        let (alive, mut all_gone) = mpsc::channel(1);
        let mut door = Door {
            admission: Admission::new(Lan::of_this_machine()),
            config,
            alive,
            patience: Patience { stall: deadlines.stall, linger: deadlines.linger },
            farewells: Arc::default(),
            refusals_log: once_a_minute(),
        };
        let mut accept_log = once_a_minute();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(deadlines.head).max_buf_size(HEAD_BYTES_MAX);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut shutdown) => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some((wire, caller)) = door.admit(stream, peer) {
                        tokio::spawn(converse(
                            http.clone(),
                            wire,
                            caller,
                            shutdown.clone(),
                            deadlines.drain,
                            answer.clone(),
                        ));
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if accept_log.take(now()) {
                        tracing::error!(%error, "cannot take connections; trying again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(socket);
        let Door { admission, alive, .. } = door;
        drop(alive);
        let _ = tokio::time::timeout(deadlines.drain, all_gone.recv()).await;
        admission.total()
    }
}

/// Ends when the order to stop has come.
pub async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// The bare socket of an upgraded connection, and what was read of it beyond the request's head: smaller and faster than
/// hyper's box around it.
pub fn into_socket(upgraded: hyper::upgrade::Upgraded) -> (TcpStream, Bytes) {
    let parts = upgraded.downcast::<TokioIo<Wire>>().expect("this listener puts every connection on a Wire");
    // What was read ahead is a view into the buffer of the whole head, which a copy lets go.
    (parts.io.into_inner().into_stream(), Bytes::copy_from_slice(&parts.read_buf))
}

/// Lets this process have as many open files as the system allows it; each connection is one. Gives back how many.
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// What the accept loop knows while it runs.
struct Door {
    admission: Admission,
    config: watch::Receiver<Arc<Config>>,
    alive: mpsc::Sender<Infallible>,
    patience: Patience,
    /// Refused callers being told why.
    farewells: Arc<AtomicUsize>,
    refusals_log: TokenBucket,
}

impl Door {
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<(Wire, Caller)> {
        // Without it each small frame waits for the ACK of the one before: 40 ms a token.
        let _ = stream.set_nodelay(true);
        let at = now();
        // A peer that is gone already has no address left.
        let local = stream.local_addr().ok()?;
        let wire = Wire::new(stream, self.patience);
        match self.admission.admit(peer.ip(), &self.config.borrow().gateway, at) {
            Ok(permit) => {
                let guard = Arc::new(Guard { _permit: permit, _alive: self.alive.clone() });
                Some((wire, Caller { peer, local, at, guard }))
            }
            Err(refusal) => {
                if self.refusals_log.take(at) {
                    tracing::warn!(%peer, reason = %refusal, "connection refused");
                }
                self.refuse(wire, refusal);
                None
            }
        }
    }

    /// Tells a caller why, beside the loop, unless too many are being told already.
    fn refuse(&self, wire: Wire, refusal: Refusal) {
        if self.farewells.fetch_add(1, Ordering::Relaxed) < FAREWELLS_MAX {
            let farewells = self.farewells.clone();
            tokio::spawn(async move {
                let _ = wire.finish(&farewell(refusal)).await;
                farewells.fetch_sub(1, Ordering::Relaxed);
            });
        } else {
            self.farewells.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A whole HTTP/1.1 answer for a caller whose request is never read.
fn farewell(refusal: Refusal) -> Vec<u8> {
    let (status, error) = match refusal {
        Refusal::Full | Refusal::AddressFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorBody {
                retryable: true,
                retry_after_ms: Some(RETRY_AFTER_MS),
                ..ErrorBody::new(ErrorCode::RateLimited, refusal.to_string())
            },
        ),
        Refusal::NotLan => (StatusCode::FORBIDDEN, ErrorBody::new(ErrorCode::Forbidden, refusal.to_string())),
    };
    let retry_after = error.retry_after_ms.map(|ms| format!("retry-after: {}\r\n", ms / 1000)).unwrap_or_default();
    let body = respond::problem_text(status, &error);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n{retry_after}connection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// One connection, request by request, until it ends, is upgraded, or the drain is over.
async fn converse<A, F>(
    http: http1::Builder,
    wire: Wire,
    caller: Caller,
    mut shutdown: watch::Receiver<bool>,
    drain: Duration,
    answer: A,
) where
    A: Fn(Caller, Request<Incoming>) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    let peer = caller.peer;
    let service = service_fn(move |request| {
        // On the heap, so that the task is small while nobody asks anything.
        let answer = Box::pin(answer(Caller { at: now(), ..caller.clone() }, request));
        async { Ok::<Response, Infallible>(answer.await) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(wire), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(drain, connection).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Errors of `accept` that are a caller's own: it left before we came.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn once_a_minute() -> TokenBucket {
    TokenBucket::new(1, LOG_PERIOD, now())
}

#[expect(clippy::disallowed_methods, reason = "the accept loop is a driver")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
