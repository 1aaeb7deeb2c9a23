//! What a server of the newest era tells unasked: one `subscriptions/listen` at a time, which stands in for the subscriptions
//! and the `list_changed` of older ones. A new one replaces the old when it is acknowledged, so that nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Shared;
use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Reach};
use crate::mcp::upstream::client::era::{Era, META_SUBSCRIPTION};
use crate::mcp::upstream::connection::UpstreamError;

pub(super) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// Resources of one server that are listened to at once.
const RESOURCES_MAX: usize = 1024;

/// A server that ends its stream is asked again after this, and twice as long each time up to a minute.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A stream that was good for so long has ended for another reason than the one before.
const LASTING: Duration = Duration::from_secs(30);

/// Acknowledgements kept that nobody waits for.
const EARLY_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Listening {
    /// One change of the filter at a time.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `toolsListChanged` and its kin, as far as the server has them.
    lists: Map<String, Value>,
    resources: BTreeSet<String>,
    current: Option<AbortHandle>,
    /// Streams whose acknowledgement is waited for, by the id of their request.
    waiting: BTreeMap<i64, oneshot::Sender<Value>>,
    /// Acknowledgements that came before anybody could wait for them.
    early: BTreeMap<i64, Value>,
}

/// A stream that is not acknowledged yet. Dropping it ends the stream and forgets what it was for.
struct Trial<'a> {
    shared: &'a Shared,
    task: Option<AbortHandle>,
    /// The resource that is new with it.
    added: Option<&'a str>,
}

impl Trial<'_> {
    /// It takes the place of the one before.
    fn succeed(mut self) {
        self.shared.listening().replace(self.task.take());
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        task.abort();
        if let Some(uri) = self.added {
            self.shared.listening().resources.remove(uri);
        }
    }
}

impl Shared {
    /// Listens to the changes of the lists that a server says it tells of.
    pub(super) fn listen_to_lists(self: &Arc<Shared>, capabilities: &Value) {
        if self.era() == Era::Older {
            return;
        }
        let lists =
            [("tools", "toolsListChanged"), ("prompts", "promptsListChanged"), ("resources", "resourcesListChanged")];
        let told = |of: &str| capabilities[of]["listChanged"] == true;
        let lists: Map<_, _> =
            lists.into_iter().filter(|(of, _)| told(of)).map(|(_, key)| (key.to_owned(), json!(true))).collect();
        if !lists.is_empty() {
            self.listening().lists = lists;
            let (task, _) = self.listen();
            self.listening().current = Some(task);
        }
    }

    /// Adds a resource to what is listened to, or takes it away. Done when the server has agreed.
    pub(super) async fn subscribe(self: &Arc<Shared>, params: &Value, on: bool) -> Result<Value, UpstreamError> {
        let refuse = |code, why: &str| Err(UpstreamError::Answered(Fault::new(code, why)));
        let Some(uri) = params.get("uri").and_then(Value::as_str) else {
            return refuse(ErrorCode::BadRequest, "params.uri names the resource");
        };
        let _one_at_a_time = self.listening.changing.lock().await;
        let changed = {
            let mut listening = self.listening();
            if on && listening.resources.len() >= RESOURCES_MAX {
                return refuse(ErrorCode::TooLarge, "too many resources of this server are subscribed to already");
            }
            if on { listening.resources.insert(uri.to_owned()) } else { listening.resources.remove(uri) }
        };
        let done = Ok(json!({ "resultType": "complete" }));
        if !changed {
            return done;
        }
        let is_wanted = {
            let listening = self.listening();
            !listening.lists.is_empty() || !listening.resources.is_empty()
        };
        if !is_wanted {
            self.listening().replace(None);
            return done;
        }
        let (task, acknowledged) = self.listen();
        let trial = Trial { shared: self, task: Some(task), added: on.then_some(uri) };
        let agreed = acknowledged.await.ok();
        let has = |agreed: &Value| {
            let uris = agreed["resourceSubscriptions"].as_array();
            uris.is_some_and(|uris| uris.iter().any(|it| it.as_str() == Some(uri)))
        };
        if agreed.is_some() && (!on || agreed.as_ref().is_some_and(has)) {
            trial.succeed();
            return done;
        }
        refuse(ErrorCode::Unsupported, "the server does not tell of changes of this resource")
    }

    /// Begins a stream for everything that is wanted now. The receiver gets what the server agreed to.
    fn listen(self: &Arc<Shared>) -> (AbortHandle, oneshot::Receiver<Value>) {
        let (tell, acknowledged) = oneshot::channel();
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let (mut tell, mut again) = (Some(tell), AGAIN);
            while !shared.is_closed() {
                let params = json!({ "notifications": shared.listening().filter() });
                let Ok(ticket) = shared.issue("subscriptions/listen", params, &Reach::default()).await else { return };
                let id = ticket.id;
                let agreed = shared.listening().agreed(id);
                let nobody = Reach::default();
                let ending = shared.wait(ticket, "subscriptions/listen", &nobody);
                tokio::pin!(ending);
                let mut good_since = None;
                let ended = tokio::select! {
                    biased;
                    Ok(agreed) = agreed => {
                        good_since = Some(tokio::time::Instant::now());
                        match tell.take() {
                            // A subscriber that is gone needs no word.
                            Some(tell) => drop(tell.send(agreed)),
                            // This era takes no stream up where it broke off.
                            None => shared.heard_again(),
                        }
                        ending.await
                    }
                    ended = &mut ending => ended,
                };
                shared.listening().waiting.remove(&id);
                if let Err(UpstreamError::Answered(fault)) = ended {
                    let why = fault.error.message;
                    tracing::debug!(server = &*shared.slug, why, "an MCP server does not tell of changes");
                    return;
                }
                if good_since.is_some_and(|since| since.elapsed() >= LASTING) {
                    again = AGAIN;
                }
                tokio::time::sleep(again).await;
                again = (again * 2).min(AGAIN_MAX);
            }
        });
        (task.abort_handle(), acknowledged)
    }

    /// A server has said what it agrees to.
    pub(super) fn acknowledged(&self, params: &Value) {
        let id = &params["_meta"][META_SUBSCRIPTION];
        let Some(id) = id.as_i64().or_else(|| id.as_str()?.parse().ok()) else { return };
        let mut listening = self.listening();
        let agreed = params["notifications"].clone();
        match listening.waiting.remove(&id) {
            Some(waiting) => drop(waiting.send(agreed)),
            None => {
                if listening.early.len() >= EARLY_MAX {
                    listening.early.pop_first();
                }
                listening.early.insert(id, agreed);
            }
        }
    }

    pub(super) fn stop_listening(&self) {
        let mut listening = self.listening();
        listening.replace(None);
        listening.waiting.clear();
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, State> {
        self.listening.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the server agrees to for the stream of this request, once it has said so.
    fn agreed(&mut self, id: i64) -> oneshot::Receiver<Value> {
        let (tell, agreed) = oneshot::channel();
        match self.early.remove(&id) {
            // The receiver is in hand.
            Some(early) => drop(tell.send(early)),
            None => drop(self.waiting.insert(id, tell)),
        }
        agreed
    }

    fn replace(&mut self, task: Option<AbortHandle>) {
        if let Some(old) = std::mem::replace(&mut self.current, task) {
            old.abort();
        }
    }

    /// MCP 2026-07-28, `SubscriptionFilter`.
    fn filter(&self) -> Value {
        let mut filter = self.lists.clone();
        if !self.resources.is_empty() {
            filter.insert("resourceSubscriptions".into(), json!(self.resources));
        }
        filter.into()
    }
}
