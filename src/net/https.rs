//! The one outbound HTTP client: http and https, HTTP/1.1, warm connections. Follows no redirect, repeats nothing that a
//! server may have seen, and closes a connection as soon as the request or the answer's body is dropped. Knows no provider
//! and no key.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::{lan, tls};

/// Until a connection stands, TLS included. A provider that needs longer is as good as away, and another can be asked.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long a connection without work is kept warm. Below the minute at which most servers hang up.
const IDLE_MAX: Duration = Duration::from_secs(45);

/// Warm connections kept to one provider.
const IDLE_PER_HOST_MAX: usize = 4;

/// The buffer of a connection, bytes: an answer's headers must fit, and a quick stream is read in pieces up to this. It
/// begins at 8 KiB and grows only where the bytes come faster than they are taken.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How much of an error's body is read, bytes: enough for any sentence in it.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// How long an error's body is waited for. What came by then is read.
pub const ERROR_BODY_DEADLINE: Duration = Duration::from_secs(2);

/// How long the end of a body is waited for, so that its connection can be used again.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("hearth/", env!("CARGO_PKG_VERSION")));

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct SendError {
    /// `host:port`, as asked.
    pub place: String,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("nothing is known by this name")]
    NameUnknown,
    /// Of a client that goes out alone.
    #[error("its name leads into this house, where nothing is asked on a stranger's word")]
    Inside,
    #[error("nobody listens there")]
    Refused,
    #[error("no connection within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    #[error("no secure connection: {0}")]
    Tls(String),
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The connection stood, and broke before an answer came.
    #[error("the connection broke before an answer came: {0}")]
    BrokeOff(String),
}

/// The client. Cheap to clone; all clones share the warm connections.
#[derive(Clone)]
pub struct Https {
    client: Client<Connector, Full<Bytes>>,
    /// Made where it is first wanted.
    outside: Arc<OnceLock<Https>>,
}

impl Default for Https {
    fn default() -> Https {
        Https::new()
    }
}

impl Https {
    pub fn new() -> Https {
        Https::with_connect_deadline(CONNECT_DEADLINE)
    }

    /// A client that follows no name into the house: for URLs that somebody outside has named. An address in the place of a name is
    /// not looked up and so not seen here: that is for whoever takes the URL.
    pub fn outside(&self) -> Https {
        self.outside.get_or_init(|| Https::reaching(CONNECT_DEADLINE, true)).clone()
    }

    fn with_connect_deadline(deadline: Duration) -> Https {
        Https::reaching(deadline, false)
    }

    fn reaching(deadline: Duration, is_outside: bool) -> Https {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_BUFFER_BYTES_MAX);
        Https { client: builder.build(Connector::new(deadline, is_outside)), outside: Arc::default() }
    }

    /// Sends a request and waits for the answer's head, without a deadline of its own once connected. Dropping the future,
    /// or the body of the answer, closes the connection.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        let uri = request.uri().clone();
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        self.client.request(request).await.map_err(|error| SendError { place: place(&uri), why: why(&error) })
    }
}

/// `host:port` of a URI, for messages.
pub fn place(uri: &Uri) -> String {
    let default_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    format!("{}:{}", uri.host().unwrap_or("?"), uri.port_u16().unwrap_or(default_port))
}

/// The body of an answer that is no stream: what came of it within the deadline and the bound.
pub async fn read_bounded(mut body: Incoming, bytes_max: usize, deadline: Duration) -> Bytes {
    let mut read = BytesMut::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(piece) = frame.data_ref() else { continue };
            read.extend_from_slice(&piece[..piece.len().min(bytes_max - read.len())]);
            if read.len() == bytes_max {
                return;
            }
        }
    };
    // What came before the deadline is worth reading.
    let _ = tokio::time::timeout(deadline, reading).await;
    read.freeze()
}

/// Reads the rest of a body whose content is complete, in the background, so that its connection stays warm.
pub fn drain(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(DRAIN_DEADLINE, rest).await;
    });
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Name, TCP and TLS under one deadline.
#[derive(Clone)]
struct Connector {
    inner: HttpsConnector<HttpConnector<Resolver>>,
    deadline: Duration,
}

impl Connector {
    fn new(deadline: Duration, is_outside: bool) -> Connector {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { system: GaiResolver::new(), is_outside });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(deadline));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls::public())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Connector { inner, deadline }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector<Resolver>> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let deadline = self.deadline;
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            tokio::time::timeout(deadline, connecting).await.unwrap_or_else(|_| Err(TimedOut(deadline).into()))
        })
    }
}

/// The system's resolver, whose failures can be told from those of a connection.
#[derive(Clone)]
struct Resolver {
    system: GaiResolver,
    /// Addresses within the house are none.
    is_outside: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NoAddress;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoAddress>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoAddress>> {
        self.system.poll_ready(cx).map_err(|_| NoAddress::Unknown)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, is_outside) = (self.system.call(name), self.is_outside);
        Box::pin(async move {
            let found = resolving.await.map_err(|_| NoAddress::Unknown)?;
            let found: Vec<_> = found.filter(|address| !(is_outside && lan::is_reserved(address.ip()))).collect();
            // What the resolver knows has an address.
            if found.is_empty() { Err(NoAddress::Inside) } else { Ok(found.into_iter()) }
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum NoAddress {
    #[error("name unknown")]
    Unknown,
    #[error("name of the house")]
    Inside,
}

#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct TimedOut(Duration);

/// Reads the layers of an error for the one that says what happened.
fn why(error: &hyper_util::client::legacy::Error) -> Why {
    let mut innermost: &(dyn Error + 'static) = error;
    let mut next = error.source();
    while let Some(layer) = next {
        innermost = layer;
        if let Some(TimedOut(deadline)) = layer.downcast_ref() {
            return Why::ConnectTimeout(*deadline);
        }
        match layer.downcast_ref() {
            Some(NoAddress::Unknown) => return Why::NameUnknown,
            Some(NoAddress::Inside) => return Why::Inside,
            None => {}
        }
        if let Some(tls) = layer.downcast_ref::<rustls::Error>() {
            return Why::Tls(tls.to_string());
        }
        let io = layer.downcast_ref::<std::io::Error>();
        if error.is_connect() && io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Why::Refused;
        }
        // An I/O error shows the source of what it wraps, and not what it wraps.
        let wrapped = io.and_then(std::io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
        next = wrapped.or_else(|| layer.source());
    }
    let what = innermost.to_string();
    if error.is_connect() { Why::NoConnection(what) } else { Why::BrokeOff(what) }
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod tests;
