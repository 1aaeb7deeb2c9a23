//! The keys to one server: what is sent with each request, and what is done when the server refuses it. One sign-in at a
//! time, and never the same one twice in vain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::discovery::{self, Issuer, Resource, Wish};
use super::flow::{self, Attempt};
use super::{Consent, Identity, Kept, Refused, Vault, refused, register};
use crate::common::secret::Secret;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::http::{Authority, Challenge};
use crate::net::https::Https;

/// Asked for where it is on offer, so that nobody has to agree again (SEP-2207).
const OFFLINE_ACCESS: &str = "offline_access";

/// An [`Authority`] by OAuth.
pub struct Keeper(Arc<Inner>);

struct Inner {
    server: String,
    client: Https,
    identity: Identity,
    vault: Arc<dyn Vault>,
    /// `None`: nobody is there to agree; only what was agreed before is used.
    consent: Option<Arc<dyn Consent>>,
    kept: Mutex<Option<Kept>>,
    /// One at a time.
    asking: tokio::sync::Mutex<()>,
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
        let kept = Mutex::new(vault.load(server));
        let server = server.to_owned();
        Keeper(Arc::new(Inner {
            server,
            client,
            identity,
            vault,
            consent,
            kept,
            asking: tokio::sync::Mutex::default(),
        }))
    }
}

impl Authority for Keeper {
    fn token(&self) -> Option<Secret> {
        self.0.kept()?.token
    }

    fn challenged(&self, challenge: Challenge) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let inner = Arc::clone(&self.0);
        async move { inner.challenged(challenge).await.map_err(|refused| UpstreamError::Unauthorized(refused.0)) }
            .boxed()
    }
}

impl Inner {
    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, kept: Kept) {
        self.vault.save(&self.server, Some(&kept));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    async fn challenged(&self, challenge: Challenge) -> Result<(), Refused> {
        let _one_at_a_time = self.asking.lock().await;
        let kept = self.kept();
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
        if let Some(mut kept) = same.filter(|kept| kept.refresh.is_some() && !wants_more).cloned()
            && flow::refresh(&self.client, &issuer, &resource, &mut kept).await.is_ok()
        {
            self.keep(kept);
            return Ok(());
        }
        let had = same.map(|kept| kept.scopes.clone()).unwrap_or_default();
        let scopes = scopes(&wish, &resource, &issuer, &had);
        if wants_more && scopes.iter().all(|scope| had.contains(scope)) {
            return refused("the server wants rights that it was given already: the account may not have them");
        }
        self.sign_in(&issuer, &resource, kept.as_ref(), scopes).await
    }

    async fn sign_in(
        &self,
        issuer: &Issuer,
        resource: &Resource,
        kept: Option<&Kept>,
        scopes: Vec<String>,
    ) -> Result<(), Refused> {
        let Some(consent) = &self.consent else {
            return refused(format!(
                "the server wants a sign-in at {}: sign in to it in the hub's settings",
                issuer.issuer
            ));
        };
        let redirect_uri = consent.redirect_uri();
        let mut fresh = register::identify(&self.client, &self.identity, issuer, &redirect_uri, kept).await?;
        fresh.scopes = scopes;
        // What was registered stays good, whatever the person says.
        self.keep(fresh.clone());
        let random = |bytes: &mut [u8]| {
            getrandom::fill(bytes).expect("the kernel's random source does not fail once the system is up");
        };
        let attempt = Attempt::new(issuer, resource, &fresh, &redirect_uri, random);
        let redirected = consent.ask(attempt.url.clone()).await.map_err(Refused)?;
        let code = attempt.code(issuer, &redirected)?;
        attempt.redeem(&self.client, issuer, resource, &mut fresh, (&code, &redirect_uri)).await?;
        self.keep(fresh);
        Ok(())
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
