//! `hearth claim` and `hearth login`: how a person comes in for the first time, and again. The token that the hub gives is
//! kept for all other commands.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::hub::{Hub, HubArgs, read_password, shown};

#[derive(clap::Args)]
pub struct ClaimArgs {
    /// What the hub shows on its console and in its log, such as K7QM-2XWP.
    code: String,
    /// The first owner: 1 to 64 of a-z, 0-9, _ and -.
    name: String,
    /// Ask for no password: only this token opens the account.
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
pub struct LoginArgs {
    /// Who you are to the hub.
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// Print the hub's answer, one JSON object with the token.
    #[arg(long)]
    json: bool,
    /// Keep no token: print it.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub fn claim(args: ClaimArgs) -> anyhow::Result<ExitCode> {
    let hub = args.common.hub.hub()?;
    let mut body = json!({ "code": args.code, "name": args.name });
    // A pipe that says nothing is no password.
    if !args.no_password {
        let prompt = format!("A password for {} (8 bytes at least; empty: none)", args.name);
        let password = read_password(&prompt)?;
        if !password.is_empty() {
            body["password"] = password.into();
        }
    }
    welcome(&hub, &args.common, &hub.ask(Method::POST, "/api/v1/claim", Some(&body))?)
}

pub fn login(args: LoginArgs) -> anyhow::Result<ExitCode> {
    let hub = args.common.hub.hub()?;
    let password = read_password(&format!("Password of {}", args.name))?;
    let body = json!({ "name": args.name, "password": password });
    welcome(&hub, &args.common, &hub.ask(Method::POST, "/api/v1/login", Some(&body))?)
}

fn welcome(hub: &Hub, common: &Common, answer: &Value) -> anyhow::Result<ExitCode> {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    if common.json {
        println!("{answer}");
    } else if common.print {
        println!("{}", text("token"));
    }
    if !common.print {
        let path = hub.keep(text("token"))?;
        let line = format!("Welcome, {}. The token is kept in {}.", shown(text("user")), path.display());
        if common.json || !std::io::stdout().is_terminal() { eprintln!("{line}") } else { println!("{line}") }
    }
    Ok(ExitCode::SUCCESS)
}
