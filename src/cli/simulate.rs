//! `hearth simulate`: a simulated Z-Stack stick with a house of devices, on a TCP port or a pseudo-terminal, that hosts of others
//! take for a real one. Says what happens, and takes orders on its standard input (`press remote`, `help`). The driver of
//! `zigbee::sim`; decides nothing about Zigbee.

use std::fs;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use crate::app;
use crate::zigbee::sim::{AirFaults, Generation, LineFaults, MODELS, Model, Nv, SimConfig, Simulator};

/// Bytes of the host taken at a time.
const READ_LEN: usize = 4096;

/// Bytes for a host that does not fetch them; what is more stays in the stick, which throws away its oldest.
const UNSAID_LEN_MAX: usize = 64 * 1024;

/// Orders that wait to be carried out.
const ORDERS_LEN: usize = 64;

/// The stick's memory is written to its file so often at most.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// Devices of a house; the stick's tables and the LAN of a test bear no more.
const DEVICES_MAX: usize = 1_000;

/// A hop longer than this is a typing error.
const LATENCY_MS_MAX: f64 = 10_000.0;

#[derive(clap::Args)]
pub struct Args {
    /// Serve the stick at a TCP port: `tcp:127.0.0.1:6638`; port 0 takes a free one.
    #[arg(long, value_name = "tcp:HOST:PORT", required_unless_present = "pty")]
    listen: Option<String>,
    /// Serve it as a serial port behind this symbolic link.
    #[arg(long, value_name = "LINK", conflicts_with = "listen")]
    pty: Option<PathBuf>,
    /// The devices, such as `bulb,plug,climate*20` [default: one of each].
    #[arg(long, value_name = "LIST")]
    devices: Option<String>,
    /// The generation of the firmware: `3.x.0` (CC2652) or `3.0.x` (CC2531).
    #[arg(long, default_value = "3.x.0")]
    generation: String,
    /// Keep the stick's memory in this file.
    #[arg(long, value_name = "FILE")]
    nv: Option<PathBuf>,
    /// What a hop through the air takes, one way.
    #[arg(long, value_name = "MS", default_value_t = 5.0)]
    latency_ms: f64,
    /// What goes wrong, as shares of 1: `garbled=0.01,lost=0.01,duplicated=0.01,resets=0.001,air-lost=0.01,air-duplicated=0.01`.
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// Chance comes from this number; the same number, the same house.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Devices join only when they are told to (`pair DEVICE`).
    #[arg(long)]
    shy: bool,
    /// A line of JSON for each thing that happens.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = config(&args)?;
    serve(&args, config)?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &Args) -> anyhow::Result<SimConfig> {
    let generation = match args.generation.as_str() {
        "3.x.0" => Generation::V3x0,
        "3.0.x" => Generation::V30x,
        other => bail!("there is no generation {other}; there are 3.x.0 and 3.0.x"),
    };
    if !(0.0..=LATENCY_MS_MAX).contains(&args.latency_ms) {
        bail!("--latency-ms is 0 to {LATENCY_MS_MAX}");
    }
    let (line, air) = faults(args.faults.as_deref().unwrap_or_default())?;
    let nv = args.nv.as_deref().map(load).transpose()?.flatten();
    let devices = args.devices.as_deref().map_or_else(|| Ok(MODELS.iter().collect()), devices)?;
    let latency = Duration::from_secs_f64(args.latency_ms / 1e3);
    Ok(SimConfig { generation, latency, devices, boxed: Vec::new(), auto_join: !args.shy, nv, line, air })
}

fn devices(list: &str) -> anyhow::Result<Vec<&'static Model>> {
    let mut found = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, count) = item.split_once('*').unwrap_or((item, "1"));
        let count: usize = count.parse().with_context(|| format!("{item}: how many?"))?;
        let model = MODELS.iter().find(|model| model.name == name).with_context(|| {
            let names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
            format!("there is no device {name}; there are {}", names.join(", "))
        })?;
        if found.len().saturating_add(count) > DEVICES_MAX {
            bail!("a house has at most {DEVICES_MAX} devices");
        }
        found.extend(std::iter::repeat_n(model, count));
    }
    Ok(found)
}

