//! `subscriptions/listen` of 2026-07-28: which news a client wants, and the stream that carries them until one of the two
//! ends it. Source: MCP 2026-07-28, "Subscriptions".

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::task::AbortHandle;

use crate::common::who::Principal;
use crate::mcp::rpc::{self, INVALID_PARAMS, Id, RpcError};
use crate::mcp::server::Server;
use crate::mcp::server::outlet::{Log, Outlet, Said};
use crate::mcp::server::session::{WATCHED_MAX, notification};
use crate::mcp::server::shape::Keep;
use crate::mcp::server::version::{Era, META_SUBSCRIPTION};
use crate::mcp::source::{Changed, Method};

/// Streams of news at once, of everybody.
pub const LISTENERS_MAX: usize = 256;

/// Of them, or of sessions, those of one user who does not own the house.
pub const OF_ONE_MAX: usize = LISTENERS_MAX / 4;

/// What a client wants to hear of (MCP `SubscriptionFilter`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    pub uris: BTreeSet<Box<str>>,
}

impl Filter {
    pub fn read(params: &Map<String, Value>) -> Result<Filter, RpcError> {
        let refuse = |why: &str| Err(RpcError::new(INVALID_PARAMS, format!("params.notifications{why}")));
        let Some(Value::Object(wanted)) = params.get("notifications") else { return refuse(" must be an object") };
        let flag = |key: &str| wanted.get(key).and_then(Value::as_bool).unwrap_or_default();
        let uris = match wanted.get("resourceSubscriptions") {
            None | Some(Value::Null) => BTreeSet::new(),
            Some(Value::Array(uris)) if uris.len() > WATCHED_MAX => {
                return refuse(&format!(".resourceSubscriptions may name {WATCHED_MAX} resources"));
            }
            Some(Value::Array(uris)) if uris.iter().all(Value::is_string) => {
                uris.iter().filter_map(Value::as_str).map(Into::into).collect()
            }
            Some(_) => return refuse(".resourceSubscriptions must be a list of texts"),
        };
        Ok(Filter {
            tools: flag("toolsListChanged"),
            prompts: flag("promptsListChanged"),
            resources: flag("resourcesListChanged"),
            uris,
        })
    }

    /// What is honoured, as the acknowledgement says it.
    pub fn to_value(&self) -> Value {
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        let mut honoured: Map<_, _> =
            flags.into_iter().filter(|(_, is_on)| *is_on).map(|(key, _)| (key.to_owned(), true.into())).collect();
        if !self.uris.is_empty() {
            honoured.insert("resourceSubscriptions".into(), json!(self.uris));
        }
        honoured.into()
    }

    fn wants(&self, changed: &Changed) -> bool {
        match changed {
            Changed::Tools => self.tools,
            Changed::Prompts => self.prompts,
            Changed::Resources => self.resources,
            Changed::Resource(uri) => self.uris.contains(uri),
        }
    }

    fn everything(&self) -> impl Iterator<Item = Changed> {
        let lists = [Changed::Tools, Changed::Prompts, Changed::Resources].into_iter().filter(|one| self.wants(one));
        let uris = self.uris.iter().cloned().map(Changed::Resource);
        lists.chain(uris).collect::<Vec<_>>().into_iter()
    }
}

/// Among all, and among those of one user.
pub type Permits = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// A stream of news. Dropped, nothing more is watched for it.
pub struct Listening {
    pub outlet: Arc<Outlet>,
    server: Arc<Server>,
    who: Arc<Principal>,
    uris: BTreeSet<Box<str>>,
    task: AbortHandle,
    _permits: Permits,
}

impl Listening {
    /// Watches what `filter` names, as far as it is there, and acknowledges that.
    pub async fn begin(
        server: Arc<Server>,
        permits: Permits,
        id: Id,
        mut filter: Filter,
        who: Arc<Principal>,
    ) -> Listening {
        // From before the acknowledgement: nothing that happens after it is missed.
        let changes = server.requests.service.changes();
        let outlet = Outlet::new(Log::of_answers(1));
        let mut listening = Listening {
            outlet: outlet.clone(),
            server: server.clone(),
            who: who.clone(),
            uris: BTreeSet::new(),
            task: tokio::spawn(async {}).abort_handle(),
            _permits: permits,
        };
        for uri in std::mem::take(&mut filter.uris) {
            if server.requests.watch(Method::Subscribe, &uri, who.clone()).await.is_ok() {
                listening.uris.insert(uri);
            }
        }
        filter.uris = listening.uris.clone();
        let params = json!({ "notifications": filter.to_value(), "_meta": meta(&id) });
        outlet.say(rpc::notification("notifications/subscriptions/acknowledged", &params));
        listening.task = tokio::spawn(tell(server, changes, outlet, id, filter)).abort_handle();
        listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        self.server.clone().unwatch(std::mem::take(&mut self.uris), self.who.clone());
    }
}

fn meta(id: &Id) -> Value {
    json!({ META_SUBSCRIPTION: id })
}

/// Until the hub stops, which is said by the answer to the request.
async fn tell(
    server: Arc<Server>,
    mut changes: broadcast::Receiver<Changed>,
    outlet: Arc<Outlet>,
    id: Id,
    filter: Filter,
) {
    let tell = |changed: &Changed| {
        let text = notification(changed, Some(meta(&id)));
        outlet.change(|log| log.push_once(&text));
    };
    let mut stopping = server.stopping.clone();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            changed = changes.recv() => match changed {
                Ok(changed) if filter.wants(&changed) => tell(&changed),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => filter.everything().for_each(|changed| tell(&changed)),
                Err(broadcast::error::RecvError::Closed) => break,
            },
        }
    }
    let Value::Object(result) = json!({ "_meta": meta(&id) }) else { return };
    let result = server.requests.whole(Era::Stateless, result, Keep::Unsaid);
    outlet.change(|log| log.push(Said::Result(id, result)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_was_asked_for_and_no_more() {
        let read = |notifications: Value| Filter::read(json!({ "notifications": notifications }).as_object().unwrap());
        let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": ["a://b"] });
        let filter = read(wanted.clone()).unwrap();
        assert_eq!(filter.to_value(), wanted);
        assert!(filter.wants(&Changed::Tools) && filter.wants(&Changed::Resource("a://b".into())));
        assert!(!filter.wants(&Changed::Prompts) && !filter.wants(&Changed::Resource("a://c".into())));
        assert_eq!(filter.everything().count(), 2);
        assert_eq!(read(json!({})), Ok(Filter::default()));
        for bad in [json!(1), json!({ "resourceSubscriptions": [1] }), json!({ "resourceSubscriptions": "a" })] {
            assert!(read(bad).is_err());
        }
        let many: Vec<_> = (0..=WATCHED_MAX).map(|n| n.to_string()).collect();
        assert!(read(json!({ "resourceSubscriptions": many })).is_err());
    }
}
