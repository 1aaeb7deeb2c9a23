//! Bindings through their tools.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::common::error::ErrorCode;
use crate::common::who::Door;
use crate::home::Backend;
use crate::home::testing::{Script, bulb, id, lock, remote};
use crate::mcp::{Call, Outcome, Reach};
use crate::store::Store;

async fn house() -> (TempDir, Arc<Script>, Arc<Keeper>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let source = Script::new(Backend::Simulated);
    let keeper = Keeper::start(store, vec![source.clone()]).await.expect("a house");
    source.begin(vec![remote("0x1"), bulb("0x2")]).await;
    while keeper.devices().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (folder, source, Arc::new(keeper))
}

/// The result, and whether it is a failure.
async fn call(home: &Arc<Keeper>, name: &str, arguments: Value) -> (Value, bool) {
    let tool = tools(home).into_iter().find(|tool| &*tool.definition().name == name).expect("it is there");
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let who = Arc::new(Principal::house(Door::Hub));
    let call = Call { tool: name.into(), arguments, who, reach: Reach::default() };
    match tool.call(call).await {
        Ok(Outcome::Done(output)) => (output.structured.expect("it has one"), output.is_error),
        Ok(_) => panic!("{name} asks for something"),
        Err(fault) => (json!(fault.error.code), true),
    }
}

#[tokio::test]
async fn what_the_device_said_of_each_cluster_is_the_result() {
    let (_folder, source, home) = house().await;
    let no = || ErrorBody::new(ErrorCode::DeviceRejected, "the device refused: TABLE_FULL");
    let wish = json!({"device": "0x1", "target": "bulb", "clusters": ["genOnOff", "genLevelCtrl"]});
    lock(&source.fails).insert(id("0x1"), [no()].into());
    let (result, is_error) = call(&home, "devices.bind", wish.clone()).await;
    assert!(!is_error, "one of two was bound: {result}");
    assert_eq!(result["results"][0]["error"]["code"], "device_rejected");
    assert_eq!(result["results"][1], json!({"cluster": "genLevelCtrl", "ok": true}));
    lock(&source.fails).insert(id("0x1"), [no(), no()].into());
    let (result, is_error) = call(&home, "devices.unbind", wish).await;
    assert!(is_error && result["error"]["code"] == "device_rejected", "{result}");
    let (code, _) = call(&home, "devices.bind", json!({"device": "0x1", "target": "nobody"})).await;
    assert_eq!(code, "not_found");
}

#[tokio::test]
async fn bindings_are_shown_with_the_names_of_the_house() {
    let (_folder, source, home) = house().await;
    let row = |to| Bound { endpoint: 1, cluster: "genOnOff".into(), to };
    *lock(&source.bound) = vec![
        row(BindTarget::Hub),
        row(BindTarget::Group(7)),
        row(BindTarget::Device { id: id("0x2"), endpoint: Some(11) }),
    ];
    let (result, _) = call(&home, "devices.bindings", json!({"device": "0x1"})).await;
    let row = |target: Value| json!({"endpoint": 1, "cluster": "genOnOff", "target": target});
    let rows = [
        row(json!({"kind": "hub", "name": "hub"})),
        row(json!({"kind": "group", "id": "7"})),
        row(json!({"kind": "device", "id": "0x2", "name": "Bulb", "endpoint": 11})),
    ];
    assert_eq!(result, json!({"id": "0x1", "name": "Remote", "bindings": rows}));
}
