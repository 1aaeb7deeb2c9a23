//! A whole hub within the test's process, on a thread and a runtime of its own, a free port and a temporary folder. Its
//! logs go nowhere: what is logged is tested with the real binary.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use hearth::app::{self, Hub, Setup};
use hearth::auth::token;
use hearth::common::config::{Auth, Config, ProviderName};
use hearth::common::ids;
use hearth::common::who::Role;
use hearth::home::DeviceSource;
use hearth::store::{Store, Token, User};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::soon;
use crate::world::provider::FakeProvider;

/// A hub at work. Dropped, it stops, and nobody waits for it.
pub struct Running {
    pub address: SocketAddr,
    /// The hub's own store, as another door of it would use it.
    pub store: Store,
    config: watch::Sender<Arc<Config>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    folder: TempDir,
    sources: Vec<Arc<dyn DeviceSource>>,
}

/// A hub that asks `provider` as `local`, and nobody else.
pub async fn start(provider: &FakeProvider) -> Running {
    start_with(provider, |_| ()).await
}

/// The same with other settings.
pub async fn start_with(provider: &FakeProvider, change: impl FnOnce(&mut Config)) -> Running {
    start_over(provider, Vec::new(), change).await
}

/// The same over these sources of devices.
pub async fn start_over(
    provider: &FakeProvider,
    sources: Vec<Arc<dyn DeviceSource>>,
    change: impl FnOnce(&mut Config),
) -> Running {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.gateway.port = 0;
    config.store.path = folder.path().join("hearth.redb");
    config.providers.active = ProviderName::Local;
    config.providers.fallback = Vec::new();
    // A scripted fault is to be seen as it is; what asking again makes of it is tested for itself.
    config.providers.retries = 0;
    // Providers are asked plain questions; who wants tools says so.
    config.model_profile.tools = Some(false);
    config.providers.local.base_url = provider.base_url();
    change(&mut config);
    open(config, folder, sources).await
}

/// A hub that asks everybody for a token, and the token of ann, who owns it.
pub async fn start_guarded(provider: &FakeProvider) -> (Running, String) {
    let hub = start_with(provider, |config| config.gateway.auth = Auth::Required).await;
    let token = hub.let_in("ann", Role::Owner).await;
    (hub, token)
}

async fn open(config: Config, folder: TempDir, sources: Vec<Arc<dyn DeviceSource>>) -> Running {
    let kept = sources.clone();
    let (sender, receiver) = watch::channel(Arc::new(config));
    let (opened, open) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let setup = Setup { config: receiver, watcher: None, log: None, sources: Some(sources) };
        app::runtime().expect("a runtime").block_on(async {
            let hub = Hub::open(setup).await.unwrap_or_else(|error| panic!("the hub does not start: {error}"));
            // A test that is gone asks nothing.
            let _ = opened.send((hub.address(), hub.store().clone()));
            hub.run(async {
                let _ = stopped.await;
            })
            .await;
        });
    });
    let (address, store) = soon("an open hub", open).await.expect("a hub that opens says where");
    Running { address, store, config: sender, stop, thread, folder, sources: kept }
}

impl Running {
    /// Adds a user, as another hub on this store would have done, and gives a token of theirs.
    pub async fn let_in(&self, name: &str, role: Role) -> String {
        let user = User {
            name: name.into(),
            display_name: None,
            role,
            password_hash: None,
            disabled: false,
            allow: Vec::new(),
            deny: Vec::new(),
            rooms: None,
            created_at_ms: 0,
            revision: 0,
        };
        self.store.put(user, Some(0)).await.expect("a new user");
        self.token_for(name, None).await
    }

    /// A further token of a user's.
    pub async fn token_for(&self, user: &str, expires_at_ms: Option<u64>) -> String {
        let secret = token::mint();
        let record = Token {
            id: ids::fresh('t'),
            user: user.into(),
            name: "test".into(),
            hash: token::to_hex(&token::hash(secret.expose())),
            created_at_ms: 0,
            expires_at_ms,
            last_seen_ms: None,
            revision: 0,
        };
        self.store.put(record, Some(0)).await.expect("a new token");
        secret.expose().to_owned()
    }

    /// Takes a token away.
    pub async fn revoke(&self, token: &str) {
        let hash = token::to_hex(&token::hash(token));
        let tokens = self.store.list::<Token>().await.expect("readable");
        let found = tokens.iter().find(|token| token.hash == hash).expect("a token that is there");
        assert!(self.store.delete::<Token>(&found.id, None).await.expect("a write"));
    }

    /// Changes the settings, as an edit of the file does.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        self.config.send_modify(|config| change(Arc::make_mut(config)));
    }

    /// Orders the stop and waits for the end.
    pub async fn stop(self) {
        self.end().await;
    }

    /// Stops and starts again with the same settings and the same store.
    pub async fn restart(self) -> Running {
        let sources = self.sources.clone();
        let (config, folder) = self.end().await;
        open(config, folder, sources).await
    }

    async fn end(self) -> (Config, TempDir) {
        let Running { config, stop, thread, folder, store, .. } = self;
        drop(store);
        stop.send(()).expect("the hub runs");
        soon("the hub's end", async {
            while !thread.is_finished() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
        thread.join().expect("a hub that does not panic");
        (Config::clone(&config.borrow()), folder)
    }
}
