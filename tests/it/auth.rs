//! Who comes in: each door with a token, without, and with a wrong one, at a real hub; the first claim and the command line
//! with the real binary.

use std::net::SocketAddr;

use hearth::common::who::Role;
use hearth::store::{Token, User};
use serde_json::{Value, json};

use crate::world::client::Client;
use crate::world::hub::{self, Running};
use crate::world::process::{House, Process, hearth, run};
use crate::world::provider::{FakeProvider, Script};
use crate::world::soon;

/// Everything that asks for a token; a guest is not let in where `true`.
const GUARDED: [(&str, &str, bool); 11] = [
    ("POST", "/v1/chat/completions", false),
    ("GET", "/v1/models", false),
    ("GET", "/v1/models/auto", false),
    ("GET", "/api/v1/model-profiles", true),
    ("GET", "/api/v1/model-profiles/default", true),
    ("PUT", "/api/v1/model-profiles/default", true),
    ("DELETE", "/api/v1/model-profiles/brief", true),
    ("POST", "/api/v1/blobs", false),
    ("GET", "/api/v1/blobs/b-0", false),
    ("GET", "/api/v1/usage", true),
    ("POST", "/api/v1/tickets", false),
];

const FREE: [&str; 6] = ["/", "/app.js", "/icon.svg", "/healthz", "/api/protocol.json", "/api/v1/claim"];

struct Heard {
    status: u16,
    challenge: Option<String>,
    body: Value,
}

async fn ask(address: SocketAddr, method: &str, path: &str, authorization: Option<&str>, body: Value) -> Heard {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let request = request.header("content-type", "application/json").body(body.to_string()).expect("a request");
    let asking = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.run(request).expect("an answer");
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
        let text = answer.body_mut().read_to_string().expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Heard { status: answer.status().as_u16(), challenge, body }
    });
    soon("an answer", asking).await.expect("no panic")
}

async fn get(hub: &Running, path: &str, token: &str) -> Heard {
    ask(hub.address, "GET", path, Some(&format!("Bearer {token}")), Value::Null).await
}

#[tokio::test]
async fn every_door_asks_and_what_a_page_needs_does_not() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let guest = hub.let_in("eve", Role::Guest).await;
    let wrong = format!("hth_{}", "A".repeat(43));
    for (method, path, is_not_guests) in GUARDED {
        for authorization in
            [None, Some(&*format!("Bearer {wrong}")), Some("Basic YW5uOng="), Some("Bearer"), Some(&*ann)]
        {
            let heard = ask(hub.address, method, path, authorization, json!({})).await;
            assert_eq!(heard.status, 401, "{method} {path} {authorization:?}: {}", heard.body);
            let code = if path.starts_with("/v1/") { &heard.body["error"]["code"] } else { &heard.body["code"] };
            assert_eq!(code, "unauthenticated", "{method} {path}: {}", heard.body);
            let challenge = heard.challenge.expect("how to come in");
            assert!(challenge.starts_with("Bearer"), "{challenge}");
            assert_eq!(challenge.contains("invalid_token"), authorization.is_some(), "{challenge}");
        }
        let heard = ask(hub.address, method, path, Some(&format!("Bearer {guest}")), json!({})).await;
        assert_eq!(heard.status == 403, is_not_guests, "{method} {path}: {}", heard.body);
        let heard = ask(hub.address, method, path, Some(&format!("bearer {ann}")), json!({})).await;
        assert!(![401, 403].contains(&heard.status), "{method} {path}: {}", heard.body);
    }
    for path in FREE {
        assert_eq!(ask(hub.address, "GET", path, None, Value::Null).await.status, 200, "{path}");
        assert_eq!(get(&hub, path, &wrong).await.status, 200, "{path}: who asks makes no difference");
    }
    assert_eq!(ask(hub.address, "OPTIONS", "/api/v1/usage", None, Value::Null).await.status, 204);
    assert_eq!(world.requests().len(), 0, "nobody was asked for a stranger");
}

