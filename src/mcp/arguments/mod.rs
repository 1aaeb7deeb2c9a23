//! Whether a call's arguments fit the tool's own JSON Schema; where they do not and what is meant is plain (`"10"` for an
//! integer), they are mended, and otherwise every fault is said in words that a model can act on. Calls nothing.
//!
//! The validator is the hub's own. It has to be a walk over schema and value together, since mending is one; and it has to be
//! bounded, since schemas come from servers: steps, depth and patterns have limits, nothing is fetched, and what cannot be
//! checked within them goes through unchecked, with a line in the log. The server checks what it gets in any case.

mod check;
mod equal;
mod faults;
mod mend;
mod schema;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::common::error::ErrorCode;
use crate::common::json_text::JsonText;
use crate::common::who::Door;
use crate::mcp::call::{Fault, Outcome, ToolOutput};
use crate::mcp::definition::Definition;
use check::Check;
use schema::Index;

pub(super) use words::nearest;

/// Tools whose schemas are kept ready: those that are called. Another one's are read in some 20 µs.
const CACHE_LEN: usize = 128;

/// Faults that are told of at once.
const FAULTS_MAX: usize = 16;

/// Checks arguments and results; keeps what it has found out about schemas.
#[derive(Default)]
pub struct Checker {
    ready: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    tools: HashMap<Box<str>, Arc<Ready>>,
    /// In the order of their coming; the first goes first.
    order: std::collections::VecDeque<Box<str>>,
}

/// A tool's schemas, looked through.
struct Ready {
    tool: Arc<Definition>,
    input: Looked,
    output: Option<Looked>,
    /// It was said that the schema cannot be checked, or that a result does not fit it.
    told: AtomicBool,
}

/// A schema and what is to be known of it first.
struct Looked {
    schema: Value,
    index: Index,
}

impl Looked {
    fn at(schema: &JsonText) -> Looked {
        let schema = schema.to_value();
        Looked { index: Index::of(&schema), schema }
    }

    fn check(&self) -> Check<'_> {
        Check::new(&self.schema, &self.index)
    }
}

/// What came of a check.
#[derive(Debug, PartialEq)]
pub enum Checked {
    /// They fit, some of them mended perhaps.
    Fits(Map<String, Value>),
    /// The schema cannot be checked, and why.
    Unknown(Map<String, Value>, &'static str),
    Wrong(WrongArguments),
}

/// What is wrong with arguments: one line a fault, `path: what is wrong, what is wanted, got …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongArguments {
    tool: Box<str>,
    pub faults: Vec<String>,
    /// There are more of them.
    pub cut: bool,
}

impl Checker {
    /// Checks the arguments of a call.
    pub fn arguments(&self, tool: &Arc<Definition>, arguments: Map<String, Value>) -> Checked {
        let ready = self.ready(tool);
        let mut check = ready.input.check();
        let mut value = Value::Object(arguments);
        let is_strict = check.fits_strictly(&ready.input.schema, &value);
        if !is_strict && check.gave_up().is_none() {
            check.mend(&mut value);
        }
        let faults = match check.gave_up() {
            // Mending may have used up the steps; what is wrong is said all the same.
            None if !is_strict => {
                let mut last = ready.input.check();
                let faults = last.faults(&value);
                if let Some(why) = last.gave_up() {
                    return Checked::Unknown(into_map(value), self.tell(&ready, why));
                }
                faults
            }
            None => Vec::new(),
            Some(why) => return Checked::Unknown(into_map(value), self.tell(&ready, why)),
        };
        if faults.is_empty() {
            return Checked::Fits(into_map(value));
        }
        let cut = faults.len() > FAULTS_MAX;
        let faults = faults.into_iter().take(FAULTS_MAX).collect();
        Checked::Wrong(WrongArguments { tool: tool.name.clone(), faults, cut })
    }

    /// Why a result is not of the tool's output schema, the first time that one is not.
    pub fn output(&self, tool: &Arc<Definition>, output: &ToolOutput) -> Option<String> {
        let structured = output.structured.as_ref()?;
        if output.is_error || tool.output.is_none() {
            return None;
        }
        let ready = self.ready(tool);
        if ready.told.load(Ordering::Relaxed) {
            return None;
        }
        let mut check = ready.output.as_ref()?.check();
        let faults = check.faults(structured);
        let fault = faults.into_iter().next().filter(|_| check.gave_up().is_none())?;
        ready.told.store(true, Ordering::Relaxed);
        Some(fault)
    }

    fn tell(&self, ready: &Ready, why: &'static str) -> &'static str {
        if !ready.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                tool = &*ready.tool.name,
                why,
                "the tool's schema cannot be checked; its calls go unchecked"
            );
        }
        why
    }

    fn ready(&self, tool: &Arc<Definition>) -> Arc<Ready> {
        let mut cache = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = cache.tools.get(&tool.name).filter(|ready| Arc::ptr_eq(&ready.tool, tool)) {
            return ready.clone();
        }
        let (input, output) = (Looked::at(&tool.input), tool.output.as_ref().map(Looked::at));
        let ready = Arc::new(Ready { tool: tool.clone(), input, output, told: AtomicBool::new(false) });
        if cache.tools.insert(tool.name.clone(), ready.clone()).is_none() {
            cache.order.push_back(tool.name.clone());
            if cache.order.len() > CACHE_LEN
                && let Some(oldest) = cache.order.pop_front()
            {
                cache.tools.remove(&oldest);
            }
        }
        ready
    }
}

impl WrongArguments {
    /// What a model, or a person, reads.
    pub fn text(&self) -> String {
        let more = if self.cut { "\n- and more" } else { "" };
        let faults: String = self.faults.iter().map(|fault| format!("\n- {fault}")).collect();
        format!("The arguments of {} are wrong; mend them and call it again:{faults}{more}", self.tool)
    }

    /// As the door says it: a result that tells of an error to whoever can mend it (MCP SEP-1303), an error to the others.
    pub fn answer(&self, door: Door) -> Result<Outcome, Fault> {
        match door {
            Door::Model | Door::Mcp | Door::Stdio => Ok(Outcome::Done(ToolOutput::failed(self.text()))),
            Door::Rest | Door::Websocket | Door::Openai | Door::Hub => {
                Err(Fault::new(ErrorCode::BadRequest, self.text()))
            }
        }
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        // Mending keeps an object an object: no conversion begins with one.
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
