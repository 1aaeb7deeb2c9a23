//! Passes requests on to the servers that own what they name, and the answers back: names and URIs are translated, all else stays as it
//! came. Starts nothing itself and decides nothing about health.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::common::error::ErrorCode;
use crate::common::who::Principal;
use crate::mcp::call::{Call, Fault, Outcome, Reach, Resumption, ToolOutput};
use crate::mcp::definition::{Definition, Origin};
use crate::mcp::rpc;
use crate::mcp::source::Method;
use crate::mcp::upstream::UpstreamError;
use crate::mcp::upstream::aggregator::Aggregator;
use crate::mcp::upstream::conflicts::order;
use crate::mcp::upstream::discovery::{LOOK_WAIT, ask};
use crate::mcp::upstream::member::{Ask, Member};
use crate::mcp::upstream::trouble::Trouble;
use crate::mcp::upstream::view::{Found, may_use};
use crate::store::EntryKind;

/// For `resources/read` and the like, where a server's row does not say less.
const REQUEST_WAIT: Duration = Duration::from_secs(60);

/// For `resources/subscribe` after a start, and `resources/unsubscribe`.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(10);

/// Marks the state of a call that a mirror asks about: the answers go to the same one.
const MIRROR_MARK: &str = "hearth-mirror:";

/// Blocks of a result that are looked through for links.
const LINKS_PER_RESULT: usize = 64;

impl Aggregator {
    /// Calls a tool at its server, or at one that stands in for it.
    pub(super) async fn pass_call(self: &Arc<Self>, call: Call) -> Result<Outcome, Fault> {
        let Call { tool: name, arguments, who, mut reach } = call;
        let view = self.view();
        let Some(tool) = view.tool(&name).cloned() else { return Err(unknown(&name)) };
        if view.is_denied(&who, &tool) {
            let refused = format!("{} may not use {}", who.user, tool.name);
            return Err(Fault::new(ErrorCode::Forbidden, refused));
        }
        let mut candidates: Vec<Arc<Definition>> = vec![tool.clone()];
        candidates.extend(view.mirrors.get(&tool.name).into_iter().flatten().cloned());
        drop(view);
        if candidates.len() > 1 {
            candidates = self.in_order(candidates, &mut reach);
        }
        let primary = slug_of(&tool).to_owned();
        let arguments = Value::Object(arguments);
        let last = candidates.len() - 1;
        for (at, candidate) in candidates.iter().enumerate() {
            let (slug, repeatable) = (slug_of(candidate), is_repeatable(candidate));
            match self.call_at(candidate, arguments.clone(), reach.clone()).await {
                Ok(Outcome::InputRequired { requests, state }) if *slug != *primary => {
                    let state = format!("{MIRROR_MARK}{slug}\n{}", state.unwrap_or_default());
                    return Ok(Outcome::InputRequired { requests, state: Some(state) });
                }
                Ok(outcome) => return Ok(outcome),
                Err(trouble) if at < last && may_go_elsewhere(&trouble, repeatable) => {
                    tracing::debug!(server = slug, why = trouble.in_short(), "a mirror is asked instead");
                }
                Err(trouble) => return Err(trouble.to_fault(slug)),
            }
        }
        Err(unknown(&name))
    }

    async fn call_at(self: &Arc<Self>, tool: &Definition, arguments: Value, reach: Reach) -> Result<Outcome, Trouble> {
        let Origin::Server { slug, tool: own } = &tool.origin else { return Err(Trouble::Retired) };
        let Some((member, call_s)) = self.reach_server(slug) else { return Err(Trouble::Retired) };
        let ask = || Ask {
            method: "tools/call",
            params: json!({ "name": own, "arguments": arguments }),
            reach: reach.clone(),
            deadline: call_s,
            repeatable: is_repeatable(tool),
            checked: !member.row.trust,
        };
        self.look_first(&member, EntryKind::Tool, own, call_s).await?;
        let result = match member.request(ask()).await {
            Err(Trouble::Anew) => {
                self.look_first(&member, EntryKind::Tool, own, call_s).await?;
                member.request(ask()).await?
            }
            result => result?,
        };
        let outcome = outcome(result).map_err(|why| Trouble::Upstream(UpstreamError::Garbage(why)))?;
        if let Outcome::Done(output) = &outcome {
            let uris = output.content.iter().take(LINKS_PER_RESULT).filter_map(link);
            uris.for_each(|uri| self.note_link(slug, uri));
        }
        Ok(outcome)
    }