#[tokio::test]
async fn a_token_is_good_until_it_ends_or_its_user_is_switched_off() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let path = "/api/v1/usage";
    let ended = hub.token_for("ann", Some(1)).await;
    let heard = get(&hub, path, &ended).await;
    assert!(heard.status == 401 && heard.body["detail"].as_str().is_some_and(|why| why.contains("expired")));
    assert_eq!(get(&hub, path, &ann).await.status, 200);
    let off = |off: bool| move |user: Option<User>| Ok(User { disabled: off, ..user.expect("there") });
    hub.store.update("ann", off(true)).await.expect("a write");
    assert_eq!(get(&hub, path, &ann).await.status, 401);
    hub.store.update("ann", off(false)).await.expect("a write");
    assert_eq!(get(&hub, path, &ann).await.status, 200);
    hub.revoke(&ann).await;
    assert_eq!(get(&hub, path, &ann).await.status, 401, "at once");
    // The config is followed, too.
    hub.configure(|config| config.gateway.auth = hearth::common::config::Auth::Off);
    assert_eq!(ask(hub.address, "GET", path, None, Value::Null).await.status, 200);
    assert_eq!(get(&hub, path, &ann).await.status, 401, "a wrong token is wrong at an open door, too");
    let openai = ask(hub.address, "GET", "/v1/models", Some("Bearer sk-anything"), Value::Null).await;
    assert_eq!(openai.status, 200, "OpenAI's clients cannot come without a key");
    assert_eq!(get(&hub, "/v1/models", &ann).await.status, 401);
}

#[tokio::test]
async fn what_a_member_uses_is_booked_to_them_and_profiles_are_an_owners() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, _) = hub::start_guarded(&world).await;
    let bob = hub.let_in("bob", Role::Member).await;
    let authorization = format!("Bearer {bob}");
    let mut client = Client::open(hub.address, &[("authorization", &authorization)]).await.expect("let in");
    assert_eq!(client.frame().await["request_id"], "welcome");
    assert_eq!(client.chat("1", "Hello").await.text(), "fine");
    let day = jiff::Zoned::now().date();
    let users: Vec<_> =
        hub.store.usage(day, day).await.expect("readable").into_iter().map(|(key, _)| key.user).collect();
    assert_eq!(users, ["bob"]);
    assert_eq!(get(&hub, "/api/v1/model-profiles/default", &bob).await.status, 200);
    let put = ask(hub.address, "PUT", "/api/v1/model-profiles/default", Some(&authorization), json!({})).await;
    assert_eq!((put.status, &put.body["code"]), (403, &json!("forbidden")));
    // That it was seen is written down.
    soon("the mark", async {
        while hub.store.list::<Token>().await.expect("readable").iter().all(|token| token.last_seen_ms.is_none()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_is_shown_a_token_in_its_handshake_or_refuses_it() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    for bad in ["Bearer hth_x", "Basic x"] {
        assert_eq!(Client::open(hub.address, &[("authorization", bad)]).await.err(), Some(401), "{bad}");
    }
    let authorization = format!("Bearer {ann}");
    let ticket = async || {
        let made = ask(hub.address, "POST", "/api/v1/tickets", Some(&authorization), Value::Null).await;
        assert_eq!((made.status, &made.body["expires_in_s"]), (201, &json!(30)));
        made.body["ticket"].as_str().expect("a ticket").to_owned()
    };
    let offered = format!("hearth.v2, hearth.auth.{}", ticket().await);
    let mut client = Client::open(hub.address, &[("sec-websocket-protocol", &offered)]).await.expect("let in");
    assert_eq!(client.unnumbered().await["chunk"]["metadata"]["features"], json!(["resume", "reasoning", "events"]));
    assert_eq!(Client::open(hub.address, &[("sec-websocket-protocol", &offered)]).await.err(), Some(401), "once");
    // Without v2 the ticket is the subprotocol.
    let offered = format!("hearth.auth.{}", ticket().await);
    let mut client = Client::open(hub.address, &[("sec-websocket-protocol", &offered)]).await.expect("let in");
    assert_eq!(client.frame().await["request_id"], "welcome");
    assert_eq!(client.chat("1", "Hello").await.text(), "fine");
    // And with `auth`, once too.
    let one = ticket().await;
    let mut client = Client::v1(hub.address).await;
    let mut auth = async |ticket: &str| {
        client.send(&json!({"action": "auth", "request_id": "a", "payload": {"ticket": ticket}})).await;
        client.one("a").await
    };
    assert_eq!(auth(&one).await["chunk"]["metadata"]["user"], "ann");
    assert_eq!(auth(&one).await["error"]["code"], "unauthenticated");
}

#[tokio::test]
async fn a_websocket_may_say_later_who_it_is() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let mut client = Client::v1(hub.address).await;
    client.ask("1", "Hello").await;
    assert_eq!(client.one("1").await["error"]["code"], "unauthenticated");
    assert_eq!(world.requests().len(), 0);
    // What is said right behind the token is said as whoever it is.
    client.send(&json!({"action": "auth", "request_id": "a", "payload": {"token": ann}})).await;
    client.ask("2", "Hello").await;
    let welcome = json!({"user": "ann", "role": "owner", "rooms": null, "expires_at_ms": null});
    assert_eq!(client.one("a").await["chunk"]["metadata"], welcome);
    assert_eq!(client.answer("2").await.text(), "fine");
    let bob = hub.let_in("bob", Role::Member).await;
    client.send(&json!({"action": "auth", "request_id": "b", "payload": {"token": bob}})).await;
    assert_eq!(client.one("b").await["error"]["code"], "conflict");

    let mut guesser = Client::v1(hub.address).await;
    for at in 0..3 {
        guesser.send(&json!({"action": "auth", "request_id": format!("{at}"), "payload": {"token": "hth_x"}})).await;
    }
    assert_eq!(guesser.closed().await, Some(4401));
}

#[tokio::test]
async fn a_revoked_token_hangs_up_on_whoever_holds_it_and_on_nobody_else() {
    let world = FakeProvider::start(Script::stream().stall()).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let bob = hub.let_in("bob", Role::Member).await;
    let connect = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let mut client = Client::open(hub.address, &[("authorization", &authorization)]).await.expect("let in");
        assert_eq!(client.frame().await["request_id"], "welcome");
        client.upgrade(&json!({"protocol": [2]})).await;
        client
    };
    let (mut anns, mut bobs) = (connect(&ann).await, connect(&bob).await);
    bobs.ask("1", "Hello").await;
    assert_eq!(bobs.one("1").await["status"], "processing");
    hub.revoke(&bob).await;
    assert_eq!(bobs.closed().await, Some(4401));
    anns.send(&json!({"action": "ping", "request_id": "p"})).await;
    assert_eq!(anns.one("p").await["status"], "complete");
    // What it ran has ended with it, and nobody can take the session up.
    let again = hub.token_for("bob", None).await;
    let mut back = connect(&again).await;
    back.send(
        &json!({"action": "resume", "request_id": "r", "payload": {"session_id": bobs.session_id, "last_seq": 1}}),
    )
    .await;
    assert_eq!(back.one("r").await["error"]["code"], "not_found");
}

