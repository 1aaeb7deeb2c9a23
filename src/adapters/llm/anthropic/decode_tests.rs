//! Tests of the decoder: what servers send, event by event, written by hand after their documents.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::adapters::llm::exchange::Decode;
use crate::common::assembly::Assembly;
use crate::common::chat::{Covers, Message as Said, Part, ToolCallDelta};
use crate::common::secret::Secret;
use crate::net::sse;

fn decode(body: &[u8]) -> (Vec<Event>, Result<(), ProviderError>) {
    decode_cut(body, body.len().max(1))
}

fn decode_cut(body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let key = KeyPlace { key: Some(Secret::new("sk-ant-hunter2")), env: None };
    let (mut decoder, mut events) = (Decoder::new(key), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

/// A stream of these events.
fn stream(events: &[Value]) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    events.iter().map(event).collect()
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn start(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn said(index: u32, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}}),
        json!({"type": "message_stop"}),
    ]
}

/// What is told of the blocks in these events, without signs of life and the end.
fn told(blocks: &[Value]) -> Vec<Event> {
    let (events, ended) = decode(stream(&[blocks, &end("end_turn")[..]].concat()).as_bytes());
    ended.unwrap();
    let is_quiet = |event: &Event| matches!(event, Event::Started { model: None } | Event::Finish(_));
    events.into_iter().filter(|event| !is_quiet(event)).collect()
}

fn assembled(events: &[Event]) -> Said {
    let mut assembly = Assembly::default();
    events.iter().for_each(|event| assembly.take(event));
    assembly.into_message()
}

/// The items to be kept, as text.
fn kept(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let Event::Verbatim(item) = event { Some(item.json.get()) } else { None })
        .collect()
}

fn failure(body: &str) -> (Failure, String) {
    let error = decode(body.as_bytes()).1.unwrap_err();
    (error.failure, error.message)
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Event {
    let word = |text: Option<&str>| text.map(ToOwned::to_owned);
    Event::ToolCall(Box::new(ToolCallDelta { index, id: word(id), name: word(name), arguments: arguments.into() }))
}

const QUIET: Event = Event::Started { model: None };

#[test]
fn an_answer_from_the_first_word_to_the_last() {
    let usage = |input_tokens, output_tokens, cached_tokens, cache_write_tokens| {
        let counted = Usage { input_tokens, output_tokens, cached_tokens, cache_write_tokens, ..Usage::default() };
        Event::Usage(Box::new(counted))
    };
    let counts = json!({"input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 7, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 7}, "service_tier": "standard"});
    let body = stream(&[
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": counts}}),
        start(0, json!({"type": "text", "text": ""})),
        json!({"type": "ping"}),
        said(0, "Grü\n"),
        said(0, "ße"),
        stop(0),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 12, "cache_read_input_tokens": null}}),
        json!({"type": "message_stop"}),
        said(0, "after the end"),
    ]);
    let want = vec![
        Event::Started { model: Some("claude-x".into()) },
        usage(50, 1, Some(40), Some(7)),
        QUIET,
        QUIET,
        text("Grü\n"),
        text("ße"),
        QUIET,
        usage(50, 12, Some(40), Some(7)),
        Event::Finish(FinishReason::Stop),
    ];
    for piece_len in [1, 2, 3, 7, body.len()] {
        let (events, ended) = decode_cut(body.as_bytes(), piece_len);
        assert_eq!((events, ended), (want.clone(), Ok(())), "pieces of {piece_len}");
    }
}

#[test]
fn thinking_is_told_at_once_and_kept_whole_with_its_signature() {
    let events = told(&[
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "2 + "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "2"})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "Emw="})),
        stop(1),
        // Kept from sight, and signed all the same.
        start(2, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(2, json!({"type": "signature_delta", "signature": "Es"})),
        stop(2),
        // Of a server that does not sign: nobody takes it back.
        start(3, json!({"type": "thinking", "thinking": "hm"})),
        delta(3, json!({"type": "signature_delta", "signature": ""})),
        stop(3),
    ]);
    assert_eq!(events[..2], [Event::Reasoning("2 + ".into()), Event::Reasoning("2".into())]);
    assert_eq!(events.last(), Some(&Event::Reasoning("hm".into())));
    assert_eq!(
        kept(&events),
        [
            r#"{"signature":"EqQB","thinking":"2 + 2","type":"thinking"}"#,
            r#"{"data":"Emw=","type":"redacted_thinking"}"#,
            r#"{"signature":"Es","thinking":"","type":"thinking"}"#,
        ]
    );
}

