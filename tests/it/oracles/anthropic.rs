//! The `anthropic` library reads the fake of Anthropic's Messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::{python, run};
use crate::world::dialects::anthropic::{self as fake, Answer, INPUT, OUTPUT_TOKENS};
use crate::world::provider::{FakeProvider, MODEL, Script};

/// What the library makes of a script.
async fn read(python: &std::path::Path, script: Script) -> Value {
    let world = FakeProvider::start(script).await;
    // The library adds the rest itself.
    let base_url = world.base_url();
    let read = run(python, "anthropic_sdk.py", &[base_url.trim_end_matches("/v1")]).await;
    let request = world.request(0).await;
    assert_eq!((request.line.as_str(), &request.body["stream"]), ("POST /v1/messages", &json!(true)));
    read
}

#[tokio::test]
async fn the_fake_is_read_as_it_was_meant() {
    let Some(python) = python() else { return };
    let citation = json!({"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": null, "file_id": null,
        "start_char_index": 0, "end_char_index": 1});
    let script = Answer::begin()
        .ping()
        .thinking(&["2 + 2", " = 4"], "EqQB")
        .redacted("Emw=")
        .text(&["Four", ", wörld. "], Duration::ZERO)
        .cited("Says the book.", &citation)
        .search("srvtoolu_1", "four")
        .call("toolu_1", "lamp", &["{\"on\": tr", "ue}"])
        .call("toolu_2", "clock", &[])
        .end("tool_use");
    let (input_tokens, cached, written) = INPUT;
    let want = json!({
        "model": MODEL, "text": "Four, wörld. Says the book.", "thinking": "2 + 2 = 4", "signatures": ["EqQB"],
        "citations": [citation], "redacted": ["Emw="],
        "tool_calls": [
            {"id": "toolu_1", "name": "lamp", "input": {"on": true}}, {"id": "toolu_2", "name": "clock", "input": {}},
        ],
        "server_tools": [{"name": "web_search", "input": {"query": "four"}}], "found": ["https://example.org/"],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": input_tokens, "cache_read_input_tokens": cached, "cache_creation_input_tokens": written,
            "output_tokens": OUTPUT_TOKENS},
    });
    assert_eq!(read(&python, script).await, want);
}

#[tokio::test]
async fn its_errors_are_read_as_errors() {
    let Some(python) = python() else { return };
    let script = Answer::begin().text(&["Fo"], Duration::ZERO).error("overloaded_error", "Overloaded").hangup();
    let read_so_far = read(&python, script).await;
    let want = json!({"status": 200, "type": "overloaded_error", "message": "Overloaded", "request_id": "req_fake"});
    assert_eq!((&read_so_far["error"], &read_so_far["text"]), (&want, &json!("Fo")));
    for (status, kind) in
        [(401, "authentication_error"), (404, "not_found_error"), (429, "rate_limit_error"), (529, "overloaded_error")]
    {
        let error = read(&python, fake::refusal(status, kind, "No", &[])).await["error"].clone();
        assert_eq!(error, json!({"status": status, "type": kind, "message": "No", "request_id": "req_fake"}));
    }
}
