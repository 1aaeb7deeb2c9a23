//! The tools that a model is shown, by which names and in which words, and what it is told of a call. Policy: it calls
//! nothing, and asks nobody but whom it is given.

pub mod known;
pub mod names;
pub mod output;
pub mod refusal;
pub mod schemas;
mod shown;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use crate::adapters::llm::schema::Dialect;
use crate::common::chat;
use crate::common::who::Principal;
use crate::mcp::Definition;

pub use names::Unknown;
pub use refusal::Amount;

use known::Known;
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

/// The tools that a question may need, the likeliest first.
type Look = Box<dyn FnOnce() -> Vec<Arc<Definition>> + Send>;

/// What one question may use.
pub struct Toolbox {
    known: Arc<Known>,
    /// Looked for where not all can be shown, and once.
    likely: LazyLock<Vec<Arc<Definition>>, Look>,
    /// `mcp.tools_shown`.
    shown_max: usize,
}

/// What goes with one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    pub tools: Arc<[Arc<chat::Tool>]>,
    /// Answer in words: what is offered is there only because it was used before.
    pub in_words: bool,
}

impl Toolbox {
    pub fn new(known: Arc<Known>, look: Look, shown_max: usize) -> Toolbox {
        Toolbox { known, likely: LazyLock::new(look), shown_max }
    }

    /// The tool that a model means by this name.
    pub fn find(&self, called: &str) -> Result<&Arc<Definition>, Unknown> {
        self.known.names.find(called)
    }

    /// The name of a tool on the wire.
    pub fn wire(&self, tool: &str) -> &str {
        self.known.names.wire(tool)
    }

    /// The tools of a request in this dialect, by name; and what has to be left out and why, each told once.
    pub fn offer(
        &self,
        dialect: Dialect,
        amount: Amount,
        except: &BTreeSet<Box<str>>,
        schemas: &Schemas,
    ) -> (Arc<[Arc<chat::Tool>]>, Vec<String>) {
        let mut left_out = Vec::new();
        let bytes = match amount {
            Amount::None => return (Arc::default(), left_out),
            Amount::Few => FEW_BYTES_MAX,
            Amount::All => dialect.tools_bytes_max(),
        };
        let budget = Budget { count: self.shown_max.min(dialect.tools_max()), bytes };
        let mut compiled = Vec::with_capacity(self.known.all.len());
        let mut candidates = Vec::with_capacity(self.known.all.len());
        for tool in &self.known.all {
            let wire = self.wire(&tool.name);
            if except.contains(wire) {
                continue;
            }
            match schemas.compiled(tool, wire, dialect) {
                Ok(one) => {
                    candidates.push(shown::Candidate { name: &tool.name, pinned: tool.pinned, bytes: one.bytes });
                    compiled.push(one);
                }
                Err(first) => left_out.extend(first),
            }
        }
        let likely = std::iter::once_with(|| self.likely.iter()).flatten().map(|tool| &*tool.name);
        let chosen = choose(&candidates, likely, budget);
        let tools = compiled.iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen).map(|(one, _)| one.tool.clone());
        (tools.collect(), left_out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::testing::tool;
    use super::*;

    #[test]
    fn two_questions_are_offered_the_same_tools_and_not_copies_of_them() {
        let schemas = Schemas::default();
        let known = Arc::new(Known::new(vec![tool("door"), tool("lamp.set")]));
        let offers = || {
            let looks_up_nothing = Box::new(|| unreachable!("all of them fit"));
            let toolbox = Toolbox::new(known.clone(), looks_up_nothing, 64);
            toolbox.offer(Dialect::OpenAi, Amount::All, &BTreeSet::new(), &schemas).0
        };
        let (first, second) = (offers(), offers());
        assert_eq!(first.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["door", "lamp_set"]);
        assert!(first.iter().zip(&*second).all(|(a, b)| Arc::ptr_eq(a, b)));
    }

    #[test]
    fn the_likely_ones_are_looked_up_once_where_not_all_fit() {
        let all: Vec<_> = ["a", "b", "c", CALL_TOOL].into_iter().map(tool).collect();
        let (looks, schemas) = (Arc::new(AtomicUsize::new(0)), Schemas::default());
        let (counted, likely) = (looks.clone(), vec![all[2].clone()]);
        let look = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            likely
        });
        let toolbox = Toolbox::new(Arc::new(Known::new(all)), look, 2);
        for _ in 0..2 {
            let (tools, _) = toolbox.offer(Dialect::OpenAi, Amount::All, &BTreeSet::new(), &schemas);
            assert_eq!(tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["c", CALL_TOOL]);
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
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

    /// A tool as a model was shown it.
    pub fn shown(name: &str) -> Arc<chat::Tool> {
        Arc::new(chat::Tool {
            name: name.into(),
            description: None,
            schema: json!({"type": "object"}).into(),
            strict: None,
        })
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
