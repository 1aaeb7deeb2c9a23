//! The one handler of all rows of the table: a request becomes a call of the row's tool, and what comes of it an answer.
//! Knows no tool and no record; HTTP's part of records (`ETag`, `If-Match`, `Link`, `Location`) is here.

use std::sync::Arc;

use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::arguments::{self, Sent, escape, gather};
use super::table::{Answer, Operation, Row, placeholders};
use super::{expected_revision, nothing_at, problem, problem_with, strict_json, with_revision};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Request, parameter, principal, read_body};
use crate::gateway::respond::{self, Response};
use crate::mcp::{Call, Fault, Outcome, Reach, ToolOutput};

/// Calls the tool that this method of this row stands for.
pub async fn answer(
    context: Arc<Context>,
    row: &'static Row,
    operation: &'static Operation,
    request: Request,
) -> Response {
    let asked = Asked::of(&request);
    let Some(tool) = context.tools.tool(operation.tool) else { return nothing_at(&asked.path) };
    let (who, path) = (principal(&request), row.placeholders().map(|name| (name, parameter(&request, name))).collect());
    let is_asked_by_query = matches!(operation.method, Method::GET | Method::DELETE);
    let if_revision = match guard(&operation.method, request.headers()) {
        Ok(revision) => revision,
        Err(refused) => return *refused,
    };
    let body = match is_asked_by_query {
        true => Map::new(),
        false => match read_object(request).await {
            Ok(body) => match operation.body {
                Some(argument) => Map::from_iter([(argument.to_owned(), body.into())]),
                None => body,
            },
            Err(refused) => return *refused,
        },
    };
    let sent = Sent { path, query: &asked.query, is_asked_by_query, if_revision, body };
    let arguments = match gather(&tool.input.to_value(), sent) {
        Ok(arguments) => arguments,
        Err(why) => return problem(&ErrorBody::new(ErrorCode::BadRequest, why)),
    };
    let call = Call { tool: tool.name.clone(), arguments, who, reach: Reach::default() };
    match result(context.tools.call(call).await) {
        Ok(result) => asked.answer(operation.answer, &result),
        Err(failed) => problem_with(&failed.error, &failed.beside),
    }
}

/// What an answer depends on besides the result.
struct Asked {
    path: String,
    query: String,
    headers: HeaderMap,
    is_get: bool,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        Asked {
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            is_get: matches!(*request.method(), Method::GET | Method::HEAD),
        }
    }

    fn answer(&self, answer: Answer, result: &Value) -> Response {
        match answer {
            Answer::Gone if result["deleted"] == false => {
                let gone = format!("there is nothing at {} to delete", self.path);
                return problem(&ErrorBody::new(ErrorCode::NotFound, gone));
            }
            Answer::Gone => return respond::empty(StatusCode::NO_CONTENT),
            Answer::Shown | Answer::Made(_) => {}
        }
        let mut response = respond::json(StatusCode::OK, result);
        if let Answer::Made(place) = answer {
            *response.status_mut() = StatusCode::CREATED;
            if let Some(place) = place.and_then(|place| located(place, result)) {
                response.headers_mut().insert(LOCATION, place);
            }
        }
        if let Some(next) = self.next(result) {
            response.headers_mut().insert(LINK, next);
        }
        let Some(revision) = result["revision"].as_u64() else { return response };
        let tagged = with_revision(response, revision);
        let tag = &tagged.headers()[hyper::header::ETAG];
        match self.is_get && respond::has_tag(&self.headers, tag) {
            true => with_revision(respond::empty(StatusCode::NOT_MODIFIED), revision),
            false => tagged,
        }
    }

    /// Where a list goes on (RFC 8288): the same question with the cursor.
    fn next(&self, result: &Value) -> Option<HeaderValue> {
        let cursor = result["next_cursor"].as_str()?;
        let asked = arguments::pairs(&self.query).ok()?;
        let kept = asked.iter().filter(|(name, _)| name != "cursor");
        let kept: String = kept.map(|(name, value)| format!("{}={}&", escape(name), escape(value))).collect();
        HeaderValue::from_str(&format!("<{}?{kept}cursor={}>; rel=\"next\"", self.path, escape(cursor))).ok()
    }
}

