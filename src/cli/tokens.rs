//! `hearth tokens`: what programs and panels show to come in. Asks a running hub, which decides.

use std::process::ExitCode;

use clap::Subcommand;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::cli::hub::{HubArgs, escaped, shown};
use crate::cli::users::{all, print_lines};

const PATH: &str = "/api/v1/tokens";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

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
    /// All that you may see, with when each was last seen (what comes without a word, too).
    List {
        /// Only this user's.
        #[arg(long)]
        user: Option<String>,
    },
    /// Make one; it is shown this once.
    Create {
        /// What it is for, such as 'kitchen panel'.
        name: String,
        /// Whose it is [default: yours].
        #[arg(long)]
        user: Option<String>,
        /// Days until it ends [default: it does not end by itself].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Take one away: whoever is connected with it is out at once.
    Revoke {
        /// The id that `hearth tokens list` shows.
        id: String,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let answer = match args.what.unwrap_or(What::List { user: None }) {
        What::List { user } => {
            let query = user.map(|user| format!("?user={}", escaped(&user))).unwrap_or_default();
            let tokens = all(&hub, &format!("{PATH}{query}"), "tokens")?;
            if !args.json {
                print_table(&tokens);
                return Ok(ExitCode::SUCCESS);
            }
            json!({ "tokens": tokens })
        }
        What::Create { name, user, days } => {
            let mut body = json!({ "name": name });
            if let Some(user) = user {
                body["user"] = user.into();
            }
            if let Some(days) = days {
                body["expires_at_ms"] = (Timestamp::now().as_millisecond() + i64::from(days) * DAY_MS).into();
            }
            hub.ask(Method::POST, PATH, Some(&body))?
        }
        What::Revoke { id } => hub.ask(Method::DELETE, &format!("{PATH}/{}", escaped(&id)), None)?,
    };
    match answer["token"].as_str() {
        _ if args.json => println!("{}", if answer.is_null() { json!({}) } else { answer }),
        Some(token) => {
            println!("{token}");
            eprintln!("It is not shown again. `hearth tokens revoke {}` takes it away.", shown(text(&answer, "id")));
        }
        None => println!("Done."),
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}

fn print_table(tokens: &[Value]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["id", "user", "for", "made", "ends", "last seen", ""]);
    for token in tokens {
        let mark = if token["current"] == true { "this one" } else { "" };
        let [id, user, name] = ["id", "user", "name"].map(|field| shown(text(token, field)));
        let [made, ends, seen] = ["created_at_ms", "expires_at_ms", "last_seen_ms"].map(|field| day(&token[field]));
        table.add_row([id, user, name, made, ends, seen, mark.into()]);
    }
    print_lines(&table);
}

/// A moment by the clock of the house, to the minute.
fn day(ms: &Value) -> String {
    let moment = ms.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let here = jiff::tz::TimeZone::system();
    moment.map_or("-".into(), |moment| moment.to_zoned(here).strftime("%Y-%m-%d %H:%M").to_string())
}
