//! `hearth claim` and `hearth login`: how a person comes in for the first time, and again. The token that the hub gives is
//! kept for all other commands.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::hub::{Hub, HubArgs, read_password, shown};
use crate::cli::{ConfigArg, ownership};

#[derive(clap::Args)]
pub struct ClaimArgs {
    /// What the hub shows on its console and in its log, such as K7QM-2XWP.
    #[arg(required_unless_present_any = ["new_code", "recover"])]
    code: Option<String>,
    /// The first owner: 1 to 64 of a-z, 0-9, _ and -.
    #[arg(required_unless_present_any = ["new_code", "recover"])]
    name: Option<String>,
    /// Beside the hub, as root or as its user: make another code, good until somebody owns the hub.
    #[arg(long, conflicts_with_all = ["code", "name", "recover"])]
    new_code: bool,
    /// Beside the hub, which must be stopped: make a token for an owner who can come in no more.
    #[arg(long, value_name = "OWNER", conflicts_with_all = ["code", "name"])]
    recover: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
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
    if args.new_code {
        return ownership::new_code(&args.config).map(|()| ExitCode::SUCCESS);
    }
    if let Some(owner) = &args.recover {
        return ownership::recover(&args.config, owner).map(|()| ExitCode::SUCCESS);
    }
    let (code, name) = (args.code.unwrap_or_default(), args.name.unwrap_or_default());
    let hub = args.common.hub.hub()?;
    let mut body = json!({ "code": code, "name": name });
    // A pipe that says nothing is no password.
    if !args.no_password {
        let prompt = format!("A password for {name} (8 bytes at least; empty: none)");
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
