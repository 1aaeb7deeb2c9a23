//! One door for every tool: finds who owns what was named, asks whether the caller may, checks the arguments, passes the call
//! on and writes it down. Every face (MCP, REST, WebSocket, command line, model) comes through here. Owns no tool itself.

use std::sync::{Arc, Weak};

use serde_json::Value;
use tokio::sync::broadcast;

use crate::auth;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Principal;
use crate::mcp::arguments::{Checked, Checker};
use crate::mcp::bill::{Bill, Open};
use crate::mcp::call::{Call, Fault, Outcome, Reach, ToolOutput};
use crate::mcp::definition::Definition;
use crate::mcp::places::{CALLS_PER_USER_MAX, Places};
use crate::mcp::source::{Changed, Method, Source};

/// Changes kept for a listener that is busy; past it, it reads everything again.
pub const CHANGES_LEN: usize = 256;

/// What a tool may give back, bytes of its texts (a picture is base64): more than any client or model takes, and little
/// enough that some at once do no harm to a small machine.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

/// A service that may be gone: for tools, which the service itself holds.
#[derive(Clone, Default)]
pub struct WeakService {
    shared: Weak<Shared>,
}

struct Shared {
    sources: Vec<Arc<dyn Source>>,
    changes: broadcast::Sender<Changed>,
    checker: Checker,
    places: Places,
    bill: Option<Bill>,
}

impl WeakService {
    pub fn upgrade(&self) -> Option<Service> {
        self.shared.upgrade().map(|shared| Service { shared })
    }
}

impl Service {
    /// Of these sources; the first one that owns a name has it. `changes` is what they announce into. Calls are not written
    /// down.
    pub fn new(sources: Vec<Arc<dyn Source>>, changes: broadcast::Sender<Changed>) -> Service {
        Service::build(sources, changes, None)
    }

    /// The same, and every call is written into the store's audit. Wants a runtime.
    pub fn audited(
        sources: Vec<Arc<dyn Source>>,
        changes: broadcast::Sender<Changed>,
        store: crate::store::Store,
    ) -> Service {
        Service::build(sources, changes, Some(Bill::new(store)))
    }

    fn build(sources: Vec<Arc<dyn Source>>, changes: broadcast::Sender<Changed>, bill: Option<Bill>) -> Service {
        let (checker, places) = (Checker::default(), Places::default());
        Service { shared: Arc::new(Shared { sources, changes, checker, places, bill }) }
    }

    /// A handle that does not keep the service alive.
    pub fn downgrade(&self) -> WeakService {
        WeakService { shared: Arc::downgrade(&self.shared) }
    }

    /// Waits until all calls up to now are written down: before the store is closed.
    pub async fn flush(&self) {
        if let Some(bill) = &self.shared.bill {
            bill.flush().await;
        }
    }

    /// Without any tool: for a hub that is being built, and for tests.
    pub fn empty() -> Service {
        Service::new(Vec::new(), broadcast::channel(1).0)
    }

