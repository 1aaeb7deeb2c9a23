//! Signing in to a server at a whole hub: an owner begins, a browser comes back, the tokens are kept over a restart and shown
//! nowhere, and a sign-out forgets them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth::common::config::McpServer;
use serde_json::{Value, json};

use super::remote::Server;
use super::signin::guarded;
use crate::world::hub::{self, Running};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

/// Asks the hub on a thread of its own.
async fn ask(address: SocketAddr, method: &'static str, path: &str, host: &str, body: Value) -> (u16, String) {
    let (path, host) = (path.to_owned(), host.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
        if !host.is_empty() {
            request = request.header("host", host);
        }
        if method == "GET" || method == "DELETE" {
            let mut answer = agent.run(request.body(()).unwrap()).unwrap();
            return (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap());
        }
        let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
        let mut answer = agent.run(request).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    });
    soon("an answer", asked).await.unwrap()
}

async fn get(hub: &Running, path: &str) -> (u16, String) {
    ask(hub.address, "GET", path, "", Value::Null).await
}

async fn status(hub: &Running) -> Value {
    let (code, text) = get(hub, "/api/v1/mcp-servers/docs/status").await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["servers"][0].take()
}

async fn until(hub: &Running, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    soon(what, async {
        loop {
            let status = status(hub).await;
            if is(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn begin(hub: &Running) -> Value {
    let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/sign-in", "", json!({})).await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn state_of(begun: &Value) -> String {
    let url = begun["url"].as_str().unwrap();
    url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

async fn hub_before(server: &Server) -> Running {
    let row = McpServer { trust: true, ..server.row() };
    hub::start_with(&FakeProvider::start(Script::answer(&["ok"])).await, |config| {
        config.mcp.servers.insert("docs".into(), row);
    })
    .await
}

/// Nothing that anybody can read has one of these.
async fn is_silent(hub: &Running, secrets: &[&str]) {
    let tools = [("mcp_servers.list", json!({})), ("mcp_servers.status", json!({})), ("audit.list", json!({}))];
    let mut seen = Vec::new();
    for (tool, arguments) in tools {
        seen.push(ask(hub.address, "POST", &format!("/api/v1/tools/{tool}"), "", arguments).await.1);
    }
    for path in
        ["/api/v1/mcp-servers", "/api/v1/mcp-servers/docs", "/api/v1/mcp-servers/docs/changes", "/api/v1/settings"]
    {
        seen.push(get(hub, path).await.1);
    }
    for text in seen {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

#[tokio::test]
async fn an_owner_signs_in_once_and_out_again() {
    let (server, token): (Server, Arc<Mutex<usize>>) = guarded().await;
    let hub = hub_before(&server).await;
    let wanted = until(&hub, "the wish", |status| status["sign_in"]["state"] == "wanted").await;
    assert!(wanted["sign_in"]["hint"].as_str().unwrap().contains("hearth mcp sign-in docs"), "{wanted}");
    assert!(wanted["sign_in"]["at"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{wanted}");

    let begun = begin(&hub).await;
    assert_eq!(begun["redirect_uri"], format!("http://{}/oauth/callback", hub.address));
    let waiting = status(&hub).await;
    assert_eq!((&waiting["sign_in"]["state"], &waiting["sign_in"]["url"]), (&json!("waiting"), &begun["url"]));
    // What comes to another name of the hub's, or with another state, is not taken, and uses nothing up.
    let state = state_of(&begun);
    let (code, page) =
        ask(hub.address, "GET", &format!("/oauth/callback?code=c&state={state}"), "localhost:1", Value::Null).await;
    assert_eq!(code, 400, "{page}");
    let (code, _) = get(&hub, "/oauth/callback?code=c&state=guessed").await;
    assert_eq!(code, 400);
    assert_eq!(*token.lock().unwrap(), 0, "no code was changed");

    let (code, page) = get(&hub, &format!("/oauth/callback?code=c&state={state}")).await;
    assert_eq!(code, 200, "{page}");
    assert!(page.contains("Signed in") && page.contains("docs"), "{page}");
    let (code, _) = get(&hub, &format!("/oauth/callback?code=c&state={state}")).await;
    assert_eq!(code, 400, "once");
    let up = until(&hub, "its tools", |status| status["tools"] == 1).await;
    assert_eq!(up["sign_in"]["state"], "signed_in", "{up}");
    is_silent(&hub, &["\"t1\"", "refresh_token"]).await;

    // The token runs out while the hub is down: what was kept gets another one, and nobody is asked.
    let hub = hub.restart().await;
    *token.lock().unwrap() += 1;
    let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/refresh", "", json!({})).await;
    assert_eq!(code, 200, "{text}");
    assert_eq!(status(&hub).await["sign_in"]["state"], "signed_in");
    let grants: Vec<_> = server.asked().into_iter().filter(|asked| asked.path == "/token").collect();
    assert!(grants.last().unwrap().text.contains("grant_type=refresh_token"), "{grants:?}");

    let (code, _) = ask(hub.address, "DELETE", "/api/v1/mcp-servers/docs/sign-in", "", Value::Null).await;
    assert_eq!(code, 204);
    let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/refresh", "", json!({})).await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("sign-in"), "{text}");
    assert_eq!(status(&hub).await["sign_in"]["state"], "wanted");
    let hub = hub.restart().await;
    let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/refresh", "", json!({})).await;
    assert_eq!(code, 503, "forgotten for good: {text}");
    let (code, _) = ask(hub.address, "DELETE", "/api/v1/mcp-servers/docs/sign-in", "", Value::Null).await;
    assert_eq!(code, 404, "there is nothing to forget");
    hub.stop().await;
}

#[tokio::test]
async fn a_second_sign_in_ends_the_first_and_a_refusal_is_told() {
    let (server, token) = guarded().await;
    let hub = hub_before(&server).await;
    let (first, second) = (begin(&hub).await, begin(&hub).await);
    let (code, _) = get(&hub, &format!("/oauth/callback?code=c&state={}", state_of(&first))).await;
    assert_eq!(code, 400);
    let no = format!("/oauth/callback?error=access_denied&error_description=<b>no</b>&state={}", state_of(&second));
    let (code, page) = get(&hub, &no.replace('<', "%3C").replace('>', "%3E")).await;
    assert_eq!(code, 400);
    assert!(page.contains("&lt;b&gt;no") && !page.contains("<b>"), "{page}");
    let failed = status(&hub).await;
    assert!(failed["sign_in"]["problem"].as_str().unwrap().contains("did not agree"), "{failed}");
    // Where the browser cannot reach the hub, its address is brought by hand.
    let third = begin(&hub).await;
    let returned = format!("{}?code=c&state={}", third["redirect_uri"].as_str().unwrap(), state_of(&third));
    let body = json!({ "returned": returned });
    let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/sign-in", "", body.clone()).await;
    assert_eq!((code, text.contains("signed_in")), (200, true), "{text}");
    assert_eq!(*token.lock().unwrap(), 1);
    let (code, _) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/sign-in", "", body).await;
    assert_eq!(code, 400, "once");
    for hub_address in ["hub.local", "http://hub.local/path", "ftp://hub.local"] {
        let body = json!({ "hub": hub_address });
        let (code, text) = ask(hub.address, "POST", "/api/v1/mcp-servers/docs/sign-in", "", body).await;
        assert!(code == 400 && text.contains("hub:"), "{text}");
    }
    hub.stop().await;
}
