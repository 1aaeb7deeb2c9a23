//! How answers look: JSON, `application/problem+json`, embedded files, and the headers that every one of them carries.
//! Knows no route.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};

/// What a handler returns.
pub type Response = hyper::Response<Body>;

/// The bytes of an answer, whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// An embedded page may run its own scripts and talk to the hub, and nothing else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What is no page can do nothing, even if a browser were to show it as one.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A body that is there as a whole.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// No body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A value as JSON, never cached: it is the state of now.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    typed(status, "application/json", serde_json::to_vec(value).expect("the hub's own types have text keys only"))
}

/// RFC 9457: an error, with the code that clients act on.
pub fn problem(status: StatusCode, error: &ErrorBody) -> Response {
    problem_with(status, error, &Map::new())
}

/// The same with members of its own (RFC 9457 §3.2).
pub fn problem_with(status: StatusCode, error: &ErrorBody, beside: &Map<String, Value>) -> Response {
    let mut response = typed(status, "application/problem+json", text_of(status, error, beside));
    if let Some(wait_ms) = error.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
    }
    response
}

/// The body of [`problem`], also for the answers that are written without HTTP's help.
pub fn problem_text(status: StatusCode, error: &ErrorBody) -> Vec<u8> {
    text_of(status, error, &Map::new())
}

fn text_of(status: StatusCode, error: &ErrorBody, beside: &Map<String, Value>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: &'a str,
        title: &'a str,
        status: u16,
        detail: &'a str,
        code: ErrorCode,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        #[serde(flatten)]
        beside: &'a Map<String, Value>,
    }
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &error.message,
        code: error.code,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        beside,
    };
    serde_json::to_vec(&problem).expect("strings and numbers are JSON")
}

fn typed(status: StatusCode, mime: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(whole(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A file that stays as it is, with the tag of its content.
#[derive(Debug)]
pub struct Static {
    mime: &'static str,
    bytes: Bytes,
    etag: HeaderValue,
}

impl Static {
    pub fn new(mime: &'static str, bytes: impl Into<Bytes>) -> Static {
        use std::hash::{DefaultHasher, Hasher};
        let bytes = bytes.into();
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let etag = format!("\"{:016x}\"", hasher.finish());
        Static { mime, bytes, etag: HeaderValue::from_str(&etag).expect("hex digits in quotes are a header value") }
    }

    /// The file, or 304 to a browser that has it. Names carry no version, so a browser asks each time.
    pub fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = if has_tag(asked, &self.etag) {
            empty(StatusCode::NOT_MODIFIED)
        } else {
            let mut response = Response::new(whole(self.bytes.clone()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.mime));
            response
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if self.mime.starts_with("text/html") {
            headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
        }
        response
    }
}

/// Whether the caller has what it asks for: RFC 9110 §13.1.2, `*`, or a list in which weak tags count.
pub fn has_tag(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
        },
    )
}

/// Puts on what every answer wears.
pub fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(DATA_POLICY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_and_when_to_come_back() {
        let error = ErrorBody {
            retryable: true,
            retry_after_ms: Some(1200),
            ..ErrorBody::new(ErrorCode::RateLimited, "later")
        };
        let response = problem(StatusCode::SERVICE_UNAVAILABLE, &error);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            String::from_utf8(problem_text(StatusCode::SERVICE_UNAVAILABLE, &error)).expect("UTF-8"),
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"later","code":"rate_limited","retryable":true,"retry_after_ms":1200}"#
        );
    }

    #[test]
    fn a_file_is_sent_once() {
        let file = Static::new("text/html; charset=utf-8", "<!doctype html>");
        let mut asked = HeaderMap::new();
        let first = file.answer(&asked);
        assert_eq!((first.status(), &first.headers()[CONTENT_SECURITY_POLICY]), (StatusCode::OK, &PAGE_POLICY));
        let etag = first.headers()[ETAG].to_str().expect("ASCII").to_owned();
        for same in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            asked.insert(IF_NONE_MATCH, HeaderValue::from_str(&same).expect("a value"));
            let again = file.answer(&asked);
            assert_eq!((again.status(), again.headers().get(CONTENT_TYPE)), (StatusCode::NOT_MODIFIED, None), "{same}");
        }
        asked.insert(IF_NONE_MATCH, HeaderValue::from_static("\"x\", W/\"y\""));
        assert_eq!(file.answer(&asked).status(), StatusCode::OK);
        assert_ne!(Static::new("text/css", "a").etag, Static::new("text/css", "b").etag);
    }
}
