//! `GET /ws/chat`: the opening handshake; the connection is left to a session of its own.

use std::sync::Arc;

use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::Response;
use crate::gateway::session::wire::SUBPROTOCOL_V2;
use crate::gateway::session::{self, handshake};

pub async fn get(context: Arc<Context>, caller: Caller, mut request: Request) -> Response {
    let v2 = handshake::offers_protocol(&request, SUBPROTOCOL_V2);
    let (mut response, opening) = match handshake::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    if v2 {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL_V2));
    }
    tokio::spawn(session::begin(context.sessions.clone(), caller.guard, opening, v2));
    response
}
