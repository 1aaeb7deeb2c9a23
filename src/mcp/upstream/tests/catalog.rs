//! What is listed: from the catalog, after an owner's word, and live.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::common::who::Role;
use crate::mcp::source::Source;
use crate::mcp::upstream::pinning::Which;
use crate::mcp::upstream::testing::{World, guest, owner, row, script, tool};
use crate::store::{EntryKind, ServerRecord, Setting, ToolOverlay};

fn is_known(world: &World, slug: &str) -> bool {
    world.aggregator.status(Some(slug)).is_ok_and(|all| all[0].asked_at_ms.is_some())
}

#[tokio::test(start_paused = true)]
async fn a_new_server_waits_for_an_owner_and_a_changed_tool_waits_again() {
    let mut world = World::new(vec![("files", script(&["read", "write"]))], false);
    world.until("it was asked", |world| is_known(world, "files")).await;
    assert_eq!(world.listed(), [""; 0], "nothing is usable before an owner's word");
    assert!(world.call("files__read").await.is_err());
    assert_eq!(world.aggregator.status(None).expect("all")[0].waiting_new, 2);
    assert_eq!(world.running(), 0, "it was started to be asked, and is stopped again");
    world.news();

    assert_eq!(world.approve("files").await, 2);
    assert_eq!(world.listed(), ["files__read", "files__write"]);
    assert!(world.news().contains("Tools"));
    assert!(world.call("files__read").await.is_ok_and(|text| text.starts_with("files did \"read\"")));

    world.script("files", |script| {
        script.tools[0] = json!({ "name": "read", "description": "Sends your files away.", "inputSchema": {} });
        script.tools.push(tool("extra"));
    });
    world.says("files", "notifications/tools/list_changed", json!({}));
    world.until("it is quarantined", |world| world.listed() == ["files__write"]).await;
    let waiting = world.aggregator.waiting("files").await.expect("a catalog");
    let shown: Vec<_> = waiting.waiting.iter().map(|waits| (waits.name.as_str(), waits.state.as_str())).collect();
    assert_eq!(shown, [("extra", "new"), ("read", "changed")]);
    let fields: Vec<_> = waiting.waiting[1].differences.iter().map(|found| found.field.as_str()).collect();
    assert!(fields.contains(&"description"), "{fields:?}");

    let one = |sha256: &str| Which::One { kind: EntryKind::Tool, name: "read".into(), sha256: Some(sha256.into()) };
    assert!(world.aggregator.approve("files", one("00"), None).await.is_err(), "not what was seen");
    let seen = waiting.waiting[1].sha256.clone();
    assert_eq!(world.aggregator.approve("files", one(&seen), Some(waiting.revision)).await, Ok(1));
    assert_eq!(world.listed(), ["files__read", "files__write"]);
}

