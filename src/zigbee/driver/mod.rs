//! The only I/O of the host stack: a serial port or a TCP connection to a stick, two threads, and a sans-IO [`Machine`] between
//! them. Opens, opens again when a stick was pulled out and comes back, and decides nothing else.
//!
//! One thread reads and does nothing but read. The other owns the machine and sleeps until bytes, a command or the machine's own
//! timeout wakes it; what the machine wants said is written at once.
//!
//! ```no_run
//! use hearth::zigbee::driver::{self, Address, News};
//! use hearth::zigbee::ncp::{Ncp, znp::{Config, Znp}};
//!
//! # async fn f(ncp: Box<dyn Ncp>) -> std::io::Result<()> {
//! let address: Address = "tcp://10.0.0.7:6638".parse().expect("an address");
//! let (driver, mut news) = driver::spawn(ncp, Box::new(move || Ok(address.clone())))?;
//! while let Some(news) = news.recv().await {
//!     match news {
//!         News::Opened(address) => println!("{address} is open"),
//!         News::Closed(why) => println!("{why}"),
//!         News::Event(_) => println!("the machine has something to tell"),
//!     }
//! }
//! # drop(driver);
//! # Ok(())
//! # }
//! ```

mod link;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::zigbee::driver::link::Link;
use crate::zigbee::machine::Machine;
use crate::zigbee::ncp::Transmit;

/// Pieces of bytes and commands that wait for the machine. Where there are more, the reader waits, and a command is refused.
const INPUTS_LEN_MAX: usize = 1_024;

/// News that nobody has fetched. Where there are more, the machine waits, and with it the stick.
const NEWS_LEN_MAX: usize = 4_096;

/// How often a port that is gone is looked for. A stick that was plugged in is up again in less than three seconds, of which it
/// needs one and a half itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A port that is there and cannot be opened (in use, no permission, no route) is tried less and less often.
const OPEN_AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);

/// The first few times a port is tried as if it was gone: rules for permissions take effect a moment after the plug.
const OPEN_AT_ONCE: u32 = 8;

/// Where a stick is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Serial {
        path: Box<str>,
        baud: u32,
        flow: Flow,
    },
    /// A stick behind a socket (`ser2net`, SLZB-06 and its like).
    Tcp {
        host: Box<str>,
        port: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    None,
    RtsCts,
    XonXoff,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Serial { path, .. } => f.write_str(path),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// A text that is no address of a stick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stick's address is a path such as /dev/ttyUSB0, or tcp://host:port")]
pub struct NotAddress;

/// The speed that all Z-Stack firmware has.
pub const BAUD_BY_DEFAULT: u32 = 115_200;

impl FromStr for Address {
    type Err = NotAddress;

    fn from_str(text: &str) -> Result<Address, NotAddress> {
        let Some(rest) = text.strip_prefix("tcp://") else {
            let is_path = text.starts_with('/') || cfg!(windows) && text.starts_with("COM");
            let path = Some(text).filter(|_| is_path).ok_or(NotAddress)?;
            return Ok(Address::Serial { path: path.into(), baud: BAUD_BY_DEFAULT, flow: Flow::None });
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or(NotAddress)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotAddress)?;
        if host.is_empty() || host.contains(['/', '[', ']', ' ']) {
            return Err(NotAddress);
        }
        Ok(Address::Tcp { host: host.into(), port })
    }
}

/// Says where the stick is, each time that it has to be opened; a text for the owner where it is nowhere.
pub type Finder = Box<dyn FnMut() -> Result<Address, Box<str>> + Send>;

/// What a driver tells.
#[derive(Debug)]
pub enum News<E> {
    /// The port is open. Whether a stick answers there is told by the machine.
    Opened(Address),
    /// It is not, with a text for the owner; told once until the text changes or the port was open.
    Closed(Box<str>),
    Event(E),
}

/// The driver takes no more commands: more wait than it can do, or it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error("too many commands wait for the stick")]
    Full,
    #[error("the stick's driver has ended")]
    Ended,
}

enum Input<C> {
    Command(C),
    Bytes { link: u64, bytes: Vec<u8> },
    Gone { link: u64, why: Box<str> },
    Stop,
}

/// A running driver. It ends when this is dropped.
pub struct Driver<C> {
    inputs: SyncSender<Input<C>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send> Driver<C> {
    /// Hands a command to the machine. Does not wait.
    pub fn command(&self, command: C) -> Result<(), NotTaken> {
        self.inputs.try_send(Input::Command(command)).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Disconnected(_) => NotTaken::Ended,
        })
    }

    /// Ends the driver and waits until the port is closed: a tenth of a second at most, unless nobody fetches its news.
    pub fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A panic was told by the panic hook.
            let _ = thread.join();
        }
    }
}

impl<C> Driver<C> {
    /// What was commanded before is carried out first, unless there is no room even for this.
    fn end(&self) {
        if self.inputs.try_send(Input::Stop).is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }
}

impl<C> Drop for Driver<C> {
    fn drop(&mut self) {
        self.end();
    }
}

type Started<M> = (Driver<<M as Machine>::Command>, tokio::sync::mpsc::Receiver<News<<M as Machine>::Event>>);

