//! Messages, streamed: Anthropic itself, and every server that speaks like it (llama.cpp's). `request`, `turns`, `manner`,
//! `decode` and `block` are pure; the connection is `exchange`'s.

mod block;
pub mod decode;
mod event;
pub mod manner;
pub mod request;
mod turns;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::decode::Decoder;
use self::manner::Manner;
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::models;
use super::{Answer, Provider, Setup};
use crate::adapters::llm::schema::Dialect;
use crate::common::chat::ChatRequest;
use crate::common::error::ProviderError;
use crate::net::https::Https;

/// Whose items must come back unchanged: [`crate::common::chat::Verbatim::origin`].
pub const ORIGIN: &str = "anthropic";

/// The version of the interface that is spoken here ("Versions"); it goes with every request.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

const MESSAGES_PATH: &str = "/v1/messages";
/// As many as one page may have.
const MODELS_PATH: &str = "/v1/models?limit=1000";

/// A server that speaks Messages.
pub struct Anthropic {
    target: Arc<Target>,
    models: Arc<Target>,
    client: Https,
}

/// The adapter of a row.
pub fn build(Setup { row, key, client, .. }: Setup<'_>) -> Arc<dyn Provider> {
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let base_url = base(&row.base_url);
    let target = |path, key| {
        let target = Target::new(&base_url, path, KeyHeader::Named("x-api-key"), key);
        Arc::new(target.with_header(VERSION.0, VERSION.1))
    };
    Arc::new(Anthropic { target: target(MESSAGES_PATH, key.clone()), models: target(MODELS_PATH, key), client })
}

/// The address without what the paths begin with: people copy it with `/v1` from other providers.
fn base(base_url: &str) -> String {
    let (base, query) = base_url.trim().split_once('?').unwrap_or((base_url.trim(), ""));
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(MESSAGES_PATH).or_else(|| base.strip_suffix("/v1")).unwrap_or(base);
    if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
}

impl Provider for Anthropic {
    fn dialect(&self) -> Dialect {
        Dialect::Anthropic
    }

    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client) = (Arc::clone(&self.target), self.client.clone());
        async move {
            request::can_be_asked(&request)?;
            let manner = Manner::of(&target, &request);
            let write = |manner: &Manner| target.post(&request::body(&request, manner));
            let response = exchange::converse(&client, &target.key, manner, write, Manner::concede).await?;
            Ok(exchange::answer(response, Decoder::new(target.key.clone())))
        }
        .boxed()
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        let (target, client) = (Arc::clone(&self.models), self.client.clone());
        async move { models::list(&client, &target, ("data", "id")).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_from_every_spelling() {
        for base_url in ["https://x.example", " https://x.example/v1", "https://x.example/v1/messages/"] {
            let target = Target::new(&base(base_url), MESSAGES_PATH, KeyHeader::Bearer, KeyPlace::default());
            assert_eq!(target.post(&()).unwrap().uri(), "https://x.example/v1/messages");
            let target = Target::new(&base(base_url), MODELS_PATH, KeyHeader::Bearer, KeyPlace::default());
            assert_eq!(target.get().unwrap().uri(), "https://x.example/v1/models?limit=1000");
        }
        assert_eq!(base("http://127.0.0.1:1/claude/v1?team=2"), "http://127.0.0.1:1/claude?team=2");
    }
}
