//! Google's Gemini API: `models/{model}:streamGenerateContent`. `model`, `contents`, `schema`, `request` and `decode` are pure;
//! the connection is `exchange`'s.

mod chunk;
mod contents;
pub mod decode;
mod image;
mod model;
mod request;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::decode::Decoder;
use self::request::{ImageConfig, Manner, body};
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::models;
use super::{Answer, Provider, Setup};
use crate::adapters::llm::schema::Dialect;
use crate::common::chat::{ChatRequest, ImageRequest};
use crate::common::error::ProviderError;
use crate::net::https::Https;

/// As the adapter calls itself where it made something that must come back.
const ORIGIN: &str = "gemini";

/// The version of the API that is asked where the row names none. What is new, such as thoughts and JSON Schema, is here first.
const VERSION: &str = "/v1beta";

/// As many models as Google puts on one page.
const MODELS_PATH: &str = "/models?pageSize=1000";

/// A server that speaks Gemini's own language.
#[derive(Clone)]
pub struct Gemini {
    base_url: Arc<str>,
    key: KeyPlace,
    client: Https,
}

/// The adapter of a row.
pub fn build(Setup { row, key, client, .. }: Setup<'_>) -> Arc<dyn Provider> {
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    Arc::new(Gemini { base_url: row.base_url.as_str().into(), key, client })
}

impl Gemini {
    /// `path` begins with a slash and comes after the version.
    fn target(&self, path: &str) -> Target {
        let version = if names_version(&self.base_url) { "" } else { VERSION };
        let header = KeyHeader::Named("x-goog-api-key");
        Target::new(&self.base_url, &format!("{version}{path}"), header, self.key.clone())
    }

    /// Asks a model in the manner that it is thought to want, and then in the one that it accepts.
    async fn stream(self, request: ChatRequest, manner: Manner, picture: ImageConfig) -> Result<Answer, ProviderError> {
        let target = self.target(&model::path(&request.model, "streamGenerateContent?alt=sse")?);
        let write = |manner: &Manner| target.post(&body(&request, manner, picture));
        let response = exchange::converse(&self.client, &target.key, manner, write, Manner::concede).await?;
        Ok(exchange::answer(response, Decoder::new(target.key)))
    }
}

impl Provider for Gemini {
    fn dialect(&self) -> Dialect {
        Dialect::Gemini
    }

    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let manner = Manner::of(&request);
        self.clone().stream(request, manner, ImageConfig::default()).boxed()
    }

    fn image(&self, request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        image::paint(self.clone(), request).boxed()
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        let (target, client) = (self.target(MODELS_PATH), self.client.clone());
        async move {
            let names = models::list(&client, &target, ("models", "name")).await?;
            let bare = |name: String| name.strip_prefix("models/").map_or(name.clone(), ToOwned::to_owned);
            Ok(names.into_iter().map(bare).collect())
        }
        .boxed()
    }
}

/// Whether an address says which version of the API it means: `…/v1beta`, `…/v1/publishers/google`.
fn names_version(base_url: &str) -> bool {
    let address = base_url.split(['?', '#']).next().expect("a split has a first piece");
    let (_, place) = address.split_once("://").unwrap_or(("", address));
    let is_version = |segment: &str| segment.starts_with('v') && segment[1..].starts_with(|c: char| c.is_ascii_digit());
    place.split('/').skip(1).any(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_added_where_the_address_has_none() {
        let at = |base_url: &str| {
            let gemini = Gemini { base_url: base_url.into(), key: KeyPlace::default(), client: Https::new() };
            let path = model::path("gemini-2.5-flash", "streamGenerateContent?alt=sse").unwrap();
            gemini.target(&path).post(&()).unwrap().uri().to_string()
        };
        const GOOGLE: &str = "https://generativelanguage.googleapis.com";
        let want = format!("{GOOGLE}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        for tail in ["", "/", "/v1beta", "/v1beta/"] {
            assert_eq!(at(&format!("{GOOGLE}{tail}")), want, "{tail}");
        }
        assert!(at("http://127.0.0.1:8080/v1").starts_with("http://127.0.0.1:8080/v1/models/"));
        let vertex = at("https://aiplatform.googleapis.com/v1/publishers/google");
        assert!(vertex.starts_with("https://aiplatform.googleapis.com/v1/publishers/google/models/gemini"), "{vertex}");
        assert!(at("http://v2:8080/gemini").starts_with("http://v2:8080/gemini/v1beta/models/"));
        assert!(
            at("https://x.example?a=/v1")
                .ends_with("/v1beta/models/gemini-2.5-flash:streamGenerateContent?a=/v1&alt=sse")
        );
    }
}
