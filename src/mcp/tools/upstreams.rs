//! `mcp_servers.*` and `tools.*` beyond the records: how servers behind the hub are, what of them waits for an owner's word, and which tools are
//! in each other's way.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::typed::{About, Deleted};
use super::users::in_person;
use super::{Nothing, Tool, tool};
use crate::common::error::ErrorCode;
use crate::common::secret::Secret;
use crate::common::time::UnixMillis;
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::mcp::upstream::Aggregator;
use crate::mcp::upstream::conflicts::Conflict;
use crate::mcp::upstream::oauth::desk::Wanted;
use crate::mcp::upstream::owning::ServerStatus;
use crate::mcp::upstream::pinning::Which;
use crate::mcp::upstream::resolver::Proposal;
use crate::store::EntryKind;

/// Names that `mcp_servers.refresh` tells of each sort.
const NAMES_SHOWN_MAX: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MaybeServer {
    /// The server's name; absent: all.
    slug: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneServer {
    /// The server's name.
    slug: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// The server's name.
    slug: String,
    /// One tool, by the server's own name; absent: everything that waits.
    tool: Option<String>,
    /// One prompt, by the server's own name.
    prompt: Option<String>,
    /// Approve the one tool or prompt only if it still is what mcp_servers.changes showed.
    sha256: Option<String>,
    /// Approve only if the catalog still is what mcp_servers.changes showed.
    if_revision: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToSignIn {
    /// The server's name.
    slug: String,
    /// The hub's address as the browser reaches it, such as `http://hub.local:8000`: there the browser comes back. Absent: the
    /// hub's own, for a browser on the same machine.
    hub: Option<String>,
    /// As whom the hub was registered by hand, where whoever gives the tokens registers nobody by itself.
    client_id: Option<String>,
    /// The secret that came with client_id.
    #[schemars(extend("writeOnly" = true))]
    client_secret: Option<String>,
    /// Ends a sign-in that was begun: the whole address at which the browser ended, where it could not reach the hub from there.
    #[schemars(extend("writeOnly" = true))]
    returned: Option<String>,
}

/// A sign-in that waits for a person, or is done.
#[derive(Serialize, JsonSchema)]
struct SignedIn {
    slug: String,
    /// `waiting`: open `url`; `signed_in`: nothing is left to do.
    state: String,
    /// What to open in a browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Where the browser comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    /// Until when, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<UnixMillis>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProposalId {
    /// As tools.proposals lists it.
    id: String,
}

#[derive(Serialize, JsonSchema)]
struct Servers {
    servers: Vec<ServerStatus>,
}

/// What a server has that it had not, and the reverse, by its own names.
#[derive(Serialize, JsonSchema)]
struct Refreshed {
    slug: String,
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    /// Tools and prompts that wait for an owner's word.
    waiting: usize,
}

#[derive(Serialize, JsonSchema)]
struct Approved {
    /// How many waited.
    approved: usize,
}

#[derive(Serialize, JsonSchema)]
struct Conflicts {
    conflicts: Vec<Conflict>,
}

#[derive(Serialize, JsonSchema)]
struct Proposed {
    proposals: Vec<Proposal>,
}

/// All of them.
pub fn tools(aggregator: &Arc<Aggregator>) -> Vec<Arc<dyn Tool>> {
    let of = aggregator;
    vec![
        tool(
            of,
            owners(
                "mcp_servers.status",
                "How MCP servers are",
                "How the MCP servers behind the hub are: running, broken and why, how many tools they have, what waits for an \
                 owner's word.",
                Annotations::READS,
            ),
            |aggregator, asked: MaybeServer, _| async move {
                Ok(Servers { servers: aggregator.status(asked.slug.as_deref())? })
            },
        ),
        tool(
            of,
            owners(
                "mcp_servers.refresh",
                "Ask an MCP server what it has",
                "Asks an MCP server behind the hub anew what tools, prompts and resources it has, starting it if need be. What \
                 is new or changed waits for an owner's word, unless the server is trusted.",
                Annotations::SETS,
            ),
            |aggregator, asked: OneServer, _| async move {
                let news = aggregator.refresh(&asked.slug).await?;
                let names = |list: Vec<(EntryKind, String)>| -> Vec<String> {
                    list.into_iter().take(NAMES_SHOWN_MAX).map(|(_, name)| name).collect()
                };
                Ok(Refreshed {
                    slug: asked.slug,
                    added: names(news.added),
                    changed: names(news.changed),
                    removed: names(news.removed),
                    waiting: news.quarantined,
                })
            },
        ),
        tool(
            of,
            owners(
                "mcp_servers.changes",
                "What waits at an MCP server",
                "The tools and prompts of an MCP server that are new, or not what was approved, with every difference. They are \
                 not usable until mcp_servers.approve.",
                Annotations::READS,
            ),
            |aggregator, asked: OneServer, _| async move { aggregator.waiting(&asked.slug).await },
        ),
        tool(
            of,
            owners(
                "mcp_servers.approve",
                "Approve tools of an MCP server",
                "Makes tools and prompts of an MCP server usable as they are offered now: one, or all that wait. Look at \
                 mcp_servers.changes first. Not done by a model.",
                Annotations::SETS,
            ),
            |aggregator, asked: Approve, who: Arc<Principal>| async move {
                // What waits may have been written to talk a model into this.
                in_person(&who)?;
                let which = which(&asked)?;
                Ok(Approved { approved: aggregator.approve(&asked.slug, which, asked.if_revision).await? })
            },
        ),
        tool(
            of,
            owners(
                "mcp_servers.sign_in",
                "Sign in to an MCP server",
                "Begins a sign-in to an MCP server that wants one (OAuth), and gives the address that a person opens in a browser. \
                 The browser comes back to the hub by itself; mcp_servers.status says how it went.",
                Annotations { open_world: Some(true), ..Annotations::SETS },
            ),
            sign_in,
        ),
        tool(
            of,
            owners(
                "mcp_servers.sign_out",
                "Sign out of an MCP server",
                "Forgets the tokens of an MCP server, and what the hub was registered as for it.",
                Annotations::DESTROYS,
            ),
            |aggregator, asked: OneServer, who: Arc<Principal>| async move {
                in_person(&who)?;
                Ok(Deleted { deleted: aggregator.sign_out(&asked.slug).await? })
            },
        ),
        tool(
            of,
            owners(
                "tools.conflicts",
                "Tools in each other's way",
                "Which tools of MCP servers are in each other's way: the same name with other arguments, the same tool at \
                 several servers, near duplicates, overlays without effect.",
                Annotations::READS,
            ),
            |aggregator, _: Nothing, _| async move { Ok(Conflicts { conflicts: aggregator.conflicts() }) },
        ),
        tool(
            of,
            owners(
                "tools.propose",
                "Ask the model for better tools",
                "Asks the language model which tools should be renamed, described better, merged or hidden. The proposals wait \
                 for tools.apply_proposal, unless the setting tools.policy applies them.",
                Annotations { open_world: Some(true), ..Annotations::ADDS },
            ),
            |aggregator, _: Nothing, _| async move { Ok(Proposed { proposals: aggregator.propose().await? }) },
        ),
        tool(
            of,
            owners(
                "tools.proposals",
                "Proposals about tools",
                "What the language model proposed about tools and nobody has decided yet.",
                Annotations::READS,
            ),
            |aggregator, _: Nothing, _| async move { Ok(Proposed { proposals: aggregator.proposals().await? }) },
        ),
        tool(
            of,
            owners(
                "tools.apply_proposal",
                "Apply a proposal",
                "Applies a proposal as a tool overlay. tool_overlays.delete takes it away again.",
                Annotations::SETS,
            ),
            |aggregator, asked: ProposalId, _| async move { aggregator.decide(&asked.id, true).await },
        ),
        tool(
            of,
            owners(
                "tools.dismiss_proposal",
                "Dismiss a proposal",
                "Drops a proposal without applying it.",
                Annotations::SETS,
            ),
            |aggregator, asked: ProposalId, _| async move { aggregator.decide(&asked.id, false).await },
        ),
    ]
}

async fn sign_in(aggregator: Arc<Aggregator>, asked: ToSignIn, who: Arc<Principal>) -> Result<SignedIn, Fault> {
    in_person(&who)?;
    let ToSignIn { slug, hub, client_id, client_secret, returned } = asked;
    if let Some(returned) = returned {
        let slug = aggregator.returned(&returned).await?.into_string();
        return Ok(SignedIn { slug, state: "signed_in".into(), url: None, redirect_uri: None, expires_at_ms: None });
    }
    let wanted = Wanted { hub, client_id, client_secret: client_secret.map(Secret::new) };
    let begun = aggregator.sign_in(&slug, wanted).await?;
    Ok(SignedIn {
        slug,
        state: "waiting".into(),
        url: Some(begun.url),
        redirect_uri: Some(begun.redirect_uri),
        expires_at_ms: Some(begun.expires_at_ms),
    })
}

fn which(asked: &Approve) -> Result<Which, Fault> {
    let one = |kind, name: &String| Which::One { kind, name: name.clone(), sha256: asked.sha256.clone() };
    match (&asked.tool, &asked.prompt, &asked.sha256) {
        (Some(name), None, _) => Ok(one(EntryKind::Tool, name)),
        (None, Some(name), _) => Ok(one(EntryKind::Prompt, name)),
        (None, None, None) => Ok(Which::All),
        _ => Err(Fault::new(ErrorCode::BadRequest, "give a tool or a prompt, not both; sha256 is that of the one")),
    }
}

/// For owners alone: what servers say of themselves, and what is done about it, is theirs.
fn owners(name: &'static str, title: &'static str, description: &'static str, annotations: Annotations) -> About {
    About { name, title, description, annotations, access: Role::Owner }
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
