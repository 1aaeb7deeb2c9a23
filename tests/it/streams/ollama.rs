//! Ollama's own chat, and its older `generate`.

use hearth::adapters::llm::ollama::decode::Decoder;

use super::*;

const OLLAMA: Dialect = Dialect {
    name: "ollama",
    decoder: || Box::new(Decoder::new(KeyPlace::default(), "test")),
    // Its words are ours.
    finish: Value::clone,
    usage,
};

fn usage(sent: &Value) -> Usage {
    let count = |field: &str| sent[field].as_u64().unwrap_or(0);
    Usage { input_tokens: count("prompt_eval_count"), output_tokens: count("eval_count"), ..Usage::default() }
}

#[test]
fn every_recorded_stream_assembles() {
    every_stream_assembles_exactly_in_every_cut(&OLLAMA);
}
