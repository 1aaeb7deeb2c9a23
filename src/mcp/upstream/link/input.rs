//! What a server asks for in the midst of a call: put to whoever called, in the way of either era, or given back where
//! nobody there can be asked.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};

use super::{Ask, Shared, Ticket};
use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Peer, Reach, Resumption};
use crate::mcp::rpc::{self, Id, RpcError};
use crate::mcp::upstream::client::elicit;
use crate::mcp::upstream::client::era::{self, Era};
use crate::mcp::upstream::connection::UpstreamError;

/// How often one call may come back and ask for more.
const ROUNDS_MAX: usize = 16;

/// Questions in one `InputRequiredResult`.
pub(super) const QUESTIONS_MAX: usize = 32;

impl Shared {
    /// A request, as often as the server wants more to be known first (MCP 2026-07-28, "Multi Round-Trip Requests").
    pub(super) async fn rounds(
        self: &Arc<Shared>,
        method: &str,
        params: Value,
        mut reach: Reach,
    ) -> Result<Value, UpstreamError> {
        let mut params = params;
        if let Some(resumption) = reach.resumption.take() {
            if let Some(ticket) = self.parked.take(&resumption) {
                return self.resume(ticket, method, resumption, &reach).await;
            }
            if self.era() == Era::Older {
                let why = "this question is not open any more: make the call again";
                return Err(UpstreamError::Answered(Fault::new(ErrorCode::NotFound, why)));
            }
            resume_with(&mut params, resumption);
        }
        for _ in 0..ROUNDS_MAX {
            let result = match self.put(method, params.clone(), &reach).await {
                // It wants headers of a tool whose schema was not seen on this connection yet.
                Err(UpstreamError::Answered(fault)) if fault.code == era::HEADER_MISMATCH && method == "tools/call" => {
                    self.put("tools/list", json!({}), &Reach::default()).await?;
                    self.put(method, params.clone(), &reach).await?
                }
                answer => answer?,
            };
            let asks = era::wants_input(&result) && self.era() == Era::Newest;
            let Some(peer) = reach.peer.as_ref().filter(|peer| asks && !peer.comes_back()) else {
                return Ok(result);
            };
            let resumption = self.ask_all(peer, &result).await?;
            resume_with(&mut params, resumption);
        }
        let why = format!("the server has asked for more {ROUNDS_MAX} times without an answer");
        Err(UpstreamError::Answered(Fault::new(ErrorCode::Internal, why)))
    }

    /// Waits for the answer of one request, and puts what the server asks meanwhile to the caller.
    pub(super) async fn wait(
        self: &Arc<Shared>,
        mut ticket: Ticket,
        method: &str,
        reach: &Reach,
    ) -> Result<Value, UpstreamError> {
        let mut answering: FuturesUnordered<BoxFuture<'static, (Id, Result<Value, RpcError>)>> =
            FuturesUnordered::new();
        let mut can_be_asked = true;
        loop {
            tokio::select! {
                biased;
                answer = &mut ticket.answer => {
                    let gone = || Err(UpstreamError::Gone("the connection is gone".into()));
                    let mut answer = answer.unwrap_or_else(|_| gone());
                    if let Ok(result) = &mut answer {
                        self.wire().learn(method, result);
                    }
                    return answer;
                }
                // Whoever asks without waiting for answers waits here.
                ask = ticket.asks.recv(), if can_be_asked && answering.len() < QUESTIONS_MAX => match (ask, &reach.peer) {
                    (Some(ask), Some(peer)) => answering.push(put_to(Arc::clone(peer), ask)),
                    // Servers ask for roots whenever they like; nobody's call is to stop for that.
                    (Some(ask), None) if &*ask.method == "roots/list" => self.answer(&ask.id, Ok(json!({ "roots": [] }))),
                    (Some(ask), None) => return Ok(self.parked.park(ticket, ask)),
                    (None, _) => can_be_asked = false,
                },
                Some((id, answer)) = answering.next(), if !answering.is_empty() => self.answer(&id, answer),
            }
        }
    }

