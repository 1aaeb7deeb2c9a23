//! `tokens.*`: what programs show instead of a password. An owner sees and makes everybody's; everybody else their own. A
//! token's secret is given once, when it is made.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::users::{Deleted, Page, arguments, done, fault, in_person};
use crate::auth::{Created, Gate};
use crate::common::error::ErrorCode;
use crate::common::time::UnixMillis;
use crate::common::who::Role;
use crate::mcp::call::{Call, Fault, Outcome};
use crate::mcp::definition::{Annotations, Definition};
use crate::mcp::tools::Tool;
use crate::store::{Store, Token};

/// All tools of this family.
pub fn tools(gate: &Gate, store: &Store) -> Vec<Arc<dyn Tool>> {
    let door = || Door { gate: gate.clone(), store: store.clone() };
    vec![Arc::new(List(door(), list())), Arc::new(Create(door(), create())), Arc::new(Revoke(door(), revoke()))]
}

#[derive(Clone)]
struct Door {
    gate: Gate,
    store: Store,
}

struct List(Door, Arc<Definition>);
struct Create(Door, Arc<Definition>);
struct Revoke(Door, Arc<Definition>);

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

fn list() -> Arc<Definition> {
    Arc::new(Definition::native::<ToList, Listed>(
        "tokens.list",
        "List tokens",
        "The tokens that open this hub, with when each was last seen. Whoever is no owner sees their own.",
        Annotations::READS,
        Role::Member,
    ))
}

fn create() -> Arc<Definition> {
    Arc::new(Definition::native::<ToCreate, Made>(
        "tokens.create",
        "Make a token",
        "Makes a token for a program or a panel, and shows it this once. Whoever is no owner makes their own.",
        Annotations::ADDS,
        Role::Member,
    ))
}

fn revoke() -> Arc<Definition> {
    Arc::new(Definition::native::<ToRevoke, Deleted>(
        "tokens.revoke",
        "Revoke a token",
        "Takes a token away: whoever is connected with it is out at once.",
        Annotations::DESTROYS,
        Role::Member,
    ))
}

impl Tool for List {
    fn definition(&self) -> Arc<Definition> {
        self.1.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let door = self.0.clone();
        Box::pin(async move {
            let ToList { user, limit, cursor } = arguments(&call)?;
            let mut tokens = door.store.list::<Token>().await.map_err(|error| fault(&error.into()))?;
            tokens
                .retain(|token| call.who.may_see(&token.user) && user.as_ref().is_none_or(|user| *user == token.user));
            let (tokens, next_cursor) = Page { limit, cursor }.of(tokens, |token| &token.id);
            let current = call.who.token.as_deref();
            done(&Listed { tokens: tokens.into_iter().map(|token| Shown::new(token, current)).collect(), next_cursor })
        })
    }
}

impl Tool for Create {
    fn definition(&self) -> Arc<Definition> {
        self.1.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let door = self.0.clone();
        Box::pin(async move {
            in_person(&call)?;
            let ToCreate { name, user, expires_at_ms } = arguments(&call)?;
            let user = user.unwrap_or_else(|| call.who.user.to_string());
            if !call.who.may_see(&user) {
                return Err(Fault::new(ErrorCode::Forbidden, "tokens of others are an owner's to make"));
            }
            let made = door.gate.create_token(&user, &name, expires_at_ms).await.map_err(|why| fault(&why))?;
            let Created { token, secret } = made;
            tracing::info!(user, token = token.id, by = &*call.who.user, "a token was made");
            done(&Made { shown: Shown::new(token, None), token: secret.expose().to_owned() })
        })
    }
}

impl Tool for Revoke {
    fn definition(&self) -> Arc<Definition> {
        self.1.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let door = self.0.clone();
        Box::pin(async move {
            in_person(&call)?;
            let ToRevoke { id, if_revision } = arguments(&call)?;
            let missing = || Fault::new(ErrorCode::NotFound, "there is no token of this id (that you may see)");
            let found = door.store.get::<Token>(&id).await.map_err(|error| fault(&error.into()))?;
            let token = found.filter(|token| call.who.may_see(&token.user)).ok_or_else(missing)?;
            if !door.gate.revoke_token(&id, if_revision).await.map_err(|why| fault(&why))? {
                return Err(missing());
            }
            tracing::info!(user = token.user, token = id, by = &*call.who.user, "a token was revoked");
            done(&Deleted { deleted: true })
        })
    }
}
