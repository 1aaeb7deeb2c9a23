//! `google-genai` reads the fake of Gemini's stream, and the adapter reads the same.

use std::time::Duration;

use serde_json::json;

use super::{python, run};
use crate::world::dialects::gemini::base_url;
use crate::world::provider::{FakeProvider, MODEL, Script};

#[tokio::test]
async fn the_library_reads_the_fake() {
    let Some(python) = python() else { return };
    let thought = json!([{"text": "Let me see", "thought": true}]);
    let call = json!([{"functionCall": {"name": "dim", "args": {"to": 10}}, "thoughtSignature": "Y2FsbA=="}]);
    let picture = json!([{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]);
    let stream = Script::stream().gemini_parts(&thought).gemini_words(&["Hel", "lo wörld"], Duration::ZERO);
    let world = FakeProvider::start(stream.gemini_parts(&call).gemini_parts(&picture).gemini_end("STOP")).await;
    let address = base_url(&world);

    let heard = run(&python, "gemini_sdk.py", &[&address, "AIza-hunter2"]).await;
    let want = json!({
        "text": "Hello wörld", "thoughts": "Let me see", "model": MODEL, "finish": "STOP",
        "calls": [{"name": "dim", "args": {"to": 10}, "signature": "Y2FsbA=="}],
        "images": [{"mime": "image/png", "data": "aGk="}],
        "usage": {"prompt": 7, "candidates": 3, "thoughts": 2, "total": 12},
    });
    assert_eq!(heard, want);
    let request = world.request(0).await;
    let path = "/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    assert!(request.line.ends_with(path), "asks as the adapter does, of its own version: {}", request.line);
    assert_eq!(request.headers["x-goog-api-key"], "AIza-hunter2");

    let wait = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]);
    world.once(Script::gemini_error(429, "RESOURCE_EXHAUSTED", "Slow down", &wait));
    let refused = run(&python, "gemini_sdk.py", &[&address, "AIza-hunter2"]).await;
    let details = json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down"});
    assert_eq!(refused, json!({"error": details}));
}
