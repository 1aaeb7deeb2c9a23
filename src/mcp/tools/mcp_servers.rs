//! `mcp_servers.*`: the MCP servers behind the hub, as the config file and the store have them. Records only: how a server
//! is doing, and what it offers, is the aggregator's business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use super::typed::{About, Deleted, bad_request, not_found, not_read, not_written};
use super::users::in_person;
use super::{House, Tool, tool};
use crate::common::config::McpServer;
use crate::common::who::{Principal, Role};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use crate::store::ServerRecord;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Slug {
    /// The server's name in the hub, such as `files`.
    slug: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Set {
    #[serde(flatten)]
    record: ServerRecord,
    /// Write only over this revision; 0: only where there is none.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    slug: String,
    /// Delete only this revision.
    if_revision: Option<u64>,
}

/// A server as it is reached now.
#[derive(Debug, Serialize, JsonSchema)]
struct Server {
    slug: String,
    /// How it is reached: by the record, or else by the config file.
    server: McpServer,
    enabled: bool,
    /// Tools that are off, by the server's own names.
    disabled_tools: BTreeSet<String>,
    /// There is a row of this name in the config file: a record lies over it, and it stays when the record is deleted.
    in_config: bool,
    /// Of the record; 0: the config file alone knows it.
    revision: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    servers: Vec<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "mcp_servers.list",
        title: "All MCP servers",
        description: "The MCP servers behind the hub: how each is reached, whether it is on, and which of its tools are off.",
        annotations: Annotations::READS,
        access: Role::Owner,
    };
    let get = About {
        name: "mcp_servers.get",
        title: "One MCP server",
        description: "One MCP server behind the hub.",
        ..list
    };
    let set = About {
        name: "mcp_servers.set",
        title: "Write an MCP server",
        description: "Adds an MCP server behind the hub, or changes one: a command to run or a url, whether it is on, and which of its \
                      tools are off. The record is written whole. It holds at once. Not done by a model.",
        annotations: Annotations { open_world: Some(true), ..Annotations::SETS },
        ..list
    };
    let delete = About {
        name: "mcp_servers.delete",
        title: "Delete an MCP server",
        description: "Deletes the hub's record of an MCP server. One of the config file is as the file says afterwards.",
        annotations: Annotations::DESTROYS,
        ..list
    };
    vec![tool(house, list, all), tool(house, get, one), tool(house, set, put), tool(house, delete, take)]
}

async fn all(house: Arc<House>, input: Page, _: Arc<Principal>) -> Result<Listed, Fault> {
    let kept = house.store.list::<ServerRecord>().await.map_err(not_read)?;
    let mut kept: BTreeMap<String, ServerRecord> = kept.into_iter().map(|one| (one.slug.clone(), one)).collect();
    let config = house.config.borrow().clone();
    for slug in config.mcp.servers.keys() {
        kept.entry(slug.clone()).or_insert_with(|| nothing_kept(slug));
    }
    let all = kept.into_values().filter_map(|record| shown(&config.mcp.servers, record)).collect();
    let (servers, next_cursor) = page::cut(all, &input, |server: &Server| server.slug.as_str());
    Ok(Listed { servers, next_cursor })
}

async fn one(house: Arc<House>, input: Slug, _: Arc<Principal>) -> Result<Server, Fault> {
    let kept = house.store.get::<ServerRecord>(&input.slug).await.map_err(not_read)?;
    let config = house.config.borrow().clone();
    shown(&config.mcp.servers, kept.unwrap_or_else(|| nothing_kept(&input.slug))).ok_or_else(nowhere)
}

async fn put(house: Arc<House>, input: Set, who: Arc<Principal>) -> Result<Server, Fault> {
    // A command is run as it stands here, and what a model has read may have talked it into one.
    in_person(&who)?;
    let config = house.config.borrow().clone();
    if input.record.server.is_none() && !config.mcp.servers.contains_key(&input.record.slug) {
        return Err(bad_request(
            "server: is missing; the config file has no server of this name, so a command or a url is wanted here",
        ));
    }
    let record = house.store.put(input.record, input.if_revision).await.map_err(not_written)?;
    shown(&config.mcp.servers, record).ok_or_else(nowhere)
}

async fn take(house: Arc<House>, input: Delete, _: Arc<Principal>) -> Result<Deleted, Fault> {
    let deleted = house.store.delete::<ServerRecord>(&input.slug, input.if_revision).await.map_err(not_written)?;
    Ok(Deleted { deleted })
}

fn nothing_kept(slug: &str) -> ServerRecord {
    let disabled_tools = BTreeSet::new();
    ServerRecord { slug: slug.to_owned(), server: None, enabled: None, disabled_tools, revision: 0 }
}

/// `None`: nothing says how it is reached.
fn shown(config: &BTreeMap<String, McpServer>, record: ServerRecord) -> Option<Server> {
    let ServerRecord { slug, server, enabled, disabled_tools, revision } = record;
    let in_config = config.contains_key(&slug);
    let server = server.or_else(|| config.get(&slug).cloned())?;
    Some(Server { slug, enabled: enabled.unwrap_or(server.enabled), server, disabled_tools, in_config, revision })
}

fn nowhere() -> Fault {
    not_found("MCP server of this name; mcp_servers.list shows all")
}
