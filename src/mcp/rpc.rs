//! JSON-RPC 2.0 as MCP uses it: one message in, one message out, without batches. What a message carries stays as it was
//! written until somebody asks for it. Knows no method.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// JSON-RPC 2.0 §5.1.
pub const PARSE_ERROR: i64 = -32700;
pub const INVALID_REQUEST: i64 = -32600;
pub const METHOD_NOT_FOUND: i64 = -32601;
pub const INVALID_PARAMS: i64 = -32602;
pub const INTERNAL_ERROR: i64 = -32603;
/// MCP up to 2025-11-25: there is no such resource. Later revisions say [`INVALID_PARAMS`].
pub const RESOURCE_NOT_FOUND: i64 = -32002;

/// A request's id. MCP allows strings and integers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    Number(i64),
    Text(Box<str>),
}

/// A message, taken apart.
#[derive(Debug)]
pub enum Message<'a> {
    Request {
        id: Id,
        method: Box<str>,
        params: Option<&'a RawValue>,
    },
    Notification {
        method: Box<str>,
        params: Option<&'a RawValue>,
    },
    Result {
        id: Id,
        result: &'a RawValue,
    },
    /// The id is absent where the other side could not read it.
    Error {
        id: Option<Id>,
        error: RpcError,
    },
}

/// JSON-RPC 2.0 §5.1, `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    jsonrpc: Option<Box<str>>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<Box<str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
}

/// `null` is not the same as nothing.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads one message; the error is what to answer (with the id, where one could be read).
pub fn parse(text: &str) -> Result<Message<'_>, (Option<Id>, RpcError)> {
    let broken = |error: serde_json::Error| {
        let code = if error.is_data() { INVALID_REQUEST } else { PARSE_ERROR };
        (None, RpcError::new(code, format!("this is no JSON-RPC message: {error}")))
    };
    let wire: Wire<'_> = serde_json::from_str(text).map_err(broken)?;
    let id = match wire.id {
        None => None,
        // What could not be attributed is answered with null (JSON-RPC 2.0 §5).
        Some(Value::Null) if wire.error.is_some() => None,
        Some(id) => Some(
            serde_json::from_value::<Id>(id)
                .map_err(|_| (None, RpcError::new(INVALID_REQUEST, "id is a string or an integer")))?,
        ),
    };
    let refuse = |id: &Option<Id>, why: &str| Err((id.clone(), RpcError::new(INVALID_REQUEST, why)));
    if wire.jsonrpc.as_deref() != Some("2.0") {
        return refuse(&id, "jsonrpc must be \"2.0\"");
    }
    match (wire.method, id, wire.result, wire.error) {
        (Some(method), Some(id), None, None) => Ok(Message::Request { id, method, params: wire.params }),
        (Some(method), None, None, None) => Ok(Message::Notification { method, params: wire.params }),
        (None, Some(id), Some(result), None) => Ok(Message::Result { id, result }),
        (None, id, None, Some(error)) => Ok(Message::Error { id, error }),
        (_, id, _, _) => refuse(&id, "a message has a method, or an id with a result, or an error"),
    }
}

/// What `params` hold, or the error to answer; absent ones are an empty object.
pub fn params<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, RpcError> {
    let text = params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| RpcError::new(INVALID_PARAMS, format!("params: {error}")))
}

/// A request's text.
pub fn request(id: &Id, method: &str, params: &impl Serialize) -> String {
    text(&json!({ "jsonrpc": "2.0", "id": id, "method": method }), "params", params)
}

/// A notification's text.
pub fn notification(method: &str, params: &impl Serialize) -> String {
    text(&json!({ "jsonrpc": "2.0", "method": method }), "params", params)
}

/// An answer's text.
pub fn result(id: &Id, result: &impl Serialize) -> String {
    text(&json!({ "jsonrpc": "2.0", "id": id }), "result", result)
}

/// The text of an answer that is an error; without an id where none could be read.
pub fn error(id: Option<&Id>, error: &RpcError) -> String {
    text(&json!({ "jsonrpc": "2.0", "id": id }), "error", error)
}

/// The head's fields and one more, which is written as it is.
fn text(head: &Value, key: &str, value: &impl Serialize) -> String {
    let mut text = head.to_string();
    text.truncate(text.len() - 1);
    text.push_str(",\"");
    text.push_str(key);
    text.push_str("\":");
    text.push_str(&serde_json::to_string(value).expect("the hub's own types have text keys only"));
    text.push('}');
    text
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into(), data: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_request_a_notification_or_an_answer() {
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#),
            Ok(Message::Request { id: Id::Number(7), method, params: None }) if &*method == "ping"
        ));
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","method":"x","params":{"a": 1}}"#),
            Ok(Message::Notification { .. })
        ));
        let Ok(Message::Result { result, .. }) = parse(r#"{"jsonrpc":"2.0","id":"a","result":{"b": 2}}"#) else {
            panic!()
        };
        assert_eq!(result.get(), r#"{"b": 2}"#, "as it was written");
        let error = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#);
        assert!(matches!(error, Ok(Message::Error { id: None, .. })));
    }

    #[test]
    fn what_is_no_message_is_told_so() {
        for (text, code) in [
            ("{", PARSE_ERROR),
            ("[]", INVALID_REQUEST),
            ("7", INVALID_REQUEST),
            (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST),
        ] {
            let (_, error) = parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.code, code, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let id = Id::Text("a\"b".into());
        assert_eq!(request(&id, "ping", &json!({})), r#"{"id":"a\"b","jsonrpc":"2.0","method":"ping","params":{}}"#);
        assert!(matches!(parse(&result(&id, &json!({}))), Ok(Message::Result { id: Id::Text(_), .. })));
        assert!(matches!(parse(&error(None, &RpcError::new(1, "x"))), Ok(Message::Error { id: None, .. })));
    }
}
