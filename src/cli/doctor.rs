//! `hearth doctor`: looks at everything that a hub needs, and says what to mend. Changes nothing.
#![expect(clippy::disallowed_methods, reason = "it looks at the clock itself")]

mod device;
mod providers;
mod radio;
mod snapshots;
mod voice;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::{ConfigArg, FAILED, installed};
use crate::common::config::Config;
use crate::common::files::{folder_of, free_bytes};
use crate::store::{OpenError, Store};

/// Less room than this on the disk is soon none.
const FREE_BYTES_LOW: u64 = 256 * 1024 * 1024;

/// A clock before 2025-01-01 was never set: certificates would be refused.
const CLOCK_PLAUSIBLE_S: u64 = 1_735_689_600;

/// A hub with hundreds of clients and providers has as many sockets.
const OPEN_FILES_LOW: u64 = 1024;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    /// The hub works, and somebody should look at this.
    Warn,
    /// The hub does not start, or nobody answers.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: String,
    pub health: Health,
    pub text: String,
}

impl Health {
    /// A word for people.
    pub fn mark(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warn => "look",
            Health::Fail => "MEND",
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let findings = look(&args.config, Store::open);
    let worst_is_fail = findings.iter().any(|finding| finding.health == Health::Fail);
    if args.json {
        println!("{}", serde_json::json!({ "ok": !worst_is_fail, "findings": findings }));
    } else {
        print_table(&findings);
    }
    Ok(ExitCode::from(if worst_is_fail { FAILED } else { 0 }))
}

/// The same for who must not open the store: a hub that is just starting would find it locked.
pub fn look_beside(config: &ConfigArg) -> Vec<Finding> {
    look(config, |path| Err(OpenError::Locked { path: path.to_owned() }))
}

fn look(config: &ConfigArg, open: fn(&Path) -> Result<Store, OpenError>) -> Vec<Finding> {
    match config.load_installed() {
        Ok(loaded) => {
            let place = loaded.file.map_or("no file: the defaults".into(), |file| file.display().to_string());
            let mut findings = vec![finding("config", Health::Ok, place)];
            examine(&loaded.config, open, &mut findings);
            findings
        }
        Err(error) => vec![finding("config", Health::Fail, error.to_string())],
    }
}

fn print_table(findings: &[Finding]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(120);
    }
    for Finding { what, health, text } in findings {
        table.add_row([health.mark(), what, text]);
    }
    println!("{table}");
}

fn examine(config: &Config, open: fn(&Path) -> Result<Store, OpenError>, findings: &mut Vec<Finding>) {
    let running = hub(config, findings);
    store(&config.store.path, open, running.is_some(), findings);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    snapshots::examine(&config.store, now_s * 1000, findings);
    disk(&config.store.path, findings);
    providers::examine(&config.providers, findings);
    voice::examine(config, findings);
    radio::examine(config, running.as_deref(), findings);
    machine(now_s, findings);
    let name = (!config.gateway.host.is_loopback())
        .then(|| device::Name { own: installed::local_name(), announced: installed::announced_name() });
    device::examine(Path::new("/"), folder_of(&config.store.path), name.as_ref(), findings);
}

/// Where a hub answers, if one does at the configured address.
fn hub(config: &Config, findings: &mut Vec<Finding>) -> Option<String> {
    let address = installed::address(config);
    let health = installed::ask(&format!("http://{address}/healthz"));
    let (running, health, text) = match health {
        Ok((200, body)) if body["status"] == "ok" => {
            let version = body["version"].as_str().unwrap_or("of an unknown version").to_owned();
            (true, Health::Ok, format!("running at http://{address}/, version {version}"))
        }
        Ok((status, _)) => (
            false,
            Health::Warn,
            format!("something else answers at {address} (HTTP {status}): set another gateway.port"),
        ),
        Err(_) => (false, Health::Warn, format!("not running at {address}; start it with `hearth serve`")),
    };
    findings.push(finding("hub", health, text));
    let base = running.then(|| format!("http://{address}"))?;
    findings.extend(access(config));
    Some(base)
}

/// Whether the running hub asks who comes, where others than this machine may.
fn access(config: &Config) -> Option<Finding> {
    let door = installed::door(config)?;
    let is_loopback = config.gateway.host.is_loopback();
    let (health, text) = match (door.required, door.claimable) {
        (_, true) => (Health::Warn, "nobody owns this hub yet: its log shows a code for `hearth claim CODE NAME`"),
        (true, false) => (Health::Ok, "the hub asks for tokens"),
        (false, false) if is_loopback => return None,
        (false, false) => {
            (Health::Warn, "the door is open (gateway.auth): whoever is on the network may do everything")
        }
    };
    Some(finding("access", health, text))
}

fn store(path: &Path, open: fn(&Path) -> Result<Store, OpenError>, running: bool, findings: &mut Vec<Finding>) {
    let shown = path.display();
    let (health, text) = if !path.exists() {
        if folder_of(path).is_dir() {
            (Health::Ok, format!("{shown} will be made at the first start"))
        } else {
            (Health::Fail, format!("the folder of {shown} does not exist: make it, or set store.path"))
        }
    } else {
        match open(path) {
            Ok(_) => (Health::Ok, format!("{shown} opens")),
            Err(OpenError::Locked { .. }) if running => (Health::Ok, format!("{shown} is in use by the running hub")),
            Err(error) => (Health::Fail, error.to_string()),
        }
    };
    findings.push(finding("store", health, text));
}

fn disk(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(free) = free_bytes(folder_of(path)) else { return };
    let text = format!("{} MiB free", free / (1024 * 1024));
    findings.push(match free < FREE_BYTES_LOW {
        true => finding("disk", Health::Warn, format!("{text}: make room before it is full")),
        false => finding("disk", Health::Ok, text),
    });
}

fn machine(now_s: u64, findings: &mut Vec<Finding>) {
    findings.push(match now_s < CLOCK_PLAUSIBLE_S {
        true => finding("clock", Health::Warn, "it was never set: providers' certificates will be refused"),
        false => finding("clock", Health::Ok, jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string()),
    });
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    findings.push(match open_files {
        Some(max) if max < OPEN_FILES_LOW => {
            finding("open files", Health::Warn, format!("{max} at most: raise it with `ulimit -n` or LimitNOFILE="))
        }
        Some(max) => finding("open files", Health::Ok, format!("{max} at most")),
        None => finding("open files", Health::Ok, "no limit"),
    });
}

fn finding(what: impl Into<String>, health: Health, text: impl Into<String>) -> Finding {
    Finding { what: what.into(), health, text: text.into() }
}
