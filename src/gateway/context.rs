//! What a handler gets: the request, and what of the house it works with. Knows no route and no handler.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::sync::watch;

use crate::auth::Gate;
use crate::common::config::Config;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::gateway::respond::{self, Response};
use crate::gateway::session::Door;
use crate::home::Keeper;
use crate::mcp::Service;
use crate::mcp::server::Server;
use crate::mcp::upstream::oauth::Desk;
use crate::store::Store;

/// A request as handlers get it. Its body has not been read: see [`read_body`].
pub type Request = hyper::Request<Incoming>;

/// The longest body that [`read_body`] takes, bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// What handlers work with.
pub struct Context {
    pub config: watch::Receiver<Arc<Config>>,
    /// Where it is read from, if it is.
    pub config_file: Option<Box<Path>>,
    /// The machine's own name, by which it may be called.
    pub hostname: Box<str>,
    pub version: &'static str,
    pub started_at: Instant,
    pub gate: Gate,
    pub sessions: Door,
    pub store: Store,
    /// The devices; absent in a hub without any, as some tests have it.
    pub home: Option<Keeper>,
    pub tools: Service,
    pub mcp: Arc<Server>,
    /// Where browsers come back from signing in to servers.
    pub desk: Arc<Desk>,
}

/// What the path had in the places of a pattern.
#[derive(Clone)]
pub(super) struct Parameters(Vec<(Box<str>, Box<str>)>);

impl Parameters {
    pub(super) fn of(found: &matchit::Params<'_, '_>) -> Parameters {
        Parameters(found.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the path has in the place `name` of its pattern, as it was sent. The store's names need no escapes.
pub fn parameter(request: &Request, name: &str) -> String {
    let parameters = request.extensions().get::<Parameters>();
    let found = parameters.and_then(|all| all.0.iter().find(|(key, _)| &**key == name));
    found.map(|(_, value)| value.as_ref().to_owned()).unwrap_or_default()
}

/// Who asks. The routes have found out before any handler runs.
pub fn principal(request: &Request) -> Arc<Principal> {
    request.extensions().get::<Arc<Principal>>().cloned().expect("the routes let nobody through without")
}

/// The whole body, or the answer that says why not.
pub async fn read_body(request: Request) -> Result<Bytes, Response> {
    read_body_of(request, BODY_BYTES_MAX).await
}

/// The same for a route whose bodies may be longer.
pub async fn read_body_of(request: Request, bytes_max: usize) -> Result<Bytes, Response> {
    let too_large = || {
        let error = ErrorBody::new(ErrorCode::TooLarge, format!("a request body may have {bytes_max} bytes"));
        respond::problem(StatusCode::PAYLOAD_TOO_LARGE, &error)
    };
    // A length that is told is believed, before a client that waits for `100 Continue` sends it.
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_DEADLINE, Limited::new(request.into_body(), bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            let error = ErrorBody::new(ErrorCode::BadRequest, "the request body is broken or cut off");
            Err(respond::problem(StatusCode::BAD_REQUEST, &error))
        }
        Err(_) => {
            let error =
                ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, "the request body came too slowly") };
            Err(respond::problem(StatusCode::REQUEST_TIMEOUT, &error))
        }
    }
}
