//! Programs that run outside of the hub's own service, whose hardening they would not survive: a program that compiles as it
//! runs may not write code there, one with a sandbox of its own may not make it. The hub connects to a socket of the service
//! manager's (`systemd/hearth-mcp.socket`), which starts `hearth exec-server --socket` for each connection in a unit of its
//! own, as another user, within limits of its own. Over the connection go the order with the program's three streams, then
//! signals, and back its number and its end. Both ends are here. When either is gone, so is the program.
//!
//! One line of JSON a message.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;

use super::order::Order;

/// From the connection to the program's number: a unit is started meanwhile.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How long the order may take to come in.
const ORDER_DEADLINE: Duration = Duration::from_secs(10);

/// The longest order, bytes. Its environment is what is long.
const ORDER_BYTES_MAX: usize = 1024 * 1024;

/// The longest wish, bytes.
const WISH_BYTES_MAX: usize = 64;

/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Standard input, output and error.
const STREAMS: usize = 3;

/// What a program gets of the environment of its unit, and not of the hub's: the folders of its own user.
const OF_THE_UNIT: [&str; 2] = ["HOME", "TMPDIR"];

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Started {
        pid: u32,
    },
    Refused {
        why: String,
    },
    /// As wait(2) says it.
    Ended {
        status: i32,
    },
}

/// What the hub says after the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Term,
    Kill,
}

/// The hub's end: a program that runs elsewhere.
pub(super) struct Remote {
    connection: BufReader<UnixStream>,
    line: Vec<u8>,
    pub pid: u32,
}

impl Remote {
    /// Has it started. `streams` are the program's own ends. Errs with a text for the owner.
    pub async fn start(socket: &Path, order: &Order, streams: [OwnedFd; STREAMS]) -> Result<Remote, String> {
        let starting = async {
            let unreachable = |error| {
                format!(
                    "{}, where programs are started (mcp.launcher), cannot be reached: {error}; is hearth-mcp.socket \
                     active?",
                    socket.display()
                )
            };
            let mut stream = UnixStream::connect(socket).await.map_err(unreachable)?;
            let mut order = serde_json::to_vec(order).expect("an order is plain data");
            order.push(b'\n');
            if order.len() > ORDER_BYTES_MAX {
                return Err(format!("its command and environment are longer than {ORDER_BYTES_MAX} bytes together"));
            }
            let sent = send(&stream, &order, streams.each_ref().map(AsFd::as_fd)).await.map_err(unreachable)?;
            stream.write_all(&order[sent..]).await.map_err(unreachable)?;
            // The program's ends are the program's alone now: their end is seen.
            drop(streams);
            let mut remote = Remote { connection: BufReader::new(stream), line: Vec::new(), pid: 0 };
            match remote.answer().await {
                Some(Answer::Started { pid }) => Ok(Remote { pid, ..remote }),
                Some(Answer::Refused { why }) => Err(why),
                _ => Err("whoever was to start it ended: see `journalctl -t hearth-mcp`".into()),
            }
        };
        let late = || format!("it was not started within {} s", START_DEADLINE.as_secs());
        tokio::time::timeout(START_DEADLINE, starting).await.unwrap_or_else(|_| Err(late()))
    }

    /// Waits for its end; can be asked again when the wait was given up. `None`: with what, is not known.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        match self.answer().await {
            Some(Answer::Ended { status }) => Some(ExitStatus::from_raw(status)),
            _ => None,
        }
    }

    /// Asks for a signal to it and to all that it has started.
    pub async fn term(&mut self) {
        self.say(Wish::Term).await;
    }

    pub async fn kill(&mut self) {
        self.say(Wish::Kill).await;
    }

    async fn say(&mut self, wish: Wish) {
        let mut line = serde_json::to_vec(&wish).expect("a wish is plain data");
        line.push(b'\n');
        // Where nobody hears it, there is no program.
        let _ = self.connection.get_mut().write_all(&line).await;
    }

    async fn answer(&mut self) -> Option<Answer> {
        let room = ANSWER_BYTES_MAX.saturating_sub(self.line.len()) as u64;
        let mut connection = tokio::io::AsyncReadExt::take(&mut self.connection, room);
        // What was read of a line stays where the wait is given up.
        connection.read_until(b'\n', &mut self.line).await.ok()?;
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).ok()
    }
}

