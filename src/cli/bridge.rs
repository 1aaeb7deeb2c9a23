//! Standard input and output as a door of MCP: each line is carried to a running hub's `/mcp` and what comes back is
//! written as lines. Knows of MCP what it needs to find the way: sessions, versions and which answer ends a request.
//! Source: MCP, "Transports", stdio.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::gateway::mcp::{DOOR_HEADER, DOOR_STDIO};
use crate::mcp::rpc::{self, INTERNAL_ERROR, Id, Message, RpcError};
use crate::net::https::{Https, read_bounded};
use crate::net::sse::{EVENT_BYTES_MAX, Parser};

/// The longest line, bytes: what the hub takes as a body, and some air.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lines on the way in and out.
const LINES_MAX: usize = 64;

/// What is under way when the input ends may still be answered for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The longest answer in one piece, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often a stream that broke off is asked for again, and the pause before.
const RESUMES_MAX: usize = 30;
const RESUME_PAUSE: Duration = Duration::from_millis(500);

/// Where the hub is, and what lets one in.
#[derive(Clone)]
pub struct Hub {
    /// `http://127.0.0.1:8000`
    pub base: String,
    pub token: Option<String>,
}

impl Hub {
    pub fn of(hub: &super::hub::Hub) -> Hub {
        Hub { base: hub.base().to_owned(), token: hub.token().map(ToOwned::to_owned) }
    }
}

/// Until the input ends. The error is for whoever started it: there is no hub, or it lets nobody in.
pub async fn run(hub: Hub) -> anyhow::Result<()> {
    let bridge = Arc::new(Bridge {
        client: Https::new(),
        hub,
        session: Mutex::default(),
        running: Mutex::default(),
        news: Mutex::default(),
    });
    bridge.greet().await?;
    let (out, written) = write_lines();
    let mut lines = read_lines();
    let mut working = JoinSet::new();
    while let Some(line) = lines.recv().await {
        while working.try_join_next().is_some() {}
        bridge.take(line, &out, &mut working).await;
    }
    let all = async { while working.join_next().await.is_some() {} };
    // Streams of news never end by themselves.
    let _ = tokio::time::timeout(LAST_WORDS, all).await;
    working.shutdown().await;
    bridge.news.lock().unwrap_or_else(PoisonError::into_inner).take().inspect(AbortHandle::abort);
    bridge.leave().await;
    drop(out);
    // What is written is written, or nobody reads any more.
    let _ = tokio::time::timeout(LAST_WORDS, written).await;
    Ok(())
}

struct Bridge {
    client: Https,
    hub: Hub,
    session: Mutex<Session>,
    /// Requests of 2026-07-28 under way, which end with their stream.
    running: Mutex<HashMap<Id, AbortHandle>>,
    /// The reading of the session's stream that belongs to no request.
    news: Mutex<Option<AbortHandle>>,
}

#[derive(Default, Clone)]
struct Session {
    id: Option<String>,
    version: Option<String>,
}

impl Bridge {
    /// Finds out whether anybody is there before a client believes so.
    async fn greet(&self) -> anyhow::Result<()> {
        let request = self.request(Method::GET, "/healthz", Bytes::new())?;
        let sent = self.client.send(request).await;
        let answer = sent.with_context(|| format!("no hub at {}; is it running? (`hearth serve`)", self.hub.base))?;
        match answer.status().as_u16() {
            200 => Ok(()),
            status => bail!("what answers at {} is no hub: HTTP {status}", self.hub.base),
        }
    }

