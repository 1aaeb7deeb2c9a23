//! `cargo bench --bench aggregate`: the hub's release binary with 10, 50 and 200 small MCP servers behind it, beside other
//! aggregators that are installed, in one run on loopback. Prints figures; fails on a miss only with `--gate`.
//!
//! `--quick` leaves the 50 out and measures for a shorter time; `--servers N` takes that many alone; `--only NAME` measures one
//! aggregator. Others are found by `HEARTH_BENCH_NODE` and `HEARTH_BENCH_MCP_HUB` (its cli.js), `HEARTH_BENCH_FASTMCP` and
//! `HEARTH_BENCH_MCP_PROXY` (a Python that has it, each).
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

/// Until a peer has all tools, or what it will ever have.
const ALL_BY: Duration = Duration::from_secs(120);

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
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/release");
    let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tools = Tools {
        hearth: env!("CARGO_BIN_EXE_hearth").into(),
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
    let wanted = args.iter().position(|arg| arg == "--servers").and_then(|at| args.get(at + 1)?.parse().ok());
    let wanted: Option<[usize; 1]> = wanted.map(|servers| [servers]);
    let sizes: &[usize] = if let Some(one) = &wanted {
        one
    } else if has("--quick") {
        &[10, 200]
    } else {
        &[10, 50, 200]
    };
    let time = Duration::from_secs(if has("--quick") { 2 } else { 5 });
    let mut missed = false;
    println!(
        "{:<10} {:>7} {:>11} {:>8} {:>9} {:>9} {:>8} {:>7} {:>7} {:>11}",
        "", "servers", "first list", "list p50", "call p50", "call p99", "calls/s", "PSS MB", "idle %", "1/10 faulty"
    );
    for kind in Kind::ALL {
        if only.is_some_and(|only| only != kind.name()) {
            continue;
        }
        for &servers in sizes {
            let folder = tempfile::tempdir().expect("a folder");
            let Some(figures) = measure(kind, &tools, folder.path(), servers, time) else {
                println!("{:<10} is not installed, or did not get there", kind.name());
                break;
            };
            let faulty = tempfile::tempdir().expect("a folder");
            let healthy_ms = healthy(kind, &tools, faulty.path(), servers);
            let said = healthy_ms.map_or("never".into(), |ms| format!("{ms:.0} ms"));
            println!(
                "{:<10} {servers:>7} {:>8.1} ms {:>8.2} {:>9.3} {:>9.3} {:>8.0} {:>7.1} {:>7.2} {said:>11}",
                kind.name(),
                figures.first_list_ms,
                figures.list_ms,
                figures.call_p50_ms,
                figures.call_p99_ms,
                figures.calls_per_s,
                figures.pss_mb,
                figures.idle_cpu,
            );
            if kind == Kind::Hearth {
                missed |= figures.first_list_ms > FIRST_LIST_MS
                    || figures.list_ms > LIST_MS
                    || figures.call_p50_ms > CALL_P50_MS
                    || figures.call_p99_ms > CALL_P99_MS
                    || figures.calls_per_s < CALLS_PER_S
                    || figures.pss_mb > PSS_MB
                    || figures.idle_cpu > IDLE_CPU
                    || healthy_ms.is_none_or(|ms| ms > HEALTHY_MS);
            }
        }
    }
    println!(
        "bars: first list < {FIRST_LIST_MS} ms, list < {LIST_MS} ms, call < {CALL_P50_MS}/{CALL_P99_MS} ms, ≥ {CALLS_PER_S} calls/s, < {PSS_MB} MB, < {IDLE_CPU} % CPU, healthy < {HEALTHY_MS} ms"
    );
    if has("--gate") && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(kind: Kind, tools: &Tools, folder: &std::path::Path, servers: usize, time: Duration) -> Option<Figures> {
    let mut running = peers::start(kind, tools, folder, servers, false)?;
    until_all(kind, &running, servers, servers * TOOLS_EACH, ALL_BY)?;
    if kind == Kind::Hearth {
        // What it learnt is on disk: the first list of a start is what its user waits for.
        drop(running);
        running = peers::start(kind, tools, folder, servers, false)?;
    }
    let mut figures = Figures::default();
    let waited = until_all(kind, &running, servers, servers * TOOLS_EACH, ALL_BY)?;
    figures.first_list_ms = if kind == Kind::Hearth { waited } else { fresh(kind, tools, folder, servers)? };
    let mut clients = open(kind, &running, servers).ok()?;
    let mut lists = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        for client in &mut clients {
            client.answer("tools/list", &json!({})).ok()?;
        }
        lists.push(ms(began));
    }
    figures.list_ms = quantile(&mut lists, 0.5);
    let tool = tool_name(kind, &mut clients)?;
    let ask = json!({ "name": tool, "arguments": { "text": "hello" } });
    let client = &mut clients[0];
    (0..100).try_for_each(|_| client.request("tools/call", &ask).map(drop)).ok()?;
    let (mut calls, by) = (Vec::new(), Instant::now() + time);
    while Instant::now() < by {
        let began = Instant::now();
        let said = client.request("tools/call", &ask).ok()?;
        calls.push(ms(began));
        assert_eq!(said["content"][0]["text"], "hello", "{} answers wrongly: {said}", kind.name());
    }
    (figures.call_p50_ms, figures.call_p99_ms) = (quantile(&mut calls, 0.5), quantile(&mut calls, 0.99));
    figures.calls_per_s = many(kind, &running, &ask, time);
    drop(clients);
    std::thread::sleep(Duration::from_secs(1));
    let (before, since) = (running.cpu_ns(), Instant::now());
    std::thread::sleep(time);
    figures.idle_cpu = (running.cpu_ns() - before) as f64 / since.elapsed().as_nanos() as f64 * 100.0;
    figures.pss_mb = running.pss_bytes() as f64 / 1024.0 / 1024.0;
    eprintln!("  {} with {servers}: {} children", kind.name(), running.children());
    Some(figures)
}

/// From a start with nothing kept to all tools, milliseconds.
fn fresh(kind: Kind, tools: &Tools, folder: &std::path::Path, servers: usize) -> Option<f64> {
    let running = peers::start(kind, tools, folder, servers, false)?;
    until_all(kind, &running, servers, servers * TOOLS_EACH, ALL_BY)
}

/// With one server in ten that crashes, hangs or talks nonsense: from the start to all healthy tools, milliseconds.
fn healthy(kind: Kind, tools: &Tools, folder: &std::path::Path, servers: usize) -> Option<f64> {
    let running = peers::start(kind, tools, folder, servers, true)?;
    until_all(kind, &running, servers, (servers - servers.div_ceil(10)) * TOOLS_EACH, ALL_BY)
}

/// Waits until so many tools are listed; since the start of the program, milliseconds.
fn until_all(kind: Kind, running: &Running, servers: usize, wanted: usize, limit: Duration) -> Option<f64> {
    let mut seen = 0;
    while running.began.elapsed() < limit {
        if let Ok(mut clients) = open(kind, running, servers)
            && let Ok(found) = list(&mut clients)
        {
            if found >= wanted {
                return Some(ms(running.began));
            }
            seen = found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("  {}: {seen} of {wanted} tools after {} s", kind.name(), limit.as_secs());
    None
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
