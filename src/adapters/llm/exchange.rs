//! One request to a provider and its streamed answer, whatever the dialect: where it goes, with which key, and how the bytes
//! that come become events. Holds the connection and reads the clock; what the bytes mean is a [`Decode`]'s business.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use serde::Serialize;

use super::complaint::{self, Complaint, KeyPlace};
use super::limits;
use super::{Answer, Arrival};
use crate::common::chat::Event;
use crate::common::error::{Failure, ProviderError};
use crate::net::https::{self, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE, Https, SendError, Why};

/// How much is shown of the name of an encoding, characters.
const ENCODING_CHARS_MAX: usize = 20;

/// A pure decoder of one answer's body.
pub trait Decode: Send + Unpin + 'static {
    /// Takes the next bytes and adds the events in them. After an error the rest of the body is worth nothing; the events
    /// before it hold.
    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError>;

    /// The body has ended: whether what it held was a whole answer.
    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;

    /// Whether nothing of the body is needed any more.
    fn is_done(&self) -> bool;
}

/// How a provider wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `authorization: Bearer …`
    Bearer,
    /// The key alone, in a header of this name.
    Named(&'static str),
}

/// A server's endpoint and the right to ask it.
#[derive(Debug, Clone)]
pub struct Target {
    endpoint: Result<Uri, ProviderError>,
    authorization: Result<Option<(HeaderName, HeaderValue)>, ProviderError>,
    /// What every request carries besides.
    headers: Vec<(HeaderName, HeaderValue)>,
    pub key: KeyPlace,
}

impl Target {
    /// `path` begins with a slash. A row that cannot work, for want of a key or of an address, says so when it is asked.
    pub fn new(base_url: &str, path: &str, header: KeyHeader, key: KeyPlace) -> Target {
        let (endpoint, authorization) = (endpoint(base_url, path), authorization(header, &key));
        Target { endpoint, authorization, headers: Vec::new(), key }
    }

    /// The same with a header on every request, such as the version of the interface that is spoken.
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Target {
        self.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        self
    }

    pub fn host(&self) -> Option<&str> {
        self.endpoint.as_ref().ok()?.host()
    }

    /// A GET; an error where the row of the config can never work.
    pub fn get(&self) -> Result<Request<Full<Bytes>>, ProviderError> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.endpoint.clone()?;
        request.headers_mut().extend(self.authorization.clone()?);
        request.headers_mut().extend(self.headers.iter().cloned());
        Ok(request)
    }

    /// A POST of JSON; an error where the row of the config can never work.
    pub fn post(&self, body: &impl Serialize) -> Result<Request<Full<Bytes>>, ProviderError> {
        let body = serde_json::to_vec(body).expect("requests have string keys and finite numbers");
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.endpoint.clone()?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.extend(self.authorization.clone()?);
        headers.extend(self.headers.iter().cloned());
        Ok(request)
    }
}

/// `base_url` with the endpoint's path, whether it ends in a slash or has the path already; a query stays behind it, joined
/// with the path's own.
fn endpoint(base_url: &str, path: &str) -> Result<Uri, ProviderError> {
    let (base, base_query) = base_url.trim().split_once('?').unwrap_or((base_url.trim(), ""));
    let (path, path_query) = path.split_once('?').unwrap_or((path, ""));
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(path).unwrap_or(base);
    let query: Vec<_> = [base_query, path_query].into_iter().filter(|query| !query.is_empty()).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    format!("{base}{path}{query}").parse().ok().filter(usable).ok_or_else(|| {
        let message = format!("base_url is no address of http or https: {base_url:?}. Correct it in the config.");
        ProviderError::new(Failure::Rejected, message)
    })
}

fn authorization(header: KeyHeader, key: &KeyPlace) -> Result<Option<(HeaderName, HeaderValue)>, ProviderError> {
    let text = key.key.as_ref().map_or("", |key| key.expose().trim());
    let no_key = |what: &str| ProviderError::new(Failure::Auth, what.to_owned());
    let (name, value) = match (text, &key.env) {
        ("", Some(env)) => return Err(no_key(&format!("no key: set {env}, or choose another provider"))),
        ("", None) => return Ok(None),
        (text, _) => match header {
            KeyHeader::Bearer => (hyper::header::AUTHORIZATION, format!("Bearer {text}")),
            KeyHeader::Named(name) => (HeaderName::from_static(name), text.to_owned()),
        },
    };
    let mut value =
        HeaderValue::try_from(value).map_err(|_| no_key("the key has characters that no key has: set it again"))?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

/// A body that is compressed, although nothing of the kind was asked for.
fn packed(headers: &HeaderMap) -> Option<ProviderError> {
    let encoding =
        headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))?;
    let encoding: String = encoding.to_str().unwrap_or("?").chars().take(ENCODING_CHARS_MAX).collect();
    let message = format!(
        "the answer came compressed ({encoding}), which the hub does not ask for. Is there a proxy on the way? Check base_url."
    );
    Some(ProviderError::new(Failure::BadStream, message))
}

