//! Requests as clients write them, answers as clients read them.

use super::answer::{Chunks, Whole};
use super::request::{Refused, Wanted, read};
use super::*;
use crate::common::chat::{
    Effort, FinishReason, ImagePiece, Media, Message, Part, ResponseFormat, Role, ToolCall, ToolCallDelta, ToolChoice,
    ToolResult, Usage,
};
use crate::common::config::Config;
use crate::common::events::{TurnFailure, TurnSummary};
use crate::gateway::testing::{body, header, open, status};
use serde_json::Value;

fn wanted(json: &str) -> Wanted {
    read(json.as_bytes()).expect(json)
}

fn refusal(json: &str) -> Refused {
    read(json.as_bytes()).expect_err(json)
}

fn summary() -> TurnSummary {
    TurnSummary {
        conversation_id: "".into(),
        provider: "openai".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
        usage: Some(Usage { input_tokens: 9, output_tokens: 4, cached_tokens: Some(2), ..Usage::default() }),
        finish: Some(FinishReason::Stop),
        image_blobs: Vec::new(),
        messages: 1,
        refused: false,
        first_token_ms: Some(1),
        total_ms: 2,
    }
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> News {
    let (id, name) = (id.map(Into::into), name.map(Into::into));
    News::ToolCall(Box::new(ToolCallDelta { index, id, name, arguments: arguments.into() }))
}

fn written(news: &[News], include_usage: bool) -> Vec<Value> {
    let mut chunks = Chunks::new("chatcmpl-1".into(), "hearth".into(), 7, include_usage);
    let mut bytes = Vec::new();
    news.iter().for_each(|news| chunks.write(news, &mut bytes));
    let text = String::from_utf8(bytes).expect("UTF-8");
    let events = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect(event));
    events.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

#[test]
fn a_request_of_many_parts_is_read() {
    let read = wanted(
        r#"{"model":"hearth","stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"max_tokens":9,
        "max_completion_tokens":8,"stop":"END","seed":3,"reasoning_effort":"minimal","user":"u","metadata":{"a":"b"},"messages":[
        {"role":"developer","content":"Be brief."},
        {"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"data:image/PNG;base64,AQI=","detail":"low"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"a "},{"type":"text","text":"cat"}]}],
        "tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"},"strict":true}}],
        "tool_choice":{"type":"function","function":{"name":"look"}},"parallel_tool_calls":false,
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"}}}}"#,
    );
    assert!(read.stream && read.include_usage);
    let brought = read.brought;
    let look = ToolCall { id: "c1".into(), name: "look".into(), arguments: "{}".into() };
    let result = ToolResult { call_id: "c1".into(), name: "look".into(), content: "a cat".into(), is_error: false };
    let picture = Media { mime: "image/png".into(), data: vec![1, 2].into() };
    assert_eq!(
        brought.messages,
        [
            Message::new(Role::System, "Be brief."),
            Message { role: Role::User, parts: vec![Part::Text("What is it?".into()), Part::Image(picture)] },
            Message { role: Role::Assistant, parts: vec![Part::ToolCall(look)] },
            Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] },
        ]
    );
    let sampling = &brought.sampling;
    assert_eq!((sampling.temperature, sampling.max_tokens, sampling.seed), (Some(0.5), Some(8), Some(3)));
    assert_eq!((sampling.stop.as_slice(), sampling.reasoning), (&["END".to_owned()][..], Some(Effort::Low)));
    assert_eq!((brought.tools[0].name.as_str(), brought.tools[0].strict), ("look", Some(true)));
    assert_eq!(brought.tool_choice, ToolChoice::Named("look".into()));
    assert_eq!(brought.parallel_tool_calls, Some(false));
    assert!(matches!(brought.response_format, Some(ResponseFormat::Schema { ref name, .. }) if name == "s"));
}

