//! The two eras of MCP: a handshake and a session until 2025-11-25, and a request that carries everything it needs since
//! 2026-07-28. What a request has to carry, and how a result of the older era looks in the newer. Knows no wire.

use serde_json::{Map, Value, json};

/// The revision that has no handshake.
pub const NEWEST: &str = "2026-07-28";

/// The revisions with a handshake, the best first. 2024-11-05 is what servers with HTTP+SSE speak.
pub const OLDER: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// MCP 2026-07-28, "Error codes".
pub const HEADER_MISMATCH: i64 = -32020;
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// Keys of `_meta` (MCP 2026-07-28, `RequestMetaObject` and `NotificationMetaObject`).
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Of one of [`OLDER`]: what the client can do was said once, in the handshake.
    Older,
    /// Of [`NEWEST`]: it is said with each request.
    Newest,
}

/// Results that may be kept, which say for how long (MCP 2026-07-28, `CacheableResult`).
const CACHEABLE: [&str; 6] =
    ["server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

/// MCP `Implementation` of this hub.
pub fn client_info() -> Value {
    json!({ "name": "hearth", "title": "Hearth", "version": env!("CARGO_PKG_VERSION") })
}

/// What the hub can pass on to whoever stands before it. A server may ask for all of it; a call whose caller cannot do it is
/// answered with an error, or goes back to that caller as an `InputRequiredResult`.
pub fn everything() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} })
}

/// Adds to `params._meta` what a request of the newest era carries. Capabilities that are there already stay: a caller's own
/// are truer than ours.
pub fn stamp(params: &mut Map<String, Value>, revision: &str, capabilities: &Value) {
    let meta = meta_of(params);
    meta.insert(META_VERSION.into(), json!(revision));
    meta.insert(META_CLIENT.into(), client_info());
    meta.entry(META_CAPABILITIES).or_insert_with(|| capabilities.clone());
}

/// Takes away what only the newest era knows.
pub fn unstamp(params: &mut Map<String, Value>) {
    let Some(meta) = params.get_mut("_meta").and_then(Value::as_object_mut) else { return };
    for key in [META_VERSION, META_CLIENT, META_CAPABILITIES, META_LOG_LEVEL] {
        meta.remove(key);
    }
    if meta.is_empty() {
        params.remove("_meta");
    }
}

/// `params._meta`, made where it is missing or no object.
pub fn meta_of(params: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let meta = params.entry("_meta").or_insert_with(|| json!({}));
    if !meta.is_object() {
        *meta = json!({});
    }
    meta.as_object_mut().expect("it was just made one")
}

/// Gives a result the fields that the newest revision asks for, where the server did not.
pub fn modernize(method: &str, result: &mut Value) {
    let Some(fields) = result.as_object_mut() else { return };
    fields.entry("resultType").or_insert_with(|| json!("complete"));
    if CACHEABLE.contains(&method) {
        // Nothing was promised, so nothing may be kept or shown to somebody else.
        fields.entry("ttlMs").or_insert_with(|| json!(0));
        fields.entry("cacheScope").or_insert_with(|| json!("private"));
    }
}

/// Whether a result asks for something first.
pub fn wants_input(result: &Value) -> bool {
    result.get("resultType").and_then(Value::as_str) == Some("input_required")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_who_asks_and_keeps_what_the_caller_said() {
        let mut params = json!({ "name": "x", "_meta": { META_CAPABILITIES: { "roots": {} }, "progressToken": 7 } });
        let params = params.as_object_mut().unwrap();
        stamp(params, NEWEST, &everything());
        assert_eq!(params["_meta"][META_VERSION], NEWEST);
        assert_eq!(params["_meta"][META_CAPABILITIES], json!({ "roots": {} }));
        assert_eq!(params["_meta"]["progressToken"], 7);
        unstamp(params);
        assert_eq!(params["_meta"], json!({ "progressToken": 7 }));
    }

    #[test]
    fn an_older_result_is_complete_and_not_to_be_kept() {
        let mut result = json!({ "tools": [] });
        modernize("tools/list", &mut result);
        assert_eq!(result, json!({ "tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private" }));
        let mut newer = json!({ "resultType": "input_required", "requestState": "s" });
        modernize("tools/call", &mut newer);
        assert!(wants_input(&newer));
    }
}
