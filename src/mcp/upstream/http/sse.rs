//! HTTP with SSE, as servers spoke it before 2025-03-26: one stream for everything that the server says, whose first event
//! names the URL where messages go (MCP 2024-11-05, "HTTP with SSE").

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode, Uri};
use tokio::task::AbortHandle;

use super::{Authority, NOTE_DEADLINE, Place, exchange};
use crate::common::config::McpServer;
use crate::mcp::upstream::client::MESSAGE_BYTES_MAX;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::link::{Letter, Shared, Wire};
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE, Https};
use crate::net::sse::Parser;

/// From the request to the event that names the URL.
const ENDPOINT_DEADLINE: Duration = Duration::from_secs(10);

/// Events in a row that are no messages.
const NONSENSE_MAX: u32 = 100;

struct Sse {
    /// Where messages go.
    place: Arc<Place>,
    reading: AbortHandle,
}

/// Opens the stream, waits for the URL, and gives `shared` its wire.
pub async fn open(
    slug: &str,
    server: &McpServer,
    client: &Https,
    authority: Option<Arc<dyn Authority>>,
    shared: &Arc<Shared>,
) -> Result<(), UpstreamError> {
    let mut place = Place::new(slug, server, client, authority, shared)?;
    let request = place.request(Method::GET, None, None)?;
    let opening = async {
        let answer = place.client.send(request).await.map_err(|error| UpstreamError::Unreachable(error.to_string()))?;
        if answer.status() != StatusCode::OK || !exchange::is_stream(&answer) {
            let status = answer.status();
            let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
            let kind = place.shown(kind);
            let body = https::read_bounded(answer.into_body(), ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
            return Err(match status {
                StatusCode::OK => UpstreamError::Garbage(format!("it answers with {kind}, and not with a stream")),
                status => place.refusal(status, &String::from_utf8_lossy(&body)),
            });
        }
        let mut stream = Stream { body: answer.into_body(), parser: Parser::new(MESSAGE_BYTES_MAX), rest: Vec::new() };
        let endpoint = stream.endpoint().await?;
        Ok((endpoint, stream))
    };
    let opened = tokio::time::timeout(ENDPOINT_DEADLINE, opening).await;
    let (endpoint, stream) = opened.unwrap_or(Err(UpstreamError::Timeout(ENDPOINT_DEADLINE)))?;
    place.uri = joined(&place.uri, &endpoint)?;
    let place = Arc::new(place);
    let reading = tokio::spawn(read(stream, Arc::clone(shared), Arc::clone(&place)));
    shared.attach(Arc::new(Sse { place, reading: reading.abort_handle() }));
    Ok(())
}

/// The URL of an `endpoint` event, which must be at the same place: credentials go there.
fn joined(base: &Uri, endpoint: &str) -> Result<Uri, UpstreamError> {
    let garbage = |why: &str| UpstreamError::Garbage(format!("the URL that it names for messages {why}"));
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("https");
    if endpoint.starts_with("//") {
        return Err(garbage("is at another place"));
    }
    let text = if endpoint.starts_with('/') {
        format!("{scheme}://{authority}{endpoint}")
    } else if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{endpoint}")
    };
    let uri: Uri = text.parse().map_err(|_| garbage("is none"))?;
    if uri.authority() != base.authority() || uri.scheme() != base.scheme() {
        return Err(garbage("is at another place"));
    }
    Ok(uri)
}

struct Stream {
    body: Incoming,
    parser: Parser,
    rest: Vec<u8>,
}

impl Stream {
    async fn endpoint(&mut self) -> Result<String, UpstreamError> {
        let gone = || UpstreamError::Gone("the stream ended before it named the URL for messages".into());
        loop {
            let frame = self.body.frame().await.and_then(Result::ok).ok_or_else(gone)?;
            let Some(piece) = frame.data_ref() else { continue };
            let mut input: &[u8] = piece;
            while let Some(event) = self.parser.next(&mut input).map_err(|e| UpstreamError::Garbage(e.to_string()))? {
                if event.name == b"endpoint" {
                    let endpoint = String::from_utf8_lossy(event.data).trim().to_owned();
                    self.rest = input.to_vec();
                    return Ok(endpoint);
                }
            }
        }
    }

    /// Brings everything on the stream to `hear`, until it ends.
    async fn each(&mut self, mut hear: impl FnMut(&[u8]) -> Result<(), UpstreamError>) -> Result<(), UpstreamError> {
        let mut piece = std::mem::take(&mut self.rest);
        loop {
            let mut input: &[u8] = &piece;
            while let Some(event) = self.parser.next(&mut input).map_err(|e| UpstreamError::Garbage(e.to_string()))? {
                if matches!(event.name, b"" | b"message") {
                    hear(event.data)?;
                }
            }
            match self.body.frame().await {
                Some(Ok(frame)) => piece = frame.into_data().map(Into::into).unwrap_or_default(),
                _ => return Ok(()),
            }
        }
    }
}

async fn read(mut stream: Stream, shared: Arc<Shared>, place: Arc<Place>) {
    let mut nonsense = 0;
    let read = stream.each(|data| {
        let heard = std::str::from_utf8(data).map_err(|_| "it is no UTF-8".to_owned());
        let heard = heard.and_then(|text| shared.hear(text, None).map_err(|nonsense| nonsense.0));
        nonsense = if heard.is_ok() { 0 } else { nonsense + 1 };
        match heard {
            Err(why) if nonsense > NONSENSE_MAX => {
                Err(UpstreamError::Garbage(format!("its stream holds no messages: {}", place.shown(&why))))
            }
            _ => Ok(()),
        }
    });
    let why = read.await.err();
    shared.lost(why.unwrap_or_else(|| UpstreamError::Gone("the server has closed its stream".into())));
}

impl Wire for Sse {
    fn send(&self, letter: Letter) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let place = Arc::clone(&self.place);
        async move {
            // The answer comes on the stream; here it is only taken.
            let sent = tokio::time::timeout(NOTE_DEADLINE, place.note(letter)).await;
            sent.unwrap_or(Err(UpstreamError::Timeout(NOTE_DEADLINE)))
        }
        .boxed()
    }

    fn post(&self, letter: Letter) {
        let sending = self.send(letter);
        tokio::spawn(async move {
            if let Err(error) = sending.await {
                tracing::debug!(%error, "a message to an MCP server was lost");
            }
        });
    }

    fn forget(&self, _: i64) -> bool {
        true
    }

    fn greeted(&self, _: crate::mcp::upstream::client::era::Era, revision: &str) {
        self.place.session.speak(revision);
    }

    fn hang_up(&self) {
        self.reading.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_for_messages_stays_where_the_stream_is() {
        let base: Uri = "http://host:81/a/sse?x=1".parse().unwrap();
        for (endpoint, wanted) in [
            ("/messages?session=1", "http://host:81/messages?session=1"),
            ("messages?s=1", "http://host:81/a/messages?s=1"),
            ("http://host:81/m", "http://host:81/m"),
        ] {
            assert_eq!(joined(&base, endpoint).unwrap(), wanted);
        }
        for evil in ["http://evil/m", "https://host:81/m", "//evil/m", "http://host/m", "http://", "\u{1}"] {
            assert!(joined(&base, evil).is_err(), "{evil}");
        }
    }
}
