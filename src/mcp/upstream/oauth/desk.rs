//! Where owners sign in to servers: one sign-in under way for each server, which waits for the browser to come back, and what
//! came of earlier ones, kept in the store. Gives each connection its keys. Knows no HTTP route; the route knows this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{Consent, Identity, Keeper, Kept, Method, Preregistered, Refused, Vault, refused, url};
use crate::common::config::McpServer;
use crate::common::secret::Secret;
use crate::common::time::{UnixMillis, whole_ms};
use crate::mcp::upstream::connector::Authorities;
use crate::mcp::upstream::http::Authority;
use crate::mcp::upstream::trouble::clean;
use crate::net::https::Https;
use crate::store::{ReadError, SignIn, Store};

/// From the beginning of a sign-in to the browser's return. A person may have to find a second device first.
pub const SIGN_IN_WAIT: Duration = Duration::from_secs(600);

/// Until the address to open is known: the server and whoever gives its tokens are asked some times.
const URL_WAIT: Duration = Duration::from_secs(45);

/// From the browser's return to the token.
const REDEEM_WAIT: Duration = Duration::from_secs(30);

/// The path of the hub at which a browser comes back.
pub const CALLBACK: &str = "/oauth/callback";

/// The longest address that is taken from a browser, bytes.
const RETURN_BYTES_MAX: usize = 16 * 1024;

/// See the module.
pub struct Desk {
    store: Store,
    client: Https,
    /// The hub's own address, where a caller names none: `http://127.0.0.1:8000`.
    base: String,
    now: fn() -> UnixMillis,
    state: Mutex<State>,
    me: Weak<Desk>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<Box<str>, SignIn>,
    /// With the URL for which they are.
    keepers: BTreeMap<Box<str>, (Box<str>, Keeper)>,
    under_way: BTreeMap<Box<str>, UnderWay>,
    /// Counts sign-ins, so that the end of an old one is not taken for that of a new one.
    begun: u64,
}

struct UnderWay {
    number: u64,
    /// The `state` of its address; empty until there is one.
    secret: Box<str>,
    url: String,
    redirect_uri: String,
    expires_at_ms: UnixMillis,
    /// To whoever waits for the browser; taken by the first one that comes.
    back: Option<oneshot::Sender<String>>,
    end: watch::Receiver<Option<Result<(), String>>>,
    task: Option<AbortHandle>,
}

/// How an owner wants to sign in.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `http://host:port` by which the browser reaches the hub.
    pub hub: Option<String>,
    /// As whom the hub was registered by hand, where whoever gives the tokens registers nobody by itself.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
}

/// What a person has to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub url: String,
    pub redirect_uri: String,
    pub expires_at_ms: UnixMillis,
}

