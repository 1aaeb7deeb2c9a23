//! The aggregators that are measured: the hub, and others where they are installed. Each with the same small servers behind
//! it, started on a free port and ended with the benchmark.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::client::Wire;

/// How long one may take to open its port.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// What is shown of the log of one that did not get there, bytes of its end.
const LAST_WORDS_BYTES: usize = 300;

/// Which one.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Hearth,
    McpHub,
    McpProxy,
    Fastmcp,
}

impl Tools {
    /// Whether one is there at all.
    pub fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Hearth => true,
            Kind::McpHub => self.node.is_some() && self.mcp_hub.is_some(),
            Kind::McpProxy => self.mcp_proxy.is_some(),
            Kind::Fastmcp => self.fastmcp.is_some(),
        }
    }
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Hearth, Kind::McpHub, Kind::McpProxy, Kind::Fastmcp];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hearth => "hearth",
            Kind::McpHub => "mcp-hub",
            Kind::McpProxy => "mcp-proxy",
            Kind::Fastmcp => "fastmcp",
        }
    }

    pub fn wire(self) -> Wire {
        if self == Kind::McpHub { Wire::Sse } else { Wire::Streamable }
    }

    /// Where its tools are; `mcp-proxy` has an endpoint for each server.
    pub fn paths(self, servers: usize) -> Vec<String> {
        match self {
            Kind::McpProxy => (0..servers).map(|number| format!("/servers/{}/mcp", slug(number))).collect(),
            Kind::Fastmcp => vec!["/mcp".into()],
            Kind::Hearth | Kind::McpHub => vec!["/mcp".into()],
        }
    }
}

/// The programs, where they are.
pub struct Tools {
    pub hearth: PathBuf,
    pub tiny: PathBuf,
    pub node: Option<PathBuf>,
    pub mcp_hub: Option<PathBuf>,
    /// Of FastMCP, and of mcp-proxy: they want different editions of the same library.
    pub fastmcp: Option<PathBuf>,
    pub mcp_proxy: Option<PathBuf>,
}

/// One that runs, with its own process group.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    pub began: Instant,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(pid, Signal::TERM);
            let by = Instant::now() + Duration::from_secs(5);
            while Instant::now() < by && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Running {
    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log, on one line.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LAST_WORDS_BYTES)..]).into_owned();
        end.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Bytes of its own, without its children.
    pub fn pss_bytes(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    /// CPU time of its own so far, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let of = |task: std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(of).sum()
    }

    /// Its child processes.
    pub fn children(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).ok();
        tasks.filter_map(of).map(|line| line.split_whitespace().count()).sum()
    }
}

pub fn slug(number: usize) -> String {
    format!("s{number:03}")
}

/// The command of one small server; with `faulty` each tenth is broken.
fn server(tools: &Tools, number: usize, faulty: bool) -> (String, Vec<String>) {
    let fault = match number / 10 % 3 {
        _ if !faulty || !number.is_multiple_of(10) => "ok",
        0 => "crash",
        1 => "hang",
        _ => "garbage",
    };
    (tools.tiny.display().to_string(), vec![slug(number), "5".into(), fault.into()])
}

/// Starts one with so many servers behind it, in a folder of its own.
pub fn start(kind: Kind, tools: &Tools, folder: &Path, servers: usize, faulty: bool) -> Result<Running, String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let list = (0..servers).map(|number| (slug(number), server(tools, number, faulty)));
    let command = match kind {
        Kind::Hearth => {
            let rows: Value = list
                .map(|(slug, (program, args))| {
                    let command: Vec<_> = std::iter::once(program).chain(args).collect();
                    (slug, json!({ "command": command, "trust": true }))
                })
                .collect::<serde_json::Map<_, _>>()
                .into();
            let config = json!({
                "gateway": { "port": address.port() },
                "providers": { "active": "assistant", "fallback": [] },
                "store": { "path": folder.join("hearth.redb") },
                "log": { "level": "error" },
                "mcp": { "servers": rows, "max_processes": 256, "idle_s": 3600 },
            });
            // JSON is YAML.
            let path = folder.join("config.yaml");
            std::fs::write(&path, config.to_string()).expect("a folder of our own");
            let mut command = Command::new(&tools.hearth);
            command.arg("serve").arg("--config").arg(path);
            command
        }
        Kind::McpHub | Kind::McpProxy | Kind::Fastmcp => {
            let rows: Value = list
                .map(|(slug, (program, args))| (slug, json!({ "command": program, "args": args })))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let path = folder.join("servers.json");
            std::fs::write(&path, json!({ "mcpServers": rows }).to_string()).expect("a folder of our own");
            others(kind, tools, &path, address).ok_or("it is not installed")?
        }
    };
    run(command, address, folder)
}

fn others(kind: Kind, tools: &Tools, config: &Path, address: SocketAddr) -> Option<Command> {
    let port = address.port().to_string();
    let mut command;
    match kind {
        Kind::McpHub => {
            command = Command::new(tools.node.as_ref()?);
            command.arg(tools.mcp_hub.as_ref()?).args(["--port", &port, "--config"]).arg(config);
        }
        Kind::McpProxy => {
            command = Command::new(tools.mcp_proxy.as_ref()?);
            command
                .args(["-m", "mcp_proxy", "--host", "127.0.0.1", "--port", &port, "--named-server-config"])
                .arg(config);
        }
        _ => {
            let program = "import json,sys\nfrom fastmcp.server import create_proxy\n\
                           create_proxy(json.load(open(sys.argv[1]))).run(transport='http',host='127.0.0.1',port=int(sys.argv[2]),show_banner=False,log_level='ERROR')\n";
            command = Command::new(tools.fastmcp.as_ref()?);
            command.args(["-c", program]).arg(config).arg(&port);
        }
    }
    Some(command)
}

fn run(mut command: Command, address: SocketAddr, folder: &Path) -> Result<Running, String> {
    use std::os::unix::process::CommandExt;
    let path = folder.join("log");
    let log = std::fs::File::create(&path).expect("a folder of our own");
    let log_too = log.try_clone().expect("a file");
    command.stdin(Stdio::null()).stdout(log).stderr(log_too).current_dir(folder).process_group(0);
    let began = Instant::now();
    let child = command.spawn().map_err(|error| format!("{command:?} does not start: {error}"))?;
    let mut running = Running { child, address, began, log: path };
    while std::net::TcpStream::connect(address).is_err() {
        if running.has_ended() {
            return Err(format!("it ended at its start: {}", running.last_words()));
        }
        if began.elapsed() > START_DEADLINE {
            return Err(format!("no port after {} s: {}", START_DEADLINE.as_secs(), running.last_words()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(running)
}
