//! Results in the words of each era. Sources give the newest revision's; what an older client would stumble over is left
//! out, and what a newer one must find is put in. Pure.

use serde_json::{Map, Value, json};

use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Outcome, ToolOutput};
use crate::mcp::definition::Definition;
use crate::mcp::rpc::{self, Id, RpcError};
use crate::mcp::server::version::{Era, META_SERVER};

/// How long a list may be taken for fresh, milliseconds. Whoever listens hears of a change at once.
pub const LIST_TTL_MS: u64 = 5_000;

/// What may be kept of a result, and by whom (2026-07-28, `CacheableResult`). Everything depends on who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Not a result that speaks of it.
    Unsaid,
    For(u64),
}

/// Who serves (MCP `Implementation`).
pub fn server_info(version: &str) -> Value {
    json!({ "name": "hearth", "title": "Hearth", "version": version })
}

/// MCP `ServerCapabilities`, the same for everybody.
pub fn capabilities() -> Value {
    json!({
        "tools": { "listChanged": true },
        "resources": { "listChanged": true, "subscribe": true },
        "prompts": { "listChanged": true },
        "completions": {},
        "logging": {},
    })
}

/// A whole result, ready to be sent.
pub fn complete(era: Era, mut result: Map<String, Value>, keep: Keep, server: &Value) -> Map<String, Value> {
    if let Some(Value::Object(meta)) = result.get_mut("_meta") {
        // What a server behind the hub calls itself is not what the hub is called.
        meta.remove(META_SERVER);
        if meta.is_empty() {
            result.remove("_meta");
        }
    }
    match era {
        Era::Sessions => ["resultType", "ttlMs", "cacheScope"].into_iter().for_each(|key| drop(result.remove(key))),
        Era::Stateless => {
            result.entry("resultType").or_insert_with(|| json!("complete"));
            if let Keep::For(ttl_ms) = keep {
                if !result.get("ttlMs").is_some_and(Value::is_u64) {
                    result.insert("ttlMs".into(), json!(ttl_ms));
                }
                result.insert("cacheScope".into(), json!("private"));
            }
            if let Some(meta) = result.entry("_meta").or_insert_with(|| json!({})).as_object_mut() {
                meta.insert(META_SERVER.into(), server.clone());
            }
        }
    }
    result
}

/// MCP `CallToolResult`.
pub fn tool_result(era: Era, output: ToolOutput) -> Map<String, Value> {
    let mut result = output.extra;
    result.insert("content".into(), output.content.into());
    // Before 2026-07-28 it is an object.
    if let Some(structured) = output.structured.filter(|value| era == Era::Stateless || value.is_object()) {
        result.insert("structuredContent".into(), structured);
    }
    if output.is_error {
        result.insert("isError".into(), true.into());
    }
    result
}

/// MCP `Tool`. Older clients take no schema of a result that is not an object's.
pub fn tool(era: Era, definition: &Definition) -> Value {
    let mut tool = definition.to_value();
    let is_object = |schema: &Value| schema.get("type").and_then(Value::as_str) == Some("object");
    if era == Era::Sessions && definition.output.as_ref().is_some_and(|schema| !is_object(&schema.to_value())) {
        tool.as_object_mut().map(|tool| tool.remove("outputSchema"));
    }
    tool
}

/// MCP `InputRequiredResult`.
pub fn input_required(requests: Map<String, Value>, state: Option<String>) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("resultType".into(), "input_required".into());
    if !requests.is_empty() {
        result.insert("inputRequests".into(), requests.into());
    }
    if let Some(state) = state {
        result.insert("requestState".into(), state.into());
    }
    result
}

/// What a source's result asks for, where it asks.
pub fn asks(result: &Map<String, Value>) -> Option<Outcome> {
    if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
        return None;
    }
    let requests = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
    let state = result.get("requestState").and_then(Value::as_str).map(ToOwned::to_owned);
    Some(Outcome::InputRequired { requests, state })
}

/// A fault as JSON-RPC says it. 2026-07-28 has no code of its own for a resource that is not there.
pub fn error(era: Era, method: &str, fault: Fault) -> RpcError {
    let is_missing = method == "resources/read" && fault.error.code == ErrorCode::NotFound;
    let code = match era {
        Era::Sessions if is_missing => rpc::RESOURCE_NOT_FOUND,
        Era::Stateless if is_missing => rpc::INVALID_PARAMS,
        _ => fault.code,
    };
    RpcError { code, message: fault.error.message, data: fault.data }
}

/// An answer's text around a result that is text already.
pub fn envelope(id: &Id, result: &str) -> String {
    let id = serde_json::to_string(id).expect("a number or a text is JSON");
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::who::Role;
    use crate::mcp::definition::Annotations;

    #[test]
    fn each_era_gets_its_own_words() {
        let from_behind = json!({
            "contents": [], "resultType": "complete", "ttlMs": 7, "cacheScope": "public",
            "_meta": { META_SERVER: { "name": "other" } },
        });
        let Value::Object(from_behind) = from_behind else { unreachable!() };
        let info = server_info("1");
        let old = complete(Era::Sessions, from_behind.clone(), Keep::For(0), &info);
        assert_eq!(Value::from(old), json!({ "contents": [] }));
        let new = complete(Era::Stateless, from_behind, Keep::For(0), &info);
        let wanted = json!({
            "contents": [], "resultType": "complete", "ttlMs": 7, "cacheScope": "private", "_meta": { META_SERVER: info },
        });
        assert_eq!(Value::from(new), wanted);
        let plain = complete(Era::Stateless, Map::new(), Keep::Unsaid, &info);
        assert!(plain.contains_key("resultType") && !plain.contains_key("ttlMs"));
    }

    #[test]
    fn older_clients_get_objects_only() {
        let list = ToolOutput { structured: Some(json!([1])), ..ToolOutput::text("[1]") };
        assert!(!tool_result(Era::Sessions, list.clone()).contains_key("structuredContent"));
        assert!(tool_result(Era::Stateless, list).contains_key("structuredContent"));
        let mut definition =
            Definition::native::<Option<u8>, Vec<u8>>("a.b", "t", "d", Annotations::READS, Role::Guest);
        assert!(tool(Era::Sessions, &definition).get("outputSchema").is_none());
        assert!(tool(Era::Stateless, &definition).get("outputSchema").is_some());
        definition.output = Some(json!({ "type": "object" }).into());
        assert!(tool(Era::Sessions, &definition).get("outputSchema").is_some());
    }

    #[test]
    fn a_missing_resource_has_a_code_of_its_own_in_older_words_only() {
        let missing = || Fault::new(ErrorCode::NotFound, "no");
        assert_eq!(error(Era::Sessions, "resources/read", missing()).code, rpc::RESOURCE_NOT_FOUND);
        assert_eq!(error(Era::Stateless, "resources/read", missing()).code, rpc::INVALID_PARAMS);
        assert_eq!(error(Era::Sessions, "tools/call", missing()).code, rpc::INVALID_PARAMS);
        let behind = Fault::of_rpc(rpc::RESOURCE_NOT_FOUND, "no", None);
        assert_eq!(error(Era::Stateless, "resources/read", behind).code, rpc::INVALID_PARAMS);
        assert_eq!(envelope(&Id::Text("a\"".into()), "{}"), r#"{"jsonrpc":"2.0","id":"a\"","result":{}}"#);
    }
}