    /// Where a server that nobody has to trust was started anew, asks it what it has before anything goes out to it: what is not
    /// as it was approved waits for an owner, and is not called.
    async fn look_first(
        self: &Arc<Self>,
        member: &Arc<Member>,
        kind: EntryKind,
        own: &str,
        deadline: Duration,
    ) -> Result<(), Trouble> {
        if member.row.trust || member.is_checked() {
            return Ok(());
        }
        let (me, of) = (self.clone(), member.clone());
        let check = |connection| async move {
            let offer = ask(connection).await?;
            me.keep(&of.slug, &of.row, offer).await.map(drop).map_err(UpstreamError::Answered)
        };
        member.check_first(deadline.min(LOOK_WAIT), check).await?;
        if self.is_approved(&member.slug, kind, own) {
            return Ok(());
        }
        let why = format!(
            "{own} of the MCP server \"{}\" is not what was approved (any more): it waits for an owner (mcp_servers.changes).",
            member.slug
        );
        Err(Trouble::Upstream(UpstreamError::Answered(Fault::new(ErrorCode::Conflict, why))))
    }

    fn is_approved(&self, slug: &str, kind: EntryKind, own: &str) -> bool {
        let shop = self.shop();
        let Some(shelf) = shop.shelves.get(slug) else { return false };
        match kind {
            EntryKind::Tool => {
                shelf.tools.iter().any(|tool| matches!(&tool.origin, Origin::Server { tool, .. } if **tool == *own))
            }
            EntryKind::Prompt => shelf.prompts.iter().any(|prompt| *prompt.own == *own),
            EntryKind::Resource | EntryKind::Template => true,
        }
    }

    /// Puts one of the other requests to its server.
    pub(super) async fn pass_request(
        self: &Arc<Self>,
        method: Method,
        mut params: Value,
        who: Arc<Principal>,
        reach: Reach,
    ) -> Result<Value, Fault> {
        let (found, field) = self.find_named(method, &params, &who)?;
        let Found { slug, own, .. } = &found;
        let shown = params.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(named) = params.pointer_mut(field) {
            *named = json!(own);
        }
        let Some((member, call_s)) = self.reach_server(slug) else { return Err(Trouble::Retired.to_fault(slug)) };
        let word = match method {
            Method::ReadResource => "resources/read",
            Method::GetPrompt => "prompts/get",
            Method::Complete => "completion/complete",
            Method::Subscribe => return self.subscribe(&member, slug, own).await,
            Method::Unsubscribe => return self.unsubscribe(&member, slug, own).await,
        };
        let checked = method == Method::GetPrompt && !member.row.trust;
        if checked {
            let looked = self.look_first(&member, EntryKind::Prompt, own, call_s.min(REQUEST_WAIT)).await;
            looked.map_err(|trouble| trouble.to_fault(slug))?;
        }
        let ask = Ask { method: word, params, reach, deadline: call_s.min(REQUEST_WAIT), repeatable: true, checked };
        let mut result = member.request(ask).await.map_err(|trouble| trouble.to_fault(slug))?;
        if method == Method::ReadResource && *shown != **own {
            show_as(&mut result, own, &shown);
        }
        Ok(result)
    }

    /// Whose a URI is: of a list, of a template, or of a result that spoke of it.
    pub(super) fn find_uri(&self, uri: &str) -> Option<Found> {
        let view = self.view();
        view.uri(uri).or_else(|| {
            let slug = self.link(uri)?;
            let access = view.access(&slug)?;
            Some(Found { slug, own: uri.into(), access })
        })
    }

