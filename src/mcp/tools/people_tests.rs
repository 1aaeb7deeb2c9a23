//! Users and tokens as tools: who sees whom, who changes what, and that no secret comes out.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::auth::Moment;
use crate::common::config::{Auth, Config};
use crate::mcp::call::{Call, Outcome};
use crate::mcp::tools::tokens;

struct House {
    tools: Vec<Arc<dyn Tool>>,
    gate: Gate,
    _config: watch::Sender<Arc<Config>>,
    _folder: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
async fn house() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let mut config = Config::default();
    config.gateway.auth = Auth::Required;
    let (config, settings) = watch::channel(Arc::new(config));
    let clock = || Moment { at: Instant::now(), unix_ms: 1_800_000_000_000 };
    let gate = Gate::new(store.clone(), settings, Arc::new(clock));
    for (name, role) in [("ann", Role::Owner), ("bob", Role::Member), ("panel", Role::Device)] {
        gate.create_user(NewUser::new(name, role)).await.expect("a new user");
    }
    let tools = tools(&gate, &store).into_iter().chain(tokens::tools(&gate, &store)).collect();
    House { tools, gate, _config: config, _folder: folder }
}

impl House {
    async fn call(&self, who: &Principal, tool: &str, arguments: Value) -> Result<Value, ErrorCode> {
        let found = self.tools.iter().find(|one| &*one.definition().name == tool).expect("a tool");
        let arguments = arguments.as_object().expect("an object").clone();
        let call = Call { tool: tool.into(), arguments, who: Arc::new(who.clone()), reach: Default::default() };
        match found.call(call).await {
            Ok(Outcome::Done(output)) => Ok(output.structured.expect("a structured result")),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.error.code),
        }
    }
}

fn who(name: &str, role: Role) -> Principal {
    Principal::new(name, role, Way::Rest)
}

#[tokio::test]
async fn every_definition_is_one_that_a_client_can_use() {
    for tool in house().await.tools {
        let definition = tool.definition();
        assert!(definition.name.starts_with("users.") || definition.name.starts_with("tokens."));
        assert_eq!(definition.input.to_value()["type"], "object", "{}", definition.name);
        let output = definition.output.as_ref().expect("a typed result");
        assert_eq!(output.to_value()["type"], "object", "{}", definition.name);
        assert!(!output.as_str().contains("hash"), "{output}");
        let is_owners = ["users.create", "users.delete"].contains(&&*definition.name);
        assert_eq!(definition.access == Role::Owner, is_owners, "{}", definition.name);
    }
}

#[tokio::test]
async fn an_owner_lets_somebody_in_and_no_password_comes_out() {
    let (house, ann) = (house().await, who("ann", Role::Owner));
    let made =
        house.call(&ann, "users.create", json!({"name": "eve", "password": "correct horse"})).await.expect("made");
    assert_eq!((&made["role"], &made["has_password"]), (&json!("member"), &json!(true)));
    let all = house.call(&ann, "users.list", json!({})).await.expect("a list");
    assert!(!all.to_string().contains("argon2") && !all.to_string().contains("correct"), "{all}");
    let names: Vec<_> = all["users"].as_array().expect("a list").iter().map(|user| &user["name"]).collect();
    assert_eq!(names, ["ann", "bob", "eve", "panel"]);
    let page = house.call(&ann, "users.list", json!({"limit": 3})).await.expect("a page");
    assert_eq!((page["users"].as_array().map(Vec::len), &page["next_cursor"]), (Some(3), &json!("eve")));
    let rest = house.call(&ann, "users.list", json!({"limit": 3, "cursor": "eve"})).await.expect("a page");
    assert_eq!((&rest["users"][0]["name"], rest.get("next_cursor")), (&json!("panel"), None));

    let wishes = json!({"name": "eve", "role": "guest", "rooms": ["kitchen"], "deny": ["ask"], "password": null});
    let set = house.call(&ann, "users.set", wishes).await.expect("set");
    assert_eq!((&set["rooms"], &set["has_password"]), (&json!(["kitchen"]), &json!(false)));
    let set = house.call(&ann, "users.set", json!({"name": "eve", "rooms": null})).await.expect("set");
    assert_eq!((set.get("rooms"), &set["deny"], &set["role"]), (None, &json!(["ask"]), &json!("guest")));
    let stale = json!({"name": "eve", "disabled": true, "if_revision": 1});
    assert_eq!(house.call(&ann, "users.set", stale).await, Err(ErrorCode::Conflict));
    assert_eq!(house.call(&ann, "users.set", json!({"name": "ann", "role": "guest"})).await, Err(ErrorCode::Conflict));
    assert_eq!(house.call(&ann, "users.delete", json!({"name": "ann"})).await, Err(ErrorCode::Conflict));
    assert_eq!(house.call(&ann, "users.delete", json!({"name": "eve"})).await, Ok(json!({"deleted": true})));
    assert_eq!(house.call(&ann, "users.get", json!({"name": "eve"})).await, Err(ErrorCode::NotFound));
    assert_eq!(house.call(&ann, "users.create", json!({"name": "bob"})).await, Err(ErrorCode::Conflict));
    assert_eq!(house.call(&ann, "users.create", json!({"name": "E V E"})).await, Err(ErrorCode::BadRequest));
}

