//! Requests find their server and answers come back; names and URIs are translated on the way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::error::ErrorCode;
use crate::mcp::call::{Fault, Reach};
use crate::mcp::source::{Method, Source};
use crate::mcp::upstream::testing::{Manner, Script, World, guest, owner, script};
use crate::store::ToolOverlay;

fn rich(name: &str) -> Script {
    let mut script = script(&["x"]);
    script.prompts = vec![json!({ "name": "greet", "arguments": [{ "name": "whom" }] })];
    script.resources = vec![
        json!({ "uri": "note://shared", "name": "both have it" }),
        json!({ "uri": format!("own://{name}"), "name": "own" }),
    ];
    script.templates = vec![json!({ "uriTemplate": format!("{name}://{{id}}/data"), "name": "data" })];
    script
}

async fn both() -> World {
    let world = World::new(vec![("a", rich("a"))], true);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.servers.scripts.lock().unwrap().insert("b".into(), rich("b"));
    world.config(|config| {
        config.mcp.servers.insert("b".into(), crate::mcp::upstream::testing::row(true));
    });
    world.until("all are listed", |world| world.listed().len() == 2).await;
    world
}

async fn ask(world: &World, method: Method, params: Value) -> Result<Value, Fault> {
    world.during(world.aggregator.request(method, params, owner(), Reach::default())).await
}

async fn text_of(world: &World, uri: &str) -> String {
    let read = ask(world, Method::ReadResource, json!({ "uri": uri })).await.expect(uri);
    assert_eq!(read["contents"][0]["uri"], *uri, "it is called as it was asked for");
    read["contents"][0]["text"].as_str().expect("a text").to_owned()
}

#[tokio::test(start_paused = true)]
async fn resources_are_read_where_they_are_and_shared_uris_part() {
    let world = both().await;
    let listed = world.aggregator.resources(&owner()).await.expect("a list");
    let uris: Vec<_> = listed.iter().map(|resource| resource["uri"].as_str().expect("a URI")).collect();
    assert_eq!(uris, ["note://shared", "own://a", "own://b", "upstream://b/note://shared"]);
    for (uri, of) in [
        ("note://shared", "of a"),
        ("upstream://b/note://shared", "of b"),
        ("own://b", "of b"),
        ("b://7/data", "of b"),
        ("upstream://a/b://anything", "of a"),
    ] {
        assert_eq!(text_of(&world, uri).await, of, "{uri}");
    }
    assert!(!world.aggregator.owns_uri("note://b/1"));
    world.call("b__x").await.expect("it works");
    assert_eq!(text_of(&world, "note://b/1").await, "of b", "a result spoke of it");

    // The same after a restart: who came second stays where it went.
    let world = world.restart().await;
    assert_eq!(text_of(&world, "upstream://b/note://shared").await, "of b");
    assert_eq!(text_of(&world, "note://shared").await, "of a");
    // A server that would have everything does not get what another one names.
    let mut greedy = script(&["x"]);
    greedy.templates =
        vec![json!({ "uriTemplate": "{+any}", "name": "any" }), json!({ "uriTemplate": "b:{+any}", "name": "b" })];
    world.servers.scripts.lock().unwrap().insert("all".into(), greedy);
    world.config(|config| drop(config.mcp.servers.insert("all".into(), crate::mcp::upstream::testing::row(true))));
    world.until("it is listed", |world| world.listed().len() == 3).await;
    assert_eq!(text_of(&world, "b://7/data").await, "of b");
    assert_eq!(text_of(&world, "b://7/other").await, "of all");
    let world = World::restart(world).await;
    world.config(|config| drop(config.mcp.servers.remove("all")));
    world.until("it is gone", |world| world.listed().len() == 2).await;
    let fault = ask(&world, Method::ReadResource, json!({ "uri": "nobody://has/it" })).await.expect_err("nobody");
    assert_eq!(fault.error.code, ErrorCode::NotFound);
}

