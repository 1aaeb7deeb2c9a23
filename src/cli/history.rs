//! `hearth history`: how a property of a device was. Asks a running hub.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::hub::{HubArgs, escaped};
use crate::cli::listing::{harmless, table};

#[derive(clap::Args)]
pub struct Args {
    /// A name or an id.
    device: String,
    /// Such as temperature.
    property: String,
    /// From when on: 2026-11-01, 2026-11-01T08:00, or how long ago: 90m, 24h, 7d.
    #[arg(long, default_value = "24h", value_name = "TIME")]
    from: String,
    /// Until when; now, where nothing is said.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Points at most, 1 to 1000.
    #[arg(long, default_value_t = 100)]
    limit: u16,
    /// Print the hub's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let mut asked = format!(
        "/api/v1/history?device={}&property={}&from={}&limit={}",
        escaped(&args.device),
        escaped(&args.property),
        escaped(&args.from),
        args.limit
    );
    if let Some(to) = &args.to {
        asked.push_str(&format!("&to={}", escaped(to)));
    }
    let answer = hub.get(&asked)?;
    println!("{}", if args.json { answer.to_string() } else { page(&answer) });
    Ok(ExitCode::SUCCESS)
}

fn page(answer: &Value) -> String {
    let points = answer["points"].as_array().map_or(&[][..], Vec::as_slice);
    if points.is_empty() {
        return "Nothing is known of that time.".into();
    }
    let word = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |n| format!("{}", (n * 100.0).round() / 100.0))
        }
        value => value.to_string(),
    };
    let rows = points.iter().map(|point| ["at", "value", "min", "mean", "max"].map(|key| word(&point[key])));
    let unit = answer["unit"].as_str().map(|unit| format!("value ({})", harmless(unit)));
    table(["when", unit.as_deref().unwrap_or("value"), "least", "mean", "most"], rows)
}
