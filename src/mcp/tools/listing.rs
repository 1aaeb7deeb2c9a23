//! `tools.list` and `tools.get`: what can be called, told by the hub itself. Whoever asks sees what they may call, and no more.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::page::{self, Page};
use super::typed::{About, not_found};
use super::{House, Tool, tool};
use crate::auth;
use crate::common::error::ErrorCode;
use crate::common::json_text::JsonText;
use crate::common::who::{Principal, Role};
use crate::mcp::Service;
use crate::mcp::call::Fault;
use crate::mcp::definition::{Annotations, Definition, Origin};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only tools of this server; `hub`: the hub's own.
    server: Option<String>,
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// Such as `files__read_file`.
    name: String,
}

/// A tool without its schemas.
#[derive(Debug, Serialize, JsonSchema)]
struct Short {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    /// The server it is of; `hub`: the hub's own.
    server: String,
    /// The least role that may call it.
    access: Role,
    /// Among the first that a model sees.
    pinned: bool,
    /// Changes nothing.
    read_only: bool,
    /// A person should be asked first.
    destructive: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    tools: Vec<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Whole {
    #[serde(flatten)]
    short: Short,
    /// JSON Schema of the arguments.
    input_schema: Value,
    /// JSON Schema of the structured result.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Value>,
}

pub fn tools(house: &Arc<House>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "tools.list",
        title: "All tools",
        description: "The tools that you may call, by name, without their schemas: tools.get shows one whole.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About {
        name: "tools.get",
        title: "One tool",
        description: "A tool with the JSON Schemas of its arguments and its result.",
        ..list
    };
    vec![tool(house, list, all), tool(house, get, one)]
}

async fn all(house: Arc<House>, input: List, who: Arc<Principal>) -> Result<Listed, Fault> {
    let mut all = service(&house)?.tools(&who);
    all.retain(|tool| input.server.as_deref().is_none_or(|server| server == server_of(tool)));
    let (tools, next_cursor) = page::cut(all, &Page { limit: input.limit, cursor: input.cursor }, |tool| &*tool.name);
    Ok(Listed { tools: tools.iter().map(|tool| short(tool)).collect(), next_cursor })
}

async fn one(house: Arc<House>, input: Name, who: Arc<Principal>) -> Result<Whole, Fault> {
    let found = service(&house)?.tool(&input.name);
    let found = found.filter(|tool| auth::may_call(&who, &tool.name, tool.access).is_ok());
    let tool = found.ok_or_else(|| not_found("tool of this name that you may call; tools.list shows all"))?;
    Ok(Whole {
        short: short(&tool),
        input_schema: tool.input.to_value(),
        output_schema: tool.output.as_ref().map(JsonText::to_value),
    })
}

fn service(house: &House) -> Result<Service, Fault> {
    let service = house.service.get().and_then(|service| service.upgrade());
    service.ok_or_else(|| Fault::new(ErrorCode::Offline, "the hub is starting or going down; try again in a moment"))
}

fn short(tool: &Definition) -> Short {
    Short {
        name: tool.name.to_string(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        server: server_of(tool).to_owned(),
        access: tool.access,
        pinned: tool.pinned,
        read_only: tool.annotations.read_only == Some(true),
        destructive: tool.annotations.is_destructive(),
    }
}

fn server_of(tool: &Definition) -> &str {
    match &tool.origin {
        Origin::Hub => "hub",
        Origin::Server { slug, .. } => slug,
    }
}
