//! Anthropic's Messages.

use hearth::adapters::llm::anthropic::decode::Decoder;

use super::*;

const ANTHROPIC: Dialect =
    Dialect { name: "anthropic", decoder: || Box::new(Decoder::new(KeyPlace::default())), finish, usage };

fn finish(sent: &Value) -> Value {
    match sent.as_str() {
        Some("end_turn" | "stop_sequence") => json!("stop"),
        Some("max_tokens" | "model_context_window_exceeded") => json!("length"),
        Some("tool_use") => json!("tool_calls"),
        Some("refusal") => json!("content_filter"),
        _ => sent.clone(),
    }
}

fn usage(sent: &Value) -> Usage {
    let count = |field: &str| sent[field].as_u64();
    let (cached, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    Usage {
        input_tokens: count("input_tokens").unwrap_or(0) + cached.unwrap_or(0) + written.unwrap_or(0),
        output_tokens: count("output_tokens").unwrap_or(0),
        cached_tokens: cached,
        cache_write_tokens: written,
        reasoning_tokens: sent["output_tokens_details"]["thinking_tokens"].as_u64(),
        cost_usd: None,
    }
}

#[test]
fn every_recorded_stream_assembles() {
    every_stream_assembles_exactly_in_every_cut(&ANTHROPIC);
}

#[test]
fn every_recorded_refusal_is_understood() {
    every_refusal_is_understood(ANTHROPIC.name);
}

/// Signed thinking comes back whole: as many signatures as the provider gave, each in an item of its own.
#[test]
fn what_is_signed_is_kept() {
    let Some(recordings) = recordings(ANTHROPIC.name) else { return };
    let mut signed = 0;
    for recording in recordings.iter().filter(|recording| recording.status == 200 && !recording.ambiguous) {
        let (events, ended) = decode((ANTHROPIC.decoder)(), &recording.body, &[]);
        assert_eq!(ended, Ok(()), "{}", recording.name);
        let items: Vec<Value> = events
            .iter()
            .filter_map(|event| if let Event::Verbatim(item) = event { Some(item) } else { None })
            .map(|item| serde_json::from_str(item.json.get()).unwrap())
            .collect();
        let thoughts: String = items.iter().filter_map(|item| item["thinking"].as_str()).collect();
        let body = String::from_utf8_lossy(&recording.body);
        let signatures = body.matches("\"signature_delta\"").count();
        assert_eq!(items.iter().filter(|item| item["type"] == "thinking").count(), signatures, "{}", recording.name);
        if signatures > 0 {
            assert_eq!(recording.expected["reasoning"], thoughts, "{}", recording.name);
        }
        let begun = body.matches("\"type\":\"redacted_thinking\"").count();
        assert_eq!(
            items.iter().filter(|item| item["type"] == "redacted_thinking").count(),
            begun,
            "{}",
            recording.name
        );
        signed += signatures;
    }
    assert!(signed > 0);
}
