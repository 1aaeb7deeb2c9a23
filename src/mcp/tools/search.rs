//! `search_tools`, `describe_tool`, `call_tool`: how a model that is shown a few tools reaches all of them. They go through the
//! service's own door, so that they open nothing that was shut.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tool;
use super::typed::{Steps, read, tool_of};
use crate::auth;
use crate::common::error::ErrorCode;
use crate::common::json_text::JsonText;
use crate::common::who::{Principal, Role};
use crate::mcp::call::{Call, Fault, Outcome};
use crate::mcp::definition::{Annotations, Definition};
use crate::mcp::search::Finder;

/// By these names models and clients know them.
pub const SEARCH: &str = "search_tools";
pub const DESCRIBE: &str = "describe_tool";
pub const CALL: &str = "call_tool";

/// Hits of one search.
const HITS_MAX: usize = 50;
const HITS_DEFAULT: usize = 8;

/// Of a description in a hit, bytes: enough to choose by.
const DESCRIPTION_BYTES_MAX: usize = 400;

/// The three of them.
pub fn tools(finder: &Arc<Finder>) -> Vec<Arc<dyn Tool>> {
    vec![
        tool_of(finder, search_definition(), search),
        tool_of(finder, describe_definition(), describe),
        Arc::new(CallTool { definition: Arc::new(call_definition()), finder: finder.clone() }),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    /// What is to be done, in a few plain words, such as "turn off a lamp" or "read a file".
    query: String,
    /// Tools wanted, 1 to 50; 8 where absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    limit: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct Hits {
    /// The best first.
    tools: Vec<Hit>,
}

#[derive(Serialize, JsonSchema)]
struct Hit {
    name: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    /// How well it fits; comparable within one answer.
    score: f64,
    /// It may change or delete something that does not come back.
    destructive: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Named {
    /// A tool's name, as `search_tools` gives it.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Described {
    name: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    /// JSON Schema of the arguments for `call_tool`.
    input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Value>,
    destructive: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Called {
    /// A tool's name, as `search_tools` gives it.
    name: String,
    /// The tool's own arguments, as `describe_tool` shows them.
    #[serde(default)]
    arguments: Map<String, Value>,
}

fn search_definition() -> Definition {
    let description = "Finds tools by what they do. Use it when no tool that you see fits: there are more than you are shown. \
                       Then describe_tool shows one tool's arguments, and call_tool calls it.";
    let tool =
        Definition::native::<Question, Hits>(SEARCH, "Search tools", description, Annotations::READS, Role::Guest);
    Definition { pinned: true, ..tool }
}

fn describe_definition() -> Definition {
    let description = "Shows one tool: what it does and the JSON Schema of its arguments.";
    let tool = Definition::native::<Named, Described>(
        DESCRIBE,
        "Describe a tool",
        description,
        Annotations::READS,
        Role::Guest,
    );
    Definition { pinned: true, ..tool }
}

fn call_definition() -> Definition {
    let description =
        "Calls a tool by its name, also one that you were not shown. Look at its arguments with describe_tool first.";
    // It may be any tool. The hub's own models are asked about the one that is called; a client of MCP knows this one alone.
    let annotations = Annotations::default();
    let tool = Definition::native::<Called, Value>(CALL, "Call a tool", description, annotations, Role::Guest);
    Definition { pinned: true, output: None, ..tool }
}

async fn search(finder: Arc<Finder>, asked: Question, who: Arc<Principal>, _: Steps) -> Result<Hits, Fault> {
    let limit = asked.limit.unwrap_or(HITS_DEFAULT).clamp(1, HITS_MAX);
    let hits = finder.search(&asked.query, &who, limit).into_iter();
    Ok(Hits { tools: hits.map(|(tool, score)| Hit::of(&tool, score)).collect() })
}

async fn describe(finder: Arc<Finder>, asked: Named, who: Arc<Principal>, _: Steps) -> Result<Described, Fault> {
    let tool = visible(&finder, &who, &asked.name).ok_or_else(|| missing(&finder, &who, &asked.name))?;
    Ok(Described {
        name: tool.name.clone(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        input_schema: tool.input.to_value(),
        output_schema: tool.output.as_ref().map(JsonText::to_value),
        destructive: tool.annotations.is_destructive(),
    })
}

/// By hand: what it calls gets whoever called, with all that they can be reached by.
struct CallTool {
    definition: Arc<Definition>,
    finder: Arc<Finder>,
}

impl Tool for CallTool {
    fn definition(&self) -> Arc<Definition> {
        self.definition.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let finder = self.finder.clone();
        Box::pin(async move {
            let Called { name, arguments } = read(call.arguments)?;
            if [SEARCH, DESCRIBE, CALL].contains(&name.as_str()) {
                return Err(Fault::new(
                    ErrorCode::BadRequest,
                    format!("{name} is called by itself, not through {CALL}"),
                ));
            }
            let service = finder.service().filter(|_| visible(&finder, &call.who, &name).is_some());
            let Some(service) = service else { return Err(missing(&finder, &call.who, &name)) };
            service.call(Call { tool: name.into(), arguments, ..call }).await
        })
    }
}

impl Hit {
    fn of(tool: &Definition, score: f32) -> Hit {
        let end = tool.description.floor_char_boundary(DESCRIPTION_BYTES_MAX);
        let more = if end < tool.description.len() { "…" } else { "" };
        Hit {
            name: tool.name.clone(),
            title: tool.title.clone(),
            description: format!("{}{more}", &tool.description[..end]),
            score: (f64::from(score) * 100.0).round() / 100.0,
            destructive: tool.annotations.is_destructive(),
        }
    }
}

fn visible(finder: &Finder, who: &Principal, name: &str) -> Option<Arc<Definition>> {
    finder.service()?.tool(name).filter(|tool| auth::may_call(who, &tool.name, tool.access).is_ok())
}

/// A tool that is not there, or not for this caller, with those that may have been meant.
fn missing(finder: &Finder, who: &Principal, name: &str) -> Fault {
    let near: Vec<_> = finder.search(name, who, 3).into_iter().map(|(tool, _)| tool.name.to_string()).collect();
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    Fault::new(ErrorCode::NotFound, format!("there is no tool called \"{shown}\"{hint}"))
}