#[tokio::test]
async fn a_session_is_taken_up_by_its_own_user_alone() {
    let world = FakeProvider::start(Script::answer(&["fine"])).await;
    let (hub, ann) = hub::start_guarded(&world).await;
    let (other, bob) = (hub.token_for("ann", None).await, hub.let_in("bob", Role::Member).await);
    let connect = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let mut client = Client::open(hub.address, &[("authorization", &authorization)]).await.expect("let in");
        assert_eq!(client.frame().await["request_id"], "welcome");
        client
    };
    // Said later, the session becomes the user's all the same.
    let mut first = Client::v2(hub.address).await;
    first.send(&json!({"action": "auth", "request_id": "a", "payload": {"token": ann}})).await;
    assert_eq!(first.one("a").await["status"], "complete");
    let (session_id, last_seq) = (first.session_id.clone(), first.last_seq);
    first.abort();
    let resume =
        json!({"action": "resume", "request_id": "r", "payload": {"session_id": session_id, "last_seq": last_seq}});
    for mut stranger in [connect(&bob).await, Client::v1(hub.address).await] {
        stranger.send(&resume).await;
        let code = stranger.unnumbered().await["error"]["code"].clone();
        assert!(code == "not_found" || code == "unauthenticated", "{code}");
    }
    let mut back = connect(&other).await;
    back.send(&resume).await;
    assert_eq!(back.unnumbered().await["status"], "complete", "another token of the same user will do");
}

/// A hub of the real binary that asks for tokens, and the code that it shows.
async fn unowned(house: &House) -> (Process, SocketAddr, String) {
    let mut command = house.command();
    command.env("HEARTH__GATEWAY__AUTH", "required");
    let process = Process::start(command, "");
    let address = process.address().await;
    let line = process.log(|line| line["code"].is_string()).await;
    let code = line["code"].as_str().expect("a code").to_owned();
    (process, address, code)
}

