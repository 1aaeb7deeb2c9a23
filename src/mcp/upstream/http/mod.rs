//! A server behind a URL: Streamable HTTP of both eras (MCP, "Streamable HTTP"). Each message is a request of its own, and
//! what comes back on it, or on a stream of the server's, is brought to the client. Follows no redirect.

mod body;
mod exchange;
pub mod params;
mod session;
pub mod sse;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::common::config::McpServer;
use crate::common::secret::Secret;
use crate::mcp::call::Fault;
use crate::mcp::upstream::client::era::Era;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::link::{Letter, Shared, Wire};
use crate::mcp::upstream::secrets;
use crate::net::https::Https;

/// Where an HTTP status stands in the `data` of a fault that no JSON-RPC error came with.
pub const STATUS: &str = "httpStatus";

/// The code of such a fault: the first that JSON-RPC leaves to servers.
const HTTP_FAULT: i64 = -32000;

/// For a notification to be taken, and for the end of a session.
const NOTE_DEADLINE: Duration = Duration::from_secs(10);

/// Who may open a server's door: gives tokens, and gets them where a server asks for one.
pub trait Authority: Send + Sync {
    /// The token to send now.
    fn token(&self) -> Option<Secret>;

    /// The server has refused: 401, or 403 for want of scope. Done when there is another token to try.
    fn challenged(&self, challenge: Challenge) -> BoxFuture<'static, Result<(), UpstreamError>>;
}

/// How a server refused.
#[derive(Debug, Clone)]
pub struct Challenge {
    pub status: u16,
    /// `WWW-Authenticate`, as it came.
    pub headers: Vec<String>,
    /// The token that was refused.
    pub token: Option<Secret>,
}

/// Everything that the requests to one server have in common.
pub(super) struct Place {
    pub slug: Box<str>,
    pub uri: Uri,
    /// The row's own headers.
    pub headers: HeaderMap,
    pub secrets: Vec<Secret>,
    pub client: Https,
    pub authority: Option<Arc<dyn Authority>>,
    pub shared: Weak<Shared>,
    session: session::Session,
    tools: Mutex<BTreeMap<String, Vec<params::Mirrored>>>,
}

/// The wire; see the module.
struct Http {
    place: Arc<Place>,
    requests: Mutex<BTreeMap<i64, AbortHandle>>,
    stream: Mutex<Option<AbortHandle>>,
}

/// Gives `shared` its wire to a URL. Nothing is sent yet.
pub fn open(
    slug: &str,
    server: &McpServer,
    client: &Https,
    authority: Option<Arc<dyn Authority>>,
    shared: &Arc<Shared>,
) -> Result<(), UpstreamError> {
    let place = Place::new(slug, server, client, authority, shared)?;
    let wire = Http { place: Arc::new(place), requests: Mutex::default(), stream: Mutex::default() };
    shared.attach(Arc::new(wire));
    Ok(())
}