fn faults(list: &str) -> anyhow::Result<(LineFaults, AirFaults)> {
    let (mut line, mut air) = (LineFaults::default(), AirFaults::default());
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let share = item.split_once('=').and_then(|(name, share)| Some((name, share.parse::<f64>().ok()?)));
        let Some((name, share)) = share.filter(|(_, share)| (0.0..=1.0).contains(share)) else {
            bail!("{item} is no fault: it goes NAME=SHARE, and a share is 0 to 1");
        };
        *match name {
            "garbled" => &mut line.garbled,
            "lost" => &mut line.lost,
            "duplicated" => &mut line.duplicated,
            "resets" => &mut line.resets,
            "air-lost" => &mut air.lost,
            "air-duplicated" => &mut air.duplicated,
            _ => bail!("there is no fault {name}"),
        } = share;
    }
    Ok((line, air))
}

fn load(path: &Path) -> anyhow::Result<Option<Nv>> {
    match fs::read(path) {
        Ok(bytes) => {
            let nv = serde_json::from_slice(&bytes);
            Ok(Some(nv.with_context(|| format!("{} is no memory of a stick", path.display()))?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whole or not at all: through a file beside it.
fn save(path: &Path, nv: &Nv) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec_pretty(nv).expect("a memory is plain"))
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Where the host is.
enum Door {
    Tcp { listener: TcpListener, host: Option<TcpStream> },
    Pty(Pty),
}

/// A pseudo-terminal in raw mode. The far end is held open, so that a host may come and go.
struct Pty {
    near: fs::File,
    _far: fs::File,
    link: PathBuf,
}

impl Door {
    fn open(args: &Args) -> anyhow::Result<(Door, String)> {
        if let Some(link) = &args.pty {
            let pty = Pty::open(link).with_context(|| format!("cannot serve a serial port at {}", link.display()))?;
            return Ok((Door::Pty(pty), link.display().to_string()));
        }
        let listen = args.listen.as_deref().unwrap_or_default();
        let address = listen.strip_prefix("tcp:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        let address: SocketAddr = address
            .and_then(|address| address.replace("localhost", "127.0.0.1").parse().ok())
            .with_context(|| format!("{listen}: it goes tcp:HOST:PORT, with the host as an IP address"))?;
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((Door::Tcp { listener, host: None }, format!("tcp://{address}")))
    }

    /// The line to the host that is there.
    fn line(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Door::Pty(pty) => Some(pty.near.as_fd()),
            Door::Tcp { host, .. } => host.as_ref().map(AsFd::as_fd),
        }
    }

    fn listener(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Door::Pty(_) => None,
            Door::Tcp { listener, .. } => Some(listener.as_fd()),
        }
    }

    /// One host at a time, as on a wire: the last one has it.
    fn accept(&mut self) -> io::Result<bool> {
        let Door::Tcp { listener, host } = self else {
            return Ok(false);
        };
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                *host = Some(stream);
                Ok(true)
            }
            // It has gone again, or there is no room for it just now.
            Err(_) => Ok(false),
        }
    }

    /// What the host says. `None`: it has gone.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Door::Pty(pty) => match pty.near.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
                read => read.map(Some),
            },
            Door::Tcp { host, .. } => match host.as_mut().map(|stream| stream.read(buffer)) {
                Some(Ok(len)) if len > 0 => Ok(Some(len)),
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
                _ => {
                    *host = None;
                    Ok(None)
                }
            },
        }
    }

    /// Says as much of it as the line takes; all of it where nobody is there to hear.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Door::Pty(pty) => pty.near.write(bytes),
            Door::Tcp { host: None, .. } => return Ok(bytes.len()),
            Door::Tcp { host: Some(stream), .. } => stream.write(bytes),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            // A reset connection: reading will say so.
            Err(_) if matches!(self, Door::Tcp { .. }) => Ok(bytes.len()),
            written => written,
        }
    }
}

