//! The table's handler through real sockets, over tools in memory.

use serde_json::Value;

use crate::common::config::Config;
use crate::gateway::rest::fake::{definitions, fake};
use crate::gateway::testing::{Open, body, header, open, open_tools, status};

async fn send(open: &Open, method: &str, path: &str, headers: &str, json: &str) -> String {
    let head = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{headers}");
    open.ask(format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{json}", json.len())).await
}

fn json(heard: &str) -> Value {
    serde_json::from_str(body(heard)).unwrap_or_else(|_| panic!("no JSON: {heard}"))
}

#[tokio::test]
async fn a_record_is_made_read_changed_once_and_deleted() {
    let open = open_tools(Config::default(), fake().1);
    let place = "/settings/tools.policy";
    assert_eq!(status(&send(&open, "GET", place, "", "").await), 404);
    let made = send(&open, "PUT", place, "If-None-Match: *\r\n", r#"{"value":{"a":[1]}}"#).await;
    assert_eq!((status(&made), header(&made, "etag")), (200, Some("\"1\"")), "{made}");
    assert_eq!(body(&made), r#"{"key":"tools.policy","revision":1,"value":{"a":[1]}}"#);
    let again = send(&open, "PUT", place, "If-None-Match: *\r\n", r#"{"value":2}"#).await;
    assert_eq!(status(&again), 409, "{again}");
    assert!(body(&again).contains(r#""code":"conflict""#), "{again}");

    let read = send(&open, "GET", place, "", "").await;
    assert_eq!((status(&read), header(&read, "etag"), body(&read)), (200, Some("\"1\""), body(&made)));
    for tags in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let known = send(&open, "GET", place, &format!("If-None-Match: {tags}\r\n"), "").await;
        assert_eq!((status(&known), header(&known, "etag"), body(&known)), (304, Some("\"1\""), ""), "{tags}");
    }
    assert_eq!(status(&send(&open, "GET", place, "If-None-Match: \"2\"\r\n", "").await), 200);
    let head = send(&open, "HEAD", place, "", "").await;
    assert_eq!((status(&head), header(&head, "etag"), body(&head)), (200, Some("\"1\""), ""));
    assert_eq!(header(&head, "content-length"), header(&read, "content-length"));

    assert_eq!(status(&send(&open, "PUT", place, "If-Match: \"1\"\r\n", r#"{"value":2}"#).await), 200);
    assert_eq!(status(&send(&open, "PUT", place, "If-Match: \"1\"\r\n", r#"{"value":3}"#).await), 409);
    assert_eq!(status(&send(&open, "DELETE", place, "If-Match: \"1\"\r\n", "").await), 409);
    let gone = send(&open, "DELETE", place, "If-Match: \"2\"\r\n", "").await;
    assert_eq!((status(&gone), body(&gone)), (204, ""));
    assert_eq!(status(&send(&open, "DELETE", place, "", "").await), 404);
}

#[tokio::test]
async fn what_was_made_says_where_it_is() {
    let open = open_tools(Config::default(), fake().1);
    let made =
        send(&open, "POST", "/users", "Content-Type: Application/JSON; charset=utf-8\r\n", r#"{"name":"ann b"}"#).await;
    assert_eq!((status(&made), header(&made, "location")), (201, Some("/api/v1/users/ann%20b")), "{made}");
    assert_eq!(json(&made)["password"], "told this once");
    let refreshed = open.get("POST", "/api/v1/mcp-servers/files/refresh", "").await;
    assert_eq!((status(&refreshed), body(&refreshed)), (200, r#"{"slug":"files"}"#), "no body is needed");
}

#[tokio::test]
async fn a_list_goes_on_where_it_stopped() {
    let open = open_tools(Config::default(), fake().1);
    for key in ["a.1", "a.2", "a.3", "b.1"] {
        assert_eq!(status(&send(&open, "PUT", &format!("/settings/{key}"), "", r#"{"value":0}"#).await), 200);
    }
    let first = open.get("GET", "/api/v1/settings?prefix=a.&limit=2", "").await;
    assert_eq!(json(&first)["settings"].as_array().map(Vec::len), Some(2), "{first}");
    assert_eq!(json(&first)["next_cursor"], "a.2");
    let link = header(&first, "link").expect("a link");
    assert_eq!(link, "</api/v1/settings?prefix=a.&limit=2&cursor=a.2>; rel=\"next\"");
    let next = link[1..].split('>').next().expect("a place");
    let second = open.get("GET", next, "").await;
    assert_eq!(json(&second)["settings"][0]["key"], "a.3", "{second}");
    assert_eq!((&json(&second)["next_cursor"], header(&second, "link")), (&Value::Null, None));
    for (query, says) in [("limit=two", "whole number"), ("limit=1&limit=2", "twice"), ("size=2", "limit, prefix")] {
        let refused = open.get("GET", &format!("/api/v1/settings?{query}"), "").await;
        assert_eq!(status(&refused), 400, "{query}: {refused}");
        assert!(body(&refused).contains(says), "{query}: {refused}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_the_place() {
    let open = open_tools(Config::default(), fake().1);
    let put = async |headers: &str, json: &str| send(&open, "PUT", "/settings/a", headers, json).await;
    for (headers, json, status_meant, says) in [
        ("", "{", 400, "the body is no JSON: EOF"),
        ("", "[]", 400, "no JSON object"),
        ("", "{\"value\": 1,\n \"value\": 2}", 400, r#"\"value\" stands twice in one object at line 2"#),
        ("", "{\"value\": {\"a\": 1, \"a\": 2}}", 400, "twice in one object at line 1"),
        ("", r#"{"key":"b","value":1}"#, 400, "another key than the path"),
        ("", r#"{"value":null}"#, 400, "value: is missing"),
        ("", "", 400, "value: is missing"),
        ("", r#"{"value":"fault"}"#, 503, "not now"),
        ("If-Match: 7\r\n", r#"{"value":1}"#, 400, "ETag"),
        ("If-Match: \"7\", \"8\"\r\n", r#"{"value":1}"#, 400, "ETag"),
        ("If-None-Match: \"7\"\r\n", r#"{"value":1}"#, 400, "If-None-Match"),
        ("If-Match: \"7\"\r\nIf-None-Match: *\r\n", r#"{"value":1}"#, 400, "If-None-Match"),
        ("If-Match: \"7\"\r\n", r#"{"value":1,"if_revision":8}"#, 400, "if_revision"),
        ("Content-Type: text/plain\r\n", r#"{"value":1}"#, 415, "application/json"),
        ("Content-Type: \r\n", r#"{"value":1}"#, 415, "application/json"),
    ] {
        let heard = put(headers, json).await;
        assert_eq!(status(&heard), status_meant, "{headers}{json}: {heard}");
        assert_eq!(header(&heard, "content-type"), Some("application/problem+json"));
        assert!(body(&heard).contains(says), "{headers}{json}: {heard}");
    }
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(status(&put("", &large).await), 413);
    let broken = "PUT /api/v1/settings/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n";
    assert_eq!(status(&open.ask(broken.replace("Host: x", "Host: localhost")).await), 400);
    assert_eq!(status(&send(&open, "PUT", "/settings/a?value=1", "", "{}").await), 400);
    assert_eq!(status(&send(&open, "GET", "/settings/%ff", "", "").await), 400);
    let escaped = send(&open, "PUT", "/settings/%61%2e%62", "", r#"{"value":1,"key":"a.b"}"#).await;
    assert_eq!((status(&escaped), &json(&escaped)["key"]), (200, &Value::from("a.b")), "{escaped}");
}

#[tokio::test]
async fn a_row_without_its_tool_is_not_there() {
    let empty = open(Config::default());
    let absent = empty.get("GET", "/nothing", "").await;
    for method in ["GET", "PUT", "OPTIONS", "BREW"] {
        let heard = empty.get(method, "/api/v1/settings/a", "").await;
        assert_eq!(status(&heard), 404, "{method}: {heard}");
        assert_eq!(body(&heard).replace("/api/v1/settings/a", "/nothing"), body(&absent));
    }
    let (tools, service) = fake();
    let open = open_tools(Config::default(), service);
    let wrong = open.get("POST", "/api/v1/settings/a", "").await;
    assert_eq!((status(&wrong), header(&wrong, "allow")), (405, Some("OPTIONS, GET, HEAD, PUT, DELETE")), "{wrong}");
    tools.offer(definitions().into_iter().filter(|tool| &*tool.name != "settings.set").collect());
    let options = open.get("OPTIONS", "/api/v1/settings/a", "").await;
    assert_eq!((status(&options), header(&options, "allow")), (204, Some("OPTIONS, GET, HEAD, DELETE")));
    assert_eq!(status(&send(&open, "PUT", "/settings/a", "", r#"{"value":1}"#).await), 405);
}

#[test]
fn every_code_has_the_status_of_the_documentation() {
    use crate::common::error::{ErrorBody, ErrorCode};
    for (code, status) in [
        (ErrorCode::BadRequest, 400),
        (ErrorCode::Unauthenticated, 401),
        (ErrorCode::Forbidden, 403),
        (ErrorCode::NotFound, 404),
        (ErrorCode::Conflict, 409),
        (ErrorCode::TooLarge, 413),
        (ErrorCode::Unsupported, 422),
        (ErrorCode::RateLimited, 429),
        (ErrorCode::BudgetExhausted, 429),
        (ErrorCode::Offline, 503),
        (ErrorCode::Timeout, 504),
        (ErrorCode::DeviceUnreachable, 504),
        (ErrorCode::DeviceRejected, 422),
        (ErrorCode::RadioDown, 503),
        (ErrorCode::Internal, 500),
    ] {
        let problem = crate::gateway::rest::problem(&ErrorBody::new(code, "why"));
        assert_eq!(problem.status().as_u16(), status, "{code}");
        let says_how = problem.headers().get("www-authenticate").is_some_and(|value| value == "Bearer");
        assert_eq!(says_how, status == 401, "{code}");
    }
}
