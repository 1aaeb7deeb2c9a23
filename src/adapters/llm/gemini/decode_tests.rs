//! Tests of the decoder: what each kind of part becomes, every end of an answer, and what a hostile body cannot do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::adapters::llm::exchange::Decode;
use crate::common::secret::Secret;

const QUIET: Event = Event::Started { model: None };

fn decode(body: &[u8]) -> (Vec<Event>, Result<(), ProviderError>) {
    decode_cut(body, body.len().max(1))
}

fn decode_cut(body: &[u8], piece_len: usize) -> (Vec<Event>, Result<(), ProviderError>) {
    let key = KeyPlace { key: Some(Secret::new("AIza-hunter2")), env: None };
    let (mut decoder, mut events) = (Decoder::new(key), VecDeque::new());
    let ended = body.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut events));
    let ended = ended.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

fn whole(body: &str) -> Vec<Event> {
    let (events, ended) = decode(body.as_bytes());
    assert_eq!(ended, Ok(()), "{body}");
    events
}

fn failure(body: &str) -> (Failure, String) {
    let error = decode(body.as_bytes()).1.expect_err(body);
    (error.failure, error.message)
}

/// One event, with the line ends of Google.
fn event(json: &str) -> String {
    format!("data: {json}\r\n\r\n")
}

fn parts(parts: &str) -> String {
    event(&format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}},"index":0}}]}}"#))
}

fn finish(word: &str) -> String {
    event(&format!(r#"{{"candidates":[{{"finishReason":"{word}","index":0}}]}}"#))
}

/// The events of these parts, up to the end.
fn said(json: &str) -> Vec<Event> {
    let mut events = whole(&(parts(json) + &finish("STOP")));
    assert!(matches!(events.pop(), Some(Event::Finish(_))));
    events
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn kept(json: &str, covers: Covers) -> Event {
    let json = RawValue::from_string(json.into()).unwrap();
    Event::Verbatim(Box::new(VerbatimItem { origin: "gemini".into(), json, covers }))
}

fn call(index: u32, id: &str, name: &str, arguments: &str) -> Event {
    let (id, name, arguments) = (Some(id.into()), Some(name.into()), arguments.into());
    Event::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments }))
}

fn image(index: u32, partial: Option<u32>, data: &'static [u8]) -> Event {
    let media = Media { mime: "image/png".into(), data: Bytes::from_static(data) };
    Event::Image(Box::new(ImagePiece { index, partial, media }))
}

#[test]
fn an_answer_in_words_with_its_thoughts_and_its_tokens() {
    let usage = |rest: &str| format!(r#""usageMetadata":{{"promptTokenCount":7,{rest}"totalTokenCount":9}}"#);
    let body = [
        event(&format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"Hm","thought":true}}]}}}}],{},"modelVersion":"gemini-2.5-flash","responseId":"r"}}"#,
            usage(r#""thoughtsTokenCount":5,"#)
        )),
        parts(r#"{"text":"Hel"},{"text":""},{"text":"lo"}"#),
        event(&format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"!"}}]}},"finishReason":"STOP","groundingMetadata":{{}}}}],{},"modelVersion":"gemini-2.5-flash"}}"#,
            usage(
                r#""candidatesTokenCount":3,"thoughtsTokenCount":5,"cachedContentTokenCount":4,"toolUsePromptTokenCount":2,"#
            )
        )),
    ];
    let started = Event::Started { model: Some("gemini-2.5-flash".into()) };
    let first = Usage { input_tokens: 7, output_tokens: 5, reasoning_tokens: Some(5), ..Usage::default() };
    let last = Usage { input_tokens: 9, output_tokens: 8, cached_tokens: Some(4), ..first };
    let told = |usage| Event::Usage(Box::new(usage));
    let want = [
        started,
        Event::Reasoning("Hm".into()),
        told(first),
        text("Hel"),
        text("lo"),
        text("!"),
        Event::Finish(FinishReason::Stop),
        told(last),
    ];
    assert_eq!(whole(&body.concat()), want);
    assert_eq!(decode_cut(body.concat().as_bytes(), 1).0, want);
}

