//! Chat Completions, streamed: OpenAI itself and every server that speaks like it. This file is the driver: it holds the
//! connection and reads the clock, and decides nothing; `request` and `decode` are pure.

mod chunk;
pub mod decode;
pub mod request;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use hyper::Response;
use hyper::body::{Body, Incoming};

use self::decode::Decoder;
use self::request::{Dialect, Target};
use super::complaint::{self, Complaint, KeyPlace};
use super::{Answer, Arrival, Provider};
use crate::common::chat::{ChatRequest, Event};
use crate::common::config;
use crate::common::error::{Failure, ProviderError};
use crate::common::secret::Secret;
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE, Https, SendError, Why};

/// A server that speaks Chat Completions.
pub struct OpenAi {
    target: Arc<Target>,
    client: Https,
}

/// The adapter of a row. A row that cannot work, for want of a key or of an address, says so when it is asked.
pub fn build(row: &config::Provider, key: Option<Secret>, client: Https) -> Arc<dyn Provider> {
    let key = KeyPlace { key, env: row.api_key_env.clone() };
    Arc::new(OpenAi { target: Arc::new(Target::new(&row.base_url, key)), client })
}

impl Provider for OpenAi {
    fn ask(&self, request: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (target, client) = (Arc::clone(&self.target), self.client.clone());
        async move {
            let response = converse(&target, &client, &request).await?;
            Ok(Box::pin(Reading::new(response.into_body(), target.key.clone())) as Answer)
        }
        .boxed()
    }
}

/// Sends the request; once more where the server refuses no more than a parameter that the answer can do without.
async fn converse(target: &Target, client: &Https, request: &ChatRequest) -> Result<Response<Incoming>, ProviderError> {
    let mut dialect = Dialect::of(target, request);
    loop {
        let http_request = target.request(request, &dialect)?;
        let response = client.send(http_request).await.map_err(|error| no_answer(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body: Bytes = https::read_bounded(body, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
        let conceded = head.status == 400 && Complaint::read(&body).param.is_some_and(|param| dialect.concede(&param));
        if !conceded {
            return Err(complaint::refused(head.status, &head.headers, &body, &target.key));
        }
    }
}

fn no_answer(error: &SendError) -> ProviderError {
    let (failure, hint) = match error.why {
        Why::Refused => (Failure::Unreachable, ". Is the server running?"),
        Why::NameUnknown => (Failure::Unreachable, ". Check base_url and the internet connection."),
        Why::ConnectTimeout(_) | Why::NoConnection(_) => (Failure::Unreachable, ". Check base_url and the network."),
        Why::Tls(_) => (Failure::Unreachable, ". Check base_url (http or https?) and the clock of this machine."),
        Why::BrokeOff(_) => (Failure::CutOff, ""),
    };
    ProviderError::new(failure, format!("{error}{hint}"))
}

/// An answer on its way. Dropping it drops the body, which closes the connection.
struct Reading {
    /// `None` when there is nothing more to read.
    body: Option<Incoming>,
    decoder: Decoder,
    events: VecDeque<Event>,
    received_at: Instant,
    /// Comes after the events that came before it.
    error: Option<ProviderError>,
}

impl Reading {
    fn new(body: Incoming, key: KeyPlace) -> Reading {
        let (decoder, events) = (Decoder::new(key), VecDeque::new());
        Reading { body: Some(body), decoder, events, received_at: now(), error: None }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.received_at = now();
        if let Err(error) = self.decoder.push(bytes, &mut self.events) {
            self.body = None;
            self.error = Some(error);
        } else if self.decoder.is_done()
            && let Some(body) = self.body.take()
        {
            https::drain(body);
        }
    }

    /// The body has ended, well or with an error of the connection.
    fn end(&mut self, broke: Option<hyper::Error>) {
        self.received_at = now();
        self.body = None;
        self.error = self.decoder.finish(&mut self.events).err().map(|error| match broke {
            Some(broke) => {
                ProviderError::new(Failure::CutOff, format!("the connection broke within the answer: {broke}"))
            }
            None => error,
        });
    }
}

impl Stream for Reading {
    type Item = Result<Arrival, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(Ok(Arrival { received_at: self.received_at, event })));
            }
            if let Some(error) = self.error.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.take(bytes);
                    }
                }
                Some(Err(broke)) => self.end(Some(broke)),
                None => self.end(None),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the driver: when bytes were read is what it is there to say")]
fn now() -> Instant {
    Instant::now()
}
