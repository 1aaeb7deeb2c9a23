//! The calls of a turn while they run, each a task of its own, so that a slow client holds none of them back. Dropping this
//! drops them, on whatever machine they run. Decides nothing.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::mcp::{Call, Service};
use crate::router::tools::output::{self, Told};

/// What has come to its end.
pub enum Ended {
    Called {
        call: u32,
        told: Told,
    },
    /// `None`: whoever was to be asked is gone.
    Confirmed {
        call: u32,
        accept: Option<bool>,
    },
}

/// See the module.
#[derive(Default)]
pub struct Calls {
    tasks: JoinSet<Ended>,
    running: BTreeMap<tokio::task::Id, (u32, AbortHandle)>,
}

impl Calls {
    /// Begins a call.
    pub fn make(&mut self, tools: &Service, call: u32, what: Call) {
        let tools = tools.clone();
        let task = self.tasks.spawn(async move { Ended::Called { call, told: output::told(tools.call(what).await) } });
        self.running.insert(task.id(), (call, task));
    }

    /// Waits for a person's word.
    pub fn await_word(&mut self, call: u32, answered: oneshot::Receiver<bool>) {
        let task = self.tasks.spawn(async move { Ended::Confirmed { call, accept: answered.await.ok() } });
        self.running.insert(task.id(), (call, task));
    }

    /// Lets one call be.
    pub fn stop_one(&mut self, call: u32) {
        let mine = self.running.values().filter(|(other, _)| *other == call);
        mine.for_each(|(_, task)| task.abort());
    }

    /// Lets all calls be.
    pub fn stop(&mut self) {
        *self = Calls::default();
    }

    /// The next that ends; never, where there is none.
    pub async fn next(&mut self) -> Ended {
        loop {
            match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ended))) => {
                    self.running.remove(&id);
                    return ended;
                }
                Some(Err(error)) => {
                    let Some((call, _)) = self.running.remove(&error.id()) else { continue };
                    if error.is_cancelled() {
                        continue;
                    }
                    tracing::error!(call, "a tool panicked");
                    return Ended::Called {
                        call,
                        told: Told::failed("the tool broke down, which is a fault of the hub's"),
                    };
                }
            }
        }
    }
}
