//! Tests of the manner: what each model is asked with, and what each complaint of the service changes.

use serde_json::value::RawValue;

use super::*;
use crate::adapters::llm::complaint::KeyPlace;
use crate::adapters::llm::exchange::KeyHeader;
use crate::common::chat::{Message, Role, Sampling, Tool, Verbatim};

fn target(base_url: &str) -> Target {
    Target::new(base_url, "/v1/messages", KeyHeader::Named("x-api-key"), KeyPlace::default())
}

fn asked(model: &str, sampling: Sampling) -> Manner {
    let request = ChatRequest { model: model.into(), sampling, ..ChatRequest::default() };
    Manner::of(&target("https://api.anthropic.com"), &request)
}

fn thinking(effort: Effort) -> Sampling {
    Sampling { reasoning: Some(effort), temperature: Some(0.5), ..Sampling::default() }
}

fn complaint(message: &str) -> Complaint {
    Complaint { message: message.into(), ..Complaint::default() }
}

#[test]
fn the_numbers_in_names() {
    for (model, generation) in [
        ("claude-opus-4-6", Some(Generation(4, 6))),
        ("claude-haiku-4-5-20251001", Some(Generation(4, 5))),
        ("claude-3-7-sonnet-20250219", Some(Generation(3, 7))),
        ("claude-opus-4-20250514", Some(Generation(4, 0))),
        ("claude-sonnet-5", Some(Generation(5, 0))),
        ("anthropic.claude-opus-4-7-v1:0", Some(Generation(4, 7))),
        ("claude-2.1", Some(Generation(2, 1))),
        ("claude-mythos-preview", None),
        ("", None),
    ] {
        assert_eq!(Generation::of(model), generation, "{model}");
    }
}

#[test]
fn each_model_thinks_in_its_own_form_and_has_room_for_it() {
    let budget = asked("claude-haiku-4-5", thinking(Effort::Medium));
    assert_eq!((budget.thinking, budget.effort), (Thinking::Budget { tokens: MEDIUM_TOKENS }, None));
    assert_eq!(budget.max_tokens, ANSWER_TOKENS + MEDIUM_TOKENS);
    assert!(!budget.temperature, "thinking has a temperature of its own");
    for model in ["claude-opus-4-6", "claude-sonnet-5", "claude-mythos-preview"] {
        let adaptive = asked(model, Sampling { max_tokens: Some(10), ..thinking(Effort::High) });
        assert_eq!((adaptive.thinking, adaptive.effort), (Thinking::Adaptive, Some(Effort::High)), "{model}");
        assert_eq!(adaptive.max_tokens, 10 + HIGH_TOKENS);
    }
    let local = asked("qwen3-8b", thinking(Effort::Low));
    assert_eq!(local.thinking, Thinking::Budget { tokens: LOW_TOKENS });
    let off = asked("claude-opus-4-6", thinking(Effort::None));
    assert_eq!((off.thinking, off.temperature, off.max_tokens), (Thinking::Off, true, ANSWER_TOKENS));
    assert_eq!(asked("claude-opus-4-6", Sampling::default()).thinking, Thinking::Unsaid);

    let tool = Tool { name: "f".into(), description: None, schema: serde_json::json!({}).into(), strict: None };
    let forced = ChatRequest {
        model: "claude-haiku-4-5".into(),
        sampling: thinking(Effort::High),
        tools: vec![tool.into()],
        tool_choice: ToolChoice::Required,
        ..ChatRequest::default()
    };
    let forced = Manner::of(&target("https://api.anthropic.com"), &forced);
    assert_eq!(
        (forced.thinking, forced.max_tokens),
        (Thinking::Unsaid, ANSWER_TOKENS),
        "a forced call is not thought over"
    );
}

#[test]
fn sampling_goes_where_it_is_taken() {
    let both = || Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() };
    let sent = |model: &str, sampling| {
        let manner = asked(model, sampling);
        (manner.temperature, manner.top_p)
    };
    assert_eq!(sent("claude-haiku-4-5", both()), (true, false), "one of the two");
    assert_eq!(sent("claude-haiku-4-5", Sampling { temperature: None, ..both() }), (false, true));
    assert_eq!(sent("claude-opus-4-7", both()), (false, false));
    assert_eq!(sent("claude-sonnet-5", both()), (false, false));
    assert_eq!(sent("mistral-7b-0.3", both()), (true, false), "a figure in another's name says nothing");
}

