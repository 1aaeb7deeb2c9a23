//! OpenRouter: Chat Completions with a few words of its own, and many providers behind one key. The language is `openai`'s;
//! here is who asks, and how a picture is made by chat. The connection is `exchange`'s.
//! Source: OpenRouter API reference; docs, "App attribution", "Image generation".

mod paint;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::openai::decode::Decoder;
use super::openai::request::{Flavour, Manner, PATH, body};
use super::{Answer, Provider, Setup, models};
use crate::common::chat::{ChatRequest, ImageRequest};
use crate::common::error::ProviderError;
use crate::net::https::Https;

/// The asking program, as OpenRouter's lists show it.
const TITLE: HeaderValue = HeaderValue::from_static("Hearth");
const TITLE_HEADER: HeaderName = HeaderName::from_static("x-title");

/// OpenRouter wants an address as well: the one under which a hub is found in its house.
const SITE: HeaderValue = HeaderValue::from_static("http://hearth.local");
const SITE_HEADER: HeaderName = HeaderName::from_static("http-referer");

/// In the names of most models that paint.
const PAINTER: &str = "image";

pub struct OpenRouter {
    asking: Arc<Asking>,
    models: Arc<Target>,
    image_model: Option<String>,
}

/// What a request needs, whatever it is for.
struct Asking {
    target: Target,
    client: Https,
}

/// The adapter of a row.
pub fn build(Setup { row, key, client, .. }: Setup<'_>) -> Arc<dyn Provider> {
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    let target = |path, key| Target::new(&row.base_url, path, KeyHeader::Bearer, key);
    let (chat, models) = (target(PATH, key.clone()), target("/models", key));
    let image_model = row.image_model.clone();
    Arc::new(OpenRouter { asking: Arc::new(Asking { target: chat, client }), models: Arc::new(models), image_model })
}

impl Provider for OpenRouter {
    fn ask(&self, mut request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        // A model that does not paint refuses to be asked for pictures.
        request.images &= request.model.contains(PAINTER) || Some(&request.model) == self.image_model.as_ref();
        let asking = Arc::clone(&self.asking);
        async move { asking.ask(&request, None).await }.boxed()
    }

    fn image(&self, request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        paint::paint(Arc::clone(&self.asking), request).boxed()
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        let (target, client) = (Arc::clone(&self.models), self.asking.client.clone());
        async move { models::list(&client, &target, ("data", "id")).await }.boxed()
    }
}

impl Asking {
    async fn ask(&self, request: &ChatRequest, image: Option<&ImageConfig>) -> Result<Answer, ProviderError> {
        let manner = Manner::of(Flavour::OpenRouter, request);
        let write = |manner: &Manner| {
            let body = Body { chat: body(request, manner)?, image_config: image };
            Ok(signed(self.target.post(&body)?))
        };
        let response = exchange::converse(&self.client, &self.target.key, manner, write, Manner::concede).await?;
        Ok(exchange::answer(response, Decoder::new(self.target.key.clone())))
    }
}

#[derive(Serialize)]
struct Body<'a, C> {
    #[serde(flatten)]
    chat: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_config: Option<&'a ImageConfig>,
}

/// What a picture shall be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ImageConfig {
    aspect_ratio: String,
}

fn signed(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let headers = request.headers_mut();
    headers.insert(TITLE_HEADER, TITLE);
    headers.insert(SITE_HEADER, SITE);
    request
}