impl Place {
    fn new(
        slug: &str,
        server: &McpServer,
        client: &Https,
        authority: Option<Arc<dyn Authority>>,
        shared: &Arc<Shared>,
    ) -> Result<Place, UpstreamError> {
        let url = server.url.as_deref().unwrap_or_default();
        let uri: Uri = url.parse().map_err(|_| UpstreamError::Unreachable("its url is no URL".into()))?;
        let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, variable) in &server.headers_env {
            let missing = || {
                let why = format!(
                    "{variable}, from which its header {name} comes, is not set: set it in the hub's environment"
                );
                UpstreamError::Unauthorized(why)
            };
            let secret = secrets::value_of(variable, |name| std::env::var(name).ok()).ok_or_else(missing)?;
            let malformed = || UpstreamError::Unauthorized(format!("what {variable} holds cannot be a header's value"));
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| malformed())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| malformed())?, value);
            secrets.push(secret);
        }
        // A row with credentials of its own needs nobody to get others.
        let authority = authority.filter(|_| !headers.contains_key(AUTHORIZATION));
        Ok(Place {
            slug: slug.into(),
            uri,
            headers,
            secrets,
            client: client.clone(),
            authority,
            shared: Arc::downgrade(shared),
            session: session::Session::default(),
            tools: Mutex::default(),
        })
    }

    /// Text of the server's in a message.
    fn shown(&self, text: &str) -> String {
        let token = self.authority.as_ref().and_then(|authority| authority.token());
        let secrets: Vec<_> = self.secrets.iter().cloned().chain(token).collect();
        secrets::shown(text, &secrets, 200)
    }

    /// What a status means that no JSON-RPC error came with.
    fn refusal(&self, status: StatusCode, body: &str) -> UpstreamError {
        let place = crate::net::https::place(&self.uri);
        let mut why = format!("{place} answers with {status}");
        let body = self.shown(body);
        if !body.is_empty() && !body.starts_with('<') {
            why = format!("{why}: {body}");
        }
        match status.as_u16() {
            401 | 403 => UpstreamError::Unauthorized(why),
            300..400 => UpstreamError::Unreachable(format!("{why}, which is not followed: correct its url")),
            // Some older servers fall over a method that they do not know (500), and are well otherwise.
            400..=500 if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::REQUEST_TIMEOUT => {
                let data = json!({ STATUS: status.as_u16() });
                UpstreamError::Answered(Fault::of_rpc(HTTP_FAULT, &why, Some(data)))
            }
            408 | 429 | 503 => UpstreamError::Unreachable(why),
            // Of whoever stands before it: what the server itself has done is not known (502, 504).
            _ => UpstreamError::Gone(why),
        }
    }

    fn tools(&self) -> MutexGuard<'_, BTreeMap<String, Vec<params::Mirrored>>> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http {
    fn requests(&self) -> MutexGuard<'_, BTreeMap<i64, AbortHandle>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for Http {
    fn send(&self, letter: Letter) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let place = Arc::clone(&self.place);
        let Some(id) = letter.id else {
            return async move {
                let sent = tokio::time::timeout(NOTE_DEADLINE, place.note(letter)).await;
                sent.unwrap_or(Err(UpstreamError::Timeout(NOTE_DEADLINE)))
            }
            .boxed();
        };
        let task = tokio::spawn(async move {
            let shared = place.shared.clone();
            let done = place.exchange(id, letter).await;
            if let (Err(error), Some(shared)) = (done, shared.upgrade()) {
                shared.fail(id, error);
            }
        });
        self.requests().insert(id, task.abort_handle());
        async { Ok(()) }.boxed()
    }

    fn post(&self, letter: Letter) {
        let sending = self.send(letter);
        tokio::spawn(async move {
            if let Err(error) = sending.await {
                tracing::debug!(%error, "a message to an MCP server was lost");
            }
        });
    }

    fn forget(&self, id: i64) -> bool {
        if let Some(task) = self.requests().remove(&id) {
            // The end of its answer's stream is how the newest era is told.
            task.abort();
        }
        self.place.shared.upgrade().is_some_and(|shared| shared.era() == Era::Older)
    }

    fn greeted(&self, era: Era, revision: &str) {
        self.place.session.speak(revision);
        if era == Era::Older {
            let listening = tokio::spawn(Arc::clone(&self.place).listen());
            let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            *stream = Some(listening.abort_handle());
        }
    }

    fn learn(&self, method: &str, result: &mut Value) {
        let is_newest = self.place.shared.upgrade().is_some_and(|shared| shared.era() == Era::Newest);
        if method != "tools/list" || !is_newest {
            return;
        }
        let params::Sifted { wanted, excluded } = params::sift(result);
        self.place.tools().extend(wanted);
        for (tool, why) in excluded {
            let tool = self.place.shown(&tool);
            tracing::warn!(server = &*self.place.slug, tool, why, "a tool is left out: its headers cannot be sent");
        }
    }

    fn hang_up(&self) {
        for task in std::mem::take(&mut *self.requests()).into_values() {
            task.abort();
        }
        if let Some(stream) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
            stream.abort();
        }
        let place = Arc::clone(&self.place);
        if place.session.id().is_some() && tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(async move { place.end_session().await });
        }
    }
}
