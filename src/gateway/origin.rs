//! By which names the hub may be called (`Host`) and whose pages may call it (`Origin`): what keeps a stranger's web page,
//! with or without DNS rebinding, from using a visitor's browser as its way in. Pure; stands before every route.

use std::net::{IpAddr, Ipv6Addr};

use hyper::Version;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::{Authority, Uri};

use crate::common::config::Gateway;

/// Why a request is turned away before it is routed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request has no Host header, or one that is no host name")]
    NoHost,
    #[error("the request has more than one Host header")]
    ManyHosts,
    #[error("the hub is not called {0}; if it should be, add that name to gateway.allowed_hosts in config.yaml")]
    WrongHost(String),
    #[error("pages of {0} may not use the hub; if they should, add it to gateway.allowed_origins in config.yaml")]
    WrongOrigin(String),
}

/// The names that hold for one connection.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The hub's end of the connection: the address the caller dialled.
    pub local: IpAddr,
    /// The machine's own name, as it gives it.
    pub hostname: &'a str,
    pub settings: &'a Gateway,
}

impl Names<'_> {
    /// Checks the target's authority (RFC 9112 §3.2.2), `Host` (§3.2) and `Origin` (RFC 6454 §7); gives back the origin, where
    /// a page asks.
    pub fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        if let Some(authority) = uri.authority() {
            self.check_host(authority.as_str())?;
        }
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => return Err(Refusal::ManyHosts),
            (Some(host), None) => self.check_host(host.to_str().map_err(|_| Refusal::NoHost)?)?,
            // RFC 9112 §3.2: only HTTP/1.1 must name the host, and no browser speaks anything older.
            (None, _) if version >= Version::HTTP_11 => return Err(Refusal::NoHost),
            (None, _) => {}
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(None) };
        match origin.to_str() {
            Ok(text) if origins.next().is_none() && self.is_allowed_origin(text) => Ok(Some(origin.clone())),
            _ => Err(Refusal::WrongOrigin(String::from_utf8_lossy(origin.as_bytes()).into_owned())),
        }
    }

    fn check_host(&self, authority: &str) -> Result<(), Refusal> {
        let host = host_of(authority).ok_or(Refusal::NoHost)?;
        if self.is_allowed_host(&host) { Ok(()) } else { Err(Refusal::WrongHost(host)) }
    }

    /// `host` as [`host_of`] gives it.
    fn is_allowed_host(&self, host: &str) -> bool {
        let address = literal(host);
        let is_own = match address {
            Some(address) => address.is_loopback() || address == self.local.to_canonical(),
            None => host == "localhost" || host.ends_with(".localhost") || self.is_own_name(host),
        };
        is_own
            || self.settings.allowed_hosts.iter().any(|allowed| match address {
                Some(_) => literal(allowed) == address,
                None => normal(allowed) == host,
            })
    }

    /// `hub`, `hub.local`, and where the machine calls itself `hub.lan`, that too. And `hub-2.local`, which avahi announces
    /// where another one is `hub.local` already: no server of the internet's names gives out those.
    fn is_own_name(&self, host: &str) -> bool {
        let hostname = normal(self.hostname);
        let label = hostname.split('.').next().unwrap_or_default();
        let is_label = |name: &str| {
            let number = name.strip_prefix(label).and_then(|rest| rest.strip_prefix('-'));
            name == label || number.is_some_and(|number| (1..=3).contains(&number.len()) && is_number(number))
        };
        !label.is_empty() && (host == hostname || host == label || host.strip_suffix(".local").is_some_and(is_label))
    }

    fn is_allowed_origin(&self, origin: &str) -> bool {
        let listed = self.settings.allowed_origins.iter().any(|allowed| is_same_origin(allowed, origin));
        listed
            || split_origin(origin)
                .filter(|(scheme, ..)| matches!(scheme.as_str(), "http" | "https"))
                .is_some_and(|(_, host, _)| self.is_allowed_host(&host))
    }
}

