//! URLs as OAuth needs them: forms, queries, and which place one leads to. Compares as RFC 3986 §6.2.1 does: letter by letter.

use hyper::Uri;

use crate::net::lan;

/// `application/x-www-form-urlencoded` of these pairs.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escaped(name), escaped(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// With everything escaped that is not unreserved (RFC 3986 §2.3).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The reverse of it, with `+` for a blank. What is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = digits.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(if first == b'+' { b' ' } else { first }));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The pairs of a URL's query.
pub fn query(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescaped(name), unescaped(value))
    };
    query.split('&').filter(|it| !it.is_empty()).map(pair).collect()
}

/// `scheme://host:port` of an absolute URL of http or https.
pub fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    Some(format!("{scheme}://{authority}"))
}

/// Its path without the slash at the end; empty for the root.
pub fn path(url: &str) -> String {
    url.parse::<Uri>().map(|uri| uri.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

/// Whether the hub may talk to a URL that the server of `server` has named: over https to anybody outside, and without it only
/// to the machine that the owner has named so, or to this one. Into the house only a server leads that is in it. What a name leads
/// to is seen when it is looked up ([`Https::outside`](crate::net::https::Https::outside)).
pub fn may_be_asked(url: &str, server: &str) -> bool {
    let (Some(origin), Some(of_server)) = (origin(url), origin(server)) else { return false };
    let (host, server) = (host(url), host(server));
    let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let is_same = host == server;
    if is_of_the_house(&host) && !is_same && !is_of_the_house(&server) {
        return false;
    }
    origin.starts_with("https://")
        || (is_here(&host) && is_here(&server))
        || (of_server.starts_with("http://") && is_same)
}

/// The host of an absolute URL, in small letters.
pub fn host(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase)).unwrap_or_default()
}

/// Names that are nobody's on the internet (RFC 6762, RFC 8375, RFC 6761, and those that routers give).
const HOUSE_NAMES: [&str; 8] =
    [".local", ".localhost", ".home.arpa", ".internal", ".lan", ".home", ".intranet", ".localdomain"];

/// Whether a host says by itself that it is in the house: an address that is no place on the internet, or a name of such.
pub fn is_of_the_house(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let name = host.trim_end_matches('.');
    match address {
        Ok(address) => lan::is_reserved(address),
        Err(_) => !name.contains('.') || HOUSE_NAMES.iter().any(|end| name.ends_with(end)),
    }
}

/// The same for all ways of writing one place: small letters, and no port where it is the scheme's own ("implementations SHOULD
/// accept uppercase scheme and host components").
fn place(url: &str) -> Option<String> {
    let origin = origin(url)?.to_ascii_lowercase();
    let own_port = if origin.starts_with("https:") { ":443" } else { ":80" };
    Some(origin.strip_suffix(own_port).unwrap_or(&origin).to_owned())
}

/// Whether `resource`, which a server says it is, is the server of this URL: the same place, and its path or one above it
/// (MCP, "Canonical Server URI").
pub fn is_resource_of(resource: &str, server: &str) -> bool {
    let (Some(of), Some(at)) = (place(resource), place(server)) else { return false };
    if resource.contains('#') || of != at {
        return false;
    }
    let (of, at) = (path(resource), path(server));
    at == of || at.strip_prefix(&of).is_some_and(|rest| rest.starts_with('/'))
}
