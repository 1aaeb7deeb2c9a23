//! What is to be started, and the process that is made of it: found as a shell would find it, with an environment of its own, in
//! a group of its own. The limits and the death signal are set by the hub's own binary, which is started in the program's place
//! and then becomes it (`hearth exec-server`): the same as code between fork and exec, without any that is unsafe. It costs one
//! exec.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

/// Where programs are looked for when nobody says where.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files of a program: what it begins with, and what it may raise that to.
const OPEN_FILES: u64 = 1024;
const OPEN_FILES_MAX: u64 = 65_536;

/// A program to start. Holds secrets: never shown.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub command: Vec<String>,
    /// All of its environment.
    pub env: BTreeMap<String, String>,
    pub cwd: Option<String>,
    pub memory_mb: Option<u64>,
}

impl Order {
    /// The process to be, whose streams are not set yet. `hearth` is the hub's own binary; without it there are no limits.
    /// Errs with a text for the owner.
    pub fn command(&self, hearth: Option<&Path>) -> Result<Command, String> {
        let [name, arguments @ ..] = &self.command[..] else { return Err("its command is empty".into()) };
        let folder = self.cwd.as_deref().map(Path::new);
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(format!("its cwd {} is no folder: make it, or correct the row", folder.display()));
        }
        let path = self.env.get("PATH").map_or(PATH, String::as_str);
        let program = find(name, path, folder).ok_or_else(|| missing(name))?;
        let mut command = match hearth {
            Some(hearth) => {
                let mut command = Command::new(hearth);
                command.args(["exec-server", "--parent", &std::process::id().to_string()]);
                if let Some(memory_mb) = self.memory_mb {
                    command.args(["--memory-mb", &memory_mb.to_string()]);
                }
                command.arg("--").arg(&program);
                command
            }
            None => Command::new(&program),
        };
        command.args(arguments).env_clear().env("PATH", path).envs(&self.env).process_group(0);
        command.current_dir(folder.unwrap_or(Path::new("/")));
        Ok(command)
    }
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

/// `hearth exec-server`: becomes the program, within limits. `parent` is whoever has started it; where that has died meanwhile,
/// nothing is started. Returns only where it cannot be done, with the reason.
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