#[test]
fn what_is_refused_is_given_up_once() {
    let all = || {
        let format = ResponseFormat::Schema { name: "s".into(), schema: serde_json::json!({}), strict: None };
        let tool =
            Tool { name: "f".into(), description: None, schema: serde_json::json!({}).into(), strict: Some(true) };
        let request = ChatRequest {
            model: "claude-haiku-4-5".into(),
            sampling: Sampling { temperature: Some(0.5), ..Sampling::default() },
            tools: vec![tool.into()],
            response_format: Some(format),
            ..ChatRequest::default()
        };
        Manner::of(&target("https://api.anthropic.com"), &request)
    };
    let given_up = |message: &str, is: fn(&Manner) -> bool| {
        let mut manner = all();
        assert!(manner.concede(&complaint(message)) && is(&manner), "{message}");
        assert!(!manner.concede(&complaint(message)), "twice: {message}");
    };
    given_up("`temperature` is deprecated for this model.", |manner| !manner.temperature);
    given_up(
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        |manner| !manner.prefill,
    );
    given_up("output_format.foo is not supported on this model", |manner| !manner.native_schema && manner.told_format);
    given_up("tools.0.custom.strict: Extra inputs are not permitted", |manner| !manner.strict);
    given_up(
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku",
        |manner| manner.max_tokens == 4096,
    );
    let mut manner = all();
    let schema = complaint("Schemas contains too many parameters with union types (17 parameters)");
    assert!(manner.concede(&schema) && !manner.native_schema && manner.strict);
    assert!(manner.concede(&schema) && !manner.strict && !manner.concede(&schema), "of the answer, then of the tools");
    let mut manner = Manner { top_p: true, ..all() };
    let param = Complaint { param: Some("top_p".into()), ..Complaint::default() };
    assert!(manner.concede(&param) && !manner.top_p && !manner.concede(&param));
    for nothing in ["model: claude-9", "", "max_tokens: 8192 > 999999", "prompt is too long: 2 tokens > 1 maximum"] {
        let mut manner = all();
        assert!(!manner.concede(&complaint(nothing)) && manner == all(), "{nothing}");
    }
}

#[test]
fn thinking_is_asked_for_in_the_other_form_and_then_not_at_all() {
    let mut manner = asked("claude-haiku-4-5", thinking(Effort::Medium));
    let enabled = complaint(
        "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\"",
    );
    assert!(manner.concede(&enabled));
    assert_eq!((manner.thinking, manner.effort), (Thinking::Adaptive, Some(Effort::Medium)));
    assert!(manner.concede(&complaint("This model does not support the effort parameter.")));
    assert_eq!((manner.thinking, manner.effort), (Thinking::Adaptive, None));
    assert!(manner.concede(&complaint("adaptive thinking is not supported on this model")));
    assert_eq!(manner.thinking, Thinking::Unsaid);
    assert!(!manner.concede(&enabled));

    let mut manner = asked("claude-sonnet-5", thinking(Effort::High));
    assert!(manner.concede(&complaint("adaptive thinking is not supported on this model")));
    assert_eq!((manner.thinking, manner.effort), (Thinking::Budget { tokens: HIGH_TOKENS }, None));
    assert!(
        manner.concede(&complaint("max_tokens: 24576 > 4096, which is the maximum allowed number of output tokens"))
    );
    assert_eq!((manner.max_tokens, manner.thinking), (4096, Thinking::Budget { tokens: 2048 }));
    assert!(
        manner.concede(&complaint("max_tokens: 4096 > 1500, which is the maximum allowed number of output tokens"))
    );
    assert_eq!((manner.max_tokens, manner.thinking), (1500, Thinking::Unsaid), "too little to think with");

    let mut manner = asked("claude-fable-5", thinking(Effort::None));
    assert!(manner.concede(&complaint("thinking: cannot be disabled")) && manner.thinking == Thinking::Unsaid);
}

#[test]
fn items_of_another_model_are_left_out_step_by_step() {
    let json = RawValue::from_string(r#"{"type":"thinking"}"#.into()).unwrap();
    let item = Part::Verbatim(Verbatim { origin: "anthropic".into(), json, stands_for: None });
    let request = ChatRequest {
        model: "claude-haiku-4-5".into(),
        messages: vec![Message { role: Role::Assistant, parts: vec![item] }],
        sampling: thinking(Effort::Low),
        ..ChatRequest::default()
    };
    let mut manner = Manner::of(&target("https://api.anthropic.com"), &request);
    let signature = complaint("messages.1.content.0: Invalid `signature` in `thinking` block");
    assert!(manner.concede(&signature));
    assert_eq!(manner.verbatim, Kept::NoThinking);
    assert!(matches!(manner.thinking, Thinking::Budget { .. }), "it may still think");
    let first = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is enabled, …";
    assert!(manner.concede(&complaint(first)));
    assert_eq!(manner.thinking, Thinking::Unsaid);
    assert!(!manner.concede(&complaint(first)));
    let odd = complaint("messages.1.content.1.text.citations.0.char_location.file_id: Extra inputs are not permitted");
    assert!(manner.concede(&odd) && manner.verbatim == Kept::None && !manner.concede(&odd));
    let image = complaint("messages.0.content.0.image.source.base64: image exceeds 5 MB maximum");
    assert!(!asked("claude-haiku-4-5", Sampling::default()).concede(&image), "nothing is sent twice in vain");
}
