//! Connections to other MCP servers, from outside: real programs with the real binary, and servers of the tests' own.

mod at_the_hub;
mod outside;
mod peers;
mod programs;
mod remote;
mod signin;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth::common::config::McpServer;
use hearth::mcp::Reach;
use hearth::mcp::upstream::connector::{Connector, connector};
use hearth::mcp::upstream::{Connect, Connection, Ears, Request, UpstreamError};
use hearth::net::https::Https;
use serde_json::Value;

/// Keeps what a server says unasked.
#[derive(Default)]
pub struct Ear(Mutex<Vec<(String, Value)>>);

impl Ears for Ear {
    fn notification(&self, method: &str, params: Value) {
        self.0.lock().unwrap().push((method.into(), params));
    }

    fn was_deaf(&self) {
        self.0.lock().unwrap().push(("(was deaf)".into(), Value::Null));
    }
}

impl Ear {
    pub fn heard(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().clone()
    }
}

/// With the real binary.
pub fn with_binary() -> Connector {
    connector(Some(env!("CARGO_BIN_EXE_hearth").into()), Https::new())
}

pub fn request(method: &str, params: Value) -> Request {
    Request { method: method.into(), params, reach: Reach::default(), deadline: Duration::from_secs(10) }
}

/// Opens a connection that must come about within 20 s.
pub async fn open(connector: &Connector, server: &McpServer) -> Result<(Arc<dyn Connection>, Arc<Ear>), UpstreamError> {
    let ear = Arc::new(Ear::default());
    let opening = connector.connect("test", server, Arc::clone(&ear) as Arc<dyn Ears>);
    let opened = tokio::time::timeout(Duration::from_secs(20), opening).await.expect("within 20 s");
    Ok((opened?, ear))
}
