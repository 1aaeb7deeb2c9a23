//! `/api/v1/login`: a token for a name and its password. Open to everybody; guesses are counted.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::claim::Welcome;
use super::read_json;
use crate::common::secret::Secret;
use crate::gateway::context::{Context, Request};
use crate::gateway::identity;
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Login {
    /// The account's name, or how its user is called; case and accents do not count.
    pub name: String,
    pub password: String,
}

/// `POST /api/v1/login` with `{"name","password"}`.
pub async fn post(context: Arc<Context>, caller: Caller, request: Request) -> Response {
    let Login { name, password } = match read_json(request).await {
        Ok(login) => login,
        Err(refused) => return *refused,
    };
    match context.gate.by_password(identity::address(&caller), &name, Secret::new(password)).await {
        Ok((user, created)) => respond::json(StatusCode::OK, &Welcome::new(&user, &created)),
        Err(why) => identity::challenge(super::problem(&why.to_body()), &why),
    }
}
