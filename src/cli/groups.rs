//! `hearth groups`: devices that are told the same. Asks a running hub, which decides.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::devices::{done, show_ends};
use crate::cli::hub::{HubArgs, escaped};
use crate::cli::listing::table;
use crate::cli::users::all;

const PATH: &str = "/api/v1/groups";

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
    /// All groups with their devices (what comes without a word, too).
    List,
    /// Make a group of devices, or change one: hearth groups set spots "spot 1" "spot 2".
    Set {
        name: String,
        /// All that are to be in it, by name or id, in the place of those that were; none named: they stay.
        devices: Vec<String>,
        /// Its new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// What else people call it; again for more, '' for nothing.
        #[arg(long, value_name = "NAME")]
        alias: Vec<String>,
        /// The room that it is in, '' for none.
        #[arg(long)]
        room: Option<String>,
    },
    /// Take a group away; its devices stay.
    Delete { name: String },
    /// Have its devices keep how they are now under a number: hearth groups scene spots 3 store. A remote's scene button recalls it.
    Scene {
        name: String,
        /// 1 to 255.
        #[arg(value_parser = clap::value_parser!(u8).range(1..))]
        number: u8,
        action: Action,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Action {
    /// They remember how they are now.
    Store,
    /// They are so again; no device answers that.
    Recall,
    /// They forget it.
    Remove,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let answer = match args.what.unwrap_or(What::List) {
        What::List => {
            let groups = all(&hub, PATH, "groups")?;
            if !args.json {
                print(&groups);
                return Ok(ExitCode::SUCCESS);
            }
            json!({ "groups": groups })
        }
        What::Set { name, devices, rename, alias, room } => {
            let mut body = json!({});
            if !devices.is_empty() {
                body["members"] = devices.into();
            }
            if let Some(rename) = rename {
                body["name"] = rename.into();
            }
            if !alias.is_empty() {
                body["aliases"] = alias.into_iter().filter(|alias| !alias.is_empty()).collect();
            }
            if let Some(room) = room {
                body["room"] = room.into();
            }
            hub.ask(Method::PUT, &one(&name), Some(&body))?
        }
        What::Scene { name, number, action } => {
            let word = action.to_possible_value().expect("each has a word");
            let asked = json!({ "group": name, "scene": number, "action": word.get_name() });
            return show_ends(&done(&hub, "groups.scene", &asked, args.json)?, "name", args.json);
        }
        What::Delete { name } => hub.ask(Method::DELETE, &one(&name), None)?,
    };
    println!("{}", if args.json { answer.to_string() } else { "Done.".into() });
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{PATH}/{}", escaped(name))
}

fn print(groups: &[Value]) {
    if groups.is_empty() {
        println!("There are no groups yet; `hearth groups set NAME DEVICE…` makes one.");
        return;
    }
    let rows = groups.iter().map(|group| {
        let text = |field: &str| group[field].as_str().unwrap_or("-").to_owned();
        let members = group["members"].as_array().into_iter().flatten();
        let members = members.filter_map(|one| one["name"].as_str().or(one["id"].as_str()));
        [text("name"), text("room"), members.collect::<Vec<_>>().join(", ")]
    });
    println!("{}", table(["group", "room", "devices"], rows));
}
