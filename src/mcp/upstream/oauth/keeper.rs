//! The keys to one server: what is sent with each request, and what is done when the server refuses it. One refusal at a
//! time, and never the same sign-in twice in vain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::discovery::{self, Issuer, Resource, Wish};
use super::flow::{self, Attempt};
use super::{Consent, Identity, Kept, Refused, Vault, fetch, refused, register};
use crate::common::secret::Secret;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::http::{Authority, Challenge};
use crate::net::https::Https;

/// Asked for where it is on offer, so that nobody has to agree again (SEP-2207).
const OFFLINE_ACCESS: &str = "offline_access";

/// An [`Authority`] by OAuth. Cheap to clone: clones share what they know.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    server: String,
    client: Https,
    identity: Identity,
    vault: Arc<dyn Vault>,
    /// `None`: nobody is there to agree; only what was agreed before is used, and a wish is remembered.
    consent: Option<Arc<dyn Consent>>,
    known: Mutex<Known>,
    /// One at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    kept: Option<Kept>,
    /// The server wants a person to sign in: what it said, and whoever gives its tokens.
    wanted: Option<(Vec<String>, String)>,
    /// How often everything was forgotten: what was begun before is not kept any more.
    forgotten: u64,
}

impl Keeper {
    /// For the server of this URL.
    pub fn new(
        server: &str,
        client: Https,
        identity: Identity,
        vault: Arc<dyn Vault>,
        consent: Option<Arc<dyn Consent>>,
    ) -> Keeper {
        let known = Mutex::new(Known { kept: vault.load(server), ..Known::default() });
        let server = server.to_owned();
        let asking = tokio::sync::Mutex::default();
        Keeper(Arc::new(Inner { server, client, identity, vault, consent, known, asking }))
    }

    /// Has a person sign in, whether the server has refused already or not.
    pub async fn sign_in(&self, identity: &Identity, consent: &dyn Consent) -> Result<(), Refused> {
        let inner = &self.0;
        let said = inner.known().wanted.clone().map(|(headers, _)| headers);
        let headers = match said {
            Some(headers) => headers,
            None => fetch::challenge(&inner.client, &inner.server).await?,
        };
        let wish = Wish::of(&headers);
        let resource = discovery::resource(&inner.client, &inner.server, &wish).await?;
        let issuer = discovery::issuer(&inner.client, &inner.server, &resource).await?;
        let kept = inner.known().kept.clone();
        let had = kept.as_ref().filter(|kept| kept.issuer == issuer.issuer);
        let scopes = scopes(&wish, &resource, &issuer, had.map_or(&[][..], |kept| &kept.scopes));
        inner.sign_in(&issuer, &resource, kept.as_ref(), scopes, identity, consent).await
    }

    /// Forgets everything.
    pub async fn forget(&self) {
        {
            let mut known = self.0.known();
            *known = Known { forgotten: known.forgotten + 1, ..Known::default() };
        }
        self.0.vault.save(&self.0.server, None).await;
    }

    /// Whether there is a token, and who is to give another one, where the server wants a sign-in.
    pub fn standing(&self) -> (bool, Option<String>) {
        let known = self.0.known();
        let has_token = known.kept.as_ref().is_some_and(|kept| kept.token.is_some());
        (has_token, known.wanted.as_ref().map(|(_, issuer)| issuer.clone()))
    }
}

impl Authority for Keeper {
    fn token(&self) -> Option<Secret> {
        self.0.known().kept.as_ref()?.token.clone()
    }

    fn challenged(&self, challenge: Challenge) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let inner = Arc::clone(&self.0);
        async move { inner.challenged(challenge).await.map_err(|refused| UpstreamError::Unauthorized(refused.0)) }
            .boxed()
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what came of it, unless everything was forgotten since `forgotten` was read.
    async fn keep(&self, kept: Kept, forgotten: u64) -> Result<(), Refused> {
        {
            let mut known = self.known();
            if known.forgotten != forgotten {
                return refused("it was signed out meanwhile");
            }
            if kept.token.is_some() {
                known.wanted = None;
            }
            known.kept = Some(kept.clone());
        }
        self.vault.save(&self.server, Some(&kept)).await;
        Ok(())
    }

