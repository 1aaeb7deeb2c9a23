//! `cargo bench --bench forward`: the hub's release binary against nginx, forwarding the same provider's streams in one run
//! on loopback, beside the bars that the project has set itself. Prints figures; fails on a miss only with `--gate`.
//!
//! `--quick` for a minute, `--json` for programs, `--only WORD` for the groups delay, flat, memory, start, leave.

mod client;
mod clock;
mod measure;
mod process;
mod provider;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::client::Speech;
use crate::measure::{Leaving, Pace, Target, Window, quantile};
use crate::process::Process;
use crate::provider::Provider;
use crate::report::{Bar, Row};

/// The whole run ends by then, whatever hangs.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

const PACES: [Pace; 3] = [
    Pace { streams: 1, interval: Duration::from_millis(20) },
    Pace { streams: 50, interval: Duration::from_millis(50) },
    Pace { streams: 200, interval: Duration::from_millis(100) },
];

/// After its start, until a hub has given back the memory that it needed for that (`app/memory`).
const RESTED: Duration = Duration::from_secs(8);

const FLAT_OUT_STREAMS: [usize; 3] = [1, 8, 50];

const P50_TIMES: f64 = 1.5;
const P99_TIMES: f64 = 2.0;
const CPU_US_PER_CHUNK: f64 = 20.0;
const CHUNKS_PER_S: f64 = 60_000.0;
const PSS_MB: f64 = 12.0;
const IDLE_KB: f64 = 8.0;
const START_MS: f64 = 100.0;
const LEAVE_MS: f64 = 5.0;

const KB: f64 = 1024.0;
const MB: f64 = 1024.0 * 1024.0;

/// How long and how often.
struct Effort {
    rounds: usize,
    window: Duration,
    flat_out: Duration,
    idle: usize,
    starts: usize,
    leaves: usize,
}

const FULL: Effort = Effort {
    rounds: 4,
    window: Duration::from_secs(5),
    flat_out: Duration::from_secs(3),
    idle: 5000,
    starts: 20,
    leaves: 200,
};

const QUICK: Effort = Effort {
    rounds: 1,
    window: Duration::from_secs(3),
    flat_out: Duration::from_secs(2),
    idle: 2000,
    starts: 5,
    leaves: 40,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, listen, provider] = &args[..]
        && flag == "--pass-through"
    {
        process::be_pass_through(listen.parse().expect("an address"), provider.parse().expect("an address"));
    }
    // `cargo bench` adds its own `--bench`.
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let only = args.iter().skip_while(|arg| *arg != "--only").nth(1).cloned();
    let wanted = |group: &str| only.as_deref().is_none_or(|only| only == group);
    end_with_us();
    hearth::gateway::listen::raise_open_files();
    let binary = hub_binary();
    let effort = if has("--quick") { &QUICK } else { &FULL };
    let mut provider = Provider::start();
    let mut rows = Vec::new();
    if wanted("delay") || wanted("flat") {
        forwarding(&mut rows, &binary, &provider, effort, wanted("delay"), wanted("flat"));
    }
    if wanted("memory") {
        memory(&mut rows, &binary, &provider, effort);
    }
    if wanted("start") {
        starts(&mut rows, &binary, &provider, effort);
    }
    if wanted("leave") {
        leaving(&mut rows, &binary, &mut provider, effort);
    }
    if has("--json") {
        report::print_json(&rows);
    } else {
        report::print_table(&rows);
    }
    let missed = rows.iter().filter(|row| row.passes() == Some(false)).count();
    if has("--gate") && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `HEARTH_BIN`, or the one that cargo built along with this.
fn hub_binary() -> PathBuf {
    std::env::var_os("HEARTH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_hearth").into(), PathBuf::from)
}