/// The host of `host[:port]` in lower case and without a last dot; an IPv6 address keeps its brackets. None where it is no
/// authority of that shape; user names are never one.
fn host_of(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    let is_plain = !authority.contains('@') && !parsed.host().is_empty();
    let port = authority.strip_prefix(parsed.host())?;
    let has_good_port = port.is_empty() || port == ":" || parsed.port_u16().is_some();
    (is_plain && has_good_port).then(|| normal(parsed.host()))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn normal(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    host.strip_suffix('.').map(Into::into).unwrap_or(host)
}

/// An address in the one form that cannot be a name: four decimal numbers, or IPv6, with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<IpAddr>().ok(),
    }
    .map(|address| address.to_canonical())
}

/// Scheme, host, port (the scheme's own where none is said). None for `null` and whatever else has no host.
fn split_origin(origin: &str) -> Option<(String, String, u16)> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let host = host_of(authority)?;
    let port = match authority.parse::<Authority>().ok()?.port_u16() {
        Some(port) => port,
        None if scheme == "https" => 443,
        None => 80,
    };
    Some((scheme, host, port))
}

fn is_same_origin(a: &str, b: &str) -> bool {
    match (split_origin(a.trim_end_matches('/')), split_origin(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.eq_ignore_ascii_case(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Gateway {
        Gateway {
            allowed_hosts: vec!["Panel.Example".into(), "203.0.113.9".into(), "fd00::9".into()],
            allowed_origins: vec!["https://cloud.example:8443/".into(), "https://App.example".into()],
            ..Gateway::default()
        }
    }

    fn check(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<Option<HeaderValue>, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let settings = settings();
        let names = Names {
            local: "::ffff:192.168.1.10".parse().expect("an address"),
            hostname: "Kitchen.lan",
            settings: &settings,
        };
        names.check(version, &target.parse().expect("a target"), &map)
    }

    fn host(host: &str) -> Result<Option<HeaderValue>, Refusal> {
        check(Version::HTTP_11, "/", &[("host", host)])
    }

    fn origin(origin: &str) -> Result<Option<HeaderValue>, Refusal> {
        check(Version::HTTP_11, "/ws/chat", &[("host", "localhost"), ("origin", origin)])
    }

    #[test]
    fn own_names_pass_with_any_port_and_case() {
        for own in [
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "hearth.localhost:1",
            "127.0.0.1:8000",
            "127.8.8.8",
            "[::1]:8000",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "192.168.1.10",
            "192.168.1.10:80",
            "[::ffff:192.168.1.10]",
            "kitchen",
            "KITCHEN.local:8000",
            "kitchen.local.",
            "kitchen-2.local",
            "Kitchen-11.local:80",
            "kitchen.lan",
            "panel.example",
            "PANEL.example.:443",
            "203.0.113.9",
            "[fd00::9]:8000",
            "localhost:",
        ] {
            assert_eq!(host(own), Ok(None), "{own}");
        }
    }

    #[test]
    fn other_names_do_not_whatever_they_resolve_to() {
        for (strange, seen) in [
            ("evil.example", "evil.example"),
            ("evil.example:8000", "evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("localhost.evil.example", "localhost.evil.example"),
            ("evillocalhost", "evillocalhost"),
            ("kitchen.local.evil.example", "kitchen.local.evil.example"),
            ("x.kitchen.local", "x.kitchen.local"),
            ("kitchen-x.local", "kitchen-x.local"),
            ("kitchen-.local", "kitchen-.local"),
            ("kitchen-2.lan", "kitchen-2.lan"),
            ("local", "local"),
            (".local", ".local"),
            ("192.168.1.11", "192.168.1.11"),
            ("0.0.0.0:8000", "0.0.0.0"),
            ("0x7f.1", "0x7f.1"),
            ("2130706433", "2130706433"),
            ("127.1", "127.1"),
            ("[::]", "[::]"),
            ("[fe80::1]", "[fe80::1]"),
            ("xn--loclhost-2fa", "xn--loclhost-2fa"),
        ] {
            assert_eq!(host(strange), Err(Refusal::WrongHost(seen.into())), "{strange}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_as_such() {
        for bad in [
            "",
            ":8000",
            "localhost@evil.example",
            "evil@localhost",
            "localhost/x",
            "local host",
            "[::1",
            "localhost:99999",
            "localhost:x",
            "a,localhost",
            "[::1]x",
        ] {
            assert!(matches!(host(bad), Err(Refusal::NoHost | Refusal::WrongHost(_))), "{bad}");
        }
        assert_eq!(check(Version::HTTP_11, "/", &[]), Err(Refusal::NoHost));
        assert_eq!(check(Version::HTTP_10, "/", &[]), Ok(None));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check(Version::HTTP_11, "/", &twice), Err(Refusal::ManyHosts));
        assert_eq!(check(Version::HTTP_10, "/", &twice), Err(Refusal::ManyHosts));
    }

    #[test]
    fn an_absolute_target_is_checked_as_well() {
        let own = [("host", "localhost")];
        assert_eq!(check(Version::HTTP_11, "http://localhost:8000/", &own), Ok(None));
        let evil = Err(Refusal::WrongHost("evil.example".into()));
        assert_eq!(check(Version::HTTP_11, "http://evil.example/", &own), evil);
        assert_eq!(check(Version::HTTP_10, "http://evil.example/", &[]), evil);
        assert_eq!(check(Version::HTTP_11, "http://localhost/", &[("host", "evil.example")]), evil);
    }

    #[test]
    fn pages_of_the_hub_and_listed_ones_may_call() {
        for good in [
            "http://localhost:3000",
            "https://kitchen.local",
            "http://192.168.1.10:8000",
            "http://[::1]:8000",
            "HTTP://LOCALHOST",
            "https://cloud.example:8443",
            "https://app.example",
            "https://app.example:443",
            "https://panel.example:9",
        ] {
            assert_eq!(origin(good), Ok(Some(HeaderValue::from_str(good).expect("a value"))), "{good}");
        }
    }

    #[test]
    fn other_pages_may_not() {
        for bad in [
            "http://evil.example",
            "https://cloud.example",
            "http://cloud.example:8443",
            "http://app.example",
            "null",
            "",
            "file://",
            "chrome-extension://abc",
            "ws://localhost",
            "ftp://localhost",
            "localhost",
            "http://",
            "//localhost",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil@localhost",
            "http://192.168.1.11",
            "http://localhost/path",
            "http://localhost http://evil.example",
            "http://localhost, http://evil.example",
        ] {
            assert_eq!(origin(bad), Err(Refusal::WrongOrigin(bad.into())), "{bad}");
        }
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert!(matches!(check(Version::HTTP_11, "/", &twice), Err(Refusal::WrongOrigin(_))));
    }

    #[test]
    fn null_is_an_origin_that_can_be_listed() {
        let settings = Gateway { allowed_origins: vec!["null".into()], ..Gateway::default() };
        let names = Names { local: IpAddr::from([127, 0, 0, 1]), hostname: "", settings: &settings };
        assert!(names.is_allowed_origin("null"));
        assert!(!names.is_allowed_origin("nul"));
        assert!(!names.is_own_name("") && !names.is_own_name(".local"), "a machine without a name has none");
    }

    proptest::proptest! {
        #[test]
        fn only_listed_names_pass(name in "[a-zA-Z0-9.:@\\[\\]%/-]{0,40}") {
            if let Ok(None) = host(&name) {
                let bare = host_of(&name).expect("what passes has a host");
                let known = ["localhost", "kitchen", "kitchen.local", "kitchen.lan", "panel.example"].contains(&bare.as_str());
                proptest::prop_assert!(known || bare.ends_with(".localhost") || literal(&bare).is_some(), "{name}");
            }
        }
    }
}
