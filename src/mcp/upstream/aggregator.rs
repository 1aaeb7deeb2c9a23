//! All servers behind the hub as one source of tools, prompts and resources. Lists come from the catalog, whether a server runs or not; a
//! call starts what it needs. Here is what it holds and what it shows; `passing` passes requests on, `following` follows the world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::common::config::{Config, Mcp, McpServer};
use crate::common::who::Principal;
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::definition::Definition;
use crate::mcp::source::{Changed, Method, Source};
use crate::mcp::upstream::Connect;
use crate::mcp::upstream::agenda::Agenda;
use crate::mcp::upstream::conflicts::Fitness;
use crate::mcp::upstream::ears::Listener;
use crate::mcp::upstream::health::Doing;
use crate::mcp::upstream::member::{House, Member};
use crate::mcp::upstream::names::Names;
use crate::mcp::upstream::oauth::Desk;
use crate::mcp::upstream::pinning::row_fingerprint;
use crate::mcp::upstream::places::Places;
use crate::mcp::upstream::policy::{POLICY_KEY, Policy};
use crate::mcp::upstream::resolver::Advisor;
use crate::mcp::upstream::roster::{Server, servers};
use crate::mcp::upstream::shelf::Shelf;
use crate::mcp::upstream::subscriptions::Subscriptions;
use crate::mcp::upstream::view::{View, may_use};
use crate::store::{Catalog, EntryKind, GivenName, ReadError, ServerRecord, Setting, Snapshot, Store, ToolOverlay};

/// Links in results that are remembered; past it, one of them is forgotten.
const LINKS_MAX: usize = 1024;

/// See the module.
pub struct Aggregator {
    pub(super) store: Store,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) changes: broadcast::Sender<Changed>,
    pub(super) house: Arc<House>,
    me: Weak<Aggregator>,
    shop: Mutex<Shop>,
    view: RwLock<Arc<View>>,
    /// Held by whoever writes catalogs: one after the other.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// What is to be done soon.
    pub(super) agenda: Agenda,
    pub(super) subscriptions: Subscriptions,
    /// Resources that results spoke of and no list has: whose they are.
    links: Mutex<BTreeMap<Box<str>, Box<str>>>,
    advisor: RwLock<Option<Arc<dyn Advisor>>>,
    desk: OnceLock<Arc<Desk>>,
}

/// What is known of all servers.
#[derive(Default)]
pub(super) struct Shop {
    pub servers: BTreeMap<Box<str>, Server>,
    /// Of those that are on.
    pub members: BTreeMap<Box<str>, Arc<Member>>,
    pub shelves: BTreeMap<Box<str>, Arc<Shelf>>,
    pub names: Names,
    pub overlays: BTreeMap<String, ToolOverlay>,
    pub policy: Policy,
}

/// What the store says.
pub(super) struct Stored {
    pub records: Vec<ServerRecord>,
    pub overlays: Vec<ToolOverlay>,
    pub policy: Option<Setting>,
    pub catalogs: Vec<Catalog>,
    /// Of whom there is a catalog.
    pub known: Vec<Box<str>>,
}

impl Aggregator {
    /// Reads what is known of all servers, so that their tools are there at once; waits for the disk. Nothing is started before
    /// [`Aggregator::run`] or a call.
    pub fn new(
        store: Store,
        config: watch::Receiver<Arc<Config>>,
        connector: Arc<dyn Connect>,
        changes: broadcast::Sender<Changed>,
    ) -> Arc<Aggregator> {
        let max_processes = config.borrow().mcp.max_processes;
        let aggregator = Arc::new_cyclic(|me: &Weak<Aggregator>| {
            let listener: Weak<dyn Listener> = me.clone();
            Aggregator {
                store,
                config,
                changes,
                house: Arc::new(House { connector, places: Places::new(max_processes), listener }),
                me: me.clone(),
                shop: Mutex::default(),
                view: RwLock::default(),
                writing: tokio::sync::Mutex::new(()),
                agenda: Agenda::default(),
                subscriptions: Subscriptions::default(),
                links: Mutex::default(),
                advisor: RwLock::new(None),
                desk: OnceLock::new(),
            }
        });
        if let Err(error) = aggregator.open() {
            tracing::error!(%error, "what is known of MCP servers could not be read; they are asked anew");
        }
        aggregator
    }

    /// Whom the resolver may ask.
    pub fn set_advisor(&self, advisor: Arc<dyn Advisor>) {
        *self.advisor.write().unwrap_or_else(PoisonError::into_inner) = Some(advisor);
    }

