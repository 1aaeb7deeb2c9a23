//! A request of 2026-07-28 on its way. What its tool asks of the client ends the answer that goes out (`input_required`),
//! while the tool waits here, parked, until the client comes back with what was asked. Sends nothing by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::common::error::ErrorCode;
use crate::common::ids;
use crate::mcp::call::{Fault, Peer};
use crate::mcp::rpc;
use crate::mcp::server::outlet::{Log, Outlet};
use crate::mcp::server::peer::{self, ASK_DEADLINE, lacks};
use crate::mcp::server::version::Level;

/// Calls that wait for their client to come back, of everybody and of one user.
pub const PARKED_MAX: usize = 128;
pub const PARKED_OF_USER_MAX: usize = 32;

/// See the module.
pub struct Flight {
    pub outlet: Arc<Outlet>,
    inner: Mutex<Inner>,
}

struct Inner {
    manner: Manner,
    asks: BTreeMap<String, Ask>,
    next_ask: u64,
    task: Option<AbortHandle>,
}

/// What the request at hand said of itself; each one that goes on with a call says it anew.
#[derive(Clone)]
pub struct Manner {
    pub capabilities: Value,
    /// The least bad message of a log that it wants; `None`: none at all.
    pub level: Option<Level>,
    pub progress_token: Option<Value>,
}

struct Ask {
    method: String,
    params: Value,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

impl Flight {
    pub fn new(manner: Manner) -> Arc<Flight> {
        let inner = Inner { manner, asks: BTreeMap::new(), next_ask: 1, task: None };
        Arc::new(Flight { outlet: Outlet::new(Log::of_answers(1)), inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_task(&self, task: AbortHandle) {
        self.inner().task = Some(task);
    }

    /// Ends the call.
    pub fn abort(&self) {
        self.inner().task.take().inspect(AbortHandle::abort);
    }

    pub fn manner(&self) -> Manner {
        self.inner().manner.clone()
    }

    /// What is asked at the moment: MCP `InputRequests`, or `None` where nothing is.
    pub fn requests(&self) -> Option<Map<String, Value>> {
        let inner = self.inner();
        let of = |ask: &Ask| json!({ "method": ask.method, "params": ask.params });
        let requests: Map<_, _> = inner.asks.iter().map(|(key, ask)| (key.clone(), of(ask))).collect();
        (!requests.is_empty()).then_some(requests)
    }

    /// The client is back. What it has no answer for is asked again.
    pub fn resume(&self, manner: Manner, responses: Map<String, Value>) {
        let mut inner = self.inner();
        inner.manner = manner;
        for (key, response) in responses {
            if let Some(ask) = inner.asks.remove(&key) {
                // The tool may have given up meanwhile.
                let _ = ask.answer.send(Ok(response));
            }
        }
    }
}

/// The client of a flight, as its tool sees it.
pub struct FlightPeer(pub Arc<Flight>);

impl Peer for FlightPeer {
    fn capabilities(&self) -> Value {
        self.0.inner().manner.capabilities.clone()
    }

    fn ask(&self, method: &str, params: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        let flight = self.0.clone();
        let (sender, answer) = oneshot::channel();
        let key = {
            let mut inner = flight.inner();
            if let Some(fault) = lacks(&inner.manner.capabilities, method, &params) {
                return async { Err(fault) }.boxed();
            }
            let key = format!("input-{}", inner.next_ask);
            inner.next_ask += 1;
            inner.asks.insert(key.clone(), Ask { method: method.into(), params, answer: sender });
            key
        };
        flight.outlet.ring();
        let asked = Asked { flight, key };
        async move {
            let answer = tokio::time::timeout(ASK_DEADLINE, answer).await;
            drop(asked);
            answer.ok().and_then(Result::ok).unwrap_or_else(|| {
                let message =
                    format!("the client did not come back with an answer within {} s", ASK_DEADLINE.as_secs());
                Err(Fault::new(ErrorCode::Timeout, message))
            })
        }
        .boxed()
    }

    fn comes_back(&self) -> bool {
        true
    }

    fn notify(&self, method: &str, params: Value) {
        let level = self.0.inner().manner.level;
        if method == peer::MESSAGE && level.is_some_and(|least| peer::is_heard(&params, least)) {
            self.0.outlet.say(rpc::notification(method, &params));
        }
    }
}

/// Taken back when nobody waits any more.
struct Asked {
    flight: Arc<Flight>,
    key: String,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.flight.inner().asks.remove(&self.key);
    }
}

/// The calls that wait for their clients.
#[derive(Default)]
pub struct Parked {
    waiting: Mutex<HashMap<Box<str>, Waiting>>,
}

struct Waiting {
    flight: Arc<Flight>,
    user: Box<str>,
    until: Instant,
}

impl Parked {
    /// Takes a call in, under the id that is given back; `None`: there is no room.
    pub fn park(&self, flight: &Arc<Flight>, user: &str, now: Instant) -> Option<Box<str>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, one| {
            let is_waiting = one.until > now;
            if !is_waiting {
                one.flight.abort();
            }
            is_waiting
        });
        let of_user = waiting.values().filter(|one| &*one.user == user).count();
        if waiting.len() >= PARKED_MAX || of_user >= PARKED_OF_USER_MAX {
            return None;
        }
        let id: Box<str> = ids::fresh('p').into();
        waiting.insert(id.clone(), Waiting { flight: flight.clone(), user: user.into(), until: now + ASK_DEADLINE });
        Some(id)
    }

