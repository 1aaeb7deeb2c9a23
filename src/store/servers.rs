//! MCP servers behind the hub as an owner keeps them, and what an owner lays over single tools. Servers of the config file
//! have a record here only where something about them was changed. Knows no MCP.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WriteError;
use super::feed::Kind;
use super::records::{Record, Table, check_text, keyed_by};
use super::tables::{MCP_SERVERS, TOOL_OVERLAYS};
use super::users::LABEL_BYTES_MAX;
use crate::common::config::{McpServer, SERVER_NAME_BYTES_MAX, is_server_name};
use crate::common::who::Role;

/// Servers kept.
pub const SERVERS_MAX: u64 = 1024;

/// Overlays kept: one a tool at most.
pub const OVERLAYS_MAX: u64 = 65_536;

/// The longest name of a tool as its server calls it, bytes.
pub const TOOL_NAME_BYTES_MAX: usize = 256;

/// The longest description that an owner may lay over a tool's own, bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 8 * 1024;

/// Tools that are switched off or pinned in one server.
const TOOLS_NAMED_MAX: usize = 4096;

/// What is kept of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRecord {
    /// The owner's name of it: 1 to 24 of `[A-Za-z0-9_-]`, no two underscores in a row. Part of the names of its tools.
    pub slug: String,
    /// How it is reached; absent: by the row of this name in `config.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<McpServer>,
    /// On or off; absent: as the config file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Tools that are off, by the server's own names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disabled_tools: BTreeSet<String>,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

/// What lies over one tool: everything here can be taken away again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolOverlay {
    /// The tool's persistent name, such as `files__read_file`.
    pub tool: String,
    /// Shown and called under this name instead; the persistent one keeps working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Not listed, and not called either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Among the first that a model sees.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Calls go to this tool, which does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// The least role that may call it; absent: as the server's other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Role>,
    /// Who laid it: `owner`, `policy` or `resolver`, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origin: BTreeMap<String, String>,
    /// Set by the store with every change; what is sent here is not looked at.
    #[serde(default)]
    pub revision: u64,
}

impl Record for ServerRecord {
    const KIND: Kind = Kind::Server;
    const TABLE: Table = MCP_SERVERS;
    const WHAT: &'static str = "MCP server";
    const MAX: u64 = SERVERS_MAX;

    keyed_by!(slug);

    fn check(&self) -> Result<(), WriteError> {
        if !is_server_name(&self.slug) {
            return Err(WriteError::Invalid(format!(
                "slug: 1 to {SERVER_NAME_BYTES_MAX} of A-Z, a-z, 0-9, _ and -, with no two underscores in a row and none at the end"
            )));
        }
        if let Some(server) = &self.server
            && let Err(why) = server.check()
        {
            return Err(WriteError::Invalid(format!("server: {why}")));
        }
        if self.disabled_tools.len() > TOOLS_NAMED_MAX {
            let size = self.disabled_tools.len();
            return Err(WriteError::TooLarge { what: "disabled_tools", size, max: TOOLS_NAMED_MAX });
        }
        self.disabled_tools.iter().try_for_each(|tool| check_text("disabled_tools", Some(tool), TOOL_NAME_BYTES_MAX))
    }
}

impl Record for ToolOverlay {
    const KIND: Kind = Kind::Overlay;
    const TABLE: Table = TOOL_OVERLAYS;
    const WHAT: &'static str = "tool overlay";
    const MAX: u64 = OVERLAYS_MAX;

    keyed_by!(tool);

    fn check(&self) -> Result<(), WriteError> {
        if self.name.as_deref().is_some_and(|name| !is_tool_name(name)) {
            return Err(WriteError::Invalid("name: 1 to 64 of A-Z, a-z, 0-9, _ and -".into()));
        }
        check_text("title", self.title.as_deref(), LABEL_BYTES_MAX)?;
        check_text("description", self.description.as_deref(), DESCRIPTION_BYTES_MAX)
    }
}

/// Whether `name` can be given to every model: 1 to 64 of `[A-Za-z0-9_-]`.
pub fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