/// Starts a driver. The news must be fetched, or the machine stands still.
pub fn spawn<M>(machine: M, finder: Finder) -> io::Result<Started<M>>
where
    M: Machine + 'static,
    M::Command: 'static,
    M::Event: 'static,
{
    let (inputs, inbox) = mpsc::sync_channel(INPUTS_LEN_MAX);
    let (news, outbox) = tokio::sync::mpsc::channel(NEWS_LEN_MAX);
    let is_over = Arc::new(AtomicBool::new(false));
    let worker = Worker {
        machine,
        finder,
        inbox,
        inputs: inputs.clone(),
        news,
        is_over: Arc::clone(&is_over),
        link: None,
        links: 0,
        tries: 0,
        told: None,
    };
    let thread = thread::Builder::new().name("zigbee".to_owned()).spawn(move || worker.run())?;
    Ok((Driver { inputs, is_over, thread: Some(thread) }, outbox))
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the clock of the host stack is read")]
fn now() -> Instant {
    Instant::now()
}

struct Worker<M: Machine> {
    machine: M,
    finder: Finder,
    inbox: Receiver<Input<M::Command>>,
    inputs: SyncSender<Input<M::Command>>,
    news: tokio::sync::mpsc::Sender<News<M::Event>>,
    is_over: Arc<AtomicBool>,
    link: Option<Link>,
    /// Links so far: what an old one still says is passed over.
    links: u64,
    /// Since the port was open last.
    tries: u32,
    told: Option<Box<str>>,
}

impl<M: Machine> Worker<M>
where
    M::Command: 'static,
{
    fn run(mut self) {
        while !self.is_over() {
            match self.open() {
                Ok(address) => {
                    tracing::info!(%address, "the stick's port is open");
                    self.tries = 0;
                    self.told = None;
                    self.tell(News::Opened(address));
                    self.machine.handle_open(now());
                    let why = self.drive(None);
                    self.link = None;
                    if self.is_over() {
                        return;
                    }
                    tracing::warn!(%why, "the stick's port is closed");
                    self.machine.handle_closed(now());
                    self.tell_closed(why);
                }
                Err(why) => {
                    self.tries += 1;
                    self.tell_closed(why);
                }
            }
            // Commands are answered meanwhile.
            self.drive(Some(now() + self.pause()));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.news.is_closed()
    }

    fn pause(&self) -> Duration {
        let doublings = self.tries.saturating_sub(OPEN_AT_ONCE).min(8);
        (LOOK_EVERY * 2u32.pow(doublings)).min(OPEN_AGAIN_AFTER_MAX)
    }

    fn open(&mut self) -> Result<Address, Box<str>> {
        let address = (self.finder)().inspect_err(|_| self.tries = 0)?;
        if let Address::Serial { path, .. } = &address
            && !std::path::Path::new(&**path).exists()
        {
            // It is looked for as often as before: a plug is noticed at once.
            self.tries = 0;
            return Err(format!("{path} is not there: is the stick plugged in?").into());
        }
        self.links += 1;
        let link = self.links;
        let inputs = self.inputs.clone();
        let opened = Link::open(&address, move |read| {
            let input = match read {
                Ok(bytes) => Input::Bytes { link, bytes },
                Err(why) => Input::Gone { link, why },
            };
            inputs.send(input).is_ok()
        });
        self.link = Some(opened.map_err(|error| link::explain(&address, &error))?);
        Ok(address)
    }

    /// Turns the machine until the link is gone, or until then; why it ended.
    fn drive(&mut self, until: Option<Instant>) -> Box<str> {
        loop {
            if let Err(why) = self.transmit() {
                return why;
            }
            while let Some(event) = self.machine.poll_event() {
                self.tell(News::Event(event));
            }
            if self.is_over() {
                return "the driver was stopped".into();
            }
            let timeout = self.machine.poll_timeout();
            let wake_at = [timeout, until].into_iter().flatten().min();
            let input = match wake_at {
                Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(now())),
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match input {
                Ok(Input::Command(command)) => self.machine.handle_command(now(), command),
                Ok(Input::Bytes { link, bytes }) if link == self.links && self.link.is_some() => {
                    self.machine.handle_bytes(now(), &bytes);
                }
                Ok(Input::Gone { link, why }) if link == self.links && self.link.is_some() => return why,
                Ok(Input::Bytes { .. } | Input::Gone { .. }) => {}
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.is_over.store(true, Ordering::Relaxed);
                    return "the driver was stopped".into();
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Also where inputs never end.
            let now = now();
            if self.machine.poll_timeout().is_some_and(|at| at <= now) {
                self.machine.handle_timeout(now);
            }
            if until.is_some_and(|until| until <= now) {
                return "".into();
            }
        }
    }

    /// Does what the machine wants done.
    fn transmit(&mut self) -> Result<(), Box<str>> {
        while let Some(transmit) = self.machine.poll_transmit() {
            let Some(link) = &mut self.link else { continue };
            match transmit {
                Transmit::Bytes(bytes) => {
                    link.write(&bytes).map_err(|error| format!("the stick's port takes no more bytes: {error}"))?;
                }
                Transmit::Lines { dtr, rts } => link.set_lines(dtr, rts),
                Transmit::Reopen { why } => return Err(why),
            }
        }
        Ok(())
    }

    fn tell_closed(&mut self, why: Box<str>) {
        if self.told.as_ref() != Some(&why) {
            self.told = Some(why.clone());
            self.tell(News::Closed(why));
        }
    }

    /// Waits where nobody fetches. That the other end is gone is seen by `is_over`.
    fn tell(&self, news: News<M::Event>) {
        let _ = self.news.blocking_send(news);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