    async fn take(self: &Arc<Bridge>, line: String, out: &mpsc::Sender<String>, working: &mut JoinSet<()>) {
        let id = match rpc::parse(&line) {
            Ok(Message::Request { id, method, .. }) if &*method == "initialize" => {
                // Whatever comes next belongs to the session that this begins.
                self.carry(line, Some(id), out.clone()).await;
                if self.session().id.is_some() {
                    let news = tokio::spawn(self.clone().hear_news(out.clone())).abort_handle();
                    // One that began again hears the news of the new session alone.
                    let before = self.news.lock().unwrap_or_else(PoisonError::into_inner).replace(news);
                    before.inspect(AbortHandle::abort);
                }
                return;
            }
            Ok(Message::Request { id, .. }) => Some(id),
            Ok(Message::Notification { method, params }) if &*method == "notifications/cancelled" => {
                if self.cancel(params) {
                    return;
                }
                None
            }
            Ok(_) => None,
            Err((id, error)) => {
                // The writer ends with the program.
                let _ = out.send(rpc::error(id.as_ref(), &error)).await;
                return;
            }
        };
        let is_stateless = self.session().id.is_none();
        let bridge = self.clone();
        let out = out.clone();
        let work = {
            let id = id.clone();
            async move {
                bridge.carry(line, id.clone(), out).await;
                if let Some(id) = id {
                    bridge.running().remove(&id);
                }
            }
        };
        match id.filter(|_| is_stateless) {
            Some(id) => {
                // Not begun before it is written down: this thread is the only one.
                let mut running = self.running();
                running.insert(id, working.spawn(work));
            }
            // An answer or a notification goes before what follows it.
            None if !is_stateless => drop(working.spawn(work)),
            None => work.await,
        }
    }

    /// Gives a request up that is under way; false: it is the session's to do so.
    fn cancel(&self, params: Option<&RawValue>) -> bool {
        let id = rpc::params::<Value>(params)
            .ok()
            .and_then(|params| serde_json::from_value(params["requestId"].clone()).ok());
        let task = id.and_then(|id: Id| self.running().remove(&id));
        task.map(|task| task.abort()).is_some()
    }

    /// Carries one message there and what it brings back here.
    async fn carry(&self, line: String, id: Option<Id>, out: mpsc::Sender<String>) {
        if let Err(error) = self.exchange(line, id.as_ref(), &out).await
            && let Some(id) = id
        {
            let error = RpcError::new(INTERNAL_ERROR, format!("{error:#}"));
            // The writer ends with the program.
            let _ = out.send(rpc::error(Some(&id), &error)).await;
        }
    }

    async fn exchange(&self, line: String, id: Option<&Id>, out: &mpsc::Sender<String>) -> anyhow::Result<()> {
        let answer = self.client.send(self.request(Method::POST, "/mcp", line.into())?).await?;
        let status = answer.status().as_u16();
        let session = answer.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        if is_stream(&answer) {
            return self.listen(answer.into_body(), id, out).await;
        }
        let text = read_bounded(answer.into_body(), ANSWER_BYTES_MAX, Duration::MAX).await;
        let message: Option<Box<RawValue>> = serde_json::from_slice(&text).ok();
        match (status, message) {
            (202 | 204, _) => Ok(()),
            (401, _) => bail!("the hub asks for a token: set HEARTH_TOKEN, or use --token"),
            // A message of JSON-RPC, with this request's id where it is an answer to it.
            (_, Some(message)) if is_message(&message) => {
                if let Some(session) = session {
                    let result: Value = serde_json::from_str(message.get())?;
                    let version = result["result"]["protocolVersion"].as_str().map(ToOwned::to_owned);
                    *self.session.lock().unwrap_or_else(PoisonError::into_inner) =
                        Session { id: Some(session), version };
                }
                // An error that names no request is this one's all the same.
                let own = match (rpc::parse(message.get()), id) {
                    (Ok(Message::Error { id: None, error }), Some(id)) => rpc::error(Some(id), &error),
                    (Ok(Message::Error { id: None, .. }), None) => return Ok(()),
                    _ => message.get().to_owned(),
                };
                out.send(own).await.context("nobody reads")
            }
            _ => bail!("the hub answers with HTTP {status}"),
        }
    }

    /// Writes what a stream brings, until the answer to `id` has come; one that breaks off before is asked for again.
    async fn listen(&self, mut body: Incoming, id: Option<&Id>, out: &mpsc::Sender<String>) -> anyhow::Result<()> {
        let mut last_id = String::new();
        for _ in 0..RESUMES_MAX {
            if self.read_events(body, id, out, &mut last_id).await? {
                return Ok(());
            }
            if last_id.is_empty() {
                bail!("the hub hung up before it answered");
            }
            tokio::time::sleep(RESUME_PAUSE).await;
            let mut request = self.request(Method::GET, "/mcp", Bytes::new())?;
            request.headers_mut().insert("last-event-id", HeaderValue::try_from(last_id.as_str())?);
            let answer = self.client.send(request).await?;
            if !is_stream(&answer) {
                bail!("the hub hung up before it answered, and does not know the request any more");
            }
            body = answer.into_body();
        }
        bail!("the hub hung up {RESUMES_MAX} times before it answered")
    }

