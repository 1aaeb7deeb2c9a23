//! `GET /api/protocol.json`: the JSON Schemas of the WebSocket protocol, made from the types that read and write it.

use std::sync::{Arc, LazyLock};

use crate::gateway::context::{Context, Request};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{Response, Static};
use crate::gateway::session::wire;

static SCHEMAS: LazyLock<Static> = LazyLock::new(|| {
    let text = serde_json::to_vec_pretty(&wire::schemas()).expect("a JSON value is always JSON");
    Static::new("application/json", text)
});

pub async fn get(_context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    SCHEMAS.answer(request.headers())
}
