//! Tests of the decoder: what servers send, chunk by chunk, written by hand after their documents.

use proptest::prelude::*;

use super::*;
use crate::adapters::llm::exchange::Decode;
use crate::common::secret::Secret;
use crate::net::sse;

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

/// A stream of these chunks' `choices[0]`, with its end.
fn stream(choices: &[&str]) -> String {
    let chunks =
        choices.iter().map(|choice| format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n"));
    chunks.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn whole(body: &str) -> Vec<Event> {
    let (events, ended) = decode(body.as_bytes());
    ended.unwrap();
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

const QUIET: Event = Event::Started { model: None };

#[test]
fn an_answer_from_the_first_word_to_the_last() {
    let body = concat!(
        ": keep-alive\n\n",
        "data: {\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":null}}]}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}},{\"index\":0,\"delta\":{\"content\":\"Gr\\u00fc\\n\"}}]}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ße\"},\"finish_reason\":null}]}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":30,\"total_tokens\":39,",
        "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2},\"cost\":0.5}}\n\n",
        "data: [DONE]\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"after the end\"}}]}\n\n",
    );
    let usage = Usage {
        cache_write_tokens: None,
        input_tokens: 9,
        output_tokens: 30,
        cached_tokens: Some(4),
        reasoning_tokens: Some(2),
        cost_usd: Some(0.5),
    };
    let want = vec![
        QUIET,
        QUIET,
        Event::Started { model: Some("gpt-x".into()) },
        QUIET,
        text("Grü\n"),
        text("ße"),
        Event::Finish(FinishReason::Stop),
        Event::Usage(Box::new(usage)),
    ];
    for piece_len in [1, 2, 3, 7, body.len()] {
        let (events, ended) = decode_cut(body.as_bytes(), piece_len);
        assert_eq!((events, ended), (want.clone(), Ok(())), "pieces of {piece_len}");
    }
}

#[test]
fn thinking_by_all_its_names() {
    let body = stream(&[
        r#""delta":{"reasoning_content":"a"}"#,
        r#""delta":{"reasoning":"b","content":""}"#,
        r#""delta":{"reasoning":"c","reasoning_content":"c"}"#,
        r#""delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"d"}]},{"type":"text","text":"e"},{"type":"reference","reference_ids":[1]}]}"#,
        r#""delta":{"content":null,"reasoning_text":"f"}"#,
    ]);
    let (events, _) = decode(body.as_bytes());
    assert_eq!(events, [thought("a"), thought("b"), thought("c"), thought("d"), text("e"), thought("f")]);
}

