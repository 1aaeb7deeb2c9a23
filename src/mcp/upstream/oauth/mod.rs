//! Signing in to servers that want it (MCP, "Authorization"; OAuth 2.1): finds out who gives tokens for a server, registers the
//! hub there, has a person agree, and keeps what came of it. Knows no MCP message. What it keeps is never printed.

pub mod desk;
mod discovery;
mod fetch;
mod flow;
mod keeper;
mod register;
pub mod url;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::common::secret::Secret;

pub use desk::Desk;
pub use keeper::Keeper;

/// The step that a person does: looks at what is asked for, and agrees.
pub trait Consent: Send + Sync {
    /// Where the browser is sent afterwards. It must be the hub's own.
    fn redirect_uri(&self) -> String;

    /// Has a person open `url`; gives the URL to which the browser was sent afterwards, whole. The error is for the owner.
    fn ask(&self, url: String) -> BoxFuture<'static, Result<String, String>>;
}

/// What the hub is to whoever gives tokens.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Where the hub's own description can be fetched (draft-ietf-oauth-client-id-metadata-document); it is the id then.
    pub metadata_url: Option<String>,
    /// What an owner was given by hand.
    pub registered: Option<Preregistered>,
}

/// A client that an owner has registered by hand.
#[derive(Debug, Clone)]
pub struct Preregistered {
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// Whoever gave it; `None`: whoever the server names.
    pub issuer: Option<String>,
}

/// What is kept for one server. All of it belongs to one issuer, and is worthless to another (SEP-2352).
#[derive(Debug, Clone)]
pub struct Kept {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub method: Method,
    /// Where the browser is sent back to, as it was registered; `None`: an owner registered the hub by hand.
    pub redirect_uri: Option<String>,
    pub token: Option<Secret>,
    pub refresh: Option<Secret>,
    /// What was asked for so far.
    pub scopes: Vec<String>,
}

/// How the hub says at the token endpoint who it is (RFC 6749 §2.3, OpenID Connect Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Basic,
    Post,
    None,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Basic => "client_secret_basic",
            Method::Post => "client_secret_post",
            Method::None => "none",
        }
    }

    pub fn named(name: &str) -> Option<Method> {
        [Method::Basic, Method::Post, Method::None].into_iter().find(|method| method.as_str() == name)
    }
}

/// Keeps what belongs to a server, by the server's URL.
pub trait Vault: Send + Sync {
    fn load(&self, server: &str) -> Option<Kept>;
    /// Done when it is kept for good.
    fn save(&self, server: &str, kept: Option<&Kept>) -> BoxFuture<'static, ()>;
}

/// A vault that forgets everything with the process.
#[derive(Default)]
pub struct Pocket(Mutex<BTreeMap<String, Kept>>);

impl Vault for Pocket {
    fn load(&self, server: &str) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    fn save(&self, server: &str, kept: Option<&Kept>) -> BoxFuture<'static, ()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(kept) => drop(all.insert(server.to_owned(), kept.clone())),
            None => drop(all.remove(server)),
        }
        Box::pin(std::future::ready(()))
    }
}

/// Why there is no token, for the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

fn refused<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

#[cfg(test)]
mod tests;
