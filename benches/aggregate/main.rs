//! `cargo bench --bench aggregate`: the hub's release binary with 10, 50 and 200 small MCP servers behind it, beside other
//! aggregators that are installed, in one run on loopback. Prints a table in Markdown, a row as soon as it is there; fails on a
//! miss only with `--gate`. `.ci/peers/aggregators` installs the others and runs it.
//!
//! `--quick` leaves the 50 out and measures for a shorter time; `--servers N` takes that many alone; `--only NAME` measures one
//! aggregator; after `--limit-s S` (default 2700) nothing new begins. Others are found by `HEARTH_BENCH_NODE` and
//! `HEARTH_BENCH_MCP_HUB` (its cli.js), `HEARTH_BENCH_FASTMCP` and `HEARTH_BENCH_MCP_PROXY` (a Python that has it, each).
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod client;
mod peers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::peers::{Kind, Running, Tools, slug};

const TOOLS_EACH: usize = 5;

/// Until one has all tools, or what it will ever have. `mcp-hub` takes half a second a server.
const ALL_BY: Duration = Duration::from_secs(150);

/// Lists that are measured: as many as fit into the time, but some.
const LISTS_MAX: usize = 50;
const LISTS_MIN: usize = 3;

/// Between two looks at how many tools there are: a list costs some aggregators seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// Past it nothing new begins, seconds.
const LIMIT_S: u64 = 2700;

/// The hub's bars: first list, list, call p50 and p99, calls/s, PSS, idle CPU, all healthy tools with faulty servers.
const FIRST_LIST_MS: f64 = 100.0;
const LIST_MS: f64 = 2.0;
const CALL_P50_MS: f64 = 0.35;
const CALL_P99_MS: f64 = 2.0;
const CALLS_PER_S: f64 = 5000.0;
const PSS_MB: f64 = 25.0;
const IDLE_CPU: f64 = 0.5;
const HEALTHY_MS: f64 = 2000.0;

#[derive(Default)]
struct Figures {
    first_list_ms: f64,
    list_ms: f64,
    call_p50_ms: f64,
    call_p99_ms: f64,
    calls_per_s: f64,
    pss_mb: f64,
    idle_cpu: f64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1));
    let hearth = PathBuf::from(env!("CARGO_BIN_EXE_hearth"));
    let target = hearth.parent().expect("a binary is in a folder").to_owned();
    let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tools = Tools {
        hearth,
        tiny: target.join("examples/tiny_mcp_server"),
        node: env("HEARTH_BENCH_NODE").or_else(|| Some("node".into())),
        mcp_hub: env("HEARTH_BENCH_MCP_HUB"),
        fastmcp: env("HEARTH_BENCH_FASTMCP"),
        mcp_proxy: env("HEARTH_BENCH_MCP_PROXY"),
    };
    if !tools.tiny.exists() {
        eprintln!("build the small server first: cargo build --release --example tiny_mcp_server");
        return ExitCode::FAILURE;
    }
    let number = |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1)?.parse().ok());
    let sizes = match (number("--servers"), has("--quick")) {
        (Some(one), _) => vec![one as usize],
        (None, true) => vec![10, 200],
        (None, false) => vec![10, 50, 200],
    };
    let limit = Duration::from_secs(number("--limit-s").unwrap_or(LIMIT_S));
    let time = Duration::from_secs(if has("--quick") { 2 } else { 5 });
    let (began, mut missed) = (Instant::now(), false);
    println!(
        "| aggregator | servers | first list | list p50 | call p50 / p99 | calls/s, 8 clients | PSS | idle CPU | all healthy tools, 1 in 10 broken | load before |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for &servers in &sizes {
        for kind in Kind::ALL {
            let name = kind.name();
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let row = format!("| {name} | {servers} |");
            if !tools.has(kind) {
                println!("{row} not installed |||||||");
                continue;
            }
            if began.elapsed() > limit {
                println!("{row} not begun: {} s are over |||||||", limit.as_secs());
                continue;
            }
            let load = load();
            let measured = measure(kind, &tools, servers, time);
            let healthy_ms = healthy(kind, &tools, servers);
            let said = healthy_ms.as_ref().map_or_else(|_| "never".into(), |ms| shown(*ms));
            match &measured {
                Ok(figures) => println!("{row} {figures} {said} | {load} |"),
                Err(why) => println!("{row} did not get there: {} |||||| {said} | {load} |", why.replace('|', "/")),
            }
            if kind == Kind::Hearth {
                missed |= measured.is_ok_and(|figures| figures.misses()) || healthy_ms.is_ok_and(|ms| ms > HEALTHY_MS);
            } else if let Err(why) = healthy_ms {
                eprintln!("  {name} with {servers}, 1 in 10 broken: {why}");
            }
        }
    }
    println!(
        "| bar | | {FIRST_LIST_MS} ms | {LIST_MS} ms | {CALL_P50_MS} / {CALL_P99_MS} ms | {CALLS_PER_S} | {PSS_MB} MB | {IDLE_CPU} % | {HEALTHY_MS} ms | |"
    );
    if has("--gate") && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { first_list_ms, list_ms, call_p50_ms, call_p99_ms, calls_per_s, pss_mb, idle_cpu } = self;
        write!(
            f,
            "{} | {list_ms:.2} ms | {call_p50_ms:.2} / {call_p99_ms:.2} ms | {calls_per_s:.0} | {pss_mb:.1} MB | {idle_cpu:.1} % |",
            shown(*first_list_ms)
        )
    }
}

