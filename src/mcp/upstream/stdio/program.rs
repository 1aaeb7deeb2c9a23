//! A program as a process: in a group of its own, with an environment of its own and within limits, dead when the hub is.
//! Knows no MCP.
//!
//! The limits and the death signal are set by the hub's own binary, which is started in the program's place and then becomes
//! it (`hearth exec-server`): the same as code between fork and exec, without any that is unsafe. It costs one exec.

use std::collections::VecDeque;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::guard::Guard;
use crate::common::config::McpServer;
use crate::common::secret::Secret;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::secrets;

/// What a program has to end by itself once its input is closed, and then once it was told to (SIGTERM).
const GRACE: Duration = Duration::from_millis(1500);

/// Its last lines that are remembered.
const LAST_WORDS_LEN: usize = 4;

/// Where programs are looked for when the hub itself has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The hub's own variables that every program gets.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Open files of a program: what it begins with, and what it may raise that to.
const OPEN_FILES: u64 = 1024;
const OPEN_FILES_MAX: u64 = 65_536;

/// How programs are started.
#[derive(Clone)]
pub struct Launcher {
    /// The hub's own binary, which sets the limits. `None`: no limits and no death signal, for tests without a binary.
    pub hearth: Option<PathBuf>,
    guard: Arc<Guard>,
}

impl Launcher {
    /// With the hub's own binary. The thread that starts programs must live as long as the hub: the kernel sends a death signal
    /// when the *thread* that has started a process ends (prctl(2), PR_SET_PDEATHSIG). The hub has one thread for everything.
    pub fn new(hearth: Option<PathBuf>) -> Launcher {
        let guard = Arc::new(Guard::new(hearth.clone()));
        Launcher { hearth, guard }
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
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

/// Starts the program of a row.
pub(super) fn start(slug: &str, server: &McpServer, launcher: &Launcher) -> Result<(Program, Streams), UpstreamError> {
    let unreachable = |why: String| UpstreamError::Unreachable(why);
    let env = |name: &str| std::env::var(name).ok();
    let path = server.env.get("PATH").cloned().or_else(|| env("PATH")).unwrap_or_else(|| PATH.into());
    let [name, arguments @ ..] = &server.command[..] else {
        return Err(unreachable("its command is empty".into()));
    };
    let folder = server.cwd.as_deref().map(Path::new);
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(unreachable(format!("its cwd {} is no folder: make it, or correct the row", folder.display())));
    }
    let program = find(name, &path, folder).ok_or_else(|| unreachable(missing(name)))?;
    let mut secrets = Vec::new();
    let mut command = match &launcher.hearth {
        Some(hearth) => {
            let mut command = Command::new(hearth);
            command.args(["exec-server", "--parent", &std::process::id().to_string()]);
            if let Some(memory_mb) = server.memory_mb {
                command.args(["--memory-mb", &memory_mb.to_string()]);
            }
            command.arg("--").arg(&program);
            command
        }
        None => Command::new(&program),
    };
    command.args(arguments).env_clear().process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("PATH", &path).envs(&server.env).env(super::guard::MARK, launcher.guard.mark());
    for (name, from) in &server.env_from {
        let value = secrets::value_of(from, env).ok_or_else(|| {
            let why = format!(
                "{from}, from which its {name} comes, is not set: set it in the hub's environment, or take \
                 env_from.{name} out of the row"
            );
            UpstreamError::Unauthorized(why)
        })?;
        command.env(name, value.expose());
        secrets.push(value);
    }
    command.current_dir(folder.unwrap_or(Path::new("/")));
    launcher.guard.stand();
    let mut child =
        command.spawn().map_err(|error| unreachable(format!("{} cannot be started: {error}", program.display())))?;
    let streams = Streams {
        stdin: child.stdin.take().expect("it was piped"),
        stdout: child.stdout.take().expect("it was piped"),
        stderr: child.stderr.take().expect("it was piped"),
    };
    let pid = child.id().expect("it was not waited for yet");
    let (ending, is_ending) = watch::channel(false);
    let (tell, status) = watch::channel(None);
    launcher.guard.watch_over(pid);
    tokio::spawn(mind(child, pid, is_ending, tell, Arc::clone(&launcher.guard)));
    let program = Program { slug: slug.into(), pid, ending, status, words: Mutex::default(), secrets };
    Ok((program, streams))
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
    mut child: Child,
    pid: u32,
    mut is_ending: watch::Receiver<bool>,
    tell: watch::Sender<Option<Option<ExitStatus>>>,
    guard: Arc<Guard>,
) {
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let signal = |signal| {
        // A group that is gone already is what was wanted.
        let _ = group.map(|group| rustix::process::kill_process_group(group, signal));
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        _ = is_ending.wait_for(|is_ending| *is_ending) => None,
    };
    let status = match ended {
        Some(status) => status.ok(),
        None => match tokio::time::timeout(GRACE, child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                signal(Signal::TERM);
                match tokio::time::timeout(GRACE, child.wait()).await {
                    Ok(status) => status.ok(),
                    Err(_) => {
                        signal(Signal::KILL);
                        child.wait().await.ok()
                    }
                }
            }
        },
    };
    signal(Signal::KILL);
    guard.let_go(pid);
    tell.send_replace(Some(status));
}

/// Where a command is: a path as it is, from the program's own folder; a name as the shell would find it.
fn find(name: &str, path: &str, folder: Option<&Path>) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(folder.unwrap_or(Path::new("/")).join(name)).filter(is_program);
    }
    std::env::split_paths(path).map(|folder| folder.join(name)).find(is_program)
}

/// What to tell the owner where a program is missing.
fn missing(name: &str) -> String {
    let help = match name {
        "npx" | "npm" | "node" => ": apt install nodejs npm",
        "uvx" | "uv" => ": see https://docs.astral.sh/uv for how to install uv",
        "python" | "python3" => ": apt install python3",
        "docker" => ": apt install docker.io",
        _ => ": install it, or write its whole path",
    };
    format!("there is no program {name} on this machine{help}")
}

/// `hearth exec-server`: becomes the program, within limits. `parent` is the hub; where that has died meanwhile, nothing is
/// started. Returns only where it cannot be done, with the reason.
pub fn become_server(parent: u32, memory_mb: Option<u64>, command: &[std::ffi::OsString]) -> std::io::Error {
    let limit = |resource, current: u64, maximum: u64| {
        let own = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Rlimit { current: Some(current.min(own)), maximum: Some(maximum.min(own)) };
        rustix::process::setrlimit(resource, limit)
    };
    let within_limits = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        limit(Resource::Core, 0, 0)?;
        limit(Resource::Nofile, OPEN_FILES, OPEN_FILES_MAX)?;
        if let Some(memory_mb) = memory_mb {
            let bytes = memory_mb.saturating_mul(1024 * 1024);
            limit(Resource::As, bytes, bytes)?;
        }
        std::io::Result::Ok(())
    };
    if let Err(error) = within_limits() {
        return error;
    }
    // The hub may have died before the signal was asked for.
    let is_there = rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent);
    if !is_there {
        return std::io::Error::other("the hub is gone");
    }
    let [program, arguments @ ..] = command else { return std::io::Error::other("no program is named") };
    std::process::Command::new(program).args(arguments).exec()
}
