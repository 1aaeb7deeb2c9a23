//! The command line: one file a command. Decides nothing that a hub decides; what it asks of a running hub goes through
//! the same doors as everybody's.

mod chat;
mod check;
mod demo;
mod doctor;
mod serve;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::config::{self, Loaded};

/// Something went wrong; it was said on stderr.
const FAILED: u8 = 1;

/// What was asked for makes no sense (`EX_USAGE` is 64, and people's shells expect 2).
const USAGE: u8 = 2;

/// The hub of a home: one WebSocket to an AI and to the house.
#[derive(Parser)]
#[command(name = "hearth", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the hub.
    Serve(serve::Args),
    /// Run a hub to look at: this machine only, nothing kept, no key needed.
    Demo(demo::Args),
    /// Talk to a running hub: one question, or a conversation line by line.
    Chat(chat::Args),
    /// Show what was asked for and what it cost.
    Usage(usage::Args),
    /// Check the configuration and say what is wrong, with line and caret.
    Check(check::Args),
    /// Look at everything that a hub needs and say what to mend.
    Doctor(doctor::Args),
}

/// Which configuration file is meant.
#[derive(clap::Args)]
struct ConfigArg {
    /// The configuration file [default: ./config.yaml, where there is one].
    #[arg(long, short, value_name = "FILE", env = "HEARTH_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    fn load(&self) -> Result<Loaded, config::ConfigError> {
        config::load(self.config.as_deref(), config::process_env())
    }
}

/// Runs the program. What goes wrong is said on stderr; the exit code is 0, 1 or 2 (a wrong command line).
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // A closed terminal is no reason to panic.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // The one crypto provider of the process; nobody else installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Usage(args) => usage::run(args),
        Command::Check(args) => check::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("hearth: {error:#}");
        ExitCode::from(FAILED)
    })
}
