//! The command line: one file a command. Decides nothing that a hub decides; what it asks of a running hub goes through
//! the same doors as everybody's.

mod backup;
mod bridge;
mod chat;
mod check;
#[cfg(feature = "conformance")]
mod conformance;
mod demo;
mod devices;
mod doctor;
mod exec_server;
mod groups;
mod history;
mod hub;
mod installed;
mod line;
mod listing;
mod login;
mod mcp;
mod network;
mod ownership;
mod report;
mod restore;
mod rooms;
mod scenes;
mod serve;
mod settings;
mod setup;
mod sign_in;
mod simulate;
mod tokens;
mod tools;
mod update;
mod usage;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::config::{self, Loaded};

/// Something went wrong; it was said on stderr.
const FAILED: u8 = 1;

/// What was asked for makes no sense (`EX_USAGE` is 64, and people's shells expect 2).
const USAGE: u8 = 2;

/// Ctrl-C has stopped it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

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
    /// Serve what the conformance suite of MCP expects, and nothing else.
    #[cfg(feature = "conformance")]
    #[command(hide = true)]
    ConformanceServer(conformance::Args),
    /// What is in the house: list, get, set, read, watch, pair, rename, room, remove, interview.
    Devices(devices::Args),
    /// The rooms of the house: list, set, delete.
    Rooms(rooms::Args),
    /// Devices that are told the same: list, set, delete.
    Groups(groups::Args),
    /// States of many devices that are called back together: list, recall, capture, delete.
    Scenes(scenes::Args),
    /// The radio: status, map, backup.
    Network(network::Args),
    /// How a property of a device was.
    History(history::Args),
    /// Show what was asked for and what it cost.
    Usage(usage::Args),
    /// Show what the hub can do, and do it.
    Tools(tools::Args),
    /// Look after the MCP servers behind the hub; or be one for a program that starts it.
    Mcp(mcp::Args),
    /// Show and change what can be changed while the hub runs.
    Settings(settings::Args),
    /// Become the first owner of a hub that nobody owns, with the code that it shows; make a new code beside it.
    Claim(login::ClaimArgs),
    /// Sign in with a password; the token is kept for the other commands.
    Login(login::LoginArgs),
    /// Who may come in: list, add, set, remove, passwd.
    Users(users::Args),
    /// What programs show to come in: list, create, revoke.
    Tokens(tokens::Args),
    /// The whole house as one file: store, Zigbee network, configuration; keys only where asked for.
    Backup(backup::Args),
    /// Put a backup, or a snapshot of the store, in the place of what is here.
    Restore(restore::Args),
    /// Check the configuration and say what is wrong, with line and caret.
    Check(check::Args),
    /// Be a Zigbee stick with a house of devices, for hubs and programs that want to try one.
    Simulate(simulate::Args),
    /// Look at everything that a hub needs and say what to mend.
    Doctor(doctor::Args),
    /// Of a card, as root: take what the owner wrote on it before the hub starts.
    #[command(hide = true)]
    Setup(setup::Args),
    /// Of a card, as root: say on its screen and in a file where the hub is found, and how it is.
    #[command(hide = true)]
    Report(report::Args),
    /// Update a card: a signed bundle is tried, and kept when what worked before works after. Or: status, rollback.
    Update(update::Args),
    #[command(name = exec_server::NAME, hide = true)]
    ExecServer(exec_server::Args),
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

/// Whoever reads what a command says may stop reading, as `head` does. That is no fault of ours: the command ends, as others do there,
/// with the code of a program that SIGPIPE has ended (128 + 13).
fn end_when_nobody_reads() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The words of `println!`, in the standard library.
        let text = info.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(141);
        }
        tell(info);
    }));
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
    if !matches!(cli.command, Command::Serve(_) | Command::Demo(_)) {
        end_when_nobody_reads();
    }
    // The one crypto provider of the process; nobody else installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Chat(args) => chat::run(args),
        #[cfg(feature = "conformance")]
        Command::ConformanceServer(args) => conformance::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Rooms(args) => rooms::run(args),
        Command::Groups(args) => groups::run(args),
        Command::Scenes(args) => scenes::run(args),
        Command::Network(args) => network::run(args),
        Command::History(args) => history::run(args),
        Command::Usage(args) => usage::run(args),
        Command::Tools(args) => tools::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Settings(args) => settings::run(args),
        Command::Claim(args) => login::claim(args),
        Command::Login(args) => login::login(args),
        Command::Users(args) => users::run(args),
        Command::Tokens(args) => tokens::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Check(args) => check::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Setup(args) => setup::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Update(args) => update::run(args),
        Command::ExecServer(args) => exec_server::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("hearth: {error:#}");
        ExitCode::from(FAILED)
    })
}
