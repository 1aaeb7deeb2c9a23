//! `hearth tools`: what the hub and the servers behind it can do, and doing it. Checks no argument; the hub does.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::app;
use crate::cli::hub::{Hub, HubArgs, escaped};
use crate::cli::listing::{brief, harmless, table};
use crate::cli::users::all;
use crate::cli::{FAILED, INTERRUPTED};

/// Characters of a description in a list.
const BRIEF_CHARS: usize = 70;

/// The longest line of an event, bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Cells of a bar.
const BAR_CELLS: usize = 24;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show the tools that you may call.
    List {
        /// Those that have all these words in name, title or description.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Print the tools as the hub lists them, one JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Show one tool with its arguments.
    Show {
        name: String,
        /// Print it as the hub does, one JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Call a tool. Ctrl-C cancels the call.
    Call {
        name: String,
        /// One JSON object, or key=value for each argument: the value is JSON where it is some, and text otherwise.
        #[arg(value_name = "JSON | KEY=VALUE")]
        arguments: Vec<String>,
        /// Print what the hub answers, one JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::List { search, json, hub } => list(&hub.hub()?, search.as_deref(), json),
        What::Show { name, json, hub } => show(&hub.hub()?, &name, json),
        What::Call { name, arguments, json, hub } => call(hub.hub()?, &name, &arguments, json),
    }
}

fn list(hub: &Hub, search: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let path = search.map_or("/api/v1/tools".into(), |words| format!("/api/v1/tools?search={}", escaped(words)));
    let tools = all(hub, &path, "tools")?;
    if json {
        println!("{}", Value::from(tools));
        return Ok(ExitCode::SUCCESS);
    }
    if tools.is_empty() {
        println!("{}", if search.is_some() { "No tool has these words." } else { "There are no tools for you." });
        return Ok(ExitCode::SUCCESS);
    }
    let text = |tool: &Value, field: &str| tool[field].as_str().unwrap_or_default().to_owned();
    let rows = tools.iter().map(|tool| {
        let server = tool["server"].as_str().unwrap_or("hub").to_owned();
        [text(tool, "name"), server, text(tool, "access"), brief(&text(tool, "description"), BRIEF_CHARS)]
    });
    println!("{}", table(["tool", "from", "for", "what it does"], rows));
    Ok(ExitCode::SUCCESS)
}

fn show(hub: &Hub, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let tool = hub.get(&format!("/api/v1/tools/{}", escaped(name)))?;
    if json {
        println!("{tool}");
    } else {
        print!("{}", page(&tool));
    }
    Ok(ExitCode::SUCCESS)
}

/// A tool for people.
fn page(tool: &Value) -> String {
    let text = |field: &str| harmless(tool[field].as_str().unwrap_or_default());
    let mut page = text("name");
    if !text("title").is_empty() {
        page.push_str(&format!(": {}", text("title")));
    }
    page.push_str(&format!("\n\n{}\n", text("description").trim_end()));
    let facts = [
        ("readOnlyHint", true, "changes nothing"),
        ("destructiveHint", true, "what it takes away does not come back"),
        ("idempotentHint", true, "twice is as good as once"),
        ("openWorldHint", true, "reaches beyond the house"),
    ];
    let hints = facts.iter().filter(|(hint, is, _)| tool["annotations"][*hint] == *is).map(|(.., words)| *words);
    let least = format!("for {}s and above", text("access"));
    page.push_str(&format!("\n{}\n", std::iter::once(least.as_str()).chain(hints).collect::<Vec<_>>().join("; ")));
    let schema = &tool["inputSchema"];
    let properties = schema["properties"].as_object().into_iter().flatten();
    let is_required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let rows: Vec<_> = properties
        .map(|(name, schema)| {
            let must = if is_required(name) { "must be" } else { "" };
            let words = schema["description"].as_str().unwrap_or_default().to_owned();
            [name.clone(), kind(schema), must.to_owned(), words]
        })
        .collect();
    match rows.is_empty() {
        true => page.push_str("\nIt takes no arguments.\n"),
        false => page.push_str(&format!("\n{}\n", table(["argument", "is", "", ""], rows))),
    }
    page
}

/// What a schema means, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        return choices
            .iter()
            .map(|one| one.as_str().map_or(one.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join("|");
    }
    let own = match &schema["type"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => {
            let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
            choices.filter(|choice| choice["type"] != "null").map(kind).collect()
        }
    };
    let mut own: Vec<String> = own.into_iter().filter(|kind| kind != "null").collect();
    own.dedup();
    if own.is_empty() { "any".into() } else { own.join("|") }
}

/// The arguments of a command line.
fn arguments(words: &[String]) -> anyhow::Result<Value> {
    if let [one] = words
        && one.trim_start().starts_with('{')
    {
        let value: Value = serde_json::from_str(one).context("the arguments are no JSON")?;
        return Ok(value);
    }
    let mut arguments = Map::new();
    for word in words {
        let pair = word.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, text) = pair.ok_or_else(|| anyhow!("{word:?} is neither a JSON object nor key=value"))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        if arguments.insert(key.to_owned(), value).is_some() {
            bail!("{key} stands twice");
        }
    }
    Ok(arguments.into())
}