#[test]
fn what_is_signed_is_kept_byte_for_byte_with_what_it_covers() {
    const TEXT: &str = r#"{"text" : "héllo","thoughtSignature":"c2ln\u003d"}"#;
    assert_eq!(said(TEXT), [text("héllo"), kept(TEXT, Covers::Text { bytes: 6 })]);
    const ALONE: &str = r#"{"text":"","thoughtSignature":"s"}"#;
    assert_eq!(said(&format!(r#"{{"text":"a"}},{ALONE}"#)), [text("a"), kept(ALONE, Covers::Nothing)]);
    const BARE: &str = r#"{"thoughtSignature":"s"}"#;
    assert_eq!(said(BARE), [kept(BARE, Covers::Nothing)]);
    const THOUGHT: &str = r#"{"text":"Hm","thought":true,"thoughtSignature":"s"}"#;
    assert_eq!(said(THOUGHT), [Event::Reasoning("Hm".into()), kept(THOUGHT, Covers::Nothing)]);
    const PICTURE: &str = r#"{"inlineData":{"mimeType":"image/png","data":"aGk="},"thoughtSignature":"s"}"#;
    assert_eq!(said(PICTURE), [image(0, None, b"hi"), kept(PICTURE, Covers::Image { index: 0 })]);
    const CODE: &str = r#"{"executableCode":{"language":"PYTHON","code":"1"}}"#;
    const OUTPUT: &str = r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}}"#;
    let both = [kept(CODE, Covers::Nothing), kept(OUTPUT, Covers::Nothing)];
    assert_eq!(said(&format!("{CODE},{OUTPUT}")), both);
    for plain in [r#"{"text":"a","partMetadata":{}}"#, r#"{"partMetadata":{},"text":"a","thoughtSignature":null}"#] {
        assert_eq!(said(plain), [text("a")], "{plain}");
    }
}

#[test]
fn calls_have_ids_that_no_other_answer_gives() {
    const FIRST: &str = r#"{"functionCall":{"name":"dim","args":{ "to":1.0 }},"thoughtSignature":"s"}"#;
    const NAMED: &str = r#"{"functionCall":{"id":"g1","name":"off"}}"#;
    let body = event(&format!(
        r#"{{"responseId":"a/B-_{}","candidates":[{{"content":{{"parts":[{FIRST},{{"functionCall":{{"name":"off","args":null}}}},{NAMED}]}},"finishReason":"STOP"}}]}}"#,
        "x".repeat(99)
    ));
    let id = format!("aB-_{}", "x".repeat(ID_CHARS_MAX - 4));
    let want = [
        call(0, &format!("call_{id}_0"), "dim", "{ \"to\":1.0 }"),
        kept(FIRST, Covers::ToolCall { index: 0 }),
        call(1, &format!("call_{id}_1"), "off", "{}"),
        call(2, "g1", "off", "{}"),
        kept(NAMED, Covers::ToolCall { index: 2 }),
        Event::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(whole(&body), want);
    assert_eq!(said(r#"{"functionCall":{"name":"off"}}"#), [call(0, "call_0", "off", "{}")]);
    for piece in [
        r#"{"functionCall":{"name":"dim","willContinue":true}}"#,
        r#"{"functionCall":{"name":"dim","partialArgs":[{"jsonPath":"$.to"}]}}"#,
        r#"{"functionCall":{}}"#,
    ] {
        let (events, ended) = decode((parts(r#"{"text":"a"}"#) + &parts(piece)).as_bytes());
        assert_eq!((events, ended.unwrap_err().failure), (vec![text("a")], Failure::BadStream), "{piece}");
    }
}

#[test]
fn pictures_their_sketches_and_sound() {
    let data = |rest: &str, mime: &str, data: &str| {
        format!(r#"{{"inlineData":{{"mimeType":"{mime}","data":"{data}"}}{rest}}}"#)
    };
    let thought = r#","thought":true"#;
    let body = [
        data(thought, "image/png", "MQ=="),
        data(r#","thought":true,"thoughtSignature":"s""#, "image/png", "Mg=="),
        data("", "image/PNG;x=1", "aGk"),
        data(thought, "image/png", "Mw=="),
        data("", "image/png", r"aGk\u003d"),
    ];
    let events = said(&body.join(","));
    let want = [image(0, Some(0), b"1"), image(0, Some(1), b"2"), image(0, None, b"hi"), image(1, Some(0), b"3")];
    assert_eq!(events, [&want[..], &[image(1, None, b"hi")]].concat());

    let sound = Media { mime: "audio/L16;codec=pcm;rate=24000".into(), data: Bytes::from_static(b"hi") };
    assert_eq!(said(&data("", "audio/L16;codec=pcm;rate=24000", "aGk=")), [Event::Audio(Box::new(sound))]);
    let page = data("", "application/pdf", "aGk=");
    assert_eq!(said(&page), [kept(&page, Covers::Nothing)]);
    assert_eq!(failure(&parts(&data("", "image/png", "a*b"))).0, Failure::BadStream);
}

#[test]
fn a_picture_of_eight_megabytes() {
    let pixels: Vec<u8> = (0..8 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encoded = STANDARD.encode(&pixels);
    let body = parts(&format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{encoded}"}}}}"#)) + &finish("STOP");
    let (events, ended) = decode_cut(body.as_bytes(), 64 * 1024);
    assert_eq!(ended, Ok(()));
    assert!(matches!(&events[0], Event::Image(piece) if piece.media.data == pixels));
}

#[test]
fn every_reason_for_an_end() {
    use FinishReason::{ContentFilter, Length, Other, Stop};
    for (word, want) in [
        ("STOP", Stop),
        ("MAX_TOKENS", Length),
        ("SAFETY", ContentFilter),
        ("RECITATION", ContentFilter),
        ("PROHIBITED_CONTENT", ContentFilter),
        ("BLOCKLIST", ContentFilter),
        ("SPII", ContentFilter),
        ("IMAGE_SAFETY", ContentFilter),
        ("MALFORMED_FUNCTION_CALL", Other("MALFORMED_FUNCTION_CALL".into())),
        ("OTHER", Other("OTHER".into())),
    ] {
        let told = matches!(want, ContentFilter | Other(_));
        let notice = told.then(|| Event::Notice(format!("Gemini ended its answer early ({word})").into()));
        let events: Vec<Event> = notice.into_iter().chain([Event::Finish(want)]).collect();
        assert_eq!(whole(&finish(word)), events);
    }
    let explained = event(r#"{"candidates":[{"finishReason":"SAFETY","finishMessage":"Too hot for AIza-hunter2."}]}"#);
    let notice = Event::Notice("Gemini ended its answer early (SAFETY): Too hot for [key]".into());
    assert_eq!(whole(&explained)[0], notice);
    // A reason with every chunk is one reason, and a better one is told.
    let stop =
        |part: &str| event(&format!(r#"{{"candidates":[{{"content":{{"parts":[{part}]}},"finishReason":"STOP"}}]}}"#));
    let body = stop(r#"{"text":"a"}"#) + &stop(r#"{"text":"b"}"#) + &stop(r#"{"functionCall":{"name":"f"}}"#);
    let (first, last) = (Event::Finish(Stop), Event::Finish(FinishReason::ToolCalls));
    assert_eq!(whole(&body), [text("a"), first, text("b"), call(0, "call_0", "f", "{}"), last]);
}

#[test]
fn ends_that_are_whole_and_ends_that_are_not() {
    let words = parts(r#"{"text":"a"}"#);
    assert_eq!(decode((words.clone() + &finish("STOP")).as_bytes()).1, Ok(()));
    let half = finish("STOP").trim_end().to_owned();
    for cut in
        [words.as_str(), &(words.clone() + &half), &(words.clone() + "data: [DONE]\n\n"), ": ping\n\n", "", "\r\n"]
    {
        let (failure, message) = failure(cut);
        assert_eq!(failure, Failure::CutOff, "{cut:?}: {message}");
    }
}

#[test]
fn a_question_that_is_blocked() {
    let usage = r#""usageMetadata":{"promptTokenCount":4}"#;
    let blocked = event(&format!(
        r#"{{"promptFeedback":{{"blockReason":"SAFETY","blockReasonMessage":"No."}},{usage},"modelVersion":"m"}}"#
    ));
    let (events, ended) = decode(blocked.as_bytes());
    assert!(
        matches!(&events[..], [Event::Started { .. }, Event::Usage(usage)] if usage.input_tokens == 4),
        "{events:?}"
    );
    let error = ended.unwrap_err();
    let want = "Gemini refused the question (SAFETY): No. Put it in other words, or ask another provider.";
    assert_eq!((error.failure, error.message.as_str()), (Failure::Rejected, want));
    let unsaid = event(r#"{"promptFeedback":{"blockReason":"OTHER"}}"#);
    assert!(failure(&unsaid).1.starts_with("Gemini refused the question (OTHER). Put"));
    let rated = event(r#"{"promptFeedback":{"safetyRatings":[]}}"#) + &finish("STOP");
    assert_eq!(whole(&rated), [QUIET, Event::Finish(FinishReason::Stop)]);
}

#[test]
fn errors_in_the_stream() {
    let words = parts(r#"{"text":"a"}"#);
    let overloaded = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let wait = r#"{"error":{"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.07s"}]}}"#;
    for (error, failure, wait_ms) in [
        (event(overloaded), Failure::Failed, None),
        (event(&format!("[{overloaded}]")), Failure::Failed, None),
        (event(wait), Failure::RateLimited, Some(34_070)),
        (event(r#"{"message":"It broke"}"#), Failure::Failed, None),
    ] {
        let (events, ended) = decode((words.clone() + &error + &finish("STOP")).as_bytes());
        assert_eq!(events, [text("a")], "what came before holds");
        let ended = ended.unwrap_err();
        let waits = ended.retry_after.map(|wait| wait.as_millis());
        assert_eq!((ended.failure, waits), (failure, wait_ms), "{error}: {ended}");
    }
    assert!(!failure(&event(r#"{"error":{"message":"bad key AIza-hunter2"}}"#)).1.contains("hunter2"));
}

#[test]
fn a_body_that_is_no_stream() {
    let chunk = |text: &str, rest: &str| {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}","thoughtSignature":"s"}}]}}{rest}}}]}}"#)
    };
    let (first, last) = (chunk("a", ""), chunk("b", r#","finishReason":"STOP""#));
    let events = whole(&format!("[{first}\n,\r\n{last}]\n"));
    let signed = |text: &str| format!(r#"{{"text":"{text}","thoughtSignature":"s"}}"#);
    let covers = Covers::Text { bytes: 1 };
    let want = [text("a"), kept(&signed("a"), covers), text("b"), kept(&signed("b"), covers)];
    assert_eq!(events[..4], want);
    assert_eq!(whole(&last)[0], text("b"));
    let error = r#"[{"error":{"code":404,"message":"No such model","status":"NOT_FOUND"}}]"#;
    assert_eq!(
        failure(error),
        (Failure::Rejected, "No such model. Check model and base_url (most end in /v1).".into())
    );
    for (body, shown) in [
        ("<!DOCTYPE html><html><title>Log in</title></html>", "Log in"),
        ("Not what you want\n", "Not what you want"),
        ("{\"a\":", "{\"a\":"),
        ("[1,2]", "1"),
        ("\"what\"", "what"),
        ("data: nonsense\n\n", "nonsense"),
        ("data: {\"candidates\":5}\n\n", "{\"candidates\":5}"),
        ("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":5}]}}]}\n\n", "parts"),
    ] {
        let (failed, message) = failure(body);
        assert_eq!(failed, Failure::BadStream, "{body}");
        assert!(message.contains(shown), "{message}");
    }
    assert_eq!(failure("[]").0, Failure::CutOff);
}

#[test]
fn broken_unicode_is_mended_in_what_is_kept_too() {
    let body = [&b"data: {\"candidates\":[{\"finishReason\":\"STOP\",\"content\":{\"parts\":[{\"text\":\"a\xFFb\",\"thoughtSignature\":\"s\"}]}}]}\r\n\r\n"[..]].concat();
    let (events, ended) = decode(&body);
    assert_eq!(ended, Ok(()));
    assert_eq!(events[0], text("a\u{FFFD}b"));
    assert_eq!(events[1], kept("{\"text\":\"a\u{FFFD}b\",\"thoughtSignature\":\"s\"}", Covers::Text { bytes: 5 }));
}

#[test]
fn a_document_without_an_end_is_refused() {
    let document = format!("{{\"a\":\"{}", "x".repeat(Answers::DOCUMENT_BYTES_MAX));
    assert_eq!(decode_cut(document.as_bytes(), 65_536).1.unwrap_err().failure, Failure::BadStream);
}

proptest! {
    #[test]
    fn no_input_panics_and_no_cut_matters(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: ", "\r\n\r\n", "\n", "{", "}", "[", "]", "\"candidates\":", "\"content\":", "\"parts\":", "\"text\":",
            "\"é\\ud800\"", "null", ",", "5", "\"error\":", "<html>", "\"functionCall\":", "\"thoughtSignature\":",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\",\"thoughtSignature\":\"s\"}]},\"finishReason\":\"STOP\"}]}\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"id\":\"a\"}},{\"x\":1}]}}]}\r\n\r\n",
            "data: {\"usageMetadata\":{\"promptTokenCount\":18446744073709551615,\"toolUsePromptTokenCount\":1}}\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"aGk=\"}}]}}]}\r\n\r\n",
        ]), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..6),
        piece_len in 1usize..9,
    ) {
        let body = [pieces.concat().as_bytes(), &noise].concat();
        prop_assert_eq!(decode(&body), decode_cut(&body, piece_len));
    }
}
