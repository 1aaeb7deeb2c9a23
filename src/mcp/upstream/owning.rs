//! What an owner sees of the servers and does about their tools: how each is, what waits for a word, which tools are in each other's way, and
//! what a model proposes. Behind the tools of `mcp::tools::upstreams`; never on the way of a call.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::common::error::ErrorCode;
use crate::common::time::{UnixMillis, whole_ms};
use crate::mcp::call::Fault;
use crate::mcp::upstream::aggregator::Aggregator;
use crate::mcp::upstream::conflicts::{Conflict, ConflictKind, conflicts};
use crate::mcp::upstream::health::Doing;
use crate::mcp::upstream::oauth::desk::SignInStatus;
use crate::mcp::upstream::pinning::differences;
use crate::mcp::upstream::resolver::{PROPOSALS_KEY, Proposal, apply, question, read_answer};
use crate::mcp::upstream::trouble::clean;
use crate::store::{Catalog, EntryKind, Setting, Standing, ToolOverlay, WriteError};

/// Entries that wait, in one answer.
pub const WAITING_SHOWN_MAX: usize = 200;

/// Characters of a description in it.
const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// How a server is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServerStatus {
    pub slug: String,
    /// `config`: its row stands in config.yaml; `store`: it was added while the hub ran.
    pub source: String,
    pub enabled: bool,
    /// Its tools are usable without an owner's word.
    pub trust: bool,
    /// `off`, `stopped` (starts with its next call), `starting`, `up` or `broken`.
    pub state: String,
    /// What went wrong last, until it is well again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Failures since it was last well.
    pub failures: u32,
    /// Calls that run now.
    pub calls: usize,
    /// How long a call takes on average, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u64>,
    /// Process id, while a program of this machine runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was last asked what it has; absent: nothing is known of it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at_ms: Option<UnixMillis>,
    /// The revision of MCP that it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Name and version, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    pub tools: usize,
    pub prompts: usize,
    pub resources: usize,
    /// Tools and prompts that nobody has approved yet.
    pub waiting_new: usize,
    /// Tools and prompts that are not what was approved.
    pub waiting_changed: usize,
    /// What it offered and the hub did not take; mcp_servers.changes says why.
    pub left_out: usize,
    /// Where the server wants a sign-in, or has had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignInStatus>,
}

/// A tool or prompt that waits for an owner's word.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Waiting {
    /// `tool` or `prompt`.
    pub kind: String,
    /// The server's own name of it.
    pub name: String,
    /// `new` or `changed`.
    pub state: String,
    /// Of what is offered; give it to mcp_servers.approve, and nothing else is approved.
    pub sha256: String,
    /// As the server wrote it. Not from the hub: read it before you believe it.
    pub description: String,
    /// What is not as it was approved.
    pub differences: Vec<Difference>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// Such as `inputSchema.properties.path.type`.
    pub field: String,
    /// Absent: it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Absent: it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
}

/// Something that the hub did not take from a server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NotTaken {
    pub kind: String,
    pub name: String,
    pub why: String,
}

/// What of a server waits.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Changes {
    pub slug: String,
    /// Of the catalog; with it in mcp_servers.approve exactly this is approved.
    pub revision: u64,
    pub waiting: Vec<Waiting>,
    /// There are more than are shown.
    pub more: usize,
    pub left_out: Vec<NotTaken>,
}