#[test]
fn what_came_whole_is_kept_byte_for_byte() {
    let block = r#"{"type" : "web_search_tool_result", "n": 1.50, "content":[ {"é":"\u00e9"} ]}"#;
    let body = format!(
        "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{block}}}\n\ndata: {}\n\n{}",
        stop(0),
        stream(&end("end_turn"))
    );
    let (events, ended) = decode(body.as_bytes());
    assert_eq!((kept(&events), ended), (vec![block], Ok(())));
}

#[test]
fn calls_of_tools_are_counted_and_empty_ones_are_objects() {
    let events = told(&[
        start(1, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"}})),
        delta(1, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(1, json!({"type": "input_json_delta", "partial_json": "{\"x\""})),
        delta(1, json!({"type": "input_json_delta", "partial_json": ": 1}"})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "b", "name": "g", "input": {}})),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "c", "name": "g", "input": {"y": 2}})),
        stop(3),
    ]);
    let want = [
        call(0, Some("a"), Some("f"), ""),
        call(0, None, None, "{\"x\""),
        call(0, None, None, ": 1}"),
        call(1, Some("b"), Some("g"), ""),
        call(1, None, None, "{}"),
        call(2, Some("c"), Some("g"), ""),
        call(2, None, None, "{\"y\":2}"),
    ];
    assert_eq!(events, want);
}

#[test]
fn tools_of_the_provider_are_kept_and_are_no_calls() {
    let events = told(&[
        start(0, json!({"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\": 1.0"})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "}"})),
        stop(0),
        start(1, json!({"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}})),
        delta(1, json!({"type": "input_json_delta", "partial_json": "{broken"})),
        stop(1),
        start(2, json!({"type": "compaction", "content": null})),
        delta(2, json!({"type": "compaction_delta", "content": "So "})),
        delta(2, json!({"type": "compaction_delta", "content": "far", "n": 1})),
        stop(2),
    ]);
    assert_eq!(
        kept(&events),
        [
            r#"{"id":"srv","input":{"query": 1.0},"name":"web_search","type":"server_tool_use"}"#,
            r#"{"id":"m","input":{},"name":"n","server_name":"s","type":"mcp_tool_use"}"#,
            r#"{"content":"So far","type":"compaction","n":1}"#,
        ]
    );
    assert_eq!(events.len(), 3);
}

#[test]
fn text_with_citations_is_kept_in_the_place_of_its_text() {
    let citation = |at: u32| json!({"type": "char_location", "cited_text": "x", "document_index": at});
    let events = told(&[
        start(0, json!({"type": "text", "text": ""})),
        said(0, "One. "),
        stop(0),
        start(1, json!({"type": "text", "text": "T", "citations": null})),
        said(1, "wo"),
        delta(1, json!({"type": "citations_delta", "citation": citation(1)})),
        delta(1, json!({"type": "citations_delta", "citation": citation(2)})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        said(2, " three"),
        stop(2),
    ]);
    let message = assembled(&events);
    assert_eq!((message.text().as_str(), message.parts.len()), ("One. Two three", 3));
    let Part::Verbatim(item) = &message.parts[1] else { panic!("{:?}", message.parts) };
    assert!(item.is_of("anthropic"));
    assert_eq!(item.stands_for.as_deref(), Some(&Part::Text("Two".into())));
    let json: Value = serde_json::from_str(item.json.get()).unwrap();
    assert_eq!(json, json!({"type": "text", "text": "Two", "citations": [citation(1), citation(2)]}));
    assert!(events.contains(&text("T")), "what stands in the start is told");
}

#[test]
fn every_reason_to_stop() {
    for (word, reason) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Other("pause_turn".into())),
    ] {
        assert_eq!(decode(stream(&end(word)).as_bytes()).0, [Event::Finish(reason)], "{word}");
    }
    let details = json!({"type": "refusal", "category": "bio", "explanation": "Not this."});
    let refused = json!({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}});
    let why = Event::Notice("Not this.".into());
    assert_eq!(decode(stream(&[refused]).as_bytes()), (vec![why, Event::Finish(FinishReason::ContentFilter)], Ok(())));
}

