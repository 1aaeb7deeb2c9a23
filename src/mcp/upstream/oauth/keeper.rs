//! The keys to one server: what is sent with each request, and what is done when the server refuses it. One refusal at a
//! time, and never the same sign-in twice in vain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::discovery::{self, Issuer, Resource, Wish};
use super::flow::{self, Attempt};
use super::{Consent, Identity, Kept, Refused, Vault, fetch, refused, register, url};
use crate::common::secret::Secret;
use crate::mcp::upstream::connection::UpstreamError;
use crate::mcp::upstream::http::{Authority, Challenge};
use crate::net::https::Https;
use crate::net::lan;

/// Asked for where it is on offer, so that nobody has to agree again (SEP-2207).
const OFFLINE_ACCESS: &str = "offline_access";

/// Scopes that are asked for at once: a server that names others each time makes no list without end.
const SCOPES_MAX: usize = 64;

const SIGNED_OUT: &str = "it was signed out meanwhile";

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
        let (wish, client) = (Wish::of(&headers), inner.client().await);
        let resource = discovery::resource(&client, &inner.server, &wish).await?;
        let issuer = discovery::issuer(&client, &inner.server, &resource).await?;
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

    /// With what to ask what the server names: a server outside of the house leads nobody into it.
    async fn client(&self) -> Https {
        let host = url::host(&self.server);
        let is_inside = url::is_of_the_house(&host) || {
            // Its port does not matter.
            let found = tokio::net::lookup_host((host.as_str(), 443)).await;
            found.is_ok_and(|mut found| found.any(|address| lan::is_reserved(address.ip())))
        };
        if is_inside { self.client.clone() } else { self.client.outside() }
    }

    /// Keeps what the hub is to an issuer: that stays good whatever the person says. So does what was given to it before, as it is
    /// now: it may have been refreshed since anybody looked.
    async fn keep_registration(&self, fresh: &Kept, forgotten: u64) -> Result<(), Refused> {
        let kept = {
            let mut known = self.known();
            if known.forgotten != forgotten {
                return refused(SIGNED_OUT);
            }
            let before = known.kept.take();
            let before = before.filter(|kept| kept.issuer == fresh.issuer && kept.client_id == fresh.client_id);
            let kept = match before {
                Some(before) => Kept { redirect_uri: fresh.redirect_uri.clone(), ..before },
                None => fresh.clone(),
            };
            known.kept.insert(kept).clone()
        };
        self.vault.save(&self.server, Some(&kept)).await;
        Ok(())
    }

    /// Keeps what took the place of `token`. Where a person has signed in meanwhile, what they were given is newer and stays.
    async fn keep_refreshed(&self, kept: Kept, token: Option<&Secret>, forgotten: u64) -> Result<(), Refused> {
        let now = self.known().kept.as_ref().and_then(|kept| kept.token.clone());
        if now.is_some() && now.as_ref() != token {
            return Ok(());
        }
        self.keep(kept, forgotten).await
    }

    /// Keeps what came of it, unless everything was forgotten since `forgotten` was read.
    async fn keep(&self, kept: Kept, forgotten: u64) -> Result<(), Refused> {
        {
            let mut known = self.known();
            if known.forgotten != forgotten {
                return refused(SIGNED_OUT);
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
        let client = self.client().await;
        let resource = discovery::resource(&client, &self.server, &wish).await?;
        let issuer = discovery::issuer(&client, &self.server, &resource).await?;
        let same = kept.as_ref().filter(|kept| kept.issuer == issuer.issuer);
        let wants_more = challenge.status == 403;
        let mut why = String::new();
        if let Some(mut kept) = same.filter(|kept| kept.refresh.is_some() && !wants_more).cloned() {
            match flow::refresh(&client, &issuer, &resource, &mut kept).await {
                Ok(()) => return self.keep_refreshed(kept, token.as_ref(), forgotten).await,
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
        let (redirect_uri, client) = (consent.redirect_uri(), self.client().await);
        let mut fresh = register::identify(&client, identity, issuer, &redirect_uri, kept).await?;
        self.keep_registration(&fresh, forgotten).await?;
        fresh.scopes = scopes;
        let random = |bytes: &mut [u8]| {
            getrandom::fill(bytes).expect("the kernel's random source does not fail once the system is up");
        };
        let attempt = Attempt::new(issuer, resource, &fresh, &redirect_uri, random);
        let redirected = consent.ask(attempt.url.clone()).await.map_err(Refused)?;
        let code = attempt.code(issuer, &redirected)?;
        attempt.redeem(&client, issuer, resource, &mut fresh, (&code, &redirect_uri)).await?;
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
    // What is wanted now goes first, so that it is not what is left out.
    let all = named.into_iter().chain(offline).chain(had.iter().cloned());
    all.filter(|scope| seen.insert(scope.clone())).take(SCOPES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::upstream::oauth::{Method, Pocket};

    fn kept(token: &str) -> Kept {
        Kept {
            issuer: "https://login".into(),
            client_id: "hub-1".into(),
            client_secret: None,
            method: Method::None,
            redirect_uri: None,
            token: Some(Secret::new(token)).filter(|_| !token.is_empty()),
            refresh: Some(Secret::new(format!("{token}-refresh"))),
            scopes: Vec::new(),
        }
    }

    fn keeper(token: &str) -> Keeper {
        let keeper = Keeper::new(
            "https://mcp.example/mcp",
            Https::new(),
            Identity::default(),
            Arc::new(Pocket::default()),
            None,
        );
        keeper.0.known().kept = Some(kept(token));
        keeper
    }

    fn has(keeper: &Keeper, token: &str) -> bool {
        let in_vault = keeper.0.vault.load(&keeper.0.server).and_then(|kept| kept.token);
        keeper.token() == Some(Secret::new(token)) && in_vault.is_none_or(|kept| kept == Secret::new(token))
    }

    /// A refresh token that was used once is worth nothing; who shows it again loses all.
    #[tokio::test]
    async fn a_sign_in_that_begins_does_not_bring_back_a_token_that_was_refreshed_meanwhile() {
        let keeper = keeper("t1");
        let fresh = Kept { token: None, refresh: None, redirect_uri: Some("http://hub/back".into()), ..kept("t1") };
        keeper.0.keep(kept("t2"), 0).await.expect("nobody signed out");
        keeper.0.keep_registration(&fresh, 0).await.expect("nobody signed out");
        assert!(has(&keeper, "t2"));
        let kept = keeper.0.known().kept.clone().expect("it is there");
        assert_eq!(kept.redirect_uri, fresh.redirect_uri);
        assert_eq!(kept.refresh, Some(Secret::new("t2-refresh")));
        let other = Kept { issuer: "https://other".into(), ..fresh };
        keeper.0.keep_registration(&other, 0).await.expect("nobody signed out");
        assert_eq!(keeper.token(), None, "another issuer gets nothing of it");
    }

    #[tokio::test]
    async fn a_refresh_that_comes_late_does_not_undo_a_sign_in() {
        let keeper = keeper("t1");
        keeper.0.keep(kept("signed-in"), 0).await.expect("nobody signed out");
        keeper.0.keep_refreshed(kept("t2"), Some(&Secret::new("t1")), 0).await.expect("there is a token");
        assert!(has(&keeper, "signed-in"));
        keeper.0.keep_refreshed(kept("t3"), Some(&Secret::new("signed-in")), 0).await.expect("there is a token");
        assert!(has(&keeper, "t3"));
        keeper.forget().await;
        assert!(keeper.0.keep_refreshed(kept("t4"), Some(&Secret::new("t3")), 0).await.is_err(), "signed out");
        assert_eq!(keeper.token(), None);
    }

    #[test]
    fn scopes_do_not_grow_without_end() {
        let had: Vec<String> = (0..200).map(|n| format!("old{n}")).collect();
        let wish = Wish { scope: Some("new old1".into()), resource_metadata: None };
        let resource = Resource { resource: "r".into(), issuer: "i".into(), scopes: Vec::new(), is_silent: false };
        let issuer = Issuer {
            issuer: "i".into(),
            authorization_endpoint: "a".into(),
            token_endpoint: "t".into(),
            registration_endpoint: None,
            scopes: Vec::new(),
            methods: Vec::new(),
            names_itself: false,
            reads_metadata: false,
        };
        let scopes = scopes(&wish, &resource, &issuer, &had);
        assert_eq!((scopes.len(), &*scopes[0], &*scopes[1]), (SCOPES_MAX, "new", "old1"));
    }
}