    pub(super) fn advisor(&self) -> Option<Arc<dyn Advisor>> {
        self.advisor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where owners sign in to servers. Set once; without it nobody does.
    pub fn set_desk(&self, desk: Arc<Desk>) {
        let _ = self.desk.set(desk);
    }

    pub(super) fn desk(&self) -> Option<&Arc<Desk>> {
        self.desk.get()
    }

    fn open(&self) -> Result<(), ReadError> {
        let snapshot = self.store.snapshot()?;
        let given = snapshot.given_names()?;
        let stored = Stored::read(&snapshot, &self.config.borrow().mcp, |_, _| false)?;
        self.shop().names = Names::new(given);
        self.settle(stored);
        let servers = self.shop().servers.clone();
        // One catalog after the other: what is thrown away of one is room for the next, which all together would leave empty.
        for (slug, server) in servers.iter().filter(|(_, server)| server.enabled) {
            if let Some(catalog) = snapshot.get(slug)? {
                self.shop().shelve(slug, server, catalog);
            }
        }
        self.show();
        Ok(())
    }

    /// Makes everything as the config and the store say; what is no more is stopped. Returns the servers that have to be asked.
    pub(super) fn settle(&self, stored: Stored) -> Vec<Box<str>> {
        let config = self.config.borrow().mcp.clone();
        self.house.places.set_max(config.max_processes);
        let wanted = servers(&config, &stored.records);
        let policy = Policy::read(stored.policy.as_ref().map(|setting| &setting.value)).unwrap_or_else(|error| {
            tracing::warn!(error, "a setting cannot be used");
            Policy::default()
        });
        let mut catalogs: BTreeMap<Box<str>, Catalog> =
            stored.catalogs.into_iter().map(|catalog| (catalog.slug.as_str().into(), catalog)).collect();
        let (mut retired, mut unknown) = (Vec::new(), Vec::new());
        {
            let mut shop = self.shop();
            shop.overlays = stored.overlays.into_iter().map(|overlay| (overlay.tool.clone(), overlay)).collect();
            shop.policy = policy;
            let gone: Vec<_> = shop.members.keys().filter(|slug| !is_on(&wanted, slug)).cloned().collect();
            for slug in gone {
                retired.extend(shop.members.remove(&slug));
                shop.shelves.remove(&slug);
                shop.names.leave_uris(&slug);
            }
            for (slug, server) in wanted.iter().filter(|(_, server)| server.enabled) {
                let is_new_row = shop.members.get(slug).is_none_or(|member| must_restart(&member.row, &server.row));
                if is_new_row {
                    let member = Member::new(slug, server.row.clone(), self.house.clone());
                    retired.extend(shop.members.insert(slug.clone(), member));
                }
                if let Some(catalog) = catalogs.remove(slug) {
                    shop.shelve(slug, server, catalog);
                }
                let row = row_fingerprint(&server.row);
                if shop.shelves.get(slug).is_none_or(|shelf| *shelf.row != *row) {
                    unknown.push(slug.clone());
                }
            }
            shop.servers = wanted;
        }
        retired.into_iter().for_each(|member| member.retire());
        self.show();
        unknown
    }

    /// Makes the view anew, and tells what is listed otherwise than before.
    pub(super) fn show(&self) {
        let mut new = {
            let shop = self.shop();
            View::new(&shop.servers, &shop.shelves, &shop.overlays, shop.policy)
        };
        new.keep_same(&self.view());
        let new = Arc::new(new);
        let old = std::mem::replace(&mut *self.view.write().unwrap_or_else(PoisonError::into_inner), new.clone());
        let news = [Changed::Tools, Changed::Prompts, Changed::Resources];
        for (differs, changed) in new.differs(&old).into_iter().zip(news) {
            if differs {
                // Nobody has to be listening.
                let _ = self.changes.send(changed);
            }
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn member(&self, slug: &str) -> Option<Arc<Member>> {
        self.shop().members.get(slug).cloned()
    }

    /// For work that outlives the one who began it.
    pub(super) fn me(&self) -> Arc<Aggregator> {
        self.me.upgrade().expect("whoever calls a method holds it")
    }

    pub(super) fn fitness(&self, slug: &str) -> Fitness {
        let Some(member) = self.member(slug) else {
            return Fitness { is_broken: true, is_up: false, call_takes: None };
        };
        let vitals = member.vitals();
        let (is_broken, is_up) = (vitals.doing == Doing::Broken, vitals.doing == Doing::Up);
        Fitness { is_broken, is_up, call_takes: vitals.call_takes }
    }

    /// Remembers that a result of a server spoke of a resource, which may be read then.
    pub(super) fn note_link(&self, slug: &str, uri: &str) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= LINKS_MAX && !links.contains_key(uri) {
            links.pop_first();
        }
        links.entry(uri.into()).or_insert_with(|| slug.into());
    }

    pub(super) fn link(&self, uri: &str) -> Option<Box<str>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(uri).cloned()
    }
}

impl Shop {
    /// Puts a catalog on its shelf. Returns the names of resources that had to move just now, to be kept.
    pub fn shelve(&mut self, slug: &str, server: &Server, catalog: Catalog) -> Vec<GivenName> {
        self.names.leave_uris(slug);
        let mut moved = Vec::new();
        for kind in [EntryKind::Resource, EntryKind::Template] {
            let uris: Vec<_> = catalog.offered(kind).map(|entry| entry.name.as_str()).collect();
            moved.extend(self.names.give_uris(slug, kind, uris.into_iter()));
        }
        let mut shelf = Shelf::new(catalog, &server.row, &self.names);
        if let Some(old) = self.shelves.get(slug) {
            shelf.keep_same(old);
        }
        self.shelves.insert(slug.into(), Arc::new(shelf));
        moved
    }
}

impl Stored {
    /// Reads all of it, but of the catalogs those alone that are wanted.
    pub fn read(
        snapshot: &Snapshot,
        config: &Mcp,
        is_wanted: impl Fn(&str, &Server) -> bool,
    ) -> Result<Stored, ReadError> {
        let records = snapshot.list()?;
        let mut catalogs = Vec::new();
        for (slug, server) in servers(config, &records).iter().filter(|(_, server)| server.enabled) {
            if is_wanted(slug, server) {
                catalogs.extend(snapshot.get(slug)?);
            }
        }
        let (overlays, policy) = (snapshot.list()?, snapshot.get(POLICY_KEY)?);
        Ok(Stored { records, overlays, policy, catalogs, known: snapshot.catalog_slugs()? })
    }
}

impl Source for Aggregator {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.view().tools.clone()
    }