#[tokio::test]
async fn the_first_claim_takes_the_code_of_the_log_and_the_command_line_keeps_the_token() {
    let house = House::new("providers: { active: assistant }\n");
    let (_process, address, code) = unowned(&house).await;
    assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'));
    let door = ask(address, "GET", "/api/v1/claim", None, Value::Null).await;
    assert_eq!(door.body, json!({"required": true, "claimable": true}));
    let url = format!("http://{address}");
    let command = |words: &[&str]| {
        let mut command = hearth([]);
        command.args(words).args(["--url", &url]).env("HOME", house.folder.path());
        command
    };
    let ended = run(command(&["usage"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("hearth login"), "{}", ended.err);
    let ended = run(command(&["claim", "2222-2222", "ann"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("not the code"), "{}", ended.err);
    let ended =
        Process::start(command(&["claim", &code.to_lowercase(), "ann", "--json"]), "correct horse\n").ended().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert_eq!((&ended.json()["user"], &ended.json()["role"]), (&json!("ann"), &json!("owner")));
    assert!(!std::fs::read_to_string(house.path("hearth.redb")).is_ok_and(|text| text.contains("correct horse")));

    let ended = run(command(&["usage", "--json"])).await;
    assert_eq!(ended.code(), Some(0), "the kept token opens: {}", ended.err);
    let chat = |words: &[&str]| {
        let mut command = hearth(["chat", "Hello", "--url"]);
        command.arg(format!("ws://{address}/ws/chat")).args(words).env("HOME", house.folder.path());
        command
    };
    let ended = run(chat(&[])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    let ended = run(command(&["usage", "--token", "hth_wrong"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("opens nothing"), "{}", ended.err);
    let ended = run(chat(&["--token", "hth_wrong"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("opens nothing"), "{}", ended.err);

    std::fs::remove_file(house.path(".config/hearth/token")).expect("it was kept there");
    let ended = Process::start(command(&["login", "ann"]), "wrong horse\n").ended().await;
    assert!(ended.code() == Some(1) && ended.err.contains("password is wrong"), "{}", ended.err);
    let ended = Process::start(command(&["login", "ann"]), "correct horse\n").ended().await;
    assert_eq!((ended.code(), &*ended.out), (Some(0), ""), "no token on the screen: {}", ended.err);
    assert_eq!(run(command(&["usage"])).await.code(), Some(0));
    let ended = run(command(&["claim", &code, "eve"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("somebody owns it"), "{}", ended.err);
    let door = ask(address, "GET", "/api/v1/claim", None, Value::Null).await;
    assert_eq!(door.body, json!({"required": true, "claimable": false}));
}

/// Asked as from the network, where nobody is at home yet.
#[tokio::test]
async fn before_the_claim_nothing_else_answers_on_the_network() {
    let house = House::new("providers: { active: assistant }\n");
    let mut command = house.command();
    command.env("HEARTH__GATEWAY__HOST", "0.0.0.0");
    let process = Process::start(command, "");
    let address = SocketAddr::from(([127, 0, 0, 1], process.address().await.port()));
    let described = ask(address, "GET", "/api/openapi.json", None, Value::Null).await.body;
    let mut asked = 0;
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|word| *word != "parameters") {
            let is_free = ["/healthz", "/api/v1/claim", "/api/v1/login", "/api/protocol.json", "/api/openapi.json"]
                .contains(&path.as_str());
            let heard = ask(address, &method.to_uppercase(), &path.replace(['{', '}'], ""), None, json!({})).await;
            assert!(is_free || heard.status == 401, "{method} {path}: {} {}", heard.status, heard.body);
            assert!(heard.body.get("token").is_none(), "{method} {path}: {}", heard.body);
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked}");
    for (method, path) in [
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/auto"),
    ] {
        assert_eq!(ask(address, method, path, None, json!({})).await.status, 401, "{method} {path}");
    }
    // A socket may be opened, since who it is may be said on it; and nothing is done for nobody.
    let protocol = ask(address, "GET", "/api/protocol.json", None, Value::Null).await.body.to_string();
    let mut client = Client::v1(address).await;
    for action in ["chat", "tool", "image", "speak", "conversations", "history", "subscribe", "elicit", "profiles"] {
        client.send(&json!({"action": action, "request_id": action, "payload": {"text": "Hello", "name": "x"}})).await;
        let code = client.one(action).await["error"]["code"].clone();
        let is_known = protocol.contains(&format!("\"{action}\""));
        assert!(code == "unauthenticated" || !is_known && code != Value::Null, "{action}: {code}");
    }
}

#[tokio::test]
async fn whoever_is_beside_the_hub_makes_a_new_code_and_lets_an_owner_in_again() {
    let house = House::new("providers: { active: assistant }\n");
    let (process, address, old) = unowned(&house).await;
    // The port is a free one, which the command could not know.
    let beside = |words: &[&str]| {
        let mut command = hearth(["claim"]);
        let port = address.port().to_string();
        command.args(words).args(["--config", &house.path("config.yaml")]);
        command.env("HEARTH__GATEWAY__PORT", port).env("HEARTH__GATEWAY__AUTH", "required");
        command
    };
    let claim =
        async |code: &str| ask(address, "POST", "/api/v1/claim", None, json!({"code": code, "name": "ann"})).await;
    let ended = run(beside(&["--new-code"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    let code = ended.out.lines().find(|line| line.trim().len() == 9 && line.contains('-')).expect("a code").trim();
    assert!(ended.out.contains(&format!(".local:{}/", address.port())) && ended.out.contains('█'), "{}", ended.out);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(house.path("claim-code")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(claim(&old).await.status, 403, "the new one takes its place");
    process.log(|line| line["code"] == code).await;
    let heard = claim(code).await;
    assert_eq!(heard.status, 201, "{}", heard.body);
    assert!(!std::path::Path::new(&house.path("claim-code")).exists());
    let ended = run(beside(&["--new-code"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("somebody owns"), "{}", ended.err);

    let ended = run(beside(&["--recover", "ann"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("stop it first"), "{}", ended.err);
    process.signal(rustix::process::Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(0));
    let ended = run(beside(&["--recover", "eve"])).await;
    assert!(ended.code() == Some(1) && ended.err.contains("there is ann"), "{}", ended.err);
    let ended = run(beside(&["--recover", "ann"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    let mut command = house.command();
    command.env("HEARTH__GATEWAY__AUTH", "required");
    let process = Process::start(command, "");
    let address = process.address().await;
    let authorization = format!("Bearer {}", ended.out.trim());
    let heard = ask(address, "GET", "/api/v1/usage", Some(&authorization), Value::Null).await;
    assert_eq!(heard.status, 200, "{}", heard.body);
}

#[tokio::test]
async fn guesses_at_codes_and_passwords_are_counted() {
    let house = House::new("providers: { active: assistant }\n");
    let (_process, address, code) = unowned(&house).await;
    let claim =
        async |code: &str| ask(address, "POST", "/api/v1/claim", None, json!({"code": code, "name": "eve"})).await;
    for _ in 0..5 {
        let heard = claim("2222-2222").await;
        assert_eq!((heard.status, &heard.body["code"]), (403, &json!("forbidden")));
    }
    let heard = claim(&code).await;
    assert_eq!((heard.status, &heard.body["code"]), (429, &json!("rate_limited")), "{}", heard.body);
    assert!(heard.body["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{}", heard.body);
    for body in [json!({}), json!([]), json!({"code": 7, "name": "eve"})] {
        assert_eq!(ask(address, "POST", "/api/v1/claim", None, body).await.status, 400);
        assert_eq!(ask(address, "POST", "/api/v1/login", None, json!({"name": "eve"})).await.status, 400);
    }
    let heard = ask(address, "POST", "/api/v1/login", None, json!({"name": "eve", "password": "guess work"})).await;
    assert!([401, 429].contains(&heard.status), "{}", heard.body);
}

#[tokio::test]
async fn a_hub_on_the_network_asks_for_tokens_by_itself() {
    let house = House::new("");
    let mut command = house.command();
    command.env("HEARTH__GATEWAY__HOST", "0.0.0.0");
    let process = Process::start(command, "");
    let address = SocketAddr::from(([127, 0, 0, 1], process.address().await.port()));
    process.log(|line| line["code"].is_string()).await;
    assert_eq!(ask(address, "GET", "/api/v1/usage", None, Value::Null).await.status, 401);
}