#[test]
fn ends_that_are_whole_and_ends_that_are_not() {
    let begun = stream(&[start(0, json!({"type": "text", "text": ""})), said(0, "a")]);
    let [reason, last] = end("end_turn");
    assert_eq!(decode((begun.clone() + &stream(&[reason])).as_bytes()).1, Ok(()), "the reason is enough");
    assert_eq!(decode((begun.clone() + &stream(&[last])).as_bytes()).1, Ok(()), "so is the end");
    let ping = stream(&[json!({"type": "ping"})]);
    for cut in [begun.as_str(), &(begun.clone() + "data: [DONE]\n\n"), &ping, ": ping\n\n", "", "\n\n"] {
        let (failure, message) = failure(cut);
        assert_eq!(failure, Failure::CutOff, "{cut:?}: {message}");
    }
    let second = json!({"type": "message_start", "message": {"model": "claude-x"}});
    let (events, ended) =
        decode((begun + &stream(std::slice::from_ref(&second)) + &stream(&end("end_turn"))).as_bytes());
    assert_eq!(
        (events.last(), ended.unwrap_err().failure),
        (Some(&text("a")), Failure::CutOff),
        "two answers are none"
    );
    let twice = stream(&[&[second.clone(), second][..], &end("end_turn")[..]].concat());
    assert_eq!(decode(twice.as_bytes()).1, Ok(()), "nothing was lost");
}

#[test]
fn errors_in_the_stream() {
    let begun = stream(&[said(0, "a")]);
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "No"}, "request_id": "req_1"});
    for (error, want) in [
        (stream(&[error("overloaded_error")]), Failure::Failed),
        (stream(&[error("api_error")]), Failure::Failed),
        (stream(&[error("rate_limit_error")]), Failure::RateLimited),
        (stream(&[error("authentication_error")]), Failure::Auth),
        (stream(&[error("permission_error")]), Failure::Auth),
        (stream(&[error("billing_error")]), Failure::QuotaExhausted),
        (stream(&[error("request_too_large")]), Failure::TooLarge),
        (stream(&[error("timeout_error")]), Failure::Timeout),
        (stream(&[error("invalid_request_error")]), Failure::Rejected),
        ("event: error\ndata: No\n\n".to_owned(), Failure::Failed),
        ("data: {\"error\":\"No\"}\n\n".to_owned(), Failure::Failed),
        ("data: {\"detail\":\"No\"}\n\n".to_owned(), Failure::Failed),
    ] {
        let (events, ended) = decode((begun.clone() + &error + &stream(&end("end_turn"))).as_bytes());
        let ended = ended.unwrap_err();
        assert_eq!((events, ended.failure), (vec![text("a")], want), "what came before holds: {error}");
        assert!(ended.message.starts_with("No"), "{ended}");
    }
    let leaky = stream(&[json!({"type": "error", "error": {"message": "bad key sk-ant-hunter2"}})]);
    assert!(!failure(&leaky).1.contains("hunter2"));
}

