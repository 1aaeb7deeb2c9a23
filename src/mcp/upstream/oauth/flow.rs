//! The code and what it is changed for: PKCE (RFC 7636), who sent it (RFC 9207), for which server the token is (RFC 8707).

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::discovery::{Issuer, Resource};
use super::{Kept, Method, Refused, fetch, refused, url};
use crate::common::secret::Secret;
use crate::net::https::Https;

/// The longest token, bytes: it becomes a header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// One attempt at a code.
pub(super) struct Attempt {
    state: String,
    verifier: String,
    pub url: String,
}

impl Attempt {
    /// The URL that a person opens. `random` fills with what nobody can guess.
    pub fn new(
        issuer: &Issuer,
        resource: &Resource,
        kept: &Kept,
        redirect_uri: &str,
        mut random: impl FnMut(&mut [u8]),
    ) -> Attempt {
        let mut secret = || {
            let mut bytes = [0; 32];
            random(&mut bytes);
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        };
        let (state, verifier) = (secret(), secret());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let scope = kept.scopes.join(" ");
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &kept.client_id),
            ("redirect_uri", redirect_uri),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &resource.resource),
        ];
        if !scope.is_empty() {
            pairs.push(("scope", &scope));
        }
        // "If the scope includes offline_access, … prompt consent" (OpenID Connect Core §11).
        if kept.scopes.iter().any(|scope| scope == "offline_access") {
            pairs.push(("prompt", "consent"));
        }
        let joint = if issuer.authorization_endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{}{joint}{}", issuer.authorization_endpoint, url::form(&pairs));
        Attempt { state, verifier, url }
    }

    /// The code in the URL to which the browser was sent, if it came from whom it should.
    pub fn code(&self, issuer: &Issuer, redirected: &str) -> Result<String, Refused> {
        let pairs = url::query(redirected);
        let get = |name: &str| {
            let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let first = values.next();
            first.filter(|_| values.next().is_none())
        };
        if get("state") != Some(&self.state) {
            return refused("what came back belongs to another sign-in: begin again");
        }
        // RFC 9207 §2.4: compared letter by letter, and where it was promised it must be there.
        match get("iss") {
            Some(iss) if iss != issuer.issuer => {
                return refused(format!("what came back is from {iss} and not from {}", issuer.issuer));
            }
            None if issuer.names_itself => {
                return refused("what came back does not say from whom it is, as was promised");
            }
            _ => {}
        }
        if let Some(error) = get("error") {
            let why = get("error_description").unwrap_or(error);
            return refused(format!("{} did not agree: {}", issuer.issuer, short(why)));
        }
        get("code").map_or_else(|| refused("no code came back"), |code| Ok(code.to_owned()))
    }

    /// Changes the code for a token.
    pub async fn redeem(
        &self,
        client: &Https,
        issuer: &Issuer,
        resource: &Resource,
        kept: &mut Kept,
        (code, redirect_uri): (&str, &str),
    ) -> Result<(), Refused> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &self.verifier),
            ("resource", &resource.resource),
        ];
        ask(client, issuer, kept, &pairs).await
    }
}

/// Changes the refresh token for a new token (RFC 6749 §6).
pub(super) async fn refresh(
    client: &Https,
    issuer: &Issuer,
    resource: &Resource,
    kept: &mut Kept,
) -> Result<(), Refused> {
    let Some(refresh) = kept.refresh.clone() else { return refused("there is nothing to refresh") };
    let pairs =
        [("grant_type", "refresh_token"), ("refresh_token", refresh.expose()), ("resource", &resource.resource)];
    ask(client, issuer, kept, &pairs).await
}

async fn ask(client: &Https, issuer: &Issuer, kept: &mut Kept, pairs: &[(&str, &str)]) -> Result<(), Refused> {
    let mut pairs = pairs.to_vec();
    let id = kept.client_id.clone();
    let secret = kept.client_secret.clone();
    let secret = secret.as_ref().map_or("", Secret::expose);
    let mut basic = None;
    match kept.method {
        Method::Basic => {
            basic = Some(BASE64_STANDARD.encode(format!("{}:{}", url::escaped(&id), url::escaped(secret))));
        }
        Method::Post => pairs.extend([("client_id", id.as_str()), ("client_secret", secret)]),
        Method::None => pairs.push(("client_id", &id)),
    }
    let kind = "application/x-www-form-urlencoded";
    let (status, answer) =
        fetch::post(client, &issuer.token_endpoint, kind, url::form(&pairs), basic.as_deref()).await?;
    let answer = answer.unwrap_or(Value::Null);
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    if !status.is_success() {
        let why = text("error_description").or(text("error")).unwrap_or("without a reason");
        return refused(format!("{} gives no token ({status}): {}", issuer.issuer, short(why)));
    }
    let is_bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = text("access_token").filter(|token| {
        is_bearer && (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
    });
    let Some(token) = token else { return refused(format!("{} gave no bearer token", issuer.issuer)) };
    kept.token = Some(Secret::new(token));
    // One that is not replaced stays good (RFC 6749 §6).
    kept.refresh = text("refresh_token").map(Secret::new).or(kept.refresh.take());
    Ok(())
}

/// An issuer's words in a message: short, and on one line.
fn short(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(160).collect()
}
