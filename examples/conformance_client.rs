//! The client that MCP's conformance suite drives: the hub's own connections, put through one scenario. The scenario comes in
//! `MCP_CONFORMANCE_SCENARIO`, its data in `MCP_CONFORMANCE_CONTEXT`, the revision in `MCP_CONFORMANCE_PROTOCOL_VERSION`, and the
//! server's URL as the last argument.
//!
//!     conformance client --command target/debug/examples/conformance_client --requirements 2025-11-25

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth::common::config::{McpServer, Transport};
use hearth::common::secret::Secret;
use hearth::mcp::upstream::client::era::{NEWEST, OLDER};
use hearth::mcp::upstream::client::greeting::Prefer;
use hearth::mcp::upstream::connector::{Authorities, connector};
use hearth::mcp::upstream::http::Authority;
use hearth::mcp::upstream::oauth::{Consent, Identity, Keeper, Pocket, Preregistered};
use hearth::mcp::upstream::{Connect, Connection, Ears, Request, UpstreamError};
use hearth::mcp::{Fault, Peer, Reach};
use hearth::net::https::Https;
use http_body_util::Full;
use serde_json::{Value, json};

/// For one request; the suite waits 30 s for the whole scenario.
const DEADLINE: Duration = Duration::from_secs(20);

/// Says yes to everything, and fills in nothing.
struct Yes;

impl Peer for Yes {
    fn capabilities(&self) -> Value {
        json!({ "elicitation": { "form": {} }, "sampling": {}, "roots": {} })
    }

    fn ask(&self, method: &str, _: Value) -> BoxFuture<'static, Result<Value, Fault>> {
        let answer = match method {
            "elicitation/create" => json!({ "action": "accept", "content": {} }),
            "sampling/createMessage" => {
                json!({ "role": "assistant", "model": "none", "content": { "type": "text", "text": "yes" } })
            }
            _ => json!({ "roots": [] }),
        };
        std::future::ready(Ok(answer)).boxed()
    }

    fn notify(&self, _: &str, _: Value) {}
}

struct Deaf;

impl Ears for Deaf {
    fn notification(&self, method: &str, params: Value) {
        eprintln!("heard {method} {params}");
    }

    fn was_deaf(&self) {
        eprintln!("was deaf for a while");
    }
}

/// A person who agrees to everything: follows the one redirect.
struct Agrees(Https);

impl Consent for Agrees {
    fn redirect_uri(&self) -> String {
        "http://localhost:3000/callback".into()
    }

    fn ask(&self, url: String) -> BoxFuture<'static, Result<String, String>> {
        let client = self.0.clone();
        async move {
            let request = hyper::Request::get(url).body(Full::default()).map_err(|error| error.to_string())?;
            let answer = client.send(request).await.map_err(|error| error.to_string())?;
            let location = answer.headers().get(hyper::header::LOCATION).and_then(|location| location.to_str().ok());
            location.map(str::to_owned).ok_or_else(|| format!("{} and no redirect", answer.status()))
        }
        .boxed()
    }
}

/// Signs in to the one server of a scenario.
struct Keys {
    client: Https,
    identity: Identity,
}

impl Authorities for Keys {
    fn of(&self, _: &str, server: &McpServer) -> Option<Arc<dyn Authority>> {
        let consent: Arc<dyn Consent> = Arc::new(Agrees(self.client.clone()));
        let (identity, vault) = (self.identity.clone(), Arc::new(Pocket::default()));
        Some(Arc::new(Keeper::new(server.url.as_deref()?, self.client.clone(), identity, vault, Some(consent))))
    }
}

/// Who the hub is in a scenario.
fn identity(context: &Value) -> Identity {
    let text = |key: &str| context[key].as_str().map(str::to_owned);
    Identity {
        // The suite knows this one, and fetches none.
        metadata_url: Some("https://conformance-test.local/client-metadata.json".into()),
        registered: text("client_id").map(|client_id| Preregistered {
            client_id,
            client_secret: text("client_secret").map(Secret::new),
            issuer: text("issuer"),
        }),
    }
}

