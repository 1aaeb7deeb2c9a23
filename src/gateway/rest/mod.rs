//! `/api/v1/…`: what the hub knows and can do, over HTTP. A table says which path stands for which tool; what is no tool has
//! a file of its own. What they share is here: revisions as ETags, and errors as problems. Decides nothing about what a
//! record may hold.

mod arguments;
pub mod backup;
pub mod blobs;
pub mod claim;
#[cfg(test)]
mod fake;
pub mod handler;
pub mod login;
pub mod openapi;
mod strict_json;
pub mod table;
pub mod tickets;
pub mod tools;
pub mod usage;

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, WWW_AUTHENTICATE};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::Role;
use crate::gateway::context::{Request, principal};
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

/// The HTTP status that an error's code stands for.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Unsupported | ErrorCode::DeviceRejected => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited | ErrorCode::BudgetExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Offline | ErrorCode::RadioDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout | ErrorCode::DeviceUnreachable => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error with the HTTP status that its code stands for.
pub(super) fn problem(error: &ErrorBody) -> Response {
    problem_with(error, &Map::new())
}

/// The same with members of its own.
fn problem_with(error: &ErrorBody, beside: &Map<String, Value>) -> Response {
    let mut response = respond::problem_with(status_of(error.code), error, beside);
    if error.code == ErrorCode::Unauthenticated {
        // RFC 9110 §11.6.1: a 401 says how to come in.
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What no row stands for.
pub(super) fn nothing_at(path: &str) -> Response {
    problem(&ErrorBody::new(ErrorCode::NotFound, format!("there is nothing at {path}")))
}

/// A body of JSON, or the answer that says what is wrong with it.
pub(super) async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Box<Response>> {
    let fields = handler::read_object(request).await?;
    serde_json::from_value(fields.into())
        .map_err(|error| Box::new(problem(&ErrorBody::new(ErrorCode::BadRequest, format!("the body: {error}")))))
}

/// Lets through whoever is at least this to the house; the answer is for the others.
fn require(request: &Request, least: Role) -> Result<(), Box<Response>> {
    let who = principal(request);
    if who.role >= least {
        return Ok(());
    }
    let text =
        format!("this is for {}s of the house and above; {} is a {}", least.as_str(), who.user, who.role.as_str());
    Err(Box::new(problem(&ErrorBody::new(ErrorCode::Forbidden, text))))
}

fn not_written(error: &WriteError) -> Response {
    problem(&error.to_body())
}

fn not_read(error: &ReadError) -> Response {
    problem(&ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Internal, error.to_string()) })
}
