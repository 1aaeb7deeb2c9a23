//! The requests of 2026-07-28: each says for itself who asks and in which words, and is answered without anything being
//! remembered but calls that wait for their client to come back.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::common::who::Principal;
use crate::mcp::call::{Fault, Peer, Reach, Resumption};
use crate::mcp::rpc::{self, INTERNAL_ERROR, INVALID_PARAMS, RpcError};
use crate::mcp::server::flight::{Flight, FlightPeer, Manner, good_until};
use crate::mcp::server::head::{Head, Line, PROMOTED};
use crate::mcp::server::listen::{Filter, Listening};
use crate::mcp::server::outlet::Said;
use crate::mcp::server::peer::{self, lacks};
use crate::mcp::server::requests::{Asked, Done, is_work, unknown};
use crate::mcp::server::seal::{Bound, Held, fingerprint};
use crate::mcp::server::shape::{self, Keep};
use crate::mcp::server::stream::{Owner, Stream, status_of};
use crate::mcp::server::version::{
    Era, HEADER_MISMATCH, Level, META_CAPABILITIES, META_LEVEL, META_VERSION, STATELESS, UNSUPPORTED_VERSION,
};
use crate::mcp::server::{Answer, Can, INSTRUCTIONS, Request, Server, refuse};

/// How long what the hub is may be taken for fresh, milliseconds: as long as it runs, and it may be replaced by a newer one.
const DISCOVER_TTL_MS: u64 = 60_000;

/// What else there is besides the requests that take their time.
const AT_ONCE: [&str; 6] = [
    "server/discover",
    "subscriptions/listen",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
];

impl Server {
    pub(super) async fn stateless(
        self: &Arc<Server>,
        head: &Head,
        can: Can,
        request: Request,
        who: Arc<Principal>,
    ) -> Answer {
        let manner = match self.check(head, &request) {
            Ok(manner) => manner,
            Err(error) => return refuse(Some(&request.id), &error),
        };
        match &*request.method {
            "subscriptions/listen" => self.listen(can, request, who).await,
            method if is_work(method) => self.fly(can, request, manner, who).await,
            _ => {
                let id = request.id.clone();
                match self.at_hand(request, who).await {
                    Ok(result) => {
                        Answer::Message { status: 200, text: shape::envelope(&id, &result).into(), session: None }
                    }
                    Err(error) => {
                        let text = rpc::error(Some(&id), &error).into();
                        Answer::Message { status: status_of(&error), text, session: None }
                    }
                }
            }
        }
    }

    /// Whether a request is whole, in a revision that is served, and its headers say the same.
    fn check(&self, head: &Head, request: &Request) -> Result<Manner, RpcError> {
        let (version, manner) = read_meta(&request.params)?;
        match head.line("mcp-protocol-version") {
            _ if head.is_bridge => {}
            Line::One(said) if said == version => {}
            Line::One(_) | Line::Broken => {
                return Err(mismatch("the header MCP-Protocol-Version says something else than _meta".into()));
            }
            Line::Absent => return Err(mismatch("the header MCP-Protocol-Version is missing".into())),
        }
        if version != STATELESS {
            let shown: String = version.chars().take(64).collect();
            let error = RpcError::new(UNSUPPORTED_VERSION, "this revision is not served without a session");
            return Err(RpcError { data: Some(json!({ "supported": [STATELESS], "requested": shown })), ..error });
        }
        if !is_work(&request.method) && !AT_ONCE.contains(&&*request.method) {
            return Err(unknown(&request.method));
        }
        let tool = request.params.get("name").and_then(Value::as_str).filter(|_| &*request.method == "tools/call");
        let tool = tool.and_then(|name| self.requests.service.tool(name));
        // Hardly any schema has one, and reading it takes longer than all else here.
        let schema = tool.filter(|tool| tool.input.as_str().contains(PROMOTED)).map(|tool| tool.input.to_value());
        head.check(&request.method, &request.params, schema.as_ref()).map_err(mismatch)?;
        Ok(manner)
    }

