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
fn what_google_says() {
    let read = |status: u16, status_word: &str, message: &str, details: &str| {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"{message}","status":"{status_word}","details":[{details}]}}}}"#
        );
        let here = read(status, &body);
        let listed = read(status, &format!("[{body}]"));
        assert_eq!(here, listed, "a list of one is the same");
        let in_stream = in_stream(&Complaint::read(body.as_bytes()), &key());
        assert_eq!(in_stream.failure, here.0, "and so it is in a stream: {body}");
        (here.0, in_stream.retry_after)
    };
    let info = |reason: &str| format!(r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}}"#);
    let quota = |id: &str, value: &str| {
        format!(r#"{{"@type":"…/google.rpc.QuotaFailure","violations":[{{"quotaId":"{id}","quotaValue":"{value}"}}]}}"#)
    };
    const WAIT: &str = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.07s"}"#;
    let wait = Some(Duration::from_millis(34_070));
    let (minute, day) =
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    for (status, word, message, details, failure, waits) in [
        (400, "INVALID_ARGUMENT", "API key not valid", info("API_KEY_INVALID"), Failure::Auth, None),
        (400, "INVALID_ARGUMENT", "Penalty is not enabled", String::new(), Failure::Rejected, None),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).",
            String::new(),
            Failure::TooLarge,
            None,
        ),
        (401, "UNAUTHENTICATED", "No key", String::new(), Failure::Auth, None),
        (403, "PERMISSION_DENIED", "Leaked", info("API_KEY_SERVICE_BLOCKED"), Failure::Auth, None),
        (404, "NOT_FOUND", "No model", String::new(), Failure::Rejected, None),
        (429, "RESOURCE_EXHAUSTED", "Try later", String::new(), Failure::RateLimited, None),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "billing details",
            format!("{},{WAIT}", quota(minute, "10")),
            Failure::RateLimited,
            wait,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "billing details",
            format!("{WAIT},{}", quota(day, "250")),
            Failure::QuotaExhausted,
            wait,
        ),
        (429, "RESOURCE_EXHAUSTED", "limit: 0", quota(minute, "0"), Failure::QuotaExhausted, None),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Your prepayment credits are depleted",
            String::new(),
            Failure::QuotaExhausted,
            None,
        ),
        (500, "INTERNAL", "An internal error", String::new(), Failure::Failed, None),
        (503, "UNAVAILABLE", "The model is overloaded", String::new(), Failure::Failed, None),
        (504, "DEADLINE_EXCEEDED", "Too slow", String::new(), Failure::Timeout, None),
    ] {
        assert_eq!(read(status, word, message, &details), (failure, waits), "{status} {message} {details}");
    }
    for (word, failure) in [
        ("PERMISSION_DENIED", Failure::Auth),
        ("UNAUTHENTICATED", Failure::Auth),
        ("RESOURCE_EXHAUSTED", Failure::RateLimited),
        ("DEADLINE_EXCEEDED", Failure::Timeout),
        ("INVALID_ARGUMENT", Failure::Rejected),
        ("UNAVAILABLE", Failure::Failed),
    ] {
        let body = format!(r#"{{"error":{{"message":"x","status":"{word}"}}}}"#);
        assert_eq!(in_stream(&Complaint::read(body.as_bytes()), &key()).failure, failure, "{word} without a figure");
    }
}

