//! `GET /healthz`: the process lives and answers. Says nothing about providers or devices, and costs nothing to ask.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;

use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
}

pub async fn get(context: Arc<Context>, caller: Caller, _request: Request) -> Response {
    let uptime = caller.at.saturating_duration_since(context.started_at);
    respond::json(StatusCode::OK, &Health { status: "ok", version: context.version, uptime_s: uptime.as_secs() })
}
