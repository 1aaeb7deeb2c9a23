//! `hearth usage`: what the house asked for and what it cost, as a table and a plot. Asks a running hub; adds up nothing
//! that the hub has not added up.

mod plot;

use std::io::IsTerminal;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};
use serde_json::Value;

use crate::cli::hub::HubArgs;
use crate::router::budget::dollars;
use crate::router::prices::NANO_PER_USD;
use crate::store::USAGE_DAYS_MAX;

/// Columns of a terminal that does not say how many it has, and of a pipe.
const COLUMNS_DEFAULT: usize = 80;

#[derive(clap::Args)]
pub struct Args {
    /// The last so many days, today included.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=USAGE_DAYS_MAX as i64))]
    days: u16,
    /// This calendar month.
    #[arg(long, conflicts_with = "days")]
    month: bool,
    /// A line for each day, provider, model or profile.
    #[arg(long, value_name = "WHAT", default_value = "day", value_parser = ["day", "provider", "model", "profile"])]
    by: String,
    /// Print the hub's answer, one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let hub = args.hub.hub()?;
    let today = Zoned::now().date();
    let from =
        if args.month { today.first_of_month() } else { today.saturating_sub((i32::from(args.days) - 1).days()) };
    let ask = |by: &str| hub.get(&format!("/api/v1/usage?from={from}&to={today}&by={by}"));
    let report = ask(&args.by)?;
    if args.json {
        println!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    let by_day = if args.by == "day" { report.clone() } else { ask("day")? };
    print!("{}", page(&report, &by_day, from, today, &Screen::of_stdout()));
    Ok(ExitCode::SUCCESS)
}

/// Where it is shown.
struct Screen {
    columns: usize,
    /// Bars of eighths, as terminals have them; others get plain letters.
    blocks: bool,
}

impl Screen {
    fn of_stdout() -> Screen {
        let stdout = std::io::stdout();
        let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|size| size.ws_col > 0);
        Screen { columns: size.map_or(COLUMNS_DEFAULT, |size| usize::from(size.ws_col)), blocks: stdout.is_terminal() }
    }
}

/// Everything that is shown.
fn page(report: &Value, by_day: &Value, from: Date, to: Date, screen: &Screen) -> String {
    let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut page = String::new();
    if rows.is_empty() {
        page.push_str(&format!("From {from} to {to} nothing was asked.\n"));
    } else {
        page.push_str(&format!("{}\n", table(report, rows)));
        page.push_str(&plotted(by_day, from, to, screen));
    }
    let remarks = remarks(report);
    if !remarks.is_empty() {
        page.push_str(&format!("\n{}\n", remarks.join("\n")));
    }
    page
}

