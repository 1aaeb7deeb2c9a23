//! `hearth network`: how the radio is, who hears whom, and a backup of it. Asks a running hub.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::devices::done;
use crate::cli::hub::HubArgs;
use crate::cli::listing::{harmless, table};
use crate::common::files;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print the hub's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Subcommand)]
enum What {
    /// How the radio is (what comes without a word, too).
    Status,
    /// Who hears whom how well. Takes seconds.
    Map,
    /// Write the network with its key to a file that only you can read, for another stick.
    Backup { file: PathBuf },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    match args.what.unwrap_or(What::Status) {
        What::Status => {
            let status = hub.get("/api/v1/zigbee")?;
            println!("{}", if args.json { status.to_string() } else { facts(&status) });
        }
        What::Map => {
            let map = done(&hub, "network.map", &json!({}), args.json)?;
            println!("{}", if args.json { map.to_string() } else { links(&map["map"]) });
        }
        What::Backup { file } => {
            let backup = done(&hub, "network.backup", &json!({}), args.json)?;
            files::put(&file, format!("{:#}\n", backup["backup"]).as_bytes(), 0o600)
                .with_context(|| format!("cannot write {}", file.display()))?;
            println!("{}", if args.json { json!({ "file": file }).to_string() } else { kept(&file) });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn kept(file: &Path) -> String {
    format!(
        "{} holds the network and its key: whoever has it can join the network and listen. Keep it safe.",
        file.display()
    )
}

/// A radio a paragraph, a fact a line.
fn facts(status: &Value) -> String {
    let radios = status["radios"].as_array().map_or(&[][..], Vec::as_slice);
    if radios.is_empty() {
        return "There is no radio (zigbee.backend in the configuration).".into();
    }
    let paragraph = |radio: &Value| {
        let word = |value: &Value| harmless(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let mut lines = vec![format!("{}: {}", word(&radio["backend"]), word(&radio["status"]))];
        lines.extend(radio["why"].as_str().map(|why| format!("  {}", harmless(why))));
        lines.push(format!("  devices: {}", radio["devices"]));
        let left = radio["pairing_seconds_left"].as_u64().filter(|left| *left > 0);
        lines.extend(left.map(|left| format!("  new devices may join for {left} s")));
        let facts = radio["network"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        lines.extend(facts.map(|(key, value)| format!("  {}: {}", harmless(key), word(value))));
        lines.join("\n")
    };
    radios.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

fn links(map: &Value) -> String {
    let links = map["links"].as_array().map_or(&[][..], Vec::as_slice);
    if links.is_empty() {
        return serde_json::to_string_pretty(map).expect("a JSON value is always JSON");
    }
    let rows = links.iter().map(|link| {
        let end = |side: &str| {
            let name = link[format!("{side}_name")].as_str().or(link[side].as_str());
            name.unwrap_or_default().to_owned()
        };
        let quality = link["lqi"].as_u64().map(|lqi| lqi.to_string()).unwrap_or_default();
        [end("from"), end("to"), quality, link["relation"].as_str().unwrap_or_default().to_owned()]
    });
    table(["who", "hears", "how well (0 to 255)", ""], rows)
}
