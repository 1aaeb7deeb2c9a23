//! The calls of a turn while they run, each a task of its own, so that a slow client holds none of them back. Dropping this
//! drops them, on whatever machine they run. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::mcp::{Call, Note, Service};
use crate::router::tools::output::{self, Told};

/// Steps on their way to a turn. A tool that tells of more is not held up: the next step says more than the last.
const STEPS_LEN: usize = 64;

/// What has come to its end, or one step nearer.
pub enum Ended {
    Stepped {
        call: u32,
        note: Note,
    },
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
pub struct Calls {
    tasks: JoinSet<Ended>,
    running: BTreeMap<tokio::task::Id, (u32, AbortHandle)>,
    /// Made with the first call: few turns have one.
    steps: Option<(mpsc::Sender<Step>, mpsc::Receiver<Step>)>,
}

/// What the tool of a call tells of its way.
type Step = (u32, Note);

impl Default for Calls {
    fn default() -> Calls {
        Calls { tasks: JoinSet::new(), running: BTreeMap::new(), steps: None }
    }
}

impl Calls {
    /// Begins a call.
    pub fn make(&mut self, tools: &Service, call: u32, mut what: Call) {
        let (tell, _) = self.steps.get_or_insert_with(|| mpsc::channel(STEPS_LEN));
        let tell = tell.clone();
        // A full queue: see `STEPS_LEN`.
        what.reach.progress = Some(Arc::new(move |note| drop(tell.try_send((call, note)))));
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

    /// The next that ends or tells of a step; never, where there is none.
    pub async fn next(&mut self) -> Ended {
        loop {
            let (tasks, steps) = (&mut self.tasks, &mut self.steps);
            let stepped = async {
                match steps {
                    Some((_, steps)) => steps.recv().await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                biased;
                Some((call, note)) = stepped => return Ended::Stepped { call, note },
                ended = tasks.join_next_with_id(), if !tasks.is_empty() => ended,
                else => None,
            };
            match ended {
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