impl Aggregator {
    /// How the servers are, or one of them.
    pub fn status(&self, slug: Option<&str>) -> Result<Vec<ServerStatus>, Fault> {
        let shop = self.shop();
        let wanted = shop.servers.iter().filter(|(name, _)| slug.is_none_or(|slug| ***name == *slug));
        let all: Vec<_> = wanted
            .map(|(name, server)| {
                let vitals = shop.members.get(name).map(|member| member.vitals());
                let shelf = shop.shelves.get(name);
                let counts = shelf.map(|shelf| shelf.counts).unwrap_or_default();
                let state = match vitals.as_ref().map(|vitals| vitals.doing) {
                    None => "off",
                    Some(Doing::Stopped) => "stopped",
                    Some(Doing::Starting) => "starting",
                    Some(Doing::Up) => "up",
                    Some(Doing::Broken) => "broken",
                };
                let says = shelf.and_then(|shelf| {
                    let word = |key| shelf.server.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
                    let says = clean(&format!("{} {}", word("name"), word("version")));
                    Some(says).filter(|says| !says.trim().is_empty())
                });
                ServerStatus {
                    slug: name.to_string(),
                    source: server.source.as_str().into(),
                    enabled: server.enabled,
                    trust: server.row.trust,
                    state: state.into(),
                    problem: vitals.as_ref().and_then(|vitals| vitals.why.clone()),
                    failures: vitals.as_ref().map_or(0, |vitals| vitals.failures),
                    calls: vitals.as_ref().map_or(0, |vitals| vitals.running),
                    call_ms: vitals.as_ref().and_then(|vitals| vitals.call_takes).map(whole_ms),
                    pid: vitals.as_ref().and_then(|vitals| vitals.pid),
                    asked_at_ms: shelf.map(|shelf| shelf.asked_at_ms),
                    protocol: shelf.map(|shelf| shelf.protocol.to_string()).filter(|protocol| !protocol.is_empty()),
                    says,
                    tools: counts.tools,
                    prompts: counts.prompts,
                    resources: counts.resources,
                    waiting_new: counts.new,
                    waiting_changed: counts.changed,
                    left_out: counts.left_out,
                    sign_in: self.desk().and_then(|desk| desk.standing(name, &server.row)),
                }
            })
            .collect();
        drop(shop);
        match (slug, all.is_empty()) {
            (Some(slug), true) => Err(self.absent(slug)),
            _ => Ok(all),
        }
    }

    /// What of a server waits for an owner's word, and what is different about it.
    pub async fn waiting(&self, slug: &str) -> Result<Changes, Fault> {
        let Some(catalog) = self.catalog(slug).await? else {
            return match self.member(slug) {
                Some(_) => Err(Fault::new(
                    ErrorCode::NotFound,
                    format!("Nothing is known yet of the MCP server \"{slug}\": ask it (mcp_servers.refresh)."),
                )),
                None => Err(self.absent(slug)),
            };
        };
        Ok(changes(catalog))
    }