/// Ends what was started when this program is told to end, or when it takes too long.
fn end_with_us() {
    let watch = || {
        let told = provider::runtime()
            .block_on(async { tokio::time::timeout(DEADLINE, hearth::app::stop_signal()).await.is_ok() });
        process::end_all();
        eprintln!("{}", if told { "stopped" } else { "the benchmark took too long and was ended" });
        std::process::exit(if told { 130 } else { 1 });
    };
    std::thread::Builder::new().name("end".into()).spawn(watch).expect("a thread");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Progress, away from the figures.
fn say(text: &str) {
    eprintln!("{text}");
}

/// Delays, CPU and throughput, hub and nginx in turns so that noise hits both.
fn forwarding(rows: &mut Vec<Row>, binary: &Path, provider: &Provider, effort: &Effort, delay: bool, flat: bool) {
    let (place, nginx_place) = (folder(), folder());
    let (hub, _) = process::hub(binary, place.path(), provider.address);
    let nginx = process::nginx(nginx_place.path(), provider.address);
    if nginx.is_none() {
        say("nginx is not installed: its figures and the ratios are skipped");
    }
    let passing = process::pass_through(provider.address);
    let mut targets =
        vec![Target { name: "hub", address: hub.address, speech: Speech::WebSocket, process: Some(&hub) }];
    targets.extend(nginx.as_ref().map(|nginx| plain("nginx", nginx)));
    targets.push(plain("pass-through", &passing));
    targets.push(Target { name: "direct", address: provider.address, speech: Speech::Http, process: None });
    for pace in PACES.iter().filter(|_| delay) {
        let name = format!("{} x {} ms", pace.streams, pace.interval.as_millis());
        let mut windows =
            in_turns(&targets, effort.rounds, |target| measure::paced(target, provider, *pace, effort.window));
        say_others(&name, &targets, &mut windows);
        let nginx = targets.iter().position(|target| target.name == "nginx");
        for (quantile_name, q, times) in [("p50", 0.5, P50_TIMES), ("p99", 0.99, P99_TIMES), ("max", 1.0, 0.0)] {
            let bar = if times > 0.0 { Bar::TimesNginx(times) } else { Bar::None };
            let mut us = |at: usize| quantile(&mut windows[at].delays_ns, q) as f64 / 1e3;
            rows.push(Row::new(format!("delay {name} {quantile_name}"), "us", us(0), bar).beside(nginx.map(us)));
        }
        let cpu = |at: usize| windows[at].cpu_us_per_chunk();
        rows.push(
            Row::new(format!("cpu a chunk {name}"), "us", cpu(0), Bar::AtMost(CPU_US_PER_CHUNK)).beside(nginx.map(cpu)),
        );
    }
    for streams in FLAT_OUT_STREAMS.into_iter().filter(|_| flat) {
        let name = format!("flat out, streams: {streams}");
        let mut windows = in_turns(&targets, effort.rounds.min(2), |target| {
            measure::flat_out(target, provider, streams, effort.flat_out)
        });
        say_others(&name, &targets, &mut windows);
        let nginx = targets.iter().position(|target| target.name == "nginx");
        let rate = |at: usize| windows[at].chunks_per_s();
        rows.push(
            Row::new(format!("chunks/s {name}"), "1/s", rate(0), Bar::AtLeast(CHUNKS_PER_S)).beside(nginx.map(rate)),
        );
        let cpu = |at: usize| windows[at].cpu_us_per_chunk();
        rows.push(Row::new(format!("cpu a chunk {name}"), "us", cpu(0), Bar::None).beside(nginx.map(cpu)));
    }
    rows.push(Row::new("PSS after all of these loads", "MB", hub.pss_bytes() as f64 / MB, Bar::None));
    hub.stop();
}

fn plain<'a>(name: &'static str, process: &'a Process) -> Target<'a> {
    Target { name, address: process.address, speech: Speech::Http, process: Some(process) }
}

/// A B C A B C …: the windows of each target, in the order of the targets.
fn in_turns(targets: &[Target<'_>], rounds: usize, run: impl Fn(&Target<'_>) -> Window) -> Vec<Window> {
    let mut windows: Vec<Window> = targets.iter().map(|_| Window::default()).collect();
    for _ in 0..rounds {
        for (target, window) in targets.iter().zip(&mut windows) {
            window.add(run(target));
        }
    }
    windows
}

/// Everybody's figures of a load, and how busy the load itself and the rest of the machine were.
fn say_others(load: &str, targets: &[Target<'_>], windows: &mut [Window]) {
    for (target, window) in targets.iter().zip(windows) {
        let (p50, p99) = (quantile(&mut window.delays_ns, 0.5), quantile(&mut window.delays_ns, 0.99));
        say(&format!(
            "{load:<24} {:<13} {:>8} chunks  p50 {:>7.1} us  p99 {:>8.1} us  cpu/chunk {:>6.2} us  of one cpu: target {:.2} provider {:.2} clients {:.2} others {:.2}",
            target.name,
            window.delays_ns.len(),
            p50 as f64 / 1e3,
            p99 as f64 / 1e3,
            window.cpu_us_per_chunk(),
            window.share(window.cpu_ns),
            window.share(window.provider_cpu_ns),
            window.share(window.client_cpu_ns),
            window.share(window.others_cpu_ns),
        ));
    }
}

fn memory(rows: &mut Vec<Row>, binary: &Path, provider: &Provider, effort: &Effort) {
    let place = folder();
    let hub = rested(binary, place.path(), provider);
    rows.push(Row::new("PSS at rest", "MB", hub.pss_bytes() as f64 / MB, Bar::None));
    let target = Target { name: "hub", address: hub.address, speech: Speech::WebSocket, process: Some(&hub) };
    let window = measure::paced(&target, provider, PACES[2], effort.window);
    rows.push(Row::new("PSS with 200 streams running", "MB", window.pss_bytes as f64 / MB, Bar::AtMost(PSS_MB)));
    hub.stop();
    for (name, hello) in [("v1", false), ("v2, after hello", true)] {
        let place = folder();
        let hub = rested(binary, place.path(), provider);
        let each = measure::idle(&hub, effort.idle, hello);
        let name = format!("PSS of an idle WebSocket, {name} ({})", effort.idle);
        rows.push(Row::new(name, "kB", each / KB, Bar::AtMost(IDLE_KB)));
        hub.stop();
    }
}

/// A hub that has given back what its start needed.
fn rested(binary: &Path, folder: &Path, provider: &Provider) -> Process {
    let (hub, _) = process::hub(binary, folder, provider.address);
    std::thread::sleep(RESTED);
    hub
}

fn starts(rows: &mut Vec<Row>, binary: &Path, provider: &Provider, effort: &Effort) {
    let (mut fresh, mut existing) = (Vec::new(), Vec::new());
    for _ in 0..effort.starts {
        let place = folder();
        for times in [&mut fresh, &mut existing] {
            let (hub, took) = process::hub(binary, place.path(), provider.address);
            times.push(took.as_nanos() as u64);
            hub.stop();
        }
    }
    for (name, times) in [("fresh", &mut fresh), ("existing", &mut existing)] {
        let ms = |q, times: &mut Vec<u64>| quantile(times, q) as f64 / 1e6;
        rows.push(Row::new(
            format!("start to serving, {name} store, p50"),
            "ms",
            ms(0.5, times),
            Bar::AtMost(START_MS),
        ));
        rows.push(Row::new(
            format!("start to serving, {name} store, max"),
            "ms",
            ms(1.0, times),
            Bar::AtMost(START_MS),
        ));
    }
}

fn leaving(rows: &mut Vec<Row>, binary: &Path, provider: &mut Provider, effort: &Effort) {
    let (place, nginx_place) = (folder(), folder());
    let (hub, _) = process::hub(binary, place.path(), provider.address);
    let nginx = process::nginx(nginx_place.path(), provider.address);
    let hub_target = Target { name: "hub", address: hub.address, speech: Speech::WebSocket, process: Some(&hub) };
    for (name, leaving) in [
        ("cancel in mid-stream", Leaving::Cancel),
        ("cancel before a token", Leaving::CancelEarly),
        ("client leaves", Leaving::Close),
    ] {
        let mut times = measure::leave(&hub_target, provider, leaving, effort.leaves);
        let mut beside = nginx
            .as_ref()
            .filter(|_| leaving == Leaving::Close)
            .map(|nginx| measure::leave(&plain("nginx", nginx), provider, leaving, effort.leaves));
        for (quantile_name, q) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("{name} -> upstream closes, {quantile_name}");
            let ms = quantile(&mut times, q) as f64 / 1e6;
            let beside = beside.as_mut().map(|times| quantile(times, q) as f64 / 1e6);
            rows.push(Row::new(name, "ms", ms, Bar::AtMost(LEAVE_MS)).beside(beside));
        }
    }
    hub.stop();
}