/// What comes of a call, as it comes.
enum News {
    Step(Value),
    Result(Value),
    Failed(anyhow::Error),
}

/// Calls the tool on a thread of its own, so that this one can hear Ctrl-C; the end of the process hangs up, and that cancels.
fn call(hub: Hub, name: &str, words: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let arguments = arguments(words)?;
    let path = format!("/api/v1/tools/{}", escaped(name));
    app::runtime()?.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened to")?;
        let (sender, mut news) = mpsc::channel(16);
        std::thread::spawn(move || {
            let told = listen(&hub, &path, &arguments, &sender);
            let last = told.unwrap_or_else(News::Failed);
            // Nobody listens any more where Ctrl-C came.
            let _ = sender.blocking_send(last);
        });
        let mut bar = Bar::new(!json);
        loop {
            let one = tokio::select! {
                one = news.recv() => one.ok_or_else(|| anyhow!("the call ended without an end"))?,
                _ = interrupts.recv() => {
                    bar.clear();
                    eprintln!("cancelled");
                    return Ok(ExitCode::from(INTERRUPTED));
                }
            };
            match one {
                News::Step(step) => bar.draw(&step),
                News::Result(result) => {
                    bar.clear();
                    return show_result(&result, json);
                }
                News::Failed(error) => {
                    bar.clear();
                    return Err(error);
                }
            }
        }
    })
}

/// Calls the tool and tells of its steps.
fn listen(hub: &Hub, path: &str, arguments: &Value, news: &mpsc::Sender<News>) -> anyhow::Result<News> {
    let step = |step| news.blocking_send(News::Step(step)).map_err(|_| anyhow!("cancelled"));
    Ok(News::Result(in_steps(hub, path, arguments, step)?))
}

/// Calls the tool at this path and waits for its result, `{"content","structured"?,"is_error"}`, for as long as it takes; each
/// step goes to `step`. The end of the process hangs up, and that cancels the call.
pub(super) fn in_steps(
    hub: &Hub,
    path: &str,
    arguments: &Value,
    mut step: impl FnMut(Value) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    let mut lines = BufReader::new(hub.events(path, arguments)?);
    let mut name = String::new();
    loop {
        let mut line = String::new();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).context("the connection broke")?;
        if read == 0 {
            bail!("the hub hung up before the tool was done");
        }
        // The hub's own events have one line each of name and data.
        if let Some(said) = line.strip_prefix("event: ") {
            name = said.trim_end().to_owned();
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: Value = serde_json::from_str(data).context("the hub sent no JSON")?;
        match name.as_str() {
            "progress" => step(data)?,
            "result" => return Ok(data),
            "error" => bail!("the hub says: {}", harmless(data["message"].as_str().unwrap_or_default())),
            _ => {}
        }
    }
}

