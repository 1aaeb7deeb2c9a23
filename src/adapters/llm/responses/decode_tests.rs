//! Tests of the decoder: what servers send, event by event, written by hand after their documents.

use proptest::prelude::*;

use super::*;
use crate::adapters::llm::exchange::Decode;
use crate::common::assembly::Assembly;
use crate::common::chat::{Media, Part, Usage};
use crate::common::secret::Secret;

fn decode(body: &[u8]) -> (Vec<Event>, Result<(), ProviderError>) {
    decode_cut(body, body.len().max(1))
}

fn decode_cut(body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let key = KeyPlace { key: Some(Secret::new("sk-hunter2")), env: None };
    let (mut decoder, mut events) = (Decoder::new(key), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

const COMPLETED: &str = r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"never again"}]}]}}"#;

/// A stream of these events, with its end.
fn stream(events: &[&str]) -> String {
    events.iter().chain([&COMPLETED]).map(|event| format!("data: {event}\n\n")).collect()
}

/// The events of a stream, without those that say nothing, and without the last.
fn heard(events: &[&str]) -> Vec<Event> {
    let (mut events, ended) = decode(stream(events).as_bytes());
    ended.unwrap();
    assert!(matches!(events.pop(), Some(Event::Finish(_))), "it ends with the reason");
    events.retain(|event| *event != QUIET);
    events
}

fn failure(body: &str) -> (Failure, String) {
    let error = decode(body.as_bytes()).1.unwrap_err();
    (error.failure, error.message)
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn thought(text: &str) -> Event {
    Event::Reasoning(text.into())
}

fn call(index: u32, id: &str, name: &str, arguments: &str) -> Event {
    let word = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Event::ToolCall(Box::new(ToolCallDelta { index, id: word(id), name: word(name), arguments: arguments.into() }))
}

fn kept(json: &str, covers: Covers) -> Event {
    let json = RawValue::from_string(json.into()).unwrap();
    Event::Verbatim(Box::new(VerbatimItem { origin: ORIGIN.into(), json, covers }))
}

fn image(index: u32, partial: Option<u32>, mime: &str, data: &'static [u8]) -> Event {
    let media = Media { mime: mime.into(), data: data.into() };
    Event::Image(Box::new(ImagePiece { index, partial, media }))
}

const QUIET: Event = Event::Started { model: None };

#[test]
fn an_answer_from_the_first_word_to_the_last() {
    let body = concat!(
        ": keep-alive\n\n",
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"gpt-x\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
        "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"model\":\"gpt-x\"}}\n\n",
        "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[]}}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_1\",\"delta\":\"Gr\\u00fc\\n\",\"logprobs\":[],\"obfuscation\":\"x\"}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"ße\"}\n\n",
        "data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,\"text\":\"Grü\\nße\"}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"Grü\\nße\"}]}}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-x\",\"status\":\"completed\",\"error\":null,\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Grü\\nße\"}]}],",
        "\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":1},\"output_tokens\":30,\"output_tokens_details\":{\"reasoning_tokens\":2},\"cost_in_usd_ticks\":5000000}}}\n\n",
        "data: [DONE]\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"after the end\"}\n\n",
    );
    let usage = Usage {
        input_tokens: 9,
        output_tokens: 30,
        cached_tokens: Some(4),
        cache_write_tokens: Some(1),
        reasoning_tokens: Some(2),
        cost_usd: Some(0.0005),
    };
    let want = vec![
        QUIET,
        Event::Started { model: Some("gpt-x".into()) },
        QUIET,
        QUIET,
        text("Grü\n"),
        text("ße"),
        QUIET,
        QUIET,
        Event::Usage(Box::new(usage)),
        Event::Finish(FinishReason::Stop),
    ];
    for piece_len in [1, 2, 3, 7, body.len()] {
        let (events, ended) = decode_cut(body.as_bytes(), piece_len);
        assert_eq!((events, ended), (want.clone(), Ok(())), "pieces of {piece_len}");
    }
}

