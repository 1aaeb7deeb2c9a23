//! Follows the world: the config file, what owners change in the store, what servers say of themselves. Asks servers what they have, keeps
//! it, stops those that are idle, and starts those that somebody listens to.
#![expect(clippy::disallowed_methods, reason = "a driver: it dates catalogs and waits for the clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::common::config::McpServer;
use crate::common::error::ErrorCode;
use crate::common::time::{UnixMillis, whole_ms};
use crate::mcp::call::Fault;
use crate::mcp::source::Changed;
use crate::mcp::upstream::agenda::Updates;
use crate::mcp::upstream::aggregator::{Aggregator, Stored};
use crate::mcp::upstream::discovery::{LOOK_WAIT, ask};
use crate::mcp::upstream::health::Doing;
use crate::mcp::upstream::pinning::{News, Offer, Which, approve, is_same, merge, row_fingerprint};
use crate::mcp::upstream::policy::POLICY_KEY;
use crate::mcp::upstream::roster::Server;
use crate::mcp::upstream::trouble::Trouble;
use crate::store::{Catalog, Change, EntryKind, GivenName, Kind, Seen, WriteError};

/// Servers asked at once what they have.
const LOOKS_AT_ONCE: usize = 8;

/// One that takes longer lets the next one begin beside it: who hangs holds nobody up.
const LOOK_ALONE: Duration = Duration::from_millis(250);

/// Between two looks at who is idle.
const TICK: Duration = Duration::from_secs(1);

/// News that come together are looked at together.
const PAUSE: Duration = Duration::from_millis(20);

/// Names kept of one server, those included that it does not use any more.
const NAMES_MAX: usize = 8192;

