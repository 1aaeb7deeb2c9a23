//! What the hub gives a client to bring back (`requestState`), sealed so that it comes back as it went: to whom, for which
//! request, until when. Pure but for the key, which is this process's own: after a restart nothing that was begun goes on.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest that is looked at, bytes: a state of another server's in Base64, and what stands around it.
pub const STATE_BYTES_MAX: usize = 64 * 1024;

const KEY_BYTES: usize = 32;

/// See the module.
pub struct Seal {
    key: hmac::Key,
}

/// What a state stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Held {
    /// A call that waits here, by its id.
    Parked(Box<str>),
    /// Somebody else's state.
    Wrapped(String),
}

#[derive(Serialize, Deserialize)]
struct State {
    held: Held,
    user: Box<str>,
    request: Box<str>,
    until_ms: u64,
}

/// Who may bring a state back, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    pub user: &'a str,
    /// See [`fingerprint`].
    pub request: &'a str,
}

/// Why a state is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("requestState is not as the hub gave it, or the hub has been started anew; send the request without it")]
    Seal,
    #[error("requestState belongs to another request or another user; send the request without it")]
    Other,
    #[error("requestState has run out; send the request without it")]
    Late,
}

impl Seal {
    pub fn new() -> Seal {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).expect("the kernel's random source does not fail once the system is up");
        Seal { key: hmac::Key::new(HMAC_SHA256, &key) }
    }

    /// `now`: since any moment that stays the same for this seal.
    pub fn close(&self, held: Held, bound: Bound<'_>, until: Duration) -> String {
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        let state = State { held, user: bound.user.into(), request: bound.request.into(), until_ms };
        let state = serde_json::to_vec(&state).expect("the hub's own types have text keys only");
        let tag = hmac::sign(&self.key, &state);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(state), URL_SAFE_NO_PAD.encode(tag))
    }

    pub fn open(&self, text: &str, bound: Bound<'_>, now: Duration) -> Result<Held, Broken> {
        let pieces = text.split_once('.').filter(|_| text.len() <= STATE_BYTES_MAX);
        let (state, tag) = pieces.ok_or(Broken::Seal)?;
        let [state, tag] = [state, tag].map(|piece| URL_SAFE_NO_PAD.decode(piece).map_err(|_| Broken::Seal));
        let state = state?;
        hmac::verify(&self.key, &state, &tag?).map_err(|_| Broken::Seal)?;
        let state: State = serde_json::from_slice(&state).map_err(|_| Broken::Seal)?;
        if (&*state.user, &*state.request) != (bound.user, bound.request) {
            return Err(Broken::Other);
        }
        match u128::from(state.until_ms) >= now.as_millis() {
            true => Ok(state.held),
            false => Err(Broken::Late),
        }
    }
}

/// A request as such, without what it brings along from before.
pub fn fingerprint(method: &str, params: &Map<String, Value>) -> String {
    let mut text = method.to_owned();
    for key in ["name", "uri", "arguments"] {
        text.push('\n');
        text.push_str(&params.get(key).map(Value::to_string).unwrap_or_default());
    }
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOUND: Bound<'_> = Bound { user: "ann", request: "r" };

    #[test]
    fn a_state_comes_back_as_it_went_or_not_at_all() {
        let (seal, soon, late) = (Seal::new(), Duration::from_secs(1), Duration::from_secs(3));
        let until = Duration::from_secs(2);
        for held in [Held::Parked("p-1".into()), Held::Wrapped("theirs".into())] {
            let text = seal.close(held.clone(), BOUND, until);
            assert_eq!(seal.open(&text, BOUND, soon), Ok(held));
            assert_eq!(seal.open(&text, BOUND, late), Err(Broken::Late));
            for other in [Bound { user: "bob", ..BOUND }, Bound { request: "s", ..BOUND }] {
                assert_eq!(seal.open(&text, other, soon), Err(Broken::Other));
            }
            assert_eq!(Seal::new().open(&text, BOUND, soon), Err(Broken::Seal), "another process's");
            for at in 0..text.len() {
                let mut bent = text.clone().into_bytes();
                bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
                let bent = String::from_utf8(bent).unwrap();
                assert!(seal.open(&bent, BOUND, soon).is_err(), "{at}");
            }
            assert_eq!(seal.open(&format!("{text}-TAMPERED"), BOUND, soon), Err(Broken::Seal));
        }
        for strange in ["", ".", "a.b", "ü.ü", &"a".repeat(STATE_BYTES_MAX + 1)] {
            assert_eq!(seal.open(strange, BOUND, soon), Err(Broken::Seal));
        }
    }

    #[test]
    fn a_request_is_known_again_by_what_it_asks() {
        let of = |params: Value| fingerprint("tools/call", params.as_object().unwrap());
        let first = of(json!({ "name": "t", "arguments": { "a": 1 }, "_meta": { "x": 1 } }));
        assert_eq!(first, of(json!({ "name": "t", "arguments": { "a": 1 }, "requestState": "s" })));
        assert_ne!(first, of(json!({ "name": "t", "arguments": { "a": 2 } })));
        assert_ne!(first, of(json!({ "name": "u", "arguments": { "a": 1 } })));
    }
}
