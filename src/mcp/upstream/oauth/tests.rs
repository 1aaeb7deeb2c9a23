//! Signing in, against an issuer and a server of the test's own words.

use super::discovery::{Issuer, Wish};
use super::register::identify;
use super::url::{form, is_resource_of, may_be_asked, query};
use super::{Identity, Kept, Method};
use crate::net::https::Https;

#[test]
fn a_refusal_is_read() {
    let header =
        r#"Bearer realm="x, y", error=invalid_token , scope="a b", resource_metadata="https://h/.well-known/r\"q""#;
    let wish = Wish::of(&["Basic realm=x".into(), header.into()]);
    assert_eq!(wish.scope.as_deref(), Some("a b"));
    assert_eq!(wish.resource_metadata.as_deref(), Some("https://h/.well-known/r\"q"));
    for bad in ["", "Bearer", "Bearer =", "Bearer a=\"", "bearer scope=\"\"", "Digest scope=\"x\""] {
        assert_eq!(Wish::of(&[bad.into()]), Wish::default(), "{bad}");
    }
}

#[test]
fn a_server_is_what_it_says_only_where_it_is_there() {
    let server = "https://host/a/mcp";
    for good in ["https://host/a/mcp", "https://host/a", "https://host", "https://host/", "https://HOST:443/a"] {
        assert!(is_resource_of(good, server), "{good}");
    }
    for bad in
        ["https://evil/a/mcp", "http://host/a/mcp", "https://host/a/m", "https://host:80/a", "https://host/a#x", "x"]
    {
        assert!(!is_resource_of(bad, server), "{bad}");
    }
}

#[test]
fn only_safe_places_are_asked() {
    let (house, cloud, here) = ("http://nas.local/mcp", "https://cloud.example/mcp", "http://localhost:3000/mcp");
    assert!(may_be_asked("https://192.168.1.2/x", house) && may_be_asked("https://login.cloud.example/x", cloud));
    assert!(may_be_asked("https://login.example/x", house) && may_be_asked("http://nas.local:81/x", house));
    assert!(may_be_asked("http://127.0.0.1:9/x", here));
    for (bad, server) in [
        ("http://192.168.1.1/x", cloud),
        // A server outside sends the hub to nobody in the house, however it writes that.
        ("https://192.168.1.1/x", cloud),
        ("https://169.254.169.254/latest", cloud),
        ("https://[::ffff:10.0.0.1]/x", cloud),
        ("https://[fd00::1]:8443/x", cloud),
        ("https://100.64.0.1/x", cloud),
        ("https://0.0.0.0/x", cloud),
        ("https://localhost/x", cloud),
        ("https://router/x", cloud),
        ("https://nas.LOCAL./x", cloud),
        ("https://hub.home.arpa/x", cloud),
        ("http://cloud/x", "HTTPS://cloud.example/mcp"),
        ("http://cloud.example/x", cloud),
        ("http://localhost/x", cloud),
        ("http://other/x", house),
        ("file:///etc/passwd", house),
        ("https://user@host/x", house),
        ("/x", house),
    ] {
        assert!(!may_be_asked(bad, server), "{bad} for {server}");
    }
}

#[test]
fn forms_and_queries_are_each_other() {
    let pairs = [("a b", "ä&=+%"), ("c", "")];
    let text = form(&pairs);
    assert_eq!(text, "a%20b=%C3%A4%26%3D%2B%25&c=");
    let read = query(&format!("http://h/cb?{text}#x=1"));
    assert_eq!(read, [("a b".to_owned(), "ä&=+%".to_owned()), ("c".to_owned(), String::new())]);
    assert_eq!(query("http://h/cb?a=1+2&b=%zz%"), [("a".into(), "1 2".into()), ("b".into(), "%zz%".to_owned())]);
}

#[tokio::test]
async fn who_was_registered_for_another_address_of_the_hub_is_not_taken_for_this_one() {
    let issuer = Issuer {
        issuer: "https://login".into(),
        authorization_endpoint: "https://login/authorize".into(),
        token_endpoint: "https://login/token".into(),
        // It registers nobody: what is not taken over is refused, and nothing is asked.
        registration_endpoint: None,
        scopes: Vec::new(),
        methods: vec!["none".into()],
        names_itself: false,
        reads_metadata: false,
    };
    let kept = |issuer: &str, redirect_uri: Option<&str>| Kept {
        issuer: issuer.into(),
        client_id: "hub-1".into(),
        client_secret: None,
        method: Method::None,
        redirect_uri: redirect_uri.map(Into::into),
        token: Some(crate::common::secret::Secret::new("t0ken")),
        refresh: None,
        scopes: Vec::new(),
    };
    let (client, identity) = (Https::new(), Identity::default());
    let here = "http://hub.local:8000/oauth/callback";
    for (of, registered_for, is_good) in [
        ("https://login", Some(here), true),
        ("https://login", None, true), // By hand.
        ("https://login", Some("http://127.0.0.1:8000/oauth/callback"), false),
        ("https://other", Some(here), false),
    ] {
        let known = identify(&client, &identity, &issuer, here, Some(&kept(of, registered_for))).await;
        assert_eq!(known.as_ref().is_ok_and(|known| known.client_id == "hub-1"), is_good, "{of} {registered_for:?}");
        assert!(known.is_ok() == is_good && known.is_ok_and(|known| known.token.is_none()) == is_good);
    }
}
