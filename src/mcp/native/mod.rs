//! The hub itself as a source: its own tools, its records as resources, and some prompts. Resources and prompts are made of
//! what tools answer, so that everybody sees through them what they may see anyway, and nothing more.

mod complete;
mod prompts;
mod resources;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::time::sleep;

use crate::auth;
use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::home::{Heard, Listener, News};
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::definition::Definition;
use crate::mcp::source::{Changed, Method, Source};
use crate::mcp::tools::{House, Tool};
use crate::store::{Change, Kind, ModelProfile, Room, Scene, Seen, ServerRecord, Snapshot, UserProfile};

/// Devices that changed are told together after so long.
const DEVICES_PAUSE: Duration = Duration::from_millis(200);

/// Resources that somebody watches, all clients together.
const SUBSCRIPTIONS_MAX: usize = 4096;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Native {
    shared: Arc<Shared>,
}

struct Shared {
    house: Arc<House>,
    tools: RwLock<Tools>,
    changes: broadcast::Sender<Changed>,
    /// URIs that are watched, each by how many.
    watched: Mutex<HashMap<Box<str>, usize>>,
}

struct Tools {
    by_name: BTreeMap<Box<str>, Arc<dyn Tool>>,
    /// Their definitions, by name.
    listed: Arc<[Arc<Definition>]>,
}

impl Native {
    /// Without tools yet; news go into `changes`.
    pub fn new(house: Arc<House>, changes: broadcast::Sender<Changed>) -> Arc<Native> {
        let tools = RwLock::new(Tools { by_name: BTreeMap::new(), listed: Arc::new([]) });
        Arc::new(Native { shared: Arc::new(Shared { house, tools, changes, watched: Mutex::default() }) })
    }

    /// Adds a tool, or puts it in the place of one of the same name. At any time.
    pub fn register(&self, tool: Arc<dyn Tool>) {
        let mut tools = self.shared.tools.write().unwrap_or_else(PoisonError::into_inner);
        tools.by_name.insert(tool.definition().name.clone(), tool);
        tools.listed = tools.by_name.values().map(|tool| tool.definition()).collect();
        drop(tools);
        self.shared.tell(Changed::Tools);
    }

    /// Passes the store's news on, for as long as the store is open. To be run once.
    pub async fn watch(self: Arc<Self>) {
        let mut feed = self.shared.house.store.subscribe();
        let mut news = self.shared.house.home.as_ref().map(|home| home.subscribe());
        let mut listed = self.shared.listed().await;
        let mut devices = Devices::default();
        let pause = sleep(Duration::ZERO);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                seen = feed.recv() => match seen {
                    Seen::Change(change) => self.shared.hear(&change, &mut listed),
                    Seen::Lagged => {
                        listed = self.shared.listed().await;
                        self.shared.tell(Changed::Resources);
                        let watched = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
                        let uris: Vec<Box<str>> = watched.keys().cloned().collect();
                        drop(watched);
                        uris.into_iter().for_each(|uri| self.shared.tell(Changed::Resource(uri)));
                    }
                    Seen::Closed => return,
                },
                heard = next(&mut news) => match heard {
                    // The house may close before the store does.
                    Heard::Closed => news = None,
                    heard => {
                        if devices.hear(&heard) {
                            pause.set(sleep(DEVICES_PAUSE));
                        }
                    }
                },
                () = &mut pause, if devices.is_waiting() => devices.tell(&self.shared),
            }
        }
    }
}

