//! `hearth chat`: talks to a running hub over its WebSocket, as any client does.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::app;
use crate::cli::hub::{Place, TokenArg, socket_url};
use crate::cli::line::Line;
use crate::cli::listing::harmless;
use crate::cli::{FAILED, INTERRUPTED};

/// The longest question read from a pipe, bytes.
const QUESTION_BYTES_MAX: u64 = 512 * 1024;

#[derive(clap::Args)]
pub struct Args {
    /// The question; without one, lines are read from the terminal, or one question from a pipe.
    text: Vec<String>,
    /// The hub.
    #[arg(long, default_value = "http://127.0.0.1:8000", env = "HEARTH_URL")]
    url: String,
    #[command(flatten)]
    token: TokenArg,
    /// Print the hub's messages as they come, one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Go on with this conversation: 1 to 64 of A-Z, a-z, 0-9, _ and -.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// The model profile.
    #[arg(long)]
    profile: Option<String>,
    /// Ask this provider and nobody else.
    #[arg(long)]
    provider: Option<String>,
    /// Ask for this model.
    #[arg(long)]
    model: Option<String>,
    /// Who may answer: auto, local (nobody outside this house) or llm (never the built-in assistant).
    #[arg(long)]
    mode: Option<String>,
    /// Show the model's thinking too.
    #[arg(long)]
    reasoning: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    app::runtime()?.block_on(async {
        let mut talk = Talk::open(&args).await?;
        let question = args.text.join(" ");
        if !question.trim().is_empty() {
            return ask(&mut talk, &args, &question, &mut interrupts()?).await;
        }
        if std::io::stdin().is_terminal() {
            return converse(&mut talk, &args).await;
        }
        let mut question = String::new();
        std::io::stdin()
            .take(QUESTION_BYTES_MAX)
            .read_to_string(&mut question)
            .context("the question cannot be read")?;
        ask(&mut talk, &args, &question, &mut interrupts()?).await
    })
}

/// Every Ctrl-C from now on, also one that comes while nobody waits for it. Until then it ends the program.
fn interrupts() -> anyhow::Result<Signal> {
    signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened to")
}

/// Question by question, until the end of input or Ctrl-C at the prompt.
async fn converse(talk: &mut Talk, args: &Args) -> anyhow::Result<ExitCode> {
    let (mut questions, mut interrupts) = (read_lines(), interrupts()?);
    loop {
        prompt();
        let question = tokio::select! {
            question = questions.recv() => question,
            _ = interrupts.recv() => None,
        };
        let Some(question) = question else {
            println!();
            return Ok(ExitCode::SUCCESS);
        };
        if !question.trim().is_empty() {
            ask(talk, args, &question, &mut interrupts).await?;
        }
    }
}

fn prompt() {
    print!("> ");
    // A terminal that is gone ends the input as well.
    let _ = std::io::stdout().flush();
}

/// The terminal's lines; a thread waits for them, and ends with the process.
fn read_lines() -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A connection on which questions are counted.
struct Talk {
    line: Line,
    asked: u32,
}

impl Talk {
    async fn open(args: &Args) -> anyhow::Result<Talk> {
        let place = Place { url: socket_url(&args.url)?, token: &args.token };
        let features: &[&str] = if args.reasoning { &["reasoning"] } else { &[] };
        Ok(Talk { line: Line::connect(place, "hearth chat", features).await?, asked: 0 })
    }
}

/// One question and its whole answer. Ctrl-C stops the answer; a second one does not wait for its end.
async fn ask(talk: &mut Talk, args: &Args, question: &str, interrupts: &mut Signal) -> anyhow::Result<ExitCode> {
    talk.asked += 1;
    let id = format!("chat-{}", talk.asked);
    let mut payload = json!({ "text": question });
    let wishes = [
        ("conversation_id", &args.conversation),
        ("profile", &args.profile),
        ("provider", &args.provider),
        ("model", &args.model),
        ("mode", &args.mode),
    ];
    for (key, wish) in wishes {
        if let Some(wish) = wish {
            payload[key] = wish.as_str().into();
        }
    }
    talk.line.send(&json!({ "action": "chat", "request_id": id, "payload": payload })).await?;
    let mut stopped = false;
    let mut shown = Shown { json: args.json, terminal: std::io::stdout().is_terminal(), any: false };
    loop {
        let message = tokio::select! {
            message = talk.line.receive() => message?,
            _ = interrupts.recv() => {
                if stopped {
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                stopped = true;
                let cancel = json!({ "action": "cancel", "request_id": "cancel", "payload": { "target": id } });
                talk.line.send(&cancel).await?;
                continue;
            }
        };
        if message["request_id"] != id.as_str() {
            continue;
        }
        if let Some(code) = shown.show(&message)? {
            return Ok(ExitCode::from(if stopped { INTERRUPTED } else { code }));
        }
    }
}

/// What is on the screen of one answer.
struct Shown {
    json: bool,
    terminal: bool,
    any: bool,
}

impl Shown {
    /// Shows a message; gives the exit code with the last one.
    fn show(&mut self, message: &Value) -> anyhow::Result<Option<u8>> {
        let status = message["status"].as_str().unwrap_or_default();
        let code = match status {
            "complete" => Some(0),
            "error" => Some(FAILED),
            _ => None,
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{message}")?;
            out.flush()?;
            return Ok(code);
        }
        let data = message["chunk"]["data"].as_str().unwrap_or_default();
        match (status, message["chunk"]["type"].as_str().unwrap_or_default()) {
            ("chunk", "text" | "reasoning") => {
                self.any = true;
                out.write_all(self.safe(data).as_bytes())?;
                out.flush()?;
            }
            ("chunk", "notice") => eprintln!("[{}]", harmless(data)),
            ("complete", _) if self.any => writeln!(out)?,
            ("error", _) => {
                if self.any {
                    writeln!(out)?;
                }
                let error = &message["error"];
                let text = error["message"].as_str().unwrap_or_default();
                eprintln!("{}: {}", error["code"].as_str().unwrap_or("error"), harmless(text));
            }
            _ => {}
        }
        Ok(code)
    }

    /// A model's words must not move the cursor of somebody's terminal; a pipe gets them as they are.
    fn safe(&self, text: &str) -> String {
        if self.terminal { harmless(text) } else { text.to_owned() }
    }
}