    async fn at_hand(&self, request: Request, who: Arc<Principal>) -> Result<Arc<str>, RpcError> {
        if &*request.method == "server/discover" {
            let result = Map::from_iter([
                ("supportedVersions".to_owned(), json!([STATELESS])),
                ("capabilities".to_owned(), shape::capabilities()),
                ("instructions".to_owned(), INSTRUCTIONS.into()),
            ]);
            return Ok(self.requests.whole(Era::Stateless, result, Keep::For(DISCOVER_TTL_MS)));
        }
        let asked = Asked { era: Era::Stateless, method: request.method, params: request.params, who };
        match self.requests.answer(&asked, Reach::default()).await? {
            Done::Result(result) => Ok(result),
            Done::Input { .. } => Err(RpcError::new(INTERNAL_ERROR, "a list asks nothing")),
        }
    }

    async fn listen(self: &Arc<Server>, can: Can, request: Request, who: Arc<Principal>) -> Answer {
        let filter = match Filter::read(&request.params) {
            Ok(filter) if can.events => filter,
            Ok(_) => return Answer::Status(406),
            Err(error) => return refuse(Some(&request.id), &error),
        };
        let Some(permits) = self.place_to_listen(&who) else {
            let error = RpcError::new(INTERNAL_ERROR, "too many listen at the moment; try again later");
            return Answer::Message { status: 503, text: rpc::error(Some(&request.id), &error).into(), session: None };
        };
        let listening = Listening::begin(self.clone(), permits, request.id, filter, who).await;
        self.send(Stream::of_listening(listening), can, false).await
    }

    /// Sends a request on its way, or goes on with one that waits for what this one brings.
    async fn fly(self: &Arc<Server>, can: Can, request: Request, manner: Manner, who: Arc<Principal>) -> Answer {
        let Request { id, method, mut params } = request;
        let owner = Owner { user: who.user.clone(), request: fingerprint(&method, &params) };
        let Brought { responses, held } = match self.brought(&mut params, &owner) {
            Ok(brought) => brought,
            Err(error) => return refuse(Some(&id), &error),
        };
        let resumption = match held {
            Some(Held::Parked(parked)) => {
                let Some(flight) = self.parked.take(&parked) else {
                    let why = "the call that this goes on with is over; send the request without requestState";
                    return refuse(Some(&id), &RpcError::new(INVALID_PARAMS, why));
                };
                flight.resume(manner, responses.unwrap_or_default());
                return self.send(Stream::of_flight(self.clone(), flight, id, owner), can, false).await;
            }
            Some(Held::Wrapped(state)) => {
                Some(Resumption { responses: responses.unwrap_or_default(), state: Some(state) })
            }
            None => responses.map(|responses| Resumption { responses, state: None }),
        };
        let flight = Flight::new(manner);
        let stream = Stream::of_flight(self.clone(), flight.clone(), id.clone(), owner.clone());
        let asked = Asked { era: Era::Stateless, method, params, who };
        let reach = reach(&flight, resumption);
        let (server, flying) = (self.clone(), flight.clone());
        let working = async move {
            let said = match server.requests.answer(&asked, reach).await {
                Ok(Done::Result(result)) => Ok(result),
                Ok(Done::Input { requests, state }) => server.hand_out(&flying, &owner, requests, state),
                Err(error) => Err(error),
            };
            let said = match said {
                Ok(result) => Said::Result(id, result),
                Err(error) => Said::Error(id, error),
            };
            flying.outlet.change(|log| log.push(said));
        };
        flight.set_task(tokio::spawn(working).abort_handle());
        self.send(stream, can, false).await
    }

