//! `/api/v1/claim`: the first owner of a hub that nobody owns. Open to everybody; the code that opens it stands on the hub's
//! own console and log.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{problem, read_json};
use crate::common::secret::Secret;
use crate::gateway::context::{Context, Request};
use crate::gateway::identity;
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};

/// How one gets in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Door {
    /// Whether the hub asks for a token.
    pub required: bool,
    /// Whether nobody owns the hub, so that the code makes an owner.
    pub claimable: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Claim {
    /// Eight letters and digits; case, blanks and the dash do not count.
    pub code: String,
    /// How the owner is called, 1 to 128 bytes; the account's name (`user` of the answer) is made of it: "Grand-mère" is `grand-mere`.
    pub name: String,
    /// 8 to 256 bytes; absent: the token alone opens.
    #[serde(default)]
    pub password: Option<String>,
}

/// Somebody who has come in, and what opens the doors from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Welcome {
    pub user: String,
    pub role: crate::common::who::Role,
    /// `hth_` and 43 characters. Never shown again.
    pub token: String,
    pub token_id: String,
    /// Milliseconds since 1970; absent: it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

impl Welcome {
    pub(super) fn new(user: &crate::store::User, created: &crate::auth::Created) -> Welcome {
        Welcome {
            user: user.name.clone(),
            role: user.role,
            token: created.secret.expose().to_owned(),
            token_id: created.token.id.clone(),
            expires_at_ms: created.token.expires_at_ms,
        }
    }
}

/// `GET /api/v1/claim`: whether there is something to claim. Shows a new code where there is and none is good.
pub async fn get(context: Arc<Context>, _caller: Caller, _request: Request) -> Response {
    match context.gate.is_claimable().await {
        Ok(claimable) => {
            context.gate.announce().await;
            respond::json(StatusCode::OK, &Door { required: context.gate.is_required(), claimable })
        }
        Err(why) => problem(&why.to_body()),
    }
}

/// `POST /api/v1/claim` with `{"code","name","password"?}`.
pub async fn post(context: Arc<Context>, caller: Caller, request: Request) -> Response {
    let Claim { code, name, password } = match read_json(request).await {
        Ok(claim) => claim,
        Err(refused) => return *refused,
    };
    let from = identity::address(&caller);
    match context.gate.claim(from, &code, &name, password.map(Secret::new)).await {
        Ok((user, created)) => respond::json(StatusCode::CREATED, &Welcome::new(&user, &created)),
        Err(why) => identity::challenge(problem(&why.to_body()), &why),
    }
}