#[test]
fn what_the_hub_cannot_do_is_refused_by_its_name() {
    let with = |more: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{more}}}"#);
    for (more, param) in [
        (r#","n":2"#, "n"),
        (r#","logprobs":true"#, "logprobs"),
        (r#","modalities":["text","audio"]"#, "modalities"),
        (r#","functions":[]"#, "functions"),
        (r#","temperature":3"#, "temperature"),
        (r#","max_tokens":0"#, "max_tokens"),
        (r#","tool_choice":"maybe""#, "tool_choice"),
        (r#","tools":[{"type":"web_search"}]"#, "tools"),
        (r#","reasoning_effort":"extreme""#, "reasoning_effort"),
    ] {
        assert_eq!(refusal(&with(more)).param, Some(param), "{more}");
    }
    for message in [
        r#"{"role":"wizard","content":"x"}"#,
        r#"{"role":"tool","content":"x"}"#,
        r#"{"role":"tool","tool_call_id":"nobody","content":"x"}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/cat.png"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,?"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:text/html;base64,AQI="}}]}"#,
        r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AQI=","format":"ogg"}}]}"#,
        r#"{"role":"user","content":[{"type":"file","file":{}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{}}]}"#,
    ] {
        let refused = refusal(&format!(r#"{{"model":"m","messages":[{message}]}}"#));
        assert_eq!(refused.param, Some("messages"), "{message}: {}", refused.why);
    }
    for odd in
        ["", "{", "[]", "{}", r#"{"model":"m"}"#, r#"{"model":"m","messages":[]}"#, r#"{"messages":[],"model":5}"#]
    {
        assert!(!refusal(odd).why.is_empty());
    }
}

#[test]
fn a_stream_is_what_openai_would_send() {
    let chunks = written(
        &[
            News::Reasoning("hm".into()),
            News::Text("Hel".into()),
            call(0, Some("c1"), Some("look"), ""),
            call(0, None, None, "{}"),
            News::Notice("not for this door".into()),
            News::Done(Box::new(summary())),
        ],
        true,
    );
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(deltas[0], json!({"role": "assistant", "reasoning_content": "hm"}));
    assert_eq!(deltas[1], json!({"content": "Hel"}));
    let first = json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}});
    assert_eq!(deltas[2], json!({"tool_calls": [first]}));
    assert_eq!(deltas[3], json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}));
    assert_eq!((&deltas[4], &chunks[4]["choices"][0]["finish_reason"]), (&json!({}), &json!("tool_calls")));
    assert_eq!(chunks[4]["model"], "openai/gpt-4o-mini-2024-07-18");
    assert_eq!((&chunks[5]["choices"], &chunks[5]["usage"]["total_tokens"]), (&json!([]), &json!(13)));
    assert_eq!(chunks[6], "[DONE]");
    assert!(chunks[..5].iter().all(|chunk| chunk["id"] == "chatcmpl-1" && chunk["object"] == "chat.completion.chunk"));
}

#[test]
fn a_stream_that_breaks_off_says_so_and_is_not_done() {
    let error = ErrorBody::new(ErrorCode::ProviderError, "openai: the answer was cut off");
    let failure = TurnFailure { error, provider: None, model: None, first_token_ms: None, total_ms: 1 };
    let chunks = written(&[News::Text("Hel".into()), News::Failed(Box::new(failure))], true);
    assert_eq!(chunks.len(), 2);
    assert_eq!(chunks[1]["error"]["code"], "provider_error");
}

#[test]
fn a_whole_answer_has_everything_in_its_place() {
    let mut whole = Whole::new("chatcmpl-1".into(), "hearth".into(), 7);
    let media = Media { mime: "image/png".into(), data: vec![1, 2].into() };
    for news in [
        News::Reasoning("hm".into()),
        call(0, Some("c1"), Some("look"), "{"),
        call(0, None, None, "}"),
        News::Image(Box::new(ImagePiece { index: 0, partial: Some(0), media: media.clone() })),
        News::Image(Box::new(ImagePiece { index: 0, partial: None, media })),
    ] {
        whole.take(&news);
    }
    let done = whole.done(&summary());
    let message = &done["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&Value::Null, &json!("hm")));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "look", "arguments": "{}"}));
    let picture = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}}]);
    assert_eq!(message["images"], picture);
    assert_eq!(done["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(done["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
}

#[tokio::test]
async fn the_door_answers_errors_in_its_callers_words() {
    let open = open(Config::default());
    let post = |json: String| {
        let length = json.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{json}"
        )
    };
    let unknown = open.ask(post(r#"{"model":"gpt-9","messages":[{"role":"user","content":"x"}]}"#.into())).await;
    assert_eq!((status(&unknown), header(&unknown, "x-should-retry")), (404, Some("false")));
    assert!(body(&unknown).contains(r#""type":"invalid_request_error""#), "{unknown}");
    let odd = open.ask(post("{".into())).await;
    assert_eq!(status(&odd), 400);
    assert!(body(&odd).starts_with(r#"{"error":{"#), "{odd}");
    let models = open.get("GET", "/v1/models", "").await;
    assert!(body(&models).contains(r#""id":"hearth""#), "{models}");
    assert_eq!(status(&open.get("GET", "/v1/models/hearth", "").await), 200);
    assert_eq!(status(&open.get("GET", "/v1/models/hearth/nobody", "").await), 404);
}