#[tokio::test]
async fn a_member_sees_and_changes_nobody_else() {
    let (house, bob) = (house().await, who("bob", Role::Member));
    let all = house.call(&bob, "users.list", json!({})).await.expect("a list");
    assert_eq!((all["users"].as_array().map(Vec::len), &all["users"][0]["name"]), (Some(1), &json!("bob")));
    assert_eq!(house.call(&bob, "users.get", json!({"name": "ann"})).await, Err(ErrorCode::NotFound));
    for wishes in [
        json!({"name": "bob", "role": "owner"}),
        json!({"name": "bob", "rooms": null}),
        json!({"name": "bob", "allow": []}),
    ] {
        assert_eq!(house.call(&bob, "users.set", wishes.clone()).await, Err(ErrorCode::Forbidden), "{wishes}");
    }
    let others = json!({"name": "ann", "password": "taken over"});
    assert_eq!(house.call(&bob, "users.set", others).await, Err(ErrorCode::NotFound));
    let own = json!({"name": "bob", "display_name": "Bob", "password": "correct horse"});
    assert_eq!(house.call(&bob, "users.set", own).await.expect("his own")["display_name"], "Bob");

    let anns = house.gate.create_token("ann", "phone", None).await.expect("a token").token.id;
    let made = house.call(&bob, "tokens.create", json!({"name": "laptop"})).await.expect("his own");
    assert!(crate::auth::token::is_token(made["token"].as_str().expect("the secret")), "{made}");
    assert_eq!(made["user"], "bob");
    let listed = house.call(&bob, "tokens.list", json!({})).await.expect("a list");
    assert_eq!((listed["tokens"].as_array().map(Vec::len), &listed["tokens"][0]["id"]), (Some(1), &made["id"]));
    assert!(!listed.to_string().contains("hth_") && !listed.to_string().contains("hash"), "{listed}");
    assert_eq!(house.call(&bob, "tokens.create", json!({"name": "x", "user": "ann"})).await, Err(ErrorCode::Forbidden));
    assert_eq!(house.call(&bob, "tokens.revoke", json!({"id": anns})).await, Err(ErrorCode::NotFound));
    assert_eq!(house.call(&bob, "tokens.revoke", json!({"id": made["id"]})).await, Ok(json!({"deleted": true})));
    let ann = who("ann", Role::Owner);
    let of_panel = house.call(&ann, "tokens.create", json!({"name": "wall", "user": "panel"})).await.expect("made");
    assert!(house.gate.by_token(of_panel["token"].as_str().expect("the secret")).await.is_ok());
    let listed = house.call(&ann, "tokens.list", json!({"user": "panel"})).await.expect("a list");
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_model_changes_nobody() {
    let house = house().await;
    let model = who("ann", Role::Owner).through(Way::Model);
    for (tool, arguments) in [
        ("users.create", json!({"name": "eve", "role": "owner"})),
        ("users.set", json!({"name": "bob", "role": "owner"})),
        ("users.delete", json!({"name": "bob"})),
        ("tokens.create", json!({"name": "x", "user": "ann"})),
        ("tokens.revoke", json!({"id": "t-1"})),
    ] {
        assert_eq!(house.call(&model, tool, arguments).await, Err(ErrorCode::Forbidden), "{tool}");
    }
    assert!(house.call(&model, "users.list", json!({})).await.is_ok());
}
