//! Who gives tokens for a server: what its refusal says, what it says of itself (RFC 9728), and what the other says of itself
//! (RFC 8414, OpenID Connect Discovery). Every claim is checked against the place from which it came.

use serde_json::Value;

use super::{Refused, fetch, refused, url};
use crate::net::https::Https;

/// Scopes in one list.
const SCOPES_MAX: usize = 64;

/// What `WWW-Authenticate: Bearer …` says (RFC 6750 §3, RFC 9728 §5.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub resource_metadata: Option<String>,
    pub scope: Option<String>,
}

/// A server's own words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// As it was published: it is sent back letter by letter.
    pub resource: String,
    pub issuer: String,
    pub scopes: Vec<String>,
    /// It has said nothing of itself, as before 2025-06-18: it gives its own tokens.
    pub is_silent: bool,
}

/// Whoever gives tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub registration_endpoint: Option<String>,
    pub scopes: Vec<String>,
    /// `token_endpoint_auth_methods_supported`; RFC 8414 says what is meant where it is absent.
    pub methods: Vec<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207).
    pub names_itself: bool,
    /// `client_id_metadata_document_supported`.
    pub reads_metadata: bool,
}

impl Wish {
    pub fn of(headers: &[String]) -> Wish {
        let mut wish = Wish::default();
        for header in headers {
            let Some((scheme, parameters)) = header.trim().split_once(' ') else { continue };
            if !scheme.eq_ignore_ascii_case("bearer") {
                continue;
            }
            for (name, value) in parameters_of(parameters) {
                match &*name {
                    "resource_metadata" => wish.resource_metadata = Some(value),
                    "scope" => wish.scope = Some(value).filter(|scope| !scope.trim().is_empty()),
                    _ => {}
                }
            }
        }
        wish
    }
}

/// `name="value", name=value` (RFC 9110 §11.2).
fn parameters_of(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let (value, behind) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut chars) = (String::new(), quoted.char_indices());
                let mut end = quoted.len();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '\\' => value.extend(chars.next().map(|(_, c)| c)),
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        c => value.push(c),
                    }
                }
                (value, &quoted[end..])
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        found.push((name, value));
        text = behind;
    }
    found
}

/// Where a server may say what it is: with its path, then without.
fn resource_urls(server: &str) -> Option<Vec<String>> {
    let (origin, path) = (url::origin(server)?, url::path(server));
    let root = format!("{origin}/.well-known/oauth-protected-resource");
    Some(if path.is_empty() { vec![root] } else { vec![format!("{root}{path}"), root] })
}

/// Where an issuer may say what it is (MCP, "Authorization Server Metadata Discovery").
fn issuer_urls(issuer: &str) -> Option<Vec<String>> {
    let (origin, path) = (url::origin(issuer)?, url::path(issuer));
    let well_known = format!("{origin}/.well-known");
    Some(if path.is_empty() {
        vec![format!("{well_known}/oauth-authorization-server"), format!("{well_known}/openid-configuration")]
    } else {
        vec![
            format!("{well_known}/oauth-authorization-server{path}"),
            format!("{well_known}/openid-configuration{path}"),
            format!("{origin}{path}/.well-known/openid-configuration"),
        ]
    })
}

/// What the server says of itself.
pub(super) async fn resource(client: &Https, server: &str, wish: &Wish) -> Result<Resource, Refused> {
    let urls = match &wish.resource_metadata {
        Some(named) if url::may_be_asked(named, server) => vec![named.clone()],
        Some(named) => {
            return refused(format!("the server names {named} for its own description, which is not safe to ask"));
        }
        None => resource_urls(server).ok_or_else(|| Refused("its url is no URL of http or https".into()))?,
    };
    for url in urls {
        if let Some(document) = fetch::get(client, &url).await? {
            return read_resource(&document, server);
        }
    }
    if wish.resource_metadata.is_some() {
        return refused("the server names a description of itself that is not there");
    }
    let issuer = url::origin(server).ok_or_else(|| Refused("its url is no URL of http or https".into()))?;
    Ok(Resource { resource: server.to_owned(), issuer, scopes: Vec::new(), is_silent: true })
}

fn read_resource(document: &Value, server: &str) -> Result<Resource, Refused> {
    let Some(resource) = document.get("resource").and_then(Value::as_str) else {
        return refused("the server's description of itself names no resource");
    };
    if !url::is_resource_of(resource, server) {
        return refused(format!("the server says that it is {resource}, and it is not: no token is asked for it"));
    }
    let issuers = document.get("authorization_servers").and_then(Value::as_array);
    let issuer = issuers.and_then(|issuers| issuers.first()).and_then(Value::as_str);
    let issuer = match issuer {
        Some(issuer) if url::may_be_asked(issuer, server) => issuer.to_owned(),
        Some(issuer) => return refused(format!("the server's tokens come from {issuer}, which is not safe to ask")),
        None => return refused("the server does not say who gives its tokens"),
    };
    let scopes = words(document.get("scopes_supported"));
    Ok(Resource { resource: resource.to_owned(), issuer, scopes, is_silent: false })
}

/// What an issuer says of itself.
pub(super) async fn issuer(client: &Https, server: &str, resource: &Resource) -> Result<Issuer, Refused> {
    let issuer = &resource.issuer;
    for url in issuer_urls(issuer).ok_or_else(|| Refused(format!("{issuer} is no URL of http or https")))? {
        if let Some(document) = fetch::get(client, &url).await? {
            return read_issuer(&document, server, resource);
        }
    }
    if !resource.is_silent {
        return refused(format!("{issuer}, who gives the server's tokens, does not say how"));
    }
    // MCP 2025-03-26, "Fallbacks for Servers without Metadata Discovery".
    Ok(Issuer {
        issuer: issuer.clone(),
        authorization_endpoint: format!("{issuer}/authorize"),
        token_endpoint: format!("{issuer}/token"),
        registration_endpoint: Some(format!("{issuer}/register")),
        scopes: Vec::new(),
        methods: vec!["none".into(), "client_secret_post".into(), "client_secret_basic".into()],
        names_itself: false,
        reads_metadata: false,
    })
}

fn read_issuer(document: &Value, server: &str, resource: &Resource) -> Result<Issuer, Refused> {
    let issuer = &resource.issuer;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    // "The issuer value returned MUST be identical" (RFC 8414 §3.3), letter by letter.
    let named = text("issuer").unwrap_or_default();
    if named != *issuer {
        return refused(format!("{issuer} calls itself {named}: its description is not believed"));
    }
    let endpoint = |key: &str| text(key).filter(|url| url::may_be_asked(url, server));
    let missing = |what: &str| Refused(format!("{issuer} names no {what} that is safe to ask"));
    let methods = words(document.get("code_challenge_methods_supported"));
    if !resource.is_silent && !methods.iter().any(|method| method == "S256") {
        return refused(format!("{issuer} does not protect its codes (PKCE with S256), which MCP demands"));
    }
    let methods = words(document.get("token_endpoint_auth_methods_supported"));
    Ok(Issuer {
        authorization_endpoint: endpoint("authorization_endpoint").ok_or_else(|| missing("authorization_endpoint"))?,
        token_endpoint: endpoint("token_endpoint").ok_or_else(|| missing("token_endpoint"))?,
        registration_endpoint: endpoint("registration_endpoint"),
        scopes: words(document.get("scopes_supported")),
        methods: if methods.is_empty() { vec!["client_secret_basic".into()] } else { methods },
        names_itself: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        reads_metadata: document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true)),
        issuer: issuer.clone(),
    })
}

fn words(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).take(SCOPES_MAX).map(str::to_owned).collect()
}
