//! Language models: the one trait behind which each answers, and the slice of those that the hub can speak to. Knows no
//! chain, no history and no client.

pub mod anthropic;
mod arguments;
mod blame;
pub mod complaint;
pub mod exchange;
mod framing;
pub mod gemini;
pub mod images;
mod lenient;
pub mod limits;
mod media;
mod mend;
pub mod models;
pub mod ollama;
pub mod openai;
pub mod openrouter;
pub mod responses;
pub mod retry_after;
pub mod schema;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::common::chat::{ChatRequest, Event, ImageRequest};
use crate::common::config::{self, ProviderName};
use crate::common::error::{Failure, ProviderError};
use crate::common::secret::Secret;
use crate::net::https::Https;
use schema::Dialect;

/// A model's answer while it comes. Items are [`Arrival`]s in the order sent; the stream ends (`None`) only after a whole
/// answer: one that is cut off ends in `Err(Failure::CutOff)`. Dropping it closes the connection at once.
pub type Answer = Pin<Box<dyn Stream<Item = Result<Arrival, ProviderError>> + Send>>;

/// An event and when its bytes were read from the socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub received_at: Instant,
    pub event: Event,
}

/// Somebody who answers.
pub trait Provider: Send + Sync {
    /// Asks. The future ends when the provider has accepted (HTTP 200) or refused; dropping it, or the answer, closes the
    /// upstream connection within milliseconds. Deadlines are the caller's. What the provider cannot take, such as a
    /// picture, ends in [`Failure::Unsupported`] before anything is sent.
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>>;

    /// How tools have to be described to it.
    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    /// Paints. As [`Provider::ask`]; the answer's content is [`Event::Image`].
    fn image(&self, request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let why = format!("makes no pictures (model {})", request.model);
        Box::pin(std::future::ready(Err(ProviderError::new(Failure::Unsupported, why))))
    }

    /// The models that can be asked, by the provider's own names: the cheapest request that shows whether address and key
    /// are good.
    fn models(&self) -> BoxFuture<'static, Result<Vec<String>, ProviderError>> {
        Box::pin(std::future::ready(Err(ProviderError::new(Failure::Unsupported, "has no list of models"))))
    }
}

/// What an adapter is made of.
pub struct Setup<'a> {
    pub name: ProviderName,
    pub row: &'a config::Provider,
    pub key: Option<Secret>,
    pub client: Https,
}

/// Makes a provider. A row that cannot work, for want of a key or of an address, says so when it is asked.
type Build = fn(Setup<'_>) -> Arc<dyn Provider>;

/// The rows that have an adapter. A newcomer adds one file and one line.
pub const PROVIDERS: &[(ProviderName, Build)] = &[
    (ProviderName::Openai, openai::build),
    (ProviderName::Anthropic, anthropic::build),
    (ProviderName::Gemini, gemini::build),
    (ProviderName::Openrouter, openrouter::build),
    (ProviderName::Ollama, ollama::build),
    (ProviderName::Local, openai::build),
];

/// The provider of a row; `None` where no adapter speaks its language yet. The assistant needs no row and is built apart.
pub fn build(setup: Setup<'_>) -> Option<Arc<dyn Provider>> {
    let (_, build) = PROVIDERS.iter().find(|(adapter, _)| *adapter == setup.name)?;
    Some(build(setup))
}
