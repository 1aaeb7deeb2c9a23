//! `hearth chat`: talks to a running hub over its WebSocket, as any client does.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::app;
use crate::cli::FAILED;
use crate::cli::hub::{TokenArg, base_url};

/// For the connection, the handshake and the welcome together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The hub pings every half a minute; one that is silent for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// The exit code of a program that Ctrl-C has stopped: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// The longest question read from a pipe, bytes.
const QUESTION_BYTES_MAX: u64 = 512 * 1024;

#[derive(clap::Args)]
pub struct Args {
    /// The question; without one, lines are read from the terminal, or one question from a pipe.
    text: Vec<String>,
    /// The hub's WebSocket.
    #[arg(long, default_value = "ws://127.0.0.1:8000/ws/chat", env = "HEARTH_URL")]
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
        let mut line = Line::connect(&args).await?;
        let question = args.text.join(" ");
        if !question.trim().is_empty() {
            return line.ask(&args, &question, &mut interrupts()?).await;
        }
        if std::io::stdin().is_terminal() {
            return converse(&mut line, &args).await;
        }
        let mut question = String::new();
        std::io::stdin()
            .take(QUESTION_BYTES_MAX)
            .read_to_string(&mut question)
            .context("the question cannot be read")?;
        line.ask(&args, &question, &mut interrupts()?).await
    })
}

/// Every Ctrl-C from now on, also one that comes while nobody waits for it. Until then it ends the program.
fn interrupts() -> anyhow::Result<Signal> {
    signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened to")
}

/// Question by question, until the end of input or Ctrl-C at the prompt.
async fn converse(line: &mut Line, args: &Args) -> anyhow::Result<ExitCode> {
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
            line.ask(args, &question, &mut interrupts).await?;
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

/// A connection to a hub, past the greeting.
struct Line {
    socket: WebSocketStream<TcpStream>,
    asked: u32,
}

impl Line {
    async fn connect(args: &Args) -> anyhow::Result<Line> {
        let place =
            args.url.strip_prefix("ws://").ok_or_else(|| anyhow!("--url: a hub's address begins with ws://"))?;
        let authority = place.split('/').next().unwrap_or_default();
        let address = if authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let dialling = async {
            let stream = TcpStream::connect(&address)
                .await
                .with_context(|| format!("no hub at {address}; is it running? (`hearth serve`, or `hearth demo`)"))?;
            stream.set_nodelay(true)?;
            let (socket, _) = client_async(handshake(args)?, stream).await.map_err(refused)?;
            let mut line = Line { socket, asked: 0 };
            line.receive().await?;
            let features: &[&str] = if args.reasoning { &["reasoning"] } else { &[] };
            let client = json!({ "name": "hearth chat", "version": env!("CARGO_PKG_VERSION") });
            let payload = json!({ "protocol": [2], "client": client, "features": features });
            line.send(&json!({ "action": "hello", "request_id": "hello", "payload": payload })).await?;
            let hello = line.receive().await?;
            match hello["status"].as_str() {
                Some("complete") => Ok(line),
                _ => bail!("the hub refused: {}", hello["error"]["message"].as_str().unwrap_or("without a reason")),
            }
        };
        timeout(CONNECT_DEADLINE, dialling).await.map_err(|_| anyhow!("no answer from {address} in time"))?
    }

    /// One question and its whole answer. Ctrl-C stops the answer; a second one does not wait for its end.
    async fn ask(&mut self, args: &Args, question: &str, interrupts: &mut Signal) -> anyhow::Result<ExitCode> {
        self.asked += 1;
        let id = format!("chat-{}", self.asked);
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
        self.send(&json!({ "action": "chat", "request_id": id, "payload": payload })).await?;
        let mut stopped = false;
        let mut shown = Shown { json: args.json, terminal: std::io::stdout().is_terminal(), any: false };
        loop {
            let message = tokio::select! {
                message = self.receive() => message?,
                _ = interrupts.recv() => {
                    if stopped {
                        return Ok(ExitCode::from(INTERRUPTED));
                    }
                    stopped = true;
                    let cancel = json!({ "action": "cancel", "request_id": "cancel", "payload": { "target": id } });
                    self.send(&cancel).await?;
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

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.socket.send(Message::text(message.to_string())).await.context("the connection broke")
    }

    /// The next message of JSON.
    async fn receive(&mut self) -> anyhow::Result<Value> {
        loop {
            let next = timeout(SILENCE_MAX, self.socket.next()).await.map_err(|_| anyhow!("the hub fell silent"))?;
            match next.transpose().context("the connection broke")? {
                Some(Message::Text(text)) => return serde_json::from_str(&text).context("the hub sent no JSON"),
                Some(Message::Close(Some(why))) => bail!("the hub hung up: {} ({})", why.reason, u16::from(why.code)),
                Some(Message::Close(None)) | None => bail!("the hub hung up"),
                Some(_) => {}
            }
        }
    }
}

/// The opening of the WebSocket, as whoever the token says.
fn handshake(args: &Args) -> anyhow::Result<Request> {
    let mut request = args.url.as_str().into_client_request().context("--url")?;
    if let Some(token) = args.token.token_for(&base_url(&args.url)?) {
        let value = format!("Bearer {token}").parse().context("--token: it holds what no token does")?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Why the hub did not open the WebSocket, in its own words where it said some.
fn refused(error: tungstenite::Error) -> anyhow::Error {
    if let tungstenite::Error::Http(answer) = &error
        && let Ok(problem) = serde_json::from_slice::<Value>(answer.body().as_deref().unwrap_or_default())
        && let Some(detail) = problem["detail"].as_str()
    {
        return anyhow!("the hub says: {}", harmless(detail));
    }
    anyhow::Error::new(error).context("this is no hub, or it refused")
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

fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