/// A place with the result's fields put in; `None` where one of them is missing.
fn located(place: &'static str, result: &Value) -> Option<HeaderValue> {
    let mut path = place.to_owned();
    for name in placeholders(place) {
        // What was made may stand within the result, beside what is told this once.
        let own = result.get(name).and_then(Value::as_str);
        let inner = || result.as_object()?.values().find_map(|inner| inner.get(name)?.as_str());
        path = path.replace(&format!("{{{name}}}"), &escape(own.or_else(inner)?));
    }
    HeaderValue::from_str(&path).ok()
}

/// Which revision a write is meant for. A GET has no such thing: its `If-None-Match` asks for news.
fn guard(method: &Method, headers: &HeaderMap) -> Result<Option<u64>, Box<Response>> {
    if *method == Method::GET {
        return Ok(None);
    }
    let both = headers.contains_key(IF_MATCH) && headers.contains_key(IF_NONE_MATCH);
    if both || headers.get(IF_NONE_MATCH).is_some_and(|value| value != "*") {
        let why = "a write takes If-Match with the record's ETag, or If-None-Match: *";
        return Err(Box::new(problem(&ErrorBody::new(ErrorCode::BadRequest, why))));
    }
    expected_revision(headers)
}

/// The body as a JSON object; no body at all is an empty one.
pub(super) async fn read_object(request: Request) -> Result<Map<String, Value>, Box<Response>> {
    if request.body().is_end_stream() {
        return Ok(Map::new());
    }
    check_type(request.headers())?;
    let body = read_body(request).await.map_err(Box::new)?;
    let refuse = |why: String| Box::new(problem(&ErrorBody::new(ErrorCode::BadRequest, why)));
    match strict_json::parse(&body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(refuse("the body is no JSON object".into())),
        Err(_) if body.is_empty() => Ok(Map::new()),
        Err(error) => Err(refuse(format!("the body is no JSON: {error}"))),
    }
}

/// JSON is what a body is taken for where nothing is said.
fn check_type(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let Some(said) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let mime = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let error = ErrorBody::new(ErrorCode::Unsupported, "the content-type of the body must be application/json");
    Err(Box::new(respond::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error)))
}

/// What a client of a row sees of a call: the structured result, or the error.
fn result(came: Result<Outcome, Fault>) -> Result<Value, Box<Failed>> {
    match came {
        Ok(Outcome::Done(output)) if output.is_error => Err(Box::new(failure(output))),
        Ok(Outcome::Done(ToolOutput { structured: Some(value), .. })) => Ok(value),
        Ok(Outcome::Done(output)) => Ok(json!({ "content": output.content })),
        Ok(Outcome::InputRequired { .. }) => Err(Box::new(unanswered().into())),
        Err(fault) => Err(Box::new(fault.error.into())),
    }
}

/// A call that failed, and what of its result stands beside the error: each device's part of it.
struct Failed {
    error: ErrorBody,
    beside: Map<String, Value>,
}

impl From<ErrorBody> for Failed {
    fn from(error: ErrorBody) -> Failed {
        Failed { error, beside: Map::new() }
    }
}

/// A tool that failed in words: with a code where it gave one (`{"error": {"code", "message", "retryable"}}`), and otherwise
/// the request is at fault, since a tool that is at fault has a [`Fault`].
fn failure(mut output: ToolOutput) -> Failed {
    let mut beside = match output.structured.take() {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    match beside.remove("error").and_then(|error| serde_json::from_value(error).ok()) {
        Some(error) => Failed { error, beside },
        None => ErrorBody::new(ErrorCode::BadRequest, output.words()).into(),
    }
}

/// Over HTTP nobody can be asked back.
pub(super) fn unanswered() -> ErrorBody {
    let why = "this tool has a question first, which cannot be put over REST; call it over MCP or over the WebSocket";
    ErrorBody::new(ErrorCode::Unsupported, why)
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