impl Pty {
    fn open(link: &Path) -> anyhow::Result<Pty> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = PathBuf::from(ptsname(&near, Vec::new())?.into_string()?);
        let far = fs::OpenOptions::new().read(true).write(true).open(&name)?;
        let mut mode = tcgetattr(&far)?;
        mode.make_raw();
        tcsetattr(&far, OptionalActions::Now, &mode)?;
        fcntl_setfl(&near, fcntl_getfl(&near)? | OFlags::NONBLOCK)?;
        // A link that was left is taken away; anything else is somebody's.
        if link.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(&name, link)?;
        Ok(Pty { near: near.into(), _far: far, link: link.to_owned() })
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.link); // it was taken away by somebody else
    }
}

/// What is printed: lines for people, or JSON.
struct Speaker {
    json: bool,
    began: Instant,
}

impl Speaker {
    fn say(&self, at: Instant, who: &str, what: &str, is_violation: bool) {
        let seconds = at.saturating_duration_since(self.began).as_secs_f64();
        let line = match self.json {
            true => json!({"t": (seconds * 1e3).round() / 1e3, "who": who, "what": what, "violation": is_violation})
                .to_string(),
            false => format!("{seconds:9.3} {}{who}: {what}", if is_violation { "VIOLATION " } else { "" }),
        };
        print(&line);
    }

    fn greet(&self, name: &str) {
        print(&match self.json {
            true => json!({"listening": name}).to_string(),
            false => format!("The stick is at {name}. Orders: help. Stop with Ctrl-C."),
        });
    }

    fn answer(&self, order: &str, answer: Result<String, String>) {
        let line = match (self.json, answer) {
            (true, Ok(answer)) => json!({"order": order, "answer": answer}).to_string(),
            (true, Err(error)) => json!({"order": order, "error": error}).to_string(),
            (false, Ok(answer)) if answer.is_empty() => return,
            (false, Ok(answer) | Err(answer)) => answer,
        };
        print(&line);
    }
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    // Nobody listens any more: that is no reason to stop the stick.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What other threads say.
enum Word {
    Order(String),
    Stop,
}

/// The standard input and the signals, each on a thread of its own. A byte at the other end of the wire says that there is
/// something. The end of the input is no end of the stick.
fn words() -> anyhow::Result<(mpsc::Receiver<Word>, UnixStream)> {
    let (sender, receiver) = mpsc::sync_channel(ORDERS_LEN);
    let (wire, end) = UnixStream::pair()?;
    wire.set_nonblocking(true)?;
    let (to_stop, stop_end) = (sender.clone(), end.try_clone()?);
    let tell = |sender: &mpsc::SyncSender<Word>, mut end: &UnixStream, word| {
        sender.send(word).is_ok() && end.write_all(&[0]).is_ok()
    };
    let runtime = app::runtime()?;
    thread::spawn(move || {
        runtime.block_on(app::stop_signal());
        tell(&to_stop, &stop_end, Word::Stop);
    });
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let word = if matches!(line.trim(), "quit" | "exit") { Word::Stop } else { Word::Order(line) };
            if !tell(&sender, &end, word) {
                break;
            }
        }
    });
    Ok((receiver, wire))
}

#[expect(clippy::disallowed_methods, reason = "the driver of the simulated stick")]
fn clock() -> Instant {
    Instant::now()
}

