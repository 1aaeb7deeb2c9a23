//! Every way in which a provider gives no answer, with what the client is told of it. One list, so that whoever falls back,
//! retries or reports is tried with all of them.

use serde_json::{Value, json};

use super::provider::Script;

/// Before any content has come.
pub struct Fault {
    pub what: &'static str,
    pub script: Script,
    pub code: &'static str,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
    /// Ends by a deadline of the hub's, and so takes its time.
    pub slow: bool,
}

/// The faults before content.
pub fn before_content() -> Vec<Fault> {
    let fault =
        |what, script, code, retryable| Fault { what, script, code, retryable, retry_after_ms: None, slow: false };
    let slow = |what, script| Fault { slow: true, ..fault(what, script, "timeout", true) };
    let after = |ms, fault| Fault { retry_after_ms: Some(ms), ..fault };
    let html = |status, title: &str| {
        Script::status(status, &[("content-type", "text/html")], &format!("<html><title>{title}</title></html>"))
    };
    let limit = |headers: &[(&str, &str)]| Script::error(429, "rate_limit_exceeded", "Slow down", headers);
    let quota = |status| Script::error(status, "insufficient_quota", "No credit", &[("retry-after", "1")]);
    let overloaded = json!({"error": {"message": "Overloaded", "type": "server_error"}}).to_string();
    vec![
        slow("silence instead of a head", Script::default().stall()),
        slow("silence instead of a word", Script::stream().stall()),
        slow("silence after what is no content", lifecycle().stall()),
        fault("RST instead of a head", Script::default().reset(), "provider_error", true),
        fault("FIN instead of a head", Script::default().hangup(), "provider_error", true),
        fault(
            "FIN within the head",
            Script::default().raw(b"HTTP/1.1 200 OK\r\ncont").hangup(),
            "provider_error",
            true,
        ),
        fault("RST instead of a word", lifecycle().reset(), "provider_error", true),
        fault("FIN instead of a word", lifecycle().hangup(), "provider_error", true),
        fault("an end without a terminator", lifecycle().body_end(), "provider_error", true),
        fault("an empty body", Script::stream().body_end(), "provider_error", true),
        fault("an empty body with a length", Script::status(200, &[], ""), "provider_error", true),
        fault("an error event", lifecycle().sse(&overloaded).stall(), "provider_error", true),
        fault("an error with 200", Script::error(200, "server_error", "Overloaded", &[]), "provider_error", true),
        fault("HTML with 200", html(200, "Log in to the café's network"), "provider_error", false),
        fault("broken JSON", Script::stream().sse("{\"choices\":").stall(), "provider_error", false),
        fault(
            "no HTTP at all",
            Script::default().raw(b"\x00\xFF\x16\x03garbage\r\n\r\n").hangup(),
            "provider_error",
            true,
        ),
        fault("HTML 502", html(502, "502 Bad Gateway"), "provider_error", true),
        fault("500", Script::error(500, "server_error", "It broke", &[]), "provider_error", true),
        fault("503", Script::status(503, &[], ""), "provider_error", true),
        fault("408", Script::status(408, &[], ""), "timeout", true),
        fault("504", html(504, "504 Gateway Time-out"), "timeout", true),
        after(2000, fault("429 with retry-after", limit(&[("retry-after", "2")]), "rate_limited", true)),
        after(1500, fault("429 with retry-after-ms", limit(&[("retry-after-ms", "1500")]), "rate_limited", true)),
        fault("429 without a time", limit(&[]), "rate_limited", true),
        after(1000, fault("429 without credit", quota(429), "budget_exhausted", false)),
        after(1000, fault("402", quota(402), "budget_exhausted", false)),
        fault("401", Script::error(401, "invalid_api_key", "Incorrect API key", &[]), "provider_auth", false),
        fault("403", Script::error(403, "forbidden", "Not in your country", &[]), "provider_auth", false),
        fault("413", Script::status(413, &[], ""), "too_large", false),
        fault(
            "a context that is too long",
            Script::error(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens", &[]),
            "too_large",
            false,
        ),
        fault("400", Script::error(400, "invalid_request_error", "Bad request", &[]), "provider_error", false),
        fault(
            "a redirection",
            Script::status(302, &[("location", "http://127.0.0.1:9/")], ""),
            "provider_error",
            false,
        ),
        fault(
            "an event without an end",
            Script::stream().chunk(&[&b"data: "[..], &[b'x'; 17 * 1024 * 1024]].concat()).stall(),
            "provider_error",
            false,
        ),
        fault("404", Script::error(404, "model_not_found", "There is no such model", &[]), "provider_error", false),
    ]
}

/// The beginning of a stream in which nothing is content yet: a role, nulls, empty text, usage alone.
pub fn lifecycle() -> Script {
    let usage = json!({"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": "none", "choices": [],
        "usage": {"prompt_tokens": 99, "completion_tokens": 0, "total_tokens": 99}});
    Script::stream()
        .chunk(b": waiting for a free place\n\n")
        .event(&json!({"role": "assistant", "content": null}), Value::Null)
        .event(&json!({"content": ""}), Value::Null)
        .event(&json!({"content": null, "refusal": null, "tool_calls": []}), Value::Null)
        .sse(&usage.to_string())
}
