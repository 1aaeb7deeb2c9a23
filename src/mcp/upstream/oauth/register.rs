//! How the hub is known to an issuer: by what an owner was given, by the URL of its description, or by registering itself
//! (RFC 7591), in this order (MCP, "Client Registration Approaches").

use serde_json::{Value, json};

use super::discovery::Issuer;
use super::{Identity, Kept, Method, Refused, fetch, refused};
use crate::common::secret::Secret;
use crate::net::https::Https;

/// What the hub is to this issuer. `kept` is what it was to the last one.
pub(super) async fn identify(
    client: &Https,
    identity: &Identity,
    issuer: &Issuer,
    redirect_uri: &str,
    kept: Option<&Kept>,
) -> Result<Kept, Refused> {
    let blank = |client_id: &str, client_secret, method, redirect_uri: Option<&str>| Kept {
        issuer: issuer.issuer.clone(),
        client_id: client_id.to_owned(),
        client_secret,
        method,
        redirect_uri: redirect_uri.map(str::to_owned),
        token: None,
        refresh: None,
        scopes: Vec::new(),
    };
    let by_hand = identity.registered.as_ref();
    if let Some(it) = by_hand.filter(|it| it.issuer.as_ref().is_none_or(|of| *of == issuer.issuer)) {
        let method = if it.client_secret.is_some() { preferred(issuer, true) } else { Method::None };
        return Ok(blank(&it.client_id, it.client_secret.clone(), method, None));
    }
    if let Some(url) = identity.metadata_url.as_deref().filter(|_| issuer.reads_metadata) {
        return Ok(blank(url, None, Method::None, None));
    }
    // What another issuer gave is of no use here, and none of its business; what was registered for another address of the
    // hub's is not taken for this one.
    let is_registered = |kept: &&Kept| kept.redirect_uri.as_deref().is_none_or(|uri| uri == redirect_uri);
    if let Some(kept) = kept.filter(|kept| kept.issuer == issuer.issuer).filter(is_registered) {
        return Ok(Kept { token: None, refresh: None, ..kept.clone() });
    }
    let Some(endpoint) = &issuer.registration_endpoint else {
        return refused(format!("{} takes no registrations: register the hub there by hand", issuer.issuer));
    };
    let asked = preferred(issuer, false);
    let wanted = json!({
        "client_name": "Hearth",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": asked.as_str(),
        // The browser comes back to this machine or to a name of it in the house (SEP-837).
        "application_type": "native",
    });
    let (status, answer) = fetch::post(client, endpoint, "application/json", wanted.to_string(), None).await?;
    let answer = answer.filter(|_| status.is_success()).unwrap_or(Value::Null);
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let Some(id) = text("client_id") else {
        return refused(format!("{} did not register the hub ({status}): register it there by hand", issuer.issuer));
    };
    let method = text("token_endpoint_auth_method").and_then(Method::named).unwrap_or(asked);
    let secret = text("client_secret").filter(|_| method != Method::None).map(Secret::new);
    let method = if secret.is_some() { method } else { Method::None };
    Ok(blank(id, secret, method, Some(redirect_uri)))
}

/// The best way that both know. A hub in a house keeps no secret better than none, unless it was given one.
fn preferred(issuer: &Issuer, has_secret: bool) -> Method {
    let order: &[Method] =
        if has_secret { &[Method::Basic, Method::Post] } else { &[Method::None, Method::Basic, Method::Post] };
    let known = |method: &&Method| issuer.methods.iter().any(|name| name == method.as_str());
    *order.iter().find(known).unwrap_or(&order[0])
}