#[test]
fn what_came_in_pieces_is_not_said_again_and_what_did_not_is_said_once() {
    let done = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"m","content":[{"type":"output_text","text":"one"},{"type":"refusal","refusal":"two"}]}}"#;
    let both = [text("one"), Event::Refusal("two".into())];
    assert_eq!(heard(&[done]), both, "only the item");
    assert_eq!(heard(&[done, done]), both, "the item twice");
    let part = r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"one"}"#;
    assert_eq!(heard(&[part, part, done]), both, "a part, and the item");
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"one"}"#;
    assert_eq!(heard(&[delta, part, done]), both, "a piece, and the item");
    let refusal = r#"{"type":"response.refusal.delta","output_index":0,"content_index":1,"delta":"two"}"#;
    let whole = r#"{"type":"response.refusal.done","output_index":0,"content_index":1,"refusal":"two"}"#;
    assert_eq!(heard(&[delta, refusal, whole, done]), both, "all in pieces");
    assert_eq!(heard(&[]), [text("never again")], "nothing but the whole response");

    // llama.cpp names no places, and Copilot a new id each time.
    let added = r#"{"type":"response.output_item.added","item":{"type":"message","id":"m"}}"#;
    let by_id = [
        r#"{"type":"response.output_text.delta","item_id":"m","delta":"one"}"#,
        r#"{"type":"response.output_text.done","item_id":"m","text":"one"}"#,
        r#"{"type":"response.output_item.done","item":{"type":"message","id":"m","content":[{"text":"one"}]}}"#,
    ];
    assert_eq!(heard(&[added, by_id[0], by_id[1], by_id[2]]), [text("one")]);
    let copilot = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"other","content":[{"text":"one"}]}}"#;
    assert_eq!(heard(&[delta, copilot]), [text("one")]);
}