impl Aggregator {
    /// Follows the world until the store is closed. To be run beside everything else.
    pub async fn run(self: Arc<Self>) {
        let mut feed = self.store.subscribe();
        let mut config = self.config.clone();
        let places = Arc::new(Semaphore::new(LOOKS_AT_ONCE));
        let mut is_config_live = true;
        self.reread().await;
        loop {
            for slug in self.agenda.take_due() {
                tokio::spawn(self.clone().look_in_turn(slug, places.clone()));
            }
            self.tell_updates();
            let now = Instant::now();
            let tick = self.care().then(|| now + TICK);
            let wake = [tick, self.agenda.next().map(|at| at.max(now + PAUSE))].into_iter().flatten().min();
            tokio::select! {
                seen = feed.recv() => match seen {
                    Seen::Change(change) if concerns(&change) => self.reread().await,
                    Seen::Change(_) => {}
                    Seen::Lagged => self.reread().await,
                    Seen::Closed => return self.close(),
                },
                changed = config.changed(), if is_config_live => {
                    is_config_live = changed.is_ok();
                    if is_config_live {
                        self.reread().await;
                    }
                }
                () = self.agenda.news() => sleep(PAUSE).await,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Asks a server anew what it has, starting it if need be, and keeps that.
    pub async fn refresh(self: &Arc<Self>, slug: &str) -> Result<News, Fault> {
        let Some(member) = self.member(slug) else { return Err(self.absent(slug)) };
        let looked = member.look(LOOK_WAIT, ask).await;
        // One that was started for this alone is not kept.
        let offer = looked.map_err(|trouble| trouble.to_fault(slug));
        let kept = match offer {
            Ok(offer) => self.keep(slug, &member.row, offer).await,
            Err(fault) => Err(fault),
        };
        member.rest(self.idle());
        kept
    }

    /// Puts an owner's word into a server's catalog. With `if_revision` only if that is what the owner saw.
    pub async fn approve(&self, slug: &str, which: Which, if_revision: Option<u64>) -> Result<usize, Fault> {
        let _alone = self.writing.lock().await;
        let (key, counted) = (slug.to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = counted.clone();
        let change = move |stored: Option<Catalog>| {
            let nothing =
                || WriteError::Invalid(format!("nothing is known yet of the MCP server \"{key}\": refresh it first"));
            let mut catalog = stored.ok_or_else(nothing)?;
            if if_revision.is_some_and(|seen| seen != catalog.revision) {
                return Err(WriteError::Conflict { current: catalog.revision });
            }
            let approved = approve(&mut catalog, &which).map_err(WriteError::Invalid)?;
            count.store(approved, Ordering::Relaxed);
            Ok(catalog)
        };
        let catalog = self.store.update::<Catalog, _>(slug, change).await.map_err(refused)?;
        self.shelve(slug, catalog).await;
        Ok(counted.load(Ordering::Relaxed))
    }

    /// What is kept of a server.
    pub async fn catalog(&self, slug: &str) -> Result<Option<Catalog>, Fault> {
        let read = self.store.get::<Catalog>(slug).await;
        read.map_err(|error| Fault::new(ErrorCode::Internal, format!("The catalog could not be read: {error}.")))
    }

    /// That there is no such server, or that it is off.
    pub fn absent(&self, slug: &str) -> Fault {
        let shown: String = slug.chars().take(64).flat_map(char::escape_debug).collect();
        match self.shop().servers.contains_key(slug) {
            true => Fault::new(
                ErrorCode::Conflict,
                format!(
                    "The MCP server \"{shown}\" is switched off: switch it on first (mcp_servers.set with enabled)."
                ),
            ),
            false => Fault::new(
                ErrorCode::NotFound,
                format!("There is no MCP server called \"{shown}\"; mcp_servers.status lists them."),
            ),
        }
    }

    /// One look among many: a few at once, and those that take long beside them.
    async fn look_in_turn(self: Arc<Self>, slug: Box<str>, places: Arc<Semaphore>) {
        let permit = places.acquire_owned().await.ok();
        let looking = self.refresh(&slug);
        tokio::pin!(looking);
        let looked = match timeout(LOOK_ALONE, &mut looking).await {
            Ok(looked) => looked,
            Err(_) => {
                drop(permit);
                looking.await
            }
        };
        let differs = match &looked {
            Ok(news) => Some(!(news.added.is_empty() && news.changed.is_empty() && news.removed.is_empty())),
            Err(fault) => {
                tracing::debug!(server = %slug, error = fault.error.message, "an MCP server could not be asked what it has");
                None
            }
        };
        let is_unknown = self.is_unknown(&slug);
        self.agenda.asked(&slug, differs, is_unknown);
    }

    /// Keeps what a server offers: names first, then the catalog, then the lists.
    pub(super) async fn keep(self: &Arc<Self>, slug: &str, row: &McpServer, offer: Offer) -> Result<News, Fault> {
        let _alone = self.writing.lock().await;
        let is_trusted = match self.shop().servers.get(slug) {
            Some(server) => server.row.trust,
            None => return Err(Trouble::Retired.to_fault(slug)),
        };
        let old = self.catalog(slug).await?;
        let if_revision = old.as_ref().map_or(0, |catalog| catalog.revision);
        let (catalog, news) = merge(old.clone(), slug, &row_fingerprint(row), offer, is_trusted, unix_now());
        let (given, released) = self.name(slug, &catalog);
        if !(given.is_empty() && released.is_empty()) {
            self.store.give_names(slug, given, released).await.map_err(refused)?;
        }
        let catalog = match old {
            Some(old) if is_same(&old, &catalog) => old,
            _ => self.store.put(catalog, Some(if_revision)).await.map_err(refused)?,
        };
        if news.quarantined > 0 && !news.changed.is_empty() {
            tracing::warn!(
                server = slug,
                changed = news.changed.len(),
                "an MCP server's tools are not what was approved; they wait for an owner (mcp_servers.changes)"
            );
        }
        self.shelve(slug, catalog).await;
        Ok(news)
    }

    /// Names for what has none, and those that make room.
    fn name(&self, slug: &str, catalog: &Catalog) -> (Vec<GivenName>, Vec<Box<str>>) {
        let mut shop = self.shop();
        let bare = shop.servers.get(slug).is_some_and(|server| server.row.bare);
        let offered: BTreeSet<(EntryKind, &str)> =
            catalog.entries.iter().map(|entry| (entry.kind, entry.name.as_str())).collect();
        let mut given = Vec::new();
        for kind in [EntryKind::Tool, EntryKind::Prompt] {
            let names = catalog.offered(kind).map(|entry| entry.name.as_str());
            given.extend(shop.names.give(slug, kind, bare, names));
        }
        let surplus = shop.names.surplus(slug, NAMES_MAX, |kind, own| offered.contains(&(kind, own)));
        surplus.iter().for_each(|own| shop.names.release(slug, own));
        (given, surplus)
    }

    /// Puts a catalog where it is seen.
    async fn shelve(&self, slug: &str, catalog: Catalog) {
        let moved = {
            let mut shop = self.shop();
            let Some(server) = shop.servers.get(slug).filter(|server| server.enabled).cloned() else { return };
            shop.shelve(slug, &server, catalog)
        };
        if !moved.is_empty()
            && let Err(error) = self.store.give_names(slug, moved, Vec::new()).await
        {
            tracing::warn!(%error, server = slug, "the names of moved resources were not kept");
        }
        self.show();
    }

    /// Reads everything that owners may have changed.
    async fn reread(self: &Arc<Self>) {
        let _alone = self.writing.lock().await;
        let config = self.config.borrow().mcp.clone();
        let shelved: BTreeMap<Box<str>, _> =
            self.shop().shelves.iter().map(|(slug, shelf)| (slug.clone(), (shelf.trust, shelf.access))).collect();
        // Of the catalogs those alone that are not on a shelf as they are to be.
        let is_wanted =
            move |slug: &str, server: &Server| shelved.get(slug) != Some(&(server.row.trust, Some(server.row.access)));
        let stored = match self.store.read(move |snapshot| Stored::read(snapshot, &config, &is_wanted)).await {
            Ok(stored) => stored,
            Err(error) => return tracing::error!(%error, "the MCP servers could not be read; what was known stays"),
        };
        let known = stored.known.clone();
        let unknown = self.settle(stored);
        for slug in unknown.iter().filter(|slug| self.is_unknown(slug)) {
            self.agenda.discover(slug);
        }
        let strangers: Vec<_> = {
            let shop = self.shop();
            known.into_iter().filter(|slug| !shop.servers.contains_key(slug)).collect()
        };
        self.forget_sign_ins().await;
        for slug in strangers {
            self.agenda.forget(&slug);
            self.subscriptions.forget(&slug);
            if let Err(error) = self.store.delete::<Catalog>(&slug, None).await {
                tracing::warn!(%error, server = %slug, "the catalog of a server that is gone stays");
            }
        }
    }

    /// Whether nothing is known of a server as it is reached now.
    fn is_unknown(&self, slug: &str) -> bool {
        let shop = self.shop();
        let Some(member) = shop.members.get(slug) else { return false };
        shop.shelves.get(slug).is_none_or(|shelf| *shelf.row != *row_fingerprint(&member.row))
    }

    /// Stops who is idle and starts who is listened to. False: nobody runs, and nobody has to.
    fn care(&self) -> bool {
        let members: Vec<_> = self.shop().members.values().cloned().collect();
        let idle = self.idle();
        let mut is_anybody = false;
        for member in members {
            let is_held = self.subscriptions.is_any(&member.slug);
            member.hold(is_held);
            member.wake();
            member.rest(idle);
            is_anybody |= is_held || matches!(member.vitals().doing, Doing::Up | Doing::Starting);
        }
        is_anybody
    }

    fn tell_updates(&self) {
        // Nobody has to be listening.
        for kind in self.agenda.take_lists() {
            let changed = match kind {
                EntryKind::Tool => Changed::Tools,
                EntryKind::Prompt => Changed::Prompts,
                EntryKind::Resource | EntryKind::Template => Changed::Resources,
            };
            let _ = self.changes.send(changed);
        }
        match self.agenda.take_updates() {
            Updates::Of(uris) => uris.into_iter().for_each(|uri| drop(self.changes.send(Changed::Resource(uri)))),
            Updates::All => drop(self.changes.send(Changed::Resources)),
        }
    }

    fn idle(&self) -> Duration {
        Duration::from_secs(self.config.borrow().mcp.idle_s)
    }

    /// Stops all servers.
    pub fn close(&self) {
        let members = std::mem::take(&mut self.shop().members);
        members.into_values().for_each(|member| member.retire());
    }
}

fn concerns(change: &Change) -> bool {
    match change.kind {
        Kind::Server | Kind::Overlay => true,
        Kind::Setting => *change.key == *POLICY_KEY,
        _ => false,
    }
}

fn refused(error: WriteError) -> Fault {
    error.to_body().into()
}

fn unix_now() -> UnixMillis {
    whole_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
