//! `tool_overlays.*`: what owners lay over single tools: another name or description, hiding, pinning, merging. All of it can be
//! taken away again.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use super::typed::{About, Deleted, bad_request, not_found, not_read, not_written};
use super::users::in_person;
use super::{House, Tool, tool};
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::mcp::upstream::names::may_be_of_a_server;
use crate::store::ToolOverlay;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The tool's persistent name, such as `files__read_file`.
    tool: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Set {
    #[serde(flatten)]
    overlay: ToolOverlay,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    tool: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    overlays: Vec<ToolOverlay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "tool_overlays.list",
        title: "All overlays of tools",
        description: "What is laid over tools of the servers behind the hub: other names and descriptions, hiding, pinning, merging.",
        annotations: Annotations::READS,
        access: Role::Member,
    };
    let get =
        About { name: "tool_overlays.get", title: "One overlay", description: "What is laid over one tool.", ..list };
    let set = About {
        name: "tool_overlays.set",
        title: "Write an overlay",
        description: "Lays something over a tool: another name or description, hiding it, pinning it, merging it into another one, or \
                      another least role. The record is written whole, and holds at once.",
        annotations: Annotations::SETS,
        access: Role::Owner,
    };
    let delete = About {
        name: "tool_overlays.delete",
        title: "Take an overlay away",
        description: "Takes away what is laid over a tool, which is as its server says afterwards.",
        annotations: Annotations { destructive: Some(false), ..Annotations::DESTROYS },
        access: Role::Owner,
    };
    vec![tool(house, list, all), tool(house, get, one), tool(house, set, put), tool(house, delete, take)]
}

async fn all(house: Arc<House>, input: Page, _: Arc<Principal>) -> Result<Listed, Fault> {
    let all = house.store.list::<ToolOverlay>().await.map_err(not_read)?;
    let (overlays, next_cursor) = page::cut(all, &input, |overlay| overlay.tool.as_str());
    Ok(Listed { overlays, next_cursor })
}

async fn one(house: Arc<House>, input: Which, _: Arc<Principal>) -> Result<ToolOverlay, Fault> {
    let found = house.store.get::<ToolOverlay>(&input.tool).await.map_err(not_read)?;
    found.ok_or_else(|| not_found("overlay of this tool; tool_overlays.list shows all"))
}

async fn put(house: Arc<House>, input: Set, who: Arc<Principal>) -> Result<ToolOverlay, Fault> {
    let overlay = input.overlay;
    if !may_be_of_a_server(&overlay.tool) {
        return Err(bad_request(
            "tool: the persistent name of a tool of a server behind the hub, such as files__read_file. Over the hub's own tools \
             nothing is laid; who may use them is said with users.set.",
        ));
    }
    may_change(&house, &overlay.tool, overlay.access.is_some(), &who).await?;
    if overlay.merged_into.as_deref() == Some(overlay.tool.as_str()) {
        return Err(bad_request("merged_into: a tool cannot be merged into itself"));
    }
    house.store.put(overlay, input.if_revision).await.map_err(not_written)
}

async fn take(house: Arc<House>, input: Delete, who: Arc<Principal>) -> Result<Deleted, Fault> {
    may_change(&house, &input.tool, false, &who).await?;
    let deleted = house.store.delete::<ToolOverlay>(&input.tool, input.if_revision).await.map_err(not_written)?;
    Ok(Deleted { deleted })
}

/// Who may use a tool is for a person to say, and so is that it is not said any more.
async fn may_change(house: &House, tool: &str, says_who: bool, who: &Principal) -> Result<(), Fault> {
    let kept = house.store.get::<ToolOverlay>(tool).await.map_err(not_read)?;
    match says_who || kept.is_some_and(|kept| kept.access.is_some()) {
        true => in_person(who),
        false => Ok(()),
    }
}
