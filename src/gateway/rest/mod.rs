//! `/api/v1/…`: the records of the store over HTTP, one file a resource. What they share is here: revisions as ETags, and
//! the store's errors as problems. Decides nothing about what a record may hold; the store does.

pub mod blobs;
pub mod model_profiles;
pub mod usage;

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::respond::{self, Response};
use crate::store::{ReadError, WriteError};

/// Puts a record's revision on its answer (RFC 9110 §8.8.3).
fn with_revision(mut response: Response, revision: u64) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes are a header value");
    response.headers_mut().insert(ETAG, tag);
    response
}

/// Which revision a write is meant for: `If-Match: "7"`; with `If-None-Match: *` none, so that the record is new. Without
/// either, whatever is there is replaced.
fn expected_revision(headers: &HeaderMap) -> Result<Option<u64>, Box<Response>> {
    if headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*") {
        return Ok(Some(0));
    }
    let Some(value) = headers.get(IF_MATCH).filter(|value| *value != "*") else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|tag| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    let why = "If-Match must be the ETag of the record, such as \"7\"";
    revision.map(Some).ok_or_else(|| Box::new(problem(&ErrorBody::new(ErrorCode::BadRequest, why))))
}

/// An error with the HTTP status that its code stands for.
fn problem(error: &ErrorBody) -> Response {
    let status = match error.code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    respond::problem(status, error)
}

fn not_written(error: &WriteError) -> Response {
    problem(&error.to_body())
}

fn not_read(error: &ReadError) -> Response {
    problem(&ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Internal, error.to_string()) })
}