    fn tool(&self, name: &str) -> Option<Arc<Definition>> {
        self.view().tool(name).cloned()
    }

    fn why_not(&self, name: &str) -> Option<String> {
        let shop = self.shop();
        let (slug, _) = shop.names.owner(EntryKind::Tool, name)?;
        Some(match is_on(&shop.servers, slug) {
            false => format!("{name} cannot be called: its MCP server \"{slug}\" is switched off or was taken away"),
            true => format!(
                "{name} cannot be called: it is switched off, hidden, no longer offered, or waits for an owner to approve it \
                 (hearth mcp servers approve {slug})"
            ),
        })
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let me = self.me();
        async move { me.pass_call(call).await }.boxed()
    }

    fn resources(&self, who: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        let view = self.view();
        let seen = view.resources.values().filter(|piece| may_use(who, &piece.slug, "", piece.access));
        let values = seen.map(|piece| piece.value.clone()).collect();
        futures_util::future::ready(Ok(values)).boxed()
    }

    fn templates(&self, who: &Principal) -> Arc<[Value]> {
        let view = self.view();
        let seen = view.templates.values().filter(|piece| may_use(who, &piece.slug, "", piece.access));
        seen.map(|piece| piece.value.clone()).collect()
    }

    fn prompts(&self, who: &Principal) -> Arc<[Value]> {
        let view = self.view();
        let seen = view.prompts.values().filter(|piece| may_use(who, &piece.slug, &piece.exposed, piece.access));
        seen.map(|piece| piece.value.clone()).collect()
    }

    fn owns_prompt(&self, name: &str) -> bool {
        self.view().prompts.contains_key(name)
    }

    fn owns_uri(&self, uri: &str) -> bool {
        self.find_uri(uri).is_some()
    }

    fn request(
        &self,
        method: Method,
        params: Value,
        who: Arc<Principal>,
        reach: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let me = self.me();
        async move { me.pass_request(method, params, who, reach).await }.boxed()
    }
}

impl Listener for Aggregator {
    fn is_up(&self, slug: &str) {
        self.agenda.check_again(slug);
        if let Some(me) = self.me.upgrade() {
            me.subscribe_again(slug);
        }
    }

    fn is_down(&self, _slug: &str) {
        self.agenda.look_around();
    }

    fn was_unheard(&self, slug: &str) {
        self.agenda.look_again(slug);
    }

    fn list_changed(&self, slug: &str, kind: EntryKind) {
        self.agenda.list_changed(slug, kind);
    }

    fn resource_updated(&self, slug: &str, uri: &str) {
        if self.subscriptions.has(slug, uri) {
            let exposed = self.shop().names.uri(slug, EntryKind::Resource, uri);
            self.agenda.updated(&exposed);
        }
    }
}

fn is_on(servers: &BTreeMap<Box<str>, Server>, slug: &str) -> bool {
    servers.get(slug).is_some_and(|server| server.enabled)
}

/// Whether a server has to be started anew, because it is reached or held otherwise.
fn must_restart(old: &McpServer, new: &McpServer) -> bool {
    row_fingerprint(old) != row_fingerprint(new) || old.max_calls != new.max_calls || old.memory_mb != new.memory_mb
}
