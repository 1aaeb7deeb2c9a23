//! A server that is a program of this machine: one message a line on its standard streams (MCP, "stdio"). Moves bytes and
//! holds a flood back; what a message means is the client's to say.

mod guard;
mod order;
mod outside;
mod program;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::common::config::McpServer;
use crate::common::rate::TokenBucket;
use crate::mcp::upstream::client::MESSAGE_BYTES_MAX;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::link::{Letter, Shared, Wire};
use crate::net::ndjson;

pub use guard::watch as watch_programs;
pub use order::become_server;
pub use outside::serve;
pub use program::Launcher;
use program::Program;

/// Lines in a row that are no messages before a program is taken for no MCP server. Some print a banner, or log to the wrong
/// stream.
pub const GARBAGE_LINES_MAX: u32 = 100;

/// What is read at once, bytes. Pages that no pipe has filled are not touched.
const READ_BYTES: usize = 64 * 1024;

/// Messages on the way to a program that does not read. One more waits for room.
const QUEUE_LEN: usize = 64;

/// What one write takes of that queue, bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// How fast a program may talk: lines and KiB, in a burst and over time. What comes faster waits in the program's own pipe, so
/// that the others are heard.
const LINES_BURST: u32 = 20_000;
const LINES_REFILL: Duration = Duration::from_micros(20);
const KIB_BURST: u32 = 64 * 1024;
const KIB_REFILL: Duration = Duration::from_micros(30);

/// How long a program that talks too fast is not listened to.
const HELD_BACK: Duration = Duration::from_millis(20);

/// How long the status of a program that has closed its output is waited for.
const STATUS_DEADLINE: Duration = Duration::from_secs(1);

/// Starts the program and gives `shared` its wire.
pub async fn start(
    slug: &str,
    server: &McpServer,
    launcher: &Launcher,
    shared: &Arc<Shared>,
) -> Result<(), UpstreamError> {
    let (program, streams) = program::start(slug, server, launcher).await?;
    let (queue, letters) = mpsc::channel(QUEUE_LEN);
    let program = Arc::new(program);
    let wire = Arc::new(Stdio {
        queue: Mutex::new(Some(queue)),
        program: Arc::clone(&program),
        overflowed: AtomicBool::new(false),
    });
    shared.attach(wire);
    tokio::spawn(write(streams.stdin, letters));
    tokio::spawn(words::keep(Arc::clone(&program), streams.stderr));
    tokio::spawn(read(streams.stdout, Arc::clone(shared), program));
    Ok(())
}

struct Stdio {
    /// `None` once it was hung up.
    queue: Mutex<Option<mpsc::Sender<String>>>,
    program: Arc<Program>,
    /// It was said that the program does not read.
    overflowed: AtomicBool,
}

impl Stdio {
    fn queue(&self) -> Option<mpsc::Sender<String>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Wire for Stdio {
    fn send(&self, letter: Letter) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let queue = self.queue();
        async move {
            let gone = || UpstreamError::Gone("the program takes no more requests".into());
            queue.ok_or_else(gone)?.send(letter.text).await.map_err(|_| gone())
        }
        .boxed()
    }

    fn post(&self, letter: Letter) {
        let is_full = self.queue().is_some_and(|queue| queue.try_send(letter.text).is_err());
        if is_full && !self.overflowed.swap(true, Ordering::Relaxed) {
            tracing::debug!(server = &*self.program.slug, "the program does not read what it is sent");
        }
    }

    fn forget(&self, _: i64) -> bool {
        true
    }

    fn hang_up(&self) {
        // The end of its input is how a program is asked to go (MCP, "stdio", "Shutdown").
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.program.end();
    }

    fn pid(&self) -> Option<u32> {
        Some(self.program.pid)
    }
}

/// Brings messages to the program, several in one write where they wait.
async fn write(mut stdin: pipe::Sender, mut letters: mpsc::Receiver<String>) {
    let mut bytes = Vec::new();
    while let Some(text) = letters.recv().await {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        while bytes.len() < WRITE_BYTES
            && let Ok(text) = letters.try_recv()
        {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
        }
        // A program that is gone is seen at its other end.
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
        bytes.shrink_to(WRITE_BYTES);
    }
}