#[test]
fn a_wait_in_a_header_goes_before_one_in_the_body() {
    let body = br#"{"error":{"code":429,"message":"Slow","details":[{"retryDelay":"3s"}]}}"#;
    let wait = |headers: &HeaderMap| refused(StatusCode::TOO_MANY_REQUESTS, headers, body, &key()).retry_after;
    assert_eq!(wait(&HeaderMap::new()), Some(Duration::from_secs(3)));
    let headers =
        [("retry-after-ms", "2500")].iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    assert_eq!(wait(&headers.collect()), Some(Duration::from_millis(2500)));
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
            "Loading model (HTTP 503). The model is being loaded into memory: it will answer in a moment.",
        ),
        (
            404,
            r#"{"error":{"message":"The model `gpt-9` does not exist","type":"invalid_request_error"}}"#,
            "The model `gpt-9` does not exist (HTTP 404). Check model and base_url (most end in /v1).",
        ),
        (
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}"#,
            "Extra inputs are not permitted (HTTP 422)",
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"openai/gpt-4o requires moderation. Your input was flagged","metadata":{"reasons":["violence","harassment"],"flagged_input":"x","provider_name":"OpenAI","model_slug":"y"}}}"#,
            "openai/gpt-4o requires moderation. Your input was flagged (violence, harassment) (HTTP 403)",
        ),
        (
            502,
            r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"provider_name":"Azure","raw":null}}}"#,
            "Provider returned error (from Azure) (HTTP 502)",
        ),
        (
            503,
            r#"{"error":{"code":503,"message":"No allowed providers are available for the selected model."}}"#,
            "No allowed providers are available for the selected model (HTTP 503). The server is busy or still starting: try again in a moment.",
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
fn what_a_model_cannot_do_another_may() {
    for (status, said) in [
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
        (500, "tools param requires --jinja flag"),
        (404, "No endpoints found that support image input"),
        (404, "No endpoints found that support tool use. To learn more about provider routing, visit: https://…"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (400, "Model does not support images. Please use a model that does."),
        (422, "messages[0]: unknown variant `image_url`, expected `text`"),
    ] {
        let (failure, message) = read(status, &serde_json::json!({"error": {"message": said}}).to_string());
        assert_eq!(failure, Failure::Unsupported, "{said}");
        assert!(message.ends_with(". Choose another model for this."), "{message}");
    }
    let temperature = r#"{"error":{"message":"This model does not support the parameter temperature"}}"#;
    assert_eq!(read(400, temperature).0, Failure::Rejected);
}

#[test]
fn waits_that_stand_in_the_body() {
    let wait = |headers: &[(&'static str, &str)], status, body: &str| {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        refused(status, &headers, body.as_bytes(), &key()).retry_after
    };
    let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    assert_eq!(wait(&[], StatusCode::SERVICE_UNAVAILABLE, loading), seconds(1));
    assert_eq!(wait(&[("retry-after", "7")], StatusCode::SERVICE_UNAVAILABLE, loading), seconds(7));
    let limited = r#"{"error":{"message":"Rate limit exceeded: free-models-per-min","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1784111779000"}}}}"#;
    let date = ("date", "Wed, 15 Jul 2026 10:36:00 GMT");
    assert_eq!(wait(&[date], StatusCode::TOO_MANY_REQUESTS, limited), seconds(19));
    assert_eq!(wait(&[], StatusCode::TOO_MANY_REQUESTS, limited), None, "a time without a clock says nothing");
    let odd = r#"{"error":{"metadata":{"headers":{"X-RateLimit-Reset":"\u0000"}}}}"#;
    assert_eq!(wait(&[date], StatusCode::TOO_MANY_REQUESTS, odd), None);
}

#[test]
fn the_parameter_at_fault_is_found() {
    let param = |body: &str| Complaint::read(body.as_bytes()).param;
    assert_eq!(param(r#"{"error":{"message":"x","param":"temperature"}}"#).as_deref(), Some("temperature"));
    let fast_api = r#"{"detail":[{"loc":["body","stream_options","x"],"msg":"Extra inputs are not permitted"}]}"#;
    assert_eq!(param(fast_api).as_deref(), Some("stream_options"));
    assert_eq!(param(r#"{"error":{"message":"x","param":null}}"#), None);
}

#[test]
fn errors_of_anthropic() {
    let body = |kind: &str, message: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_01"}}"#)
    };
    for (status, kind, message, failure) in [
        (400, "invalid_request_error", "max_tokens: Field required", Failure::Rejected),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            Failure::QuotaExhausted,
        ),
        (400, "invalid_request_error", "prompt is too long: 207791 tokens > 200000 maximum", Failure::TooLarge),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
            Failure::TooLarge,
        ),
        (401, "authentication_error", "invalid x-api-key", Failure::Auth),
        (402, "billing_error", "x", Failure::QuotaExhausted),
        (403, "permission_error", "x", Failure::Auth),
        (404, "not_found_error", "model: claude-9", Failure::Rejected),
        (413, "request_too_large", "x", Failure::TooLarge),
        (429, "rate_limit_error", "x", Failure::RateLimited),
        (500, "api_error", "x", Failure::Failed),
        (504, "timeout_error", "x", Failure::Timeout),
        (529, "overloaded_error", "Overloaded", Failure::Failed),
    ] {
        let body = body(kind, message);
        assert_eq!(read(status, &body).0, failure, "{status} {kind}");
        // The same in the midst of a stream, where no status helps.
        assert_eq!(in_stream(&Complaint::read(body.as_bytes()), &key()).failure, failure, "{kind}");
    }
    let overloaded = body("overloaded_error", "Overloaded");
    let hint = ". The provider has too much to do: try again in a moment, or choose another model.";
    assert_eq!(read(529, &overloaded).1, format!("Overloaded (HTTP 529, req_01){hint}"));
    let error = in_stream(&Complaint::read(overloaded.as_bytes()), &key());
    assert_eq!(error.message, format!("Overloaded (req_01){hint}"));
    assert!(error.to_body("anthropic").retryable);

    let headers = [("request-id".parse().unwrap(), "req_02".parse().unwrap())].into_iter().collect();
    assert_eq!(refused(StatusCode::BAD_GATEWAY, &headers, b"x", &key()).message, "x (HTTP 502, req_02)");
    let odd = r#"{"error":{"message":"x"},"request_id":"see <http://evil.example>"}"#;
    assert_eq!(read(500, odd).1, "x (HTTP 500)");
    assert_eq!(read(500, r#"{"error":{"message":"x"},"request_id":"sk-hunter2-secret"}"#).1, "x (HTTP 500, [key])");
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
