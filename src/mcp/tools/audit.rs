//! `audit.list`: who called what through which door, and what came of it. For owners.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{bad_cursor, len};
use super::typed::{About, not_read};
use super::{House, Tool, tool};
use crate::common::who::{Door, Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::{AuditEntry, Reckoning};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only calls of this user.
    user: Option<String>,
    /// Only calls of this tool.
    tool: Option<String>,
    /// Only calls through this door.
    door: Option<Door>,
    /// Only calls that ended so.
    outcome: Option<Reckoning>,
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// The newest first.
    entries: Vec<AuditEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let about = About {
        name: "audit.list",
        title: "Audit",
        description: "Which tools were called, by whom, through which door, when, and what came of it; the newest first. Arguments \
                      are told by name and never by value. An entry appears some seconds after its call.",
        annotations: Annotations::READS,
        access: Role::Owner,
    };
    vec![tool(house, about, list)]
}

async fn list(house: Arc<House>, input: List, _: Arc<Principal>) -> Result<Listed, Fault> {
    let List { user, tool, door, outcome, limit, cursor } = input;
    let before = cursor.map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()?;
    let len = len(limit);
    let wanted = move |entry: &AuditEntry| {
        user.as_ref().is_none_or(|user| *user == entry.user)
            && tool.as_ref().is_none_or(|tool| *tool == entry.tool)
            && door.is_none_or(|door| door == entry.door)
            && outcome.is_none_or(|outcome| outcome == entry.outcome)
    };
    let entries = house.store.audit(before, len, wanted).await.map_err(not_read)?;
    let next_cursor = entries.last().filter(|_| entries.len() == len).map(|last| last.seq.to_string());
    Ok(Listed { entries, next_cursor })
}
