//! Servers that are well, crash, hang or write garbage as a test says; and the house around them. Time stands still unless a test lets
//! it pass: a task of tokio's pool keeps it from running ahead of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

use crate::common::config::{Config, McpServer};
use crate::common::who::{Door, Principal, Role};
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::source::{Changed, Source};
use crate::mcp::upstream::pinning::Which;
use crate::mcp::upstream::{Aggregator, Connect, Connection, Ears, Request, ServerInfo, UpstreamError};
use crate::store::Store;

/// How a server is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// Ends at once.
    Crashes,
    /// Never greets.
    Hangs,
    /// Says what is not MCP.
    Garbage,
    /// Greets, and dies in a call.
    DiesInCalls,
    /// Greets, and answers no call and no ping.
    Mute,
    /// Refuses to tell of a resource, after a while.
    Secretive,
    /// Takes so many milliseconds for a call.
    Slow(u64),
}

/// A server as a test has it.
#[derive(Clone)]
pub struct Script {
    pub manner: Manner,
    pub tools: Vec<Value>,
    pub prompts: Vec<Value>,
    pub resources: Vec<Value>,
    pub templates: Vec<Value>,
}

/// All servers, and what they saw.
#[derive(Default)]
pub struct Servers {
    pub scripts: Mutex<BTreeMap<String, Script>>,
    pub starts: Mutex<Vec<String>>,
    pub requests: Mutex<Vec<(String, String, Value)>>,
    ears: Mutex<BTreeMap<String, Arc<dyn Ears>>>,
    kills: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    pub running: AtomicUsize,
    pub running_max: AtomicUsize,
}

/// What starts them.
struct Programs(Arc<Servers>);

struct Greeted {
    slug: String,
    servers: Arc<Servers>,
    info: ServerInfo,
    killed: watch::Receiver<bool>,
}

/// The house: a store, a config, and the aggregator that runs.
pub struct World {
    pub servers: Arc<Servers>,
    pub store: Store,
    pub config: watch::Sender<Arc<Config>>,
    pub aggregator: Arc<Aggregator>,
    pub changes: broadcast::Receiver<Changed>,
    folder: TempDir,
    /// Keeps time from running by itself.
    still: Arc<std::sync::mpsc::Sender<()>>,
}

/// A tool that says nothing about what it does to the world.
pub fn tool(name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    json!({ "name": name, "description": format!("Does {name}."), "inputSchema": schema })
}

