//! The fake of Ollama before the official `ollama` package.

use serde_json::json;

use super::{python, run};
use crate::world::dialects::ollama::{begin, broken, done, line, models, refusal};
use crate::world::provider::{FakeProvider, MODEL, Script};

#[tokio::test]
async fn the_fake_is_what_the_official_client_understands() {
    let Some(python) = python() else { return };
    let world = FakeProvider::start(Script::default()).await;
    let call = json!({"function": {"name": "lamp", "arguments": {"on": true}}});
    let script = line(line(begin(), json!({"content": "", "thinking": "hm"})), json!({"content": "Hel"}));
    let script = line(line(script, json!({"content": "lo"})), json!({"content": "", "tool_calls": [call]}));
    world.once(done(script, "stop"));
    world.once(broken(line(begin(), json!({"content": "a"})), "it broke"));
    world.once(refusal(404, "model 'm' not found"));
    world.once(models(&["one", "two"]));
    let said = run(&python, "ollama_sdk.py", &[world.base_url().trim_end_matches("/v1")]).await;
    let want = json!({
        "text": "Hello", "thinking": "hm", "pieces": 5, "model": MODEL, "done_reason": "stop",
        "tool_calls": [{"name": "lamp", "arguments": {"on": true}}],
        "prompt_eval_count": 7, "eval_count": 3,
        "broken": {"text": "a", "error": "it broke"},
        "refused": {"status": 404, "error": "model 'm' not found"},
        "models": ["one", "two"],
    });
    assert_eq!(said, want);
    let lines: Vec<String> = world.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["POST /api/chat", "POST /api/chat", "POST /api/chat", "GET /api/tags"]);
}
