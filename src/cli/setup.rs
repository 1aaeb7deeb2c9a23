//! `hearth setup`: what the owner wrote on the card becomes the machine's, before the network and the hub start. Run as root by
//! `hearth-setup.service`; under another root it touches nothing of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::appliance::setup;
use crate::auth;

#[derive(clap::Args)]
pub struct Args {
    /// The card's first partition.
    #[arg(long, value_name = "FOLDER", default_value = "/boot/firmware")]
    boot: PathBuf,
    /// The system's files.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let code = auth::claim_code(auth::claim_chance());
    let done = setup::run(&args.boot, &args.root, &code)
        .context("what is on the card could not be taken; it is still there, and the next start tries again")?;
    done.changes.iter().for_each(|change| println!("{change}"));
    done.problems.iter().for_each(|problem| eprintln!("{problem}"));
    if args.root == Path::new("/") {
        // Of what was read once when the system came up.
        if let Some(name) = &done.hostname {
            rustix::system::sethostname(name.as_bytes()).context("the machine's name cannot be set")?;
        }
        if let Some(country) = &done.country {
            // Where there is no such program, the kernel hears it at the next start.
            let _ = Command::new("iw").args(["reg", "set", country]).status();
        }
    }
    Ok(ExitCode::SUCCESS)
}
