//! `hearth report`: on the machine's screen and in a file on its card, where the hub is found, with which code it is claimed, and
//! how it is. Run as root by `hearth-report.service` whenever some of that may have changed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::appliance::report::{self, Door, Look, Report};
use crate::appliance::setup;
use crate::auth::code_file;
use crate::cli::doctor::{self, Health};
use crate::cli::{ConfigArg, installed};
use crate::common::config::Config;
use crate::common::files;

/// Clears a terminal and begins above (ECMA-48 ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(clap::Args)]
pub struct Args {
    /// The card's first partition, where the file is written; none: the file is printed.
    #[arg(long, value_name = "FOLDER")]
    boot: Option<PathBuf>,
    /// The system's files.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// Where the text of the screen is kept for who starts later.
    #[arg(long, value_name = "FILE")]
    screen: Option<PathBuf>,
    /// A terminal on which it is shown when it is another one.
    #[arg(long, value_name = "TERMINAL", requires = "screen")]
    console: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // One that cannot be read is among what the doctor finds.
    let config = args.config.load_installed().map(|loaded| loaded.config).unwrap_or_default();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        name: installed::announced_name(),
        addresses: report::addresses(&args.root),
        port: config.gateway.port,
        door: door(&config),
        problems: setup::problems(&args.root),
        looks: Vec::new(),
        written_at: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
    };
    // At once: whom the doctor asks may take their time.
    show(args, &report)?;
    let looks = doctor::look_beside(&args.config);
    report.looks = looks
        .into_iter()
        .map(|found| Look {
            mark: found.health.mark(),
            is_well: found.health == Health::Ok,
            what: found.what,
            text: found.text,
        })
        .collect();
    match &args.boot {
        None => print!("{}", report.file()),
        Some(boot) => {
            let written = report::write(&report, boot, &args.root);
            let written =
                written.with_context(|| format!("{} cannot be written", boot.join(report::FILE_NAME).display()))?;
            println!("{}", if written { "written" } else { "nothing has changed" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn door(config: &Config) -> Door {
    match installed::door(config) {
        None => Door::Silent,
        Some(door) if !door.claimable => Door::Settled,
        Some(_) => Door::Claimable { code: code_file::read(&code_file::beside(&config.store.path)).ok().flatten() },
    }
}

fn show(args: &Args, report: &Report) -> anyhow::Result<()> {
    let Some(screen) = &args.screen else { return Ok(()) };
    let text = report.screen();
    let changed = files::put(screen, text.as_bytes(), 0o600);
    let changed = changed.with_context(|| format!("{} cannot be written", screen.display()))?;
    if let Some(console) = args.console.as_deref().filter(|console| changed && is_there(console)) {
        let shown = OpenOptions::new().write(true).open(console).and_then(|mut tty| write!(tty, "{CLEAR}{text}"));
        shown.with_context(|| format!("{} cannot be written", console.display()))?;
    }
    Ok(())
}

/// A Raspberry Pi without a screen has a console all the same; another machine may have none.
fn is_there(path: &Path) -> bool {
    path.exists()
}
