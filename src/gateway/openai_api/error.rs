//! Errors as OpenAI's clients read them: `{"error":{"message","type","code","param"}}` with the status by which their
//! libraries choose an exception and decide whether to try again.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::request::Refused;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::respond::{self, Response};

/// OpenAI's own, in milliseconds; its libraries look there first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Its libraries try again by themselves where they are not told otherwise: after the hub has gone through its whole chain
/// that would only repeat it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error of the hub's.
pub fn response(error: &ErrorBody) -> Response {
    let mut response = respond::json(status(error.code), &json!({ "error": body(error, None) }));
    let headers = response.headers_mut();
    if let Some(wait_ms) = error.retry_after_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait_ms));
    }
    if !error.retryable {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// A request that cannot be meant.
pub fn refused(refused: &Refused) -> Response {
    let error = ErrorBody::new(ErrorCode::BadRequest, refused.why.clone());
    respond::json(StatusCode::BAD_REQUEST, &json!({ "error": body(&error, refused.param) }))
}

/// What stands in `error`, also within a stream.
pub fn body(error: &ErrorBody, param: Option<&str>) -> Value {
    json!({ "message": error.message, "type": kind(error.code), "code": error.code, "param": param })
}

/// A problem that was found before the request was read, in this door's words.
pub fn of_problem(problem: Response) -> Response {
    let (status, message) = match problem.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::TooLarge, "the request is longer than this hub takes"),
        StatusCode::REQUEST_TIMEOUT => (ErrorCode::Timeout, "the request body came too slowly"),
        _ => (ErrorCode::BadRequest, "the request body is broken or cut off"),
    };
    response(&ErrorBody::new(status, message))
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest | ErrorCode::UnknownAction | ErrorCode::Unsupported => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict | ErrorCode::IdReuse | ErrorCode::ResumeGap => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited | ErrorCode::BudgetExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Offline => StatusCode::SERVICE_UNAVAILABLE,
        // The hub's key is wrong and not the caller's: 401 would send people after the wrong one.
        ErrorCode::ProviderError
        | ErrorCode::ProviderAuth
        | ErrorCode::DeviceUnreachable
        | ErrorCode::DeviceRejected
        | ErrorCode::RadioDown => StatusCode::BAD_GATEWAY,
        ErrorCode::Cancelled | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn kind(code: ErrorCode) -> &'static str {
    match status(code) {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS if code == ErrorCode::BudgetExhausted => "insufficient_quota",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}
