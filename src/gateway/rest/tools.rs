//! `/api/v1/tools`: every tool that the caller may call, by name, and the call itself, whole or as a stream of what happens.
//! Checks no argument: the tool's owner does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::arguments::{self, escape};
use super::handler::{read_object, unanswered};
use super::problem;
use crate::auth;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Request, parameter, principal};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};
use crate::mcp::{Call, Definition, Fault, Note, Origin, Outcome, Reach};

/// Tools of one answer where nobody says how many, and the most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 200;

/// Steps that wait for a client; those beyond are left out, since the next one says more.
const NOTES_LEN: usize = 64;

/// Between two signs of life of a call that says nothing. Shorter than any proxy's patience.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const KEEP_ALIVE_COMMENT: &[u8] = b": the tool is at work\n\n";

/// `GET /api/v1/tools?search=&limit=&cursor=`: by name; with `search` those that have all its words.
pub async fn list(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let asked = match Asked::read(request.uri().query().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(why) => return problem(&ErrorBody::new(ErrorCode::BadRequest, why)),
    };
    let tools = context.tools.tools(&principal(&request));
    let mut meant = tools
        .iter()
        .filter(|tool| asked.after.as_deref().is_none_or(|after| &*tool.name > after) && asked.is_meant(tool));
    let page: Vec<&Arc<Definition>> = meant.by_ref().take(asked.limit).collect();
    let mut answer = json!({ "tools": page.iter().map(|tool| shown(tool)).collect::<Vec<_>>() });
    let next = meant.next().and(page.last()).map(|last| last.name.clone());
    let Some(cursor) = next else { return respond::json(StatusCode::OK, &answer) };
    let mut again = format!("limit={}&cursor={}", asked.limit, escape(&cursor));
    if !asked.search.is_empty() {
        again.push_str(&format!("&search={}", escape(&asked.search.join(" "))));
    }
    answer["next_cursor"] = json!(cursor);
    let mut response = respond::json(StatusCode::OK, &answer);
    let link = HeaderValue::from_str(&format!("</api/v1/tools?{again}>; rel=\"next\""));
    response.headers_mut().insert(LINK, link.expect("escaped text is a header value"));
    response
}

/// `GET /api/v1/tools/{name}`.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let (name, who) = (name_of(&request), principal(&request));
    // What one may not call one need not know of.
    let found = context.tools.tool(&name).filter(|tool| auth::may_call(&who, &tool.name, tool.access).is_ok());
    match found {
        Some(tool) => respond::json(StatusCode::OK, &shown(&tool)),
        None => problem(&ErrorBody::new(ErrorCode::NotFound, format!("there is no tool called {name:?} for you"))),
    }
}

/// `POST /api/v1/tools/{name}`: calls it with the body as its arguments. Whoever hangs up cancels the call.
pub async fn call(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let (tool, who, headers) = (name_of(&request).into(), principal(&request), request.headers().clone());
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        let why = "a tool takes its arguments in the body; no query is read here";
        return problem(&ErrorBody::new(ErrorCode::BadRequest, why));
    }
    let arguments = match read_object(request).await {
        Ok(arguments) => arguments,
        Err(refused) => return *refused,
    };
    let call = Call { tool, arguments, who, reach: Reach::default() };
    if wants_events(&headers) {
        return Events::of(context, call).answer().await;
    }
    match came(context.tools.call(call).await) {
        Ok(result) => respond::json(StatusCode::OK, &result),
        Err(error) => problem(&error),
    }
}

fn name_of(request: &Request) -> String {
    let raw = parameter(request, "name");
    arguments::unescape(&raw, false).unwrap_or(raw)
}