fn show_result(result: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let is_error = result["is_error"] == true;
    let code = if is_error { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
    if json {
        println!("{result}");
        return Ok(code);
    }
    let words = said(result);
    match is_error {
        true => eprintln!("hearth: the tool failed: {words}"),
        false => println!("{words}"),
    }
    Ok(code)
}

/// A result for people: the structured one laid out, or the words of the content.
fn said(result: &Value) -> String {
    if !result["structured"].is_null() && result["is_error"] != true {
        return harmless(&serde_json::to_string_pretty(&result["structured"]).expect("a JSON value is always JSON"));
    }
    let block = |block: &Value| match (block["type"].as_str(), block["text"].as_str()) {
        (_, Some(text)) => harmless(text),
        (kind, None) => {
            let mime = block["mimeType"].as_str().or(block["resource"]["mimeType"].as_str()).unwrap_or_default();
            format!("[{} {}]", kind.unwrap_or("something"), harmless(mime))
        }
    };
    result["content"].as_array().into_iter().flatten().map(block).collect::<Vec<_>>().join("\n")
}

/// One line on a terminal, drawn over and over; elsewhere nothing.
pub(super) struct Bar {
    terminal: bool,
    drawn: bool,
}

impl Bar {
    /// On stderr, where that is a terminal and somebody is to see it.
    pub(super) fn new(is_shown: bool) -> Bar {
        Bar { terminal: std::io::stderr().is_terminal() && is_shown, drawn: false }
    }

    pub(super) fn draw(&mut self, step: &Value) {
        if self.terminal {
            self.drawn = true;
            eprint!("\r\x1b[2K{}", bar(step));
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}

fn bar(step: &Value) -> String {
    let progress = step["progress"].as_f64().unwrap_or_default();
    let message: String = harmless(step["message"].as_str().unwrap_or_default()).replace(['\n', '\t'], " ");
    let message: String = message.chars().take(60).collect();
    match step["total"].as_f64().filter(|total| *total > 0.0) {
        Some(total) => {
            let share = (progress / total).clamp(0.0, 1.0);
            let full = (share * BAR_CELLS as f64).round() as usize;
            format!("[{}{}] {:3.0} % {message}", "#".repeat(full), ".".repeat(BAR_CELLS - full), share * 100.0)
        }
        None => format!("{progress} {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(words: &[&str]) -> anyhow::Result<Value> {
        arguments(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_an_object_or_pairs() {
        assert_eq!(read(&[]).expect("none"), json!({}));
        assert_eq!(read(&[r#" {"a": [1]}"#]).expect("JSON"), json!({ "a": [1] }));
        let pairs = read(&["n=10", "text=a=b", "list=[1,2]", "on=true", "empty=", "quoted=\"10\""]).expect("pairs");
        let meant = json!({ "n": 10, "text": "a=b", "list": [1, 2], "on": true, "empty": "", "quoted": "10" });
        assert_eq!(pairs, meant);
        for bad in [&["{"][..], &["word"], &["=1"], &["a=1", "a=2"], &["{}", "a=1"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_tool_is_shown_with_its_arguments() {
        let tool = json!({
            "name": "settings.set", "title": "Set", "description": "Sets one.\u{1b}[2J", "access": "owner",
            "annotations": { "readOnlyHint": false, "idempotentHint": true },
            "inputSchema": { "required": ["key"], "properties": {
                "key": { "type": "string", "description": "Which." },
                "mode": { "enum": ["a", 1] },
                "n": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
                "value": true,
            } },
        });
        let shown = page(&tool);
        let above = "settings.set: Set\n\nSets one.[2J\n\nfor owners and above; twice is as good as once\n\nargument  ";
        assert!(shown.starts_with(above), "{shown}");
        for line in ["key       string   must be  Which.", "mode      a|1", "n         integer", "value     any"] {
            assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
        }
    }

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(
            bar(&json!({ "progress": 1, "total": 2, "message": "a\u{7}b" })),
            "[############............]  50 % ab"
        );
        assert_eq!(bar(&json!({ "progress": 9, "total": 2 })), "[########################] 100 % ");
        assert_eq!(bar(&json!({ "progress": 3 })), "3 ");
    }

    #[test]
    fn a_result_is_said_in_its_own_words() {
        let content =
            json!([{ "type": "text", "text": "a" }, { "type": "image", "mimeType": "image/png", "data": "" }]);
        assert_eq!(said(&json!({ "content": content, "is_error": false })), "a\n[image image/png]");
        assert_eq!(said(&json!({ "content": content, "structured": { "b": 1 } })), "{\n  \"b\": 1\n}");
    }
}
