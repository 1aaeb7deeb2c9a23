//! Tests of the decoder: what Ollama sends, line by line, written by hand after its documents.

use proptest::prelude::*;

use super::*;
use crate::common::secret::Secret;

fn decode(body: &[u8]) -> (Vec<Event>, Result<(), ProviderError>) {
    decode_cut(body, body.len().max(1))
}

fn decode_cut(body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let key = KeyPlace { key: Some(Secret::new("sk-hunter2")), env: None };
    let (mut decoder, mut events) = (Decoder::new(key, "t"), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

fn failure(body: &str) -> (Failure, String) {
    let error = decode(body.as_bytes()).1.unwrap_err();
    (error.failure, error.message)
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

#[test]
fn an_answer_from_the_first_word_to_the_last() {
    let body = concat!(
        "{\"model\":\"qwen3\",\"created_at\":\"2026-08-17T15:59:50Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n",
        "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n",
        "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"Gr\\u00fc\"},\"done\":false}\r\n\n",
        "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"ße\"},\"done\":false}\n",
        "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[",
        "{\"function\":{\"name\":\"lamp\",\"arguments\":{\"on\": true}}},{\"id\":\"call_x\",\"function\":{\"index\":1,\"name\":\"f\",\"arguments\":null}}]},\"done\":false}\n",
        "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"total_duration\":1,\"prompt_eval_count\":9,\"eval_count\":30}\n",
        "{\"error\":\"after the end\"}\n",
    );
    let call = |index, id: &str, name: &str, arguments: &str| {
        let (id, name) = (Some(id.to_owned()), Some(name.to_owned()));
        Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments: arguments.into() }))
    };
    let want = vec![
        Event::Started { model: Some("qwen3".into()) },
        Event::Reasoning("hm".into()),
        Event::Started { model: None },
        text("Grü"),
        text("ße"),
        call(0, "t-0", "lamp", "{\"on\": true}"),
        call(1, "call_x", "f", ""),
        Event::Usage(Box::new(Usage { input_tokens: 9, output_tokens: 30, ..Usage::default() })),
        Event::Finish(FinishReason::Stop),
    ];
    for piece_len in [1, 2, 3, 7, body.len()] {
        assert_eq!(decode_cut(body.as_bytes(), piece_len), (want.clone(), Ok(())), "pieces of {piece_len}");
    }
}

#[test]
fn generate_speaks_without_messages() {
    let body = concat!(
        "{\"model\":\"\",\"response\":\"\",\"thinking\":\"hm\",\"done\":false}\n",
        "{\"response\":\"a\",\"done\":false}\n",
        "{\"response\":\"\",\"done\":true,\"done_reason\":\"length\",\"context\":[1,2],\"eval_count\":2}",
    );
    let usage = Usage { output_tokens: 2, ..Usage::default() };
    let want =
        [Event::Reasoning("hm".into()), text("a"), Event::Usage(Box::new(usage)), Event::Finish(FinishReason::Length)];
    assert_eq!(decode(body.as_bytes()), (want.to_vec(), Ok(())), "the last line needs no end");
}

#[test]
fn ends_that_are_whole_and_ends_that_are_not() {
    let end = |reason: &str| {
        let body = format!("{{\"message\":{{}},\"done\":true{reason}}}");
        decode(body.as_bytes()).0
    };
    assert_eq!(end(""), [Event::Finish(FinishReason::Stop)]);
    assert_eq!(end(",\"done_reason\":\"load\""), [Event::Finish(FinishReason::Other("load".into()))]);
    let said = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
    for cut in [said.to_owned(), format!("{said}{{\"message\":{{\"conte"), format!("{said}\n"), String::new()] {
        let (events, ended) = decode(cut.as_bytes());
        assert_eq!(ended.unwrap_err().failure, Failure::CutOff, "{cut:?}");
        assert_eq!(events.len(), usize::from(!cut.is_empty()));
    }
}

#[test]
fn errors_in_the_stream_and_bodies_that_are_no_stream() {
    let said = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
    let error = "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}";
    let (events, ended) = decode(format!("{said}{error}\n").as_bytes());
    let ended = ended.unwrap_err();
    assert_eq!((events, ended.failure), (vec![text("a")], Failure::Failed));
    assert_eq!(ended.message, "an error was encountered while running the model: unexpected EOF");
    assert_eq!(failure(error).0, Failure::Failed, "without a line end, too");
    for (body, shown) in [
        ("<html><title>Log in</title></html>\n", "Log in"),
        ("Ollama is running", "Ollama is running"),
        ("{\"choices\":[]}\n", "{\"choices\":[]}"),
        ("{\"a\":\n", "{\"a\":"),
        ("[1,2]\n", "[1,2]"),
        ("data: {}\n", "data: {}"),
        ("{\"message\":5}\n", "message"),
        ("{\"message\":{\"content\":5}}\n", "content"),
    ] {
        let (failed, message) = failure(body);
        assert_eq!(failed, Failure::BadStream, "{body}");
        assert!(message.contains(shown), "{message}");
    }
    assert!(!failure("bad key sk-hunter2\n").1.contains("hunter2"));
}

#[test]
fn broken_unicode_is_mended_and_a_long_line_is_refused() {
    assert_eq!(decode(b"{\"message\":{\"content\":\"a\xFFb\\ud83d\"}}\n").0, [text("a\u{FFFD}b\u{FFFD}")]);
    let endless = format!("{{\"a\":\"{}", "x".repeat(ndjson::LINE_BYTES_MAX));
    assert_eq!(decode_cut(endless.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "\n", "{", "}", "[", "]", "\"message\":", "\"content\":", "\"thinking\":", "\"é\\ud800\"", "null", ",", "5", "\"error\":",
            "\"tool_calls\":", "\"done\":", "true", "<html>",
            "{\"message\":{\"content\":\"x\"},\"done\":false}\n", "{\"response\":\"x\",\"done\":true}\n", "{\"error\":\"x\"}\n",
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(&body), decode_cut(&body, piece_len));
    }
}
