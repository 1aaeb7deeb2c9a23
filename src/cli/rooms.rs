//! `hearth rooms`: the rooms of the house. Asks a running hub, which decides.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::hub::{HubArgs, escaped};
use crate::cli::listing::table;
use crate::cli::users::all;

const PATH: &str = "/api/v1/rooms";

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
    /// All rooms (what comes without a word, too).
    List,
    /// Make a room, or say what else it is called.
    Set {
        name: String,
        /// Its new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// What else people call it; again for more, '' for nothing.
        #[arg(long, value_name = "NAME")]
        alias: Vec<String>,
    },
    /// Take a room away; its devices are in no room afterwards.
    Delete { name: String },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let answer = match args.what.unwrap_or(What::List) {
        What::List => {
            let rooms = all(&hub, PATH, "rooms")?;
            if !args.json {
                print(&rooms);
                return Ok(ExitCode::SUCCESS);
            }
            json!({ "rooms": rooms })
        }
        What::Set { name, rename, alias } => {
            let mut body = json!({});
            if let Some(rename) = rename {
                body["name"] = rename.into();
            }
            if !alias.is_empty() {
                body["aliases"] = alias.into_iter().filter(|alias| !alias.is_empty()).collect();
            }
            hub.ask(Method::PUT, &one(&name), Some(&body))?
        }
        What::Delete { name } => hub.ask(Method::DELETE, &one(&name), None)?,
    };
    println!("{}", if args.json { answer.to_string() } else { "Done.".into() });
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{PATH}/{}", escaped(name))
}

fn print(rooms: &[Value]) {
    if rooms.is_empty() {
        println!("There are no rooms yet; `hearth rooms set NAME` makes one.");
        return;
    }
    let rows = rooms.iter().map(|room| {
        let aliases = room["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let name = room["name"].as_str().unwrap_or_default().to_owned();
        [name, room["devices"].to_string(), aliases.collect::<Vec<_>>().join(", ")]
    });
    println!("{}", table(["room", "devices", "also called"], rows));
}
