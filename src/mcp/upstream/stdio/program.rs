//! A program as a process, of the hub's own or outside of its service: with an environment of its own and within limits, dead
//! when the hub is. Knows no MCP.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::guard::Guard;
use super::order::Order;
use super::outside::Remote;
use crate::common::config::McpServer;
use crate::common::secret::Secret;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::secrets;

/// What a program has to end by itself once its input is closed, and then once it was told to (SIGTERM).
const GRACE: Duration = Duration::from_millis(1500);

/// Its last lines that are remembered.
const LAST_WORDS_LEN: usize = 4;

/// The hub's own variables that every program gets.
const INHERITED: [&str; 3] = ["PATH", "LANG", "TZ"];

/// Those that a program gets where it runs as the hub's user.
const OF_THIS_USER: [&str; 2] = ["HOME", "TMPDIR"];

/// How programs are started.
#[derive(Clone)]
pub struct Launcher {
    /// The hub's own binary, which sets the limits. `None`: no limits and no death signal, for tests without a binary.
    pub hearth: Option<PathBuf>,
    /// Where they are started outside of the hub's own service. `None`: as children of the hub.
    pub socket: Option<PathBuf>,
    guard: Arc<Guard>,
}

impl Launcher {
    /// With the hub's own binary. The thread that starts programs must live as long as the hub: the kernel sends a death signal
    /// when the *thread* that has started a process ends (prctl(2), PR_SET_PDEATHSIG). The hub has one thread for everything.
    pub fn new(hearth: Option<PathBuf>) -> Launcher {
        let guard = Arc::new(Guard::new(hearth.clone()));
        Launcher { hearth, socket: None, guard }
    }
}

/// A running program. [`Program::end`] ends it and everything in its group.
pub(super) struct Program {
    pub slug: Box<str>,
    pub pid: u32,
    ending: watch::Sender<bool>,
    status: watch::Receiver<Option<Option<ExitStatus>>>,
    words: Mutex<VecDeque<String>>,
    secrets: Vec<Secret>,
}

pub(super) struct Streams {
    pub stdin: pipe::Sender,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

/// Starts the program of a row.
pub(super) async fn start(
    slug: &str,
    server: &McpServer,
    launcher: &Launcher,
) -> Result<(Program, Streams), UpstreamError> {
    let env = |name: &str| std::env::var(name).ok();
    let is_outside = launcher.socket.is_some();
    let mut order = Order {
        command: server.command.clone(),
        env: BTreeMap::new(),
        cwd: server.cwd.clone(),
        memory_mb: server.memory_mb,
    };
    let inherited = INHERITED.iter().chain(OF_THIS_USER.iter().filter(|_| !is_outside));
    order.env.extend(inherited.filter_map(|name| Some(((*name).to_owned(), env(name)?))));
    order.env.extend(server.env.clone());
    let mut secrets = Vec::new();
    for (name, from) in &server.env_from {
        let value = secrets::value_of(from, env).ok_or_else(|| {
            let why = format!(
                "{from}, from which its {name} comes, is not set: set it in the hub's environment, or take \
                 env_from.{name} out of the row"
            );
            UpstreamError::Unauthorized(why)
        })?;
        order.env.insert(name.clone(), value.expose().to_owned());
        secrets.push(value);
    }
    let (streams, theirs) =
        pipes().map_err(|error| UpstreamError::Unreachable(format!("there is no pipe for it: {error}")))?;
    let process = match &launcher.socket {
        Some(socket) => Remote::start(socket, &order, theirs).await.map(Process::Outside),
        None => here(order, launcher, theirs),
    };
    let process = process.map_err(UpstreamError::Unreachable)?;
    let pid = match &process {
        Process::Here { child, .. } => child.id().expect("it was not waited for yet"),
        Process::Outside(remote) => remote.pid,
    };
    let (ending, is_ending) = watch::channel(false);
    let (tell, status) = watch::channel(None);
    let guard = (!is_outside).then(|| Arc::clone(&launcher.guard));
    if let Some(guard) = &guard {
        guard.watch_over(pid);
    }
    tokio::spawn(mind(process, pid, is_ending, tell, guard));
    let program = Program { slug: slug.into(), pid, ending, status, words: Mutex::default(), secrets };
    Ok((program, streams))
}

/// The hub's ends and the program's.
fn pipes() -> std::io::Result<(Streams, [OwnedFd; 3])> {
    let [(their_in, our_in), (our_out, their_out), (our_err, their_err)] =
        [std::io::pipe()?, std::io::pipe()?, std::io::pipe()?];
    let streams = Streams {
        stdin: pipe::Sender::from_owned_fd(our_in.into())?,
        stdout: pipe::Receiver::from_owned_fd(our_out.into())?,
        stderr: pipe::Receiver::from_owned_fd(our_err.into())?,
    };
    Ok((streams, [their_in.into(), their_out.into(), their_err.into()]))
}

/// As a child of the hub.
fn here(mut order: Order, launcher: &Launcher, theirs: [OwnedFd; 3]) -> Result<Process, String> {
    order.env.insert(super::guard::MARK.into(), launcher.guard.mark().into());
    let mut command = order.command(launcher.hearth.as_deref())?;
    let [stdin, stdout, stderr] = theirs.map(Stdio::from);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    launcher.guard.stand();
    let child = Command::from(command).kill_on_drop(true).spawn();
    child.map(Process::of).map_err(|error| format!("{} cannot be started: {error}", order.command[0]))
}

impl Program {
    /// Asks it to go, then tells it to, then ends it and everything that it has started. Its input is closed already.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits for its end. `None`: with what, is not known.
    pub async fn status(&self) -> Option<ExitStatus> {
        let mut status = self.status.clone();
        let status = status.wait_for(Option::is_some).await.ok()?;
        status.flatten()
    }