    /// What a request names, where its caller may use it; and the field that names it.
    fn find_named(&self, method: Method, params: &Value, who: &Principal) -> Result<(Found, &'static str), Fault> {
        let text = |field: &str| params.pointer(field).and_then(Value::as_str);
        let by_prompt = |field: &'static str| {
            let name = text(field)?;
            let view = self.view();
            let piece = view.prompts.get(name)?;
            let found = Found { slug: piece.slug.clone(), own: piece.own.clone(), access: piece.access };
            let is_allowed = may_use(who, &found.slug, name, found.access);
            Some((found, field, is_allowed))
        };
        let by_uri = |field: &'static str| {
            let found = self.find_uri(text(field)?)?;
            let is_allowed = may_use(who, &found.slug, "", found.access);
            Some((found, field, is_allowed))
        };
        let found = match method {
            Method::GetPrompt => by_prompt("/name"),
            Method::Complete => by_prompt("/ref/name").or_else(|| by_uri("/ref/uri")),
            Method::ReadResource | Method::Subscribe | Method::Unsubscribe => by_uri("/uri"),
        };
        match found {
            Some((found, field, true)) => Ok((found, field)),
            Some((found, ..)) => {
                let refused = format!("{} may not use the MCP server \"{}\"", who.user, found.slug);
                Err(Fault::new(ErrorCode::Forbidden, refused))
            }
            None => Err(Fault::new(ErrorCode::NotFound, "no server has what was named")),
        }
    }

    async fn subscribe(self: &Arc<Self>, member: &Arc<Member>, slug: &str, uri: &str) -> Result<Value, Fault> {
        match self.subscriptions.add(slug, uri) {
            None => {
                let full = format!("too many resources of the MCP server \"{slug}\" are subscribed to");
                return Err(Fault::new(ErrorCode::RateLimited, full));
            }
            Some(false) => return Ok(json!({})),
            Some(true) => {}
        }
        member.hold(true);
        let mut joining = Joining { me: self, member, uri, is_in: false };
        member.request(subscription("resources/subscribe", uri)).await.map_err(|trouble| trouble.to_fault(slug))?;
        joining.is_in = true;
        self.subscriptions.confirm(slug, uri);
        self.agenda.look_around();
        Ok(json!({}))
    }

    async fn unsubscribe(self: &Arc<Self>, member: &Arc<Member>, slug: &str, uri: &str) -> Result<Value, Fault> {
        if self.subscriptions.remove(slug, uri) {
            member.hold(self.subscriptions.is_any(slug));
            if member.is_up() {
                // A server that does not take it goes on telling, and nobody listens.
                let _ = member.request(subscription("resources/unsubscribe", uri)).await;
            }
        }
        Ok(json!({}))
    }

    /// After a start: the server has forgotten who listens.
    pub(super) fn subscribe_again(self: &Arc<Self>, slug: &str) {
        let uris = self.subscriptions.of(slug);
        let Some(member) = self.member(slug).filter(|_| !uris.is_empty()) else { return };
        tokio::spawn(async move {
            for uri in uris {
                if let Err(trouble) = member.request(subscription("resources/subscribe", &uri)).await {
                    tracing::debug!(server = %member.slug, why = trouble.in_short(), "a subscription could not be renewed");
                    return;
                }
            }
        });
    }

    /// The member behind a name, and how long a call of it may take.
    fn reach_server(&self, slug: &str) -> Option<(Arc<Member>, Duration)> {
        let shop = self.shop();
        let call_s = shop.servers.get(slug)?.row.call_s;
        Some((shop.members.get(slug)?.clone(), Duration::from_secs(call_s)))
    }

    /// The best mirror first; where a call goes on that one of them began, that one alone.
    fn in_order(&self, candidates: Vec<Arc<Definition>>, reach: &mut Reach) -> Vec<Arc<Definition>> {
        if let Some(resumption) = &mut reach.resumption {
            let began = take_mark(resumption);
            let began = began.and_then(|slug| candidates.iter().find(|tool| *slug_of(tool) == *slug).cloned());
            return vec![began.unwrap_or_else(|| candidates[0].clone())];
        }
        let fitness: Vec<_> = candidates.iter().map(|tool| self.fitness(slug_of(tool))).collect();
        order(&fitness).into_iter().map(|at| candidates[at].clone()).collect()
    }
}

/// Who is about to listen: counted already, and no more where the server refuses or whoever asked leaves before it has answered.
struct Joining<'a> {
    me: &'a Aggregator,
    member: &'a Member,
    uri: &'a str,
    is_in: bool,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if !self.is_in {
            let subscriptions = &self.me.subscriptions;
            subscriptions.remove(&self.member.slug, self.uri);
            self.member.hold(subscriptions.is_any(&self.member.slug));
        }
    }
}

/// What a server's answer to `tools/call` is. Content and everything that the hub does not know stay as they came.
fn outcome(result: Value) -> Result<Outcome, String> {
    let Value::Object(mut fields) = result else { return Err("its answer to tools/call is no object".into()) };
    let kind = fields.remove("resultType");
    if kind.as_ref().and_then(Value::as_str) == Some("input_required") {
        let requests = match fields.remove("inputRequests") {
            Some(Value::Object(requests)) => requests,
            _ => Map::new(),
        };
        let state = fields.remove("requestState").and_then(|state| state.as_str().map(Into::into));
        return Ok(Outcome::InputRequired { requests, state });
    }
    let content = match fields.remove("content") {
        Some(Value::Array(content)) => content,
        None => Vec::new(),
        Some(_) => return Err("the content of its answer to tools/call is no list".into()),
    };
    Ok(Outcome::Done(ToolOutput {
        content,
        structured: fields.remove("structuredContent"),
        is_error: fields.remove("isError").is_some_and(|is_error| is_error == true),
        extra: fields,
    }))
}