/// A connection under test.
struct Subject(Arc<dyn Connection>);

impl Subject {
    async fn ask(&self, method: &str, params: Value) -> Result<Value, UpstreamError> {
        let reach = Reach { peer: Some(Arc::new(Yes)), ..Reach::default() };
        self.0.request(Request { method: method.into(), params, reach, deadline: DEADLINE }).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, UpstreamError> {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    async fn tools(&self) -> Result<Vec<String>, UpstreamError> {
        let list = self.ask("tools/list", json!({})).await?;
        let names = list["tools"].as_array().into_iter().flatten();
        Ok(names.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let scenario = env("MCP_CONFORMANCE_SCENARIO");
    let context = serde_json::from_str(&env("MCP_CONFORMANCE_CONTEXT")).unwrap_or(Value::Null);
    let url = std::env::args().next_back().unwrap_or_default();
    let done = tokio::time::timeout(Duration::from_secs(28), run(&scenario, &context, url)).await;
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            eprintln!("{scenario}: {error}");
            std::process::exit(1);
        }
        Err(_) => {
            eprintln!("{scenario}: not done in time");
            std::process::exit(1);
        }
    }
}

/// The way of greeting that the suite asks for.
fn prefer() -> Prefer {
    let revision = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_default();
    let known = std::iter::once(NEWEST).chain(OLDER).find(|known| *known == revision);
    known.map_or(Prefer::Newest, Prefer::Only)
}

async fn run(scenario: &str, context: &Value, url: String) -> Result<(), UpstreamError> {
    let client = Https::new();
    let keys = Keys { client: client.clone(), identity: identity(context) };
    let connector = connector(None, client).preferring(prefer()).authorized_by(Arc::new(keys));
    let server = McpServer { url: Some(url), transport: Transport::Http, ..McpServer::default() };
    let subject = Subject(connector.connect("suite", &server, Arc::new(Deaf)).await?);
    let done = drive(scenario, context, &subject).await;
    drop(subject);
    // The end of the session goes out.
    tokio::time::sleep(Duration::from_millis(50)).await;
    done
}

async fn drive(scenario: &str, context: &Value, subject: &Subject) -> Result<(), UpstreamError> {
    let tools = subject.tools().await?;
    match scenario {
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => {}
        "tools_call" => drop(subject.call("add_numbers", json!({ "a": 5, "b": 3 })).await?),
        "sep-2322-client-request-state" => {
            subject.call("test_mrtr_echo_state", json!({})).await?;
            subject.call("test_mrtr_unrelated", json!({})).await?;
            subject.call("test_mrtr_no_state", json!({})).await?;
            subject.call("test_mrtr_no_result_type", json!({})).await?;
        }
        "http-standard-headers" => {
            subject.call("test_headers", json!({})).await?;
            subject.call("my-hyphenated-tool", json!({})).await?;
            let resources = subject.ask("resources/list", json!({})).await?;
            for resource in resources["resources"].as_array().into_iter().flatten() {
                subject.ask("resources/read", json!({ "uri": resource["uri"] })).await?;
            }
            subject.ask("prompts/list", json!({})).await?;
            subject.ask("prompts/get", json!({ "name": "test_prompt" })).await?;
        }
        "http-custom-headers" => {
            for call in context["toolCalls"].as_array().into_iter().flatten() {
                let name = call["name"].as_str().unwrap_or_default();
                subject.call(name, call["arguments"].clone()).await?;
            }
        }
        "json-schema-2020-12-preservation" => {
            let list = subject.ask("tools/list", json!({})).await?;
            let mut tools = list["tools"].as_array().into_iter().flatten();
            let schema =
                tools.find(|tool| tool["name"] == "json_schema_2020_12_tool").map(|tool| tool["inputSchema"].clone());
            subject.call("json_schema_echo", json!({ "schema": schema })).await?;
        }
        _ => {
            for tool in tools {
                subject.call(&tool, json!({})).await?;
            }
        }
    }
    Ok(())
}
