//! `GET /ws/chat`: the opening handshake, and who the client is where it says so there; the connection is left to a session
//! of its own.

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::auth::{Gate, Pass, Refused};
use crate::gateway::context::{Context, Request};
use crate::gateway::identity::{self, Shown};
use crate::gateway::listen::Caller;
use crate::gateway::respond::Response;
use crate::gateway::rest;
use crate::gateway::session::wire::{SUBPROTOCOL_AUTH, SUBPROTOCOL_V2};
use crate::gateway::session::{self, handshake};

pub async fn get(context: Arc<Context>, caller: Caller, mut request: Request) -> Response {
    let v2 = handshake::offers_protocol(request.headers(), SUBPROTOCOL_V2);
    let answered = taken_protocol(request.headers(), v2);
    let (mut response, opening) = match handshake::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    // After the handshake is known to be one: a ticket is good once.
    let pass = match identify(&context.gate, request.headers()).await {
        Ok(pass) => pass,
        Err(why) => return identity::challenge(rest::problem(&why.to_body()), &why),
    };
    if let Some(protocol) = answered {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    tokio::spawn(session::begin(context.sessions.clone(), pass, caller.guard, opening, v2));
    response
}

/// Whoever the handshake says; `None`: it says nothing, and the hub asks.
async fn identify(gate: &Gate, headers: &HeaderMap) -> Result<Option<Pass>, Refused> {
    let shown = match (identity::shown(headers), handshake::offered_after(headers, SUBPROTOCOL_AUTH)) {
        (Shown::Nothing, Some(ticket)) => gate.by_ticket(ticket).await,
        (shown, _) => identity::by_shown(gate, shown).await,
    };
    match shown {
        Ok(pass) => Ok(Some(pass)),
        Err(Refused::NoToken) => Ok(None),
        Err(why) => Err(why),
    }
}

/// What is answered to the offered subprotocols: a browser hangs up where it offered some and none is taken.
fn taken_protocol(headers: &HeaderMap, v2: bool) -> Option<HeaderValue> {
    if v2 {
        return Some(HeaderValue::from_static(SUBPROTOCOL_V2));
    }
    let ticket = handshake::offered_after(headers, SUBPROTOCOL_AUTH)?;
    HeaderValue::try_from(format!("{SUBPROTOCOL_AUTH}{ticket}")).ok()
}
