//! Everything that can be called, put together: the hub's own tools, the servers behind it, the search over both, and the two
//! knots with the router, which is above them and which some of them use.
#![expect(clippy::disallowed_methods, reason = "the composition root reads the clock for everybody")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::auth::Gate;
use crate::common::config::Config;
use crate::common::time::{UnixMillis, whole_ms};
use crate::common::who::Principal;
use crate::home::Keeper;
use crate::mcp::native::Native;
use crate::mcp::search::Finder;
use crate::mcp::service::CHANGES_LEN;
use crate::mcp::tools::{self, House, search, tokens, upstreams, users};
use crate::mcp::upstream::oauth::Desk;
use crate::mcp::upstream::resolver::Advisor;
use crate::mcp::upstream::{Aggregator, connector};
use crate::mcp::{Definition, Service, Source};
use crate::net::https::Https;
use crate::router::{AskTool, Likely, Router};
use crate::store::Store;

/// What can be called, and who looks after it.
pub struct Tooling {
    pub service: Service,
    native: Arc<Native>,
    aggregator: Arc<Aggregator>,
    ask: Arc<AskTool>,
    finder: Arc<Finder>,
    /// Where owners sign in to servers.
    pub desk: Arc<Desk>,
}

impl Tooling {
    /// Reads what is known of the servers; waits for the disk. `address` is where the hub listens.
    pub fn new(
        store: &Store,
        home: &Keeper,
        config: &watch::Receiver<Arc<Config>>,
        gate: &Gate,
        client: &Https,
        address: SocketAddr,
    ) -> Tooling {
        let (changes, _) = broadcast::channel(CHANGES_LEN);
        let home = Arc::new(home.clone());
        let house = Arc::new(House {
            store: store.clone(),
            config: config.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started_at_ms: unix_now(),
            now: jiff::Zoned::now,
            home: Some(home.clone()),
            service: Default::default(),
        });
        let native = Native::new(house.clone(), changes.clone());
        let desk = Desk::new(store.clone(), client.clone(), base(address), unix_now);
        let connector = connector(std::env::current_exe().ok(), client.clone())
            .launching_at(config.borrow().mcp.launcher.clone())
            .authorized_by(desk.clone());
        let aggregator = Aggregator::new(store.clone(), config.clone(), Arc::new(connector), changes.clone());
        aggregator.set_desk(desk.clone());
        let mut sources: Vec<Arc<dyn Source>> = vec![native.clone(), aggregator.clone()];
        sources.splice(0..0, fixture(&changes));
        let service = Service::audited(sources, changes, store.clone());
        let is_first = house.service.set(service.downgrade()).is_ok();
        assert!(is_first, "a house has one service");
        let (ask, finder) = (Arc::new(AskTool::new()), Arc::new(Finder::new(&service)));
        let families = [
            tools::builtin(&house),
            tools::of_the_home(&home, jiff::Zoned::now),
            users::tools(gate, store),
            tokens::tools(gate, store),
            upstreams::tools(&aggregator),
        ];
        families.into_iter().flatten().for_each(|tool| native.register(tool));
        search::tools(&finder).into_iter().for_each(|tool| native.register(tool));
        native.register(ask.clone());
        Tooling { service, native, aggregator, ask, finder, desk }
    }

    /// The router answers `ask`, advises the aggregator, and hears which tools are likely.
    pub fn bind(&self, router: &Router) {
        self.ask.bind(router);
        self.aggregator.set_advisor(Arc::new(Adviser(router.clone())));
        router.find_tools_with(Arc::new(Finding(self.finder.clone())));
    }

    /// What runs beside everything else until the hub goes down.
    pub fn spawn(&self) -> [JoinHandle<()>; 2] {
        [tokio::spawn(self.native.clone().watch()), tokio::spawn(self.aggregator.clone().run())]
    }
}

/// The hub's address for a browser on the same machine.
fn base(address: SocketAddr) -> String {
    let here = if address.is_ipv6() { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
    let ip = if address.ip().is_unspecified() { here } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn unix_now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

/// What the conformance suite of MCP expects to find; not where it looks for that behind the hub.
#[cfg(feature = "conformance")]
fn fixture(changes: &broadcast::Sender<crate::mcp::Changed>) -> Option<Arc<dyn Source>> {
    let is_wanted = std::env::var_os("HEARTH_CONFORMANCE").is_none_or(|place| place != "behind");
    is_wanted.then(|| Arc::new(crate::mcp::conformance::Conformance::new(changes.clone())) as Arc<dyn Source>)
}

#[cfg(not(feature = "conformance"))]
fn fixture(_: &broadcast::Sender<crate::mcp::Changed>) -> Option<Arc<dyn Source>> {
    None
}

struct Finding(Arc<Finder>);

impl Likely for Finding {
    fn likely(&self, question: &str, who: &Principal, limit: usize) -> Vec<Arc<Definition>> {
        self.0.search(question, who, limit).into_iter().map(|(tool, _)| tool).collect()
    }
}

struct Adviser(Router);

impl Advisor for Adviser {
    fn advise(&self, question: String) -> BoxFuture<'static, Result<String, String>> {
        let router = self.0.clone();
        async move {
            let advice = router.advise(&question, &json!({ "type": "object" })).await;
            advice.map(|advice| advice.to_string()).map_err(|error| error.to_string())
        }
        .boxed()
    }
}