/// The next news of the house; of none never any.
async fn next(news: &mut Option<Listener>) -> Heard {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

/// Devices that changed and were not told of yet: a house of hundreds reports all the time.
#[derive(Default)]
struct Devices {
    changed: BTreeSet<Box<str>>,
    are_others: bool,
    are_unknown: bool,
}

impl Devices {
    /// Takes news in; true where it is the first to wait.
    fn hear(&mut self, heard: &Heard) -> bool {
        let was_waiting = self.is_waiting();
        match heard {
            Heard::News(News::Device(change)) => {
                self.are_others |= change.is_new;
                self.changed.insert(change.device.id.0.clone());
            }
            Heard::News(News::Removed { id, .. }) => {
                self.are_others = true;
                self.changed.insert(id.0.clone());
            }
            Heard::Lagged => self.are_unknown = true,
            Heard::News(News::Pairing { .. } | News::Radio { .. }) | Heard::Closed => {}
        }
        !was_waiting && self.is_waiting()
    }

    fn is_waiting(&self) -> bool {
        self.are_unknown || !self.changed.is_empty()
    }

    fn tell(&mut self, shared: &Shared) {
        let Devices { changed, are_others, are_unknown } = std::mem::take(self);
        if are_others || are_unknown {
            shared.tell(Changed::Resources);
        }
        let watched = shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |uri: &str| {
            let rest = uri.strip_prefix(resources::DEVICES);
            rest.is_some_and(|rest| match rest.strip_prefix('/') {
                Some(id) => are_unknown || changed.contains(id),
                None => rest.is_empty(),
            })
        };
        let uris: Vec<Box<str>> = watched.keys().filter(|uri| is_meant(uri)).cloned().collect();
        drop(watched);
        uris.into_iter().for_each(|uri| shared.tell(Changed::Resource(uri)));
    }
}

impl Shared {
    fn tell(&self, news: Changed) {
        // An error: nobody listens.
        let _ = self.changes.send(news);
    }

    fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }

    /// Whether `who` may call the tool.
    fn may(&self, who: &Principal, tool: &str) -> bool {
        let tool = self.tool(tool).map(|tool| tool.definition());
        tool.is_some_and(|tool| auth::may_call(who, &tool.name, tool.access).is_ok())
    }

    /// What a tool answers to somebody, as a value.
    async fn run(&self, tool: &str, arguments: Map<String, Value>, who: Arc<Principal>) -> Result<Value, Fault> {
        let Some(found) = self.tool(tool) else {
            return Err(Fault::new(ErrorCode::NotFound, format!("there is no tool called {tool}")));
        };
        let definition = found.definition();
        if let Err(denied) = auth::may_call(&who, &definition.name, definition.access) {
            return Err(Fault::new(ErrorCode::Forbidden, denied.to_string()));
        }
        let call = Call { tool: tool.into(), arguments, who, reach: Reach::default() };
        match found.call(call).await? {
            Outcome::Done(output) if !output.is_error => Ok(output.structured.unwrap_or_default()),
            Outcome::Done(output) => Err(Fault::new(ErrorCode::Internal, output.words())),
            Outcome::InputRequired { .. } => {
                Err(Fault::new(ErrorCode::Unsupported, format!("{tool} asks for something")))
            }
        }
    }

    /// The records that are in the list of resources one by one.
    async fn listed(&self) -> BTreeSet<(Kind, Box<str>)> {
        let look = |store: &Snapshot| {
            let mut listed: BTreeSet<(Kind, Box<str>)> = BTreeSet::new();
            listed.extend(store.list::<ModelProfile>()?.into_iter().map(|one| (Kind::Profile, one.name.into())));
            listed.extend(store.list::<UserProfile>()?.into_iter().map(|one| (Kind::UserProfile, one.user.into())));
            listed.extend(store.list::<ServerRecord>()?.into_iter().map(|one| (Kind::Server, one.slug.into())));
            listed.extend(store.list::<Room>()?.into_iter().map(|one| (Kind::Room, one.id.into())));
            listed.extend(store.list::<Scene>()?.into_iter().map(|one| (Kind::Scene, one.id.into())));
            Ok(listed)
        };
        self.house.store.read(look).await.unwrap_or_default()
    }

    fn hear(&self, change: &Change, listed: &mut BTreeSet<(Kind, Box<str>)>) {
        if matches!(change.kind, Kind::Profile | Kind::UserProfile | Kind::Server | Kind::Room | Kind::Scene) {
            let key = (change.kind, change.key.clone());
            let is_other = if change.deleted { listed.remove(&key) } else { listed.insert(key) };
            if is_other {
                self.tell(Changed::Resources);
            }
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.is_empty() {
            return;
        }
        for uri in resources::touched(change) {
            if watched.contains_key(uri.as_str()) {
                self.tell(Changed::Resource(uri.into()));
            }
        }
    }

    fn subscribe(&self, uri: &str) -> Result<Value, Fault> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= SUBSCRIPTIONS_MAX && !watched.contains_key(uri) {
            let why = format!("{SUBSCRIPTIONS_MAX} resources are watched already; unsubscribe from some");
            return Err(Fault::new(ErrorCode::RateLimited, why));
        }
        *watched.entry(uri.into()).or_default() += 1;
        Ok(json!({}))
    }

    fn unsubscribe(&self, uri: &str) -> Value {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = watched.get_mut(uri) {
            *count -= 1;
            if *count == 0 {
                watched.remove(uri);
            }
        }
        json!({})
    }
}

impl Source for Native {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.shared.tools.read().unwrap_or_else(PoisonError::into_inner).listed.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        match self.shared.tool(&call.tool) {
            Some(tool) => tool.call(call),
            None => {
                let why = format!("there is no tool called {}", call.tool);
                Box::pin(std::future::ready(Err(Fault::new(ErrorCode::NotFound, why))))
            }
        }
    }

    fn resources(&self, who: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        let (shared, who) = (self.shared.clone(), Arc::new(who.clone()));
        Box::pin(async move { resources::list(&shared, who).await })
    }

    fn templates(&self, who: &Principal) -> Arc<[Value]> {
        resources::templates(&self.shared, who).into()
    }

    fn prompts(&self, who: &Principal) -> Arc<[Value]> {
        prompts::list(&self.shared, who).into()
    }

    fn owns_prompt(&self, name: &str) -> bool {
        prompts::find(name).is_some()
    }

    fn owns_uri(&self, uri: &str) -> bool {
        uri.starts_with(resources::SCHEME)
    }

    fn request(
        &self,
        method: Method,
        params: Value,
        who: Arc<Principal>,
        _reach: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let uri = params.get("uri").and_then(Value::as_str).unwrap_or_default();
            match method {
                Method::ReadResource => resources::read(&shared, uri, who).await,
                Method::GetPrompt => prompts::get(&shared, &params, who).await,
                Method::Complete => complete::complete(&shared, &params, who).await,
                Method::Subscribe => {
                    // Who may not read it hears nothing of it either.
                    resources::read(&shared, uri, who).await?;
                    shared.subscribe(uri)
                }
                Method::Unsubscribe => Ok(shared.unsubscribe(uri)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
