//! Chat Completions.

use hearth::adapters::llm::openai::decode::Decoder;

use super::*;

const OPENAI_CHAT: Dialect = Dialect {
    name: "openai_chat",
    decoder: || Box::new(Decoder::new(KeyPlace::default())),
    // Its words are ours.
    finish: Value::clone,
    usage,
};

fn usage(sent: &Value) -> Usage {
    let details = |part: &str, field: &str| sent[part][field].as_u64();
    Usage {
        input_tokens: sent["prompt_tokens"].as_u64().unwrap_or(0),
        output_tokens: sent["completion_tokens"].as_u64().unwrap_or(0),
        cached_tokens: details("prompt_tokens_details", "cached_tokens").or(sent["prompt_cache_hit_tokens"].as_u64()),
        cache_write_tokens: details("prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens: details("completion_tokens_details", "reasoning_tokens"),
        cost_usd: sent["cost"].as_f64(),
    }
}

#[test]
fn every_recorded_stream_assembles() {
    every_stream_assembles_exactly_in_every_cut(&OPENAI_CHAT);
}

#[test]
fn every_recorded_refusal_is_understood() {
    every_refusal_is_understood(OPENAI_CHAT.name);
}
