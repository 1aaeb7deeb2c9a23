//! For the tests of this room: a door on a free port of the loopback interface, and a caller that speaks bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Gate, Moment};
use crate::common::config::Config;
use crate::gateway::context::{Context, Request};
use crate::gateway::listen::{Caller, Deadlines, Listener};
use crate::gateway::respond::Response;
use crate::gateway::route::Routes;
use crate::gateway::session::{AUTH_WITHIN, Door, Feeds, Registry};
use crate::mcp::Service;
use crate::mcp::server::Server;
use crate::mcp::upstream::oauth::Desk;
use crate::net::https::Https;
use crate::router::{Roster, Router};
use crate::store::Store;

/// Far above what any step of a test takes, so that only a hang runs into it.
pub const HANG: Duration = Duration::from_secs(30);

/// Deadlines that no test waits for.
pub const PATIENT: Deadlines = Deadlines { head: HANG, stall: HANG, linger: HANG, drain: HANG };

/// A listener being served.
pub struct Open {
    pub address: SocketAddr,
    pub shutdown: watch::Sender<bool>,
    pub served: JoinHandle<usize>,
    _config: watch::Sender<Arc<Config>>,
}

/// The real routes.
pub fn open(config: Config) -> Open {
    open_tools(config, Service::empty())
}

/// The real routes over these tools.
pub fn open_tools(config: Config, tools: Service) -> Open {
    let (shutdown, stop) = watch::channel(false);
    let (settings, config) = watch::channel(Arc::new(config));
    let context = Context { tools, ..context(config.clone(), stop.clone()) };
    let routes = Arc::new(Routes::new(Arc::new(context)));
    let listener = listener(PATIENT);
    let address = listener.local_addr();
    let answer = move |caller, request| routes.clone().answer(caller, request);
    Open { address, shutdown, served: tokio::spawn(listener.serve(config, stop, answer)), _config: settings }
}

/// Any answer.
pub fn open_with<A, F>(config: Config, deadlines: Deadlines, answer: A) -> Open
where
    A: Fn(Caller, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let (shutdown, stop) = watch::channel(false);
    let (settings, config) = watch::channel(Arc::new(config));
    let listener = listener(deadlines);
    let address = listener.local_addr();
    Open { address, shutdown, served: tokio::spawn(listener.serve(config, stop, answer)), _config: settings }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
pub fn context(config: watch::Receiver<Arc<Config>>, shutdown: watch::Receiver<bool>) -> Context {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let (_, roster) = watch::channel(Arc::new(Roster::default()));
    let tools = Service::empty();
    let router = Router::new(config.clone(), roster, store.clone(), tools.clone());
    // The folder is there for as long as somebody asks for the time.
    let clock = move || {
        let _there = &folder;
        Moment { at: Instant::now(), unix_ms: 1_800_000_000_000 }
    };
    let gate = Gate::new(store.clone(), config.clone(), Arc::new(clock));
    let mcp = Server::new(tools.clone(), "9.9.9", shutdown.clone());
    let feeds = Feeds::new(store.clone(), tools.clone(), None);
    let sessions = Door {
        router,
        registry: Registry::default(),
        store: store.clone(),
        tools: tools.clone(),
        feeds,
        gate: gate.clone(),
        auth_within: AUTH_WITHIN,
        shutdown,
    };
    let desk = Desk::new(store.clone(), Https::new(), "http://localhost:8000".into(), || 1_800_000_000_000);
    Context {
        desk,
        config,
        config_file: None,
        hostname: "kitchen".into(),
        version: "9.9.9",
        started_at: Instant::now(),
        gate,
        mcp,
        sessions,
        store,
        home: None,
        tools,
    }
}

fn listener(deadlines: Deadlines) -> Listener {
    Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port").with_deadlines(deadlines)
}

impl Open {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// One connection: sends all, then hears everything until the hub closes.
    pub async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await;
        hear(&mut stream).await
    }

    /// A request without body, on a connection of its own.
    pub async fn get(&self, method: &str, path: &str, headers: &str) -> String {
        self.ask(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n")).await
    }
}

/// Everything until the other end closes.
pub async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let end = tokio::time::timeout(HANG, stream.read_to_end(&mut heard)).await.expect("an end within reason");
    if let Err(error) = end {
        heard.extend_from_slice(format!("<{}>", error.kind()).as_bytes());
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// Reads until `mark` has come.
pub async fn hear_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(mark) {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(HANG, stream.read(&mut piece)).await.expect("an answer within reason");
        let len = read.expect("an open connection");
        assert!(len > 0, "closed after {heard:?}");
        heard.push_str(std::str::from_utf8(&piece[..len]).expect("UTF-8"));
    }
    heard
}

/// The status of the first answer heard.
pub fn status(heard: &str) -> u16 {
    heard
        .strip_prefix("HTTP/1.1 ")
        .or(heard.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}

/// A header of the first answer heard; names come in lower case.
pub fn header<'a>(heard: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = heard.split_once("\r\n\r\n")?;
    head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What follows the head of the first answer heard.
pub fn body(heard: &str) -> &str {
    heard.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
}
