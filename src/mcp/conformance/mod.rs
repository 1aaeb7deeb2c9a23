//! What the conformance suite of MCP expects to find on a server: tools, resources and prompts by the names that its
//! scenarios give them. Built with the feature `conformance` alone, for tests; knows nothing of a home.
//! Source: @modelcontextprotocol/conformance, the descriptions of its server scenarios.

mod asking;
mod content;
mod tools;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::definition::Definition;
use crate::mcp::source::{Changed, Method, Source};

/// The middle of the one template's addresses.
const TEMPLATE: (&str, &str) = ("test://template/", "/data");

/// See the module.
pub struct Conformance {
    tools: Arc<[Arc<Definition>]>,
    changes: broadcast::Sender<Changed>,
}

impl Conformance {
    /// Announces into `changes` what its tools are asked to change.
    pub fn new(changes: broadcast::Sender<Changed>) -> Conformance {
        Conformance { tools: tools::definitions(), changes }
    }
}

impl Source for Conformance {
    fn tools(&self) -> Arc<[Arc<Definition>]> {
        self.tools.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        tools::call(call, self.changes.clone()).boxed()
    }

    fn resources(&self, _who: &Principal) -> BoxFuture<'static, Result<Vec<Value>, Fault>> {
        let resource = |uri: &str, name: &str, mime: &str| json!({ "uri": uri, "name": name, "description": "A resource for tests.", "mimeType": mime });
        let all = vec![
            resource("test://static-text", "Static text", "text/plain"),
            resource("test://static-binary", "Static binary", "image/png"),
            resource("test://watched-resource", "Watched", "text/plain"),
        ];
        async { Ok(all) }.boxed()
    }

    fn templates(&self, _who: &Principal) -> Arc<[Value]> {
        let template = json!({
            "uriTemplate": "test://template/{id}/data", "name": "Template", "description": "A template for tests.",
            "mimeType": "application/json",
        });
        [template].into()
    }

    fn prompts(&self, _who: &Principal) -> Arc<[Value]> {
        let prompt = |name: &str, arguments: &[&str]| {
            let argument = |name: &&str| json!({ "name": name, "description": "For tests.", "required": true });
            let arguments: Vec<_> = arguments.iter().map(argument).collect();
            json!({ "name": name, "description": "A prompt for tests.", "arguments": arguments })
        };
        [
            prompt("test_input_required_result_prompt", &[]),
            prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
            prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
            prompt("test_prompt_with_image", &[]),
            prompt("test_simple_prompt", &[]),
        ]
        .into()
    }

    fn owns_prompt(&self, name: &str) -> bool {
        name.starts_with("test_")
    }

    fn owns_uri(&self, uri: &str) -> bool {
        uri.starts_with("test://")
    }

    fn request(
        &self,
        method: Method,
        params: Value,
        _who: Arc<Principal>,
        reach: Reach,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let result = match method {
            Method::ReadResource => read(&text("/uri")),
            Method::GetPrompt => prompt(&text("/name"), params.get("arguments"), reach),
            Method::Complete => Ok(json!({ "completion": complete(&text("/argument/value")) })),
            Method::Subscribe | Method::Unsubscribe => Ok(json!({})),
        };
        async { result }.boxed()
    }
}

fn read(uri: &str) -> Result<Value, Fault> {
    let contents = match uri {
        "test://static-text" => json!({
            "uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource.",
        }),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": content::PNG }),
        "test://watched-resource" => json!({ "uri": uri, "mimeType": "text/plain", "text": "This is watched." }),
        _ => {
            let id = uri.strip_prefix(TEMPLATE.0).and_then(|rest| rest.strip_suffix(TEMPLATE.1));
            let Some(id) = id.filter(|id| !id.is_empty()) else {
                let fault = Fault::new(ErrorCode::NotFound, "Resource not found");
                return Err(Fault { data: Some(json!({ "uri": uri })), ..fault });
            };
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() })
        }
    };
    Ok(json!({ "contents": [contents] }))
}

fn prompt(name: &str, arguments: Option<&Value>, reach: Reach) -> Result<Value, Fault> {
    let argument = |name: &str| arguments.and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or_default();
    let says = |blocks: Vec<Value>| {
        let messages: Vec<_> = blocks.into_iter().map(|block| json!({ "role": "user", "content": block })).collect();
        Ok(json!({ "description": "A prompt for tests.", "messages": messages }))
    };
    match name {
        "test_simple_prompt" => says(vec![content::text("This is a simple prompt for testing.")]),
        "test_prompt_with_arguments" => {
            let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1"), argument("arg2"));
            says(vec![content::text(&text)])
        }
        "test_prompt_with_embedded_resource" => says(vec![
            content::resource(argument("resourceUri"), "text/plain", "Embedded resource content for testing."),
            content::text("Please process the embedded resource above."),
        ]),
        "test_prompt_with_image" => says(vec![content::image(), content::text("Please analyze the image above.")]),
        "test_input_required_result_prompt" => {
            let given = reach.resumption.unwrap_or_default().responses;
            match given.get("user_context").and_then(|answer| answer.pointer("/content/context")) {
                Some(context) => says(vec![content::text(&format!("The context is {context}."))]),
                None => {
                    let asked = asking::form("What context should the prompt use?", "context", "string");
                    let requests = Map::from_iter([("user_context".to_owned(), asked)]);
                    Ok(json!({ "resultType": "input_required", "inputRequests": requests }))
                }
            }
        }
        _ => Err(Fault::new(ErrorCode::NotFound, "there is no such prompt")),
    }
}

fn complete(value: &str) -> Value {
    let words = ["paris", "park", "party", "test", "testing"];
    let values: Vec<_> = words.into_iter().filter(|word| word.starts_with(value)).collect();
    json!({ "total": values.len(), "values": values, "hasMore": false })
}
