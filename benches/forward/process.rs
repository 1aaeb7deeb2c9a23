//! The programs that are measured: started on free ports, in a folder of their own, and ended with the benchmark however
//! that ends. And what the kernel knows of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::now_ns;

/// How long a program may take to answer at all.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Everything that was started and not yet ended.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A program that runs.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != self.child.id());
    }
}

impl Process {
    fn start(mut command: Command, address: SocketAddr) -> Process {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Process { child, address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and the end of it.
    pub fn stop(mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let by_ns = now_ns() + START_DEADLINE.as_nanos() as u64;
        while now_ns() < by_ns && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// CPU time used so far by all threads, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        cpu_ns(&format!("/proc/{}/task", self.pid()), |_| true)
    }

    /// Proportional set size, bytes.
    pub fn pss_bytes(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("it runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel says so");
        let kb: u64 = line.trim_end_matches("kB").trim().parse().expect("a number");
        kb * 1024
    }
}

/// CPU time of the threads in a folder of /proc whose names are wanted, nanoseconds.
fn cpu_ns(tasks: &str, wanted: impl Fn(&str) -> bool) -> u64 {
    let tasks = std::fs::read_dir(tasks).expect("it runs").flatten();
    let of = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let schedstat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        wanted(name.trim()).then(|| schedstat.split(' ').next()?.parse::<u64>().ok())?
    };
    tasks.filter_map(of).sum()
}

/// CPU time of this process's threads that have this name, nanoseconds.
pub fn own_cpu_ns(thread: &str) -> u64 {
    cpu_ns("/proc/self/task", |name| name == thread)
}

/// Busy time of all processors since the machine started, nanoseconds, whoever used it.
pub fn machine_busy_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    // user nice system idle iowait irq softirq steal, in hundredths of a second
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum();
    busy * 10_000_000
}

/// Ends all that still runs; for an end in a hurry.
pub fn end_all() {
    for pid in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        if let Some(pid) = Pid::from_raw(pid as i32) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The hub in a folder, with a store there; starts and waits until it serves. How long that took, too.
pub fn hub(binary: &Path, folder: &Path, provider: SocketAddr) -> (Process, Duration) {
    let address = free_address();
    let config = folder.join("config.yaml");
    let text = format!(
        "gateway: {{ host: 127.0.0.1, port: {} }}\nproviders:\n  active: local\n  fallback: []\n  local: {{ base_url: \"http://{provider}/v1\" }}\n\
         store: {{ path: {} }}\nlog: {{ level: warn }}\n",
        address.port(),
        folder.join("hearth.redb").display()
    );
    std::fs::write(&config, text).expect("a folder of our own");
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(&config);
    let began_ns = now_ns();
    let hub = Process::start(command, address);
    while !healthy(address) {
        assert!(now_ns() - began_ns < START_DEADLINE.as_nanos() as u64, "the hub does not serve");
        std::thread::sleep(Duration::from_micros(200));
    }
    let took = Duration::from_nanos(now_ns() - began_ns);
    (hub, took)
}

fn healthy(address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_DEADLINE))?;
        stream
            .write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/1.1 200")
    };
    asked().unwrap_or(false)
}

/// nginx as a plain reverse proxy of the provider; `None` where there is no nginx.
pub fn nginx(folder: &Path, provider: SocketAddr) -> Option<Process> {
    let binary = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from);
    let binary = binary.into_iter().find(|path| path.exists())?;
    let (address, config, folder) = (free_address(), folder.join("nginx.conf"), folder.display());
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off; tcp_nodelay on; keepalive_timeout 60s; client_body_temp_path {folder}/body;\n\
         proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n  \
         upstream provider {{ server {provider}; keepalive 64; }}\n  \
         server {{ listen {address}; location / {{\n    proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection \"\";\n    \
         proxy_buffering off; proxy_read_timeout 120s;\n  }} }}\n}}\n"
    );
    std::fs::write(&config, text).expect("a folder of our own");
    let mut command = Command::new(binary);
    command.arg("-c").arg(&config).arg("-p").arg(folder.to_string());
    let nginx = Process::start(command, address);
    wait_for(address);
    Some(nginx)
}

/// This program again, as a pass-through of bytes: what one hop between processes costs at least.
pub fn pass_through(provider: SocketAddr) -> Process {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--pass-through", &address.to_string(), &provider.to_string()]);
    let passing = Process::start(command, address);
    wait_for(address);
    passing
}

/// What [`pass_through`] starts. Never ends by itself.
pub fn be_pass_through(listen: SocketAddr, provider: SocketAddr) -> ! {
    crate::provider::runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.expect("a free port");
        loop {
            let Ok((mut client, _)) = listener.accept().await else { continue };
            tokio::spawn(async move {
                let mut upstream = tokio::net::TcpStream::connect(provider).await?;
                client.set_nodelay(true)?;
                upstream.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    })
}

fn wait_for(address: SocketAddr) {
    let by_ns = now_ns() + START_DEADLINE.as_nanos() as u64;
    while TcpStream::connect(address).is_err() {
        assert!(now_ns() < by_ns, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
