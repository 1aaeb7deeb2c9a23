//! Ollama in its own language, which has what its compatible door lacks: thinking by yes or no, and a model that is missing
//! said to be so. `request` and `decode` are pure; the connection is `exchange`'s.

pub mod decode;
pub mod request;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{ACCEPT, HeaderValue};

use self::decode::Decoder;
use self::request::{MODELS_PATH, Manner, PATH, body, root};
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::models;
use super::{Answer, Provider, Setup};
use crate::adapters::llm::schema::Dialect;
use crate::common::chat::ChatRequest;
use crate::common::error::{Failure, ProviderError};
use crate::common::ids;
use crate::net::https::Https;

/// What an id of a call begins with, where Ollama gives none.
const CALL: char = 'o';

pub struct Ollama {
    chat: Arc<Target>,
    models: Arc<Target>,
    client: Https,
}

/// The adapter of a row.
pub fn build(Setup { row, key, client, .. }: Setup<'_>) -> Arc<dyn Provider> {
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let root = root(&row.base_url);
    let target = |path, key| Arc::new(Target::new(root, path, KeyHeader::Bearer, key));
    Arc::new(Ollama { chat: target(PATH, key.clone()), models: target(MODELS_PATH, key), client })
}

impl Provider for Ollama {
    fn dialect(&self) -> Dialect {
        Dialect::Ollama
    }

    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client) = (Arc::clone(&self.chat), self.client.clone());
        async move {
            let write = |manner: &Manner| {
                let mut post = target.post(&body(&request, manner)?)?;
                post.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
                Ok(post)
            };
            let asked = exchange::converse(&client, &target.key, Manner::of(&request), write, Manner::concede).await;
            let response = asked.map_err(|error| with_hint(error, &request.model))?;
            Ok(exchange::answer(response, Decoder::new(target.key.clone(), ids::fresh(CALL))))
        }
        .boxed()
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        let (target, client) = (Arc::clone(&self.models), self.client.clone());
        async move { models::list(&client, &target, ("models", "name")).await }.boxed()
    }
}

/// A model that is not there can be had: `{"error":"model \"x\" not found, try pulling it first"}`.
fn with_hint(error: ProviderError, model: &str) -> ProviderError {
    if error.failure != Failure::Rejected || error.status != Some(404) || !error.message.contains("not found") {
        return error;
    }
    let message =
        format!("the model {model} is not there (HTTP 404). Get it with `ollama pull {model}`, or choose another.");
    ProviderError { message, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_comes_with_the_way_to_get_it() {
        let missing = ProviderError {
            status: Some(404),
            ..ProviderError::new(Failure::Rejected, "model 'qwen3' not found (HTTP 404). Check model and base_url.")
        };
        let hinted = with_hint(missing.clone(), "qwen3");
        assert_eq!(
            hinted.message,
            "the model qwen3 is not there (HTTP 404). Get it with `ollama pull qwen3`, or choose another."
        );
        let other = ProviderError { message: "404 page (HTTP 404)".into(), ..missing };
        assert_eq!(with_hint(other.clone(), "qwen3"), other);
    }
}
