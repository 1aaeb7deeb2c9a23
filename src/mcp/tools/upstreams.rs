//! `mcp_servers.*` and `tools.*` beyond the records: how servers behind the hub are, what of them waits for an owner's word, and which tools are
//! in each other's way.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::error::ErrorCode;
use crate::common::who::Role;
use crate::mcp::call::{Call, Fault, Outcome, ToolOutput};
use crate::mcp::definition::{Annotations, Definition};
use crate::mcp::tools::Tool;
use crate::mcp::upstream::Aggregator;
use crate::mcp::upstream::conflicts::Conflict;
use crate::mcp::upstream::owning::{Changes, ServerStatus};
use crate::mcp::upstream::pinning::Which;
use crate::mcp::upstream::resolver::Proposal;
use crate::store::EntryKind;

/// Names that `mcp_servers.refresh` tells of each sort.
const NAMES_SHOWN_MAX: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

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
            native::<MaybeServer, Servers>(
                "mcp_servers.status",
                "How MCP servers are",
                "How the MCP servers behind the hub are: running, broken and why, how many tools they have, what waits for an \
                 owner's word.",
                Annotations::READS,
            ),
            |aggregator, asked: MaybeServer| async move {
                Ok(Servers { servers: aggregator.status(asked.slug.as_deref())? })
            },
        ),
        tool(
            of,
            native::<OneServer, Refreshed>(
                "mcp_servers.refresh",
                "Ask an MCP server what it has",
                "Asks an MCP server behind the hub anew what tools, prompts and resources it has, starting it if need be. What \
                 is new or changed waits for an owner's word, unless the server is trusted.",
                Annotations::SETS,
            ),
            |aggregator, asked: OneServer| async move {
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
            native::<OneServer, Changes>(
                "mcp_servers.changes",
                "What waits at an MCP server",
                "The tools and prompts of an MCP server that are new, or not what was approved, with every difference. They are \
                 not usable until mcp_servers.approve.",
                Annotations::READS,
            ),
            |aggregator, asked: OneServer| async move { aggregator.waiting(&asked.slug).await },
        ),
        tool(
            of,
            native::<Approve, Approved>(
                "mcp_servers.approve",
                "Approve tools of an MCP server",
                "Makes tools and prompts of an MCP server usable as they are offered now: one, or all that wait. Look at \
                 mcp_servers.changes first.",
                Annotations::SETS,
            ),
            |aggregator, asked: Approve| async move {
                let which = which(&asked)?;
                Ok(Approved { approved: aggregator.approve(&asked.slug, which, asked.if_revision).await? })
            },
        ),
        tool(
            of,
            native::<Nothing, Conflicts>(
                "tools.conflicts",
                "Tools in each other's way",
                "Which tools of MCP servers are in each other's way: the same name with other arguments, the same tool at \
                 several servers, near duplicates, overlays without effect.",
                Annotations::READS,
            ),
            |aggregator, _: Nothing| async move { Ok(Conflicts { conflicts: aggregator.conflicts() }) },
        ),
        tool(
            of,
            native::<Nothing, Proposed>(
                "tools.propose",
                "Ask the model for better tools",
                "Asks the language model which tools should be renamed, described better, merged or hidden. The proposals wait \
                 for tools.apply_proposal, unless the setting tools.policy applies them.",
                Annotations { open_world: Some(true), ..Annotations::ADDS },
            ),
            |aggregator, _: Nothing| async move { Ok(Proposed { proposals: aggregator.propose().await? }) },
        ),
        tool(
            of,
            native::<Nothing, Proposed>(
                "tools.proposals",
                "Proposals about tools",
                "What the language model proposed about tools and nobody has decided yet.",
                Annotations::READS,
            ),
            |aggregator, _: Nothing| async move { Ok(Proposed { proposals: aggregator.proposals().await? }) },
        ),
        tool(
            of,
            native::<ProposalId, Proposal>(
                "tools.apply_proposal",
                "Apply a proposal",
                "Applies a proposal as a tool overlay. tool_overlays.delete takes it away again.",
                Annotations::SETS,
            ),
            |aggregator, asked: ProposalId| async move { aggregator.decide(&asked.id, true).await },
        ),
        tool(
            of,
            native::<ProposalId, Proposal>(
                "tools.dismiss_proposal",
                "Dismiss a proposal",
                "Drops a proposal without applying it.",
                Annotations::SETS,
            ),
            |aggregator, asked: ProposalId| async move { aggregator.decide(&asked.id, false).await },
        ),
    ]
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

/// A definition for owners alone: what servers say of themselves, and what is done about it, is theirs.
fn native<I: JsonSchema, O: JsonSchema>(
    name: &str,
    title: &str,
    description: &str,
    annotations: Annotations,
) -> Definition {
    Definition::native::<I, O>(name, title, description, annotations, Role::Owner)
}

/// A tool of a function with typed arguments and a typed result.
struct Typed<F> {
    aggregator: Arc<Aggregator>,
    definition: Arc<Definition>,
    run: F,
}

fn tool<I, O, F, R>(aggregator: &Arc<Aggregator>, definition: Definition, run: F) -> Arc<dyn Tool>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Fn(Arc<Aggregator>, I) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<O, Fault>> + Send + 'static,
{
    let answer = move |aggregator: Arc<Aggregator>, call: Call| -> BoxFuture<'static, Result<Outcome, Fault>> {
        async move {
            let arguments = serde_json::from_value(Value::Object(call.arguments));
            let arguments =
                arguments.map_err(|error| Fault::new(ErrorCode::BadRequest, format!("arguments: {error}")))?;
            let result = run(aggregator, arguments).await?;
            let result = serde_json::to_value(&result).expect("the results of these tools have text keys only");
            Ok(Outcome::Done(ToolOutput::structured(result)))
        }
        .boxed()
    };
    Arc::new(Typed { aggregator: aggregator.clone(), definition: Arc::new(definition), run: answer })
}

impl<F> Tool for Typed<F>
where
    F: Fn(Arc<Aggregator>, Call) -> BoxFuture<'static, Result<Outcome, Fault>> + Send + Sync,
{
    fn definition(&self) -> Arc<Definition> {
        self.definition.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        (self.run)(self.aggregator.clone(), call)
    }
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