/// What was asked of the list.
#[derive(Debug)]
struct Asked {
    limit: usize,
    /// Names up to this one have been seen.
    after: Option<String>,
    /// Words in lower case.
    search: Vec<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Asked, String> {
        let mut asked = Asked { limit: LIMIT_DEFAULT, after: None, search: Vec::new() };
        let mut seen = Vec::new();
        for (name, value) in arguments::pairs(query)? {
            match name.as_str() {
                _ if seen.contains(&name) => return Err(format!("the query says {name:?} twice")),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    asked.limit = limit.ok_or_else(|| format!("limit: 1 to {LIMIT_MAX} is meant"))?;
                }
                "cursor" => asked.after = Some(value.clone()),
                "search" => asked.search = value.to_lowercase().split_whitespace().map(str::to_owned).collect(),
                _ => return Err(format!("the query says {name:?}; what can be asked here: cursor, limit, search")),
            }
            seen.push(name);
        }
        Ok(asked)
    }

    fn is_meant(&self, tool: &Definition) -> bool {
        if self.search.is_empty() {
            return true;
        }
        let words =
            [&*tool.name, tool.title.as_deref().unwrap_or_default(), &tool.description].join("\n").to_lowercase();
        self.search.iter().all(|word| words.contains(word))
    }
}

/// A tool as MCP lists it, and what only the hub knows of it.
fn shown(tool: &Definition) -> Value {
    let mut shown = tool.to_value();
    shown["access"] = json!(tool.access);
    shown["pinned"] = json!(tool.pinned);
    if let Origin::Server { slug, .. } = &tool.origin {
        shown["server"] = json!(slug);
    }
    shown
}

/// A result as this path answers it; a tool that failed in words is a result, too.
fn came(outcome: Result<Outcome, Fault>) -> Result<Value, ErrorBody> {
    match outcome {
        Ok(Outcome::Done(output)) => {
            let mut answer = Map::new();
            answer.insert("content".into(), output.content.into());
            if let Some(structured) = output.structured {
                answer.insert("structured".into(), structured);
            }
            answer.insert("is_error".into(), output.is_error.into());
            Ok(answer.into())
        }
        Ok(Outcome::InputRequired { .. }) => Err(unanswered()),
        Err(fault) => Err(fault.error),
    }
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.map(str::trim).any(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// A call whose steps become events. Dropped with the body, and so with the connection: that cancels the call.
struct Events {
    call: BoxFuture<'static, Result<Outcome, Fault>>,
    notes: mpsc::Receiver<Note>,
    keep_alive: Interval,
}

/// What happens next in a call.
enum Next {
    Step(Bytes),
    End(Result<Value, ErrorBody>),
}

impl Events {
    fn of(context: Arc<Context>, mut call: Call) -> Events {
        let (sender, notes) = mpsc::channel(NOTES_LEN);
        call.reach.progress = Some(Arc::new(move |note| {
            // Full: the client is slow, and the next step says more than this one.
            let _ = sender.try_send(note);
        }));
        Events { call: Box::pin(async move { context.tools.call(call).await }), notes, keep_alive: keep_alive() }
    }

    /// The answer's head waits for the first news, so that what is refused is refused with a status.
    async fn answer(mut self) -> Response {
        let first = match self.next().await {
            Next::End(Err(error)) => return problem(&error),
            first => first,
        };
        let events = stream::unfold((Some(first), Some(self)), |(first, events)| async move {
            let mut events = events?;
            let next = match first {
                Some(first) => first,
                None => events.next().await,
            };
            let (bytes, rest) = match next {
                Next::Step(bytes) => (bytes, Some(events)),
                Next::End(came) => {
                    // The last steps came with the end.
                    let mut bytes: Vec<u8> =
                        std::iter::from_fn(|| events.notes.try_recv().ok()).flat_map(|note| step(&note)).collect();
                    bytes.extend_from_slice(&match came {
                        Ok(result) => event("result", &result),
                        Err(error) => event("error", &json!(error)),
                    });
                    (bytes.into(), None)
                }
            };
            Some((Ok::<_, Infallible>(Frame::data(bytes)), (None, rest)))
        });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(events)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            Some(note) = self.notes.recv() => Next::Step(step(&note).into()),
            outcome = &mut self.call => Next::End(came(outcome)),
            _ = self.keep_alive.tick() => Next::Step(Bytes::from_static(KEEP_ALIVE_COMMENT)),
        }
    }
}

fn step(note: &Note) -> Vec<u8> {
    let mut told = json!({ "progress": note.progress });
    if let Some(total) = note.total {
        told["total"] = json!(total);
    }
    if let Some(message) = &note.message {
        told["message"] = json!(message);
    }
    event("progress", &told)
}

/// WHATWG HTML §9.2.6; JSON has no line breaks of its own.
fn event(name: &str, data: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "a driver: its comments go by the clock")]
fn keep_alive() -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
