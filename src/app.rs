//! The composition root: builds every room, wires the channels between them, and takes them down in order. The only file
//! that knows all of them; holds no policy of its own.
#![expect(clippy::disallowed_methods, reason = "the composition root reads the clock for everybody")]

mod furnish;
pub(crate) mod keeping;
mod memory;
mod notify;
pub(crate) mod radio;
mod tooling;
mod vitals;
mod watchdog;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::adapters::assistant::Assistant;
use crate::adapters::llm;
use crate::adapters::speech::{self, VoiceName};
use crate::app::notify::{Manager, Word};
use crate::app::tooling::Tooling;
use crate::app::vitals::Pulses;
use crate::auth::{Clock, Gate, Moment};
use crate::common::config::{self, Config, ProviderName, Watcher};
use crate::common::log::LogHandle;
use crate::common::time::whole_ms;
use crate::gateway::context::Context;
use crate::gateway::listen::{BindError, Listener, raise_open_files};
use crate::gateway::route::Routes;
use crate::gateway::session::{AUTH_WITHIN, Door, Feeds, Registry};
use crate::home::{Backend, DeviceSource, Keeper};
use crate::mcp::server::Server;
use crate::net::https::Https;
use crate::router::{Roster, Router};
use crate::store::{OpenError, ReadError, Store, WriteError};

/// Threads beside the one that does everything: disk reads and name look-ups, one at a time each.
const BLOCKING_THREADS_MAX: usize = 8;

/// What a hub is started with.
pub struct Setup {
    /// The config as it is and as it will be.
    pub config: watch::Receiver<Arc<Config>>,
    /// Who looks at the file; absent where there is none to look at.
    pub watcher: Option<Watcher>,
    /// Absent where somebody else has set up the logs.
    pub log: Option<LogHandle>,
    /// Who knows devices, in the place of those whom the config names: for tests.
    pub sources: Option<Vec<Arc<dyn DeviceSource>>>,
}

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("the first model profile could not be written: {0}")]
    Seed(#[from] WriteError),
    #[error("the devices of the house could not be read: {0}")]
    House(#[from] ReadError),
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
}

/// A runtime for a hub: one thread for everything that is not the disk. On loopback a hand-over between threads costs more
/// than all the work on a chunk.
pub fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(StartError::Runtime)
}

/// A hub whose door is open and whom nobody answers yet: see [`Hub::run`].
pub struct Hub {
    listener: Listener,
    store: Store,
    home: Keeper,
    config: watch::Receiver<Arc<Config>>,
    watcher: Option<Watcher>,
    log: Option<LogHandle>,
    client: Https,
}