    /// True: the answer has come.
    async fn read_events(
        &self,
        mut body: Incoming,
        id: Option<&Id>,
        out: &mpsc::Sender<String>,
        last_id: &mut String,
    ) -> anyhow::Result<bool> {
        let mut parser = Parser::new(EVENT_BYTES_MAX);
        while let Some(Ok(frame)) = body.frame().await {
            let Some(mut piece) = frame.data_ref().map(|piece| &piece[..]) else { continue };
            while let Some(event) = parser.next(&mut piece)? {
                *last_id = String::from_utf8_lossy(event.id).into_owned();
                if event.data.is_empty() {
                    continue;
                }
                let text = std::str::from_utf8(event.data).context("the hub's answer is not UTF-8")?.to_owned();
                let is_answer = match rpc::parse(&text) {
                    Ok(Message::Result { id: answered, .. }) => Some(&answered) == id,
                    Ok(Message::Error { id: answered, .. }) => answered.as_ref() == id,
                    _ => false,
                };
                out.send(text).await.context("nobody reads")?;
                if is_answer {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The session's stream that belongs to no request, for as long as there is one.
    async fn hear_news(self: Arc<Bridge>, out: mpsc::Sender<String>) {
        let mut last_id = String::new();
        loop {
            let Ok(mut request) = self.request(Method::GET, "/mcp", Bytes::new()) else { return };
            if let Ok(id) = HeaderValue::try_from(last_id.as_str())
                && !last_id.is_empty()
            {
                request.headers_mut().insert("last-event-id", id);
            }
            match self.client.send(request).await {
                Ok(answer) if is_stream(&answer) => {
                    if self.read_events(answer.into_body(), None, &out, &mut last_id).await.is_err() {
                        return;
                    }
                }
                Ok(_) => return,
                Err(_) => {}
            }
            tokio::time::sleep(RESUME_PAUSE).await;
        }
    }

    /// Says goodbye to the session.
    async fn leave(&self) {
        if self.session().id.is_some()
            && let Ok(request) = self.request(Method::DELETE, "/mcp", Bytes::new())
        {
            // A hub that is gone has forgotten it.
            let _ = tokio::time::timeout(LAST_WORDS, self.client.send(request)).await;
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let session = self.session();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.hub.base));
        let text = |value: &str| HeaderValue::try_from(value).context("a header cannot hold this");
        let headers = request.headers_mut().with_context(|| format!("{} is no address of a hub", self.hub.base))?;
        headers.insert(DOOR_HEADER, HeaderValue::from_static(DOOR_STDIO));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(token) = &self.hub.token {
            headers.insert(AUTHORIZATION, text(&format!("Bearer {token}"))?);
        }
        if let Some(id) = &session.id {
            headers.insert("mcp-session-id", text(id)?);
        }
        if let Some(version) = &session.version {
            headers.insert("mcp-protocol-version", text(version)?);
        }
        Ok(request.body(Full::new(body))?)
    }

    fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Id, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_stream(answer: &Response<Incoming>) -> bool {
    let mime = answer.headers().get(CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).unwrap_or_default();
    mime.starts_with("text/event-stream")
}

fn is_message(message: &RawValue) -> bool {
    rpc::parse(message.get()).is_ok()
}

/// The lines of standard input, read on a thread of its own: there is no other way to wait for it.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match input.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if !text.is_empty() && sender.blocking_send(text).is_err() {
                return;
            }
        }
    });
    lines
}

/// Writes lines to standard output, each at once; the second ends when all are written. On a thread of its own as well:
/// whoever does not read holds nobody up but themselves.
fn write_lines() -> (mpsc::Sender<String>, oneshot::Receiver<()>) {
    let (sender, mut lines) = mpsc::channel::<String>(LINES_MAX);
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            let mut out = std::io::stdout().lock();
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        // Nobody may be waiting any more.
        let _ = done.send(());
    });
    (sender, written)
}