/// Sends what fits, the streams with its first byte.
async fn send(stream: &UnixStream, bytes: &[u8], streams: [BorrowedFd<'_>; STREAMS]) -> std::io::Result<usize> {
    let sending = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&streams)), "there is room for the streams");
        Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, sending).await
}

/// `hearth exec-server --socket`: starts what is ordered over `connection`, and looks after it until it or the hub is gone.
/// `hearth` is this binary. What it leaves behind, the service manager ends with the unit.
pub fn serve(connection: OwnedFd, hearth: PathBuf) -> std::io::Result<()> {
    let mut connection = StdStream::from(connection);
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(ORDER_DEADLINE))?;
    let (order, streams) = receive(&connection)?;
    let started = spawn(order, streams, hearth);
    match started {
        Ok(child) => {
            tell(&mut connection, &Answer::Started { pid: child.id() })?;
            look_after(child, connection)
        }
        Err(why) => tell(&mut connection, &Answer::Refused { why }),
    }
}

fn spawn(mut order: Order, streams: [OwnedFd; STREAMS], hearth: PathBuf) -> Result<Child, String> {
    for name in OF_THE_UNIT {
        if let (false, Ok(value)) = (order.env.contains_key(name), std::env::var(name)) {
            order.env.insert(name.into(), value);
        }
    }
    let [stdin, stdout, stderr] = streams.map(Stdio::from);
    let mut command = order.command(Some(&hearth))?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    command.spawn().map_err(|error| format!("{} cannot be started: {error}", order.command[0]))
}

fn look_after(mut child: Child, mut connection: StdStream) -> std::io::Result<()> {
    let group = Pid::from_child(&child);
    let signal = |signal| {
        // A group that is gone already is what was wanted.
        let _ = rustix::process::kill_process_group(group, signal);
    };
    let ending = rustix::process::pidfd_open(group, PidfdFlags::empty())?;
    let mut line = Vec::new();
    loop {
        let mut events = [PollFd::new(&ending, PollFlags::IN), PollFd::new(&connection, PollFlags::IN)];
        match poll(&mut events, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let [has_ended, is_told] = events.map(|event| !event.revents().is_empty());
        if has_ended {
            // As long as nobody has waited for it, the number is its own.
            signal(Signal::KILL);
            let status = child.wait()?;
            return tell(&mut connection, &Answer::Ended { status: status.into_raw() });
        }
        if !is_told {
            continue;
        }
        let mut bytes = [0; 64];
        let len = connection.read(&mut bytes).unwrap_or(0);
        if len == 0 {
            // The hub is gone, or wants it gone at once.
            signal(Signal::KILL);
            child.wait()?;
            return Ok(());
        }
        for byte in &bytes[..len] {
            if *byte != b'\n' {
                if line.len() == WISH_BYTES_MAX {
                    return Err(std::io::Error::other("the hub says what is no wish"));
                }
                line.push(*byte);
                continue;
            }
            match serde_json::from_slice(&std::mem::take(&mut line)) {
                Ok(Wish::Term) => signal(Signal::TERM),
                Ok(Wish::Kill) => signal(Signal::KILL),
                Err(error) => return Err(std::io::Error::other(error)),
            }
        }
    }
}

fn tell(connection: &mut StdStream, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer).expect("an answer is plain data");
    line.push(b'\n');
    connection.write_all(&line)
}

fn receive(connection: &StdStream) -> std::io::Result<(Order, [OwnedFd; STREAMS])> {
    let (mut order, mut streams) = (Vec::new(), Vec::new());
    let mut bytes = vec![0; 64 * 1024];
    while order.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let came = rustix::net::recvmsg(connection, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                streams.extend(descriptors);
            }
        }
        order.extend_from_slice(&bytes[..came.bytes]);
        if came.bytes == 0 || order.len() > ORDER_BYTES_MAX {
            return Err(std::io::Error::other("no order came"));
        }
    }
    let order = serde_json::from_slice(&order).map_err(std::io::Error::other)?;
    let streams = streams.try_into().map_err(|_| std::io::Error::other("the order came without its streams"))?;
    Ok((order, streams))
}
