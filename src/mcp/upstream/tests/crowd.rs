//! Two hundred servers, some of them bad.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::mcp::source::Source;
use crate::mcp::upstream::testing::{Manner, World, now, owner, script};

const SERVERS: usize = 200;
const TOOLS: [&str; 5] = ["read", "write", "list", "find", "move"];

fn crowd() -> World {
    let names: Vec<String> = (0..SERVERS).map(|n| format!("s{n:03}")).collect();
    World::new(names.iter().map(|name| (name.as_str(), script(&TOOLS))).collect(), true)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "a test measures")]
async fn a_thousand_tools_are_listed_at_once_after_a_start() {
    let world = crowd();
    let took = world.until("all are listed", |world| world.listed().len() == SERVERS * TOOLS.len()).await;
    // Some seconds; on a busy machine more of the house's time passes while the disk works.
    assert!(took < Duration::from_secs(60), "{took:?}");
    let running_max = world.servers.running_max.load(Ordering::SeqCst);
    assert!(running_max <= 32, "{running_max} ran at once");
    world.until("none is left", |world| world.running() == 0).await;

    let before = Instant::now();
    let world = world.restart().await;
    let count = world.aggregator.tools().len();
    let opened = before.elapsed();
    assert_eq!(count, SERVERS * TOOLS.len());
    // The store's check of its file is in it, and so is a build without optimizations on a busy machine; 100 ms is the release's bar.
    assert!(opened < Duration::from_secs(3), "{opened:?}");
    let before = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(world.aggregator.tools().len(), count);
    }
    assert!(before.elapsed() < Duration::from_millis(100), "a list is a pointer: {:?}", before.elapsed());
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.servers.starts.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_bad_server_in_ten_delays_nobody() {
    let world = crowd();
    world.until("all are listed", |world| world.listed().len() == SERVERS * TOOLS.len()).await;
    let world = world.restart().await;
    world.config(|config| config.mcp.max_processes = SERVERS);
    let is_bad = |n: usize| n.is_multiple_of(10);
    for n in (0..SERVERS).filter(|n| is_bad(*n)) {
        let manner = [Manner::Crashes, Manner::Hangs, Manner::Garbage, Manner::DiesInCalls][n / 10 % 4];
        world.script(&format!("s{n:03}"), |script| script.manner = manner);
    }
    world.pass(Duration::from_millis(100)).await;
    let began = now();
    let bad = (0..SERVERS).filter(|n| is_bad(*n)).map(|n| format!("s{n:03}__read"));
    let good = (0..SERVERS).filter(|n| !is_bad(*n)).map(|n| format!("s{n:03}__read"));
    let (bad, good): (Vec<_>, Vec<_>) = (bad.collect(), good.collect());
    let who = owner();
    let bad_calls = join_all(bad.iter().map(|tool| world.call_beside(tool, &who)));
    let good_calls = join_all(good.iter().map(|tool| world.call_beside(tool, &who)));
    let calls = async {
        tokio::pin!(bad_calls);
        let mut good_calls = std::pin::pin!(good_calls);
        tokio::select! {
            answers = &mut good_calls => answers,
            _ = &mut bad_calls => good_calls.await,
        }
    };
    let answers = world.during(calls).await;
    let took = began.elapsed();
    let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), good.len(), failed[0]);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
