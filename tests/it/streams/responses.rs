//! The Responses API.

use hearth::adapters::llm::responses::decode::Decoder;
use hearth::common::chat::FinishReason;

use super::*;

const OPENAI_RESPONSES: Dialect = Dialect {
    name: "openai_responses",
    decoder: || Box::new(Ends { decoder: Decoder::new(KeyPlace::default()), called: false, taken: 0 }),
    finish: |word| match word.as_str() {
        Some("completed") => json!("stop"),
        Some("failed") => Value::Null,
        _ => word.clone(),
    },
    usage,
};

fn usage(sent: &Value) -> Usage {
    let details = |part: &str, field: &str| sent[part][field].as_u64();
    Usage {
        input_tokens: sent["input_tokens"].as_u64().unwrap_or(0),
        output_tokens: sent["output_tokens"].as_u64().unwrap_or(0),
        cached_tokens: details("input_tokens_details", "cached_tokens"),
        cache_write_tokens: details("input_tokens_details", "cache_write_tokens"),
        reasoning_tokens: details("output_tokens_details", "reasoning_tokens"),
        cost_usd: sent["cost_in_usd_ticks"].as_f64().map(|ticks| ticks / 1e10),
    }
}

/// `completed` is said whether tools were called or not; we tell the two apart. Sees that we do, and forgets it then.
struct Ends {
    decoder: Decoder,
    called: bool,
    taken: usize,
}

impl Ends {
    fn look(&mut self, events: &mut VecDeque<Event>) {
        for event in events.iter_mut().skip(self.taken) {
            self.called |= matches!(event, Event::ToolCall(_));
            if let Event::Finish(reason) = event {
                assert_eq!(*reason == FinishReason::ToolCalls, self.called, "the reason of the end");
                *reason = FinishReason::Stop;
            }
        }
        self.taken = events.len();
    }
}

impl Decode for Ends {
    fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let pushed = self.decoder.push(bytes, events);
        self.look(events);
        pushed
    }

    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let finished = self.decoder.finish(events);
        self.look(events);
        finished
    }

    fn is_done(&self) -> bool {
        self.decoder.is_done()
    }
}

#[test]
fn every_recorded_stream_assembles() {
    every_stream_assembles_exactly_in_every_cut(&OPENAI_RESPONSES);
}

#[test]
fn every_recorded_refusal_is_understood() {
    every_refusal_is_understood(OPENAI_RESPONSES.name);
}