    /// News from now on.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.shared.changes.subscribe()
    }

    /// The tools that `who` may call, by name.
    pub fn tools(&self, who: &Principal) -> Vec<Arc<Definition>> {
        let all = self.shared.sources.iter().map(|source| source.tools());
        let mut tools: Vec<_> = all
            .flat_map(|tools| tools.iter().cloned().collect::<Vec<_>>())
            .filter(|tool| auth::may_call(who, &tool.name, tool.access).is_ok())
            .collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools.dedup_by(|a, b| a.name == b.name);
        tools
    }

    /// What each source shows now, by name.
    pub fn snapshots(&self) -> Vec<Arc<[Arc<Definition>]>> {
        self.shared.sources.iter().map(|source| source.tools()).collect()
    }

    /// A tool by its name, whoever may call it.
    pub fn tool(&self, name: &str) -> Option<Arc<Definition>> {
        self.find(name).map(|(tool, _)| tool)
    }

    /// Calls a tool. Dropping the future cancels the call. Arguments that do not fit are an error that a model can read and
    /// mend where a model or an MCP client calls (MCP SEP-1303), and `bad_request` through other doors.
    pub async fn call(&self, call: Call) -> Result<Outcome, Fault> {
        let mut open = Open::new(self.shared.bill.as_ref(), &call);
        let outcome = self.call_through(call, &mut open).await;
        open.close(&outcome);
        outcome
    }

    async fn call_through(&self, mut call: Call, open: &mut Open<'_>) -> Result<Outcome, Fault> {
        let Some((tool, source)) = self.find(&call.tool) else { return Err(self.unknown(&call.tool)) };
        open.found(&tool);
        if let Err(denied) = auth::may_call(&call.who, &tool.name, tool.access) {
            return Err(Fault::new(ErrorCode::Forbidden, denied.to_string()));
        }
        let Some(_place) = self.shared.places.take(&call.who.user) else { return Err(too_many()) };
        let arguments = std::mem::take(&mut call.arguments);
        call.arguments = match self.shared.checker.arguments(&tool, arguments) {
            Checked::Fits(arguments) => arguments,
            Checked::Unknown(arguments, why) => {
                tracing::debug!(tool = &*tool.name, why, "arguments are not checked");
                arguments
            }
            Checked::Wrong(wrong) => return wrong.answer(call.who.door),
        };
        let outcome = source.call(call).await?;
        if let Outcome::Done(output) = &outcome {
            if let Some(size) = beyond(output, OUTPUT_BYTES_MAX) {
                tracing::warn!(tool = &*tool.name, size, "a tool gave back too much");
                let why = format!(
                    "{} gave back more than {} MiB, which nobody could read; ask it for less at once",
                    tool.name,
                    OUTPUT_BYTES_MAX / (1024 * 1024)
                );
                return Ok(Outcome::Done(ToolOutput::failed(why)));
            }
            if let Some(why) = self.shared.checker.output(&tool, output) {
                tracing::debug!(tool = &*tool.name, why, "a tool's result is not of its own schema");
            }
        }
        Ok(outcome)
    }

    /// MCP `Resource`s that `who` may see, by URI.
    pub async fn resources(&self, who: &Principal) -> Result<Vec<Value>, Fault> {
        let mut all = Vec::new();
        for source in self.shared.sources.iter() {
            all.extend(source.resources(who).await?);
        }
        sort_by(&mut all, "uri");
        Ok(all)
    }

    /// MCP `ResourceTemplate`s, by template.
    pub fn templates(&self, who: &Principal) -> Vec<Value> {
        let mut all: Vec<_> = self.shared.sources.iter().flat_map(|source| source.templates(who).to_vec()).collect();
        sort_by(&mut all, "uriTemplate");
        all
    }

    /// MCP `Prompt`s, by name.
    pub fn prompts(&self, who: &Principal) -> Vec<Value> {
        let mut all: Vec<_> = self.shared.sources.iter().flat_map(|source| source.prompts(who).to_vec()).collect();
        sort_by(&mut all, "name");
        all
    }

    /// Puts a request to whoever owns what it names.
    pub async fn request(
        &self,
        method: Method,
        params: Value,
        who: Arc<Principal>,
        reach: Reach,
    ) -> Result<Value, Fault> {
        let Some(source) = self.owner(method, &params) else { return Err(nowhere(method, &params)) };
        source.request(method, params, who, reach).await
    }

    fn find(&self, name: &str) -> Option<(Arc<Definition>, &Arc<dyn Source>)> {
        self.shared.sources.iter().find_map(|source| Some((source.tool(name)?, source)))
    }

    /// MCP: an unknown tool is `Invalid params`.
    fn unknown(&self, name: &str) -> Fault {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let why = self.shared.sources.iter().find_map(|source| source.why_not(name));
        let why = why.unwrap_or_else(|| {
            format!("there is no tool called \"{shown}\"; tools/list or search_tools shows what there is")
        });
        Fault::new(ErrorCode::NotFound, why)
    }

    fn owner(&self, method: Method, params: &Value) -> Option<&Arc<dyn Source>> {
        let text = |path: &str| params.pointer(path).and_then(Value::as_str);
        self.shared.sources.iter().find(|source| match method {
            Method::GetPrompt => text("/name").is_some_and(|name| source.owns_prompt(name)),
            Method::Complete => {
                text("/ref/name").is_some_and(|name| source.owns_prompt(name))
                    || text("/ref/uri").is_some_and(|uri| source.owns_uri(uri))
            }
            Method::ReadResource | Method::Subscribe | Method::Unsubscribe => {
                text("/uri").is_some_and(|uri| source.owns_uri(uri))
            }
        })
    }
}

fn sort_by(list: &mut Vec<Value>, key: &str) {
    let of = |value: &Value| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    list.sort_by_key(of);
    list.dedup_by_key(|value| of(value));
}

fn too_many() -> Fault {
    let why = format!("{CALLS_PER_USER_MAX} calls of yours are running already; wait for one of them to end");
    Fault::from(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, why) })
}

/// The bytes of an output's texts, where they are more than `max`: as many as were counted until then.
fn beyond(output: &ToolOutput, max: usize) -> Option<usize> {
    fn add(value: &Value, sum: &mut usize, max: usize) {
        if *sum > max {
            return;
        }
        match value {
            Value::String(text) => *sum += text.len(),
            Value::Array(items) => items.iter().for_each(|item| add(item, sum, max)),
            Value::Object(fields) => fields.iter().for_each(|(key, field)| {
                *sum += key.len();
                add(field, sum, max);
            }),
            _ => *sum += 8,
        }
    }
    let mut sum = 0;
    output.content.iter().chain(&output.structured).chain(output.extra.values()).for_each(|v| add(v, &mut sum, max));
    (sum > max).then_some(sum)
}

fn nowhere(method: Method, params: &Value) -> Fault {
    let what = match method {
        Method::GetPrompt => "prompt of this name",
        Method::Complete => "prompt or resource template of this name",
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe => "resource of this URI",
    };
    let fault = Fault::new(ErrorCode::NotFound, format!("there is no {what}"));
    Fault { data: params.get("uri").map(|uri| serde_json::json!({ "uri": uri })), ..fault }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
