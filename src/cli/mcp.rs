//! `hearth mcp`: the MCP servers behind the hub. Starts none of them; the hub does.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::app;
use crate::cli::hub::{Hub, HubArgs, escaped};
use crate::cli::listing::table;
use crate::cli::users::all;
use crate::cli::{bridge, sign_in};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Args {
    /// Be an MCP server on standard input and output: a bridge to the running hub.
    #[arg(long)]
    stdio: bool,
    #[command(flatten)]
    hub: HubArgs,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// The servers behind the hub.
    Servers(Servers),
    /// Sign in to a server that wants it, in a browser.
    SignIn(sign_in::Args),
    /// Forget the tokens of a server.
    SignOut(Named),
}

#[derive(clap::Args)]
pub struct Servers {
    #[command(subcommand)]
    what: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Show all of them and how they are.
    List {
        /// Print them as the hub lists them, one JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Put one behind the hub: a program and its words, or an address.
    Add(Add),
    /// Take one away, with what was approved of it.
    Remove(Named),
    /// Switch one on.
    Enable(Named),
    /// Switch one off: its tools are gone until it is on again.
    Disable(Named),
    /// Ask one again what it can do.
    Refresh(Named),
    /// Let the tools of one be used, new ones or changed ones.
    Approve {
        name: String,
        /// This one alone, by the server's own name [default: all that wait].
        tool: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
}

#[derive(clap::Args)]
pub(super) struct Named {
    name: String,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(clap::Args)]
struct Add {
    /// 1 to 24 of A-Z, a-z, 0-9, _ and -: the first part of the names of its tools.
    name: String,
    /// The program and its words, behind `--`.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Its address, for a server that is no program here.
    #[arg(long = "at", value_name = "URL", conflicts_with = "command")]
    address: Option<String>,
    /// A variable of the program that is no secret.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A variable of the program, and the hub's own one that holds its value.
    #[arg(long, value_name = "NAME=VARIABLE")]
    env_from: Vec<String>,
    /// A header, and the hub's variable that holds its value.
    #[arg(long, value_name = "HEADER=VARIABLE")]
    header: Vec<String>,
    /// The folder in which the program runs.
    #[arg(long, value_name = "FOLDER")]
    cwd: Option<String>,
    /// Its tools are usable at once, and so are changed ones.
    #[arg(long)]
    trust: bool,
    /// Its tools keep their own names, without the server's before them, where they are free.
    #[arg(long)]
    bare: bool,
    /// The least role that may call its tools: guest, device, member or owner.
    #[arg(long, value_name = "ROLE", value_parser = ["guest", "device", "member", "owner"])]
    access: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let servers = match args.what {
        Some(What::Servers(servers)) => servers,
        Some(What::SignIn(args)) => return sign_in::run(&args),
        Some(What::SignOut(named)) => {
            named.hub.hub()?.ask(Method::DELETE, &format!("{}/sign-in", place(&named.name)), None)?;
            return Ok(ExitCode::SUCCESS);
        }
        None if args.stdio => {
            app::runtime()?.block_on(bridge::run(bridge::Hub::of(&args.hub.hub()?)))?;
            return Ok(ExitCode::SUCCESS);
        }
        None => bail!("say what: `hearth mcp servers …`, or `hearth mcp --stdio`"),
    };
    match servers.what {
        Act::List { json, hub } => list(&hub.hub()?, json)?,
        Act::Add(add) => {
            let body = json!({ "server": server(&add)?, "enabled": true, "if_revision": 0 });
            add.hub.hub()?.ask(Method::PUT, &place(&add.name), Some(&body))?;
        }
        Act::Remove(named) => drop(named.hub.hub()?.ask(Method::DELETE, &place(&named.name), None)?),
        Act::Enable(named) => switch(&named, true)?,
        Act::Disable(named) => switch(&named, false)?,
        Act::Refresh(named) => {
            named.hub.hub()?.ask(Method::POST, &format!("{}/refresh", place(&named.name)), Some(&json!({})))?;
        }
        Act::Approve { name, tool, hub } => {
            let body = tool.map_or_else(|| json!({}), |tool| json!({ "tool": tool }));
            hub.hub()?.ask(Method::POST, &format!("{}/approve", place(&name)), Some(&body))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn place(name: &str) -> String {
    format!("/api/v1/mcp-servers/{}", escaped(name))
}

fn list(hub: &Hub, json: bool) -> anyhow::Result<()> {
    let mut servers = all(hub, "/api/v1/mcp-servers", "servers")?;
    let doing = hub.ask(Method::POST, "/api/v1/tools/mcp_servers.status", Some(&json!({})))?;
    let doing = doing["structured"]["servers"].as_array().map_or(&[][..], Vec::as_slice);
    for server in &mut servers {
        let Some(of) = doing.iter().find(|of| of["slug"] == server["slug"]) else { continue };
        for field in ["state", "tools", "waiting_new", "waiting_changed", "pid"] {
            server[field] = of[field].clone();
        }
        if matches!(of["sign_in"]["state"].as_str(), Some("wanted" | "waiting")) {
            server["state"] = "wants a sign-in".into();
        }
    }
    if json {
        println!("{}", Value::from(servers));
    } else if servers.is_empty() {
        println!("There is no server behind the hub. `hearth mcp servers add NAME -- COMMAND` puts one there.");
    } else {
        println!("{}", table(["server", "on", "state", "tools", "to approve", "is"], servers.iter().map(row)));
    }
    Ok(())
}

fn row(one: &Value) -> [String; 6] {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.len().to_string(),
        other => other.to_string(),
    };
    let on = if one["enabled"] == false { "off" } else { "on" };
    let words = one["server"]["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is = match one["server"]["url"].as_str() {
        Some(url) => url.to_owned(),
        None => words.collect::<Vec<_>>().join(" "),
    };
    let waiting =
        ["waiting_new", "waiting_changed"].map(|field| one[field].as_u64().unwrap_or(0)).into_iter().sum::<u64>();
    let waiting = if waiting == 0 { String::new() } else { waiting.to_string() };
    [text(&one["slug"]), on.into(), text(&one["state"]), text(&one["tools"]), waiting, is]
}

/// Changes one field over what is there, and over nothing else.
fn switch(named: &Named, enabled: bool) -> anyhow::Result<()> {
    let (hub, place) = (named.hub.hub()?, place(&named.name));
    let there = hub.get(&place)?;
    let mut body = Map::new();
    // A server of the config file has a record only where something about it was changed.
    for field in ["server", "disabled_tools"] {
        if let Some(value) = there.get(field).filter(|value| !value.is_null()) {
            body.insert(field.into(), value.clone());
        }
    }
    body.insert("enabled".into(), enabled.into());
    body.insert("if_revision".into(), there["revision"].as_u64().unwrap_or(0).into());
    hub.ask(Method::PUT, &place, Some(&body.into()))?;
    Ok(())
}

/// The row of a server, as it would stand in the config file.
fn server(add: &Add) -> anyhow::Result<Value> {
    let mut server = Map::new();
    match (&add.command[..], &add.address) {
        ([], Some(url)) => drop(server.insert("url".into(), url.as_str().into())),
        ([_, ..], None) => drop(server.insert("command".into(), add.command.clone().into())),
        _ => {
            bail!("what is it? Give a program (`add NAME -- npx -y …`), or an address (`add NAME --at https://…/mcp`)")
        }
    }
    for (key, pairs) in [("env", &add.env), ("env_from", &add.env_from), ("headers_env", &add.header)] {
        if !pairs.is_empty() {
            server.insert(key.into(), json!(read_pairs(pairs)?));
        }
    }
    for (key, text) in [("cwd", &add.cwd), ("access", &add.access)] {
        if let Some(text) = text {
            server.insert(key.into(), text.as_str().into());
        }
    }
    if add.bare {
        server.insert("bare".into(), true.into());
    }
    if add.trust {
        server.insert("trust".into(), true.into());
    }
    Ok(server.into())
}

fn read_pairs(pairs: &[String]) -> anyhow::Result<BTreeMap<&str, &str>> {
    let pair = |pair: &str| anyhow!("{pair:?} is no NAME=VALUE");
    pairs.iter().map(|text| text.split_once('=').ok_or_else(|| pair(text))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn added(words: &[&str]) -> anyhow::Result<Value> {
        let line = Line::try_parse_from([&["hearth", "servers", "add"], words].concat())?;
        let Some(What::Servers(Servers { what: Act::Add(add) })) = line.args.what else { bail!("another command") };
        server(&add)
    }

    #[test]
    fn a_server_is_a_program_or_an_address() {
        let files = added(&["files", "--env", "A=b=c", "--trust", "--", "npx", "-y", "--flag"]).expect("a program");
        assert_eq!(files, json!({ "command": ["npx", "-y", "--flag"], "env": { "A": "b=c" }, "trust": true }));
        let docs = added(&["docs", "--at", "https://docs/mcp", "--header", "Authorization=DOCS"]).expect("an address");
        assert_eq!(docs, json!({ "url": "https://docs/mcp", "headers_env": { "Authorization": "DOCS" } }));
        assert!(added(&["files"]).is_err_and(|error| error.to_string().contains("what is it?")));
        assert!(added(&["files", "--env", "A", "--", "x"]).is_err());
        assert!(added(&["files", "--at", "https://x", "--", "x"]).is_err());
    }

    #[test]
    fn a_server_is_a_row() {
        let one = json!({ "slug": "files", "enabled": false, "state": "idle", "tools": 7, "server": { "command": ["npx", "-y"] } });
        assert_eq!(row(&one), ["files", "off", "idle", "7", "", "npx -y"].map(String::from));
        assert_eq!(row(&json!({ "slug": "x" })), ["x", "on", "", "", "", ""].map(String::from));
    }
}
