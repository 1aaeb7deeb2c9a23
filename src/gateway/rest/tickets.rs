//! `/api/v1/tickets`: a one-use ticket for the handshake of a WebSocket, for pages, which can set no header there.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::TICKET_LIFE;
use crate::gateway::context::{Context, Request, principal};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

#[derive(Debug, Serialize, JsonSchema)]
pub struct Ticket {
    /// Good once, as the subprotocol `hearth.auth.<ticket>` or with the action `auth`.
    pub ticket: String,
    pub expires_in_s: u64,
}

/// `POST /api/v1/tickets`.
pub async fn post(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let ticket = context.gate.issue_ticket(&principal(&request));
    respond::json(StatusCode::CREATED, &Ticket { ticket, expires_in_s: TICKET_LIFE.as_secs() })
}
