//! Where tools, resources and prompts come from: the hub itself, the servers behind it, or a test. What all of them have
//! to be able to do.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::common::who::Principal;
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::definition::Definition;

/// The requests that go to one source, whichever owns what they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `resources/read`: `params.uri`.
    ReadResource,
    /// `prompts/get`: `params.name`.
    GetPrompt,
    /// `completion/complete`: `params.ref`.
    Complete,
    /// `resources/subscribe` and `subscriptions/listen` with `params.uri`: from now on [`Changed::Resource`] is told of it.
    Subscribe,
    /// The reverse of it; each needs its own.
    Unsubscribe,
}

/// What a client may want to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Tools,
    Prompts,
    Resources,
    /// The resource of this URI.
    Resource(Box<str>),
}

/// See the module. Lists are snapshots that cost nothing to take, sorted by name or URI, so that the order is always the
/// same.
pub trait Source: Send + Sync {
    /// All tools, of whatever access.
    fn tools(&self) -> Arc<[Arc<Definition>]>;

    /// One of them by its name, or by another one that leads to it: a name that it had before it was renamed.
    fn tool(&self, name: &str) -> Option<Arc<Definition>> {
        let tools = self.tools();
        let at = tools.binary_search_by(|tool| (*tool.name).cmp(name)).ok()?;
        Some(tools[at].clone())
    }

    /// Why a tool of this name is not among them, where this source knows it nevertheless.
    fn why_not(&self, _name: &str) -> Option<String> {
        None
    }

    /// Calls one of them, whose arguments have been checked against its schema. The caller has been let through.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>>;

    /// MCP `Resource`s that `who` may see.
    fn resources(&self, who: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>>;

    /// MCP `ResourceTemplate`s.
    fn templates(&self, who: &Principal) -> Arc<[Value]>;

    /// MCP `Prompt`s.
    fn prompts(&self, who: &Principal) -> Arc<[Value]>;

    /// Whether a prompt's name, or a resource's URI or template, is of this source.
    fn owns_prompt(&self, name: &str) -> bool;
    fn owns_uri(&self, uri: &str) -> bool;

    /// Puts a request whose `params` are MCP's; the result is MCP's of the newest revision, an `InputRequiredResult`
    /// included.
    fn request(
        &self,
        method: Method,
        params: Value,
        who: Arc<Principal>,
        reach: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>>;
}