pub fn script(tools: &[&str]) -> Script {
    Script {
        manner: Manner::Well,
        tools: tools.iter().map(|name| tool(name)).collect(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
    }
}

/// A row of a program.
pub fn row(trust: bool) -> McpServer {
    McpServer { command: vec!["server".into()], trust, ..McpServer::default() }
}

impl World {
    /// With these servers in the config file, all trusted or none.
    pub fn new(scripts: Vec<(&str, Script)>, trust: bool) -> World {
        World::with(scripts, trust, |_| {})
    }

    pub fn with(scripts: Vec<(&str, Script)>, trust: bool, change: impl Fn(&mut Config)) -> World {
        let servers = Arc::new(Servers::default());
        let mut config = Config::default();
        for (slug, script) in scripts {
            config.mcp.servers.insert(slug.into(), row(trust));
            servers.scripts.lock().unwrap().insert(slug.into(), script);
        }
        change(&mut config);
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let (still, wait) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || {
            let _ = wait.recv();
        });
        World::open(servers, store, watch::channel(Arc::new(config)).0, folder, Arc::new(still))
    }

    fn open(
        servers: Arc<Servers>,
        store: Store,
        config: watch::Sender<Arc<Config>>,
        folder: TempDir,
        still: Arc<std::sync::mpsc::Sender<()>>,
    ) -> World {
        let (sender, changes) = broadcast::channel(1024);
        let aggregator =
            Aggregator::new(store.clone(), config.subscribe(), Arc::new(Programs(servers.clone())), sender);
        tokio::spawn(aggregator.clone().run());
        World { servers, store, config, aggregator, changes, folder, still }
    }

    /// The hub is stopped and started again; the servers know nothing of it.
    pub async fn restart(self) -> World {
        let World { servers, store, config, aggregator, folder, still, changes } = self;
        aggregator.close();
        drop((aggregator, changes));
        assert!(store.close().await);
        servers.starts.lock().unwrap().clear();
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        World::open(servers, store, config, folder, still)
    }

    /// Lets time pass until `is_so`; how much did.
    pub async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) -> Duration {
        let from = now();
        while !is_so(self) {
            assert!(from.elapsed() < Duration::from_secs(300), "it never came to: {what}");
            step().await;
        }
        from.elapsed()
    }

    pub async fn pass(&self, time: Duration) {
        pass(time).await;
    }

    /// Waits for something while time passes.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = step() => {}
            }
        }
    }

    pub fn listed(&self) -> Vec<String> {
        self.aggregator.tools().iter().map(|tool| tool.name.to_string()).collect()
    }

    pub fn script(&self, slug: &str, change: impl Fn(&mut Script)) {
        change(self.servers.scripts.lock().unwrap().get_mut(slug).expect("there is such a server"));
    }

    pub fn config(&self, change: impl Fn(&mut Config)) {
        let mut config = Config::clone(&self.config.borrow());
        change(&mut config);
        self.config.send_replace(Arc::new(config));
    }

    pub async fn approve(&self, slug: &str) -> usize {
        self.aggregator.approve(slug, Which::All, None).await.expect("it is approved")
    }

    pub async fn call(&self, tool: &str) -> Result<String, Fault> {
        self.call_as(tool, &owner()).await
    }

    pub async fn call_as(&self, tool: &str, who: &Arc<Principal>) -> Result<String, Fault> {
        self.during(self.call_beside(tool, who)).await
    }

    /// A call among others: time passes for all of them together.
    pub async fn call_beside(&self, tool: &str, who: &Arc<Principal>) -> Result<String, Fault> {
        let mut arguments = Map::new();
        arguments.insert("text".into(), json!("hello"));
        let call = Call { tool: tool.into(), arguments, who: who.clone(), reach: Reach::default() };
        match self.aggregator.call(call).await? {
            Outcome::Done(output) => Ok(output.words()),
            Outcome::InputRequired { .. } => panic!("nobody asked"),
        }
    }

    pub fn starts(&self, slug: &str) -> usize {
        self.servers.starts.lock().unwrap().iter().filter(|started| *started == slug).count()
    }

    /// How often a server got a request of this method.
    pub fn got(&self, slug: &str, method: &str) -> usize {
        let requests = self.servers.requests.lock().unwrap();
        requests.iter().filter(|(of, is, _)| of == slug && is == method).count()
    }

    /// As with kill -9.
    pub fn kill(&self, slug: &str) {
        if let Some(kill) = self.servers.kills.lock().unwrap().get(slug) {
            kill.send_replace(true);
        }
    }

    pub fn says(&self, slug: &str, method: &str, params: Value) {
        let ears = self.servers.ears.lock().unwrap().get(slug).cloned();
        ears.expect("it runs").notification(method, params);
    }

    /// As after a stream that broke off.
    pub fn is_heard_again(&self, slug: &str) {
        let ears = self.servers.ears.lock().unwrap().get(slug).cloned();
        ears.expect("it runs").was_deaf();
    }

    pub fn running(&self) -> usize {
        self.servers.running.load(Ordering::SeqCst)
    }

    /// The news since the last look.
    pub fn news(&mut self) -> BTreeSet<String> {
        let mut news = BTreeSet::new();
        while let Ok(changed) = self.changes.try_recv() {
            news.insert(format!("{changed:?}"));
        }
        news
    }
}

pub fn owner() -> Arc<Principal> {
    Arc::new(Principal::house(Door::Mcp))
}

pub fn guest() -> Arc<Principal> {
    Arc::new(Principal::new("ann", Role::Guest, Door::Mcp))
}

/// The house's clock.
#[expect(clippy::disallowed_methods, reason = "a test's time, which stands still")]
pub fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

async fn pass(time: Duration) {
    let from = now();
    while from.elapsed() < time {
        step().await;
    }
}

