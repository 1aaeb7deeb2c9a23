//! A provider that speaks Chat Completions on a loopback socket, byte by byte after a script, so that its faults are exact.
//! Writes its HTTP by hand; knows nothing of the hub. Every wait has a deadline and fails the test that waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

/// One step of an answer.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes as they are.
    Send(Vec<u8>),
    /// Bytes of a body, framed as one HTTP chunk.
    Chunk(Vec<u8>),
    Wait(Duration),
    /// Waits until a test says so.
    Gate(Gate),
    /// Says nothing more until the peer has gone.
    Stall,
    /// FIN, whatever is still owed.
    Hangup,
    /// RST.
    Reset,
}

/// A place in a script that is passed when the test has opened it. Clones are one gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn new() -> Gate {
        Gate(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

/// What the provider does with one request.
#[derive(Debug, Clone, Default)]
pub struct Script(Vec<Step>);

impl Script {
    /// A whole answer in these words, at once.
    pub fn answer(words: &[&str]) -> Script {
        Script::stream().words(words, Duration::ZERO).end()
    }

    /// The head of a stream, to be followed by [`Script::words`] and an end or a fault.
    pub fn stream() -> Script {
        Script::default().head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
    }

    /// An answer that is no stream, such as an error.
    pub fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Script {
        let length = body.len().to_string();
        let script = Script::default().head(status, &[headers, &[("content-length", &length)]].concat());
        script.raw(body.as_bytes())
    }

    /// An error as OpenAI words it.
    pub fn error(status: u16, code: &str, message: &str, headers: &[(&str, &str)]) -> Script {
        let body = json!({"error": {"message": message, "type": code, "code": code, "param": null}}).to_string();
        Script::status(status, &[headers, &[("content-type", "application/json")]].concat(), &body)
    }

    /// The role, then one event a word, each after a pause.
    pub fn words(self, words: &[&str], pause: Duration) -> Script {
        let role = self.event(&json!({"role": "assistant", "content": ""}), Value::Null);
        words.iter().fold(role, |script, word| {
            let script = if pause.is_zero() { script } else { script.wait(pause) };
            script.event(&json!({"content": word}), Value::Null)
        })
    }

    /// All that ends an answer, at once.
    pub fn end(self) -> Script {
        self.done().body_end()
    }

    /// The reason, the usage and `[DONE]`, which the end of the body is to follow.
    pub fn done(self) -> Script {
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
        let last = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [], "usage": usage});
        self.event(&json!({}), json!("stop")).sse(&last.to_string()).sse("[DONE]")
    }

    /// One chunk of the stream with this delta.
    pub fn event(self, delta: &Value, finish_reason: Value) -> Script {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]});
        self.sse(&chunk.to_string())
    }

    /// The same with another header, or another value of one that it has. Its head is its first step.
    pub fn header(mut self, name: &str, value: &str) -> Script {
        let Some(Step::Send(head)) = self.0.first_mut() else { panic!("no head to put a header into") };
        let text = String::from_utf8(std::mem::take(head)).expect("a head is ASCII");
        let (status, rest) = text.split_once("\r\n").expect("a head has lines");
        let is_other = |line: &&str| !line.starts_with(&format!("{name}: "));
        let lines: Vec<&str> = rest.split("\r\n").filter(is_other).collect();
        *head = format!("{status}\r\n{name}: {value}\r\n{}", lines.join("\r\n")).into_bytes();
        self
    }

    /// One event with this data.
    pub fn sse(self, data: &str) -> Script {
        self.chunk(format!("data: {data}\n\n").as_bytes())
    }

    /// A piece of a chunked body, as it is.
    pub fn chunk(self, bytes: &[u8]) -> Script {
        self.step(Step::Chunk(bytes.to_vec()))
    }

    /// The end of a chunked body.
    pub fn body_end(self) -> Script {
        self.raw(b"0\r\n\r\n")
    }

    /// Bytes on the socket, as they are.
    pub fn raw(self, bytes: &[u8]) -> Script {
        self.step(Step::Send(bytes.to_vec()))
    }

    pub fn wait(self, pause: Duration) -> Script {
        self.step(Step::Wait(pause))
    }

    pub fn gate(self, gate: &Gate) -> Script {
        self.step(Step::Gate(gate.clone()))
    }

    pub fn stall(self) -> Script {
        self.step(Step::Stall)
    }

    pub fn hangup(self) -> Script {
        self.step(Step::Hangup)
    }

    pub fn reset(self) -> Script {
        self.step(Step::Reset)
    }

    fn head(self, status: u16, headers: &[(&str, &str)]) -> Script {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(format!("HTTP/1.1 {status} Scripted\r\n{lines}\r\n").as_bytes())
    }

    fn step(mut self, step: Step) -> Script {
        self.0.push(step);
        self
    }
}

/// The model that answers, whatever was asked for.
pub const MODEL: &str = "fake-1";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// `POST /v1/chat/completions`.
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Null where it was no JSON.
    pub body: Value,
    /// The same as it came.
    pub text: String,
    /// Which connection it came on, counted from 0: the same one again is a warm one.
    pub connection: usize,
}

