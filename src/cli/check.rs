//! `hearth check`: whether the configuration is good.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::{ConfigArg, FAILED};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let checked = args.config.load();
    if args.json {
        let report = match &checked {
            Ok(loaded) => json!({ "ok": true, "file": loaded.file, "overrides": loaded.overrides }),
            Err(error) => json!({ "ok": false, "error": error.to_string() }),
        };
        println!("{report}");
        return Ok(ExitCode::from(if checked.is_ok() { 0 } else { FAILED }));
    }
    let loaded = checked?;
    match &loaded.file {
        Some(file) => println!("{} is good", file.display()),
        None => println!("there is no configuration file here: the defaults are in force, and they are good"),
    }
    if !loaded.overrides.is_empty() {
        println!("set from the environment: {}", loaded.overrides.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
