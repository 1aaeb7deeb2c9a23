//! `hearth exec-server`: what the hub starts in the place of an MCP server's program. It becomes that program, within limits;
//! or it is the guard that ends all of them once the hub is gone; or it starts one for a hub at the other end of a socket. Nobody
//! types it.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use crate::mcp::upstream::stdio;

pub const NAME: &str = "exec-server";

/// As a shell says that a program cannot be started.
const NOT_STARTED: u8 = 126;

#[derive(clap::Args)]
pub struct Args {
    /// Be the guard of the programs with this mark; their groups come on standard input.
    #[arg(long, value_name = "MARK", conflicts_with = "command")]
    guard: Option<String>,
    /// Start what is ordered over the connection on standard input, and look after it.
    #[arg(long, conflicts_with_all = ["guard", "command"])]
    socket: bool,
    /// The hub.
    #[arg(long, value_name = "PID", default_value_t = 0)]
    parent: u32,
    /// MiB of address space.
    #[arg(long)]
    memory_mb: Option<u64>,
    /// The program and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(mark) = args.guard {
        stdio::watch_programs(&mark, std::io::stdin());
        return Ok(ExitCode::SUCCESS);
    }
    if args.socket {
        let connection = std::io::stdin().as_fd().try_clone_to_owned()?;
        stdio::serve(connection, std::env::current_exe()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let error = stdio::become_server(args.parent, args.memory_mb, &args.command);
    eprintln!("the program cannot be started: {error}");
    Ok(ExitCode::from(NOT_STARTED))
}