#[test]
fn thoughts_and_what_must_go_back_of_them() {
    let item = |fields: &str| {
        let json = format!(r#"{{"type":"reasoning","id":"rs_1",{fields}}}"#);
        (format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{json}}}"#), json)
    };
    let part = |index: u32, delta: &str| {
        format!(
            r#"{{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":{index},"delta":"{delta}"}}"#
        )
    };
    let (done, json) = item(r#""summary":[{"text":"a"},{"text":"b"}], "encrypted_content":"gAA=""#);
    let back = kept(&json, Covers::Nothing);
    assert_eq!(heard(&[&part(0, "a"), &part(1, "b"), &done]), [thought("a"), thought("b"), back.clone()]);
    assert_eq!(heard(&[&part(0, "a"), &done]), [thought("a"), thought("b"), back.clone()], "one part was missed");
    assert_eq!(heard(&[&done]), [thought("a"), thought("b"), back]);

    let (done, json) = item(r#""summary":[{"text":"short"}],"content":[{"type":"reasoning_text","text":"long"}]"#);
    let delta = r#"{"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"long"}"#;
    assert_eq!(heard(&[delta, &done]), [thought("long"), kept(&json, Covers::Nothing)], "the summary says the same");
    let (useless, _) = item(r#""summary":[{"text":"short"}],"encrypted_content":"""#);
    assert_eq!(heard(&[&useless]), [thought("short")]);
}

#[test]
fn calls_of_tools() {
    let added = |place: u32, name: &str| {
        format!(
            r#"{{"type":"response.output_item.added","output_index":{place},"item":{{"type":"function_call","id":"fc","call_id":"call_{name}","name":"{name}","arguments":""}}}}"#
        )
    };
    let done = |place: u32, name: &str, arguments: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":{place},"item":{{"type":"function_call","id":"fc","call_id":"call_{name}","name":"{name}","arguments":{arguments}}}}}"#
        )
    };
    let piece = |place: u32, delta: &str| {
        format!(r#"{{"type":"response.function_call_arguments.delta","output_index":{place},"delta":"{delta}"}}"#)
    };
    let streamed = [
        added(1, "f"),
        added(2, "g"),
        piece(2, "{"),
        piece(1, "[]"),
        piece(2, "}"),
        done(1, "f", r#""[]""#),
        done(2, "g", r#""{}""#),
    ];
    let streamed: Vec<&str> = streamed.iter().map(String::as_str).collect();
    let (events, ended) = decode(stream(&streamed).as_bytes());
    assert_eq!(ended, Ok(()));
    let mut events = events;
    events.retain(|event| *event != QUIET);
    let want = [
        call(0, "call_f", "f", ""),
        call(1, "call_g", "g", ""),
        call(1, "", "", "{"),
        call(0, "", "", "[]"),
        call(1, "", "", "}"),
        Event::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(events, want);

    assert_eq!(heard(&[&done(0, "f", r#"{"x": 1}"#)]), [call(0, "call_f", "f", r#"{"x": 1}"#)], "only the item");
    let whole = r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}"#;
    let late = [call(0, "call_f", "f", ""), call(0, "", "", "{}")];
    assert_eq!(heard(&[&added(0, "f"), whole, &done(0, "f", r#""{}""#)]), late, "no pieces");
    let nameless = [call(0, "", "", "{}"), call(0, "call_f", "f", "")];
    assert_eq!(heard(&[&piece(0, "{}"), &done(0, "f", r#""{}""#)]), nameless, "the name at the end");
}

#[test]
fn calls_and_messages_that_are_more_than_their_words_go_back_as_they_came() {
    let function = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}","caller":{"type":"program","caller_id":"p"}}"#;
    let message = r#"{"type":"message","id":"m","phase":"commentary","content":[{"text":"now"}]}"#;
    let events = [
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{message}}}"#),
        format!(r#"{{"type":"response.output_item.done","output_index":1,"item":{function}}}"#),
    ];
    let heard = heard(&[&events[0], &events[1]]);
    let want = [
        text("now"),
        kept(message, Covers::Text { bytes: 3 }),
        call(0, "c", "f", "{}"),
        kept(function, Covers::ToolCall { index: 0 }),
    ];
    assert_eq!(heard, want);
    let mut assembly = Assembly::default();
    heard.iter().for_each(|event| assembly.take(event));
    let parts = assembly.into_message().parts;
    assert!(parts.iter().all(|part| matches!(part, Part::Verbatim(item) if item.stands_for.is_some())), "{parts:?}");

    // llama.cpp ends its items when all is said: what lies between is not the message's own.
    let spoken = |id: &str, text: &str| {
        format!(r#"{{"type":"response.output_text.delta","item_id":"{id}","output_index":{id},"delta":"{text}"}}"#)
    };
    let late = r#"{"type":"response.output_item.done","output_index":7,"item":{"type":"message","phase":"commentary","content":[{"text":"a"}]}}"#;
    assert_eq!(super::tests::heard(&[&spoken("7", "a"), &spoken("8", "b"), late]), [text("a"), text("b")]);
}

#[test]
fn items_of_the_servers_own_tools() {
    let item = |kind: &str| {
        let json = format!(r#"{{"type":"{kind}","id":"x", "name":"write_sql"}}"#);
        (format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{json}}}"#), json)
    };
    for kind in KEPT_ITEMS {
        let (event, json) = item(kind);
        assert_eq!(heard(&[&event]), [kept(&json, Covers::Nothing)]);
    }
    assert_eq!(heard(&[&item("program_output").0]), []);
    let notice = Event::Notice("the model asked for something that it was not offered (write_sql)".into());
    assert_eq!(heard(&[&item("custom_tool_call").0]), [notice]);
    let heavy = format!(r#"{{"type":"mcp_call","output":"{}"}}"#, "x".repeat(KEPT_ITEM_BYTES_MAX));
    assert_eq!(
        heard(&[&format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{heavy}}}"#)]),
        [],
        "too heavy to carry about"
    );
}

#[test]
fn pictures_and_their_previews() {
    let events = [
        r#"{"type":"response.output_item.added","output_index":3,"item":{"type":"image_generation_call","id":"ig"}}"#,
        r#"{"type":"response.image_generation_call.partial_image","output_index":3,"partial_image_index":1,"partial_image_b64":"/9j/","output_format":"jpeg"}"#,
        r#"{"type":"response.output_item.done","output_index":3,"item":{"type":"image_generation_call","id":"ig","result":"AAAA","output_format":"webp"}}"#,
        r#"{"type":"response.output_item.done","output_index":4,"item":{"type":"image_generation_call","id":"no","status":"failed","result":null,"error":{"message":"Not that."}}}"#,
    ];
    let want = [
        image(0, Some(1), "image/jpeg", &[0xFF, 0xD8, 0xFF]),
        image(0, None, "image/webp", &[0, 0, 0]),
        kept(r#"{"id":"ig","output_format":"webp","type":"image_generation_call"}"#, Covers::Image { index: 0 }),
        Event::Notice("a picture could not be made: Not that".into()),
    ];
    assert_eq!(heard(&events), want);
    let bad = events[1].replace("/9j/", "!");
    assert_eq!(failure(&stream(&[&bad])).0, Failure::BadStream);
}

#[test]
fn ends_that_are_whole_and_ends_that_are_not() {
    let said = "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"a\"}\n\n";
    let ended = |kind: &str, response: &str| {
        decode(format!("{said}data: {{\"type\":\"response.{kind}\",\"response\":{{{response}}}}}\n\n").as_bytes())
    };
    for (kind, response, reason) in [
        ("completed", "", FinishReason::Stop),
        ("done", r#""status":"completed""#, FinishReason::Stop),
        ("incomplete", r#""incomplete_details":{"reason":"max_output_tokens"}"#, FinishReason::Length),
        (
            "completed",
            r#""status":"incomplete","incomplete_details":{"reason":"content_filter"}"#,
            FinishReason::ContentFilter,
        ),
        ("incomplete", r#""incomplete_details":{"reason":"max_messages"}"#, FinishReason::Other("max_messages".into())),
        ("incomplete", "", FinishReason::Other("incomplete".into())),
    ] {
        assert_eq!(ended(kind, response), (vec![text("a"), Event::Finish(reason)], Ok(())), "{kind} {response}");
    }
    for (kind, response, failure) in [
        ("completed", r#""status":"in_progress""#, Failure::CutOff),
        ("cancelled", "", Failure::CutOff),
        ("failed", "", Failure::Failed),
        ("failed", r#""error":{"code":"server_error","message":"x"}"#, Failure::Failed),
        ("failed", r#""error":{"code":"rate_limit_exceeded","message":"x"}"#, Failure::RateLimited),
        ("failed", r#""error":{"code":"invalid_prompt","message":"x"}"#, Failure::Rejected),
        ("failed", r#""error":{"code":"bio_policy","message":"x"}"#, Failure::Rejected),
        ("failed", r#""error":{"type":"image_generation_server_error","message":"x"}"#, Failure::Failed),
    ] {
        let (events, error) = ended(kind, response);
        assert_eq!((events, error.unwrap_err().failure), (vec![text("a")], failure), "{kind} {response}");
    }
    for cut in [said.to_owned(), format!("{said}data: [DONE]\n\n"), ": ping\n\n".into(), String::new(), "\n".into()] {
        let (failure, message) = failure(&cut);
        assert_eq!(failure, Failure::CutOff, "{cut:?}: {message}");
    }
}

#[test]
fn an_answer_as_long_as_it_may_be_was_cut_off() {
    let body = r#"data: {"type":"response.completed","response":{"status":"completed","usage":{"output_tokens":12}}}"#;
    for (tokens_max, reason) in
        [(None, FinishReason::Stop), (Some(13), FinishReason::Stop), (Some(12), FinishReason::Length)]
    {
        let (mut decoder, mut events) = (Decoder::with_limit(KeyPlace::default(), tokens_max), VecDeque::new());
        decoder.push(format!("{body}\n\n").as_bytes(), &mut events).unwrap();
        assert_eq!(events.back(), Some(&Event::Finish(reason)), "{tokens_max:?}");
    }
}

#[test]
fn errors_in_the_stream() {
    let quota = r#"{"type":"error","sequence_number":2,"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"No credit","param":null}}"#;
    assert_eq!(failure(&stream(&[quota])).0, Failure::QuotaExhausted);
    let flat = r#"{"type":"error","code":"server_error","message":"It broke: sk-hunter2","param":null}"#;
    assert_eq!(failure(&stream(&[flat])), (Failure::Failed, "It broke: [key]".into()));
    assert_eq!(failure("event: error\ndata: It broke\n\n"), (Failure::Failed, "It broke".into()));
    assert_eq!(failure("data: {\"error\":{\"message\":\"It broke\"}}\n\n"), (Failure::Failed, "It broke".into()));
    assert_eq!(failure("data: {\"detail\":\"It broke\"}\n\n"), (Failure::Failed, "It broke".into()));
    let flood: String = (0..=ITEMS_MAX)
        .map(|place| {
            format!("data: {{\"type\":\"response.output_item.added\",\"output_index\":{place},\"item\":{{}}}}\n\n")
        })
        .collect();
    assert_eq!(failure(&flood), (Failure::BadStream, "the answer has more than 1024 items".into()));
}

#[test]
fn a_body_that_is_no_stream() {
    let whole = r#" {"object":"response","status":"completed","model":"m","output":[{"type":"reasoning","summary":[]},{"type":"message","content":[{"type":"output_text","text":"Hi"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":1,"output_tokens":2}}"#;
    let usage = Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() };
    let want = vec![
        Event::Started { model: Some("m".into()) },
        text("Hi"),
        call(0, "c", "f", "{}"),
        Event::Usage(Box::new(usage)),
        Event::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(decode(whole.as_bytes()), (want, Ok(())));
    let refused = r#"{"error":{"message":"No such model","type":"invalid_request_error"}}"#;
    assert_eq!(failure(refused), (Failure::Rejected, "No such model".into()));
    for (body, shown) in [
        ("<!DOCTYPE html><html><title>Log in</title></html>", "Log in"),
        ("Not what you want\n", "Not what you want"),
        ("{\"a\":", "{\"a\":"),
        ("[1,2]", "[1,2]"),
        ("data: nonsense\n\n", "nonsense"),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "choices"),
        ("data: {\"type\":\"response.completed\"}\n\n", "response.completed"),
        ("data: [\"response.completed\"]\n\n", "Responses API"),
    ] {
        let (failed, message) = failure(body);
        assert_eq!(failed, Failure::BadStream, "{body}");
        assert!(message.contains(shown) && message.ends_with("Check base_url."), "{message}");
    }
}

#[test]
fn what_strict_json_refuses_is_mended_wherever_it_lies() {
    let bytes = b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\xFFb\\ud83d\"}\n\n";
    assert_eq!(decode(bytes).0, [text("a\u{FFFD}b\u{FFFD}")]);
    let deep = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"text":"\ud83dx"}]}}"#;
    assert_eq!(heard(&[deep]), [text("\u{FFFD}x")]);
    // Where another type of event has another kind of `delta`.
    assert_eq!(
        heard(&[r#"{"type":"response.shell_call_output_content.delta","delta":{"stdout":[1,-2,1.5,true]}}"#]),
        [text("never again")]
    );
}

#[test]
fn a_large_picture_passes_and_an_endless_event_does_not() {
    let large = format!(
        r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"image_generation_call","result":"{}"}}}}"#,
        "AAAA".repeat(2 << 20)
    );
    let (events, ended) = decode_cut(stream(&[&large]).as_bytes(), 65_536);
    assert!(ended.is_ok() && matches!(&events[0], Event::Image(piece) if piece.media.data.len() == 6 << 20));
    let endless = format!("data: {}", "x".repeat(sse::EVENT_BYTES_MAX));
    assert_eq!(decode_cut(endless.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
    let document = format!("{{\"a\":\"{}", "x".repeat(Responses::DOCUMENT_BYTES_MAX));
    assert_eq!(decode_cut(document.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: ", "\n\n", "{", "}", "[", "]", "\"type\":", "\"response.output_text.delta\"", "\"delta\":", "\"é\\ud800\"", "null", ",",
            "[DONE]", "\"error\":", "event: error\n", "<html>", "\"output_index\":", "18446744073709551615",
            "data: {\"type\":\"response.output_text.delta\",\"content_index\":18446744073709551615,\"delta\":\"x\"}\n\n",
            "data: {\"type\":\"response.output_text.done\",\"content_index\":3,\"text\":\"x\"}\n\n",
            "data: {\"type\":\"response.output_item.added\",\"item\":{\"type\":\"function_call\",\"id\":\"a\"}}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\",\"phase\":\"p\",\"content\":[{\"text\":\"x\"},5,{\"refusal\":\"y\"}]}}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"reasoning\",\"encrypted_content\":\"e\"}}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"type\":\"image_generation_call\",\"result\":\"AAAA\"}}\n\n",
            "data: {\"type\":\"response.completed\",\"response\":{}}\n\n",
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(&body), decode_cut(&body, piece_len));
    }
}