    pub fn remember(&self, words: String) {
        let mut last = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_WORDS_LEN {
            last.pop_front();
        }
        last.push_back(words);
    }

    pub fn last_words(&self) -> String {
        let last = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown(&last.iter().map(String::as_str).collect::<Vec<_>>().join(" / "), 400)
    }

    /// Text of the program's for a message or the log.
    pub fn shown(&self, text: &str, chars_max: usize) -> String {
        secrets::shown(text, &self.secrets, chars_max)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for the end of a process, or brings it about; then nothing of its group is left.
async fn mind(
    mut process: Process,
    pid: u32,
    mut is_ending: watch::Receiver<bool>,
    tell: watch::Sender<Option<Option<ExitStatus>>>,
    guard: Option<Arc<Guard>>,
) {
    let ended = tokio::select! {
        status = process.wait() => Some(status),
        _ = is_ending.wait_for(|is_ending| *is_ending) => None,
    };
    let status = match ended {
        Some(status) => status,
        None => match tokio::time::timeout(GRACE, process.wait()).await {
            Ok(status) => status,
            Err(_) => {
                process.signal(pid, Signal::TERM).await;
                match tokio::time::timeout(GRACE, process.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        process.signal(pid, Signal::KILL).await;
                        process.wait().await
                    }
                }
            }
        },
    };
    process.signal(pid, Signal::KILL).await;
    if let Some(guard) = guard {
        guard.let_go(pid);
    }
    tell.send_replace(Some(status));
}

/// Where it runs.
enum Process {
    Here {
        child: Child,
        /// Readable once it has ended. `None`: the kernel is older than 5.3, or has no room.
        ended: Option<AsyncFd<OwnedFd>>,
    },
    Outside(Remote),
}

impl Process {
    fn of(child: Child) -> Process {
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        #[expect(deprecated, reason = "for types that close their descriptor unasked; its successor is unsafe")]
        let ended = ended.and_then(|ended| AsyncFd::with_interest(ended, Interest::READABLE).ok());
        Process::Here { child, ended }
    }

    /// `None`: with what it ended, is not known. Of one that is here nothing is left in its group then: that was ended before the
    /// kernel was asked for the status, since only so long the number is surely its own.
    async fn wait(&mut self) -> Option<ExitStatus> {
        match self {
            Process::Here { child, ended } => {
                if let Some(ended) = ended {
                    // Where that cannot be waited for, the status can.
                    let _ = ended.readable().await;
                    child.id().inspect(|pid| signal_group(*pid, Signal::KILL));
                }
                child.wait().await.ok()
            }
            Process::Outside(remote) => remote.wait().await,
        }
    }

    /// To it and to all of its group.
    async fn signal(&mut self, pid: u32, signal: Signal) {
        match self {
            // What has ended was ended with its group, and another one may have its number now.
            Process::Here { child, ended: Some(_) } if child.id().is_none() => {}
            Process::Here { .. } => signal_group(pid, signal),
            Process::Outside(remote) if signal == Signal::TERM => remote.term().await,
            Process::Outside(remote) => remote.kill().await,
        }
    }
}

fn signal_group(pid: u32, signal: Signal) {
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // A group that is gone already is what was wanted.
    let _ = group.map(|group| rustix::process::kill_process_group(group, signal));
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    /// Whether it runs; one that nobody has waited for does not.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Afterwards its number may be another's.
    #[tokio::test]
    async fn what_a_program_leaves_behind_is_ended_while_its_number_is_its_own() {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).stdout(Stdio::piped()).stdin(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = Command::from(command).kill_on_drop(true).spawn().expect("there is a shell");
        let pid = child.id().expect("it was not waited for");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let left = lines.next_line().await.expect("a line").expect("a number");
        let mut process = Process::of(child);
        let status = process.wait().await.expect("a status");
        assert!(status.success(), "{status}");
        let ended = async {
            while runs(&left) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), ended).await.is_ok(), "{left} of {pid} runs");
    }
}