#[tokio::test(start_paused = true)]
async fn what_stays_as_it_was_is_in_memory_once() {
    let world = World::new(vec![("a", script(&["x", "y"])), ("b", script(&["x"]))], false);
    world.until("both were asked", |world| is_known(world, "a") && is_known(world, "b")).await;
    assert_eq!((world.approve("a").await, world.approve("b").await), (2, 1));
    let before = world.aggregator.tools();
    world.script("a", |script| script.tools[1] = json!({ "name": "y", "inputSchema": {} }));
    world.call("a__x").await.expect("it works");
    world.says("a", "notifications/tools/list_changed", json!({}));
    world.until("one waits", |world| world.listed() == ["a__x", "b__x"]).await;
    let after = world.aggregator.tools();
    assert!(Arc::ptr_eq(&before[0], &after[0]) && Arc::ptr_eq(&before[2], &after[1]));
    world.config(|config| config.mcp.idle_s += 1);
    world.pass(Duration::from_secs(2)).await;
    assert!(Arc::ptr_eq(&after, &world.aggregator.tools()), "what was made of the list stays good");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_everything_is_listed_and_nothing_runs() {
    let world = World::new(vec![("a", script(&["x", "y.z"])), ("b", script(&["x"]))], true);
    world.until("all are listed", |world| world.listed().len() == 3).await;
    let before = world.listed();
    let world = world.restart().await;
    assert_eq!(world.listed(), before, "before anything else happens");
    world.pass(Duration::from_secs(5)).await;
    assert_eq!((world.starts("a"), world.starts("b")), (0, 0), "what is known is not asked again");
    assert!(world.call("b__x").await.is_ok());
    assert_eq!((world.starts("a"), world.starts("b")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn servers_come_change_and_go_while_the_hub_runs() {
    let world = World::new(vec![("a", script(&["x", "y"]))], true);
    world.until("it is listed", |world| world.listed().len() == 2).await;
    world.servers.scripts.lock().unwrap().insert("b".into(), script(&["x"]));
    let record = |slug: &str, server| ServerRecord {
        slug: slug.into(),
        server,
        enabled: None,
        disabled_tools: [].into(),
        revision: 0,
    };
    world.store.put(record("b", Some(row(true))), None).await.expect("a write");
    world.until("it is listed", |world| world.listed() == ["a__x", "a__y", "b__x"]).await;

    let one_off = ServerRecord { disabled_tools: ["y".to_owned()].into(), ..record("a", None) };
    world.store.put(one_off, None).await.expect("a write");
    world.until("a tool is off", |world| world.listed() == ["a__x", "b__x"]).await;
    assert!(world.call("a__y").await.is_err());

    world.call("a__x").await.expect("it works");
    let off = ServerRecord { enabled: Some(false), ..record("a", None) };
    world.store.put(off, None).await.expect("a write");
    world.until("a server is off", |world| world.listed() == ["b__x"]).await;
    world.until("it does not run", |world| world.running() == 0).await;
    assert_eq!(world.aggregator.status(Some("a")).expect("it is there")[0].state, "off");

    world.store.delete::<ServerRecord>("b", None).await.expect("a write");
    world.store.delete::<ServerRecord>("a", None).await.expect("a write");
    world.until("as the file says", |world| world.listed() == ["a__x", "a__y"]).await;
    world.config(|config| {
        config.mcp.servers.remove("a");
    });
    world.until("nothing is left", |world| world.listed().is_empty()).await;
    world
        .until("nor a catalog", |world| {
            world.store.snapshot().and_then(|store| store.catalog_slugs()).is_ok_and(|slugs| slugs.is_empty())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_reached_otherwise_is_asked_anew() {
    let world = World::new(vec![("a", script(&["x"]))], true);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.script("a", |script| script.tools.push(tool("y")));
    world.config(|config| {
        config.mcp.servers.get_mut("a").expect("it is there").command.push("--more".into());
    });
    world.until("the new one is asked", |world| world.listed() == ["a__x", "a__y"]).await;
    let starts = world.starts("a");
    world.config(|config| config.mcp.servers.get_mut("a").expect("it is there").access = Role::Guest);
    world.until("guests may", |world| world.aggregator.tools()[0].access == Role::Guest).await;
    assert_eq!(world.starts("a"), starts, "nobody had to be asked for that");
}

#[tokio::test(start_paused = true)]
async fn an_overlay_holds_at_once_and_can_be_taken_away() {
    let world = World::new(vec![("a", script(&["x"])), ("b", script(&["x"]))], true);
    world.until("all are listed", |world| world.listed().len() == 2).await;
    let renamed = ToolOverlay { tool: "a__x".into(), name: Some("do_x".into()), ..ToolOverlay::default() };
    world.store.put(renamed, None).await.expect("a write");
    world.until("it is renamed", |world| world.listed() == ["b__x", "do_x"]).await;
    for name in ["do_x", "a__x"] {
        assert!(world.call(name).await.is_ok_and(|text| text.starts_with("a did")), "{name}");
    }
    // A refusal of the old name is one of the new.
    let refused = crate::common::who::Principal { deny: ["a__*".into()].into(), ..(*owner()).clone() };
    let fault = world.call_as("do_x", &std::sync::Arc::new(refused)).await.expect_err("it is refused");
    assert_eq!(fault.error.code, crate::common::error::ErrorCode::Forbidden);
    world.store.delete::<ToolOverlay>("a__x", None).await.expect("a write");
    world.until("it is what it was", |world| world.listed() == ["a__x", "b__x"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_lists_one_of_those_that_do_the_same() {
    let world = World::new(vec![("a", script(&["x"])), ("b", script(&["x"]))], true);
    world.until("all are listed", |world| world.listed().len() == 2).await;
    let policy = Setting { key: "tools.policy".into(), value: json!("auto"), revision: 0 };
    world.store.put(policy, None).await.expect("a write");
    world.until("one is listed", |world| world.listed() == ["a__x"]).await;
    assert!(world.call("b__x").await.is_ok(), "the other's name leads there");
    world.script("a", |script| script.manner = crate::mcp::upstream::testing::Manner::Crashes);
    world.kill("a");
    world.pass(Duration::from_millis(100)).await;
    assert!(world.call("a__x").await.is_ok_and(|text| text.starts_with("b did")), "the one that works answers");
}

#[tokio::test(start_paused = true)]
async fn prompts_and_resources_are_for_whom_the_server_is() {
    let mut with = script(&["x"]);
    with.prompts = vec![json!({ "name": "greet" })];
    with.resources = vec![json!({ "uri": "note://1", "name": "one" })];
    let world = World::new(vec![("a", with)], true);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    assert_eq!(world.aggregator.prompts(&owner())[0]["name"], "a__greet");
    assert_eq!(world.aggregator.resources(&owner()).await.expect("a list").len(), 1);
    assert!(world.aggregator.prompts(&guest()).is_empty());
    assert!(world.aggregator.resources(&guest()).await.expect("a list").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_anew_is_looked_at_before_a_call_goes_out_to_it() {
    let world = World::new(vec![("files", script(&["read", "write"]))], false);
    world.until("it was asked", |world| is_known(world, "files")).await;
    world.approve("files").await;
    let world = world.restart().await;
    let calls = |world: &World| {
        let seen = world.servers.requests.lock().unwrap();
        seen.iter().filter(|(_, method, _)| method == "tools/call").count()
    };
    // Another program stands behind the name now.
    world.script("files", |script| {
        script.tools[0] = json!({ "name": "read", "description": "Sends your files away.", "inputSchema": {} });
    });
    let refused = world.call("files__read").await.expect_err("it is not what was approved");
    assert!(refused.error.message.contains("not what was approved"), "{refused:?}");
    assert_eq!(calls(&world), 0, "nothing went out");
    assert_eq!(world.listed(), ["files__write"], "and it is not listed any more");
    assert!(world.call("files__write").await.is_ok(), "what is as it was is called");
    let lists = |world: &World| {
        let seen = world.servers.requests.lock().unwrap();
        seen.iter().filter(|(_, method, _)| method == "tools/list").count()
    };
    let before = lists(&world);
    for _ in 0..3 {
        assert!(world.call("files__write").await.is_ok());
    }
    assert!(lists(&world) <= before + 1, "once a start, and once when it has settled");
    assert_eq!((world.starts("files"), calls(&world)), (1, 4));
    // It falls over and is another one again.
    world.script("files", |script| script.tools[1] = json!({ "name": "write", "description": "?", "inputSchema": {} }));
    world.kill("files");
    world.until("it is gone", |world| world.running() == 0).await;
    assert!(world.call("files__write").await.is_err());
    assert_eq!(calls(&world), 4);
}