    async fn challenged(&self, challenge: Challenge) -> Result<(), Refused> {
        let _one_at_a_time = self.asking.lock().await;
        let (kept, forgotten) = {
            let known = self.known();
            (known.kept.clone(), known.forgotten)
        };
        let token = kept.as_ref().and_then(|kept| kept.token.clone());
        if token.is_some() && token != challenge.token {
            // Somebody else has got another one meanwhile.
            return Ok(());
        }
        let wish = Wish::of(&challenge.headers);
        // Anew each time: a server may have moved to another issuer (SEP-2352).
        let resource = discovery::resource(&self.client, &self.server, &wish).await?;
        let issuer = discovery::issuer(&self.client, &self.server, &resource).await?;
        let same = kept.as_ref().filter(|kept| kept.issuer == issuer.issuer);
        let wants_more = challenge.status == 403;
        let mut why = String::new();
        if let Some(mut kept) = same.filter(|kept| kept.refresh.is_some() && !wants_more).cloned() {
            match flow::refresh(&self.client, &issuer, &resource, &mut kept).await {
                Ok(()) => return self.keep(kept, forgotten).await,
                Err(refused) => why = format!(" ({refused})"),
            }
        }
        let had = same.map(|kept| kept.scopes.clone()).unwrap_or_default();
        let scopes = scopes(&wish, &resource, &issuer, &had);
        if wants_more && scopes.iter().all(|scope| had.contains(scope)) {
            return refused("the server wants rights that it was given already: the account may not have them");
        }
        let Some(consent) = &self.consent else {
            self.known().wanted = Some((challenge.headers, issuer.issuer.clone()));
            return refused(format!(
                "the server wants a sign-in at {}{why}: sign in to it (hearth mcp sign-in, or mcp_servers.sign_in)",
                issuer.issuer
            ));
        };
        self.sign_in(&issuer, &resource, kept.as_ref(), scopes, &self.identity, &**consent).await
    }

    async fn sign_in(
        &self,
        issuer: &Issuer,
        resource: &Resource,
        kept: Option<&Kept>,
        scopes: Vec<String>,
        identity: &Identity,
        consent: &dyn Consent,
    ) -> Result<(), Refused> {
        let forgotten = self.known().forgotten;
        let redirect_uri = consent.redirect_uri();
        let mut fresh = register::identify(&self.client, identity, issuer, &redirect_uri, kept).await?;
        // What was registered stays good, whatever the person says; and so does what was given before.
        let before = kept.filter(|kept| kept.issuer == fresh.issuer && kept.client_id == fresh.client_id);
        let known = match before {
            Some(before) => Kept { redirect_uri: fresh.redirect_uri.clone(), ..before.clone() },
            None => fresh.clone(),
        };
        self.keep(known, forgotten).await?;
        fresh.scopes = scopes;
        let random = |bytes: &mut [u8]| {
            getrandom::fill(bytes).expect("the kernel's random source does not fail once the system is up");
        };
        let attempt = Attempt::new(issuer, resource, &fresh, &redirect_uri, random);
        let redirected = consent.ask(attempt.url.clone()).await.map_err(Refused)?;
        let code = attempt.code(issuer, &redirected)?;
        attempt.redeem(&self.client, issuer, resource, &mut fresh, (&code, &redirect_uri)).await?;
        self.keep(fresh, forgotten).await
    }
}

/// What to ask for (MCP, "Scope Selection Strategy"): what the refusal names, or else everything that the server has; and
/// what was asked for before, which a new token would lose otherwise (SEP-2350).
fn scopes(wish: &Wish, resource: &Resource, issuer: &Issuer, had: &[String]) -> Vec<String> {
    let named: Vec<String> = match &wish.scope {
        Some(scope) => scope.split_ascii_whitespace().map(str::to_owned).collect(),
        None => resource.scopes.clone(),
    };
    let offline = issuer.scopes.iter().any(|scope| scope == OFFLINE_ACCESS).then(|| OFFLINE_ACCESS.to_owned());
    let mut seen = BTreeSet::new();
    had.iter().cloned().chain(named).chain(offline).filter(|scope| seen.insert(scope.clone())).collect()
}
