//! The doors of bindings: over REST and on the command line, for owners only, over a radio that does what the test says.

use hearth::common::config::Auth;
use hearth::common::who::Role;
use serde_json::json;

use crate::house::{ask, asking, furnished, furnished_with};
use crate::world::devices::LAMP;
use crate::world::process::run;

#[tokio::test]
async fn a_device_is_bound_through_every_door() {
    let (hub, _radio) = furnished().await;
    let path = |what: &str| format!("/api/v1/devices/plug/{what}");
    let wish = json!({ "target": "kitchen lamp" });
    let bound = ask(hub.address, None, "POST", &path("bind"), Some(wish.clone())).await;
    assert_eq!((bound.status, &bound.body["results"]), (200, &json!([{ "cluster": "genOnOff", "ok": true }])));
    let listed = ask(hub.address, None, "GET", &path("bindings"), None).await;
    let target = json!({ "kind": "device", "id": LAMP, "name": "kitchen lamp" });
    assert_eq!(listed.body["bindings"][0]["target"], target);
    let shown = run(asking(hub.address, &["devices", "bindings", "plug"])).await;
    assert!(shown.out.contains("kitchen lamp") && shown.out.contains("genOnOff"), "{}{}", shown.out, shown.err);
    let ended = run(asking(hub.address, &["devices", "unbind", "plug", "kitchen lamp"])).await;
    assert_eq!((ended.code(), ended.out.trim()), (Some(0), "genOnOff: done"), "{}", ended.err);
    let ended = run(asking(hub.address, &["devices", "bind", "plug", "hub", "--clusters", "genOnOff,genBasic"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    let listed = ask(hub.address, None, "GET", &path("bindings"), None).await;
    assert_eq!(listed.body["bindings"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed.body["bindings"][0]["target"]["kind"], "hub");
    let nobody = ask(hub.address, None, "POST", &path("bind"), Some(json!({ "target": "nobody" }))).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn only_owners_bind() {
    let (hub, _radio) = furnished_with(Auth::Required).await;
    let member = hub.let_in("bob", Role::Member).await;
    let wish = json!({ "target": "kitchen lamp" });
    for what in ["bind", "unbind"] {
        let path = format!("/api/v1/devices/plug/{what}");
        assert_eq!(ask(hub.address, Some(&member), "POST", &path, Some(wish.clone())).await.status, 403);
    }
}
