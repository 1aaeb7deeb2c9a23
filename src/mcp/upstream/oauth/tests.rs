//! Signing in, against an issuer and a server of the test's own words.

use super::discovery::Wish;
use super::url::{form, is_resource_of, may_be_asked, query};

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
    for good in ["https://host/a/mcp", "https://host/a", "https://host", "https://host/"] {
        assert!(is_resource_of(good, server), "{good}");
    }
    for bad in
        ["https://evil/a/mcp", "http://host/a/mcp", "https://host/a/m", "https://host:1/a", "https://host/a#x", "x"]
    {
        assert!(!is_resource_of(bad, server), "{bad}");
    }
}

#[test]
fn only_safe_places_are_asked() {
    let (house, cloud, here) = ("http://nas.local/mcp", "https://cloud/mcp", "http://localhost:3000/mcp");
    assert!(may_be_asked("https://login.example/x", house) && may_be_asked("http://nas.local:81/x", house));
    assert!(may_be_asked("http://127.0.0.1:9/x", here));
    for (bad, server) in [
        ("http://192.168.1.1/x", cloud),
        ("http://cloud/x", cloud),
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