/// A row each, and the totals.
fn table(report: &Value, rows: &[Value]) -> String {
    let by = report["by"].as_str().unwrap_or("day");
    let names: &[&str] = if by == "model" { &["provider", "model"] } else { &[by] };
    // What nobody did needs no column.
    let totals = &report["totals"];
    let columns: Vec<(&str, &str)> = [
        ("requests", "requests"),
        ("failed", "failed"),
        ("tokens in", "input_tokens"),
        ("cached", "cached_tokens"),
        ("tokens out", "output_tokens"),
        ("pictures", "images"),
        ("spoken", "speech_characters"),
    ]
    .into_iter()
    .filter(|(head, field)| *head == "requests" || totals[field].as_u64() > Some(0))
    .collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = names.iter().copied().chain(columns.iter().map(|(head, _)| *head)).chain(["US dollars", ""]);
    table.set_header(heads);
    let numbers = |sum: &Value| {
        let counts: Vec<String> = columns.iter().map(|(_, field)| grouped(sum[field].as_u64().unwrap_or(0))).collect();
        counts.into_iter().chain([dollars(sum["cost_nano_usd"].as_u64().unwrap_or(0)), mark(sum).into()])
    };
    for row in rows {
        let named = names.iter().map(|name| shown(row[name].as_str().unwrap_or_default()));
        table.add_row(named.chain(numbers(row)));
    }
    let total = names.iter().enumerate().map(|(at, _)| if at == 0 { "all".to_owned() } else { String::new() });
    table.add_row(total.chain(numbers(totals)));
    for column in table.column_iter_mut().skip(names.len()).take(columns.len() + 1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Each cell has a blank on either side.
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// Where something is not in the cost, or guessed.
fn mark(sum: &Value) -> &'static str {
    let of = |field: &str| sum[field].as_u64().unwrap_or(0);
    match (of("unpriced_requests"), of("estimated_requests")) {
        (1.., _) => "+?",
        (0, 1..) => "~",
        (0, 0) => "",
    }
}

/// What each day cost; how often something was asked, where nothing cost anything.
fn plotted(by_day: &Value, from: Date, to: Date, screen: &Screen) -> String {
    let of_day = |day: Date, field: &str| {
        let rows = by_day["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = rows.iter().find(|row| row["day"] == day.to_string().as_str());
        row.and_then(|row| row[field].as_u64()).unwrap_or(0)
    };
    let days: Vec<Date> = from.series(1.day()).take_while(|day| *day <= to).collect();
    if days.len() < 2 {
        return String::new();
    }
    let paid = by_day["totals"]["cost_nano_usd"].as_u64() > Some(0);
    let (what, field) = if paid { ("US dollars", "cost_nano_usd") } else { ("requests", "requests") };
    let values: Vec<u64> = days.iter().map(|day| of_day(*day, field)).collect();
    let label = |value: u64| if paid { dollars(value) } else { grouped(value) };
    let plot = plot::Plot { values: &values, what, label: &label };
    format!("\n{}", plot.draw(screen.columns, screen.blocks))
}

/// What the numbers alone do not say.
fn remarks(report: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    for budget in report["budgets"].as_array().into_iter().flatten() {
        let nano = |field: &str| (budget[field].as_f64().unwrap_or(0.0) * NANO_PER_USD) as u64;
        let whose = budget["profile"].as_str().map_or("the house".into(), |name| format!("profile {}", shown(name)));
        let period = budget["period"].as_str().unwrap_or_default();
        let ends = budget["ends_at"].as_str().unwrap_or_default();
        let (day, time) = ends.split_once('T').unwrap_or((ends, ""));
        let ends = format!("{day} {}", time.get(..5).unwrap_or_default());
        let left = match nano("left_usd") {
            0 => "nothing is left: only what runs in the house answers".into(),
            left => format!("{} left", dollars(left)),
        };
        let (spent, limit) = (dollars(nano("spent_usd")), dollars(nano("limit_usd")));
        remarks.push(format!(
            "Budget of {whose}, this {period}: {spent} of {limit} spent, {left} (until {}).",
            ends.trim()
        ));
    }
    let total = |field: &str| report["totals"][field].as_u64().unwrap_or(0);
    let as_of = report["prices_as_of"].as_str().unwrap_or_default();
    let unpriced = total("unpriced_requests");
    if unpriced > 0 {
        remarks.push(format!(
            "+?: {} of {} requests have no known price and are not in the sum (prices as of {as_of}; budget.prices in \
             config.yaml adds one).",
            grouped(unpriced),
            grouped(total("requests")),
        ));
    } else if total("cost_nano_usd") > 0 {
        remarks.push(format!("Prices as of {as_of}, where the provider did not say the cost itself."));
    }
    let estimated = total("estimated_requests");
    if estimated > 0 {
        let text = "were stopped or not counted by their provider: their tokens are a guess.";
        remarks.push(format!("~: {} requests {text}", grouped(estimated)));
    }
    remarks
}

/// Names come from providers and clients: a terminal is to show them and nothing else.
fn shown(name: &str) -> String {
    match name {
        "" => "-".into(),
        name => name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

/// `1234567` as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sum(requests: u64, cost_nano_usd: u64, unpriced_requests: u64) -> Value {
        json!({
            "requests": requests, "failed": 0, "input_tokens": 1000 * requests, "cached_tokens": 0,
            "cache_write_tokens": 0, "output_tokens": 20 * requests, "reasoning_tokens": 0, "images": 0,
            "speech_characters": 0, "cost_nano_usd": cost_nano_usd, "unpriced_requests": unpriced_requests,
            "estimated_requests": 0, "cost_usd": cost_nano_usd as f64 / NANO_PER_USD,
        })
    }

    fn row(name: &str, value: &str, sum: Value) -> Value {
        let mut row = sum;
        row[name] = value.into();
        row
    }

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    #[test]
    fn a_page_is_what_people_read() {
        let days = json!({
            "by": "day",
            "rows": [row("day", "2026-11-01", sum(2, 10_000_000, 0)), row("day", "2026-11-04", sum(1200, 1_240_000_000, 3))],
            "totals": sum(1202, 1_250_000_000, 3),
            "prices_as_of": "2026-11-22",
            "budgets": [{"period": "month", "limit_usd": 5.0, "spent_usd": 1.25, "left_usd": 3.75, "ends_at": "2026-12-01T00:00:00+01:00"}],
        });
        let screen = Screen { columns: 40, blocks: false };
        let page = page(&days, &days, day("2026-11-01"), day("2026-11-04"), &screen);
        insta::assert_snapshot!(page, @r"
        day         requests  tokens in  tokens out  US dollars
        2026-11-01         2      2 000          40      0.0100
        2026-11-04     1 200  1 200 000      24 000        1.24  +?
        all            1 202  1 202 000      24 040        1.25  +?

        US dollars a day
        1.24 |         ##
             |         ##
             |         ##
             |         ##
             |         ##
             |##       ##

        Budget of the house, this month: 1.25 of 5.00 spent, 3.75 left (until 2026-12-01 00:00).
        +?: 3 of 1 202 requests have no known price and are not in the sum (prices as of 2026-11-22; budget.prices in config.yaml adds one).
        ");
    }

    #[test]
    fn a_page_by_model_names_both_and_an_empty_one_says_so() {
        let mut model = row("model", "evil\u{1b}[2J", sum(1, 0, 0));
        model["provider"] = "local".into();
        let report = json!({"by": "model", "rows": [model], "totals": sum(1, 0, 0), "budgets": []});
        let by_day = json!({"by": "day", "rows": [row("day", "2026-11-02", sum(1, 0, 0))], "totals": sum(1, 0, 0)});
        let screen = Screen { columns: 40, blocks: true };
        let (from, to) = (day("2026-11-01"), day("2026-11-03"));
        insta::assert_snapshot!(page(&report, &by_day, from, to, &screen), @r"
        provider  model     requests  tokens in  tokens out  US dollars
        local     evil�[2J         1      1 000          20        0.00
        all                        1      1 000          20        0.00

        requests a day
        1 │   ██
          │   ██
          │   ██
          │   ██
          │   ██
          │   ██
        ");
        let nothing = json!({"by": "day", "rows": [], "totals": sum(0, 0, 0), "budgets": []});
        assert_eq!(page(&nothing, &nothing, from, to, &screen), "From 2026-11-01 to 2026-11-03 nothing was asked.\n");
        assert_eq!(
            page(&json!(7), &Value::Null, from, to, &screen),
            "From 2026-11-01 to 2026-11-03 nothing was asked.\n"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), shown);
        }
    }
}
