//! `hearth settings`: single values that are changed while the hub runs. Knows no setting; the hub does.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::hub::{HubArgs, escaped};
use crate::cli::listing::table;
use crate::cli::users::all;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show all settings that were changed.
    List {
        /// Print them as the hub lists them, one JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Print one setting's value, as JSON.
    Get {
        key: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Set one: the value is JSON where it is some, and text otherwise.
    Set {
        key: String,
        value: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Take one back, so that the hub decides again.
    Unset {
        key: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::List { json, hub } => {
            let settings = all(&hub.hub()?, "/api/v1/settings", "settings")?;
            if json {
                println!("{}", Value::from(settings));
            } else if settings.is_empty() {
                println!("Nothing was set.");
            } else {
                let row = |one: &Value| [one["key"].as_str().unwrap_or_default().to_owned(), one["value"].to_string()];
                println!("{}", table(["setting", "value"], settings.iter().map(row)));
            }
        }
        What::Get { key, hub } => println!("{}", hub.hub()?.get(&place(&key))?["value"]),
        What::Set { key, value, hub } => {
            let value = serde_json::from_str(&value).unwrap_or_else(|_| Value::from(value));
            hub.hub()?.ask(Method::PUT, &place(&key), Some(&json!({ "value": value })))?;
        }
        What::Unset { key, hub } => drop(hub.hub()?.ask(Method::DELETE, &place(&key), None)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn place(key: &str) -> String {
    format!("/api/v1/settings/{}", escaped(key))
}
