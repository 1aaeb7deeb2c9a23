//! `hearth users`: who may come in. Asks a running hub, which decides.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::cli::hub::{Hub, HubArgs, escaped, read_password, shown};

const PATH: &str = "/api/v1/users";

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print the hub's answer, one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Subcommand)]
enum What {
    /// Everybody who may come in (what comes without a word, too).
    List,
    /// Let somebody in.
    Add {
        /// 1 to 64 of a-z, 0-9, _ and -.
        name: String,
        #[arg(long, default_value = "member", value_parser = ROLES)]
        role: String,
        /// Ask for a password (from a pipe: its first line); without one only tokens open the account.
        #[arg(long)]
        password: bool,
        #[command(flatten)]
        grants: Grants,
    },
    /// Change somebody; what is not named stays.
    Set {
        name: String,
        #[arg(long, value_parser = ROLES)]
        role: Option<String>,
        /// Do not let them in for now.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let them in again.
        #[arg(long)]
        enable: bool,
        /// All rooms, and no more only some.
        #[arg(long, conflicts_with = "rooms")]
        all_rooms: bool,
        #[command(flatten)]
        grants: Grants,
    },
    /// Remove somebody, with all their tokens.
    Remove { name: String },
    /// Set a password, asked for on the terminal or read from a pipe.
    Passwd {
        name: String,
        /// No password: only tokens open the account.
        #[arg(long)]
        none: bool,
    },
}

const ROLES: [&str; 4] = ["owner", "member", "device", "guest"];

#[derive(clap::Args)]
struct Grants {
    /// What people read.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Tools granted beyond the role, such as 'lights__*'; again for more, '' for none.
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<String>,
    /// Tools refused whatever else is granted; again for more, '' for none.
    #[arg(long, value_name = "PATTERN")]
    deny: Vec<String>,
    /// Only this room; again for more.
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
}

impl Grants {
    fn put_into(self, body: &mut Map<String, Value>) {
        let Grants { display_name, allow, deny, rooms } = self;
        if let Some(name) = display_name {
            body.insert("display_name".into(), json!(name));
        }
        for (key, list) in [("allow", allow), ("deny", deny), ("rooms", rooms)] {
            if !list.is_empty() {
                let named: Vec<_> = list.into_iter().filter(|one| !one.is_empty()).collect();
                body.insert(key.into(), json!(named));
            }
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let answer = match args.what.unwrap_or(What::List) {
        What::List => {
            let users = all(&hub, PATH, "users")?;
            if !args.json {
                print_table(&users);
                return Ok(ExitCode::SUCCESS);
            }
            json!({ "users": users })
        }
        What::Add { name, role, password, grants } => {
            let mut body = Map::from_iter([("name".into(), json!(name)), ("role".into(), json!(role))]);
            grants.put_into(&mut body);
            if password {
                body.insert("password".into(), json!(new_password(&name)?));
            }
            hub.ask(Method::POST, PATH, Some(&body.into()))?
        }
        What::Set { name, role, disable, enable, all_rooms, grants } => {
            let mut body = Map::new();
            grants.put_into(&mut body);
            if let Some(role) = role {
                body.insert("role".into(), json!(role));
            }
            if disable || enable {
                body.insert("disabled".into(), json!(disable));
            }
            if all_rooms {
                body.insert("rooms".into(), Value::Null);
            }
            ensure!(!body.is_empty(), "nothing is to be changed; `hearth users set --help` shows what can be");
            hub.ask(Method::PUT, &one(&name), Some(&body.into()))?
        }
        What::Remove { name } => hub.ask(Method::DELETE, &one(&name), None)?,
        What::Passwd { name, none } => {
            let password = if none { Value::Null } else { json!(new_password(&name)?) };
            hub.ask(Method::PUT, &one(&name), Some(&json!({ "password": password })))?
        }
    };
    if args.json {
        println!("{}", if answer.is_null() { json!({}) } else { answer });
    } else if answer.get("name").is_some() {
        print_table(&[answer]);
    } else {
        println!("Done.");
    }
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{PATH}/{}", escaped(name))
}

fn new_password(name: &str) -> anyhow::Result<String> {
    let password = read_password(&format!("New password of {name} (8 bytes at least)"))?;
    ensure!(!password.is_empty(), "no password was given");
    Ok(password)
}

/// All pages of a list.
pub(super) fn all(hub: &Hub, path: &str, array: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut place) = (Vec::new(), path.to_owned());
    loop {
        let mut page = hub.get(&place)?;
        let next = page["next_cursor"].as_str().map(escaped);
        let Value::Array(entries) = page[array].take() else { return Ok(all) };
        let is_empty = entries.is_empty();
        all.extend(entries);
        let Some(cursor) = next.filter(|_| !is_empty) else { return Ok(all) };
        let sign = if path.contains('?') { '&' } else { '?' };
        place = format!("{path}{sign}cursor={cursor}");
    }
}

fn print_table(users: &[Value]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["name", "role", "password", "rooms", "allowed", "refused", ""]);
    for user in users {
        let list = |field: &str| {
            let named = user[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(shown);
            named.collect::<Vec<_>>().join(", ")
        };
        let rooms = if user["rooms"].is_null() { "all".into() } else { list("rooms") };
        let password = if user["has_password"] == true { "yes" } else { "-" };
        let state = if user["disabled"] == true { "switched off" } else { "" };
        let text = |field: &str| shown(user[field].as_str().unwrap_or_default());
        table.add_row([text("name"), text("role"), password.into(), rooms, list("allow"), list("deny"), state.into()]);
    }
    print_lines(&table);
}

/// Without the blank that each cell has on either side.
pub(super) fn print_lines(table: &Table) {
    for line in table.to_string().lines() {
        println!("{}", line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
}