/// Ten milliseconds of the house; a moment of the real world, for the disk.
async fn step() {
    tokio::time::advance(Duration::from_millis(10)).await;
    std::thread::sleep(Duration::from_micros(300));
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

impl Connect for Programs {
    fn connect(
        &self,
        slug: &str,
        _server: &McpServer,
        ears: Arc<dyn Ears>,
    ) -> BoxFuture<'static, Result<Arc<dyn Connection>, UpstreamError>> {
        let (servers, slug) = (self.0.clone(), slug.to_owned());
        servers.starts.lock().unwrap().push(slug.clone());
        let manner = servers.scripts.lock().unwrap().get(&slug).map(|script| script.manner);
        async move {
            match manner {
                None => return Err(UpstreamError::Unreachable("there is no such program".into())),
                Some(Manner::Crashes) => return Err(UpstreamError::Unreachable("it ended with 1".into())),
                Some(Manner::Garbage) => return Err(UpstreamError::Garbage("hello world".into())),
                Some(Manner::Hangs) => pending::<()>().await,
                Some(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            }
            let (kill, killed) = watch::channel(false);
            servers.ears.lock().unwrap().insert(slug.clone(), ears);
            servers.kills.lock().unwrap().insert(slug.clone(), kill);
            let now = servers.running.fetch_add(1, Ordering::SeqCst) + 1;
            servers.running_max.fetch_max(now, Ordering::SeqCst);
            let info = ServerInfo {
                protocol: "2025-11-25".into(),
                server: json!({ "name": slug, "version": "1" }),
                capabilities: json!({ "tools": {}, "prompts": {}, "resources": {} }),
                instructions: None,
            };
            Ok(Arc::new(Greeted { slug, servers, info, killed }) as Arc<dyn Connection>)
        }
        .boxed()
    }
}

impl Connection for Greeted {
    fn info(&self) -> &ServerInfo {
        &self.info
    }

    fn request(&self, request: Request) -> BoxFuture<'static, Result<Value, UpstreamError>> {
        let Request { method, params, deadline, .. } = request;
        let (servers, slug) = (self.servers.clone(), self.slug.clone());
        let mut killed = self.killed.clone();
        let answer = async move {
            servers.requests.lock().unwrap().push((slug.clone(), method.to_string(), params.clone()));
            let script = servers.scripts.lock().unwrap().get(&slug).cloned().expect("it has a script");
            match (script.manner, &*method) {
                (Manner::Mute, "tools/call" | "ping") => pending::<()>().await,
                (Manner::DiesInCalls, "tools/call") => return Err(UpstreamError::Gone("it was killed".into())),
                (Manner::Secretive, "resources/subscribe") => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    return Err(UpstreamError::Answered(Fault::of_rpc(-32602, "not for you", None)));
                }
                (Manner::Slow(ms), "tools/call") => tokio::time::sleep(Duration::from_millis(ms)).await,
                _ => {}
            }
            match &*method {
                "tools/list" => Ok(json!({ "tools": script.tools })),
                "prompts/list" => Ok(json!({ "prompts": script.prompts })),
                "resources/list" => Ok(json!({ "resources": script.resources })),
                "resources/templates/list" => Ok(json!({ "resourceTemplates": script.templates })),
                "tools/call" => Ok(json!({ "content": [
                    { "type": "text", "text": format!("{slug} did {} with {}", params["name"], params["arguments"]) },
                    { "type": "resource_link", "uri": format!("note://{slug}/1"), "name": "a note" },
                ] })),
                "resources/read" => Ok(json!({ "contents": [{ "uri": params["uri"], "text": format!("of {slug}") }] })),
                "prompts/get" => Ok(json!({ "description": params["name"], "messages": [] })),
                "completion/complete" => Ok(json!({ "completion": { "values": [params["ref"].to_string()] } })),
                "resources/subscribe" | "resources/unsubscribe" | "ping" => Ok(json!({})),
                _ => Err(UpstreamError::Answered(Fault::of_rpc(-32601, "no such method", None))),
            }
        };
        async move {
            tokio::select! {
                answer = answer => answer,
                _ = killed.wait_for(|killed| *killed) => Err(UpstreamError::Gone("it was killed".into())),
                () = tokio::time::sleep(deadline) => Err(UpstreamError::Timeout(deadline)),
            }
        }
        .boxed()
    }

    fn notify(&self, _method: &str, _params: Value) {}

    fn closed(&self) -> BoxFuture<'static, UpstreamError> {
        let mut killed = self.killed.clone();
        async move {
            let _ = killed.wait_for(|killed| *killed).await;
            UpstreamError::Gone("it was killed".into())
        }
        .boxed()
    }

    fn pid(&self) -> Option<u32> {
        Some(1)
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        self.servers.running.fetch_sub(1, Ordering::SeqCst);
    }
}
