//! The tools that a session calls, for its driver: each in a task of its own, so that one that hangs or falls over harms
//! nobody. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::gateway::session::elicit::{Person, Question};
use crate::gateway::session::state::Called;
use crate::mcp::{Call, Fault, Note, Outcome, Peer, Reach, Service};
use crate::router::TurnKey;

/// The longest call, whatever a server's own limit is.
const CALL_MAX: Duration = Duration::from_secs(60 * 60);

/// Steps on their way to one session. A tool that tells of more is not held up: the next step says more than the last.
const NOTES_LEN: usize = 64;

/// Questions on their way to one session. More at once are nobody's to answer.
const QUESTIONS_LEN: usize = 16;

/// See the module. Dropping it drops every call.
pub struct Calls {
    running: JoinSet<Result<Outcome, Fault>>,
    keys: BTreeMap<Id, TurnKey>,
    handles: BTreeMap<TurnKey, AbortHandle>,
    tell: mpsc::Sender<(TurnKey, Note)>,
    notes: mpsc::Receiver<(TurnKey, Note)>,
    ask: mpsc::Sender<(TurnKey, Question)>,
    questions: mpsc::Receiver<(TurnKey, Question)>,
}

/// News of a call.
#[derive(Debug)]
pub enum CallNews {
    Step(TurnKey, Note),
    Asks(TurnKey, Question),
    Ended(TurnKey, Result<Outcome, Fault>),
}

impl Default for Calls {
    fn default() -> Calls {
        let (tell, notes) = mpsc::channel(NOTES_LEN);
        let (ask, questions) = mpsc::channel(QUESTIONS_LEN);
        let (running, keys, handles) = Default::default();
        Calls { running, keys, handles, tell, notes, ask, questions }
    }
}

impl Calls {
    /// `can_answer`: somebody is there who fills in what the tool asks back.
    pub fn start(
        &mut self,
        tools: Service,
        who: Arc<Principal>,
        key: TurnKey,
        Called { tool, arguments, can_answer }: Called,
    ) {
        let tell = self.tell.clone();
        // A full queue: see `NOTES_LEN`.
        let progress = Arc::new(move |note| drop(tell.try_send((key, note))));
        let peer = can_answer.then(|| Arc::new(Person { key, ask: self.ask.clone() }) as Arc<dyn Peer>);
        let reach = Reach { progress: Some(progress), peer, ..Reach::default() };
        let call = Call { tool, arguments, who, reach };
        let handle = self.running.spawn(async move {
            let late = || Fault::new(ErrorCode::Timeout, format!("the tool had no answer in {} s", CALL_MAX.as_secs()));
            tokio::time::timeout(CALL_MAX, tools.call(call)).await.unwrap_or_else(|_| Err(late()))
        });
        self.keys.insert(handle.id(), key);
        self.handles.insert(key, handle);
    }

    /// Drops a call, if it runs; no news of it come any more.
    pub fn cancel(&mut self, key: TurnKey) {
        if let Some(handle) = self.handles.remove(&key) {
            self.keys.remove(&handle.id());
            handle.abort();
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CallNews> {
        if let Poll::Ready(Some((key, note))) = self.notes.poll_recv(cx) {
            return Poll::Ready(CallNews::Step(key, note));
        }
        if let Poll::Ready(Some((key, question))) = self.questions.poll_recv(cx) {
            return Poll::Ready(CallNews::Asks(key, question));
        }
        while let Poll::Ready(Some(ended)) = self.running.poll_join_next_with_id(cx) {
            let (id, outcome) = match ended {
                Ok((id, outcome)) => (id, outcome),
                Err(error) => {
                    (error.id(), Err(Fault::new(ErrorCode::Internal, "the tool fell over; the hub's log says how")))
                }
            };
            if let Some(key) = self.keys.remove(&id) {
                self.handles.remove(&key);
                return Poll::Ready(CallNews::Ended(key, outcome));
            }
        }
        Poll::Pending
    }
}
