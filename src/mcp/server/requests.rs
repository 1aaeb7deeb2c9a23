//! What a client can ask for, done: each request that both eras have, by way of the one `Service`. Knows no session and no
//! stream.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::common::who::Principal;
use crate::mcp::call::{Call, Fault, Outcome, Reach};
use crate::mcp::rpc::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError};
use crate::mcp::server::list::{PAGE_LEN, Texts, page};
use crate::mcp::server::shape::{self, Keep, LIST_TTL_MS};
use crate::mcp::server::version::Era;
use crate::mcp::service::Service;
use crate::mcp::source::Method;

/// A request, whichever way it came.
#[derive(Clone)]
pub struct Asked {
    pub era: Era,
    pub method: Box<str>,
    pub params: Map<String, Value>,
    pub who: Arc<Principal>,
}

/// What came of it.
pub enum Done {
    /// The result's text.
    Result(Arc<str>),
    /// Something is asked of the client first.
    Input { requests: Map<String, Value>, state: Option<String> },
}

/// Whether a request may take its time and speak meanwhile, or is answered from what is at hand.
pub fn is_work(method: &str) -> bool {
    matches!(method, "tools/call" | "resources/read" | "prompts/get" | "completion/complete")
}

/// Does what is asked.
pub struct Requests {
    pub service: Service,
    pub server: Value,
    texts: Texts,
    page_len: usize,
}

impl Requests {
    pub fn new(service: Service, server: Value) -> Requests {
        Requests { service, server, texts: Texts::default(), page_len: PAGE_LEN }
    }

    pub async fn answer(&self, asked: &Asked, reach: Reach) -> Result<Done, RpcError> {
        let cursor = asked.params.get("cursor");
        match &*asked.method {
            "tools/list" => {
                let tools = self.service.tools(&asked.who);
                let (tools, next) = page(tools, |tool| &tool.name, cursor, self.page_len)?;
                let tools = self.texts.of(asked.era, tools, self.service.snapshots());
                Ok(Done::Result(self.list(asked.era, "tools", &tools, next).into()))
            }
            "resources/list" => {
                let found = self.service.resources(&asked.who).await;
                let found = found.map_err(|fault| shape::error(asked.era, &asked.method, fault))?;
                self.values(asked.era, "resources", found, "uri", cursor)
            }
            "resources/templates/list" => {
                self.values(asked.era, "resourceTemplates", self.service.templates(&asked.who), "uriTemplate", cursor)
            }
            "prompts/list" => self.values(asked.era, "prompts", self.service.prompts(&asked.who), "name", cursor),
            "tools/call" => self.call(asked, reach).await,
            "resources/read" => self.pass(asked, Method::ReadResource, "/uri", reach).await,
            "prompts/get" => self.pass(asked, Method::GetPrompt, "/name", reach).await,
            "completion/complete" => self.pass(asked, Method::Complete, "/ref/type", reach).await,
            other => Err(unknown(other)),
        }
    }

    async fn call(&self, asked: &Asked, reach: Reach) -> Result<Done, RpcError> {
        let tool = asked.params.get("name").and_then(Value::as_str).ok_or_else(|| missing("/name"))?;
        let arguments = match asked.params.get("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return Err(RpcError::new(INVALID_PARAMS, "params.arguments must be an object")),
        };
        let call = Call { tool: tool.into(), arguments, who: asked.who.clone(), reach };
        match self.service.call(call).await {
            Ok(Outcome::Done(output)) => {
                let result = shape::tool_result(asked.era, output);
                Ok(Done::Result(self.whole(asked.era, result, Keep::Unsaid)))
            }
            Ok(Outcome::InputRequired { requests, state }) => Ok(Done::Input { requests, state }),
            Err(fault) => Err(shape::error(asked.era, &asked.method, fault)),
        }
    }

    async fn pass(&self, asked: &Asked, method: Method, needs: &str, reach: Reach) -> Result<Done, RpcError> {
        let mut params = asked.params.clone();
        // Of the protocol, and not of whoever answers.
        for key in ["_meta", "inputResponses", "requestState"] {
            params.remove(key);
        }
        let params = Value::from(params);
        if params.pointer(needs).and_then(Value::as_str).is_none() {
            return Err(missing(needs));
        }
        let keep = if method == Method::ReadResource { Keep::For(0) } else { Keep::Unsaid };
        let result = self.service.request(method, params, asked.who.clone(), reach).await;
        let result = result.map_err(|fault| shape::error(asked.era, &asked.method, fault))?;
        let Value::Object(result) = result else { return Err(RpcError::new(INTERNAL_ERROR, "no result")) };
        match shape::asks(&result) {
            Some(Outcome::InputRequired { requests, state }) => Ok(Done::Input { requests, state }),
            _ => Ok(Done::Result(self.whole(asked.era, result, keep))),
        }
    }

    /// Begins (or ends) to be told of a resource. Nothing has begun where this is dropped before it is done.
    pub async fn watch(&self, method: Method, uri: &str, who: Arc<Principal>) -> Result<(), Fault> {
        let params = Value::from(Map::from_iter([("uri".to_owned(), uri.into())]));
        self.service.request(method, params, who, Reach::default()).await.map(drop)
    }

    /// A result's text.
    pub fn whole(&self, era: Era, result: Map<String, Value>, keep: Keep) -> Arc<str> {
        Value::from(shape::complete(era, result, keep, &self.server)).to_string().into()
    }

    fn values(
        &self,
        era: Era,
        name: &str,
        found: Vec<Value>,
        key: &'static str,
        cursor: Option<&Value>,
    ) -> Result<Done, RpcError> {
        let (found, next) =
            page(found, |value| value.get(key).and_then(Value::as_str).unwrap_or_default(), cursor, self.page_len)?;
        Ok(Done::Result(self.list(era, name, &Value::from(found).to_string(), next).into()))
    }

    /// The text of a list around that of its items.
    fn list(&self, era: Era, name: &str, items: &str, next: Option<String>) -> String {
        let mut rest = Map::new();
        if let Some(next) = next {
            rest.insert("nextCursor".into(), next.into());
        }
        let rest = self.whole(era, rest, Keep::For(LIST_TTL_MS));
        let comma = if rest.len() > 2 { "," } else { "" };
        format!("{{\"{name}\":{items}{comma}{}", &rest[1..])
    }
}

/// JSON-RPC's word for a method that nobody has.
pub fn unknown(method: &str) -> RpcError {
    let shown: String = method.chars().take(64).flat_map(char::escape_debug).collect();
    RpcError::new(METHOD_NOT_FOUND, format!("there is no method {shown}"))
}

fn missing(pointer: &str) -> RpcError {
    RpcError::new(INVALID_PARAMS, format!("params{} must be a text", pointer.replace('/', ".")))
}