/// How a server and the hub stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignInStatus {
    /// `signed_in`; `wanted`: the server lets nobody in without; `waiting`: for a person, at `url`; `failed`, see `problem`.
    pub state: String,
    /// Who gives its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What to open in a browser, while a sign-in waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Until when, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<UnixMillis>,
    /// Why the last sign-in failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Desk {
    /// Reads what was kept; waits for the disk. `base` is the hub's own address.
    pub fn new(store: Store, client: Https, base: String, now: fn() -> UnixMillis) -> Arc<Desk> {
        let kept: Result<Vec<SignIn>, ReadError> = store.snapshot().and_then(|snapshot| snapshot.list());
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!(%error, "the sign-ins to MCP servers could not be read; they have to be done again");
            Vec::new()
        });
        let kept = kept.into_iter().map(|one| (one.slug.as_str().into(), one)).collect();
        let state = Mutex::new(State { kept, ..State::default() });
        Arc::new_cyclic(|me| Desk { store, client, base, now, state, me: me.clone() })
    }

    /// Begins a sign-in and gives the address to open; one that is under way for the same server is over. `then` runs when it
    /// has come to a good end.
    pub async fn begin(
        &self,
        slug: &str,
        server: &McpServer,
        wanted: Wanted,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<Begun, Refused> {
        let Some(at) = server.url.as_deref() else {
            return refused("it is a program of this machine: nobody signs in to it");
        };
        if server.headers_env.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            return refused("its row has an Authorization header of its own (headers_env)");
        }
        let redirect_uri = format!("{}{CALLBACK}", hub_address(wanted.hub.as_deref().unwrap_or(&self.base))?);
        let registered = wanted.client_id.map(|client_id| Preregistered {
            client_id,
            client_secret: wanted.client_secret,
            issuer: None,
        });
        let identity = Identity { metadata_url: None, registered };
        let keeper = self.keeper(slug, at);
        let (ended, end) = watch::channel(None);
        let expires_at_ms = (self.now)() + whole_ms(SIGN_IN_WAIT);
        let number = {
            let mut state = self.state();
            state.begun += 1;
            let number = state.begun;
            let fresh = UnderWay {
                number,
                secret: "".into(),
                url: String::new(),
                redirect_uri: redirect_uri.clone(),
                expires_at_ms,
                back: None,
                end: end.clone(),
                task: None,
            };
            if let Some(task) = state.under_way.insert(slug.into(), fresh).and_then(|old| old.task) {
                task.abort();
            }
            number
        };
        let (shown, url) = oneshot::channel();
        let waits = Waits {
            desk: self.me.clone(),
            slug: slug.into(),
            number,
            redirect_uri: redirect_uri.clone(),
            shown: Mutex::new(Some(shown)),
        };
        let name: Box<str> = slug.into();
        let task = tokio::spawn(async move {
            let signed_in = keeper.sign_in(&identity, &waits).await;
            match &signed_in {
                Ok(()) => tracing::info!(server = %name, "signed in to an MCP server"),
                Err(error) => {
                    tracing::warn!(server = %name, error = clean(&error.0), "a sign-in to an MCP server failed")
                }
            }
            let is_good = signed_in.is_ok();
            ended.send_replace(Some(signed_in.map_err(|error| clean(&error.0))));
            if is_good {
                then();
            }
        });
        if let Some(way) = self.state().under_way.get_mut(slug).filter(|way| way.number == number) {
            way.task = Some(task.abort_handle());
        }
        let mut end = end;
        let failed = async {
            let ended = end.wait_for(Option::is_some).await;
            ended.ok().and_then(|end| end.clone()?.err()).unwrap_or_else(|| "another sign-in was begun".into())
        };
        tokio::select! {
            biased;
            why = failed => refused(why),
            url = timeout(URL_WAIT, url) => match url {
                Ok(Ok(url)) => Ok(Begun { url, redirect_uri, expires_at_ms }),
                Ok(Err(_)) => refused("the sign-in ended before it began: try again"),
                Err(_) => refused("the server and whoever gives its tokens take too long to answer"),
            },
        }
    }

    /// The browser has come back to the hub, which it calls `host` (`hub.local:8000`), with this query. Gives the server's name
    /// once the hub is signed in.
    pub async fn arrived(&self, host: &str, query: &str) -> Result<Box<str>, Refused> {
        if query.len() > RETURN_BYTES_MAX {
            return refused("the address is too long");
        }
        let pairs = url::query(&format!("?{query}"));
        let state = pairs.iter().find(|(key, _)| key == "state").map(|(_, value)| value.as_str()).unwrap_or_default();
        let nobody =
            || Refused("no sign-in waits for this: it was used already, took too long, or was never begun".into());
        let (slug, back, redirected, mut end) = {
            let (now, mut desk) = ((self.now)(), self.state());
            let found = desk.under_way.iter_mut().find(|(_, way)| !state.is_empty() && is_same(&way.secret, state));
            let (slug, way) = found.ok_or_else(nobody)?;
            let own = way.redirect_uri.split_once("://").and_then(|(_, rest)| rest.strip_suffix(CALLBACK));
            if !own.is_some_and(|own| own.eq_ignore_ascii_case(host)) || now >= way.expires_at_ms {
                return Err(nobody());
            }
            // Once: whoever comes second finds nothing.
            way.secret = "".into();
            let redirected = format!("{}?{query}", way.redirect_uri);
            (slug.clone(), way.back.take().ok_or_else(nobody)?, redirected, way.end.clone())
        };
        back.send(redirected).map_err(|_| nobody())?;
        let ended = timeout(REDEEM_WAIT, end.wait_for(Option::is_some)).await;
        match ended.map(|ended| ended.ok().and_then(|end| end.clone())) {
            Ok(Some(Ok(()))) => Ok(slug),
            Ok(Some(Err(why))) => refused(why),
            Ok(None) => refused("another sign-in was begun meanwhile"),
            Err(_) => refused("whoever gives the tokens takes too long; look at the server's status in a moment"),
        }
    }

    /// Signs out: forgets the tokens of a server, and what was under way. True: there was something.
    pub async fn forget(&self, slug: &str) -> bool {
        let (kept, keeper) = {
            let mut state = self.state();
            let way = state.under_way.remove(slug);
            if let Some(task) = way.and_then(|way| way.task) {
                task.abort();
            }
            (state.kept.contains_key(slug), state.keepers.remove(slug))
        };
        if let Some((_, keeper)) = keeper {
            keeper.forget().await;
        }
        self.put(slug, None).await;
        kept
    }

    /// How a server and the hub stand; `None`: it has asked for no sign-in so far.
    pub fn standing(&self, slug: &str, server: &McpServer) -> Option<SignInStatus> {
        let at = server.url.as_deref()?;
        let (now, state) = ((self.now)(), self.state());
        let keeper = state.keepers.get(slug).filter(|(of, _)| **of == *at).map(|(_, keeper)| keeper);
        let kept = state.kept.get(slug).filter(|kept| kept.server == at);
        let (has_token, wanted) = match keeper {
            Some(keeper) => keeper.standing(),
            None => (kept.is_some_and(|kept| kept.token.is_some()), None),
        };
        let way = state.under_way.get(slug);
        let waits = way.filter(|way| way.end.borrow().is_none() && !way.url.is_empty() && now < way.expires_at_ms);
        let failed = way.and_then(|way| way.end.borrow().clone()?.err());
        let hint = format!("hearth mcp sign-in {slug}, or mcp_servers.sign_in, gives the address to open in a browser");
        let (word, hint) = match (waits.is_some(), &wanted, has_token) {
            (true, ..) => ("waiting", Some("open the url in a browser and agree".to_owned())),
            (_, Some(_), _) => ("wanted", Some(hint)),
            (_, None, true) => ("signed_in", None),
            (_, None, false) if failed.is_some() => ("failed", Some(hint)),
            _ => return None,
        };
        Some(SignInStatus {
            state: word.into(),
            at: wanted.or_else(|| kept.map(|kept| kept.issuer.clone())),
            url: waits.map(|way| way.url.clone()),
            expires_at_ms: waits.map(|way| way.expires_at_ms),
            problem: failed.filter(|_| word != "signed_in"),
            hint,
        })
    }

    /// Forgets what is of no use any more: of servers that are gone, or are reached elsewhere.
    pub async fn keep_only(&self, is_there: impl Fn(&str, &str) -> bool) {
        let gone: Vec<_> = {
            let state = self.state();
            let gone = state.kept.iter().filter(|(slug, kept)| !is_there(slug, &kept.server));
            gone.map(|(slug, _)| slug.clone()).collect()
        };
        for slug in gone {
            self.forget(&slug).await;
        }
    }

    fn keeper(&self, slug: &str, at: &str) -> Keeper {
        let mut state = self.state();
        if let Some((_, keeper)) = state.keepers.get(slug).filter(|(of, _)| **of == *at) {
            return keeper.clone();
        }
        let drawer = Drawer {
            desk: self.me.clone(),
            slug: slug.into(),
            kept: state.kept.get(slug).filter(|kept| kept.server == at).cloned(),
        };
        let keeper = Keeper::new(at, self.client.clone(), Identity::default(), Arc::new(drawer), None);
        state.keepers.insert(slug.into(), (at.into(), keeper.clone()));
        keeper
    }

    async fn put(&self, slug: &str, record: Option<SignIn>) {
        let written = match record {
            Some(record) => {
                self.state().kept.insert(slug.into(), record.clone());
                self.store.put(record, None).await.map(drop)
            }
            None => {
                self.state().kept.remove(slug);
                self.store.delete::<SignIn>(slug, None).await.map(drop)
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, server = slug, "a sign-in to an MCP server is not kept: it holds until the hub stops");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authorities for Desk {
    fn of(&self, slug: &str, server: &McpServer) -> Option<Arc<dyn Authority>> {
        Some(Arc::new(self.keeper(slug, server.url.as_deref()?)))
    }
}

/// What is kept for one server, as its keeper sees it.
struct Drawer {
    desk: Weak<Desk>,
    slug: Box<str>,
    /// At the beginning.
    kept: Option<SignIn>,
}

impl Vault for Drawer {
    fn load(&self, _: &str) -> Option<Kept> {
        let kept = self.kept.clone()?;
        Some(Kept {
            issuer: kept.issuer,
            client_id: kept.client_id,
            client_secret: kept.client_secret,
            method: Method::named(&kept.method)?,
            redirect_uri: kept.redirect_uri,
            token: kept.token,
            refresh: kept.refresh,
            scopes: kept.scopes,
        })
    }

    fn save(&self, server: &str, kept: Option<&Kept>) -> BoxFuture<'static, ()> {
        let Some(desk) = self.desk.upgrade() else { return std::future::ready(()).boxed() };
        let slug = self.slug.clone();
        if desk.state().keepers.get(&slug).is_none_or(|(of, _)| **of != *server) {
            // The server was signed out of, or is another one now.
            return std::future::ready(()).boxed();
        }
        let record = kept.cloned().map(|kept| SignIn {
            slug: slug.to_string(),
            server: server.to_owned(),
            issuer: kept.issuer,
            client_id: kept.client_id,
            client_secret: kept.client_secret,
            method: kept.method.as_str().into(),
            redirect_uri: kept.redirect_uri,
            token: kept.token,
            refresh: kept.refresh,
            scopes: kept.scopes,
            given_at_ms: (desk.now)(),
            revision: 0,
        });
        async move { desk.put(&slug, record).await }.boxed()
    }
}

/// Shows the address to whoever began, and waits for the browser.
struct Waits {
    desk: Weak<Desk>,
    slug: Box<str>,
    number: u64,
    redirect_uri: String,
    shown: Mutex<Option<oneshot::Sender<String>>>,
}

impl Consent for Waits {
    fn redirect_uri(&self) -> String {
        self.redirect_uri.clone()
    }

    fn ask(&self, address: String) -> BoxFuture<'static, Result<String, String>> {
        let (back, came) = oneshot::channel();
        let secret = url::query(&address).into_iter().find(|(key, _)| key == "state").map(|(_, value)| value);
        if let Some(desk) = self.desk.upgrade()
            && let Some(way) = desk.state().under_way.get_mut(&self.slug).filter(|way| way.number == self.number)
        {
            way.secret = secret.unwrap_or_default().into();
            way.url = address.clone();
            way.back = Some(back);
        }
        if let Some(shown) = self.shown.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may have gone; the address stands in the server's status.
            let _ = shown.send(address);
        }
        async move {
            match timeout(SIGN_IN_WAIT, came).await {
                Ok(Ok(redirected)) => Ok(redirected),
                Ok(Err(_)) => Err("another sign-in was begun".into()),
                Err(_) => Err("nobody agreed in time".into()),
            }
        }
        .boxed()
    }
}

/// `http://host:port` of the hub, as a browser reaches it.
pub fn hub_address(text: &str) -> Result<String, Refused> {
    let plain = text.trim_end_matches('/');
    match url::origin(plain) {
        Some(origin) if origin == plain => Ok(origin),
        _ => refused("hub: the hub's address as the browser reaches it, such as http://hub.local:8000, without a path"),
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
