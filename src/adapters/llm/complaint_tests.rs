//! Tests of error bodies: each shape that providers send, what it is taken for, and what the owner reads.

use super::*;

fn key() -> KeyPlace {
    KeyPlace { key: Some(Secret::new("sk-hunter2-secret")), env: Some("OPENAI_API_KEY".into()) }
}

fn read(status: u16, body: &str) -> (Failure, String) {
    let error = refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), &key());
    assert_eq!(error.status, Some(status));
    (error.failure, error.message)
}

#[test]
fn sorted_by_what_can_be_done() {
    let with = |code: &str| format!(r#"{{"error":{{"message":"No","type":"x","code":"{code}"}}}}"#);
    for (status, code, failure) in [
        (401, "invalid_api_key", Failure::Auth),
        (403, "unsupported_country", Failure::Auth),
        (402, "", Failure::QuotaExhausted),
        (429, "insufficient_quota", Failure::QuotaExhausted),
        (429, "rate_limit_exceeded", Failure::RateLimited),
        (408, "", Failure::Timeout),
        (504, "", Failure::Timeout),
        (413, "", Failure::TooLarge),
        (400, "context_length_exceeded", Failure::TooLarge),
        (400, "invalid_value", Failure::Rejected),
        (404, "model_not_found", Failure::Rejected),
        (418, "", Failure::Rejected),
        (500, "", Failure::Failed),
        (503, "", Failure::Failed),
        (529, "", Failure::Failed),
        (307, "", Failure::Rejected),
    ] {
        assert_eq!(read(status, &with(code)).0, failure, "{status} {code}");
    }
    let vllm = r#"{"object":"error","message":"This model's maximum context length is 2048 tokens","type":"BadRequestError","code":400}"#;
    assert_eq!(read(400, vllm).0, Failure::TooLarge);
    let llama = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#;
    assert_eq!(read(400, llama).0, Failure::TooLarge);
}

#[test]
fn every_shape_of_body_is_read() {
    for (status, body, message) in [
        (500, r#"{"error":{"message":"It broke."}}"#, "It broke (HTTP 500)"),
        (500, r#"{"error":"It broke"}"#, "It broke (HTTP 500)"),
        (500, r#"{"detail":"It broke"}"#, "It broke (HTTP 500)"),
        (422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, "field required (HTTP 422)"),
        (500, r#"{"message":"It broke","type":"x"}"#, "It broke (HTTP 500)"),
        (500, r#"[{"error":{"code":500,"message":"It broke"}}]"#, "It broke (HTTP 500)"),
        (500, r#""It broke""#, "It broke (HTTP 500)"),
        (500, "It\n\u{1b}[31mbroke\0", "It [31mbroke (HTTP 500)"),
        (500, "", "Internal Server Error (HTTP 500)"),
        (500, "[]", "Internal Server Error (HTTP 500)"),
        (500, "{}", "Internal Server Error (HTTP 500)"),
        (
            502,
            "<html><head><TITLE>502 Bad\nGateway</TITLE></head><body><h1>x</h1></body></html>",
            "502 Bad Gateway (HTTP 502)",
        ),
        (
            502,
            "<html><style>a{}</style><h1>Bad <b>gateway</b></h1><script>var a=1</script></html>",
            "Bad gateway (HTTP 502)",
        ),
        (502, "<html", "html (HTTP 502)"),
        (
            503,
            r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#,
            "Loading model (HTTP 503). The server is busy or still starting: try again in a moment.",
        ),
        (
            404,
            r#"{"error":{"message":"The model `gpt-9` does not exist","type":"invalid_request_error"}}"#,
            "The model `gpt-9` does not exist (HTTP 404). Check model and base_url (most end in /v1).",
        ),
        (
            429,
            r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}"}}}"#,
            "Provider returned error: slow down (HTTP 429). Try again later, or choose another model.",
        ),
    ] {
        assert_eq!(read(status, body).1, message, "{body}");
    }
}

#[test]
fn the_key_is_never_in_a_message() {
    for body in [
        r#"{"error":{"message":"Incorrect API key provided: sk-hunter2-secret. Find it."}}"#,
        r#"{"error":{"message":"Incorrect API key provided: sk-hunt****cret. Find it."}}"#,
        r#"{"error":{"message":"Bearer sk-hunter2- is wrong"}}"#,
        "<title>key=sk-hunter2-secret</title>",
    ] {
        let (failure, message) = read(401, body);
        assert_eq!(failure, Failure::Auth);
        assert!(message.contains("[key]") && !message.contains("hunt"), "{message}");
        assert!(message.ends_with("(HTTP 401). Check the key in OPENAI_API_KEY."), "{message}");
    }
}

#[test]
fn a_placeholder_for_a_key_does_not_spoil_the_words() {
    let key = KeyPlace { key: Some(Secret::new("no")), env: None };
    assert_eq!(key.hide("There is no key known: 'no'"), "There is [key] key known: [key]");
}

#[test]
fn a_long_body_is_shortened_by_characters() {
    let (_, message) = read(500, &"é".repeat(100_000));
    assert_eq!(message.chars().count(), SAID_CHARS_MAX + "… (HTTP 500)".chars().count());
}

#[test]
fn a_redirect_names_its_goal_and_a_wait_is_taken_along() {
    let headers = [("location", "https://elsewhere/v1"), ("retry-after", "3")];
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let error = refused(StatusCode::PERMANENT_REDIRECT, &headers, b"", &key());
    assert_eq!(error.message, "moved to https://elsewhere/v1 (HTTP 308). Check base_url.");
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(3)));
}

#[test]
fn errors_in_a_stream() {
    let read = |body: &str| in_stream(&Complaint::read(body.as_bytes()), &key());
    assert_eq!(read(r#"{"error":{"message":"x","code":429}}"#).failure, Failure::RateLimited);
    assert_eq!(read(r#"{"error":{"message":"x","type":"rate_limit_exceeded"}}"#).failure, Failure::RateLimited);
    assert_eq!(read(r#"{"error":{"message":"x","type":"insufficient_quota"}}"#).failure, Failure::QuotaExhausted);
    assert_eq!(read(r#"{"error":{"message":"x","type":"invalid_request_error"}}"#).failure, Failure::Rejected);
    assert_eq!(read(r#"{"error":{"message":"x","code":502}}"#).failure, Failure::Failed);
    let plain = read(r#"{"error":"overloaded"}"#);
    assert_eq!((plain.failure, plain.message.as_str(), plain.status), (Failure::Failed, "overloaded", None));
    assert_eq!(read("{}").message, "an error without a word about it");
}
