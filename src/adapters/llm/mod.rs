//! Language models: the one trait behind which each answers, and the slice of those that the hub can speak to. Knows no
//! chain, no history and no client.

pub mod complaint;
pub mod openai;
pub mod retry_after;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::common::chat::{ChatRequest, Event};
use crate::common::config::{self, ProviderName};
use crate::common::error::ProviderError;
use crate::common::secret::Secret;
use crate::net::https::Https;

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
    /// upstream connection within milliseconds. Deadlines are the caller's.
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>>;
}

/// Makes a provider from its row of the config, its key and the client.
type Build = fn(&config::Provider, Option<Secret>, Https) -> Arc<dyn Provider>;

/// The rows that have an adapter. A newcomer adds one file and one line.
pub const PROVIDERS: &[(ProviderName, Build)] =
    &[(ProviderName::Openai, openai::build), (ProviderName::Local, openai::build)];

/// The provider of a row; `None` where no adapter speaks its language yet. The assistant needs no row and is built apart.
pub fn build(
    name: ProviderName,
    row: &config::Provider,
    key: Option<Secret>,
    client: Https,
) -> Option<Arc<dyn Provider>> {
    let (_, build) = PROVIDERS.iter().find(|(adapter, _)| *adapter == name)?;
    Some(build(row, key, client))
}
