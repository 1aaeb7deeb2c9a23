//! The Images API: a picture out of words, with previews where the model streams. `request`, `decode` and `picture` are
//! pure; the connection is `exchange`'s.

pub mod decode;
pub mod picture;
pub mod request;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::decode::Decoder;
use self::request::{Manner, PATH, body};
use super::complaint::KeyPlace;
use super::exchange::{self, KeyHeader, Target};
use super::{Answer, Setup};
use crate::common::chat::ImageRequest;
use crate::common::error::{Failure, ProviderError};
use crate::net::https::Https;

/// The painting side of a server whose other side is an adapter of its own.
pub struct Images {
    target: Arc<Target>,
    client: Https,
    /// The row's; `None`: this one does not paint.
    model: Option<String>,
}

impl Images {
    /// Of a row.
    pub fn of(setup: &Setup<'_>) -> Images {
        let row = setup.row;
        let key = KeyPlace { key: setup.key.clone(), env: row.api_key_env.clone() };
        let target = Arc::new(Target::new(&row.base_url, PATH, KeyHeader::Bearer, key));
        Images { target, client: setup.client.clone(), model: row.image_model.clone() }
    }

    /// See [`super::Provider::image`]. A request that names no model means the row's.
    pub fn paint(&self, mut request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client, model) = (Arc::clone(&self.target), self.client.clone(), self.model.clone());
        async move {
            match model {
                Some(model) if request.model.is_empty() => request.model = model,
                None if request.model.is_empty() => {
                    let why = "makes no pictures: name a model that does in image_model";
                    return Err(ProviderError::new(Failure::Unsupported, why));
                }
                _ => {}
            }
            let manner = Manner::of(&request)?;
            let write = |manner: &Manner| target.post(&body(&request, manner));
            let response = exchange::converse(&client, &target.key, manner, write, Manner::concede).await?;
            Ok(exchange::answer(response, Decoder::new(target.key.clone(), request.n)))
        }
        .boxed()
    }
}