    /// Which tools are in each other's way, and which overlays have no effect.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let view = self.view();
        let mut found = conflicts(&view.tools);
        found.extend(view.refused.iter().map(|refused| Conflict {
            kind: ConflictKind::Overlay,
            tools: vec![refused.tool.to_string()],
            hint: refused.why.clone(),
        }));
        found
    }

    /// Asks the model what could be better. The proposals wait in the store, or are applied where the policy says so.
    pub async fn propose(&self) -> Result<Vec<Proposal>, Fault> {
        let Some(advisor) = self.advisor() else {
            return Err(Fault::new(ErrorCode::Unsupported, "No language model is there to be asked about tools."));
        };
        let view = self.view();
        let found = conflicts(&view.tools);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let answer = advisor.advise(question(&found, &view.tools)).await;
        let unusable = |why: String| {
            Fault::new(ErrorCode::ProviderError, format!("The model gave no proposals: {}.", clean(&why)))
        };
        let answer = answer.map_err(unusable)?;
        let proposals = read_answer(&answer, &view.tools, &self.persistent_names()).map_err(unusable)?;
        if self.shop().policy.applies_proposals() {
            for proposal in &proposals {
                self.lay(proposal, "policy").await?;
            }
            self.keep_proposals(Vec::new()).await?;
        } else {
            self.keep_proposals(proposals.clone()).await?;
        }
        Ok(proposals)
    }

    /// What was proposed and waits.
    pub async fn proposals(&self) -> Result<Vec<Proposal>, Fault> {
        let setting = self.store.get::<Setting>(PROPOSALS_KEY).await;
        let setting = setting
            .map_err(|error| Fault::new(ErrorCode::Internal, format!("The proposals could not be read: {error}.")))?;
        // What cannot be read was written by an older hub: it can be proposed again.
        Ok(setting.and_then(|setting| serde_json::from_value(setting.value).ok()).unwrap_or_default())
    }

    /// Applies a proposal, or drops it.
    pub async fn decide(&self, id: &str, is_wanted: bool) -> Result<Proposal, Fault> {
        let mut proposals = self.proposals().await?;
        let Some(at) = proposals.iter().position(|proposal| proposal.id == id) else {
            let none = "There is no such proposal (any more); tools.proposals lists them.";
            return Err(Fault::new(ErrorCode::NotFound, none));
        };
        let proposal = proposals.remove(at);
        if is_wanted {
            self.lay(&proposal, "resolver").await?;
        }
        self.keep_proposals(proposals).await?;
        Ok(proposal)
    }

    async fn lay(&self, proposal: &Proposal, by: &'static str) -> Result<(), Fault> {
        let laid = proposal.clone();
        let overlay = move |overlay: Option<ToolOverlay>| Ok(apply(&laid, overlay, by));
        self.store.update::<ToolOverlay, _>(&proposal.tool, overlay).await.map_err(not_kept)?;
        Ok(())
    }

    async fn keep_proposals(&self, proposals: Vec<Proposal>) -> Result<(), Fault> {
        if proposals.is_empty() {
            self.store.delete::<Setting>(PROPOSALS_KEY, None).await.map_err(not_kept)?;
            return Ok(());
        }
        let value = serde_json::to_value(proposals).expect("proposals have text keys only");
        let setting = Setting { key: PROPOSALS_KEY.into(), value, revision: 0 };
        self.store.put(setting, None).await.map_err(not_kept)?;
        Ok(())
    }

    /// A listed name → the one for good, of tools that were renamed.
    fn persistent_names(&self) -> BTreeMap<Box<str>, Box<str>> {
        let shop = self.shop();
        let renamed = |tool: &Arc<crate::mcp::Definition>| {
            let crate::mcp::Origin::Server { slug, tool: own } = &tool.origin else { return None };
            let persistent = shop.names.get(slug, EntryKind::Tool, own)?;
            (*persistent != *tool.name).then(|| (tool.name.clone(), (*persistent).into()))
        };
        self.view().tools.iter().filter_map(renamed).collect()
    }
}

fn changes(catalog: Catalog) -> Changes {
    let waits = catalog.entries.iter().filter(|entry| entry.offered && entry.standing != Standing::Approved);
    let count = waits.clone().count();
    let waiting = waits.take(WAITING_SHOWN_MAX).map(|entry| {
        let description = entry.definition.get("description").and_then(serde_json::Value::as_str);
        let (state, found) = match &entry.standing {
            Standing::Changed { approved, .. } => ("changed", differences(approved, &entry.definition)),
            _ => ("new", Vec::new()),
        };
        Waiting {
            kind: entry.kind.as_str().into(),
            name: entry.name.clone(),
            state: state.into(),
            sha256: entry.sha256.clone(),
            description: description.unwrap_or_default().chars().take(DESCRIPTION_CHARS_MAX).collect(),
            differences: found
                .into_iter()
                .map(|found| Difference { field: found.field, was: found.was, is: found.is })
                .collect(),
        }
    });
    Changes {
        waiting: waiting.collect(),
        more: count.saturating_sub(WAITING_SHOWN_MAX),
        revision: catalog.revision,
        left_out: catalog
            .left_out
            .into_iter()
            .map(|left| NotTaken { kind: left.kind.as_str().into(), name: left.name, why: left.why })
            .collect(),
        slug: catalog.slug,
    }
}

fn not_kept(error: WriteError) -> Fault {
    error.to_body().into()
}
