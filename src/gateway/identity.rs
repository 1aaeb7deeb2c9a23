//! Who asks, over HTTP: reads `Authorization` and asks the gate, the same for every route, and says 401 where nobody is let
//! in. Knows no route but those that are open to everybody.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use crate::auth::{Gate, Pass, Refused};
use crate::common::error::ErrorCode;
use crate::common::who::{Door, Principal, Role};
use crate::gateway::respond::Response;

/// What everybody may ask, so that a page can come and a person can sign in. The WebSocket asks its caller itself.
const FREE: [&str; 8] = [
    "/healthz",
    "/.well-known/security.txt",
    "/ws/chat",
    "/api/protocol.json",
    "/api/openapi.json",
    "/api/v1/claim",
    "/api/v1/login",
    "/oauth/callback",
];

/// The door whose clients cannot come without a key: where the hub asks for none, any word of theirs will do.
const OPENAI: &str = "/v1/";

/// What was shown.
#[derive(Debug, PartialEq)]
pub enum Shown<'a> {
    Nothing,
    Token(&'a str),
    /// Something else than one bearer token.
    Other,
}

/// Reads `Authorization` (RFC 6750 §2.1).
pub fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), rest) = (values.next(), values.next()) else { return Shown::Nothing };
    let bearer = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match bearer {
        Some(token) if rest.is_none() => Shown::Token(token),
        _ => Shown::Other,
    }
}

/// Whoever asks for this route, or why they may not. `pattern` is the route's.
pub async fn identify(gate: &Gate, pattern: &str, headers: &HeaderMap) -> Result<Arc<Principal>, Refused> {
    if FREE.contains(&pattern) {
        return Ok(gate.by_nothing().map_or_else(|_| Arc::new(nobody(Door::Rest)), |pass| pass.who));
    }
    let pass = match shown(headers) {
        Shown::Token(token) if is_openai(pattern) && !gate.is_required() && !token.starts_with("hth_") => {
            gate.by_nothing()
        }
        shown => by_shown(gate, shown).await,
    };
    pass.map(|pass| pass.who)
}

/// Whether a route is of the door whose clients read OpenAI's errors.
pub fn is_openai(pattern: &str) -> bool {
    pattern.starts_with(OPENAI)
}

/// The same for whoever has read the header already.
pub async fn by_shown(gate: &Gate, shown: Shown<'_>) -> Result<Pass, Refused> {
    match shown {
        Shown::Nothing => gate.by_nothing(),
        Shown::Token(token) => gate.by_token(token).await,
        Shown::Other => Err(Refused::WrongToken),
    }
}

/// The answer to whoever was not let in, with how to come in.
pub fn challenge(mut response: Response, why: &Refused) -> Response {
    if why.to_body().code == ErrorCode::Unauthenticated {
        // RFC 6750 §3: whoever showed nothing is told nothing but how.
        let challenge = match why {
            Refused::NoToken => "Bearer realm=\"hearth\"",
            _ => "Bearer realm=\"hearth\", error=\"invalid_token\"",
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// Somebody who has not been let in, where a principal must be: may do nothing.
pub fn nobody(door: Door) -> Principal {
    Principal { deny: ["*".into()].into(), rooms: Some(Arc::default()), ..Principal::new("", Role::Guest, door) }
}

/// The caller's address, for those who count guesses.
pub fn address(caller: &crate::gateway::listen::Caller) -> IpAddr {
    caller.peer.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::may_call;

    #[test]
    fn one_bearer_token_is_read_and_nothing_else_is_taken_for_one() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a value"));
            }
            headers
        };
        assert_eq!(shown(&headers(&[])), Shown::Nothing);
        for good in ["Bearer hth_x", "bearer  hth_x ", "BEARER hth_x"] {
            assert_eq!(shown(&headers(&[good])), Shown::Token("hth_x"), "{good}");
        }
        for bad in [&["Basic YTpi"][..], &["hth_x"], &[""], &["Bearer"], &["Bearer hth_x", "Bearer hth_x"]] {
            assert_eq!(shown(&headers(bad)), Shown::Other, "{bad:?}");
        }
    }

    #[test]
    fn nobody_may_do_anything() {
        let nobody = nobody(Door::Websocket);
        for tool in ["ask", "search_tools", "lights__on", ""] {
            assert!(may_call(&nobody, tool, Role::Guest).is_err(), "{tool}");
        }
    }
}
