//! OpenAI's own library reads the fakes that speak like OpenAI.

use std::time::Duration;

use serde_json::json;

use super::{python, run};
use crate::world::dialects::{images, responses};
use crate::world::provider::{FakeProvider, Script};

const SCRIPT: &str = "openai_sdk.py";

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn chat() {
    let Some(python) = python() else { return };
    let call =
        json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "light", "arguments": "{}"}});
    let script = Script::stream()
        .words(&["Hel", "lo"], Duration::ZERO)
        .event(&json!({"tool_calls": [call]}), serde_json::Value::Null)
        .end();
    let world = FakeProvider::start(script).await;
    let want = json!({"text": "Hello", "finish": "stop", "usage": [7, 3],
        "calls": [{"id": "call_1", "name": "light", "arguments": "{}"}]});
    assert_eq!(run(&python, SCRIPT, &[&world.base_url(), "chat"]).await, want);
}

#[tokio::test]
async fn responses() {
    let Some(python) = python() else { return };
    let script = responses::Answer::begin()
        .thoughts(&["Hm", "…"], "gAA=")
        .picture(&[b"one", b"two"], b"whole")
        .words(&["Hel", "lo"], Duration::ZERO)
        .call("call_1", "light", &["{\"on\"", ":true}"])
        .end();
    let world = FakeProvider::start(script).await;
    let want = json!({
        "text": "Hello", "reasoning": "Hm…", "encrypted": ["gAA="], "arguments": "{\"on\":true}",
        "calls": [{"id": "call_1", "name": "light", "arguments": "{\"on\":true}"}],
        "previews": [[0, sha256(b"one")], [1, sha256(b"two")]], "pictures": [sha256(b"whole")],
        "status": "completed", "usage": [7, 3],
    });
    assert_eq!(run(&python, SCRIPT, &[&world.base_url(), "responses"]).await, want);
    assert_eq!(world.request(0).await.line, "POST /v1/responses");
}

#[tokio::test]
async fn images() {
    let Some(python) = python() else { return };
    let world = FakeProvider::start(images::document(&[b"first", b"second"])).await;
    world.once(images::stream(&[b"one", b"two"], b"whole"));
    let want = json!({
        "previews": [[0, sha256(b"one")], [1, sha256(b"two")]], "pictures": [sha256(b"whole")], "usage": [7, 272],
        "document": [sha256(b"first"), sha256(b"second")],
    });
    assert_eq!(run(&python, SCRIPT, &[&world.base_url(), "images"]).await, want);
}