impl Figures {
    fn misses(&self) -> bool {
        self.first_list_ms > FIRST_LIST_MS
            || self.list_ms > LIST_MS
            || self.call_p50_ms > CALL_P50_MS
            || self.call_p99_ms > CALL_P99_MS
            || self.calls_per_s < CALLS_PER_S
            || self.pss_mb > PSS_MB
            || self.idle_cpu > IDLE_CPU
    }
}

fn shown(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

/// What else the machine does: with more than a little of it, figures are worth their order alone.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn measure(kind: Kind, tools: &Tools, servers: usize, time: Duration) -> Result<Figures, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = peers::start(kind, tools, folder.path(), servers, false)?;
    let first_list_ms = until_all(kind, &mut running, servers, servers * TOOLS_EACH)?;
    let mut figures = Figures { first_list_ms, ..Figures::default() };
    if kind == Kind::Hearth {
        // What it learnt is on disk: the first list of a start is what its user waits for.
        drop(running);
        running = peers::start(kind, tools, folder.path(), servers, false)?;
        figures.first_list_ms = until_all(kind, &mut running, servers, servers * TOOLS_EACH)?;
    }
    let measured = under_load(kind, &running, servers, time, figures);
    measured.map_err(|why| format!("{why}: {}", running.last_words()))
}

fn under_load(
    kind: Kind,
    running: &Running,
    servers: usize,
    time: Duration,
    mut figures: Figures,
) -> Result<Figures, String> {
    let mut clients = open(kind, running, servers)?;
    let (mut lists, since) = (Vec::new(), Instant::now());
    while lists.len() < LISTS_MAX && (lists.len() < LISTS_MIN || since.elapsed() < 2 * time) {
        let began = Instant::now();
        for client in &mut clients {
            client.answer("tools/list", &json!({}))?;
        }
        lists.push(ms(began));
    }
    figures.list_ms = quantile(&mut lists, 0.5);
    let tool = tool_name(kind, &mut clients).ok_or("there is no tool to call")?;
    let ask = json!({ "name": tool, "arguments": { "text": "hello" } });
    let client = &mut clients[0];
    let (mut calls, since) = (0, Instant::now());
    while calls < 100 && (calls < 3 || since.elapsed() < time) {
        client.request("tools/call", &ask)?;
        calls += 1;
    }
    let (mut calls, by) = (Vec::new(), Instant::now() + time);
    while Instant::now() < by || calls.len() < 3 {
        let began = Instant::now();
        let said = client.request("tools/call", &ask)?;
        calls.push(ms(began));
        if said["content"][0]["text"] != "hello" {
            return Err(format!("it answers wrongly: {said}"));
        }
    }
    (figures.call_p50_ms, figures.call_p99_ms) = (quantile(&mut calls, 0.5), quantile(&mut calls, 0.99));
    figures.calls_per_s = many(kind, running, &ask, time);
    drop(clients);
    std::thread::sleep(Duration::from_secs(1));
    let (before, since) = (running.cpu_ns(), Instant::now());
    std::thread::sleep(time);
    figures.idle_cpu = running.cpu_ns().saturating_sub(before) as f64 / since.elapsed().as_nanos() as f64 * 100.0;
    figures.pss_mb = running.pss_bytes() as f64 / 1024.0 / 1024.0;
    eprintln!("  {} with {servers}: {} children", kind.name(), running.children());
    Ok(figures)
}