/// Sends a request until it is accepted, or refused for good. `write` makes it from a `manner` of asking; where the server
/// refuses it with 400, 404 or 422, `concede` may change the manner (one parameter less, say) and so have it asked once more; it says
/// false when there is nothing to give in with.
pub async fn converse<M>(
    client: &Https,
    key: &KeyPlace,
    mut manner: M,
    write: impl Fn(&M) -> Result<Request<Full<Bytes>>, ProviderError>,
    concede: impl Fn(&mut M, &Complaint) -> bool,
) -> Result<Response<Incoming>, ProviderError> {
    loop {
        let response = client.send(write(&manner)?).await.map_err(|error| no_answer(&error))?;
        let packed = packed(response.headers());
        if response.status().is_success() {
            return packed.map_or(Ok(response), Err);
        }
        let (head, body) = response.into_parts();
        let mut body: Bytes = https::read_bounded(body, ERROR_BODY_BYTES_MAX, ERROR_BODY_DEADLINE).await;
        if packed.is_some() {
            // The status says enough.
            body.clear();
        }
        if !matches!(head.status.as_u16(), 400 | 404 | 422) || !concede(&mut manner, &Complaint::read(&body)) {
            return Err(complaint::refused(head.status, &head.headers, &body, key));
        }
    }
}

/// Why there was no answer at all, with what to try.
pub fn no_answer(error: &SendError) -> ProviderError {
    let (failure, hint) = match error.why {
        Why::Refused => (Failure::Unreachable, ". Is the server running?"),
        Why::NameUnknown | Why::Inside => (Failure::Unreachable, ". Check base_url and the internet connection."),
        Why::ConnectTimeout(_) | Why::NoConnection(_) => (Failure::Unreachable, ". Check base_url and the network."),
        Why::Tls(_) => (Failure::Unreachable, ". Check base_url (http or https?) and the clock of this machine."),
        Why::BrokeOff(_) => (Failure::CutOff, ""),
    };
    ProviderError::new(failure, format!("{error}{hint}"))
}

/// The accepted answer as a stream of events, what its headers say of limits first.
pub fn answer(response: Response<Incoming>, decoder: impl Decode) -> Answer {
    let limits = limits::rate_limits(response.headers());
    let mut reading = Reading::new(response.into_body(), decoder);
    reading.events.extend(limits.map(|limits| Event::Limits(Box::new(limits))));
    Box::pin(reading)
}

/// An answer on its way. Dropping it drops the body, which closes the connection.
struct Reading<D> {
    /// `None` when there is nothing more to read.
    body: Option<Incoming>,
    decoder: D,
    events: VecDeque<Event>,
    received_at: Instant,
    /// Comes after the events that came before it.
    error: Option<ProviderError>,
}

impl<D: Decode> Reading<D> {
    fn new(body: Incoming, decoder: D) -> Reading<D> {
        Reading { body: Some(body), decoder, events: VecDeque::new(), received_at: now(), error: None }
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

impl<D: Decode> Stream for Reading<D> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::secret::Secret;

    fn key(text: &str) -> KeyPlace {
        KeyPlace { key: Some(Secret::new(text)), env: Some("OPENAI_API_KEY".into()) }
    }

    fn target(base_url: &str) -> Target {
        Target::new(base_url, "/chat/completions", KeyHeader::Bearer, key("sk-1\n"))
    }

    #[test]
    fn the_address_is_found_from_every_spelling() {
        for (base_url, endpoint) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
            (" http://127.0.0.1:8080//", "http://127.0.0.1:8080/chat/completions"),
            ("http://[::1]:8080/v1/chat/completions", "http://[::1]:8080/v1/chat/completions"),
            ("https://x.example/openai?api-version=2", "https://x.example/openai/chat/completions?api-version=2"),
        ] {
            assert_eq!(target(base_url).post(&()).unwrap().uri(), endpoint);
        }
        let both = Target::new("https://x.example/?a=1", "/m:stream?alt=sse", KeyHeader::Bearer, key("k"));
        assert_eq!(both.post(&()).unwrap().uri(), "https://x.example/m:stream?a=1&alt=sse");
        for bad in ["", "api.openai.com/v1", "ftp://x/v1", "http://", "http:///v1", "https://a b/v1", "/v1"] {
            assert_eq!(target(bad).post(&()).unwrap_err().failure, Failure::Rejected, "{bad}");
        }
    }

    #[test]
    fn a_compressed_body_is_no_answer() {
        let packed =
            |encoding: &'static str| packed(&HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())]));
        assert_eq!(packed("identity"), None);
        let error = packed("gzip").expect("an error");
        assert_eq!(error.failure, Failure::BadStream);
        assert!(error.message.starts_with("the answer came compressed (gzip)"), "{error}");
    }

    #[test]
    fn the_key_goes_into_one_header_and_is_missed_where_one_is_named() {
        let at = |header, key| Target::new("https://api.openai.com/v1", "/x", header, key).post(&());
        let request = at(KeyHeader::Bearer, key("sk-1\n")).unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer sk-1");
        assert!(!format!("{request:?} {:?}", target("https://api.openai.com")).contains("sk-1"));
        let request = at(KeyHeader::Named("x-api-key"), key("sk-1")).unwrap();
        assert_eq!(request.headers()["x-api-key"], "sk-1");
        assert!(!at(KeyHeader::Bearer, KeyPlace::default()).unwrap().headers().contains_key("authorization"));

        let versioned = target("https://api.openai.com/v1").with_header("x-version", "1");
        assert_eq!(versioned.post(&()).unwrap().headers()["x-version"], "1");
        assert_eq!(versioned.get().unwrap().headers()["x-version"], "1");

        let error = at(KeyHeader::Bearer, KeyPlace { key: None, ..key("") }).unwrap_err();
        assert_eq!(error.failure, Failure::Auth);
        assert_eq!(error.message, "no key: set OPENAI_API_KEY, or choose another provider");
        let error = at(KeyHeader::Bearer, KeyPlace { env: None, ..key("a\nb") }).unwrap_err();
        assert_eq!(error.failure, Failure::Auth);
    }
}