/// The URI of a link to a resource (MCP `ResourceLink`).
fn link(block: &Value) -> Option<&str> {
    let uri = block.get("uri").filter(|_| block.get("type").is_some_and(|kind| kind == "resource_link"));
    uri?.as_str().filter(|uri| uri.len() <= crate::store::URI_BYTES_MAX)
}

/// What is read under a URI that had to move says so.
fn show_as(result: &mut Value, own: &str, shown: &str) {
    let Some(Value::Array(contents)) = result.get_mut("contents") else { return };
    for uri in contents.iter_mut().filter_map(|content| content.get_mut("uri")) {
        if uri.as_str() == Some(own) {
            *uri = json!(shown);
        }
    }
}

/// The mirror that a call's state names, which is taken off it.
fn take_mark(resumption: &mut Resumption) -> Option<String> {
    let (slug, state) = resumption.state.as_deref()?.strip_prefix(MIRROR_MARK)?.split_once('\n')?;
    let (slug, state) = (slug.to_owned(), state.to_owned());
    resumption.state = Some(state).filter(|state| !state.is_empty());
    Some(slug)
}

/// Whether another server may do the work: this one surely did not, or twice is as good as once.
fn may_go_elsewhere(trouble: &Trouble, repeatable: bool) -> bool {
    match trouble {
        Trouble::Upstream(UpstreamError::Answered(_)) => false,
        Trouble::Upstream(UpstreamError::Unreachable(_) | UpstreamError::Unauthorized(_)) => true,
        Trouble::Upstream(_) => repeatable,
        _ => true,
    }
}

fn is_repeatable(tool: &Definition) -> bool {
    tool.annotations.read_only == Some(true) || tool.annotations.idempotent == Some(true)
}

fn slug_of(tool: &Definition) -> &str {
    match &tool.origin {
        Origin::Server { slug, .. } => slug,
        Origin::Hub => "",
    }
}

fn subscription(method: &'static str, uri: &str) -> Ask {
    Ask {
        method,
        params: json!({ "uri": uri }),
        reach: Reach::default(),
        deadline: SUBSCRIBE_WAIT,
        repeatable: true,
        checked: false,
    }
}

fn unknown(name: &str) -> Fault {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let fault = Fault::new(ErrorCode::NotFound, format!("there is no tool called \"{shown}\" (any more)"));
    Fault { code: rpc::INVALID_PARAMS, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_stays_as_it_came() {
        let result = json!({
            "content": [{ "type": "text", "text": "a", "annotations": { "audience": ["user"] } }, { "type": "odd", "x": 1 }],
            "structuredContent": { "b": [1, 2.5, null] },
            "_meta": { "io.example/trace": "7" },
            "resultType": "complete",
            "isError": true,
            "other": {},
        });
        let Ok(Outcome::Done(output)) = outcome(result.clone()) else { panic!() };
        assert_eq!(Value::Array(output.content), result["content"]);
        assert_eq!(output.structured.as_ref(), result.get("structuredContent"));
        assert!(output.is_error);
        assert_eq!(Value::Object(output.extra), json!({ "_meta": result["_meta"], "other": {} }));
        for bad in [json!(7), json!({ "content": "text" })] {
            assert!(outcome(bad).is_err());
        }
    }

    #[test]
    fn what_a_server_needs_first_is_given_back() {
        let result = json!({ "resultType": "input_required", "inputRequests": { "a": {} }, "requestState": "s" });
        let Ok(Outcome::InputRequired { requests, state }) = outcome(result) else { panic!() };
        assert_eq!((requests.len(), state.as_deref()), (1, Some("s")));
    }

    #[test]
    fn the_answers_to_a_mirror_find_it_again() {
        let mut resumption = Resumption { state: Some(format!("{MIRROR_MARK}b\nits own")), ..Resumption::default() };
        assert_eq!(take_mark(&mut resumption).as_deref(), Some("b"));
        assert_eq!(resumption.state.as_deref(), Some("its own"));
        assert_eq!(take_mark(&mut resumption), None, "what a server wrote is its own");
    }
}
