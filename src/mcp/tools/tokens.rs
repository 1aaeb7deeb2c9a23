//! `tokens.*`: what programs show instead of a password. An owner sees and makes everybody's; everybody else their own. A
//! token's secret is given once, when it is made.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::typed::{About, Deleted, not_read};
use super::users::{Door, Page, fault, in_person};
use super::{Tool, tool};
use crate::auth::{Created, Gate};
use crate::common::error::ErrorCode;
use crate::common::time::UnixMillis;
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::{Store, Token};

/// All tools of this family.
pub fn tools(gate: &Gate, store: &Store) -> Vec<Arc<dyn Tool>> {
    let door = &Arc::new(Door { gate: gate.clone(), store: store.clone() });
    let list = About {
        name: "tokens.list",
        title: "List tokens",
        description: "The tokens that open this hub, with when each was last seen. Whoever is no owner sees their own.",
        annotations: Annotations::READS,
        access: Role::Member,
    };
    let create = About {
        name: "tokens.create",
        title: "Make a token",
        description: "Makes a token for a program or a panel, and shows it this once. Whoever is no owner makes their own.",
        annotations: Annotations::ADDS,
        ..list
    };
    let revoke = About {
        name: "tokens.revoke",
        title: "Revoke a token",
        description: "Takes a token away: whoever is connected with it is out at once.",
        annotations: Annotations::DESTROYS,
        ..list
    };
    vec![tool(door, list, all), tool(door, create, make), tool(door, revoke, take)]
}

/// A token as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    /// `t-` and 32 hexadecimal digits; opens nothing.
    id: String,
    user: String,
    /// What it is for.
    name: String,
    /// Milliseconds since 1970.
    created_at_ms: UnixMillis,
    /// Absent: it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<UnixMillis>,
    /// To the minute; absent: never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_ms: Option<UnixMillis>,
    /// Whether it is the one that this call was made with.
    current: bool,
    revision: u64,
}

impl Shown {
    fn new(token: Token, current: Option<&str>) -> Shown {
        Shown {
            current: current == Some(&*token.id),
            id: token.id,
            user: token.user,
            name: token.name,
            created_at_ms: token.created_at_ms,
            expires_at_ms: token.expires_at_ms,
            last_seen_ms: token.last_seen_ms,
            revision: token.revision,
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ToList {
    /// Only this user's.
    user: Option<String>,
    /// At most so many; absent: 200.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    tokens: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ToCreate {
    /// What it is for, such as `kitchen panel`: 1 to 128 bytes.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// Whose it is; absent: one's own.
    #[serde(default)]
    user: Option<String>,
    /// Milliseconds since 1970; absent: it does not end by itself.
    #[serde(default)]
    expires_at_ms: Option<UnixMillis>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Made {
    #[serde(flatten)]
    shown: Shown,
    /// `hth_` and 43 characters. Never shown again.
    token: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ToRevoke {
    /// Of `tokens.list`, not the token itself.
    id: String,
    /// Only if the record has this revision.
    #[serde(default)]
    if_revision: Option<u64>,
}

async fn all(door: Arc<Door>, wanted: ToList, who: Arc<Principal>) -> Result<Listed, Fault> {
    let ToList { user, limit, cursor } = wanted;
    let mut tokens = door.store.list::<Token>().await.map_err(not_read)?;
    tokens.retain(|token| who.may_see(&token.user) && user.as_ref().is_none_or(|user| *user == token.user));
    let (tokens, next_cursor) = Page { limit, cursor }.of(tokens, |token| &token.id);
    let current = who.token.as_deref();
    Ok(Listed { tokens: tokens.into_iter().map(|token| Shown::new(token, current)).collect(), next_cursor })
}

async fn make(door: Arc<Door>, wanted: ToCreate, who: Arc<Principal>) -> Result<Made, Fault> {
    in_person(&who)?;
    let ToCreate { name, user, expires_at_ms } = wanted;
    let user = user.unwrap_or_else(|| who.user.to_string());
    if !who.may_see(&user) {
        return Err(Fault::new(ErrorCode::Forbidden, "tokens of others are an owner's to make"));
    }
    let Created { token, secret } = door.gate.create_token(&user, &name, expires_at_ms).await.map_err(fault)?;
    tracing::info!(user, token = token.id, by = &*who.user, "a token was made");
    Ok(Made { shown: Shown::new(token, None), token: secret.expose().to_owned() })
}

async fn take(door: Arc<Door>, ToRevoke { id, if_revision }: ToRevoke, who: Arc<Principal>) -> Result<Deleted, Fault> {
    in_person(&who)?;
    let missing = || Fault::new(ErrorCode::NotFound, "there is no token of this id (that you may see)");
    let found = door.store.get::<Token>(&id).await.map_err(not_read)?;
    let token = found.filter(|token| who.may_see(&token.user)).ok_or_else(missing)?;
    if !door.gate.revoke_token(&id, if_revision).await.map_err(fault)? {
        return Err(missing());
    }
    tracing::info!(user = token.user, token = id, by = &*who.user, "a token was revoked");
    Ok(Deleted { deleted: true })
}
