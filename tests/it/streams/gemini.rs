//! Gemini.

use hearth::adapters::llm::gemini::decode::Decoder;

use super::*;

const GEMINI: Dialect =
    Dialect { name: "gemini", decoder: || Box::new(Decoder::new(KeyPlace::default())), finish, usage };

fn finish(word: &Value) -> Value {
    match word.as_str() {
        Some("STOP") => json!("stop"),
        Some("MAX_TOKENS") => json!("length"),
        Some("SAFETY" | "RECITATION" | "PROHIBITED_CONTENT" | "BLOCKLIST" | "SPII" | "IMAGE_SAFETY") => {
            json!("content_filter")
        }
        _ => word.clone(),
    }
}

fn usage(sent: &Value) -> Usage {
    let count = |field: &str| sent[field].as_u64();
    let sum = |one: &str, other: &str| count(one).unwrap_or(0) + count(other).unwrap_or(0);
    Usage {
        input_tokens: sum("promptTokenCount", "toolUsePromptTokenCount"),
        output_tokens: sum("candidatesTokenCount", "thoughtsTokenCount"),
        cached_tokens: count("cachedContentTokenCount"),
        cache_write_tokens: None,
        reasoning_tokens: count("thoughtsTokenCount"),
        cost_usd: None,
    }
}

#[test]
fn every_recorded_stream_assembles() {
    every_stream_assembles_exactly_in_every_cut(&GEMINI);
}

#[test]
fn every_recorded_refusal_is_understood() {
    every_refusal_is_understood(GEMINI.name);
}

/// What Gemini signed comes out as often as it went in, each part of it byte for byte.
#[test]
fn every_signature_is_kept() {
    let Some(recordings) = recordings(GEMINI.name) else { return };
    let mut kept = 0;
    for recording in recordings.iter().filter(|recording| recording.status == 200 && !recording.ambiguous) {
        let (events, _) = decode((GEMINI.decoder)(), &recording.body, &[]);
        let text = String::from_utf8(recording.body.clone()).unwrap();
        let items: Vec<&str> = events
            .iter()
            .filter_map(|event| match event {
                Event::Verbatim(item) => Some(item.json.get()),
                _ => None,
            })
            .collect();
        assert!(items.iter().all(|json| text.contains(json)), "{}", recording.name);
        let signed = items.iter().filter(|json| json.contains("\"thoughtSignature\"")).count() as u64;
        assert_eq!(Some(signed), recording.expected["signatures"].as_u64(), "{}", recording.name);
        kept += signed;
    }
    assert!(kept > 0);
}
