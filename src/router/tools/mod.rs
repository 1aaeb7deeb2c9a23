//! The tools that a model is shown, by which names and in which words, and what it is told of a call. Policy: it calls
//! nothing and asks nobody.

pub mod names;
pub mod output;
pub mod refusal;
pub mod schemas;
mod shown;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::adapters::llm::schema::Dialect;
use crate::common::chat;
use crate::common::who::Principal;
use crate::mcp::Definition;

pub use names::Unknown;
pub use refusal::Amount;

use names::Names;
use schemas::Schemas;
use shown::{Budget, choose};

/// The tool that calls another one by its name.
pub const CALL_TOOL: &str = "call_tool";

/// Shown where not all tools can be: with them a model finds the others.
pub const FINDERS: [&str; 3] = ["search_tools", "describe_tool", CALL_TOOL];

/// Bytes of all tools for a model that has no room for more.
const FEW_BYTES_MAX: usize = 6 * 1024;

/// Tools that are looked up for a question at most.
pub const LIKELY_MAX: usize = 64;

/// Who knows which tools a question may need.
pub trait Likely: Send + Sync {
    /// The likeliest first, and only those that `who` may call.
    fn likely(&self, question: &str, who: &Principal, limit: usize) -> Vec<Arc<Definition>>;
}

/// What one user's questions may use.
pub struct Toolbox {
    /// By name.
    all: Vec<Arc<Definition>>,
    likely: Vec<Arc<Definition>>,
    names: Names,
    /// `mcp.tools_shown`.
    shown_max: usize,
}

/// What goes with one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    pub tools: Vec<chat::Tool>,
    /// Answer in words: what is offered is there only because it was used before.
    pub in_words: bool,
}

impl Toolbox {
    /// `all` by name.
    pub fn new(all: Vec<Arc<Definition>>, likely: Vec<Arc<Definition>>, shown_max: usize) -> Toolbox {
        Toolbox { names: Names::of(&all), all, likely, shown_max }
    }

    /// The tool that a model means by this name.
    pub fn find(&self, called: &str) -> Result<&Arc<Definition>, Unknown> {
        self.names.find(called)
    }

    /// The name of a tool on the wire.
    pub fn wire(&self, tool: &str) -> &str {
        self.names.wire(tool)
    }

    /// The tools of a request in this dialect, by name; and what has to be left out and why, each told once.
    pub fn offer(
        &self,
        dialect: Dialect,
        amount: Amount,
        except: &BTreeSet<Box<str>>,
        schemas: &Schemas,
    ) -> (Vec<chat::Tool>, Vec<String>) {
        let mut left_out = Vec::new();
        let bytes = match amount {
            Amount::None => return (Vec::new(), left_out),
            Amount::Few => FEW_BYTES_MAX,
            Amount::All => dialect.tools_bytes_max(),
        };
        let budget = Budget { count: self.shown_max.min(dialect.tools_max()), bytes };
        let mut compiled = Vec::with_capacity(self.all.len());
        for tool in self.all.iter().filter(|tool| !except.contains(self.names.wire(&tool.name))) {
            match schemas.compiled(tool, dialect) {
                Ok(one) => compiled.push((tool, one)),
                Err(first) => left_out.extend(first),
            }
        }
        let sized = |(tool, one): &(&Arc<Definition>, Arc<schemas::Compiled>)| {
            let bytes = self.names.wire(&tool.name).len() + one.bytes;
            shown::Candidate { name: tool.name.clone(), pinned: tool.pinned, bytes }
        };
        let candidates: Vec<_> = compiled.iter().map(sized).collect();
        let chosen = choose(&candidates, self.likely.iter().map(|tool| &*tool.name), budget);
        let tools =
            compiled.iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen).map(|((tool, one), _)| chat::Tool {
                name: self.names.wire(&tool.name).to_owned(),
                description: Some(one.description.clone()).filter(|words| !words.is_empty()),
                schema: one.schema.clone(),
                strict: None,
            });
        (tools.collect(), left_out)
    }
}

#[cfg(test)]
pub mod testing {
    //! Tools for tests.

    use serde_json::{Map, json};

    use super::*;
    use crate::common::who::Role;
    use crate::mcp::{Annotations, Origin};

    pub fn tool(name: &str) -> Arc<Definition> {
        Arc::new(definition(name, Annotations::READS))
    }

    pub fn definition(name: &str, annotations: Annotations) -> Definition {
        Definition {
            name: name.into(),
            title: None,
            description: format!("Does {name}."),
            input: json!({"type": "object", "properties": {"on": {"type": "boolean"}}}).into(),
            output: None,
            annotations,
            access: Role::Guest,
            origin: Origin::Hub,
            pinned: false,
            extra: Map::new(),
        }
    }
}