impl Hub {
    /// Opens the store and the door.
    pub async fn open(setup: Setup) -> Result<Hub, StartError> {
        let Setup { config, watcher, log, sources } = setup;
        let first = config.borrow().clone();
        let gateway = &first.gateway;
        raise_open_files();
        // The port first: a second hub on the same machine should hear that, and not that its file is locked.
        let listener = Listener::bind(SocketAddr::new(gateway.host, gateway.port))?;
        let store = keeping::open(&first.store)?;
        store.seed_profile(&first.model_profile).await?;
        if let Some(locale) = &first.house.locale {
            store.seed_setting("house.locale", locale.as_str().into()).await?;
        }
        let sources = match sources {
            Some(sources) => sources,
            None => radio::sources(&first, &store).await,
        };
        let home = Keeper::start(store.clone(), sources).await?;
        Ok(Hub { listener, store, home, config, watcher, log, client: Https::new() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// What it remembers: for another door of the same hub.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `stop` ends, then drains and closes the store.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Hub { listener, store, home, config, watcher, log, client } = self;
        let first = build_roster(&config.borrow(), &client);
        let (roster, rostered) = watch::channel(Arc::new(first));
        let (shutdown, stopping) = watch::channel(false);
        let gate = Gate::new(store.clone(), config.clone(), clock());
        let tooling = Tooling::new(&store, &home, &config, &gate, &client, listener.local_addr());
        let tools = tooling.service.clone();
        let router = Router::new(config.clone(), rostered, store.clone(), tools.clone());
        tooling.bind(&router);
        let context = Context {
            config: config.clone(),
            config_file: watcher.as_ref().map(|watcher| watcher.path().into()),
            hostname: hostname().into(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: Instant::now(),
            store: store.clone(),
            home: Some(home.clone()),
            mcp: Server::new(tools.clone(), env!("CARGO_PKG_VERSION"), stopping.clone()),
            desk: tooling.desk.clone(),
            sessions: Door {
                router,
                registry: Registry::default(),
                store: store.clone(),
                feeds: Feeds::new(store.clone(), tools.clone(), Some(home.clone())),
                tools: tools.clone(),
                gate: gate.clone(),
                auth_within: AUTH_WITHIN,
                shutdown: stopping.clone(),
            },
            tools,
            gate: gate.clone(),
        };
        let routes = Arc::new(Routes::new(Arc::new(context)));
        tracing::info!(address = %listener.local_addr(), "the hub is open");
        let manager = Arc::new(Manager::new(|name| std::env::var(name).ok(), std::process::id()));
        manager.tell(&Word::Ready);
        let feeding = manager.watchdog().map(|within| {
            let folder = std::env::var_os("RUNTIME_DIRECTORY");
            let mut pulses = folder.map(|folder| Pulses::new(Path::new(&folder), listener.local_addr()));
            let (store, house, home) = (store.clone(), home.clone(), home.clone());
            let look = move || watchdog::look(store.clone(), home.clone(), within);
            let well = move || pulses.iter_mut().for_each(|pulses| pulses.beat(&house));
            tokio::spawn(watchdog::feed(manager.clone(), within, look, well))
        });
        let answer = move |caller, request| routes.clone().answer(caller, request);
        let serving = listener.serve(config.clone(), stopping, answer);
        let following = tokio::spawn(follow(config.clone(), roster, log, client, manager.clone()));
        let guarding = tokio::spawn(gate.follow());
        let keeping = tokio::spawn(keeping::keep(store.clone(), config.clone()));
        let [hearing, aggregating] = tooling.spawn();
        let is_simulated = home.radios().iter().any(|radio| radio.backend == Backend::Simulated);
        let furnishing = is_simulated.then(|| tokio::spawn(furnish::furnish(home.clone(), store.clone())));
        let watching = watcher.map(|watcher| tokio::spawn(watcher.run()));
        let settling = tokio::spawn(memory::keep_giving_back());
        tokio::pin!(serving);
        let left = tokio::select! {
            left = &mut serving => left,
            () = stop => {
                manager.tell(&Word::Stopping);
                tracing::info!("the hub is going down");
                shutdown.send_replace(true);
                serving.await
            }
        };
        let tasks = [following, guarding, hearing, aggregating, keeping, settling].map(Some);
        for task in tasks.into_iter().chain([watching, furnishing, feeding]).flatten() {
            task.abort();
        }
        if left > 0 {
            tracing::warn!(connections = left, "some connections did not end in time");
        }
        // Whoever called hears no more; what was called stands in the audit.
        tooling.service.flush().await;
        drop(tooling);
        // Newest states and history lie in the store before it closes.
        home.close().await;
        if !store.close().await {
            tracing::error!("the store did not close in time");
        }
    }
}

/// Ends at SIGTERM or SIGINT.
pub async fn stop_signal() {
    let hear = |kind| signal(kind).expect("a handler for a signal that can be handled");
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate()), hear(SignalKind::interrupt()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Whom the router can ask, by the config and the keys that are there.
pub(crate) fn build_roster(config: &Config, client: &Https) -> Roster {
    let mut roster = Roster::default();
    roster.providers.insert(ProviderName::Assistant, Arc::new(Assistant::new(jiff::Zoned::now)));
    let mut keys = BTreeMap::new();
    for name in ProviderName::ALL {
        let Some(row) = config.providers.row(name) else { continue };
        let env = |name: &str| std::env::var(name).ok();
        let key = row.api_key_env.as_deref().map_or(Ok(None), |variable| config::api_key(variable, env));
        let key = key.unwrap_or_else(|error| {
            tracing::warn!(provider = name.as_str(), %error, "the API key cannot be used");
            None
        });
        keys.insert(name, key.clone());
        match llm::build(llm::Setup { name, row, key, client: client.clone() }) {
            Some(provider) => drop(roster.providers.insert(name, provider)),
            None if config.providers.active == name => {
                tracing::warn!(
                    provider = name.as_str(),
                    "the active provider has no adapter in this version; the fallbacks answer"
                );
            }
            None => {}
        }
    }
    for (name, build) in speech::VOICES {
        let key = match name {
            VoiceName::Openai => keys.remove(&ProviderName::Openai).flatten(),
            VoiceName::Gemini => keys.remove(&ProviderName::Gemini).flatten(),
            VoiceName::Espeak | VoiceName::Wyoming => None,
        };
        roster.voices.insert(*name, build(speech::Setup { config, key, client: client.clone() }));
    }
    roster
}

/// Brings each new config to those who do not watch it themselves, for as long as there may be another.
async fn follow(
    mut config: watch::Receiver<Arc<Config>>,
    roster: watch::Sender<Arc<Roster>>,
    log: Option<LogHandle>,
    client: Https,
    manager: Arc<Manager>,
) {
    while config.changed().await.is_ok() {
        manager.tell(&Word::Reloading);
        let new = config.borrow_and_update().clone();
        roster.send_replace(Arc::new(build_roster(&new, &client)));
        if let Some(Err(error)) = log.as_ref().map(|log| log.set_level(&new.log.level)) {
            tracing::warn!(%error, "the log level stays as it was");
        }
        manager.tell(&Word::Ready);
    }
}

/// Both clocks.
fn clock() -> Clock {
    let unix_ms = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms);
    Arc::new(move || Moment { at: Instant::now(), unix_ms: unix_ms() })
}

/// The machine's own name, by which browsers may call it.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
