//! Signing in to servers behind the hub: finds the server, has the desk do it, and has the server asked anew afterwards.

use crate::common::error::ErrorCode;
use crate::mcp::call::Fault;
use crate::mcp::upstream::aggregator::Aggregator;
use crate::mcp::upstream::oauth::desk::{Begun, Wanted, hub_address};
use crate::mcp::upstream::oauth::{Desk, Refused};

impl Aggregator {
    /// Begins a sign-in, and gives what a person has to open. The server is asked what it has once it is done.
    pub async fn sign_in(&self, slug: &str, wanted: Wanted) -> Result<Begun, Fault> {
        if let Some(Err(why)) = wanted.hub.as_deref().map(hub_address) {
            return Err(Fault::new(ErrorCode::BadRequest, why.0));
        }
        let row = self.member(slug).ok_or_else(|| self.absent(slug))?.row.clone();
        let (me, name) = (self.me(), Box::<str>::from(slug));
        let then = move || me.reached_anew(&name, "it was signed in to");
        let begun = self.signing()?.begin(slug, &row, wanted, then).await;
        begun.map_err(|why| told(slug, &why))
    }

    /// Ends a sign-in by the address at which the browser ended.
    pub async fn returned(&self, address: &str) -> Result<Box<str>, Fault> {
        let (place, query) = address.split_once('?').unwrap_or((address, ""));
        let host = place.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        let arrived = self.signing()?.arrived(host, query).await;
        arrived.map_err(|why| Fault::new(ErrorCode::BadRequest, format!("The sign-in failed: {why}.")))
    }

    /// Forgets the tokens of a server. False: there were none.
    pub async fn sign_out(&self, slug: &str) -> Result<bool, Fault> {
        let had = self.signing()?.forget(slug).await;
        if had {
            tracing::info!(server = slug, "signed out of an MCP server");
            self.reached_anew(slug, "it was signed out of");
        }
        Ok(had)
    }

    /// Forgets the tokens of servers that are gone.
    pub(super) async fn forget_sign_ins(&self) {
        let Some(desk) = self.desk() else { return };
        let servers = self.shop().servers.clone();
        let is_there = |slug: &str, url: &str| {
            let row = servers.get(slug).map(|server| &server.row);
            row.is_some_and(|row| row.url.as_deref() == Some(url))
        };
        desk.keep_only(is_there).await;
    }

    fn reached_anew(&self, slug: &str, why: &str) {
        if let Some(member) = self.member(slug) {
            member.renew(why);
            self.agenda.discover(slug);
        }
    }

    fn signing(&self) -> Result<&std::sync::Arc<Desk>, Fault> {
        self.desk().ok_or_else(|| Fault::new(ErrorCode::Unsupported, "This hub signs in nowhere."))
    }
}

fn told(slug: &str, why: &Refused) -> Fault {
    Fault::new(ErrorCode::Offline, format!("The sign-in to the MCP server \"{slug}\" cannot begin: {why}."))
}
