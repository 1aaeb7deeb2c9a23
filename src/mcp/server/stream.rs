//! What goes out to one reader, message by message, and what its going away means: a session keeps the rest, a request of
//! 2026-07-28 is given up. Writes no bytes: whoever carries it does.

use std::sync::Arc;

use crate::mcp::rpc::{self, Id, METHOD_NOT_FOUND, RpcError};
use crate::mcp::server::Server;
use crate::mcp::server::flight::Flight;
use crate::mcp::server::listen::Listening;
use crate::mcp::server::outlet::{Next, Outlet, Said};
use crate::mcp::server::session::{EventId, Session};
use crate::mcp::server::shape;
use crate::mcp::server::version::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION};

/// How long a client waits before it comes again, milliseconds (SSE `retry`).
pub const RETRY_MS: u64 = 500;

/// One message for the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// With what the rest can be asked for (`Last-Event-ID`), where it can.
    pub id: Option<String>,
    /// JSON-RPC; empty: the event is there for its id alone.
    pub text: Arc<str>,
    pub retry_ms: Option<u64>,
    pub is_last: bool,
    /// Of HTTP, where the message is the whole answer.
    pub status: u16,
}

/// See the module.
pub struct Stream {
    outlet: Arc<Outlet>,
    reader: u64,
    taken: u64,
    is_over: bool,
    /// The answer went out in one piece, so nobody will ask for it again.
    is_settled: bool,
    of: Of,
}

/// To whom it belongs.
enum Of {
    Session {
        server: Arc<Server>,
        session: Arc<Session>,
        stream: u64,
    },
    Flight {
        server: Arc<Server>,
        flight: Arc<Flight>,
        id: Id,
        owner: Owner,
    },
    /// Held to be dropped.
    Listening(#[expect(dead_code, reason = "it is watched for as long as this is kept")] Listening),
}

/// Who comes back to a flight, and with what.
#[derive(Clone)]
pub struct Owner {
    pub user: Box<str>,
    pub request: String,
}

impl Stream {
    pub fn of_session(
        server: Arc<Server>,
        session: Arc<Session>,
        stream: u64,
        outlet: Arc<Outlet>,
        taken: u64,
    ) -> Stream {
        let reader = outlet.change(|log| log.attach());
        Stream { outlet, reader, taken, is_over: false, is_settled: false, of: Of::Session { server, session, stream } }
    }

    pub fn of_flight(server: Arc<Server>, flight: Arc<Flight>, id: Id, owner: Owner) -> Stream {
        let outlet = flight.outlet.clone();
        let (reader, taken) = outlet.change(|log| (log.attach(), log.taken()));
        Stream {
            outlet,
            reader,
            taken,
            is_over: false,
            is_settled: false,
            of: Of::Flight { server, flight, id, owner },
        }
    }

    pub fn of_listening(listening: Listening) -> Stream {
        let outlet = listening.outlet.clone();
        let reader = outlet.change(|log| log.attach());
        Stream { outlet, reader, taken: 0, is_over: false, is_settled: false, of: Of::Listening(listening) }
    }

    /// The event that a client of a session can come again with before anything has been said (SEP-1699).
    pub fn priming(&self) -> Option<Event> {
        let id = Some(self.event_id(self.taken)?);
        Some(Event { id, text: Arc::default(), retry_ms: Some(RETRY_MS), is_last: false, status: 200 })
    }

    /// The next one; `None`: it was the last, or the client is to come again.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let (reader, taken) = (self.reader, self.taken);
        let flight = match &self.of {
            Of::Flight { flight, .. } => Some(flight.clone()),
            Of::Session { .. } | Of::Listening(_) => None,
        };
        enum Found {
            Said(Next),
            Asked,
        }
        let found = self
            .outlet
            .wait(|log| match log.next(reader, taken) {
                Next::Nothing => flight.as_ref()?.requests().map(|_| Found::Asked),
                next => Some(Found::Said(next)),
            })
            .await;
        match found {
            Found::Said(Next::Item { seq, said, is_last }) => {
                self.taken = seq;
                self.outlet.log().took(seq);
                self.is_over = is_last;
                Some(self.event(seq, said, is_last))
            }
            Found::Said(Next::Nothing | Next::Over) => {
                self.is_over = true;
                None
            }
            Found::Asked => {
                self.is_over = true;
                Some(self.park())
            }
        }
    }

    /// Begins anew with the first message.
    pub(super) fn rewind(&mut self) {
        (self.taken, self.is_over) = (0, false);
    }

    /// Nobody will ask for any of it again.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    fn event_id(&self, seq: u64) -> Option<String> {
        match &self.of {
            Of::Session { stream, .. } => Some(EventId { stream: *stream, seq }.to_string()),
            Of::Flight { .. } | Of::Listening(_) => None,
        }
    }

    fn event(&self, seq: u64, said: Said, is_last: bool) -> Event {
        // A flight is answered under the id of the request that is waiting now.
        let id_of = |id: Id| match &self.of {
            Of::Flight { id: now, .. } => now.clone(),
            Of::Session { .. } | Of::Listening(_) => id,
        };
        let (text, status) = match said {
            Said::Message(text) => (text, 200),
            Said::Result(id, result) => (shape::envelope(&id_of(id), &result).into(), 200),
            Said::Error(id, error) => {
                let status = if matches!(self.of, Of::Session { .. }) { 200 } else { status_of(&error) };
                (rpc::error(Some(&id_of(id)), &error).into(), status)
            }
        };
        Event { id: self.event_id(seq), text, retry_ms: None, is_last, status }
    }

    /// The tool asks something: that is the answer, and the tool waits.
    fn park(&mut self) -> Event {
        let Of::Flight { server, flight, id, owner } = &self.of else { unreachable!("only a flight is asked") };
        let (text, status) = match server.park(flight, owner) {
            Ok(result) => (shape::envelope(id, &result), 200),
            Err(error) => {
                flight.abort();
                (rpc::error(Some(id), &error), 200)
            }
        };
        Event { id: None, text: text.into(), retry_ms: None, is_last: true, status }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        match &self.of {
            Of::Session { server, session, stream } => {
                // One that has been superseded says nothing about the other.
                if self.outlet.log().is_reader(self.reader) {
                    session.detach(*stream, self.is_settled, server.now());
                }
            }
            Of::Flight { flight, .. } if !self.is_over => flight.abort(),
            Of::Flight { .. } | Of::Listening(_) => {}
        }
    }
}

/// 2026-07-28, Streamable HTTP: which errors are told by the status as well.
pub fn status_of(error: &RpcError) -> u16 {
    match error.code {
        HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION => 400,
        METHOD_NOT_FOUND => 404,
        _ => 200,
    }
}