/// With one server in ten that crashes, hangs or talks nonsense: from the start to all healthy tools, milliseconds.
fn healthy(kind: Kind, tools: &Tools, servers: usize) -> Result<f64, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = peers::start(kind, tools, folder.path(), servers, true)?;
    until_all(kind, &mut running, servers, (servers - servers.div_ceil(10)) * TOOLS_EACH)
}

/// Waits until so many tools are listed; since the start of the program, milliseconds. One session an endpoint is kept, as long
/// as it is of use.
fn until_all(kind: Kind, running: &mut Running, servers: usize, wanted: usize) -> Result<f64, String> {
    let (mut seen, mut clients) = (0, Vec::new());
    while running.began.elapsed() < ALL_BY {
        if running.has_ended() {
            return Err(format!("it ended, with {seen} of {wanted} tools: {}", running.last_words()));
        }
        if clients.len() < kind.paths(servers).len() {
            clients = open(kind, running, servers).unwrap_or_default();
        }
        let looked = Instant::now();
        match list(&mut clients) {
            Ok(found) if found >= wanted => return Ok(ms(running.began)),
            Ok(found) => seen = found,
            Err(_) => clients.clear(),
        }
        // Who needs long for a list is not kept from its work by being asked again and again.
        std::thread::sleep((looked.elapsed() / 2).clamp(LOOK_AGAIN, LOOK_AGAIN_MAX));
    }
    Err(format!("{seen} of {wanted} tools after {} s: {}", ALL_BY.as_secs(), running.last_words()))
}

fn open(kind: Kind, running: &Running, servers: usize) -> Result<Vec<Client>, String> {
    let paths = kind.paths(servers);
    let opened = paths.iter().map(|path| Client::open(running.address, path, kind.wire()));
    // An endpoint for each server: those of broken ones are not there.
    let opened: Vec<_> = opened.filter_map(Result::ok).collect();
    if opened.is_empty() { Err("nobody is there".into()) } else { Ok(opened) }
}

/// The tools of the small servers.
fn list(clients: &mut [Client]) -> Result<usize, String> {
    let mut count = 0;
    for client in clients {
        count += client.tools()?.iter().filter(|tool| name(tool).contains("echo_")).count();
    }
    Ok(count)
}

fn tool_name(kind: Kind, clients: &mut [Client]) -> Option<String> {
    let tools = clients[0].tools().ok()?;
    let wanted = if kind == Kind::McpProxy { "echo_0".to_owned() } else { slug(1) };
    let found = tools.iter().map(name).find(|name| name.contains(&wanted) && name.contains("echo_0"));
    found.map(ToOwned::to_owned)
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().unwrap_or_default()
}

/// Calls a second of eight clients.
fn many(kind: Kind, running: &Running, ask: &Value, time: Duration) -> f64 {
    let (calls, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let path = &kind.paths(1)[0];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let Ok(mut client) = Client::open(running.address, path, kind.wire()) else { return };
                while !over.load(Ordering::Relaxed) && client.request("tools/call", ask).is_ok() {
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    calls.into_inner() as f64 / time.as_secs_f64()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn quantile(figures: &mut [f64], q: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[((figures.len() - 1) as f64 * q) as usize]
}
