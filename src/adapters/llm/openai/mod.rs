//! Chat Completions, streamed: OpenAI itself and every server that speaks like it. `request` and `decode` are pure; the
//! connection is `exchange`'s.

pub mod chunk;
pub mod decode;
mod keepsake;
pub mod manner;
mod message;
pub mod request;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::decode::Decoder;
use self::request::{Flavour, Manner, PATH, body};
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::images::Images;
use super::{Answer, Provider, Setup, models, responses};
use crate::adapters::llm::schema::Dialect;
use crate::common::chat::{ChatRequest, ImageRequest};
use crate::common::config::Api;
use crate::common::error::ProviderError;
use crate::net::https::Https;

/// A server that speaks Chat Completions.
pub struct OpenAi {
    target: Arc<Target>,
    models: Arc<Target>,
    images: Images,
    flavour: Flavour,
    client: Https,
}

/// The adapter of a row, in the interface that it names.
pub fn build(setup: Setup<'_>) -> Arc<dyn Provider> {
    if setup.row.api == Some(Api::Responses) {
        return responses::build(setup);
    }
    let images = Images::of(&setup);
    let Setup { name, row, key, client } = setup;
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let target = |path, key| Arc::new(Target::new(&row.base_url, path, KeyHeader::Bearer, key));
    let (chat, models) = (target(PATH, key.clone()), target("/models", key));
    let flavour = Flavour::of(name, &chat);
    Arc::new(OpenAi { target: chat, models, images, flavour, client })
}

impl Provider for OpenAi {
    fn dialect(&self) -> Dialect {
        match self.flavour {
            Flavour::Local => Dialect::LlamaCpp,
            Flavour::OpenAi | Flavour::OpenRouter | Flavour::Other => Dialect::OpenAi,
        }
    }

    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client, flavour) = (Arc::clone(&self.target), self.client.clone(), self.flavour);
        async move {
            let manner = Manner::of(flavour, &request);
            let write = |manner: &Manner| target.post(&body(&request, manner)?);
            let response = exchange::converse(&client, &target.key, manner, write, Manner::concede).await?;
            Ok(exchange::answer(response, Decoder::new(target.key.clone())))
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
