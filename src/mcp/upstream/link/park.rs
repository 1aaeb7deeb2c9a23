//! Calls of older servers that wait for an answer which their caller can only give with another request: the bridge from a
//! question in the midst of a call to an `InputRequiredResult`. A parked call goes on waiting at its server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Ask, Shared, Ticket};
use crate::common::ids;
use crate::mcp::call::Resumption;

/// How long an answer is waited for; then the call is cancelled. A person may have to find their glasses.
const PARKED_MAX: Duration = Duration::from_secs(300);

/// How a parked call's `requestState` begins.
const PARKED_KIND: char = 'k';

/// Calls of one server that are parked at once.
const PARKED_LEN_MAX: usize = 256;

/// A call, and what it asked under which key.
pub(super) type Parked = (Ticket, Vec<(String, Ask)>);

#[derive(Default)]
pub(super) struct Lot {
    parked: Mutex<BTreeMap<Box<str>, Parked>>,
}

impl Lot {
    /// Parks a call; gives what its caller gets instead of a result.
    pub(super) fn park(&self, mut ticket: Ticket, first: Ask) -> Value {
        let mut asked = vec![("1".to_owned(), first)];
        while let Ok(ask) = ticket.asks.try_recv() {
            asked.push(((asked.len() + 1).to_string(), ask));
        }
        let requests: Map<String, Value> = asked
            .iter()
            .map(|(key, ask)| (key.clone(), json!({ "method": ask.method, "params": ask.params })))
            .collect();
        let state: Box<str> = ids::fresh(PARKED_KIND).into();
        forget_later(&ticket.shared, state.clone());
        let mut parked = self.lock();
        // The oldest cannot be told from the others, and a server that fills the lot has only itself to blame.
        while parked.len() >= PARKED_LEN_MAX {
            let Some((_, dropped)) = parked.pop_first() else { break };
            drop(dropped);
        }
        parked.insert(state.clone(), (ticket, asked));
        json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state })
    }

    /// The call that this goes on with.
    pub(super) fn take(&self, resumption: &Resumption) -> Option<Parked> {
        self.lock().remove(resumption.state.as_deref()?)
    }

    pub(super) fn clear(&self) {
        let parked = std::mem::take(&mut *self.lock());
        drop(parked);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_later(shared: &Arc<Shared>, state: Box<str>) {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    tokio::spawn(async move {
        tokio::time::sleep(PARKED_MAX).await;
        let parked = shared.upgrade().and_then(|shared| shared.parked.lock().remove(&state));
        drop(parked);
    });
}
