//! What an answer holds: a message, or a stream of them. Bounded in every direction.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Place;
use crate::mcp::upstream::client::MESSAGE_BYTES_MAX;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::link::Shared;
use crate::net::{https, sse};

/// Messages in a row that nobody can understand. A stream may last for months, with one of them now and then.
const NONSENSE_MAX: u32 = 100;

/// How long a server may wish that a stream is not asked for again (SEP-1699, `retry`).
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Where a stream stands.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// `id` of the last event; `Last-Event-ID` of the next request.
    pub last_id: Option<String>,
    pub retry: Option<Duration>,
    /// Anything came since the last request.
    pub moved: bool,
}

/// The whole of a body.
pub(super) async fn whole(mut body: Incoming) -> Result<Bytes, UpstreamError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::Gone(format!("the answer broke off: {error}")))?;
        let Some(piece) = frame.data_ref() else { continue };
        if read.len() + piece.len() > MESSAGE_BYTES_MAX {
            return Err(UpstreamError::Garbage(format!("an answer is longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        read.extend_from_slice(piece);
    }
    Ok(read.freeze())
}

/// Reads a stream of events until it ends, or until nobody waits for `of` any more. True where that was answered.
pub(super) async fn stream(
    place: &Place,
    shared: &Shared,
    mut body: Incoming,
    of: Option<i64>,
    position: &mut Position,
) -> Result<bool, UpstreamError> {
    let mut parser = sse::Parser::new(MESSAGE_BYTES_MAX);
    let mut nonsense = 0;
    // A stream that breaks off and one that ends are the same: both may be taken up again.
    while let Some(Ok(frame)) = body.frame().await {
        let Some(piece) = frame.data_ref() else { continue };
        let mut input: &[u8] = piece;
        loop {
            let event = match parser.next(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => return Err(UpstreamError::Garbage(error.to_string())),
            };
            position.moved = true;
            if let Some(id) = std::str::from_utf8(event.id).ok().filter(|id| !id.is_empty()) {
                position.last_id = Some(id.to_owned());
            }
            // An event without data gives its id alone: the stream can be taken up from there.
            if event.data.is_empty() || !matches!(event.name, b"" | b"message") {
                continue;
            }
            let heard = std::str::from_utf8(event.data).map_err(|_| "it is no UTF-8".to_owned());
            let heard = heard.and_then(|text| shared.hear(text, of).map_err(|nonsense| nonsense.0));
            nonsense = if heard.is_ok() { 0 } else { nonsense + 1 };
            if let Err(why) = heard {
                let why = place.shown(&why);
                tracing::debug!(server = &*place.slug, why, "an event is no message of MCP");
                if nonsense > NONSENSE_MAX {
                    return Err(UpstreamError::Garbage(format!("its stream holds no messages: {why}")));
                }
            }
        }
        position.retry = parser.retry().map(|retry| retry.min(RETRY_MAX)).or(position.retry);
        if of.is_some_and(|id| !shared.is_awaited(id)) {
            https::drain(body);
            return Ok(true);
        }
    }
    Ok(of.is_some_and(|id| !shared.is_awaited(id)))
}
