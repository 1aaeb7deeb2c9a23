//! The last resort against orphans: one small process that outlives the hub for a moment. A death signal reaches what the hub
//! has started and not what that has started itself; this process knows the groups of all programs, sees the hub's end at a
//! pipe, however it came, and ends whatever is left of them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::common::ids;

/// The variable that marks a program and everything that it starts: what leaves its group is found by this.
pub(super) const MARK: &str = "HEARTH_SERVER_MARK";

/// Looks for programs that are left. One that starts others faster than they are ended is not stopped by this.
const ROUNDS_MAX: usize = 16;

/// The hub's side of it. Started with the first program.
pub(super) struct Guard {
    hearth: Option<PathBuf>,
    mark: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    guard: Option<Child>,
    groups: BTreeSet<u32>,
}

impl Guard {
    pub fn new(hearth: Option<PathBuf>) -> Guard {
        Guard { hearth, mark: ids::fresh('h'), state: Mutex::default() }
    }

    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Sees to it that the guard is there, before a program is.
    pub fn stand(&self) {
        let mut state = self.state();
        if state.tell("\n").is_ok() {
            return;
        }
        let Some(hearth) = &self.hearth else { return };
        // One that is there no more has ended, and is only to be told goodbye.
        let _ = state.guard.take().map(|mut ended| ended.wait());
        match start(hearth, &self.mark) {
            Ok(guard) => {
                state.guard = Some(guard);
                let all: String = state.groups.iter().map(|group| format!("+{group}\n")).collect();
                let _ = state.tell(&all);
            }
            Err(error) => {
                tracing::warn!(%error, "no guard could be started: programs may outlive a hub that is killed");
            }
        }
    }

    /// This group belongs to the hub.
    pub fn watch_over(&self, group: u32) {
        let mut state = self.state();
        state.groups.insert(group);
        let _ = state.tell(&format!("+{group}\n"));
    }

    /// Nothing of this group is left.
    pub fn let_go(&self, group: u32) {
        let mut state = self.state();
        state.groups.remove(&group);
        let _ = state.tell(&format!("-{group}\n"));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(mut guard) = self.state().guard.take() else { return };
        // It ends what is left, and then itself, as soon as its input is closed.
        drop(guard.stdin.take());
        let _ = guard.wait();
    }
}

impl State {
    /// A few bytes into a pipe that is read at once.
    fn tell(&mut self, text: &str) -> std::io::Result<()> {
        let stdin = self.guard.as_mut().and_then(|guard| guard.stdin.as_mut());
        stdin.ok_or(std::io::ErrorKind::NotConnected)?.write_all(text.as_bytes())
    }
}

fn start(hearth: &Path, mark: &str) -> std::io::Result<Child> {
    Command::new(hearth)
        .args(["exec-server", "--guard", mark])
        .env_clear()
        .current_dir("/")
        // Not in the hub's own group: what a terminal sends that is not meant for it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// `hearth exec-server --guard MARK`: reads which groups there are until the hub is gone, and then ends them.
pub fn watch(mark: &str, groups: impl std::io::Read) {
    let mut known = BTreeSet::new();
    for line in BufReader::new(groups).lines() {
        let Ok(line) = line else { break };
        let group = |text: &str| text.parse::<i32>().ok().filter(|group| *group > 1).and_then(Pid::from_raw);
        match line.split_at_checked(1) {
            Some(("+", text)) => known.extend(group(text).map(|group| group.as_raw_nonzero())),
            Some(("-", text)) => {
                if let Some(group) = group(text) {
                    known.remove(&group.as_raw_nonzero());
                }
            }
            _ => {}
        }
    }
    for group in known.iter().filter_map(|group| Pid::from_raw(group.get())) {
        // One that is gone already is what was wanted.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    // One that starts others while it is looked for is found the next time.
    for _ in 0..ROUNDS_MAX {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        for process in left {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        }
    }
}

/// Processes whose environment has the mark, this one aside. Each is held before it is looked at: what has its number later is
/// another one.
fn marked(mark: &str) -> Vec<OwnedFd> {
    let wanted = format!("{MARK}={mark}");
    let own = rustix::process::getpid();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
            let environ = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()).then_some(process)
        })
        .collect()
}