/// The provider. Dropping it closes its port; answers that run go on.
pub struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// For the next requests, one each.
    next: VecDeque<Script>,
    /// For all others.
    always: Script,
    requests: Vec<Recorded>,
    /// When the connection of each request closed: by its peer, or by the script.
    closed_at: Vec<Option<Instant>>,
    connections: usize,
}

impl FakeProvider {
    /// Listens on a free port and answers every request with `always`.
    pub async fn start(always: Script) -> FakeProvider {
        FakeProvider::start_on(TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port"), always)
    }

    /// The same on a port that was chosen.
    pub fn start_on(listener: TcpListener, always: Script) -> FakeProvider {
        let address = listener.local_addr().expect("a bound socket has an address");
        let (next, requests, closed_at) = (VecDeque::new(), Vec::new(), Vec::new());
        let state = Mutex::new(State { next, always, requests, closed_at, connections: 0 });
        let shared = Arc::new(Shared { state, changed: Notify::new() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        FakeProvider { address, shared, listening }
    }

    /// For `base_url` of a provider's row.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The same without a path.
    pub fn root(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next request with this (after those queued before it), and then as ever.
    pub fn once(&self, script: Script) {
        self.shared.lock().next.push_back(script);
    }

    /// Answers the next `n` requests with this.
    pub fn times(&self, n: usize, script: &Script) {
        (0..n).for_each(|_| self.once(script.clone()));
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().requests.clone()
    }

    /// The request with this number, counted from 0, as soon as it has come.
    pub async fn request(&self, number: usize) -> Recorded {
        self.until("a request", |state| state.requests.get(number).cloned()).await
    }

    /// When the connection of the request with this number closed, as soon as it has.
    pub async fn closed(&self, number: usize) -> Instant {
        self.until("a closed connection", |state| state.closed_at.get(number).copied().flatten()).await
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(value) = found(&self.shared.lock()) {
                    return value;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("the provider waited in vain for {what}"))
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with the lock held")
    }

    /// Takes a request down; gives its number and what to do with it.
    fn record(&self, request: Recorded) -> (usize, Script) {
        let mut state = self.lock();
        state.requests.push(request);
        state.closed_at.push(None);
        let script = state.next.pop_front().unwrap_or_else(|| state.always.clone());
        let number = state.requests.len() - 1;
        drop(state);
        self.changed.notify_waiters();
        (number, script)
    }

    fn record_closed(&self, number: usize) {
        self.lock().closed_at[number].get_or_insert_with(now);
        self.changed.notify_waiters();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        socket.set_nodelay(true).expect("a fresh socket takes options");
        let connection = {
            let mut state = shared.lock();
            state.connections += 1;
            state.connections - 1
        };
        tokio::spawn(serve(socket, connection, Arc::clone(&shared)));
    }
}

/// One connection: requests one after the other, until one side closes it.
async fn serve(socket: TcpStream, connection: usize, shared: Arc<Shared>) {
    let mut last = None;
    while let Some(request) = read_request(&socket, connection).await {
        let (number, script) = shared.record(request);
        last = Some(number);
        let goes_on = tokio::select! {
            () = peer_closed(&socket) => false,
            goes_on = play(&socket, &script) => goes_on,
        };
        if !goes_on {
            break;
        }
    }
    if let Some(number) = last {
        shared.record_closed(number);
    }
}

/// Plays a script; false when the connection is at its end.
async fn play(socket: &TcpStream, script: &Script) -> bool {
    for step in &script.0 {
        match step {
            Step::Send(bytes) => send(socket, bytes).await,
            Step::Chunk(bytes) => {
                send(socket, &[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await;
            }
            Step::Wait(pause) => tokio::time::sleep(*pause).await,
            Step::Gate(gate) => {
                // The script holds a sender of its own.
                let _ = gate.0.subscribe().wait_for(|open| *open).await;
            }
            Step::Stall => std::future::pending().await,
            Step::Hangup => return false,
            Step::Reset => {
                socket.set_zero_linger().expect("an open socket takes options");
                return false;
            }
        }
    }
    true
}

/// Writes everything; a peer that has gone is noticed by [`peer_closed`].
async fn send(socket: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if socket.writable().await.is_err() {
            return;
        }
        match socket.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn peer_closed(socket: &TcpStream) {
    while receive(socket).await.is_some() {}
}

/// Some bytes; `None` when the peer has closed.
async fn receive(socket: &TcpStream) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    loop {
        socket.readable().await.ok()?;
        match socket.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(buffer[..count].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Reads a head and a body with a `content-length`.
async fn read_request(socket: &TcpStream, connection: usize) -> Option<Recorded> {
    let mut read = Vec::new();
    let head_len = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read.extend(receive(socket).await?);
    };
    let head = String::from_utf8(read[..head_len].to_vec()).expect("the head of a request is ASCII");
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body_len: usize =
        headers.get("content-length").map_or(0, |length| length.parse().expect("a length is a number"));
    while read.len() < head_len + body_len {
        read.extend(receive(socket).await?);
    }
    let text = String::from_utf8_lossy(&read[head_len..]).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some(Recorded { line, headers, body, text, connection })
}

#[expect(clippy::disallowed_methods, reason = "when a peer closed is what tests ask for")]
pub fn now() -> Instant {
    Instant::now()
}
