//! The provider that everybody forwards: Chat Completions over chunked HTTP/1.1 by hand, one write a chunk, and the time of
//! the write within the chunk. Runs on a thread of its own; knows nothing of who stands between it and the client.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::clock::now_ns;

/// Stands before the time in a chunk, which is [`STAMP_DIGITS`] of nanoseconds.
pub const STAMP_MARK: u8 = b'@';
pub const STAMP_DIGITS: usize = 16;

/// The longest request taken, bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Chunks in a row that a stream may write without letting others have their turn.
const CHUNKS_A_TURN: u32 = 64;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// What a stream does from its request on.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// A chunk each `interval`, until then; `streams` of them are spread evenly over the interval.
    Paced { interval: Duration, streams: usize, until_ns: u64 },
    /// A chunk as soon as the socket takes it, until then.
    FlatOut { until_ns: u64 },
    /// Takes the request and says nothing.
    Silent,
}

pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// When each stream that was given up saw its connection closed.
    closed: mpsc::UnboundedReceiver<u64>,
}

struct Shared {
    plan: Mutex<Plan>,
    begun: AtomicUsize,
    chunks: AtomicU64,
    closed: mpsc::UnboundedSender<u64>,
}

impl Provider {
    /// Starts the thread, which lives as long as the process.
    pub fn start() -> Provider {
        let (sender, closed) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            plan: Mutex::new(Plan::Silent),
            begun: AtomicUsize::new(0),
            chunks: AtomicU64::new(0),
            closed: sender,
        });
        let (for_thread, (tell, told)) = (shared.clone(), std::sync::mpsc::channel());
        let thread = std::thread::Builder::new().name("provider".into());
        let run = move || {
            runtime().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("bound")).expect("the starter waits");
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let shared = for_thread.clone();
                    tokio::spawn(async move {
                        // A peer that leaves is part of some measurements.
                        let _ = serve(stream, &shared).await;
                    });
                }
            });
        };
        thread.spawn(run).expect("a thread");
        Provider { address: told.recv().expect("it listens"), shared, closed }
    }

    /// What the next requests get; counting begins anew.
    pub fn set(&self, plan: Plan) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.shared.begun.store(0, Ordering::SeqCst);
        self.shared.chunks.store(0, Ordering::SeqCst);
    }

    /// Requests that have come since the plan was set.
    pub fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }

    /// Chunks written since the plan was set.
    pub fn chunks(&self) -> u64 {
        self.shared.chunks.load(Ordering::SeqCst)
    }

    /// Waits until a stream sees its connection closed; when that was.
    pub async fn closed(&mut self, patience: Duration) -> Option<u64> {
        tokio::time::timeout(patience, self.closed.recv()).await.ok().flatten()
    }

    /// Forgets what has closed so far.
    pub fn forget_closed(&mut self) {
        while self.closed.try_recv().is_ok() {}
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    loop {
        request.clear();
        if !read_request(&mut stream, &mut request).await? {
            return Ok(());
        }
        let plan = *shared.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let at = shared.begun.fetch_add(1, Ordering::SeqCst);
        let done = match plan {
            Plan::Silent => gone(&stream).await,
            Plan::Paced { interval, streams, until_ns } => {
                stream.write_all(HEAD).await?;
                paced(&mut stream, shared, interval, interval.mul_f64((at % streams) as f64 / streams as f64), until_ns)
                    .await
            }
            Plan::FlatOut { until_ns } => {
                stream.write_all(HEAD).await?;
                flat_out(&mut stream, shared, until_ns).await
            }
        };
        if done.is_err() {
            let _ = shared.closed.send(now_ns());
            return done;
        }
        stream.write_all(&ending()).await?;
    }
}

/// Reads a head and its body; false when the peer has left instead.
async fn read_request(stream: &mut TcpStream, request: &mut Vec<u8>) -> std::io::Result<bool> {
    while request.len() < REQUEST_BYTES_MAX {
        if stream.read_buf(request).await? == 0 {
            return Ok(false);
        }
        let Some(head_len) = memmem::find(request, b"\r\n\r\n").map(|at| at + 4) else { continue };
        let head = request[..head_len].to_ascii_lowercase();
        let body_len = memmem::find(&head, b"content-length:").map_or(0, |at| {
            let digits = head[at + 15..].trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |len: usize, byte| len * 10 + usize::from(byte - b'0'))
        });
        if request.len() >= head_len + body_len {
            return Ok(true);
        }
    }
    Err(ErrorKind::InvalidData.into())
}

async fn paced(
    stream: &mut TcpStream,
    shared: &Shared,
    interval: Duration,
    offset: Duration,
    until_ns: u64,
) -> std::io::Result<()> {
    let mut chunk = Chunk::new();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::from_std(instant()) + offset, interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while now_ns() < until_ns {
        tokio::select! {
            _ = tick.tick() => {
                stream.write_all(chunk.stamped()).await?;
                shared.chunks.fetch_add(1, Ordering::Relaxed);
            }
            left = gone(stream) => return left,
        }
    }
    Ok(())
}

async fn flat_out(stream: &mut TcpStream, shared: &Shared, until_ns: u64) -> std::io::Result<()> {
    let mut chunk = Chunk::new();
    let mut in_turn = 0;
    while now_ns() < until_ns {
        stream.write_all(chunk.stamped()).await?;
        shared.chunks.fetch_add(1, Ordering::Relaxed);
        in_turn += 1;
        if in_turn == CHUNKS_A_TURN {
            in_turn = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Ends, with an error, when the peer has closed.
async fn gone(stream: &TcpStream) -> std::io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 64]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// One chunk of HTTP with one event in it, written again and again with another time.
struct Chunk {
    bytes: Vec<u8>,
    stamp_at: usize,
}

impl Chunk {
    fn new() -> Chunk {
        let text = format!("{}{} ", STAMP_MARK as char, "0".repeat(STAMP_DIGITS));
        let bytes = framed(&event(&format!(r#"{{"content":"{text}"}}"#), "null"));
        let stamp_at = memchr::memchr(STAMP_MARK, &bytes).expect("just put there") + 1;
        Chunk { bytes, stamp_at }
    }

    fn stamped(&mut self) -> &[u8] {
        let mut now = now_ns();
        for digit in self.bytes[self.stamp_at..self.stamp_at + STAMP_DIGITS].iter_mut().rev() {
            *digit = b'0' + (now % 10) as u8;
            now /= 10;
        }
        &self.bytes
    }
}

fn event(delta: &str, finish_reason: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,"model":"bench","system_fingerprint":"b1","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]}}"#
    ) + "\n\n"
}

fn ending() -> Vec<u8> {
    [framed(&event("{}", r#""stop""#)), framed("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec()].concat()
}

fn framed(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; that is what it is for")]
fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