    /// What a request brings from one before: MCP `inputResponses` and `requestState`.
    fn brought(&self, params: &mut Map<String, Value>, owner: &Owner) -> Result<Brought, RpcError> {
        let wrong = |why: String| Err(RpcError::new(INVALID_PARAMS, why));
        let responses = match params.remove("inputResponses") {
            None => None,
            Some(Value::Object(responses)) if responses.values().all(Value::is_object) => Some(responses),
            Some(_) => return wrong("params.inputResponses must be an object of objects".into()),
        };
        let held = match params.remove("requestState") {
            None => None,
            Some(Value::String(state)) => {
                let bound = Bound { user: &owner.user, request: &owner.request };
                match self.seal.open(&state, bound, self.uptime()) {
                    Ok(held) => Some(held),
                    Err(broken) => return wrong(broken.to_string()),
                }
            }
            Some(_) => return wrong("params.requestState must be a text".into()),
        };
        Ok(Brought { responses, held })
    }

    /// A flight whose tool asks for something: it waits, and this is what goes out meanwhile.
    pub(super) fn park(&self, flight: &Arc<Flight>, owner: &Owner) -> Result<Arc<str>, RpcError> {
        let requests = flight.requests().unwrap_or_default();
        let Some(id) = self.parked.park(flight, &owner.user, self.now()) else {
            return Err(RpcError::new(
                INTERNAL_ERROR,
                "too many calls wait for an answer of their clients; try again later",
            ));
        };
        Ok(self.input_required(requests, Some(Held::Parked(id)), owner))
    }

    /// What a tool asks in the words of this revision, as far as the client can be asked.
    fn hand_out(
        &self,
        flight: &Flight,
        owner: &Owner,
        requests: Map<String, Value>,
        state: Option<String>,
    ) -> Result<Arc<str>, RpcError> {
        let capabilities = flight.manner().capabilities;
        let lacking = |request: &Value| -> Option<Fault> {
            let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
            lacks(&capabilities, method, request.get("params").unwrap_or(&Value::Null))
        };
        match requests.values().find_map(lacking) {
            Some(fault) => Err(shape::error(Era::Stateless, "", fault)),
            None => Ok(self.input_required(requests, state.map(Held::Wrapped), owner)),
        }
    }

    fn input_required(&self, requests: Map<String, Value>, held: Option<Held>, owner: &Owner) -> Arc<str> {
        let bound = Bound { user: &owner.user, request: &owner.request };
        let state = held.map(|held| self.seal.close(held, bound, good_until(self.uptime())));
        self.requests.whole(Era::Stateless, shape::input_required(requests, state), Keep::Unsaid)
    }
}

/// What a request brings from one before.
struct Brought {
    responses: Option<Map<String, Value>>,
    held: Option<Held>,
}

/// The revision, and how its client wants to be treated.
fn read_meta(params: &Map<String, Value>) -> Result<(&str, Manner), RpcError> {
    let wrong = |key: &str| RpcError::new(INVALID_PARAMS, format!("params._meta has no (good) {key}"));
    let meta = params.get("_meta");
    let field = |key: &str| meta.and_then(|meta| meta.get(key));
    let version = field(META_VERSION).and_then(Value::as_str).ok_or_else(|| wrong(META_VERSION))?;
    let capabilities = field(META_CAPABILITIES).filter(|value| value.is_object());
    let capabilities = capabilities.ok_or_else(|| wrong(META_CAPABILITIES))?.clone();
    let level = match field(META_LEVEL) {
        None => None,
        Some(level) => Some(level.as_str().and_then(Level::of).ok_or_else(|| wrong(META_LEVEL))?),
    };
    let progress_token = match field("progressToken") {
        Some(token @ (Value::String(_) | Value::Number(_))) => Some(token.clone()),
        Some(_) => return Err(wrong("progressToken")),
        None => None,
    };
    Ok((version, Manner { capabilities, level, progress_token }))
}

fn reach(flight: &Arc<Flight>, resumption: Option<Resumption>) -> Reach {
    let of = flight.clone();
    let peer: Arc<dyn Peer> = Arc::new(FlightPeer(flight.clone()));
    let progress = peer::progress(flight.outlet.clone(), move || of.manner().progress_token);
    Reach { progress: Some(Arc::new(progress)), peer: Some(peer), resumption }
}

fn mismatch(why: String) -> RpcError {
    RpcError::new(HEADER_MISMATCH, why)
}