    /// A call that was given back with a question, and has its answers now.
    async fn resume(
        self: &Arc<Shared>,
        parked: super::park::Parked,
        method: &str,
        mut resumption: Resumption,
        reach: &Reach,
    ) -> Result<Value, UpstreamError> {
        let (ticket, asked) = parked;
        for (key, ask) in asked {
            let answer = resumption.responses.remove(&key);
            let answer = answer.map(|answer| finished(&ask, answer));
            let refusal = || RpcError::new(rpc::INTERNAL_ERROR, "the client gave no answer");
            self.answer(&ask.id, answer.ok_or_else(refusal));
        }
        self.wait(ticket, method, reach).await
    }

    /// Everything that an `InputRequiredResult` asks, side by side.
    async fn ask_all(&self, peer: &Arc<dyn Peer>, result: &Value) -> Result<Resumption, UpstreamError> {
        let none = Map::new();
        let requests = result.get("inputRequests").and_then(Value::as_object).unwrap_or(&none);
        let state = result.get("requestState").and_then(Value::as_str).map(str::to_owned);
        if requests.len() > QUESTIONS_MAX || (requests.is_empty() && state.is_none()) {
            let why = "it asks for more, and says neither what nor for which call";
            return Err(UpstreamError::Garbage(why.into()));
        }
        let asking = requests.iter().map(|(key, request)| async move {
            let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
            let params = request.get("params").cloned().unwrap_or_else(|| json!({}));
            let answer = ask(peer, method, params).await.map_err(UpstreamError::Answered)?;
            Ok::<_, UpstreamError>((key.clone(), answer))
        });
        let responses = try_join_all(asking).await?.into_iter().collect();
        Ok(Resumption { responses, state })
    }
}

/// "The client MUST echo back the exact value", and must not send one where none came.
fn resume_with(params: &mut Value, resumption: Resumption) {
    if params.is_null() {
        *params = json!({});
    }
    let Some(params) = params.as_object_mut() else { return };
    params.insert("inputResponses".into(), resumption.responses.into());
    match resumption.state {
        Some(state) => drop(params.insert("requestState".into(), state.into())),
        None => drop(params.remove("requestState")),
    }
}

/// Asks the caller, who may not be able to answer.
async fn ask(peer: &Arc<dyn Peer>, method: &str, params: Value) -> Result<Value, Fault> {
    let needed = match method {
        "elicitation/create" => "elicitation",
        "sampling/createMessage" => "sampling",
        "roots/list" => "roots",
        _ => return Err(Fault::of_rpc(rpc::METHOD_NOT_FOUND, "the client has no such method", None)),
    };
    if peer.capabilities().get(needed).is_none_or(Value::is_null) {
        if method == "roots/list" {
            return Ok(json!({ "roots": [] }));
        }
        let why = format!("whoever made this call cannot be asked for {needed}");
        return Err(Fault::of_rpc(rpc::METHOD_NOT_FOUND, &why, None));
    }
    let answer = peer.ask(method, params.clone()).await?;
    Ok(if needed == "elicitation" { elicit::with_defaults(&params, answer) } else { answer })
}

fn put_to(peer: Arc<dyn Peer>, asked: Ask) -> BoxFuture<'static, (Id, Result<Value, RpcError>)> {
    Box::pin(async move {
        let Ask { id, method, params } = asked;
        let answer = ask(&peer, &method, params).await;
        let told = |fault: Fault| RpcError { code: fault.code, message: fault.error.message, data: fault.data };
        (id, answer.map_err(told))
    })
}

/// An answer that came through an `InputRequiredResult`.
fn finished(ask: &Ask, answer: Value) -> Value {
    if &*ask.method == "elicitation/create" { elicit::with_defaults(&ask.params, answer) } else { answer }
}
