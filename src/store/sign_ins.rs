//! What the hub was given to sign in to MCP servers with: tokens, and what it is to those who give them. The one family whose
//! records hold secrets as they are; they are for the server alone, so no tool, topic or export shows one. Knows no OAuth.

use serde::{Deserialize, Serialize};

use super::WriteError;
use super::feed::Kind;
use super::records::{Record, Table, keyed_by};
use super::servers::SERVERS_MAX;
use super::tables::{MCP_SIGN_INS, encode};
use crate::common::config::is_server_name;
use crate::common::secret::Secret;
use crate::common::time::UnixMillis;

/// One of them as JSON, bytes: tokens that are signed documents have some kB.
const SIGN_IN_BYTES_MAX: usize = 64 * 1024;

/// What is kept for one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    pub slug: String,
    /// The address for which it holds: another one of the same name gets nothing of it.
    pub server: String,
    /// Whoever gave all of this, and to whom alone it is shown again.
    pub issuer: String,
    pub client_id: String,
    #[serde(default, with = "exposed", skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// How the hub says at the token endpoint who it is: `none`, `client_secret_basic` or `client_secret_post`.
    pub method: String,
    /// Where the browser was sent back to, as it was registered; absent: registered by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    #[serde(default, with = "exposed", skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    #[serde(default, with = "exposed", skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Secret>,
    /// What was asked for so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// When the token was given.
    #[serde(default)]
    pub given_at_ms: UnixMillis,
    #[serde(default)]
    pub revision: u64,
}

/// Secrets as they lie in the file, which only the hub's own user can read.
mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::common::secret::Secret;

    pub fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_str(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

impl Record for SignIn {
    const KIND: Kind = Kind::SignIn;
    const TABLE: Table = MCP_SIGN_INS;
    const WHAT: &'static str = "sign-in";
    const MAX: u64 = SERVERS_MAX;

    keyed_by!(slug);

    fn check(&self) -> Result<(), WriteError> {
        if !is_server_name(&self.slug) {
            return Err(WriteError::Invalid("slug: this is no server's name".into()));
        }
        match encode(self).len() {
            size if size > SIGN_IN_BYTES_MAX => {
                Err(WriteError::TooLarge { what: "sign-in", size, max: SIGN_IN_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_sign_in_is_kept_whole_and_never_printed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hearth.redb");
        let kept = SignIn {
            slug: "docs".into(),
            server: "https://docs.example/mcp".into(),
            issuer: "https://id.example".into(),
            client_id: "hub".into(),
            client_secret: Some(Secret::new("s3cret")),
            method: "client_secret_basic".into(),
            redirect_uri: None,
            token: Some(Secret::new("t0ken")),
            refresh: None,
            scopes: vec!["read".into()],
            given_at_ms: 7,
            revision: 0,
        };
        let store = Store::open(&path).expect("a store");
        let written = store.put(kept.clone(), Some(0)).await.expect("room");
        assert!(store.close().await);
        let store = Store::open(&path).expect("the same");
        let read = store.get::<SignIn>("docs").await.expect("readable").expect("there");
        assert_eq!(read, SignIn { revision: written.revision, ..kept });
        let printed = format!("{read:?}");
        assert!(!printed.contains("s3cret") && !printed.contains("t0ken"), "{printed}");
        let long = SignIn { token: Some(Secret::new("x".repeat(SIGN_IN_BYTES_MAX))), ..read };
        assert!(matches!(store.put(long, None).await, Err(WriteError::TooLarge { .. })));
        assert!(store.close().await);
    }
}