#[test]
fn a_body_that_is_no_stream() {
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "E"}, {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}],
        "usage": {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}}});
    let (events, ended) = decode_cut(format!(" {whole}\n").as_bytes(), 5);
    let usage = Usage { input_tokens: 1, output_tokens: 2, reasoning_tokens: Some(1), ..Usage::default() };
    let json = RawValue::from_string(r#"{"signature":"E","thinking":"hm","type":"thinking"}"#.into()).unwrap();
    let item = crate::common::chat::VerbatimItem { origin: "anthropic".into(), json, covers: Covers::Nothing };
    let want = vec![
        Event::Started { model: Some("claude-x".into()) },
        Event::Reasoning("hm".into()),
        Event::Verbatim(Box::new(item)),
        text("Hi"),
        call(0, Some("a"), Some("f"), ""),
        call(0, None, None, "{\"x\":1}"),
        Event::Usage(Box::new(usage)),
        Event::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!((events, ended), (want, Ok(())));

    let error = r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#;
    assert_eq!(failure(error), (Failure::Rejected, "model: x".to_owned()));
    for (body, shown) in [
        ("<!DOCTYPE html><html><title>Log in</title></html>", "Log in"),
        ("Not what you want\n", "Not what you want"),
        ("{\"a\":", "{\"a\":"),
        ("[1,2]", "[1,2]"),
        ("\"what\"", "what"),
        ("data: nonsense\n\n", "nonsense"),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n", "choices"),
        ("data: {\"type\":5}\n\n", "type"),
    ] {
        let (failed, message) = failure(body);
        assert_eq!(failed, Failure::BadStream, "{body}");
        assert!(message.contains(shown) && message.ends_with("Check base_url."), "{message}");
    }
}

#[test]
fn a_type_that_stands_in_the_name_alone_and_events_from_the_future() {
    let body = "event: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
    assert_eq!(decode(body.as_bytes()).0, [text("a")]);
    let future = stream(&[
        json!({"type": "content_block_progress", "n": [1]}),
        start(0, json!("no object")),
        delta(7, json!({"type": "sketch_delta", "sketch": 1})),
    ]);
    assert_eq!(decode(future.as_bytes()).0, [QUIET, QUIET, QUIET]);
}

#[test]
fn comments_show_that_a_server_lives() {
    let body =
        format!(": waiting\n\n: waiting\n\n{}: bye\n\n", stream(&[&[said(0, "a")][..], &end("end_turn")].concat()));
    assert_eq!(decode(body.as_bytes()).0, [QUIET, text("a"), Event::Finish(FinishReason::Stop)]);
}

#[test]
fn broken_unicode_is_mended() {
    let bytes =
        b"data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\xFFb\\ud83d\"}}\n\n";
    assert_eq!(decode(bytes).0, [text("a\u{FFFD}b\u{FFFD}")]);
    let deep =
        "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"a\\ud83d\"}}\n\n";
    assert_eq!(decode(deep.as_bytes()).0, [text("a\u{FFFD}")]);
}

#[test]
fn what_is_held_has_an_end() {
    let many: Vec<Value> = (0..100).map(|index| start(index, json!({"type": "text"}))).collect();
    let (failed, message) = failure(&stream(&many));
    assert_eq!(failed, Failure::BadStream, "{message}");
    let piece = stream(&[delta(0, json!({"type": "input_json_delta", "partial_json": "x".repeat(1 << 20)}))]);
    let (failed, message) = failure(&(stream(&[start(0, json!({"type": "tool_use"}))]) + &piece.repeat(17)));
    assert_eq!(failed, Failure::BadStream, "{message}");
    let large = stream(&[start(0, json!({"type": "text"})), said(0, &"x".repeat(8 << 20)), stop(0)]).repeat(3);
    let (events, ended) = decode((large + &stream(&end("end_turn"))).as_bytes());
    assert_eq!(
        (ended, events.iter().filter(|event| event.is_content()).count()),
        (Ok(()), 3),
        "ended blocks are let go"
    );
    let endless = format!("data: {}", "x".repeat(sse::EVENT_BYTES_MAX));
    assert_eq!(failure(&endless).0, Failure::BadStream);
    let document = format!("{{\"a\":\"{}", "x".repeat(Messages::DOCUMENT_BYTES_MAX));
    assert_eq!(failure(&document).0, Failure::BadStream);
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: ", "\n\n", "\n", "{", "}", "[", "]", "\"type\":", "\"content_block_start\"", "\"index\":", "\"é\\ud800\"", "null",
            ",", "5", "[DONE]", "\"error\":", "event: error\n", "event: message_stop\n", "<html>", "\"content_block\":",
            "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"x\"}}\n\n",
            "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"y\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"citations_delta\",\"citation\":{}}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"x\",\"text\":\"{\"}}\n\n",
            "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
            "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":18446744073709551615,\"cache_read_input_tokens\":1}}}\n\n",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(&body), decode_cut(&body, piece_len));
    }
}
