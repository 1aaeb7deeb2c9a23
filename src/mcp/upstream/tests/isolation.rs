//! One that fails takes nobody with it, and works again soon after it can.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::common::error::ErrorCode;
use crate::mcp::upstream::testing::{Manner, World, now, owner, script};
use crate::store::EntryKind;

const SECOND: Duration = Duration::from_secs(1);

/// How long until a call works, with one call after the other.
async fn works_again(world: &World, tool: &str) -> Duration {
    let from = now();
    while world.call(tool).await.is_err() {
        assert!(from.elapsed() < 60 * SECOND, "{tool} never works again");
        world.pass(Duration::from_millis(50)).await;
    }
    from.elapsed()
}

#[tokio::test(start_paused = true)]
async fn it_starts_at_its_first_call_and_stops_when_idle() {
    let world = World::with(vec![("a", script(&["x"]))], true, |config| config.mcp.idle_s = 10);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.until("discovery is over", |world| world.running() == 0).await;
    world.call("a__x").await.expect("it works");
    assert_eq!(world.running(), 1);
    world.pass(8 * SECOND).await;
    world.call("a__x").await.expect("it works");
    world.pass(8 * SECOND).await;
    assert_eq!(world.running(), 1, "it was used 8 s ago");
    world.pass(4 * SECOND).await;
    assert_eq!(world.running(), 0, "nobody used it for 12 s");
    assert!(world.call("a__x").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_run_and_the_idlest_makes_room() {
    let names: Vec<String> = (0..6).map(|n| format!("s{n}")).collect();
    let servers = names.iter().map(|name| (name.as_str(), script(&["x"]))).collect();
    let world = World::with(servers, true, |config| config.mcp.max_processes = 2);
    world.until("all are listed", |world| world.listed().len() == 6).await;
    for _ in 0..2 {
        for name in &names {
            assert!(world.call(&format!("{name}__x")).await.is_ok());
        }
    }
    assert!(world.servers.running_max.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_it_it_works_again_within_two_seconds() {
    for manner in [Manner::Crashes, Manner::Hangs, Manner::Garbage, Manner::DiesInCalls] {
        let world = World::new(vec![("bad", script(&["x"])), ("good", script(&["x"]))], true);
        world.until("all are listed", |world| world.listed().len() == 2).await;
        world.call("bad__x").await.expect("it works at first");
        world.script("bad", |script| script.manner = manner);
        world.kill("bad");
        world.pass(Duration::from_millis(20)).await;
        let fault = world.call("bad__x").await.expect_err("it does not work");
        assert!(fault.error.message.contains("\"bad\""), "{}", fault.error.message);
        assert!(matches!(fault.error.code, ErrorCode::Offline), "{fault:?}");
        for _ in 0..20 {
            let _ = world.call("bad__x").await;
            let began = now();
            world.call("good__x").await.expect("it has nothing to do with it");
            assert!(began.elapsed() < Duration::from_millis(200), "{manner:?} delays another one");
            world.pass(Duration::from_millis(250)).await;
        }
        world.script("bad", |script| script.manner = Manner::Well);
        let took = works_again(&world, "bad__x").await;
        assert!(took < 2 * SECOND, "{manner:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_is_not_started_more_than_once_a_second_or_so() {
    let world = World::new(vec![("bad", script(&["x"]))], true);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.script("bad", |script| script.manner = Manner::Crashes);
    let before = world.starts("bad");
    for _ in 0..300 {
        let _ = world.call("bad__x").await;
        world.pass(Duration::from_millis(30)).await;
    }
    let starts = world.starts("bad") - before;
    assert!(starts <= 20, "{starts} starts within 10 s");
    let fault = world.call("bad__x").await.expect_err("it is broken");
    assert!(fault.error.retryable && fault.error.message.contains("it ended with 1"), "{fault:?}");
    let status = &world.aggregator.status(Some("bad")).expect("it is there")[0];
    assert_eq!((status.state.as_str(), status.problem.as_deref()), ("broken", Some("it ended with 1")));
}

#[tokio::test(start_paused = true)]
async fn killed_in_a_call_it_is_started_anew_and_asked_again_where_that_is_safe() {
    let mut with = script(&["look", "act"]);
    with.tools[0]["annotations"] = json!({ "readOnlyHint": true });
    with.manner = Manner::Slow(500);
    let world = World::new(vec![("a", with)], true);
    world.until("it is listed", |world| world.listed().len() == 2).await;
    for (tool, is_safe) in [("a__look", true), ("a__act", false)] {
        world.call(tool).await.expect("it works");
        let (called, ()) = tokio::join!(world.call(tool), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            world.kill("a");
        });
        assert_eq!(called.is_ok(), is_safe, "{tool}: {called:?}");
        world.pass(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_on_the_wire_takes_no_other_call_with_it() {
    let mut with = script(&["x"]);
    with.manner = Manner::Slow(500);
    let world = World::new(vec![("a", with)], true);
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.call("a__x").await.expect("it works");
    let who = owner();
    let (slow, failed) = world
        .during(async {
            tokio::join!(world.call_beside("a__x", &who), async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                world.script("a", |script| script.manner = Manner::DiesInCalls);
                world.call_beside("a__x", &who).await
            })
        })
        .await;
    assert!(failed.is_err() && slow.is_ok(), "{failed:?} {slow:?}");
    // What is switched off or killed is over for all.
    world.script("a", |script| script.manner = Manner::Slow(5_000));
    works_again(&world, "a__x").await;
    let (called, ()) = world
        .during(async {
            tokio::join!(world.call_beside("a__x", &who), async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                world.config(|config| drop(config.mcp.servers.remove("a")));
            })
        })
        .await;
    assert!(called.expect_err("it was taken away").error.message.contains("\"a\""));
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_no_call_is_started_anew() {
    let world = World::with(vec![("a", script(&["x"]))], true, |config| {
        config.mcp.servers.get_mut("a").expect("it is there").call_s = 2;
    });
    world.until("it is listed", |world| world.listed().len() == 1).await;
    world.call("a__x").await.expect("it works");
    world.script("a", |script| script.manner = Manner::Mute);
    let fault = world.call("a__x").await.expect_err("no answer");
    assert_eq!(fault.error.code, ErrorCode::Timeout);
    let starts = world.starts("a");
    // A ping tells whether it is there at all.
    world.pass(3 * SECOND).await;
    world.script("a", |script| script.manner = Manner::Well);
    assert!(works_again(&world, "a__x").await < 2 * SECOND);
    assert_eq!(world.starts("a"), starts + 1);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_its_turns_wait_and_beyond_that_are_refused() {
    let mut with = script(&["x"]);
    with.manner = Manner::Slow(1_000);
    let world = World::with(vec![("a", with)], true, |config| {
        config.mcp.servers.get_mut("a").expect("it is there").max_calls = 2;
    });
    world.until("it is listed", |world| world.listed().len() == 1).await;
    let who = owner();
    let calls = |count| futures_util::future::join_all((0..count).map(|_| world.call_beside("a__x", &who)));
    let began = now();
    assert!(world.during(calls(4)).await.iter().all(Result::is_ok));
    assert!(began.elapsed() >= 2 * SECOND, "two at a time");
    let crowd = world.during(calls(400)).await;
    let refused = crowd.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(refused.iter().all(|fault| fault.error.code == ErrorCode::RateLimited), "{:?}", refused[0]);
    assert!(refused.len() >= 400 - 2 - 256);
}

#[tokio::test(start_paused = true)]
async fn one_that_shouts_costs_nobody_anything() {
    let mut with = script(&["x"]);
    with.resources = vec![json!({ "uri": "note://1", "name": "one" })];
    let mut world = World::new(vec![("loud", with), ("good", script(&["x"]))], true);
    world.until("all are listed", |world| world.listed().len() == 2).await;
    world.call("loud__x").await.expect("it works");
    let asked = world.got("loud", "tools/list");
    world.news();
    for n in 0..5_000 {
        world.says("loud", "notifications/tools/list_changed", json!({}));
        world.says("loud", "notifications/resources/updated", json!({ "uri": format!("note://{n}") }));
        world.says("loud", "notifications/message", json!({ "level": "error", "data": "x".repeat(10_000) }));
        if n % 100 == 0 {
            world.pass(Duration::from_millis(20)).await;
        }
    }
    assert!(world.call("good__x").await.is_ok());
    world.pass(5 * SECOND).await;
    assert!(world.got("loud", "tools/list") - asked <= 4, "asked again and again");
    let told = world.news();
    assert!(told.iter().all(|news| news == "Tools"), "that the list has changed, and nothing else: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_hangs_gives_its_place_to_others() {
    let mut servers: Vec<(String, _)> = (0..4).map(|n| (format!("hang{n}"), script(&["x"]))).collect();
    servers.iter_mut().for_each(|(_, script)| script.manner = Manner::Hangs);
    servers.push(("well".into(), script(&["x"])));
    let servers = servers.iter().map(|(name, script)| (name.as_str(), script.clone())).collect();
    let world = World::with(servers, true, |config| config.mcp.max_processes = 2);
    let took = world.until("the one that is well is listed", |world| world.listed().len() == 1).await;
    assert!(took < 10 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn names_are_given_for_what_waits_as_well() {
    let world = World::new(vec![("a", script(&["x.y"]))], false);
    world.until("it was asked", |world| world.got("a", "tools/list") == 1).await;
    let names =
        |world: &World| world.store.snapshot().and_then(|store| store.given_names()).map_or(0, |given| given.len());
    world.until("there is a name", |world| names(world) > 0).await;
    let given = world.store.snapshot().and_then(|store| store.given_names()).expect("names");
    assert_eq!(given.len(), 1, "{given:?}");
    assert!(given[0].exposed.starts_with("a__x_y_") && given[0].own.starts_with(EntryKind::Tool.as_str()));
}