    /// The call of this id, once.
    pub fn take(&self, id: &str) -> Option<Arc<Flight>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id).map(|one| one.flight)
    }
}

/// Until when a state that is given out now is good.
pub fn good_until(now: Duration) -> Duration {
    now + ASK_DEADLINE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(capabilities: Value) -> Arc<Flight> {
        Flight::new(Manner { capabilities, level: None, progress_token: None })
    }

    #[tokio::test]
    async fn a_tool_that_asks_waits_until_the_client_comes_back() {
        let flight = flight(json!({ "roots": {} }));
        let peer = FlightPeer(flight.clone());
        assert_eq!(flight.requests(), None);
        let (first, second) = (peer.ask("roots/list", json!({})), peer.ask("roots/list", json!({ "again": true })));
        let requests = flight.requests().expect("two questions");
        assert_eq!(requests["input-1"], json!({ "method": "roots/list", "params": {} }));
        let responses = Map::from_iter([("input-2".into(), json!({ "roots": [] })), ("x".into(), json!(1))]);
        flight.resume(flight.manner(), responses);
        assert_eq!(second.await, Ok(json!({ "roots": [] })));
        assert_eq!(flight.requests().expect("one is left").len(), 1);
        drop(first);
        assert_eq!(flight.requests(), None, "nobody waits");
    }

    #[tokio::test]
    async fn what_a_client_cannot_do_is_not_asked_of_it() {
        let flight = flight(json!({ "elicitation": {} }));
        let peer = FlightPeer(flight.clone());
        let fault = peer.ask("sampling/createMessage", json!({})).await.expect_err("it cannot");
        assert_eq!(fault.data, Some(json!({ "requiredCapabilities": { "sampling": {} } })));
        assert!(peer.ask("elicitation/create", json!({ "mode": "url" })).await.is_err());
        assert_eq!(flight.requests(), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
    fn what_is_parked_is_bounded_and_runs_out() {
        let (parked, now) = (Parked::default(), Instant::now());
        let ids: Vec<_> = (0..PARKED_OF_USER_MAX).map(|_| parked.park(&flight(json!({})), "ann", now)).collect();
        assert!(ids.iter().all(Option::is_some));
        assert_eq!(parked.park(&flight(json!({})), "ann", now), None);
        assert!(parked.park(&flight(json!({})), "bob", now).is_some());
        let first = ids[0].as_deref().expect("parked");
        assert!(parked.take(first).is_some() && parked.take(first).is_none());
        let later = now + ASK_DEADLINE;
        assert!(parked.park(&flight(json!({})), "ann", later).is_some(), "the others have run out");
        assert_eq!(parked.waiting.lock().unwrap().len(), 1);
    }
}
