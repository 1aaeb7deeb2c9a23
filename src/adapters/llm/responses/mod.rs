//! The Responses API, streamed: OpenAI's newer interface, which others (llama.cpp, xAI, DeepSeek, vLLM) speak as well.
//! `request`, `input` and `decode` are pure; the connection is `exchange`'s.

pub mod decode;
mod event;
mod input;
mod manner;
pub mod request;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::decode::Decoder;
use self::manner::Manner;
use self::request::{PATH, body};
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::images::Images;
use super::{Answer, Provider, Setup, models};
use crate::common::chat::{ChatRequest, ImageRequest};
use crate::common::error::ProviderError;
use crate::net::https::Https;

/// What this adapter calls itself where an item must come back to it.
pub const ORIGIN: &str = "openai_responses";

/// A server that speaks the Responses API.
pub struct Responses {
    target: Arc<Target>,
    models: Arc<Target>,
    images: Images,
    client: Https,
}

/// The adapter of a row.
pub fn build(setup: Setup<'_>) -> Arc<dyn Provider> {
    let images = Images::of(&setup);
    let Setup { row, key, client, .. } = setup;
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let target = |path, key| Arc::new(Target::new(&row.base_url, path, KeyHeader::Bearer, key));
    Arc::new(Responses { target: target(PATH, key.clone()), models: target("/models", key), images, client })
}

impl Provider for Responses {
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client) = (Arc::clone(&self.target), self.client.clone());
        async move {
            let manner = Manner::of(target.host(), &request);
            input::check(&request, &manner)?;
            let tokens_max = request.sampling.max_tokens.filter(|_| !manner.is_openai);
            let write = |manner: &Manner| target.post(&body(&request, manner));
            let response = exchange::converse(&client, &target.key, manner, write, Manner::concede).await?;
            Ok(exchange::answer(response, Decoder::with_limit(target.key.clone(), tokens_max)))
        }
        .boxed()
    }

    fn image(&self, request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        self.images.paint(request)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        let (target, client) = (Arc::clone(&self.models), self.client.clone());
        async move { models::list(&client, &target, ("data", "id")).await }.boxed()
    }
}
