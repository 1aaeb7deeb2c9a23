//! `hearth scenes`: states of many devices that are called back together. Asks a running hub, which decides.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Subcommand;
use serde_json::json;
use ureq::http::Method;

use crate::cli::devices::{done, results};
use crate::cli::hub::{Hub, HubArgs, escaped};
use crate::cli::listing::table;
use crate::cli::users::all;

const PATH: &str = "/api/v1/scenes";

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
    /// All scenes (what comes without a word, too).
    List,
    /// Make it so.
    Recall { name: String },
    /// Keep how devices are now, under a name.
    Capture {
        name: String,
        /// Those of this room.
        #[arg(long)]
        room: Option<String>,
        /// These, by name or id.
        devices: Vec<String>,
    },
    /// Forget a scene.
    Delete { name: String },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    match args.what.unwrap_or(What::List) {
        What::List => list(&hub, args.json),
        What::Recall { name } => results(&hub, "scenes.recall", &json!({ "scene": name }), args.json),
        What::Capture { name, room, devices } => {
            ensure!(room.is_some() == devices.is_empty(), "say a --room, or name devices");
            let mut asked = json!({ "scene": name });
            match room {
                Some(room) => asked["room"] = room.into(),
                None => asked["devices"] = devices.into(),
            }
            let scene = done(&hub, "scenes.capture", &asked, args.json)?;
            println!("{}", if args.json { scene.to_string() } else { "Kept.".into() });
            Ok(ExitCode::SUCCESS)
        }
        What::Delete { name } => {
            hub.ask(Method::DELETE, &format!("{PATH}/{}", escaped(&name)), None)?;
            println!("{}", if args.json { "{}" } else { "Done." });
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(hub: &Hub, json: bool) -> anyhow::Result<ExitCode> {
    let scenes = all(hub, PATH, "scenes")?;
    if json {
        println!("{}", json!({ "scenes": scenes }));
    } else if scenes.is_empty() {
        println!("There are no scenes yet; `hearth scenes capture NAME --room ROOM` keeps one.");
    } else {
        let rows = scenes.iter().map(|scene| {
            let text = |field: &str| scene[field].as_str().unwrap_or("-").to_owned();
            let settings = scene["settings"].as_array().map_or(0, Vec::len);
            [text("name"), text("room"), settings.to_string()]
        });
        println!("{}", table(["scene", "room", "devices"], rows));
    }
    Ok(ExitCode::SUCCESS)
}
