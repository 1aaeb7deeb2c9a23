//! `hearth mcp sign-in`: shows the address at which a person agrees, opens it where a browser is, and waits for the end. The hub
//! does the rest; no token comes here.

use std::io::IsTerminal;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use ureq::http::Method;

use crate::cli::hub::{Hub, HubArgs, escaped, shown};

/// Between two looks at how it goes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    /// The server's name in the hub.
    name: String,
    /// As whom the hub was registered by hand, where whoever gives the tokens registers nobody by itself.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The variable that holds the secret that came with it.
    #[arg(long, value_name = "VARIABLE", requires = "client_id")]
    client_secret_env: Option<String>,
    /// The whole address at which the browser ended, where it could not reach the hub: ends what was begun.
    #[arg(long, value_name = "URL")]
    returned: Option<String>,
    /// Only show the address.
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let place = format!("/api/v1/mcp-servers/{}", escaped(&args.name));
    // Where this program reaches the hub, a browser beside it does, too.
    let mut body = json!({ "hub": hub.base() });
    if let Some(returned) = &args.returned {
        body["returned"] = returned.as_str().into();
    }
    if let Some(id) = &args.client_id {
        body["client_id"] = id.as_str().into();
    }
    if let Some(variable) = &args.client_secret_env {
        let secret = std::env::var(variable).with_context(|| format!("{variable}, which is to hold the secret"))?;
        body["client_secret"] = secret.into();
    }
    let begun = hub.ask(Method::POST, &format!("{place}/sign-in"), Some(&body))?;
    if begun["state"] == "signed_in" {
        println!("Signed in.");
        return Ok(ExitCode::SUCCESS);
    }
    let url = shown(begun["url"].as_str().unwrap_or_default());
    println!("Open this in a browser and agree:\n\n  {url}\n");
    if !args.no_browser && std::io::stdout().is_terminal() {
        open(&url);
    }
    eprintln!("Waiting; Ctrl-C leaves, and the hub waits on.");
    wait(&hub, &place)
}

fn wait(hub: &Hub, place: &str) -> anyhow::Result<ExitCode> {
    loop {
        std::thread::sleep(LOOK_AGAIN);
        let status = hub.get(&format!("{place}/status"))?;
        let sign_in = &status["servers"][0]["sign_in"];
        match sign_in["state"].as_str() {
            Some("waiting") => {}
            Some("signed_in") => {
                println!("Signed in.");
                return Ok(ExitCode::SUCCESS);
            }
            _ => bail!("not signed in: {}", shown(sign_in["problem"].as_str().unwrap_or("the sign-in is over"))),
        }
    }
}

/// In this machine's browser, where there is a screen; whether it worked is seen there.
fn open(url: &str) {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if has_screen && url.starts_with("http") {
        let _ = Command::new("xdg-open").arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
