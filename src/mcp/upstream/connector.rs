//! Opens connections to the servers of the rows: a program or a URL, of whichever era. Remembers what a server turned out to
//! be, so that it is greeted right the next time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::common::config::{McpServer, Transport};
use crate::mcp::upstream::client::era::Era;
use crate::mcp::upstream::client::greeting::Prefer;
use crate::mcp::upstream::connection::{Connect, Connection, Ears, UpstreamError};
use crate::mcp::upstream::http::{self, Authority};
use crate::mcp::upstream::link::{Link, Shared};
use crate::mcp::upstream::stdio::{self, Launcher};
use crate::net::https::Https;

/// From the start of a program to its greeting. The first start of `npx` downloads the program.
pub const PROGRAM_DEADLINE: Duration = Duration::from_secs(60);

/// For the greeting over the network.
pub const GREETING_DEADLINE: Duration = Duration::from_secs(20);

/// How long a server may be silent about `server/discover` before it is taken for an older one that drops what it does not
/// know.
pub const SILENCE: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    launcher: Launcher,
    client: Https,
    /// Rows that were found to be of the older era.
    older: Arc<Mutex<BTreeMap<Box<str>, McpServer>>>,
    prefer: Prefer,
    authorities: Option<Arc<dyn Authorities>>,
}

/// Who opens the doors of servers that want a sign-in.
pub trait Authorities: Send + Sync {
    /// For the server of this row, which has a `url`.
    fn of(&self, slug: &str, server: &McpServer) -> Option<Arc<dyn Authority>>;
}

/// Opens connections with the hub's client. `hearth` is the hub's own binary (`std::env::current_exe`), which sets the limits
/// of programs.
pub fn connector(hearth: Option<PathBuf>, client: Https) -> Connector {
    Connector {
        launcher: Launcher::new(hearth),
        client,
        older: Arc::default(),
        prefer: Prefer::Newest,
        authorities: None,
    }
}

impl Connector {
    /// Greets in one way only.
    #[must_use]
    pub fn preferring(mut self, prefer: Prefer) -> Connector {
        self.prefer = prefer;
        self
    }

    /// Programs are started at this socket (`systemd/hearth-mcp.socket`), outside of the hub's own service.
    #[must_use]
    pub fn launching_at(mut self, socket: Option<PathBuf>) -> Connector {
        self.launcher.socket = socket;
        self
    }

    /// Servers that want a sign-in get their tokens from these.
    #[must_use]
    pub fn authorized_by(mut self, authorities: Arc<dyn Authorities>) -> Connector {
        self.authorities = Some(authorities);
        self
    }

    fn preference(&self, slug: &str, server: &McpServer) -> Prefer {
        let older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = self.prefer == Prefer::Newest && older.get(slug) == Some(server);
        if is_older { Prefer::Older } else { self.prefer }
    }

    fn remember(&self, slug: &str, server: &McpServer, era: Era) {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        match era {
            Era::Older => drop(older.insert(slug.into(), server.clone())),
            Era::Newest => drop(older.remove(slug)),
        }
    }

    async fn program(
        &self,
        slug: &str,
        server: &McpServer,
        ears: Arc<dyn Ears>,
        prefer: Prefer,
    ) -> Result<Link, UpstreamError> {
        let shared = Shared::new(slug, ears);
        stdio::start(slug, server, &self.launcher, &shared).await?;
        let greeting = Link::greet(shared, prefer, SILENCE);
        let greeted = tokio::time::timeout(PROGRAM_DEADLINE, greeting).await;
        greeted.unwrap_or(Err(UpstreamError::Timeout(PROGRAM_DEADLINE)))
    }

    /// Streamable HTTP; and where a server does not know it, what was before.
    async fn remote(
        &self,
        slug: &str,
        server: &McpServer,
        ears: Arc<dyn Ears>,
        prefer: Prefer,
    ) -> Result<Link, UpstreamError> {
        let authority = self.authorities.as_ref().and_then(|authorities| authorities.of(slug, server));
        let streamable = match server.transport {
            Transport::Sse => None,
            Transport::Auto | Transport::Http => {
                let shared = Shared::new(slug, Arc::clone(&ears));
                http::open(slug, server, &self.client, authority.clone(), &shared)?;
                Some(Link::greet(shared, prefer, SILENCE).await)
            }
        };
        match streamable {
            Some(greeted) if server.transport == Transport::Http || !is_refused(&greeted) => greeted,
            streamable => {
                let shared = Shared::new(slug, ears);
                let opened = http::sse::open(slug, server, &self.client, authority, &shared).await;
                match (opened, streamable) {
                    (Ok(()), _) => Link::greet(shared, Prefer::Older, SILENCE).await,
                    // What it said to the first way is of more use than what it said to the second.
                    (Err(_), Some(first)) => first,
                    (Err(error), None) => Err(error),
                }
            }
        }
    }
}

/// Whether a server does not know Streamable HTTP: "If it fails with an HTTP 4xx status code" (MCP, "Backwards
/// Compatibility").
fn is_refused(greeted: &Result<Link, UpstreamError>) -> bool {
    let Err(UpstreamError::Answered(fault)) = greeted else { return false };
    let status = fault.data.as_ref().and_then(|data| data.get(http::STATUS));
    status.and_then(Value::as_u64).is_some_and(|status| (400..500).contains(&status))
}

/// A server that answers its greeting with an error cannot be spoken with.
fn ungreeted(error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Answered(fault) => {
            UpstreamError::Unreachable(format!("it does not let itself be greeted: {}", fault.error.message))
        }
        error => error,
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        slug: &str,
        server: &McpServer,
        ears: Arc<dyn Ears>,
    ) -> BoxFuture<'static, Result<Arc<dyn Connection>, UpstreamError>> {
        let (this, slug, server) = (self.clone(), Box::<str>::from(slug), server.clone());
        async move {
            let prefer = this.preference(&slug, &server);
            let greeted = if server.url.is_some() {
                let greeted = tokio::time::timeout(GREETING_DEADLINE, this.remote(&slug, &server, ears, prefer)).await;
                greeted.unwrap_or(Err(UpstreamError::Timeout(GREETING_DEADLINE)))
            } else {
                match this.program(&slug, &server, Arc::clone(&ears), prefer).await {
                    // Some older programs end themselves when the first request is not `initialize`.
                    Err(UpstreamError::Gone(_)) if prefer == Prefer::Newest => {
                        this.program(&slug, &server, ears, Prefer::Older).await
                    }
                    greeted => greeted,
                }
            };
            let link = greeted.map_err(ungreeted)?;
            this.remember(&slug, &server, link.era());
            Ok(Arc::new(link) as Arc<dyn Connection>)
        }
        .boxed()
    }
}