fn serve(args: &Args, config: SimConfig) -> anyhow::Result<()> {
    let began = clock();
    let speaker = Speaker { json: args.json, began };
    let mut sim = Simulator::new(config, args.seed, began);
    let (mut door, name) = Door::open(args)?;
    let (words, mut wire) = words()?;
    let mut buffer = [0; READ_LEN];
    let mut unsaid: Vec<u8> = Vec::new();
    let mut saved = (began, sim.nv().clone());
    speaker.greet(&name);
    loop {
        while unsaid.len() < UNSAID_LEN_MAX
            && let Some(bytes) = sim.poll_transmit()
        {
            unsaid.extend(bytes);
        }
        let written = door.write(&unsaid)?;
        unsaid.drain(..written);
        while let Some(news) = sim.poll_news() {
            speaker.say(news.at, &news.who, &news.what, news.is_violation);
        }
        let now = clock();
        let save_at = (args.nv.is_some() && saved.1 != *sim.nv()).then(|| saved.0 + SAVE_EVERY);
        if let Some(path) = args.nv.as_deref().filter(|_| save_at.is_some_and(|at| at <= now)) {
            save(path, sim.nv())?;
            saved = (now, sim.nv().clone());
            continue;
        }
        let wake = [sim.poll_timeout(), save_at].into_iter().flatten().min();
        let [has_line, has_caller, has_word] =
            wait(&door, &wire, !unsaid.is_empty(), wake.map(|at| at.saturating_duration_since(now)))?;
        let now = clock();
        sim.handle_timeout(now);
        if has_caller && door.accept()? {
            unsaid.clear();
            sim.handle_closed(now);
        } else if has_line {
            match door.read(&mut buffer)? {
                Some(len) => sim.handle_bytes(now, &buffer[..len]),
                None => {
                    unsaid.clear();
                    sim.handle_closed(now);
                }
            }
        }
        if has_word {
            let _ = wire.read(&mut buffer); // a bell; the words are in the channel
        }
        while let Ok(word) = words.try_recv() {
            match word {
                Word::Stop => {
                    args.nv.as_deref().map_or(Ok(()), |path| save(path, sim.nv()))?;
                    return Ok(());
                }
                Word::Order(order) => {
                    let answer = sim.order(clock(), &order).map_err(|error| error.to_string());
                    speaker.answer(&order, answer);
                }
            }
        }
    }
}

/// Sleeps until there is something to do, to the microsecond: a runtime's timers are good to a millisecond, a fifth of a hop.
/// Whether the host speaks, one is at the door, or another thread has a word.
fn wait(door: &Door, wire: &UnixStream, has_unsaid: bool, at_most: Option<Duration>) -> anyhow::Result<[bool; 3]> {
    let timeout = at_most.map(|wait| Timespec {
        tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    let wants = if has_unsaid { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut waited = vec![PollFd::new(wire, PollFlags::IN)];
    let (line, listener) = (door.line(), door.listener());
    waited.extend(line.iter().map(|line| PollFd::new(line, wants)));
    waited.extend(listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
    match poll(&mut waited, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |at: usize| waited.get(at).is_some_and(|fd| fd.revents().intersects(!PollFlags::OUT));
    let has_line = line.is_some() && is_ready(1);
    let has_caller = listener.is_some() && is_ready(if line.is_some() { 2 } else { 1 });
    Ok([has_line, has_caller, is_ready(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_devices_and_faults_are_read_or_refused() {
        let house = devices("bulb, climate*3").expect("a house");
        assert_eq!(house.iter().map(|model| model.name).collect::<Vec<_>>(), ["bulb", "climate", "climate", "climate"]);
        let error = devices("toaster").expect_err("no such device").to_string();
        assert!(error.contains("toaster") && error.contains("bulb"), "{error}");
        assert!(devices("bulb*1001").is_err());
        let (line, air) = faults("garbled=0.5,air-lost=1").expect("faults");
        assert_eq!((line.garbled, air.lost), (0.5, 1.0));
        for bad in ["garbled", "garbled=2", "ghosts=0.1", "lost=x"] {
            assert!(faults(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_memory_outlives_the_program_and_rubbish_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stick.json");
        assert!(load(&path).expect("no file is a fresh stick").is_none());
        let sim = Simulator::new(SimConfig::default(), 1, clock());
        save(&path, sim.nv()).expect("written");
        assert_eq!(load(&path).expect("read").as_ref(), Some(sim.nv()));
        fs::write(&path, "{}}").expect("rubbish");
        assert!(load(&path).is_err());
    }
}