/// Hears the program until it ends, or says what nobody can understand.
async fn read(mut stdout: pipe::Receiver, shared: Arc<Shared>, program: Arc<Program>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut lines = ndjson::Parser::new(MESSAGE_BYTES_MAX);
    let mut pace = Pace::new();
    let mut garbage = 0;
    let why = 'reading: loop {
        let len = match stdout.read(&mut buffer).await {
            Ok(len) if len > 0 => len,
            _ => break 'reading ended(&program).await,
        };
        let mut bytes = &buffer[..len];
        let mut lines_len = 0;
        loop {
            let line = match lines.next(&mut bytes) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => break 'reading UpstreamError::Garbage(format!("{error}, and no message is so long")),
            };
            lines_len += 1;
            let Some(nonsense) = understood(line, &shared) else {
                garbage = 0;
                continue;
            };
            garbage += 1;
            if garbage == 1 {
                let line = program.shown(&String::from_utf8_lossy(&line[..line.len().min(256)]), 120);
                tracing::debug!(server = &*program.slug, line, nonsense, "a program prints what is no message of MCP");
            }
            if garbage > GARBAGE_LINES_MAX {
                let line = program.shown(&String::from_utf8_lossy(&line[..line.len().min(256)]), 120);
                let why = format!(
                    "it prints text where MCP's messages belong, such as {line:?}: is this an MCP server, and does its \
                     command need an option for stdio?"
                );
                break 'reading UpstreamError::Garbage(why);
            }
        }
        let mut may_go_on = pace.allows(lines_len, len);
        while !may_go_on {
            tokio::time::sleep(HELD_BACK).await;
            may_go_on = pace.allows(0, 0);
        }
    };
    shared.lost(why);
    program.end();
}

/// Why a line is no message; nothing where it is one.
fn understood(line: &[u8], shared: &Shared) -> Option<String> {
    let Ok(text) = std::str::from_utf8(line) else { return Some("it is no UTF-8".into()) };
    shared.hear(text, None).err().map(|nonsense| nonsense.0)
}

/// It has closed its output: with what status, and with which last words?
async fn ended(program: &Program) -> UpstreamError {
    let status = tokio::time::timeout(STATUS_DEADLINE, program.status()).await;
    let how = match status {
        Ok(Some(status)) => format!("its program ended ({status})"),
        Ok(None) => "its program ended".to_owned(),
        Err(_) => "its program closed its output".to_owned(),
    };
    let words = program.last_words();
    UpstreamError::Gone(if words.is_empty() { how } else { format!("{how}; its last words: {words}") })
}

/// How much a program has said of late.
struct Pace {
    lines: TokenBucket,
    kib: TokenBucket,
    owed_lines: usize,
    owed_kib: usize,
}

impl Pace {
    #[expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the buckets")]
    fn new() -> Pace {
        let now = std::time::Instant::now();
        Pace {
            lines: TokenBucket::new(LINES_BURST, LINES_REFILL, now),
            kib: TokenBucket::new(KIB_BURST, KIB_REFILL, now),
            owed_lines: 0,
            owed_kib: 0,
        }
    }

    /// Whether it may go on after this. What it owes stays owed.
    #[expect(clippy::disallowed_methods, reason = "a driver: it reads the clock for the buckets")]
    fn allows(&mut self, lines: usize, bytes: usize) -> bool {
        let now = std::time::Instant::now();
        self.owed_lines += lines;
        self.owed_kib += bytes.div_ceil(1024);
        while self.owed_lines > 0 && self.lines.take(now) {
            self.owed_lines -= 1;
        }
        while self.owed_kib > 0 && self.kib.take(now) {
            self.owed_kib -= 1;
        }
        self.owed_lines == 0 && self.owed_kib == 0
    }
}
