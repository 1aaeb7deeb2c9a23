//! What the aggregator needs of a server behind the hub, whatever wire leads to it and whichever era of MCP it speaks. The
//! transports fulfil it; the tests do without one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::common::config::McpServer;
use crate::mcp::call::{Fault, Reach};

/// Opens connections.
pub trait Connect: Send + Sync {
    /// Starts the program or opens the connection, and greets: done when the server is ready for requests. Dropping the
    /// future stops whatever was started. `ears` hear what the server says unasked, for as long as the connection lives.
    fn connect(
        &self,
        slug: &str,
        server: &McpServer,
        ears: Arc<dyn Ears>,
    ) -> BoxFuture<'static, Result<Arc<dyn Connection>, UpstreamError>>;
}

/// A server that is there. Dropping the last handle ends it: its program and everything that this started.
pub trait Connection: Send + Sync {
    fn info(&self) -> &ServerInfo;

    /// Puts a request and waits for its result, in the form of the newest revision whatever the server speaks. Requests run side
    /// by side. Dropping the future cancels the request at the server. A server that asks for something meanwhile is given to
    /// `reach.peer`; an `InputRequiredResult` is given back where `reach` cannot answer it.
    fn request(&self, request: Request) -> BoxFuture<'static, Result<Value, UpstreamError>>;

    /// Sends a notification; lost where the connection is.
    fn notify(&self, method: &str, params: Value);

    /// Resolves once the connection is of no use any more, with the reason.
    fn closed(&self) -> BoxFuture<'static, UpstreamError>;

    /// Process id, where it is a program of this machine.
    fn pid(&self) -> Option<u32>;
}

/// One request to a server.
pub struct Request {
    /// `tools/call`, …
    pub method: Box<str>,
    /// MCP's `params`, without the `_meta` of the protocol itself, which the connection adds.
    pub params: Value,
    pub reach: Reach,
    /// From now; progress does not prolong it.
    pub deadline: Duration,
}

/// What a server says unasked.
pub trait Ears: Send + Sync {
    /// A notification: `notifications/tools/list_changed`, `notifications/resources/updated`, `notifications/message`, …
    fn notification(&self, method: &str, params: Value);

    /// It could not be heard for a while, and can again: what it said of its lists meanwhile is lost.
    fn was_deaf(&self);
}

/// What a server said of itself when it was greeted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerInfo {
    /// The revision that is spoken with it.
    pub protocol: Box<str>,
    /// MCP `Implementation`.
    pub server: Value,
    /// MCP `ServerCapabilities`.
    pub capabilities: Value,
    pub instructions: Option<String>,
}

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UpstreamError {
    /// It answered, with an error: it is well.
    #[error("{}", .0.error.message)]
    Answered(Fault),
    /// It could not be started or reached.
    #[error("{0}")]
    Unreachable(String),
    /// It wants credentials that the hub does not have.
    #[error("{0}")]
    Unauthorized(String),
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// It went away in the midst of it: crashed, was killed, closed the connection.
    #[error("{0}")]
    Gone(String),
    /// What it says is not MCP.
    #[error("{0}")]
    Garbage(String),
}