#[test]
fn refusals() {
    let body =
        stream(&[r#""delta":{"refusal":"I will"}"#, r#""delta":{"content":[{"type":"refusal","refusal":" not"}]}"#]);
    assert_eq!(whole(&body), [Event::Refusal("I will".into()), Event::Refusal(" not".into())]);
}

#[test]
fn calls_of_tools() {
    let call = |index, id: &str, name: &str, arguments: &str| {
        let word = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Event::ToolCall(Box::new(ToolCallDelta { index, id: word(id), name: word(name), arguments: arguments.into() }))
    };
    let numbered = stream(&[
        r#""delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"id":"","function":{"name":null,"arguments":"{\"x\""}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"id":"b","function":{"name":"g","arguments":{"y":2}}}]}"#,
        r#""delta":{},"finish_reason":"tool_calls""#,
    ]);
    let want = [
        call(0, "a", "f", ""),
        call(0, "", "", "{\"x\""),
        call(0, "", "", ":1}"),
        call(1, "b", "g", "{\"y\":2}"),
        Event::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(whole(&numbered), want);
    let unnumbered = stream(&[
        r#""delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
        r#""delta":{"tool_calls":[{"function":{"arguments":"2"}}]}"#,
        r#""delta":{"tool_calls":[{"id":"b","function":{"name":"f","arguments":null}}]}"#,
    ]);
    assert_eq!(whole(&unnumbered), [call(0, "a", "f", "1"), call(0, "", "", "2"), call(1, "b", "f", "")]);
}

#[test]
fn what_a_model_thought_is_kept_for_the_next_request() {
    let kept = |events: Vec<Event>| {
        let item = |event| match event {
            Event::Verbatim(item) => Some((item.origin.to_string(), item.json.get().to_owned())),
            _ => None,
        };
        events.into_iter().filter_map(item).collect::<Vec<_>>()
    };
    let details = stream(&[
        r#""delta":{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}"#,
        r#""delta":{"content":"","reasoning_details":[{"type":"reasoning.text","text":"b","index":0}]}"#,
        r#""delta":{"content":"said"},"finish_reason":"stop""#,
        r#""delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]},"finish_reason":"stop""#,
    ]);
    let events = whole(&details);
    assert_eq!(events[..3], [thought("a"), QUIET, text("said")]);
    assert!(matches!(events[3], Event::Verbatim(_)) && matches!(events[4], Event::Finish(_)), "{events:?}");
    let late = r#"[{"data":"x","type":"reasoning.encrypted"}]"#;
    let first = r#"[{"index":0,"text":"ab","type":"reasoning.text"}]"#;
    assert_eq!(kept(events), [first, late].map(|json| ("openrouter".to_owned(), json.to_owned())));

    let call = r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#;
    let thinking = r#""delta":{"reasoning_content":"hm"}"#;
    assert_eq!(kept(whole(&stream(&[thinking, call]))), [("openai_chat".to_owned(), r#""hm""#.to_owned())]);
    assert_eq!(kept(whole(&stream(&[thinking, r#""delta":{"content":"a"}"#]))), []);
    assert_eq!(kept(whole(&stream(&[r#""delta":{"reasoning":"hm"}"#, call]))), [], "by another name it is not wanted");
    let cut_off = stream(&[thinking, call]).replace("data: [DONE]", "");
    assert_eq!(kept(decode(cut_off.as_bytes()).0), [], "half a thought is worth nothing");
}

#[test]
fn pictures_and_sound() {
    let body = stream(&[
        r#""delta":{"content":"Here","images":[{"type":"image_url","index":0,"image_url":{"url":"data:image/jpeg;base64,aGk="}}]}"#,
        r#""delta":{"images":[{"image_url":{"url":"data:image\/png;base64,eW8="}},{"image_url":{"url":"https://x.example/y.png"}}]}"#,
        r#""delta":{"audio":{"id":"a","transcript":"Hel","expires_at":1}}"#,
        r#""delta":{"audio":{"data":"AAE="},"images":null}"#,
        r#""delta":{"images":[],"audio":null,"annotations":[{"type":"url_citation"}]}"#,
    ]);
    let image = |index, mime: &str, data: &'static str| {
        let media = Media { mime: mime.into(), data: data.into() };
        Event::Image(Box::new(ImagePiece { index, partial: None, media }))
    };
    let sound = Media { mime: "audio/pcm".into(), data: vec![0, 1].into() };
    let elsewhere = "the picture is not sent along, it lies at https://x.example/y.png";
    let want = [
        text("Here"),
        image(0, "image/jpeg", "hi"),
        image(1, "image/png", "yo"),
        Event::Notice(elsewhere.into()),
        text("Hel"),
        Event::Audio(Box::new(sound)),
        QUIET,
    ];
    assert_eq!(whole(&body), want);
    for broken in [
        r#""delta":{"images":[{"image_url":{"url":"data:image/png;base64,*"}}]}"#,
        r#""delta":{"images":"odd"}"#,
        r#""delta":{"images":[{"image_url":{}}]}"#,
        r#""delta":{"audio":{"data":"*"}}"#,
        r#""delta":{"audio":[1]}"#,
    ] {
        assert_eq!(failure(&stream(&[broken])).0, Failure::BadStream, "{broken}");
    }
}

#[test]
fn comments_show_that_a_server_lives() {
    let waiting = ": OPENROUTER PROCESSING\n\n".repeat(3);
    let body = waiting.clone() + &stream(&[r#""delta":{"content":"a"}"#]) + &waiting;
    assert_eq!(whole(&body), [QUIET, text("a")], "one as good as three, and none after the end");
    let (mut decoder, mut events) = (Decoder::new(KeyPlace::default()), VecDeque::new());
    for _ in 0..3 {
        decoder.push(b": OPENROUTER PROCESSING\n\n", &mut events).unwrap();
        assert_eq!(events.pop_front(), Some(QUIET));
    }
}

#[test]
fn how_far_llama_cpp_has_read_and_what_it_counted() {
    let body = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"prompt_progress\":{\"total\":631,\"cache\":0,\"processed\":64,\"time_ms\":351}}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"prompt_progress\":{\"total\":-1},\"timings\":null}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"timings\":{\"cache_n\":30,\"prompt_n\":1,\"predicted_n\":2,\"predicted_ms\":28.639}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":2},\"timings\":{\"prompt_n\":9,\"predicted_n\":9}}\n\ndata: [DONE]\n\n",
    );
    let counted = |cached_tokens| {
        Event::Usage(Box::new(Usage { input_tokens: 31, output_tokens: 2, cached_tokens, ..Usage::default() }))
    };
    let read = Event::Progress(Progress { stage: Stage::Prompt, done: 64, total: 631 });
    assert_eq!(whole(body), [read, text("a"), Event::Finish(FinishReason::Stop), counted(Some(30)), counted(None)]);
}

#[test]
fn what_was_spent_in_every_spelling() {
    let spent = |usage: &str| {
        let body = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n");
        whole(&body).into_iter().find_map(|event| if let Event::Usage(usage) = event { Some(*usage) } else { None })
    };
    let base = Usage { input_tokens: 9, output_tokens: 3, ..Usage::default() };
    let cached = Usage { cached_tokens: Some(4), ..base };
    let cost = |dollars| Usage { cost_usd: Some(dollars), ..base };
    for (more, want) in [
        (r#""prompt_tokens_details":{"cached_tokens":4}"#, cached),
        (r#""prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5"#, cached),
        (r#""cached_tokens":4"#, cached),
        (r#""num_cached_tokens":4"#, cached),
        (
            r#""cache_read_input_tokens":4,"cache_creation_input_tokens":2"#,
            Usage { cache_write_tokens: Some(2), ..cached },
        ),
        (
            r#""prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}"#,
            Usage { cache_write_tokens: Some(2), ..cached },
        ),
        (r#""cost":0.5,"is_byok":false,"cost_details":{"upstream_inference_cost":0.5}"#, cost(0.5)),
        (r#""cost":0.25,"is_byok":true,"cost_details":{"upstream_inference_cost":0.5}"#, cost(0.75)),
        (r#""cost":0,"cost_details":{"upstream_inference_cost":null}"#, cost(0.0)),
        (r#""cost":{"input_tokens_cost":0.1,"total_cost":0.5}"#, cost(0.5)),
        (r#""cost":"free""#, base),
        (r#""cost":-1"#, base),
    ] {
        let usage = format!(r#"{{"prompt_tokens":9,"completion_tokens":3,{more}}}"#);
        assert_eq!(spent(&usage), Some(want), "{more}");
    }
}

#[test]
fn usage_from_wherever_it_stands_and_the_last_one_holds() {
    let body = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"queue_time\":0.1}}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1.0,\"completion_tokens\":3,\"prompt_cache_hit_tokens\":1,\"prompt_tokens_details\":null}}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":null}}\n\ndata: [DONE]\n\n",
    );
    let counted = |output_tokens, cached_tokens| {
        Event::Usage(Box::new(Usage { input_tokens: 1, output_tokens, cached_tokens, ..Usage::default() }))
    };
    let stop = Event::Finish(FinishReason::Stop);
    assert_eq!(whole(body), [text("a"), counted(1, None), stop, counted(2, None), counted(3, Some(1)), QUIET]);
}

#[test]
fn ends_that_are_whole_and_ends_that_are_not() {
    let chunk = |choice: &str| format!("data: {{\"choices\":[{{{choice}}}]}}\n\n");
    let said = chunk(r#""delta":{"content":"a"}"#);
    assert_eq!(decode((said.clone() + &chunk(r#""delta":{},"finish_reason":"length""#)).as_bytes()).1, Ok(()));
    assert_eq!(decode((said.clone() + "data:[DONE]\n\n").as_bytes()).1, Ok(()));
    for cut in [said.as_str(), &(said.clone() + "data: [DONE]"), ": ping\n\n", "", "\n\n"] {
        let (failure, message) = failure(cut);
        assert_eq!(failure, Failure::CutOff, "{cut:?}: {message}");
    }
    assert_eq!(
        whole(&chunk(r#""delta":{},"finish_reason":"end_turn""#)),
        [Event::Finish(FinishReason::Other("end_turn".into()))]
    );
}

#[test]
fn errors_in_the_stream() {
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"error\":null}\n\n";
    for (error, want) in [
        (r#"data: {"error":{"message":"Overloaded","type":"server_error"}}"#, (Failure::Failed, "Overloaded")),
        (r#"data: {"error":"Overloaded"}"#, (Failure::Failed, "Overloaded")),
        ("event: error\ndata: {\"error\":{\"message\":\"Overloaded\"}}", (Failure::Failed, "Overloaded")),
        ("event: error\ndata: Overloaded", (Failure::Failed, "Overloaded")),
        (r#"data: {"object":"error","message":"Overloaded","code":500}"#, (Failure::Failed, "Overloaded")),
        (r#"data: {"detail":"Overloaded"}"#, (Failure::Failed, "Overloaded")),
        (
            r#"data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":{"message":"Overloaded","code":502}}"#,
            (Failure::Failed, "Overloaded"),
        ),
        (r#"data: {"choices":[],"x_groq":{"id":"r","error":"Overloaded"}}"#, (Failure::Failed, "Overloaded")),
        (
            r#"data: {"choices":[{"delta":{"content":""},"finish_reason":"error","error":{"code":502,"message":"Overloaded"}}]}"#,
            (Failure::Failed, "Overloaded"),
        ),
        (
            r#"data: {"choices":[{"delta":{},"finish_reason":"error"}]}"#,
            (Failure::Failed, "the provider broke its answer off"),
        ),
        (
            r#"data: {"error":{"code":"server_error","message":"Overloaded","metadata":{"provider_name":"Azure"}},"choices":[]}"#,
            (Failure::Failed, "Overloaded (from Azure)"),
        ),
        (
            r#"data: {"error":{"message":"Wait","code":429}}"#,
            (Failure::RateLimited, "Wait. Try again later, or choose another model."),
        ),
    ] {
        let (events, ended) = decode(format!("{said}{error}\n\ndata: [DONE]\n\n").as_bytes());
        assert_eq!(events, [text("a")], "what came before holds");
        let ended = ended.unwrap_err();
        assert_eq!((ended.failure, ended.message.as_str()), want, "{error}");
    }
    assert!(!failure("data: {\"error\":\"bad key sk-hunter2\"}\n\n").1.contains("hunter2"));
}

#[test]
fn a_body_that_is_no_stream() {
    let (failed, message) = failure(r#"{"error":{"message":"No such model","type":"invalid_request_error"}}"#);
    assert_eq!((failed, message.as_str()), (Failure::Rejected, "No such model"));
    let whole_answer = r#" {"object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let events = whole(whole_answer);
    assert_eq!(events[..2], [Event::Started { model: Some("m".into()) }, text("Hi")]);
    for (body, shown) in [
        ("<!DOCTYPE html><html><title>Log in</title></html>", "Log in"),
        ("Not what you want\n", "Not what you want"),
        ("{\"a\":", "{\"a\":"),
        ("[1,2]", "[1,2]"),
        ("\"what\"", "what"),
        ("data: nonsense\n\n", "nonsense"),
        ("data: [\"m\",[]]\n\n", ": m."),
        ("data: {\"choices\":5}\n\n", "{\"choices\":5}"),
        ("data: {\"choices\":[{\"delta\":{\"content\":5}}]}\n\n", "content"),
    ] {
        let (failed, message) = failure(body);
        assert_eq!(failed, Failure::BadStream, "{body}");
        assert!(message.contains(shown), "{message}");
    }
}

#[test]
fn broken_unicode_is_mended_and_nothing_else_changes() {
    let bytes = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xFFb\"}}]}\n\n";
    assert_eq!(decode(bytes).0, [text("a\u{FFFD}b")]);
    let halves =
        stream(&[r#""delta":{"content":"x\ud83d"}"#, r#""delta":{"content":"\ude00\\ud83d \ud83d\ude00 \ud83d\n"}"#]);
    assert_eq!(whole(&halves), [text("x\u{FFFD}"), text("\u{FFFD}\\ud83d 😀 \u{FFFD}\n")]);
}

#[test]
fn a_long_event_is_refused_and_a_large_one_is_not() {
    let large = stream(&[&format!(r#""delta":{{"content":"{}"}}"#, "x".repeat(8 << 20))]);
    let (events, ended) = decode_cut(large.as_bytes(), 4096);
    assert!(ended.is_ok() && matches!(&events[0], Event::Text(text) if text.len() == 8 << 20));
    let data = "AAAA".repeat((8 << 20) / 4);
    let picture =
        stream(&[&format!(r#""delta":{{"images":[{{"image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}"#)]);
    let (events, ended) = decode_cut(picture.as_bytes(), 4096);
    assert!(ended.is_ok() && matches!(&events[0], Event::Image(piece) if piece.media.data.len() == 6 << 20));
    let endless = format!("data: {}", "x".repeat(sse::EVENT_BYTES_MAX));
    assert_eq!(decode_cut(endless.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
    let document = format!("{{\"a\":\"{}", "x".repeat(Completions::DOCUMENT_BYTES_MAX));
    assert_eq!(decode_cut(document.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: ", "\n\n", "\n", "{", "}", "[", "]", "\"choices\":", "\"delta\":", "\"content\":", "\"é\\ud800\"", "null", ",", "5",
            "[DONE]", "\"error\":", "event: error\n", "<html>", "\"tool_calls\":", "\"index\":",
            "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":4294967295,\"id\":\"a\"}]}}]}\n\n",
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(&body), decode_cut(&body, piece_len));
    }
}
