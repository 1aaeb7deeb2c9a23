//! The real binary as a process: started in a folder of its own with an environment of its own, its lines read while it
//! runs, ended when the test is done with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::soon;

/// Between two looks at what a process did.
const LOOK: Duration = Duration::from_millis(3);

/// `hearth` with these words and nothing of this process's environment.
pub fn hearth<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.args(arguments).env_clear().env("TMPDIR", std::env::temp_dir()).current_dir(std::env::temp_dir());
    command
}

/// A hub's files: `config.yaml` and the store.
pub struct House {
    pub folder: TempDir,
}

impl House {
    /// With this configuration, beside the port and the store.
    pub fn new(yaml: &str) -> House {
        let house = House { folder: tempfile::tempdir().expect("a temporary folder") };
        house.configure(yaml);
        house
    }

    /// Writes the configuration anew, at one stroke as editors do.
    pub fn configure(&self, yaml: &str) {
        // Whatever is plugged in where the tests run, and whatever listens there, is none of theirs.
        let radio = if yaml.contains("zigbee:") { "" } else { "\nzigbee: { backend: off }\n" };
        let text = format!("gateway: {{ port: 0 }}\nstore: {{ path: {} }}\n{yaml}{radio}", self.path("hearth.redb"));
        std::fs::write(self.path("config.new"), text).expect("room on the disk");
        std::fs::rename(self.path("config.new"), self.path("config.yaml")).expect("a file that was written");
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// `hearth serve` in this house, not yet started.
    pub fn command(&self) -> Command {
        let mut command = hearth(["serve"]);
        command.current_dir(self.folder.path());
        command
    }

    /// A hub at work.
    pub async fn serve(&self) -> Process {
        Process::start(self.command(), "")
    }
}

/// A running `hearth`. Dropped, it is killed.
pub struct Process {
    child: Child,
    out: Lines,
    err: Lines,
}

/// How a process ended and what it said.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

struct Lines {
    read: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it with this on its stdin.
    pub fn start(mut command: Command, stdin: &str) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary is there");
        let mut input = child.stdin.take().expect("piped");
        // One that does not read its stdin may have closed it.
        let _ = input.write_all(stdin.as_bytes());
        drop(input);
        let out = Lines::of(child.stdout.take().expect("piped"));
        let err = Lines::of(child.stderr.take().expect("piped"));
        Process { child, out, err }
    }

    /// Where the hub listens, as it logs it.
    pub async fn address(&self) -> SocketAddr {
        let line = self.log(|line| line["message"] == "the hub is open").await;
        line["address"].as_str().expect("it says where").parse().expect("an address")
    }

    /// The first line of the log for which this is so, as soon as it is there.
    pub async fn log(&self, is_meant: impl Fn(&Value) -> bool) -> Value {
        soon("a line of the log", async {
            loop {
                if let Some(line) = self.logs().into_iter().find(&is_meant) {
                    return line;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
    }

    /// The log so far, which is one JSON object a line.
    pub fn logs(&self) -> Vec<Value> {
        let lines = self.err.read.lock().expect("nobody panics with it").clone();
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// The first line on stdout that has this in it, as soon as it is there.
    pub async fn says(&self, words: &str) -> String {
        let waiting = async {
            loop {
                let lines = self.out.read.lock().expect("nobody panics with it").clone();
                if let Some(line) = lines.into_iter().find(|line| line.contains(words)) {
                    return line;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        soon(&format!("{words:?} on stdout"), waiting).await
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("the process runs");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("our own child") {
                    return status;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let status = soon("the end of the process", waiting).await;
        Ended { status, out: self.out.all(), err: self.err.all() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error: it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
pub async fn run(command: Command) -> Ended {
    Process::start(command, "").ended().await
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its stdout, which is one JSON object.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let read = Arc::new(Mutex::new(Vec::new()));
        let lines = read.clone();
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                lines.lock().expect("nobody panics with it").push(line);
            }
        });
        Lines { read, reading: Some(reading) }
    }

    /// All of it, once the other side is closed.
    fn all(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().expect("reading does not panic");
        }
        self.read.lock().expect("nobody panics with it").join("\n")
    }
}

/// The bytes of a file.
pub fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}
