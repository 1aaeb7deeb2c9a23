//! Signing in, against a server that gives its own tokens: first by a person, then by what was kept, and never for another
//! place than the one that was asked. (`.ci/peers/mcp-client` has the suite's forty ways of doing it wrong.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth::common::config::McpServer;
use hearth::mcp::upstream::UpstreamError;
use hearth::mcp::upstream::connector::{Authorities, Connector};
use hearth::mcp::upstream::http::Authority;
use hearth::mcp::upstream::oauth::{Consent, Identity, Keeper, Pocket, Vault};
use hearth::net::https::Https;
use serde_json::json;

use super::remote::{Answer, Asked, Server, answer, newest};
use super::{open, request, with_binary};

/// Agrees, or sends back what the test says.
struct Person {
    asked: AtomicUsize,
    says: fn(&str) -> String,
}

impl Consent for Person {
    fn redirect_uri(&self) -> String {
        "http://hub.local/back".into()
    }

    fn ask(&self, url: String) -> BoxFuture<'static, Result<String, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let back = (self.says)(&url);
        async { Ok(back) }.boxed()
    }
}

fn agrees(url: &str) -> String {
    let state = url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    format!("http://hub.local/back?code=c&state={state}")
}

struct Keys {
    vault: Arc<dyn Vault>,
    person: Option<Arc<Person>>,
}

impl Authorities for Keys {
    fn of(&self, _: &str, server: &McpServer) -> Option<Arc<dyn Authority>> {
        let consent = self.person.clone().map(|person| person as Arc<dyn Consent>);
        let url = server.url.as_deref()?;
        Some(Arc::new(Keeper::new(url, Https::new(), Identity::default(), Arc::clone(&self.vault), consent)))
    }
}

fn connector(vault: &Arc<dyn Vault>, person: Option<&Arc<Person>>) -> Connector {
    with_binary().authorized_by(Arc::new(Keys { vault: Arc::clone(vault), person: person.cloned() }))
}

/// A server whose tokens are good for one sign-in each: `t1`, `t2`, …; the newest alone is good.
pub async fn guarded() -> (Server, Arc<Mutex<usize>>) {
    let newest_token = Arc::new(Mutex::new(0));
    let token = Arc::clone(&newest_token);
    let server = Server::start(move |asked| guard(asked, &token)).await;
    (server, newest_token)
}

fn guard(asked: &Asked, token: &Mutex<usize>) -> Answer {
    let mut token = token.lock().unwrap();
    let root = format!("http://{}", asked.header("host"));
    let json = |value: serde_json::Value| answer(200, "application/json", &value.to_string());
    match &*asked.path {
        "/.well-known/oauth-protected-resource/mcp" => {
            json(json!({ "resource": format!("{root}/mcp"), "authorization_servers": [root] }))
        }
        "/.well-known/oauth-authorization-server" => json(json!({
            "issuer": root,
            "authorization_endpoint": format!("{root}/authorize"),
            "token_endpoint": format!("{root}/token"),
            "registration_endpoint": format!("{root}/register"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
        })),
        "/register" => json(json!({ "client_id": "hub" })),
        "/token" => {
            *token += 1;
            json(json!({ "access_token": format!("t{token}"), "token_type": "Bearer", "refresh_token": "r" }))
        }
        _ if *token > 0 && asked.header("authorization") == format!("Bearer t{token}") => newest(asked),
        _ => answer(401, "text/plain", "sign in"),
    }
}

fn person(says: fn(&str) -> String) -> Arc<Person> {
    Arc::new(Person { asked: AtomicUsize::new(0), says })
}

#[tokio::test]
async fn a_person_agrees_once_and_what_was_kept_is_refreshed() {
    let (server, token) = guarded().await;
    let (vault, person): (Arc<dyn Vault>, _) = (Arc::new(Pocket::default()), person(agrees));
    let (connection, _) = open(&connector(&vault, Some(&person)), &server.row()).await.unwrap();
    connection.request(request("tools/list", json!({}))).await.unwrap();
    let form = server.asked().into_iter().find(|asked| asked.path == "/token").unwrap().text;
    for part in ["grant_type=authorization_code", "code=c", "code_verifier=", "resource=http%3A%2F%2F127.0.0.1"] {
        assert!(form.contains(part), "{part}: {form}");
    }
    // The token runs out.
    *token.lock().unwrap() += 1;
    connection.request(request("tools/list", json!({}))).await.unwrap();
    drop(connection);
    // Another day, with nobody there.
    *token.lock().unwrap() += 1;
    open(&connector(&vault, None), &server.row()).await.expect("by what was kept");
    assert_eq!(person.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_a_person_the_owner_is_told_where_to_sign_in() {
    let (server, _) = guarded().await;
    let vault: Arc<dyn Vault> = Arc::new(Pocket::default());
    let Err(UpstreamError::Unauthorized(why)) = open(&connector(&vault, None), &server.row()).await.map(|_| ()) else {
        panic!()
    };
    assert!(why.contains("sign in") && why.contains("127.0.0.1"), "{why}");
}

#[tokio::test]
async fn what_comes_back_from_elsewhere_is_not_taken() {
    let says: [fn(&str) -> String; 4] = [
        |_| "http://hub.local/back?code=c&state=guessed".into(),
        |url| format!("{}&iss=https://evil.example", agrees(url)),
        |url| agrees(url).replace("code=c", "error=access_denied&error_description=no"),
        |_| "http://hub.local/back".into(),
    ];
    for says in says {
        let (server, _) = guarded().await;
        let (vault, person): (Arc<dyn Vault>, _) = (Arc::new(Pocket::default()), person(says));
        let refused = open(&connector(&vault, Some(&person)), &server.row()).await.map(|_| ());
        assert!(matches!(refused, Err(UpstreamError::Unauthorized(_))), "{refused:?}");
        assert!(server.asked().iter().all(|asked| asked.path != "/token"), "no code is changed");
    }
}
