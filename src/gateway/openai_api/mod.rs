//! The door for programs that speak OpenAI's API: `POST /v1/chat/completions`, `GET /v1/models`. Any chat app can use the hub
//! through it, with the hub's providers, fallbacks and budgets behind. Here requests are taken and answers sent; `request`,
//! `names` and `answer` are pure. Keeps nothing: what is said here is in no history.
//! Source: OpenAI API reference, "Create chat completion", "The chat completion chunk object", "List models".

mod answer;
mod error;
mod names;
mod request;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use self::answer::{Chunks, Whole};
use self::names::Names;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{News, TurnEvent};
use crate::common::ids;
use crate::common::limits::TURN_QUEUE_LEN;
use crate::common::who::Door;
use crate::gateway::context::{Context, Request, parameter, principal, read_body_of};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Response};
use crate::router::{Ask, Input, Job, Mode, TurnHandle, TurnKey};
use crate::store::ModelProfile;

/// The longest request, bytes: a long conversation with some pictures in it.
const REQUEST_BYTES_MAX: usize = 24 * 1024 * 1024;

/// A stream without a word for so long gets a comment, so that no proxy takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// There is one turn to a queue.
const KEY: TurnKey = 0;

/// An error that was found before the request came here, in this door's words.
pub fn refused(error: &ErrorBody) -> Response {
    error::response(error)
}

/// `POST /v1/chat/completions`.
pub async fn complete(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let who = Arc::new(principal(&request).through(Door::Openai));
    let body = match read_body_of(request, REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(refused) => return error::of_problem(refused),
    };
    let wanted = match request::read(&body) {
        Ok(wanted) => wanted,
        Err(refused) => return error::refused(&refused),
    };
    let names = match known_names(&context).await {
        Ok(names) => names,
        Err(error) => return error::response(&error),
    };
    let Some(choice) = names.find(&wanted.model) else { return error::response(&names.missing(&wanted.model)) };
    let ask = Ask {
        input: Input::Brought(wanted.brought),
        profile: choice.profile,
        provider: choice.provider,
        model: choice.model,
        mode: Mode::Auto,
        speak: None,
        confirms: false,
    };
    let (out, news) = mpsc::channel(TURN_QUEUE_LEN);
    let turn = context.sessions.router.start(Job::Chat(ask), who, KEY, out);
    let id = format!("chatcmpl-{}", ids::fresh('v'));
    if wanted.stream {
        let chunks = Chunks::new(id, wanted.model, unix_s(), wanted.include_usage);
        stream(Answering { news, chunks, _turn: turn, keep_alive: keep_alive(), over: false }).await
    } else {
        whole(Whole::new(id, wanted.model, unix_s()), news, turn).await
    }
}

/// `GET /v1/models`.
pub async fn models(context: Arc<Context>, _caller: Caller, _request: Request) -> Response {
    match known_names(&context).await {
        Ok(names) => {
            let data: Vec<_> = names.all().map(|name| model(&name)).collect();
            respond::json(StatusCode::OK, &json!({ "object": "list", "data": data }))
        }
        Err(error) => error::response(&error),
    }
}

/// `GET /v1/models/{id}`, whose slashes may come as they are.
pub async fn one_model(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let name = parameter(&request, "id").replace("%2F", "/").replace("%2f", "/");
    match known_names(&context).await {
        Ok(names) if names.find(&name).is_some() => respond::json(StatusCode::OK, &model(&name)),
        Ok(names) => error::response(&names.missing(&name)),
        Err(error) => error::response(&error),
    }
}

fn model(name: &str) -> serde_json::Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "hearth" })
}

async fn known_names(context: &Context) -> Result<Names, ErrorBody> {
    let profiles = context.store.list::<ModelProfile>().await;
    let profiles = profiles.map_err(|error| ErrorBody::new(ErrorCode::Internal, error.to_string()))?;
    let rows = context.sessions.router.asked_by_name();
    Ok(Names::new(profiles.into_iter().map(|profile| profile.name), rows))
}

/// The answer in one piece. Whoever hangs up meanwhile ends the turn: this future is dropped with the connection.
async fn whole(mut whole: Whole, mut news: mpsc::Receiver<(TurnKey, TurnEvent)>, turn: TurnHandle) -> Response {
    while let Some((_, event)) = news.recv().await {
        match event.news {
            News::Done(summary) => return respond::json(StatusCode::OK, &whole.done(&summary)),
            News::Failed(failure) => return error::response(&failure.error),
            news => whole.take(&news),
        }
    }
    drop(turn);
    error::response(&ErrorBody::new(ErrorCode::Internal, "the turn ended without an end"))
}

/// The answer as events. Its head waits for the first news, so that what fails at once fails with a status.
async fn stream(mut answering: Answering) -> Response {
    let mut first = Vec::new();
    while first.is_empty() {
        tokio::select! {
            news = answering.news.recv() => match news {
                Some((_, TurnEvent { news: News::Failed(failure), .. })) => return error::response(&failure.error),
                Some((_, event)) => answering.take(&event.news, &mut first),
                None => break,
            },
            // Somebody waits long: the head and a comment say that it is heard.
            _ = answering.keep_alive.tick() => first.extend_from_slice(KEEP_ALIVE_COMMENT),
        }
    }
    let opened = Opened { first: Some(first.into()), answering };
    let mut response = Response::new(opened.boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

const KEEP_ALIVE_COMMENT: &[u8] = b": hearth is waiting for the provider\n\n";

/// A turn whose news become events.
struct Answering {
    news: mpsc::Receiver<(TurnKey, TurnEvent)>,
    chunks: Chunks,
    /// Dropped with the body, and so with the connection: that cancels the turn.
    _turn: TurnHandle,
    keep_alive: Interval,
    over: bool,
}

impl Answering {
    fn take(&mut self, news: &News, bytes: &mut Vec<u8>) {
        self.over |= news.is_last();
        self.chunks.write(news, bytes);
    }
}

/// The body of a stream that has begun.
struct Opened {
    first: Option<Bytes>,
    answering: Answering,
}

impl hyper::body::Body for Opened {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let mut bytes = Vec::new();
        while !self.answering.over {
            match self.answering.news.poll_recv(cx) {
                Poll::Ready(Some((_, event))) => self.answering.take(&event.news, &mut bytes),
                Poll::Ready(None) => self.answering.over = true,
                Poll::Pending if bytes.is_empty() => {
                    ready!(self.answering.keep_alive.poll_tick(cx));
                    bytes.extend_from_slice(KEEP_ALIVE_COMMENT);
                    break;
                }
                Poll::Pending => break,
            }
        }
        if bytes.is_empty() {
            return Poll::Ready(None);
        }
        self.answering.keep_alive.reset();
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver: its comments go by the clock")]
fn keep_alive() -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[expect(clippy::disallowed_methods, reason = "the answer is dated with the moment at which it is given")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