#[tokio::test(start_paused = true)]
async fn prompts_and_completions_carry_the_servers_own_names() {
    let world = both().await;
    let got = ask(&world, Method::GetPrompt, json!({ "name": "b__greet", "arguments": { "whom": "you" } })).await;
    assert_eq!(got.expect("a prompt")["description"], "greet");
    for (named, own) in [
        (json!({ "type": "ref/prompt", "name": "b__greet" }), json!({ "type": "ref/prompt", "name": "greet" })),
        (
            json!({ "type": "ref/resource", "uri": "b://{id}/data" }),
            json!({ "type": "ref/resource", "uri": "b://{id}/data" }),
        ),
    ] {
        let params = json!({ "ref": named, "argument": { "name": "id", "value": "" } });
        let completed = ask(&world, Method::Complete, params).await.expect("a completion");
        assert_eq!(completed["completion"]["values"][0], own.to_string());
    }
    let stranger =
        world.aggregator.request(Method::GetPrompt, json!({ "name": "b__greet" }), guest(), Reach::default());
    let fault = world.during(stranger).await.expect_err("it is not for guests");
    assert_eq!(fault.error.code, ErrorCode::Forbidden);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_counted_told_and_renewed() {
    let mut world = both().await;
    let uri = json!({ "uri": "upstream://b/note://shared" });
    for _ in 0..2 {
        ask(&world, Method::Subscribe, uri.clone()).await.expect("it is subscribed");
    }
    assert_eq!(world.got("b", "resources/subscribe"), 1, "the server hears of the first");
    world.news();
    world.says("b", "notifications/resources/updated", json!({ "uri": "note://shared" }));
    world.pass(Duration::from_millis(200)).await;
    let news = world.news();
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(news.iter().all(|changed| changed.contains("upstream://b/note://shared")), "{news:?}");

    world.kill("b");
    world.until("it is subscribed again", |world| world.got("b", "resources/subscribe") == 2).await;
    world.config(|config| config.mcp.idle_s = 2);
    world.pass(Duration::from_secs(8)).await;
    assert_eq!(world.running(), 1, "as long as somebody listens it is there, idle or not");

    ask(&world, Method::Unsubscribe, uri.clone()).await.expect("it is");
    assert_eq!(world.got("b", "resources/unsubscribe"), 0, "one still listens");
    ask(&world, Method::Unsubscribe, uri).await.expect("it is");
    assert_eq!(world.got("b", "resources/unsubscribe"), 1);
    world.until("it is stopped when idle", |world| world.running() == 0).await;

    world.script("b", |script| script.manner = Manner::Hangs);
    let asking = ask(&world, Method::Subscribe, json!({ "uri": "own://b" }));
    assert!(world.during(tokio::time::timeout(Duration::from_secs(1), asking)).await.is_err());
    assert!(!world.aggregator.subscriptions.is_any("b"), "who left before the answer holds nobody up");
}

#[tokio::test(start_paused = true)]
async fn nobody_believes_what_a_server_has_not_agreed_to() {
    let world = both().await;
    world.script("b", |script| script.manner = Manner::Secretive);
    let ask = || {
        let params = json!({ "uri": "upstream://b/note://shared" });
        world.aggregator.request(Method::Subscribe, params, owner(), Reach::default())
    };
    let (first, second) = world.during(futures_util::future::join(ask(), ask())).await;
    assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
    assert!(!world.aggregator.subscriptions.is_any("b"));
}

/// It was not heard for a while.
#[tokio::test(start_paused = true)]
async fn a_list_that_changed_while_a_server_was_not_heard_is_seen() {
    let mut world = both().await;
    assert!(world.call("b__x").await.is_ok(), "it runs");
    world.pass(Duration::from_secs(20)).await;
    world.script("b", |script| script.tools.push(crate::mcp::upstream::testing::tool("new")));
    world.pass(Duration::from_secs(20)).await;
    assert!(!world.listed().contains(&"b__new".to_owned()), "it did not say so");
    world.news();
    world.is_heard_again("b");
    world.until("it is listed", |world| world.listed().contains(&"b__new".to_owned())).await;
    assert!(!world.news().is_empty());
}

#[tokio::test(start_paused = true)]
async fn merged_tools_stand_in_for_each_other() {
    let world = both().await;
    let merged = ToolOverlay { tool: "b__x".into(), merged_into: Some("a__x".into()), ..ToolOverlay::default() };
    world.store.put(merged, None).await.expect("a write");
    world.until("one is listed", |world| world.listed() == ["a__x"]).await;
    assert!(
        world.call("b__x").await.is_ok_and(|text| text.starts_with("a did")),
        "the merged one's name keeps working"
    );
    world.script("a", |script| script.manner = Manner::Crashes);
    world.kill("a");
    world.pass(Duration::from_millis(50)).await;
    assert!(world.call("a__x").await.is_ok_and(|text| text.starts_with("b did")));
    world.script("a", |script| script.manner = Manner::Well);
    world.script("b", |script| script.manner = Manner::Crashes);
    world.kill("b");
    world.pass(Duration::from_secs(2)).await;
    assert!(world.call("a__x").await.is_ok_and(|text| text.starts_with("a did")));
}

#[tokio::test(start_paused = true)]
async fn arguments_arrive_as_they_were_and_a_dropped_call_is_cancelled() {
    let world = both().await;
    assert_eq!(world.call("a__x").await.expect("it works"), "a did \"x\" with {\"text\":\"hello\"}");
    world.script("a", |script| script.manner = Manner::Slow(60_000));
    {
        let aggregator: Arc<_> = world.aggregator.clone();
        let call = crate::mcp::call::Call {
            tool: "a__x".into(),
            arguments: serde_json::Map::new(),
            who: owner(),
            reach: Reach::default(),
        };
        let dropped = tokio::time::timeout(Duration::from_secs(1), aggregator.call(call));
        assert!(world.during(dropped).await.is_err());
    }
    let status = &world.aggregator.status(Some("a")).expect("it is there")[0];
    assert_eq!((status.calls, status.state.as_str()), (0, "up"), "nothing is left of it");
}
